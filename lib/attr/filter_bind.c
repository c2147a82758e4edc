/*
 * filter_bind.c - gives an unbound tree its meaning: names become fields, parameters constants,
 * types are checked, constants folded, and comparisons of a field with constants become leaves that
 * columns and indexes answer. Works on the nodes in place; recursion is bounded by the height of
 * the tree.
 */
#include <stdio.h>

#include "attr/filter_tree.h"

enum { FILTER_BIND_NEAR = 64, FILTER_BIND_COSTS = 3 };

static int filter_bind_value(struct filter_binding *b, uint32_t at);
static int filter_bind_truth(struct filter_binding *b, uint32_t at);

static struct filter_node *filter_bind_at(const struct filter_binding *b, uint32_t at) {
  return &b->filter->nodes[at];
}

VDB_INTERNAL uint8_t vdb_filter_type_of(int32_t type) {
  if (type == VECDB_BOOL)
    return FILTER_BOOL;
  if (vdb_type_is_integer(type))
    return FILTER_INT;
  if (type == VECDB_FLOAT || type == VECDB_DOUBLE)
    return FILTER_DOUBLE;
  if (type == VECDB_VARCHAR)
    return FILTER_TEXT;
  if (type == VECDB_JSON)
    return FILTER_UNTYPED;
  return type == VECDB_ARRAY ? FILTER_ARRAY : 0;
}

VDB_INTERNAL const char *vdb_filter_type_name(int type) {
  static const char *const names[] = {"a vector", "a truth value", "an integer",  "a number",
                                      "text",     "an array",      "a JSON value"};
  vdb_assert(type >= 0 && type <= FILTER_UNTYPED);
  return names[type];
}

VDB_INTERNAL int vdb_filter_pool(struct filter_binding *b, const void *text, size_t n, uint32_t pos,
                                 struct filter_text *out) {
  struct vdb_writer *pool = &b->filter->pool;
  if (n > FILTER_MAX_POOL - pool->n)
    return vdb_fail_pos(b->err, VECDB_ERR_LIMIT, pos, "the texts of the filter are over %u bytes",
                        FILTER_MAX_POOL);
  out->offset = (uint32_t)pool->n;
  out->length = (uint32_t)n;
  vdb_write_bytes(pool, text, n);
  return pool->failed ? vdb_fail_memory(b->err) : VECDB_OK;
}

/* Edits (insert, delete, replace) from one name to the other, letter case aside. */
static uint32_t filter_bind_distance(const char *a, size_t na, const char *b, size_t nb) {
  uint8_t row[FILTER_BIND_NEAR + 1];
  for (size_t j = 0; j <= nb; j++)
    row[j] = (uint8_t)j;
  for (size_t i = 1; i <= na; i++) {
    uint8_t diagonal = row[0];
    row[0] = (uint8_t)i;
    for (size_t j = 1; j <= nb; j++) {
      bool same =
          a[i - 1] == b[j - 1] || ((a[i - 1] ^ b[j - 1]) == 0x20 && (a[i - 1] | 0x20) != '\x7f');
      uint32_t best = diagonal + (same ? 0u : 1u);
      best = vdb_min_u32(best, vdb_min_u32(row[j], row[j - 1]) + 1u);
      diagonal = row[j];
      row[j] = (uint8_t)best;
    }
  }
  return row[nb];
}

static int filter_bind_unknown(struct filter_binding *b, const struct filter_node *name) {
  const char *text = b->text + name->low.text.offset;
  size_t n = name->low.text.length;
  const char *near = NULL;
  uint32_t best = (uint32_t)((n + 1) / 3) + 1;
  for (uint32_t i = 0; n <= FILTER_BIND_NEAR && i < b->schema->n_public; i++) {
    size_t other = strlen(b->schema->fields[i].name);
    if (other > FILTER_BIND_NEAR)
      continue;
    uint32_t distance = filter_bind_distance(text, n, b->schema->fields[i].name, other);
    if (distance < best) {
      best = distance;
      near = b->schema->fields[i].name;
    }
  }
  int cut = (int)(n > FILTER_BIND_NEAR ? FILTER_BIND_NEAR : n);
  vdb_fail_pos(b->err, VECDB_ERR_UNKNOWN_FIELD, name->pos, "unknown field '%.*s'%s%s%s%s", cut,
               text, (size_t)cut < n ? "..." : "", near ? "; did you mean '" : "", near ? near : "",
               near ? "'?" : "");
  snprintf(b->err->field, sizeof b->err->field, "%.*s", cut, text);
  return VECDB_ERR_UNKNOWN_FIELD;
}

/* The field that a NAME node means. */
static int filter_bind_field(struct filter_binding *b, uint32_t at, uint32_t *field) {
  const struct filter_node *node = filter_bind_at(b, at);
  int found = vdb_schema_find(b->schema, b->text + node->low.text.offset, node->low.text.length);
  if (found < 0)
    return filter_bind_unknown(b, node);
  *field = (uint32_t)found;
  b->filter->reads[*field / 64] |= (uint64_t)1 << (*field % 64);
  return VECDB_OK;
}

static int filter_bind_fail_field(struct filter_binding *b, uint32_t pos, uint32_t field,
                                  const char *need) {
  const char *name = b->schema->fields[field].name;
  vdb_fail_pos(b->err, VECDB_ERR_TYPE, pos, "%s, and field '%s' is %s", need, name,
               vdb_filter_type_name(vdb_filter_type_of(b->schema->fields[field].type)));
  snprintf(b->err->field, sizeof b->err->field, "%s", name);
  return VECDB_ERR_TYPE;
}

/* The ARRAY field that the NAME node `name` must be. */
static int filter_bind_array(struct filter_binding *b, uint32_t name, const char *need,
                             uint32_t *field) {
  uint32_t pos = filter_bind_at(b, name)->pos;
  if (filter_bind_at(b, name)->op != FILTER_OP_NAME)
    return vdb_fail_pos(b->err, VECDB_ERR_TYPE, pos, "%s", need);
  VDB_TRY(filter_bind_field(b, name, field));
  if (b->schema->fields[*field].type != VECDB_ARRAY)
    return filter_bind_fail_field(b, pos, *field, need);
  return VECDB_OK;
}

VDB_INTERNAL const vecdb_param *vdb_filter_param(struct filter_binding *b, struct filter_text name,
                                                 uint32_t pos) {
  const char *text = b->text + name.offset;
  for (size_t i = 0; i < b->n_params; i++)
    if (b->params[i].name && strncmp(b->params[i].name, text, name.length) == 0 &&
        b->params[i].name[name.length] == '\0') {
      vdb_bit_set(b->used, i);
      return &b->params[i];
    }
  vdb_fail_pos(b->err, VECDB_ERR_FILTER_PARAM, pos, "parameter {%.*s} has no value",
               (int)vdb_min_u32(name.length, FILTER_BIND_NEAR), text);
  return NULL;
}

static int filter_bind_param(struct filter_binding *b, uint32_t at) {
  struct filter_node *node = filter_bind_at(b, at);
  const vecdb_param *param = vdb_filter_param(b, node->low.text, node->pos);
  if (!param)
    return VECDB_ERR_FILTER_PARAM;
  const vecdb_value *value = &param->value;
  uint8_t type = value->type == 0 ? 0 : vdb_filter_type_of(value->type);
  const char *fault = value->type == 0 ? "is null; write 'field is null'" : NULL;
  if (value->type < 0 || value->type > VECDB_ARRAY || (value->type != 0 && type == 0))
    fault = "has an unknown type";
  else if (type == FILTER_ARRAY)
    fault = "is an array, which only 'in' and array functions take";
  else if (type == FILTER_DOUBLE && !(value->as.number - value->as.number == 0))
    fault = "is not finite";
  else if (type == FILTER_TEXT && !value->as.data && value->length)
    fault = "has no data";
  if (fault)
    return vdb_fail_pos(b->err, VECDB_ERR_FILTER_PARAM, node->pos, "parameter {%.64s} %s",
                        param->name, fault);
  node->op = FILTER_OP_CONST;
  node->type = type;
  node->known = node->from_param = true;
  if (type == FILTER_BOOL)
    node->low.integer = value->as.boolean;
  else if (type == FILTER_INT)
    node->low.integer = value->as.integer;
  else if (type == FILTER_DOUBLE)
    node->low.number = value->as.number;
  else if (!vdb_utf8_valid(value->as.data, value->length))
    return vdb_fail_pos(b->err, VECDB_ERR_UTF8, node->pos, "parameter {%.64s} is not valid UTF-8",
                        param->name);
  else
    return vdb_filter_pool(b, value->as.data, value->length, node->pos, &node->low.text);
  return VECDB_OK;
}

/* Makes node `at` what node `from` is; its place in a list stays. */
static void filter_bind_become(struct filter_binding *b, uint32_t at, uint32_t from) {
  uint32_t next = filter_bind_at(b, at)->next;
  *filter_bind_at(b, at) = *filter_bind_at(b, from);
  filter_bind_at(b, at)->next = next;
}

static void filter_bind_become_truth(struct filter_binding *b, uint32_t at, bool known,
                                     bool value) {
  struct filter_node *node = filter_bind_at(b, at);
  node->op = FILTER_OP_CONST;
  node->type = FILTER_BOOL;
  node->known = known;
  node->negate = false;
  node->low.integer = value;
}

/* Replaces a node over constants by its value. */
static void filter_bind_fold(struct filter_binding *b, uint32_t at) {
  struct filter_node *node = filter_bind_at(b, at);
  struct filter_value value = vdb_filter_value(b->filter, at, NULL, 0);
  node->op = FILTER_OP_CONST;
  node->known = value.known;
  node->negate = false;
  node->from_param = false;
  if (node->type == FILTER_DOUBLE)
    node->low.number = value.as.number;
  else
    node->low.integer = value.as.integer;
}

/* The vecdb_type of the field that a NAME names, or that is looked into; 0 when there is none. */
static int32_t filter_bind_type(const struct filter_binding *b, uint32_t at) {
  while (filter_bind_at(b, at)->op == FILTER_OP_ELEMENT)
    at = filter_bind_at(b, at)->left;
  const struct filter_node *name = filter_bind_at(b, at);
  if (name->op != FILTER_OP_NAME)
    return 0;
  int field = vdb_schema_find(b->schema, b->text + name->low.text.offset, name->low.text.length);
  return field < 0 ? 0 : b->schema->fields[field].type;
}

/* Whether what stands there is JSON: of a JSON field, or of a VARCHAR field, then taken for it. */
static bool filter_bind_is_json(const struct filter_binding *b, uint32_t at) {
  return vdb_type_is_text(filter_bind_type(b, at));
}

/* Makes node `at` a JSON node over the place `from`, `f["key"][0]` and so on. */
static int filter_bind_json(struct filter_binding *b, uint32_t at, uint32_t from,
                            enum filter_json_what what, int type) {
  uint32_t first = FILTER_NONE, field;
  while (filter_bind_at(b, from)->op == FILTER_OP_ELEMENT) {
    uint32_t step = filter_bind_at(b, from)->right;
    VDB_TRY(filter_bind_value(b, step));
    struct filter_node *place = filter_bind_at(b, step);
    if (place->op != FILTER_OP_CONST || !place->known ||
        (place->type != FILTER_TEXT && (place->type != FILTER_INT || place->low.integer < 0)))
      return vdb_fail_pos(b->err, VECDB_ERR_TYPE, place->pos,
                          "a place in JSON is named by a constant text or integer from 0");
    place->next = first;
    first = step;
    from = filter_bind_at(b, from)->left;
  }
  VDB_TRY(filter_bind_field(b, from, &field));
  struct filter_node *node = filter_bind_at(b, at);
  node->op = FILTER_OP_JSON;
  node->field = field;
  node->right = first;
  node->cmp = (uint8_t)what;
  node->type = (uint8_t)type;
  return VECDB_OK;
}

static int filter_bind_name(struct filter_binding *b, uint32_t at) {
  uint32_t field;
  if (filter_bind_type(b, at) == VECDB_JSON)
    return filter_bind_json(b, at, at, FILTER_JSON_VALUE, FILTER_UNTYPED);
  VDB_TRY(filter_bind_field(b, at, &field));
  struct filter_node *node = filter_bind_at(b, at);
  node->op = FILTER_OP_FIELD;
  node->field = field;
  node->type = vdb_filter_type_of(b->schema->fields[field].type);
  node->single = b->schema->fields[field].type == VECDB_FLOAT;
  if (node->type == 0)
    return filter_bind_fail_field(b, node->pos, field, "filters work on scalar fields");
  return VECDB_OK;
}

/* What a JSON value is taken as; others have their type. */
static void filter_bind_as(struct filter_binding *b, uint32_t at, int type) {
  struct filter_node *node = filter_bind_at(b, at);
  if (node->type == FILTER_UNTYPED)
    node->type = (uint8_t)type;
}

static int filter_bind_element(struct filter_binding *b, uint32_t at) {
  uint32_t field, right = filter_bind_at(b, at)->right;
  if (filter_bind_is_json(b, at))
    return filter_bind_json(b, at, at, FILTER_JSON_VALUE, FILTER_UNTYPED);
  VDB_TRY(filter_bind_array(b, filter_bind_at(b, at)->left,
                            "[ ] is for an ARRAY or JSON field, or for JSON in VARCHAR", &field));
  VDB_TRY(filter_bind_value(b, right));
  const struct filter_node *place = filter_bind_at(b, right);
  if (place->op != FILTER_OP_CONST || place->type != FILTER_INT || !place->known ||
      place->low.integer < 0)
    return vdb_fail_pos(b->err, VECDB_ERR_TYPE, place->pos,
                        "an array's element is named by a constant integer from 0");
  struct filter_node *node = filter_bind_at(b, at);
  node->field = field;
  node->low.integer = place->low.integer;
  node->type = vdb_filter_type_of(b->schema->fields[field].element_type);
  node->single = b->schema->fields[field].element_type == VECDB_FLOAT;
  return VECDB_OK;
}

static int filter_bind_fail_operand(struct filter_binding *b, uint32_t operand, const char *need) {
  const struct filter_node *node = filter_bind_at(b, operand);
  if (node->op == FILTER_OP_FIELD)
    return filter_bind_fail_field(b, node->pos, node->field, need);
  return vdb_fail_pos(b->err, node->from_param ? VECDB_ERR_FILTER_PARAM : VECDB_ERR_TYPE, node->pos,
                      "%s, and this is %s", need, vdb_filter_type_name(node->type));
}

static bool filter_bind_numeric(const struct filter_node *node) {
  return node->type == FILTER_INT || node->type == FILTER_DOUBLE;
}

static int filter_bind_arithmetic(struct filter_binding *b, uint32_t at) {
  uint32_t operands[2] = {filter_bind_at(b, at)->left, filter_bind_at(b, at)->right};
  bool integers = true, constant = true;
  int op = filter_bind_at(b, at)->op;
  for (int i = 0; i < 2 && operands[i] != FILTER_NONE; i++) {
    VDB_TRY(filter_bind_value(b, operands[i]));
    filter_bind_as(b, operands[i], op == FILTER_OP_MOD ? FILTER_INT : FILTER_DOUBLE);
    const struct filter_node *operand = filter_bind_at(b, operands[i]);
    if (!filter_bind_numeric(operand))
      return filter_bind_fail_operand(b, operands[i], "arithmetic takes numbers");
    if (op == FILTER_OP_MOD && operand->type != FILTER_INT)
      return filter_bind_fail_operand(b, operands[i], "% takes integers");
    integers = integers && operand->type == FILTER_INT;
    constant = constant && operand->op == FILTER_OP_CONST;
  }
  struct filter_node *node = filter_bind_at(b, at);
  node->type = integers && op != FILTER_OP_POW ? FILTER_INT : FILTER_DOUBLE;
  if (op == FILTER_OP_PLUS)
    filter_bind_become(b, at, operands[0]);
  else if (constant)
    filter_bind_fold(b, at);
  return VECDB_OK;
}

/* A copy of a constant, rounded to float, where it meets FLOAT values. */
static int filter_bind_single(struct filter_binding *b, uint32_t *operand) {
  uint32_t copy;
  VDB_TRY(vdb_filter_node(b->mem, b->filter, FILTER_OP_CONST, filter_bind_at(b, *operand)->pos,
                          &copy, b->err));
  filter_bind_become(b, copy, *operand);
  struct filter_node *node = filter_bind_at(b, copy);
  node->low.number =
      (double)(node->type == FILTER_INT ? (float)node->low.integer : (float)node->low.number);
  node->type = FILTER_DOUBLE;
  node->single = true;
  *operand = copy;
  return VECDB_OK;
}

static int filter_bind_mismatch(struct filter_binding *b, uint32_t at,
                                const struct filter_node *left, const struct filter_node *right) {
  const struct filter_node *node = filter_bind_at(b, at);
  const struct filter_node *param = left->from_param ? left : right;
  int code = param->from_param ? VECDB_ERR_FILTER_PARAM : VECDB_ERR_TYPE;
  const struct filter_node *field = left->op == FILTER_OP_FIELD ? left : right;
  const char *name = field->op == FILTER_OP_FIELD ? b->schema->fields[field->field].name : "";
  if (left->type == right->type && left->type == FILTER_BOOL)
    vdb_fail_pos(b->err, code, node->pos, "truth values have no order; compare them with == or !=");
  else if (left->type == FILTER_UNTYPED)
    vdb_fail_pos(b->err, code, node->pos,
                 "two JSON values are not compared: a constant or field says what they are");
  else if (left->type == FILTER_ARRAY || right->type == FILTER_ARRAY)
    vdb_fail_pos(b->err, code, node->pos,
                 "arrays are not compared; use array_contains and the like");
  else if (*name)
    vdb_fail_pos(b->err, code, param->from_param ? param->pos : node->pos,
                 "field '%s' is %s and cannot be compared with %s", name,
                 vdb_filter_type_name(field->type),
                 vdb_filter_type_name(field == left ? right->type : left->type));
  else
    vdb_fail_pos(b->err, code, param->from_param ? param->pos : node->pos,
                 "%s cannot be compared with %s", vdb_filter_type_name(left->type),
                 vdb_filter_type_name(right->type));
  snprintf(b->err->field, sizeof b->err->field, "%s", name);
  return code;
}

static int filter_bind_compare(struct filter_binding *b, uint32_t at) {
  static const uint8_t mirrored[] = {FILTER_EQ, FILTER_NE, FILTER_GT,
                                     FILTER_GE, FILTER_LT, FILTER_LE};
  uint32_t operands[2] = {filter_bind_at(b, at)->left, filter_bind_at(b, at)->right};
  VDB_TRY(filter_bind_value(b, operands[0]));
  VDB_TRY(filter_bind_value(b, operands[1]));
  const struct filter_node *left = filter_bind_at(b, operands[0]);
  const struct filter_node *right = filter_bind_at(b, operands[1]);
  filter_bind_as(b, operands[0], right->type == FILTER_INT ? FILTER_DOUBLE : right->type);
  filter_bind_as(b, operands[1], left->type == FILTER_INT ? FILTER_DOUBLE : left->type);
  struct filter_node *node = filter_bind_at(b, at);
  uint8_t cmp = node->cmp;
  bool fits = (filter_bind_numeric(left) && filter_bind_numeric(right)) ||
              (left->type == FILTER_TEXT && right->type == FILTER_TEXT) ||
              (left->type == FILTER_BOOL && right->type == FILTER_BOOL && cmp <= FILTER_NE);
  if (!fits)
    return filter_bind_mismatch(b, at, left, right);
  node->type = FILTER_BOOL;
  bool constant[2] = {left->op == FILTER_OP_CONST, right->op == FILTER_OP_CONST};
  if ((constant[0] && !left->known) || (constant[1] && !right->known)) {
    filter_bind_become_truth(b, at, false, false);
  } else if (constant[0] && constant[1]) {
    filter_bind_fold(b, at);
  } else if (left->op == FILTER_OP_FIELD && constant[1]) {
    vdb_filter_range(b->filter, b->schema->fields[left->field].type, at, left->field, operands[1],
                     cmp);
  } else if (right->op == FILTER_OP_FIELD && constant[0]) {
    vdb_filter_range(b->filter, b->schema->fields[right->field].type, at, right->field,
                     operands[0], mirrored[cmp]);
  } else if ((left->single && constant[1]) || (right->single && constant[0])) {
    VDB_TRY(filter_bind_single(b, &operands[constant[1] ? 1 : 0]));
    filter_bind_at(b, at)->left = operands[0];
    filter_bind_at(b, at)->right = operands[1];
  } else {
    return vdb_filter_path_bind(b, at);
  }
  return VECDB_OK;
}

/* The vecdb_type of what is looked up in a list: the stored type where it is one. */
static int32_t filter_bind_stored(const struct filter_binding *b, const struct filter_node *node) {
  static const int32_t types[] = {0, VECDB_BOOL, VECDB_INT64, VECDB_DOUBLE, VECDB_VARCHAR, 0, 0};
  if (node->op == FILTER_OP_FIELD)
    return b->schema->fields[node->field].type;
  if (node->op == FILTER_OP_ELEMENT)
    return b->schema->fields[node->field].element_type;
  return types[node->type];
}

/* Builds the set of a node with a list. */
static int filter_bind_list(struct filter_binding *b, uint32_t at, int32_t column_type) {
  const struct filter_node *node = filter_bind_at(b, at);
  struct filter_list list = {column_type, NULL, node->n_items, NULL, node->pos};
  if (node->from_param) {
    const vecdb_param *param = vdb_filter_param(b, node->low.text, node->pos);
    if (!param)
      return VECDB_ERR_FILTER_PARAM;
    list.array = &param->value;
  } else if (node->n_items) {
    list.items = b->filter->items + node->index;
  }
  uint32_t set;
  VDB_TRY(vdb_filter_set_build(b, &list, &set));
  filter_bind_at(b, at)->index = set;
  filter_bind_at(b, at)->from_param = false;
  return VECDB_OK;
}

static int filter_bind_item_type(struct filter_binding *b, const struct filter_item *item) {
  if (item->type != FILTER_PARAMETER)
    return item->type;
  const vecdb_param *param = vdb_filter_param(b, item->value.text, item->pos);
  /* building the set finds that there is none, too */
  return param ? vdb_filter_type_of(param->value.type) : FILTER_DOUBLE;
}

/* As what JSON values are taken that are looked up in a node's list: its first element says, and
   of numbers all do, so that integers are compared as such. */
static int filter_bind_list_type(struct filter_binding *b, uint32_t at) {
  const struct filter_node *node = filter_bind_at(b, at);
  int type = FILTER_DOUBLE;
  if (node->from_param) {
    const vecdb_param *param = vdb_filter_param(b, node->low.text, node->pos);
    type = param ? vdb_filter_type_of(param->value.element_type) : FILTER_DOUBLE;
  }
  for (uint32_t i = 0; !node->from_param && i < node->n_items; i++) {
    int item = filter_bind_item_type(b, &b->filter->items[node->index + i]);
    type = i == 0 || item == FILTER_DOUBLE ? item : type;
    if (type != FILTER_INT)
      break;
  }
  return type == FILTER_BOOL || type == FILTER_TEXT || type == FILTER_INT ? type : FILTER_DOUBLE;
}

static int filter_bind_in(struct filter_binding *b, uint32_t at) {
  uint32_t left = filter_bind_at(b, at)->left;
  VDB_TRY(filter_bind_value(b, left));
  filter_bind_as(b, left, filter_bind_list_type(b, at));
  if (filter_bind_at(b, left)->type == FILTER_ARRAY)
    return filter_bind_fail_operand(b, left, "'in' takes a scalar");
  VDB_TRY(filter_bind_list(b, at, filter_bind_stored(b, filter_bind_at(b, left))));
  struct filter_node *node = filter_bind_at(b, at);
  node->type = FILTER_BOOL;
  if (filter_bind_at(b, left)->op == FILTER_OP_FIELD)
    node->field = filter_bind_at(b, left)->field;
  if (filter_bind_at(b, left)->op == FILTER_OP_CONST)
    filter_bind_fold(b, at);
  return filter_bind_at(b, at)->op == FILTER_OP_IN ? vdb_filter_path_bind(b, at) : VECDB_OK;
}

static int filter_bind_like(struct filter_binding *b, uint32_t at) {
  uint32_t left = filter_bind_at(b, at)->left, right = filter_bind_at(b, at)->right;
  VDB_TRY(filter_bind_value(b, left));
  VDB_TRY(filter_bind_value(b, right));
  filter_bind_as(b, left, FILTER_TEXT);
  if (filter_bind_at(b, left)->type != FILTER_TEXT)
    return filter_bind_fail_operand(b, left, "'like' takes text");
  if (filter_bind_at(b, right)->type != FILTER_TEXT)
    return filter_bind_fail_operand(b, right, "a pattern is text");
  uint32_t like = 0;
  VDB_TRY(vdb_filter_like_build(b, filter_bind_at(b, right)->low.text,
                                filter_bind_at(b, right)->pos, &like));
  struct filter_node *node = filter_bind_at(b, at);
  node->type = FILTER_BOOL;
  node->index = like;
  if (filter_bind_at(b, left)->op == FILTER_OP_CONST)
    filter_bind_fold(b, at);
  if (filter_bind_at(b, left)->op == FILTER_OP_JSON)
    return vdb_filter_path_bind(b, at);
  if (filter_bind_at(b, left)->op != FILTER_OP_FIELD)
    return VECDB_OK;
  node->field = filter_bind_at(b, left)->field;
  bool whole, exact;
  struct filter_text prefix = vdb_filter_like_prefix(&b->filter->likes[like], &whole, &exact);
  if (exact) { /* no wildcards: equality, which every kind of index answers */
    node->op = FILTER_OP_RANGE;
    node->has_low = node->has_high = true;
    node->low.text = node->high.text = prefix;
  }
  return VECDB_OK;
}

static int filter_bind_nulls(struct filter_binding *b, uint32_t at) {
  struct filter_node *node = filter_bind_at(b, at);
  bool inside = filter_bind_at(b, node->left)->op == FILTER_OP_ELEMENT;
  if (filter_bind_type(b, node->left) == VECDB_JSON ||
      (inside && filter_bind_is_json(b, node->left)))
    return filter_bind_json(b, at, node->left, FILTER_JSON_NULL, FILTER_BOOL);
  if (filter_bind_at(b, node->left)->op != FILTER_OP_NAME)
    return vdb_fail_pos(b->err, VECDB_ERR_TYPE, node->pos, "'is null' and 'exists' take a field");
  VDB_TRY(filter_bind_value(b, node->left));
  node->field = filter_bind_at(b, node->left)->field;
  node->type = FILTER_BOOL;
  return VECDB_OK;
}

/* The set of an array function, over elements of a vecdb_type; 0: of JSON, as the constants are. */
static int filter_bind_wanted(struct filter_binding *b, uint32_t at, int32_t element) {
  static const int32_t types[] = {0, VECDB_BOOL, VECDB_INT64, VECDB_DOUBLE, VECDB_VARCHAR, 0, 0};
  uint32_t right = filter_bind_at(b, at)->right;
  if (filter_bind_at(b, at)->cmp == FILTER_CONTAINS_ONE) {
    VDB_TRY(filter_bind_value(b, right));
    const struct filter_node *value = filter_bind_at(b, right);
    if (value->op != FILTER_OP_CONST || !value->known)
      return vdb_fail_pos(b->err, VECDB_ERR_TYPE, value->pos,
                          "array_contains looks for a constant");
    element = element ? element : types[value->type];
    struct filter_item item = {value->pos, value->type, value->low};
    struct filter_list list = {element, &item, 1, NULL, value->pos};
    uint32_t set;
    int rc = vdb_filter_set_build(b, &list, &set);
    if (rc == VECDB_ERR_TYPE && value->from_param)
      rc = b->err->code = VECDB_ERR_FILTER_PARAM;
    VDB_TRY(rc);
    filter_bind_at(b, at)->index = set;
    return VECDB_OK;
  }
  return filter_bind_list(b, at, element ? element : types[filter_bind_list_type(b, at)]);
}

static int filter_bind_contains(struct filter_binding *b, uint32_t at) {
  uint32_t field, left = filter_bind_at(b, at)->left;
  bool json = filter_bind_is_json(b, left);
  if (!json)
    VDB_TRY(filter_bind_array(b, left, "the function takes an ARRAY or JSON field",
                              &field));
  VDB_TRY(filter_bind_wanted(b, at, json ? 0 : b->schema->fields[field].element_type));
  struct filter_node *node = filter_bind_at(b, at);
  struct filter_set *set = &b->filter->sets[node->index];
  if (node->cmp == FILTER_CONTAINS_ALL && set->dropped) { /* no array holds all: as any of none */
    node->cmp = FILTER_CONTAINS_ANY;
    set->n = 0;
  }
  if (json)
    return filter_bind_json(b, at, left, (enum filter_json_what)node->cmp, FILTER_BOOL);
  node->field = field;
  node->type = FILTER_BOOL;
  return VECDB_OK;
}

static int filter_bind_length(struct filter_binding *b, uint32_t at) {
  uint32_t field, left = filter_bind_at(b, at)->left;
  if (filter_bind_is_json(b, left))
    return filter_bind_json(b, at, left, FILTER_JSON_LENGTH, FILTER_INT);
  VDB_TRY(filter_bind_array(b, left, "array_length takes an ARRAY or JSON field",
                            &field));
  filter_bind_at(b, at)->field = field;
  filter_bind_at(b, at)->type = FILTER_INT;
  return VECDB_OK;
}

static int filter_bind_not(struct filter_binding *b, uint32_t at) {
  uint32_t left = filter_bind_at(b, at)->left;
  VDB_TRY(filter_bind_truth(b, left));
  filter_bind_at(b, at)->type = FILTER_BOOL;
  switch (filter_bind_at(b, left)->op) {
  case FILTER_OP_CONST:
    filter_bind_fold(b, at);
    break;
  case FILTER_OP_NOT:
    filter_bind_become(b, at, filter_bind_at(b, left)->left);
    break;
  case FILTER_OP_IN:
  case FILTER_OP_LIKE:
  case FILTER_OP_NULLS:
  case FILTER_OP_CONTAINS:
  case FILTER_OP_RANGE:
    filter_bind_become(b, at, left);
    filter_bind_at(b, at)->negate = !filter_bind_at(b, at)->negate;
    break;
  default:
    break;
  }
  return VECDB_OK;
}

/* Operands of an AND or OR as they are kept, cheap ones first. */
struct filter_bind_group {
  uint32_t heads[FILTER_BIND_COSTS];
  uint32_t tails[FILTER_BIND_COSTS];
  /* AND: the range of each field and JSON path so far */
  uint32_t ranges[VECDB_MAX_FIELDS + VECDB_MAX_JSON_INDEXES];
  uint32_t n;
  bool decided; /* a false in an AND, a true in an OR */
  bool unknown; /* a constant that is unknown */
};

static uint32_t filter_bind_cost(const struct filter_binding *b, const struct filter_node *node) {
  if (node->op == FILTER_OP_NULLS || node->op == FILTER_OP_CONST)
    return 0;
  if (node->op == FILTER_OP_RANGE)
    return b->schema->fields[node->field].width ? 0 : 1;
  return node->op == FILTER_OP_IN && node->field != FILTER_NONE ? 1 : 2;
}

/* Joins an operand of an AND with the range of its field or JSON path so far; *done: it is in
   there. */
static int filter_bind_join(struct filter_binding *b, struct filter_bind_group *group,
                            uint32_t operand, bool *done) {
  const struct filter_node *node = filter_bind_at(b, operand);
  bool plain = node->op == FILTER_OP_RANGE && !node->negate;
  uint32_t field = plain ? node->field : vdb_filter_path_range(b->filter, operand);
  if (field == FILTER_NONE)
    return VECDB_OK;
  uint32_t *range = &group->ranges[field];
  if (*range == FILTER_NONE) {
    *range = operand;
    return VECDB_OK;
  }
  if (!plain)
    return vdb_filter_path_join(b, *range, operand, done);
  *done = true;
  vdb_filter_intersect(b->filter, b->schema->fields[field].type, filter_bind_at(b, *range), node);
  return VECDB_OK;
}

static int filter_bind_keep(struct filter_binding *b, struct filter_bind_group *group, int op,
                            uint32_t operand) {
  struct filter_node *node = filter_bind_at(b, operand);
  bool done = false;
  if (node->op == FILTER_OP_CONST) {
    bool decides = node->known && (node->low.integer != 0) == (op == FILTER_OP_OR);
    group->decided = group->decided || decides;
    if (node->known || group->unknown)
      return VECDB_OK;
    group->unknown = true;
  }
  if (op == FILTER_OP_AND)
    VDB_TRY(filter_bind_join(b, group, operand, &done));
  if (done)
    return VECDB_OK;
  node = filter_bind_at(b, operand);
  uint32_t cost = filter_bind_cost(b, node);
  if (group->heads[cost] == FILTER_NONE)
    group->heads[cost] = operand;
  else
    filter_bind_at(b, group->tails[cost])->next = operand;
  group->tails[cost] = operand;
  node->next = FILTER_NONE;
  group->n++;
  return VECDB_OK;
}

static int filter_bind_group(struct filter_binding *b, uint32_t at) {
  struct filter_bind_group group;
  int op = filter_bind_at(b, at)->op;
  memset(&group, 0xff, sizeof group);
  group.n = 0;
  group.decided = group.unknown = false;
  uint32_t next;
  for (uint32_t i = filter_bind_at(b, at)->left; i != FILTER_NONE; i = next) {
    next = filter_bind_at(b, i)->next;
    VDB_TRY(filter_bind_truth(b, i));
    if (filter_bind_at(b, i)->op != op) {
      VDB_TRY(filter_bind_keep(b, &group, op, i));
      continue;
    }
    uint32_t inner_next;
    for (uint32_t inner = filter_bind_at(b, i)->left; inner != FILTER_NONE; inner = inner_next) {
      inner_next = filter_bind_at(b, inner)->next;
      VDB_TRY(filter_bind_keep(b, &group, op, inner));
    }
  }
  filter_bind_at(b, at)->type = FILTER_BOOL;
  if (group.decided || group.n == 0) {
    filter_bind_become_truth(b, at, true, (op == FILTER_OP_OR) == group.decided);
    return VECDB_OK;
  }
  uint32_t head = FILTER_NONE;
  for (uint32_t cost = FILTER_BIND_COSTS; cost-- > 0;) {
    if (group.heads[cost] == FILTER_NONE)
      continue;
    filter_bind_at(b, group.tails[cost])->next = head;
    head = group.heads[cost];
  }
  filter_bind_at(b, at)->left = head;
  if (group.n == 1)
    filter_bind_become(b, at, head);
  return VECDB_OK;
}

/* Binds a node as a value of any type. Chains share operands, so a node may come by twice. */
static int filter_bind_value(struct filter_binding *b, uint32_t at) {
  struct filter_node *node = filter_bind_at(b, at);
  if (node->bound)
    return VECDB_OK;
  node->bound = true;
  switch (node->op) {
  case FILTER_OP_NAME:
    return filter_bind_name(b, at);
  case FILTER_OP_PARAM:
    return filter_bind_param(b, at);
  case FILTER_OP_ELEMENT:
    return filter_bind_element(b, at);
  case FILTER_OP_LENGTH:
    return filter_bind_length(b, at);
  case FILTER_OP_CMP:
    return filter_bind_compare(b, at);
  case FILTER_OP_AND:
  case FILTER_OP_OR:
    return filter_bind_group(b, at);
  case FILTER_OP_NOT:
    return filter_bind_not(b, at);
  case FILTER_OP_IN:
    return filter_bind_in(b, at);
  case FILTER_OP_LIKE:
    return filter_bind_like(b, at);
  case FILTER_OP_NULLS:
    return filter_bind_nulls(b, at);
  case FILTER_OP_CONTAINS:
    return filter_bind_contains(b, at);
  default:
    return filter_bind_arithmetic(b, at);
  }
}

/* Binds a node as a condition. */
static int filter_bind_truth(struct filter_binding *b, uint32_t at) {
  VDB_TRY(filter_bind_value(b, at));
  filter_bind_as(b, at, FILTER_BOOL);
  struct filter_node *node = filter_bind_at(b, at);
  if (node->type != FILTER_BOOL)
    return filter_bind_fail_operand(b, at, "a condition is true or false");
  if (node->op == FILTER_OP_FIELD) { /* `flag` means flag == true */
    node->op = FILTER_OP_RANGE;
    node->has_low = node->has_high = true;
    node->low.integer = node->high.integer = 1;
  }
  return node->op == FILTER_OP_JSON ? vdb_filter_path_bind(b, at) : VECDB_OK;
}

VDB_INTERNAL int vdb_filter_bind(struct filter_binding *b) {
  return filter_bind_truth(b, b->filter->root);
}
