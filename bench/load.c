/*
 * load.c - an open-loop load on a server: requests leave at their times whether or not answers have
 * come, and a latency counts from the time a request should have left, so that stalls are not
 * hidden.
 *
 *   load HOST PORT PATH BODIES RATE|THINKs SECONDS [CONNECTIONS [poll]]
 *   load --prepare DIR BASE.npy QUERY.npy l2|ip BODIES
 *
 * BODIES has one request body a line, sent in turn to POST PATH; the environment's LOAD_HEADER, if
 * it is set, is one more header. One thread has all connections. A request takes a free one; it
 * finds none only when all are waiting for answers, which then shows
 * in its latency, or, when it could not be sent before the end, as "unsent". RATE 0 is a closed
 * loop: each connection sends as soon as it is answered. With a time, such as 0.5s, each is a user
 * who thinks so long after each answer; they come one by one within the first half of the time.
 * With `poll` the thread never sleeps: on a
 * processor of its own, so that the server does not pay for waking it, as it would not for a client
 * on another machine.
 * --prepare makes the database that a server is then started on: BASE's rows in the collection
 * "bench" with tenant_id = row mod 10, sealed and indexed, and bodies of searches among a tenant's
 * rows; and prints the median time of the same searches in process, the server's lower bound.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench_util.h"

enum { LOAD_TENANTS = 10, LOAD_BATCH = 1000, LOAD_K = 10 };
enum { LOAD_ROOM = 64 * 1024, LOAD_EVENTS = 256 };

/* Milliseconds, in no order. */
struct load_series {
  float *ms;
  uint64_t n, room;
};

struct load_conn {
  int fd;
  size_t request; /* that it has */
  size_t sent;    /* of its bytes */
  size_t got;     /* of the answer's */
  double due;     /* when it should have left; 0: it has none */
  double ready;   /* when its user has thought */
  char *answer;   /* LOAD_ROOM bytes */
};

struct load {
  const char *host, *port;
  char **requests; /* whole: head and body */
  size_t *lengths;
  size_t n_requests;
  double rate, think, start, end;
  bool poll;
  int epoll;
  struct load_conn *conns, **idle; /* a stack of idle ones; of users who think a ring */
  unsigned n_conns, n_idle, first; /* of the ring */
  unsigned come; /* users before this one have come; the others are idle, and not in the ring */
  uint64_t next;       /* request to send */
  uint64_t answers[6]; /* by the first digit of the status; 0: none came */
  struct load_series good, refused; /* the 2xx and the 429 */
};

static void load_die(const char *what) {
  perror(what);
  exit(1);
}

static void load_connect(struct load *l, struct load_conn *c) {
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
  int one = 1;
  if (getaddrinfo(l->host, l->port, &hints, &found) != 0)
    load_die("getaddrinfo");
  c->fd = socket(found->ai_family, SOCK_STREAM, 0);
  if (c->fd < 0 || connect(c->fd, found->ai_addr, found->ai_addrlen) != 0)
    load_die("connect");
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  freeaddrinfo(found);
  if (fcntl(c->fd, F_SETFL, O_NONBLOCK) != 0 ||
      epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &event) != 0)
    load_die("epoll_ctl");
}

static void load_note(struct load_series *series, double ms) {
  if (series->n < series->room)
    series->ms[series->n++] = (float)ms;
}

static unsigned load_thinking(const struct load *l) {
  return l->n_idle - (l->n_conns - l->come);
}

/* The idle user who is ready first: of those who think, or the next to come. */
static struct load_conn *load_user(const struct load *l) {
  struct load_conn *newcomer = l->come < l->n_conns ? &l->conns[l->come] : NULL;
  struct load_conn *thinker = load_thinking(l) ? l->idle[l->first] : NULL;
  return !thinker || (newcomer && newcomer->ready < thinker->ready) ? newcomer : thinker;
}

static struct load_conn *load_take(struct load *l) {
  if (l->think <= 0)
    return l->idle[--l->n_idle];
  struct load_conn *c = load_user(l);
  if (l->come < l->n_conns && c == &l->conns[l->come])
    l->come++;
  else
    l->first = (l->first + 1) % l->n_conns;
  l->n_idle--;
  return c;
}

static void load_give(struct load *l, struct load_conn *c) {
  c->ready = bench_now() + l->think;
  l->idle[l->think > 0 ? (l->first + load_thinking(l)) % l->n_conns : l->n_idle] = c;
  l->n_idle++;
}

/* The request has its answer; status 0: the connection broke. */
static void load_answered(struct load *l, struct load_conn *c, int status) {
  double ms = (bench_now() - c->due) * 1e3;
  l->answers[status / 100 <= 5 ? status / 100 : 0]++;
  if (status / 100 == 2)
    load_note(&l->good, ms);
  if (status == 429)
    load_note(&l->refused, ms);
  c->due = 0;
  load_give(l, c);
}

/* Sends what the socket takes; what is left is sent when it takes more. */
static void load_send(struct load *l, struct load_conn *c) {
  const char *bytes = l->requests[c->request];
  size_t n = l->lengths[c->request];
  ssize_t r = 1;
  while (c->sent < n && r > 0) {
    r = send(c->fd, bytes + c->sent, n - c->sent, MSG_NOSIGNAL);
    c->sent += r > 0 ? (size_t)r : 0;
  }
}

static void load_begin(struct load *l, struct load_conn *c, double due) {
  c->request = l->next++ % l->n_requests;
  c->sent = c->got = 0;
  c->due = due;
  load_send(l, c);
}

/* Whether the answer has come whole. */
static bool load_whole(const struct load_conn *c) {
  const char *body = strstr(c->answer, "\r\n\r\n");
  const char *length = body ? strcasestr(c->answer, "Content-Length:") : NULL;
  return length && c->got >= (size_t)(body + 4 - c->answer) + strtoul(length + 15, NULL, 10);
}

static void load_serve(struct load *l, struct load_conn *c) {
  ssize_t r;
  if (c->due > 0)
    load_send(l, c);
  while ((r = recv(c->fd, c->answer + c->got, LOAD_ROOM - 1 - c->got, 0)) > 0) {
    c->got += (size_t)r;
    c->answer[c->got] = '\0';
    if (c->due > 0 && load_whole(c))
      load_answered(l, c, atoi(c->answer + 9));
  }
  if (r < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  close(c->fd);
  load_connect(l, c);
  if (c->due > 0)
    load_answered(l, c, 0);
}

/* Sends what is due; seconds until something will be. */
static double load_due(struct load *l) {
  for (;;) {
    double now = bench_now(), due = now;
    if (now >= l->end || !l->n_idle)
      return 1e-3;
    if (l->think > 0)
      due = load_user(l)->ready;
    else if (l->rate > 0)
      due = l->start + (double)l->next / l->rate;
    if (due >= l->end)
      return 1e-3;
    if (due > now)
      return due - now;
    load_begin(l, load_take(l), due);
  }
}

/* Until all that was sent is answered. */
static void load_work(struct load *l) {
  struct epoll_event events[LOAD_EVENTS];
  do {
    double seconds = load_due(l);
    /* With whole milliseconds it would spin through the rest, in the way of its neighbours. */
    const struct timespec wait = {0, l->poll ? 0 : (long)(fmin(seconds, 0.5) * 1e9)};
    int n = epoll_pwait2(l->epoll, events, LOAD_EVENTS, &wait, NULL);
    for (int i = 0; i < n; i++)
      load_serve(l, events[i].data.ptr);
  } while (bench_now() < l->end || l->n_idle < l->n_conns);
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

static double load_processor(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void load_report(struct load *l, double seconds) {
  uint64_t due = l->rate > 0 ? (uint64_t)((l->end - l->start) * l->rate) : l->next;
  printf("{\"rate\": %.0f, \"think\": %.1f, \"seconds\": %.1f, \"ok\": %llu, \"per_second\": %.1f, "
         "\"4xx\": %llu, \"5xx\": %llu, \"broken\": %llu, \"unsent\": %llu, "
         "\"own_processor_seconds\": %.2f",
         l->rate, l->think, seconds, (unsigned long long)l->answers[2],
         (double)l->answers[2] / seconds,
         (unsigned long long)l->answers[4], (unsigned long long)l->answers[5],
         (unsigned long long)l->answers[0],
         (unsigned long long)(due > l->next ? due - l->next : 0), load_processor());
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

static void load_bodies(struct load *l, const char *path, const char *file, const char *header) {
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
    char *request = malloc((size_t)n + strlen(path) + strlen(header) + 256);
    if (!l->requests || !l->lengths || !request)
      load_die("memory");
    l->requests[l->n_requests] = request;
    l->lengths[l->n_requests++] =
        (size_t)sprintf(request,
                        "POST %s HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json"
                        "\r\n%s%sContent-Length: %zd\r\n\r\n%s",
                        path, header, *header ? "\r\n" : "", n, line);
  }
  free(line);
  fclose(f);
  if (!l->n_requests)
    load_die("no bodies");
}

static void load_open(struct load *l, unsigned n) {
  l->epoll = epoll_create1(0);
  l->conns = calloc(n, sizeof *l->conns);
  l->idle = calloc(n, sizeof(struct load_conn *));
  if (l->epoll < 0 || !l->conns || !l->idle)
    load_die("memory");
  for (; l->n_conns < n; l->n_conns++) {
    struct load_conn *c = &l->conns[l->n_conns];
    c->answer = malloc(LOAD_ROOM);
    if (!c->answer)
      load_die("memory");
    load_connect(l, c);
    l->idle[l->n_idle++] = c;
  }
}

static int load_run(int argc, char **argv) {
  static struct load l;
  double seconds = strtod(argv[6], NULL);
  l.host = argv[1];
  l.port = argv[2];
  char *unit;
  l.rate = strtod(argv[5], &unit);
  if (*unit == 's') {
    l.think = l.rate;
    l.rate = 0;
  }
  const char *header = getenv("LOAD_HEADER");
  l.poll = argc > 8;
  load_bodies(&l, argv[3], argv[4], header ? header : "");
  uint64_t room = (uint64_t)(seconds * (l.rate > 0 ? l.rate : 200000)) + 1;
  load_room(&l.good, room);
  load_room(&l.refused, room);
  load_open(&l, argc > 7 ? (unsigned)strtoul(argv[7], NULL, 10) : 64);
  l.start = bench_now();
  l.end = l.start + seconds;
  for (unsigned i = 0; i < l.n_conns; i++)
    l.conns[i].ready = l.start + seconds / 2 * i / l.n_conns;
  load_work(&l);
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
  if (argc >= 7 && argc <= 9)
    return load_run(argc, argv);
  fprintf(stderr, "usage: load HOST PORT PATH BODIES RATE|THINKs SECONDS [CONNECTIONS [poll]]\n"
                  "       load --prepare DIR BASE.npy QUERY.npy l2|ip BODIES\n");
  return 2;
}
