/* path_index.c - from JSON texts to the index of what stands at a path; see path_index.h. */
#include "attr/path_index.h"

#include <math.h>

#include "attr/attr_index_format.h"
#include "attr/filter_tree.h"

enum { PATH_POLL = 4096 /* rows between two looks whether to stop */ };

struct path_build {
  const struct vdb_path_index_build *of;
  struct vdb_mem *mem;
  const struct vdb_json_path *path;
  uint8_t *values;         /* of fixed width */
  struct vdb_bytes *refs;  /* texts: into those of the rows, or, decoded, places in `decoded` */
  uint8_t *nulls;
  uint32_t *apart;         /* rows kept apart */
  size_t n_apart, apart_capacity;
  uint32_t *others;        /* how many, and rows with a value of another type */
  size_t n_others, others_capacity;
  struct vdb_writer decoded;
  uint8_t scratch[FILTER_JSON_TEXT];
};

static int path_type(int32_t type) {
  return type == VECDB_VARCHAR ? FILTER_TEXT : type == VECDB_BOOL ? FILTER_BOOL : FILTER_DOUBLE;
}

static bool path_number(struct path_build *b, size_t row, double number) {
  if (fabs(number) < 0x1p53) {
    memcpy(b->values + row * sizeof number, &number, sizeof number);
    return true;
  }
  b->nulls[row] = 1;
  if (!VDB_GROW(b->mem, b->apart, b->apart_capacity, b->n_apart + 1))
    return false;
  b->apart[b->n_apart++] = (uint32_t)row;
  return true;
}

static bool path_other(struct path_build *b, size_t row) {
  b->nulls[row] = 1;
  if (vdb_column_is_null(b->of->texts, row) ||
      !vdb_filter_json_there(b->path->steps, b->path->n_steps,
                             vdb_column_bytes(b->of->texts, row), b->scratch))
    return true;
  if (!VDB_GROW(b->mem, b->others, b->others_capacity, b->n_others + 1))
    return false;
  b->others[b->n_others++] = (uint32_t)row;
  return true;
}

/* Texts without escapes stay where they are. */
static bool path_text(struct path_build *b, size_t row, struct vdb_bytes text) {
  b->refs[row] = text;
  if (text.n == 0 || text.data != b->scratch)
    return true;
  b->refs[row].data = NULL;
  b->refs[row].n = b->decoded.n;
  vdb_write_u32(&b->decoded, (uint32_t)text.n);
  vdb_write_bytes(&b->decoded, text.data, text.n);
  return !b->decoded.failed;
}

static bool path_row(struct path_build *b, size_t row) {
  struct filter_value v = {false, {0}};
  if (!vdb_column_is_null(b->of->texts, row))
    v = vdb_filter_json_at(b->path->steps, b->path->n_steps, path_type(b->path->type),
                           vdb_column_bytes(b->of->texts, row), b->scratch);
  if (!v.known)
    return path_other(b, row);
  b->nulls[row] = 0;
  if (b->path->type == VECDB_VARCHAR)
    return path_text(b, row, v.as.text);
  if (b->path->type == VECDB_DOUBLE)
    return path_number(b, row, v.as.number);
  b->values[row] = v.as.integer != 0;
  return true;
}

/* Decoded texts no longer move. */
static void path_settle(struct path_build *b) {
  for (size_t row = 0; b->refs && row < b->of->n; row++) {
    struct vdb_bytes *ref = &b->refs[row];
    uint32_t length;
    if (b->nulls[row] || ref->data)
      continue;
    memcpy(&length, b->decoded.data + ref->n, sizeof length);
    ref->data = b->decoded.data + ref->n + sizeof length;
    ref->n = length;
  }
}

/* What stands in each row. */
static int path_rows(struct path_build *b, vecdb_error *err) {
  b->n_others = 1; /* where their number goes */
  if (!VDB_GROW(b->mem, b->others, b->others_capacity, b->n_others))
    return vdb_fail_memory(err);
  for (size_t row = 0; row < b->of->n; row++) {
    if (row % PATH_POLL == PATH_POLL - 1 && b->of->stop && b->of->stop(b->of->stop_arg))
      return vdb_fail(err, VECDB_ERR_CANCELLED, "cancelled");
    if (!path_row(b, row))
      return vdb_fail_memory(err);
  }
  b->others[0] = (uint32_t)b->n_others - 1;
  return VECDB_OK;
}

static int path_put(struct path_build *b, uint32_t tag, const uint32_t *rows, size_t n,
                    vecdb_error *err) {
  struct vdb_sect_writer *out = b->of->out;
  VDB_TRY(out->begin(out, tag, b->path->id, err));
  VDB_TRY(out->append(out, rows, n * sizeof *rows, err));
  return out->end(out, err);
}

static int path_build(struct path_build *b, vecdb_error *err) {
  uint32_t width = vdb_type_width(b->path->type);
  size_t n = b->of->n;
  b->nulls = vdb_alloc(b->mem, n);
  if (width)
    b->values = vdb_alloc_zero(b->mem, n * width);
  else
    b->refs = vdb_alloc_zero(b->mem, n * sizeof *b->refs);
  if (!b->nulls || (width ? !b->values : !b->refs))
    return vdb_fail_memory(err);
  VDB_TRY(path_rows(b, err));
  path_settle(b);
  struct vdb_column column = {.data = b->values, .refs = b->refs, .nulls = b->nulls,
                              .width = width, .type = b->path->type};
  struct vdb_attr_index_build build = {.mem = b->mem,
                                       .column = &column,
                                       .n = n,
                                       .kind = VECDB_SCALAR_INDEX_SORTED,
                                       .out = b->of->out,
                                       .number = b->path->id,
                                       .stop = b->of->stop,
                                       .stop_arg = b->of->stop_arg};
  VDB_TRY(vdb_attr_index_build(&build, err));
  if (b->n_apart > 0)
    VDB_TRY(path_put(b, VDB_AIX_APART, b->apart, b->n_apart, err));
  return path_put(b, VDB_AIX_ELSE, b->others, b->n_others, err);
}

VDB_INTERNAL int vdb_path_index_build(const struct vdb_path_index_build *build, vecdb_error *err) {
  struct vdb_mem *mem = build->mem;
  struct path_build *b = vdb_alloc_zero(mem, sizeof *b);
  if (!b)
    return vdb_fail_memory(err);
  b->of = build;
  b->mem = mem;
  b->path = build->path;
  b->decoded.mem = mem;
  int rc = path_build(b, err);
  vdb_writer_free(&b->decoded);
  vdb_free(mem, b->apart);
  vdb_free(mem, b->others);
  vdb_free(mem, b->nulls);
  vdb_free(mem, b->refs);
  vdb_free(mem, b->values);
  vdb_free(mem, b);
  return rc;
}
