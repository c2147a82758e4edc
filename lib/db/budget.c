/*
 * budget.c - what vecdb_options.memory_limit leaves for indexes: which are built, in what pieces,
 * and what is said when there is no room. Whether an index can be had at all is decided by the
 * limit alone, not by what is in use, so that background work has an end; whether it is built now,
 * by what is left. need.h says how much a build takes.
 */
#include "base/hot.h"
#include "db/db.h"
#include "index/need.h"

static struct vdb_room budget_room(const struct vecdb *db) {
  return (struct vdb_room){db->env.mem.limit, vdb_pool_par(db->pool, 0).workers};
}

VDB_INTERNAL bool vdb_index_asked(const struct vecdb *db, const struct vdb_field *field,
                                  const vecdb_index_params *params, uint64_t n) {
  struct vdb_index_field over = vdb_seg_index_field(field);
  if (params->type != VECDB_INDEX_AUTO)
    return !vdb_index_is_scan(params->type, over.elem);
  vecdb_index_params choice;
  vdb_index_auto(params, &over, n, NULL, &choice);
  return n >= db->index_rows && choice.type != VECDB_INDEX_FLAT;
}

/* Whether memory_limit is enough for the index of n rows that the settings ask for. */
static bool budget_enough(const struct vecdb *db, const struct vdb_field *field,
                          const vecdb_index_params *params, uint64_t n) {
  struct vdb_index_field over = vdb_seg_index_field(field);
  struct vdb_room room = budget_room(db);
  vecdb_index_params choice;
  uint64_t need;
  if (room.bytes == 0)
    return true;
  if (params->type != VECDB_INDEX_AUTO)
    return vdb_index_fits(params, &over, n, &room, &need);
  vdb_index_auto(params, &over, n, &room, &choice);
  return choice.type != VECDB_INDEX_FLAT;
}

VDB_INTERNAL bool vdb_index_wanted(const struct vecdb *db, const struct vdb_field *field,
                                   const vecdb_index_params *params, uint64_t n) {
  return vdb_index_asked(db, field, params, n) && budget_enough(db, field, params, n);
}

VDB_INTERNAL void vdb_budget_auto(const struct vecdb *db, const vecdb_index_params *settings,
                                  const struct vdb_index_field *over, uint64_t n,
                                  vecdb_index_params *out) {
  struct vdb_room room = budget_room(db);
  vdb_index_auto(settings, over, n, &room, out);
}

VDB_INTERNAL bool vdb_budget_fits(const struct vecdb *db, const vecdb_index_params *params,
                                  const struct vdb_index_field *over, uint64_t n) {
  struct vdb_room room = budget_room(db);
  uint64_t need;
  return vdb_index_fits(params, over, n, &room, &need);
}

VDB_INTERNAL int vdb_budget_check(struct vecdb *db, const vecdb_index_params *params,
                                  const struct vdb_index_field *over, uint64_t n,
                                  vecdb_error *err) {
  struct vdb_room room = budget_room(db);
  /* The caches give way to whatever asks. */
  uint64_t need, left = vdb_mem_left(&db->env.mem) + atomic_load(&db->env.mem.by[VDB_FOR_CACHE]) +
                        vdb_hot_bytes(db->env.hot);
  if (room.bytes == 0 || (vdb_index_fits(params, over, n, &room, &need) && need <= left))
    return VECDB_OK;
  return vdb_fail_at(err, VECDB_ERR_NO_MEMORY, -1, over->name,
                     "building %s over %llu rows takes up to %llu bytes; memory_limit is %llu, of "
                     "which %llu are in use",
                     vdb_index_kind(params->type)->name, (unsigned long long)n,
                     (unsigned long long)need, (unsigned long long)room.bytes,
                     (unsigned long long)(room.bytes - left));
}

VDB_INTERNAL bool vdb_budget_merges(struct vecdb_collection *coll, uint64_t n) {
  bool fits = true;
  if (coll->db->env.mem.limit == 0)
    return true;
  vdb_mutex_lock(&coll->view_mu);
  for (uint32_t f = 0; fits && f < coll->schema->n_fields; f++) {
    const struct vdb_field *field = &coll->schema->fields[f];
    const vecdb_index_params *params = &coll->index[f];
    if (vdb_type_is_dense(field->type) && vdb_index_asked(coll->db, field, params, n))
      fits = budget_enough(coll->db, field, params, n);
  }
  vdb_mutex_unlock(&coll->view_mu);
  return fits;
}

VDB_INTERNAL int vdb_budget_check_merge(struct vecdb_collection *coll, uint64_t n,
                                        vecdb_error *err) {
  int rc = VECDB_OK;
  if (coll->db->env.mem.limit == 0)
    return VECDB_OK;
  vdb_mutex_lock(&coll->view_mu);
  for (uint32_t f = 0; !rc && f < coll->schema->n_fields; f++) {
    const struct vdb_field *field = &coll->schema->fields[f];
    const vecdb_index_params *params = &coll->index[f];
    if (!vdb_type_is_dense(field->type) || !vdb_index_wanted(coll->db, field, params, n))
      continue;
    struct vdb_index_field over = vdb_seg_index_field(field);
    rc = vdb_budget_check(coll->db, params, &over, n, err);
  }
  vdb_mutex_unlock(&coll->view_mu);
  return rc;
}
