/*
 * sq.c - see sq.h.
 *
 *   params  struct sq_head, f32 mean[dim]
 *   data    u8 codes[n * stride], f32 factors[2 * n], and of long 4-bit codes, on a cache line,
 *           sketches (kern/walk.h): u64 rows[n * stride], their stride a multiple of a cache line
 */
#include "index/sq.h"

#include <math.h>
#include <stdatomic.h>

#include "base/check.h"
#include "index/rotate.h"
#include "kern/linear.h"

enum {
  SQ_SAMPLE = 4096, /* rows that the mean and the size are learnt from */
  SQ_CHUNK = 256,   /* rows coded per item of a parallel loop */
  SQ_T_MAX = 127,   /* of a query's elements */
  SQ_BRIEF_STEP = 64, /* briefs made floats at a time */
  SQ_BRIEF_TINY = 1024, /* one row in so many may have factors that are too small for briefs */
  SQ_SKETCH = 192   /* bytes of a 4-bit code from which sketches pay */
};

/* Standard deviations by which a bound lies below what the sketch says: of the rows that belong
   into a pool, three in a hundred are then lost, and found again by way of others. */
#define SQ_DEVIATIONS 1.9f

/* Factors from which 16 bits are not enough, and those below which they leave too few digits. */
#define SQ_BRIEF_MOST 6e4f
#define SQ_BRIEF_LEAST 6e-5f

struct sq_head {
  float gain; /* of rows, so that centred ones have length 1 on average */
  uint32_t sketched; /* 1: with sketches */
  uint64_t seed; /* of the rotation */
};

/* What a row must know to be a query: the sum of its code's elements as a query's, and the length
   that it has when centred. */
struct sq_made {
  int32_t sum;
  float length;
};

struct sq_state {
  const struct vdb_walk_kern *kern;
  struct vdb_walk_codes codes;
  struct sq_head head;
  float unit; /* what a product of two centred vectors is worth */
  float norm; /* of a row of middling length, not centred */
  const float *mean;
  struct vdb_walk_sketches sketches; /* rows is NULL: none */
  struct sq_made *made; /* of each row; made 8-bit codes only */
  _Atomic uint32_t tiny; /* made codes: rows whose factors lose digits in 16 bits */
  uint32_t signs[]; /* of the rotation */
};

/* As it lies in the memory of a query: elements behind, room for floats behind these. */
struct sq_query {
  struct vdb_walk_query walk;
  struct vdb_walk_sketch_query sketch;
  float length; /* of the query, centred, in units of the gain */
  float lengths; /* that of the query times that of rows, both as they are; 0 under L2 */
  uint32_t zero[2];
  int8_t t[];
};
_Static_assert(offsetof(struct sq_query, t) % 16 == 0, "elements are aligned");

static bool sq_is4(const struct vdb_codes *codes) { return codes->ops == vdb_sq4_ops(); }

static bool sq_fits(const struct vdb_vecs *v) {
  return v->elem == VDB_F32 || v->elem == VDB_F16 || v->elem == VDB_BF16;
}

/* Bytes of a code: up to 32 a power of two, then whole cache lines. */
static size_t sq_stride(uint32_t dim, bool is4) {
  size_t bytes = is4 ? ((size_t)dim + 1) / 2 : dim;
  return bytes <= 16 ? 16 : bytes <= 32 ? 32 : (size_t)vdb_round_up(bytes, 64);
}

/* Elements of a code, with those that fill it up. */
static size_t sq_elements(const struct vdb_codes *codes) {
  return sq_is4(codes) ? 2 * codes->stride : codes->stride;
}

static size_t sq_spread_at(const struct vdb_codes *codes) {
  return vdb_round_up(sizeof(struct sq_query) + sq_elements(codes) + VDB_WALK_T_ROOM, 64);
}

static size_t sq_floats_at(const struct vdb_codes *codes) {
  const struct sq_state *s = codes->state;
  return sq_spread_at(codes) + vdb_walk_spread_bytes(s->sketches.words);
}

static size_t sq_query_bytes(const struct vdb_codes *codes) {
  return sq_floats_at(codes) + vdb_round_up(codes->dim, 16) * sizeof(float);
}

/* Rounds to the nearest, within -limit to limit; NaN, which damaged sections can bring, to one of
   these. */
VDB_INLINE int sq_round(float x, float limit) {
  x = x > -limit ? x : -limit;
  x = x < limit ? x : limit;
  return (int)(x + (x < 0 ? -0.5f : 0.5f));
}

/* Four floats at any address of a float. */
typedef float sq_four __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32_t sq_ints __attribute__((vector_size(16), aligned(4), may_alias));

VDB_INLINE sq_four sq_load(const float *x) { return *(const sq_four *)x; }

VDB_INLINE float sq_dot(const float *a, const float *b, size_t n) {
  sq_four sums = {0};
  size_t i = 0;
  for (; i + 4 <= n; i += 4)
    sums += sq_load(a + i) * sq_load(b + i);
  for (; i < n; i++)
    sums[0] += a[i] * b[i];
  return sums[0] + sums[1] + (sums[2] + sums[3]);
}

VDB_INLINE float sq_most(const float *x, size_t n) {
  const sq_ints sign = {INT32_MIN, INT32_MIN, INT32_MIN, INT32_MIN};
  sq_ints most = {0}; /* magnitudes order as their bits do */
  size_t i = 0;
  float out = 0;
  for (; i + 4 <= n; i += 4) {
    sq_ints v = (sq_ints)sq_load(x + i) & ~sign;
    sq_ints more = v > most;
    most = (v & more) | (most & ~more);
  }
  for (size_t k = 0; k < 4; k++)
    out = ((sq_four)most)[k] > out ? ((sq_four)most)[k] : out;
  for (; i < n; i++)
    out = x[i] > out ? x[i] : -x[i] > out ? -x[i] : out;
  return out;
}

/* (raw * norm - mean) * gain. */
static void sq_centre(const struct sq_state *s, const float *raw, float norm, uint32_t dim,
                      float *out) {
  uint32_t i = 0;
  for (; i + 4 <= dim; i += 4)
    *(sq_four *)(out + i) = (sq_load(raw + i) * norm - sq_load(s->mean + i)) * s->head.gain;
  for (; i < dim; i++)
    out[i] = (raw[i] * norm - s->mean[i]) * s->head.gain;
}

/* What sketches are compared with, of a query that is ready for the codes. `length` is that of the
   query, centred. The sum over signs misses <q, r> by what q has across r, times the part of the
   sign vector that is across r; both are as good as random. With c the cosine of r and its signs,
   near sqrt(2 / pi), the error of `f <q, signs>`, f = |r|^2 / |r|_1, thus has a standard deviation
   of f |q| sqrt(1 - c^2), and sqrt(1 - 2 / pi) is 0.603. */
static void sq_sketch_query(const struct vdb_codes *codes, float length, struct sq_query *q) {
  const struct sq_state *s = codes->state;
  size_t words = s->sketches.words;
  q->length = length;
  if (words == 0)
    return;
  int8_t *spread = (int8_t *)q + sq_spread_at(codes);
  int32_t sum = s->kern->spread(q->t, words, spread);
  float each = codes->metric != VECDB_L2 ? 1 : 2;
  float slack = SQ_DEVIATIONS * 0.603f * each * length;
  q->sketch = (struct vdb_walk_sketch_query){
      spread, 2 * q->walk.weight * VDB_WALK_SPREAD_STEP,
      -q->walk.weight * VDB_WALK_SPREAD_STEP * (float)sum - slack, q->walk.add};
}

static void sq_query(const struct vdb_codes *codes, const struct vdb_query_vec *query, void *out) {
  const struct sq_state *s = codes->state;
  struct sq_query *q = out;
  float *x = (float *)(void *)((uint8_t *)out + sq_floats_at(codes));
  const float *raw = query->data;
  bool dot = codes->metric != VECDB_L2;
  uint32_t dim = codes->dim;
  size_t room = vdb_round_up(dim, 16);
  sq_centre(s, raw, query->inv_norm, dim, x);
  float squares = sq_dot(x, x, dim);
  float add = dot ? -sq_dot(raw, s->mean, dim) * query->inv_norm : squares * s->unit;
  vdb_linear()->rotate(s->signs, dim, x);
  memset(x + dim, 0, (room - dim) * sizeof *x);
  float most = sq_most(x, dim);
  float by = most > 0 ? SQ_T_MAX / most : 0;
  memset(q->t + room, 0, sq_elements(codes) + VDB_WALK_T_ROOM - room);
  int32_t sum = s->kern->narrow(x, room, by, q->t);
  float weight = (dot ? -1.0f : -2.0f) * (most / SQ_T_MAX);
  float middle = sq_is4(codes) ? 7.5f : 128.0f;
  q->walk = (struct vdb_walk_query){q->t, weight, -weight * middle * (float)sum, add};
  q->lengths = dot ? sqrtf(sq_dot(raw, raw, dim)) * query->inv_norm * s->norm : 0;
  sq_sketch_query(codes, sqrtf(squares), q);
}

VDB_INTERNAL void vdb_sq_row_query(const struct vdb_codes *rows, uint32_t row,
                                   const struct vdb_codes *codes, void *out) {
  const struct sq_state *s = rows->state;
  const uint8_t *code = rows->data + (size_t)row * rows->stride;
  const float *factors = s->codes.factors + 2 * (size_t)row;
  const sq_ints flip = {(int32_t)0x80808080, (int32_t)0x80808080, (int32_t)0x80808080,
                        (int32_t)0x80808080};
  struct sq_query *q = out;
  vdb_assert(s->made && sq_elements(codes) >= rows->stride);
  memset(q->t + rows->stride, 0, sq_elements(codes) - rows->stride);
  for (size_t i = 0; i < rows->stride; i += 16)
    *(sq_ints *)(void *)(q->t + i) = *(const sq_ints *)(const void *)(code + i) ^ flip;
  float weight = (rows->metric != VECDB_L2 ? -1.0f : -2.0f) * factors[1] / s->unit;
  float middle = sq_is4(codes) ? 7.5f : 128.0f;
  q->walk = (struct vdb_walk_query){q->t, weight, -weight * middle * (float)s->made[row].sum,
                                    factors[0]};
  q->lengths = 0;
  sq_sketch_query(codes, s->made[row].length, q);
}

static void sq_keys(const struct vdb_codes *codes, const void *query, const uint32_t *ids, size_t n,
                    float *keys) {
  const struct sq_state *s = codes->state;
  const struct sq_query *q = query;
  (sq_is4(codes) ? s->kern->keys4 : s->kern->keys8)(&s->codes, &q->walk, ids, NULL, n, keys);
}

static size_t sq_sift(const struct vdb_codes *codes, const void *query, uint32_t *ids,
                      uint32_t *beside, size_t n, float limit) {
  const struct sq_state *s = codes->state;
  const struct sq_query *q = query;
  return s->kern->sift(&s->sketches, &q->sketch, ids, beside, n, limit);
}

/* Whether factors lose digits as f16, as those of rows far shorter than most do: neighbours among
   such rows could then not be told apart. What a key has of the mean, except under L2, is small by
   chance only, and then does not matter. */
static bool sq_is_tiny(const struct vdb_codes *codes, const float *factors) {
  const struct sq_state *s = codes->state;
  float least = SQ_BRIEF_LEAST * s->unit;
  return factors[1] > 0 &&
         (factors[1] < least || (codes->metric == VECDB_L2 && factors[0] < least));
}

/* The factors as f16, in a unit in which they are small. */
static bool sq_brief(const struct vdb_codes *codes, uint32_t id, uint32_t *out) {
  const struct sq_state *s = codes->state;
  const float *factors = s->codes.factors + 2 * (size_t)id;
  float scaled[2] = {factors[0] / s->unit, factors[1] / s->unit};
  uint16_t halves[2];
  vdb_kern()->f32_to_f16(scaled, halves, 2);
  *out = (uint32_t)halves[1] << 16 | halves[0];
  if (atomic_load_explicit(&s->tiny, memory_order_relaxed) > codes->n / SQ_BRIEF_TINY)
    return false;
  return fabsf(scaled[0]) < SQ_BRIEF_MOST && scaled[1] < SQ_BRIEF_MOST;
}

/* Rotated elements are as good as normal. Rounded to so many bits, what is lost of a row has these
   shares of its length, and is as good as random: see the error of sketches. */
static float sq_deviation(const struct vdb_codes *codes, const void *query) {
  const struct sq_state *s = codes->state;
  const struct sq_query *q = query;
  float each = codes->metric != VECDB_L2 ? 1 : 2;
  float lost = sq_is4(codes) ? 0.107f : 0.0073f;
  return each * lost * q->length * s->unit / sqrtf((float)codes->dim);
}

/* Under IP as if the query had the length of rows, as it could have any. */
static float sq_squared(const struct vdb_codes *codes, const void *query, float key) {
  const struct sq_query *q = query;
  return codes->metric != VECDB_L2 ? 2 * (q->lengths + key) : key;
}

static void sq_keys_brief(const struct vdb_codes *codes, const void *query, const uint32_t *ids,
                          const uint32_t *briefs, size_t n, float *keys) {
  const struct sq_state *s = codes->state;
  const struct sq_query *q = query;
  for (size_t i = 0, part; i < n; i += part) {
    float factors[2 * SQ_BRIEF_STEP];
    part = vdb_min_size(n - i, SQ_BRIEF_STEP);
    s->kern->widen(briefs + i, vdb_round_up(part, 4), s->unit, factors);
    (sq_is4(codes) ? s->kern->keys4 : s->kern->keys8)(&s->codes, &q->walk, ids + i, factors, part,
                                                      keys + i);
  }
}

/* ---- Making ---------------------------------------------------------------------------------- */

struct sq_work {
  const struct vdb_codes_make *make;
  const struct vdb_codes *codes;
  struct sq_state *state;
  uint8_t *data;
  float *factors;
  uint64_t *sketches;
  float *rows; /* for each worker, a row as floats */
};

static void sq_learn(struct sq_work *w, float *mean) {
  const struct vdb_codes_make *make = w->make;
  uint32_t n = vdb_min_u32(make->n_order, SQ_SAMPLE);
  uint32_t dim = make->vecs->dim;
  double size = 0;
  memset(mean, 0, dim * sizeof *mean);
  for (uint32_t p = 0; p < n; p++) {
    vdb_vecs_floats(make->vecs, make->order[p], w->rows);
    for (uint32_t i = 0; i < dim; i++)
      mean[i] += w->rows[i] / (float)n;
  }
  for (uint32_t p = 0; p < n; p++) {
    vdb_vecs_floats(make->vecs, make->order[p], w->rows);
    double squares = 0;
    for (uint32_t i = 0; i < dim; i++) {
      double x = (double)w->rows[i] - (double)mean[i];
      squares += x * x;
    }
    size += sqrt(squares) / n;
  }
  float gain = size > 1e-15 && size < 1e15 ? (float)(1 / size) : 1;
  w->state->head.gain = gain;
  w->state->unit = 1 / (gain * gain);
}

/* Codes x of which the largest magnitude is given; <x, c>. Bytes past dim are the middle. */
static float sq_code8(const float *x, uint32_t dim, float most, uint8_t *out, size_t stride) {
  float by = most > 0 ? SQ_T_MAX / most : 0;
  float dot = 0;
  memset(out, 128, stride);
  for (uint32_t i = 0; i < dim; i++) {
    int c = sq_round(x[i] * by, SQ_T_MAX);
    out[i] = (uint8_t)(c + 128);
    dot += x[i] * (float)c;
  }
  return dot;
}

/* The number of the level of a scaled element in 4 bits, as floats. */
VDB_INLINE sq_four sq_levels4(sq_four x, float by) {
  const sq_four low = {0, 0, 0, 0}, high = {15, 15, 15, 15};
  sq_four v = __builtin_convertvector(__builtin_convertvector(x * by + 8.0f, sq_ints), sq_four);
  sq_ints below = v < low, above = v > high;
  v = (sq_four)((sq_ints)v & ~below);
  return (sq_four)(((sq_ints)v & ~above) | ((sq_ints)high & above));
}

/* Codes x, which has room for whole vectors, zeroes behind dim, with that range of the values which
   gives the smallest angle between x and the code; <x, c>. */
static float sq_code4(const float *x, uint32_t dim, float most, uint8_t *out, size_t stride) {
  static const float ranges[] = {1, .93f, .86f, .8f, .74f, .68f, .62f, .56f};
  float best = 0, best_by = 0;
  for (size_t r = 0; r < VDB_COUNT(ranges) && most > 0; r++) {
    float by = 7.5f / (most * ranges[r]);
    sq_four dots = {0}, squares = {0};
    for (size_t i = 0; i < dim; i += 4) {
      sq_four c = sq_levels4(sq_load(x + i), by) - 7.5f;
      dots += c * sq_load(x + i);
      squares += c * c;
    }
    float dot = dots[0] + dots[1] + dots[2] + dots[3];
    float fit = dot * dot / (squares[0] + squares[1] + squares[2] + squares[3]);
    best_by = fit > best ? by : best_by;
    best = fit > best ? fit : best;
  }
  float dot = 0;
  memset(out, 0, stride);
  for (size_t i = 0; i < dim; i++) {
    sq_four one = {x[i]};
    float c = sq_levels4(one, best_by)[0];
    dot += x[i] * (c - 7.5f);
    out[i % stride] = (uint8_t)(out[i % stride] | (unsigned)c << (i < stride ? 0 : 4));
  }
  return dot;
}

/* The sketch of a centred and rotated row, with its first factor. */
static void sq_sketch(const struct sq_state *s, const float *x, uint32_t dim, float squares,
                      float add, uint64_t *out) {
  float size = 0;
  memset(out, 0, s->sketches.stride * sizeof *out);
  for (uint32_t i = 0; i < dim; i++) {
    out[i / 64] |= (uint64_t)(x[i] >= 0) << (i % 64);
    size += fabsf(x[i]);
  }
  float factors[2] = {add, size > 0 ? squares / size * s->unit : 0};
  memcpy(out + s->sketches.words, factors, sizeof factors);
}

static void sq_row(struct sq_work *w, uint32_t row, float *x) {
  const struct vdb_codes *codes = w->codes;
  const struct sq_state *s = w->state;
  uint8_t *code = w->data + (size_t)row * codes->stride;
  float *factors = w->factors + 2 * (size_t)row;
  vdb_vecs_floats(w->make->vecs, row, x);
  sq_centre(s, x, 1, codes->dim, x);
  float squares = sq_dot(x, x, codes->dim);
  factors[0] = squares * s->unit;
  if (codes->metric != VECDB_L2)
    factors[0] = -sq_dot(x, s->mean, codes->dim) / s->head.gain;
  vdb_linear()->rotate(s->signs, codes->dim, x);
  float most = sq_most(x, codes->dim);
  float dot = (sq_is4(codes) ? sq_code4 : sq_code8)(x, codes->dim, most, code, codes->stride);
  factors[1] = dot > 0 ? squares / dot * s->unit : 0;
  if (sq_is_tiny(codes, factors))
    atomic_fetch_add_explicit(&w->state->tiny, 1, memory_order_relaxed);
  if (s->sketches.words > 0)
    sq_sketch(s, x, codes->dim, squares, factors[0],
              w->sketches + row * s->sketches.stride);
  if (!s->made)
    return;
  s->made[row] = (struct sq_made){0, sqrtf(squares)};
  for (uint32_t i = 0; i < codes->dim; i++)
    s->made[row].sum += code[i] - 128;
}

static void sq_chunk(void *arg, size_t chunk, unsigned worker) {
  struct sq_work *w = arg;
  float *x = w->rows + worker * vdb_round_up(w->codes->dim, 16);
  size_t end = vdb_min_size((chunk + 1) * SQ_CHUNK, w->codes->n);
  for (size_t row = chunk * SQ_CHUNK; row < end; row++)
    sq_row(w, (uint32_t)row, x);
}

/* Where sketches start in the data, or would, and the bytes of each, 0 when there are none. */
static size_t sq_sketches_at(const struct vdb_codes *codes) {
  return (size_t)vdb_round_up(codes->n * (codes->stride + 2 * sizeof(float)), 64);
}

static size_t sq_sketch_bytes(const struct vdb_codes *codes) {
  if (!sq_is4(codes) || codes->stride < SQ_SKETCH)
    return 0;
  return vdb_round_up(vdb_round_up(codes->dim, 64) / 8 + 2 * sizeof(float), 64);
}

/* The size of the data, which says whether there are sketches. */
static size_t sq_data_size(const struct vdb_codes *codes, bool sketched) {
  return sketched ? sq_sketches_at(codes) + codes->n * sq_sketch_bytes(codes)
                  : codes->n * (codes->stride + 2 * sizeof(float));
}

static void sq_set_sketches(struct vdb_codes *codes) {
  struct sq_state *s = codes->state;
  codes->sketches = codes->data + sq_sketches_at(codes);
  codes->sketch_stride = sq_sketch_bytes(codes);
  s->sketches = (struct vdb_walk_sketches){(const void *)codes->sketches,
                                           codes->sketch_stride / sizeof(uint64_t),
                                           vdb_round_up(codes->dim, 64) / 64};
}

static void sq_set_norm(struct sq_state *s, uint32_t dim) {
  s->norm = sqrtf(sq_dot(s->mean, s->mean, dim) + s->unit);
}

static struct sq_state *sq_state_new(struct vdb_mem *mem, const struct vdb_codes *codes) {
  size_t signs = VDB_LINEAR_ROUNDS * (size_t)codes->dim;
  struct sq_state *s = vdb_alloc(mem, sizeof *s + signs * sizeof *s->signs);
  if (!s)
    return NULL;
  s->kern = vdb_walk_kern();
  s->codes = (struct vdb_walk_codes){
      codes->data, codes->stride,
      (const float *)(const void *)(codes->data + (size_t)codes->n * codes->stride)};
  s->sketches = (struct vdb_walk_sketches){0};
  s->made = NULL;
  atomic_init(&s->tiny, 0);
  return s;
}

static void sq_close(struct vdb_mem *mem, struct vdb_codes *codes, bool made) {
  struct sq_state *s = codes->state;
  if (s)
    vdb_free(mem, s->made);
  vdb_free(mem, s);
  if (made) {
    vdb_free(mem, (void *)(uintptr_t)codes->params);
    vdb_free(mem, (void *)(uintptr_t)codes->data);
  }
  *codes = (struct vdb_codes){0};
}

static int sq_make(const struct vdb_codes_make *make, const struct vdb_codes_ops *ops,
                   struct vdb_codes *out, vecdb_error *err) {
  const struct vdb_vecs *v = make->vecs;
  size_t stride = sq_stride(v->dim, ops == vdb_sq4_ops());
  size_t room = vdb_round_up(v->dim, 16);
  struct sq_work w = {.make = make, .codes = out};
  *out = (struct vdb_codes){.ops = ops, .stride = stride, .n = v->n, .dim = v->dim,
                            .metric = v->metric};
  out->params_size = sizeof w.state->head + v->dim * sizeof(float);
  bool sketched = sq_sketch_bytes(out) > 0;
  out->data_size = sq_data_size(out, sketched);
  uint8_t *params = vdb_alloc(make->mem, out->params_size);
  out->params = params;
  out->data = w.data = vdb_alloc_wide(make->mem, out->data_size);
  w.rows = vdb_alloc_wide(make->mem, make->par->workers * room * sizeof(float));
  if (out->params && out->data && w.rows)
    out->state = w.state = sq_state_new(make->mem, out);
  if (w.state && ops == vdb_sq8_ops())
    w.state->made = vdb_alloc_array(make->mem, v->n, sizeof *w.state->made);
  if (!w.state || (ops == vdb_sq8_ops() && !w.state->made)) {
    vdb_free(make->mem, w.rows);
    sq_close(make->mem, out, true);
    return vdb_fail_memory(err);
  }
  memset(w.rows, 0, make->par->workers * room * sizeof(float));
  w.factors = (float *)(void *)(w.data + (size_t)v->n * stride);
  if (sketched) {
    memset(w.factors + 2 * (size_t)v->n, 0, sq_sketches_at(out) - v->n * (stride + 8));
    sq_set_sketches(out);
    w.sketches = (uint64_t *)(void *)(w.data + sq_sketches_at(out));
  }
  float *mean = (float *)(void *)(params + sizeof w.state->head);
  w.state->head = (struct sq_head){1, sketched, make->seed};
  w.state->mean = mean;
  sq_learn(&w, mean);
  sq_set_norm(w.state, v->dim);
  memcpy(params, &w.state->head, sizeof w.state->head);
  vdb_rotate_signs(make->seed, v->dim, w.state->signs);
  make->par->run(make->par, ((size_t)v->n + SQ_CHUNK - 1) / SQ_CHUNK, sq_chunk, &w);
  vdb_free(make->mem, w.rows);
  return VECDB_OK;
}

static int sq8_make(const struct vdb_codes_make *make, struct vdb_codes *out, vecdb_error *err) {
  return sq_make(make, vdb_sq8_ops(), out, err);
}

static int sq4_make(const struct vdb_codes_make *make, struct vdb_codes *out, vecdb_error *err) {
  return sq_make(make, vdb_sq4_ops(), out, err);
}

/* ---- Opening --------------------------------------------------------------------------------- */

static int sq_open(struct vdb_mem *mem, const struct vdb_vecs *v, struct vdb_codes *out,
                   vecdb_error *err) {
  struct sq_head head;
  out->stride = sq_stride(v->dim, sq_is4(out));
  out->n = v->n;
  out->dim = v->dim;
  out->metric = v->metric;
  if (out->params_size != sizeof head + v->dim * sizeof(float))
    return vdb_fail(err, VECDB_ERR_CORRUPT, "the index is damaged: params of the codes");
  memcpy(&head, out->params, sizeof head);
  if (head.sketched > (sq_sketch_bytes(out) > 0) ||
      out->data_size != sq_data_size(out, head.sketched))
    return vdb_fail(err, VECDB_ERR_CORRUPT, "the index is damaged: size of the codes");
  struct sq_state *s = sq_state_new(mem, out);
  if (!s)
    return vdb_fail_memory(err);
  s->head = head;
  s->unit = 1 / (s->head.gain * s->head.gain);
  s->mean = (const float *)(const void *)((const uint8_t *)out->params + sizeof head);
  sq_set_norm(s, v->dim);
  vdb_rotate_signs(s->head.seed, v->dim, s->signs);
  out->state = s;
  if (head.sketched)
    sq_set_sketches(out);
  return VECDB_OK;
}

VDB_INTERNAL const struct vdb_codes_ops *vdb_sq8_ops(void) {
  static const struct vdb_codes_ops ops = {
      .id = 1,
      .name = "sq8",
      .fits = sq_fits,
      .make = sq8_make,
      .open = sq_open,
      .close = sq_close,
      .query_bytes = sq_query_bytes,
      .query = sq_query,
      .keys = sq_keys,
      .sift = sq_sift,
      .brief = sq_brief,
      .keys_brief = sq_keys_brief,
      .deviation = sq_deviation,
      .squared = sq_squared,
  };
  return &ops;
}

VDB_INTERNAL const struct vdb_codes_ops *vdb_sq4_ops(void) {
  static const struct vdb_codes_ops ops = {
      .id = 2,
      .name = "sq4",
      .fits = sq_fits,
      .make = sq4_make,
      .open = sq_open,
      .close = sq_close,
      .query_bytes = sq_query_bytes,
      .query = sq_query,
      .keys = sq_keys,
      .sift = sq_sift,
      .brief = sq_brief,
      .keys_brief = sq_keys_brief,
      .deviation = sq_deviation,
      .squared = sq_squared,
  };
  return &ops;
}
