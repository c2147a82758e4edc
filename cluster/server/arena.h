/*
 * arena.h - memory that lives as long as one request: taken piece by piece, given back at once.
 */
#ifndef SRV_ARENA_H
#define SRV_ARENA_H

#include <stddef.h>

struct srv_arena {
  struct srv_arena_block *blocks;
  size_t used;     /* of the newest block */
  size_t reserved; /* in all blocks */
  size_t limit;    /* of `reserved`; 0: none */
};

/* n bytes, zeroed and aligned for any type, until srv_arena_free; NULL when there is no memory or
   the limit is reached. n may be 0. */
void *srv_arena_take(struct srv_arena *arena, size_t n);
/* As above for an array; NULL also when n * size overflows. */
void *srv_arena_array(struct srv_arena *arena, size_t n, size_t size);
/* A NUL-terminated copy of n bytes. */
char *srv_arena_text(struct srv_arena *arena, const char *text, size_t n);
/* Gives everything back; the arena is empty and may be used again. */
void srv_arena_free(struct srv_arena *arena);

#endif
