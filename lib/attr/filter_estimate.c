/*
 * filter_estimate.c - how many rows a filter will pass, before it runs: true counts where the whole
 * filter is one leaf with an index, else a sample of rows at a fixed stride, held inside the bounds
 * that the counts of an `and` or `or` allow.
 */
#include "attr/filter_tree.h"

enum {
  FILTER_ESTIMATE_ROWS = 256, /* sampled */
  FILTER_ESTIMATE_HITS = 16,  /* so many make a sample trustworthy by itself */
  FILTER_ESTIMATE_LEAVES = 64 /* asked of indexes */
};

/* Rows for which a leaf is true, by its index; of rows that this keeps apart as if it were true of
   all of them, and then it is not *exact. */
static bool filter_estimate_leaf(const struct vdb_filter *filter, uint32_t at,
                                 const struct vdb_filter_rows *rows, size_t *count, bool *exact) {
  const struct filter_node *leaf = vdb_filter_leaf(filter, at);
  size_t apart;
  bool nulls = leaf->op == FILTER_OP_NULLS, path = filter->nodes[at].shadow != FILTER_NONE;
  if (nulls && !path) {
    if (rows->columns[leaf->field].nulls && (!rows->indexes || !rows->indexes[leaf->field]))
      return false;
    *count =
        rows->columns[leaf->field].nulls ? vdb_attr_index_nulls(rows->indexes[leaf->field]) : 0;
    *count = leaf->negate ? rows->n - *count : *count;
    return true;
  }
  bool negated = vdb_filter_negated(filter, at);
  if ((negated && vdb_filter_loses(filter, at)) ||
      !vdb_filter_index_count(filter, at, rows, count))
    return false;
  size_t known = rows->n - (nulls ? 0 : vdb_attr_index_nulls(rows->indexes[leaf->field]));
  if (negated)
    *count = known - vdb_min_size(*count, known);
  if (nulls)
    return true;
  vdb_attr_index_apart(rows->indexes[leaf->field], &apart);
  *count += apart;
  *exact = *exact && apart == 0;
  return true;
}

/* What the indexes say of the operands of an AND or OR. */
struct filter_estimate_known {
  double least; /* bounds of the whole group's share */
  double most;
  double independent; /* the share if operands were independent; AND */
  bool any;
};

static struct filter_estimate_known filter_estimate_group(const struct vdb_filter *filter,
                                                          const struct vdb_filter_rows *rows) {
  struct filter_estimate_known known = {0, 1, 1, false};
  const struct filter_node *root = &filter->nodes[filter->root];
  double sum = 0;
  bool all = true, exact = true;
  uint32_t asked = 0;
  for (uint32_t i = root->left; i != FILTER_NONE; i = filter->nodes[i].next) {
    size_t count = 0;
    if (asked++ >= FILTER_ESTIMATE_LEAVES ||
        !filter_estimate_leaf(filter, i, rows, &count, &exact)) {
      all = false;
      continue;
    }
    double share = (double)count / (double)rows->n;
    known.any = true;
    sum += share;
    known.independent *= share;
    if (root->op == FILTER_OP_AND)
      known.most = share < known.most ? share : known.most;
    else
      known.least = share > known.least ? share : known.least;
  }
  if (root->op == FILTER_OP_OR && all && sum < 1)
    known.most = sum;
  return known;
}

/* Sampled rows: those that pass, and those that pass all that no index knows (AND). */
static size_t filter_estimate_sample(const struct vdb_filter *filter,
                                     const struct vdb_filter_rows *rows, size_t n, size_t *rest) {
  const struct filter_node *root = &filter->nodes[filter->root];
  bool split = root->op == FILTER_OP_AND && rows->indexes && rest;
  size_t hits = 0;
  for (size_t i = 0; i < n; i++) {
    size_t row = i * rows->n / n;
    if (!split) {
      hits += vdb_filter_truth(filter, filter->root, rows->columns, row) == FILTER_TRUE;
      continue;
    }
    bool all = true, others = true;
    for (uint32_t k = root->left; k != FILTER_NONE && others; k = filter->nodes[k].next) {
      uint32_t field = vdb_filter_leaf(filter, k)->field;
      bool indexed = field != FILTER_NONE && rows->indexes[field];
      if (!all && indexed)
        continue;
      bool yes = vdb_filter_truth(filter, k, rows->columns, row) == FILTER_TRUE;
      all = all && yes;
      others = others && (yes || indexed);
    }
    hits += all && others;
    *rest += others;
  }
  return hits;
}

static double filter_estimate_one(const struct vdb_filter *filter,
                                  const struct vdb_filter_rows *rows, bool *exact) {
  *exact = true;
  const struct filter_node *root = &filter->nodes[filter->root];
  if (rows->n == 0)
    return 0;
  if (root->op == FILTER_OP_CONST)
    return root->known && root->low.integer ? 1 : 0;
  size_t count = 0, rest = 0;
  if (filter_estimate_leaf(filter, filter->root, rows, &count, exact))
    return (double)count / (double)rows->n;
  if (rows->n <= FILTER_ESTIMATE_ROWS)
    return (double)filter_estimate_sample(filter, rows, rows->n, NULL) / (double)rows->n;
  *exact = false;
  struct filter_estimate_known known = {0, 1, 1, false};
  if (root->op == FILTER_OP_AND || root->op == FILTER_OP_OR)
    known = filter_estimate_group(filter, rows);
  size_t hits = filter_estimate_sample(filter, rows, FILTER_ESTIMATE_ROWS, &rest);
  double share = ((double)hits + 0.5) / (FILTER_ESTIMATE_ROWS + 1);
  if (hits < FILTER_ESTIMATE_HITS && known.any && root->op == FILTER_OP_AND) {
    double product = known.independent * ((double)rest + 0.5) / (FILTER_ESTIMATE_ROWS + 1);
    share = hits == 0 && share < product ? share : product > share / 8 ? product : share / 8;
  }
  share = share > known.most ? known.most : share;
  return share < known.least ? known.least : share;
}

VDB_INTERNAL double vdb_filter_estimate(const struct vdb_filter *filter,
                                        const struct vdb_filter_rows *rows, bool *exact) {
  double share = 1;
  bool alone = !filter || !filter->also;
  *exact = true;
  for (; filter; filter = filter->also) {
    bool one;
    double passing = filter_estimate_one(filter, rows, &one);
    share *= passing;
    *exact = *exact && one && (alone || passing == 0 || passing == 1);
  }
  return share;
}
