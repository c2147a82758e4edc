/*
 * test_quota.c - what one may use up: buckets by a clock of the test's, the turns of lanes beside a
 * naive queue, and 429 over HTTP and gRPC for who is over, and for nobody else.
 * TSAN: yes
 */
#include "base/rng.h"
#include "server/authtest.h"
#include "server/guard.h"
#include "server/lanes.h"
#include "server/quota.h"
#include "server/rpctest.h"
#include "tlib/thorough.h"

#define SECOND UINT64_C(1000000000)

/* ---- Buckets --------------------------------------------------------------------------------- */

/* How many of `tries` requests at one moment are taken in; they leave at once. */
static unsigned taken(struct srv_quotas *q, const char *name, const struct srv_quota *limits,
                      uint64_t now, unsigned tries) {
  unsigned n = 0, wait;
  for (unsigned i = 0; i < tries; i++) {
    struct srv_quota_user *user = srv_quota_enter(q, name, limits, now, &wait);
    assert_int_equal(user != NULL, wait == 0);
    if (user)
      srv_quota_leave(q, user);
    n += user != NULL;
  }
  return n;
}

static void test_requests(void **state) {
  (void)state;
  struct srv_quotas *q = srv_quotas_new();
  static const struct srv_quota ten = {10, 0, 0}, none = {0, 0, 0};
  uint64_t now = 7 * SECOND;
  assert_int_equal(taken(q, "a", &ten, now, 100), 10);
  assert_int_equal(taken(q, "b", &ten, now, 100), 10); /* another's bucket */
  assert_int_equal(taken(q, "a", &ten, now, 100), 0);
  assert_int_equal(taken(q, "a", &ten, now + SECOND / 2, 100), 5);
  assert_int_equal(taken(q, "a", &ten, now + 100 * SECOND, 100), 10); /* no more is saved up */
  assert_int_equal(taken(q, "c", &none, now, 1000), 1000);
  assert_int_equal(taken(q, "c", &ten, now + SECOND, 100), 10);
  assert_int_equal(taken(q, "a", &ten, now, 100), 0); /* a clock that goes back fills nothing */
  srv_quotas_free(q);
}

static void test_rows(void **state) {
  (void)state;
  struct srv_quotas *q = srv_quotas_new();
  static const struct srv_quota hundred = {0, 100, 0};
  unsigned wait;
  uint64_t now = SECOND;
  struct srv_quota_user *user = srv_quota_enter(q, "a", &hundred, now, &wait);
  assert_non_null(user);
  srv_quota_rows(q, user, 350); /* of which 250 are a debt */
  srv_quota_leave(q, user);
  assert_null(srv_quota_enter(q, "a", &hundred, now, &wait));
  assert_int_equal(wait, 3);
  assert_null(srv_quota_enter(q, "a", &hundred, now + 2 * SECOND, &wait));
  assert_int_equal(wait, 1);
  user = srv_quota_enter(q, "a", &hundred, now + 3 * SECOND, &wait);
  assert_non_null(user);
  srv_quota_leave(q, user);
  srv_quotas_free(q);
}

static void test_concurrency(void **state) {
  (void)state;
  struct srv_quotas *q = srv_quotas_new();
  static const struct srv_quota two = {0, 0, 2};
  unsigned wait;
  struct srv_quota_user *first = srv_quota_enter(q, "a", &two, SECOND, &wait);
  struct srv_quota_user *second = srv_quota_enter(q, "a", &two, SECOND, &wait);
  assert_true(first && second);
  assert_null(srv_quota_enter(q, "a", &two, SECOND, &wait));
  assert_int_equal(wait, 1);
  srv_quota_leave(q, first);
  first = srv_quota_enter(q, "a", &two, SECOND, &wait);
  assert_non_null(first);
  srv_quota_leave(q, first);
  srv_quota_leave(q, second);
  srv_quotas_free(q);
}

/* Who has been away is forgotten, and has full buckets again, but a debt is not. */
static void test_forgotten(void **state) {
  (void)state;
  struct srv_quotas *q = srv_quotas_new();
  static const struct srv_quota one = {1, 1, 0};
  unsigned wait;
  struct srv_quota_user *user = srv_quota_enter(q, "debtor", &one, SECOND, &wait);
  srv_quota_rows(q, user, 1000);
  srv_quota_leave(q, user);
  for (int i = 0; i < 5000; i++) {
    char name[16];
    snprintf(name, sizeof name, "%d", i);
    assert_int_equal(taken(q, name, &one, 100 * SECOND + (uint64_t)i * SECOND / 10, 2), 1);
  }
  assert_null(srv_quota_enter(q, "debtor", &one, 601 * SECOND, &wait));
  assert_true(wait > 1);
  srv_quotas_free(q);
}

/* ---- Lanes ----------------------------------------------------------------------------------- */

/* Items are taken lane by lane, and each lane's in their order: beside lists that are searched. */
static void test_lanes(void **state) {
  (void)state;
  enum { CAPACITY = 9, LANES = 4, ROUNDS = 20000 };
  struct srv_lanes *l = srv_lanes_new(CAPACITY);
  struct vdb_rng rng = {3};
  uintptr_t added[LANES] = {0}, given[LANES] = {0};
  unsigned last_turn[LANES] = {0}, turn = 0; /* a lane's last turn, or when it began to wait */
  for (int i = 0; i < ROUNDS; i++) {
    unsigned lane = vdb_rng_below(&rng, LANES);
    size_t all = srv_lanes_count(l), waiting = added[lane] - given[lane];
    if (vdb_rng_below(&rng, 2)) {
      bool room = all < CAPACITY && (lane == 0 || waiting < (CAPACITY + 1) / 2);
      assert_int_equal(srv_lanes_full(l, lane), !room);
      struct srv_lane_item item = {NULL, (void *)(added[lane] * LANES + lane)};
      assert_int_equal(srv_lanes_add(l, lane, item), room);
      if (room && waiting == 0)
        last_turn[lane] = ++turn;
      added[lane] += room;
      continue;
    }
    struct srv_lane_item item;
    if (!srv_lanes_take(l, &item)) {
      assert_int_equal(all, 0);
      continue;
    }
    unsigned from = (unsigned)((uintptr_t)item.item % LANES);
    assert_int_equal((uintptr_t)item.item / LANES, given[from]);
    for (unsigned other = 0; other < LANES; other++)
      assert_true(added[other] == given[other] || last_turn[from] <= last_turn[other]);
    given[from]++;
    last_turn[from] = ++turn;
  }
  srv_lanes_free(l);
}

/* ---- The server ------------------------------------------------------------------------------ */

static int setup(void **state) {
  static char keys[4096];
  struct secured *s = calloc(1, sizeof *s);
  *keys = '\0';
  auth_key(keys, "noisy", "reader", "noisy");
  auth_key(keys, "noisy2", "reader", "noisy");
  auth_key(keys, "quiet", "reader", "quiet");
  auth_key(keys, "rows", "writer", "rows");
  auth_key(keys, "admin", "admin", NULL);
  auth_init(s, keys,
            "[tenant noisy]\nrequests_per_second = 3\n[tenant rows]\nrows_per_second = 2\n");
  snprintf(s->web.config.milvus, sizeof s->web.config.milvus, "127.0.0.1:0");
  web_start(&s->web);
  *state = s;
  return 0;
}

static long get(struct secured *s, const char *name, const char *path) {
  char header[AUTH_HEADER];
  snprintf(header, sizeof header, "api-key: %s-secret", name);
  s->web.header = header;
  struct web_answer a = web_ask(&s->web, "GET", path, NULL);
  web_done(&a);
  s->web.header = NULL;
  return a.status;
}

/* Whoever is over may ask again on the same connection, unless its body is large. */
static void refused_twice(struct secured *s) {
  static const char head[] = "POST /v1/collections/none/count HTTP/1.1\r\nHost: h\r\n"
                             "api-key: noisy-secret\r\nContent-Length: ";
  char bytes[1024], answer[2048];
  int n = snprintf(bytes, sizeof bytes, "%s2\r\n\r\n{}%s2\r\n\r\n{}%s2\r\n\r\n{}%s2\r\n\r\n{}"
                   "%s999999\r\n\r\n", head, head, head, head, head);
  web_raw(&s->web, bytes, (size_t)n, answer, sizeof answer);
  unsigned refused = 0;
  for (const char *at = answer; (at = strstr(at, "HTTP/1.1 ")) != NULL; at++)
    refused += strncmp(at, "HTTP/1.1 429", 12) == 0;
  assert_true(refused >= 2); /* a refill may have come between */
  assert_non_null(strstr(answer, "Connection: close"));
}

/* Who is over its requests is told when to come again, by whatever key and protocol. */
static void test_over_requests(void **state) {
  struct secured *s = *state;
  char answer[1024];
  static const char request[] = "GET /v1/version HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
                                "api-key: noisy2-secret\r\n\r\n";
  char authorization[64];
  static const uint8_t empty[5] = {0};
  int status = 200;
  for (int i = 0; i < 1000 && status == 200; i++) {
    get(s, "noisy", "/v1/version");
    status = web_raw(&s->web, request, sizeof request - 1, answer, sizeof answer);
  }
  assert_int_equal(status, 429);
  assert_non_null(strstr(answer, "Retry-After: 1\r\n"));
  assert_non_null(strstr(answer, "QUOTA"));
  refused_twice(s);
  auth_base64("noisy:noisy-secret", authorization);
  struct rpc_call call;
  do { /* between two refills */
    struct rpc c;
    rpc_open(&s->web, &c);
    struct rpc_call *one = rpc_start(&c, SERVICE "ShowCollections", "application/grpc",
                                     "authorization", authorization, empty, sizeof empty);
    rpc_await(&c, 1);
    call = *one;
    rpc_end(&c);
  } while (strcmp(call.status, "0") == 0);
  assert_string_equal(call.status, "8");
  for (int i = 0; i < 50; i++)
    assert_int_equal(get(s, "quiet", "/v1/version"), 200);
  assert_int_equal(get(s, "noisy", "/healthz"), 200);
}

static void test_over_rows(void **state) {
  struct secured *s = *state;
  static const char body[] =
      "{\"rows\": [{\"k\": 1, \"v\": [1], \"tenant_id\": \"rows\"}, {\"k\": 2, \"v\": [1],"
      " \"tenant_id\": \"rows\"}, {\"k\": 3, \"v\": [1], \"tenant_id\": \"rows\"}]}";
  s->web.header = "api-key: admin-secret";
  web_do(&s->web, 201, "POST", "/v1/collections",
         "{\"name\": \"docs\", \"fields\": [{\"name\": \"k\", \"type\": \"INT64\","
         " \"primary_key\": true}, {\"name\": \"v\", \"type\": \"FLOAT_VECTOR\", \"dim\": 1},"
         " {\"name\": \"tenant_id\", \"type\": \"VARCHAR\", \"max_length\": 8}]}");
  s->web.header = "api-key: rows-secret";
  web_do(&s->web, 200, "PUT", "/v1/collections/docs/rows", body);
  struct web_answer a = web_ask(&s->web, "PUT", "/v1/collections/docs/rows", body);
  for (int i = 0; a.status == 200 && i < 1000; i++) { /* a second has passed between */
    web_done(&a);
    a = web_ask(&s->web, "PUT", "/v1/collections/docs/rows", body);
  }
  assert_int_equal(a.status, 429);
  web_done(&a);
  assert_int_equal(get(s, "quiet", "/v1/collections/docs"), 200);
}

int main(void) {
  curl_global_init(CURL_GLOBAL_DEFAULT);
  signal(SIGPIPE, SIG_IGN);
#define SERVED(test) cmocka_unit_test_setup_teardown(test, setup, auth_end)
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_requests),  cmocka_unit_test(test_rows),
      cmocka_unit_test(test_concurrency), cmocka_unit_test(test_forgotten),
      cmocka_unit_test(test_lanes),     SERVED(test_over_requests),
      SERVED(test_over_rows),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
