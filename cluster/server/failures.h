/*
 * failures.h - log-ins that have failed, by where they came from. After some failures an origin has
 * to wait before what it shows is looked at again, twice as long after each further one, up to a
 * limit. What comes meanwhile counts for nothing, so that a wait ends when it was said to. Who does
 * not fail for two of the longest waits is forgotten. The table has a fixed size: when many origins
 * fail, those that failed longest ago are forgotten first.
 */
#ifndef SRV_FAILURES_H
#define SRV_FAILURES_H

#include <stdint.h>

struct srv_failures;

struct srv_failure_limits {
  uint64_t allowed; /* failures before the first wait; 0: nobody has to wait */
  uint64_t longest; /* seconds of a wait */
};

/* NULL: no memory. */
struct srv_failures *srv_failures_new(void);
/* NULL is fine. */
void srv_failures_free(struct srv_failures *failures);
/* The seconds that an origin (peer.h) has to wait, rounded up; 0: none. Any thread. */
unsigned srv_failures_wait(struct srv_failures *failures, uint64_t origin, uint64_t now_ns);
/* What it showed was wrong. An unknown origin, 0, never has to wait. Any thread. */
void srv_failures_add(struct srv_failures *failures, uint64_t origin,
                      const struct srv_failure_limits *limits, uint64_t now_ns);

#endif
