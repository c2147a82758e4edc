/*
 * metrics.h - what the server counts while it answers, and the page that tells it to Prometheus
 * (metrics_page.c). Counting takes no lock: each thread has counters of its own, which the page
 * adds up.
 */
#ifndef SRV_METRICS_H
#define SRV_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/routes.h"

struct srv_metrics;

enum {
  SRV_METRICS_CODES = 17,   /* statuses that are told apart, and one for others */
  SRV_METRICS_BUCKETS = 20, /* of latencies, and one beyond the last */
  SRV_METRICS_APIS = 6,
  SRV_METRICS_ERRORS = 64 /* names of errors that are told apart */
};

/* Upper bounds of the buckets, as they stand in the label `le`, and in nanoseconds. */
struct srv_metrics_bound {
  const char *le;
  uint64_t ns;
};
extern const struct srv_metrics_bound srv_metrics_bounds[SRV_METRICS_BUCKETS];
/* The last stands for any other status. */
extern const int srv_metrics_codes[SRV_METRICS_CODES];

/* A request that has been answered. */
struct srv_metrics_request {
  const struct srv_route *route; /* NULL: there was none */
  int status;
  const char *error; /* a name that stays; NULL: none */
  bool search;
  uint64_t ns;
  uint64_t bytes_in, bytes_out; /* of the body, and of the answer */
};

/* For as many threads; NULL: out of memory. */
struct srv_metrics *srv_metrics_new(unsigned threads);
void srv_metrics_free(struct srv_metrics *metrics);
void srv_metrics_count(struct srv_metrics *metrics, const struct srv_metrics_request *request);
/* The embedding service was asked. */
void srv_metrics_embedding(struct srv_metrics *metrics, uint64_t ns);

/* ---- What was counted, of all threads together ---- */

struct srv_metrics_histogram {
  uint64_t buckets[SRV_METRICS_BUCKETS + 1]; /* not cumulative */
  uint64_t ns;
};

struct srv_metrics_route {
  const struct srv_route *route; /* NULL: requests that no route fits */
  const char *api;
  uint64_t codes[SRV_METRICS_CODES];
  struct srv_metrics_histogram duration;
};

struct srv_metrics_api {
  const char *name; /* NULL: there is no such dialect */
  struct srv_metrics_histogram search;
  uint64_t bytes_in, bytes_out;
  uint64_t errors[SRV_METRICS_ERRORS]; /* by srv_metrics_error */
};

size_t srv_metrics_routes(const struct srv_metrics *metrics);
void srv_metrics_sum_route(const struct srv_metrics *metrics, size_t i,
                           struct srv_metrics_route *out);
void srv_metrics_sum_api(const struct srv_metrics *metrics, size_t i, struct srv_metrics_api *out);
void srv_metrics_sum_embedding(const struct srv_metrics *metrics,
                               struct srv_metrics_histogram *out);
/* The i-th name of an error; NULL: not used yet. */
const char *srv_metrics_error(const struct srv_metrics *metrics, size_t i);

#endif
