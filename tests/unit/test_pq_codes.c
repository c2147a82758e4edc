/*
 * test_pq_codes.c - product-quantized rows as codes to walk among: keys against those of the rows,
 * the same codes for any number of workers, damaged params and codes, memory that runs out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../tlib/ixtest.h"
#include "../tlib/thorough.h"
#include "index/index.h"
#include "index/pq_codes.h"

enum { N = 700, DIM = 24 };

/* Of many types of data, each form sees every third. */
static size_t part(void) { return test_size(1, 5); }

static const struct vdb_codes_ops *ops(void) { return vdb_pq_codes_ops(); }

static int make(struct vdb_mem *mem, const struct vdb_vecs *vecs, unsigned workers,
                const vecdb_index_params *params, struct vdb_codes *out) {
  struct vdb_par par = {ix_par_run, workers, NULL};
  vecdb_error err;
  uint32_t order[N];
  for (uint32_t i = 0; i < vecs->n; i++) /* 11 has no factor in common with 700 or 40 */
    order[i] = (uint32_t)((uint64_t)i * 11 % vecs->n);
  struct vdb_codes_make job = {mem, vecs, &par, params, order, vecs->n, 5};
  return ops()->make(&job, out, &err);
}

/* Keys of all rows for query i. */
static void keys_of(const struct vdb_codes *codes, const struct ix_data *d, size_t i, float *keys) {
  struct vdb_query_vec q = ix_prepare(d, ix_query(d, i));
  uint32_t ids[N];
  void *query = NULL;
  assert_int_equal(posix_memalign(&query, 64, ops()->query_bytes(codes)), 0);
  ops()->query(codes, &q, query);
  for (uint32_t k = 0; k < d->vecs.n; k++)
    ids[k] = k;
  ops()->keys(codes, query, ids, d->vecs.n, keys);
  free(query);
  free(q.data);
}

/* The share of the ten nearest that are among the 30 least keys. */
static double recall(const struct vdb_codes *codes, const struct ix_data *d) {
  uint32_t found = 0, wanted = 0;
  for (size_t i = 0; i < d->n_queries; i++) {
    float keys[N];
    double sorted[N], tenth = ix_true_kth(d, ix_query(d, i), NULL, 10);
    keys_of(codes, d, i, keys);
    for (uint32_t k = 0; k < N; k++)
      sorted[k] = (double)keys[k];
    qsort(sorted, N, sizeof *sorted, ix_compare_doubles);
    for (uint32_t k = 0; k < N; k++)
      if (ix_true_key(d, ix_query(d, i), k) <= tenth) {
        wanted++;
        found += (double)keys[k] <= sorted[29];
      }
  }
  return (double)found / wanted;
}

static void near_rows(void **state) {
  (void)state;
  static const int32_t metrics[] = {VECDB_L2, VECDB_IP, VECDB_COSINE};
  static const enum vdb_elem elems[] = {VDB_F32, VDB_F16, VDB_BF16};
  static const uint32_t forms[][3] = {{12, 4, VECDB_ROTATION_AUTO}, {12, 5, VECDB_ROTATION_NONE},
                                      {8, 8, VECDB_ROTATION_OPQ},   {24, 3, VECDB_ROTATION_RANDOM},
                                      {3, 8, VECDB_ROTATION_OPQ}};
  struct vdb_mem mem;
  vecdb_error err;
  vdb_mem_init(&mem, NULL, 0);
  for (size_t v = 0; v < 9; v++)
    for (size_t f = v % part(); f < VDB_COUNT(forms); f += part()) {
      struct ix_data d;
      struct vdb_codes codes, more, opened = {0};
      vecdb_index_params p = VECDB_INDEX_PARAMS_INIT;
      p.pq_m = forms[f][0];
      p.nbits = forms[f][1];
      p.rotation = (int32_t)forms[f][2];
      ix_data_make(&d, elems[v / 3], metrics[v % 3], N, DIM, 1);
      assert_true(ops()->fits(&d.vecs));
      assert_int_equal(make(&mem, &d.vecs, 1, &p, &codes), VECDB_OK);
      assert_int_equal(make(&mem, &d.vecs, 3, &p, &more), VECDB_OK);
      assert_int_equal(codes.data_size, N * codes.stride);
      assert_int_equal(codes.params_size, more.params_size);
      assert_memory_equal(codes.params, more.params, codes.params_size);
      assert_memory_equal(codes.data, more.data, codes.data_size);
      assert_true(recall(&codes, &d) >= (p.pq_m == 3 ? 0.75 : 0.95));
      opened.data = codes.data;
      opened.data_size = codes.data_size;
      opened.params = codes.params;
      opened.params_size = codes.params_size;
      assert_int_equal(ops()->open(&mem, &d.vecs, &opened, &err), VECDB_OK);
      float one[N], other[N];
      keys_of(&codes, &d, 3, one);
      keys_of(&opened, &d, 3, other);
      assert_memory_equal(one, other, sizeof one);
      ops()->close(&mem, &opened, false);
      ops()->close(&mem, &more, true);
      ops()->close(&mem, &codes, true);
      ix_data_free(&d);
    }
  assert_int_equal(mem.used, 0);
}

/* Who asks for none, or looks where there are none, gets none. */
static void no_rows(void **state) {
  (void)state;
  struct ix_data d;
  struct vdb_codes codes;
  struct vdb_mem mem;
  vecdb_error err;
  vecdb_index_params p = VECDB_INDEX_PARAMS_INIT;
  vdb_mem_init(&mem, NULL, 0);
  ix_data_make(&d, VDB_F32, VECDB_L2, 40, DIM, 1);
  p.pq_m = 3;
  p.nbits = 4;
  assert_int_equal(make(&mem, &d.vecs, 1, &p, &codes), VECDB_OK);
  struct vdb_query_vec q = ix_prepare(&d, ix_query(&d, 0));
  for (uint32_t n = 0; n <= 40; n += 40) {
    struct vdb_near nearest[1];
    struct vdb_search s = {.mem = &mem, .query = &q, .effort = n ? 0 : 9};
    s.top = (struct vdb_topk){nearest, n ? 0 : 1, 0};
    codes.n = n;
    assert_int_equal(vdb_codes_scan(&codes, &d.vecs, &s, &err), VECDB_OK);
    assert_int_equal(s.top.n + s.distances, 0);
  }
  free(q.data);
  ops()->close(&mem, &codes, true);
  ix_data_free(&d);
  assert_int_equal(mem.used, 0);
}

static void damaged(void **state) {
  (void)state;
  struct ix_data d;
  struct vdb_codes codes;
  struct vdb_mem mem;
  struct vdb_rng rng = {1};
  vecdb_error err;
  vecdb_index_params p = VECDB_INDEX_PARAMS_INIT;
  vdb_mem_init(&mem, NULL, 0);
  ix_data_make(&d, VDB_F32, VECDB_L2, 40, DIM, 1);
  for (p.nbits = 3; p.nbits <= 5; p.nbits++) {
    p.pq_m = p.nbits == 3 ? 4 : 3;
    assert_int_equal(make(&mem, &d.vecs, 1, &p, &codes), VECDB_OK);
    uint8_t *params = (uint8_t *)(uintptr_t)codes.params;
    uint8_t *data = (uint8_t *)(uintptr_t)codes.data;
    for (size_t round = 0; round < 6000; round++) {
      struct vdb_codes opened = {0};
      float keys[N];
      /* each bit of the headers, and bits at random */
      size_t at = round / 8 < 256 ? round / 8 : vdb_rng_below(&rng, (uint32_t)codes.params_size);
      uint8_t bit = (uint8_t)(1 << round % 8);
      params[at] ^= bit;
      data[vdb_rng_below(&rng, (uint32_t)codes.data_size)] ^= (uint8_t)vdb_rng_next(&rng);
      opened.params = params;
      opened.data = data;
      opened.data_size = codes.data_size;
      opened.params_size = codes.params_size;
      int rc = ops()->open(&mem, &d.vecs, &opened, &err);
      assert_true(rc == VECDB_OK || rc == VECDB_ERR_CORRUPT || rc == VECDB_ERR_NEWER_FORMAT);
      if (rc == VECDB_OK) {
        keys_of(&opened, &d, 0, keys);
        ops()->close(&mem, &opened, false);
      }
      params[at] ^= bit;
    }
    for (size_t n = 0; n < codes.params_size; n += 1 + n / 7) {
      void *cut = NULL; /* an exact block, so that reading too far shows */
      assert_int_equal(posix_memalign(&cut, 64, n + !n), 0);
      memcpy(cut, params, n);
      struct vdb_codes opened = {.data = data, .data_size = codes.data_size, .params = cut,
                                 .params_size = n};
      assert_int_equal(ops()->open(&mem, &d.vecs, &opened, &err), VECDB_ERR_CORRUPT);
      free(cut);
    }
    ops()->close(&mem, &codes, true);
  }
  ix_data_free(&d);
  assert_int_equal(mem.used, 0);
}

static void out_of_memory(void **state) {
  (void)state;
  struct ix_data d;
  struct ix_memory m;
  vecdb_error err;
  vecdb_index_params p = VECDB_INDEX_PARAMS_INIT;
  p.pq_m = 4;
  p.nbits = 8; /* 40 rows: 5 */
  p.rotation = VECDB_ROTATION_OPQ;
  ix_data_make(&d, VDB_F32, VECDB_IP, 40, DIM, 1);
  int rc = VECDB_ERR_NO_MEMORY;
  for (long fail = 0; rc; fail++) {
    struct vdb_codes codes;
    ix_memory_init(&m, fail);
    rc = make(&m.mem, &d.vecs, 1, &p, &codes);
    assert_true(rc == VECDB_OK || rc == VECDB_ERR_NO_MEMORY);
    if (rc == VECDB_OK) {
      struct vdb_codes opened = codes;
      int again = ops()->open(&m.mem, &d.vecs, &opened, &err);
      assert_true(again == VECDB_OK || again == VECDB_ERR_NO_MEMORY);
      if (again == VECDB_OK)
        ops()->close(&m.mem, &opened, false);
      ops()->close(&m.mem, &codes, true);
      rc = again;
    }
    assert_int_equal(m.mem.used, 0);
    assert_true(fail < 300);
  }
  ix_data_free(&d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(near_rows),
      cmocka_unit_test(no_rows),
      cmocka_unit_test(damaged),
      cmocka_unit_test(out_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
