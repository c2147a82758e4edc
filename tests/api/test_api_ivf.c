/*
 * test_api_ivf.c - collections with each IVF index, and DISK, by name: created, filled, sealed,
 * opened again, searched plainly, with filters and after deletes, and indexed anew in another way.
 */
#include "tlib/apitest.h"
#include "tlib/thorough.h"

enum { DIM = 24, ROWS = TEST_SIZE(4000, 1400), CLUSTERS = 30, QUERIES = 20, K = 10 };

static const char *const ways[] = {
    "IVF_FLAT",
    "IVF_FLAT(nlist=40,nprobe=10)",
    "IVF_SQ8",
    "IVF_PQ(pq_m=12)",
    "IVF_PQ(pq_m=8,nbits=8)",
    "OPQ(pq_m=12)",
    "IVF_RABITQ",
    "IVF_RABITQ(nlist=50,nprobe=12)",
    "IVF_HNSW",
    "IVF_HNSW(nlist=60,nprobe=5,m=8,ef_construction=60,ef=40)",
    "DISK",
    "DiskANN(m=8,ef_construction=60,ef=60,pq_m=12,nbits=8)",
};

struct rows {
  int64_t ids[ROWS];
  int32_t n[ROWS]; /* id % 100 */
  float v[ROWS][DIM];
  float queries[QUERIES][DIM];
};

static struct rows *rows_make(void) {
  struct rows *r = calloc(1, sizeof *r);
  float centres[CLUSTERS][DIM];
  uint32_t seed = 11;
  for (int c = 0; c < CLUSTERS; c++)
    for (int k = 0; k < DIM; k++)
      centres[c][k] = (float)at_unit(&seed) - 0.5f;
  for (uint32_t i = 0; i < ROWS + QUERIES; i++) {
    uint32_t c = at_random(&seed) % CLUSTERS;
    float *out = i < ROWS ? r->v[i] : r->queries[i - ROWS];
    for (int k = 0; k < DIM; k++)
      out[k] = centres[c][k] + ((float)at_unit(&seed) - 0.5f) * 0.7f;
    if (i < ROWS) {
      r->ids[i] = i;
      r->n[i] = (int32_t)(i % 100);
    }
  }
  return r;
}

static vecdb_collection *fill(vecdb *db, const struct rows *r, const char *way, int32_t metric) {
  vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = "n", .type = VECDB_INT32},
      {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = DIM, .metric = metric},
  };
  at_ok(vecdb_index_params_parse(way, &fields[2].index, &at_err));
  vecdb_schema schema = {sizeof schema, sizeof *fields, NULL, fields, AT_COUNT(fields)};
  vecdb_collection *coll;
  at_ok(vecdb_collection_create(db, "c", &schema, &coll, &at_err));
  const vecdb_column columns[] = {
      {.field = "id", .data = r->ids}, {.field = "n", .data = r->n}, {.field = "v", .data = r->v}};
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, AT_COUNT(columns), ROWS};
  at_ok(vecdb_insert(coll, &batch, NULL, &at_err));
  at_ok(vecdb_compact(coll, NULL, &at_err));
  return coll;
}

/* The share of the true neighbours that a search by index finds. */
static double found(vecdb_collection *coll, const struct rows *r, const char *filter) {
  uint32_t good = 0, all = 0;
  for (int q = 0; q < QUERIES; q++) {
    vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
    vecdb_search_info info = VECDB_SEARCH_INFO_INIT;
    vecdb_hit truth[K], hits[K];
    uint32_t n_truth, n_hits;
    params.queries = r->queries[q];
    params.k = K;
    params.filter.text = filter;
    params.plan = VECDB_PLAN_EXACT;
    at_ok(vecdb_search(coll, &params, truth, &n_truth, NULL, NULL, &at_err));
    params.plan = VECDB_PLAN_GRAPH;
    at_ok(vecdb_search(coll, &params, hits, &n_hits, &info, NULL, &at_err));
    assert_int_equal(n_hits, n_truth);
    assert_int_equal(info.segments_exact, 0);
    for (uint32_t i = 0; i < n_truth; i++)
      for (uint32_t k = 0; k < n_hits; k++)
        good += hits[k].id == truth[i].id && hits[k].score == truth[i].score;
    all += n_truth;
  }
  return all ? (double)good / all : 1;
}

static void expect_found(vecdb_collection *coll, const struct rows *r, const char *filter,
                         const char *way) {
  double share = found(coll, r, filter);
  if (share < 0.9)
    print_error("%s, filter %s: recall %.3f\n", way, filter ? filter : "none", share);
  assert_true(share >= 0.9);
}

static void every_way(void **state) {
  (void)state;
  static const int32_t metrics[] = {VECDB_L2, VECDB_COSINE, VECDB_IP};
  struct rows *r = rows_make();
  for (size_t w = 0; w < AT_COUNT(ways); w++) {
    char *folder = at_folder();
    vecdb *db = at_open(folder, NULL);
    vecdb_collection *coll = fill(db, r, ways[w], metrics[w % AT_COUNT(metrics)]);
    expect_found(coll, r, NULL, ways[w]);
    vecdb_collection_release(coll);
    at_close(db);
    db = at_open(folder, NULL);
    at_ok(vecdb_collection_get(db, "c", &coll, &at_err));
    expect_found(coll, r, NULL, ways[w]);
    expect_found(coll, r, "n < 50", ways[w]);
    expect_found(coll, r, "n == 7", ways[w]);
    expect_found(coll, r, "id == 1234", ways[w]);
    expect_found(coll, r, "n > 100", ways[w]);
    uint64_t gone;
    vecdb_filter old = {.text = "n >= 60"};
    at_ok(vecdb_delete_where(coll, &old, &gone, NULL, &at_err));
    expect_found(coll, r, NULL, ways[w]);
    expect_found(coll, r, "n < 30", ways[w]);
    at_ok(vecdb_compact(coll, NULL, &at_err));
    expect_found(coll, r, NULL, ways[w]);
    vecdb_collection_release(coll);
    at_close(db);
    at_remove(folder);
  }
  free(r);
}

/* One collection, indexed in each way after the other. */
static void index_anew(void **state) {
  (void)state;
  struct rows *r = rows_make();
  char *folder = at_folder();
  vecdb *db = at_open(folder, NULL);
  vecdb_collection *coll = fill(db, r, "FLAT", VECDB_L2);
  for (size_t w = 0; w < AT_COUNT(ways); w++) {
    vecdb_index_params params;
    at_ok(vecdb_index_params_parse(ways[w], &params, &at_err));
    at_ok(vecdb_index_create(coll, "v", &params, NULL, &at_err));
    expect_found(coll, r, NULL, ways[w]);
    expect_found(coll, r, "n < 20", ways[w]);
  }
  vecdb_collection_release(coll);
  at_close(db);
  at_remove(folder);
  free(r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_way),
      cmocka_unit_test(index_anew),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
