/*
 * test_vector_check.c - the checks of single vectors, at their bounds and for special elements at
 * any place, and of keys.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "attr_gen.h"

static void expect(const vecdb_error *err, int rc, int code, int64_t row, const char *field,
                   const char *text) {
  bool same = rc == code && (rc == 0 || (err->row == row && strcmp(err->field, field) == 0 &&
                                         strstr(err->message, text)));
  if (!same)
    fail_msg("got %s, field '%s', row %lld: %s; expected %s, field '%s', row %lld: %s",
             vecdb_status_name(rc), err->field, (long long)err->row, err->message,
             vecdb_status_name(code), field, (long long)row, text);
}

/* ---- Vectors ----------------------------------------------------------------------------------
   */

static void put_element(int32_t type, uint8_t *out, size_t i, float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  uint16_t high = (uint16_t)(bits >> 16);
  if (type == VECDB_FLOAT_VECTOR)
    memcpy(out + i * 4, &x, 4);
  else
    memcpy(out + i * 2, &high, 2);
}

/* One special element anywhere in vectors of any length, at odd addresses. */
static void test_vector_elements(void **state) {
  (void)state;
  static const int32_t metrics[] = {VECDB_L2, VECDB_IP, VECDB_COSINE};
  uint8_t *block = malloc(1 + 70 * 4);
  for (int32_t type = VECDB_FLOAT_VECTOR; type <= VECDB_BFLOAT16_VECTOR; type++)
    for (uint32_t dim = 1; dim <= 70; dim++)
      for (uint32_t at = 0; at < dim; at++) {
        bool half = type == VECDB_FLOAT16_VECTOR;
        size_t bytes = gen_vector_bytes(type, dim);
        uint8_t *v = block + 1 + 70 * 4 - 1 - bytes; /* its end is the end of the block */
        struct vdb_field f = {.name = "v", .type = type, .dim = dim, .metric = metrics[at % 3]};
        vecdb_error err = {0};
        memset(v, 0, bytes);
        int zero = f.metric == VECDB_COSINE ? VECDB_ERR_ZERO_VECTOR : 0;
        expect(&err, vdb_vector_check(&f, v, 9, &err), zero, 9, "v", "is zero");
        f.flags = VECDB_ALLOW_ZERO;
        expect(&err, vdb_vector_check(&f, v, 9, &err), 0, 9, "v", "");
        f.flags = 0;
        v[at * bytes / dim + bytes / dim - 1] = 0x39; /* a small positive number */
        expect(&err, vdb_vector_check(&f, v, 9, &err), 0, 9, "v", "");
        if (dim % 2) /* among zeros, or among others like it */
          for (uint32_t i = 0; i < dim; i++)
            v[i * bytes / dim + bytes / dim - 1] = 0x39;
        uint16_t inf = half ? 0xfc00 : 0xff80, nan = half ? 0x7c01 : 0x7f81;
        memcpy(v + (at + 1) * (bytes / dim) - 2, &inf, 2);
        expect(&err, vdb_vector_check(&f, v, 9, &err), VECDB_ERR_NOT_FINITE, 9, "v", "element");
        memcpy(v + (at + 1) * (bytes / dim) - 2, &nan, 2);
        expect(&err, vdb_vector_check(&f, v, -1, &err), VECDB_ERR_NOT_FINITE, -1, "v", "element");
        if (half)
          continue;
        put_element(type, v, at, -1e30f);
        expect(&err, vdb_vector_check(&f, v, 9, &err), VECDB_ERR_OVERFLOW, 9, "v", "squared norm");
      }
  free(block);
}

/* Near the bounds the decision is that of the exact sum. */
static void test_vector_bounds(void **state) {
  (void)state;
  struct vdb_field f = {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = 40, .metric = VECDB_COSINE};
  struct vdb_rng rng = {11};
  size_t kinds[3] = {0};
  for (int i = 0; i < 200000; i++) {
    float v[40];
    double scale = i % 2 ? 5.05e18 : 2.97e-20, sum = 0;
    scale *= 1 + (vdb_rng_unit(&rng) - 0.5) / 4;
    for (size_t k = 0; k < 40; k++) {
      v[k] = (float)((vdb_rng_unit(&rng) - 0.5) * 2 * scale);
      sum += (double)v[k] * (double)v[k];
    }
    int want = sum > (double)FLT_MAX ? VECDB_ERR_OVERFLOW
               : sum < (double)FLT_MIN ? VECDB_ERR_ZERO_VECTOR
                                       : VECDB_OK;
    vecdb_error err = {0};
    assert_int_equal(vdb_vector_check(&f, v, 0, &err), want);
    kinds[want == VECDB_OK ? 0 : want == VECDB_ERR_OVERFLOW ? 1 : 2]++;
  }
  assert_true(kinds[0] > 1000 && kinds[1] > 1000 && kinds[2] > 1000);
}

/* ---- Keys -------------------------------------------------------------------------------------
   */

static struct vdb_schema *make_schema(struct vdb_mem *mem, const vecdb_field *fields) {
  vecdb_schema from = VECDB_SCHEMA_INIT;
  vecdb_error err = {0};
  struct vdb_schema *schema;
  from.fields = fields;
  from.n_fields = 2;
  assert_int_equal(vdb_schema_new(mem, &from, &schema, &err), VECDB_OK);
  return schema;
}

static void test_keys(void **state) {
  (void)state;
  struct vdb_mem mem;
  vdb_mem_init(&mem, NULL, 0);
  vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = 1},
  };
  struct vdb_schema *numbers = make_schema(&mem, fields);
  fields[0].type = VECDB_VARCHAR;
  fields[0].max_length = 3;
  struct vdb_schema *texts = make_schema(&mem, fields);
  int64_t integers[2] = {1, 1};
  vecdb_string good[3] = {{"abc", 3}, {NULL, 0}, {"", 0}};
  vecdb_string null[2] = {{"a", 1}, {NULL, 1}};
  vecdb_string longer[2] = {{"a", 1}, {"abcd", 4}};
  vecdb_string bad[2] = {{"a", 1}, {"\xf5", 1}};
  const struct {
    const struct vdb_schema *schema;
    vecdb_keys keys;
    int code;
    int64_t row;
    const char *text;
  } cases[] = {
      {numbers, {integers, NULL, 2}, 0, -1, ""},
      {numbers, {NULL, NULL, 0}, 0, -1, ""},
      {numbers, {NULL, NULL, 1}, VECDB_ERR_ARGUMENT, -1, "NULL"},
      {numbers, {NULL, good, 1}, VECDB_ERR_ARGUMENT, -1, "are integers"},
      {numbers, {integers, good, 1}, VECDB_ERR_ARGUMENT, -1, "are integers"},
      {texts, {NULL, good, 3}, 0, -1, ""},
      {texts, {NULL, NULL, 0}, 0, -1, ""},
      {texts, {NULL, NULL, 2}, VECDB_ERR_ARGUMENT, -1, "NULL"},
      {texts, {integers, NULL, 2}, VECDB_ERR_ARGUMENT, -1, "are texts"},
      {texts, {NULL, null, 2}, VECDB_ERR_ARGUMENT, 1, "key 1 is a NULL pointer"},
      {texts, {NULL, longer, 2}, VECDB_ERR_TOO_LONG, 1, "key 1 has 4 bytes, and 3"},
      {texts, {NULL, bad, 2}, VECDB_ERR_UTF8, 1, "key 1 is not valid UTF-8"},
  };
  vecdb_error err = {0};
  for (size_t i = 0; i < VDB_COUNT(cases); i++) {
    int rc = vdb_keys_check(cases[i].schema, &cases[i].keys, &err);
    expect(&err, rc, cases[i].code, cases[i].row, "id", cases[i].text);
  }
  vecdb_keys many = {integers, NULL, VECDB_MAX_BATCH_ROWS + 1};
  expect(&err, vdb_keys_check(numbers, &many, &err), VECDB_ERR_LIMIT, -1, "", "at most 1048576");
  expect(&err, vdb_keys_check(numbers, NULL, &err), VECDB_ERR_ARGUMENT, -1, "", "NULL");
  vdb_schema_free(&mem, numbers);
  vdb_schema_free(&mem, texts);
  assert_int_equal(mem.used, 0);
}

static void test_key_compare(void **state) {
  (void)state;
  static const int64_t integers[] = {INT64_MIN, -256, -1, 0, 1, 255, 256, INT64_MAX};
  static const char *const texts[] = {"", "A", "a", "aa", "ab", "b", "\xc3\xa9"};
  for (size_t i = 0; i < VDB_COUNT(integers); i++)
    for (size_t j = 0; j < VDB_COUNT(integers); j++) {
      struct vdb_bytes a = {(const uint8_t *)&integers[i], 8};
      struct vdb_bytes b = {(const uint8_t *)&integers[j], 8};
      int order = vdb_key_compare(a, b, VECDB_INT64);
      assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
    }
  for (size_t i = 0; i < VDB_COUNT(texts); i++)
    for (size_t j = 0; j < VDB_COUNT(texts); j++) {
      struct vdb_bytes a = {(const uint8_t *)texts[i], strlen(texts[i])};
      struct vdb_bytes b = {(const uint8_t *)texts[j], strlen(texts[j])};
      int order = vdb_key_compare(a, b, VECDB_VARCHAR);
      assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
    }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_vector_elements),
      cmocka_unit_test(test_vector_bounds),
      cmocka_unit_test(test_keys),
      cmocka_unit_test(test_key_compare),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
