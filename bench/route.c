/*
 * route.c - what a router takes, without a network: processor time per search by the number of
 * shards; and with data, how many shards a search asks for a recall, where shards are groups of
 * near vectors and where they are by hash. Usage: route [BASE QUERY GT].
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/npy.h"
#include "router/router.h"
#include "router/smart.h"
#include "router/summary.h"

enum { ROUTE_DIM = 384, ROUTE_K = 10, ROUTE_SEARCHES = 20000, ROUTE_SHARDS = 16 };

static void *route_must(void *p) {
  if (p)
    return p;
  fprintf(stderr, "route: out of memory\n");
  exit(1);
}

static double route_cpu(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* ---- The time that a search takes ---- */

struct route_host {
  uint64_t requests[256];
  uint32_t nodes[256];
  uint32_t n;
  size_t bytes;
};

static bool route_send(void *arg, uint32_t node, uint64_t request, uint32_t deadline_ms,
                       const void *payload, size_t n) {
  struct route_host *h = arg;
  (void)deadline_ms;
  (void)payload;
  h->nodes[h->n] = node;
  h->requests[h->n++] = request;
  h->bytes += n;
  return true;
}

static void route_cancel(void *arg, uint32_t node, uint64_t request) {
  (void)arg;
  (void)node;
  (void)request;
}

static void route_done(void *arg, void *user, struct router_result *result) {
  (void)arg;
  *(uint32_t *)user += result->counts[0];
  router_result_free(result);
}

static void route_refresh(void *arg, uint32_t collection) {
  (void)arg;
  (void)collection;
}

static char *route_collection(void) {
  struct doc_coll doc = {.id = 1,
                         .name = "c",
                         .state = DOC_COLL_ACTIVE,
                         .slots = 1024,
                         .window = 1,
                         .shards = 1,
                         .replicas = 1,
                         .min_isr = 1};
  size_t n;
  doc.schema =
      "{\"fields\":[{\"name\":\"id\",\"type\":\"INT64\",\"primary_key\":true},"
      "{\"name\":\"v\",\"type\":\"FLOAT_VECTOR\",\"dim\":384,\"metric\":\"IP\"}]}";
  return doc_coll_write(&doc, &n);
}

static struct router_map *route_map(uint32_t shards) {
  struct wire_document d[2 + 256];
  uint16_t of[1024];
  struct doc_slots slots = {.n = 1024, .shard = of};
  size_t n = 0, bytes;
  char why[DOC_TEXT_MAX];
  for (uint32_t i = 0; i < 1024; i++)
    of[i] = (uint16_t)(i % shards);
  d[n++] = (struct wire_document){DOC_PATH_COLL, 1, 0, 1, route_collection(), 0};
  d[n++] = (struct wire_document){DOC_PATH_SLOTS, 1, 0, 1, doc_slots_write(&slots, &bytes), 0};
  for (uint32_t i = 0; i < shards; i++) {
    struct doc_shard doc = {.collection = 1,
                            .number = i,
                            .epoch = 1,
                            .primary = i + 1,
                            .min_isr = 1,
                            .replicas = {{i + 1, {{1}}}},
                            .isr = {i + 1},
                            .n_replicas = 1,
                            .n_isr = 1};
    d[n++] = (struct wire_document){DOC_PATH_SHARD, 1, i, 1, doc_shard_write(&doc, &bytes), 0};
  }
  for (size_t i = 0; i < n; i++)
    d[i].n = strlen(route_must((char *)(uintptr_t)d[i].text));
  struct router_map *map = router_map_make(d, n, why);
  for (size_t i = 0; i < n; i++)
    free((void *)(uintptr_t)d[i].text);
  return route_must(map);
}

/* A shard's answer: k keys with their scores. */
static void route_answer(struct wire_out *out) {
  int64_t ids[ROUTE_K];
  float scores[ROUTE_K];
  const uint32_t count = ROUTE_K;
  for (int i = 0; i < ROUTE_K; i++) {
    ids[i] = i;
    scores[i] = 1 - (float)i / ROUTE_K;
  }
  const struct wire_column key = {"id", VECDB_INT64, 0, 0, ids, 0, NULL, NULL};
  struct wire_message m = {
      .kind = WIRE_ANSWER,
      .has = WIRE_HAS(WIRE_RESULT) | WIRE_HAS(WIRE_HITS) | WIRE_HAS(WIRE_BATCH),
      .rows = {ROUTE_K, 1, &key, NULL},
      .hits = {1, ROUTE_K, &count, scores}};
  wire_out_init(out, WIRE_LIMIT);
  wire_message_write(&m, out);
}

static void route_time(uint32_t shards) {
  static float query[ROUTE_DIM];
  struct route_host h = {.n = 0};
  const struct router_host host = {&h, route_send, route_cancel, route_done, route_refresh};
  const struct router_options options = {.client = 1};
  struct router *r = route_must(router_open(&options, &host));
  struct router_map *map = route_map(shards);
  uint32_t found = 0;
  const struct wire_message m = {
      .kind = WIRE_SEARCH,
      .has = WIRE_HAS(WIRE_TARGET) | WIRE_HAS(WIRE_VECTORS) | WIRE_HAS(WIRE_READ),
      .search = {"v", VECDB_FLOAT_VECTOR, ROUTE_DIM, 1, ROUTE_K, 0, 0, 0, 0, query}};
  struct router_ask ask = {.collection = 1, .message = &m, .user = &found};
  struct wire_out answer;
  router_set_map(r, map);
  route_answer(&answer);
  double began = route_cpu();
  for (int64_t i = 1; i <= ROUTE_SEARCHES; i++) {
    h.n = 0;
    ask.deadline_us = i * 1000 + 1000000;
    router_submit(r, i * 1000, &ask);
    for (uint32_t j = 0; j < h.n; j++) {
      void *copy = route_must(aligned_alloc(WIRE_ALIGN, (answer.n + 63) / 64 * 64));
      memcpy(copy, answer.data, answer.n);
      router_answer(r, i * 1000 + 300, h.nodes[j], h.requests[j], copy, answer.n);
    }
  }
  double took = (route_cpu() - began) / ROUTE_SEARCHES;
  printf(
      "{\"shards\": %u, \"us\": %.2f, \"us_shard\": %.2f, \"bytes_sent\": %.0f, \"bytes_back\": "
      "%zu}\n",
      shards, took, took / shards, (double)h.bytes / ROUTE_SEARCHES, answer.n * shards);
  wire_out_free(&answer);
  router_map_drop(map);
  router_close(r);
}

/* ---- How many shards a recall needs ---- */

struct route_data {
  struct npy base;
  struct npy query;
  struct npy gt;
  float *vectors;
  uint32_t *shard; /* of each row */
};

static void route_spread(struct route_data *d, bool near) {
  struct wire_mem mem = {0};
  struct wire_summary s;
  uint32_t dim = (uint32_t)d->base.columns;
  if (near && !router_summarise(d->vectors, d->base.rows, dim, ROUTE_SHARDS, &mem, &s))
    exit(1);
  for (size_t i = 0; i < d->base.rows; i++) {
    float square;
    d->shard[i] = near ? router_nearest(&s, d->vectors + i * dim, &square)
                       : (uint32_t)(place_hash_number((int64_t)i) % ROUTE_SHARDS);
  }
  wire_mem_free(&mem);
}

/* Each shard's summary, as its node would publish it. */
static void route_publish(const struct route_data *d, uint32_t centroids, struct smart *smart) {
  uint32_t dim = (uint32_t)d->base.columns;
  float *rows = route_must(malloc(d->base.rows * dim * sizeof *rows));
  for (uint32_t s = 0; s < ROUTE_SHARDS; s++) {
    struct wire_mem mem = {0};
    struct wire_summary summary;
    size_t n = 0;
    for (size_t i = 0; i < d->base.rows; i++)
      if (d->shard[i] == s)
        memcpy(rows + n++ * dim, d->vectors + i * dim, dim * sizeof *rows);
    if (!router_summarise(rows, n, dim, centroids, &mem, &summary) ||
        !smart_set(smart, s, &summary))
      exit(1);
    wire_mem_free(&mem);
  }
  free(rows);
}

/* The first half of the queries is learnt from, the others are asked. */
static void route_recall(const struct route_data *d, const char *by, uint32_t centroids) {
  static const float wishes[] = {0.8f, 0.9f, 0.95f, 0.99f};
  struct smart smart = {0};
  float *query = route_must(malloc(d->query.columns * sizeof *query));
  double asked[4] = {0}, found[4] = {0};
  route_publish(d, centroids, &smart);
  for (size_t q = 0; q < d->query.rows; q++) {
    float gaps[ROUTE_SHARDS];
    uint32_t had[ROUTE_SHARDS] = {0};
    const int32_t *gt = (const int32_t *)d->gt.data + q * d->gt.columns;
    npy_floats(&d->query, q, query);
    for (uint32_t i = 0; i < ROUTE_K; i++)
      had[d->shard[gt[i]]]++;
    smart_gaps(&smart, VECDB_IP, query, ROUTE_SHARDS, gaps);
    if (q < d->query.rows / 2) {
      smart_learn(&smart, gaps, had, ROUTE_SHARDS);
      continue;
    }
    for (uint32_t w = 0; w < 4; w++)
      for (uint32_t s = 0; s < ROUTE_SHARDS; s++)
        if (gaps[s] <= smart_gap(&smart, wishes[w])) {
          asked[w]++;
          found[w] += had[s] / (double)ROUTE_K;
        }
  }
  double n = (double)(d->query.rows - d->query.rows / 2);
  for (uint32_t w = 0; w < 4; w++)
    printf(
        "{\"by\": \"%s\", \"centroids\": %u, \"wish\": %.2f, \"recall\": %.4f, \"shards\": %.2f, "
        "\"of\": %d}\n",
        by, centroids, (double)wishes[w], found[w] / n, asked[w] / n, ROUTE_SHARDS);
  smart_free(&smart);
  free(query);
}

int main(int argc, char **argv) {
  static const uint32_t shards[] = {1, 2, 3, 4, 16, 64};
  if (argc != 1 && argc != 4) {
    fprintf(stderr, "usage: %s [BASE QUERY GT]\n", argv[0]);
    return 2;
  }
  for (size_t i = 0; i < sizeof shards / sizeof *shards; i++)
    route_time(shards[i]);
  if (argc == 1)
    return 0;
  struct route_data d = {npy_open(argv[1]), npy_open(argv[2]), npy_open(argv[3]), NULL, NULL};
  d.vectors = route_must(malloc(d.base.rows * d.base.columns * sizeof *d.vectors));
  d.shard = route_must(malloc(d.base.rows * sizeof *d.shard));
  for (size_t i = 0; i < d.base.rows; i++)
    npy_floats(&d.base, i, d.vectors + i * d.base.columns);
  for (int near = 1; near >= 0; near--) {
    route_spread(&d, near);
    route_recall(&d, near ? "nearness" : "hash", 1);
    route_recall(&d, near ? "nearness" : "hash", 32);
  }
  free(d.vectors);
  free(d.shard);
  return 0;
}
