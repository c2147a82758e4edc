/*
 * milvus_json.c - indexes of JSON paths in Milvus's words: `json_path` with the field's name before
 * it, or, of the dynamic field, the key alone, and `json_cast_type`.
 */
#include <string.h>
#include <strings.h>

#include "server/json_schema.h"
#include "server/milvus.h"

static int32_t json_cast(const char *name) {
  static const struct {
    const char *name;
    int32_t type;
  } casts[] = {{"BOOL", VECDB_BOOL}, {"DOUBLE", VECDB_DOUBLE}, {"VARCHAR", VECDB_VARCHAR}};
  for (size_t i = 0; name && i < sizeof casts / sizeof casts[0]; i++)
    if (strcasecmp(casts[i].name, name) == 0)
      return casts[i].type;
  return 0;
}

/* The path as the library takes it; a name that stands alone is a key. NULL: no memory. */
static const char *json_path(struct srv_arena *arena, const char *field, const char *path) {
  struct pb_out out = {.arena = arena};
  size_t n = strspn(path, "$_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");
  bool whole = (strlen(field) == n && memcmp(path, field, n) == 0) ||
               (strlen(MILVUS_DYNAMIC_NAME) == n && memcmp(path, MILVUS_DYNAMIC_NAME, n) == 0);
  if (n && !whole) {
    srv_pb_raw(&out, "[\"", 2);
    srv_pb_raw(&out, path, n);
    srv_pb_raw(&out, "\"]", 2);
  }
  srv_pb_raw(&out, path + n, strlen(path + n) + 1);
  return out.failed ? NULL : (const char *)out.data;
}

const vecdb_field *srv_milvus_json_field(const vecdb_schema *schema, const char *name) {
  const vecdb_field *field = srv_schema_field(schema, name);
  if (!field)
    field = srv_schema_field(schema, MILVUS_DYNAMIC);
  return field && field->type == VECDB_JSON ? field : NULL;
}

const char *srv_milvus_json_index(struct srv_arena *arena, const vecdb_field *field,
                                  const struct srv_milvus_path *asked, vecdb_json_index *out) {
  bool dynamic = strcmp(field->name, asked->field) != 0 &&
                 strcmp(asked->field, MILVUS_DYNAMIC_NAME) != 0;
  const char *path = asked->path && *asked->path ? asked->path : dynamic ? asked->field : NULL;
  out->type = json_cast(asked->cast);
  if (!path)
    return "json_path is missing";
  if (!out->type)
    return "json_cast_type is not BOOL, DOUBLE or VARCHAR";
  out->path = json_path(arena, field->name, path);
  return out->path ? NULL : "out of memory";
}
