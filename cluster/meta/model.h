/*
 * model.h - a metadata store in memory that behaves as etcd does, deterministic from a seed, with
 * faults on demand: for simulations and tests. tests/cluster/test_meta_conform.c holds it and a
 * real etcd against the same table.
 *
 * One server has any number of clients, each a store of its own, so that a simulation can cut one
 * node off. The server's time is the largest that any client's meta_run or model_advance was given.
 * Its memory is kept until model_free, compacted revisions included.
 */
#ifndef CLUSTER_META_MODEL_H
#define CLUSTER_META_MODEL_H

#include "meta/meta.h"

/* Chances are in 10,000 requests (or batches of a watch). All zero: instant and without faults. */
struct model_faults {
  int64_t latency_min_us; /* there and back; the request takes effect somewhere in between */
  int64_t latency_max_us;
  int64_t slow_us; /* up to so much more, for the slow ones */
  uint32_t slow;
  uint32_t refused;       /* META_UNAVAILABLE, not applied */
  uint32_t request_lost;  /* never applied; META_UNKNOWN at the deadline */
  uint32_t answer_lost;   /* applied; META_UNKNOWN at the deadline */
  uint32_t reset;         /* applied or not; META_UNKNOWN at once */
  uint32_t late;          /* applied only after the deadline, META_UNKNOWN before */
  uint32_t stale;         /* a transaction that only reads sees an older revision */
  uint32_t keep_lies;     /* a lease that is gone is kept with META_OK */
  uint32_t lease_early;   /* a lease expires when it is kept, though META_OK was answered */
  uint32_t watch_repeats; /* a batch's events are told again with the next */
  uint32_t watch_loses;   /* a batch is never told */
  int64_t watch_lag_us;   /* a batch waits up to so long */
};

struct model_server;

/* NULL: no memory. */
struct model_server *model_new(uint64_t seed);
/* After all its clients were closed. */
void model_free(struct model_server *server);
/* A client; meta_close ends it. NULL: no memory. */
struct meta_store *model_connect(struct model_server *server);

void model_set_faults(struct model_server *server, const struct model_faults *faults);
/* While down, requests are refused, watches are silent, and leases live on, as in an etcd without
   a leader; when it is up again every lease has its whole time once more. */
void model_set_down(struct model_server *server, bool down);
/* While cut off, this client's requests and answers are lost and its watches are silent. */
void model_set_cut(struct meta_store *client, bool cut);

/* Forgets revisions before this one (at most the present one). */
void model_compact(struct model_server *server, int64_t revision);
/* The lease expires now. */
void model_expire(struct model_server *server, int64_t lease);
void model_advance(struct model_server *server, int64_t now_us);
int64_t model_revision(const struct model_server *server);
/* Transactions applied so far that wrote something. */
uint64_t model_writes(const struct model_server *server);

#endif
