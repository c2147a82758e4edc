/*
 * ixtest.h - what the tests of lib/index share: clustered data of each element type, true scores in
 * double, sections in memory, a parallel loop on plain threads, an allocator that fails on demand.
 */
#ifndef IXTEST_H
#define IXTEST_H

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/rng.h"
#include "index/index.h"

#define IX_UNUSED __attribute__((unused))

/* ---- Data ------------------------------------------------------------------------------------ */

/* Rows and queries of one type; each array is its own exact block, so that ASan sees the edges. */
struct ix_data {
  struct vdb_vecs vecs;
  uint8_t *rows;
  uint8_t *queries; /* packed as the rows are */
  float *inv_norms;
  size_t n_queries;
};

static inline double ix_gauss(struct vdb_rng *rng) {
  double u = vdb_rng_unit(rng) + 1e-12;
  return sqrt(-2 * log(u)) * cos(6.283185307179586 * vdb_rng_unit(rng));
}

/* Writes one vector, given as numbers, in the form of a type (bits: positive or not). */
static inline void ix_encode(uint8_t *out, const float *in, enum vdb_elem elem, size_t dim) {
  memset(out, 0, vdb_elem_row_bytes(elem, dim));
  for (size_t i = 0; i < dim; i++) {
    uint16_t half = 0;
    if (elem == VDB_F32)
      memcpy(out + i * 4, &in[i], 4);
    else if (elem == VDB_I8)
      out[i] = (uint8_t)(int8_t)fmaxf(-127, fminf(127, roundf(in[i] * 40)));
    else if (elem == VDB_BITS)
      out[i / 8] = (uint8_t)(out[i / 8] | (in[i] > 0) << (i % 8));
    else if (elem == VDB_F16)
      vdb_kern()->f32_to_f16(&in[i], &half, 1);
    else
      vdb_kern()->f32_to_bf16(&in[i], &half, 1);
    if (elem == VDB_F16 || elem == VDB_BF16)
      memcpy(out + i * 2, &half, 2);
  }
}

/* For what answers are held against, by looking at each element of each row in double: sanitizers
   would have nothing to find in it, and make it take most of the time of a test, as would compiling
   it as soon as the rest of a test. */
#ifdef __clang__
#define IX_PLAIN __attribute__((no_sanitize("address", "undefined", "thread")))
#else
#define IX_PLAIN __attribute__((no_sanitize("address", "undefined", "thread"), optimize("O2")))
#endif

IX_PLAIN static inline double ix_half(uint16_t bits) {
  int exponent = bits >> 10 & 31;
  int fraction = bits & 1023;
  double value = exponent ? (1024 + fraction) * (double)(1u << exponent) * 0x1p-25
                          : fraction * 0x1p-24;
  return bits >> 15 ? -value : value;
}

/* Elements first to first + n of a vector; bits: 0 or 1. */
IX_PLAIN static inline void ix_values(const uint8_t *at, enum vdb_elem elem, size_t first, size_t n,
                                      double *out) {
  for (size_t i = 0; i < n; i++) {
    size_t from = first + i;
    float single = 0;
    uint16_t half = 0;
    if (elem == VDB_F32) {
      memcpy(&single, at + from * 4, 4);
      out[i] = (double)single;
    } else if (elem == VDB_F16) {
      memcpy(&half, at + from * 2, 2);
      out[i] = ix_half(half);
    } else if (elem == VDB_BF16) {
      memcpy(&half, at + from * 2, 2);
      uint32_t wide = (uint32_t)half << 16;
      memcpy(&single, &wide, 4);
      out[i] = (double)single;
    } else if (elem == VDB_I8) {
      out[i] = (double)(int8_t)at[from];
    } else {
      out[i] = (double)(at[from / 8] >> (from % 8) & 1);
    }
  }
}

/* Two sums of doubles at a time, added up in the end. */
typedef double ix_pair __attribute__((vector_size(16)));

/* The true key of a row, summed in double. Of bits the squares count those that differ, the
   products those that both have. */
IX_PLAIN static inline double ix_true_key(const struct ix_data *d, const uint8_t *query,
                                          uint32_t row) {
  enum { PART = 64 };
  const uint8_t *at = d->rows + (size_t)row * d->vecs.stride;
  enum vdb_elem elem = d->vecs.elem;
  size_t dim = d->vecs.dim;
  ix_pair q[PART / 2 + 1], r[PART / 2 + 1], squares = {0}, dots = {0}, queries = {0}, rows = {0};
  for (size_t from = 0; from < dim; from += PART) {
    size_t n = dim - from < PART ? dim - from : PART;
    q[n / 2] = r[n / 2] = (ix_pair){0}; /* of an odd n the second half of the last stays 0 */
    ix_values(query, elem, from, n, (double *)q);
    ix_values(at, elem, from, n, (double *)r);
    for (size_t i = 0; i < (n + 1) / 2; i++) {
      squares += (q[i] - r[i]) * (q[i] - r[i]);
      dots += q[i] * r[i];
      queries += q[i] * q[i];
      rows += r[i] * r[i];
    }
  }
  double dot = dots[0] + dots[1], qq = queries[0] + queries[1], rr = rows[0] + rows[1];
  switch (d->vecs.metric) {
  case VECDB_L2:
  case VECDB_HAMMING:
    return squares[0] + squares[1];
  case VECDB_IP:
    return -dot;
  case VECDB_COSINE:
    return qq > 0 && rr > 0 ? -dot / sqrt(qq) / sqrt(rr) : 0;
  default:
    return qq + rr > 0 ? 1 - dot / (qq + rr - dot) : 0;
  }
}

/* The caller fills data->rows and calls this; dim of bits is a multiple of 8. */
static inline void ix_data_alloc(struct ix_data *d, enum vdb_elem elem, int32_t metric, size_t n,
                                 size_t dim) {
  size_t bytes = vdb_elem_row_bytes(elem, dim);
  memset(d, 0, sizeof *d);
  d->n_queries = 50;
  d->rows = malloc(n * bytes + !n);
  d->queries = malloc(d->n_queries * bytes);
  d->vecs = (struct vdb_vecs){d->rows, bytes, NULL, vdb_kern_for(elem, metric), (uint32_t)n,
                              (uint32_t)dim, elem, metric};
}

static inline void ix_data_norms(struct ix_data *d) {
  if (d->vecs.metric != VECDB_COSINE)
    return;
  d->inv_norms = malloc(d->vecs.n * sizeof(float) + 1);
  for (size_t i = 0; i < d->vecs.n; i++)
    d->inv_norms[i] = vdb_inv_norm(
        vdb_vec_norm(d->rows + i * d->vecs.stride, d->vecs.elem, d->vecs.dim));
  d->vecs.inv_norms = d->inv_norms;
}

/* Gaussian clusters; `copies` > 1: each vector comes so many times. */
static inline void ix_data_make(struct ix_data *d, enum vdb_elem elem, int32_t metric, size_t n,
                                size_t dim, size_t copies) {
  enum { CLUSTERS = 40 };
  struct vdb_rng rng = {7};
  float *centres = malloc(CLUSTERS * dim * sizeof *centres);
  float *one = malloc(dim * sizeof *one);
  ix_data_alloc(d, elem, metric, n, dim);
  for (size_t i = 0; i < CLUSTERS * dim; i++)
    centres[i] = (float)ix_gauss(&rng);
  for (size_t i = 0; i < n + d->n_queries; i++) {
    const float *centre = centres + vdb_rng_below(&rng, CLUSTERS) * dim;
    for (size_t k = 0; k < dim; k++)
      one[k] = centre[k] + 0.5f * (float)ix_gauss(&rng);
    uint8_t *out = i < n ? d->rows + i * d->vecs.stride : d->queries + (i - n) * d->vecs.stride;
    if (i < n && i % copies)
      memcpy(out, out - d->vecs.stride, d->vecs.stride);
    else
      ix_encode(out, one, elem, dim);
  }
  ix_data_norms(d);
  free(one);
  free(centres);
}

static inline void ix_data_free(struct ix_data *d) {
  free(d->rows);
  free(d->queries);
  free(d->inv_norms);
}

static inline const uint8_t *ix_query(const struct ix_data *d, size_t i) {
  return d->queries + i * d->vecs.stride;
}

/* A prepared query; its memory is the caller's to free. */
static inline struct vdb_query_vec ix_prepare(const struct ix_data *d, const uint8_t *raw) {
  struct vdb_query_vec q = {NULL, 0};
  size_t bytes = vdb_query_vec_bytes(d->vecs.elem, d->vecs.dim);
  if (posix_memalign(&q.data, 64, bytes + !bytes))
    abort();
  vdb_query_vec_set(&q, raw, d->vecs.elem, d->vecs.dim, d->vecs.metric);
  return q;
}

static inline int ix_compare_doubles(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* The true key of the k-th nearest allowed row; infinity when there are fewer. */
static inline double ix_true_kth(const struct ix_data *d, const uint8_t *query,
                                 const uint64_t *allow, size_t k) {
  double *keys = malloc(d->vecs.n * sizeof *keys + 1);
  size_t n = 0;
  for (uint32_t i = 0; i < d->vecs.n; i++)
    if (!allow || vdb_bit_get(allow, i))
      keys[n++] = ix_true_key(d, query, i);
  qsort(keys, n, sizeof *keys, ix_compare_doubles);
  double kth = k <= n ? keys[k - 1] : (double)INFINITY;
  free(keys);
  return kth;
}

/* The true key of the k-th nearest allowed row of each query; the same for all indexes over the
   data. */
struct ix_truth {
  double kth[64];
};

static inline struct ix_truth ix_truth_of(const struct ix_data *d, const uint64_t *allow,
                                          size_t k) {
  struct ix_truth truth;
  if (d->n_queries > VDB_COUNT(truth.kth))
    abort();
  for (size_t i = 0; i < d->n_queries; i++)
    truth.kth[i] = ix_true_kth(d, ix_query(d, i), allow, k);
  return truth;
}

/* ---- Sections -------------------------------------------------------------------------------- */

struct ix_section {
  uint32_t tag;
  uint32_t number;
  uint8_t *data; /* an exact block, 64-byte aligned; while it grows, of `room` bytes */
  size_t n;
  size_t room;
};

struct ix_sections {
  struct vdb_sect_writer writer;
  struct vdb_sect_reader reader;
  struct ix_section items[40];
  size_t n;
  bool fail; /* appends fail */
  _Atomic long reads;      /* of sources, so far */
  _Atomic long reads_left; /* before all of them fail; negative: none fails */
};

static inline void ix_section_set(struct ix_section *s, const void *a, size_t n_a, const void *b,
                                  size_t n_b) {
  void *block = NULL;
  if (posix_memalign(&block, 64, n_a + n_b + !(n_a + n_b)))
    abort();
  if (n_a)
    memcpy(block, a, n_a);
  if (n_b)
    memcpy((uint8_t *)block + n_a, b, n_b);
  free(s->data);
  s->data = block;
  s->n = n_a + n_b;
}

static inline int ix_begin(struct vdb_sect_writer *w, uint32_t tag, uint32_t number,
                           vecdb_error *err) {
  struct ix_sections *all = (struct ix_sections *)w;
  (void)err;
  if (all->n == VDB_COUNT(all->items))
    abort();
  all->items[all->n] = (struct ix_section){.tag = tag, .number = number};
  ix_section_set(&all->items[all->n], NULL, 0, NULL, 0);
  return VECDB_OK;
}

static inline int ix_append(struct vdb_sect_writer *w, const void *data, size_t n,
                            vecdb_error *err) {
  struct ix_sections *all = (struct ix_sections *)w;
  struct ix_section *s = &all->items[all->n];
  if (all->fail)
    return vdb_fail(err, VECDB_ERR_IO, "no");
  if (s->n + n > s->room) {
    s->room = 2 * (s->n + n);
    s->data = realloc(s->data, s->room);
    if (!s->data)
      abort();
  }
  if (n)
    memcpy(s->data + s->n, data, n);
  s->n += n;
  return VECDB_OK;
}

static inline int ix_end(struct vdb_sect_writer *w, vecdb_error *err) {
  struct ix_sections *all = (struct ix_sections *)w;
  struct ix_section *s = &all->items[all->n++];
  (void)err;
  ix_section_set(s, s->data, s->n, NULL, 0);
  return VECDB_OK;
}

static inline int ix_find(const struct vdb_sect_reader *r, uint32_t tag, uint32_t number, bool bulk,
                          const void **data, size_t *n, vecdb_error *err) {
  const struct ix_sections *all =
      (const struct ix_sections *)((const char *)r - offsetof(struct ix_sections, reader));
  (void)bulk;
  (void)err;
  *data = NULL;
  for (size_t i = 0; i < all->n; i++) {
    if (all->items[i].tag != tag || all->items[i].number != number)
      continue;
    *data = all->items[i].data;
    *n = all->items[i].n;
  }
  return VECDB_OK;
}

static inline int ix_align(struct vdb_sect_writer *w, vecdb_error *err) {
  (void)w;
  (void)err;
  return VECDB_OK;
}

/* A section read in pieces: a wait copies, and an error comes after so many reads. */
struct ix_source {
  struct vdb_sect_source base;
  const struct ix_section *section;
  struct ix_sections *all;
};

struct ix_queue {
  vecdb_read_queue base;
  struct ix_source *source;
};

static inline void ix_queue_start(vecdb_read_queue *queue, vecdb_read *read) {
  (void)queue;
  read->done = 0;
}

static inline void ix_queue_wait(vecdb_read_queue *queue, vecdb_read *read) {
  struct ix_source *source = ((struct ix_queue *)queue)->source;
  const struct ix_section *s = source->section;
  if (read->done)
    return;
  read->done = 1;
  read->error = 0;
  if (read->n % VECDB_BLOCK || read->offset % VECDB_BLOCK || (uintptr_t)read->buf % VECDB_BLOCK)
    abort();
  atomic_fetch_add(&source->all->reads, 1);
  long left = atomic_load(&source->all->reads_left);
  if (left >= 0 && atomic_fetch_sub(&source->all->reads_left, 1) <= 0)
    read->error = 5; /* EIO */
  else if (read->offset > s->n || read->n > s->n - read->offset)
    read->error = 5;
  else
    memcpy(read->buf, s->data + read->offset, read->n);
}

static inline void ix_queue_close(vecdb_read_queue *queue) { free(queue); }

static inline int ix_source_queue(struct vdb_sect_source *base, uint32_t depth,
                                  vecdb_read_queue **out) {
  struct ix_queue *queue = malloc(sizeof *queue);
  (void)depth;
  queue->base = (vecdb_read_queue){ix_queue_start, ix_queue_wait, ix_queue_close};
  queue->source = (struct ix_source *)base;
  *out = &queue->base;
  return 0;
}

static inline void ix_source_close(struct vdb_sect_source *source) { free(source); }

static inline int ix_source_open(const struct vdb_sect_reader *r, uint32_t tag, uint32_t number,
                                 struct vdb_sect_source **out, vecdb_error *err) {
  struct ix_sections *all =
      (struct ix_sections *)(uintptr_t)((const char *)r - offsetof(struct ix_sections, reader));
  (void)err;
  *out = NULL;
  for (size_t i = 0; i < all->n; i++) {
    if (all->items[i].tag != tag || all->items[i].number != number)
      continue;
    struct ix_source *source = malloc(sizeof *source);
    source->base = (struct vdb_sect_source){.length = all->items[i].n,
                                            .queue = ix_source_queue,
                                            .close = ix_source_close};
    source->section = &all->items[i];
    source->all = all;
    *out = &source->base;
  }
  return VECDB_OK;
}

static inline void ix_sections_init(struct ix_sections *all) {
  memset(all, 0, sizeof *all);
  all->writer = (struct vdb_sect_writer){ix_begin, ix_append, ix_end, ix_align};
  all->reader = (struct vdb_sect_reader){ix_find, ix_source_open};
  atomic_store(&all->reads_left, -1);
}

static inline void ix_sections_free(struct ix_sections *all) {
  for (size_t i = 0; i < VDB_COUNT(all->items); i++)
    free(all->items[i].data);
  ix_sections_init(all);
}

static inline bool ix_sections_equal(const struct ix_sections *a, const struct ix_sections *b) {
  if (a->n != b->n)
    return false;
  for (size_t i = 0; i < a->n; i++)
    if (a->items[i].tag != b->items[i].tag || a->items[i].n != b->items[i].n ||
        memcmp(a->items[i].data, b->items[i].data, a->items[i].n) != 0)
      return false;
  return true;
}

/* ---- Threads --------------------------------------------------------------------------------- */

struct ix_loop {
  size_t n;
  vdb_par_body body;
  void *arg;
  _Atomic size_t next;
  _Atomic unsigned worker;
};

static inline void *ix_loop_run(void *arg) {
  struct ix_loop *loop = arg;
  unsigned worker = atomic_fetch_add(&loop->worker, 1);
  for (size_t i; (i = atomic_fetch_add(&loop->next, 1)) < loop->n;)
    loop->body(loop->arg, i, worker);
  return NULL;
}

static inline void ix_par_run(const struct vdb_par *par, size_t n, vdb_par_body body, void *arg) {
  struct ix_loop loop = {n, body, arg, 0, 0};
  pthread_t threads[8];
  for (unsigned i = 1; i < par->workers; i++)
    if (pthread_create(&threads[i], NULL, ix_loop_run, &loop))
      abort();
  ix_loop_run(&loop);
  for (unsigned i = 1; i < par->workers; i++)
    pthread_join(threads[i], NULL);
}

/* ---- Memory that fails ----------------------------------------------------------------------- */

struct ix_memory {
  struct vdb_mem mem;
  long left; /* calls before the one that fails; negative: none fails */
};

static inline void *ix_memory_alloc(void *user, size_t size) {
  struct ix_memory *m = user;
  return m->left >= 0 && m->left-- == 0 ? NULL : malloc(size);
}

static inline void *ix_memory_resize(void *user, void *block, size_t size) {
  struct ix_memory *m = user;
  return m->left >= 0 && m->left-- == 0 ? NULL : realloc(block, size);
}

static inline void ix_memory_release(void *user, void *block) {
  (void)user;
  free(block);
}

static inline void ix_memory_init(struct ix_memory *m, long left) {
  vecdb_allocator table = {ix_memory_alloc, ix_memory_resize, ix_memory_release, m};
  m->left = left;
  vdb_mem_init(&m->mem, &table, 0);
}

/* ---- Building and searching ------------------------------------------------------------------ */

/* Upon `from`, unless that is NULL. */
static inline int ix_build_from(struct vdb_mem *mem, const struct ix_data *d,
                                const struct vdb_par *par, vecdb_index_params params,
                                const struct vdb_index_from *from, struct ix_sections *out,
                                vecdb_error *err) {
  struct vdb_index_field field = {"v", d->vecs.elem, d->vecs.dim, d->vecs.metric};
  if (vdb_index_params_fill(&params, &field, err))
    return err->code;
  vdb_index_params_settle(&params, d->vecs.n);
  struct vdb_index_build b = {.mem = mem, .vecs = &d->vecs, .par = par, .params = params,
                              .kind = vdb_index_kind(params.type), .from = from, .seed = 1,
                              .out = &out->writer, .number = 3};
  return vdb_index_ops_of(params.type, d->vecs.elem)->build(&b, err);
}

static inline int ix_build_with(struct vdb_mem *mem, const struct ix_data *d, unsigned workers,
                                vecdb_index_params params, struct ix_sections *out,
                                vecdb_error *err) {
  struct vdb_par par = {ix_par_run, workers, NULL};
  if (workers == 1)
    par = vdb_par_serial();
  return ix_build_from(mem, d, &par, params, NULL, out, err);
}

static inline int ix_build(struct vdb_mem *mem, const struct ix_data *d, unsigned workers,
                           uint32_t m, struct ix_sections *out, vecdb_error *err) {
  vecdb_index_params params = VECDB_INDEX_PARAMS_INIT;
  params.type = VECDB_INDEX_HNSW;
  params.m = m;
  params.ef_construction = 100;
  return ix_build_with(mem, d, workers, params, out, err);
}

static inline int ix_open_type(struct vdb_mem *mem, const struct ix_data *d, int32_t type,
                               const struct ix_sections *in, struct vdb_index **out,
                               vecdb_error *err) {
  const struct vdb_index_ops *ops = vdb_index_ops_of(type, d->vecs.elem);
  return ops->open(mem, &in->reader, 3, &d->vecs, out, err);
}

static inline int ix_open(struct vdb_mem *mem, const struct ix_data *d,
                          const struct ix_sections *in, struct vdb_index **out, vecdb_error *err) {
  return ix_open_type(mem, d, VECDB_INDEX_HNSW, in, out, err);
}

#endif
