/* test_reshape.c - changes of schemas and histories of them, as JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/reshape.h"

static int tr_read(const char *text, struct wire_reshape *out, struct wire_mem *mem) {
  char why[WIRE_WHY] = "";
  int code = wire_reshape_read(text, strlen(text), mem, out, why);
  assert_int_equal(*why != 0, code != VECDB_OK);
  return code;
}

/* Each kind is read as it was written; what is cut, has too much or too little is refused. */
static void test_reshape(void **state) {
  (void)state;
  static const vecdb_field field = {.name = "n", .type = VECDB_INT64, .flags = VECDB_NULLABLE};
  const struct wire_reshape all[] = {
      {.kind = WIRE_RESHAPE_ADD, .fields = {sizeof(vecdb_schema), sizeof field, "", &field, 1}},
      {.kind = WIRE_RESHAPE_DROP, .field = "a"},
      {.kind = WIRE_RESHAPE_RENAME, .field = "a", .to = "b\"c"},
      {.kind = WIRE_RESHAPE_INDEX, .field = "a", .index = {"[\"x\"]", VECDB_DOUBLE}},
      {.kind = WIRE_RESHAPE_UNINDEX, .field = "a", .index = {"[\"x\"]", 0}}};
  static const char *const bad[] = {
      "{}", "[]", "{\"drop\": 1}", "{\"drop\": \"\"}", "{\"drop\": \"a\", \"rename\": \"b\"}",
      "{\"drop\": \"a\", \"to\": \"b\"}", "{\"rename\": \"a\"}", "{\"add\": \"a\"}",
      "{\"index\": \"a\", \"path\": \"x\"}", "{\"add\": {\"fields\": []}}",
      "{\"index\": \"a\", \"path\": \"x\", \"type\": -1}",
      "{\"index\": \"a\", \"path\": \"x\", \"type\": 9999999999}"};
  struct wire_reshape back;
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    struct wire_mem mem = {0};
    char *text = wire_reshape_write(&all[i]);
    assert_int_equal(tr_read(text, &back, &mem), VECDB_OK);
    assert_int_equal(back.kind, all[i].kind);
    assert_string_equal(back.field ? back.field : "", all[i].field ? all[i].field : "");
    assert_string_equal(back.to ? back.to : "", all[i].to ? all[i].to : "");
    assert_string_equal(back.index.path ? back.index.path : "",
                        all[i].index.path ? all[i].index.path : "");
    assert_int_equal(back.index.type, all[i].index.type);
    assert_int_equal(back.fields.n_fields, all[i].fields.n_fields);
    for (size_t n = strlen(text); n--;) {
      text[n] = 0;
      assert_int_not_equal(tr_read(text, &back, &mem), VECDB_OK);
    }
    free(text);
    wire_mem_free(&mem);
  }
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct wire_mem mem = {0};
    assert_int_not_equal(tr_read(bad[i], &back, &mem), VECDB_OK);
    wire_mem_free(&mem);
  }
}

/* Versions 5 to 8: a field is dropped, another added, an index made. */
static void test_history(void **state) {
  (void)state;
  static const char *const changes[] = {
      "{\"drop\": \"a\"}", "{\"add\": {\"fields\": [{\"name\": \"a\", \"type\": \"INT8\"}]}}",
      "{\"index\": \"j\", \"path\": \"x\", \"type\": 5}"};
  static const char base[] = "{\"fields\": [{\"name\": \"id\", \"type\": \"INT64\"}]}";
  char *history = NULL, *more, why[WIRE_WHY] = "";
  struct wire_mem mem = {0};
  struct wire_reshape reshape;
  struct wire_step step;
  for (uint64_t i = 0; i < 3; i++) {
    assert_int_equal(wire_history_add(history, 5 + i, base, changes[i], &more, why), VECDB_OK);
    free(history);
    history = more;
  }
  assert_int_equal(wire_history_step(history, 1, &mem, &step), VECDB_OK);
  assert_true(step.version == 5 && step.add && strstr(step.text, "\"id\""));
  assert_string_equal(step.text, wire_history_base(history, &mem));
  assert_int_equal(wire_history_step(history, 5, &mem, &step), VECDB_OK);
  assert_true(step.version == 6 && !step.add);
  assert_int_equal(tr_read(step.text, &reshape, &mem), VECDB_OK);
  assert_int_equal(reshape.kind, WIRE_RESHAPE_DROP);
  assert_int_equal(wire_history_step(history, 6, &mem, &step), VECDB_OK);
  assert_true(step.version == 7 && step.add && strstr(step.text, "INT8"));
  assert_int_equal(wire_history_step(history, 7, &mem, &step), VECDB_OK);
  assert_true(step.version == 8 && !step.add);
  assert_int_equal(wire_history_step(history, 8, &mem, &step), VECDB_ERR_NOT_FOUND);
  assert_int_equal(wire_history_broke(history, 5), 0);
  for (uint64_t version = 6; version <= 9; version++)
    assert_int_equal(wire_history_broke(history, version), 6);
  assert_int_equal(wire_history_add("{}", 5, base, changes[0], &more, why), VECDB_ERR_SCHEMA);
  assert_int_equal(wire_history_add(history, 8, base, "{", &more, why), VECDB_ERR_SCHEMA);
  assert_int_equal(wire_history_step("[1]", 5, &mem, &step), VECDB_ERR_SCHEMA);
  static const char before[] = "{\"from\": -1, \"base\": {}, \"changes\": []}";
  assert_int_equal(wire_history_step(before, 5, &mem, &step), VECDB_ERR_SCHEMA);
  assert_int_equal(wire_history_broke("", 5), 0);
  assert_null(wire_history_base("{\"base\": 1}", &mem));
  free(history);
  wire_mem_free(&mem);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_reshape),
                                     cmocka_unit_test(test_history)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
