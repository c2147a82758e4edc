/*
 * crowd.h - how many connections come from where, so that one client does not have all of them.
 */
#ifndef SRV_CROWD_H
#define SRV_CROWD_H

#include <stdbool.h>
#include <stdint.h>

struct srv_crowd;

/* NULL: no memory. */
struct srv_crowd *srv_crowd_new(void);
/* All have left. NULL is fine. */
void srv_crowd_free(struct srv_crowd *crowd);
/* Counts one more connection from an origin (peer.h), unless it has `most` (0: any number), or
   memory is short: false. Any thread. */
bool srv_crowd_enter(struct srv_crowd *crowd, uint64_t origin, uint64_t most);
/* One that was counted has ended. Any thread. */
void srv_crowd_leave(struct srv_crowd *crowd, uint64_t origin);

#endif
