/*
 * batch_merge.c - whole rows from some given fields and the rows that stand; see batch.h. All
 * values were checked when they came in, so only what a new row lacks can be wrong here.
 */
#include "attr/batch.h"
#include "base/check.h"

/* Where one field of the merged rows comes from. */
struct merge_field {
  const struct vdb_batch_merge *m;
  const struct vdb_field *field;
  const struct vdb_column *given; /* NULL: it stands */
  const struct vdb_column *fill;  /* of new rows; NULL: that of the field */
  uint32_t number;
  bool null; /* of a row where it neither is given nor stands */
};

/* The column and row of a value; NULL where there is none. */
static const struct vdb_column *merge_at(const struct merge_field *f, uint32_t i, size_t *row) {
  const struct vdb_batch_patch *patch = &f->m->rows[i];
  const struct vdb_column *from = f->given ? f->given : patch->stands ? NULL : f->fill;
  *row = from ? patch->given : patch->row;
  if (from)
    return from;
  return patch->stands ? &patch->stands[f->number] : NULL;
}

static bool merge_null(const struct merge_field *f, uint32_t i) {
  size_t row;
  const struct vdb_column *column = merge_at(f, i, &row);
  return column ? vdb_column_is_null(column, row) : f->null;
}

/* The bytes of a value; those of a null are made by whoever writes it. */
static struct vdb_bytes merge_value(const struct merge_field *f, uint32_t i) {
  size_t row;
  const struct vdb_column *column = merge_at(f, i, &row);
  struct vdb_bytes fill = {f->field->fill, f->field->fill_bytes}, none = {NULL, 0};
  if (merge_null(f, i))
    return none;
  return column ? vdb_column_bytes(column, row) : fill;
}

/* Fails for a new row that lacks a field it needs. */
static int merge_check(const struct merge_field *f, vecdb_error *err) {
  const struct vdb_batch_merge *m = f->m;
  if (f->given || f->fill || (f->field->flags & (VECDB_HAS_DEFAULT | VECDB_NULLABLE)))
    return VECDB_OK;
  for (uint32_t i = 0; i < m->n_rows; i++)
    if (!m->rows[i].stands)
      return vdb_fail_at(err, VECDB_ERR_MISSING_FIELD, m->rows[i].given, f->field->name,
                         "row %u is new, and the batch has no column for field '%s'",
                         m->rows[i].given, f->field->name);
  return VECDB_OK;
}

static void merge_put_nulls(const struct merge_field *f, struct vdb_writer *out) {
  uint32_t n = f->m->n_rows;
  bool any = false;
  for (uint32_t i = 0; (f->field->flags & VECDB_NULLABLE) && i < n && !any; i++)
    any = merge_null(f, i);
  vdb_write_u8(out, any);
  vdb_write_pad(out, 8);
  if (!any)
    return;
  for (uint32_t i = 0; i < n; i++)
    vdb_write_u8(out, merge_null(f, i));
  vdb_write_pad(out, 8);
}

static void merge_put_values(const struct merge_field *f, struct vdb_writer *out) {
  uint64_t end = 0;
  for (uint32_t i = 0; !f->field->width && i < f->m->n_rows; i++) {
    vdb_write_u64(out, end);
    end += merge_value(f, i).n;
  }
  if (!f->field->width)
    vdb_write_u64(out, end);
  for (uint32_t i = 0; i < f->m->n_rows; i++) {
    struct vdb_bytes value = merge_value(f, i);
    void *to = vdb_write_space(out, f->field->width ? f->field->width : value.n);
    if (to && value.n)
      memcpy(to, value.data, value.n);
    else if (to)
      memset(to, 0, f->field->width);
  }
  vdb_write_pad(out, 8);
}

VDB_INTERNAL int vdb_batch_merge(const struct vdb_batch_merge *merge, struct vdb_writer *out,
                                 vecdb_error *err) {
  size_t before = out->n;
  vdb_assert(before % 8 == 0);
  vdb_write_u32(out, merge->n_rows);
  vdb_write_u32(out, merge->schema->n_fields);
  int rc = VECDB_OK;
  for (uint32_t f = 0; f < merge->schema->n_fields && rc == VECDB_OK; f++) {
    struct merge_field field = {.m = merge, .field = &merge->schema->fields[f], .number = f};
    field.given = merge->at[f] < 0 ? NULL : &merge->given->columns[merge->at[f]];
    if (merge->fills && (merge->fills[f].data || merge->fills[f].refs))
      field.fill = &merge->fills[f];
    field.null = !(field.field->flags & VECDB_HAS_DEFAULT);
    rc = merge_check(&field, err);
    if (rc != VECDB_OK)
      break;
    merge_put_nulls(&field, out);
    merge_put_values(&field, out);
    if (out->failed)
      rc = vdb_fail_memory(err);
    else if (out->n - before > VECDB_MAX_BATCH_BYTES)
      rc = vdb_fail(err, VECDB_ERR_LIMIT, "the whole rows take more than %u bytes; update fewer",
                    VECDB_MAX_BATCH_BYTES);
  }
  if (rc != VECDB_OK)
    out->n = before;
  return rc;
}
