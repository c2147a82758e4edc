/*
 * test_model.c - long random use of a database on a simulated disk against the naive model: mixed
 * schemas, all operations, clean reopenings, power cuts one operation in a hundred. After the
 * operations come random questions (searches of all plans, ranges, iterators, gets, queries page by
 * page, counts, with and without filters), now and then the whole content, and the check.
 *
 * VDB_N: operations. VDB_SEED: the first database.
 * VDB_ENCRYPT: databases are encrypted. CRYPT: yes
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tlib/probe.h"
#include "tlib/simdisk.h"
#include "tlib/thorough.h"
#include "tlib/workload.h"

enum {
  RANDOM_OPS = TEST_SIZE(50000, 1200),
  RANDOM_OPS_EACH = TEST_SIZE(2000, 600) /* of one database */
};

struct random_run {
  struct simdisk *disk;
  struct workload w;
  struct model found;
  struct probe probe;
  struct vdb_rng rng;
  uint64_t ops;
  uint64_t crashes;
};

static uint64_t random_number(const char *name, uint64_t standard) {
  const char *text = getenv(name);
  return text && *text ? strtoull(text, NULL, 10) : standard;
}

static double random_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void random_begin(struct random_run *run, uint64_t seed) {
  static const uint8_t weights[WORKLOAD_OPS] = {3, 1, 30, 60, 20, 18, 5, 6, 2,
                                                2, 2, 1,  14, 2,  1,  4, 1, 5, 12};
  static const int32_t modes[] = {VECDB_DURABLE_COMMIT, VECDB_DURABLE_INTERVAL, VECDB_DURABLE_OFF};
  run->rng.state = seed * 31337;
  run->probe.rng.state = seed * 77 + 3;
  run->disk = simdisk_new();
  struct workload_config config = {
      .seed = seed,
      .vfs = simdisk_vfs(run->disk),
      .dir = "db",
      .flags = VECDB_HOST_DRIVEN,
      .durability = modes[seed % 3],
      .n_keys = 100 + vdb_rng_below(&run->rng, 500),
      .seal_rows = 20 + vdb_rng_below(&run->rng, 200),
      .index_rows = 40,
      .wal_bytes = 20000 + vdb_rng_below(&run->rng, 100000),
      .batch_rows = 10 + vdb_rng_below(&run->rng, 50),
      .weights = weights,
      .trace = getenv("VDB_TRACE") != NULL,
  };
  workload_init(&run->w, &config);
  model_init(&run->found, config.n_keys);
}

static void random_end(struct random_run *run) {
  workload_fini(&run->w);
  model_fini(&run->found);
  simdisk_free(run->disk);
}

/* All there is, and the check. */
static bool random_compare(struct random_run *run, bool crashed) {
  vecdb_error err;
  if (vecdb_check(run->w.db, NULL, NULL, NULL, &err))
    return model_differs("check: %s", err.message);
  if (!model_load(run->w.db, &run->found))
    return false;
  return crashed ? workload_accepts(&run->w, &run->found, false)
                 : model_same(&run->w.now, &run->found);
}

/* The power has gone, perhaps in the middle of a call. */
static bool random_recover(struct random_run *run) {
  workload_abandon(&run->w);
  simdisk_crash(run->disk, vdb_rng_next(&run->rng));
  run->crashes++;
  if (workload_open(&run->w))
    return model_differs("open after a power cut: %s", run->w.err.message);
  if (!random_compare(run, true))
    return false;
  workload_rebase(&run->w, &run->found, false);
  return true;
}

static bool random_step(struct random_run *run) {
  bool crash = vdb_rng_below(&run->rng, 100) == 0;
  if (crash) /* at once, or on the way */
    simdisk_stop_after(run->disk, vdb_rng_below(&run->rng, 12));
  int rc = workload_next(&run->w);
  run->ops++;
  if (rc == WORKLOAD_WRONG)
    return false;
  if (rc && !simdisk_stopped(run->disk))
    return model_differs("%s: %s", workload_op_name(run->w.op), run->w.err.message);
  if (crash)
    return random_recover(run);
  if (vdb_rng_below(&run->rng, 40) == 0 && !random_compare(run, false))
    return false;
  return vdb_rng_below(&run->rng, 2) ||
         probe_ask(&run->probe, &run->w.now, run->w.db, PROBE_ALL, 1);
}

static bool random_database(struct random_run *run, uint64_t seed, uint64_t n) {
  random_begin(run, seed);
  bool ok = workload_open(&run->w) == VECDB_OK;
  for (uint64_t i = 0; ok && i < n; i++)
    ok = random_step(run);
  if (ok && workload_close(&run->w))
    ok = model_differs("close: %s", run->w.err.message);
  if (!ok)
    fprintf(stderr, "VDB_SEED=%llu, operation %llu: %s\n", (unsigned long long)seed,
            (unsigned long long)run->ops, model_trouble());
  random_end(run);
  return ok;
}

static void test_random_operations(void **state) {
  (void)state;
  uint64_t n = random_number("VDB_N", RANDOM_OPS), first = random_number("VDB_SEED", 1);
  struct random_run run = {.ops = 0};
  uint64_t failures = 0, done = 0, seed = first;
  double begin = random_seconds();
  for (; done < n && failures < 5; seed++) {
    run.ops = 0;
    failures += !random_database(&run, seed, vdb_min_u32(RANDOM_OPS_EACH, (uint32_t)(n - done)));
    done += run.ops;
  }
  double recall = (double)run.probe.near_hits / (double)(run.probe.near_all + 1);
  printf("model: operations=%llu databases=%llu power_cuts=%llu questions=%llu recall=%.4f "
         "failures=%llu seconds=%.1f\n",
         (unsigned long long)done, (unsigned long long)(seed - first),
         (unsigned long long)run.crashes, (unsigned long long)run.probe.questions, recall,
         (unsigned long long)failures, random_seconds() - begin);
  assert_int_equal(failures, 0);
  assert_true(recall > 0.95);
}

/* ---- keys that the database gives ------------------------------------------------------------ */

static int auto_id_create(vecdb *db, vecdb_error *err) {
  const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY | VECDB_AUTO_ID},
      {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = 2, .metric = VECDB_L2},
  };
  vecdb_schema schema = VECDB_SCHEMA_INIT;
  schema.fields = fields;
  schema.n_fields = 2;
  return vecdb_collection_create(db, "numbered", &schema, NULL, err);
}

struct auto_id_run {
  struct simdisk *disk;
  struct workload w; /* only its options and handle are used */
  struct vdb_rng rng;
  int64_t highest; /* id that was acknowledged */
  uint64_t rows;
};

/* Inserts a batch, deletes its last row, or brings all into files. */
static int auto_id_step(struct auto_id_run *run, vecdb_collection *coll) {
  vecdb_error *err = &run->w.err;
  uint32_t what = vdb_rng_below(&run->rng, 8), n = 1 + vdb_rng_below(&run->rng, 9);
  float vectors[20] = {0};
  int64_t ids[10];
  if (what == 0)
    return vecdb_flush(coll, NULL, err);
  if (what == 1)
    return vecdb_compact(coll, NULL, err);
  if (what == 2 && run->highest > 0) {
    vecdb_keys keys = {&run->highest, NULL, 1};
    uint64_t deleted = 0;
    int rc = vecdb_delete(coll, &keys, &deleted, err);
    run->rows -= rc ? 0 : deleted;
    return rc;
  }
  vecdb_column column = {.field = "v", .data = vectors, .dim = 2};
  vecdb_batch batch = VECDB_BATCH_INIT;
  batch.columns = &column;
  batch.n_columns = 1;
  batch.n_rows = n;
  int rc = vecdb_insert(coll, &batch, ids, err);
  for (uint32_t i = 0; !rc && i < n; i++) {
    assert_true(ids[i] > run->highest);
    run->highest = ids[i];
  }
  run->rows += rc ? 0 : n;
  return rc;
}

static void auto_id_reopen(struct auto_id_run *run) {
  uint64_t count;
  vecdb_collection *coll;
  workload_abandon(&run->w);
  simdisk_crash(run->disk, vdb_rng_next(&run->rng));
  assert_int_equal(workload_open(&run->w), VECDB_OK);
  assert_int_equal(vecdb_collection_get(run->w.db, "numbered", &coll, NULL), VECDB_OK);
  assert_int_equal(vecdb_count(coll, NULL, &count, NULL), VECDB_OK);
  vecdb_collection_release(coll);
  run->rows = count; /* what was in flight may be there or not */
}

/* No id that a caller was given is ever given again, also when its row was deleted. */
static void test_auto_ids(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 60; seed++) {
    struct auto_id_run run = {.disk = simdisk_new(), .rng = {seed}};
    struct workload_config config = {.seed = seed, .vfs = simdisk_vfs(run.disk), .dir = "db",
                                     .flags = VECDB_HOST_DRIVEN, .n_keys = 1, .seal_rows = 16,
                                     .index_rows = 16, .wal_bytes = 4000, .batch_rows = 1};
    workload_init(&run.w, &config);
    assert_int_equal(workload_open(&run.w), VECDB_OK);
    assert_int_equal(auto_id_create(run.w.db, &run.w.err), VECDB_OK);
    for (int i = 0; i < 100; i++) {
      bool crash = vdb_rng_below(&run.rng, 10) == 0;
      vecdb_collection *coll;
      uint64_t count;
      assert_int_equal(vecdb_collection_get(run.w.db, "numbered", &coll, NULL), VECDB_OK);
      if (crash)
        simdisk_stop_after(run.disk, vdb_rng_below(&run.rng, 6));
      int rc = auto_id_step(&run, coll);
      assert_true(rc == VECDB_OK || simdisk_stopped(run.disk));
      assert_int_equal(vecdb_count(coll, NULL, &count, NULL), VECDB_OK);
      assert_int_equal(count, run.rows);
      vecdb_collection_release(coll);
      if (crash)
        auto_id_reopen(&run);
    }
    workload_fini(&run.w);
    simdisk_free(run.disk);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_random_operations),
      cmocka_unit_test(test_auto_ids),
  };
  return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
