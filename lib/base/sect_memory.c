/* sect_memory.c - see sect_memory.h. A section's bytes grow by doubling and are copied once more,
 * to an aligned place, when it ends. */
#include "base/sect_memory.h"

#include "base/err.h"

struct vdb_sect_memory_item {
  uint32_t tag, number;
  uint8_t *data; /* aligned, once it has ended */
  size_t n, capacity;
};

static struct vdb_sect_memory_item *sect_last(struct vdb_sect_writer *w) {
  struct vdb_sect_memory *s = (struct vdb_sect_memory *)w;
  return &s->items[s->n - 1];
}

static int sect_begin(struct vdb_sect_writer *w, uint32_t tag, uint32_t number, vecdb_error *err) {
  struct vdb_sect_memory *s = (struct vdb_sect_memory *)w;
  if (!VDB_GROW(s->mem, s->items, s->capacity, s->n + 1))
    return vdb_fail_memory(err);
  s->items[s->n++] = (struct vdb_sect_memory_item){.tag = tag, .number = number};
  return VECDB_OK;
}

static int sect_append(struct vdb_sect_writer *w, const void *data, size_t n, vecdb_error *err) {
  struct vdb_sect_memory *s = (struct vdb_sect_memory *)w;
  struct vdb_sect_memory_item *item = sect_last(w);
  if (!VDB_GROW(s->mem, item->data, item->capacity, item->n + n))
    return vdb_fail_memory(err);
  if (n > 0)
    memcpy(item->data + item->n, data, n);
  item->n += n;
  return VECDB_OK;
}

static int sect_end(struct vdb_sect_writer *w, vecdb_error *err) {
  struct vdb_sect_memory *s = (struct vdb_sect_memory *)w;
  struct vdb_sect_memory_item *item = sect_last(w);
  uint8_t *aligned = vdb_alloc_wide(s->mem, item->n);
  if (!aligned)
    return vdb_fail_memory(err);
  if (item->n > 0)
    memcpy(aligned, item->data, item->n);
  vdb_free(s->mem, item->data);
  item->data = aligned;
  return VECDB_OK;
}

static int sect_align(struct vdb_sect_writer *w, vecdb_error *err) {
  (void)w;
  (void)err;
  return VECDB_OK;
}

static int sect_find(const struct vdb_sect_reader *r, uint32_t tag, uint32_t number, bool bulk,
                     const void **data, size_t *n, vecdb_error *err) {
  const struct vdb_sect_memory *s =
      (const struct vdb_sect_memory *)((const char *)r - offsetof(struct vdb_sect_memory, reader));
  (void)bulk;
  (void)err;
  *data = NULL;
  *n = 0;
  for (size_t i = 0; i < s->n; i++)
    if (s->items[i].tag == tag && s->items[i].number == number) {
      *data = s->items[i].data;
      *n = s->items[i].n;
    }
  return VECDB_OK;
}

static int sect_source(const struct vdb_sect_reader *r, uint32_t tag, uint32_t number,
                       struct vdb_sect_source **out, vecdb_error *err) {
  (void)r;
  (void)tag;
  (void)number;
  (void)err;
  *out = NULL;
  return VECDB_OK;
}

VDB_INTERNAL void vdb_sect_memory_init(struct vdb_sect_memory *s, struct vdb_mem *mem) {
  *s = (struct vdb_sect_memory){.writer = {sect_begin, sect_append, sect_end, sect_align},
                                .reader = {sect_find, sect_source},
                                .mem = mem};
}

VDB_INTERNAL void vdb_sect_memory_free(struct vdb_sect_memory *s) {
  for (size_t i = 0; i < s->n; i++)
    vdb_free(s->mem, s->items[i].data);
  vdb_free(s->mem, s->items);
  s->items = NULL;
  s->n = s->capacity = 0;
}
