/* bakeoff.c - see bakeoff.h. */
#include "index/bakeoff.h"

#include <math.h>

#include "base/sect_memory.h"
#include "index/curve.h"

#define BAKEOFF_TAG VDB_TAG('B', 'A', 'K', 'E')
enum { BAKEOFF_VERSION = 1, BAKEOFF_K = 10 };

/*
 * Nanoseconds of one vector compared, and for each byte of its code, all else that a search does
 * shared out among them: rounded, from text100k with AVX2, where at .95 a walk takes 34 us for 670
 * codes of 192 bytes and lists 34 us for 5,000 of 48. Only their ratio matters. A walk waits for
 * memory at each, lists are read in order.
 */
#define BAKEOFF_GRAPH_ROW 30.0
#define BAKEOFF_GRAPH_BYTE 0.1
#define BAKEOFF_LISTS_ROW 4.0
#define BAKEOFF_LISTS_BYTE 0.06
/* The graph is kept unless lists are that much faster: it is the better one under filters, at a
   higher recall than was asked for, and for growing upon what is there when segments merge. */
#define BAKEOFF_MARGIN 0.8

struct bakeoff_sample {
  struct vdb_vecs vecs;
  uint8_t *rows;
  float *inv_norms;
};

VDB_INTERNAL bool vdb_bakeoff_wanted(const struct vdb_vecs *vecs) {
  return vecs->elem != VDB_BITS && vecs->n >= VDB_BAKEOFF_LEAST;
}

/* A walk goes about as many steps farther as the logarithm of the rows grows; lists are about 4
   sqrt(n), and so long that what is looked through grows as that does. */
VDB_INTERNAL double vdb_bakeoff_us(bool lists, const struct vdb_index_traits *traits,
                                   double compared, uint32_t sample, uint32_t rows) {
  double bytes = traits->walk_bytes, n = rows, of = sample;
  if (lists)
    return compared * sqrt(n / of) * (BAKEOFF_LISTS_ROW + BAKEOFF_LISTS_BYTE * bytes) / 1e3;
  return compared * log(n) / log(of) * (BAKEOFF_GRAPH_ROW + BAKEOFF_GRAPH_BYTE * bytes) / 1e3;
}

/* Rows spread evenly over all. */
static int bakeoff_draw(const struct vdb_bakeoff_case *c, struct bakeoff_sample *s,
                        vecdb_error *err) {
  const struct vdb_vecs *v = c->vecs;
  size_t bytes = vdb_elem_row_bytes(v->elem, v->dim);
  uint32_t n = vdb_min_u32(v->n, VDB_BAKEOFF_SAMPLE);
  s->vecs = *v;
  s->vecs.n = n;
  s->vecs.stride = vdb_round_up(bytes, sizeof(float));
  s->rows = vdb_alloc_wide(c->mem, n * s->vecs.stride);
  s->inv_norms = v->inv_norms ? vdb_alloc_array(c->mem, n, sizeof *s->inv_norms) : NULL;
  if (!s->rows || (v->inv_norms && !s->inv_norms))
    return vdb_fail_memory(err);
  for (uint32_t i = 0; i < n; i++) {
    uint32_t row = (uint32_t)((uint64_t)i * v->n / n);
    memcpy(s->rows + i * s->vecs.stride, v->data + row * v->stride, bytes);
    if (s->inv_norms)
      s->inv_norms[i] = v->inv_norms[row];
  }
  s->vecs.data = s->rows;
  s->vecs.inv_norms = s->inv_norms;
  return VECDB_OK;
}

static bool bakeoff_stop(void *arg, uint64_t done, uint64_t total) {
  const struct vdb_bakeoff_case *c = arg;
  (void)done;
  (void)total;
  return c->stop && c->stop(c->stop_arg);
}

static int bakeoff_build(const struct vdb_bakeoff_case *c, const struct vdb_vecs *vecs,
                         const vecdb_index_params *params, struct vdb_sect_writer *out,
                         vecdb_error *err) {
  struct vdb_index_build build = {.mem = c->mem,
                                  .vecs = vecs,
                                  .par = c->par,
                                  .params = *params,
                                  .kind = vdb_index_kind(params->type),
                                  .seed = c->seed,
                                  .progress = bakeoff_stop,
                                  .progress_arg = (void *)(uintptr_t)c,
                                  .out = out};
  vdb_index_params_settle(&build.params, vecs->n);
  return vdb_index_ops_of(params->type, vecs->elem)->build(&build, err);
}

/* Expected time of one of the two. */
static int bakeoff_run(const struct vdb_bakeoff_case *c, const struct vdb_vecs *vecs,
                       const vecdb_index_params *params, float *us, vecdb_error *err) {
  const struct vdb_index_ops *ops = vdb_index_ops_of(params->type, vecs->elem);
  struct vdb_sect_memory sections;
  struct vdb_index *index = NULL;
  struct vdb_index_traits traits;
  struct vdb_curve curve;
  vdb_sect_memory_init(&sections, c->mem);
  int rc = bakeoff_build(c, vecs, params, &sections.writer, err);
  rc = rc ? rc : ops->open(c->mem, &sections.reader, 0, vecs, &index, err);
  if (rc == VECDB_OK) {
    struct vdb_curve_measure m = {c->mem, index, c->par, c->seed, c->stop, c->stop_arg};
    rc = vdb_curve_measure(&m, &curve, err);
    ops->traits(index, &traits);
    ops->close(c->mem, index);
  }
  vdb_sect_memory_free(&sections);
  if (rc != VECDB_OK)
    return rc;
  uint32_t effort = vdb_curve_effort(&curve, ops->effort, BAKEOFF_K, c->recall);
  *us = INFINITY;
  if (effort > 0)
    *us = (float)vdb_bakeoff_us(ops->effort == VDB_EFFORT_NPROBE, &traits,
                                vdb_curve_distances(&curve, effort), vecs->n, c->vecs->n);
  return VECDB_OK;
}

VDB_INTERNAL int vdb_bakeoff_hold(const struct vdb_bakeoff_case *c, struct vdb_bakeoff *out,
                                  vecdb_error *err) {
  struct bakeoff_sample sample = {.rows = NULL};
  *out = (struct vdb_bakeoff){.version = BAKEOFF_VERSION,
                              .recall = c->recall,
                              .graph = c->graph->type,
                              .lists = c->lists->type};
  int rc = bakeoff_draw(c, &sample, err);
  out->sample = sample.vecs.n;
  rc = rc ? rc : bakeoff_run(c, &sample.vecs, c->graph, &out->graph_us, err);
  rc = rc ? rc : bakeoff_run(c, &sample.vecs, c->lists, &out->lists_us, err);
  out->lists_taken = (double)out->lists_us < BAKEOFF_MARGIN * (double)out->graph_us;
  vdb_free(c->mem, sample.rows);
  vdb_free(c->mem, sample.inv_norms);
  return rc;
}

VDB_INTERNAL int vdb_bakeoff_write(const struct vdb_bakeoff *bakeoff, struct vdb_sect_writer *out,
                                   uint32_t number, vecdb_error *err) {
  VDB_TRY(out->begin(out, BAKEOFF_TAG, number, err));
  VDB_TRY(out->append(out, bakeoff, sizeof *bakeoff, err));
  return out->end(out, err);
}

VDB_INTERNAL bool vdb_bakeoff_read(const struct vdb_sect_reader *in, uint32_t number,
                                   struct vdb_bakeoff *out) {
  vecdb_error err;
  const void *data = NULL;
  size_t n = 0;
  memset(out, 0, sizeof *out);
  if (in->find(in, BAKEOFF_TAG, number, false, &data, &n, &err) != VECDB_OK || !data ||
      n != sizeof *out)
    return false;
  memcpy(out, data, sizeof *out);
  bool known = out->version == BAKEOFF_VERSION && vdb_index_kind(out->graph) &&
               vdb_index_kind(out->lists);
  if (!known)
    memset(out, 0, sizeof *out);
  return known;
}
