/* etcd.c - requests to etcd: queue, retries, failover, deadlines; see etcd.h. */
#include "meta/etcd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "meta/etcd_int.h"

int64_t etcd_backoff(const struct etcd_store *etcd, uint32_t failures) {
  uint32_t rounds = failures / (uint32_t)etcd->http.n_endpoints;
  if (!rounds)
    return 0;
  return rounds > 5 ? 1000000 : (int64_t)25000 << rounds;
}

static void etcd_request_free(struct etcd_request *r) {
  http_free(&r->body);
  http_free(&r->call.in);
  free(r);
}

/* ---- Asking ---- */

static struct etcd_request *etcd_request(enum etcd_kind kind) {
  struct etcd_request *r = calloc(1, sizeof *r);
  if (r) {
    r->kind = kind;
    r->body.limit = ETCD_REQUEST_MAX;
    r->call.in.limit = ETCD_ANSWER_MAX;
  }
  return r;
}

static enum meta_status etcd_send(struct meta_store *store, struct etcd_request *r,
                                  int64_t deadline_us, meta_done *done, void *arg) {
  struct etcd_store *etcd = (struct etcd_store *)store;
  if (!r)
    return META_NO_MEMORY;
  if (r->body.failed || etcd->n_requests >= META_PENDING_MAX) {
    bool full = etcd->n_requests >= META_PENDING_MAX;
    etcd_request_free(r);
    return full ? META_LIMIT : META_NO_MEMORY;
  }
  r->deadline_us = deadline_us; /* 0: counted from the next run, which knows the time */
  r->done = done;
  r->arg = arg;
  struct etcd_request **end = &etcd->requests;
  while (*end)
    end = &(*end)->next;
  *end = r;
  etcd->n_requests++;
  etcd->counts.requests++;
  if (etcd->budget < ETCD_BUDGET)
    etcd->budget++;
  return META_OK;
}

static bool etcd_reads(const struct meta_op *ops, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (ops[i].kind != META_GET)
      return false;
  return true;
}

static enum meta_status etcd_txn(struct meta_store *store, const struct meta_txn *txn,
                                 int64_t deadline_us, meta_done *done, void *arg) {
  struct etcd_request *r = etcd_request(ETCD_TXN);
  if (r) {
    r->repeatable =
        etcd_reads(txn->then, txn->n_then) && etcd_reads(txn->otherwise, txn->n_otherwise);
    etcd_write_txn(&r->body, txn);
  }
  return etcd_send(store, r, deadline_us, done, arg);
}

static enum meta_status etcd_grant(struct meta_store *store, int64_t ttl_s, int64_t deadline_us,
                                   meta_done *done, void *arg) {
  struct etcd_request *r = etcd_request(ETCD_GRANT);
  if (r)
    etcd_write_number(&r->body, "TTL", ttl_s);
  return etcd_send(store, r, deadline_us, done, arg);
}

static enum meta_status etcd_keep(struct meta_store *store, int64_t lease, int64_t deadline_us,
                                  meta_done *done, void *arg) {
  struct etcd_request *r = etcd_request(ETCD_KEEP);
  if (r) {
    r->repeatable = true;
    etcd_write_number(&r->body, "ID", lease);
  }
  return etcd_send(store, r, deadline_us, done, arg);
}

static enum meta_status etcd_revoke(struct meta_store *store, int64_t lease, int64_t deadline_us,
                                    meta_done *done, void *arg) {
  struct etcd_request *r = etcd_request(ETCD_REVOKE);
  if (r)
    etcd_write_number(&r->body, "ID", lease);
  return etcd_send(store, r, deadline_us, done, arg);
}

enum meta_status etcd_compact(struct meta_store *store, int64_t revision, meta_done *done,
                              void *arg) {
  struct etcd_request *r = etcd_request(ETCD_COMPACT);
  if (r)
    etcd_write_number(&r->body, "revision", revision);
  return etcd_send(store, r, 0, done, arg);
}

/* ---- Answering ---- */

/* Takes the request out of the list and tells its owner. */
static void etcd_finish(struct etcd_store *etcd, struct etcd_request *r,
                        const struct meta_result *result) {
  for (struct etcd_request **at = &etcd->requests; *at; at = &(*at)->next)
    if (*at == r) {
      *at = r->next;
      break;
    }
  if (r->call.curl)
    etcd->n_flying--;
  http_stop(&etcd->http, &r->call);
  etcd->n_requests--;
  r->done(r->arg, result);
  etcd_request_free(r);
}

static void etcd_fail(struct etcd_store *etcd, struct etcd_request *r, enum meta_status status,
                      const char *message) {
  const struct meta_result result = {.status = status, .message = message};
  etcd_finish(etcd, r, &result);
}

/* The attempt failed. Tries again where that is safe and timely: soon while there is budget for it,
   else a second later. */
static void etcd_again(struct etcd_store *etcd, struct etcd_request *r, bool unsent,
                       const char *message) {
  bool safe = r->repeatable || unsent, rich = etcd->budget >= ETCD_RETRY;
  int64_t at = etcd->now_us + (rich ? etcd_backoff(etcd, r->attempts) : 1000000);
  http_blame(&etcd->http, r->call.endpoint);
  if (!safe || at >= r->deadline_us) {
    etcd_fail(etcd, r, safe ? META_UNAVAILABLE : META_UNKNOWN, message);
    return;
  }
  etcd->budget -= rich ? ETCD_RETRY : 0;
  etcd->counts.slowed += !rich;
  etcd->counts.retries++;
  r->call.ended = false;
  r->attempt_us = at;
}

static void etcd_ended(struct etcd_store *etcd, struct etcd_request *r) {
  struct etcd_answer answer;
  etcd->n_flying--;
  if (r->call.in.failed) {
    etcd_fail(etcd, r, META_LIMIT, "etcd's answer is too large");
    return;
  }
  if (r->call.code != CURLE_OK) {
    etcd_again(etcd, r, !r->call.sent, curl_easy_strerror(r->call.code));
    return;
  }
  etcd_read_answer(r->kind, r->call.in.data ? r->call.in.data : "", r->call.in.n, &answer);
  enum meta_status status = answer.result.status;
  if (status == META_UNAVAILABLE || (status == META_UNKNOWN && r->repeatable))
    etcd_again(etcd, r, status == META_UNAVAILABLE, answer.result.message);
  else
    etcd_finish(etcd, r, &answer.result);
  etcd_answer_free(&answer);
}

/* Its time is over. What libcurl had not begun to send, or was never given to it, had no effect. */
static void etcd_expired(struct etcd_store *etcd, struct etcd_request *r) {
  bool flying = r->call.curl != NULL;
  if (flying) {
    http_stop(&etcd->http, &r->call);
    etcd->n_flying--;
    http_blame(&etcd->http, r->call.endpoint);
  }
  bool none = !flying || !r->call.sent || r->repeatable;
  etcd_fail(etcd, r, none ? META_UNAVAILABLE : META_UNKNOWN, "etcd did not answer in time");
}

/* Deals with the first request that something happened to; false: there is none. */
static bool etcd_settle(struct etcd_store *etcd) {
  for (struct etcd_request *r = etcd->requests; r; r = r->next) {
    if (r->call.ended) {
      etcd_ended(etcd, r);
      return true;
    }
    if (r->deadline_us <= etcd->now_us) {
      etcd_expired(etcd, r);
      return true;
    }
    if (r->call.curl && r->repeatable && r->attempt_us <= etcd->now_us) {
      http_stop(&etcd->http, &r->call);
      etcd->n_flying--;
      etcd_again(etcd, r, true, "etcd did not answer in time");
      return true;
    }
  }
  return false;
}

static bool etcd_waits(const struct etcd_request *r) { return !r->call.curl && !r->call.ended; }

static void etcd_start(struct etcd_store *etcd) {
  static const char *const paths[] = {[ETCD_TXN] = "/v3/kv/txn",
                                      [ETCD_GRANT] = "/v3/lease/grant",
                                      [ETCD_KEEP] = "/v3/lease/keepalive",
                                      [ETCD_REVOKE] = "/v3/lease/revoke",
                                      [ETCD_COMPACT] = "/v3/kv/compaction"};
  for (struct etcd_request *r = etcd->requests; r && etcd->n_flying < ETCD_PARALLEL; r = r->next) {
    if (!etcd_waits(r) || r->attempt_us > etcd->now_us)
      continue;
    r->attempts++;
    r->attempt_us = etcd->now_us + etcd->attempt_us;
    if (http_start(&etcd->http, &r->call, paths[r->kind], &r->body))
      etcd->n_flying++; /* else it waits for memory until its deadline */
  }
}

static void etcd_run(struct meta_store *store, int64_t now_us) {
  struct etcd_store *etcd = (struct etcd_store *)store;
  etcd->now_us = now_us;
  for (struct etcd_request *r = etcd->requests; r; r = r->next)
    r->deadline_us = r->deadline_us ? r->deadline_us : now_us + etcd->request_us;
  http_run(&etcd->http, now_us);
  while (etcd_settle(etcd))
    ;
  etcd_watch_run(etcd);
  etcd_start(etcd);
  if (etcd->http.timer_us <= now_us)
    http_run(&etcd->http, now_us); /* sends what was just started */
}

static int64_t etcd_due(const struct meta_store *store) {
  const struct etcd_store *etcd = (const struct etcd_store *)store;
  int64_t due = etcd->http.timer_us, watch = etcd_watch_due(etcd);
  due = watch < due ? watch : due;
  for (const struct etcd_request *r = etcd->requests; r; r = r->next) {
    int64_t at = r->deadline_us;
    bool startable = etcd_waits(r) && etcd->n_flying < ETCD_PARALLEL;
    if (r->call.ended)
      at = etcd->now_us;
    else if ((startable || (r->call.curl && r->repeatable)) && r->attempt_us < at)
      at = r->attempt_us;
    due = at < due ? at : due;
  }
  return due;
}

static int etcd_fd(const struct meta_store *store) {
  return ((const struct etcd_store *)store)->http.epoll;
}

/* ---- Opening and closing ---- */

static void etcd_close(struct meta_store *store) {
  struct etcd_store *etcd = (struct etcd_store *)store;
  while (etcd->requests) {
    struct etcd_request *r = etcd->requests;
    bool never = !r->attempts || r->repeatable;
    etcd_fail(etcd, r, never ? META_CLOSED : META_UNKNOWN, "the store was closed");
  }
  etcd_watch_close(etcd);
  http_close(&etcd->http);
  free(etcd);
}

struct meta_store *etcd_open(const struct etcd_config *config, char *why) {
  static const struct meta_ops ops = {
      .txn = etcd_txn,
      .grant = etcd_grant,
      .keep = etcd_keep,
      .revoke = etcd_revoke,
      .watch = etcd_watch_add,
      .cancel = etcd_watch_cancel,
      .fd = etcd_fd,
      .due = etcd_due,
      .run = etcd_run,
      .close = etcd_close,
  };
  struct etcd_store *etcd = calloc(1, sizeof *etcd);
  if (!etcd) {
    snprintf(why, ETCD_WHY, "out of memory");
    return NULL;
  }
  if (!http_open(&etcd->http, config, why)) {
    free(etcd);
    return NULL;
  }
  etcd->store.ops = &ops;
  etcd->budget = ETCD_BUDGET;
  etcd->attempt_us = config->attempt_us ? config->attempt_us : 2000000;
  etcd->request_us = config->request_us ? config->request_us : 5000000;
  return &etcd->store;
}

struct etcd_counts etcd_counts(const struct meta_store *store) {
  const struct etcd_store *etcd = (const struct etcd_store *)store;
  struct etcd_counts counts = etcd->counts;
  counts.failovers = etcd->http.failovers;
  counts.endpoint = etcd->http.current;
  return counts;
}
