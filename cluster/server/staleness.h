/*
 * staleness.h - how old the copies are that a request reads, where this server follows a cluster:
 * what a request takes, and what each answer says.
 *
 * A request says the most that it takes with the header `vecdb-max-staleness-ms`, over gRPC as
 * metadata, or in the body of the native interface with "max_staleness_ms"; else the setting
 * edge.max_staleness_ms holds. Older copies are not read: NOT_FRESH, 503. Each answer that has read
 * one has the header (gRPC: the trailer) `vecdb-staleness-ms`, and where the request had a body in
 * the native interface the member "staleness_ms". Where it is not known that reads "unknown", null.
 */
#ifndef SRV_STALENESS_H
#define SRV_STALENESS_H

#include "server/call.h"

#define SRV_STALENESS_MOST "vecdb-max-staleness-ms"
#define SRV_STALENESS "vecdb-staleness-ms"
enum { SRV_STALENESS_TEXT = 24 };

/* The collection is to be read: notes its age; NOT_FRESH, or OPTION for a header that is no
   number. */
int srv_staleness_check(struct srv_call *call, const struct engine_collection *collection,
                        vecdb_error *error);
/* As of now, of the oldest that was read; false: none was. */
bool srv_staleness_text(const struct srv_call *call, char text[SRV_STALENESS_TEXT]);
/* Puts it into the answer, where it belongs there. */
void srv_staleness_answer(struct srv_call *call);

#endif
