/*
 * filter_tree.h - the tree of a filter and what the filter_*.c files share. Private to them.
 *
 * Nodes lie in one array and name each other by index, so freeing and copying need no recursion.
 * The parser makes nodes with names and unchecked operands (filter_parse.c); binding turns the same
 * nodes in place into typed ones, and comparisons of a field with constants into ranges
 * (filter_bind.c, filter_leaf.c). From then on the tree is read-only and may be used by any number
 * of threads.
 */
#ifndef VDB_FILTER_TREE_H
#define VDB_FILTER_TREE_H

#include "attr/filter.h"
#include "base/bitmap.h"
#include "base/check.h"

#define FILTER_NONE UINT32_MAX
#define FILTER_BLOCK 1024u /* rows scanned at a time, a multiple of 64 */
/* Elements of all lists of a filter together (VECDB_MAX_FILTER_NODES in vecdb.h). */
#define FILTER_MAX_ITEMS 1000000u
/* Bytes of all texts of a filter, parameters included. */
#define FILTER_MAX_POOL (256u << 20)
#define FILTER_MAX_PARAMS 1024u
/* Bytes of a part of a `like` pattern that has a _ between literals and a % on both sides: such
   parts are searched for naively, so this bounds the work per byte of text. */
#define FILTER_MAX_LIKE_PART 256u

enum filter_op {
  /* values */
  FILTER_OP_CONST,   /* low; !known: always unknown */
  FILTER_OP_NAME,    /* unbound: low.text is a piece of the filter's text */
  FILTER_OP_PARAM,   /* unbound, likewise */
  FILTER_OP_FIELD,   /* field */
  FILTER_OP_ELEMENT, /* low.integer-th element of the array `field`; unbound: left[right] */
  FILTER_OP_LENGTH,  /* elements of the array `field`; unbound: left */
  FILTER_OP_JSON,    /* made by binding: cmp says what of the JSON text in `field`, at the path of
                        constants from `right` along `next`; the type says as what. CONTAINS_*: set
                        `index` */
  FILTER_OP_MINUS,   /* left */
  FILTER_OP_PLUS,    /* left; gone after binding */
  FILTER_OP_ADD,     /* left, right; and so on */
  FILTER_OP_SUB,
  FILTER_OP_MUL,
  FILTER_OP_DIV,
  FILTER_OP_MOD,
  FILTER_OP_POW,
  /* truth values */
  FILTER_OP_CMP, /* left, right, cmp */
  FILTER_OP_AND, /* left, then along `next` */
  FILTER_OP_OR,
  FILTER_OP_NOT,      /* left */
  FILTER_OP_IN,       /* left (or the field itself) in sets[index]; unbound: items or a parameter */
  FILTER_OP_LIKE,     /* left (or the field itself) like likes[index]; unbound: left, right */
  FILTER_OP_NULLS,    /* field is null; unbound: left */
  FILTER_OP_CONTAINS, /* array `field`, cmp says how, sets[index]; unbound: left, right or items */
  FILTER_OP_RANGE     /* field between low and high; made by binding */
};

enum filter_type {
  FILTER_BOOL = 1,
  FILTER_INT,
  FILTER_DOUBLE,
  FILTER_TEXT,
  FILTER_ARRAY,
  FILTER_UNTYPED,  /* of a JSON value until an operator says as what it is taken */
  FILTER_PARAMETER /* of list items before binding */
};

enum filter_cmp { FILTER_EQ, FILTER_NE, FILTER_LT, FILTER_LE, FILTER_GT, FILTER_GE };
enum filter_contains { FILTER_CONTAINS_ONE, FILTER_CONTAINS_ALL, FILTER_CONTAINS_ANY };
enum filter_json_what {
  FILTER_JSON_ONE = FILTER_CONTAINS_ONE,
  FILTER_JSON_ALL = FILTER_CONTAINS_ALL,
  FILTER_JSON_ANY = FILTER_CONTAINS_ANY,
  FILTER_JSON_VALUE,
  FILTER_JSON_NULL, /* whether there is none, or null; negate: whether there is another */
  FILTER_JSON_LENGTH
};
/* Bytes of a text in JSON that has escapes; longer ones are unknown. */
#define FILTER_JSON_TEXT 4096u

/* A piece of the pool, or of the filter's text. */
struct filter_text {
  uint32_t offset;
  uint32_t length;
};

union filter_scalar {
  int64_t integer; /* also a BOOL: 0 or 1 */
  double number;
  struct filter_text text;
};

struct filter_node {
  uint8_t op;     /* a filter_op */
  uint8_t type;   /* a filter_type, once bound */
  uint8_t cmp;    /* a filter_cmp or filter_contains */
  uint8_t height; /* 1 for nodes without operands */
  bool bound;
  bool negate;     /* IN, LIKE, NULLS, RANGE: not */
  bool known;      /* CONST */
  bool from_param; /* CONST */
  bool single;     /* FIELD, ELEMENT: of floats; CONST: rounded to float */
  bool none;       /* RANGE: holds nothing */
  bool has_low;    /* RANGE of text; other ranges always have both ends */
  bool has_high;
  bool low_open;
  bool high_open;
  uint32_t pos; /* in the text */
  uint32_t left;
  uint32_t right;
  uint32_t next; /* the next operand of the AND or OR above */
  uint32_t shadow; /* a leaf that asks the index of a JSON path the same; see filter_path.c */
  uint32_t field;
  uint32_t index;   /* of a set or pattern; unbound: of the first item */
  uint32_t n_items; /* unbound lists */
  union filter_scalar low;
  union filter_scalar high;
};

/* An element of a list before binding. */
struct filter_item {
  uint32_t pos;
  int32_t type;
  union filter_scalar value;
};

/*
 * A set of constants of one type: sorted by a 64-bit key that keeps the order of the values (for
 * texts: their first eight bytes), with a directory from key ranges to places. Looking up takes
 * O(log n) at worst, whatever the values, and O(1) where they are spread evenly.
 */
struct filter_member {
  uint64_t key;
  struct filter_text text;
};

struct filter_set {
  struct filter_member *members;
  uint32_t *directory; /* (1 << directory_bits) + 1 entries; NULL for small sets */
  uint32_t n;
  uint32_t shift;
  uint32_t n_directory;
  int32_t type; /* FILTER_BOOL to FILTER_TEXT */
  bool dropped; /* there were elements that no value can equal */
};

/*
 * A `like` pattern: segments between %; a segment is pieces, each "skip characters, then these
 * bytes". The first segment is held at the start of the text, the last at its end, and each between
 * is searched for from where the one before it ended, leftmost first.
 */
struct filter_piece {
  uint32_t skip;
  struct filter_text literal;
};

struct filter_segment {
  uint32_t first; /* piece */
  uint32_t n;
  uint32_t fail; /* place in `fails` of the search table of a single literal; FILTER_NONE: none */
};

struct filter_like {
  struct filter_piece *pieces;
  struct filter_segment *segments;
  uint32_t *fails;
  size_t n_pieces, pieces_capacity;
  size_t n_segments, segments_capacity;
  size_t n_fails, fails_capacity;
  struct filter_text source; /* the pattern as given */
};

struct vdb_filter {
  struct filter_node *nodes;
  size_t n_nodes, nodes_capacity;
  struct filter_item *items; /* only until bound */
  size_t n_items, items_capacity;
  struct filter_set *sets;
  size_t n_sets, sets_capacity;
  struct filter_like *likes;
  size_t n_likes, likes_capacity;
  struct vdb_writer pool; /* bytes of all texts */
  uint64_t reads[VECDB_MAX_FIELDS / 64];
  size_t n_listed; /* elements of all lists, those of parameters included */
  uint32_t root;
  struct vdb_filter *also; /* must pass too; owned, NULL: nothing more */
};

/* ---- filter_lex.c ---- */

enum filter_token_kind {
  FILTER_TOKEN_END,
  FILTER_TOKEN_INTEGER,
  FILTER_TOKEN_NUMBER,
  FILTER_TOKEN_STRING,
  FILTER_TOKEN_NAME,
  FILTER_TOKEN_PARAM,
  FILTER_TOKEN_EQ,
  FILTER_TOKEN_NE,
  FILTER_TOKEN_LT,
  FILTER_TOKEN_LE,
  FILTER_TOKEN_GT,
  FILTER_TOKEN_GE,
  FILTER_TOKEN_PLUS,
  FILTER_TOKEN_MINUS,
  FILTER_TOKEN_STAR,
  FILTER_TOKEN_SLASH,
  FILTER_TOKEN_PERCENT,
  FILTER_TOKEN_POWER,
  FILTER_TOKEN_OPEN,
  FILTER_TOKEN_CLOSE,
  FILTER_TOKEN_LIST_OPEN,
  FILTER_TOKEN_LIST_CLOSE,
  FILTER_TOKEN_COMMA,
  FILTER_TOKEN_AND,
  FILTER_TOKEN_OR,
  FILTER_TOKEN_NOT,
  FILTER_TOKEN_IN,
  FILTER_TOKEN_LIKE,
  FILTER_TOKEN_IS,
  FILTER_TOKEN_NULL,
  FILTER_TOKEN_TRUE,
  FILTER_TOKEN_FALSE
};

struct filter_token {
  int kind;
  uint32_t pos;
  uint32_t end;
  uint64_t integer;        /* INTEGER: up to 2^63, so that a minus before it can be taken in */
  double number;           /* NUMBER */
  struct filter_text text; /* STRING: in the pool; NAME, PARAM: in the filter's text */
};

struct filter_lexer {
  const char *text;
  uint32_t n;
  uint32_t at;
  struct vdb_writer *pool; /* receives strings */
};

/* The next token. Errors: FILTER, UTF8, LIMIT, NO_MEMORY. */
VDB_INTERNAL int vdb_filter_lex(struct filter_lexer *lexer, struct filter_token *token,
                                vecdb_error *err);
/* What a token is, for messages: `'and'`, `the end of the filter`. Fills and returns `buffer`. */
#define FILTER_SHOW 64
VDB_INTERNAL const char *vdb_filter_show(const struct filter_lexer *lexer,
                                         const struct filter_token *token, char *buffer);

/* ---- filter_parse.c ---- */

/* Text to unbound tree. The filter's text stays borrowed by NAME and PARAM nodes until it is bound.
 */
VDB_INTERNAL int vdb_filter_parse(struct vdb_mem *mem, const char *text, uint32_t n,
                                  struct vdb_filter *filter, vecdb_error *err);
/* A new node with everything unset, FILTER_NONE when there is no memory or the limit is reached. */
VDB_INTERNAL int vdb_filter_node(struct vdb_mem *mem, struct vdb_filter *filter, int op,
                                 uint32_t pos, uint32_t *out, vecdb_error *err);

/* ---- filter_bind.c and filter_leaf.c ---- */

struct filter_binding {
  struct vdb_mem *mem;
  const struct vdb_schema *schema;
  const char *text;
  const vecdb_param *params;
  size_t n_params;
  struct vdb_filter *filter;
  vecdb_error *err;
  uint64_t used[FILTER_MAX_PARAMS / 64]; /* parameters that the text names */
};

VDB_INTERNAL int vdb_filter_bind(struct filter_binding *b);
/* Adds text to the pool. Errors: LIMIT, NO_MEMORY. */
VDB_INTERNAL int vdb_filter_pool(struct filter_binding *b, const void *text, size_t n, uint32_t pos,
                                 struct filter_text *out);
/* The parameter whose name is at that piece of the text; NULL with the error filled. */
VDB_INTERNAL const vecdb_param *vdb_filter_param(struct filter_binding *b, struct filter_text name,
                                                 uint32_t pos);
/* What a value of that vecdb_type is in a filter; 0 for vectors. */
VDB_INTERNAL uint8_t vdb_filter_type_of(int32_t type);
VDB_INTERNAL const char *vdb_filter_type_name(int type);
/* Turns node `at`, a comparison of FIELD `field`, of a vecdb_type, with CONST `constant`, into a
   RANGE. */
VDB_INTERNAL void vdb_filter_range(struct vdb_filter *filter, int32_t type, uint32_t at,
                                   uint32_t field, uint32_t constant, int cmp);
/* Narrows RANGE `a` to its intersection with RANGE `b` of the same field. */
VDB_INTERNAL void vdb_filter_intersect(const struct vdb_filter *filter, int32_t type,
                                       struct filter_node *a, const struct filter_node *b);

/* ---- filter_path.c: indexes of JSON paths ---- */

/* Gives a bound node a shadow, where it asks for what an index of the schema holds. */
VDB_INTERNAL int vdb_filter_path_bind(struct filter_binding *b, uint32_t at);
/* The field of a comparison's shadow, where that is a range that is not negated; else
   FILTER_NONE. */
VDB_INTERNAL uint32_t vdb_filter_path_range(const struct vdb_filter *filter, uint32_t at);
/* Takes `second` into `first`, both operands of one AND and with ranges of one path: `first`
   becomes an AND itself whose shadow is their intersection. *done: there was room for that. */
VDB_INTERNAL int vdb_filter_path_join(struct filter_binding *b, uint32_t first, uint32_t second,
                                      bool *done);
/* What asks an index for a node: its shadow, or itself. */
VDB_INLINE const struct filter_node *vdb_filter_leaf(const struct vdb_filter *filter, uint32_t at) {
  const struct filter_node *node = &filter->nodes[at];
  return node->shadow == FILTER_NONE ? node : &filter->nodes[node->shadow];
}
/* Whether a JSON value that its index has may be unknown to the node: numbers with a fraction, to a
   list of integers. So the index cannot tell where the node is false. */
VDB_INTERNAL bool vdb_filter_loses(const struct vdb_filter *filter, uint32_t at);
/* Whether the node is true where its leaf's rows are not. */
VDB_INTERNAL bool vdb_filter_negated(const struct vdb_filter *filter, uint32_t at);

/* ---- filter_set.c ---- */

/*
 * Makes a set for values of `column_type` (a vecdb_type: what is compared with the members) from
 * the items of an unbound list, or from a parameter's array. Members that cannot equal any such
 * value are dropped.
 */
struct filter_list {
  int32_t column_type;
  const struct filter_item *items; /* their parameters are looked up */
  size_t n;
  const vecdb_value *array; /* or this */
  uint32_t pos;             /* of the list */
};
VDB_INTERNAL int vdb_filter_set_build(struct filter_binding *b, const struct filter_list *list,
                                      uint32_t *out);
/* The place of a value in the set, or FILTER_NONE. */
VDB_INTERNAL uint32_t vdb_filter_set_key(const struct filter_set *set, uint64_t key);
VDB_INTERNAL uint32_t vdb_filter_set_text(const struct filter_set *set, const uint8_t *pool,
                                          struct vdb_bytes text);
VDB_INTERNAL uint32_t vdb_filter_set_int(const struct filter_set *set, int64_t value);
VDB_INTERNAL uint32_t vdb_filter_set_double(const struct filter_set *set, double value);
/* The value behind a member of an INT or BOOL set, and of a DOUBLE set. */
VDB_INTERNAL int64_t vdb_filter_member_int(uint64_t key);
VDB_INTERNAL double vdb_filter_member_double(uint64_t key);

/* ---- filter_like.c ---- */

VDB_INTERNAL int vdb_filter_like_build(struct filter_binding *b, struct filter_text pattern,
                                       uint32_t pos, uint32_t *out);
VDB_INTERNAL bool vdb_filter_like_match(const struct filter_like *like, const uint8_t *pool,
                                        struct vdb_bytes text);
/* The literal at the pattern's start; *whole when nothing but one % follows, *exact when nothing
 * does. */
VDB_INTERNAL struct filter_text vdb_filter_like_prefix(const struct filter_like *like, bool *whole,
                                                       bool *exact);
VDB_INTERNAL void vdb_filter_like_free(struct vdb_mem *mem, struct filter_like *like);

/* ---- filter_eval.c ---- */

/* Three truth values. */
enum filter_truth { FILTER_FALSE = 0, FILTER_TRUE = 1, FILTER_UNKNOWN = 2 };

struct filter_value {
  bool known;
  union {
    int64_t integer;
    double number;
    struct vdb_bytes text;
  } as;
};

/* The tree's node for one row; `columns` may be NULL where the node reads no field. */
VDB_INTERNAL struct filter_value vdb_filter_value(const struct vdb_filter *filter, uint32_t node,
                                                  const struct vdb_column *columns, size_t row);
VDB_INTERNAL enum filter_truth vdb_filter_truth(const struct vdb_filter *filter, uint32_t node,
                                                const struct vdb_column *columns, size_t row);
/* ---- filter_json.c ---- */

/* What a JSON node asks of the text. A text that had escapes lies in `scratch`, of FILTER_JSON_TEXT
   bytes; with NULL it is unknown. */
VDB_INTERNAL struct filter_value vdb_filter_json(const struct vdb_filter *filter,
                                                 const struct filter_node *node,
                                                 struct vdb_bytes text, uint8_t *scratch);
/* What stands at the steps of a path (json_path.h), as a filter_type; scratch is not NULL. */
VDB_INTERNAL struct filter_value vdb_filter_json_at(const uint8_t *steps, size_t n_steps, int type,
                                                    struct vdb_bytes text, uint8_t *scratch);
/* Whether something stands there that is not null. */
VDB_INTERNAL bool vdb_filter_json_there(const uint8_t *steps, size_t n_steps,
                                        struct vdb_bytes text, uint8_t *scratch);

/* ---- filter_eval.c ---- */

/* -1, 0, 1: an exact comparison, without rounding the integer. */
VDB_INTERNAL int vdb_filter_compare_mixed(int64_t a, double b);
VDB_INTERNAL int vdb_filter_compare_text(struct vdb_bytes a, struct vdb_bytes b);
/* A value of a fixed-width vecdb_type, at any address. */
VDB_INTERNAL struct filter_value vdb_filter_load(const uint8_t *data, int32_t type);
VDB_INLINE struct vdb_bytes filter_text_bytes(const uint8_t *pool, struct filter_text text) {
  struct vdb_bytes b = {pool + text.offset, text.length};
  return b;
}

/* ---- filter_mark.c: leaves through indexes ---- */

/* Whether an index can answer the leaf of a node, and with how many rows (before any `not`, and
   without those that the index keeps apart). */
VDB_INTERNAL bool vdb_filter_index_count(const struct vdb_filter *filter, uint32_t at,
                                         const struct vdb_filter_rows *rows, size_t *count);
/* Sets the bits of these rows. Only after vdb_filter_index_count has said true. */
VDB_INTERNAL void vdb_filter_index_mark(const struct vdb_filter *filter, uint32_t at,
                                        const struct vdb_filter_rows *rows, uint64_t *bits);

/* ---- filter_column.c: comparing columns with constants, 64 rows a word ---- */

/* Match bits (regardless of nulls and `negate`) of rows first to first + n of a RANGE or IN leaf.
 */
VDB_INTERNAL void vdb_filter_match(const struct vdb_filter *filter, const struct filter_node *leaf,
                                   const struct vdb_column *column, size_t first, size_t n,
                                   uint64_t *bits);
/* Bits from n bytes that are 0 or not. */
VDB_INTERNAL void vdb_filter_pack(const uint8_t *data, size_t n, uint64_t *bits);

#endif
