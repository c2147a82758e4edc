/*
 * milvus_rest.h - Milvus's REST interface, version 2: POST with JSON, answered {"code": 0, "data"}
 * or
 * {"code", "message"}. Its collections are the native ones; names are mapped by milvus_names.h.
 */
#ifndef SRV_MILVUS_REST_H
#define SRV_MILVUS_REST_H

#include "server/call.h"

/* ---- milvus_rest.c --------------------------------------------------------------------------- */

/* Answers with the data: takes the reference. */
void srv_milvus_answer(struct srv_call *call, json_t *data);
/* A srv_error_shape: what is wrong with a request is told with HTTP status 200, as Milvus does. */
json_t *srv_milvus_error(int *status, const char *code, const char *message);
/* The collection named by "collectionName", to be released; NULL after answering. */
struct engine_collection *srv_milvus_collection(struct srv_call *call);
/* "collectionName"; NULL after answering. */
const char *srv_milvus_collection_name(struct srv_call *call);

/* Collections. Loading and releasing say yes: what is searched is always there. */
srv_handler srv_milvus_create, srv_milvus_list, srv_milvus_describe, srv_milvus_has,
    srv_milvus_drop, srv_milvus_load, srv_milvus_load_state, srv_milvus_stats,
    srv_milvus_field_add;

/* ---- milvus_rest_alter.c --------------------------------------------------------------------- */

/* "params": {"ttlSeconds"} of a new collection, if it is there. False after answering. */
bool srv_milvus_live(struct srv_call *call, struct engine_collection *collection, json_t *seconds);
/* Its properties, [{"key", "value"}]; and none from here on. */
json_t *srv_milvus_properties(struct srv_call *call, const char *physical);
void srv_milvus_forget(struct srv_call *call, const char *physical);
/* Has the rows of a batch say when they were written, in a collection with a time to live. */
bool srv_milvus_written(struct srv_call *call, const vecdb_schema *schema, vecdb_batch *batch);

srv_handler srv_milvus_alter, srv_milvus_alter_drop;

/* ---- milvus_rest_dynamic.c ------------------------------------------------------------------- */

/* "enableDynamicField" of a new collection: with it the dynamic field goes to `out`, and *n counts
   it. False after answering. */
bool srv_milvus_enable(struct srv_call *call, json_t *json, vecdb_field *out, uint32_t *n);
/* Rows as the collection has them: members that its schema does not name are in the dynamic field,
   where there is one. To be released; NULL after answering. */
json_t *srv_milvus_fold(struct srv_call *call, const vecdb_schema *schema, json_t *rows);
/* Has a filter look for names that the schema lacks in the dynamic field. False after answering. */
bool srv_milvus_names(struct srv_call *call, const vecdb_schema *schema, vecdb_filter *filter);

/* What of its rows an answer has. */
struct srv_milvus_wanted {
  const char *const *fields; /* NULL: all that clients are to see */
  size_t n_fields;
  bool all;                  /* of the dynamic field; or */
  const char **names;        /* these members of it; "$meta": the field itself */
  size_t n_names;
};
/* Settles the names in `fields` by the schema. False after answering. */
bool srv_milvus_settle(struct srv_call *call, const vecdb_schema *schema,
                       struct srv_milvus_wanted *wanted);
/* A row without its column `skip` (SIZE_MAX: none). */
json_t *srv_milvus_row(const struct srv_milvus_wanted *wanted, const struct engine_rows *rows,
                       size_t row, size_t skip);

/* ---- milvus_rest_rows.c ---------------------------------------------------------------------- */

srv_handler srv_milvus_insert, srv_milvus_upsert, srv_milvus_delete, srv_milvus_query,
    srv_milvus_get, srv_milvus_search;

#endif
