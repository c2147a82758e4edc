/* exec_device.c - see exec_device.h. */
#include "query/exec_device.h"

#include "accel/device.h"
#include "base/check.h"

enum {
  /* Below these a device hardly gains: guesses, not measured on one (gpu/README.md). */
  DEVICE_PAIRS = 1 << 18, /* of queries and rows, for scans */
  DEVICE_WALKS = 16,      /* queries, for walks */
  /* Candidates that are asked for, beyond so many times k: rows that rounding puts before them. */
  DEVICE_TIMES = 2,
  DEVICE_BESIDES = 32
};

_Static_assert((int)VDB_F32 == (int)VDB_ACCEL_F32 && (int)VDB_F16 == (int)VDB_ACCEL_F16 &&
                   (int)VDB_BF16 == (int)VDB_ACCEL_BF16 && (int)VDB_I8 == (int)VDB_ACCEL_I8 &&
                   (int)VDB_BITS == (int)VDB_ACCEL_BITS,
               "elements have the same numbers in both tables");

/* A question about one segment. */
struct exec_device {
  struct vdb_request *request;
  struct vdb_search *searches;
  struct vdb_vecs vecs;
  struct vdb_accel_ask ask;
};

static int32_t device_key(int32_t metric) {
  switch (metric) {
  case VECDB_L2:
    return VDB_ACCEL_L2;
  case VECDB_IP:
    return VDB_ACCEL_DOT;
  case VECDB_COSINE:
    return VDB_ACCEL_COSINE;
  case VECDB_HAMMING:
    return VDB_ACCEL_HAMMING;
  default:
    return -1;
  }
}

static uint32_t device_candidates(size_t k) {
  return (uint32_t)vdb_min_size(DEVICE_TIMES * k + DEVICE_BESIDES, VDB_ACCEL_MAX_K);
}

/* How many rows a walk is to keep: more of them the fewer may be found. */
static uint32_t device_width(const struct vdb_request *r, const struct vdb_plan_seg *p) {
  double share = p->view->n > 0 ? (double)p->allowed / p->view->n : 1;
  double width = p->effort * (vdb_plan_restricted(r, p) ? vdb_cost_wider(share) : 1);
  return width < VDB_ACCEL_MAX_K ? (uint32_t)width : width > VDB_ACCEL_MAX_K ? UINT32_MAX
                                                                             : VDB_ACCEL_MAX_K;
}

/* A filter that is asked of single rows stays here. */
static bool device_wants_graph(const struct vdb_request *r, const struct vdb_plan_seg *p,
                               uint32_t n) {
  const struct vdb_index_ops *ops = p->index->index->ops;
  if (n < DEVICE_WALKS || (r->filter && !p->bitmap))
    return false;
  return ops->links && device_width(r, p) <= VDB_ACCEL_MAX_K;
}

VDB_INTERNAL bool vdb_exec_device_wants(const struct vdb_request *r, const struct vdb_plan_seg *p,
                                        uint32_t n) {
  if (!r->device || r->sparse || !p->view->seg->sealed || p->skipped ||
      device_key(r->field->metric) < 0 || r->k > VDB_ACCEL_MAX_K / DEVICE_TIMES)
    return false;
  if (p->plan == VECDB_PLAN_EXACT)
    return (uint64_t)n * p->view->n >= DEVICE_PAIRS;
  return p->plan == VECDB_PLAN_GRAPH && device_wants_graph(r, p, n);
}

/* The rows of a segment, for walks with the graph of its index; whose they are. NULL: there is no
   graph. */
static const void *device_rows(const struct vdb_request *r, const struct vdb_plan_seg *p,
                               const struct vdb_vecs *vecs, bool walk,
                               struct vdb_accel_rows *rows) {
  struct vdb_index_links graph;
  *rows = (struct vdb_accel_rows){.data = vecs->data, .stride = vecs->stride,
                                  .inv_norms = vecs->inv_norms, .n = vecs->n, .dim = vecs->dim,
                                  .elem = (int32_t)vecs->elem,
                                  .key = device_key(r->field->metric)};
  if (!walk)
    return vecs->data;
  if (vecs->elem == VDB_BITS || !p->index->index->ops->links(p->index->index, &graph))
    return NULL;
  rows->links = graph.links;
  rows->width = graph.width;
  rows->starts = graph.starts;
  rows->n_starts = graph.n_starts;
  return p->index;
}

static size_t device_query_bytes(const struct vdb_vecs *vecs) {
  return vecs->elem == VDB_BITS ? (vecs->dim + 31) / 32 * sizeof(uint32_t)
                                : vecs->dim * sizeof(float);
}

/* Memory for queries and answers, in one block that ask.queries is the start of. */
static bool device_prepare(struct exec_device *d, uint32_t n, uint32_t k, uint32_t width) {
  size_t bytes = device_query_bytes(&d->vecs), hits = (size_t)n * k;
  uint8_t *block = vdb_alloc_zero(d->request->mem, n * bytes + hits * 8 + n * sizeof(uint32_t));
  if (!block)
    return false;
  for (uint32_t i = 0; i < n; i++) {
    const struct vdb_query_vec *q = d->searches[i].query;
    if (d->vecs.elem == VDB_BITS)
      memcpy(block + i * bytes, q->data, d->vecs.dim / 8);
    else
      vdb_query_floats(q, d->vecs.elem, d->vecs.dim, (float *)(void *)(block + i * bytes));
  }
  d->ask.queries = block;
  d->ask.n = n;
  d->ask.k = k;
  d->ask.width = width;
  d->ask.rows = (uint32_t *)(void *)(block + n * bytes);
  d->ask.keys = (float *)(void *)(d->ask.rows + hits);
  d->ask.counts = (uint32_t *)(void *)(d->ask.keys + hits);
  return true;
}

static void device_finish(struct exec_device *d) {
  union {
    const void *there;
    void *block;
  } queries = {d->ask.queries};
  vdb_free(d->request->mem, queries.block);
}

/* Asks about the segment; false: no answer came. */
static bool device_question(struct exec_device *d, const struct vdb_plan_seg *p, bool walk) {
  struct vdb_device *device = d->request->device;
  struct vdb_accel_rows rows;
  const void *owner = device_rows(d->request, p, &d->vecs, walk, &rows);
  if (!owner)
    return false;
  uint32_t id = d->request->field->id;
  struct vdb_device_set *set = vdb_device_take(device, owner, id, &rows);
  if (!set)
    return false;
  bool answered = walk ? vdb_device_walk(device, set, &d->ask)
                       : vdb_device_scan(device, set, &d->ask);
  vdb_device_give(device, set);
  return answered;
}

/* Scores the candidates of query i and offers them. */
static void device_offer(const struct exec_device *d, uint32_t i) {
  struct vdb_search *s = &d->searches[i];
  const uint32_t *rows = d->ask.rows + (size_t)i * d->ask.k;
  float keys[VDB_ACCEL_MAX_K];
  uint32_t n = d->ask.counts[i];
  vdb_keys_gather(&d->vecs, s->query, rows, n, keys);
  s->distances += n;
  for (uint32_t j = 0; j < n; j++)
    vdb_flat_offer(s, rows[j], keys[j]);
}

/* Whether no row that is no candidate of query i can be as near as the k-th hit. Keys of bits are
   exact, so that candidates come in the order of hits. */
static bool device_proven(const struct exec_device *d, uint32_t i) {
  const struct vdb_search *s = &d->searches[i];
  uint32_t n = d->ask.counts[i];
  return n < d->ask.k || (s->top.n == s->top.k && d->vecs.elem == VDB_BITS) ||
         (s->top.n == s->top.k &&
          vdb_topk_bound(&s->top) < d->ask.keys[(size_t)i * d->ask.k + n - 1]);
}

static struct exec_device device_of(struct vdb_request *r, const struct vdb_plan_seg *p,
                                    struct vdb_search *searches) {
  struct exec_device d = {.request = r, .searches = searches};
  d.vecs = vdb_seg_part(p->view, 0).vecs[r->field_no];
  return d;
}

static bool device_scan(struct vdb_request *request, const struct vdb_plan_seg *seg,
                        const uint64_t *bits, struct vdb_search *searches, uint32_t n) {
  struct exec_device d = device_of(request, seg, searches);
  d.ask.allow = bits;
  if (searches[0].top.k == 0 ||
      !device_prepare(&d, n, device_candidates(searches[0].top.k), VDB_ACCEL_MAX_K))
    return false;
  bool answered = device_question(&d, seg, false);
  for (uint32_t i = 0; answered && i < n; i++) {
    device_offer(&d, i);
    if (device_proven(&d, i))
      continue;
    searches[i].top.n = 0;
    searches[i].allow = bits;
    vdb_flat_scan(&d.vecs, 0, &searches[i]);
  }
  device_finish(&d);
  return answered;
}

static bool device_walk(struct vdb_request *request, const struct vdb_plan_seg *seg,
                        const uint64_t *bits, struct vdb_search *searches, uint32_t n) {
  struct exec_device d = device_of(request, seg, searches);
  uint32_t k = device_candidates(searches[0].top.k), width = device_width(request, seg);
  d.ask.allow = bits;
  if (width > VDB_ACCEL_MAX_K || !device_prepare(&d, n, k, width > k ? width : k))
    return false;
  bool answered = device_question(&d, seg, true);
  for (uint32_t i = 0; answered && i < n; i++)
    device_offer(&d, i);
  device_finish(&d);
  return answered;
}

VDB_INTERNAL bool vdb_exec_device(struct vdb_request *request, const struct vdb_plan_seg *seg,
                                  const struct vdb_allow_set *set, struct vdb_search *searches,
                                  uint32_t n) {
  const uint64_t *bits = set ? set->bits : NULL;
  if (seg->plan == VECDB_PLAN_EXACT)
    return device_scan(request, seg, bits, searches, n);
  bool done = device_walk(request, seg, bits, searches, n);
  for (uint32_t i = 0; done && i < n; i++) /* or others are to be looked for */
    done = searches[i].top.n == (set ? vdb_min_size(searches[i].top.k, set->n) : searches[i].top.k);
  for (uint32_t i = 0; !done && i < n; i++)
    searches[i].top.n = 0;
  return done;
}
