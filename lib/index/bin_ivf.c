/* bin_ivf.c - a BIN_IVF index over binary rows: opening, checking, searching; see bin_ivf.h. */
#include "index/bin_ivf.h"

#include "base/bitmap.h"
#include "index/flat_bits.h"
#include "index/ivf.h"

enum {
  BIN_IVF_STEP = 256,    /* rows compared at a time, whole blocks */
  BIN_IVF_FIRST = 16,    /* lists that come before all others, so that the bound is tight early */
  BIN_IVF_AHEAD = 1024,  /* bytes of the next list that are asked for */
  BIN_IVF_FILTERED = 30  /* allowed rows seen for each of k before a filtered search may end */
};

struct bin_ivf {
  struct vdb_index base;
  const uint8_t *centres;
  const uint32_t *starts;
  const uint32_t *rows;
  const uint8_t *bits;
  uint32_t n_lists;
  uint32_t n_slots; /* all places for rows, free ones too */
  bool by_rows;     /* format 1: rows are not turned */
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

/* What starts count: blocks, or in format 1 rows. */
static uint32_t bin_ivf_end(const struct bin_ivf *ivf) {
  return ivf->by_rows ? ivf->n_slots : ivf->n_slots / VDB_BITS_ROWS;
}

static int bin_ivf_check(const struct bin_ivf *ivf, vecdb_error *err) {
  uint32_t n = ivf->base.vecs.n;
  if (ivf->starts[0] != 0 || ivf->starts[ivf->n_lists] != bin_ivf_end(ivf))
    return bin_ivf_corrupt(err, "ends of the lists");
  for (uint32_t i = 0; i < ivf->n_lists; i++)
    if (ivf->starts[i] > ivf->starts[i + 1])
      return bin_ivf_corrupt(err, "start of a list");
  for (uint32_t i = 0; i < ivf->n_slots; i++)
    if (ivf->rows[i] >= n && (ivf->by_rows || ivf->rows[i] != VDB_BIN_IVF_FREE))
      return bin_ivf_corrupt(err, "row of a list");
  return VECDB_OK;
}

static int bin_ivf_header(const struct vdb_sect_reader *in, uint32_t number, struct bin_ivf *ivf,
                          vecdb_error *err) {
  const struct vdb_vecs *v = &ivf->base.vecs;
  struct vdb_bin_ivf_header header;
  const void *data;
  VDB_TRY(bin_ivf_find(in, VDB_BIN_IVF_TAG, number, sizeof header, &data, err));
  memcpy(&header, data, sizeof header);
  if (header.version > VDB_BIN_IVF_VERSION)
    return vdb_fail(err, VECDB_ERR_NEWER_FORMAT, "the BIN_IVF index has format %u, known is %u",
                    (unsigned)header.version, (unsigned)VDB_BIN_IVF_VERSION);
  if (header.version < VDB_BIN_IVF_VERSION_ROWS)
    return bin_ivf_corrupt(err, "header");
  if (header.n != v->n || header.dim != v->dim || header.metric != v->metric)
    return bin_ivf_corrupt(err, "it was built for other vectors");
  if (header.n_lists > header.n || (header.n_lists == 0) != (header.n == 0))
    return bin_ivf_corrupt(err, "number of lists");
  ivf->n_lists = header.n_lists;
  ivf->by_rows = header.version == VDB_BIN_IVF_VERSION_ROWS;
  uint64_t slots = ivf->by_rows ? header.n : (uint64_t)header.n_blocks * VDB_BITS_ROWS;
  if (slots < header.n || slots > header.n + (uint64_t)header.n_lists * VDB_BITS_ROWS ||
      slots > UINT32_MAX)
    return bin_ivf_corrupt(err, "number of blocks");
  ivf->n_slots = (uint32_t)slots;
  return VECDB_OK;
}

static int bin_ivf_read(const struct vdb_sect_reader *in, uint32_t number, struct bin_ivf *ivf,
                        vecdb_error *err) {
  const struct vdb_vecs *v = &ivf->base.vecs;
  const void *data;
  VDB_TRY(bin_ivf_header(in, number, ivf, err));
  uint64_t row_bytes = bin_ivf_row_bytes(ivf), lists = ivf->n_lists, slots = ivf->n_slots;
  uint64_t block = vdb_bin_ivf_block_bytes(v->dim, v->metric);
  uint64_t centres = ivf->by_rows ? lists * row_bytes : vdb_bin_ivf_blocks(ivf->n_lists) * block;
  uint64_t bits = ivf->by_rows ? slots * row_bytes : slots / VDB_BITS_ROWS * block;
  VDB_TRY(bin_ivf_find(in, VDB_BIN_IVF_TAG_CENTRES, number, centres, &data, err));
  ivf->centres = data;
  VDB_TRY(bin_ivf_find(in, VDB_BIN_IVF_TAG_STARTS, number, (lists + 1) * sizeof *ivf->starts,
                       &data, err));
  ivf->starts = data;
  VDB_TRY(bin_ivf_find(in, VDB_BIN_IVF_TAG_ROWS, number, slots * sizeof *ivf->rows, &data, err));
  ivf->rows = data;
  VDB_TRY(bin_ivf_find(in, VDB_BIN_IVF_TAG_BITS, number, bits, &data, err));
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

struct bin_ivf_walk {
  const struct bin_ivf *ivf;
  struct vdb_search *s;
  uint8_t *offsets; /* of the query, for turned rows */
  uint32_t ones;    /* bits set in the query */
  float *list_keys;      /* of the centroids */
  struct vdb_near *near; /* all lists; those looked through first */
  uint16_t far[BIN_IVF_STEP];
  uint16_t row_ones[BIN_IVF_STEP]; /* JACCARD */
  float keys[BIN_IVF_STEP];
};

static const uint8_t *bin_ivf_block(const struct bin_ivf *ivf, const uint8_t *blocks, size_t i) {
  return blocks + i * vdb_bin_ivf_block_bytes(ivf->base.vecs.dim, ivf->base.vecs.metric);
}

/* Distances to the rows of up to BIN_IVF_STEP / 32 blocks. */
static void bin_ivf_far(struct bin_ivf_walk *w, const uint8_t *blocks, size_t n) {
  const struct vdb_vecs *v = &w->ivf->base.vecs;
  size_t row_bytes = bin_ivf_row_bytes(w->ivf), step = VDB_BITS_ROWS * sizeof *w->row_ones;
  struct vdb_bits_step distances = {.offsets = {w->offsets},
                                    .n_queries = 1,
                                    .bytes = row_bytes,
                                    .blocks = blocks,
                                    .block_stride = vdb_bin_ivf_block_bytes(v->dim, v->metric),
                                    .n_blocks = n,
                                    .out = w->far,
                                    .out_stride = BIN_IVF_STEP};
  vdb_bits_table()->distances(&distances);
  for (size_t i = 0; v->metric == VECDB_JACCARD && i < n; i++)
    memcpy(w->row_ones + i * VDB_BITS_ROWS,
           bin_ivf_block(w->ivf, blocks, i) + VDB_BITS_ROWS * row_bytes, step);
}

/* The key of the i-th row of those, as the kernels have it. */
static float bin_ivf_key(const struct bin_ivf_walk *w, size_t i) {
  if (w->ivf->base.vecs.metric == VECDB_HAMMING)
    return (float)w->far[i];
  uint32_t any = (w->ones + w->row_ones[i] + w->far[i]) / 2;
  return vdb_bits_float(VDB_OP_JACCARD, w->far[i], any);
}

/* Those of up to 64 rows that the bitmap allows. */
static uint64_t bin_ivf_allowed(const uint64_t *allow, const uint32_t *rows, size_t n) {
  uint64_t set = 0;
  for (size_t i = 0; i < n; i++)
    if (rows[i] != VDB_BIN_IVF_FREE && vdb_bit_get(allow, rows[i]))
      set |= (uint64_t)1 << i;
  return set;
}

/* One list; returns how many of its rows the bitmap allows, free places counted where there is
   none. */
static size_t bin_ivf_list(struct bin_ivf_walk *w, uint32_t list) {
  const struct bin_ivf *ivf = w->ivf;
  struct vdb_search *s = w->s;
  struct vdb_bits_bound bound;
  size_t seen = 0;
  uint32_t end = ivf->starts[list + 1];
  for (uint32_t at = ivf->starts[list], n; at < end; at += n) {
    n = vdb_min_u32(end - at, BIN_IVF_STEP / VDB_BITS_ROWS);
    const uint32_t *rows = ivf->rows + (size_t)at * VDB_BITS_ROWS;
    bin_ivf_far(w, bin_ivf_block(ivf, ivf->bits, at), n);
    vdb_bits_bound_set(&bound, ivf->base.vecs.metric, vdb_topk_bound(&s->top), w->ones);
    s->distances += n * VDB_BITS_ROWS;
    for (size_t i = 0, count; i < n * VDB_BITS_ROWS; i += count) {
      count = vdb_min_size(n * VDB_BITS_ROWS - i, 64);
      uint64_t in = vdb_bits_within(&bound, w->far + i, w->row_ones + i, count);
      uint64_t allowed = s->allow ? bin_ivf_allowed(s->allow, rows + i, count) : UINT64_MAX;
      seen += s->allow ? (size_t)__builtin_popcountll(allowed) : count;
      for (in &= allowed; in; in &= in - 1) {
        size_t slot = i + (size_t)__builtin_ctzll(in);
        if (rows[slot] != VDB_BIN_IVF_FREE)
          vdb_flat_offer(s, rows[slot], bin_ivf_key(w, slot));
      }
    }
  }
  return seen;
}

/* The same in format 1. */
static size_t bin_ivf_list_by_rows(struct bin_ivf_walk *w, uint32_t list) {
  const struct bin_ivf *ivf = w->ivf;
  const struct vdb_vecs *v = &ivf->base.vecs;
  struct vdb_search *s = w->s;
  size_t row_bytes = bin_ivf_row_bytes(ivf), seen = 0;
  uint32_t end = ivf->starts[list + 1];
  for (uint32_t at = ivf->starts[list], n; at < end; at += n) {
    n = vdb_min_u32(end - at, BIN_IVF_STEP);
    v->kern->many(s->query->data, ivf->bits + at * row_bytes, row_bytes, n, v->dim, w->keys);
    s->distances += n;
    for (uint32_t i = 0; i < n; i++) {
      uint32_t row = ivf->rows[at + i];
      if (s->allow && !vdb_bit_get(s->allow, row))
        continue;
      seen++;
      vdb_flat_offer(s, row, w->keys[i]);
    }
  }
  return seen;
}

/* Keys of the centroids. */
static void bin_ivf_rank(struct bin_ivf_walk *w) {
  const struct bin_ivf *ivf = w->ivf;
  const struct vdb_vecs *v = &ivf->base.vecs;
  size_t row_bytes = bin_ivf_row_bytes(ivf);
  for (uint32_t at = 0, n; at < ivf->n_lists; at += n) {
    n = vdb_min_u32(ivf->n_lists - at, BIN_IVF_STEP);
    if (ivf->by_rows)
      v->kern->many(w->s->query->data, ivf->centres + at * row_bytes, row_bytes, n, v->dim,
                    w->keys);
    else
      bin_ivf_far(w, bin_ivf_block(ivf, ivf->centres, at / VDB_BITS_ROWS), vdb_bin_ivf_blocks(n));
    for (uint32_t i = 0; i < n; i++)
      w->list_keys[at + i] = ivf->by_rows ? w->keys[i] : bin_ivf_key(w, i);
  }
  w->s->distances += ivf->n_lists;
}

/* Brings the nearest `want` lists to the front, the nearest few of them first. */
static void bin_ivf_choose(struct bin_ivf_walk *w, size_t want) {
  size_t front = 0, back = w->ivf->n_lists;
  float bound = vdb_ivf_cut(w->list_keys, back, want);
  for (uint32_t i = 0; i < w->ivf->n_lists; i++) {
    size_t at = w->list_keys[i] <= bound ? front++ : --back;
    w->near[at] = (struct vdb_near){w->list_keys[i], i};
  }
  vdb_near_select(w->near, front, want);
  if (want > BIN_IVF_FIRST)
    vdb_near_select(w->near, want, BIN_IVF_FIRST);
}

/* Asks for the beginning of a list. */
static void bin_ivf_ahead(const struct bin_ivf *ivf, uint32_t list) {
  size_t unit = ivf->by_rows ? bin_ivf_row_bytes(ivf)
                             : vdb_bin_ivf_block_bytes(ivf->base.vecs.dim, ivf->base.vecs.metric);
  const uint8_t *from = ivf->bits + ivf->starts[list] * unit;
  size_t n = (ivf->starts[list + 1] - ivf->starts[list]) * unit;
  for (size_t i = 0; i < vdb_min_size(n, BIN_IVF_AHEAD); i += 64)
    VDB_PREFETCH(from + i);
}

/* Looks through the lists nearest to the query; while too few rows were seen, through as many
   again. */
static void bin_ivf_probe(struct bin_ivf_walk *w) {
  const struct bin_ivf *ivf = w->ivf;
  struct vdb_search *s = w->s;
  size_t most = vdb_min_size(s->effort ? s->effort : 1, ivf->n_lists);
  size_t want = s->top.k * (s->allow || s->accept ? BIN_IVF_FILTERED : 1);
  size_t seen = 0;
  bin_ivf_choose(w, most);
  for (size_t done = 0; done < most;) {
    if (done > 0)
      vdb_near_select(w->near + done, ivf->n_lists - done, most - done);
    for (; done < most; done++) {
      uint32_t list = w->near[done].row;
      if (s->stop && s->stop(s->stop_arg))
        return;
      if (done + 1 < most)
        bin_ivf_ahead(ivf, w->near[done + 1].row);
      seen += ivf->by_rows ? bin_ivf_list_by_rows(w, list) : bin_ivf_list(w, list);
    }
    if (seen < want || s->top.n < s->top.k)
      most = vdb_min_size(2 * most, ivf->n_lists);
  }
}

static int bin_ivf_search(const struct vdb_index *index, struct vdb_search *s, vecdb_error *err) {
  const struct bin_ivf *ivf = (const struct bin_ivf *)index;
  const struct vdb_vecs *v = &index->vecs;
  size_t row_bytes = bin_ivf_row_bytes(ivf);
  if (ivf->n_lists == 0 || s->top.k == 0)
    return VECDB_OK;
  struct bin_ivf_walk w = {.ivf = ivf, .s = s};
  w.offsets = vdb_alloc(s->mem, 2 * row_bytes);
  w.list_keys = vdb_alloc_array(s->mem, ivf->n_lists, sizeof *w.list_keys);
  w.near = vdb_alloc_array(s->mem, ivf->n_lists, sizeof *w.near);
  bool memory = w.offsets && w.list_keys && w.near;
  if (memory) {
    vdb_bits_offsets(s->query->data, row_bytes, w.offsets);
    w.ones = (uint32_t)vdb_vec_norm(s->query->data, VDB_BITS, v->dim);
    bin_ivf_rank(&w);
    bin_ivf_probe(&w);
    vdb_topk_sort(&s->top);
  }
  vdb_free(s->mem, w.offsets);
  vdb_free(s->mem, w.list_keys);
  vdb_free(s->mem, w.near);
  return memory ? VECDB_OK : vdb_fail_memory(err);
}

static void bin_ivf_traits(const struct vdb_index *index, struct vdb_index_traits *out) {
  const struct bin_ivf *ivf = (const struct bin_ivf *)index;
  uint64_t row_bytes = bin_ivf_row_bytes(ivf), n = index->vecs.n;
  memset(out, 0, sizeof *out);
  out->memory = ((uint64_t)ivf->n_slots + ivf->n_lists) * (row_bytes + sizeof(uint32_t));
  out->walk_bytes = (uint32_t)row_bytes;
  out->lists = ivf->n_lists;
  out->entries = n;
}

/* Bits are turned in blocks of slots (in format 1 they are not, and the same bytes do). */
static int bin_ivf_warm(const struct vdb_index *index, const struct vdb_index_warm *w,
                        vecdb_error *err) {
  const struct bin_ivf *ivf = (const struct bin_ivf *)index;
  size_t row_bytes = bin_ivf_row_bytes(ivf);
  (void)err;
  for (uint32_t i = 0; i < ivf->n_slots; i++) {
    if (i % VDB_WARM_POLL == 0 && w->stop(w->stop_arg))
      break;
    if (ivf->rows[i] >= index->vecs.n || !vdb_bit_get(w->rows, ivf->rows[i]))
      continue;
    uint32_t first = i - i % VDB_BITS_ROWS;
    uint32_t n = vdb_min_u32(VDB_BITS_ROWS, ivf->n_slots - first);
    vdb_touch(ivf->bits + first * row_bytes, n * row_bytes);
  }
  return VECDB_OK;
}

VDB_INTERNAL const struct vdb_index_ops *vdb_bin_ivf_ops(void) {
  static const struct vdb_index_ops ops = {.name = "bin_ivf",
                                           .effort = VDB_EFFORT_NPROBE,
                                           .build = vdb_bin_ivf_build,
                                           .open = bin_ivf_open,
                                           .close = bin_ivf_close,
                                           .search = bin_ivf_search,
                                           .traits = bin_ivf_traits,
                                           .warm = bin_ivf_warm};
  return &ops;
}
