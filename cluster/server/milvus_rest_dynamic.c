/*
 * milvus_rest_dynamic.c - what a schema does not name, in Milvus's REST interface: members of rows
 * that are kept in one JSON field, and in filters and answers are as others. The field is that of
 * Milvus's gRPC interface.
 */
#include <string.h>

#include "server/json_field.h"
#include "server/json_rows.h"
#include "server/json_schema.h"
#include "server/milvus.h"
#include "server/milvus_rest.h"

bool srv_milvus_enable(struct srv_call *call, json_t *json, vecdb_field *out, uint32_t *n) {
  bool enabled = false;
  /* Milvus's manual has both names. */
  if (!srv_take_flag(call, json, "enableDynamicField", &enabled) ||
      !srv_take_flag(call, json, "enabledDynamicField", &enabled))
    return false;
  if (!enabled)
    return true;
  *out = (vecdb_field){.name = NULL};
  milvus_schema_dynamic(out);
  ++*n;
  return true;
}

/* ---- Rows ------------------------------------------------------------------------------------ */

/* Adds the members of "$meta" to those that the row has itself. */
static bool dynamic_add(json_t *extra, json_t *meta) {
  json_t *plain = srv_json_field_plain(meta);
  bool good = plain && json_object_update(extra, plain) == 0;
  json_decref(plain);
  return good;
}

/* One row; what makes no sense is left for whoever reads the row. NULL: out of memory. */
static json_t *dynamic_fold(const vecdb_schema *schema, json_t *row) {
  json_t *out = json_object(), *extra = json_object(), *value;
  const char *key;
  bool good = out && extra;
  json_object_foreach(row, key, value) {
    bool own = srv_schema_field(schema, key) && !milvus_hidden(key);
    if (!own && strcmp(key, MILVUS_DYNAMIC_NAME) == 0 && json_is_object(value))
      good = good && dynamic_add(extra, value);
    else if (own)
      good = good && json_object_set(out, key, value) == 0;
    else
      good = good && json_object_set_new(extra, key, srv_json_field_plain(value)) == 0;
  }
  if (good && json_object_size(extra) > 0)
    good = json_object_set(out, MILVUS_DYNAMIC, extra) == 0;
  json_decref(extra);
  if (good)
    return out;
  json_decref(out);
  return NULL;
}

json_t *srv_milvus_fold(struct srv_call *call, const vecdb_schema *schema, json_t *rows) {
  if (!srv_milvus_is_dynamic(schema))
    return json_incref(rows);
  json_t *out = json_array();
  bool good = out != NULL;
  for (size_t i = 0; good && i < json_array_size(rows); i++) {
    json_t *row = json_array_get(rows, i);
    row = json_is_object(row) ? dynamic_fold(schema, row) : json_incref(row);
    good = row && json_array_append_new(out, row) == 0;
  }
  if (good)
    return out;
  json_decref(out);
  srv_call_no_memory(call);
  return NULL;
}

/* ---- Filters --------------------------------------------------------------------------------- */

bool srv_milvus_names(struct srv_call *call, const vecdb_schema *schema, vecdb_filter *filter) {
  if (!filter->text || !srv_milvus_is_dynamic(schema))
    return true;
  call->filters++;
  filter->text = srv_milvus_dynamic_text(&call->arena, schema, filter->text, &call->rewritten,
                                         &call->n_rewritten);
  if (!filter->text)
    srv_call_no_memory(call);
  return filter->text != NULL;
}

/* ---- Answers --------------------------------------------------------------------------------- */

bool srv_milvus_settle(struct srv_call *call, const vecdb_schema *schema,
                       struct srv_milvus_wanted *w) {
  size_t n = 0, room = (w->fields ? w->n_fields : schema->n_fields) + 1;
  const char **fields = srv_arena_array(&call->arena, room, sizeof *fields);
  const char **names = srv_arena_array(&call->arena, room, sizeof *names);
  bool dynamic = srv_milvus_is_dynamic(schema);
  if (!fields || !names) {
    srv_call_no_memory(call);
    return false;
  }
  w->all = !w->fields;
  w->names = names;
  w->n_names = 0;
  for (uint32_t i = 0; w->all && i < schema->n_fields; i++)
    if (!milvus_hidden(schema->fields[i].name))
      fields[n++] = schema->fields[i].name;
  for (size_t i = 0; !w->all && i < w->n_fields; i++) {
    bool own = srv_schema_field(schema, w->fields[i]) && !milvus_hidden(w->fields[i]);
    if (own || !dynamic)
      fields[n++] = w->fields[i];
    else
      names[w->n_names++] = w->fields[i];
  }
  if (dynamic && (w->all || w->n_names > 0))
    fields[n++] = MILVUS_DYNAMIC;
  w->fields = fields;
  w->n_fields = n;
  return true;
}

json_t *srv_milvus_row(const struct srv_milvus_wanted *w, const struct engine_rows *rows,
                       size_t row, size_t skip) {
  json_t *out = srv_row_write(rows, row, skip);
  json_t *extra = json_incref(json_object_get(out, MILVUS_DYNAMIC));
  json_object_del(out, MILVUS_DYNAMIC);
  if (w->all)
    json_object_update_missing(out, extra);
  for (size_t i = 0; i < w->n_names; i++) {
    bool whole = strcmp(w->names[i], MILVUS_DYNAMIC_NAME) == 0;
    json_t *value = whole ? extra : json_object_get(extra, w->names[i]);
    if (value)
      json_object_set(out, w->names[i], value);
  }
  json_decref(extra);
  return out;
}
