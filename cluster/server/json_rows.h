/*
 * json_rows.h - rows between JSON and vecdb.h. A row is an object with a member per field: numbers,
 * strings, booleans, arrays; vectors as arrays of numbers (BINARY_VECTOR: of bytes; SPARSE_VECTOR:
 * json_sparse.h); null for null.
 */
#ifndef SRV_JSON_ROWS_H
#define SRV_JSON_ROWS_H

#include "server/call.h"

/* A batch from an array of row objects; it lies in the call's arena and borrows strings from
   `rows`. False after answering 400, naming field and row. */
bool srv_rows_read(struct srv_call *call, const vecdb_schema *schema, json_t *rows,
                   vecdb_batch *out);
/* One value in its C form for a field of `type`, into `to` (room for srv_value_bytes). *length is
   set for VARCHAR and ARRAY. False when the value does not fit the type; nothing is answered. */
bool srv_value_read(struct srv_call *call, const vecdb_field *field, json_t *value, void *to,
                    uint32_t *length);
size_t srv_value_bytes(const vecdb_field *field);

/* Row `row` as an object, leaving out column `skip` (SIZE_MAX: none); NULL when out of memory. */
json_t *srv_row_write(const struct engine_rows *rows, size_t row, size_t skip);
/* A value as JSON; NULL when out of memory. */
json_t *srv_value_write(vecdb_value value);

/* Keys from an array of numbers or strings, as the key's type wants, in the arena. */
bool srv_keys_read(struct srv_call *call, const vecdb_field *key, json_t *array, vecdb_keys *out);
/* A filter from the members "filter" and "params"; in the arena. */
bool srv_filter_read(struct srv_call *call, json_t *object, vecdb_filter *out);

#endif
