/*
 * test_bakeoff.c - AUTO's bake-off: what it expects of both indexes is what they compare when they
 * are built and searched here; the same for any number of workers; its section; cancelling, and
 * memory that runs out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/sect_memory.h"
#include "index/bakeoff.h"
#include "index/curve.h"
#include "tlib/ixtest.h"
#include "tlib/thorough.h"

enum { ROWS = 1200, DIM = 16, SEED = 1 };

static const vecdb_index_params graph_params = {
    .size = sizeof(vecdb_index_params), .type = VECDB_INDEX_HNSW, .m = 4, .ef_construction = 16};
static const vecdb_index_params lists_params = {.size = sizeof(vecdb_index_params),
                                                .type = VECDB_INDEX_IVF_RABITQ};

struct held {
  struct vdb_mem mem;
  struct ix_data data;
  struct vdb_par par;
  vecdb_index_params graph, lists;
  struct vdb_bakeoff_case c;
};

static void held_init(struct held *h, enum vdb_elem elem, int32_t metric, size_t n) {
  vecdb_error err;
  memset(h, 0, sizeof *h);
  vdb_mem_init(&h->mem, NULL, 0);
  ix_data_make(&h->data, elem, metric, n, DIM, 1);
  h->par = vdb_par_serial();
  h->graph = graph_params;
  h->lists = lists_params;
  struct vdb_index_field field = {"v", elem, DIM, metric};
  assert_int_equal(vdb_index_params_fill(&h->graph, &field, &err), VECDB_OK);
  assert_int_equal(vdb_index_params_fill(&h->lists, &field, &err), VECDB_OK);
  h->c = (struct vdb_bakeoff_case){.mem = &h->mem, .vecs = &h->data.vecs, .par = &h->par,
                                   .graph = &h->graph, .lists = &h->lists, .recall = .9f,
                                   .seed = SEED};
}

static void held_free(struct held *h) {
  assert_int_equal(h->mem.used, 0);
  ix_data_free(&h->data);
}

/* What one index over all rows is expected to take, by building and searching it. */
static float counted(struct held *h, const vecdb_index_params *params) {
  struct vdb_par par = vdb_par_serial();
  struct ix_sections sections;
  struct vdb_index *index;
  struct vdb_index_traits traits;
  struct vdb_curve curve;
  vecdb_error err;
  ix_sections_init(&sections);
  assert_int_equal(ix_build_with(&h->mem, &h->data, 1, *params, &sections, &err), VECDB_OK);
  assert_int_equal(ix_open_type(&h->mem, &h->data, params->type, &sections, &index, &err), 0);
  struct vdb_curve_measure m = {.mem = &h->mem, .index = index, .par = &par, .seed = SEED};
  assert_int_equal(vdb_curve_measure(&m, &curve, &err), VECDB_OK);
  index->ops->traits(index, &traits);
  bool lists = index->ops->effort == VDB_EFFORT_NPROBE;
  uint32_t effort = vdb_curve_effort(&curve, index->ops->effort, 10, h->c.recall);
  float us = effort ? (float)vdb_bakeoff_us(lists, &traits, vdb_curve_distances(&curve, effort),
                                            h->data.vecs.n, h->data.vecs.n)
                    : INFINITY;
  index->ops->close(&h->mem, index);
  ix_sections_free(&sections);
  return us;
}

static void as_counted(void **state) {
  static const struct {
    enum vdb_elem elem;
    int32_t metric;
  } cases[] = {{VDB_F32, VECDB_L2}, {VDB_F16, VECDB_COSINE}, {VDB_I8, VECDB_IP}};
  (void)state;
  for (size_t i = 0; i < VDB_COUNT(cases); i += test_size(1, 3)) {
    struct vdb_bakeoff one, three;
    struct held h;
    vecdb_error err;
    held_init(&h, cases[i].elem, cases[i].metric, ROWS);
    assert_int_equal(vdb_bakeoff_hold(&h.c, &one, &err), VECDB_OK);
    h.par = (struct vdb_par){ix_par_run, 3, NULL};
    assert_int_equal(vdb_bakeoff_hold(&h.c, &three, &err), VECDB_OK);
    assert_memory_equal(&one, &three, sizeof one);
    assert_int_equal(one.sample, ROWS);
    assert_int_equal(one.graph, VECDB_INDEX_HNSW);
    assert_int_equal(one.lists, VECDB_INDEX_IVF_RABITQ);
    assert_true(one.graph_us == counted(&h, &h.graph));
    assert_true(one.lists_us == counted(&h, &h.lists));
    assert_int_equal(one.lists_taken, one.lists_us < .8 * (double)one.graph_us);
    held_free(&h);
  }
}

/* More rows than the sample: what it finds is what it would of every so-manieth row, but for the
   number of all rows, which makes both slower. */
static void sampled(void **state) {
  (void)state;
  if (test_size(0, 1))
    return;
  struct vdb_bakeoff whole, part;
  struct held h;
  vecdb_error err;
  held_init(&h, VDB_F32, VECDB_L2, 2 * VDB_BAKEOFF_SAMPLE);
  assert_int_equal(vdb_bakeoff_hold(&h.c, &whole, &err), VECDB_OK);
  assert_int_equal(whole.sample, VDB_BAKEOFF_SAMPLE);
  struct vdb_vecs every_second = h.data.vecs;
  every_second.stride *= 2;
  every_second.n /= 2;
  h.c.vecs = &every_second;
  assert_int_equal(vdb_bakeoff_hold(&h.c, &part, &err), VECDB_OK);
  assert_true(part.graph_us < whole.graph_us && whole.graph_us < 1.1f * part.graph_us);
  assert_true(part.lists_us < whole.lists_us && whole.lists_us < 1.5f * part.lists_us);
  held_free(&h);
}

static void section(void **state) {
  (void)state;
  struct vdb_bakeoff given, got;
  struct vdb_mem mem;
  vecdb_error err;
  struct held h;
  held_init(&h, VDB_F32, VECDB_L2, ROWS);
  assert_int_equal(vdb_bakeoff_hold(&h.c, &given, &err), VECDB_OK);
  held_free(&h);
  vdb_mem_init(&mem, NULL, 0);
  for (int damage = 0; damage < 3; damage++) {
    struct vdb_sect_memory s;
    struct vdb_bakeoff written = given;
    written.version += damage == 1;
    written.lists = damage == 2 ? 1000 : given.lists;
    vdb_sect_memory_init(&s, &mem);
    assert_false(vdb_bakeoff_read(&s.reader, 4, &got));
    assert_int_equal(vdb_bakeoff_write(&written, &s.writer, 4, &err), VECDB_OK);
    assert_int_equal(vdb_bakeoff_read(&s.reader, 4, &got), damage == 0);
    assert_int_equal(got.sample, damage == 0 ? ROWS : 0);
    assert_true(damage > 0 || memcmp(&got, &given, sizeof got) == 0);
    assert_false(vdb_bakeoff_read(&s.reader, 5, &got));
    vdb_sect_memory_free(&s);
  }
  assert_int_equal(mem.used, 0);
}

static bool stop_at(void *arg) { return --*(int *)arg <= 0; }

static void cancelled(void **state) {
  (void)state;
  struct vdb_bakeoff got;
  struct held h;
  vecdb_error err;
  held_init(&h, VDB_F32, VECDB_IP, ROWS);
  for (int polls = 1; polls < 200; polls += (int)test_size(30, 150)) {
    int left = polls;
    h.c.stop = stop_at;
    h.c.stop_arg = &left;
    assert_int_equal(vdb_bakeoff_hold(&h.c, &got, &err), VECDB_ERR_CANCELLED);
  }
  held_free(&h);
}

static void out_of_memory(void **state) {
  (void)state;
  struct held h;
  vecdb_error err;
  held_init(&h, VDB_F32, VECDB_COSINE, ROWS);
  int rc = VECDB_ERR_NO_MEMORY;
  long each = (long)test_size(20, 8), then = (long)test_size(499, 4999);
  for (long left = 0; rc != VECDB_OK; left += left < each ? 1 : then) {
    struct ix_memory memory;
    struct vdb_bakeoff got;
    ix_memory_init(&memory, left);
    h.c.mem = &memory.mem;
    rc = vdb_bakeoff_hold(&h.c, &got, &err);
    assert_true(rc == VECDB_OK || rc == VECDB_ERR_NO_MEMORY);
    assert_int_equal(memory.mem.used, 0);
  }
  held_free(&h);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(as_counted), cmocka_unit_test(sampled),       cmocka_unit_test(section),
      cmocka_unit_test(cancelled),  cmocka_unit_test(out_of_memory),
  };
  return cmocka_run_group_tests_name("bakeoff", tests, NULL, NULL);
}
