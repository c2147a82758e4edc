/* summary.c - where a shard's vectors are; see summary.h. */
#include "router/summary.h"

#include <math.h>
#include <string.h>

static float summary_square(const float *a, const float *b, uint32_t dim) {
  float sum[8] = {0};
  uint32_t i = 0;
  for (; i + 8 <= dim; i += 8)
    for (uint32_t j = 0; j < 8; j++)
      sum[j] += (a[i + j] - b[i + j]) * (a[i + j] - b[i + j]);
  for (; i < dim; i++)
    sum[0] += (a[i] - b[i]) * (a[i] - b[i]);
  return sum[0] + sum[1] + sum[2] + sum[3] + sum[4] + sum[5] + sum[6] + sum[7];
}

uint32_t router_nearest(const struct wire_summary *s, const float *vector, float *square) {
  uint32_t best = 0;
  *square = INFINITY;
  for (uint32_t i = 0; i < s->n; i++) {
    float d = summary_square(s->centroids + (size_t)i * s->dim, vector, s->dim);
    if (d < *square) {
      *square = d;
      best = i;
    }
  }
  return best;
}

/* One round over every `step`-th vector: each centroid moves to the mean of those nearest to it. */
static void summary_round(const struct wire_summary *s, const float *vectors, size_t n, size_t step,
                          float *centroids, double *sums) {
  const size_t dim = s->dim;
  double *counts = sums + s->n * dim;
  memset(sums, 0, (s->n * dim + s->n) * sizeof *sums);
  for (size_t i = 0; i < n; i += step) {
    float square;
    uint32_t c = router_nearest(s, vectors + i * dim, &square);
    counts[c]++;
    for (size_t d = 0; d < dim; d++)
      sums[c * dim + d] += (double)vectors[i * dim + d];
  }
  for (uint32_t c = 0; c < s->n; c++)
    for (size_t d = 0; d < dim && counts[c] > 0; d++)
      centroids[c * dim + d] = (float)(sums[c * dim + d] / counts[c]);
}

/* Balls and norms over all vectors, rounded so that they hold what they say they do. */
static void summary_bounds(struct wire_summary *s, const float *vectors, size_t n, float *radii,
                           uint64_t *rows) {
  s->norm_min = INFINITY;
  for (size_t i = 0; i < n; i++) {
    const float *v = vectors + i * s->dim;
    float square, norm = 0;
    uint32_t c = router_nearest(s, v, &square);
    radii[c] = fmaxf(radii[c], sqrtf(square) * 1.0001f);
    rows[c]++;
    for (uint32_t d = 0; d < s->dim; d++)
      norm += v[d] * v[d];
    s->norm_min = fminf(s->norm_min, sqrtf(norm) * 0.9999f);
    s->norm_max = fmaxf(s->norm_max, sqrtf(norm) * 1.0001f);
  }
  s->radii = radii;
  s->rows = rows;
}

bool router_summarise(const float *vectors, size_t n, uint32_t dim, uint32_t k,
                      struct wire_mem *mem, struct wire_summary *out) {
  k = k < n ? k : (uint32_t)n;
  *out =
      (struct wire_summary){.field = "", .dim = dim, .n = k < WIRE_CENTROIDS ? k : WIRE_CENTROIDS};
  size_t step = n / (SUMMARY_SAMPLE * (size_t)(out->n ? out->n : 1));
  float *centroids = wire_mem_get(mem, (size_t)out->n * dim, sizeof *centroids);
  double *sums = wire_mem_get(mem, out->n * ((size_t)dim + 1), sizeof *sums);
  float *radii = wire_mem_get(mem, out->n, sizeof *radii);
  uint64_t *rows = wire_mem_get(mem, out->n, sizeof *rows);
  if (!n || !dim || !k || !centroids || !sums || !radii || !rows)
    return false;
  for (uint32_t i = 0; i < out->n; i++)
    memcpy(centroids + (size_t)i * dim, vectors + n / out->n * i * dim, dim * sizeof *centroids);
  out->centroids = centroids;
  for (int round = 0; round < SUMMARY_ROUNDS; round++)
    summary_round(out, vectors, n, step ? step : 1, centroids, sums);
  summary_bounds(out, vectors, n, radii, rows);
  return true;
}
