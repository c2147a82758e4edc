/*
 * etcd.h - a real etcd (3.4 and later) as the metadata store, by its JSON gateway over HTTP/1.1.
 *
 * Requests go to one endpoint until it fails, then to the next. One that surely had no effect (no
 * connection, no leader) and one that only reads are tried again until their deadline: soon within
 * a budget of one retry per ten requests, every second beyond it. A write whose answer is lost is
 * META_UNKNOWN, and never sent twice. Watches are streams of their own, and go on elsewhere from
 * where they stopped.
 */
#ifndef CLUSTER_META_ETCD_H
#define CLUSTER_META_ETCD_H

#include "meta/meta.h"

enum { ETCD_ENDPOINTS_MAX = 16, ETCD_PARALLEL = 8, ETCD_WHY = 256 };

struct etcd_config {
  const char *endpoints; /* "https://a:2379,https://b:2379" */
  const char *ca_file;   /* PEM; NULL: the system's */
  const char *cert_file; /* PEM, of this client; NULL: none */
  const char *key_file;
  int64_t connect_us; /* 0: 1 s */
  int64_t attempt_us; /* of a request that only reads, before the next endpoint is asked; 0: 2 s */
  int64_t request_us; /* a request's whole time unless it says otherwise; 0: 5 s */
};

/* NULL with the reason in `why` (ETCD_WHY bytes): a wrong configuration, or no memory. Whether
   anybody is there shows with the first request. */
struct meta_store *etcd_open(const struct etcd_config *config, char *why);

/* Forgets revisions before this one, as meta_txn reports. etcd does so by itself when told to. */
enum meta_status etcd_compact(struct meta_store *store, int64_t revision, meta_done *done,
                              void *arg);

/* For metrics. */
struct etcd_counts {
  uint64_t requests;
  uint64_t retries;
  uint64_t slowed;    /* of these, how many the budget put off */
  uint64_t failovers; /* changes of the endpoint */
  uint64_t watch_restarts;
  size_t endpoint; /* that is asked now */
};
struct etcd_counts etcd_counts(const struct meta_store *store);

#endif
