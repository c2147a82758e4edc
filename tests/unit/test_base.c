/* test_base.c - the ground layer: memory, errors, byte codec, bitmaps, top-k, random numbers. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bitmap.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/par.h"
#include "base/rng.h"
#include "base/topk.h"
#include "tlib/memfault.h"

/* ---- mem ------------------------------------------------------------------------------------- */

static uint64_t used(struct vdb_mem *mem) { return atomic_load(&mem->used); }

static void test_mem_accounting(void **state) {
  (void)state;
  struct vdb_mem mem;
  vdb_mem_init(&mem, NULL, 0);
  void *blocks[6];
  blocks[0] = vdb_alloc(&mem, 0); /* a valid block */
  blocks[1] = vdb_alloc(&mem, 1000);
  blocks[2] = vdb_alloc_zero(&mem, 333);
  blocks[3] = vdb_alloc_array(&mem, 7, 9);
  blocks[4] = vdb_alloc_wide(&mem, 100);
  blocks[5] = vdb_resize(&mem, NULL, 10);
  for (unsigned i = 0; i < VDB_COUNT(blocks); i++)
    assert_non_null(blocks[i]);
  assert_true(used(&mem) >= 1000 + 333 + 63 + 100 + 10);
  assert_true(used(&mem) < 2100);
  for (unsigned i = 0; i < 333; i++)
    assert_int_equal(((uint8_t *)blocks[2])[i], 0);
  for (unsigned i = 0; i < VDB_COUNT(blocks); i++)
    vdb_free(&mem, blocks[i]);
  vdb_free(&mem, NULL);
  assert_int_equal(used(&mem), 0);
}

/* Of memory that was used before, too, by malloc and by a table of functions. */
static void test_mem_zero(void **state) {
  (void)state;
  static const size_t sizes[] = {1, 100, 5000, 300000, 9 << 20};
  struct memfault fault;
  memfault_init(&fault);
  for (size_t i = 0; i < 2 * VDB_COUNT(sizes); i++) {
    size_t size = sizes[i / 2];
    struct vdb_mem mem;
    vdb_mem_init(&mem, i % 2 ? &fault.table : NULL, 0);
    uint8_t *block = vdb_alloc(&mem, size);
    assert_non_null(block);
    memset(block, 0xff, size);
    vdb_free(&mem, block);
    block = vdb_alloc_zero(&mem, size);
    assert_non_null(block);
    assert_true(block[0] == 0 && memcmp(block, block + 1, size - 1) == 0);
    vdb_free(&mem, block);
    assert_int_equal(used(&mem), 0);
  }
}

static void test_mem_alignment(void **state) {
  (void)state;
  struct memfault fault;
  memfault_init(&fault);
  struct vdb_mem mem;
  vdb_mem_init(&mem, &fault.table, 0);
  for (size_t size = 0; size < 300; size += 7) {
    uint8_t *plain = vdb_alloc(&mem, size), *wide = vdb_alloc_wide(&mem, size);
    assert_int_equal((uintptr_t)plain % 16, 0);
    assert_int_equal((uintptr_t)wide % 64, 0);
    memset(plain, 1, size); /* all of it is ours */
    memset(wide, 2, size);
    vdb_free(&mem, plain);
    vdb_free(&mem, wide);
  }
  assert_int_equal(used(&mem), 0);
  assert_int_equal(memfault_live(&fault), 0);
}

static void test_mem_limit(void **state) {
  (void)state;
  struct vdb_mem mem;
  vdb_mem_init(&mem, NULL, 10000);
  void *blocks[20];
  size_t n = 0;
  while (n < VDB_COUNT(blocks) && (blocks[n] = vdb_alloc(&mem, 1000)) != NULL)
    n++;
  assert_int_equal(n, 9); /* with their headers, nine fit */
  assert_true(used(&mem) <= 10000);
  uint64_t before = used(&mem);
  assert_null(vdb_alloc_wide(&mem, 1000));
  assert_null(vdb_alloc_zero(&mem, 5000));
  assert_null(vdb_resize(&mem, blocks[0], 5000));
  assert_null(vdb_alloc(&mem, SIZE_MAX));
  assert_null(vdb_alloc(&mem, SIZE_MAX / 2));
  assert_true(used(&mem) == before); /* what failed is not counted */
  memset(blocks[0], 3, 1000);
  vdb_free(&mem, blocks[--n]);
  blocks[n] = vdb_alloc(&mem, 1000);
  assert_non_null(blocks[n++]);
  while (n > 0)
    vdb_free(&mem, blocks[--n]);
  assert_int_equal(used(&mem), 0);
}

static void test_mem_overflow(void **state) {
  (void)state;
  struct vdb_mem mem;
  vdb_mem_init(&mem, NULL, 0);
  assert_null(vdb_alloc_array(&mem, SIZE_MAX / 2, 3));
  assert_null(vdb_alloc_array(&mem, SIZE_MAX, SIZE_MAX));
  assert_null(vdb_alloc(&mem, SIZE_MAX));
  assert_null(vdb_alloc(&mem, SIZE_MAX - 15));
  assert_null(vdb_alloc_wide(&mem, SIZE_MAX - 63));
  void *block = vdb_alloc(&mem, 8);
  assert_null(vdb_resize(&mem, block, SIZE_MAX - 7));
  uint64_t *items = NULL;
  size_t capacity = 0;
  assert_false(VDB_GROW(&mem, items, capacity, SIZE_MAX / 4));
  assert_null(items);
  assert_int_equal(capacity, 0);
  vdb_free(&mem, block);
  size_t product;
  assert_true(vdb_mul(1u << 31, 1u << 31, &product));
  assert_false(vdb_mul(SIZE_MAX / 2, 3, &product));
  assert_int_equal(used(&mem), 0);
}

static void test_mem_resize(void **state) {
  (void)state;
  struct memfault fault;
  memfault_init(&fault);
  struct vdb_mem mem;
  vdb_mem_init(&mem, &fault.table, 0);
  uint8_t *block = NULL;
  size_t filled = 0;
  static const size_t sizes[] = {1, 16, 17, 5000, 40, 100000, 3};
  for (unsigned s = 0; s < VDB_COUNT(sizes); s++) {
    block = vdb_resize(&mem, block, sizes[s]);
    assert_non_null(block);
    filled = vdb_min_size(filled, sizes[s]);
    for (size_t i = 0; i < filled; i++)
      assert_int_equal(block[i], (uint8_t)(i * 7));
    for (size_t i = filled; i < sizes[s]; i++)
      block[i] = (uint8_t)(i * 7);
    filled = sizes[s];
  }
  vdb_free(&mem, block);
  assert_int_equal(used(&mem), 0);
  assert_int_equal(memfault_live(&fault), 0);
}

static void test_mem_failing_allocator(void **state) {
  (void)state;
  struct memfault fault;
  memfault_init(&fault);
  struct vdb_mem mem;
  vdb_mem_init(&mem, &fault.table, 1 << 20);
  char *kept = vdb_strndup(&mem, "kept", 4);
  uint64_t before = used(&mem);
  memfault_fail(&fault, 1, true);
  assert_null(vdb_alloc(&mem, 10));
  assert_null(vdb_alloc_zero(&mem, 10));
  assert_null(vdb_alloc_array(&mem, 10, 10));
  assert_null(vdb_alloc_wide(&mem, 10));
  assert_null(vdb_resize(&mem, kept, 100));
  assert_null(vdb_strndup(&mem, "x", 1));
  assert_int_equal(memfault_failed(&fault), 6);
  assert_true(used(&mem) == before);
  assert_string_equal(kept, "kept");
  memfault_fail(&fault, 2, false);
  void *first = vdb_alloc(&mem, 10), *second = vdb_alloc(&mem, 10), *third = vdb_alloc(&mem, 10);
  assert_true(first && !second && third);
  vdb_free(&mem, first);
  vdb_free(&mem, third);
  vdb_free(&mem, kept);
  assert_int_equal(used(&mem), 0);
  assert_int_equal(memfault_live(&fault), 0);
  assert_true(memfault_peak(&fault) > 0);
}

static void test_mem_grow(void **state) {
  (void)state;
  struct memfault fault;
  memfault_init(&fault);
  struct vdb_mem mem;
  vdb_mem_init(&mem, &fault.table, 0);
  uint32_t *items = NULL;
  size_t capacity = 0, n = 0;
  for (; n < 5000; n++) {
    assert_true(VDB_GROW(&mem, items, capacity, n + 1));
    assert_true(capacity > n);
    items[n] = (uint32_t)n;
  }
  assert_true(memfault_calls(&fault) < 20); /* by doubling */
  uint32_t *old = items;
  size_t old_capacity = capacity;
  memfault_fail(&fault, 1, false);
  assert_false(VDB_GROW(&mem, items, capacity, capacity + 1));
  assert_ptr_equal(items, old);
  assert_int_equal(capacity, old_capacity);
  for (size_t i = 0; i < n; i++)
    assert_int_equal(items[i], i);
  vdb_free(&mem, items);
  assert_int_equal(used(&mem), 0);
}

static void test_mem_strndup(void **state) {
  (void)state;
  struct vdb_mem mem;
  vdb_mem_init(&mem, NULL, 0);
  char *text = vdb_strndup(&mem, "abcdef", 3), *empty = vdb_strndup(&mem, NULL, 0);
  assert_string_equal(text, "abc");
  assert_string_equal(empty, "");
  vdb_free(&mem, text);
  vdb_free(&mem, empty);
  assert_int_equal(used(&mem), 0);
}

/* ---- err ------------------------------------------------------------------------------------- */

static void test_err_codes(void **state) {
  (void)state;
  /* Tests run in the root of the repository; the header says which codes there are. */
  FILE *header = fopen("vecdb.h", "r");
  if (!header)
    skip();
  char line[256], name[64];
  int code;
  unsigned in_header = 0, known = 0;
  while (fgets(line, sizeof line, header)) {
    if (sscanf(line, " %63[A-Z0-9_] = %d", name, &code) != 2)
      continue;
    if (strncmp(name, "VECDB_ERR_", 10) != 0 && strcmp(name, "VECDB_OK") != 0)
      continue;
    in_header++;
    assert_string_equal(vecdb_status_name(code), name);
    assert_string_not_equal(vecdb_status_text(code), vecdb_status_text(-1));
  }
  fclose(header);
  for (code = -10; code < 1000; code++) {
    assert_true(strlen(vecdb_status_text(code)) > 0);
    known += strcmp(vecdb_status_name(code), "VECDB_ERR_UNKNOWN") != 0;
  }
  assert_true(in_header >= 37);
  assert_int_equal(known, in_header);
}

static void test_err_fill(void **state) {
  (void)state;
  vecdb_error err;
  memset(&err, 0x5a, sizeof err);
  assert_int_equal(vdb_fail(&err, VECDB_ERR_TYPE, "%s %d", "x", 5), VECDB_ERR_TYPE);
  assert_int_equal(err.code, VECDB_ERR_TYPE);
  assert_int_equal(err.os_code, 0);
  assert_int_equal(err.row, -1);
  assert_int_equal(err.position, -1);
  assert_string_equal(err.field, "");
  assert_string_equal(err.message, "x 5");
  assert_int_equal(vdb_fail_at(&err, VECDB_ERR_TYPE, 7, "age", "bad"), VECDB_ERR_TYPE);
  assert_int_equal(err.row, 7);
  assert_int_equal(err.position, -1);
  assert_string_equal(err.field, "age");
  assert_int_equal(vdb_fail_pos(&err, VECDB_ERR_FILTER, 3, "here"), VECDB_ERR_FILTER);
  assert_int_equal(err.row, -1);
  assert_int_equal(err.position, 3);
  assert_string_equal(err.field, "");
  char name[300];
  memset(name, 'n', sizeof name);
  name[299] = '\0';
  vdb_fail_at(&err, VECDB_ERR_TYPE, 0, name, "%s%s", name, name); /* cut to fit */
  assert_int_equal(strlen(err.field), sizeof err.field - 1);
  assert_int_equal(strlen(err.message), sizeof err.message - 1);
  assert_int_equal(vdb_fail_memory(&err), VECDB_ERR_NO_MEMORY);
}

static int try_it(int rc, int *reached) {
  VDB_TRY(rc);
  *reached = 1;
  return VECDB_OK;
}

static void test_err_os(void **state) {
  (void)state;
  static const int codes[][2] = {
      {ENOSPC, VECDB_ERR_DISK_FULL}, {EDQUOT, VECDB_ERR_DISK_FULL}, {ENOMEM, VECDB_ERR_NO_MEMORY},
      {EBUSY, VECDB_ERR_BUSY},       {EIO, VECDB_ERR_IO},           {ENOENT, VECDB_ERR_IO},
  };
  vecdb_error err;
  for (unsigned i = 0; i < VDB_COUNT(codes); i++) {
    assert_int_equal(vdb_fail_os(&err, codes[i][0], "write", "some/file"), codes[i][1]);
    assert_int_equal(err.os_code, codes[i][0]);
    assert_int_equal(strncmp(err.message, "write some/file: ", 17), 0);
    assert_true(strlen(err.message) > 20);
  }
  int reached = 0;
  assert_int_equal(try_it(VECDB_ERR_IO, &reached), VECDB_ERR_IO);
  assert_int_equal(reached, 0);
  assert_int_equal(try_it(VECDB_OK, &reached), VECDB_OK);
  assert_int_equal(reached, 1);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static void write_sample(struct vdb_writer *w) {
  vdb_write_u8(w, 0xab);
  vdb_write_u16(w, 0x1234);
  vdb_write_u32(w, 0x89abcdef);
  vdb_write_u64(w, 0x0123456789abcdefu);
  vdb_write_f64(w, -1.5);
  vdb_write_u32(w, 3); /* a count of 2-byte items */
  vdb_write_bytes(w, "aabbcc", 6);
}

/* Reads the sample; true when all of it was there and right. */
static bool read_sample(struct vdb_reader *r) {
  bool same = vdb_read_u8(r) == 0xab;
  same = (vdb_read_u16(r) == 0x1234) && same;
  same = (vdb_read_u32(r) == 0x89abcdef) && same;
  same = (vdb_read_u64(r) == 0x0123456789abcdefu) && same;
  double d = vdb_read_f64(r);
  same = d < -1.4 && d > -1.6 && same;
  uint32_t n = vdb_read_count(r, 2);
  const void *p = vdb_read_bytes(r, (size_t)n * 2);
  return same && n == 3 && p && memcmp(p, "aabbcc", 6) == 0;
}

static void test_bytes_round_trip(void **state) {
  (void)state;
  struct vdb_mem mem;
  vdb_mem_init(&mem, NULL, 0);
  struct vdb_writer w = VDB_WRITER(&mem);
  write_sample(&w);
  assert_false(w.failed);
  assert_int_equal(w.n, 1 + 2 + 4 + 8 + 8 + 4 + 6);
  assert_memory_equal(w.data, "\xab\x34\x12\xef\xcd\xab\x89\xef\xcd\xab\x89\x67\x45\x23\x01", 15);
  struct vdb_reader r = vdb_reader_of(w.data, w.n);
  assert_true(read_sample(&r));
  assert_false(r.bad);
  assert_int_equal(vdb_reader_left(&r), 0);
  vdb_write_pad(&w, 16);
  assert_int_equal(w.n, 48);
  assert_int_equal(w.data[47], 0);
  vdb_write_pad(&w, 16);
  assert_int_equal(w.n, 48);
  vdb_writer_free(&w);
  assert_int_equal(used(&mem), 0);
}

static void test_bytes_truncated(void **state) {
  (void)state;
  struct vdb_mem mem;
  vdb_mem_init(&mem, NULL, 0);
  struct vdb_writer w = VDB_WRITER(&mem);
  write_sample(&w);
  for (size_t n = 0; n < w.n; n++) {
    uint8_t *exact = malloc(n + 1); /* so that a sanitizer sees a byte too many */
    memcpy(exact, w.data, n);
    struct vdb_reader r = vdb_reader_of(exact, n);
    assert_false(read_sample(&r));
    assert_true(r.bad);
    assert_int_equal(vdb_read_u8(&r), 0); /* sticky, whatever is left */
    assert_int_equal(vdb_read_u16(&r), 0);
    assert_int_equal(vdb_read_u32(&r), 0);
    assert_int_equal(vdb_read_u64(&r), 0);
    assert_int_equal(vdb_read_count(&r, 0), 0);
    assert_null(vdb_read_bytes(&r, 0));
    free(exact);
  }
  vdb_writer_free(&w);
}

static void test_bytes_counts(void **state) {
  (void)state;
  static const struct {
    uint32_t count;
    size_t unit;
    bool good;
  } cases[] = {{0, 8, true},   {1, 8, true},          {2, 8, false},
               {8, 1, true},   {9, 1, false},         {UINT32_MAX, 1, false},
               {1, 9, false},  {UINT32_MAX, 0, true}, {1, SIZE_MAX, false}};
  for (unsigned i = 0; i < VDB_COUNT(cases); i++) {
    uint8_t data[12] = {0};
    memcpy(data, &cases[i].count, 4);
    struct vdb_reader r = vdb_reader_of(data, sizeof data);
    assert_int_equal(vdb_read_count(&r, cases[i].unit), cases[i].good ? cases[i].count : 0);
    assert_int_equal(r.bad, !cases[i].good);
  }
  struct vdb_reader r = vdb_reader_of("abc", 3);
  assert_null(vdb_read_bytes(&r, SIZE_MAX));
  assert_true(r.bad);
}

static void test_bytes_no_memory(void **state) {
  (void)state;
  struct memfault fault;
  memfault_init(&fault);
  struct vdb_mem mem;
  vdb_mem_init(&mem, &fault.table, 0);
  for (uint64_t nth = 1;; nth++) {
    struct vdb_writer w = VDB_WRITER(&mem);
    memfault_fail(&fault, nth, false);
    for (unsigned i = 0; i < 20; i++)
      write_sample(&w);
    bool failed = w.failed;
    assert_int_equal(failed, memfault_failed(&fault) > 0);
    size_t n = w.n;
    vdb_write_u64(&w, 1);
    assert_true(!failed || (w.n == n && w.failed)); /* sticky, though there is memory again */
    vdb_writer_free(&w);
    assert_int_equal(memfault_live(&fault), 0);
    if (!failed)
      break;
  }
  memfault_fail(&fault, 0, false);
  struct vdb_writer w = VDB_WRITER(&mem);
  vdb_write_u8(&w, 1);
  assert_null(vdb_write_space(&w, SIZE_MAX));
  assert_true(w.failed);
  vdb_writer_free(&w);
}

/* ---- bitmap ---------------------------------------------------------------------------------- */

enum { BITS_MAX = 300 };

static void bits_check(const uint64_t *bits, const bool *naive, size_t n) {
  size_t count = 0;
  for (size_t i = 0; i < n; i++) {
    assert_int_equal(vdb_bit_get(bits, i), naive[i]);
    count += naive[i];
  }
  assert_int_equal(vdb_bits_count(bits, n), count);
  for (size_t i = 0; i <= n + 1; i++) {
    size_t next = i;
    while (next < n && !naive[next])
      next++;
    assert_int_equal(vdb_bits_next(bits, n, i), next < n ? next : n);
  }
}

static void test_bitmap(void **state) {
  (void)state;
  struct vdb_rng rng = {1};
  for (size_t n = 0; n <= BITS_MAX; n++) {
    uint64_t *bits = calloc(vdb_bits_words(n) + 1, 8);
    bool naive[BITS_MAX + 1] = {false};
    bits[vdb_bits_words(n)] = 0x1234; /* must not be touched */
    assert_int_equal(vdb_bits_words(n), n / 64 + (n % 64 != 0));
    bits_check(bits, naive, n);
    for (unsigned step = 0; n > 0 && step < 40; step++) {
      size_t i = vdb_rng_below(&rng, (uint32_t)n);
      naive[i] = vdb_rng_below(&rng, 3) > 0;
      if (naive[i])
        vdb_bit_set(bits, i);
      else
        vdb_bit_clear(bits, i);
    }
    bits_check(bits, naive, n);
    vdb_bits_fill(bits, n);
    memset(naive, 1, n);
    bits_check(bits, naive, n);
    if (n % 64) /* the bits past the last row stay 0 */
      assert_int_equal(bits[n / 64] >> (n % 64), 0);
    assert_int_equal(bits[vdb_bits_words(n)], 0x1234);
    free(bits);
  }
  static uint64_t many[200]; /* more than are counted in one go, all of them set */
  vdb_bits_fill(many, 64 * VDB_COUNT(many) - 1);
  for (size_t n = 1; n <= VDB_COUNT(many); n++)
    assert_int_equal(vdb_bits_count(many, 64 * n - (n == VDB_COUNT(many))),
                     64 * n - (n == VDB_COUNT(many)));
}

/* ---- topk ------------------------------------------------------------------------------------ */

static int near_order(const void *a, const void *b) {
  const struct vdb_near *x = a, *y = b;
  return vdb_near_before(*x, *y) ? -1 : vdb_near_before(*y, *x);
}

static void near_same(const struct vdb_near *a, const struct vdb_near *b, size_t n) {
  for (size_t i = 0; i < n; i++) {
    assert_int_equal(a[i].row, b[i].row);
    assert_memory_equal(&a[i].key, &b[i].key, sizeof(float));
  }
}

static void test_topk(void **state) {
  (void)state;
  struct vdb_rng rng = {2};
  for (unsigned round = 0; round < 3000; round++) {
    enum { MOST = 200 };
    struct vdb_near all[MOST] = {{0, 0}}, sorted[MOST], items[MOST];
    size_t n = vdb_rng_below(&rng, MOST + 1), k = vdb_rng_below(&rng, MOST + 1);
    if (round % 3 == 0)
      k = vdb_rng_below(&rng, 4);
    uint32_t values = 1 + vdb_rng_below(&rng, 30); /* few values: many ties */
    for (size_t i = 0; i < n; i++) {
      all[i].key = (float)vdb_rng_below(&rng, values) - 5.0f;
      all[i].row = vdb_rng_below(&rng, 1000) * MOST + (uint32_t)i;
    }
    memcpy(sorted, all, sizeof all);
    qsort(sorted, n, sizeof *sorted, near_order);
    struct vdb_topk top = {items, k, 0};
    for (size_t i = 0; i < n; i++)
      vdb_topk_push(&top, all[i]);
    assert_int_equal(top.n, vdb_min_size(n, k));
    vdb_topk_sort(&top);
    near_same(items, sorted, top.n);
    memcpy(items, all, sizeof all);
    vdb_near_sort(items, n);
    near_same(items, sorted, n);
  }
}

static void test_topk_bound(void **state) {
  (void)state;
  struct vdb_near items[2];
  struct vdb_topk top = {items, 2, 0};
  assert_true(vdb_topk_bound(&top) > 1e38f);
  vdb_topk_push(&top, (struct vdb_near){3.0f, 1});
  assert_true(vdb_topk_bound(&top) > 1e38f);
  vdb_topk_push(&top, (struct vdb_near){1.0f, 2});
  assert_true(vdb_topk_bound(&top) < 3.5f && vdb_topk_bound(&top) > 2.5f);
  vdb_topk_push(&top, (struct vdb_near){3.0f, 0}); /* a tie, won by the smaller row */
  vdb_topk_sort(&top);
  assert_int_equal(items[0].row, 2);
  assert_int_equal(items[1].row, 0);
}

/* ---- rng, sum, par --------------------------------------------------------------------------- */

static void test_rng(void **state) {
  (void)state;
  struct vdb_rng rng = {42}, same = {42}, other = {43};
  unsigned equal = 0;
  for (unsigned i = 0; i < 1000; i++) {
    uint64_t x = vdb_rng_next(&rng);
    assert_true(x == vdb_rng_next(&same));
    equal += x == vdb_rng_next(&other);
  }
  assert_int_equal(equal, 0);
  static const uint32_t bounds[] = {1, 2, 3, 10, 1000, UINT32_MAX};
  for (unsigned b = 0; b < VDB_COUNT(bounds); b++)
    for (unsigned i = 0; i < 2000; i++)
      assert_true(vdb_rng_below(&rng, bounds[b]) < bounds[b]);
  unsigned counts[10] = {0};
  double sum = 0;
  for (unsigned i = 0; i < 100000; i++) {
    counts[vdb_rng_below(&rng, 10)]++;
    double u = vdb_rng_unit(&rng);
    assert_true(u >= 0 && u < 1);
    sum += u;
  }
  for (unsigned i = 0; i < 10; i++)
    assert_in_range(counts[i], 9500, 10500);
  assert_true(sum > 49500 && sum < 50500);
}

static void test_sum(void **state) {
  (void)state;
  /* XXH3-64 of nothing; files depend on the function staying the same. */
  assert_true(vdb_hash64("", 0) == 0x2d06800538d394c2u);
  assert_true(vdb_hash64("abc", 3) == vdb_hash64_seed("abc", 3, 0));
  assert_true(vdb_hash64("abc", 3) != vdb_hash64("abd", 3));
  assert_true(vdb_hash64("abc", 3) != vdb_hash64_seed("abc", 3, 1));
  assert_true(vdb_mix64(1) != vdb_mix64(2));
  assert_true(vdb_mix64(0) == 0);
}

static void par_note(void *arg, size_t i, unsigned worker) {
  assert_int_equal(worker, 0);
  size_t *next = arg;
  assert_int_equal(i, *next);
  ++*next;
}

static void test_par_serial(void **state) {
  (void)state;
  struct vdb_par par = vdb_par_serial();
  size_t next = 0;
  par.run(&par, 100, par_note, &next);
  assert_int_equal(next, 100);
  par.run(&par, 0, par_note, &next);
  assert_int_equal(next, 100);
  assert_int_equal(par.workers, 1);
}

static void test_round_up(void **state) {
  (void)state;
  assert_int_equal(vdb_round_up(0, 64), 0);
  assert_int_equal(vdb_round_up(1, 64), 64);
  assert_int_equal(vdb_round_up(64, 64), 64);
  assert_int_equal(vdb_round_up(65, 1), 65);
  assert_int_equal(vdb_max_size(1, 2), 2);
  assert_int_equal(vdb_min_u32(1, 2), 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_mem_accounting),
      cmocka_unit_test(test_mem_zero),
      cmocka_unit_test(test_mem_alignment),
      cmocka_unit_test(test_mem_limit),
      cmocka_unit_test(test_mem_overflow),
      cmocka_unit_test(test_mem_resize),
      cmocka_unit_test(test_mem_failing_allocator),
      cmocka_unit_test(test_mem_grow),
      cmocka_unit_test(test_mem_strndup),
      cmocka_unit_test(test_err_codes),
      cmocka_unit_test(test_err_fill),
      cmocka_unit_test(test_err_os),
      cmocka_unit_test(test_bytes_round_trip),
      cmocka_unit_test(test_bytes_truncated),
      cmocka_unit_test(test_bytes_counts),
      cmocka_unit_test(test_bytes_no_memory),
      cmocka_unit_test(test_bitmap),
      cmocka_unit_test(test_topk),
      cmocka_unit_test(test_topk_bound),
      cmocka_unit_test(test_rng),
      cmocka_unit_test(test_sum),
      cmocka_unit_test(test_par_serial),
      cmocka_unit_test(test_round_up),
  };
  return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
