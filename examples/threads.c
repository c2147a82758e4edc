/*
 * threads.c - several threads search while one writes, with the same handle and without any lock of
 * their own. Each search sees one consistent state: batches are there whole, or not at all.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "check.h"

enum { SEARCHERS = 3, BATCHES = 200, BATCH = 50 };

struct shared {
  vecdb_collection *coll;
  _Atomic bool written;
};

/* A batch at a time; all rows of a batch carry its number. */
static void *writer(void *arg) {
  struct shared *shared = arg;
  vecdb_error error;
  for (int32_t b = 0; b < BATCHES; b++) {
    int32_t number[BATCH];
    float embeddings[BATCH][2];
    for (int i = 0; i < BATCH; i++) {
      number[i] = b;
      embeddings[i][0] = (float)b;
      embeddings[i][1] = (float)i;
    }
    const vecdb_column columns[] = {{.field = "batch", .data = number},
                                    {.field = "embedding", .data = embeddings}};
    vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 2, BATCH};
    check(vecdb_insert(shared->coll, &batch, NULL, &error), &error);
  }
  atomic_store(&shared->written, true);
  return NULL;
}

static void *searcher(void *arg) {
  struct shared *shared = arg;
  vecdb_error error;
  const float query[] = {BATCHES, BATCH}; /* the latest rows are the nearest */
  unsigned long searches = 0, torn = 0;
  bool last = false;
  while (!last) {
    last = atomic_load(&shared->written);
    vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
    params.k = BATCH * BATCHES;
    params.queries = query;
    static _Thread_local vecdb_hit hits[BATCH * BATCHES];
    uint32_t n;
    check(vecdb_search(shared->coll, &params, hits, &n, NULL, NULL, &error), &error);
    torn += n % BATCH != 0;
    searches++;
  }
  printf("%lu searches, %lu of them saw a part of a batch\n", searches, torn);
  return torn ? arg : NULL;
}

int main(void) {
  vecdb_error error;
  vecdb *db;
  struct shared shared = {NULL, false};
  const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY | VECDB_AUTO_ID},
      {.name = "batch", .type = VECDB_INT32},
      {.name = "embedding", .type = VECDB_FLOAT_VECTOR, .dim = 2, .metric = VECDB_L2},
  };
  vecdb_schema schema = {sizeof schema, sizeof *fields, NULL, fields, 3};
  check(vecdb_open(":memory:", NULL, &db, &error), &error);
  check(vecdb_collection_create(db, "points", &schema, &shared.coll, &error), &error);

  pthread_t threads[SEARCHERS + 1];
  void *fault, *any = NULL;
  for (int i = 0; i <= SEARCHERS; i++)
    if (pthread_create(&threads[i], NULL, i < SEARCHERS ? searcher : writer, &shared) != 0)
      return EXIT_FAILURE;
  for (int i = 0; i <= SEARCHERS; i++) {
    pthread_join(threads[i], &fault);
    any = any ? any : fault;
  }
  vecdb_collection_release(shared.coll);
  check(vecdb_close(db, &error), &error);
  return any ? EXIT_FAILURE : EXIT_SUCCESS;
}
