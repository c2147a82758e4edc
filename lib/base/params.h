/* params.h - index parameters as bytes, for schemas and the manifest. */
#ifndef VDB_PARAMS_H
#define VDB_PARAMS_H

#include "base/bytes.h"

enum { VDB_PARAMS_BYTES = 13 * 4 }; /* all but the size */

VDB_INLINE void vdb_params_write(struct vdb_writer *w, const vecdb_index_params *p) {
  uint32_t recall;
  memcpy(&recall, &p->recall, sizeof recall);
  const uint32_t numbers[] = {(uint32_t)p->type,   p->m,     p->ef_construction,
                              p->ef,               p->nlist, p->nprobe,
                              p->pq_m,             p->nbits, (uint32_t)p->refine,
                              (uint32_t)p->rotation, recall};
  vdb_write_bytes(w, numbers, sizeof numbers);
  vdb_write_u64(w, p->memory_bytes);
}

/* The size is left to the caller. */
VDB_INLINE void vdb_params_read(struct vdb_reader *r, vecdb_index_params *p) {
  p->type = (int32_t)vdb_read_u32(r);
  p->m = vdb_read_u32(r);
  p->ef_construction = vdb_read_u32(r);
  p->ef = vdb_read_u32(r);
  p->nlist = vdb_read_u32(r);
  p->nprobe = vdb_read_u32(r);
  p->pq_m = vdb_read_u32(r);
  p->nbits = vdb_read_u32(r);
  p->refine = (int32_t)vdb_read_u32(r);
  p->rotation = (int32_t)vdb_read_u32(r);
  uint32_t recall = vdb_read_u32(r);
  memcpy(&p->recall, &recall, sizeof recall);
  p->memory_bytes = vdb_read_u64(r);
}

#endif
