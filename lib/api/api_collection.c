/* api_collection.c - creating, finding, dropping, maintaining collections; see vecdb.h. */
#include "api/api.h"
#include "base/touch.h"

/* Index settings of the schema's dense vectors must be possible; other fields have none. */
static int api_check_indexes(struct vdb_schema *schema, vecdb_error *err) {
  for (uint32_t f = 0; f < schema->n_fields; f++) {
    struct vdb_field *field = &schema->fields[f];
    if (!vdb_type_is_dense(field->type))
      continue;
    vecdb_index_params filled = field->index;
    struct vdb_index_field over = vdb_seg_index_field(field);
    VDB_TRY(vdb_index_params_fill(&filled, &over, err));
  }
  return VECDB_OK;
}

/* Makes a collection durable and puts it in the list; manifest_mu held. */
static int api_create_locked(vecdb *db, const char *name, struct vdb_schema *schema,
                             struct vecdb_collection **out, vecdb_error *err) {
  struct vecdb_collection *there = vdb_collection_find(db, name);
  if (there) {
    vdb_collection_unref(there);
    return vdb_fail(err, VECDB_ERR_EXISTS, "collection '%s' is there already", name);
  }
  if (db->n_colls >= VECDB_MAX_COLLECTIONS)
    return vdb_fail(err, VECDB_ERR_LIMIT, "a database has at most %d collections",
                    VECDB_MAX_COLLECTIONS);
  uint32_t id = db->next_collection;
  VDB_TRY(vdb_collection_reserve(db, err));
  VDB_TRY(vdb_collection_new(db, id, name, schema, out, err));
  vdb_mutex_lock(&db->write_mu);
  (*out)->visible_seq = db->published_seq;
  (*out)->files_seq = (*out)->last_seq = db->synced_seq; /* later numbers may come again */
  vdb_mutex_unlock(&db->write_mu);
  struct vdb_change change = {.created = *out};
  bool keep;
  db->next_collection = id + 1;
  int rc = vdb_change_commit(db, &change, &keep, err);
  if (!rc)
    vdb_collection_add(db, *out);
  if (rc) {
    (*out)->shape->schema = NULL; /* stays the caller's */
    vdb_collection_unref(*out);
    *out = NULL;
  }
  return rc;
}

VECDB_API int vecdb_collection_create(vecdb *db, const char *name, const vecdb_schema *schema,
                                      vecdb_collection **out, vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  if (out)
    *out = NULL;
  VDB_TRY(vdb_api_need(db, "db", err));
  VDB_TRY(vdb_api_need(name, "name", err));
  VDB_TRY(vdb_api_need(schema, "schema", err));
  VDB_TRY(vdb_name_check(name, true, "collection name", err));
  if (!db->wal)
    return vdb_fail(err, VECDB_ERR_READ_ONLY, "the database is open for reading only");
  struct vdb_schema *checked;
  VDB_TRY(vdb_schema_new(&db->env.mem, schema, &checked, err));
  struct vecdb_collection *coll = NULL;
  int rc = api_check_indexes(checked, err);
  if (!rc) {
    vdb_mutex_lock(&db->manifest_mu);
    rc = api_create_locked(db, name, checked, &coll, err);
    vdb_mutex_unlock(&db->manifest_mu);
  }
  if (rc) {
    vdb_schema_free(&db->env.mem, checked);
    return rc;
  }
  if (out)
    *out = coll;
  else
    vdb_collection_unref(coll);
  return VECDB_OK;
}

VECDB_API int vecdb_collection_get(vecdb *db, const char *name, vecdb_collection **out,
                                   vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  VDB_TRY(vdb_api_need(out, "out", err));
  *out = NULL;
  VDB_TRY(vdb_api_need(db, "db", err));
  VDB_TRY(vdb_api_need(name, "name", err));
  *out = vdb_collection_find(db, name);
  return *out ? VECDB_OK
              : vdb_fail(err, VECDB_ERR_NOT_FOUND, "there is no collection '%.255s'", name);
}

VECDB_API void vecdb_collection_release(vecdb_collection *collection) {
  vdb_collection_unref(collection);
}

/* The files of a dropped collection go with their last reader. */
static void api_drop_files(struct vecdb_collection *coll) {
  struct vdb_version *version = vdb_version_get(coll);
  for (uint32_t i = 0; i < version->n; i++) {
    struct vdb_seg *seg = version->segs[i];
    if (!seg->sealed)
      continue;
    atomic_store(&seg->sealed->obsolete, true);
    vdb_change_remove(coll->db, VDB_BLOB_TOMBS, seg->tombs_blob.file);
    for (uint32_t f = 0; f < coll->schema->n_fields; f++)
      if (seg->indexes[f])
        atomic_store(&seg->indexes[f]->obsolete, true);
  }
  vdb_version_unref(&coll->db->env.mem, version);
}

/* Drops the collection, and takes the list's reference; manifest_mu held. */
static int api_drop_locked(vecdb *db, const char *name, vecdb_error *err) {
  struct vecdb_collection *coll = vdb_collection_find(db, name);
  if (!coll)
    return vdb_fail(err, VECDB_ERR_NOT_FOUND, "there is no collection '%.255s'", name);
  struct vdb_change change = {.dropped = coll};
  bool keep;
  int rc = vdb_change_commit(db, &change, &keep, err);
  if (!rc) {
    atomic_store(&coll->dropped, true);
    vdb_collection_remove(db, coll);
    api_drop_files(coll);
    /* In-flight writers see `dropped`; new snapshots are refused; memory goes with the handles. */
    vdb_mutex_lock(&db->write_mu);
    coll->active = NULL;
    vdb_mutex_unlock(&db->write_mu);
  }
  vdb_collection_unref(coll);
  return rc;
}

VECDB_API int vecdb_collection_drop(vecdb *db, const char *name, vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  VDB_TRY(vdb_api_need(db, "db", err));
  VDB_TRY(vdb_api_need(name, "name", err));
  if (!db->wal)
    return vdb_fail(err, VECDB_ERR_READ_ONLY, "the database is open for reading only");
  vdb_mutex_lock(&db->manifest_mu);
  int rc = api_drop_locked(db, name, err);
  vdb_mutex_unlock(&db->manifest_mu);
  return rc;
}

/* By name (Shell's sort: no worst case that matters for 65,536 names, and no memory). */
static void api_sort_names(struct vecdb_collection **colls, size_t n) {
  for (size_t gap = n / 2; gap > 0; gap /= 2)
    for (size_t i = gap; i < n; i++) {
      struct vecdb_collection *moving = colls[i];
      size_t j = i;
      for (; j >= gap && strcmp(colls[j - gap]->name, moving->name) > 0; j -= gap)
        colls[j] = colls[j - gap];
      colls[j] = moving;
    }
}

VECDB_API int vecdb_collection_list(vecdb *db, int (*visit)(void *user, const char *name),
                                    void *user, vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  VDB_TRY(vdb_api_need(db, "db", err));
  if (!visit)
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "visit is NULL");
  struct vecdb_collection **colls;
  size_t n;
  VDB_TRY(vdb_collection_all(db, &colls, &n, err));
  api_sort_names(colls, n);
  for (size_t i = 0; i < n && visit(user, colls[i]->name) == 0; i++)
    ;
  vdb_collection_free_all(db, colls, n);
  return VECDB_OK;
}

VECDB_API const char *vecdb_collection_name(const vecdb_collection *collection) {
  return collection ? collection->name : "";
}

VECDB_API const vecdb_schema *vecdb_collection_schema(const vecdb_collection *collection) {
  return collection ? &collection->shape->public_schema : NULL;
}

static int api_alter(vecdb_collection *collection, const struct vdb_schema_edit *edit,
                     const vecdb_control *control, vecdb_error *err) {
  struct vdb_control inner;
  VDB_TRY(vdb_api_control(&collection->db->env, control, &inner, err));
  return vdb_alter(collection, edit, &inner, err);
}

VECDB_API int vecdb_fields_add(vecdb_collection *collection, const vecdb_schema *fields,
                               const vecdb_control *control, vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  VDB_TRY(vdb_api_need(collection, "collection", err));
  VDB_TRY(vdb_api_need(fields, "fields", err));
  struct vdb_schema_edit edit = {.add = fields};
  return api_alter(collection, &edit, control, err);
}

VECDB_API int vecdb_field_drop(vecdb_collection *collection, const char *field,
                               const vecdb_control *control, vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  VDB_TRY(vdb_api_need(collection, "collection", err));
  VDB_TRY(vdb_api_need(field, "field", err));
  struct vdb_schema_edit edit = {.drop = field};
  return api_alter(collection, &edit, control, err);
}

VECDB_API int vecdb_field_rename(vecdb_collection *collection, const char *field, const char *name,
                                 const vecdb_control *control, vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  VDB_TRY(vdb_api_need(collection, "collection", err));
  VDB_TRY(vdb_api_need(field, "field", err));
  VDB_TRY(vdb_api_need(name, "name", err));
  struct vdb_schema_edit edit = {.rename = field, .to = name};
  return api_alter(collection, &edit, control, err);
}

/* Creates or drops an index of a JSON path. */
static int api_json_index(vecdb_collection *collection, const char *field,
                          const vecdb_json_index *index, bool drop, const vecdb_control *control,
                          vecdb_error *err) {
  VDB_TRY(vdb_api_need(collection, "collection", err));
  VDB_TRY(vdb_api_need(field, "field", err));
  VDB_TRY(vdb_api_need(index, "index", err));
  struct vdb_schema_edit edit = {.json = field, .json_index = index, .json_drop = drop};
  return api_alter(collection, &edit, control, err);
}

VECDB_API int vecdb_json_index_create(vecdb_collection *collection, const char *field,
                                      const vecdb_json_index *index, const vecdb_control *control,
                                      vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  return api_json_index(collection, field, index, false, control, err);
}

VECDB_API int vecdb_json_index_drop(vecdb_collection *collection, const char *field,
                                    const vecdb_json_index *index, const vecdb_control *control,
                                    vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  return api_json_index(collection, field, index, true, control, err);
}

VECDB_API int vecdb_expire(vecdb_collection *collection, const char *field, uint64_t ttl_ms,
                           const vecdb_control *control, vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  VDB_TRY(vdb_api_need(collection, "collection", err));
  struct vdb_schema_edit edit = {.expire = true, .expiry = field, .ttl_ms = field ? ttl_ms : 0};
  return api_alter(collection, &edit, control, err);
}

VECDB_API const char *vecdb_expiry(const vecdb_collection *collection, uint64_t *ttl_ms) {
  const struct vdb_schema *schema = collection ? collection->schema : NULL;
  bool expires = schema && schema->expiry > 0;
  if (ttl_ms)
    *ttl_ms = expires ? schema->ttl_ms : 0;
  return expires ? schema->fields[schema->expiry - 1].name : NULL;
}

VECDB_API int vecdb_optimizer_set(vecdb_collection *collection, const char *field,
                                  const vecdb_optimizer *optimizer, const vecdb_control *control,
                                  vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  VDB_TRY(vdb_api_need(collection, "collection", err));
  VDB_TRY(vdb_api_need(field, "field", err));
  struct vdb_schema_edit edit = {.learn = field, .optimizer = optimizer};
  return api_alter(collection, &edit, control, err);
}

VECDB_API int vecdb_optimizer_get(const vecdb_collection *collection, const char *field,
                                  vecdb_optimizer *out, vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  VDB_TRY(vdb_api_need(collection, "collection", err));
  VDB_TRY(vdb_api_need(out, "out", err));
  uint32_t f;
  const struct vdb_schema *schema = collection->schema;
  VDB_TRY(vdb_fields_find(schema, field, &f, err));
  if (schema->fields[f].learn.rule.size == 0)
    return vdb_fail_at(err, VECDB_ERR_NOT_FOUND, -1, field, "field '%.255s' takes no pushes",
                       field);
  *out = schema->fields[f].learn.rule;
  return VECDB_OK;
}

VECDB_API int vecdb_flush(vecdb_collection *collection, const vecdb_control *control,
                          vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  VDB_TRY(vdb_api_need(collection, "collection", err));
  struct vdb_control inner;
  VDB_TRY(vdb_api_control(&collection->db->env, control, &inner, err));
  return vdb_flush(collection, &inner, err);
}

VECDB_API int vecdb_compact(vecdb_collection *collection, const vecdb_control *control,
                            vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  VDB_TRY(vdb_api_need(collection, "collection", err));
  struct vdb_control inner;
  VDB_TRY(vdb_api_control(&collection->db->env, control, &inner, err));
  return vdb_compact(collection, &inner, err);
}

/* A vector field by name. */
static int api_vector_field(vecdb_collection *collection, const char *name,
                            const struct vdb_field **out, vecdb_error *err) {
  VDB_TRY(vdb_api_need(name, "field", err));
  const struct vdb_schema *schema = collection->schema;
  int f = vdb_schema_find(schema, name, strlen(name));
  if (f < 0)
    return vdb_fail_at(err, VECDB_ERR_UNKNOWN_FIELD, -1, name, "there is no field '%.255s'", name);
  if (!vdb_type_is_vector(schema->fields[f].type))
    return vdb_fail_at(err, VECDB_ERR_TYPE, -1, name, "field '%s' is not a vector", name);
  if (!vdb_type_is_dense(schema->fields[f].type))
    return vdb_fail_at(err, VECDB_ERR_TYPE, -1, name,
                       "field '%s' is sparse, and has an inverted index of its own", name);
  *out = &schema->fields[f];
  return VECDB_OK;
}

VECDB_API int vecdb_index_create(vecdb_collection *collection, const char *field,
                                 const vecdb_index_params *params, const vecdb_control *control,
                                 vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  VDB_TRY(vdb_api_need(collection, "collection", err));
  const struct vdb_field *f;
  VDB_TRY(api_vector_field(collection, field, &f, err));
  vecdb_index_params wanted = VECDB_INDEX_PARAMS_INIT;
  if (params && params->size != sizeof *params)
    return vdb_fail(err, VECDB_ERR_OPTION, "vecdb_index_params has size %zu here, not %u",
                    sizeof *params, params->size);
  if (params)
    wanted = *params;
  if (wanted.type < VECDB_INDEX_AUTO || wanted.type > VECDB_INDEX_DISK)
    return vdb_fail_at(err, VECDB_ERR_OPTION, -1, field, "index type %d is unknown", wanted.type);
  vecdb_index_params filled = wanted;
  struct vdb_index_field over = vdb_seg_index_field(f);
  VDB_TRY(vdb_index_params_fill(&filled, &over, err));
  struct vdb_control inner;
  VDB_TRY(vdb_api_control(&collection->db->env, control, &inner, err));
  return vdb_index_set(collection, f->id, &wanted, &inner, err);
}

VECDB_API int vecdb_index_drop(vecdb_collection *collection, const char *field,
                               vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  VDB_TRY(vdb_api_need(collection, "collection", err));
  const struct vdb_field *f;
  VDB_TRY(api_vector_field(collection, field, &f, err));
  vecdb_index_params flat = {.size = sizeof flat, .type = VECDB_INDEX_FLAT};
  return vdb_index_set(collection, f->id, &flat, NULL, err);
}

static int api_visit_index(const struct vdb_seg_view *view, const struct vdb_seg_index *index,
                           int (*visit)(void *user, const vecdb_segment_index *index),
                           void *user) {
  vecdb_recall_point points[VDB_CURVE_POINTS];
  struct vdb_index_traits traits;
  index->index->ops->traits(index->index, &traits);
  for (uint32_t i = 0; i < index->curve.n; i++) {
    const struct vdb_curve_point *p = &index->curve.points[i];
    points[i] = (vecdb_recall_point){p->effort, p->distances, p->recall[0], p->recall[1],
                                     p->recall[2]};
  }
  vecdb_segment_index out = {.size = sizeof out, .n_points = index->curve.n};
  out.segment = view->seg->id;
  out.rows = view->n;
  out.bytes_file = index->blob_id.length;
  out.bytes_memory = traits.memory;
  out.params = index->params;
  out.probes = index->index->ops->effort == VDB_EFFORT_NPROBE;
  out.points = points;
  return visit(user, &out);
}

VECDB_API int vecdb_index_list(vecdb_collection *collection, const char *field,
                               int (*visit)(void *user, const vecdb_segment_index *index),
                               void *user, vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  VDB_TRY(vdb_api_need(collection, "collection", err));
  if (!visit)
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "visit is NULL");
  const struct vdb_field *f;
  VDB_TRY(api_vector_field(collection, field, &f, err));
  struct vdb_snapshot *snapshot;
  VDB_TRY(vdb_snapshot_take(collection, &snapshot, err));
  for (uint32_t i = 0; i < snapshot->n_segs; i++) {
    int at = vdb_schema_by_id(snapshot->schema, f->id); /* vectors are never dropped */
    const struct vdb_seg_index *index = vdb_seg_vector_index(&snapshot->segs[i], (uint32_t)at);
    if (index && api_visit_index(&snapshot->segs[i], index, visit, user) != 0)
      break;
  }
  vdb_snapshot_release(snapshot);
  return VECDB_OK;
}

VECDB_API int vecdb_wait(vecdb_collection *collection, const vecdb_control *control,
                         vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  VDB_TRY(vdb_api_need(collection, "collection", err));
  struct vdb_control inner;
  VDB_TRY(vdb_api_control(&collection->db->env, control, &inner, err));
  VDB_TRY(vdb_collection_alive(collection, err));
  if (!collection->db->wal)
    return VECDB_OK;
  /* The caller lends a hand: pieces that the background thread is at are waited for. */
  while (vdb_jobs_pending(collection->db, collection) > 0) {
    bool did;
    uint64_t bytes = 0;
    VDB_TRY(vdb_collection_alive(collection, err)); /* nobody works on one that was dropped */
    VDB_TRY(vdb_jobs_run_one(collection->db, collection, &did, &bytes, &inner, err));
    if (vdb_control_poll(&inner))
      return vdb_control_fail(&inner, err);
    if (!did && vdb_jobs_pending(collection->db, collection) > 0) {
      VDB_TRY(vdb_control_lock(&inner, &collection->merge_mu, err));
      vdb_mutex_unlock(&collection->merge_mu);
    }
  }
  return VECDB_OK;
}

static void api_warm_bytes(const struct vdb_blob *blob) {
  size_t n;
  const void *bytes = vdb_blob_bytes(blob, &n);
  vdb_touch(bytes, n);
}

VECDB_API int vecdb_warm(vecdb_collection *collection, const vecdb_control *control,
                         vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  VDB_TRY(vdb_api_need(collection, "collection", err));
  struct vdb_control inner;
  VDB_TRY(vdb_api_control(&collection->db->env, control, &inner, err));
  struct vdb_snapshot *snapshot;
  VDB_TRY(vdb_snapshot_take(collection, &snapshot, err));
  int rc = VECDB_OK;
  for (uint32_t i = 0; !rc && i < snapshot->n_segs; i++) {
    const struct vdb_seg *seg = snapshot->segs[i].seg;
    if (seg->sealed)
      api_warm_bytes(seg->sealed->blob);
    for (uint32_t f = 0; seg->sealed && f < snapshot->schema->n_fields; f++)
      if (seg->indexes[f])
        api_warm_bytes(seg->indexes[f]->blob);
    if (vdb_control_progress(&inner, "warm", i + 1, snapshot->n_segs))
      rc = vdb_control_fail(&inner, err);
  }
  vdb_snapshot_release(snapshot);
  return rc;
}

VECDB_API int vecdb_warm_rows(vecdb_collection *collection, const vecdb_filter *filter,
                              uint64_t *rows, const vecdb_control *control, vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  uint64_t n = 0;
  VDB_TRY(vdb_api_need(collection, "collection", err));
  struct vdb_control inner;
  VDB_TRY(vdb_api_control(&collection->db->env, control, &inner, err));
  struct vdb_snapshot *snapshot;
  VDB_TRY(vdb_snapshot_take(collection, &snapshot, err));
  int rc = vdb_query_warm(snapshot, filter, &inner, rows ? rows : &n, err);
  vdb_snapshot_release(snapshot);
  return rc;
}

VECDB_API int vecdb_collection_stats(vecdb_collection *collection, vecdb_stats *out,
                                     vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  VDB_TRY(vdb_api_need(collection, "collection", err));
  VDB_TRY(vdb_api_need(out, "out", err));
  if (out->size != sizeof *out)
    return vdb_fail(err, VECDB_ERR_OPTION, "vecdb_stats has size %zu here, not %u", sizeof *out,
                    out->size);
  VDB_TRY(vdb_collection_alive(collection, err));
  vdb_stats_collect(collection, out);
  return VECDB_OK;
}
