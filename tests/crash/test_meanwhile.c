/*
 * test_meanwhile.c - writes, deletes, flushes and a drop in the middle of a merge or an index
 * build, at each point where it reports progress, in the same thread so that every run is the same.
 * Right after the long call the power goes: the rows must be those of the model, though the
 * segments that the deletes were meant for are gone. Cancelled at each such point, it must leave
 * all as it was.
 *
 * VDB_N: prepared databases. VDB_SEED: the first of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tlib/probe.h"
#include "tlib/simdisk.h"
#include "tlib/thorough.h"
#include "tlib/workload.h"

enum { MEANWHILE_BASES = 1, MEANWHILE_OPS = 4, MEANWHILE_DAMAGE = TEST_SIZE(4, 2) };

/* What happens in the middle; WORKLOAD_OPS ends the list. */
static const enum workload_op meanwhile_lists[][MEANWHILE_OPS] = {
    {WORKLOAD_DELETE, WORKLOAD_OPS},
    {WORKLOAD_UPSERT, WORKLOAD_OPS},
    {WORKLOAD_UPDATE, WORKLOAD_OPS},
    {WORKLOAD_DELETE, WORKLOAD_FLUSH, WORKLOAD_OPS},
    {WORKLOAD_UPSERT, WORKLOAD_FLUSH, WORKLOAD_OPS},
    {WORKLOAD_DELETE_WHERE, WORKLOAD_FLUSH, WORKLOAD_UPSERT, WORKLOAD_OPS},
    {WORKLOAD_UPSERT, WORKLOAD_FLUSH, WORKLOAD_DELETE, WORKLOAD_OPS},
    {WORKLOAD_TICK, WORKLOAD_UPSERT, WORKLOAD_OPS},
    {WORKLOAD_DROP, WORKLOAD_OPS},
};
enum { MEANWHILE_LISTS = sizeof meanwhile_lists / sizeof *meanwhile_lists };

struct meanwhile {
  struct simdisk *disk;
  struct workload w;
  struct model found;
  const enum workload_op *ops; /* NULL: cancel */
  uint32_t when;
  uint32_t calls;
  int rc; /* of the operations */
};

static uint64_t meanwhile_number(const char *name, uint64_t standard) {
  const char *text = getenv(name);
  return text && *text ? strtoull(text, NULL, 10) : standard;
}

static int meanwhile_progress(void *user, const char *phase, uint64_t done, uint64_t total) {
  struct meanwhile *m = user;
  (void)phase;
  (void)done;
  (void)total;
  if (++m->calls != m->when)
    return 0;
  if (!m->ops)
    return 1;
  for (uint32_t i = 0; !m->rc && m->ops[i] != WORKLOAD_OPS; i++)
    m->rc = workload_do(&m->w, m->ops[i]);
  return 0;
}

/* One collection with several sealed segments, some deletes, and nothing to be flushed. */
static void meanwhile_base(struct simdisk *disk, struct workload *w, uint64_t seed) {
  static const enum workload_op ops[] = {WORKLOAD_UPSERT, WORKLOAD_UPSERT, WORKLOAD_FLUSH};
  struct workload_config config = {.seed = seed, .vfs = simdisk_vfs(disk), .dir = "db",
                                   .flags = VECDB_HOST_DRIVEN, .n_keys = 60, .seal_rows = 64,
                                   .durability = seed % 2 ? VECDB_DURABLE_COMMIT
                                                          : VECDB_DURABLE_OFF,
                                   .index_rows = 16, .wal_bytes = 1 << 20, .batch_rows = 14};
  workload_init(w, &config);
  int rc = workload_open(w);
  rc = rc ? rc : workload_do(w, WORKLOAD_CREATE);
  for (uint32_t i = 0; !rc && i < 15; i++)
    rc = workload_do(w, ops[i % 3]);
  rc = rc ? rc : workload_do(w, WORKLOAD_DELETE);
  rc = rc ? rc : workload_do(w, seed % 2 ? WORKLOAD_EXPIRE : WORKLOAD_ALTER);
  rc = rc ? rc : workload_do(w, WORKLOAD_FLUSH);
  assert_int_equal(rc ? rc : workload_close(w), VECDB_OK);
  simdisk_settle(disk);
}

static int meanwhile_call(struct meanwhile *m, uint32_t call) {
  vecdb_control control = VECDB_CONTROL_INIT;
  vecdb_index_params params = VECDB_INDEX_PARAMS_INIT;
  vecdb_collection *coll;
  uint32_t c = 0;
  control.progress = meanwhile_progress;
  control.user = m;
  params.type = VECDB_INDEX_HNSW;
  params.m = 4;
  params.ef_construction = 8;
  while (!m->w.now.colls[c].exists)
    c++;
  int rc = vecdb_collection_get(m->w.db, model_name(c), &coll, &m->w.err);
  if (rc)
    return rc;
  if (call == 0)
    rc = vecdb_compact(coll, &control, &m->w.err);
  else if (call == 1)
    rc = vecdb_index_create(coll, "v", &params, &control, &m->w.err);
  else
    rc = vecdb_wait(coll, &control, &m->w.err);
  vecdb_collection_release(coll);
  return rc;
}

/* The database as it is, and as it is found after power cuts. */
static bool meanwhile_compare(struct meanwhile *m) {
  vecdb_error err;
  if (!model_load(m->w.db, &m->found) || !model_same(&m->w.now, &m->found))
    return false;
  for (uint64_t damage = 0; damage < MEANWHILE_DAMAGE; damage++) {
    struct simdisk *disk = simdisk_clone(m->disk);
    struct workload w;
    workload_fork(&w, &m->w, simdisk_vfs(disk));
    simdisk_crash(disk, damage);
    bool ok = workload_open(&w) == VECDB_OK || model_differs("open: %s", w.err.message);
    if (ok && vecdb_check(w.db, NULL, NULL, NULL, &err))
      ok = model_differs("check: %s", err.message);
    ok = ok && model_load(w.db, &m->found) && workload_accepts(&w, &m->found, false);
    workload_fini(&w);
    simdisk_free(disk);
    if (!ok)
      return false;
  }
  struct probe probe = {.rng = {m->when}};
  return probe_ask(&probe, &m->w.now, m->w.db, PROBE_ALL, 3);
}

static bool meanwhile_run(struct meanwhile *m, uint32_t call) {
  if (workload_open(&m->w))
    return model_differs("open: %s", m->w.err.message);
  int rc = meanwhile_call(m, call);
  bool reached = m->calls >= m->when;
  bool cancelled = reached && !m->ops, dropped = reached && m->ops && m->ops[0] == WORKLOAD_DROP;
  if (m->rc)
    return m->rc == WORKLOAD_WRONG ? false : model_differs("meanwhile: %s", m->w.err.message);
  if (rc != (cancelled ? VECDB_ERR_CANCELLED : VECDB_OK) && !(dropped && rc == VECDB_ERR_CLOSED))
    return model_differs("%s: %s", vecdb_status_name(rc), m->w.err.message);
  if (!meanwhile_compare(m))
    return false;
  for (int i = 0; i < 2; i++) { /* and it goes on */
    if (workload_do(&m->w, i ? WORKLOAD_COMPACT : WORKLOAD_UPSERT))
      return model_differs("afterwards: %s", m->w.err.message);
  }
  return meanwhile_compare(m);
}

/* False: the long call did not report that often. */
static bool meanwhile_try(const struct simdisk *base, const struct workload *w, uint32_t call,
                          uint32_t list, uint32_t when, uint64_t *failures) {
  struct meanwhile m = {.when = when, .ops = list < MEANWHILE_LISTS ? meanwhile_lists[list] : NULL};
  m.disk = simdisk_clone((struct simdisk *)(uintptr_t)base);
  workload_fork(&m.w, w, simdisk_vfs(m.disk));
  m.w.rng.state += when * 1000 + list;
  model_init(&m.found, w->config.n_keys);
  if (!meanwhile_run(&m, call) && ++*failures < 10)
    fprintf(stderr, "VDB_SEED=%llu call %u, list %u, when %u: %s\n",
            (unsigned long long)w->config.seed, call, list, when, model_trouble());
  workload_fini(&m.w);
  model_fini(&m.found);
  simdisk_free(m.disk);
  return m.calls >= when;
}

static void test_meanwhile(void **state) {
  (void)state;
  uint64_t first = meanwhile_number("VDB_SEED", 1), n = meanwhile_number("VDB_N", MEANWHILE_BASES);
  uint64_t failures = 0, runs = 0;
  for (uint64_t seed = first; seed < first + n; seed++) {
    struct simdisk *base = simdisk_new();
    struct workload w;
    meanwhile_base(base, &w, seed);
    for (uint32_t call = 0; call < 3; call++)
      for (uint32_t list = 0; list <= MEANWHILE_LISTS; list++)
        for (uint32_t when = 1; meanwhile_try(base, &w, call, list, when, &failures);
             when += 1 + when / TEST_SIZE(16, 1))
          runs++;
    workload_fini(&w);
    simdisk_free(base);
  }
  printf("meanwhile: runs=%llu failures=%llu\n", (unsigned long long)runs,
         (unsigned long long)failures);
  assert_int_equal(failures, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_meanwhile),
  };
  return cmocka_run_group_tests_name("meanwhile", tests, NULL, NULL);
}
