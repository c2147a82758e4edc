/*
 * filter_path.c - the parts of a filter that an index of a JSON path answers. A comparison, list,
 * pattern or truth value over a place in JSON stays what it is, so that rows are looked at as
 * without an index, and has beside it a leaf, its `shadow`, that asks the index: over the
 * field that follows those of the schema, in the order of the schema's paths.
 */
#include "attr/filter_tree.h"
#include "attr/json_path.h"

/* Whether the steps of a JSON node are those of a path. */
static bool filter_path_is(const struct filter_binding *b, uint32_t step,
                           const struct vdb_json_path *path) {
  const uint8_t *at = path->steps, *end = at + path->n_steps;
  struct vdb_json_step own;
  for (; step != FILTER_NONE; step = b->filter->nodes[step].next) {
    const struct filter_node *node = &b->filter->nodes[step];
    if (!vdb_json_path_step(&at, end, &own) || own.place != (node->type == FILTER_INT))
      return false;
    if (own.place ? node->low.integer != (int64_t)own.n : node->low.text.length != own.n)
      return false;
    struct vdb_bytes key = {own.key, own.n};
    if (!own.place &&
        vdb_filter_compare_text(key, filter_text_bytes(b->filter->pool.data, node->low.text)) != 0)
      return false;
  }
  return at == end;
}

/* An index of the place that a JSON node asks for, as a field; FILTER_NONE: there is none. Of the
   type alone, unless that is 0. */
static uint32_t filter_path_at(const struct filter_binding *b, const struct filter_node *json,
                               int32_t type) {
  for (uint32_t i = 0; i < b->schema->n_paths; i++) {
    const struct vdb_json_path *path = &b->schema->paths[i];
    if (path->field == json->field && (type == 0 || path->type == type) &&
        filter_path_is(b, json->right, path))
      return b->schema->n_fields + i;
  }
  return FILTER_NONE;
}

/* The one that holds what a JSON node asks for, and its type. */
static uint32_t filter_path_field(const struct filter_binding *b, const struct filter_node *json,
                                  int32_t *type) {
  *type = json->type == FILTER_TEXT   ? VECDB_VARCHAR
          : json->type == FILTER_BOOL ? VECDB_BOOL
                                      : VECDB_DOUBLE;
  return filter_path_at(b, json, *type);
}

static bool filter_path_value(const struct filter_binding *b, uint32_t at) {
  const struct filter_node *node = at == FILTER_NONE ? NULL : &b->filter->nodes[at];
  return node && node->op == FILTER_OP_JSON && node->cmp == FILTER_JSON_VALUE;
}

/* A node, or FILTER_NONE where there is no room for one more: then no index is asked. */
static int filter_path_node(struct filter_binding *b, uint32_t pos, uint32_t *out) {
  *out = FILTER_NONE;
  if (b->filter->n_nodes >= VECDB_MAX_FILTER_NODES)
    return VECDB_OK;
  return vdb_filter_node(b->mem, b->filter, FILTER_OP_RANGE, pos, out, b->err);
}

/* A pattern or list, over values of the index. */
static void filter_path_copy(struct vdb_filter *filter, uint32_t at, uint32_t field,
                             struct filter_node *shadow) {
  const struct filter_node *node = &filter->nodes[at];
  bool whole, exact = false;
  shadow->op = node->op;
  shadow->index = node->index;
  shadow->field = field;
  if (node->op != FILTER_OP_LIKE)
    return;
  struct filter_text prefix = vdb_filter_like_prefix(&filter->likes[node->index], &whole, &exact);
  if (!exact)
    return;
  shadow->op = FILTER_OP_RANGE;
  shadow->has_low = shadow->has_high = true;
  shadow->low.text = shadow->high.text = prefix;
}

/* Whether something stands at a place: any index of it knows. */
static int filter_path_nulls(struct filter_binding *b, uint32_t at) {
  uint32_t shadow, field = filter_path_at(b, &b->filter->nodes[at], 0);
  if (field == FILTER_NONE)
    return VECDB_OK;
  VDB_TRY(filter_path_node(b, b->filter->nodes[at].pos, &shadow));
  b->filter->nodes[at].shadow = shadow;
  if (shadow == FILTER_NONE)
    return VECDB_OK;
  b->filter->nodes[shadow].op = FILTER_OP_NULLS;
  b->filter->nodes[shadow].field = field;
  return VECDB_OK;
}

VDB_INTERNAL int vdb_filter_path_bind(struct filter_binding *b, uint32_t at) {
  static const uint8_t mirrored[] = {FILTER_EQ, FILTER_NE, FILTER_GT,
                                     FILTER_GE, FILTER_LT, FILTER_LE};
  struct filter_node node = b->filter->nodes[at];
  uint32_t json = node.op == FILTER_OP_JSON ? at : node.left, constant = node.right, shadow;
  int cmp = node.cmp;
  int32_t type;
  if (node.op == FILTER_OP_JSON && node.cmp == FILTER_JSON_NULL)
    return filter_path_nulls(b, at);
  if (node.op == FILTER_OP_CMP && filter_path_value(b, node.right)) {
    json = node.right;
    constant = node.left;
    cmp = mirrored[cmp];
  }
  if (b->schema->n_paths == 0 || !filter_path_value(b, json) ||
      (node.op == FILTER_OP_CMP && b->filter->nodes[constant].op != FILTER_OP_CONST))
    return VECDB_OK;
  uint32_t field = filter_path_field(b, &b->filter->nodes[json], &type);
  if (field == FILTER_NONE)
    return VECDB_OK;
  VDB_TRY(filter_path_node(b, node.pos, &shadow));
  b->filter->nodes[at].shadow = shadow;
  if (shadow == FILTER_NONE)
    return VECDB_OK;
  struct filter_node *leaf = &b->filter->nodes[shadow];
  if (node.op == FILTER_OP_CMP) {
    vdb_filter_range(b->filter, type, shadow, field, constant, cmp);
  } else if (node.op == FILTER_OP_JSON) {
    leaf->field = field;
    leaf->has_low = leaf->has_high = true;
    leaf->low.integer = leaf->high.integer = 1;
  } else {
    filter_path_copy(b->filter, at, field, leaf);
  }
  return VECDB_OK;
}

VDB_INTERNAL uint32_t vdb_filter_path_range(const struct vdb_filter *filter, uint32_t at) {
  const struct filter_node *node = &filter->nodes[at];
  if (node->op != FILTER_OP_CMP || node->shadow == FILTER_NONE ||
      filter->nodes[node->shadow].negate)
    return FILTER_NONE;
  return filter->nodes[node->shadow].field;
}

/* Makes node `first`, a comparison, an AND over it with a leaf of its own; *done says whether. */
static int filter_path_and(struct filter_binding *b, uint32_t first, bool *done) {
  uint32_t copy, shadow;
  VDB_TRY(filter_path_node(b, b->filter->nodes[first].pos, &copy));
  VDB_TRY(filter_path_node(b, b->filter->nodes[first].pos, &shadow));
  *done = shadow != FILTER_NONE;
  if (!*done)
    return VECDB_OK;
  struct filter_node *node = &b->filter->nodes[first];
  b->filter->nodes[copy] = *node;
  b->filter->nodes[copy].next = FILTER_NONE;
  b->filter->nodes[shadow] = b->filter->nodes[node->shadow];
  node->op = FILTER_OP_AND;
  node->height++;
  node->left = copy;
  node->right = FILTER_NONE;
  node->shadow = shadow;
  return VECDB_OK;
}

VDB_INTERNAL int vdb_filter_path_join(struct filter_binding *b, uint32_t first, uint32_t second,
                                      bool *done) {
  *done = true;
  if (b->filter->nodes[first].op != FILTER_OP_AND)
    VDB_TRY(filter_path_and(b, first, done));
  if (!*done)
    return VECDB_OK;
  struct filter_node *node = &b->filter->nodes[first], *other = &b->filter->nodes[second];
  struct filter_node *leaf = &b->filter->nodes[node->shadow];
  int32_t type = b->schema->paths[leaf->field - b->schema->n_fields].type;
  other->next = node->left;
  node->left = second;
  vdb_filter_intersect(b->filter, type, leaf, &b->filter->nodes[other->shadow]);
  return VECDB_OK;
}

VDB_INTERNAL bool vdb_filter_asks(const struct vdb_filter *filter, const struct vdb_schema *schema,
                                  uint32_t path) {
  bool asks = false;
  for (; filter; filter = filter->also)
    for (size_t i = 0; i < filter->n_nodes && !asks; i++) {
      uint32_t shadow = filter->nodes[i].shadow;
      asks = shadow != FILTER_NONE && filter->nodes[shadow].field == schema->n_fields + path;
    }
  return asks;
}

VDB_INTERNAL bool vdb_filter_loses(const struct vdb_filter *filter, uint32_t at) {
  const struct filter_node *node = &filter->nodes[at];
  return node->shadow != FILTER_NONE && node->op == FILTER_OP_IN &&
         filter->sets[node->index].type == FILTER_INT;
}

VDB_INTERNAL bool vdb_filter_negated(const struct vdb_filter *filter, uint32_t at) {
  const struct filter_node *node = &filter->nodes[at];
  bool compares = node->op == FILTER_OP_CMP && node->shadow != FILTER_NONE;
  return compares ? filter->nodes[node->shadow].negate : node->negate;
}
