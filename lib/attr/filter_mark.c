/* filter_mark.c - leaves answered by the index of their field; see README.md on when that pays. */
#include "attr/filter_tree.h"

enum { FILTER_MARK_MEMBERS = 4096 };

/* The bounds of a leaf in the form that indexes take. */
struct filter_mark_range {
  uint8_t low[8];
  uint8_t high[8];
  struct vdb_bytes low_bytes;
  struct vdb_bytes high_bytes;
  struct vdb_attr_range range;
};

static void filter_mark_int(uint8_t out[8], int32_t type, int64_t value) {
  int8_t i8 = (int8_t)value;
  int16_t i16 = (int16_t)value;
  int32_t i32 = (int32_t)value;
  switch (type) {
  case VECDB_BOOL:
  case VECDB_INT8:
    memcpy(out, &i8, sizeof i8);
    break;
  case VECDB_INT16:
    memcpy(out, &i16, sizeof i16);
    break;
  case VECDB_INT32:
    memcpy(out, &i32, sizeof i32);
    break;
  default:
    memcpy(out, &value, sizeof value);
    break;
  }
}

static void filter_mark_real(uint8_t out[8], int32_t type, double value) {
  float single = (float)value;
  if (type == VECDB_FLOAT)
    memcpy(out, &single, sizeof single);
  else
    memcpy(out, &value, sizeof value);
}

/* An index may tell -0.0 from 0.0, which are one value: the bounds are chosen to hold or leave out
 * both. */
static double filter_mark_zero(double value, bool negative) {
  return value != 0 ? value : negative ? -0.0 : 0.0;
}

/* False when no value can be inside. */
static bool filter_mark_bounds(const struct vdb_filter *filter, const struct filter_node *leaf,
                               int32_t type, struct filter_mark_range *out) {
  struct vdb_attr_range range = {&out->low_bytes, &out->high_bytes, leaf->low_open,
                                 leaf->high_open};
  uint32_t width = vdb_type_width(type);
  out->low_bytes.data = out->low;
  out->high_bytes.data = out->high;
  out->low_bytes.n = out->high_bytes.n = width;
  if (type == VECDB_FLOAT || type == VECDB_DOUBLE) {
    double low = leaf->low.number, high = leaf->high.number;
    if (low == __builtin_inf() || high == -__builtin_inf())
      return false; /* columns hold finite values */
    filter_mark_real(out->low, type, filter_mark_zero(low, !leaf->low_open));
    filter_mark_real(out->high, type, filter_mark_zero(high, leaf->high_open));
    range.low = low == -__builtin_inf() ? NULL : range.low;
    range.high = high == __builtin_inf() ? NULL : range.high;
  } else if (width) {
    filter_mark_int(out->low, type, leaf->low.integer);
    filter_mark_int(out->high, type, leaf->high.integer);
  } else {
    out->low_bytes = filter_text_bytes(filter->pool.data, leaf->low.text);
    out->high_bytes = filter_text_bytes(filter->pool.data, leaf->high.text);
    range.low = leaf->has_low ? range.low : NULL;
    range.high = leaf->has_high ? range.high : NULL;
  }
  out->range = range;
  return true;
}

/* Texts with a prefix: from the prefix to its last byte plus one. UTF-8 has no byte 0xff. */
static void filter_mark_prefix(const struct vdb_filter *filter, struct filter_text prefix,
                               uint8_t *next, struct filter_mark_range *out) {
  struct vdb_attr_range range = {&out->low_bytes, &out->high_bytes, false, true};
  out->low_bytes = filter_text_bytes(filter->pool.data, prefix);
  memcpy(next, out->low_bytes.data, prefix.length);
  next[prefix.length - 1]++;
  out->high_bytes.data = next;
  out->high_bytes.n = prefix.length;
  out->range = range;
}

static bool filter_mark_single(const struct filter_mark_range *r) {
  return r->range.low && r->range.high && !r->range.low_open && !r->range.high_open &&
         r->low_bytes.n == r->high_bytes.n &&
         memcmp(r->low_bytes.data, r->high_bytes.data, r->low_bytes.n) == 0;
}

/* A member of a set as a leaf of its own, over values of a type; those of JSON may be doubles where
   the set has integers. */
static struct filter_node filter_mark_member(const struct filter_set *set, uint32_t i,
                                             int32_t type) {
  struct filter_node leaf;
  memset(&leaf, 0, sizeof leaf);
  leaf.op = FILTER_OP_RANGE;
  leaf.has_low = leaf.has_high = true;
  if (set->type == FILTER_TEXT)
    leaf.low.text = set->members[i].text;
  else if (set->type == FILTER_DOUBLE)
    leaf.low.number = vdb_filter_member_double(set->members[i].key);
  else if (type == VECDB_DOUBLE)
    leaf.low.number = (double)vdb_filter_member_int(set->members[i].key);
  else
    leaf.low.integer = vdb_filter_member_int(set->members[i].key);
  leaf.high = leaf.low;
  return leaf;
}

/* Counts or, where bits are given, marks one range. False when the index cannot. */
static bool filter_mark_range(const struct vdb_attr_index *index, const struct filter_mark_range *r,
                              size_t *count, uint64_t *bits) {
  if (!vdb_attr_index_ranges(index) && !filter_mark_single(r))
    return false;
  if (bits)
    vdb_attr_index_mark(index, r->range, bits);
  else
    *count += vdb_attr_index_count(index, r->range);
  return true;
}

static bool filter_mark_set(const struct vdb_filter *filter, const struct filter_node *leaf,
                            const struct vdb_filter_rows *rows, size_t *count, uint64_t *bits) {
  const struct filter_set *set = &filter->sets[leaf->index];
  if (set->n > FILTER_MARK_MEMBERS || set->n > rows->n / 8)
    return false;
  int32_t type = vdb_attr_index_type(rows->indexes[leaf->field]);
  for (uint32_t i = 0; i < set->n; i++) {
    struct filter_node member = filter_mark_member(set, i, type);
    struct filter_mark_range r;
    if (filter_mark_bounds(filter, &member, type, &r) &&
        !filter_mark_range(rows->indexes[leaf->field], &r, count, bits))
      return false;
  }
  return true;
}

static bool filter_mark_like(const struct vdb_filter *filter, const struct filter_node *leaf,
                             const struct vdb_filter_rows *rows, size_t *count, uint64_t *bits) {
  uint8_t next[256];
  bool whole, exact;
  struct filter_mark_range r;
  struct filter_text prefix = vdb_filter_like_prefix(&filter->likes[leaf->index], &whole, &exact);
  if (!whole || prefix.length == 0 || prefix.length > sizeof next)
    return false;
  filter_mark_prefix(filter, prefix, next, &r);
  return filter_mark_range(rows->indexes[leaf->field], &r, count, bits);
}

static bool filter_mark_leaf(const struct vdb_filter *filter, const struct filter_node *leaf,
                             const struct vdb_filter_rows *rows, size_t *count, uint64_t *bits) {
  if (!rows->indexes || leaf->field == FILTER_NONE || !rows->indexes[leaf->field])
    return false;
  struct filter_mark_range r;
  switch (leaf->op) {
  case FILTER_OP_RANGE:
    if (leaf->none ||
        !filter_mark_bounds(filter, leaf, vdb_attr_index_type(rows->indexes[leaf->field]), &r))
      return true;
    return filter_mark_range(rows->indexes[leaf->field], &r, count, bits);
  case FILTER_OP_IN:
    return filter_mark_set(filter, leaf, rows, count, bits);
  case FILTER_OP_LIKE:
    return filter_mark_like(filter, leaf, rows, count, bits);
  case FILTER_OP_NULLS: /* of a JSON path: other indexes do not know */
    if (!vdb_attr_index_nothing(rows->indexes[leaf->field], count))
      return false;
    if (bits)
      vdb_attr_index_mark_nothing(rows->indexes[leaf->field], bits);
    return true;
  default:
    return false;
  }
}

VDB_INTERNAL bool vdb_filter_index_count(const struct vdb_filter *filter, uint32_t at,
                                         const struct vdb_filter_rows *rows, size_t *count) {
  *count = 0;
  return filter_mark_leaf(filter, vdb_filter_leaf(filter, at), rows, count, NULL);
}

VDB_INTERNAL void vdb_filter_index_mark(const struct vdb_filter *filter, uint32_t at,
                                        const struct vdb_filter_rows *rows, uint64_t *bits) {
  size_t count = 0;
  filter_mark_leaf(filter, vdb_filter_leaf(filter, at), rows, &count, bits);
}
