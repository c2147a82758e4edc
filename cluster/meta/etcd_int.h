/* etcd_int.h - what the files of the etcd client share: the store, its requests and watches. */
#ifndef CLUSTER_META_ETCD_INT_H
#define CLUSTER_META_ETCD_INT_H

#include "meta/etcd_json.h"

enum {
  ETCD_ANSWER_MAX = 16 * 1024 * 1024,
  ETCD_LINE_MAX = 64 * 1024 * 1024,
  ETCD_REQUEST_MAX = 2 * 1024 * 1024, /* META_TXN_BYTES as base64, and what is around them */
  ETCD_BUDGET = 100,                  /* tenths of a retry that can be saved up */
  ETCD_RETRY = 10
};

struct etcd_request {
  struct etcd_request *next;
  enum etcd_kind kind;
  bool repeatable; /* doing it twice is doing it once */
  struct http_buffer body;
  struct http_call call;
  int64_t deadline_us;
  int64_t attempt_us; /* when this attempt is given up, or the next one begins */
  uint32_t attempts;
  meta_done *done;
  void *arg;
};

struct etcd_watch {
  struct etcd_watch *next;
  uint64_t id;
  struct meta_bytes key; /* owned */
  struct meta_bytes end; /* owned */
  int64_t from;          /* the next revision to be told; 0: not known yet */
  struct http_buffer body;
  struct http_call call;
  int64_t start_us; /* when it is asked for again */
  uint32_t failures;
  bool cancelled;
  meta_watched *watched;
  void *arg;
};

struct etcd_store {
  struct meta_store store;
  struct http http;
  struct etcd_request *requests; /* in the order they came */
  struct etcd_watch *watches;
  size_t n_requests;
  size_t n_flying;
  size_t n_watches;
  uint64_t last_watch;
  uint32_t budget;
  bool running;
  int64_t now_us;
  int64_t attempt_us;
  int64_t request_us;
  struct etcd_counts counts;
};

/* How long to wait after so many failures: nothing until every endpoint was tried, then longer. */
int64_t etcd_backoff(const struct etcd_store *etcd, uint32_t failures);

/* Watches, of etcd_watch.c. */
enum meta_status etcd_watch_add(struct meta_store *store, struct meta_bytes key,
                                struct meta_bytes end, int64_t revision, meta_watched *watched,
                                void *arg, uint64_t *id);
void etcd_watch_cancel(struct meta_store *store, uint64_t id);
int64_t etcd_watch_due(const struct etcd_store *etcd);
void etcd_watch_run(struct etcd_store *etcd);
void etcd_watch_close(struct etcd_store *etcd);

#endif
