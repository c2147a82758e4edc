/*
 * hot.c - blocks in sets of eight places, and a sketch of how often blocks are asked for, in
 * sixteen parts so that threads seldom write to the same lines; see hot.h.
 */
#include "base/hot.h"

#include "base/err.h"
#include "base/sum.h"

enum {
  HOT_PARTS = 16,
  HOT_PART_SHIFT = 60,     /* of a hash: the bits that say which part */
  HOT_WAYS = 8,            /* places of a set */
  HOT_COUNTERS = 8,        /* of the sketch, for each place */
  HOT_PROBES = 4,          /* counters of a block */
  HOT_COUNT_MOST = 15,
  HOT_SAMPLE = 10,         /* blocks asked for, for each place, between two halvings */
  HOT_SPARE = 1 << 20,     /* bytes of a budget that are left to others */
  HOT_BLOCK_HEAD = 16,     /* what a block takes besides its bytes */
  HOT_LOOKS = 16,          /* places looked at to make room for a block */
  HOT_SETS_MOST = 1 << 25  /* of a part */
};
#define HOT_TAKEN (1u << 31) /* of a state: one thread changes the place; the rest are readers */

struct hot_way {
  _Atomic uint64_t key;   /* owner and number; 0: empty */
  _Atomic uint32_t state;
  uint32_t bytes;         /* read by readers, changed by who has taken it, as is block */
  uint8_t *block;
};

struct hot_part {
  struct hot_way *ways;
  _Atomic uint8_t *sketch;
  _Atomic uint64_t asked, hits, misses, entries;
  uint8_t pad[64]; /* to the lines of the next part */
};

struct vdb_hot {
  struct vdb_mem *mem;
  uint64_t room;           /* bytes of blocks, at most */
  uint32_t sets;           /* of a part */
  _Atomic uint64_t used;
  _Atomic uint64_t cursor; /* where the next place is taken that must be freed */
  _Atomic uint32_t owners;
  struct hot_part parts[HOT_PARTS];
};

struct hot_place {
  struct hot_part *part;
  struct hot_way *set;
  uint64_t key, hash;
};

static size_t hot_ways(const struct vdb_hot *hot) { return (size_t)hot->sets * HOT_WAYS; }

static struct hot_place hot_place(struct vdb_hot *hot, uint64_t key) {
  uint64_t hash = vdb_mix64(key);
  struct hot_part *part = &hot->parts[hash >> HOT_PART_SHIFT];
  uint64_t set = (hash & UINT32_MAX) * hot->sets >> 32;
  return (struct hot_place){part, part->ways + set * HOT_WAYS, key, hash};
}

static uint64_t hot_key(uint32_t owner, uint32_t number) { return (uint64_t)owner << 32 | number; }

/* ---- how often ------------------------------------------------------------------------------ */

static _Atomic uint8_t *hot_counter(const struct vdb_hot *hot, const struct hot_part *part,
                                    uint64_t hash, uint32_t i) {
  uint32_t at = (uint32_t)(hash >> 28) + i * (uint32_t)(hash | 1);
  return &part->sketch[(uint64_t)at * (hot_ways(hot) * HOT_COUNTERS) >> 32];
}

/* How often a block of that hash was asked for lately, at most. */
static uint8_t hot_often(const struct vdb_hot *hot, const struct hot_part *part, uint64_t hash) {
  uint8_t least = HOT_COUNT_MOST;
  for (uint32_t i = 0; i < HOT_PROBES; i++) {
    uint8_t count = atomic_load_explicit(hot_counter(hot, part, hash, i), memory_order_relaxed);
    least = count < least ? count : least;
  }
  return least;
}

static void hot_halve(const struct vdb_hot *hot, struct hot_part *part) {
  for (size_t i = 0; i < hot_ways(hot) * HOT_COUNTERS; i++) {
    uint8_t count = atomic_load_explicit(&part->sketch[i], memory_order_relaxed);
    atomic_store_explicit(&part->sketch[i], count / 2, memory_order_relaxed);
  }
}

/* Counts a block that is asked for. Counts that two threads add at once may be one: it is a sketch.
 */
static void hot_ask(const struct vdb_hot *hot, const struct hot_place *p, bool found) {
  for (uint32_t i = 0; i < HOT_PROBES; i++) {
    _Atomic uint8_t *counter = hot_counter(hot, p->part, p->hash, i);
    uint8_t count = atomic_load_explicit(counter, memory_order_relaxed);
    if (count < HOT_COUNT_MOST)
      atomic_store_explicit(counter, count + 1, memory_order_relaxed);
  }
  atomic_fetch_add_explicit(found ? &p->part->hits : &p->part->misses, 1, memory_order_relaxed);
  uint64_t asked = 1 + atomic_fetch_add_explicit(&p->part->asked, 1, memory_order_relaxed);
  if (asked % (hot_ways(hot) * HOT_SAMPLE) == 0)
    hot_halve(hot, p->part);
}

/* ---- places --------------------------------------------------------------------------------- */

static bool hot_hold(struct hot_way *way) {
  if (!(atomic_fetch_add_explicit(&way->state, 1, memory_order_acquire) & HOT_TAKEN))
    return true;
  atomic_fetch_sub_explicit(&way->state, 1, memory_order_relaxed);
  return false;
}

static void hot_let_go(struct hot_way *way) {
  atomic_fetch_sub_explicit(&way->state, 1, memory_order_release);
}

/* For changing it: nobody reads it, and nobody else changes it. */
static bool hot_seize(struct hot_way *way) {
  uint32_t none = 0;
  return atomic_compare_exchange_strong_explicit(&way->state, &none, HOT_TAKEN,
                                                 memory_order_acquire, memory_order_relaxed);
}

static void hot_give(struct hot_way *way) {
  atomic_fetch_sub_explicit(&way->state, HOT_TAKEN, memory_order_release);
}

static uint64_t hot_key_of(const struct hot_way *way) {
  return atomic_load_explicit(&way->key, memory_order_relaxed);
}

/* Empties a seized place of a part; the bytes that it took. */
static uint64_t hot_empty(struct vdb_hot *hot, struct hot_part *part, struct hot_way *way) {
  if (!way->block)
    return 0;
  uint64_t bytes = way->bytes + HOT_BLOCK_HEAD;
  vdb_free(hot->mem, way->block);
  way->block = NULL;
  way->bytes = 0;
  atomic_store_explicit(&way->key, 0, memory_order_relaxed);
  atomic_fetch_sub_explicit(&part->entries, 1, memory_order_relaxed);
  atomic_fetch_sub_explicit(&hot->used, bytes, memory_order_relaxed);
  return bytes;
}

/* Takes n bytes from the cache's room; the caller's budget must have some to spare, too. */
static bool hot_room(struct vdb_hot *hot, size_t n) {
  uint64_t bytes = n + HOT_BLOCK_HEAD;
  if (vdb_mem_left(hot->mem) < bytes + HOT_SPARE)
    return false;
  if (atomic_fetch_add_explicit(&hot->used, bytes, memory_order_relaxed) + bytes <= hot->room)
    return true;
  atomic_fetch_sub_explicit(&hot->used, bytes, memory_order_relaxed);
  return false;
}

/* ---- finding -------------------------------------------------------------------------------- */

VDB_INTERNAL bool vdb_hot_get(struct vdb_hot *hot, uint32_t owner, uint32_t number, void *out,
                              size_t n) {
  struct hot_place p = hot_place(hot, hot_key(owner, number));
  bool found = false;
  for (uint32_t i = 0; owner != 0 && !found && i < HOT_WAYS; i++) {
    struct hot_way *way = &p.set[i];
    if (hot_key_of(way) != p.key || !hot_hold(way))
      continue;
    found = hot_key_of(way) == p.key && way->bytes == n;
    if (found)
      memcpy(out, way->block, n);
    hot_let_go(way);
  }
  if (owner != 0)
    hot_ask(hot, &p, found);
  return found;
}

VDB_INTERNAL void vdb_hot_count(const struct vdb_hot *hot, struct vdb_hot_counts *out) {
  *out = (struct vdb_hot_counts){0, 0, 0};
  for (int i = 0; hot && i < HOT_PARTS; i++) {
    out->hits += atomic_load_explicit(&hot->parts[i].hits, memory_order_relaxed);
    out->misses += atomic_load_explicit(&hot->parts[i].misses, memory_order_relaxed);
    out->entries += atomic_load_explicit(&hot->parts[i].entries, memory_order_relaxed);
  }
}

VDB_INTERNAL uint64_t vdb_hot_bytes(const struct vdb_hot *hot) {
  return hot ? atomic_load_explicit(&hot->used, memory_order_relaxed) : 0;
}

/* ---- keeping -------------------------------------------------------------------------------- */

/* Looks at the next place after those that were looked at last, in whatever part, and frees it if
   its block was asked for less often; its bytes. */
static uint64_t hot_free_next(struct vdb_hot *hot, uint8_t often) {
  uint64_t at = atomic_fetch_add_explicit(&hot->cursor, 1, memory_order_relaxed);
  struct hot_part *part = &hot->parts[at % HOT_PARTS];
  struct hot_way *way = &part->ways[at / HOT_PARTS % hot_ways(hot)];
  if (hot_often(hot, part, vdb_mix64(hot_key_of(way))) >= often || !hot_seize(way))
    return 0;
  uint64_t bytes = hot_empty(hot, part, way);
  hot_give(way);
  return bytes;
}

VDB_INTERNAL uint64_t vdb_hot_shrink(struct vdb_hot *hot, uint64_t bytes) {
  uint64_t freed = 0;
  size_t places = hot_ways(hot) * HOT_PARTS;
  for (size_t i = 0; i < places && freed < bytes && vdb_hot_bytes(hot) > 0; i++)
    freed += hot_free_next(hot, HOT_COUNT_MOST + 1);
  return freed;
}

/* Where a block may go: `empty` if there is room for it, else `least`, whose block was asked for
   less often. False: it is there already. */
struct hot_choice {
  struct hot_way *empty, *least;
};

static bool hot_choose(const struct vdb_hot *hot, const struct hot_place *p, uint8_t often,
                       struct hot_choice *out) {
  *out = (struct hot_choice){NULL, NULL};
  for (uint32_t i = 0; i < HOT_WAYS; i++) {
    uint64_t key = hot_key_of(&p->set[i]);
    if (key == p->key)
      return false;
    uint8_t other = key ? hot_often(hot, p->part, vdb_mix64(key)) : HOT_COUNT_MOST;
    if (key == 0)
      out->empty = &p->set[i];
    if (other >= often)
      continue;
    out->least = &p->set[i];
    often = other;
  }
  return true;
}

/* Whether there is room for so many bytes more, be it that colder blocks must go. Blocks of several
   times VECDB_BLOCK fill the room before they fill the sets, as does a budget that has less. */
static bool hot_make_room(struct vdb_hot *hot, uint64_t bytes, uint8_t often) {
  for (int i = 0; i < HOT_LOOKS; i++) {
    uint64_t left = vdb_mem_left(hot->mem);
    if (vdb_hot_bytes(hot) + bytes <= hot->room && left >= bytes + HOT_SPARE)
      return true;
    if (left < HOT_SPARE / 2)
      return false; /* others need it more */
    hot_free_next(hot, often);
  }
  return false;
}

/* Puts a block into a seized place, from which another may have to go. */
static void hot_fill(struct vdb_hot *hot, const struct hot_place *p, struct hot_way *way,
                     const void *block, size_t n) {
  if (way->bytes != n)
    hot_empty(hot, p->part, way);
  if (!way->block) {
    if (!hot_room(hot, n))
      return;
    way->block = vdb_alloc(hot->mem, n);
    if (!way->block) {
      atomic_fetch_sub_explicit(&hot->used, n + HOT_BLOCK_HEAD, memory_order_relaxed);
      return;
    }
    way->bytes = (uint32_t)n;
    atomic_fetch_add_explicit(&p->part->entries, 1, memory_order_relaxed);
  }
  memcpy(way->block, block, n);
  atomic_store_explicit(&way->key, p->key, memory_order_relaxed);
}

VDB_INTERNAL void vdb_hot_put(struct vdb_hot *hot, uint32_t owner, uint32_t number,
                              const void *block, size_t n) {
  struct hot_place p = hot_place(hot, hot_key(owner, number));
  struct hot_choice choice;
  uint64_t bytes = n + HOT_BLOCK_HEAD;
  uint8_t often = hot_often(hot, p.part, p.hash);
  if (owner == 0 || bytes > hot->room / HOT_PARTS || !hot_choose(hot, &p, often, &choice))
    return;
  bool fits = choice.empty && hot_make_room(hot, bytes, often);
  struct hot_way *way = fits ? choice.empty : choice.least;
  if (!way || !hot_seize(way))
    return;
  hot_fill(hot, &p, way, block, n);
  hot_give(way);
}

/* ---- all of it ------------------------------------------------------------------------------ */

VDB_INTERNAL uint32_t vdb_hot_owner(struct vdb_hot *hot) {
  uint32_t last = atomic_load_explicit(&hot->owners, memory_order_relaxed);
  while (last < UINT32_MAX &&
         !atomic_compare_exchange_weak_explicit(&hot->owners, &last, last + 1,
                                                memory_order_relaxed, memory_order_relaxed))
    ;
  return last < UINT32_MAX ? last + 1 : 0;
}

VDB_INTERNAL void vdb_hot_forget(struct vdb_hot *hot, uint32_t owner) {
  for (int i = 0; i < HOT_PARTS; i++)
    for (size_t w = 0; w < hot_ways(hot); w++) {
      struct hot_way *way = &hot->parts[i].ways[w];
      if (hot_key_of(way) >> 32 != owner || !hot_seize(way))
        continue; /* a place that somebody looks at by mistake keeps its block until it is cold */
      if (hot_key_of(way) >> 32 == owner)
        hot_empty(hot, &hot->parts[i], way);
      hot_give(way);
    }
}

VDB_INTERNAL void vdb_hot_free(struct vdb_hot *hot) {
  if (!hot)
    return;
  for (int i = 0; i < HOT_PARTS; i++) {
    struct hot_part *part = &hot->parts[i];
    for (size_t w = 0; part->ways && w < hot_ways(hot); w++)
      vdb_free(hot->mem, part->ways[w].block);
    vdb_free(hot->mem, part->ways);
    vdb_free(hot->mem, (void *)part->sketch);
  }
  vdb_free(hot->mem, hot);
}

VDB_INTERNAL int vdb_hot_new(struct vdb_mem *mem, uint64_t bytes, struct vdb_hot **out,
                             vecdb_error *err) {
  const uint64_t place = sizeof(struct hot_way) + HOT_COUNTERS;
  struct vdb_hot *hot = vdb_alloc_zero(mem, sizeof *hot);
  *out = NULL;
  if (!hot)
    return vdb_fail_memory(err);
  uint64_t sets = bytes / (VECDB_BLOCK + HOT_BLOCK_HEAD + place) / HOT_WAYS / HOT_PARTS;
  hot->mem = mem;
  hot->sets = sets < HOT_SETS_MOST ? (uint32_t)sets + (sets == 0) : HOT_SETS_MOST;
  uint64_t tables = sizeof *hot + hot_ways(hot) * HOT_PARTS * place;
  hot->room = bytes > tables ? bytes - tables : 0;
  for (int i = 0; i < HOT_PARTS; i++) {
    struct hot_part *part = &hot->parts[i];
    part->ways = vdb_alloc_zero(mem, hot_ways(hot) * sizeof *part->ways);
    part->sketch = vdb_alloc_zero(mem, hot_ways(hot) * HOT_COUNTERS);
    if (!part->ways || !part->sketch) {
      vdb_hot_free(hot);
      return vdb_fail_memory(err);
    }
  }
  *out = hot;
  return VECDB_OK;
}
