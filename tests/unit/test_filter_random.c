/*
 * test_filter_random.c - random filters over random rows against a plain interpreter of its own:
 * the generator makes a tree, the interpreter walks that tree, and the library gets only its text.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>

#include <cmocka.h>

#include "filter_fixture.h"

enum { RF_MAX = 4096, RF_TEXT = 65536, RF_LIST = 24, RF_PARAMS = 64 };

enum rf_op {
  RF_CONST,
  RF_FIELD,
  RF_ELEMENT,
  RF_LENGTH,
  RF_NEG,
  RF_POS,
  RF_ARITH, /* how: + - * / % ^ */
  RF_CHAIN, /* operands list, hows list */
  RF_AND,
  RF_OR,
  RF_NOT,
  RF_IN,
  RF_LIKE,
  RF_NULL,
  RF_CONTAINS
};
enum rf_type { RF_BOOL, RF_INT, RF_REAL, RF_TXT };

struct rf_node {
  enum rf_op op;
  enum rf_type type;
  int how;
  int hows[4];
  bool negate;
  unsigned field;
  int64_t index;
  struct fx_value value;
  struct rf_node *operands[6];
  int n;
  struct fx_value list[RF_LIST];
  enum rf_type list_types[RF_LIST];
  int n_list;
};

/* The filter being made. */
struct rf {
  struct vdb_rng rng;
  struct rf_node nodes[RF_MAX];
  int n_nodes;
  char text[RF_TEXT];
  size_t at;
  vecdb_param params[RF_PARAMS];
  char names[RF_PARAMS][16];
  char strings[RF_PARAMS][24];
  int n_params;
};

static uint32_t rf_below(struct rf *g, uint32_t n) {
  return vdb_rng_below(&g->rng, n);
}

/* ---- The tree -----------------------------------------------------------------------------------
 */

static struct rf_node *rf_new(struct rf *g, enum rf_op op, enum rf_type type) {
  assert_true(g->n_nodes < RF_MAX);
  struct rf_node *node = &g->nodes[g->n_nodes++];
  memset(node, 0, sizeof *node);
  node->op = op;
  node->type = type;
  return node;
}

static enum rf_type rf_type_of(int32_t type) {
  return type == VECDB_BOOL                            ? RF_BOOL
         : type == VECDB_VARCHAR                       ? RF_TXT
         : type == VECDB_FLOAT || type == VECDB_DOUBLE ? RF_REAL
                                                       : RF_INT;
}

static void rf_random_const(struct rf *g, enum rf_type type, struct fx_value *v) {
  static const int32_t types[] = {VECDB_BOOL, VECDB_INT64, VECDB_DOUBLE, VECDB_VARCHAR};
  fx_random_value(&g->rng, types[type], v);
  if (type == RF_INT && rf_below(g, 3))
    v->integer = (int64_t)rf_below(g, 13) - 6;
}

static struct rf_node *rf_const(struct rf *g, enum rf_type type) {
  struct rf_node *node = rf_new(g, RF_CONST, type);
  rf_random_const(g, type, &node->value);
  return node;
}

static struct rf_node *rf_field(struct rf *g, enum rf_type type) {
  for (;;) {
    unsigned f = rf_below(g, FX_FIELDS);
    if (fx_fields[f].type == VECDB_ARRAY && rf_type_of(fx_fields[f].element_type) == type &&
        rf_below(g, 4) == 0) {
      struct rf_node *node = rf_new(g, RF_ELEMENT, type);
      node->field = f;
      node->index = rf_below(g, 5);
      return node;
    }
    if (fx_fields[f].type > VECDB_VARCHAR || rf_type_of(fx_fields[f].type) != type)
      continue;
    struct rf_node *node = rf_new(g, RF_FIELD, type);
    node->field = f;
    return node;
  }
}

static struct rf_node *rf_bool(struct rf *g, int depth);

static struct rf_node *rf_number(struct rf *g, int depth) {
  static const char ops[] = "+-*/%^";
  uint32_t kind = rf_below(g, depth > 0 ? 12 : 6);
  if (kind < 2)
    return rf_const(g, rf_below(g, 2) ? RF_INT : RF_REAL);
  if (kind < 6)
    return rf_field(g, rf_below(g, 2) ? RF_INT : RF_REAL);
  if (kind == 6) {
    struct rf_node *node = rf_new(g, RF_LENGTH, RF_INT);
    node->field = FX_AB + rf_below(g, FX_V - FX_AB);
    return node;
  }
  struct rf_node *a = rf_number(g, depth - 1);
  if (kind == 7) {
    struct rf_node *node = rf_new(g, rf_below(g, 2) ? RF_NEG : RF_POS, a->type);
    node->operands[node->n++] = a;
    return node;
  }
  struct rf_node *b = rf_number(g, depth - 1);
  char how = ops[rf_below(g, 6)];
  if (how == '%' && (a->type != RF_INT || b->type != RF_INT))
    how = '*';
  bool real = how == '^' || a->type == RF_REAL || b->type == RF_REAL;
  struct rf_node *node = rf_new(g, RF_ARITH, real ? RF_REAL : RF_INT);
  node->how = how;
  node->operands[node->n++] = a;
  node->operands[node->n++] = b;
  return node;
}

static struct rf_node *rf_operand(struct rf *g, enum rf_type type, int depth) {
  if (type == RF_TXT)
    return rf_below(g, 3) ? rf_field(g, RF_TXT) : rf_const(g, RF_TXT);
  if (type == RF_BOOL)
    return rf_bool(g, depth - 1);
  return rf_below(g, 3) ? (rf_below(g, 2) ? rf_field(g, rf_below(g, 2) ? RF_INT : RF_REAL)
                                          : rf_const(g, rf_below(g, 2) ? RF_INT : RF_REAL))
                        : rf_number(g, depth);
}

static struct rf_node *rf_chain(struct rf *g, int depth) {
  struct rf_node *node = rf_new(g, RF_CHAIN, RF_BOOL);
  enum rf_type type = rf_below(g, 3) == 0 ? RF_TXT : RF_INT;
  if (depth > 0 && rf_below(g, 8) == 0)
    type = RF_BOOL;
  int n = rf_below(g, 5) == 0 ? 3 + (int)rf_below(g, 2) : 2;
  for (int i = 0; i < n; i++) {
    node->operands[node->n++] = rf_operand(g, type, depth - 1);
    node->hows[i] = (int)rf_below(g, type == RF_BOOL ? 2 : 6);
  }
  return node;
}

static void rf_list(struct rf *g, struct rf_node *node, enum rf_type type) {
  node->n_list = (int)rf_below(g, rf_below(g, 3) ? 5 : RF_LIST);
  for (int i = 0; i < node->n_list; i++) {
    node->list_types[i] =
        type == RF_INT || type == RF_REAL ? (rf_below(g, 2) ? RF_INT : RF_REAL) : type;
    rf_random_const(g, node->list_types[i], &node->list[i]);
  }
}

static struct rf_node *rf_in(struct rf *g, int depth) {
  struct rf_node *node = rf_new(g, RF_IN, RF_BOOL);
  enum rf_type type = (enum rf_type)rf_below(g, 4);
  node->operands[node->n++] = type == RF_BOOL ? rf_field(g, RF_BOOL) : rf_operand(g, type, depth);
  rf_list(g, node, type);
  node->negate = rf_below(g, 2);
  return node;
}

static struct rf_node *rf_contains(struct rf *g) {
  struct rf_node *node = rf_new(g, RF_CONTAINS, RF_BOOL);
  node->field = FX_AB + rf_below(g, FX_V - FX_AB);
  node->how = (int)rf_below(g, 3);
  do
    rf_list(g, node, rf_type_of(fx_fields[node->field].element_type));
  while (node->how == 0 && node->n_list == 0);
  if (node->how == 0)
    node->n_list = 1;
  if (node->how == 1 && node->n_list > 2)
    node->n_list = 2;
  return node;
}

static struct rf_node *rf_bool(struct rf *g, int depth) {
  uint32_t kind = rf_below(g, depth > 0 ? 16 : 10);
  if (kind < 5)
    return rf_chain(g, depth);
  struct rf_node *node;
  switch (kind) {
  case 5:
    return rf_in(g, depth);
  case 6:
    node = rf_new(g, RF_LIKE, RF_BOOL);
    node->operands[node->n++] = rf_operand(g, RF_TXT, depth);
    rf_random_const(g, RF_TXT, &node->value);
    if (strlen(node->value.text) && node->value.text[strlen(node->value.text) - 1] == '\\')
      strcpy(node->value.text, "a%");
    node->negate = rf_below(g, 3) == 0;
    return node;
  case 7:
    node = rf_new(g, RF_NULL, RF_BOOL);
    node->field = rf_below(g, FX_V);
    node->negate = rf_below(g, 2);
    return node;
  case 8:
    return rf_contains(g);
  case 9:
    return rf_below(g, 4) ? rf_field(g, RF_BOOL) : rf_const(g, RF_BOOL);
  case 10:
  case 11:
    node = rf_new(g, RF_NOT, RF_BOOL);
    node->operands[node->n++] = rf_bool(g, depth - 1);
    return node;
  default:
    node = rf_new(g, kind < 14 ? RF_AND : RF_OR, RF_BOOL);
    for (int n = 2 + (int)rf_below(g, 4); n > 0; n--)
      node->operands[node->n++] = rf_bool(g, depth - 1);
    return node;
  }
}

/* ---- Its text -----------------------------------------------------------------------------------
 */

static void rf_put(struct rf *g, const char *text) {
  size_t n = strlen(text);
  assert_true(g->at + n < RF_TEXT);
  memcpy(g->text + g->at, text, n + 1);
  g->at += n;
}

/* A keyword in any case. */
static void rf_word(struct rf *g, const char *word) {
  char text[32];
  size_t i = 0;
  bool upper = rf_below(g, 4) == 0;
  for (; word[i]; i++)
    text[i] = upper && word[i] >= 'a' && word[i] <= 'z' ? (char)(word[i] - 32) : word[i];
  text[i] = '\0';
  rf_put(g, text);
}

static void rf_put_text(struct rf *g, const char *text) {
  const char *quote = rf_below(g, 2) ? "\"" : "'";
  rf_put(g, quote);
  for (const char *c = text; *c; c++) {
    char one[3] = {*c, 0, 0};
    if (*c == '\\' || *c == *quote) {
      one[0] = '\\';
      one[1] = *c;
    } else if (*c == '\n') {
      memcpy(one, "\\n", 2);
    } else if (rf_below(g, 16) == 0 && *c > 0) {
      char code[8];
      snprintf(code, sizeof code, "\\u%04X", (unsigned)*c);
      rf_put(g, code);
      continue;
    }
    rf_put(g, one);
  }
  rf_put(g, quote);
}

static void rf_put_value(struct rf *g, enum rf_type type, const struct fx_value *v) {
  char text[64];
  if (type == RF_TXT) {
    rf_put_text(g, v->text);
    return;
  }
  if (type == RF_BOOL) {
    rf_word(g, v->integer ? "true" : "false");
    return;
  }
  if (type == RF_INT && v->integer >= 0 && rf_below(g, 4) == 0)
    snprintf(text, sizeof text, "0x%llX", (unsigned long long)v->integer);
  else if (type == RF_INT)
    snprintf(text, sizeof text, "%lld", (long long)v->integer);
  else
    snprintf(text, sizeof text, "%.17g", v->number);
  if (type == RF_REAL && !strpbrk(text, ".e"))
    strcat(text, ".0");
  rf_put(g, text);
}

/* As a parameter instead. */
static bool rf_put_param(struct rf *g, enum rf_type type, const struct fx_value *v) {
  if (g->n_params >= RF_PARAMS || rf_below(g, 5))
    return false;
  int i = g->n_params++;
  vecdb_param *param = &g->params[i];
  memset(param, 0, sizeof *param);
  snprintf(g->names[i], sizeof g->names[i], "p%d", i);
  param->name = g->names[i];
  static const int32_t types[] = {VECDB_BOOL, VECDB_INT64, VECDB_DOUBLE, VECDB_VARCHAR};
  param->value.type = types[type];
  if (type == RF_BOOL)
    param->value.as.boolean = v->integer;
  else if (type == RF_INT)
    param->value.as.integer = v->integer;
  else if (type == RF_REAL)
    param->value.as.number = v->number;
  else
    param->value.as.data = strcpy(g->strings[i], v->text);
  param->value.length = (uint32_t)strlen(v->text);
  rf_put(g, "{");
  rf_put(g, g->names[i]);
  rf_put(g, rf_below(g, 4) ? "}" : " }");
  return true;
}

static void rf_put_list(struct rf *g, const struct rf_node *node) {
  rf_put(g, "[");
  for (int i = 0; i < node->n_list; i++) {
    rf_put(g, i ? ", " : "");
    if (!rf_put_param(g, node->list_types[i], &node->list[i]))
      rf_put_value(g, node->list_types[i], &node->list[i]);
  }
  rf_put(g, "]");
}

/* How tightly an operator binds; see the grammar in lib/attr/README.md. */
static int rf_level(const struct rf_node *node) {
  switch (node->op) {
  case RF_OR:
    return 1;
  case RF_AND:
    return 2;
  case RF_NOT:
    return 3;
  case RF_CHAIN:
  case RF_IN:
  case RF_LIKE:
  case RF_NULL:
    return 4;
  case RF_ARITH:
    return node->how == '^' ? 7 : node->how == '+' || node->how == '-' ? 5 : 6;
  case RF_NEG:
  case RF_POS:
    return 8;
  case RF_CONST:
    /* "--5" and "-9223372036854775808" read well, but - applied to 5 is not the constant -5 */
    return 8;
  default:
    return 9;
  }
}

static void rf_print(struct rf *g, const struct rf_node *node, int level);

static void rf_print_arith(struct rf *g, const struct rf_node *node) {
  int own = rf_level(node);
  char text[4] = {(char)node->how, 0, 0, 0};
  if (node->how == '^')
    memcpy(text, "**", 2);
  rf_print(g, node->operands[0], own + (node->how == '^'));
  rf_put(g, rf_below(g, 2) ? " " : "");
  rf_put(g, text);
  rf_put(g, rf_below(g, 2) ? " " : "");
  rf_print(g, node->operands[1], own + (node->how != '^'));
}

static void rf_print_group(struct rf *g, const struct rf_node *node) {
  for (int i = 0; i < node->n; i++) {
    if (i && rf_below(g, 2))
      rf_put(g, node->op == RF_AND ? "&&" : "||");
    else if (i)
      rf_word(g, node->op == RF_AND ? " and " : " or ");
    rf_print(g, node->operands[i], rf_level(node) + 1);
  }
}

static void rf_print_contains(struct rf *g, const struct rf_node *node) {
  static const char *const functions[] = {"array_contains", "array_contains_all",
                                          "array_contains_any"};
  rf_word(g, functions[node->how]);
  rf_put(g, "(");
  rf_put(g, fx_fields[node->field].name);
  rf_put(g, ",");
  if (node->how)
    rf_put_list(g, node);
  else
    rf_put_value(g, node->list_types[0], &node->list[0]);
  rf_put(g, ")");
}

static void rf_print_bare(struct rf *g, const struct rf_node *node) {
  static const char *const cmps[] = {"==", "!=", "<", "<=", ">", ">="};
  char index[24];
  switch (node->op) {
  case RF_CONST:
    if (!rf_put_param(g, node->type, &node->value))
      rf_put_value(g, node->type, &node->value);
    break;
  case RF_FIELD:
  case RF_ELEMENT:
    rf_put(g, fx_fields[node->field].name);
    snprintf(index, sizeof index, "[%d]", (int)node->index);
    rf_put(g, node->op == RF_ELEMENT ? index : "");
    break;
  case RF_LENGTH:
    rf_word(g, "array_length(");
    rf_put(g, fx_fields[node->field].name);
    rf_put(g, ")");
    break;
  case RF_NEG:
  case RF_POS:
    /* a literal behind - would be taken as one constant, which means the same but for its type */
    rf_put(g, node->op == RF_NEG ? "-" : "+");
    rf_print(g, node->operands[0], node->operands[0]->op == RF_CONST ? 9 : 8);
    break;
  case RF_ARITH:
    rf_print_arith(g, node);
    break;
  case RF_CHAIN:
    for (int i = 0; i < node->n; i++) {
      rf_put(g, i ? cmps[node->hows[i - 1]] : "");
      rf_print(g, node->operands[i], 5);
    }
    break;
  case RF_AND:
  case RF_OR:
    rf_print_group(g, node);
    break;
  case RF_NOT:
    rf_word(g, rf_below(g, 2) ? "not " : "!");
    rf_print(g, node->operands[0], 3);
    break;
  case RF_IN:
  case RF_LIKE:
    rf_print(g, node->operands[0], 5);
    rf_word(g, node->negate ? " not" : "");
    rf_word(g, node->op == RF_IN ? " in " : " like ");
    if (node->op == RF_IN)
      rf_put_list(g, node);
    else if (!rf_put_param(g, RF_TXT, &node->value))
      rf_put_text(g, node->value.text);
    break;
  case RF_NULL:
    rf_put(g, fx_fields[node->field].name);
    rf_word(g, node->negate ? " is not null" : " is null");
    break;
  case RF_CONTAINS:
    rf_print_contains(g, node);
    break;
  }
}

/* In parentheses where what is around binds as tightly as `level`. */
static void rf_print(struct rf *g, const struct rf_node *node, int level) {
  bool wrap = rf_level(node) < level || rf_below(g, 12) == 0;
  rf_put(g, wrap ? "(" : "");
  rf_print_bare(g, node);
  rf_put(g, wrap ? ")" : "");
}

/* ---- Its meaning --------------------------------------------------------------------------------
 */

struct rf_result {
  bool known;
  bool constant; /* no field in it */
  bool single;   /* a value of a FLOAT field */
  bool real;
  struct fx_value v;
};

static struct rf_result rf_eval(const struct rf_node *node, const struct fx_rows *rows, size_t row);

static int rf_compare(struct rf_result a, struct rf_result b) {
  if (a.v.is_text)
    return strcmp(a.v.text, b.v.text);
  if ((a.single && b.constant) || (b.single && a.constant)) {
    float x = a.real ? (float)a.v.number : (float)a.v.integer;
    float y = b.real ? (float)b.v.number : (float)b.v.integer;
    return (x > y) - (x < y);
  }
  long double x = a.real ? (long double)a.v.number : (long double)a.v.integer;
  long double y = b.real ? (long double)b.v.number : (long double)b.v.integer;
  return (x > y) - (x < y);
}

static bool rf_holds(int how, int order) {
  return how == 0   ? order == 0
         : how == 1 ? order != 0
         : how == 2 ? order < 0
         : how == 3 ? order <= 0
         : how == 4 ? order > 0
                    : order >= 0;
}

static struct rf_result rf_truth(bool known, bool value) {
  struct rf_result r = {known, false, false, false, {0}};
  r.v.integer = known && value;
  return r;
}

static struct rf_result rf_listed(const struct rf_node *node, int i) {
  struct rf_result r = {true, true, false, node->list_types[i] == RF_REAL, node->list[i]};
  return r;
}

static struct rf_result rf_stored(int32_t type, const struct fx_value *v) {
  struct rf_result r = {!v->null, false, type == VECDB_FLOAT, v->real, *v};
  return r;
}

static bool rf_has(const struct rf_node *node, struct rf_result value) {
  for (int i = 0; i < node->n_list; i++)
    if (rf_compare(value, rf_listed(node, i)) == 0)
      return true;
  return false;
}

static struct rf_result rf_eval_contains(const struct rf_node *node, const struct fx_value *array) {
  int32_t type = fx_fields[node->field].element_type;
  if (array->null)
    return rf_truth(false, false);
  bool any = false, all = true;
  for (int i = 0; i < node->n_list; i++) {
    bool found = false;
    for (uint32_t k = 0; k < array->n_elements; k++)
      found = found || rf_compare(rf_stored(type, &array->elements[k]), rf_listed(node, i)) == 0;
    any = any || found;
    all = all && found;
  }
  return rf_truth(true, node->how == 1 ? all : any);
}

static struct rf_result rf_eval_arith(const struct rf_node *node, struct rf_result a,
                                      struct rf_result b) {
  struct rf_result r = {
      a.known && b.known, a.constant && b.constant, false, node->type == RF_REAL, {0}};
  r.v.real = r.real;
  if (!r.known)
    return r;
  if (node->type == RF_REAL) {
    double x = a.real ? a.v.number : (double)a.v.integer;
    double y = b.real ? b.v.number : (double)b.v.integer;
    r.v.number = node->how == '+'   ? x + y
                 : node->how == '-' ? x - y
                 : node->how == '*' ? x * y
                 : node->how == '/' ? x / y
                                    : pow(x, y);
    r.known = isfinite(r.v.number);
    return r;
  }
  __int128 x = a.v.integer, y = b.v.integer, z = 0;
  if ((node->how == '/' || node->how == '%') && y == 0) {
    r.known = false;
    return r;
  }
  z = node->how == '+'   ? x + y
      : node->how == '-' ? x - y
      : node->how == '*' ? x * y
      : node->how == '/' ? x / y
                         : x % y;
  r.known = z >= INT64_MIN && z <= INT64_MAX;
  r.v.integer = r.known ? (int64_t)z : 0;
  return r;
}

/* Patterns: one character at a time, trying everything. */
static bool rf_like(const char *text, const char *pattern) {
  if (!*pattern)
    return !*text;
  if (*pattern == '%')
    return rf_like(text, pattern + 1) || (*text && rf_like(text + 1, pattern));
  if (*pattern == '_') {
    if (!*text)
      return false;
    for (text++; (*text & 0xc0) == 0x80;)
      text++;
    return rf_like(text, pattern + 1);
  }
  pattern += *pattern == '\\';
  return *text == *pattern && rf_like(text + 1, pattern + 1);
}

static struct rf_result rf_eval_chain(const struct rf_node *node, const struct fx_rows *rows,
                                      size_t row) {
  bool unknown = false;
  for (int i = 0; i + 1 < node->n; i++) {
    struct rf_result a = rf_eval(node->operands[i], rows, row);
    struct rf_result b = rf_eval(node->operands[i + 1], rows, row);
    if (!a.known || !b.known)
      unknown = true;
    else if (!rf_holds(node->hows[i], rf_compare(a, b)))
      return rf_truth(true, false);
  }
  return rf_truth(!unknown, true);
}

static struct rf_result rf_eval_group(const struct rf_node *node, const struct fx_rows *rows,
                                      size_t row) {
  bool unknown = false, is_and = node->op == RF_AND;
  for (int i = 0; i < node->n; i++) {
    struct rf_result r = rf_eval(node->operands[i], rows, row);
    unknown = unknown || !r.known;
    if (r.known && (r.v.integer != 0) != is_and)
      return rf_truth(true, !is_and);
  }
  return rf_truth(!unknown, is_and);
}

static struct rf_result rf_eval(const struct rf_node *node, const struct fx_rows *rows,
                                size_t row) {
  struct rf_result r = {true, true, false, node->type == RF_REAL, node->value};
  const struct fx_value *v = fx_at(rows, node->field, row);
  switch (node->op) {
  case RF_CONST:
    return r;
  case RF_FIELD:
    return rf_stored(fx_fields[node->field].type, v);
  case RF_ELEMENT:
    if (v->null || node->index >= (int64_t)v->n_elements)
      return rf_truth(false, false);
    return rf_stored(fx_fields[node->field].element_type, &v->elements[node->index]);
  case RF_LENGTH:
    r = rf_truth(!v->null, false);
    r.v.integer = v->n_elements;
    return r;
  case RF_POS:
    return rf_eval(node->operands[0], rows, row);
  case RF_NEG:
    r = rf_eval(node->operands[0], rows, row);
    r.known = r.known && (r.real || r.v.integer != INT64_MIN);
    r.v.number = -r.v.number;
    r.v.integer = r.known ? -r.v.integer : 0;
    r.single = false;
    return r;
  case RF_ARITH:
    return rf_eval_arith(node, rf_eval(node->operands[0], rows, row),
                         rf_eval(node->operands[1], rows, row));
  case RF_CHAIN:
    return rf_eval_chain(node, rows, row);
  case RF_AND:
  case RF_OR:
    return rf_eval_group(node, rows, row);
  case RF_NOT:
    r = rf_eval(node->operands[0], rows, row);
    return rf_truth(r.known, !r.v.integer);
  case RF_IN:
    r = rf_eval(node->operands[0], rows, row);
    return rf_truth(r.known, r.known && rf_has(node, r) != node->negate);
  case RF_LIKE:
    r = rf_eval(node->operands[0], rows, row);
    return rf_truth(r.known, r.known && rf_like(r.v.text, node->value.text) != node->negate);
  case RF_NULL:
    return rf_truth(true, v->null != node->negate);
  default:
    return rf_eval_contains(node, v);
  }
}

/* ---- Comparing ----------------------------------------------------------------------------------
 */

struct rf_case {
  struct vdb_mem *mem;
  const struct fx_rows *rows;
  const struct fx_store *store;
  const uint64_t *wanted;
  const char *text;
};

static void rf_check_bitmap(const struct rf_case *c, const struct vdb_filter *filter,
                            bool indexed) {
  size_t n = c->rows->n, words = vdb_bits_words(n);
  uint64_t *bits = malloc(words * 8 + 8);
  vecdb_error err;
  bool stopped = true, exact = false;
  struct vdb_filter_rows rows = {c->rows->columns, NULL, n};
  rows.indexes = indexed ? (const struct vdb_attr_index *const *)c->store->indexes : NULL;
  memset(bits, 0xee, words * 8 + 8);
  assert_int_equal(vdb_filter_bitmap(c->mem, filter, &rows, NULL, NULL, bits, &stopped, &err),
                   VECDB_OK);
  assert_false(stopped);
  size_t count = 0;
  for (size_t i = 0; i < n; i++) {
    count += vdb_bit_get(c->wanted, i);
    if (vdb_bit_get(bits, i) != vdb_bit_get(c->wanted, i))
      fail_msg("row %zu of %zu is %d%s: %s", i, n, vdb_bit_get(bits, i), indexed ? " by index" : "",
               c->text);
  }
  for (size_t i = n; i < words * 64; i++)
    assert_false(vdb_bit_get(bits, i));
  assert_int_equal(bits[words], 0xeeeeeeeeeeeeeeeeu);
  double share = vdb_filter_estimate(filter, &rows, &exact);
  assert_true(share >= 0 && share <= 1);
  if (exact && n && (size_t)(share * (double)n + 0.5) != count)
    fail_msg("estimate %g of %zu rows, truth %zu: %s", share, n, count, c->text);
  free(bits);
}

static struct vdb_filter *rf_compile(struct vdb_mem *mem, const char *text,
                                     const vecdb_param *params, int n_params) {
  vecdb_filter source = {text, strlen(text), params, (size_t)n_params};
  struct vdb_filter *filter = NULL;
  vecdb_error err;
  memset(&err, 0, sizeof err);
  if (vdb_filter_compile(mem, &fx_schema, &source, &filter, &err) != VECDB_OK)
    fail_msg("%s at %lld: %s", err.message, (long long)err.position, text);
  return filter;
}

/* What describe says, unless it is cut, compiles to the same rows. */
static void rf_check_described(struct rf_case c, const struct vdb_filter *filter) {
  struct vdb_writer out = VDB_WRITER(c.mem);
  vdb_filter_describe(filter, &fx_schema, &out);
  vdb_write_u8(&out, 0);
  assert_false(out.failed);
  c.text = (const char *)out.data;
  if (!strstr(c.text, "...") && !strstr(c.text, "unknown")) {
    struct vdb_filter *again = rf_compile(c.mem, c.text, NULL, 0);
    rf_check_bitmap(&c, again, false);
    vdb_filter_free(c.mem, again);
  }
  vdb_writer_free(&out);
}

static void rf_one(struct rf *g, struct vdb_mem *mem, const struct fx_rows *rows,
                   const struct fx_store *store) {
  g->n_nodes = g->n_params = 0;
  g->at = 0;
  const struct rf_node *tree = rf_bool(g, (int)rf_below(g, 5));
  rf_print(g, tree, 0);
  struct vdb_filter *filter = rf_compile(mem, g->text, g->params, g->n_params);
  uint64_t *wanted = calloc(vdb_bits_words(rows->n) + 1, 8);
  for (size_t i = 0; i < rows->n; i++) {
    struct rf_result r = rf_eval(tree, rows, i);
    bool pass = r.known && r.v.integer;
    if (pass)
      vdb_bit_set(wanted, i);
    if (vdb_filter_row(filter, rows->columns, i) != pass)
      fail_msg("row %zu should be %d: %s", i, pass, g->text);
  }
  struct rf_case c = {mem, rows, store, wanted, g->text};
  rf_check_bitmap(&c, filter, false);
  rf_check_bitmap(&c, filter, true);
  rf_check_described(c, filter);
  free(wanted);
  vdb_filter_free(mem, filter);
}

static void test_random(void **state) {
  static const size_t sizes[] = {0, 1, 63, 64, 65, 300, 1023, 1024, 1025, 2500};
  static struct rf g;
  (void)state;
  struct vdb_mem mem;
  vdb_mem_init(&mem, NULL, 0);
  const char *rounds = getenv("FILTER_ROUNDS");
  uint64_t n_rounds = rounds ? strtoull(rounds, NULL, 10) : 4;
  for (uint64_t round = 0; round < n_rounds * VDB_COUNT(sizes); round++) {
    size_t n = sizes[round % VDB_COUNT(sizes)];
    struct fx_rows rows;
    struct fx_store store;
    fx_rows_init(&rows, n, 1000 + round);
    fx_store_init(&store, &mem, &rows, 2000 + round);
    g.rng.state = 3000 + round;
    for (int i = n > 1000 ? 100 : 200; i > 0; i--)
      rf_one(&g, &mem, &rows, &store);
    fx_store_fini(&store, &mem);
    fx_rows_fini(&rows);
  }
  assert_int_equal(mem.used, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_random)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
