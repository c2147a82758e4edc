/*
 * deadlines.h - connections that keep the server waiting: a request must have arrived whole so many
 * seconds after its connection was made or the request before it was answered, an answer must be
 * taken at some rate, and a client that owes something must not be silent for too long, else the
 * connection is cut off. One that waits
 * between requests is cut off by the same rules, which is what keep-alive allows.
 */
#ifndef SRV_DEADLINES_H
#define SRV_DEADLINES_H

#include <stdbool.h>
#include <stdint.h>

struct srv_deadlines;

/* Of one connection; lies in what its owner has of it. */
struct srv_deadline {
  struct srv_deadline *next, *prev;
  _Atomic int64_t due, silent; /* seconds of the monotonic clock; INT64_MAX: never */
  _Atomic bool taking; /* an answer: what is left of it when the time is over is thrown away */
  int fd;
};

/* `idle` is how many seconds of silence are allowed; 0: silence is no matter. NULL when the system
   refuses. */
struct srv_deadlines *srv_deadlines_start(unsigned seconds, unsigned idle);
void srv_deadlines_stop(struct srv_deadlines *deadlines);

/* come and gone frame a connection's life; `fd` is valid in between. The clock runs at first. */
void srv_deadlines_come(struct srv_deadlines *deadlines, struct srv_deadline *of, int fd);
void srv_deadlines_gone(struct srv_deadlines *deadlines, struct srv_deadline *of);
/* The request is whole: no deadline until it is answered, when the next one is set. */
void srv_deadlines_met(struct srv_deadline *of);
void srv_deadlines_set(struct srv_deadlines *deadlines, struct srv_deadline *of);
/* The client is to take so many bytes, at `rate` a second at least: the time for that, and what a
   request has, is set once, and does not begin anew with each byte. */
void srv_deadlines_owe(struct srv_deadlines *deadlines, struct srv_deadline *of, uint64_t bytes,
                       uint64_t rate);
/* Something came, or was taken: the time of silence begins anew. */
void srv_deadlines_heard(struct srv_deadlines *deadlines, struct srv_deadline *of);

#endif
