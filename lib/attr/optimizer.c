/* optimizer.c - the arithmetic of averaging, AdaGrad and Adam; see optimizer.h. */
#include "attr/optimizer.h"

#include <math.h>
#include <string.h>

enum {
  OPTIMIZER_MAX_WINDOW = 1 << 20,
  OPTIMIZER_COUNT = 2,      /* floats of the number of gradients */
  OPTIMIZER_LOW = 1 << 20   /* of which the first holds what is below */
};

static int optimizer_fail(const char *name, double value, vecdb_error *err) {
  return vdb_fail(err, VECDB_ERR_RANGE, "the %s of an optimizer cannot be %g", name, value);
}

/* A number of an optimizer: `standard` where it is zero. */
static int optimizer_number(const char *name, bool used, float standard, double below,
                            float *value, vecdb_error *err) {
  if (*value == 0) {
    *value = used ? standard : 0;
    return VECDB_OK;
  }
  if (!used)
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "the optimizer has no use for its %s", name);
  if (!(*value > 0 && (double)*value < below))
    return optimizer_fail(name, (double)*value, err);
  return VECDB_OK;
}

VDB_INTERNAL int vdb_optimizer_fill(const vecdb_optimizer *from, vecdb_optimizer *out,
                                    vecdb_error *err) {
  if (from->size != sizeof *from)
    return vdb_fail(err, VECDB_ERR_OPTION, "vecdb_optimizer has size %zu here, not %u",
                    sizeof *from, from->size);
  if (from->kind < VECDB_OPTIMIZER_AVERAGE || from->kind > VECDB_OPTIMIZER_ADAM)
    return vdb_fail(err, VECDB_ERR_OPTION, "optimizer kind %d is unknown", from->kind);
  *out = *from;
  bool average = from->kind == VECDB_OPTIMIZER_AVERAGE, adam = from->kind == VECDB_OPTIMIZER_ADAM;
  if (from->window && !average)
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "the optimizer has no use for its window");
  if (from->window > OPTIMIZER_MAX_WINDOW)
    return optimizer_fail("window", from->window, err);
  if (from->unit > 1)
    return optimizer_fail("unit", from->unit, err);
  if (average && from->window == 0)
    out->window = 1;
  VDB_TRY(optimizer_number("rate", true, adam ? 0.001f : 0.01f, INFINITY, &out->rate, err));
  VDB_TRY(optimizer_number("beta1", adam, 0.9f, 1, &out->beta1, err));
  VDB_TRY(optimizer_number("beta2", adam, 0.999f, 1, &out->beta2, err));
  return optimizer_number("epsilon", !average, 1e-8f, INFINITY, &out->epsilon, err);
}

VDB_INTERNAL uint32_t vdb_optimizer_floats(const vecdb_optimizer *rule, uint32_t dim) {
  if (rule->kind == VECDB_OPTIMIZER_ADAM)
    return OPTIMIZER_COUNT + 2 * dim;
  return rule->kind == VECDB_OPTIMIZER_AVERAGE && rule->window == 1 ? 0 : OPTIMIZER_COUNT + dim;
}

/* Counts a gradient, and says how many there were with it. */
static uint64_t optimizer_count(float *state) {
  uint64_t n = (uint64_t)state[0] + (uint64_t)state[1] * OPTIMIZER_LOW + 1;
  state[0] = (float)(n % OPTIMIZER_LOW);
  state[1] = (float)(n / OPTIMIZER_LOW);
  return n;
}

static void optimizer_descend(const vecdb_optimizer *rule, uint32_t dim, const float *gradient,
                              float *value) {
  for (uint32_t i = 0; i < dim; i++)
    value[i] = (float)((double)value[i] - (double)rule->rate * (double)gradient[i]);
}

static void optimizer_average(const vecdb_optimizer *rule, uint32_t dim, const float *gradient,
                              float *value, float *state) {
  float *sum = state + OPTIMIZER_COUNT;
  uint64_t n = optimizer_count(state);
  for (uint32_t i = 0; i < dim; i++)
    sum[i] = (float)((double)sum[i] + (double)gradient[i]);
  if (n < rule->window)
    return;
  double rate = (double)rule->rate / (double)n;
  for (uint32_t i = 0; i < dim; i++)
    value[i] = (float)((double)value[i] - rate * (double)sum[i]);
  memset(state, 0, (OPTIMIZER_COUNT + (size_t)dim) * sizeof *state);
}

static void optimizer_adagrad(const vecdb_optimizer *rule, uint32_t dim, const float *gradient,
                              float *value, float *state) {
  float *squares = state + OPTIMIZER_COUNT;
  optimizer_count(state);
  for (uint32_t i = 0; i < dim; i++) {
    double g = (double)gradient[i], s = (double)squares[i] + g * g;
    squares[i] = (float)s;
    value[i] = (float)((double)value[i] -
                       (double)rule->rate * g / (sqrt(s) + (double)rule->epsilon));
  }
}

/* x to the n-th by squaring: the same on every machine, as pow need not be. */
static double optimizer_power(double x, uint64_t n) {
  double y = 1;
  for (; n; n >>= 1, x *= x)
    if (n & 1)
      y *= x;
  return y;
}

static void optimizer_adam(const vecdb_optimizer *rule, uint32_t dim, const float *gradient,
                           float *value, float *state) {
  float *m = state + OPTIMIZER_COUNT, *v = m + dim;
  double b1 = (double)rule->beta1, b2 = (double)rule->beta2;
  uint64_t n = optimizer_count(state);
  double unbias1 = 1 / (1 - optimizer_power(b1, n)), unbias2 = 1 / (1 - optimizer_power(b2, n));
  for (uint32_t i = 0; i < dim; i++) {
    double g = (double)gradient[i];
    double mean = b1 * (double)m[i] + (1 - b1) * g, square = b2 * (double)v[i] + (1 - b2) * g * g;
    m[i] = (float)mean;
    v[i] = (float)square;
    value[i] = (float)((double)value[i] - (double)rule->rate * (mean * unbias1) /
                                              (sqrt(square * unbias2) + (double)rule->epsilon));
  }
}

VDB_INTERNAL void vdb_optimizer_step(const vecdb_optimizer *rule, uint32_t dim,
                                     const float *gradient, float *value, float *state) {
  if (rule->kind == VECDB_OPTIMIZER_ADAM)
    optimizer_adam(rule, dim, gradient, value, state);
  else if (rule->kind == VECDB_OPTIMIZER_ADAGRAD)
    optimizer_adagrad(rule, dim, gradient, value, state);
  else if (rule->window == 1)
    optimizer_descend(rule, dim, gradient, value);
  else
    optimizer_average(rule, dim, gradient, value, state);
}
