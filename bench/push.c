/*
 * push.c - durable pushes per second beside upserts of the same rows and updates of their vectors,
 * and pulls beside gets.
 *
 *   push BASE.npy [--rows N] [--batch N] [--threads N] [--calls N] [--dir DIR]
 *
 * The rows are in one sealed segment at first, without a vector index, so that no merge builds one
 * meanwhile. Each thread makes its calls with keys of its own, picked at random. One JSON line per
 * kind of write.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_util.h"

enum push_way {
  PUSH_UPSERT,
  PUSH_UPDATE,
  PUSH_DELTA,
  PUSH_AVERAGE,
  PUSH_ADAGRAD,
  PUSH_ADAM,
  PUSH_PULL,
  PUSH_GET,
  PUSH_WAYS
};

static const char *const push_names[PUSH_WAYS] = {"upsert",  "update", "delta", "average",
                                                  "adagrad", "adam",   "pull",  "get"};

struct push_bench {
  struct npy base;
  uint32_t rows, batch, threads, calls;
  const char *dir;
  enum push_way way;
  vecdb_collection *coll;
};

struct push_thread {
  const struct push_bench *bench;
  pthread_t thread;
  uint64_t seed;
  int64_t *ids;
  float *vectors;
};

static void push_call(struct push_thread *t) {
  const struct push_bench *b = t->bench;
  vecdb_error error;
  vecdb_keys keys = {.integers = t->ids, .n = b->batch};
  const vecdb_column columns[] = {{.field = "id", .data = t->ids},
                                  {.field = "v", .data = t->vectors}};
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 2, b->batch};
  vecdb_push_params push = VECDB_PUSH_PARAMS_INIT;
  vecdb_rows *rows = NULL;
  push.kind = b->way == PUSH_DELTA ? VECDB_PUSH_DELTA : VECDB_PUSH_GRADIENT;
  push.field = "v";
  push.keys = &keys;
  push.values = t->vectors;
  int rc;
  if (b->way == PUSH_UPSERT)
    rc = vecdb_upsert(b->coll, &batch, NULL, &error);
  else if (b->way == PUSH_UPDATE)
    rc = vecdb_update(b->coll, &batch, 0, NULL, &error);
  else if (b->way == PUSH_PULL)
    rc = vecdb_pull(b->coll, "v", &keys, t->vectors, 0, NULL, &error);
  else if (b->way == PUSH_GET)
    rc = vecdb_get(b->coll, &keys, NULL, 0, NULL, &rows, &error);
  else
    rc = vecdb_push(b->coll, &push, NULL, &error);
  vecdb_rows_free(rows);
  bench_check(rc, push_names[b->way], &error);
}

static void *push_run(void *arg) {
  struct push_thread *t = arg;
  for (uint32_t call = 0; call < t->bench->calls; call++) {
    for (uint32_t i = 0; i < t->bench->batch; i++) {
      t->seed = t->seed * 6364136223846793005u + 1442695040888963407u;
      t->ids[i] = (int64_t)((t->seed >> 32) * t->bench->rows >> 32);
    }
    push_call(t);
  }
  return NULL;
}

/* Seconds of all calls. */
static double push_measure(const struct push_bench *b) {
  struct push_thread *threads = bench_alloc(b->threads * sizeof *threads);
  size_t columns = b->base.columns;
  double start = bench_now();
  for (uint32_t t = 0; t < b->threads; t++) {
    struct push_thread thread = {.bench = b, .seed = t + 1};
    thread.ids = bench_alloc(b->batch * sizeof *thread.ids);
    thread.vectors = bench_alloc(b->batch * columns * sizeof *thread.vectors);
    for (uint32_t i = 0; i < b->batch; i++)
      npy_floats(&b->base, (t + i) % b->rows, thread.vectors + i * columns);
    threads[t] = thread;
    if (pthread_create(&threads[t].thread, NULL, push_run, &threads[t]) != 0)
      exit(1);
  }
  for (uint32_t t = 0; t < b->threads; t++)
    pthread_join(threads[t].thread, NULL);
  double seconds = bench_now() - start;
  for (uint32_t t = 0; t < b->threads; t++) {
    free(threads[t].ids);
    free(threads[t].vectors);
  }
  free(threads);
  return seconds;
}

static void push_way(struct push_bench *b, const char *path) {
  vecdb *db;
  vecdb_error error;
  vecdb_index_params flat = VECDB_INDEX_PARAMS_INIT;
  vecdb_optimizer rule = VECDB_OPTIMIZER_INIT;
  flat.type = VECDB_INDEX_FLAT;
  rule.rate = 1e-6f;
  rule.kind = b->way == PUSH_ADAM      ? VECDB_OPTIMIZER_ADAM
              : b->way == PUSH_ADAGRAD ? VECDB_OPTIMIZER_ADAGRAD
                                       : VECDB_OPTIMIZER_AVERAGE;
  struct npy base = b->base;
  base.rows = b->rows;
  vecdb_field vector = bench_vector_field(&base, VECDB_L2, &flat);
  bench_check(vecdb_open(path, NULL, &db, &error), "open", &error);
  b->coll = bench_create(db, &vector, NULL, 0);
  bench_load(b->coll, &base, VECDB_L2, NULL, 0);
  if (b->way != PUSH_UPSERT && b->way != PUSH_UPDATE && b->way != PUSH_GET)
    bench_check(vecdb_optimizer_set(b->coll, "v", &rule, NULL, &error), "optimizer", &error);
  bench_check(vecdb_compact(b->coll, NULL, &error), "compact", &error);
  double seconds = push_measure(b);
  printf("{\"way\": \"%s\", \"dim\": %zu, \"rows\": %u, \"batch\": %u, \"threads\": %u, "
         "\"per_s\": %.0f}\n", push_names[b->way], b->base.columns, b->rows, b->batch, b->threads,
         (double)b->threads * b->calls * b->batch / seconds);
  fflush(stdout);
  vecdb_collection_release(b->coll);
  bench_check(vecdb_close(db, &error), "close", &error);
  bench_remove(path);
}

static void push_usage(void) {
  fprintf(stderr, "usage: push BASE.npy [--rows N] [--batch N] [--threads N] [--calls N] "
                  "[--dir DIR]\n");
  exit(2);
}

int main(int argc, char **argv) {
  struct push_bench b = {.batch = 100, .threads = 4, .calls = 200};
  if (argc < 2 || argc % 2 != 0)
    push_usage();
  b.base = npy_open(argv[1]);
  b.rows = (uint32_t)b.base.rows;
  for (int i = 2; i + 1 < argc; i += 2) {
    uint32_t n = (uint32_t)strtoul(argv[i + 1], NULL, 10);
    if (strcmp(argv[i], "--rows") == 0 && n > 0 && n <= b.base.rows)
      b.rows = n;
    else if (strcmp(argv[i], "--batch") == 0 && n > 0)
      b.batch = n;
    else if (strcmp(argv[i], "--threads") == 0 && n > 0)
      b.threads = n;
    else if (strcmp(argv[i], "--calls") == 0 && n > 0)
      b.calls = n;
    else if (strcmp(argv[i], "--dir") == 0)
      b.dir = argv[i + 1];
    else
      push_usage();
  }
  char *path = bench_path(b.dir);
  for (b.way = 0; b.way < PUSH_WAYS; b.way++)
    push_way(&b, path);
  free(path);
  return 0;
}
