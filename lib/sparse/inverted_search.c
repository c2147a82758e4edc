/*
 * inverted_search.c - searching by postings. Rows are taken in windows that a cache holds: in each,
 * the postings of one index of the query after the other are added to the rows' sums, and then
 * the rows that got any are offered. See inverted.h.
 */
#include "base/bitmap.h"
#include "sparse/inverted.h"

enum { INVERTED_WINDOW = 4096 }; /* rows; a multiple of 64 */

/* Postings of one index of the query that have not been looked at. */
struct inverted_cursor {
  const struct vdb_posting *at;
  const struct vdb_posting *end;
  float weight; /* of the query */
};

struct inverted_window {
  uint32_t first; /* row */
  double sums[INVERTED_WINDOW];
  uint64_t met[INVERTED_WINDOW / 64]; /* rows with an index in common; all 0 between windows */
};

VDB_INTERNAL struct vdb_postings vdb_inverted_find(const struct vdb_inverted *x, uint32_t index) {
  size_t low = 0, high = x->n_indices;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (x->indices[middle] < index)
      low = middle + 1;
    else
      high = middle;
  }
  if (low == x->n_indices || x->indices[low] != index)
    return (struct vdb_postings){NULL, 0};
  return (struct vdb_postings){x->postings + x->begins[low], x->begins[low + 1] - x->begins[low]};
}

/* The cursors of the query, in the order of its indices; returns how many. */
static size_t inverted_cursors(const struct vdb_inverted *x, const vecdb_sparse *query,
                               struct inverted_cursor *cursors, uint64_t *postings) {
  size_t n = 0;
  *postings = 0;
  for (size_t i = 0; i < query->n; i++) {
    vecdb_sparse_pair pair = vdb_sparse_at(query->pairs, i);
    struct vdb_postings list = vdb_inverted_find(x, pair.index);
    if (list.n == 0)
      continue;
    cursors[n++] = (struct inverted_cursor){list.items, list.items + list.n, pair.value};
    *postings += list.n;
  }
  return n;
}

/* The first row that a cursor has not passed; UINT32_MAX: all are at their end. */
static uint32_t inverted_next(const struct inverted_cursor *cursors, size_t n) {
  uint32_t row = UINT32_MAX;
  for (size_t i = 0; i < n; i++)
    if (cursors[i].at < cursors[i].end)
      row = vdb_min_u32(row, cursors[i].at->row);
  return row;
}

static void inverted_add(struct inverted_cursor *c, struct inverted_window *w) {
  const struct vdb_posting *at = c->at;
  double weight = (double)c->weight;
  for (; at < c->end && at->row - w->first < INVERTED_WINDOW; at++) {
    uint32_t i = at->row - w->first;
    uint64_t bit = (uint64_t)1 << (i % 64);
    double before = w->met[i / 64] & bit ? w->sums[i] : 0;
    w->sums[i] = before + weight * (double)at->value;
    w->met[i / 64] |= bit;
  }
  c->at = at;
}

static void inverted_offer(struct inverted_window *w, struct vdb_search *s) {
  for (uint32_t word = 0; word < INVERTED_WINDOW / 64; word++) {
    uint64_t met = w->met[word];
    uint32_t first = w->first + word * 64;
    w->met[word] = 0;
    if (met && s->allow)
      met &= s->allow[first / 64];
    for (; met; met &= met - 1) {
      uint32_t bit = (uint32_t)__builtin_ctzll(met);
      vdb_sparse_offer(s, first + bit, w->sums[word * 64 + bit]);
    }
  }
}

static void inverted_walk(struct inverted_cursor *cursors, size_t n, struct inverted_window *w,
                          struct vdb_search *s) {
  for (uint32_t row; (row = inverted_next(cursors, n)) != UINT32_MAX;) {
    if (s->stop && s->stop(s->stop_arg))
      return;
    w->first = row / 64 * 64;
    for (size_t i = 0; i < n; i++)
      inverted_add(&cursors[i], w);
    inverted_offer(w, s);
  }
}

/* Whether comparing the allowed rows one by one takes less than adding up all postings. */
static bool inverted_rows_fewer(const struct vdb_inverted *x, const struct vdb_search *s,
                                uint64_t postings) {
  if (!s->allow)
    return false;
  uint64_t pairs = x->begins[x->n_indices] / x->n_rows + s->sparse->n;
  return vdb_bits_count(s->allow, x->n_rows) * pairs < postings;
}

VDB_INTERNAL int vdb_inverted_search(const struct vdb_inverted *index,
                                     const struct vdb_column *column, struct vdb_search *s,
                                     vecdb_error *err) {
  if (s->sparse->n == 0)
    return VECDB_OK;
  struct inverted_cursor *cursors = vdb_alloc_array(s->mem, s->sparse->n, sizeof *cursors);
  struct inverted_window *window = vdb_alloc(s->mem, sizeof *window);
  int rc = cursors && window ? VECDB_OK : vdb_fail_memory(err);
  if (rc == VECDB_OK) {
    uint64_t postings;
    size_t n = inverted_cursors(index, s->sparse, cursors, &postings);
    memset(window->met, 0, sizeof window->met);
    if (inverted_rows_fewer(index, s, postings))
      vdb_sparse_scan(column, index->n_rows, 0, s);
    else
      inverted_walk(cursors, n, window, s);
  }
  vdb_free(s->mem, window);
  vdb_free(s->mem, cursors);
  return rc;
}
