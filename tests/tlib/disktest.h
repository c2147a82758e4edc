/* disktest.h - what the tests of the DISK index share: building and opening made data. */
#ifndef DISKTEST_H
#define DISKTEST_H

#include "index/disk.h"
#include "ixtest.h"

static inline int disk_build(struct vdb_mem *mem, const struct ix_data *d, unsigned workers,
                             struct ix_sections *out, vecdb_error *err) {
  vecdb_index_params params = VECDB_INDEX_PARAMS_INIT;
  params.type = VECDB_INDEX_DISK;
  params.m = 8;
  params.ef_construction = 80;
  return ix_build_with(mem, d, workers, params, out, err);
}

static inline int disk_open(struct vdb_mem *mem, const struct ix_data *d,
                            const struct ix_sections *in, struct vdb_index **out,
                            vecdb_error *err) {
  return vdb_disk_ops()->open(mem, &in->reader, 3, &d->vecs, out, err);
}

static inline struct ix_section *disk_section(struct ix_sections *all, uint32_t tag) {
  for (size_t i = 0; i < all->n; i++)
    if (all->items[i].tag == tag)
      return &all->items[i];
  abort();
}

#define DISK_BLOCKS VDB_TAG('D', 'S', 'K', 'B')
#define DISK_WHERE VDB_TAG('D', 'S', 'K', 'W')

#endif
