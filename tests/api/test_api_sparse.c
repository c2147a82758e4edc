/*
 * test_api_sparse.c - sparse vectors through the public interface, held against a list of rows that
 * are compared with each query in double: while rows are in memory, in one file and in several,
 * deleted, replaced, merged, and after the database was opened anew; filters, ties, batches,
 * ranges, walks; and what is refused.
 */
#include "tlib/apitest.h"
#include "tlib/memfault.h"
#include "tlib/thorough.h"

enum {
  ROWS = TEST_SIZE(6000, 1500),
  MOST = 24,     /* pairs of a row */
  INDICES = 400, /* that occur; low ones more often */
  QUERIES = 12,
  GROUPS = 50
};

struct row {
  vecdb_sparse_pair pairs[MOST];
  vecdb_sparse sparse;
  int32_t group;
  bool there;
};

/* What the collection must hold: row i has key i. */
struct model {
  struct row rows[ROWS];
  struct row queries[QUERIES];
  uint32_t seed;
};

/* Few different values, so that many scores are equal; some are 0, or of both signs. */
static void row_fill(struct model *m, struct row *row, uint32_t most) {
  uint32_t n = at_random(&m->seed) % (most + 1), index = 0;
  row->sparse = (vecdb_sparse){row->pairs, 0};
  for (uint32_t i = 0; i < n; i++) {
    double skewed = at_unit(&m->seed);
    index += 1 + (uint32_t)(skewed * skewed * skewed * INDICES / 4);
    float value = (float)((int)(at_random(&m->seed) % 7) - 2) / 4;
    row->pairs[row->sparse.n++] = (vecdb_sparse_pair){index, value};
  }
  if (n && at_random(&m->seed) % 50 == 0)
    row->pairs[n - 1].index = UINT32_MAX;
  row->group = (int32_t)(at_random(&m->seed) % GROUPS);
  row->there = true;
}

static struct model *model_make(uint32_t seed) {
  struct model *m = calloc(1, sizeof *m);
  m->seed = seed;
  for (uint32_t q = 0; q < QUERIES; q++)
    row_fill(m, &m->queries[q], q % 3 == 0 ? 2 : MOST);
  return m;
}

static bool score(const vecdb_sparse *a, const vecdb_sparse *b, double *out) {
  bool shared = false;
  *out = 0;
  for (size_t i = 0; i < a->n; i++)
    for (size_t j = 0; j < b->n; j++)
      if (a->pairs[i].index == b->pairs[j].index) {
        *out += (double)a->pairs[i].value * (double)b->pairs[j].value;
        shared = true;
      }
  return shared;
}

struct expected {
  float score;
  int64_t id;
};

static int expected_order(const void *a, const void *b) {
  const struct expected *x = a, *y = b;
  if (x->score != y->score)
    return x->score > y->score ? -1 : 1;
  return (x->id > y->id) - (x->id < y->id);
}

/* All hits of a query among the groups below `groups`, best first. */
static uint32_t expect(const struct model *m, const vecdb_sparse *query, int32_t groups,
                       struct expected *out) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < ROWS; i++) {
    double s;
    if (!m->rows[i].there || m->rows[i].group >= groups || !score(query, &m->rows[i].sparse, &s))
      continue;
    out[n++] = (struct expected){(float)s, i};
  }
  qsort(out, n, sizeof *out, expected_order);
  return n;
}

/* ---- The collection -------------------------------------------------------------------------- */

static vecdb_collection *make(vecdb *db) {
  const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = "grp", .type = VECDB_INT32},
      {.name = "s", .type = VECDB_SPARSE_VECTOR}};
  vecdb_schema schema = {sizeof schema, sizeof *fields, NULL, fields, AT_COUNT(fields)};
  vecdb_collection *coll;
  at_ok(vecdb_collection_create(db, "c", &schema, &coll, &at_err));
  assert_int_equal(vecdb_collection_schema(coll)->fields[2].metric, VECDB_IP);
  return coll;
}

/* Writes rows first .. first + n - 1 anew. */
static void put(vecdb_collection *coll, struct model *m, uint32_t first, uint32_t n) {
  int64_t ids[ROWS];
  for (uint32_t i = 0; i < n; i++) {
    ids[i] = first + i;
    row_fill(m, &m->rows[first + i], MOST);
  }
  const struct row *rows = &m->rows[first];
  const vecdb_column columns[] = {
      {.field = "id", .data = ids},
      {.field = "grp", .data = &rows->group, .stride = sizeof *rows},
      {.field = "s", .data = &rows->sparse, .stride = sizeof *rows}};
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, AT_COUNT(columns), n};
  at_ok(vecdb_upsert(coll, &batch, NULL, &at_err));
}

static void drop(vecdb_collection *coll, struct model *m, uint32_t step) {
  for (uint32_t i = 0; i < ROWS; i += step) {
    int64_t id = i;
    vecdb_keys keys = {&id, NULL, 1};
    at_ok(vecdb_delete(coll, &keys, NULL, &at_err));
    m->rows[i].there = false;
  }
}

/* ---- Comparing ------------------------------------------------------------------------------- */

static vecdb_search_params ask(const vecdb_sparse *query, uint32_t k, const char *filter) {
  vecdb_search_params p = VECDB_SEARCH_PARAMS_INIT;
  p.queries = query;
  p.k = k;
  p.filter.text = filter;
  return p;
}

/* Whether a hit is among those expected. */
static bool is_expected(const struct expected *expected, uint32_t n, vecdb_hit hit) {
  for (uint32_t i = 0; i < n; i++)
    if (expected[i].id == hit.id)
      return expected[i].score == hit.score;
  return false;
}

/* Of rows as far as the last of k hits, where there are more than k, any may come. */
static void same_hits(const struct expected *expected, uint32_t n, const vecdb_hit *hits,
                      uint32_t count, uint32_t k) {
  assert_int_equal(count, n < k ? n : k);
  for (uint32_t i = 0; i < count; i++) {
    assert_true(hits[i].score == expected[i].score);
    if (n <= k || hits[i].score > expected[k].score)
      assert_int_equal(hits[i].id, expected[i].id);
    else
      assert_true(is_expected(expected, n, hits[i]));
    assert_true(i == 0 || hits[i].score < hits[i - 1].score || hits[i].id > hits[i - 1].id);
  }
}

static void check_search(vecdb_collection *coll, const struct model *m) {
  static const struct {
    const char *text;
    int32_t groups;
  } filters[] = {{NULL, GROUPS}, {"grp < 25", 25}, {"grp < 1", 1}, {"grp < 0", 0}};
  static struct expected expected[ROWS];
  static vecdb_hit hits[ROWS];
  static const uint32_t ks[] = {1, 10, ROWS};
  for (uint32_t q = 0; q < QUERIES; q++)
    for (size_t f = 0; f < AT_COUNT(filters); f++) {
      const vecdb_sparse *query = &m->queries[q].sparse;
      uint32_t n = expect(m, query, filters[f].groups, expected), count;
      for (size_t i = 0; i < AT_COUNT(ks); i++) {
        vecdb_search_params p = ask(query, ks[i], filters[f].text);
        p.plan = q % 2 ? VECDB_PLAN_AUTO : VECDB_PLAN_GRAPH; /* there is no other way */
        at_ok(vecdb_search(coll, &p, hits, &count, NULL, NULL, &at_err));
        same_hits(expected, n, hits, count, ks[i]);
      }
    }
}

static void check_batch(vecdb_collection *coll, const struct model *m) {
  enum { K = 20 };
  static struct expected expected[ROWS];
  static vecdb_hit hits[QUERIES * K];
  uint32_t counts[QUERIES];
  vecdb_search_params p = ask(&m->queries[0].sparse, K, NULL);
  p.query_stride = sizeof m->queries[0];
  p.n_queries = QUERIES;
  p.threads = 2;
  at_ok(vecdb_search(coll, &p, hits, counts, NULL, NULL, &at_err));
  for (uint32_t q = 0; q < QUERIES; q++)
    same_hits(expected, expect(m, &m->queries[q].sparse, GROUPS, expected), &hits[q * K],
              counts[q], K);
}

static void check_range(vecdb_collection *coll, const struct model *m) {
  static struct expected expected[ROWS];
  static vecdb_hit hits[ROWS];
  const float radius = 0.5f;
  for (uint32_t q = 0; q < QUERIES; q++) {
    uint32_t all = expect(m, &m->queries[q].sparse, 25, expected), n = 0, count;
    while (n < all && expected[n].score >= radius)
      n++;
    vecdb_search_params p = ask(&m->queries[q].sparse, ROWS, "grp < 25");
    at_ok(vecdb_search_range(coll, &p, radius, hits, &count, NULL, NULL, &at_err));
    same_hits(expected, n, hits, count, ROWS);
  }
}

/* Each row once, the nearest first; of equal ones any may come before. */
static void same_walk(const struct expected *expected, uint32_t n, const vecdb_hit *hits,
                      uint32_t count) {
  static struct expected found[ROWS];
  assert_int_equal(count, n);
  for (uint32_t i = 0; i < n; i++) {
    assert_true(hits[i].score == expected[i].score);
    found[i] = (struct expected){hits[i].score, hits[i].id};
  }
  qsort(found, n, sizeof *found, expected_order);
  for (uint32_t i = 0; i < n; i++)
    assert_int_equal(found[i].id, expected[i].id);
}

static void check_walk(vecdb_collection *coll, const struct model *m) {
  static struct expected expected[ROWS];
  static vecdb_hit hits[ROWS];
  for (uint32_t q = 0; q < QUERIES; q += 3) {
    uint32_t n = expect(m, &m->queries[q].sparse, 25, expected), total = 0, count;
    struct row query = m->queries[q];
    query.sparse.pairs = query.pairs;
    vecdb_search_params p = ask(&query.sparse, 0, "grp < 25");
    vecdb_iterator *it;
    at_ok(vecdb_iterator_open(coll, &p, &it, &at_err));
    memset(&query, 0xff, sizeof query); /* it was copied */
    do {
      at_ok(vecdb_iterator_next(it, 37, hits + total, &count, NULL, &at_err));
      total += count;
    } while (count);
    vecdb_iterator_close(it);
    same_walk(expected, n, hits, total);
  }
}

static void check_rows(vecdb_collection *coll, const struct model *m) {
  vecdb_query_params p = VECDB_QUERY_PARAMS_INIT;
  vecdb_rows *rows;
  at_ok(vecdb_query(coll, &p, &rows, &at_err));
  int column = vecdb_rows_find(rows, "s");
  size_t at = 0;
  for (uint32_t i = 0; i < ROWS; i++) {
    const struct row *row = &m->rows[i];
    if (!row->there)
      continue;
    assert_int_equal(vecdb_rows_value(rows, at, 0).as.integer, i);
    vecdb_value v = vecdb_rows_value(rows, at++, (size_t)column);
    assert_int_equal(v.type, VECDB_SPARSE_VECTOR);
    assert_int_equal(v.length, row->sparse.n);
    assert_memory_equal(v.as.data, row->pairs, row->sparse.n * sizeof *row->pairs);
  }
  assert_int_equal(vecdb_rows_count(rows), at);
  vecdb_rows_free(rows);
}

/* Of all rows, or of those whose grp is below a bound. */
static void check_counts(vecdb_collection *coll, const struct model *m, const char *text,
                         int32_t below) {
  uint32_t indices[] = {1, 2, 40, INDICES * 9, UINT32_MAX, 1};
  uint64_t counts[AT_COUNT(indices)], rows, all = 0, wanted[AT_COUNT(indices)] = {0};
  const vecdb_filter filter = {text, 0, NULL, 0};
  for (uint32_t row = 0; row < ROWS; row++) {
    bool passes = m->rows[row].there && m->rows[row].group < below;
    all += passes;
    for (size_t i = 0; passes && i < AT_COUNT(indices); i++)
      for (size_t p = 0; p < m->rows[row].sparse.n; p++)
        wanted[i] += m->rows[row].pairs[p].index == indices[i];
  }
  at_ok(vecdb_sparse_counts(coll, "s", text ? &filter : NULL, indices, AT_COUNT(indices), counts,
                            &rows, &at_err));
  assert_int_equal(rows, all);
  assert_memory_equal(counts, wanted, sizeof wanted);
}

static void check(vecdb *db, vecdb_collection *coll, const struct model *m) {
  check_search(coll, m);
  check_batch(coll, m);
  check_range(coll, m);
  check_walk(coll, m);
  check_rows(coll, m);
  check_counts(coll, m, NULL, INT32_MAX);
  check_counts(coll, m, "grp < 25", 25);
  check_counts(coll, m, "grp < 0", 0);
  at_ok(vecdb_check(db, NULL, NULL, NULL, &at_err));
}

/* ---- A life ---------------------------------------------------------------------------------- */

/* Opens a folder and compares. */
static void check_again(const char *folder, const struct model *m) {
  vecdb *db = at_open(folder, NULL);
  vecdb_collection *coll;
  at_ok(vecdb_collection_get(db, "c", &coll, &at_err));
  check(db, coll, m);
  vecdb_collection_release(coll);
  at_close(db);
}

static void life(void **state) {
  (void)state;
  char *folder = at_folder();
  struct model *m = model_make(3);
  vecdb *db = at_open(folder, NULL);
  vecdb_collection *coll = make(db);
  put(coll, m, 0, ROWS / 2);
  check(db, coll, m);
  put(coll, m, ROWS / 4, 200); /* replaced in memory */
  drop(coll, m, 7);
  check(db, coll, m);
  at_ok(vecdb_flush(coll, NULL, &at_err));
  check(db, coll, m);
  put(coll, m, ROWS / 3, ROWS - ROWS / 3); /* in files and in memory, some replaced */
  check(db, coll, m);
  at_ok(vecdb_flush(coll, NULL, &at_err));
  drop(coll, m, 5);
  check(db, coll, m);
  vecdb_collection_release(coll);
  at_close(db);

  vecdb_options full = VECDB_OPTIONS_INIT;
  full.verify = VECDB_VERIFY_FULL;
  db = at_open(folder, &full);
  at_ok(vecdb_collection_get(db, "c", &coll, &at_err));
  check(db, coll, m);
  at_ok(vecdb_compact(coll, NULL, &at_err));
  check(db, coll, m);
  put(coll, m, 0, 100);
  const char *copy = at_path(folder, "copy");
  at_ok(vecdb_backup(db, copy, NULL, &at_err));
  vecdb_collection_release(coll);
  at_close(db);
  check_again(copy, m);
  check_again(folder, m); /* with rows that come from the log */
  free(m);
  at_remove(folder);
}

/* ---- Edges ----------------------------------------------------------------------------------- */

/* Rows without pairs, and one with as many as there may be; in memory and in a file. */
static void edges(void **state) {
  (void)state;
  vecdb *db = at_open(":memory:", NULL);
  vecdb_collection *coll = make(db);
  vecdb_sparse_pair *many = malloc((VECDB_MAX_SPARSE + 1) * sizeof *many);
  for (uint32_t i = 0; i <= VECDB_MAX_SPARSE; i++)
    many[i] = (vecdb_sparse_pair){i * 3, 1};
  int64_t ids[] = {1, 2, 3};
  int32_t groups[] = {0, 0, 0};
  vecdb_sparse rows[] = {{NULL, 0}, {many, VECDB_MAX_SPARSE}, {many + 1, 1}};
  const vecdb_column columns[] = {{.field = "id", .data = ids},
                                  {.field = "grp", .data = groups},
                                  {.field = "s", .data = rows}};
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, AT_COUNT(columns), 3};
  at_ok(vecdb_insert(coll, &batch, NULL, &at_err));
  for (int sealed = 0; sealed < 2; sealed++) {
    vecdb_hit hits[3];
    uint32_t n;
    vecdb_search_params p = ask(&rows[1], 3, NULL);
    at_ok(vecdb_search(coll, &p, hits, &n, NULL, NULL, &at_err));
    assert_int_equal(n, 2);
    assert_true(hits[0].id == 2 && hits[0].score == (float)VECDB_MAX_SPARSE);
    assert_true(hits[1].id == 3 && hits[1].score == 1);
    p = ask(&rows[0], 3, NULL); /* an empty query finds nothing */
    at_ok(vecdb_search(coll, &p, hits, &n, NULL, NULL, &at_err));
    assert_int_equal(n, 0);
    at_ok(vecdb_flush(coll, NULL, &at_err));
  }
  rows[1].n++;
  ids[0] = 4; /* the whole batch is refused */
  at_fails(VECDB_ERR_TOO_LONG, vecdb_upsert(coll, &batch, NULL, &at_err));
  assert_int_equal(at_err.row, 1);
  assert_int_equal(at_count(coll, "id == 4"), 0);
  free(many);
  vecdb_collection_release(coll);
  at_close(db);
}

/* An empty column has an inverted index, too. */
static void all_empty(void **state) {
  (void)state;
  vecdb *db = at_open(":memory:", NULL);
  vecdb_collection *coll = make(db);
  int64_t ids[] = {1, 2};
  int32_t groups[] = {0, 0};
  vecdb_sparse rows[2] = {{NULL, 0}, {NULL, 0}};
  const vecdb_column columns[] = {{.field = "id", .data = ids},
                                  {.field = "grp", .data = groups},
                                  {.field = "s", .data = rows}};
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, AT_COUNT(columns), 2};
  at_ok(vecdb_insert(coll, &batch, NULL, &at_err));
  at_ok(vecdb_compact(coll, NULL, &at_err));
  vecdb_sparse_pair one = {0, 1};
  vecdb_sparse query = {&one, 1};
  vecdb_search_params p = ask(&query, 2, NULL);
  vecdb_hit hits[2];
  uint32_t n;
  at_ok(vecdb_search(coll, &p, hits, &n, NULL, NULL, &at_err));
  assert_int_equal(n, 0);
  char text[2000];
  at_ok(vecdb_explain(coll, &p, text, sizeof text, NULL, &at_err));
  assert_non_null(strstr(text, "SPARSE_VECTOR"));
  assert_non_null(strstr(text, "EXACT (by the inverted index)"));
  vecdb_collection_release(coll);
  at_close(db);
}

/* ---- Without memory -------------------------------------------------------------------------- */

/* One use of all that has to do with sparse vectors; the first error, where there is one. */
static int use(vecdb_collection *coll, const vecdb_batch *batch, const vecdb_sparse *query) {
  vecdb_search_params p = ask(query, 5, "grp < 25");
  vecdb_hit hits[5];
  uint32_t n, index = 7;
  uint64_t count;
  vecdb_iterator *it = NULL;
  int rc = vecdb_upsert(coll, batch, NULL, &at_err);
  rc = rc ? rc : vecdb_search(coll, &p, hits, &n, NULL, NULL, &at_err);
  rc = rc ? rc : vecdb_flush(coll, NULL, &at_err);
  rc = rc ? rc : vecdb_search(coll, &p, hits, &n, NULL, NULL, &at_err);
  rc = rc ? rc : vecdb_sparse_counts(coll, "s", &p.filter, &index, 1, &count, NULL, &at_err);
  rc = rc ? rc : vecdb_iterator_open(coll, &p, &it, &at_err);
  rc = rc ? rc : vecdb_iterator_next(it, 5, hits, &n, NULL, &at_err);
  vecdb_iterator_close(it);
  return rc ? rc : vecdb_compact(coll, NULL, &at_err);
}

/* Each allocation fails in turn: NO_MEMORY or done, nothing is lost, and it goes on. */
static void no_memory(void **state) {
  (void)state;
  enum { FEW = 100 };
  struct model *m = model_make(9);
  int64_t ids[FEW];
  for (uint32_t i = 0; i < FEW; i++) {
    ids[i] = i;
    row_fill(m, &m->rows[i], MOST);
  }
  const vecdb_column columns[] = {
      {.field = "id", .data = ids},
      {.field = "grp", .data = &m->rows->group, .stride = sizeof *m->rows},
      {.field = "s", .data = &m->rows->sparse, .stride = sizeof *m->rows}};
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, AT_COUNT(columns), FEW};
  uint64_t failed = 1;
  for (uint64_t nth = 1; failed; nth++) {
    struct memfault memory;
    memfault_init(&memory);
    vecdb_options options = VECDB_OPTIONS_INIT;
    options.allocator = &memory.table;
    options.flags = VECDB_HOST_DRIVEN;
    vecdb *db = at_open(":memory:", &options);
    vecdb_collection *coll = make(db);
    memfault_fail(&memory, nth, false);
    int rc = use(coll, &batch, &m->queries[1].sparse);
    failed = memfault_failed(&memory);
    assert_true(rc == VECDB_OK || (failed && rc == VECDB_ERR_NO_MEMORY));
    memfault_fail(&memory, 0, false);
    at_ok(use(coll, &batch, &m->queries[1].sparse));
    check_search(coll, m);
    at_ok(vecdb_check(db, NULL, NULL, NULL, &at_err));
    vecdb_collection_release(coll);
    at_close(db);
    assert_int_equal(memfault_live(&memory), 0);
  }
  free(m);
}

/* ---- What is refused ------------------------------------------------------------------------- */

static void bad_vectors(void **state) {
  (void)state;
  const vecdb_sparse_pair twice[] = {{1, 1}, {4, 1}, {4, 1}}, falls[] = {{5, 1}, {4, 1}},
                          nan[] = {{1, at_nan()}}, infinite[] = {{1, 1}, {2, at_infinity()}},
                          large[] = {{1, 1e20f}, {2, 1}}, fine[] = {{1, 1}};
  const struct {
    vecdb_sparse sparse;
    int code;
    const char *word;
  } cases[] = {{{twice, 3}, VECDB_ERR_SPARSE, "index 4 comes after 4"},
               {{falls, 2}, VECDB_ERR_SPARSE, "index 4 comes after 5"},
               {{nan, 1}, VECDB_ERR_NOT_FINITE, "index 1"},
               {{infinite, 2}, VECDB_ERR_NOT_FINITE, "index 2"},
               {{large, 2}, VECDB_ERR_OVERFLOW, "norm"},
               {{NULL, 1}, VECDB_ERR_ARGUMENT, "NULL"},
               {{fine, VECDB_MAX_SPARSE + 1}, VECDB_ERR_TOO_LONG, "65537"},
               {{fine, SIZE_MAX}, VECDB_ERR_TOO_LONG, "at most 65536"}};
  vecdb *db = at_open(":memory:", NULL);
  vecdb_collection *coll = make(db);
  for (size_t i = 0; i < AT_COUNT(cases); i++) {
    int64_t ids[] = {1, 2};
    int32_t groups[] = {0, 0};
    vecdb_sparse rows[] = {{fine, 1}, cases[i].sparse};
    const vecdb_column columns[] = {{.field = "id", .data = ids},
                                    {.field = "grp", .data = groups},
                                    {.field = "s", .data = rows}};
    vecdb_batch batch = {sizeof batch, sizeof *columns, columns, AT_COUNT(columns), 2};
    at_fails(cases[i].code, vecdb_insert(coll, &batch, NULL, &at_err));
    assert_int_equal(at_err.row, 1);
    assert_string_equal(at_err.field, "s");
    assert_non_null(strstr(at_err.message, cases[i].word));
    vecdb_search_params p = ask(rows, 1, NULL);
    p.n_queries = 2;
    vecdb_hit hits[2];
    uint32_t counts[2];
    at_fails(cases[i].code, vecdb_search(coll, &p, hits, counts, NULL, NULL, &at_err));
    assert_int_equal(at_err.row, 1);
  }
  assert_int_equal(at_count(coll, NULL), 0);
  vecdb_collection_release(coll);
  at_close(db);
}

static void bad_calls(void **state) {
  (void)state;
  vecdb *db = at_open(":memory:", NULL);
  vecdb_collection *coll = make(db);
  vecdb_sparse_pair one = {0, 1};
  vecdb_sparse query = {&one, 1};
  vecdb_hit hit;
  uint32_t n;
  vecdb_search_params p = ask(&query, 1, NULL);
  p.dim = 4;
  at_fails(VECDB_ERR_DIMENSION, vecdb_search(coll, &p, &hit, &n, NULL, NULL, &at_err));
  p.dim = 0;
  p.query_stride = sizeof query - 1;
  at_fails(VECDB_ERR_ARGUMENT, vecdb_search(coll, &p, &hit, &n, NULL, NULL, &at_err));
  at_fails(VECDB_ERR_TYPE, vecdb_index_create(coll, "s", NULL, NULL, &at_err));
  assert_non_null(strstr(at_err.message, "inverted index"));
  at_fails(VECDB_ERR_TYPE, vecdb_index_drop(coll, "s", &at_err));
  uint64_t count;
  uint32_t index = 0;
  const vecdb_filter wrong = {"grp <", 0, NULL, 0};
  at_fails(VECDB_ERR_FILTER,
           vecdb_sparse_counts(coll, "s", &wrong, &index, 1, &count, NULL, &at_err));
  at_fails(VECDB_ERR_TYPE,
           vecdb_sparse_counts(coll, "grp", NULL, &index, 1, &count, NULL, &at_err));
  at_fails(VECDB_ERR_UNKNOWN_FIELD,
           vecdb_sparse_counts(coll, "x", NULL, &index, 1, &count, NULL, &at_err));
  at_fails(VECDB_ERR_ARGUMENT,
           vecdb_sparse_counts(coll, "s", NULL, &index, 1, NULL, NULL, &at_err));
  at_fails(VECDB_ERR_LIMIT,
           vecdb_sparse_counts(coll, "s", NULL, &index, VECDB_MAX_SPARSE + 1, &count, NULL,
                               &at_err));
  at_ok(vecdb_sparse_counts(coll, "s", NULL, NULL, 0, NULL, NULL, &at_err));
  p = ask(&query, 1, "s is null");
  assert_int_not_equal(vecdb_search(coll, &p, &hit, &n, NULL, NULL, &at_err), VECDB_OK);
  vecdb_collection_release(coll);

  static const struct {
    vecdb_field field;
    const char *word;
  } fields[] = {
      {{.name = "s", .type = VECDB_SPARSE_VECTOR, .dim = 4}, "dim"},
      {{.name = "s", .type = VECDB_SPARSE_VECTOR, .metric = VECDB_L2}, "metric"},
      {{.name = "s", .type = VECDB_SPARSE_VECTOR, .metric = VECDB_HAMMING}, "HAMMING"},
      {{.name = "s", .type = VECDB_SPARSE_VECTOR, .flags = VECDB_NULLABLE}, "flag"},
      {{.name = "s", .type = VECDB_SPARSE_VECTOR, .flags = VECDB_ALLOW_ZERO}, "COSINE"},
      {{.name = "s", .type = VECDB_SPARSE_VECTOR, .index = {.type = VECDB_INDEX_HNSW}}, "index"},
      {{.name = "s", .type = VECDB_SPARSE_VECTOR, .scalar_index = VECDB_SCALAR_INDEX_HASH},
       "scalar index"},
      {{.name = "s", .type = VECDB_ARRAY, .element_type = VECDB_SPARSE_VECTOR, .max_capacity = 4},
       "elements"}};
  for (size_t i = 0; i < AT_COUNT(fields); i++) {
    const vecdb_field two[] = {{.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
                               fields[i].field};
    vecdb_field copy[2] = {two[0], two[1]};
    if (copy[1].index.type)
      copy[1].index.size = sizeof copy[1].index;
    vecdb_schema schema = {sizeof schema, sizeof *copy, NULL, copy, 2};
    at_fails(VECDB_ERR_SCHEMA, vecdb_collection_create(db, "x", &schema, NULL, &at_err));
    assert_non_null(strstr(at_err.message, fields[i].word));
  }
  at_close(db);
}

static uint64_t at_25_ms(void *user) {
  (void)user;
  return 25 * 1000000;
}

/* Rows that have expired count no longer, though they are in the files. */
static void expired(void **state) {
  (void)state;
  static const vecdb_clock clock = {at_25_ms, at_25_ms, NULL};
  vecdb_options o = VECDB_OPTIONS_INIT;
  o.flags = VECDB_HOST_DRIVEN;
  o.clock = &clock;
  vecdb *db = at_open(":memory:", &o);
  vecdb_collection *coll = make(db);
  struct model *m = model_make(3);
  vecdb_stats stats = VECDB_STATS_INIT;
  uint64_t rows;
  put(coll, m, 0, 50);
  at_ok(vecdb_expire(coll, "id", 0, NULL, &at_err));
  at_ok(vecdb_collection_stats(coll, &stats, &at_err));
  assert_int_equal(stats.rows, 50);
  at_ok(vecdb_sparse_counts(coll, "s", NULL, NULL, 0, NULL, &rows, &at_err));
  assert_int_equal(rows, 24);
  free(m);
  vecdb_collection_release(coll);
  at_close(db);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(life), cmocka_unit_test(edges),
                                     cmocka_unit_test(all_empty), cmocka_unit_test(no_memory),
                                     cmocka_unit_test(bad_vectors), cmocka_unit_test(bad_calls),
                                     cmocka_unit_test(expired)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
