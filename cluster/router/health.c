/* health.c - what a router knows of a node; see health.h. */
#include "router/health.h"

#include <math.h>

/* ---- Times ---- */

static uint32_t latency_step(int64_t us) {
  if (us < 1)
    return 0;
  int step = (int)(4 * log2((double)us));
  return step < LATENCY_STEPS ? (uint32_t)step : LATENCY_STEPS - 1;
}

void latency_add(struct latency *l, int64_t us) {
  l->counts[latency_step(us)]++;
  if (++l->total < LATENCY_FADE)
    return;
  l->total = 0;
  for (uint32_t i = 0; i < LATENCY_STEPS; i++)
    l->total += l->counts[i] /= 2;
}

int64_t latency_p95(const struct latency *l) {
  uint32_t sum = 0;
  if (l->total < LATENCY_FEWEST)
    return INT64_MAX;
  for (uint32_t i = 0; i < LATENCY_STEPS; i++) {
    sum += l->counts[i];
    if (sum * 20 >= l->total * 19)
      return (int64_t)exp2((i + 1) / 4.0);
  }
  return INT64_MAX;
}

/* ---- Breakers ---- */

bool breaker_allows(const struct breaker *b, int64_t now_us) {
  return b->state == BREAKER_CLOSED || (b->state == BREAKER_OPEN && now_us >= b->until_us);
}

void breaker_begin(struct breaker *b, int64_t now_us) {
  if (b->state == BREAKER_OPEN && now_us >= b->until_us)
    b->state = BREAKER_PROBING;
}

static void breaker_open(struct breaker *b, int64_t now_us, uint8_t spread) {
  int64_t open_us = b->open_us ? b->open_us : BREAKER_FIRST_US;
  b->state = BREAKER_OPEN;
  b->until_us = now_us + open_us + open_us / 4 * spread / 255;
  b->open_us = open_us * 2 < BREAKER_LAST_US ? open_us * 2 : BREAKER_LAST_US;
  b->in_a_row = b->ok = b->failed = 0;
}

void breaker_end(struct breaker *b, bool ok, int64_t now_us, uint8_t spread) {
  if (now_us - b->window_us > BREAKER_WINDOW_US) {
    b->window_us = now_us;
    b->ok = b->failed = 0;
  }
  b->ok += ok;
  b->failed += !ok;
  b->in_a_row = ok ? 0 : b->in_a_row + 1;
  if (ok && b->state != BREAKER_CLOSED) {
    b->state = BREAKER_CLOSED;
    b->open_us = 0;
    b->ok = b->failed = 0;
  } else if (!ok && b->state == BREAKER_PROBING) {
    breaker_open(b, now_us, spread);
  } else if (!ok && b->state == BREAKER_CLOSED &&
             (b->in_a_row >= BREAKER_IN_A_ROW ||
              (b->ok + b->failed >= BREAKER_FEWEST && b->failed >= b->ok))) {
    breaker_open(b, now_us, spread);
  }
}

void breaker_forget(struct breaker *b) {
  if (b->state == BREAKER_PROBING)
    b->state = BREAKER_OPEN;
}

/* ---- Budgets ---- */

enum { BUDGET_ONE = 1000 };

void budget_init(struct budget *b, uint32_t share, uint32_t most, uint32_t first, uint32_t rate) {
  *b = (struct budget){.share = share,
                       .earned = (uint64_t)first * BUDGET_ONE,
                       .most = (uint64_t)most * BUDGET_ONE,
                       .at_us = INT64_MIN,
                       .rate = rate};
}

static void budget_earn(struct budget *b, uint64_t n) {
  b->earned += n;
  if (b->earned - b->spent > b->most)
    b->earned = b->spent + b->most;
}

void budget_request(struct budget *b) { budget_earn(b, b->share); }

bool budget_spend(struct budget *b, int64_t now_us) {
  if (b->at_us == INT64_MIN)
    b->at_us = now_us;
  uint64_t more = (uint64_t)(now_us - b->at_us) / 1000 * b->rate / 1000;
  if (more) {
    budget_earn(b, more);
    b->at_us = now_us;
  }
  if (b->earned - b->spent < BUDGET_ONE)
    return false;
  b->spent += BUDGET_ONE;
  return true;
}
