/*
 * hnsw_connect.c - reachability of level 0; see hnsw.h. Choosing links by diversity can leave nodes
 * that no link leads to, and groups of nodes that no link leads out of.
 *
 *   1. A breadth-first walk from the entry gives each reached node a parent; the parents' links are
 *      the tree, and are never taken away. A node not reached is linked from a near node that has a
 *      free slot or a link outside the tree, and the walk goes on from there.
 *   2. A walk against the links from the entry finds the nodes that lead to it. Another node, taken
 *      in the order of walk 1, is linked to its parent, which leads to the entry by then; if it has
 *      no slot to give, a node below it in the tree is linked instead.
 *
 * Why 2 holds when it replaces a link: it gives up a link of a node that now has its parent, whose
 * way to the entry was settled before; ways that went through that node still do.
 */
#include "base/check.h"
#include "index/hnsw.h"

enum { CONNECT_EF = 64 }; /* width of the search for a node to link from */

struct connect {
  struct vdb_hnsw_builder *h;
  uint32_t *links;
  uint32_t width;
  uint32_t cap;
  uint32_t n;
  uint32_t *parent;   /* of reached nodes; NONE: not reached yet */
  uint32_t *queue;    /* reached nodes in the order they were reached */
  uint32_t n_queue;
  uint32_t walked;    /* of these, nodes whose links have been followed */
  uint32_t spare;     /* the nodes of the queue before this have no slot to give */
  uint32_t *sources;  /* nodes that link to node i: starts[i] up to starts[i + 1] */
  size_t *starts;
  uint8_t *leads;     /* 1: leads to the entry */
  uint32_t *stack;    /* of the walk against the links */
};

/* Follows links until all that can be reached is in the queue. */
static void connect_walk(struct connect *c) {
  while (c->walked < c->n_queue) {
    uint32_t node = c->queue[c->walked++];
    const uint32_t *links = c->links + (size_t)node * c->width;
    for (uint32_t i = 0; i < c->width && links[i] != VDB_HNSW_NONE; i++) {
      if (c->parent[links[i]] != VDB_HNSW_NONE)
        continue;
      c->parent[links[i]] = node;
      c->queue[c->n_queue++] = links[i];
    }
  }
}

/* Links `from` to `to`, in a free slot or in place of its farthest link outside the tree. */
static bool connect_link(struct connect *c, uint32_t from, uint32_t to) {
  uint32_t *links = c->links + (size_t)from * c->width;
  for (uint32_t i = c->cap; i-- > 0;) {
    if (links[i] == VDB_HNSW_NONE ? i > 0 && links[i - 1] == VDB_HNSW_NONE
                                  : c->parent[links[i]] == from)
      continue;
    links[i] = to;
    return true;
  }
  return false;
}

/* Links a node that is not reached from one that is. */
static void connect_attach(struct connect *c, uint32_t node) {
  struct vdb_hnsw_builder *h = c->h;
  struct vdb_hnsw_worker *w = &h->workers[0];
  uint32_t from = VDB_HNSW_NONE;
  const uint32_t *links = c->links + (size_t)node * c->width;
  for (uint32_t i = 0; i < c->width && links[i] != VDB_HNSW_NONE && from == VDB_HNSW_NONE; i++)
    if (c->parent[links[i]] != VDB_HNSW_NONE && connect_link(c, links[i], node))
      from = links[i];
  if (from == VDB_HNSW_NONE) {
    const void *query = vdb_hnsw_row_query(&h->space, &h->space, node, &w->row);
    struct vdb_hnsw_walk walk = {&h->graph, &h->space, query, w->scratch, NULL, NULL, 0,
                                 {0, 0, 0, 0}};
    struct vdb_walk_pool *pool = &w->scratch->pool;
    uint32_t entry = h->graph.entry;
    float key;
    vdb_hnsw_pool_clear(pool, vdb_min_size(pool->capacity, CONNECT_EF));
    vdb_hnsw_keys(&h->space, query, &entry, 1, &key);
    vdb_hnsw_beam(&walk, 0, vdb_walk_item(key, entry));
    for (size_t i = 0; i < pool->n && from == VDB_HNSW_NONE; i++)
      if (connect_link(c, vdb_walk_item_node(pool->items[i]), node))
        from = vdb_walk_item_node(pool->items[i]);
  }
  for (; from == VDB_HNSW_NONE; c->spare++) {
    vdb_assert(c->spare < c->n_queue); /* a tree has fewer links than there are slots */
    if (connect_link(c, c->queue[c->spare], node))
      from = c->queue[c->spare];
  }
  c->parent[node] = from;
  c->queue[c->n_queue++] = node;
}

/* Lists the links by target. */
static void connect_transpose(struct connect *c) {
  size_t slots = (size_t)c->n * c->width;
  memset(c->starts, 0, ((size_t)c->n + 1) * sizeof *c->starts);
  for (size_t i = 0; i < slots; i++)
    if (c->links[i] != VDB_HNSW_NONE)
      c->starts[c->links[i]]++;
  size_t sum = 0;
  for (uint32_t i = 0; i <= c->n; i++) {
    sum += c->starts[i];
    c->starts[i] = sum; /* the end of i; filling from behind makes it the start */
  }
  for (size_t i = slots; i-- > 0;)
    if (c->links[i] != VDB_HNSW_NONE)
      c->sources[--c->starts[c->links[i]]] = (uint32_t)(i / c->width);
}

/* Marks the nodes that lead to `node`, which leads to the entry. */
static void connect_walk_back(struct connect *c, uint32_t node) {
  size_t n = 0;
  c->leads[node] = 1;
  c->stack[n++] = node;
  while (n > 0) {
    uint32_t target = c->stack[--n];
    for (size_t i = c->starts[target]; i < c->starts[target + 1]; i++) {
      if (c->leads[c->sources[i]])
        continue;
      c->leads[c->sources[i]] = 1;
      c->stack[n++] = c->sources[i];
    }
  }
}

/* Links a node, or one below it in the tree, to its parent, which leads to the entry. */
static void connect_lead(struct connect *c, uint32_t node) {
  uint32_t from = node;
  while (!connect_link(c, from, c->parent[node])) {
    from = c->links[(size_t)from * c->width]; /* no slot to give: all links are in the tree */
    vdb_assert(!c->leads[from]);
  }
  connect_walk_back(c, from);
}

static int connect_alloc(struct connect *c, vecdb_error *err) {
  struct vdb_mem *mem = c->h->b->mem;
  c->parent = vdb_alloc_array(mem, c->n, sizeof *c->parent);
  c->queue = vdb_alloc_array(mem, c->n, sizeof *c->queue);
  c->leads = vdb_alloc_zero(mem, c->n);
  c->stack = vdb_alloc_array(mem, c->n, sizeof *c->stack);
  c->starts = vdb_alloc_array(mem, (size_t)c->n + 1, sizeof *c->starts);
  c->sources = vdb_alloc_array(mem, (size_t)c->n * c->width, sizeof *c->sources);
  if (c->parent && c->queue && c->leads && c->stack && c->starts && c->sources)
    return VECDB_OK;
  return vdb_fail_memory(err);
}

VDB_INTERNAL int vdb_hnsw_connect(struct vdb_hnsw_builder *h, vecdb_error *err) {
  struct connect c = {0};
  vdb_assert(h->layer == 0);
  c.h = h;
  c.links = h->links[0];
  c.width = h->graph.layers[0].width;
  c.cap = 2 * h->b->params.m;
  c.n = h->graph.layers[0].n;
  int rc = connect_alloc(&c, err);
  if (rc == VECDB_OK) {
    memset(c.parent, 0xff, c.n * sizeof *c.parent);
    c.parent[h->graph.entry] = h->graph.entry;
    c.queue[c.n_queue++] = h->graph.entry;
    connect_walk(&c);
    for (uint32_t p = 0; p < h->n_nodes; p++) {
      if (c.parent[h->order[p]] != VDB_HNSW_NONE)
        continue;
      connect_attach(&c, h->order[p]);
      connect_walk(&c);
    }
    connect_transpose(&c);
    connect_walk_back(&c, h->graph.entry);
    for (uint32_t i = 1; i < c.n_queue; i++)
      if (!c.leads[c.queue[i]])
        connect_lead(&c, c.queue[i]);
  }
  vdb_free(h->b->mem, c.sources);
  vdb_free(h->b->mem, c.starts);
  vdb_free(h->b->mem, c.stack);
  vdb_free(h->b->mem, c.leads);
  vdb_free(h->b->mem, c.queue);
  vdb_free(h->b->mem, c.parent);
  return rc;
}
