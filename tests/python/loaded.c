/*
 * loaded.c - the library of a wheel, loaded as Python loads it: rows are written, indexed and found
 * again after reopening, beside a scan in double. Usage: loaded LIBRARY
 */
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vecdb.h"

enum { DIM = 20, ROWS = 600, K = 5, QUERIES = 20 };

static float vectors[ROWS][DIM];
static void *library;
static vecdb_error error;

/* A function of the library, by its name; declared as in vecdb.h. */
#define CALL(name) ((__typeof__(&name))function(#name))

static void *function(const char *name) {
  void *found = dlsym(library, name);
  if (!found) {
    printf("%s is not there\n", name);
    exit(1);
  }
  return found;
}

static void hold(int good, const char *what) {
  if (good)
    return;
  printf("%s: %s\n", what, error.message);
  exit(1);
}

static void fill(void) {
  uint32_t state = 1;
  for (int i = 0; i < ROWS; i++)
    for (int j = 0; j < DIM; j++) {
      state = state * 1664525u + 1013904223u;
      vectors[i][j] = (float)(state >> 8) / (1 << 24);
    }
}

static double distance(const float *a, const float *b) {
  double sum = 0;
  for (int j = 0; j < DIM; j++)
    sum += ((double)a[j] - b[j]) * ((double)a[j] - b[j]);
  return sum;
}

/* The score of hit i is that of its row, and no more than i other rows that pass are nearer. */
static void check(const float *query, const vecdb_hit *hits, uint32_t n, int modulus) {
  hold(n == K, "hits are missing");
  for (uint32_t i = 0; i < n; i++) {
    double score = distance(query, vectors[hits[i].id]);
    uint32_t nearer = 0;
    for (int row = 0; row < ROWS; row += modulus)
      nearer += distance(query, vectors[row]) < score - 1e-5;
    hold(hits[i].id % modulus == 0 && nearer <= i, "a wrong row");
    hold(fabs(score - (double)hits[i].score) < 1e-4, "a wrong score");
  }
}

static void search(vecdb_collection *docs) {
  for (int q = 0; q < QUERIES; q++)
    for (int modulus = 1; modulus <= 3; modulus += 2) {
      vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
      vecdb_hit hits[K];
      uint32_t n = 0;
      params.k = K;
      params.queries = vectors[q * 7];
      params.filter.text = modulus > 1 ? "id % 3 == 0" : NULL;
      params.plan = VECDB_PLAN_EXACT;
      hold(!CALL(vecdb_search)(docs, &params, hits, &n, NULL, NULL, &error), "search");
      check(vectors[q * 7], hits, n, modulus);
    }
}

static vecdb_collection *write_rows(vecdb *db) {
  vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = DIM, .metric = VECDB_L2}};
  vecdb_schema schema = {sizeof schema, sizeof *fields, NULL, fields, 2};
  int64_t ids[ROWS];
  for (int i = 0; i < ROWS; i++)
    ids[i] = i;
  vecdb_column columns[] = {{.field = "id", .data = ids},
                            {.field = "v", .data = vectors, .dim = DIM}};
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 2, ROWS};
  vecdb_index_params index = VECDB_INDEX_PARAMS_INIT;
  vecdb_collection *docs;
  hold(!CALL(vecdb_collection_create)(db, "docs", &schema, &docs, &error), "create");
  hold(!CALL(vecdb_insert)(docs, &batch, NULL, &error), "insert");
  search(docs);
  hold(!CALL(vecdb_flush)(docs, NULL, &error), "flush");
  index.type = VECDB_INDEX_HNSW;
  hold(!CALL(vecdb_index_create)(docs, "v", &index, NULL, &error), "index");
  return docs;
}

int main(int argc, char **argv) {
  char folder[] = "/tmp/vecdb-loaded-XXXXXX", command[64];
  vecdb *db;
  library = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
  if (!library || !mkdtemp(folder)) {
    printf("%s\n", argc == 2 ? dlerror() : "usage: loaded LIBRARY");
    return 1;
  }
  fill();
  hold(!CALL(vecdb_open)(folder, NULL, &db, &error), "open");
  vecdb_collection *docs = write_rows(db);
  search(docs);
  CALL(vecdb_collection_release)(docs);
  hold(!CALL(vecdb_close)(db, &error), "close");
  hold(!CALL(vecdb_open)(folder, NULL, &db, &error), "open again");
  hold(!CALL(vecdb_collection_get)(db, "docs", &docs, &error), "get");
  search(docs);
  CALL(vecdb_collection_release)(docs);
  hold(!CALL(vecdb_check)(db, NULL, NULL, NULL, &error), "check");
  hold(!CALL(vecdb_close)(db, &error), "close");
  printf("version %s, kernels %s: rows are written and found\n", CALL(vecdb_version)(),
         CALL(vecdb_kernels)());
  snprintf(command, sizeof command, "rm -rf %s", folder);
  return system(command) != 0;
}
