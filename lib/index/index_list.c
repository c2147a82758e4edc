/* index_list.c - the index types there are, and the parameters they take; see index.h. */
#include "index/hnsw.h"
#include "index/index.h"

enum {
  INDEX_M = 16,
  INDEX_EF_CONSTRUCTION = 200,
  INDEX_EF = 96
};

VDB_INTERNAL const struct vdb_index_ops *vdb_index_ops_of(int32_t type) {
  return type == VECDB_INDEX_HNSW ? vdb_hnsw_ops() : NULL;
}

/* Replaces 0 by `standard` and checks the range. */
static int index_param(uint32_t *value, uint32_t standard, const uint32_t range[2],
                       const char *name, const char *field, vecdb_error *err) {
  if (*value == 0)
    *value = standard;
  if (*value >= range[0] && *value <= range[1])
    return VECDB_OK;
  return vdb_fail_at(err, VECDB_ERR_INDEX_PARAM, -1, field, "%s is %u, outside %u to %u", name,
                     (unsigned)*value, (unsigned)range[0], (unsigned)range[1]);
}

VDB_INTERNAL int vdb_index_params_fill(vecdb_index_params *params, const char *field,
                                       vecdb_error *err) {
  static const uint32_t m_range[2] = {4, VDB_HNSW_MAX_M};
  static const uint32_t ef_construction_range[2] = {8, 4096};
  static const uint32_t ef_range[2] = {1, 16384};
  if (params->type < VECDB_INDEX_AUTO || params->type > VECDB_INDEX_HNSW)
    return vdb_fail_at(err, VECDB_ERR_INDEX_PARAM, -1, field, "index type %d is unknown",
                       (int)params->type);
  VDB_TRY(index_param(&params->m, INDEX_M, m_range, "m", field, err));
  VDB_TRY(index_param(&params->ef_construction, INDEX_EF_CONSTRUCTION, ef_construction_range,
                      "ef_construction", field, err));
  return index_param(&params->ef, INDEX_EF, ef_range, "ef", field, err);
}
