/* test_api_index.c - index types by name, and index parameters as text. */
#include "tlib/apitest.h"

static void names(void **state) {
  (void)state;
  int32_t type;
  for (int32_t i = VECDB_INDEX_AUTO; i <= VECDB_INDEX_DISK; i++) {
    char lower[32];
    const char *name = vecdb_index_type_name(i);
    assert_non_null(name);
    size_t n = strlen(name);
    for (size_t k = 0; k <= n; k++)
      lower[k] = (char)(name[k] >= 'A' && name[k] <= 'Z' ? name[k] + 32 : name[k]);
    at_ok(vecdb_index_type_parse(name, &type, &at_err));
    assert_int_equal(type, i);
    at_ok(vecdb_index_type_parse(lower, &type, &at_err));
    assert_int_equal(type, i);
  }
  assert_null(vecdb_index_type_name(-1));
  assert_null(vecdb_index_type_name(VECDB_INDEX_DISK + 1));
  type = 7;
  static const char *const none[] = {"", "HNS", "HNSW_", "HNSW ", "OPQ", "IVF"};
  for (size_t i = 0; i < AT_COUNT(none); i++)
    at_fails(VECDB_ERR_OPTION, vecdb_index_type_parse(none[i], &type, &at_err));
  at_fails(VECDB_ERR_ARGUMENT, vecdb_index_type_parse(NULL, &type, &at_err));
  at_fails(VECDB_ERR_ARGUMENT, vecdb_index_type_parse("HNSW", NULL, &at_err));
  assert_int_equal(type, 7);
}

static void texts(void **state) {
  (void)state;
  enum { S = sizeof(vecdb_index_params) };
  static const struct {
    const char *text;
    vecdb_index_params params;
  } cases[] = {
      {"AUTO", {.size = S}},
      {" hnsw ", {.size = S, .type = VECDB_INDEX_HNSW}},
      {"HNSW(m=8)", {.size = S, .type = VECDB_INDEX_HNSW, .m = 8}},
      {"hnsw ( M = 8 , Ef_Construction = 40 , ef=30 )",
       {.size = S, .type = VECDB_INDEX_HNSW, .m = 8, .ef_construction = 40, .ef = 30}},
      {"IVF_PQ(m=48,nbits=4,nlist=1024,rotation=opq)",
       {.size = S, .type = VECDB_INDEX_IVF_PQ, .pq_m = 48, .nbits = 4, .nlist = 1024,
        .rotation = VECDB_ROTATION_OPQ}},
      {"OPQ(pq_m=16)",
       {.size = S, .type = VECDB_INDEX_IVF_PQ, .pq_m = 16, .rotation = VECDB_ROTATION_OPQ}},
      {"HNSW_PQ(m=24, pq_m=16)", {.size = S, .type = VECDB_INDEX_HNSW_PQ, .m = 24, .pq_m = 16}},
      {"HNSW_SQ4(refine=f16)",
       {.size = S, .type = VECDB_INDEX_HNSW_SQ, .nbits = 4, .refine = VECDB_REFINE_F16}},
      {"ivf_flat(nprobe=3,recall=.75)",
       {.size = S, .type = VECDB_INDEX_IVF_FLAT, .nprobe = 3, .recall = 0.75f}},
      {"diskann(recall=0.99)", {.size = S, .type = VECDB_INDEX_DISK, .recall = 0.99f}},
      {"auto(memory=18446744073709551615)", {.size = S, .memory_bytes = UINT64_MAX}},
      {"BIN_IVF(nlist=4294967295)",
       {.size = S, .type = VECDB_INDEX_BIN_IVF, .nlist = UINT32_MAX}},
  };
  for (size_t i = 0; i < AT_COUNT(cases); i++) {
    vecdb_index_params p = {0};
    at_ok(vecdb_index_params_parse(cases[i].text, &p, &at_err));
    assert_memory_equal(&p, &cases[i].params, sizeof p);
  }
}

static void bad_texts(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int64_t position;
  } cases[] = {
      {"", 0},
      {"HNS", 0},
      {"(m=8)", 0},
      {"HNSW(", 5},
      {"HNSW()", 5},
      {"HNSW(m)", 6},
      {"HNSW(m=)", 7},
      {"HNSW(m=8", 8},
      {"HNSW(m=8,)", 9},
      {"HNSW(m=8) x", 10},
      {"HNSW m=8", 5},
      {"HNSW(k=8)", 5},
      {"HNSW(m=x8)", 7},
      {"HNSW(m=1.5)", 7},
      {"HNSW(m=-1)", 7},
      {"HNSW(m=4294967296)", 7},
      {"AUTO(memory=18446744073709551616)", 12},
      {"AUTO(recall=0.9.5)", 12},
      {"AUTO(recall=)", 12},
      {"AUTO(refine=f64)", 12},
      {"AUTO(rotation=)", 14},
  };
  vecdb_index_params p = {.size = 1, .type = 77};
  for (size_t i = 0; i < AT_COUNT(cases); i++) {
    at_fails(VECDB_ERR_OPTION, vecdb_index_params_parse(cases[i].text, &p, &at_err));
    assert_int_equal(at_err.position, cases[i].position);
  }
  assert_int_equal(p.type, 77);
  at_fails(VECDB_ERR_ARGUMENT, vecdb_index_params_parse(NULL, &p, &at_err));
  at_fails(VECDB_ERR_ARGUMENT, vecdb_index_params_parse("HNSW", NULL, &at_err));
}

/* ---- Indexes of segments --------------------------------------------------------------------- */

struct seen {
  uint32_t n;
  uint32_t stop_at;
  int32_t type;
  uint64_t rows;
  uint64_t memory;
  uint32_t points;
};

static int see(void *user, const vecdb_segment_index *index) {
  struct seen *seen = user;
  assert_int_equal(index->size, sizeof *index);
  assert_true(index->bytes_file > 0);
  for (uint32_t i = 1; i < index->n_points; i++) {
    assert_true(index->points[i].effort > index->points[i - 1].effort);
    assert_true(index->points[i].recall_10 >= index->points[i - 1].recall_10);
  }
  seen->type = index->params.type;
  seen->rows += index->rows;
  seen->memory += index->bytes_memory;
  seen->points = index->n_points;
  return ++seen->n == seen->stop_at;
}

static struct seen seen_in(vecdb_collection *coll, uint32_t stop_at) {
  struct seen seen = {.stop_at = stop_at};
  at_ok(vecdb_index_list(coll, "v", see, &seen, &at_err));
  return seen;
}

/* Curves are there after building, reopening and merging; AUTO keeps to its memory. */
static void lists(void **state) {
  (void)state;
  char *folder = at_folder();
  const char *path = at_path(folder, "db");
  vecdb *db = at_open(path, NULL);
  vecdb_collection *coll = at_small(db, "c");
  vecdb_index_params params = VECDB_INDEX_PARAMS_INIT;
  params.type = VECDB_INDEX_HNSW;
  assert_int_equal(seen_in(coll, 0).n, 0);
  at_put(coll, 0, 2000);
  at_ok(vecdb_flush(coll, NULL, &at_err));
  at_ok(vecdb_index_create(coll, "v", &params, NULL, &at_err));
  struct seen seen = seen_in(coll, 0);
  assert_int_equal(seen.n, 1);
  assert_int_equal(seen.rows, 2000);
  assert_int_equal(seen.type, VECDB_INDEX_HNSW);
  assert_true(seen.points > 0);
  vecdb_collection_release(coll);
  at_close(db);
  db = at_open(path, NULL);
  at_ok(vecdb_collection_get(db, "c", &coll, &at_err));
  struct seen again = seen_in(coll, 0);
  assert_memory_equal(&seen, &again, sizeof seen);
  at_put(coll, 2000, 1500);
  at_ok(vecdb_flush(coll, NULL, &at_err));
  at_ok(vecdb_wait(coll, NULL, &at_err));
  at_ok(vecdb_compact(coll, NULL, &at_err));
  again = seen_in(coll, 0);
  assert_int_equal(again.n, 1);
  assert_int_equal(again.rows, 3500);
  assert_true(again.points > 0);
  params = (vecdb_index_params){.size = sizeof params, .memory_bytes = 1};
  at_ok(vecdb_index_create(coll, "v", &params, NULL, &at_err));
  assert_int_equal(seen_in(coll, 0).n, 0);
  at_fails(VECDB_ERR_ARGUMENT, vecdb_index_list(coll, "v", NULL, NULL, &at_err));
  at_fails(VECDB_ERR_UNKNOWN_FIELD, vecdb_index_list(coll, "w", see, NULL, &at_err));
  vecdb_collection_release(coll);
  at_close(db);
  at_remove(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(names), cmocka_unit_test(texts),
                                     cmocka_unit_test(bad_texts), cmocka_unit_test(lists)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
