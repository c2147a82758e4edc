/*
 * index.h - the table every index type fills, and the search that all of them answer. An index
 * knows no files, threads, filters or deletes: bytes come and go through sect.h, loops run through
 * par.h, and filter and deletes arrive as a set of allowed rows. Adding a type is one file that
 * exports one constant table, and one line in index_list.c.
 */
#ifndef VDB_INDEX_H
#define VDB_INDEX_H

#include "base/par.h"
#include "base/sect.h"
#include "index/vecs.h"

/* One search of one index. The caller fills the first part; the index fills `top` and the
   counters. */
struct vdb_search {
  struct vdb_mem *mem;
  const struct vdb_query_vec *query;
  uint32_t ef;            /* width of a graph search, at least top.k */
  const uint64_t *allow;  /* bitmap of allowed rows, NULL: all */
  /* Asked of rows that would enter the result, after `allow`; NULL: all pass. */
  bool (*accept)(void *arg, uint32_t row);
  void *accept_arg;
  /* Polled every few hundred distances; true ends the search with what there is. NULL: never. */
  bool (*stop)(void *arg);
  void *stop_arg;
  struct vdb_topk top;    /* .items and .k by the caller; sorted nearest first at the end */
  uint64_t distances;     /* added to */
};

struct vdb_index_build {
  struct vdb_mem *mem;
  const struct vdb_vecs *vecs;
  const struct vdb_par *par;
  vecdb_index_params params; /* checked, without zeros */
  uint64_t seed;
  /* Told rows done now and then, from one thread at a time; true cancels. NULL: none. */
  bool (*progress)(void *arg, uint64_t done, uint64_t total);
  void *progress_arg;
  struct vdb_sect_writer *out;
  uint32_t number; /* of the sections */
};

struct vdb_index; /* an opened index; each type embeds it first */

struct vdb_index_ops {
  int32_t type; /* a vecdb_index_type */
  const char *name;
  /* Builds over all rows and writes the sections. The same rows, params and seed give the same
     bytes for any number of workers. Errors: NO_MEMORY, CANCELLED, those of `out`. */
  int (*build)(const struct vdb_index_build *b, vecdb_error *err);
  /* Opens from sections, which stay borrowed, after checking their structure against vecs (sizes,
     every link in range): whatever the bytes, search is then memory-safe and ends. Errors: CORRUPT,
     NO_MEMORY. */
  int (*open)(struct vdb_mem *mem, const struct vdb_sect_reader *in, uint32_t number,
              const struct vdb_vecs *vecs, struct vdb_index **out, vecdb_error *err);
  void (*close)(struct vdb_mem *mem, struct vdb_index *index);
  /* Any number of threads at once. Errors: NO_MEMORY. */
  int (*search)(const struct vdb_index *index, struct vdb_search *s, vecdb_error *err);
};

struct vdb_index {
  const struct vdb_index_ops *ops;
  struct vdb_vecs vecs;
};

/* The table of a type, or NULL (FLAT and AUTO have none: they are scans). */
VDB_INTERNAL const struct vdb_index_ops *vdb_index_ops_of(int32_t type);
/* Checks params and replaces zeros by defaults. INDEX_PARAM on a value out of range. */
VDB_INTERNAL int vdb_index_params_fill(vecdb_index_params *params, const char *field,
                                       vecdb_error *err);

/*
 * Exact scan (flat.c): offers every allowed row of `vecs` to s->top, as row `base` + i; several
 * scans may fill one top, so it is not sorted here. `allow` counts from row 0 of vecs.
 */
VDB_INTERNAL void vdb_flat_scan(const struct vdb_vecs *vecs, uint32_t base, struct vdb_search *s);

#endif
