/*
 * test_bad_calls.c - calls that are wrong: requests out of range, filters, keys, options, structs
 * of unknown size, and NULL for each pointer of each function. Each answers its own code, gives
 * NULL for what it would have made, and leaves the database as it was.
 */
#include "tlib/apitest.h"

static const float a_query[] = {3, 3, 0, 1};

/* A database with the small collection "c" of 30 rows, half of them in a file. */
static vecdb *some_rows(vecdb_collection **coll) {
  vecdb *db = at_open(":memory:", NULL);
  *coll = at_small(db, "c");
  at_put(*coll, 0, 15);
  at_ok(vecdb_flush(*coll, NULL, &at_err));
  at_put(*coll, 15, 15);
  return db;
}

/* ---- Searches -------------------------------------------------------------------------------- */

#define SPOIL(name, ...) \
  static void name(vecdb_search_params *p) { __VA_ARGS__; }
static float vectors_nan[8] = {0, 0, 0, 1, 0, 0, 0, 1};
static const float overflowing[] = {3e38f, 3e38f, 0, 0};
static const char *const no_such[] = {"id", "nn"};
static const char *const null_name[] = {NULL};
static const vecdb_control wrong_control = {7, 0, NULL, NULL, NULL};
SPOIL(k_zero, p->k = 0)
SPOIL(k_over, p->k = VECDB_MAX_K + 1)
SPOIL(k_huge, p->k = UINT32_MAX)
SPOIL(ef_over, p->ef = 16385)
SPOIL(ef_huge, p->ef = UINT32_MAX)
SPOIL(nprobe_over, p->nprobe = (1u << 20) + 1)
SPOIL(beam_over, p->beam = 33)
SPOIL(recall_under, p->recall = 0.4f)
SPOIL(recall_over, p->recall = 1.0f)
SPOIL(recall_nan, p->recall = __builtin_nanf(""))
SPOIL(plan_over, p->plan = VECDB_PLAN_CODES + 1)
SPOIL(plan_under, p->plan = -1)
SPOIL(flags, p->flags = 2)
SPOIL(size_zero, p->size = 0)
SPOIL(size_small, p->size -= 8)
SPOIL(size_large, p->size += 8)
SPOIL(control_size, p->control = &wrong_control)
SPOIL(no_query, p->queries = NULL)
SPOIL(dim_wrong, p->dim = 3)
SPOIL(stride_short, p->query_stride = 15)
SPOIL(queries_over, p->n_queries = VECDB_MAX_QUERIES + 1)
SPOIL(field_unknown, p->field = "w")
SPOIL(field_scalar, p->field = "n")
SPOIL(query_nan, vectors_nan[2] = at_nan(); p->queries = vectors_nan)
SPOIL(query_infinite, vectors_nan[2] = at_infinity(); p->queries = vectors_nan)
SPOIL(query_overflow, p->queries = overflowing)
SPOIL(output_unknown, p->fields = no_such; p->n_fields = 2)
SPOIL(output_null, p->fields = null_name; p->n_fields = 1)
SPOIL(output_missing, p->n_fields = 1)
SPOIL(output_many, p->fields = no_such; p->n_fields = VECDB_MAX_FIELDS + 1)
SPOIL(filter_bad, p->filter.text = "n ==")
SPOIL(filter_field, p->filter.text = "m == 3")

static const struct bad_search {
  void (*spoil)(vecdb_search_params *p);
  int code;
  const char *reason;
} bad_searches[] = {
    {k_zero, VECDB_ERR_K, "k is 0"},
    {k_over, VECDB_ERR_K, "16384"},
    {k_huge, VECDB_ERR_K, "k"},
    {ef_over, VECDB_ERR_INDEX_PARAM, "ef"},
    {ef_huge, VECDB_ERR_INDEX_PARAM, "ef"},
    {nprobe_over, VECDB_ERR_INDEX_PARAM, "nprobe"},
    {beam_over, VECDB_ERR_INDEX_PARAM, "beam"},
    {recall_under, VECDB_ERR_INDEX_PARAM, "recall"},
    {recall_over, VECDB_ERR_INDEX_PARAM, "recall"},
    {recall_nan, VECDB_ERR_INDEX_PARAM, "recall"},
    {plan_over, VECDB_ERR_OPTION, "plan"},
    {plan_under, VECDB_ERR_OPTION, "plan"},
    {flags, VECDB_ERR_OPTION, "flags"},
    {size_zero, VECDB_ERR_OPTION, "size"},
    {size_small, VECDB_ERR_OPTION, "size"},
    {size_large, VECDB_ERR_OPTION, "size"},
    {control_size, VECDB_ERR_OPTION, "control"},
    {no_query, VECDB_ERR_ARGUMENT, "queries"},
    {dim_wrong, VECDB_ERR_DIMENSION, "3"},
    {stride_short, VECDB_ERR_ARGUMENT, "stride"},
    {queries_over, VECDB_ERR_LIMIT, "n_queries"},
    {field_unknown, VECDB_ERR_UNKNOWN_FIELD, "w"},
    {field_scalar, VECDB_ERR_TYPE, "vector"},
    {query_nan, VECDB_ERR_NOT_FINITE, "v"},
    {query_infinite, VECDB_ERR_NOT_FINITE, "v"},
    {query_overflow, VECDB_ERR_OVERFLOW, "v"},
    {output_unknown, VECDB_ERR_UNKNOWN_FIELD, "nn"},
    {output_null, VECDB_ERR_ARGUMENT, "NULL"},
    {output_missing, VECDB_ERR_ARGUMENT, "fields"},
    {output_many, VECDB_ERR_LIMIT, "n_fields"},
    {filter_bad, VECDB_ERR_FILTER, "expected"},
    {filter_field, VECDB_ERR_UNKNOWN_FIELD, "m"},
};

/* The last error's message holds the reason. */
static void check_reason(const char *reason) {
  if (!strstr(at_err.message, reason))
    print_error("'%s' does not say '%s'\n", at_err.message, reason);
  assert_non_null(strstr(at_err.message, reason));
}

static void test_searches(void **state) {
  (void)state;
  vecdb_collection *coll;
  vecdb *db = some_rows(&coll);
  vecdb_hit hits[4];
  uint32_t n;
  char text[10];
  for (size_t i = 0; i < AT_COUNT(bad_searches); i++) {
    const struct bad_search *c = &bad_searches[i];
    vecdb_search_params p = at_search(a_query, 4, NULL);
    c->spoil(&p);
    vecdb_rows *rows = (vecdb_rows *)&p;
    vecdb_iterator *it = (vecdb_iterator *)&p;
    at_fails(c->code, vecdb_search(coll, &p, hits, &n, NULL, &rows, &at_err));
    check_reason(c->reason);
    assert_null(rows);
    rows = (vecdb_rows *)&p;
    int code = c->spoil == queries_over ? VECDB_ERR_LIMIT : c->code;
    at_fails(code, vecdb_search_range(coll, &p, 1, hits, &n, NULL, &rows, &at_err));
    assert_null(rows);
    if (c->code != VECDB_ERR_K) { /* an iterator has no k */
      at_fails(code, vecdb_iterator_open(coll, &p, &it, &at_err));
      check_reason(c->reason);
      assert_null(it);
    }
    if (c->spoil != no_query) /* explain needs none */
      at_fails(c->code, vecdb_explain(coll, &p, text, sizeof text, NULL, &at_err));
  }
  vecdb_search_params p = at_search(vectors_nan, 1, NULL);
  vectors_nan[2] = 0;
  vectors_nan[5] = at_nan();
  p.n_queries = 2; /* the query that is wrong is named */
  at_fails(VECDB_ERR_NOT_FINITE, vecdb_search(coll, &p, hits, &n, NULL, NULL, &at_err));
  assert_int_equal(at_err.row, 1);
  assert_string_equal(at_err.field, "v");
  at_fails(VECDB_ERR_ARGUMENT, vecdb_search_range(coll, &p, 1, hits, &n, NULL, NULL, &at_err));
  p.queries = a_query;
  p.n_queries = 1;
  at_fails(VECDB_ERR_NOT_FINITE,
           vecdb_search_range(coll, &p, at_nan(), hits, &n, NULL, NULL, &at_err));
  vecdb_search_info info = VECDB_SEARCH_INFO_INIT;
  info.size--;
  at_fails(VECDB_ERR_OPTION, vecdb_search(coll, &p, hits, &n, &info, NULL, &at_err));
  vecdb_collection_release(coll);
  at_close(db);
}

/* ---- Filters --------------------------------------------------------------------------------- */

static const vecdb_string words[] = {{"s1", 2}, {"\xff", 1}};
static const vecdb_param one = {"x", {.type = VECDB_INT64, .as.integer = 1}};
static const vecdb_param text_one = {"x", {.type = VECDB_VARCHAR, .length = 1, .as.data = "1"}};
static const vecdb_param null_one = {"x", {.type = 0}};
static const vecdb_param list_one = {
    "x", {.type = VECDB_ARRAY, .element_type = VECDB_VARCHAR, .length = 1, .as.data = words}};
static const vecdb_param bad_list = {
    "x", {.type = VECDB_ARRAY, .element_type = VECDB_VARCHAR, .length = 2, .as.data = words}};
static const vecdb_param bad_text = {"x", {.type = VECDB_VARCHAR, .length = 1, .as.data = "\xff"}};
static const vecdb_param nameless = {NULL, {.type = VECDB_INT64}};

static const struct bad_filter {
  const char *text;
  const vecdb_param *param;
  int code;
  int64_t position; /* -2: somewhere */
  const char *reason;
} bad_filters[] = {
    {"n", NULL, VECDB_ERR_TYPE, 0, "n"},
    {"n ==", NULL, VECDB_ERR_FILTER, 4, "end"},
    {"n == 3 and", NULL, VECDB_ERR_FILTER, 10, "end"},
    {"n = 3", NULL, VECDB_ERR_FILTER, 2, "=="},
    {"(n == 3", NULL, VECDB_ERR_FILTER, 7, ")"},
    {"n == 3)", NULL, VECDB_ERR_FILTER, 6, ")"},
    {"n == 3 s == \"x\"", NULL, VECDB_ERR_FILTER, 7, "s"},
    {"n == \"3", NULL, VECDB_ERR_FILTER, 5, "string"},
    {"n == 12abc", NULL, VECDB_ERR_FILTER, 5, "number"},
    {"n == 99999999999999999999", NULL, VECDB_ERR_FILTER, 5, "64-bit"},
    {"n == 1e999", NULL, VECDB_ERR_FILTER, 5, "1e999"},
    {"n # 3", NULL, VECDB_ERR_FILTER, 2, "#"},
    {"n in 3", NULL, VECDB_ERR_FILTER, 5, "["},
    {"n in [1, 2", NULL, VECDB_ERR_FILTER, 10, "]"},
    {"n in [1, \"2\"]", NULL, VECDB_ERR_TYPE, -2, "integer"},
    {"s like 3", NULL, VECDB_ERR_FILTER, 7, "pattern"},
    {"n like \"3%\"", NULL, VECDB_ERR_TYPE, -2, "n"},
    {"m == 3", NULL, VECDB_ERR_UNKNOWN_FIELD, 0, "'m'"},
    {"n > 1 and idd == 3", NULL, VECDB_ERR_UNKNOWN_FIELD, 10, "'id'"},
    {"n == \"3\"", NULL, VECDB_ERR_TYPE, -2, "n"},
    {"s == 3", NULL, VECDB_ERR_TYPE, -2, "s"},
    {"s + 1 == 3", NULL, VECDB_ERR_TYPE, 0, "number"},
    {"v == 3", NULL, VECDB_ERR_TYPE, 0, "vector"},
    {"t == 3", NULL, VECDB_ERR_TYPE, -2, "array"},
    {"n[0] == 3", NULL, VECDB_ERR_TYPE, -2, "n"},
    {"t[-1] == 3", NULL, VECDB_ERR_TYPE, -2, "constant"},
    {"array_contains(n, 3)", NULL, VECDB_ERR_TYPE, -2, "n"},
    {"array_contains(t, \"3\")", NULL, VECDB_ERR_TYPE, -2, "integer"},
    {"array_contains(t)", NULL, VECDB_ERR_FILTER, -2, ","},
    {"array_length(n) == 1", NULL, VECDB_ERR_TYPE, -2, "n"},
    {"unknown(n)", NULL, VECDB_ERR_FILTER, -2, "unknown"},
    {"not n", NULL, VECDB_ERR_TYPE, 4, "n"},
    {"n == {x}", NULL, VECDB_ERR_FILTER_PARAM, 5, "{x}"},
    {"n == {y}", &one, VECDB_ERR_FILTER_PARAM, 5, "{y}"},
    {"n == {x}", &text_one, VECDB_ERR_FILTER_PARAM, 5, "n"},
    {"n == {x}", &null_one, VECDB_ERR_FILTER_PARAM, 5, "null"},
    {"n == {x}", &list_one, VECDB_ERR_FILTER_PARAM, 5, "array"},
    {"n in {x}", &list_one, VECDB_ERR_FILTER_PARAM, -2, "x"},
    {"n in {x}", &one, VECDB_ERR_FILTER_PARAM, 5, "array"},
    {"s == {x}", &bad_text, VECDB_ERR_UTF8, 5, "UTF-8"},
    {"s in {x}", &bad_list, VECDB_ERR_UTF8, -2, "UTF-8"},
    {"n == {", NULL, VECDB_ERR_FILTER, -2, "{"},
    {"n == {1}", NULL, VECDB_ERR_FILTER, -2, "name"},
    {"n == {x}", &nameless, VECDB_ERR_FILTER_PARAM, -2, ""},
    {"s == \"\xff\"", NULL, VECDB_ERR_UTF8, -2, "UTF-8"},
};

/* Every call that takes a filter refuses this one. */
static void refuse_filter(vecdb_collection *coll, const vecdb_filter *f, int code) {
  vecdb_search_params search = at_search(a_query, 1, NULL);
  vecdb_query_params query = VECDB_QUERY_PARAMS_INIT;
  search.filter = query.filter = *f;
  uint64_t count = 7, deleted = 7;
  vecdb_rows *rows = (vecdb_rows *)&query;
  vecdb_hit hit;
  uint32_t n;
  at_fails(code, vecdb_query(coll, &query, &rows, &at_err));
  assert_null(rows);
  at_fails(code, vecdb_delete_where(coll, f, &deleted, NULL, &at_err));
  assert_int_equal(deleted, 0);
  at_fails(code, vecdb_search(coll, &search, &hit, &n, NULL, NULL, &at_err));
  at_fails(code, vecdb_count(coll, f, &count, &at_err));
  assert_int_equal(count, 0);
}

static void test_filters(void **state) {
  (void)state;
  vecdb_collection *coll;
  vecdb *db = some_rows(&coll);
  struct at_content before = at_content(coll);
  int wrong = 0;
  for (size_t i = 0; i < AT_COUNT(bad_filters); i++) {
    const struct bad_filter *c = &bad_filters[i];
    vecdb_filter f = {c->text, 0, c->param, c->param != NULL};
    uint64_t count;
    int rc = vecdb_count(coll, &f, &count, &at_err);
    if (rc == c->code && (c->position == -2 || at_err.position == c->position) &&
        strstr(at_err.message, c->reason)) {
      refuse_filter(coll, &f, c->code);
      continue;
    }
    wrong++;
    print_error("filter '%s': %s at %lld: %s\n  expected %s at %lld: '%s'\n", c->text,
                vecdb_status_name(rc), (long long)at_err.position, at_err.message,
                vecdb_status_name(c->code), (long long)c->position, c->reason);
  }
  assert_int_equal(wrong, 0);
  at_same(before, at_content(coll));
  vecdb_collection_release(coll);
  at_close(db);
}

/* Texts that are huge or deep are refused; those at the limits are answered. */
static void test_hostile_filters(void **state) {
  (void)state;
  enum { BIG = 5 << 20 };
  vecdb_collection *coll;
  vecdb *db = some_rows(&coll);
  char *text = malloc(BIG + 1);
  vecdb_filter f = {.text = text};
  uint64_t count;
  memset(text, '(', 10000); /* nested 10,000 deep */
  memcpy(text + 10000, "n == 1", 6);
  memset(text + 10006, ')', 10000);
  text[20006] = '\0';
  assert_int_not_equal(vecdb_count(coll, &f, &count, &at_err), VECDB_OK);
  refuse_filter(coll, &f, at_err.code);
  for (int i = 0; i < 10000; i++)
    memcpy(text + 4 * i, "not ", 4);
  memcpy(text + 40000, "n == 1", 7);
  assert_int_not_equal(vecdb_count(coll, &f, &count, &at_err), VECDB_OK);
  f.length = (2u << 20) + 1; /* 2 MB: "n==1 or n==1 or ..." */
  for (size_t i = 0; i + 8 <= f.length; i += 8)
    memcpy(text + i, "n==1 or ", 8);
  text[f.length - 1] = ' ';
  refuse_filter(coll, &f, VECDB_ERR_LIMIT);
  memset(text, ' ', BIG);
  f.length = VECDB_MAX_FILTER_BYTES + 1;
  refuse_filter(coll, &f, VECDB_ERR_LIMIT);
  memcpy(text, "n == 1", 6);
  f.length = VECDB_MAX_FILTER_BYTES;
  at_ok(vecdb_count(coll, &f, &count, &at_err));
  assert_int_equal(count, 1);
  memset(text, '(', 60);
  memcpy(text + 60, "n == 1", 6);
  memset(text + 66, ')', 60);
  f.length = 126;
  at_ok(vecdb_count(coll, &f, &count, &at_err));
  assert_int_equal(count, 1);
  f.length = 0;
  f.text = "n == 1";
  f.n_params = 1; /* without params */
  refuse_filter(coll, &f, VECDB_ERR_FILTER_PARAM);
  free(text);
  vecdb_collection_release(coll);
  at_close(db);
}

/* ---- Keys, pages, indexes -------------------------------------------------------------------- */

static void test_keys_and_pages(void **state) {
  (void)state;
  vecdb_collection *coll;
  vecdb *db = some_rows(&coll);
  struct at_content before = at_content(coll);
  const int64_t id = 1;
  const vecdb_string text = {"1", 1};
  const vecdb_keys bad[] = {
      {NULL, &text, 1},                         /* texts for integer keys */
      {NULL, NULL, 1},                          /* none */
      {&id, &text, 1},                          /* both */
  };
  vecdb_rows *rows;
  vecdb_query_params page = VECDB_QUERY_PARAMS_INIT;
  for (size_t i = 0; i < AT_COUNT(bad); i++) {
    rows = (vecdb_rows *)&page;
    at_fails(VECDB_ERR_ARGUMENT, vecdb_get(coll, &bad[i], NULL, 0, NULL, &rows, &at_err));
    assert_null(rows);
    at_fails(VECDB_ERR_ARGUMENT, vecdb_delete(coll, &bad[i], NULL, &at_err));
    page.after = bad[i];
    rows = (vecdb_rows *)&page;
    at_fails(VECDB_ERR_ARGUMENT, vecdb_query(coll, &page, &rows, &at_err));
    assert_null(rows);
  }
  page.after = (vecdb_keys){&id, NULL, 2};
  at_fails(VECDB_ERR_ARGUMENT, vecdb_query(coll, &page, &rows, &at_err));
  page.after.n = 0;
  page.fields = no_such;
  page.n_fields = 2;
  at_fails(VECDB_ERR_UNKNOWN_FIELD, vecdb_query(coll, &page, &rows, &at_err));
  assert_string_equal(at_err.field, "nn");
  check_reason("did you mean");
  vecdb_keys good = {&id, NULL, 1};
  at_fails(VECDB_ERR_UNKNOWN_FIELD, vecdb_get(coll, &good, no_such, 2, NULL, &rows, &at_err));
  assert_null(rows);
  at_fails(VECDB_ERR_ARGUMENT, vecdb_get(coll, &good, NULL, 2, NULL, &rows, &at_err));
  good.n = VECDB_MAX_BATCH_ROWS + 1; /* refused before the keys are read */
  at_fails(VECDB_ERR_LIMIT, vecdb_get(coll, &good, NULL, 0, NULL, &rows, &at_err));
  at_fails(VECDB_ERR_LIMIT, vecdb_delete(coll, &good, NULL, &at_err));
  at_same(before, at_content(coll));
  vecdb_collection_release(coll);
  at_close(db);
}

static void test_index_params(void **state) {
  (void)state;
  enum { S = sizeof(vecdb_index_params) };
  static const struct {
    vecdb_index_params params;
    int code;
  } bad[] = {
      {{.size = S, .type = 14}, VECDB_ERR_OPTION},
      {{.size = S, .type = -1}, VECDB_ERR_OPTION},
      {{.size = S, .type = VECDB_INDEX_HNSW, .m = 3}, VECDB_ERR_INDEX_PARAM},
      {{.size = S, .type = VECDB_INDEX_HNSW, .m = 129}, VECDB_ERR_INDEX_PARAM},
      {{.size = S, .type = VECDB_INDEX_HNSW, .m = UINT32_MAX}, VECDB_ERR_INDEX_PARAM},
      {{.size = S, .ef_construction = 7}, VECDB_ERR_INDEX_PARAM},
      {{.size = S, .ef_construction = 4097}, VECDB_ERR_INDEX_PARAM},
      {{.size = S, .ef = 16385}, VECDB_ERR_INDEX_PARAM},
      {{.size = S, .nlist = 10}, VECDB_ERR_INDEX_PARAM},
      {{.size = S, .recall = 2}, VECDB_ERR_INDEX_PARAM},
      {{.size = S, .recall = -1}, VECDB_ERR_INDEX_PARAM},
      {{.size = S, .refine = 5}, VECDB_ERR_INDEX_PARAM},
      {{.size = S, .rotation = 4}, VECDB_ERR_INDEX_PARAM},
      {{.size = S, .type = VECDB_INDEX_FLAT, .nbits = 8}, VECDB_ERR_INDEX_PARAM},
      {{.size = S, .type = VECDB_INDEX_IVF_FLAT, .nprobe = 1u << 21}, VECDB_ERR_INDEX_PARAM},
      {{.size = S, .type = VECDB_INDEX_IVF_FLAT, .nlist = 4, .nprobe = 5}, VECDB_ERR_INDEX_PARAM},
      {{.size = S, .type = VECDB_INDEX_IVF_PQ, .pq_m = 3}, VECDB_ERR_INDEX_PARAM},
      {{.size = S, .type = VECDB_INDEX_IVF_PQ, .nbits = 9}, VECDB_ERR_INDEX_PARAM},
      {{.size = S, .type = VECDB_INDEX_HNSW_SQ, .nbits = 6}, VECDB_ERR_INDEX_PARAM},
      {{.size = S, .type = VECDB_INDEX_HNSW, .memory_bytes = 1}, VECDB_ERR_INDEX_PARAM},
      {{.size = S - 4}, VECDB_ERR_OPTION},
      {{.size = 0}, VECDB_ERR_OPTION},
  };
  vecdb_collection *coll;
  vecdb *db = some_rows(&coll);
  for (size_t i = 0; i < AT_COUNT(bad); i++)
    at_fails(bad[i].code, vecdb_index_create(coll, "v", &bad[i].params, NULL, &at_err));
  at_fails(VECDB_ERR_UNKNOWN_FIELD, vecdb_index_create(coll, "w", NULL, NULL, &at_err));
  assert_string_equal(at_err.field, "w");
  at_fails(VECDB_ERR_TYPE, vecdb_index_create(coll, "n", NULL, NULL, &at_err));
  at_fails(VECDB_ERR_UNKNOWN_FIELD, vecdb_index_drop(coll, "", &at_err));
  at_fails(VECDB_ERR_TYPE, vecdb_index_drop(coll, "s", &at_err));
  vecdb_collection_release(coll);
  at_close(db);
}

/* ---- Structs of unknown size ----------------------------------------------------------------- */

static void test_control_sizes(void **state) {
  (void)state;
  vecdb_collection *coll;
  vecdb *db = some_rows(&coll);
  struct at_content before = at_content(coll);
  const uint32_t sizes[] = {0, 1, 13, 4096, UINT32_MAX}; /* no struct has one of these */
  for (size_t i = 0; i < AT_COUNT(sizes); i++) {
    vecdb_control c = VECDB_CONTROL_INIT;
    c.size = sizes[i];
    vecdb_filter f = {.text = "n == 1"};
    vecdb_query_params q = VECDB_QUERY_PARAMS_INIT;
    vecdb_options o = VECDB_OPTIONS_INIT;
    vecdb_rows *rows;
    vecdb *other;
    q.control = o.control = &c;
    const int code = VECDB_ERR_OPTION;
    at_fails(code, vecdb_delete_where(coll, &f, NULL, &c, &at_err));
    at_fails(code, vecdb_query(coll, &q, &rows, &at_err));
    at_fails(code, vecdb_flush(coll, &c, &at_err));
    at_fails(code, vecdb_flush_all(db, &c, &at_err));
    at_fails(code, vecdb_compact(coll, &c, &at_err));
    at_fails(code, vecdb_wait(coll, &c, &at_err));
    at_fails(code, vecdb_warm(coll, &c, &at_err));
    at_fails(code, vecdb_warm_rows(coll, &f, NULL, &c, &at_err));
    at_fails(code, vecdb_index_create(coll, "v", NULL, &c, &at_err));
    at_fails(code, vecdb_check(db, NULL, NULL, &c, &at_err));
    at_fails(code, vecdb_backup(db, "copy", &c, &at_err));
    at_fails(code, vecdb_open(":memory:", &o, &other, &at_err));
    at_fails(code, vecdb_restore("a", "b", &o, &at_err));
    q = (vecdb_query_params)VECDB_QUERY_PARAMS_INIT;
    q.size = sizes[i];
    at_fails(code, vecdb_query(coll, &q, &rows, &at_err));
    vecdb_stats stats = VECDB_STATS_INIT;
    stats.size = sizes[i];
    at_fails(code, vecdb_collection_stats(coll, &stats, &at_err));
    o = (vecdb_options)VECDB_OPTIONS_INIT;
    o.size = sizes[i];
    at_fails(code, vecdb_open(":memory:", &o, &other, &at_err));
    at_fails(code, vecdb_restore("a", "b", &o, &at_err));
    vecdb_batch b = VECDB_BATCH_INIT;
    b.size = sizes[i];
    at_fails(code, vecdb_insert(coll, &b, NULL, &at_err));
    b = (vecdb_batch)VECDB_BATCH_INIT;
    b.column_size = sizes[i] + 1;
    b.n_rows = 1;
    at_fails(code, vecdb_upsert(coll, &b, NULL, &at_err));
  }
  at_same(before, at_content(coll));
  vecdb_collection_release(coll);
  at_close(db);
}

/* ---- Options of opening ---------------------------------------------------------------------- */

static void *no_alloc(void *user, size_t size) {
  (void)user;
  (void)size;
  return NULL;
}

static uint64_t no_time(void *user) {
  (void)user;
  return 0;
}

#undef SPOIL
#define SPOIL(name, ...) \
  static void name(vecdb_options *o) { __VA_ARGS__; }
static const vecdb_allocator half_allocator = {no_alloc, NULL, NULL, NULL};
static const vecdb_clock half_clock = {no_time, NULL, NULL};
static const vecdb_vfs wrong_vfs = {.size = 8};
static const vecdb_vfs empty_vfs = {.size = sizeof(vecdb_vfs)};
SPOIL(o_flags, o->flags = 8)
SPOIL(o_durability, o->durability = 3)
SPOIL(o_durability_under, o->durability = -1)
SPOIL(o_verify, o->verify = 2)
SPOIL(o_threads, o->threads = 100000)
SPOIL(o_seal_rows, o->seal_rows = UINT32_MAX)
SPOIL(o_allocator, o->allocator = &half_allocator)
SPOIL(o_clock, o->clock = &half_clock)
SPOIL(o_vfs_size, o->vfs = &wrong_vfs)
SPOIL(o_vfs_empty, o->vfs = &empty_vfs)

static void test_options(void **state) {
  (void)state;
  static const struct {
    void (*spoil)(vecdb_options *o);
    int code;
  } bad[] = {
      {o_flags, VECDB_ERR_OPTION},      {o_durability, VECDB_ERR_OPTION},
      {o_verify, VECDB_ERR_OPTION},     {o_durability_under, VECDB_ERR_OPTION},
      {o_threads, VECDB_ERR_LIMIT},     {o_seal_rows, VECDB_ERR_LIMIT},
      {o_allocator, VECDB_ERR_ARGUMENT}, {o_clock, VECDB_ERR_ARGUMENT},
      {o_vfs_size, VECDB_ERR_OPTION},   {o_vfs_empty, VECDB_ERR_ARGUMENT},
  };
  for (size_t i = 0; i < AT_COUNT(bad); i++) {
    vecdb_options o = VECDB_OPTIONS_INIT;
    bad[i].spoil(&o);
    vecdb *db = (vecdb *)&o;
    at_fails(bad[i].code, vecdb_open(":memory:", &o, &db, &at_err));
    assert_null(db);
  }
  char *path = malloc(10001);
  memset(path, 'p', 10000);
  path[10000] = '\0';
  vecdb *db = (vecdb *)path;
  at_fails(VECDB_ERR_ARGUMENT, vecdb_open(path, NULL, &db, &at_err));
  assert_null(db);
  at_fails(VECDB_ERR_ARGUMENT, vecdb_open("", NULL, &db, &at_err));
  free(path);
}

/* ---- NULL everywhere ------------------------------------------------------------------------- */

static void test_null_databases(void **state) {
  (void)state;
  vecdb_collection *coll;
  vecdb *db = some_rows(&coll), *out = db;
  const vecdb_schema *schema = vecdb_collection_schema(coll);
  const int code = VECDB_ERR_ARGUMENT;
  at_fails(code, vecdb_open(NULL, NULL, &out, &at_err));
  assert_null(out);
  at_fails(code, vecdb_open(":memory:", NULL, NULL, &at_err));
  at_fails(code, vecdb_step(NULL, 0, 0, NULL, &at_err));
  at_fails(code, vecdb_flush_all(NULL, NULL, &at_err));
  at_fails(code, vecdb_check(NULL, NULL, NULL, NULL, &at_err));
  at_fails(code, vecdb_backup(NULL, "x", NULL, &at_err));
  at_fails(code, vecdb_backup(db, NULL, NULL, &at_err));
  at_fails(code, vecdb_restore(NULL, "x", NULL, &at_err));
  at_fails(code, vecdb_restore("x", NULL, NULL, &at_err));
  vecdb_collection *made = coll;
  at_fails(code, vecdb_collection_create(NULL, "d", schema, &made, &at_err));
  assert_null(made);
  made = coll;
  at_fails(code, vecdb_collection_create(db, NULL, schema, &made, &at_err));
  assert_null(made);
  at_fails(code, vecdb_collection_create(db, "d", NULL, &made, &at_err));
  made = coll;
  at_fails(code, vecdb_collection_get(NULL, "c", &made, &at_err));
  assert_null(made);
  at_fails(code, vecdb_collection_get(db, NULL, &made, &at_err));
  at_fails(code, vecdb_collection_get(db, "c", NULL, &at_err));
  at_fails(code, vecdb_collection_drop(NULL, "c", &at_err));
  at_fails(code, vecdb_collection_drop(db, NULL, &at_err));
  at_fails(code, vecdb_collection_list(NULL, NULL, NULL, &at_err));
  at_fails(code, vecdb_collection_list(db, NULL, NULL, &at_err));
  assert_int_equal(vecdb_open(NULL, NULL, NULL, NULL), code); /* nothing at all */
  vecdb_collection_release(coll);
  at_close(db);
}

static void test_null_collections(void **state) {
  (void)state;
  vecdb_collection *coll;
  vecdb *db = some_rows(&coll);
  struct at_content before = at_content(coll);
  const int64_t id = 1;
  vecdb_batch batch = VECDB_BATCH_INIT;
  vecdb_keys keys = {.integers = &id, .n = 1};
  vecdb_filter filter = {.text = "n == 1"};
  vecdb_query_params query = VECDB_QUERY_PARAMS_INIT;
  vecdb_rows *rows;
  uint64_t count;
  vecdb_stats stats = VECDB_STATS_INIT;
  const int code = VECDB_ERR_ARGUMENT;
  at_fails(code, vecdb_insert(NULL, &batch, NULL, &at_err));
  at_fails(code, vecdb_insert(coll, NULL, NULL, &at_err));
  at_fails(code, vecdb_upsert(NULL, &batch, NULL, &at_err));
  at_fails(code, vecdb_upsert(coll, NULL, NULL, &at_err));
  at_fails(code, vecdb_delete(NULL, &keys, NULL, &at_err));
  at_fails(code, vecdb_delete(coll, NULL, NULL, &at_err));
  vecdb_filter blank = {.text = " \n"}, absent = {.text = NULL};
  at_fails(VECDB_ERR_FILTER, vecdb_delete_where(coll, &blank, NULL, NULL, &at_err));
  at_fails(VECDB_ERR_FILTER, vecdb_delete_where(coll, &absent, NULL, NULL, &at_err));
  at_fails(code, vecdb_delete_where(NULL, &filter, NULL, NULL, &at_err));
  at_fails(code, vecdb_delete_where(coll, NULL, NULL, NULL, &at_err));
  at_fails(code, vecdb_get(NULL, &keys, NULL, 0, NULL, &rows, &at_err));
  assert_null(rows);
  at_fails(code, vecdb_get(coll, NULL, NULL, 0, NULL, &rows, &at_err));
  at_fails(code, vecdb_get(coll, &keys, NULL, 0, NULL, NULL, &at_err));
  at_fails(code, vecdb_query(NULL, &query, &rows, &at_err));
  at_fails(code, vecdb_query(coll, NULL, &rows, &at_err));
  at_fails(code, vecdb_query(coll, &query, NULL, &at_err));
  at_fails(code, vecdb_count(NULL, &filter, &count, &at_err));
  at_fails(code, vecdb_count(coll, &filter, NULL, &at_err));
  at_fails(code, vecdb_flush(NULL, NULL, &at_err));
  at_fails(code, vecdb_compact(NULL, NULL, &at_err));
  at_fails(code, vecdb_index_create(NULL, "v", NULL, NULL, &at_err));
  at_fails(code, vecdb_index_create(coll, NULL, NULL, NULL, &at_err));
  at_fails(code, vecdb_index_drop(NULL, "v", &at_err));
  at_fails(code, vecdb_index_drop(coll, NULL, &at_err));
  at_fails(code, vecdb_wait(NULL, NULL, &at_err));
  at_fails(code, vecdb_warm(NULL, NULL, &at_err));
  at_fails(code, vecdb_warm_rows(NULL, NULL, NULL, NULL, &at_err));
  at_fails(code, vecdb_collection_stats(NULL, &stats, &at_err));
  at_fails(code, vecdb_collection_stats(coll, NULL, &at_err));
  at_same(before, at_content(coll));
  vecdb_collection_release(coll);
  at_close(db);
}

static void test_null_searches(void **state) {
  (void)state;
  vecdb_collection *coll;
  vecdb *db = some_rows(&coll);
  vecdb_search_params params = at_search(a_query, 1, NULL);
  vecdb_hit hit;
  uint32_t n;
  char text[8];
  vecdb_rows *rows = (vecdb_rows *)&params;
  vecdb_iterator *it = (vecdb_iterator *)&params;
  const int code = VECDB_ERR_ARGUMENT;
  at_fails(code, vecdb_search(NULL, &params, &hit, &n, NULL, &rows, &at_err));
  assert_null(rows);
  at_fails(code, vecdb_search(coll, NULL, &hit, &n, NULL, NULL, &at_err));
  at_fails(code, vecdb_search(coll, &params, NULL, &n, NULL, NULL, &at_err));
  at_fails(code, vecdb_search(coll, &params, &hit, NULL, NULL, NULL, &at_err));
  at_fails(code, vecdb_search_range(NULL, &params, 1, &hit, &n, NULL, NULL, &at_err));
  at_fails(code, vecdb_search_range(coll, NULL, 1, &hit, &n, NULL, NULL, &at_err));
  at_fails(code, vecdb_search_range(coll, &params, 1, NULL, &n, NULL, NULL, &at_err));
  at_fails(code, vecdb_search_range(coll, &params, 1, &hit, NULL, NULL, NULL, &at_err));
  at_fails(code, vecdb_iterator_open(NULL, &params, &it, &at_err));
  assert_null(it);
  at_fails(code, vecdb_iterator_open(coll, NULL, &it, &at_err));
  at_fails(code, vecdb_iterator_open(coll, &params, NULL, &at_err));
  at_ok(vecdb_iterator_open(coll, &params, &it, &at_err));
  at_fails(code, vecdb_iterator_next(NULL, 1, &hit, &n, NULL, &at_err));
  at_fails(code, vecdb_iterator_next(it, 1, NULL, &n, NULL, &at_err));
  at_fails(code, vecdb_iterator_next(it, 1, &hit, NULL, NULL, &at_err));
  at_fails(code, vecdb_iterator_next(it, 0, &hit, &n, NULL, &at_err)); /* room for nothing */
  at_ok(vecdb_iterator_next(it, 1, &hit, &n, NULL, &at_err)); /* none of this hurt it */
  assert_int_equal(n, 1);
  assert_int_equal(hit.id, 3);
  vecdb_iterator_close(it);
  at_fails(code, vecdb_explain(NULL, &params, text, sizeof text, NULL, &at_err));
  at_fails(code, vecdb_explain(coll, NULL, text, sizeof text, NULL, &at_err));
  at_fails(code, vecdb_explain(coll, &params, NULL, sizeof text, NULL, &at_err));
  vecdb_collection_release(coll);
  at_close(db);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_searches),        cmocka_unit_test(test_filters),
      cmocka_unit_test(test_hostile_filters), cmocka_unit_test(test_keys_and_pages),
      cmocka_unit_test(test_index_params),    cmocka_unit_test(test_control_sizes),
      cmocka_unit_test(test_options),         cmocka_unit_test(test_null_databases),
      cmocka_unit_test(test_null_collections), cmocka_unit_test(test_null_searches),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
