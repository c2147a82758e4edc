/*
 * test_hnsw_damage.c - HNSW sections that were changed: opening must refuse them or give an index
 * that searches without touching foreign memory (run under ASan) and ends. And memory that runs out
 * at each allocation of building, opening and searching.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../tlib/ixdamage.h"

/* Each byte is damaged, and half of its bits in turn. */
enum { N = IX_WHOLE_N, DIM = IX_WHOLE_DIM, M = 4, BITS = 2 };

struct whole {
  struct ix_data data;
  struct ix_sections sections;
  struct vdb_mem mem;
  size_t turn;
};

/* Rows of which some are copies and that lose nothing in 16 bits, so that all sections have
   something in them. */
static void whole_make_with(struct whole *w, enum vdb_elem elem, int32_t metric,
                            vecdb_index_params params) {
  vecdb_error err = {0};
  w->turn = 0;
  vdb_mem_init(&w->mem, NULL, 0);
  ix_data_make(&w->data, elem, metric, N, DIM, 2);
  if (elem == VDB_F32) {
    float *values = (float *)(void *)w->data.rows;
    for (size_t i = 0; i < N * DIM; i++)
      values[i] = roundf(values[i] * 64) / 64;
  }
  ix_sections_init(&w->sections);
  assert_int_equal(ix_build_with(&w->mem, &w->data, 1, params, &w->sections, &err), VECDB_OK);
}

static void whole_make(struct whole *w, enum vdb_elem elem, int32_t metric) {
  whole_make_with(w, elem, metric,
                  (vecdb_index_params){.size = sizeof(vecdb_index_params), .m = M,
                                       .type = VECDB_INDEX_HNSW, .ef_construction = 100});
}

/* With 4-bit codes to walk among and 8-bit ones to score hits. */
static void whole_make_fine(struct whole *w, int32_t metric) {
  whole_make_with(w, VDB_F32, metric,
                  (vecdb_index_params){.size = sizeof(vecdb_index_params), .m = M, .nbits = 4,
                                       .type = VECDB_INDEX_HNSW_SQ, .refine = VECDB_REFINE_I8});
}

static void whole_free(struct whole *w) {
  assert_int_equal(w->mem.used, 0);
  ix_sections_free(&w->sections);
  ix_data_free(&w->data);
}

/* Opens and, when that works, searches in each way. */
static int try_sections(struct whole *w) {
  vecdb_error err = {0};
  struct vdb_index *index = (struct vdb_index *)w;
  int rc = ix_open(&w->mem, &w->data, &w->sections, &index, &err);
  if (rc) {
    ix_whole_refused(rc, index);
    return rc;
  }
  ix_whole_search(&w->mem, &w->data, index, &w->turn, 10);
  index->ops->close(&w->mem, index);
  return rc;
}

static void flipped_bits(void **state) {
  (void)state;
  struct whole w;
  whole_make(&w, VDB_F32, VECDB_COSINE);
  assert_int_equal(try_sections(&w), VECDB_OK);
  for (size_t i = 0; i < w.sections.n; i++) {
    struct ix_section *s = &w.sections.items[i];
    for (size_t at = 0; at < s->n; at++) {
      uint8_t was = s->data[at];
      for (int bit = (int)(at % BITS); bit < 8; bit += BITS) {
        s->data[at] = (uint8_t)(was ^ 1 << bit);
        try_sections(&w);
      }
      s->data[at] = was;
    }
  }
  whole_free(&w);
}

static void try_random_bytes(enum vdb_elem elem, bool fine) {
  struct whole w;
  struct vdb_rng rng = {5};
  if (fine)
    whole_make_fine(&w, VECDB_IP);
  else
    whole_make(&w, elem, VECDB_L2);
  for (int round = 0; round < 1500; round++) {
    struct ix_section *s = &w.sections.items[vdb_rng_below(&rng, (uint32_t)w.sections.n)];
    if (s->n == 0)
      continue; /* codes, of a type without */
    uint8_t *was = malloc(s->n);
    memcpy(was, s->data, s->n);
    for (uint32_t n = 1 + vdb_rng_below(&rng, 12); n > 0; n--) {
      /* mostly plausible numbers, which get past the checks more often than noise does */
      uint32_t value = vdb_rng_below(&rng, 3) ? vdb_rng_below(&rng, N) : UINT32_MAX;
      size_t at = vdb_rng_below(&rng, (uint32_t)s->n / 4);
      memcpy(s->data + at * 4, &value, sizeof value);
    }
    try_sections(&w);
    memcpy(s->data, was, s->n);
    free(was);
  }
  whole_free(&w);
}

static void random_bytes(void **state) {
  (void)state;
  try_random_bytes(VDB_F32, false);
  try_random_bytes(VDB_F32, true);
  try_random_bytes(VDB_I8, false);
}

static void try_other_lengths(bool fine) {
  struct whole w;
  if (fine)
    whole_make_fine(&w, VECDB_COSINE);
  else
    whole_make(&w, VDB_F32, VECDB_IP);
  for (size_t i = 0; i < w.sections.n; i++) {
    struct ix_section *s = &w.sections.items[i];
    uint8_t *data = s->data;
    size_t n = s->n;
    uint8_t extra[4] = {0};
    for (size_t length = 0; length <= n + sizeof extra; length += n <= 256 ? 1 : 3) {
      if (length == n)
        continue;
      s->data = NULL;
      ix_section_set(s, data, vdb_min_size(length, n), extra, length > n ? length - n : 0);
      assert_int_equal(try_sections(&w), VECDB_ERR_CORRUPT);
      free(s->data);
    }
    s->data = data;
    s->n = n;
    uint32_t tag = s->tag;
    s->tag = 0;
    assert_int_equal(try_sections(&w), VECDB_ERR_CORRUPT);
    s->tag = tag;
  }
  whole_free(&w);
}

static void other_lengths(void **state) {
  (void)state;
  try_other_lengths(false);
  try_other_lengths(true);
}

/* The sections are whole, but belong to other rows. */
static void other_rows(void **state) {
  (void)state;
  struct whole w;
  whole_make(&w, VDB_F32, VECDB_L2);
  struct vdb_vecs was = w.data.vecs;
  w.data.vecs.n = N - 1;
  assert_int_equal(try_sections(&w), VECDB_ERR_CORRUPT);
  w.data.vecs = was;
  w.data.vecs.dim = DIM - 1;
  assert_int_equal(try_sections(&w), VECDB_ERR_CORRUPT);
  w.data.vecs = was;
  w.data.vecs.metric = VECDB_IP;
  assert_int_equal(try_sections(&w), VECDB_ERR_CORRUPT);
  w.data.vecs = was;
  memset(w.data.rows, 0xff, N * was.stride); /* NaN */
  assert_int_equal(try_sections(&w), VECDB_OK);
  whole_free(&w);
}

static void memory_runs_out(void **state) {
  (void)state;
  struct ix_data d;
  vecdb_error err = {0};
  ix_data_make(&d, VDB_F16, VECDB_L2, N, DIM, 2);
  struct ix_sections sections;
  ix_sections_init(&sections);
  int rc = VECDB_ERR_NO_MEMORY;
  for (long left = 0; rc != VECDB_OK; left++) {
    struct ix_memory m;
    ix_memory_init(&m, left);
    rc = ix_build(&m.mem, &d, 2, M, &sections, &err);
    assert_true(rc == VECDB_OK || rc == VECDB_ERR_NO_MEMORY);
    assert_int_equal(m.mem.used, 0);
    if (rc)
      ix_sections_free(&sections);
  }
  uint64_t allow[2] = {0x0101010101010101, 0};
  struct vdb_query_vec q = ix_prepare(&d, ix_query(&d, 0));
  for (int filtered = 0; filtered < 2; filtered++) {
    rc = VECDB_ERR_NO_MEMORY;
    for (long left = 0; rc != VECDB_OK; left++) {
      struct ix_memory m;
      struct vdb_index *index;
      struct vdb_near items[5];
      struct vdb_search s = {.mem = &m.mem, .query = &q, .effort = 20, .top = {items, 5, 0}};
      s.allow = filtered ? allow : NULL;
      ix_memory_init(&m, left);
      rc = ix_open(&m.mem, &d, &sections, &index, &err);
      if (rc == VECDB_OK) {
        rc = index->ops->search(index, &s, &err);
        assert_int_equal(s.top.n, rc ? 0 : 5);
        m.left = -1;
        s.top.n = 0; /* a failed search leaves the index as good as new */
        assert_int_equal(index->ops->search(index, &s, &err), VECDB_OK);
        assert_int_equal(s.top.n, 5);
        index->ops->close(&m.mem, index);
      }
      assert_true(rc == VECDB_OK || rc == VECDB_ERR_NO_MEMORY);
      assert_int_equal(m.mem.used, 0);
    }
  }
  free(q.data);
  ix_sections_free(&sections);
  ix_data_free(&d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(flipped_bits),
      cmocka_unit_test(random_bytes),
      cmocka_unit_test(other_lengths),
      cmocka_unit_test(other_rows),
      cmocka_unit_test(memory_runs_out),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
