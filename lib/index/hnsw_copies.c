/*
 * hnsw_copies.c - rows with equal bytes; see hnsw.h. A hundred copies of a vector would find only
 * each other as neighbours, close themselves off from the graph, and fill the pool of a search. So
 * only the first of them, in the order of insertion, becomes a node; the others stand in a table
 * beside the graph and join the results where their first does.
 */
#include "base/bitmap.h"
#include "base/sum.h"
#include "index/hnsw.h"

struct copies_work {
  struct vdb_hnsw_builder *h;
  uint32_t *table;    /* hash table of the firsts so far, by number */
  uint32_t *first_of; /* the first of each row */
  uint32_t *ends;     /* while sorting: where the next copy of each first goes */
  size_t mask;
};

/* The slot of the first with the same bytes, or an empty one. */
static uint32_t *copies_slot(const struct copies_work *c, uint32_t row) {
  const struct vdb_vecs *v = c->h->b->vecs;
  size_t bytes = vdb_elem_row_bytes(v->elem, v->dim);
  const uint8_t *data = v->data + (size_t)row * v->stride;
  size_t i = vdb_hash64(data, bytes) & c->mask;
  while (c->table[i] != VDB_HNSW_NONE &&
         memcmp(v->data + (size_t)c->table[i] * v->stride, data, bytes) != 0)
    i = (i + 1) & c->mask;
  return &c->table[i];
}

/* Finds the first of each row, and leaves only firsts in the order of insertion. */
static void copies_find(struct copies_work *c) {
  struct vdb_hnsw_builder *h = c->h;
  h->n_nodes = 0;
  for (uint32_t p = 0; p < h->b->vecs->n; p++) {
    uint32_t row = h->order[p];
    uint32_t *slot = copies_slot(c, row);
    if (*slot == VDB_HNSW_NONE) {
      *slot = row;
      h->order[h->n_nodes++] = row;
    }
    c->first_of[row] = *slot;
  }
}

/* Lists the copies by first, all in ascending order. */
static int copies_list(struct copies_work *c, struct vdb_hnsw_copies *out, vecdb_error *err) {
  struct vdb_mem *mem = c->h->b->mem;
  uint32_t n = c->h->b->vecs->n;
  out->n = n - c->h->n_nodes;
  c->ends = vdb_alloc_zero(mem, (size_t)n * sizeof *c->ends);
  uint32_t *block = vdb_alloc_array(mem, 3 * (size_t)out->n, sizeof *block); /* groups <= copies */
  c->h->copies_block = block;
  if (!c->ends || !block)
    return vdb_fail_memory(err);
  uint32_t *firsts = block;
  uint32_t *ends = block + out->n;
  uint32_t *rows = block + 2 * (size_t)out->n;
  for (uint32_t row = 0; row < n; row++)
    c->ends[c->first_of[row]] += c->first_of[row] != row;
  uint32_t end = 0;
  for (uint32_t row = 0; row < n; row++) {
    uint32_t count = c->ends[row];
    c->ends[row] = end;
    end += count;
    if (count == 0)
      continue;
    firsts[out->n_groups] = row;
    ends[out->n_groups++] = end;
  }
  for (uint32_t row = 0; row < n; row++)
    if (c->first_of[row] != row)
      rows[c->ends[c->first_of[row]]++] = row;
  out->firsts = firsts;
  out->ends = ends;
  out->rows = rows;
  return VECDB_OK;
}

VDB_INTERNAL int vdb_hnsw_find_copies(struct vdb_hnsw_builder *h, vecdb_error *err) {
  struct copies_work c = {0};
  struct vdb_mem *mem = h->b->mem;
  size_t slots = 16;
  int rc = VECDB_OK;
  while (slots < 2 * (size_t)h->b->vecs->n)
    slots *= 2;
  c.h = h;
  c.mask = slots - 1;
  c.table = vdb_alloc_array(mem, slots, sizeof *c.table);
  c.first_of = vdb_alloc_array(mem, h->b->vecs->n, sizeof *c.first_of);
  if (!c.table || !c.first_of) {
    rc = vdb_fail_memory(err);
  } else {
    memset(c.table, 0xff, slots * sizeof *c.table);
    copies_find(&c);
    if (h->n_nodes < h->b->vecs->n)
      rc = copies_list(&c, &h->graph.copies, err);
  }
  h->first_of = c.first_of;
  vdb_free(mem, c.ends);
  vdb_free(mem, c.table);
  return rc;
}

VDB_INTERNAL uint32_t vdb_hnsw_copies_of(const struct vdb_hnsw_copies *copies, uint32_t row,
                                         const uint32_t **rows) {
  if (!copies->has || !vdb_bit_get(copies->has, row))
    return 0;
  uint32_t low = 0;
  for (uint32_t high = copies->n_groups; low < high;) {
    uint32_t middle = low + (high - low) / 2;
    if (copies->firsts[middle] < row)
      low = middle + 1;
    else
      high = middle;
  }
  uint32_t start = low > 0 ? copies->ends[low - 1] : 0;
  *rows = copies->rows + start;
  return copies->ends[low] - start;
}
