/* smart.c - which shards a query needs; see smart.h. */
#include "router/smart.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Gaps of cosines lie in 0 to 2, and what is beyond the last step is asked always or never. */
static const float smart_width = 1.0f / 128;

void smart_free(struct smart *s) {
  for (uint32_t i = 0; i < s->n_shards; i++)
    free(s->shards[i].centroids);
  free(s->shards);
  *s = (struct smart){0};
}

static bool smart_room(struct smart *s, uint32_t shard) {
  if (shard < s->n_shards)
    return true;
  struct smart_shard *shards = realloc(s->shards, (shard + 1) * sizeof *shards);
  if (!shards)
    return false;
  memset(shards + s->n_shards, 0, (shard + 1 - s->n_shards) * sizeof *shards);
  s->shards = shards;
  s->n_shards = shard + 1;
  return true;
}

bool smart_set(struct smart *s, uint32_t shard, const struct wire_summary *summary) {
  size_t bytes = (size_t)summary->n * summary->dim * sizeof(float);
  bool same = !s->dim || (summary->dim == s->dim && !strcmp(summary->field, s->field));
  if (!summary->n || !summary->dim || !same || strlen(summary->field) > VECDB_MAX_NAME ||
      !smart_room(s, shard))
    return false;
  float *centroids = malloc(bytes);
  if (!centroids)
    return false;
  memcpy(centroids, summary->centroids, bytes);
  free(s->shards[shard].centroids);
  s->shards[shard] = (struct smart_shard){summary->version, summary->n, centroids};
  s->dim = summary->dim;
  memcpy(s->field, summary->field, strlen(summary->field) + 1);
  return true;
}

static float smart_dot(const float *a, const float *b, uint32_t n) {
  float sum[8] = {0};
  uint32_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (uint32_t j = 0; j < 8; j++)
      sum[j] += a[i + j] * b[i + j];
  for (; i < n; i++)
    sum[0] += a[i] * b[i];
  return sum[0] + sum[1] + sum[2] + sum[3] + sum[4] + sum[5] + sum[6] + sum[7];
}

/* How far a centroid is: the smaller, the nearer; in units that do not depend on the data's. */
static float smart_far(int32_t metric, const float *query, const float *c, uint32_t dim,
                       float norm) {
  float dot = smart_dot(query, c, dim), square = smart_dot(c, c, dim);
  if (metric == VECDB_L2)
    return sqrtf(fmaxf(norm * norm + square - 2 * dot, 0));
  if (metric == VECDB_COSINE)
    return square > 0 && norm > 0 ? -dot / (norm * sqrtf(square)) : 1;
  return norm > 0 ? -dot / norm : 0;
}

static float smart_nearest(const struct smart_shard *shard, int32_t metric, const float *query,
                           uint32_t dim, float norm) {
  float best = INFINITY;
  for (uint32_t i = 0; i < shard->n; i++)
    best = fminf(best, smart_far(metric, query, shard->centroids + (size_t)i * dim, dim, norm));
  return best;
}

bool smart_gaps(const struct smart *s, int32_t metric, const float *query, uint32_t n_shards,
                float *gaps) {
  if (!s->dim || n_shards > s->n_shards || metric < VECDB_L2 || metric > VECDB_COSINE)
    return false;
  float norm = sqrtf(smart_dot(query, query, s->dim)), best = INFINITY, most = 0;
  for (uint32_t i = 0; i < n_shards; i++) {
    if (!s->shards[i].n)
      return false;
    gaps[i] = smart_nearest(&s->shards[i], metric, query, s->dim, norm);
    best = fminf(best, gaps[i]);
    most = fmaxf(most, fabsf(gaps[i]));
  }
  /* Cosines are as they are; distances and products are shares of the largest. */
  float unit = metric == VECDB_COSINE || most <= 0 ? 1 : most;
  for (uint32_t i = 0; i < n_shards; i++)
    gaps[i] = (gaps[i] - best) / unit;
  return isfinite(best);
}

void smart_learn(struct smart *s, const float *gaps, const uint32_t *had, uint32_t n_shards) {
  double total = 0;
  for (uint32_t i = 0; i < n_shards; i++)
    total += had[i];
  if (total <= 0)
    return;
  for (uint32_t i = 0; i < n_shards; i++) {
    float step = gaps[i] / smart_width;
    uint32_t at = step < SMART_STEPS - 1 ? (uint32_t)step : SMART_STEPS - 1;
    s->found[at] += had[i] / total;
  }
  s->queries++;
  if (s->queries < SMART_FADE)
    return;
  s->queries /= 2;
  for (uint32_t i = 0; i < SMART_STEPS; i++)
    s->found[i] /= 2;
}

float smart_gap(const struct smart *s, float recall) {
  double sum = 0;
  if (s->queries < SMART_FEWEST)
    return INFINITY;
  for (uint32_t i = 0; i < SMART_STEPS - 1; i++) {
    sum += s->found[i];
    if (sum >= (double)recall * s->queries)
      return (float)(i + 1) * smart_width;
  }
  return INFINITY;
}
