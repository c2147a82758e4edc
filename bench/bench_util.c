/* bench_util.c - see bench_util.h. */
#include "bench_util.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BENCH_BATCH = 1000 };

double bench_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

double bench_resident_mb(void) {
  unsigned long total, resident = 0;
  FILE *f = fopen("/proc/self/statm", "r");
  if (!f || fscanf(f, "%lu %lu", &total, &resident) != 2)
    resident = 0;
  if (f)
    fclose(f);
  return (double)resident * (double)sysconf(_SC_PAGESIZE) / (1 << 20);
}

void bench_check(int rc, const char *what, const vecdb_error *error) {
  if (rc == VECDB_OK)
    return;
  fprintf(stderr, "%s: %s: %s\n", what, vecdb_status_name(rc), error->message);
  exit(1);
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
  char *path = malloc(size);
  if (!path)
    exit(1);
  snprintf(path, size, "%s/vecdb-bench-%ld", parent, (long)getpid());
  bench_remove(path);
  return path;
}

vecdb_collection *bench_create(vecdb *db, uint32_t dim, int32_t metric, int32_t index) {
  vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = dim, .metric = metric},
  };
  fields[1].index.size = sizeof fields[1].index;
  fields[1].index.type = index;
  vecdb_schema schema = VECDB_SCHEMA_INIT;
  schema.fields = fields;
  schema.n_fields = 2;
  vecdb_collection *collection;
  vecdb_error error;
  bench_check(vecdb_collection_create(db, "bench", &schema, &collection, &error), "create",
              &error);
  return collection;
}

void bench_load(vecdb_collection *collection, const struct npy *base) {
  float *vectors = malloc(BENCH_BATCH * base->columns * sizeof *vectors);
  static int64_t ids[BENCH_BATCH];
  if (!vectors)
    exit(1);
  for (size_t row = 0; row < base->rows; row += BENCH_BATCH) {
    size_t n = base->rows - row < BENCH_BATCH ? base->rows - row : BENCH_BATCH;
    for (size_t i = 0; i < n; i++) {
      ids[i] = (int64_t)(row + i);
      npy_floats(base, row + i, vectors + i * base->columns);
    }
    vecdb_column columns[] = {{.field = "id", .data = ids}, {.field = "v", .data = vectors}};
    vecdb_batch batch = VECDB_BATCH_INIT;
    batch.columns = columns;
    batch.n_columns = 2;
    batch.n_rows = (uint32_t)n;
    vecdb_error error;
    bench_check(vecdb_insert(collection, &batch, NULL, &error), "insert", &error);
  }
  free(vectors);
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
