/*
 * dynamic.h - members of rows that the schema does not name, in the native interface: in a
 * collection that was created with "dynamic" they are kept in one JSON field, and in filters and
 * answers are as others. Field and rules are those of Milvus's dialects (milvus_rest_dynamic.c). An
 * update names fields of the schema alone.
 */
#ifndef SRV_DYNAMIC_H
#define SRV_DYNAMIC_H

#include "server/milvus_rest.h"

/* "dynamic" of a new collection: with it the schema gets the field. False after answering. */
bool srv_dynamic_enable(struct srv_call *call, json_t *object, vecdb_schema *schema);

/* What a call that reads asks for, settled by the schema of its collection. */
struct srv_dynamic {
  bool on; /* the collection keeps such members */
  struct srv_milvus_wanted wanted;
};

/* Settles the filter and the names of fields, each of which may be NULL. False after answering. */
bool srv_dynamic_settle(struct srv_call *call, const vecdb_schema *schema, vecdb_filter *filter,
                        const char *const **fields, size_t *n_fields, struct srv_dynamic *out);
/* Row `row` as srv_row_write gives it. */
json_t *srv_dynamic_row(const struct srv_dynamic *dynamic, const struct engine_rows *rows,
                        size_t row, size_t skip);

#endif
