/* ivf_probe.c - the lists nearest to a query; see ivf.h. */
#include "base/check.h"
#include "index/ivf.h"

enum {
  PROBE_GRAPH_SHARE = 8, /* by graph, if there is one, when one list in so many is wanted */
  PROBE_SIGNS_SHARE = 6, /* likewise by signs */
  PROBE_SIGNS_MORE = 16, /* lists that signs must leave above a quarter more than wanted */
  PROBE_CHUNK = 64,      /* of these, compared at a time */
  PROBE_SORT = 48        /* lists that are sorted by insertion, at most */
};
/* The key of a list that damage made infinite or no number. */
#define PROBE_FAR 3e38f

/* Sorts the lists from one on. A few are sorted by insertion, as what is better for many is not for
   them. */
static void probe_sort(struct vdb_ivf_scratch *w, uint32_t from) {
  struct vdb_near *items = w->lists + from;
  uint32_t n = w->n_lists - from;
  if (n > PROBE_SORT) {
    vdb_near_sort(items, n);
    return;
  }
  for (uint32_t i = 1; i < n; i++) {
    struct vdb_near item = items[i];
    uint32_t at = i;
    for (; at > 0 && vdb_near_before(item, items[at - 1]); at--)
      items[at] = items[at - 1];
    items[at] = item;
  }
}

/* Takes the lists up to a key, sorted. Those taken are at infinity from then on. */
static void probe_take(struct vdb_ivf_scratch *w, uint32_t n_lists, float cut) {
  uint32_t from = w->n_lists;
  for (uint32_t i = 0; i < n_lists; i++) {
    float key = w->list_keys[i];
    if (key > cut || key == __builtin_inff())
      continue;
    w->lists[w->n_lists++] = (struct vdb_near){key, i};
    w->list_keys[i] = __builtin_inff();
  }
  probe_sort(w, from);
}

/* The key up to which lists are taken: as vdb_ivf_probe says, of m keys. */
static float probe_cut(const float *keys, uint32_t m, uint32_t n, float reach) {
  float cut = vdb_ivf_cut(keys, m, n), least = __builtin_inff();
  for (uint32_t i = 0; i < m; i++)
    least = keys[i] < least ? keys[i] : least;
  return least + reach < cut ? least + reach : cut;
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

/* Leaves of the first m lists, whose keys are known, what vdb_ivf_probe asks for. */
static void probe_keep(struct vdb_ivf_scratch *w, uint32_t m, uint32_t n, float reach) {
  for (uint32_t i = 0; i < m; i++)
    w->list_keys[i] = w->lists[i].key;
  float cut = probe_cut(w->list_keys, m, n, reach);
  for (uint32_t i = 0; i < m; i++)
    if (w->lists[i].key <= cut)
      w->lists[w->n_lists++] = w->lists[i];
  probe_sort(w, 0);
}

/* Finds lists by signs, and of those that these leave the nearest. */
static void probe_signs(const struct vdb_ivf *ivf, struct vdb_ivf_scratch *w, uint32_t n,
                        float reach) {
  const struct vdb_ivf_centroids *c = &ivf->centroids;
  const struct vdb_kern *dot = &vdb_kern()->kern[VDB_I8][VDB_OP_DOT];
  uint32_t left = vdb_ivf_signs_scan(ivf, w, n + n / 4 + PROBE_SIGNS_MORE);
  for (uint32_t i = 0, some; i < left; i += some) {
    uint32_t ids[PROBE_CHUNK];
    float dots[PROBE_CHUNK];
    some = vdb_min_u32(left - i, PROBE_CHUNK);
    for (uint32_t k = 0; k < some; k++)
      ids[k] = w->lists[i + k].row;
    dot->gather(w->query.code, c->codes, c->stride, ids, some, c->stride, dots);
    for (uint32_t k = 0; k < some; k++)
      w->lists[i + k].key = probe_key(ivf, w, ids[k], dots[k]);
  }
  probe_keep(w, left, n, reach);
}

/* Finds lists by the graph of the centroids. */
static void probe_graph(const struct vdb_ivf *ivf, struct vdb_ivf_scratch *w, uint32_t n,
                        float reach) {
  const struct vdb_ivf_centroids *c = &ivf->centroids;
  const struct vdb_kern *dot = &vdb_kern()->kern[VDB_I8][VDB_OP_DOT];
  uint32_t found = vdb_ivf_graph_probe(ivf, w, n);
  for (uint32_t i = 0; i < found; i++) {
    uint32_t list = w->lists[i].row;
    float product = dot->one(w->query.code, c->codes + list * c->stride, c->stride);
    w->lists[i].key = probe_key(ivf, w, list, product);
  }
  probe_keep(w, found, n, reach);
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

VDB_INTERNAL void vdb_ivf_probe(const struct vdb_ivf *ivf, struct vdb_ivf_scratch *w, uint32_t n,
                                float reach) {
  uint32_t n_lists = ivf->centroids.n;
  n = vdb_min_u32(n, n_lists);
  w->n_lists = 0;
  w->all_lists = false;
  if (ivf->graph && n < n_lists / PROBE_GRAPH_SHARE)
    probe_graph(ivf, w, n, reach);
  else if (ivf->signs.quant && n < n_lists / PROBE_SIGNS_SHARE)
    probe_signs(ivf, w, n, reach);
  if (w->n_lists > 0)
    return;
  probe_all(ivf, w);
  probe_take(w, n_lists, probe_cut(w->list_keys, n_lists, n, reach));
}
