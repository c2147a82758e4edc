/* attr_index.c - opening and asking the index of a scalar column; see attr_index_format.h. */
#include "attr/attr_index_format.h"
#include "base/bitmap.h"
#include "base/err.h"
#include "base/mem.h"

struct vdb_attr_index {
  struct vdb_aix_header head;
  size_t width;            /* of values; 0: texts */
  const uint8_t *values;
  const uint64_t *offsets; /* texts */
  const uint32_t *starts;
  const uint32_t *rows;
  const uint64_t *bitmaps;
  uint32_t dense[VDB_AIX_MAX_DENSE]; /* the dense values, ascending */
  uint32_t dense_rows;               /* rows of all of them */
  const uint32_t *apart;
  size_t n_apart;
  const uint32_t *others; /* rows where something of another type stands; NULL: not known */
  size_t n_others;
};

/* What opening reads from. */
struct aix_source {
  const struct vdb_sect_reader *in;
  const struct vdb_field *field;
  uint32_t number;
};

static int aix_damage(const struct aix_source *s, const char *what, vecdb_error *err) {
  return vdb_fail_at(err, VECDB_ERR_CORRUPT, -1, s->field->name,
                     "the attribute index of field '%s' is damaged: %s", s->field->name, what);
}

/* A section that must have n bytes; one of 0 bytes is not stored. */
static int aix_get(const struct aix_source *s, uint32_t tag, size_t n, const void **data,
                   vecdb_error *err) {
  size_t have = 0;
  *data = "";
  if (n == 0)
    return VECDB_OK;
  VDB_TRY(s->in->find(s->in, tag, s->number, false, data, &have, err));
  if (!*data || have != n)
    return aix_damage(s, "a section is missing or has the wrong size", err);
  return VECDB_OK;
}

static int aix_check_header(const struct aix_source *s, const struct vdb_aix_header *h, size_t n,
                            vecdb_error *err) {
  bool kind = h->kind == VECDB_SCALAR_INDEX_HASH || h->kind == VECDB_SCALAR_INDEX_SORTED;
  bool counts = h->n_rows == n && n <= UINT32_MAX && h->n_nulls <= n &&
                h->n_values <= n - h->n_nulls && h->n_dense <= VDB_AIX_MAX_DENSE;
  bool text = h->type == VECDB_VARCHAR;
  if (h->version != VDB_AIX_VERSION || !kind || h->type != s->field->type || !counts ||
      (!text && (h->text_bytes || vdb_type_width(h->type) == 0)))
    return aix_damage(s, "its header does not fit the segment", err);
  return VECDB_OK;
}

/* Checks the starts and finds the dense values. */
static int aix_open_starts(const struct aix_source *s, struct vdb_attr_index *x,
                           vecdb_error *err) {
  size_t values = x->head.n_values;
  const void *data;
  VDB_TRY(aix_get(s, VDB_AIX_STARTS, (values + 1) * sizeof *x->starts, &data, err));
  x->starts = data;
  if (x->starts[0] != 0 || x->starts[values] != x->head.n_rows - x->head.n_nulls)
    return aix_damage(s, "its counts do not add up", err);
  uint32_t n_dense = 0;
  for (size_t i = 0; i < values; i++) {
    if (x->starts[i] >= x->starts[i + 1])
      return aix_damage(s, "its counts do not ascend", err);
    uint32_t count = x->starts[i + 1] - x->starts[i];
    if (!vdb_aix_dense(count, x->head.n_rows))
      continue;
    if (n_dense == x->head.n_dense)
      return aix_damage(s, "its dense values are not as many", err);
    x->dense[n_dense++] = (uint32_t)i;
    x->dense_rows += count;
  }
  if (n_dense != x->head.n_dense || x->starts[values] < x->dense_rows)
    return aix_damage(s, "its dense values are not as many", err);
  return VECDB_OK;
}

/* Rows of the values below `value` that are in lists. */
static size_t aix_listed_before(const struct vdb_attr_index *x, size_t value) {
  size_t n = x->starts[value];
  for (uint32_t d = 0; d < x->head.n_dense && x->dense[d] < value; d++)
    n -= x->starts[x->dense[d] + 1] - x->starts[x->dense[d]];
  return n;
}

static int aix_open_rows(const struct aix_source *s, struct vdb_attr_index *x, vecdb_error *err) {
  size_t values = x->head.n_values;
  size_t n_listed = x->starts[values] - x->dense_rows;
  const void *data;
  VDB_TRY(aix_get(s, VDB_AIX_ROWS, n_listed * sizeof *x->rows, &data, err));
  x->rows = data;
  size_t at = 0;
  for (size_t i = 0; i < values; i++) {
    size_t count = x->starts[i + 1] - x->starts[i];
    if (vdb_aix_dense(count, x->head.n_rows))
      continue;
    for (size_t j = 0; j < count; j++, at++)
      if (x->rows[at] >= x->head.n_rows || (j && x->rows[at - 1] >= x->rows[at]))
        return aix_damage(s, "a row list does not ascend or leaves the segment", err);
  }
  return VECDB_OK;
}

static int aix_open_bitmaps(const struct aix_source *s, struct vdb_attr_index *x,
                            vecdb_error *err) {
  size_t n = x->head.n_rows;
  size_t words = vdb_bits_words(n);
  const void *data;
  VDB_TRY(aix_get(s, VDB_AIX_BITMAPS, x->head.n_dense * words * sizeof *x->bitmaps, &data, err));
  x->bitmaps = data;
  for (uint32_t d = 0; d < x->head.n_dense; d++) {
    const uint64_t *bits = x->bitmaps + d * words;
    size_t count = x->starts[x->dense[d] + 1] - x->starts[x->dense[d]];
    bool past = n % 64 && bits[words - 1] >> (n % 64);
    if (past || vdb_bits_count(bits, n) != count)
      return aix_damage(s, "a bitmap has the wrong number of rows", err);
  }
  return VECDB_OK;
}

static struct vdb_bytes aix_value(const struct vdb_attr_index *x, size_t i) {
  if (x->width) {
    struct vdb_bytes fixed = {x->values + i * x->width, x->width};
    return fixed;
  }
  struct vdb_bytes text = {x->values + x->offsets[i], (size_t)(x->offsets[i + 1] - x->offsets[i])};
  return text;
}

static int aix_compare(const struct vdb_attr_index *x, struct vdb_bytes a, struct vdb_bytes b) {
  if (!x->width)
    return vdb_aix_compare(a, b);
  uint64_t p = vdb_aix_key(x->head.type, a.data);
  uint64_t q = vdb_aix_key(x->head.type, b.data);
  return (p > q) - (p < q);
}

static int aix_open_values(const struct aix_source *s, struct vdb_attr_index *x,
                           vecdb_error *err) {
  size_t values = x->head.n_values;
  const void *data;
  x->width = vdb_type_width(x->head.type);
  if (!x->width && values) {
    VDB_TRY(aix_get(s, VDB_AIX_OFFSETS, (values + 1) * sizeof *x->offsets, &data, err));
    x->offsets = data;
    bool falls = x->offsets[0] != 0 || x->offsets[values] != x->head.text_bytes;
    for (size_t i = 0; i < values; i++)
      falls |= x->offsets[i] > x->offsets[i + 1];
    if (falls)
      return aix_damage(s, "its text offsets do not ascend", err);
  }
  size_t size = x->width ? values * x->width : x->head.text_bytes;
  VDB_TRY(aix_get(s, VDB_AIX_VALUES, size, &data, err));
  x->values = data;
  for (size_t i = 1; i < values; i++)
    if (aix_compare(x, aix_value(x, i - 1), aix_value(x, i)) >= 0)
      return aix_damage(s, "its values do not ascend", err);
  return VECDB_OK;
}

static bool aix_rows_fit(const struct vdb_attr_index *x, const uint32_t *rows, size_t n) {
  bool good = x->n_apart + x->n_others <= x->head.n_nulls;
  for (size_t i = 0; good && i < n; i++)
    good = rows[i] < x->head.n_rows && (i == 0 || rows[i - 1] < rows[i]);
  return good;
}

/* Rows that count as null, though something stands there. */
static int aix_open_apart(const struct aix_source *s, struct vdb_attr_index *x, vecdb_error *err) {
  const void *data = NULL;
  size_t bytes = 0;
  bool good = true;
  VDB_TRY(s->in->find(s->in, VDB_AIX_APART, s->number, false, &data, &bytes, err));
  if (data) {
    x->apart = data;
    x->n_apart = bytes / sizeof *x->apart;
    good = bytes % sizeof *x->apart == 0 && aix_rows_fit(x, x->apart, x->n_apart);
  }
  VDB_TRY(s->in->find(s->in, VDB_AIX_ELSE, s->number, false, &data, &bytes, err));
  if (data && good) {
    const uint32_t *counted = data;
    good = bytes % sizeof *counted == 0 && bytes > 0 && counted[0] == bytes / sizeof *counted - 1;
    x->others = counted + 1;
    x->n_others = good ? counted[0] : 0;
    good = good && aix_rows_fit(x, x->others, x->n_others);
  }
  return good ? VECDB_OK : aix_damage(s, "the rows kept apart do not ascend or are too many", err);
}

static int aix_open_all(const struct aix_source *s, struct vdb_attr_index *x, size_t n,
                        vecdb_error *err) {
  VDB_TRY(aix_check_header(s, &x->head, n, err));
  VDB_TRY(aix_open_starts(s, x, err));
  VDB_TRY(aix_open_rows(s, x, err));
  VDB_TRY(aix_open_bitmaps(s, x, err));
  VDB_TRY(aix_open_apart(s, x, err));
  return aix_open_values(s, x, err);
}

VDB_INTERNAL int vdb_attr_index_open(struct vdb_mem *mem, const struct vdb_sect_reader *in,
                                     uint32_t number, const struct vdb_field *field, size_t n,
                                     struct vdb_attr_index **out, vecdb_error *err) {
  struct aix_source source = {in, field, number};
  const void *data = NULL;
  size_t have = 0;
  *out = NULL;
  VDB_TRY(in->find(in, VDB_AIX_HEADER, number, false, &data, &have, err));
  if (!data)
    return VECDB_OK;
  if (have != sizeof(struct vdb_aix_header))
    return aix_damage(&source, "its header has the wrong size", err);
  struct vdb_attr_index *x = vdb_alloc_zero(mem, sizeof *x);
  if (!x)
    return vdb_fail_memory(err);
  memcpy(&x->head, data, sizeof x->head);
  int rc = aix_open_all(&source, x, n, err);
  if (rc) {
    vdb_free(mem, x);
    return rc;
  }
  *out = x;
  return VECDB_OK;
}

VDB_INTERNAL void vdb_attr_index_close(struct vdb_mem *mem, struct vdb_attr_index *index) {
  vdb_free(mem, index);
}

VDB_INTERNAL bool vdb_attr_index_ranges(const struct vdb_attr_index *index) {
  return index->head.kind == VECDB_SCALAR_INDEX_SORTED;
}

VDB_INTERNAL size_t vdb_attr_index_nulls(const struct vdb_attr_index *index) {
  return (size_t)index->head.n_nulls;
}

VDB_INTERNAL int32_t vdb_attr_index_type(const struct vdb_attr_index *index) {
  return index->head.type;
}

VDB_INTERNAL const uint32_t *vdb_attr_index_apart(const struct vdb_attr_index *index, size_t *n) {
  *n = index->n_apart;
  return index->apart;
}

VDB_INTERNAL bool vdb_attr_index_nothing(const struct vdb_attr_index *index, size_t *n) {
  *n = (size_t)index->head.n_nulls - index->n_apart - index->n_others;
  return index->others != NULL;
}

VDB_INTERNAL void vdb_attr_index_mark_nothing(const struct vdb_attr_index *index, uint64_t *bits) {
  const struct vdb_attr_range all = {NULL, NULL, false, false};
  size_t n = (size_t)index->head.n_rows, words = vdb_bits_words(n);
  memset(bits, 0, words * sizeof *bits);
  vdb_attr_index_mark(index, all, bits);
  for (size_t i = 0; i < index->n_apart; i++)
    vdb_bit_set(bits, index->apart[i]);
  for (size_t i = 0; i < index->n_others; i++)
    vdb_bit_set(bits, index->others[i]);
  for (size_t w = 0; w < words; w++)
    bits[w] = ~bits[w];
  if (n % 64 != 0)
    bits[words - 1] &= ((uint64_t)1 << (n % 64)) - 1;
}

/* The first value that is not below `bound`, or (after) that is above it. */
static size_t aix_seek(const struct vdb_attr_index *x, struct vdb_bytes bound, bool after) {
  size_t low = 0, high = x->head.n_values;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    int order = aix_compare(x, aix_value(x, middle), bound);
    if (order < 0 || (after && order == 0))
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static bool aix_nan(const struct vdb_attr_index *x, const struct vdb_bytes *bound) {
  if (!bound || (x->head.type != VECDB_FLOAT && x->head.type != VECDB_DOUBLE))
    return false;
  float single;
  double number;
  if (x->head.type == VECDB_FLOAT) {
    memcpy(&single, bound->data, sizeof single);
    number = (double)single;
  } else {
    memcpy(&number, bound->data, sizeof number);
  }
  return __builtin_isnan(number);
}

/* The values of a range: first to end - 1. */
struct aix_span {
  size_t first;
  size_t end;
};

static struct aix_span aix_find(const struct vdb_attr_index *x, struct vdb_attr_range range) {
  struct aix_span span = {0, 0};
  if (aix_nan(x, range.low) || aix_nan(x, range.high))
    return span;
  span.end = x->head.n_values;
  if (range.low)
    span.first = aix_seek(x, *range.low, range.low_open);
  if (range.high)
    span.end = aix_seek(x, *range.high, !range.high_open);
  span.end = vdb_max_size(span.first, span.end);
  return span;
}

VDB_INTERNAL size_t vdb_attr_index_count(const struct vdb_attr_index *index,
                                         struct vdb_attr_range range) {
  struct aix_span span = aix_find(index, range);
  return index->starts[span.end] - index->starts[span.first];
}

VDB_INTERNAL void vdb_attr_index_mark(const struct vdb_attr_index *index,
                                      struct vdb_attr_range range, uint64_t *bits) {
  const struct vdb_attr_index *x = index;
  struct aix_span span = aix_find(x, range);
  if (x->starts[span.end] - x->starts[span.first] == x->head.n_rows) {
    vdb_bits_fill(bits, x->head.n_rows);
    return;
  }
  size_t end = aix_listed_before(x, span.end);
  for (size_t i = aix_listed_before(x, span.first); i < end; i++)
    vdb_bit_set(bits, x->rows[i]);
  size_t words = vdb_bits_words(x->head.n_rows);
  for (uint32_t d = 0; d < x->head.n_dense; d++) {
    if (x->dense[d] < span.first || x->dense[d] >= span.end)
      continue;
    const uint64_t *from = x->bitmaps + d * words;
    for (size_t w = 0; w < words; w++)
      bits[w] |= from[w];
  }
}
