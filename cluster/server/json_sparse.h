/*
 * json_sparse.h - sparse vectors as JSON: {"indices": [...], "values": [...]}, the form that
 * Qdrant's clients use too. Indices may come in any order, each once.
 */
#ifndef SRV_JSON_SPARSE_H
#define SRV_JSON_SPARSE_H

#include "server/call.h"

/* Whether the value has the form's two members. */
bool srv_is_sparse(json_t *value);
/* Reads one into the call's arena, sorted by index; false, with nothing answered, when the value is
   none, or names an index twice. */
bool srv_sparse_read(struct srv_call *call, json_t *value, vecdb_sparse *out);
/* The other way, of a value of a SPARSE_VECTOR field; NULL when out of memory. */
json_t *srv_sparse_write(vecdb_value value);

#endif
