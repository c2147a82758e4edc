/* result.h - one answer of those of the parts. For the files of this folder only. */
#ifndef CLUSTER_ROUTER_RESULT_H
#define CLUSTER_ROUTER_RESULT_H

#include "router/state.h"

/* Whether an answer has what the part asked for, in the numbers that it asked for. */
bool result_fits(const struct part *p, const struct wire_message *m);
/* The session has seen this position of the shard; it has room for it. */
void result_seen(struct router_session *session, uint32_t shard, const struct wire_result *a);
/* Room for all shards; false: no memory. */
bool result_session_room(struct router_session *session, uint32_t n_shards);
/* The result of a request whose parts have ended; it takes over their answers. NULL: no memory. */
struct router_result *result_make(struct request *q);
/* A result that says only why there is none. */
struct router_result *result_fail(const struct router_ask *ask, const vecdb_error *error);

#endif
