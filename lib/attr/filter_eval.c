/*
 * filter_eval.c - the tree for one row at a time, in three-valued logic. The reference that scans
 * and indexes must agree with. Recursion is bounded by the height of the tree.
 */
#include <math.h>

#include "attr/filter_tree.h"

struct filter_eval {
  const struct vdb_filter *filter;
  const struct vdb_column *columns;
  size_t row;
  uint8_t *scratch; /* for the one text out of JSON that a comparison has */
};

static struct filter_value filter_eval_value(const struct filter_eval *e, uint32_t at);
static enum filter_truth filter_eval_truth(const struct filter_eval *e, uint32_t at);

VDB_INTERNAL int vdb_filter_compare_mixed(int64_t a, double b) {
  if (b >= 0x1p63)
    return -1;
  if (b < -0x1p63)
    return 1;
  int64_t whole = (int64_t)b;
  if (a != whole)
    return a < whole ? -1 : 1;
  double rest = b - (double)whole; /* exact: with a fraction, b is below 2^53 */
  return rest > 0 ? -1 : rest < 0;
}

VDB_INTERNAL int vdb_filter_compare_text(struct vdb_bytes a, struct vdb_bytes b) {
  size_t n = vdb_min_size(a.n, b.n);
  int order = n ? memcmp(a.data, b.data, n) : 0;
  return order ? order : (a.n > b.n) - (a.n < b.n);
}

VDB_INTERNAL struct filter_value vdb_filter_load(const uint8_t *data, int32_t type) {
  struct filter_value v = {true, {0}};
  int8_t i8;
  int16_t i16;
  int32_t i32;
  float f32;
  switch (type) {
  case VECDB_BOOL:
    v.as.integer = *data != 0;
    break;
  case VECDB_INT8:
    memcpy(&i8, data, sizeof i8);
    v.as.integer = i8;
    break;
  case VECDB_INT16:
    memcpy(&i16, data, sizeof i16);
    v.as.integer = i16;
    break;
  case VECDB_INT32:
    memcpy(&i32, data, sizeof i32);
    v.as.integer = i32;
    break;
  case VECDB_INT64:
    memcpy(&v.as.integer, data, sizeof v.as.integer);
    break;
  case VECDB_FLOAT:
    memcpy(&f32, data, sizeof f32);
    v.as.number = (double)f32;
    break;
  default:
    memcpy(&v.as.number, data, sizeof v.as.number);
    break;
  }
  return v;
}

static struct filter_value filter_eval_field(const struct filter_eval *e, uint32_t field) {
  const struct vdb_column *column = &e->columns[field];
  struct filter_value v = {false, {0}};
  if (vdb_column_is_null(column, e->row))
    return v;
  if (column->width)
    return vdb_filter_load(vdb_column_bytes(column, e->row).data, column->type);
  v.known = true;
  v.as.text = vdb_column_bytes(column, e->row);
  return v;
}

/* Walks the elements of an array value. */
struct filter_eval_array {
  struct vdb_bytes bytes;
  uint32_t n;
  uint32_t at;
  uint32_t width; /* 0: text */
  int32_t type;
  const uint8_t *text; /* the next element's */
};

static struct filter_eval_array filter_eval_open(const struct vdb_column *column,
                                                 struct vdb_bytes bytes) {
  struct filter_eval_array a = {
      bytes, vdb_array_count(bytes), 0, vdb_type_width(column->element_type), column->element_type,
      NULL};
  a.text = a.n ? bytes.data + 4 + 4 * (size_t)a.n : NULL;
  return a;
}

static struct filter_value filter_eval_next(struct filter_eval_array *a) {
  uint32_t i = a->at++;
  if (a->width)
    return vdb_filter_load(a->bytes.data + 4 + (size_t)i * a->width, a->type);
  struct filter_value v = {true, {0}};
  uint32_t length;
  memcpy(&length, a->bytes.data + 4 + 4 * (size_t)i, sizeof length);
  v.as.text.data = a->text;
  v.as.text.n = length;
  a->text += length;
  return v;
}

static struct filter_value filter_eval_element(const struct filter_eval *e,
                                               const struct filter_node *node) {
  struct filter_value v = filter_eval_field(e, node->field);
  if (!v.known)
    return v;
  struct filter_eval_array array = filter_eval_open(&e->columns[node->field], v.as.text);
  v.known = (uint64_t)node->low.integer < array.n;
  if (!v.known)
    return v;
  if (array.width)
    array.at = (uint32_t)node->low.integer;
  for (int64_t i = 0; !array.width && i < node->low.integer; i++)
    filter_eval_next(&array);
  return filter_eval_next(&array);
}

static double filter_eval_number(const struct filter_eval *e, uint32_t at, struct filter_value v) {
  return e->filter->nodes[at].type == FILTER_INT ? (double)v.as.integer : v.as.number;
}

static struct filter_value filter_eval_integers(int op, int64_t a, int64_t b) {
  struct filter_value v = {true, {0}};
  switch (op) {
  case FILTER_OP_ADD:
    v.known = !__builtin_add_overflow(a, b, &v.as.integer);
    break;
  case FILTER_OP_SUB:
    v.known = !__builtin_sub_overflow(a, b, &v.as.integer);
    break;
  case FILTER_OP_MUL:
    v.known = !__builtin_mul_overflow(a, b, &v.as.integer);
    break;
  case FILTER_OP_DIV:
    v.known = b != 0 && !(a == INT64_MIN && b == -1);
    v.as.integer = v.known ? a / b : 0;
    break;
  default:
    v.known = b != 0;
    v.as.integer = b != 0 && b != -1 ? a % b : 0;
    break;
  }
  return v;
}

static struct filter_value filter_eval_doubles(int op, double a, double b) {
  struct filter_value v = {true, {0}};
  switch (op) {
  case FILTER_OP_ADD:
    v.as.number = a + b;
    break;
  case FILTER_OP_SUB:
    v.as.number = a - b;
    break;
  case FILTER_OP_MUL:
    v.as.number = a * b;
    break;
  case FILTER_OP_DIV:
    v.as.number = b != 0 ? a / b : __builtin_inf();
    break;
  default:
    v.as.number = pow(a, b);
    break;
  }
  v.known = v.as.number - v.as.number == 0; /* neither infinite nor NaN */
  return v;
}

static struct filter_value filter_eval_arithmetic(const struct filter_eval *e,
                                                  const struct filter_node *node) {
  struct filter_value a = filter_eval_value(e, node->left);
  if (!a.known)
    return a;
  if (node->op == FILTER_OP_MINUS) {
    if (node->type == FILTER_INT)
      return filter_eval_integers(FILTER_OP_SUB, 0, a.as.integer);
    a.as.number = -a.as.number;
    return a;
  }
  struct filter_value b = filter_eval_value(e, node->right);
  if (!b.known)
    return b;
  if (node->type == FILTER_INT)
    return filter_eval_integers(node->op, a.as.integer, b.as.integer);
  return filter_eval_doubles(node->op, filter_eval_number(e, node->left, a),
                             filter_eval_number(e, node->right, b));
}

static struct filter_value filter_eval_json(const struct filter_eval *e,
                                            const struct filter_node *node) {
  struct filter_value v = filter_eval_field(e, node->field);
  if (v.known)
    return vdb_filter_json(e->filter, node, v.as.text, e->scratch);
  v.known = node->cmp == FILTER_JSON_NULL;
  v.as.integer = v.known && !node->negate;
  return v;
}

static struct filter_value filter_eval_value(const struct filter_eval *e, uint32_t at) {
  const struct filter_node *node = &e->filter->nodes[at];
  struct filter_value v = {true, {0}};
  switch (node->op) {
  case FILTER_OP_CONST:
    v.known = node->known;
    if (node->type == FILTER_TEXT)
      v.as.text = filter_text_bytes(e->filter->pool.data, node->low.text);
    else if (node->type == FILTER_DOUBLE)
      v.as.number = node->low.number;
    else
      v.as.integer = node->low.integer;
    return v;
  case FILTER_OP_FIELD:
    return filter_eval_field(e, node->field);
  case FILTER_OP_ELEMENT:
    return filter_eval_element(e, node);
  case FILTER_OP_LENGTH:
    v = filter_eval_field(e, node->field);
    if (v.known)
      v.as.integer = (int64_t)vdb_array_count(v.as.text);
    return v;
  case FILTER_OP_JSON:
    return filter_eval_json(e, node);
  default:
    break;
  }
  if (node->type != FILTER_BOOL)
    return filter_eval_arithmetic(e, node);
  enum filter_truth truth = filter_eval_truth(e, at);
  v.known = truth != FILTER_UNKNOWN;
  v.as.integer = truth == FILTER_TRUE;
  return v;
}

/* ---- truth values ---- */

static enum filter_truth filter_eval_is(bool known, bool value) {
  return !known ? FILTER_UNKNOWN : value ? FILTER_TRUE : FILTER_FALSE;
}

static bool filter_eval_cmp(int cmp, int order) {
  switch (cmp) {
  case FILTER_EQ:
    return order == 0;
  case FILTER_NE:
    return order != 0;
  case FILTER_LT:
    return order < 0;
  case FILTER_LE:
    return order <= 0;
  case FILTER_GT:
    return order > 0;
  default:
    return order >= 0;
  }
}

/* The type of an operand, which is known. A number of JSON that a double may have rounded becomes
   the integer that it is, if it is one. */
static int filter_eval_exact(const struct filter_eval *e, uint32_t at, struct filter_value *v) {
  const struct filter_node *node = &e->filter->nodes[at];
  if (node->op != FILTER_OP_JSON || node->type != FILTER_DOUBLE || fabs(v->as.number) < 0x1p53)
    return node->type;
  struct filter_node whole = *node;
  whole.type = FILTER_INT;
  struct filter_value exact = filter_eval_json(e, &whole);
  if (exact.known)
    *v = exact;
  return exact.known ? FILTER_INT : FILTER_DOUBLE;
}

static enum filter_truth filter_eval_compare(const struct filter_eval *e,
                                             const struct filter_node *node) {
  struct filter_value a = filter_eval_value(e, node->left);
  if (!a.known)
    return FILTER_UNKNOWN;
  struct filter_value b = filter_eval_value(e, node->right);
  if (!b.known)
    return FILTER_UNKNOWN;
  int left = filter_eval_exact(e, node->left, &a), right = filter_eval_exact(e, node->right, &b);
  int order;
  if (left == FILTER_TEXT)
    order = vdb_filter_compare_text(a.as.text, b.as.text);
  else if (left == FILTER_DOUBLE && right == FILTER_DOUBLE)
    order = (a.as.number > b.as.number) - (a.as.number < b.as.number);
  else if (left == FILTER_DOUBLE)
    order = -vdb_filter_compare_mixed(b.as.integer, a.as.number);
  else if (right == FILTER_DOUBLE)
    order = vdb_filter_compare_mixed(a.as.integer, b.as.number);
  else
    order = (a.as.integer > b.as.integer) - (a.as.integer < b.as.integer);
  return filter_eval_is(true, filter_eval_cmp(node->cmp, order));
}

static bool filter_eval_text_range(const struct filter_eval *e, const struct filter_node *node,
                                   struct vdb_bytes text) {
  const uint8_t *pool = e->filter->pool.data;
  if (node->has_low) {
    int order = vdb_filter_compare_text(text, filter_text_bytes(pool, node->low.text));
    if (order < 0 || (order == 0 && node->low_open))
      return false;
  }
  if (!node->has_high)
    return true;
  int order = vdb_filter_compare_text(text, filter_text_bytes(pool, node->high.text));
  return order < 0 || (order == 0 && !node->high_open);
}

static enum filter_truth filter_eval_range(const struct filter_eval *e,
                                           const struct filter_node *node) {
  struct filter_value v = filter_eval_field(e, node->field);
  if (!v.known)
    return FILTER_UNKNOWN;
  bool inside = !node->none;
  switch (vdb_filter_type_of(e->columns[node->field].type)) {
  case FILTER_TEXT:
    inside = inside && filter_eval_text_range(e, node, v.as.text);
    break;
  case FILTER_DOUBLE:
    inside = inside &&
             (node->low_open ? v.as.number > node->low.number : v.as.number >= node->low.number) &&
             (node->high_open ? v.as.number < node->high.number : v.as.number <= node->high.number);
    break;
  default:
    inside = inside && v.as.integer >= node->low.integer && v.as.integer <= node->high.integer;
    break;
  }
  return filter_eval_is(true, inside != node->negate);
}

/* The place of a value of the set's or an array's type in the set. */
static uint32_t filter_eval_member(const struct filter_eval *e, const struct filter_set *set,
                                   int type, struct filter_value v) {
  if (type == FILTER_TEXT)
    return vdb_filter_set_text(set, e->filter->pool.data, v.as.text);
  if (type == FILTER_DOUBLE)
    return vdb_filter_set_double(set, v.as.number);
  return vdb_filter_set_int(set, v.as.integer);
}

/* Whether packed whole numbers hold one: the usual array_contains, without a look at a set for each
   element. */
static bool filter_eval_has(const uint8_t *data, uint32_t n, int32_t type, int64_t wanted) {
  bool has = false;
#define FILTER_EVAL_HAS(ctype) \
  for (uint32_t i = 0; i < n; i++) { \
    ctype value; \
    memcpy(&value, data + i * sizeof value, sizeof value); \
    has |= value == wanted; \
  }
  if (type == VECDB_INT8)
    FILTER_EVAL_HAS(int8_t)
  else if (type == VECDB_INT16)
    FILTER_EVAL_HAS(int16_t)
  else if (type == VECDB_INT32)
    FILTER_EVAL_HAS(int32_t)
  else
    FILTER_EVAL_HAS(int64_t)
#undef FILTER_EVAL_HAS
  return has;
}

static bool filter_eval_contains(const struct filter_eval *e, const struct filter_node *node,
                                 struct vdb_bytes bytes) {
  const struct filter_set *set = &e->filter->sets[node->index];
  struct filter_eval_array array = filter_eval_open(&e->columns[node->field], bytes);
  bool all = node->cmp == FILTER_CONTAINS_ALL;
  if (all && set->n == 0)
    return true;
  if (array.n > VECDB_MAX_ARRAY || (all && set->n > array.n))
    return false;
  if (set->n == 1 && set->type == FILTER_INT)
    return filter_eval_has(bytes.data + 4, array.n, array.type,
                           vdb_filter_member_int(set->members[0].key));
  uint64_t seen[VECDB_MAX_ARRAY / 64];
  uint32_t found = 0;
  if (all)
    memset(seen, 0, (set->n + 63) / 64 * 8);
  while (array.at < array.n) {
    uint32_t member = filter_eval_member(e, set, set->type, filter_eval_next(&array));
    if (member == FILTER_NONE)
      continue;
    if (!all)
      return true;
    found += !(seen[member / 64] >> (member % 64) & 1);
    seen[member / 64] |= (uint64_t)1 << (member % 64);
    if (found == set->n)
      return true;
  }
  return false;
}

/* Leaves over one field or value. */
static enum filter_truth filter_eval_leaf(const struct filter_eval *e,
                                          const struct filter_node *node) {
  bool known, value;
  if (node->op == FILTER_OP_NULLS) {
    known = true;
    value = vdb_column_is_null(&e->columns[node->field], e->row);
  } else if (node->op == FILTER_OP_CONTAINS) {
    struct filter_value v = filter_eval_field(e, node->field);
    known = v.known;
    value = known && filter_eval_contains(e, node, v.as.text);
  } else {
    struct filter_value v = filter_eval_value(e, node->left);
    known = v.known;
    if (node->op == FILTER_OP_LIKE)
      value = known && vdb_filter_like_match(&e->filter->likes[node->index], e->filter->pool.data,
                                             v.as.text);
    else
      value = known && filter_eval_member(e, &e->filter->sets[node->index],
                                          e->filter->nodes[node->left].type, v) != FILTER_NONE;
  }
  return filter_eval_is(known, value != node->negate);
}

static enum filter_truth filter_eval_group(const struct filter_eval *e,
                                           const struct filter_node *node) {
  enum filter_truth decides = node->op == FILTER_OP_AND ? FILTER_FALSE : FILTER_TRUE;
  bool unknown = false;
  for (uint32_t i = node->left; i != FILTER_NONE; i = e->filter->nodes[i].next) {
    enum filter_truth truth = filter_eval_truth(e, i);
    if (truth == decides)
      return decides;
    unknown = unknown || truth == FILTER_UNKNOWN;
  }
  return unknown ? FILTER_UNKNOWN : node->op == FILTER_OP_AND ? FILTER_TRUE : FILTER_FALSE;
}

static enum filter_truth filter_eval_truth(const struct filter_eval *e, uint32_t at) {
  const struct filter_node *node = &e->filter->nodes[at];
  switch (node->op) {
  case FILTER_OP_AND:
  case FILTER_OP_OR:
    return filter_eval_group(e, node);
  case FILTER_OP_NOT: {
    enum filter_truth truth = filter_eval_truth(e, node->left);
    return filter_eval_is(truth != FILTER_UNKNOWN, truth == FILTER_FALSE);
  }
  case FILTER_OP_CMP:
    return filter_eval_compare(e, node);
  case FILTER_OP_RANGE:
    return filter_eval_range(e, node);
  case FILTER_OP_IN:
  case FILTER_OP_LIKE:
  case FILTER_OP_NULLS:
  case FILTER_OP_CONTAINS:
    return filter_eval_leaf(e, node);
  default: {
    struct filter_value v = filter_eval_value(e, at);
    return filter_eval_is(v.known, v.as.integer != 0);
  }
  }
}

VDB_INTERNAL struct filter_value vdb_filter_value(const struct vdb_filter *filter, uint32_t node,
                                                  const struct vdb_column *columns, size_t row) {
  struct filter_eval e = {filter, columns, row, NULL};
  return filter_eval_value(&e, node);
}

VDB_INTERNAL enum filter_truth vdb_filter_truth(const struct vdb_filter *filter, uint32_t node,
                                                const struct vdb_column *columns, size_t row) {
  uint8_t scratch[FILTER_JSON_TEXT];
  struct filter_eval e = {filter, columns, row, scratch};
  return filter_eval_truth(&e, node);
}

VDB_INTERNAL bool vdb_filter_row(const struct vdb_filter *filter, const struct vdb_column *columns,
                                 size_t row) {
  while (filter && vdb_filter_truth(filter, filter->root, columns, row) == FILTER_TRUE)
    filter = filter->also;
  return !filter;
}
