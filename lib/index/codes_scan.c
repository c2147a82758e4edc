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

/* Standard deviations that keys by code may be off, where these are known. */
#define CODES_SCAN_DEVIATIONS 3.0f

struct codes_scan_run {
  uint32_t rows[CODES_SCAN_RUN];
  uint32_t n;
};

/* The rows of a bitmap, a word at a time. */
struct codes_scan_rows {
  const uint64_t *allow; /* NULL: all */
  size_t n;
  size_t word;   /* the next */
  uint64_t left; /* of the one before */
};

/* The nearest so far, in no order, cut when so many have come that it pays. */
struct codes_scan_best {
  struct vdb_near *items; /* room for 2 most */
  size_t n;
  size_t most; /* kept by a cut */
  size_t full; /* when the next one is due */
  size_t k;    /* wanted in the end: */
  float off;   /* by code, they are not farther than the k-th by more; INFINITY: not known */
  size_t least; /* kept whatever that says, as it is true of rows of middling length */
  float bound; /* of the keys that may get in */
};

/* Where it is known how far keys can be off, only rows stay that may be among the k nearest. */
static void codes_scan_cut_off(struct codes_scan_best *best) {
  struct vdb_near *items = best->items;
  vdb_near_select(items, best->n, best->k);
  float bound = items[best->k - 1].key + best->off;
  if (best->least > best->k) {
    vdb_near_select(items + best->k, best->n - best->k, best->least - best->k);
    if (bound < items[best->least - 1].key)
      bound = items[best->least - 1].key;
  }
  size_t kept = best->least;
  for (size_t i = best->least; i < best->n; i++) {
    items[kept] = items[i];
    kept += items[i].key <= bound;
  }
  best->n = kept;
  best->bound = bound;
}

static void codes_scan_cut(struct codes_scan_best *best) {
  if (best->off < INFINITY && best->n > best->least)
    codes_scan_cut_off(best);
  if (best->n >= best->most) {
    vdb_near_select(best->items, best->n, best->most);
    best->n = best->most;
    best->bound = best->items[best->most - 1].key;
  }
  best->full = vdb_min_size(2 * best->most, 2 * best->n + CODES_SCAN_RUN);
}

/* The next run; asks for the sketches of its rows, or their codes. */
static void codes_scan_next(const struct vdb_codes *codes, struct codes_scan_rows *rows,
                            struct codes_scan_run *run) {
  size_t words = vdb_bits_words(rows->n);
  uint64_t left = rows->left;
  uint32_t n = 0;
  while (n < CODES_SCAN_RUN) {
    while (left == 0) {
      if (rows->word == words)
        goto done;
      left = rows->allow ? rows->allow[rows->word] : ~(uint64_t)0;
      if (++rows->word == words && rows->n % 64)
        left &= ((uint64_t)1 << rows->n % 64) - 1;
    }
    uint32_t row = (uint32_t)(64 * (rows->word - 1)) + (uint32_t)__builtin_ctzll(left);
    left &= left - 1;
    if (codes->sketches)
      vdb_codes_prefetch_sketch(codes, row);
    else
      vdb_codes_prefetch(codes, row);
    run->rows[n++] = row;
  }
done:
  rows->left = left;
  run->n = n;
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
      if (best->n == best->full)
        codes_scan_cut(best);
    }
}

/* The best of the allowed rows by their codes; false when it was stopped. */
static bool codes_scan_all(const struct vdb_codes *codes, const void *query, struct vdb_search *s,
                           struct codes_scan_best *best) {
  struct codes_scan_run runs[3] = {{.n = 0}};
  struct codes_scan_rows rows = {s->allow, codes->n, 0, 0};
  size_t since = 0;
  uint32_t under_way = 1;
  for (size_t turn = 0; under_way > 0; turn++) {
    struct codes_scan_run *fresh = &runs[turn % 3], *middle = &runs[(turn + 2) % 3];
    struct codes_scan_run *last = &runs[(turn + 1) % 3];
    codes_scan_next(codes, &rows, fresh);
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

/* Scores the best again by the rows: all of them, or, where they are sorted, nearest first, until
   two runs of them change nothing: where keys lie close together codes order them badly, and it
   takes more. */
static void codes_scan_again(const struct vdb_vecs *vecs, bool all, struct vdb_topk *best,
                             struct vdb_search *s) {
  size_t least = CODES_SCAN_AGAIN * s->top.k;
  size_t n;
  unsigned idle = 0;
  for (size_t i = 0; i < best->n && (all || idle < 2 || i < least); i += n) {
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

/* Fills `found` with the best by their codes, in no order: at most s->effort; *whole tells whether
   all rows were looked at. With `again` they are to be scored again, and only those are wanted that
   may then be among the nearest. */
static int codes_scan_nearest(const struct vdb_codes *codes, struct vdb_search *s, bool again,
                              struct codes_scan_best *found, bool *whole, vecdb_error *err) {
  size_t most = vdb_min_size(vdb_max_size(s->effort, s->top.k), codes->n);
  *found = (struct codes_scan_best){.bound = INFINITY, .off = INFINITY, .most = most,
                                    .k = s->top.k,
                                    .least = vdb_min_size(most, CODES_SCAN_AGAIN * s->top.k)};
  *whole = most == 0;
  if (*whole) /* none is asked for, or there */
    return VECDB_OK;
  found->items = vdb_alloc_array(s->mem, 2 * most, sizeof *found->items);
  void *query = vdb_alloc_wide(s->mem, codes->ops->query_bytes(codes));
  bool memory = found->items && query;
  if (memory) {
    codes->ops->query(codes, s->query, query);
    float off = again && codes->ops->deviation && found->k > 0
                    ? CODES_SCAN_DEVIATIONS * codes->ops->deviation(codes, query)
                    : INFINITY;
    found->off = off >= 0 ? off : INFINITY; /* NaN, of damaged codes */
    found->full = found->off < INFINITY ? vdb_min_size(2 * most, found->least + CODES_SCAN_RUN)
                                        : 2 * most;
    *whole = codes_scan_all(codes, query, s, found);
    codes_scan_cut(found);
  }
  vdb_free(s->mem, query);
  return memory ? VECDB_OK : vdb_fail_memory(err);
}

VDB_INTERNAL int vdb_codes_nearest(const struct vdb_codes *codes, struct vdb_search *s,
                                   struct vdb_topk *best, vecdb_error *err) {
  struct codes_scan_best found;
  bool whole;
  int rc = codes_scan_nearest(codes, s, false, &found, &whole, err);
  *best = (struct vdb_topk){found.items, found.most, found.n};
  vdb_near_sort(best->items, best->n);
  return rc;
}

VDB_INTERNAL int vdb_codes_scan(const struct vdb_codes *codes, const struct vdb_vecs *vecs,
                                struct vdb_search *s, vecdb_error *err) {
  struct codes_scan_best found;
  bool whole;
  int rc = codes_scan_nearest(codes, s, vecs != NULL, &found, &whole, err);
  struct vdb_topk best = {found.items, found.most, found.n};
  bool known = found.off < INFINITY;
  if (rc == VECDB_OK && !known)
    vdb_near_sort(best.items, best.n);
  /* Rough codes order rows badly everywhere: two runs say nothing about the rest. */
  if (rc == VECDB_OK && vecs)
    codes_scan_again(vecs, known || (codes->ops->rough && whole), &best, s);
  for (size_t i = 0; rc == VECDB_OK && !vecs && i < best.n; i++)
    vdb_topk_push(&s->top, best.items[i]);
  vdb_topk_sort(&s->top);
  vdb_free(s->mem, best.items);
  return rc;
}
