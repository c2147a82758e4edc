/*
 * scale.c - searches of a cluster of up to 1,000 nodes, simulated: what a router and a shard take
 * is drawn from what was measured, what happens between is played event by event. Usage: scale
 * [MS_FIXED MS_PER_1000_ROWS [ROWS_PER_SHARD [FILE]]], where FILE has measured times of searches of
 * one shard, in microseconds, one a line, whose spread around their median is taken for that of all
 * shards.
 *
 * Each shard is on a node of its own, with a second replica on the next one; a node has CORES
 * processors and serves what comes first first. Each query has a router of its own node, of which
 * one processor is used. Second copies go out as the router's do: when a shard takes longer than
 * the 95th percentile, at most for one message in twenty.
 */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CORES = 2, SPREAD = 1001, NODES_MOST = 1000, TASKS = 1000000 };

/* ---- What was measured: bench/RESULTS-SERVER.md ---- */

/* Processor time of the router for a search of so many shards (build/bench/route). Beyond the last
   one the line through the last two goes on. */
static const double scale_router[][2] = {{1, 2.3},  {2, 4.4},   {3, 6.9},
                                         {4, 10.4}, {16, 51.0}, {64, 265.0}};

/* Processor time of one shard for a search, and rows in it, with 20,000 rows in 1 to 4 shards
   (bench/cluster.sh): all nodes' time by shards. */
static const double scale_shard[][2] = {{20000, 3410}, {10000, 1720}, {6667, 1290}, {5000, 980}};

/* How far the slowest are from the median, where no file says it, as the logarithm's deviation; and
   the way of a message: neither was measured between machines. */
static const double scale_deviation = 0.35, scale_way_us = 60, scale_way_deviation = 0.6;

/* Shards of 16 by nearness that a search asks for a recall of .951 (build/bench/route). */
static const double scale_asked = 7.68 / 16;

static double router_us(double shards) {
  size_t last = sizeof scale_router / sizeof *scale_router - 1, i = 1;
  while (i < last && scale_router[i][0] < shards)
    i++;
  const double *a = scale_router[i - 1], *b = scale_router[i];
  double slope = log(b[1] / a[1]) / log(b[0] / a[0]);
  return a[1] * pow(shards / a[0], slope);
}

/* ---- Chance ---- */

static uint64_t chance_state = 88172645463325252u;

static double chance(void) {
  chance_state ^= chance_state << 13;
  chance_state ^= chance_state >> 7;
  chance_state ^= chance_state << 17;
  return ((double)(chance_state >> 11) + 0.5) / 9007199254740992.0;
}

static double chance_normal(void) {
  return sqrt(-2 * log(chance())) * cos(2 * 3.14159265358979 * chance());
}

/* ---- A cluster ---- */

struct setup {
  uint32_t shards;
  uint32_t asked;  /* of them, by a query */
  double shard_us; /* the median of one */
  double spread[SPREAD]; /* factors of it, ascending */
  uint32_t nodes;  /* 0: as many as shards */
  bool hedged;
};

enum kind { ARRIVE, REACH, DONE, BACK, LOOK };

struct event {
  double at;
  enum kind kind;
  uint32_t task; /* a message to a shard; of ARRIVE nothing */
};

struct task {
  uint32_t query;
  uint32_t node;
  uint32_t shard;
  uint32_t twin; /* the second copy, or what this is one of; 0: none */
  bool answered;
};

struct query {
  double began;
  uint32_t open;
};

struct node {
  uint32_t busy;
  uint32_t first, n, room; /* tasks that wait, as a ring */
  uint32_t *waits;
};

struct world {
  const struct setup *s;
  struct event *heap;
  uint32_t n_heap, room_heap;
  struct task *tasks;
  uint32_t n_tasks, hedges;
  struct query *queries;
  uint32_t n_queries, done;
  double *took;
  struct node nodes[NODES_MOST];
  double rate, now, late_us; /* queries a microsecond; when a second copy is sent */
  double busy_us;
};

static void *must(void *p) {
  if (!p) {
    fputs("scale: out of memory\n", stderr);
    exit(1);
  }
  return p;
}

static void world_add(struct world *w, double at, enum kind kind, uint32_t task) {
  if (w->n_heap == w->room_heap) {
    w->room_heap = w->room_heap ? 2 * w->room_heap : 1024;
    w->heap = must(realloc(w->heap, w->room_heap * sizeof *w->heap));
  }
  uint32_t i = w->n_heap++;
  while (i && w->heap[(i - 1) / 2].at > at) {
    w->heap[i] = w->heap[(i - 1) / 2];
    i = (i - 1) / 2;
  }
  w->heap[i] = (struct event){at, kind, task};
}

static struct event world_next(struct world *w) {
  struct event first = w->heap[0], last = w->heap[--w->n_heap];
  uint32_t i = 0;
  for (uint32_t child; (child = 2 * i + 1) < w->n_heap; i = child) {
    child += child + 1 < w->n_heap && w->heap[child + 1].at < w->heap[child].at;
    if (w->heap[child].at >= last.at)
      break;
    w->heap[i] = w->heap[child];
  }
  w->heap[i] = last;
  return first;
}

static double world_way(void) { return scale_way_us * exp(scale_way_deviation * chance_normal()); }

static uint32_t world_nodes(const struct setup *s) { return s->nodes ? s->nodes : s->shards; }

static void world_serve(struct world *w, uint32_t task) {
  double us = w->s->shard_us * w->s->spread[(size_t)(chance() * SPREAD)];
  w->nodes[w->tasks[task].node].busy++;
  w->busy_us += us;
  world_add(w, w->now + us, DONE, task);
}

static void world_reach(struct world *w, uint32_t task) {
  struct node *n = &w->nodes[w->tasks[task].node];
  if (n->busy < CORES) {
    world_serve(w, task);
    return;
  }
  if (n->n == n->room) {
    uint32_t room = n->room ? 2 * n->room : 16;
    uint32_t *waits = must(malloc(room * sizeof *waits));
    for (uint32_t i = 0; i < n->n; i++)
      waits[i] = n->waits[(n->first + i) % n->room];
    free(n->waits);
    n->waits = waits;
    n->room = room;
    n->first = 0;
  }
  n->waits[(n->first + n->n++) % n->room] = task;
}

static void world_send(struct world *w, double at, uint32_t query, uint32_t shard, uint32_t twin) {
  uint32_t t = w->n_tasks++, nodes = world_nodes(w->s);
  w->tasks[t] = (struct task){query, (shard + (twin != 0)) % nodes, shard, twin, false};
  if (twin)
    w->tasks[twin].twin = t;
  world_add(w, at + world_way(), REACH, t);
  if (!twin && w->s->hedged && nodes > 1 && w->late_us > 0)
    world_add(w, at + w->late_us, LOOK, t);
}

/* A query: the shards it asks are in a row from a random one, each as likely as the others. Half of
   the router's time is before the first message has left, half behind the last answer. */
static void world_arrive(struct world *w) {
  uint32_t q = w->n_queries++, first = (uint32_t)(chance() * w->s->shards);
  double us = router_us(w->s->asked) / 2 / w->s->asked;
  w->queries[q] = (struct query){w->now, w->s->asked};
  for (uint32_t i = 0; i < w->s->asked; i++)
    world_send(w, w->now + us * (i + 1), q, (first + i) % w->s->shards, 0);
}

static void world_done(struct world *w, uint32_t task) {
  struct node *n = &w->nodes[w->tasks[task].node];
  n->busy--;
  world_add(w, w->now + world_way(), BACK, task);
  if (!n->n)
    return;
  uint32_t next = n->waits[n->first];
  n->first = (n->first + 1) % n->room;
  n->n--;
  world_serve(w, next);
}

static void world_back(struct world *w, uint32_t task) {
  struct task *t = &w->tasks[task];
  struct query *q = &w->queries[t->query];
  if (t->answered)
    return;
  t->answered = true;
  if (t->twin)
    w->tasks[t->twin].answered = true;
  if (!--q->open)
    w->took[w->done++] = w->now - q->began + router_us(w->s->asked) / 2;
}

static void world_look(struct world *w, uint32_t task) {
  const struct task *t = &w->tasks[task];
  if (t->answered || w->hedges * 20 >= w->n_tasks)
    return;
  w->hedges++;
  world_send(w, w->now, t->query, t->shard, task);
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

struct outcome {
  double p50_ms, p99_ms, busy; /* share of the processors' time */
};

/* So many queries, at such a rate; the first tenth warms up. */
static struct outcome scale_run(const struct setup *s, double per_second, double late_us) {
  struct world *w = must(calloc(1, sizeof *w));
  uint32_t queries = TASKS / s->asked < 50000 ? TASKS / s->asked : 50000;
  w->s = s;
  w->rate = per_second / 1e6;
  w->late_us = late_us;
  w->tasks = must(calloc((size_t)queries * s->asked * 2 + 1, sizeof *w->tasks));
  w->queries = must(calloc(queries, sizeof *w->queries));
  w->took = must(calloc(queries, sizeof *w->took));
  w->n_tasks = 1; /* 0 is none */
  world_add(w, 0, ARRIVE, 0);
  while (w->n_heap) {
    struct event e = world_next(w);
    w->now = e.at;
    switch (e.kind) {
      case ARRIVE:
        world_arrive(w);
        if (w->n_queries < queries)
          world_add(w, w->now - log(chance()) / w->rate, ARRIVE, 0);
        break;
      case REACH: world_reach(w, e.task); break;
      case DONE: world_done(w, e.task); break;
      case BACK: world_back(w, e.task); break;
      case LOOK: world_look(w, e.task); break;
    }
  }
  uint32_t n = w->done - w->done / 10;
  qsort(w->took + w->done / 10, n, sizeof *w->took, compare);
  const double *took = w->took + w->done / 10;
  struct outcome o = {took[n / 2] / 1e3, took[(size_t)(n * 0.99)] / 1e3,
                      w->busy_us / (w->now * CORES * world_nodes(s))};
  for (uint32_t i = 0; i < NODES_MOST; i++)
    free(w->nodes[i].waits);
  free(w->heap);
  free(w->tasks);
  free(w->queries);
  free(w->took);
  free(w);
  return o;
}

/* ---- Tables ---- */

/* What a shard takes, from the measured ones: a line by least squares. */
static void scale_fit(double *fixed_us, double *row_us) {
  double n = 0, x = 0, y = 0, xx = 0, xy = 0;
  for (size_t i = 0; i < sizeof scale_shard / sizeof *scale_shard; i++) {
    n++;
    x += scale_shard[i][0];
    y += scale_shard[i][1];
    xx += scale_shard[i][0] * scale_shard[i][0];
    xy += scale_shard[i][0] * scale_shard[i][1];
  }
  *row_us = (n * xy - x * y) / (n * xx - x * x);
  *fixed_us = (y - *row_us * x) / n;
}

/* What was measured beside the line through it. */
static void scale_check(void) {
  double fixed, row;
  scale_fit(&fixed, &row);
  printf("measured beside the model: %.0f us + %.4f us a row, of one processor\n\n", fixed, row);
  puts("| shards of 20,000 rows | a shard, measured, us | model | all and router, measured, ms"
       " | model |\n| --- | --- | --- | --- | --- |");
  for (int i = 0; i < 4; i++) {
    double model = fixed + row * scale_shard[i][0], all = (i + 1) * model + router_us(i + 1);
    printf("| %d | %.0f | %.0f | %.2f | %.2f |\n", i + 1, scale_shard[i][1], model,
           ((i + 1) * scale_shard[i][1] + router_us(i + 1)) / 1e3, all / 1e3);
  }
}

static void scale_spread(struct setup *s, const char *path) {
  FILE *f = path ? fopen(path, "r") : NULL;
  double *us = NULL, x;
  size_t n = 0;
  while (f && fscanf(f, "%lf", &x) == 1) {
    us = must(realloc(us, (n + 1) * sizeof *us));
    us[n++] = x;
  }
  if (f)
    fclose(f);
  if (path && n < 100) {
    fprintf(stderr, "scale: %s has fewer than 100 times\n", path);
    exit(1);
  }
  for (size_t i = 0; i < SPREAD; i++)
    s->spread[i] = exp(scale_deviation * chance_normal());
  if (n) {
    qsort(us, n, sizeof *us, compare);
    for (size_t i = 0; i < SPREAD; i++)
      s->spread[i] = us[i * (n - 1) / (SPREAD - 1)] / us[n / 2];
  }
  qsort(s->spread, SPREAD, sizeof *s->spread, compare);
  free(us);
}

/* Queries a second at which the processors of the nodes would have nothing left. */
static double scale_most(const struct setup *s) {
  double mean = 0;
  for (size_t i = 0; i < SPREAD; i++)
    mean += s->spread[i] / SPREAD;
  return world_nodes(s) * CORES / (s->asked * s->shard_us * mean) * 1e6;
}

static void scale_line(const struct setup *s, double one) {
  double most = scale_most(s);
  double late_us = s->spread[SPREAD * 95 / 100] * s->shard_us + 2 * scale_way_us;
  struct outcome o = scale_run(s, most / 2, late_us);
  /* A query's router takes a processor, of which every node has CORES. */
  double router = router_us(s->asked), bound = world_nodes(s) * CORES / router * 1e6;
  double full = 1 / (1 / most + 1 / bound);
  printf(" %u | %.0f | %.0f | %.0f | %.2f | %.2f |", s->asked, full,
         one * world_nodes(s) / s->asked, 100 * router / (router + s->asked * s->shard_us),
         o.p50_ms, o.p99_ms);
}

static void scale_table(struct setup *s, double rows) {
  static const uint32_t shards[] = {1, 2, 4, 16, 64, 256, 1000};
  s->shards = s->asked = 1;
  double one = scale_most(s);
  printf("\n%.0f rows a shard, %.2f ms each; half of what the processors could do\n\n", rows,
         s->shard_us / 1e3);
  puts("| shards | rows, millions | asked | QPS at most | linear | router, % | p50, ms | p99, ms"
       " | asked for .951 | QPS | linear | router, % | p50, ms | p99, ms |\n"
       "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
  for (size_t i = 0; i < sizeof shards / sizeof *shards; i++) {
    s->shards = s->asked = shards[i];
    printf("| %u | %.1f |", s->shards, s->shards * rows / 1e6);
    scale_line(s, one);
    s->asked = (uint32_t)ceil(s->shards * scale_asked);
    scale_line(s, one);
    puts("");
  }
}

int main(int argc, char **argv) {
  struct setup *s = must(calloc(1, sizeof *s));
  double fixed, row, rows = argc > 3 ? atof(argv[3]) : 1e6;
  scale_fit(&fixed, &row);
  if (argc > 2) {
    fixed = atof(argv[1]) * 1e3;
    row = atof(argv[2]);
  }
  s->shard_us = fixed + row * rows;
  s->hedged = true;
  if (argc == 2 || argc > 5 || rows < 1 || s->shard_us <= 0) {
    fprintf(stderr, "usage: %s [MS_FIXED MS_PER_1000_ROWS [ROWS_PER_SHARD [FILE]]]\n", argv[0]);
    return 2;
  }
  scale_spread(s, argc > 4 ? argv[4] : NULL);
  scale_check();
  scale_table(s, rows);
  free(s);
  return 0;
}
