/*
 * ixdamage.h - sections of an index that are changed in every way: opening must refuse them or give
 * an index that searches without touching foreign memory (run under ASan) and ends. And memory that
 * runs out at each allocation of building, opening and searching. For cmocka tests of any type.
 */
#ifndef IXDAMAGE_H
#define IXDAMAGE_H

#include "ixtest.h"

enum { IX_WHOLE_N = 90, IX_WHOLE_DIM = 8 };

struct ix_whole {
  struct ix_data data;
  struct ix_sections sections;
  struct vdb_mem mem;
  vecdb_index_params params;
  size_t turn;
};

/* A sound index over rows of which some are copies. */
static inline void ix_whole_make(struct ix_whole *w, enum vdb_elem elem, int32_t metric,
                                 vecdb_index_params params) {
  vecdb_error err = {0};
  w->params = params;
  w->turn = 0;
  vdb_mem_init(&w->mem, NULL, 0);
  ix_data_make(&w->data, elem, metric, IX_WHOLE_N, IX_WHOLE_DIM, 2);
  ix_sections_init(&w->sections);
  assert_int_equal(ix_build_with(&w->mem, &w->data, 1, params, &w->sections, &err), VECDB_OK);
}

static inline void ix_whole_free(struct ix_whole *w) {
  assert_int_equal(w->mem.used, 0);
  ix_sections_free(&w->sections);
  ix_data_free(&w->data);
}

static inline bool ix_accept_even(void *arg, uint32_t row) {
  (void)arg;
  return row % 2 == 0;
}

/* Of 12 ways to search, after each change; the bits of a byte see all. */
enum { IX_WHOLE_EACH = 3 };

/* Searches an index of such rows in the next of the ways; the least width is `least`. */
static inline void ix_whole_search(struct vdb_mem *mem, const struct ix_data *data,
                                   const struct vdb_index *index, size_t *turn, uint32_t least) {
  vecdb_error err = {0};
  uint64_t some[2] = {0x1111111111111111, 0x1};
  uint64_t most[2] = {~(uint64_t)3, 0x3ff};
  for (size_t end = *turn + IX_WHOLE_EACH; *turn < end; ++*turn) {
    size_t i = *turn % 12;
    struct vdb_query_vec q = ix_prepare(data, ix_query(data, i));
    struct vdb_near items[IX_WHOLE_N];
    struct vdb_search s = {.mem = mem, .query = &q, .effort = i % 2 ? 200 : least};
    s.top = (struct vdb_topk){items, i % 2 ? IX_WHOLE_N : 5, 0};
    s.allow = i % 3 == 0 ? NULL : i % 3 == 1 ? some : most;
    s.accept = i % 4 < 2 ? NULL : ix_accept_even;
    assert_int_equal(index->ops->search(index, &s, &err), VECDB_OK);
    for (size_t k = 0; k < s.top.n; k++)
      assert_in_range(items[k].row, 0, IX_WHOLE_N - 1);
    free(q.data);
  }
}

/* Opening gave `rc`: it may refuse, in two ways, and then gives no index. */
static inline void ix_whole_refused(int rc, const struct vdb_index *index) {
  assert_true(rc == VECDB_ERR_CORRUPT || rc == VECDB_ERR_NEWER_FORMAT);
  assert_null(index);
}

/* Opens and, when that works, searches in each way. */
static inline int ix_whole_try(struct ix_whole *w) {
  vecdb_error err = {0};
  struct vdb_index *index = (struct vdb_index *)w;
  int rc = ix_open_type(&w->mem, &w->data, w->params.type, &w->sections, &index, &err);
  if (rc) {
    ix_whole_refused(rc, index);
    return rc;
  }
  ix_whole_search(&w->mem, &w->data, index, &w->turn, 3);
  index->ops->close(&w->mem, index);
  return rc;
}

/* Each bit of every `step`-th byte. */
static inline void ix_whole_flip(struct ix_whole *w, size_t step) {
  assert_int_equal(ix_whole_try(w), VECDB_OK);
  for (size_t i = 0; i < w->sections.n; i++) {
    struct ix_section *s = &w->sections.items[i];
    for (size_t at = 0; at < s->n; at += s->n <= 256 ? 1 : step) {
      uint8_t was = s->data[at];
      for (int bit = 0; bit < 8; bit++) {
        s->data[at] = (uint8_t)(was ^ 1 << bit);
        ix_whole_try(w);
      }
      s->data[at] = was;
    }
  }
}

/* Numbers at random places: mostly plausible ones, which get past the checks more often than noise
   does. */
static inline void ix_whole_scatter(struct ix_whole *w, int rounds) {
  struct vdb_rng rng = {5};
  for (int round = 0; round < rounds; round++) {
    struct ix_section *s = &w->sections.items[vdb_rng_below(&rng, (uint32_t)w->sections.n)];
    if (s->n == 0)
      continue;
    uint8_t *was = malloc(s->n);
    memcpy(was, s->data, s->n);
    for (uint32_t n = 1 + vdb_rng_below(&rng, 12); n > 0; n--) {
      uint32_t value = vdb_rng_below(&rng, 3) ? vdb_rng_below(&rng, IX_WHOLE_N) : UINT32_MAX;
      size_t at = vdb_rng_below(&rng, (uint32_t)s->n / 4);
      memcpy(s->data + at * 4, &value, sizeof value);
    }
    ix_whole_try(w);
    memcpy(s->data, was, s->n);
    free(was);
  }
}

/* Sections that are shorter by every `step` bytes, longer, or not there. */
static inline void ix_whole_cut(struct ix_whole *w, size_t step) {
  for (size_t i = 0; i < w->sections.n; i++) {
    struct ix_section *s = &w->sections.items[i];
    uint8_t *data = s->data;
    size_t n = s->n;
    uint8_t extra[4] = {0};
    for (size_t length = 0; length <= n + sizeof extra; length += n <= 256 ? 1 : step) {
      if (length == n)
        continue;
      s->data = NULL;
      ix_section_set(s, data, vdb_min_size(length, n), extra, length > n ? length - n : 0);
      assert_int_equal(ix_whole_try(w), VECDB_ERR_CORRUPT);
      free(s->data);
    }
    s->data = data;
    s->n = n;
    uint32_t tag = s->tag;
    s->tag = 0;
    assert_int_equal(ix_whole_try(w), VECDB_ERR_CORRUPT);
    s->tag = tag;
  }
}

/* The sections are whole, but belong to rows of another number, dimension (by `less`) or metric; or
   the rows have become noise. */
static inline void ix_whole_elsewhere(struct ix_whole *w, uint32_t less, int32_t metric) {
  struct vdb_vecs was = w->data.vecs;
  w->data.vecs.n = IX_WHOLE_N - 1;
  assert_int_equal(ix_whole_try(w), VECDB_ERR_CORRUPT);
  w->data.vecs = was;
  w->data.vecs.dim -= less;
  assert_int_equal(ix_whole_try(w), VECDB_ERR_CORRUPT);
  w->data.vecs = was;
  w->data.vecs.metric = metric;
  assert_int_equal(ix_whole_try(w), VECDB_ERR_CORRUPT);
  w->data.vecs = was;
  memset(w->data.rows, 0xff, IX_WHOLE_N * was.stride); /* NaN, of floats */
  assert_int_equal(ix_whole_try(w), VECDB_OK);
}

/* Builds with ever more memory until it works. */
static inline void ix_short_build(const struct ix_data *d, vecdb_index_params params,
                                  struct ix_sections *sections) {
  vecdb_error err = {0};
  int rc = VECDB_ERR_NO_MEMORY;
  for (long left = 0; rc != VECDB_OK; left++) {
    struct ix_memory m;
    ix_memory_init(&m, left);
    rc = ix_build_with(&m.mem, d, 2, params, sections, &err);
    assert_true(rc == VECDB_OK || rc == VECDB_ERR_NO_MEMORY);
    assert_int_equal(m.mem.used, 0);
    if (rc) {
      sections->n = VDB_COUNT(sections->items) - 1; /* with the section under way */
      ix_sections_free(sections);
    }
  }
}

/* Opens and searches with ever more memory until it works. */
static inline void ix_short_search(const struct ix_data *d, int32_t type,
                                   const struct ix_sections *sections, const uint64_t *allow) {
  vecdb_error err = {0};
  struct vdb_query_vec q = ix_prepare(d, ix_query(d, 0));
  int rc = VECDB_ERR_NO_MEMORY;
  for (long left = 0; rc != VECDB_OK; left++) {
    struct ix_memory m;
    struct vdb_index *index;
    struct vdb_near items[5];
    struct vdb_search s = {.mem = &m.mem, .query = &q, .effort = 20, .allow = allow};
    s.top = (struct vdb_topk){items, 5, 0};
    ix_memory_init(&m, left);
    rc = ix_open_type(&m.mem, d, type, sections, &index, &err);
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
}

/* Both, with and without a filter. */
static inline void ix_short_of_memory(enum vdb_elem elem, int32_t metric,
                                      vecdb_index_params params) {
  struct ix_data d;
  struct ix_sections sections;
  uint64_t allow[2] = {0x0101010101010101, 0};
  ix_data_make(&d, elem, metric, IX_WHOLE_N, IX_WHOLE_DIM, 2);
  ix_sections_init(&sections);
  ix_short_build(&d, params, &sections);
  ix_short_search(&d, params.type, &sections, NULL);
  ix_short_search(&d, params.type, &sections, allow);
  ix_sections_free(&sections);
  ix_data_free(&d);
}

#endif
