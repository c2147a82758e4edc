/*
 * ivf_search.c - searches of an opened index; see ivf.h. The lists nearest to the query are scanned
 * by code, and rows that come below a running bound go into a pool, once each: a row of two lists
 * is judged in the nearer one. The bound is that of the `want` nearest so far and is drawn tighter
 * whenever the pool has twice as many. At the end the nearest of the pool are scored again, first
 * by the codes of all rows, if there are any, and then by the rows or their copies.
 *
 * Rows in 8 bits are known up to a small error, which behaves at random after a rotation. There the
 * bound lies so much above the k-th key that no row among the k nearest of the lists stays outside.
 */
#include <math.h>

#include "base/bitmap.h"
#include "base/check.h"
#include "index/ivf.h"

enum {
  SEARCH_STOP = 8,      /* blocks between two questions whether to stop */
  SEARCH_CHUNK = 256,   /* rows scored at a time */
  SEARCH_AHEAD = 4,     /* blocks that are on their way while one is compared */
  SEARCH_LINES = 2048,  /* bytes of a block to ask for: of long ones the processor finds the rest */
  SEARCH_SLACK = 64,    /* rows above twice those wanted before the bound is drawn tighter */
  SEARCH_SIGMAS = 6,    /* standard deviations that a key in 8 bits may be off */
  SEARCH_FILTERED = 30  /* under a filter: allowed rows to see for each result */
};

/* The block to be asked for next, in the order in which lists are looked through. */
struct search_ahead {
  uint32_t list; /* the next one, of scratch->lists */
  uint32_t block, end;
};

struct ivf_search {
  const struct vdb_ivf *ivf;
  struct vdb_search *s;
  struct vdb_ivf_scratch *scratch;
  size_t want;    /* rows of the pool to score again */
  size_t need;    /* rows to have seen before the search may end */
  size_t limit;   /* rows in the pool before the bound is drawn tighter */
  float margin;   /* above the key of the last of these, what is kept as well */
  float bound;
  struct search_ahead ahead;
  bool full;      /* rows were turned down: the bound is not infinite */
  bool no_memory;
};

/* Makes room for the pool to reach its limit, and for one more block or chunk of rows. */
static bool search_reserve(struct ivf_search *f) {
  struct vdb_ivf_scratch *w = f->scratch;
  struct vdb_mem *mem = f->ivf->mem;
  size_t n = f->limit + SEARCH_CHUNK;
  size_t rows = w->capacity, keys = w->capacity;
  return n <= w->capacity || (VDB_GROW(mem, w->rows, rows, n) && VDB_GROW(mem, w->keys, keys, n) &&
                              VDB_GROW(mem, w->near, w->capacity, n));
}

/* Leaves those of the pool whose keys are at most `bound`. */
static void search_drop(struct vdb_ivf_scratch *w, float bound) {
  size_t n = 0;
  for (size_t i = 0; i < w->n_pool; i++) {
    float key = w->keys[i];
    w->rows[n] = w->rows[i];
    w->keys[n] = key;
    n += key <= bound;
  }
  w->n_pool = n;
}

/* Leaves the `want` nearest of the pool. */
static void search_select(struct vdb_ivf_scratch *w, size_t want) {
  if (w->n_pool <= want)
    return;
  for (size_t i = 0; i < w->n_pool; i++)
    w->near[i] = (struct vdb_near){w->keys[i], w->rows[i]};
  vdb_near_select(w->near, w->n_pool, want);
  for (size_t i = 0; i < want; i++) {
    w->keys[i] = w->near[i].key;
    w->rows[i] = w->near[i].row;
  }
  w->n_pool = want;
}

/* Draws the bound tighter and drops what is above it. */
static void search_tighten(struct ivf_search *f) {
  struct vdb_ivf_scratch *w = f->scratch;
  if (w->n_pool <= f->want)
    return;
  f->full = true;
  f->bound = vdb_ivf_cut(w->keys, w->n_pool, f->want) + f->margin;
  search_drop(w, f->bound);
  if (w->n_pool <= 2 * f->want || f->margin > 0)
    return;
  search_select(w, f->want); /* as many are about equal */
  f->bound = w->near[f->want - 1].key;
}

/* Takes the rows of a block whose bits are set. */
static void search_pool_take(struct ivf_search *f, const uint32_t *rows, uint32_t below,
                        const float *keys) {
  const struct vdb_search *s = f->s;
  struct vdb_ivf_scratch *w = f->scratch;
  for (; below; below &= below - 1) {
    uint32_t slot = (uint32_t)__builtin_ctz(below);
    uint32_t row = rows[slot];
    if (row >= f->ivf->base.vecs.n || (s->allow && !vdb_bit_get(s->allow, row)) ||
        !vdb_visited_add(&w->seen, row) || (s->accept && !s->accept(s->accept_arg, row)))
      continue;
    w->keys[w->n_pool] = keys[slot];
    w->rows[w->n_pool++] = row;
  }
}

/* Asks for one more block of the lists to come, and for its rows: lists are short, and nothing but
   their order tells where the next one lies. */
static void search_ask(struct ivf_search *f) {
  const struct vdb_ivf *ivf = f->ivf;
  struct search_ahead *ahead = &f->ahead;
  while (ahead->block == ahead->end) {
    if (ahead->list == f->scratch->n_lists)
      return;
    uint32_t list = f->scratch->lists[ahead->list++].row;
    ahead->block = ivf->lists.starts[list];
    ahead->end = ivf->lists.starts[list + 1];
  }
  const uint8_t *block = ivf->lists.blocks + ahead->block * ivf->coder.block_bytes;
  const uint32_t *rows = ivf->lists.rows + (size_t)ahead->block * VDB_IVF_BLOCK;
  size_t n = vdb_min_size(ivf->coder.block_bytes, SEARCH_LINES);
  for (size_t i = 0; i < n; i += 64)
    VDB_PREFETCH(block + i);
  VDB_PREFETCH(rows);
  VDB_PREFETCH(rows + VDB_IVF_BLOCK / 2);
  ahead->block++;
}

/* Scans blocks first .. end - 1. False: to stop, or out of memory. */
static bool search_blocks(struct ivf_search *f, uint32_t first, uint32_t end, float base) {
  const struct vdb_ivf *ivf = f->ivf;
  struct vdb_ivf_scratch *w = f->scratch;
  vdb_scan_fn scan = ivf->coder.scan;
  float keys[VDB_IVF_BLOCK];
  for (uint32_t b = first; b < end; b++) {
    const uint8_t *block = ivf->lists.blocks + b * ivf->coder.block_bytes;
    const uint32_t *rows = ivf->lists.rows + (size_t)b * VDB_IVF_BLOCK;
    search_ask(f);
    uint32_t below = scan(&w->query.table, block, base, f->bound, keys);
    search_pool_take(f, rows, below, keys);
    if (w->n_pool >= f->limit) {
      search_tighten(f);
      f->limit = vdb_max_size(f->limit, 2 * w->n_pool + SEARCH_SLACK);
      f->no_memory = !search_reserve(f);
      if (f->no_memory)
        return false;
    }
    if ((b - first) % SEARCH_STOP == SEARCH_STOP - 1 && f->s->stop && f->s->stop(f->s->stop_arg))
      return false;
  }
  f->s->distances += (uint64_t)(end - first) * VDB_IVF_BLOCK;
  return true;
}

/* Scans lists, nearest first: as many as asked for, and more while too few rows were seen. */
static void search_lists(struct ivf_search *f) {
  const struct vdb_ivf *ivf = f->ivf;
  struct vdb_ivf_scratch *w = f->scratch;
  uint32_t n_lists = ivf->centroids.n;
  uint32_t n = vdb_min_u32(f->s->effort, n_lists);
  float reach = vdb_ivf_reach(ivf, &n);
  vdb_ivf_probe(ivf, w, n, reach);
  n = vdb_min_u32(n, w->n_lists);
  for (uint32_t i = 0; i < SEARCH_AHEAD; i++)
    search_ask(f);
  for (uint32_t i = 0; i < n; i++) {
    uint32_t list = w->lists[i].row;
    uint32_t first = ivf->lists.starts[list];
    uint32_t end = ivf->lists.starts[list + 1];
    if (f->s->stop && f->s->stop(f->s->stop_arg))
      return;
    const float *spreads = ivf->centroids.spreads;
    float base = w->lists[i].key - (spreads ? spreads[list] : 0);
    if (!search_blocks(f, first, end, base))
      return;
    if (i + 1 == n && n < n_lists && !f->full && w->n_pool < f->need) {
      n = vdb_min_u32(2 * n, n_lists);
      vdb_ivf_probe_more(ivf, w, n);
    }
  }
}

/* How far keys in 8 bits may be off; what a damaged file brings that is no number counts as 0. */
static float search_margin(const struct vdb_ivf *ivf, const struct vdb_ivf_query *q) {
  float of_query = q->error * ivf->bounds.norm;
  float of_row = (q->norm + ivf->bounds.norm) * ivf->bounds.error;
  float one = sqrtf((of_query * of_query + of_row * of_row) / (float)ivf->coder.dim);
  float margin = 2 * SEARCH_SIGMAS * (ivf->coder.l2 ? 2 * one : one);
  return margin > 0 ? margin : 0;
}

/* Scores the pool by the codes of all rows, and leaves the best of it. */
static void search_recode(struct ivf_search *f, size_t keep) {
  const struct vdb_codes *codes = &f->ivf->codes;
  struct vdb_ivf_scratch *w = f->scratch;
  for (size_t i = 0; i < w->n_pool; i++)
    vdb_codes_prefetch(codes, w->rows[i]);
  codes->ops->query(codes, f->s->query, w->code_query);
  codes->ops->keys(codes, w->code_query, w->rows, w->n_pool, w->keys);
  f->s->distances += w->n_pool;
  for (size_t i = 0; i < w->n_pool; i++) /* NaN comes of damaged files */
    w->keys[i] = w->keys[i] == w->keys[i] ? w->keys[i] : __builtin_inff();
  search_drop(w, vdb_ivf_cut(w->keys, w->n_pool, keep));
  if (w->n_pool > 2 * keep) /* as many are about equal */
    search_select(w, keep);
}

/* Offers the pool to the caller, scored by the rows. */
static void search_pool_finish(struct ivf_search *f) {
  struct vdb_ivf_scratch *w = f->scratch;
  struct vdb_search *s = f->s;
  const struct vdb_vecs *vecs = f->ivf->f16.data ? &f->ivf->f16 : &f->ivf->base.vecs;
  for (size_t i = 0, n; i < w->n_pool; i += n) {
    n = vdb_min_size(w->n_pool - i, SEARCH_CHUNK);
    vdb_keys_gather(vecs, s->query, w->rows + i, n, w->keys + i);
    for (size_t k = i; k < i + n; k++)
      if (w->keys[k] <= vdb_topk_bound(&s->top))
        vdb_topk_push(&s->top, (struct vdb_near){w->keys[k], w->rows[k]});
  }
  s->distances += w->n_pool;
  vdb_topk_sort(&s->top);
}

/* Offers the pool to the caller by its keys, brought back to the measure of the rows. */
static void search_finish_coded(struct ivf_search *f) {
  struct vdb_ivf_scratch *w = f->scratch;
  const struct vdb_transform *t = f->ivf->transform;
  float by = 1 / (t->scale * t->scale);
  float more = w->query.norm * w->query.norm * by;
  if (!f->ivf->coder.l2) {
    more = 0;
    for (uint32_t i = 0; i < t->dim; i++)
      more -= w->query.raw[i] * t->mean[i];
  }
  for (size_t i = 0; i < w->n_pool; i++)
    vdb_topk_push(&f->s->top, (struct vdb_near){w->keys[i] * by + more, w->rows[i]});
  vdb_topk_sort(&f->s->top);
}

/* Rows may come out of the scan with a better key than some that are nearer. So many are looked at
   again: k, `more` for each of these, and `by_list` for each list probed: who asks for more work,
   asks for better results. */
static size_t search_want(const struct vdb_ivf *ivf, const struct vdb_search *s) {
  static const uint8_t more[VDB_IVF_CODES] = {[VDB_IVF_PQ] = 3, [VDB_IVF_RABITQ] = 4};
  static const uint8_t by_list[VDB_IVF_CODES] = {[VDB_IVF_PQ] = 3, [VDB_IVF_RABITQ] = 2};
  if (ivf->coder.code == VDB_IVF_FLAT)
    return s->top.k;
  return s->top.k * (1 + (size_t)more[ivf->coder.code]) +
         by_list[ivf->coder.code] * (size_t)vdb_min_u32(s->effort, ivf->centroids.n);
}

/* The query as the lists see it. */
static void search_query(const struct vdb_ivf *ivf, const struct vdb_query_vec *query,
                         struct vdb_ivf_query *out) {
  uint32_t dim = ivf->base.vecs.dim;
  if (ivf->base.vecs.elem == VDB_I8) {
    const int8_t *x = query->data;
    for (uint32_t i = 0; i < dim; i++)
      out->raw[i] = (float)x[i] * query->inv_norm;
  } else {
    const float *x = query->data;
    for (uint32_t i = 0; i < dim; i++)
      out->raw[i] = x[i] * query->inv_norm;
  }
  vdb_transform_apply(ivf->transform, out->raw, out->x);
  vdb_ivf_query_set(&ivf->coder, out);
}

/* The best of the pool to the caller. */
static void search_best(struct ivf_search *f) {
  size_t k = f->s->top.k;
  search_tighten(f);
  if (f->ivf->codes.ops)
    search_recode(f, k + k / 4 + 4);
  if (f->ivf->exact)
    search_pool_finish(f);
  else
    search_finish_coded(f);
}

static int search_in_lists(struct ivf_search *f, void (*look)(struct ivf_search *f),
                      vecdb_error *err) {
  f->scratch = vdb_ivf_take(f->ivf);
  if (!f->scratch)
    return vdb_fail_memory(err);
  f->scratch->n_pool = 0;
  vdb_visited_clear(&f->scratch->seen);
  f->bound = __builtin_inff();
  f->limit = vdb_max_size(2 * f->want + SEARCH_SLACK, f->need);
  f->no_memory = !search_reserve(f);
  if (!f->no_memory)
    look(f);
  if (!f->no_memory)
    search_best(f);
  vdb_ivf_give(f->ivf, f->scratch);
  return f->no_memory ? vdb_fail_memory(err) : VECDB_OK;
}

static void search_probed(struct ivf_search *f) {
  search_query(f->ivf, f->s->query, &f->scratch->query);
  if (f->ivf->coder.code == VDB_IVF_FLAT)
    f->margin = search_margin(f->ivf, &f->scratch->query);
  search_lists(f);
}

VDB_INTERNAL int vdb_ivf_search(const struct vdb_index *index, struct vdb_search *s,
                                vecdb_error *err) {
  const struct vdb_ivf *ivf = (const struct vdb_ivf *)index;
  bool filtered = s->allow || s->accept;
  struct ivf_search f = {.ivf = ivf,
                         .s = s,
                         .want = search_want(ivf, s),
                         .need = filtered ? s->top.k * SEARCH_FILTERED : s->top.k};
  if (ivf->centroids.n == 0 || s->top.k == 0)
    return VECDB_OK;
  return search_in_lists(&f, search_probed, err);
}
