/* json_schema.c - schemas in JSON; see json_schema.h. */
#include "server/json_schema.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "server/json_rows.h"

struct name_of {
  const char *name;
  int32_t value;
};

static const struct name_of type_names[] = {
    {"BOOL", VECDB_BOOL},
    {"INT8", VECDB_INT8},
    {"INT16", VECDB_INT16},
    {"INT32", VECDB_INT32},
    {"INT64", VECDB_INT64},
    {"FLOAT", VECDB_FLOAT},
    {"DOUBLE", VECDB_DOUBLE},
    {"VARCHAR", VECDB_VARCHAR},
    {"ARRAY", VECDB_ARRAY},
    {"JSON", VECDB_JSON},
    {"FLOAT_VECTOR", VECDB_FLOAT_VECTOR},
    {"FLOAT16_VECTOR", VECDB_FLOAT16_VECTOR},
    {"BFLOAT16_VECTOR", VECDB_BFLOAT16_VECTOR},
    {"INT8_VECTOR", VECDB_INT8_VECTOR},
    {"BINARY_VECTOR", VECDB_BINARY_VECTOR},
    {"SPARSE_VECTOR", VECDB_SPARSE_VECTOR},
    {NULL, 0},
};
static const struct name_of metric_names[] = {
    {"L2", VECDB_L2},           {"IP", VECDB_IP},           {"COSINE", VECDB_COSINE},
    {"HAMMING", VECDB_HAMMING}, {"JACCARD", VECDB_JACCARD}, {NULL, 0},
};
static const struct name_of scalar_index_names[] = {
    {"AUTO", VECDB_SCALAR_INDEX_AUTO},
    {"NONE", VECDB_SCALAR_INDEX_NONE},
    {"HASH", VECDB_SCALAR_INDEX_HASH},
    {"SORTED", VECDB_SCALAR_INDEX_SORTED},
    {NULL, 0},
};
static const struct name_of flag_names[] = {
    {"primary_key", VECDB_PRIMARY_KEY},
    {"auto_id", VECDB_AUTO_ID},
    {"nullable", VECDB_NULLABLE},
    {"allow_zero", VECDB_ALLOW_ZERO},
    {"default_now", VECDB_DEFAULT_NOW},
    {"default_uuid", VECDB_DEFAULT_UUID},
    {NULL, 0},
};

static const char *schema_name(const struct name_of *names, int32_t value) {
  while (names->name && names->value != value)
    names++;
  return names->name ? names->name : "?";
}

const char *srv_type_name(int32_t type) {
  return schema_name(type_names, type);
}

bool srv_type_is_vector(int32_t type) {
  return type >= VECDB_FLOAT_VECTOR;
}

bool srv_type_is_text(int32_t type) {
  return type == VECDB_VARCHAR || type == VECDB_JSON;
}

bool srv_type_is_dense(int32_t type) {
  return srv_type_is_vector(type) && type != VECDB_SPARSE_VECTOR;
}

const vecdb_field *srv_schema_vector(const vecdb_schema *schema) {
  for (uint32_t i = 0; i < schema->n_fields; i++)
    if (srv_type_is_vector(schema->fields[i].type))
      return &schema->fields[i];
  return NULL;
}

const vecdb_field *srv_schema_field(const vecdb_schema *schema, const char *name) {
  for (uint32_t i = 0; i < schema->n_fields; i++)
    if (strcmp(schema->fields[i].name, name) == 0)
      return &schema->fields[i];
  return NULL;
}

const vecdb_field *srv_schema_key(const vecdb_schema *schema) {
  for (uint32_t i = 0; i < schema->n_fields; i++)
    if (schema->fields[i].flags & VECDB_PRIMARY_KEY)
      return &schema->fields[i];
  return NULL;
}

/* A member that is one of the names; absent: *out stays. */
static bool schema_take_name(struct srv_call *call, json_t *object, const char *key,
                             const struct name_of *names, int32_t *out) {
  const char *text = NULL;
  if (!srv_take_text(call, object, key, &text))
    return false;
  if (!text)
    return true;
  for (const struct name_of *n = names; n->name; n++)
    if (strcasecmp(n->name, text) == 0) {
      *out = n->value;
      return true;
    }
  srv_call_fail(call, 400, "OPTION",
                "\"%s\" is \"%.60s\", which is not known; the first of the known"
                " ones is \"%s\"",
                key, text, names->name);
  return false;
}

/* Members of an index by their places in vecdb_index_params. */
static const struct index_member {
  const char *key;
  size_t offset;
} index_members[] = {
    {"m", offsetof(vecdb_index_params, m)},
    {"ef_construction", offsetof(vecdb_index_params, ef_construction)},
    {"ef", offsetof(vecdb_index_params, ef)},
    {"nlist", offsetof(vecdb_index_params, nlist)},
    {"nprobe", offsetof(vecdb_index_params, nprobe)},
    {"pq_m", offsetof(vecdb_index_params, pq_m)},
    {"nbits", offsetof(vecdb_index_params, nbits)},
    {NULL, 0},
};
static const struct name_of refine_names[] = {
    {"AUTO", VECDB_REFINE_AUTO}, {"NONE", VECDB_REFINE_NONE}, {"F32", VECDB_REFINE_F32},
    {"F16", VECDB_REFINE_F16},   {"I8", VECDB_REFINE_I8},     {NULL, 0},
};
static const struct name_of rotation_names[] = {
    {"AUTO", VECDB_ROTATION_AUTO},
    {"NONE", VECDB_ROTATION_NONE},
    {"RANDOM", VECDB_ROTATION_RANDOM},
    {"OPQ", VECDB_ROTATION_OPQ},
    {NULL, 0},
};

/* The type alone, or with parameters in parentheses, as vecdb_index_params_parse reads it. */
static bool index_parse(struct srv_call *call, const char *text, vecdb_index_params *out) {
  vecdb_error error;
  if (!text || vecdb_index_params_parse(text, out, &error) == VECDB_OK)
    return true;
  srv_call_error(call, &error);
  return false;
}

bool srv_index_read(struct srv_call *call, json_t *object, vecdb_index_params *out) {
  static const char *const keys[] = {
      "type",  "m",      "ef_construction", "ef",     "nlist",        "nprobe", "pq_m",
      "nbits", "refine", "rotation",        "recall", "memory_bytes", NULL};
  *out = (vecdb_index_params)VECDB_INDEX_PARAMS_INIT;
  if (!json_is_object(object)) {
    srv_call_fail(call, 400, "ARGUMENT", "an index is an object such as {\"type\": \"HNSW\"}");
    return false;
  }
  const char *type = NULL;
  if (!srv_only_keys(call, object, keys) || !srv_take_text(call, object, "type", &type) ||
      !index_parse(call, type, out))
    return false;
  for (const struct index_member *m = index_members; m->key; m++)
    if (!srv_take_u32(call, object, m->key, (uint32_t *)(void *)((char *)out + m->offset)))
      return false;
  return schema_take_name(call, object, "refine", refine_names, &out->refine) &&
         schema_take_name(call, object, "rotation", rotation_names, &out->rotation) &&
         srv_take_float(call, object, "recall", &out->recall) &&
         srv_take_number(call, object, "memory_bytes", INT64_MAX, &out->memory_bytes);
}

static bool schema_take_flags(struct srv_call *call, json_t *object, vecdb_field *field) {
  for (const struct name_of *n = flag_names; n->name; n++) {
    bool set = false;
    if (!srv_take_flag(call, object, n->name, &set))
      return false;
    field->flags |= set ? (uint32_t)n->value : 0;
  }
  return true;
}

static bool schema_take_default(struct srv_call *call, json_t *value, vecdb_field *field) {
  if (!value || json_is_null(value))
    return true;
  vecdb_value *v = &field->default_value;
  uint32_t length = 0;
  int64_t scalar[4] = {0};
  bool read = field->type != VECDB_ARRAY && !srv_type_is_vector(field->type) &&
              srv_value_read(call, field, value, scalar, &length);
  if (!read) {
    srv_call_fail(call, 400, "TYPE", "the default of \"%.100s\" is no %s", field->name,
                  srv_type_name(field->type));
    return false;
  }
  field->flags |= VECDB_HAS_DEFAULT;
  v->type = field->type;
  v->length = length;
  if (srv_type_is_text(field->type))
    memcpy(&v->as.data, scalar, sizeof v->as.data);
  else if (field->type == VECDB_BOOL)
    v->as.boolean = json_is_true(value);
  else if (json_is_integer(value) && field->type <= VECDB_INT64)
    v->as.integer = json_integer_value(value);
  else
    v->as.number = json_number_value(value);
  return true;
}

bool srv_json_index_read(struct srv_call *call, json_t *object, bool typed,
                         vecdb_json_index *out) {
  static const char *const keys[] = {"path", "type", NULL};
  *out = (vecdb_json_index){NULL, 0};
  if (!json_is_object(object)) {
    srv_call_fail(call, 400, "ARGUMENT", "an index of JSON must be an object");
    return false;
  }
  if (!srv_only_keys(call, object, keys) || !srv_take_text(call, object, "path", &out->path) ||
      !schema_take_name(call, object, "type", type_names, &out->type))
    return false;
  if (out->path && (out->type || !typed))
    return true;
  srv_call_fail(call, 400, "ARGUMENT",
                typed ? "an index of JSON has a \"path\" and a \"type\""
                      : "an index of JSON has a \"path\"");
  return false;
}

/* {"path", "type"} of each index of a JSON field. */
static bool schema_take_json_indexes(struct srv_call *call, json_t *object, vecdb_field *field) {
  json_t *list = NULL;
  if (!json_object_get(object, "json_indexes"))
    return true;
  if (!srv_take_array(call, object, "json_indexes", &list))
    return false;
  size_t n = json_array_size(list);
  vecdb_json_index *indexes = srv_arena_array(&call->arena, n + 1, sizeof *indexes);
  if (!indexes) {
    srv_call_no_memory(call);
    return false;
  }
  for (size_t i = 0; i < n; i++)
    if (!srv_json_index_read(call, json_array_get(list, i), true, &indexes[i]))
      return false;
  field->json_indexes = indexes;
  field->n_json_indexes = (uint32_t)n;
  return true;
}

static bool schema_read_field(struct srv_call *call, json_t *object, vecdb_field *field) {
  static const char *const keys[] = {"name",         "description", "type",         "element_type",
                                     "dim",          "max_length",  "max_capacity", "metric",
                                     "scalar_index", "index",       "default",      "primary_key",
                                     "auto_id",      "nullable",    "allow_zero",   "default_now",
                                     "default_uuid", "json_indexes", NULL};
  if (!json_is_object(object)) {
    srv_call_fail(call, 400, "ARGUMENT", "\"fields\" must be an array of objects");
    return false;
  }
  json_t *index = json_object_get(object, "index");
  return srv_only_keys(call, object, keys) && srv_take_text(call, object, "name", &field->name) &&
         srv_take_text(call, object, "description", &field->description) &&
         schema_take_name(call, object, "type", type_names, &field->type) &&
         schema_take_name(call, object, "element_type", type_names, &field->element_type) &&
         schema_take_name(call, object, "metric", metric_names, &field->metric) &&
         schema_take_name(call, object, "scalar_index", scalar_index_names, &field->scalar_index) &&
         srv_take_u32(call, object, "dim", &field->dim) &&
         srv_take_u32(call, object, "max_length", &field->max_length) &&
         srv_take_u32(call, object, "max_capacity", &field->max_capacity) &&
         schema_take_flags(call, object, field) && schema_take_json_indexes(call, object, field) &&
         (!index || srv_index_read(call, index, &field->index)) &&
         schema_take_default(call, json_object_get(object, "default"), field);
}

bool srv_schema_read(struct srv_call *call, json_t *object, vecdb_schema *out) {
  json_t *array = NULL;
  *out = (vecdb_schema)VECDB_SCHEMA_INIT;
  if (!srv_take_text(call, object, "description", &out->description) ||
      !srv_take_array(call, object, "fields", &array))
    return false;
  size_t n = json_array_size(array);
  vecdb_field *fields = srv_arena_array(&call->arena, n + 1, sizeof *fields);
  if (!fields) {
    srv_call_no_memory(call);
    return false;
  }
  for (size_t i = 0; i < n; i++) {
    fields[i].name = "";
    if (!schema_read_field(call, json_array_get(array, i), &fields[i]))
      return false;
  }
  out->fields = fields;
  out->n_fields = (uint32_t)n;
  return true;
}

/* Adds a member unless it says nothing. */
static void schema_put(json_t *object, const char *key, uint32_t value) {
  if (value)
    json_object_set_new(object, key, json_integer(value));
}

static json_t *schema_write_index(const vecdb_index_params *p) {
  json_t *out = json_pack("{s:s}", "type", vecdb_index_type_name(p->type));
  for (const struct index_member *m = index_members; m->key; m++)
    schema_put(out, m->key, *(const uint32_t *)(const void *)((const char *)p + m->offset));
  if (p->refine)
    json_object_set_new(out, "refine", json_string(schema_name(refine_names, p->refine)));
  if (p->rotation)
    json_object_set_new(out, "rotation", json_string(schema_name(rotation_names, p->rotation)));
  if (p->recall > 0)
    json_object_set_new(out, "recall", json_real((double)p->recall));
  if (p->memory_bytes)
    json_object_set_new(out, "memory_bytes", json_integer((json_int_t)p->memory_bytes));
  return out;
}

static json_t *schema_write_field(const vecdb_field *f) {
  json_t *out = json_pack("{s:s, s:s}", "name", f->name, "type", srv_type_name(f->type));
  if (!out)
    return NULL;
  if (f->description)
    json_object_set_new(out, "description", json_string(f->description));
  if (f->type == VECDB_ARRAY)
    json_object_set_new(out, "element_type", json_string(srv_type_name(f->element_type)));
  schema_put(out, "dim", f->dim);
  schema_put(out, "max_length", f->max_length);
  schema_put(out, "max_capacity", f->max_capacity);
  for (const struct name_of *n = flag_names; n->name; n++)
    if (f->flags & (uint32_t)n->value)
      json_object_set_new(out, n->name, json_true());
  if (f->flags & VECDB_HAS_DEFAULT)
    json_object_set_new(out, "default", srv_value_write(f->default_value));
  if (srv_type_is_vector(f->type)) {
    json_object_set_new(out, "metric", json_string(schema_name(metric_names, f->metric)));
    json_object_set_new(out, "index", schema_write_index(&f->index));
  } else if (f->scalar_index != VECDB_SCALAR_INDEX_AUTO) {
    json_object_set_new(out, "scalar_index",
                        json_string(schema_name(scalar_index_names, f->scalar_index)));
  }
  if (f->n_json_indexes) {
    json_t *indexes = json_array();
    for (uint32_t i = 0; i < f->n_json_indexes; i++)
      json_array_append_new(indexes, json_pack("{s:s, s:s}", "path", f->json_indexes[i].path,
                                               "type", srv_type_name(f->json_indexes[i].type)));
    json_object_set_new(out, "json_indexes", indexes);
  }
  return out;
}

json_t *srv_schema_write(const vecdb_schema *schema) {
  json_t *fields = json_array();
  for (uint32_t i = 0; i < schema->n_fields; i++)
    json_array_append_new(fields, schema_write_field(&schema->fields[i]));
  json_t *out = json_pack("{s:o}", "fields", fields);
  if (out && schema->description)
    json_object_set_new(out, "description", json_string(schema->description));
  return out;
}
