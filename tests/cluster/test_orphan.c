/*
 * test_orphan.c - files of orphans: written and read back beside a plain list, cut off and flipped
 * everywhere, and through the command that lists and replays them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "ctl/orphans.h"
#include "meta/base64.h"
#include "replica/orphan.h"

enum { TEST_ENTRIES = 9, TEST_BYTES = 4096 };

static const struct orphan_head test_head = {.shard = 0x100000002,
                                             .node = 3,
                                             .store = {11, 12},
                                             .promised = 7,
                                             .after = 130,
                                             .time_ms = 1795000000123};

/* Positions 131 on, bodies of 0 to 40 bytes, an epoch that ends in the middle, a no-op. */
static struct rep_entry test_entry(int i) {
  static uint8_t body[64];
  for (int k = 0; k < 64; k++)
    body[k] = (uint8_t)(k * 7);
  return (struct rep_entry){.pos = {131 + (uint64_t)i, i < 5 ? 5 : 6, UINT64_MAX - (uint64_t)i},
                            .op = {0xfedcba9876543210, 20 + (uint64_t)i},
                            .kind = i == 5 ? REP_NOOP : REP_DATA,
                            .n = i == 5 ? 0 : (uint32_t)i * 5,
                            .body = body + i};
}

/* The file, and where each entry begins. */
static size_t test_file(uint8_t out[TEST_BYTES], size_t at[TEST_ENTRIES + 1]) {
  orphan_head_write(&test_head, out);
  size_t n = ORPHAN_HEAD;
  for (int i = 0; i < TEST_ENTRIES; i++) {
    struct rep_entry e = test_entry(i);
    at[i] = n;
    orphan_write(&e, out + n);
    n += orphan_bytes(e.n);
  }
  at[TEST_ENTRIES] = n;
  assert_true(n <= TEST_BYTES);
  return n;
}

static void test_same(const struct rep_entry *e, int i) {
  struct rep_entry wanted = test_entry(i);
  assert_memory_equal(&e->pos, &wanted.pos, sizeof e->pos);
  assert_memory_equal(&e->op, &wanted.op, sizeof e->op);
  assert_int_equal(e->kind, wanted.kind);
  assert_int_equal(e->n, wanted.n);
  if (e->n)
    assert_memory_equal(e->body, wanted.body, e->n);
}

/* Reads the file: every entry is one that was written, in their order; which were there. */
static unsigned test_read(struct orphan_file *f, const uint8_t *data, size_t n) {
  uint8_t *copy = malloc(n + 1); /* so that a sanitizer sees its end */
  struct rep_entry e;
  unsigned found = 0;
  memcpy(copy, data, n);
  orphan_open(f, copy, n);
  while (orphan_next(f, &e)) {
    int i = (int)(e.pos.seq - 131);
    assert_true(i >= 0 && i < TEST_ENTRIES && found >> i == 0);
    test_same(&e, i);
    found |= 1u << i;
  }
  free(copy);
  return found;
}

static void test_whole(void **state) {
  (void)state;
  uint8_t data[TEST_BYTES];
  size_t at[TEST_ENTRIES + 1], n = test_file(data, at);
  struct orphan_file f;
  assert_int_equal(test_read(&f, data, n), (1u << TEST_ENTRIES) - 1);
  assert_true(f.has_head && f.damaged == 0);
  assert_memory_equal(&f.head, &test_head, sizeof f.head);
}

/* A file that ends anywhere has the entries that end before. */
static void test_cut(void **state) {
  (void)state;
  uint8_t data[TEST_BYTES];
  size_t at[TEST_ENTRIES + 1], n = test_file(data, at);
  for (size_t cut = 0; cut < n; cut++) {
    struct orphan_file f;
    unsigned whole = 0;
    for (int i = 0; i < TEST_ENTRIES; i++)
      whole |= (unsigned)(at[i + 1] <= cut) << i;
    assert_int_equal(test_read(&f, data, cut), whole);
    assert_int_equal(f.has_head, cut >= ORPHAN_HEAD);
  }
}

/* A byte that changed takes the head, one entry, or nothing (what fills up to a multiple of 8). */
static void test_flip(void **state) {
  (void)state;
  uint8_t data[TEST_BYTES];
  size_t at[TEST_ENTRIES + 1], n = test_file(data, at);
  for (size_t where = 0; where < n; where++)
    for (int bit = 0; bit < 8; bit++) {
      struct orphan_file f;
      unsigned all = (1u << TEST_ENTRIES) - 1;
      data[where] ^= (uint8_t)(1u << bit);
      unsigned lost = all & ~test_read(&f, data, n);
      data[where] ^= (uint8_t)(1u << bit);
      assert_int_equal(f.has_head, where >= ORPHAN_HEAD);
      unsigned touched = 0;
      for (int i = 0; i < TEST_ENTRIES; i++)
        touched |= (unsigned)(where >= at[i] && where < at[i + 1]) << i;
      assert_true(lost == touched || lost == 0);
      assert_true(lost || !f.has_head ? f.damaged : !f.damaged);
    }
}

/* ---- The command ---- */

static char test_path[64];

static void test_save(const uint8_t *data, size_t n) {
  snprintf(test_path, sizeof test_path, "build/orphan-%ld", (long)getpid());
  FILE *f = fopen(test_path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(data, 1, n, f), n);
  fclose(f);
}

/* What the command prints; the caller frees. */
static char *test_run(int wanted, bool replay, const char *path, char **errors) {
  char flag[] = "--replay", *out = NULL, *words[3], *name = strdup(path);
  size_t n_out, n_err;
  int argc = 0;
  if (replay)
    words[argc++] = flag;
  words[argc++] = name;
  FILE *o = open_memstream(&out, &n_out), *e = open_memstream(errors, &n_err);
  assert_int_equal(ctl_orphans(argc, words, o, e), wanted);
  fclose(o);
  fclose(e);
  free(name);
  return out;
}

static void test_list(void **state) {
  (void)state;
  uint8_t data[TEST_BYTES];
  size_t at[TEST_ENTRIES + 1], n = test_file(data, at);
  char *errors;
  test_save(data, n);
  char *text = test_run(0, false, test_path, &errors);
  assert_non_null(strstr(text, ": shard 4294967298 of node 3, cut behind 130 in epoch 7, 2026-"));
  assert_non_null(strstr(text, "  131 to 135 of epoch 5: 5 writes, 50 bytes\n"));
  assert_non_null(strstr(text, "  136 to 139 of epoch 6: 3 writes, 105 bytes\n"));
  assert_string_equal(errors, "");
  free(text);
  free(errors);
  data[at[2] + 70]++; /* a body in the middle */
  test_save(data, n);
  text = test_run(1, false, test_path, &errors);
  assert_non_null(strstr(text, "  131 to 132 of epoch 5: 2 writes, 5 bytes\n"));
  assert_non_null(strstr(text, "  134 to 135 of epoch 5: 2 writes, 35 bytes\n"));
  assert_non_null(strstr(errors, "80 bytes are damaged"));
  free(text);
  free(errors);
  unlink(test_path);
  free(test_run(1, false, test_path, &errors)); /* not there */
  assert_non_null(strstr(errors, "No such file"));
  free(errors);
}

static void test_member(const json_t *line, const char *name, uint64_t wanted) {
  const char *text = json_string_value(json_object_get(line, name));
  assert_non_null(text);
  assert_true(strtoull(text, NULL, 10) == wanted);
}

/* Every line is the write that was cut off; no-ops are none. */
static void test_replay(void **state) {
  (void)state;
  uint8_t data[TEST_BYTES], body[64];
  size_t at[TEST_ENTRIES + 1], n = test_file(data, at);
  char *errors, *rest;
  test_save(data, n);
  char *text = test_run(0, true, test_path, &errors);
  char *line = strtok_r(text, "\n", &rest);
  for (int i = 0; i < TEST_ENTRIES; i++) {
    struct rep_entry e = test_entry(i);
    if (e.kind != REP_DATA)
      continue;
    assert_non_null(line);
    json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(object);
    test_member(object, "shard", test_head.shard);
    test_member(object, "client", e.op.client);
    test_member(object, "count", e.op.count);
    test_member(object, "seq", e.pos.seq);
    test_member(object, "epoch", e.pos.epoch);
    const char *base64 = json_string_value(json_object_get(object, "body"));
    size_t n_body;
    assert_true(base64_read(base64, strlen(base64), body, &n_body));
    assert_int_equal(n_body, e.n);
    assert_memory_equal(body, e.body, e.n);
    json_decref(object);
    line = strtok_r(NULL, "\n", &rest);
  }
  assert_null(line);
  free(text);
  free(errors);
  unlink(test_path);
}

static void test_words(void **state) {
  (void)state;
  char *errors, flag[] = "--replay", *one[] = {flag};
  size_t n;
  FILE *e = open_memstream(&errors, &n);
  assert_int_equal(ctl_orphans(0, NULL, stdout, e), 2);
  assert_int_equal(ctl_orphans(1, one, stdout, e), 2);
  fclose(e);
  assert_non_null(strstr(errors, "usage"));
  free(errors);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_whole), cmocka_unit_test(test_cut),    cmocka_unit_test(test_flip),
      cmocka_unit_test(test_list),  cmocka_unit_test(test_replay), cmocka_unit_test(test_words),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
