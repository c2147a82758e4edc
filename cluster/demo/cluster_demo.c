/*
 * cluster_demo.c - the demo's passages in a cluster: written, searched, and a node killed while
 * both go on. Says how long writes and searches stood still, and holds what is there against what
 * was acknowledged. demo.sh starts the cluster.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/vecdb_client.h"
#include "examples/demo_data.h"

enum { DEMO_BATCH = 500, DEMO_SMALL = 50, DEMO_BEFORE_MS = 2000, DEMO_AFTER_MS = 6000 };

static const char demo_name[] = "passages";

/* What one of the two threads has seen. */
struct demo_seen {
  uint64_t ok, failed;
  double last, gap; /* seconds */
  double spent, longest;
};

struct demo {
  vecdb_client *client;
  struct demo_passages passages;
  struct demo_questions questions;
  int64_t *tried, *acked; /* versions, by row */
  atomic_bool stop;
  struct demo_seen writes, searches;
};

static double demo_clock(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void demo_sleep(int ms) {
  const struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
  nanosleep(&t, NULL);
}

static void demo_note(struct demo_seen *s, double began, bool ok) {
  double now = demo_clock();
  s->ok += ok;
  s->failed += !ok;
  if (!ok)
    return;
  s->gap = s->last > 0 && now - s->last > s->gap ? now - s->last : s->gap;
  s->last = now;
  s->spent += now - began;
  s->longest = now - began > s->longest ? now - began : s->longest;
}

/* ---- Writing ---- */

/* Rows first to first + n - 1 in their next version. */
static bool demo_write(struct demo *d, uint32_t first, uint32_t n, vecdb_error *e) {
  int64_t ids[DEMO_BATCH], versions[DEMO_BATCH];
  for (uint32_t i = 0; i < n; i++) {
    ids[i] = first + i;
    versions[i] = ++d->tried[first + i];
  }
  const struct demo_passages *p = &d->passages;
  const vecdb_column columns[] = {
      {.field = "id", .data = ids},
      {.field = "version", .data = versions},
      {.field = "package", .data = p->package + first, .stride = sizeof *p->package},
      {.field = "text", .data = p->text + first, .stride = sizeof *p->text},
      {.field = "embedding", .data = p->vectors + (size_t)first * p->dim, .dim = p->dim}};
  vecdb_batch batch = VECDB_BATCH_INIT;
  batch.columns = columns;
  batch.n_columns = sizeof columns / sizeof *columns;
  batch.n_rows = n;
  if (vecdb_client_upsert(d->client, demo_name, &batch, NULL, e))
    return false;
  for (uint32_t i = 0; i < n; i++)
    d->acked[first + i] = versions[i];
  return true;
}

static void *demo_writer(void *arg) {
  struct demo *d = arg;
  for (uint32_t at = 0; !d->stop; at = (at + DEMO_SMALL) % (d->passages.n - DEMO_SMALL)) {
    double began = demo_clock();
    demo_note(&d->writes, began, demo_write(d, at, DEMO_SMALL, NULL));
  }
  return NULL;
}

static bool demo_ingest(struct demo *d) {
  vecdb_error e = {0};
  double began = demo_clock();
  for (uint32_t at = 0; at < d->passages.n; at += DEMO_BATCH) {
    uint32_t left = d->passages.n - at;
    if (!demo_write(d, at, left < DEMO_BATCH ? left : DEMO_BATCH, &e)) {
      fprintf(stderr, "writing: %s\n", e.message);
      return false;
    }
  }
  double s = demo_clock() - began;
  printf("wrote %u passages in %.1f s (%.0f rows/s), each on three disks\n", d->passages.n, s,
         d->passages.n / s);
  return true;
}

/* ---- Searching ---- */

static vecdb_client_answer *demo_search(struct demo *d, uint32_t question, int level) {
  static const char *const fields[] = {"package", "text"};
  vecdb_search_params p = VECDB_SEARCH_PARAMS_INIT;
  vecdb_client_call call = VECDB_CLIENT_CALL_INIT;
  vecdb_client_answer *answer = NULL;
  vecdb_error e = {0};
  p.k = 10;
  p.queries = d->questions.vectors + (size_t)question * d->questions.dim;
  p.n_queries = 1;
  p.fields = fields;
  p.n_fields = 2;
  call.level = level;
  if (vecdb_client_search(d->client, demo_name, &p, &call, &answer, &e))
    fprintf(stderr, "searching: %s\n", e.message);
  return answer;
}

static void *demo_searcher(void *arg) {
  struct demo *d = arg;
  for (uint32_t q = 0; !d->stop; q = (q + 1) % d->questions.n) {
    double began = demo_clock();
    vecdb_client_answer *answer = demo_search(d, q, VECDB_CLIENT_LOCAL);
    demo_note(&d->searches, began, answer && vecdb_client_answer_rows(answer, 0) == 10);
    vecdb_client_answer_free(answer);
    demo_sleep(10);
  }
  return NULL;
}

static bool demo_show(struct demo *d) {
  for (uint32_t q = 0; q < 3 && q < d->questions.n; q++) {
    vecdb_client_answer *answer = demo_search(d, q, VECDB_CLIENT_STRONG);
    if (!answer)
      return false;
    vecdb_value name = vecdb_client_answer_value(answer, 0, 0, "package");
    printf("  \"%s\" -> %.*s\n", d->questions.text[q], (int)name.length,
           (const char *)name.as.data);
    vecdb_client_answer_free(answer);
  }
  return true;
}

/* ---- A node is killed ---- */

static bool demo_kill(struct demo *d, const char *pid_file, const char *again) {
  pthread_t writer, searcher;
  int pid = 0;
  FILE *f = fopen(pid_file, "r");
  bool found = f && fscanf(f, "%d", &pid) == 1 && pid > 1;
  if (f)
    fclose(f);
  if (!found || pthread_create(&writer, NULL, demo_writer, d))
    return false;
  bool searches = pthread_create(&searcher, NULL, demo_searcher, d) == 0;
  demo_sleep(DEMO_BEFORE_MS);
  printf("kill -9 of a node that leads, while rows are written and searched\n");
  fflush(stdout);
  kill(pid, SIGKILL);
  demo_sleep(DEMO_AFTER_MS / 2);
  bool restarted = system(again) == 0;
  demo_sleep(DEMO_AFTER_MS / 2);
  d->stop = true;
  pthread_join(writer, NULL);
  if (searches)
    pthread_join(searcher, NULL);
  printf("writes:   %llu batches acknowledged, %llu failed; longest gap between two %.2f s\n",
         (unsigned long long)d->writes.ok, (unsigned long long)d->writes.failed, d->writes.gap);
  printf("searches: %llu answered, %llu failed; longest gap %.2f s, slowest %.2f s, mean %.1f ms\n",
         (unsigned long long)d->searches.ok, (unsigned long long)d->searches.failed,
         d->searches.gap, d->searches.longest,
         1000 * d->searches.spent / (d->searches.ok ? (double)d->searches.ok : 1));
  return restarted && searches;
}

/* ---- What is there ---- */

static bool demo_check(struct demo *d) {
  static const char *const names[] = {"version"};
  const vecdb_client_fields fields = {names, 1};
  vecdb_client_call call = VECDB_CLIENT_CALL_INIT;
  uint64_t lost = 0, old = 0, strange = 0;
  call.level = VECDB_CLIENT_STRONG;
  for (uint32_t at = 0; at < d->passages.n; at += DEMO_BATCH) {
    int64_t ids[DEMO_BATCH];
    uint32_t n = d->passages.n - at < DEMO_BATCH ? d->passages.n - at : DEMO_BATCH;
    for (uint32_t i = 0; i < n; i++)
      ids[i] = at + i;
    const vecdb_keys keys = {ids, NULL, n};
    vecdb_client_answer *answer = NULL;
    vecdb_error e = {0};
    if (vecdb_client_get(d->client, demo_name, &keys, &fields, &call, &answer, &e)) {
      fprintf(stderr, "reading: %s\n", e.message);
      return false;
    }
    for (uint32_t i = 0, row = 0; i < n; i++) {
      if (!vecdb_client_answer_found(answer, i)) {
        lost++;
        continue;
      }
      int64_t version = vecdb_client_answer_value(answer, 0, row++, "version").as.integer;
      old += version < d->acked[at + i];
      strange += version > d->tried[at + i];
    }
    vecdb_client_answer_free(answer);
  }
  printf("of %u acknowledged rows %llu are lost, %llu are older than acknowledged, %llu newer than "
         "written\n",
         d->passages.n, (unsigned long long)lost, (unsigned long long)old,
         (unsigned long long)strange);
  return !lost && !old && !strange;
}

int main(int argc, char **argv) {
  struct demo d = {0};
  vecdb_client_options o = VECDB_CLIENT_OPTIONS_INIT;
  vecdb_error e = {0};
  if (argc != 6) {
    fprintf(stderr, "usage: cluster_demo DATA NODES CLUSTER PID-FILE RESTART\n");
    return 2;
  }
  if (!demo_passages_read(argv[1], &d.passages) || !demo_questions_read(argv[1], &d.questions))
    return 1;
  o.nodes = argv[2];
  o.cluster = argv[3];
  d.tried = calloc(d.passages.n, sizeof *d.tried);
  d.acked = calloc(d.passages.n, sizeof *d.acked);
  if (!d.tried || !d.acked || vecdb_client_open(&o, &d.client, &e)) {
    fprintf(stderr, "%s\n", *e.message ? e.message : "out of memory");
    return 1;
  }
  bool ok = demo_ingest(&d) && demo_show(&d) && demo_kill(&d, argv[4], argv[5]) && demo_check(&d);
  vecdb_client_close(d.client);
  demo_passages_free(&d.passages);
  demo_questions_free(&d.questions);
  free(d.tried);
  free(d.acked);
  return !ok;
}
