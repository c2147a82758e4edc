/*
 * test_grpc.c - the gRPC side of the server: protobuf's wire format, frames that are wrong, limits,
 * deadlines, overload, and clients that go away. TSAN: yes.
 */
#include "server/rpctest.h"

#include <time.h>

#include "server/milvus_state.h"

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
      rpc_expect(&w, "12", SERVICE "LoadPartitions", NULL, NULL, "\0\0\0\0\0", 5);
  assert_non_null(strstr(got.message, "all of its partitions"));
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
  size_t n = rpc_framed(&create, bytes, sizeof bytes);
  struct rpc_call got = rpc_expect(&w, "0", SERVICE "CreateCollection", NULL, NULL, bytes, n);
  assert_int_equal(got.n_reply, 5); /* an empty status: success */
  got = rpc_expect(&w, "0", SERVICE "CreateCollection", NULL, NULL, bytes, n);
  assert_non_null(memmem(got.reply, got.n_reply, "already exists", 14));
  n = rpc_framed(&index, bytes, sizeof bytes);
  got = rpc_expect(&w, "0", SERVICE "CreateIndex", NULL, NULL, bytes, n);
  assert_int_equal(got.n_reply, 5);
  web_stop(&w);
  web_start(&w);
  n = rpc_framed(&named, bytes, sizeof bytes);
  got = rpc_expect(&w, "0", SERVICE "DescribeCollection", NULL, NULL, bytes, n);
  static const char auto_id[] = {0x40, 1}; /* of the key */
  assert_non_null(memmem(got.reply, got.n_reply, "vector", 6));
  assert_non_null(memmem(got.reply, got.n_reply, auto_id, sizeof auto_id));
  got = rpc_expect(&w, "0", SERVICE "DescribeIndex", NULL, NULL, bytes, n);
  assert_non_null(memmem(got.reply, got.n_reply, "AUTOINDEX", 9));
  web_end(&w);
  srv_arena_free(&arena);
}

static void put_pair(struct pb_out *out, const char *key, const char *value) {
  size_t pair = srv_pb_open(out, 5);
  srv_pb_text(out, 1, key);
  srv_pb_text(out, 2, value);
  srv_pb_close(out, pair);
}

/* An index of a path in the JSON field `meta` of "learns", with such a cast: created, described. */
static void index_path(struct web *w, const char *cast, bool good) {
  struct srv_arena arena = {0};
  struct pb_out index = {.arena = &arena}, named = {.arena = &arena};
  uint8_t bytes[RPC_ROOM];
  srv_pb_text(&index, 3, "learns");
  srv_pb_text(&index, 4, "meta");
  put_pair(&index, "index_type", "INVERTED");
  put_pair(&index, "params", "{\"json_path\": \"meta['a'][0]\"}");
  put_pair(&index, "json_cast_type", cast);
  srv_pb_text(&index, 6, "by_a");
  size_t n = rpc_framed(&index, bytes, sizeof bytes);
  struct rpc_call got = rpc_expect(w, "0", SERVICE "CreateIndex", NULL, NULL, bytes, n);
  assert_int_equal(got.n_reply == 5, good);
  srv_pb_text(&named, 3, "learns");
  srv_pb_text(&named, 4, "meta");
  n = rpc_framed(&named, bytes, sizeof bytes);
  got = rpc_expect(w, "0", SERVICE "DescribeIndex", NULL, NULL, bytes, n);
  assert_int_equal(memmem(got.reply, got.n_reply, "json_cast_type", 14) != NULL, good);
  srv_arena_free(&arena);
}

/* Another metric makes a new collection of the rows: expiry and optimizers are those of the old. */
static void test_grpc_rebuild(void **state) {
  (void)state;
  struct web w;
  struct srv_arena arena = {0};
  struct pb_out index = {.arena = &arena}, named = {.arena = &arena};
  uint8_t bytes[RPC_ROOM];
  grpc_start(&w);
  web_start(&w);
  web_do(&w, 201, "POST", "/v1/collections",
         "{\"name\": \"learns\", \"fields\": ["
         "{\"name\": \"k\", \"type\": \"INT64\", \"primary_key\": true},"
         " {\"name\": \"until\", \"type\": \"INT64\"},"
         " {\"name\": \"meta\", \"type\": \"JSON\", \"nullable\": true},"
         " {\"name\": \"v\", \"type\": \"FLOAT_VECTOR\", \"dim\": 1, \"metric\": \"L2\"}]}");
  web_do(&w, 200, "POST", "/v1/collections/learns/rows",
         "{\"rows\": [{\"k\": 1, \"until\": 4000000000000, \"v\": [7]}]}");
  web_do(&w, 200, "PUT", "/v1/collections/learns/optimizers/v",
         "{\"kind\": \"adagrad\", \"rate\": 0.25}");
  struct engine_collection *learns;
  vecdb_optimizer optimizer = VECDB_OPTIMIZER_INIT;
  vecdb_error error;
  assert_int_equal(engine_collection_get(w.server->engine, "learns", &learns, &error), VECDB_OK);
  assert_int_equal(engine_expire(learns, "until", 5, NULL, &error), VECDB_OK);
  engine_collection_release(learns);
  index_path(&w, "ARRAY_DOUBLE", false);
  index_path(&w, "double", true);
  srv_pb_text(&index, 3, "learns");
  srv_pb_text(&index, 4, "v");
  size_t pair = srv_pb_open(&index, 5);
  srv_pb_text(&index, 1, "metric_type");
  srv_pb_text(&index, 2, "IP");
  srv_pb_close(&index, pair);
  size_t n = rpc_framed(&index, bytes, sizeof bytes);
  struct rpc_call got = rpc_expect(&w, "0", SERVICE "CreateIndex", NULL, NULL, bytes, n);
  assert_int_equal(got.n_reply, 5);
  uint64_t count = 0, ttl = 0;
  assert_int_equal(engine_collection_get(w.server->engine, "learns-2", &learns, &error), VECDB_OK);
  assert_int_equal(engine_count(learns, NULL, &count, &error), VECDB_OK);
  assert_int_equal(count, 1);
  assert_string_equal(engine_expiry(learns, &ttl), "until");
  assert_int_equal(ttl, 5);
  assert_int_equal(engine_optimizer_get(learns, "v", &optimizer, &error), VECDB_OK);
  assert_int_equal(optimizer.kind, VECDB_OPTIMIZER_ADAGRAD);
  assert_true(optimizer.rate == 0.25f);
  const vecdb_field *meta = &engine_collection_schema(learns)->fields[2];
  assert_int_equal(meta->n_json_indexes, 1);
  assert_string_equal(meta->json_indexes[0].path, "[\"a\"][0]");
  engine_collection_release(learns);
  srv_pb_text(&named, 3, "learns");
  srv_pb_text(&named, 5, "by_a");
  n = rpc_framed(&named, bytes, sizeof bytes);
  got = rpc_expect(&w, "0", SERVICE "DropIndex", NULL, NULL, bytes, n);
  assert_int_equal(got.n_reply, 5);
  assert_int_equal(engine_collection_get(w.server->engine, "learns-2", &learns, &error), VECDB_OK);
  assert_int_equal(engine_collection_schema(learns)->fields[2].n_json_indexes, 0);
  engine_collection_release(learns);
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

/* Who takes nothing of an answer is cut off after request_seconds, however many other calls it
   makes meanwhile. */
static void test_grpc_unread(void **state) {
  (void)state;
  static const nghttp2_settings_entry closed[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0}};
  const struct timespec pause = {0, 50000000};
  struct web w;
  struct rpc c;
  bool there = true;
  grpc_start(&w);
  w.config.request_seconds = 1;
  web_start(&w);
  rpc_open(&w, &c);
  nghttp2_submit_settings(c.session, NGHTTP2_FLAG_NONE, closed, 1);
  rpc_start(&c, SERVICE "GetVersion", "application/grpc", NULL, NULL, "\0\0\0\0\0", 5);
  for (unsigned i = 1; there && i < 400; i++) {
    c.n_calls = 1; /* the place of the call before, which is answered without a message */
    there = rpc_submit(&c, SERVICE "None", "application/grpc", NULL, NULL, "\0\0\0\0\0", 5) &&
            rpc_receive(&c, i);
    nanosleep(&pause, NULL);
  }
  assert_false(there);
  assert_false(c.calls[0].closed);
  rpc_end(&c);
  web_end(&w);
}

/* One row: k, and the vector v. */
static size_t insert_one(uint8_t *to, size_t room) {
  static const float one = 1;
  struct srv_arena arena = {0};
  struct pb_out out = {.arena = &arena};
  srv_pb_text(&out, 3, "odd");
  srv_pb_text(&out, 4, "_default");
  for (int vector = 0; vector < 2; vector++) {
    size_t field = srv_pb_open(&out, 5);
    srv_pb_text(&out, 2, vector ? "v" : "k");
    size_t all = srv_pb_open(&out, vector ? 4 : 3);
    if (vector)
      srv_pb_number(&out, 1, 1);
    size_t typed = srv_pb_open(&out, vector ? 2 : 3);
    if (vector)
      srv_pb_bytes(&out, 1, &one, sizeof one);
    else
      srv_pb_number(&out, 1, 7);
    srv_pb_close(&out, typed);
    srv_pb_close(&out, all);
    srv_pb_close(&out, field);
  }
  srv_pb_number(&out, 7, 1);
  size_t n = rpc_framed(&out, to, room);
  srv_arena_free(&arena);
  return n;
}

/* Fields with the names of the dialect's own, and other types, are not its own. */
static void test_grpc_alike(void **state) {
  (void)state;
  struct web w;
  uint8_t body[512];
  size_t n = insert_one(body, sizeof body);
  grpc_start(&w);
  web_start(&w);
  web_do(&w, 201, "POST", "/v1/collections",
         "{\"name\": \"odd\", \"fields\": [{\"name\": \"k\", \"type\": \"INT64\","
         " \"primary_key\": true}, {\"name\": \"v\", \"type\": \"FLOAT_VECTOR\", \"dim\": 1},"
         " {\"name\": \"_written\", \"type\": \"VARCHAR\", \"max_length\": 9, \"default\": \"-\"},"
         " {\"name\": \"_partition\", \"type\": \"INT64\", \"default\": 5}]}");
  rpc_expect(&w, "0", SERVICE "Insert", NULL, NULL, body, n);
  json_t *row = web_expect(&w, 200, "GET", "/v1/collections/odd/rows/7", NULL);
  assert_string_equal(json_string_value(json_object_get(row, "_written")), "-");
  assert_int_equal(json_integer_value(json_object_get(row, "_partition")), 5);
  json_decref(row);
  web_end(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_pb_round_trip),   cmocka_unit_test(test_pb_cuts),
      cmocka_unit_test(test_pb_malformed),    cmocka_unit_test(test_pb_limit),
      cmocka_unit_test(test_grpc_answers),    cmocka_unit_test(test_grpc_wrong_calls),
      cmocka_unit_test(test_grpc_garbage),    cmocka_unit_test(test_grpc_overload),
      cmocka_unit_test(test_grpc_gone),       cmocka_unit_test(test_grpc_slow),
      cmocka_unit_test(test_grpc_restart),    cmocka_unit_test(test_grpc_rebuild),
      cmocka_unit_test(test_grpc_bad_records), cmocka_unit_test(test_grpc_alike),
      cmocka_unit_test(test_grpc_unread),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
