/*
 * filter_fixture.h - what the tests of filters share: a schema with a field of every type, random
 * rows with nulls as plain C values and as columns, and indexes over them.
 */
#ifndef FILTER_FIXTURE_H
#define FILTER_FIXTURE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attr/filter.h"
#include "base/bitmap.h"
#include "base/rng.h"

#define FX_UNUSED __attribute__((unused))
#define FX_CHECK(x) ((x) ? (void)0 : abort())

enum fx_field_name {
  FX_ID,
  FX_FLAG,
  FX_I8,
  FX_I16,
  FX_I32,
  FX_I64,
  FX_F,
  FX_D,
  FX_S,
  FX_T,
  FX_AB,
  FX_AI,
  FX_AL,
  FX_AF,
  FX_AD,
  FX_AS,
  FX_V,
  FX_J,
  FX_FIELDS
};

static struct vdb_field fx_fields[FX_FIELDS] = {
    [FX_ID] = {.name = "id", .type = VECDB_INT64, .width = 8, .flags = VECDB_PRIMARY_KEY},
    [FX_FLAG] = {.name = "flag", .type = VECDB_BOOL, .width = 1, .flags = VECDB_NULLABLE},
    [FX_I8] = {.name = "i8", .type = VECDB_INT8, .width = 1, .flags = VECDB_NULLABLE},
    [FX_I16] = {.name = "i16", .type = VECDB_INT16, .width = 2},
    [FX_I32] = {.name = "i32", .type = VECDB_INT32, .width = 4, .flags = VECDB_NULLABLE},
    [FX_I64] = {.name = "i64", .type = VECDB_INT64, .width = 8, .flags = VECDB_NULLABLE},
    [FX_F] = {.name = "f", .type = VECDB_FLOAT, .width = 4, .flags = VECDB_NULLABLE},
    [FX_D] = {.name = "d", .type = VECDB_DOUBLE, .width = 8, .flags = VECDB_NULLABLE},
    [FX_S] = {.name = "s", .type = VECDB_VARCHAR, .flags = VECDB_NULLABLE, .max_length = 64},
    [FX_T] = {.name = "title", .type = VECDB_VARCHAR, .max_length = 64},
    [FX_AB] = {.name = "ab", .type = VECDB_ARRAY, .element_type = VECDB_BOOL},
    [FX_AI] = {.name = "ai", .type = VECDB_ARRAY, .element_type = VECDB_INT8},
    [FX_AL] = {.name = "al",
               .type = VECDB_ARRAY,
               .element_type = VECDB_INT64,
               .flags = VECDB_NULLABLE},
    [FX_AF] = {.name = "af", .type = VECDB_ARRAY, .element_type = VECDB_FLOAT},
    [FX_AD] = {.name = "ad", .type = VECDB_ARRAY, .element_type = VECDB_DOUBLE},
    [FX_AS] = {.name = "tags",
               .type = VECDB_ARRAY,
               .element_type = VECDB_VARCHAR,
               .flags = VECDB_NULLABLE},
    [FX_J] = {.name = "j", .type = VECDB_JSON, .flags = VECDB_NULLABLE, .max_length = 64},
    [FX_V] = {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = 4, .width = 16},
};

static const struct vdb_schema fx_schema = {.description = "",
                                            .fields = fx_fields,
                                            .n_fields = FX_FIELDS,
                                            .n_public = FX_FIELDS,
                                            .key = FX_ID};

/* A plain value. Numbers of FLOAT fields are floats in `number`. */
struct fx_value {
  bool null;
  bool real; /* number, else integer (also BOOL) */
  bool is_text;
  int64_t integer;
  double number;
  char text[24];
  struct fx_value *elements; /* ARRAY */
  uint32_t n_elements;
};

struct fx_rows {
  size_t n;
  struct fx_value *values; /* n of field 0, n of field 1, ... */
  struct vdb_column columns[FX_FIELDS];
  void *blocks[FX_FIELDS * 4]; /* what the columns lie in */
  size_t n_blocks;
};

static const struct fx_value *fx_at(const struct fx_rows *rows, unsigned field, size_t row) {
  return &rows->values[field * rows->n + row];
}

/* ---- Random values ------------------------------------------------------------------------------
 */

static int64_t fx_random_int(struct vdb_rng *rng, int32_t type) {
  static const int64_t edges[] = {INT64_MIN,
                                  INT64_MIN + 1,
                                  INT64_MAX,
                                  INT64_MAX - 1,
                                  (int64_t)1 << 53,
                                  ((int64_t)1 << 53) + 1,
                                  -((int64_t)1 << 53) - 1,
                                  255,
                                  256,
                                  -129,
                                  32768,
                                  -32769,
                                  2147483648,
                                  -2147483649};
  int64_t v = (int64_t)vdb_rng_below(rng, 21) - 10;
  if (vdb_rng_below(rng, 4) == 0)
    v = edges[vdb_rng_below(rng, VDB_COUNT(edges))];
  if (vdb_rng_below(rng, 8) == 0)
    v = (int64_t)vdb_rng_next(rng);
  switch (type) {
  case VECDB_BOOL:
    return v & 1;
  case VECDB_INT8:
    return (int8_t)v;
  case VECDB_INT16:
    return (int16_t)v;
  case VECDB_INT32:
    return (int32_t)v;
  default:
    return v;
  }
}

static double fx_random_number(struct vdb_rng *rng) {
  static const double edges[] = {0.1,
                                 -0.1,
                                 0.5,
                                 1e300,
                                 -1e300,
                                 1e-300,
                                 0x1p63,
                                 -0x1p63,
                                 0x1p53,
                                 9007199254740994.0,
                                 -0.0,
                                 0.0,
                                 1e10,
                                 3.4028234663852886e38,
                                 1e39,
                                 -1e39,
                                 0.30000000000000004,
                                 5e-324,
                                 16777217};
  switch (vdb_rng_below(rng, 4)) {
  case 0:
    return edges[vdb_rng_below(rng, VDB_COUNT(edges))];
  case 1:
    return (double)fx_random_int(rng, VECDB_INT64);
  case 2:
    return (double)((int)vdb_rng_below(rng, 41) - 20) / 4;
  default:
    return (double)((int)vdb_rng_below(rng, 41) - 20) / 10;
  }
}

/* Pieces of a few letters, of wildcards and of characters of two to four bytes. */
static void fx_random_text(struct vdb_rng *rng, char out[24]) {
  static const char *const parts[] = {"a",
                                      "a",
                                      "b",
                                      "ab",
                                      "c",
                                      "%",
                                      "_",
                                      "\\",
                                      "\"",
                                      "'",
                                      "\xc3\xa9",
                                      "\xe2\x82\xac",
                                      "\xf0\x9f\x98\x80",
                                      "\n",
                                      " ",
                                      "a"};
  out[0] = '\0';
  for (uint32_t n = vdb_rng_below(rng, 6); n > 0; n--)
    strcat(out, parts[vdb_rng_below(rng, vdb_rng_below(rng, 3) ? 5 : 16)]);
}

static void fx_random_json(struct vdb_rng *rng, char out[24]) {
  static const char *const texts[] = {"{}",           "{\"a\":1}",          "{\"a\":\"ab\"}",
                                      "{\"a\":null}", "{\"a\":[1,\"a\",3]}", "{\"a\":{\"b\":2.5}}",
                                      "[1,true,\"a\"]", "-7",               "\"a\\\"b\"",
                                      "{\"\":0,\"a\":true}"};
  snprintf(out, 24, "%s", texts[vdb_rng_below(rng, VDB_COUNT(texts))]);
}

static void fx_random_value(struct vdb_rng *rng, int32_t type, struct fx_value *v) {
  memset(v, 0, sizeof *v);
  if (type == VECDB_JSON) {
    v->is_text = true;
    fx_random_json(rng, v->text);
  } else if (type == VECDB_VARCHAR) {
    v->is_text = true;
    fx_random_text(rng, v->text);
  } else if (type == VECDB_FLOAT || type == VECDB_DOUBLE) {
    v->real = true;
    do {
      v->number = fx_random_number(rng);
      if (type == VECDB_FLOAT)
        v->number = (double)(float)v->number;
    } while (!(v->number - v->number == 0));
  } else {
    v->integer = fx_random_int(rng, type);
  }
}

/* ---- Columns ------------------------------------------------------------------------------------
 */

static void *fx_block(struct fx_rows *rows, size_t size) {
  void *block = calloc(1, size ? size : 1);
  FX_CHECK(block);
  rows->blocks[rows->n_blocks++] = block;
  return block;
}

static void fx_put(uint8_t *out, int32_t type, const struct fx_value *v) {
  int8_t i8 = (int8_t)v->integer;
  int16_t i16 = (int16_t)v->integer;
  int32_t i32 = (int32_t)v->integer;
  float f32 = (float)v->number;
  if (type == VECDB_BOOL || type == VECDB_INT8)
    memcpy(out, &i8, 1);
  else if (type == VECDB_INT16)
    memcpy(out, &i16, 2);
  else if (type == VECDB_INT32)
    memcpy(out, &i32, 4);
  else if (type == VECDB_INT64)
    memcpy(out, &v->integer, 8);
  else if (type == VECDB_FLOAT)
    memcpy(out, &f32, 4);
  else
    memcpy(out, &v->number, 8);
}

/* Bytes of a variable value in column form; out may be NULL. */
static size_t fx_encode(const struct vdb_field *field, const struct fx_value *v, uint8_t *out) {
  if (v->null)
    return 0;
  if (vdb_type_is_text(field->type)) {
    if (out)
      memcpy(out, v->text, strlen(v->text));
    return strlen(v->text);
  }
  size_t n = 4, width = vdb_type_width(field->element_type);
  if (out)
    memcpy(out, &v->n_elements, 4);
  for (uint32_t i = 0; i < v->n_elements; i++, n += width ? width : 4) {
    uint32_t length = (uint32_t)strlen(v->elements[i].text);
    if (out && width)
      fx_put(out + n, field->element_type, &v->elements[i]);
    else if (out)
      memcpy(out + n, &length, 4);
  }
  for (uint32_t i = 0; !width && i < v->n_elements; i++) {
    size_t length = strlen(v->elements[i].text);
    if (out)
      memcpy(out + n, v->elements[i].text, length);
    n += length;
  }
  return n;
}

/* Columns for the values; every other variable column is made of refs instead of offsets. */
static void fx_build_column(struct fx_rows *rows, unsigned f, bool refs) {
  const struct vdb_field *field = &fx_fields[f];
  struct vdb_column *c = &rows->columns[f];
  c->type = field->type;
  c->element_type = field->element_type;
  c->width = field->width;
  size_t total = 0, n = rows->n;
  for (size_t i = 0; i < n; i++)
    total += field->width ? field->width : fx_encode(field, fx_at(rows, f, i), NULL);
  uint8_t *data = fx_block(rows, total), *at = data;
  uint64_t *offsets = fx_block(rows, (n + 1) * sizeof *offsets);
  struct vdb_bytes *views = refs ? fx_block(rows, n * sizeof *views) : NULL;
  uint8_t *nulls = field->flags & VECDB_NULLABLE ? fx_block(rows, n) : NULL;
  for (size_t i = 0; i < n; i++) {
    const struct fx_value *v = fx_at(rows, f, i);
    if (nulls)
      nulls[i] = v->null;
    if (field->width && !vdb_type_is_vector(field->type) && !v->null)
      fx_put(at, field->type, v);
    size_t size = field->width ? field->width : fx_encode(field, v, at);
    if (views) {
      views[i].data = size ? at : NULL;
      views[i].n = size;
    }
    at += size;
    offsets[i + 1] = (uint64_t)(at - data);
  }
  c->data = data;
  c->nulls = nulls;
  if (!field->width) {
    c->offsets = refs ? NULL : offsets;
    c->refs = views;
  }
}

static FX_UNUSED void fx_rows_init(struct fx_rows *rows, size_t n, uint64_t seed) {
  struct vdb_rng rng = {seed};
  memset(rows, 0, sizeof *rows);
  rows->n = n;
  rows->values = calloc(n * FX_FIELDS + 1, sizeof *rows->values);
  FX_CHECK(rows->values);
  for (unsigned f = 0; f < FX_FIELDS; f++) {
    const struct vdb_field *field = &fx_fields[f];
    for (size_t i = 0; i < n; i++) {
      struct fx_value *v = &rows->values[f * n + i];
      fx_random_value(&rng, field->type, v);
      v->null = field->flags & VECDB_NULLABLE && vdb_rng_below(&rng, 5) == 0;
      if (field->type != VECDB_ARRAY || v->null)
        continue;
      v->n_elements = vdb_rng_below(&rng, 5);
      v->elements = calloc(v->n_elements + 1, sizeof *v->elements);
      FX_CHECK(v->elements);
      for (uint32_t k = 0; k < v->n_elements; k++)
        fx_random_value(&rng, field->element_type, &v->elements[k]);
    }
    fx_build_column(rows, f, seed % 2);
  }
}

static FX_UNUSED void fx_rows_fini(struct fx_rows *rows) {
  for (size_t i = 0; i < rows->n * FX_FIELDS; i++)
    free(rows->values[i].elements);
  for (size_t i = 0; i < rows->n_blocks; i++)
    free(rows->blocks[i]);
  free(rows->values);
}

/* ---- Indexes ------------------------------------------------------------------------------------
 */

struct fx_section {
  uint32_t tag;
  uint32_t number;
  uint8_t *data;
  size_t n;
};

/* Sections in memory. */
struct fx_store {
  struct vdb_sect_writer writer;
  struct vdb_sect_reader reader;
  struct fx_section sections[256];
  size_t n;
  struct vdb_attr_index *indexes[FX_FIELDS];
};

static int fx_begin(struct vdb_sect_writer *w, uint32_t tag, uint32_t number, vecdb_error *err) {
  struct fx_store *store = (struct fx_store *)(void *)w;
  (void)err;
  FX_CHECK(store->n < 256);
  struct fx_section section = {tag, number, NULL, 0};
  store->sections[store->n++] = section;
  return VECDB_OK;
}

static int fx_append(struct vdb_sect_writer *w, const void *data, size_t n, vecdb_error *err) {
  struct fx_store *store = (struct fx_store *)(void *)w;
  struct fx_section *s = &store->sections[store->n - 1];
  (void)err;
  void *grown = aligned_alloc(64, (s->n + n + 127) / 64 * 64);
  FX_CHECK(grown);
  if (s->n)
    memcpy(grown, s->data, s->n);
  free(s->data);
  s->data = grown;
  if (n)
    memcpy(s->data + s->n, data, n);
  s->n += n;
  return VECDB_OK;
}

static int fx_end(struct vdb_sect_writer *w, vecdb_error *err) {
  (void)w;
  (void)err;
  return VECDB_OK;
}

static int fx_find(const struct vdb_sect_reader *r, uint32_t tag, uint32_t number, bool bulk,
                   const void **data, size_t *n, vecdb_error *err) {
  const struct fx_store *store =
      (const struct fx_store *)(const void *)((const char *)r - offsetof(struct fx_store, reader));
  (void)bulk;
  (void)err;
  *data = NULL;
  *n = 0;
  for (size_t i = 0; i < store->n; i++)
    if (store->sections[i].tag == tag && store->sections[i].number == number) {
      *data = store->sections[i].data;
      *n = store->sections[i].n;
    }
  return VECDB_OK;
}

static FX_UNUSED void fx_store_init_empty(struct fx_store *store) {
  memset(store, 0, sizeof *store);
  store->writer.begin = fx_begin;
  store->writer.append = fx_append;
  store->writer.end = fx_end;
  store->reader.find = fx_find;
}

/* Indexes over the scalar fields, of both kinds and some fields without. */
static FX_UNUSED void fx_store_init(struct fx_store *store, struct vdb_mem *mem,
                                    const struct fx_rows *rows, uint64_t seed) {
  struct vdb_rng rng = {seed};
  vecdb_error err;
  fx_store_init_empty(store);
  for (uint32_t f = 0; f < FX_AB; f++) {
    int32_t kind = (int32_t)vdb_rng_below(&rng, 4);
    if (kind == VECDB_SCALAR_INDEX_NONE)
      continue;
    struct vdb_attr_index_build build = {.mem = mem, .column = &rows->columns[f], .n = rows->n,
                                         .kind = kind, .out = &store->writer, .number = f};
    FX_CHECK(vdb_attr_index_build(&build, &err) == VECDB_OK);
    FX_CHECK(vdb_attr_index_open(mem, &store->reader, f, &fx_fields[f], rows->n, &store->indexes[f],
                                 &err) == VECDB_OK);
  }
}

static FX_UNUSED void fx_store_fini(struct fx_store *store, struct vdb_mem *mem) {
  for (uint32_t f = 0; f < FX_FIELDS; f++)
    vdb_attr_index_close(mem, store->indexes[f]);
  for (size_t i = 0; i < store->n; i++)
    free(store->sections[i].data);
}

#endif
