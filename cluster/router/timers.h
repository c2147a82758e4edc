/* timers.h - what is due when: a heap whose items know their place in it. */
#ifndef CLUSTER_ROUTER_TIMERS_H
#define CLUSTER_ROUTER_TIMERS_H

#include <stdbool.h>
#include <stdint.h>

struct timer {
  int64_t due_us;
  uint32_t place; /* in the heap, from 1; 0: not set */
  bool request;   /* of what it is a part */
};

struct timers {
  struct timer **heap;
  uint32_t n;
  uint32_t promised;
  uint32_t room;
};

/* Room for `more` further timers, so that setting one cannot fail; false: no memory. */
bool timers_reserve(struct timers *t, uint32_t more);
void timers_release(struct timers *t, uint32_t n);
void timers_set(struct timers *t, struct timer *timer, int64_t due_us);
void timers_clear(struct timers *t, struct timer *timer);
/* The first; NULL: none. */
struct timer *timers_first(const struct timers *t);
void timers_free(struct timers *t);

#endif
