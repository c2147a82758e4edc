/*
 * cluster.c - searches of a running cluster by the client library: rows are written to collections
 * that are there, and each is searched by one caller after the other query, with the processor time
 * of the client and of the nodes. Usage: cluster NODES CLUSTER BASE QUERY ROWS PIDS COLLECTION...,
 * where PIDS are the nodes' processes, with commas between. cluster.sh makes all of it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/npy.h"
#include "client/vecdb_client.h"

enum { CLUSTER_BATCH = 1000, CLUSTER_K = 10, CLUSTER_ROUNDS = 2 };

static double cluster_clock(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void cluster_must(int code, const vecdb_error *error) {
  if (!code)
    return;
  fprintf(stderr, "cluster: %s (%d %s)\n", error->message, code, vecdb_client_code_name(code));
  exit(1);
}

/* Seconds of processor time of a process, from its stat. */
static double cluster_process(long pid) {
  char path[64], text[1024];
  unsigned long user = 0, system = 0;
  snprintf(path, sizeof path, "/proc/%ld/stat", pid);
  FILE *f = fopen(path, "r");
  size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
  if (f)
    fclose(f);
  text[n] = 0;
  char *after = strrchr(text, ')');
  if (!after ||
      sscanf(after + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
    return 0;
  return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static double cluster_nodes(const char *pids) {
  double sum = 0;
  for (char *end; *pids; pids = *end ? end + 1 : end)
    sum += cluster_process(strtol(pids, &end, 10));
  return sum;
}

static void cluster_write(vecdb_client *client, const char *name, const struct npy *base,
                          size_t rows) {
  static int64_t ids[CLUSTER_BATCH];
  float *vectors = malloc(CLUSTER_BATCH * base->columns * sizeof *vectors);
  vecdb_error error;
  for (size_t from = 0; vectors && from < rows; from += CLUSTER_BATCH) {
    size_t n = rows - from < CLUSTER_BATCH ? rows - from : CLUSTER_BATCH;
    for (size_t i = 0; i < n; i++) {
      ids[i] = (int64_t)(from + i);
      npy_floats(base, from + i, vectors + i * base->columns);
    }
    const vecdb_column columns[] = {
        {.field = "id", .data = ids},
        {.field = "v", .data = vectors, .dim = (uint32_t)base->columns}};
    const vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 2, (uint32_t)n};
    cluster_must(vecdb_client_upsert(client, name, &batch, NULL, &error), &error);
  }
  free(vectors);
}

static void cluster_search(vecdb_client *client, const char *name, const struct npy *query,
                           const char *pids) {
  float *vector = malloc(query->columns * sizeof *vector);
  vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
  vecdb_error error;
  uint32_t shards = 0;
  size_t searches = 0;
  double wall = 0, own = 0, nodes = 0;
  params.queries = vector;
  params.k = CLUSTER_K;
  for (int round = 0; vector && round < CLUSTER_ROUNDS; round++) {
    wall = cluster_clock(CLOCK_MONOTONIC);
    own = cluster_clock(CLOCK_PROCESS_CPUTIME_ID);
    nodes = cluster_nodes(pids);
    for (searches = 0; searches < query->rows; searches++) {
      vecdb_client_answer *answer;
      npy_floats(query, searches, vector);
      cluster_must(vecdb_client_search(client, name, &params, NULL, &answer, &error), &error);
      vecdb_client_answer_partial(answer, NULL, &shards);
      vecdb_client_answer_free(answer);
    }
    wall = cluster_clock(CLOCK_MONOTONIC) - wall;
    own = cluster_clock(CLOCK_PROCESS_CPUTIME_ID) - own;
    nodes = cluster_nodes(pids) - nodes;
  }
  double n = (double)searches;
  printf(
      "{\"collection\": \"%s\", \"shards\": %u, \"qps\": %.0f, \"client_us\": %.0f, "
      "\"nodes_us\": %.0f}\n",
      name, shards, n / wall, own / n * 1e6, nodes / n * 1e6);
  free(vector);
}

int main(int argc, char **argv) {
  vecdb_client_options options = VECDB_CLIENT_OPTIONS_INIT;
  vecdb_client *client;
  vecdb_error error;
  if (argc < 8) {
    fprintf(stderr, "usage: %s NODES CLUSTER BASE QUERY ROWS PIDS COLLECTION...\n", argv[0]);
    return 2;
  }
  options.nodes = argv[1];
  options.cluster = argv[2];
  cluster_must(vecdb_client_open(&options, &client, &error), &error);
  struct npy base = npy_open(argv[3]), query = npy_open(argv[4]);
  size_t rows = strtoul(argv[5], NULL, 10);
  rows = rows && rows < base.rows ? rows : base.rows;
  for (int i = 7; i < argc; i++)
    cluster_write(client, argv[i], &base, rows);
  for (int i = 7; i < argc; i++)
    cluster_search(client, argv[i], &query, argv[6]);
  vecdb_client_close(client);
  return 0;
}
