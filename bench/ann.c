/*
 * ann.c - recall against queries per second of a sealed collection, through the public API only:
 *
 *   ann BASE.npy QUERY.npy GT.npy l2|ip|hamming K THREADS
 *       [--build-threads N] [--index TEXT] [--sweep ef|nprobe|recall|batch|beam] [--points N,...]
 *       [--batch N] [--ef N] [--dir DIR] [--keep PATH]
 *
 * BASE and QUERY are (n, d) float32, float16 or uint8 (hamming: uint8, packed bits), GT is
 * (m, >= K) int32. TEXT is what vecdb_index_params_parse takes: "IVF_PQ(nlist=1024, nbits=4)". The
 * rows are inserted in batches, compacted into one indexed segment, and the database is closed and
 * opened again. Then THREADS threads search for the first 1,000 queries, one a call (--batch: so
 * many), at each value of what the sweep varies: ef for graphs, nprobe for IVF, the queries a call
 * for scans. Prints one JSON line: build_s is insert and compaction together; index_mb the growth
 * of resident memory from before the reopening to after the searches, open_mb to before them,
 * anon_mb the part of index_mb that belongs to no file; file_mb the size of the index files,
 * memory_mb what searches read at random of these (codes and graph, the rows not counted),
 * distances the vectors compared per query at each point, reads the blocks that a DISK index read.
 * Building does not sync each batch: ingest.c does. --keep: the database stays at PATH, and where
 * it is there already it is not built (build_s is 0): disk.py searches it so under a limit.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench_run.h"

enum { ANN_MAX_POINTS = 64 };

struct ann {
  char *data; /* the name of BASE's folder */
  struct npy base, query, truth;
  int32_t metric;
  vecdb_index_params index;
  const char *index_text;
  const char *sweep; /* what the points are values of */
  double points[ANN_MAX_POINTS];
  size_t n_points;
  uint32_t batch, ef; /* what is not varied */
  uint32_t build_threads;
  const char *dir, *keep;
  double distances[ANN_MAX_POINTS];
  double reads[ANN_MAX_POINTS];
  struct bench_run run;
};

/* What is varied where nothing else was said. peers.py has the same values. */
static const struct ann_sweep {
  const char *name;
  double points[20];
} ann_sweeps[] = {
    {"ef", {10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256, 384, 512}},
    {"nprobe", {1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256}},
    {"recall", {0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999}},
    {"batch", {1, 256}},
    {"beam", {1, 2, 4, 8, 16, 32}},
};

static const char *ann_sweep_of(const struct ann *a) {
  const char *name = vecdb_index_type_name(a->index.type);
  bool bits = a->metric == VECDB_HAMMING;
  if (a->index.type == VECDB_INDEX_FLAT || (a->index.type == VECDB_INDEX_BIN_FLAT && bits))
    return "batch";
  return strstr(name, "IVF") ? "nprobe" : "ef";
}

/* The share of the k nearest that the answer to q holds. Under HAMMING many rows are equally far,
   and every row as near as the k-th neighbour counts. */
static double ann_recall(const struct ann *a, size_t q) {
  const struct bench_run *r = &a->run;
  const vecdb_hit *hits = r->hits + q * r->k;
  if (a->metric != VECDB_HAMMING)
    return bench_recall(&a->truth, q, hits, r->counts[q], r->k);
  const int32_t *truth = (const int32_t *)a->truth.data + q * a->truth.columns;
  const uint8_t *row =
      (const uint8_t *)a->base.data + (size_t)truth[r->k - 1] * a->base.columns;
  const uint8_t *query = (const uint8_t *)r->queries + q * r->query_bytes;
  uint32_t limit = 0, found = 0;
  for (size_t i = 0; i < r->query_bytes; i++)
    limit += (uint32_t)__builtin_popcount(row[i] ^ query[i]);
  for (uint32_t h = 0; h < r->counts[q]; h++)
    found += hits[h].score <= (float)limit;
  return (double)found / r->k;
}

static struct bench_setting ann_setting(const struct ann *a, double point) {
  struct bench_setting setting = {.batch = a->batch, .ef = a->ef};
  if (strcmp(a->sweep, "ef") == 0)
    setting.ef = (uint32_t)point < a->run.k ? a->run.k : (uint32_t)point;
  else if (strcmp(a->sweep, "nprobe") == 0)
    setting.nprobe = (uint32_t)point;
  else if (strcmp(a->sweep, "recall") == 0)
    setting.recall = (float)point;
  else if (strcmp(a->sweep, "beam") == 0)
    setting.beam = (uint32_t)point;
  else
    setting.batch = (uint32_t)point;
  return setting;
}

static void ann_sweep(struct ann *a) {
  double n = (double)a->run.n_queries;
  for (size_t i = 0; i < a->n_points; i++) {
    struct bench_setting setting = ann_setting(a, a->points[i]);
    vecdb_search_info info;
    double seconds = bench_best(&a->run, &setting, &info);
    double recall = 0;
    for (size_t q = 0; q < a->run.n_queries; q++)
      recall += ann_recall(a, q) / n;
    printf("%s[%g, %.4f, %.1f]", i ? ", " : "", a->points[i], recall, n / seconds);
    a->distances[i] = (double)info.distances / n;
    a->reads[i] = (double)info.reads / n;
    if (recall > 0.9985 && strcmp(a->sweep, "batch") != 0)
      a->n_points = i + 1;
  }
}

/* Ends an array and begins another, of a figure per point. */
static void ann_print(const char *name, const double *values, size_t n) {
  printf("], \"%s\": [", name);
  for (size_t i = 0; i < n; i++)
    printf("%s%.1f", i ? ", " : "", values[i]);
}

static int ann_memory(void *user, const vecdb_segment_index *index) {
  *(double *)user += (double)index->bytes_memory / (1 << 20);
  return 0;
}

static void ann_search(struct ann *a, const char *path, double build) {
  double before = bench_resident_mb(), anonymous = bench_anonymous_mb();
  vecdb *db = bench_open(path, a->base.rows, a->build_threads);
  vecdb_error error;
  bench_check(vecdb_collection_get(db, "bench", &a->run.collection, &error), "get", &error);
  double open = bench_resident_mb() - before;
  printf("{\"peer\": \"vecdb\", \"data\": \"%s\", \"index\": \"%s\", \"threads\": %u, "
         "\"build_threads\": %u, \"build_s\": %.2f, \"sweep\": \"%s\", \"points\": [",
         a->data, a->index_text, a->run.threads, a->build_threads, build,
         a->sweep);
  ann_sweep(a);
  vecdb_stats stats = VECDB_STATS_INIT;
  double memory = 0;
  bench_check(vecdb_collection_stats(a->run.collection, &stats, &error), "stats", &error);
  bench_check(vecdb_index_list(a->run.collection, "v", ann_memory, &memory, &error), "list",
              &error);
  ann_print("distances", a->distances, a->n_points);
  if (a->index.type == VECDB_INDEX_DISK)
    ann_print("reads", a->reads, a->n_points);
  printf("], \"index_mb\": %.1f, \"open_mb\": %.1f, \"anon_mb\": %.1f, \"file_mb\": %.1f, "
         "\"memory_mb\": %.1f}\n",
         bench_resident_mb() - before, open, bench_anonymous_mb() - anonymous,
         (double)stats.bytes_index / (1 << 20), memory);
  vecdb_collection_release(a->run.collection);
  bench_check(vecdb_close(db, &error), "close", &error);
}

static void ann_usage(void) {
  fprintf(stderr, "usage: ann BASE.npy QUERY.npy GT.npy l2|ip|hamming K THREADS"
                  " [--build-threads N] [--index TEXT] [--sweep ef|nprobe|recall|batch|beam]"
                  " [--points N,...] [--batch N] [--ef N] [--dir DIR] [--keep PATH]\n");
  exit(2);
}

static void ann_list(struct ann *a, const char *text) {
  a->n_points = 0;
  while (*text && a->n_points < ANN_MAX_POINTS) {
    char *end;
    a->points[a->n_points++] = strtod(text, &end);
    if (end == text || (*end && *end != ','))
      ann_usage();
    text = *end ? end + 1 : end;
  }
}

static void ann_defaults(struct ann *a) {
  if (!a->sweep)
    a->sweep = ann_sweep_of(a);
  for (size_t i = 0; i < sizeof ann_sweeps / sizeof ann_sweeps[0] && a->n_points == 0; i++) {
    if (strcmp(a->sweep, ann_sweeps[i].name) != 0)
      continue;
    for (const double *point = ann_sweeps[i].points; *point > 0; point++)
      a->points[a->n_points++] = *point;
  }
  if (a->n_points == 0)
    ann_usage();
  if (a->build_threads == 0)
    a->build_threads = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
}

static void ann_option(struct ann *a, const char *name, const char *value) {
  if (strcmp(name, "--build-threads") == 0)
    a->build_threads = (uint32_t)strtoul(value, NULL, 10);
  else if (strcmp(name, "--index") == 0)
    a->index_text = value;
  else if (strcmp(name, "--sweep") == 0)
    a->sweep = value;
  else if (strcmp(name, "--points") == 0)
    ann_list(a, value);
  else if (strcmp(name, "--batch") == 0)
    a->batch = (uint32_t)strtoul(value, NULL, 10);
  else if (strcmp(name, "--ef") == 0)
    a->ef = (uint32_t)strtoul(value, NULL, 10);
  else if (strcmp(name, "--dir") == 0)
    a->dir = value;
  else if (strcmp(name, "--keep") == 0)
    a->keep = value;
  else
    ann_usage();
}

static void ann_arguments(struct ann *a, int argc, char **argv) {
  if (argc < 7 || argc % 2 == 0)
    ann_usage();
  a->data = bench_folder(argv[1]);
  a->base = npy_open(argv[1]);
  a->query = npy_open(argv[2]);
  a->truth = npy_open(argv[3]);
  a->metric = bench_metric(argv[4]);
  uint32_t k = (uint32_t)strtoul(argv[5], NULL, 10);
  a->run.threads = (uint32_t)strtoul(argv[6], NULL, 10);
  a->index_text = "AUTO";
  for (int i = 7; i + 1 < argc; i += 2)
    ann_option(a, argv[i], argv[i + 1]);
  bool fits = a->query.columns == a->base.columns && a->truth.type == NPY_I32 &&
              a->truth.columns >= k && a->truth.rows >= a->query.rows;
  if (!fits || k == 0 || a->run.threads == 0 || a->run.threads > BENCH_MAX_THREADS)
    ann_usage();
  vecdb_error error;
  bench_check(vecdb_index_params_parse(a->index_text, &a->index, &error), "index", &error);
  ann_defaults(a);
  size_t n = a->query.rows < BENCH_QUERIES ? a->query.rows : BENCH_QUERIES;
  bench_run_init(&a->run, &a->query, a->metric, n, k);
}

int main(int argc, char **argv) {
  static struct ann a;
  ann_arguments(&a, argc, argv);
  char *made = a.keep ? NULL : bench_path(a.dir);
  const char *path = a.keep ? a.keep : made;
  double build = 0;
  if (!a.keep || access(path, F_OK) != 0)
    build = bench_build(path, &a.base, a.metric, &a.index, a.build_threads);
  ann_search(&a, path, build);
  if (made)
    bench_remove(made);
  free(made);
  free(a.data);
  bench_run_free(&a.run);
  return 0;
}
