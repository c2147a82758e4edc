/*
 * codes_scan.c - a scan of allowed rows by their codes; see codes.h. Codes lie in row order, so a
 * scan of some rows in a hundred still reads memory nearly in order. Rows go through in runs: while
 * one is scored, the codes of the next are on their way, of those rows that their sketches leave,
 * and the sketches of the one after.
 */
#include <math.h>

#include "base/bitmap.h"
#include "index/codes.h"
#include "index/index.h"

enum {
  CODES_SCAN_RUN = 32,  /* codes asked for at a time */
  CODES_SCAN_LOOK = 1024, /* rows between two looks at stop */
  CODES_SCAN_AGAIN = 8   /* rows scored again for each of k at least */
};

struct codes_scan_run {
  uint32_t rows[CODES_SCAN_RUN];
  uint32_t n;
};

/* The nearest so far, in no order: cut to k when twice as many have come: where k is a good part
   of all rows many get in, and each only needs a place. */
struct codes_scan_best {
  struct vdb_near *items; /* room for 2 k */
  size_t k;
  size_t n;
  float bound; /* of the keys that may get in */
};

static void codes_scan_cut(struct codes_scan_best *best) {
  if (best->n < best->k)
    return;
  vdb_near_select(best->items, best->n, best->k);
  best->n = best->k;
  best->bound = best->items[best->k - 1].key;
}

/* Rows of the bitmap (NULL: all) from *at on, one run; asks for their sketches, or their codes. */
static void codes_scan_next(const struct vdb_codes *codes, const uint64_t *allow, size_t *at,
                            struct codes_scan_run *run) {
  run->n = 0;
  while (run->n < CODES_SCAN_RUN && *at < codes->n) {
    size_t next = allow ? vdb_bits_next(allow, codes->n, *at) : *at;
    uint32_t row = (uint32_t)next;
    *at = next + 1;
    if (next >= codes->n)
      return;
    if (codes->sketches)
      vdb_codes_prefetch_sketch(codes, row);
    else
      vdb_codes_prefetch(codes, row);
    run->rows[run->n++] = row;
  }
}

/* Leaves the rows that may be among the best, and asks for their codes. */
static void codes_scan_sift(const struct vdb_codes *codes, const void *query, float bound,
                            struct codes_scan_run *run) {
  if (bound < INFINITY)
    run->n = (uint32_t)codes->ops->sift(codes, query, run->rows, run->rows, run->n, bound);
  for (uint32_t i = 0; i < run->n; i++)
    vdb_codes_prefetch(codes, run->rows[i]);
}

static void codes_scan_score(const struct vdb_codes *codes, const void *query,
                             const struct codes_scan_run *run, const struct vdb_search *s,
                             struct codes_scan_best *best) {
  float keys[CODES_SCAN_RUN];
  codes->ops->keys(codes, query, run->rows, run->n, keys);
  for (uint32_t i = 0; i < run->n; i++)
    if (keys[i] <= best->bound && /* not NaN, of damaged rows */
        (!s->accept || s->accept(s->accept_arg, run->rows[i]))) {
      best->items[best->n++] = (struct vdb_near){keys[i], run->rows[i]};
      if (best->n == 2 * best->k)
        codes_scan_cut(best);
    }
}

/* The best of the allowed rows by their codes; false when it was stopped. */
static bool codes_scan_all(const struct vdb_codes *codes, const void *query, struct vdb_search *s,
                           struct codes_scan_best *best) {
  struct codes_scan_run runs[3] = {{.n = 0}};
  size_t at = 0, since = 0;
  uint32_t under_way = 0;
  for (size_t turn = 0; at < codes->n || under_way > 0; turn++) {
    struct codes_scan_run *fresh = &runs[turn % 3], *middle = &runs[(turn + 2) % 3];
    struct codes_scan_run *last = &runs[(turn + 1) % 3];
    codes_scan_next(codes, s->allow, &at, fresh);
    s->distances += fresh->n;
    since += fresh->n;
    if (codes->sketches)
      codes_scan_sift(codes, query, best->bound, middle);
    codes_scan_score(codes, query, last, s, best);
    under_way = fresh->n + middle->n;
    if (since >= CODES_SCAN_LOOK) {
      since = 0;
      if (s->stop && s->stop(s->stop_arg))
        return false;
    }
  }
  return true;
}

/* Scores the best again by the rows, nearest first, until two runs of them change nothing: where
   keys lie close together codes order them badly, and it takes more. Rough codes do so everywhere,
   and two runs say nothing about the rest. */
static void codes_scan_again(const struct vdb_vecs *vecs, bool rough, struct vdb_topk *best,
                             struct vdb_search *s) {
  size_t least = CODES_SCAN_AGAIN * s->top.k;
  size_t n;
  unsigned idle = 0;
  for (size_t i = 0; i < best->n && (rough || idle < 2 || i < least); i += n) {
    uint32_t rows[CODES_SCAN_RUN];
    float keys[CODES_SCAN_RUN];
    n = vdb_min_size(best->n - i, CODES_SCAN_RUN);
    for (size_t k = 0; k < n; k++)
      rows[k] = best->items[i + k].row;
    if (i >= CODES_SCAN_LOOK && s->stop && s->stop(s->stop_arg))
      return;
    vdb_keys_gather(vecs, s->query, rows, n, keys);
    s->distances += n;
    idle++;
    for (size_t k = 0; k < n; k++)
      if (keys[k] < vdb_topk_bound(&s->top) || s->top.n < s->top.k) {
        vdb_topk_push(&s->top, (struct vdb_near){keys[k], rows[k]});
        idle = 0;
      }
  }
}

/* As vdb_codes_nearest; *whole tells whether all rows were looked at. */
static int codes_scan_nearest(const struct vdb_codes *codes, struct vdb_search *s,
                              struct vdb_topk *best, bool *whole, vecdb_error *err) {
  struct codes_scan_best found = {.bound = INFINITY};
  *best = (struct vdb_topk){.k = vdb_min_size(vdb_max_size(s->effort, s->top.k), codes->n)};
  *whole = best->k == 0;
  if (*whole) /* none is asked for, or there */
    return VECDB_OK;
  best->items = found.items = vdb_alloc_array(s->mem, 2 * best->k, sizeof *best->items);
  found.k = best->k;
  void *query = vdb_alloc_wide(s->mem, codes->ops->query_bytes(codes));
  bool memory = best->items && query;
  if (memory) {
    codes->ops->query(codes, s->query, query);
    *whole = codes_scan_all(codes, query, s, &found);
    codes_scan_cut(&found);
    best->n = found.n;
    vdb_near_sort(best->items, best->n);
  }
  vdb_free(s->mem, query);
  return memory ? VECDB_OK : vdb_fail_memory(err);
}

VDB_INTERNAL int vdb_codes_nearest(const struct vdb_codes *codes, struct vdb_search *s,
                                   struct vdb_topk *best, vecdb_error *err) {
  bool whole;
  return codes_scan_nearest(codes, s, best, &whole, err);
}

VDB_INTERNAL int vdb_codes_scan(const struct vdb_codes *codes, const struct vdb_vecs *vecs,
                                struct vdb_search *s, vecdb_error *err) {
  struct vdb_topk best;
  bool whole;
  int rc = codes_scan_nearest(codes, s, &best, &whole, err);
  if (rc == VECDB_OK && vecs)
    codes_scan_again(vecs, codes->ops->rough && whole, &best, s);
  for (size_t i = 0; rc == VECDB_OK && !vecs && i < best.n; i++)
    vdb_topk_push(&s->top, best.items[i]);
  vdb_topk_sort(&s->top);
  vdb_free(s->mem, best.items);
  return rc;
}
