/* curve.c - recall by effort, measured and read; see curve.h. */
#include "index/curve.h"

#include <math.h>

#include "base/rng.h"

enum {
  CURVE_QUERIES = 128,
  CURVE_BATCH = 16, /* of them, scanned for at once; divides their number */
  CURVE_TRUE = 100, /* true neighbours of each */
  CURVE_EF_FIRST = 8,
  CURVE_EF_LAST = 4096,
  CURVE_NPROBE_LAST = 2048
};
#define CURVE_MIX_LEAST 0.55f
#define CURVE_MIX_RANGE 0.30f
/* A curve ends where all is found, and nothing is promised above this. */
#define CURVE_ALL 0.9995

static const uint32_t curve_ks[VDB_CURVE_SLOTS] = {1, 10, 100};

/* One query and what is known of it. */
struct curve_query {
  struct vdb_query_vec vec;
  float reach[VDB_CURVE_SLOTS];  /* key of the farthest of the true k */
  float recall[VDB_CURVE_SLOTS]; /* at the effort in work */
  float stretched[VDB_CURVE_STRETCHES];
  uint64_t distances;
};

struct curve_job {
  const struct vdb_curve_measure *m;
  const struct vdb_vecs *vecs;
  struct curve_query *queries;
  struct vdb_near *found; /* CURVE_BATCH * CURVE_TRUE for each worker */
  uint8_t *bytes;         /* of the prepared queries, and room for one more row of each worker */
  size_t query_bytes;
  uint32_t effort;
  float stretch[VDB_CURVE_STRETCHES];
  _Atomic int rc;
};

/* ---- Queries --------------------------------------------------------------------------------- */

static void curve_mix_f32(const struct vdb_vecs *vecs, float *a, const float *b, float share) {
  double before = vdb_vec_norm(a, VDB_F32, vecs->dim);
  for (size_t i = 0; i < vecs->dim; i++)
    a[i] = share * a[i] + (1 - share) * b[i];
  double after = vdb_vec_norm(a, VDB_F32, vecs->dim);
  if (vecs->metric == VECDB_L2 || !(after > 0))
    return;
  for (size_t i = 0; i < vecs->dim; i++) /* as long as the rows are */
    a[i] = (float)(a[i] * before / after);
}

static void curve_mix_i8(const struct vdb_vecs *vecs, int8_t *a, const int8_t *b, float share) {
  for (size_t i = 0; i < vecs->dim; i++)
    a[i] = (int8_t)lrintf(share * a[i] + (1 - share) * b[i]);
}

/* Of each element that many of a as the share says. */
static void curve_mix_bits(const struct vdb_vecs *vecs, uint8_t *a, const uint8_t *b, float share,
                           struct vdb_rng *rng) {
  for (size_t i = 0; i < vecs->dim; i++) {
    uint8_t bit = (uint8_t)(1u << i % 8);
    if (vdb_rng_unit(rng) >= share)
      a[i / 8] = (uint8_t)((a[i / 8] & ~bit) | (b[i / 8] & bit));
  }
}

/* Makes query i; `other` has room for a prepared row. */
static void curve_make_query(struct curve_job *job, size_t i, void *other) {
  const struct vdb_vecs *vecs = job->vecs;
  struct vdb_query_vec *q = &job->queries[i].vec;
  struct vdb_query_vec second = {other, 1};
  struct vdb_rng rng = {vdb_mix64(job->m->seed + i)};
  uint32_t a = vdb_rng_below(&rng, vecs->n);
  uint32_t b = vdb_rng_below(&rng, vecs->n);
  float share = CURVE_MIX_LEAST + CURVE_MIX_RANGE * (float)vdb_rng_unit(&rng);
  q->data = job->bytes + i * job->query_bytes;
  vdb_query_vec_set(q, vecs->data + a * vecs->stride, vecs->elem, vecs->dim, vecs->metric);
  vdb_query_vec_set(&second, vecs->data + b * vecs->stride, vecs->elem, vecs->dim, vecs->metric);
  enum vdb_elem elem = vecs->elem == VDB_I8 ? VDB_I8 : VDB_F32;
  if (vecs->elem == VDB_BITS)
    curve_mix_bits(vecs, q->data, other, share, &rng);
  else if (vecs->elem == VDB_I8)
    curve_mix_i8(vecs, q->data, other, share);
  else
    curve_mix_f32(vecs, q->data, other, share);
  if (vecs->metric == VECDB_COSINE)
    q->inv_norm = vdb_inv_norm(vdb_vec_norm(q->data, elem, vecs->dim));
}

static bool curve_stopped(const struct curve_job *job) {
  return atomic_load_explicit(&job->rc, memory_order_relaxed) != VECDB_OK;
}

/* Fills the tops of n exact searches: by products of matrices where these are the faster way. */
static int curve_scan(const struct curve_job *job, struct vdb_search *s, uint32_t n,
                      vecdb_error *err) {
  struct vdb_flat_batch *batch;
  if (!vdb_flat_batch_fits(job->vecs->elem)) {
    for (uint32_t i = 0; i < n; i++)
      vdb_flat_scan(job->vecs, 0, &s[i]);
    return VECDB_OK;
  }
  VDB_TRY(vdb_flat_batch_new(job->vecs, s, n, &batch, err));
  vdb_flat_batch_scan(batch, job->vecs, 0, NULL);
  vdb_flat_batch_free(batch);
  return VECDB_OK;
}

/* The true neighbours of the queries of a batch. */
static void curve_truth(void *arg, size_t batch, unsigned worker) {
  struct curve_job *job = arg;
  const struct vdb_curve_measure *m = job->m;
  struct vdb_search searches[CURVE_BATCH];
  struct vdb_near *found = job->found + (size_t)worker * CURVE_BATCH * CURVE_TRUE;
  struct curve_query *queries = job->queries + batch * CURVE_BATCH;
  vecdb_error err;
  if (curve_stopped(job))
    return;
  for (size_t i = 0; i < CURVE_BATCH; i++) {
    curve_make_query(job, batch * CURVE_BATCH + i,
                     job->bytes + (CURVE_QUERIES + worker) * job->query_bytes);
    searches[i] = (struct vdb_search){.mem = m->mem, .query = &queries[i].vec, .stop = m->stop,
                                      .stop_arg = m->stop_arg,
                                      .top = {.items = found + i * CURVE_TRUE, .k = CURVE_TRUE}};
  }
  int rc = curve_scan(job, searches, CURVE_BATCH, &err);
  if (rc == VECDB_OK && m->stop && m->stop(m->stop_arg))
    rc = VECDB_ERR_CANCELLED;
  if (rc != VECDB_OK) {
    atomic_store_explicit(&job->rc, rc, memory_order_relaxed);
    return;
  }
  for (size_t i = 0; i < CURVE_BATCH; i++) {
    struct vdb_topk *top = &searches[i].top;
    vdb_topk_sort(top);
    for (size_t slot = 0; slot < VDB_CURVE_SLOTS; slot++)
      queries[i].reach[slot] = top->items[vdb_min_size(curve_ks[slot], top->n) - 1].key;
  }
}

/* ---- Measuring ------------------------------------------------------------------------------- */

/* Searches for the k of slot 1 or 2; counts what is as near as the true neighbours, by the rows'
   own keys, since those of codes differ. */
static int curve_search(struct curve_job *job, struct curve_query *q, size_t slot,
                        struct vdb_near *found, vecdb_error *err) {
  const struct vdb_index *index = job->m->index;
  struct vdb_search s = {.mem = job->m->mem, .query = &q->vec, .effort = job->effort,
                         .stretch = job->stretch[slot - 1]};
  uint32_t k = curve_ks[slot];
  s.top.items = found;
  s.top.k = k;
  if (index->ops->effort == VDB_EFFORT_EF && s.effort < k)
    s.effort = k;
  VDB_TRY(index->ops->search(index, &s, err));
  q->stretched[slot - 1] = s.stretched;
  uint32_t rows[CURVE_TRUE];
  float keys[CURVE_TRUE];
  for (size_t i = 0; i < s.top.n; i++)
    rows[i] = s.top.items[i].row;
  vdb_keys_gather(job->vecs, &q->vec, rows, s.top.n, keys);
  size_t hits[VDB_CURVE_SLOTS] = {0};
  for (size_t i = 0; i < s.top.n; i++)
    for (size_t of = slot == 2 ? 2 : 0; of <= slot; of++)
      hits[of] += i < curve_ks[of] && keys[i] <= q->reach[of];
  for (size_t of = slot == 2 ? 2 : 0; of <= slot; of++)
    q->recall[of] = (float)hits[of] / (float)curve_ks[of];
  if (k == 10)
    q->distances = s.distances;
  return VECDB_OK;
}

/* A search for 10 answers for 1 too. */
static void curve_try(void *arg, size_t i, unsigned worker) {
  struct curve_job *job = arg;
  const struct vdb_curve_measure *m = job->m;
  vecdb_error err;
  if (curve_stopped(job))
    return;
  struct vdb_near *found = job->found + (size_t)worker * CURVE_BATCH * CURVE_TRUE;
  int rc = curve_search(job, &job->queries[i], 1, found, &err);
  if (rc == VECDB_OK)
    rc = curve_search(job, &job->queries[i], 2, found, &err);
  if (rc == VECDB_OK && m->stop && m->stop(m->stop_arg))
    rc = VECDB_ERR_CANCELLED;
  if (rc != VECDB_OK)
    atomic_store_explicit(&job->rc, rc, memory_order_relaxed);
}

/* Mean and standard error over the queries; true where hardly anything is missed any more. */
static bool curve_sum(const struct curve_job *job, const struct vdb_curve_point *before,
                      struct vdb_curve_point *out) {
  double n = CURVE_QUERIES, distances = 0;
  bool all = true;
  for (size_t i = 0; i < CURVE_QUERIES; i++)
    distances += (double)job->queries[i].distances / n;
  out->effort = job->effort;
  out->distances = (float)distances;
  for (size_t slot = 0; slot < VDB_CURVE_SLOTS; slot++) {
    double sum = 0, squares = 0;
    for (size_t i = 0; i < CURVE_QUERIES; i++) {
      double x = (double)job->queries[i].recall[slot];
      sum += x;
      squares += x * x;
    }
    double mean = sum / n;
    double error = sqrt(fmax(squares / n - mean * mean, 0) / n);
    all = all && mean >= CURVE_ALL;
    out->recall[slot] = (float)mean;
    out->sure[slot] = (float)fmax(mean - error, 0);
    if (before) {
      out->recall[slot] = fmaxf(out->recall[slot], before->recall[slot]);
      out->sure[slot] = fmaxf(out->sure[slot], before->sure[slot]);
    }
  }
  return all;
}

/* How far searches of this effort have looked on average, never less than those of the one before;
   whether it is farther than for the k rows alone. */
static bool curve_stretch(const struct curve_job *job, const struct vdb_curve_point *before,
                          float stretch[VDB_CURVE_STRETCHES]) {
  bool any = false;
  for (size_t slot = 0; slot < VDB_CURVE_STRETCHES; slot++) {
    double sum = 0;
    for (size_t i = 0; i < CURVE_QUERIES; i++)
      sum += (double)job->queries[i].stretched[slot];
    float mean = (float)(sum / CURVE_QUERIES);
    stretch[slot] = mean > 0 ? fminf(mean, VDB_CURVE_STRETCH_MOST) : 0; /* not NaN */
    if (before)
      stretch[slot] = fmaxf(stretch[slot], before->stretch[slot]);
    any = any || stretch[slot] > 0;
  }
  return any;
}

/* One point: where searches may look as far as this effort does on average, they do. */
static bool curve_point(struct curve_job *job, const struct vdb_curve_point *before,
                        struct vdb_curve_point *out) {
  const struct vdb_par *par = job->m->par;
  memset(job->stretch, 0, sizeof job->stretch);
  par->run(par, CURVE_QUERIES, curve_try, job);
  bool stretches = curve_stretch(job, before, job->stretch);
  if (stretches)
    par->run(par, CURVE_QUERIES, curve_try, job);
  bool all = curve_sum(job, before, out);
  memcpy(out->stretch, job->stretch, sizeof out->stretch);
  return all;
}

static int curve_run(struct curve_job *job, struct vdb_curve *out, vecdb_error *err) {
  const struct vdb_curve_measure *m = job->m;
  bool lists = m->index->ops->effort == VDB_EFFORT_NPROBE;
  struct vdb_index_traits traits;
  m->index->ops->traits(m->index, &traits);
  uint32_t last = lists ? vdb_min_u32(traits.lists, CURVE_NPROBE_LAST)
                        : vdb_min_u32(job->vecs->n, CURVE_EF_LAST);
  m->par->run(m->par, CURVE_QUERIES / CURVE_BATCH, curve_truth, job);
  bool all = false;
  job->effort = lists ? 1 : CURVE_EF_FIRST;
  for (; !all && out->n < VDB_CURVE_POINTS && !curve_stopped(job); job->effort *= 2) {
    job->effort = vdb_min_u32(job->effort, last);
    struct vdb_curve_point *p = &out->points[out->n];
    all = curve_point(job, out->n ? p - 1 : NULL, p) || job->effort == last;
    out->n++;
  }
  int rc = atomic_load_explicit(&job->rc, memory_order_relaxed);
  if (rc == VECDB_OK)
    return rc;
  out->n = 0;
  return rc == VECDB_ERR_CANCELLED ? vdb_fail(err, rc, "measuring the index was cancelled")
                                   : vdb_fail(err, rc, "%s", vecdb_status_text(rc));
}

VDB_INTERNAL int vdb_curve_measure(const struct vdb_curve_measure *m, struct vdb_curve *out,
                                   vecdb_error *err) {
  memset(out, 0, sizeof *out);
  if (m->index->vecs.n < VDB_CURVE_ROWS)
    return VECDB_OK;
  struct curve_job job = {.m = m, .vecs = &m->index->vecs};
  atomic_init(&job.rc, VECDB_OK);
  size_t room = vdb_query_vec_bytes(job.vecs->elem, job.vecs->dim);
  job.query_bytes = (size_t)vdb_round_up(room, 64);
  job.queries = vdb_alloc_array(m->mem, CURVE_QUERIES, sizeof *job.queries);
  job.found = vdb_alloc_array(m->mem, (size_t)m->par->workers * CURVE_BATCH * CURVE_TRUE,
                              sizeof *job.found);
  job.bytes = vdb_alloc_wide(m->mem, (CURVE_QUERIES + m->par->workers) * job.query_bytes);
  int rc = job.queries && job.found && job.bytes ? curve_run(&job, out, err) : vdb_fail_memory(err);
  vdb_free(m->mem, job.queries);
  vdb_free(m->mem, job.found);
  vdb_free(m->mem, job.bytes);
  return rc;
}

/* ---- Reading --------------------------------------------------------------------------------- */

/* The effort at which a slot surely has the recall; the share that is missed falls about as a power
   of the effort. 0: nowhere. */
static double curve_reach(const struct vdb_curve *curve, size_t slot, double recall) {
  uint32_t i = 0;
  while (i < curve->n && (double)curve->points[i].sure[slot] < recall)
    i++;
  const struct vdb_curve_point *p = &curve->points[i < curve->n ? i : i - 1];
  if (i == curve->n) /* on average it has, or it never does */
    return (double)p->recall[slot] >= recall ? 2.0 * p->effort : 0;
  if (i == 0)
    return p->effort;
  double least = 1e-4; /* what is missed is not known better */
  double from = log(1 - (double)p[-1].sure[slot] + least);
  double to = log(1 - (double)p->sure[slot] + least);
  double share = (from - log(1 - recall + least)) / (from - to);
  double low = log((double)p[-1].effort), high = log((double)p->effort);
  return exp(low + share * (high - low));
}

VDB_INTERNAL uint32_t vdb_curve_effort(const struct vdb_curve *curve, enum vdb_effort kind,
                                       uint32_t k, float recall) {
  double efforts[VDB_CURVE_SLOTS];
  size_t slot = k > 10 ? 2 : k > 1 ? 1 : 0; /* the first whose k is enough */
  for (size_t i = slot ? slot - 1 : 0; i <= slot; i++) {
    efforts[i] = curve_reach(curve, i, (double)recall);
    if (efforts[i] == 0)
      return 0;
  }
  double effort = efforts[slot];
  double ratio = (double)k / curve_ks[slot];
  if (ratio > 1)
    effort *= kind == VDB_EFFORT_EF ? ratio : sqrt(ratio);
  else if (ratio < 1) /* between two slots, a factor of ten apart */
    effort = efforts[slot] * pow(efforts[slot] / efforts[slot - 1], log10(ratio));
  effort = ceil(effort);
  return effort < UINT32_MAX / 2 ? (uint32_t)effort : UINT32_MAX / 2;
}

VDB_INTERNAL double vdb_curve_distances(const struct vdb_curve *curve, double effort) {
  uint32_t i = 0;
  while (i < curve->n && curve->points[i].effort < effort)
    i++;
  const struct vdb_curve_point *p = &curve->points[i < curve->n ? i : i - 1];
  if (i == 0 || i == curve->n)
    return (double)p->distances * effort / p->effort;
  double share = (effort - p[-1].effort) / ((double)p->effort - p[-1].effort);
  return (double)p[-1].distances + share * (double)(p->distances - p[-1].distances);
}

/* On a line between two points; 0 where there is none. */
static double curve_stretch_at(const struct vdb_curve *curve, size_t slot, double effort) {
  uint32_t i = 0;
  while (i < curve->n && curve->points[i].effort < effort)
    i++;
  if (i == 0 || i == curve->n)
    return 0;
  const struct vdb_curve_point *p = &curve->points[i];
  double share = (effort - p[-1].effort) / ((double)p->effort - p[-1].effort);
  return (double)p[-1].stretch[slot] + share * (double)(p->stretch[slot] - p[-1].stretch[slot]);
}

VDB_INTERNAL float vdb_curve_stretch(const struct vdb_curve *curve, size_t k, uint32_t effort) {
  size_t least = curve_ks[1], most = curve_ks[2];
  if (k > most)
    return 0;
  double few = curve_stretch_at(curve, 0, effort);
  if (k <= least)
    return (float)few;
  double many = curve_stretch_at(curve, 1, effort);
  double share = log((double)k / (double)least) / log((double)most / (double)least);
  return (float)(few + share * (many - few));
}
