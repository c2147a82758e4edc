/*
 * bin_flat.c - see bin_flat.h. Effort is how many rows, the best by code, are looked at again.
 *
 *   BFLH  struct bin_flat_header
 *   BFLP  params of the codes; nothing without rows
 *   BFLD  data of the codes; nothing without rows
 */
#include "index/bin_flat.h"

#include "index/bit_codes.h"

#define BIN_FLAT_TAG VDB_TAG('B', 'F', 'L', 'H')
#define BIN_FLAT_TAG_PARAMS VDB_TAG('B', 'F', 'L', 'P')
#define BIN_FLAT_TAG_CODES VDB_TAG('B', 'F', 'L', 'D')
enum { BIN_FLAT_VERSION = 1, BIN_FLAT_SAMPLE = 1 << 15 };

struct bin_flat_header {
  uint32_t version;
  uint32_t n;
  uint32_t dim;
  uint32_t elem;
  int32_t metric;
  uint32_t codes; /* id of their kind */
  uint32_t again; /* whether hits are scored again with the rows */
  uint32_t zero;
};

struct bin_flat {
  struct vdb_index base;
  struct vdb_codes codes; /* ops NULL: no rows */
  bool again;
};

static int bin_flat_write(struct vdb_sect_writer *out, const struct vdb_index_build *b,
                          uint32_t tag, const void *data, size_t n, vecdb_error *err) {
  VDB_TRY(out->begin(out, tag, b->number, err));
  if (n > 0)
    VDB_TRY(out->append(out, data, n, err));
  return out->end(out, err);
}

static int bin_flat_write_all(const struct vdb_index_build *b, const struct vdb_codes *codes,
                              vecdb_error *err) {
  const struct vdb_vecs *v = b->vecs;
  struct bin_flat_header header = {BIN_FLAT_VERSION, v->n, v->dim, (uint32_t)v->elem, v->metric,
                                   vdb_bit_codes_ops()->id,
                                   b->params.refine != VECDB_REFINE_NONE, 0};
  VDB_TRY(bin_flat_write(b->out, b, BIN_FLAT_TAG, &header, sizeof header, err));
  VDB_TRY(bin_flat_write(b->out, b, BIN_FLAT_TAG_PARAMS, codes->params, codes->params_size, err));
  return bin_flat_write(b->out, b, BIN_FLAT_TAG_CODES, codes->data, codes->data_size, err);
}

/* Codes learn from rows spread evenly over all. */
static int bin_flat_make(const struct vdb_index_build *b, struct vdb_codes *codes,
                         vecdb_error *err) {
  uint32_t n = vdb_min_u32(b->vecs->n, BIN_FLAT_SAMPLE);
  uint32_t *order = vdb_alloc_array(b->mem, n, sizeof *order);
  if (!order)
    return vdb_fail_memory(err);
  for (uint32_t i = 0; i < n; i++)
    order[i] = (uint32_t)((uint64_t)i * b->vecs->n / n);
  struct vdb_codes_make make = {b->mem, b->vecs, b->par, &b->params, order, n, b->seed};
  int rc = vdb_bit_codes_ops()->make(&make, codes, err);
  vdb_free(b->mem, order);
  return rc;
}

static int bin_flat_build(const struct vdb_index_build *b, vecdb_error *err) {
  struct vdb_codes codes = {0};
  uint64_t n = b->vecs->n;
  if (n > 0)
    VDB_TRY(bin_flat_make(b, &codes, err));
  int rc = VECDB_OK;
  if (b->progress && b->progress(b->progress_arg, n, n))
    rc = vdb_fail(err, VECDB_ERR_CANCELLED, "building the index was cancelled");
  rc = rc ? rc : bin_flat_write_all(b, &codes, err);
  if (codes.ops)
    codes.ops->close(b->mem, &codes, true);
  return rc;
}

static void bin_flat_close(struct vdb_mem *mem, struct vdb_index *index) {
  struct bin_flat *flat = (struct bin_flat *)index;
  if (flat && flat->codes.ops)
    flat->codes.ops->close(mem, &flat->codes, false);
  vdb_free(mem, flat);
}

static int bin_flat_corrupt(vecdb_error *err, const char *what) {
  return vdb_fail(err, VECDB_ERR_CORRUPT, "the BIN_FLAT index is damaged: %s", what);
}

static int bin_flat_find(const struct vdb_sect_reader *in, uint32_t tag, uint32_t number,
                         const void **data, size_t *n, vecdb_error *err) {
  *data = NULL;
  *n = 0;
  VDB_TRY(in->find(in, tag, number, tag == BIN_FLAT_TAG_CODES, data, n, err));
  return *data ? VECDB_OK : bin_flat_corrupt(err, "a section is missing");
}

static int bin_flat_read(struct vdb_mem *mem, const struct vdb_sect_reader *in, uint32_t number,
                         struct bin_flat *flat, vecdb_error *err) {
  const struct vdb_vecs *v = &flat->base.vecs;
  struct bin_flat_header header;
  struct vdb_codes codes = {0};
  const void *data;
  size_t size;
  VDB_TRY(bin_flat_find(in, BIN_FLAT_TAG, number, &data, &size, err));
  if (size != sizeof header)
    return bin_flat_corrupt(err, "size of the header");
  memcpy(&header, data, sizeof header);
  if (header.version > BIN_FLAT_VERSION)
    return vdb_fail(err, VECDB_ERR_NEWER_FORMAT, "the BIN_FLAT index has format %u, known is %u",
                    (unsigned)header.version, (unsigned)BIN_FLAT_VERSION);
  if (header.version < BIN_FLAT_VERSION || header.codes != vdb_bit_codes_ops()->id)
    return bin_flat_corrupt(err, "header");
  if (header.n != v->n || header.dim != v->dim || header.elem != (uint32_t)v->elem ||
      header.metric != v->metric)
    return bin_flat_corrupt(err, "it was built for other vectors");
  flat->again = header.again != 0;
  VDB_TRY(bin_flat_find(in, BIN_FLAT_TAG_PARAMS, number, &codes.params, &codes.params_size, err));
  VDB_TRY(bin_flat_find(in, BIN_FLAT_TAG_CODES, number, &data, &codes.data_size, err));
  codes.data = data;
  if (v->n == 0)
    return codes.params_size + codes.data_size == 0 ? VECDB_OK
                                                    : bin_flat_corrupt(err, "size of the codes");
  VDB_TRY(vdb_bit_codes_ops()->open(mem, v, &codes, err));
  flat->codes = codes;
  return VECDB_OK;
}

static int bin_flat_open(struct vdb_mem *mem, const struct vdb_sect_reader *in, uint32_t number,
                         const struct vdb_vecs *vecs, struct vdb_index **out, vecdb_error *err) {
  *out = NULL;
  struct bin_flat *flat = vdb_alloc_zero(mem, sizeof *flat);
  if (!flat)
    return vdb_fail_memory(err);
  flat->base.ops = vdb_bin_flat_ops();
  flat->base.vecs = *vecs;
  int rc = bin_flat_read(mem, in, number, flat, err);
  if (rc != VECDB_OK) {
    bin_flat_close(mem, &flat->base);
    return rc;
  }
  *out = &flat->base;
  return VECDB_OK;
}

static int bin_flat_search(const struct vdb_index *index, struct vdb_search *s, vecdb_error *err) {
  const struct bin_flat *flat = (const struct bin_flat *)index;
  if (!flat->codes.ops || s->top.k == 0)
    return VECDB_OK;
  return vdb_codes_scan(&flat->codes, flat->again ? &index->vecs : NULL, s, err);
}

static void bin_flat_traits(const struct vdb_index *index, struct vdb_index_traits *out) {
  const struct bin_flat *flat = (const struct bin_flat *)index;
  memset(out, 0, sizeof *out);
  out->memory = flat->codes.data_size;
  out->walk_bytes = (uint32_t)flat->codes.stride;
  out->scans = flat->codes.ops != NULL;
}

static int bin_flat_warm(const struct vdb_index *index, const struct vdb_index_warm *w,
                         vecdb_error *err) {
  const struct bin_flat *flat = (const struct bin_flat *)index;
  uint32_t n = index->vecs.n, turn = 0;
  (void)err;
  for (uint32_t row = vdb_index_warm_next(w, n, 0, &turn); row < n;
       row = vdb_index_warm_next(w, n, row + 1, &turn))
    vdb_codes_touch(&flat->codes, row);
  return VECDB_OK;
}

VDB_INTERNAL const struct vdb_index_ops *vdb_bin_flat_ops(void) {
  static const struct vdb_index_ops ops = {.name = "bin_flat",
                                           .effort = VDB_EFFORT_EF,
                                           .build = bin_flat_build,
                                           .open = bin_flat_open,
                                           .close = bin_flat_close,
                                           .search = bin_flat_search,
                                           .traits = bin_flat_traits,
                                           .scan = bin_flat_search,
                                           .warm = bin_flat_warm};
  return &ops;
}
