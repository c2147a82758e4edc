/*
 * exact.c - exact search of a sealed collection, through the public API only: one query at a time
 * and 256 at a time, one thread, checked against the ground truth:
 *
 *   exact BASE.npy QUERY.npy GT.npy l2|ip K
 *
 * Prints queries per second and the bytes of rows that one query reads per second, beside what the
 * machine gives when memory of that size is summed up, vector after vector.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_util.h"

enum { EXACT_QUERIES = 1024, EXACT_BATCH = 256, EXACT_SINGLES = 64, EXACT_PASSES = 5 };

typedef long long exact_vector __attribute__((vector_size(64)));

/* Bytes a second of a plain sum over `bytes` of memory. */
static double exact_stream(size_t bytes) {
  size_t n = bytes / sizeof(exact_vector) / 8 * 8;
  exact_vector *memory = aligned_alloc(64, n * sizeof *memory);
  if (!memory)
    exit(1);
  memset(memory, 1, n * sizeof *memory);
  double best = 0;
  for (int pass = 0; pass < EXACT_PASSES; pass++) {
    exact_vector sum[8] = {{0}};
    double start = bench_now();
    for (size_t i = 0; i < n; i += 8)
      for (size_t j = 0; j < 8; j++)
        sum[j] += memory[i + j];
    double seconds = bench_now() - start;
    for (size_t j = 1; j < 8; j++)
      sum[0] += sum[j];
    volatile long long use = sum[0][0];
    (void)use;
    double speed = (double)(n * sizeof *memory) / seconds;
    best = speed > best ? speed : best;
  }
  free(memory);
  return best;
}

struct exact {
  struct npy base, query, truth;
  float *queries;
  size_t n;
  uint32_t k;
  vecdb_collection *collection;
  vecdb_hit *hits;
  uint32_t *counts;
};

/* Queries a second, `together` at a time; the best pass. */
static double exact_time(struct exact *e, size_t n, uint32_t together) {
  vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
  vecdb_error error;
  double best = 0;
  params.k = e->k;
  params.plan = VECDB_PLAN_EXACT;
  for (int pass = 0; pass < EXACT_PASSES; pass++) {
    double start = bench_now();
    for (size_t q = 0; q < n; q += together) {
      params.queries = e->queries + q * e->query.columns;
      params.n_queries = together;
      bench_check(vecdb_search(e->collection, &params, e->hits + q * e->k, e->counts + q, NULL,
                               NULL, &error),
                  "search", &error);
    }
    double qps = (double)n / (bench_now() - start);
    best = qps > best ? qps : best;
  }
  return best;
}

static double exact_recall(const struct exact *e, size_t n) {
  double sum = 0;
  for (size_t q = 0; q < n; q++)
    sum += bench_recall(&e->truth, q, e->hits + q * e->k, e->counts[q], e->k);
  return sum / (double)n;
}

static void exact_run(struct exact *e) {
  double row_bytes = (double)e->base.columns * sizeof(float);
  double bytes = row_bytes * (double)e->base.rows;
  double stream = exact_stream((size_t)bytes);
  double one = exact_time(e, EXACT_SINGLES, 1), one_recall = exact_recall(e, EXACT_SINGLES);
  size_t n = e->n / EXACT_BATCH * EXACT_BATCH;
  double many = n ? exact_time(e, n, EXACT_BATCH) : 0, many_recall = n ? exact_recall(e, n) : 0;
  printf("{\"peer\": \"vecdb\", \"kernels\": \"%s\", \"qps_one\": %.1f, \"recall_one\": %.4f, "
         "\"float_gb_s\": %.2f, \"stream_gb_s\": %.2f, \"qps_256\": %.1f, \"recall_256\": %.4f, "
         "\"multiplications_ns\": %.1f}\n",
         vecdb_kernels(), one, one_recall, one * bytes / 1e9, stream / 1e9, many, many_recall,
         many * bytes / sizeof(float) / 1e9);
}

int main(int argc, char **argv) {
  static struct exact e;
  vecdb_error error;
  vecdb *db;
  if (argc < 6) {
    fprintf(stderr, "usage: exact BASE.npy QUERY.npy GT.npy l2|ip K\n");
    return 2;
  }
  e.base = npy_open(argv[1]);
  e.query = npy_open(argv[2]);
  e.truth = npy_open(argv[3]);
  e.k = (uint32_t)strtoul(argv[5], NULL, 10);
  e.n = e.query.rows < EXACT_QUERIES ? e.query.rows : EXACT_QUERIES;
  e.queries = malloc(e.n * e.query.columns * sizeof *e.queries);
  e.hits = malloc(e.n * e.k * sizeof *e.hits);
  e.counts = malloc(e.n * sizeof *e.counts);
  if (!e.queries || !e.hits || !e.counts || e.n < EXACT_SINGLES)
    return 1;
  for (size_t q = 0; q < e.n; q++)
    npy_floats(&e.query, q, e.queries + q * e.query.columns);
  char *path = bench_path(NULL);
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.durability = VECDB_DURABLE_OFF;
  options.seal_rows = (uint32_t)e.base.rows;
  options.seal_bytes = options.wal_bytes = UINT64_MAX;
  bench_check(vecdb_open(path, &options, &db, &error), "open", &error);
  int32_t metric = bench_metric(argv[4]);
  vecdb_index_params flat = VECDB_INDEX_PARAMS_INIT;
  flat.type = VECDB_INDEX_FLAT;
  vecdb_field field = bench_vector_field(&e.base, metric, &flat);
  e.collection = bench_create(db, &field, NULL, 0);
  bench_load(e.collection, &e.base, metric, NULL, 0);
  bench_check(vecdb_compact(e.collection, NULL, &error), "compact", &error);
  exact_run(&e);
  vecdb_collection_release(e.collection);
  bench_check(vecdb_close(db, &error), "close", &error);
  bench_remove(path);
  free(path);
  free(e.counts);
  free(e.hits);
  free(e.queries);
  return 0;
}
