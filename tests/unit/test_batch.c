/*
 * test_batch.c - batches: every error with its code, field and row; round trips of random rows in
 * all forms; keys that come twice; records cut, changed and behind odd offsets; limits; lack of
 * memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "attr_gen.h"
#include "tlib/memfault.h"

static struct vdb_mem mem;

static int setup(void **state) {
  (void)state;
  vdb_mem_init(&mem, NULL, 0);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  return mem.used != 0;
}

static void expect(const vecdb_error *err, int rc, int code, int64_t row, const char *field,
                   const char *text) {
  bool same = rc == code && (rc == 0 || (err->row == row && strcmp(err->field, field) == 0 &&
                                         strstr(err->message, text)));
  if (!same)
    fail_msg("got %s, field '%s', row %lld: %s; expected %s, field '%s', row %lld: %s",
             vecdb_status_name(rc), err->field, (long long)err->row, err->message,
             vecdb_status_name(code), field, (long long)row, text);
}

static struct vdb_schema *make_schema(const vecdb_field *fields, uint32_t n) {
  vecdb_schema from = VECDB_SCHEMA_INIT;
  vecdb_error err = {0};
  struct vdb_schema *schema;
  from.fields = fields;
  from.n_fields = n;
  expect(&err, vdb_schema_new(&mem, &from, &schema, &err), 0, -1, "", "");
  return schema;
}

/* ---- Round trips ------------------------------------------------------------------------------
   */

/* Which rows stay, found by comparing all keys. */
static uint32_t slow_source(const vecdb_schema *s, const struct gen_batch *b, uint32_t key,
                            uint32_t *source) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < b->batch.n_rows; i++) {
    bool last = true;
    for (uint32_t j = i + 1; j < b->batch.n_rows && last; j++)
      last = !gen_equal(&b->values[(size_t)i * s->n_fields + key],
                        &b->values[(size_t)j * s->n_fields + key]);
    if (last)
      source[n++] = i;
  }
  return n;
}

static void check_decoded(const vecdb_schema *s, const struct gen_batch *b,
                          const struct vdb_batch *batch, const uint32_t *source) {
  vecdb_string *strings = malloc(VECDB_MAX_ARRAY * sizeof *strings);
  for (uint32_t f = 0; f < s->n_fields; f++)
    for (uint32_t i = 0; i < batch->n_rows; i++) {
      vecdb_value want = b->values[(size_t)source[i] * s->n_fields + f];
      vecdb_value got = vdb_column_value(&batch->columns[f], i, strings);
      assert_true(gen_equal(&got, &want));
    }
  free(strings);
}

static void test_round_trip(void **state) {
  (void)state;
  static const uint32_t sizes[] = {1, 2, 3, 7, 8, 64, 150};
  size_t dropped = 0;
  for (uint64_t seed = 1; seed <= 600; seed++) {
    struct gen g = {{seed}, NULL, 0};
    vecdb_schema from = gen_schema(&g);
    struct vdb_schema *schema = make_schema(from.fields, from.n_fields);
    struct gen_batch b = gen_batch(&g, &from, sizes[seed % VDB_COUNT(sizes)]);
    uint32_t n, n_slow, source[150], slow[150];
    struct vdb_writer out = VDB_WRITER(&mem);
    vecdb_error err = {0};
    size_t before = gen_below(&g, 20);
    vdb_write_bytes(&out, "before the record, it", before);
    int rc = vdb_batch_encode(&mem, schema, &b.batch, 1000, &out, &n, source, &err);
    expect(&err, rc, 0, -1, "", "");
    n_slow = slow_source(&from, &b, schema->key, slow);
    assert_int_equal(n, n_slow);
    assert_memory_equal(source, slow, n * sizeof *slow);
    dropped += b.batch.n_rows - n;
    assert_memory_equal(out.data, "before the record, it", before);
    uint8_t *record = gen_exact(out.data + before, out.n - before);
    struct vdb_batch batch;
    rc = vdb_batch_decode(&mem, schema, record, out.n - before, &batch, &err);
    expect(&err, rc, 0, -1, "", "");
    assert_int_equal(batch.n_rows, n);
    assert_int_equal(batch.n_columns, from.n_fields);
    check_decoded(&from, &b, &batch, source);
    for (uint32_t i = 0; i < n; i++) {
      struct vdb_bytes key = vdb_key_of(&batch.columns[schema->key], i);
      assert_int_equal(vdb_key_compare(key, key, schema->fields[schema->key].type), 0);
    }
    vdb_batch_fini(&mem, &batch);
    assert_int_equal(vdb_batch_view(&mem, schema, record, out.n - before, &batch, &err), VECDB_OK);
    check_decoded(&from, &b, &batch, source);
    vdb_batch_fini(&mem, &batch);
    free(record);
    vdb_writer_free(&out);
    vdb_schema_free(&mem, schema);
    gen_free(&g);
  }
  assert_true(dropped > 1000);
}

/* ---- Damage -----------------------------------------------------------------------------------
   */

static int decode_copy(const struct vdb_schema *schema, const uint8_t *data, size_t n) {
  vecdb_error err = {0};
  struct vdb_batch batch;
  uint8_t *bytes = gen_exact(data, n);
  int rc = vdb_batch_decode(&mem, schema, bytes, n, &batch, &err);
  if (rc == VECDB_OK) {
    assert_true(gen_read_all(&batch) != 1);
    vdb_batch_fini(&mem, &batch);
  } else {
    assert_int_equal(rc, VECDB_ERR_CORRUPT);
    assert_null(batch.columns);
  }
  free(bytes);
  return rc;
}

/* Calls `check` with records of random schemas. */
static void with_records(uint64_t seeds, uint32_t most,
                         void (*check)(struct gen *g, const struct vdb_schema *, uint8_t *data,
                                       size_t n)) {
  for (uint64_t seed = 1; seed <= seeds; seed++) {
    struct gen g = {{seed * 77}, NULL, 0};
    vecdb_schema from = gen_schema(&g);
    struct vdb_schema *schema = make_schema(from.fields, from.n_fields);
    struct gen_batch b = gen_batch(&g, &from, 1 + gen_below(&g, most));
    struct vdb_writer out = VDB_WRITER(&mem);
    uint32_t n, *source = gen_take(&g, b.batch.n_rows * sizeof *source);
    vecdb_error err = {0};
    int rc = vdb_batch_encode(&mem, schema, &b.batch, 1, &out, &n, source, &err);
    expect(&err, rc, 0, -1, "", "");
    check(&g, schema, out.data, out.n);
    vdb_writer_free(&out);
    vdb_schema_free(&mem, schema);
    gen_free(&g);
  }
}

static void check_cuts(struct gen *g, const struct vdb_schema *schema, uint8_t *data, size_t n) {
  (void)g;
  size_t step = 1 + n / 3000;
  for (size_t cut = 0; cut < n; cut += step)
    assert_int_equal(decode_copy(schema, data, cut), VECDB_ERR_CORRUPT);
  assert_int_equal(decode_copy(schema, data, n), VECDB_OK);
  uint8_t *longer = gen_take(g, n + 8);
  memcpy(longer, data, n);
  assert_int_equal(decode_copy(schema, longer, n + 8), VECDB_ERR_CORRUPT);
}

static size_t changed_accepted;

static void check_changes(struct gen *g, const struct vdb_schema *schema, uint8_t *data, size_t n) {
  uint8_t *copy = gen_take(g, n);
  for (int i = 0; i < 1500; i++) {
    memcpy(copy, data, n);
    for (uint32_t k = gen_below(g, 3); k < 3; k++) {
      size_t at = gen_below(g, (uint32_t)n);
      if (gen_one_in(g, 3)) /* numbers: offsets and counts */
        at &= ~(size_t)7;
      copy[at] = (uint8_t)(gen_one_in(g, 2) ? gen_below(g, 256) : copy[at] + gen_below(g, 3) - 1);
    }
    changed_accepted += decode_copy(schema, copy, n) == VECDB_OK;
  }
}

static void test_cut(void **state) {
  (void)state;
  with_records(25, 12, check_cuts);
}

static void test_changed(void **state) {
  (void)state;
  with_records(60, 20, check_changes);
  assert_true(changed_accepted > 100);
}

/* A record of one nullable column, changed at known places. */
static void test_decode_rules(void **state) {
  (void)state;
  static const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = "x", .type = VECDB_INT32, .flags = VECDB_NULLABLE},
      {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = 1},
  };
  struct vdb_schema *schema = make_schema(fields, 3);
  uint8_t record[80] = {1, 0, 0, 0, 3};
  record[24] = 1; /* nulls of x from 24, its value at 40, v from 48, its value at 56 */
  record[32] = 1;
  float one = 1, zero = 0, nan = __builtin_nanf("");
  memcpy(record + 56, &one, 4);
  assert_int_equal(decode_copy(schema, record, 64), VECDB_OK);
  static const struct {
    size_t at;
    uint8_t byte;
  } cases[] = {{0, 0}, {0, 2}, {4, 2}, {4, 4}, {3, 1}, {8, 1}, {8, 2}, {9, 1}, {24, 0}, {24, 2},
               {25, 1}, {32, 2}, {33, 1}, {40, 1}, {44, 1}, {48, 1}, {60, 1}, {63, 1}};
  for (size_t i = 0; i < VDB_COUNT(cases); i++) {
    uint8_t old = record[cases[i].at];
    record[cases[i].at] = cases[i].byte;
    assert_int_equal(decode_copy(schema, record, 64), VECDB_ERR_CORRUPT);
    record[cases[i].at] = old;
  }
  vecdb_error err = {0};
  struct vdb_batch batch;
  uint64_t aligned[8];
  memcpy(record + 56, &nan, 4);
  memcpy(aligned, record, 64);
  int rc = vdb_batch_decode(&mem, schema, aligned, 64, &batch, &err);
  expect(&err, rc, VECDB_ERR_CORRUPT, 0, "v", "a stored batch: element 0");
  memcpy(record + 56, &zero, 4);
  memcpy(aligned, record, 64);
  rc = vdb_batch_decode(&mem, schema, aligned, 64, &batch, &err);
  expect(&err, rc, VECDB_ERR_CORRUPT, 0, "v", "is zero");
  vdb_schema_free(&mem, schema);
}

/* A record of a schema that allows more than the one it is read with. */
static void test_decode_limits(void **state) {
  (void)state;
  vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = "t", .type = VECDB_VARCHAR, .max_length = 4},
      {.name = "a", .type = VECDB_ARRAY, .element_type = VECDB_VARCHAR, .max_capacity = 2,
       .max_length = 4},
      {.name = "v", .type = VECDB_BINARY_VECTOR, .dim = 8},
  };
  vecdb_string elements[2] = {{"abcd", 4}, {"", 0}};
  const char *text = "wxyz";
  const void *array = elements;
  uint32_t two = 2, n, source[1];
  vecdb_column columns[] = {{.field = "id", .data = "12345678"}, {.field = "t", .data = &text},
                            {.field = "a", .data = &array, .lengths = &two},
                            {.field = "v", .data = "b"}};
  vecdb_batch batch = VECDB_BATCH_INIT;
  batch.columns = columns;
  batch.n_columns = 4;
  batch.n_rows = 1;
  struct vdb_writer out = VDB_WRITER(&mem);
  struct vdb_schema *wide = make_schema(fields, 4);
  vecdb_error err = {0};
  int rc = vdb_batch_encode(&mem, wide, &batch, 0, &out, &n, source, &err);
  expect(&err, rc, 0, -1, "", "");
  assert_int_equal(decode_copy(wide, out.data, out.n), VECDB_OK);
  out.data[32] = 1; /* the first offset of t */
  assert_int_equal(decode_copy(wide, out.data, out.n), VECDB_ERR_CORRUPT);
  out.data[32] = 0;
  for (int i = 0; i < 3; i++) {
    uint32_t *limit = i == 0   ? &fields[1].max_length
                      : i == 1 ? &fields[2].max_length
                               : &fields[2].max_capacity;
    (*limit)--;
    struct vdb_schema *narrow = make_schema(fields, 4);
    assert_int_equal(decode_copy(narrow, out.data, out.n), VECDB_ERR_CORRUPT);
    vdb_schema_free(&mem, narrow);
    (*limit)++;
  }
  vdb_schema_free(&mem, wide);
  fields[1] = fields[3];
  wide = make_schema(fields, 2);
  static const uint8_t no_rows[24] = {0, 0, 0, 0, 2};
  assert_int_equal(decode_copy(wide, no_rows, sizeof no_rows), VECDB_ERR_CORRUPT);
  vdb_schema_free(&mem, wide);
  vdb_writer_free(&out);
}

static void test_array_forms(void **state) {
  (void)state;
  static const struct {
    uint8_t bytes[16];
    size_t n;
    int32_t type;
    bool valid;
  } cases[] = {
      {{0}, 0, VECDB_INT8, false},
      {{0}, 3, VECDB_INT8, false},
      {{0}, 4, VECDB_INT8, true},
      {{0}, 5, VECDB_INT8, false},
      {{2, 0, 0, 0, 1, 2}, 6, VECDB_INT8, true},
      {{2, 0, 0, 0, 1, 2}, 6, VECDB_INT16, false},
      {{2, 0, 0, 0, 1, 2}, 6, VECDB_ARRAY, false},
      {{1, 0, 0, 0x80}, 12, VECDB_INT64, false},
      {{0}, 4, VECDB_VARCHAR, true},
      {{0}, 5, VECDB_VARCHAR, false},
      {{1}, 4, VECDB_VARCHAR, false},
      {{1}, 8, VECDB_VARCHAR, true},
      {{1, 0, 0, 0, 1, 0, 0, 0, 'a'}, 9, VECDB_VARCHAR, true},
      {{1, 0, 0, 0, 1, 0, 0, 0, 'a'}, 10, VECDB_VARCHAR, false},
      {{1, 0, 0, 0, 2, 0, 0, 0, 'a'}, 9, VECDB_VARCHAR, false},
      {{0xff, 0xff, 0xff, 0xff, 1}, 16, VECDB_VARCHAR, false},
  };
  for (size_t i = 0; i < VDB_COUNT(cases); i++) {
    uint8_t *copy = gen_exact(cases[i].bytes, cases[i].n);
    struct vdb_bytes array = {copy, cases[i].n};
    assert_int_equal(vdb_array_valid(array, cases[i].type), cases[i].valid);
    assert_int_equal(vdb_array_count(array), cases[i].n < 4 ? 0 : cases[i].bytes[0] |
                     (uint32_t)cases[i].bytes[1] << 8 | (uint32_t)cases[i].bytes[2] << 16 |
                     (uint32_t)cases[i].bytes[3] << 24);
    free(copy);
  }
}

/* ---- Errors -----------------------------------------------------------------------------------
   */

enum { ROWS = 4 };

static const vecdb_field error_fields[] = {
    {.name = "key", .type = VECDB_VARCHAR, .max_length = 4, .flags = VECDB_PRIMARY_KEY},
    {.name = "bool", .type = VECDB_BOOL},
    {.name = "float", .type = VECDB_FLOAT},
    {.name = "double", .type = VECDB_DOUBLE, .flags = VECDB_NULLABLE},
    {.name = "text", .type = VECDB_VARCHAR, .max_length = 3, .flags = VECDB_NULLABLE},
    {.name = "ints", .type = VECDB_ARRAY, .element_type = VECDB_INT16, .max_capacity = 2},
    {.name = "texts", .type = VECDB_ARRAY, .element_type = VECDB_VARCHAR, .max_capacity = 2,
     .max_length = 3, .flags = VECDB_NULLABLE},
    {.name = "bools", .type = VECDB_ARRAY, .element_type = VECDB_BOOL, .max_capacity = 2},
    {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = 2},
    {.name = "half", .type = VECDB_FLOAT16_VECTOR, .dim = 2, .metric = VECDB_L2},
    {.name = "brain", .type = VECDB_BFLOAT16_VECTOR, .dim = 2, .metric = VECDB_IP},
    {.name = "tiny", .type = VECDB_INT8_VECTOR, .dim = 2},
    {.name = "with", .type = VECDB_INT32, .flags = VECDB_HAS_DEFAULT,
     .default_value = {.type = VECDB_INT32}},
};
enum { N_ERROR = sizeof error_fields / sizeof error_fields[0] };
enum { F_KEY, F_BOOL, F_FLOAT, F_DOUBLE, F_TEXT, F_INTS, F_TEXTS, F_BOOLS, F_V, F_HALF, F_BRAIN,
       F_TINY, F_WITH };

/* A good batch that each case spoils. */
struct rows {
  vecdb_batch batch;
  vecdb_column columns[N_ERROR + 1];
  const char *keys[ROWS];
  uint8_t bools[ROWS];
  float floats[ROWS];
  double doubles[ROWS];
  const char *texts[ROWS];
  uint32_t text_lengths[ROWS];
  const void *ints[ROWS];
  const void *strings[ROWS];
  const void *flags[ROWS];
  uint32_t counts[ROWS];
  uint32_t string_counts[ROWS];
  uint32_t flag_counts[ROWS];
  float v[ROWS * 2];
  uint16_t half[ROWS * 2];
  uint16_t brain[ROWS * 2];
  int8_t tiny[ROWS * 2];
  int32_t with[ROWS];
  uint8_t valid[ROWS];
  vecdb_string pair[2];
};

static const int16_t some_ints[2] = {1, 2};
static const uint8_t bad_flags[2] = {1, 2};

static void rows_init(struct rows *r) {
  memset(r, 0, sizeof *r);
  static const char *const keys[ROWS] = {"a", "b", "c", "d"};
  for (size_t i = 0; i < ROWS; i++) {
    r->keys[i] = keys[i];
    r->texts[i] = "xyz";
    r->text_lengths[i] = 3;
    r->ints[i] = some_ints;
    r->strings[i] = r->pair;
    r->flags[i] = bad_flags;
    r->counts[i] = r->string_counts[i] = 2;
    r->flag_counts[i] = r->valid[i] = 1;
    r->v[2 * i] = 1;
    r->half[2 * i] = r->brain[2 * i] = 0x3c00;
    r->tiny[2 * i] = 1;
  }
  r->pair[0] = (vecdb_string){"abc", 3};
  const void *data[N_ERROR] = {r->keys,    r->bools, r->floats, r->doubles, r->texts, r->ints,
                               r->strings, r->flags, r->v,      r->half,    r->brain, r->tiny,
                               r->with};
  for (size_t f = 0; f < N_ERROR; f++) {
    r->columns[f].field = error_fields[f].name;
    r->columns[f].data = data[f];
  }
  r->columns[F_TEXT].lengths = r->text_lengths;
  r->columns[F_INTS].lengths = r->counts;
  r->columns[F_TEXTS].lengths = r->string_counts;
  r->columns[F_BOOLS].lengths = r->flag_counts;
  r->batch = (vecdb_batch)VECDB_BATCH_INIT;
  r->batch.columns = r->columns;
  r->batch.n_columns = N_ERROR;
  r->batch.n_rows = ROWS;
}

static void e_none(struct rows *r) { (void)r; }
static void e_size(struct rows *r) { r->batch.size = 4; }
static void e_column_size(struct rows *r) { r->batch.column_size = 0; }
static void e_no_rows(struct rows *r) { r->batch.n_rows = 0; }
static void e_many_rows(struct rows *r) { r->batch.n_rows = VECDB_MAX_BATCH_ROWS + 1; }
static void e_no_columns(struct rows *r) { r->batch.columns = NULL; }
static void e_many_columns(struct rows *r) { r->batch.n_columns = VECDB_MAX_FIELDS + 1; }
static void e_no_name(struct rows *r) { r->columns[2].field = NULL; }
static void e_unknown(struct rows *r) { r->columns[2].field = "floats"; }
static void e_twice(struct rows *r) { r->columns[F_WITH].field = "v"; }
static void e_missing(struct rows *r) { r->columns[F_BOOL] = r->columns[--r->batch.n_columns]; }
static void e_missing_key(struct rows *r) { r->columns[F_KEY] = r->columns[--r->batch.n_columns]; }
static void e_default(struct rows *r) { r->batch.n_columns--; }
static void e_nullable(struct rows *r) { r->columns[F_DOUBLE] = r->columns[--r->batch.n_columns]; }
static void e_no_data(struct rows *r) { r->columns[F_V].data = NULL; }
static void e_no_data_ok(struct rows *r) {
  r->columns[F_TEXT].data = r->columns[F_WITH].data = NULL;
}
static void e_dim(struct rows *r) { r->columns[F_V].dim = 3; }
static void e_dim_scalar(struct rows *r) { r->columns[F_BOOL].dim = 1; }
static void e_dim_ok(struct rows *r) { r->columns[F_V].dim = 2; }
static void e_stride(struct rows *r) { r->columns[F_V].stride = 7; }
static void e_stride_text(struct rows *r) { r->columns[F_TEXT].stride = 3; }
static void e_lengths(struct rows *r) { r->columns[F_INTS].lengths = NULL; }
static void spoil_valid(struct rows *r, int f, size_t row) {
  r->columns[f].valid = r->valid;
  r->valid[row] = 0;
}
static void e_null(struct rows *r) { spoil_valid(r, F_BOOL, 2); }
static void e_null_key(struct rows *r) { spoil_valid(r, F_KEY, 1); }
static void e_null_vector(struct rows *r) { spoil_valid(r, F_V, 3); }
static void e_null_default(struct rows *r) { spoil_valid(r, F_WITH, 0); }
static void e_null_ok(struct rows *r) {
  spoil_valid(r, F_TEXT, 1);
  r->columns[F_DOUBLE].valid = r->columns[F_TEXTS].valid = r->valid;
  r->texts[1] = NULL;
  r->text_lengths[1] = 99;
  r->doubles[1] = (double)__builtin_nanf("");
  r->strings[1] = NULL;
  r->string_counts[1] = UINT32_MAX;
}
static void e_bool(struct rows *r) { r->bools[3] = 2; }
static void e_bool_strided(struct rows *r) {
  r->bools[2] = 255;
  r->columns[F_BOOL].stride = 2;
  r->columns[F_BOOL].data = r->bools;
  r->batch.n_rows = 2;
}
static void e_float(struct rows *r) { r->floats[2] = __builtin_inff(); }
static void e_double(struct rows *r) { r->doubles[1] = (double)__builtin_nanf(""); }
static void e_double_nulls(struct rows *r) {
  spoil_valid(r, F_DOUBLE, 0);
  r->doubles[3] = -__builtin_inf();
}
static void e_text_long(struct rows *r) { r->text_lengths[1] = 4; }
static void e_text_long_nul(struct rows *r) {
  r->columns[F_TEXT].lengths = NULL;
  r->texts[3] = "abcd";
}
static void e_text_null(struct rows *r) { r->texts[2] = NULL; }
static void e_text_null_nul(struct rows *r) {
  r->columns[F_TEXT].lengths = NULL;
  r->texts[2] = NULL;
}
static void e_text_null_empty(struct rows *r) {
  r->texts[2] = NULL;
  r->text_lengths[2] = 0;
}
static void e_text_utf8(struct rows *r) { r->texts[0] = "a\xe2\x82"; }
static void e_text_nul(struct rows *r) { r->texts[0] = "a\0b"; }
static void e_key_long(struct rows *r) { r->keys[1] = "abcde"; }
static void e_key_null(struct rows *r) { r->keys[3] = NULL; }
static void e_key_utf8(struct rows *r) { r->keys[3] = "\xff"; }
static void e_ints_long(struct rows *r) { r->counts[2] = 3; }
static void e_ints_null(struct rows *r) { r->ints[2] = NULL; }
static void e_ints_empty(struct rows *r) {
  r->ints[2] = NULL;
  r->counts[2] = 0;
}
static void e_texts_long(struct rows *r) { r->pair[1] = (vecdb_string){"abcd", 4}; }
static void e_texts_count(struct rows *r) { r->string_counts[1] = 3; }
static void e_texts_null(struct rows *r) { r->pair[1] = (vecdb_string){NULL, 1}; }
static void e_texts_utf8(struct rows *r) { r->pair[1] = (vecdb_string){"\xc3", 1}; }
static void e_bools(struct rows *r) { r->flag_counts[1] = 2; }
static void e_v_nan(struct rows *r) { r->v[5] = __builtin_nanf(""); }
static void e_v_inf(struct rows *r) { r->v[2] = -__builtin_inff(); }
static void e_v_zero(struct rows *r) { r->v[6] = -0.0f; }
static void e_v_short(struct rows *r) { r->v[6] = 1e-20f; }
static void e_v_large(struct rows *r) { r->v[1] = 2e19f; }
static void e_half(struct rows *r) { r->half[3] = 0xfc00; }
static void e_half_zero_ok(struct rows *r) { r->half[2] = 0; }
static void e_brain_nan(struct rows *r) { r->brain[3] = 0x7fc0; }
static void e_brain_large(struct rows *r) { r->brain[7] = 0x7f00; }
static void e_brain_zero_ok(struct rows *r) { r->brain[2] = 0; }
static void e_tiny_zero(struct rows *r) { r->tiny[4] = 0; }
/* a row that is dropped is checked all the same */
static void e_dropped_v(struct rows *r) {
  r->keys[0] = "b";
  r->v[1] = __builtin_inff();
}
static void e_dropped_text(struct rows *r) {
  r->keys[0] = "b";
  r->texts[0] = "\xff--";
}
static void e_dropped_ints(struct rows *r) {
  r->keys[2] = "d";
  r->counts[2] = 3;
}
static void e_dropped_bool(struct rows *r) {
  r->keys[0] = "c";
  r->bools[0] = 9;
}

static const struct error_case {
  void (*spoil)(struct rows *);
  int code;
  int64_t row;
  const char *field;
  const char *text;
} error_cases[] = {
    {e_none, 0, -1, "", ""},
    {e_size, VECDB_ERR_OPTION, -1, "", "batch struct"},
    {e_column_size, VECDB_ERR_OPTION, -1, "", "column struct"},
    {e_no_rows, VECDB_ERR_ARGUMENT, -1, "", "no rows"},
    {e_many_rows, VECDB_ERR_LIMIT, -1, "", "1048577 rows, at most 1048576"},
    {e_no_columns, VECDB_ERR_ARGUMENT, -1, "", "columns of the batch are NULL"},
    {e_many_columns, VECDB_ERR_LIMIT, -1, "", "129 columns, at most 128"},
    {e_no_name, VECDB_ERR_ARGUMENT, -1, "", "column 2 has no field name"},
    {e_unknown, VECDB_ERR_UNKNOWN_FIELD, -1, "floats", "no field 'floats'"},
    {e_twice, VECDB_ERR_ARGUMENT, -1, "v", "two columns"},
    {e_missing, VECDB_ERR_MISSING_FIELD, -1, "bool", "no column"},
    {e_missing_key, VECDB_ERR_MISSING_FIELD, -1, "key", "no column"},
    {e_default, 0, -1, "", ""},
    {e_nullable, 0, -1, "", ""},
    {e_no_data, VECDB_ERR_NULL_VALUE, 0, "v", "not nullable"},
    {e_no_data_ok, 0, -1, "", ""},
    {e_dim, VECDB_ERR_DIMENSION, -1, "v", "dimension 3, and the field 2"},
    {e_dim_scalar, VECDB_ERR_DIMENSION, -1, "bool", "no vector"},
    {e_dim_ok, 0, -1, "", ""},
    {e_stride, VECDB_ERR_ARGUMENT, -1, "v", "stride of field 'v' is 7, and a value takes 8"},
    {e_stride_text, VECDB_ERR_ARGUMENT, -1, "text", "is 3, and a value takes 8"},
    {e_lengths, VECDB_ERR_ARGUMENT, -1, "ints", "needs lengths"},
    {e_null, VECDB_ERR_NULL_VALUE, 2, "bool", "not nullable"},
    {e_null_key, VECDB_ERR_NULL_VALUE, 1, "key", "not nullable"},
    {e_null_vector, VECDB_ERR_NULL_VALUE, 3, "v", "not nullable"},
    {e_null_default, VECDB_ERR_NULL_VALUE, 0, "with", "not nullable"},
    {e_null_ok, 0, -1, "", ""},
    {e_bool, VECDB_ERR_RANGE, 3, "bool", "neither 0 nor 1"},
    {e_bool_strided, VECDB_ERR_RANGE, 1, "bool", "neither 0 nor 1"},
    {e_float, VECDB_ERR_NOT_FINITE, 2, "float", "NaN or infinite"},
    {e_double, VECDB_ERR_NOT_FINITE, 1, "double", "NaN or infinite"},
    {e_double_nulls, VECDB_ERR_NOT_FINITE, 3, "double", "NaN or infinite"},
    {e_text_long, VECDB_ERR_TOO_LONG, 1, "text", "longer than 3 bytes"},
    {e_text_long_nul, VECDB_ERR_TOO_LONG, 3, "text", "longer than 3 bytes"},
    {e_text_null, VECDB_ERR_ARGUMENT, 2, "text", "NULL pointer"},
    {e_text_null_nul, VECDB_ERR_ARGUMENT, 2, "text", "NULL pointer"},
    {e_text_null_empty, 0, -1, "", ""},
    {e_text_utf8, VECDB_ERR_UTF8, 0, "text", "UTF-8"},
    {e_text_nul, VECDB_ERR_UTF8, 0, "text", "NUL byte"},
    {e_key_long, VECDB_ERR_TOO_LONG, 1, "key", "longer than 4 bytes"},
    {e_key_null, VECDB_ERR_ARGUMENT, 3, "key", "NULL pointer"},
    {e_key_utf8, VECDB_ERR_UTF8, 3, "key", "UTF-8"},
    {e_ints_long, VECDB_ERR_TOO_LONG, 2, "ints", "3 elements, and 2 are allowed"},
    {e_ints_null, VECDB_ERR_ARGUMENT, 2, "ints", "NULL pointer"},
    {e_ints_empty, 0, -1, "", ""},
    {e_texts_long, VECDB_ERR_TOO_LONG, 0, "texts", "longer than 3 bytes"},
    {e_texts_count, VECDB_ERR_TOO_LONG, 1, "texts", "3 elements"},
    {e_texts_null, VECDB_ERR_ARGUMENT, 0, "texts", "NULL pointer"},
    {e_texts_utf8, VECDB_ERR_UTF8, 0, "texts", "UTF-8"},
    {e_bools, VECDB_ERR_RANGE, 1, "bools", "neither 0 nor 1"},
    {e_v_nan, VECDB_ERR_NOT_FINITE, 2, "v", "element 1 of a vector"},
    {e_v_inf, VECDB_ERR_NOT_FINITE, 1, "v", "element 0 of a vector"},
    {e_v_zero, VECDB_ERR_ZERO_VECTOR, 3, "v", "is zero"},
    {e_v_short, VECDB_ERR_ZERO_VECTOR, 3, "v", "too short"},
    {e_v_large, VECDB_ERR_OVERFLOW, 0, "v", "squared norm"},
    {e_half, VECDB_ERR_NOT_FINITE, 1, "half", "element 1 of a vector"},
    {e_half_zero_ok, 0, -1, "", ""},
    {e_brain_nan, VECDB_ERR_NOT_FINITE, 1, "brain", "element 1 of a vector"},
    {e_brain_large, VECDB_ERR_OVERFLOW, 3, "brain", "squared norm"},
    {e_brain_zero_ok, 0, -1, "", ""},
    {e_tiny_zero, VECDB_ERR_ZERO_VECTOR, 2, "tiny", "is zero"},
    {e_dropped_v, VECDB_ERR_NOT_FINITE, 0, "v", "element 1"},
    {e_dropped_text, VECDB_ERR_UTF8, 0, "text", "UTF-8"},
    {e_dropped_ints, VECDB_ERR_TOO_LONG, 2, "ints", "3 elements"},
    {e_dropped_bool, VECDB_ERR_RANGE, 0, "bool", "neither"},
};

static void test_errors(void **state) {
  (void)state;
  struct vdb_schema *schema = make_schema(error_fields, N_ERROR);
  for (size_t i = 0; i < VDB_COUNT(error_cases); i++) {
    const struct error_case *c = &error_cases[i];
    struct rows r;
    struct vdb_writer out = VDB_WRITER(&mem);
    vecdb_error err = {0};
    uint32_t n = 77, source[ROWS];
    rows_init(&r);
    c->spoil(&r);
    vdb_write_bytes(&out, "abc", 3);
    int rc = vdb_batch_encode(&mem, schema, &r.batch, 1, &out, &n, source, &err);
    expect(&err, rc, c->code, c->row, c->field, c->text);
    if (rc) {
      assert_int_equal(out.n, 3);
      assert_int_equal(n, 77);
    } else {
      assert_int_equal(decode_copy(schema, out.data + 3, out.n - 3), VECDB_OK);
    }
    assert_false(out.failed);
    vdb_writer_free(&out);
  }
  vecdb_error err = {0};
  uint32_t n, source[1];
  struct vdb_writer out = VDB_WRITER(&mem);
  int rc = vdb_batch_encode(&mem, schema, NULL, 1, &out, &n, source, &err);
  expect(&err, rc, VECDB_ERR_ARGUMENT, -1, "", "NULL");
  vdb_schema_free(&mem, schema);
}

static void test_auto_ids(void **state) {
  (void)state;
  static const vecdb_field fields[] = {
      {.name = "v", .type = VECDB_INT8_VECTOR, .dim = 1, .metric = VECDB_L2},
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY | VECDB_AUTO_ID},
  };
  struct vdb_schema *schema = make_schema(fields, 2);
  int64_t ids[3] = {5, 5, 5};
  vecdb_column columns[2] = {{.field = "v", .data = "abc"}, {.field = "id", .data = ids}};
  vecdb_batch batch = VECDB_BATCH_INIT;
  batch.columns = columns;
  batch.n_columns = 2;
  batch.n_rows = 3;
  struct vdb_writer out = VDB_WRITER(&mem);
  vecdb_error err = {0};
  uint32_t n, source[3];
  int rc = vdb_batch_encode(&mem, schema, &batch, 1, &out, &n, source, &err);
  expect(&err, rc, VECDB_ERR_ARGUMENT, -1, "id", "numbered by the database");
  batch.n_columns = 1;
  rc = vdb_batch_encode(&mem, schema, &batch, INT64_MAX - 2, &out, &n, source, &err);
  expect(&err, rc, VECDB_ERR_LIMIT, -1, "", "no automatic keys left");
  int64_t first = INT64_MAX - 3;
  assert_int_equal(vdb_batch_encode(&mem, schema, &batch, first, &out, &n, source, &err), VECDB_OK);
  assert_int_equal(n, 3);
  struct vdb_batch decoded;
  assert_int_equal(vdb_batch_decode(&mem, schema, out.data, out.n, &decoded, &err), VECDB_OK);
  for (uint32_t i = 0; i < 3; i++) {
    assert_int_equal(vdb_column_value(&decoded.columns[1], i, NULL).as.integer, first + i);
    assert_int_equal(source[i], i);
  }
  vdb_batch_fini(&mem, &decoded);
  vdb_writer_free(&out);
  vdb_schema_free(&mem, schema);
}

/* ---- Limits and memory ------------------------------------------------------------------------
   */

/* As many rows as there may be, all keys twice, in time that only a hash table allows. */
static void test_many_duplicates(void **state) {
  (void)state;
  enum { N = VECDB_MAX_BATCH_ROWS };
  static const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = "v", .type = VECDB_BINARY_VECTOR, .dim = 8},
  };
  struct vdb_schema *schema = make_schema(fields, 2);
  int64_t *ids = malloc(N * sizeof *ids);
  uint8_t *bits = calloc(1, N);
  uint32_t n = 0, *source = malloc(N * sizeof *source);
  assert_true(ids && bits && source);
  for (int64_t i = 0; i < N; i++)
    ids[i] = (i % (N / 2)) * -0x100000001;
  vecdb_column columns[2] = {{.field = "id", .data = ids}, {.field = "v", .data = bits}};
  vecdb_batch batch = VECDB_BATCH_INIT;
  batch.columns = columns;
  batch.n_columns = 2;
  batch.n_rows = N;
  struct vdb_writer out = VDB_WRITER(&mem);
  vecdb_error err = {0};
  int rc = vdb_batch_encode(&mem, schema, &batch, 0, &out, &n, source, &err);
  expect(&err, rc, 0, -1, "", "");
  assert_int_equal(n, N / 2);
  for (uint32_t i = 0; i < n; i++)
    assert_int_equal(source[i], N / 2 + i);
  vdb_writer_free(&out);
  vdb_schema_free(&mem, schema);
  free(ids);
  free(bits);
  free(source);
}

/* ---- Limits and memory ------------------------------------------------------------------------
   */

static char long_text[VECDB_MAX_VARCHAR];

/* A batch whose record is over the limit though the caller's data is small. */
static void test_bytes_limit(void **state) {
  (void)state;
  enum { N = 10000 };
  static vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = "v", .type = VECDB_BINARY_VECTOR, .dim = 8},
      {.name = "t", .type = VECDB_VARCHAR, .max_length = VECDB_MAX_VARCHAR,
       .flags = VECDB_HAS_DEFAULT},
  };
  memset(long_text, 'x', sizeof long_text);
  fields[2].default_value.type = VECDB_VARCHAR;
  fields[2].default_value.length = VECDB_MAX_VARCHAR;
  fields[2].default_value.as.data = long_text;
  struct vdb_schema *schema = make_schema(fields, 3);
  int64_t *ids = malloc(N * sizeof *ids);
  uint32_t n, *source = malloc(N * sizeof *source);
  for (int64_t i = 0; i < N; i++)
    ids[i] = i;
  vecdb_column columns[2] = {{.field = "id", .data = ids}, {.field = "v", .data = ids}};
  vecdb_batch batch = VECDB_BATCH_INIT;
  batch.columns = columns;
  batch.n_columns = 2;
  batch.n_rows = N;
  struct memfault fault;
  struct vdb_mem counted;
  memfault_init(&fault);
  vdb_mem_init(&counted, &fault.table, 0);
  struct vdb_writer out = VDB_WRITER(&counted);
  vecdb_error err = {0};
  int rc = vdb_batch_encode(&counted, schema, &batch, 0, &out, &n, source, &err);
  expect(&err, rc, VECDB_ERR_LIMIT, -1, "", "at most 536870912");
  assert_int_equal(memfault_calls(&fault), 0);
  vdb_schema_free(&mem, schema);
  free(ids);
  free(source);
}

static void test_no_memory(void **state) {
  (void)state;
  struct memfault fault;
  struct vdb_mem tight;
  memfault_init(&fault);
  vdb_mem_init(&tight, &fault.table, 0);
  uint64_t most = 0;
  for (uint64_t seed = 1; seed <= 40; seed++) {
    struct gen g = {{seed}, NULL, 0};
    vecdb_schema from = gen_schema(&g);
    struct vdb_schema *schema = make_schema(from.fields, from.n_fields);
    struct gen_batch b = gen_batch(&g, &from, 20);
    struct vdb_batch batch = {0};
    for (uint64_t nth = 1;; nth++) {
      vecdb_error err = {0};
      uint32_t n, source[20];
      struct vdb_writer out = VDB_WRITER(&tight);
      memfault_fail(&fault, nth, false);
      int rc = vdb_batch_encode(&tight, schema, &b.batch, 1, &out, &n, source, &err);
      if (rc == VECDB_OK)
        rc = vdb_batch_decode(&tight, schema, out.data, out.n, &batch, &err);
      assert_int_equal(rc, memfault_failed(&fault) ? VECDB_ERR_NO_MEMORY : VECDB_OK);
      vdb_batch_fini(&tight, &batch);
      vdb_writer_free(&out);
      assert_int_equal(memfault_live(&fault), 0);
      if (rc == VECDB_OK)
        break;
      most = nth > most ? nth : most;
    }
    vdb_schema_free(&mem, schema);
    gen_free(&g);
  }
  assert_int_equal(most, 4); /* the keys, the record, keys of JSON, the columns */
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
      cmocka_unit_test_setup_teardown(test_cut, setup, teardown),
      cmocka_unit_test_setup_teardown(test_changed, setup, teardown),
      cmocka_unit_test_setup_teardown(test_decode_rules, setup, teardown),
      cmocka_unit_test_setup_teardown(test_decode_limits, setup, teardown),
      cmocka_unit_test(test_array_forms),
      cmocka_unit_test_setup_teardown(test_errors, setup, teardown),
      cmocka_unit_test_setup_teardown(test_auto_ids, setup, teardown),
      cmocka_unit_test_setup_teardown(test_many_duplicates, setup, teardown),
      cmocka_unit_test_setup_teardown(test_bytes_limit, setup, teardown),
      cmocka_unit_test_setup_teardown(test_no_memory, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
