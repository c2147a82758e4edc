/*
 * stock.h - memory of searches, kept between them: slots that a thread takes a block from and gives
 * it back to, without a lock. Who uses it makes a block when there is none to take, and frees one
 * when there is no slot for it.
 */
#ifndef VDB_STOCK_H
#define VDB_STOCK_H

#include <stdatomic.h>

#include "base/base.h"

enum { VDB_STOCK_SLOTS = 32 };

struct vdb_stock {
  _Atomic(void *) slots[VDB_STOCK_SLOTS];
};

VDB_INLINE void vdb_stock_init(struct vdb_stock *stock) {
  for (size_t i = 0; i < VDB_STOCK_SLOTS; i++)
    atomic_init(&stock->slots[i], NULL);
}

/* Where a thread begins to look: threads have stacks of their own, so that each tends to get back
   what it gave. */
VDB_INLINE size_t vdb_stock_start(const void *on_stack) {
  return (size_t)(((uintptr_t)on_stack >> 16) * 0x9e3779b97f4a7c15u >> 32);
}

/* A block, or NULL when there is none. */
VDB_INLINE void *vdb_stock_take(struct vdb_stock *stock) {
  size_t start = vdb_stock_start(&stock);
  for (size_t i = 0; i < VDB_STOCK_SLOTS; i++) {
    _Atomic(void *) *slot = &stock->slots[(start + i) % VDB_STOCK_SLOTS];
    if (!atomic_load_explicit(slot, memory_order_relaxed))
      continue;
    void *block = atomic_exchange_explicit(slot, NULL, memory_order_acquire);
    if (block)
      return block;
  }
  return NULL;
}

/* Takes a block back; false when all slots are full. */
VDB_INLINE bool vdb_stock_give(struct vdb_stock *stock, void *block) {
  size_t start = vdb_stock_start(&stock);
  for (size_t i = 0; i < VDB_STOCK_SLOTS; i++) {
    _Atomic(void *) *slot = &stock->slots[(start + i) % VDB_STOCK_SLOTS];
    void *empty = NULL;
    if (atomic_compare_exchange_strong_explicit(slot, &empty, block, memory_order_release,
                                                memory_order_relaxed))
      return true;
  }
  return false;
}

#endif
