/*
 * filter.h - filters: from text to a checked tree, and from the tree to sets of rows. The language
 * is described in vecdb.h at vecdb_filter; attr/README.md holds the grammar.
 */
#ifndef VDB_FILTER_H
#define VDB_FILTER_H

#include "attr/attr_index.h"
#include "attr/column.h"

struct vdb_filter;

/*
 * Parses the text, binds names and parameters, checks types and folds constants. The result does
 * not depend on the text or the parameters afterwards. text NULL or blank: *out is NULL, which
 * every function below takes as "all rows pass". Errors: LIMIT, UTF8, FILTER (with position and
 * what was expected), UNKNOWN_FIELD, TYPE, FILTER_PARAM (with position), NO_MEMORY. Time and memory
 * are linear in the text; nesting is bounded without recursion deeper than VECDB_MAX_FILTER_DEPTH.
 */
VDB_INTERNAL int vdb_filter_compile(struct vdb_mem *mem, const struct vdb_schema *schema,
                                    const vecdb_filter *text, struct vdb_filter **out,
                                    vecdb_error *err);
/* The filter that passes the rows of a schema that have not expired at that time; NULL where none
   expires. Errors: NO_MEMORY. */
VDB_INTERNAL int vdb_filter_unexpired(struct vdb_mem *mem, const struct vdb_schema *schema,
                                      int64_t now_ms, struct vdb_filter **out, vecdb_error *err);
/* Whether a filter would take this name for a word of its own, such as `and`, whatever its case. */
VDB_INTERNAL bool vdb_filter_keyword(const char *name, size_t n);
VDB_INTERNAL void vdb_filter_free(struct vdb_mem *mem, struct vdb_filter *filter);
/* Puts a filter before others, so that rows must pass them all; takes both over. Either may be
   NULL. */
VDB_INTERNAL struct vdb_filter *vdb_filter_push(struct vdb_filter *first, struct vdb_filter *rest);
/* Frees the one that was pushed last and gives the rest back. */
VDB_INTERNAL struct vdb_filter *vdb_filter_pop(struct vdb_mem *mem, struct vdb_filter *filter);

/* Rows that a filter runs over. */
struct vdb_filter_rows {
  const struct vdb_column *columns;            /* one per field of the schema */
  /* one per field, and then per JSON path of the schema; entries may be NULL; NULL: none */
  const struct vdb_attr_index *const *indexes;
  size_t n;
};

/*
 * Sets bits[0 .. n) to the rows that pass, using indexes where they answer a part of the tree, and
 * scanning columns in blocks for the rest (skipping blocks that an `and` has already emptied).
 * Three-valued logic inside; only true passes. stop (may be NULL) is polled per block; when it says
 * true the call returns with *stopped true and bits undefined. Errors: NO_MEMORY.
 */
VDB_INTERNAL int vdb_filter_bitmap(struct vdb_mem *mem, const struct vdb_filter *filter,
                                   const struct vdb_filter_rows *rows, bool (*stop)(void *arg),
                                   void *stop_arg, uint64_t *bits, bool *stopped,
                                   vecdb_error *err);
/* Whether one row passes; no memory needed. */
VDB_INTERNAL bool vdb_filter_row(const struct vdb_filter *filter, const struct vdb_column *columns,
                                 size_t row);
/*
 * The share of rows expected to pass, 0 to 1: exact counts from indexes where a leaf has one, a
 * sample of rows (a fixed stride) elsewhere; cheap (at most some hundred row evaluations). *exact
 * is set when the share is a true count.
 */
VDB_INTERNAL double vdb_filter_estimate(const struct vdb_filter *filter,
                                        const struct vdb_filter_rows *rows, bool *exact);
/* Which of the fields (by index) the filter reads. */
VDB_INTERNAL bool vdb_filter_reads(const struct vdb_filter *filter, uint32_t field);
/* Whether the index of a JSON path (by its place in the schema, of which the filter is) would be
   asked. */
VDB_INTERNAL bool vdb_filter_asks(const struct vdb_filter *filter, const struct vdb_schema *schema,
                                  uint32_t path);
/* Writes the bound tree as text, for explain. */
VDB_INTERNAL void vdb_filter_describe(const struct vdb_filter *filter,
                                      const struct vdb_schema *schema, struct vdb_writer *out);

#endif
