/*
 * schema_codec.c - schemas to bytes and back. Little-endian:
 *   text description, u32 n_fields, then per field:
 *     text name, text description, u32 type, element_type, flags, dim, max_length, max_capacity,
 *     metric, scalar_index, index parameters (base/params.h);
 *     with VECDB_HAS_DEFAULT: u32 n, n bytes of the value in column form
 *   and since format 4: u32 next_id, per field u32 id, u32 place of the expiry plus one or 0,
 *   u64 ttl_ms; before it, the ids are the places
 *   and since format 5: u32 vectors that take pushes, each by rising place: u32 place, i32 kind,
 *   u32 window, unit, f32 rate, beta1, beta2, epsilon, u32 ids of the version and of the state
 *   hidden fields are not written, but made again
 *   and since format 6, fields may be of JSON
 *   and since format 8: u32 indexes of JSON paths, by rising place: u32 place, u32 id, u32 type,
 *   text path
 *   a text is u32 n, n bytes, a NUL
 * Decoding rebuilds a caller's schema and puts it through the same checks as one.
 */
#include "attr/optimizer.h"
#include "attr/schema.h"
#include "attr/value.h"
#include "base/params.h"

enum {
  SCHEMA_CODEC_NUMBERS = 8, /* u32s of a field */
  /* the least bytes of one */
  SCHEMA_CODEC_FIELD = 2 * 5 + SCHEMA_CODEC_NUMBERS * 4 + VDB_PARAMS_BYTES,
  SCHEMA_CODEC_LEARN = 10 * 4,
  SCHEMA_CODEC_PATH = 3 * 4 + 5
};

static void schema_codec_put_text(struct vdb_writer *out, const char *text) {
  size_t n = strlen(text);
  vdb_write_u32(out, (uint32_t)n);
  vdb_write_bytes(out, text, n + 1);
}

static void schema_codec_put_learn(const struct vdb_schema *schema, struct vdb_writer *out) {
  vdb_write_u32(out, (schema->n_fields - schema->n_public) / 2);
  for (uint32_t i = 0; i < schema->n_public; i++) {
    const struct vdb_learn *learn = &schema->fields[i].learn;
    const vecdb_optimizer *rule = &learn->rule;
    const uint32_t numbers[] = {i, (uint32_t)rule->kind, rule->window, rule->unit};
    const float factors[] = {rule->rate, rule->beta1, rule->beta2, rule->epsilon};
    const uint32_t ids[] = {learn->version_id, learn->state_id};
    if (rule->size == 0)
      continue;
    vdb_write_bytes(out, numbers, sizeof numbers);
    vdb_write_bytes(out, factors, sizeof factors);
    vdb_write_bytes(out, ids, sizeof ids);
  }
}

VDB_INTERNAL void vdb_schema_encode(const struct vdb_schema *schema, struct vdb_writer *out) {
  schema_codec_put_text(out, schema->description);
  vdb_write_u32(out, schema->n_public);
  for (uint32_t i = 0; i < schema->n_public; i++) {
    const struct vdb_field *f = &schema->fields[i];
    schema_codec_put_text(out, f->name);
    schema_codec_put_text(out, f->description);
    const uint32_t numbers[SCHEMA_CODEC_NUMBERS] = {
        (uint32_t)f->type, (uint32_t)f->element_type, f->flags,
        f->dim,            f->max_length,             f->max_capacity,
        (uint32_t)f->metric, (uint32_t)f->scalar_index};
    vdb_write_bytes(out, numbers, sizeof numbers);
    vdb_params_write(out, &f->index);
    if (!(f->flags & VECDB_HAS_DEFAULT))
      continue;
    size_t n = vdb_value_bytes(&f->default_value);
    vdb_write_u32(out, (uint32_t)n);
    uint8_t *p = vdb_write_space(out, n);
    if (p)
      vdb_value_put(&f->default_value, p);
  }
  vdb_write_u32(out, schema->next_id);
  for (uint32_t i = 0; i < schema->n_public; i++)
    vdb_write_u32(out, schema->fields[i].id);
  vdb_write_u32(out, schema->expiry);
  vdb_write_u64(out, schema->ttl_ms);
  schema_codec_put_learn(schema, out);
  vdb_write_u32(out, schema->n_paths);
  for (uint32_t i = 0; i < schema->n_paths; i++) {
    const struct vdb_json_path *path = &schema->paths[i];
    const uint32_t path_numbers[] = {path->field, path->id, (uint32_t)path->type};
    vdb_write_bytes(out, path_numbers, sizeof path_numbers);
    schema_codec_put_text(out, path->text);
  }
}

static const char *schema_codec_text(struct vdb_reader *in) {
  uint32_t n = vdb_read_u32(in);
  const char *text = vdb_read_bytes(in, (size_t)n + 1);
  if (!text || memchr(text, '\0', (size_t)n + 1) != text + n) {
    in->bad = true;
    return "";
  }
  return text;
}

/* What decoding holds besides the bytes. */
struct schema_codec {
  struct vdb_mem *mem;
  vecdb_field *fields;
  vecdb_string **strings; /* per field: elements of a default ARRAY of VARCHAR, or NULL */
};

/* Reads the default value of field i; bytes that do not fit its type make the reader bad. */
static int schema_codec_default(struct schema_codec *c, uint32_t i, struct vdb_reader *in,
                                vecdb_error *err) {
  vecdb_field *f = &c->fields[i];
  struct vdb_bytes bytes;
  bytes.n = vdb_read_u32(in);
  bytes.data = vdb_read_bytes(in, bytes.n);
  uint32_t width = vdb_type_width(f->type);
  bool array = f->type == VECDB_ARRAY;
  if (in->bad || vdb_type_is_vector(f->type) || (width && bytes.n != width) ||
      (vdb_type_is_text(f->type) && bytes.n > VECDB_MAX_VARCHAR) ||
      (array && !vdb_array_valid(bytes, f->element_type)) ||
      (f->type == VECDB_BOOL && bytes.data[0] > 1)) {
    in->bad = true;
    return VECDB_OK;
  }
  if (array && f->element_type == VECDB_VARCHAR) {
    c->strings[i] = vdb_alloc_array(c->mem, vdb_array_count(bytes), sizeof(vecdb_string));
    if (!c->strings[i])
      return vdb_fail_memory(err);
  }
  struct vdb_column column = {0};
  column.refs = &bytes;
  column.type = f->type;
  column.element_type = f->element_type;
  f->default_value = vdb_column_value(&column, 0, c->strings[i]);
  return VECDB_OK;
}

static bool schema_codec_scalar(int32_t type) { return type >= VECDB_BOOL && type <= VECDB_JSON; }

static int schema_codec_field(struct schema_codec *c, uint32_t i, struct vdb_reader *in,
                              vecdb_error *err) {
  vecdb_field *f = &c->fields[i];
  f->name = schema_codec_text(in);
  f->description = schema_codec_text(in);
  f->type = (int32_t)vdb_read_u32(in);
  f->element_type = (int32_t)vdb_read_u32(in);
  f->flags = vdb_read_u32(in);
  f->dim = vdb_read_u32(in);
  f->max_length = vdb_read_u32(in);
  f->max_capacity = vdb_read_u32(in);
  f->metric = (int32_t)vdb_read_u32(in);
  f->scalar_index = (int32_t)vdb_read_u32(in);
  f->index.size = sizeof f->index;
  vdb_params_read(in, &f->index);
  if (!(f->flags & VECDB_HAS_DEFAULT))
    return VECDB_OK;
  if (in->bad || !schema_codec_scalar(f->type)) {
    in->bad = true;
    return VECDB_OK;
  }
  return schema_codec_default(c, i, in, err);
}

static int schema_codec_read(struct schema_codec *c, struct vdb_reader *in, vecdb_schema *from,
                             vecdb_error *err) {
  from->description = schema_codec_text(in);
  from->n_fields = vdb_read_count(in, SCHEMA_CODEC_FIELD);
  if (in->bad || from->n_fields > VECDB_MAX_FIELDS)
    return vdb_fail(err, VECDB_ERR_CORRUPT, "a stored schema is cut or has too many fields");
  c->fields = vdb_alloc_zero(c->mem, from->n_fields * sizeof *c->fields);
  c->strings = vdb_alloc_zero(c->mem, from->n_fields * sizeof *c->strings);
  if (!c->fields || !c->strings)
    return vdb_fail_memory(err);
  from->fields = c->fields;
  for (uint32_t i = 0; i < from->n_fields && !in->bad; i++)
    VDB_TRY(schema_codec_field(c, i, in, err));
  return in->bad ? vdb_fail(err, VECDB_ERR_CORRUPT, "a stored schema has the wrong length")
                 : VECDB_OK;
}

/* What follows the fields. */
struct schema_codec_tail {
  uint32_t next_id;
  uint32_t ids[VECDB_MAX_FIELDS];
  uint32_t expiry;
  uint64_t ttl_ms;
  struct vdb_learn learn[VECDB_MAX_FIELDS];
  uint32_t n_paths;
  vecdb_json_index paths[VECDB_MAX_JSON_INDEXES];
  uint32_t path_ids[VECDB_MAX_JSON_INDEXES];
};

/* One vector that takes pushes; false: it makes no sense. Places rise from `least` on. */
static bool schema_codec_learn(struct schema_codec_tail *t, const vecdb_schema *from,
                               uint32_t *least, struct vdb_reader *in) {
  uint32_t place = vdb_read_u32(in);
  vecdb_optimizer rule = VECDB_OPTIMIZER_INIT;
  float *const factors[] = {&rule.rate, &rule.beta1, &rule.beta2, &rule.epsilon};
  vecdb_error ignored;
  rule.kind = (int32_t)vdb_read_u32(in);
  rule.window = vdb_read_u32(in);
  rule.unit = vdb_read_u32(in);
  for (size_t i = 0; i < VDB_COUNT(factors); i++) {
    uint32_t bits = vdb_read_u32(in);
    memcpy(factors[i], &bits, sizeof bits);
  }
  if (in->bad || place < *least || place >= from->n_fields ||
      from->fields[place].type != VECDB_FLOAT_VECTOR)
    return false;
  struct vdb_learn *learn = &t->learn[place];
  learn->version_id = vdb_read_u32(in);
  learn->state_id = vdb_read_u32(in);
  *least = place + 1;
  return vdb_optimizer_fill(&rule, &learn->rule, &ignored) == VECDB_OK &&
         memcmp(&rule, &learn->rule, sizeof rule) == 0;
}

/* The indexes of JSON paths, as a caller gives them. */
static void schema_codec_read_paths(struct schema_codec_tail *t, vecdb_field *fields,
                                    uint32_t n_fields, struct vdb_reader *in) {
  uint32_t n = vdb_read_count(in, SCHEMA_CODEC_PATH), last = 0;
  in->bad = in->bad || n > VECDB_MAX_JSON_INDEXES;
  for (uint32_t i = 0; i < n && !in->bad; i++) {
    uint32_t place = vdb_read_u32(in);
    t->path_ids[i] = vdb_read_u32(in);
    t->paths[i].type = (int32_t)vdb_read_u32(in);
    t->paths[i].path = schema_codec_text(in);
    in->bad = in->bad || place < last || place >= n_fields;
    if (in->bad)
      return;
    vecdb_field *f = &fields[place];
    f->json_indexes = f->n_json_indexes++ ? f->json_indexes : &t->paths[i];
    last = place;
    t->n_paths = i + 1;
  }
}

/* Reads the tail; the reader is bad when it makes no sense. */
static void schema_codec_read_tail(struct schema_codec_tail *t, const vecdb_schema *from,
                                   vecdb_field *fields, struct vdb_reader *in) {
  t->next_id = from->n_fields;
  for (uint32_t i = 0; i < from->n_fields; i++)
    t->ids[i] = i;
  if (vdb_reader_left(in) == 0)
    return; /* an older format */
  t->next_id = vdb_read_u32(in);
  for (uint32_t i = 0; i < from->n_fields; i++)
    t->ids[i] = vdb_read_u32(in);
  t->expiry = vdb_read_u32(in);
  t->ttl_ms = vdb_read_u64(in);
  uint32_t least = 0, n = vdb_reader_left(in) ? vdb_read_count(in, SCHEMA_CODEC_LEARN) : 0;
  for (uint32_t i = 0; i < n && !in->bad; i++)
    in->bad = !schema_codec_learn(t, from, &least, in);
  if (vdb_reader_left(in) && !in->bad)
    schema_codec_read_paths(t, fields, from->n_fields, in);
  if (vdb_reader_left(in))
    in->bad = true;
}

/* Puts the tail in force. False: it makes no sense. */
static bool schema_codec_end(const struct schema_codec_tail *t, struct vdb_schema *schema) {
  schema->next_id = t->next_id;
  schema->ttl_ms = t->ttl_ms;
  for (uint32_t i = 0; i < schema->n_public; i++)
    schema->fields[i].id = t->ids[i];
  for (uint32_t i = 0; i < schema->n_fields; i++) {
    if (schema->fields[i].id >= t->next_id)
      return false;
    for (uint32_t j = 0; j < i; j++)
      if (schema->fields[j].id == schema->fields[i].id)
        return false;
  }
  for (uint32_t i = 0; i < schema->n_paths; i++) {
    schema->paths[i].id = t->path_ids[i];
    if (t->path_ids[i] >= t->next_id || vdb_schema_by_id(schema, t->path_ids[i]) >= 0)
      return false;
    for (uint32_t j = 0; j < i; j++)
      if (t->path_ids[j] == t->path_ids[i])
        return false;
  }
  if (t->expiry > schema->n_public || t->ttl_ms > VDB_MAX_TTL_MS)
    return false;
  schema->expiry = t->expiry;
  return t->expiry == 0 || schema->fields[t->expiry - 1].type == VECDB_INT64;
}

static int schema_codec_make(struct vdb_mem *mem, const vecdb_schema *from, vecdb_field *fields,
                             struct vdb_reader *in, struct vdb_schema **out, vecdb_error *err) {
  vecdb_error why;
  struct schema_codec_tail *t = vdb_alloc_zero(mem, sizeof *t);
  if (!t)
    return vdb_fail_memory(err);
  schema_codec_read_tail(t, from, fields, in);
  int rc = vdb_schema_make(mem, from, t->learn, out, &why);
  if (rc == VECDB_ERR_NO_MEMORY)
    vdb_fail_memory(err);
  else if (rc)
    rc = vdb_fail(err, VECDB_ERR_CORRUPT, "a stored schema is not valid: %s", why.message);
  if (rc == VECDB_OK && (in->bad || !schema_codec_end(t, *out))) {
    vdb_schema_free(mem, *out);
    *out = NULL;
    rc = vdb_fail(err, VECDB_ERR_CORRUPT, "a stored schema ends in what makes no sense");
  }
  vdb_free(mem, t);
  return rc;
}

VDB_INTERNAL int vdb_schema_decode(struct vdb_mem *mem, const void *data, size_t n,
                                   struct vdb_schema **out, vecdb_error *err) {
  *out = NULL;
  struct schema_codec codec = {mem, NULL, NULL};
  struct vdb_reader in = vdb_reader_of(data, n);
  vecdb_schema from = VECDB_SCHEMA_INIT;
  int rc = schema_codec_read(&codec, &in, &from, err);
  if (rc == VECDB_OK)
    rc = schema_codec_make(mem, &from, codec.fields, &in, out, err);
  for (uint32_t i = 0; codec.strings && i < from.n_fields; i++)
    vdb_free(mem, codec.strings[i]);
  vdb_free(mem, codec.strings);
  vdb_free(mem, codec.fields);
  return rc;
}
