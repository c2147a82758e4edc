/*
 * test_bad_input.c - rows, schemas and names that are wrong: each has its own code,
 * names field, row and reason, and leaves the database as it was. Requests, filters, NULL pointers
 * and struct sizes are in test_bad_calls.c, files in test_bad_files.c.
 */
#include "tlib/apitest.h"

/* ---- Batches --------------------------------------------------------------------------------- */

enum { ROWS = 4, COLUMNS = 13 };

/* A good batch for the collection of bad_create, for the spoiling functions to change. */
struct rows {
  int64_t id[ROWS];
  int8_t i8[ROWS];
  float f[ROWS];
  double d[ROWS];
  uint8_t b[ROWS];
  const char *s[ROWS];
  const char *sn[ROWS];
  int32_t elements[3];
  float floats[3];
  vecdb_string words[3];
  const void *a[ROWS];
  const void *af[ROWS];
  const void *as[ROWS];
  float cosine[ROWS][4];
  float l2[ROWS][4];
  uint16_t half[ROWS][2];
  int8_t bytes[ROWS][2];
  uint32_t lengths[4][ROWS]; /* s, a, af, as */
  uint8_t valid[ROWS];
  vecdb_column columns[COLUMNS + 2];
  vecdb_batch batch;
};

enum { C_ID, C_F, C_D, C_B, C_S, C_SN, C_A, C_AF, C_AS, C_COSINE, C_L2, C_HALF, C_BYTES };

static vecdb_collection *bad_create(vecdb *db) {
  const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = "f", .type = VECDB_FLOAT},
      {.name = "d", .type = VECDB_DOUBLE},
      {.name = "b", .type = VECDB_BOOL},
      {.name = "s", .type = VECDB_VARCHAR, .max_length = 5},
      {.name = "sn", .type = VECDB_VARCHAR, .max_length = 5, .flags = VECDB_NULLABLE},
      {.name = "a", .type = VECDB_ARRAY, .element_type = VECDB_INT32, .max_capacity = 3},
      {.name = "af", .type = VECDB_ARRAY, .element_type = VECDB_FLOAT, .max_capacity = 3},
      {.name = "as", .type = VECDB_ARRAY, .element_type = VECDB_VARCHAR, .max_length = 3,
       .max_capacity = 3},
      {.name = "cosine", .type = VECDB_FLOAT_VECTOR, .dim = 4, .metric = VECDB_COSINE},
      {.name = "l2", .type = VECDB_FLOAT_VECTOR, .dim = 4, .metric = VECDB_L2},
      {.name = "half", .type = VECDB_FLOAT16_VECTOR, .dim = 2, .metric = VECDB_COSINE},
      {.name = "bytes", .type = VECDB_INT8_VECTOR, .dim = 2, .metric = VECDB_COSINE},
  };
  vecdb_schema schema = {sizeof schema, sizeof *fields, NULL, fields, COLUMNS};
  vecdb_collection *coll;
  at_ok(vecdb_collection_create(db, "c", &schema, &coll, &at_err));
  return coll;
}

static void good_rows(struct rows *r, int64_t first) {
  memset(r, 0, sizeof *r);
  for (int i = 0; i < ROWS; i++) {
    r->id[i] = first + i;
    r->s[i] = "text";
    r->sn[i] = "more";
    r->a[i] = r->elements;
    r->af[i] = r->floats;
    r->as[i] = r->words;
    r->cosine[i][i] = r->l2[i][i] = 1;
    r->half[i][0] = 0x3c00;
    r->bytes[i][1] = (int8_t)(1 + i);
    r->lengths[0][i] = 4;
    r->lengths[1][i] = r->lengths[2][i] = r->lengths[3][i] = 2;
    r->valid[i] = 1;
  }
  r->words[0] = r->words[1] = (vecdb_string){"abc", 3};
  const vecdb_column columns[COLUMNS] = {
      {.field = "id", .data = r->id},
      {.field = "f", .data = r->f},
      {.field = "d", .data = r->d},
      {.field = "b", .data = r->b},
      {.field = "s", .data = r->s, .lengths = r->lengths[0]},
      {.field = "sn", .data = r->sn},
      {.field = "a", .data = r->a, .lengths = r->lengths[1]},
      {.field = "af", .data = r->af, .lengths = r->lengths[2]},
      {.field = "as", .data = r->as, .lengths = r->lengths[3]},
      {.field = "cosine", .data = r->cosine, .dim = 4},
      {.field = "l2", .data = r->l2, .dim = 4},
      {.field = "half", .data = r->half, .dim = 2},
      {.field = "bytes", .data = r->bytes, .dim = 2},
  };
  memcpy(r->columns, columns, sizeof columns);
  r->batch = (vecdb_batch){sizeof r->batch, sizeof *columns, r->columns, COLUMNS, ROWS};
}

#define SPOIL(name, ...) \
  static void name(struct rows *r) { __VA_ARGS__; }
SPOIL(vector_nan, r->l2[2][1] = at_nan())
SPOIL(vector_infinite, r->cosine[3][3] = -at_infinity())
SPOIL(vector_zero, memset(r->cosine[1], 0, sizeof r->cosine[1]))
SPOIL(vector_tiny, r->cosine[1][1] = 1e-30f)
SPOIL(vector_overflow, r->l2[3][0] = 3e38f)
SPOIL(half_nan, r->half[1][1] = 0x7e00)
SPOIL(half_infinite, r->half[0][1] = 0xfc00)
SPOIL(half_zero, r->half[2][0] = 0x8000)
SPOIL(bytes_zero, r->bytes[3][1] = 0)
SPOIL(wrong_dim, r->columns[C_L2].dim = 5)
SPOIL(dim_of_scalar, r->columns[C_F].dim = 1)
SPOIL(float_nan, r->f[1] = at_nan())
SPOIL(double_infinite, r->d[3] = (double)at_infinity())
SPOIL(array_nan, r->floats[1] = at_nan())
SPOIL(bool_two, r->b[2] = 2)
SPOIL(null_in_valid, r->columns[C_S].valid = r->valid; r->valid[3] = 0)
SPOIL(null_key, r->columns[C_ID].valid = r->valid; r->valid[1] = 0)
SPOIL(null_vector, r->columns[C_L2].valid = r->valid; r->valid[2] = 0)
SPOIL(no_data, r->columns[C_D].data = NULL)
SPOIL(no_key_data, r->columns[C_ID].data = NULL)
SPOIL(text_pointer, r->s[2] = NULL)
SPOIL(text_pointer_no_lengths, r->sn[1] = NULL)
SPOIL(array_pointer, r->a[1] = NULL)
SPOIL(word_pointer, r->words[1].data = NULL)
SPOIL(text_long, r->s[1] = "longer"; r->lengths[0][1] = 6)
SPOIL(text_long_no_lengths, r->sn[3] = "longer")
SPOIL(array_long, r->lengths[1][2] = 4)
SPOIL(word_long, r->words[0] = (vecdb_string){"abcd", 4})
SPOIL(utf8_lone, r->s[2] = "ab\x80" "c")
SPOIL(utf8_overlong, r->sn[0] = "\xc0\xaf")
SPOIL(utf8_surrogate, r->sn[1] = "\xed\xa0\x80")
SPOIL(utf8_cut, r->s[3] = "abc\xe2")
SPOIL(utf8_large, r->sn[2] = "\xf4\x90\x80\x80")
SPOIL(utf8_nul, r->s[0] = "a\0bc")
SPOIL(word_utf8, r->words[1].data = "\xff" "bc")
SPOIL(unknown_field, r->columns[C_F].field = "ff")
SPOIL(unnamed_field, r->columns[C_F].field = NULL)
SPOIL(twice, r->columns[C_F].field = "d")
SPOIL(left_out, r->batch.n_columns = COLUMNS - 1)
SPOIL(key_left_out, r->batch.columns++; r->batch.n_columns--)
SPOIL(no_lengths, r->columns[C_A].lengths = NULL)
SPOIL(short_stride, r->columns[C_L2].stride = 15)
SPOIL(no_rows, r->batch.n_rows = 0)
SPOIL(many_rows, r->batch.n_rows = VECDB_MAX_BATCH_ROWS + 1)
SPOIL(many_columns, r->batch.n_columns = VECDB_MAX_FIELDS + 1)
SPOIL(no_columns, r->batch.columns = NULL)

static const struct bad_rows {
  void (*spoil)(struct rows *r);
  int code;
  int64_t row;
  const char *field;  /* "": none is named */
  const char *reason; /* in the message */
} bad_rows[] = {
    {vector_nan, VECDB_ERR_NOT_FINITE, 2, "l2", "NaN"},
    {vector_infinite, VECDB_ERR_NOT_FINITE, 3, "cosine", "infinit"},
    {vector_zero, VECDB_ERR_ZERO_VECTOR, 1, "cosine", "zero"},
    {vector_tiny, VECDB_ERR_ZERO_VECTOR, 1, "cosine", "short"},
    {vector_overflow, VECDB_ERR_OVERFLOW, 3, "l2", "norm"},
    {half_nan, VECDB_ERR_NOT_FINITE, 1, "half", "NaN"},
    {half_infinite, VECDB_ERR_NOT_FINITE, 0, "half", "infinit"},
    {half_zero, VECDB_ERR_ZERO_VECTOR, 2, "half", "zero"},
    {bytes_zero, VECDB_ERR_ZERO_VECTOR, 3, "bytes", "zero"},
    {wrong_dim, VECDB_ERR_DIMENSION, -1, "l2", "5"},
    {dim_of_scalar, VECDB_ERR_DIMENSION, -1, "f", "vector"},
    {float_nan, VECDB_ERR_NOT_FINITE, 1, "f", "NaN"},
    {double_infinite, VECDB_ERR_NOT_FINITE, 3, "d", "infinit"},
    {array_nan, VECDB_ERR_NOT_FINITE, 0, "af", "NaN"},
    {bool_two, VECDB_ERR_RANGE, 2, "b", "0 nor 1"},
    {null_in_valid, VECDB_ERR_NULL_VALUE, 3, "s", "nullable"},
    {null_key, VECDB_ERR_NULL_VALUE, 1, "id", "nullable"},
    {null_vector, VECDB_ERR_NULL_VALUE, 2, "l2", "nullable"},
    {no_data, VECDB_ERR_NULL_VALUE, 0, "d", "nullable"},
    {no_key_data, VECDB_ERR_NULL_VALUE, 0, "id", "nullable"},
    {text_pointer, VECDB_ERR_ARGUMENT, 2, "s", "NULL"},
    {text_pointer_no_lengths, VECDB_ERR_ARGUMENT, 1, "sn", "NULL"},
    {array_pointer, VECDB_ERR_ARGUMENT, 1, "a", "NULL"},
    {word_pointer, VECDB_ERR_ARGUMENT, 0, "as", "NULL"},
    {text_long, VECDB_ERR_TOO_LONG, 1, "s", "5"},
    {text_long_no_lengths, VECDB_ERR_TOO_LONG, 3, "sn", "5"},
    {array_long, VECDB_ERR_TOO_LONG, 2, "a", "3"},
    {word_long, VECDB_ERR_TOO_LONG, 0, "as", "3"},
    {utf8_lone, VECDB_ERR_UTF8, 2, "s", "UTF-8"},
    {utf8_overlong, VECDB_ERR_UTF8, 0, "sn", "UTF-8"},
    {utf8_surrogate, VECDB_ERR_UTF8, 1, "sn", "UTF-8"},
    {utf8_cut, VECDB_ERR_UTF8, 3, "s", "UTF-8"},
    {utf8_large, VECDB_ERR_UTF8, 2, "sn", "UTF-8"},
    {utf8_nul, VECDB_ERR_UTF8, 0, "s", "NUL"},
    {word_utf8, VECDB_ERR_UTF8, 0, "as", "UTF-8"},
    {unknown_field, VECDB_ERR_UNKNOWN_FIELD, -1, "ff", "ff"},
    {unnamed_field, VECDB_ERR_ARGUMENT, -1, "", "name"},
    {twice, VECDB_ERR_ARGUMENT, -1, "d", "two"},
    {left_out, VECDB_ERR_MISSING_FIELD, -1, "bytes", "no column"},
    {key_left_out, VECDB_ERR_MISSING_FIELD, -1, "id", "no column"},
    {no_lengths, VECDB_ERR_ARGUMENT, -1, "a", "lengths"},
    {short_stride, VECDB_ERR_ARGUMENT, -1, "l2", "stride"},
    {no_rows, VECDB_ERR_LIMIT, -1, "", "rows"},
    {many_rows, VECDB_ERR_LIMIT, -1, "", "rows"},
    {many_columns, VECDB_ERR_LIMIT, -1, "", "columns"},
    {no_columns, VECDB_ERR_ARGUMENT, -1, "", "columns"},
};

/* The record of the last error names what it must. */
static void check_error(size_t i, int64_t row, const char *field, const char *reason) {
  bool named = !*field || !*reason || strstr(at_err.message, field);
  if (at_err.row == row && strcmp(at_err.field, field) == 0 && named &&
      strstr(at_err.message, reason))
    return;
  print_error("case %zu: row %lld, field '%s', message '%s'; expected row %lld, field '%s', '%s'\n",
              i, (long long)at_err.row, at_err.field, at_err.message, (long long)row, field,
              reason);
  fail();
}

static void test_rows(void **state) {
  (void)state;
  vecdb *db = at_open(":memory:", NULL);
  vecdb_collection *coll = bad_create(db);
  struct rows *r = malloc(sizeof *r);
  for (int flushed = 0; flushed < 2; flushed++) {
    good_rows(r, flushed * ROWS);
    at_ok(vecdb_insert(coll, &r->batch, NULL, &at_err));
    struct at_content before = at_content(coll);
    for (size_t i = 0; i < AT_COUNT(bad_rows); i++) {
      const struct bad_rows *c = &bad_rows[i];
      good_rows(r, 100);
      c->spoil(r);
      at_fails(c->code, vecdb_insert(coll, &r->batch, NULL, &at_err));
      check_error(i, c->row, c->field, c->reason);
      good_rows(r, 0); /* would replace rows */
      c->spoil(r);
      at_fails(c->code, vecdb_upsert(coll, &r->batch, NULL, &at_err));
      check_error(i, c->row, c->field, c->reason);
      assert_int_equal(vecdb_insert(coll, &r->batch, NULL, NULL), c->code); /* without a record */
      assert_int_equal(at_count(coll, NULL), before.rows);
    }
    at_same(before, at_content(coll));
    at_ok(vecdb_flush(coll, NULL, &at_err));
  }
  free(r);
  vecdb_collection_release(coll);
  at_close(db);
}

/* A batch over VECDB_MAX_BATCH_BYTES, found before memory is taken for it: the rows share texts. */
static void test_batch_bytes(void **state) {
  (void)state;
  enum { MANY = 8300, LONG = 65535 };
  const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = "s", .type = VECDB_VARCHAR, .max_length = LONG},
      {.name = "v", .type = VECDB_INT8_VECTOR, .dim = 1, .metric = VECDB_L2},
  };
  vecdb_schema schema = {sizeof schema, sizeof *fields, NULL, fields, 3};
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.memory_limit = 64u << 20;
  vecdb *db = at_open(":memory:", &options);
  vecdb_collection *coll;
  at_ok(vecdb_collection_create(db, "c", &schema, &coll, &at_err));
  char *text = malloc(LONG);
  memset(text, 'x', LONG);
  int64_t *ids = calloc(MANY, sizeof *ids);
  const char **texts = calloc(MANY, sizeof *texts);
  uint32_t *lengths = calloc(MANY, sizeof *lengths);
  for (int i = 0; i < MANY; i++) {
    ids[i] = i;
    texts[i] = text;
    lengths[i] = LONG;
  }
  const vecdb_column columns[] = {{.field = "id", .data = ids},
                                  {.field = "s", .data = texts, .lengths = lengths},
                                  {.field = "v", .data = text}};
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 3, MANY};
  at_fails(VECDB_ERR_LIMIT, vecdb_insert(coll, &batch, NULL, &at_err));
  batch.n_rows = 2000; /* allowed, but over what this database may take */
  at_fails(VECDB_ERR_NO_MEMORY, vecdb_insert(coll, &batch, NULL, &at_err));
  batch.n_rows = 10;
  at_ok(vecdb_insert(coll, &batch, NULL, &at_err));
  assert_int_equal(at_count(coll, NULL), 10);
  free(text);
  free(ids);
  free(texts);
  free(lengths);
  vecdb_collection_release(coll);
  at_close(db);
}

/* ---- Schemas --------------------------------------------------------------------------------- */

enum { F_KEY, F_TEXT, F_ARRAY, F_VECTOR, F_BITS, FIELDS };

/* A good schema with room for more. */
struct schema {
  vecdb_field fields[VECDB_MAX_FIELDS + 2];
  char names[VECDB_MAX_FIELDS + 2][8];
  char text[2000];
  vecdb_schema schema;
};

static void good_schema(struct schema *s) {
  memset(s, 0, sizeof *s);
  const vecdb_field fields[FIELDS] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = "text", .type = VECDB_VARCHAR, .max_length = 5},
      {.name = "array", .type = VECDB_ARRAY, .element_type = VECDB_INT8, .max_capacity = 2},
      {.name = "vector", .type = VECDB_FLOAT_VECTOR, .dim = 4},
      {.name = "bits", .type = VECDB_BINARY_VECTOR, .dim = 16},
  };
  memcpy(s->fields, fields, sizeof fields);
  s->schema = (vecdb_schema){sizeof s->schema, sizeof *fields, NULL, s->fields, FIELDS};
}

/* Adds fields of a type until there are n in all. */
static void add_fields(struct schema *s, uint32_t n, int32_t type, uint32_t dim) {
  for (uint32_t i = s->schema.n_fields; i < n; i++) {
    snprintf(s->names[i], sizeof s->names[i], "f%u", i);
    s->fields[i].name = s->names[i];
    s->fields[i].type = type;
    s->fields[i].dim = dim;
  }
  s->schema.n_fields = n;
}

static void set_default(vecdb_field *f, vecdb_value value) {
  f->flags |= VECDB_HAS_DEFAULT;
  f->default_value = value;
}

#undef SPOIL
#define SPOIL(name, ...) \
  static void name(struct schema *s) { __VA_ARGS__; }
SPOIL(s_no_fields, s->schema.n_fields = 0)
SPOIL(s_null_fields, s->schema.fields = NULL)
SPOIL(s_129_fields, add_fields(s, VECDB_MAX_FIELDS + 1, VECDB_BOOL, 0))
SPOIL(s_17_vectors, add_fields(s, 20, VECDB_INT8_VECTOR, 1))
SPOIL(s_no_key, s->fields[F_KEY].flags = 0)
SPOIL(s_two_keys, s->fields[F_TEXT].flags = VECDB_PRIMARY_KEY)
SPOIL(s_no_vector, s->schema.n_fields = F_VECTOR)
SPOIL(s_key_type, s->fields[F_KEY].type = VECDB_INT32)
SPOIL(s_key_nullable, s->fields[F_KEY].flags |= VECDB_NULLABLE)
SPOIL(s_auto_text, s->fields[F_KEY].flags = 0;
      s->fields[F_TEXT].flags = VECDB_PRIMARY_KEY | VECDB_AUTO_ID)
SPOIL(s_auto_no_key, s->fields[F_TEXT].flags = VECDB_AUTO_ID)
SPOIL(s_unknown_flag, s->fields[F_TEXT].flags = 1u << 20)
SPOIL(s_unknown_type, s->fields[F_TEXT].type = 17)
SPOIL(s_negative_type, s->fields[F_TEXT].type = -1)
SPOIL(s_no_type, s->fields[F_TEXT].type = 0)
SPOIL(s_same_name, s->fields[F_ARRAY].name = "text")
SPOIL(s_no_name, s->fields[F_TEXT].name = NULL)
SPOIL(s_empty_name, s->fields[F_TEXT].name = "")
SPOIL(s_dash_name, s->fields[F_TEXT].name = "a-b")
SPOIL(s_path_name, s->fields[F_TEXT].name = "a/b")
SPOIL(s_long_name, memset(s->text, 'n', 256); s->fields[F_TEXT].name = s->text)
SPOIL(s_no_dim, s->fields[F_VECTOR].dim = 0)
SPOIL(s_large_dim, s->fields[F_VECTOR].dim = 65536)
SPOIL(s_bits_dim, s->fields[F_BITS].dim = 12)
SPOIL(s_text_dim, s->fields[F_TEXT].dim = 3)
SPOIL(s_no_length, s->fields[F_TEXT].max_length = 0)
SPOIL(s_large_length, s->fields[F_TEXT].max_length = 65536)
SPOIL(s_no_capacity, s->fields[F_ARRAY].max_capacity = 0)
SPOIL(s_large_capacity, s->fields[F_ARRAY].max_capacity = 4097)
SPOIL(s_array_of_arrays, s->fields[F_ARRAY].element_type = VECDB_ARRAY)
SPOIL(s_array_of_vectors, s->fields[F_ARRAY].element_type = VECDB_FLOAT_VECTOR)
SPOIL(s_array_of_nothing, s->fields[F_ARRAY].element_type = 0)
SPOIL(s_text_elements, s->fields[F_TEXT].element_type = VECDB_BOOL)
SPOIL(s_metric, s->fields[F_VECTOR].metric = 9)
SPOIL(s_bits_metric, s->fields[F_BITS].metric = VECDB_L2)
SPOIL(s_float_metric, s->fields[F_VECTOR].metric = VECDB_JACCARD)
SPOIL(s_text_metric, s->fields[F_TEXT].metric = VECDB_L2)
SPOIL(s_vector_nullable, s->fields[F_VECTOR].flags = VECDB_NULLABLE)
SPOIL(s_allow_zero, s->fields[F_VECTOR].flags = VECDB_ALLOW_ZERO;
      s->fields[F_VECTOR].metric = VECDB_L2)
SPOIL(s_scalar_index, s->fields[F_TEXT].scalar_index = 4)
SPOIL(s_vector_scalar_index, s->fields[F_VECTOR].scalar_index = VECDB_SCALAR_INDEX_HASH)
SPOIL(s_text_index, s->fields[F_TEXT].index.type = VECDB_INDEX_HNSW;
      s->fields[F_TEXT].index.size = sizeof(vecdb_index_params))
SPOIL(s_index_type, s->fields[F_VECTOR].index.type = 14;
      s->fields[F_VECTOR].index.size = sizeof(vecdb_index_params))
SPOIL(s_index_size, s->fields[F_VECTOR].index.size = 4)
SPOIL(s_index_m, s->fields[F_VECTOR].index.m = 3;
      s->fields[F_VECTOR].index.size = sizeof(vecdb_index_params))
SPOIL(s_index_ef, s->fields[F_VECTOR].index.ef_construction = 4097;
      s->fields[F_VECTOR].index.size = sizeof(vecdb_index_params))
SPOIL(s_default_without_flag, s->fields[F_TEXT].default_value.type = VECDB_VARCHAR)
SPOIL(s_default_type, set_default(&s->fields[F_TEXT], (vecdb_value){.type = VECDB_INT64}))
SPOIL(s_default_long, set_default(&s->fields[F_TEXT], (vecdb_value){.type = VECDB_VARCHAR,
                                                                    .length = 6,
                                                                    .as.data = "longer"}))
SPOIL(s_default_utf8, set_default(&s->fields[F_TEXT], (vecdb_value){.type = VECDB_VARCHAR,
                                                                    .length = 1,
                                                                    .as.data = "\xff"}))
SPOIL(s_default_range, add_fields(s, 6, VECDB_INT8, 0);
      set_default(&s->fields[5], (vecdb_value){.type = VECDB_INT64, .as.integer = 128}))
SPOIL(s_default_vector, set_default(&s->fields[F_VECTOR], (vecdb_value){.type = VECDB_INT64}))
SPOIL(s_description, memset(s->text, 'd', 1025); s->schema.description = s->text)
SPOIL(s_description_utf8, s->fields[F_TEXT].description = "\x80")
SPOIL(s_size, s->schema.size = 1)
SPOIL(s_field_size, s->schema.field_size += 8)

static const struct bad_schema {
  void (*spoil)(struct schema *s);
  int code;
  const char *field;
} bad_schemas[] = {
    {s_no_fields, VECDB_ERR_SCHEMA, ""},
    {s_null_fields, VECDB_ERR_ARGUMENT, ""},
    {s_129_fields, VECDB_ERR_LIMIT, ""},
    {s_17_vectors, VECDB_ERR_LIMIT, "f19"},
    {s_no_key, VECDB_ERR_SCHEMA, ""},
    {s_two_keys, VECDB_ERR_SCHEMA, "text"},
    {s_no_vector, VECDB_ERR_SCHEMA, ""},
    {s_key_type, VECDB_ERR_SCHEMA, "id"},
    {s_key_nullable, VECDB_ERR_SCHEMA, "id"},
    {s_auto_text, VECDB_ERR_SCHEMA, "text"},
    {s_auto_no_key, VECDB_ERR_SCHEMA, "text"},
    {s_unknown_flag, VECDB_ERR_OPTION, "text"},
    {s_unknown_type, VECDB_ERR_OPTION, "text"},
    {s_negative_type, VECDB_ERR_OPTION, "text"},
    {s_no_type, VECDB_ERR_OPTION, "text"},
    {s_same_name, VECDB_ERR_SCHEMA, "text"},
    {s_no_name, VECDB_ERR_NAME, ""},
    {s_empty_name, VECDB_ERR_NAME, ""},
    {s_dash_name, VECDB_ERR_NAME, ""},
    {s_path_name, VECDB_ERR_NAME, ""},
    {s_long_name, VECDB_ERR_NAME, ""},
    {s_no_dim, VECDB_ERR_SCHEMA, "vector"},
    {s_large_dim, VECDB_ERR_LIMIT, "vector"},
    {s_bits_dim, VECDB_ERR_SCHEMA, "bits"},
    {s_text_dim, VECDB_ERR_SCHEMA, "text"},
    {s_no_length, VECDB_ERR_SCHEMA, "text"},
    {s_large_length, VECDB_ERR_LIMIT, "text"},
    {s_no_capacity, VECDB_ERR_SCHEMA, "array"},
    {s_large_capacity, VECDB_ERR_LIMIT, "array"},
    {s_array_of_arrays, VECDB_ERR_SCHEMA, "array"},
    {s_array_of_vectors, VECDB_ERR_SCHEMA, "array"},
    {s_array_of_nothing, VECDB_ERR_OPTION, "array"},
    {s_text_elements, VECDB_ERR_SCHEMA, "text"},
    {s_metric, VECDB_ERR_OPTION, "vector"},
    {s_bits_metric, VECDB_ERR_SCHEMA, "bits"},
    {s_float_metric, VECDB_ERR_SCHEMA, "vector"},
    {s_text_metric, VECDB_ERR_SCHEMA, "text"},
    {s_vector_nullable, VECDB_ERR_SCHEMA, "vector"},
    {s_allow_zero, VECDB_ERR_SCHEMA, "vector"},
    {s_scalar_index, VECDB_ERR_OPTION, "text"},
    {s_vector_scalar_index, VECDB_ERR_SCHEMA, "vector"},
    {s_text_index, VECDB_ERR_SCHEMA, "text"},
    {s_index_type, VECDB_ERR_OPTION, "vector"},
    {s_index_size, VECDB_ERR_OPTION, "vector"},
    {s_index_m, VECDB_ERR_INDEX_PARAM, "vector"},
    {s_index_ef, VECDB_ERR_INDEX_PARAM, "vector"},
    {s_default_without_flag, VECDB_ERR_SCHEMA, "text"},
    {s_default_type, VECDB_ERR_TYPE, "text"},
    {s_default_long, VECDB_ERR_TOO_LONG, "text"},
    {s_default_utf8, VECDB_ERR_UTF8, "text"},
    {s_default_range, VECDB_ERR_RANGE, "f5"},
    {s_default_vector, VECDB_ERR_SCHEMA, "vector"},
    {s_description, VECDB_ERR_LIMIT, ""},
    {s_description_utf8, VECDB_ERR_UTF8, "text"},
    {s_size, VECDB_ERR_OPTION, ""},
    {s_field_size, VECDB_ERR_OPTION, ""},
};

static int count_names(void *user, const char *name) {
  (void)name;
  ++*(int *)user;
  return 0;
}

static void test_schemas(void **state) {
  (void)state;
  vecdb *db = at_open(":memory:", NULL);
  struct schema *s = malloc(sizeof *s);
  vecdb_collection *coll;
  int names = 0;
  for (size_t i = 0; i < AT_COUNT(bad_schemas); i++) {
    good_schema(s);
    bad_schemas[i].spoil(s);
    coll = (vecdb_collection *)s;
    at_fails(bad_schemas[i].code, vecdb_collection_create(db, "c", &s->schema, &coll, &at_err));
    assert_null(coll);
    check_error(i, -1, bad_schemas[i].field, "");
  }
  at_ok(vecdb_collection_list(db, count_names, &names, &at_err));
  assert_int_equal(names, 0);
  good_schema(s);
  add_fields(s, VECDB_MAX_FIELDS, VECDB_BOOL, 0); /* the limit itself is fine */
  memset(s->text, 'n', VECDB_MAX_NAME);
  s->fields[F_TEXT].name = s->text;
  memset(s->text + 300, 'd', VECDB_MAX_DESCRIPTION);
  s->schema.description = s->text + 300;
  s->fields[F_TEXT].max_length = VECDB_MAX_VARCHAR;
  at_ok(vecdb_collection_create(db, "c", &s->schema, NULL, &at_err));
  free(s);
  at_close(db);
}

static void test_names(void **state) {
  (void)state;
  char longest[257];
  memset(longest, 'a', 256);
  longest[256] = '\0';
  const char *const bad[] = {"",    ".",   "..",     "/",        "a/b",  "../x", "/etc/passwd",
                             "a\\b", "C:",  "a.b",    "1a",       "-a",   "a b",  " a",
                             "a\n",  "a\"", "\xc3\xa4", "a\x80",   "a:b",  "~",    longest};
  char *folder = at_folder();
  vecdb *db = at_open(folder, NULL);
  struct schema *s = malloc(sizeof *s);
  good_schema(s);
  for (size_t i = 0; i < AT_COUNT(bad); i++) {
    vecdb_collection *coll = (vecdb_collection *)s;
    at_fails(VECDB_ERR_NAME, vecdb_collection_create(db, bad[i], &s->schema, &coll, &at_err));
    assert_null(coll);
    at_fails(VECDB_ERR_NOT_FOUND, vecdb_collection_get(db, bad[i], &coll, &at_err));
    at_fails(VECDB_ERR_NOT_FOUND, vecdb_collection_drop(db, bad[i], &at_err));
  }
  longest[255] = '\0';
  const char *const good[] = {"a", "_", "A-1", "con", "MANIFEST", "LOCK", longest};
  for (size_t i = 0; i < AT_COUNT(good); i++)
    at_ok(vecdb_collection_create(db, good[i], &s->schema, NULL, &at_err));
  free(s);
  at_close(db);
  db = at_open(folder, NULL);
  vecdb_collection *coll;
  at_ok(vecdb_collection_get(db, longest, &coll, &at_err));
  vecdb_collection_release(coll);
  at_close(db);
  at_remove(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_rows),
      cmocka_unit_test(test_batch_bytes),
      cmocka_unit_test(test_schemas),
      cmocka_unit_test(test_names),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
