/* milvus_schema.c - Milvus's CollectionSchema into a vecdb_schema, and back; see milvus.h. */
#include <stdio.h>
#include <string.h>

#include "server/json_schema.h"
#include "server/milvus.h"

enum { SCHEMA_FIRST_ID = 100 }; /* of a collection's fields, as in Milvus */

struct schema_field {
  const char *name, *description;
  int64_t primary, type, element, auto_id, dynamic, partition_key, nullable;
  struct pb_bytes default_value;
  struct pb_list type_params;
};
static const struct pb_field schema_field_table[] = {
    {2, PB_TEXT, offsetof(struct schema_field, name)},
    {3, PB_NUMBER, offsetof(struct schema_field, primary)},
    {4, PB_TEXT, offsetof(struct schema_field, description)},
    {5, PB_NUMBER, offsetof(struct schema_field, type)},
    {6, PB_LIST, offsetof(struct schema_field, type_params)},
    {8, PB_NUMBER, offsetof(struct schema_field, auto_id)},
    {10, PB_NUMBER, offsetof(struct schema_field, element)},
    {11, PB_BYTES, offsetof(struct schema_field, default_value)},
    {12, PB_NUMBER, offsetof(struct schema_field, dynamic)},
    {13, PB_NUMBER, offsetof(struct schema_field, partition_key)},
    {15, PB_NUMBER, offsetof(struct schema_field, nullable)},
};

struct schema_all {
  const char *description;
  int64_t auto_id, dynamic;
  struct pb_list fields, functions, structs;
};
static const struct pb_field schema_all_table[] = {
    {2, PB_TEXT, offsetof(struct schema_all, description)},
    {3, PB_NUMBER, offsetof(struct schema_all, auto_id)},
    {4, PB_LIST, offsetof(struct schema_all, fields)},
    {5, PB_NUMBER, offsetof(struct schema_all, dynamic)},
    {7, PB_LIST, offsetof(struct schema_all, functions)},
    {9, PB_LIST, offsetof(struct schema_all, structs)},
};

/* ---- Reading --------------------------------------------------------------------------------- */

struct schema_value {
  int64_t boolean, small, large;
  double narrow, wide;
  const char *text;
};
static const struct pb_field schema_value_table[] = {
    {1, PB_NUMBER, offsetof(struct schema_value, boolean)},
    {2, PB_NUMBER, offsetof(struct schema_value, small)},
    {3, PB_NUMBER, offsetof(struct schema_value, large)},
    {4, PB_FLOAT, offsetof(struct schema_value, narrow)},
    {5, PB_DOUBLE, offsetof(struct schema_value, wide)},
    {6, PB_TEXT, offsetof(struct schema_value, text)},
};

static bool schema_default(struct milvus *m, struct pb_bytes in, vecdb_field *out) {
  struct schema_value v;
  if (!MILVUS_PART(m, in, schema_value_table, &v))
    return false;
  vecdb_value *value = &out->default_value;
  out->flags |= VECDB_HAS_DEFAULT;
  value->type = out->type;
  int64_t integer = v.small + v.large; /* clients set one of the numbers, not always the field's */
  if (srv_type_is_text(out->type)) {
    value->as.data = v.text;
    value->length = (uint32_t)strlen(v.text);
  } else if (out->type == VECDB_BOOL) {
    value->as.boolean = v.boolean != 0;
  } else if (out->type == VECDB_FLOAT || out->type == VECDB_DOUBLE) {
    value->as.number = v.narrow + v.wide + (double)integer;
  } else {
    value->as.integer = integer;
  }
  return true;
}

static bool schema_params(struct milvus *m, const struct schema_field *in, vecdb_field *out) {
  struct milvus_pairs pairs;
  if (!milvus_pairs_read(m, &in->type_params, &pairs))
    return false;
  const char *dim = milvus_pair(&pairs, "dim"), *length = milvus_pair(&pairs, "max_length");
  const char *capacity = milvus_pair(&pairs, "max_capacity");
  if (srv_type_is_dense(out->type))
    return dim ? milvus_u32(m, "dim", dim, &out->dim)
               : milvus_fail(m, SRV_MILVUS_ARGUMENT, "field %.255s has no dim", in->name);
  if (out->type == VECDB_ARRAY &&
      (!milvus_u32(m, "max_capacity", capacity ? capacity : "", &out->max_capacity)))
    return false;
  bool texts = out->type == VECDB_VARCHAR || out->element_type == VECDB_VARCHAR;
  if (texts && out->max_length == 0)
    return length ? milvus_u32(m, "max_length", length, &out->max_length)
                  : milvus_fail(m, SRV_MILVUS_ARGUMENT, "field %.255s has no max_length", in->name);
  return true;
}

/* What the type of a field asks for beside its parameters. */
static bool schema_type(struct milvus *m, const struct schema_field *in, vecdb_field *out) {
  out->type = srv_milvus_type(in->type);
  if (out->type == 0)
    return milvus_fail(m, SRV_MILVUS_ARGUMENT,
                       "field %.255s: data type %lld is not served; INT, FLOAT, DOUBLE, BOOL, "
                       "VARCHAR, ARRAY, JSON and vectors are",
                       in->name, (long long)in->type);
  if (out->type != VECDB_ARRAY)
    return true;
  out->element_type = srv_milvus_type(in->element);
  return (out->element_type && out->element_type <= VECDB_VARCHAR) ||
         milvus_fail(m, SRV_MILVUS_ARGUMENT, "field %.255s: arrays hold numbers, BOOL or VARCHAR",
                     in->name);
}

static bool schema_partition_key(struct milvus *m, const struct schema_field *in,
                                 const vecdb_field *field, struct milvus_schema *out) {
  if (out->partition_key)
    return milvus_fail(m, SRV_MILVUS_ARGUMENT, "there can be one partition key");
  if (in->primary)
    return milvus_fail(m, SRV_MILVUS_ARGUMENT, "the primary key cannot be the partition key");
  if (field->type != VECDB_INT64 && field->type != VECDB_VARCHAR)
    return milvus_fail(m, SRV_MILVUS_ARGUMENT, "a partition key is INT64 or VARCHAR");
  out->partition_key = in->name;
  return true;
}

/* One field. Until an index says another metric, vectors are compared by COSINE, exactly. */
static bool schema_field(struct milvus *m, const struct schema_field *in, vecdb_field *out) {
  out->name = in->name;
  out->description = *in->description ? in->description : NULL;
  if (!schema_type(m, in, out))
    return false;
  if (in->primary)
    out->flags |= VECDB_PRIMARY_KEY;
  if (in->nullable)
    out->flags |= VECDB_NULLABLE;
  if (out->type == VECDB_BINARY_VECTOR)
    out->metric = VECDB_HAMMING;
  else if (srv_type_is_dense(out->type)) {
    out->metric = VECDB_COSINE;
    out->flags |= VECDB_ALLOW_ZERO;
  }
  if (srv_type_is_dense(out->type)) {
    out->index = (vecdb_index_params)VECDB_INDEX_PARAMS_INIT;
    out->index.type = VECDB_INDEX_FLAT;
  }
  return schema_params(m, in, out) &&
         (!in->default_value.n || schema_default(m, in->default_value, out));
}

bool milvus_field_read(struct milvus *m, struct pb_bytes in, vecdb_field *out) {
  struct schema_field field;
  if (!MILVUS_PART(m, in, schema_field_table, &field))
    return false;
  if (!field.nullable)
    return milvus_fail(m, SRV_MILVUS_ARGUMENT, "added field must be nullable, field name = %.255s",
                       field.name);
  if (field.primary || field.partition_key || field.dynamic)
    return milvus_fail(m, SRV_MILVUS_ARGUMENT, "field %.255s: keys cannot be added", field.name);
  return schema_field(m, &field, out);
}

void milvus_schema_dynamic(vecdb_field *out) {
  out->name = MILVUS_DYNAMIC;
  out->type = VECDB_JSON;
  out->flags = VECDB_NULLABLE;
}

bool milvus_schema_read(struct milvus *m, struct pb_bytes in, struct milvus_schema *out) {
  struct schema_all all;
  memset(out, 0, sizeof *out);
  if (!MILVUS_PART(m, in, schema_all_table, &all))
    return false;
  if (all.functions.n || all.structs.n)
    return milvus_fail(m, SRV_MILVUS_ARGUMENT, "functions and struct fields are not served");
  vecdb_field *fields = srv_arena_array(&m->call->arena, all.fields.n + 1, sizeof *fields);
  if (!fields)
    return milvus_no_memory(m);
  uint32_t n = 0;
  out->dynamic = all.dynamic != 0;
  out->auto_id = all.auto_id != 0;
  for (size_t i = 0; i < all.fields.n; i++) {
    struct schema_field field;
    if (!MILVUS_PART(m, all.fields.items[i], schema_field_table, &field))
      return false;
    out->auto_id = out->auto_id || (field.primary && field.auto_id);
    out->dynamic = out->dynamic || field.dynamic;
    if (field.dynamic)
      continue;
    if (!schema_field(m, &field, &fields[n]) ||
        (field.partition_key && !schema_partition_key(m, &field, &fields[n], out)))
      return false;
    n++;
  }
  if (out->dynamic)
    milvus_schema_dynamic(&fields[n++]);
  out->schema = (vecdb_schema)VECDB_SCHEMA_INIT;
  out->schema.description = *all.description ? all.description : NULL;
  out->schema.fields = fields;
  out->schema.n_fields = n;
  return true;
}

/* ---- Writing --------------------------------------------------------------------------------- */

static void schema_put_param(struct pb_out *out, const char *key, uint32_t value) {
  char text[16];
  snprintf(text, sizeof text, "%u", value);
  if (value)
    milvus_pair_put(out, 6, key, text);
}

static void schema_put_default(struct pb_out *out, const vecdb_field *f) {
  const vecdb_value *v = &f->default_value;
  size_t mark = srv_pb_open(out, 11);
  if (srv_type_is_text(f->type))
    srv_pb_bytes(out, 6, v->as.data, v->length);
  else if (f->type == VECDB_BOOL)
    srv_pb_number(out, 1, v->as.boolean);
  else if (f->type == VECDB_FLOAT)
    srv_pb_float(out, 4, (float)v->as.number);
  else if (f->type == VECDB_DOUBLE)
    srv_pb_double(out, 5, v->as.number);
  else
    srv_pb_number(out, f->type == VECDB_INT64 ? 3 : 2, v->as.integer);
  srv_pb_close(out, mark);
}

static void schema_put_field(struct pb_out *out, const struct milvus_open *open,
                             const vecdb_field *f, uint32_t id) {
  size_t mark = srv_pb_open(out, 4);
  bool json = milvus_is_json(open, f->name);
  const char *key = json_string_value(json_object_get(open->record, "partition_key"));
  srv_pb_number(out, 1, id);
  srv_pb_text(out, 2, f->name);
  srv_pb_number(out, 3, (f->flags & VECDB_PRIMARY_KEY) != 0);
  srv_pb_text(out, 4, f->description ? f->description : "");
  srv_pb_number(out, 5, json ? MILVUS_JSON : srv_milvus_type_number(f->type));
  schema_put_param(out, "dim", f->dim);
  schema_put_param(out, "max_length", json ? 0 : f->max_length);
  schema_put_param(out, "max_capacity", f->max_capacity);
  if (open->auto_id && (f->flags & VECDB_PRIMARY_KEY))
    srv_pb_number(out, 8, 1);
  if (f->type == VECDB_ARRAY)
    srv_pb_number(out, 10, srv_milvus_type_number(f->element_type));
  if (f->flags & VECDB_HAS_DEFAULT)
    schema_put_default(out, f);
  if (key && strcmp(key, f->name) == 0)
    srv_pb_number(out, 13, 1);
  if (f->flags & VECDB_NULLABLE)
    srv_pb_number(out, 15, 1);
  srv_pb_close(out, mark);
}

bool milvus_hidden(const char *field) {
  return strcmp(field, MILVUS_DYNAMIC) == 0 || strcmp(field, MILVUS_PARTITION) == 0 ||
         strcmp(field, MILVUS_WRITTEN) == 0;
}

bool milvus_is_json(const struct milvus_open *open, const char *field) {
  const vecdb_field *own = srv_schema_field(open->schema, field);
  if (own && own->type == VECDB_JSON)
    return true;
  json_t *fields = json_object_get(open->record, "json");
  for (size_t i = 0; i < json_array_size(fields); i++)
    if (strcmp(json_string_value(json_array_get(fields, i)), field) == 0)
      return true;
  return strcmp(field, MILVUS_DYNAMIC) == 0;
}

void milvus_schema_write(struct milvus *m, uint32_t number, const struct milvus_open *open) {
  struct pb_out *out = &m->out;
  size_t mark = srv_pb_open(out, number);
  srv_pb_text(out, 1, open->name);
  srv_pb_text(out, 2, open->schema->description ? open->schema->description : "");
  for (uint32_t i = 0; i < open->schema->n_fields; i++)
    if (!milvus_hidden(open->schema->fields[i].name))
      schema_put_field(out, open, &open->schema->fields[i], SCHEMA_FIRST_ID + i);
  if (open->dynamic)
    srv_pb_number(out, 5, 1);
  srv_pb_close(out, mark);
}
