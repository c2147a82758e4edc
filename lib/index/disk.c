/* disk.c - the table of the DISK index, opening and closing; see disk.h. */
#include "index/disk.h"

static void disk_close(struct vdb_mem *mem, struct vdb_index *index) {
  struct vdb_disk *disk = (struct vdb_disk *)index;
  if (!disk)
    return;
  for (void *scratch; (scratch = vdb_stock_take(&disk->stock)) != NULL;)
    vdb_disk_scratch_free(mem, scratch);
  if (disk->source)
    disk->source->close(disk->source);
  if (disk->codes.ops)
    disk->codes.ops->close(mem, &disk->codes, false);
  vdb_free(mem, disk->graph.copies.has);
  vdb_free(mem, disk);
}

static int disk_open(struct vdb_mem *mem, const struct vdb_sect_reader *in, uint32_t number,
                     const struct vdb_vecs *vecs, struct vdb_index **out, vecdb_error *err) {
  *out = NULL;
  struct vdb_disk *disk = vdb_alloc_zero(mem, sizeof *disk);
  if (!disk)
    return vdb_fail_memory(err);
  disk->base.ops = vdb_disk_ops();
  disk->base.vecs = *vecs;
  disk->mem = mem;
  vdb_stock_init(&disk->stock);
  int rc = vdb_disk_open_parts(disk, in, number, err);
  if (rc == VECDB_OK)
    rc = vdb_hnsw_mark_copies(mem, vecs->n, &disk->graph.copies, err);
  if (rc != VECDB_OK) {
    disk_close(mem, &disk->base);
    return rc;
  }
  *out = &disk->base;
  return VECDB_OK;
}

static void disk_traits(const struct vdb_index *index, struct vdb_index_traits *out) {
  const struct vdb_disk *disk = (const struct vdb_disk *)index;
  const struct vdb_hnsw_graph *graph = &disk->graph;
  memset(out, 0, sizeof *out);
  for (uint32_t l = 1; l < graph->n_layers; l++)
    out->memory += (uint64_t)graph->layers[l].n * graph->layers[l].width * sizeof(uint32_t);
  out->memory += (uint64_t)index->vecs.n * sizeof *disk->where + disk->codes.data_size;
  out->scans = disk->codes.ops != NULL;
  out->walk_bytes = (uint32_t)disk->codes.stride;
  out->links = disk->shape.width / 2;
  out->reads = true;
}

/* Reads the blocks of the rows, to be kept where blocks are (base/hot.h), or by the system. */
static int disk_warm_blocks(const struct vdb_disk *disk, const struct vdb_index_warm *w,
                            struct vdb_disk_scratch *scratch, vecdb_error *err) {
  uint32_t n = disk->base.vecs.n, turn = 0;
  const uint8_t *block;
  for (uint32_t row = vdb_index_warm_next(w, n, 0, &turn); row < n;
       row = vdb_index_warm_next(w, n, row + 1, &turn)) {
    vdb_codes_touch(&disk->codes, row);
    if (!vdb_visited_add(&scratch->blocks, disk->where[row]))
      continue;
    if (scratch->under_way == VDB_DISK_DEPTH)
      VDB_TRY(vdb_disk_finish(disk, scratch, &block, err));
    vdb_disk_start(disk, scratch, disk->where[row]);
  }
  while (scratch->under_way > 0)
    VDB_TRY(vdb_disk_finish(disk, scratch, &block, err));
  return VECDB_OK;
}

static int disk_warm(const struct vdb_index *index, const struct vdb_index_warm *w,
                     vecdb_error *err) {
  const struct vdb_disk *disk = (const struct vdb_disk *)index;
  struct vdb_disk_scratch *scratch;
  if (disk->graph.n_layers == 0)
    return VECDB_OK;
  VDB_TRY(vdb_disk_take(disk, &scratch, err));
  int rc = disk_warm_blocks(disk, w, scratch, err);
  vdb_disk_give(disk, scratch);
  return rc;
}

VDB_INTERNAL const struct vdb_index_ops *vdb_disk_ops(void) {
  static const struct vdb_index_ops ops = {.name = "disk",
                                           .effort = VDB_EFFORT_EF,
                                           .build = vdb_disk_build,
                                           .open = disk_open,
                                           .close = disk_close,
                                           .search = vdb_disk_search,
                                           .traits = disk_traits,
                                           .scan = vdb_disk_scan,
                                           .warm = disk_warm};
  return &ops;
}
