/*
 * test_api_disk.c - DISK through the API on a host's files: what a search reads is counted, and a
 * read that fails is an error of that search alone; index parameters that DISK refuses.
 */
#include <errno.h>

#include "tlib/apitest.h"
#include "tlib/apivfs.h"

enum { DIM = 24, ROWS = 3000, K = 10 };

static const vecdb_schema *schema_of(vecdb_field fields[2], int32_t type) {
  static vecdb_schema schema;
  fields[0] = (vecdb_field){.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY};
  fields[1] = (vecdb_field){.name = "v", .type = type, .dim = DIM, .metric = VECDB_L2};
  fields[1].index = (vecdb_index_params)VECDB_INDEX_PARAMS_INIT;
  fields[1].index.type = VECDB_INDEX_DISK;
  schema = (vecdb_schema){sizeof schema, sizeof *fields, NULL, fields, 2};
  return &schema;
}

static vecdb_collection *fill(vecdb *db, float *first) {
  static int64_t ids[ROWS];
  static float v[ROWS][DIM];
  uint32_t seed = 3;
  for (int i = 0; i < ROWS; i++) {
    ids[i] = i;
    for (int k = 0; k < DIM; k++)
      v[i][k] = (float)at_unit(&seed);
  }
  memcpy(first, v[0], sizeof v[0]);
  vecdb_field fields[2];
  vecdb_collection *coll;
  at_ok(vecdb_collection_create(db, "c", schema_of(fields, VECDB_FLOAT_VECTOR), &coll, &at_err));
  const vecdb_column columns[] = {{.field = "id", .data = ids}, {.field = "v", .data = v}};
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, AT_COUNT(columns), ROWS};
  at_ok(vecdb_insert(coll, &batch, NULL, &at_err));
  at_ok(vecdb_compact(coll, NULL, &at_err));
  return coll;
}

static void reads_fail(void **state) {
  (void)state;
  struct av_disk *disk = av_new();
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.vfs = av_vfs(disk);
  options.index_rows = 1000;
  vecdb *db = at_open("db", &options);
  float query[DIM];
  vecdb_collection *coll = fill(db, query);
  static const char *const filters[] = {NULL, "id < 1500", "id < 100"};
  for (size_t i = 0; i < 3; i++) {
    vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
    vecdb_search_info info = VECDB_SEARCH_INFO_INIT;
    vecdb_hit hits[K], again[K];
    uint32_t n, n_again;
    params.queries = query;
    params.k = K;
    params.filter.text = filters[i];
    params.plan = i == 2 ? VECDB_PLAN_CODES : VECDB_PLAN_GRAPH;
    at_ok(vecdb_search(coll, &params, hits, &n, &info, NULL, &at_err));
    assert_int_equal(n, K);
    assert_int_equal(hits[0].id, 0);
    assert_true(info.reads > 0);
    av_fail_reads(disk, EIO);
    at_fails(VECDB_ERR_IO, vecdb_search(coll, &params, again, &n_again, &info, NULL, &at_err));
    assert_int_equal(at_err.os_code, EIO);
    av_fail_reads(disk, 0);
    at_ok(vecdb_search(coll, &params, again, &n_again, &info, NULL, &at_err));
    assert_int_equal(n_again, n);
    for (uint32_t k = 0; k < n; k++)
      assert_int_equal(again[k].id, hits[k].id);
  }
  vecdb_collection_release(coll);
  at_close(db);
  assert_int_equal(av_open_files(disk), 0);
  av_free(disk);
}

static void refused_parameters(void **state) {
  (void)state;
  static const char *const texts[] = {"DISK(refine=f16)", "DISK(nlist=5)", "DISK(pq_m=7)",
                                      "DISK(nbits=9)",    "DISK(m=2)",     "DISK(ef=99999)"};
  vecdb *db = at_open(":memory:", NULL);
  vecdb_field fields[2];
  vecdb_collection *coll;
  at_fails(VECDB_ERR_INDEX_PARAM,
           vecdb_collection_create(db, "i", schema_of(fields, VECDB_INT8_VECTOR), &coll, &at_err));
  for (size_t i = 0; i < AT_COUNT(texts); i++) {
    const vecdb_schema *schema = schema_of(fields, VECDB_FLOAT_VECTOR);
    at_ok(vecdb_index_params_parse(texts[i], &fields[1].index, &at_err));
    at_fails(VECDB_ERR_INDEX_PARAM, vecdb_collection_create(db, "c", schema, &coll, &at_err));
  }
  at_close(db);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(reads_fail),
      cmocka_unit_test(refused_parameters),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
