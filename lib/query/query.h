/*
 * query.h - reading: from a checked request over one snapshot to hits and rows. db and api take the
 * snapshot; nothing here writes. All calls may run on any number of threads at once.
 */
#ifndef VDB_QUERY_H
#define VDB_QUERY_H

#include "attr/filter.h"
#include "os/control.h"
#include "os/pool.h"
#include "query/fields.h"
#include "seg/seg.h"

/* Result rows: copies of the wanted values in blocks of their own (rows.c). */
VDB_INTERNAL int vdb_rows_new(struct vdb_mem *mem, const struct vdb_snapshot *snapshot,
                              const char *const *fields, size_t n_fields, struct vecdb_rows **out,
                              vecdb_error *err);
/* As rows_new, of fields picked before. */
VDB_INTERNAL int vdb_rows_of(struct vdb_mem *mem, const struct vdb_schema *schema,
                             const struct vdb_pick *pick, struct vecdb_rows **out,
                             vecdb_error *err);
/* Appends a row of the snapshot. Errors: NO_MEMORY, and nothing is appended. */
VDB_INTERNAL int vdb_rows_add(struct vecdb_rows *rows, const struct vdb_seg_view *view,
                              uint32_t row, vecdb_error *err);

/* The filter of a request, without rows that have expired; NULL: all rows pass. Errors: those of
   vdb_filter_compile. */
VDB_INTERNAL int vdb_query_filter(const struct vdb_snapshot *snapshot, const vecdb_filter *text,
                                  struct vdb_filter **out, vecdb_error *err);

/* search.c. Nothing of params has been checked yet: everything is checked here, in the order that
   gives the clearest error. `pool` serves params->threads and may be NULL. On failure *rows is NULL
   and the contents of hits and counts are not defined. */
VDB_INTERNAL int vdb_query_search(const struct vdb_snapshot *snapshot, struct vdb_pool *pool,
                                  const vecdb_search_params *params, vecdb_hit *hits,
                                  uint32_t *counts, vecdb_search_info *info, vecdb_rows **rows,
                                  vecdb_error *err);
VDB_INTERNAL int vdb_query_range(const struct vdb_snapshot *snapshot,
                                 const vecdb_search_params *params, float radius, vecdb_hit *hits,
                                 uint32_t *count, vecdb_search_info *info, vecdb_rows **rows,
                                 vecdb_error *err);
/* Adds the counters of one search to a sum; partial and elapsed_ns stay. */
VDB_INTERNAL void vdb_search_info_add(vecdb_search_info *sum, const vecdb_search_info *one);
/* group.c. As vdb_query_search. */
struct vdb_group_want {
  const vecdb_search_params *params;
  const vecdb_group_by *by;
  vecdb_hit *hits;
  uint32_t *counts;
  vecdb_search_info *info; /* or NULL */
  vecdb_rows **rows;       /* or NULL */
};
VDB_INTERNAL int vdb_query_groups(const struct vdb_snapshot *snapshot,
                                  const struct vdb_group_want *want, vecdb_error *err);
/* hybrid.c. As vdb_query_search; *n_queries: how many were answered, over all searches. */
struct vdb_hybrid_want {
  const vecdb_hybrid_params *params;
  vecdb_hit *hits;
  uint32_t *counts;
  vecdb_search_info *info; /* or NULL */
  vecdb_rows **rows;       /* or NULL */
};
VDB_INTERNAL int vdb_query_hybrid(const struct vdb_snapshot *snapshot,
                                  const struct vdb_hybrid_want *want, uint32_t *n_queries,
                                  vecdb_error *err);
/* recall.c. The share of the exact answer that the search of one query finds; *indexed tells
   whether an index had a part in it: else *recall stays. Errors: as vdb_query_search, TIMEOUT. */
VDB_INTERNAL int vdb_query_recall(const struct vdb_snapshot *snapshot,
                                  const vecdb_search_params *params, double *recall, bool *indexed,
                                  vecdb_error *err);
VDB_INTERNAL int vdb_query_explain(const struct vdb_snapshot *snapshot,
                                   const vecdb_search_params *params, char *text, size_t capacity,
                                   size_t *length, vecdb_error *err);

/* iterator.c. Takes the snapshot over on success (releases it in vdb_iterator_free). The control is
   applied to each step anew; what it points to must live until the iterator is freed. After a
   failed step nothing is lost: the next one goes on. A step gives at most VECDB_MAX_K hits. */
VDB_INTERNAL int vdb_iterator_new(struct vdb_snapshot *snapshot, const vecdb_search_params *params,
                                  struct vecdb_iterator **out, vecdb_error *err);
VDB_INTERNAL int vdb_iterator_step(struct vecdb_iterator *iterator, uint32_t capacity,
                                   vecdb_hit *hits, uint32_t *count, vecdb_rows **rows,
                                   vecdb_error *err);
VDB_INTERNAL void vdb_iterator_free(struct vecdb_iterator *iterator);

/* scan.c. filter NULL: all rows. control may be NULL. */
VDB_INTERNAL int vdb_query_get(const struct vdb_snapshot *snapshot, const vecdb_keys *keys,
                               const char *const *fields, size_t n_fields, uint8_t *found,
                               vecdb_rows **out, vecdb_error *err);
/* The row of a key that is there at the snapshot's moment. */
VDB_INTERNAL bool vdb_query_find(const struct vdb_snapshot *snapshot, struct vdb_bytes key,
                                 const struct vdb_seg_view **view, uint32_t *row);
/* pull.c. Vectors of a field that takes pushes, and their versions; as vecdb_pull. */
struct vdb_pull_want {
  const char *field;
  const vecdb_keys *keys;
  float *values;      /* or NULL */
  size_t stride;      /* bytes; 0: packed */
  uint64_t *versions; /* or NULL */
};
VDB_INTERNAL int vdb_query_pull(const struct vdb_snapshot *snapshot,
                                const struct vdb_pull_want *want, vecdb_error *err);
VDB_INTERNAL int vdb_query_scan(const struct vdb_snapshot *snapshot,
                                const vecdb_query_params *params, vecdb_rows **out,
                                vecdb_error *err);
VDB_INTERNAL int vdb_query_count(const struct vdb_snapshot *snapshot, const vecdb_filter *filter,
                                 uint64_t *count, vecdb_error *err);
/* counts[i]: rows that pass and in which a sparse field has indices[i]; *rows (may be NULL): all
   that pass. Errors: UNKNOWN_FIELD, TYPE, LIMIT, ARGUMENT, NO_MEMORY, those of the filter. */
VDB_INTERNAL int vdb_query_sparse_counts(const struct vdb_snapshot *snapshot, const char *field,
                                         const vecdb_filter *filter, const uint32_t *indices,
                                         size_t n, uint64_t *counts, uint64_t *rows,
                                         vecdb_error *err);
/* warm.c. Brings the rows that pass, and their part of each index, into memory; *rows: how many.
   Errors: those of the filter and the control, NO_MEMORY; of a DISK index IO and CORRUPT. */
VDB_INTERNAL int vdb_query_warm(const struct vdb_snapshot *snapshot, const vecdb_filter *filter,
                                struct vdb_control *control, uint64_t *rows, vecdb_error *err);
/* Calls visit for every row that passes and is not deleted, in segment and row order; for delete by
   filter. visit may delete rows. A non-zero return ends the walk with that code. */
VDB_INTERNAL int vdb_query_each(const struct vdb_snapshot *snapshot, const vecdb_filter *filter,
                                struct vdb_control *control,
                                int (*visit)(void *arg, const struct vdb_seg_view *view,
                                             uint32_t row, vecdb_error *err),
                                void *arg, vecdb_error *err);

#endif
