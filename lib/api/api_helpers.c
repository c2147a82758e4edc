/* api_helpers.c - conversions and normalisation for callers; contracts in vecdb.h. */
#include <math.h>

#include "api/api.h"

VECDB_API int vecdb_normalize(float *vectors, size_t n, size_t dim, vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  if (n > 0 && dim > 0)
    VDB_TRY(vdb_api_need(vectors, "vectors", err));
  for (size_t i = 0; i < n; i++) {
    float *v = vectors + i * dim;
    double norm = vdb_vec_norm(v, VDB_F32, dim);
    if (isnan(norm) || isinf(norm))
      return vdb_fail_at(err, VECDB_ERR_NOT_FINITE, (int64_t)i, NULL,
                         "vector %zu holds NaN or infinity", i);
    if (!isfinite((float)norm))
      return vdb_fail_at(err, VECDB_ERR_OVERFLOW, (int64_t)i, NULL,
                         "the norm of vector %zu is not a finite float", i);
    for (size_t k = 0; norm > 0 && k < dim; k++)
      v[k] = (float)((double)v[k] / norm);
  }
  return VECDB_OK;
}

VECDB_API void vecdb_to_float16(const float *in, uint16_t *out, size_t n) {
  vdb_kern()->f32_to_f16(in, out, n);
}

VECDB_API void vecdb_from_float16(const uint16_t *in, float *out, size_t n) {
  vdb_kern()->f16_to_f32(in, out, n);
}

VECDB_API void vecdb_to_bfloat16(const float *in, uint16_t *out, size_t n) {
  vdb_kern()->f32_to_bf16(in, out, n);
}

VECDB_API void vecdb_from_bfloat16(const uint16_t *in, float *out, size_t n) {
  vdb_kern()->bf16_to_f32(in, out, n);
}
