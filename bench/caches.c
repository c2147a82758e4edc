/*
 * caches.c - what the caches of a database are good for, and cost:
 *
 *   caches vectors BASE.npy l2|ip PATH [MIB,...] [SKEW,...] [INDEX]
 *   caches results BASE.npy l2|ip PATH [QUERIES]
 *
 * PATH is a database of BASE's rows, made if it is not there (with INDEX: DISK unless told; or
 * AUTO). Queries are rows of BASE with noise, so none comes twice. A row of rank r is taken in
 * proportion to (r + 1)^-SKEW, ranks are dealt without order.
 *
 * vectors: for each skew and size of vector_cache_bytes (0: none), opens, lets 5,000 queries pass,
 * and measures 5,000 more, one at a time: blocks read and QPS, the share of blocks found, and pages
 * that the process had to wait for (major faults), per query. A JSON line each. Build with URING=1,
 * else reads find blocks in the system's cache.
 *
 * results: QUERIES queries of no skew, one at a time, by turns one without a cache of results and
 * one with a cache that does not have it, so that both see the same moment; then those of the cache
 * again. Ten rounds, in each of which every query goes to the other side and is moved a little;
 * medians of nanoseconds, and of the ratio.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "bench_run.h"

enum { CACHES_PASS = 5000, CACHES_LIST = 16, CACHES_ROUNDS = 10, CACHES_K = 10 };
static const double caches_noise = 0.3; /* its length, beside a row's */

struct caches {
  struct npy base;
  int32_t metric;
  const char *path;
  uint64_t seed;
  float *queries;
  size_t n_queries;
  double *sums; /* of the weights of ranks */
};

static double caches_unit(struct caches *c) {
  c->seed = c->seed * 6364136223846793005u + 1442695040888963407u;
  return (double)(c->seed >> 11) * 0x1p-53;
}

static size_t caches_rank(struct caches *c) {
  size_t low = 0, high = c->base.rows - 1;
  double at = caches_unit(c) * c->sums[high];
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (c->sums[middle] < at)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* A row with noise of a length in proportion to its own. */
static void caches_query(struct caches *c, size_t row, float *out) {
  size_t dim = c->base.columns;
  double norm = 0;
  bench_row(&c->base, row, c->metric, out);
  for (size_t i = 0; i < dim; i++)
    norm += (double)out[i] * (double)out[i];
  double scale = caches_noise * sqrt(norm / (double)dim) * sqrt(3);
  for (size_t i = 0; i < dim; i++)
    out[i] += (float)(scale * (2 * caches_unit(c) - 1));
}

/* Ranks are dealt by a step that has no factor in common with the number of rows. */
static size_t caches_row(const struct caches *c, size_t rank) {
  size_t step = 7919;
  while (c->base.rows % step == 0)
    step += 2;
  return rank * step % c->base.rows;
}

static void caches_make_queries(struct caches *c, double skew) {
  double sum = 0;
  for (size_t i = 0; i < c->base.rows; i++)
    c->sums[i] = sum += pow((double)(i + 1), -skew);
  c->seed = 1;
  for (size_t q = 0; q < c->n_queries; q++)
    caches_query(c, caches_row(c, caches_rank(c)), c->queries + q * c->base.columns);
}

/* Opens for reading, so that it may be open twice. */
static vecdb *caches_open(const struct caches *c, uint64_t vectors, uint64_t results,
                          vecdb_collection **collection) {
  vecdb_options options = VECDB_OPTIONS_INIT;
  vecdb *db;
  vecdb_error error;
  options.flags = VECDB_MUST_EXIST | VECDB_READ_ONLY;
  options.vector_cache_bytes = vectors;
  options.cache_bytes = results;
  bench_check(vecdb_open(c->path, &options, &db, &error), "open", &error);
  bench_check(vecdb_collection_get(db, "bench", collection, &error), "get", &error);
  return db;
}

static void caches_close(vecdb *db, vecdb_collection *collection) {
  vecdb_error error;
  vecdb_collection_release(collection);
  bench_check(vecdb_close(db, &error), "close", &error);
}

/* Searches for queries first to end; seconds, and blocks read where `reads` is not NULL. */
static double caches_pass(const struct caches *c, vecdb_collection *collection, size_t first,
                          size_t end, uint64_t *reads) {
  vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
  vecdb_hit hits[CACHES_K];
  params.k = CACHES_K;
  double start = bench_now();
  for (size_t q = first; q < end; q++) {
    vecdb_search_info info = VECDB_SEARCH_INFO_INIT;
    vecdb_error error;
    uint32_t n;
    params.queries = c->queries + q * c->base.columns;
    bench_check(vecdb_search(collection, &params, hits, &n, &info, NULL, &error), "search",
                &error);
    if (reads)
      *reads += info.reads;
  }
  return bench_now() - start;
}

static long caches_faults(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_majflt;
}

static void caches_vectors_line(const struct caches *c, double skew, double mib) {
  vecdb_collection *collection;
  vecdb *db = caches_open(c, (uint64_t)(mib * (1 << 20)), 0, &collection);
  vecdb_memory before = VECDB_MEMORY_INIT, after = VECDB_MEMORY_INIT;
  vecdb_error error;
  uint64_t reads = 0;
  caches_pass(c, collection, 0, CACHES_PASS, NULL);
  bench_check(vecdb_memory_stats(db, &before, &error), "memory", &error);
  long faults = caches_faults();
  double seconds = caches_pass(c, collection, CACHES_PASS, 2 * CACHES_PASS, &reads);
  faults = caches_faults() - faults;
  bench_check(vecdb_memory_stats(db, &after, &error), "memory", &error);
  double hits = (double)(after.vector_hits - before.vector_hits);
  double misses = (double)(after.vector_misses - before.vector_misses);
  printf("{\"skew\": %g, \"cache_mib\": %g, \"qps\": %.0f, \"reads\": %.2f, \"found\": %.3f, "
         "\"faults\": %.2f, \"entries\": %llu, \"kept_mib\": %.1f}\n",
         skew, mib, CACHES_PASS / seconds, (double)reads / CACHES_PASS,
         hits + misses > 0 ? hits / (hits + misses) : 0, (double)faults / CACHES_PASS,
         (unsigned long long)after.vector_entries, (double)after.vectors / (1 << 20));
  fflush(stdout);
  caches_close(db, collection);
}

static int caches_less(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double caches_median(double *values) {
  qsort(values, CACHES_ROUNDS, sizeof *values, caches_less);
  return values[CACHES_ROUNDS / 2];
}

/* One round: mean nanoseconds of a search without a cache, of a miss and of a hit. */
static void caches_round(struct caches *c, vecdb_collection *const sides[2], size_t round,
                         double means[3]) {
  double sums[3] = {0}, half = (double)(c->n_queries / 2);
  for (size_t q = 0; q < c->n_queries; q++) {
    size_t side = (q + round) % 2;
    c->queries[q * c->base.columns] *= 1.0001f;
    sums[side] += caches_pass(c, sides[side], q, q + 1, NULL);
  }
  for (size_t q = (round + 1) % 2; q < c->n_queries; q += 2) {
    for (int i = 0; i < 2; i++) /* a full cache takes in what is asked again */
      caches_pass(c, sides[1], q, q + 1, NULL);
    sums[2] += caches_pass(c, sides[1], q, q + 1, NULL);
  }
  for (int i = 0; i < 3; i++)
    means[i] = sums[i] / half * 1e9;
}

/* Bytes that hold the misses of two rounds and more, but not of all: so entries take the place of
   others, as in a cache that has been in use. */
static uint64_t caches_room(const struct caches *c) {
  return 2 * c->n_queries * (c->base.columns * sizeof(float) + 1024);
}

static void caches_results(struct caches *c) {
  double without[CACHES_ROUNDS], miss[CACHES_ROUNDS], hit[CACHES_ROUNDS], ratio[CACHES_ROUNDS];
  vecdb_collection *sides[2];
  vecdb *dbs[2];
  c->n_queries -= c->n_queries % 2;
  caches_make_queries(c, 0);
  for (int side = 0; side < 2; side++) {
    dbs[side] = caches_open(c, 0, side ? caches_room(c) : 0, &sides[side]);
    caches_pass(c, sides[side], 0, c->n_queries, NULL);
  }
  for (size_t i = 0; i < CACHES_ROUNDS; i++) {
    double means[3];
    caches_round(c, sides, i, means);
    without[i] = means[0];
    miss[i] = means[1];
    hit[i] = means[2];
    ratio[i] = miss[i] / without[i];
  }
  printf("{\"without_ns\": %.0f, \"miss_ns\": %.0f, \"miss_ratio\": %.3f, \"hit_ns\": %.0f}\n",
         caches_median(without), caches_median(miss), caches_median(ratio), caches_median(hit));
  for (int side = 0; side < 2; side++)
    caches_close(dbs[side], sides[side]);
}

static size_t caches_list(const char *text, double *out) {
  size_t n = 0;
  for (char *end; n < CACHES_LIST && *text; text = *end ? end + 1 : end)
    out[n++] = strtod(text, &end);
  return n;
}

static void caches_usage(void) {
  fprintf(stderr, "usage: caches vectors BASE.npy l2|ip PATH [MIB,...] [SKEW,...] [INDEX]\n"
                  "       caches results BASE.npy l2|ip PATH [QUERIES]\n");
  exit(2);
}

int main(int argc, char **argv) {
  static struct caches c;
  double sizes[CACHES_LIST], skews[CACHES_LIST];
  struct stat there;
  vecdb_index_params index;
  vecdb_error error;
  if (argc < 5 || (strcmp(argv[1], "vectors") != 0 && strcmp(argv[1], "results") != 0))
    caches_usage();
  bool vectors = strcmp(argv[1], "vectors") == 0;
  c.base = npy_open(argv[2]);
  c.metric = bench_metric(argv[3]);
  c.path = argv[4];
  const char *text = vectors ? (argc > 7 ? argv[7] : "DISK") : "AUTO";
  bench_check(vecdb_index_params_parse(text, &index, &error), "index", &error);
  c.n_queries = vectors ? 2 * CACHES_PASS : strtoul(argc > 5 ? argv[5] : "5000", NULL, 10);
  c.queries = bench_alloc(c.n_queries * c.base.columns * sizeof *c.queries);
  c.sums = bench_alloc(c.base.rows * sizeof *c.sums);
  if (stat(c.path, &there) != 0)
    bench_build(c.path, &c.base, c.metric, &index, 0);
  if (!vectors)
    caches_results(&c);
  size_t n_sizes = caches_list(vectors && argc > 5 ? argv[5] : "0,8,16,32", sizes);
  size_t n_skews = caches_list(vectors && argc > 6 ? argv[6] : "0,0.8,1,1.2", skews);
  for (size_t s = 0; vectors && s < n_skews; s++) {
    caches_make_queries(&c, skews[s]);
    for (size_t i = 0; i < n_sizes; i++)
      caches_vectors_line(&c, skews[s], sizes[i]);
  }
  free(c.queries);
  free(c.sums);
  return 0;
}
