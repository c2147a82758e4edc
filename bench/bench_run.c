/* bench_run.c - see bench_run.h. */
#include "bench_run.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { BENCH_MIN_PASSES = 3, BENCH_MAX_PASSES = 7 };

/* One searching thread: every threads-th call of the pass. */
struct bench_worker {
  const struct bench_run *run;
  const struct bench_setting *setting;
  size_t first;
  vecdb_search_info sum;
  pthread_t thread;
};

static void bench_add(vecdb_search_info *sum, const vecdb_search_info *one) {
  sum->segments += one->segments;
  sum->segments_exact += one->segments_exact;
  sum->segments_graph += one->segments_graph;
  sum->segments_late += one->segments_late;
  sum->segments_codes += one->segments_codes;
  sum->fallbacks += one->fallbacks;
  sum->distances += one->distances;
  sum->reads += one->reads;
}

static void *bench_work(void *arg) {
  struct bench_worker *w = arg;
  const struct bench_run *run = w->run;
  size_t batch = w->setting->batch ? w->setting->batch : 1;
  vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
  params.k = run->k;
  params.ef = w->setting->ef;
  params.nprobe = w->setting->nprobe;
  params.recall = w->setting->recall;
  params.beam = w->setting->beam;
  params.plan = w->setting->plan;
  for (size_t q = w->first * batch; q < run->n_queries; q += run->threads * batch) {
    size_t n = run->n_queries - q < batch ? run->n_queries - q : batch;
    vecdb_search_info info = VECDB_SEARCH_INFO_INIT;
    vecdb_error error;
    params.queries = run->queries + q * run->query_bytes;
    params.n_queries = (uint32_t)n;
    params.filter.text = run->filters ? run->filters[q] : NULL;
    bench_check(vecdb_search(run->collection, &params, run->hits + q * run->k, &run->counts[q],
                             &info, NULL, &error),
                "search", &error);
    bench_add(&w->sum, &info);
  }
  return NULL;
}

double bench_pass(struct bench_run *run, const struct bench_setting *setting,
                  vecdb_search_info *info) {
  static struct bench_worker workers[BENCH_MAX_THREADS];
  memset(workers, 0, sizeof workers);
  double start = bench_now();
  for (uint32_t t = 0; t < run->threads; t++) {
    workers[t].run = run;
    workers[t].setting = setting;
    workers[t].first = t;
    if (t > 0 && pthread_create(&workers[t].thread, NULL, bench_work, &workers[t]) != 0)
      exit(1);
  }
  bench_work(&workers[0]);
  for (uint32_t t = 1; t < run->threads; t++)
    pthread_join(workers[t].thread, NULL);
  double seconds = bench_now() - start;
  if (info) {
    memset(info, 0, sizeof *info);
    for (uint32_t t = 0; t < run->threads; t++)
      bench_add(info, &workers[t].sum);
  }
  return seconds;
}

double bench_best(struct bench_run *run, const struct bench_setting *setting,
                  vecdb_search_info *info) {
  double end = bench_now() + 2, best = bench_pass(run, setting, info);
  for (int n = 1; n < BENCH_MAX_PASSES && (n < BENCH_MIN_PASSES || bench_now() < end); n++) {
    double seconds = bench_pass(run, setting, NULL);
    best = seconds < best ? seconds : best;
  }
  return best;
}

void bench_run_init(struct bench_run *run, const struct npy *array, int32_t metric, size_t n,
                    uint32_t k) {
  run->query_bytes = bench_row_bytes(array, metric);
  char *queries = bench_alloc(n * run->query_bytes);
  for (size_t q = 0; q < n; q++)
    bench_row(array, q, metric, queries + q * run->query_bytes);
  run->queries = queries;
  run->n_queries = n;
  run->k = k;
  run->hits = bench_alloc(n * k * sizeof *run->hits);
  run->counts = bench_alloc(n * sizeof *run->counts);
}

void bench_run_free(struct bench_run *run) {
  free((void *)run->queries);
  free(run->hits);
  free(run->counts);
}
