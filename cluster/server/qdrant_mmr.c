/*
 * qdrant_mmr.c - maximal marginal relevance: hits chosen one by one, each by how near it is to the
 * query less how near it is to the nearest one chosen before.
 */
#include <math.h>

#include "server/qdrant.h"

/* Larger is nearer. Cosines are of vectors of length 1, as they are stored. */
static double mmr_similarity(const float *a, const float *b, uint32_t dim, int32_t metric) {
  double sum = 0;
  for (uint32_t i = 0; i < dim; i++) {
    double x = (double)a[i], y = (double)b[i];
    sum += metric == VECDB_L2 ? -(x - y) * (x - y) : x * y;
  }
  return sum;
}

bool srv_qdrant_mmr(struct srv_call *call, const struct srv_qdrant_candidates *c, double diversity,
                    uint32_t *order, uint32_t n_order) {
  double *nearest = srv_arena_array(&call->arena, c->n, sizeof *nearest);
  bool *chosen = srv_arena_array(&call->arena, c->n, sizeof *chosen);
  if (!nearest || !chosen) {
    srv_call_no_memory(call);
    return false;
  }
  for (uint32_t k = 0; k < n_order; k++) {
    uint32_t best = 0;
    double best_score = -INFINITY;
    for (uint32_t i = 0; i < c->n; i++) {
      double score =
          k ? (1 - diversity) * c->relevance[i] - diversity * nearest[i] : c->relevance[i];
      if (!chosen[i] && score > best_score) {
        best = i;
        best_score = score;
      }
    }
    chosen[best] = true;
    order[k] = best;
    for (uint32_t i = 0; i < c->n; i++) {
      double near = mmr_similarity(c->vectors[i], c->vectors[best], c->dim, c->metric);
      nearest[i] = k ? fmax(nearest[i], near) : near;
    }
  }
  return true;
}
