/*
 * test_model_push.c - vectors that many learn at once (vecdb_push, vecdb_pull). TSAN: yes
 *
 * A naive model keeps each vector, its optimizer's state and its version in doubles, by the
 * formulas of vecdb.h written down once more. Random pushes, other writes, flushes, compactions,
 * changes of the optimizer, reopenings and power cuts must leave what the model has; and as the
 * state cannot be seen, the steps after each of them must be the model's, too. Threads that add
 * whole numbers must lose none.
 *
 * VDB_N: operations. VDB_SEED: the first database.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>
#include <pthread.h>

#include "base/rng.h"
#include "tlib/apitest.h"
#include "tlib/simdisk.h"
#include "tlib/thorough.h"

enum {
  LEARN_KEYS = 24,
  LEARN_DIM = 5,
  LEARN_BATCH = 12,
  LEARN_OPS = TEST_SIZES(12000, 1500, 150),
  LEARN_OPS_EACH = 300 /* of one database */
};

/* ---- the model ------------------------------------------------------------------------------- */

struct learn_row {
  uint64_t version; /* 0: there is no such row */
  int32_t n;        /* another field */
  double x[LEARN_DIM];
  uint64_t count;   /* gradients since the state began */
  double a[LEARN_DIM], b[LEARN_DIM];
};

struct learn_model {
  vecdb_optimizer rule; /* with the defaults filled in */
  struct learn_row rows[LEARN_KEYS];
};

static void learn_forget(struct learn_row *row) {
  row->count = 0;
  memset(row->a, 0, sizeof row->a);
  memset(row->b, 0, sizeof row->b);
}

static void learn_gradient(const vecdb_optimizer *rule, struct learn_row *row, const float *g) {
  double t = (double)++row->count, rate = (double)rule->rate, eps = (double)rule->epsilon;
  double b1 = (double)rule->beta1, b2 = (double)rule->beta2;
  for (int i = 0; i < LEARN_DIM; i++) {
    double gi = (double)g[i];
    if (rule->kind == VECDB_OPTIMIZER_ADAM) {
      row->a[i] = b1 * row->a[i] + (1 - b1) * gi;
      row->b[i] = b2 * row->b[i] + (1 - b2) * gi * gi;
      double mean = row->a[i] / (1 - pow(b1, t)), square = row->b[i] / (1 - pow(b2, t));
      row->x[i] -= rate * mean / (sqrt(square) + eps);
    } else if (rule->kind == VECDB_OPTIMIZER_ADAGRAD) {
      row->a[i] += gi * gi;
      row->x[i] -= rate * gi / (sqrt(row->a[i]) + eps);
    } else {
      row->a[i] += gi;
      if (row->count == rule->window)
        row->x[i] -= rate * row->a[i] / t;
    }
  }
  if (rule->kind == VECDB_OPTIMIZER_AVERAGE && row->count == rule->window)
    learn_forget(row);
}

static void learn_push(const vecdb_optimizer *rule, struct learn_row *row, int32_t kind,
                       const float *given) {
  if (kind == VECDB_PUSH_GRADIENT)
    learn_gradient(rule, row, given);
  for (int i = 0; i < LEARN_DIM && kind != VECDB_PUSH_GRADIENT; i++)
    row->x[i] = (double)given[i] + (kind == VECDB_PUSH_DELTA ? row->x[i] : 0);
  if (kind == VECDB_PUSH_VALUE)
    learn_forget(row);
  double length = 0;
  for (int i = 0; i < LEARN_DIM; i++)
    length += row->x[i] * row->x[i];
  for (int i = 0; rule->unit && length > 0 && i < LEARN_DIM; i++)
    row->x[i] /= sqrt(length);
  row->version++;
}

/* ---- the database ---------------------------------------------------------------------------- */

static int learn_create(vecdb *db, vecdb_collection **out) {
  const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = LEARN_DIM, .metric = VECDB_L2},
      {.name = "n", .type = VECDB_INT32, .flags = VECDB_NULLABLE},
  };
  vecdb_schema schema = {sizeof schema, sizeof *fields, NULL, fields, 3};
  return vecdb_collection_create(db, "learn", &schema, out, &at_err);
}

struct learn_run {
  struct simdisk *disk;
  vecdb *db;
  vecdb_collection *coll;
  struct vdb_rng rng;
  struct learn_model now, next; /* before and after the call in flight */
};

static void learn_open(struct learn_run *run) {
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.vfs = simdisk_vfs(run->disk);
  options.flags = VECDB_HOST_DRIVEN;
  options.seal_rows = 32;
  options.index_rows = 16;
  options.wal_bytes = 20000;
  at_ok(vecdb_open("db", &options, &run->db, &at_err));
}

static float learn_number(struct vdb_rng *rng) {
  return (float)((int)vdb_rng_below(rng, 2001) - 1000) / 700;
}

/* Rows of one call: keys, of which some may come twice, and vectors. */
struct learn_call {
  uint32_t n;
  int64_t ids[LEARN_BATCH];
  float v[LEARN_BATCH][LEARN_DIM];
  int32_t numbers[LEARN_BATCH];
  uint64_t expected[LEARN_BATCH];
};

static void learn_call_make(struct learn_run *run, struct learn_call *call) {
  call->n = 1 + vdb_rng_below(&run->rng, LEARN_BATCH);
  for (uint32_t i = 0; i < call->n; i++) {
    call->ids[i] = vdb_rng_below(&run->rng, LEARN_KEYS);
    call->numbers[i] = (int32_t)vdb_rng_below(&run->rng, 1000);
    for (int d = 0; d < LEARN_DIM; d++)
      call->v[i][d] = learn_number(&run->rng);
  }
}

/* What the call must answer; the model follows. */
static int learn_expect_push(struct learn_run *run, const vecdb_push_params *params,
                             const struct learn_call *call, uint64_t *versions) {
  for (uint32_t i = 0; i < call->n; i++) {
    struct learn_row *row = &run->next.rows[call->ids[i]];
    if (params->expected && params->expected[i] != row->version)
      return VECDB_ERR_VERSION;
    if (row->version == 0 && !(params->flags & VECDB_PUSH_INSERT))
      return VECDB_ERR_NOT_FOUND;
    if (row->version == 0)
      memset(row, 0, sizeof *row);
    learn_push(&run->next.rule, row, params->kind, call->v[i]);
    versions[i] = row->version;
  }
  return VECDB_OK;
}

static bool learn_do_push(struct learn_run *run) {
  struct learn_call call;
  uint64_t expect[LEARN_BATCH], versions[LEARN_BATCH];
  learn_call_make(run, &call);
  vecdb_keys keys = {.integers = call.ids, .n = call.n};
  vecdb_push_params params = VECDB_PUSH_PARAMS_INIT;
  params.kind = (int32_t)vdb_rng_below(&run->rng, 5) - 2;
  params.kind = params.kind < 0 ? VECDB_PUSH_GRADIENT : params.kind;
  params.flags = vdb_rng_below(&run->rng, 3) ? VECDB_PUSH_INSERT : 0;
  params.field = "v";
  params.keys = &keys;
  params.values = call.v[0];
  if (vdb_rng_below(&run->rng, 4) == 0) { /* true for keys that come once, if not off by one */
    for (uint32_t i = 0; i < call.n; i++)
      call.expected[i] = run->now.rows[call.ids[i]].version + (vdb_rng_below(&run->rng, 20) == 0);
    params.expected = call.expected;
  }
  int want = learn_expect_push(run, &params, &call, expect);
  if (want)
    run->next = run->now;
  int rc = vecdb_push(run->coll, &params, versions, &at_err);
  if (rc != want)
    return false;
  if (!rc)
    assert_memory_equal(versions, expect, call.n * sizeof *versions);
  return true;
}

/* Upserts the rows, updates their vectors, or their number alone. */
static bool learn_do_write(struct learn_run *run) {
  struct learn_call call;
  uint32_t what = vdb_rng_below(&run->rng, 3);
  learn_call_make(run, &call);
  const vecdb_column columns[] = {{.field = "id", .data = call.ids},
                                  {.field = "n", .data = call.numbers},
                                  {.field = "v", .data = call.v}};
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, what == 2 ? 2 : 3, call.n};
  for (uint32_t i = 0; i < call.n; i++) {
    struct learn_row *row = &run->next.rows[call.ids[i]];
    if (what && row->version == 0)
      continue;
    row->n = call.numbers[i];
    if (what == 2)
      continue;
    learn_forget(row);
    row->version = run->now.rows[call.ids[i]].version + 1; /* once, also if a key comes twice */
    for (int d = 0; d < LEARN_DIM; d++)
      row->x[d] = (double)call.v[i][d];
  }
  return (what ? vecdb_update(run->coll, &batch, 0, NULL, &at_err)
               : vecdb_upsert(run->coll, &batch, NULL, &at_err)) == VECDB_OK;
}

static bool learn_do_delete(struct learn_run *run) {
  int64_t id = vdb_rng_below(&run->rng, LEARN_KEYS);
  vecdb_keys keys = {.integers = &id, .n = 1};
  run->next.rows[id].version = 0;
  return vecdb_delete(run->coll, &keys, NULL, &at_err) == VECDB_OK;
}

/* Another optimizer, or another rate of the same. */
static bool learn_do_optimizer(struct learn_run *run) {
  vecdb_optimizer rule = VECDB_OPTIMIZER_INIT, *next = &run->next.rule;
  rule.kind = vdb_rng_below(&run->rng, 2) ? next->kind : (int32_t)vdb_rng_below(&run->rng, 3);
  /* No two are the same: a first step would undo another, and scaling make much of what is left. */
  rule.rate = (float)(1 + vdb_rng_below(&run->rng, 10000)) / 30000;
  rule.unit = vdb_rng_below(&run->rng, 4) == 0;
  if (rule.kind == VECDB_OPTIMIZER_AVERAGE)
    rule.window = 1 + vdb_rng_below(&run->rng, 3);
  bool same = next->size && rule.kind == next->kind && rule.window == next->window;
  *next = rule;
  if (rule.kind == VECDB_OPTIMIZER_ADAM) {
    next->beta1 = 0.9f;
    next->beta2 = 0.999f;
  }
  if (rule.kind != VECDB_OPTIMIZER_AVERAGE)
    next->epsilon = 1e-8f;
  for (int k = 0; !same && k < LEARN_KEYS; k++)
    learn_forget(&run->next.rows[k]);
  return vecdb_optimizer_set(run->coll, "v", &rule, NULL, &at_err) == VECDB_OK;
}

/* Whether the database has what the model says; a search finds each vector where it is. */
static bool learn_same(struct learn_run *run, const struct learn_model *model) {
  int64_t ids[LEARN_KEYS];
  float x[LEARN_KEYS][LEARN_DIM];
  uint64_t versions[LEARN_KEYS], rows = 0, count;
  vecdb_optimizer rule;
  at_ok(vecdb_optimizer_get(run->coll, "v", &rule, &at_err));
  if (memcmp(&rule, &model->rule, sizeof rule) != 0)
    return false;
  for (int k = 0; k < LEARN_KEYS; k++)
    ids[k] = k;
  vecdb_keys keys = {.integers = ids, .n = LEARN_KEYS};
  at_ok(vecdb_pull(run->coll, "v", &keys, x[0], 0, versions, &at_err));
  for (int k = 0; k < LEARN_KEYS; k++) {
    const struct learn_row *row = &model->rows[k];
    if (versions[k] != row->version)
      return false;
    rows += row->version != 0;
    for (int d = 0; row->version && d < LEARN_DIM; d++)
      if (!(fabs((double)x[k][d] - row->x[d]) < 1e-4))
        return false;
  }
  at_ok(vecdb_count(run->coll, NULL, &count, &at_err));
  if (count != rows)
    return false;
  uint32_t k = vdb_rng_below(&run->rng, LEARN_KEYS), found;
  vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
  vecdb_hit hit;
  params.k = 1;
  params.queries = x[k];
  if (versions[k] == 0)
    return true;
  at_ok(vecdb_search(run->coll, &params, &hit, &found, NULL, NULL, &at_err));
  return found == 1 && hit.score == 0;
}

/* Other fields are not touched by pushes, and nobody sees what is hidden. */
static bool learn_others(struct learn_run *run, const struct learn_model *model) {
  vecdb_query_params params = VECDB_QUERY_PARAMS_INIT;
  vecdb_rows *rows;
  at_ok(vecdb_query(run->coll, &params, &rows, &at_err));
  assert_int_equal(vecdb_rows_n_fields(rows), 3);
  bool ok = true;
  for (size_t i = 0; i < vecdb_rows_count(rows); i++) {
    int64_t id = vecdb_rows_value(rows, i, 0).as.integer;
    vecdb_value n = vecdb_rows_value(rows, i, 2);
    ok = ok && (n.type ? n.as.integer : 0) == model->rows[id].n;
  }
  vecdb_rows_free(rows);
  return ok;
}

static bool learn_one(struct learn_run *run) {
  uint32_t what = vdb_rng_below(&run->rng, 100);
  bool more;
  if (what < 60)
    return learn_do_push(run);
  if (what < 75)
    return learn_do_write(run);
  if (what < 84)
    return learn_do_delete(run);
  if (what < 90)
    return vecdb_step(run->db, 0, 0, &more, &at_err) == VECDB_OK;
  if (what < 94)
    return vecdb_flush(run->coll, NULL, &at_err) == VECDB_OK;
  return what < 96 ? vecdb_compact(run->coll, NULL, &at_err) == VECDB_OK : learn_do_optimizer(run);
}

static void learn_reopen(struct learn_run *run, bool crash) {
  vecdb_collection_release(run->coll);
  vecdb_close(run->db, NULL);
  if (crash)
    simdisk_crash(run->disk, vdb_rng_next(&run->rng));
  learn_open(run);
  at_ok(vecdb_collection_get(run->db, "learn", &run->coll, &at_err));
}

/* One operation; one in forty meets a power cut, at once or on the way. */
static bool learn_step(struct learn_run *run) {
  bool crash = vdb_rng_below(&run->rng, 40) == 0;
  run->next = run->now;
  if (crash)
    simdisk_stop_after(run->disk, vdb_rng_below(&run->rng, 10));
  bool ok = learn_one(run);
  if (!ok && !simdisk_stopped(run->disk))
    return false;
  if (crash || vdb_rng_below(&run->rng, 50) == 0)
    learn_reopen(run, crash);
  if (!ok && learn_same(run, &run->now) && learn_others(run, &run->now))
    return true; /* not there after all */
  run->now = run->next;
  return learn_same(run, &run->now) && learn_others(run, &run->now);
}

static bool learn_database(uint64_t seed, uint64_t n) {
  struct learn_run run = {.disk = simdisk_new(), .rng = {seed * 7919}};
  learn_open(&run);
  at_ok(learn_create(run.db, &run.coll));
  run.next = run.now;
  bool ok = learn_do_optimizer(&run);
  run.now = run.next;
  for (uint64_t i = 0; ok && i < n; i++) {
    ok = learn_step(&run);
    if (!ok)
      fprintf(stderr, "VDB_SEED=%llu, operation %llu: %s\n", (unsigned long long)seed,
              (unsigned long long)i, at_err.message);
  }
  at_ok(vecdb_check(run.db, NULL, NULL, NULL, &at_err));
  vecdb_collection_release(run.coll);
  at_ok(vecdb_close(run.db, &at_err));
  simdisk_free(run.disk);
  return ok;
}

static void test_random(void **state) {
  (void)state;
  const char *text = getenv("VDB_N"), *first = getenv("VDB_SEED");
  uint64_t n = text ? strtoull(text, NULL, 10) : LEARN_OPS, seed = first ? strtoull(first, NULL, 10)
                                                                          : 1;
  uint64_t failures = 0;
  for (uint64_t done = 0; done < n; done += LEARN_OPS_EACH)
    failures += !learn_database(seed++, n - done < LEARN_OPS_EACH ? n - done : LEARN_OPS_EACH);
  printf("pushes: operations=%llu failures=%llu\n", (unsigned long long)n,
         (unsigned long long)failures);
  assert_int_equal(failures, 0);
}

/* ---- threads --------------------------------------------------------------------------------- */

enum {
  CROWD_THREADS = 4,
  CROWD_KEYS = 6,
  CROWD_PUSHES = TEST_SIZES(400, 150, 60),
  CROWD_ROWS = 5, /* of one push */
  CROWD_TURNS = TEST_SIZES(200, 80, 30) /* of compare and push */
};

struct crowd {
  vecdb_collection *coll;
  uint32_t number;
  double added[CROWD_KEYS];
  uint64_t pushes[CROWD_KEYS];
  bool ok;
};

/* Adds whole numbers to a few keys, some of which come twice. */
static void *crowd_add(void *arg) {
  struct crowd *crowd = arg;
  struct vdb_rng rng = {crowd->number};
  crowd->ok = true;
  for (int i = 0; i < CROWD_PUSHES; i++) {
    int64_t ids[CROWD_ROWS];
    float deltas[CROWD_ROWS][LEARN_DIM];
    for (int r = 0; r < CROWD_ROWS; r++) {
      ids[r] = vdb_rng_below(&rng, CROWD_KEYS);
      float delta = (float)vdb_rng_below(&rng, 9);
      crowd->added[ids[r]] += (double)delta;
      crowd->pushes[ids[r]]++;
      for (int d = 0; d < LEARN_DIM; d++)
        deltas[r][d] = delta;
    }
    vecdb_keys keys = {.integers = ids, .n = CROWD_ROWS};
    vecdb_push_params params = VECDB_PUSH_PARAMS_INIT;
    params.kind = VECDB_PUSH_DELTA;
    params.flags = VECDB_PUSH_INSERT;
    params.field = "v";
    params.keys = &keys;
    params.values = deltas[0];
    crowd->ok = crowd->ok && vecdb_push(crowd->coll, &params, NULL, NULL) == VECDB_OK;
  }
  return NULL;
}

/* Counts up by pulling and pushing what was pulled, plus one, if nobody did so between. */
static void *crowd_turn(void *arg) {
  struct crowd *crowd = arg;
  int64_t id = CROWD_KEYS;
  vecdb_keys keys = {.integers = &id, .n = 1};
  crowd->ok = true;
  for (int turns = 0; turns < CROWD_TURNS && crowd->ok;) {
    float x[LEARN_DIM] = {0};
    uint64_t version;
    crowd->ok = vecdb_pull(crowd->coll, "v", &keys, x, 0, &version, NULL) == VECDB_OK;
    for (int d = 0; d < LEARN_DIM; d++)
      x[d]++;
    vecdb_push_params params = VECDB_PUSH_PARAMS_INIT;
    params.kind = VECDB_PUSH_VALUE;
    params.flags = VECDB_PUSH_INSERT;
    params.field = "v";
    params.keys = &keys;
    params.values = x;
    params.expected = &version;
    int rc = vecdb_push(crowd->coll, &params, NULL, NULL);
    turns += rc == VECDB_OK;
    crowd->ok = crowd->ok && (rc == VECDB_OK || rc == VECDB_ERR_VERSION);
  }
  return NULL;
}

/* Whether these threads and the background leave the sums that they should. */
static void test_threads(void **state) {
  (void)state;
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.seal_rows = 64;
  options.threads = 1;
  char *folder = at_folder();
  vecdb *db = at_open(folder, &options);
  struct crowd crowds[CROWD_THREADS] = {0};
  pthread_t threads[CROWD_THREADS];
  vecdb_collection *coll;
  vecdb_optimizer rule = VECDB_OPTIMIZER_INIT;
  at_ok(learn_create(db, &coll));
  at_ok(vecdb_optimizer_set(coll, "v", &rule, NULL, &at_err));
  for (uint32_t t = 0; t < CROWD_THREADS; t++) {
    crowds[t].coll = coll;
    crowds[t].number = t;
    pthread_create(&threads[t], NULL, t % 2 ? crowd_turn : crowd_add, &crowds[t]);
  }
  for (uint32_t t = 0; t < CROWD_THREADS; t++) {
    pthread_join(threads[t], NULL);
    assert_true(crowds[t].ok);
  }
  vecdb_collection_release(coll);
  at_close(db);
  db = at_open(folder, &options);
  at_ok(vecdb_collection_get(db, "learn", &coll, &at_err));
  for (int64_t k = 0; k <= CROWD_KEYS; k++) {
    double sum = k == CROWD_KEYS ? CROWD_TURNS * (CROWD_THREADS / 2) : 0;
    uint64_t pushes = (uint64_t)sum, version;
    float x[LEARN_DIM];
    vecdb_keys keys = {.integers = &k, .n = 1};
    at_ok(vecdb_pull(coll, "v", &keys, x, 0, &version, &at_err));
    for (int t = 0; k < CROWD_KEYS && t < CROWD_THREADS; t++) {
      sum += crowds[t].added[k];
      pushes += crowds[t].pushes[k];
    }
    assert_int_equal(version, pushes);
    for (int d = 0; d < LEARN_DIM; d++)
      assert_true((double)x[d] == sum);
  }
  vecdb_collection_release(coll);
  at_close(db);
  at_remove(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_random),
      cmocka_unit_test(test_threads),
  };
  return cmocka_run_group_tests_name("push", tests, NULL, NULL);
}
