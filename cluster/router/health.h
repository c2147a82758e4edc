/*
 * health.h - what a router knows of a node from its own requests: how long they take, whether to
 * ask it at all, and how much is under way to it; and the budgets that keep second tries from
 * becoming the load.
 */
#ifndef CLUSTER_ROUTER_HEALTH_H
#define CLUSTER_ROUTER_HEALTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- Times of requests: a histogram in steps of a quarter of an octave; old ones fade. ---- */

enum { LATENCY_STEPS = 128, LATENCY_FADE = 512, LATENCY_FEWEST = 20 };

struct latency {
  uint32_t counts[LATENCY_STEPS];
  uint32_t total;
};

void latency_add(struct latency *l, int64_t us);
/* What 95 of 100 do not exceed, 20 % too much at most; INT64_MAX while too few are known. */
int64_t latency_p95(const struct latency *l);

/* ---- Breakers: a node that fails is left alone for a while, then asked once. ---- */

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_PROBING };

enum {
  BREAKER_IN_A_ROW = 5, /* failures that open it */
  BREAKER_FEWEST = 20,  /* requests of a window, half of which failed, likewise */
  BREAKER_WINDOW_US = 10000000,
  BREAKER_FIRST_US = 1000000, /* how long it is open first; then twice as long, up to the last */
  BREAKER_LAST_US = 30000000
};

struct breaker {
  enum breaker_state state;
  uint32_t in_a_row;
  uint32_t ok;
  uint32_t failed;
  int64_t window_us; /* when the window began */
  int64_t open_us;   /* how long it is open next time */
  int64_t until_us;
};

/* Whether a request may be sent; of a node that was left alone long enough, one may. */
bool breaker_allows(const struct breaker *b, int64_t now_us);
/* One is sent, and then it ends. `spread` of 0 to 255 makes the time until the next try differ. */
void breaker_begin(struct breaker *b, int64_t now_us);
void breaker_end(struct breaker *b, bool ok, int64_t now_us, uint8_t spread);
/* The one that was sent does not count: it was cancelled. */
void breaker_forget(struct breaker *b);

/* ---- Budgets: a share of first tries, so that they are bounded whatever happens. ---- */

struct budget {
  uint32_t share;  /* in 1/1,000 of the requests */
  uint64_t earned; /* in 1/1,000 */
  uint64_t spent;
  uint64_t most; /* that may be saved up */
  int64_t at_us; /* when time was last counted */
  uint32_t rate; /* earned by time alone: in 1/1,000 per second */
};

/* Starts with `first` whole ones in it. */
void budget_init(struct budget *b, uint32_t share, uint32_t most, uint32_t first, uint32_t rate);
void budget_request(struct budget *b);
/* One more is spent, if it is there. */
bool budget_spend(struct budget *b, int64_t now_us);

struct node_health {
  uint32_t node;
  struct latency latency;
  struct breaker breaker;
  uint32_t under_way; /* requests, and their bytes */
  size_t bytes;
  int64_t busy_until_us; /* it said OVERLOADED */
};

#endif
