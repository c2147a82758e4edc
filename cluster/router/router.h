/*
 * router.h - asks the shards of a collection and makes one answer of theirs. No clock, thread or
 * socket: events go in, actions come out through the functions of router_host before a call
 * returns; these must not call back into the router. Time is in microseconds of any clock that only
 * grows.
 *
 * One router serves many requests and collections at once, for one thread. README.md says what it
 * does about slow, dead, overloaded and moved nodes.
 */
#ifndef CLUSTER_ROUTER_H
#define CLUSTER_ROUTER_H

#include "router/map.h"
#include "router/merge.h"

struct router;

/* What the reader of an answer holds. Parts are the answers of shards; refs name a row of one. */
struct router_result {
  struct wire_result result;
  uint16_t kind; /* of the request */
  uint8_t write; /* its wire_write_kind */
  uint32_t n_parts;
  const struct wire_message *const *parts;
  /* SEARCH: refs and scores of query q begin at q * k, and counts[q] says how many. GET, QUERY:
     refs are n rows, in the order of the request's keys, or of the keys' own. */
  uint32_t n_queries;
  uint32_t k;
  int32_t metric; /* of a search's field */
  uint32_t n;
  const uint32_t *counts;
  const struct router_ref *refs;
  const float *scores;
  const uint8_t *found; /* GET: by key; UPDATE: by row */
  uint32_t n_found;
  uint64_t number; /* COUNT, deletes */
  struct wire_mem mem;
};
void router_result_free(struct router_result *result);
/* One result of those of several searches, which it takes over: its parts are theirs, one after the
   other, so a ref of the i-th is one of it once its list is raised by the number of parts before.
   `hits` is room for n_queries * k refs and scores, and for counts, all zero, for the caller to
   fill. NULL: no memory, and nothing was taken. */
struct router_hits {
  struct router_ref *refs;
  float *scores;
  uint32_t *counts;
};
struct router_result *router_result_join(struct router_result *const *results, uint32_t n,
                                         uint32_t n_queries, uint32_t k,
                                         struct router_hits *hits);
/* The columns that a ref's row is in. */
const struct wire_columns *router_result_rows(const struct router_result *result,
                                              struct router_ref ref);

/* What a session has seen, shard by shard of one collection. Zeroed when it begins; one request at
   a time changes it. */
struct router_session {
  uint32_t n;
  struct router_seen {
    uint64_t seq;
    uint64_t epoch;
  } * seen;
};
void router_session_free(struct router_session *session);

struct router_host {
  void *arg;
  /* The payload is the router's; the highest bit of `request` is never set; deadline_ms is what is
     left, at least 1. False: not to be reached now. */
  bool (*send)(void *arg, uint32_t node, uint64_t request, uint32_t deadline_ms,
               const void *payload, size_t n);
  /* Nobody waits for that answer any more. */
  void (*cancel)(void *arg, uint32_t node, uint64_t request);
  /* The request is over; `result` is the host's, to be freed. NULL: no memory for it. */
  void (*done)(void *arg, void *user, struct router_result *result);
  /* The collection's map seems old: a newer one is wanted. */
  void (*refresh)(void *arg, uint32_t collection);
};

struct router_options {
  uint64_t client;      /* of op ids; not 0 */
  bool numbered;        /* each write brings the number of its op id (router_ask.op) */
  uint64_t seed;        /* of choices among nodes */
  size_t bytes;         /* of requests under way, in all; 0: 256 MiB */
  size_t node_bytes;    /* to one node; 0: 32 MiB */
  uint32_t hedge_share; /* second copies of reads, in 1/1,000 of their messages; 0: 50 */
  uint32_t retry_share; /* further tries, likewise; 0: 100 */
  int64_t attempt_us;   /* at least, before another try, and twice that before the next; 0: 2 s */
  bool no_hedging;
};

/* A request. What it points to stays where it is until it is done. */
struct router_ask {
  uint32_t collection;
  /* Its target, op id and token are the router's to fill in, but for the shard of CHANGES. */
  const struct wire_message *message;
  int64_t deadline_us;
  bool partial;       /* reads: shards that gave no answer in time may be missing, which is said */
  float shard_recall; /* SEARCH: share of the neighbours that the shards asked must have; 0: all */
  struct router_session *session; /* NULL: none */
  uint64_t op; /* writes of a numbered router: their number for each shard they concern */
  void *user;
};

/* NULL: no memory. */
struct router *router_open(const struct router_options *options, const struct router_host *host);
/* What is under way is forgotten: `done` is not called. */
void router_close(struct router *router);

/* A collection as it is now; the router takes a reference. An older one than it has is ignored.
   False: no memory. */
bool router_set_map(struct router *router, struct router_map *map);
/* The collection was dropped. Requests under way fail. */
void router_drop_map(struct router *router, uint32_t collection, int64_t now_us);
const struct router_map *router_get_map(const struct router *router, uint32_t collection);
/* Where a shard's vectors are, from WIRE_STATS; copied. False: no memory, or not of the field. */
bool router_set_summary(struct router *router, uint32_t collection, uint32_t shard,
                        const struct wire_summary *summary);

/* Begins. `done` is called, perhaps before this returns. */
void router_submit(struct router *router, int64_t now_us, const struct router_ask *ask);
/* Ends it early; `done` is called with VECDB_ERR_CANCELLED. */
void router_cancel(struct router *router, int64_t now_us, void *user);
/* A node's answer; data is from malloc, and the router's from now on. */
void router_answer(struct router *router, int64_t now_us, uint32_t node, uint64_t request,
                   void *data, size_t n);
/* A node can be reached again, or no longer: what it was asked will not be answered. */
void router_up(struct router *router, int64_t now_us, uint32_t node);
void router_down(struct router *router, int64_t now_us, uint32_t node);
/* To be called when router_due has come: INT64_MAX when there is nothing to wait for. */
void router_tick(struct router *router, int64_t now_us);
int64_t router_due(const struct router *router);

struct router_stats {
  uint64_t requests;
  uint64_t messages; /* first tries */
  uint64_t hedges;
  uint64_t retries; /* those of the budget */
  uint64_t redirects;
  uint64_t refused; /* over the limit of bytes */
  uint64_t partial;
  uint64_t shards_left_out; /* by shard_recall */
  uint64_t shards_pruned;   /* by a filter on the placement's field */
  size_t bytes;             /* under way */
  uint32_t under_way;       /* requests */
};
struct router_stats router_stats(const struct router *router);

#endif
