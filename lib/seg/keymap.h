/*
 * keymap.h - from key hashes to candidate rows: open addressing with linear probing over 64-bit
 * slots, the same in memory and in files. A slot holds the upper half of the hash and row + 1; 0 is
 * empty. The caller compares keys, so several rows (versions) may have one key. Slots of a growing
 * segment are written by the writer while readers probe: single atomic words, never moved.
 */
#ifndef VDB_KEYMAP_H
#define VDB_KEYMAP_H

#include <stdatomic.h>

#include "base/base.h"

struct vdb_keymap {
  _Atomic uint64_t *slots;
  uint64_t mask; /* slots - 1; slots are a power of two */
};

#define VDB_KEYMAP_REMOVED UINT32_MAX /* row part of a slot that was taken back */

/* Slots for n rows: a power of two, at most half full. */
VDB_INLINE uint64_t vdb_keymap_slots(uint64_t n) {
  uint64_t slots = 16;
  while (slots < n * 2)
    slots *= 2;
  return slots;
}

/* Adds an entry; slots of removed entries are used again. The map must have room. */
VDB_INLINE void vdb_keymap_insert(struct vdb_keymap *map, uint64_t hash, uint32_t row) {
  uint64_t slot = (hash & ~(uint64_t)UINT32_MAX) | ((uint64_t)row + 1);
  uint64_t i = hash & map->mask;
  for (;; i = (i + 1) & map->mask) {
    uint64_t old = atomic_load_explicit(&map->slots[i], memory_order_relaxed);
    if (old == 0 || (uint32_t)old == VDB_KEYMAP_REMOVED)
      break;
  }
  atomic_store_explicit(&map->slots[i], slot, memory_order_release);
}

/* A walk over the rows that may have a key of this hash. */
struct vdb_keymap_walk {
  uint64_t at;
  uint64_t left; /* slots not looked at, so that a hostile file cannot make the walk endless */
  uint32_t tag;
};

VDB_INLINE struct vdb_keymap_walk vdb_keymap_walk(const struct vdb_keymap *map, uint64_t hash) {
  struct vdb_keymap_walk walk = {hash & map->mask, map->mask + 1, (uint32_t)(hash >> 32)};
  return walk;
}

/* The next candidate row, or -1. */
VDB_INLINE int64_t vdb_keymap_next(const struct vdb_keymap *map, struct vdb_keymap_walk *walk) {
  while (walk->left > 0) {
    uint64_t slot = atomic_load_explicit(&map->slots[walk->at], memory_order_acquire);
    if (slot == 0)
      return -1;
    walk->at = (walk->at + 1) & map->mask;
    walk->left--;
    if ((uint32_t)(slot >> 32) == walk->tag && (uint32_t)slot != VDB_KEYMAP_REMOVED)
      return (int64_t)(uint32_t)slot - 1;
  }
  return -1;
}

/* Takes back the entry of (hash, row). */
VDB_INLINE void vdb_keymap_remove(struct vdb_keymap *map, uint64_t hash, uint32_t row) {
  struct vdb_keymap_walk walk = vdb_keymap_walk(map, hash);
  int64_t found;
  while ((found = vdb_keymap_next(map, &walk)) >= 0) {
    if (found == (int64_t)row) {
      uint64_t removed = (hash & ~(uint64_t)UINT32_MAX) | VDB_KEYMAP_REMOVED;
      atomic_store_explicit(&map->slots[(walk.at - 1) & map->mask], removed, memory_order_release);
      return;
    }
  }
}

#endif
