/*
 * index.h - the table every index type fills, and the search that all of them answer. An index
 * knows no files, threads, filters or deletes: bytes come and go through sect.h, loops run through
 * par.h, and filter and deletes arrive as a set of allowed rows.
 *
 * The types that users name are compositions: index_list.c says of each which engine builds it,
 * with which code and coarse quantizer. Adding an engine is one table of functions (vdb_index_ops),
 * and its name in the lines of index_list.c that it serves.
 */
#ifndef VDB_INDEX_H
#define VDB_INDEX_H

#include "base/bitmap.h"
#include "base/par.h"
#include "base/sect.h"
#include "index/vecs.h"

/* One search of one index. The caller fills the first part; the index fills `top` and the
   counters. */
struct vdb_search {
  struct vdb_mem *mem;
  const struct vdb_query_vec *query;
  const vecdb_sparse *sparse; /* the query of sparse rows; NULL for others */
  uint32_t effort;        /* as ops->effort says; at least 1 */
  uint32_t ef;            /* of graphs whose effort is not their width; 0: by effort and top.k */
  float stretch;          /* graphs for which it is measured (curve.h): how far to look; 0: by
                             effort alone */
  float stretched;        /* set by these without one: as far as that has looked; 0: not known */
  uint32_t beam;          /* DISK: blocks under way at a time, up to 32; 0: as it knows */
  const uint32_t *starts; /* graphs: rows to walk from, the nearest of them; none: as they know */
  uint32_t n_starts;
  const uint64_t *allow;  /* bitmap of allowed rows, NULL: all */
  float least_share;      /* graphs: where less of the rows near the query are allowed, the search
                             ends at once with `astray`; 0: never */
  bool astray;
  uint32_t astray_at;   /* and the row where it was to begin */
  bool plain;           /* set while no row is asked for yet, as nearly all near the query pass */
  /* Asked of rows that would enter the result, after `allow`; NULL: all pass. */
  bool (*accept)(void *arg, uint32_t row);
  void *accept_arg;
  /* Polled every few hundred distances; true ends the search with what there is. NULL: never. */
  bool (*stop)(void *arg);
  void *stop_arg;
  struct vdb_topk top;    /* .items and .k by the caller; sorted nearest first at the end */
  uint64_t distances;     /* added to */
  uint64_t reads;         /* from disk; added to */
};

/* What vdb_search.effort counts. More of it finds more; an index takes what is too much as all. */
enum vdb_effort {
  VDB_EFFORT_EF,    /* rows kept while searching: the width of a graph search, at least top.k */
  VDB_EFFORT_NPROBE /* lists looked through */
};

/* How rows are stored for searching. */
enum vdb_code {
  VDB_CODE_NONE, /* as they are */
  VDB_CODE_SQ,   /* 4 or 8 bits an element */
  VDB_CODE_PQ,
  VDB_CODE_RABITQ,
  VDB_CODE_BITS  /* signs of the elements */
};

/* What leads a search to its rows. */
enum vdb_coarse {
  VDB_COARSE_NONE,       /* all rows are looked at */
  VDB_COARSE_GRAPH,      /* a graph of the rows */
  VDB_COARSE_LISTS,      /* lists around centroids */
  VDB_COARSE_LIST_GRAPH, /* as lists; the centroids are found by a graph */
  VDB_COARSE_DISK        /* a graph of the rows on disk */
};

/* A type of vecdb.h as a composition. */
struct vdb_index_kind {
  const char *name;
  const struct vdb_index_ops *(*floats)(void); /* the engine; NULL: none, or not built yet */
  const struct vdb_index_ops *(*bits)(void);   /* and over binary vectors */
  enum vdb_code code;
  enum vdb_coarse coarse;
  uint32_t takes; /* parameters, as index_list.c numbers them */
};

/* An index to begin with: of the same type and parameters, over rows of which some come again. */
struct vdb_index_from {
  const struct vdb_index *index;
  const uint32_t *rows; /* what each of its rows is now; VDB_INDEX_GONE: it does not come again */
};
#define VDB_INDEX_GONE UINT32_MAX

struct vdb_index_build {
  struct vdb_mem *mem;
  const struct vdb_vecs *vecs;
  const struct vdb_par *par;
  /* Checked (vdb_index_params_fill) and settled for these rows (vdb_index_params_settle). refine
     and rotation AUTO are the engine's choice, as is nbits 0. */
  vecdb_index_params params;
  const struct vdb_index_kind *kind;
  const struct vdb_index_from *from; /* NULL: none; engines may do without */
  uint64_t seed;
  /* Told rows done now and then, from one thread at a time; true cancels. NULL: none. */
  bool (*progress)(void *arg, uint64_t done, uint64_t total);
  void *progress_arg;
  struct vdb_sect_writer *out;
  uint32_t number; /* of the sections */
};

/* What an opened index is like, for the planner, explain and stats. */
struct vdb_index_traits {
  uint64_t memory;     /* bytes that searches read at random, besides the rows: what should stay in
                          memory */
  uint32_t walk_bytes; /* of one row as it is compared first */
  bool scans;          /* ops->scan may be called */
  bool reads;          /* rows are read from a file, block by block: they need not be in memory */
  uint32_t links;      /* graphs: of a node */
  uint32_t lists;      /* IVF */
  uint64_t entries;    /* IVF: rows in all lists, each as often as it is listed */
};

/* A graph over all rows, borrowed from an opened index. */
struct vdb_index_links {
  const uint32_t *links; /* row i's at links + i * width, UINT32_MAX where there is none */
  uint32_t width;
  const uint32_t *starts; /* rows to start from */
  uint32_t n_starts;
};

struct vdb_index; /* an opened index; each type embeds it first */

/* Rows whose part of an index is wanted in memory. */
struct vdb_index_warm {
  const uint64_t *rows; /* a bit a row */
  bool (*stop)(void *arg); /* asked now and then; true ends it */
  void *stop_arg;
};
enum { VDB_WARM_POLL = 1024 }; /* rows between two questions */

struct vdb_index_ops {
  const char *name; /* of the engine */
  enum vdb_effort effort;
  /* Builds over all rows and writes the sections. The same rows, params, seed and index to begin
     with give the same bytes for any number of workers. Errors: NO_MEMORY, CANCELLED, those of
     `out`. */
  int (*build)(const struct vdb_index_build *b, vecdb_error *err);
  /* Opens from sections, which stay borrowed, after checking their structure against vecs (sizes,
     every link in range): whatever the bytes, search is then memory-safe and ends. Errors: CORRUPT,
     NO_MEMORY. */
  int (*open)(struct vdb_mem *mem, const struct vdb_sect_reader *in, uint32_t number,
              const struct vdb_vecs *vecs, struct vdb_index **out, vecdb_error *err);
  void (*close)(struct vdb_mem *mem, struct vdb_index *index);
  /* Any number of threads at once. Errors: NO_MEMORY; of an index that reads files, IO, CORRUPT. */
  int (*search)(const struct vdb_index *index, struct vdb_search *s, vecdb_error *err);
  void (*traits)(const struct vdb_index *index, struct vdb_index_traits *out);
  /* Looks at all rows of s->allow (never NULL; s->accept is not asked) without a way to them:
     compares codes, and scores the best again; `effort` says how many at most, at least top.k.
     NULL, and vdb_index_traits.scans false: there are no codes for that. Else as search. */
  int (*scan)(const struct vdb_index *index, struct vdb_search *s, vecdb_error *err);
  /* The graph that leads to all rows, for walking it elsewhere. NULL, or false: there is none. */
  bool (*links)(const struct vdb_index *index, struct vdb_index_links *out);
  /* Reads what searches read of these rows: codes, links, blocks, and the upper parts of a graph.
     Errors: of an index that reads files, as search. */
  int (*warm)(const struct vdb_index *index, const struct vdb_index_warm *w, vecdb_error *err);
};

/* The next row at or after `row`, or n: at the end, and when it is to stop. */
VDB_INLINE uint32_t vdb_index_warm_next(const struct vdb_index_warm *w, uint32_t n, uint32_t row,
                                        uint32_t *turn) {
  if (++*turn % VDB_WARM_POLL == 0 && w->stop(w->stop_arg))
    return n;
  return (uint32_t)vdb_bits_next(w->rows, n, row);
}

struct vdb_index {
  const struct vdb_index_ops *ops;
  struct vdb_vecs vecs;
};

enum { VDB_INDEX_TYPES = VECDB_INDEX_DISK + 1 };
/* The composition of a type, or NULL for a number that is none. */
VDB_INTERNAL const struct vdb_index_kind *vdb_index_kind(int32_t type);
/* The engine of a type over such vectors, or NULL (AUTO, scans, types not built yet). */
VDB_INTERNAL const struct vdb_index_ops *vdb_index_ops_of(int32_t type, enum vdb_elem elem);
/* Whether a type is an exact scan of such vectors, which has no index file. */
VDB_INTERNAL bool vdb_index_is_scan(int32_t type, enum vdb_elem elem);

/* The vectors that an index is meant for. */
struct vdb_index_field {
  const char *name; /* for messages; may be NULL */
  enum vdb_elem elem;
  uint32_t dim;
  int32_t metric; /* a vecdb_metric */
};
/* Checks params against the field and replaces zeros by defaults, those excepted that depend on
   the rows or that engines choose. Errors: INDEX_PARAM naming what is wrong with which value;
   UNSUPPORTED for a type that is not built yet. */
VDB_INTERNAL int vdb_index_params_fill(vecdb_index_params *params,
                                       const struct vdb_index_field *field, vecdb_error *err);
/* Bytes that a build may take, and the workers it has. */
struct vdb_room {
  uint64_t bytes; /* 0: as many as it wants */
  unsigned workers;
};
/*
 * What AUTO params, filled, stand for over so many rows: in `out` the fastest of a few choices
 * whose index stays below memory_bytes, and can be built in the room there is (NULL: any), by
 * bounds that depend on nothing but these arguments, and FLAT when none does. Which is fastest is a
 * fixed order (index_list.c), so that the same rows always get the same files; of large segments a
 * bake-off may take lists in place of a graph.
 * `out` must be filled again.
 */
VDB_INTERNAL void vdb_index_auto(const vecdb_index_params *params,
                                 const struct vdb_index_field *field, uint64_t rows,
                                 const struct vdb_room *room, vecdb_index_params *out);
/* The lists that AUTO, where it takes a graph, weighs against it (bakeoff.h). False: none, as they
   may pass memory_bytes or params ask for a width of graph searches. `out` as above. */
VDB_INTERNAL bool vdb_index_auto_lists(const vecdb_index_params *params,
                                       const struct vdb_index_field *field, uint64_t rows,
                                       vecdb_index_params *out);
/* Adjusts filled params of a type with lists to the number of rows: nlist 0, and more lists than
   these rows can have. */
VDB_INTERNAL void vdb_index_params_settle(vecdb_index_params *params, uint32_t rows);

/*
 * Exact scan (flat.c): offers every allowed row of `vecs` to s->top, as row `base` + i; several
 * scans may fill one top, so it is not sorted here. `allow` counts from row 0 of vecs.
 */
VDB_INTERNAL void vdb_flat_scan(const struct vdb_vecs *vecs, uint32_t base, struct vdb_search *s);

/* Offers one row, with its key. */
VDB_INTERNAL void vdb_flat_offer(struct vdb_search *s, uint32_t row, float key);

/*
 * Exact scan for n queries at once (flat_batch.c): gives each of the n searches at `s` what
 * vdb_flat_scan would, bit by bit. All have the same k; their `allow` is not looked at, and `stop`
 * of the first is asked for all. `like` has the type, dimension and metric of all rows to come.
 * Errors: NO_MEMORY.
 */
struct vdb_flat_batch;
VDB_INTERNAL int vdb_flat_batch_new(const struct vdb_vecs *like, struct vdb_search *s, uint32_t n,
                                    struct vdb_flat_batch **out, vecdb_error *err);
VDB_INTERNAL void vdb_flat_batch_scan(struct vdb_flat_batch *b, const struct vdb_vecs *vecs,
                                      uint32_t base, const uint64_t *allow);
VDB_INTERNAL void vdb_flat_batch_free(struct vdb_flat_batch *b);
/* Whether there is such a scan for this type, and it is the faster one here. */
VDB_INTERNAL bool vdb_flat_batch_fits(enum vdb_elem elem);

#endif
