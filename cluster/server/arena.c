/* arena.c - blocks of memory of one request; see arena.h. */
#include "server/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Many requests take little more than the names in their path: so small a block as the first is one
   that malloc has at hand. */
enum { ARENA_FIRST = 960, ARENA_BLOCK = 16 * 1024 };

struct srv_arena_block {
  struct srv_arena_block *next;
  size_t size;
  alignas(max_align_t) unsigned char data[];
};

static int arena_grow(struct srv_arena *arena, size_t n) {
  size_t least = arena->blocks || n > ARENA_FIRST ? ARENA_BLOCK : ARENA_FIRST;
  size_t size = n > least ? n : least;
  if (arena->limit && size > arena->limit - arena->reserved)
    return 0;
  struct srv_arena_block *block = malloc(sizeof *block + size);
  if (!block)
    return 0;
  block->next = arena->blocks;
  block->size = size;
  arena->blocks = block;
  arena->used = 0;
  arena->reserved += size;
  return 1;
}

void *srv_arena_take(struct srv_arena *arena, size_t n) {
  size_t unit = alignof(max_align_t);
  if (n > SIZE_MAX - unit)
    return NULL;
  n = (n + unit - 1) / unit * unit;
  if ((!arena->blocks || n > arena->blocks->size - arena->used) && !arena_grow(arena, n))
    return NULL;
  void *out = arena->blocks->data + arena->used;
  arena->used += n;
  return memset(out, 0, n);
}

void *srv_arena_array(struct srv_arena *arena, size_t n, size_t size) {
  if (size && n > SIZE_MAX / size)
    return NULL;
  return srv_arena_take(arena, n * size);
}

char *srv_arena_text(struct srv_arena *arena, const char *text, size_t n) {
  char *out = n < SIZE_MAX ? srv_arena_take(arena, n + 1) : NULL;
  if (out && n)
    memcpy(out, text, n);
  return out;
}

void srv_arena_free(struct srv_arena *arena) {
  while (arena->blocks) {
    struct srv_arena_block *next = arena->blocks->next;
    free(arena->blocks);
    arena->blocks = next;
  }
  arena->used = arena->reserved = 0;
}
