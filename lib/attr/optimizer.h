/*
 * optimizer.h - what gradients that are pushed do to a vector (vecdb_optimizer). Each step is
 * computed in double and rounded to float once per element, so that it does not depend on kernels
 * or on how pushes come in batches.
 *
 * The state of a vector of dimension n is a row of floats, all zeros before the first gradient: the
 * number of gradients in two floats, as its lower 20 bits and the rest, so that it is exact; then,
 * n each, for AVERAGE the sum of the window so far, for ADAGRAD the sum of squares, for ADAM the
 * two moving averages. AVERAGE over one gradient has no state.
 */
#ifndef VDB_OPTIMIZER_H
#define VDB_OPTIMIZER_H

#include "base/err.h"

/* Checks a caller's optimizer and fills what is zero in. Errors: OPTION, RANGE, ARGUMENT. */
VDB_INTERNAL int vdb_optimizer_fill(const vecdb_optimizer *from, vecdb_optimizer *out,
                                    vecdb_error *err);
/* Floats of the state of a vector of dimension dim. */
VDB_INTERNAL uint32_t vdb_optimizer_floats(const vecdb_optimizer *rule, uint32_t dim);
/* Changes a vector and its state by a gradient. What comes out may be infinite or NaN, if the
   numbers were so large. */
VDB_INTERNAL void vdb_optimizer_step(const vecdb_optimizer *rule, uint32_t dim,
                                     const float *gradient, float *value, float *state);

#endif
