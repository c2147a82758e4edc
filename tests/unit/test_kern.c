/*
 * test_kern.c - every table of kernels that this processor can run, against sums in double; the
 * conversions, against rounding by arithmetic; the choice of a table.
 *
 * Rows and queries end where an unreadable page begins, gaps between rows are all ones (NaN as
 * floats), so reading too far either traps or spoils a result.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/rng.h"
#include "kern/kern.h"
#include "tlib/thorough.h"

enum { ROWS = 11, MAX_GAP = 67, ROOM = ROWS * (VECDB_MAX_DIM * 4 + MAX_GAP) + 64 };

/* ---- Memory that ends at an unreadable page -------------------------------------------------- */

struct fenced {
  uint8_t *start; /* page aligned */
  uint8_t *end;   /* of what may be read */
};

static struct fenced fence(size_t room) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  size_t size = (size_t)vdb_round_up(room, page);
  uint8_t *p = mmap(NULL, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  assert_true(p != MAP_FAILED);
  assert_int_equal(mprotect(p + size, page, PROT_NONE), 0);
  return (struct fenced){p, p + size};
}

static void unfence(struct fenced f) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  munmap(f.start, (size_t)(f.end - f.start) + page);
}

/* ---- Values ---------------------------------------------------------------------------------- */

static double value_of_f16(uint16_t h) {
  int exponent = h >> 10 & 31, fraction = h & 1023;
  double v = exponent == 0    ? ldexp(fraction, -24)
             : exponent == 31 ? (fraction ? (double)NAN : (double)INFINITY)
                              : ldexp(1024 + fraction, exponent - 25);
  return h & 0x8000 ? -v : v;
}

static double value_of_bf16(uint16_t h) {
  int exponent = h >> 7 & 255, fraction = h & 127;
  double v = exponent == 0     ? ldexp(fraction, -133)
             : exponent == 255 ? (fraction ? (double)NAN : (double)INFINITY)
                               : ldexp(128 + fraction, exponent - 134);
  return h & 0x8000 ? -v : v;
}

/* Element i of a row, or of a query with elem F32 or I8; of BITS byte i. */
static double value_at(enum vdb_elem elem, const uint8_t *row, size_t i) {
  float whole;
  uint16_t half;
  if (elem == VDB_F32) {
    memcpy(&whole, row + i * 4, 4);
    return (double)whole;
  }
  if (elem == VDB_I8)
    return (int8_t)row[i];
  memcpy(&half, row + i * 2, 2);
  return elem == VDB_F16 ? value_of_f16(half) : value_of_bf16(half);
}

static enum vdb_elem query_elem(enum vdb_elem elem) {
  return elem == VDB_F16 || elem == VDB_BF16 ? VDB_F32 : elem;
}

enum data { DATA_REAL, DATA_WHOLE, DATA_EXTREME };

/* REAL: floats in (-1, 1) or any byte. WHOLE: -3 to 3, so that sums of floats are exact. EXTREME:
   for bytes -128 in queries, 127 or -128 in rows; else as WHOLE. */
static void put_value(enum vdb_elem elem, enum data data, struct vdb_rng *rng, uint8_t *at) {
  uint32_t bits = (uint32_t)vdb_rng_next(rng);
  int small = (int)(bits % 7) - 3;
  float v = data == DATA_REAL ? (float)(vdb_rng_unit(rng) * 2 - 1) : (float)small;
  uint16_t half;
  if (elem == VDB_F32) {
    memcpy(at, &v, 4);
  } else if (elem == VDB_I8) {
    *at = data == DATA_REAL ? (uint8_t)bits : (uint8_t)small;
  } else if (elem == VDB_BITS) {
    *at = data == DATA_REAL ? (uint8_t)bits : (uint8_t)(bits & bits >> 8 & bits >> 16);
  } else {
    if (elem == VDB_F16)
      vdb_kern_available(0)->f32_to_f16(&v, &half, 1);
    else
      vdb_kern_available(0)->f32_to_bf16(&v, &half, 1);
    memcpy(at, &half, 2);
  }
}

static void put_row(enum vdb_elem elem, enum data data, struct vdb_rng *rng, size_t dim,
                    uint8_t *row) {
  size_t n = elem == VDB_BITS ? dim / 8 : dim;
  size_t unit = n ? vdb_elem_row_bytes(elem, dim) / n : 0;
  for (size_t i = 0; i < n; i++)
    put_value(elem, data, rng, row + i * unit);
}

/* ---- What is right --------------------------------------------------------------------------- */

struct want {
  double value;
  double slack; /* how far off a result may be */
};

static struct want want_bits(enum vdb_op op, const uint8_t *query, const uint8_t *row,
                             size_t dim) {
  unsigned both = 0, any = 0;
  for (size_t i = 0; i < dim; i++) {
    unsigned q = query[i / 8], r = row[i / 8];
    both += (q & r) >> i % 8 & 1;
    any += (q | r) >> i % 8 & 1;
  }
  if (op == VDB_OP_HAMMING)
    return (struct want){any - both, 0};
  return (struct want){any ? 1 - (double)both / any : 0, 0x1p-25};
}

/*
 * How far a float sum may be off. Let u = 2^-24 and T the sum of the terms' sizes. Each term passes
 * through at most k roundings of relative size u, so the sum is off by no more than
 * ((1 + u)^k - 1) T <= 1.01 k u T. With at least 16 partial sums (4 vectors of 4 lanes) a term is
 * rounded when it and the later ones of its partial sum are added, dim / 16 + 1 times, at most 6
 * times when up to 64 partial sums are added up, and, for L2, twice by the subtraction. The scalar
 * table sums in double: one rounding at the end, of the sum itself, and dim of size 2^-53.
 */
static double float_slack(const struct vdb_kern_table *table, size_t dim, double sum,
                          double terms) {
  double k = (double)(dim / 16) + 9;
  if (strcmp(table->name, "scalar") == 0)
    return 1.01 * (fabs(sum) * 0x1p-24 + (double)dim * terms * 0x1p-53);
  return 1.01 * k * 0x1p-24 * terms;
}

struct check {
  const struct vdb_kern_table *table;
  enum vdb_elem elem;
  enum vdb_op op;
  enum data data;
  size_t dim;
  size_t gap;
  size_t offset; /* of rows and query from an aligned address; FENCED: they end at the fence */
  bool bytes;    /* elements of a byte alone */
};
enum { FENCED = 99 };

static struct want want_of(const struct check *c, const uint8_t *query, const uint8_t *row) {
  double sum = 0, terms = 0;
  if (c->elem == VDB_BITS)
    return want_bits(c->op, query, row, c->dim);
  for (size_t i = 0; i < c->dim; i++) {
    double q = value_at(query_elem(c->elem), query, i);
    double r = value_at(c->elem, row, i);
    double term = c->op == VDB_OP_L2 ? (q - r) * (q - r) : q * r;
    sum += term;
    terms += fabs(term);
  }
  if (c->elem == VDB_I8 || c->data != DATA_REAL)
    return (struct want){(double)(float)sum, 0};
  return (struct want){sum, float_slack(c->table, c->dim, sum, terms)};
}

static void expect(const struct check *c, const char *call, size_t row, float got,
                   struct want want) {
  if (fabs((double)got - want.value) <= want.slack)
    return;
  fail_msg("%s elem %d op %d data %d dim %zu gap %zu offset %zu: %s row %zu gives %.9g, not %.17g"
           " (slack %g)", c->table->name, (int)c->elem, (int)c->op, (int)c->data, c->dim, c->gap,
           c->offset, call, row, (double)got, want.value, want.slack);
}

/* ---- One combination ------------------------------------------------------------------------- */

static struct fenced row_memory, query_memory;

static uint8_t *place(struct fenced f, size_t bytes, size_t offset) {
  return offset == FENCED ? f.end - bytes : f.start + offset;
}

/* out[0..n) hold `one`'s floats bit by bit, and out[n] was left alone. */
static void expect_same(const struct check *c, const char *call, const float *out,
                        const float *one, size_t n) {
  const float untouched = -7777;
  for (size_t i = 0; i < n; i++)
    if (memcmp(&out[i], &one[i], sizeof *out) != 0)
      fail_msg("%s elem %d op %d dim %zu: %s of %zu gives %.9g for %zu, not %.9g as one does",
               c->table->name, (int)c->elem, (int)c->op, c->dim, call, n, (double)out[i], i,
               (double)one[i]);
  assert_memory_equal(&out[n], &untouched, sizeof untouched);
}

/* Each number of rows; of long rows some: what a number leaves over is the same at each length. */
static void check_calls(const struct check *c, const uint8_t *query, const uint8_t *rows,
                        size_t stride) {
  size_t step = vdb_elem_row_bytes(c->elem, c->dim) > 1000 ? 5 : 1;
  static const uint32_t ids[ROWS + 2] = {10, 0, 3, 3, 9, 1, 10, 10, 2, 8, 7, 4, 0};
  const struct vdb_kern *k = &c->table->kern[c->elem][c->op];
  float one[ROWS], by_id[VDB_COUNT(ids)], out[VDB_COUNT(ids) + 1];
  for (size_t i = 0; i < ROWS; i++) {
    one[i] = k->one(query, rows + i * stride, c->dim);
    expect(c, "one", i, one[i], want_of(c, query, rows + i * stride));
  }
  for (size_t i = 0; i < VDB_COUNT(ids); i++)
    by_id[i] = one[ids[i]];
  for (size_t n = 0; n <= VDB_COUNT(ids); n += step) {
    for (size_t i = 0; i < VDB_COUNT(out); i++)
      out[i] = -7777;
    k->gather(query, rows, stride, ids, n, c->dim, out);
    expect_same(c, "gather", out, by_id, n);
    if (n > ROWS)
      continue;
    for (size_t i = 0; i < VDB_COUNT(out); i++)
      out[i] = -7777;
    k->many(query, rows, stride, n, c->dim, out);
    expect_same(c, "many", out, one, n);
  }
}

static void check_one(const struct check *c) {
  struct vdb_rng rng = {c->dim * 31 + c->gap * 7 + c->offset};
  size_t bytes = vdb_elem_row_bytes(c->elem, c->dim), stride = bytes + c->gap;
  size_t total = (ROWS - 1) * stride + bytes;
  size_t query_bytes = vdb_elem_row_bytes(query_elem(c->elem), c->dim);
  uint8_t *rows = place(row_memory, total, c->offset);
  uint8_t *query = place(query_memory, query_bytes, c->offset);
  memset(rows, 0xff, total);
  put_row(query_elem(c->elem), c->data, &rng, c->dim, query);
  for (size_t i = 0; i < ROWS; i++)
    put_row(c->elem, c->data, &rng, c->dim, rows + i * stride);
  if (c->data == DATA_EXTREME && c->elem == VDB_I8) {
    memset(query, 0x80, query_bytes);
    for (size_t i = 0; i < ROWS; i++)
      memset(rows + i * stride, i % 2 ? 0x80 : 0x7f, bytes);
  } else if (c->data == DATA_EXTREME && c->elem == VDB_BITS) {
    memset(query, 0, query_bytes);
    for (size_t i = 0; i < ROWS; i++)
      memset(rows + i * stride, i % 2 ? 0 : 0xff, bytes);
  }
  check_calls(c, query, rows, stride);
}

/* ---- All combinations ------------------------------------------------------------------------ */

static bool has_meaning(enum vdb_elem elem, enum vdb_op op) {
  bool bits = op == VDB_OP_HAMMING || op == VDB_OP_JACCARD;
  return bits == (elem == VDB_BITS);
}

/* Runs check for every table, element and operation; dim counts bytes for BITS. */
static void check_everywhere(struct check c) {
  size_t dim = c.dim;
  for (size_t t = 0; (c.table = vdb_kern_available(t)) != NULL; t++)
    for (int elem = 0; elem < VDB_ELEM_COUNT; elem++)
      for (int op = 0; op < VDB_OP_COUNT; op++) {
        c.elem = (enum vdb_elem)elem;
        c.op = (enum vdb_op)op;
        c.dim = elem == VDB_BITS ? vdb_min_size(dim * 8, VECDB_MAX_DIM / 8 * 8) : dim;
        if (has_meaning(c.elem, c.op) && (!c.bytes || vdb_elem_row_bytes(c.elem, 8) <= 8))
          check_one(&c);
      }
}

static void test_short(void **state) {
  enum { EACH = TEST_SIZES(1, 3, 7) /* of the gaps, in turn */ };
  static const size_t gaps[] = {0, 1, 2, 3, 4, 64, MAX_GAP};
  (void)state;
  for (size_t dim = 0; dim <= 130; dim += dim < 40 ? 1 : TEST_SIZES(1, 3, 9)) {
    struct check c = {.dim = dim, .offset = FENCED};
    for (size_t g = dim % EACH; g < VDB_COUNT(gaps); g += EACH) {
      c.gap = gaps[g];
      c.data = g % 2 ? DATA_WHOLE : DATA_REAL;
      check_everywhere(c);
    }
    c.data = DATA_EXTREME;
    check_everywhere(c);
  }
}

/* Addresses off by 1 to 3 bytes and by 1 to 3 elements of 2 and 4 bytes. */
static void test_odd_addresses(void **state) {
  static const size_t offsets[] = {1, 2, 3, 4, 6, 8, 12};
  (void)state;
  enum { EACH = TEST_SIZES(1, 3, 7) /* of the offsets, in turn */ };
  for (size_t dim = 0; dim <= 130; dim += dim < 20 ? 1 : 11)
    for (size_t i = dim % EACH; i < VDB_COUNT(offsets); i += EACH)
      check_everywhere((struct check){.dim = dim, .offset = offsets[i], .gap = i});
}

static void test_long(void **state) {
  enum { EACH = TEST_SIZE(1, 3) /* of the dimensions */ };
  static const size_t dims[] = {255, 256, 384, 768, 1000, 1536, 4097, VECDB_MAX_DIM};
  (void)state;
  /* The longest always: there whole numbers are near their limits, of which a float has none. */
  for (size_t i = (VDB_COUNT(dims) - 1) % EACH; i < VDB_COUNT(dims); i += EACH) {
    struct check c = {.dim = dims[i], .offset = FENCED};
    c.bytes = dims[i] > 5000 && TEST_SIZE(false, true);
    for (int data = DATA_REAL; data <= DATA_EXTREME; data += TEST_SIZE(1, 2)) {
      c.data = (enum data)data;
      c.gap = (size_t)data;
      check_everywhere(c);
    }
  }
}

/* Infinities and NaN come out as the arithmetic has it. */
static void test_not_finite(void **state) {
  const float specials[] = {INFINITY, NAN};
  float query[33], row[33];
  (void)state;
  for (size_t t = 0; vdb_kern_available(t); t++)
    for (size_t at = 0; at < 33; at++)
      for (size_t s = 0; s < 2; s++) {
        const struct vdb_kern *k = vdb_kern_available(t)->kern[VDB_F32];
        for (size_t i = 0; i < 33; i++)
          query[i] = row[i] = 1;
        row[at] = specials[s];
        assert_int_equal(isnan(k[VDB_OP_L2].one(query, row, 33)), s == 1);
        assert_int_equal(isinf(k[VDB_OP_DOT].one(query, row, 33)), s == 0);
      }
}

/* ---- Conversions ----------------------------------------------------------------------------- */

typedef void (*narrow_fn)(const float *in, uint16_t *out, size_t n);
typedef void (*widen_fn)(const uint16_t *in, float *out, size_t n);

struct format {
  double (*value)(uint16_t half);
  int digits;       /* of the fraction */
  int least;        /* exponent of the least normal number */
  uint16_t infinite; /* bits of infinity */
};
static const struct format formats[2] = {{value_of_f16, 10, -14, 0x7c00},
                                         {value_of_bf16, 7, -126, 0x7f80}};

static narrow_fn narrow_of(const struct vdb_kern_table *t, size_t format) {
  return format == 0 ? t->f32_to_f16 : t->f32_to_bf16;
}

static widen_fn widen_of(const struct vdb_kern_table *t, size_t format) {
  return format == 0 ? t->f16_to_f32 : t->bf16_to_f32;
}

/* Whether `half` is x rounded to nearest even. Bits count on by one from value to value, so the
   value itself is found by rounding in units of the last digit. */
static bool rounded(const struct format *f, float x, uint16_t half) {
  int exponent;
  double v = f->value(half), size = fabs((double)x), unit, want;
  if (isnan(x))
    return isnan(v);
  if (!!signbit(x) != half >> 15)
    return false;
  if (isinf(x))
    return isinf(v);
  frexp(size, &exponent);
  exponent = exponent - 1 < f->least ? f->least : exponent - 1;
  unit = ldexp(1, exponent - f->digits);
  want = nearbyint(size / unit) * unit;
  if (want > f->value((uint16_t)(f->infinite - 1)))
    return isinf(v);
  return fabs(v) == want;
}

static float float_of(uint32_t bits) {
  float v;
  memcpy(&v, &bits, sizeof v);
  return v;
}

static void check_narrow(const struct vdb_kern_table *table, size_t format, const float *in,
                         size_t n) {
  uint16_t out[512];
  assert_true(n <= VDB_COUNT(out));
  narrow_of(table, format)(in, out, n);
  for (size_t i = 0; i < n; i++)
    if (!rounded(&formats[format], in[i], out[i]))
      fail_msg("%s format %zu: %a becomes %04x", table->name, format, (double)in[i], out[i]);
}

static void test_widen(void **state) {
  static uint16_t in[65536];
  static float out[65536];
  (void)state;
  for (size_t i = 0; i < 65536; i++)
    in[i] = (uint16_t)i;
  for (size_t t = 0; vdb_kern_available(t); t++)
    for (size_t f = 0; f < 2; f++) {
      widen_of(vdb_kern_available(t), f)(in, out, 65536);
      for (size_t i = 0; i < 65536; i++) {
        double want = formats[f].value(in[i]);
        if (isnan(want))
          assert_true(isnan(out[i]));
        else
          assert_true((double)out[i] == want && !!signbit(out[i]) == in[i] >> 15);
      }
    }
}

/* Every half, or one in so many, the middle to the next one, and the floats beside both; past the
   largest too. */
static void test_narrow_edges(void **state) {
  float in[6];
  (void)state;
  for (size_t t = 0; vdb_kern_available(t); t++)
    for (size_t f = 0; f < 2; f++)
      for (uint32_t half = 0; half < 65536; half += TEST_SIZES(1, 7, 29)) {
        if ((half & 0x7fff) > formats[f].infinite)
          continue;
        float v = (float)formats[f].value((uint16_t)half);
        float next = (half & 0x7fff) < formats[f].infinite - 1u
                         ? (float)formats[f].value((uint16_t)(half + 1))
                         : v;
        float middle = (float)(((double)v + (double)next) / 2);
        float sixth[6] = {v, nextafterf(v, INFINITY), nextafterf(v, -INFINITY), middle,
                          nextafterf(middle, INFINITY), nextafterf(middle, -INFINITY)};
        memcpy(in, sixth, sizeof in);
        check_narrow(vdb_kern_available(t), f, in, 6);
      }
}

static void test_narrow_random(void **state) {
  static const uint32_t special[] = {0x7f800000, 0xff800000, 0x7f800001, 0xffbfffff, 0x7fffffff,
                                     0xffffffff, 0x7f7fffff, 1,          0x80000001, 0x007fffff,
                                     0x477fefff, 0x477ff000, 0x33000000, 0x33000001, 0x80000000};
  struct vdb_rng rng = {7};
  float in[512];
  (void)state;
  for (size_t round = 0; round < TEST_SIZES(600, 60, 20); round++) {
    for (size_t i = 0; i < 512; i++) {
      uint32_t bits = (uint32_t)vdb_rng_next(&rng);
      if (i % 4 == 1) /* exponents that matter to f16 */
        bits = (bits & 0x807fffff) | (100 + bits % 45) << 23;
      if (i % 4 == 2) /* ties are frequent */
        bits &= 0xffff8000;
      in[i] = i % 16 == 3 ? float_of(special[vdb_rng_below(&rng, VDB_COUNT(special))])
                          : float_of(bits);
    }
    for (size_t t = 0; vdb_kern_available(t); t++)
      for (size_t f = 0; f < 2; f++)
        check_narrow(vdb_kern_available(t), f, in, 512);
  }
}

/* All lengths, odd addresses, arrays up to the fence, nothing written behind. */
static void test_convert_lengths(void **state) {
  uint8_t want[70 * 4], got[70 * 4 + 8];
  struct vdb_rng rng = {5};
  (void)state;
  for (size_t t = 0; vdb_kern_available(t); t++)
    for (size_t f = 0; f < 2; f++)
      for (size_t n = 0; n <= 70; n++) {
        uint8_t *wide = place(row_memory, n * 4, FENCED);
        uint8_t *half = place(query_memory, n * 2, FENCED);
        size_t odd = n % 4;
        put_row(VDB_F32, DATA_REAL, &rng, n, wide);
        memset(got, 0xee, sizeof got);
        narrow_of(vdb_kern_available(0), f)((void *)wide, (void *)half, n);
        narrow_of(vdb_kern_available(t), f)((void *)wide, (void *)(got + odd), n);
        assert_memory_equal(got + odd, half, n * 2);
        assert_int_equal(got[odd + n * 2], 0xee);
        widen_of(vdb_kern_available(0), f)((void *)half, (void *)want, n);
        widen_of(vdb_kern_available(t), f)((void *)half, (void *)(got + odd), n);
        assert_memory_equal(got + odd, want, n * 4);
        assert_int_equal(got[odd + n * 4], 0xee);
      }
}

/* ---- Tables and their choice ----------------------------------------------------------------- */

static void test_tables(void **state) {
  size_t t = 0;
  (void)state;
  assert_string_equal(vdb_kern_available(0)->name, "scalar");
  for (; vdb_kern_available(t); t++) {
    const struct vdb_kern_table *table = vdb_kern_available(t);
    for (int elem = 0; elem < VDB_ELEM_COUNT; elem++)
      for (int op = 0; op < VDB_OP_COUNT; op++) {
        bool some = has_meaning((enum vdb_elem)elem, (enum vdb_op)op);
        const struct vdb_kern *k = &table->kern[elem][op];
        assert_true((k->one != NULL) == some);
        assert_true((k->many != NULL) == some);
        assert_true((k->gather != NULL) == some);
      }
  }
  assert_null(vdb_kern_available(t));
  assert_null(vdb_kern_available(t + 1000));
}

/* The table chosen by a fresh process with VECDB_KERN set to `forced`, NULL: unset. */
static void expect_choice(const char *forced, const char *want) {
  int status;
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    if (forced)
      setenv("VECDB_KERN", forced, 1);
    else
      unsetenv("VECDB_KERN");
    _exit(strcmp(vecdb_kernels(), want) == 0 ? 0 : 1);
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
}

/* Comes first: this process must not have chosen yet. */
static void test_choice(void **state) {
  const char *best = NULL;
  (void)state;
  for (size_t t = 0; vdb_kern_available(t); t++) {
    best = vdb_kern_available(t)->name;
    expect_choice(best, best);
  }
  expect_choice(NULL, best);
  expect_choice("", best);
  expect_choice("abacus", best);
}

static void *choose(void *arg) {
  (void)arg;
  return (void *)(uintptr_t)vdb_kern();
}

static void test_choice_by_threads(void **state) {
  pthread_t threads[4];
  (void)state;
  for (size_t i = 0; i < 4; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, choose, NULL), 0);
  for (size_t i = 0; i < 4; i++) {
    void *table;
    assert_int_equal(pthread_join(threads[i], &table), 0);
    assert_ptr_equal(table, vdb_kern());
  }
  assert_string_equal(vecdb_kernels(), vdb_kern()->name);
}

static int set_up(void **state) {
  (void)state;
  row_memory = fence(ROOM);
  query_memory = fence(VECDB_MAX_DIM * 4 + 64);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  unfence(row_memory);
  unfence(query_memory);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_choice),       cmocka_unit_test(test_choice_by_threads),
      cmocka_unit_test(test_tables),       cmocka_unit_test(test_short),
      cmocka_unit_test(test_odd_addresses), cmocka_unit_test(test_long),
      cmocka_unit_test(test_not_finite),   cmocka_unit_test(test_widen),
      cmocka_unit_test(test_narrow_edges), cmocka_unit_test(test_narrow_random),
      cmocka_unit_test(test_convert_lengths),
  };
  return cmocka_run_group_tests_name("kern", tests, set_up, tear_down);
}
