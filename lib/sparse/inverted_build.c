/*
 * inverted_build.c - writes an inverted index: all pairs of the rows, radix-sorted by index. The
 * sort is stable, so the rows of each index stay in order. See inverted.h.
 */
#include "sparse/inverted.h"
#include "sparse/inverted_format.h"

enum {
  INVERTED_DIGIT = 11, /* bits sorted by at a time */
  INVERTED_DIGITS = 3,
  INVERTED_VALUES = 1 << INVERTED_DIGIT,
  INVERTED_BUFFER = 512, /* items written at a time */
  INVERTED_POLL = 1 << 14 /* pairs: fewer are no long work */
};

struct inverted_item {
  uint32_t index;
  struct vdb_posting posting;
};

struct inverted_build {
  const struct vdb_inverted_build *of;
  struct inverted_item *items;
  size_t n;
  struct vdb_sect_writer *out;
  uint32_t number;
  vecdb_error *err;
};

static size_t inverted_count(const struct vdb_column *column, uint32_t n) {
  size_t pairs = 0;
  for (uint32_t row = 0; row < n; row++)
    pairs += vdb_sparse_count(vdb_column_bytes(column, row));
  return pairs;
}

static void inverted_collect(const struct vdb_column *column, uint32_t n,
                             struct inverted_item *items) {
  for (uint32_t row = 0; row < n; row++) {
    struct vdb_bytes value = vdb_column_bytes(column, row);
    for (size_t i = 0; i < vdb_sparse_count(value); i++) {
      vecdb_sparse_pair pair = vdb_sparse_at(value.data, i);
      *items++ = (struct inverted_item){pair.index, {row, pair.value}};
    }
  }
}

static uint32_t inverted_digit(uint32_t index, unsigned d) {
  return index >> (INVERTED_DIGIT * d) & (INVERTED_VALUES - 1);
}

/* One pass, from `from` to `to`; `counts` says how often each digit comes, and becomes where the
   next of it goes. */
static void inverted_pass(const struct inverted_item *from, struct inverted_item *to, size_t n,
                          unsigned d, size_t *counts) {
  size_t sum = 0;
  for (size_t v = 0; v < INVERTED_VALUES; v++) {
    size_t count = counts[v];
    counts[v] = sum;
    sum += count;
  }
  for (size_t i = 0; i < n; i++)
    to[counts[inverted_digit(from[i].index, d)]++] = from[i];
}

/* Before a pass over n pairs: looks whether to stop, where it is a long one. */
static int inverted_poll(const struct vdb_inverted_build *of, size_t n, vecdb_error *err) {
  bool stopped = n >= INVERTED_POLL && of->stop && of->stop(of->stop_arg);
  return stopped ? vdb_fail(err, VECDB_ERR_CANCELLED, "cancelled") : VECDB_OK;
}

/* Sorts `n` items by index, with room for as many behind them; *items is where they are then. */
static int inverted_sort(const struct vdb_inverted_build *of, struct inverted_item **items,
                         size_t n, vecdb_error *err) {
  struct inverted_item *from = *items, *to = *items + n;
  for (unsigned d = 0; d < INVERTED_DIGITS; d++) {
    size_t counts[INVERTED_VALUES] = {0};
    VDB_TRY(inverted_poll(of, n, err));
    for (size_t i = 0; i < n; i++)
      counts[inverted_digit(from[i].index, d)]++;
    if (n == 0 || counts[inverted_digit(from[0].index, d)] == n)
      continue;
    inverted_pass(from, to, n, d, counts);
    struct inverted_item *swap = from;
    from = to;
    to = swap;
  }
  *items = from;
  return VECDB_OK;
}

static bool inverted_begins(const struct inverted_build *b, size_t i) {
  return i == 0 || b->items[i].index != b->items[i - 1].index;
}

static int inverted_put_indices(const struct inverted_build *b) {
  uint32_t buffer[INVERTED_BUFFER];
  size_t used = 0;
  VDB_TRY(b->out->begin(b->out, VDB_INVERTED_INDICES, b->number, b->err));
  for (size_t i = 0; i < b->n; i++) {
    if (!inverted_begins(b, i))
      continue;
    buffer[used++] = b->items[i].index;
    if (used == INVERTED_BUFFER) {
      VDB_TRY(b->out->append(b->out, buffer, sizeof buffer, b->err));
      used = 0;
    }
  }
  VDB_TRY(b->out->append(b->out, buffer, used * sizeof *buffer, b->err));
  return b->out->end(b->out, b->err);
}

static int inverted_put_begins(const struct inverted_build *b) {
  uint64_t buffer[INVERTED_BUFFER];
  size_t used = 0;
  VDB_TRY(b->out->begin(b->out, VDB_INVERTED_BEGINS, b->number, b->err));
  for (size_t i = 0; i <= b->n; i++) {
    if (i < b->n && !inverted_begins(b, i))
      continue;
    buffer[used++] = i;
    if (used == INVERTED_BUFFER) {
      VDB_TRY(b->out->append(b->out, buffer, sizeof buffer, b->err));
      used = 0;
    }
  }
  VDB_TRY(b->out->append(b->out, buffer, used * sizeof *buffer, b->err));
  return b->out->end(b->out, b->err);
}

static int inverted_put_postings(const struct inverted_build *b) {
  struct vdb_posting buffer[INVERTED_BUFFER];
  VDB_TRY(inverted_poll(b->of, b->n, b->err));
  VDB_TRY(b->out->begin(b->out, VDB_INVERTED_POSTINGS, b->number, b->err));
  for (size_t i = 0; i < b->n;) {
    size_t used = vdb_min_size(b->n - i, INVERTED_BUFFER);
    for (size_t j = 0; j < used; j++)
      buffer[j] = b->items[i++].posting;
    VDB_TRY(b->out->append(b->out, buffer, used * sizeof *buffer, b->err));
  }
  return b->out->end(b->out, b->err);
}

VDB_INTERNAL int vdb_inverted_build(const struct vdb_inverted_build *build, vecdb_error *err) {
  size_t pairs = inverted_count(build->column, build->n);
  struct inverted_item *items = vdb_alloc_array(build->mem, pairs, 2 * sizeof *items);
  if (!items)
    return vdb_fail_memory(err);
  inverted_collect(build->column, build->n, items);
  struct inverted_build b = {build, items, pairs, build->out, build->number, err};
  int rc = inverted_sort(build, &b.items, pairs, err);
  rc = rc ? rc : inverted_put_indices(&b);
  rc = rc ? rc : inverted_put_begins(&b);
  rc = rc ? rc : inverted_put_postings(&b);
  vdb_free(build->mem, items);
  return rc;
}
