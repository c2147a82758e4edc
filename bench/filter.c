/*
 * filter.c - filtered search by selectivity and correlation, with the plan that AUTO chose:
 *
 *   filter BASE.npy QUERY.npy l2|ip [--queries N] [--dir DIR]
 *
 * Each row gets three integers: `random`, uniform in 0 .. 9,999; `near`, the row's rank in
 * hundredths of a percent by closeness to the first query; and `far`, the reverse. "near < 100"
 * then passes the 1 % of rows nearest to that query, a filter that agrees with it; "far < 100" the
 * 1 % farthest from it. Random filters are measured over all queries, near and far ones over those
 * queries that are closest to the first. Recall is against VECDB_PLAN_EXACT with the same filter.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_util.h"

enum { FILTER_K = 10, FILTER_PASSES = 3, FILTER_SCALE = 10000 };

struct filter_bench {
  struct npy base, query;
  int32_t metric;
  const char *dir;
  size_t n_queries;
  float *queries;  /* nearest to the first one first */
  float *keys;     /* per row, its distance from the first query */
  uint32_t *order; /* rows by that distance */
  vecdb_collection *collection;
};

static float filter_key(const float *a, const float *b, size_t dim, int32_t metric) {
  float sum = 0;
  for (size_t i = 0; i < dim; i++)
    sum += metric == VECDB_IP ? -a[i] * b[i] : (a[i] - b[i]) * (a[i] - b[i]);
  return sum;
}

static const float *filter_sort_keys;

static int filter_compare(const void *a, const void *b) {
  float x = filter_sort_keys[*(const uint32_t *)a], y = filter_sort_keys[*(const uint32_t *)b];
  return (x > y) - (x < y);
}

/* The order of n vectors by distance from the first query; their keys go to b->keys. */
static void filter_rank(struct filter_bench *b, const struct npy *vectors, size_t n) {
  size_t dim = b->base.columns;
  float *first = malloc(2 * dim * sizeof *first);
  if (!first)
    exit(1);
  npy_floats(&b->query, 0, first);
  for (size_t i = 0; i < n; i++) {
    npy_floats(vectors, i, first + dim);
    b->keys[i] = filter_key(first, first + dim, dim, b->metric);
    b->order[i] = (uint32_t)i;
  }
  free(first);
  filter_sort_keys = b->keys;
  qsort(b->order, n, sizeof *b->order, filter_compare);
}

static void filter_insert(struct filter_bench *b, const int32_t *near, size_t first, size_t n) {
  static int64_t ids[1000];
  static int32_t random[1000], far[1000];
  float *vectors = malloc(n * b->base.columns * sizeof *vectors);
  if (!vectors)
    exit(1);
  for (size_t i = 0; i < n; i++) {
    uint64_t mixed = (first + i + 1) * 0x9e3779b97f4a7c15u;
    ids[i] = (int64_t)(first + i);
    random[i] = (int32_t)((mixed >> 32) % FILTER_SCALE);
    far[i] = FILTER_SCALE - 1 - near[first + i];
    npy_floats(&b->base, first + i, vectors + i * b->base.columns);
  }
  vecdb_column columns[] = {{.field = "id", .data = ids},
                            {.field = "v", .data = vectors},
                            {.field = "random", .data = random},
                            {.field = "near", .data = near + first},
                            {.field = "far", .data = far}};
  vecdb_batch batch = VECDB_BATCH_INIT;
  batch.columns = columns;
  batch.n_columns = 5;
  batch.n_rows = (uint32_t)n;
  vecdb_error error;
  bench_check(vecdb_insert(b->collection, &batch, NULL, &error), "insert", &error);
  free(vectors);
}

static void filter_create(struct filter_bench *b, vecdb *db) {
  vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = "v",
       .type = VECDB_FLOAT_VECTOR,
       .dim = (uint32_t)b->base.columns,
       .metric = b->metric},
      {.name = "random", .type = VECDB_INT32},
      {.name = "near", .type = VECDB_INT32},
      {.name = "far", .type = VECDB_INT32},
  };
  vecdb_schema schema = VECDB_SCHEMA_INIT;
  schema.fields = fields;
  schema.n_fields = 5;
  vecdb_error error;
  bench_check(vecdb_collection_create(db, "bench", &schema, &b->collection, &error), "create",
              &error);
}

static void filter_build(struct filter_bench *b, vecdb *db) {
  size_t n = b->base.rows;
  filter_create(b, db);
  int32_t *near = malloc(n * sizeof *near);
  if (!near)
    exit(1);
  filter_rank(b, &b->base, n);
  for (size_t rank = 0; rank < n; rank++)
    near[b->order[rank]] = (int32_t)(rank * FILTER_SCALE / n);
  for (size_t row = 0; row < n; row += 1000)
    filter_insert(b, near, row, n - row < 1000 ? n - row : 1000);
  free(near);
  vecdb_error error;
  bench_check(vecdb_compact(b->collection, NULL, &error), "compact", &error);
}

/* Runs the queries; returns seconds, and fills hits (n * k), counts and the sums of info. */
static double filter_pass(const struct filter_bench *b, const char *text, int32_t plan, size_t n,
                          vecdb_hit *hits, uint32_t *counts, vecdb_search_info *sum) {
  vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
  params.k = FILTER_K;
  params.plan = plan;
  params.filter.text = text;
  memset(sum, 0, sizeof *sum);
  double start = bench_now();
  for (size_t q = 0; q < n; q++) {
    vecdb_search_info info = VECDB_SEARCH_INFO_INIT;
    vecdb_error error;
    params.queries = b->queries + q * b->base.columns;
    bench_check(vecdb_search(b->collection, &params, hits + q * FILTER_K, &counts[q], &info, NULL,
                             &error),
                "search", &error);
    sum->segments_exact += info.segments_exact;
    sum->segments_graph += info.segments_graph;
    sum->segments_late += info.segments_late;
    sum->fallbacks += info.fallbacks;
  }
  return bench_now() - start;
}

static double filter_recall(const vecdb_hit *hits, const uint32_t *counts, const vecdb_hit *truth,
                            const uint32_t *truth_counts, size_t n) {
  double found = 0, wanted = 0;
  for (size_t q = 0; q < n; q++) {
    wanted += truth_counts[q];
    for (uint32_t i = 0; i < truth_counts[q]; i++)
      for (uint32_t h = 0; h < counts[q]; h++)
        found += hits[q * FILTER_K + h].id == truth[q * FILTER_K + i].id;
  }
  return wanted > 0 ? found / wanted : 1;
}

static void filter_point(const struct filter_bench *b, const char *text, size_t n) {
  vecdb_hit *hits = malloc(2 * n * FILTER_K * sizeof *hits);
  uint32_t *counts = malloc(2 * n * sizeof *counts);
  if (!hits || !counts)
    exit(1);
  vecdb_search_info info;
  double exact =
      filter_pass(b, text, VECDB_PLAN_EXACT, n, hits + n * FILTER_K, counts + n, &info);
  double best = 1e9;
  for (int pass = 0; pass < FILTER_PASSES; pass++) {
    double seconds = filter_pass(b, text, VECDB_PLAN_AUTO, n, hits, counts, &info);
    best = seconds < best ? seconds : best;
  }
  double recall = filter_recall(hits, counts, hits + n * FILTER_K, counts + n, n);
  printf("%-18s %9.0f %10.4f %10.0f   exact %u, graph %u, late %u, fallbacks %u\n", text,
         (double)n / best, recall, (double)n / exact, info.segments_exact, info.segments_graph,
         info.segments_late, info.fallbacks);
  fflush(stdout);
  free(counts);
  free(hits);
}

static void filter_measure(const struct filter_bench *b) {
  static const int shares[] = {10000, 5000, 1000, 100, 10, 1}; /* of 10,000 rows */
  static const char *const columns[] = {"random", "near", "far"};
  printf("%-18s %9s %10s %10s   plans\n", "filter", "QPS", "recall@10", "QPS exact");
  for (size_t c = 0; c < 3; c++)
    for (size_t s = 0; s < sizeof shares / sizeof shares[0]; s++) {
      char text[64];
      snprintf(text, sizeof text, "%s < %d", columns[c], shares[s]);
      filter_point(b, text, c == 0 ? b->n_queries : b->n_queries / 10);
    }
}

int main(int argc, char **argv) {
  static struct filter_bench b;
  if (argc < 4 || argc % 2 != 0) {
    fprintf(stderr, "usage: filter BASE.npy QUERY.npy l2|ip [--queries N] [--dir DIR]\n");
    return 2;
  }
  b.base = npy_open(argv[1]);
  b.query = npy_open(argv[2]);
  b.metric = strcmp(argv[3], "ip") == 0 ? VECDB_IP : VECDB_L2;
  b.n_queries = 500;
  for (int i = 4; i + 1 < argc; i += 2) {
    if (strcmp(argv[i], "--queries") == 0)
      b.n_queries = strtoull(argv[i + 1], NULL, 10);
    else if (strcmp(argv[i], "--dir") == 0)
      b.dir = argv[i + 1];
  }
  if (b.n_queries < 10 || b.n_queries > b.query.rows || b.query.columns != b.base.columns)
    return 2;
  size_t most = b.base.rows > b.query.rows ? b.base.rows : b.query.rows;
  b.queries = malloc(b.n_queries * b.base.columns * sizeof *b.queries);
  b.keys = malloc(most * sizeof *b.keys);
  b.order = malloc(most * sizeof *b.order);
  if (!b.queries || !b.keys || !b.order)
    return 1;
  char *path = bench_path(b.dir);
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.durability = VECDB_DURABLE_OFF;
  options.seal_rows = (uint32_t)b.base.rows;
  options.seal_bytes = options.wal_bytes = UINT64_MAX;
  vecdb *db;
  vecdb_error error;
  bench_check(vecdb_open(path, &options, &db, &error), "open", &error);
  filter_build(&b, db);
  filter_rank(&b, &b.query, b.query.rows);
  for (size_t q = 0; q < b.n_queries; q++)
    npy_floats(&b.query, b.order[q], b.queries + q * b.base.columns);
  filter_measure(&b);
  vecdb_collection_release(b.collection);
  bench_check(vecdb_close(db, &error), "close", &error);
  bench_remove(path);
  free(path);
  free(b.order);
  free(b.keys);
  free(b.queries);
  return 0;
}
