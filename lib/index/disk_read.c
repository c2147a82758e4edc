/*
 * disk_read.c - scratch memory of searches, and blocks under way; see disk.h. A search takes blocks
 * in the order in which it asked for them, so that what it finds does not depend on the disk, nor
 * on which of them were kept in memory (base/hot.h) and are copied from there.
 */
#include "base/hot.h"
#include "base/sum.h"
#include "index/disk.h"

VDB_INTERNAL void vdb_disk_scratch_free(struct vdb_mem *mem, struct vdb_disk_scratch *scratch) {
  if (!scratch)
    return;
  if (scratch->queue)
    scratch->queue->close(scratch->queue);
  vdb_hnsw_scratch_free(mem, scratch->walk);
  vdb_visited_free(&scratch->blocks, mem);
  vdb_free(mem, scratch->query);
  vdb_free(mem, scratch->memory);
  vdb_free(mem, scratch);
}

static bool disk_scratch_fill(const struct vdb_disk *disk, struct vdb_disk_scratch *s) {
  struct vdb_mem *mem = disk->mem;
  struct vdb_sect_source *source = disk->source;
  s->walk = vdb_hnsw_scratch_new(mem, disk->base.vecs.n);
  s->query = vdb_alloc_wide(mem, disk->codes.ops->query_bytes(&disk->codes));
  s->memory = vdb_alloc(mem, (size_t)VDB_DISK_DEPTH * disk->shape.unit + VECDB_BLOCK);
  if (!s->walk || !s->query || !s->memory ||
      !vdb_visited_init(&s->blocks, mem, disk->shape.n_blocks))
    return false;
  s->buffers = s->memory + (VECDB_BLOCK - (uintptr_t)s->memory % VECDB_BLOCK) % VECDB_BLOCK;
  return source->queue(source, VDB_DISK_DEPTH, &s->queue) == 0;
}

VDB_INTERNAL int vdb_disk_take(const struct vdb_disk *disk, struct vdb_disk_scratch **out,
                               vecdb_error *err) {
  struct vdb_disk *shared = (struct vdb_disk *)(uintptr_t)disk; /* the stock may change, alone */
  *out = vdb_stock_take(&shared->stock);
  if (*out)
    return VECDB_OK;
  struct vdb_disk_scratch *scratch = vdb_alloc_zero(disk->mem, sizeof *scratch);
  if (scratch && disk_scratch_fill(disk, scratch)) {
    *out = scratch;
    return VECDB_OK;
  }
  vdb_disk_scratch_free(disk->mem, scratch);
  return vdb_fail_memory(err);
}

VDB_INTERNAL void vdb_disk_give(const struct vdb_disk *disk, struct vdb_disk_scratch *scratch) {
  struct vdb_disk *shared = (struct vdb_disk *)(uintptr_t)disk;
  for (; scratch->under_way > 0; scratch->under_way--) {
    if (!scratch->kept[scratch->first])
      scratch->queue->wait(scratch->queue, &scratch->reads[scratch->first]);
    scratch->first = (scratch->first + 1) % VDB_DISK_DEPTH;
  }
  vdb_visited_clear(&scratch->blocks);
  if (!vdb_stock_give(&shared->stock, scratch))
    vdb_disk_scratch_free(disk->mem, scratch);
}

VDB_INTERNAL bool vdb_disk_start(const struct vdb_disk *disk, struct vdb_disk_scratch *scratch,
                                 uint32_t number) {
  uint32_t slot = (scratch->first + scratch->under_way++) % VDB_DISK_DEPTH;
  const struct vdb_sect_source *source = disk->source;
  size_t unit = disk->shape.unit;
  vecdb_read *read = &scratch->reads[slot];
  *read = (vecdb_read){.buf = scratch->buffers + slot * unit, .n = unit};
  read->offset = source->offset + (uint64_t)number * unit;
  scratch->numbers[slot] = number;
  scratch->kept[slot] =
      source->hot && vdb_hot_get(source->hot, source->owner, number, read->buf, unit);
  if (!scratch->kept[slot])
    scratch->queue->start(scratch->queue, read);
  return !scratch->kept[slot];
}

static int disk_check(const struct vdb_disk *disk, uint32_t number, const uint8_t *block,
                      vecdb_error *err) {
  const struct vdb_disk_shape *shape = &disk->shape;
  const uint32_t *rows = vdb_disk_rows(block);
  struct vdb_disk_head head;
  memcpy(&head, block, sizeof head);
  if (head.sum != vdb_hash64_seed(block + sizeof head.sum, shape->unit - sizeof head.sum, number))
    return vdb_disk_corrupt(err, "the checksum of a block does not match");
  if (head.n > shape->cap)
    return vdb_disk_corrupt(err, "nodes of a block");
  for (uint32_t i = 0; i < head.n; i++)
    if (rows[i] >= disk->base.vecs.n || disk->where[rows[i]] != number)
      return vdb_disk_corrupt(err, "row of a block");
  return VECDB_OK;
}

VDB_INTERNAL int vdb_disk_finish(const struct vdb_disk *disk, struct vdb_disk_scratch *scratch,
                                 const uint8_t **block, vecdb_error *err) {
  vecdb_read *read = &scratch->reads[scratch->first];
  uint32_t number = scratch->numbers[scratch->first];
  bool kept = scratch->kept[scratch->first];
  if (!kept)
    scratch->queue->wait(scratch->queue, read);
  scratch->first = (scratch->first + 1) % VDB_DISK_DEPTH;
  scratch->under_way--;
  *block = read->buf;
  if (kept)
    return VECDB_OK;
  if (read->error)
    return vdb_fail_os(err, read->error, "cannot read", "a block of a DISK index");
  VDB_TRY(disk_check(disk, number, *block, err));
  if (disk->source->hot)
    vdb_hot_put(disk->source->hot, disk->source->owner, number, *block, read->n);
  return VECDB_OK;
}
