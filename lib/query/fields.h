/*
 * fields.h - finding the fields that a request names, with errors that say what there is instead.
 */
#ifndef VDB_FIELDS_H
#define VDB_FIELDS_H

#include "attr/schema.h"

/* The fields of result rows, by number; the primary key is the first. */
struct vdb_pick {
  uint32_t n;
  uint32_t fields[VECDB_MAX_FIELDS];
};

/* The number of the field `name`. ARGUMENT for NULL, UNKNOWN_FIELD with a suggestion. */
VDB_INTERNAL int vdb_fields_find(const struct vdb_schema *schema, const char *name, uint32_t *out,
                                 vecdb_error *err);
/* The vector field of a search; name NULL: the only one. Errors: those of find; TYPE when it is no
   vector; ARGUMENT when NULL could mean several. */
VDB_INTERNAL int vdb_fields_vector(const struct vdb_schema *schema, const char *name, uint32_t *out,
                                   vecdb_error *err);
/* The fields of result rows: fields NULL is all of them; the key is always there, names given
   twice come once. Errors: those of find; LIMIT, ARGUMENT. */
VDB_INTERNAL int vdb_fields_pick(const struct vdb_schema *schema, const char *const *fields,
                                 size_t n_fields, struct vdb_pick *out, vecdb_error *err);

/* A field that takes pushes. Errors: ARGUMENT, UNKNOWN_FIELD, SCHEMA. */
VDB_INTERNAL int vdb_fields_learned(const struct vdb_schema *schema, const char *name,
                                    uint32_t *out, vecdb_error *err);

#endif
