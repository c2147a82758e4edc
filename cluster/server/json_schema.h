/*
 * json_schema.h - schemas and indexes between JSON and vecdb.h; openapi.json has the shapes.
 */
#ifndef SRV_JSON_SCHEMA_H
#define SRV_JSON_SCHEMA_H

#include "server/call.h"

/* A schema from {"description", "fields": [...]}; it lies in the call's arena and borrows from
   `object`. False after answering 400. */
bool srv_schema_read(struct srv_call *call, json_t *object, vecdb_schema *out);
/* The parameters of an index: {"type", "m", ...}. False after answering 400. */
bool srv_index_read(struct srv_call *call, json_t *object, vecdb_index_params *out);
/* An index of a JSON field: {"path", "type"}, the type only where `typed`. False after answering
   400. */
bool srv_json_index_read(struct srv_call *call, json_t *object, bool typed, vecdb_json_index *out);
/* The other way; NULL when out of memory. */
json_t *srv_schema_write(const vecdb_schema *schema);

/* "INT64" for VECDB_INT64 and so on; "?" for none. */
const char *srv_type_name(int32_t type);
/* Whether the type is a vector, and whether it is one of `dim` elements. */
bool srv_type_is_vector(int32_t type);
bool srv_type_is_dense(int32_t type);
/* VARCHAR or JSON. */
bool srv_type_is_text(int32_t type);
/* The first vector field, or NULL. */
const vecdb_field *srv_schema_vector(const vecdb_schema *schema);
/* The field of that name, or NULL. */
const vecdb_field *srv_schema_field(const vecdb_schema *schema, const char *name);
/* The primary key. */
const vecdb_field *srv_schema_key(const vecdb_schema *schema);

#endif
