/* ivf_probe.c - the lists nearest to a query; see ivf.h. */
#include "base/check.h"
#include "index/ivf.h"

enum {
  PROBE_GRAPH_SHARE = 8, /* by graph, if there is one, when one list in so many is wanted */
  PROBE_SIGNS_SHARE = 6, /* likewise by signs */
  PROBE_SIGNS_MORE = 16, /* lists that signs must leave above half as many again as wanted */
  PROBE_CHUNK = 64       /* of these, compared at a time */
};
/* The key of a list that damage made infinite or no number. */
#define PROBE_FAR 3e38f

/* Takes the lists up to a key, sorted. Those taken are at infinity from then on. */
static void probe_take(struct vdb_ivf_scratch *w, uint32_t n_lists, float cut) {
  struct vdb_near *out = w->lists + w->n_lists;
  uint32_t n = 0;
  for (uint32_t i = 0; i < n_lists; i++) {
    float key = w->list_keys[i];
    if (key > cut || key == __builtin_inff())
      continue;
    out[n++] = (struct vdb_near){key, i};
    w->list_keys[i] = __builtin_inff();
  }
  vdb_near_sort(out, n);
  w->n_lists += n;
}

/* The key of a list from its product with the query. */
VDB_INLINE float probe_key(const struct vdb_ivf *ivf, const struct vdb_ivf_scratch *w,
                           uint32_t list, float dot) {
  const struct vdb_ivf_centroids *c = &ivf->centroids;
  float by = (ivf->coder.l2 ? -2 : -1) * w->query.scale;
  float key = c->biases[list] + by * c->scales[list] * dot;
  key += c->spreads ? c->spreads[list] : 0;
  return key < __builtin_inff() ? key : PROBE_FAR;
}

/* Keys of all lists but those that are there. */
static void probe_all(const struct vdb_ivf *ivf, struct vdb_ivf_scratch *w) {
  const struct vdb_ivf_centroids *c = &ivf->centroids;
  vdb_kern()->kern[VDB_I8][VDB_OP_DOT].many(w->query.code, c->codes, c->stride, c->n, c->stride,
                                            w->list_keys);
  for (uint32_t i = 0; i < c->n; i++)
    w->list_keys[i] = probe_key(ivf, w, i, w->list_keys[i]);
  for (uint32_t i = 0; i < w->n_lists; i++)
    w->list_keys[w->lists[i].row] = __builtin_inff();
  w->all_lists = true;
}

/* Finds lists by signs, and of those that these leave the nearest. */
static void probe_signs(const struct vdb_ivf *ivf, struct vdb_ivf_scratch *w, uint32_t n) {
  const struct vdb_ivf_centroids *c = &ivf->centroids;
  const struct vdb_kern *dot = &vdb_kern()->kern[VDB_I8][VDB_OP_DOT];
  uint32_t left = vdb_ivf_signs_scan(ivf, w, n + n / 2 + PROBE_SIGNS_MORE);
  for (uint32_t i = 0, some; i < left; i += some) {
    uint32_t ids[PROBE_CHUNK];
    float dots[PROBE_CHUNK];
    some = vdb_min_u32(left - i, PROBE_CHUNK);
    for (uint32_t k = 0; k < some; k++)
      ids[k] = w->lists[i + k].row;
    dot->gather(w->query.code, c->codes, c->stride, ids, some, c->stride, dots);
    for (uint32_t k = 0; k < some; k++)
      w->lists[i + k].key = w->list_keys[i + k] = probe_key(ivf, w, ids[k], dots[k]);
  }
  float cut = vdb_ivf_cut(w->list_keys, left, n);
  for (uint32_t i = 0; i < left; i++)
    if (w->lists[i].key <= cut)
      w->lists[w->n_lists++] = w->lists[i];
  vdb_near_sort(w->lists, w->n_lists);
}

/* Finds lists by the graph of the centroids. */
static void probe_graph(const struct vdb_ivf *ivf, struct vdb_ivf_scratch *w, uint32_t n) {
  const struct vdb_ivf_centroids *c = &ivf->centroids;
  const struct vdb_kern *dot = &vdb_kern()->kern[VDB_I8][VDB_OP_DOT];
  w->n_lists = vdb_ivf_graph_probe(ivf, w, n);
  for (uint32_t i = 0; i < w->n_lists; i++) {
    uint32_t list = w->lists[i].row;
    float product = dot->one(w->query.code, c->codes + list * c->stride, c->stride);
    w->lists[i].key = probe_key(ivf, w, list, product);
  }
}

VDB_INTERNAL void vdb_ivf_probe_more(const struct vdb_ivf *ivf, struct vdb_ivf_scratch *w,
                                     uint32_t n) {
  uint32_t n_lists = ivf->centroids.n;
  vdb_assert(n <= n_lists);
  if (n <= w->n_lists)
    return;
  if (!w->all_lists)
    probe_all(ivf, w);
  probe_take(w, n_lists, vdb_ivf_cut(w->list_keys, n_lists, n - w->n_lists));
  if (w->n_lists < n)
    probe_take(w, n_lists, __builtin_inff());
}

VDB_INTERNAL void vdb_ivf_probe(const struct vdb_ivf *ivf, struct vdb_ivf_scratch *w, uint32_t n) {
  w->n_lists = 0;
  w->all_lists = false;
  if (ivf->graph && n < ivf->centroids.n / PROBE_GRAPH_SHARE)
    probe_graph(ivf, w, n);
  else if (ivf->signs.quant && n < ivf->centroids.n / PROBE_SIGNS_SHARE)
    probe_signs(ivf, w, n);
  vdb_ivf_probe_more(ivf, w, n);
}
