/*
 * learn.c - a parameter server: several trainers pull vectors, and push gradients that the database
 * puts through AdaGrad. Searches find the items where they are all the while, and in the end the
 * index that followed 100,000 pushes is held against one that is built anew.
 *
 *   learn [ITEMS [PUSHES]]
 *
 * Each item has a true place, which the trainers only get noisy glimpses of. The loss of a glimpse
 * is half the squared distance to it, so its gradient is the vector minus the glimpse.
 */
#include <math.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "check.h"

enum { DIM = 16, TRAINERS = 4, BATCH = 100, QUERIES = 200, K = 10 };

struct task {
  vecdb_collection *coll;
  uint32_t items;
  uint32_t batches; /* of each trainer */
  float (*truth)[DIM];
  uint64_t seed;
};

static uint32_t below(uint64_t *state, uint32_t n) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)((*state >> 32) * n >> 32);
}

/* About normal: a sum of uniform numbers. */
static float noise(uint64_t *state) {
  double sum = 0;
  for (int i = 0; i < 12; i++)
    sum += below(state, 1u << 24) / (double)(1u << 24);
  return (float)(sum - 6);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void *trainer(void *arg) {
  struct task *task = arg;
  vecdb_error error;
  for (uint32_t b = 0; b < task->batches; b++) {
    int64_t ids[BATCH];
    float step[BATCH][DIM];
    for (int i = 0; i < BATCH; i++)
      ids[i] = below(&task->seed, task->items);
    vecdb_keys keys = {.integers = ids, .n = BATCH};
    check(vecdb_pull(task->coll, "v", &keys, step[0], 0, NULL, &error), &error);
    for (int i = 0; i < BATCH; i++)
      for (int d = 0; d < DIM; d++)
        step[i][d] -= task->truth[ids[i]][d] + 0.3f * noise(&task->seed);
    vecdb_push_params push = VECDB_PUSH_PARAMS_INIT;
    push.field = "v";
    push.keys = &keys;
    push.values = step[0];
    check(vecdb_push(task->coll, &push, NULL, &error), &error);
  }
  return NULL;
}

/* Items in clusters, and vectors that know nothing of them yet. */
static void fill(const struct task *task) {
  enum { CENTRES = 50 };
  uint64_t seed = 7;
  float centres[CENTRES][DIM], v[BATCH][DIM];
  vecdb_error error;
  for (int i = 0; i < CENTRES * DIM; i++)
    centres[i / DIM][i % DIM] = 2 * noise(&seed);
  for (uint32_t first = 0; first < task->items; first += BATCH) {
    int64_t ids[BATCH];
    uint32_t n = task->items - first < BATCH ? task->items - first : BATCH;
    for (uint32_t i = 0; i < n; i++) {
      uint32_t centre = below(&seed, CENTRES);
      ids[i] = first + i;
      for (int d = 0; d < DIM; d++) {
        task->truth[ids[i]][d] = centres[centre][d] + noise(&seed);
        v[i][d] = noise(&seed);
      }
    }
    const vecdb_column columns[] = {{.field = "id", .data = ids}, {.field = "v", .data = v}};
    vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 2, n};
    check(vecdb_insert(task->coll, &batch, NULL, &error), &error);
  }
}

static void search(const struct task *task, int32_t plan, vecdb_hit *hits, uint32_t *counts) {
  vecdb_error error;
  float queries[QUERIES][DIM];
  for (int q = 0; q < QUERIES; q++)
    memcpy(queries[q], task->truth[(uint64_t)q * task->items / QUERIES], sizeof *queries);
  vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
  params.k = K;
  params.queries = queries;
  params.n_queries = QUERIES;
  params.plan = plan;
  check(vecdb_search(task->coll, &params, hits, counts, NULL, NULL, &error), &error);
}

/* How far the vectors are from the truth, and what share of the nearest rows searches find. */
static void report(const struct task *task, const char *when) {
  static vecdb_hit found[QUERIES * K], exact[QUERIES * K];
  uint32_t counts[QUERIES], hits = 0;
  double far = 0;
  vecdb_error error;
  for (int64_t id = 0; id < task->items; id++) {
    float v[DIM];
    double sum = 0;
    vecdb_keys keys = {.integers = &id, .n = 1};
    check(vecdb_pull(task->coll, "v", &keys, v, 0, NULL, &error), &error);
    for (int d = 0; d < DIM; d++)
      sum += (double)(v[d] - task->truth[id][d]) * (double)(v[d] - task->truth[id][d]);
    far += sqrt(sum) / task->items;
  }
  double start = now();
  search(task, VECDB_PLAN_AUTO, found, counts);
  double us = (now() - start) * 1e6 / QUERIES;
  search(task, VECDB_PLAN_EXACT, exact, counts);
  for (int i = 0; i < QUERIES * K; i++)
    for (int j = i / K * K; j < i / K * K + K; j++)
      hits += found[i].id == exact[j].id;
  printf("%-24s %8.3f %10.4f %10.0f\n", when, far, (double)hits / (QUERIES * K), us);
}

/* Every push has made one version, and rows began at 1. */
static uint64_t pushes(const struct task *task) {
  uint64_t sum = 0;
  vecdb_error error;
  for (int64_t id = 0; id < task->items; id++) {
    uint64_t version;
    vecdb_keys keys = {.integers = &id, .n = 1};
    check(vecdb_pull(task->coll, "v", &keys, NULL, 0, &version, &error), &error);
    sum += version - 1;
  }
  return sum;
}

static void train(const struct task *task) {
  struct task tasks[TRAINERS];
  pthread_t threads[TRAINERS];
  double start = now();
  for (int t = 0; t < TRAINERS; t++) {
    tasks[t] = *task;
    tasks[t].seed = (uint64_t)t + 1;
    if (pthread_create(&threads[t], NULL, trainer, &tasks[t]) != 0)
      exit(EXIT_FAILURE);
  }
  for (int t = 0; t < TRAINERS; t++)
    pthread_join(threads[t], NULL);
  printf("%u pushes, %.0f a second, each of them durable\n", task->batches * TRAINERS * BATCH,
         task->batches * TRAINERS * BATCH / (now() - start));
}

int main(int argc, char **argv) {
  struct task task = {.items = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 5000,
                      .batches = (argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 100000) /
                                 (TRAINERS * BATCH)};
  const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = DIM, .metric = VECDB_L2}};
  vecdb_schema schema = {sizeof schema, sizeof *fields, NULL, fields, 2};
  vecdb_optimizer adagrad = VECDB_OPTIMIZER_INIT;
  vecdb_index_params index = VECDB_INDEX_PARAMS_INIT;
  vecdb_error error;
  vecdb *db;
  adagrad.kind = VECDB_OPTIMIZER_ADAGRAD;
  adagrad.rate = 1;
  task.truth = calloc(task.items ? task.items : 1, sizeof *task.truth);
  if (!task.truth || task.items == 0)
    return EXIT_FAILURE;
  check(vecdb_open("learn.vecdb", NULL, &db, &error), &error);
  vecdb_collection_drop(db, "items", NULL); /* of a run that was cut off */
  check(vecdb_collection_create(db, "items", &schema, &task.coll, &error), &error);
  check(vecdb_optimizer_set(task.coll, "v", &adagrad, NULL, &error), &error);
  fill(&task);
  check(vecdb_compact(task.coll, NULL, &error), &error);
  printf("%u items, %u trainers\n%-24s %8s %10s %10s\n", task.items, TRAINERS, "", "error",
         "recall@10", "us a query");
  report(&task, "before");
  train(&task);
  report(&task, "after the last push");
  check(vecdb_wait(task.coll, NULL, &error), &error);
  report(&task, "after background work");
  check(vecdb_index_drop(task.coll, "v", &error), &error);
  check(vecdb_compact(task.coll, NULL, &error), &error);
  check(vecdb_index_create(task.coll, "v", &index, NULL, &error), &error);
  report(&task, "index built anew");
  uint64_t made = pushes(&task), asked = (uint64_t)task.batches * TRAINERS * BATCH;
  printf("%llu pushes counted by the versions\n", (unsigned long long)made);
  vecdb_collection_release(task.coll);
  check(vecdb_close(db, &error), &error);
  free(task.truth);
  return made == asked ? EXIT_SUCCESS : EXIT_FAILURE;
}
