/* test_api_push.c - pushing to and pulling vectors through the public interface: what is refused,
   and what other calls have to do with it. Arithmetic, durability and threads: tests/model. */
#include "tlib/apitest.h"

static void learn(vecdb_collection *coll, int32_t kind) {
  vecdb_optimizer rule = VECDB_OPTIMIZER_INIT;
  rule.kind = kind;
  rule.rate = 0.5f;
  at_ok(vecdb_optimizer_set(coll, "v", &rule, NULL, &at_err));
}

/* A push to the small collection. */
static vecdb_push_params push_of(const vecdb_keys *keys, int32_t kind, const float *values) {
  vecdb_push_params params = VECDB_PUSH_PARAMS_INIT;
  params.kind = kind;
  params.field = "v";
  params.keys = keys;
  params.values = values;
  params.dim = 4;
  return params;
}

static void check_vector(vecdb_collection *coll, int64_t id, const float *v, uint64_t version) {
  float found[4] = {0};
  uint64_t number = 99;
  vecdb_keys keys = {.integers = &id, .n = 1};
  at_ok(vecdb_pull(coll, "v", &keys, found, 0, &number, &at_err));
  assert_int_equal(number, version);
  if (version)
    assert_memory_equal(found, v, sizeof found);
}

/* Versions count every write of the vector, over memory and files, and nothing else. */
static void test_versions(void **state) {
  (void)state;
  for (int files = 0; files < 2; files++) {
    char *folder = at_folder();
    vecdb *db = at_open(folder, NULL);
    vecdb_collection *coll = at_small(db, "c");
    at_put(coll, 0, 20);
    learn(coll, VECDB_OPTIMIZER_AVERAGE);
    const float five[] = {5, 5, 0, 1};
    check_vector(coll, 5, five, 1); /* it was there before it took pushes */
    check_vector(coll, 99, NULL, 0);
    at_put(coll, 5, 1);
    check_vector(coll, 5, five, 2);
    const vecdb_column other[] = {{.field = "id", .data = (int64_t[]){5}},
                                  {.field = "n", .data = (int32_t[]){-1}}};
    const vecdb_column moved[] = {{.field = "id", .data = (int64_t[]){5, 6}},
                                  {.field = "v", .data = (float[8]){1, 2, 3, 4, 5, 6, 7, 8}}};
    vecdb_batch batch = {sizeof batch, sizeof *other, other, 2, 1};
    at_ok(vecdb_update(coll, &batch, 0, NULL, &at_err));
    check_vector(coll, 5, five, 2);
    batch.columns = moved;
    batch.n_rows = 2;
    at_ok(vecdb_update(coll, &batch, VECDB_UPDATE_INSERT, NULL, &at_err));
    check_vector(coll, 5, moved[1].data, 3);
    if (files)
      at_ok(vecdb_compact(coll, NULL, &at_err));
    const float gradients[][4] = {{2, 0, 0, 0}, {0, 4, 0, 0}, {0, 0, 0, 8}};
    vecdb_keys keys = {.integers = (int64_t[]){5, 6, 5}, .n = 3};
    vecdb_push_params params = push_of(&keys, VECDB_PUSH_GRADIENT, gradients[0]);
    uint64_t versions[3];
    at_ok(vecdb_push(coll, &params, versions, &at_err));
    assert_memory_equal(versions, ((uint64_t[]){4, 3, 5}), sizeof versions);
    vecdb_collection_release(coll);
    at_close(db);
    db = at_open(folder, NULL);
    at_ok(vecdb_collection_get(db, "c", &coll, &at_err));
    check_vector(coll, 5, (float[]){0, 2, 3, 0}, 5);
    check_vector(coll, 6, (float[]){5, 4, 7, 8}, 3);
    assert_int_equal(at_count(coll, "n == -1"), 1);
    at_delete(coll, 5, 1);
    check_vector(coll, 5, NULL, 0);
    at_put(coll, 5, 1);
    check_vector(coll, 5, five, 1);
    vecdb_collection_release(coll);
    at_close(db);
    at_remove(folder);
  }
}

/* All of the pushes of a call, or none; at the version that was expected, or not at all. */
static void test_expected(void **state) {
  (void)state;
  vecdb *db = at_open(":memory:", NULL);
  vecdb_collection *coll = at_small(db, "c");
  at_put(coll, 0, 4);
  learn(coll, VECDB_OPTIMIZER_ADAM);
  struct {
    char before[3]; /* strides need not be those of floats */
    float v[4];
  } rows[2] = {{"", {9, 9, 9, 9}}, {"", {8, 8, 8, 8}}};
  vecdb_keys keys = {.integers = (int64_t[]){1, 2}, .n = 2};
  vecdb_push_params params = push_of(&keys, VECDB_PUSH_VALUE, rows[0].v);
  params.stride = sizeof rows[0];
  params.expected = (uint64_t[]){1, 2};
  at_fails(VECDB_ERR_VERSION, vecdb_push(coll, &params, NULL, &at_err));
  assert_int_equal(at_err.row, 1);
  check_vector(coll, 1, (float[]){1, 1, 0, 1}, 1);
  params.expected = (uint64_t[]){1, 1};
  at_ok(vecdb_push(coll, &params, NULL, &at_err));
  check_vector(coll, 1, rows[0].v, 2);
  check_vector(coll, 2, rows[1].v, 2);
  keys.integers = (int64_t[]){3, 50};
  params.expected = NULL;
  at_fails(VECDB_ERR_NOT_FOUND, vecdb_push(coll, &params, NULL, &at_err));
  assert_int_equal(at_err.row, 1);
  check_vector(coll, 3, (float[]){3, 3, 0, 1}, 1);
  params.flags = VECDB_PUSH_INSERT; /* n has neither null nor default */
  at_fails(VECDB_ERR_MISSING_FIELD, vecdb_push(coll, &params, NULL, &at_err));
  assert_int_equal(at_err.row, 1);
  assert_string_equal(at_err.field, "n");
  vecdb_collection_release(coll);
  at_close(db);
}

static void check_refused(vecdb_collection *coll) {
  float zeros[4] = {0}, odd[4] = {0, at_nan(), 0, 0}, large[4] = {3e38f, 3e38f, 0, 0};
  vecdb_keys keys = {.integers = (int64_t[]){1}, .n = 1};
  vecdb_keys texts = {.strings = &(vecdb_string){"", 0}, .n = 1};
  vecdb_push_params good = push_of(&keys, VECDB_PUSH_DELTA, zeros), p = good;
  p.values = odd;
  at_fails(VECDB_ERR_NOT_FINITE, vecdb_push(coll, &p, NULL, &at_err));
  p.values = large;
  at_fails(VECDB_ERR_OVERFLOW, vecdb_push(coll, &p, NULL, &at_err));
  p = good;
  p.size--;
  at_fails(VECDB_ERR_OPTION, vecdb_push(coll, &p, NULL, &at_err));
  p = good;
  p.kind = 3;
  at_fails(VECDB_ERR_OPTION, vecdb_push(coll, &p, NULL, &at_err));
  p = good;
  p.flags = 2;
  at_fails(VECDB_ERR_OPTION, vecdb_push(coll, &p, NULL, &at_err));
  p = good;
  p.dim = 3;
  at_fails(VECDB_ERR_DIMENSION, vecdb_push(coll, &p, NULL, &at_err));
  p = good;
  p.stride = 15;
  at_fails(VECDB_ERR_ARGUMENT, vecdb_push(coll, &p, NULL, &at_err));
  at_fails(VECDB_ERR_ARGUMENT, vecdb_pull(coll, "v", &keys, zeros, 15, NULL, &at_err));
  p = good;
  p.values = NULL;
  at_fails(VECDB_ERR_ARGUMENT, vecdb_push(coll, &p, NULL, &at_err));
  p = good;
  p.keys = &texts;
  at_fails(VECDB_ERR_ARGUMENT, vecdb_push(coll, &p, NULL, &at_err));
  p = good;
  p.field = "w";
  at_fails(VECDB_ERR_UNKNOWN_FIELD, vecdb_push(coll, &p, NULL, &at_err));
  p.field = ":version";
  at_fails(VECDB_ERR_UNKNOWN_FIELD, vecdb_push(coll, &p, NULL, &at_err));
  p.field = "n";
  at_fails(VECDB_ERR_SCHEMA, vecdb_push(coll, &p, NULL, &at_err));
  at_fails(VECDB_ERR_ARGUMENT, vecdb_push(coll, NULL, NULL, &at_err));
  at_fails(VECDB_ERR_ARGUMENT, vecdb_pull(coll, "v", NULL, NULL, 0, NULL, &at_err));
  at_fails(VECDB_ERR_ARGUMENT, vecdb_pull(coll, "v", &texts, NULL, 0, NULL, &at_err));
  const vecdb_column hidden[] = {{.field = "id", .data = keys.integers},
                                 {.field = ":version", .data = keys.integers}};
  vecdb_batch batch = {sizeof batch, sizeof *hidden, hidden, 2, 1};
  at_fails(VECDB_ERR_UNKNOWN_FIELD, vecdb_update(coll, &batch, 0, NULL, &at_err));
}

static void test_mistakes(void **state) {
  (void)state;
  vecdb *db = at_open(":memory:", NULL);
  vecdb_collection *coll = at_small(db, "c");
  at_put(coll, 0, 10);
  const float zeros[4] = {0}, large[4] = {1e19f, 0, 0, 0};
  vecdb_keys keys = {.integers = (int64_t[]){1}, .n = 1};
  vecdb_push_params params = push_of(&keys, VECDB_PUSH_GRADIENT, zeros);
  at_fails(VECDB_ERR_SCHEMA, vecdb_push(coll, &params, NULL, &at_err));
  at_fails(VECDB_ERR_SCHEMA, vecdb_pull(coll, "v", &keys, NULL, 0, NULL, &at_err));
  learn(coll, VECDB_OPTIMIZER_AVERAGE);
  struct at_content before = at_content(coll);
  check_refused(coll);
  params.kind = VECDB_PUSH_DELTA; /* each may come, but not both */
  params.keys = &(vecdb_keys){.integers = (int64_t[]){1, 1}, .n = 2};
  params.values = (float[8]){1e19f, 0, 0, 0, 1e19f};
  at_fails(VECDB_ERR_OVERFLOW, vecdb_push(coll, &params, NULL, &at_err));
  assert_int_equal(at_err.row, 1);
  learn(coll, VECDB_OPTIMIZER_ADAGRAD);
  params = push_of(&keys, VECDB_PUSH_GRADIENT, large);
  for (int i = 0; i < 3; i++) /* squares of 1e38 add up to more than a float holds */
    at_ok(vecdb_push(coll, &params, NULL, &at_err));
  at_fails(VECDB_ERR_OVERFLOW, vecdb_push(coll, &params, NULL, &at_err));
  learn(coll, VECDB_OPTIMIZER_AVERAGE);
  params = push_of(&keys, VECDB_PUSH_VALUE, (float[]){1, 1, 0, 1});
  at_ok(vecdb_push(coll, &params, NULL, &at_err));
  at_same(before, at_content(coll));
  at_ok(vecdb_optimizer_set(coll, "v", NULL, NULL, &at_err));
  at_fails(VECDB_ERR_SCHEMA, vecdb_push(coll, &params, NULL, &at_err));
  at_ok(vecdb_collection_drop(db, "c", &at_err));
  at_fails(VECDB_ERR_CLOSED, vecdb_push(coll, &params, NULL, &at_err));
  vecdb_collection_release(coll);
  at_close(db);
}

static void test_optimizers(void **state) {
  (void)state;
  vecdb *db = at_open(":memory:", NULL);
  vecdb_collection *coll = at_small(db, "c");
  vecdb_optimizer rule = VECDB_OPTIMIZER_INIT, found;
  at_fails(VECDB_ERR_NOT_FOUND, vecdb_optimizer_get(coll, "v", &found, &at_err));
  at_fails(VECDB_ERR_UNKNOWN_FIELD, vecdb_optimizer_get(coll, "w", &found, &at_err));
  at_fails(VECDB_ERR_UNKNOWN_FIELD, vecdb_optimizer_set(coll, "w", &rule, NULL, &at_err));
  at_fails(VECDB_ERR_TYPE, vecdb_optimizer_set(coll, "n", &rule, NULL, &at_err));
  rule.size = 1;
  at_fails(VECDB_ERR_OPTION, vecdb_optimizer_set(coll, "v", &rule, NULL, &at_err));
  const struct {
    int code;
    vecdb_optimizer rule;
  } bad[] = {
      {VECDB_ERR_OPTION, {.kind = 3}},
      {VECDB_ERR_OPTION, {.kind = -1}},
      {VECDB_ERR_RANGE, {.rate = -1}},
      {VECDB_ERR_RANGE, {.rate = at_nan()}},
      {VECDB_ERR_RANGE, {.rate = at_infinity()}},
      {VECDB_ERR_RANGE, {.unit = 2}},
      {VECDB_ERR_RANGE, {.window = (1u << 20) + 1}},
      {VECDB_ERR_RANGE, {.kind = VECDB_OPTIMIZER_ADAM, .beta1 = 1}},
      {VECDB_ERR_RANGE, {.kind = VECDB_OPTIMIZER_ADAM, .beta2 = -0.5f}},
      {VECDB_ERR_RANGE, {.kind = VECDB_OPTIMIZER_ADAGRAD, .epsilon = at_infinity()}},
      {VECDB_ERR_ARGUMENT, {.kind = VECDB_OPTIMIZER_ADAGRAD, .beta1 = 0.5f}},
      {VECDB_ERR_ARGUMENT, {.kind = VECDB_OPTIMIZER_ADAGRAD, .window = 2}},
      {VECDB_ERR_ARGUMENT, {.epsilon = 1}},
  };
  for (size_t i = 0; i < AT_COUNT(bad); i++) {
    rule = bad[i].rule;
    rule.size = sizeof rule;
    at_fails(bad[i].code, vecdb_optimizer_set(coll, "v", &rule, NULL, &at_err));
  }
  learn(coll, VECDB_OPTIMIZER_ADAM);
  at_ok(vecdb_optimizer_get(coll, "v", &found, &at_err));
  assert_int_equal(found.kind, VECDB_OPTIMIZER_ADAM);
  assert_true(found.rate == 0.5f && found.beta1 == 0.9f && found.beta2 == 0.999f);
  assert_int_equal(vecdb_collection_schema(coll)->n_fields, 5);
  at_ok(vecdb_field_rename(coll, "v", "u", NULL, &at_err));
  at_ok(vecdb_field_drop(coll, "s", NULL, &at_err));
  at_ok(vecdb_optimizer_get(coll, "u", &found, &at_err));
  at_ok(vecdb_optimizer_set(coll, "u", NULL, NULL, &at_err));
  at_fails(VECDB_ERR_NOT_FOUND, vecdb_optimizer_get(coll, "u", &found, &at_err));
  vecdb_collection_release(coll);
  at_close(db);
}

/* The vectors that pushes leave are those that may be there. */
static void test_cosine(void **state) {
  (void)state;
  const vecdb_field fields[] = {
      {.name = "word", .type = VECDB_VARCHAR, .max_length = 9, .flags = VECDB_PRIMARY_KEY},
      {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = 2},
      {.name = "half", .type = VECDB_FLOAT16_VECTOR, .dim = 2, .metric = VECDB_L2},
  };
  vecdb_schema schema = {sizeof schema, sizeof *fields, NULL, fields, 2};
  vecdb *db = at_open(":memory:", NULL);
  vecdb_collection *coll;
  at_ok(vecdb_collection_create(db, "c", &schema, &coll, &at_err));
  vecdb_optimizer rule = VECDB_OPTIMIZER_INIT;
  rule.unit = 1;
  rule.rate = 1;
  at_ok(vecdb_optimizer_set(coll, "v", &rule, NULL, &at_err));
  const vecdb_string words[] = {{"one", 3}, {"two", 3}, {"one", 3}};
  vecdb_keys keys = {.strings = words, .n = 3};
  vecdb_push_params params = VECDB_PUSH_PARAMS_INIT;
  params.field = "v";
  params.keys = &keys;
  params.flags = VECDB_PUSH_INSERT;
  params.values = (float[]){0, -2, -7, 0, -1, 0};
  at_ok(vecdb_push(coll, &params, NULL, &at_err));
  float found[2][3];
  uint64_t versions[3];
  keys.n = 2;
  at_ok(vecdb_pull(coll, "v", &keys, found[0], sizeof found[0], versions, &at_err));
  assert_memory_equal(versions, ((uint64_t[]){2, 1}), 2 * sizeof *versions);
  assert_true(found[0][0] > 0.707f && found[0][0] < 0.7072f && found[0][0] == found[0][1]);
  assert_true(found[1][0] == 1 && found[1][1] == 0);
  params.values = (float[]){0, 0, 1, 0};
  at_fails(VECDB_ERR_ZERO_VECTOR, vecdb_push(coll, &params, NULL, &at_err));
  assert_int_equal(at_err.row, 1);
  vecdb_collection_release(coll);
  schema.n_fields = 3;
  at_ok(vecdb_collection_create(db, "d", &schema, &coll, &at_err));
  at_fails(VECDB_ERR_TYPE, vecdb_optimizer_set(coll, "half", &rule, NULL, &at_err));
  vecdb_collection_release(coll);
  at_close(db);
}

static uint64_t the_time;
static uint64_t time_ns(void *user) {
  (void)user;
  return the_time * 1000000;
}

/* An expired row is none, and its vector begins anew. */
static void test_expired(void **state) {
  (void)state;
  vecdb_clock clock = {time_ns, time_ns, NULL};
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.clock = &clock;
  options.flags = VECDB_HOST_DRIVEN;
  vecdb *db = at_open(":memory:", &options);
  const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = 4, .metric = VECDB_L2},
      {.name = "until", .type = VECDB_INT64, .flags = VECDB_NULLABLE},
  };
  vecdb_schema schema = {sizeof schema, sizeof *fields, NULL, fields, 3};
  vecdb_collection *coll;
  the_time = 1000;
  at_ok(vecdb_collection_create(db, "c", &schema, &coll, &at_err));
  learn(coll, VECDB_OPTIMIZER_ADAM);
  at_ok(vecdb_expire(coll, "until", 0, NULL, &at_err));
  const float v[] = {1, 2, 3, 4};
  const vecdb_column columns[] = {{.field = "id", .data = (int64_t[]){7}},
                                  {.field = "v", .data = v},
                                  {.field = "until", .data = (int64_t[]){2000}}};
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 3, 1};
  at_ok(vecdb_upsert(coll, &batch, NULL, &at_err));
  at_ok(vecdb_upsert(coll, &batch, NULL, &at_err));
  check_vector(coll, 7, v, 2);
  vecdb_keys keys = {.integers = (int64_t[]){7}, .n = 1};
  vecdb_push_params params = push_of(&keys, VECDB_PUSH_DELTA, v);
  at_ok(vecdb_push(coll, &params, NULL, &at_err));
  check_vector(coll, 7, (float[]){2, 4, 6, 8}, 3);
  the_time = 2000;
  check_vector(coll, 7, NULL, 0);
  at_fails(VECDB_ERR_NOT_FOUND, vecdb_push(coll, &params, NULL, &at_err));
  params.flags = VECDB_PUSH_INSERT;
  at_ok(vecdb_push(coll, &params, NULL, &at_err));
  check_vector(coll, 7, v, 1);
  vecdb_collection_release(coll);
  at_close(db);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_versions),   cmocka_unit_test(test_expected),
      cmocka_unit_test(test_mistakes),   cmocka_unit_test(test_optimizers),
      cmocka_unit_test(test_cosine),     cmocka_unit_test(test_expired),
  };
  return cmocka_run_group_tests_name("push", tests, NULL, NULL);
}
