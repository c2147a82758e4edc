/*
 * test_query.c - answers of lib/query against the plain model of qtest.h: searches by every plan,
 * ranges, iterators, scans, counts and gets, over growing and sealed segments, with random filters,
 * deletes and replaced rows, for every metric. Errors, deadlines, threads and lack of memory are in
 * test_query_calls.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../tlib/qtest.h"
#include "query/exec.h"
#include "../tlib/thorough.h"

enum { MAX_K = 6000, QUERY_BYTES = QT_DIM * 4 };

struct kind {
  int32_t type;
  int32_t metric;
};
static const struct kind kinds[] = {
    {VECDB_FLOAT_VECTOR, VECDB_L2},       {VECDB_FLOAT_VECTOR, VECDB_IP},
    {VECDB_FLOAT_VECTOR, VECDB_COSINE},   {VECDB_FLOAT16_VECTOR, VECDB_L2},
    {VECDB_FLOAT16_VECTOR, VECDB_COSINE}, {VECDB_BFLOAT16_VECTOR, VECDB_IP},
    {VECDB_INT8_VECTOR, VECDB_L2},        {VECDB_INT8_VECTOR, VECDB_COSINE},
    {VECDB_BINARY_VECTOR, VECDB_HAMMING}, {VECDB_BINARY_VECTOR, VECDB_JACCARD},
};

static struct qt_config config_of(struct kind kind, uint64_t seed) {
  return (struct qt_config){.vector_type = kind.type, .metric = kind.metric,
                            .rows = TEST_SIZE(1000, 250), .deleted = 10, .index_rows = 1,
                            .seed = seed};
}

static vecdb_search_params params_of(const struct qt_filter *filter, const void *query,
                                     uint32_t k, int32_t plan) {
  vecdb_search_params p = VECDB_SEARCH_PARAMS_INIT;
  p.field = "v";
  p.k = k;
  p.queries = query;
  p.filter = qt_filter_text(filter);
  p.plan = plan;
  return p;
}

static void ok(int rc, const vecdb_error *err, const struct qt_filter *filter) {
  if (rc != VECDB_OK)
    print_error("%s: %s (filter: %s)\n", vecdb_status_name(rc), err->message,
                filter ? filter->text : "none");
  assert_int_equal(rc, VECDB_OK);
}

/* Whether a comes strictly before b, beyond rounding. */
static bool nearer(const struct qt_db *db, double a, double b) {
  return qt_smaller(db) ? a < b - qt_slack(b) : a > b + qt_slack(b);
}

static bool seen_before(const vecdb_hit *hits, uint32_t n, int64_t id) {
  for (uint32_t i = 0; i < n; i++)
    if (hits[i].id == id)
      return true;
  return false;
}

/* Each hit is an allowed row with its true score, in order, once. Returns how many are as near as
   the model's first n. For text keys ids are put into the hits. */
static uint32_t check_hits(const struct qt_db *db, const struct qt_answer *answer,
                           const struct qt_filter *filter, const void *query, vecdb_hit *hits,
                           uint32_t n, const vecdb_rows *rows) {
  uint32_t right = 0;
  assert_int_equal(vecdb_rows_count(rows), n);
  for (uint32_t i = 0; i < n; i++) {
    vecdb_value key = vecdb_rows_value(rows, hits[i].row, 0);
    assert_int_equal(hits[i].row, i);
    int64_t id = qt_key_number(&key);
    assert_int_equal(hits[i].id, db->config.text_keys ? -1 : id);
    hits[i].id = id;
    const struct qt_row *row = qt_find(db, id);
    qt_check_row(db, rows, i, row);
    assert_true(qt_allowed(filter, row));
    double score = qt_score(db, query, row);
    assert_true(hits[i].score >= score - qt_slack(score));
    assert_true(hits[i].score <= score + qt_slack(score));
    assert_true(n > 400 || !seen_before(hits, i, id));
    if (i > 0) {
      double last = hits[i - 1].score, here = hits[i].score;
      assert_true(qt_smaller(db) ? last <= here : last >= here);
      assert_true(last < here || last > here || hits[i - 1].id < id);
    }
    right += !nearer(db, answer->scores[n - 1], hits[i].score);
  }
  return right;
}

struct tally {
  double wanted, right;
  uint32_t fallbacks;
};

/* One search, checked; the recall goes to the tally. */
static void check_search(struct qt_db *db, const struct qt_filter *filter, uint32_t k,
                         int32_t plan, struct tally *tally) {
  uint8_t query[QUERY_BYTES];
  qt_query(db, query);
  struct qt_answer answer;
  qt_answer_make(&answer, db, query, filter);
  vecdb_search_params p = params_of(filter, query, k, plan);
  vecdb_hit *hits = calloc(k, sizeof *hits);
  uint32_t count = UINT32_MAX;
  vecdb_search_info info = VECDB_SEARCH_INFO_INIT;
  vecdb_rows *rows;
  vecdb_error err = {0};
  ok(vdb_query_search(db->snapshot, NULL, &p, hits, &count, &info, &rows, &err), &err, filter);
  assert_int_equal(count, vdb_min_u32(k, answer.n));
  uint32_t right = check_hits(db, &answer, filter, query, hits, count, rows);
  if (plan == VECDB_PLAN_EXACT) {
    assert_int_equal(right, count);
    assert_int_equal(info.segments_exact, info.segments);
  }
  assert_int_equal(info.partial, 0);
  assert_int_equal(info.segments, db->snapshot->n_segs);
  assert_int_equal(info.rows, db->n_rows);
  tally->wanted += count;
  tally->right += right;
  tally->fallbacks += info.fallbacks;
  vecdb_rows_free(rows);
  free(hits);
  qt_answer_free(&answer);
}

static const uint32_t some_k[] = {1, 10, 10, 100, 1000, MAX_K};

/* Searches with random filters by one plan; gives the recall. */
static double check_searches(struct qt_db *db, int32_t plan, int n, uint32_t *fallbacks) {
  struct tally tally = {0, 0, 0};
  for (int i = 0; i < n; i++) {
    struct qt_filter filter;
    qt_filter_make(&filter, &db->rng, 3);
    uint32_t k = some_k[vdb_rng_below(&db->rng, VDB_COUNT(some_k))];
    check_search(db, i % 4 == 0 ? NULL : &filter, k, plan, &tally);
  }
  if (fallbacks)
    *fallbacks = tally.fallbacks;
  return tally.wanted > 0 ? tally.right / tally.wanted : 1;
}

static void test_search_exact(void **state) {
  (void)state;
  for (size_t i = 0; i < VDB_COUNT(kinds); i++) {
    struct qt_config config = config_of(kinds[i], 100 + i);
    config.growing = 2;
    config.sealed = 1;
    config.text_keys = i % 2;
    struct qt_db db;
    qt_open(&db, &config);
    check_searches(&db, VECDB_PLAN_EXACT, 24, NULL);
    check_searches(&db, VECDB_PLAN_AUTO, 8, NULL);
    qt_close(&db);
  }
}

static void test_search_graph(void **state) {
  (void)state;
  for (size_t i = 0; i < VDB_COUNT(kinds); i++) {
    struct qt_config config = config_of(kinds[i], 200 + i);
    config.indexed = 2;
    config.growing = 1;
    config.text_keys = i % 2 == 0;
    config.deleted = i % 3 == 0 ? 0 : (i % 3 == 1 ? 10 : 80);
    struct qt_db db;
    qt_open(&db, &config);
    uint32_t fallbacks;
    assert_true(check_searches(&db, VECDB_PLAN_EXACT, 8, NULL) == 1);
    assert_true(check_searches(&db, VECDB_PLAN_AUTO, 16, NULL) > 0.95);
    assert_true(check_searches(&db, VECDB_PLAN_GRAPH, 24, NULL) > 0.95);
    assert_true(check_searches(&db, VECDB_PLAN_FILTER_LATE, 24, &fallbacks) > 0.95);
    qt_close(&db);
  }
}

/* Each way of dead rows: none, few, nearly all. */
static void test_search_deletes(void **state) {
  (void)state;
  static const uint32_t shares[] = {0, 1, 60, 97, 100};
  for (size_t i = 0; i < VDB_COUNT(shares); i++) {
    struct qt_config config = config_of(kinds[i], 300 + i);
    config.indexed = 1;
    config.growing = 1;
    config.deleted = shares[i];
    struct qt_db db;
    qt_open(&db, &config);
    struct tally tally = {0, 0, 0};
    for (int plan = VECDB_PLAN_AUTO; plan <= VECDB_PLAN_CODES; plan++)
      for (uint32_t k = 1; k <= 4096; k *= 8)
        check_search(&db, NULL, k, plan, &tally);
    assert_true(tally.right >= 0.95 * tally.wanted);
    qt_close(&db);
  }
}

/* A key and a score belong together whatever the plan. */
static void test_plans_agree(void **state) {
  (void)state;
  for (size_t i = 0; i < VDB_COUNT(kinds); i++) {
    struct qt_config config = config_of(kinds[i], 400 + i);
    config.indexed = 1;
    config.rows = 800;
    struct qt_db db;
    qt_open(&db, &config);
    uint8_t query[QUERY_BYTES];
    qt_query(&db, query);
    float scores[1000] = {0};
    for (int plan = VECDB_PLAN_EXACT; plan <= VECDB_PLAN_CODES; plan++) {
      vecdb_search_params p = params_of(NULL, query, 1000, plan);
      vecdb_hit hits[1000];
      uint32_t count;
      vecdb_error err = {0};
      vecdb_search_info info = VECDB_SEARCH_INFO_INIT;
      ok(vdb_query_search(db.snapshot, NULL, &p, hits, &count, &info, NULL, &err), &err, NULL);
      for (uint32_t h = 0; h < count; h++) {
        if (plan == VECDB_PLAN_EXACT)
          scores[hits[h].id] = hits[h].score;
        assert_memory_equal(&scores[hits[h].id], &hits[h].score, sizeof(float));
        assert_int_equal(hits[h].row, 0);
      }
    }
    qt_close(&db);
  }
}

/* A search by GRAPH that first walks without a set of the allowed rows, as if the walk among these
   took `gain` times as long, and one compared row `row` of what a walk takes in all, 1e5. */
struct probing {
  double gain;
  double row;
  int32_t reason; /* VDB_PLAN_CHEAPEST: the plan may be settled anew */
};

static vecdb_search_info probe_search(struct qt_db *db, const struct qt_filter *filter,
                                      struct probing how, struct tally *tally) {
  uint8_t query[QUERY_BYTES];
  qt_query(db, query);
  struct qt_answer answer;
  qt_answer_make(&answer, db, query, filter);
  vecdb_search_params p = params_of(filter, query, 10, VECDB_PLAN_GRAPH);
  struct vdb_request request;
  struct vdb_plan *plan;
  struct vdb_exec_worker worker;
  vecdb_error err = {0};
  ok(vdb_request_init(&request, db->snapshot, &p, VDB_REQUEST_SEARCH, &err), &err, filter);
  ok(vdb_plan_make(&request, false, &plan, &err), &err, filter);
  for (uint32_t i = 0; i < plan->n_segs; i++) {
    struct vdb_plan_seg *seg = &plan->segs[i];
    seg->probe = seg->plan == VECDB_PLAN_GRAPH;
    seg->reason = (enum vdb_plan_reason)how.reason;
    seg->cost = (struct vdb_cost){.plain = 1e5, .graph = 1e5 * how.gain, .row = how.row};
  }
  ok(vdb_exec_init(&request, &worker, &err), &err, filter);
  ok(vdb_exec_query(&request, plan, 0, &worker, &err), &err, filter);
  assert_int_equal(worker.n_hits, vdb_min_u32(10, answer.n));
  for (size_t i = 0; i < worker.n_hits; i++) {
    const struct qt_row *row = qt_find(db, vdb_qhit_id(db->snapshot, worker.hits[i]));
    assert_true(row && qt_allowed(filter, row));
    tally->right += !nearer(db, answer.scores[worker.n_hits - 1], qt_score(db, query, row));
  }
  tally->wanted += (double)worker.n_hits;
  vdb_exec_fini(&request, &worker);
  vdb_plan_free(&request, plan);
  vdb_request_fini(&request);
  qt_answer_free(&answer);
  return worker.info;
}

static void test_probe(void **state) {
  (void)state;
  struct qt_config config = config_of(kinds[0], 450);
  config.indexed = 2;
  struct qt_db db;
  qt_open(&db, &config);
  struct tally tally = {0, 0, 0};
  uint32_t answered = 0;
  for (int i = 0; i < 40; i++) {
    struct qt_filter filter;
    qt_filter_make(&filter, &db.rng, 2);
    struct probing how = {i % 2 ? 3 : 30, 10, VDB_PLAN_FORCED};
    answered += probe_search(&db, &filter, how, &tally).segments_late;
    how = (struct probing){1000, 1e12, VDB_PLAN_FORCED}; /* at the second look it is given up */
    assert_int_equal(probe_search(&db, &filter, how, &tally).segments_late, 0);
  }
  assert_true(tally.right >= 0.95 * tally.wanted);
  assert_in_range(answered, 1, 79); /* some by the first walk, and some not */
  qt_close(&db);
}

/* When the first walk is given up, the plan goes by how many rows pass: a few are scanned. */
static void test_probe_settles(void **state) {
  (void)state;
  struct qt_config config = config_of(kinds[0], 451);
  config.indexed = 2;
  struct qt_db db;
  qt_open(&db, &config);
  struct tally tally = {0, 0, 0};
  struct qt_filter few = {.nodes = {{.kind = QT_B_BELOW, .left = -1, .right = -1, .x = 4}},
                          .n = 1, .text = "b < 48"};
  vecdb_search_info info =
      probe_search(&db, &few, (struct probing){1000, 1e12, VDB_PLAN_CHEAPEST}, &tally);
  assert_int_equal(info.segments_exact, 2);
  assert_int_equal(info.segments, 2);
  assert_true(tally.right == tally.wanted);
  qt_close(&db);
}

/* A clock that moves on by a millisecond with each look. */
static uint64_t ticking(void *user) {
  uint64_t *now = user;
  return *now += 1000000;
}

/* What the first walk has found is kept when the deadline ends it. */
static void test_probe_deadline(void **state) {
  (void)state;
  enum { WANTED = 150 };
  struct qt_config config = config_of(kinds[0], 452);
  config.indexed = 1;
  struct qt_db db;
  qt_open(&db, &config);
  uint64_t now = 0;
  db.env.clock = (vecdb_clock){ticking, ticking, &now};
  struct qt_filter most = {.text = "b < 900"};
  uint32_t stopped = 0;
  for (uint32_t ms = 1; ms < 6; ms++) {
    uint8_t query[QUERY_BYTES];
    qt_query(&db, query);
    vecdb_control control = VECDB_CONTROL_INIT;
    control.timeout_ms = ms;
    vecdb_search_params p = params_of(&most, query, WANTED, VECDB_PLAN_GRAPH);
    p.control = &control;
    struct vdb_request request;
    struct vdb_plan *plan;
    struct vdb_exec_worker worker;
    vecdb_error err = {0};
    ok(vdb_request_init(&request, db.snapshot, &p, VDB_REQUEST_SEARCH, &err), &err, &most);
    ok(vdb_plan_make(&request, false, &plan, &err), &err, &most);
    plan->segs[0].probe = true;
    plan->segs[0].cost = (struct vdb_cost){.plain = 1e5, .graph = 1e8, .row = 10};
    ok(vdb_exec_init(&request, &worker, &err), &err, &most);
    ok(vdb_exec_query(&request, plan, 0, &worker, &err), &err, &most);
    stopped += worker.n_hits > 0 && worker.n_hits < WANTED;
    vdb_exec_fini(&request, &worker);
    vdb_plan_free(&request, plan);
    vdb_request_fini(&request);
  }
  assert_true(stopped > 0);
  qt_close(&db);
}

static void test_empty(void **state) {
  (void)state;
  struct qt_config config = config_of(kinds[0], 1);
  struct qt_db db;
  qt_open(&db, &config);
  struct tally tally = {0, 0, 0};
  check_search(&db, NULL, 10, VECDB_PLAN_AUTO, &tally);
  uint64_t count = 7;
  vecdb_error err = {0};
  ok(vdb_query_count(db.snapshot, NULL, &count, &err), &err, NULL);
  assert_int_equal(count, 0);
  qt_close(&db);
}

/* ---- Range ----------------------------------------------------------------------------------- */

static void check_range(struct qt_db *db, const struct qt_filter *filter, uint32_t k) {
  uint8_t query[QUERY_BYTES];
  qt_query(db, query);
  struct qt_answer answer;
  qt_answer_make(&answer, db, query, filter);
  uint32_t at = answer.n ? vdb_rng_below(&db->rng, answer.n) : 0;
  float radius = answer.n ? (float)answer.scores[at] : 1.0f;
  uint32_t surely = 0, perhaps = 0;
  for (uint32_t i = 0; i < answer.n; i++) {
    surely += nearer(db, answer.scores[i], radius);
    perhaps += !nearer(db, radius, answer.scores[i]);
  }
  vecdb_search_params p = params_of(filter, query, k, VECDB_PLAN_AUTO);
  vecdb_hit *hits = calloc(k, sizeof *hits);
  uint32_t count;
  vecdb_rows *rows;
  vecdb_error err = {0};
  ok(vdb_query_range(db->snapshot, &p, radius, hits, &count, NULL, &rows, &err), &err, filter);
  assert_in_range(count, vdb_min_u32(k, surely), vdb_min_u32(k, perhaps));
  assert_int_equal(check_hits(db, &answer, filter, query, hits, count, rows), count);
  for (uint32_t i = 0; i < count; i++)
    assert_true(qt_smaller(db) ? hits[i].score <= radius : hits[i].score >= radius);
  vecdb_rows_free(rows);
  free(hits);
  qt_answer_free(&answer);
}

static void test_range(void **state) {
  (void)state;
  for (size_t i = 0; i < VDB_COUNT(kinds); i++) {
    struct qt_config config = config_of(kinds[i], 500 + i);
    config.indexed = i == 0;
    config.sealed = 1;
    config.growing = 1;
    struct qt_db db;
    qt_open(&db, &config);
    for (uint32_t n = 0; n < 12; n++) {
      struct qt_filter filter;
      qt_filter_make(&filter, &db.rng, 2);
      check_range(&db, n % 3 ? &filter : NULL, some_k[n % VDB_COUNT(some_k)]);
    }
    qt_close(&db);
  }
}

/* ---- Iterators ------------------------------------------------------------------------------- */

/* An iterator owns its snapshot: a second one over the same segments. */
static struct vdb_snapshot *copy_snapshot(const struct vdb_snapshot *from) {
  size_t bytes = sizeof *from + from->n_segs * sizeof *from->segs;
  struct vdb_snapshot *copy = vdb_alloc(&from->env->mem, bytes);
  *copy = *from;
  copy->segs = (struct vdb_seg_view *)(copy + 1);
  for (uint32_t i = 0; i < from->n_segs; i++) {
    copy->segs[i] = from->segs[i];
    vdb_seg_ref(copy->segs[i].seg);
  }
  return copy;
}

/* Walks to the end. Every allowed row comes once; with EXACT nearest first overall. Gives the share
   of hits that come no later than their place in the true order, within a batch. */
static double check_iterator(struct qt_db *db, const struct qt_filter *filter, int32_t plan) {
  uint8_t query[QUERY_BYTES];
  qt_query(db, query);
  struct qt_answer answer;
  qt_answer_make(&answer, db, query, filter);
  vecdb_search_params p = params_of(filter, query, 0, plan);
  struct vdb_snapshot *snapshot = copy_snapshot(db->snapshot);
  struct vecdb_iterator *it;
  vecdb_error err = {0};
  ok(vdb_iterator_new(snapshot, &p, &it, &err), &err, filter);
  memset(query, 0, sizeof query); /* copied */
  vecdb_hit hits[700];
  uint8_t *came = calloc(db->n_rows + 1, 1);
  uint32_t n = 0, count, right = 0;
  for (;;) {
    uint32_t capacity = 1 + vdb_rng_below(&db->rng, VDB_COUNT(hits));
    vecdb_rows *rows;
    ok(vdb_iterator_step(it, capacity, hits, &count, &rows, &err), &err, filter);
    assert_int_equal(vecdb_rows_count(rows), count);
    if (count == 0) {
      vecdb_rows_free(rows);
      break;
    }
    assert_true(count == capacity || n + count == answer.n);
    assert_true(n + count <= answer.n);
    for (uint32_t i = 0; i < count; i++) {
      vecdb_value key = vecdb_rows_value(rows, i, 0);
      const struct qt_row *row = qt_find(db, qt_key_number(&key));
      qt_check_row(db, rows, i, row);
      assert_true(qt_allowed(filter, row));
      assert_false(came[row - db->rows]);
      came[row - db->rows] = 1;
      if (plan == VECDB_PLAN_EXACT) {
        assert_false(nearer(db, answer.scores[n + i], hits[i].score));
        assert_false(nearer(db, hits[i].score, answer.scores[n + i]));
      }
      if (i > 0)
        assert_false(nearer(db, hits[i].score, hits[i - 1].score));
      right += !nearer(db, answer.scores[n + count - 1], hits[i].score);
    }
    n += count;
    vecdb_rows_free(rows);
  }
  assert_int_equal(n, answer.n);
  ok(vdb_iterator_step(it, 5, hits, &count, NULL, &err), &err, filter);
  assert_int_equal(count, 0);
  free(came);
  vdb_iterator_free(it);
  qt_answer_free(&answer);
  return n ? (double)right / n : 1;
}

static void test_iterator(void **state) {
  (void)state;
  for (size_t i = 0; i < VDB_COUNT(kinds); i++) {
    struct qt_config config = config_of(kinds[i], 600 + i);
    config.indexed = 1;
    config.sealed = i % 2;
    config.growing = 1;
    config.text_keys = i % 3 == 0;
    struct qt_db db;
    qt_open(&db, &config);
    double right = 0;
    for (int n = 0; n < 4; n++) {
      struct qt_filter filter;
      qt_filter_make(&filter, &db.rng, 2);
      check_iterator(&db, n % 2 ? &filter : NULL, VECDB_PLAN_EXACT);
      right += check_iterator(&db, n % 2 ? &filter : NULL, n & VECDB_PLAN_GRAPH);
    }
    assert_true(right / 4 > 0.95);
    qt_close(&db);
  }
}

/* ---- Scans ----------------------------------------------------------------------------------- */

struct walk {
  const struct qt_db *db;
  const struct qt_filter *filter;
  uint32_t n;
  uint32_t last_seg;
  int64_t last_row;
};

static int walk_visit(void *arg, const struct vdb_seg_view *view, uint32_t row, vecdb_error *err) {
  struct walk *w = arg;
  uint32_t seg = (uint32_t)(view - w->db->snapshot->segs);
  uint32_t number = row;
  for (uint32_t i = 0; i < seg; i++)
    number += w->db->snapshot->segs[i].n;
  assert_true(qt_allowed(w->filter, &w->db->rows[number]));
  assert_true(seg > w->last_seg || row > w->last_row);
  w->last_seg = seg;
  w->last_row = row;
  w->n++;
  return w->n == 1000 ? vdb_fail(err, VECDB_ERR_BUSY, "enough") : VECDB_OK;
}

static void check_walk(struct qt_db *db, const struct qt_filter *filter, uint64_t n) {
  struct walk walk = {db, filter, 0, 0, -1};
  vecdb_filter text = qt_filter_text(filter);
  vecdb_error err = {0};
  int rc = vdb_query_each(db->snapshot, filter ? &text : NULL, NULL, walk_visit, &walk, &err);
  assert_int_equal(rc, n >= 1000 ? VECDB_ERR_BUSY : VECDB_OK);
  assert_int_equal(walk.n, n >= 1000 ? 1000 : n);
}

static int by_id(const void *a, const void *b) {
  const struct qt_row *x = *(const struct qt_row *const *)a;
  const struct qt_row *y = *(const struct qt_row *const *)b;
  return x->id < y->id ? -1 : x->id > y->id;
}

static void check_scan(struct qt_db *db, const struct qt_filter *filter) {
  struct qt_answer answer;
  uint8_t query[QUERY_BYTES];
  qt_query(db, query);
  qt_answer_make(&answer, db, query, filter);
  qsort(answer.rows, answer.n, sizeof *answer.rows, by_id);
  vecdb_query_params p = VECDB_QUERY_PARAMS_INIT;
  p.filter = qt_filter_text(filter);
  p.limit = vdb_rng_below(&db->rng, 3) ? 1 + vdb_rng_below(&db->rng, 200) : 0;
  p.offset = vdb_rng_below(&db->rng, 2) ? vdb_rng_below(&db->rng, answer.n + 20) : 0;
  int64_t after = vdb_rng_below(&db->rng, db->n_rows);
  char text[24];
  vecdb_string string = {text, (size_t)snprintf(text, sizeof text, "k%05d", (int)after)};
  bool paged = vdb_rng_below(&db->rng, 2);
  if (paged) {
    p.after.integers = db->config.text_keys ? NULL : &after;
    p.after.strings = db->config.text_keys ? &string : NULL;
    p.after.n = 1;
  }
  const char *fields[] = {"s", "tags", "s"};
  p.fields = fields;
  p.n_fields = 3;
  vecdb_rows *rows;
  vecdb_error err = {0};
  ok(vdb_query_scan(db->snapshot, &p, &rows, &err), &err, filter);
  assert_int_equal(vecdb_rows_n_fields(rows), 3);
  uint32_t first = 0;
  while (paged && first < answer.n && answer.rows[first]->id <= after)
    first++;
  uint64_t left = answer.n - first < p.offset ? 0 : answer.n - first - p.offset;
  assert_int_equal(vecdb_rows_count(rows), p.limit && p.limit < left ? p.limit : left);
  for (size_t i = 0; i < vecdb_rows_count(rows); i++)
    qt_check_row(db, rows, i, answer.rows[first + p.offset + i]);
  vecdb_rows_free(rows);
  uint64_t count;
  ok(vdb_query_count(db->snapshot, &p.filter, &count, &err), &err, filter);
  assert_int_equal(count, answer.n);
  check_walk(db, filter, answer.n);
  qt_answer_free(&answer);
}

static void check_get(struct qt_db *db) {
  enum { N = 200 };
  int64_t ids[N];
  char texts[N][24];
  vecdb_string strings[N];
  uint8_t found[N];
  for (int i = 0; i < N; i++) {
    ids[i] = (int64_t)vdb_rng_below(&db->rng, db->n_rows + 50) - 20;
    strings[i].data = texts[i];
    strings[i].length = (size_t)snprintf(texts[i], sizeof texts[i], "k%05d", (int)ids[i]);
  }
  bool text = db->config.text_keys;
  vecdb_keys keys = {text ? NULL : ids, text ? strings : NULL, N};
  vecdb_rows *rows;
  vecdb_error err = {0};
  ok(vdb_query_get(db->snapshot, &keys, NULL, 0, found, &rows, &err), &err, NULL);
  assert_int_equal(vecdb_rows_n_fields(rows), 10);
  size_t at = 0;
  for (int i = 0; i < N; i++) {
    const struct qt_row *row = qt_find(db, ids[i]);
    assert_int_equal(found[i], row != NULL);
    if (row)
      qt_check_row(db, rows, at++, row);
  }
  assert_int_equal(vecdb_rows_count(rows), at);
  vecdb_rows_free(rows);
}

static void test_scan(void **state) {
  (void)state;
  for (uint64_t i = 0; i < 6; i++) {
    struct qt_config config = config_of(kinds[i], 700 + i);
    config.sealed = 1;
    config.growing = 2;
    config.text_keys = i % 2;
    config.deleted = i < 2 ? 0 : 20;
    struct qt_db db;
    qt_open(&db, &config);
    for (int n = 0; n < 40; n++) {
      struct qt_filter filter;
      qt_filter_make(&filter, &db.rng, 3);
      check_scan(&db, n % 4 ? &filter : NULL);
    }
    check_get(&db);
    qt_close(&db);
  }
}

/* ---- Fallbacks ------------------------------------------------------------------------------- */

/* Allowed rows far from the query: the walk is given up, and nothing is missed. */
static void test_far_matches(void **state) {
  (void)state;
  struct qt_config config = config_of(kinds[0], 800);
  config.indexed = 1;
  config.rows = TEST_SIZE(9000, 6000);
  config.far = true;
  struct qt_db db;
  qt_open(&db, &config);
  db.index[db.field].ef = 10;
  struct qt_filter flag = {.nodes = {{.kind = QT_FLAG}}, .n = 1, .text = "flag == true and b > -1"};
  struct tally tally = {0, 0, 0};
  for (int i = 0; i < 20; i++) {
    flag.text[12] = i < 10 ? ' ' : '\0'; /* without the rest an index answers */
    char text[4000];
    uint8_t query[QUERY_BYTES];
    qt_query(&db, query);
    vecdb_search_params p = params_of(&flag, query, 10, VECDB_PLAN_AUTO);
    vecdb_error err = {0};
    ok(vdb_query_explain(db.snapshot, &p, text, sizeof text, NULL, &err), &err, &flag);
    assert_null(strstr(text, "plan: EXACT"));
    assert_non_null(strstr(text, "(cheapest)"));
    check_search(&db, &flag, 10, VECDB_PLAN_AUTO, &tally);
  }
  assert_int_equal(tally.fallbacks, 20);
  assert_true(tally.right == tally.wanted);
  qt_close(&db);
}

static void poor_traits(const struct vdb_index *index, struct vdb_index_traits *out) {
  (void)index;
  memset(out, 0, sizeof *out);
  out->links = 16;
}

/* An index that finds only some of what it should. */
static int poor_search(const struct vdb_index *index, struct vdb_search *s, vecdb_error *err) {
  (void)err;
  for (uint32_t row = 0; row < index->vecs.n && s->top.n < s->top.k / 2; row++)
    if ((!s->allow || vdb_bit_get(s->allow, row)) && (!s->accept || s->accept(s->accept_arg, row)))
      vdb_topk_push(&s->top, (struct vdb_near){vdb_key_one(&index->vecs, s->query, row), row});
  vdb_topk_sort(&s->top);
  return VECDB_OK;
}

static void test_poor_index(void **state) {
  (void)state;
  struct qt_config config = config_of(kinds[0], 801);
  config.indexed = 1;
  struct qt_db db;
  qt_open(&db, &config);
  struct vdb_seg_index *slot = db.snapshot->segs[0].seg->indexes[db.field];
  struct vdb_index *good = slot->index;
  struct vdb_index_ops ops = *good->ops;
  ops.search = poor_search;
  ops.traits = poor_traits;
  ops.scan = NULL;
  struct vdb_index poor = {&ops, good->vecs};
  slot->index = &poor;
  for (int plan = VECDB_PLAN_GRAPH; plan <= VECDB_PLAN_FILTER_LATE; plan++)
    for (int i = 0; i < 12; i++) {
      struct qt_filter filter;
      qt_filter_make(&filter, &db.rng, 2);
      struct tally tally = {0, 0, 0};
      uint32_t k = some_k[1 + (size_t)i % 4];
      check_search(&db, i % 3 ? &filter : NULL, k, plan, &tally);
      assert_int_equal(tally.fallbacks, tally.wanted > vdb_min_u32(k, db.n_rows) / 2);
      assert_true(tally.right == tally.wanted);
    }
  check_iterator(&db, NULL, VECDB_PLAN_AUTO);
  check_iterator(&db, NULL, VECDB_PLAN_GRAPH);
  slot->index = good;
  qt_close(&db);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_search_exact), cmocka_unit_test(test_search_graph),
      cmocka_unit_test(test_search_deletes), cmocka_unit_test(test_plans_agree),
      cmocka_unit_test(test_probe),
      cmocka_unit_test(test_probe_settles),
      cmocka_unit_test(test_probe_deadline),
      cmocka_unit_test(test_empty),        cmocka_unit_test(test_range),
      cmocka_unit_test(test_iterator),     cmocka_unit_test(test_scan),
      cmocka_unit_test(test_far_matches),  cmocka_unit_test(test_poor_index),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
