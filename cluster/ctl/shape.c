/* shape.c - changes of a schema, done to a collection; see shape.h. */
#include "ctl/shape.h"

int shape_rows(vecdb_collection *rows, const struct wire_reshape *r, vecdb_error *error) {
  switch (r->kind) {
    case WIRE_RESHAPE_ADD: return vecdb_fields_add(rows, &r->fields, NULL, error);
    case WIRE_RESHAPE_DROP: return vecdb_field_drop(rows, r->field, NULL, error);
    case WIRE_RESHAPE_RENAME: return vecdb_field_rename(rows, r->field, r->to, NULL, error);
    case WIRE_RESHAPE_INDEX:
      return vecdb_json_index_create(rows, r->field, &r->index, NULL, error);
    case WIRE_RESHAPE_UNINDEX:
      return vecdb_json_index_drop(rows, r->field, &r->index, NULL, error);
    default: return VECDB_ERR_UNSUPPORTED;
  }
}

/* One change is made at a time, so what it left can be told from what it found. */
static int reshape_done(const struct wire_reshape *r, const vecdb_schema *schema) {
  switch (r->kind) {
    case WIRE_RESHAPE_DROP: return VECDB_ERR_UNKNOWN_FIELD;
    case WIRE_RESHAPE_RENAME:
      return wire_schema_field(schema, r->to) ? VECDB_ERR_UNKNOWN_FIELD : VECDB_OK;
    case WIRE_RESHAPE_UNINDEX: return VECDB_ERR_NOT_FOUND;
    default: return VECDB_ERR_EXISTS;
  }
}

int shape_rows_again(vecdb_collection *rows, const struct wire_reshape *r, vecdb_error *error) {
  int code = shape_rows(rows, r, error);
  return code && code == reshape_done(r, vecdb_collection_schema(rows)) ? VECDB_OK : code;
}
