/*
 * live.c - the live estimate of recall: one query in so many is kept, and answered again in the
 * background, by the index and exactly, on one snapshot. A collection keeps one query at a time and
 * takes no other before a hundred times as long has passed as the last check took, so that checks
 * cost a hundredth of a processor at most.
 */
#include "db/db.h"
#include "query/query.h"

enum {
  LIVE_MEMORY = 64,      /* checks that the estimate is a mean over, the latest weighing most */
  LIVE_MAX_K = 1024,     /* larger answers are not checked */
  LIVE_REST = 100,       /* times as long as a check took, until the next */
  LIVE_TIMEOUT_MS = 1000 /* after which a check is given up */
};

/* A query kept: params point to `query`, and to the schema for the field. */
struct vdb_live_query {
  vecdb_search_params params;
  uint8_t query[];
};

VDB_INTERNAL void vdb_live_free(struct vecdb_collection *coll) {
  vdb_free(&coll->db->env.mem, coll->live.kept);
  coll->live.kept = NULL;
}

/* A copy of query q; NULL without memory or for a field that is none. */
static struct vdb_live_query *live_copy(struct vecdb_collection *coll,
                                        const vecdb_search_params *params, uint64_t q) {
  uint32_t field;
  vecdb_error ignored;
  if (vdb_fields_vector(coll->schema, params->field, &field, &ignored))
    return NULL;
  const struct vdb_field *f = &coll->schema->fields[field];
  if (!vdb_type_is_dense(f->type))
    return NULL; /* always exact */
  size_t bytes = vdb_elem_row_bytes(vdb_elem_of(f->type), f->dim);
  size_t stride = params->query_stride ? params->query_stride : bytes;
  struct vdb_live_query *kept = vdb_alloc(&coll->db->env.mem, sizeof *kept + bytes);
  if (!kept)
    return NULL;
  kept->params = (vecdb_search_params)VECDB_SEARCH_PARAMS_INIT;
  kept->params.k = params->k;
  kept->params.field = f->name;
  kept->params.queries = kept->query;
  kept->params.ef = params->ef;
  kept->params.nprobe = params->nprobe;
  kept->params.recall = params->recall;
  memcpy(kept->query, (const uint8_t *)params->queries + q * stride, bytes);
  return kept;
}

VDB_INTERNAL void vdb_live_offer(struct vecdb_collection *coll, const vecdb_search_params *params,
                                 uint64_t before) {
  struct vecdb *db = coll->db;
  struct vdb_live *live = &coll->live;
  uint64_t n = params->n_queries ? params->n_queries : 1;
  if (db->recall_every == 0 || before % db->recall_every + n < db->recall_every)
    return;
  bool plain = !params->filter.text && params->plan == VECDB_PLAN_AUTO && params->k <= LIVE_MAX_K;
  if (!plain || !db->wal || !vdb_mutex_try(&live->mu))
    return;
  if (!live->kept && vdb_now_ns(&db->env) >= live->rest_until_ns)
    live->kept = live_copy(coll, params, db->recall_every - 1 - before % db->recall_every);
  bool kept = live->kept != NULL;
  vdb_mutex_unlock(&live->mu);
  if (kept)
    vdb_jobs_kick(db);
}

VDB_INTERNAL bool vdb_live_waits(struct vecdb_collection *coll) {
  vdb_mutex_lock(&coll->live.mu);
  bool waits = coll->live.kept != NULL;
  vdb_mutex_unlock(&coll->live.mu);
  return waits;
}

static void live_note(struct vecdb_collection *coll, bool counts, double recall, uint64_t took) {
  struct vdb_live *live = &coll->live;
  uint64_t now = vdb_now_ns(&coll->db->env);
  vdb_mutex_lock(&live->mu);
  live->rest_until_ns = now + took * LIVE_REST;
  if (counts) {
    live->checks++;
    double weight = live->checks < LIVE_MEMORY ? 1 / (double)live->checks : 1.0 / LIVE_MEMORY;
    live->recall += (recall - live->recall) * weight;
  }
  vdb_mutex_unlock(&live->mu);
}

VDB_INTERNAL bool vdb_live_check(struct vecdb_collection *coll, const struct vdb_control *control) {
  struct vdb_live *live = &coll->live;
  struct vdb_snapshot *snapshot;
  vecdb_error ignored; /* what is wrong with index or memory, searches tell */
  double recall = 0;
  bool indexed = false;
  vdb_mutex_lock(&live->mu);
  struct vdb_live_query *kept = live->kept;
  live->kept = NULL;
  vdb_mutex_unlock(&live->mu);
  if (!kept)
    return false;
  vecdb_control limits = {sizeof limits, LIVE_TIMEOUT_MS, control->cancel, NULL, NULL};
  uint64_t start = vdb_now_ns(&coll->db->env);
  kept->params.control = &limits;
  int rc = vdb_snapshot_take(coll, &snapshot, &ignored);
  if (!rc) {
    snapshot->cache = NULL; /* what an index finds is to be seen */
    rc = vdb_query_recall(snapshot, &kept->params, &recall, &indexed, &ignored);
    vdb_snapshot_release(snapshot);
  }
  live_note(coll, !rc && indexed, recall, vdb_now_ns(&coll->db->env) - start);
  vdb_free(&coll->db->env.mem, kept);
  return true;
}
