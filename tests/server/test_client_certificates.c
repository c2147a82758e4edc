/*
 * test_client_certificates.c - certificates that clients show: whose are believed, who is known by
 * one, and what tickets spare.
 */
#include "server/tlstest.h"

#include "server/api_keys.h"
#include "server/tls.h"

struct shown {
  EVP_PKEY *key;
  X509 *certificate; /* which is its own signer */
};

static void shown_make(struct shown *out, long serial, long ends) {
  out->key = EVP_EC_gen("P-256");
  out->certificate = certificate_make(out->key, serial, "IP:127.0.0.1");
  X509_gmtime_adj(X509_getm_notAfter(out->certificate), ends);
  assert_true(X509_sign(out->certificate, out->key, EVP_sha256()) > 0);
}

static void shown_free(struct shown *of) {
  X509_free(of->certificate);
  EVP_PKEY_free(of->key);
}

/* Names whom the server takes certificates from. */
static void signers_write(const char *path, const struct shown *const *all, size_t n) {
  char fresh[TLS_PATH + 8];
  FILE *f = file_begin(path, fresh);
  for (size_t i = 0; i < n; i++)
    assert_int_equal(PEM_write_X509(f, all[i]->certificate), 1);
  file_end(f, fresh, path, 0644);
}

/* Whether a client that shows this, or, with NULL, nothing, is served. In TLS 1.3 it is done with
   the handshake before the server has seen what it shows. */
static bool shown_served(const struct secure *s, const struct shown *what, int version) {
  struct client c;
  client_begin(s, &c, alpn_http);
  SSL_set_max_proto_version(c.tls, version);
  if (what) {
    assert_int_equal(SSL_use_certificate(c.tls, what->certificate), 1);
    assert_int_equal(SSL_use_PrivateKey(c.tls, what->key), 1);
  }
  bool served = SSL_connect(c.tls) == 1 && client_ask(&c, get_health) == 200;
  ERR_clear_error();
  client_end(&c);
  return served;
}

/* A ticket spares the handshake, for who has shown a certificate. */
static void shown_again(const struct secure *s, const struct shown *what) {
  SSL_SESSION *session = NULL;
  for (int again = 0; again < 2; again++) {
    struct client c;
    client_begin(s, &c, alpn_http);
    SSL_use_certificate(c.tls, what->certificate);
    SSL_use_PrivateKey(c.tls, what->key);
    if (session)
      SSL_set_session(c.tls, session);
    assert_int_equal(SSL_connect(c.tls), 1);
    assert_int_equal(client_ask(&c, get_health), 200);
    assert_int_equal(SSL_session_reused(c.tls), again);
    SSL_SESSION_free(session);
    session = SSL_get1_session(c.tls);
    SSL_shutdown(c.tls);
    client_end(&c);
  }
  SSL_SESSION_free(session);
}

static void test_client_certificates(void **state) {
  (void)state;
  static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
  struct secure s;
  struct shown one, two, late, stranger;
  char error[SRV_CONFIG_ERROR] = "", signers[TLS_PATH];
  secure_init(&s);
  shown_make(&one, 10, 3600);
  shown_make(&two, 11, 3600);
  shown_make(&late, 12, -60);
  shown_make(&stranger, 13, 3600);
  const struct shown *const all[] = {&one, &two, &late};
  snprintf(signers, sizeof signers, "%s/signers.pem", s.web.folder);
  snprintf(s.web.config.tls_client_ca, SRV_CONFIG_TEXT, "%s", signers);
  signers_write(signers, all, 0);
  start_fails(&s, "signers.pem");
  signers_write(signers, all, 3);
  web_start(&s.web);
  for (int v = 0; v < 2; v++) {
    assert_false(shown_served(&s, NULL, versions[v]));
    assert_true(shown_served(&s, &one, versions[v]));
    assert_true(shown_served(&s, &two, versions[v]));
    assert_false(shown_served(&s, &late, versions[v]));
    assert_false(shown_served(&s, &stranger, versions[v]));
  }
  shown_again(&s, &two);
  text_write(signers, "nobody\n", 0644);
  assert_false(srv_tls_reload(s.web.server->tls, error));
  assert_true(shown_served(&s, &one, TLS1_3_VERSION));
  signers_write(signers, all, 1);
  assert_true(srv_tls_reload(s.web.server->tls, error));
  assert_true(shown_served(&s, &one, TLS1_3_VERSION));
  assert_false(shown_served(&s, &two, TLS1_3_VERSION));
  for (int i = 0; i < 3; i++)
    shown_free((struct shown *)(uintptr_t)all[i]);
  shown_free(&stranger);
  secure_end(&s);
}

/* The status of a request that shows a certificate and, unless it is NULL, a header. */
static int shown_status(const struct secure *s, const struct shown *what, const char *header) {
  struct client c;
  char request[512];
  snprintf(request, sizeof request, "GET /v1/version HTTP/1.1\r\nHost: x\r\n%s%s\r\n",
           header ? header : "", header ? "\r\n" : "");
  client_begin(s, &c, alpn_http);
  assert_int_equal(SSL_use_certificate(c.tls, what->certificate), 1);
  assert_int_equal(SSL_use_PrivateKey(c.tls, what->key), 1);
  assert_int_equal(SSL_connect(c.tls), 1);
  int status = client_ask(&c, request);
  client_end(&c);
  return status;
}

/* A line of the file of keys for a certificate, or for the text "secret". */
static void entry_write(FILE *f, const char *name, const struct shown *of, int64_t expires) {
  uint8_t hash[SRV_API_KEY_HASH];
  if (of)
    assert_int_equal(X509_digest(of->certificate, EVP_sha256(), hash, NULL), 1);
  else
    srv_sha256("secret", 6, hash);
  fprintf(f, "[%s]\nrole = reader\nexpires = %lld\n%s = ", name, (long long)expires,
          of ? "certificate" : "sha256");
  for (size_t i = 0; i < sizeof hash; i++)
    fprintf(f, "%02x", hash[i]);
  fputs("\n", f);
}

/* Who shows no header is known by the certificate; a header counts more. */
static void test_known_by_certificate(void **state) {
  (void)state;
  struct secure s;
  struct shown one, two, late;
  char signers[TLS_PATH], keys[TLS_PATH], fresh[TLS_PATH + 8];
  secure_init(&s);
  shown_make(&one, 20, 3600);
  shown_make(&two, 21, 3600);
  shown_make(&late, 22, 3600);
  snprintf(signers, sizeof signers, "%s/signers.pem", s.web.folder);
  snprintf(keys, sizeof keys, "%s/keys", s.web.folder);
  snprintf(s.web.config.tls_client_ca, SRV_CONFIG_TEXT, "%s", signers);
  snprintf(s.web.config.keys_file, SRV_CONFIG_TEXT, "%s", keys);
  signers_write(signers, (const struct shown *const[]){&one, &two, &late}, 3);
  FILE *f = file_begin(keys, fresh);
  entry_write(f, "machine", &one, INT64_MAX);
  entry_write(f, "past", &late, 1000);
  entry_write(f, "person", NULL, INT64_MAX);
  file_end(f, fresh, keys, 0600);
  web_start(&s.web);
  assert_int_equal(shown_status(&s, &one, NULL), 200);
  assert_int_equal(shown_status(&s, &two, NULL), 401);
  assert_int_equal(shown_status(&s, &late, NULL), 401);
  assert_int_equal(shown_status(&s, &two, "api-key: secret"), 200);
  assert_int_equal(shown_status(&s, &one, "api-key: wrong"), 401);
  assert_int_equal(shown_status(&s, &one, "Authorization: machine"), 401);
  shown_free(&one);
  shown_free(&two);
  shown_free(&late);
  secure_end(&s);
}

int main(void) {
  signal(SIGPIPE, SIG_IGN);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_client_certificates), cmocka_unit_test(test_known_by_certificate)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
