/* topk.c - binary max-heap of candidates; see topk.h. */
#include "topk.h"

/* Lets items[i] sink until no child is farther; `n` items in the heap. */
static void topk_sink(struct vdb_near *items, size_t n, size_t i) {
  struct vdb_near moving = items[i];
  for (;;) {
    size_t child = 2 * i + 1;
    if (child >= n)
      break;
    if (child + 1 < n && vdb_near_before(items[child], items[child + 1]))
      child++;
    if (!vdb_near_before(moving, items[child]))
      break;
    items[i] = items[child];
    i = child;
  }
  items[i] = moving;
}

static void topk_rise(struct vdb_near *items, size_t i) {
  struct vdb_near moving = items[i];
  while (i > 0) {
    size_t parent = (i - 1) / 2;
    if (!vdb_near_before(items[parent], moving))
      break;
    items[i] = items[parent];
    i = parent;
  }
  items[i] = moving;
}

VDB_INTERNAL void vdb_topk_push(struct vdb_topk *top, struct vdb_near candidate) {
  if (top->n < top->k) {
    top->items[top->n] = candidate;
    topk_rise(top->items, top->n++);
  } else if (top->k > 0 && vdb_near_before(candidate, top->items[0])) {
    top->items[0] = candidate;
    topk_sink(top->items, top->n, 0);
  }
}

/* Heap items in, sorted items out. */
static void topk_unheap(struct vdb_near *items, size_t n) {
  while (n > 1) {
    struct vdb_near last = items[--n];
    items[n] = items[0];
    items[0] = last;
    topk_sink(items, n, 0);
  }
}

VDB_INTERNAL void vdb_topk_sort(struct vdb_topk *top) { topk_unheap(top->items, top->n); }

VDB_INTERNAL void vdb_near_sort(struct vdb_near *items, size_t n) {
  for (size_t i = n / 2; i-- > 0;)
    topk_sink(items, n, i);
  topk_unheap(items, n);
}

/* The middle one of the first, the middle and the last. */
static struct vdb_near topk_pivot(const struct vdb_near *items, size_t n) {
  struct vdb_near a = items[0], b = items[n / 2], c = items[n - 1];
  if (vdb_near_before(b, a)) {
    struct vdb_near t = a;
    a = b;
    b = t;
  }
  return vdb_near_before(c, a) ? a : vdb_near_before(c, b) ? c : b;
}

VDB_INTERNAL void vdb_near_select(struct vdb_near *items, size_t n, size_t k) {
  while (n > 1) {
    struct vdb_near pivot = topk_pivot(items, n);
    ptrdiff_t low = 0;
    ptrdiff_t high = (ptrdiff_t)n - 1;
    while (low <= high) {
      while (vdb_near_before(items[low], pivot))
        low++;
      while (vdb_near_before(pivot, items[high]))
        high--;
      if (low > high)
        break;
      struct vdb_near moving = items[low];
      items[low++] = items[high];
      items[high--] = moving;
    }
    if ((ptrdiff_t)k <= high + 1) {
      n = (size_t)(high + 1);
    } else if ((ptrdiff_t)k > low) {
      items += low;
      n -= (size_t)low;
      k -= (size_t)low;
    } else {
      return;
    }
  }
}
