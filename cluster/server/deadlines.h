/*
 * deadlines.h - requests that trickle in: a request must have arrived whole so many seconds after
 * its connection was made or the request before it was answered, else the connection is cut off.
 * (The HTTP library's own timeout is for silence, and each byte begins it anew.) A connection that
 * waits between requests is cut off by the same rule, which is what keep-alive allows.
 */
#ifndef SRV_DEADLINES_H
#define SRV_DEADLINES_H

struct srv_deadlines;

/* NULL when the system refuses. */
struct srv_deadlines *srv_deadlines_start(unsigned seconds);
void srv_deadlines_stop(struct srv_deadlines *deadlines);

/* `who` is the connection. come and gone frame its life; `fd` is valid in between. */
void srv_deadlines_come(struct srv_deadlines *deadlines, const void *who, int fd);
void srv_deadlines_gone(struct srv_deadlines *deadlines, const void *who);
/* The request is whole: no deadline until it is answered, when the next one is set. */
void srv_deadlines_met(struct srv_deadlines *deadlines, const void *who);
void srv_deadlines_set(struct srv_deadlines *deadlines, const void *who);

#endif
