/*
 * sight.h - which protocol a connection's first bytes are of, and who serves it.
 */
#ifndef SRV_SIGHT_H
#define SRV_SIGHT_H

#include "server/server.h"
#include "server/stream.h"

enum { SRV_SIGHT_BYTES = 14 }; /* that tell for certain */

enum srv_sight { SRV_SIGHT_NOTHING, SRV_SIGHT_HTTP1, SRV_SIGHT_HTTP2, SRV_SIGHT_GONE };

/* What n bytes, at most SRV_SIGHT_BYTES, say; fewer may say nothing yet. */
enum srv_sight srv_sight_of(const char *first, size_t n);
/* Gives the connection to who serves it, or closes it. */
void srv_sight_hand(struct srv_server *server, const struct srv_stream *stream,
                    enum srv_sight sight);

#endif
