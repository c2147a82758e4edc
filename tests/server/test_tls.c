/*
 * test_tls.c - TLS: what is spoken and what is not, both protocols over it however the bytes are
 * cut, clients that do not shake hands, settings that are wrong, and certificates that change under
 * load. TSAN: yes
 */
#include "server/tlstest.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>

#include "server/tls.h"

static const unsigned char alpn_both[] = "\x02h2\x08http/1.1", alpn_h2[] = "\x02h2",
                           alpn_other[] = "\x06spdy/9";

static long client_serial(const struct client *c) {
  X509 *x = SSL_get1_peer_certificate(c->tls);
  long serial = ASN1_INTEGER_get(X509_get0_serialNumber(x));
  X509_free(x);
  return serial;
}

static void secure_is_served(const struct secure *s) {
  struct client c;
  client_open(s, &c, alpn_http);
  assert_int_equal(client_ask(&c, get_health), 200);
  client_end(&c);
}

/* ---- Both protocols -------------------------------------------------------------------------- */

/* By libcurl, which looks at the certificate, and offers HTTP/2, too. */
static void test_http(void **state) {
  (void)state;
  struct secure s;
  secure_start(&s);
  web_do(&s.web, 201, "POST", "/v1/collections",
         "{\"name\": \"docs\", \"fields\": [{\"name\": \"id\", \"type\": \"INT64\", "
         "\"primary_key\": true}, {\"name\": \"v\", \"type\": \"FLOAT_VECTOR\", \"dim\": 2, "
         "\"metric\": \"L2\"}]}");
  web_do(&s.web, 200, "GET", "/v1/collections/docs", NULL);
  web_fails(&s.web, 404, "NOT_FOUND", "GET", "/v1/collections/other", NULL);
  secure_end(&s);
}

static const unsigned char *const http_alpn[] = {alpn_http, alpn_both, NULL};

/* A request in two records, cut at every place, and in records of one byte. */
static void test_cut_records(void **state) {
  (void)state;
  static const char put[] = "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc";
  struct secure s;
  struct client c;
  secure_start(&s);
  client_open(&s, &c, alpn_http);
  for (size_t cut = 1; cut < sizeof get_health - 1; cut++) {
    assert_true(client_write(&c, get_health, cut));
    assert_true(client_write(&c, get_health + cut, sizeof get_health - 1 - cut));
    assert_int_equal(client_answer(&c), 200);
  }
  client_end(&c);
  for (int i = 0; i < 3; i++) {
    client_open(&s, &c, http_alpn[i]);
    for (size_t at = 0; at < sizeof get_health - 1; at++)
      assert_true(client_write(&c, get_health + at, 1));
    assert_int_equal(client_answer(&c), 200);
    client_end(&c);
    client_open(&s, &c, http_alpn[i]); /* begins as HTTP/2 does, and is refused in the middle */
    for (size_t at = 0; at < sizeof put - 1 && client_write(&c, put + at, 1); at++)
      continue;
    assert_int_equal(client_answer(&c), 405);
    client_end(&c);
  }
  secure_end(&s);
}

/* Sends what the client's side has to say, in pieces. */
static void wire_send(struct client *c, size_t piece) {
  char bytes[4096];
  BIO *out = SSL_get_wbio(c->tls);
  size_t n;
  while (BIO_read_ex(out, bytes, sizeof bytes, &n))
    for (size_t at = 0; at < n; at += piece)
      assert_true(send(c->fd, bytes + at, n - at < piece ? n - at : piece, MSG_NOSIGNAL) > 0);
}

/* Takes what has come from the server. */
static void wire_receive(struct client *c) {
  char bytes[4096];
  ssize_t n = recv(c->fd, bytes, sizeof bytes, 0);
  assert_true(n > 0 && BIO_write(SSL_get_rbio(c->tls), bytes, (int)n) == n);
}

/* A client whose bytes are sent by wire_send. */
static void wire_open(const struct secure *s, struct client *c, size_t piece) {
  int one = 1;
  client_begin(s, c, NULL);
  SSL_set_bio(c->tls, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  BIO_set_mem_eof_return(SSL_get_rbio(c->tls), -1);
  BIO_set_mem_eof_return(SSL_get_wbio(c->tls), -1);
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  while (SSL_connect(c->tls) != 1) {
    wire_send(c, piece);
    wire_receive(c);
  }
  wire_send(c, piece);
}

/* Reads until so many answers with this status have come. */
static void wire_expect(struct client *c, const char *status, size_t answers) {
  char bytes[4096];
  size_t n = 0;
  while (answers > 0) {
    int got = SSL_read(c->tls, bytes + n, (int)(sizeof bytes - 1 - n));
    if (got <= 0) {
      wire_receive(c);
      continue;
    }
    bytes[n += (size_t)got] = '\0';
    const char *last = bytes;
    for (const char *at = bytes; answers > 0 && (at = strstr(at, status)) != NULL; answers--)
      last = at += strlen(status);
    n -= (size_t)(last - bytes);
    memmove(bytes, last, n + 1);
    assert_true(n < sizeof bytes - 1);
  }
}

/* The handshake and a request byte by byte; then many records at once, and many requests in one:
   no byte may be forgotten while the socket is silent. */
static void test_cut_bytes(void **state) {
  (void)state;
  enum { MANY = 100 };
  struct secure s;
  struct client c;
  char many[MANY * sizeof get_health] = "";
  secure_start(&s);
  wire_open(&s, &c, 1);
  assert_true(client_write(&c, get_health, sizeof get_health - 1));
  wire_send(&c, 1);
  wire_expect(&c, "HTTP/1.1 200", 1);
  for (int i = 0; i < MANY; i++) {
    assert_true(client_write(&c, get_health, sizeof get_health - 1));
    strcat(many, get_health);
  }
  wire_send(&c, SIZE_MAX);
  wire_expect(&c, "HTTP/1.1 200", MANY);
  assert_true(client_write(&c, many, strlen(many)));
  wire_send(&c, SIZE_MAX);
  wire_expect(&c, "HTTP/1.1 200", MANY);
  client_end(&c);
  secure_end(&s);
}

/* Answers that fill the socket of a client that does not read; then its orderly end. */
static void test_large_answers(void **state) {
  (void)state;
  enum { MANY = 200 };
  static const char get[] = "GET /openapi.json HTTP/1.1\r\nHost: x\r\nX-Long: abcdefghijk\r\n\r\n",
                    last[] = "GET /openapi.json HTTP/1.0\r\nHost: x\r\n\r\n";
  struct secure s;
  struct client c;
  secure_start(&s);
  client_open(&s, &c, alpn_http);
  for (int i = 0; i < MANY; i++)
    assert_true(client_write(&c, get, sizeof get - 1));
  assert_true(client_write(&c, last, sizeof last - 1));
  for (int i = 0; i <= MANY; i++)
    assert_int_equal(client_answer(&c), 200);
  assert_int_equal(client_answer(&c), 0);
  assert_true(SSL_get_shutdown(c.tls) & SSL_RECEIVED_SHUTDOWN);
  client_end(&c);
  secure_end(&s);
}

static void rpc_is_served(const struct secure *s, const unsigned char *alpn, const void *body,
                          size_t n, size_t piece) {
  struct client c;
  struct rpc rpc;
  const uint8_t *bytes;
  client_open(s, &c, alpn);
  assert_true(rpc_over(&rpc, c.fd, c.tls));
  ssize_t preface = nghttp2_session_mem_send(rpc.session, &bytes);
  for (ssize_t at = 0; at < preface; at += (ssize_t)piece)
    assert_true(client_write(&c, (const char *)bytes + at,
                             (size_t)(preface - at) < piece ? (size_t)(preface - at) : piece));
  struct rpc_call *call =
      rpc_start(&rpc, SERVICE "Connect", "application/grpc", NULL, NULL, body, n);
  rpc_await(&rpc, 1);
  assert_string_equal(call->status, "0");
  rpc_end(&rpc);
}

/* Told by ALPN, by the first bytes, or by the address; also with a message of many records. */
static void test_grpc(void **state) {
  (void)state;
  enum { LARGE = 300000, FIELD = LARGE - 4 };
  struct secure s;
  uint8_t *large = calloc(1, LARGE + 5);
  secure_init(&s);
  snprintf(s.web.config.milvus, SRV_CONFIG_TEXT, "127.0.0.1:0");
  web_start(&s.web);
  const uint8_t head[] = {0, LARGE >> 24, LARGE >> 16 & 255, LARGE >> 8 & 255, LARGE & 255,
                          15 << 3 | 2, /* of a field that nobody knows */
                          (FIELD & 127) | 128, (FIELD >> 7 & 127) | 128, FIELD >> 14};
  memcpy(large, head, sizeof head);
  rpc_is_served(&s, alpn_h2, "\0\0\0\0\0", 5, SIZE_MAX / 2);
  rpc_is_served(&s, alpn_h2, large, LARGE + 5, SIZE_MAX / 2);
  rpc_is_served(&s, NULL, "\0\0\0\0\0", 5, SIZE_MAX / 2);
  rpc_is_served(&s, NULL, large, LARGE + 5, 1);
  s.web.port = s.web.milvus_port;
  rpc_is_served(&s, alpn_both, "\0\0\0\0\0", 5, SIZE_MAX / 2);
  free(large);
  secure_end(&s);
}

/* ---- What is spoken -------------------------------------------------------------------------- */

static bool shakes(const struct secure *s, int least, int most, const char *ciphers,
                   const unsigned char *alpn) {
  struct client c;
  client_begin(s, &c, alpn);
  SSL_set_min_proto_version(c.tls, least);
  SSL_set_max_proto_version(c.tls, most);
  if (ciphers)
    assert_int_equal(SSL_set_cipher_list(c.tls, ciphers), 1);
  bool done = SSL_connect(c.tls) == 1;
  ERR_clear_error();
  client_end(&c);
  return done;
}

static void test_versions(void **state) {
  (void)state;
  struct secure s;
  struct client c;
  secure_start(&s);
  client_open(&s, &c, alpn_http);
  assert_int_equal(SSL_version(c.tls), TLS1_3_VERSION);
  client_end(&c);
  assert_true(shakes(&s, TLS1_2_VERSION, TLS1_2_VERSION, NULL, alpn_http));
  assert_true(shakes(&s, TLS1_2_VERSION, TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305", NULL));
  assert_false(shakes(&s, TLS1_2_VERSION, TLS1_2_VERSION, "ECDHE-ECDSA-AES256-SHA384", NULL));
  assert_false(shakes(&s, TLS1_2_VERSION, TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA", NULL));
  assert_false(shakes(&s, TLS1_2_VERSION, TLS1_2_VERSION, "aNULL", NULL));
  assert_false(shakes(&s, TLS1_1_VERSION, TLS1_1_VERSION, NULL, NULL));
  assert_false(shakes(&s, TLS1_VERSION, TLS1_VERSION, NULL, NULL));
  assert_false(shakes(&s, TLS1_2_VERSION, TLS1_3_VERSION, NULL, alpn_other));
  secure_is_served(&s);
  secure_end(&s);
}

/* A client may have keys changed, in TLS 1.3, but not begin anew, in 1.2. */
static void test_renewal(void **state) {
  (void)state;
  struct secure s;
  struct client c;
  secure_start(&s);
  client_open(&s, &c, alpn_http);
  for (int i = 0; i < 5; i++) {
    assert_int_equal(SSL_key_update(c.tls, SSL_KEY_UPDATE_REQUESTED), 1);
    assert_int_equal(client_ask(&c, get_health), 200);
  }
  client_end(&c);
  client_begin(&s, &c, alpn_http);
  SSL_set_max_proto_version(c.tls, TLS1_2_VERSION);
  assert_int_equal(SSL_connect(c.tls), 1);
  assert_int_equal(SSL_renegotiate(c.tls), 1);
  assert_int_not_equal(SSL_do_handshake(c.tls), 1);
  ERR_clear_error();
  client_end(&c);
  secure_is_served(&s);
  secure_end(&s);
}

/* ---- Clients that do not shake hands --------------------------------------------------------- */

/* Anything else ends the connection; who speaks HTTP is told. */
static void test_garbage(void **state) {
  (void)state;
  static const struct {
    const char *bytes;
    size_t n;
  } cases[] = {{"nonsense", 8},
               {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24},
               {"\x16\x03\x01\x00\x04\x01\x00\x00\x00", 9},
               {"\x16\x03\x01\xff\xff", 5},
               {"\x16\x03\x01\x00\x00", 5},
               {"\x15\x03\x03\x00\x02\x02\x28", 7},
               {"\x17\x03\x03\x00\x01x", 6},
               {"\x16", 1},
               {"\0\0\0\0\0\0\0\0\0\0\0\0", 12},
               {"", 0}};
  struct secure s;
  char answer[1024];
  secure_start(&s);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    assert_int_equal(web_raw(&s.web, cases[i].bytes, cases[i].n, answer, sizeof answer), 0);
    secure_is_served(&s);
  }
  assert_int_equal(web_raw(&s.web, get_health, strlen(get_health), answer, sizeof answer), 400);
  assert_non_null(strstr(answer, "https"));
  secure_end(&s);
}

/* Clients that stop in the middle of the handshake, or after it, are cut off, keep nobody waiting,
   and do not keep the server from stopping. */
static void test_silence(void **state) {
  (void)state;
  enum { SILENT = 20 };
  static const char hello[] = "\x16\x03\x01\x01\x00\x01";
  struct secure s;
  struct client c;
  int fds[SILENT];
  char byte;
  secure_init(&s);
  s.web.config.request_seconds = 2;
  web_start(&s.web);
  for (int i = 0; i < SILENT; i++) {
    fds[i] = web_connect(&s.web);
    send(fds[i], hello, (size_t)i % sizeof hello, MSG_NOSIGNAL);
  }
  client_open(&s, &c, NULL);
  assert_true(client_write(&c, "PRI *", 5));
  secure_is_served(&s);
  for (int i = 0; i < SILENT; i++) {
    assert_int_equal(recv(fds[i], &byte, 1, 0), 0); /* when it is cut off */
    close(fds[i]);
  }
  assert_true(SSL_read(c.tls, &byte, 1) <= 0);
  client_end(&c);
  fds[0] = web_connect(&s.web);
  secure_is_served(&s);
  web_stop(&s.web);
  assert_true(recv(fds[0], &byte, 1, 0) <= 0);
  close(fds[0]);
  secure_end(&s);
}

/* Only so many are kept. */
static void test_too_many(void **state) {
  (void)state;
  enum { ROOM = 3 };
  struct secure s;
  int silent[ROOM + 1];
  char byte;
  secure_init(&s);
  s.web.config.connections = ROOM;
  web_start(&s.web);
  for (int i = 0; i <= ROOM; i++)
    silent[i] = web_connect(&s.web);
  assert_true(recv(silent[ROOM], &byte, 1, 0) <= 0);
  for (int i = 0; i <= ROOM; i++) {
    shutdown(silent[i], SHUT_WR);
    while (recv(silent[i], &byte, 1, 0) > 0) /* when it ends, its place is free */
      continue;
    close(silent[i]);
  }
  secure_is_served(&s);
  secure_end(&s);
}

/* ---- Files ----------------------------------------------------------------------------------- */

static void test_wrong_files(void **state) {
  (void)state;
  static const char pem[] = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  struct secure s;
  char other[TLS_PATH + 8], fresh[TLS_PATH + 8];
  secure_init(&s);
  *s.web.config.tls_key = '\0';
  start_fails(&s, "server.tls_key");
  snprintf(s.web.config.tls_key, SRV_CONFIG_TEXT, "%s/none", s.web.folder);
  start_fails(&s, "none");
  snprintf(s.web.config.tls_key, SRV_CONFIG_TEXT, "%s", s.key);
  assert_int_equal(chmod(s.key, 0644), 0);
  start_fails(&s, "0600");
  snprintf(other, sizeof other, "%s.other", s.key);
  assert_int_equal(rename(s.key, other), 0);
  certificate_write(&s, 2);
  assert_int_equal(rename(other, s.key), 0);
  assert_int_equal(chmod(s.key, 0600), 0);
  start_fails(&s, "mismatch");
  EVP_PKEY *key = EVP_EC_gen("P-256");
  FILE *f = file_begin(s.key, fresh);
  PEM_write_PrivateKey(f, key, EVP_aes_128_cbc(), (const uint8_t *)"secret", 6, NULL, NULL);
  file_end(f, fresh, s.key, 0600);
  EVP_PKEY_free(key);
  start_fails(&s, "key.pem");
  text_write(s.key, "no key\n", 0600);
  start_fails(&s, "key.pem");
  text_write(s.certificate, pem, 0644);
  start_fails(&s, "certificate.pem");
  text_write(s.certificate, "", 0644);
  start_fails(&s, "certificate.pem");
  *s.web.config.tls_certificate = '\0';
  start_fails(&s, "server.tls_certificate");
  *s.web.config.tls_key = '\0';
  snprintf(s.web.config.tls_client_ca, SRV_CONFIG_TEXT, "%s", s.certificate);
  start_fails(&s, "server.tls_client_ca");
  secure_end(&s);
}

static long serial_now(const struct secure *s) {
  struct client c;
  client_open(s, &c, alpn_http);
  assert_int_equal(client_ask(&c, get_health), 200);
  long serial = client_serial(&c);
  client_end(&c);
  return serial;
}

/* The number of the certificate that a client gets who asks for a name; NULL: for none. */
static long serial_of(const struct secure *s, const char *name, int version) {
  struct client c;
  client_begin(s, &c, alpn_http);
  SSL_set_max_proto_version(c.tls, version);
  if (name)
    SSL_set_tlsext_host_name(c.tls, name);
  assert_int_equal(SSL_connect(c.tls), 1);
  assert_int_equal(client_ask(&c, get_health), 200);
  long serial = client_serial(&c);
  client_end(&c);
  return serial;
}

/* Each name has its certificate; who asks for none, or for another, gets the first. */
static void test_names(void **state) {
  (void)state;
  static const struct {
    const char *name;
    long serial;
  } names[] = {{NULL, 1}, {"a.test", 2}, {"x.b.test", 3}, {"b.test", 1}, {"x.y.b.test", 1},
               {"A.TEST", 2}, {"c.test", 1}};
  struct secure s;
  char a[TLS_PATH], a_key[TLS_PATH], b[TLS_PATH], b_key[TLS_PATH], error[SRV_CONFIG_ERROR] = "";
  secure_init(&s);
  snprintf(a, sizeof a, "%s/a.pem", s.web.folder);
  snprintf(a_key, sizeof a_key, "%s/a-key.pem", s.web.folder);
  snprintf(b, sizeof b, "%s/b.pem", s.web.folder);
  snprintf(b_key, sizeof b_key, "%s/b-key.pem", s.web.folder);
  pair_write(a, a_key, 2, "DNS:a.test");
  pair_write(b, b_key, 3, "DNS:*.b.test");
  snprintf(s.web.config.tls_certificate, SRV_CONFIG_TEXT, "%s, %s,%s", s.certificate, a, b);
  snprintf(s.web.config.tls_key, SRV_CONFIG_TEXT, "%s,%s", s.key, a_key);
  start_fails(&s, "name 3 and 2 files");
  snprintf(s.web.config.tls_key, SRV_CONFIG_TEXT, "%s,%s, %s", s.key, b_key, a_key);
  start_fails(&s, "mismatch"); /* in another order */
  snprintf(s.web.config.tls_key, SRV_CONFIG_TEXT, "%s,%s, %s", s.key, a_key, b_key);
  web_start(&s.web);
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    assert_int_equal(serial_of(&s, names[i].name, TLS1_3_VERSION), names[i].serial);
    assert_int_equal(serial_of(&s, names[i].name, TLS1_2_VERSION), names[i].serial);
  }
  pair_write(b, b_key, 4, "DNS:b.test");
  assert_true(srv_tls_reload(s.web.server->tls, error));
  assert_int_equal(serial_of(&s, "b.test", TLS1_3_VERSION), 4);
  assert_int_equal(serial_of(&s, "x.b.test", TLS1_3_VERSION), 1);
  pair_write(a, b_key, 5, "DNS:a.test"); /* whose key is not where it should be */
  assert_false(srv_tls_reload(s.web.server->tls, error));
  assert_int_equal(serial_of(&s, "a.test", TLS1_3_VERSION), 2);
  secure_end(&s);
}

/* Wrong files change nothing, right ones are seen without being told of. */
static void test_changed_files(void **state) {
  (void)state;
  struct secure s;
  char error[SRV_CONFIG_ERROR] = "";
  secure_start(&s);
  assert_int_equal(serial_now(&s), 1);
  text_write(s.key, "no key\n", 0600);
  assert_false(srv_tls_reload(s.web.server->tls, error));
  assert_non_null(strstr(error, "key.pem"));
  assert_int_equal(serial_now(&s), 1);
  certificate_write(&s, 2);
  while (serial_now(&s) != 2) /* within a second */
    continue;
  secure_end(&s);
}

struct load {
  const struct secure *secure;
  _Atomic bool *stop;
  bool keeps; /* one connection for all requests */
  uint64_t asked, failed;
};

static void *load_run(void *arg) {
  struct load *l = arg;
  long newest = 0;
  while (!atomic_load(l->stop)) {
    struct client c;
    client_begin(l->secure, &c, alpn_http);
    bool good = SSL_connect(c.tls) == 1;
    long serial = good ? client_serial(&c) : 0;
    l->failed += serial < newest; /* or none */
    newest = serial;
    for (int i = 0; good && i < (l->keeps ? 1000000 : 3) && !atomic_load(l->stop); i++) {
      good = client_ask(&c, get_health) == 200;
      l->asked++;
    }
    l->failed += !good;
    client_end(&c);
  }
  return NULL;
}

/* Clients with open connections and with new ones, while certificates change: none fails, and each
   connection made after a change has the new one. */
static void test_reload_under_load(void **state) {
  (void)state;
  enum { CLIENTS = 4, CHANGES = 20 };
  struct secure s;
  struct load loads[CLIENTS] = {{0}};
  pthread_t threads[CLIENTS];
  _Atomic bool stop = false;
  char error[SRV_CONFIG_ERROR];
  secure_start(&s);
  for (int i = 0; i < CLIENTS; i++) {
    loads[i] = (struct load){.secure = &s, .stop = &stop, .keeps = i == 0};
    assert_int_equal(pthread_create(&threads[i], NULL, load_run, &loads[i]), 0);
  }
  for (long serial = 2; serial < 2 + CHANGES; serial++) {
    certificate_write(&s, serial);
    if (!srv_tls_reload(s.web.server->tls, error))
      fail_msg("%s", error);
    assert_int_equal(serial_now(&s), serial);
  }
  atomic_store(&stop, true);
  for (int i = 0; i < CLIENTS; i++) {
    pthread_join(threads[i], NULL);
    assert_true(loads[i].asked > 0);
    assert_int_equal(loads[i].failed, 0);
  }
  secure_end(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_http),          cmocka_unit_test(test_cut_records),
      cmocka_unit_test(test_cut_bytes),     cmocka_unit_test(test_large_answers),
      cmocka_unit_test(test_grpc),          cmocka_unit_test(test_versions),
      cmocka_unit_test(test_renewal),       cmocka_unit_test(test_garbage),
      cmocka_unit_test(test_silence),       cmocka_unit_test(test_too_many),
      cmocka_unit_test(test_wrong_files),   cmocka_unit_test(test_changed_files),
      cmocka_unit_test(test_names),         cmocka_unit_test(test_reload_under_load),
  };
  signal(SIGPIPE, SIG_IGN); /* as vecdbd does */
  return cmocka_run_group_tests_name("tls", tests, NULL, NULL);
}
