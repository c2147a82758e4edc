/*
 * test_grpc.c - the gRPC side of the server: protobuf's wire format, frames that are wrong, limits,
 * deadlines, overload, and clients that go away. TSAN: yes.
 */
#include "webtest.h"

#include <nghttp2/nghttp2.h>

#include "server/milvus_state.h"
#include "server/pb.h"

/* ---- Protobuf -------------------------------------------------------------------------------- */

struct sample {
  int64_t number;
  const char *text;
  struct pb_bytes bytes;
  struct pb_list list;
  struct pb_numbers numbers;
  double narrow, wide;
};
static const struct pb_field sample_table[] = {
    {1, PB_NUMBER, offsetof(struct sample, number)},
    {2, PB_TEXT, offsetof(struct sample, text)},
    {3, PB_BYTES, offsetof(struct sample, bytes)},
    {4, PB_LIST, offsetof(struct sample, list)},
    {5, PB_NUMBERS, offsetof(struct sample, numbers)},
    {6, PB_FLOAT, offsetof(struct sample, narrow)},
    {2000, PB_DOUBLE, offsetof(struct sample, wide)},
};

/* Writes a message with n items in its lists. */
static void sample_write(struct pb_out *out, int n) {
  srv_pb_number(out, 1, -n);
  srv_pb_text(out, 2, "größe");
  srv_pb_bytes(out, 3, "a\0b", 3);
  srv_pb_number(out, 99, 7); /* which the table does not name */
  size_t mark = srv_pb_open(out, 5);
  for (int i = 0; i < n; i++)
    srv_pb_varint(out, (uint64_t)i * (uint64_t)i);
  srv_pb_close(out, mark);
  for (int i = 0; i < n; i++) {
    srv_pb_bytes(out, 4, "item", (size_t)(i % 5));
    srv_pb_number(out, 5, -i); /* not packed: appended */
  }
  srv_pb_float(out, 6, 0.5f);
  srv_pb_double(out, 2000, 1.0 / 3);
}

static void test_pb_round_trip(void **state) {
  (void)state;
  for (int n = 0; n < 300; n += 1 + n / 7) {
    struct srv_arena arena = {0};
    struct pb_out out = {.arena = &arena};
    struct sample s;
    sample_write(&out, n);
    assert_false(out.failed);
    assert_true(SRV_PB_READ(&arena, ((struct pb_bytes){out.data, out.n}), sample_table, &s));
    assert_int_equal(s.number, -n);
    assert_string_equal(s.text, "größe");
    assert_int_equal(s.bytes.n, 3);
    assert_memory_equal(s.bytes.data, "a\0b", 3);
    assert_int_equal(s.list.n, n);
    assert_int_equal(s.numbers.n, 2 * n);
    for (int i = 0; i < n; i++) {
      assert_int_equal(s.list.items[i].n, i % 5);
      assert_int_equal(s.numbers.items[i], i * i);
      assert_int_equal(s.numbers.items[n + i], -i);
    }
    assert_true(s.narrow == 0.5 && s.wide == 1.0 / 3);
    srv_arena_free(&arena);
  }
}

/* Every cut of a message is read or refused, and none reads past its end. */
static void test_pb_cuts(void **state) {
  (void)state;
  struct srv_arena arena = {0};
  struct pb_out out = {.arena = &arena};
  struct sample s;
  sample_write(&out, 20);
  for (size_t n = 0; n < out.n; n++) {
    uint8_t *copy = malloc(n + 1); /* of this size, for the address sanitizer */
    memcpy(copy, out.data, n);
    SRV_PB_READ(&arena, ((struct pb_bytes){copy, n}), sample_table, &s);
    free(copy);
  }
  srv_arena_free(&arena);
}

static void test_pb_malformed(void **state) {
  (void)state;
  static const struct {
    const char *bytes;
    size_t n;
  } bad[] = {
      {"\x08", 1},                                                 /* no value */
      {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11},        /* over 64 bits */
      {"\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 12},    /* too long */
      {"\x12\x05" "abc", 5},                                       /* ends early */
      {"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11},        /* a length of 2^64 - 1 */
      {"\x12\x03" "a\0b", 5},                                      /* a NUL in a text */
      {"\x0a\x01" "a", 3},                                         /* bytes for a number */
      {"\x10\x01", 2},                                             /* a number for a text */
      {"\x2a\x01\x80", 3},                                         /* a packed number without end */
      {"\x35\x01\x02\x03", 4},                                     /* three bytes of a float */
      {"\x0b\x0c", 2},                                             /* a group */
      {"\x00\x01", 2},                                             /* field 0 */
  };
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    struct srv_arena arena = {0};
    struct sample s;
    struct pb_bytes in = {(const uint8_t *)bad[i].bytes, bad[i].n};
    if (SRV_PB_READ(&arena, in, sample_table, &s))
      fail_msg("malformed message %zu was read", i);
    srv_arena_free(&arena);
  }
}

/* A message that asks for more memory than the call may have is refused. */
static void test_pb_limit(void **state) {
  (void)state;
  struct srv_arena arena = {.limit = 64 * 1024};
  struct sample s;
  size_t n = 200000;
  uint8_t *many = malloc(n);
  for (size_t i = 0; i < n; i += 2)
    memcpy(many + i, "\x22\x00", 2); /* an empty item each */
  assert_false(SRV_PB_READ(&arena, ((struct pb_bytes){many, n}), sample_table, &s));
  srv_arena_free(&arena);
  struct pb_out out = {.arena = &arena};
  srv_pb_bytes(&out, 1, many, n);
  assert_true(out.failed);
  srv_arena_free(&arena);
  free(many);
}

/* ---- A client -------------------------------------------------------------------------------- */

enum { RPC_CALLS = 8, RPC_ROOM = 4096 };

struct rpc_call {
  int32_t stream;
  const uint8_t *body; /* with its prefix */
  size_t n, sent;
  char http[8], status[8], message[512];
  uint8_t reply[RPC_ROOM];
  size_t n_reply;
  bool closed;
};

struct rpc {
  int fd;
  nghttp2_session *session;
  struct rpc_call calls[RPC_CALLS];
  unsigned n_calls, n_closed;
};

static ssize_t rpc_send(nghttp2_session *session, const uint8_t *data, size_t n, int flags,
                        void *user) {
  (void)session;
  (void)flags;
  ssize_t sent = send(((struct rpc *)user)->fd, data, n, MSG_NOSIGNAL);
  return sent < 0 ? NGHTTP2_ERR_CALLBACK_FAILURE : sent;
}

static struct rpc_call *rpc_find(struct rpc *c, int32_t stream) {
  for (unsigned i = 0; i < c->n_calls; i++)
    if (c->calls[i].stream == stream)
      return &c->calls[i];
  return NULL;
}

static int rpc_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                      size_t n_name, const uint8_t *value, size_t n_value, uint8_t flags,
                      void *user) {
  (void)session;
  (void)n_name;
  (void)n_value;
  (void)flags;
  struct rpc_call *call = rpc_find(user, frame->hd.stream_id);
  if (strcmp((const char *)name, ":status") == 0)
    snprintf(call->http, sizeof call->http, "%s", (const char *)value);
  if (strcmp((const char *)name, "grpc-status") == 0)
    snprintf(call->status, sizeof call->status, "%s", (const char *)value);
  if (strcmp((const char *)name, "grpc-message") == 0)
    snprintf(call->message, sizeof call->message, "%s", (const char *)value);
  return 0;
}

static int rpc_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data,
                    size_t n, void *user) {
  (void)session;
  (void)flags;
  struct rpc_call *call = rpc_find(user, stream);
  assert_true(n <= RPC_ROOM - call->n_reply);
  memcpy(call->reply + call->n_reply, data, n);
  call->n_reply += n;
  return 0;
}

static int rpc_close(nghttp2_session *session, int32_t stream, uint32_t code, void *user) {
  (void)session;
  (void)code;
  struct rpc *c = user;
  rpc_find(c, stream)->closed = true;
  c->n_closed++;
  return 0;
}

static void rpc_open(const struct web *w, struct rpc *c) {
  struct sockaddr_in to = {.sin_family = AF_INET,
                           .sin_port = htons((uint16_t)srv_server_milvus_port(w->server, 0))};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  memset(c, 0, sizeof *c);
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(connect(c->fd, (struct sockaddr *)&to, sizeof to), 0);
  nghttp2_session_callbacks *callbacks;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_send_callback(callbacks, rpc_send);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, rpc_header);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, rpc_data);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, rpc_close);
  assert_int_equal(nghttp2_session_client_new(&c->session, callbacks, c), 0);
  nghttp2_session_callbacks_del(callbacks);
  nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, NULL, 0);
}

static void rpc_end(struct rpc *c) {
  nghttp2_session_del(c->session);
  close(c->fd);
}

static ssize_t rpc_fill(nghttp2_session *session, int32_t stream, uint8_t *buffer, size_t size,
                        uint32_t *flags, nghttp2_data_source *source, void *user) {
  (void)session;
  (void)stream;
  (void)user;
  struct rpc_call *call = source->ptr;
  size_t n = call->n - call->sent < size ? call->n - call->sent : size;
  if (n)
    memcpy(buffer, call->body + call->sent, n);
  call->sent += n;
  if (call->sent == call->n)
    *flags = NGHTTP2_DATA_FLAG_EOF;
  return (ssize_t)n;
}

#define HEADER(name, value)                                                               \
  {(uint8_t *)(uintptr_t)(name), (uint8_t *)(uintptr_t)(value), strlen(name), strlen(value), 0}

/* Sends a call; `extra` is one more header, or NULL. */
static struct rpc_call *rpc_start(struct rpc *c, const char *path, const char *type,
                                  const char *extra, const char *value, const void *body,
                                  size_t n) {
  struct rpc_call *call = &c->calls[c->n_calls++];
  assert_true(c->n_calls <= RPC_CALLS);
  call->body = body;
  call->n = n;
  nghttp2_nv headers[] = {HEADER(":method", "POST"), HEADER(":scheme", "http"),
                          HEADER(":path", path), HEADER(":authority", "localhost"),
                          HEADER("content-type", type), HEADER(extra ? extra : "te",
                                                               extra ? value : "trailers")};
  nghttp2_data_provider data = {.source.ptr = call, .read_callback = rpc_fill};
  call->stream = nghttp2_submit_request(c->session, NULL, headers, 6, &data, NULL);
  assert_true(call->stream > 0);
  assert_int_equal(nghttp2_session_send(c->session), 0);
  return call;
}

/* Reads until `n` calls are answered. */
static void rpc_await(struct rpc *c, unsigned n) {
  uint8_t buffer[4096];
  while (c->n_closed < n) {
    ssize_t got = recv(c->fd, buffer, sizeof buffer, 0);
    if (got <= 0)
      fail_msg("the server closed the connection");
    assert_int_equal(nghttp2_session_mem_recv(c->session, buffer, (size_t)got), got);
    nghttp2_session_send(c->session);
  }
}

#define SERVICE "/milvus.proto.milvus.MilvusService/"

/* One call on a connection of its own, whose status must be this. */
static struct rpc_call rpc_expect(const struct web *w, const char *status, const char *path,
                                  const char *extra, const char *value, const void *body,
                                  size_t n) {
  struct rpc c;
  rpc_open(w, &c);
  struct rpc_call *call = rpc_start(&c, path, "application/grpc", extra, value, body, n);
  rpc_await(&c, 1);
  if (strcmp(call->status, status) != 0)
    fail_msg("%s: status %s, not %s: %s", path, call->status, status, call->message);
  struct rpc_call out = *call;
  rpc_end(&c);
  return out;
}

static void grpc_start(struct web *w) {
  web_init(w);
  snprintf(w->config.milvus, sizeof w->config.milvus, "127.0.0.1:0");
}

/* ---- Frames ---------------------------------------------------------------------------------- */

static void test_grpc_answers(void **state) {
  (void)state;
  struct web w;
  grpc_start(&w);
  web_start(&w);
  struct rpc_call got = rpc_expect(&w, "0", SERVICE "GetVersion", NULL, NULL, "\0\0\0\0\0", 5);
  assert_true(got.n_reply > 5 && got.reply[0] == 0);
  assert_int_equal(got.reply[4], got.n_reply - 5);
  /* DescribeCollection of a collection that is not there: the call succeeds, its status has 100. */
  static const char named[] = "\0\0\0\0\x06\x1a\x04none";
  got = rpc_expect(&w, "0", SERVICE "DescribeCollection", NULL, NULL, named, sizeof named - 1);
  static const char code[] = {0x18, 100};
  assert_non_null(memmem(got.reply, got.n_reply, code, sizeof code));
  web_end(&w);
}

static void test_grpc_wrong_calls(void **state) {
  (void)state;
  struct web w;
  grpc_start(&w);
  w.config.body_bytes = 1024;
  web_start(&w);
  struct rpc_call got =
      rpc_expect(&w, "12", SERVICE "CreatePartition", NULL, NULL, "\0\0\0\0\0", 5);
  assert_non_null(strstr(got.message, "_default"));
  rpc_expect(&w, "12", SERVICE "Nothing", NULL, NULL, "\0\0\0\0\0", 5);
  rpc_expect(&w, "12", "/other.Service/Connect", NULL, NULL, "\0\0\0\0\0", 5);
  rpc_expect(&w, "12", SERVICE "Connect", "grpc-encoding", "gzip", "\x01\0\0\0\x01z", 6);
  rpc_expect(&w, "13", SERVICE "Connect", NULL, NULL, "\x01\0\0\0\x01z", 6);
  rpc_expect(&w, "3", SERVICE "Connect", NULL, NULL, "", 0);
  rpc_expect(&w, "3", SERVICE "Connect", NULL, NULL, "\0\0\0", 3);
  rpc_expect(&w, "3", SERVICE "Connect", NULL, NULL, "\0\0\0\0\x05" "abc", 8);
  rpc_expect(&w, "3", SERVICE "Connect", NULL, NULL, "\0\0\0\0\0\0\0\0\0\0", 10);
  rpc_expect(&w, "8", SERVICE "Insert", NULL, NULL, "\0\0\0\x04\x01" "abc", 8);
  rpc_expect(&w, "8", SERVICE "Insert", NULL, NULL, "\0\xff\xff\xff\xff" "abc", 8);
  rpc_expect(&w, "3", SERVICE "Search", NULL, NULL, "\0\0\0\0\x02\x0b\x0c", 7);
  rpc_expect(&w, "3", SERVICE "Insert", NULL, NULL, "\0\0\0\0\x02\x12\x7f", 7);
  rpc_expect(&w, "4", SERVICE "ShowCollections", "grpc-timeout", "1n", "\0\0\0\0\0", 5);
  rpc_expect(&w, "0", SERVICE "ShowCollections", "grpc-timeout", "1H", "\0\0\0\0\0", 5);
  struct rpc c;
  rpc_open(&w, &c);
  struct rpc_call *plain = rpc_start(&c, SERVICE "Connect", "text/plain", NULL, NULL, "x", 1);
  rpc_await(&c, 1);
  assert_string_equal(plain->http, "415");
  rpc_end(&c);
  web_end(&w);
}

/* Bytes that are no HTTP/2: the connection is closed, and the next one is served. */
static void test_grpc_garbage(void **state) {
  (void)state;
  static const char *const garbage[] = {
      "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
      "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
  };
  struct web w;
  grpc_start(&w);
  web_start(&w);
  for (size_t i = 0; i < sizeof garbage / sizeof garbage[0]; i++) {
    struct rpc c;
    uint8_t buffer[256];
    rpc_open(&w, &c);
    assert_true(send(c.fd, garbage[i], strlen(garbage[i]), MSG_NOSIGNAL) > 0);
    while (recv(c.fd, buffer, sizeof buffer, 0) > 0)
      continue;
    rpc_end(&c);
  }
  rpc_expect(&w, "0", SERVICE "Connect", NULL, NULL, "\0\0\0\0\0", 5);
  web_end(&w);
}

/* ---- What is kept ---------------------------------------------------------------------------- */

/* A frame of a message: its prefix and what `out` holds. */
static size_t framed(const struct pb_out *out, uint8_t *to) {
  uint32_t length = htonl((uint32_t)out->n);
  assert_true(out->n + 5 <= RPC_ROOM);
  to[0] = 0;
  memcpy(to + 1, &length, sizeof length);
  memcpy(to + 5, out->data, out->n);
  return out->n + 5;
}

static void put_field(struct pb_out *out, const char *name, int type, bool primary) {
  size_t field = srv_pb_open(out, 4);
  srv_pb_text(out, 2, name);
  srv_pb_number(out, 3, primary);
  srv_pb_number(out, 5, type);
  srv_pb_number(out, 8, primary); /* auto_id */
  size_t pair = srv_pb_open(out, 6);
  srv_pb_text(out, 1, "dim");
  srv_pb_text(out, 2, "4");
  srv_pb_close(out, pair);
  srv_pb_close(out, field);
}

/* A collection, that it numbers its rows, and its index are there after a restart. */
static void test_grpc_restart(void **state) {
  (void)state;
  struct web w;
  struct srv_arena arena = {0};
  struct pb_out create = {.arena = &arena}, index = {.arena = &arena}, named = {.arena = &arena};
  uint8_t bytes[RPC_ROOM];
  srv_pb_text(&create, 3, "kept");
  size_t schema = srv_pb_open(&create, 4);
  put_field(&create, "key", 5, true);
  put_field(&create, "vector", 101, false);
  srv_pb_close(&create, schema);
  srv_pb_text(&index, 3, "kept");
  srv_pb_text(&index, 4, "vector");
  srv_pb_text(&named, 3, "kept");
  grpc_start(&w);
  web_start(&w);
  size_t n = framed(&create, bytes);
  struct rpc_call got = rpc_expect(&w, "0", SERVICE "CreateCollection", NULL, NULL, bytes, n);
  assert_int_equal(got.n_reply, 5); /* an empty status: success */
  got = rpc_expect(&w, "0", SERVICE "CreateCollection", NULL, NULL, bytes, n);
  assert_non_null(memmem(got.reply, got.n_reply, "already exists", 14));
  n = framed(&index, bytes);
  got = rpc_expect(&w, "0", SERVICE "CreateIndex", NULL, NULL, bytes, n);
  assert_int_equal(got.n_reply, 5);
  web_stop(&w);
  web_start(&w);
  n = framed(&named, bytes);
  got = rpc_expect(&w, "0", SERVICE "DescribeCollection", NULL, NULL, bytes, n);
  static const char auto_id[] = {0x40, 1}; /* of the key */
  assert_non_null(memmem(got.reply, got.n_reply, "vector", 6));
  assert_non_null(memmem(got.reply, got.n_reply, auto_id, sizeof auto_id));
  got = rpc_expect(&w, "0", SERVICE "DescribeIndex", NULL, NULL, bytes, n);
  assert_non_null(memmem(got.reply, got.n_reply, "AUTOINDEX", 9));
  web_end(&w);
  srv_arena_free(&arena);
}

/* A file of records that is no JSON: the server does not start, and says so. */
static void test_grpc_bad_records(void **state) {
  (void)state;
  struct web w;
  char path[SRV_CONFIG_TEXT + 16], error[SRV_CONFIG_ERROR];
  grpc_start(&w);
  snprintf(path, sizeof path, "%s.milvus.json", w.config.data);
  FILE *f = fopen(path, "w");
  assert_non_null(f);
  fputs("[1, 2", f);
  fclose(f);
  w.server = srv_server_start(&w.config, NULL, error);
  assert_null(w.server);
  assert_non_null(strstr(error, "milvus.json"));
  web_end(&w);
}

/* ---- Overload and clients that go ------------------------------------------------------------ */

/* With one worker held and one place to wait, of three calls at least one is refused at once, and
   the others are answered when the worker goes on. */
static void test_grpc_overload(void **state) {
  (void)state;
  struct web w;
  struct rpc c;
  grpc_start(&w);
  w.config.workers = 1;
  w.config.queue = 1;
  web_start(&w);
  static const char drop[] = "\0\0\0\0\x06\x1a\x04none";
  pthread_mutex_lock(&w.server->milvus->change);
  rpc_open(&w, &c);
  for (int i = 0; i < 3; i++)
    rpc_start(&c, SERVICE "DropCollection", "application/grpc", NULL, NULL, drop, sizeof drop - 1);
  rpc_await(&c, 1);
  pthread_mutex_unlock(&w.server->milvus->change);
  rpc_await(&c, 3);
  int refused = 0, good = 0;
  for (int i = 0; i < 3; i++) {
    refused += strcmp(c.calls[i].status, "8") == 0;
    good += strcmp(c.calls[i].status, "0") == 0;
  }
  assert_true(refused >= 1 && good >= 1 && refused + good == 3);
  rpc_end(&c);
  web_end(&w);
}

/* A client goes while its call is at work: nothing is left of it when the server stops. */
static void test_grpc_gone(void **state) {
  (void)state;
  struct web w;
  struct rpc c;
  grpc_start(&w);
  web_start(&w);
  static const char drop[] = "\0\0\0\0\x06\x1a\x04none";
  pthread_mutex_lock(&w.server->milvus->change);
  rpc_open(&w, &c);
  rpc_start(&c, SERVICE "DropCollection", "application/grpc", NULL, NULL, drop, sizeof drop - 1);
  rpc_start(&c, SERVICE "Connect", "application/grpc", NULL, NULL, "\0\0\0\0\0", 5);
  rpc_await(&c, 1); /* the second: so the first has arrived */
  rpc_end(&c);
  rpc_expect(&w, "0", SERVICE "Connect", NULL, NULL, "\0\0\0\0\0", 5);
  pthread_mutex_unlock(&w.server->milvus->change);
  web_end(&w);
}

/* A call that does not come whole is cut off after request_seconds. */
static void test_grpc_slow(void **state) {
  (void)state;
  struct web w;
  struct rpc c;
  uint8_t buffer[256];
  grpc_start(&w);
  w.config.request_seconds = 1;
  web_start(&w);
  rpc_open(&w, &c);
  assert_int_equal(nghttp2_session_send(c.session), 0);
  assert_true(send(c.fd, "\0\0\x01\x01\x00", 5, MSG_NOSIGNAL) > 0); /* a part of a frame */
  while (recv(c.fd, buffer, sizeof buffer, 0) > 0)
    continue;
  rpc_end(&c);
  web_end(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_pb_round_trip),   cmocka_unit_test(test_pb_cuts),
      cmocka_unit_test(test_pb_malformed),    cmocka_unit_test(test_pb_limit),
      cmocka_unit_test(test_grpc_answers),    cmocka_unit_test(test_grpc_wrong_calls),
      cmocka_unit_test(test_grpc_garbage),    cmocka_unit_test(test_grpc_overload),
      cmocka_unit_test(test_grpc_gone),       cmocka_unit_test(test_grpc_slow),
      cmocka_unit_test(test_grpc_restart),    cmocka_unit_test(test_grpc_bad_records),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
