/*
 * test_coded_damage.c - HNSW_PQ and the BIN_* types: sections that were changed, and memory that
 * runs out; see ixdamage.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../tlib/ixdamage.h"

static const struct {
  vecdb_index_params params;
  enum vdb_elem elem;
  int32_t metric;
  int32_t other; /* metric */
} forms[] = {
    {{.size = sizeof(vecdb_index_params), .type = VECDB_INDEX_HNSW_PQ, .m = 4},
     VDB_F32, VECDB_L2, VECDB_IP},
    {{.size = sizeof(vecdb_index_params), .type = VECDB_INDEX_HNSW_PQ, .m = 4, .nbits = 5,
      .pq_m = 2, .rotation = VECDB_ROTATION_OPQ, .refine = VECDB_REFINE_I8},
     VDB_F32, VECDB_IP, VECDB_L2},
    {{.size = sizeof(vecdb_index_params), .type = VECDB_INDEX_BIN_HNSW, .m = 4},
     VDB_F16, VECDB_COSINE, VECDB_L2},
    {{.size = sizeof(vecdb_index_params), .type = VECDB_INDEX_BIN_FLAT},
     VDB_F32, VECDB_COSINE, VECDB_IP},
    {{.size = sizeof(vecdb_index_params), .type = VECDB_INDEX_BIN_IVF},
     VDB_BITS, VECDB_JACCARD, VECDB_HAMMING},
    {{.size = sizeof(vecdb_index_params), .type = VECDB_INDEX_BIN_IVF},
     VDB_BITS, VECDB_HAMMING, VECDB_JACCARD},
};

static void whole(struct ix_whole *w, size_t f) {
  ix_whole_make(w, forms[f].elem, forms[f].metric, forms[f].params);
}

static void flipped_bits(void **state) {
  (void)state;
  for (size_t f = 0; f < VDB_COUNT(forms); f++) {
    struct ix_whole w;
    whole(&w, f);
    ix_whole_flip(&w, 17);
    ix_whole_free(&w);
  }
}

static void random_numbers(void **state) {
  (void)state;
  for (size_t f = 0; f < VDB_COUNT(forms); f++) {
    struct ix_whole w;
    whole(&w, f);
    ix_whole_scatter(&w, 800);
    ix_whole_free(&w);
  }
}

static void other_lengths(void **state) {
  (void)state;
  for (size_t f = 0; f < VDB_COUNT(forms); f++) {
    struct ix_whole w;
    whole(&w, f);
    ix_whole_cut(&w, 29);
    ix_whole_free(&w);
  }
}

static void other_rows(void **state) {
  (void)state;
  for (size_t f = 0; f < VDB_COUNT(forms); f++) {
    struct ix_whole w;
    whole(&w, f);
    ix_whole_elsewhere(&w, w.data.vecs.elem == VDB_BITS ? 8 : 1, forms[f].other);
    ix_whole_free(&w);
  }
}

static void memory_runs_out(void **state) {
  (void)state;
  for (size_t f = 0; f < VDB_COUNT(forms); f++)
    ix_short_of_memory(forms[f].elem, forms[f].metric, forms[f].params);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(flipped_bits),
      cmocka_unit_test(random_numbers),
      cmocka_unit_test(other_lengths),
      cmocka_unit_test(other_rows),
      cmocka_unit_test(memory_runs_out),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
