/*
 * test_client.c - the client library against nodes that answer on real connections (nodetest.h):
 * its answers beside those of one database that has all rows, writes while leaders change and nodes
 * go away, what is said when nothing works. TSAN: yes.
 */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "client/vecdb_client.h"
#include "cluster/nodetest.h"
#include "tlib/thorough.h"

enum { TC_DIM = 8, TC_ROWS = 600 };

static const vecdb_field tc_fields[] = {
    {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
    {.name = "kind", .type = VECDB_VARCHAR, .max_length = 16},
    {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = TC_DIM, .metric = VECDB_L2},
    {.name = "n", .type = VECDB_INT32, .flags = VECDB_NULLABLE},
};
static const vecdb_schema tc_schema = {sizeof(vecdb_schema), sizeof(vecdb_field), NULL, tc_fields,
                                       4};

struct tc {
  struct nt nt;
  vecdb_client *client;
  vecdb *all; /* one database with the same rows */
  vecdb_collection *rows;
};

static vecdb_client *tc_client(struct tc *t, const char *cluster) {
  char nodes[256];
  vecdb_client_options o = VECDB_CLIENT_OPTIONS_INIT;
  vecdb_client *client;
  nt_nodes(&t->nt, nodes, sizeof nodes);
  o.nodes = nodes;
  o.cluster = cluster;
  o.timeout_ms = 60000; /* what fails does so for another reason */
  assert_int_equal(vecdb_client_open(&o, &client, NULL), VECDB_OK);
  return client;
}

static void tc_create(struct tc *t) {
  vecdb_client_layout layout = VECDB_CLIENT_LAYOUT_INIT;
  layout.shards = NT_SHARDS;
  layout.replicas = NT_NODES;
  assert_int_equal(vecdb_client_create(t->client, "docs", &tc_schema, &layout, NULL, NULL),
                   VECDB_OK);
}

static struct tc *tc_open(void) {
  struct tc *t = calloc(1, sizeof *t);
  nt_open(&t->nt, NULL);
  t->client = tc_client(t, nt_cluster);
  tc_create(t);
  assert_int_equal(vecdb_open(":memory:", NULL, &t->all, NULL), VECDB_OK);
  assert_int_equal(vecdb_collection_create(t->all, "docs", &tc_schema, &t->rows, NULL), VECDB_OK);
  return t;
}

static void tc_close(struct tc *t) {
  vecdb_client_close(t->client);
  nt_close(&t->nt);
  vecdb_collection_release(t->rows);
  vecdb_close(t->all, NULL);
  free(t);
}

struct tc_batch {
  int64_t ids[TC_ROWS];
  const char *kinds[TC_ROWS];
  float v[TC_ROWS * TC_DIM];
  int32_t n[TC_ROWS]; /* null for every fourth row */
  uint8_t valid[TC_ROWS];
  vecdb_column columns[4];
  vecdb_batch batch;
};

static void tc_fill(struct tc_batch *b, int64_t first, uint32_t n) {
  static const char *const kinds[] = {"news", "sport", ""};
  for (uint32_t i = 0; i < n; i++) {
    b->ids[i] = first + i;
    b->kinds[i] = kinds[(first + i) % 3];
    b->n[i] = (int32_t)(first + i) % 23;
    b->valid[i] = (first + i) % 4 != 0;
    for (uint32_t d = 0; d < TC_DIM; d++)
      b->v[i * TC_DIM + d] = (float)(((uint64_t)(first + i) * 7919 + d * 104729) % 97);
  }
  b->columns[0] = (vecdb_column){"id", b->ids, 0, NULL, NULL, 0};
  b->columns[1] = (vecdb_column){"kind", b->kinds, 0, NULL, NULL, 0};
  b->columns[2] = (vecdb_column){"v", b->v, 0, NULL, NULL, TC_DIM};
  b->columns[3] = (vecdb_column){"n", b->n, 0, NULL, b->valid, 0};
  b->batch = (vecdb_batch){sizeof b->batch, sizeof *b->columns, b->columns, 4, n};
}

/* The same rows here and there. */
static void tc_put(struct tc *t, int64_t first, uint32_t n) {
  static struct tc_batch b;
  vecdb_error error = {0};
  tc_fill(&b, first, n);
  int code = vecdb_client_upsert(t->client, "docs", &b.batch, NULL, &error);
  if (code)
    print_message("%s\n", error.message);
  assert_int_equal(code, VECDB_OK);
  assert_int_equal(vecdb_upsert(t->rows, &b.batch, NULL, NULL), VECDB_OK);
}

static void tc_same_search(struct tc *t, const float *queries, uint32_t n, uint32_t k,
                           const char *filter) {
  static vecdb_hit hits[16 * 256];
  uint32_t counts[16];
  static const char *const fields[] = {"kind"};
  vecdb_search_params p = VECDB_SEARCH_PARAMS_INIT;
  vecdb_client_answer *answer;
  p.queries = queries;
  p.n_queries = n;
  p.k = k;
  p.filter.text = filter;
  p.fields = fields;
  p.n_fields = 1;
  vecdb_error error = {0};
  int code = vecdb_client_search(t->client, "docs", &p, NULL, &answer, &error);
  if (code)
    print_message("%s\n", error.message);
  assert_int_equal(code, VECDB_OK);
  p.plan = VECDB_PLAN_EXACT;
  assert_int_equal(vecdb_search(t->rows, &p, hits, counts, NULL, NULL, NULL), VECDB_OK);
  for (uint32_t q = 0; q < n; q++) {
    assert_int_equal(vecdb_client_answer_rows(answer, q), counts[q]);
    for (uint32_t i = 0; i < counts[q]; i++) {
      vecdb_value kind = vecdb_client_answer_value(answer, q, i, "kind");
      assert_int_equal(vecdb_client_answer_key(answer, q, i).as.integer, hits[q * k + i].id);
      assert_true(fabsf(vecdb_client_answer_score(answer, q, i) - hits[q * k + i].score) < 1e-3f);
      assert_int_equal(kind.type, VECDB_VARCHAR);
    }
  }
  vecdb_client_answer_free(answer);
}

static void tc_same(struct tc *t) {
  static struct tc_batch b;
  uint64_t here, there;
  tc_fill(&b, 100003, 5);
  tc_same_search(t, b.v, 5, 10, NULL);
  tc_same_search(t, b.v, 1, 200, NULL);
  tc_same_search(t, b.v, 3, 7, "kind == \"news\"");
  const vecdb_filter filter = {"kind != {k}", 0,
                               &(vecdb_param){"k", {VECDB_VARCHAR, 5, {.data = "sport"}, 0}}, 1};
  assert_int_equal(vecdb_client_count(t->client, "docs", &filter, &there, NULL, NULL), VECDB_OK);
  assert_int_equal(vecdb_count(t->rows, &filter, &here, NULL), VECDB_OK);
  assert_int_equal(here, there);
}

/* ---- Groups, rankings, updates: as one database has them, ties too ---- */

enum { TC_LISTS = 2 * 200 };

/* The lists of hits of an answer, `room` places each, beside those of the database. */
static void tc_same_lists(vecdb_client_answer *answer, const vecdb_hit *hits,
                          const uint32_t *counts, uint32_t lists, uint32_t room) {
  for (uint32_t l = 0; l < lists; l++) {
    assert_int_equal(vecdb_client_answer_rows(answer, l), counts[l]);
    for (uint32_t i = 0; i < counts[l]; i++) {
      const vecdb_hit *hit = &hits[(size_t)l * room + i];
      assert_int_equal(vecdb_client_answer_key(answer, l, i).as.integer, hit->id);
      assert_true(fabsf(vecdb_client_answer_score(answer, l, i) - hit->score) < 1e-3f);
      assert_int_equal(vecdb_client_answer_value(answer, l, i, "kind").type, VECDB_VARCHAR);
    }
  }
  vecdb_client_answer_free(answer);
}

static void tc_same_groups(struct tc *t, const vecdb_search_params *params, const char *field,
                           uint32_t each) {
  static vecdb_hit hits[TC_LISTS * 8];
  uint32_t counts[TC_LISTS];
  const vecdb_group_by by = {sizeof by, each, field};
  vecdb_client_answer *answer;
  vecdb_error error = {0};
  if (vecdb_client_search_groups(t->client, "docs", params, &by, NULL, &answer, &error))
    fail_msg("%s", error.message);
  assert_int_equal(vecdb_search_groups(t->rows, params, &by, hits, counts, NULL, NULL, NULL), 0);
  tc_same_lists(answer, hits, counts, params->n_queries * params->k, each ? each : 1);
}

/* Of every third row the vector is one of three, and their groups tie. */
static void tc_put_ties(struct tc *t) {
  static const float far[TC_DIM] = {1000, 1000, 1000};
  static struct tc_batch b;
  tc_fill(&b, 0, TC_ROWS);
  for (uint32_t i = 0; i < TC_ROWS; i += 3)
    memcpy(&b.v[i * TC_DIM], i % 2 ? far : b.v, sizeof far);
  assert_int_equal(vecdb_client_upsert(t->client, "docs", &b.batch, NULL, NULL), VECDB_OK);
  assert_int_equal(vecdb_upsert(t->rows, &b.batch, NULL, NULL), VECDB_OK);
}

static void test_groups(void **state) {
  (void)state;
  static const char *const fields[] = {"kind"};
  static struct tc_batch b;
  struct tc *t = tc_open();
  tc_fill(&b, 0, 2);
  tc_put_ties(t);
  vecdb_search_params p = VECDB_SEARCH_PARAMS_INIT;
  p.queries = b.v;
  p.n_queries = 2;
  p.plan = VECDB_PLAN_EXACT;
  p.fields = fields;
  p.n_fields = 1;
  for (p.k = 1; p.k <= 200; p.k = p.k < 4 ? p.k + 1 : p.k * 5) {
    tc_same_groups(t, &p, "kind", 0);
    tc_same_groups(t, &p, "kind", 8);
    tc_same_groups(t, &p, "n", 1);
    tc_same_groups(t, &p, "n", 3);
    tc_same_groups(t, &p, "id", 2);
    p.filter.text = "n is null or n > 4 or kind == \"news\"";
    tc_same_groups(t, &p, "n", 5);
    p.filter.text = NULL;
  }
  tc_close(t);
}

static void test_hybrid(void **state) {
  (void)state;
  static const char *const fields[] = {"kind"};
  static vecdb_hit hits[2 * 300];
  static struct tc_batch b;
  struct tc *t = tc_open();
  uint32_t counts[2];
  tc_fill(&b, 0, 4);
  tc_put_ties(t);
  vecdb_hybrid_search searches[3] = {{.weight = 0}, {.weight = 0.5f}, {.weight = 2}};
  for (int i = 0; i < 3; i++) {
    searches[i].search = (vecdb_search_params)VECDB_SEARCH_PARAMS_INIT;
    searches[i].search.queries = b.v + (size_t)i * TC_DIM;
    searches[i].search.n_queries = 2;
    searches[i].search.k = 40 + 60 * (uint32_t)i;
    searches[i].search.plan = VECDB_PLAN_EXACT;
  }
  searches[1].search.filter.text = "kind != \"sport\"";
  searches[2].bounded = 1;
  searches[2].radius = 9000;
  vecdb_hybrid_params p = VECDB_HYBRID_PARAMS_INIT;
  p.searches = searches;
  p.n_searches = 3;
  p.fields = fields;
  p.n_fields = 1;
  for (p.fusion = 0; p.fusion <= VECDB_FUSION_SCORES; p.fusion++)
    for (p.k = 1; p.k <= 300; p.k += 99) {
      vecdb_client_answer *answer;
      assert_int_equal(vecdb_client_search_hybrid(t->client, "docs", &p, NULL, &answer, NULL), 0);
      assert_int_equal(vecdb_search_hybrid(t->rows, &p, hits, counts, NULL, NULL, NULL), 0);
      tc_same_lists(answer, hits, counts, 2, p.k);
    }
  tc_close(t);
}

/* How many shards a count asks. */
static uint64_t tc_asked(struct tc *t, const char *text) {
  const vecdb_filter filter = {text, 0, NULL, 0};
  vecdb_client_call call = VECDB_CLIENT_CALL_INIT;
  uint64_t n, here, before, after;
  call.level = VECDB_CLIENT_STRONG; /* of the primary alone, and no second copies */
  pthread_mutex_lock(&t->nt.mutex);
  before = t->nt.done;
  pthread_mutex_unlock(&t->nt.mutex);
  assert_int_equal(vecdb_client_count(t->client, "docs", &filter, &n, &call, NULL), VECDB_OK);
  pthread_mutex_lock(&t->nt.mutex);
  after = t->nt.done;
  pthread_mutex_unlock(&t->nt.mutex);
  assert_int_equal(vecdb_count(t->rows, &filter, &here, NULL), VECDB_OK);
  assert_int_equal(n, here);
  return after - before;
}

/* Rows of a tenant lie in one shard, which alone is asked for them; answers are as ever. */
static void test_tenants(void **state) {
  (void)state;
  struct tc *t = tc_open();
  vecdb_client_layout layout = VECDB_CLIENT_LAYOUT_INIT;
  layout.shards = NT_SHARDS;
  layout.replicas = NT_NODES;
  assert_int_equal(vecdb_client_drop(t->client, "docs", NULL, NULL), VECDB_OK);
  layout.tenant_field = "kind";
  assert_int_equal(vecdb_client_create(t->client, "docs", &tc_schema, &layout, NULL, NULL),
                   VECDB_OK);
  tc_put(t, 0, TC_ROWS);
  tc_same(t);
  assert_int_equal(tc_asked(t, "kind == \"news\""), 1);
  assert_int_equal(tc_asked(t, "kind == \"none\""), 1);
  assert_int_equal(tc_asked(t, "(n > 3 or n is null) and kind == 'sport'"), 1);
  assert_int_equal(tc_asked(t, "kind == 'sport' or n > 3"), NT_SHARDS);
  assert_int_equal(tc_asked(t, "not kind == 'sport'"), NT_SHARDS);
  assert_int_equal(tc_asked(t, "kind > 'n'"), NT_SHARDS);
  assert_int_equal(tc_asked(t, "n == 3"), NT_SHARDS);
  tc_close(t);
}

/* A client that knew the collection before sees the field when it needs it. */
static void test_fields(void **state) {
  (void)state;
  static const vecdb_field field = {.name = "m", .type = VECDB_INT64, .flags = VECDB_NULLABLE};
  static const vecdb_schema more = {sizeof more, sizeof field, NULL, &field, 1};
  static const int64_t ids[] = {1, 2}, numbers[] = {10, 20};
  const vecdb_column columns[] = {{.field = "id", .data = ids}, {.field = "m", .data = numbers}};
  const vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 2, 2};
  const vecdb_filter filter = {"m == 20", 0, NULL, 0};
  uint64_t n;
  struct tc *t = tc_open();
  vecdb_client *other = tc_client(t, nt_cluster);
  tc_put(t, 0, 50);
  assert_int_equal(vecdb_client_count(other, "docs", NULL, &n, NULL, NULL), VECDB_OK);
  assert_int_equal(vecdb_client_update(other, "docs", &batch, 0, NULL, NULL, NULL),
                   VECDB_ERR_UNKNOWN_FIELD);
  assert_int_equal(vecdb_client_fields_add(t->client, "docs", &more, NULL, NULL), VECDB_OK);
  assert_int_equal(vecdb_client_fields_add(other, "docs", &more, NULL, NULL), VECDB_ERR_EXISTS);
  assert_int_equal(vecdb_client_update(other, "docs", &batch, 0, NULL, NULL, NULL), VECDB_OK);
  assert_int_equal(vecdb_client_count(t->client, "docs", &filter, &n, NULL, NULL), VECDB_OK);
  assert_int_equal(n, 1);
  vecdb_client_close(other);
  tc_close(t);
}

/* Fields that go and get other names, also to a client that knew them; and indexes of JSON. */
static void test_reshapes(void **state) {
  (void)state;
  static const vecdb_field field = {.name = "j", .type = VECDB_JSON, .flags = VECDB_NULLABLE};
  static const vecdb_schema more = {sizeof more, sizeof field, NULL, &field, 1};
  static const vecdb_json_index index = {"[\"a\"]", VECDB_DOUBLE};
  const vecdb_filter old = {"kind == 'sport'", 0, NULL, 0}, new = {"sort == 'sport'", 0, NULL, 0};
  vecdb_client_about *about;
  uint64_t n, sports;
  struct tc *t = tc_open();
  vecdb_client *c = t->client, *other = tc_client(t, nt_cluster);
  tc_put(t, 0, 50);
  assert_int_equal(vecdb_client_count(other, "docs", &old, &sports, NULL, NULL), VECDB_OK);
  assert_int_equal(vecdb_client_field_rename(c, "docs", "kind", "sort", NULL, NULL), VECDB_OK);
  assert_int_equal(vecdb_client_field_rename(c, "docs", "kind", "x", NULL, NULL),
                   VECDB_ERR_UNKNOWN_FIELD);
  assert_int_equal(vecdb_client_count(other, "docs", &new, &n, NULL, NULL), VECDB_OK);
  assert_true(sports && n == sports);
  assert_int_not_equal(vecdb_client_count(other, "docs", &old, &n, NULL, NULL), VECDB_OK);
  assert_int_equal(vecdb_client_field_drop(other, "docs", "sort", NULL, NULL), VECDB_OK);
  assert_int_equal(vecdb_client_field_drop(c, "docs", "sort", NULL, NULL),
                   VECDB_ERR_UNKNOWN_FIELD);
  assert_int_equal(vecdb_client_fields_add(c, "docs", &more, NULL, NULL), VECDB_OK);
  assert_int_equal(vecdb_client_json_index_create(c, "docs", "j", &index, NULL, NULL), VECDB_OK);
  assert_int_equal(vecdb_client_json_index_create(c, "docs", "j", &index, NULL, NULL),
                   VECDB_ERR_EXISTS);
  assert_int_equal(vecdb_client_describe(other, "docs", NULL, &about, NULL), VECDB_OK);
  const vecdb_schema *schema = vecdb_client_about_schema(about);
  assert_int_equal(schema->fields[schema->n_fields - 1].n_json_indexes, 1);
  vecdb_client_about_free(about);
  assert_int_equal(vecdb_client_json_index_drop(c, "docs", "j", &index, NULL, NULL), VECDB_OK);
  assert_int_equal(vecdb_client_json_index_drop(c, "docs", "j", &index, NULL, NULL),
                   VECDB_ERR_NOT_FOUND);
  assert_int_equal(vecdb_client_field_drop(c, "docs", NULL, NULL, NULL), VECDB_ERR_ARGUMENT);
  assert_int_equal(vecdb_client_field_rename(c, "docs", "j", "", NULL, NULL), VECDB_ERR_NAME);
  assert_int_equal(vecdb_client_json_index_create(c, "docs", "j", NULL, NULL, NULL),
                   VECDB_ERR_ARGUMENT);
  vecdb_client_close(other);
  tc_close(t);
}

/* Numbers that two clients take: each comes once, whether few or many are taken at a time. */
/* A field whose values the client has computed is another one by then: they are not written. */
static void test_made_anew(void **state) {
  (void)state;
  static const float v[TC_DIM] = {1};
  static const vecdb_field plain = {.name = "at", .type = VECDB_INT64, .flags = VECDB_NULLABLE};
  static const vecdb_schema more = {sizeof more, sizeof plain, NULL, &plain, 1};
  const vecdb_field fields[] = {
      tc_fields[0], tc_fields[2],
      {.name = "at", .type = VECDB_INT64, .flags = VECDB_DEFAULT_NOW}};
  const vecdb_schema schema = {sizeof schema, sizeof *fields, NULL, fields, 3};
  static const char *const texts[] = {"id == 1 and at > 1600000000000", "id == 2 and at is null"};
  struct tc *t = tc_open();
  vecdb_client *other = tc_client(t, nt_cluster);
  vecdb_client_layout layout = VECDB_CLIENT_LAYOUT_INIT;
  layout.shards = NT_SHARDS;
  assert_int_equal(vecdb_client_drop(other, "docs", NULL, NULL), VECDB_OK);
  assert_int_equal(vecdb_client_create(t->client, "docs", &schema, &layout, NULL, NULL), VECDB_OK);
  for (int64_t id = 1; id <= 2; id++) {
    const vecdb_column columns[] = {{.field = "id", .data = &id},
                                    {.field = "v", .data = v, .dim = TC_DIM}};
    const vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 2, 1};
    const vecdb_filter filter = {texts[id - 1], 0, NULL, 0};
    uint64_t n = 0;
    assert_int_equal(vecdb_client_insert(t->client, "docs", &batch, NULL, NULL), VECDB_OK);
    assert_int_equal(vecdb_client_count(t->client, "docs", &filter, &n, NULL, NULL), VECDB_OK);
    assert_int_equal(n, 1);
    n = id == 1 && (vecdb_client_field_drop(other, "docs", "at", NULL, NULL) ||
                    vecdb_client_fields_add(other, "docs", &more, NULL, NULL));
    assert_int_equal(n, 0);
  }
  vecdb_client_close(other);
  tc_close(t);
}

static void test_numbers(void **state) {
  (void)state;
  enum { MOST = 200000 };
  static uint8_t given[MOST];
  struct tc *t = tc_open();
  vecdb_client *clients[] = {t->client, tc_client(t, nt_cluster)};
  memset(given, 0, sizeof given);
  for (uint32_t i = 0; i < 40; i++) {
    const uint32_t n = i % 10 == 9 ? 17000 : 1 + i * 100;
    int64_t first;
    assert_int_equal(vecdb_client_numbers(clients[i % 2], n, &first, NULL, NULL), VECDB_OK);
    assert_true(first > 0 && first + n < MOST);
    for (uint32_t k = 0; k < n; k++)
      assert_int_equal(given[first + k]++, 0);
  }
  vecdb_client_close(clients[1]);
  tc_close(t);
}

/* Some fields of rows that are there, of some that are not, and of one twice. */
static void test_update(void **state) {
  (void)state;
  static const int64_t ids[] = {5, 100000, 7, 5};
  static const int32_t numbers[] = {50, 1, 70, 55};
  const vecdb_column columns[] = {{.field = "n", .data = numbers}, {.field = "id", .data = ids}};
  const vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 2, 4};
  uint8_t here[4], there[4];
  struct tc *t = tc_open();
  tc_put(t, 0, TC_ROWS);
  assert_int_equal(vecdb_client_update(t->client, "docs", &batch, 0, there, NULL, NULL), 0);
  assert_int_equal(vecdb_update(t->rows, &batch, 0, here, NULL), 0);
  assert_memory_equal(here, there, sizeof here);
  assert_int_equal(there[2], 1);
  assert_int_equal(vecdb_client_update(t->client, "docs", &batch, VECDB_UPDATE_INSERT, NULL, NULL,
                                       NULL), VECDB_ERR_MISSING_FIELD);
  const vecdb_filter filter = {"n == 55 or n == 70", 0, NULL, 0};
  uint64_t n;
  assert_int_equal(vecdb_client_count(t->client, "docs", &filter, &n, NULL, NULL), VECDB_OK);
  assert_int_equal(n, 2);
  tc_same(t);
  tc_close(t);
}

static void test_all_calls(void **state) {
  (void)state;
  struct tc *t = tc_open();
  tc_put(t, 0, TC_ROWS);
  tc_put(t, 300, TC_ROWS);
  tc_same(t);
  /* Gets: in the order of the keys, with what is not there left out. */
  const int64_t ids[] = {5, 899, -1, 7, 100000, 0};
  const vecdb_keys keys = {ids, NULL, 6};
  vecdb_client_answer *answer;
  assert_int_equal(vecdb_client_get(t->client, "docs", &keys, NULL, NULL, &answer, NULL), 0);
  assert_int_equal(vecdb_client_answer_rows(answer, 0), 4);
  static const int64_t wanted[] = {5, 899, 7, 0};
  for (size_t i = 0; i < 4; i++)
    assert_int_equal(vecdb_client_answer_key(answer, 0, i).as.integer, wanted[i]);
  assert_true(vecdb_client_answer_found(answer, 1) && !vecdb_client_answer_found(answer, 2));
  assert_int_equal(vecdb_client_answer_value(answer, 0, 1, "v").length, TC_DIM);
  vecdb_client_answer_free(answer);
  /* Queries: in the order of the keys, page by page. */
  vecdb_query_params q = VECDB_QUERY_PARAMS_INIT;
  int64_t last = -1;
  q.limit = 100;
  q.filter.text = "kind == \"sport\"";
  uint32_t seen = 0;
  for (size_t n = 1; n;) {
    q.after = (vecdb_keys){&last, NULL, 1};
    assert_int_equal(vecdb_client_query(t->client, "docs", &q, NULL, &answer, NULL), VECDB_OK);
    n = vecdb_client_answer_rows(answer, 0);
    for (size_t i = 0; i < n; i++) {
      int64_t id = vecdb_client_answer_key(answer, 0, i).as.integer;
      assert_true(id > last && id % 3 == 1);
      last = id;
      seen++;
    }
    vecdb_client_answer_free(answer);
  }
  assert_int_equal(seen, 300);
  uint64_t deleted;
  assert_int_equal(vecdb_client_delete(t->client, "docs", &keys, &deleted, NULL, NULL), VECDB_OK);
  assert_int_equal(deleted, 4);
  assert_int_equal(vecdb_delete(t->rows, &keys, NULL, NULL), VECDB_OK);
  const vecdb_filter filter = {"id > 500 and kind == \"\"", 0, NULL, 0};
  assert_int_equal(vecdb_client_delete_where(t->client, "docs", &filter, &deleted, NULL, NULL), 0);
  uint64_t here;
  assert_int_equal(vecdb_delete_where(t->rows, &filter, &here, NULL, NULL), VECDB_OK);
  assert_int_equal(deleted, here);
  tc_same(t);
  tc_close(t);
}

static void test_errors(void **state) {
  (void)state;
  static struct tc_batch b;
  struct tc *t = tc_open();
  vecdb_error error;
  uint64_t count;
  assert_int_equal(vecdb_client_create(t->client, "docs", &tc_schema, NULL, NULL, &error),
                   VECDB_ERR_EXISTS);
  assert_int_equal(vecdb_client_count(t->client, "others", NULL, &count, NULL, &error),
                   VECDB_ERR_NOT_FOUND);
  tc_put(t, 0, 50);
  tc_fill(&b, 40, 20);
  assert_int_equal(vecdb_client_insert(t->client, "docs", &b.batch, NULL, &error),
                   VECDB_ERR_EXISTS);
  assert_true(error.row >= 0 && error.row < 10); /* of the batch, not of the shard's share */
  tc_fill(&b, 100, 20);
  b.v[13 * TC_DIM] = NAN;
  assert_int_equal(vecdb_client_upsert(t->client, "docs", &b.batch, NULL, &error),
                   VECDB_ERR_NOT_FINITE);
  assert_int_equal(error.row, 13);
  assert_string_equal(error.field, "v");
  b.columns[2].field = "w";
  assert_int_equal(vecdb_client_upsert(t->client, "docs", &b.batch, NULL, &error),
                   VECDB_ERR_UNKNOWN_FIELD);
  const vecdb_filter filter = {"kind ==", 0, NULL, 0};
  assert_int_equal(vecdb_client_count(t->client, "docs", &filter, &count, NULL, &error),
                   VECDB_ERR_FILTER);
  assert_true(*error.message);
  const vecdb_field computed = {
      .name = "at", .type = VECDB_INT64, .flags = VECDB_DEFAULT_NOW | VECDB_NULLABLE};
  const vecdb_schema more = {sizeof more, sizeof computed, NULL, &computed, 1};
  assert_int_equal(vecdb_client_fields_add(t->client, "docs", &more, NULL, &error),
                   VECDB_ERR_UNSUPPORTED);
  assert_string_equal(error.field, "at");
  assert_int_equal(vecdb_client_drop(t->client, "docs", NULL, NULL), VECDB_OK);
  vecdb_client_call soon = VECDB_CLIENT_CALL_INIT;
  soon.timeout_ms = 2000;
  assert_int_not_equal(vecdb_client_count(t->client, "docs", NULL, &count, &soon, &error),
                       VECDB_OK);
  assert_string_equal(vecdb_client_code_name(VECDB_CLIENT_UNKNOWN), "VECDB_CLIENT_UNKNOWN");
  assert_string_equal(vecdb_client_code_name(VECDB_CLIENT_NO_NODE), "VECDB_CLIENT_NO_NODE");
  assert_string_equal(vecdb_client_code_name(5), "");
  tc_close(t);
}

/* A writer that numbers its writes is one over many clients: what a shard has of a number, it does
   not do again. */
static void test_writer(void **state) {
  (void)state;
  static struct tc_batch b;
  struct tc *t = tc_open();
  char nodes[256];
  uint64_t count;
  vecdb_client_options o = VECDB_CLIENT_OPTIONS_INIT;
  vecdb_client_call call = VECDB_CLIENT_CALL_INIT;
  nt_nodes(&t->nt, nodes, sizeof nodes);
  o.nodes = nodes;
  o.cluster = nt_cluster;
  o.timeout_ms = 60000;
  o.writer = 77;
  tc_fill(&b, 0, 50);
  for (int life = 0; life < 3; life++) {
    vecdb_client *writer;
    assert_int_equal(vecdb_client_open(&o, &writer, NULL), VECDB_OK);
    call.op = 1;
    assert_int_equal(vecdb_client_upsert(writer, "docs", &b.batch, &call, NULL), VECDB_OK);
    assert_int_equal(vecdb_client_count(t->client, "docs", NULL, &count, NULL, NULL), VECDB_OK);
    assert_int_equal(count, life ? 0 : 50); /* deleted since the first life */
    assert_int_equal(vecdb_client_upsert(writer, "docs", &b.batch, NULL, NULL), VECDB_ERR_OPTION);
    assert_int_equal(vecdb_client_upsert(t->client, "docs", &b.batch, &call, NULL),
                     VECDB_ERR_OPTION);
    call.op = 2;
    assert_int_equal(vecdb_client_delete_where(writer, "docs", &(vecdb_filter){.text = "true"},
                                               NULL, &call, NULL),
                     VECDB_OK);
    vecdb_client_close(writer);
  }
  tc_close(t);
}

/* Leaders change between writes, answers are lost, nodes go away: nothing is lost or twice. */
static void test_changes(void **state) {
  (void)state;
  struct tc *t = tc_open();
  tc_put(t, 0, 100);
  for (uint32_t i = 0; i < 12; i++) {
    nt_lead(&t->nt, i % NT_SHARDS, 1 + (i * 7 + 1) % NT_NODES);
    tc_put(t, 100 + i * 20, 20);
  }
  tc_same(t);
  nt_kill(&t->nt, 2);
  for (uint32_t i = 0; i < 4; i++)
    tc_put(t, 1000 + i * 20, 20);
  tc_same(t);
  nt_kill(&t->nt, 3);
  tc_put(t, 2000, 50);
  tc_same(t);
  tc_close(t);
}

/* An insert whose answer is lost is sent again, and is no second insert. */
static void test_lost_answer(void **state) {
  (void)state;
  static struct tc_batch b;
  struct tc *t = tc_open();
  tc_put(t, 0, 10);
  pthread_mutex_lock(&t->nt.mutex);
  t->nt.lose = 3;
  pthread_mutex_unlock(&t->nt.mutex);
  tc_fill(&b, 500, 40);
  assert_int_equal(vecdb_client_insert(t->client, "docs", &b.batch, NULL, NULL), VECDB_OK);
  assert_int_equal(vecdb_insert(t->rows, &b.batch, NULL, NULL), VECDB_OK);
  tc_same(t);
  tc_close(t);
}

/* A session, partial answers, fewer shards: what is asked for arrives. */
static void test_options(void **state) {
  (void)state;
  struct tc *t = tc_open();
  vecdb_client_call call = VECDB_CLIENT_CALL_INIT;
  vecdb_search_params p = VECDB_SEARCH_PARAMS_INIT;
  static struct tc_batch b;
  uint64_t count;
  call.session = vecdb_client_session_new();
  call.level = VECDB_CLIENT_SESSION;
  tc_fill(&b, 0, 100);
  assert_int_equal(vecdb_client_upsert(t->client, "docs", &b.batch, &call, NULL), VECDB_OK);
  assert_int_equal(vecdb_client_count(t->client, "docs", NULL, &count, &call, NULL), VECDB_OK);
  assert_int_equal(count, 100);
  vecdb_client_session_free(call.session);
  call = (vecdb_client_call)VECDB_CLIENT_CALL_INIT;
  call.level = vecdb_client_level_parse("Strong");
  call.shard_recall = 0.9f;
  p.queries = b.v;
  p.k = 3;
  for (int i = 0; i < 5; i++) {
    vecdb_client_answer *answer;
    uint32_t ok, asked;
    assert_int_equal(vecdb_client_search(t->client, "docs", &p, &call, &answer, NULL), VECDB_OK);
    assert_false(vecdb_client_answer_partial(answer, &ok, &asked));
    assert_true(ok == asked && asked == NT_SHARDS);
    vecdb_client_answer_free(answer);
  }
  tc_close(t);
}

/* Nobody answers, nobody is there, it is another cluster: calls end, and say why. */
static void test_nobody(void **state) {
  (void)state;
  struct tc *t = tc_open();
  vecdb_client_call call = VECDB_CLIENT_CALL_INIT;
  vecdb_error error;
  uint64_t count;
  tc_put(t, 0, 10);
  call.timeout_ms = 200;
  pthread_mutex_lock(&t->nt.mutex);
  t->nt.silent = true;
  pthread_mutex_unlock(&t->nt.mutex);
  assert_int_equal(vecdb_client_count(t->client, "docs", NULL, &count, &call, &error),
                   VECDB_ERR_TIMEOUT);
  static struct tc_batch b;
  tc_fill(&b, 0, 5);
  assert_int_equal(vecdb_client_upsert(t->client, "docs", &b.batch, &call, &error),
                   VECDB_CLIENT_UNKNOWN);
  vecdb_client *other = tc_client(t, "ffffffffffffffffffffffffffffffff");
  assert_int_equal(vecdb_client_count(other, "docs", NULL, &count, &call, &error),
                   VECDB_CLIENT_NO_NODE);
  assert_non_null(strstr(error.message, "cluster"));
  vecdb_client_close(other);
  for (uint32_t i = 1; i <= NT_NODES; i++)
    nt_kill(&t->nt, i);
  assert_int_not_equal(vecdb_client_count(t->client, "docs", NULL, &count, &call, &error), 0);
  other = tc_client(t, nt_cluster);
  assert_int_equal(vecdb_client_count(other, "docs", NULL, &count, &call, &error),
                   VECDB_CLIENT_NO_NODE);
  assert_int_equal(vecdb_client_create(other, "new", &tc_schema, NULL, &call, &error),
                   VECDB_CLIENT_NO_NODE);
  vecdb_client_close(other);
  tc_close(t);
}

static void test_bad_options(void **state) {
  (void)state;
  static const char *const nodes[] = {"",   "127.0.0.1:1",   "0@127.0.0.1:1",
                                      "1@", "x@127.0.0.1:1", "2147483648@127.0.0.1:1"};
  vecdb_client_options o = VECDB_CLIENT_OPTIONS_INIT;
  vecdb_client *client;
  vecdb_error error;
  o.cluster = nt_cluster;
  for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) {
    o.nodes = nodes[i];
    assert_int_equal(vecdb_client_open(&o, &client, &error), VECDB_ERR_ARGUMENT);
    assert_null(client);
  }
  o.nodes = "1@127.0.0.1:1";
  o.cluster = "123";
  assert_int_equal(vecdb_client_open(&o, &client, &error), VECDB_ERR_ARGUMENT);
  o.cluster = nt_cluster;
  o.id = 5;
  assert_int_equal(vecdb_client_open(&o, &client, &error), VECDB_ERR_ARGUMENT);
  o.size = 3;
  assert_int_equal(vecdb_client_open(&o, &client, &error), VECDB_ERR_OPTION);
}

/* Many threads, one client. */
static void *tc_worker(void *arg) {
  struct tc *t = arg;
  static int64_t turn;
  int64_t first = 10000 * (1 + __atomic_fetch_add(&turn, 1, __ATOMIC_RELAXED));
  struct tc_batch *b = malloc(sizeof *b);
  intptr_t failed = 0;
  for (uint32_t i = 0; i < TEST_SIZES(30, 10, 5); i++) {
    vecdb_search_params p = VECDB_SEARCH_PARAMS_INIT;
    vecdb_client_answer *answer;
    tc_fill(b, first + i * 10, 10);
    failed += vecdb_client_upsert(t->client, "docs", &b->batch, NULL, NULL) != 0;
    p.queries = b->v;
    p.k = 1;
    int code = vecdb_client_search(t->client, "docs", &p, NULL, &answer, NULL);
    failed += code != 0;
    if (!code)
      vecdb_client_answer_free(answer);
  }
  free(b);
  return (void *)failed;
}

static void test_threads(void **state) {
  (void)state;
  struct tc *t = tc_open();
  pthread_t threads[4];
  uint64_t count;
  for (int i = 0; i < 4; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, tc_worker, t), 0);
  for (int i = 0; i < 4; i++) {
    void *failed;
    pthread_join(threads[i], &failed);
    assert_null(failed);
  }
  assert_int_equal(vecdb_client_count(t->client, "docs", NULL, &count, NULL, NULL), VECDB_OK);
  assert_int_equal(count, 4 * 10 * TEST_SIZES(30, 10, 5));
  tc_close(t);
}

static void test_tls(void **state) {
  (void)state;
  enum { CLIENT = 2147483700u };
  char folder[] = "/tmp/test_client_XXXXXX", path[3][64], nodes[256], command[96];
  struct nt *nt = calloc(1, sizeof *nt);
  vecdb_client_options o = VECDB_CLIENT_OPTIONS_INIT;
  vecdb_client_layout layout = VECDB_CLIENT_LAYOUT_INIT;
  vecdb_client *client;
  static struct tc_batch b;
  uint64_t count;
  assert_non_null(mkdtemp(folder));
  nt_certify(folder, CLIENT);
  nt_open(nt, folder);
  nt_nodes(nt, nodes, sizeof nodes);
  snprintf(path[0], 64, "%s/ca.pem", folder);
  snprintf(path[1], 64, "%s/n0.pem", folder);
  snprintf(path[2], 64, "%s/n0.key", folder);
  o = (vecdb_client_options){.size = sizeof o,
                             .nodes = nodes,
                             .cluster = nt_cluster,
                             .ca_file = path[0],
                             .cert_file = path[1],
                             .key_file = path[2],
                             .id = CLIENT,
                             .timeout_ms = 60000};
  assert_int_equal(vecdb_client_open(&o, &client, NULL), VECDB_OK);
  layout.shards = NT_SHARDS;
  tc_fill(&b, 0, 100);
  assert_int_equal(vecdb_client_create(client, "docs", &tc_schema, &layout, NULL, NULL), VECDB_OK);
  assert_int_equal(vecdb_client_upsert(client, "docs", &b.batch, NULL, NULL), VECDB_OK);
  assert_int_equal(vecdb_client_count(client, "docs", NULL, &count, NULL, NULL), VECDB_OK);
  assert_int_equal(count, 100);
  vecdb_client_close(client);
  nt_close(nt);
  free(nt);
  snprintf(command, sizeof command, "rm -r %s", folder);
  assert_int_equal(system(command), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_all_calls),   cmocka_unit_test(test_errors),
      cmocka_unit_test(test_changes),     cmocka_unit_test(test_lost_answer),
      cmocka_unit_test(test_options),     cmocka_unit_test(test_nobody),
      cmocka_unit_test(test_bad_options), cmocka_unit_test(test_threads),
      cmocka_unit_test(test_groups),      cmocka_unit_test(test_hybrid),
      cmocka_unit_test(test_update),      cmocka_unit_test(test_fields),
      cmocka_unit_test(test_reshapes),    cmocka_unit_test(test_made_anew),
      cmocka_unit_test(test_numbers),     cmocka_unit_test(test_tenants),
      cmocka_unit_test(test_tls),         cmocka_unit_test(test_writer),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
