/* base.c - the ground of the simulation: random numbers, memory of one run, the queue of events. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/world.h"

uint64_t sim_random(struct sim_world *w) {
  uint64_t z = w->rng += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

uint64_t sim_below(struct sim_world *w, uint64_t n) { return n ? sim_random(w) % n : 0; }

bool sim_chance(struct sim_world *w, double p) {
  return (double)(sim_random(w) >> 11) * 0x1p-53 < p;
}

enum { BASE_BLOCK = 1 << 20 };

/* A test without memory is no test: the simulation, unlike the library, ends then. */
static void *base_get(size_t n) {
  void *p = malloc(n);
  if (!p)
    abort();
  return p;
}

void *sim_memory(struct sim_world *w, size_t n) {
  n = (n + 15) & ~(size_t)15;
  if (!w->blocks || w->blocks->used + n > w->blocks->size) {
    size_t size = n > BASE_BLOCK ? n : BASE_BLOCK;
    struct sim_block *b = base_get(sizeof *b + 8 + size);
    b->next = w->blocks;
    b->used = 0;
    b->size = size;
    w->blocks = b;
  }
  uint8_t *p = (uint8_t *)w->blocks + ((sizeof *w->blocks + 15) & ~(size_t)15) + w->blocks->used;
  w->blocks->used += n;
  return memset(p, 0, n);
}

void sim_memory_free(struct sim_world *w) {
  while (w->blocks) {
    struct sim_block *next = w->blocks->next;
    free(w->blocks);
    w->blocks = next;
  }
}

void sim_room(struct sim_world *w, void *items, size_t *room, size_t n, size_t size) {
  if (n < *room)
    return;
  void *old;
  memcpy(&old, items, sizeof old);
  size_t bigger = *room ? *room * 2 : 64;
  void *fresh = sim_memory(w, bigger * size);
  if (n)
    memcpy(fresh, old, n * size);
  memcpy(items, &fresh, sizeof fresh);
  *room = bigger;
}

static bool base_before(const struct sim_event *a, const struct sim_event *b) {
  return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void sim_push(struct sim_world *w, uint64_t at, struct sim_event ev) {
  sim_room(w, &w->heap, &w->heap_room, w->n_events, sizeof *w->heap);
  ev.at = at;
  ev.order = w->order++;
  size_t i = w->n_events++;
  for (; i && base_before(&ev, &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
    w->heap[i] = w->heap[(i - 1) / 2];
  w->heap[i] = ev;
}

bool sim_pop(struct sim_world *w, struct sim_event *ev) {
  if (!w->n_events)
    return false;
  *ev = w->heap[0];
  struct sim_event last = w->heap[--w->n_events];
  size_t i = 0;
  for (size_t child; (child = 2 * i + 1) < w->n_events; i = child) {
    if (child + 1 < w->n_events && base_before(&w->heap[child + 1], &w->heap[child]))
      child++;
    if (!base_before(&w->heap[child], &last))
      break;
    w->heap[i] = w->heap[child];
  }
  w->heap[i] = last;
  return true;
}

void sim_fail(struct sim_world *w, const char *format, ...) {
  if (w->result->failed)
    return;
  w->result->failed = true;
  va_list args;
  va_start(args, format);
  vsnprintf(w->result->why, sizeof w->result->why, format, args);
  va_end(args);
  sim_trace(w, "FAILED: %s", w->result->why);
}

void sim_trace(struct sim_world *w, const char *format, ...) {
  if (!w->o.trace)
    return;
  fprintf(stderr, "%10.3f ", (double)w->now / 1000);
  va_list args;
  va_start(args, format);
  vfprintf(stderr, format, args);
  va_end(args);
  fputc('\n', stderr);
}
