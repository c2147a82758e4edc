/*
 * hnsw.h - what the files of the HNSW index share: the graph, the walk over it, and scratch memory.
 * README.md has the design.
 *
 *   hnsw.c          the table, opened indexes and their stock of scratch memory
 *   hnsw_walk.c     pool, descent through the upper layers, beam search of one layer
 *   hnsw_search.c   a search: plain, or filtered in one of two ways
 *   hnsw_build.c    batched insertion
 *   hnsw_grow.c     beginning with the graph of an older index
 *   hnsw_link.c     choice of links, links back
 *   hnsw_codes.c    choice of codes, and whether they are good enough
 *   hnsw_store.c    copies of the rows that hits are scored again with
 *   hnsw_copies.c   rows that equal others
 *   hnsw_connect.c  reachability of level 0
 *   hnsw_io.c       sections: writing, checking, opening
 */
#ifndef VDB_HNSW_H
#define VDB_HNSW_H

#include "index/codes.h"
#include "index/index.h"
#include "index/visited.h"
#include "kern/walk.h"

enum {
  VDB_HNSW_MAX_M = 128,
  VDB_HNSW_MAX_LAYERS = 17, /* level 0, and 16 above: 4^16 = 2^32 */
  VDB_HNSW_ROW_UNIT = 16,   /* links per row of level 0 come in cache lines */
  VDB_HNSW_HOP = 512        /* rows scored at a time: at least the links of one */
};
#define VDB_HNSW_NONE UINT32_MAX          /* an empty link slot; only at the end of a row */
#define VDB_HNSW_MAX_ROWS (UINT32_C(1) << 31) /* pool keys hold a row in 31 bits */

/* The table of the type. */
VDB_INTERNAL const struct vdb_index_ops *vdb_hnsw_ops(void);

/*
 * Rows are put into a seeded random order; layer l above 0 holds the first `n` rows of that order,
 * so a node has the same number, its position, in all upper layers. Level 0 numbers nodes by row.
 */
struct vdb_hnsw_layer {
  const uint32_t *links; /* node i's at links + i * width, nearest first, then NONE */
  const uint32_t *briefs; /* of the codes of the links, each where its link is; NULL: none */
  uint32_t width;
  uint32_t n;
};

/* Rows that equal a row before them in the order are no nodes: they are listed by the first. */
struct vdb_hnsw_copies {
  const uint32_t *firsts; /* ascending */
  const uint32_t *ends;   /* where the copies of each end in `rows` */
  const uint32_t *rows;
  uint32_t n_groups;
  uint32_t n;
  uint64_t *has;          /* bitmap of the firsts; in opened indexes, and NULL without copies */
};

/* What walks compare: codes, or the rows themselves when codes->ops is NULL. */
struct vdb_hnsw_space {
  const struct vdb_vecs *vecs;
  const struct vdb_codes *codes;
};

/* In files, so never changed. */
enum vdb_hnsw_refine {
  VDB_HNSW_REFINE_ROWS,
  VDB_HNSW_REFINE_COPY,  /* f16, of f32 rows */
  VDB_HNSW_REFINE_CODES, /* of 8 bits, after a walk among shorter ones */
  VDB_HNSW_REFINE_NONE,  /* hits keep the keys of the walk */
  VDB_HNSW_REFINE_COUNT
};

struct vdb_hnsw_graph {
  struct vdb_hnsw_layer layers[VDB_HNSW_MAX_LAYERS];
  uint32_t n_layers;     /* 0 when there are no rows */
  uint32_t entry;        /* the row of position 0, where walks start */
  const uint32_t *order; /* rows of the positions of layer 1; NULL without upper layers */
  struct vdb_hnsw_copies copies;
  struct vdb_codes codes; /* of opened indexes and, when it is written, of a finished graph */
  /* What hits are scored again with: other codes, or a copy of the rows, or the rows. */
  enum vdb_hnsw_refine refine;
  struct vdb_codes fine; /* of CODES */
  struct vdb_vecs store; /* of COPY */
};

/* What a hop of a beam has found, on its way to be scored. */
struct vdb_hnsw_stage {
  uint32_t nodes[VDB_HNSW_HOP];
  uint32_t places[VDB_HNSW_HOP]; /* of them among the links of the node that is expanded */
  const uint32_t *briefs;        /* beside these links; NULL: none */
  uint32_t n;
  bool sketches;                 /* to be sifted first */
};

struct vdb_hnsw_scratch {
  struct vdb_visited seen;
  struct vdb_walk_pool pool;
  struct vdb_walk_pool found;  /* filtered searches: rows that passed */
  uint64_t *frontier;          /* filtered searches: a heap of items */
  size_t n_frontier;
  size_t frontier_capacity;
  void *code_query;            /* the query among codes; NULL until one was needed */
  void *fine_query;            /* and among those of 8 bits */
  uint32_t nodes[VDB_HNSW_HOP];
  uint32_t rows[VDB_HNSW_HOP];
  uint32_t briefs[VDB_HNSW_HOP];
  float keys[VDB_HNSW_HOP];
  struct vdb_hnsw_stage stages[3]; /* of a beam's last hops */
};

/* Where a walk ends that is not ended by its pool: at nodes that are farther than the k-th of the
   pool by more than `stretch` of the k-th's squared distance (Al-Jazzazi et al., Distance adaptive
   beam search for provably accurate graph-based nearest neighbor search, 2025). */
struct vdb_hnsw_end {
  size_t k; /* 0: there is no such end */
  size_t width; /* rows looked at instead where the k-th is nearer than codes can tell: */
  float least;  /* at squared distances below this */
  float stretch;
};

/* One walk. `query` is one of the codes' kind or, among rows, a vdb_query_vec. */
struct vdb_hnsw_walk {
  const struct vdb_hnsw_graph *graph;
  const struct vdb_hnsw_space *space;
  const void *query;
  struct vdb_hnsw_scratch *scratch;
  bool (*stop)(void *arg); /* NULL: never */
  void *stop_arg;
  uint64_t distances; /* rows compared, be it by their sketches alone */
  struct vdb_hnsw_end end; /* of level 0, in searches */
};

VDB_INTERNAL struct vdb_hnsw_scratch *vdb_hnsw_scratch_new(struct vdb_mem *mem, uint32_t n);
VDB_INTERNAL void vdb_hnsw_scratch_free(struct vdb_mem *mem, struct vdb_hnsw_scratch *scratch);
/* Empties a pool and makes room for `width` items; false when out of memory. */
VDB_INTERNAL bool vdb_hnsw_pool_reset(struct vdb_walk_pool *pool, struct vdb_mem *mem,
                                      size_t width);
/* Empties a pool that has room for `width` items. */
VDB_INTERNAL void vdb_hnsw_pool_clear(struct vdb_walk_pool *pool, size_t width);

/* The unseen links of a node, as the first of scratch->nodes; how many. */
VDB_INTERNAL uint32_t vdb_hnsw_collect(struct vdb_hnsw_scratch *scratch,
                                       const struct vdb_hnsw_layer *layer, uint32_t node);
/* Scores the first n of scratch->nodes, of a layer, into scratch->keys. */
VDB_INTERNAL void vdb_hnsw_score(struct vdb_hnsw_walk *walk, uint32_t layer, uint32_t n);
/* Leaves those of the first n of scratch->nodes, of a layer, whose sketches do not say that their
   keys are above `limit`: all, where there are no sketches; how many. */
VDB_INTERNAL uint32_t vdb_hnsw_sift(struct vdb_hnsw_walk *walk, uint32_t layer, uint32_t n,
                                    float limit);
/* Asks s->stop now and then, by the number of hops so far. */
VDB_INTERNAL bool vdb_hnsw_stopped(const struct vdb_hnsw_walk *walk, uint32_t hops);
/* Walks greedily from the entry through the layers above `layer`; the item of the node to start
   from in `layer`. The graph must have rows. */
VDB_INTERNAL uint64_t vdb_hnsw_descend(struct vdb_hnsw_walk *walk, uint32_t layer);
/* Beam search of a layer, from `start`, into scratch->pool (reset by the caller). */
VDB_INTERNAL void vdb_hnsw_beam(struct vdb_hnsw_walk *walk, uint32_t layer, uint64_t start);

/* The key beyond which nodes are of no use to a walk whose nearest are in `pool`, as far as is
   known. */
VDB_INTERNAL float vdb_hnsw_limit(const struct vdb_hnsw_walk *walk,
                                  const struct vdb_walk_pool *pool);
/* Searches level 0 under s->allow and s->accept, from `start`, into scratch->found (reset by the
   caller); or sets s->astray. False: out of memory. */
VDB_INTERNAL bool vdb_hnsw_filtered(struct vdb_hnsw_walk *walk, struct vdb_search *s,
                                    struct vdb_mem *mem, uint64_t start);

/* Puts an item into the frontier, a heap; false when out of memory. */
VDB_INTERNAL bool vdb_hnsw_frontier_push(struct vdb_mem *mem, struct vdb_hnsw_scratch *scratch,
                                         uint64_t item);
/* Takes the nearest out, of at least one. */
VDB_INTERNAL uint64_t vdb_hnsw_frontier_pop(struct vdb_hnsw_scratch *scratch);

/* Keys of rows. */
VDB_INLINE void vdb_hnsw_keys(const struct vdb_hnsw_space *space, const void *query,
                              const uint32_t *rows, size_t n, float *keys) {
  if (space->codes->ops)
    space->codes->ops->keys(space->codes, query, rows, n, keys);
  else
    vdb_keys_gather(space->vecs, query, rows, n, keys);
}

/* The links of a node. */
VDB_INLINE const uint32_t *vdb_hnsw_links(const struct vdb_hnsw_layer *layer, uint32_t node) {
  return layer->links + (size_t)node * layer->width;
}

/* A row as a query of a walk. */
struct vdb_hnsw_row {
  struct vdb_query_vec raw;
  void *room; /* for vdb_hnsw_row_room bytes, 64-byte aligned */
};

VDB_INTERNAL size_t vdb_hnsw_row_room(const struct vdb_hnsw_space *space);
/* Makes a row of `space` a query among `walked`, which is the same space, or has shorter codes of
   the same rows; what it returns leads into `out`, or to the row. */
VDB_INTERNAL const void *vdb_hnsw_row_query(const struct vdb_hnsw_space *space,
                                            const struct vdb_hnsw_space *walked, uint32_t row,
                                            struct vdb_hnsw_row *out);

/* ---- Building: hnsw_build.c, hnsw_grow.c, hnsw_link.c, hnsw_connect.c ------------------------ */

struct vdb_hnsw_edge {
  uint32_t target;
  uint32_t source;
  float key;
};

/* Candidates for links: each its row, key, and place in the pool it came from. */
struct vdb_hnsw_candidates {
  uint32_t *rows;
  uint32_t *places;
  float *keys;
  float *others; /* keys to another node */
  uint8_t *chosen; /* by place */
};

/* Memory of one worker. */
struct vdb_hnsw_worker {
  struct vdb_hnsw_scratch *scratch;
  struct vdb_walk_pool merged; /* links of a target, old and new */
  struct vdb_hnsw_candidates left; /* while choosing: those not covered yet */
  struct vdb_hnsw_row row;     /* a query made of a row */
};

/* How many links a node takes: `cap` that pass the test, and with others up to `fill`. */
struct vdb_hnsw_rule {
  uint32_t cap;
  uint32_t fill;
};

/* The graph whose level 0 a new one begins with. */
struct vdb_hnsw_source {
  const struct vdb_hnsw_graph *graph; /* NULL: there is none */
  uint32_t *nodes;   /* the node here of each node there; NONE: it is gone */
  uint32_t *origins; /* and the other way round; NONE: it is new */
  uint32_t n_kept;   /* nodes that are not new */
  uint32_t *todo;    /* nodes to find links for: those that lost some, then new ones */
  uint32_t n_todo;
};

struct vdb_hnsw_builder {
  const struct vdb_index_build *b;
  struct vdb_codes codes;         /* for building; ops is NULL: none */
  struct vdb_hnsw_space space;    /* what is compared: the rows, or `codes` */
  struct vdb_hnsw_space walked;   /* what is compared while walking: the same, or shorter codes */
  struct vdb_hnsw_graph graph;    /* of the layers from `layer` up */
  uint32_t *order;                /* rows in the order of insertion, copies left out */
  uint32_t n_nodes;               /* how many there are in it */
  uint32_t *first_of;             /* of each row, the node that it is or is a copy of; NULL later */
  struct vdb_hnsw_source source;
  uint32_t *copies_block;         /* memory of graph.copies */
  uint32_t *links[VDB_HNSW_MAX_LAYERS]; /* the graph's, to write */
  float *link_keys;               /* of the links of the layer in work */
  uint32_t layer;                 /* in work */
  struct vdb_hnsw_rule rule_new;  /* in this layer, for a new node */
  struct vdb_hnsw_rule rule_back; /* and for one that gets links back */
  const uint32_t *todo;           /* level 0: nodes that still lack links, in order */
  uint32_t n_built;               /* nodes that the layer began with */
  uint32_t first;                 /* of the others, the batch's first */
  uint32_t told;                  /* as progress */
  uint32_t *batch_links;          /* rows of the batch, chosen while others walk the graph */
  float *batch_keys;
  struct vdb_hnsw_edge *edges;    /* links back of the batch, by target */
  struct vdb_hnsw_edge *edges_swap;
  uint32_t n_edges;
  uint32_t *groups;               /* where each target's edges start, and their end */
  uint32_t n_groups;
  struct vdb_hnsw_worker *workers;
};

/* The row of a node of the layer in work. */
VDB_INLINE uint32_t vdb_hnsw_row_of(const struct vdb_hnsw_builder *h, uint32_t node) {
  return h->layer == 0 ? node : h->order[node];
}

/* The node of a position in the layer in work. */
VDB_INLINE uint32_t vdb_hnsw_node_of(const struct vdb_hnsw_builder *h, uint32_t position) {
  return h->layer == 0 ? h->order[position] : position;
}

/* Whether the layer in work, level 0, began with the node and its links. */
VDB_INLINE bool vdb_hnsw_is_kept(const struct vdb_hnsw_builder *h, uint32_t node) {
  return h->layer == 0 && h->source.graph && h->source.origins[node] != VDB_HNSW_NONE;
}

/* Links of a node in use. */
VDB_INLINE uint32_t vdb_hnsw_degree(const struct vdb_hnsw_layer *layer, uint32_t node) {
  const uint32_t *links = vdb_hnsw_links(layer, node);
  uint32_t n = 0;
  while (n < layer->width && links[n] != VDB_HNSW_NONE)
    n++;
  return n;
}

/*
 * Chooses links of a node among n items, nearest first, and writes them to `row` and their keys to
 * `keys`: an item passes when it is nearer to the node than to any that passed before it; those
 * turned down fill up as the rule says, nearest first.
 */
VDB_INTERNAL void vdb_hnsw_choose(const struct vdb_hnsw_builder *h, struct vdb_hnsw_worker *worker,
                                  uint32_t node, const struct vdb_walk_pool *from,
                                  const struct vdb_hnsw_rule *rule, uint32_t *row, float *keys);
/* Links the targets of h->edges back to the sources, in parallel; sorts the edges. */
VDB_INTERNAL void vdb_hnsw_link_back(struct vdb_hnsw_builder *h);
/* Codes the rows, if codes are good enough: h->codes for building, and h->graph.codes for walking,
   which may be the same. Sets h->space and h->walked. */
VDB_INTERNAL int vdb_hnsw_codes_build(struct vdb_hnsw_builder *h, vecdb_error *err);
/* What hits are to be scored again with. */
VDB_INTERNAL enum vdb_hnsw_refine vdb_hnsw_store_pick(const struct vdb_hnsw_builder *h);
/* Decides whether to begin with the graph of h->b->from, and which of its nodes stay: h->source.
   Reads h->first_of. Errors: NO_MEMORY. */
VDB_INTERNAL int vdb_hnsw_grow_begin(struct vdb_hnsw_builder *h, vecdb_error *err);
/* Writes what is left of the links of nodes that stay to level 0, the layer in work. */
VDB_INTERNAL void vdb_hnsw_grow_links(struct vdb_hnsw_builder *h);
/* Nodes near one that stays and has lost links, as links to choose among: those that it has, and
   the links of those that are gone. */
VDB_INTERNAL const struct vdb_walk_pool *vdb_hnsw_grow_near(const struct vdb_hnsw_builder *h,
                                                            struct vdb_hnsw_worker *worker,
                                                            uint32_t node);
VDB_INTERNAL void vdb_hnsw_grow_end(struct vdb_hnsw_builder *h);
/* Takes rows that equal an earlier one out of h->order and lists them in the graph; fills
   h->first_of. */
VDB_INTERNAL int vdb_hnsw_find_copies(struct vdb_hnsw_builder *h, vecdb_error *err);
/* Sorts each row of the layer in work nearest first, in parallel. */
VDB_INTERNAL void vdb_hnsw_sort_rows(struct vdb_hnsw_builder *h);
/* Makes every node of level 0 reachable from the entry, and the entry from every node. */
VDB_INTERNAL int vdb_hnsw_connect(struct vdb_hnsw_builder *h, vecdb_error *err);

/* ---- Opened indexes: hnsw.c, hnsw_io.c ------------------------------------------------------- */

enum { VDB_HNSW_STOCK = 32 };

struct vdb_hnsw {
  struct vdb_index base;
  struct vdb_hnsw_graph graph;
  struct vdb_mem *mem;
  _Atomic(struct vdb_hnsw_scratch *) stock[VDB_HNSW_STOCK]; /* scratch memory not in use */
};

VDB_INTERNAL int vdb_hnsw_build(const struct vdb_index_build *b, vecdb_error *err);
VDB_INTERNAL int vdb_hnsw_search(const struct vdb_index *index, struct vdb_search *s,
                                 vecdb_error *err);
/* Writes the sections of a finished graph. */
VDB_INTERNAL int vdb_hnsw_write(const struct vdb_hnsw_builder *h, vecdb_error *err);
/* Of these, header, upper layers and copies alone: who keeps level 0 elsewhere builds with a
   function of its own to write the graph. */
VDB_INTERNAL int vdb_hnsw_write_top(const struct vdb_hnsw_builder *h, vecdb_error *err);
typedef int (*vdb_hnsw_write_fn)(const struct vdb_hnsw_builder *h, vecdb_error *err);
VDB_INTERNAL int vdb_hnsw_build_as(const struct vdb_index_build *b, vdb_hnsw_write_fn write,
                                   vecdb_error *err);
/* Finds and checks the sections; the graph borrows them, but graph->codes may hold memory: its
   `ops` is set only when it is open. graph->copies.has is left NULL. */
VDB_INTERNAL int vdb_hnsw_read(struct vdb_mem *mem, const struct vdb_sect_reader *in,
                               uint32_t number, const struct vdb_vecs *vecs,
                               struct vdb_hnsw_graph *graph, vecdb_error *err);
/* What vdb_hnsw_write_top wrote; level 0 gets its shape, and no links. *codes: their id. */
VDB_INTERNAL int vdb_hnsw_read_top(const struct vdb_sect_reader *in, uint32_t number,
                                   const struct vdb_vecs *vecs, struct vdb_hnsw_graph *graph,
                                   uint32_t *codes, vecdb_error *err);
/* Marks the rows that have copies in copies->has, for n rows. */
VDB_INTERNAL int vdb_hnsw_mark_copies(struct vdb_mem *mem, uint32_t n,
                                      struct vdb_hnsw_copies *copies, vecdb_error *err);
/* The copies of a row of an opened index, ascending; how many. */
VDB_INTERNAL uint32_t vdb_hnsw_copies_of(const struct vdb_hnsw_copies *copies, uint32_t row,
                                         const uint32_t **rows);
/* The kind of codes of an id, or NULL. */
VDB_INTERNAL const struct vdb_codes_ops *vdb_hnsw_codes_of(uint32_t id);
/* Scratch memory from the stock, or new; NULL when out of memory. */
VDB_INTERNAL struct vdb_hnsw_scratch *vdb_hnsw_take(const struct vdb_hnsw *index);
VDB_INTERNAL void vdb_hnsw_give(const struct vdb_hnsw *index, struct vdb_hnsw_scratch *scratch);

#endif
