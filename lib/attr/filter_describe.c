/*
 * filter_describe.c - the bound tree as text, in the language it was written in: what folding and
 * binding have made of the filter. Long lists and texts are cut.
 */
#include <stdio.h>
#include <stdlib.h>

#include "attr/filter_tree.h"

enum { FILTER_DESCRIBE_MEMBERS = 16, FILTER_DESCRIBE_TEXT = 128 };

struct filter_describe {
  const struct vdb_filter *filter;
  const struct vdb_schema *schema;
  struct vdb_writer *out;
};

static void filter_describe_node(const struct filter_describe *d, uint32_t at, int above);

static void filter_describe_put(const struct filter_describe *d, const char *text) {
  vdb_write_bytes(d->out, text, strlen(text));
}

static void filter_describe_field(const struct filter_describe *d, uint32_t field) {
  filter_describe_put(d, d->schema->fields[field].name);
}

static void filter_describe_text(const struct filter_describe *d, struct filter_text text) {
  static const char hex[] = "0123456789abcdef";
  const uint8_t *bytes = d->filter->pool.data + text.offset;
  uint32_t n = vdb_min_u32(text.length, FILTER_DESCRIBE_TEXT);
  while (n < text.length && n > 0 && (bytes[n] & 0xc0) == 0x80)
    n--;
  vdb_write_u8(d->out, '"');
  for (uint32_t i = 0; i < n; i++) {
    if (bytes[i] == '"' || bytes[i] == '\\') {
      vdb_write_u8(d->out, '\\');
      vdb_write_u8(d->out, bytes[i]);
    } else if (bytes[i] < 0x20) {
      char escape[6] = {'\\', 'u', '0', '0', hex[bytes[i] >> 4], hex[bytes[i] & 15]};
      vdb_write_bytes(d->out, escape, sizeof escape);
    } else {
      vdb_write_u8(d->out, bytes[i]);
    }
  }
  filter_describe_put(d, n < text.length ? "\"..." : "\"");
}

/* The shortest digits that read back as the same value; always with a point or an exponent. */
static void filter_describe_number(const struct filter_describe *d, double value, bool single) {
  char text[40];
  if (value - value != 0) /* what was beyond all floats */
    value = value > 0 ? 1e39 : -1e39;
  for (int digits = single ? 6 : 15; digits <= 17; digits++) {
    snprintf(text, sizeof text, "%.*g", digits, value);
    double back = strtod(text, NULL);
    if (back == value || (single && (float)back == (float)value))
      break;
  }
  bool real = false;
  for (char *c = text; *c; c++) {
    bool part = (*c >= '0' && *c <= '9') || *c == '-' || *c == '+' || (*c >= 'a' && *c <= 'z');
    real = real || !part || *c == 'e';
    *c = part ? *c : '.'; /* whatever the locale's decimal point is */
  }
  filter_describe_put(d, text);
  if (!real)
    filter_describe_put(d, ".0");
}

static void filter_describe_integer(const struct filter_describe *d, int64_t value) {
  char text[24];
  snprintf(text, sizeof text, "%lld", (long long)value);
  filter_describe_put(d, text);
}

static void filter_describe_scalar(const struct filter_describe *d, int type, bool single,
                                   union filter_scalar value) {
  if (type == FILTER_TEXT)
    filter_describe_text(d, value.text);
  else if (type == FILTER_DOUBLE)
    filter_describe_number(d, value.number, single);
  else if (type == FILTER_BOOL)
    filter_describe_put(d, value.integer ? "true" : "false");
  else
    filter_describe_integer(d, value.integer);
}

static void filter_describe_set(const struct filter_describe *d, const struct filter_set *set,
                                bool bare, bool single) {
  bare = bare && set->n == 1;
  filter_describe_put(d, bare ? "" : "[");
  for (uint32_t i = 0; i < vdb_min_u32(set->n, FILTER_DESCRIBE_MEMBERS); i++) {
    union filter_scalar value = {0};
    if (set->type == FILTER_TEXT)
      value.text = set->members[i].text;
    else if (set->type == FILTER_DOUBLE)
      value.number = vdb_filter_member_double(set->members[i].key);
    else
      value.integer = vdb_filter_member_int(set->members[i].key);
    if (i)
      filter_describe_put(d, ", ");
    filter_describe_scalar(d, set->type, single, value);
  }
  if (set->n > FILTER_DESCRIBE_MEMBERS) {
    filter_describe_put(d, ", ... of ");
    filter_describe_integer(d, set->n);
  }
  filter_describe_put(d, bare ? "" : "]");
}

/* The least value of an integer type; the greatest is -(it + 1). */
static int64_t filter_describe_least(int32_t type) {
  return -((int64_t)1 << (8 * vdb_type_width(type) - 2)) * 2;
}

/* `low <= field < high` in its shortest form. */
static void filter_describe_range(const struct filter_describe *d, const struct filter_node *node) {
  const struct vdb_field *field = &d->schema->fields[node->field];
  int type = vdb_filter_type_of(field->type);
  bool single = field->type == VECDB_FLOAT;
  bool low = node->has_low, high = node->has_high, equal = false;
  if (type == FILTER_DOUBLE) {
    low = node->low.number > -__builtin_inf();
    high = node->high.number < __builtin_inf();
    equal = node->low.number == node->high.number;
  } else if (type == FILTER_TEXT) {
    equal = low && high &&
            vdb_filter_compare_text(filter_text_bytes(d->filter->pool.data, node->low.text),
                                    filter_text_bytes(d->filter->pool.data, node->high.text)) == 0;
  } else {
    low = node->low.integer > filter_describe_least(field->type);
    high = node->high.integer < -(filter_describe_least(field->type) + 1);
    equal = node->low.integer == node->high.integer;
  }
  if (node->none || !(low || high)) {
    filter_describe_field(d, node->field);
    filter_describe_put(d, node->none == node->negate ? " not in []" : " in []");
    return;
  }
  if (equal) {
    filter_describe_field(d, node->field);
    filter_describe_put(d, node->negate ? " != " : " == ");
    filter_describe_scalar(d, type, single, node->low);
    return;
  }
  if (node->negate)
    filter_describe_put(d, "not (");
  if (low && high) {
    filter_describe_scalar(d, type, single, node->low);
    filter_describe_put(d, node->low_open ? " < " : " <= ");
    low = false;
  }
  filter_describe_field(d, node->field);
  filter_describe_put(d, low               ? (node->low_open ? " > " : " >= ")
                         : node->high_open ? " < "
                                           : " <= ");
  filter_describe_scalar(d, type, single, low ? node->low : node->high);
  if (node->negate)
    filter_describe_put(d, ")");
}

static void filter_describe_leaf(const struct filter_describe *d, const struct filter_node *node) {
  static const char *const functions[] = {"array_contains", "array_contains_all",
                                          "array_contains_any"};
  if (node->op == FILTER_OP_NULLS) {
    filter_describe_field(d, node->field);
    filter_describe_put(d, node->negate ? " is not null" : " is null");
  } else if (node->op == FILTER_OP_CONTAINS) {
    if (node->negate)
      filter_describe_put(d, "not ");
    bool none = node->cmp == FILTER_CONTAINS_ONE && d->filter->sets[node->index].n == 0;
    filter_describe_put(d, functions[none ? FILTER_CONTAINS_ANY : node->cmp]);
    filter_describe_put(d, "(");
    filter_describe_field(d, node->field);
    filter_describe_put(d, ", ");
    filter_describe_set(d, &d->filter->sets[node->index], node->cmp == FILTER_CONTAINS_ONE,
                        d->schema->fields[node->field].element_type == VECDB_FLOAT);
    filter_describe_put(d, ")");
  } else {
    const struct filter_node *left = &d->filter->nodes[node->left];
    filter_describe_node(d, node->left, FILTER_OP_NOT);
    filter_describe_put(d, node->negate ? " not" : "");
    filter_describe_put(d, node->op == FILTER_OP_IN ? " in " : " like ");
    if (node->op == FILTER_OP_IN)
      filter_describe_set(d, &d->filter->sets[node->index], false, left->single);
    else
      filter_describe_text(d, d->filter->likes[node->index].source);
  }
}

static void filter_describe_between(const struct filter_describe *d, const struct filter_node *node,
                                    const char *between) {
  filter_describe_node(d, node->left, node->op);
  filter_describe_put(d, between);
  filter_describe_node(d, node->right, node->op);
}

static void filter_describe_group(const struct filter_describe *d, const struct filter_node *node) {
  for (uint32_t i = node->left; i != FILTER_NONE; i = d->filter->nodes[i].next) {
    filter_describe_node(d, i, node->op);
    if (d->filter->nodes[i].next != FILTER_NONE)
      filter_describe_put(d, node->op == FILTER_OP_AND ? " and " : " or ");
  }
}

static void filter_describe_const(const struct filter_describe *d, const struct filter_node *node) {
  if (node->known)
    filter_describe_scalar(d, node->type, node->single, node->low);
  else
    filter_describe_put(d, node->type == FILTER_BOOL ? "unknown" : "(1 / 0)");
}

static void filter_describe_json(const struct filter_describe *d, const struct filter_node *node) {
  static const char *const calls[] = {"array_contains(", "array_contains_all(",
                                      "array_contains_any(", "", "", "array_length("};
  filter_describe_put(d, calls[node->cmp]);
  filter_describe_field(d, node->field);
  for (uint32_t i = node->right; i != FILTER_NONE; i = d->filter->nodes[i].next) {
    const struct filter_node *step = &d->filter->nodes[i];
    filter_describe_put(d, "[");
    filter_describe_scalar(d, step->type, false, step->low);
    filter_describe_put(d, "]");
  }
  if (node->cmp == FILTER_JSON_NULL)
    filter_describe_put(d, node->negate ? " is not null" : " is null");
  if (node->cmp <= FILTER_JSON_ANY) {
    filter_describe_put(d, ", ");
    filter_describe_set(d, &d->filter->sets[node->index], node->cmp == FILTER_JSON_ONE, false);
  }
  if (*calls[node->cmp])
    filter_describe_put(d, ")");
}

static void filter_describe_operator(const struct filter_describe *d,
                                     const struct filter_node *node) {
  static const char *const arithmetic[] = {" + ", " - ", " * ", " / ", " % ", " ** "};
  static const char *const comparisons[] = {" == ", " != ", " < ", " <= ", " > ", " >= "};
  switch (node->op) {
  case FILTER_OP_ELEMENT:
    filter_describe_field(d, node->field);
    filter_describe_put(d, "[");
    filter_describe_integer(d, node->low.integer);
    filter_describe_put(d, "]");
    break;
  case FILTER_OP_LENGTH:
    filter_describe_put(d, "array_length(");
    filter_describe_field(d, node->field);
    filter_describe_put(d, ")");
    break;
  case FILTER_OP_JSON:
    filter_describe_json(d, node);
    break;
  case FILTER_OP_MINUS:
    filter_describe_put(d, "-");
    filter_describe_node(d, node->left, node->op);
    break;
  case FILTER_OP_NOT:
    filter_describe_put(d, "not ");
    filter_describe_node(d, node->left, node->op);
    break;
  case FILTER_OP_CMP:
    filter_describe_between(d, node, comparisons[node->cmp]);
    break;
  default:
    filter_describe_between(d, node, arithmetic[node->op - FILTER_OP_ADD]);
    break;
  }
}

/* `above` is the operator whose operand this is: operators inside others get parentheses. */
static void filter_describe_node(const struct filter_describe *d, uint32_t at, int above) {
  const struct filter_node *node = &d->filter->nodes[at];
  bool wraps = node->op >= FILTER_OP_MINUS && node->op <= FILTER_OP_NOT;
  bool leaf = node->op >= FILTER_OP_IN;
  bool grouped = (above == FILTER_OP_AND || above == FILTER_OP_OR) && node->op != FILTER_OP_AND &&
                 node->op != FILTER_OP_OR;
  bool wrap = (wraps || leaf) && above != FILTER_OP_CONST && !grouped;
  if (wrap)
    filter_describe_put(d, "(");
  if (node->op == FILTER_OP_AND || node->op == FILTER_OP_OR)
    filter_describe_group(d, node);
  else if (node->op == FILTER_OP_RANGE)
    filter_describe_range(d, node);
  else if (leaf)
    filter_describe_leaf(d, node);
  else if (node->op == FILTER_OP_CONST)
    filter_describe_const(d, node);
  else if (node->op == FILTER_OP_FIELD)
    filter_describe_field(d, node->field);
  else
    filter_describe_operator(d, node);
  if (wrap)
    filter_describe_put(d, ")");
}

VDB_INTERNAL void vdb_filter_describe(const struct vdb_filter *filter,
                                      const struct vdb_schema *schema, struct vdb_writer *out) {
  struct filter_describe d = {filter, schema, out};
  int above = filter && filter->also ? FILTER_OP_NOT : FILTER_OP_CONST;
  if (!filter)
    filter_describe_put(&d, "all rows");
  for (; d.filter; d.filter = d.filter->also) {
    filter_describe_node(&d, d.filter->root, above);
    if (d.filter->also)
      filter_describe_put(&d, " and ");
  }
}
