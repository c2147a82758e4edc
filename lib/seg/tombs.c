/* tombs.c - pages of delete marks, made on demand; see tombs.h. */
#include "seg/tombs.h"

#include "base/check.h"

enum { TOMBS_PAGE_ROWS = 1024 };

struct tombs_page {
  _Atomic uint64_t seq[TOMBS_PAGE_ROWS];
};

struct vdb_tombs {
  _Atomic uint32_t refs;
  _Atomic uint32_t count;
  uint32_t n_pages;
  struct tombs_page *_Atomic pages[]; /* NULL: no marks in these rows */
};

VDB_INTERNAL struct vdb_tombs *vdb_tombs_new(struct vdb_mem *mem, uint32_t n) {
  uint32_t n_pages = (uint32_t)(((uint64_t)n + TOMBS_PAGE_ROWS - 1) / TOMBS_PAGE_ROWS);
  size_t size = sizeof(struct vdb_tombs) + n_pages * sizeof(struct tombs_page *);
  struct vdb_tombs *tombs = vdb_alloc_zero(mem, size);
  if (!tombs)
    return NULL;
  atomic_init(&tombs->refs, 1);
  tombs->n_pages = n_pages;
  return tombs;
}

VDB_INTERNAL struct vdb_tombs *vdb_tombs_ref(struct vdb_tombs *tombs) {
  atomic_fetch_add_explicit(&tombs->refs, 1, memory_order_relaxed);
  return tombs;
}

VDB_INTERNAL void vdb_tombs_unref(struct vdb_mem *mem, struct vdb_tombs *tombs) {
  if (!tombs || atomic_fetch_sub_explicit(&tombs->refs, 1, memory_order_acq_rel) != 1)
    return;
  for (uint32_t p = 0; p < tombs->n_pages; p++)
    vdb_free(mem, atomic_load_explicit(&tombs->pages[p], memory_order_relaxed));
  vdb_free(mem, tombs);
}

static struct tombs_page *tombs_page_of(const struct vdb_tombs *tombs, uint32_t row) {
  vdb_assert(row / TOMBS_PAGE_ROWS < tombs->n_pages);
  return atomic_load_explicit(&tombs->pages[row / TOMBS_PAGE_ROWS], memory_order_acquire);
}

VDB_INTERNAL bool vdb_tombs_reserve(struct vdb_mem *mem, struct vdb_tombs *tombs, uint32_t row) {
  if (tombs_page_of(tombs, row))
    return true;
  struct tombs_page *page = vdb_alloc_zero(mem, sizeof *page);
  if (!page)
    return false;
  atomic_store_explicit(&tombs->pages[row / TOMBS_PAGE_ROWS], page, memory_order_release);
  return true;
}

VDB_INTERNAL void vdb_tombs_trim(struct vdb_mem *mem, struct vdb_tombs *tombs) {
  for (uint32_t p = 0; p < tombs->n_pages; p++) {
    struct tombs_page *page = atomic_load_explicit(&tombs->pages[p], memory_order_relaxed);
    bool marks = false;
    for (uint32_t i = 0; page && !marks && i < TOMBS_PAGE_ROWS; i++)
      marks = atomic_load_explicit(&page->seq[i], memory_order_relaxed) != 0;
    if (page && !marks) {
      atomic_store_explicit(&tombs->pages[p], NULL, memory_order_relaxed);
      vdb_free(mem, page);
    }
  }
}

VDB_INTERNAL void vdb_tombs_mark(struct vdb_tombs *tombs, uint32_t row, uint64_t seq) {
  struct tombs_page *page = tombs_page_of(tombs, row);
  vdb_assert(page && seq > 0 && vdb_tombs_at(tombs, row) == 0);
  atomic_store_explicit(&page->seq[row % TOMBS_PAGE_ROWS], seq, memory_order_relaxed);
  atomic_fetch_add_explicit(&tombs->count, 1, memory_order_relaxed);
}

VDB_INTERNAL void vdb_tombs_unmark(struct vdb_tombs *tombs, uint32_t row) {
  struct tombs_page *page = tombs_page_of(tombs, row);
  vdb_assert(page && vdb_tombs_at(tombs, row) != 0);
  atomic_store_explicit(&page->seq[row % TOMBS_PAGE_ROWS], 0, memory_order_relaxed);
  atomic_fetch_sub_explicit(&tombs->count, 1, memory_order_relaxed);
}

VDB_INTERNAL uint64_t vdb_tombs_at(const struct vdb_tombs *tombs, uint32_t row) {
  const struct tombs_page *page = tombs_page_of(tombs, row);
  return page ? atomic_load_explicit(&page->seq[row % TOMBS_PAGE_ROWS], memory_order_relaxed) : 0;
}

VDB_INTERNAL uint32_t vdb_tombs_count(const struct vdb_tombs *tombs) {
  return atomic_load_explicit(&tombs->count, memory_order_relaxed);
}

VDB_INTERNAL void vdb_tombs_clear_dead(const struct vdb_tombs *tombs, uint32_t first, uint32_t n,
                                       uint64_t seq, uint64_t *bits) {
  uint32_t end = first + n;
  for (uint32_t row = first; row < end;) {
    uint32_t page_end = (row / TOMBS_PAGE_ROWS + 1) * TOMBS_PAGE_ROWS;
    uint32_t stop = vdb_min_u32(end, page_end);
    const struct tombs_page *page = tombs_page_of(tombs, row);
    if (!page) {
      row = stop;
      continue;
    }
    for (; row < stop; row++) {
      uint64_t at = atomic_load_explicit(&page->seq[row % TOMBS_PAGE_ROWS], memory_order_relaxed);
      if (at != 0 && at <= seq)
        vdb_bit_clear(bits, row - first);
    }
  }
}
