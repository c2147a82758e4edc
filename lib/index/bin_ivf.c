/* bin_ivf.c - a BIN_IVF index over binary rows: opening, checking, searching; see bin_ivf.h. */
#include "index/bin_ivf.h"

#include "base/bitmap.h"

enum {
  BIN_IVF_STEP = 256,  /* rows compared at a time */
  BIN_IVF_FILTERED = 30 /* allowed rows seen for each of k before a filtered search may end */
};

struct bin_ivf {
  struct vdb_index base;
  const uint8_t *centres;
  const uint32_t *starts;
  const uint32_t *rows;
  const uint8_t *bits;
  uint32_t n_lists;
};

static size_t bin_ivf_row_bytes(const struct bin_ivf *ivf) {
  return vdb_elem_row_bytes(VDB_BITS, ivf->base.vecs.dim);
}

/* ---- Opening --------------------------------------------------------------------------------- */

static int bin_ivf_corrupt(vecdb_error *err, const char *what) {
  return vdb_fail(err, VECDB_ERR_CORRUPT, "the BIN_IVF index is damaged: %s", what);
}

/* A section of a known size. */
static int bin_ivf_find(const struct vdb_sect_reader *in, uint32_t tag, uint32_t number,
                        uint64_t size, const void **data, vecdb_error *err) {
  size_t n = 0;
  *data = NULL;
  VDB_TRY(in->find(in, tag, number, tag == VDB_BIN_IVF_TAG_BITS, data, &n, err));
  if (!*data)
    return bin_ivf_corrupt(err, "a section is missing");
  return n == size ? VECDB_OK : bin_ivf_corrupt(err, "size of a section");
}

static int bin_ivf_check(const struct bin_ivf *ivf, vecdb_error *err) {
  uint32_t n = ivf->base.vecs.n;
  if (ivf->starts[0] != 0 || ivf->starts[ivf->n_lists] != n)
    return bin_ivf_corrupt(err, "ends of the lists");
  for (uint32_t i = 0; i < ivf->n_lists; i++)
    if (ivf->starts[i] > ivf->starts[i + 1])
      return bin_ivf_corrupt(err, "start of a list");
  for (uint32_t i = 0; i < n; i++)
    if (ivf->rows[i] >= n)
      return bin_ivf_corrupt(err, "row of a list");
  return VECDB_OK;
}

static int bin_ivf_read(const struct vdb_sect_reader *in, uint32_t number, struct bin_ivf *ivf,
                        vecdb_error *err) {
  const struct vdb_vecs *v = &ivf->base.vecs;
  struct vdb_bin_ivf_header header;
  const void *data;
  uint64_t row_bytes = bin_ivf_row_bytes(ivf), n = v->n;
  VDB_TRY(bin_ivf_find(in, VDB_BIN_IVF_TAG, number, sizeof header, &data, err));
  memcpy(&header, data, sizeof header);
  if (header.version > VDB_BIN_IVF_VERSION)
    return vdb_fail(err, VECDB_ERR_NEWER_FORMAT, "the BIN_IVF index has format %u, known is %u",
                    (unsigned)header.version, (unsigned)VDB_BIN_IVF_VERSION);
  if (header.version < VDB_BIN_IVF_VERSION)
    return bin_ivf_corrupt(err, "header");
  if (header.n != v->n || header.dim != v->dim || header.metric != v->metric)
    return bin_ivf_corrupt(err, "it was built for other vectors");
  if (header.n_lists > header.n || (header.n_lists == 0) != (header.n == 0))
    return bin_ivf_corrupt(err, "number of lists");
  ivf->n_lists = header.n_lists;
  VDB_TRY(bin_ivf_find(in, VDB_BIN_IVF_TAG_CENTRES, number, header.n_lists * row_bytes, &data,
                       err));
  ivf->centres = data;
  VDB_TRY(bin_ivf_find(in, VDB_BIN_IVF_TAG_STARTS, number,
                       ((uint64_t)header.n_lists + 1) * sizeof *ivf->starts, &data, err));
  ivf->starts = data;
  VDB_TRY(bin_ivf_find(in, VDB_BIN_IVF_TAG_ROWS, number, n * sizeof *ivf->rows, &data, err));
  ivf->rows = data;
  VDB_TRY(bin_ivf_find(in, VDB_BIN_IVF_TAG_BITS, number, n * row_bytes, &data, err));
  ivf->bits = data;
  return bin_ivf_check(ivf, err);
}

static void bin_ivf_close(struct vdb_mem *mem, struct vdb_index *index) { vdb_free(mem, index); }

static int bin_ivf_open(struct vdb_mem *mem, const struct vdb_sect_reader *in, uint32_t number,
                        const struct vdb_vecs *vecs, struct vdb_index **out, vecdb_error *err) {
  *out = NULL;
  struct bin_ivf *ivf = vdb_alloc_zero(mem, sizeof *ivf);
  if (!ivf)
    return vdb_fail_memory(err);
  ivf->base.ops = vdb_bin_ivf_ops();
  ivf->base.vecs = *vecs;
  int rc = bin_ivf_read(in, number, ivf, err);
  if (rc != VECDB_OK) {
    bin_ivf_close(mem, &ivf->base);
    return rc;
  }
  *out = &ivf->base;
  return VECDB_OK;
}

/* ---- Searching ------------------------------------------------------------------------------- */

/* One list; returns how many of its rows the bitmap allows. */
static size_t bin_ivf_list(const struct bin_ivf *ivf, uint32_t list, struct vdb_search *s) {
  const struct vdb_vecs *v = &ivf->base.vecs;
  size_t row_bytes = bin_ivf_row_bytes(ivf), allowed = 0;
  uint32_t end = ivf->starts[list + 1];
  float keys[BIN_IVF_STEP];
  for (uint32_t at = ivf->starts[list], n; at < end; at += n) {
    n = vdb_min_u32(end - at, BIN_IVF_STEP);
    v->kern->many(s->query->data, ivf->bits + at * row_bytes, row_bytes, n, v->dim, keys);
    s->distances += n;
    allowed += s->allow ? 0 : n;
    for (uint32_t i = 0; i < n; i++) {
      if (!s->allow && keys[i] > vdb_topk_bound(&s->top)) /* most of them */
        continue;
      uint32_t row = ivf->rows[at + i];
      if (s->allow && !vdb_bit_get(s->allow, row))
        continue;
      allowed += s->allow != NULL;
      vdb_flat_offer(s, row, keys[i]);
    }
  }
  return allowed;
}

/* Looks through the lists nearest to the query; while too few rows were seen, through as many
   again. */
static void bin_ivf_probe(const struct bin_ivf *ivf, struct vdb_search *s, const float *keys,
                          struct vdb_near *near) {
  size_t most = vdb_min_size(s->effort ? s->effort : 1, ivf->n_lists);
  size_t want = s->top.k * (s->allow || s->accept ? BIN_IVF_FILTERED : 1);
  size_t seen = 0;
  for (uint32_t i = 0; i < ivf->n_lists; i++)
    near[i] = (struct vdb_near){keys[i], i};
  for (size_t done = 0; done < most;) {
    vdb_near_select(near + done, ivf->n_lists - done, most - done);
    vdb_near_sort(near + done, most - done);
    for (; done < most; done++) {
      if (s->stop && s->stop(s->stop_arg))
        return;
      seen += bin_ivf_list(ivf, near[done].row, s);
    }
    if (seen < want || s->top.n < s->top.k)
      most = vdb_min_size(2 * most, ivf->n_lists);
  }
}

static int bin_ivf_search(const struct vdb_index *index, struct vdb_search *s, vecdb_error *err) {
  const struct bin_ivf *ivf = (const struct bin_ivf *)index;
  const struct vdb_vecs *v = &index->vecs;
  if (ivf->n_lists == 0 || s->top.k == 0)
    return VECDB_OK;
  float *keys = vdb_alloc_array(s->mem, ivf->n_lists, sizeof *keys);
  struct vdb_near *near = vdb_alloc_array(s->mem, ivf->n_lists, sizeof *near);
  bool memory = keys && near;
  if (memory) {
    v->kern->many(s->query->data, ivf->centres, bin_ivf_row_bytes(ivf), ivf->n_lists, v->dim, keys);
    s->distances += ivf->n_lists;
    bin_ivf_probe(ivf, s, keys, near);
    vdb_topk_sort(&s->top);
  }
  vdb_free(s->mem, keys);
  vdb_free(s->mem, near);
  return memory ? VECDB_OK : vdb_fail_memory(err);
}

static void bin_ivf_traits(const struct vdb_index *index, struct vdb_index_traits *out) {
  const struct bin_ivf *ivf = (const struct bin_ivf *)index;
  uint64_t row_bytes = bin_ivf_row_bytes(ivf), n = index->vecs.n;
  memset(out, 0, sizeof *out);
  out->memory = (n + ivf->n_lists) * (row_bytes + sizeof(uint32_t));
  out->walk_bytes = (uint32_t)row_bytes;
  out->lists = ivf->n_lists;
  out->entries = n;
}

VDB_INTERNAL const struct vdb_index_ops *vdb_bin_ivf_ops(void) {
  static const struct vdb_index_ops ops = {.name = "bin_ivf",
                                           .effort = VDB_EFFORT_NPROBE,
                                           .build = vdb_bin_ivf_build,
                                           .open = bin_ivf_open,
                                           .close = bin_ivf_close,
                                           .search = bin_ivf_search,
                                           .traits = bin_ivf_traits};
  return &ops;
}
