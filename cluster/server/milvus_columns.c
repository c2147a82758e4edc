/* milvus_columns.c - rows as results, into FieldData messages; see milvus.h. */
#include <string.h>

#include "server/json_rows.h"
#include "server/json_schema.h"
#include "server/milvus.h"

/* ---- Which fields ---------------------------------------------------------------------------- */

static bool fields_have(const struct milvus_fields *f, const char *name) {
  for (size_t i = 0; i < f->n; i++)
    if (strcmp(f->names[i], name) == 0)
      return true;
  return false;
}

static void fields_add(struct milvus_fields *f, const char *name, const char *asked) {
  if (asked)
    f->asked[f->n_asked++] = asked;
  if (!fields_have(f, name))
    f->names[f->n++] = name;
}

static void fields_all(const struct milvus_open *open, struct milvus_fields *out) {
  for (uint32_t i = 0; i < open->schema->n_fields; i++) {
    const char *name = open->schema->fields[i].name;
    bool dynamic = strcmp(name, MILVUS_DYNAMIC) == 0;
    if (!fields_have(out, name) && (dynamic || !milvus_hidden(name)))
      fields_add(out, name, dynamic ? MILVUS_DYNAMIC_NAME : name);
  }
}

bool milvus_fields_read(struct milvus *m, const struct milvus_open *open,
                        const struct pb_list *wanted, struct milvus_fields *out) {
  const char **texts = milvus_texts(m, wanted);
  size_t room = wanted->n + open->schema->n_fields;
  memset(out, 0, sizeof *out);
  out->names = srv_arena_array(&m->call->arena, room, sizeof *out->names);
  out->asked = srv_arena_array(&m->call->arena, room, sizeof *out->asked);
  if (!texts)
    return false;
  if (!out->names || !out->asked)
    return milvus_no_memory(m);
  for (size_t i = 0; i < wanted->n; i++) {
    bool own = srv_schema_field(open->schema, texts[i]) && !milvus_hidden(texts[i]);
    if (strcmp(texts[i], "*") == 0)
      fields_all(open, out);
    else if (own)
      fields_add(out, texts[i], texts[i]);
    else if (open->dynamic)
      fields_add(out, MILVUS_DYNAMIC, texts[i]);
    else
      return milvus_fail(m, SRV_MILVUS_ARGUMENT, "field %.255s not exist", texts[i]);
  }
  return true;
}

/* ---- Columns --------------------------------------------------------------------------------- */

/* A column of picked rows. */
struct columns_source {
  const struct engine_rows *rows;
  size_t column;
  const uint32_t *pick;
  size_t n;
};

static vecdb_value columns_value(const struct columns_source *s, size_t i) {
  return engine_rows_value(s->rows, s->pick ? s->pick[i] : i, s->column);
}

static void columns_integers(struct pb_out *out, const struct columns_source *s) {
  size_t mark = srv_pb_open(out, 1);
  for (size_t i = 0; i < s->n; i++) {
    vecdb_value v = columns_value(s, i);
    int64_t integer = v.type == VECDB_BOOL ? v.as.boolean : v.as.integer;
    srv_pb_varint(out, v.type ? (uint64_t)integer : 0);
  }
  srv_pb_close(out, mark);
}

static void columns_reals(struct pb_out *out, const struct columns_source *s, bool narrow) {
  size_t mark = srv_pb_open(out, 1);
  for (size_t i = 0; i < s->n; i++) {
    vecdb_value v = columns_value(s, i);
    double wide = v.type ? v.as.number : 0;
    float small = (float)wide;
    srv_pb_raw(out, narrow ? (const void *)&small : &wide, narrow ? sizeof small : sizeof wide);
  }
  srv_pb_close(out, mark);
}

static void columns_texts(struct pb_out *out, const struct columns_source *s, const char *null) {
  for (size_t i = 0; i < s->n; i++) {
    vecdb_value v = columns_value(s, i);
    if (v.type)
      srv_pb_bytes(out, 1, v.as.data, v.length);
    else
      srv_pb_text(out, 1, null);
  }
}

/* The field of ScalarField that holds values of a type. */
static uint32_t columns_number(int32_t type) {
  static const uint32_t numbers[] = {
      [VECDB_BOOL] = 1,   [VECDB_INT8] = 2,    [VECDB_INT16] = 2,
      [VECDB_INT32] = 2,  [VECDB_INT64] = 3, [VECDB_FLOAT] = 4,
      [VECDB_DOUBLE] = 5, [VECDB_VARCHAR] = 6, [VECDB_ARRAY] = 8,
  };
  return numbers[type];
}

/* An element of an array of numbers. */
static int64_t columns_integer(const void *data, int32_t type, size_t i) {
  switch (type) {
  case VECDB_BOOL:
    return ((const bool *)data)[i];
  case VECDB_INT8:
    return ((const int8_t *)data)[i];
  case VECDB_INT16:
    return ((const int16_t *)data)[i];
  case VECDB_INT32:
    return ((const int32_t *)data)[i];
  default:
    return ((const int64_t *)data)[i];
  }
}

static void columns_elements(struct pb_out *out, vecdb_value v) {
  const vecdb_string *texts = v.as.data;
  if (v.element_type == VECDB_VARCHAR) {
    for (size_t i = 0; i < v.length; i++)
      srv_pb_bytes(out, 1, texts[i].data, texts[i].length);
    return;
  }
  size_t mark = srv_pb_open(out, 1);
  if (v.element_type == VECDB_FLOAT || v.element_type == VECDB_DOUBLE)
    srv_pb_raw(out, v.as.data, v.length * (v.element_type == VECDB_FLOAT ? 4u : 8u));
  else
    for (size_t i = 0; i < v.length; i++)
      srv_pb_varint(out, (uint64_t)columns_integer(v.as.data, v.element_type, i));
  srv_pb_close(out, mark);
}

static void columns_arrays(struct pb_out *out, const struct columns_source *s,
                           const vecdb_field *field) {
  for (size_t i = 0; i < s->n; i++) {
    vecdb_value v = columns_value(s, i);
    size_t row = srv_pb_open(out, 1);
    size_t data = srv_pb_open(out, columns_number(field->element_type));
    if (v.type)
      columns_elements(out, v);
    srv_pb_close(out, data);
    srv_pb_close(out, row);
  }
  srv_pb_number(out, 2, srv_milvus_type_number(field->element_type));
}

static void columns_scalars(struct pb_out *out, const struct columns_source *s,
                            const vecdb_field *field, bool json) {
  bool dynamic = strcmp(field->name, MILVUS_DYNAMIC) == 0;
  size_t scalars = srv_pb_open(out, 3);
  size_t data = srv_pb_open(out, json ? 9 : columns_number(field->type));
  if (field->type == VECDB_ARRAY)
    columns_arrays(out, s, field);
  else if (srv_type_is_text(field->type))
    columns_texts(out, s, dynamic ? "{}" : "");
  else if (field->type == VECDB_FLOAT || field->type == VECDB_DOUBLE)
    columns_reals(out, s, field->type == VECDB_FLOAT);
  else
    columns_integers(out, s);
  srv_pb_close(out, data);
  srv_pb_close(out, scalars);
}

static bool columns_sparse(struct milvus *m, const struct columns_source *s) {
  vecdb_value *values = srv_arena_array(&m->call->arena, s->n, sizeof *values);
  if (!values)
    return milvus_no_memory(m);
  for (size_t i = 0; i < s->n; i++)
    values[i] = columns_value(s, i);
  size_t vectors = srv_pb_open(&m->out, 4);
  milvus_sparse_write(&m->out, values, s->n);
  srv_pb_close(&m->out, vectors);
  return true;
}

static void columns_vectors(struct pb_out *out, const struct columns_source *s,
                            const vecdb_field *field) {
  size_t vectors = srv_pb_open(out, 4), bytes = srv_value_bytes(field);
  static const uint32_t numbers[] = {2, 4, 5, 7, 3}; /* by type, from FLOAT_VECTOR */
  srv_pb_number(out, 1, field->dim);
  size_t data = srv_pb_open(out, numbers[field->type - VECDB_FLOAT_VECTOR]);
  size_t floats = field->type == VECDB_FLOAT_VECTOR ? srv_pb_open(out, 1) : 0;
  for (size_t i = 0; i < s->n; i++)
    srv_pb_raw(out, columns_value(s, i).as.data, bytes);
  if (floats)
    srv_pb_close(out, floats);
  srv_pb_close(out, data);
  srv_pb_close(out, vectors);
}

static void columns_one(struct milvus *m, uint32_t number, const struct milvus_open *open,
                        const vecdb_field *field, const struct engine_rows *rows,
                        const uint32_t *pick, size_t n) {
  struct pb_out *out = &m->out;
  int column = engine_rows_find(rows, field->name);
  struct columns_source s = {rows, column < 0 ? 0 : (size_t)column, pick, n};
  bool dynamic = strcmp(field->name, MILVUS_DYNAMIC) == 0;
  bool json = milvus_is_json(open, field->name);
  size_t mark = srv_pb_open(out, number);
  srv_pb_number(out, 1, json ? MILVUS_JSON : srv_milvus_type_number(field->type));
  srv_pb_text(out, 2, dynamic ? MILVUS_DYNAMIC_NAME : field->name);
  if (dynamic)
    srv_pb_number(out, 6, 1);
  if (field->type == VECDB_SPARSE_VECTOR)
    columns_sparse(m, &s);
  else if (srv_type_is_vector(field->type))
    columns_vectors(out, &s, field);
  else
    columns_scalars(out, &s, field, json);
  if ((field->flags & VECDB_NULLABLE) && !dynamic) {
    size_t valid = srv_pb_open(out, 7);
    for (size_t i = 0; i < n; i++)
      srv_pb_varint(out, columns_value(&s, i).type != 0);
    srv_pb_close(out, valid);
  }
  srv_pb_close(out, mark);
}

void milvus_columns_write(struct milvus *m, uint32_t number, const struct milvus_open *open,
                          const struct milvus_fields *fields, const struct engine_rows *rows,
                          const uint32_t *pick, size_t n) {
  for (size_t i = 0; i < fields->n; i++)
    columns_one(m, number, open, srv_schema_field(open->schema, fields->names[i]), rows, pick, n);
}
