/* sparse.c - checks of sparse vectors; see sparse.h. */
#include "attr/sparse.h"

#include <float.h>

VDB_INTERNAL int vdb_sparse_shape(const struct vdb_field *field, const void *pairs, size_t n,
                                  int64_t row, vecdb_error *err) {
  if (n > VECDB_MAX_SPARSE)
    return vdb_fail_at(err, VECDB_ERR_TOO_LONG, row, field->name,
                       "a sparse vector of field '%s' has %zu pairs, at most %d", field->name, n,
                       VECDB_MAX_SPARSE);
  if (n && !pairs)
    return vdb_fail_at(err, VECDB_ERR_ARGUMENT, row, field->name,
                       "the pairs of a sparse vector of field '%s' are NULL", field->name);
  return VECDB_OK;
}

VDB_INTERNAL int vdb_sparse_check(const struct vdb_field *field, const void *pairs, size_t n,
                                  int64_t row, vecdb_error *err) {
  double squares = 0;
  uint32_t last = 0;
  for (size_t i = 0; i < n; i++) {
    vecdb_sparse_pair pair = vdb_sparse_at(pairs, i);
    if (i && pair.index <= last)
      return vdb_fail_at(err, VECDB_ERR_SPARSE, row, field->name,
                         "a sparse vector of field '%s': index %u comes after %u", field->name,
                         pair.index, last);
    if (!__builtin_isfinite(pair.value))
      return vdb_fail_at(err, VECDB_ERR_NOT_FINITE, row, field->name,
                         "a sparse vector of field '%s': the value at index %u is NaN or infinite",
                         field->name, pair.index);
    last = pair.index;
    squares += (double)pair.value * (double)pair.value;
  }
  if (squares > (double)FLT_MAX)
    return vdb_fail_at(err, VECDB_ERR_OVERFLOW, row, field->name,
                       "the squared norm of a vector of field '%s' is too large for a float",
                       field->name);
  return VECDB_OK;
}

VDB_INTERNAL int vdb_sparse_check_stored(const struct vdb_field *field, struct vdb_bytes value,
                                         int64_t row, vecdb_error *err) {
  size_t n = vdb_sparse_count(value);
  if (value.n % sizeof(vecdb_sparse_pair))
    return vdb_fail_at(err, VECDB_ERR_SPARSE, row, field->name,
                       "a sparse vector of field '%s' ends within a pair", field->name);
  VDB_TRY(vdb_sparse_shape(field, value.data, n, row, err));
  return vdb_sparse_check(field, value.data, n, row, err);
}
