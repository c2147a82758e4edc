/*
 * ann.c - recall against queries per second of a sealed collection, through the public API only:
 *
 *   ann BASE.npy QUERY.npy GT.npy l2|ip K THREADS
 *       [--build-threads N] [--index auto|flat|hnsw] [--dir DIR]
 *
 * BASE and QUERY are (n, d) float32, float16 or uint8, GT is (m, >= K) int32. The rows are inserted
 * in batches, compacted into one indexed segment, and the database is closed and opened again. Then
 * THREADS threads search for the first 1,000 queries one at a time, for each ef; the best of three
 * passes counts. Prints one JSON line: build_s is insert and compaction together, index_mb the
 * growth of resident memory from before the reopening to after the searches. Building does not sync
 * each batch: that is what ingest.c measures.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench_util.h"

enum { ANN_QUERIES = 1000, ANN_PASSES = 3, ANN_MAX_THREADS = 256 };

static const uint32_t ann_efs[] = {10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512};

struct ann {
  struct npy base, query, truth;
  int32_t metric;
  int32_t index;
  uint32_t k;
  uint32_t threads;
  uint32_t build_threads;
  const char *dir;
  size_t n_queries;
  float *queries;
  vecdb_hit *hits;
  uint32_t *counts;
  vecdb_collection *collection;
};

/* One searching thread: its share of the queries, at one ef. */
struct ann_worker {
  const struct ann *ann;
  uint32_t ef;
  size_t first;
  pthread_t thread;
};

static void *ann_work(void *arg) {
  const struct ann_worker *w = arg;
  const struct ann *a = w->ann;
  vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
  params.k = a->k;
  params.ef = w->ef;
  for (size_t q = w->first; q < a->n_queries; q += a->threads) {
    vecdb_error error;
    params.queries = a->queries + q * a->query.columns;
    bench_check(vecdb_search(a->collection, &params, a->hits + q * a->k, &a->counts[q], NULL, NULL,
                             &error),
                "search", &error);
  }
  return NULL;
}

/* Seconds for all queries. */
static double ann_pass(struct ann *a, uint32_t ef) {
  static struct ann_worker workers[ANN_MAX_THREADS];
  double start = bench_now();
  for (uint32_t t = 0; t < a->threads; t++) {
    workers[t].ann = a;
    workers[t].ef = ef;
    workers[t].first = t;
    if (t > 0 && pthread_create(&workers[t].thread, NULL, ann_work, &workers[t]) != 0)
      exit(1);
  }
  ann_work(&workers[0]);
  for (uint32_t t = 1; t < a->threads; t++)
    pthread_join(workers[t].thread, NULL);
  return bench_now() - start;
}

static void ann_sweep(struct ann *a) {
  const char *separator = "";
  for (size_t i = 0; i < sizeof ann_efs / sizeof ann_efs[0]; i++) {
    if (ann_efs[i] < a->k)
      continue;
    double best = ann_pass(a, ann_efs[i]);
    for (int pass = 1; pass < ANN_PASSES; pass++) {
      double seconds = ann_pass(a, ann_efs[i]);
      best = seconds < best ? seconds : best;
    }
    double recall = 0;
    for (size_t q = 0; q < a->n_queries; q++)
      recall += bench_recall(&a->truth, q, a->hits + q * a->k, a->counts[q], a->k);
    printf("%s[%u, %.4f, %.1f]", separator, ann_efs[i], recall / (double)a->n_queries,
           (double)a->n_queries / best);
    separator = ", ";
  }
}

static vecdb *ann_open(const struct ann *a, const char *path) {
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.durability = VECDB_DURABLE_OFF;
  options.threads = a->build_threads;
  /* All rows are in hand: one segment, so that no graph is built twice. */
  options.seal_rows = (uint32_t)a->base.rows;
  options.seal_bytes = options.wal_bytes = UINT64_MAX;
  vecdb *db;
  vecdb_error error;
  bench_check(vecdb_open(path, &options, &db, &error), "open", &error);
  return db;
}

/* Seconds to build the database. */
static double ann_build(const struct ann *a, const char *path) {
  vecdb_error error;
  double start = bench_now();
  vecdb *db = ann_open(a, path);
  vecdb_collection *collection =
      bench_create(db, (uint32_t)a->base.columns, a->metric, a->index);
  bench_load(collection, &a->base);
  bench_check(vecdb_compact(collection, NULL, &error), "compact", &error);
  vecdb_collection_release(collection);
  bench_check(vecdb_close(db, &error), "close", &error);
  return bench_now() - start;
}

static void ann_usage(void) {
  fprintf(stderr, "usage: ann BASE.npy QUERY.npy GT.npy l2|ip K THREADS [--build-threads N]"
                  " [--index auto|flat|hnsw] [--dir DIR]\n");
  exit(2);
}

static int32_t ann_index(const char *name) {
  static const char *const names[] = {"auto", "flat", "hnsw"};
  for (int32_t i = 0; i < 3; i++)
    if (strcmp(name, names[i]) == 0)
      return i;
  ann_usage();
  return 0;
}

static void ann_arguments(struct ann *a, int argc, char **argv) {
  if (argc < 7 || argc % 2 == 0)
    ann_usage();
  a->base = npy_open(argv[1]);
  a->query = npy_open(argv[2]);
  a->truth = npy_open(argv[3]);
  a->metric = strcmp(argv[4], "ip") == 0 ? VECDB_IP : VECDB_L2;
  a->k = (uint32_t)strtoul(argv[5], NULL, 10);
  a->threads = (uint32_t)strtoul(argv[6], NULL, 10);
  for (int i = 7; i + 1 < argc; i += 2) {
    if (strcmp(argv[i], "--build-threads") == 0)
      a->build_threads = (uint32_t)strtoul(argv[i + 1], NULL, 10);
    else if (strcmp(argv[i], "--index") == 0)
      a->index = ann_index(argv[i + 1]);
    else if (strcmp(argv[i], "--dir") == 0)
      a->dir = argv[i + 1];
    else
      ann_usage();
  }
  if (a->build_threads == 0)
    a->build_threads = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
  bool fits = a->query.columns == a->base.columns && a->truth.type == NPY_I32 &&
              a->truth.columns >= a->k && a->truth.rows >= a->query.rows;
  if (!fits || a->k == 0 || a->threads == 0 || a->threads > ANN_MAX_THREADS)
    ann_usage();
}

int main(int argc, char **argv) {
  static struct ann a;
  ann_arguments(&a, argc, argv);
  char *path = bench_path(a.dir);
  double build = ann_build(&a, path);
  a.n_queries = a.query.rows < ANN_QUERIES ? a.query.rows : ANN_QUERIES;
  a.queries = malloc(a.n_queries * a.query.columns * sizeof *a.queries);
  a.hits = malloc(a.n_queries * a.k * sizeof *a.hits);
  a.counts = malloc(a.n_queries * sizeof *a.counts);
  if (!a.queries || !a.hits || !a.counts)
    return 1;
  for (size_t q = 0; q < a.n_queries; q++)
    npy_floats(&a.query, q, a.queries + q * a.query.columns);
  double before = bench_resident_mb();
  vecdb *db = ann_open(&a, path);
  vecdb_error error;
  bench_check(vecdb_collection_get(db, "bench", &a.collection, &error), "get", &error);
  printf("{\"peer\": \"vecdb\", \"data\": \"%s\", \"threads\": %u, \"build_threads\": %u, "
         "\"build_s\": %.2f, \"points\": [",
         argv[1], a.threads, a.build_threads, build);
  ann_sweep(&a);
  printf("], \"index_mb\": %.1f}\n", bench_resident_mb() - before);
  vecdb_collection_release(a.collection);
  bench_check(vecdb_close(db, &error), "close", &error);
  bench_remove(path);
  free(path);
  free(a.counts);
  free(a.hits);
  free(a.queries);
  return 0;
}
