/* scenario.c - single uses of the API and what must hold after a failure; see scenario.h. */
#include "tlib/scenario.h"

#include <stdlib.h>
#include <string.h>

/* ---- the prepared state ---------------------------------------------------------------------- */

void scenario_base_make(struct scenario_base *base, uint64_t seed) {
  static const enum workload_op first[] = {
      WORKLOAD_CREATE, WORKLOAD_UPSERT, WORKLOAD_UPSERT,    WORKLOAD_CREATE, WORKLOAD_UPSERT,
      WORKLOAD_UPSERT, WORKLOAD_FLUSH,  WORKLOAD_UPSERT,    WORKLOAD_DELETE, WORKLOAD_STEP,
      WORKLOAD_UPSERT, WORKLOAD_DELETE, WORKLOAD_UPSERT,    WORKLOAD_BACKUP, WORKLOAD_UPSERT,
      WORKLOAD_FLUSH,  WORKLOAD_UPSERT, WORKLOAD_FLUSH_ALL, WORKLOAD_UPSERT, WORKLOAD_FLUSH_ALL,
      WORKLOAD_UPSERT, WORKLOAD_FLUSH,  WORKLOAD_UPSERT,    WORKLOAD_FLUSH,  WORKLOAD_UPSERT,
      WORKLOAD_UPSERT, WORKLOAD_DELETE, WORKLOAD_UPSERT, WORKLOAD_UPDATE, WORKLOAD_ALTER,
      WORKLOAD_UPSERT, WORKLOAD_ALTER,  WORKLOAD_PUSH,   WORKLOAD_PUSH};
  memset(base, 0, sizeof *base);
  base->disk = simdisk_new();
  struct workload_config config = {.seed = seed, .vfs = simdisk_vfs(base->disk), .dir = "db",
                                   .flags = VECDB_HOST_DRIVEN, .n_keys = 60, .seal_rows = 24,
                                   .index_rows = 16, .wal_bytes = 1 << 20, .batch_rows = 12};
  workload_init(&base->w, &config);
  int rc = workload_open(&base->w);
  for (size_t i = 0; !rc && i < sizeof first / sizeof *first; i++)
    rc = workload_do(&base->w, first[i]);
  if (rc || workload_close(&base->w))
    abort();
  simdisk_settle(base->disk);
}

void scenario_base_free(struct scenario_base *base) {
  workload_fini(&base->w);
  simdisk_free(base->disk);
}

/* ---- the uses -------------------------------------------------------------------------------- */

static int scenario_open(struct scenario_trial *t) { return workload_open(&t->w); }

static int scenario_close(struct scenario_trial *t) { return workload_close(&t->w); }

static int scenario_open_new(struct scenario_trial *t) {
  vecdb_options o = workload_options(&t->w);
  vecdb *db;
  int rc = vecdb_open("another", &o, &db, &t->w.err);
  if (rc && db)
    abort();
  return rc ? rc : vecdb_close(db, &t->w.err);
}

static int scenario_open_read_only(struct scenario_trial *t) {
  vecdb_options o = workload_options(&t->w);
  o.flags |= VECDB_READ_ONLY;
  o.verify = VECDB_VERIFY_FULL;
  vecdb *db;
  int rc = vecdb_open("db", &o, &db, &t->w.err);
  return rc ? rc : vecdb_close(db, &t->w.err);
}

static int scenario_create(struct scenario_trial *t) { return workload_do(&t->w, WORKLOAD_CREATE); }
static int scenario_drop(struct scenario_trial *t) { return workload_do(&t->w, WORKLOAD_DROP); }
static int scenario_insert(struct scenario_trial *t) { return workload_do(&t->w, WORKLOAD_INSERT); }
static int scenario_upsert(struct scenario_trial *t) { return workload_do(&t->w, WORKLOAD_UPSERT); }
static int scenario_update(struct scenario_trial *t) { return workload_do(&t->w, WORKLOAD_UPDATE); }
static int scenario_delete(struct scenario_trial *t) { return workload_do(&t->w, WORKLOAD_DELETE); }
static int scenario_where(struct scenario_trial *t) {
  return workload_do(&t->w, WORKLOAD_DELETE_WHERE);
}
static int scenario_push(struct scenario_trial *t) {
  int rc = workload_do(&t->w, WORKLOAD_PUSH); /* perhaps the first in the collection */
  return rc ? rc : workload_do(&t->w, WORKLOAD_PUSH);
}
static int scenario_alter(struct scenario_trial *t) { return workload_do(&t->w, WORKLOAD_ALTER); }
static int scenario_flush(struct scenario_trial *t) {
  return workload_do(&t->w, WORKLOAD_FLUSH_ALL);
}
static int scenario_expire(struct scenario_trial *t) {
  int rc = workload_do(&t->w, WORKLOAD_EXPIRE);
  return rc ? rc : workload_do(&t->w, WORKLOAD_TICK);
}
static int scenario_compact(struct scenario_trial *t) {
  return workload_do(&t->w, WORKLOAD_COMPACT);
}
static int scenario_index(struct scenario_trial *t) {
  return workload_do(&t->w, WORKLOAD_INDEX_CREATE);
}
static int scenario_unindex(struct scenario_trial *t) {
  return workload_do(&t->w, WORKLOAD_INDEX_DROP);
}
static int scenario_step(struct scenario_trial *t) { return workload_do(&t->w, WORKLOAD_STEP); }
static int scenario_backup(struct scenario_trial *t) { return workload_do(&t->w, WORKLOAD_BACKUP); }

static int scenario_check(struct scenario_trial *t) {
  return vecdb_check(t->w.db, NULL, NULL, NULL, &t->w.err);
}

static int scenario_restore(struct scenario_trial *t) {
  char path[64];
  vecdb_options o = workload_options(&t->w);
  workload_backup_path(&t->w, t->w.backup_number, path);
  return vecdb_restore(path, "restored", &o, &t->w.err);
}

/* Several writes, so that segments fill and are sealed on the way. */
static int scenario_many(struct scenario_trial *t) {
  int rc = VECDB_OK;
  for (int i = 0; !rc && i < 6; i++)
    rc = workload_do(&t->w, WORKLOAD_UPSERT);
  return rc;
}

static int scenario_read_coll(struct scenario_trial *t, vecdb_collection *coll) {
  static const float query[MODEL_DIM] = {1, 0, -1, 0.5f};
  vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
  vecdb_filter filter = {"n > 1 or s like 's%'", 0, NULL, 0};
  vecdb_group_by by = {sizeof by, 1, "n"};
  vecdb_hit hits[8];
  uint32_t count, counts[8];
  vecdb_rows *rows = NULL;
  vecdb_iterator *it = NULL;
  char text[64];
  size_t length;
  params.k = 8;
  params.field = "v";
  params.queries = query;
  int rc = vecdb_search(coll, &params, hits, &count, NULL, &rows, &t->w.err);
  vecdb_rows_free(rows);
  rows = NULL;
  params.filter = filter;
  if (!rc)
    rc = vecdb_search_range(coll, &params, 4, hits, &count, NULL, &rows, &t->w.err);
  vecdb_rows_free(rows);
  if (!rc)
    rc = vecdb_search_groups(coll, &params, &by, hits, counts, NULL, &rows, &t->w.err);
  vecdb_rows_free(rows);
  vecdb_hybrid_search searches[2] = {{.search = params}, {.search = params, .weight = 2}};
  vecdb_hybrid_params hybrid = VECDB_HYBRID_PARAMS_INIT;
  hybrid.searches = searches;
  hybrid.n_searches = 2;
  hybrid.k = 8;
  if (!rc)
    rc = vecdb_search_hybrid(coll, &hybrid, hits, &count, NULL, NULL, &t->w.err);
  if (!rc)
    rc = vecdb_iterator_open(coll, &params, &it, &t->w.err);
  if (!rc)
    rc = vecdb_iterator_next(it, 8, hits, &count, NULL, &t->w.err);
  vecdb_iterator_close(it);
  if (!rc)
    rc = vecdb_explain(coll, &params, text, sizeof text, &length, &t->w.err);
  if (rc == VECDB_ERR_BUFFER)
    rc = VECDB_OK;
  if (!rc)
    rc = vecdb_warm_rows(coll, &filter, NULL, NULL, &t->w.err);
  return rc ? rc : vecdb_warm(coll, NULL, &t->w.err);
}

static int scenario_rows_coll(struct scenario_trial *t, vecdb_collection *coll, bool text_keys) {
  static const int64_t ids[] = {1, 1000003, 2000006};
  static const vecdb_string names[] = {{"00001", 5}, {"x", 1}, {"", 0}};
  vecdb_keys keys = {text_keys ? NULL : ids, text_keys ? names : NULL, 3};
  vecdb_filter filter = {"n in [1, 2, 3] and not (d > 0.9)", 0, NULL, 0};
  vecdb_query_params params = VECDB_QUERY_PARAMS_INIT;
  vecdb_rows *rows = NULL;
  uint8_t found[3];
  uint64_t count;
  int rc = vecdb_get(coll, &keys, NULL, 0, found, &rows, &t->w.err);
  vecdb_rows_free(rows);
  rows = NULL;
  params.filter = filter;
  if (!rc)
    rc = vecdb_query(coll, &params, &rows, &t->w.err);
  vecdb_rows_free(rows);
  return rc ? rc : vecdb_count(coll, &filter, &count, &t->w.err);
}

static int scenario_reads(struct scenario_trial *t, bool search) {
  int rc = VECDB_OK;
  for (uint32_t c = 0; !rc && c < MODEL_COLLS; c++) {
    vecdb_collection *coll;
    if (!t->w.now.colls[c].exists)
      continue;
    rc = vecdb_collection_get(t->w.db, model_name(c), &coll, &t->w.err);
    if (rc)
      break;
    rc = search ? scenario_read_coll(t, coll)
                : scenario_rows_coll(t, coll, model_text_keys(t->w.now.colls[c].variant));
    vecdb_collection_release(coll);
  }
  return rc;
}

static int scenario_search(struct scenario_trial *t) { return scenario_reads(t, true); }
static int scenario_rows(struct scenario_trial *t) { return scenario_reads(t, false); }

static int scenario_reopen_search(struct scenario_trial *t) {
  int rc = workload_open(&t->w);
  return rc ? rc : scenario_reads(t, true);
}

const struct scenario scenario_list[] = {
    {"open new", true, scenario_open_new},
    {"open", true, scenario_open},
    {"open read-only", true, scenario_open_read_only},
    {"open and search", true, scenario_reopen_search},
    {"restore", true, scenario_restore},
    {"create", false, scenario_create},
    {"drop", false, scenario_drop},
    {"insert", false, scenario_insert},
    {"upsert", false, scenario_upsert},
    {"update", false, scenario_update},
    {"many upserts", false, scenario_many},
    {"delete", false, scenario_delete},
    {"delete where", false, scenario_where},
    {"push", false, scenario_push},
    {"alter", false, scenario_alter},
    {"expire", false, scenario_expire},
    {"flush", false, scenario_flush},
    {"compact", false, scenario_compact},
    {"index create", false, scenario_index},
    {"index drop", false, scenario_unindex},
    {"step", false, scenario_step},
    {"backup", false, scenario_backup},
    {"check", false, scenario_check},
    {"search", false, scenario_search},
    {"get and query", false, scenario_rows},
    {"close", false, scenario_close},
};
const size_t scenario_count = sizeof scenario_list / sizeof *scenario_list;

/* ---- before and after ------------------------------------------------------------------------ */

bool scenario_begin(struct scenario_trial *t, struct scenario_base *base,
                    const struct scenario *scenario) {
  t->scenario = scenario;
  t->disk = simdisk_clone(base->disk);
  memfault_init(&t->memory);
  workload_fork(&t->w, &base->w, simdisk_vfs(t->disk));
  t->w.config.allocator = &t->memory.table;
  model_init(&t->found, t->w.config.n_keys);
  if (scenario->closed)
    return true;
  return workload_open(&t->w) == VECDB_OK || model_differs("open: %s", t->w.err.message);
}

bool scenario_unharmed(struct scenario_trial *t, int rc) {
  if (!t->w.db)
    return true;
  if (!model_load(t->w.db, &t->found))
    return false;
  if (!model_same(&t->w.now, &t->found)) {
    char text[512];
    strncpy(text, model_trouble(), sizeof text - 1);
    text[sizeof text - 1] = '\0';
    return model_differs("after %d the state is not that of before: %s", rc, text);
  }
  return true;
}

static bool scenario_ops(struct scenario_trial *t, const enum workload_op *ops, size_t n) {
  if (!t->w.db && workload_open(&t->w))
    return model_differs("open afterwards: %s", t->w.err.message);
  for (size_t i = 0; i < n; i++) {
    int rc = workload_do(&t->w, ops[i]);
    if (rc == WORKLOAD_WRONG)
      return false;
    if (rc)
      return model_differs("%s afterwards: %s", workload_op_name(ops[i]), t->w.err.message);
  }
  return true;
}

bool scenario_writes(struct scenario_trial *t) {
  static const enum workload_op ops[] = {WORKLOAD_UPSERT, WORKLOAD_DELETE, WORKLOAD_UPSERT,
                                         WORKLOAD_UPSERT};
  return scenario_ops(t, ops, sizeof ops / sizeof *ops);
}

bool scenario_works(struct scenario_trial *t) {
  static const enum workload_op ops[] = {WORKLOAD_UPSERT, WORKLOAD_DELETE, WORKLOAD_FLUSH_ALL,
                                         WORKLOAD_UPSERT, WORKLOAD_STEP,   WORKLOAD_UPSERT};
  struct probe probe = {.rng = t->w.rng};
  if (!scenario_ops(t, ops, sizeof ops / sizeof *ops))
    return false;
  vecdb_error err;
  if (vecdb_check(t->w.db, NULL, NULL, NULL, &err))
    return model_differs("check afterwards: %s", err.message);
  return scenario_unharmed(t, 0) && probe_ask(&probe, &t->w.now, t->w.db, PROBE_ALL, 2);
}

bool scenario_comes_back(struct scenario_trial *t, bool close, uint64_t seed) {
  if (close && t->w.db && workload_close(&t->w))
    return model_differs("close afterwards: %s", t->w.err.message);
  if (!close) {
    workload_abandon(&t->w);
    simdisk_crash(t->disk, seed);
  }
  vecdb_options o = workload_options(&t->w);
  o.verify = VECDB_VERIFY_FULL;
  o.flags |= VECDB_MUST_EXIST;
  if (vecdb_open("db", &o, &t->w.db, &t->w.err))
    return model_differs("open after all: %s", t->w.err.message);
  if (vecdb_check(t->w.db, NULL, NULL, NULL, &t->w.err))
    return model_differs("check after all: %s", t->w.err.message);
  if (!model_load(t->w.db, &t->found) || !workload_accepts(&t->w, &t->found, false))
    return false;
  workload_rebase(&t->w, &t->found, false);
  return true;
}

bool scenario_finish(struct scenario_trial *t) {
  bool ok = true;
  if (t->w.db && workload_close(&t->w))
    ok = model_differs("close: %s", t->w.err.message);
  if (ok && memfault_live(&t->memory) != 0)
    ok = model_differs("%llu blocks of memory are lost",
                       (unsigned long long)memfault_live(&t->memory));
  if (ok && simdisk_handles(t->disk) != 0)
    ok = model_differs("%zu files or mappings are lost", simdisk_handles(t->disk));
  workload_fini(&t->w);
  model_fini(&t->found);
  if (simdisk_handles(t->disk) == 0)
    simdisk_free(t->disk);
  return ok;
}
