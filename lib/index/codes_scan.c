/*
 * codes_scan.c - a scan of allowed rows by their codes; see codes.h. Codes lie in row order, so a
 * scan of some rows in a hundred still reads memory nearly in order; a run of codes is asked for
 * while the one before it is compared.
 */
#include "base/bitmap.h"
#include "index/codes.h"
#include "index/index.h"

enum {
  CODES_SCAN_RUN = 32,  /* codes asked for at a time */
  CODES_SCAN_LOOK = 1024, /* rows between two looks at stop */
  CODES_SCAN_AGAIN = 8   /* rows scored again for each of k at least */
};

/* Rows of the bitmap from *at on, one run; asks for their codes. */
static size_t codes_scan_run(const struct vdb_codes *codes, const uint64_t *allow, size_t *at,
                             uint32_t *rows) {
  size_t n = 0;
  while (n < CODES_SCAN_RUN) {
    size_t row = vdb_bits_next(allow, codes->n, *at);
    *at = row + 1;
    if (row >= codes->n)
      break;
    vdb_codes_prefetch(codes, (uint32_t)row);
    rows[n++] = (uint32_t)row;
  }
  return n;
}

/* The best of the allowed rows by their codes. */
static void codes_scan_all(const struct vdb_codes *codes, const void *query, struct vdb_search *s,
                           struct vdb_topk *best) {
  uint32_t rows[2][CODES_SCAN_RUN];
  float keys[CODES_SCAN_RUN];
  size_t at = 0, since = 0;
  size_t n = codes_scan_run(codes, s->allow, &at, rows[0]);
  for (size_t turn = 0; n > 0; turn ^= 1) {
    size_t next = codes_scan_run(codes, s->allow, &at, rows[turn ^ 1]);
    codes->ops->keys(codes, query, rows[turn], n, keys);
    float bound = vdb_topk_bound(best);
    for (size_t i = 0; i < n; i++)
      if (keys[i] <= bound) { /* not NaN, of damaged rows */
        vdb_topk_push(best, (struct vdb_near){keys[i], rows[turn][i]});
        bound = vdb_topk_bound(best);
      }
    s->distances += n;
    since += n;
    n = next;
    if (since >= CODES_SCAN_LOOK) {
      since = 0;
      if (s->stop && s->stop(s->stop_arg))
        return;
    }
  }
}

/* Scores the best again by the rows, nearest first, until two runs of them change nothing: where
   keys lie close together codes order them badly, and it takes more. */
static void codes_scan_again(const struct vdb_vecs *vecs, struct vdb_topk *best,
                             struct vdb_search *s) {
  size_t least = CODES_SCAN_AGAIN * s->top.k;
  size_t n;
  unsigned idle = 0;
  for (size_t i = 0; i < best->n && (idle < 2 || i < least); i += n) {
    uint32_t rows[CODES_SCAN_RUN];
    float keys[CODES_SCAN_RUN];
    n = vdb_min_size(best->n - i, CODES_SCAN_RUN);
    for (size_t k = 0; k < n; k++)
      rows[k] = best->items[i + k].row;
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

VDB_INTERNAL int vdb_codes_nearest(const struct vdb_codes *codes, struct vdb_search *s,
                                   struct vdb_topk *best, vecdb_error *err) {
  *best = (struct vdb_topk){.k = vdb_min_size(vdb_max_size(s->effort, s->top.k), codes->n)};
  best->items = vdb_alloc_array(s->mem, best->k, sizeof *best->items);
  void *query = vdb_alloc_wide(s->mem, codes->ops->query_bytes(codes));
  bool memory = best->items && query;
  if (memory) {
    codes->ops->query(codes, s->query, query);
    codes_scan_all(codes, query, s, best);
    vdb_topk_sort(best);
  }
  vdb_free(s->mem, query);
  return memory ? VECDB_OK : vdb_fail_memory(err);
}

VDB_INTERNAL int vdb_codes_scan(const struct vdb_codes *codes, const struct vdb_vecs *vecs,
                                struct vdb_search *s, vecdb_error *err) {
  struct vdb_topk best;
  int rc = vdb_codes_nearest(codes, s, &best, err);
  if (rc == VECDB_OK) {
    codes_scan_again(vecs, &best, s);
    vdb_topk_sort(&s->top);
  }
  vdb_free(s->mem, best.items);
  return rc;
}
