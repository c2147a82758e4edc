/*
 * test_index.c - keys of each element type and metric, against sums in double; the exact scan, with
 * bitmaps, callbacks, ties and blocks, against sorting; index parameters.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../tlib/ixtest.h"

struct pair {
  enum vdb_elem elem;
  int32_t metric;
};

static const struct pair pairs[] = {
    {VDB_F32, VECDB_L2},  {VDB_F32, VECDB_IP},  {VDB_F32, VECDB_COSINE}, {VDB_F16, VECDB_L2},
    {VDB_F16, VECDB_IP},  {VDB_F16, VECDB_COSINE}, {VDB_BF16, VECDB_L2}, {VDB_BF16, VECDB_IP},
    {VDB_BF16, VECDB_COSINE}, {VDB_I8, VECDB_L2}, {VDB_I8, VECDB_IP},   {VDB_I8, VECDB_COSINE},
    {VDB_BITS, VECDB_HAMMING}, {VDB_BITS, VECDB_JACCARD}};

static void near_to(double got, double want) {
  double slack = 1e-5 * (1 + fabs(want));
  if (!(fabs(got - want) <= slack))
    print_error("got %.9g, want %.9g\n", got, want);
  assert_true(fabs(got - want) <= slack);
}

static void keys_are_true(void **state) {
  (void)state;
  for (size_t p = 0; p < VDB_COUNT(pairs); p++) {
    for (size_t dim = 8; dim <= 104; dim += 48) {
      struct ix_data d;
      ix_data_make(&d, pairs[p].elem, pairs[p].metric, 300, dim, 1);
      struct vdb_query_vec q = ix_prepare(&d, ix_query(&d, 0));
      float keys[300];
      uint32_t ids[40];
      vdb_keys_range(&d.vecs, &q, 5, 290, keys);
      for (uint32_t i = 0; i < 290; i++)
        near_to((double)keys[i], ix_true_key(&d, ix_query(&d, 0), 5 + i));
      for (uint32_t i = 0; i < 40; i++)
        ids[i] = 299 - i * 7;
      vdb_keys_gather(&d.vecs, &q, ids, 40, keys);
      for (uint32_t i = 0; i < 40; i++) {
        near_to((double)keys[i], ix_true_key(&d, ix_query(&d, 0), ids[i]));
        assert_true(vdb_key_one(&d.vecs, &q, ids[i]) == keys[i]);
      }
      free(q.data);
      ix_data_free(&d);
    }
  }
}

static void norms(void **state) {
  (void)state;
  float f[3] = {3, 0, -4};
  int8_t bytes[3] = {-128, 0, 96};
  uint8_t bits[2] = {0xf1, 0x80};
  uint16_t half[2] = {0x4200, 0xc400};  /* 3, -4 */
  uint16_t brain[2] = {0x4040, 0xc080}; /* 3, -4 */
  assert_true(vdb_vec_norm(f, VDB_F32, 3) == 5);
  assert_true(vdb_vec_norm(bytes, VDB_I8, 3) == 160);
  assert_true(vdb_vec_norm(bits, VDB_BITS, 16) == 6);
  assert_true(vdb_vec_norm(half, VDB_F16, 2) == 5);
  assert_true(vdb_vec_norm(brain, VDB_BF16, 2) == 5);
  f[1] = INFINITY;
  assert_true(!isfinite(vdb_vec_norm(f, VDB_F32, 3)));
  f[1] = NAN;
  assert_true(!isfinite(vdb_vec_norm(f, VDB_F32, 3)));
  f[1] = 3e38f;
  assert_true(!!isfinite(vdb_vec_norm(f, VDB_F32, 3)));
  assert_true(vdb_inv_norm(0) == 0);
  assert_true(vdb_inv_norm(4) == 0.25f);
  assert_true(!!isfinite(vdb_inv_norm(1e-45)));
  assert_true(vdb_score_of_key(-2, VECDB_IP) == 2);
  assert_true(vdb_score_of_key(2, VECDB_L2) == 2);
  assert_int_equal(vdb_elem_of(VECDB_INT8_VECTOR), VDB_I8);
  assert_int_equal(vdb_op_of(VECDB_COSINE), VDB_OP_DOT);
  assert_int_equal(vdb_query_vec_bytes(VDB_BF16, 10), 40);
  assert_int_equal(vdb_query_vec_bytes(VDB_BITS, 64), 8);
}

static void zero_rows_have_cosine_zero(void **state) {
  (void)state;
  struct ix_data d;
  ix_data_alloc(&d, VDB_F32, VECDB_COSINE, 2, 4);
  memset(d.rows, 0, 2 * d.vecs.stride);
  float one[4] = {1, 2, 3, 4};
  memcpy(d.rows + d.vecs.stride, one, sizeof one);
  ix_data_norms(&d);
  struct vdb_query_vec q = ix_prepare(&d, (const uint8_t *)one);
  float keys[2];
  vdb_keys_range(&d.vecs, &q, 0, 2, keys);
  assert_true(keys[0] == 0);
  near_to((double)keys[1], -1);
  free(q.data);
  ix_data_free(&d);
}

/* ---- The exact scan -------------------------------------------------------------------------- */

static bool odd_row(void *arg, uint32_t row) {
  ++*(size_t *)arg;
  return row % 2;
}

/* Scans, and compares with the sorted true keys; which rows pass is up to the search. */
static void scan_is_exact(const struct ix_data *d, const uint64_t *allow, bool odd, size_t k) {
  enum { BASE = 1000 };
  struct vdb_near *items = malloc(k * sizeof *items + 1);
  uint64_t *passes = calloc(vdb_bits_words(d->vecs.n) + 1, sizeof *passes);
  struct vdb_query_vec q = ix_prepare(d, ix_query(d, 1));
  size_t asked = 0;
  size_t n_passes = 0;
  struct vdb_search s = {.query = &q, .allow = allow, .top = {items, k, 0}};
  if (odd) {
    s.accept = odd_row;
    s.accept_arg = &asked;
  }
  for (uint32_t i = 0; i < d->vecs.n; i++) {
    if ((!allow || vdb_bit_get(allow, i)) && (!odd || (BASE + i) % 2)) {
      vdb_bit_set(passes, i);
      n_passes++;
    }
  }
  vdb_flat_scan(&d->vecs, BASE, &s);
  vdb_topk_sort(&s.top);
  assert_int_equal(s.top.n, vdb_min_size(k, n_passes));
  for (size_t i = 0; i < s.top.n; i++) {
    assert_in_range(items[i].row, BASE, BASE + d->vecs.n - 1);
    assert_true(vdb_bit_get(passes, items[i].row - BASE));
    near_to((double)items[i].key, ix_true_key(d, ix_query(d, 1), items[i].row - BASE));
    near_to((double)items[i].key, ix_true_kth(d, ix_query(d, 1), passes, i + 1));
    assert_true(i == 0 || vdb_near_before(items[i - 1], items[i]));
  }
  assert_true(s.distances <= d->vecs.n);
  if (allow)
    assert_true(s.distances >= vdb_bits_count(allow, d->vecs.n) || k == 0);
  free(q.data);
  free(passes);
  free(items);
}

static void scans(void **state) {
  (void)state;
  static const size_t sizes[] = {0, 1, 63, 64, 255, 256, 257, 1000};
  static const unsigned shares[] = {0, 3, 30, 60, 100};
  for (size_t i = 0; i < VDB_COUNT(sizes); i++) {
    struct ix_data d;
    size_t n = sizes[i];
    ix_data_make(&d, VDB_I8, VECDB_L2, n, 6, 3); /* few values, and copies: ties */
    scan_is_exact(&d, NULL, false, 10);
    scan_is_exact(&d, NULL, true, 7);
    scan_is_exact(&d, NULL, false, 0);
    for (size_t k = 0; k < VDB_COUNT(shares); k++) {
      struct vdb_rng rng = {k};
      uint64_t *allow = calloc(vdb_bits_words(n) + 1, sizeof *allow);
      for (size_t row = 0; row < n; row++)
        if (vdb_rng_below(&rng, 100) < shares[k])
          vdb_bit_set(allow, row);
      scan_is_exact(&d, allow, false, 10);
      scan_is_exact(&d, allow, true, 40);
      free(allow);
    }
    ix_data_free(&d);
  }
}

static void ties_go_by_row(void **state) {
  (void)state;
  struct ix_data d;
  ix_data_alloc(&d, VDB_F32, VECDB_L2, 700, 4);
  memset(d.rows, 0, 700 * d.vecs.stride);
  memset(d.queries, 0, d.vecs.stride);
  struct vdb_query_vec q = ix_prepare(&d, ix_query(&d, 0));
  struct vdb_near items[20];
  struct vdb_search s = {.query = &q, .top = {items, 20, 0}};
  struct vdb_vecs back = d.vecs;
  back.n = 350;
  vdb_flat_scan(&back, 350, &s); /* two scans into one heap, the later rows first */
  vdb_flat_scan(&back, 0, &s);
  vdb_topk_sort(&s.top);
  for (uint32_t i = 0; i < 20; i++)
    assert_int_equal(items[i].row, i);
  free(q.data);
  ix_data_free(&d);
}

static bool stop_third(void *arg) { return ++*(int *)arg >= 3; }

static void scan_stops(void **state) {
  (void)state;
  struct ix_data d;
  ix_data_make(&d, VDB_F32, VECDB_L2, 5000, 8, 1);
  struct vdb_query_vec q = ix_prepare(&d, ix_query(&d, 0));
  struct vdb_near items[5];
  int polls = 0;
  struct vdb_search s = {.query = &q, .stop = stop_third, .stop_arg = &polls, .top = {items, 5, 0}};
  vdb_flat_scan(&d.vecs, 0, &s);
  assert_int_equal(polls, 3);
  assert_int_equal(s.top.n, 5);
  assert_true(s.distances < 1000);
  free(q.data);
  ix_data_free(&d);
}

/* A damaged file can hold anything; what matters is that the heap survives. */
static void scan_leaves_out_nan(void **state) {
  (void)state;
  struct ix_data d;
  ix_data_make(&d, VDB_F32, VECDB_L2, 100, 8, 1);
  memset(d.rows, 0xff, 50 * d.vecs.stride);
  struct vdb_query_vec q = ix_prepare(&d, ix_query(&d, 0));
  struct vdb_near items[60];
  struct vdb_search s = {.query = &q, .top = {items, 60, 0}};
  vdb_flat_scan(&d.vecs, 0, &s);
  assert_int_equal(s.top.n, 50);
  free(q.data);
  ix_data_free(&d);
}

/* ---- Parameters ------------------------------------------------------------------------------ */

static int fill_over(vecdb_index_params p, enum vdb_elem elem, uint32_t dim) {
  vecdb_error err = {0};
  struct vdb_index_field field = {"vector", elem, dim, elem == VDB_BITS ? VECDB_HAMMING : VECDB_L2};
  p.size = sizeof p;
  int rc = vdb_index_params_fill(&p, &field, &err);
  if (rc) {
    assert_string_equal(err.field, "vector");
    assert_true(err.message[0] != '\0');
  }
  return rc;
}

/* Checked and, for types whose engine is to come, found good but for that. */
static void good(vecdb_index_params p, enum vdb_elem elem) {
  int rc = fill_over(p, elem, 96);
  bool built = p.type <= VECDB_INDEX_FLAT || vdb_index_is_scan(p.type, elem) ||
               vdb_index_ops_of(p.type, elem);
  assert_int_equal(rc, built ? VECDB_OK : VECDB_ERR_UNSUPPORTED);
}

static void bad(vecdb_index_params p, enum vdb_elem elem) {
  assert_int_equal(fill_over(p, elem, 96), VECDB_ERR_INDEX_PARAM);
}

#define P(...) ((vecdb_index_params){__VA_ARGS__})

static void parameters(void **state) {
  (void)state;
  vecdb_error err;
  vecdb_index_params p = VECDB_INDEX_PARAMS_INIT;
  struct vdb_index_field field = {"v", VDB_F32, 96, VECDB_L2};
  assert_int_equal(vdb_index_params_fill(&p, &field, &err), VECDB_OK);
  assert_int_equal(p.m, 16);
  assert_int_equal(p.ef_construction, 200);
  for (int32_t type = 0; type < VDB_INDEX_TYPES; type++) {
    good(P(.type = type, .recall = 0.5f), VDB_F32);
    (type == VECDB_INDEX_DISK ? bad : good)(P(.type = type, .recall = 0.999f), VDB_I8);
    bad(P(.type = type, .recall = 0.49f), VDB_F32);
    bad(P(.type = type, .recall = 1), VDB_F32);
    bad(P(.type = type, .recall = __builtin_nanf("")), VDB_F32);
    bad(P(.type = type, .refine = 5), VDB_F32);
    bad(P(.type = type, .rotation = -1), VDB_F32);
  }
  bad(P(.type = VDB_INDEX_TYPES), VDB_F32);
  bad(P(.type = -1), VDB_F32);
}

static void parameters_of_graphs(void **state) {
  (void)state;
  static const int32_t graphs[] = {VECDB_INDEX_AUTO,    VECDB_INDEX_HNSW,     VECDB_INDEX_HNSW_SQ,
                                   VECDB_INDEX_HNSW_PQ, VECDB_INDEX_IVF_HNSW, VECDB_INDEX_BIN_HNSW,
                                   VECDB_INDEX_DISK};
  for (size_t i = 0; i < VDB_COUNT(graphs); i++) {
    good(P(.type = graphs[i], .m = 4, .ef_construction = 8, .ef = 1), VDB_F32);
    good(P(.type = graphs[i], .m = 128, .ef_construction = 4096, .ef = 16384), VDB_F32);
    bad(P(.type = graphs[i], .m = 3), VDB_F32);
    bad(P(.type = graphs[i], .m = 129), VDB_F32);
    bad(P(.type = graphs[i], .ef_construction = 7), VDB_F32);
    bad(P(.type = graphs[i], .ef_construction = 4097), VDB_F32);
    bad(P(.type = graphs[i], .ef = 16385), VDB_F32);
  }
  bad(P(.type = VECDB_INDEX_FLAT, .m = 16), VDB_F32);
  bad(P(.type = VECDB_INDEX_IVF_PQ, .m = 16), VDB_F32);
  bad(P(.type = VECDB_INDEX_FLAT, .ef = 1), VDB_F32);
  good(P(.type = VECDB_INDEX_HNSW_SQ, .nbits = 4), VDB_F16);
  good(P(.type = VECDB_INDEX_HNSW_SQ, .nbits = 8), VDB_F16);
  bad(P(.type = VECDB_INDEX_HNSW_SQ, .nbits = 5), VDB_F16);
  bad(P(.type = VECDB_INDEX_HNSW, .nlist = 10), VDB_F32);
  bad(P(.type = VECDB_INDEX_HNSW, .refine = VECDB_REFINE_NONE), VDB_F32);
  good(P(.type = VECDB_INDEX_HNSW, .refine = VECDB_REFINE_F16), VDB_F32);
  bad(P(.type = VECDB_INDEX_HNSW, .refine = VECDB_REFINE_F16), VDB_F16);
  bad(P(.type = VECDB_INDEX_HNSW, .refine = VECDB_REFINE_I8), VDB_I8);
  bad(P(.type = VECDB_INDEX_HNSW, .memory_bytes = 1), VDB_F32);
  good(P(.type = VECDB_INDEX_AUTO, .memory_bytes = 1), VDB_F32);
}

static void parameters_of_lists(void **state) {
  (void)state;
  for (int32_t type = VECDB_INDEX_IVF_FLAT; type <= VECDB_INDEX_IVF_HNSW; type++) {
    good(P(.type = type, .nlist = 1u << 20, .nprobe = 1u << 20), VDB_F32);
    bad(P(.type = type, .nlist = (1u << 20) + 1), VDB_F32);
    bad(P(.type = type, .nprobe = (1u << 20) + 1), VDB_F32);
    bad(P(.type = type, .nlist = 10, .nprobe = 11), VDB_F32);
    bad(P(.type = type), VDB_BITS);
  }
  good(P(.type = VECDB_INDEX_IVF_PQ, .pq_m = 48, .nbits = 8, .rotation = VECDB_ROTATION_OPQ),
       VDB_F32);
  bad(P(.type = VECDB_INDEX_IVF_PQ, .pq_m = 7), VDB_F32);
  bad(P(.type = VECDB_INDEX_IVF_PQ, .pq_m = 97), VDB_F32);
  bad(P(.type = VECDB_INDEX_IVF_PQ, .nbits = 9), VDB_F32);
  bad(P(.type = VECDB_INDEX_IVF_SQ8, .pq_m = 48), VDB_F32);
  bad(P(.type = VECDB_INDEX_IVF_SQ8, .nbits = 8), VDB_F32);
  bad(P(.type = VECDB_INDEX_IVF_FLAT, .refine = VECDB_REFINE_F32), VDB_F32);
  bad(P(.type = VECDB_INDEX_IVF_FLAT, .rotation = VECDB_ROTATION_RANDOM), VDB_F32);
  static const uint32_t dims[][2] = {{96, 48}, {1, 1}, {7, 7}, {15, 5}, {2, 2}, {35, 7}};
  for (size_t i = 0; i < VDB_COUNT(dims); i++) {
    vecdb_error err;
    vecdb_index_params p = {.type = VECDB_INDEX_IVF_PQ};
    struct vdb_index_field field = {"v", VDB_F32, dims[i][0], VECDB_L2};
    (void)vdb_index_params_fill(&p, &field, &err);
    assert_int_equal(p.pq_m, dims[i][1]);
    assert_int_equal(p.nbits, 4);
  }
}

static void parameters_of_bits(void **state) {
  (void)state;
  for (int32_t type = VECDB_INDEX_BIN_FLAT; type <= VECDB_INDEX_BIN_HNSW; type++) {
    good(P(.type = type), VDB_BITS);
    good(P(.type = type, .refine = VECDB_REFINE_F32), VDB_F32);
    bad(P(.type = type, .refine = VECDB_REFINE_F32), VDB_BITS);
    bad(P(.type = type, .rotation = VECDB_ROTATION_RANDOM), VDB_BITS);
  }
  good(P(.type = VECDB_INDEX_BIN_FLAT, .ef = 100), VDB_F32);
  bad(P(.type = VECDB_INDEX_BIN_FLAT, .ef = 100), VDB_BITS);
  good(P(.type = VECDB_INDEX_HNSW, .m = 8), VDB_BITS);
  good(P(.type = VECDB_INDEX_FLAT), VDB_BITS);
  bad(P(.type = VECDB_INDEX_HNSW_SQ), VDB_BITS);
  bad(P(.type = VECDB_INDEX_DISK), VDB_BITS);
}

static void parameters_settle(void **state) {
  (void)state;
  vecdb_index_params p = {.type = VECDB_INDEX_IVF_FLAT};
  vdb_index_params_settle(&p, 1000000);
  assert_int_equal(p.nlist, 4000);
  p = P(.type = VECDB_INDEX_IVF_FLAT, .nlist = 1000, .nprobe = 200);
  vdb_index_params_settle(&p, 800);
  assert_int_equal(p.nlist, 100);
  assert_int_equal(p.nprobe, 100);
  p = P(.type = VECDB_INDEX_IVF_FLAT, .nlist = 1000);
  vdb_index_params_settle(&p, 1);
  assert_int_equal(p.nlist, 1);
  p = P(.type = VECDB_INDEX_HNSW);
  vdb_index_params_settle(&p, 1000);
  assert_int_equal(p.nlist, 0);
}

/* What AUTO is for these rows. */
static vecdb_index_params chosen(const vecdb_index_params *p, const struct vdb_index_field *field,
                                 uint64_t rows) {
  vecdb_index_params out;
  vdb_index_auto(p, field, rows, NULL, &out);
  assert_true(out.memory_bytes == 0 || out.type == VECDB_INDEX_FLAT);
  return out;
}

static void auto_fits(void **state) {
  (void)state;
  struct vdb_index_field field = {"v", VDB_F32, 384, VECDB_L2};
  vecdb_index_params p = {.m = 16};
  assert_int_equal(chosen(&p, &field, 1000000).type, VECDB_INDEX_HNSW);
  p.memory_bytes = UINT64_MAX;
  assert_int_equal(chosen(&p, &field, 1000000).type, VECDB_INDEX_HNSW);
  /* Bytes a row, and what is built with them: copies of 16 bits, no copies, 4 bits, lists, DISK. */
  static const struct {
    uint64_t bytes;
    int32_t type;
    uint32_t nbits;
    int32_t refine;
  } cases[] = {{1500, VECDB_INDEX_HNSW, 0, VECDB_REFINE_AUTO},
               {700, VECDB_INDEX_HNSW, 0, VECDB_REFINE_F32},
               {600, VECDB_INDEX_HNSW_SQ, 4, VECDB_REFINE_F32},
               {160, VECDB_INDEX_DISK, 0, VECDB_REFINE_AUTO},
               {1, VECDB_INDEX_FLAT, 0, VECDB_REFINE_AUTO}};
  for (size_t i = 0; i < VDB_COUNT(cases); i++) {
    vecdb_error err;
    p.memory_bytes = cases[i].bytes * 1000;
    vecdb_index_params out = chosen(&p, &field, 1000);
    assert_int_equal(out.type, cases[i].type);
    assert_int_equal(out.nbits, cases[i].nbits);
    assert_int_equal(out.refine, cases[i].refine);
    if (out.type != VECDB_INDEX_FLAT)
      assert_int_equal(vdb_index_params_fill(&out, &field, &err), VECDB_OK);
  }
  p.memory_bytes = 1;
  assert_int_equal(chosen(&p, &field, 0).type, VECDB_INDEX_FLAT);
  field.elem = VDB_BITS;
  p.memory_bytes = 0;
  assert_int_equal(chosen(&p, &field, 5000).type, VECDB_INDEX_HNSW);
  p.memory_bytes = 5000 * 144;
  assert_int_equal(chosen(&p, &field, 5000).type, VECDB_INDEX_HNSW);
  assert_int_equal(chosen(&p, &field, 5001).type, VECDB_INDEX_FLAT);
}

static void types(void **state) {
  (void)state;
  assert_null(vdb_index_kind(-1));
  assert_null(vdb_index_kind(VDB_INDEX_TYPES));
  assert_null(vdb_index_ops_of(VECDB_INDEX_FLAT, VDB_F32));
  assert_null(vdb_index_ops_of(VECDB_INDEX_AUTO, VDB_F32));
  assert_null(vdb_index_ops_of(-1, VDB_F32));
  assert_string_equal(vdb_index_ops_of(VECDB_INDEX_HNSW, VDB_F32)->name, "hnsw");
  assert_true(vdb_index_is_scan(VECDB_INDEX_BIN_FLAT, VDB_BITS));
  assert_false(vdb_index_is_scan(VECDB_INDEX_BIN_FLAT, VDB_F32));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(keys_are_true),
      cmocka_unit_test(norms),
      cmocka_unit_test(zero_rows_have_cosine_zero),
      cmocka_unit_test(scans),
      cmocka_unit_test(ties_go_by_row),
      cmocka_unit_test(scan_stops),
      cmocka_unit_test(scan_leaves_out_nan),
      cmocka_unit_test(parameters),
      cmocka_unit_test(parameters_of_graphs),
      cmocka_unit_test(parameters_of_lists),
      cmocka_unit_test(parameters_of_bits),
      cmocka_unit_test(parameters_settle),
      cmocka_unit_test(types),
      cmocka_unit_test(auto_fits),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
