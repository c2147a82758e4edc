/*
 * attr_gen.h - what the tests of lib/attr share: random valid schemas, values and batches in all
 * the forms a caller may give them, comparison of values, and sections in memory. Whatever is
 * generated lives until gen_free.
 */
#ifndef ATTR_GEN_H
#define ATTR_GEN_H

#include <float.h>
#include <stdio.h>
#include <stdlib.h>

#include "attr/batch.h"
#include "base/rng.h"

enum { GEN_MAX_FIELDS = 24 };

struct gen {
  struct vdb_rng rng;
  void **blocks;
  size_t n_blocks;
};

static inline void *gen_take(struct gen *g, size_t n) {
  void *block = calloc(1, n + !n);
  g->blocks = realloc(g->blocks, (g->n_blocks + 1) * sizeof *g->blocks);
  if (!block || !g->blocks)
    abort();
  g->blocks[g->n_blocks++] = block;
  return block;
}

static inline void gen_free(struct gen *g) {
  for (size_t i = 0; i < g->n_blocks; i++)
    free(g->blocks[i]);
  free(g->blocks);
  g->blocks = NULL;
  g->n_blocks = 0;
}

static inline uint32_t gen_below(struct gen *g, uint32_t n) { return vdb_rng_below(&g->rng, n); }
static inline bool gen_one_in(struct gen *g, uint32_t n) { return gen_below(g, n) == 0; }

/* ---- Values -----------------------------------------------------------------------------------
   */

/* Text of at most `most` bytes: often empty or as long as it may be, of characters of 1 to 4 bytes.
   */
static inline vecdb_string gen_text(struct gen *g, uint32_t most) {
  static const char *const wide[] = {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
                                     "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf"};
  uint32_t n = gen_below(g, vdb_min_u32(most, 24) + 1);
  if (gen_one_in(g, 8))
    n = 0;
  if (gen_one_in(g, 20))
    n = most;
  char *text = gen_take(g, (size_t)n + 1);
  for (uint32_t at = 0; at < n;) {
    const char *c = wide[gen_below(g, VDB_COUNT(wide))];
    if (gen_one_in(g, 4) && strlen(c) <= n - at) {
      memcpy(text + at, c, strlen(c));
      at += (uint32_t)strlen(c);
    } else {
      text[at++] = (char)(1 + gen_below(g, 127));
    }
  }
  vecdb_string s = {text, n};
  return s;
}

static inline int64_t gen_integer(struct gen *g, int32_t type) {
  unsigned spare = 64 - 8 * vdb_type_width(type);
  uint64_t bits = vdb_rng_next(&g->rng);
  if (gen_one_in(g, 4))
    bits = (uint64_t[]){0, UINT64_MAX, (uint64_t)1 << 63, UINT64_MAX >> 1}[gen_below(g, 4)];
  return (int64_t)bits >> spare;
}

static inline double gen_number(struct gen *g, int32_t type) {
  static const double special[] = {0, -0.0, 1, -1, FLT_MAX, -FLT_MAX, (double)FLT_MIN / 8};
  if (gen_one_in(g, 4))
    return special[gen_below(g, VDB_COUNT(special))];
  double x = (vdb_rng_unit(&g->rng) - 0.5) * 1e6;
  return type == VECDB_FLOAT ? (double)(float)x : x;
}

/* Writes element i of a packed array or vector; the first of a vector is never zero. */
static inline void gen_element(struct gen *g, int32_t type, uint8_t *out, size_t i) {
  int64_t integer;
  double number;
  float single = i ? (float)vdb_rng_unit(&g->rng) - 0.5f : 1;
  uint32_t bits;
  uint16_t half;
  switch (type) {
  case VECDB_BOOL:
    out[i] = (uint8_t)gen_below(g, 2);
    return;
  case VECDB_FLOAT:
    single = (float)gen_number(g, type);
    memcpy(out + i * 4, &single, 4);
    return;
  case VECDB_DOUBLE:
    number = gen_number(g, type);
    memcpy(out + i * 8, &number, 8);
    return;
  case VECDB_FLOAT_VECTOR:
    memcpy(out + i * 4, &single, 4);
    return;
  case VECDB_FLOAT16_VECTOR:
    half = (uint16_t)(i ? vdb_rng_next(&g->rng) & 0xbbff : 0x3c00);
    memcpy(out + i * 2, &half, 2);
    return;
  case VECDB_BFLOAT16_VECTOR:
    memcpy(&bits, &single, 4);
    half = (uint16_t)(bits >> 16);
    memcpy(out + i * 2, &half, 2);
    return;
  case VECDB_INT8_VECTOR:
  case VECDB_BINARY_VECTOR:
    out[i] = (uint8_t)(i ? gen_below(g, 256) : 1);
    return;
  default:
    integer = gen_integer(g, type);
    memcpy(out + i * vdb_type_width(type), &integer, vdb_type_width(type));
  }
}

static inline const void *gen_packed(struct gen *g, int32_t type, size_t n) {
  uint8_t *data = gen_take(g, n * 8);
  for (size_t i = 0; i < n; i++)
    gen_element(g, type, data, i);
  return data;
}

/* Up to five pairs. */
static inline const void *gen_sparse(struct gen *g, uint32_t *n) {
  vecdb_sparse_pair *pairs = gen_take(g, 5 * sizeof *pairs);
  uint32_t index = gen_below(g, 9);
  *n = gen_below(g, 6);
  for (uint32_t i = 0; i < *n; i++) {
    pairs[i] = (vecdb_sparse_pair){index, (float)vdb_rng_unit(&g->rng) - 0.5f};
    index += 1 + gen_below(g, 1u << 29);
  }
  return pairs;
}

/* A compact JSON text. */
static inline vecdb_string gen_json(struct gen *g) {
  static const char *const texts[] = {"null", "[]", "{\"a\":[1,2.50,{\"b\":null}],\"c\":\"\\n\"}",
                                      "\"\"", "-0.0e+7", "{\"\xc3\xa9\":true}"};
  const char *text = texts[gen_below(g, VDB_COUNT(texts))];
  vecdb_string s = {text, strlen(text)};
  return s;
}

/* A value that field `f` takes, never null. */
static inline vecdb_value gen_value(struct gen *g, const vecdb_field *f) {
  vecdb_value v = {0};
  v.type = f->type;
  if (f->type == VECDB_BOOL) {
    v.as.boolean = gen_one_in(g, 2);
  } else if (vdb_type_is_integer(f->type)) {
    v.as.integer = gen_integer(g, f->type);
  } else if (f->type == VECDB_FLOAT || f->type == VECDB_DOUBLE) {
    v.as.number = gen_number(g, f->type);
  } else if (vdb_type_is_text(f->type)) {
    vecdb_string s = f->type == VECDB_JSON ? gen_json(g) : gen_text(g, f->max_length);
    v.as.data = s.data;
    v.length = (uint32_t)s.length;
  } else if (f->type == VECDB_ARRAY) {
    v.element_type = f->element_type;
    v.length = gen_one_in(g, 10) ? f->max_capacity
                                 : gen_below(g, vdb_min_u32(f->max_capacity, 5) + 1);
    v.as.data = NULL;
    if (f->element_type != VECDB_VARCHAR) {
      v.as.data = gen_packed(g, f->element_type, v.length);
      return v;
    }
    vecdb_string *strings = gen_take(g, v.length * sizeof *strings);
    for (uint32_t i = 0; i < v.length; i++)
      strings[i] = gen_text(g, f->max_length);
    v.as.data = strings;
  } else if (f->type == VECDB_SPARSE_VECTOR) {
    v.as.data = gen_sparse(g, &v.length);
  } else {
    v.length = f->dim;
    v.as.data = gen_packed(g, f->type, f->type == VECDB_BINARY_VECTOR ? f->dim / 8 : f->dim);
  }
  return v;
}

static inline size_t gen_vector_bytes(int32_t type, size_t dim) {
  size_t element = type == VECDB_FLOAT_VECTOR    ? 4
                   : type == VECDB_SPARSE_VECTOR ? sizeof(vecdb_sparse_pair)
                   : type == VECDB_INT8_VECTOR   ? 1
                                                 : 2;
  return type == VECDB_BINARY_VECTOR ? dim / 8 : dim * element;
}

static inline bool gen_equal(const vecdb_value *a, const vecdb_value *b) {
  if (a->type != b->type || a->length != b->length || a->element_type != b->element_type)
    return false;
  if (a->type == 0)
    return true;
  if (a->type == VECDB_BOOL)
    return a->as.boolean == b->as.boolean;
  if (vdb_type_is_integer(a->type))
    return a->as.integer == b->as.integer;
  if (a->type == VECDB_FLOAT || a->type == VECDB_DOUBLE)
    return memcmp(&a->as.number, &b->as.number, sizeof(double)) == 0;
  size_t n = a->length;
  if (a->type == VECDB_ARRAY)
    n *= vdb_type_width(a->element_type);
  else if (!vdb_type_is_text(a->type))
    n = gen_vector_bytes(a->type, n);
  if (a->type != VECDB_ARRAY || a->element_type != VECDB_VARCHAR)
    return n == 0 || memcmp(a->as.data, b->as.data, n) == 0;
  const vecdb_string *p = a->as.data, *q = b->as.data;
  for (uint32_t i = 0; i < a->length; i++)
    if (p[i].length != q[i].length || memcmp(p[i].data, q[i].data, p[i].length) != 0)
      return false;
  return true;
}

/* ---- Schemas ----------------------------------------------------------------------------------
   */

static inline void gen_vector_field(struct gen *g, vecdb_field *f) {
  if (gen_one_in(g, 6)) {
    f->type = VECDB_SPARSE_VECTOR;
    f->metric = gen_one_in(g, 2) ? VECDB_IP : 0;
    return;
  }
  f->type = VECDB_FLOAT_VECTOR + (int32_t)gen_below(g, 5);
  f->dim = 8 * (1 + gen_below(g, 9));
  if (f->type == VECDB_BINARY_VECTOR) {
    f->metric = (int32_t[]){0, VECDB_HAMMING, VECDB_JACCARD}[gen_below(g, 3)];
  } else {
    f->dim -= gen_below(g, 8);
    f->metric = (int32_t)gen_below(g, 4);
    if (f->metric % VECDB_COSINE == 0 && gen_one_in(g, 2))
      f->flags = VECDB_ALLOW_ZERO;
  }
  if (gen_one_in(g, 2)) {
    f->index.size = sizeof f->index;
    f->index.type = (int32_t)gen_below(g, 3);
    f->index.m = gen_below(g, 100);
  }
}

static inline void gen_scalar_field(struct gen *g, vecdb_field *f) {
  f->type = VECDB_BOOL + (int32_t)gen_below(g, VECDB_JSON);
  if (f->type == VECDB_ARRAY) {
    f->element_type = VECDB_BOOL + (int32_t)gen_below(g, VECDB_VARCHAR);
    f->max_capacity = gen_one_in(g, 8) ? 200 : 1 + gen_below(g, 6);
  } else if (f->type != VECDB_JSON) {
    f->scalar_index = (int32_t)gen_below(g, 4);
  }
  static const vecdb_json_index paths[] = {{"[\"a\"]", VECDB_DOUBLE}, {"[\"a\"]", VECDB_VARCHAR},
                                           {"[\"a\"][0]", VECDB_BOOL}};
  if (f->type == VECDB_JSON && gen_one_in(g, 2))
    f->max_length = 64 + gen_below(g, 100);
  if (f->type == VECDB_JSON && gen_one_in(g, 2)) {
    f->json_indexes = paths;
    f->n_json_indexes = 1 + gen_below(g, 3);
  }
  if (f->type == VECDB_VARCHAR || f->element_type == VECDB_VARCHAR)
    f->max_length = gen_one_in(g, 8) ? 5000 : 1 + gen_below(g, 30);
  if (gen_one_in(g, 2))
    f->flags |= VECDB_NULLABLE;
  if (gen_one_in(g, 3)) {
    f->flags |= VECDB_HAS_DEFAULT;
    f->default_value = gen_value(g, f);
  }
}

/* A valid schema; the key is anywhere among the fields. */
static inline vecdb_schema gen_schema(struct gen *g) {
  vecdb_schema s = VECDB_SCHEMA_INIT;
  vecdb_field *fields = gen_take(g, GEN_MAX_FIELDS * sizeof *fields);
  s.n_fields = 2 + gen_below(g, GEN_MAX_FIELDS - 8);
  uint32_t key = gen_below(g, s.n_fields);
  uint32_t vector = (key + 1 + gen_below(g, s.n_fields - 1)) % s.n_fields;
  for (uint32_t i = 0; i < s.n_fields; i++) {
    vecdb_field *f = &fields[i];
    char *name = gen_take(g, 16);
    snprintf(name, 16, "f_%u", i);
    f->name = name;
    f->description = gen_one_in(g, 2) ? gen_text(g, 50).data : NULL;
    if (i == key) {
      f->type = gen_one_in(g, 2) ? VECDB_INT64 : VECDB_VARCHAR;
      f->max_length = f->type == VECDB_VARCHAR ? 1 + gen_below(g, 40) : 0;
      f->flags = VECDB_PRIMARY_KEY;
      if (f->type == VECDB_INT64 && gen_one_in(g, 3))
        f->flags |= VECDB_AUTO_ID;
    } else if (i == vector || gen_one_in(g, 5)) {
      gen_vector_field(g, f);
    } else {
      gen_scalar_field(g, f);
    }
  }
  s.fields = fields;
  s.description = gen_one_in(g, 2) ? gen_text(g, 100).data : NULL;
  return s;
}

/* ---- Batches ----------------------------------------------------------------------------------
   */

struct gen_batch {
  vecdb_batch batch;
  vecdb_value *values; /* what is expected of row r, field f: [r * n_fields + f]; type 0: null */
};

/* Puts one value where a column's row is. */
static inline void gen_put(struct gen *g, const vecdb_value *v, uint8_t *at, bool terminate) {
  float single = (float)v->as.number;
  if (vdb_type_is_text(v->type) && terminate) {
    char *copy = gen_take(g, (size_t)v->length + 1);
    memcpy(copy, v->as.data, v->length);
    memcpy(at, &copy, sizeof copy);
  } else if (vdb_type_is_text(v->type) || v->type == VECDB_ARRAY) {
    memcpy(at, &v->as.data, sizeof v->as.data);
  } else if (v->type == VECDB_FLOAT) {
    memcpy(at, &single, sizeof single);
  } else if (v->type == VECDB_SPARSE_VECTOR) {
    memcpy(at, &(vecdb_sparse){v->as.data, v->length}, sizeof(vecdb_sparse));
  } else if (vdb_type_is_vector(v->type)) {
    memcpy(at, v->as.data, gen_vector_bytes(v->type, v->length));
  } else {
    memcpy(at, &v->as, vdb_type_width(v->type));
  }
}

/* The column of field f, from the expected values; data at odd strides now and then. */
static inline vecdb_column gen_column(struct gen *g, const vecdb_schema *s, uint32_t f,
                                      const struct gen_batch *b) {
  const vecdb_field *field = &s->fields[f];
  uint32_t n = b->batch.n_rows;
  vecdb_column c = {0};
  c.field = field->name;
  size_t packed = field->type == VECDB_SPARSE_VECTOR ? sizeof(vecdb_sparse)
                  : vdb_type_is_vector(field->type) ? gen_vector_bytes(field->type, field->dim)
                  : vdb_type_is_variable(field->type) ? sizeof(void *)
                                                      : vdb_type_width(field->type);
  if (gen_one_in(g, 2))
    c.stride = packed + gen_below(g, 3) * 5;
  if (vdb_type_is_vector(field->type) && gen_one_in(g, 2))
    c.dim = field->dim;
  size_t stride = c.stride ? c.stride : packed;
  bool terminate = vdb_type_is_text(field->type) && gen_one_in(g, 2);
  uint8_t *data = gen_take(g, (n - 1) * stride + packed);
  uint32_t *lengths = gen_take(g, n * sizeof *lengths);
  uint8_t *valid = gen_take(g, n);
  memset(data, 0xff, (n - 1) * stride + packed); /* what null rows hold is not looked at */
  for (uint32_t i = 0; i < n; i++) {
    const vecdb_value *v = &b->values[(size_t)i * s->n_fields + f];
    valid[i] = v->type ? (uint8_t)(1 + gen_below(g, 255)) : 0;
    lengths[i] = v->type ? v->length : UINT32_MAX;
    if (v->type)
      gen_put(g, v, data + i * stride, terminate);
  }
  c.data = data;
  c.lengths = vdb_type_is_variable(field->type) && !terminate ? lengths : NULL;
  c.valid = (field->flags & VECDB_NULLABLE) || gen_one_in(g, 4) ? valid : NULL;
  return c;
}

/* The values of a field that gets no column: auto ids from 1000, defaults, nulls. */
static inline void gen_absent(const vecdb_schema *s, uint32_t f, const struct gen_batch *b) {
  for (uint32_t i = 0; i < b->batch.n_rows; i++) {
    vecdb_value v = {0};
    if (s->fields[f].flags & VECDB_HAS_DEFAULT)
      v = s->fields[f].default_value;
    if (s->fields[f].flags & VECDB_AUTO_ID) {
      v.type = VECDB_INT64;
      v.as.integer = 1000 + i;
    }
    b->values[(size_t)i * s->n_fields + f] = v;
  }
}

/* A valid batch of n rows for a valid schema, its columns in some order. Keys may come twice. */
static inline struct gen_batch gen_batch(struct gen *g, const vecdb_schema *s, uint32_t n) {
  struct gen_batch b = {VECDB_BATCH_INIT, NULL};
  vecdb_column *columns = gen_take(g, s->n_fields * sizeof *columns);
  b.batch.n_rows = n;
  b.values = gen_take(g, (size_t)n * s->n_fields * sizeof *b.values);
  bool few_keys = gen_one_in(g, 2);
  for (uint32_t f = 0; f < s->n_fields; f++) {
    const vecdb_field *field = &s->fields[f];
    bool may_lack = (field->flags & (VECDB_NULLABLE | VECDB_HAS_DEFAULT)) != 0;
    if ((field->flags & VECDB_AUTO_ID) || (may_lack && gen_one_in(g, 4))) {
      gen_absent(s, f, &b);
      if (may_lack && gen_one_in(g, 2))
        columns[b.batch.n_columns++].field = field->name; /* a column without data */
      continue;
    }
    for (uint32_t i = 0; i < n; i++) {
      vecdb_value v = {0};
      if (!(field->flags & VECDB_NULLABLE) || !gen_one_in(g, 3))
        v = gen_value(g, field);
      if ((field->flags & VECDB_PRIMARY_KEY) && i && few_keys && gen_one_in(g, 2))
        v = b.values[(size_t)gen_below(g, i) * s->n_fields + f];
      b.values[(size_t)i * s->n_fields + f] = v;
    }
    columns[b.batch.n_columns++] = gen_column(g, s, f, &b);
  }
  for (uint32_t i = b.batch.n_columns; i > 1; i--) {
    uint32_t j = gen_below(g, i);
    vecdb_column swap = columns[i - 1];
    columns[i - 1] = columns[j];
    columns[j] = swap;
  }
  b.batch.columns = columns;
  return b;
}

/* A block for free(), aligned to 64 and exactly as long as said, so that the address sanitizer sees
   reads behind it. */
static inline uint8_t *gen_block(size_t n) {
  void *block = NULL;
  if (posix_memalign(&block, 64, n + !n))
    abort();
  return block;
}

/* A copy in a block of its own. */
static inline uint8_t *gen_exact(const void *data, size_t n) {
  uint8_t *block = gen_block(n);
  if (n)
    memcpy(block, data, n);
  return block;
}

/* Reads every value of a decoded batch; returns a sum that keeps the reads alive. */
static inline uint64_t gen_read_all(const struct vdb_batch *batch) {
  uint64_t sum = 0;
  for (uint32_t f = 0; f < batch->n_columns; f++)
    for (uint32_t row = 0; row < batch->n_rows; row++) {
      const struct vdb_column *c = &batch->columns[f];
      struct vdb_bytes bytes = vdb_column_bytes(c, row);
      for (size_t i = 0; i < bytes.n; i++)
        sum = sum * 31 + bytes.data[i];
      if (vdb_column_is_null(c, row))
        continue;
      vecdb_string *strings = NULL;
      if (c->type == VECDB_ARRAY)
        strings = malloc((vdb_array_count(bytes) + (size_t)1) * sizeof *strings);
      vecdb_value v = vdb_column_value(c, row, strings);
      for (uint32_t i = 0; v.element_type == VECDB_VARCHAR && i < v.length; i++)
        sum += strings[i].length ? (uint64_t)strings[i].data[strings[i].length - 1] : 1;
      free(strings);
    }
  return sum;
}

#endif
