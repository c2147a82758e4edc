/*
 * disk_build.c - building a DISK index; see disk.h. The graph is that of HNSW. Nodes that share a
 * block are read together, so they should be wanted together: each block is filled from a node that
 * has no place yet with its nearest links that have none, then theirs. The next block begins at a
 * link of the nodes placed first, so that near blocks hold near nodes.
 */
#include "index/disk.h"
#include "index/pq_codes.h"

struct disk_pack {
  const struct vdb_hnsw_builder *h;
  uint32_t *seq;   /* rows in the order of their places */
  uint32_t *where; /* block of each row, or NONE */
  uint32_t n;      /* places filled */
  uint32_t cap;
};

/* Puts links of a node that have no place into places up to `end`. */
static void disk_pack_links(struct disk_pack *p, uint32_t node, uint32_t end) {
  const struct vdb_hnsw_layer *layer = &p->h->graph.layers[0];
  const uint32_t *links = vdb_hnsw_links(layer, node);
  for (uint32_t i = 0; i < layer->width && links[i] != VDB_HNSW_NONE && p->n < end; i++) {
    if (p->where[links[i]] != VDB_HNSW_NONE)
      continue;
    p->where[links[i]] = p->n / p->cap;
    p->seq[p->n++] = links[i];
  }
}

/* The order of insertion is only looked at for nodes that no placed one leads to: none, as level 0
   is connected. */
static void disk_pack(struct disk_pack *p) {
  const struct vdb_hnsw_builder *h = p->h;
  uint32_t from = 0, next = 0;
  while (p->n < h->n_nodes) {
    uint32_t block = p->n / p->cap;
    uint32_t first = p->n;
    for (; from < first && p->n == first; from += p->n == first)
      disk_pack_links(p, p->seq[from], first + 1);
    for (; p->n == first; next++)
      if (p->where[h->order[next]] == VDB_HNSW_NONE) {
        p->where[h->order[next]] = block;
        p->seq[p->n++] = h->order[next];
      }
    uint32_t end = (block + 1) * p->cap;
    for (uint32_t i = first; i < p->n; i++)
      disk_pack_links(p, p->seq[i], vdb_min_u32(end, h->n_nodes));
  }
  const struct vdb_hnsw_copies *copies = &h->graph.copies;
  for (uint32_t g = 0, i = 0; g < copies->n_groups; g++)
    for (; i < copies->ends[g]; i++)
      p->where[copies->rows[i]] = p->where[copies->firsts[g]];
}

static int disk_codes(const struct vdb_hnsw_builder *h, struct vdb_codes *out, vecdb_error *err) {
  const struct vdb_index_build *b = h->b;
  struct vdb_codes_make make = {b->mem,   b->vecs,    b->par, &b->params,
                                h->order, h->n_nodes, b->seed};
  return vdb_pq_codes_ops()->make(&make, out, err);
}

/* Takes the place of vdb_hnsw_write. */
static int disk_write(const struct vdb_hnsw_builder *h, vecdb_error *err) {
  struct vdb_mem *mem = h->b->mem;
  uint32_t n = h->b->vecs->n;
  struct vdb_codes codes = {0};
  struct vdb_disk_parts parts = {.h = h, .codes = &codes};
  parts.shape = vdb_disk_shape(h->b->vecs, h->graph.layers[0].width, h->n_nodes);
  if (n == 0)
    return vdb_disk_write(&parts, err);
  struct disk_pack pack = {.h = h, .cap = parts.shape.cap};
  pack.seq = vdb_alloc_array(mem, n, sizeof *pack.seq);
  pack.where = vdb_alloc_array(mem, n, sizeof *pack.where);
  int rc = pack.seq && pack.where ? disk_codes(h, &codes, err) : vdb_fail_memory(err);
  if (rc == VECDB_OK) {
    memset(pack.where, 0xff, n * sizeof *pack.where);
    disk_pack(&pack);
    parts.seq = pack.seq;
    parts.where = pack.where;
    rc = vdb_disk_write(&parts, err);
    codes.ops->close(mem, &codes, true);
  }
  vdb_free(mem, pack.seq);
  vdb_free(mem, pack.where);
  return rc;
}

VDB_INTERNAL int vdb_disk_build(const struct vdb_index_build *b, vecdb_error *err) {
  return vdb_hnsw_build_as(b, disk_write, err);
}
