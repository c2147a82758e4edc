/*
 * ivf_io.c - the sections of an IVF index; see ivf.h. Beside these it has those of the transform
 * (VTRF) and of a quantizer, where it has one.
 *
 *   IVFH  struct ivf_header
 *   IVFC  f32 scales[n_lists], f32 biases[n_lists], then 64-byte aligned i8 codes[n_lists][stride]
 *   IVFS  the centroids in one bit an element, in blocks;
 *         no section without
 *   IVFO  f32 spreads[n_lists], f32 reach[16], by which lists are ordered and chosen; no section in
 *         older files
 *   IVFL  u32 starts[n_lists + 1]: the blocks of each list
 *   IVFR  u32 rows[n_blocks * 32]: of the slots
 *   IVFB  the blocks
 *   IVFG  f32 centroids[n_lists][dim], f32 shift[dim], and under another number the sections of an
 *         HNSW index over them; empty without a graph
 *   IVCP  what the codes of all rows have learnt; empty without codes
 *   IVCD  the codes of all rows; empty without codes
 *   IVF2  the rows in 16 bits; no section without, nor in files of version 1
 *
 * Numbers are little-endian. All but the header are borrowed as they lie. Sizes and starts are held
 * against each other and against the rows at open; a row of a slot when it is used, as it is one of
 * few, and then skipped if there is no such row. Whatever blocks and codes are, comparing them is
 * safe.
 */
#include "base/check.h"
#include "index/half_rows.h"
#include "index/ivf.h"
#include "index/ivf_build.h"
#include "index/pq.h"
#include "index/rabitq.h"
#include "index/sq.h"

#define IVF_TAG VDB_TAG('I', 'V', 'F', 'H')
#define IVF_TAG_CENTROIDS VDB_TAG('I', 'V', 'F', 'C')
#define IVF_TAG_SIGNS VDB_TAG('I', 'V', 'F', 'S')
#define IVF_TAG_ORDER VDB_TAG('I', 'V', 'F', 'O')
#define IVF_TAG_STARTS VDB_TAG('I', 'V', 'F', 'L')
#define IVF_TAG_ROWS VDB_TAG('I', 'V', 'F', 'R')
#define IVF_TAG_BLOCKS VDB_TAG('I', 'V', 'F', 'B')
#define IVF_TAG_GRAPH VDB_TAG('I', 'V', 'F', 'G')
#define IVF_TAG_CODES_PARAMS VDB_TAG('I', 'V', 'C', 'P')
#define IVF_TAG_CODES VDB_TAG('I', 'V', 'C', 'D')
#define IVF_TAG_F16 VDB_TAG('I', 'V', 'F', '2')
enum { IVF_VERSION = 2, IVF_MAX_LISTS = 1 << 20 };

enum ivf_exact { IVF_BY_CODES, IVF_BY_ROWS, IVF_BY_F16 };

struct ivf_header {
  uint32_t version;
  uint32_t n;
  uint32_t dim;
  uint32_t elem;
  int32_t metric;
  uint32_t code;      /* enum vdb_ivf_code */
  uint32_t n_lists;   /* 0 when there are no rows */
  uint32_t n_blocks;
  uint32_t n_entries; /* rows in all lists */
  uint32_t codes;     /* id of the codes of all rows; 0: none */
  uint32_t exact;     /* enum ivf_exact: what the best are scored by */
  float max_norm;
  float max_error;
  uint32_t graph; /* 0: none of the centroids, 1: by distance, 2: by inner product */
  uint32_t signs;   /* 0 or 1: of the centroids */
  uint32_t ordered; /* 0 or 1: by spreads; 0 in older files */
};
_Static_assert(sizeof(struct ivf_header) == 64, "the header has no holes");

/* ---- Writing --------------------------------------------------------------------------------- */

enum { IVF_GROUP = 2048 }; /* blocks coded at a time */

struct ivf_part {
  const void *data;
  size_t n;
};

static int ivf_write_parts(struct vdb_ivf_builder *h, uint32_t tag, const struct ivf_part *parts,
                           size_t n_parts, vecdb_error *err) {
  struct vdb_sect_writer *out = h->b->out;
  VDB_TRY(out->begin(out, tag, h->b->number, err));
  for (size_t i = 0; i < n_parts; i++)
    if (parts[i].n > 0)
      VDB_TRY(out->append(out, parts[i].data, parts[i].n, err));
  return out->end(out, err);
}

static int ivf_append_blocks(struct vdb_ivf_builder *h, uint8_t *memory, vecdb_error *err) {
  struct vdb_sect_writer *out = h->b->out;
  uint32_t n_blocks = h->n_lists ? h->starts[h->n_lists] : 0;
  uint32_t rows = h->b->vecs->n;
  for (uint32_t first = 0, n; first < n_blocks; first += n) {
    n = vdb_min_u32(n_blocks - first, IVF_GROUP);
    vdb_ivf_code_blocks(h, first, n, memory);
    VDB_TRY(out->append(out, memory, n * h->coder.block_bytes, err));
    uint64_t done = (uint64_t)rows * (first + n) / n_blocks - (uint64_t)rows * first / n_blocks;
    VDB_TRY(vdb_ivf_progress(h, done, err));
  }
  return VECDB_OK;
}

static int ivf_write_blocks(struct vdb_ivf_builder *h, vecdb_error *err) {
  struct vdb_sect_writer *out = h->b->out;
  uint32_t n_blocks = h->n_lists ? h->starts[h->n_lists] : 0;
  uint8_t *memory = vdb_alloc_wide(h->b->mem, vdb_min_u32(n_blocks, IVF_GROUP) *
                                                  h->coder.block_bytes);
  int rc = memory ? out->begin(out, IVF_TAG_BLOCKS, h->b->number, err) : vdb_fail_memory(err);
  if (rc == VECDB_OK)
    rc = ivf_append_blocks(h, memory, err);
  if (rc == VECDB_OK)
    rc = out->end(out, err);
  vdb_free(h->b->mem, memory);
  return rc;
}

/* Where the codes of the centroids begin in their section. */
static size_t ivf_centroid_codes(uint32_t n_lists) {
  return (size_t)vdb_round_up(n_lists * 2 * sizeof(float), 64);
}

static int ivf_write_centroids(struct vdb_ivf_builder *h, vecdb_error *err) {
  static const uint8_t zeroes[64];
  size_t floats = h->n_lists * sizeof(float);
  struct ivf_part parts[] = {{h->scales, floats},
                             {h->biases, floats},
                             {zeroes, ivf_centroid_codes(h->n_lists) - 2 * floats},
                             {h->codes, h->n_lists * vdb_ivf_stride(h->b->vecs->dim)}};
  return ivf_write_parts(h, IVF_TAG_CENTROIDS, parts, VDB_COUNT(parts), err);
}

static uint32_t ivf_graph_of(const struct vdb_ivf_builder *h) {
  if (h->b->kind->coarse != VDB_COARSE_LIST_GRAPH || h->n_lists == 0)
    return 0;
  return h->by_distance ? 1 : 2;
}

static int ivf_write_graph(struct vdb_ivf_builder *h, vecdb_error *err) {
  size_t row = h->b->vecs->dim * sizeof *h->centres;
  uint32_t graph = ivf_graph_of(h);
  if (graph == 1) /* the mean serves as the shift, which is none, and is not needed any more */
    memset(h->mean, 0, row);
  struct ivf_part parts[] = {{h->centres, h->n_lists * row}, {h->mean, row}};
  VDB_TRY(ivf_write_parts(h, IVF_TAG_GRAPH, parts, graph ? VDB_COUNT(parts) : 0, err));
  return graph ? vdb_ivf_graph_build(h, err) : VECDB_OK;
}

static int ivf_write_signs(struct vdb_ivf_builder *h, vecdb_error *err) {
  struct vdb_mem *mem = h->b->mem;
  struct vdb_quant *quant;
  if (h->n_lists == 0 || !vdb_ivf_signs_fit(h->transform, h->n_lists))
    return VECDB_OK;
  int32_t metric = h->coder.l2 ? VECDB_L2 : VECDB_IP;
  VDB_TRY(vdb_rabitq_new(mem, h->b->vecs->dim, metric, &quant, err));
  uint8_t *blocks = vdb_ivf_signs_make(h, quant);
  struct ivf_part part = {blocks, vdb_ivf_signs_bytes(quant, h->n_lists)};
  int rc = blocks ? ivf_write_parts(h, IVF_TAG_SIGNS, &part, 1, err) : vdb_fail_memory(err);
  vdb_free(mem, blocks);
  quant->ops->close(mem, quant);
  return rc;
}

static int ivf_write_f16(struct vdb_ivf_builder *h, vecdb_error *err) {
  const struct vdb_index_build *b = h->b;
  if (!h->f16)
    return VECDB_OK;
  VDB_TRY(b->out->begin(b->out, IVF_TAG_F16, b->number, err));
  VDB_TRY(vdb_half_write(b->mem, b->vecs, b->out, err));
  return b->out->end(b->out, err);
}

static enum ivf_exact ivf_exact_of(const struct vdb_ivf_builder *h) {
  return h->f16                                     ? IVF_BY_F16
         : h->b->params.refine != VECDB_REFINE_NONE ? IVF_BY_ROWS
                                                    : IVF_BY_CODES;
}

static int ivf_write_header(struct vdb_ivf_builder *h, vecdb_error *err) {
  const struct vdb_vecs *v = h->b->vecs;
  struct ivf_header header = {.version = IVF_VERSION,
                              .n = v->n,
                              .dim = v->dim,
                              .elem = (uint32_t)v->elem,
                              .metric = v->metric,
                              .code = (uint32_t)h->kind->code,
                              .n_lists = h->n_lists,
                              .n_blocks = h->n_lists ? h->starts[h->n_lists] : 0,
                              .n_entries = h->n_entries,
                              .codes = h->all.ops ? h->all.ops->id : 0,
                              .exact = (uint32_t)ivf_exact_of(h),
                              .max_norm = h->bounds.norm,
                              .max_error = h->bounds.error,
                              .graph = ivf_graph_of(h),
                              .signs = h->n_lists && vdb_ivf_signs_fit(h->transform, h->n_lists),
                              .ordered = h->n_lists > 0};
  struct ivf_part part = {&header, sizeof header};
  return ivf_write_parts(h, IVF_TAG, &part, 1, err);
}

VDB_INTERNAL int vdb_ivf_write(struct vdb_ivf_builder *h, vecdb_error *err) {
  const struct vdb_index_build *b = h->b;
  size_t n_starts = h->n_lists ? h->n_lists + (size_t)1 : 0;
  size_t n_slots = h->n_lists ? (size_t)h->starts[h->n_lists] * VDB_IVF_BLOCK : 0;
  struct ivf_part order[] = {{h->spreads, h->n_lists * sizeof *h->spreads},
                             {h->reach, sizeof h->reach}};
  struct ivf_part starts = {h->starts, n_starts * sizeof *h->starts};
  struct ivf_part rows = {h->rows, n_slots * sizeof *h->rows};
  struct ivf_part params = {h->all.params, h->all.params_size};
  struct ivf_part codes = {h->all.data, h->all.data_size};
  VDB_TRY(ivf_write_centroids(h, err));
  VDB_TRY(ivf_write_signs(h, err));
  if (h->n_lists)
    VDB_TRY(ivf_write_parts(h, IVF_TAG_ORDER, order, VDB_COUNT(order), err));
  VDB_TRY(ivf_write_parts(h, IVF_TAG_STARTS, &starts, 1, err));
  VDB_TRY(ivf_write_parts(h, IVF_TAG_ROWS, &rows, 1, err));
  VDB_TRY(ivf_write_parts(h, IVF_TAG_CODES_PARAMS, &params, 1, err));
  VDB_TRY(ivf_write_parts(h, IVF_TAG_CODES, &codes, 1, err));
  VDB_TRY(ivf_write_f16(h, err));
  VDB_TRY(ivf_write_blocks(h, err));
  if (h->transform)
    VDB_TRY(vdb_transform_write(h->transform, b->out, b->number, err));
  if (h->coder.quant)
    VDB_TRY(h->coder.quant->ops->write(h->coder.quant, b->out, b->number, err));
  VDB_TRY(ivf_write_graph(h, err));
  return ivf_write_header(h, err);
}

/* ---- Reading --------------------------------------------------------------------------------- */

static int ivf_corrupt(vecdb_error *err, const char *what) {
  return vdb_fail(err, VECDB_ERR_CORRUPT, "the IVF index is damaged: %s", what);
}

struct ivf_reading {
  struct vdb_ivf *ivf;
  const struct vdb_sect_reader *in;
  uint32_t number;
  struct ivf_header header;
};

static int ivf_find(const struct ivf_reading *r, uint32_t tag, bool bulk, const void **data,
                    size_t *size, vecdb_error *err) {
  *data = NULL;
  *size = 0;
  VDB_TRY(r->in->find(r->in, tag, r->number, bulk, data, size, err));
  return *data ? VECDB_OK : ivf_corrupt(err, "a section is missing");
}

/* As find, of a section of so many bytes. */
static int ivf_take(const struct ivf_reading *r, uint32_t tag, bool bulk, uint64_t need,
                    const void **data, vecdb_error *err) {
  size_t size;
  VDB_TRY(ivf_find(r, tag, bulk, data, &size, err));
  return size == need ? VECDB_OK : ivf_corrupt(err, "size of a section");
}

static int ivf_read_header(struct ivf_reading *r, vecdb_error *err) {
  const struct vdb_vecs *v = &r->ivf->base.vecs;
  struct ivf_header *header = &r->header;
  const void *data;
  VDB_TRY(ivf_take(r, IVF_TAG, false, sizeof *header, &data, err));
  memcpy(header, data, sizeof *header);
  if (header->version > IVF_VERSION)
    return vdb_fail(err, VECDB_ERR_NEWER_FORMAT, "the IVF index has format %u, known is %u",
                    (unsigned)header->version, (unsigned)IVF_VERSION);
  if (header->version == 0 || header->exact > IVF_BY_F16 || header->graph > 2 ||
      header->signs > 1 || header->ordered > 1 || header->code >= VDB_IVF_CODES)
    return ivf_corrupt(err, "header");
  if (header->n != v->n || header->dim != v->dim || header->elem != (uint32_t)v->elem ||
      header->metric != v->metric)
    return ivf_corrupt(err, "it was built for other vectors");
  if (header->exact == IVF_BY_F16 && v->elem != VDB_F32)
    return ivf_corrupt(err, "copies of rows that have none");
  if ((header->n_lists == 0) != (header->n == 0) || header->n_lists > header->n)
    return ivf_corrupt(err, "number of lists");
  return VECDB_OK;
}

/* The transform and how the lists are coded. */
static int ivf_read_coder(struct ivf_reading *r, vecdb_error *err) {
  struct vdb_ivf *ivf = r->ivf;
  const struct vdb_vecs *v = &ivf->base.vecs;
  bool l2 = v->metric == VECDB_L2;
  int32_t metric = l2 ? VECDB_L2 : VECDB_IP;
  enum vdb_ivf_code code = (enum vdb_ivf_code)r->header.code;
  struct vdb_quant *quant = NULL;
  VDB_TRY(vdb_transform_open(ivf->mem, r->in, r->number, v->dim, &ivf->transform, err));
  if (code == VDB_IVF_PQ)
    VDB_TRY(vdb_pq_open(ivf->mem, r->in, r->number, v->dim, metric, &quant, err));
  else if (code == VDB_IVF_RABITQ)
    VDB_TRY(vdb_rabitq_new(ivf->mem, v->dim, metric, &quant, err));
  vdb_ivf_coder_init(&ivf->coder, code, v->dim, l2, quant);
  return VECDB_OK;
}

static int ivf_read_lists(struct ivf_reading *r, vecdb_error *err) {
  struct vdb_ivf *ivf = r->ivf;
  const struct ivf_header *header = &r->header;
  size_t n = header->n_lists;
  size_t stride = vdb_ivf_stride(header->dim);
  const void *data;
  VDB_TRY(ivf_take(r, IVF_TAG_CENTROIDS, false, ivf_centroid_codes(header->n_lists) + n * stride,
                   &data, err));
  const float *floats = data;
  const int8_t *codes = (const int8_t *)data + ivf_centroid_codes(header->n_lists);
  ivf->centroids = (struct vdb_ivf_centroids){codes, floats, floats + n, NULL, stride,
                                                header->n_lists};
  if (header->ordered) {
    VDB_TRY(ivf_take(r, IVF_TAG_ORDER, false, (n + VDB_IVF_REACHES) * sizeof(float), &data,
                     err));
    ivf->centroids.spreads = data;
    ivf->reach = ivf->centroids.spreads + n;
  }
  VDB_TRY(ivf_take(r, IVF_TAG_STARTS, false, (n + 1) * sizeof(uint32_t), &data, err));
  const uint32_t *starts = ivf->lists.starts = data;
  if (starts[0] != 0 || starts[n] != header->n_blocks)
    return ivf_corrupt(err, "blocks of a list");
  for (size_t l = 0; l < n; l++)
    if (starts[l] > starts[l + 1])
      return ivf_corrupt(err, "blocks of a list");
  uint64_t slots = (uint64_t)header->n_blocks * VDB_IVF_BLOCK;
  VDB_TRY(ivf_take(r, IVF_TAG_ROWS, false, slots * sizeof(uint32_t), &data, err));
  ivf->lists.rows = data;
  if (header->n_entries > slots)
    return ivf_corrupt(err, "number of entries");
  VDB_TRY(ivf_take(r, IVF_TAG_BLOCKS, true, (uint64_t)header->n_blocks * ivf->coder.block_bytes,
                   &data, err));
  ivf->lists.blocks = data;
  return VECDB_OK;
}

static int ivf_read_signs(struct ivf_reading *r, vecdb_error *err) {
  struct vdb_ivf *ivf = r->ivf;
  const void *data;
  if (!r->header.signs)
    return VECDB_OK;
  int32_t metric = ivf->coder.l2 ? VECDB_L2 : VECDB_IP;
  if (ivf->coder.code == VDB_IVF_RABITQ)
    ivf->signs.quant = ivf->coder.quant;
  else
    VDB_TRY(vdb_rabitq_new(ivf->mem, r->header.dim, metric, &ivf->signs.quant, err));
  uint64_t need = vdb_ivf_signs_bytes(ivf->signs.quant, r->header.n_lists);
  VDB_TRY(ivf_take(r, IVF_TAG_SIGNS, false, need, &data, err));
  ivf->signs.blocks = data;
  return VECDB_OK;
}

static int ivf_read_graph(struct ivf_reading *r, vecdb_error *err) {
  const void *data;
  uint64_t floats = ((uint64_t)r->header.n_lists + 1) * r->header.dim;
  bool l2 = r->header.graph == 1;
  uint64_t need = r->header.graph ? floats * sizeof(float) : 0;
  VDB_TRY(ivf_take(r, IVF_TAG_GRAPH, false, need, &data, err));
  return need ? vdb_ivf_graph_open(r->ivf, r->in, r->number, data, l2, err) : VECDB_OK;
}

/* The kind of codes of an id; NULL: none. */
static const struct vdb_codes_ops *ivf_codes_of(uint32_t id) {
  return id == vdb_sq8_ops()->id ? vdb_sq8_ops() : id == vdb_sq4_ops()->id ? vdb_sq4_ops() : NULL;
}

/* The codes of all rows. */
static int ivf_read_codes(struct ivf_reading *r, vecdb_error *err) {
  const void *params;
  const void *data;
  size_t params_size;
  size_t size;
  VDB_TRY(ivf_find(r, IVF_TAG_CODES_PARAMS, false, &params, &params_size, err));
  VDB_TRY(ivf_find(r, IVF_TAG_CODES, true, &data, &size, err));
  if (r->header.codes == 0)
    return size == 0 && params_size == 0 ? VECDB_OK : ivf_corrupt(err, "size of the codes");
  const struct vdb_codes_ops *ops = ivf_codes_of(r->header.codes);
  if (!ops || !ops->fits(&r->ivf->base.vecs))
    return ivf_corrupt(err, "codes of an unknown kind");
  struct vdb_codes *codes = &r->ivf->codes;
  codes->data = data;
  codes->data_size = size;
  codes->params = params;
  codes->params_size = params_size;
  codes->ops = ops;
  int rc = ops->open(r->ivf->mem, &r->ivf->base.vecs, codes, err);
  if (rc != VECDB_OK)
    codes->ops = NULL;
  return rc;
}

static int ivf_read_f16(struct ivf_reading *r, vecdb_error *err) {
  const struct vdb_vecs *v = &r->ivf->base.vecs;
  const void *data;
  if (r->header.exact != IVF_BY_F16)
    return VECDB_OK;
  VDB_TRY(ivf_take(r, IVF_TAG_F16, true, (uint64_t)v->n * vdb_half_stride(v->dim), &data, err));
  r->ivf->f16 = vdb_half_view(v, data);
  return VECDB_OK;
}

VDB_INTERNAL int vdb_ivf_read(struct vdb_ivf *ivf, const struct vdb_sect_reader *in,
                              uint32_t number, vecdb_error *err) {
  struct ivf_reading r = {ivf, in, number, {0}};
  VDB_TRY(ivf_read_header(&r, err));
  ivf->n_entries = r.header.n_entries;
  ivf->exact = r.header.exact != IVF_BY_CODES;
  ivf->bounds = (struct vdb_ivf_bounds){r.header.max_norm, r.header.max_error};
  if (r.header.n_lists == 0)
    return VECDB_OK;
  VDB_TRY(ivf_read_coder(&r, err));
  VDB_TRY(ivf_read_codes(&r, err));
  VDB_TRY(ivf_read_f16(&r, err));
  VDB_TRY(ivf_read_lists(&r, err));
  VDB_TRY(ivf_read_signs(&r, err));
  return ivf_read_graph(&r, err);
}
