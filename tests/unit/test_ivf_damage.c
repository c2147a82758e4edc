/*
 * test_ivf_damage.c - IVF sections that were changed: opening must refuse them or give an index
 * that searches without touching foreign memory (run under ASan) and ends. And memory that runs out
 * at each allocation of building, opening and searching.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../tlib/ivftest.h"
#include "../tlib/ixdamage.h"

enum { N = IX_WHOLE_N, DIM = IX_WHOLE_DIM, BITS = 2 /* half of a byte's bits, in turn */ };

struct whole {
  struct ix_data data;
  struct ix_sections sections;
  struct vdb_mem mem;
  const struct ivf_way *way;
  size_t turn;
};

/* All ways, and one with copies of rows where there is something to copy. */
static const struct ivf_way *damaged_way(size_t i) {
  static const struct ivf_way copies = {VECDB_INDEX_IVF_SQ8, 0, 0, 0, VECDB_REFINE_F16, 0};
  return i < VDB_COUNT(ivf_ways) ? &ivf_ways[i] : i == VDB_COUNT(ivf_ways) ? &copies : NULL;
}

static void whole_make(struct whole *w, const struct ivf_way *way, enum vdb_elem elem,
                       int32_t metric) {
  vecdb_error err = {0};
  w->way = way;
  w->turn = 0;
  vdb_mem_init(&w->mem, NULL, 0);
  ix_data_make(&w->data, elem, metric, N, DIM, 2);
  ix_sections_init(&w->sections);
  assert_int_equal(ivf_build(&w->mem, &w->data, way, 1, &w->sections, &err), VECDB_OK);
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
  int rc = ivf_open_way(&w->mem, &w->data, w->way, &w->sections, &index, &err);
  if (rc) {
    ix_whole_refused(rc, index);
    return rc;
  }
  ix_whole_search(&w->mem, &w->data, index, &w->turn, 3);
  index->ops->close(&w->mem, index);
  return rc;
}

static void flipped_bits(void **state) {
  (void)state;
  for (size_t way = 0; damaged_way(way); way++) {
    struct whole w;
    whole_make(&w, damaged_way(way), VDB_F32, VECDB_COSINE);
    assert_int_equal(try_sections(&w), VECDB_OK);
    for (size_t i = 0; i < w.sections.n; i++) {
      struct ix_section *s = &w.sections.items[i];
      for (size_t at = 0; at < s->n; at += 1 + s->n / 50) {
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
}

static void random_bytes(void **state) {
  (void)state;
  struct vdb_rng rng = {5};
  for (size_t way = 0; way < VDB_COUNT(ivf_ways); way++) {
    struct whole w;
    whole_make(&w, &ivf_ways[way], way % 2 ? VDB_I8 : VDB_F32, VECDB_L2);
    for (int round = 0; round < 300; round++) {
      struct ix_section *s = &w.sections.items[vdb_rng_below(&rng, (uint32_t)w.sections.n)];
      if (s->n == 0)
        continue;
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
}

static void other_lengths(void **state) {
  (void)state;
  for (size_t way = 0; damaged_way(way); way++) {
    struct whole w;
    whole_make(&w, damaged_way(way), way < VDB_COUNT(ivf_ways) ? VDB_BF16 : VDB_F32, VECDB_IP);
    for (size_t i = 0; i < w.sections.n; i++) {
      struct ix_section *s = &w.sections.items[i];
      uint8_t *data = s->data;
      size_t n = s->n;
      uint8_t extra[4] = {0};
      for (size_t length = 0; length <= n + sizeof extra; length += 1 + n / 40) {
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
}

/* The sections are whole, but belong to other rows. */
static void other_rows(void **state) {
  (void)state;
  struct whole w;
  whole_make(&w, &ivf_ways[0], VDB_F32, VECDB_L2);
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

/* Builds with ever more memory until it works. */
static void build_short_of_memory(const struct ix_data *d, const struct ivf_way *way,
                                  struct ix_sections *sections) {
  vecdb_error err = {0};
  int rc = VECDB_ERR_NO_MEMORY;
  for (long left = 0; rc != VECDB_OK; left++) {
    struct ix_memory m;
    ix_memory_init(&m, left);
    rc = ivf_build(&m.mem, d, way, 2, sections, &err);
    assert_true(rc == VECDB_OK || rc == VECDB_ERR_NO_MEMORY);
    assert_int_equal(m.mem.used, 0);
    if (rc) {
      sections->n = VDB_COUNT(sections->items) - 1; /* with the section under way */
      ix_sections_free(sections);
    }
  }
}

static void memory_runs_out(void **state) {
  (void)state;
  for (size_t way = 0; way < VDB_COUNT(ivf_ways); way++) {
    struct ix_data d;
    struct ix_sections sections;
    vecdb_error err = {0};
    ix_data_make(&d, VDB_F16, VECDB_L2, N, DIM, 2);
    ix_sections_init(&sections);
    build_short_of_memory(&d, &ivf_ways[way], &sections);
    struct vdb_query_vec q = ix_prepare(&d, ix_query(&d, 0));
    int rc = VECDB_ERR_NO_MEMORY;
    for (long left = 0; rc != VECDB_OK; left++) {
      struct ix_memory m;
      struct vdb_index *index;
      struct vdb_near items[5];
      struct vdb_search s = {.mem = &m.mem, .query = &q, .effort = 20, .top = {items, 5, 0}};
      ix_memory_init(&m, left);
      rc = ivf_open_way(&m.mem, &d, &ivf_ways[way], &sections, &index, &err);
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
    free(q.data);
    ix_sections_free(&sections);
    ix_data_free(&d);
  }
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
