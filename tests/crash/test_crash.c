/*
 * test_crash.c - power cuts. Small random workloads run on a simulated disk; the power goes at one
 * operation of the disk after the other, and each time several of the states that the disk may be
 * in are tried: the database must open with full verification, pass vecdb_check, hold every write
 * that was acknowledged, all or nothing of the one in flight and nothing else, and answer like the
 * model. In a part of the states the power goes again during recovery or in the writes that follow,
 * and in some the process is killed first, so that the system still knows what the disk does not.
 *
 * One database has files of more than 2 MiB, from which on these are written in larger pieces.
 *
 * VDB_N: how many states. VDB_SEED: the first workload. One workload alone: VDB_SEED=s VDB_N=1.
 * VDB_ENCRYPT: databases are encrypted, and change their keys.
 *
 * CRYPT: yes
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
  CRASH_STATES = TEST_SIZE(20000, 1500),
  CRASH_DAMAGE = 4 /* disk states tried per cut */
};

struct crash_ledger {
  uint64_t states;
  uint64_t workloads;
  uint64_t cuts;
  uint64_t again; /* states after a second or third cut */
  uint64_t in_recovery;
  uint64_t kills;
  uint64_t backups;
  uint64_t lost;  /* states that lost an acknowledged write, or could not be opened */
  uint64_t wrong; /* states with another fault */
};

struct crash_run {
  struct workload_config config;
  uint32_t n_ops;
  uint64_t cut;
  uint64_t damage;
  struct vdb_rng rng;
  struct model found;
  struct probe probe;
  struct crash_ledger *ledger;
};

static const int32_t crash_modes[] = {VECDB_DURABLE_COMMIT, VECDB_DURABLE_COMMIT,
                                      VECDB_DURABLE_INTERVAL, VECDB_DURABLE_OFF};

static void crash_configure(struct crash_run *run, uint64_t seed, struct crash_ledger *ledger) {
  struct vdb_rng rng = {seed * 977 + 5};
  memset(run, 0, sizeof *run);
  run->ledger = ledger;
  run->config.seed = seed;
  run->config.dir = "db";
  run->config.flags = VECDB_HOST_DRIVEN;
  run->config.durability = crash_modes[seed % 4];
  run->config.n_keys = 20 + vdb_rng_below(&rng, 40);
  run->config.seal_rows = 8 + vdb_rng_below(&rng, 3) * vdb_rng_below(&rng, 29);
  run->config.index_rows = 16;
  run->config.wal_bytes = 1000 + vdb_rng_below(&rng, 3) * 4000;
  run->config.trace = getenv("VDB_TRACE") != NULL;
  run->config.batch_rows = 3 + vdb_rng_below(&rng, 14);
  run->n_ops = 12 + vdb_rng_below(&rng, 14);
  run->rng.state = rng.state;
  model_init(&run->found, run->config.n_keys);
}

static void crash_report(struct crash_run *run, bool lost, const char *what) {
  *(lost ? &run->ledger->lost : &run->ledger->wrong) += 1;
  fprintf(stderr, "VDB_SEED=%llu (mode %d) cut %llu damage %llu: %s\n",
          (unsigned long long)run->config.seed, run->config.durability,
          (unsigned long long)run->cut, (unsigned long long)run->damage, what);
}

static void crash_fault(void *user, const char *line) {
  (void)user;
  fprintf(stderr, "  check: %s\n", line);
}

/* Reads the state of an open database and holds it against what may be. */
static bool crash_look(struct crash_run *run, struct workload *w, bool kill) {
  vecdb_error err;
  if (vecdb_check(w->db, crash_fault, NULL, NULL, &err)) {
    model_differs("check: %s", err.message);
    crash_report(run, false, model_trouble());
    return false;
  }
  if (!model_load(w->db, &run->found)) {
    crash_report(run, false, model_trouble());
    return false;
  }
  if (!workload_accepts(w, &run->found, kill)) {
    crash_report(run, true, model_trouble());
    return false;
  }
  run->probe.rng = run->rng;
  if (!probe_ask(&run->probe, &run->found, w->db, PROBE_ALL, 3)) {
    crash_report(run, false, model_trouble());
    return false;
  }
  return true;
}

/* Opens after a crash with everything verified. */
static bool crash_reopen(struct crash_run *run, struct workload *w) {
  vecdb_options o = workload_options(w);
  o.verify = VECDB_VERIFY_FULL;
  o.durability = w->config.durability;
  if (w->opened)
    o.flags |= VECDB_MUST_EXIST;
  vecdb_error err;
  if (vecdb_open(w->config.dir, &o, &w->db, &err)) {
    model_differs("cannot be opened (after %s): %s", workload_op_name(w->op), err.message);
    crash_report(run, true, model_trouble());
    return false;
  }
  return true;
}

/* The last finished backup is a database with the state of its moment. */
static bool crash_backup(struct crash_run *run, struct workload *w) {
  char path[64];
  if (w->backup_number == 0)
    return true;
  workload_backup_path(w, w->backup_number, path);
  vecdb_options o = workload_options(w);
  o.flags |= VECDB_READ_ONLY;
  o.verify = VECDB_VERIFY_FULL;
  vecdb_error err;
  vecdb *db;
  run->ledger->backups++;
  if (vecdb_open(path, &o, &db, &err)) {
    model_differs("a backup cannot be opened: %s", err.message);
    crash_report(run, true, model_trouble());
    return false;
  }
  bool ok = model_load(db, &run->found) && model_same(&w->backup, &run->found);
  if (!ok) {
    char text[512];
    snprintf(text, sizeof text, "a backup is wrong: %s", model_trouble());
    crash_report(run, true, text);
  }
  vecdb_close(db, NULL);
  return ok;
}

/* Runs on until the power goes or `n` operations are done. False: something else failed. */
static bool crash_work(struct crash_run *run, struct workload *w, struct simdisk *disk,
                       uint32_t n) {
  int rc = w->db ? VECDB_OK : workload_open(w);
  for (uint32_t i = 0; !rc && i < n; i++)
    rc = workload_next(w);
  if (!rc)
    rc = workload_close(w);
  if (rc && (rc == WORKLOAD_WRONG || !simdisk_stopped(disk))) {
    if (rc != WORKLOAD_WRONG)
      model_differs("%s failed with %s: %s", workload_op_name(w->op), vecdb_status_name(rc),
                    w->err.message);
    crash_report(run, false, model_trouble());
    return false;
  }
  workload_abandon(w);
  return true;
}

/* One state of the disk: opens it, checks it, and sometimes lets the power go again. `lost`: it did
   so before, and the database was not opened since. */
static bool crash_state(struct crash_run *run, struct workload *w, struct simdisk *disk,
                        uint32_t depth, bool lost) {
  bool kill = vdb_rng_below(&run->rng, 8) == 0;
  bool again = depth < 3 && (kill || vdb_rng_below(&run->rng, 4) == 0);
  if (kill)
    simdisk_stop_after(disk, UINT64_MAX);
  else
    simdisk_crash(disk, run->damage = vdb_rng_next(&run->rng) % 64);
  if (run->config.trace)
    fprintf(stderr, "  %s %llu\n", kill ? "kill" : "power cut", (unsigned long long)run->damage);
  run->ledger->kills += kill;
  lost = lost || !kill;
  run->ledger->again += depth > 0;
  run->ledger->states++;
  if (again && vdb_rng_below(&run->rng, 2)) { /* the power goes while the database is opened */
    simdisk_stop_after(disk, vdb_rng_below(&run->rng, 8));
    if (workload_open(w)) {
      run->ledger->in_recovery++;
      bool stopped = simdisk_stopped(disk);
      if (!stopped) {
        model_differs("cannot be opened: %s", w->err.message);
        crash_report(run, true, model_trouble());
      }
      return stopped && crash_state(run, w, disk, depth + 1, lost);
    }
  } else if (!crash_reopen(run, w)) {
    return false;
  }
  bool ok = crash_look(run, w, !lost);
  if (ok && again) {
    workload_rebase(w, &run->found, !lost);
    if (!simdisk_stopped(disk))
      simdisk_stop_after(disk, vdb_rng_below(&run->rng, 24));
    ok = crash_work(run, w, disk, 1 + vdb_rng_below(&run->rng, 4)) &&
         crash_state(run, w, disk, depth + 1, false);
  }
  if (ok && w->db && workload_close(w) && !simdisk_stopped(disk)) {
    crash_report(run, false, w->err.message);
    ok = false;
  }
  return ok && (vdb_rng_below(&run->rng, 4) || crash_backup(run, w));
}

/* Runs the workload up to operation `cut` of the disk, then tries what the disk may hold. */
static bool crash_cut(struct crash_run *run) {
  struct simdisk *disk = simdisk_new();
  struct workload w;
  run->config.vfs = simdisk_vfs(disk);
  workload_init(&w, &run->config);
  simdisk_stop_after(disk, run->cut);
  bool ok = crash_work(run, &w, disk, run->n_ops);
  run->ledger->cuts++;
  for (uint32_t i = 0; ok && i < CRASH_DAMAGE; i++) {
    struct simdisk *copy = simdisk_clone(disk);
    struct workload after;
    workload_fork(&after, &w, simdisk_vfs(copy));
    ok = crash_state(run, &after, copy, 0, false);
    workload_fini(&after);
    simdisk_free(copy);
  }
  workload_fini(&w);
  simdisk_free(disk);
  return ok;
}

/* How many operations of the disk the workload takes. */
static uint64_t crash_length(struct crash_run *run) {
  struct simdisk *disk = simdisk_new();
  struct workload w;
  run->config.vfs = simdisk_vfs(disk);
  run->cut = UINT64_MAX;
  workload_init(&w, &run->config);
  uint64_t n = crash_work(run, &w, disk, run->n_ops) ? simdisk_ops(disk, SIMDISK_CHANGES) : 0;
  workload_fini(&w);
  simdisk_free(disk);
  return n;
}

static uint64_t crash_number(const char *name, uint64_t standard) {
  const char *text = getenv(name);
  return text && *text ? strtoull(text, NULL, 10) : standard;
}

static double crash_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Every fourth workload is cut at every operation, the others at some, so that there are more. */
static bool crash_workload(uint64_t seed, uint64_t states, struct crash_ledger *ledger) {
  struct crash_run run;
  crash_configure(&run, seed, ledger);
  uint64_t length = crash_length(&run);
  uint64_t stride = seed / 4 % 4 == 0 ? 1 : 1 + vdb_rng_below(&run.rng, 24);
  uint64_t first = seed / 4 % 4 == 0 ? 0 : vdb_rng_below(&run.rng, 24);
  bool ok = length > 0;
  for (run.cut = first; ok && run.cut <= length && ledger->states < states; run.cut += stride)
    ok = crash_cut(&run);
  ledger->workloads++;
  model_fini(&run.found);
  return ok;
}

static void test_power_cuts(void **state) {
  (void)state;
  struct crash_ledger ledger = {0};
  uint64_t states = crash_number("VDB_N", CRASH_STATES), first = crash_number("VDB_SEED", 1);
  double begin = crash_seconds();
  uint64_t failures = 0;
  for (uint64_t seed = first; ledger.states < states && failures < 5; seed++)
    failures += !crash_workload(seed, states, &ledger);
  double seconds = crash_seconds() - begin;
  printf("crash: states=%llu workloads=%llu seeds=%llu.. cuts=%llu again=%llu in_recovery=%llu "
         "kills=%llu backups=%llu lost=%llu wrong=%llu seconds=%.1f states/s=%.0f\n",
         (unsigned long long)ledger.states, (unsigned long long)ledger.workloads,
         (unsigned long long)first, (unsigned long long)ledger.cuts,
         (unsigned long long)ledger.again, (unsigned long long)ledger.in_recovery,
         (unsigned long long)ledger.kills, (unsigned long long)ledger.backups,
         (unsigned long long)ledger.lost, (unsigned long long)ledger.wrong, seconds,
         (double)ledger.states / seconds);
  assert_int_equal(failures, 0);
}

/* ---- a file that is written in large pieces ---- */

enum {
  LARGE_DIM = 1024,
  LARGE_ROWS = 700, /* 2.7 MiB: more than the 2 MiB from which on files are written so */
  LARGE_STEP = TEST_SIZE(1, 4) /* operations of the disk between two cuts */
};

static float large_value(int64_t row) { return (float)(row * 3 + 1); }

static vecdb_options large_options(struct workload *w, struct simdisk *disk) {
  w->config.vfs = simdisk_vfs(disk);
  vecdb_options o = workload_options(w);
  o.verify = VECDB_VERIFY_FULL;
  return o;
}

/* A database whose rows are in its log. */
static void large_fill(struct workload *w, struct simdisk *disk) {
  static float vectors[LARGE_ROWS * LARGE_DIM];
  static int64_t ids[LARGE_ROWS];
  const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = LARGE_DIM, .metric = VECDB_L2}};
  const vecdb_column columns[] = {{.field = "id", .data = ids}, {.field = "v", .data = vectors}};
  vecdb_schema schema = VECDB_SCHEMA_INIT;
  vecdb_batch batch = VECDB_BATCH_INIT;
  vecdb_options o = large_options(w, disk);
  vecdb_collection *coll;
  vecdb *db;
  vecdb_error err;
  for (size_t row = 0; row < LARGE_ROWS; row++) {
    ids[row] = (int64_t)row;
    for (size_t i = 0; i < LARGE_DIM; i++)
      vectors[row * LARGE_DIM + i] = large_value((int64_t)row);
  }
  schema.fields = fields;
  schema.n_fields = 2;
  batch.columns = columns;
  batch.n_columns = 2;
  batch.n_rows = LARGE_ROWS;
  assert_int_equal(vecdb_open("db", &o, &db, &err), VECDB_OK);
  assert_int_equal(vecdb_collection_create(db, "c", &schema, &coll, &err), VECDB_OK);
  assert_int_equal(vecdb_insert(coll, &batch, NULL, &err), VECDB_OK);
  vecdb_collection_release(coll);
  assert_int_equal(vecdb_close(db, &err), VECDB_OK);
}

/* Each row is there, with its vector. */
static void large_look(struct workload *w, struct simdisk *disk) {
  vecdb_options o = large_options(w, disk);
  vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
  vecdb_collection *coll;
  vecdb *db;
  vecdb_error err;
  float query[LARGE_DIM];
  assert_int_equal(vecdb_open("db", &o, &db, &err), VECDB_OK);
  assert_int_equal(vecdb_check(db, NULL, NULL, NULL, &err), VECDB_OK);
  assert_int_equal(vecdb_collection_get(db, "c", &coll, &err), VECDB_OK);
  params.queries = query;
  params.k = LARGE_ROWS;
  for (size_t i = 0; i < LARGE_DIM; i++)
    query[i] = large_value(0);
  static vecdb_hit hits[LARGE_ROWS];
  uint32_t n;
  assert_int_equal(vecdb_search(coll, &params, hits, &n, NULL, NULL, &err), VECDB_OK);
  assert_int_equal(n, LARGE_ROWS);
  for (uint32_t i = 0; i < n; i++) /* by distance, as the vectors were made */
    assert_int_equal(hits[i].id, i);
  vecdb_collection_release(coll);
  assert_int_equal(vecdb_close(db, &err), VECDB_OK);
}

/* The rows go into a file; true: the power went before it was done. */
static bool large_flush(struct workload *w, struct simdisk *disk) {
  vecdb_options o = large_options(w, disk);
  vecdb_collection *coll;
  vecdb *db;
  vecdb_error err;
  int rc = vecdb_open("db", &o, &db, &err);
  if (rc)
    return true;
  rc = vecdb_collection_get(db, "c", &coll, &err);
  rc = rc ? rc : vecdb_flush(coll, NULL, &err);
  vecdb_collection_release(coll);
  int closed = vecdb_close(db, &err);
  assert_true(simdisk_stopped(disk) || (rc == VECDB_OK && closed == VECDB_OK));
  return simdisk_stopped(disk);
}

static void test_large_files(void **state) {
  (void)state;
  struct workload_config config = {.dir = "db", .flags = VECDB_HOST_DRIVEN,
                                   .durability = VECDB_DURABLE_COMMIT};
  struct workload w;
  struct simdisk *base = simdisk_new();
  workload_init(&w, &config);
  large_fill(&w, base);
  uint64_t cuts = 0;
  for (bool stopped = true; stopped; cuts++) {
    struct simdisk *disk = simdisk_clone(base);
    simdisk_stop_after(disk, cuts * LARGE_STEP);
    stopped = large_flush(&w, disk);
    for (uint64_t damage = 0; damage < 3; damage++) {
      struct simdisk *copy = simdisk_clone(disk);
      simdisk_crash(copy, damage);
      large_look(&w, copy);
      simdisk_free(copy);
    }
    simdisk_free(disk);
  }
  assert_true(cuts * LARGE_STEP > 12);
  workload_fini(&w);
  simdisk_free(base);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_power_cuts),
      cmocka_unit_test(test_large_files),
  };
  return cmocka_run_group_tests_name("crash", tests, NULL, NULL);
}
