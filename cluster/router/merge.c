/* merge.c - the best of several sorted lists; see merge.h. */
#include "router/merge.h"

#include <stdlib.h>
#include <string.h>

int router_key_order(const struct wire_columns *a, uint32_t i, const struct wire_columns *b,
                     uint32_t j) {
  const vecdb_value x = wire_columns_value(a, i, 0), y = wire_columns_value(b, j, 0);
  if (x.type != VECDB_VARCHAR || y.type != VECDB_VARCHAR)
    return (x.as.integer > y.as.integer) - (x.as.integer < y.as.integer);
  size_t n = x.length < y.length ? x.length : y.length;
  int order = n ? memcmp(x.as.data, y.as.data, n) : 0;
  if (!order)
    order = (x.length > y.length) - (x.length < y.length);
  return (order > 0) - (order < 0);
}

bool router_nearer(int32_t metric, float a, float b) {
  return metric == VECDB_IP || metric == VECDB_COSINE ? a > b : a < b;
}

/* A heap of lists, by what is next in each. */
struct merge_heap {
  struct merge_at {
    uint32_t list;
    uint32_t row;
    uint32_t end;
  } * at;
  uint32_t n;
  bool (*before)(const void *arg, const struct merge_at *a, const struct merge_at *b);
  const void *arg;
};

static void merge_sift(struct merge_heap *h, uint32_t i) {
  for (;;) {
    uint32_t best = i, left = 2 * i + 1;
    for (uint32_t child = left; child < left + 2 && child < h->n; child++)
      if (h->before(h->arg, &h->at[child], &h->at[best]))
        best = child;
    if (best == i)
      return;
    struct merge_at t = h->at[i];
    h->at[i] = h->at[best];
    h->at[best] = t;
    i = best;
  }
}

static void merge_begin(struct merge_heap *h) {
  for (uint32_t i = h->n / 2; i-- > 0;)
    merge_sift(h, i);
}

/* The next of all; the heap is not empty. */
static struct router_ref merge_next(struct merge_heap *h) {
  struct router_ref ref = {h->at[0].list, h->at[0].row};
  if (++h->at[0].row == h->at[0].end)
    h->at[0] = h->at[--h->n];
  if (h->n)
    merge_sift(h, 0);
  return ref;
}

static bool merge_hit_before(const void *arg, const struct merge_at *a, const struct merge_at *b) {
  const struct router_lists *l = arg;
  const struct wire_message *x = l->answers[a->list], *y = l->answers[b->list];
  float s = x->hits.scores[a->row], t = y->hits.scores[b->row];
  if (router_nearer(l->metric, s, t))
    return true;
  return !router_nearer(l->metric, t, s) &&
         router_key_order(&x->rows, a->row, &y->rows, b->row) < 0;
}

static bool merge_same_hit(const struct router_lists *l, struct router_ref a, struct router_ref b) {
  const struct wire_message *x = l->answers[a.list], *y = l->answers[b.list];
  float s = x->hits.scores[a.row], t = y->hits.scores[b.row];
  return !(s < t) && !(s > t) && router_key_order(&x->rows, a.row, &y->rows, b.row) == 0;
}

bool router_merge_hits(const struct router_lists *lists, struct wire_mem *mem,
                       struct router_ref *refs, float *scores, uint32_t *counts) {
  uint32_t *first = wire_mem_get(mem, lists->n, sizeof *first);
  struct merge_heap heap = {.before = merge_hit_before, .arg = lists};
  heap.at = wire_mem_get(mem, lists->n, sizeof *heap.at);
  if (!first || !heap.at)
    return false;
  for (uint32_t q = 0; q < lists->n_queries; q++) {
    struct router_ref *out = refs + (size_t)q * lists->k;
    uint32_t n = 0;
    heap.n = 0;
    for (uint32_t i = 0; i < lists->n; i++) {
      uint32_t end = first[i] + lists->answers[i]->hits.counts[q];
      if (end > first[i])
        heap.at[heap.n++] = (struct merge_at){i, first[i], end};
      first[i] = end;
    }
    merge_begin(&heap);
    while (n < lists->k && heap.n) {
      struct router_ref ref = merge_next(&heap);
      if (n && merge_same_hit(lists, out[n - 1], ref))
        continue;
      scores[(size_t)q * lists->k + n] = lists->answers[ref.list]->hits.scores[ref.row];
      out[n++] = ref;
    }
    counts[q] = n;
  }
  return true;
}

/* A hit of a list that is in no order, with what it is sorted by. */
struct merge_hit {
  const struct wire_columns *rows;
  struct router_ref ref;
  float score;
  float key; /* smaller is nearer */
};

static int merge_hit_order(const void *a, const void *b) {
  const struct merge_hit *x = a, *y = b;
  if (x->key < y->key || x->key > y->key)
    return x->key < y->key ? -1 : 1;
  return router_key_order(x->rows, x->ref.row, y->rows, y->ref.row);
}

bool router_sort_hits(const struct router_lists *lists, struct wire_mem *mem,
                      struct router_ref *refs, float *scores, uint32_t *counts) {
  uint32_t *first = wire_mem_get(mem, lists->n, sizeof *first);
  struct merge_hit *hits = wire_mem_get(mem, lists->k, sizeof *hits);
  const bool larger = router_nearer(lists->metric, 1, 0);
  if (!first || !hits)
    return false;
  for (uint32_t q = 0; q < lists->n_queries; q++) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < lists->n; i++) {
      const struct wire_message *m = lists->answers[i];
      for (uint32_t j = 0; j < m->hits.counts[q]; j++, n++) {
        const float score = m->hits.scores[first[i] + j];
        hits[n] = (struct merge_hit){
            &m->rows, {i, first[i] + j}, score, larger ? -score : score};
      }
      first[i] += m->hits.counts[q];
    }
    qsort(hits, n, sizeof *hits, merge_hit_order);
    for (uint32_t i = 0; i < n; i++) {
      const size_t at = (size_t)q * lists->k + counts[q];
      if (i && merge_hit_order(&hits[i - 1], &hits[i]) == 0)
        continue;
      refs[at] = hits[i].ref;
      scores[at] = hits[i].score;
      counts[q]++;
    }
  }
  return true;
}

static bool merge_row_before(const void *arg, const struct merge_at *a, const struct merge_at *b) {
  const struct wire_columns *const *lists = arg;
  return router_key_order(lists[a->list], a->row, lists[b->list], b->row) < 0;
}

bool router_merge_rows(const struct wire_columns *const *lists, uint32_t n, uint64_t offset,
                       uint32_t limit, struct wire_mem *mem, struct router_ref *refs,
                       uint32_t *count) {
  struct merge_heap heap = {.before = merge_row_before, .arg = lists};
  heap.at = wire_mem_get(mem, n, sizeof *heap.at);
  if (!heap.at)
    return false;
  for (uint32_t i = 0; i < n; i++)
    if (lists[i]->n_rows)
      heap.at[heap.n++] = (struct merge_at){i, 0, lists[i]->n_rows};
  merge_begin(&heap);
  struct router_ref last = {0};
  bool any = false;
  for (*count = 0; *count < limit && heap.n;) {
    struct router_ref ref = merge_next(&heap);
    if (any && router_key_order(lists[last.list], last.row, lists[ref.list], ref.row) == 0)
      continue;
    last = ref;
    any = true;
    if (offset)
      offset--;
    else
      refs[(*count)++] = ref;
  }
  return true;
}
