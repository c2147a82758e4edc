/*
 * bin_ivf_build.c - building a BIN_IVF index over binary rows; see bin_ivf.h. Centroids are learnt
 * by k-majority: each row of a sample goes to the nearest centroid by the metric itself, and a
 * centroid takes the bits that are set in most of its rows. Under JACCARD, where rows have few bits
 * and hardly one is in most of them, it takes the commonest bits, as many as its rows have on
 * average.
 */
#include "base/rng.h"
#include "index/bin_ivf.h"

enum {
  BIN_BUILD_SAMPLE = 64,     /* rows to learn from for each list */
  BIN_BUILD_ROUNDS = 8,      /* of learning */
  BIN_BUILD_CHUNK = 64,      /* rows assigned per item of a parallel loop */
  BIN_BUILD_BATCH = 1 << 16, /* rows between two looks at progress */
  BIN_BUILD_BYTES = 1 << 16  /* written at a time, about */
};

struct bin_builder {
  const struct vdb_index_build *b;
  size_t row_bytes;
  uint32_t n_lists;
  uint8_t *centres;
  uint32_t *sample; /* rows to learn from */
  uint32_t n_sample;
  const uint32_t *work; /* rows being assigned; NULL: all from `first` on */
  uint32_t first, n_work;
  uint32_t *lists;  /* of the rows of the sample, then of all */
  uint32_t *starts; /* of each list among `rows` */
  uint32_t *rows;   /* places in `lists`, list by list, ascending */
  float *keys;      /* for each worker, to each centroid */
  uint32_t *counts; /* for each worker, of each bit */
};

static const uint8_t *bin_row(const struct bin_builder *h, uint32_t row) {
  return h->b->vecs->data + (size_t)row * h->b->vecs->stride;
}

static int bin_init(struct bin_builder *h, vecdb_error *err) {
  const struct vdb_index_build *b = h->b;
  size_t workers = b->par->workers, n = b->vecs->n;
  h->n_sample = (uint32_t)vdb_min_size(n, (size_t)h->n_lists * BIN_BUILD_SAMPLE);
  h->centres = vdb_alloc_array(b->mem, h->n_lists, h->row_bytes);
  h->sample = vdb_alloc_array(b->mem, n, sizeof *h->sample);
  h->lists = vdb_alloc_array(b->mem, n, sizeof *h->lists);
  h->starts = vdb_alloc_array(b->mem, (size_t)h->n_lists + 1, sizeof *h->starts);
  h->rows = vdb_alloc_array(b->mem, n, sizeof *h->rows);
  h->keys = vdb_alloc_array(b->mem, workers * h->n_lists, sizeof *h->keys);
  h->counts = vdb_alloc_array(b->mem, workers * b->vecs->dim, sizeof *h->counts);
  if (h->centres && h->sample && h->lists && h->starts && h->rows && h->keys && h->counts)
    return VECDB_OK;
  return vdb_fail_memory(err);
}

static void bin_fini(struct bin_builder *h) {
  struct vdb_mem *mem = h->b->mem;
  vdb_free(mem, h->centres);
  vdb_free(mem, h->sample);
  vdb_free(mem, h->lists);
  vdb_free(mem, h->starts);
  vdb_free(mem, h->rows);
  vdb_free(mem, h->keys);
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

static void bin_assign_chunk(void *arg, size_t chunk, unsigned worker) {
  struct bin_builder *h = arg;
  const struct vdb_vecs *v = h->b->vecs;
  float *keys = h->keys + (size_t)worker * h->n_lists;
  size_t end = vdb_min_size((chunk + 1) * BIN_BUILD_CHUNK, h->n_work);
  for (size_t i = chunk * BIN_BUILD_CHUNK; i < end; i++) {
    uint32_t place = h->first + (uint32_t)i, best = 0;
    const uint8_t *row = bin_row(h, h->work ? h->work[place] : place);
    v->kern->many(row, h->centres, h->row_bytes, h->n_lists, v->dim, keys);
    for (uint32_t list = 1; list < h->n_lists; list++)
      best = keys[list] < keys[best] ? list : best;
    h->lists[place] = best;
  }
}

/* Finds the lists of the next n rows. */
static void bin_assign(struct bin_builder *h, uint32_t n) {
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

/* The bits of the rows, list by list. */
static int bin_write_bits(const struct bin_builder *h, vecdb_error *err) {
  struct vdb_sect_writer *out = h->b->out;
  uint32_t step = BIN_BUILD_BYTES / (uint32_t)h->row_bytes + 1, n = h->b->vecs->n;
  uint8_t *bits = vdb_alloc_array(h->b->mem, step, h->row_bytes);
  if (!bits)
    return vdb_fail_memory(err);
  int rc = out->begin(out, VDB_BIN_IVF_TAG_BITS, h->b->number, err);
  for (uint32_t at = 0, count; rc == VECDB_OK && at < n; at += count) {
    count = vdb_min_u32(n - at, step);
    for (uint32_t i = 0; i < count; i++)
      memcpy(bits + i * h->row_bytes, bin_row(h, h->rows[at + i]), h->row_bytes);
    rc = out->append(out, bits, count * h->row_bytes, err);
  }
  vdb_free(h->b->mem, bits);
  return rc ? rc : out->end(out, err);
}

static int bin_write_all(const struct bin_builder *h, vecdb_error *err) {
  static const uint32_t none[1] = {0};
  const struct vdb_vecs *v = h->b->vecs;
  struct vdb_bin_ivf_header header = {VDB_BIN_IVF_VERSION, v->n, v->dim, v->metric, h->n_lists, 0};
  VDB_TRY(bin_write(h, VDB_BIN_IVF_TAG, &header, sizeof header, err));
  VDB_TRY(bin_write(h, VDB_BIN_IVF_TAG_CENTRES, h->centres, h->n_lists * h->row_bytes, err));
  VDB_TRY(bin_write(h, VDB_BIN_IVF_TAG_STARTS, h->starts ? h->starts : none,
                    ((size_t)h->n_lists + 1) * sizeof *h->starts, err));
  VDB_TRY(bin_write(h, VDB_BIN_IVF_TAG_ROWS, h->rows, v->n * sizeof *h->rows, err));
  return bin_write_bits(h, err);
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
