/*
 * value.h - single values: checked against their field, and turned into column form (column.h).
 * Default values, the rows of a batch and the records of the log all pass through these checks.
 */
#ifndef VDB_VALUE_H
#define VDB_VALUE_H

#include "attr/column.h"

/* Checks type, lengths and pointers of a value that is not null, without looking at its bytes.
   Errors, naming field and row: TYPE, TOO_LONG, ARGUMENT. */
VDB_INTERNAL int vdb_value_shape(const struct vdb_field *field, const vecdb_value *value,
                                 int64_t row, vecdb_error *err);
/* Checks what a value holds; its shape must have been checked. Numbers may be of a wider type than
   the field's if they fit. Errors, naming field and row: RANGE, NOT_FINITE, UTF8, SPARSE,
   OVERFLOW, JSON, LIMIT. */
VDB_INTERNAL int vdb_value_content(const struct vdb_field *field, const vecdb_value *value,
                                   int64_t row, vecdb_error *err);
/* Checks n packed elements of fixed width: rows of a scalar field from `row` on, or elements of its
   array in `row`. Errors: RANGE (a BOOL that is not 0 or 1), NOT_FINITE. */
VDB_INTERNAL int vdb_elements_check(const struct vdb_field *field, const void *data, size_t n,
                                    int64_t row, vecdb_error *err);

/* Bytes of a scalar or sparse value in column form, and these bytes. The value is checked and not
   null; its type is that of the column. */
VDB_INTERNAL size_t vdb_value_bytes(const vecdb_value *value);
VDB_INTERNAL void vdb_value_put(const vecdb_value *value, uint8_t *out);

/* Element i of the vecdb_string array of an ARRAY value, which need not be aligned. */
VDB_INLINE vecdb_string vdb_value_string(const vecdb_value *value, uint32_t i) {
  vecdb_string s;
  memcpy(&s, (const char *)value->as.data + (size_t)i * sizeof s, sizeof s);
  return s;
}

#endif
