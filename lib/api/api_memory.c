/* api_memory.c - what memory and a device are used for, and what a build would use; contracts in
   vecdb.h. */
#include "accel/device.h"
#include "api/api.h"
#include "index/need.h"

VECDB_API int vecdb_memory_stats(vecdb *db, vecdb_memory *out, vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  VDB_TRY(vdb_api_need(db, "db", err));
  VDB_TRY(vdb_api_need(out, "out", err));
  if (out->size != sizeof *out)
    return vdb_fail(err, VECDB_ERR_OPTION, "vecdb_memory has size %zu here, not %u", sizeof *out,
                    out->size);
  vdb_stats_memory(db, out);
  return VECDB_OK;
}

VECDB_API int vecdb_device_stats(vecdb *db, vecdb_device *out, vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  struct vdb_device_state state;
  VDB_TRY(vdb_api_need(db, "db", err));
  VDB_TRY(vdb_api_need(out, "out", err));
  if (out->size != sizeof *out)
    return vdb_fail(err, VECDB_ERR_OPTION, "vecdb_device has size %zu here, not %u", sizeof *out,
                    out->size);
  *out = (vecdb_device)VECDB_DEVICE_INIT;
  if (!vdb_device_look(db->env.device, &state))
    return VECDB_OK;
  out->present = 1;
  memcpy(out->name, state.name, sizeof out->name);
  out->limit = state.limit;
  out->bytes = state.bytes;
  out->sets = state.sets;
  out->evicted = state.evicted;
  out->queries = state.queries;
  out->failures = state.failures;
  out->busy_ns = state.busy_ns;
  return VECDB_OK;
}

VECDB_API int vecdb_index_estimate(const vecdb_field *field, const vecdb_index_params *params,
                                   uint64_t rows, uint32_t threads, vecdb_index_need *out,
                                   vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  VDB_TRY(vdb_api_need(field, "field", err));
  VDB_TRY(vdb_api_need(params, "params", err));
  VDB_TRY(vdb_api_need(out, "out", err));
  if (out->size != sizeof *out || params->size != sizeof *params)
    return vdb_fail(err, VECDB_ERR_OPTION, "vecdb_index_%s has size %zu here, not %u",
                    out->size != sizeof *out ? "need" : "params",
                    out->size != sizeof *out ? sizeof *out : sizeof *params,
                    out->size != sizeof *out ? out->size : params->size);
  if (!vdb_type_is_dense(field->type) || field->dim == 0 || field->dim > VECDB_MAX_DIM)
    return vdb_fail_at(err, VECDB_ERR_TYPE, -1, field->name,
                       "an index is of a dense vector field with 1 to %d dimensions",
                       VECDB_MAX_DIM);
  if (rows > VDB_SEG_MAX_ROWS)
    return vdb_fail(err, VECDB_ERR_LIMIT, "a segment has at most %u rows", VDB_SEG_MAX_ROWS);
  enum vdb_elem elem = vdb_elem_of(field->type);
  struct vdb_index_field over = {field->name, elem, field->dim, field->metric};
  if (over.metric == 0)
    over.metric = elem == VDB_BITS ? VECDB_HAMMING : VECDB_COSINE;
  vecdb_index_params filled = *params;
  VDB_TRY(vdb_index_params_fill(&filled, &over, err));
  struct vdb_room room = {0, threads ? threads : vdb_thread_processors()};
  struct vdb_need need;
  vdb_index_need_of(&filled, &over, rows, &room, &need);
  *out = (vecdb_index_need){.size = sizeof *out, .type = filled.type};
  out->codes = need.codes;
  out->graph = need.graph;
  out->lists = need.lists;
  out->scratch = need.scratch;
  out->build = vdb_need_all(&need);
  return VECDB_OK;
}
