/*
 * hnsw_filtered.c - searches of an opened index among rows that may not all be found; see hnsw.h.
 * Rows that pass have a pool of their own, as wide as a plain search's, beside a heap of nodes to
 * expand. The search ends when the nearest of these is farther than a plain one would look among
 * the rows that pass. Two ways to expand:
 *
 *   late     All links are followed and scored, whether their rows pass or not. Right when many do.
 *   near     Only allowed rows are scored. Where a link leads to a row that is not allowed, that
 *            row's links are looked at instead (Patel et al., ACORN, 2024), until enough rows have
 *            been found. Right when few pass, as a bit is cheaper to read than a vector.
 *
 * What counts is how many pass where the query is: filters may have much to do with it.
 */
#include <math.h>

#include "base/bitmap.h"
#include "index/hnsw.h"

enum {
  FILTERED_NEAR_PERCENT = 15, /* allowed rows below which only these are scored */
  FILTERED_NEAR_ROWS = 48,    /* rows to look for among links of links */
  FILTERED_SAMPLE = 128,      /* links that must have been seen to tell the share of allowed rows */
  FILTERED_GLANCE = 16,       /* or, to tell whether it is as large as is asked for; */
  FILTERED_APART = 3,         /* it is not where so many more are missing */
  FILTERED_MARGIN = 4,        /* the k-th may lie one in so many of k behind where it should */
  FILTERED_SEEDS = 16         /* allowed rows from all over that `near` starts from as well */
};

/* Where at least this share of rows passes, walks go as if all did. */
#define FILTERED_PLAIN_SHARE 0.75f

struct hnsw_filtered {
  struct vdb_hnsw_walk *walk;
  struct vdb_search *s;
  struct vdb_mem *mem;
  bool near;
  float limit; /* nodes that are farther are of no use */
};

VDB_INTERNAL bool vdb_hnsw_frontier_push(struct vdb_mem *mem, struct vdb_hnsw_scratch *scratch,
                                         uint64_t item) {
  if (!VDB_GROW(mem, scratch->frontier, scratch->frontier_capacity, scratch->n_frontier + 1))
    return false;
  uint64_t *heap = scratch->frontier;
  size_t i = scratch->n_frontier++;
  for (; i > 0 && item < heap[(i - 1) / 2]; i = (i - 1) / 2)
    heap[i] = heap[(i - 1) / 2];
  heap[i] = item;
  return true;
}

VDB_INTERNAL uint64_t vdb_hnsw_frontier_pop(struct vdb_hnsw_scratch *scratch) {
  uint64_t *heap = scratch->frontier;
  uint64_t top = heap[0];
  size_t n = --scratch->n_frontier;
  uint64_t item = heap[n];
  size_t i = 0;
  for (size_t child = 1; child < n; child = 2 * i + 1) {
    child += child + 1 < n && heap[child + 1] < heap[child];
    if (item <= heap[child])
      break;
    heap[i] = heap[child];
    i = child;
  }
  heap[i] = item;
  return top;
}

static bool filtered_passes(const struct vdb_search *s, uint32_t row) {
  return (!s->allow || vdb_bit_get(s->allow, row)) &&
         (!s->accept || s->accept(s->accept_arg, row));
}

/* Takes the rows of a scored node that pass as results. */
static void filtered_found(struct hnsw_filtered *f, uint64_t item) {
  struct vdb_walk_pool *found = &f->walk->scratch->found;
  uint32_t row = vdb_walk_item_node(item);
  if (filtered_passes(f->s, row))
    vdb_walk_pool_add(found, item);
  const uint32_t *copies;
  uint32_t n = vdb_hnsw_copies_of(&f->walk->graph->copies, row, &copies);
  for (uint32_t i = 0; i < n; i++) {
    uint64_t copy = (item & ~(uint64_t)UINT32_MAX) | (uint64_t)copies[i] << 1;
    if (vdb_walk_pool_wants(found, copy) && filtered_passes(f->s, copies[i]))
      vdb_walk_pool_add(found, copy);
  }
}

/* Takes a scored node: to expand it, and as results its rows that pass. False: out of memory. */
static bool filtered_take(struct hnsw_filtered *f, uint64_t item) {
  if (!vdb_walk_pool_wants(&f->walk->scratch->found, item))
    return true;
  if (!vdb_hnsw_frontier_push(f->mem, f->walk->scratch, item))
    return false;
  filtered_found(f, item);
  return true;
}

/* Whether a row passes, or a copy of it. */
static bool filtered_any_passes(const struct hnsw_filtered *f, uint32_t row) {
  const uint64_t *has = f->walk->graph->copies.has;
  const uint32_t *copies;
  bool passes = filtered_passes(f->s, row);
  if (passes || !has || !vdb_bit_get(has, row))
    return passes;
  uint32_t n = vdb_hnsw_copies_of(&f->walk->graph->copies, row, &copies);
  while (n > 0 && !filtered_passes(f->s, copies[n - 1]))
    n--;
  return n > 0;
}

static bool filtered_copy_is_allowed(const struct hnsw_filtered *f, uint32_t node) {
  const uint32_t *copies;
  uint32_t n = vdb_hnsw_copies_of(&f->walk->graph->copies, node, &copies);
  while (n > 0 && !vdb_bit_get(f->s->allow, copies[n - 1]))
    n--;
  return n > 0;
}

/* Whether a node stands for an allowed row. */
VDB_INLINE bool filtered_is_allowed(const struct hnsw_filtered *f, uint32_t node) {
  const uint64_t *has = f->walk->graph->copies.has;
  return vdb_bit_get(f->s->allow, node) ||
         (has && vdb_bit_get(has, node) && filtered_copy_is_allowed(f, node));
}

/* Links of a node that stand for allowed rows, or may by their copies. Without a branch, as it is
   hard to predict, and apart from what is seen, so that no test waits for the mark before it. */
static uint32_t filtered_some(const struct hnsw_filtered *f, uint32_t node, uint32_t *out) {
  const struct vdb_hnsw_layer *layer = &f->walk->graph->layers[0];
  const uint64_t *has = f->walk->graph->copies.has, *allow = f->s->allow;
  const uint32_t *links = vdb_hnsw_links(layer, node);
  uint32_t n = 0, width = layer->width;
  if (!has)
    has = allow;
  for (uint32_t i = 0; i < width && links[i] != VDB_HNSW_NONE; i++) {
    out[n] = links[i];
    n += (uint32_t)vdb_bit_get(allow, links[i]) | (uint32_t)vdb_bit_get(has, links[i]);
  }
  return n;
}

/* Adds the unseen allowed links of a node to the first n of scratch->nodes; how many are there. */
static uint32_t filtered_allowed(struct hnsw_filtered *f, uint32_t node, uint32_t n) {
  struct vdb_hnsw_scratch *scratch = f->walk->scratch;
  uint32_t some[VDB_HNSW_HOP];
  uint32_t n_some = filtered_some(f, node, some);
  for (uint32_t i = 0; i < n_some && n < VDB_HNSW_HOP; i++)
    if (filtered_is_allowed(f, some[i]) && vdb_visited_add(&scratch->seen, some[i]))
      scratch->nodes[n++] = some[i];
  return n;
}

/* Unseen allowed rows among the links of a node and, as long as they are few, the links of those
   links that are not allowed. */
static uint32_t filtered_collect_near(struct hnsw_filtered *f, uint32_t node) {
  const struct vdb_hnsw_layer *layer = &f->walk->graph->layers[0];
  struct vdb_visited *seen = &f->walk->scratch->seen;
  const uint32_t *links = vdb_hnsw_links(layer, node);
  uint32_t n = filtered_allowed(f, node, 0);
  uint32_t bridges[VDB_HNSW_HOP];
  uint32_t n_bridges = 0;
  for (uint32_t i = 0; i < layer->width && links[i] != VDB_HNSW_NONE; i++) {
    if (vdb_visited_has(seen, links[i]) || filtered_is_allowed(f, links[i]))
      continue;
    VDB_PREFETCH(vdb_hnsw_links(layer, links[i]));
    VDB_PREFETCH(vdb_hnsw_links(layer, links[i]) + VDB_HNSW_ROW_UNIT);
    bridges[n_bridges++] = links[i];
  }
  for (uint32_t i = 0; i < n_bridges && n < FILTERED_NEAR_ROWS; i++) {
    vdb_visited_add(seen, bridges[i]);
    n = filtered_allowed(f, bridges[i], n);
  }
  return n;
}

/* Scores and takes the first n of scratch->nodes. False: out of memory. */
static bool filtered_take_nodes(struct hnsw_filtered *f, uint32_t n) {
  struct vdb_hnsw_scratch *scratch = f->walk->scratch;
  if (f->limit < INFINITY)
    n = vdb_hnsw_sift(f->walk, 0, n, f->limit);
  vdb_hnsw_score(f->walk, 0, n);
  for (uint32_t i = 0; i < n; i++)
    if (!(scratch->keys[i] > f->limit) && /* NaN, of damaged rows, comes last in the pool */
        !filtered_take(f, vdb_walk_item(scratch->keys[i], scratch->nodes[i])))
      return false;
  f->limit = vdb_hnsw_limit(f->walk, &scratch->found);
  return true;
}

/* Nodes to start from besides the entry, spread evenly: the first allowed row after each mark. Rows
   without links are copies. */
static uint32_t filtered_seeds(struct hnsw_filtered *f) {
  const struct vdb_hnsw_layer *layer = &f->walk->graph->layers[0];
  uint32_t n = 0;
  for (uint32_t i = 0; i < FILTERED_SEEDS; i++) {
    size_t mark = (size_t)layer->n * i / FILTERED_SEEDS;
    size_t row = vdb_bits_next(f->s->allow, layer->n, mark);
    if (row < layer->n && vdb_hnsw_links(layer, (uint32_t)row)[0] != VDB_HNSW_NONE &&
        vdb_visited_add(&f->walk->scratch->seen, (uint32_t)row))
      f->walk->scratch->nodes[n++] = (uint32_t)row;
  }
  return n;
}

/* Of the links of a node and theirs, how many are allowed. */
struct filtered_share {
  uint32_t seen, allowed;
};

static void filtered_count(const struct hnsw_filtered *f, uint32_t node,
                           struct filtered_share *share) {
  const struct vdb_hnsw_layer *layer = &f->walk->graph->layers[0];
  const uint32_t *links = vdb_hnsw_links(layer, node);
  for (uint32_t i = 0; i < layer->width && links[i] != VDB_HNSW_NONE; i++) {
    share->seen++;
    share->allowed += filtered_is_allowed(f, links[i]);
  }
}

static float filtered_of(const struct filtered_share *share) {
  return share->seen > 0 ? (float)share->allowed / (float)share->seen : 0;
}

/* Looks around where the walk starts, which is near the query: whether the allowed rows are few
   there, or so few that they must be elsewhere. The share of them. */
static float filtered_look(struct hnsw_filtered *f, uint32_t node) {
  const struct vdb_hnsw_layer *layer = &f->walk->graph->layers[0];
  const uint32_t *links = vdb_hnsw_links(layer, node);
  struct filtered_share share = {0, 0};
  for (uint32_t i = 0; i < layer->width && links[i] != VDB_HNSW_NONE; i++)
    for (uint32_t k = 0; k < layer->width; k += VDB_HNSW_ROW_UNIT)
      VDB_PREFETCH(vdb_hnsw_links(layer, links[i]) + k);
  filtered_count(f, node, &share);
  for (uint32_t i = 0; i < layer->width && links[i] != VDB_HNSW_NONE; i++)
    filtered_count(f, links[i], &share);
  f->near = share.allowed * 100 < share.seen * FILTERED_NEAR_PERCENT;
  f->s->astray = share.seen >= FILTERED_SAMPLE &&
                 (float)share.allowed < f->s->least_share * (float)share.seen;
  return filtered_of(&share);
}

/* The same where only a callback tells which rows pass: so no more of them are looked at than it
   takes. */
static float filtered_glance(struct hnsw_filtered *f, uint32_t node) {
  const struct vdb_hnsw_layer *layer = &f->walk->graph->layers[0];
  const uint32_t *links = vdb_hnsw_links(layer, node), *at = links;
  struct filtered_share share = {0, 0};
  bool enough = false, few = false;
  for (uint32_t i = 0; !enough && !few; i++) {
    for (uint32_t k = 0; k < layer->width && at[k] != VDB_HNSW_NONE; k++) {
      share.seen++;
      share.allowed += filtered_any_passes(f, at[k]);
    }
    float least = f->s->least_share * (float)share.seen;
    enough = share.seen >= FILTERED_GLANCE && (float)share.allowed >= least;
    few = !enough && (share.seen >= FILTERED_SAMPLE ||
                      (float)(share.allowed + FILTERED_APART) < least);
    if (i == layer->width || links[i] == VDB_HNSW_NONE)
      break;
    at = vdb_hnsw_links(layer, links[i]);
  }
  f->s->astray = few;
  f->s->astray_at = node;
  return filtered_of(&share);
}

/* Where so many pass, a walk as if all did, of which those are taken that do: no row is asked for
   that does not come into the pool, and hops go through the pipeline of plain walks. It looks as
   far as for the k / share nearest. Not *done: the k-th that passes is farther than these, so that
   a walk among those that pass would have looked farther. False: out of memory. */
static bool filtered_as_plain(struct hnsw_filtered *f, uint64_t start, float share, bool *done) {
  struct vdb_hnsw_walk *walk = f->walk;
  struct vdb_walk_pool *pool = &walk->scratch->pool, *found = &walk->scratch->found;
  const struct vdb_hnsw_end end = walk->end;
  size_t k = end.k;
  walk->end.k = (size_t)((float)k / share);
  walk->end.width = vdb_max_size(end.width, walk->end.k);
  size_t width = vdb_min_size(found->width * walk->end.k / k, walk->space->vecs->n);
  if (!vdb_hnsw_pool_reset(pool, f->mem, vdb_max_size(width, walk->end.k)))
    return false;
  f->s->plain = true;
  vdb_hnsw_beam(walk, 0, start);
  f->s->plain = false;
  for (size_t i = 0; i < pool->n && found->n < found->width; i++) {
    uint64_t item = pool->items[i] & ~(uint64_t)1;
    filtered_found(f, item);
    *done = *done || (found->n >= k && i < walk->end.k + k / FILTERED_MARGIN);
  }
  walk->end = end;
  if (!*done)
    vdb_hnsw_pool_clear(found, found->width);
  return true;
}

VDB_INTERNAL bool vdb_hnsw_filtered(struct vdb_hnsw_walk *walk, struct vdb_search *s,
                                    struct vdb_mem *mem, uint64_t start) {
  struct hnsw_filtered f = {walk, s, mem, false, INFINITY};
  struct vdb_hnsw_scratch *scratch = walk->scratch;
  const struct vdb_hnsw_layer *layer = &walk->graph->layers[0];
  float share = 0;
  bool done = false;
  if (s->allow)
    share = filtered_look(&f, vdb_walk_item_node(start));
  else if (s->least_share > 0)
    share = filtered_glance(&f, vdb_walk_item_node(start));
  if (s->astray)
    return true;
  if (share >= FILTERED_PLAIN_SHARE && walk->end.k > 0 &&
      !filtered_as_plain(&f, start, share, &done))
    return false;
  if (done)
    return true;
  scratch->n_frontier = 0;
  vdb_visited_clear(&scratch->seen);
  vdb_visited_add(&scratch->seen, vdb_walk_item_node(start));
  if (!filtered_take(&f, start) || (f.near && !filtered_take_nodes(&f, filtered_seeds(&f))))
    return false;
  for (uint32_t hops = 0; scratch->n_frontier > 0 && !vdb_hnsw_stopped(walk, hops); hops++) {
    uint64_t item = vdb_hnsw_frontier_pop(scratch);
    if (vdb_walk_item_key(item) > f.limit || !vdb_walk_pool_wants(&scratch->found, item))
      break;
    uint32_t node = vdb_walk_item_node(item);
    uint32_t n = f.near ? filtered_collect_near(&f, node) : vdb_hnsw_collect(scratch, layer, node);
    if (!filtered_take_nodes(&f, n))
      return false;
  }
  return true;
}
