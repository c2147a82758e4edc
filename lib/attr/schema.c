/* schema.c - checks a caller's schema and copies it into one block; see schema.h. */
#include "attr/schema.h"

#include "attr/filter.h"
#include "attr/json.h"
#include "attr/json_path.h"
#include "attr/optimizer.h"
#include "attr/value.h"
#include "base/check.h"

enum {
  SCHEMA_FLAGS = VECDB_PRIMARY_KEY | VECDB_AUTO_ID | VECDB_NULLABLE | VECDB_HAS_DEFAULT |
                 VECDB_ALLOW_ZERO | VECDB_DEFAULT_NOW | VECDB_DEFAULT_UUID,
  SCHEMA_UUID = 36 /* bytes of one */
};

VDB_INTERNAL uint32_t vdb_type_width(int32_t type) {
  switch (type) {
  case VECDB_BOOL:
  case VECDB_INT8:
    return 1;
  case VECDB_INT16:
    return 2;
  case VECDB_INT32:
  case VECDB_FLOAT:
    return 4;
  case VECDB_INT64:
  case VECDB_DOUBLE:
    return 8;
  default:
    return 0;
  }
}

VDB_INTERNAL int vdb_schema_find(const struct vdb_schema *schema, const char *name, size_t n) {
  for (uint32_t i = 0; i < schema->n_public; i++) {
    const char *own = schema->fields[i].name;
    if (strlen(own) == n && memcmp(own, name, n) == 0)
      return (int)i;
  }
  return -1;
}

static int schema_fail(vecdb_error *err, int code, const vecdb_field *field, const char *what) {
  return vdb_fail_at(err, code, -1, field->name, "field '%s': %s", field->name, what);
}

static int schema_check_description(const char *text, const char *field, vecdb_error *err) {
  if (!text)
    return VECDB_OK;
  size_t n = strnlen(text, VECDB_MAX_DESCRIPTION + 1);
  if (n > VECDB_MAX_DESCRIPTION)
    return vdb_fail_at(err, VECDB_ERR_LIMIT, -1, field, "a description is longer than %d bytes",
                       VECDB_MAX_DESCRIPTION);
  if (!vdb_utf8_valid(text, n))
    return vdb_fail_at(err, VECDB_ERR_UTF8, -1, field, "a description is not valid UTF-8");
  return VECDB_OK;
}

static bool schema_type_known(int32_t type) {
  return (type >= VECDB_BOOL && type <= VECDB_JSON) ||
         (type >= VECDB_FLOAT_VECTOR && type <= VECDB_SPARSE_VECTOR);
}

/* A size that only some types have: 1 to `most` where `wanted`, else 0. */
static int schema_check_size(const vecdb_field *f, const char *name, uint32_t value, bool wanted,
                             uint32_t most, vecdb_error *err) {
  if (!wanted && value)
    return vdb_fail_at(err, VECDB_ERR_SCHEMA, -1, f->name, "field '%s': its type has no %s",
                       f->name, name);
  if (wanted && value == 0)
    return vdb_fail_at(err, VECDB_ERR_SCHEMA, -1, f->name, "field '%s': %s is missing", f->name,
                       name);
  if (value > most)
    return vdb_fail_at(err, VECDB_ERR_LIMIT, -1, f->name, "field '%s': %s is %u, at most %u",
                       f->name, name, value, most);
  return VECDB_OK;
}

static int schema_check_type(const vecdb_field *f, vecdb_error *err) {
  if (!schema_type_known(f->type))
    return schema_fail(err, VECDB_ERR_OPTION, f, "its type is unknown");
  bool array = f->type == VECDB_ARRAY;
  if (!array && f->element_type)
    return schema_fail(err, VECDB_ERR_SCHEMA, f, "only an ARRAY has an element type");
  if (array && !schema_type_known(f->element_type))
    return schema_fail(err, VECDB_ERR_OPTION, f, "its element type is unknown");
  if (array && f->element_type > VECDB_VARCHAR)
    return schema_fail(err, VECDB_ERR_SCHEMA, f, "elements are of BOOL to VARCHAR");
  bool text = f->type == VECDB_VARCHAR || (array && f->element_type == VECDB_VARCHAR);
  VDB_TRY(schema_check_size(f, "dim", f->dim, vdb_type_is_dense(f->type), VECDB_MAX_DIM, err));
  if (f->type != VECDB_JSON)
    VDB_TRY(schema_check_size(f, "max_length", f->max_length, text, VECDB_MAX_VARCHAR, err));
  else if (f->max_length) /* 0: as long as can be */
    VDB_TRY(schema_check_size(f, "max_length", f->max_length, true, VECDB_MAX_JSON, err));
  VDB_TRY(schema_check_size(f, "max_capacity", f->max_capacity, array, VECDB_MAX_ARRAY, err));
  if (f->type == VECDB_BINARY_VECTOR && f->dim % 8)
    return schema_fail(err, VECDB_ERR_SCHEMA, f, "the bits of a vector are a multiple of 8");
  return VECDB_OK;
}

static int32_t schema_metric(const vecdb_field *f) {
  if (f->metric || !vdb_type_is_vector(f->type))
    return f->metric;
  if (f->type == VECDB_SPARSE_VECTOR)
    return VECDB_IP;
  return f->type == VECDB_BINARY_VECTOR ? VECDB_HAMMING : VECDB_COSINE;
}

static bool schema_index_empty(const vecdb_index_params *p) {
  vecdb_index_params empty = {.size = p->size};
  return memcmp(p, &empty, sizeof empty) == 0;
}

static int schema_check_index(const vecdb_field *f, vecdb_error *err) {
  bool vector = vdb_type_is_vector(f->type);
  const vecdb_index_params *p = &f->index;
  if (p->size != sizeof *p && (p->size || !schema_index_empty(p)))
    return schema_fail(err, VECDB_ERR_OPTION, f, "the size of its index parameters is unknown");
  if (p->type < VECDB_INDEX_AUTO || p->type > VECDB_INDEX_DISK)
    return schema_fail(err, VECDB_ERR_OPTION, f, "its index type is unknown");
  if (!vector && !schema_index_empty(p))
    return schema_fail(err, VECDB_ERR_SCHEMA, f, "only vectors have index parameters");
  if (f->type == VECDB_SPARSE_VECTOR && !schema_index_empty(p))
    return schema_fail(err, VECDB_ERR_SCHEMA, f, "a sparse vector has no index parameters");
  if (f->scalar_index < VECDB_SCALAR_INDEX_AUTO || f->scalar_index > VECDB_SCALAR_INDEX_SORTED)
    return schema_fail(err, VECDB_ERR_OPTION, f, "its scalar index is unknown");
  if (!vdb_type_is_plain(f->type) && f->scalar_index > VECDB_SCALAR_INDEX_NONE)
    return schema_fail(err, VECDB_ERR_SCHEMA, f, "vectors, arrays and JSON have no scalar index");
  if (f->metric < 0 || f->metric > VECDB_JACCARD)
    return schema_fail(err, VECDB_ERR_OPTION, f, "its metric is unknown");
  if (!vector && f->metric)
    return schema_fail(err, VECDB_ERR_SCHEMA, f, "only vectors have a metric");
  if (vector && (schema_metric(f) >= VECDB_HAMMING) != (f->type == VECDB_BINARY_VECTOR))
    return schema_fail(err, VECDB_ERR_SCHEMA, f,
                       "binary vectors, and only these, take HAMMING or JACCARD");
  if (f->type == VECDB_SPARSE_VECTOR && schema_metric(f) != VECDB_IP)
    return schema_fail(err, VECDB_ERR_SCHEMA, f, "the metric of sparse vectors is IP");
  return VECDB_OK;
}

/* The forms are large, so they lie where they are used from field to field. */
static int schema_check_paths(const vecdb_field *f, struct vdb_json_path_forms *forms,
                              vecdb_error *err) {
  if (f->n_json_indexes == 0)
    return VECDB_OK;
  if (f->type != VECDB_JSON)
    return schema_fail(err, VECDB_ERR_SCHEMA, f, "only JSON has indexes of paths");
  if (f->n_json_indexes > VECDB_MAX_JSON_INDEXES)
    return vdb_fail_at(err, VECDB_ERR_LIMIT, -1, f->name, "more than %d indexes of JSON paths",
                       VECDB_MAX_JSON_INDEXES);
  if (!f->json_indexes)
    return vdb_fail_at(err, VECDB_ERR_ARGUMENT, -1, f->name, "field '%s': its indexes are NULL",
                       f->name);
  for (uint32_t i = 0; i < f->n_json_indexes; i++) {
    int32_t type = f->json_indexes[i].type;
    if (type != VECDB_BOOL && type != VECDB_DOUBLE && type != VECDB_VARCHAR)
      return schema_fail(err, VECDB_ERR_SCHEMA, f,
                         "an index of a JSON path is of BOOL, DOUBLE or VARCHAR");
    VDB_TRY(vdb_json_path_parse(f->name, f->json_indexes[i].path, forms, err));
  }
  return VECDB_OK;
}

static int schema_check_computed(const vecdb_field *f, vecdb_error *err) {
  uint32_t flags = f->flags & (VDB_COMPUTED | VECDB_HAS_DEFAULT | VECDB_PRIMARY_KEY);
  if (!(flags & VDB_COMPUTED))
    return VECDB_OK;
  if (flags != VECDB_DEFAULT_NOW && flags != VECDB_DEFAULT_UUID)
    return schema_fail(err, VECDB_ERR_SCHEMA, f, "a computed default is the only one, of no key");
  if (flags == VECDB_DEFAULT_NOW && f->type != VECDB_INT64)
    return schema_fail(err, VECDB_ERR_SCHEMA, f, "DEFAULT_NOW is for INT64");
  if (flags == VECDB_DEFAULT_UUID && (f->type != VECDB_VARCHAR || f->max_length < SCHEMA_UUID))
    return schema_fail(err, VECDB_ERR_SCHEMA, f, "DEFAULT_UUID is for VARCHAR of 36 bytes or more");
  return VECDB_OK;
}

static int schema_check_flags(const vecdb_field *f, vecdb_error *err) {
  uint32_t flags = f->flags;
  bool vector = vdb_type_is_vector(f->type);
  if (flags & ~(uint32_t)SCHEMA_FLAGS)
    return schema_fail(err, VECDB_ERR_OPTION, f, "a flag is unknown");
  if (vector && (flags & ~(uint32_t)VECDB_ALLOW_ZERO))
    return schema_fail(err, VECDB_ERR_SCHEMA, f, "a vector takes no flag but ALLOW_ZERO");
  if ((flags & VECDB_ALLOW_ZERO) && (!vector || schema_metric(f) != VECDB_COSINE))
    return schema_fail(err, VECDB_ERR_SCHEMA, f, "ALLOW_ZERO is for vectors under COSINE");
  bool key = (flags & VECDB_PRIMARY_KEY) != 0;
  if (key && f->type != VECDB_INT64 && f->type != VECDB_VARCHAR)
    return schema_fail(err, VECDB_ERR_SCHEMA, f, "a primary key is INT64 or VARCHAR");
  if (key && (flags & (VECDB_NULLABLE | VECDB_HAS_DEFAULT)))
    return schema_fail(err, VECDB_ERR_SCHEMA, f, "a primary key has no null and no default");
  if ((flags & VECDB_AUTO_ID) && (!key || f->type != VECDB_INT64))
    return schema_fail(err, VECDB_ERR_SCHEMA, f, "AUTO_ID is for an INT64 primary key");
  if (!(flags & VECDB_HAS_DEFAULT) && f->default_value.type)
    return schema_fail(err, VECDB_ERR_SCHEMA, f, "a default value comes with HAS_DEFAULT");
  return schema_check_computed(f, err);
}

/* The part of a field that value checks look at. */
static struct vdb_field schema_plain(const vecdb_field *f) {
  struct vdb_field plain = {0};
  plain.name = f->name;
  plain.type = f->type;
  plain.element_type = f->element_type;
  plain.flags = f->flags;
  plain.dim = f->dim;
  plain.max_length = f->type == VECDB_JSON && !f->max_length ? VECDB_MAX_JSON : f->max_length;
  plain.max_capacity = f->max_capacity;
  return plain;
}

static int schema_check_field(const vecdb_field *f, uint32_t i, vecdb_error *err) {
  char what[24] = "field ";
  size_t n = strlen(what);
  if (i >= 100)
    what[n++] = (char)('0' + i / 100);
  if (i >= 10)
    what[n++] = (char)('0' + i / 10 % 10);
  what[n] = (char)('0' + i % 10);
  VDB_TRY(vdb_name_check(f->name, false, what, err));
  if (vdb_filter_keyword(f->name, strlen(f->name)))
    return vdb_fail(err, VECDB_ERR_NAME, "%s is named '%s', a word of the filter language", what,
                    f->name);
  VDB_TRY(schema_check_description(f->description, f->name, err));
  VDB_TRY(schema_check_type(f, err));
  VDB_TRY(schema_check_index(f, err));
  VDB_TRY(schema_check_flags(f, err));
  if (!(f->flags & VECDB_HAS_DEFAULT))
    return VECDB_OK;
  struct vdb_field plain = schema_plain(f);
  VDB_TRY(vdb_value_shape(&plain, &f->default_value, -1, err));
  return vdb_value_content(&plain, &f->default_value, -1, err);
}

static int schema_check_fields(const vecdb_schema *from, vecdb_error *err) {
  uint32_t keys = 0, vectors = 0;
  for (uint32_t i = 0; i < from->n_fields; i++) {
    const vecdb_field *f = &from->fields[i];
    VDB_TRY(schema_check_field(f, i, err));
    for (uint32_t j = 0; j < i; j++)
      if (strcmp(from->fields[j].name, f->name) == 0)
        return schema_fail(err, VECDB_ERR_SCHEMA, f, "two fields have this name");
    keys += (f->flags & VECDB_PRIMARY_KEY) != 0;
    vectors += vdb_type_is_vector(f->type);
    if (keys > 1)
      return schema_fail(err, VECDB_ERR_SCHEMA, f, "it is a second primary key");
    if (vectors > VECDB_MAX_VECTOR_FIELDS)
      return vdb_fail_at(err, VECDB_ERR_LIMIT, -1, f->name, "more than %d vector fields",
                         VECDB_MAX_VECTOR_FIELDS);
  }
  if (keys == 0)
    return vdb_fail(err, VECDB_ERR_SCHEMA, "no field is the primary key");
  if (vectors == 0)
    return vdb_fail(err, VECDB_ERR_SCHEMA, "no field is a vector");
  return VECDB_OK;
}

static int schema_check_indexes(const vecdb_schema *from, struct vdb_json_path_forms *forms,
                                vecdb_error *err) {
  uint32_t paths = 0;
  for (uint32_t i = 0; i < from->n_fields; i++) {
    VDB_TRY(schema_check_paths(&from->fields[i], forms, err));
    paths += from->fields[i].n_json_indexes;
    if (paths > VECDB_MAX_JSON_INDEXES)
      return vdb_fail_at(err, VECDB_ERR_LIMIT, -1, from->fields[i].name,
                         "more than %d indexes of JSON paths", VECDB_MAX_JSON_INDEXES);
  }
  return VECDB_OK;
}

static int schema_check(const vecdb_schema *from, struct vdb_json_path_forms *forms,
                        vecdb_error *err) {
  if (!from)
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "the schema is NULL");
  if (from->size != sizeof(vecdb_schema))
    return vdb_fail(err, VECDB_ERR_OPTION, "the size of the schema struct is unknown");
  if (from->field_size != sizeof(vecdb_field))
    return vdb_fail(err, VECDB_ERR_OPTION, "the size of the field struct is unknown");
  if (from->n_fields > VECDB_MAX_FIELDS)
    return vdb_fail(err, VECDB_ERR_LIMIT, "the schema has %u fields, at most %d", from->n_fields,
                    VECDB_MAX_FIELDS);
  if (from->n_fields && !from->fields)
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "the fields of the schema are NULL");
  VDB_TRY(schema_check_description(from->description, NULL, err));
  VDB_TRY(schema_check_fields(from, err));
  return schema_check_indexes(from, forms, err);
}

/* Hands out pieces of the schema's block; with `at` NULL it only adds up their sizes. */
struct schema_block {
  uint8_t *at;
  size_t used;
  struct vdb_json_path_forms *forms; /* scratch */
};

/* Room for n bytes, aligned for any type; NULL while sizes are added up. */
static void *schema_take(struct schema_block *b, size_t n) {
  void *p = b->at ? b->at + b->used : NULL;
  b->used += (size_t)vdb_round_up(n, 8);
  return p;
}

/* A copy of n bytes and a NUL. */
static const char *schema_take_text(struct schema_block *b, const char *text, size_t n) {
  char *copy = schema_take(b, n + 1);
  if (copy && n)
    memcpy(copy, text, n);
  if (copy)
    copy[n] = '\0';
  return copy;
}

static void schema_take_strings(struct schema_block *b, vecdb_value *v) {
  vecdb_string *strings = schema_take(b, (size_t)v->length * sizeof *strings);
  for (uint32_t i = 0; i < v->length; i++) {
    vecdb_string s = vdb_value_string(v, i);
    const char *text = schema_take_text(b, s.data, s.length);
    if (strings) {
      strings[i].data = text;
      strings[i].length = s.length;
    }
  }
  if (strings)
    v->as.data = strings;
}

/* A checked default value in the type of its field. */
static vecdb_value schema_take_default(struct schema_block *b, const vecdb_field *f) {
  vecdb_value v = {0};
  if (!(f->flags & VECDB_HAS_DEFAULT))
    return v;
  v.as = f->default_value.as;
  v.type = f->type;
  if (f->type == VECDB_FLOAT)
    v.as.number = (double)(float)v.as.number;
  if (!vdb_type_is_text(f->type) && f->type != VECDB_ARRAY)
    return v;
  v.length = f->default_value.length;
  v.element_type = f->element_type;
  if (vdb_type_is_text(f->type))
    v.as.data = schema_take_text(b, v.as.data, v.length);
  else if (f->element_type == VECDB_VARCHAR)
    schema_take_strings(b, &v);
  else
    v.as.data = schema_take_text(b, v.as.data, v.length * (size_t)vdb_type_width(f->element_type));
  return v;
}

static uint32_t schema_width(const vecdb_field *f) {
  switch (f->type) {
  case VECDB_FLOAT_VECTOR:
    return f->dim * 4;
  case VECDB_FLOAT16_VECTOR:
  case VECDB_BFLOAT16_VECTOR:
    return f->dim * 2;
  case VECDB_INT8_VECTOR:
    return f->dim;
  case VECDB_BINARY_VECTOR:
    return f->dim / 8;
  default:
    return vdb_type_width(f->type);
  }
}

/* What stands in a scalar column where nothing was given. */
static void schema_take_fill(struct schema_block *b, struct vdb_field *own) {
  bool given = (own->flags & VECDB_HAS_DEFAULT) != 0;
  own->fill_bytes = given ? (uint32_t)vdb_value_bytes(&own->default_value) : own->width;
  uint8_t *fill = schema_take(b, own->fill_bytes);
  own->fill = fill;
  own->fill_offsets[1] = own->fill_bytes;
  if (fill && given)
    vdb_value_put(&own->default_value, fill);
  else if (fill)
    memset(fill, 0, own->fill_bytes);
}

static void schema_take_field(struct schema_block *b, const vecdb_field *f,
                              struct vdb_field *out) {
  struct vdb_field own = schema_plain(f);
  const char *description = f->description ? f->description : "";
  own.name = schema_take_text(b, f->name, strlen(f->name));
  own.description = schema_take_text(b, description, strlen(description));
  own.metric = schema_metric(f);
  own.scalar_index = f->scalar_index;
  own.width = schema_width(f);
  own.index = f->index;
  own.index.size = sizeof own.index;
  own.default_value = schema_take_default(b, f);
  if (!vdb_type_is_vector(f->type))
    schema_take_fill(b, &own);
  if (out)
    *out = own;
}

/* The hidden fields of a vector that takes pushes. No caller can give a field such a name. */
static void schema_take_hidden(struct schema_block *b, uint32_t owner, struct vdb_schema *schema,
                               const struct vdb_learn *learn, uint32_t dim, uint32_t at) {
  vecdb_field version = {.name = ":version", .type = VECDB_INT64, .flags = VECDB_HAS_DEFAULT,
                         .scalar_index = VECDB_SCALAR_INDEX_NONE};
  vecdb_field state = {.name = ":state", .type = VECDB_ARRAY, .element_type = VECDB_FLOAT,
                       .flags = VECDB_HAS_DEFAULT, .scalar_index = VECDB_SCALAR_INDEX_NONE};
  version.default_value.type = VECDB_INT64;
  version.default_value.as.integer = 1;
  state.default_value.type = VECDB_ARRAY;
  state.default_value.element_type = VECDB_FLOAT;
  state.max_capacity = vdb_optimizer_floats(&learn->rule, dim);
  struct vdb_field *fields = schema ? schema->fields : NULL;
  schema_take_field(b, &version, fields ? &fields[at] : NULL);
  schema_take_field(b, &state, fields ? &fields[at + 1] : NULL);
  if (!fields)
    return;
  fields[owner].learn = *learn;
  fields[owner].version = at;
  fields[owner].state = at + 1;
  fields[at].id = learn->version_id;
  fields[at + 1].id = learn->state_id;
  fields[at].owner = fields[at + 1].owner = owner;
}

/* The indexes of JSON paths, which have been checked. */
static void schema_take_paths(struct schema_block *b, const vecdb_schema *from,
                              struct vdb_schema *schema) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < from->n_fields; i++)
    n += from->fields[i].n_json_indexes;
  struct vdb_json_path *paths = schema_take(b, n * sizeof *paths);
  vecdb_json_index *public_paths = schema_take(b, n * sizeof *public_paths);
  for (uint32_t i = 0, at = 0; i < from->n_fields; i++)
    for (uint32_t k = 0; k < from->fields[i].n_json_indexes; k++, at++) {
      const vecdb_json_index *index = &from->fields[i].json_indexes[k];
      vecdb_error none;
      int rc = vdb_json_path_parse(from->fields[i].name, index->path, b->forms, &none);
      vdb_assert(rc == VECDB_OK);
      (void)rc;
      const char *text = schema_take_text(b, b->forms->text, b->forms->n_text);
      uint8_t *steps = schema_take(b, b->forms->n_steps);
      if (!schema)
        continue;
      memcpy(steps, b->forms->steps, b->forms->n_steps);
      paths[at] = (struct vdb_json_path){i, from->n_fields + at, index->type, text, steps,
                                         b->forms->n_steps};
      public_paths[at] = (vecdb_json_index){text, index->type};
    }
  if (!schema)
    return;
  schema->paths = paths;
  schema->public_paths = public_paths;
  schema->n_paths = n;
  schema->next_id = from->n_fields + n;
}

/* Fields of the schema that a caller has not given. */
static uint32_t schema_n_hidden(const vecdb_schema *from, const struct vdb_learn *learn) {
  uint32_t n = 0;
  for (uint32_t i = 0; learn && i < from->n_fields; i++)
    n += learn[i].rule.size ? 2 : 0;
  return n;
}

/* Lays the schema out in the block; returns it when the block has bytes. */
static struct vdb_schema *schema_take_all(struct schema_block *b, const vecdb_schema *from,
                                          const struct vdb_learn *learn) {
  uint32_t n_fields = from->n_fields + schema_n_hidden(from, learn);
  struct vdb_schema *schema = schema_take(b, sizeof *schema);
  struct vdb_field *fields = schema_take(b, n_fields * sizeof *fields);
  const char *text = from->description ? from->description : "";
  const char *description = schema_take_text(b, text, strlen(text));
  if (schema) {
    const struct vdb_schema own = {.description = description, .fields = fields,
                                   .n_fields = n_fields, .n_public = from->n_fields,
                                   .next_id = from->n_fields};
    *schema = own;
  }
  for (uint32_t i = 0; i < from->n_fields; i++) {
    schema_take_field(b, &from->fields[i], fields ? &fields[i] : NULL);
    if (schema)
      fields[i].id = i;
    if (schema && (from->fields[i].flags & VECDB_PRIMARY_KEY))
      schema->key = i;
  }
  for (uint32_t i = 0, at = from->n_fields; at < n_fields; i++)
    if (learn[i].rule.size) {
      schema_take_hidden(b, i, schema, &learn[i], from->fields[i].dim, at);
      at += 2;
    }
  schema_take_paths(b, from, schema);
  return schema;
}

/* Makes the default values of JSON fields compact, in the block; a block that fails is freed. */
static int schema_compact_json(struct vdb_mem *mem, struct vdb_schema *schema, vecdb_error *err) {
  struct vdb_json_keys keys = {mem, NULL, 0};
  int rc = VECDB_OK;
  for (uint32_t i = 0; i < schema->n_public && rc == VECDB_OK; i++) {
    struct vdb_field *f = &schema->fields[i];
    if (f->type != VECDB_JSON || !(f->flags & VECDB_HAS_DEFAULT))
      continue;
    uint8_t *fill = (uint8_t *)schema + ((const uint8_t *)f->fill - (const uint8_t *)schema);
    size_t n = f->fill_bytes;
    rc = vdb_json_compact(&keys, f, fill, &n, -1, err);
    f->fill_bytes = f->default_value.length = (uint32_t)n;
    f->fill_offsets[1] = n;
    f->default_value.as.data = fill;
  }
  vdb_json_keys_fini(&keys);
  if (rc != VECDB_OK)
    vdb_schema_free(mem, schema);
  return rc;
}

/* Whether two indexes of a field are of one path and type. */
static int schema_check_twice(const struct vdb_schema *schema, vecdb_error *err) {
  for (uint32_t i = 0; i < schema->n_paths; i++)
    for (uint32_t j = 0; j < i; j++)
      if (vdb_json_path_same(&schema->paths[i], &schema->paths[j]))
        return vdb_fail_at(err, VECDB_ERR_SCHEMA, -1, schema->fields[schema->paths[i].field].name,
                           "field '%s': two indexes are of %s",
                           schema->fields[schema->paths[i].field].name, schema->paths[i].text);
  return VECDB_OK;
}

static int schema_make(struct vdb_mem *mem, const vecdb_schema *from,
                       const struct vdb_learn *learn, struct vdb_json_path_forms *forms,
                       struct vdb_schema **out, vecdb_error *err) {
  VDB_TRY(schema_check(from, forms, err));
  if (from->n_fields + schema_n_hidden(from, learn) > VECDB_MAX_FIELDS)
    return vdb_fail(err, VECDB_ERR_LIMIT,
                    "more than %d fields, where one that takes pushes counts for three",
                    VECDB_MAX_FIELDS);
  struct schema_block block = {NULL, 0, forms};
  schema_take_all(&block, from, learn);
  block.at = vdb_alloc(mem, block.used);
  if (!block.at)
    return vdb_fail_memory(err);
  block.used = 0;
  struct vdb_schema *made = schema_take_all(&block, from, learn);
  VDB_TRY(schema_compact_json(mem, made, err));
  int rc = schema_check_twice(made, err);
  if (rc)
    vdb_schema_free(mem, made);
  else
    *out = made;
  return rc;
}

VDB_INTERNAL int vdb_schema_make(struct vdb_mem *mem, const vecdb_schema *from,
                                 const struct vdb_learn *learn, struct vdb_schema **out,
                                 vecdb_error *err) {
  *out = NULL;
  struct vdb_json_path_forms *forms = vdb_alloc(mem, sizeof *forms);
  if (!forms)
    return vdb_fail_memory(err);
  int rc = schema_make(mem, from, learn, forms, out, err);
  vdb_free(mem, forms);
  return rc;
}

VDB_INTERNAL int vdb_schema_new(struct vdb_mem *mem, const vecdb_schema *from,
                                struct vdb_schema **out, vecdb_error *err) {
  return vdb_schema_make(mem, from, NULL, out, err);
}

VDB_INTERNAL void vdb_schema_free(struct vdb_mem *mem, struct vdb_schema *schema) {
  vdb_free(mem, schema); /* all of it is one block */
}

VDB_INTERNAL void vdb_schema_public(const struct vdb_schema *schema, vecdb_field *fields) {
  for (uint32_t i = 0; i < schema->n_public; i++) {
    const struct vdb_field *f = &schema->fields[i];
    vecdb_field out = {0};
    out.name = f->name;
    out.description = f->description;
    out.type = f->type;
    out.element_type = f->element_type;
    out.flags = f->flags;
    out.dim = f->dim;
    out.max_length = f->max_length;
    out.max_capacity = f->max_capacity;
    out.metric = f->metric;
    out.scalar_index = f->scalar_index;
    out.index = f->index;
    out.default_value = f->default_value;
    for (uint32_t k = schema->n_paths; k > 0; k--)
      if (schema->paths[k - 1].field == i) {
        out.json_indexes = &schema->public_paths[k - 1]; /* those of a field lie together */
        out.n_json_indexes++;
      }
    fields[i] = out;
  }
}
