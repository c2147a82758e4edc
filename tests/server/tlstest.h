/*
 * tlstest.h - a server that speaks TLS, its files of certificates and keys, and clients for it.
 */
#ifndef TLSTEST_H
#define TLSTEST_H

#include "server/rpctest.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

enum { TLS_PATH = 128, TLS_ANSWER = 64 * 1024 };

static const char get_health[] = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
static const unsigned char alpn_http[] = "\x08http/1.1";

struct secure {
  struct web web;
  char certificate[TLS_PATH], key[TLS_PATH];
  SSL_CTX *client; /* asks for no certificate's owner */
};

/* ---- Certificates ---------------------------------------------------------------------------- */

static inline X509 *certificate_make(EVP_PKEY *key, long serial, const char *names) {
  char subject[64];
  X509 *x = X509_new();
  X509_EXTENSION *name = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);
  X509_set_version(x, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(x), serial);
  X509_gmtime_adj(X509_getm_notBefore(x), -3600);
  X509_gmtime_adj(X509_getm_notAfter(x), 3600);
  snprintf(subject, sizeof subject, "vecdb test %ld", serial); /* a signer is found by its name */
  X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                             (const uint8_t *)subject, -1, -1, 0);
  X509_set_issuer_name(x, X509_get_subject_name(x));
  X509_set_pubkey(x, key);
  X509_add_ext(x, name, -1);
  assert_true(X509_sign(x, key, EVP_sha256()) > 0);
  X509_EXTENSION_free(name);
  return x;
}

/* Has a file appear whole, in the place of the one before. */
static inline FILE *file_begin(const char *path, char *fresh) {
  snprintf(fresh, TLS_PATH + 8, "%s.new", path);
  FILE *f = fopen(fresh, "w");
  assert_non_null(f);
  return f;
}

static inline void file_end(FILE *f, const char *fresh, const char *path, mode_t mode) {
  assert_int_equal(fclose(f), 0);
  assert_int_equal(chmod(fresh, mode), 0);
  assert_int_equal(rename(fresh, path), 0);
}

/* A new key, and a certificate with this number, for these names. */
static inline void pair_write(const char *certificate, const char *key_file, long serial,
                              const char *names) {
  char fresh[TLS_PATH + 8];
  EVP_PKEY *key = EVP_EC_gen("P-256");
  X509 *x = certificate_make(key, serial, names);
  FILE *f = file_begin(certificate, fresh);
  assert_int_equal(PEM_write_X509(f, x), 1);
  file_end(f, fresh, certificate, 0644);
  f = file_begin(key_file, fresh);
  assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
  file_end(f, fresh, key_file, 0600);
  X509_free(x);
  EVP_PKEY_free(key);
}

static inline void certificate_write(const struct secure *s, long serial) {
  pair_write(s->certificate, s->key, serial, "IP:127.0.0.1");
}

static inline void text_write(const char *path, const char *text, mode_t mode) {
  char fresh[TLS_PATH + 8];
  FILE *f = file_begin(path, fresh);
  fputs(text, f);
  file_end(f, fresh, path, mode);
}

/* ---- Server and clients ---------------------------------------------------------------------- */

static inline void secure_init(struct secure *s) {
  web_init(&s->web);
  snprintf(s->certificate, sizeof s->certificate, "%s/certificate.pem", s->web.folder);
  snprintf(s->key, sizeof s->key, "%s/key.pem", s->web.folder);
  snprintf(s->web.config.tls_certificate, SRV_CONFIG_TEXT, "%s", s->certificate);
  snprintf(s->web.config.tls_key, SRV_CONFIG_TEXT, "%s", s->key);
  certificate_write(s, 1);
  s->web.ca = s->certificate;
  s->client = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_security_level(s->client, 0);
}

static inline void secure_start(struct secure *s) {
  secure_init(s);
  web_start(&s->web);
}

static inline void secure_end(struct secure *s) {
  SSL_CTX_free(s->client);
  web_end(&s->web);
}

struct client {
  int fd;
  SSL *tls;
};

static inline void client_begin(const struct secure *s, struct client *c,
                                const unsigned char *alpn) {
  c->fd = web_connect(&s->web);
  c->tls = SSL_new(s->client);
  SSL_set_fd(c->tls, c->fd);
  if (alpn)
    SSL_set_alpn_protos(c->tls, alpn, (unsigned)strlen((const char *)alpn));
}

static inline void client_end(struct client *c) {
  SSL_free(c->tls);
  close(c->fd);
}

static inline void client_open(const struct secure *s, struct client *c,
                               const unsigned char *alpn) {
  client_begin(s, c, alpn);
  if (SSL_connect(c->tls) != 1)
    fail_msg("no handshake: %s", ERR_reason_error_string(ERR_peek_last_error()));
}

/* Reads one answer whole; its status, 0: none came. */
static inline int client_answer(struct client *c) {
  char answer[TLS_ANSWER];
  size_t n = 0, wanted = sizeof answer - 1;
  int status = 0;
  while (n < wanted) {
    int got = SSL_read(c->tls, answer + n, (int)(wanted - n));
    if (got <= 0)
      return 0;
    n += (size_t)got;
    answer[n] = '\0';
    const char *body = strstr(answer, "\r\n\r\n");
    const char *length = body ? strcasestr(answer, "Content-Length:") : NULL;
    if (length)
      wanted = (size_t)(body + 4 - answer) + strtoul(length + 15, NULL, 10);
  }
  return sscanf(answer, "HTTP/1.%*d %d", &status) == 1 ? status : 0;
}

static inline bool client_write(struct client *c, const char *bytes, size_t n) {
  return SSL_write(c->tls, bytes, (int)n) == (int)n;
}

static inline int client_ask(struct client *c, const char *request) {
  return client_write(c, request, strlen(request)) ? client_answer(c) : 0;
}

/* ---- Settings that are wrong ----------------------------------------------------------------- */

static inline void start_fails(struct secure *s, const char *why) {
  char error[SRV_CONFIG_ERROR] = "";
  assert_null(srv_server_start(&s->web.config, NULL, error));
  if (!strstr(error, why))
    fail_msg("\"%s\" says nothing of %s", error, why);
}

#endif
