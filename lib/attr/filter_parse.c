/*
 * filter_parse.c - from tokens to an unbound tree, by recursive descent. The grammar is in
 * README.md. What nests goes through filter_parse_enter, which bounds the recursion; `and`, `or`
 * and comparison chains are loops. Every node's height is bounded too, so later passes may recurse
 * over the tree.
 */
#include "attr/filter_tree.h"

struct filter_parser {
  struct filter_lexer lexer;
  struct filter_token token; /* not yet consumed */
  struct vdb_mem *mem;
  struct vdb_filter *filter;
  vecdb_error *err;
  uint32_t depth;
};

static int filter_parse_or(struct filter_parser *p, uint32_t *out);
static int filter_parse_unary(struct filter_parser *p, uint32_t *out);

static int filter_parse_next(struct filter_parser *p) {
  return vdb_filter_lex(&p->lexer, &p->token, p->err);
}

static int filter_parse_expected(struct filter_parser *p, const char *what) {
  char shown[FILTER_SHOW];
  return vdb_fail_pos(p->err, VECDB_ERR_FILTER, p->token.pos, "expected %s, found %s", what,
                      vdb_filter_show(&p->lexer, &p->token, shown));
}

static int filter_parse_take(struct filter_parser *p, int kind, const char *what) {
  if (p->token.kind != kind)
    return filter_parse_expected(p, what);
  return filter_parse_next(p);
}

static int filter_parse_too_deep(vecdb_error *err, uint32_t pos) {
  return vdb_fail_pos(err, VECDB_ERR_LIMIT, pos, "the filter nests deeper than %d levels",
                      VECDB_MAX_FILTER_DEPTH);
}

static int filter_parse_enter(struct filter_parser *p) {
  if (++p->depth > VECDB_MAX_FILTER_DEPTH)
    return filter_parse_too_deep(p->err, p->token.pos);
  return VECDB_OK;
}

VDB_INTERNAL int vdb_filter_node(struct vdb_mem *mem, struct vdb_filter *filter, int op,
                                 uint32_t pos, uint32_t *out, vecdb_error *err) {
  if (filter->n_nodes >= VECDB_MAX_FILTER_NODES)
    return vdb_fail_pos(err, VECDB_ERR_LIMIT, pos,
                        "the filter has more than %d operators and operands",
                        VECDB_MAX_FILTER_NODES);
  if (!VDB_GROW(mem, filter->nodes, filter->nodes_capacity, filter->n_nodes + 1))
    return vdb_fail_memory(err);
  struct filter_node *node = &filter->nodes[filter->n_nodes];
  memset(node, 0, sizeof *node);
  node->op = (uint8_t)op;
  node->pos = pos;
  node->height = 1;
  node->left = node->right = node->next = node->field = node->index = FILTER_NONE;
  node->shadow = FILTER_NONE;
  *out = (uint32_t)filter->n_nodes++;
  return VECDB_OK;
}

static struct filter_node *filter_parse_at(struct filter_parser *p, uint32_t node) {
  return &p->filter->nodes[node];
}

/* A node over one or two operands (FILTER_NONE: none). */
static int filter_parse_make(struct filter_parser *p, int op, uint32_t pos,
                             const uint32_t operands[2], uint32_t *out) {
  uint32_t made;
  VDB_TRY(vdb_filter_node(p->mem, p->filter, op, pos, &made, p->err));
  struct filter_node *node = filter_parse_at(p, made);
  node->left = operands[0];
  node->right = operands[1];
  for (int i = 0; i < 2; i++) {
    if (operands[i] == FILTER_NONE)
      continue;
    uint8_t height = filter_parse_at(p, operands[i])->height;
    if (height >= VECDB_MAX_FILTER_DEPTH)
      return filter_parse_too_deep(p->err, pos);
    if (height >= node->height)
      node->height = (uint8_t)(height + 1);
  }
  *out = made;
  return VECDB_OK;
}

static int filter_parse_const(struct filter_parser *p, int type, union filter_scalar value,
                              uint32_t *out) {
  VDB_TRY(vdb_filter_node(p->mem, p->filter, FILTER_OP_CONST, p->token.pos, out, p->err));
  struct filter_node *node = filter_parse_at(p, *out);
  node->type = (uint8_t)type;
  node->known = node->bound = true;
  node->low = value;
  return filter_parse_next(p);
}

/* The current token as an integer; `minus` when a - stood before it. */
static int filter_parse_integer(struct filter_parser *p, bool minus, int64_t *out) {
  uint64_t value = p->token.integer;
  if (value == (uint64_t)1 << 63) {
    if (!minus)
      return vdb_fail_pos(p->err, VECDB_ERR_FILTER, p->token.pos,
                          "'9223372036854775808' does not fit a 64-bit integer");
    *out = INT64_MIN;
    return VECDB_OK;
  }
  *out = minus ? -(int64_t)value : (int64_t)value;
  return VECDB_OK;
}

/* An element of a list: a constant or a parameter. */
static int filter_parse_item(struct filter_parser *p) {
  struct filter_item item = {p->token.pos, 0, {0}};
  bool minus = false;
  if (p->token.kind == FILTER_TOKEN_MINUS || p->token.kind == FILTER_TOKEN_PLUS) {
    minus = p->token.kind == FILTER_TOKEN_MINUS;
    VDB_TRY(filter_parse_next(p));
    if (p->token.kind != FILTER_TOKEN_INTEGER && p->token.kind != FILTER_TOKEN_NUMBER)
      return filter_parse_expected(p, "a number");
  }
  switch (p->token.kind) {
  case FILTER_TOKEN_INTEGER:
    item.type = FILTER_INT;
    VDB_TRY(filter_parse_integer(p, minus, &item.value.integer));
    break;
  case FILTER_TOKEN_NUMBER:
    item.type = FILTER_DOUBLE;
    item.value.number = minus ? -p->token.number : p->token.number;
    break;
  case FILTER_TOKEN_STRING:
    item.type = FILTER_TEXT;
    item.value.text = p->token.text;
    break;
  case FILTER_TOKEN_TRUE:
  case FILTER_TOKEN_FALSE:
    item.type = FILTER_BOOL;
    item.value.integer = p->token.kind == FILTER_TOKEN_TRUE;
    break;
  case FILTER_TOKEN_PARAM: {
    uint32_t counted; /* looking a parameter up takes time: it counts as a node */
    VDB_TRY(vdb_filter_node(p->mem, p->filter, FILTER_OP_CONST, p->token.pos, &counted, p->err));
    item.type = FILTER_PARAMETER;
    item.value.text = p->token.text;
    break;
  }
  default:
    return filter_parse_expected(p, "a constant or a parameter in the list");
  }
  if (p->filter->n_items >= FILTER_MAX_ITEMS)
    return vdb_fail_pos(p->err, VECDB_ERR_LIMIT, item.pos,
                        "the lists of the filter have more than %u elements", FILTER_MAX_ITEMS);
  if (!VDB_GROW(p->mem, p->filter->items, p->filter->items_capacity, p->filter->n_items + 1))
    return vdb_fail_memory(p->err);
  p->filter->items[p->filter->n_items++] = item;
  return filter_parse_next(p);
}

/* [a, b, ...] or {list}, stored in `node`. */
static int filter_parse_list(struct filter_parser *p, uint32_t node) {
  if (p->token.kind == FILTER_TOKEN_PARAM) {
    filter_parse_at(p, node)->low.text = p->token.text;
    filter_parse_at(p, node)->from_param = true;
    filter_parse_at(p, node)->pos = p->token.pos;
    return filter_parse_next(p);
  }
  VDB_TRY(filter_parse_take(p, FILTER_TOKEN_LIST_OPEN, "'[' or a parameter"));
  size_t first = p->filter->n_items;
  if (p->token.kind != FILTER_TOKEN_LIST_CLOSE) {
    VDB_TRY(filter_parse_item(p));
    while (p->token.kind == FILTER_TOKEN_COMMA) {
      VDB_TRY(filter_parse_next(p));
      VDB_TRY(filter_parse_item(p));
    }
  }
  filter_parse_at(p, node)->index = (uint32_t)first;
  filter_parse_at(p, node)->n_items = (uint32_t)(p->filter->n_items - first);
  return filter_parse_take(p, FILTER_TOKEN_LIST_CLOSE, "',' or ']'");
}

struct filter_function {
  const char *name;
  uint8_t op;
  uint8_t how;
};

/* Whether that is the word (in lower case), in any case. */
static bool filter_parse_same(const char *name, uint32_t n, const char *word) {
  if (strlen(word) != n)
    return false;
  uint32_t same = 0;
  while (same < n && (name[same] == word[same] || (name[same] | 0x20) == word[same]))
    same++;
  return same == n;
}

static const struct filter_function *filter_parse_find(const char *name, uint32_t n) {
  static const struct filter_function functions[] = {
      {"array_length", FILTER_OP_LENGTH, 0},
      {"array_contains", FILTER_OP_CONTAINS, FILTER_CONTAINS_ONE},
      {"array_contains_all", FILTER_OP_CONTAINS, FILTER_CONTAINS_ALL},
      {"array_contains_any", FILTER_OP_CONTAINS, FILTER_CONTAINS_ANY},
      {"json_contains", FILTER_OP_CONTAINS, FILTER_CONTAINS_ONE},
      {"json_contains_all", FILTER_OP_CONTAINS, FILTER_CONTAINS_ALL},
      {"json_contains_any", FILTER_OP_CONTAINS, FILTER_CONTAINS_ANY},
      {"exists", FILTER_OP_NULLS, 0},
  };
  for (size_t i = 0; i < VDB_COUNT(functions); i++)
    if (filter_parse_same(name, n, functions[i].name))
      return &functions[i];
  return NULL;
}

/* name(...); the current token is the parenthesis. */
static int filter_parse_call(struct filter_parser *p, const struct filter_token *name,
                             uint32_t *out) {
  const struct filter_function *function =
      filter_parse_find(p->lexer.text + name->pos, name->text.length);
  char shown[FILTER_SHOW];
  if (!function)
    return vdb_fail_pos(p->err, VECDB_ERR_FILTER, name->pos,
                        "unknown function %s; known are array_contains, array_contains_all, "
                        "array_contains_any, array_length, exists, json_contains and so on",
                        vdb_filter_show(&p->lexer, name, shown));
  VDB_TRY(filter_parse_enter(p));
  VDB_TRY(filter_parse_next(p));
  uint32_t operands[2] = {FILTER_NONE, FILTER_NONE};
  if (p->token.kind != FILTER_TOKEN_NAME)
    return filter_parse_expected(p, "an ARRAY or JSON field");
  VDB_TRY(filter_parse_unary(p, &operands[0]));
  if (function->op == FILTER_OP_CONTAINS) {
    VDB_TRY(filter_parse_take(p, FILTER_TOKEN_COMMA, "','"));
    if (function->how == FILTER_CONTAINS_ONE)
      VDB_TRY(filter_parse_or(p, &operands[1]));
  }
  VDB_TRY(filter_parse_make(p, function->op, name->pos, operands, out));
  filter_parse_at(p, *out)->cmp = function->how;
  filter_parse_at(p, *out)->negate = function->op == FILTER_OP_NULLS; /* exists: is not null */
  if (function->op == FILTER_OP_CONTAINS && function->how != FILTER_CONTAINS_ONE)
    VDB_TRY(filter_parse_list(p, *out));
  p->depth--;
  return filter_parse_take(p, FILTER_TOKEN_CLOSE, "')'");
}

/* The rest of `exists place`, which is `place is not null`. */
static int filter_parse_exists(struct filter_parser *p, uint32_t pos, uint32_t *out) {
  uint32_t operands[2] = {FILTER_NONE, FILTER_NONE};
  VDB_TRY(filter_parse_enter(p)); /* it may be that of `exists exists f` */
  VDB_TRY(filter_parse_unary(p, &operands[0]));
  p->depth--;
  VDB_TRY(filter_parse_make(p, FILTER_OP_NULLS, pos, operands, out));
  filter_parse_at(p, *out)->negate = true;
  return VECDB_OK;
}

/* A field, what is in one (`f[0]`, `f["key"][0]`), a call, or `exists` and a place. */
static int filter_parse_name(struct filter_parser *p, uint32_t *out) {
  struct filter_token name = p->token;
  VDB_TRY(filter_parse_next(p));
  if (p->token.kind == FILTER_TOKEN_OPEN)
    return filter_parse_call(p, &name, out);
  if (p->token.kind == FILTER_TOKEN_NAME &&
      filter_parse_same(p->lexer.text + name.pos, name.text.length, "exists"))
    return filter_parse_exists(p, name.pos, out);
  VDB_TRY(vdb_filter_node(p->mem, p->filter, FILTER_OP_NAME, name.pos, out, p->err));
  filter_parse_at(p, *out)->low.text = name.text;
  while (p->token.kind == FILTER_TOKEN_LIST_OPEN) {
    uint32_t operands[2] = {*out, FILTER_NONE};
    VDB_TRY(filter_parse_enter(p));
    VDB_TRY(filter_parse_next(p));
    VDB_TRY(filter_parse_or(p, &operands[1]));
    p->depth--;
    VDB_TRY(filter_parse_take(p, FILTER_TOKEN_LIST_CLOSE, "']'"));
    VDB_TRY(filter_parse_make(p, FILTER_OP_ELEMENT, name.pos, operands, out));
  }
  return VECDB_OK;
}

static int filter_parse_primary(struct filter_parser *p, uint32_t *out) {
  union filter_scalar value = {0};
  switch (p->token.kind) {
  case FILTER_TOKEN_INTEGER:
    VDB_TRY(filter_parse_integer(p, false, &value.integer));
    return filter_parse_const(p, FILTER_INT, value, out);
  case FILTER_TOKEN_NUMBER:
    value.number = p->token.number;
    return filter_parse_const(p, FILTER_DOUBLE, value, out);
  case FILTER_TOKEN_STRING:
    value.text = p->token.text;
    return filter_parse_const(p, FILTER_TEXT, value, out);
  case FILTER_TOKEN_TRUE:
  case FILTER_TOKEN_FALSE:
    value.integer = p->token.kind == FILTER_TOKEN_TRUE;
    return filter_parse_const(p, FILTER_BOOL, value, out);
  case FILTER_TOKEN_NAME:
    return filter_parse_name(p, out);
  case FILTER_TOKEN_PARAM:
    VDB_TRY(vdb_filter_node(p->mem, p->filter, FILTER_OP_PARAM, p->token.pos, out, p->err));
    filter_parse_at(p, *out)->low.text = p->token.text;
    return filter_parse_next(p);
  case FILTER_TOKEN_OPEN:
    VDB_TRY(filter_parse_enter(p));
    VDB_TRY(filter_parse_next(p));
    VDB_TRY(filter_parse_or(p, out));
    p->depth--;
    return filter_parse_take(p, FILTER_TOKEN_CLOSE, "')' or an operator");
  case FILTER_TOKEN_NULL:
    return vdb_fail_pos(p->err, VECDB_ERR_FILTER, p->token.pos,
                        "expected a value, found 'null'; write 'field is null'");
  default:
    return filter_parse_expected(p, "a field, a constant or '('");
  }
}

static int filter_parse_unary(struct filter_parser *p, uint32_t *out) {
  if (p->token.kind != FILTER_TOKEN_MINUS && p->token.kind != FILTER_TOKEN_PLUS)
    return filter_parse_primary(p, out);
  bool minus = p->token.kind == FILTER_TOKEN_MINUS;
  uint32_t pos = p->token.pos;
  VDB_TRY(filter_parse_enter(p));
  VDB_TRY(filter_parse_next(p));
  uint32_t operands[2] = {FILTER_NONE, FILTER_NONE};
  if (minus && p->token.kind == FILTER_TOKEN_INTEGER) {
    union filter_scalar value = {0};
    VDB_TRY(filter_parse_integer(p, true, &value.integer));
    p->depth--;
    VDB_TRY(filter_parse_const(p, FILTER_INT, value, out));
    filter_parse_at(p, *out)->pos = pos;
    return VECDB_OK;
  }
  VDB_TRY(filter_parse_unary(p, &operands[0]));
  p->depth--;
  return filter_parse_make(p, minus ? FILTER_OP_MINUS : FILTER_OP_PLUS, pos, operands, out);
}

/* a ** b ** c is a ** (b ** c). */
static int filter_parse_power(struct filter_parser *p, uint32_t *out) {
  VDB_TRY(filter_parse_unary(p, out));
  if (p->token.kind != FILTER_TOKEN_POWER)
    return VECDB_OK;
  uint32_t pos = p->token.pos;
  uint32_t operands[2] = {*out, FILTER_NONE};
  VDB_TRY(filter_parse_enter(p));
  VDB_TRY(filter_parse_next(p));
  VDB_TRY(filter_parse_power(p, &operands[1]));
  p->depth--;
  return filter_parse_make(p, FILTER_OP_POW, pos, operands, out);
}

static int filter_parse_product(struct filter_parser *p, uint32_t *out) {
  VDB_TRY(filter_parse_power(p, out));
  for (;;) {
    int op = p->token.kind == FILTER_TOKEN_STAR      ? FILTER_OP_MUL
             : p->token.kind == FILTER_TOKEN_SLASH   ? FILTER_OP_DIV
             : p->token.kind == FILTER_TOKEN_PERCENT ? FILTER_OP_MOD
                                                     : -1;
    if (op < 0)
      return VECDB_OK;
    uint32_t pos = p->token.pos;
    uint32_t operands[2] = {*out, FILTER_NONE};
    VDB_TRY(filter_parse_next(p));
    VDB_TRY(filter_parse_power(p, &operands[1]));
    VDB_TRY(filter_parse_make(p, op, pos, operands, out));
  }
}

static int filter_parse_sum(struct filter_parser *p, uint32_t *out) {
  VDB_TRY(filter_parse_product(p, out));
  while (p->token.kind == FILTER_TOKEN_PLUS || p->token.kind == FILTER_TOKEN_MINUS) {
    int op = p->token.kind == FILTER_TOKEN_PLUS ? FILTER_OP_ADD : FILTER_OP_SUB;
    uint32_t pos = p->token.pos;
    uint32_t operands[2] = {*out, FILTER_NONE};
    VDB_TRY(filter_parse_next(p));
    VDB_TRY(filter_parse_product(p, &operands[1]));
    VDB_TRY(filter_parse_make(p, op, pos, operands, out));
  }
  return VECDB_OK;
}

/* Appends `operand` to the AND or OR *group, which is made around *group when there is none yet. */
static int filter_parse_append(struct filter_parser *p, int op, uint32_t operand, uint32_t *group,
                               uint32_t *last) {
  if (*last == FILTER_NONE) {
    uint32_t operands[2] = {*group, FILTER_NONE};
    *last = *group;
    VDB_TRY(filter_parse_make(p, op, filter_parse_at(p, *group)->pos, operands, group));
  }
  struct filter_node *node = filter_parse_at(p, *group);
  uint8_t height = filter_parse_at(p, operand)->height;
  if (height >= VECDB_MAX_FILTER_DEPTH)
    return filter_parse_too_deep(p->err, node->pos);
  if (height >= node->height)
    node->height = (uint8_t)(height + 1);
  filter_parse_at(p, *last)->next = operand;
  *last = operand;
  return VECDB_OK;
}

/* The rest of `left < b <= c ...`: one comparison, or an AND of several that share their operands.
 */
static int filter_parse_chain(struct filter_parser *p, uint32_t left, uint32_t *out) {
  uint32_t last = FILTER_NONE;
  *out = FILTER_NONE;
  while (p->token.kind >= FILTER_TOKEN_EQ && p->token.kind <= FILTER_TOKEN_GE) {
    int cmp = FILTER_EQ + p->token.kind - FILTER_TOKEN_EQ;
    uint32_t pos = p->token.pos;
    uint32_t operands[2] = {left, FILTER_NONE};
    VDB_TRY(filter_parse_next(p));
    VDB_TRY(filter_parse_sum(p, &operands[1]));
    uint32_t made;
    VDB_TRY(filter_parse_make(p, FILTER_OP_CMP, pos, operands, &made));
    filter_parse_at(p, made)->cmp = (uint8_t)cmp;
    left = operands[1];
    if (*out == FILTER_NONE)
      *out = made;
    else
      VDB_TRY(filter_parse_append(p, FILTER_OP_AND, made, out, &last));
  }
  return VECDB_OK;
}

/* The rest of `left is [not] null`. */
static int filter_parse_is(struct filter_parser *p, uint32_t left, uint32_t *out) {
  uint32_t pos = p->token.pos;
  uint32_t operands[2] = {left, FILTER_NONE};
  VDB_TRY(filter_parse_next(p));
  bool negate = p->token.kind == FILTER_TOKEN_NOT;
  if (negate)
    VDB_TRY(filter_parse_next(p));
  VDB_TRY(filter_parse_take(p, FILTER_TOKEN_NULL, negate ? "'null'" : "'null' or 'not null'"));
  VDB_TRY(filter_parse_make(p, FILTER_OP_NULLS, pos, operands, out));
  filter_parse_at(p, *out)->negate = negate;
  return VECDB_OK;
}

/* The rest of `left [not] in list` and `left [not] like pattern`. */
static int filter_parse_member(struct filter_parser *p, uint32_t left, uint32_t *out) {
  uint32_t pos = p->token.pos;
  uint32_t operands[2] = {left, FILTER_NONE};
  bool negate = p->token.kind == FILTER_TOKEN_NOT;
  if (negate)
    VDB_TRY(filter_parse_next(p));
  if (p->token.kind == FILTER_TOKEN_IN) {
    VDB_TRY(filter_parse_next(p));
    VDB_TRY(filter_parse_make(p, FILTER_OP_IN, pos, operands, out));
    filter_parse_at(p, *out)->negate = negate;
    return filter_parse_list(p, *out);
  }
  VDB_TRY(filter_parse_take(p, FILTER_TOKEN_LIKE, "'in' or 'like' after 'not'"));
  if (p->token.kind != FILTER_TOKEN_STRING && p->token.kind != FILTER_TOKEN_PARAM)
    return filter_parse_expected(p, "a pattern in quotes or a parameter");
  VDB_TRY(filter_parse_primary(p, &operands[1]));
  VDB_TRY(filter_parse_make(p, FILTER_OP_LIKE, pos, operands, out));
  filter_parse_at(p, *out)->negate = negate;
  return VECDB_OK;
}

static int filter_parse_comparison(struct filter_parser *p, uint32_t *out) {
  VDB_TRY(filter_parse_sum(p, out));
  uint32_t left = *out;
  switch (p->token.kind) {
  case FILTER_TOKEN_EQ:
  case FILTER_TOKEN_NE:
  case FILTER_TOKEN_LT:
  case FILTER_TOKEN_LE:
  case FILTER_TOKEN_GT:
  case FILTER_TOKEN_GE:
    return filter_parse_chain(p, left, out);
  case FILTER_TOKEN_NOT:
  case FILTER_TOKEN_IN:
  case FILTER_TOKEN_LIKE:
    return filter_parse_member(p, left, out);
  case FILTER_TOKEN_IS:
    return filter_parse_is(p, left, out);
  default:
    return VECDB_OK;
  }
}

static int filter_parse_not(struct filter_parser *p, uint32_t *out) {
  if (p->token.kind != FILTER_TOKEN_NOT)
    return filter_parse_comparison(p, out);
  uint32_t pos = p->token.pos;
  uint32_t operands[2] = {FILTER_NONE, FILTER_NONE};
  VDB_TRY(filter_parse_enter(p));
  VDB_TRY(filter_parse_next(p));
  VDB_TRY(filter_parse_not(p, &operands[0]));
  p->depth--;
  return filter_parse_make(p, FILTER_OP_NOT, pos, operands, out);
}

static int filter_parse_and(struct filter_parser *p, uint32_t *out) {
  uint32_t last = FILTER_NONE, operand;
  VDB_TRY(filter_parse_not(p, out));
  while (p->token.kind == FILTER_TOKEN_AND) {
    VDB_TRY(filter_parse_next(p));
    VDB_TRY(filter_parse_not(p, &operand));
    VDB_TRY(filter_parse_append(p, FILTER_OP_AND, operand, out, &last));
  }
  return VECDB_OK;
}

static int filter_parse_or(struct filter_parser *p, uint32_t *out) {
  uint32_t last = FILTER_NONE, operand;
  VDB_TRY(filter_parse_and(p, out));
  while (p->token.kind == FILTER_TOKEN_OR) {
    VDB_TRY(filter_parse_next(p));
    VDB_TRY(filter_parse_and(p, &operand));
    VDB_TRY(filter_parse_append(p, FILTER_OP_OR, operand, out, &last));
  }
  return VECDB_OK;
}

VDB_INTERNAL int vdb_filter_parse(struct vdb_mem *mem, const char *text, uint32_t n,
                                  struct vdb_filter *filter, vecdb_error *err) {
  struct filter_parser p = {{text, n, 0, &filter->pool}, {0}, mem, filter, err, 0};
  VDB_TRY(filter_parse_next(&p));
  VDB_TRY(filter_parse_or(&p, &filter->root));
  return filter_parse_take(&p, FILTER_TOKEN_END, "'and', 'or' or the end of the filter");
}
