/*
 * linear_body.h - the loops of linear.h in the compiler's vectors, written once. A file includes it
 * inside its target region, once; hence no include guard. What it needs:
 *
 *   LB_SUFFIX             such as avx2
 *   LB_WIDTH              floats in a vector: 4, 8 or 16
 *   LB_MIN, LB_MAX(a, b)  of vectors
 *   LB_FMA(a, b, c)       a * b + c, in one rounding or two
 */

#define LB_JOIN2(name, suffix) linear_##name##_##suffix
#define LB_JOIN(name, suffix) LB_JOIN2(name, suffix)
#define LB(name) LB_JOIN(name, LB_SUFFIX)

typedef float LB(vec) __attribute__((vector_size(LB_WIDTH * 4), aligned(4), may_alias));
typedef int32_t LB(ints) __attribute__((vector_size(LB_WIDTH * 4), aligned(4), may_alias));
typedef uint8_t LB(bytes) __attribute__((vector_size(LB_WIDTH), aligned(1), may_alias));
#define LB_F(p) (*(LB(vec) *)(p))
#define LB_CF(p) (*(const LB(vec) *)(p))
#define LB_ROWS 4 /* whose nearest columns are found at a time */
#if defined(__clang__)
#define LB_UNROLL _Pragma("clang loop unroll(full)")
#else
#define LB_UNROLL _Pragma("GCC unroll 4")
#endif

/* Lane i of LB_SWAPh(v) is lane i ^ h of v. */
#if LB_WIDTH == 4
#define LB_SWAP1(v) __builtin_shufflevector(v, v, 1, 0, 3, 2)
#define LB_SWAP2(v) __builtin_shufflevector(v, v, 2, 3, 0, 1)
static const LB(vec) LB(lane) = {0, 1, 2, 3};
#elif LB_WIDTH == 8
#define LB_SWAP1(v) __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6)
#define LB_SWAP2(v) __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5)
#define LB_SWAP4(v) __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3)
static const LB(vec) LB(lane) = {0, 1, 2, 3, 4, 5, 6, 7};
#else
#define LB_SWAP1(v) \
  __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14)
#define LB_SWAP2(v) \
  __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13)
#define LB_SWAP4(v) \
  __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11)
#define LB_SWAP8(v) \
  __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7)
static const LB(vec) LB(lane) = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
#endif

static void LB(add)(float *sum, const float *x, size_t n) {
  size_t i = 0;
  for (; i + LB_WIDTH <= n; i += LB_WIDTH)
    LB_F(sum + i) += LB_CF(x + i);
  for (; i < n; i++)
    sum[i] += x[i];
}

/* ---- Rotation -------------------------------------------------------------------------------- */

static void LB(flip)(const uint32_t *signs, size_t dim, float *x) {
  size_t i = 0;
  for (; i + LB_WIDTH <= dim; i += LB_WIDTH)
    *(LB(ints) *)(void *)(x + i) ^= *(const LB(ints) *)(const void *)(signs + i);
  for (; i < dim; i++)
    x[i] = signs[i] ? -x[i] : x[i];
}

/* 1 in lanes without bit h, -1 in those with it. */
#define LB_SIGNS(h) (__builtin_convertvector((__builtin_convertvector(LB(lane), LB(ints)) & (h)) / \
                                             (h) * -2 + 1, LB(vec)))

/* The first steps, within each vector. */
static void LB(within)(float *x, size_t n) {
  const LB(vec) one = LB_SIGNS(1), two = LB_SIGNS(2);
#if LB_WIDTH >= 8
  const LB(vec) four = LB_SIGNS(4);
#endif
#if LB_WIDTH >= 16
  const LB(vec) eight = LB_SIGNS(8);
#endif
  for (size_t i = 0; i < n; i += LB_WIDTH) {
    LB(vec) v = LB_F(x + i);
    v = LB_SWAP1(v) + v * one;
    v = LB_SWAP2(v) + v * two;
#if LB_WIDTH >= 8
    v = LB_SWAP4(v) + v * four;
#endif
#if LB_WIDTH >= 16
    v = LB_SWAP8(v) + v * eight;
#endif
    LB_F(x + i) = v;
  }
}

/* Steps h and 2 h. */
static void LB(twice)(float *x, size_t n, size_t h) {
  for (size_t from = 0; from < n; from += 4 * h)
    for (float *at = x + from, *end = at + h; at < end; at += LB_WIDTH) {
      LB(vec) a = LB_F(at), b = LB_F(at + h), c = LB_F(at + 2 * h), d = LB_F(at + 3 * h);
      LB(vec) p = a + b, q = a - b, r = c + d, s = c - d;
      LB_F(at) = p + r;
      LB_F(at + h) = q + s;
      LB_F(at + 2 * h) = p - r;
      LB_F(at + 3 * h) = q - s;
    }
}

static void LB(once)(float *x, size_t n, size_t h) {
  for (size_t i = 0; i < n; i += 2 * h)
    for (size_t k = i; k < i + h; k++) {
      float a = x[k], b = x[k + h];
      x[k] = a + b;
      x[k + h] = a - b;
    }
}

static void LB(hadamard)(float *x, size_t n) {
  size_t h = 1;
  if (n >= LB_WIDTH) {
    LB(within)(x, n);
    for (h = LB_WIDTH; 4 * h <= n; h *= 4)
      LB(twice)(x, n, h);
  }
  for (; h < n; h *= 2)
    LB(once)(x, n, h);
}

static void LB(rotate)(const uint32_t *signs, size_t dim, float *x) {
  size_t part = 1;
  while (2 * part <= dim)
    part *= 2;
  float by = 1 / sqrtf((float)part);
  for (size_t round = 0; round < VDB_LINEAR_ROUNDS; round++) {
    float *from = x + (round % 2 ? dim - part : 0);
    LB(flip)(signs + round * dim, dim, x);
    LB(hadamard)(from, part);
    size_t i = 0;
    for (; i + LB_WIDTH <= part; i += LB_WIDTH)
      LB_F(from + i) *= by;
    for (; i < part; i++)
      from[i] *= by;
  }
}

/* ---- Columns --------------------------------------------------------------------------------- */

/* The least (or largest) lane, in all lanes. */
#if LB_WIDTH == 4
#define LB_REDUCE(v, of) v = of(v, LB_SWAP1(v)), v = of(v, LB_SWAP2(v))
#elif LB_WIDTH == 8
#define LB_REDUCE(v, of) \
  v = of(v, LB_SWAP1(v)), v = of(v, LB_SWAP2(v)), v = of(v, LB_SWAP4(v))
#else
#define LB_REDUCE(v, of) \
  v = of(v, LB_SWAP1(v)), v = of(v, LB_SWAP2(v)), v = of(v, LB_SWAP4(v)), v = of(v, LB_SWAP8(v))
#endif

/* Numbers, the least so far in each lane, and where each was. */
typedef struct {
  LB(vec) least, at, which;
} LB(search);

#define LB_SEARCH {LB(lane) * 0 + __builtin_inff(), LB(lane) * 0, LB(lane)}
/* a where the mask has ones, else b. */
#define LB_CHOOSE(mask, a, b) ((LB(vec))(((LB(ints))(a) & (mask)) | ((LB(ints))(b) & ~(mask))))
#define LB_OFFER(s, x)                              \
  do {                                              \
    LB(ints) less = (x) < (s).least;                \
    (s).least = LB_MIN(x, (s).least);               \
    (s).at = LB_CHOOSE(less, (s).which, (s).at);    \
    (s).which += (float)LB_WIDTH;                   \
  } while (0)

/* The least of all, and the first place of it. */
static size_t LB(found)(const LB(search) *s, float *key) {
  LB(vec) least = s->least, at;
  LB_REDUCE(least, LB_MIN);
  LB(ints) same = s->least == least;
  at = LB_CHOOSE(same, s->at, LB(lane) * 0 + 0x1p24f);
  LB_REDUCE(at, LB_MIN);
  *key = least[0];
  return (size_t)at[0];
}

/* Of `rows` rows: a constant where it is inlined, so that the sums live in registers. Each element
   of a column is read once for all of them. */
static inline __attribute__((always_inline)) void
LB(nearest_some)(const float *x, const float *columns, const float *halves, size_t dim,
                 size_t width, const size_t rows, uint32_t *which) {
  LB(search) s[LB_ROWS];
  LB(vec) sum[LB_ROWS];
  float key;
  LB_UNROLL for (size_t r = 0; r < rows; r++)
    s[r] = (LB(search))LB_SEARCH;
  for (size_t c = 0; c < width; c += LB_WIDTH) {
    LB_UNROLL for (size_t r = 0; r < rows; r++)
      sum[r] = LB(lane) * 0;
    for (size_t d = 0; d < dim; d++) {
      LB(vec) column = LB_CF(columns + d * width + c);
      LB_UNROLL for (size_t r = 0; r < rows; r++)
        sum[r] += column * x[r * dim + d];
    }
    LB(vec) half = LB_CF(halves + c);
    LB_UNROLL for (size_t r = 0; r < rows; r++) {
      sum[r] = half - sum[r];
      LB_OFFER(s[r], sum[r]);
    }
  }
  LB_UNROLL for (size_t r = 0; r < rows; r++)
    which[r] = (uint32_t)LB(found)(&s[r], &key);
}

static void LB(nearest)(const float *x, size_t n, const float *columns, const float *halves,
                        size_t dim, size_t width, uint32_t *which) {
  size_t i = 0;
  for (; i + LB_ROWS <= n; i += LB_ROWS)
    LB(nearest_some)(x + i * dim, columns, halves, dim, width, LB_ROWS, which + i);
  for (; i < n; i++)
    LB(nearest_some)(x + i * dim, columns, halves, dim, width, 1, which + i);
}

static size_t LB(least)(const float *dots, const float *halves, size_t n, float *key) {
  LB(search) s = LB_SEARCH;
  size_t i = 0, at = n;
  float least;
  for (; i + LB_WIDTH <= n; i += LB_WIDTH) {
    LB(vec) x = LB_CF(halves + i) - LB_CF(dots + i);
    LB_OFFER(s, x);
  }
  size_t best = LB(found)(&s, &least);
  if (least < *key) {
    *key = least;
    at = best;
  }
  for (; i < n; i++)
    if (halves[i] - dots[i] < *key) {
      *key = halves[i] - dots[i];
      at = i;
    }
  return at;
}

static void LB(products)(const float *x, const float *columns, size_t dim, size_t width,
                         float weight, float *out) {
  for (size_t c = 0; c < width; c += LB_WIDTH) {
    LB(vec) sum = LB(lane) * 0;
    for (size_t d = 0; d < dim; d++) {
      LB(vec) all = LB(lane) * 0 + x[d];
      sum = LB_FMA(all, LB_CF(columns + d * width + c), sum);
    }
    LB_F(out + c) = sum * weight;
  }
}

/* The step of m tables' bytes, and what numbers are multiplied by. Rounding may add a half to each
   byte. A query with NaN gets bytes of 0. */
static float LB(step)(float widest, float sum, size_t m, uint32_t most, float *step) {
  float least = sum / (65535 - (float)m / 2);
  *step = widest / (float)most;
  *step = *step > least ? *step : least;
  return *step > 0 && *step < __builtin_inff() ? 1 / *step : 0;
}

static void LB(narrow)(float *tables, size_t m, size_t width, uint32_t most, uint8_t *lut,
                       float *scale, float *offset) {
  LB(vec) widest = LB(lane) * 0, ranges = widest, offsets = widest;
  for (float *table = tables; table < tables + m * width; table += width) {
    LB(vec) low = LB_F(table), high = low;
    for (size_t c = LB_WIDTH; c < width; c += LB_WIDTH) {
      low = LB_MIN(low, LB_F(table + c));
      high = LB_MAX(high, LB_F(table + c));
    }
    LB_REDUCE(low, LB_MIN);
    LB_REDUCE(high, LB_MAX);
    for (size_t c = 0; c < width; c += LB_WIDTH)
      LB_F(table + c) -= low;
    widest = LB_MAX(widest, high - low);
    ranges += high - low;
    offsets += low;
  }
  float by = LB(step)(widest[0], ranges[0], m, most, scale);
  for (size_t i = 0; i < m * width; i += LB_WIDTH) {
    LB(vec) x = LB_F(tables + i) * by + 0.5f;
    x = LB_MIN(LB_MAX(x, LB(lane) * 0), LB(lane) * 0 + (float)most);
    *(LB(bytes) *)(lut + i) =
        __builtin_convertvector(__builtin_convertvector(x, LB(ints)), LB(bytes));
  }
  *offset = offsets[0];
}

/* Ranges of the tables of signs: the widest, and the sum. */
static void LB(ranges)(const float *x, size_t dim, float *widest, float *sum) {
  LB(vec) most = LB(lane) * 0, all = most;
  size_t d = 0;
  for (; d + LB_WIDTH <= dim; d += LB_WIDTH) {
    LB(vec) v = LB_CF(x + d), range = LB_MAX(v, -v);
    range += LB_SWAP1(range);
    range += LB_SWAP2(range);
    most = LB_MAX(most, range);
    all += range;
  }
  LB_REDUCE(most, LB_MAX);
  *widest = most[0];
  *sum = 0;
  for (size_t i = 0; i < LB_WIDTH; i += 4)
    *sum += all[i];
  for (size_t end; d < dim; d = end) {
    float range = 0;
    end = d + 4 < dim ? d + 4 : dim;
    for (size_t i = d; i < end; i++)
      range += x[i] < 0 ? -x[i] : x[i];
    *widest = range > *widest ? range : *widest;
    *sum += range;
  }
}

/* A table from four numbers of x / step. */
static void LB(signs_one)(float a, float b, float c, float d, float most, uint8_t *lut) {
  static const float halves[4][16] = {
      {-.5f, .5f, -.5f, .5f, -.5f, .5f, -.5f, .5f, -.5f, .5f, -.5f, .5f, -.5f, .5f, -.5f, .5f},
      {-.5f, -.5f, .5f, .5f, -.5f, -.5f, .5f, .5f, -.5f, -.5f, .5f, .5f, -.5f, -.5f, .5f, .5f},
      {-.5f, -.5f, -.5f, -.5f, .5f, .5f, .5f, .5f, -.5f, -.5f, -.5f, -.5f, .5f, .5f, .5f, .5f},
      {-.5f, -.5f, -.5f, -.5f, -.5f, -.5f, -.5f, -.5f, .5f, .5f, .5f, .5f, .5f, .5f, .5f, .5f}};
  float low = (fabsf(a) + fabsf(b) + (fabsf(c) + fabsf(d))) * .5f + .5f;
  for (size_t i = 0; i < 16; i += LB_WIDTH) {
    LB(vec) v = LB(lane) * 0 + low;
    v = LB_FMA(LB(lane) * 0 + a, LB_CF(halves[0] + i), v);
    v = LB_FMA(LB(lane) * 0 + b, LB_CF(halves[1] + i), v);
    v = LB_FMA(LB(lane) * 0 + c, LB_CF(halves[2] + i), v);
    v = LB_FMA(LB(lane) * 0 + d, LB_CF(halves[3] + i), v);
    v = LB_MIN(LB_MAX(v, LB(lane) * 0), LB(lane) * 0 + most);
    *(LB(bytes) *)(lut + i) =
        __builtin_convertvector(__builtin_convertvector(v, LB(ints)), LB(bytes));
  }
}

static void LB(signs)(const float *x, size_t dim, uint32_t most, uint8_t *lut, float *scale,
                      float *offset) {
  float widest, sum, last[4] = {0};
  LB(ranges)(x, dim, &widest, &sum);
  float by = LB(step)(widest, sum, (dim + 3) / 4, most, scale);
  size_t d = 0;
  for (; d + 4 <= dim; d += 4)
    LB(signs_one)(x[d] * by, x[d + 1] * by, x[d + 2] * by, x[d + 3] * by, (float)most, lut + d * 4);
  if (d < dim) {
    for (size_t i = d; i < dim; i++)
      last[i - d] = x[i] * by;
    LB(signs_one)(last[0], last[1], last[2], last[3], (float)most, lut + d * 4);
  }
  *offset = -sum / 2;
}

#define LB_TABLE(of)                                                                    \
  {                                                                                     \
    .name = of, .add = LB(add), .rotate = LB(rotate), .nearest = LB(nearest),           \
    .least = LB(least), .products = LB(products), .narrow = LB(narrow),                 \
    .signs = LB(signs)                                                                  \
  }
