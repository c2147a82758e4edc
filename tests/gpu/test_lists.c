/*
 * test_lists.c - lists looked through by the GPU module, against all their blocks compared by the
 * library's plain kernels: the same candidates with the same keys, bit by bit. With
 * VECDB_GPU_MODULE naming a module, on its device; else on the emulated one (emu/).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "accel/accel.h"
#include "gpu/gputest.h"
#include "kern/fastscan.h"
#include "kern/kern.h"

enum { SLOTS = VDB_ACCEL_SLOTS, ROWS = 900 };

static const struct vdb_accel_ops *gpu;
static void (*emu_fail_at)(uint64_t);
static uint64_t (*emu_calls)(void);
static size_t (*emu_used)(void);

static uint64_t dice_state = 3;
static uint32_t dice(uint32_t n) {
  dice_state = dice_state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(dice_state >> 33) % n;
}
static float dice_float(void) {
  return (float)dice(20001) / 10000 - 1;
}

/* ---- Lists ----------------------------------------------------------------------------------- */

struct lists {
  struct vdb_accel_lists as;
  uint8_t *blocks;
  uint32_t *starts, *rows;
  int8_t *centroids;
  float *scales, *biases, *spreads;
};

static void put_half(uint8_t *at, float x) {
  uint16_t half;
  vdb_kern_available(0)->f32_to_f16(&x, &half, 1);
  memcpy(at, &half, sizeof half);
}

/* Any codes; factors of a block behind them. A free slot is at infinity. */
static void block_make(const struct lists *l, uint8_t *block, const uint32_t *rows) {
  size_t wide = l->as.code == VDB_ACCEL_NIBBLES ? 16 : 32;
  uint8_t *factors = block + l->as.m * wide;
  for (size_t i = 0; i < l->as.m * wide; i++)
    block[i] = (uint8_t)dice(256);
  for (uint32_t i = 0; i < SLOTS; i++) {
    float add = rows[i] < ROWS ? dice_float() * 3 : INFINITY, rescale = -dice_float();
    if (l->as.code == VDB_ACCEL_INTS) {
      memcpy(factors + 4 * i, &add, 4);
      memcpy(factors + 4 * (SLOTS + i), &rescale, 4);
      continue;
    }
    put_half(factors + 2 * i, add);
    if (l->as.rescaled)
      put_half(factors + 2 * (SLOTS + i), rescale);
  }
}

/* Lists of 0 to 4 blocks, the last slots of each free; rows come up to twice. */
static struct lists lists_make(int32_t code, uint32_t m, bool rescaled, uint32_t n, size_t stride) {
  struct lists l = {.as = {.stride = stride, .n = n, .n_rows = ROWS, .code = code, .m = m,
                           .rescaled = rescaled}};
  size_t factors = code == VDB_ACCEL_INTS ? 256 : 128;
  size_t bytes = m * (code == VDB_ACCEL_NIBBLES ? 16u : 32u) + factors;
  l.as.block_bytes = (bytes + 63) / 64 * 64;
  l.starts = calloc(n + 1, sizeof *l.starts);
  l.scales = calloc(n, sizeof *l.scales);
  l.biases = calloc(n, sizeof *l.biases);
  l.spreads = calloc(n, sizeof *l.spreads);
  l.centroids = calloc(n, stride);
  for (uint32_t i = 0; i < n; i++) {
    l.starts[i + 1] = l.starts[i] + (i == 2 ? 0 : 1 + dice(4));
    l.scales[i] = 0.01f + (float)dice(100) / 10000;
    l.biases[i] = dice_float();
    l.spreads[i] = (float)dice(100) / 1000;
  }
  for (size_t i = 0; i < n * stride; i++)
    l.centroids[i] = (int8_t)(dice(255) - 127);
  uint32_t n_blocks = l.starts[n];
  l.rows = calloc((size_t)n_blocks * SLOTS, sizeof *l.rows);
  l.blocks = calloc(n_blocks, l.as.block_bytes);
  for (uint32_t b = 0, list = 0; b < n_blocks; b++) {
    while (l.starts[list + 1] <= b)
      list++;
    bool last = b + 1 == l.starts[list + 1];
    for (uint32_t i = 0; i < SLOTS; i++)
      l.rows[b * SLOTS + i] = last && i > 20 ? UINT32_MAX : (b * SLOTS + i) * 7 % ROWS;
    block_make(&l, l.blocks + b * l.as.block_bytes, l.rows + (size_t)b * SLOTS);
  }
  l.as.centroids = l.centroids;
  l.as.scales = l.scales;
  l.as.biases = l.biases;
  l.as.spreads = m % 8 ? NULL : l.spreads;
  l.as.starts = l.starts;
  l.as.rows = l.rows;
  l.as.blocks = l.blocks;
  return l;
}

static void lists_free(struct lists *l) {
  free(l->blocks);
  free(l->starts);
  free(l->rows);
  free(l->centroids);
  free(l->scales);
  free(l->biases);
  free(l->spreads);
}

static size_t table_bytes(const struct vdb_accel_lists *l) {
  return l->m * (l->code == VDB_ACCEL_NIBBLES ? 16u : l->code == VDB_ACCEL_BYTES ? 256u : 1u);
}

/* ---- Questions ------------------------------------------------------------------------------- */

struct question {
  struct vdb_accel_look look;
  struct vdb_accel_form *forms;
  uint8_t *bytes; /* of all forms */
  uint64_t *allow;
};

static struct question question_make(const struct vdb_accel_lists *l, uint32_t n, uint32_t k,
                                     uint32_t probes, bool filtered) {
  struct question q = {.look = {.n = n, .k = k, .probes = probes, .reach = INFINITY}};
  size_t table = table_bytes(l), one = l->stride + table;
  q.forms = calloc(n, sizeof *q.forms);
  q.bytes = calloc(n, one);
  for (size_t i = 0; i < n * one; i++)
    q.bytes[i] = (uint8_t)dice(32); /* sums of look-ups stay below 65,536 */
  for (uint32_t i = 0; i < n; i++) {
    uint8_t *at = q.bytes + i * one;
    q.forms[i] = (struct vdb_accel_form){(int8_t *)at, at + l->stride, -0.02f, 0.013f, -0.4f};
    if (l->code == VDB_ACCEL_INTS)
      q.forms[i].offset = 0;
  }
  q.allow = filtered ? calloc(ROWS / 64 + 1, sizeof *q.allow) : NULL;
  for (uint32_t i = 0; filtered && i < ROWS; i++)
    q.allow[i / 64] |= (uint64_t)(dice(3) == 0) << i % 64;
  q.look.queries = q.forms;
  q.look.allow = q.allow;
  q.look.rows = calloc((size_t)n * k, sizeof *q.look.rows);
  q.look.keys = calloc((size_t)n * k, sizeof *q.look.keys);
  q.look.counts = calloc(n, sizeof *q.look.counts);
  q.look.blocks = calloc(n, sizeof *q.look.blocks);
  return q;
}

static void question_free(struct question *q) {
  free(q->forms);
  free(q->bytes);
  free(q->allow);
  free(q->look.rows);
  free(q->look.keys);
  free(q->look.counts);
  free(q->look.blocks);
}

struct near {
  float key;
  uint32_t at; /* list, or row */
};

static int near_order(const void *a, const void *b) {
  const struct near *x = a, *y = b;
  if (x->key != y->key)
    return x->key < y->key ? -1 : 1;
  return x->at < y->at ? -1 : x->at > y->at;
}

/* All lists, in order. */
static void near_lists(const struct vdb_accel_lists *l, const struct vdb_accel_form *form,
                       struct near *out) {
  for (uint32_t i = 0; i < l->n; i++) {
    int dot = 0;
    for (size_t j = 0; j < l->stride; j++)
      dot += form->code[j] * l->centroids[i * l->stride + j];
    float by = form->by * l->scales[i];
    float key = l->biases[i] + by * (float)dot;
    out[i] = (struct near){l->spreads ? key + l->spreads[i] : key, i};
  }
  qsort(out, l->n, sizeof *out, near_order);
}

static void block_keys(const struct vdb_accel_lists *l, const struct vdb_accel_form *form,
                       const uint8_t *block, float base, float keys[SLOTS]) {
  const struct vdb_fastscan *scan = vdb_fastscan_available(0);
  struct vdb_scan_table table = {.lut = form->table, .m = l->m, .depth = 8,
                                 .rescaled = l->rescaled, .scale = form->scale,
                                 .offset = form->offset};
  if (l->code != VDB_ACCEL_INTS) {
    vdb_scan_fn keys_of = l->code == VDB_ACCEL_NIBBLES ? scan->nibbles : scan->bytes;
    keys_of(&table, block, base, INFINITY, keys);
    return;
  }
  for (uint32_t i = 0; i < SLOTS; i++) {
    int dot = 0;
    float add, rescale;
    for (uint32_t j = 0; j < l->m; j++)
      dot += (int8_t)block[i * l->m + j] * (int8_t)form->table[j];
    memcpy(&add, block + SLOTS * l->m + 4 * i, 4);
    memcpy(&rescale, block + SLOTS * l->m + 4 * (SLOTS + i), 4);
    keys[i] = base + add + rescale * (form->scale * (float)dot);
  }
}

static void check(const struct vdb_accel_lists *l, const struct question *q, uint32_t i) {
  const struct vdb_accel_form *form = &q->forms[i];
  struct near *lists = calloc(l->n, sizeof *lists);
  struct near *all = calloc((size_t)l->starts[l->n] * SLOTS, sizeof *all);
  uint32_t n = 0, blocks = 0, probes = q->look.probes < l->n ? q->look.probes : l->n;
  near_lists(l, form, lists);
  for (uint32_t p = 0; p < probes && lists[p].key <= lists[0].key + q->look.reach; p++) {
    uint32_t list = lists[p].at;
    float base = lists[p].key - (l->spreads ? l->spreads[list] : 0);
    for (uint32_t b = l->starts[list]; b < l->starts[list + 1]; b++, blocks++) {
      float keys[SLOTS];
      block_keys(l, form, l->blocks + b * l->block_bytes, base, keys);
      for (uint32_t s = 0; s < SLOTS; s++) {
        uint32_t row = l->rows[b * SLOTS + s];
        if (row < ROWS && (!q->allow || (q->allow[row / 64] >> row % 64 & 1)))
          all[n++] = (struct near){keys[s], row};
      }
    }
  }
  qsort(all, n, sizeof *all, near_order);
  assert_int_equal(q->look.blocks[i], blocks);
  assert_int_equal(q->look.counts[i], n < q->look.k ? n : q->look.k);
  for (uint32_t j = 0; j < q->look.counts[i]; j++) {
    assert_int_equal(q->look.rows[(size_t)i * q->look.k + j], all[j].at);
    assert_memory_equal(&q->look.keys[(size_t)i * q->look.k + j], &all[j].key, sizeof(float));
  }
  free(lists);
  free(all);
}

static int load_and_look(const struct lists *l, const struct question *q) {
  struct vdb_accel_rows rows = {.lists = &l->as};
  struct vdb_accel_why why = {""};
  struct vdb_accel_set *set = NULL;
  int status = gpu->load(0, &rows, &set, &why);
  if (status == VDB_ACCEL_OK) {
    status = gpu->look(set, &q->look, &why);
    gpu->drop(set);
  }
  if (status != VDB_ACCEL_OK)
    assert_true(strlen(why.text) > 0);
  return status;
}

static void look_case(const struct lists *l, struct question q) {
  assert_int_equal(load_and_look(l, &q), VDB_ACCEL_OK);
  for (uint32_t i = 0; i < q.look.n; i++)
    check(&l->as, &q, i);
  question_free(&q);
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static void test_codes(void **state) {
  (void)state;
  static const struct {
    int32_t code;
    uint32_t m;
    bool rescaled;
  } codes[] = {{VDB_ACCEL_NIBBLES, 12, false}, {VDB_ACCEL_NIBBLES, 24, true},
               {VDB_ACCEL_BYTES, 6, false},    {VDB_ACCEL_BYTES, 9, true},
               {VDB_ACCEL_INTS, 16, true},     {VDB_ACCEL_INTS, 192, true}};
  for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
    struct lists l = lists_make(codes[i].code, codes[i].m, codes[i].rescaled, 20, 48);
    look_case(&l, question_make(&l.as, 2, 10, 7, i % 2));
    lists_free(&l);
  }
}

static void test_sizes(void **state) {
  (void)state;
  struct lists l = lists_make(VDB_ACCEL_NIBBLES, 16, true, 150, 16);
  look_case(&l, question_make(&l.as, 1, VDB_ACCEL_MAX_K, 150, false)); /* all of them */
  look_case(&l, question_make(&l.as, 9, 1, 1, false));
  look_case(&l, question_make(&l.as, 3, 100, VDB_ACCEL_MAX_K, true));
  look_case(&l, question_make(&l.as, 130, 3, 2, false)); /* more than a launch has */
  struct question q = question_make(&l.as, 4, 50, 40, false);
  q.look.reach = 0.3f;
  look_case(&l, q);
  lists_free(&l);
}

/* Rows that are none, as damage may bring, and keys that are no numbers, are no candidates. */
static void test_damaged(void **state) {
  (void)state;
  struct lists l = lists_make(VDB_ACCEL_INTS, 16, true, 3, 16);
  float bad = NAN;
  uint8_t *factors = l.blocks + SLOTS * 16;
  memcpy(factors, &bad, sizeof bad);
  l.rows[1] = ROWS;
  l.rows[2] = UINT32_MAX - 1;
  l.biases[1] = NAN;
  l.biases[0] = -1e30f;
  struct question q = question_make(&l.as, 1, 20, 1, false);
  assert_int_equal(load_and_look(&l, &q), VDB_ACCEL_OK);
  assert_int_equal(q.look.blocks[0], l.starts[1]);
  assert_true(q.look.counts[0] > 0);
  for (uint32_t i = 0; i < q.look.counts[0]; i++)
    assert_true(q.look.rows[i] < ROWS && q.look.rows[i] != l.rows[0]);
  question_free(&q);
  lists_free(&l);
}

static void test_unfit(void **state) {
  (void)state;
  struct vdb_accel_why why = {""};
  struct vdb_accel_set *set = NULL;
  struct lists l = lists_make(VDB_ACCEL_NIBBLES, 8, false, 4, 16);
  struct vdb_accel_lists bad = l.as;
  struct vdb_accel_rows rows = {.lists = &bad};
  bad.stride = 24;
  assert_int_equal(gpu->load(0, &rows, &set, &why), VDB_ACCEL_UNFIT);
  bad = l.as;
  bad.m = 6;
  assert_int_equal(gpu->load(0, &rows, &set, &why), VDB_ACCEL_UNFIT);
  bad = l.as;
  bad.code = VDB_ACCEL_BYTES;
  bad.m = 257; /* its table is too large */
  bad.block_bytes = 1 << 14;
  assert_int_equal(gpu->load(0, &rows, &set, &why), VDB_ACCEL_UNFIT);
  bad = l.as;
  assert_int_equal(gpu->load(0, &rows, &set, &why), VDB_ACCEL_OK);
  struct question q = question_make(&l.as, 1, VDB_ACCEL_MAX_K + 1, 1, false);
  assert_int_equal(gpu->look(set, &q.look, &why), VDB_ACCEL_UNFIT);
  q.look.k = 1;
  q.look.probes = VDB_ACCEL_MAX_K + 1;
  assert_int_equal(gpu->look(set, &q.look, &why), VDB_ACCEL_UNFIT);
  struct vdb_accel_ask ask = {.n = 1, .k = 1, .width = 1};
  assert_int_equal(gpu->scan(set, &ask, &why), VDB_ACCEL_UNFIT); /* there are no rows */
  gpu->drop(set);
  question_free(&q);
  lists_free(&l);
}

/* Each call that can fail does so once: an error with a message, and nothing is left behind. */
static void test_failing(void **state) {
  (void)state;
  if (!emu_fail_at) {
    print_message("a real device cannot be told to fail\n");
    skip();
  }
  struct lists l = lists_make(VDB_ACCEL_BYTES, 4, false, 6, 16);
  struct question q = question_make(&l.as, 1, 5, 3, true);
  assert_int_equal(load_and_look(&l, &q), VDB_ACCEL_OK);
  uint64_t before = emu_calls();
  assert_int_equal(load_and_look(&l, &q), VDB_ACCEL_OK);
  uint64_t n = emu_calls() - before;
  assert_true(n > 15);
  size_t idle = 0; /* what the next lane keeps */
  for (uint64_t i = 1; i <= n; i++) {
    emu_fail_at(i);
    assert_int_not_equal(load_and_look(&l, &q), VDB_ACCEL_OK);
    emu_fail_at(0);
    assert_int_equal(load_and_look(&l, &q), VDB_ACCEL_OK);
    idle = i == 1 ? emu_used() : idle;
    assert_int_equal(emu_used(), idle);
  }
  check(&l.as, &q, 0);
  question_free(&q);
  lists_free(&l);
}

static void test_need(void **state) {
  (void)state;
  if (!emu_used)
    skip();
  struct lists l = lists_make(VDB_ACCEL_INTS, 32, true, 9, 32);
  struct vdb_accel_rows rows = {.lists = &l.as};
  struct vdb_accel_why why = {""};
  struct vdb_accel_set *set = NULL;
  size_t before = emu_used();
  assert_int_equal(gpu->load(0, &rows, &set, &why), VDB_ACCEL_OK);
  assert_int_equal(emu_used() - before, gpu->need(&rows));
  gpu->drop(set);
  assert_int_equal(emu_used(), before);
  lists_free(&l);
}

static int open_module(void **state) {
  (void)state;
  const struct vdb_accel_ops *(*table)(void);
  const char *path = getenv("VECDB_GPU_MODULE");
  void *module = dlopen(path ? path : GPU_EMULATED, RTLD_NOW | RTLD_LOCAL);
  if (!module) {
    print_error("%s\n", dlerror());
    return -1;
  }
  gpu_find(module, VDB_ACCEL_SYMBOL, &table);
  gpu_find(module, "emu_fail_at", &emu_fail_at);
  gpu_find(module, "emu_calls", &emu_calls);
  gpu_find(module, "emu_used", &emu_used);
  gpu = table();
  if (path && gpu->devices() == 0) {
    print_message("skipped: %s finds no device\n", path);
    exit(0);
  }
  return gpu->version == VDB_ACCEL_VERSION && gpu->devices() > 0 ? 0 : -1;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_codes),   cmocka_unit_test(test_sizes),
                                     cmocka_unit_test(test_damaged), cmocka_unit_test(test_unfit),
                                     cmocka_unit_test(test_failing), cmocka_unit_test(test_need)};
  return cmocka_run_group_tests_name("lists", tests, open_module, NULL);
}
