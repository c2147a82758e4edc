/*
 * test_api_cache.c - the cache of results: a database with it beside one without gives the same
 * answers after whatever happens to both, also to readers that follow; and no search is answered
 * with what was before a write that has returned. Nothing that a result depends on is left out of
 * its key.
 */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>

#include "tlib/apitest.h"
#include "tlib/thorough.h"

enum { K = 6, QUERIES = 5, KEYS = 60 };

/* Time as the test says. */
static _Atomic uint64_t wall_ms = 1000000;

static uint64_t wall_ns(void *user) {
  (void)user;
  return atomic_load(&wall_ms) * 1000000;
}

static vecdb_memory memory_of(vecdb *db) {
  vecdb_memory m = VECDB_MEMORY_INIT;
  at_ok(vecdb_memory_stats(db, &m, &at_err));
  return m;
}

/* A database that is written to, and a reader that follows it. */
struct side {
  vecdb *db, *reader;
  vecdb_collection *coll, *read;
};

static void side_open(struct side *s, const char *path, uint64_t cache_bytes) {
  vecdb_options o = VECDB_OPTIONS_INIT;
  vecdb_clock clock = {wall_ns, wall_ns, NULL};
  o.flags = VECDB_HOST_DRIVEN;
  o.clock = &clock;
  o.cache_bytes = cache_bytes;
  o.index_rows = 16;
  o.durability = VECDB_DURABLE_OFF;
  s->db = at_open(path, &o);
  s->coll = at_small(s->db, "c");
  o.flags = VECDB_READ_ONLY;
  s->reader = at_open(path, &o);
  at_ok(vecdb_collection_get(s->reader, "c", &s->read, &at_err));
}

static void side_close(struct side *s) {
  vecdb_collection_release(s->coll);
  vecdb_collection_release(s->read);
  at_close(s->reader);
  at_close(s->db);
}

/* One change out of many, the same for both sides. */
static void change(struct side *s, uint32_t what, uint32_t at) {
  vecdb_index_params hnsw = VECDB_INDEX_PARAMS_INIT;
  vecdb_field extra = {.name = "extra", .type = VECDB_INT32, .flags = VECDB_NULLABLE};
  vecdb_schema fields = VECDB_SCHEMA_INIT;
  fields.fields = &extra;
  fields.n_fields = 1;
  uint64_t deleted;
  bool more;
  vecdb_filter some = {.text = "n % 7 == 3"};
  hnsw.type = VECDB_INDEX_HNSW;
  hnsw.m = 4 + at % 4;
  switch (what) {
  case 0:
    at_ok(vecdb_flush(s->coll, NULL, &at_err));
    return;
  case 1:
    at_ok(vecdb_compact(s->coll, NULL, &at_err));
    return;
  case 2:
    at_ok(vecdb_index_create(s->coll, "v", &hnsw, NULL, &at_err));
    return;
  case 3:
    at_ok(vecdb_index_drop(s->coll, "v", &at_err));
    return;
  case 4:
    at_ok(vecdb_delete_where(s->coll, &some, &deleted, NULL, &at_err));
    return;
  case 5: /* whichever of these is possible now */
    if (vecdb_field_drop(s->coll, "extra", NULL, NULL) &&
        vecdb_field_drop(s->coll, "extra2", NULL, NULL))
      at_ok(vecdb_fields_add(s->coll, &fields, NULL, &at_err));
    return;
  case 6:
    if (vecdb_field_rename(s->coll, "extra", "extra2", NULL, NULL))
      vecdb_field_rename(s->coll, "extra2", "extra", NULL, NULL);
    return;
  case 7: /* rows go one after the other, as the milliseconds do */
    at_ok(vecdb_expire(s->coll, at % 4 == 0 ? "id" : NULL,
                       at % 4 == 0 ? wall_ms + at % 300 : 0, NULL, &at_err));
    return;
  case 8:
    at_ok(vecdb_step(s->db, 0, 0, &more, &at_err));
    return;
  case 9:
  case 10:
  case 11:
    at_delete(s->coll, at % KEYS, 1 + at % 5);
    return;
  default:
    at_put(s->coll, at % KEYS, 1 + at % 9);
  }
}

/* An answer, byte by byte. */
struct answer {
  int rc;
  uint32_t count;
  vecdb_hit hits[K];
  int64_t n[K];
};

static void ask(vecdb_collection *coll, uint32_t which, struct answer *out) {
  static const char *const filters[] = {NULL, "n < {most}", "s == {text}",
                                        "extra2 is null and n < {most}", "id in {ids}"};
  static const char *const fields[] = {"n"};
  int64_t ids[3] = {which % 4, 7, 20};
  float query[4] = {(float)(which % QUERIES * 11), 1, 0, 1};
  vecdb_param params[] = {
      {"most", {.type = VECDB_INT64, .as.integer = 20 + which % 3}},
      {"text", {.type = VECDB_VARCHAR, .length = 2, .as.data = which % 2 ? "s1" : "s2"}},
      {"ids", {.type = VECDB_ARRAY, .length = 3, .as.data = ids, .element_type = VECDB_INT64}}};
  vecdb_search_params p = at_search(query, 1 + which % K, filters[which / 3 % 5]);
  vecdb_rows *rows = NULL;
  p.filter.params = params;
  p.filter.n_params = AT_COUNT(params);
  p.ef = which % 2 ? 0 : 4;
  p.plan = which % 7 == 0 ? VECDB_PLAN_EXACT : VECDB_PLAN_AUTO;
  p.fields = fields;
  p.n_fields = 1;
  memset(out, 0, sizeof *out);
  vecdb_error err;
  out->rc = vecdb_search(coll, &p, out->hits, &out->count, NULL, which % 3 ? &rows : NULL, &err);
  for (uint32_t i = 0; !out->rc && rows && i < out->count; i++) {
    out->n[i] = vecdb_rows_value(rows, out->hits[i].row, 1).as.integer;
  }
  vecdb_rows_free(rows);
}

static void ask_both(vecdb_collection *with, vecdb_collection *without, uint32_t which) {
  struct answer a, b;
  ask(with, which, &a);
  ask(without, which, &b);
  assert_int_equal(a.rc, b.rc);
  assert_int_equal(a.count, b.count);
  for (uint32_t i = 0; i < a.count; i++) {
    assert_int_equal(a.hits[i].id, b.hits[i].id);
    assert_true(a.hits[i].score == b.hits[i].score);
    assert_int_equal(a.hits[i].row, b.hits[i].row);
    assert_int_equal(a.n[i], b.n[i]);
  }
}

static void test_beside_one_without(void **state) {
  (void)state;
  uint32_t steps = TEST_SIZES(260, 60, 20), random = 5;
  const char *seed = getenv("CACHE_SEED"), *asked = getenv("CACHE_STEPS");
  random = seed ? (uint32_t)strtoul(seed, NULL, 10) : random;
  steps = asked ? (uint32_t)strtoul(asked, NULL, 10) : steps;
  char *folder = at_folder();
  struct side with, without;
  side_open(&with, at_path(folder, "with"), 1 << 17); /* small: entries go, too */
  side_open(&without, at_path(folder, "without"), 0);
  for (uint32_t step = 0; step < steps; step++) {
    uint32_t what = at_random(&random) % 30, at = at_random(&random);
    atomic_fetch_add(&wall_ms, at % 200);
    change(&with, what, at);
    change(&without, what, at);
    for (uint32_t i = 0; i < 16; i++)
      ask_both(with.coll, without.coll, at_random(&random) % 40);
    if (step % 3 == 0) {
      at_ok(vecdb_refresh(with.reader, 0, NULL, &at_err));
      at_ok(vecdb_refresh(without.reader, 0, NULL, &at_err));
    }
    for (uint32_t i = 0; i < 16; i++)
      ask_both(with.read, without.read, at_random(&random) % 40);
  }
  assert_true(memory_of(with.db).cache_hits > steps / 4);
  assert_true(memory_of(with.reader).cache_hits > steps / 4);
  assert_true(memory_of(with.db).cache <= (1 << 17) + (1 << 14));
  assert_int_equal(memory_of(without.db).cache_hits + memory_of(without.db).cache_misses, 0);
  side_close(&with);
  side_close(&without);
  at_remove(folder);
}

/* Hits are told of, by info, stats and explain; and a full budget takes the cache first. */
static void test_told(void **state) {
  (void)state;
  vecdb_options o = VECDB_OPTIONS_INIT;
  o.cache_bytes = 1 << 20;
  vecdb *db = at_open(":memory:", &o);
  vecdb_collection *coll = at_small(db, "c");
  float query[4] = {3, 1, 0, 1};
  vecdb_search_params p = at_search(query, 3, "n < 50");
  vecdb_search_info info = VECDB_SEARCH_INFO_INIT;
  vecdb_hit hits[3];
  uint32_t count;
  char text[2048];
  size_t n;
  at_put(coll, 0, 100);
  at_ok(vecdb_explain(coll, &p, text, sizeof text, &n, &at_err));
  assert_non_null(strstr(text, "cache: the result is not there"));
  for (uint64_t i = 0; i < 3; i++) {
    at_ok(vecdb_search(coll, &p, hits, &count, &info, NULL, &at_err));
    assert_int_equal(info.cached, i > 0);
    assert_int_equal(info.segments, i > 0 ? 0 : 1);
    assert_int_equal(memory_of(db).cache_hits, i);
    assert_int_equal(memory_of(db).cache_misses, 1);
    assert_int_equal(memory_of(db).cache_entries, 1);
  }
  at_ok(vecdb_explain(coll, &p, text, sizeof text, &n, &at_err));
  assert_non_null(strstr(text, "cache: the result is there"));
  at_delete(coll, 3, 1);
  at_ok(vecdb_search(coll, &p, hits, &count, &info, NULL, &at_err));
  assert_int_equal(info.cached, 0);
  assert_int_not_equal(hits[0].id, 3);
  at_ok(vecdb_expire(coll, NULL, 0, NULL, &at_err));
  vecdb_collection_release(coll);
  at_close(db);
  o.cache_bytes = 65535;
  at_fails(VECDB_ERR_OPTION, vecdb_open(":memory:", &o, &db, &at_err));
}

static uint64_t is_cached(vecdb_collection *coll, const vecdb_search_params *p) {
  vecdb_search_info info = VECDB_SEARCH_INFO_INIT;
  vecdb_hit hits[8];
  uint32_t count;
  at_ok(vecdb_search(coll, p, hits, &count, &info, NULL, &at_err));
  return info.cached;
}

/* A search as `base` but for one thing. */
static void differ(uint32_t which, vecdb_search_params *p, vecdb_param *param, float *query) {
  switch (which) {
  case 0: p->k++; return;
  case 1: p->filter.text = "n <= {most}"; return;
  case 2: param->value.as.integer++; return;
  case 3: p->filter.text = "n < {least}"; param->name = "least"; return;
  case 4: p->filter = (vecdb_filter){0}; return;
  case 5: query[3] = nextafterf(query[3], 2); return;
  case 6: p->ef = 17; return;
  case 7: p->recall = 0.9f; return;
  case 8: p->plan = VECDB_PLAN_EXACT; return;
  case 9: param->value.type = VECDB_DOUBLE; param->value.as.number = 50; return;
  case 10: p->flags = VECDB_SEARCH_CPU; return;
  default: p->filter.length = strlen(p->filter.text); /* says the same */
  }
}
enum { DIFFERENCES = 11 };

/* What changes data, or what is known of it. */
static void happen(uint32_t what, vecdb_collection *coll) {
  vecdb_index_params hnsw = VECDB_INDEX_PARAMS_INIT;
  hnsw.type = VECDB_INDEX_HNSW;
  if (what == 0)
    at_put(coll, 200, 1);
  else if (what == 1)
    at_put(coll, 3, 1); /* as it was */
  else if (what == 2)
    at_delete(coll, 3, 1);
  else if (what == 3)
    at_ok(vecdb_flush(coll, NULL, &at_err));
  else if (what == 4)
    at_ok(vecdb_index_create(coll, "v", &hnsw, NULL, &at_err));
  else
    at_ok(vecdb_compact(coll, NULL, &at_err));
}
enum { EVENTS = 6 };

/* No part of what a result depends on is left out of its key: what differs in one thing is not
   found in place of another. */
static void test_each_part_counts(void **state) {
  (void)state;
  vecdb_options o = VECDB_OPTIONS_INIT;
  o.cache_bytes = 1 << 20;
  o.flags = VECDB_HOST_DRIVEN;
  o.index_rows = 16;
  vecdb *db = at_open(":memory:", &o);
  vecdb_collection *coll = at_small(db, "c");
  at_put(coll, 0, 100);
  float base_query[4] = {3, 1, 0, 1};
  vecdb_param base_param = {"most", {.type = VECDB_INT64, .as.integer = 50}};
  vecdb_search_params base = at_search(base_query, 3, "n < {most}");
  base.filter.params = &base_param;
  base.filter.n_params = 1;
  for (uint32_t which = 0; which <= DIFFERENCES; which++) {
    float query[4];
    vecdb_param param = base_param;
    vecdb_search_params p = base;
    memcpy(query, base_query, sizeof query);
    p.queries = query;
    p.filter.params = &param;
    differ(which, &p, &param, query);
    is_cached(coll, &base);
    assert_int_equal(is_cached(coll, &p), which == DIFFERENCES);
    assert_int_equal(is_cached(coll, &p), 1);
    assert_int_equal(is_cached(coll, &base), 1);
  }
  for (uint32_t what = 0; what < EVENTS; what++) {
    assert_int_equal(is_cached(coll, &base), what == 0);
    assert_int_equal(is_cached(coll, &base), 1);
    happen(what, coll);
  }
  assert_int_equal(is_cached(coll, &base), 0);
  vecdb_collection_release(coll);
  at_close(db);
}

/* Of a full cache nothing goes for what is asked once; what is asked again comes in. */
static void test_once_is_not_enough(void **state) {
  (void)state;
  enum { MANY = 2000 };
  vecdb_options o = VECDB_OPTIONS_INIT;
  o.cache_bytes = 1 << 17;
  o.flags = VECDB_HOST_DRIVEN;
  vecdb *db = at_open(":memory:", &o);
  vecdb_collection *coll = at_small(db, "c");
  at_put(coll, 0, 20);
  float query[4] = {0, 1, 0, 1};
  vecdb_search_params p = at_search(query, 3, NULL);
  for (int i = 0; i < MANY; i++, query[0]++) /* fills all parts */
    assert_int_equal(is_cached(coll, &p), 0);
  uint64_t entries = memory_of(db).cache_entries, kept = 0;
  assert_in_range(entries, 100, MANY / 2);
  for (int i = 0; i < MANY; i++, query[0]++) /* none of these was asked before */
    assert_int_equal(is_cached(coll, &p), 0);
  assert_int_equal(memory_of(db).cache_entries, entries);
  query[0] = 0;
  for (int i = 0; i < MANY / 2; i++, query[0]++) /* so the first are still there */
    kept += is_cached(coll, &p);
  assert_true(kept >= entries * 9 / 10);
  query[0] = 5 * MANY;
  assert_int_equal(is_cached(coll, &p), 0);
  assert_int_equal(is_cached(coll, &p), 0);
  assert_int_equal(is_cached(coll, &p), 1);
  vecdb_collection_release(coll);
  at_close(db);
}

static void test_gives_way(void **state) {
  (void)state;
  vecdb_options o = VECDB_OPTIONS_INIT;
  o.flags = VECDB_HOST_DRIVEN;
  o.seal_rows = 1024;
  vecdb *db = at_open(":memory:", &o);
  uint64_t plain = memory_of(db).total;
  at_close(db);
  o.cache_bytes = 4 << 20;
  o.memory_limit = plain + (3 << 20);
  db = at_open(":memory:", &o);
  vecdb_collection *coll = at_small(db, "c");
  at_put(coll, 0, 1000);
  vecdb_hit hits[1000];
  uint32_t count;
  for (uint32_t i = 0; i < 600; i++) { /* 7 MiB of results, of which there is room for 2 */
    float query[4] = {(float)i, 1, 0, 1};
    vecdb_search_params p = at_search(query, 1000, NULL);
    at_ok(vecdb_search(coll, &p, hits, &count, NULL, NULL, &at_err));
    assert_int_equal(count, 1000);
  }
  uint64_t before = memory_of(db).cache;
  assert_true(before > 1 << 20);
  for (int64_t i = 1; i < 14; i++)
    at_put(coll, i * 1000, 1000);
  assert_true(memory_of(db).cache < before);
  assert_int_equal(memory_of(db).refused, 0);
  assert_int_equal(at_count(coll, NULL), 14000);
  vecdb_collection_release(coll);
  at_close(db);
}

/* A writer moves a row; each search that begins after a write has returned sees it there. */
struct race {
  vecdb_collection *coll;
  _Atomic int64_t written;
  _Atomic bool done;
  _Atomic uint32_t stale;
};

static void *race_search(void *arg) {
  struct race *race = arg;
  static const char *const fields[] = {"n"};
  float query[4] = {5, 1, 0, 1};
  vecdb_search_params p = at_search(query, 1, "id == 1000");
  p.fields = fields;
  p.n_fields = 1;
  while (!atomic_load(&race->done)) {
    int64_t least = atomic_load(&race->written);
    vecdb_hit hit;
    uint32_t count;
    vecdb_rows *rows = NULL;
    vecdb_error err;
    vecdb_value value = {0};
    int rc = vecdb_search(race->coll, &p, &hit, &count, NULL, &rows, &err);
    if (!rc)
      value = vecdb_rows_value(rows, 0, 1);
    if (rc || count != 1 || value.as.integer < least)
      atomic_fetch_add(&race->stale, 1);
    vecdb_rows_free(rows);
  }
  return NULL;
}

static void race_write(struct race *race, int32_t n) {
  int64_t id = 1000;
  float v[4] = {5, 1, 0, 1};
  vecdb_column columns[] = {{.field = "id", .data = &id}, {.field = "n", .data = &n},
                            {.field = "v", .data = v}};
  vecdb_batch batch = VECDB_BATCH_INIT;
  batch.columns = columns;
  batch.n_columns = AT_COUNT(columns);
  batch.n_rows = 1;
  at_ok(vecdb_upsert(race->coll, &batch, NULL, &at_err));
  atomic_store(&race->written, n);
}

static void test_no_stale_hit(void **state) {
  (void)state;
  vecdb_options o = VECDB_OPTIONS_INIT;
  o.cache_bytes = 1 << 16;
  o.seal_rows = 64;
  o.index_rows = 32;
  vecdb *db = at_open(":memory:", &o);
  struct race race = {.coll = at_small(db, "c")};
  pthread_t threads[2];
  race_write(&race, 0);
  for (size_t i = 0; i < AT_COUNT(threads); i++)
    assert_int_equal(pthread_create(&threads[i], NULL, race_search, &race), 0);
  for (int32_t i = 1; i <= TEST_SIZES(1500, 300, 150); i++)
    race_write(&race, i);
  atomic_store(&race.done, true);
  for (size_t i = 0; i < AT_COUNT(threads); i++)
    pthread_join(threads[i], NULL);
  assert_int_equal(atomic_load(&race.stale), 0);
  vecdb_collection_release(race.coll);
  at_close(db);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_beside_one_without),
      cmocka_unit_test(test_told),
      cmocka_unit_test(test_each_part_counts),
      cmocka_unit_test(test_once_is_not_enough),
      cmocka_unit_test(test_gives_way),
      cmocka_unit_test(test_no_stale_hit),
  };
  return cmocka_run_group_tests_name("test_api_cache", tests, NULL, NULL);
}
