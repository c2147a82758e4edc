/*
 * disk_search.c - searches of a DISK index; see disk.h. A walk among codes begins with the nearest
 * nodes of layer 1, which is in memory, and keeps a heap of nodes to expand and a pool of the
 * nearest rows that pass. While the disk works on the blocks of the nearest nodes of the heap, the
 * block that was asked for first is taken: all its rows are scored by their vectors and offered to
 * the result, and those of its nodes that the pool may take are expanded, whether they were asked
 * for or not. So no block is read twice.
 */
#include "base/bitmap.h"
#include "index/disk.h"

enum {
  DISK_BEAM = 8,        /* blocks that a walk has under way unless told */
  DISK_STARTS = 16,     /* nodes of layer 1 that it begins with */
  DISK_POLL = 4,        /* blocks between two looks at `stop` */
  DISK_SCAN_ROWS = 256, /* fewer allowed rows than so many times the width: a scan of the codes */
  DISK_SCAN_LEAST = 8,  /* a scan reads the blocks of so many rows for each of k */
  DISK_SCAN_IDLE = 64   /* and stops after so many that changed nothing */
};

struct disk_search {
  const struct vdb_disk *disk;
  struct vdb_search *s;
  struct vdb_disk_scratch *scratch;
  uint32_t beam;
  struct vdb_hnsw_walk walk;
};

/* ---- Blocks --------------------------------------------------------------------------------- */

static bool disk_passes(const struct vdb_search *s, uint32_t row) {
  return (!s->allow || vdb_bit_get(s->allow, row)) &&
         (!s->accept || s->accept(s->accept_arg, row));
}

static bool disk_offer(struct vdb_search *s, struct vdb_near near) {
  if (!(near.key <= vdb_topk_bound(&s->top)) || !disk_passes(s, near.row))
    return false;
  vdb_topk_push(&s->top, near);
  return true;
}

/* Scores the rows of a block by their vectors, where they lie; whether any entered the result. */
static bool disk_offer_block(struct disk_search *d, const uint8_t *block, uint32_t n) {
  const struct vdb_disk_shape *shape = &d->disk->shape;
  const uint32_t *rows = vdb_disk_rows(block);
  struct vdb_vecs vecs = d->disk->base.vecs;
  float keys[VDB_DISK_MAX_CAP];
  bool changed = false;
  vecs.data = block + shape->at_vectors;
  vecs.stride = shape->row_bytes;
  vecs.n = n;
  if (vecs.inv_norms)
    vecs.inv_norms = (const float *)(const void *)(block + shape->at_norms);
  vdb_keys_range(&vecs, d->s->query, 0, n, keys);
  d->s->distances += n;
  for (uint32_t i = 0; i < n; i++) {
    const uint32_t *copies;
    uint32_t n_copies = vdb_hnsw_copies_of(&d->disk->graph.copies, rows[i], &copies);
    changed |= disk_offer(d->s, (struct vdb_near){keys[i], rows[i]});
    for (uint32_t k = 0; k < n_copies; k++)
      changed |= disk_offer(d->s, (struct vdb_near){keys[i], copies[k]});
  }
  return changed;
}

/* Asks for a block, unless it was asked for before. */
static void disk_ask(struct disk_search *d, uint32_t number) {
  if (!vdb_visited_add(&d->scratch->blocks, number))
    return;
  d->s->reads += vdb_disk_start(d->disk, d->scratch, number);
}

static uint32_t disk_nodes(const uint8_t *block) {
  struct vdb_disk_head head;
  memcpy(&head, block, sizeof head);
  return head.n;
}

/* ---- The walk ------------------------------------------------------------------------------- */

static bool disk_node_passes(const struct disk_search *d, uint32_t node) {
  const uint32_t *copies;
  if (disk_passes(d->s, node))
    return true;
  uint32_t n = vdb_hnsw_copies_of(&d->disk->graph.copies, node, &copies);
  while (n > 0 && !disk_passes(d->s, copies[n - 1]))
    n--;
  return n > 0;
}

/* Scores the first n of the walk's nodes by code, for the pool and the heap. False: out of
   memory. */
static bool disk_take(struct disk_search *d, uint32_t n) {
  struct vdb_hnsw_scratch *walk = d->walk.scratch;
  vdb_hnsw_score(&d->walk, 0, n);
  for (uint32_t i = 0; i < n; i++) {
    uint64_t item = vdb_walk_item(walk->keys[i], walk->nodes[i]);
    if (!vdb_walk_pool_wants(&walk->found, item))
      continue;
    if (!vdb_hnsw_frontier_push(d->disk->mem, walk, item))
      return false;
    if (disk_node_passes(d, walk->nodes[i]))
      vdb_walk_pool_add(&walk->found, item);
  }
  return true;
}

/* Begins with the nearest nodes of layer 1, or the entry. False: out of memory. */
static bool disk_begin(struct disk_search *d) {
  const struct vdb_hnsw_graph *graph = &d->disk->graph;
  struct vdb_hnsw_scratch *walk = d->walk.scratch;
  uint32_t n = 1;
  walk->nodes[0] = graph->entry;
  if (graph->n_layers > 1) {
    if (!vdb_hnsw_pool_reset(&walk->pool, d->disk->mem, DISK_STARTS))
      return false;
    vdb_hnsw_beam(&d->walk, 1, vdb_hnsw_descend(&d->walk, 1));
    n = (uint32_t)walk->pool.n;
    for (uint32_t i = 0; i < n; i++)
      walk->nodes[i] = graph->order[vdb_walk_item_node(walk->pool.items[i])];
  }
  walk->n_frontier = 0;
  vdb_visited_clear(&walk->seen);
  for (uint32_t i = 0; i < n; i++)
    vdb_visited_add(&walk->seen, walk->nodes[i]);
  return disk_take(d, n);
}

/* Whether the pool holds, or may take, what is as near. */
static bool disk_wants(const struct vdb_walk_pool *pool, uint64_t item) {
  return item <= pool->items[pool->width - 1];
}

/* Asks for the blocks of the nearest nodes, as long as the pool may take what they lead to. */
static void disk_ask_nearest(struct disk_search *d) {
  struct vdb_hnsw_scratch *walk = d->walk.scratch;
  while (d->scratch->under_way < d->beam && walk->n_frontier > 0 &&
         disk_wants(&walk->found, walk->frontier[0]))
    disk_ask(d, d->disk->where[vdb_walk_item_node(vdb_hnsw_frontier_pop(walk))]);
}

/* Adds the unseen links of a node to the first n of the walk's nodes. */
static int disk_collect(struct disk_search *d, const uint32_t *links, uint32_t *n,
                        vecdb_error *err) {
  struct vdb_hnsw_scratch *walk = d->walk.scratch;
  for (uint32_t i = 0; i < d->disk->shape.width && links[i] != VDB_HNSW_NONE; i++) {
    if (links[i] >= d->disk->base.vecs.n)
      return vdb_disk_corrupt(err, "link of a block");
    walk->nodes[*n] = links[i];
    *n += vdb_visited_add(&walk->seen, links[i]);
  }
  return VECDB_OK;
}

/* Expands the nodes of a block that are as near as what the pool holds, and only these: the pool
   gets no farther, so the others will not be wanted. */
static int disk_expand(struct disk_search *d, const uint8_t *block, uint32_t n, vecdb_error *err) {
  const uint32_t *rows = vdb_disk_rows(block);
  struct vdb_hnsw_scratch *walk = d->walk.scratch;
  float keys[VDB_DISK_MAX_CAP];
  vdb_hnsw_keys(d->walk.space, d->walk.query, rows, n, keys);
  uint32_t fresh = 0;
  for (uint32_t i = 0; i < n; i++) {
    uint64_t item = vdb_walk_item(keys[i], rows[i]);
    bool wanted = disk_wants(&walk->found, item);
    if (vdb_visited_add(&walk->seen, rows[i]) && wanted && disk_node_passes(d, rows[i]) &&
        vdb_walk_pool_wants(&walk->found, item))
      vdb_walk_pool_add(&walk->found, item);
    if (!wanted)
      continue;
    VDB_TRY(disk_collect(d, vdb_disk_links(&d->disk->shape, block, i), &fresh, err));
    if (fresh + d->disk->shape.width <= VDB_HNSW_HOP && i + 1 < n)
      continue;
    if (!disk_take(d, fresh))
      return vdb_fail_memory(err);
    fresh = 0;
  }
  return disk_take(d, fresh) ? VECDB_OK : vdb_fail_memory(err);
}

static int disk_walk(struct disk_search *d, vecdb_error *err) {
  struct vdb_search *s = d->s;
  size_t width = vdb_max_size(s->effort, s->top.k);
  if (!vdb_hnsw_pool_reset(&d->walk.scratch->found, d->disk->mem, width) || !disk_begin(d))
    return vdb_fail_memory(err);
  for (uint32_t blocks = 1;; blocks++) {
    const uint8_t *block;
    disk_ask_nearest(d);
    if (d->scratch->under_way == 0 || (s->stop && blocks % DISK_POLL == 0 && s->stop(s->stop_arg)))
      return VECDB_OK;
    VDB_TRY(vdb_disk_finish(d->disk, d->scratch, &block, err));
    disk_offer_block(d, block, disk_nodes(block));
    VDB_TRY(disk_expand(d, block, disk_nodes(block), err));
  }
}

/* ---- The scan ------------------------------------------------------------------------------- */

/* Reads the blocks of the best rows by code, nearest first, until many of them change nothing. */
static int disk_scan_best(struct disk_search *d, const struct vdb_topk *best, vecdb_error *err) {
  size_t least = DISK_SCAN_LEAST * d->s->top.k;
  size_t next = 0, taken = 0, idle = 0;
  while (taken < least || idle < DISK_SCAN_IDLE) {
    const uint8_t *block;
    for (; next < best->n && d->scratch->under_way < VDB_DISK_DEPTH; next++)
      disk_ask(d, d->disk->where[best->items[next].row]);
    if (d->scratch->under_way == 0 || (d->s->stop && taken % DISK_POLL == DISK_POLL - 1 &&
                                       d->s->stop(d->s->stop_arg)))
      break;
    VDB_TRY(vdb_disk_finish(d->disk, d->scratch, &block, err));
    idle = disk_offer_block(d, block, disk_nodes(block)) ? 0 : idle + 1;
    taken++;
  }
  return VECDB_OK;
}

static int disk_scan(struct disk_search *d, vecdb_error *err) {
  struct vdb_topk best;
  int rc = vdb_codes_nearest(&d->disk->codes, d->s, &best, err);
  if (rc == VECDB_OK)
    rc = disk_scan_best(d, &best, err);
  vdb_free(d->s->mem, best.items);
  return rc;
}

/* ---- Both ----------------------------------------------------------------------------------- */

static int disk_run(const struct vdb_disk *disk, struct vdb_search *s,
                    int (*run)(struct disk_search *d, vecdb_error *err), vecdb_error *err) {
  if (disk->graph.n_layers == 0 || s->top.k == 0)
    return VECDB_OK;
  struct vdb_hnsw_space space = {&disk->base.vecs, &disk->codes};
  struct disk_search d = {.disk = disk, .s = s};
  d.beam = vdb_min_u32(s->beam ? s->beam : DISK_BEAM, VDB_DISK_DEPTH);
  VDB_TRY(vdb_disk_take(disk, &d.scratch, err));
  d.walk = (struct vdb_hnsw_walk){
      &disk->graph, &space, d.scratch->query, d.scratch->walk, s->stop, s->stop_arg, 0,
      {0, 0, 0, 0}};
  disk->codes.ops->query(&disk->codes, s->query, d.scratch->query);
  int rc = run(&d, err);
  s->distances += d.walk.distances;
  vdb_disk_give(disk, d.scratch);
  if (rc == VECDB_OK)
    vdb_topk_sort(&s->top);
  else
    s->top.n = 0;
  return rc;
}

VDB_INTERNAL int vdb_disk_search(const struct vdb_index *index, struct vdb_search *s,
                                 vecdb_error *err) {
  uint32_t n = index->vecs.n;
  size_t few = DISK_SCAN_ROWS * vdb_max_size(s->effort, s->top.k);
  bool scan = s->allow && vdb_bits_count(s->allow, n) < vdb_min_size(few, n / 2) && !s->accept;
  return disk_run((const struct vdb_disk *)index, s, scan ? disk_scan : disk_walk, err);
}

VDB_INTERNAL int vdb_disk_scan(const struct vdb_index *index, struct vdb_search *s,
                               vecdb_error *err) {
  return disk_run((const struct vdb_disk *)index, s, disk_scan, err);
}
