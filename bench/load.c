/*
 * load.c - an open-loop load on a server: requests leave at their times whether or not answers have
 * come, and a latency counts from the time a request should have left, so that stalls are not
 * hidden.
 *
 *   load HOST PORT PATH BODIES RATE SECONDS [CONNECTIONS]
 *   load --prepare DIR BASE.npy QUERY.npy l2|ip BODIES
 *
 * BODIES has one request body a line, sent in turn to POST PATH. Each connection is a thread that
 * takes the next request when it is free; a request finds none only when all are waiting, which
 * then shows in its latency. RATE 0 is a closed loop: each connection sends as soon as it is
 * answered.
 * --prepare makes the database that a server is then started on: BASE's rows in the collection
 * "bench" with tenant_id = row mod 10, sealed and indexed, and bodies of searches among a tenant's
 * rows; and prints the median time of the same searches in process, the server's lower bound.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench_util.h"

enum { LOAD_CONNECTIONS = 1024, LOAD_TENANTS = 10, LOAD_BATCH = 1000, LOAD_K = 10 };

/* Milliseconds, in no order. */
struct load_series {
  float *ms;
  _Atomic uint64_t n;
  uint64_t room;
};

struct load {
  const char *host, *port;
  char **requests; /* whole: head and body */
  size_t *lengths;
  size_t n_requests;
  double rate, start, end;
  _Atomic uint64_t next;       /* request to send */
  _Atomic uint64_t answers[6]; /* by the first digit of the status; 0: none came */
  struct load_series good, refused; /* the 2xx and the 429 */
};

static void load_die(const char *what) {
  perror(what);
  exit(1);
}

static int load_connect(const struct load *l) {
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
  int one = 1;
  if (getaddrinfo(l->host, l->port, &hints, &found) != 0)
    load_die("getaddrinfo");
  int fd = socket(found->ai_family, SOCK_STREAM, 0);
  if (fd < 0 || connect(fd, found->ai_addr, found->ai_addrlen) != 0)
    load_die("connect");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  freeaddrinfo(found);
  return fd;
}

/* Sends one request and reads its answer; the status, or 0 when the connection broke. */
static int load_ask(int fd, const char *request, size_t n, char *buffer, size_t room) {
  for (size_t sent = 0; sent < n;) {
    ssize_t r = send(fd, request + sent, n - sent, MSG_NOSIGNAL);
    if (r <= 0)
      return 0;
    sent += (size_t)r;
  }
  size_t got = 0, wanted = room;
  while (got < wanted) {
    ssize_t r = recv(fd, buffer + got, room - 1 - got, 0);
    if (r <= 0)
      return 0;
    got += (size_t)r;
    buffer[got] = '\0';
    char *body = strstr(buffer, "\r\n\r\n");
    char *length = body ? strcasestr(buffer, "Content-Length:") : NULL;
    if (length)
      wanted = (size_t)(body + 4 - buffer) + strtoul(length + 15, NULL, 10);
    if (wanted >= room)
      return 0;
  }
  return atoi(buffer + 9);
}

static void load_sleep_until(double when) {
  struct timespec t = {(time_t)when, (long)((when - (double)(time_t)when) * 1e9)};
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static void load_note(struct load_series *series, double ms) {
  uint64_t at = atomic_fetch_add(&series->n, 1);
  if (at < series->room)
    series->ms[at] = (float)ms;
}

static void *load_work(void *arg) {
  struct load *l = arg;
  enum { ROOM = 1 << 20 };
  char *buffer = malloc(ROOM);
  int fd = load_connect(l);
  for (;;) {
    uint64_t i = atomic_fetch_add(&l->next, 1);
    double due = l->rate > 0 ? l->start + (double)i / l->rate : bench_now();
    if (due >= l->end || !buffer)
      break;
    if (l->rate > 0)
      load_sleep_until(due);
    size_t which = i % l->n_requests;
    int status = load_ask(fd, l->requests[which], l->lengths[which], buffer, ROOM);
    double ms = (bench_now() - due) * 1e3;
    atomic_fetch_add(&l->answers[status / 100 <= 5 ? status / 100 : 0], 1);
    if (status / 100 == 2)
      load_note(&l->good, ms);
    if (status == 429)
      load_note(&l->refused, ms);
    if (status == 0) {
      close(fd);
      fd = load_connect(l);
    }
  }
  close(fd);
  free(buffer);
  return NULL;
}

static int load_compare(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

static void load_print(struct load_series *series, const char *name) {
  static const double shares[] = {0.5, 0.9, 0.99, 0.999, 1};
  uint64_t n = series->n < series->room ? series->n : series->room;
  qsort(series->ms, n, sizeof *series->ms, load_compare);
  printf(", \"%s\": {", name);
  for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++)
    printf("%s\"p%g\": %.3f", i ? ", " : "", shares[i] * 100,
           n ? (double)series->ms[(uint64_t)(shares[i] * (double)(n - 1))] : 0.0);
  printf("}");
}

static void load_report(struct load *l, double seconds) {
  printf("{\"rate\": %.0f, \"seconds\": %.1f, \"ok\": %llu, \"per_second\": %.1f, \"4xx\": %llu, "
         "\"5xx\": %llu, \"broken\": %llu",
         l->rate, seconds, (unsigned long long)l->answers[2], (double)l->answers[2] / seconds,
         (unsigned long long)l->answers[4], (unsigned long long)l->answers[5],
         (unsigned long long)l->answers[0]);
  if (l->refused.n)
    load_print(&l->refused, "refused_ms");
  load_print(&l->good, "ms");
  printf("}\n");
}

static void load_room(struct load_series *series, uint64_t room) {
  series->room = room;
  series->ms = calloc(room, sizeof *series->ms);
  if (!series->ms)
    load_die("memory");
}

static void load_bodies(struct load *l, const char *path, const char *file) {
  FILE *f = fopen(file, "r");
  char *line = NULL;
  size_t size = 0, room = 0;
  ssize_t n;
  if (!f)
    load_die(file);
  while ((n = getline(&line, &size, f)) > 0) {
    if (l->n_requests == room) {
      room = room ? 2 * room : 256;
      l->requests = realloc(l->requests, room * sizeof *l->requests);
      l->lengths = realloc(l->lengths, room * sizeof *l->lengths);
    }
    char *request = malloc((size_t)n + strlen(path) + 256);
    if (!l->requests || !l->lengths || !request)
      load_die("memory");
    l->requests[l->n_requests] = request;
    l->lengths[l->n_requests++] =
        (size_t)sprintf(request,
                        "POST %s HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json"
                        "\r\nContent-Length: %zd\r\n\r\n%s",
                        path, n, line);
  }
  free(line);
  fclose(f);
  if (!l->n_requests)
    load_die("no bodies");
}

static int load_run(int argc, char **argv) {
  static struct load l;
  static pthread_t threads[LOAD_CONNECTIONS];
  double seconds = strtod(argv[6], NULL);
  unsigned n = argc > 7 ? (unsigned)atoi(argv[7]) : 64;
  n = n < LOAD_CONNECTIONS ? n : LOAD_CONNECTIONS;
  l.host = argv[1];
  l.port = argv[2];
  l.rate = strtod(argv[5], NULL);
  load_bodies(&l, argv[3], argv[4]);
  uint64_t room = (uint64_t)(seconds * (l.rate > 0 ? l.rate : 200000)) + 1;
  load_room(&l.good, room);
  load_room(&l.refused, room);
  l.start = bench_now() + 0.1;
  l.end = l.start + seconds;
  for (unsigned i = 0; i < n; i++)
    if (pthread_create(&threads[i], NULL, load_work, &l) != 0)
      load_die("pthread_create");
  for (unsigned i = 0; i < n; i++)
    pthread_join(threads[i], NULL);
  load_report(&l, bench_now() - l.start);
  return 0;
}

/* ---- --prepare ------------------------------------------------------------------------------- */

static vecdb_collection *prepare_collection(vecdb *db, const struct npy *base, int32_t metric) {
  vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = "tenant_id", .type = VECDB_INT64},
      {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = (uint32_t)base->columns, .metric = metric},
  };
  vecdb_schema schema = VECDB_SCHEMA_INIT;
  vecdb_collection *out;
  vecdb_error error;
  schema.fields = fields;
  schema.n_fields = 3;
  bench_check(vecdb_collection_create(db, "bench", &schema, &out, &error), "create", &error);
  int64_t ids[LOAD_BATCH], tenants[LOAD_BATCH];
  float *vectors = malloc(LOAD_BATCH * base->columns * sizeof *vectors);
  for (size_t at = 0; vectors && at < base->rows; at += LOAD_BATCH) {
    size_t n = base->rows - at < LOAD_BATCH ? base->rows - at : LOAD_BATCH;
    for (size_t i = 0; i < n; i++) {
      ids[i] = (int64_t)(at + i);
      tenants[i] = ids[i] % LOAD_TENANTS;
      npy_floats(base, at + i, vectors + i * base->columns);
    }
    vecdb_column columns[] = {{.field = "id", .data = ids},
                              {.field = "tenant_id", .data = tenants},
                              {.field = "v", .data = vectors}};
    vecdb_batch batch = VECDB_BATCH_INIT;
    batch.columns = columns;
    batch.n_columns = 3;
    batch.n_rows = (uint32_t)n;
    bench_check(vecdb_insert(out, &batch, NULL, &error), "insert", &error);
  }
  free(vectors);
  bench_check(vecdb_compact(out, NULL, &error), "compact", &error);
  return out;
}

/* One search as the server would make it; milliseconds. */
static double prepare_ask(vecdb_collection *collection, const float *query, int64_t tenant) {
  vecdb_param param = {"t", {.type = VECDB_INT64, .as.integer = tenant}};
  vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
  vecdb_hit hits[LOAD_K];
  uint32_t count;
  vecdb_error error;
  params.k = LOAD_K;
  params.queries = query;
  params.filter = (vecdb_filter){"tenant_id == {t}", 0, &param, 1};
  double start = bench_now();
  bench_check(vecdb_search(collection, &params, hits, &count, NULL, NULL, &error), "search",
              &error);
  return (bench_now() - start) * 1e3;
}

static int load_prepare(char **argv) {
  struct npy base = npy_open(argv[3]), queries = npy_open(argv[4]);
  vecdb_options options = VECDB_OPTIONS_INIT;
  vecdb_error error;
  vecdb *db;
  options.durability = VECDB_DURABLE_OFF;
  options.seal_rows = (uint32_t)base.rows;
  options.seal_bytes = options.wal_bytes = UINT64_MAX;
  bench_check(vecdb_open(argv[2], &options, &db, &error), "open", &error);
  int32_t metric = strcmp(argv[5], "ip") == 0 ? VECDB_IP : VECDB_L2;
  vecdb_collection *collection = prepare_collection(db, &base, metric);
  FILE *out = fopen(argv[6], "w");
  size_t n = queries.rows < 1000 ? queries.rows : 1000;
  float *query = malloc(queries.columns * sizeof *query), *ms = calloc(n, sizeof *ms);
  if (!out || !query || !ms)
    load_die(argv[6]);
  for (size_t q = 0; q < n; q++) {
    npy_floats(&queries, q, query);
    fprintf(out,
            "{\"top_k\": %d, \"filter\": \"tenant_id == {t}\", \"params\": {\"t\": %zu}, "
            "\"vector\": [",
            LOAD_K, q % LOAD_TENANTS);
    for (size_t i = 0; i < queries.columns; i++)
      fprintf(out, "%s%.6g", i ? "," : "", (double)query[i]);
    fprintf(out, "]}\n");
    ms[q] = (float)prepare_ask(collection, query, (int64_t)(q % LOAD_TENANTS));
  }
  fclose(out);
  qsort(ms, n, sizeof *ms, load_compare);
  printf("{\"in_process_ms\": {\"p50\": %.3f, \"p99\": %.3f}}\n", (double)ms[n / 2],
         (double)ms[n * 99 / 100]);
  free(query);
  free(ms);
  vecdb_collection_release(collection);
  bench_check(vecdb_close(db, &error), "close", &error);
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 7 && strcmp(argv[1], "--prepare") == 0)
    return load_prepare(argv);
  if (argc == 7 || argc == 8)
    return load_run(argc, argv);
  fprintf(stderr, "usage: load HOST PORT PATH BODIES RATE SECONDS [CONNECTIONS]\n"
                  "       load --prepare DIR BASE.npy QUERY.npy l2|ip BODIES\n");
  return 2;
}
