/*
 * test_attr_index.c - indexes over scalar columns against plain scans: every type, few and many
 * distinct values, nulls, bounds of all kinds, sizes around words; what AUTO builds; damaged
 * sections; lack of memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "attr/attr_index_format.h"
#include "attr_gen.h"
#include "base/bitmap.h"
#include "tlib/memfault.h"

/* ---- Sections in memory -----------------------------------------------------------------------
   */

struct section {
  uint32_t tag;
  uint32_t number;
  uint8_t *data; /* exact, 64-byte aligned */
  size_t n;
};

struct sections {
  struct vdb_sect_writer writer;
  struct vdb_sect_reader reader;
  struct section items[8];
  size_t n;
  bool open;
  int appends_left; /* before one fails; negative: none fails */
};

static int sections_begin(struct vdb_sect_writer *w, uint32_t tag, uint32_t number,
                          vecdb_error *err) {
  struct sections *s = (struct sections *)w;
  (void)err;
  assert_false(s->open);
  assert_true(s->n < VDB_COUNT(s->items));
  for (size_t i = 0; i < s->n; i++)
    assert_true(s->items[i].tag != tag);
  s->items[s->n] = (struct section){tag, number, gen_block(0), 0};
  s->open = true;
  return VECDB_OK;
}

static int sections_append(struct vdb_sect_writer *w, const void *data, size_t n,
                           vecdb_error *err) {
  struct sections *s = (struct sections *)w;
  struct section *item = &s->items[s->n];
  assert_true(s->open);
  if (s->appends_left >= 0 && s->appends_left-- == 0)
    return vdb_fail(err, VECDB_ERR_IO, "no");
  uint8_t *longer = gen_block(item->n + n);
  memcpy(longer, item->data, item->n);
  memcpy(longer + item->n, data, n);
  free(item->data);
  item->data = longer;
  item->n += n;
  return VECDB_OK;
}

static int sections_end(struct vdb_sect_writer *w, vecdb_error *err) {
  struct sections *s = (struct sections *)w;
  (void)err;
  assert_true(s->open);
  s->open = false;
  s->n++;
  return VECDB_OK;
}

static int sections_find(const struct vdb_sect_reader *r, uint32_t tag, uint32_t number, bool bulk,
                         const void **data, size_t *n, vecdb_error *err) {
  const struct sections *s =
      (const struct sections *)((const char *)r - offsetof(struct sections, reader));
  (void)bulk;
  (void)err;
  *data = NULL;
  for (size_t i = 0; i < s->n; i++)
    if (s->items[i].tag == tag && s->items[i].number == number) {
      *data = s->items[i].data;
      *n = s->items[i].n;
    }
  return VECDB_OK;
}

static void sections_init(struct sections *s) {
  memset(s, 0, sizeof *s);
  s->writer = (struct vdb_sect_writer){sections_begin, sections_append, sections_end,
                                        NULL};
  s->reader = (struct vdb_sect_reader){sections_find, NULL};
  s->appends_left = -1;
}

static void sections_free(struct sections *s) {
  for (size_t i = 0; i < VDB_COUNT(s->items); i++)
    free(s->items[i].data);
  sections_init(s);
}

static int build(struct vdb_mem *mem, const struct vdb_column *column, size_t n, int32_t kind,
                 struct sections *out, uint32_t number, vecdb_error *err) {
  struct vdb_attr_index_build b = {.mem = mem, .column = column, .n = n, .kind = kind,
                                   .out = &out->writer, .number = number};
  return vdb_attr_index_build(&b, err);
}

/* ---- Columns ----------------------------------------------------------------------------------
   */

/* A column in one of its forms, with one struct vdb_bytes per row besides. */
struct data {
  struct gen g;
  struct vdb_column column;
  struct vdb_field field;
  struct vdb_bytes *rows;
  size_t n;
};

/* A value: one of about `distinct`; numbers of both signs, texts that share their start. */
static struct vdb_bytes data_value(struct gen *g, int32_t type, uint32_t distinct) {
  uint64_t pick = vdb_mix64(gen_below(g, distinct) + (uint64_t)1);
  uint8_t *out = gen_take(g, 48);
  struct vdb_bytes b = {out, vdb_type_width(type)};
  double number = ((double)(pick >> 40) - 8388608) / 64;
  float single = (float)number;
  if (pick % 16 == 0) /* both zeros, as one value */
    single = gen_one_in(g, 2) ? 0.0f : -0.0f;
  if (pick % 16 == 0)
    number = gen_one_in(g, 2) ? 0.0 : -0.0;
  if (type == VECDB_VARCHAR)
    b.n = (size_t)snprintf((char *)out, 48, "%.*s%llx", (int)(pick % 11), "shared-pre",
                           (unsigned long long)(pick >> (pick % 8 * 8)));
  else if (type == VECDB_FLOAT)
    memcpy(out, &single, sizeof single);
  else if (type == VECDB_DOUBLE)
    memcpy(out, &number, sizeof number);
  else if (type == VECDB_BOOL)
    out[0] = pick & 1;
  else
    memcpy(out, &pick, sizeof pick);
  if (type == VECDB_VARCHAR && pick % 16 == 0)
    b.n = 0;
  return b;
}

static void data_make(struct data *d, uint64_t seed, int32_t type, size_t n, uint32_t distinct,
                      uint32_t nulls_in_16) {
  memset(d, 0, sizeof *d);
  d->g.rng.state = seed;
  d->n = n;
  d->field.name = "x";
  d->field.type = d->column.type = type;
  d->field.width = d->column.width = vdb_type_width(type);
  d->rows = gen_take(&d->g, n * sizeof *d->rows);
  uint8_t *nulls = gen_take(&d->g, n);
  uint64_t *offsets = gen_take(&d->g, (n + 1) * sizeof *offsets);
  size_t total = 0;
  for (size_t i = 0; i < n; i++) {
    nulls[i] = gen_below(&d->g, 16) < nulls_in_16;
    struct vdb_bytes value = data_value(&d->g, type, distinct);
    if (nulls[i])
      value.n = d->column.width;
    d->rows[i] = value;
    total += value.n;
    offsets[i + 1] = total;
  }
  uint8_t *bytes = gen_take(&d->g, total);
  for (size_t i = 0; i < n; i++)
    if (!nulls[i] && d->rows[i].n)
      memcpy(bytes + offsets[i], d->rows[i].data, d->rows[i].n);
  if (nulls_in_16 || gen_one_in(&d->g, 2))
    d->column.nulls = nulls;
  if (!d->column.width && gen_one_in(&d->g, 2)) {
    d->column.refs = d->rows;
    return;
  }
  d->column.data = bytes;
  d->column.offsets = d->column.width ? NULL : offsets;
}

/* Numeric or bytewise order, without the index's keys. */
static int slow_compare(int32_t type, struct vdb_bytes a, struct vdb_bytes b) {
  struct vdb_bytes refs[2] = {a, b};
  struct vdb_column c = {.refs = refs, .type = type};
  vecdb_value x = vdb_column_value(&c, 0, NULL), y = vdb_column_value(&c, 1, NULL);
  if (type == VECDB_VARCHAR) {
    for (size_t i = 0; i < a.n && i < b.n; i++)
      if (a.data[i] != b.data[i])
        return a.data[i] < b.data[i] ? -1 : 1;
    return (a.n > b.n) - (a.n < b.n);
  }
  if (type == VECDB_BOOL)
    return x.as.boolean - y.as.boolean;
  if (type == VECDB_FLOAT || type == VECDB_DOUBLE)
    return (x.as.number > y.as.number) - (x.as.number < y.as.number);
  return (x.as.integer > y.as.integer) - (x.as.integer < y.as.integer);
}

static bool slow_in(int32_t type, struct vdb_bytes v, struct vdb_attr_range r) {
  if (r.low) {
    int order = slow_compare(type, v, *r.low);
    if (order < 0 || (order == 0 && r.low_open))
      return false;
  }
  if (r.high) {
    int order = slow_compare(type, v, *r.high);
    if (order > 0 || (order == 0 && r.high_open))
      return false;
  }
  return true;
}

static void check_range(const struct data *d, const struct vdb_attr_index *x,
                        struct vdb_attr_range range) {
  size_t words = vdb_bits_words(d->n);
  uint64_t *want = calloc(words + 1, sizeof *want), *got = calloc(words + 1, sizeof *got);
  size_t count = 0;
  for (size_t i = 0; i < d->n; i++) {
    bool in = !vdb_column_is_null(&d->column, i) && slow_in(d->field.type, d->rows[i], range);
    count += in;
    if (in || i % 7 == 0) /* other bits stay */
      vdb_bit_set(want, i);
    if (i % 7 == 0)
      vdb_bit_set(got, i);
  }
  vdb_attr_index_mark(x, range, got);
  assert_memory_equal(got, want, (words + 1) * sizeof *got);
  assert_int_equal(vdb_attr_index_count(x, range), count);
  free(want);
  free(got);
}

static void check_ranges(struct data *d, const struct vdb_attr_index *x, int rounds) {
  struct gen *g = &d->g;
  struct vdb_attr_range all = {0};
  check_range(d, x, all);
  for (int i = 0; i < rounds; i++) {
    struct vdb_bytes low = data_value(g, d->field.type, 1000000);
    struct vdb_bytes high = data_value(g, d->field.type, 1000000);
    if (d->n && gen_one_in(g, 2))
      low = d->rows[gen_below(g, (uint32_t)d->n)];
    if (d->n && gen_one_in(g, 2))
      high = d->rows[gen_below(g, (uint32_t)d->n)];
    if (gen_one_in(g, 3))
      high = low;
    struct vdb_attr_range range = {&low, &high, gen_one_in(g, 2), gen_one_in(g, 2)};
    if (gen_one_in(g, 6))
      range.low = NULL;
    if (gen_one_in(g, 6))
      range.high = NULL;
    check_range(d, x, range);
  }
}

static const int32_t types[] = {VECDB_BOOL,  VECDB_INT8,  VECDB_INT16,  VECDB_INT32,
                                VECDB_INT64, VECDB_FLOAT, VECDB_DOUBLE, VECDB_VARCHAR};

static void check_column(uint64_t seed, int32_t type, size_t n, uint32_t distinct,
                         uint32_t nulls_in_16) {
  struct data d;
  struct vdb_mem mem;
  struct sections s;
  struct vdb_attr_index *x;
  vecdb_error err = {0};
  vdb_mem_init(&mem, NULL, 0);
  sections_init(&s);
  data_make(&d, seed, type, n, distinct, nulls_in_16);
  int32_t kind = seed % 2 ? VECDB_SCALAR_INDEX_HASH : VECDB_SCALAR_INDEX_SORTED;
  assert_int_equal(build(&mem, &d.column, n, kind, &s, 7, &err), VECDB_OK);
  assert_int_equal(mem.used, 0);
  int rc = vdb_attr_index_open(&mem, &s.reader, 7, &d.field, n, &x, &err);
  if (rc)
    fail_msg("%s", err.message);
  assert_non_null(x);
  assert_int_equal(vdb_attr_index_ranges(x), kind == VECDB_SCALAR_INDEX_SORTED);
  size_t nulls = 0;
  for (size_t i = 0; i < n; i++)
    nulls += vdb_column_is_null(&d.column, i);
  assert_int_equal(vdb_attr_index_nulls(x), nulls);
  check_ranges(&d, x, n > 1000 ? 30 : 60);
  vdb_attr_index_close(&mem, x);
  assert_int_equal(vdb_attr_index_open(&mem, &s.reader, 8, &d.field, n, &x, &err), VECDB_OK);
  assert_null(x); /* another field's number */
  assert_int_equal(mem.used, 0);
  sections_free(&s);
  gen_free(&d.g);
}

static void test_against_scan(void **state) {
  (void)state;
  static const size_t sizes[] = {0, 1, 2, 63, 64, 65, 300, 5000};
  static const uint32_t distinct[] = {1, 2, 31, 33, 400, 1000000};
  static const uint32_t nulls[] = {0, 3, 15, 16};
  uint64_t seed = 1;
  for (size_t t = 0; t < VDB_COUNT(types); t++)
    for (size_t n = 0; n < VDB_COUNT(sizes); n++)
      for (size_t k = 0; k < VDB_COUNT(distinct); k++, seed++)
        check_column(seed, types[t], sizes[n], distinct[k], nulls[seed / 2 % 4]);
}

/* Values at the ends of their types, in numeric order; NaN bounds hold nothing. */
static void test_order(void **state) {
  (void)state;
  static const double doubles[] = {-DBL_MAX, -1, -DBL_MIN / 4, 0, DBL_MIN / 4, 1e-300, 1, DBL_MAX};
  static const int64_t integers[] = {INT64_MIN, -0x100000000, -1, 0, 1, 255, 256, INT64_MAX};
  for (int kind = 0; kind < 2; kind++) {
    struct vdb_mem mem;
    struct sections s;
    struct vdb_attr_index *x;
    vecdb_error err = {0};
    vdb_mem_init(&mem, NULL, 0);
    sections_init(&s);
    uint64_t shuffled[8];
    const uint8_t *sorted = kind ? (const uint8_t *)doubles : (const uint8_t *)integers;
    for (size_t i = 0; i < 8; i++)
      memcpy(&shuffled[i * 3 % 8], sorted + i * 8, 8);
    int32_t type = kind ? VECDB_DOUBLE : VECDB_INT64;
    struct vdb_column c = {.data = (const uint8_t *)shuffled, .width = 8, .type = type};
    struct vdb_field f = {.name = "x", .type = type, .width = 8};
    int rc = build(&mem, &c, 8, VECDB_SCALAR_INDEX_SORTED, &s, 0, &err);
    assert_int_equal(rc, VECDB_OK);
    assert_int_equal(vdb_attr_index_open(&mem, &s.reader, 0, &f, 8, &x, &err), VECDB_OK);
    for (size_t i = 0; i < 8; i++) {
      struct vdb_bytes bound = {sorted + i * 8, 8};
      struct vdb_attr_range below = {NULL, &bound, false, true};
      uint64_t bits = 0, want = 0;
      assert_int_equal(vdb_attr_index_count(x, below), i);
      vdb_attr_index_mark(x, below, &bits);
      for (size_t k = 0; k < i; k++)
        want |= (uint64_t)1 << (k * 3 % 8);
      assert_int_equal(bits, want);
    }
    double nan = __builtin_nan(""), minus_zero = -0.0, infinite = __builtin_inf();
    struct vdb_bytes nan_bound = {(const uint8_t *)&nan, 8};
    struct vdb_bytes zero_bound = {(const uint8_t *)&minus_zero, 8};
    struct vdb_bytes inf_bound = {(const uint8_t *)&infinite, 8};
    if (kind) {
      assert_int_equal(vdb_attr_index_count(x, (struct vdb_attr_range){.low = &nan_bound}), 0);
      assert_int_equal(vdb_attr_index_count(x, (struct vdb_attr_range){.high = &nan_bound}), 0);
      struct vdb_attr_range zero = {&zero_bound, &zero_bound, false, false};
      assert_int_equal(vdb_attr_index_count(x, zero), 1);
      assert_int_equal(vdb_attr_index_count(x, (struct vdb_attr_range){.high = &inf_bound}), 8);
      assert_int_equal(vdb_attr_index_count(x, (struct vdb_attr_range){.low = &inf_bound}), 0);
    }
    vdb_attr_index_close(&mem, x);
    sections_free(&s);
  }
}

/* Texts of which one is the start of the other, in one index. */
static void test_text_order(void **state) {
  (void)state;
  enum { N = 60 };
  static const char pattern[] = "aaaaaaaaabaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
  struct vdb_bytes rows[N];
  for (size_t i = 0; i < N; i++) {
    rows[i].data = (const uint8_t *)pattern + i % 2 * 3;
    rows[i].n = (i * 7) % N;
  }
  struct vdb_mem mem;
  struct sections s;
  struct vdb_attr_index *x;
  vecdb_error err = {0};
  vdb_mem_init(&mem, NULL, 0);
  sections_init(&s);
  struct data d = {.column = {.refs = rows, .type = VECDB_VARCHAR}, .rows = rows, .n = N,
                   .field = {.name = "x", .type = VECDB_VARCHAR}};
  int rc = build(&mem, &d.column, N, VECDB_SCALAR_INDEX_SORTED, &s, 0, &err);
  assert_int_equal(rc, VECDB_OK);
  assert_int_equal(vdb_attr_index_open(&mem, &s.reader, 0, &d.field, N, &x, &err), VECDB_OK);
  for (size_t i = 0; i < N; i++)
    for (size_t j = 0; j < N; j += 5) {
      struct vdb_attr_range range = {&rows[i], &rows[j], i % 3 == 0, j % 3 == 0};
      check_range(&d, x, range);
    }
  vdb_attr_index_close(&mem, x);
  sections_free(&s);
}

/* ---- AUTO -------------------------------------------------------------------------------------
   */

static size_t sections_built(const struct vdb_column *c, size_t n, int32_t kind) {
  struct vdb_mem mem;
  struct sections s;
  vecdb_error err = {0};
  vdb_mem_init(&mem, NULL, 0);
  sections_init(&s);
  assert_int_equal(build(&mem, c, n, kind, &s, 0, &err), VECDB_OK);
  assert_int_equal(mem.used, 0);
  size_t built = s.n;
  sections_free(&s);
  return built;
}

static void test_auto(void **state) {
  (void)state;
  enum { N = 300 };
  static char text[N][101];
  struct vdb_bytes rows[N];
  int64_t ids[N] = {0};
  for (size_t i = 0; i < N; i++) {
    memset(text[i], 'x', 100);
    snprintf(text[i] + 90, 11, "%010zu", i);
    rows[i].data = (const uint8_t *)text[i];
    rows[i].n = 100;
  }
  struct vdb_column texts = {.refs = rows, .type = VECDB_VARCHAR};
  struct vdb_column numbers = {.data = (const uint8_t *)ids, .width = 8, .type = VECDB_INT64};
  struct vdb_column arrays = {.refs = rows, .type = VECDB_ARRAY, .element_type = VECDB_INT8};
  struct vdb_column vectors = {.data = (const uint8_t *)ids, .width = 8,
                               .type = VECDB_FLOAT_VECTOR};
  assert_int_equal(sections_built(&numbers, N, VECDB_SCALAR_INDEX_NONE), 0);
  assert_int_equal(sections_built(&numbers, 255, VECDB_SCALAR_INDEX_AUTO), 0);
  assert_true(sections_built(&numbers, 256, VECDB_SCALAR_INDEX_AUTO) > 0);
  assert_true(sections_built(&numbers, 255, VECDB_SCALAR_INDEX_HASH) > 0);
  assert_int_equal(sections_built(&arrays, N, VECDB_SCALAR_INDEX_SORTED), 0);
  assert_int_equal(sections_built(&vectors, N, VECDB_SCALAR_INDEX_AUTO), 0);
  struct sections none;
  vecdb_error err = {0};
  sections_init(&none);
  int rc = build(NULL, &numbers, (size_t)UINT32_MAX + 1, VECDB_SCALAR_INDEX_AUTO, &none, 0, &err);
  assert_int_equal(rc, VECDB_ERR_LIMIT);
  assert_int_equal(sections_built(&texts, N, VECDB_SCALAR_INDEX_AUTO), 0); /* long and distinct */
  assert_true(sections_built(&texts, N, VECDB_SCALAR_INDEX_SORTED) > 0);
  for (size_t i = 0; i < N; i++)
    rows[i] = rows[i % 150]; /* distinct in half of the rows */
  assert_true(sections_built(&texts, N, VECDB_SCALAR_INDEX_AUTO) > 0);
  for (size_t i = 0; i < N; i++) {
    rows[i].data = (const uint8_t *)text[i] + 40; /* distinct, and 60 long */
    rows[i].n = 60;
  }
  assert_true(sections_built(&texts, N, VECDB_SCALAR_INDEX_AUTO) > 0);
}

/* ---- Damage -----------------------------------------------------------------------------------
   */

/* Opens; an index that opens is asked all kinds of things, which must not leave the bitmap. */
static int open_and_use(const struct sections *s, struct data *d) {
  struct vdb_mem mem;
  struct vdb_attr_index *x;
  vecdb_error err = {0};
  vdb_mem_init(&mem, NULL, 0);
  int rc = vdb_attr_index_open(&mem, &s->reader, 7, &d->field, d->n, &x, &err);
  assert_true(rc == VECDB_OK || rc == VECDB_ERR_CORRUPT);
  if (rc == VECDB_OK && x) {
    size_t words = vdb_bits_words(d->n);
    uint64_t *bits = calloc(words + !words, sizeof *bits);
    for (int i = 0; i < 6; i++) {
      struct vdb_bytes low = data_value(&d->g, d->field.type, 50);
      struct vdb_bytes high = data_value(&d->g, d->field.type, 50);
      struct vdb_attr_range range = {i < 4 ? &low : NULL, i % 4 ? &high : NULL, i % 2 == 0, false};
      assert_true(vdb_attr_index_count(x, range) <= d->n);
      vdb_attr_index_mark(x, range, bits);
    }
    assert_true(d->n % 64 == 0 || bits[words - 1] >> (d->n % 64) == 0);
    free(bits);
    vdb_attr_index_close(&mem, x);
  } else {
    assert_null(x);
  }
  assert_int_equal(mem.used, 0);
  return rc;
}

static void damage_one(struct data *d, struct sections *s, size_t *opened) {
  struct gen *g = &d->g;
  struct section *item = &s->items[gen_below(g, (uint32_t)s->n)];
  struct section old = *item;
  size_t n = old.n;
  if (gen_one_in(g, 4))
    n = gen_one_in(g, 2) ? n - 1 - gen_below(g, (uint32_t)n) : n + 8;
  item->data = gen_block(n);
  item->n = n;
  memset(item->data, 0, n);
  memcpy(item->data, old.data, n < old.n ? n : old.n);
  for (uint32_t k = gen_below(g, 3); k < 3 && n; k++) {
    size_t at = gen_below(g, (uint32_t)n);
    if (gen_one_in(g, 2))
      at &= ~(size_t)3;
    item->data[at] = (uint8_t)(gen_one_in(g, 2) ? gen_below(g, 256)
                                                : item->data[at] + gen_below(g, 3) - 1);
  }
  if (gen_one_in(g, 40))
    item->tag++; /* a section that is not there */
  *opened += open_and_use(s, d) == VECDB_OK;
  free(item->data);
  *item = old;
}

static void test_damage(void **state) {
  (void)state;
  static const uint32_t distinct[] = {2, 20, 50, 1000};
  size_t opened = 0, total = 0;
  for (size_t t = 0; t < VDB_COUNT(types); t++)
    for (size_t k = 0; k < VDB_COUNT(distinct); k++) {
      struct data d;
      struct vdb_mem mem;
      struct sections s;
      vecdb_error err = {0};
      vdb_mem_init(&mem, NULL, 0);
      sections_init(&s);
      size_t n = k == 1 ? 128 : 200;
      data_make(&d, t * 10 + k, types[t], n, distinct[k], k % 2 ? 2 : 0);
      int rc = build(&mem, &d.column, n, VECDB_SCALAR_INDEX_SORTED, &s, 7, &err);
      assert_int_equal(rc, VECDB_OK);
      assert_int_equal(open_and_use(&s, &d), VECDB_OK);
      for (int i = 0; i < 1200; i++, total++)
        damage_one(&d, &s, &opened);
      d.n++; /* a segment of another size, or with another type of field */
      assert_int_equal(open_and_use(&s, &d), VECDB_ERR_CORRUPT);
      d.n--;
      d.field.type = types[(t + 1) % VDB_COUNT(types)];
      assert_int_equal(open_and_use(&s, &d), VECDB_ERR_CORRUPT);
      sections_free(&s);
      gen_free(&d.g);
    }
  assert_true(opened > 100 && opened < total / 2);
}

/* What each check is for: a small index, changed at one place. */
static void test_checks(void **state) {
  (void)state;
  enum { N = 70 };
  int8_t values[N];
  for (int i = 0; i < N; i++)
    values[i] = (int8_t)(i < 40 ? 5 : i / 2); /* dense, then pairs, which are listed */
  struct vdb_mem mem;
  struct sections s;
  struct data d = {.column = {.data = (const uint8_t *)values, .width = 1, .type = VECDB_INT8},
                   .field = {.name = "x", .type = VECDB_INT8, .width = 1}, .n = N};
  vecdb_error err = {0};
  vdb_mem_init(&mem, NULL, 0);
  sections_init(&s);
  int rc = build(&mem, &d.column, N, VECDB_SCALAR_INDEX_HASH, &s, 7, &err);
  assert_int_equal(rc, VECDB_OK);
  assert_int_equal(s.n, 5);
  assert_int_equal(open_and_use(&s, &d), VECDB_OK);
  static const struct {
    uint32_t tag;
    size_t at;
    uint8_t byte;
    const char *text;
  } cases[] = {
      {VDB_AIX_HEADER, 0, 2, "header"},        {VDB_AIX_HEADER, 4, 1, "header"},
      {VDB_AIX_HEADER, 8, 3, "header"},        {VDB_AIX_HEADER, 12, 2, "dense"},
      {VDB_AIX_HEADER, 12, 0, "dense"},        {VDB_AIX_HEADER, 12, 32, "header"},
      {VDB_AIX_HEADER, 16, 71, "header"},      {VDB_AIX_HEADER, 24, 1, "add up"},
      {VDB_AIX_HEADER, 32, 15, "size"},        {VDB_AIX_HEADER, 40, 1, "header"},
      {VDB_AIX_STARTS, 0, 1, "add up"},        {VDB_AIX_STARTS, 4, 42, "ascend"},
      {VDB_AIX_STARTS, 4, 0, "ascend"},        {VDB_AIX_STARTS, 16 * 4, 71, "add up"},
      {VDB_AIX_ROWS, 4, 70, "row list"},       {VDB_AIX_ROWS, 3, 1, "row list"},
      {VDB_AIX_ROWS, 4, 40, "row list"},       {VDB_AIX_ROWS, 0, 42, "row list"},
      {VDB_AIX_BITMAPS, 0, 0xfe, "bitmap"},    {VDB_AIX_BITMAPS, 8, 1, "bitmap"},
      {VDB_AIX_BITMAPS, 15, 0x80, "bitmap"},   {VDB_AIX_VALUES, 0, 40, "values do not"},
      {VDB_AIX_VALUES, 15, 0x80, "values do not"},
  };
  for (size_t i = 0; i < VDB_COUNT(cases); i++)
    for (size_t k = 0; k < s.n; k++) {
      struct vdb_attr_index *x;
      uint8_t *byte = s.items[k].data + cases[i].at;
      if (s.items[k].tag != cases[i].tag)
        continue;
      uint8_t old = *byte;
      *byte = cases[i].byte;
      rc = vdb_attr_index_open(&mem, &s.reader, 7, &d.field, N, &x, &err);
      if (rc != VECDB_ERR_CORRUPT || !strstr(err.message, cases[i].text))
        fail_msg("case %zu: %s, expected %s", i, err.message, cases[i].text);
      assert_string_equal(err.field, "x");
      *byte = old;
    }
  sections_free(&s);
  gen_free(&d.g);
}

/* ---- Memory and failing writers ---------------------------------------------------------------
   */

static void test_no_memory(void **state) {
  (void)state;
  struct memfault fault;
  struct vdb_mem tight;
  memfault_init(&fault);
  vdb_mem_init(&tight, &fault.table, 0);
  for (size_t t = 0; t < 2 * VDB_COUNT(types); t++) {
    struct data d;
    vecdb_error err = {0};
    data_make(&d, t, types[t / 2], 500, t % 2 ? 10 : 10000, 2);
    uint64_t nth = 1;
    for (bool done = false; !done; nth++) {
      struct sections s;
      struct vdb_attr_index *x = NULL;
      sections_init(&s);
      memfault_fail(&fault, nth, false);
      int rc = build(&tight, &d.column, d.n, VECDB_SCALAR_INDEX_AUTO, &s, 7, &err);
      assert_int_equal(tight.used, 0);
      if (rc == VECDB_OK)
        rc = vdb_attr_index_open(&tight, &s.reader, 7, &d.field, d.n, &x, &err);
      done = memfault_failed(&fault) == 0;
      assert_int_equal(rc, done ? VECDB_OK : VECDB_ERR_NO_MEMORY);
      vdb_attr_index_close(&tight, x);
      sections_free(&s);
    }
    assert_true(nth > 4);
    gen_free(&d.g);
  }
  assert_int_equal(memfault_live(&fault), 0);
}

static void test_writer_fails(void **state) {
  (void)state;
  for (size_t t = 0; t < VDB_COUNT(types); t++) {
    struct data d;
    struct vdb_mem mem;
    vecdb_error err = {0};
    vdb_mem_init(&mem, NULL, 0);
    data_make(&d, t, types[t], 300, t % 2 ? 10 : 40, 2);
    int rc = VECDB_ERR_IO;
    for (int nth = 0; rc; nth++) {
      struct sections s;
      sections_init(&s);
      s.appends_left = nth;
      rc = build(&mem, &d.column, d.n, VECDB_SCALAR_INDEX_AUTO, &s, 7, &err);
      assert_true(rc == VECDB_OK || rc == VECDB_ERR_IO);
      assert_int_equal(mem.used, 0);
      sections_free(&s);
    }
    gen_free(&d.g);
  }
}

static bool stop_at(void *arg) {
  int *left = arg;
  return (*left)-- == 0;
}

/* Stopped at each of its looks in turn: there are some for every so many rows, and nothing is left
   of a build that ends there. */
static void test_stopped(void **state) {
  (void)state;
  static const int32_t of[] = {VECDB_VARCHAR, VECDB_INT64};
  for (size_t t = 0; t < VDB_COUNT(of); t++) {
    struct data d;
    struct vdb_mem mem;
    vecdb_error err = {0};
    int looks = 0;
    vdb_mem_init(&mem, NULL, 0);
    data_make(&d, t + 1, of[t], 20000, 1000000, 0);
    for (int rc = VECDB_ERR_CANCELLED; rc; looks++) {
      struct sections s;
      sections_init(&s);
      int left = looks;
      struct vdb_attr_index_build b = {.mem = &mem, .column = &d.column, .n = d.n,
                                       .kind = VECDB_SCALAR_INDEX_SORTED, .out = &s.writer,
                                       .stop = stop_at, .stop_arg = &left};
      s.appends_left = 0; /* nothing is written before the sorting is done */
      rc = vdb_attr_index_build(&b, &err);
      if (rc == VECDB_ERR_IO)
        rc = VECDB_OK;
      assert_true(rc == VECDB_OK || rc == VECDB_ERR_CANCELLED);
      assert_int_equal(mem.used, 0);
      assert_int_equal(left == -1, rc == VECDB_ERR_CANCELLED);
      sections_free(&s);
    }
    assert_true(looks > 6);
    gen_free(&d.g);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_against_scan), cmocka_unit_test(test_order),
      cmocka_unit_test(test_text_order),   cmocka_unit_test(test_auto),
      cmocka_unit_test(test_damage),       cmocka_unit_test(test_checks),
      cmocka_unit_test(test_no_memory),    cmocka_unit_test(test_writer_fails),
      cmocka_unit_test(test_stopped),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
