/* mem.c - counted allocation; see mem.h. The library's only door to malloc. */
#include "mem.h"

#include <stdlib.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "check.h"

enum {
  MEM_ALIGN = 16,
  MEM_WIDE = 64,
  MEM_PAGE = 2 << 20,         /* a huge page */
  MEM_PAGED = 4 * MEM_PAGE    /* blocks of this size or more have huge pages, but for their end */
};

/* Stands in the 16 bytes before each block. */
struct mem_header {
  uint64_t size;    /* of the raw block */
  uint32_t shift;   /* from the raw block to the user's */
  uint32_t purpose; /* a vdb_purpose */
};
_Static_assert(sizeof(struct mem_header) == MEM_ALIGN, "the header keeps the alignment");

/* Walks read lines all over codes and links: with small pages most of them are also a miss of the
   table of pages. Where the system grants none, this is malloc but for its alignment. */
static void *mem_default_alloc(void *user, size_t size) {
  (void)user;
#if defined(MADV_HUGEPAGE)
  if (size >= MEM_PAGED) {
    void *block;
    if (posix_memalign(&block, MEM_PAGE, size))
      return NULL;
    madvise(block, size / MEM_PAGE * MEM_PAGE, MADV_HUGEPAGE); /* no more than is counted */
    return block;
  }
#endif
  return malloc(size);
}

static void *mem_default_resize(void *user, void *block, size_t size) {
  (void)user;
  return realloc(block, size);
}

static void mem_default_release(void *user, void *block) {
  (void)user;
  free(block);
}

VDB_INTERNAL void vdb_mem_init(struct vdb_mem *mem, const vecdb_allocator *table, uint64_t limit) {
  static const vecdb_allocator standard = {mem_default_alloc, mem_default_resize,
                                           mem_default_release, NULL};
  mem->first = NULL;
  mem->purpose = VDB_FOR_OTHER;
  mem->table = table ? *table : standard;
  mem->limit = limit;
  atomic_init(&mem->used, 0);
  atomic_init(&mem->refused, 0);
  mem->reclaim = NULL;
  mem->reclaim_arg = NULL;
  for (int i = 0; i < VDB_PURPOSES; i++)
    atomic_init(&mem->by[i], 0);
}

VDB_INTERNAL void vdb_mem_door(struct vdb_mem *mem, struct vdb_mem *first,
                               enum vdb_purpose purpose) {
  vdb_mem_init(mem, &first->table, 0);
  mem->first = first;
  mem->purpose = purpose;
}

VDB_INTERNAL uint64_t vdb_mem_left(const struct vdb_mem *mem) {
  const struct vdb_mem *first = mem->first ? mem->first : mem;
  uint64_t used = atomic_load_explicit(&first->used, memory_order_relaxed);
  if (first->limit == 0)
    return UINT64_MAX;
  return used < first->limit ? first->limit - used : 0;
}

/* Where a door's blocks are counted. */
static struct vdb_mem *mem_first(struct vdb_mem *mem) { return mem->first ? mem->first : mem; }

VDB_INTERNAL void vdb_mem_reclaim(struct vdb_mem *mem, uint64_t (*reclaim)(void *, uint64_t),
                                  void *arg) {
  mem->reclaim = reclaim;
  mem->reclaim_arg = arg;
}

/* Adds `size` bytes to those in use, unless the limit forbids it. */
static bool mem_take(struct vdb_mem *first, uint64_t size) {
  uint64_t before = atomic_fetch_add_explicit(&first->used, size, memory_order_relaxed);
  if (first->limit == 0 || before + size <= first->limit)
    return true;
  atomic_fetch_sub_explicit(&first->used, size, memory_order_relaxed);
  return false;
}

/* Takes `size` bytes from the limit; false when they are not there. */
static bool mem_charge(struct vdb_mem *mem, uint32_t purpose, uint64_t size) {
  struct vdb_mem *first = mem_first(mem);
  bool taken = mem_take(first, size);
  if (!taken && first->reclaim && first->reclaim(first->reclaim_arg, size) > 0)
    taken = mem_take(first, size);
  if (!taken) {
    atomic_fetch_add_explicit(&first->refused, 1, memory_order_relaxed);
    return false;
  }
  atomic_fetch_add_explicit(&first->by[purpose], size, memory_order_relaxed);
  return true;
}

static void mem_credit(struct vdb_mem *mem, uint32_t purpose, uint64_t size) {
  struct vdb_mem *first = mem_first(mem);
  uint64_t before = atomic_fetch_sub_explicit(&first->used, size, memory_order_relaxed);
  uint64_t part = atomic_fetch_sub_explicit(&first->by[purpose], size, memory_order_relaxed);
  vdb_assert(before >= size && part >= size);
  (void)before;
  (void)part;
}

static struct mem_header *mem_header_of(void *block) {
  return (struct mem_header *)((char *)block - sizeof(struct mem_header));
}

/* Pages that the system hands out are zero: large tables that are seldom full, as that of the keys
   of a growing segment, need not be touched for it. */
static void *mem_raw(struct vdb_mem *mem, size_t size, bool zero) {
  if (zero && size < MEM_PAGED && mem->table.alloc == mem_default_alloc)
    return calloc(1, size);
  void *raw = mem->table.alloc(mem->table.user, size);
  if (raw && zero)
    memset(raw, 0, size);
  return raw;
}

static void *mem_alloc_aligned(struct vdb_mem *mem, size_t size, size_t align, bool zero) {
  size_t extra = align == MEM_ALIGN ? MEM_ALIGN : align + MEM_ALIGN;
  if (size > SIZE_MAX / 2)
    return NULL;
  size_t raw_size = size + extra;
  if (!mem_charge(mem, mem->purpose, raw_size))
    return NULL;
  char *raw = mem_raw(mem, raw_size, zero);
  if (!raw) {
    mem_credit(mem, mem->purpose, raw_size);
    return NULL;
  }
  char *block = (char *)(uintptr_t)vdb_round_up((uintptr_t)raw + MEM_ALIGN, align);
  struct mem_header *header = mem_header_of(block);
  header->size = raw_size;
  header->shift = (uint32_t)(block - raw);
  header->purpose = mem->purpose;
  return block;
}

VDB_INTERNAL void *vdb_alloc(struct vdb_mem *mem, size_t size) {
  return mem_alloc_aligned(mem, size, MEM_ALIGN, false);
}

VDB_INTERNAL void *vdb_alloc_zero(struct vdb_mem *mem, size_t size) {
  return mem_alloc_aligned(mem, size, MEM_ALIGN, true);
}

VDB_INTERNAL void *vdb_alloc_array(struct vdb_mem *mem, size_t count, size_t size) {
  size_t total;
  return vdb_mul(count, size, &total) ? vdb_alloc(mem, total) : NULL;
}

VDB_INTERNAL void *vdb_alloc_wide(struct vdb_mem *mem, size_t size) {
  return mem_alloc_aligned(mem, size, MEM_WIDE, false);
}

VDB_INTERNAL void *vdb_resize(struct vdb_mem *mem, void *block, size_t size) {
  if (!block)
    return vdb_alloc(mem, size);
  struct mem_header *header = mem_header_of(block);
  vdb_assert(header->shift == MEM_ALIGN);
  uint64_t old_size = header->size;
  uint32_t purpose = header->purpose;
  if (size > SIZE_MAX / 2)
    return NULL;
  size_t new_size = size + MEM_ALIGN;
  if (!mem_charge(mem, purpose, new_size))
    return NULL;
  struct mem_header *moved = mem->table.resize(mem->table.user, header, new_size);
  if (!moved) {
    mem_credit(mem, purpose, new_size);
    return NULL;
  }
  mem_credit(mem, purpose, old_size);
  moved->size = new_size;
  return (char *)moved + MEM_ALIGN;
}

VDB_INTERNAL void vdb_mem_adopt(struct vdb_mem *mem, void *block) {
  const struct mem_header *header = mem_header_of(block);
  struct vdb_mem *first = mem_first(mem);
  atomic_fetch_add(&first->used, header->size);
  atomic_fetch_add(&first->by[header->purpose], header->size);
}

VDB_INTERNAL void vdb_free(struct vdb_mem *mem, void *block) {
  if (!block)
    return;
  struct mem_header *header = mem_header_of(block);
  char *raw = (char *)block - header->shift;
  mem_credit(mem, header->purpose, header->size);
  mem->table.release(mem->table.user, raw);
}

VDB_INTERNAL char *vdb_strndup(struct vdb_mem *mem, const char *text, size_t n) {
  char *copy = vdb_alloc(mem, n + 1);
  if (copy) {
    if (n)
      memcpy(copy, text, n);
    copy[n] = '\0';
  }
  return copy;
}

VDB_INTERNAL bool vdb_grow(struct vdb_mem *mem, void *items, size_t *capacity, size_t need,
                           size_t item_size) {
  if (need <= *capacity)
    return true;
  size_t wanted = vdb_max_size(need, vdb_max_size(*capacity * 2, 8));
  size_t bytes;
  if (!vdb_mul(wanted, item_size, &bytes))
    return false;
  /* The array's pointer may be of any type: it is moved as bytes. */
  void *array;
  memcpy(&array, items, sizeof array);
  array = vdb_resize(mem, array, bytes);
  if (!array)
    return false;
  memcpy(items, &array, sizeof array);
  *capacity = wanted;
  return true;
}
