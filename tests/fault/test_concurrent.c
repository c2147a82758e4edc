/*
 * test_concurrent.c - everything at once, with the library's own background threads. TSAN: yes
 *
 * Writers put rows in pairs: both rows of a pair get the same stamp in one batch, or go in one
 * delete. So whatever a reader does, in one snapshot a pair is there with one stamp or not at all,
 * and the number of rows is even. Meanwhile others flush, compact, make and drop indexes and
 * collections, check, and back up; each backup is opened and must hold whole pairs too. In the end
 * the rows are what the writers left. Syncs take a while, so that commits come in groups, and in
 * one test operations of the disk fail now and then: what failed must not be there. No thread waits
 * for time to pass.
 *
 * VDB_N: rounds of each writer. VDB_SEED: random choices.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <sched.h>

#include "base/rng.h"
#include "tlib/simdisk.h"
#include "tlib/thorough.h"
#include "vecdb.h"

enum {
  CROWD_ROUNDS = TEST_SIZE(800, 300),
  CROWD_WRITERS = 3,
  CROWD_READERS = 2,
  CROWD_PAIRS = 120, /* those below CROWD_SHARED belong to all writers, the others to one each */
  CROWD_SHARED = 12,
  CROWD_RACES = 64,  /* keys that all writers insert at once; one may succeed */
  CROWD_DIM = 4,
  CROWD_UPKEEP = 60, /* pieces of upkeep, about at least */
  CROWD_LEAD = 6     /* writers stay at most this many pieces ahead */
};

struct crowd {
  struct simdisk *disk;
  vecdb_vfs vfs;
  bool faulty; /* the disk fails now and then */
  vecdb *db;
  vecdb_collection *coll;
  uint64_t seed;
  uint64_t rounds;
  int64_t stamps[CROWD_PAIRS]; /* of pairs with one writer: what is there */
  _Atomic int won[CROWD_RACES];
  _Atomic int writing; /* writers that are not done */
  _Atomic bool failed;
  _Atomic uint64_t reads, backups, upkeep, refused;
};

struct crowd_thread {
  pthread_t thread;
  struct crowd *crowd;
  struct vdb_rng rng;
  uint32_t number;
};

static bool crowd_fail(struct crowd *crowd, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Notes the first fault; false. */
static bool crowd_fail(struct crowd *crowd, const char *format, ...) {
  if (atomic_exchange(&crowd->failed, true))
    return false;
  va_list args;
  va_start(args, format);
  fprintf(stderr, "VDB_SEED=%llu: ", (unsigned long long)crowd->seed);
  vfprintf(stderr, format, args);
  fprintf(stderr, "\n");
  va_end(args);
  return false;
}

/* Whether a call may end like this; a fault if not. */
static bool crowd_fine(struct crowd *crowd, int rc, const char *what, const vecdb_error *err) {
  if (rc == VECDB_ERR_IO && crowd->faulty)
    atomic_fetch_add(&crowd->refused, 1);
  else if (rc)
    return crowd_fail(crowd, "%s: %s", what, err->message);
  return true;
}

/* Every other sync lets others go first. */
static int crowd_sync(vecdb_file *file) {
  static _Atomic uint32_t calls;
  if (atomic_fetch_add(&calls, 1) % 2)
    sched_yield();
  return file->vfs->sync(file);
}

static uint64_t crowd_number(const char *name, uint64_t standard) {
  const char *text = getenv(name);
  return text && *text ? strtoull(text, NULL, 10) : standard;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static void crowd_vector(int64_t stamp, float *out) {
  struct vdb_rng rng = {(uint64_t)stamp};
  for (uint32_t i = 0; i < CROWD_DIM; i++)
    out[i] = (float)vdb_rng_unit(&rng) - 0.5f;
}

static int crowd_put(vecdb_collection *coll, const int64_t *ids, const int64_t *stamps, uint32_t n,
                     bool replace, vecdb_error *err) {
  float vectors[16 * CROWD_DIM];
  for (uint32_t i = 0; i < n; i++)
    crowd_vector(stamps[i], vectors + i * CROWD_DIM);
  const vecdb_column columns[] = {
      {.field = "id", .data = ids},
      {.field = "stamp", .data = stamps},
      {.field = "v", .data = vectors, .dim = CROWD_DIM},
  };
  vecdb_batch batch = VECDB_BATCH_INIT;
  batch.columns = columns;
  batch.n_columns = 3;
  batch.n_rows = n;
  return replace ? vecdb_upsert(coll, &batch, NULL, err) : vecdb_insert(coll, &batch, NULL, err);
}

/* New stamps for rows that are there. */
static int crowd_update(vecdb_collection *coll, const int64_t *ids, const int64_t *stamps,
                        uint32_t n, vecdb_error *err) {
  const vecdb_column columns[] = {{.field = "id", .data = ids}, {.field = "stamp", .data = stamps}};
  vecdb_batch batch = VECDB_BATCH_INIT;
  batch.columns = columns;
  batch.n_columns = 2;
  batch.n_rows = n;
  return vecdb_update(coll, &batch, 0, NULL, err);
}

static int crowd_create(vecdb *db, const char *name, vecdb_collection **out, vecdb_error *err) {
  const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = "stamp", .type = VECDB_INT64},
      {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = CROWD_DIM, .metric = VECDB_L2},
  };
  vecdb_schema schema = VECDB_SCHEMA_INIT;
  schema.fields = fields;
  schema.n_fields = 3;
  return vecdb_collection_create(db, name, &schema, out, err);
}

/* ---- writers --------------------------------------------------------------------------------- */

/* Several pairs at once: all new, or all gone. */
static bool crowd_write_pairs(struct crowd_thread *t, uint64_t round) {
  struct crowd *crowd = t->crowd;
  int64_t ids[16], stamps[16];
  uint32_t n = 1 + vdb_rng_below(&t->rng, 4);
  bool gone = vdb_rng_below(&t->rng, 4) == 0, update = !gone && vdb_rng_below(&t->rng, 4) == 0;
  int64_t stamp = (int64_t)(round * 16 + t->number + 1);
  for (uint32_t i = 0; i < n; i++) {
    uint32_t own = CROWD_SHARED + vdb_rng_below(&t->rng, CROWD_PAIRS - CROWD_SHARED);
    own -= (own - t->number) % CROWD_WRITERS; /* nearest below whose remainder is the writer's */
    uint32_t pair = vdb_rng_below(&t->rng, 4) && own >= CROWD_SHARED
                        ? own
                        : vdb_rng_below(&t->rng, CROWD_SHARED);
    ids[2 * i] = (int64_t)pair * 2;
    ids[2 * i + 1] = (int64_t)pair * 2 + 1;
    stamps[2 * i] = stamps[2 * i + 1] = stamp;
  }
  vecdb_error err;
  vecdb_keys keys = {ids, NULL, 2 * n};
  int rc = gone     ? vecdb_delete(crowd->coll, &keys, NULL, &err)
           : update ? crowd_update(crowd->coll, ids, stamps, 2 * n, &err)
                    : crowd_put(crowd->coll, ids, stamps, 2 * n, true, &err);
  if (rc)
    return crowd_fine(crowd, rc, "write", &err);
  for (uint32_t i = 0; i < n; i++)
    if (ids[2 * i] / 2 >= CROWD_SHARED && !(update && crowd->stamps[ids[2 * i] / 2] == 0))
      crowd->stamps[ids[2 * i] / 2] = gone ? 0 : stamp;
  return true;
}

/* What a writer wrote it must find. */
static bool crowd_read_own(struct crowd_thread *t) {
  struct crowd *crowd = t->crowd;
  uint32_t pair = CROWD_SHARED + vdb_rng_below(&t->rng, CROWD_PAIRS - CROWD_SHARED);
  if (pair % CROWD_WRITERS != t->number)
    return true;
  static const char *const fields[] = {"stamp"};
  const int64_t ids[] = {(int64_t)pair * 2, (int64_t)pair * 2 + 1};
  vecdb_keys keys = {ids, NULL, 2};
  vecdb_rows *rows;
  vecdb_error err;
  if (vecdb_get(crowd->coll, &keys, fields, 1, NULL, &rows, &err))
    return crowd_fail(crowd, "get: %s", err.message);
  size_t n = vecdb_rows_count(rows);
  int64_t stamp = n ? vecdb_rows_value(rows, 0, 1).as.integer : 0;
  vecdb_rows_free(rows);
  if (n != (crowd->stamps[pair] ? 2u : 0u) || stamp != crowd->stamps[pair])
    return crowd_fail(crowd, "a writer does not find its own pair %u", pair);
  return true;
}

/* All writers insert the same key: the first one wins, the others are told. */
static bool crowd_race(struct crowd_thread *t, uint32_t race) {
  int64_t ids[] = {100000 + (int64_t)race * 2, 100000 + (int64_t)race * 2 + 1};
  int64_t stamps[] = {(int64_t)t->number + 1, (int64_t)t->number + 1};
  vecdb_error err;
  int rc = crowd_put(t->crowd->coll, ids, stamps, 2, false, &err);
  if (rc == VECDB_OK)
    atomic_fetch_add(&t->crowd->won[race], 1);
  return rc == VECDB_ERR_EXISTS || crowd_fine(t->crowd, rc, "insert", &err);
}

static void *crowd_writer(void *arg) {
  struct crowd_thread *t = arg;
  struct crowd *crowd = t->crowd;
  bool ok = true;
  for (uint64_t i = 0; ok && i < crowd->rounds && !atomic_load(&crowd->failed);) {
    uint64_t upkeep = atomic_load(&crowd->upkeep);
    if (upkeep < CROWD_UPKEEP && i > (upkeep + CROWD_LEAD) * crowd->rounds / CROWD_UPKEEP) {
      sched_yield(); /* it is the turn of the upkeep */
      ok = crowd_read_own(t);
      continue;
    }
    i++;
    ok = crowd_write_pairs(t, i) && crowd_read_own(t);
    if (ok && i <= CROWD_RACES)
      ok = crowd_race(t, (uint32_t)i - 1);
  }
  atomic_fetch_sub(&crowd->writing, 1);
  return NULL;
}

/* ---- readers --------------------------------------------------------------------------------- */

/* Counts the rows of each pair and compares their stamps. */
struct crowd_pairs {
  uint32_t n[CROWD_PAIRS + CROWD_RACES];
  int64_t stamp[CROWD_PAIRS + CROWD_RACES];
};

static bool crowd_take(struct crowd *crowd, struct crowd_pairs *pairs, const vecdb_rows *rows,
                       const char *what) {
  for (size_t i = 0; i < vecdb_rows_count(rows); i++) {
    int64_t id = vecdb_rows_value(rows, i, 0).as.integer;
    int64_t stamp = vecdb_rows_value(rows, i, 1).as.integer;
    int64_t pair = id >= 100000 ? CROWD_PAIRS + (id - 100000) / 2 : id / 2;
    if (pair < 0 || pair >= CROWD_PAIRS + CROWD_RACES)
      return crowd_fail(crowd, "%s: a key that nobody wrote", what);
    if (pairs->n[pair]++ && pairs->stamp[pair] != stamp)
      return crowd_fail(crowd, "%s: pair %lld is of two batches", what, (long long)pair);
    pairs->stamp[pair] = stamp;
  }
  return true;
}

static bool crowd_whole(struct crowd *crowd, const struct crowd_pairs *pairs, const char *what) {
  for (uint32_t p = 0; p < CROWD_PAIRS + CROWD_RACES; p++)
    if (pairs->n[p] != 0 && pairs->n[p] != 2)
      return crowd_fail(crowd, "%s: pair %u has %u rows", what, p, pairs->n[p]);
  return true;
}

static bool crowd_query(struct crowd *crowd, vecdb_collection *coll, struct crowd_pairs *pairs) {
  static const char *const fields[] = {"stamp"};
  vecdb_query_params params = VECDB_QUERY_PARAMS_INIT;
  vecdb_rows *rows;
  vecdb_error err;
  memset(pairs, 0, sizeof *pairs);
  params.fields = fields;
  params.n_fields = 1;
  if (vecdb_query(coll, &params, &rows, &err))
    return crowd_fail(crowd, "query: %s", err.message);
  bool ok = crowd_take(crowd, pairs, rows, "query") && crowd_whole(crowd, pairs, "query");
  vecdb_rows_free(rows);
  return ok;
}

static vecdb_search_params crowd_params(struct crowd_thread *t, float *query) {
  static const char *const fields[] = {"stamp"};
  vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
  crowd_vector((int64_t)vdb_rng_next(&t->rng), query);
  params.queries = query;
  params.fields = fields;
  params.n_fields = 1;
  return params;
}

static bool crowd_search(struct crowd_thread *t) {
  static const int32_t plans[] = {VECDB_PLAN_AUTO, VECDB_PLAN_EXACT, VECDB_PLAN_GRAPH};
  struct crowd_pairs pairs = {.n = {0}};
  vecdb_hit hits[2 * (CROWD_PAIRS + CROWD_RACES) + 1];
  float query[CROWD_DIM];
  uint32_t count;
  vecdb_rows *rows;
  vecdb_error err;
  vecdb_search_params params = crowd_params(t, query);
  params.k = sizeof hits / sizeof *hits;
  params.plan = plans[vdb_rng_below(&t->rng, 3)];
  if (vecdb_search(t->crowd->coll, &params, hits, &count, NULL, &rows, &err))
    return crowd_fail(t->crowd, "search: %s", err.message);
  bool ok = crowd_take(t->crowd, &pairs, rows, "search") && crowd_whole(t->crowd, &pairs, "search");
  for (uint32_t i = 1; ok && i < count; i++)
    if (hits[i].score < hits[i - 1].score)
      ok = crowd_fail(t->crowd, "search: hits out of order");
  vecdb_rows_free(rows);
  return ok;
}

/* The snapshot of an iterator is that of its opening, however long it takes. */
static bool crowd_iterate(struct crowd_thread *t) {
  struct crowd_pairs pairs = {.n = {0}};
  float query[CROWD_DIM];
  vecdb_iterator *it;
  vecdb_error err;
  vecdb_search_params params = crowd_params(t, query);
  if (vecdb_iterator_open(t->crowd->coll, &params, &it, &err))
    return crowd_fail(t->crowd, "iterator: %s", err.message);
  bool ok = true;
  for (uint32_t count = 1; ok && count > 0;) {
    vecdb_hit hits[24];
    vecdb_rows *rows = NULL;
    if (vecdb_iterator_next(it, 24, hits, &count, &rows, &err))
      ok = crowd_fail(t->crowd, "iterator: %s", err.message);
    ok = ok && crowd_take(t->crowd, &pairs, rows, "iterator");
    vecdb_rows_free(rows);
  }
  vecdb_iterator_close(it);
  return ok && crowd_whole(t->crowd, &pairs, "iterator");
}

static bool crowd_count(struct crowd_thread *t) {
  uint64_t count;
  vecdb_error err;
  vecdb_filter filter = {"stamp > 40 and stamp < 100000", 0, NULL, 0};
  bool filtered = vdb_rng_below(&t->rng, 2);
  if (vecdb_count(t->crowd->coll, filtered ? &filter : NULL, &count, &err))
    return crowd_fail(t->crowd, "count: %s", err.message);
  return count % 2 == 0 || crowd_fail(t->crowd, "count: half a pair");
}

static void *crowd_reader(void *arg) {
  struct crowd_thread *t = arg;
  struct crowd_pairs *pairs = malloc(sizeof *pairs);
  bool ok = true;
  while (ok && atomic_load(&t->crowd->writing) > 0 && !atomic_load(&t->crowd->failed)) {
    switch (vdb_rng_below(&t->rng, 4)) {
      case 0: ok = crowd_query(t->crowd, t->crowd->coll, pairs); break;
      case 1: ok = crowd_search(t); break;
      case 2: ok = crowd_iterate(t); break;
      default: ok = crowd_count(t); break;
    }
    atomic_fetch_add(&t->crowd->reads, 1);
  }
  free(pairs);
  return NULL;
}

/* ---- upkeep ---------------------------------------------------------------------------------- */

/* A backup is a database with whole pairs. */
static bool crowd_backup(struct crowd_thread *t) {
  struct crowd *crowd = t->crowd;
  char path[32];
  struct crowd_pairs *pairs = malloc(sizeof *pairs);
  vecdb_options o = VECDB_OPTIONS_INIT;
  vecdb *db = NULL;
  vecdb_collection *coll = NULL;
  vecdb_error err;
  o.vfs = simdisk_vfs(crowd->disk);
  o.flags = VECDB_READ_ONLY;
  o.verify = VECDB_VERIFY_FULL;
  o.threads = 1;
  snprintf(path, sizeof path, "backup%llu", (unsigned long long)atomic_load(&crowd->backups));
  atomic_fetch_add(&crowd->backups, 1);
  int rc = vecdb_backup(crowd->db, path, NULL, &err);
  rc = rc ? rc : vecdb_open(path, &o, &db, &err);
  rc = rc ? rc : vecdb_check(db, NULL, NULL, NULL, &err);
  rc = rc ? rc : vecdb_collection_get(db, "pairs", &coll, &err);
  bool ok = crowd_fine(crowd, rc, "backup", &err);
  ok = ok && (rc || crowd_query(crowd, coll, pairs));
  vecdb_collection_release(coll);
  vecdb_close(db, NULL);
  free(pairs);
  return ok;
}

/* A collection that comes, gets rows, and goes while somebody may still use it. */
static bool crowd_short_lived(struct crowd_thread *t) {
  vecdb_collection *coll = NULL;
  const int64_t ids[] = {1, 2, 3}, stamps[] = {7, 8, 9};
  vecdb_error err;
  uint64_t count = 3;
  if (t->crowd->faulty) /* it may have stayed the last time */
    vecdb_collection_drop(t->crowd->db, "brief", NULL);
  int rc = crowd_create(t->crowd->db, "brief", &coll, &err);
  if (rc == VECDB_ERR_EXISTS && t->crowd->faulty)
    return true;
  rc = rc ? rc : crowd_put(coll, ids, stamps, 3, true, &err);
  if (!rc && vdb_rng_below(&t->rng, 2))
    rc = vecdb_flush(coll, NULL, &err);
  rc = rc ? rc : vecdb_count(coll, NULL, &count, &err);
  bool ok = crowd_fine(t->crowd, rc, "brief", &err);
  if (ok && count != 3)
    ok = crowd_fail(t->crowd, "brief: %llu rows", (unsigned long long)count);
  if (ok && coll) {
    rc = vecdb_collection_drop(t->crowd->db, "brief", &err);
    ok = crowd_fine(t->crowd, rc, "drop", &err);
    if (ok && !rc && crowd_put(coll, ids, stamps, 3, true, &err) != VECDB_ERR_CLOSED)
      ok = crowd_fail(t->crowd, "a dropped collection takes rows");
  }
  vecdb_collection_release(coll);
  return ok;
}

/* While others write, the work may never end. */
static int crowd_wait(vecdb_collection *coll, vecdb_error *err) {
  vecdb_control control = VECDB_CONTROL_INIT;
  control.timeout_ms = 10;
  int rc = vecdb_wait(coll, &control, err);
  return rc == VECDB_ERR_TIMEOUT ? VECDB_OK : rc;
}

/* A field comes, gets another name, or goes, whichever is possible. */
static int crowd_alter(struct crowd_thread *t, vecdb_error *err) {
  static const char *const names[] = {"extra", "other"};
  vecdb_collection *coll = t->crowd->coll;
  uint32_t which = vdb_rng_below(&t->rng, 2);
  const vecdb_field field = {.name = names[which], .type = VECDB_VARCHAR, .max_length = 9,
                             .flags = VECDB_NULLABLE};
  vecdb_schema added = {sizeof added, sizeof field, NULL, &field, 1};
  int rc = vecdb_fields_add(coll, &added, NULL, err);
  if (rc == VECDB_ERR_EXISTS)
    rc = vdb_rng_below(&t->rng, 2)
             ? vecdb_field_drop(coll, names[which], NULL, err)
             : vecdb_field_rename(coll, names[which], names[1 - which], NULL, err);
  return rc == VECDB_ERR_EXISTS ? VECDB_OK : rc;
}

static bool crowd_upkeep_one(struct crowd_thread *t) {
  vecdb_collection *coll = t->crowd->coll;
  vecdb_index_params params = VECDB_INDEX_PARAMS_INIT;
  vecdb_stats stats = VECDB_STATS_INIT;
  vecdb_error err;
  uint32_t what = vdb_rng_below(&t->rng, 12);
  int rc = VECDB_OK;
  atomic_fetch_add(&t->crowd->upkeep, 1);
  params.type = (int32_t)vdb_rng_below(&t->rng, 3);
  if (params.type != VECDB_INDEX_FLAT) {
    params.m = 4;
    params.ef_construction = 16;
  }
  switch (what) {
    case 0: rc = vecdb_flush(coll, NULL, &err); break;
    case 1: rc = vecdb_compact(coll, NULL, &err); break;
    case 2: rc = vecdb_index_create(coll, "v", &params, NULL, &err); break;
    case 3: rc = vecdb_index_drop(coll, "v", &err); break;
    case 4: rc = vecdb_check(t->crowd->db, NULL, NULL, NULL, &err); break;
    case 5: rc = crowd_wait(coll, &err); break;
    case 6: rc = vecdb_flush_all(t->crowd->db, NULL, &err); break;
    case 7: rc = vecdb_collection_stats(coll, &stats, &err); break;
    case 8: return crowd_short_lived(t);
    case 9: return crowd_backup(t);
    default: rc = crowd_alter(t, &err); break;
  }
  char text[32];
  snprintf(text, sizeof text, "upkeep %u", what);
  return crowd_fine(t->crowd, rc, text, &err);
}

/* Before a piece of upkeep: something may fail soon, once or a few times. */
static void crowd_sabotage(struct crowd_thread *t) {
  static const uint32_t kinds[] = {SIMDISK_SYNC, SIMDISK_WRITE, SIMDISK_CHANGES, SIMDISK_RENAME,
                                   SIMDISK_SYNC | SIMDISK_SYNC_DIR};
  struct simdisk_fault fault = {.kinds = kinds[vdb_rng_below(&t->rng, 5)],
                                .nth = 1 + vdb_rng_below(&t->rng, 40),
                                .error = EIO,
                                .from_then_on = vdb_rng_below(&t->rng, 3) == 0,
                                .partial = true};
  simdisk_set_fault(t->crowd->disk, vdb_rng_below(&t->rng, 2) ? &fault : NULL);
}

static void *crowd_upkeep(void *arg) {
  struct crowd_thread *t = arg;
  bool ok = true;
  while (ok && atomic_load(&t->crowd->writing) > 0 && !atomic_load(&t->crowd->failed)) {
    if (t->crowd->faulty)
      crowd_sabotage(t);
    ok = crowd_upkeep_one(t);
  }
  simdisk_set_fault(t->crowd->disk, NULL);
  return NULL;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void crowd_open(struct crowd *crowd, int32_t durability) {
  vecdb_options o = VECDB_OPTIONS_INIT;
  vecdb_error err;
  o.vfs = &crowd->vfs;
  o.durability = durability;
  o.interval_ms = 5;
  o.verify = VECDB_VERIFY_FULL;
  o.seal_rows = 300;
  o.index_rows = 64;
  o.recall_every = 8;
  o.wal_bytes = 256 << 10;
  o.threads = 2;
  if (vecdb_open("db", &o, &crowd->db, &err)) {
    print_error("open: %s\n", err.message);
    fail();
  }
}

static void crowd_compare(struct crowd *crowd) {
  struct crowd_pairs pairs;
  vecdb_error err;
  assert_true(crowd_query(crowd, crowd->coll, &pairs));
  for (uint32_t p = CROWD_SHARED; p < CROWD_PAIRS; p++)
    assert_int_equal(pairs.n[p] ? pairs.stamp[p] : 0, crowd->stamps[p]);
  for (uint32_t r = 0; r < CROWD_RACES; r++)
    assert_int_equal(pairs.n[CROWD_PAIRS + r], 2 * atomic_load(&crowd->won[r]));
  if (vecdb_check(crowd->db, NULL, NULL, NULL, &err)) {
    print_error("check: %s\n", err.message);
    fail();
  }
}

static void crowd_run(struct crowd *crowd) {
  struct crowd_thread threads[CROWD_WRITERS + CROWD_READERS + 1];
  uint32_t n = sizeof threads / sizeof *threads;
  atomic_store(&crowd->writing, CROWD_WRITERS);
  for (uint32_t i = 0; i < n; i++) {
    void *(*body)(void *) = i < CROWD_WRITERS                   ? crowd_writer
                            : i < CROWD_WRITERS + CROWD_READERS ? crowd_reader
                                                                : crowd_upkeep;
    threads[i].crowd = crowd;
    threads[i].number = i;
    threads[i].rng.state = crowd->seed * 100 + i;
    assert_int_equal(pthread_create(&threads[i].thread, NULL, body, &threads[i]), 0);
  }
  for (uint32_t i = 0; i < n; i++)
    assert_int_equal(pthread_join(threads[i].thread, NULL), 0);
  assert_false(atomic_load(&crowd->failed));
  for (uint32_t r = 0; r < CROWD_RACES; r++)
    assert_in_range(atomic_load(&crowd->won[r]), crowd->faulty ? 0 : 1, 1);
}

static void crowd_test(int32_t durability, bool faulty) {
  struct crowd *crowd = calloc(1, sizeof *crowd);
  vecdb_error err;
  crowd->disk = simdisk_new();
  crowd->vfs = *simdisk_vfs(crowd->disk);
  crowd->vfs.sync = crowd_sync;
  crowd->faulty = faulty;
  crowd->seed = crowd_number("VDB_SEED", 1) + (uint64_t)durability;
  crowd->rounds = crowd_number("VDB_N", CROWD_ROUNDS);
  if (crowd->rounds < CROWD_RACES)
    crowd->rounds = CROWD_RACES;
  crowd_open(crowd, durability);
  assert_int_equal(crowd_create(crowd->db, "pairs", &crowd->coll, &err), VECDB_OK);
  crowd_run(crowd);
  crowd_compare(crowd);
  vecdb_collection_release(crowd->coll);
  assert_int_equal(vecdb_close(crowd->db, &err), VECDB_OK);
  simdisk_crash(crowd->disk, 0); /* all that was closed is durable */
  crowd_open(crowd, durability);
  assert_int_equal(vecdb_collection_get(crowd->db, "pairs", &crowd->coll, &err), VECDB_OK);
  crowd_compare(crowd);
  printf("concurrent: rounds=%llu reads=%llu upkeep=%llu backups=%llu refused=%llu\n",
         (unsigned long long)crowd->rounds, (unsigned long long)atomic_load(&crowd->reads),
         (unsigned long long)atomic_load(&crowd->upkeep),
         (unsigned long long)atomic_load(&crowd->backups),
         (unsigned long long)atomic_load(&crowd->refused));
  vecdb_collection_release(crowd->coll);
  assert_int_equal(vecdb_close(crowd->db, &err), VECDB_OK);
  assert_int_equal(simdisk_handles(crowd->disk), 0);
  simdisk_free(crowd->disk);
  free(crowd);
}

static void test_commit(void **state) {
  (void)state;
  crowd_test(VECDB_DURABLE_COMMIT, false);
}

static void test_interval(void **state) {
  (void)state;
  crowd_test(VECDB_DURABLE_INTERVAL, false);
}

static void test_off(void **state) {
  (void)state;
  crowd_test(VECDB_DURABLE_OFF, false);
}

static void test_faults(void **state) {
  (void)state;
  for (int32_t durability = VECDB_DURABLE_COMMIT; durability <= VECDB_DURABLE_OFF; durability++)
    crowd_test(durability, true);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_commit),
      cmocka_unit_test(test_interval),
      cmocka_unit_test(test_off),
      cmocka_unit_test(test_faults),
  };
  return cmocka_run_group_tests_name("concurrent", tests, NULL, NULL);
}
