/*
 * schema.h - the fields of a collection, checked and owned. A schema never changes once made,
 * except for the index settings of vector fields, which db keeps elsewhere: to add, drop or rename
 * fields a new one is made. Fields have ids, which stay and are never given again, and by which
 * files name them; elsewhere a field is its place in the schema at hand.
 *
 * What vecdb.h leaves to the code: an unknown type, metric, index or flag is OPTION; a size over
 * its limit is LIMIT, and 0 where it is needed SCHEMA, as are settings that the type of a field has
 * no use for. Numbers of a default value may be of a wider type than the field's if they fit
 * (RANGE).
 */
#ifndef VDB_SCHEMA_H
#define VDB_SCHEMA_H

#include "base/bytes.h"
#include "base/err.h"

/* How a vector takes pushes. */
struct vdb_learn {
  vecdb_optimizer rule; /* filled; size 0: it takes none */
  uint32_t version_id;  /* ids of the hidden fields below */
  uint32_t state_id;
};

struct vdb_field {
  const char *name;
  const char *description; /* "" when there is none */
  int32_t type;            /* a vecdb_type */
  int32_t element_type;    /* ARRAY */
  uint32_t flags;          /* VECDB_NULLABLE and the like */
  uint32_t dim;
  uint32_t max_length;
  uint32_t max_capacity;
  int32_t metric;          /* vectors: never 0 */
  int32_t scalar_index;    /* a vecdb_scalar_index */
  uint32_t width;          /* bytes per row of a fixed-width column; 0: variable (VARCHAR, ARRAY,
                             JSON, SPARSE_VECTOR) */
  vecdb_index_params index;
  vecdb_value default_value; /* strings and arrays point into the schema */
  /* scalars: what stands in column form where nothing was given: the default, else that of a null,
     which is zeros of `width` or nothing */
  const uint8_t *fill;
  uint32_t fill_bytes;
  uint64_t fill_offsets[2]; /* 0 and fill_bytes */
  uint32_t id;
  struct vdb_learn learn;
  /* of a vector that takes pushes: places of the hidden fields that have, per row, */
  uint32_t version; /* INT64, its version */
  uint32_t state;   /* ARRAY of FLOAT, the state of the optimizer (optimizer.h), or none */
  uint32_t owner;   /* of a hidden field: place of the vector */
};

/* An index of a place in a JSON field. */
struct vdb_json_path {
  uint32_t field;     /* place in the schema */
  uint32_t id;        /* as a field's: its index has this number in the files */
  int32_t type;       /* of what is kept: BOOL, DOUBLE or VARCHAR */
  const char *text;   /* as json_path.h writes it */
  const uint8_t *steps; /* and packs it */
  uint32_t n_steps;   /* bytes */
};

struct vdb_schema {
  const char *description;
  struct vdb_field *fields;
  uint32_t n_fields;
  uint32_t n_public; /* fields from here on are hidden: callers neither see nor name them */
  uint32_t key; /* index of the primary key */
  struct vdb_json_path *paths; /* in the order of their fields */
  uint32_t n_paths;
  vecdb_json_index *public_paths; /* the same as callers see them */
  uint32_t next_id;
  uint32_t expiry; /* index of the field by which rows expire, plus one; 0: none. It is INT64, of
                      milliseconds */
  uint64_t ttl_ms; /* rows are gone once the clock is past its value by so much */
};

/* Checks a caller's schema and copies it. Errors: OPTION, NAME, SCHEMA, LIMIT, UTF8, and for
   default values those of a batch; those of JSON fields are made compact. Release with
   vdb_schema_free. */
VDB_INTERNAL int vdb_schema_new(struct vdb_mem *mem, const vecdb_schema *from,
                                struct vdb_schema **out, vecdb_error *err);
VDB_INTERNAL void vdb_schema_free(struct vdb_mem *mem, struct vdb_schema *schema);
/* As vdb_schema_new, of fields that take pushes as `learn` says, one per field. Ids are the places,
   but for those of hidden fields, which are given. */
VDB_INTERNAL int vdb_schema_make(struct vdb_mem *mem, const vecdb_schema *from,
                                 const struct vdb_learn *learn, struct vdb_schema **out,
                                 vecdb_error *err);

#define VDB_MAX_TTL_MS (UINT64_MAX / 4)
/* A change of a schema; one of the kinds. Names are borrowed. */
struct vdb_schema_edit {
  const vecdb_schema *add; /* its fields; NULL: none */
  const char *drop;        /* a field; NULL: none */
  const char *rename;      /* a field; NULL: none */
  const char *to;          /* its new name */
  bool expire;             /* sets the expiry */
  const char *expiry;      /* a field; NULL: rows expire no longer */
  uint64_t ttl_ms;
  const char *learn;       /* a field, to take pushes or not; NULL: none */
  const char *json;        /* a field, to have an index of a path or not; NULL: none */
  const vecdb_json_index *json_index;
  bool json_drop;
  const vecdb_optimizer *optimizer; /* NULL: no longer */
};
/* The schema with the change. Errors: those of vdb_schema_new; UNKNOWN_FIELD; EXISTS (the name);
   SCHEMA: a new field that is no scalar, or is neither nullable nor has a default; a field to be
   dropped that is the key, a vector or the expiry; an expiry that is not INT64; LIMIT: a ttl_ms
   over VDB_MAX_TTL_MS; TYPE: pushes to another field than a FLOAT_VECTOR; those of
   vdb_optimizer_fill; EXISTS, NOT_FOUND: an index of JSON. */
VDB_INTERNAL int vdb_schema_edited(struct vdb_mem *mem, const struct vdb_schema *from,
                                   const struct vdb_schema_edit *edit, struct vdb_schema **out,
                                   vecdb_error *err);
/* Whether two indexes are of one field, path and type. */
VDB_INLINE bool vdb_json_path_same(const struct vdb_json_path *a, const struct vdb_json_path *b) {
  return a->field == b->field && a->type == b->type && a->n_steps == b->n_steps &&
         memcmp(a->steps, b->steps, a->n_steps) == 0;
}
/* The field with that id, or -1. */
VDB_INTERNAL int vdb_schema_by_id(const struct vdb_schema *schema, uint32_t id);

/* To and from bytes, for the manifest. decode checks all that vdb_schema_new checks: CORRUPT. */
VDB_INTERNAL void vdb_schema_encode(const struct vdb_schema *schema, struct vdb_writer *out);
VDB_INTERNAL int vdb_schema_decode(struct vdb_mem *mem, const void *data, size_t n,
                                   struct vdb_schema **out, vecdb_error *err);

/* The field of that name (n bytes) that is not hidden, or -1. */
VDB_INTERNAL int vdb_schema_find(const struct vdb_schema *schema, const char *name, size_t n);
/* Fills `fields`, n_public of them, so that they describe the schema; strings are borrowed from
   it. */
VDB_INTERNAL void vdb_schema_public(const struct vdb_schema *schema, vecdb_field *fields);

VDB_INLINE bool vdb_type_is_vector(int32_t type) { return type >= VECDB_FLOAT_VECTOR; }
/* A vector of `dim` elements in one piece, as the kernels and vector indexes take them. */
VDB_INLINE bool vdb_type_is_dense(int32_t type) {
  return vdb_type_is_vector(type) && type != VECDB_SPARSE_VECTOR;
}
VDB_INLINE bool vdb_type_is_variable(int32_t type) {
  return (type >= VECDB_VARCHAR && type <= VECDB_JSON) || type == VECDB_SPARSE_VECTOR;
}
/* Flags of a field whose default is computed when rows are written. */
#define VDB_COMPUTED ((uint32_t)(VECDB_DEFAULT_NOW | VECDB_DEFAULT_UUID))
/* A text whose bytes are the value. */
VDB_INLINE bool vdb_type_is_text(int32_t type) {
  return type == VECDB_VARCHAR || type == VECDB_JSON;
}
/* A type whose values have an order, and so may have an index (attr_index.h). */
VDB_INLINE bool vdb_type_is_plain(int32_t type) {
  return type >= VECDB_BOOL && type <= VECDB_VARCHAR;
}
VDB_INLINE bool vdb_type_is_integer(int32_t type) {
  return type >= VECDB_INT8 && type <= VECDB_INT64;
}
/* Bytes of a value of a fixed-width scalar type; 0 for the others. */
VDB_INTERNAL uint32_t vdb_type_width(int32_t type);

/* "a letter or _, then letters, digits and _" (and '-' when dash), 1 to VECDB_MAX_NAME bytes: OK,
   or VECDB_ERR_NAME that names `what`. */
VDB_INTERNAL int vdb_name_check(const char *name, bool dash, const char *what, vecdb_error *err);
/* True for well-formed UTF-8 (RFC 3629) without NUL. */
VDB_INTERNAL bool vdb_utf8_valid(const char *text, size_t n);

#endif
