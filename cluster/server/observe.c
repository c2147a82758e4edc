/* observe.c - see observe.h. */
#include "server/observe.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "server/audit.h"
#include "server/auth.h"
#include "server/guard.h"
#include "server/metrics.h"
#include "server/routes.h"
#include "server/server.h"

enum {
  OBSERVE_PLAN = 4096,
  OBSERVE_CLIENT_ID = 64 /* bytes: a longer one would leave no room for what counts */
};

uint64_t srv_now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void srv_call_about(struct srv_call *call, const char *collection) {
  snprintf(call->collection, sizeof call->collection, "%s", collection);
}

/* ---- The log --------------------------------------------------------------------------------- */

static const char *const log_levels[] = {"", "error", "warn", "info", "debug"};

bool srv_log_begin(struct srv_line *line, struct srv_server *server, int level,
                   const char *message) {
  int most = VECDB_LOG_INFO;
  for (int i = VECDB_LOG_ERROR; i <= VECDB_LOG_DEBUG; i++)
    if (strcmp(server->config.log_level, log_levels[i]) == 0)
      most = i;
  if (!server->log || level > most)
    return false;
  srv_line_begin(line, strcmp(server->config.log_format, "json") == 0);
  srv_line_time(line);
  srv_line_bare(line, "level", log_levels[level]);
  srv_line_bare(line, "message", message);
  return true;
}

void srv_log_end(struct srv_line *line, struct srv_server *server, int level) {
  server->log(level, srv_line_end(line));
}

void srv_log(struct srv_server *server, int level, const char *message) {
  struct srv_line line;
  if (srv_log_begin(&line, server, level, message))
    srv_log_end(&line, server, level);
}

/* The one that the path names, or the body as Milvus's clients do, until the handler has said more.
   What is too long to be a name would leave no room for who has asked. */
static const char *log_collection(const struct srv_call *call) {
  bool in_path = call->route && strstr(call->route->path, "{collection}");
  const char *named = in_path ? call->args[0]
                              : json_string_value(json_object_get(call->json, "collectionName"));
  return !*call->collection && named && strlen(named) <= VECDB_MAX_NAME ? named : call->collection;
}

void srv_line_call(struct srv_line *line, const struct srv_call *call) {
  srv_line_text(line, "trace_id", call->trace.id);
  srv_line_text(line, "span_id", call->trace.span);
  if (call->route) {
    srv_line_text(line, "method", call->route->method);
    srv_line_text(line, "route", call->route->path);
  }
  srv_line_text(line, "collection", log_collection(call));
  if (call->who) {
    srv_line_text(line, "subject", call->who->subject);
    srv_line_text(line, "tenant", call->who->tenant);
    srv_line_text(line, "role", call->who->role);
    srv_line_text(line, "key", call->who->key);
  }
  if (call->denied) {
    char peer[SRV_PEER_TEXT];
    srv_peer_text(&call->peer, peer);
    srv_line_text(line, "denied", call->denied);
    srv_line_text(line, "peer", peer);
  }
  if (call->client_id && strlen(call->client_id) <= OBSERVE_CLIENT_ID)
    srv_line_text(line, "client_request_id", call->client_id);
}

static void log_request(struct srv_call *call, uint64_t ns, size_t bytes_out) {
  struct srv_line line;
  if (!srv_log_begin(&line, call->server, VECDB_LOG_INFO, "request"))
    return;
  srv_line_call(&line, call);
  srv_line_number(&line, "status", (uint64_t)call->status);
  srv_line_text(&line, "error", call->failed);
  srv_line_ms(&line, "duration_ms", ns);
  srv_line_number(&line, "bytes_in", call->body_bytes);
  srv_line_number(&line, "bytes_out", bytes_out);
  srv_log_end(&line, call->server, VECDB_LOG_INFO);
}

/* ---- Searches -------------------------------------------------------------------------------- */

/* Whether what has just ended was slow, and for how long it went on. */
static bool observe_is_slow(const struct srv_call *call, uint64_t began_ns, uint64_t *ns) {
  uint64_t slow_ms = call->server->config.log_slow_ms;
  *ns = srv_now_ns() - began_ns;
  return slow_ms && *ns >= slow_ms * 1000000;
}

/* The plan is made again for the line: that costs little beside a search that was slow, where
   nobody else is asked for it. */
static void observe_slow(struct srv_call *call, struct engine_collection *collection,
                         const vecdb_search_params *params, uint32_t part, uint64_t ns) {
  struct srv_line line;
  char plan[OBSERVE_PLAN] = "";
  size_t length;
  if (!srv_log_begin(&line, call->server, VECDB_LOG_WARN, "slow search"))
    return;
  srv_line_call(&line, call);
  srv_line_ms(&line, "duration_ms", ns);
  if (part)
    srv_line_number(&line, "part", part);
  srv_line_text(&line, "field", params->field);
  srv_line_number(&line, "queries", params->n_queries);
  srv_line_number(&line, "k", params->k);
  srv_line_text(&line, "filter", params->filter.text);
  if (engine_plans_here(collection) &&
      srv_guard_explain_all(call, collection, params, plan, sizeof plan, &length, NULL) ==
          VECDB_OK)
    srv_line_text(&line, "plan", plan);
  srv_log_end(&line, call->server, VECDB_LOG_WARN);
}

void srv_observe_search(struct srv_call *call, struct engine_collection *collection,
                        const vecdb_search_params *params, uint64_t began_ns) {
  uint64_t ns;
  call->searched = true;
  if (observe_is_slow(call, began_ns, &ns))
    observe_slow(call, collection, params, 0, ns);
}

void srv_observe_hybrid(struct srv_call *call, struct engine_collection *collection,
                        const vecdb_hybrid_params *params, uint64_t began_ns) {
  uint64_t ns;
  call->searched = true;
  if (observe_is_slow(call, began_ns, &ns))
    for (uint32_t i = 0; i < params->n_searches; i++)
      observe_slow(call, collection, &params->searches[i].search, i + 1, ns);
}

/* A query has no plan but its filter. */
void srv_observe_query(struct srv_call *call, const vecdb_query_params *params, uint64_t began_ns) {
  struct srv_line line;
  uint64_t ns;
  if (!observe_is_slow(call, began_ns, &ns) ||
      !srv_log_begin(&line, call->server, VECDB_LOG_WARN, "slow query"))
    return;
  srv_line_call(&line, call);
  srv_line_ms(&line, "duration_ms", ns);
  srv_line_number(&line, "limit", params->limit);
  srv_line_number(&line, "offset", params->offset);
  srv_line_text(&line, "filter", params->filter.text);
  srv_log_end(&line, call->server, VECDB_LOG_WARN);
}

/* ---- Requests -------------------------------------------------------------------------------- */

void srv_observe_begin(struct srv_call *call, const char *traceparent, const char *tracestate) {
  srv_trace_begin(&call->trace, traceparent, tracestate);
  call->began_ns = srv_now_ns();
}

/* What the audit log has: all that reads, writes or administers, and all that was not permitted. */
static bool observe_audits(const struct srv_call *call) {
  if (!call->route)
    return false;
  if (call->denied)
    return true;
  switch (call->route->permission) {
  case SRV_PUBLIC:
  case SRV_KNOWN:
  case SRV_MONITOR:
    return false;
  default:
    return true;
  }
}

bool srv_observe_admits(const struct srv_call *call) {
  const struct srv_audit *audit = call->server->audit;
  return !audit || !observe_audits(call) || srv_audit_works(audit);
}

void srv_observe_end(struct srv_call *call, size_t bytes_out, bool may_wait) {
  if (!call->began_ns) /* it was none that could be understood */
    srv_observe_begin(call, NULL, NULL);
  uint64_t ns = srv_now_ns() - call->began_ns;
  struct srv_audit *audit = call->server->audit;
  uint64_t record = 0;
  if (audit && observe_audits(call))
    record = srv_audit_request(audit, call, ns);
  srv_metrics_count(call->server->metrics,
                    &(struct srv_metrics_request){call->route, call->status, call->failed,
                                                  call->searched, ns, call->body_bytes,
                                                  bytes_out});
  if (call->server->config.log_requests)
    log_request(call, ns, bytes_out);
  if (record && may_wait)
    srv_audit_wait(audit, record);
}
