/* tls.c - see tls.h. */
#include "server/tls.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/observe.h"
#include "server/secure_file.h"
#include "server/server.h"

enum { TLS_CERTIFICATES = 16, TLS_FILES = 2 * TLS_CERTIFICATES + 1 };

/* The files that the settings name, in pairs. */
struct tls_files {
  char certificates[SRV_CONFIG_TEXT], keys[SRV_CONFIG_TEXT]; /* their texts, cut into pieces */
  const char *certificate[TLS_CERTIFICATES], *key[TLS_CERTIFICATES];
  unsigned n;
};

/* Beside the first certificate, which is for whoever asks for no name that another has. They go
   with its context. */
struct tls_others {
  unsigned n;
  SSL_CTX *contexts[TLS_CERTIFICATES];
};

struct srv_tls {
  struct srv_server *server;
  pthread_mutex_t mutex;   /* of `context` */
  SSL_CTX *context;        /* counts its holders */
  pthread_mutex_t reading; /* of `stamps`: one thread reads files at a time */
  struct srv_file_stamp stamps[TLS_FILES];
  _Atomic int64_t looked; /* the second in which the files were looked at last */
};

/* ---- What is spoken -------------------------------------------------------------------------- */

/* Clients that offer both get HTTP/1.1: over HTTP/2 there is gRPC alone, whose clients offer
   nothing else. */
static int tls_choose(SSL *tls, const unsigned char **out, unsigned char *n,
                      const unsigned char *offered, unsigned n_offered, void *user) {
  static const unsigned char known[] = "\x08http/1.1\x02h2";
  unsigned char *chosen = NULL;
  (void)tls;
  (void)user;
  int rc = SSL_select_next_proto(&chosen, n, known, sizeof known - 1, offered, n_offered);
  *out = chosen;
  return rc == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static SSL_CTX *tls_context(void) {
  SSL_CTX *c = SSL_CTX_new(TLS_server_method());
  if (!c)
    return NULL;
  SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                             SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  /* An answer that is sent in parts may have moved; idle connections keep no buffers. */
  SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                          SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF); /* tickets are enough */
  SSL_CTX_set_security_level(c, 2);
  SSL_CTX_set_alpn_select_cb(c, tls_choose, NULL);
  if (SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION) == 1 &&
      SSL_CTX_set_cipher_list(c, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1 &&
      SSL_CTX_set1_groups_list(c, "X25519:P-256:P-384") == 1)
    return c;
  SSL_CTX_free(c);
  return NULL;
}

/* Takes the certificate that has the name for which the client asks. */
static int tls_by_name(SSL *tls, int *alert, void *user) {
  const struct tls_others *others = user;
  const char *name = SSL_get_servername(tls, TLSEXT_NAMETYPE_host_name);
  (void)alert;
  if (!name || X509_check_host(SSL_get_certificate(tls), name, 0, 0, NULL) == 1)
    return SSL_TLSEXT_ERR_OK;
  for (unsigned i = 0; i < others->n; i++)
    if (X509_check_host(SSL_CTX_get0_certificate(others->contexts[i]), name, 0, 0, NULL) == 1) {
      SSL_set_SSL_CTX(tls, others->contexts[i]);
      break;
    }
  return SSL_TLSEXT_ERR_OK;
}

static void tls_others_free(void *parent, void *data, CRYPTO_EX_DATA *all, int index, long number,
                            void *pointer) {
  struct tls_others *others = data;
  (void)parent;
  (void)all;
  (void)index;
  (void)number;
  (void)pointer;
  for (unsigned i = 0; others && i < others->n; i++)
    SSL_CTX_free(others->contexts[i]);
  free(others);
}

/* Makes the first context one that knows others; NULL: out of memory. */
static struct tls_others *tls_add_others(SSL_CTX *first) {
  static _Atomic int index = -1;
  struct tls_others *others = calloc(1, sizeof *others);
  if (atomic_load(&index) < 0) /* one thread reads files at a time */
    atomic_store(&index, SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, tls_others_free));
  if (!others || SSL_CTX_set_ex_data(first, atomic_load(&index), others) != 1) {
    free(others);
    return NULL;
  }
  SSL_CTX_set_tlsext_servername_callback(first, tls_by_name);
  SSL_CTX_set_tlsext_servername_arg(first, others);
  return others;
}

/* ---- Files ----------------------------------------------------------------------------------- */

static bool tls_fault(const char *path, char *error) {
  const char *why = ERR_reason_error_string(ERR_peek_last_error());
  snprintf(error, SRV_CONFIG_ERROR, "%.200s: %s", path, why ? why : "not what it should be");
  return false;
}

/* An encrypted key is refused; OpenSSL would ask at the terminal. */
static int tls_no_password(char *out, int size, int writing, void *user) {
  (void)out;
  (void)size;
  (void)writing;
  (void)user;
  return -1;
}

/* The server's certificate, then those between it and a root. */
static bool tls_add_chain(SSL_CTX *context, BIO *pem) {
  X509 *certificate = PEM_read_bio_X509_AUX(pem, NULL, tls_no_password, NULL);
  bool good = certificate && SSL_CTX_use_certificate(context, certificate) == 1;
  X509_free(certificate);
  while (good && (certificate = PEM_read_bio_X509(pem, NULL, tls_no_password, NULL)) != NULL) {
    good = SSL_CTX_add0_chain_cert(context, certificate) == 1;
    if (!good)
      X509_free(certificate);
  }
  return good && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
}

static bool tls_add_key(SSL_CTX *context, BIO *pem) {
  EVP_PKEY *key = PEM_read_bio_PrivateKey(pem, NULL, tls_no_password, NULL);
  bool good = key && SSL_CTX_use_PrivateKey(context, key) == 1 &&
              SSL_CTX_check_private_key(context) == 1;
  EVP_PKEY_free(key);
  return good;
}

/* Those who have signed clients' certificates: from here on each client must show one. A ticket is
   worth as much as the certificate that it was given for, and no more than this context. */
static bool tls_add_signers(SSL_CTX *context, BIO *pem) {
  static const unsigned char here[] = "vecdbd";
  X509_STORE *store = SSL_CTX_get_cert_store(context);
  X509 *signer;
  unsigned n = 0;
  bool good = SSL_CTX_set_session_id_context(context, here, sizeof here - 1) == 1;
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
  while (good && (signer = PEM_read_bio_X509(pem, NULL, tls_no_password, NULL)) != NULL) {
    good = X509_STORE_add_cert(store, signer) == 1 && SSL_CTX_add_client_CA(context, signer) == 1;
    X509_free(signer);
    n++;
  }
  return good && n > 0 && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
}

typedef bool tls_adder(SSL_CTX *context, BIO *pem);

static bool tls_add_file(SSL_CTX *context, const char *path, tls_adder *add, bool secret,
                         char *error) {
  size_t n;
  char *text = srv_secure_file(path, secret, &n, error);
  if (!text)
    return false;
  ERR_clear_error();
  BIO *pem = BIO_new_mem_buf(text, (int)n);
  bool good = pem && add(context, pem);
  if (!good)
    tls_fault(path, error);
  ERR_clear_error();
  BIO_free(pem);
  OPENSSL_cleanse(text, n);
  free(text);
  return good;
}

/* The pieces of a setting; how many, or more than there may be. */
static unsigned tls_pieces(const char *setting, char *text, const char **pieces) {
  char *rest = NULL;
  unsigned n = 0;
  snprintf(text, SRV_CONFIG_TEXT, "%s", setting);
  for (char *at = strtok_r(text, ",", &rest); at; at = strtok_r(NULL, ",", &rest)) {
    if (n < TLS_CERTIFICATES)
      pieces[n] = at + strspn(at, " ");
    n++;
  }
  return n;
}

static bool tls_files(const struct srv_config *config, struct tls_files *out, char *error) {
  out->n = tls_pieces(config->tls_certificate, out->certificates, out->certificate);
  unsigned n_keys = tls_pieces(config->tls_key, out->keys, out->key);
  if (out->n > 0 && out->n == n_keys && out->n <= TLS_CERTIFICATES)
    return true;
  snprintf(error, SRV_CONFIG_ERROR, "server.tls_certificate and server.tls_key name %u and %u"
           " files; both must name as many, 1 to %d, also where server.tls_client_ca is set",
           out->n, n_keys, TLS_CERTIFICATES);
  return false;
}

static SSL_CTX *tls_read_pair(const struct srv_config *config, const char *certificate,
                              const char *key, char *error) {
  SSL_CTX *context = tls_context();
  if (!context) {
    snprintf(error, SRV_CONFIG_ERROR, "out of memory");
    return NULL;
  }
  if (tls_add_file(context, certificate, tls_add_chain, false, error) &&
      tls_add_file(context, key, tls_add_key, true, error) &&
      (!*config->tls_client_ca ||
       tls_add_file(context, config->tls_client_ca, tls_add_signers, false, error)))
    return context;
  SSL_CTX_free(context);
  return NULL;
}

static SSL_CTX *tls_read(const struct srv_config *config, char *error) {
  struct tls_files files;
  if (!tls_files(config, &files, error))
    return NULL;
  SSL_CTX *first = tls_read_pair(config, files.certificate[0], files.key[0], error);
  struct tls_others *others = first ? tls_add_others(first) : NULL;
  if (first && !others)
    snprintf(error, SRV_CONFIG_ERROR, "out of memory");
  for (unsigned i = 1; others && i < files.n; i++) {
    SSL_CTX *one = tls_read_pair(config, files.certificate[i], files.key[i], error);
    if (one)
      others->contexts[others->n++] = one;
    else
      others = NULL;
  }
  if (others)
    return first;
  SSL_CTX_free(first);
  return NULL;
}

/* ---- Files that change ----------------------------------------------------------------------- */

static void tls_stamp(const struct srv_config *config, struct srv_file_stamp *out) {
  struct tls_files files;
  char ignored[SRV_CONFIG_ERROR];
  memset(out, 0, TLS_FILES * sizeof *out);
  srv_file_stamp(config->tls_client_ca, out++);
  for (unsigned i = 0; tls_files(config, &files, ignored) && i < files.n; i++) {
    srv_file_stamp(files.certificate[i], out++);
    srv_file_stamp(files.key[i], out++);
  }
}

/* The stamps are taken before the files are read: what changes meanwhile is seen the next time. */
static bool tls_read_again(struct srv_tls *tls, char *error) {
  tls_stamp(&tls->server->config, tls->stamps);
  SSL_CTX *fresh = tls_read(&tls->server->config, error);
  if (!fresh)
    return false;
  pthread_mutex_lock(&tls->mutex);
  SSL_CTX *old = tls->context;
  tls->context = fresh;
  pthread_mutex_unlock(&tls->mutex);
  SSL_CTX_free(old);
  return true;
}

bool srv_tls_reload(struct srv_tls *tls, char *error) {
  pthread_mutex_lock(&tls->reading);
  bool good = tls_read_again(tls, error);
  pthread_mutex_unlock(&tls->reading);
  return good;
}

/* Once a second at most. Files of a pair do not change at once: in between they do not fit, and
   when the second has changed, too, they are read again. */
static void tls_follow(struct srv_tls *tls) {
  int64_t now = (int64_t)time(NULL), looked = atomic_load(&tls->looked);
  struct srv_file_stamp stamps[TLS_FILES];
  char error[SRV_CONFIG_ERROR], line[SRV_CONFIG_ERROR + 64];
  if (looked == now || !atomic_compare_exchange_strong(&tls->looked, &looked, now) ||
      pthread_mutex_trylock(&tls->reading) != 0)
    return;
  tls_stamp(&tls->server->config, stamps);
  if (memcmp(stamps, tls->stamps, sizeof stamps) != 0) {
    bool good = tls_read_again(tls, error);
    snprintf(line, sizeof line, good ? "the certificate has changed, and was read again"
                                     : "the certificate stays as it was: %s", error);
    srv_log(tls->server, good ? VECDB_LOG_INFO : VECDB_LOG_ERROR, line);
  }
  pthread_mutex_unlock(&tls->reading);
}

SSL *srv_tls_open(struct srv_tls *tls) {
  tls_follow(tls);
  pthread_mutex_lock(&tls->mutex);
  SSL *one = SSL_new(tls->context);
  pthread_mutex_unlock(&tls->mutex);
  return one;
}

/* ---- Starting -------------------------------------------------------------------------------- */

bool srv_tls_is_wanted(const struct srv_server *server) {
  const struct srv_config *config = &server->config;
  return *config->tls_certificate || *config->tls_key || *config->tls_client_ca;
}

struct srv_tls *srv_tls_start(struct srv_server *server, char *error) {
  const struct srv_config *config = &server->config;
  struct tls_files files;
  if (!tls_files(config, &files, error))
    return NULL;
  struct srv_tls *tls = calloc(1, sizeof *tls);
  if (!tls) {
    snprintf(error, SRV_CONFIG_ERROR, "out of memory");
    return NULL;
  }
  pthread_mutex_init(&tls->mutex, NULL);
  pthread_mutex_init(&tls->reading, NULL);
  tls->server = server;
  if (srv_tls_reload(tls, error))
    return tls;
  srv_tls_stop(tls);
  return NULL;
}

void srv_tls_stop(struct srv_tls *tls) {
  if (!tls)
    return;
  SSL_CTX_free(tls->context);
  pthread_mutex_destroy(&tls->mutex);
  pthread_mutex_destroy(&tls->reading);
  free(tls);
}
