/*
 * filter_leaf.c - comparisons of a field with a constant as ranges of the field's own values,
 * decided exactly: an integer field against 2.5 or 1e300, a double field against 2^53 + 1. FLOAT
 * fields compare with the constant as float, so that price == 0.1 finds what was stored as 0.1f.
 */
#include "attr/filter_tree.h"

/* The integers that compare `cmp` with c; false when there are none. */
static bool filter_leaf_integers(int cmp, int64_t c, int64_t *low, int64_t *high) {
  *low = cmp == FILTER_EQ || cmp == FILTER_GE ? c : INT64_MIN;
  *high = cmp == FILTER_EQ || cmp == FILTER_LE ? c : INT64_MAX;
  if ((cmp == FILTER_LT && c == INT64_MIN) || (cmp == FILTER_GT && c == INT64_MAX))
    return false;
  if (cmp == FILTER_LT)
    *high = c - 1;
  if (cmp == FILTER_GT)
    *low = c + 1;
  return true;
}

/* Likewise for a double: an equivalent comparison with an integer, where there is one. */
static bool filter_leaf_rounded(int cmp, double d, int64_t *low, int64_t *high) {
  bool wants_more = cmp == FILTER_GT || cmp == FILTER_GE;
  *low = INT64_MIN;
  *high = INT64_MAX;
  if (d >= 0x1p63)
    return cmp == FILTER_LT || cmp == FILTER_LE;
  if (d < -0x1p63)
    return wants_more;
  int64_t c = (int64_t)d;
  if ((double)c == d)
    return filter_leaf_integers(cmp, c, low, high);
  if (cmp == FILTER_EQ)
    return false;
  c -= d < (double)c; /* now c < d < c + 1 */
  return filter_leaf_integers(wants_more ? FILTER_GT : FILTER_LE, c, low, high);
}

static void filter_leaf_int_range(struct filter_node *node, int32_t type, int cmp,
                                  const struct filter_node *constant) {
  int64_t low, high;
  bool some = constant->type == FILTER_DOUBLE
                  ? filter_leaf_rounded(cmp, constant->low.number, &low, &high)
                  : filter_leaf_integers(cmp, constant->low.integer, &low, &high);
  int64_t least = INT64_MIN, most = INT64_MAX;
  if (type != VECDB_INT64) {
    int bits = type == VECDB_INT8 ? 7 : type == VECDB_INT16 ? 15 : 31;
    most = ((int64_t)1 << bits) - 1;
    least = -most - 1;
  }
  node->low.integer = low < least ? least : low;
  node->high.integer = high > most ? most : high;
  node->none = !some || node->low.integer > node->high.integer;
}

static void filter_leaf_double_range(struct filter_node *node, int cmp, double d) {
  node->low.number =
      cmp == FILTER_EQ || cmp == FILTER_GT || cmp == FILTER_GE ? d : -__builtin_inf();
  node->high.number =
      cmp == FILTER_EQ || cmp == FILTER_LT || cmp == FILTER_LE ? d : __builtin_inf();
  node->low_open = cmp == FILTER_GT;
  node->high_open = cmp == FILTER_LT;
  /* beyond all floats, and fields hold finite values */
  node->none = node->low.number == __builtin_inf() || node->high.number == -__builtin_inf();
}

/* DOUBLE fields against an integer that may be between two doubles. */
static void filter_leaf_exact_range(struct filter_node *node, int cmp, int64_t c) {
  double d = (double)c;
  int order = vdb_filter_compare_mixed(c, d);
  bool wants_more = cmp == FILTER_GT || cmp == FILTER_GE;
  if (order == 0) {
    filter_leaf_double_range(node, cmp, d);
  } else if (cmp == FILTER_EQ) {
    filter_leaf_double_range(node, cmp, d);
    node->none = true;
  } else if (wants_more) { /* c < d: everything from d on; c > d: everything after d */
    filter_leaf_double_range(node, order < 0 ? FILTER_GE : FILTER_GT, d);
  } else {
    filter_leaf_double_range(node, order < 0 ? FILTER_LT : FILTER_LE, d);
  }
}

VDB_INTERNAL void vdb_filter_range(struct vdb_filter *filter, int32_t type, uint32_t at,
                                   uint32_t field, uint32_t constant_at, int cmp) {
  struct filter_node *node = &filter->nodes[at];
  const struct filter_node *constant = &filter->nodes[constant_at];
  node->op = FILTER_OP_RANGE;
  node->field = field;
  node->negate = cmp == FILTER_NE;
  node->has_low = node->has_high = true;
  if (cmp == FILTER_NE)
    cmp = FILTER_EQ;
  if (type == VECDB_BOOL) {
    node->low.integer = node->high.integer = constant->low.integer;
  } else if (vdb_type_is_integer(type)) {
    filter_leaf_int_range(node, type, cmp, constant);
  } else if (type == VECDB_FLOAT) {
    float single =
        constant->type == FILTER_INT ? (float)constant->low.integer : (float)constant->low.number;
    filter_leaf_double_range(node, cmp, (double)single);
  } else if (type == VECDB_DOUBLE) {
    if (constant->type == FILTER_INT)
      filter_leaf_exact_range(node, cmp, constant->low.integer);
    else
      filter_leaf_double_range(node, cmp, constant->low.number);
  } else {
    node->has_low = cmp == FILTER_EQ || cmp == FILTER_GT || cmp == FILTER_GE;
    node->has_high = cmp == FILTER_EQ || cmp == FILTER_LT || cmp == FILTER_LE;
    node->low_open = cmp == FILTER_GT;
    node->high_open = cmp == FILTER_LT;
    node->low.text = node->high.text = constant->low.text;
  }
}

/* Takes over b's lower (or upper) end where it is tighter than a's. */
static void filter_leaf_tighten(const struct vdb_filter *filter, int type, bool lower,
                                struct filter_node *a, const struct filter_node *b) {
  bool *has = lower ? &a->has_low : &a->has_high;
  bool *open = lower ? &a->low_open : &a->high_open;
  union filter_scalar *end = lower ? &a->low : &a->high;
  const union filter_scalar *other = lower ? &b->low : &b->high;
  bool other_has = lower ? b->has_low : b->has_high;
  bool other_open = lower ? b->low_open : b->high_open;
  if (!other_has)
    return;
  int order;
  if (type == FILTER_TEXT)
    order = !*has ? (lower ? -1 : 1)
                  : vdb_filter_compare_text(filter_text_bytes(filter->pool.data, end->text),
                                            filter_text_bytes(filter->pool.data, other->text));
  else if (type == FILTER_DOUBLE)
    order = (end->number > other->number) - (end->number < other->number);
  else
    order = (end->integer > other->integer) - (end->integer < other->integer);
  if (order == 0) {
    *open = *open || other_open;
  } else if ((order < 0) == lower) {
    *has = true;
    *end = *other;
    *open = other_open;
  }
}

VDB_INTERNAL void vdb_filter_intersect(const struct vdb_filter *filter, int32_t field_type,
                                       struct filter_node *a, const struct filter_node *b) {
  int type = vdb_filter_type_of(field_type);
  filter_leaf_tighten(filter, type, true, a, b);
  filter_leaf_tighten(filter, type, false, a, b);
  a->none = a->none || b->none;
  if (!a->has_low || !a->has_high)
    return;
  int order;
  if (type == FILTER_TEXT)
    order = vdb_filter_compare_text(filter_text_bytes(filter->pool.data, a->low.text),
                                    filter_text_bytes(filter->pool.data, a->high.text));
  else if (type == FILTER_DOUBLE)
    order = (a->low.number > a->high.number) - (a->low.number < a->high.number);
  else
    order = (a->low.integer > a->high.integer) - (a->low.integer < a->high.integer);
  a->none = a->none || order > 0 || (order == 0 && (a->low_open || a->high_open));
}
