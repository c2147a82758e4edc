/*
 * test_query_calls.c - how the calls of lib/query behave apart from their answers: checks of what
 * callers give, deadlines and cancelling, threads, lack of memory, explain.
 *
 * TSAN: yes
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../tlib/memfault.h"
#include "../tlib/qtest.h"
#include "../tlib/thorough.h"

enum { QUERY_BYTES = QT_DIM * 4, K = 20 };

static struct qt_config config_of(uint64_t seed) {
  return (struct qt_config){.vector_type = VECDB_FLOAT_VECTOR, .metric = VECDB_COSINE,
                            .rows = TEST_SIZE(1200, 600), .growing = 1, .sealed = 1,
                            .indexed = 1, .deleted = 10, .index_rows = 1, .seed = seed};
}

static vecdb_search_params params_of(const char *filter, const void *queries) {
  vecdb_search_params p = VECDB_SEARCH_PARAMS_INIT;
  p.field = "v";
  p.k = K;
  p.queries = queries;
  p.filter.text = filter;
  return p;
}

/* ---- Checks ---------------------------------------------------------------------------------- */

static void expect(int rc, int code, const vecdb_error *err, const char *word) {
  if (rc != code || err->code != code || !strstr(err->message, word))
    print_error("%s: %s (expected %s: %s)\n", vecdb_status_name(rc), err->message,
                vecdb_status_name(code), word);
  assert_int_equal(rc, code);
  assert_int_equal(err->code, code);
  assert_non_null(strstr(err->message, word));
}

/* A request that every call taking one must refuse. */
static void refuse(const struct qt_db *db, const vecdb_search_params *p, int code,
                   const char *word) {
  vecdb_hit hits[K];
  uint32_t count;
  vecdb_rows *rows = (vecdb_rows *)hits;
  vecdb_error err = {0};
  expect(vdb_query_search(db->snapshot, NULL, p, hits, &count, NULL, &rows, &err), code, &err,
         word);
  assert_null(rows);
  expect(vdb_query_range(db->snapshot, p, 1, hits, &count, NULL, NULL, &err), code, &err, word);
  struct vecdb_iterator *it;
  expect(vdb_iterator_new(db->snapshot, p, &it, &err), code, &err, word);
  assert_null(it);
  char text[10];
  expect(vdb_query_explain(db->snapshot, p, text, sizeof text, NULL, &err), code, &err, word);
}

static void test_checks(void **state) {
  (void)state;
  struct qt_config config = config_of(1);
  struct qt_db db;
  qt_open(&db, &config);
  float query[QT_DIM];
  qt_query(&db, query);
  const vecdb_search_params good = params_of(NULL, query);
  vecdb_search_params p = good;
  refuse(&db, NULL, VECDB_ERR_ARGUMENT, "params");
  p.size = 8;
  refuse(&db, &p, VECDB_ERR_OPTION, "params.size");
  p = good, p.flags = 4;
  refuse(&db, &p, VECDB_ERR_OPTION, "flags");
  p = good, p.plan = VECDB_PLAN_CODES + 1;
  refuse(&db, &p, VECDB_ERR_OPTION, "plan");
  p = good, p.ef = 16385;
  refuse(&db, &p, VECDB_ERR_INDEX_PARAM, "ef");
  p = good, p.n_queries = VECDB_MAX_QUERIES + 1;
  refuse(&db, &p, VECDB_ERR_LIMIT, "n_queries");
  p = good, p.field = "vv";
  refuse(&db, &p, VECDB_ERR_UNKNOWN_FIELD, "did you mean \"v\"");
  p = good, p.field = "embedding";
  refuse(&db, &p, VECDB_ERR_UNKNOWN_FIELD, "a, id, b, d, flag");
  p = good, p.field = "numbers";
  refuse(&db, &p, VECDB_ERR_TYPE, "v, other");
  p = good, p.field = NULL;
  refuse(&db, &p, VECDB_ERR_ARGUMENT, "v, other");
  p = good, p.dim = QT_DIM + 1;
  refuse(&db, &p, VECDB_ERR_DIMENSION, "dimension 25");
  p = good, p.query_stride = 8;
  refuse(&db, &p, VECDB_ERR_ARGUMENT, "query_stride");
  p = good, p.n_fields = 1;
  refuse(&db, &p, VECDB_ERR_ARGUMENT, "n_fields");
  const char *fields[] = {"Tag", NULL};
  p = good, p.fields = fields, p.n_fields = 1;
  refuse(&db, &p, VECDB_ERR_UNKNOWN_FIELD, "\"tags\"");
  p.fields = fields + 1;
  refuse(&db, &p, VECDB_ERR_ARGUMENT, "NULL");
  p.n_fields = 1000;
  refuse(&db, &p, VECDB_ERR_LIMIT, "n_fields");
  p = good, p.filter.text = "nothing == 1";
  refuse(&db, &p, VECDB_ERR_UNKNOWN_FIELD, "nothing");
  vecdb_control control = {4, 0, NULL, NULL, NULL};
  p = good, p.control = &control;
  refuse(&db, &p, VECDB_ERR_OPTION, "control.size");
  query[3] = NAN;
  refuse(&db, &good, VECDB_ERR_NOT_FINITE, "");
  memset(query, 0, sizeof query);
  refuse(&db, &good, VECDB_ERR_ZERO_VECTOR, "");
  qt_close(&db);
}

static void test_checks_of_search(void **state) {
  (void)state;
  struct qt_config config = config_of(2);
  struct qt_db db;
  qt_open(&db, &config);
  float queries[3][QT_DIM];
  for (int i = 0; i < 3; i++)
    qt_query(&db, queries[i]);
  vecdb_search_params p = params_of(NULL, queries);
  vecdb_hit hits[3 * K];
  uint32_t counts[3];
  vecdb_error err = {0};
  const struct vdb_snapshot *s = db.snapshot;
  p.k = 0;
  expect(vdb_query_search(s, NULL, &p, hits, counts, NULL, NULL, &err), VECDB_ERR_K, &err, "k is");
  p.k = VECDB_MAX_K + 1;
  expect(vdb_query_range(s, &p, 1, hits, counts, NULL, NULL, &err), VECDB_ERR_K, &err, "16384");
  p.k = K;
  expect(vdb_query_search(s, NULL, &p, NULL, counts, NULL, NULL, &err), VECDB_ERR_ARGUMENT, &err,
         "hits");
  expect(vdb_query_search(s, NULL, &p, hits, NULL, NULL, NULL, &err), VECDB_ERR_ARGUMENT, &err,
         "counts");
  vecdb_search_info info = {.size = 3};
  expect(vdb_query_search(s, NULL, &p, hits, counts, &info, NULL, &err), VECDB_ERR_OPTION, &err,
         "info.size");
  expect(vdb_query_range(s, &p, NAN, hits, counts, NULL, NULL, &err), VECDB_ERR_NOT_FINITE, &err,
         "radius");
  p.n_queries = 3;
  expect(vdb_query_range(s, &p, 1, hits, counts, NULL, NULL, &err), VECDB_ERR_ARGUMENT, &err,
         "one query");
  p.query_stride = SIZE_MAX / 2;
  expect(vdb_query_search(s, NULL, &p, hits, counts, NULL, NULL, &err), VECDB_ERR_ARGUMENT, &err,
         "query_stride");
  p.query_stride = 0;
  queries[2][5] = INFINITY;
  expect(vdb_query_search(s, NULL, &p, hits, counts, NULL, NULL, &err), VECDB_ERR_NOT_FINITE,
         &err, "");
  assert_int_equal(err.row, 2);
  p.queries = NULL;
  expect(vdb_query_search(s, NULL, &p, hits, counts, NULL, NULL, &err), VECDB_ERR_ARGUMENT, &err,
         "queries");
  qt_close(&db);
}

static void test_checks_of_scans(void **state) {
  (void)state;
  struct qt_config config = config_of(3);
  config.text_keys = true;
  struct qt_db db;
  qt_open(&db, &config);
  const struct vdb_snapshot *s = db.snapshot;
  vecdb_error err = {0};
  vecdb_rows *rows;
  vecdb_query_params p = VECDB_QUERY_PARAMS_INIT;
  expect(vdb_query_scan(s, NULL, &rows, &err), VECDB_ERR_ARGUMENT, &err, "params");
  expect(vdb_query_scan(s, &p, NULL, &err), VECDB_ERR_ARGUMENT, &err, "out");
  p.size++;
  expect(vdb_query_scan(s, &p, &rows, &err), VECDB_ERR_OPTION, &err, "size");
  p.size--;
  int64_t number = 1;
  p.after.integers = &number;
  p.after.n = 1;
  expect(vdb_query_scan(s, &p, &rows, &err), VECDB_ERR_ARGUMENT, &err, "");
  vecdb_string strings[2] = {{"a", 1}, {"b", 1}};
  p.after = (vecdb_keys){NULL, strings, 2};
  expect(vdb_query_scan(s, &p, &rows, &err), VECDB_ERR_ARGUMENT, &err, "after");
  vecdb_keys keys = {&number, NULL, 1};
  expect(vdb_query_get(s, &keys, NULL, 0, NULL, &rows, &err), VECDB_ERR_ARGUMENT, &err, "");
  expect(vdb_query_get(s, NULL, NULL, 0, NULL, &rows, &err), VECDB_ERR_ARGUMENT, &err, "keys");
  expect(vdb_query_count(s, NULL, NULL, &err), VECDB_ERR_ARGUMENT, &err, "count");
  vecdb_filter filter = {"a <", 0, NULL, 0};
  uint64_t count = 5;
  expect(vdb_query_count(s, &filter, &count, &err), VECDB_ERR_FILTER, &err, "");
  assert_int_equal(count, 5);
  keys = (vecdb_keys){NULL, NULL, 0};
  const char *none[] = {NULL};
  assert_int_equal(vdb_query_get(s, &keys, none, 0, NULL, &rows, &err), VECDB_OK);
  assert_int_equal(vecdb_rows_count(rows), 0);
  assert_int_equal(vecdb_rows_n_fields(rows), 1);
  assert_int_equal(vecdb_rows_value(rows, 0, 0).type, 0);
  assert_null(vecdb_rows_field(rows, 1));
  assert_int_equal(vecdb_rows_find(rows, "a"), -1);
  vecdb_rows_free(rows);
  vecdb_rows_free(NULL);
  qt_close(&db);
}

/* ---- Deadlines and cancelling ---------------------------------------------------------------- */

/* A clock that moves on by a millisecond with each look. */
static uint64_t ticking(void *user) {
  uint64_t *now = user;
  return *now += 1000000;
}

static int count_then_cancel(void *user, const char *phase, uint64_t done, uint64_t total) {
  assert_string_equal(phase, "search");
  assert_true(done < total);
  return ++*(int *)user == 3;
}

static void test_deadline(void **state) {
  (void)state;
  struct qt_config config = config_of(10);
  struct qt_db db;
  qt_open(&db, &config);
  uint64_t now = 0;
  db.env.clock = (vecdb_clock){ticking, ticking, &now};
  uint8_t queries[4][QUERY_BYTES];
  for (int i = 0; i < 4; i++)
    qt_query(&db, queries[i]);
  uint32_t whole = 0, partial = 0;
  for (uint32_t ms = 1; ms < 400; ms += 1 + ms / 8) {
    vecdb_control control = VECDB_CONTROL_INIT;
    control.timeout_ms = ms;
    vecdb_search_params p = params_of(ms % 2 ? NULL : "b + 1 > 500", queries);
    p.n_queries = 4;
    p.plan = (int32_t)ms % 4;
    p.control = &control;
    vecdb_hit hits[4 * K];
    uint32_t counts[4];
    vecdb_search_info info = VECDB_SEARCH_INFO_INIT;
    vecdb_rows *rows;
    vecdb_error err = {0};
    int rc = vdb_query_search(db.snapshot, NULL, &p, hits, counts, &info, &rows, &err);
    assert_int_equal(rc, VECDB_OK);
    assert_int_equal(err.code, 0);
    uint32_t n = 0;
    for (uint32_t q = 0; q < 4; q++)
      for (uint32_t i = 0; i < counts[q]; i++) {
        const struct qt_row *row = qt_find(&db, hits[q * K + i].id);
        qt_check_row(&db, rows, n++, row);
        double score = qt_score(&db, queries[q], row);
        assert_true(hits[q * K + i].score > score - qt_slack(score));
        assert_true(hits[q * K + i].score < score + qt_slack(score));
      }
    assert_int_equal(vecdb_rows_count(rows), n);
    vecdb_rows_free(rows);
    whole += !info.partial;
    partial += info.partial;
    assert_true(info.partial || n == 4 * K);
    rc = vdb_query_search(db.snapshot, NULL, &p, hits, counts, NULL, &rows, &err);
    if (info.partial)
      expect(rc, VECDB_ERR_TIMEOUT, &err, "deadline");
    vecdb_rows_free(rows);
  }
  assert_true(whole > 0 && partial > 0);
  qt_close(&db);
}

static void test_cancel(void **state) {
  (void)state;
  struct qt_config config = config_of(11);
  struct qt_db db;
  qt_open(&db, &config);
  uint8_t queries[8][QUERY_BYTES];
  for (int i = 0; i < 8; i++)
    qt_query(&db, queries[i]);
  int32_t flag = 1;
  vecdb_control control = VECDB_CONTROL_INIT;
  control.cancel = &flag;
  vecdb_search_params p = params_of("b < 500", queries);
  p.n_queries = 8;
  p.control = &control;
  vecdb_hit hits[8 * K];
  uint32_t counts[8];
  vecdb_search_info info = VECDB_SEARCH_INFO_INIT;
  vecdb_error err = {0};
  expect(vdb_query_search(db.snapshot, NULL, &p, hits, counts, &info, NULL, &err),
         VECDB_ERR_CANCELLED, &err, "");
  p.filter.text = NULL;
  expect(vdb_query_search(db.snapshot, NULL, &p, hits, counts, &info, NULL, &err),
         VECDB_ERR_CANCELLED, &err, "");
  flag = 0;
  int calls = 0;
  control.progress = count_then_cancel;
  control.user = &calls;
  expect(vdb_query_search(db.snapshot, NULL, &p, hits, counts, &info, NULL, &err),
         VECDB_ERR_CANCELLED, &err, "");
  assert_int_equal(calls, 3);
  vecdb_query_params scan = VECDB_QUERY_PARAMS_INIT;
  flag = 1;
  scan.control = &control;
  vecdb_rows *rows;
  expect(vdb_query_scan(db.snapshot, &scan, &rows, &err), VECDB_ERR_CANCELLED, &err, "");
  qt_close(&db);
}

/* Steps that run out of time lose nothing. */
static void test_iterator_deadline(void **state) {
  (void)state;
  struct qt_config config = config_of(12);
  struct qt_db db;
  qt_open(&db, &config);
  uint64_t now = 0;
  db.env.clock = (vecdb_clock){ticking, ticking, &now};
  uint8_t query[QUERY_BYTES];
  qt_query(&db, query);
  struct qt_filter filter = {.nodes = {{.kind = QT_A_LESS, .x = 10}}, .n = 1, .text = "a < 10"};
  struct qt_answer answer;
  qt_answer_make(&answer, &db, query, &filter);
  vecdb_control control = VECDB_CONTROL_INIT;
  control.timeout_ms = 11;
  vecdb_search_params p = params_of(filter.text, query);
  p.control = &control;
  struct vecdb_iterator *it;
  vecdb_error err = {0};
  struct vdb_snapshot *snapshot = db.snapshot;
  assert_int_equal(vdb_iterator_new(snapshot, &p, &it, &err), VECDB_OK);
  uint32_t n = 0, late = 0, count = 1;
  while (count > 0) {
    vecdb_hit hits[100];
    int rc = vdb_iterator_step(it, 100, hits, &count, NULL, &err);
    if (rc == VECDB_ERR_TIMEOUT && late++ < 1000) {
      count = 1;
      continue;
    }
    assert_int_equal(rc, VECDB_OK);
    for (uint32_t i = 0; i < count; i++)
      assert_true(qt_allowed(&filter, qt_find(&db, hits[i].id)));
    n += count;
  }
  assert_int_equal(n, answer.n);
  assert_true(late > 0);
  qt_answer_free(&answer);
  for (uint32_t i = 0; i < snapshot->n_segs; i++)
    vdb_seg_ref(snapshot->segs[i].seg);
  struct vdb_snapshot *again =
      vdb_alloc(&db.env.mem, sizeof *again + snapshot->n_segs * sizeof *again->segs);
  *again = *snapshot;
  again->segs = (struct vdb_seg_view *)(again + 1);
  memcpy(again->segs, snapshot->segs, snapshot->n_segs * sizeof *again->segs);
  vdb_iterator_free(it); /* and its snapshot */
  db.snapshot = again;
  qt_close(&db);
}

/* ---- Threads --------------------------------------------------------------------------------- */

static void search_batch(const struct qt_db *db, struct vdb_pool *pool, const void *queries,
                         uint32_t n, int32_t plan, vecdb_hit *hits, uint32_t *counts) {
  vecdb_search_params p = params_of("b < 400 or flag == true", queries);
  p.n_queries = n;
  p.threads = pool ? 4 : 1;
  p.plan = plan;
  vecdb_search_info info = VECDB_SEARCH_INFO_INIT;
  vecdb_rows *rows;
  vecdb_error err = {0};
  memset(hits, 0, n * K * sizeof *hits);
  assert_int_equal(vdb_query_search(db->snapshot, pool, &p, hits, counts, &info, &rows, &err),
                   VECDB_OK);
  assert_int_equal(info.segments, n * db->snapshot->n_segs);
  assert_int_equal(vecdb_rows_count(rows), n * K);
  for (size_t i = 0; i < n * K; i++)
    assert_int_equal(vecdb_rows_value(rows, hits[i].row, 0).as.integer, hits[i].id);
  vecdb_rows_free(rows);
}

enum { BATCH = 48 };

static void test_threads(void **state) {
  (void)state;
  struct qt_config config = config_of(20);
  struct qt_db db;
  qt_open(&db, &config);
  struct vdb_pool *pool;
  vecdb_error err = {0};
  assert_int_equal(vdb_pool_new(&db.env, 4, &pool, &err), VECDB_OK);
  uint8_t queries[BATCH][QUERY_BYTES];
  for (int i = 0; i < BATCH; i++)
    qt_query(&db, queries[i]);
  static vecdb_hit one[BATCH * K], four[BATCH * K];
  uint32_t counts[BATCH];
  for (int32_t plan = VECDB_PLAN_AUTO; plan <= VECDB_PLAN_CODES; plan++) {
    search_batch(&db, NULL, queries, BATCH, plan, one, counts);
    search_batch(&db, pool, queries, BATCH, plan, four, counts);
    for (size_t i = 0; i < BATCH * K; i++) {
      assert_int_equal(one[i].id, four[i].id);
      assert_int_equal(one[i].row, four[i].row);
      assert_memory_equal(&one[i].score, &four[i].score, sizeof(float));
    }
  }
  vdb_pool_free(pool);
  qt_close(&db);
}

struct mixed {
  struct qt_db *db;
  struct vdb_pool *pool;
  uint8_t queries[8][QUERY_BYTES];
};

/* One of several calls on the same snapshot at once; some use the pool they run on. */
static void mixed_call(void *arg, size_t i, unsigned worker) {
  (void)worker;
  struct mixed *m = arg;
  const struct qt_db *db = m->db;
  vecdb_hit hits[8 * K];
  uint32_t counts[8];
  vecdb_error err = {0};
  vecdb_filter filter = {"s like \"al%\" and a > 3", 0, NULL, 0};
  uint64_t count;
  vecdb_rows *rows;
  vecdb_query_params p = VECDB_QUERY_PARAMS_INIT;
  switch (i % 3) {
  case 0:
    search_batch(db, i % 2 ? m->pool : NULL, m->queries, 8, VECDB_PLAN_FILTER_LATE, hits, counts);
    break;
  case 1:
    assert_int_equal(vdb_query_count(db->snapshot, &filter, &count, &err), VECDB_OK);
    break;
  default:
    p.filter = filter;
    assert_int_equal(vdb_query_scan(db->snapshot, &p, &rows, &err), VECDB_OK);
    vecdb_rows_free(rows);
  }
}

static void test_calls_at_once(void **state) {
  (void)state;
  struct qt_config config = config_of(21);
  struct qt_db db;
  qt_open(&db, &config);
  struct mixed m = {.db = &db};
  vecdb_error err = {0};
  assert_int_equal(vdb_pool_new(&db.env, 4, &m.pool, &err), VECDB_OK);
  for (int i = 0; i < 8; i++)
    qt_query(&db, m.queries[i]);
  struct vdb_par par = vdb_pool_par(m.pool, 0);
  par.run(&par, 40, mixed_call, &m);
  vdb_pool_free(m.pool);
  qt_close(&db);
}

/* ---- Lack of memory -------------------------------------------------------------------------- */

struct short_of {
  struct qt_db db;
  struct memfault fault;
  uint8_t query[QUERY_BYTES];
};

/* Each does one request and gives its code; on failure nothing is left behind. */
static int short_search(struct short_of *s, int32_t plan, vecdb_error *err) {
  vecdb_search_params p = params_of("b % 2 == 0 or s == \"be\"", s->query);
  p.plan = plan;
  vecdb_hit hits[K];
  uint32_t count;
  vecdb_rows *rows;
  int rc = vdb_query_search(s->db.snapshot, NULL, &p, hits, &count, NULL, &rows, err);
  assert_true(rc == VECDB_OK ? rows != NULL && count == K : rows == NULL);
  vecdb_rows_free(rows);
  return rc;
}

static int short_scan(struct short_of *s, int32_t unused, vecdb_error *err) {
  (void)unused;
  vecdb_query_params p = VECDB_QUERY_PARAMS_INIT;
  p.filter.text = "b < 300";
  vecdb_rows *rows;
  int rc = vdb_query_scan(s->db.snapshot, &p, &rows, err);
  assert_true((rc == VECDB_OK) == (rows != NULL));
  vecdb_rows_free(rows);
  return rc;
}

static int short_get(struct short_of *s, int32_t unused, vecdb_error *err) {
  (void)unused;
  int64_t ids[] = {1, 5, 900, 2000, 2500};
  vecdb_keys keys = {ids, NULL, VDB_COUNT(ids)};
  vecdb_rows *rows;
  int rc = vdb_query_get(s->db.snapshot, &keys, NULL, 0, NULL, &rows, err);
  assert_true((rc == VECDB_OK) == (rows != NULL));
  vecdb_rows_free(rows);
  return rc;
}

static int short_count(struct short_of *s, int32_t unused, vecdb_error *err) {
  (void)unused;
  vecdb_filter filter = {"not (a in [1, 2] or tags is null)", 0, NULL, 0};
  uint64_t count;
  return vdb_query_count(s->db.snapshot, &filter, &count, err);
}

static int short_explain(struct short_of *s, int32_t unused, vecdb_error *err) {
  (void)unused;
  vecdb_search_params p = params_of("a < 7", NULL);
  char text[4096];
  return vdb_query_explain(s->db.snapshot, &p, text, sizeof text, NULL, err);
}

static void short_open(struct short_of *s, uint64_t seed) {
  memset(s, 0, sizeof *s);
  memfault_init(&s->fault);
  struct qt_config config = config_of(seed);
  config.allocator = &s->fault.table;
  qt_open(&s->db, &config);
  qt_query(&s->db, s->query);
}

static void test_no_memory(void **state) {
  (void)state;
  static int (*const calls[])(struct short_of *, int32_t, vecdb_error *) = {
      short_search, short_search, short_search, short_search,
      short_scan,   short_get,    short_count,  short_explain};
  struct short_of s;
  short_open(&s, 30);
  for (size_t i = 0; i < VDB_COUNT(calls); i++) {
    int32_t plan = (int32_t)i % 4;
    bool failed = true;
    for (uint64_t nth = 1; failed; nth++) {
      vecdb_error err = {0};
      memfault_fail(&s.fault, nth, nth % 2);
      int rc = calls[i](&s, plan, &err);
      failed = memfault_failed(&s.fault) > 0;
      memfault_fail(&s.fault, 0, false);
      assert_int_equal(rc, failed ? VECDB_ERR_NO_MEMORY : VECDB_OK);
      assert_int_equal(err.code, rc);
    }
    vecdb_error err = {0};
    uint64_t before = memfault_live(&s.fault);
    assert_int_equal(calls[i](&s, plan, &err), VECDB_OK);
    assert_int_equal(memfault_live(&s.fault), before);
  }
  qt_close(&s.db);
  assert_int_equal(memfault_live(&s.fault), 0);
}

/* An iterator that meets every lack of memory once gives every row once. */
static void test_no_memory_iterator(void **state) {
  (void)state;
  struct short_of s;
  short_open(&s, 31);
  struct qt_answer answer;
  qt_answer_make(&answer, &s.db, s.query, NULL);
  vecdb_search_params p = params_of(NULL, s.query);
  struct vecdb_iterator *it = NULL;
  vecdb_error err = {0};
  for (uint64_t nth = 1; !it; nth++) {
    memfault_fail(&s.fault, nth, false);
    int rc = vdb_iterator_new(s.db.snapshot, &p, &it, &err);
    assert_int_equal(rc, it ? VECDB_OK : VECDB_ERR_NO_MEMORY);
  }
  uint8_t *came = calloc(s.db.n_rows, 1);
  uint32_t n = 0, count = 1;
  for (uint64_t nth = 1; count > 0; nth++) {
    vecdb_hit hits[150];
    vecdb_rows *rows;
    memfault_fail(&s.fault, nth % 2 ? nth / 2 % 30 + 1 : 0, false);
    int rc = vdb_iterator_step(it, VDB_COUNT(hits), hits, &count, &rows, &err);
    bool failed = memfault_failed(&s.fault) > 0;
    memfault_fail(&s.fault, 0, false);
    assert_int_equal(rc, failed ? VECDB_ERR_NO_MEMORY : VECDB_OK);
    if (failed) {
      assert_null(rows);
      count = 1;
      continue;
    }
    for (uint32_t i = 0; i < count; i++) {
      const struct qt_row *row = qt_find(&s.db, hits[i].id);
      assert_false(came[row - s.db.rows]);
      came[row - s.db.rows] = 1;
    }
    n += count;
    vecdb_rows_free(rows);
  }
  assert_int_equal(n, answer.n);
  free(came);
  qt_answer_free(&answer);
  vdb_iterator_free(it);
  s.db.snapshot = NULL; /* freed with the iterator */
  qt_close(&s.db);
  assert_int_equal(memfault_live(&s.fault), 0);
}

/* ---- Explain --------------------------------------------------------------------------------- */

static void test_explain(void **state) {
  (void)state;
  struct qt_config config = config_of(40);
  struct qt_db db;
  qt_open(&db, &config);
  vecdb_search_params p = params_of("a < 3 and flag == true", NULL);
  char text[4096], cut[20];
  size_t length;
  vecdb_error err = {0};
  assert_int_equal(vdb_query_explain(db.snapshot, &p, text, sizeof text, &length, &err), VECDB_OK);
  assert_int_equal(strlen(text), length);
  static const char *const words[] = {"field \"v\"", "COSINE", "flag", "segment 1: sealed",
                                      "index HNSW",  "growing", "plan: EXACT", "allowed", "cost"};
  for (size_t i = 0; i < VDB_COUNT(words); i++)
    assert_non_null(strstr(text, words[i]));
  size_t whole;
  int rc = vdb_query_explain(db.snapshot, &p, cut, sizeof cut, &whole, &err);
  expect(rc, VECDB_ERR_BUFFER, &err, "20");
  assert_int_equal(whole, length);
  assert_int_equal(strlen(cut), sizeof cut - 1);
  assert_memory_equal(cut, text, sizeof cut - 1);
  rc = vdb_query_explain(db.snapshot, &p, NULL, 0, &whole, &err);
  expect(rc, VECDB_ERR_BUFFER, &err, "");
  p.plan = VECDB_PLAN_FILTER_LATE;
  assert_int_equal(vdb_query_explain(db.snapshot, &p, text, sizeof text, NULL, &err), VECDB_OK);
  assert_non_null(strstr(text, "plan: FILTER_LATE (as asked)"));
  p.filter.text = NULL;
  assert_int_equal(vdb_query_explain(db.snapshot, &p, text, sizeof text, NULL, &err), VECDB_OK);
  assert_non_null(strstr(text, "filter: none"));
  qt_close(&db);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST_ALONE(cmocka_unit_test(test_checks)),
      TEST_ALONE(cmocka_unit_test(test_checks_of_search)),
      TEST_ALONE(cmocka_unit_test(test_checks_of_scans)),
      cmocka_unit_test(test_deadline),
      cmocka_unit_test(test_cancel),
      cmocka_unit_test(test_iterator_deadline),
      cmocka_unit_test(test_threads),
      cmocka_unit_test(test_calls_at_once),
      TEST_ALONE(cmocka_unit_test(test_no_memory)),
      TEST_ALONE(cmocka_unit_test(test_no_memory_iterator)),
      TEST_ALONE(cmocka_unit_test(test_explain)),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
