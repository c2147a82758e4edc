/*
 * disk_io.c - the sections of a DISK index; see disk.h. Besides those of an HNSW graph without its
 * level 0 (hnsw_io.c):
 *
 *   DSKH  struct disk_header
 *   DSKW  u32 block of each row
 *   DSKP  params of the codes
 *   DSKC  codes, by row
 *   DSKB  blocks, from a multiple of VECDB_BLOCK in the file
 *
 * Opening looks at all but the codes, whose bytes may be anything, and the blocks, which carry
 * checksums of their own.
 */
#include "base/sum.h"
#include "index/disk.h"
#include "index/pq_codes.h"

#define DISK_TAG VDB_TAG('D', 'S', 'K', 'H')
#define DISK_TAG_WHERE VDB_TAG('D', 'S', 'K', 'W')
#define DISK_TAG_CODES_PARAMS VDB_TAG('D', 'S', 'K', 'P')
#define DISK_TAG_CODES VDB_TAG('D', 'S', 'K', 'C')
#define DISK_TAG_BLOCKS VDB_TAG('D', 'S', 'K', 'B')
enum {
  DISK_VERSION = 1,
  DISK_WRITE_BYTES = 1 << 20 /* of blocks that are written at a time */
};

struct disk_header {
  uint32_t version;
  uint32_t unit;
  uint32_t cap;
  uint32_t n_blocks;
};

VDB_INTERNAL int vdb_disk_corrupt(vecdb_error *err, const char *what) {
  return vdb_fail(err, VECDB_ERR_CORRUPT, "the DISK index is damaged: %s", what);
}

/* Where the vectors of `cap` nodes start. */
static uint64_t disk_front(const struct vdb_vecs *vecs, uint32_t width, uint64_t cap) {
  uint64_t words = vecs->metric == VECDB_COSINE ? 2 : 1;
  uint64_t node = (words + width) * sizeof(uint32_t);
  return vdb_round_up(sizeof(struct vdb_disk_head) + cap * node, 64);
}

VDB_INTERNAL struct vdb_disk_shape vdb_disk_shape(const struct vdb_vecs *vecs, uint32_t width,
                                                  uint32_t n_nodes) {
  uint64_t row = vdb_elem_row_bytes(vecs->elem, vecs->dim);
  uint64_t unit = vdb_round_up(disk_front(vecs, width, 1) + row, VECDB_BLOCK);
  uint32_t cap = 1;
  while (cap < VDB_DISK_MAX_CAP && disk_front(vecs, width, cap + 1) + (cap + 1) * row <= unit)
    cap++;
  struct vdb_disk_shape shape = {.unit = (uint32_t)unit,
                                 .cap = cap,
                                 .n_blocks = n_nodes / cap + (n_nodes % cap != 0),
                                 .width = width,
                                 .row_bytes = (uint32_t)row};
  shape.at_norms = (uint32_t)(sizeof(struct vdb_disk_head) + cap * sizeof(uint32_t));
  shape.at_links = shape.at_norms;
  if (vecs->metric == VECDB_COSINE)
    shape.at_links += cap * (uint32_t)sizeof(float);
  shape.at_vectors = (uint32_t)disk_front(vecs, width, cap);
  return shape;
}

/* ---- Writing --------------------------------------------------------------------------------- */

static int disk_section(const struct vdb_index_build *b, uint32_t tag, const void *data, size_t n,
                        vecdb_error *err) {
  VDB_TRY(b->out->begin(b->out, tag, b->number, err));
  if (n > 0)
    VDB_TRY(b->out->append(b->out, data, n, err));
  return b->out->end(b->out, err);
}

static void disk_fill(const struct vdb_disk_parts *p, uint32_t number, uint8_t *block) {
  const struct vdb_disk_shape *shape = &p->shape;
  const struct vdb_vecs *vecs = p->h->b->vecs;
  const uint32_t *rows = p->seq + (size_t)number * shape->cap;
  struct vdb_disk_head head = {0};
  size_t row_bytes = shape->row_bytes, link_bytes = shape->width * sizeof(uint32_t);
  head.n = vdb_min_u32(shape->cap, p->h->n_nodes - number * shape->cap);
  memset(block, 0, shape->unit);
  memcpy(block + sizeof head, rows, head.n * sizeof *rows);
  for (uint32_t i = 0; i < head.n; i++) {
    if (vecs->inv_norms)
      memcpy(block + shape->at_norms + i * sizeof(float), vecs->inv_norms + rows[i], sizeof(float));
    memcpy(block + shape->at_links + i * link_bytes,
           vdb_hnsw_links(&p->h->graph.layers[0], rows[i]), link_bytes);
    memcpy(block + shape->at_vectors + i * row_bytes, vecs->data + rows[i] * vecs->stride,
           row_bytes);
  }
  memcpy(block, &head, sizeof head);
  head.sum = vdb_hash64_seed(block + sizeof head.sum, shape->unit - sizeof head.sum, number);
  memcpy(block, &head.sum, sizeof head.sum);
}

static int disk_write_blocks(const struct vdb_disk_parts *p, vecdb_error *err) {
  const struct vdb_index_build *b = p->h->b;
  const size_t unit = p->shape.unit;
  uint32_t together = (uint32_t)vdb_max_size(DISK_WRITE_BYTES / unit, 1);
  together = vdb_min_u32(together, p->shape.n_blocks);
  uint8_t *blocks = vdb_alloc_wide(b->mem, vdb_max_size(together, 1) * unit);
  if (!blocks)
    return vdb_fail_memory(err);
  int rc = b->out->align(b->out, err);
  if (rc == VECDB_OK)
    rc = b->out->begin(b->out, DISK_TAG_BLOCKS, b->number, err);
  for (uint32_t i = 0, n; rc == VECDB_OK && i < p->shape.n_blocks; i += n) {
    n = vdb_min_u32(together, p->shape.n_blocks - i);
    for (uint32_t k = 0; k < n; k++)
      disk_fill(p, i + k, blocks + k * unit);
    rc = b->out->append(b->out, blocks, n * unit, err);
  }
  vdb_free(b->mem, blocks);
  return rc ? rc : b->out->end(b->out, err);
}

VDB_INTERNAL int vdb_disk_write(const struct vdb_disk_parts *p, vecdb_error *err) {
  const struct vdb_index_build *b = p->h->b;
  const struct vdb_disk_shape *shape = &p->shape;
  struct disk_header header = {DISK_VERSION, shape->unit, shape->cap, shape->n_blocks};
  VDB_TRY(vdb_hnsw_write_top(p->h, err));
  VDB_TRY(disk_section(b, DISK_TAG, &header, sizeof header, err));
  VDB_TRY(disk_section(b, DISK_TAG_WHERE, p->where, b->vecs->n * sizeof *p->where, err));
  VDB_TRY(disk_section(b, DISK_TAG_CODES_PARAMS, p->codes->params, p->codes->params_size, err));
  VDB_TRY(disk_section(b, DISK_TAG_CODES, p->codes->data, p->codes->data_size, err));
  return disk_write_blocks(p, err);
}

/* ---- Opening --------------------------------------------------------------------------------- */

static int disk_find(const struct vdb_sect_reader *in, uint32_t tag, uint32_t number,
                     const void **data, size_t *n, vecdb_error *err) {
  *data = NULL;
  *n = 0;
  /* codes are rows in another form: verified when the rows are */
  VDB_TRY(in->find(in, tag, number, tag == DISK_TAG_CODES, data, n, err));
  return *data ? VECDB_OK : vdb_disk_corrupt(err, "a section is missing");
}

/* Nodes are the rows that are no copies, so the header follows from what is known. */
static int disk_open_shape(struct vdb_disk *disk, const struct vdb_sect_reader *in, uint32_t number,
                           vecdb_error *err) {
  const struct vdb_hnsw_graph *graph = &disk->graph;
  struct disk_header header;
  const void *data;
  size_t n;
  VDB_TRY(disk_find(in, DISK_TAG, number, &data, &n, err));
  if (n != sizeof header)
    return vdb_disk_corrupt(err, "size of the header");
  memcpy(&header, data, sizeof header);
  if (header.version > DISK_VERSION)
    return vdb_fail(err, VECDB_ERR_NEWER_FORMAT, "the DISK index has format %u, known is %u",
                    (unsigned)header.version, (unsigned)DISK_VERSION);
  uint32_t n_nodes = disk->base.vecs.n - graph->copies.n;
  struct vdb_disk_shape *shape = &disk->shape;
  *shape = vdb_disk_shape(&disk->base.vecs, graph->layers[0].width, n_nodes);
  if (header.version != DISK_VERSION || header.unit != shape->unit || header.cap != shape->cap ||
      header.n_blocks != shape->n_blocks || (disk->base.vecs.n > 0 && n_nodes == 0))
    return vdb_disk_corrupt(err, "header");
  return VECDB_OK;
}

static int disk_open_where(struct vdb_disk *disk, const struct vdb_sect_reader *in, uint32_t number,
                           vecdb_error *err) {
  const void *data;
  size_t n;
  VDB_TRY(disk_find(in, DISK_TAG_WHERE, number, &data, &n, err));
  if (n != disk->base.vecs.n * sizeof *disk->where)
    return vdb_disk_corrupt(err, "size of the places");
  disk->where = data;
  for (uint32_t row = 0; row < disk->base.vecs.n; row++)
    if (disk->where[row] >= disk->shape.n_blocks)
      return vdb_disk_corrupt(err, "place of a row");
  return VECDB_OK;
}

static int disk_open_codes(struct vdb_disk *disk, const struct vdb_sect_reader *in, uint32_t number,
                           vecdb_error *err) {
  const void *params, *data;
  struct vdb_codes codes = {0};
  VDB_TRY(disk_find(in, DISK_TAG_CODES_PARAMS, number, &params, &codes.params_size, err));
  VDB_TRY(disk_find(in, DISK_TAG_CODES, number, &data, &codes.data_size, err));
  if (disk->base.vecs.n == 0)
    return codes.params_size + codes.data_size == 0 ? VECDB_OK : vdb_disk_corrupt(err, "codes");
  codes.params = params;
  codes.data = data;
  if (!vdb_pq_codes_ops()->fits(&disk->base.vecs))
    return vdb_disk_corrupt(err, "codes");
  VDB_TRY(vdb_pq_codes_ops()->open(disk->mem, &disk->base.vecs, &codes, err));
  disk->codes = codes;
  return VECDB_OK;
}

VDB_INTERNAL int vdb_disk_open_parts(struct vdb_disk *disk, const struct vdb_sect_reader *in,
                                     uint32_t number, vecdb_error *err) {
  uint32_t unused;
  VDB_TRY(vdb_hnsw_read_top(in, number, &disk->base.vecs, &disk->graph, &unused, err));
  VDB_TRY(disk_open_shape(disk, in, number, err));
  VDB_TRY(disk_open_where(disk, in, number, err));
  VDB_TRY(disk_open_codes(disk, in, number, err));
  VDB_TRY(in->source(in, DISK_TAG_BLOCKS, number, &disk->source, err));
  if (!disk->source)
    return vdb_disk_corrupt(err, "a section is missing");
  if (disk->source->length != (uint64_t)disk->shape.n_blocks * disk->shape.unit)
    return vdb_disk_corrupt(err, "size of the blocks");
  return VECDB_OK;
}
