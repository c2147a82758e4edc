/*
 * test_api_merge.c - merges with indexes: after deletes, upserts and inserts a compacted collection
 * answers from its live rows, as well as after its index was built anew; and its index was built
 * upon an older one, or was not, as it pays. Each allocation of such a merge fails in turn.
 */
#include "tlib/apitest.h"
#include "tlib/memfault.h"
#include "tlib/thorough.h"

enum { ROWS = TEST_SIZE(3000, 900), DIM = 24, K = 10, QUERIES = 100, CLUSTERS = 30 };

#define SLACK TEST_SIZE(.015, .04) /* of recall */

struct store {
  char *folder;
  vecdb *db;
  vecdb_collection *coll;
};

/* A vector near one of some centres, the same for the same key and version. */
static void make_vector(int64_t key, uint32_t version, float *out) {
  uint32_t state = (uint32_t)key * 31 + version * 0x10001;
  uint32_t centre = at_random(&state) % CLUSTERS * 0x9e3779b1u;
  for (int i = 0; i < DIM; i++) {
    double noise = at_unit(&state) + at_unit(&state) + at_unit(&state) - 1.5;
    out[i] = (float)(2 * at_unit(&centre) + noise);
  }
}

static void put(vecdb_collection *coll, int64_t first, uint32_t n, uint32_t version) {
  int64_t *ids = calloc(n, sizeof *ids);
  float(*v)[DIM] = calloc(n, sizeof *v);
  for (uint32_t i = 0; i < n; i++) {
    ids[i] = first + i;
    make_vector(ids[i], version, v[i]);
  }
  const vecdb_column columns[] = {{.field = "id", .data = ids},
                                  {.field = "v", .data = v, .dim = DIM}};
  vecdb_batch batch = VECDB_BATCH_INIT;
  batch.columns = columns;
  batch.n_columns = AT_COUNT(columns);
  batch.n_rows = n;
  at_ok(vecdb_upsert(coll, &batch, NULL, &at_err));
  free(ids);
  free(v);
}

static void delete_every(vecdb_collection *coll, int64_t end, int64_t step) {
  for (int64_t key = 0; key < end; key += step)
    at_delete(coll, key, 1);
}

/* `allocator` may be NULL. */
static void store_open(struct store *s, const char *index, const vecdb_allocator *allocator) {
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.allocator = allocator;
  options.flags = VECDB_HOST_DRIVEN; /* nothing is merged unasked */
  options.durability = VECDB_DURABLE_OFF;
  s->folder = at_folder();
  s->db = at_open(at_path(s->folder, "db"), &options);
  vecdb_field fields[] = {{.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
                          {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = DIM}};
  vecdb_schema schema = VECDB_SCHEMA_INIT;
  fields[1].metric = VECDB_L2;
  at_ok(vecdb_index_params_parse(index, &fields[1].index, &at_err));
  schema.fields = fields;
  schema.n_fields = AT_COUNT(fields);
  at_ok(vecdb_collection_create(s->db, "c", &schema, &s->coll, &at_err));
}

static void store_close(struct store *s) {
  vecdb_collection_release(s->coll);
  at_close(s->db);
  at_remove(s->folder);
}

/* The share of the true neighbours that searches of width ef find; `expect` tells the version of a
   key that lives, or -1. */
static double recall(vecdb_collection *coll, uint32_t ef, int (*expect)(int64_t key)) {
  float(*queries)[DIM] = calloc(QUERIES, sizeof *queries);
  static vecdb_hit near[QUERIES * K], hits[QUERIES * K];
  uint32_t counts[QUERIES];
  size_t good = 0;
  for (uint32_t q = 0; q < QUERIES; q++)
    make_vector(1000000 + q, 0, queries[q]);
  vecdb_search_params params = at_search(queries[0], K, NULL);
  params.n_queries = QUERIES;
  params.plan = VECDB_PLAN_EXACT;
  at_ok(vecdb_search(coll, &params, near, counts, NULL, NULL, &at_err));
  params.plan = VECDB_PLAN_GRAPH; /* so few rows are scanned by choice */
  params.ef = ef;
  vecdb_search_info info = VECDB_SEARCH_INFO_INIT;
  at_ok(vecdb_search(coll, &params, hits, counts, &info, NULL, &at_err));
  assert_int_equal(info.segments_exact, 0);
  for (uint32_t q = 0; q < QUERIES; q++) {
    assert_int_equal(counts[q], K);
    for (uint32_t k = 0; k < K; k++) {
      const vecdb_hit *hit = &hits[q * K + k];
      float v[DIM], score = 0;
      int version = expect(hit->id);
      assert_true(version >= 0); /* deleted rows are not found */
      make_vector(hit->id, (uint32_t)version, v);
      for (int i = 0; i < DIM; i++)
        score += (v[i] - queries[q][i]) * (v[i] - queries[q][i]);
      assert_true(score - hit->score < .001f * score && hit->score - score < .001f * score);
      good += hit->score <= near[q * K + K - 1].score;
    }
  }
  free(queries);
  return (double)good / (QUERIES * K);
}

struct index_file {
  unsigned char *data;
  size_t n;
};

static void index_found(void *arg, const char *path) {
  struct index_file *file = arg;
  size_t length = strlen(path);
  if (length < 4 || strcmp(path + length - 4, ".idx") != 0)
    return;
  assert_null(file->data); /* there is one */
  file->data = at_read(path, &file->n);
}

static struct index_file index_of(const struct store *s) {
  struct index_file file = {0};
  at_each_file(at_path(s->folder, "db"), index_found, &file);
  assert_non_null(file.data);
  return file;
}

/* Whether files hold the same but for their numbers, and checksums of these. */
static bool index_same(const struct index_file *a, const struct index_file *b) {
  size_t differ = 0;
  for (size_t i = 0; a->n == b->n && i < a->n; i++)
    differ += a->data[i] != b->data[i];
  return a->n == b->n && differ < 100;
}

/* Compacts, and compares with the index built anew: whether it was built upon an older one. */
static void compact(struct store *s, const char *index, int (*expect)(int64_t key), uint64_t rows,
                    bool grows) {
  vecdb_index_params params;
  at_ok(vecdb_index_params_parse(index, &params, &at_err));
  at_ok(vecdb_compact(s->coll, NULL, &at_err));
  assert_int_equal(at_count(s->coll, NULL), rows);
  double grown = recall(s->coll, 32, expect);
  struct index_file before = index_of(s);
  at_ok(vecdb_index_create(s->coll, "v", &params, NULL, &at_err));
  double anew = recall(s->coll, 32, expect);
  struct index_file after = index_of(s);
  bool same = index_same(&before, &after);
  if (grown < anew - SLACK || same == grows)
    print_error("%s: recall %.3f, anew %.3f; same file: %d\n", index, grown, anew, (int)same);
  assert_true(grown >= anew - SLACK);
  assert_true(same != grows);
  at_ok(vecdb_check(s->db, NULL, NULL, NULL, &at_err));
  free(before.data);
  free(after.data);
}

enum { AGAIN = ROWS - 100, END = AGAIN + ROWS / 6 }; /* of the second batch */

static int all_live(int64_t key) { return key < ROWS ? 0 : -1; }
static int fourths_gone(int64_t key) { return key % 4 == 0 ? -1 : key < ROWS ? 0 : -1; }
static int some_replaced(int64_t key) { return key >= AGAIN && key < END ? 1 : fourths_gone(key); }
static int few_left(int64_t key) { return key % 3 != 0 ? -1 : some_replaced(key); }

/* Deletes; then upserts and new rows in a second segment; then so many deletes that it does not
   pay. */
static void merges_keep_answers(void **state) {
  (void)state;
  static const char *const indexes[] = {"HNSW(m=16, ef_construction=100)", "HNSW_SQ8(m=8)",
                                        "IVF_HNSW(m=12, nlist=20)"};
  for (size_t i = 0; i < AT_COUNT(indexes); i += test_size(1, 2)) {
    struct store s;
    store_open(&s, indexes[i], NULL);
    put(s.coll, 0, ROWS, 0);
    compact(&s, indexes[i], all_live, ROWS, false);
    delete_every(s.coll, ROWS, 4);
    compact(&s, indexes[i], fourths_gone, ROWS * 3 / 4, true);
    put(s.coll, AGAIN, END - AGAIN, 1);
    compact(&s, indexes[i], some_replaced, END - AGAIN / 4, true);
    for (int64_t key = 0; key < END; key++)
      if (few_left(key) < 0)
        at_delete(s.coll, key, 1);
    compact(&s, indexes[i], few_left, at_count(s.coll, NULL), false);
    store_close(&s);
  }
}

/* Each time one more row is deleted, so that there is something to merge. */
static void memory_runs_out(void **state) {
  (void)state;
  struct memfault memory;
  struct store s;
  uint64_t rows = 700, errors = 0, failed = 1;
  memfault_init(&memory);
  store_open(&s, "HNSW(m=4, ef_construction=20)", &memory.table);
  put(s.coll, 0, (uint32_t)rows, 0);
  at_ok(vecdb_compact(s.coll, NULL, &at_err));
  for (uint64_t nth = 1; failed > 0; nth++) {
    assert_true(rows > 400); /* there are fewer allocations than rows */
    at_delete(s.coll, (int64_t)--rows, 1);
    memfault_fail(&memory, nth, false);
    int rc = vecdb_compact(s.coll, NULL, &at_err);
    failed = memfault_failed(&memory);
    memfault_fail(&memory, 0, false);
    assert_true(rc == VECDB_OK || (rc == VECDB_ERR_NO_MEMORY && failed > 0));
    errors += rc != VECDB_OK;
    assert_int_equal(at_count(s.coll, NULL), rows);
  }
  assert_true(errors > 20);
  at_ok(vecdb_check(s.db, NULL, NULL, NULL, &at_err));
  store_close(&s);
  assert_int_equal(memfault_live(&memory), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(merges_keep_answers),
      cmocka_unit_test(memory_runs_out),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
