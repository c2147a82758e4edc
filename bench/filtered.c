/*
 * filtered.c - filtered search by selectivity, with filters that know nothing of the query and
 * filters that do:
 *
 *   filtered BASE.npy QUERY.npy l2|ip K THREADS SELECTIVITY[,...] [--correlated]
 *       [--index TEXT] [--recall R] [--build-threads N] [--dir DIR]
 *
 * SELECTIVITY is the share of rows that pass, in percent if any of the list is above 1. Random:
 * each row has a number that is a hash of its key, and the filter of all queries is "hash < N".
 * Correlated: eight of the queries are anchors, and each row has its rank by distance from each
 * anchor. The 25 queries nearest to an anchor search under "rank < N" (near: the filter passes what
 * the query is looking for) and under "rank >= N" (far: it passes the rows least like it). Prints
 * a JSON line per selectivity, correlated: one for near and one for far. Recall is against
 * VECDB_PLAN_EXACT under the same filter; `short` counts the queries that got fewer hits than that,
 * `fallbacks` those of the plan's searches that were repeated exactly. peers_filtered.py asks the
 * same of other libraries.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench_run.h"

enum {
  FILTERED_SCALE = 1000000, /* of hashes and ranks */
  FILTERED_QUERIES = 200,
  FILTERED_ANCHORS = 8,
  FILTERED_NEIGHBOURS = 25,
  FILTERED_MAX = 32
};

struct filtered {
  struct npy base, query;
  int32_t metric;
  double shares[FILTERED_MAX]; /* as given */
  size_t n_shares;
  double unit; /* 1, or 100 for percent */
  bool correlated;
  vecdb_index_params index;
  uint32_t build_threads;
  float recall;
  const char *dir;
  int32_t *columns[FILTERED_ANCHORS]; /* hashes, or ranks by anchor */
  size_t n_columns;
  struct bench_run run;
};

/* A row and its distance, to be sorted. */
struct filtered_row {
  double distance;
  uint32_t row;
};

static int filtered_compare(const void *a, const void *b) {
  const struct filtered_row *x = a, *y = b;
  int by_distance = (x->distance > y->distance) - (x->distance < y->distance);
  return by_distance ? by_distance : (x->row > y->row) - (x->row < y->row);
}

/* The rows of `array` by distance from query number `anchor`. To be freed. */
static struct filtered_row *filtered_order(const struct filtered *f, size_t anchor,
                                           const struct npy *array) {
  size_t dim = f->base.columns;
  struct filtered_row *rows = bench_alloc(array->rows * sizeof *rows);
  float *query = bench_alloc(2 * dim * sizeof *query), *row = query + dim;
  npy_floats(&f->query, anchor, query);
  for (size_t i = 0; i < array->rows; i++) {
    double sum = 0;
    npy_floats(array, i, row);
    for (size_t d = 0; d < dim; d++) {
      double x = query[d], y = row[d];
      sum += f->metric == VECDB_IP ? -x * y : (x - y) * (x - y);
    }
    rows[i].distance = sum;
    rows[i].row = (uint32_t)i;
  }
  free(query);
  qsort(rows, array->rows, sizeof *rows, filtered_compare);
  return rows;
}

static size_t filtered_anchor(const struct filtered *f, size_t i) {
  return i * (f->query.rows / FILTERED_ANCHORS);
}

/* One column of hashes, or one of ranks for each anchor. */
static void filtered_columns(struct filtered *f) {
  size_t n = f->base.rows;
  f->n_columns = f->correlated ? FILTERED_ANCHORS : 1;
  for (size_t c = 0; c < f->n_columns; c++)
    f->columns[c] = bench_alloc(n * sizeof *f->columns[c]);
  for (size_t i = 0; i < n && !f->correlated; i++) {
    uint64_t mixed = (uint64_t)(i + 1) * 0x9e3779b97f4a7c15u;
    f->columns[0][i] = (int32_t)((mixed >> 32) % FILTERED_SCALE);
  }
  for (size_t c = 0; c < f->n_columns && f->correlated; c++) {
    struct filtered_row *rows = filtered_order(f, filtered_anchor(f, c), &f->base);
    for (size_t rank = 0; rank < n; rank++)
      f->columns[c][rows[rank].row] = (int32_t)(rank * FILTERED_SCALE / n);
    free(rows);
  }
}

/* The queries: the first 500, or the neighbours of each anchor. */
static void filtered_queries(struct filtered *f, uint32_t k) {
  size_t n = f->query.rows < FILTERED_QUERIES ? f->query.rows : FILTERED_QUERIES;
  if (!f->correlated) {
    bench_run_init(&f->run, &f->query, f->metric, n, k);
    return;
  }
  bench_run_init(&f->run, &f->query, f->metric, FILTERED_ANCHORS * FILTERED_NEIGHBOURS, k);
  float *out = (float *)(void *)(uintptr_t)f->run.queries;
  for (size_t a = 0; a < FILTERED_ANCHORS; a++) {
    struct filtered_row *near = filtered_order(f, filtered_anchor(f, a), &f->query);
    for (size_t i = 0; i < FILTERED_NEIGHBOURS; i++, out += f->base.columns)
      npy_floats(&f->query, near[i].row, out);
    free(near);
  }
}

static void filtered_build(struct filtered *f, vecdb *db) {
  static const char *const names[] = {"x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7"};
  vecdb_field fields[FILTERED_ANCHORS] = {{.name = NULL}};
  vecdb_column columns[FILTERED_ANCHORS] = {{.field = NULL}};
  for (size_t c = 0; c < f->n_columns; c++) {
    fields[c].name = columns[c].field = names[c];
    fields[c].type = VECDB_INT32;
    columns[c].data = f->columns[c];
    columns[c].stride = sizeof *f->columns[c];
  }
  vecdb_field vector = bench_vector_field(&f->base, f->metric, &f->index);
  f->run.collection = bench_create(db, &vector, fields, f->n_columns);
  bench_load(f->run.collection, &f->base, f->metric, columns, f->n_columns);
  vecdb_error error;
  bench_check(vecdb_compact(f->run.collection, NULL, &error), "compact", &error);
}

static double filtered_recall(const struct bench_run *run, const vecdb_hit *truth,
                              const uint32_t *truth_counts, uint32_t *fewer) {
  double found = 0, wanted = 0;
  *fewer = 0;
  for (size_t q = 0; q < run->n_queries; q++) {
    wanted += truth_counts[q];
    *fewer += run->counts[q] < truth_counts[q];
    for (uint32_t i = 0; i < truth_counts[q]; i++)
      for (uint32_t h = 0; h < run->counts[q]; h++)
        found += run->hits[q * run->k + h].id == truth[q * run->k + i].id;
  }
  return wanted > 0 ? found / wanted : 1;
}

/* The plans that searches took, as "graph" or "graph+exact". */
static void filtered_plan(const vecdb_search_info *info, char *out, size_t size) {
  snprintf(out, size, "%s%s%s%s", info->segments_exact ? "+exact" : "",
           info->segments_graph ? "+graph" : "", info->segments_late ? "+late" : "",
           info->segments_codes ? "+codes" : "");
  memmove(out, out + 1, strlen(out));
}

/* One line: all queries under their filters. */
static void filtered_measure(struct filtered *f, double share, const char *kind) {
  struct bench_run *run = &f->run;
  struct bench_run exact = *run;
  exact.hits = bench_alloc(run->n_queries * run->k * sizeof *exact.hits);
  exact.counts = bench_alloc(run->n_queries * sizeof *exact.counts);
  exact.threads = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
  struct bench_setting by_plan = {.recall = f->recall}, by_scan = {.plan = VECDB_PLAN_EXACT};
  bench_pass(&exact, &by_scan, NULL);
  vecdb_search_info info;
  double seconds = bench_best(run, &by_plan, &info);
  uint32_t fewer;
  double recall = filtered_recall(run, exact.hits, exact.counts, &fewer);
  char plan[32];
  filtered_plan(&info, plan, sizeof plan);
  printf("{\"selectivity\": %g, \"recall\": %.4f, \"qps\": %.1f, \"plan\": \"%s\", "
         "\"filter\": \"%s\", \"fallbacks\": %u, \"short\": %u, \"distances\": %.0f}\n",
         share, recall, (double)run->n_queries / seconds, plan, kind, info.fallbacks, fewer,
         (double)info.distances / (double)run->n_queries);
  fflush(stdout);
  free(exact.hits);
  free(exact.counts);
}

/* Gives each query its filter: column of its anchor, and what passes. */
static void filtered_line(struct filtered *f, double share, bool far) {
  static char texts[FILTERED_ANCHORS][32];
  int limit = (int)(share / f->unit * FILTERED_SCALE + 0.5);
  for (size_t c = 0; c < f->n_columns; c++)
    snprintf(texts[c], sizeof texts[c], far ? "x%zu >= %d" : "x%zu < %d", c,
             far ? FILTERED_SCALE - limit : limit);
  const char **filters = bench_alloc(f->run.n_queries * sizeof *filters);
  for (size_t q = 0; q < f->run.n_queries; q++)
    filters[q] = texts[f->correlated ? q / FILTERED_NEIGHBOURS : 0];
  f->run.filters = filters;
  filtered_measure(f, share, !f->correlated ? "random" : far ? "far" : "near");
  f->run.filters = NULL;
  free(filters);
}

static void filtered_usage(void) {
  fprintf(stderr, "usage: filtered BASE.npy QUERY.npy l2|ip K THREADS SELECTIVITY[,...]"
                  " [--correlated] [--index TEXT] [--recall R] [--build-threads N] [--dir DIR]\n");
  exit(2);
}

static void filtered_shares(struct filtered *f, const char *text) {
  f->unit = 1;
  while (*text && f->n_shares < FILTERED_MAX) {
    char *end;
    double share = strtod(text, &end);
    if (end == text || (*end && *end != ',') || !(share > 0 && share <= 100))
      filtered_usage();
    f->shares[f->n_shares++] = share;
    f->unit = share > 1 ? 100 : f->unit;
    text = *end ? end + 1 : end;
  }
}

static void filtered_options(struct filtered *f, int argc, char **argv) {
  const char *index = "AUTO";
  for (int i = 7; i < argc; i++) {
    const char *value = i + 1 < argc ? argv[i + 1] : NULL;
    if (strcmp(argv[i], "--correlated") == 0) {
      f->correlated = true;
      continue;
    }
    if (!value)
      filtered_usage();
    if (strcmp(argv[i], "--index") == 0)
      index = value;
    else if (strcmp(argv[i], "--recall") == 0)
      f->recall = strtof(value, NULL);
    else if (strcmp(argv[i], "--build-threads") == 0)
      f->build_threads = (uint32_t)strtoul(value, NULL, 10);
    else if (strcmp(argv[i], "--dir") == 0)
      f->dir = value;
    else
      filtered_usage();
    i++;
  }
  vecdb_error error;
  bench_check(vecdb_index_params_parse(index, &f->index, &error), "index", &error);
}

int main(int argc, char **argv) {
  static struct filtered f;
  if (argc < 7)
    filtered_usage();
  f.base = npy_open(argv[1]);
  f.query = npy_open(argv[2]);
  f.metric = bench_metric(argv[3]);
  uint32_t k = (uint32_t)strtoul(argv[4], NULL, 10);
  f.run.threads = (uint32_t)strtoul(argv[5], NULL, 10);
  filtered_shares(&f, argv[6]);
  filtered_options(&f, argc, argv);
  if (k == 0 || f.run.threads == 0 || f.run.threads > BENCH_MAX_THREADS ||
      f.query.columns != f.base.columns || f.metric == VECDB_HAMMING ||
      f.query.rows < FILTERED_ANCHORS * FILTERED_NEIGHBOURS)
    filtered_usage();
  filtered_columns(&f);
  filtered_queries(&f, k);
  char *path = bench_path(f.dir);
  vecdb *db = bench_open(path, f.base.rows, f.build_threads);
  filtered_build(&f, db);
  for (size_t i = 0; i < f.n_shares; i++)
    for (int far = 0; far <= (int)f.correlated; far++)
      filtered_line(&f, f.shares[i], far);
  vecdb_collection_release(f.run.collection);
  vecdb_error error;
  bench_check(vecdb_close(db, &error), "close", &error);
  bench_remove(path);
  free(path);
  for (size_t c = 0; c < f.n_columns; c++)
    free(f.columns[c]);
  bench_run_free(&f.run);
  return 0;
}
