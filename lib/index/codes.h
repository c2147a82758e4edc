/*
 * codes.h - codes: short copies of the rows of an index, which a walk or a scan compares in place
 * of the rows, and the table that each kind of code fills. A kind is one file that exports one
 * constant table, and one line in codes.c. What every kind keeps to:
 *
 *   - Code i is `stride` bytes at data + i * stride: whoever scores a list of rows asks for these
 *     lines. What scoring reads besides is short, and can come as a `brief` beside the row's id.
 *   - Scoring must be safe whatever the bytes of `data` are, as they are not verified at open; keys
 *     may then be any floats. What `open` has accepted of `params` is checked.
 *   - Keys order rows as the keys of vecs.h do, nearly; they need not be near these in value.
 *   - The same rows, params and seed give the same codes for any number of workers.
 *
 * In a file codes are two sections, under tags that the index chooses: `params`, verified, and
 * `data`, in bulk. An index writes codes->ops->id into its header.
 */
#ifndef VDB_CODES_H
#define VDB_CODES_H

#include "base/par.h"
#include "base/sect.h"
#include "base/touch.h"
#include "index/vecs.h"

struct vdb_codes_ops;

/* Codes, just made or opened. Made ones own all their memory, opened ones borrow the sections. */
struct vdb_codes {
  const struct vdb_codes_ops *ops; /* NULL: no codes */
  const uint8_t *data;             /* 64-byte aligned */
  size_t data_size;                /* n * stride, and what the kind keeps behind the codes */
  size_t stride;
  const void *params; /* what was learnt, as in the file */
  size_t params_size;
  uint32_t n;
  uint32_t dim;
  int32_t metric; /* of the rows */
  const uint8_t *sketches; /* sketch i at sketches + i * sketch_stride; NULL: none */
  size_t sketch_stride;
  void *state;    /* the kind's own, such as tables made of params at open; NULL: none */
};

/* Brings the codes of a row into memory. */
VDB_INLINE void vdb_codes_touch(const struct vdb_codes *codes, uint32_t row) {
  if (!codes->ops)
    return;
  vdb_touch(codes->data + row * codes->stride, codes->stride);
  if (codes->sketches)
    vdb_touch(codes->sketches + row * codes->sketch_stride, codes->sketch_stride);
}

struct vdb_codes_make {
  struct vdb_mem *mem;
  const struct vdb_vecs *vecs;
  const struct vdb_par *par;
  const vecdb_index_params *params;
  const uint32_t *order; /* rows, in a seeded random order; none twice */
  uint32_t n_order;      /* at least 1; below vecs->n when some rows are left out */
  uint64_t seed;
};

struct vdb_codes_ops {
  uint32_t id; /* in files: never changes its meaning; not 0 */
  const char *name;
  /* Whether rows of this type and dimension can have such codes. */
  bool (*fits)(const struct vdb_vecs *vecs);
  /* Learns from the rows and codes all of them, also those not in `order`. On an error there is
     nothing to free. Errors: NO_MEMORY. */
  int (*make)(const struct vdb_codes_make *make, struct vdb_codes *out, vecdb_error *err);
  /* `out` comes with data, params and their sizes, which are checked here against vecs and each
     other. On an error there is nothing to free. Errors: CORRUPT, NO_MEMORY. */
  int (*open)(struct vdb_mem *mem, const struct vdb_vecs *vecs, struct vdb_codes *out,
              vecdb_error *err);
  /* Frees `state` and, of codes that were made, data and params. */
  void (*close)(struct vdb_mem *mem, struct vdb_codes *codes, bool made);
  /* Bytes of a query, the same for all queries; it is 64-byte aligned. */
  size_t (*query_bytes)(const struct vdb_codes *codes);
  /* Makes `out` of a query that is prepared for the rows. No memory is taken. */
  void (*query)(const struct vdb_codes *codes, const struct vdb_query_vec *query, void *out);
  /* keys[i] of row ids[i]. Does not prefetch codes. */
  void (*keys)(const struct vdb_codes *codes, const void *query, const uint32_t *ids, size_t n,
               float *keys);
  /* Codes order near rows so badly that a walk scores all it has kept again, not the best few. */
  bool rough;
  /* Keeps those of n rows, in their order, whose sketches do not say that their keys are above
     `limit`, and of `beside`, which may be `ids`, what stands beside them; how many. Codes without
     sketches need not have it. Does not prefetch sketches. */
  size_t (*sift)(const struct vdb_codes *codes, const void *query, uint32_t *ids,
                 uint32_t *beside, size_t n, float limit);
  /* What scoring reads besides the code, in 32 bits, so that it can stand beside the ids of rows;
     false when it does not fit. NULL: there is no such thing. */
  bool (*brief)(const struct vdb_codes *codes, uint32_t id, uint32_t *out);
  /* The standard deviation of the keys of rows of middling length from what they should be, but for
     a constant. NULL: not known. */
  float (*deviation)(const struct vdb_codes *codes, const void *query);
  /* The squared distance of a row of middling length with this key, nearly; it may come out below
     0. NULL: not known; else there is a deviation, too. */
  float (*squared)(const struct vdb_codes *codes, const void *query, float key);
  /* keys, with the briefs of the rows; briefs can be read up to a multiple of 4. */
  void (*keys_brief)(const struct vdb_codes *codes, const void *query, const uint32_t *ids,
                     const uint32_t *briefs, size_t n, float *keys);
};

struct vdb_search;
/* What vdb_index_ops.scan asks for, of an index with codes of all its rows: the best s->effort by
   their codes of the rows that s->allow (NULL: all) and s->accept let pass, scored again by `vecs`
   (NULL: not at all). Errors: NO_MEMORY. */
VDB_INTERNAL int vdb_codes_scan(const struct vdb_codes *codes, const struct vdb_vecs *vecs,
                                struct vdb_search *s, vecdb_error *err);

/* The first half of it: fills `best` with these rows, nearest first, and their keys. best->items
   are the caller's to free, also after an error. */
VDB_INTERNAL int vdb_codes_nearest(const struct vdb_codes *codes, struct vdb_search *s,
                                   struct vdb_topk *best, vecdb_error *err);

/* Asks for the lines of a code. */
VDB_INLINE void vdb_codes_prefetch(const struct vdb_codes *codes, uint32_t row) {
  const uint8_t *code = codes->data + (size_t)row * codes->stride;
  for (size_t i = 0; i < codes->stride; i += 64)
    VDB_PREFETCH(code + i);
}

/* Asks for the lines of a sketch. */
VDB_INLINE void vdb_codes_prefetch_sketch(const struct vdb_codes *codes, uint32_t row) {
  const uint8_t *sketch = codes->sketches + (size_t)row * codes->sketch_stride;
  for (size_t i = 0; i < codes->sketch_stride; i += 64)
    VDB_PREFETCH(sketch + i);
}

#endif
