/*
 * ivf_cut.c - the nearest of many keys, roughly: a bound that at least those wanted do not exceed,
 * and few others; see ivf.h. It is found by halving the range of the keys, where each step counts
 * the keys below the middle, several at a time: on some hundred keys that is a fraction of what
 * exact selection costs, whose branches cannot be predicted.
 */
#include "index/ivf.h"

enum {
  CUT_LANES = 4, /* what every processor has: wider vectors would be taken apart, through memory */
  CUT_STEPS = 20 /* halvings at most: keys that lie closer together than that count as equal */
};

typedef float cut_floats __attribute__((vector_size(CUT_LANES * sizeof(float))));
typedef int32_t cut_ints __attribute__((vector_size(CUT_LANES * sizeof(int32_t))));

VDB_INLINE void cut_load(cut_floats *v, const float *at) { memcpy(v, at, sizeof *v); }

/* How many of n keys are at most `bound`. */
static size_t cut_count(const float *keys, size_t n, float bound) {
  cut_ints counts = {0};
  size_t i = 0;
  size_t total = 0;
  for (cut_floats v; i + CUT_LANES <= n; i += CUT_LANES) {
    cut_load(&v, keys + i);
    counts -= v <= bound;
  }
  for (size_t lane = 0; lane < CUT_LANES; lane++)
    total += (size_t)counts[lane];
  for (; i < n; i++)
    total += keys[i] <= bound;
  return total;
}

struct cut_range {
  float least, most, mean;
};

static struct cut_range cut_range(const float *keys, size_t n) {
  struct cut_range r = {keys[0], keys[0], 0};
  cut_floats low = {0}, high = {0}, sums = {0};
  size_t i = 0;
  low += keys[0];
  high += keys[0];
  for (cut_floats v; i + CUT_LANES <= n; i += CUT_LANES) {
    cut_load(&v, keys + i);
    cut_ints less = v < low, more = v > high;
    low = (cut_floats)(((cut_ints)v & less) | ((cut_ints)low & ~less));
    high = (cut_floats)(((cut_ints)v & more) | ((cut_ints)high & ~more));
    sums += v;
  }
  for (size_t lane = 0; lane < CUT_LANES; lane++) {
    r.least = low[lane] < r.least ? low[lane] : r.least;
    r.most = high[lane] > r.most ? high[lane] : r.most;
    r.mean += sums[lane];
  }
  for (; i < n; i++) {
    r.least = keys[i] < r.least ? keys[i] : r.least;
    r.most = keys[i] > r.most ? keys[i] : r.most;
    r.mean += keys[i];
  }
  r.mean /= (float)n;
  return r;
}

VDB_INTERNAL float vdb_ivf_cut(const float *keys, size_t n, size_t want) {
  if (want >= n)
    return __builtin_inff();
  struct cut_range r = cut_range(keys, n);
  bool near = cut_count(keys, n, r.mean) >= want;
  float low = near ? r.least : r.mean;
  float high = near ? r.mean : r.most;
  for (int step = 0; step < CUT_STEPS; step++) {
    float middle = low + (high - low) / 2;
    size_t have = cut_count(keys, n, middle);
    if (have < want) {
      low = middle;
      continue;
    }
    high = middle;
    if (have <= want + want / 8)
      break;
  }
  return high;
}
