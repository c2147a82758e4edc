/* inverted_open.c - maps an inverted index and checks all of it; see inverted.h. */
#include "sparse/inverted.h"
#include "sparse/inverted_format.h"

enum { INVERTED_LOOK = 1 << 14 /* postings between two looks whether to stop */ };

static int inverted_corrupt(uint32_t number, const char *what, vecdb_error *err) {
  return vdb_fail(err, VECDB_ERR_CORRUPT, "the inverted index of field %u: %s", number, what);
}

/* A section of items of `size` bytes, how many. */
static int inverted_find(const struct vdb_sect_reader *in, uint32_t tag, uint32_t number,
                         size_t size, const void **data, size_t *n, vecdb_error *err) {
  size_t bytes;
  VDB_TRY(in->find(in, tag, number, false, data, &bytes, err));
  if (!*data || bytes % size)
    return inverted_corrupt(number, "a section is missing or has a wrong size", err);
  *n = bytes / size;
  return VECDB_OK;
}

static bool inverted_indices_ascend(const struct vdb_inverted *x) {
  for (size_t i = 1; i < x->n_indices; i++)
    if (x->indices[i - 1] >= x->indices[i])
      return false;
  return true;
}

/* Every index has postings, one after the other, and together they are all. */
static bool inverted_begins_fit(const struct vdb_inverted *x, uint64_t pairs) {
  if (x->begins[0] != 0 || x->begins[x->n_indices] != pairs)
    return false;
  for (size_t i = 0; i < x->n_indices; i++)
    if (x->begins[i] >= x->begins[i + 1])
      return false;
  return true;
}

/* The rows of each index ascend and are there, and their values are numbers. */
static bool inverted_postings_fit(const struct vdb_inverted *x) {
  for (size_t i = 0; i < x->n_indices; i++)
    for (uint64_t p = x->begins[i]; p < x->begins[i + 1]; p++) {
      struct vdb_posting posting = x->postings[p];
      bool ascends = p == x->begins[i] || x->postings[p - 1].row < posting.row;
      if (!ascends || posting.row >= x->n_rows || !__builtin_isfinite(posting.value))
        return false;
    }
  return true;
}

VDB_INTERNAL int vdb_inverted_open(const struct vdb_sect_reader *in, uint32_t number, uint32_t n,
                                   uint64_t pairs, struct vdb_inverted *out, vecdb_error *err) {
  const void *indices, *begins, *postings;
  size_t n_begins, n_postings;
  struct vdb_inverted x = {.n_rows = n};
  VDB_TRY(inverted_find(in, VDB_INVERTED_INDICES, number, sizeof *x.indices, &indices,
                        &x.n_indices, err));
  VDB_TRY(inverted_find(in, VDB_INVERTED_BEGINS, number, sizeof *x.begins, &begins, &n_begins,
                        err));
  VDB_TRY(inverted_find(in, VDB_INVERTED_POSTINGS, number, sizeof *x.postings, &postings,
                        &n_postings, err));
  if (n_begins != x.n_indices + 1 || n_postings != pairs)
    return inverted_corrupt(number, "its sections do not fit each other or the rows", err);
  x.indices = indices;
  x.begins = begins;
  x.postings = postings;
  if (!inverted_indices_ascend(&x) || !inverted_begins_fit(&x, pairs) ||
      !inverted_postings_fit(&x))
    return inverted_corrupt(number, "its postings are not in order", err);
  *out = x;
  return VECDB_OK;
}

/* Whether a row has that value at that index. */
static bool inverted_pair_is(struct vdb_bytes row, uint32_t index, float value) {
  if (!vdb_sparse_has(row, index))
    return false;
  size_t at = vdb_sparse_lower(row.data, vdb_sparse_count(row), index);
  vecdb_sparse_pair pair = vdb_sparse_at(row.data, at);
  return memcmp(&pair.value, &value, sizeof value) == 0;
}

VDB_INTERNAL bool vdb_inverted_matches(const struct vdb_inverted *x,
                                       const struct vdb_column *column, bool (*stop)(void *arg),
                                       void *stop_arg) {
  for (size_t i = 0; i < x->n_indices; i++)
    for (uint64_t p = x->begins[i]; p < x->begins[i + 1]; p++)
      if ((p % INVERTED_LOOK == INVERTED_LOOK - 1 && stop && stop(stop_arg)) ||
          !inverted_pair_is(vdb_column_bytes(column, x->postings[p].row), x->indices[i],
                            x->postings[p].value))
        return false;
  return true;
}
