/*
 * alter.c - changes of a collection's schema. All rows are first brought into files, the last of
 * them while writers wait; then one manifest names the new schema, and the segments are seen by it
 * from then on, without being written again. So every record of the log is of the schema that the
 * manifest names, and snapshots go on with the schema and the segments that they hold.
 */
#include "base/check.h"
#include "db/db.h"

/* The settings of the fields that stay, and those that new fields come with. */
static vecdb_index_params *alter_settings(const struct vecdb_collection *coll,
                                          const struct vdb_schema *to) {
  vecdb_index_params *index =
      vdb_alloc_array(&coll->db->env.mem, to->n_fields, sizeof(vecdb_index_params));
  for (uint32_t f = 0; index && f < to->n_fields; f++) {
    int was = vdb_schema_by_id(coll->schema, to->fields[f].id);
    index[f] = was < 0 ? to->fields[f].index : coll->index[was];
  }
  return index;
}

/* The sealed segments under the new schema, `n` of them so far. */
static int alter_segments(const struct vecdb_collection *coll, const struct vdb_schema *to,
                          struct vdb_seg **segs, uint32_t *n, vecdb_error *err) {
  const struct vdb_version *version = coll->version;
  for (uint32_t i = 0; i < version->n; i++)
    if (version->segs[i]->sealed) {
      VDB_TRY(vdb_seg_view_as(version->segs[i], to, &segs[*n], err));
      ++*n;
    }
  return VECDB_OK;
}

/* Names the shape in the manifest and puts it in force; writes are held, and all rows are in files.
   Takes the shape over on success. */
static int alter_commit(struct vecdb_collection *coll, struct vdb_shape *shape, vecdb_error *err) {
  struct vecdb *db = coll->db;
  struct vdb_mem *mem = &db->env.mem;
  uint32_t n = 0;
  bool keep;
  vdb_mutex_lock(&db->manifest_mu);
  int rc = vdb_collection_alive(coll, err);
  struct vdb_seg **segs = vdb_alloc_zero(mem, (coll->version->n + 1u) * sizeof(struct vdb_seg *));
  vecdb_index_params *index = alter_settings(coll, shape->schema);
  if (!rc && (!segs || !index))
    rc = vdb_fail_memory(err);
  if (!rc)
    rc = alter_segments(coll, shape->schema, segs, &n, err);
  if (!rc) {
    struct vdb_change change = {.coll = coll, .index = index, .shape = shape, .reshaped = segs,
                                .n_reshaped = n};
    rc = vdb_change_commit(db, &change, &keep, err);
  }
  for (uint32_t i = 0; i < n; i++)
    vdb_seg_unref(segs[i]);
  vdb_mutex_unlock(&db->manifest_mu);
  vdb_free(mem, segs);
  vdb_free(mem, index);
  return rc;
}

/* With merges and seals of the collection kept out. */
static int alter_locked(struct vecdb_collection *coll, const struct vdb_schema_edit *edit,
                        struct vdb_control *control, vecdb_error *err) {
  struct vecdb *db = coll->db;
  struct vdb_schema *schema;
  struct vdb_shape *shape;
  VDB_TRY(vdb_schema_edited(&db->env.mem, coll->schema, edit, &schema, err));
  int rc = vdb_shape_new(&db->env.mem, schema, &shape, err);
  if (rc) {
    vdb_schema_free(&db->env.mem, schema);
    return rc;
  }
  vdb_mutex_lock(&db->write_mu);
  vdb_commit_hold(db);
  vdb_mutex_unlock(&db->write_mu);
  rc = vdb_flush_locked(coll, control, err);
  if (!rc)
    rc = alter_commit(coll, shape, err);
  vdb_mutex_lock(&db->write_mu);
  vdb_commit_release(db);
  vdb_mutex_unlock(&db->write_mu);
  if (rc)
    vdb_shape_free(&db->env.mem, shape);
  return rc;
}

VDB_INTERNAL int vdb_alter(struct vecdb_collection *coll, const struct vdb_schema_edit *edit,
                           struct vdb_control *control, vecdb_error *err) {
  struct vdb_schema *schema;
  VDB_TRY(vdb_write_allowed(coll, err));
  VDB_TRY(vdb_schema_edited(&coll->db->env.mem, coll->schema, edit, &schema, err));
  vdb_schema_free(&coll->db->env.mem, schema); /* it was to be checked only */
  VDB_TRY(vdb_flush(coll, control, err));      /* most rows, without keeping writers */
  VDB_TRY(vdb_merge_lock(coll, control, err));
  int rc = vdb_control_lock(control, &coll->seal_mu, err);
  if (!rc) {
    rc = alter_locked(coll, edit, control, err);
    vdb_mutex_unlock(&coll->seal_mu);
  }
  vdb_mutex_unlock(&coll->merge_mu);
  vdb_jobs_kick(coll->db);
  return rc;
}
