/* api_rows.c - writing and reading rows, searching; contracts in vecdb.h. */
#include "api/api.h"

VECDB_API int vecdb_insert(vecdb_collection *collection, const vecdb_batch *batch, int64_t *ids,
                           vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  VDB_TRY(vdb_api_need(collection, "collection", err));
  return vdb_write_rows(collection, batch, false, ids, err);
}

VECDB_API int vecdb_upsert(vecdb_collection *collection, const vecdb_batch *batch, int64_t *ids,
                           vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  VDB_TRY(vdb_api_need(collection, "collection", err));
  return vdb_write_rows(collection, batch, true, ids, err);
}

VECDB_API int vecdb_update(vecdb_collection *collection, const vecdb_batch *batch, uint32_t flags,
                           uint8_t *found, vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  VDB_TRY(vdb_api_need(collection, "collection", err));
  return vdb_write_update(collection, batch, flags, found, err);
}

VECDB_API int vecdb_push(vecdb_collection *collection, const vecdb_push_params *params,
                         uint64_t *versions, vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  VDB_TRY(vdb_api_need(collection, "collection", err));
  VDB_TRY(vdb_api_need(params, "params", err));
  return vdb_write_push(collection, params, versions, err);
}

VECDB_API int vecdb_pull(vecdb_collection *collection, const char *field, const vecdb_keys *keys,
                         float *values, size_t stride, uint64_t *versions, vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  VDB_TRY(vdb_api_need(collection, "collection", err));
  VDB_TRY(vdb_api_need(keys, "keys", err));
  struct vdb_snapshot *snapshot;
  VDB_TRY(vdb_snapshot_take(collection, &snapshot, err));
  struct vdb_pull_want want = {field, keys, values, stride, versions};
  int rc = vdb_query_pull(snapshot, &want, err);
  vdb_snapshot_release(snapshot);
  return rc;
}

VECDB_API int vecdb_delete(vecdb_collection *collection, const vecdb_keys *keys, uint64_t *deleted,
                           vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  VDB_TRY(vdb_api_need(collection, "collection", err));
  VDB_TRY(vdb_api_need(keys, "keys", err));
  return vdb_write_delete(collection, keys, deleted, err);
}

VECDB_API int vecdb_delete_where(vecdb_collection *collection, const vecdb_filter *filter,
                                 uint64_t *deleted, const vecdb_control *control,
                                 vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  VDB_TRY(vdb_api_need(collection, "collection", err));
  VDB_TRY(vdb_api_need(filter, "filter", err));
  struct vdb_control inner;
  VDB_TRY(vdb_api_control(&collection->db->env, control, &inner, err));
  return vdb_write_delete_where(collection, filter, deleted, &inner, err);
}

VECDB_API int vecdb_get(vecdb_collection *collection, const vecdb_keys *keys,
                        const char *const *fields, size_t n_fields, uint8_t *found,
                        vecdb_rows **out, vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  VDB_TRY(vdb_api_need(out, "out", err));
  *out = NULL;
  VDB_TRY(vdb_api_need(collection, "collection", err));
  VDB_TRY(vdb_api_need(keys, "keys", err));
  struct vdb_snapshot *snapshot;
  VDB_TRY(vdb_snapshot_take(collection, &snapshot, err));
  int rc = vdb_query_get(snapshot, keys, fields, n_fields, found, out, err);
  vdb_snapshot_release(snapshot);
  return rc;
}

VECDB_API int vecdb_query(vecdb_collection *collection, const vecdb_query_params *params,
                          vecdb_rows **out, vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  VDB_TRY(vdb_api_need(out, "out", err));
  *out = NULL;
  VDB_TRY(vdb_api_need(collection, "collection", err));
  struct vdb_snapshot *snapshot;
  VDB_TRY(vdb_snapshot_take(collection, &snapshot, err));
  int rc = vdb_query_scan(snapshot, params, out, err);
  vdb_snapshot_release(snapshot);
  return rc;
}

VECDB_API int vecdb_count(vecdb_collection *collection, const vecdb_filter *filter,
                          uint64_t *count, vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  VDB_TRY(vdb_api_need(count, "count", err));
  *count = 0;
  VDB_TRY(vdb_api_need(collection, "collection", err));
  struct vdb_snapshot *snapshot;
  VDB_TRY(vdb_snapshot_take(collection, &snapshot, err));
  int rc = vdb_query_count(snapshot, filter, count, err);
  vdb_snapshot_release(snapshot);
  return rc;
}

VECDB_API int vecdb_sparse_counts(vecdb_collection *collection, const char *field,
                                  const vecdb_filter *filter, const uint32_t *indices, size_t n,
                                  uint64_t *counts, uint64_t *rows, vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  VDB_TRY(vdb_api_need(collection, "collection", err));
  struct vdb_snapshot *snapshot;
  VDB_TRY(vdb_snapshot_take(collection, &snapshot, err));
  int rc = vdb_query_sparse_counts(snapshot, field, filter, indices, n, counts, rows, err);
  vdb_snapshot_release(snapshot);
  return rc;
}

VECDB_API int vecdb_search(vecdb_collection *collection, const vecdb_search_params *params,
                           vecdb_hit *hits, uint32_t *counts, vecdb_search_info *info,
                           vecdb_rows **rows, vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  if (rows)
    *rows = NULL;
  VDB_TRY(vdb_api_need(collection, "collection", err));
  struct vdb_snapshot *snapshot;
  VDB_TRY(vdb_snapshot_take(collection, &snapshot, err));
  int rc = vdb_query_search(snapshot, collection->db->pool, params, hits, counts, info, rows, err);
  vdb_snapshot_release(snapshot);
  if (!rc)
    vdb_live_offer(collection, params,
                   atomic_fetch_add_explicit(&collection->searches,
                                             params->n_queries ? params->n_queries : 1,
                                             memory_order_relaxed));
  return rc;
}

VECDB_API int vecdb_search_groups(vecdb_collection *collection, const vecdb_search_params *params,
                                  const vecdb_group_by *by, vecdb_hit *hits, uint32_t *counts,
                                  vecdb_search_info *info, vecdb_rows **rows, vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  if (rows)
    *rows = NULL;
  VDB_TRY(vdb_api_need(collection, "collection", err));
  struct vdb_snapshot *snapshot;
  VDB_TRY(vdb_snapshot_take(collection, &snapshot, err));
  struct vdb_group_want want = {params, by, hits, counts, info, rows};
  int rc = vdb_query_groups(snapshot, &want, err);
  vdb_snapshot_release(snapshot);
  if (!rc)
    atomic_fetch_add_explicit(&collection->searches, params->n_queries ? params->n_queries : 1,
                              memory_order_relaxed);
  return rc;
}

VECDB_API int vecdb_search_hybrid(vecdb_collection *collection, const vecdb_hybrid_params *params,
                                  vecdb_hit *hits, uint32_t *counts, vecdb_search_info *info,
                                  vecdb_rows **rows, vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  if (rows)
    *rows = NULL;
  VDB_TRY(vdb_api_need(collection, "collection", err));
  struct vdb_snapshot *snapshot;
  VDB_TRY(vdb_snapshot_take(collection, &snapshot, err));
  struct vdb_hybrid_want want = {params, hits, counts, info, rows};
  uint32_t n_queries = 0;
  int rc = vdb_query_hybrid(snapshot, &want, &n_queries, err);
  vdb_snapshot_release(snapshot);
  if (!rc)
    atomic_fetch_add_explicit(&collection->searches, n_queries, memory_order_relaxed);
  return rc;
}

VECDB_API int vecdb_search_range(vecdb_collection *collection, const vecdb_search_params *params,
                                 float radius, vecdb_hit *hits, uint32_t *count,
                                 vecdb_search_info *info, vecdb_rows **rows, vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  if (rows)
    *rows = NULL;
  VDB_TRY(vdb_api_need(collection, "collection", err));
  struct vdb_snapshot *snapshot;
  VDB_TRY(vdb_snapshot_take(collection, &snapshot, err));
  int rc = vdb_query_range(snapshot, params, radius, hits, count, info, rows, err);
  vdb_snapshot_release(snapshot);
  return rc;
}

VECDB_API int vecdb_iterator_open(vecdb_collection *collection, const vecdb_search_params *params,
                                  vecdb_iterator **out, vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  VDB_TRY(vdb_api_need(out, "out", err));
  *out = NULL;
  VDB_TRY(vdb_api_need(collection, "collection", err));
  struct vdb_snapshot *snapshot;
  VDB_TRY(vdb_snapshot_take(collection, &snapshot, err));
  int rc = vdb_iterator_new(snapshot, params, out, err);
  if (rc)
    vdb_snapshot_release(snapshot);
  return rc;
}

VECDB_API int vecdb_iterator_next(vecdb_iterator *iterator, uint32_t capacity, vecdb_hit *hits,
                                  uint32_t *count, vecdb_rows **rows, vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  if (rows)
    *rows = NULL;
  VDB_TRY(vdb_api_need(iterator, "iterator", err));
  VDB_TRY(vdb_api_need(count, "count", err));
  return vdb_iterator_step(iterator, capacity, hits, count, rows, err);
}

VECDB_API void vecdb_iterator_close(vecdb_iterator *iterator) { vdb_iterator_free(iterator); }

VECDB_API int vecdb_explain(vecdb_collection *collection, const vecdb_search_params *params,
                            char *text, size_t capacity, size_t *length, vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  VDB_TRY(vdb_api_need(collection, "collection", err));
  struct vdb_snapshot *snapshot;
  VDB_TRY(vdb_snapshot_take(collection, &snapshot, err));
  int rc = vdb_query_explain(snapshot, params, text, capacity, length, err);
  vdb_snapshot_release(snapshot);
  return rc;
}
