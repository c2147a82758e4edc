/* metrics.c - the counters; see metrics.h. */
#include "server/metrics.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { METRICS_LINE = 64, METRICS_THREADS = 64 };

const struct srv_metrics_bound srv_metrics_bounds[SRV_METRICS_BUCKETS] = {
    {"0.00025", 250000},   {"0.0005", 500000},    {"0.001", 1000000},     {"0.002", 2000000},
    {"0.003", 3000000},    {"0.005", 5000000},    {"0.0075", 7500000},    {"0.01", 10000000},
    {"0.015", 15000000},   {"0.02", 20000000},    {"0.03", 30000000},     {"0.05", 50000000},
    {"0.075", 75000000},   {"0.1", 100000000},    {"0.2", 200000000},     {"0.5", 500000000},
    {"1.0", 1000000000},   {"2.5", 2500000000},   {"5.0", 5000000000},    {"10.0", 10000000000},
};
const int srv_metrics_codes[SRV_METRICS_CODES] = {200, 201, 400, 401, 403, 404, 405, 409, 413,
                                                  429, 500, 501, 502, 503, 504, 507, 0};

typedef _Atomic uint64_t metrics_cell;

struct metrics_histogram {
  metrics_cell buckets[SRV_METRICS_BUCKETS + 1];
  metrics_cell ns;
};

struct metrics_route {
  metrics_cell codes[SRV_METRICS_CODES];
  struct metrics_histogram duration;
};

struct metrics_api {
  struct metrics_histogram search;
  metrics_cell bytes_in, bytes_out;
  metrics_cell errors[SRV_METRICS_ERRORS];
};

/* The counters of one thread. */
struct metrics_shard {
  struct metrics_api apis[SRV_METRICS_APIS];
  struct metrics_histogram embedding;
  struct metrics_route routes[];
};

struct srv_metrics {
  size_t n_routes; /* with one for requests that no route fits */
  const char *apis[SRV_METRICS_APIS];
  uint8_t *api_of; /* of each route */
  const char *_Atomic errors[SRV_METRICS_ERRORS];
  _Atomic unsigned turn; /* shards are given to threads by turns */
  unsigned n_shards;
  struct metrics_shard *shards[];
};

/* ---- Making ---------------------------------------------------------------------------------- */

/* Which dialect each route is of; the last of the dialects is none. */
static bool metrics_learn_routes(struct srv_metrics *m) {
  const char *api;
  size_t n = 0, at = 0;
  while (srv_route_numbered(n, &api))
    n++;
  m->n_routes = n + 1;
  m->api_of = calloc(m->n_routes, 1);
  if (!m->api_of)
    return false;
  for (size_t i = 0; i < n; i++) {
    srv_route_numbered(i, &api);
    if (m->apis[at] && strcmp(m->apis[at], api) != 0)
      at++;
    m->apis[at] = api;
    m->api_of[i] = (uint8_t)at;
  }
  m->apis[SRV_METRICS_APIS - 1] = "none";
  m->api_of[n] = SRV_METRICS_APIS - 1;
  return true;
}

struct srv_metrics *srv_metrics_new(unsigned threads) {
  unsigned n = threads < METRICS_THREADS ? threads : METRICS_THREADS;
  struct srv_metrics *m = calloc(1, sizeof *m + n * sizeof m->shards[0]);
  if (!m || !metrics_learn_routes(m)) {
    free(m);
    return NULL;
  }
  size_t bytes = sizeof(struct metrics_shard) + m->n_routes * sizeof(struct metrics_route);
  bytes = (bytes + METRICS_LINE - 1) / METRICS_LINE * METRICS_LINE;
  for (; m->n_shards < n; m->n_shards++) {
    struct metrics_shard *shard = aligned_alloc(METRICS_LINE, bytes);
    if (!shard) {
      srv_metrics_free(m);
      return NULL;
    }
    memset(shard, 0, bytes);
    m->shards[m->n_shards] = shard;
  }
  return m;
}

void srv_metrics_free(struct srv_metrics *m) {
  if (!m)
    return;
  while (m->n_shards)
    free(m->shards[--m->n_shards]);
  free(m->api_of);
  free(m);
}

/* ---- Counting -------------------------------------------------------------------------------- */

static void metrics_add(metrics_cell *cell, uint64_t n) {
  atomic_fetch_add_explicit(cell, n, memory_order_relaxed);
}

static uint64_t metrics_load(const metrics_cell *cell) {
  return atomic_load_explicit(cell, memory_order_relaxed);
}

static struct metrics_shard *metrics_own(struct srv_metrics *m) {
  static _Thread_local unsigned turn; /* threads of a second server share; nothing is lost by it */
  if (turn == 0)
    turn = atomic_fetch_add(&m->turn, 1) + 1;
  return m->shards[turn % m->n_shards];
}

static void metrics_time(struct metrics_histogram *h, uint64_t ns) {
  size_t i = 0;
  while (i < SRV_METRICS_BUCKETS && ns > srv_metrics_bounds[i].ns)
    i++;
  metrics_add(&h->buckets[i], 1);
  metrics_add(&h->ns, ns);
}

static size_t metrics_code(int status) {
  size_t i = 0;
  while (i + 1 < SRV_METRICS_CODES && srv_metrics_codes[i] != status)
    i++;
  return i;
}

/* The place of an error's name, which is taken when the name is new. The last is for what has no
   place. */
static size_t metrics_error_number(struct srv_metrics *m, const char *name) {
  for (size_t i = 0; i + 1 < SRV_METRICS_ERRORS; i++) {
    const char *there = NULL;
    if (atomic_compare_exchange_strong(&m->errors[i], &there, name) || strcmp(there, name) == 0)
      return i;
  }
  atomic_store(&m->errors[SRV_METRICS_ERRORS - 1], "other");
  return SRV_METRICS_ERRORS - 1;
}

void srv_metrics_count(struct srv_metrics *m, const struct srv_metrics_request *r) {
  struct metrics_shard *shard = metrics_own(m);
  size_t route = r->route ? srv_route_number(r->route) : m->n_routes - 1;
  struct metrics_api *api = &shard->apis[m->api_of[route]];
  metrics_add(&shard->routes[route].codes[metrics_code(r->status)], 1);
  metrics_time(&shard->routes[route].duration, r->ns);
  metrics_add(&api->bytes_in, r->bytes_in);
  metrics_add(&api->bytes_out, r->bytes_out);
  if (r->search)
    metrics_time(&api->search, r->ns);
  if (r->error)
    metrics_add(&api->errors[metrics_error_number(m, r->error)], 1);
}

void srv_metrics_embedding(struct srv_metrics *m, uint64_t ns) {
  metrics_time(&metrics_own(m)->embedding, ns);
}

/* ---- Adding up ------------------------------------------------------------------------------- */

static void metrics_sum(uint64_t *out, const metrics_cell *cells, size_t n) {
  for (size_t i = 0; i < n; i++)
    out[i] += metrics_load(&cells[i]);
}

static void metrics_sum_histogram(struct srv_metrics_histogram *out,
                                  const struct metrics_histogram *h) {
  metrics_sum(out->buckets, h->buckets, SRV_METRICS_BUCKETS + 1);
  out->ns += metrics_load(&h->ns);
}

size_t srv_metrics_routes(const struct srv_metrics *m) {
  return m->n_routes;
}

void srv_metrics_sum_route(const struct srv_metrics *m, size_t i, struct srv_metrics_route *out) {
  memset(out, 0, sizeof *out);
  out->route = srv_route_numbered(i, &out->api);
  out->api = m->apis[m->api_of[i]];
  for (unsigned s = 0; s < m->n_shards; s++) {
    metrics_sum(out->codes, m->shards[s]->routes[i].codes, SRV_METRICS_CODES);
    metrics_sum_histogram(&out->duration, &m->shards[s]->routes[i].duration);
  }
}

void srv_metrics_sum_api(const struct srv_metrics *m, size_t i, struct srv_metrics_api *out) {
  memset(out, 0, sizeof *out);
  out->name = m->apis[i];
  for (unsigned s = 0; s < m->n_shards; s++) {
    const struct metrics_api *api = &m->shards[s]->apis[i];
    metrics_sum_histogram(&out->search, &api->search);
    metrics_sum(out->errors, api->errors, SRV_METRICS_ERRORS);
    out->bytes_in += metrics_load(&api->bytes_in);
    out->bytes_out += metrics_load(&api->bytes_out);
  }
}

void srv_metrics_sum_embedding(const struct srv_metrics *m, struct srv_metrics_histogram *out) {
  memset(out, 0, sizeof *out);
  for (unsigned s = 0; s < m->n_shards; s++)
    metrics_sum_histogram(out, &m->shards[s]->embedding);
}

const char *srv_metrics_error(const struct srv_metrics *m, size_t i) {
  return atomic_load(&m->errors[i]);
}
