/*
 * merge.c - what a merge takes that builds its index upon an older one, and how good the index is.
 *
 *   merge BASE.npy QUERY.npy l2|ip PERCENT ADDED ROUNDS [THREADS [INDEX]]
 *
 * All rows of BASE but ADDED * ROUNDS go into one indexed segment. In each round PERCENT of the
 * live rows are deleted, the next ADDED inserted, and all is compacted into one segment: `merge_s`,
 * with writing the rows and measuring the index's curve. Then the index is built anew: `anew_s`,
 * with measuring. Recall@10 is of 1,000 queries at ef 32 and 64, beside the exact scan's answers.
 * One JSON line a round. For each round all is repeated from the start, so that a merge begins
 * with the index of the merge before it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_run.h"

enum { MERGE_K = 10, MERGE_BATCH = 1000, MERGE_WIDTHS = 2 };

static const uint32_t merge_widths[MERGE_WIDTHS] = {32, 64};

struct merge {
  struct npy base;
  int32_t metric;
  uint32_t percent, added, rounds, threads;
  vecdb_index_params index;
  vecdb_collection *collection;
  struct bench_run run;
  uint8_t *live; /* by row of BASE */
  size_t end;    /* rows inserted so far */
  uint64_t seed;
};

struct merge_figures {
  double seconds;
  double recall[MERGE_WIDTHS];
};

static void merge_insert(struct merge *m, size_t n) {
  static int64_t ids[MERGE_BATCH];
  size_t bytes = bench_row_bytes(&m->base, m->metric), part;
  char *vectors = bench_alloc(MERGE_BATCH * bytes);
  vecdb_column columns[] = {{.field = "id", .data = ids}, {.field = "v", .data = vectors}};
  vecdb_batch batch = VECDB_BATCH_INIT;
  batch.columns = columns;
  batch.n_columns = 2;
  for (size_t end = m->end + n; m->end < end; m->end += part) {
    vecdb_error error;
    part = end - m->end < MERGE_BATCH ? end - m->end : MERGE_BATCH;
    for (size_t i = 0; i < part; i++) {
      ids[i] = (int64_t)(m->end + i);
      m->live[m->end + i] = 1;
      bench_row(&m->base, m->end + i, m->metric, vectors + i * bytes);
    }
    batch.n_rows = (uint32_t)part;
    bench_check(vecdb_insert(m->collection, &batch, NULL, &error), "insert", &error);
  }
  free(vectors);
}

static void merge_delete(struct merge *m) {
  for (size_t row = 0; row < m->end; row++) {
    int64_t id = (int64_t)row;
    vecdb_keys keys = {.integers = &id, .n = 1};
    vecdb_error error;
    m->seed = m->seed * 6364136223846793005u + 1442695040888963407u;
    if (!m->live[row] || (m->seed >> 33) % 100 >= m->percent)
      continue;
    m->live[row] = 0;
    bench_check(vecdb_delete(m->collection, &keys, NULL, &error), "delete", &error);
  }
}

static void merge_measure(struct merge *m, struct merge_figures *out) {
  size_t n = m->run.n_queries, hits = n * MERGE_K;
  vecdb_search_info info;
  struct bench_setting setting = {.batch = 100, .plan = VECDB_PLAN_EXACT};
  bench_pass(&m->run, &setting, &info);
  vecdb_hit *truth = bench_alloc(hits * sizeof *truth);
  memcpy(truth, m->run.hits, hits * sizeof *truth);
  for (size_t w = 0; w < MERGE_WIDTHS; w++) {
    size_t good = 0;
    setting = (struct bench_setting){.ef = merge_widths[w]};
    bench_pass(&m->run, &setting, &info);
    for (size_t i = 0; i < hits; i++)
      for (size_t k = 0; k < MERGE_K; k++)
        good += truth[i].id == m->run.hits[i / MERGE_K * MERGE_K + k].id;
    out->recall[w] = (double)good / (double)hits;
  }
  free(truth);
}

static void merge_print(const char *name, const struct merge_figures *f) {
  printf("\"%s_s\": %.2f, \"%s_recall\": [%.4f, %.4f]", name, f->seconds, name, f->recall[0],
         f->recall[1]);
}

/* Nothing is merged before it is asked for. */
static vecdb *merge_open(const struct merge *m, const char *path) {
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.durability = VECDB_DURABLE_OFF;
  options.flags = VECDB_HOST_DRIVEN;
  options.threads = m->threads;
  options.seal_rows = (uint32_t)m->base.rows;
  options.seal_bytes = options.wal_bytes = UINT64_MAX;
  vecdb *db;
  vecdb_error error;
  bench_check(vecdb_open(path, &options, &db, &error), "open", &error);
  return db;
}

/* Runs so many rounds from the start, and builds the last one's index anew. */
static void merge_rounds(struct merge *m, uint32_t rounds) {
  vecdb_error error;
  char *path = bench_path(NULL);
  vecdb *db = merge_open(m, path);
  vecdb_field vector = bench_vector_field(&m->base, m->metric, &m->index);
  struct merge_figures grown = {0}, anew = {0};
  m->collection = m->run.collection = bench_create(db, &vector, NULL, 0);
  m->seed = m->end = 0;
  memset(m->live, 0, m->base.rows);
  merge_insert(m, m->base.rows - (size_t)m->added * m->rounds);
  bench_check(vecdb_compact(m->collection, NULL, &error), "compact", &error);
  for (uint32_t round = 0; round < rounds; round++) {
    merge_delete(m);
    merge_insert(m, m->added);
    bench_check(vecdb_flush(m->collection, NULL, &error), "flush", &error);
    double start = bench_now();
    bench_check(vecdb_compact(m->collection, NULL, &error), "compact", &error);
    grown.seconds = bench_now() - start;
  }
  merge_measure(m, &grown);
  double start = bench_now();
  bench_check(vecdb_index_create(m->collection, "v", &m->index, NULL, &error), "index", &error);
  anew.seconds = bench_now() - start;
  merge_measure(m, &anew);
  printf("{\"round\": %u, ", rounds);
  merge_print("merge", &grown);
  printf(", ");
  merge_print("anew", &anew);
  printf("}\n");
  fflush(stdout);
  vecdb_collection_release(m->collection);
  bench_check(vecdb_close(db, &error), "close", &error);
  bench_remove(path);
  free(path);
}

int main(int argc, char **argv) {
  struct merge m = {.index = VECDB_INDEX_PARAMS_INIT};
  vecdb_error error;
  if (argc < 7 || argc > 9) {
    fprintf(stderr,
            "usage: merge BASE.npy QUERY.npy l2|ip PERCENT ADDED ROUNDS [THREADS [INDEX]]\n");
    return 2;
  }
  m.base = npy_open(argv[1]);
  struct npy query = npy_open(argv[2]);
  m.metric = bench_metric(argv[3]);
  m.percent = (uint32_t)strtoul(argv[4], NULL, 10);
  m.added = (uint32_t)strtoul(argv[5], NULL, 10);
  m.rounds = (uint32_t)strtoul(argv[6], NULL, 10);
  m.threads = argc > 7 ? (uint32_t)strtoul(argv[7], NULL, 10) : 0;
  if ((uint64_t)m.added * m.rounds >= m.base.rows) {
    fprintf(stderr, "merge: BASE has too few rows\n");
    return 2;
  }
  bench_check(vecdb_index_params_parse(argc > 8 ? argv[8] : "HNSW", &m.index, &error), "index",
              &error);
  m.live = bench_alloc(m.base.rows);
  bench_run_init(&m.run, &query, m.metric, BENCH_QUERIES, MERGE_K);
  m.run.threads = 1;
  for (uint32_t round = 1; round <= m.rounds; round++)
    merge_rounds(&m, round);
  bench_run_free(&m.run);
  free(m.live);
  return 0;
}
