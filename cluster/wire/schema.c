/* schema.c - schemas in JSON; see schema.h. */
#include "wire/schema.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const schema_types[] = {
    [0] = "",
    [VECDB_BOOL] = "BOOL",
    [VECDB_INT8] = "INT8",
    [VECDB_INT16] = "INT16",
    [VECDB_INT32] = "INT32",
    [VECDB_INT64] = "INT64",
    [VECDB_FLOAT] = "FLOAT",
    [VECDB_DOUBLE] = "DOUBLE",
    [VECDB_VARCHAR] = "VARCHAR",
    [VECDB_ARRAY] = "ARRAY",
    [VECDB_JSON] = "JSON",
    [VECDB_FLOAT_VECTOR] = "FLOAT_VECTOR",
    [VECDB_FLOAT16_VECTOR] = "FLOAT16_VECTOR",
    [VECDB_BFLOAT16_VECTOR] = "BFLOAT16_VECTOR",
    [VECDB_INT8_VECTOR] = "INT8_VECTOR",
    [VECDB_BINARY_VECTOR] = "BINARY_VECTOR",
    [VECDB_SPARSE_VECTOR] = "SPARSE_VECTOR",
};
static const char *const schema_metrics[] = {"", "L2", "IP", "COSINE", "HAMMING", "JACCARD"};
static const char *const schema_scalars[] = {"AUTO", "NONE", "HASH", "SORTED"};
static const char *const schema_indexes[] = {
    "AUTO",   "FLAT",       "HNSW",     "HNSW_SQ",  "HNSW_PQ", "IVF_FLAT", "IVF_SQ8",
    "IVF_PQ", "IVF_RABITQ", "IVF_HNSW", "BIN_FLAT", "BIN_IVF", "BIN_HNSW", "DISK"};
static const char *const schema_refines[] = {"AUTO", "NONE", "F32", "F16", "I8"};
static const char *const schema_rotations[] = {"AUTO", "NONE", "RANDOM", "OPQ"};

/* A member of a field's or an index's object, which is left out where it says nothing. */
enum schema_kind { SCHEMA_TEXT, SCHEMA_U32, SCHEMA_U64, SCHEMA_REAL, SCHEMA_WORD, SCHEMA_FLAG };
struct schema_member {
  const char *key;
  enum schema_kind kind;
  size_t at;
  const char *const *words; /* WORD */
  uint32_t n;               /* of words; FLAG: its bit */
};

#define FIELD(member) offsetof(vecdb_field, member)
#define INDEX(member) offsetof(vecdb_index_params, member)
#define WORDS(list)   (list), sizeof(list) / sizeof *(list)
static const struct schema_member schema_field[] = {
    {"name", SCHEMA_TEXT, FIELD(name), NULL, 0},
    {"description", SCHEMA_TEXT, FIELD(description), NULL, 0},
    {"type", SCHEMA_WORD, FIELD(type), WORDS(schema_types)},
    {"element_type", SCHEMA_WORD, FIELD(element_type), WORDS(schema_types)},
    {"dim", SCHEMA_U32, FIELD(dim), NULL, 0},
    {"max_length", SCHEMA_U32, FIELD(max_length), NULL, 0},
    {"max_capacity", SCHEMA_U32, FIELD(max_capacity), NULL, 0},
    {"metric", SCHEMA_WORD, FIELD(metric), WORDS(schema_metrics)},
    {"scalar_index", SCHEMA_WORD, FIELD(scalar_index), WORDS(schema_scalars)},
    {"primary_key", SCHEMA_FLAG, FIELD(flags), NULL, VECDB_PRIMARY_KEY},
    {"auto_id", SCHEMA_FLAG, FIELD(flags), NULL, VECDB_AUTO_ID},
    {"nullable", SCHEMA_FLAG, FIELD(flags), NULL, VECDB_NULLABLE},
    {"default_now", SCHEMA_FLAG, FIELD(flags), NULL, VECDB_DEFAULT_NOW},
    {"default_uuid", SCHEMA_FLAG, FIELD(flags), NULL, VECDB_DEFAULT_UUID},
    {"allow_zero", SCHEMA_FLAG, FIELD(flags), NULL, VECDB_ALLOW_ZERO},
    {NULL, SCHEMA_TEXT, 0, NULL, 0},
};
static const struct schema_member schema_index[] = {
    {"type", SCHEMA_WORD, INDEX(type), WORDS(schema_indexes)},
    {"m", SCHEMA_U32, INDEX(m), NULL, 0},
    {"ef_construction", SCHEMA_U32, INDEX(ef_construction), NULL, 0},
    {"ef", SCHEMA_U32, INDEX(ef), NULL, 0},
    {"nlist", SCHEMA_U32, INDEX(nlist), NULL, 0},
    {"nprobe", SCHEMA_U32, INDEX(nprobe), NULL, 0},
    {"pq_m", SCHEMA_U32, INDEX(pq_m), NULL, 0},
    {"nbits", SCHEMA_U32, INDEX(nbits), NULL, 0},
    {"refine", SCHEMA_WORD, INDEX(refine), WORDS(schema_refines)},
    {"rotation", SCHEMA_WORD, INDEX(rotation), WORDS(schema_rotations)},
    {"recall", SCHEMA_REAL, INDEX(recall), NULL, 0},
    {"memory_bytes", SCHEMA_U64, INDEX(memory_bytes), NULL, 0},
    {NULL, SCHEMA_TEXT, 0, NULL, 0},
};
#undef FIELD
#undef INDEX
#undef WORDS

const vecdb_field *wire_schema_field(const vecdb_schema *schema, const char *name) {
  for (uint32_t i = 0; name && i < schema->n_fields; i++)
    if (!strcmp(schema->fields[i].name, name))
      return &schema->fields[i];
  return NULL;
}

const vecdb_field *wire_schema_key(const vecdb_schema *schema) {
  for (uint32_t i = 0; i < schema->n_fields; i++)
    if (schema->fields[i].flags & VECDB_PRIMARY_KEY)
      return &schema->fields[i];
  return NULL;
}

const vecdb_field *wire_schema_computed(const vecdb_schema *schema) {
  for (uint32_t i = 0; i < schema->n_fields; i++)
    if (schema->fields[i].flags & (VECDB_DEFAULT_NOW | VECDB_DEFAULT_UUID))
      return &schema->fields[i];
  return NULL;
}

bool wire_schema_tenants(const vecdb_field *field) {
  return field && ((field->type >= VECDB_BOOL && field->type <= VECDB_INT64) ||
                   field->type == VECDB_VARCHAR);
}

/* ---- Reading ---- */

struct schema_reader {
  struct wire_mem *mem;
  char *why;
  int status;
};

__attribute__((format(printf, 3, 4))) static bool schema_fail(struct schema_reader *r, int status,
                                                              const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(r->why, WIRE_WHY, format, args);
  va_end(args);
  r->status = status;
  return false;
}

static bool schema_no_memory(struct schema_reader *r) {
  return schema_fail(r, VECDB_ERR_NO_MEMORY, "out of memory");
}

static bool schema_copy(struct schema_reader *r, json_t *value, const char **out) {
  size_t n = json_string_length(value);
  char *text = wire_mem_get(r->mem, n + 1, 1);
  if (!text)
    return schema_no_memory(r);
  memcpy(text, json_string_value(value), n);
  *out = text;
  return true;
}

static bool schema_word(struct schema_reader *r, const struct schema_member *m, json_t *value,
                        void *to) {
  const char *word = json_string_value(value);
  for (int32_t i = 0; word && i < (int32_t)m->n; i++)
    if (m->words[i] && *word && !strcmp(m->words[i], word)) {
      memcpy(to, &i, sizeof i);
      return true;
    }
  return schema_fail(r, VECDB_ERR_SCHEMA, "%s is \"%.60s\", which is not known", m->key,
                     word ? word : "?");
}

static bool schema_take(struct schema_reader *r, const struct schema_member *m, json_t *value,
                        char *to) {
  json_int_t number = json_integer_value(value);
  uint64_t max = m->kind == SCHEMA_U32 ? UINT32_MAX : INT64_MAX;
  if (m->kind == SCHEMA_WORD)
    return schema_word(r, m, value, to);
  if (m->kind == SCHEMA_TEXT && json_is_string(value))
    return schema_copy(r, value, (const char **)(void *)to);
  if (m->kind == SCHEMA_FLAG && json_is_boolean(value)) {
    *(uint32_t *)(void *)to |= json_is_true(value) ? m->n : 0;
    return true;
  }
  if (m->kind == SCHEMA_REAL && json_is_number(value)) {
    *(float *)(void *)to = (float)json_number_value(value);
    return true;
  }
  if (m->kind >= SCHEMA_REAL || m->kind == SCHEMA_TEXT || !json_is_integer(value) || number < 0 ||
      (uint64_t)number > max)
    return schema_fail(r, VECDB_ERR_SCHEMA, "%s is of the wrong type or out of range", m->key);
  memcpy(to, &number, m->kind == SCHEMA_U32 ? 4 : 8);
  return true;
}

/* The members of `value` by the table; `rest` takes those that are not in it. */
static bool schema_object(struct schema_reader *r, const struct schema_member *table, json_t *value,
                          void *out,
                          bool (*rest)(struct schema_reader *, const char *, json_t *, void *)) {
  const char *key;
  json_t *member;
  if (!json_is_object(value))
    return schema_fail(r, VECDB_ERR_SCHEMA, "a field or an index is not an object");
  json_object_foreach(value, key, member) {
    const struct schema_member *m = table;
    while (m->key && strcmp(m->key, key) != 0)
      m++;
    if (!(m->key ? schema_take(r, m, member, (char *)out + m->at) : rest(r, key, member, out)))
      return false;
  }
  return true;
}

static bool schema_unknown(struct schema_reader *r, const char *key, json_t *value, void *out) {
  (void)value;
  (void)out;
  return schema_fail(r, VECDB_ERR_SCHEMA, "\"%.60s\" is not known", key);
}

/* Its type is settled when all members are read: schema_default_type. */
static bool schema_default(struct schema_reader *r, json_t *value, vecdb_field *f) {
  vecdb_value *v = &f->default_value;
  f->flags |= VECDB_HAS_DEFAULT;
  if (json_is_string(value)) {
    v->type = VECDB_VARCHAR;
    v->length = (uint32_t)json_string_length(value);
    const char *text;
    if (!schema_copy(r, value, &text))
      return false;
    v->as.data = text;
  } else if (json_is_boolean(value)) {
    v->type = VECDB_BOOL;
    v->as.boolean = json_is_true(value);
  } else if (json_is_integer(value)) {
    v->type = VECDB_INT64;
    v->as.integer = json_integer_value(value);
  } else if (json_is_real(value)) {
    v->type = VECDB_DOUBLE;
    v->as.number = json_real_value(value);
  } else {
    return schema_fail(r, VECDB_ERR_SCHEMA, "a default is a text, a number, true or false");
  }
  return true;
}

/* "json_indexes": a list of {"path", "type"}. */
static bool schema_json_indexes(struct schema_reader *r, json_t *list, vecdb_field *f) {
  static const struct schema_member members[] = {
      {"path", SCHEMA_TEXT, offsetof(vecdb_json_index, path), NULL, 0},
      {"type", SCHEMA_WORD, offsetof(vecdb_json_index, type), schema_types,
       sizeof schema_types / sizeof *schema_types},
      {NULL, SCHEMA_TEXT, 0, NULL, 0},
  };
  size_t n = json_array_size(list);
  if (!json_is_array(list) || n > VECDB_MAX_JSON_INDEXES)
    return schema_fail(r, VECDB_ERR_LIMIT, "json_indexes is no list of up to %d",
                       VECDB_MAX_JSON_INDEXES);
  vecdb_json_index *indexes = wire_mem_get(r->mem, n + 1, sizeof *indexes);
  if (!indexes)
    return schema_no_memory(r);
  for (size_t i = 0; i < n; i++) {
    if (!schema_object(r, members, json_array_get(list, i), &indexes[i], schema_unknown))
      return false;
    if (!indexes[i].path || !indexes[i].type)
      return schema_fail(r, VECDB_ERR_SCHEMA, "an index of JSON has no path or no type");
  }
  f->json_indexes = indexes;
  f->n_json_indexes = (uint32_t)n;
  return true;
}

static bool schema_field_rest(struct schema_reader *r, const char *key, json_t *value, void *out) {
  vecdb_field *f = out;
  if (!strcmp(key, "default"))
    return json_is_null(value) || schema_default(r, value, f);
  if (!strcmp(key, "json_indexes"))
    return schema_json_indexes(r, value, f);
  if (strcmp(key, "index") != 0)
    return schema_unknown(r, key, value, out);
  f->index.size = sizeof f->index;
  return schema_object(r, schema_index, value, &f->index, schema_unknown);
}

/* Numbers are read as the widest of their kind. */
static bool schema_default_type(struct schema_reader *r, vecdb_field *f) {
  vecdb_value *v = &f->default_value;
  if (!(f->flags & VECDB_HAS_DEFAULT))
    return true;
  if (v->type == VECDB_VARCHAR && f->type == VECDB_JSON) {
    v->type = VECDB_JSON; /* the text of it */
    return true;
  }
  if (v->type == VECDB_INT64 && (f->type == VECDB_FLOAT || f->type == VECDB_DOUBLE))
    v->as.number = (double)v->as.integer;
  else if (v->type == VECDB_INT64    ? f->type < VECDB_INT8 || f->type > VECDB_INT64
           : v->type == VECDB_DOUBLE ? f->type != VECDB_FLOAT && f->type != VECDB_DOUBLE
                                     : v->type != f->type)
    return schema_fail(r, VECDB_ERR_SCHEMA, "the default of %.60s is of another type", f->name);
  v->type = f->type;
  return true;
}

/* What the library's schemas have where nothing was said. Answers are merged by the metric. */
static void schema_defaults(vecdb_field *f) {
  if (!f->description)
    f->description = "";
  if (f->type == VECDB_JSON && !f->max_length)
    f->max_length = VECDB_MAX_JSON;
  if (f->type < VECDB_FLOAT_VECTOR || f->metric)
    return;
  f->metric = f->type == VECDB_BINARY_VECTOR   ? VECDB_HAMMING
              : f->type == VECDB_SPARSE_VECTOR ? VECDB_IP
                                               : VECDB_COSINE;
}

static bool schema_fields(struct schema_reader *r, json_t *array, vecdb_schema *out) {
  size_t n = json_array_size(array);
  if (!json_is_array(array) || !n || n > VECDB_MAX_FIELDS)
    return schema_fail(r, VECDB_ERR_LIMIT, "a schema has 1 to %d fields", VECDB_MAX_FIELDS);
  vecdb_field *fields = wire_mem_get(r->mem, n, sizeof *fields);
  if (!fields)
    return schema_no_memory(r);
  for (size_t i = 0; i < n; i++) {
    if (!schema_object(r, schema_field, json_array_get(array, i), &fields[i], schema_field_rest))
      return false;
    if (!fields[i].name || !fields[i].type)
      return schema_fail(r, VECDB_ERR_SCHEMA, "a field has no name or no type");
    if (!schema_default_type(r, &fields[i]))
      return false;
    schema_defaults(&fields[i]);
  }
  out->fields = fields;
  out->n_fields = (uint32_t)n;
  return true;
}

int wire_schema_read(const char *text, size_t n, struct wire_mem *mem, vecdb_schema *out,
                     char *why) {
  struct schema_reader r = {mem, why, VECDB_OK};
  *out = (vecdb_schema)VECDB_SCHEMA_INIT;
  out->description = "";
  json_error_t error;
  json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &error);
  if (!root)
    schema_fail(&r, VECDB_ERR_SCHEMA, "not JSON: %.100s", error.text);
  else if (schema_fields(&r, json_object_get(root, "fields"), out)) {
    json_t *description = json_object_get(root, "description");
    if (json_is_string(description))
      schema_copy(&r, description, &out->description);
  }
  json_decref(root);
  return r.status;
}

/* ---- Writing ---- */

/* NULL: it says nothing. */
static json_t *schema_value(const struct schema_member *m, const char *from) {
  const uint32_t number = *(const uint32_t *)(const void *)from;
  const char *text;
  uint64_t large;
  float real;
  switch (m->kind) {
    case SCHEMA_TEXT:
      memcpy(&text, from, sizeof text);
      return text ? json_string(text) : NULL;
    case SCHEMA_WORD:
      return number && number < m->n && m->words[number] ? json_string(m->words[number]) : NULL;
    case SCHEMA_FLAG:
      return number & m->n ? json_true() : NULL;
    case SCHEMA_REAL:
      memcpy(&real, from, sizeof real);
      return real > 0 ? json_real((double)real) : NULL;
    case SCHEMA_U64:
      memcpy(&large, from, sizeof large);
      return large ? json_integer((json_int_t)large) : NULL;
    default:
      return number ? json_integer(number) : NULL;
  }
}

static json_t *schema_write_object(const struct schema_member *table, const void *from) {
  json_t *out = json_object();
  for (; out && table->key; table++) {
    json_t *value = schema_value(table, (const char *)from + table->at);
    if (value && json_object_set_new(out, table->key, value)) {
      json_decref(out);
      return NULL;
    }
  }
  return out;
}

static json_t *schema_write_default(const vecdb_value *v) {
  if (v->type == VECDB_VARCHAR || v->type == VECDB_JSON)
    return json_stringn(v->as.data, v->length);
  if (v->type == VECDB_BOOL)
    return json_boolean(v->as.boolean);
  if (v->type >= VECDB_INT8 && v->type <= VECDB_INT64)
    return json_integer(v->as.integer);
  return v->type == VECDB_FLOAT || v->type == VECDB_DOUBLE ? json_real(v->as.number) : NULL;
}

static json_t *schema_write_indexes(const vecdb_field *f) {
  json_t *out = json_array();
  for (uint32_t i = 0; i < f->n_json_indexes; i++)
    if (json_array_append_new(out, json_pack("{s:s, s:s}", "path", f->json_indexes[i].path, "type",
                                             schema_types[f->json_indexes[i].type]))) {
      json_decref(out);
      return NULL;
    }
  return out;
}

static json_t *schema_write_field(const vecdb_field *f) {
  json_t *out = schema_write_object(schema_field, f);
  bool bad = !out;
  if (out && f->flags & VECDB_HAS_DEFAULT)
    bad = json_object_set_new(out, "default", schema_write_default(&f->default_value));
  if (!bad && f->type >= VECDB_FLOAT_VECTOR)
    bad = json_object_set_new(out, "index", schema_write_object(schema_index, &f->index));
  if (!bad && f->n_json_indexes)
    bad = json_object_set_new(out, "json_indexes", schema_write_indexes(f));
  if (!bad)
    return out;
  json_decref(out);
  return NULL;
}

char *wire_schema_write(const vecdb_schema *schema) {
  json_t *fields = json_array();
  bool bad = !fields;
  for (uint32_t i = 0; i < schema->n_fields && !bad; i++)
    bad = json_array_append_new(fields, schema_write_field(&schema->fields[i]));
  json_t *root = bad ? NULL : json_pack("{s:O}", "fields", fields);
  if (root && schema->description)
    bad = json_object_set_new(root, "description", json_string(schema->description));
  char *text = root && !bad ? json_dumps(root, JSON_COMPACT) : NULL;
  json_decref(fields);
  json_decref(root);
  return text;
}
