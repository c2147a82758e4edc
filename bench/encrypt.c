/*
 * encrypt.c - what encryption costs, on random vectors: encrypt ROWS DIM [--dir DIR] [--runs N]
 *
 * The same work with and without it, by turns, N times each (3); the medians, and their ratio: rows
 * a second when every batch of 100 rows is on the disk before the next; sealing and indexing of
 * these rows; milliseconds from opening to the first answer, in a fresh process, the files in the
 * page cache; microseconds a query of an HNSW index and of a DISK index; resident memory that no
 * file backs, after opening.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench_util.h"

enum { BATCH = 100, QUERIES = 500, K = 10, MAX_RUNS = 31, MEASURES = 6 };

struct bench {
  uint32_t rows, dim;
  int runs;
  const char *dir;
  float *vectors;
};

static const char *const measures[MEASURES] = {
    "ingest, rows/s", "seal and index, s", "open to first answer, ms", "HNSW, us/query",
    "DISK, us/query", "memory after opening, MiB"};

static int give_key(void *user, const char *key_id, uint8_t key[VECDB_KEY_BYTES]) {
  (void)user;
  (void)key_id;
  memset(key, 7, VECDB_KEY_BYTES);
  return 0;
}

static vecdb_options options_of(const struct bench *b, bool encrypted) {
  static const vecdb_encryption encryption = {
      .size = sizeof encryption, .key_id = "bench", .get_key = give_key};
  vecdb_options o = VECDB_OPTIONS_INIT;
  o.encryption = encrypted ? &encryption : NULL;
  o.seal_rows = b->rows;
  o.seal_bytes = o.wal_bytes = UINT64_MAX;
  return o;
}

static vecdb_collection *create(const struct bench *b, vecdb *db, const char *name,
                                int32_t index) {
  vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = b->dim, .metric = VECDB_L2}};
  vecdb_schema schema = VECDB_SCHEMA_INIT;
  vecdb_collection *collection;
  vecdb_error error;
  fields[1].index = (vecdb_index_params)VECDB_INDEX_PARAMS_INIT;
  fields[1].index.type = index;
  schema.fields = fields;
  schema.n_fields = 2;
  bench_check(vecdb_collection_create(db, name, &schema, &collection, &error), "create", &error);
  return collection;
}

/* Inserts all rows, each batch durable; seconds. */
static double load(const struct bench *b, vecdb_collection *collection) {
  int64_t ids[BATCH];
  vecdb_error error;
  double start = bench_now();
  for (uint32_t at = 0; at < b->rows; at += BATCH) {
    uint32_t n = b->rows - at < BATCH ? b->rows - at : BATCH;
    for (uint32_t i = 0; i < n; i++)
      ids[i] = at + i;
    const vecdb_column columns[] = {
        {.field = "id", .data = ids},
        {.field = "v", .data = b->vectors + (size_t)at * b->dim, .dim = b->dim}};
    vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 2, n};
    bench_check(vecdb_insert(collection, &batch, NULL, &error), "insert", &error);
  }
  return bench_now() - start;
}

/* Searches for a row; whether it was found. */
static bool ask(const struct bench *b, vecdb_collection *collection, uint32_t query) {
  vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
  vecdb_hit hits[K];
  uint32_t n;
  vecdb_error error;
  params.k = K;
  params.queries = b->vectors + (size_t)(query * 97u % b->rows) * b->dim;
  bench_check(vecdb_search(collection, &params, hits, &n, NULL, NULL, &error), "search", &error);
  return n > 0 && hits[0].id == query * 97u % b->rows;
}

static double ask_all(const struct bench *b, vecdb *db, const char *name) {
  vecdb_collection *collection;
  vecdb_error error;
  bench_check(vecdb_collection_get(db, name, &collection, &error), "get", &error);
  uint32_t lost = 0;
  for (uint32_t i = 0; i < QUERIES; i++)
    lost += !ask(b, collection, i);
  if (lost > QUERIES / 10) { /* indexes miss some, of rows as far apart as these */
    fprintf(stderr, "%s: %u of %d rows are not found\n", name, lost, QUERIES);
    exit(1);
  }
  double start = bench_now();
  for (uint32_t i = 0; i < QUERIES; i++)
    ask(b, collection, i);
  double seconds = bench_now() - start;
  vecdb_collection_release(collection);
  return seconds / QUERIES * 1e6;
}

/* In a child: what is measured of a database that is there. */
static void opened(const struct bench *b, const char *path, bool encrypted, int out) {
  vecdb_options options = options_of(b, encrypted);
  double figures[MEASURES] = {0}, start = bench_now();
  vecdb *db;
  vecdb_collection *collection;
  vecdb_error error;
  options.flags = VECDB_READ_ONLY;
  bench_check(vecdb_open(path, &options, &db, &error), "open", &error);
  bench_check(vecdb_collection_get(db, "hnsw", &collection, &error), "get", &error);
  ask(b, collection, 0);
  figures[2] = (bench_now() - start) * 1e3;
  figures[5] = bench_anonymous_mb();
  vecdb_collection_release(collection);
  figures[3] = ask_all(b, db, "hnsw");
  figures[4] = ask_all(b, db, "disk");
  bench_check(vecdb_close(db, &error), "close", &error);
  _exit(write(out, figures, sizeof figures) != sizeof figures);
}

static void measure(const struct bench *b, bool encrypted, double figures[MEASURES]) {
  static const char *const names[] = {"hnsw", "disk"};
  char *path = bench_path(b->dir);
  vecdb_options options = options_of(b, encrypted);
  double loading = 0, building = 0, from_child[MEASURES];
  vecdb *db;
  vecdb_error error;
  bench_check(vecdb_open(path, &options, &db, &error), "open", &error);
  for (int i = 0; i < 2; i++) {
    vecdb_collection *collection =
        create(b, db, names[i], i ? VECDB_INDEX_DISK : VECDB_INDEX_HNSW);
    loading += load(b, collection);
    double start = bench_now();
    bench_check(vecdb_compact(collection, NULL, &error), "compact", &error);
    building += bench_now() - start;
    vecdb_collection_release(collection);
  }
  bench_check(vecdb_close(db, &error), "close", &error);
  int ends[2], status = 1;
  if (pipe(ends) != 0)
    exit(1);
  pid_t child = fork();
  if (child == 0)
    opened(b, path, encrypted, ends[1]);
  close(ends[1]);
  bool got = read(ends[0], from_child, sizeof from_child) == sizeof from_child;
  close(ends[0]);
  waitpid(child, &status, 0);
  if (!got || status != 0)
    exit(1);
  memcpy(figures, from_child, sizeof from_child);
  figures[0] = 2.0 * b->rows / loading;
  figures[1] = building;
  bench_remove(path);
  free(path);
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

int main(int argc, char **argv) {
  struct bench b = {.runs = 3};
  if (argc >= 3) {
    b.rows = (uint32_t)atoi(argv[1]);
    b.dim = (uint32_t)atoi(argv[2]);
  }
  for (int i = 3; i + 1 < argc; i += 2) {
    if (strcmp(argv[i], "--dir") == 0)
      b.dir = argv[i + 1];
    else if (strcmp(argv[i], "--runs") == 0)
      b.runs = atoi(argv[i + 1]);
  }
  if (b.rows < 1000 || b.dim < 1 || b.runs < 1 || b.runs > MAX_RUNS || argc % 2 == 0) {
    fprintf(stderr, "usage: encrypt ROWS DIM [--dir DIR] [--runs N]\n");
    return 2;
  }
  size_t n = (size_t)b.rows * b.dim;
  b.vectors = bench_alloc(n * sizeof *b.vectors);
  uint64_t state = 1;
  for (size_t i = 0; i < n; i++) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    b.vectors[i] = (float)(state >> 40) / (float)(1 << 24);
  }
  static double figures[2][MEASURES][MAX_RUNS];
  for (int run = 0; run < b.runs; run++)
    for (int i = 0; i < 2; i++) {
      double once[MEASURES];
      measure(&b, i == 1, once);
      for (int m = 0; m < MEASURES; m++)
        figures[i][m][run] = once[m];
    }
  printf("%u rows of %u dimensions, medians of %d\n%-28s %12s %12s %8s\n", b.rows, b.dim, b.runs,
         "", "plain", "encrypted", "ratio");
  for (int m = 0; m < MEASURES; m++) {
    for (int i = 0; i < 2; i++)
      qsort(figures[i][m], (size_t)b.runs, sizeof(double), compare);
    double plain = figures[0][m][b.runs / 2], encrypted = figures[1][m][b.runs / 2];
    printf("%-28s %12.2f %12.2f %8.3f\n", measures[m], plain, encrypted, encrypted / plain);
  }
  free(b.vectors);
  return 0;
}
