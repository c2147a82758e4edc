/* dynamic.c - what a schema does not name, in the native interface; see dynamic.h. */
#include "server/dynamic.h"

#include <string.h>

#include "server/json_rows.h"
#include "server/milvus.h"

bool srv_dynamic_enable(struct srv_call *call, json_t *object, vecdb_schema *schema) {
  bool enabled = false;
  if (!srv_take_flag(call, object, "dynamic", &enabled))
    return false;
  if (!enabled || srv_milvus_is_dynamic(schema))
    return true;
  vecdb_field *fields = srv_arena_array(&call->arena, schema->n_fields + 1u, sizeof *fields);
  if (!fields) {
    srv_call_no_memory(call);
    return false;
  }
  memcpy(fields, schema->fields, schema->n_fields * sizeof *fields);
  fields[schema->n_fields] = (vecdb_field){.name = NULL};
  milvus_schema_dynamic(&fields[schema->n_fields++]);
  schema->fields = fields;
  return true;
}

bool srv_dynamic_settle(struct srv_call *call, const vecdb_schema *schema, vecdb_filter *filter,
                        const char *const **fields, size_t *n_fields, struct srv_dynamic *out) {
  *out = (struct srv_dynamic){.on = srv_milvus_is_dynamic(schema)};
  if (!out->on)
    return true;
  if (filter && !srv_milvus_names(call, schema, filter))
    return false;
  if (!fields)
    return true;
  out->wanted.fields = *fields;
  out->wanted.n_fields = *n_fields;
  if (!srv_milvus_settle(call, schema, &out->wanted))
    return false;
  *fields = out->wanted.fields;
  *n_fields = out->wanted.n_fields;
  return true;
}

json_t *srv_dynamic_row(const struct srv_dynamic *dynamic, const struct engine_rows *rows,
                        size_t row, size_t skip) {
  return dynamic->on ? srv_milvus_row(&dynamic->wanted, rows, row, skip)
                     : srv_row_write(rows, row, skip);
}
