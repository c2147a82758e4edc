/*
 * schema_codec.c - schemas to bytes and back. Little-endian:
 *   text description, u32 n_fields, then per field:
 *     text name, text description, u32 type, element_type, flags, dim, max_length, max_capacity,
 *     metric, scalar_index, index parameters (base/params.h);
 *     with VECDB_HAS_DEFAULT: u32 n, n bytes of the value in column form
 *   and since format 4: u32 next_id, per field u32 id, u32 place of the expiry plus one or 0,
 *   u64 ttl_ms; before it, the ids are the places
 *   a text is u32 n, n bytes, a NUL
 * Decoding rebuilds a caller's schema and puts it through the same checks as one.
 */
#include "attr/schema.h"
#include "attr/value.h"
#include "base/params.h"

enum {
  SCHEMA_CODEC_NUMBERS = 8, /* u32s of a field */
  /* the least bytes of one */
  SCHEMA_CODEC_FIELD = 2 * 5 + SCHEMA_CODEC_NUMBERS * 4 + VDB_PARAMS_BYTES
};

static void schema_codec_put_text(struct vdb_writer *out, const char *text) {
  size_t n = strlen(text);
  vdb_write_u32(out, (uint32_t)n);
  vdb_write_bytes(out, text, n + 1);
}

VDB_INTERNAL void vdb_schema_encode(const struct vdb_schema *schema, struct vdb_writer *out) {
  schema_codec_put_text(out, schema->description);
  vdb_write_u32(out, schema->n_fields);
  for (uint32_t i = 0; i < schema->n_fields; i++) {
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
  for (uint32_t i = 0; i < schema->n_fields; i++)
    vdb_write_u32(out, schema->fields[i].id);
  vdb_write_u32(out, schema->expiry);
  vdb_write_u64(out, schema->ttl_ms);
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
      (f->type == VECDB_VARCHAR && bytes.n > VECDB_MAX_VARCHAR) ||
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

static bool schema_codec_scalar(int32_t type) { return type >= VECDB_BOOL && type <= VECDB_ARRAY; }

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

/* What follows the fields. False: it makes no sense. */
static bool schema_codec_tail(struct vdb_schema *schema, struct vdb_reader *in) {
  if (vdb_reader_left(in) == 0)
    return true; /* an older format */
  schema->next_id = vdb_read_u32(in);
  for (uint32_t i = 0; i < schema->n_fields; i++) {
    uint32_t id = schema->fields[i].id = vdb_read_u32(in);
    if (id >= schema->next_id)
      return false;
    for (uint32_t j = 0; j < i; j++)
      if (schema->fields[j].id == id)
        return false;
  }
  uint32_t expiry = vdb_read_u32(in);
  schema->ttl_ms = vdb_read_u64(in);
  if (in->bad || vdb_reader_left(in) || expiry > schema->n_fields ||
      schema->ttl_ms > VDB_MAX_TTL_MS)
    return false;
  schema->expiry = expiry;
  return expiry == 0 || schema->fields[expiry - 1].type == VECDB_INT64;
}

VDB_INTERNAL int vdb_schema_decode(struct vdb_mem *mem, const void *data, size_t n,
                                   struct vdb_schema **out, vecdb_error *err) {
  *out = NULL;
  struct schema_codec codec = {mem, NULL, NULL};
  struct vdb_reader in = vdb_reader_of(data, n);
  vecdb_schema from = VECDB_SCHEMA_INIT;
  vecdb_error why;
  int rc = schema_codec_read(&codec, &in, &from, err);
  if (rc == VECDB_OK) {
    rc = vdb_schema_new(mem, &from, out, &why);
    if (rc == VECDB_ERR_NO_MEMORY)
      vdb_fail_memory(err);
    else if (rc)
      rc = vdb_fail(err, VECDB_ERR_CORRUPT, "a stored schema is not valid: %s", why.message);
  }
  if (rc == VECDB_OK && !schema_codec_tail(*out, &in)) {
    vdb_schema_free(mem, *out);
    *out = NULL;
    rc = vdb_fail(err, VECDB_ERR_CORRUPT, "a stored schema ends in what makes no sense");
  }
  for (uint32_t i = 0; codec.strings && i < from.n_fields; i++)
    vdb_free(mem, codec.strings[i]);
  vdb_free(mem, codec.strings);
  vdb_free(mem, codec.fields);
  return rc;
}
