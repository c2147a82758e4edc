/* bench_run.h - searching a set of queries with several threads, timed, and how good the answers
   are: what ann, filtered and limits share. */
#ifndef BENCH_RUN_H
#define BENCH_RUN_H

#include "bench_util.h"

enum { BENCH_QUERIES = 1000, BENCH_MAX_THREADS = 256 };

/* Queries in the field's type, and room for their answers. */
struct bench_run {
  vecdb_collection *collection;
  const char *queries;
  size_t query_bytes;
  size_t n_queries;
  const char *const *filters; /* a filter per query; NULL: none */
  uint32_t k;
  uint32_t threads;
  vecdb_hit *hits;  /* n_queries * k */
  uint32_t *counts; /* n_queries */
};

/* How to search; zero: the default. */
struct bench_setting {
  uint32_t ef;
  uint32_t nprobe;
  float recall;
  uint32_t batch; /* queries a call */
  uint32_t beam;  /* of DISK */
  int32_t plan;
};

/* Runs all queries once; seconds. info, unless NULL, receives sums over all calls. */
double bench_pass(struct bench_run *run, const struct bench_setting *setting,
                  vecdb_search_info *info);
/* The best of several passes: three at least, up to seven within two seconds. */
double bench_best(struct bench_run *run, const struct bench_setting *setting,
                  vecdb_search_info *info);
/* The first n rows of `array` as queries; hits and counts allocated. */
void bench_run_init(struct bench_run *run, const struct npy *array, int32_t metric, size_t n,
                    uint32_t k);
void bench_run_free(struct bench_run *run);

#endif
