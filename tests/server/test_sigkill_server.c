/*
 * test_sigkill_server.c - a server killed while clients write to it over HTTP, in Qdrant's words
 * and over gRPC: after each restart every collection is asked for its rows, and holds each batch
 * that was answered. A batch gives all rows of one group the same stamp, or deletes them; a group
 * belongs to one client. So the group must be as its last answered batch made it, or as the one
 * after it did. The database lives on from cycle to cycle, and only servers ever open it.
 *
 * VDB_N: cycles. VDB_SEED: random moments.
 */
#include "server/rpctest.h"

#include <time.h>

#include "base/rng.h"
#include "tlib/thorough.h"

enum {
  KILL_CYCLES = TEST_SIZE(12, 4),
  KILL_CLIENTS = 6,
  KILL_GROUPS = 5, /* of each client */
  KILL_ROWS = 20,
  KILL_DIM = 4,
  KILL_ALL_GROUPS = KILL_CLIENTS * KILL_GROUPS,
  KILL_BODY = 16 * 1024
};

/* What a client speaks; each kind writes to a collection of its own. */
enum kill_kind { KILL_NATIVE, KILL_QDRANT, KILL_GRPC, KILL_KINDS };
static const char *const kill_names[] = {"native", "points", "rpc"};

struct kill_client {
  const struct web *web;
  pthread_t thread;
  struct vdb_rng rng;
  unsigned number;
  int64_t stamp; /* the last one */
  int64_t acked[KILL_GROUPS]; /* stamp of the last answered batch; 0: no rows */
  int64_t begun[KILL_GROUPS]; /* of the last one begun */
  uint64_t batches;
  char wrong[512]; /* an answer that should not have come; "": none */
};

static struct kill_client kill_clients[KILL_CLIENTS];

static uint64_t kill_setting(const char *name, uint64_t standard) {
  const char *text = getenv(name);
  return text && *text ? strtoull(text, NULL, 10) : standard;
}

static enum kill_kind kill_kind_of(const struct kill_client *c) {
  return (enum kill_kind)(c->number % KILL_KINDS);
}

/* ---- Batches --------------------------------------------------------------------------------- */

struct kill_batch {
  int64_t first; /* key */
  int64_t stamp; /* 0: delete */
};

static float kill_value(const struct kill_batch *b, int row, int i) {
  return (float)((b->stamp + row * 7 + i * 3) % 31) - 15;
}

/* The keys, or the rows, as JSON between commas. */
static size_t kill_json(const struct kill_batch *b, const char *key, const char *row, char *out) {
  size_t n = 0;
  for (int i = 0; i < KILL_ROWS; i++) {
    long long id = (long long)b->first + i;
    if (i)
      out[n++] = ',';
    if (b->stamp)
      n += (size_t)sprintf(out + n, row, id, (double)kill_value(b, i, 0),
                           (double)kill_value(b, i, 1), (double)kill_value(b, i, 2),
                           (double)kill_value(b, i, 3), (long long)b->stamp);
    else
      n += (size_t)sprintf(out + n, key, id);
  }
  return n;
}

/* Whether the request was answered; with another status than 200, that is noted. */
static bool kill_ask(struct kill_client *c, const char *method, const char *path,
                     const char *body) {
  struct web_answer a = web_ask(c->web, method, path, body);
  bool good = a.status == 200;
  if (a.status != 0 && !good)
    snprintf(c->wrong, sizeof c->wrong, "%s %s: %ld %.300s", method, path, a.status,
             a.text ? a.text : "");
  web_done(&a);
  return good;
}

static bool kill_native(struct kill_client *c, const struct kill_batch *b) {
  static const char row[] = "{\"id\":%lld,\"v\":[%g,%g,%g,%g],\"stamp\":%lld}";
  char list[KILL_BODY], body[KILL_BODY + 64];
  kill_json(b, "%lld", row, list);
  if (!b->stamp) {
    snprintf(body, sizeof body, "{\"keys\":[%s]}", list);
    return kill_ask(c, "POST", "/v1/collections/native/rows/delete", body);
  }
  if (vdb_rng_below(&c->rng, 2)) {
    snprintf(body, sizeof body, "{\"rows\":[%s]}", list);
    return kill_ask(c, "PUT", "/v1/collections/native/rows", body);
  }
  for (char *end = list; (end = strstr(end, "},{")) != NULL;)
    end[1] = '\n'; /* lines */
  return kill_ask(c, "POST", "/v1/collections/native/rows/stream", list);
}

static bool kill_qdrant(struct kill_client *c, const struct kill_batch *b) {
  static const char point[] =
      "{\"id\":%lld,\"vector\":[%g,%g,%g,%g],\"payload\":{\"stamp\":%lld}}";
  char list[KILL_BODY], body[KILL_BODY + 64];
  kill_json(b, "%lld", point, list);
  snprintf(body, sizeof body, "{\"points\":[%s]}", list);
  return b->stamp ? kill_ask(c, "PUT", "/collections/points/points?wait=true", body)
                  : kill_ask(c, "POST", "/collections/points/points/delete?wait=true", body);
}

/* A FieldData message of numbers, or of vectors. */
static void kill_column(struct pb_out *out, const char *name, const struct kill_batch *b,
                        bool keys) {
  size_t field = srv_pb_open(out, 5);
  srv_pb_text(out, 2, name);
  size_t scalars = srv_pb_open(out, 3), array = srv_pb_open(out, 3), data = srv_pb_open(out, 1);
  for (int i = 0; i < KILL_ROWS; i++)
    srv_pb_varint(out, (uint64_t)(keys ? b->first + i : b->stamp));
  srv_pb_close(out, data);
  srv_pb_close(out, array);
  srv_pb_close(out, scalars);
  srv_pb_close(out, field);
}

static void kill_vectors(struct pb_out *out, const struct kill_batch *b) {
  size_t field = srv_pb_open(out, 5);
  srv_pb_text(out, 2, "v");
  size_t vectors = srv_pb_open(out, 4);
  srv_pb_number(out, 1, KILL_DIM);
  size_t floats = srv_pb_open(out, 2), data = srv_pb_open(out, 1);
  for (int i = 0; i < KILL_ROWS; i++)
    for (int k = 0; k < KILL_DIM; k++) {
      float value = kill_value(b, i, k);
      srv_pb_raw(out, &value, sizeof value);
    }
  srv_pb_close(out, data);
  srv_pb_close(out, floats);
  srv_pb_close(out, vectors);
  srv_pb_close(out, field);
}

static void kill_message(struct pb_out *out, const struct kill_batch *b) {
  srv_pb_text(out, 3, kill_names[KILL_GRPC]);
  if (b->stamp) {
    kill_column(out, "id", b, true);
    kill_column(out, "stamp", b, false);
    kill_vectors(out, b);
    srv_pb_number(out, 7, KILL_ROWS);
  } else {
    char filter[128];
    snprintf(filter, sizeof filter, "id >= %lld and id < %lld", (long long)b->first,
             (long long)b->first + KILL_ROWS);
    srv_pb_text(out, 5, filter);
  }
}

/* Whether a MutationResult has come whose status, field 1, has nothing in it: success. */
static bool kill_rpc_good(struct srv_arena *arena, const struct rpc_call *call) {
  static const struct pb_field table[] = {{1, PB_BYTES, 0}};
  struct pb_bytes status;
  return strcmp(call->status, "0") == 0 && call->n_reply > 5 &&
         SRV_PB_READ(arena, ((struct pb_bytes){call->reply + 5, call->n_reply - 5}), table,
                     &status) &&
         status.n == 0;
}

static bool kill_grpc(struct kill_client *c, const struct kill_batch *b) {
  struct srv_arena arena = {0};
  struct pb_out out = {.arena = &arena};
  struct rpc rpc;
  uint8_t bytes[KILL_BODY];
  kill_message(&out, b);
  const char *path = !b->stamp                     ? SERVICE "Delete"
                     : vdb_rng_below(&c->rng, 2) ? SERVICE "Insert"
                                                   : SERVICE "Upsert";
  size_t n = rpc_framed(&out, bytes, sizeof bytes);
  const struct rpc_call *call = NULL;
  if (rpc_connect(&rpc, c->web->milvus_port))
    call = rpc_submit(&rpc, path, "application/grpc", NULL, NULL, bytes, n);
  bool answered = call && rpc_receive(&rpc, 1) && call->status[0];
  bool good = answered && kill_rpc_good(&arena, call);
  if (answered && !good)
    snprintf(c->wrong, sizeof c->wrong, "%s: status %s %s, %zu bytes", path, call->status,
             call->message, call->n_reply);
  rpc_end(&rpc);
  srv_arena_free(&arena);
  return good;
}

/* ---- A client -------------------------------------------------------------------------------- */

/* Seals and merges now and then, so that kills hit these too. */
static bool kill_tidy(struct kill_client *c) {
  char path[128];
  uint32_t what = vdb_rng_below(&c->rng, 40);
  enum kill_kind kind = kill_kind_of(c);
  if (what > 1)
    return true;
  snprintf(path, sizeof path, "/v1/collections/%s%s/%s", kind == KILL_QDRANT ? "qdrant_" : "",
           kill_names[kind], what ? "flush" : "compact");
  return kill_ask(c, "POST", path, NULL);
}

static void *kill_work(void *arg) {
  static bool (*const send_by[])(struct kill_client *, const struct kill_batch *) = {
      kill_native, kill_qdrant, kill_grpc};
  struct kill_client *c = arg;
  bool alive = true;
  while (alive) {
    uint32_t g = vdb_rng_below(&c->rng, KILL_GROUPS);
    struct kill_batch batch = {(int64_t)(c->number * KILL_GROUPS + g) * KILL_ROWS,
                               vdb_rng_below(&c->rng, 5) ? ++c->stamp : 0};
    c->begun[g] = batch.stamp;
    alive = send_by[kill_kind_of(c)](c, &batch);
    if (!alive)
      break;
    c->acked[g] = batch.stamp;
    c->batches++;
    alive = kill_tidy(c);
  }
  return NULL;
}

/* ---- The server ------------------------------------------------------------------------------ */

static void kill_create(const struct web *w) {
  static const char schema[] =
      "{\"name\":\"%s\",\"fields\":[{\"name\":\"id\",\"type\":\"INT64\",\"primary_key\":true},"
      "{\"name\":\"stamp\",\"type\":\"INT64\"},"
      "{\"name\":\"v\",\"type\":\"FLOAT_VECTOR\",\"dim\":4,\"metric\":\"L2\"}]}";
  char body[512];
  for (int kind = 0; kind < KILL_KINDS; kind++) {
    snprintf(body, sizeof body, schema, kill_names[kind]);
    if (kind != KILL_QDRANT)
      web_do(w, 201, "POST", "/v1/collections", body);
  }
  web_do(w, 200, "PUT", "/collections/points",
         "{\"vectors\":{\"size\":4,\"distance\":\"Euclid\"}}");
}

/* ---- What is there --------------------------------------------------------------------------- */

/* What a collection has of a group. */
struct kill_found {
  int64_t stamp;
  int n;
  bool mixed;
};

static void kill_find_row(struct kill_found *found, json_t *id, json_t *stamp) {
  assert_true(json_is_integer(id) && json_is_integer(stamp));
  json_int_t group = json_integer_value(id) / KILL_ROWS;
  assert_true(group >= 0 && group < KILL_ALL_GROUPS);
  struct kill_found *f = &found[group];
  f->mixed = f->mixed || (f->n && f->stamp != json_integer_value(stamp));
  f->stamp = json_integer_value(stamp);
  f->n++;
}

static void kill_find(const struct web *w, enum kill_kind kind, struct kill_found *found) {
  char path[64];
  size_t i;
  json_t *answer, *rows, *row;
  snprintf(path, sizeof path, "/v1/collections/%s/query", kill_names[kind]);
  if (kind == KILL_QDRANT) {
    answer = web_expect(w, 200, "POST", "/collections/points/points/scroll",
                        "{\"limit\":10000,\"with_payload\":true}");
    rows = json_object_get(json_object_get(answer, "result"), "points");
  } else {
    answer = web_expect(w, 200, "POST", path, "{\"fields\":[\"stamp\"],\"limit\":10000}");
    rows = json_object_get(answer, "rows");
  }
  json_array_foreach(rows, i, row) {
    json_t *payload = json_object_get(row, "payload");
    kill_find_row(found, json_object_get(row, "id"),
                  json_object_get(payload ? payload : row, "stamp"));
  }
  json_decref(answer);
}

/* Holds what is there against what was answered; it is what the next cycle begins with. */
static void kill_check(const struct web *w, uint64_t seed) {
  struct kill_found found[KILL_KINDS][KILL_ALL_GROUPS] = {0};
  for (int kind = 0; kind < KILL_KINDS; kind++)
    kill_find(w, (enum kill_kind)kind, found[kind]);
  for (unsigned i = 0; i < KILL_ALL_GROUPS; i++) {
    struct kill_client *c = &kill_clients[i / KILL_GROUPS];
    enum kill_kind kind = kill_kind_of(c);
    const struct kill_found *f = &found[kind][i];
    int64_t acked = c->acked[i % KILL_GROUPS], begun = c->begun[i % KILL_GROUPS];
    bool whole = !f->mixed && (f->n == KILL_ROWS || f->n == 0);
    if (!whole || (f->stamp != acked && f->stamp != begun))
      fail_msg("VDB_SEED=%llu: group %u of %s has %d rows%s with stamp %lld; answered %lld, begun "
               "%lld",
               (unsigned long long)seed, i, kill_names[kind], f->n, f->mixed ? ", mixed," : "",
               (long long)f->stamp, (long long)acked, (long long)begun);
    c->acked[i % KILL_GROUPS] = c->begun[i % KILL_GROUPS] = f->stamp;
    for (int other = 0; other < KILL_KINDS; other++)
      assert_true(other == (int)kind || found[other][i].n == 0);
  }
}

/* Lets the clients write until the server is killed. */
static void kill_cycle(const struct web *w, pid_t child, struct vdb_rng *rng) {
  for (unsigned i = 0; i < KILL_CLIENTS; i++) {
    struct kill_client *c = &kill_clients[i];
    c->web = w;
    c->number = i;
    c->rng = (struct vdb_rng){vdb_rng_next(rng)};
    assert_int_equal(pthread_create(&c->thread, NULL, kill_work, c), 0);
  }
  struct timespec moment = {0, (long)(1 + vdb_rng_below(rng, 250)) * 1000000};
  nanosleep(&moment, NULL); /* the moment of the kill; nothing waits for anything here */
  web_kill(child);
  for (unsigned i = 0; i < KILL_CLIENTS; i++)
    pthread_join(kill_clients[i].thread, NULL);
  for (unsigned i = 0; i < KILL_CLIENTS; i++)
    assert_string_equal(kill_clients[i].wrong, "");
}

static void test_kills(void **unused) {
  (void)unused;
  uint64_t cycles = kill_setting("VDB_N", KILL_CYCLES), seed = kill_setting("VDB_SEED", 1);
  struct vdb_rng rng = {seed};
  struct web w;
  uint64_t batches[KILL_KINDS] = {0};
  web_init(&w);
  snprintf(w.config.milvus, sizeof w.config.milvus, "127.0.0.1:0");
  pid_t child = web_fork(&w);
  kill_create(&w);
  for (uint64_t i = 0; i < cycles; i++) {
    kill_cycle(&w, child, &rng);
    child = web_fork(&w);
    kill_check(&w, seed);
  }
  web_kill(child);
  web_end(&w);
  for (unsigned i = 0; i < KILL_CLIENTS; i++)
    batches[kill_kind_of(&kill_clients[i])] += kill_clients[i].batches;
  printf("sigkill: cycles=%llu batches http=%llu qdrant=%llu grpc=%llu lost=0\n",
         (unsigned long long)cycles, (unsigned long long)batches[KILL_NATIVE],
         (unsigned long long)batches[KILL_QDRANT], (unsigned long long)batches[KILL_GRPC]);
  assert_true(batches[KILL_NATIVE] && batches[KILL_QDRANT] && batches[KILL_GRPC]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_kills),
  };
  curl_global_init(CURL_GLOBAL_ALL); /* before the clients' threads */
  int rc = cmocka_run_group_tests_name("sigkill of a server", tests, NULL, NULL);
  curl_global_cleanup();
  return rc;
}
