/*
 * test_api_types.c - a field of every type through the public interface: from a batch to get, query
 * and search, from memory, from the log and from files; nulls and default values.
 */
#include "tlib/apitest.h"

enum { ROWS = 300, N_SCALARS = 8, N_ARRAYS = 8 };

/* ---- Every type there and back: the value of each field is a function of the row's id -------- */

static const char *const scalar_names[] = {"b", "i8", "i16", "i32", "i64", "f", "d", "s"};
static const char *const array_names[] = {"ab", "a8", "a16", "a32", "a64", "af", "ad", "as"};
static const char *const vector_names[] = {"vf", "vh", "vb", "vi", "vx"};
static const uint32_t vector_dims[] = {4, 6, 5, 3, 24};
static const int32_t vector_metrics[] = {VECDB_L2, VECDB_IP, VECDB_COSINE, VECDB_L2,
                                         VECDB_JACCARD};

static vecdb_collection *full_create(vecdb *db) {
  vecdb_field fields[1 + N_SCALARS + N_ARRAYS + 5];
  memset(fields, 0, sizeof fields);
  uint32_t n = 0;
  for (int32_t t = VECDB_BOOL; t <= VECDB_VARCHAR; t++, n++) {
    fields[n].name = scalar_names[t - 1];
    fields[n].type = t;
    fields[n].flags = VECDB_NULLABLE;
    fields[n].max_length = t == VECDB_VARCHAR ? 30 : 0;
  }
  fields[n].name = "id"; /* the key need not come first */
  fields[n].type = VECDB_INT64;
  fields[n++].flags = VECDB_PRIMARY_KEY;
  for (int32_t t = VECDB_BOOL; t <= VECDB_VARCHAR; t++, n++) {
    fields[n].name = array_names[t - 1];
    fields[n].type = VECDB_ARRAY;
    fields[n].element_type = t;
    fields[n].max_capacity = 5;
    fields[n].flags = VECDB_NULLABLE;
    fields[n].max_length = t == VECDB_VARCHAR ? 30 : 0;
  }
  for (int v = 0; v < 5; v++, n++) {
    fields[n].name = vector_names[v];
    fields[n].type = VECDB_FLOAT_VECTOR + v;
    fields[n].dim = vector_dims[v];
    fields[n].metric = vector_metrics[v];
  }
  vecdb_schema schema = VECDB_SCHEMA_INIT;
  schema.description = "one field of each type";
  schema.fields = fields;
  schema.n_fields = n;
  vecdb_collection *coll;
  at_ok(vecdb_collection_create(db, "full", &schema, &coll, &at_err));
  return coll;
}

/* A number for field f, element e of row id. */
static uint32_t full_number(int64_t id, int f, uint32_t e) {
  uint32_t state = (uint32_t)id * 1000003u + (uint32_t)f * 101u + e;
  return at_random(&state);
}

static bool full_null(int64_t id, int f) { return full_number(id, f, 90) % 5 == 0; }
static uint32_t full_length(int64_t id, int f) { return full_number(id, f, 91) % 6; }

/* Texts with multi-byte characters and quotes, some empty. */
static const char *full_text(int64_t id, int f, uint32_t e) {
  static const char *const texts[] = {"", "a", "gr\xc3\xbc\xc3\x9f", "\xe6\x97\xa5\xe6\x9c\xac",
                                      "\"quoted\" 'text'", "thirty bytes of text, exactly.",
                                      "\xf0\x9f\x8c\x8d", "tab\tand\nline"};
  return texts[full_number(id, f, e) % AT_COUNT(texts)];
}

/* Element e of field f, whose type is t, into the C type; not for VARCHAR. */
static size_t full_element(int32_t t, int64_t id, int f, uint32_t e, void *out) {
  uint32_t x = full_number(id, f, e);
  bool b = x % 2;
  int8_t i8 = (int8_t)(x % 2 ? INT8_MIN : (int)(x % 128));
  int16_t i16 = (int16_t)(x % 3 ? (int)(x % 30000) : INT16_MIN);
  int32_t i32 = (int32_t)x;
  int64_t i64 = x % 3 ? (int64_t)((uint64_t)x << 31 ^ x) : INT64_MIN;
  float f32 = (float)x * -0.7e29f;
  double f64 = (double)x / 3.0;
  const void *from[] = {&b, &i8, &i16, &i32, &i64, &f32, &f64};
  static const size_t sizes[] = {1, 1, 2, 4, 8, 4, 8};
  memcpy(out, from[t - 1], sizes[t - 1]);
  return sizes[t - 1];
}

/* The columns of n rows, all in one block. */
struct full_batch {
  int64_t ids[ROWS];
  char scalars[N_SCALARS][ROWS * 8];
  uint8_t valid[N_SCALARS + N_ARRAYS][ROWS];
  char elements[N_ARRAYS][ROWS][5 * sizeof(vecdb_string)];
  const void *arrays[N_ARRAYS][ROWS];
  uint32_t lengths[N_ARRAYS][ROWS];
  uint8_t vectors[5][ROWS * 16];
  vecdb_column columns[1 + N_SCALARS + N_ARRAYS + 5];
};

static void full_fill_scalar(struct full_batch *b, uint32_t i, int32_t t) {
  int64_t id = b->ids[i];
  char *at = b->scalars[t - 1];
  b->valid[t - 1][i] = !full_null(id, t);
  if (t != VECDB_VARCHAR) {
    char value[8];
    size_t n = full_element(t, id, t, 0, value);
    memcpy(at + i * n, value, n);
    return;
  }
  const char *text = full_text(id, t, 0);
  memcpy(at + i * sizeof text, &text, sizeof text);
}

static void full_fill_array(struct full_batch *b, uint32_t i, int32_t t) {
  int64_t id = b->ids[i];
  int f = 20 + t;
  char *to = b->elements[t - 1][i];
  b->valid[N_SCALARS + t - 1][i] = !full_null(id, f);
  b->lengths[t - 1][i] = full_length(id, f);
  b->arrays[t - 1][i] = to;
  for (uint32_t e = 0; e < full_length(id, f); e++) {
    if (t != VECDB_VARCHAR) {
      to += full_element(t, id, f, e, to);
      continue;
    }
    vecdb_string s = {full_text(id, f, e), strlen(full_text(id, f, e))};
    memcpy(to, &s, sizeof s);
    to += sizeof s;
  }
}

/* The elements of vector field v: small numbers that every type holds exactly. */
static size_t full_vector(int64_t id, int v, void *out) {
  float values[8];
  for (uint32_t e = 0; e < 8; e++)
    values[e] = (float)(full_number(id, 40 + v, e) % 100) + 1;
  uint32_t dim = vector_dims[v];
  switch (VECDB_FLOAT_VECTOR + v) {
  case VECDB_FLOAT_VECTOR:
    memcpy(out, values, dim * sizeof *values);
    return dim * 4;
  case VECDB_FLOAT16_VECTOR:
    vecdb_to_float16(values, out, dim);
    return dim * 2;
  case VECDB_BFLOAT16_VECTOR:
    vecdb_to_bfloat16(values, out, dim);
    return dim * 2;
  default:
    for (uint32_t e = 0; e < 3; e++)
      ((uint8_t *)out)[e] = (uint8_t)values[e];
    return 3;
  }
}

static void full_insert(vecdb_collection *coll, int64_t first, uint32_t n) {
  struct full_batch *b = calloc(1, sizeof *b);
  uint32_t c = 0;
  for (uint32_t i = 0; i < n; i++) {
    b->ids[i] = first + i;
    for (int32_t t = VECDB_BOOL; t <= VECDB_VARCHAR; t++) {
      full_fill_scalar(b, i, t);
      full_fill_array(b, i, t);
    }
    for (int v = 0; v < 5; v++) {
      uint8_t bytes[16];
      size_t size = full_vector(b->ids[i], v, bytes);
      memcpy(b->vectors[v] + i * size, bytes, size);
    }
  }
  for (int v = 0; v < 5; v++, c++) {
    b->columns[c].field = vector_names[v];
    b->columns[c].data = b->vectors[v];
    b->columns[c].dim = vector_dims[v];
  }
  for (int t = 0; t < N_SCALARS; t++, c += 2) {
    b->columns[c].field = scalar_names[t];
    b->columns[c].data = b->scalars[t];
    b->columns[c].valid = b->valid[t];
    b->columns[c + 1].field = array_names[t];
    b->columns[c + 1].data = b->arrays[t];
    b->columns[c + 1].lengths = b->lengths[t];
    b->columns[c + 1].valid = b->valid[N_SCALARS + t];
  }
  b->columns[c].field = "id";
  b->columns[c++].data = b->ids;
  vecdb_batch batch = VECDB_BATCH_INIT;
  batch.columns = b->columns;
  batch.n_columns = c;
  batch.n_rows = n;
  at_ok(vecdb_insert(coll, &batch, NULL, &at_err));
  free(b);
}

static vecdb_value full_value(const vecdb_rows *rows, size_t row, const char *field) {
  int c = vecdb_rows_find(rows, field);
  assert_true(c >= 0);
  return vecdb_rows_value(rows, row, (size_t)c);
}

static void full_check_scalar(vecdb_value v, int64_t id, int32_t t) {
  if (full_null(id, t)) {
    assert_int_equal(v.type, 0);
    return;
  }
  assert_int_equal(v.type, t);
  if (t == VECDB_VARCHAR) {
    const char *text = full_text(id, t, 0);
    assert_int_equal(v.length, strlen(text));
    assert_memory_equal(v.as.data, text, v.length);
    return;
  }
  char bytes[8];
  full_element(t, id, t, 0, bytes);
  int8_t i8;
  int16_t i16;
  int32_t i32;
  int64_t i64;
  float f;
  memcpy(&i8, bytes, sizeof i8);
  memcpy(&i16, bytes, sizeof i16);
  memcpy(&i32, bytes, sizeof i32);
  memcpy(&i64, bytes, sizeof i64);
  memcpy(&f, bytes, sizeof f);
  const int64_t integers[] = {0, 0, i8, i16, i32, i64};
  if (t == VECDB_BOOL)
    assert_int_equal(v.as.boolean, i8 != 0);
  else if (t <= VECDB_INT64)
    assert_true(v.as.integer == integers[t]);
  else if (t == VECDB_FLOAT)
    assert_true(v.as.number == (double)f);
  else
    assert_memory_equal(&v.as.number, bytes, sizeof v.as.number);
}

static void full_check_array(vecdb_value v, int64_t id, int32_t t) {
  int f = 20 + t;
  if (full_null(id, f)) {
    assert_int_equal(v.type, 0);
    return;
  }
  assert_int_equal(v.type, VECDB_ARRAY);
  assert_int_equal(v.element_type, t);
  assert_int_equal(v.length, full_length(id, f));
  const char *at = v.as.data;
  for (uint32_t e = 0; e < v.length; e++) {
    char bytes[8];
    if (t == VECDB_VARCHAR) {
      const vecdb_string *s = (const vecdb_string *)v.as.data + e;
      assert_int_equal(s->length, strlen(full_text(id, f, e)));
      assert_memory_equal(s->data, full_text(id, f, e), s->length);
    } else {
      size_t n = full_element(t, id, f, e, bytes);
      assert_memory_equal(at, bytes, n);
      at += n;
    }
  }
}

static void full_check_row(const vecdb_rows *rows, size_t row, int64_t id) {
  assert_string_equal(vecdb_rows_field(rows, 0), "id");
  assert_int_equal(vecdb_rows_value(rows, row, 0).as.integer, id);
  for (int32_t t = VECDB_BOOL; t <= VECDB_VARCHAR; t++) {
    full_check_scalar(full_value(rows, row, scalar_names[t - 1]), id, t);
    full_check_array(full_value(rows, row, array_names[t - 1]), id, t);
  }
  for (int v = 0; v < 5; v++) {
    uint8_t bytes[16];
    vecdb_value value = full_value(rows, row, vector_names[v]);
    size_t n = full_vector(id, v, bytes);
    assert_int_equal(value.type, VECDB_FLOAT_VECTOR + v);
    assert_int_equal(value.length, vector_dims[v]);
    assert_memory_equal(value.as.data, bytes, n);
  }
}

/* Rows 1 to n, by get, query and search. */
static void full_check(vecdb_collection *coll, int64_t n) {
  vecdb_rows *rows;
  vecdb_query_params all = VECDB_QUERY_PARAMS_INIT;
  at_ok(vecdb_query(coll, &all, &rows, &at_err));
  assert_int_equal(vecdb_rows_count(rows), n);
  assert_int_equal(vecdb_rows_n_fields(rows), 1 + N_SCALARS + N_ARRAYS + 5);
  for (int64_t i = 0; i < n; i++)
    full_check_row(rows, (size_t)i, i + 1);
  vecdb_rows_free(rows);

  const int64_t ids[] = {n, 0, 1, 7, n + 1, 7};
  const int64_t there[] = {n, 1, 7, 7};
  uint8_t found[AT_COUNT(ids)];
  vecdb_keys keys = {.integers = ids, .n = AT_COUNT(ids)};
  at_ok(vecdb_get(coll, &keys, NULL, 0, found, &rows, &at_err));
  assert_int_equal(vecdb_rows_count(rows), AT_COUNT(there));
  for (size_t i = 0; i < AT_COUNT(there); i++)
    full_check_row(rows, i, there[i]);
  assert_memory_equal(found, ((uint8_t[]){1, 0, 1, 1, 0, 1}), sizeof found);
  vecdb_rows_free(rows);

  uint8_t query[16];
  vecdb_hit hits[20];
  uint32_t count;
  full_vector(7, 0, query);
  vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
  params.field = "vf";
  params.k = 20;
  params.queries = query;
  at_ok(vecdb_search(coll, &params, hits, &count, NULL, &rows, &at_err));
  assert_int_equal(count, 20);
  assert_int_equal(vecdb_rows_count(rows), 20);
  assert_true(hits[0].score == 0);
  for (uint32_t i = 0; i < count; i++) {
    assert_int_equal(hits[i].row, i);
    full_check_row(rows, i, hits[i].id);
  }
  vecdb_rows_free(rows);
}

static void test_every_type(void **state) {
  (void)state;
  char *folder = at_folder();
  vecdb *db = at_open(folder, NULL);
  vecdb_collection *coll = full_create(db);
  full_insert(coll, 1, 150);
  full_check(coll, 150);
  at_ok(vecdb_flush(coll, NULL, &at_err));
  full_check(coll, 150);
  full_insert(coll, 151, 150);
  full_check(coll, 300);
  vecdb_collection_release(coll);
  at_close(db);
  db = at_open(folder, NULL); /* half in files, half from the log */
  at_ok(vecdb_collection_get(db, "full", &coll, &at_err));
  full_check(coll, 300);
  struct at_content before = at_content(coll);
  at_ok(vecdb_compact(coll, NULL, &at_err));
  full_check(coll, 300);
  vecdb_collection_release(coll);
  at_close(db);
  db = at_open(folder, NULL); /* all from files */
  at_ok(vecdb_collection_get(db, "full", &coll, &at_err));
  full_check(coll, 300);
  at_same(before, at_content(coll));
  at_ok(vecdb_check(db, NULL, NULL, NULL, &at_err));
  vecdb_collection_release(coll);
  at_close(db);
  at_remove(folder);
}

/* ---- Nulls and defaults ---------------------------------------------------------------------- */

enum { DEF_PLAIN, DEF_BOTH, DEF_TEXT, DEF_ARRAY, DEF_NULL, DEF_FIELDS };

static vecdb_collection *defaults_create(vecdb *db) {
  static const vecdb_string words[] = {{"x", 1}, {"", 0}};
  const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = "plain", .type = VECDB_INT16, .flags = VECDB_HAS_DEFAULT,
       .default_value = {.type = VECDB_INT64, .as.integer = -5}},
      {.name = "both", .type = VECDB_FLOAT, .flags = VECDB_HAS_DEFAULT | VECDB_NULLABLE,
       .default_value = {.type = VECDB_DOUBLE, .as.number = 0.5}},
      {.name = "text", .type = VECDB_VARCHAR, .max_length = 5, .flags = VECDB_HAS_DEFAULT,
       .default_value = {.type = VECDB_VARCHAR, .length = 3, .as.data = "abc"}},
      {.name = "array", .type = VECDB_ARRAY, .element_type = VECDB_VARCHAR, .max_length = 5,
       .max_capacity = 3, .flags = VECDB_HAS_DEFAULT,
       .default_value = {.type = VECDB_ARRAY, .element_type = VECDB_VARCHAR, .length = 2,
                         .as.data = words}},
      {.name = "none", .type = VECDB_BOOL, .flags = VECDB_NULLABLE},
      {.name = "v", .type = VECDB_INT8_VECTOR, .dim = 1, .metric = VECDB_L2},
  };
  vecdb_schema schema = {sizeof schema, sizeof *fields, NULL, fields, AT_COUNT(fields)};
  vecdb_collection *coll;
  at_ok(vecdb_collection_create(db, "defaults", &schema, &coll, &at_err));
  return coll;
}

static void defaults_check(vecdb_collection *coll, int64_t id, bool both_null) {
  static const char *const fields[] = {"plain", "both", "text", "array", "none"};
  vecdb_keys keys = {.integers = &id, .n = 1};
  vecdb_rows *rows;
  at_ok(vecdb_get(coll, &keys, fields, DEF_FIELDS, NULL, &rows, &at_err));
  assert_int_equal(vecdb_rows_count(rows), 1);
  vecdb_value v[DEF_FIELDS];
  for (size_t c = 0; c < DEF_FIELDS; c++)
    v[c] = vecdb_rows_value(rows, 0, c + 1);
  assert_int_equal(v[DEF_PLAIN].type, VECDB_INT16);
  assert_int_equal(v[DEF_PLAIN].as.integer, -5);
  assert_int_equal(v[DEF_BOTH].type, both_null ? 0 : VECDB_FLOAT);
  if (!both_null)
    assert_true(v[DEF_BOTH].as.number == 0.5);
  assert_int_equal(v[DEF_TEXT].length, 3);
  assert_memory_equal(v[DEF_TEXT].as.data, "abc", 3);
  assert_int_equal(v[DEF_ARRAY].length, 2);
  assert_int_equal(((const vecdb_string *)v[DEF_ARRAY].as.data)[0].length, 1);
  assert_int_equal(((const vecdb_string *)v[DEF_ARRAY].as.data)[1].length, 0);
  assert_int_equal(v[DEF_NULL].type, 0);
  vecdb_rows_free(rows);
}

static void test_nulls_and_defaults(void **state) {
  (void)state;
  char *folder = at_folder();
  vecdb *db = at_open(folder, NULL);
  vecdb_collection *coll = defaults_create(db);
  const int64_t ids[] = {1, 2};
  const int8_t vectors[] = {1, 2};
  const float numbers[] = {1, 2};
  const uint8_t valid[] = {0, 0};
  vecdb_column columns[] = {{.field = "id", .data = ids}, {.field = "v", .data = vectors},
                            {.field = "both", .data = NULL}, {.field = "none", .data = NULL}};
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 2, 2};
  at_ok(vecdb_insert(coll, &batch, NULL, &at_err)); /* columns left out */
  defaults_check(coll, 2, false);
  batch.n_columns = 4; /* columns without data */
  at_ok(vecdb_upsert(coll, &batch, NULL, &at_err));
  defaults_check(coll, 1, false);
  columns[2].data = numbers; /* a null that the caller wants is no default */
  columns[2].valid = valid;
  at_ok(vecdb_upsert(coll, &batch, NULL, &at_err));
  defaults_check(coll, 1, true);
  assert_int_equal(at_count(coll, "both is null"), 2);
  assert_int_equal(at_count(coll, "none is not null"), 0);
  assert_int_equal(at_count(coll, "both == 0.5 or both != 0.5"), 0);
  vecdb_collection_release(coll);
  at_close(db);
  db = at_open(folder, NULL);
  at_ok(vecdb_collection_get(db, "defaults", &coll, &at_err));
  defaults_check(coll, 2, true);
  batch.n_columns = 2; /* the defaults of the schema came back too */
  at_ok(vecdb_upsert(coll, &batch, NULL, &at_err));
  defaults_check(coll, 2, false);
  vecdb_collection_release(coll);
  at_close(db);
  at_remove(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_type),
      cmocka_unit_test(test_nulls_and_defaults),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
