/*
 * rows.c - result rows: a table of values, with what they point to copied into blocks that belong
 * to the table. Nothing of the database is needed to read them.
 */
#include "query/fields.h"
#include "query/query.h"

enum {
  ROWS_BLOCK_FIRST = 4096,
  ROWS_BLOCK_MAX = 1 << 20,
  ROWS_ALIGN = 8 /* of everything in a block */
};

/* Holds copies; never moves. */
struct rows_block {
  struct rows_block *next;
  size_t used;
  size_t size;
  size_t pad; /* keeps the bytes behind it aligned as the block is */
};

struct vecdb_rows {
  struct vdb_mem *mem;
  struct rows_block *blocks; /* the newest first */
  const char **names;        /* in a block */
  vecdb_value *cells;        /* n_rows * n_columns */
  size_t cells_capacity;
  size_t n_rows;
  vecdb_string *strings; /* room to decode an ARRAY of VARCHAR */
  size_t strings_capacity;
  struct vdb_pick pick;
};

static uint8_t *rows_block_bytes(struct rows_block *block) { return (uint8_t *)(block + 1); }

/* n bytes that stay where they are, or NULL. */
static void *rows_space(struct vecdb_rows *rows, size_t n) {
  n = (size_t)vdb_round_up(n, ROWS_ALIGN);
  struct rows_block *block = rows->blocks;
  if (!block || n > block->size - block->used) {
    size_t size = block ? vdb_min_size(block->size * 2, ROWS_BLOCK_MAX) : ROWS_BLOCK_FIRST;
    size = vdb_max_size(size, n);
    block = vdb_alloc(rows->mem, sizeof *block + size);
    if (!block)
      return NULL;
    block->next = rows->blocks;
    block->used = 0;
    block->size = size;
    rows->blocks = block;
  }
  void *p = rows_block_bytes(block) + block->used;
  block->used += n;
  return p;
}

/* A copy of n bytes; NULL when there is no memory. */
static void *rows_copy(struct vecdb_rows *rows, const void *data, size_t n) {
  void *p = rows_space(rows, n);
  if (p && n)
    memcpy(p, data, n);
  return p;
}

static size_t rows_vector_bytes(int32_t type, uint32_t dim) {
  switch (type) {
  case VECDB_FLOAT_VECTOR:
    return (size_t)dim * 4;
  case VECDB_INT8_VECTOR:
    return dim;
  case VECDB_SPARSE_VECTOR:
    return dim * sizeof(vecdb_sparse_pair);
  case VECDB_BINARY_VECTOR:
    return dim / 8;
  default:
    return (size_t)dim * 2;
  }
}

/* Copies the texts of an ARRAY of VARCHAR, and the table that points to them. */
static void *rows_copy_strings(struct vecdb_rows *rows, const vecdb_string *from, uint32_t n) {
  vecdb_string *to = rows_space(rows, n * sizeof *to);
  if (!to)
    return NULL;
  for (uint32_t i = 0; i < n; i++) {
    to[i].data = rows_copy(rows, from[i].data, from[i].length);
    to[i].length = from[i].length;
    if (!to[i].data)
      return NULL;
  }
  return to;
}

/* The value of one cell, independent of the column. */
static bool rows_take(struct vecdb_rows *rows, const struct vdb_column *c, size_t row,
                      vecdb_value *out) {
  bool strings = c->type == VECDB_ARRAY && c->element_type == VECDB_VARCHAR;
  if (strings && !vdb_column_is_null(c, row) &&
      !VDB_GROW(rows->mem, rows->strings, rows->strings_capacity,
                vdb_array_count(vdb_column_bytes(c, row))))
    return false;
  *out = vdb_column_value(c, row, rows->strings);
  if (vdb_type_is_text(out->type))
    out->as.data = rows_copy(rows, out->as.data, out->length);
  else if (out->type == VECDB_ARRAY && strings)
    out->as.data = rows_copy_strings(rows, out->as.data, out->length);
  else if (out->type == VECDB_ARRAY)
    out->as.data = rows_copy(rows, out->as.data,
                             (size_t)out->length * vdb_type_width(c->element_type));
  else if (vdb_type_is_vector(out->type))
    out->as.data = rows_copy(rows, out->as.data, rows_vector_bytes(out->type, out->length));
  else
    return true;
  return out->as.data != NULL;
}

/* Copies the names of the picked fields. */
static bool rows_name(struct vecdb_rows *rows, const struct vdb_schema *schema) {
  rows->names = rows_space(rows, rows->pick.n * sizeof *rows->names);
  if (!rows->names)
    return false;
  for (uint32_t i = 0; i < rows->pick.n; i++) {
    const char *name = schema->fields[rows->pick.fields[i]].name;
    rows->names[i] = rows_copy(rows, name, strlen(name) + 1);
    if (!rows->names[i])
      return false;
  }
  return true;
}

VDB_INTERNAL int vdb_rows_of(struct vdb_mem *mem, const struct vdb_schema *schema,
                             const struct vdb_pick *pick, struct vecdb_rows **out,
                             vecdb_error *err) {
  *out = NULL;
  struct vecdb_rows *rows = vdb_alloc_zero(mem, sizeof *rows);
  if (!rows)
    return vdb_fail_memory(err);
  rows->mem = mem;
  rows->pick = *pick;
  if (!rows_name(rows, schema)) {
    vecdb_rows_free(rows);
    return vdb_fail_memory(err);
  }
  *out = rows;
  return VECDB_OK;
}

VDB_INTERNAL int vdb_rows_new(struct vdb_mem *mem, const struct vdb_snapshot *snapshot,
                              const char *const *fields, size_t n_fields, struct vecdb_rows **out,
                              vecdb_error *err) {
  *out = NULL;
  struct vdb_pick pick;
  VDB_TRY(vdb_fields_pick(snapshot->schema, fields, n_fields, &pick, err));
  return vdb_rows_of(mem, snapshot->schema, &pick, out, err);
}

VDB_INTERNAL int vdb_rows_add(struct vecdb_rows *rows, const struct vdb_seg_view *view,
                              uint32_t row, vecdb_error *err) {
  size_t n = rows->pick.n;
  if (!VDB_GROW(rows->mem, rows->cells, rows->cells_capacity, (rows->n_rows + 1) * n))
    return vdb_fail_memory(err);
  struct vdb_seg_part part = vdb_seg_part_of(view, row);
  vecdb_value *cells = rows->cells + rows->n_rows * n;
  for (size_t i = 0; i < n; i++)
    if (!rows_take(rows, &part.columns[rows->pick.fields[i]], row - part.first, &cells[i]))
      return vdb_fail_memory(err);
  rows->n_rows++;
  return VECDB_OK;
}

VECDB_API void vecdb_rows_free(vecdb_rows *rows) {
  if (!rows)
    return;
  struct vdb_mem *mem = rows->mem;
  while (rows->blocks) {
    struct rows_block *next = rows->blocks->next;
    vdb_free(mem, rows->blocks);
    rows->blocks = next;
  }
  vdb_free(mem, rows->cells);
  vdb_free(mem, rows->strings);
  vdb_free(mem, rows);
}

VECDB_API size_t vecdb_rows_count(const vecdb_rows *rows) { return rows ? rows->n_rows : 0; }

VECDB_API size_t vecdb_rows_n_fields(const vecdb_rows *rows) { return rows ? rows->pick.n : 0; }

VECDB_API const char *vecdb_rows_field(const vecdb_rows *rows, size_t i) {
  return rows && i < rows->pick.n ? rows->names[i] : NULL;
}

VECDB_API int vecdb_rows_find(const vecdb_rows *rows, const char *field) {
  if (!rows || !field)
    return -1;
  for (uint32_t i = 0; i < rows->pick.n; i++)
    if (strcmp(rows->names[i], field) == 0)
      return (int)i;
  return -1;
}

VECDB_API vecdb_value vecdb_rows_value(const vecdb_rows *rows, size_t row, size_t column) {
  vecdb_value null_value = {0, 0, {.data = NULL}, 0};
  if (!rows || row >= rows->n_rows || column >= rows->pick.n)
    return null_value;
  return rows->cells[row * rows->pick.n + column];
}
