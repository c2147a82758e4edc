/* link_tls.c - bytes over TLS 1.3 with certificates on both sides, by OpenSSL; see link.h. */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/link.h"

struct link_tls {
  SSL_CTX *context;
  BIO_METHOD *socket;
};

struct tls_link {
  struct link link;
  SSL *ssl;
};

/* The newest of OpenSSL's reasons, in words; "" when it has none. */
static void tls_reason(char *why, const char *what) {
  unsigned long code = ERR_peek_last_error();
  const char *reason = code ? ERR_reason_error_string(code) : NULL;
  snprintf(why, HELLO_WHY, "%s%s%s", what, reason ? ": " : "", reason ? reason : "");
  ERR_clear_error();
}

/* Like OpenSSL's writing to a socket, but that a peer that is gone is an error and no signal. */
static int tls_put(BIO *bio, const char *bytes, int n) {
  int fd = -1;
  BIO_get_fd(bio, &fd);
  BIO_clear_retry_flags(bio);
  int put = (int)send(fd, bytes, (size_t)n, MSG_NOSIGNAL);
  if (put <= 0 && BIO_sock_should_retry(put))
    BIO_set_retry_write(bio);
  return put;
}

static BIO_METHOD *tls_socket(void) {
  const BIO_METHOD *plain = BIO_s_socket();
  BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOCKET, "socket");
  if (m && BIO_meth_set_write(m, tls_put) && BIO_meth_set_read(m, BIO_meth_get_read(plain)) &&
      BIO_meth_set_ctrl(m, BIO_meth_get_ctrl(plain)) &&
      BIO_meth_set_create(m, BIO_meth_get_create(plain)) &&
      BIO_meth_set_destroy(m, BIO_meth_get_destroy(plain)))
    return m;
  BIO_meth_free(m);
  return NULL;
}

struct link_tls *link_tls_open(const char *ca_file, const char *cert_file, const char *key_file,
                               char *why) {
  static const unsigned char protocol[] = "\5vecdb";
  struct link_tls *tls = calloc(1, sizeof *tls);
  SSL_CTX *c = tls ? SSL_CTX_new(TLS_method()) : NULL;
  BIO_METHOD *socket = c ? tls_socket() : NULL;
  if (!socket) {
    SSL_CTX_free(c);
    free(tls);
    snprintf(why, HELLO_WHY, "out of memory");
    return NULL;
  }
  tls->context = c;
  tls->socket = socket;
  const char *fault = NULL;
  ERR_clear_error();
  if (!SSL_CTX_set_min_proto_version(c, TLS1_3_VERSION))
    fault = "TLS 1.3 is not to be had";
  else if (SSL_CTX_load_verify_locations(c, ca_file, NULL) != 1)
    fault = "the certificate of the authority cannot be read";
  else if (SSL_CTX_use_certificate_chain_file(c, cert_file) != 1)
    fault = "the node's certificate cannot be read";
  else if (SSL_CTX_use_PrivateKey_file(c, key_file, SSL_FILETYPE_PEM) != 1)
    fault = "the node's key cannot be read";
  else if (SSL_CTX_check_private_key(c) != 1)
    fault = "the node's key does not belong to its certificate";
  else if (SSL_CTX_set_alpn_protos(c, protocol, sizeof protocol - 1) != 0)
    fault = "out of memory";
  if (fault) {
    tls_reason(why, fault);
    link_tls_close(tls);
    return NULL;
  }
  SSL_CTX_set_verify(c, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
  SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                          SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(c, 0);
  return tls;
}

void link_tls_close(struct link_tls *tls) {
  if (!tls)
    return;
  SSL_CTX_free(tls->context);
  BIO_meth_free(tls->socket);
  free(tls);
}

static enum link_status tls_failed(struct tls_link *t, int r, const char *what) {
  int error = SSL_get_error(t->ssl, r);
  t->link.wants_write = error == SSL_ERROR_WANT_WRITE;
  if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
    return LINK_AGAIN;
  if (error == SSL_ERROR_ZERO_RETURN || (error == SSL_ERROR_SYSCALL && !ERR_peek_error() &&
                                         (errno == 0 || errno == ECONNRESET || errno == EPIPE)))
    return LINK_END;
  long verdict = SSL_get_verify_result(t->ssl);
  if (verdict != X509_V_OK) {
    snprintf(t->link.why, sizeof t->link.why, "the peer's certificate is refused: %s",
             X509_verify_cert_error_string(verdict));
    ERR_clear_error();
  } else {
    tls_reason(t->link.why, what);
  }
  return LINK_ERROR;
}

/* Who the certificate says that the peer is. */
static void tls_identify(struct tls_link *t, X509 *certificate) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned n = 0;
  if (X509_digest(certificate, EVP_sha256(), digest, &n) && n == 32)
    for (unsigned i = 0; i < n; i++)
      snprintf(t->link.fingerprint + 2 * i, 3, "%02x", digest[i]);
  GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
  for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
    const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
    if (name->type != GEN_URI)
      continue;
    const char *text = (const char *)ASN1_STRING_get0_data(name->d.uniformResourceIdentifier);
    size_t length = (size_t)ASN1_STRING_length(name->d.uniformResourceIdentifier);
    if (strlen(text) == length && hello_uri_read(text, &t->link.cluster, &t->link.node))
      t->link.certified = true;
  }
  GENERAL_NAMES_free(names);
}

static enum link_status tls_shake(struct link *link) {
  struct tls_link *t = (struct tls_link *)link;
  ERR_clear_error();
  errno = 0;
  int r = SSL_do_handshake(t->ssl);
  if (r != 1)
    return tls_failed(t, r, "the handshake failed");
  X509 *certificate = SSL_get0_peer_certificate(t->ssl);
  if (certificate)
    tls_identify(t, certificate);
  if (t->link.certified)
    return LINK_OK;
  snprintf(link->why, sizeof link->why, "the peer's certificate names no node of a cluster");
  return LINK_ERROR;
}

static enum link_status tls_read(struct link *link, void *to, size_t n, size_t *got) {
  struct tls_link *t = (struct tls_link *)link;
  ERR_clear_error();
  errno = 0;
  int r = SSL_read_ex(t->ssl, to, n, got);
  if (r != 1) {
    *got = 0;
    return tls_failed(t, r, "the peer ended TLS");
  }
  link->counts.received += *got;
  link->counts.crossed_in += *got;
  link->counts.copied_in += *got; /* deciphered into its place */
  return LINK_OK;
}

static enum link_status tls_write(struct link *link, const struct iovec *parts, int n,
                                  size_t *put) {
  struct tls_link *t = (struct tls_link *)link;
  *put = 0;
  for (int i = 0; i < n; i++) {
    size_t done = 0;
    if (!parts[i].iov_len)
      continue;
    ERR_clear_error();
    errno = 0;
    int r = SSL_write_ex(t->ssl, parts[i].iov_base, parts[i].iov_len, &done);
    if (r != 1)
      return *put ? LINK_OK : tls_failed(t, r, "the peer ended TLS");
    *put += done;
    link->counts.sent += done;
    link->counts.crossed_out += done;
    link->counts.copied_out += done; /* enciphered into OpenSSL's record */
    if (done < parts[i].iov_len)
      break;
  }
  return LINK_OK;
}

static bool tls_holds(const struct link *link) {
  return SSL_has_pending(((const struct tls_link *)link)->ssl) == 1;
}

static void tls_close(struct link *link) {
  struct tls_link *t = (struct tls_link *)link;
  SSL_shutdown(t->ssl); /* says goodbye if that can be said at once */
  ERR_clear_error();
  SSL_free(t->ssl);
  close(link->fd);
  free(t);
}

struct link *link_tls_over(struct link_tls *tls, int fd, bool server) {
  static const struct link_ops ops = {tls_shake, tls_read, tls_write, tls_holds, tls_close};
  struct tls_link *t = calloc(1, sizeof *t);
  SSL *ssl = t ? SSL_new(tls->context) : NULL;
  BIO *bio = ssl ? BIO_new(tls->socket) : NULL;
  if (!bio) {
    SSL_free(ssl);
    free(t);
    close(fd);
    return NULL;
  }
  BIO_set_fd(bio, fd, BIO_NOCLOSE);
  SSL_set_bio(ssl, bio, bio);
  t->ssl = ssl;
  t->link.ops = &ops;
  t->link.fd = fd;
  if (server)
    SSL_set_accept_state(ssl);
  else
    SSL_set_connect_state(ssl);
  return &t->link;
}
