/* growing.c - chunked columns in memory; see growing.h. */
#include "seg/growing.h"

#include "base/check.h"
#include "base/sum.h"

enum { GROWING_BLOCK_BYTES = 64 << 10, GROWING_BLOCKS_PER_FIELD = 3 };

VDB_INTERNAL uint64_t vdb_seg_key_hash(struct vdb_bytes key) {
  return vdb_hash64(key.data, key.n);
}

static void growing_chunk_free(struct vdb_mem *mem, struct vdb_growing_chunk *chunk,
                               uint32_t n_fields) {
  if (!chunk)
    return;
  for (uint32_t i = 0; chunk->blocks && i < n_fields * GROWING_BLOCKS_PER_FIELD; i++)
    vdb_free(mem, chunk->blocks[i]);
  vdb_free(mem, chunk->blocks);
  vdb_free(mem, chunk->vecs);
  vdb_free(mem, chunk->columns);
  vdb_free(mem, chunk);
}

/* Memory for VDB_CHUNK_ROWS values of one field. */
static bool growing_chunk_field(struct vdb_mem *mem, const struct vdb_field *field,
                                struct vdb_growing_chunk *chunk, uint32_t f) {
  struct vdb_column *column = &chunk->columns[f];
  void **blocks = &chunk->blocks[(size_t)f * GROWING_BLOCKS_PER_FIELD];
  column->type = field->type;
  column->element_type = field->element_type;
  column->width = field->width;
  size_t width = field->width ? field->width : sizeof(struct vdb_bytes);
  blocks[0] = vdb_alloc_wide(mem, width * VDB_CHUNK_ROWS);
  if (!blocks[0])
    return false;
  if (field->width)
    column->data = blocks[0];
  else
    column->refs = blocks[0];
  if (field->flags & VECDB_NULLABLE) {
    column->nulls = blocks[1] = vdb_alloc_zero(mem, VDB_CHUNK_ROWS);
    if (!blocks[1])
      return false;
  }
  if (!vdb_type_is_dense(field->type))
    return true;
  struct vdb_vecs *vecs = &chunk->vecs[f];
  vecs->data = column->data;
  vecs->stride = field->width;
  vecs->dim = field->dim;
  vecs->elem = vdb_elem_of(field->type);
  vecs->metric = field->metric;
  vecs->kern = vdb_kern_for(vecs->elem, field->metric);
  vecs->n = VDB_CHUNK_ROWS;
  if (field->metric == VECDB_COSINE) {
    vecs->inv_norms = blocks[2] = vdb_alloc_wide(mem, VDB_CHUNK_ROWS * sizeof(float));
    return blocks[2] != NULL;
  }
  return true;
}

static struct vdb_growing_chunk *growing_chunk_new(struct vdb_mem *mem,
                                                   const struct vdb_schema *schema) {
  struct vdb_growing_chunk *chunk = vdb_alloc_zero(mem, sizeof *chunk);
  if (!chunk)
    return NULL;
  uint32_t n = schema->n_fields;
  chunk->columns = vdb_alloc_zero(mem, n * sizeof *chunk->columns);
  chunk->vecs = vdb_alloc_zero(mem, n * sizeof *chunk->vecs);
  chunk->blocks = vdb_alloc_zero(mem, n * GROWING_BLOCKS_PER_FIELD * sizeof(void *));
  bool ok = chunk->columns && chunk->vecs && chunk->blocks;
  for (uint32_t f = 0; ok && f < n; f++)
    ok = growing_chunk_field(mem, &schema->fields[f], chunk, f);
  if (!ok) {
    growing_chunk_free(mem, chunk, n);
    return NULL;
  }
  return chunk;
}

VDB_INTERNAL int vdb_growing_new(struct vdb_env *env, const struct vdb_schema *schema, uint64_t id,
                                 uint32_t capacity, struct vdb_seg **out, vecdb_error *err) {
  vdb_assert(capacity > 0 && capacity <= VDB_SEG_MAX_ROWS);
  struct vdb_mem *mem = vdb_env_for(env, VDB_FOR_ROWS);
  *out = NULL;
  struct vdb_seg *seg = vdb_alloc_zero(mem, sizeof *seg);
  if (!seg)
    return vdb_fail_memory(err);
  atomic_init(&seg->refs, 1);
  seg->env = env;
  seg->schema = schema;
  seg->id = id;
  struct vdb_growing *g = seg->growing = vdb_alloc_zero(mem, sizeof *g);
  seg->tombs = vdb_tombs_new(mem, capacity);
  if (!g || !seg->tombs) {
    vdb_seg_unref(seg);
    return vdb_fail_memory(err);
  }
  g->capacity = capacity;
  g->n_chunks = (capacity + VDB_CHUNK_ROWS - 1) / VDB_CHUNK_ROWS;
  g->chunks = vdb_alloc_zero(mem, g->n_chunks * sizeof(struct vdb_growing_chunk *));
  uint64_t slots = vdb_keymap_slots(capacity);
  g->keys.slots = vdb_alloc_zero(mem, slots * sizeof(uint64_t));
  g->keys.mask = slots - 1;
  if (!g->chunks || !g->keys.slots) {
    vdb_seg_unref(seg);
    return vdb_fail_memory(err);
  }
  *out = seg;
  return VECDB_OK;
}

VDB_INTERNAL void vdb_growing_free(struct vdb_seg *seg) {
  struct vdb_growing *g = seg->growing;
  struct vdb_mem *mem = vdb_env_for(seg->env, VDB_FOR_ROWS);
  if (!g)
    return;
  for (uint32_t c = 0; g->chunks && c < g->n_chunks; c++)
    growing_chunk_free(mem, g->chunks[c], seg->schema->n_fields);
  while (g->block) {
    struct vdb_growing_block *next = g->block->next;
    vdb_free(mem, g->block);
    g->block = next;
  }
  vdb_free(mem, g->chunks);
  vdb_free(mem, (void *)g->keys.slots);
  vdb_free(mem, g);
  seg->growing = NULL;
}

/* Bytes of the variable values of a batch. */
static size_t growing_variable_bytes(const struct vdb_batch *batch) {
  size_t total = 0;
  for (uint32_t f = 0; f < batch->n_columns; f++) {
    const struct vdb_column *c = &batch->columns[f];
    if (!c->width)
      total += (size_t)(c->offsets[batch->n_rows] - c->offsets[0]);
  }
  return total;
}

VDB_INTERNAL int vdb_growing_reserve(struct vdb_seg *seg, const struct vdb_batch *batch,
                                     vecdb_error *err) {
  struct vdb_growing *g = seg->growing;
  struct vdb_mem *mem = vdb_env_for(seg->env, VDB_FOR_ROWS);
  vdb_assert(batch->n_rows <= g->capacity - g->n_rows);
  uint32_t last = (g->n_rows + batch->n_rows - 1) / VDB_CHUNK_ROWS;
  for (uint32_t c = g->n_rows / VDB_CHUNK_ROWS; c <= last; c++) {
    if (!g->chunks[c])
      g->chunks[c] = growing_chunk_new(mem, seg->schema);
    if (!g->chunks[c])
      return vdb_fail_memory(err);
  }
  size_t need = growing_variable_bytes(batch);
  if (!g->block || g->block->capacity - g->block->used < need) {
    size_t capacity = vdb_max_size(need, GROWING_BLOCK_BYTES);
    struct vdb_growing_block *block = vdb_alloc(mem, sizeof *block + capacity);
    if (!block)
      return vdb_fail_memory(err);
    block->next = g->block;
    block->used = 0;
    block->capacity = capacity;
    g->block = block;
  }
  return VECDB_OK;
}

/* Copies `n` rows of a batch's column, from row `from` on, to rows `to` .. of a chunk's column. */
static void growing_copy(struct vdb_growing *g, const struct vdb_column *in, uint32_t from,
                         const struct vdb_column *out, uint32_t to, uint32_t n) {
  if (out->nulls) {
    uint8_t *nulls = (uint8_t *)(uintptr_t)out->nulls + to;
    if (in->nulls)
      memcpy(nulls, in->nulls + from, n);
    else
      memset(nulls, 0, n);
  }
  if (in->width) {
    memcpy((uint8_t *)(uintptr_t)out->data + (size_t)to * in->width,
           in->data + (size_t)from * in->width, (size_t)n * in->width);
    return;
  }
  struct vdb_bytes *refs = (struct vdb_bytes *)(uintptr_t)out->refs + to;
  for (uint32_t i = 0; i < n; i++) {
    struct vdb_bytes value = vdb_column_bytes(in, from + i);
    uint8_t *copy = g->block->data + g->block->used;
    memcpy(copy, value.data, value.n);
    g->block->used += value.n;
    refs[i].data = copy;
    refs[i].n = value.n;
  }
}

static void growing_norms(const struct vdb_vecs *vecs, uint32_t first, uint32_t n) {
  float *inv_norms = (float *)(uintptr_t)vecs->inv_norms;
  for (uint32_t row = first; row < first + n; row++) {
    const void *vector = vecs->data + (size_t)row * vecs->stride;
    inv_norms[row] = vdb_inv_norm(vdb_vec_norm(vector, vecs->elem, vecs->dim));
  }
}

VDB_INTERNAL void vdb_growing_append(struct vdb_seg *seg, const struct vdb_batch *batch,
                                     uint64_t seq) {
  struct vdb_growing *g = seg->growing;
  vdb_assert(!g->frozen && seq > g->last_seq);
  for (uint32_t done = 0; done < batch->n_rows;) {
    uint32_t row = g->n_rows + done;
    uint32_t at = row % VDB_CHUNK_ROWS;
    uint32_t n = vdb_min_u32(VDB_CHUNK_ROWS - at, batch->n_rows - done);
    struct vdb_growing_chunk *chunk = g->chunks[row / VDB_CHUNK_ROWS];
    for (uint32_t f = 0; f < batch->n_columns; f++) {
      growing_copy(g, &batch->columns[f], done, &chunk->columns[f], at, n);
      if (chunk->vecs[f].inv_norms)
        growing_norms(&chunk->vecs[f], at, n);
    }
    done += n;
  }
  const struct vdb_column *keys = &batch->columns[seg->schema->key];
  for (uint32_t i = 0; i < batch->n_rows; i++)
    vdb_keymap_insert(&g->keys, vdb_seg_key_hash(vdb_key_of(keys, i)), g->n_rows + i);
  g->n_rows += batch->n_rows;
  g->last_seq = seq;
  for (uint32_t f = 0; f < batch->n_columns; f++)
    g->bytes += (uint64_t)batch->n_rows * batch->columns[f].width;
  g->bytes += growing_variable_bytes(batch);
}

VDB_INTERNAL struct vdb_growing_mark vdb_growing_mark(const struct vdb_seg *seg) {
  const struct vdb_growing *g = seg->growing;
  struct vdb_growing_mark mark = {g->block, g->block ? g->block->used : 0, g->n_rows, g->bytes,
                                  g->last_seq};
  return mark;
}

VDB_INTERNAL void vdb_growing_truncate(struct vdb_seg *seg, struct vdb_growing_mark mark) {
  struct vdb_growing *g = seg->growing;
  struct vdb_seg_view all = {seg, g->n_rows};
  vdb_assert(mark.n_rows <= g->n_rows);
  for (uint32_t row = mark.n_rows; row < g->n_rows; row++)
    vdb_keymap_remove(&g->keys, vdb_seg_key_hash(vdb_seg_key(&all, row)), row);
  if (mark.block) /* else writes that fail over and over would take memory each time */
    mark.block->used = mark.used;
  g->n_rows = mark.n_rows;
  g->bytes = mark.bytes;
  g->last_seq = mark.last_seq;
}
