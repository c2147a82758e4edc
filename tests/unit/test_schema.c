/*
 * test_schema.c - schemas: every rule with its code and field, names, UTF-8, round trips through
 * bytes for random schemas, cut and changed bytes, lack of memory.
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

static void check_error(const vecdb_error *err, int rc, int code, const char *field,
                        const char *text) {
  if (rc != code || (rc && (strcmp(err->field, field) != 0 || !strstr(err->message, text))))
    fail_msg("got %s, field '%s': %s; expected %s, field '%s': %s", vecdb_status_name(rc),
             err->field, err->message, vecdb_status_name(code), field, text);
  if (rc) {
    assert_int_equal(err->code, code);
    assert_int_equal(err->row, -1);
    assert_int_equal(err->position, -1);
  }
}

/* ---- Single fields ----------------------------------------------------------------------------
   */

#define KEY {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY}
#define VECTOR {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = 4}
#define INT(x) {.type = VECDB_INT64, .as.integer = (x)}
#define NUMBER(x) {.type = VECDB_DOUBLE, .as.number = (x)}
#define TEXT(x, n) {.type = VECDB_VARCHAR, .length = (n), .as.data = (x)}

struct field_case {
  vecdb_field field; /* added to a key and a vector */
  int code;
  const char *text; /* in the message */
};

static const uint8_t two = 2;
static const float nan_element[1] = {__builtin_nanf("")};
static const int32_t three[3] = {1, 2, 3};
static const vecdb_string strings[2] = {{"ab", 2}, {"", 0}};
static const vecdb_string long_strings[1] = {{"abcdef", 6}};
static const vecdb_string bad_strings[1] = {{"\xff", 1}};
static const vecdb_string null_strings[1] = {{NULL, 1}};

static const struct field_case field_cases[] = {
    /* names */
    {{.name = NULL, .type = VECDB_BOOL}, VECDB_ERR_NAME, "field 2 has no name"},
    {{.name = "", .type = VECDB_BOOL}, VECDB_ERR_NAME, "field 2 has no name"},
    {{.name = "1a", .type = VECDB_BOOL}, VECDB_ERR_NAME, "start with a letter"},
    {{.name = "and", .type = VECDB_BOOL}, VECDB_ERR_NAME, "word of the filter language"},
    {{.name = "In", .type = VECDB_BOOL}, VECDB_ERR_NAME, "word of the filter language"},
    {{.name = "FALSE", .type = VECDB_BOOL}, VECDB_ERR_NAME, "word of the filter language"},
    {{.name = "a-b", .type = VECDB_BOOL}, VECDB_ERR_NAME, "0x2d at offset 1"},
    {{.name = "a\xc3\xa9", .type = VECDB_BOOL}, VECDB_ERR_NAME, "0xc3 at offset 1"},
    {{.name = "id", .type = VECDB_BOOL}, VECDB_ERR_SCHEMA, "two fields have this name"},
    {{.name = "x", .type = VECDB_BOOL, .description = "\xc0\x80"}, VECDB_ERR_UTF8, "description"},
    /* types and sizes */
    {{.name = "x", .type = 0}, VECDB_ERR_OPTION, "type is unknown"},
    {{.name = "x", .type = 11}, VECDB_ERR_OPTION, "type is unknown"},
    {{.name = "x", .type = VECDB_JSON, .dim = 8}, VECDB_ERR_SCHEMA, "no dim"},
    {{.name = "x", .type = VECDB_JSON, .max_length = VECDB_MAX_JSON + 1}, VECDB_ERR_LIMIT,
     "at most"},
    {{.name = "x", .type = VECDB_JSON, .scalar_index = VECDB_SCALAR_INDEX_HASH}, VECDB_ERR_SCHEMA,
     "no scalar index"},
    {{.name = "x", .type = VECDB_JSON, .flags = VECDB_HAS_DEFAULT,
      .default_value = {VECDB_JSON, 2, {.data = "{]"}, 0}}, VECDB_ERR_JSON, "a key is expected"},
    {{.name = "x", .type = VECDB_ARRAY, .element_type = VECDB_JSON, .max_capacity = 2},
     VECDB_ERR_SCHEMA, "BOOL to VARCHAR"},
    {{.name = "x", .type = 38, .dim = 8}, VECDB_ERR_OPTION, "type is unknown"},
    {{.name = "x", .type = -1}, VECDB_ERR_OPTION, "type is unknown"},
    {{.name = "x", .type = VECDB_BOOL, .element_type = VECDB_BOOL}, VECDB_ERR_SCHEMA,
     "element type"},
    {{.name = "x", .type = VECDB_ARRAY, .max_capacity = 1}, VECDB_ERR_OPTION, "element type"},
    {{.name = "x", .type = VECDB_ARRAY, .element_type = VECDB_ARRAY, .max_capacity = 1},
     VECDB_ERR_SCHEMA, "BOOL to VARCHAR"},
    {{.name = "x", .type = VECDB_ARRAY, .element_type = VECDB_FLOAT_VECTOR, .max_capacity = 1},
     VECDB_ERR_SCHEMA, "BOOL to VARCHAR"},
    {{.name = "x", .type = VECDB_ARRAY, .element_type = VECDB_BOOL}, VECDB_ERR_SCHEMA,
     "max_capacity is missing"},
    {{.name = "x", .type = VECDB_ARRAY, .element_type = VECDB_BOOL, .max_capacity = 4097},
     VECDB_ERR_LIMIT, "max_capacity is 4097, at most 4096"},
    {{.name = "x", .type = VECDB_ARRAY, .element_type = VECDB_BOOL, .max_capacity = 4096}, 0, ""},
    {{.name = "x", .type = VECDB_ARRAY, .element_type = VECDB_VARCHAR, .max_capacity = 1},
     VECDB_ERR_SCHEMA, "max_length is missing"},
    {{.name = "x", .type = VECDB_ARRAY, .element_type = VECDB_BOOL, .max_capacity = 1,
      .max_length = 1}, VECDB_ERR_SCHEMA, "no max_length"},
    {{.name = "x", .type = VECDB_BOOL, .max_capacity = 1}, VECDB_ERR_SCHEMA, "no max_capacity"},
    {{.name = "x", .type = VECDB_VARCHAR}, VECDB_ERR_SCHEMA, "max_length is missing"},
    {{.name = "x", .type = VECDB_VARCHAR, .max_length = 65536}, VECDB_ERR_LIMIT, "max_length"},
    {{.name = "x", .type = VECDB_VARCHAR, .max_length = 65535}, 0, ""},
    {{.name = "x", .type = VECDB_INT8, .dim = 1}, VECDB_ERR_SCHEMA, "no dim"},
    {{.name = "x", .type = VECDB_FLOAT_VECTOR}, VECDB_ERR_SCHEMA, "dim is missing"},
    {{.name = "x", .type = VECDB_FLOAT_VECTOR, .dim = 65536}, VECDB_ERR_LIMIT, "at most 65535"},
    {{.name = "x", .type = VECDB_FLOAT_VECTOR, .dim = 65535}, 0, ""},
    {{.name = "x", .type = VECDB_BINARY_VECTOR, .dim = 12}, VECDB_ERR_SCHEMA, "multiple of 8"},
    {{.name = "x", .type = VECDB_BINARY_VECTOR, .dim = 65528}, 0, ""},
    {{.name = "x", .type = VECDB_BINARY_VECTOR, .dim = 65536}, VECDB_ERR_LIMIT, "65535"},
    /* metrics */
    {{.name = "x", .type = VECDB_FLOAT_VECTOR, .dim = 4, .metric = 6}, VECDB_ERR_OPTION, "metric"},
    {{.name = "x", .type = VECDB_FLOAT_VECTOR, .dim = 4, .metric = -1}, VECDB_ERR_OPTION, "metric"},
    {{.name = "x", .type = VECDB_FLOAT_VECTOR, .dim = 4, .metric = VECDB_HAMMING}, VECDB_ERR_SCHEMA,
     "binary vectors"},
    {{.name = "x", .type = VECDB_INT8_VECTOR, .dim = 4, .metric = VECDB_JACCARD}, VECDB_ERR_SCHEMA,
     "binary vectors"},
    {{.name = "x", .type = VECDB_BINARY_VECTOR, .dim = 8, .metric = VECDB_L2}, VECDB_ERR_SCHEMA,
     "binary vectors"},
    {{.name = "x", .type = VECDB_BINARY_VECTOR, .dim = 8, .metric = VECDB_JACCARD}, 0, ""},
    {{.name = "x", .type = VECDB_INT8_VECTOR, .dim = 4, .metric = VECDB_IP}, 0, ""},
    {{.name = "x", .type = VECDB_INT8, .metric = VECDB_IP}, VECDB_ERR_SCHEMA, "have a metric"},
    /* indexes */
    {{.name = "x", .type = VECDB_INT8, .scalar_index = 4}, VECDB_ERR_OPTION, "scalar index"},
    {{.name = "x", .type = VECDB_INT8, .scalar_index = -1}, VECDB_ERR_OPTION, "scalar index"},
    {{.name = "x", .type = VECDB_FLOAT_VECTOR, .dim = 4, .scalar_index = VECDB_SCALAR_INDEX_HASH},
     VECDB_ERR_SCHEMA, "no scalar index"},
    {{.name = "x", .type = VECDB_ARRAY, .element_type = VECDB_INT8, .max_capacity = 2,
      .scalar_index = VECDB_SCALAR_INDEX_SORTED}, VECDB_ERR_SCHEMA, "no scalar index"},
    {{.name = "x", .type = VECDB_ARRAY, .element_type = VECDB_INT8, .max_capacity = 2,
      .scalar_index = VECDB_SCALAR_INDEX_NONE}, 0, ""},
    {{.name = "x", .type = VECDB_FLOAT_VECTOR, .dim = 4, .index = {.m = 4}}, VECDB_ERR_OPTION,
     "size of its index parameters"},
    {{.name = "x", .type = VECDB_FLOAT_VECTOR, .dim = 4, .index = {.size = 8}}, VECDB_ERR_OPTION,
     "size of its index parameters"},
    {{.name = "x", .type = VECDB_FLOAT_VECTOR, .dim = 4,
      .index = {.size = sizeof(vecdb_index_params), .type = 14}}, VECDB_ERR_OPTION, "index type"},
    {{.name = "x", .type = VECDB_INT8, .index = {.size = sizeof(vecdb_index_params), .ef = 3}},
     VECDB_ERR_SCHEMA, "only vectors have index parameters"},
    {{.name = "x", .type = VECDB_INT8, .index = VECDB_INDEX_PARAMS_INIT}, 0, ""},
    /* flags */
    {{.name = "x", .type = VECDB_INT8, .flags = 1u << 7}, VECDB_ERR_OPTION, "flag is unknown"},
    {{.name = "x", .type = VECDB_INT8, .flags = 1u << 31}, VECDB_ERR_OPTION, "flag is unknown"},
    {{.name = "x", .type = VECDB_INT32, .flags = VECDB_DEFAULT_NOW}, VECDB_ERR_SCHEMA, "INT64"},
    {{.name = "x", .type = VECDB_VARCHAR, .max_length = 35, .flags = VECDB_DEFAULT_UUID},
     VECDB_ERR_SCHEMA, "36 bytes"},
    {{.name = "x", .type = VECDB_INT32, .flags = VECDB_PRIMARY_KEY}, VECDB_ERR_SCHEMA,
     "INT64 or VARCHAR"},
    {{.name = "x", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY}, VECDB_ERR_SCHEMA, "second"},
    {{.name = "x", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY | VECDB_NULLABLE},
     VECDB_ERR_SCHEMA, "no null and no default"},
    {{.name = "x", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY | VECDB_HAS_DEFAULT,
      .default_value = INT(1)}, VECDB_ERR_SCHEMA, "no null and no default"},
    {{.name = "x", .type = VECDB_INT64, .flags = VECDB_AUTO_ID}, VECDB_ERR_SCHEMA, "AUTO_ID"},
    {{.name = "x", .type = VECDB_VARCHAR, .max_length = 9,
      .flags = VECDB_PRIMARY_KEY | VECDB_AUTO_ID}, VECDB_ERR_SCHEMA, "AUTO_ID"},
    {{.name = "x", .type = VECDB_FLOAT_VECTOR, .dim = 4, .flags = VECDB_NULLABLE}, VECDB_ERR_SCHEMA,
     "takes no flag"},
    {{.name = "x", .type = VECDB_FLOAT_VECTOR, .dim = 4, .flags = VECDB_PRIMARY_KEY},
     VECDB_ERR_SCHEMA, "takes no flag"},
    {{.name = "x", .type = VECDB_INT8, .flags = VECDB_ALLOW_ZERO}, VECDB_ERR_SCHEMA, "ALLOW_ZERO"},
    {{.name = "x", .type = VECDB_FLOAT_VECTOR, .dim = 4, .metric = VECDB_L2,
      .flags = VECDB_ALLOW_ZERO}, VECDB_ERR_SCHEMA, "ALLOW_ZERO"},
    {{.name = "x", .type = VECDB_FLOAT_VECTOR, .dim = 4, .flags = VECDB_ALLOW_ZERO}, 0, ""},
    /* default values */
    {{.name = "x", .type = VECDB_INT8, .default_value = INT(1)}, VECDB_ERR_SCHEMA, "HAS_DEFAULT"},
    {{.name = "x", .type = VECDB_INT8, .flags = VECDB_HAS_DEFAULT}, VECDB_ERR_TYPE, "null"},
    {{.name = "x", .type = VECDB_INT8, .flags = VECDB_HAS_DEFAULT, .default_value = NUMBER(1)},
     VECDB_ERR_TYPE, "DOUBLE, and INT8 is expected"},
    {{.name = "x", .type = VECDB_INT8, .flags = VECDB_HAS_DEFAULT, .default_value = {.type = 99}},
     VECDB_ERR_TYPE, "a vector"},
    {{.name = "x", .type = VECDB_INT8, .flags = VECDB_HAS_DEFAULT, .default_value = {.type = 20}},
     VECDB_ERR_TYPE, "unknown type"},
    {{.name = "x", .type = VECDB_INT8, .flags = VECDB_HAS_DEFAULT, .default_value = INT(-128)}, 0,
     ""},
    {{.name = "x", .type = VECDB_INT8, .flags = VECDB_HAS_DEFAULT, .default_value = INT(-129)},
     VECDB_ERR_RANGE, "-129 does not fit"},
    {{.name = "x", .type = VECDB_INT16, .flags = VECDB_HAS_DEFAULT, .default_value = INT(32768)},
     VECDB_ERR_RANGE, "32768 does not fit"},
    {{.name = "x", .type = VECDB_INT32, .flags = VECDB_HAS_DEFAULT,
      .default_value = INT(2147483648)}, VECDB_ERR_RANGE, "2147483648 does not fit"},
    {{.name = "x", .type = VECDB_INT32, .flags = VECDB_HAS_DEFAULT,
      .default_value = INT(2147483647)}, 0, ""},
    {{.name = "x", .type = VECDB_INT64, .flags = VECDB_HAS_DEFAULT,
      .default_value = INT(INT64_MIN)}, 0, ""},
    {{.name = "x", .type = VECDB_FLOAT, .flags = VECDB_HAS_DEFAULT, .default_value = NUMBER(1e39)},
     VECDB_ERR_RANGE, "1e+39 does not fit"},
    {{.name = "x", .type = VECDB_DOUBLE, .flags = VECDB_HAS_DEFAULT, .default_value = NUMBER(1e39)},
     0, ""},
    {{.name = "x", .type = VECDB_DOUBLE, .flags = VECDB_HAS_DEFAULT,
      .default_value = NUMBER(__builtin_inf())}, VECDB_ERR_NOT_FINITE, "NaN or infinite"},
    {{.name = "x", .type = VECDB_FLOAT, .flags = VECDB_HAS_DEFAULT,
      .default_value = NUMBER(__builtin_nan(""))}, VECDB_ERR_NOT_FINITE, "NaN or infinite"},
    {{.name = "x", .type = VECDB_FLOAT, .flags = VECDB_HAS_DEFAULT, .default_value = INT(1)},
     VECDB_ERR_TYPE, "INT64, and FLOAT"},
    {{.name = "x", .type = VECDB_VARCHAR, .max_length = 3, .flags = VECDB_HAS_DEFAULT,
      .default_value = TEXT("abcd", 4)}, VECDB_ERR_TOO_LONG, "longer than 3 bytes"},
    {{.name = "x", .type = VECDB_VARCHAR, .max_length = 3, .flags = VECDB_HAS_DEFAULT,
      .default_value = TEXT("abc", 3)}, 0, ""},
    {{.name = "x", .type = VECDB_VARCHAR, .max_length = 3, .flags = VECDB_HAS_DEFAULT,
      .default_value = TEXT(NULL, 0)}, 0, ""},
    {{.name = "x", .type = VECDB_VARCHAR, .max_length = 3, .flags = VECDB_HAS_DEFAULT,
      .default_value = TEXT(NULL, 1)}, VECDB_ERR_ARGUMENT, "NULL pointer"},
    {{.name = "x", .type = VECDB_VARCHAR, .max_length = 3, .flags = VECDB_HAS_DEFAULT,
      .default_value = TEXT("a\xff", 2)}, VECDB_ERR_UTF8, "UTF-8"},
    {{.name = "x", .type = VECDB_VARCHAR, .max_length = 3, .flags = VECDB_HAS_DEFAULT,
      .default_value = TEXT("a\0b", 3)}, VECDB_ERR_UTF8, "NUL byte"},
    {{.name = "x", .type = VECDB_ARRAY, .element_type = VECDB_INT32, .max_capacity = 3,
      .flags = VECDB_HAS_DEFAULT, .default_value = {.type = VECDB_ARRAY, .length = 3,
      .element_type = VECDB_INT32, .as.data = three}}, 0, ""},
    {{.name = "x", .type = VECDB_ARRAY, .element_type = VECDB_INT32, .max_capacity = 2,
      .flags = VECDB_HAS_DEFAULT, .default_value = {.type = VECDB_ARRAY, .length = 3,
      .element_type = VECDB_INT32, .as.data = three}}, VECDB_ERR_TOO_LONG, "3 elements, and 2"},
    {{.name = "x", .type = VECDB_ARRAY, .element_type = VECDB_INT16, .max_capacity = 3,
      .flags = VECDB_HAS_DEFAULT, .default_value = {.type = VECDB_ARRAY, .length = 3,
      .element_type = VECDB_INT32, .as.data = three}}, VECDB_ERR_TYPE, "elements of INT32"},
    {{.name = "x", .type = VECDB_ARRAY, .element_type = VECDB_INT32, .max_capacity = 3,
      .flags = VECDB_HAS_DEFAULT, .default_value = {.type = VECDB_ARRAY, .length = 1,
      .element_type = VECDB_INT32}}, VECDB_ERR_ARGUMENT, "NULL pointer"},
    {{.name = "x", .type = VECDB_ARRAY, .element_type = VECDB_INT32, .max_capacity = 3,
      .flags = VECDB_HAS_DEFAULT, .default_value = {.type = VECDB_ARRAY,
      .element_type = VECDB_INT32}}, 0, ""},
    {{.name = "x", .type = VECDB_ARRAY, .element_type = VECDB_BOOL, .max_capacity = 3,
      .flags = VECDB_HAS_DEFAULT, .default_value = {.type = VECDB_ARRAY, .length = 1,
      .element_type = VECDB_BOOL, .as.data = &two}}, VECDB_ERR_RANGE, "neither 0 nor 1"},
    {{.name = "x", .type = VECDB_ARRAY, .element_type = VECDB_FLOAT, .max_capacity = 3,
      .flags = VECDB_HAS_DEFAULT, .default_value = {.type = VECDB_ARRAY, .length = 1,
      .element_type = VECDB_FLOAT, .as.data = nan_element}}, VECDB_ERR_NOT_FINITE, "NaN"},
    {{.name = "x", .type = VECDB_ARRAY, .element_type = VECDB_VARCHAR, .max_capacity = 3,
      .max_length = 2, .flags = VECDB_HAS_DEFAULT, .default_value = {.type = VECDB_ARRAY,
      .length = 2, .element_type = VECDB_VARCHAR, .as.data = strings}}, 0, ""},
    {{.name = "x", .type = VECDB_ARRAY, .element_type = VECDB_VARCHAR, .max_capacity = 3,
      .max_length = 2, .flags = VECDB_HAS_DEFAULT, .default_value = {.type = VECDB_ARRAY,
      .length = 1, .element_type = VECDB_VARCHAR, .as.data = long_strings}}, VECDB_ERR_TOO_LONG,
     "longer than 2"},
    {{.name = "x", .type = VECDB_ARRAY, .element_type = VECDB_VARCHAR, .max_capacity = 3,
      .max_length = 2, .flags = VECDB_HAS_DEFAULT, .default_value = {.type = VECDB_ARRAY,
      .length = 1, .element_type = VECDB_VARCHAR, .as.data = bad_strings}}, VECDB_ERR_UTF8,
     "UTF-8"},
    {{.name = "x", .type = VECDB_ARRAY, .element_type = VECDB_VARCHAR, .max_capacity = 3,
      .max_length = 2, .flags = VECDB_HAS_DEFAULT, .default_value = {.type = VECDB_ARRAY,
      .length = 1, .element_type = VECDB_VARCHAR, .as.data = null_strings}}, VECDB_ERR_ARGUMENT,
     "NULL pointer"},
};

static void test_field_rules(void **state) {
  (void)state;
  for (size_t i = 0; i < VDB_COUNT(field_cases); i++) {
    const struct field_case *c = &field_cases[i];
    vecdb_field fields[3] = {KEY, VECTOR};
    fields[2] = c->field;
    vecdb_schema from = VECDB_SCHEMA_INIT;
    from.fields = fields;
    from.n_fields = 3;
    struct vdb_schema *schema;
    vecdb_error err = {0};
    int rc = vdb_schema_new(&mem, &from, &schema, &err);
    check_error(&err, rc, c->code, c->code == VECDB_ERR_NAME ? "" : c->field.name, c->text);
    assert_true((schema != NULL) == (rc == 0));
    vdb_schema_free(&mem, schema);
  }
}

/* ---- Whole schemas ----------------------------------------------------------------------------
   */

struct whole {
  vecdb_schema schema;
  vecdb_field fields[VECDB_MAX_FIELDS + 1];
  char names[VECDB_MAX_FIELDS + 1][8];
  char text[VECDB_MAX_DESCRIPTION + 2];
};

static void whole_null(struct whole *w) { w->schema.fields = NULL; }
static void whole_size(struct whole *w) { w->schema.size++; }
static void whole_field_size(struct whole *w) { w->schema.field_size = 0; }
static void whole_no_fields(struct whole *w) { w->schema.n_fields = 0; }
static void whole_no_key(struct whole *w) { w->fields[0].flags = 0; }
static void whole_no_vector(struct whole *w) { w->schema.n_fields = 1; }
static void whole_most(struct whole *w) { w->schema.n_fields = VECDB_MAX_FIELDS; }
static void whole_too_many(struct whole *w) { w->schema.n_fields = VECDB_MAX_FIELDS + 1; }
static void whole_text(struct whole *w) {
  w->text[VECDB_MAX_DESCRIPTION] = '\0';
  w->schema.description = w->text;
  w->fields[1].description = w->text;
}
static void whole_long_text(struct whole *w) { w->schema.description = w->text; }
static void whole_bad_text(struct whole *w) { w->schema.description = "\x80"; }
static void whole_field_text(struct whole *w) { w->fields[1].description = w->text; }
static void whole_auto(struct whole *w) { w->fields[0].flags |= VECDB_AUTO_ID; }
static void whole_text_key(struct whole *w) {
  w->fields[0].type = VECDB_VARCHAR;
  w->fields[0].max_length = 65535;
}
static void whole_vectors(struct whole *w) {
  w->schema.n_fields = 1 + VECDB_MAX_VECTOR_FIELDS;
  for (uint32_t i = 1; i <= VECDB_MAX_VECTOR_FIELDS + 1; i++) {
    w->fields[i].type = VECDB_INT8_VECTOR;
    w->fields[i].dim = 1;
  }
}
static void whole_too_many_vectors(struct whole *w) {
  whole_vectors(w);
  w->schema.n_fields++;
}
static void whole_long_name(struct whole *w) {
  w->text[VECDB_MAX_NAME + 1] = '\0';
  w->fields[1].name = w->text;
}
static void whole_longest_name(struct whole *w) {
  w->text[VECDB_MAX_NAME] = '\0';
  w->fields[1].name = w->text;
}

static void test_schema_rules(void **state) {
  (void)state;
  static const struct {
    void (*change)(struct whole *);
    int code;
    const char *field;
    const char *text;
  } cases[] = {
      {whole_null, VECDB_ERR_ARGUMENT, "", "NULL"},
      {whole_size, VECDB_ERR_OPTION, "", "schema struct"},
      {whole_field_size, VECDB_ERR_OPTION, "", "field struct"},
      {whole_no_fields, VECDB_ERR_SCHEMA, "", "primary key"},
      {whole_no_key, VECDB_ERR_SCHEMA, "", "primary key"},
      {whole_no_vector, VECDB_ERR_SCHEMA, "", "no field is a vector"},
      {whole_most, 0, "", ""},
      {whole_too_many, VECDB_ERR_LIMIT, "", "129 fields, at most 128"},
      {whole_text, 0, "", ""},
      {whole_long_text, VECDB_ERR_LIMIT, "", "longer than 1024"},
      {whole_bad_text, VECDB_ERR_UTF8, "", "description"},
      {whole_field_text, VECDB_ERR_LIMIT, "f1", "longer than 1024"},
      {whole_auto, 0, "", ""},
      {whole_text_key, 0, "", ""},
      {whole_vectors, 0, "", ""},
      {whole_too_many_vectors, VECDB_ERR_LIMIT, "f17", "more than 16"},
      {whole_long_name, VECDB_ERR_NAME, "", "the name of field 1 is longer"},
      {whole_longest_name, 0, "", ""},
  };
  for (size_t i = 0; i < VDB_COUNT(cases); i++) {
    struct whole *w = calloc(1, sizeof *w);
    assert_non_null(w);
    memset(w->text, 'a', sizeof w->text - 1);
    w->schema = (vecdb_schema)VECDB_SCHEMA_INIT;
    w->schema.fields = w->fields;
    w->schema.n_fields = 2;
    for (uint32_t f = 0; f <= VECDB_MAX_FIELDS; f++) {
      snprintf(w->names[f], sizeof w->names[f], "f%u", f);
      w->fields[f].name = w->names[f];
      w->fields[f].type = VECDB_INT64;
    }
    w->fields[0].flags = VECDB_PRIMARY_KEY;
    w->fields[1].type = VECDB_FLOAT_VECTOR;
    w->fields[1].dim = 3;
    cases[i].change(w);
    struct vdb_schema *schema;
    vecdb_error err = {0};
    int rc = vdb_schema_new(&mem, &w->schema, &schema, &err);
    check_error(&err, rc, cases[i].code, cases[i].field, cases[i].text);
    vdb_schema_free(&mem, schema);
    free(w);
  }
  struct vdb_schema *schema;
  vecdb_error err = {0};
  check_error(&err, vdb_schema_new(&mem, NULL, &schema, &err), VECDB_ERR_ARGUMENT, "", "NULL");
}

static void test_names(void **state) {
  (void)state;
  static const struct {
    const char *name;
    bool dash, good;
  } cases[] = {
      {"a", false, true},          {"_", false, true},    {"Zz09_", false, true},
      {"a-b", true, true},         {"a-b", false, false}, {"-a", true, false},
      {"0", false, false},         {"a b", true, false},  {"a.b", true, false},
      {"a/b", true, false},        {"..", true, false},   {"a\x7f", true, false},
      {"\xc3\xa9", true, false}, {"", true, false},     {NULL, true, false},
      {"a\n", true, false},
  };
  for (size_t i = 0; i < VDB_COUNT(cases); i++) {
    vecdb_error err = {0};
    int rc = vdb_name_check(cases[i].name, cases[i].dash, "the collection", &err);
    check_error(&err, rc, cases[i].good ? 0 : VECDB_ERR_NAME, "", "the collection");
  }
}

/* ---- UTF-8 ------------------------------------------------------------------------------------
   */

/* A character decoded by the book: its length, or 0. */
static size_t utf8_slow(const uint8_t *p, size_t n) {
  uint32_t c = p[0];
  size_t len = c < 0x80 ? 1 : c >> 5 == 6 ? 2 : c >> 4 == 14 ? 3 : c >> 3 == 30 ? 4 : 0;
  if (len == 0 || len > n || c == 0)
    return 0;
  if (len > 1)
    c &= 0xffu >> (len + 1);
  for (size_t i = 1; i < len; i++) {
    if (p[i] >> 6 != 2)
      return 0;
    c = c << 6 | (p[i] & 0x3f);
  }
  static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  return c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ? 0 : len;
}

static bool utf8_slow_valid(const uint8_t *p, size_t n) {
  for (size_t i = 0; i < n;) {
    size_t step = utf8_slow(p + i, n - i);
    if (step == 0)
      return false;
    i += step;
  }
  return true;
}

static void test_utf8(void **state) {
  (void)state;
  assert_true(vdb_utf8_valid("", 0));
  assert_true(vdb_utf8_valid(NULL, 0));
  uint8_t text[12] = "abcdefgh";
  for (uint32_t c = 0; c < 1u << 24; c++) { /* all of three bytes, then 'a' */
    uint8_t p[4] = {(uint8_t)(c >> 16), (uint8_t)(c >> 8), (uint8_t)c, 'a'};
    if (p[1] > 0x90 && p[1] < 0x9f && p[2] > 0x82 && p[2] < 0xbd)
      continue; /* like their neighbours */
    if (vdb_utf8_valid((char *)p, 4) != utf8_slow_valid(p, 4))
      fail_msg("%02x %02x %02x", p[0], p[1], p[2]);
  }
  struct vdb_rng rng = {3};
  size_t good = 0;
  for (uint32_t i = 0; i < 2000000; i++) { /* four-byte characters, at every place */
    size_t at = vdb_rng_below(&rng, 9);
    memset(text, 'x', sizeof text);
    text[at] = (uint8_t)(0xef + vdb_rng_below(&rng, 7));
    for (size_t k = 1; k < 4 && at + k < sizeof text; k++)
      text[at + k] = (uint8_t)(0x7f + vdb_rng_below(&rng, 0x43));
    bool valid = vdb_utf8_valid((char *)text, sizeof text);
    assert_int_equal(valid, utf8_slow_valid(text, sizeof text));
    good += valid;
  }
  assert_true(good > 1000);
  for (size_t i = 0; i < sizeof text; i++) { /* a NUL anywhere, a cut anywhere */
    memset(text, 'x', sizeof text);
    text[i] = 0;
    assert_false(vdb_utf8_valid((char *)text, sizeof text));
    assert_true(vdb_utf8_valid((char *)text, i));
  }
}

/* ---- Round trips ------------------------------------------------------------------------------
   */

/* Compares a schema, as given out again, with the caller's. */
static void check_same(const struct vdb_schema *schema, const vecdb_schema *from) {
  vecdb_field fields[VECDB_MAX_FIELDS];
  assert_int_equal(schema->n_fields, from->n_fields);
  assert_string_equal(schema->description, from->description ? from->description : "");
  vdb_schema_public(schema, fields);
  for (uint32_t i = 0; i < from->n_fields; i++) {
    const vecdb_field *a = &fields[i], *b = &from->fields[i];
    bool binary = b->type == VECDB_BINARY_VECTOR;
    int32_t metric = b->metric || !vdb_type_is_vector(b->type) ? b->metric
                     : binary                                  ? VECDB_HAMMING
                     : b->type == VECDB_SPARSE_VECTOR          ? VECDB_IP
                                                               : VECDB_COSINE;
    assert_string_equal(a->name, b->name);
    assert_string_equal(a->description, b->description ? b->description : "");
    assert_ptr_not_equal(a->name, b->name);
    assert_int_equal(vdb_schema_find(schema, b->name, strlen(b->name)), i);
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->element_type, b->element_type);
    assert_int_equal(a->flags, b->flags);
    assert_int_equal(a->dim, b->dim);
    bool longest = b->type == VECDB_JSON && !b->max_length;
    assert_int_equal(a->max_length, longest ? VECDB_MAX_JSON : b->max_length);
    assert_int_equal(a->max_capacity, b->max_capacity);
    assert_int_equal(a->metric, metric);
    assert_int_equal(a->scalar_index, b->scalar_index);
    assert_int_equal(a->n_json_indexes, b->n_json_indexes);
    for (uint32_t k = 0; k < a->n_json_indexes; k++) {
      assert_string_equal(a->json_indexes[k].path, b->json_indexes[k].path);
      assert_int_equal(a->json_indexes[k].type, b->json_indexes[k].type);
    }
    assert_int_equal(a->index.size, sizeof a->index);
    assert_int_equal(a->index.type, b->index.type);
    assert_int_equal(a->index.m, b->index.m);
    assert_true(gen_equal(&a->default_value, &b->default_value));
    assert_int_equal(schema->key == i, (b->flags & VECDB_PRIMARY_KEY) != 0);
    size_t width = vdb_type_is_vector(b->type) ? gen_vector_bytes(b->type, b->dim)
                                               : vdb_type_width(b->type);
    assert_int_equal(schema->fields[i].width, width);
  }
  assert_int_equal(vdb_schema_find(schema, "f_", 2), -1);
  assert_int_equal(vdb_schema_find(schema, "f_0\0x", 5), -1);
  assert_int_equal(vdb_schema_find(schema, "nothing", 7), -1);
}

static void test_round_trip(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 300; seed++) {
    struct gen g = {{seed}, NULL, 0};
    vecdb_schema from = gen_schema(&g);
    struct vdb_schema *schema, *again;
    vecdb_error err = {0};
    int rc = vdb_schema_new(&mem, &from, &schema, &err);
    check_error(&err, rc, 0, "", "");
    check_same(schema, &from);
    struct vdb_writer out = VDB_WRITER(&mem);
    vdb_schema_encode(schema, &out);
    assert_false(out.failed);
    uint8_t *bytes = gen_exact(out.data, out.n);
    check_error(&err, vdb_schema_decode(&mem, bytes, out.n, &again, &err), 0, "", "");
    memset(bytes, 0xee, out.n);
    free(bytes);
    check_same(again, &from);
    struct vdb_writer twice = VDB_WRITER(&mem);
    vdb_schema_encode(again, &twice);
    assert_int_equal(twice.n, out.n);
    assert_memory_equal(twice.data, out.data, out.n);
    vdb_writer_free(&twice);
    vdb_writer_free(&out);
    vdb_schema_free(&mem, schema);
    vdb_schema_free(&mem, again);
    gen_free(&g);
  }
}

/* Defaults are kept as their field would hold them; a text with a NUL or more bytes are no schema.
   */
static void test_stored_forms(void **state) {
  (void)state;
  vecdb_field fields[3] = {KEY, VECTOR};
  fields[2].name = "x";
  fields[2].type = VECDB_FLOAT;
  fields[2].flags = VECDB_HAS_DEFAULT;
  fields[2].default_value = (vecdb_value)NUMBER(0.1);
  vecdb_schema from = VECDB_SCHEMA_INIT;
  from.description = "abc";
  from.fields = fields;
  from.n_fields = 3;
  struct vdb_schema *schema, *again;
  vecdb_error err = {0};
  assert_int_equal(vdb_schema_new(&mem, &from, &schema, &err), VECDB_OK);
  assert_int_equal(schema->fields[2].default_value.type, VECDB_FLOAT);
  assert_true(schema->fields[2].default_value.as.number == (double)0.1f);
  struct vdb_writer out = VDB_WRITER(&mem);
  vdb_schema_encode(schema, &out);
  out.data[5] = '\0';
  int rc = vdb_schema_decode(&mem, out.data, out.n, &again, &err);
  check_error(&err, rc, VECDB_ERR_CORRUPT, "", "cut or has too many fields");
  out.data[5] = 'b';
  vdb_write_u8(&out, 0);
  rc = vdb_schema_decode(&mem, out.data, out.n, &again, &err);
  check_error(&err, rc, VECDB_ERR_CORRUPT, "", "makes no sense");
  assert_int_equal(vdb_schema_decode(&mem, out.data, out.n - 1, &again, &err), VECDB_OK);
  vdb_schema_free(&mem, again);
  vdb_schema_free(&mem, schema);
  vdb_writer_free(&out);
}

static void test_damage(void **state) {
  (void)state;
  size_t accepted = 0;
  for (uint64_t seed = 1; seed <= 40; seed++) {
    struct gen g = {{seed}, NULL, 0};
    vecdb_schema from = gen_schema(&g);
    struct vdb_schema *schema;
    vecdb_error err = {0};
    assert_int_equal(vdb_schema_new(&mem, &from, &schema, &err), VECDB_OK);
    struct vdb_writer out = VDB_WRITER(&mem);
    vdb_schema_encode(schema, &out);
    size_t format5 = out.n - 4;
    for (uint32_t i = 0; i < schema->n_paths; i++)
      format5 -= 3 * 4 + 4 + strlen(schema->paths[i].text) + 1;
    size_t format4 = format5 - 4, older = format4 - (4 + schema->n_fields * 4 + 4 + 8);
    vdb_schema_free(&mem, schema);
    for (size_t n = 0; n <= out.n; n += 1 + n / 512) {
      uint8_t *bytes = gen_exact(out.data, n);
      int rc = vdb_schema_decode(&mem, bytes, n, &schema, &err);
      bool whole = n == out.n || n == format5 || n == format4 || n == older;
      assert_int_equal(rc, whole ? VECDB_OK : VECDB_ERR_CORRUPT);
      vdb_schema_free(&mem, schema);
      free(bytes);
    }
    for (int i = 0; i < 2000; i++) {
      uint8_t *bytes = gen_exact(out.data, out.n);
      for (uint32_t k = gen_below(&g, 3); k < 3; k++)
        bytes[gen_below(&g, (uint32_t)out.n)] = (uint8_t)gen_below(&g, 256);
      int rc = vdb_schema_decode(&mem, bytes, out.n, &schema, &err);
      assert_true(rc == VECDB_OK || rc == VECDB_ERR_CORRUPT);
      accepted += rc == VECDB_OK;
      vdb_schema_free(&mem, schema);
      free(bytes);
    }
    vdb_writer_free(&out);
    gen_free(&g);
  }
  assert_true(accepted > 0);
}

static void test_no_memory(void **state) {
  (void)state;
  struct memfault fault;
  struct vdb_mem tight;
  memfault_init(&fault);
  vdb_mem_init(&tight, &fault.table, 0);
  for (uint64_t seed = 1; seed <= 80; seed++) {
    struct gen g = {{seed}, NULL, 0};
    vecdb_schema from = gen_schema(&g);
    struct vdb_schema *schema;
    vecdb_error err = {0};
    memfault_fail(&fault, 1, false);
    assert_int_equal(vdb_schema_new(&tight, &from, &schema, &err), VECDB_ERR_NO_MEMORY);
    assert_null(schema);
    memfault_fail(&fault, 0, false);
    assert_int_equal(vdb_schema_new(&tight, &from, &schema, &err), VECDB_OK);
    struct vdb_writer out = VDB_WRITER(&mem);
    vdb_schema_encode(schema, &out);
    vdb_schema_free(&tight, schema);
    uint64_t nth = 1;
    for (;; nth++) {
      memfault_fail(&fault, nth, false);
      int rc = vdb_schema_decode(&tight, out.data, out.n, &schema, &err);
      assert_int_equal(rc, memfault_failed(&fault) ? VECDB_ERR_NO_MEMORY : VECDB_OK);
      if (rc == VECDB_OK)
        break;
      assert_null(schema);
      assert_int_equal(memfault_live(&fault), 0);
    }
    assert_true(nth > 3);
    vdb_schema_free(&tight, schema);
    vdb_writer_free(&out);
    gen_free(&g);
  }
  assert_int_equal(memfault_live(&fault), 0);
  assert_int_equal(tight.used, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_field_rules, setup, teardown),
      cmocka_unit_test_setup_teardown(test_schema_rules, setup, teardown),
      cmocka_unit_test(test_names),
      cmocka_unit_test(test_utf8),
      cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
      cmocka_unit_test_setup_teardown(test_stored_forms, setup, teardown),
      cmocka_unit_test_setup_teardown(test_damage, setup, teardown),
      cmocka_unit_test_setup_teardown(test_no_memory, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
