/*
 * observe.h - what is kept of every request: counters, the log, the audit log. Whoever brings
 * requests in calls the first when one has come and the second when it is answered, and nothing
 * else of all this.
 */
#ifndef SRV_OBSERVE_H
#define SRV_OBSERVE_H

#include "server/call.h"
#include "server/line.h"

/* The clock of durations. */
uint64_t srv_now_ns(void);

/* The request has come whole, or is to be refused. `traceparent` and `tracestate` are the headers
   of that name, or NULL; the latter must live as long as the call. */
void srv_observe_begin(struct srv_call *call, const char *traceparent, const char *tracestate);
/* Whether a request by its route may be answered at all: one of which the audit log could not tell
   may not. */
bool srv_observe_admits(const struct srv_call *call);
/* The answer is there, with so many bytes, but has not been sent; call->status is HTTP's
   also for other protocols. Where the thread may wait, it does until the audit log is as safe as
   the settings ask. */
void srv_observe_end(struct srv_call *call, size_t bytes_out, bool may_wait);

/* Names the collection that a call is about, for the logs. */
void srv_call_about(struct srv_call *call, const char *collection);

/* Searches and queries that guard.c has run, well or not, and the time when they began: those that
   were slow are logged, with their plans. A hybrid search has a line for each of its parts. */
void srv_observe_search(struct srv_call *call, struct engine_collection *collection,
                        const vecdb_search_params *params, uint64_t began_ns);
void srv_observe_hybrid(struct srv_call *call, struct engine_collection *collection,
                        const vecdb_hybrid_params *params, uint64_t began_ns);
void srv_observe_query(struct srv_call *call, const vecdb_query_params *params, uint64_t began_ns);

/* What every line about a request says. */
void srv_line_call(struct srv_line *line, const struct srv_call *call);

/* ---- The log ---- */

/* A line begun with time, level and message; false: the settings do not want it. */
bool srv_log_begin(struct srv_line *line, struct srv_server *server, int level,
                   const char *message);
void srv_log_end(struct srv_line *line, struct srv_server *server, int level);
/* The same without fields. */
void srv_log(struct srv_server *server, int level, const char *message);

#endif
