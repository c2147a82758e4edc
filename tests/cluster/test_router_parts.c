/*
 * test_router_parts.c - parts of a router on their own: where rows belong, what is known of nodes,
 * budgets, which shards a search needs.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "client/defaults.h"
#include "router/health.h"
#include "router/prune.h"
#include "router/result.h"
#include "router/smart.h"
#include "router/split.h"
#include "router/state.h"
#include "router/summary.h"

/* ---- Where rows belong, by each policy ---- */

static const vecdb_field tr_fields[] = {
    {.name = "id", .type = VECDB_VARCHAR, .flags = VECDB_PRIMARY_KEY, .max_length = 64},
    {.name = "n", .type = VECDB_INT64},
    {.name = "v", .type = VECDB_FLOAT16_VECTOR, .dim = 2},
};

/* A map of 4 shards of 4 slots each; ranges begin at `from`. */
static void tr_policy(struct router_map *map, enum doc_policy policy, const char *by,
                      struct doc_splits splits) {
  static const vecdb_schema schema = {sizeof schema, sizeof *tr_fields, NULL, tr_fields, 3};
  static uint16_t of[] = {0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3};
  static struct router_shard shards[4] = {
      {.known = true}, {.known = true}, {.known = true}, {.known = true}};
  *map = (struct router_map){.schema = schema,
                             .slots = {.n = 16, .shard = of},
                             .splits = splits,
                             .key = tr_fields,
                             .n_shards = 4,
                             .shards = shards};
  map->coll.policy = policy;
  map->by = wire_schema_field(&map->schema, by);
  map->route = (struct place_route){policy, 16, 4, &map->splits};
}

static uint32_t tr_shard_of(const struct router_shares *shares, uint32_t row) {
  for (uint32_t i = 0; i < shares->n; i++)
    for (uint32_t j = 0; j < shares->shares[i].n; j++)
      if (shares->shares[i].at[j] == row)
        return shares->shares[i].shard;
  return UINT32_MAX;
}

static void test_policies(void **state) {
  (void)state;
  static const char *const ids[] = {"a", "b", "c", "d", "a"};
  static const int64_t numbers[] = {-5, 10, 15, 400, 10};
  static const uint16_t vectors[] = {0x3c00, 0, 0x4200, 0x4400, 0, 0, 0xd000, 0, 0x4500, 0};
  const struct wire_column columns[] = {
      {"id", VECDB_VARCHAR, 0, 0, ids, 0, NULL, NULL},
      {"n", VECDB_INT64, 0, 0, numbers, 0, NULL, NULL},
      {"v", VECDB_FLOAT16_VECTOR, 0, 2, vectors, 0, NULL, NULL},
  };
  const struct wire_columns rows = {5, 3, columns, NULL};
  struct doc_range by_n[4] = {
      {.n_slots = 4}, {{.number = 10}, 4, 4}, {{.number = 20}, 8, 4}, {{.number = 300}, 12, 4}};
  struct doc_range by_norm[4] = {{{DOC_KEY_FLOAT, 0, 0, ""}, 0, 4},
                                 {{DOC_KEY_FLOAT, 0, 2, ""}, 4, 4},
                                 {{DOC_KEY_FLOAT, 0, 5, ""}, 8, 4},
                                 {{DOC_KEY_FLOAT, 0, 32, ""}, 12, 4}};
  static const uint32_t n_wanted[] = {0, 1, 1, 3, 1}, norm_wanted[] = {0, 2, 0, 3, 2};
  struct router_map map;
  struct router_shares shares;
  struct wire_mem mem = {0};
  vecdb_error error;
  tr_policy(&map, DOC_RANGE, "n", (struct doc_splits){4, by_n});
  assert_int_equal(router_split_rows(&map, &rows, &mem, &shares, &error), VECDB_OK);
  for (uint32_t i = 0; i < 5; i++)
    assert_int_equal(tr_shard_of(&shares, i), n_wanted[i]);
  tr_policy(&map, DOC_RANGE, "v", (struct doc_splits){4, by_norm});
  assert_int_equal(router_split_rows(&map, &rows, &mem, &shares, &error), VECDB_OK);
  for (uint32_t i = 0; i < 5; i++)
    assert_int_equal(tr_shard_of(&shares, i), norm_wanted[i]);
  /* Keys alone do not say where such rows are: every shard is asked. */
  const vecdb_string key = {"a", 1};
  const vecdb_keys keys = {NULL, &key, 1};
  assert_int_equal(router_split_keys(&map, &keys, &mem, &shares, &error), VECDB_OK);
  assert_true(shares.n == 4 && !shares.shares[0].at);
  tr_policy(&map, DOC_TENANT, "n", (struct doc_splits){0});
  assert_int_equal(router_split_rows(&map, &rows, &mem, &shares, &error), VECDB_OK);
  assert_int_equal(tr_shard_of(&shares, 1), tr_shard_of(&shares, 4)); /* one tenant, one window */
  tr_policy(&map, DOC_HASH, "", (struct doc_splits){0});
  assert_int_equal(router_split_rows(&map, &rows, &mem, &shares, &error), VECDB_OK);
  uint32_t home = tr_shard_of(&shares, 0);
  assert_int_equal(tr_shard_of(&shares, 4), home); /* one key, one shard */
  assert_int_equal(router_split_keys(&map, &keys, &mem, &shares, &error), VECDB_OK);
  assert_true(shares.n == 1 && shares.shares[0].shard == home);
  assert_int_equal(router_split_keys(&map, &(vecdb_keys){numbers, NULL, 1}, &mem, &shares, &error),
                   VECDB_ERR_TYPE);
  wire_mem_free(&mem);
}

/* The slot of one row, as a node that has the row finds it, is where the router sends the row. */
static void test_slot_of_row(void **state) {
  (void)state;
  static const char *const ids[] = {"a", "b", "c", "d"};
  static const int64_t numbers[] = {-5, 10, 15, 400};
  const struct wire_column columns[] = {{"id", VECDB_VARCHAR, 0, 0, ids, 0, NULL, NULL},
                                        {"n", VECDB_INT64, 0, 0, numbers, 0, NULL, NULL}};
  const struct wire_columns rows = {4, 2, columns, NULL};
  struct doc_range ranges[2] = {{.n_slots = 8}, {{.number = 15}, 8, 8}};
  static const enum doc_policy policies[] = {DOC_HASH, DOC_TENANT, DOC_RANGE};
  struct router_map map;
  struct router_shares shares;
  struct wire_mem mem = {0};
  vecdb_error error;
  for (size_t p = 0; p < 3; p++) {
    tr_policy(&map, policies[p], policies[p] == DOC_HASH ? "" : "n",
              (struct doc_splits){2, ranges});
    assert_int_equal(router_split_rows(&map, &rows, &mem, &shares, &error), VECDB_OK);
    for (uint32_t i = 0; i < 4; i++) {
      const vecdb_value key = wire_columns_value(&rows, i, 0), by = wire_columns_value(&rows, i, 1);
      assert_int_equal(map.slots.shard[router_split_slot(&map.route, &key, &by)],
                       tr_shard_of(&shares, i));
    }
  }
  wire_mem_free(&mem);
}

/* Tenants are told apart by values that can be hashed as they are. */
static void test_tenant_fields(void **state) {
  (void)state;
  static const struct {
    const char *field;
    bool good;
  } cases[] = {{"n", true}, {"id", true}, {"v", false}, {"x", false}, {"none", false}};
  struct doc_coll coll = {.id = 1, .slots = 16, .window = 1, .shards = 1, .replicas = 1,
                          .min_isr = 1, .policy = DOC_TENANT};
  char why[DOC_TEXT_MAX];
  strcpy(coll.name, "docs");
  coll.schema = strdup("{\"fields\": [{\"name\": \"id\", \"type\": \"VARCHAR\", "
                       "\"max_length\": 8, \"primary_key\": true}, "
                       "{\"name\": \"n\", \"type\": \"INT64\"}, "
                       "{\"name\": \"x\", \"type\": \"DOUBLE\"}, "
                       "{\"name\": \"v\", \"type\": \"FLOAT_VECTOR\", \"dim\": 2}]}");
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    size_t n;
    strcpy(coll.field, cases[i].field);
    char *text = doc_coll_write(&coll, &n);
    const struct wire_document d = {.kind = DOC_PATH_COLL, .a = 1, .text = text, .n = n};
    assert_null(router_map_make(&d, 1, why));
    /* Where the field is good, the next thing is missing. */
    if (!strstr(why, cases[i].good ? "slots" : "tenants"))
      fail_msg("%s: %s", cases[i].field, why);
    free(text);
  }
  doc_coll_free(&coll);
}

/* A message of few bytes cannot ask for more hits than an answer can have. */
static void test_hits(void **state) {
  (void)state;
  static const float queries[64] = {0};
  static const struct {
    uint32_t k, hits, n;
    enum wire_status status;
  } cases[] = {{VECDB_MAX_K, 0, 64, WIRE_OK},          {VECDB_MAX_K / 128, 128, 64, WIRE_OK},
               {VECDB_MAX_K, VECDB_MAX_K, 1, WIRE_BAD}, {VECDB_MAX_K, 2, 1, WIRE_BAD},
               {VECDB_MAX_K / 128, 129, 1, WIRE_BAD}};
  struct wire_message m = {.kind = WIRE_SEARCH}, back;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct wire_out out;
    struct wire_mem mem = {0};
    m.has = WIRE_HAS(WIRE_TARGET) | WIRE_HAS(WIRE_VECTORS) | WIRE_HAS(WIRE_READ) |
            (cases[i].hits ? WIRE_HAS(WIRE_GROUP) : 0);
    m.search = (struct wire_search){.field = "v", .k = cases[i].k, .n_queries = cases[i].n,
                                    .type = VECDB_FLOAT_VECTOR, .dim = 1, .queries = queries};
    m.group = (struct wire_group){"n", cases[i].hits};
    wire_out_init(&out, WIRE_LIMIT);
    wire_message_write(&m, &out);
    assert_int_equal(out.status, WIRE_OK);
    assert_int_equal(wire_message_read(out.data, out.n, &mem, &back), cases[i].status);
    wire_mem_free(&mem);
    wire_out_free(&out);
  }
}

/* ---- Which shards a filter leaves ---- */

/* A bit for each shard that is needed. */
static unsigned tr_needed(const struct router_map *map, const char *text, int64_t value) {
  const vecdb_param params[] = {{"x", {.type = VECDB_INT64, .as.integer = value}},
                                {"f", {.type = VECDB_DOUBLE, .as.number = 3}}};
  const vecdb_filter filter = {text, 0, params, 2};
  bool needed[4] = {true, true, true, true};
  unsigned bits = 0;
  prune_shards(map, &filter, needed);
  for (unsigned i = 0; i < 4; i++)
    bits |= (unsigned)needed[i] << i;
  return bits;
}

static void test_prune(void **state) {
  (void)state;
  struct doc_range by_n[4] = {
      {.n_slots = 4}, {{.number = 10}, 4, 4}, {{.number = 20}, 8, 4}, {{.number = 300}, 12, 4}};
  static const struct {
    const char *text;
    unsigned range; /* shards needed where n is the field of ranges */
    bool tenant;    /* whether one shard will do where it is that of tenants */
  } cases[] = {
      {"n == 15", 2, true},
      {"n==-3", 1, true},
      {"n == {x}", 8, true},
      {"id == \"a\" and n == 300", 8, true},
      {"(n == 15) and n >= 20 AND n < 300", 4 | 8, false},
      {"n > 9", 15, false},
      {"n >= 10 && n <= 19", 2, false},
      {"n < 10", 1 | 2, false},
      {"(id == 'x' or n < 0) and n == 20", 4, true},
      {"n == 15 and n == 400", 0, false},
      /* What could make a condition count for less, and what is not looked at. */
      {"n == 15 or id == 'a'", 15, false},
      {"n == 15 || id == 'a'", 15, false},
      {"not n == 15", 15, false},
      {"!(id == 'a') and n == 15", 15, false},
      {"n != 15", 15, false},
      {"n in [15, 16]", 15, false},
      {"n == 15.5", 15, false},
      {"n == {f}", 15, false},
      {"n == {y}", 15, false},
      {"n == 0x10", 15, false},
      {"n == 15 + 300", 15, false},
      {"1 < n < 5", 15, false},
      {"id == 'a\\' and n == 15 and id == \\'b'", 15, false},
      {"id == ' and n == 15 and '", 15, false},
      {"m == 15 and nn == 15", 15, false},
      {"n == 15 and (", 15, false},
      {"n == 15) and (n == 15", 15, false},
      {"n == 99999999999999999999", 15, false},
      {"", 15, false},
  };
  struct router_map map;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    tr_policy(&map, DOC_RANGE, "n", (struct doc_splits){4, by_n});
    if (tr_needed(&map, cases[i].text, 5000) != cases[i].range)
      fail_msg("%s", cases[i].text);
    tr_policy(&map, DOC_TENANT, "n", (struct doc_splits){0});
    unsigned bits = tr_needed(&map, cases[i].text, 5000);
    if (cases[i].tenant != (bits && !(bits & (bits - 1))))
      fail_msg("%s: %x", cases[i].text, bits);
    tr_policy(&map, DOC_HASH, "", (struct doc_splits){0});
    assert_int_equal(tr_needed(&map, cases[i].text, 5000), 15);
  }
}

/* ---- Parts on their own ---- */

static void test_latency(void **state) {
  (void)state;
  struct latency l = {0};
  for (int i = 0; i < LATENCY_FEWEST - 1; i++)
    latency_add(&l, 1000);
  assert_true(latency_p95(&l) == INT64_MAX);
  for (int i = 0; i < 400; i++)
    latency_add(&l, i % 100 < 94 ? 1000 : 50000);
  assert_true(latency_p95(&l) >= 50000 / 2 && latency_p95(&l) <= 60000);
  for (int i = 0; i < 5000; i++)
    latency_add(&l, 300);
  assert_true(latency_p95(&l) >= 300 && latency_p95(&l) <= 360);
  latency_add(&l, 0);
  latency_add(&l, INT64_MAX);
}

static void test_breaker(void **state) {
  (void)state;
  struct breaker b = {0};
  int64_t now_us = 1;
  for (int i = 0; i < BREAKER_IN_A_ROW; i++) {
    assert_true(breaker_allows(&b, now_us));
    breaker_begin(&b, now_us);
    breaker_end(&b, false, now_us, 0);
  }
  for (int64_t open_us = BREAKER_FIRST_US; open_us < 4 * BREAKER_LAST_US; open_us *= 2) {
    int64_t wait_us = open_us < BREAKER_LAST_US ? open_us : BREAKER_LAST_US;
    assert_false(breaker_allows(&b, now_us + wait_us - 1));
    now_us += wait_us;
    assert_true(breaker_allows(&b, now_us));
    breaker_begin(&b, now_us);
    assert_false(breaker_allows(&b, now_us)); /* one at a time */
    breaker_end(&b, false, now_us, 0);
  }
  now_us += BREAKER_LAST_US;
  breaker_begin(&b, now_us);
  breaker_forget(&b); /* it was cancelled: another one may be sent */
  assert_true(breaker_allows(&b, now_us));
  breaker_begin(&b, now_us);
  breaker_end(&b, true, now_us, 0);
  /* Every second one fails: it opens when there are enough of them. */
  for (int i = 0; i < BREAKER_FEWEST - 1; i++)
    breaker_end(&b, i % 2, now_us, 0);
  assert_true(breaker_allows(&b, now_us));
  breaker_end(&b, false, now_us, 0);
  assert_false(breaker_allows(&b, now_us));
}

static void test_budget(void **state) {
  (void)state;
  struct budget b;
  uint32_t spent = 0, asked = 0;
  budget_init(&b, 50, 20, 3, 2000);
  for (int i = 0; i < 3; i++)
    assert_true(budget_spend(&b, 0));
  assert_false(budget_spend(&b, 0));
  for (int i = 0; i < 10000; i++) {
    budget_request(&b);
    asked++;
    for (int j = 0; j < 3; j++)
      spent += budget_spend(&b, 0);
    assert_true(spent * 20 <= asked);
  }
  assert_int_equal(spent, 500);
  for (int i = 0; i < 10000; i++)
    budget_request(&b);
  for (spent = 0; budget_spend(&b, 0);)
    spent++;
  assert_int_equal(spent, 20); /* more is not saved up */
  for (spent = 0; budget_spend(&b, 3000000);)
    spent++;
  assert_int_equal(spent, 6);
}

/* Shards of rows around places of their own: few are asked, and what the wish says is found. */
static void test_smart(void **state) {
  (void)state;
  enum { SHARDS = 8, DIM = 8 };
  struct smart smart = {0};
  float centres[SHARDS][DIM], radius = 0;
  uint64_t rows = 1, random = 9;
  for (uint32_t i = 0; i < SHARDS; i++) {
    for (uint32_t d = 0; d < DIM; d++)
      centres[i][d] = d == i % DIM ? 10 : 0;
    const struct wire_summary summary = {"v", DIM, 1, 1, centres[i], &radius, &rows, 0, 1};
    assert_true(smart_set(&smart, i, &summary));
  }
  double found = 0, asked = 0;
  for (int i = 0; i < 3000; i++) {
    float query[DIM], gaps[SHARDS];
    uint32_t had[SHARDS] = {0};
    random = random * 6364136223846793005u + 1442695040888963407u;
    uint32_t home = (uint32_t)(random >> 40) % SHARDS, next = (home + 1) % SHARDS;
    for (uint32_t d = 0; d < DIM; d++)
      query[d] = centres[home][d] * 0.8f + centres[next][d] * 0.3f;
    had[home] = 9;
    had[next] = 1;
    assert_true(smart_gaps(&smart, VECDB_L2, query, SHARDS, gaps));
    assert_true(!(gaps[home] > 0));
    float limit = smart_gap(&smart, 0.95f);
    assert_true(i < SMART_FEWEST ? isinf(limit) : isfinite(limit));
    for (uint32_t s = 0; i >= SMART_FEWEST && s < SHARDS; s++) {
      asked += gaps[s] <= limit;
      found += gaps[s] <= limit ? had[s] / 10.0 : 0;
    }
    smart_learn(&smart, gaps, had, SHARDS);
  }
  assert_true(found / (3000 - SMART_FEWEST) >= 0.95);
  assert_true(asked / (3000 - SMART_FEWEST) < 3);
  const struct wire_summary other = {"v", DIM + 1, 1, 1, centres[0], &radius, &rows, 0, 1};
  assert_false(smart_set(&smart, 0, &other));
  smart_free(&smart);
}

/* Every vector lies in the ball of its centroid, and groups that are apart have one each. */
static void test_summary(void **state) {
  (void)state;
  enum { GROUPS = 5, EACH = 40, DIM = 3 };
  static float vectors[GROUPS * EACH][DIM];
  struct wire_mem mem = {0};
  struct wire_summary s;
  uint64_t random = 3, rows = 0;
  for (uint32_t i = 0; i < GROUPS * EACH; i++)
    for (uint32_t d = 0; d < DIM; d++) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      vectors[i][d] = (float)(random >> 40) / (1 << 24) + (float)(i / EACH * 10 * (d + 1));
    }
  assert_true(router_summarise(vectors[0], GROUPS * EACH, DIM, GROUPS, &mem, &s));
  assert_int_equal(s.n, GROUPS);
  for (uint32_t i = 0; i < GROUPS * EACH; i++) {
    double square = 0, norm = 0;
    float found;
    uint32_t c = router_nearest(&s, vectors[i], &found);
    assert_int_equal(c, router_nearest(&s, vectors[i / EACH * EACH], &found));
    for (uint32_t d = 0; d < DIM; d++) {
      double apart = (double)vectors[i][d] - (double)s.centroids[c * DIM + d];
      square += apart * apart;
      norm += (double)vectors[i][d] * (double)vectors[i][d];
    }
    assert_true(sqrt(square) <= (double)s.radii[c] && s.radii[c] < 2);
    assert_true(sqrt(norm) <= (double)s.norm_max && sqrt(norm) >= (double)s.norm_min);
  }
  for (uint32_t c = 0; c < GROUPS; c++)
    rows += s.rows[c];
  assert_int_equal(rows, GROUPS * EACH);
  assert_true(router_summarise(vectors[0], 2, DIM, 9, &mem, &s));
  assert_int_equal(s.n, 2);
  assert_false(router_summarise(vectors[0], 0, DIM, 9, &mem, &s));
  wire_mem_free(&mem);
}

/* ---- What a write ends with ---- */

static int tr_ends(enum wire_write_kind kind, struct part *a, struct part *b) {
  const struct wire_message m = {.kind = WIRE_WRITE, .write = {.kind = kind}};
  struct part *parts[] = {a, b};
  struct request q = {.ask = {.message = &m}, .parts = parts, .n_parts = 2};
  struct router_result *result = result_make(&q);
  assert_non_null(result);
  int code = result->result.code;
  router_result_free(result);
  return code;
}

/* "Another schema" says that nothing was done, and that the write may be made anew: not where a
   part of it may have happened. */
static void test_doubt(void **state) {
  struct part schema = {.state = PART_FAILED, .code = WIRE_SCHEMA};
  struct part other = schema;
  (void)state;
  assert_int_equal(tr_ends(WIRE_PUSH, &schema, &other), WIRE_SCHEMA);
  other.code = WIRE_UNKNOWN;
  assert_int_equal(tr_ends(WIRE_PUSH, &schema, &other), WIRE_UNKNOWN);
  assert_int_equal(tr_ends(WIRE_INSERT, &other, &schema), WIRE_UNKNOWN);
  other = (struct part){.state = PART_FAILED, .code = WIRE_UNAVAILABLE, .doubt = true};
  assert_int_equal(tr_ends(WIRE_PUSH, &schema, &other), WIRE_UNKNOWN);
  other.doubt = false;
  assert_int_equal(tr_ends(WIRE_PUSH, &schema, &other), WIRE_SCHEMA);
}

/* ---- Defaults that are computed ---- */

enum { TR_ROWS = 40, TR_UUID = 36 };

static const vecdb_field tr_computed[] = {
    {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
    {.name = "at", .type = VECDB_INT64, .flags = VECDB_DEFAULT_NOW},
    {.name = "u", .type = VECDB_VARCHAR, .max_length = TR_UUID, .flags = VECDB_DEFAULT_UUID},
    {.name = "maybe", .type = VECDB_INT64, .flags = VECDB_DEFAULT_NOW | VECDB_NULLABLE}};
static const vecdb_schema tr_computed_schema = {sizeof(vecdb_schema), sizeof(vecdb_field), NULL,
                                                tr_computed, 4};

/* Each a UUID of version 7, of that moment, and none twice. */
static void tr_uuids(const struct wire_columns *rows, size_t column, int64_t ms) {
  char text[TR_ROWS][TR_UUID + 1];
  for (uint32_t i = 0; i < TR_ROWS; i++) {
    const vecdb_value v = wire_columns_value(rows, i, column);
    assert_int_equal(v.length, TR_UUID);
    snprintf(text[i], sizeof text[i], "%.36s", (const char *)v.as.data);
    assert_int_equal(strspn(text[i], "0123456789abcdef-"), TR_UUID);
    assert_true(text[i][8] == '-' && text[i][13] == '-' && text[i][18] == '-');
    assert_true(text[i][23] == '-' && text[i][14] == '7' && strchr("89ab", text[i][19]));
    assert_int_equal(strtoull(text[i], NULL, 16) << 16 | strtoull(text[i] + 9, NULL, 16), ms);
    for (uint32_t k = 0; k < i; k++)
      assert_string_not_equal(text[k], text[i]);
  }
}

/* Rows that say nothing get values; what they say holds, and null only where the field may be. */
static void test_computed(void **state) {
  (void)state;
  int64_t ids[TR_ROWS] = {0}, sevens[TR_ROWS];
  const char *mine[TR_ROWS];
  uint8_t valid[TR_ROWS];
  struct wire_mem mem = {0};
  for (int i = 0; i < TR_ROWS; i++) {
    sevens[i] = 7;
    mine[i] = "mine";
    valid[i] = (uint8_t)(i % 2);
  }
  const struct wire_column key = {.name = "id", .type = VECDB_INT64, .data = ids};
  struct wire_columns rows = {TR_ROWS, 1, &key, NULL};
  const int64_t from = (int64_t)time(NULL) * 1000;
  assert_string_equal(defaults_missing(&tr_computed_schema, &rows), "at");
  assert_int_equal(defaults_fill(&tr_computed_schema, false, &mem, &rows, NULL), VECDB_OK);
  assert_int_equal(rows.n_columns, 1); /* an update leaves them alone */
  assert_int_equal(defaults_fill(&tr_computed_schema, true, &mem, &rows, NULL), VECDB_OK);
  assert_int_equal(rows.n_columns, 4);
  assert_null(defaults_missing(&tr_computed_schema, &rows));
  const int64_t at = wire_columns_value(&rows, 0, 1).as.integer;
  assert_true(at >= from && at <= ((int64_t)time(NULL) + 1) * 1000);
  assert_int_equal(wire_columns_value(&rows, TR_ROWS - 1, 1).as.integer, at);
  assert_int_equal(wire_columns_value(&rows, TR_ROWS - 1, 3).type, VECDB_INT64);
  tr_uuids(&rows, 2, at);
  /* Half of the rows say something. */
  const struct wire_column some[] = {
      key,
      {.name = "at", .type = VECDB_INT64, .data = sevens, .valid = valid},
      {.name = "u", .type = VECDB_VARCHAR, .data = mine, .valid = valid},
      {.name = "maybe", .type = VECDB_INT64, .data = sevens, .valid = valid}};
  rows = (struct wire_columns){TR_ROWS, 4, some, NULL};
  assert_int_equal(defaults_fill(&tr_computed_schema, true, &mem, &rows, NULL), VECDB_OK);
  assert_true(wire_columns_value(&rows, 0, 1).as.integer >= at);
  assert_int_equal(wire_columns_value(&rows, 1, 1).as.integer, 7);
  assert_int_equal(wire_columns_value(&rows, 0, 2).length, TR_UUID);
  assert_int_equal(wire_columns_value(&rows, 1, 2).length, 4);
  assert_int_equal(wire_columns_value(&rows, 0, 3).type, 0);
  wire_mem_free(&mem);
}

/* A target of before there were generations, which end its section: its generation is 0. */
static void test_earlier_target(void **state) {
  (void)state;
  const struct wire_message m = {
      .kind = WIRE_STATS, .has = WIRE_HAS(WIRE_TARGET), .target = {3, 4, 5, 6, 7, 8}};
  struct wire_message back;
  struct wire_mem mem = {0};
  struct wire_out out;
  wire_out_init(&out, WIRE_LIMIT);
  wire_message_write(&m, &out);
  assert_int_equal(wire_message_read(out.data, out.n, &mem, &back), WIRE_OK);
  assert_int_equal(back.target.generation, 8);
  const uint32_t whole = (uint32_t)out.n - 8, section = 32;
  memcpy(out.data + 4, &whole, sizeof whole);
  memcpy(out.data + 16 + 4, &section, sizeof section);
  assert_int_equal(wire_message_read(out.data, whole, &mem, &back), WIRE_OK);
  assert_int_equal(back.target.rev, 7);
  assert_int_equal(back.target.generation, 0);
  wire_mem_free(&mem);
  wire_out_free(&out);
}

/* A push has a key, a vector and nothing else, or the versions that it expects. */
static void test_expected(void **state) {
  (void)state;
  static const int64_t ids[] = {7, -1};
  static const float vectors[] = {1, 2};
  static const uint8_t valid[] = {1, 0};
  static const struct wire_column third[] = {
      {WIRE_VERSION_COLUMN, VECDB_INT64, 0, 0, ids, 0, NULL, NULL},
      {"other", VECDB_INT64, 0, 0, ids, 0, NULL, NULL},
      {WIRE_VERSION_COLUMN, VECDB_BOOL, 0, 0, valid, 0, NULL, NULL},
      {WIRE_VERSION_COLUMN, VECDB_INT64, 0, 0, NULL, 0, NULL, NULL},
      {WIRE_VERSION_COLUMN, VECDB_INT64, 0, 0, ids, 0, NULL, valid}};
  for (size_t i = 0; i < sizeof third / sizeof *third; i++) {
    const struct wire_column columns[] = {
        {"id", VECDB_INT64, 0, 0, ids, 0, NULL, NULL},
        {"v", VECDB_FLOAT_VECTOR, 0, 1, vectors, 0, NULL, NULL},
        third[i]};
    const struct wire_message m = {
        .kind = WIRE_WRITE,
        .has = WIRE_HAS(WIRE_TARGET) | WIRE_HAS(WIRE_OP) | WIRE_HAS(WIRE_BATCH),
        .write = {.client = 1, .count = 1, .kind = WIRE_PUSH},
        .rows = {2, 3, columns, NULL}};
    struct wire_message back;
    struct wire_mem mem = {0};
    struct wire_out out;
    wire_out_init(&out, WIRE_LIMIT);
    wire_message_write(&m, &out);
    assert_int_equal(wire_message_read(out.data, out.n, &mem, &back), i ? WIRE_BAD : WIRE_OK);
    if (!i)
      assert_memory_equal(wire_push_expected(&back), ids, sizeof ids);
    wire_mem_free(&mem);
    wire_out_free(&out);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_prune),   cmocka_unit_test(test_policies),
                                     cmocka_unit_test(test_slot_of_row),
                                     cmocka_unit_test(test_earlier_target),
      cmocka_unit_test(test_expected),
      cmocka_unit_test(test_tenant_fields), cmocka_unit_test(test_hits),
      cmocka_unit_test(test_doubt),
      cmocka_unit_test(test_computed),
      cmocka_unit_test(test_latency), cmocka_unit_test(test_breaker),
      cmocka_unit_test(test_budget),  cmocka_unit_test(test_smart),
      cmocka_unit_test(test_summary),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
