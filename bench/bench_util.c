/* bench_util.c - see bench_util.h. */
#include "bench_util.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BENCH_BATCH = 1000, BENCH_MAX_MORE = 32 };

double bench_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Field number `field` of /proc/self/statm, which counts pages. */
static double bench_statm_mb(int field) {
  unsigned long pages = 0;
  FILE *f = fopen("/proc/self/statm", "r");
  for (int i = 0; f && i <= field; i++)
    if (fscanf(f, "%lu", &pages) != 1)
      pages = 0;
  if (f)
    fclose(f);
  return (double)pages * (double)sysconf(_SC_PAGESIZE) / (1 << 20);
}

double bench_resident_mb(void) {
  return bench_statm_mb(1);
}

double bench_anonymous_mb(void) {
  return bench_statm_mb(1) - bench_statm_mb(2);
}

void bench_check(int rc, const char *what, const vecdb_error *error) {
  if (rc == VECDB_OK)
    return;
  fprintf(stderr, "%s: %s: %s\n", what, vecdb_status_name(rc), error->message);
  exit(1);
}

void *bench_alloc(size_t bytes) {
  void *block = malloc(bytes ? bytes : 1);
  if (!block) {
    fprintf(stderr, "out of memory\n");
    exit(1);
  }
  return block;
}

void bench_remove(const char *path) {
  DIR *dir = opendir(path);
  struct dirent *entry;
  while (dir && (entry = readdir(dir)) != NULL) {
    char name[4096];
    snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
    unlink(name);
  }
  if (dir)
    closedir(dir);
  rmdir(path);
}

char *bench_path(const char *dir) {
  const char *tmp = getenv("TMPDIR");
  const char *parent = dir ? dir : tmp ? tmp : "/tmp";
  size_t size = strlen(parent) + 32;
  char *path = bench_alloc(size);
  snprintf(path, size, "%s/vecdb-bench-%ld", parent, (long)getpid());
  bench_remove(path);
  return path;
}

char *bench_folder(const char *file) {
  char *path = realpath(file, NULL);
  char *slash = path ? strrchr(path, '/') : NULL;
  if (!slash || slash == path)
    exit(1);
  *slash = '\0';
  char *name = strdup(strrchr(path, '/') + 1);
  free(path);
  return name;
}

int32_t bench_metric(const char *name) {
  static const struct {
    const char *name;
    int32_t metric;
  } metrics[] = {{"l2", VECDB_L2}, {"ip", VECDB_IP}, {"hamming", VECDB_HAMMING}};
  for (size_t i = 0; i < sizeof metrics / sizeof metrics[0]; i++)
    if (strcmp(name, metrics[i].name) == 0)
      return metrics[i].metric;
  fprintf(stderr, "%s: the metric is l2, ip or hamming\n", name);
  exit(2);
}

vecdb *bench_open(const char *path, size_t rows, uint32_t threads) {
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.durability = VECDB_DURABLE_OFF;
  options.threads = threads;
  options.seal_rows = (uint32_t)rows;
  options.seal_bytes = options.wal_bytes = UINT64_MAX;
  vecdb *db;
  vecdb_error error;
  bench_check(vecdb_open(path, &options, &db, &error), "open", &error);
  return db;
}

vecdb_field bench_vector_field(const struct npy *base, int32_t metric,
                               const vecdb_index_params *index) {
  bool bits = metric == VECDB_HAMMING;
  vecdb_field field = {.name = "v",
                       .type = bits ? VECDB_BINARY_VECTOR : VECDB_FLOAT_VECTOR,
                       .dim = (uint32_t)base->columns * (bits ? 8 : 1),
                       .metric = metric};
  if (index)
    field.index = *index;
  return field;
}

size_t bench_row_bytes(const struct npy *array, int32_t metric) {
  return array->columns * (metric == VECDB_HAMMING ? 1 : sizeof(float));
}

void bench_row(const struct npy *array, size_t row, int32_t metric, void *out) {
  if (metric == VECDB_HAMMING)
    memcpy(out, (const uint8_t *)array->data + row * array->columns, array->columns);
  else
    npy_floats(array, row, out);
}

vecdb_collection *bench_create(vecdb *db, const vecdb_field *vector, const vecdb_field *more,
                               size_t n) {
  vecdb_field fields[2 + BENCH_MAX_MORE] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY}, *vector};
  for (size_t i = 0; i < n && i < BENCH_MAX_MORE; i++)
    fields[2 + i] = more[i];
  vecdb_schema schema = VECDB_SCHEMA_INIT;
  schema.fields = fields;
  schema.n_fields = (uint32_t)(2 + n);
  vecdb_collection *collection;
  vecdb_error error;
  bench_check(vecdb_collection_create(db, "bench", &schema, &collection, &error), "create",
              &error);
  return collection;
}

/* Inserts n rows; the further columns start at `row`. */
static void bench_insert(vecdb_collection *collection, const vecdb_column *columns,
                         size_t n_columns, size_t row, size_t n) {
  vecdb_column part[2 + BENCH_MAX_MORE];
  memcpy(part, columns, n_columns * sizeof *part);
  for (size_t i = 2; i < n_columns; i++)
    part[i].data = (const char *)columns[i].data + row * columns[i].stride;
  vecdb_batch batch = VECDB_BATCH_INIT;
  batch.columns = part;
  batch.n_columns = (uint32_t)n_columns;
  batch.n_rows = (uint32_t)n;
  vecdb_error error;
  bench_check(vecdb_insert(collection, &batch, NULL, &error), "insert", &error);
}

void bench_load(vecdb_collection *collection, const struct npy *base, int32_t metric,
                const vecdb_column *more, size_t n_more) {
  static int64_t ids[BENCH_BATCH];
  size_t bytes = bench_row_bytes(base, metric);
  char *vectors = bench_alloc(BENCH_BATCH * bytes);
  vecdb_column columns[2 + BENCH_MAX_MORE] = {{.field = "id", .data = ids},
                                              {.field = "v", .data = vectors}};
  for (size_t i = 0; i < n_more && i < BENCH_MAX_MORE; i++)
    columns[2 + i] = more[i];
  for (size_t row = 0; row < base->rows; row += BENCH_BATCH) {
    size_t n = base->rows - row < BENCH_BATCH ? base->rows - row : BENCH_BATCH;
    for (size_t i = 0; i < n; i++) {
      ids[i] = (int64_t)(row + i);
      bench_row(base, row + i, metric, vectors + i * bytes);
    }
    bench_insert(collection, columns, 2 + n_more, row, n);
  }
  free(vectors);
}

double bench_build(const char *path, const struct npy *base, int32_t metric,
                   const vecdb_index_params *index, uint32_t threads) {
  vecdb_error error;
  double start = bench_now();
  vecdb *db = bench_open(path, base->rows, threads);
  vecdb_field vector = bench_vector_field(base, metric, index);
  vecdb_collection *collection = bench_create(db, &vector, NULL, 0);
  bench_load(collection, base, metric, NULL, 0);
  bench_check(vecdb_compact(collection, NULL, &error), "compact", &error);
  vecdb_collection_release(collection);
  bench_check(vecdb_close(db, &error), "close", &error);
  return bench_now() - start;
}

double bench_recall(const struct npy *truth, size_t query, const vecdb_hit *hits, uint32_t n,
                    uint32_t k) {
  const int32_t *expected = (const int32_t *)truth->data + query * truth->columns;
  uint32_t found = 0;
  for (uint32_t i = 0; i < k; i++)
    for (uint32_t h = 0; h < n; h++)
      found += hits[h].id == expected[i];
  return (double)found / k;
}
