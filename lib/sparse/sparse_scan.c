/* sparse_scan.c - sparse rows compared one by one; see sparse_scan.h. */
#include "sparse/sparse_scan.h"

#include "base/bitmap.h"

enum { SPARSE_SCAN_BLOCK = 256 }; /* rows between looks at `stop` */

/* The first pair from `i` on whose index is at least `index`: in steps that double, and then by
   halving, so that a short vector meets a long one in few looks. */
static size_t sparse_skip(const void *pairs, size_t n, size_t i, uint32_t index) {
  size_t step = 1;
  while (step < n - i && vdb_sparse_at(pairs, i + step).index < index) {
    i += step;
    step *= 2;
  }
  size_t end = vdb_min_size(n, i + step + 1);
  const uint8_t *from = (const uint8_t *)pairs + i * sizeof(vecdb_sparse_pair);
  return i + vdb_sparse_lower(from, end - i, index);
}

VDB_INTERNAL bool vdb_sparse_dot(const vecdb_sparse *query, struct vdb_bytes row, double *out) {
  size_t n = query->n, m = vdb_sparse_count(row);
  double sum = 0;
  bool shared = false;
  for (size_t i = 0, j = 0; i < n && j < m;) {
    vecdb_sparse_pair a = vdb_sparse_at(query->pairs, i), b = vdb_sparse_at(row.data, j);
    if (a.index < b.index) {
      i = sparse_skip(query->pairs, n, i, b.index);
    } else if (a.index > b.index) {
      j = sparse_skip(row.data, m, j, a.index);
    } else {
      sum += (double)a.value * (double)b.value;
      shared = true;
      i++;
      j++;
    }
  }
  *out = sum;
  return shared;
}

VDB_INTERNAL void vdb_sparse_scan(const struct vdb_column *column, uint32_t n, uint32_t base,
                                  struct vdb_search *s) {
  for (uint32_t row = 0; row < n; row++) {
    if (row % SPARSE_SCAN_BLOCK == 0 && s->stop && s->stop(s->stop_arg))
      return;
    if (s->allow && !vdb_bit_get(s->allow, row))
      continue;
    double product;
    if (vdb_sparse_dot(s->sparse, vdb_column_bytes(column, row), &product))
      vdb_sparse_offer(s, base + row, product);
  }
}
