/*
 * filter_scan.c - a filter over many rows: blocks of FILTER_BLOCK rows, each node giving two sets
 * of bits, the rows where it is true and those where it is false (in neither: unknown). `want`
 * holds the rows that still matter; the bits of others mean nothing. Leaves that an index answers
 * cheaper than a scan are marked for all rows at once before the first block.
 */
#include "attr/filter_tree.h"

enum {
  FILTER_SCAN_WORDS = FILTER_BLOCK / 64,
  FILTER_SCAN_MARKS = 64,
  /* costs of a row in quarters of a nanosecond, roughly */
  FILTER_SCAN_FIXED = 2,
  FILTER_SCAN_TEXT = 32,
  FILTER_SCAN_LIKE = 160,
  FILTER_SCAN_JSON = 800,
  FILTER_SCAN_SINGLE = 48, /* by itself, not as one of a block */
  FILTER_SCAN_MARK = 6
};

struct filter_scan {
  const struct vdb_filter *filter;
  const struct vdb_filter_rows *rows;
  struct vdb_mem *mem;
  uint64_t **marks; /* per node, and then per node the rows where it is known, or NULL: where it is
                       not true it counts as false; NULL: none */
  uint32_t n_marks;
  size_t first; /* of the block */
  size_t n;
  bool (*stop)(void *arg); /* NULL: never */
  void *stop_arg;
  bool stopped;
};

struct filter_scan_bits {
  uint64_t yes[FILTER_SCAN_WORDS];
  uint64_t no[FILTER_SCAN_WORDS];
};

static void filter_scan_node(const struct filter_scan *s, uint32_t at, const uint64_t *want,
                             struct filter_scan_bits *out);

static bool filter_scan_empty(const uint64_t *want) {
  uint64_t any = 0;
  for (unsigned w = 0; w < FILTER_SCAN_WORDS; w++)
    any |= want[w];
  return any == 0;
}

/* ---- leaves ---- */

static void filter_scan_rows(const struct filter_scan *s, uint32_t at, const uint64_t *want,
                             struct filter_scan_bits *out) {
  memset(out, 0, sizeof *out);
  for (size_t i = vdb_bits_next(want, s->n, 0); i < s->n; i = vdb_bits_next(want, s->n, i + 1)) {
    enum filter_truth truth = vdb_filter_truth(s->filter, at, s->rows->columns, s->first + i);
    if (truth == FILTER_TRUE)
      vdb_bit_set(out->yes, i);
    else if (truth == FILTER_FALSE)
      vdb_bit_set(out->no, i);
  }
}

/* `like` on a field, for the wanted rows. */
static void filter_scan_like(const struct filter_scan *s, const struct filter_node *leaf,
                             const uint64_t *want, struct filter_scan_bits *out) {
  const struct filter_like *like = &s->filter->likes[leaf->index];
  const struct vdb_column *column = &s->rows->columns[leaf->field];
  const uint8_t *pool = s->filter->pool.data;
  memset(out, 0, sizeof *out);
  for (size_t w = 0; w < vdb_bits_words(s->n); w++) {
    for (uint64_t left = want[w]; left; left &= left - 1) {
      size_t row = s->first + w * 64 + (size_t)__builtin_ctzll(left);
      if (vdb_column_is_null(column, row))
        continue;
      bool yes = vdb_filter_like_match(like, pool, vdb_column_bytes(column, row)) != leaf->negate;
      uint64_t *bits = yes ? out->yes : out->no;
      bits[w] |= left & -left;
    }
  }
}

/* Bits of the block's rows that are null; false when none can be. */
static bool filter_scan_nulls(const struct filter_scan *s, uint32_t field, uint64_t *nulls) {
  const struct vdb_column *column = &s->rows->columns[field];
  if (!column->nulls)
    return false;
  memset(nulls, 0, FILTER_SCAN_WORDS * sizeof *nulls);
  if (!column->constant)
    vdb_filter_pack(column->nulls + s->first, s->n, nulls);
  else if (column->nulls[0])
    vdb_bits_fill(nulls, s->n);
  return true;
}

/* From match bits in out->yes to both sets. */
static void filter_scan_split(const struct filter_scan *s, const struct filter_node *leaf,
                              struct filter_scan_bits *out) {
  uint64_t nulls[FILTER_SCAN_WORDS];
  bool some = filter_scan_nulls(s, leaf->field, nulls);
  for (size_t w = 0; w < FILTER_SCAN_WORDS; w++) {
    uint64_t known = some ? ~nulls[w] : ~(uint64_t)0;
    uint64_t match = leaf->negate ? ~out->yes[w] : out->yes[w];
    out->yes[w] = match & known;
    out->no[w] = ~match & known;
  }
}

static void filter_scan_marked(const struct filter_scan *s, uint32_t at,
                               struct filter_scan_bits *out) {
  const struct filter_node *node = &s->filter->nodes[at];
  const uint64_t *known = s->marks[s->filter->n_nodes + at];
  size_t words = vdb_bits_words(s->n);
  memset(out, 0, sizeof *out);
  memcpy(out->yes, s->marks[at] + s->first / 64, words * sizeof *out->yes);
  if (node->shadow == FILTER_NONE) {
    filter_scan_split(s, node, out);
    return;
  }
  for (size_t w = 0; w < words; w++)
    out->no[w] = ~out->yes[w] & (known ? known[s->first / 64 + w] : ~(uint64_t)0);
}

static void filter_scan_leaf(const struct filter_scan *s, uint32_t at, const uint64_t *want,
                             struct filter_scan_bits *out) {
  const struct filter_node *leaf = &s->filter->nodes[at];
  if (leaf->op == FILTER_OP_LIKE) {
    filter_scan_like(s, leaf, want, out);
    return;
  }
  const struct vdb_column *column = &s->rows->columns[leaf->field];
  size_t wanted = vdb_bits_count(want, FILTER_BLOCK);
  if (wanted * (leaf->op == FILTER_OP_IN ? 4 : column->width ? 16 : 8) < s->n) {
    filter_scan_rows(s, at, want, out);
    return;
  }
  memset(out, 0, sizeof *out);
  vdb_filter_match(s->filter, leaf, column, s->first, s->n, out->yes);
  filter_scan_split(s, leaf, out);
}

static void filter_scan_is_null(const struct filter_scan *s, const struct filter_node *leaf,
                                struct filter_scan_bits *out) {
  if (!filter_scan_nulls(s, leaf->field, out->yes))
    memset(out->yes, 0, sizeof out->yes);
  for (size_t w = 0; w < FILTER_SCAN_WORDS; w++) {
    out->yes[w] = leaf->negate ? ~out->yes[w] : out->yes[w];
    out->no[w] = ~out->yes[w];
  }
}

/* ---- groups ---- */

/* `and` is kept as `or` with both sets exchanged. */
static void filter_scan_group(const struct filter_scan *s, const struct filter_node *node,
                              const uint64_t *want, struct filter_scan_bits *out) {
  bool all = node->op == FILTER_OP_AND;
  uint64_t *some = all ? out->no : out->yes, *every = all ? out->yes : out->no;
  uint64_t left[FILTER_SCAN_WORDS];
  memcpy(left, want, sizeof left);
  memset(some, 0, sizeof out->yes);
  memset(every, 0xff, sizeof out->yes);
  for (int round = s->marks ? 0 : 1; round < 2; round++) { /* first what indexes have answered */
    for (uint32_t i = node->left; i != FILTER_NONE; i = s->filter->nodes[i].next) {
      bool marked = s->marks && s->marks[i];
      if (marked != (round == 0))
        continue;
      struct filter_scan_bits part;
      filter_scan_node(s, i, left, &part);
      const uint64_t *part_some = all ? part.no : part.yes, *part_every = all ? part.yes : part.no;
      for (unsigned w = 0; w < FILTER_SCAN_WORDS; w++) {
        some[w] |= part_some[w] & left[w];
        every[w] &= part_every[w];
        left[w] &= ~part_some[w];
      }
      if (filter_scan_empty(left))
        return;
    }
  }
}

static void filter_scan_node(const struct filter_scan *s, uint32_t at, const uint64_t *want,
                             struct filter_scan_bits *out) {
  const struct filter_node *node = &s->filter->nodes[at];
  if (s->marks && s->marks[at]) {
    filter_scan_marked(s, at, out);
    return;
  }
  switch (node->op) {
  case FILTER_OP_AND:
  case FILTER_OP_OR:
    filter_scan_group(s, node, want, out);
    break;
  case FILTER_OP_NOT: {
    struct filter_scan_bits part;
    filter_scan_node(s, node->left, want, &part);
    memcpy(out->yes, part.no, sizeof out->yes);
    memcpy(out->no, part.yes, sizeof out->no);
    break;
  }
  case FILTER_OP_CONST: {
    bool yes = node->known && node->low.integer, no = node->known && !node->low.integer;
    memset(out->yes, yes ? 0xff : 0, sizeof out->yes);
    memset(out->no, no ? 0xff : 0, sizeof out->no);
    break;
  }
  case FILTER_OP_NULLS:
    filter_scan_is_null(s, node, out);
    break;
  case FILTER_OP_RANGE:
    filter_scan_leaf(s, at, want, out);
    break;
  default:
    if ((node->op == FILTER_OP_IN || node->op == FILTER_OP_LIKE) && node->field != FILTER_NONE)
      filter_scan_leaf(s, at, want, out);
    else
      filter_scan_rows(s, at, want, out);
    break;
  }
}

/* ---- planning ---- */

/* What scanning a leaf costs where `limit` rows are left to look at. */
static uint64_t filter_scan_cost(const struct filter_scan *s, const struct filter_node *leaf,
                                 size_t limit) {
  uint64_t row = leaf->shadow != FILTER_NONE           ? FILTER_SCAN_JSON
                 : leaf->op == FILTER_OP_LIKE            ? FILTER_SCAN_LIKE
                 : leaf->op == FILTER_OP_IN            ? FILTER_SCAN_TEXT
                 : s->rows->columns[leaf->field].width ? FILTER_SCAN_FIXED
                                                       : FILTER_SCAN_TEXT;
  uint64_t dense = (uint64_t)s->rows->n * row,
           sparse = (uint64_t)limit * (row + FILTER_SCAN_SINGLE);
  return dense < sparse ? dense : sparse;
}

/* Makes of the rows whose value matches those where the node is true, and, where `known` is given,
   those where it is not unknown: which rows have a value the index knows, and of those that it
   keeps apart they say it themselves. */
static void filter_scan_settle(struct filter_scan *s, uint32_t at, uint64_t *yes,
                               uint64_t *known) {
  const struct vdb_attr_index *index =
      s->rows->indexes[vdb_filter_leaf(s->filter, at)->field];
  struct vdb_attr_range all = {NULL, NULL, false, false};
  size_t n;
  const uint32_t *apart = vdb_attr_index_apart(index, &n);
  if (vdb_filter_leaf(s->filter, at)->op == FILTER_OP_NULLS) { /* never unknown */
    for (size_t w = 0; vdb_filter_negated(s->filter, at) && w < vdb_bits_words(s->rows->n); w++)
      yes[w] = ~yes[w];
    return;
  }
  if (known)
    vdb_attr_index_mark(index, all, known);
  for (size_t w = 0; vdb_filter_negated(s->filter, at) && w < vdb_bits_words(s->rows->n); w++)
    yes[w] = known[w] & ~yes[w];
  for (size_t i = 0; i < n && !s->stopped; i++) {
    enum filter_truth truth = vdb_filter_truth(s->filter, at, s->rows->columns, apart[i]);
    s->stopped = (i + 1) % FILTER_BLOCK == 0 && s->stop && s->stop(s->stop_arg);
    if (truth == FILTER_TRUE)
      vdb_bit_set(yes, apart[i]);
    if (known && truth != FILTER_UNKNOWN)
      vdb_bit_set(known, apart[i]);
  }
}

/* What marking a node costs, of whose rows `count` match. */
static uint64_t filter_scan_mark_cost(const struct filter_scan *s, uint32_t at, size_t count,
                                      bool known) {
  size_t apart, words = vdb_bits_words(s->rows->n);
  uint64_t cost = (uint64_t)count * FILTER_SCAN_MARK + words;
  if (vdb_filter_leaf(s->filter, at)->op == FILTER_OP_NULLS) /* the others are marked */
    return (uint64_t)(s->rows->n - count) * FILTER_SCAN_MARK + words;
  vdb_attr_index_apart(s->rows->indexes[vdb_filter_leaf(s->filter, at)->field], &apart);
  return cost + (known ? (uint64_t)s->rows->n * FILTER_SCAN_MARK : 0) +
         (uint64_t)apart * (FILTER_SCAN_JSON + FILTER_SCAN_SINGLE);
}

/* Marks a node if that is cheaper than a scan; `under`: under a `not`. */
static int filter_scan_mark(struct filter_scan *s, uint32_t at, size_t limit, bool under,
                            vecdb_error *err) {
  const struct filter_node *node = &s->filter->nodes[at];
  size_t count, n_nodes = s->filter->n_nodes, words = vdb_bits_words(s->rows->n);
  bool path = node->shadow != FILTER_NONE,
       nulls = vdb_filter_leaf(s->filter, at)->op == FILTER_OP_NULLS,
       known = path && !nulls && (under || vdb_filter_negated(s->filter, at));
  if (s->stopped || s->n_marks >= FILTER_SCAN_MARKS || (known && vdb_filter_loses(s->filter, at)) ||
      !vdb_filter_index_count(s->filter, at, s->rows, &count))
    return VECDB_OK;
  if (filter_scan_mark_cost(s, at, count, known) > filter_scan_cost(s, node, limit))
    return VECDB_OK;
  if (!s->marks) {
    s->marks = vdb_alloc_zero(s->mem, 2 * n_nodes * sizeof *s->marks);
    if (!s->marks)
      return vdb_fail_memory(err);
  }
  s->marks[at] = vdb_alloc_zero(s->mem, words * sizeof **s->marks);
  if (known)
    s->marks[n_nodes + at] = vdb_alloc_zero(s->mem, words * sizeof **s->marks);
  if (!s->marks[at] || (known && !s->marks[n_nodes + at]))
    return vdb_fail_memory(err);
  s->n_marks++;
  vdb_filter_index_mark(s->filter, at, s->rows, s->marks[at]);
  if (path)
    filter_scan_settle(s, at, s->marks[at], s->marks[n_nodes + at]);
  return VECDB_OK;
}

/* Marks leaves under `at`, of whose rows at most `limit` can still matter. */
static int filter_scan_plan(struct filter_scan *s, uint32_t at, size_t limit, bool under,
                            vecdb_error *err) {
  const struct filter_node *node = &s->filter->nodes[at];
  if (node->op == FILTER_OP_NOT)
    return filter_scan_plan(s, node->left, limit, true, err);
  if (node->shadow != FILTER_NONE || (node->op != FILTER_OP_AND && node->op != FILTER_OP_OR))
    return filter_scan_mark(s, at, limit, under, err);
  uint32_t best = FILTER_NONE;
  size_t fewest = limit;
  for (uint32_t i = node->left; node->op == FILTER_OP_AND && i != FILTER_NONE;
       i = s->filter->nodes[i].next) {
    size_t count;
    if (!vdb_filter_negated(s->filter, i) &&
        vdb_filter_index_count(s->filter, i, s->rows, &count) && count < fewest) {
      best = i;
      fewest = count;
    }
  }
  if (best != FILTER_NONE)
    VDB_TRY(filter_scan_mark(s, best, limit, under, err));
  if (best != FILTER_NONE && !(s->marks && s->marks[best]))
    fewest = limit;
  for (uint32_t i = node->left; i != FILTER_NONE; i = s->filter->nodes[i].next)
    if (i != best)
      VDB_TRY(filter_scan_plan(s, i, fewest, under, err));
  return VECDB_OK;
}

static void filter_scan_fini(struct filter_scan *s) {
  for (size_t i = 0; s->marks && i < 2 * s->filter->n_nodes; i++)
    vdb_free(s->mem, s->marks[i]);
  vdb_free(s->mem, s->marks);
}

/* Whether the filter is one leaf that is marked and nowhere unknown where it is marked: then its
   marks are the rows that pass. Indexes list no nulls. */
static bool filter_scan_is_mark(const struct filter_scan *s) {
  const struct filter_node *root = &s->filter->nodes[s->filter->root];
  return s->marks && s->marks[s->filter->root] &&
         (root->shadow != FILTER_NONE || !vdb_filter_negated(s->filter, s->filter->root));
}

/* Clears the bits of the rows that do not pass one filter. */
static int filter_scan_one(struct vdb_mem *mem, const struct vdb_filter *filter,
                           const struct vdb_filter_rows *rows, bool (*stop)(void *arg),
                           void *stop_arg, uint64_t *bits, bool *stopped, vecdb_error *err) {
  struct filter_scan s = {.filter = filter, .rows = rows, .mem = mem, .stop = stop,
                          .stop_arg = stop_arg};
  int rc = VECDB_OK;
  if (rows->indexes && rows->n)
    rc = filter_scan_plan(&s, filter->root, rows->n, false, err);
  const uint64_t *marks = filter_scan_is_mark(&s) ? s.marks[filter->root] : NULL;
  for (; rc == VECDB_OK && s.first < rows->n && !s.stopped; s.first += FILTER_BLOCK) {
    s.n = vdb_min_size(FILTER_BLOCK, rows->n - s.first);
    uint64_t want[FILTER_SCAN_WORDS] = {0};
    struct filter_scan_bits out;
    size_t first = s.first / 64, words = vdb_bits_words(s.n);
    memcpy(want, bits + first, words * sizeof *want);
    if (!marks)
      filter_scan_node(&s, filter->root, want, &out);
    const uint64_t *yes = marks ? marks + first : out.yes;
    for (size_t w = 0; w < words; w++)
      bits[first + w] = yes[w] & want[w];
    s.stopped = stop && stop(stop_arg);
  }
  *stopped = s.stopped;
  filter_scan_fini(&s);
  return rc;
}

VDB_INTERNAL int vdb_filter_bitmap(struct vdb_mem *mem, const struct vdb_filter *filter,
                                   const struct vdb_filter_rows *rows, bool (*stop)(void *arg),
                                   void *stop_arg, uint64_t *bits, bool *stopped,
                                   vecdb_error *err) {
  *stopped = false;
  vdb_bits_fill(bits, rows->n);
  for (; filter && !*stopped; filter = filter->also)
    VDB_TRY(filter_scan_one(mem, filter, rows, stop, stop_arg, bits, stopped, err));
  return VECDB_OK;
}
