/*
 * bin_ivf_build.c - building a BIN_IVF index over binary rows; see bin_ivf.h. Centroids are learnt
 * by k-majority: each row of a sample goes to the nearest centroid by the metric itself, and a
 * centroid takes the bits that are set in most of its rows. Under JACCARD, where rows have few bits
 * and hardly one is in most of them, it takes the commonest bits, as many as its rows have on
 * average.
 */
#include <math.h>

#include "base/rng.h"
#include "index/bin_ivf.h"

enum {
  BIN_BUILD_SAMPLE = 64,     /* rows to learn from for each list */
  BIN_BUILD_ROUNDS = 8,      /* of learning */
  BIN_BUILD_CHUNK = 64,      /* rows assigned per item of a parallel loop */
  BIN_BUILD_BATCH = 1 << 16  /* rows between two looks at progress */
};

struct bin_builder {
  const struct vdb_index_build *b;
  size_t row_bytes;
  uint32_t n_lists;
  uint8_t *centres;
  uint8_t *turned;  /* the centroids in blocks */
  uint32_t *sample; /* rows to learn from */
  uint32_t n_sample;
  const uint32_t *work; /* rows being assigned; NULL: all from `first` on */
  uint32_t first, n_work;
  uint32_t *lists;  /* of the rows of the sample, then of all */
  uint32_t *starts; /* of each list among `rows` */
  uint32_t *rows;   /* places in `lists`, list by list, ascending */
  uint16_t *far;    /* for each worker, of VDB_BITS_QUERIES rows to each centroid */
  uint8_t *offsets; /* for each worker, of as many rows */
  uint32_t *counts; /* for each worker, of each bit */
};

static uint32_t bin_blocks(const struct bin_builder *h) { return vdb_bin_ivf_blocks(h->n_lists); }

static size_t bin_block_bytes(const struct bin_builder *h) {
  return vdb_bin_ivf_block_bytes(h->b->vecs->dim, h->b->vecs->metric);
}

static const uint8_t *bin_row(const struct bin_builder *h, uint32_t row) {
  return h->b->vecs->data + (size_t)row * h->b->vecs->stride;
}

static int bin_init(struct bin_builder *h, vecdb_error *err) {
  const struct vdb_index_build *b = h->b;
  size_t workers = b->par->workers, n = b->vecs->n;
  h->n_sample = (uint32_t)vdb_min_size(n, (size_t)h->n_lists * BIN_BUILD_SAMPLE);
  size_t slots = (size_t)bin_blocks(h) * VDB_BITS_ROWS;
  h->centres = vdb_alloc_array(b->mem, h->n_lists, h->row_bytes);
  h->turned = vdb_alloc_array(b->mem, bin_blocks(h), bin_block_bytes(h));
  h->sample = vdb_alloc_array(b->mem, n, sizeof *h->sample);
  h->lists = vdb_alloc_array(b->mem, n, sizeof *h->lists);
  h->starts = vdb_alloc_array(b->mem, (size_t)h->n_lists + 1, sizeof *h->starts);
  h->rows = vdb_alloc_array(b->mem, n, sizeof *h->rows);
  h->far = vdb_alloc_array(b->mem, workers * slots, VDB_BITS_QUERIES * sizeof *h->far);
  h->offsets = vdb_alloc_array(b->mem, workers * VDB_BITS_QUERIES, 2 * h->row_bytes);
  h->counts = vdb_alloc_array(b->mem, workers * b->vecs->dim, sizeof *h->counts);
  if (h->centres && h->turned && h->sample && h->lists && h->starts && h->rows && h->far &&
      h->offsets && h->counts)
    return VECDB_OK;
  return vdb_fail_memory(err);
}

static void bin_fini(struct bin_builder *h) {
  struct vdb_mem *mem = h->b->mem;
  vdb_free(mem, h->centres);
  vdb_free(mem, h->turned);
  vdb_free(mem, h->sample);
  vdb_free(mem, h->lists);
  vdb_free(mem, h->starts);
  vdb_free(mem, h->rows);
  vdb_free(mem, h->far);
  vdb_free(mem, h->offsets);
  vdb_free(mem, h->counts);
}

/* Rows to learn from, at random, of which the first are the first centroids. */
static void bin_draw(struct bin_builder *h) {
  struct vdb_rng rng = {h->b->seed};
  uint32_t n = h->b->vecs->n;
  for (uint32_t i = 0; i < n; i++)
    h->sample[i] = i;
  for (uint32_t i = 0; i < h->n_sample; i++) {
    uint32_t k = i + vdb_rng_below(&rng, n - i);
    uint32_t row = h->sample[k];
    h->sample[k] = h->sample[i];
    h->sample[i] = row;
  }
  for (uint32_t i = 0; i < h->n_lists; i++)
    memcpy(h->centres + i * h->row_bytes, bin_row(h, h->sample[i]), h->row_bytes);
}

/* ---- Lists ----------------------------------------------------------------------------------- */

/* A block of n rows; free places have no bits. */
static void bin_turn(const struct bin_builder *h, const uint8_t **rows, size_t n, uint8_t *block) {
  static const uint8_t none[UINT16_MAX / 8 + 1];
  uint32_t dim = h->b->vecs->dim;
  for (size_t i = n; i < VDB_BITS_ROWS; i++)
    rows[i] = none;
  vdb_bits_table()->pack(rows, h->row_bytes, block);
  for (size_t i = 0; h->b->vecs->metric == VECDB_JACCARD && i < VDB_BITS_ROWS; i++) {
    uint16_t ones = (uint16_t)vdb_vec_norm(rows[i], VDB_BITS, dim);
    memcpy(block + VDB_BITS_ROWS * h->row_bytes + i * sizeof ones, &ones, sizeof ones);
  }
}

static void bin_turn_centres(struct bin_builder *h) {
  const uint8_t *rows[VDB_BITS_ROWS];
  for (uint32_t at = 0, n; at < h->n_lists; at += n) {
    n = vdb_min_u32(h->n_lists - at, VDB_BITS_ROWS);
    for (uint32_t i = 0; i < n; i++)
      rows[i] = h->centres + (at + i) * h->row_bytes;
    bin_turn(h, rows, n, h->turned + at / VDB_BITS_ROWS * bin_block_bytes(h));
  }
}

/* The nearest centroid of a row, by its distances to all. */
static uint32_t bin_nearest(const struct bin_builder *h, const uint8_t *row, const uint16_t *far) {
  uint32_t best = 0;
  if (h->b->vecs->metric == VECDB_HAMMING) {
    for (uint32_t list = 1; list < h->n_lists; list++)
      best = far[list] < far[best] ? list : best;
    return best;
  }
  uint32_t row_ones = (uint32_t)vdb_vec_norm(row, VDB_BITS, h->b->vecs->dim);
  float nearest = INFINITY;
  for (uint32_t list = 0; list < h->n_lists; list++) {
    const uint8_t *block = h->turned + list / VDB_BITS_ROWS * bin_block_bytes(h);
    uint16_t ones;
    memcpy(&ones, block + VDB_BITS_ROWS * h->row_bytes + list % VDB_BITS_ROWS * sizeof ones,
           sizeof ones);
    float key = vdb_bits_float(VDB_OP_JACCARD, far[list], (row_ones + ones + far[list]) / 2);
    best = key < nearest ? list : best;
    nearest = key < nearest ? key : nearest;
  }
  return best;
}

/* Rows of one chunk, VDB_BITS_QUERIES at a time. */
static void bin_assign_chunk(void *arg, size_t chunk, unsigned worker) {
  struct bin_builder *h = arg;
  size_t slots = (size_t)bin_blocks(h) * VDB_BITS_ROWS, each = 2 * h->row_bytes;
  uint16_t *far = h->far + worker * slots * VDB_BITS_QUERIES;
  uint8_t *offsets = h->offsets + worker * each * VDB_BITS_QUERIES;
  struct vdb_bits_step step = {.bytes = h->row_bytes,
                               .blocks = h->turned,
                               .block_stride = bin_block_bytes(h),
                               .n_blocks = bin_blocks(h),
                               .out = far,
                               .out_stride = slots};
  size_t end = vdb_min_size((chunk + 1) * BIN_BUILD_CHUNK, h->n_work);
  for (size_t i = chunk * BIN_BUILD_CHUNK; i < end; i += step.n_queries) {
    const uint8_t *rows[VDB_BITS_QUERIES];
    step.n_queries = vdb_min_size(end - i, VDB_BITS_QUERIES);
    for (size_t q = 0; q < step.n_queries; q++) {
      uint32_t place = h->first + (uint32_t)(i + q);
      rows[q] = bin_row(h, h->work ? h->work[place] : place);
      vdb_bits_offsets(rows[q], h->row_bytes, offsets + q * each);
      step.offsets[q] = offsets + q * each;
    }
    vdb_bits_table()->distances(&step);
    for (size_t q = 0; q < step.n_queries; q++)
      h->lists[h->first + i + q] = bin_nearest(h, rows[q], far + q * slots);
  }
}

/* Finds the lists of the next n rows. */
static void bin_assign(struct bin_builder *h, uint32_t n) {
  bin_turn_centres(h);
  h->n_work = n;
  h->b->par->run(h->b->par, ((size_t)n + BIN_BUILD_CHUNK - 1) / BIN_BUILD_CHUNK, bin_assign_chunk,
                 h);
}

/* Sorts the first n places by list. */
static void bin_sort(struct bin_builder *h, uint32_t n) {
  memset(h->starts, 0, ((size_t)h->n_lists + 1) * sizeof *h->starts);
  for (uint32_t i = 0; i < n; i++)
    h->starts[h->lists[i] + 1]++;
  for (uint32_t list = 0; list < h->n_lists; list++)
    h->starts[list + 1] += h->starts[list];
  for (uint32_t i = 0; i < n; i++)
    h->rows[h->starts[h->lists[i]]++] = i;
  for (uint32_t list = h->n_lists; list > 0; list--) /* each start has moved to the next one */
    h->starts[list] = h->starts[list - 1];
  h->starts[0] = 0;
}

/* ---- Centroids ------------------------------------------------------------------------------- */

/* Counts of each bit among the rows of a list; the bits set in all of them together. */
static uint64_t bin_count(const struct bin_builder *h, uint32_t list, uint32_t *counts) {
  uint32_t dim = h->b->vecs->dim;
  uint64_t total = 0;
  memset(counts, 0, dim * sizeof *counts);
  for (uint32_t i = h->starts[list]; i < h->starts[list + 1]; i++) {
    const uint8_t *row = bin_row(h, h->sample[h->rows[i]]);
    for (uint32_t bit = 0; bit < dim; bit++)
      counts[bit] += row[bit / 8] >> bit % 8 & 1u;
  }
  for (uint32_t bit = 0; bit < dim; bit++)
    total += counts[bit];
  return total;
}

/* The least count such that at most `wanted` bits have more, of counts up to `most`. */
static uint32_t bin_threshold(const uint32_t *counts, uint32_t dim, uint32_t wanted,
                              uint32_t most) {
  uint32_t low = 0;
  for (uint32_t high = most; low < high;) {
    uint32_t middle = low + (high - low) / 2, above = 0;
    for (uint32_t bit = 0; bit < dim; bit++)
      above += counts[bit] > middle;
    if (above <= wanted)
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

static void bin_learn_list(void *arg, size_t list, unsigned worker) {
  struct bin_builder *h = arg;
  uint32_t dim = h->b->vecs->dim;
  uint32_t *counts = h->counts + (size_t)worker * dim;
  uint32_t n = h->starts[list + 1] - h->starts[list];
  uint8_t *centre = h->centres + list * h->row_bytes;
  if (n == 0) /* it stays, and may win rows in the next round */
    return;
  uint64_t total = bin_count(h, (uint32_t)list, counts);
  uint32_t above = n / 2, ties = 0;
  if (h->b->vecs->metric == VECDB_JACCARD) {
    uint32_t wanted = (uint32_t)((total + n / 2) / n);
    above = bin_threshold(counts, dim, wanted, n);
    ties = wanted;
    for (uint32_t bit = 0; bit < dim; bit++)
      ties -= counts[bit] > above;
  }
  memset(centre, 0, h->row_bytes);
  for (uint32_t bit = 0; bit < dim; bit++) {
    bool tie = counts[bit] == above && ties > 0;
    ties -= tie;
    centre[bit / 8] = (uint8_t)(centre[bit / 8] | (counts[bit] > above || tie) << bit % 8);
  }
}

static int bin_progress(const struct bin_builder *h, uint64_t done, vecdb_error *err) {
  const struct vdb_index_build *b = h->b;
  if (b->progress && b->progress(b->progress_arg, done, 2 * (uint64_t)b->vecs->n))
    return vdb_fail(err, VECDB_ERR_CANCELLED, "building the index was cancelled");
  return VECDB_OK;
}

static int bin_train(struct bin_builder *h, vecdb_error *err) {
  bin_draw(h);
  h->work = h->sample;
  for (uint32_t round = 0; round < BIN_BUILD_ROUNDS; round++) {
    bin_assign(h, h->n_sample);
    bin_sort(h, h->n_sample);
    h->b->par->run(h->b->par, h->n_lists, bin_learn_list, h);
    VDB_TRY(bin_progress(h, (uint64_t)h->b->vecs->n * (round + 1) / BIN_BUILD_ROUNDS, err));
  }
  return VECDB_OK;
}

static int bin_fill(struct bin_builder *h, vecdb_error *err) {
  uint32_t n = h->b->vecs->n;
  h->work = NULL;
  for (h->first = 0; h->first < n; h->first += h->n_work) {
    bin_assign(h, vdb_min_u32(n - h->first, BIN_BUILD_BATCH));
    VDB_TRY(bin_progress(h, (uint64_t)n + h->first + h->n_work, err));
  }
  bin_sort(h, n);
  return VECDB_OK;
}

/* ---- Writing --------------------------------------------------------------------------------- */

static int bin_write(const struct bin_builder *h, uint32_t tag, const void *data, size_t n,
                     vecdb_error *err) {
  struct vdb_sect_writer *out = h->b->out;
  VDB_TRY(out->begin(out, tag, h->b->number, err));
  if (n > 0)
    VDB_TRY(out->append(out, data, n, err));
  return out->end(out, err);
}

/* Rows of one list, or their bits; `block` has room for one. */
static int bin_write_list(const struct bin_builder *h, uint32_t list, bool bits, uint8_t *block,
                          vecdb_error *err) {
  struct vdb_sect_writer *out = h->b->out;
  const uint8_t *rows[VDB_BITS_ROWS];
  uint32_t numbers[VDB_BITS_ROWS];
  uint32_t end = h->starts[list + 1];
  for (uint32_t at = h->starts[list], n; at < end; at += n) {
    n = vdb_min_u32(end - at, VDB_BITS_ROWS);
    memset(numbers, 0xff, sizeof numbers);
    memcpy(numbers, h->rows + at, n * sizeof numbers[0]);
    for (uint32_t i = 0; bits && i < n; i++)
      rows[i] = bin_row(h, numbers[i]);
    if (bits)
      bin_turn(h, rows, n, block);
    VDB_TRY(bits ? out->append(out, block, bin_block_bytes(h), err)
                 : out->append(out, numbers, sizeof numbers, err));
  }
  return VECDB_OK;
}

static int bin_write_lists(const struct bin_builder *h, uint32_t tag, uint8_t *block,
                           vecdb_error *err) {
  struct vdb_sect_writer *out = h->b->out;
  VDB_TRY(out->begin(out, tag, h->b->number, err));
  for (uint32_t list = 0; list < h->n_lists; list++)
    VDB_TRY(bin_write_list(h, list, tag == VDB_BIN_IVF_TAG_BITS, block, err));
  return out->end(out, err);
}

/* The first block of each list, and the end, which is returned. */
static int bin_write_starts(const struct bin_builder *h, uint32_t *n_blocks, vecdb_error *err) {
  struct vdb_sect_writer *out = h->b->out;
  uint32_t start = 0;
  VDB_TRY(out->begin(out, VDB_BIN_IVF_TAG_STARTS, h->b->number, err));
  for (uint32_t list = 0; list < h->n_lists; list++) {
    VDB_TRY(out->append(out, &start, sizeof start, err));
    start += vdb_bin_ivf_blocks(h->starts[list + 1] - h->starts[list]);
  }
  *n_blocks = start;
  VDB_TRY(out->append(out, &start, sizeof start, err));
  return out->end(out, err);
}

static int bin_write_all(const struct bin_builder *h, vecdb_error *err) {
  const struct vdb_vecs *v = h->b->vecs;
  struct vdb_bin_ivf_header header = {VDB_BIN_IVF_VERSION, v->n, v->dim, v->metric, h->n_lists, 0};
  VDB_TRY(bin_write_starts(h, &header.n_blocks, err));
  VDB_TRY(bin_write(h, VDB_BIN_IVF_TAG, &header, sizeof header, err));
  VDB_TRY(bin_write(h, VDB_BIN_IVF_TAG_CENTRES, h->turned, bin_blocks(h) * bin_block_bytes(h),
                    err));
  uint8_t *block = vdb_alloc(h->b->mem, bin_block_bytes(h));
  if (!block)
    return vdb_fail_memory(err);
  int rc = bin_write_lists(h, VDB_BIN_IVF_TAG_ROWS, block, err);
  rc = rc ? rc : bin_write_lists(h, VDB_BIN_IVF_TAG_BITS, block, err);
  vdb_free(h->b->mem, block);
  return rc;
}

VDB_INTERNAL int vdb_bin_ivf_build(const struct vdb_index_build *b, vecdb_error *err) {
  struct bin_builder h = {.b = b, .row_bytes = vdb_elem_row_bytes(VDB_BITS, b->vecs->dim)};
  if (b->vecs->n == 0)
    return bin_write_all(&h, err);
  h.n_lists = vdb_min_u32(b->params.nlist ? b->params.nlist : 1, b->vecs->n);
  int rc = bin_init(&h, err);
  rc = rc ? rc : bin_train(&h, err);
  rc = rc ? rc : bin_fill(&h, err);
  rc = rc ? rc : bin_write_all(&h, err);
  bin_fini(&h);
  return rc;
}
