/*
 * test_filter.c - sets of rows at the edges of blocks, three-valued logic, patterns, long lists,
 * indexes, estimates, and memory that runs out at every allocation.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "attr/attr_index_format.h"
#include "attr/filter_tree.h"
#include "attr/path_index.h"
#include "filter_fixture.h"
#include "tlib/memfault.h"

static struct vdb_mem tf_mem;

static struct vdb_filter *tf_compile(struct vdb_mem *mem, const char *text) {
  vecdb_filter source = {text, strlen(text), NULL, 0};
  struct vdb_filter *filter = NULL;
  vecdb_error err;
  if (vdb_filter_compile(mem, &fx_schema, &source, &filter, &err) != VECDB_OK)
    fail_msg("%.200s: %s", text, err.message);
  return filter;
}

static bool tf_stop_at_once(void *arg) {
  (*(int *)arg)++;
  return true;
}

static double tf_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* ---- Whole sets ---------------------------------------------------------------------------------
 */

static void test_edges(void **state) {
  static const size_t sizes[] = {0, 1, 63, 64, 65, 1023, 1024, 1025, 2048, 5000};
  static const struct {
    const char *text;
    int pass; /* every row, or none */
  } cases[] = {{"", 1},           {"true", 1},           {"false", 0},          {"1/0 == id", 0},
               {"id is null", 0}, {"id is not null", 1}, {"not (1/0 == id)", 0}};
  (void)state;
  uint64_t bits[5000 / 64 + 2];
  for (size_t i = 0; i < VDB_COUNT(sizes); i++) {
    struct fx_rows rows;
    fx_rows_init(&rows, sizes[i], i);
    struct vdb_filter_rows over = {rows.columns, NULL, rows.n};
    for (size_t k = 0; k < VDB_COUNT(cases); k++) {
      struct vdb_filter *filter = tf_compile(&tf_mem, cases[k].text);
      bool stopped = true, exact = false;
      vecdb_error err;
      memset(bits, 0xee, sizeof bits);
      assert_int_equal(vdb_filter_bitmap(&tf_mem, filter, &over, NULL, NULL, bits, &stopped, &err),
                       VECDB_OK);
      assert_false(stopped);
      assert_int_equal(vdb_bits_count(bits, rows.n), cases[k].pass ? rows.n : 0);
      assert_int_equal(bits[vdb_bits_words(rows.n)], 0xeeeeeeeeeeeeeeeeu);
      double share = vdb_filter_estimate(filter, &over, &exact);
      assert_true(share == (cases[k].pass && (rows.n || !filter) ? 1.0 : 0.0) || !exact);
      vdb_filter_free(&tf_mem, filter);
    }
    fx_rows_fini(&rows);
  }
  assert_int_equal(tf_mem.used, 0);
}

static void test_stop(void **state) {
  (void)state;
  struct fx_rows rows;
  fx_rows_init(&rows, 4000, 1);
  struct vdb_filter_rows over = {rows.columns, NULL, rows.n};
  struct vdb_filter *filter = tf_compile(&tf_mem, "id > 0");
  uint64_t bits[4000 / 64 + 1];
  bool stopped = false;
  int calls = 0;
  vecdb_error err;
  assert_int_equal(
      vdb_filter_bitmap(&tf_mem, filter, &over, tf_stop_at_once, &calls, bits, &stopped, &err),
      VECDB_OK);
  assert_true(stopped);
  assert_int_equal(calls, 1);
  vdb_filter_free(&tf_mem, filter);
  fx_rows_fini(&rows);
}

/* Truth values as conditions over one row: true, false, unknown. */
static void test_three_values(void **state) {
  static const char *const values[] = {"id == id", "id != id", "s == s"};
  (void)state;
  struct fx_rows rows;
  fx_rows_init(&rows, 1, 0);
  uint8_t null = 1;
  rows.columns[FX_S].nulls = &null;
  for (int a = 0; a < 3; a++) {
    for (int b = 0; b < 3; b++) {
      /* false < unknown < true: 0, 1, 2 */
      int x = a == 0 ? 2 : a == 1 ? 0 : 1, y = b == 0 ? 2 : b == 1 ? 0 : 1;
      int both = x < y ? x : y, either = x > y ? x : y;
      for (int how = 0; how < 4; how++) {
        char text[128];
        snprintf(text, sizeof text, "%s((%s) %s (%s))", how % 2 ? "not " : "", values[a],
                 how / 2 ? "or" : "and", values[b]);
        struct vdb_filter *filter = tf_compile(&tf_mem, text);
        int wanted = how / 2 ? either : both;
        wanted = how % 2 ? 2 - wanted : wanted;
        assert_int_equal(vdb_filter_row(filter, rows.columns, 0), wanted == 2);
        struct vdb_filter_rows over = {rows.columns, NULL, 1};
        uint64_t bits = 0;
        bool stopped;
        vecdb_error err;
        assert_int_equal(
            vdb_filter_bitmap(&tf_mem, filter, &over, NULL, NULL, &bits, &stopped, &err), VECDB_OK);
        assert_int_equal(bits, wanted == 2);
        vdb_filter_free(&tf_mem, filter);
      }
    }
  }
  fx_rows_fini(&rows);
}

/* ---- Patterns -----------------------------------------------------------------------------------
 */

/* One character of the pattern at a time, trying everything. */
static bool tf_like(const char *text, const char *end, const char *pattern, const char *stop) {
  if (pattern == stop)
    return text == end;
  if (*pattern == '%')
    return tf_like(text, end, pattern + 1, stop) ||
           (text < end && tf_like(text + 1, end, pattern, stop));
  if (text == end)
    return false;
  if (*pattern == '_') {
    for (text++; text < end && (*text & 0xc0) == 0x80;)
      text++;
    return tf_like(text, end, pattern + 1, stop);
  }
  pattern += *pattern == '\\';
  return *text == *pattern && tf_like(text + 1, end, pattern + 1, stop);
}

static size_t tf_random_text(struct vdb_rng *rng, char *out, uint32_t most, bool pattern) {
  static const char *const letters[] = {"a", "b", "a", "\xc3\xa9", "%",
                                        "_", "%", "_", "\\%",      "\\\\"};
  out[0] = '\0';
  for (uint32_t n = vdb_rng_below(rng, most + 1); n > 0; n--)
    strcat(out, letters[vdb_rng_below(rng, pattern ? 10 : 5)]);
  return strlen(out);
}

static struct vdb_filter *tf_compile_like(const char *pattern, size_t n) {
  vecdb_param param = {"p", {VECDB_VARCHAR, (uint32_t)n, {.data = pattern}, 0}};
  vecdb_filter source = {"title like {p}", 0, &param, 1};
  struct vdb_filter *filter = NULL;
  vecdb_error err;
  if (vdb_filter_compile(&tf_mem, &fx_schema, &source, &filter, &err) != VECDB_OK)
    fail_msg("%s", err.message);
  return filter;
}

static bool tf_matches(const struct vdb_filter *filter, const char *text, size_t n) {
  struct vdb_column columns[FX_FIELDS];
  uint64_t offsets[2] = {0, n};
  memset(columns, 0, sizeof columns);
  columns[FX_T].type = VECDB_VARCHAR;
  columns[FX_T].data = (const uint8_t *)text;
  columns[FX_T].offsets = offsets;
  return vdb_filter_row(filter, columns, 0);
}

static void test_like_random(void **state) {
  (void)state;
  struct vdb_rng rng = {77};
  for (int i = 0; i < 20000; i++) {
    char pattern[64], text[64];
    size_t n = tf_random_text(&rng, pattern, 9, true);
    struct vdb_filter *filter = tf_compile_like(pattern, n);
    for (int k = 0; k < 10; k++) {
      size_t length = tf_random_text(&rng, text, 12, false);
      bool wanted = tf_like(text, text + length, pattern, pattern + n);
      if (tf_matches(filter, text, length) != wanted)
        fail_msg("'%s' like '%s' should be %d", text, pattern, wanted);
    }
    vdb_filter_free(&tf_mem, filter);
  }
  assert_int_equal(tf_mem.used, 0);
}

/* Patterns that make backtracking matchers take years. */
static void test_like_linear(void **state) {
  enum { N = 65535 };
  (void)state;
  static char text[N], pattern[N + 1];
  memset(text, 'a', N);
  double start = tf_ms();
  for (size_t i = 0; i + 1 < N; i += 2)
    memcpy(pattern + i, "%a", 2);
  pattern[N - 1] = 'b';
  struct vdb_filter *filter = tf_compile_like(pattern, N);
  assert_false(tf_matches(filter, text, N));
  vdb_filter_free(&tf_mem, filter);
  memset(pattern, 'a', N); /* %aaa...ab% */
  pattern[0] = pattern[N / 2] = '%';
  pattern[N / 2 - 1] = 'b';
  filter = tf_compile_like(pattern, N / 2 + 1);
  assert_false(tf_matches(filter, text, N));
  vdb_filter_free(&tf_mem, filter);
  memset(pattern, 'a', 256); /* %a_aaa...ab% */
  pattern[0] = pattern[250] = '%';
  pattern[2] = '_';
  pattern[249] = 'b';
  filter = tf_compile_like(pattern, 251);
  assert_false(tf_matches(filter, text, N));
  vdb_filter_free(&tf_mem, filter);
  assert_true(tf_ms() - start < 2000);
}

static void test_like_part_limit(void **state) {
  (void)state;
  char pattern[300];
  vecdb_param param = {"p", {VECDB_VARCHAR, sizeof pattern, {.data = pattern}, 0}};
  vecdb_filter source = {"title like {p}", 0, &param, 1};
  struct vdb_filter *filter;
  vecdb_error err;
  memset(pattern, 'a', sizeof pattern);
  pattern[0] = pattern[sizeof pattern - 1] = '%';
  pattern[5] = '_';
  assert_int_equal(vdb_filter_compile(&tf_mem, &fx_schema, &source, &filter, &err),
                   VECDB_ERR_LIMIT);
  assert_int_equal(err.position, 11);
  assert_int_equal(tf_mem.used, 0);
}

/* ---- Long lists ---------------------------------------------------------------------------------
 */

static char *tf_list(const char *format, uint32_t n, uint32_t step) {
  char *text = malloc((size_t)n * 24 + 64), *at = text;
  assert_non_null(text);
  for (uint32_t i = 0; i < n; i++) {
    at += sprintf(at, "%s", i ? "," : "[");
    at += sprintf(at, format, (unsigned)((uint64_t)i * 7919 % n * step));
  }
  strcpy(at, "]");
  return text;
}

static void tf_check_list(const char *field, const char *format, uint32_t n, uint32_t step) {
  char *list = tf_list(format, n, step);
  char *text = malloc(strlen(list) + 64);
  sprintf(text, "%s in %s", field, list);
  struct vdb_filter *filter = tf_compile(&tf_mem, text);
  struct vdb_column columns[FX_FIELDS];
  memset(columns, 0, sizeof columns);
  for (uint32_t v = 0; v < n * step + 3; v += 1 + n * step / 5000) {
    int64_t integer = v;
    double number = v;
    char word[24];
    uint64_t offsets[2] = {0, 0};
    offsets[1] = (uint64_t)sprintf(word, "w%u", v);
    struct vdb_column id = {.data = (uint8_t *)&integer, .width = 8, .type = VECDB_INT64};
    struct vdb_column d = {.data = (uint8_t *)&number, .width = 8, .type = VECDB_DOUBLE};
    struct vdb_column title = {
        .data = (uint8_t *)word, .offsets = offsets, .type = VECDB_VARCHAR};
    columns[FX_ID] = id;
    columns[FX_D] = d;
    columns[FX_T] = title;
    bool wanted = v % step == 0 && v < n * step;
    assert_int_equal(vdb_filter_row(filter, columns, 0), wanted);
    struct vdb_filter_rows over = {columns, NULL, 1};
    uint64_t bits = 0;
    bool stopped;
    vecdb_error err;
    assert_int_equal(vdb_filter_bitmap(&tf_mem, filter, &over, NULL, NULL, &bits, &stopped, &err),
                     VECDB_OK);
    assert_int_equal(bits, wanted);
  }
  vdb_filter_free(&tf_mem, filter);
  free(text);
  free(list);
}

static void test_lists(void **state) {
  (void)state;
  static const uint32_t sizes[] = {1, 2, 8, 9, 16, 17, 100, 257, 40000, 500000};
  for (size_t i = 0; i < VDB_COUNT(sizes); i++) {
    uint32_t n = sizes[i];
    tf_check_list("id", "%u", n, 3);
    tf_check_list("d", "%u.0", n > 257 ? n / 2 : n, 3);
    tf_check_list("title", "'w%u'", n > 257 ? n / 4 : n, 2);
  }
  assert_int_equal(tf_mem.used, 0);
}

/* Lists whose values lie badly for the directory are still found by halving. */
static void test_list_clustered(void **state) {
  (void)state;
  char *list = tf_list("%u", 100000, 1);
  char *text = malloc(strlen(list) + 64);
  list[strlen(list) - 1] = '\0';
  sprintf(text, "id in %s,9223372036854775807,-9223372036854775808]", list);
  struct vdb_filter *filter = tf_compile(&tf_mem, text);
  struct vdb_column columns[FX_FIELDS];
  static const int64_t values[] = {0,         99999, 50000,  INT64_MAX,
                                   INT64_MIN, -1,    100000, INT64_MAX - 1};
  memset(columns, 0, sizeof columns);
  for (size_t i = 0; i < VDB_COUNT(values); i++) {
    struct vdb_column id = {.data = (const uint8_t *)&values[i], .width = 8, .type = VECDB_INT64};
    columns[FX_ID] = id;
    assert_int_equal(vdb_filter_row(filter, columns, 0), i < 5);
  }
  vdb_filter_free(&tf_mem, filter);
  free(text);
  free(list);
}

/* ---- Indexes and estimates ----------------------------------------------------------------------
 */

/* Many rows with known shares: i64 is i % 1000, i32 is i % 7, title is "t<i % 100>", others random.
 */
static void tf_known_rows(struct fx_rows *rows, size_t n) {
  fx_rows_init(rows, n, 5);
  for (unsigned f = 0; f < FX_FIELDS; f++) {
    for (size_t i = 0; i < n; i++) {
      struct fx_value *v = &rows->values[f * n + i];
      v->null = v->null && f != FX_I32 && f != FX_T && f != FX_I64;
      if (f == FX_I64)
        v->integer = (int64_t)(i * 7919 % 1000);
      if (f == FX_I32)
        v->integer = (int64_t)(i % 7);
      if (f == FX_T)
        sprintf(v->text, "t%zu", i * 31 % 100);
    }
    if (f == FX_I64 || f == FX_I32 || f == FX_T)
      fx_build_column(rows, f, false);
  }
}

static void tf_all_indexes(struct fx_store *store, const struct fx_rows *rows) {
  static const unsigned fields[] = {FX_I64, FX_I32, FX_T};
  vecdb_error err;
  fx_store_init(store, &tf_mem, rows, 0);
  for (size_t i = 0; i < VDB_COUNT(fields); i++) {
    unsigned f = fields[i];
    vdb_attr_index_close(&tf_mem, store->indexes[f]);
    uint32_t number = f + 100;
    struct vdb_attr_index_build build = {.mem = &tf_mem, .column = &rows->columns[f],
                                         .n = rows->n, .kind = VECDB_SCALAR_INDEX_SORTED,
                                         .out = &store->writer, .number = number};
    assert_int_equal(vdb_attr_index_build(&build, &err), VECDB_OK);
    assert_int_equal(vdb_attr_index_open(&tf_mem, &store->reader, number, &fx_fields[f], rows->n,
                                         &store->indexes[f], &err),
                     VECDB_OK);
    assert_non_null(store->indexes[f]);
  }
}

static size_t tf_count(const struct vdb_filter *filter, const struct vdb_filter_rows *rows,
                       uint64_t *bits) {
  bool stopped;
  vecdb_error err;
  assert_int_equal(vdb_filter_bitmap(&tf_mem, filter, rows, NULL, NULL, bits, &stopped, &err),
                   VECDB_OK);
  return vdb_bits_count(bits, rows->n);
}

static void test_estimates(void **state) {
  enum { N = 20000 };
  static const struct {
    const char *text;
    double share;
    double within; /* 0: exact */
  } cases[] = {
      {"i64 == 3", 0.001, 0},
      {"i64 != 3", 0.999, 0},
      {"i64 in [1, 2, 3]", 0.003, 0},
      {"100 <= i64 < 300", 0.2, 0},
      {"title == 't5'", 0.01, 0},
      {"title like 't9%'", 0.11, 0},
      {"title not like 't9%'", 0.89, 0},
      {"i64 is null", 0, 0},
      {"i64 is not null", 1, 0},
      {"i64 < 500 and i32 == 3", 1.0 / 14, 0.04},
      {"i64 == 3 and i32 == 3", 0.001 / 7, 0.001},
      {"i64 == 3 or i64 == 4", 0.002, 0.001},
      {"i64 + 0 < 500", 0.5, 0.1},
      {"not (i64 + 0 < 100)", 0.9, 0.1},
      {"i64 < 10 and i32 * 2 == 6", 0.01 / 7, 0.01},
  };
  (void)state;
  struct fx_rows rows;
  struct fx_store store;
  tf_known_rows(&rows, N);
  tf_all_indexes(&store, &rows);
  static uint64_t bits[N / 64 + 1], plain[N / 64 + 1];
  for (size_t i = 0; i < VDB_COUNT(cases); i++) {
    struct vdb_filter *filter = tf_compile(&tf_mem, cases[i].text);
    struct vdb_filter_rows over = {rows.columns,
                                   (const struct vdb_attr_index *const *)store.indexes, N};
    struct vdb_filter_rows bare = {rows.columns, NULL, N};
    bool exact = false;
    double share = vdb_filter_estimate(filter, &over, &exact);
    size_t count = tf_count(filter, &over, bits);
    assert_int_equal(exact, cases[i].within == 0);
    if (share < cases[i].share - cases[i].within - 1e-9 ||
        share > cases[i].share + cases[i].within + 1e-9)
      fail_msg("%s: %g", cases[i].text, share);
    if (exact)
      assert_int_equal(count, (size_t)(share * N + 0.5));
    assert_int_equal(tf_count(filter, &bare, plain), count);
    assert_memory_equal(bits, plain, vdb_bits_words(N) * 8);
    vdb_filter_estimate(filter, &bare, &exact);
    vdb_filter_free(&tf_mem, filter);
  }
  fx_store_fini(&store, &tf_mem);
  fx_rows_fini(&rows);
  assert_int_equal(tf_mem.used, 0);
}

/* ---- Memory -------------------------------------------------------------------------------------
 */

static void test_no_memory(void **state) {
  static const char *const texts[] = {
      "i64 == 3 and (i32 in [1, 2] or not title == 't5') and s like 'a%b_c%' and d < 3",
      "i64 in [20,19,18,17,16,15,14,13,12,11,10,9,8,7,6,5,4,3,2,1,0] or title in ['b','a','c']",
      "array_contains_all(tags, ['a','b']) and array_length(al) > 2 and af[0] < 5 and s like 'b%'",
      "(id + 1) * 2 > i8 ** 2 or flag == (i8 < 3) or 'abc' like 'a%' or nosuch == 1",
  };
  (void)state;
  struct fx_rows rows;
  struct fx_store store;
  tf_known_rows(&rows, 3000);
  tf_all_indexes(&store, &rows);
  struct vdb_filter_rows over = {rows.columns, (const struct vdb_attr_index *const *)store.indexes,
                                 3000};
  struct memfault fault;
  memfault_init(&fault);
  for (size_t i = 0; i < VDB_COUNT(texts); i++) {
    bool reached = true;
    for (uint64_t nth = 1; reached; nth++) {
      struct vdb_mem mem;
      struct vdb_filter *filter = NULL;
      vecdb_filter source = {texts[i], 0, NULL, 0};
      vecdb_error err;
      uint64_t bits[3000 / 64 + 1];
      bool stopped;
      vdb_mem_init(&mem, &fault.table, 0);
      memfault_fail(&fault, nth, false);
      int rc = vdb_filter_compile(&mem, &fx_schema, &source, &filter, &err);
      if (rc == VECDB_OK)
        rc = vdb_filter_bitmap(&mem, filter, &over, NULL, NULL, bits, &stopped, &err);
      reached = memfault_failed(&fault) > 0;
      if (reached)
        assert_int_equal(rc, VECDB_ERR_NO_MEMORY);
      else
        assert_int_equal(rc, i == 3 ? VECDB_ERR_UNKNOWN_FIELD : VECDB_OK);
      vdb_filter_free(&mem, filter);
      memfault_fail(&fault, 0, false);
      assert_int_equal(memfault_live(&fault), 0);
      assert_int_equal(mem.used, 0);
    }
  }
  fx_store_fini(&store, &tf_mem);
  fx_rows_fini(&rows);
}

/* ---- Indexes of JSON paths ----------------------------------------------------------------------
 */

enum { TF_DOCUMENTS = 4096, TF_APART = 3000 };

static bool tf_go_on(void *arg) {
  (*(int *)arg)++;
  return false;
}

/* Of the documents, rows below TF_APART are numbers that an index keeps apart. */
static struct vdb_schema *tf_documents(struct fx_store *store, struct vdb_bytes *texts,
                                       struct vdb_column columns[3]) {
  static const char large[] = "{\"a\":9007199254740993}", small[] = "{\"a\":5}";
  static const vecdb_json_index index = {"['a']", VECDB_DOUBLE};
  static const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = "meta", .type = VECDB_JSON, .json_indexes = &index, .n_json_indexes = 1},
      {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = 2, .metric = VECDB_L2}};
  const vecdb_schema source = {sizeof source, sizeof *fields, NULL, fields, VDB_COUNT(fields)};
  struct vdb_schema *schema;
  vecdb_error err;
  assert_int_equal(vdb_schema_new(&tf_mem, &source, &schema, &err), VECDB_OK);
  for (size_t i = 0; i < TF_DOCUMENTS; i++)
    texts[i] = i < TF_APART ? (struct vdb_bytes){(const uint8_t *)large, sizeof large - 1}
                            : (struct vdb_bytes){(const uint8_t *)small, sizeof small - 1};
  columns[1] = (struct vdb_column){.refs = texts, .type = VECDB_JSON};
  fx_store_init_empty(store);
  const struct vdb_path_index_build build = {.mem = &tf_mem, .path = schema->paths,
                                             .texts = &columns[1], .n = TF_DOCUMENTS,
                                             .out = &store->writer};
  assert_int_equal(vdb_path_index_build(&build, &err), VECDB_OK);
  const struct vdb_field value = {.name = "meta", .type = VECDB_DOUBLE};
  assert_int_equal(vdb_attr_index_open(&tf_mem, &store->reader, schema->paths->id, &value,
                                       TF_DOCUMENTS, &store->indexes[3], &err),
                   VECDB_OK);
  return schema;
}

enum { TF_KINDS = 8 };

/* Of rows that are of TF_KINDS kinds by turns, the index knows those where nothing stands; it is
   open in store->indexes[0] then, if it can be opened. */
static int tf_nothing_open(struct fx_store *store, const struct vdb_schema *schema, size_t n) {
  const struct vdb_field value = {.name = "meta", .type = VECDB_DOUBLE};
  vecdb_error err;
  return vdb_attr_index_open(&tf_mem, &store->reader, schema->paths->id, &value, n,
                             &store->indexes[0], &err);
}

static void test_nothing(void **state) {
  (void)state;
  static const char *const kinds[TF_KINDS] = {
      "{\"a\":5}", "{\"a\":\"5\"}", "{\"a\":null}", "{}", "{\"a\":9007199254740993}",
      "{\"a\":[1]}", "{\"a\":{}}", "[]"};
  static const bool nothing[TF_KINDS] = {false, false, true, true, false, false, false, true};
  static struct vdb_bytes texts[TF_DOCUMENTS];
  struct fx_store unused, store;
  struct vdb_column columns[3] = {{0}};
  struct vdb_schema *schema = tf_documents(&unused, texts, columns);
  vecdb_error err;
  for (size_t n = 1; n < 200; n += 33) {
    uint64_t bits[4] = {0};
    size_t count = 0, said;
    for (size_t i = 0; i < n; i++) {
      texts[i] = (struct vdb_bytes){(const uint8_t *)kinds[i % TF_KINDS],
                                    strlen(kinds[i % TF_KINDS])};
      count += nothing[i % TF_KINDS];
    }
    fx_store_init_empty(&store);
    const struct vdb_path_index_build build = {.mem = &tf_mem, .path = schema->paths,
                                               .texts = &columns[1], .n = n,
                                               .out = &store.writer};
    assert_int_equal(vdb_path_index_build(&build, &err), VECDB_OK);
    assert_int_equal(tf_nothing_open(&store, schema, n), VECDB_OK);
    assert_true(vdb_attr_index_nothing(store.indexes[0], &said));
    assert_int_equal(said, count);
    vdb_attr_index_mark_nothing(store.indexes[0], bits);
    for (size_t i = 0; i < 256; i++)
      assert_int_equal(vdb_bit_get(bits, i), i < n && nothing[i % TF_KINDS]);
    for (size_t s = 0; s < store.n; s++) { /* one that does not fit; none */
      struct fx_section *section = &store.sections[s];
      if (section->tag != VDB_AIX_ELSE)
        continue;
      vdb_attr_index_close(&tf_mem, store.indexes[0]);
      section->n -= 4;
      assert_int_equal(tf_nothing_open(&store, schema, n), VECDB_ERR_CORRUPT);
      section->n += 4;
      section->data[section->n - 1] ^= 1; /* the number, or the last row */
      assert_int_equal(tf_nothing_open(&store, schema, n), VECDB_ERR_CORRUPT);
      section->tag = 0;
      assert_int_equal(tf_nothing_open(&store, schema, n), VECDB_OK);
      assert_false(vdb_attr_index_nothing(store.indexes[0], &said));
    }
    fx_store_fini(&store, &tf_mem);
  }
  fx_store_fini(&unused, &tf_mem);
  vdb_schema_free(&tf_mem, schema);
  assert_int_equal(tf_mem.used, 0);
}

/* Rows kept apart are read one by one: meanwhile it is asked whether to stop, as in a scan. */
static void test_stop_apart(void **state) {
  (void)state;
  static struct vdb_bytes texts[TF_DOCUMENTS];
  struct fx_store store;
  struct vdb_column columns[3] = {{0}};
  struct vdb_schema *schema = tf_documents(&store, texts, columns);
  struct vdb_filter_rows over = {columns, (const struct vdb_attr_index *const *)store.indexes,
                                 TF_DOCUMENTS};
  vecdb_filter source = {"meta['a'] == 9007199254740993", 0, NULL, 0};
  struct vdb_filter *filter;
  uint64_t bits[TF_DOCUMENTS / 64];
  bool stopped;
  int calls = 0;
  vecdb_error err;
  assert_int_equal(vdb_filter_compile(&tf_mem, schema, &source, &filter, &err), VECDB_OK);
  assert_int_equal(
      vdb_filter_bitmap(&tf_mem, filter, &over, tf_go_on, &calls, bits, &stopped, &err), VECDB_OK);
  assert_false(stopped);
  assert_int_equal(vdb_bits_count(bits, TF_DOCUMENTS), TF_APART);
  assert_int_equal(calls, TF_DOCUMENTS / FILTER_BLOCK + TF_APART / FILTER_BLOCK);
  calls = 0;
  assert_int_equal(
      vdb_filter_bitmap(&tf_mem, filter, &over, tf_stop_at_once, &calls, bits, &stopped, &err),
      VECDB_OK);
  assert_true(stopped);
  assert_int_equal(calls, 1);
  vdb_filter_free(&tf_mem, filter);
  vdb_attr_index_close(&tf_mem, store.indexes[3]);
  store.indexes[3] = NULL;
  fx_store_fini(&store, &tf_mem);
  vdb_schema_free(&tf_mem, schema);
  assert_int_equal(tf_mem.used, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_edges),        cmocka_unit_test(test_stop),
      cmocka_unit_test(test_three_values), cmocka_unit_test(test_like_random),
      cmocka_unit_test(test_like_linear),  cmocka_unit_test(test_like_part_limit),
      cmocka_unit_test(test_lists),        cmocka_unit_test(test_list_clustered),
      cmocka_unit_test(test_estimates),    cmocka_unit_test(test_no_memory),
      cmocka_unit_test(test_stop_apart),   cmocka_unit_test(test_nothing),
  };
  vdb_mem_init(&tf_mem, NULL, 0);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
