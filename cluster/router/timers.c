/* timers.c - what is due when; see timers.h. */
#include "router/timers.h"

#include <stdlib.h>

bool timers_reserve(struct timers *t, uint32_t more) {
  uint32_t room = t->room ? t->room : 64;
  while (room - t->promised < more)
    room *= 2;
  struct timer **heap = room == t->room ? t->heap : realloc(t->heap, room * sizeof *heap);
  if (!heap)
    return false;
  t->heap = heap;
  t->room = room;
  t->promised += more;
  return true;
}

void timers_release(struct timers *t, uint32_t n) { t->promised -= n; }

static void timers_put(struct timers *t, uint32_t i, struct timer *timer) {
  t->heap[i] = timer;
  timer->place = i + 1;
}

static void timers_settle(struct timers *t, uint32_t i, struct timer *timer) {
  while (i && t->heap[(i - 1) / 2]->due_us > timer->due_us) {
    timers_put(t, i, t->heap[(i - 1) / 2]);
    i = (i - 1) / 2;
  }
  for (;;) {
    uint32_t child = 2 * i + 1;
    if (child + 1 < t->n && t->heap[child + 1]->due_us < t->heap[child]->due_us)
      child++;
    if (child >= t->n || t->heap[child]->due_us >= timer->due_us)
      break;
    timers_put(t, i, t->heap[child]);
    i = child;
  }
  timers_put(t, i, timer);
}

void timers_set(struct timers *t, struct timer *timer, int64_t due_us) {
  timer->due_us = due_us;
  timers_settle(t, timer->place ? timer->place - 1 : t->n++, timer);
}

void timers_clear(struct timers *t, struct timer *timer) {
  if (!timer->place)
    return;
  uint32_t i = timer->place - 1;
  struct timer *last = t->heap[--t->n];
  timer->place = 0;
  if (last != timer)
    timers_settle(t, i, last);
}

struct timer *timers_first(const struct timers *t) {
  return t->n ? t->heap[0] : NULL;
}

void timers_free(struct timers *t) {
  free(t->heap);
  *t = (struct timers){0};
}
