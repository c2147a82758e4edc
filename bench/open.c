/*
 * open.c - time from opening a database to the first correct answer, each in a fresh process:
 *
 *   open BASE.npy QUERY.npy GT.npy l2|ip [--runs N] [--dir DIR]
 *
 * Three databases of the same rows: sealed and indexed, opened with the default verification and
 * with every byte verified; and unsealed, so that opening replays the log. The page cache is warm:
 * the files were just written and one unmeasured run comes first. "Correct" is the true nearest
 * neighbour of the first query among the hits. Prints the median, minimum and maximum in
 * milliseconds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench_util.h"

enum { OPEN_K = 10, OPEN_MAX_RUNS = 101 };

struct open_bench {
  struct npy base, query, truth;
  int32_t metric;
  int runs;
  const char *dir;
  float *first_query;
};

/* Makes a database at `path`; `sealed`: compacted and indexed, else all rows in the log. */
static void open_build(const struct open_bench *b, const char *path, bool sealed) {
  if (sealed) {
    bench_build(path, &b->base, b->metric, NULL, 0);
    return;
  }
  vecdb_error error;
  vecdb *db = bench_open(path, b->base.rows, 0);
  vecdb_field vector = bench_vector_field(&b->base, b->metric, NULL);
  vecdb_collection *collection = bench_create(db, &vector, NULL, 0);
  bench_load(collection, &b->base, b->metric, NULL, 0);
  vecdb_collection_release(collection);
  bench_check(vecdb_close(db, &error), "close", &error);
}

/* In a child: opens, searches once, and writes the milliseconds to `out`; 1 when the answer is
   wrong. */
static int open_child(const struct open_bench *b, const char *path, const vecdb_options *options,
                      int out) {
  double start = bench_now();
  vecdb *db;
  vecdb_collection *collection;
  vecdb_error error;
  bench_check(vecdb_open(path, options, &db, &error), "open", &error);
  bench_check(vecdb_collection_get(db, "bench", &collection, &error), "get", &error);
  vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
  params.k = OPEN_K;
  params.queries = b->first_query;
  vecdb_hit hits[OPEN_K];
  uint32_t n;
  bench_check(vecdb_search(collection, &params, hits, &n, NULL, NULL, &error), "search", &error);
  double ms = (bench_now() - start) * 1e3;
  if (n != OPEN_K || bench_recall(&b->truth, 0, hits, n, 1) < 1)
    return 1;
  return write(out, &ms, sizeof ms) != sizeof ms;
}

static double open_measure(const struct open_bench *b, const char *path,
                           const vecdb_options *options) {
  int ends[2];
  double ms = 0;
  int status = 1;
  if (pipe(ends) != 0)
    exit(1);
  pid_t child = fork();
  if (child == 0)
    _exit(open_child(b, path, options, ends[1]));
  close(ends[1]);
  bool got = read(ends[0], &ms, sizeof ms) == sizeof ms;
  close(ends[0]);
  waitpid(child, &status, 0);
  if (!got || status != 0) {
    fprintf(stderr, "%s: the first answer was wrong, or there was none\n", path);
    exit(1);
  }
  return ms;
}

static int open_compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void open_report(const struct open_bench *b, const char *path, const char *what,
                        int32_t verify) {
  /* Read only: the measured processes must not tidy up the unsealed database for each other. */
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.verify = verify;
  options.flags = VECDB_READ_ONLY;
  static double ms[OPEN_MAX_RUNS];
  open_measure(b, path, &options);
  for (int i = 0; i < b->runs; i++)
    ms[i] = open_measure(b, path, &options);
  qsort(ms, (size_t)b->runs, sizeof *ms, open_compare);
  printf("%-28s median %8.2f ms   min %8.2f   max %8.2f\n", what, ms[b->runs / 2], ms[0],
         ms[b->runs - 1]);
  fflush(stdout);
}

int main(int argc, char **argv) {
  static struct open_bench b;
  if (argc < 5 || argc % 2 == 0) {
    fprintf(stderr, "usage: open BASE.npy QUERY.npy GT.npy l2|ip [--runs N] [--dir DIR]\n");
    return 2;
  }
  b.base = npy_open(argv[1]);
  b.query = npy_open(argv[2]);
  b.truth = npy_open(argv[3]);
  b.metric = bench_metric(argv[4]);
  b.runs = 11;
  for (int i = 5; i + 1 < argc; i += 2) {
    if (strcmp(argv[i], "--runs") == 0)
      b.runs = atoi(argv[i + 1]);
    else if (strcmp(argv[i], "--dir") == 0)
      b.dir = argv[i + 1];
  }
  if (b.runs < 1 || b.runs > OPEN_MAX_RUNS)
    return 2;
  b.first_query = malloc(b.base.columns * sizeof *b.first_query);
  if (!b.first_query)
    return 1;
  npy_floats(&b.query, 0, b.first_query);
  char *path = bench_path(b.dir);
  printf("%zu rows of %zu dimensions\n", b.base.rows, b.base.columns);
  open_build(&b, path, true);
  open_report(&b, path, "sealed", VECDB_VERIFY_META);
  open_report(&b, path, "sealed, every byte verified", VECDB_VERIFY_FULL);
  bench_remove(path);
  open_build(&b, path, false);
  open_report(&b, path, "log of all rows replayed", VECDB_VERIFY_META);
  bench_remove(path);
  free(path);
  free(b.first_query);
  return 0;
}
