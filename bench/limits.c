/*
 * limits.c - what this machine's memory allows, and how far the searches of an index are from it:
 *
 *   limits                                       the machine alone
 *   limits BASE.npy QUERY.npy GT.npy l2|ip K [--index TEXT] [--code-bytes N] [--dir DIR]
 *
 * Machine: nanoseconds of a dependent read by footprint, in pages of 4 KiB and of 2 MiB (where the
 * system gives them); nanoseconds per random 64-byte line that is asked for ahead, by footprint;
 * gigabytes per second of reading one after the other, by one thread and by all. Prints one JSON
 * line.
 *
 * Index: builds it and prints one JSON line for each setting: recall, nanoseconds per query (one
 * thread), vectors compared, bytes that a query touches at least, the time that these take by the
 * figures above (memory_ns), and the time of the same query repeated, when all it touches is in the
 * cache and its branches are learnt (warm_ns). `of_memory` and `of_compute` are these two as shares
 * of the measured time. Bytes touched: a code for each vector compared and k rows scored again, and
 * for graphs the links of a node for each 2m vectors compared; each in whole lines. What was scored
 * again beyond k, entries and bookkeeping are not counted; what is asked for often and so stays in
 * the cache is. The share can be above 1.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench_run.h"

enum {
  LIMITS_LINE = 64,
  LIMITS_SIZES = 8,
  LIMITS_REPEATS = 6,
  LIMITS_SKETCHED = 192 /* bytes of a 4-bit code from which sketches stand before it */
};

/* Footprints in KiB. */
static const size_t limits_kib[LIMITS_SIZES] = {256,   1024,  4096,   16384,
                                                32768, 65536, 131072, 524288};

struct limits {
  double latency[LIMITS_SIZES][2]; /* ns; pages of 4 KiB, of 2 MiB */
  double line[LIMITS_SIZES];       /* ns per independent random line, pages of 4 KiB */
  double stream_one, stream_all;   /* bytes per ns */
};

static uint64_t limits_random(uint64_t *state) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return *state >> 33;
}

static uint8_t *limits_map(size_t bytes, bool huge) {
  size_t align = (size_t)2 << 20;
  uint8_t *at =
      mmap(NULL, bytes + align, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED)
    exit(1);
  madvise(at, bytes + align, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  memset(at, 1, bytes + align);
  return at;
}

static void limits_unmap(uint8_t *at, size_t bytes) {
  munmap(at, bytes + ((size_t)2 << 20));
}

/* Makes one cycle through all lines in random order (Sattolo 1986): each holds the next. */
static void limits_cycle(uint8_t *at, size_t n) {
  uint32_t *order = bench_alloc(n * sizeof *order);
  uint64_t state = 1;
  for (size_t i = 0; i < n; i++)
    order[i] = (uint32_t)i;
  for (size_t i = n - 1; i > 0; i--) {
    size_t j = limits_random(&state) % i;
    uint32_t keep = order[i];
    order[i] = order[j];
    order[j] = keep;
  }
  for (size_t i = 0; i < n; i++)
    memcpy(at + (size_t)order[i] * LIMITS_LINE, &order[(i + 1) % n], sizeof *order);
  free(order);
}

/* ns per step of a walk along the cycle; the best of three. */
static double limits_walk(const uint8_t *at, size_t n) {
  volatile uint32_t sink;
  double best = 1e9;
  uint64_t state = 7;
  for (int run = 0; run < 3; run++) {
    uint32_t place = (uint32_t)(limits_random(&state) % n);
    size_t steps = 1000000;
    double start = bench_now();
    for (size_t s = 0; s < steps; s++)
      memcpy(&place, at + (size_t)place * LIMITS_LINE, sizeof place);
    double ns = (bench_now() - start) * 1e9 / (double)steps;
    sink = place;
    best = ns < best ? ns : best;
  }
  (void)sink;
  return best;
}

/* ns per line of independent random rows of `lines` lines, asked for some rows ahead; the best of
   three. */
static double limits_rows(const uint8_t *at, size_t n, size_t lines) {
  enum { AHEAD = 8 };
  double best = 1e9;
  uint64_t state = 3, sum = 0;
  size_t rows = n / lines, steps = (size_t)2000000 / lines;
  for (int run = 0; run < 3; run++) {
    size_t next[AHEAD] = {0};
    double start = bench_now();
    for (size_t s = 0; s < steps; s++) {
      const uint8_t *row = at + next[s % AHEAD] * lines * LIMITS_LINE;
      for (size_t l = 0; l < lines; l++)
        sum += row[l * LIMITS_LINE];
      next[s % AHEAD] = limits_random(&state) % rows;
      for (size_t l = 0; l < lines; l++)
        __builtin_prefetch(at + (next[s % AHEAD] * lines + l) * LIMITS_LINE);
    }
    double ns = (bench_now() - start) * 1e9 / (double)(steps * lines);
    best = ns < best ? ns : best;
  }
  volatile uint64_t sink = sum;
  (void)sink;
  return best;
}

/* The same at a footprint of so many bytes, in pages of 4 KiB as mapped files have them. */
static double limits_row_ns(double bytes, double row_bytes) {
  size_t lines = ((size_t)row_bytes + LIMITS_LINE - 1) / LIMITS_LINE;
  size_t n = (size_t)bytes / LIMITS_LINE + lines;
  uint8_t *at = limits_map(n * LIMITS_LINE, false);
  double ns = limits_rows(at, n, lines);
  limits_unmap(at, n * LIMITS_LINE);
  return ns;
}

typedef uint64_t limits_words __attribute__((vector_size(16)));

/* One reader of its own buffer. */
struct limits_reader {
  const limits_words *words;
  size_t n;
  uint64_t sum;
  pthread_t thread;
};

static void *limits_read(void *arg) {
  struct limits_reader *r = arg;
  limits_words a = {0}, b = {0}, c = {0}, d = {0};
  for (int pass = 0; pass < 3; pass++)
    for (size_t i = 0; i + 4 <= r->n; i += 4) {
      a += r->words[i];
      b += r->words[i + 1];
      c += r->words[i + 2];
      d += r->words[i + 3];
    }
  a += b + c + d;
  r->sum = a[0];
  return NULL;
}

/* Bytes per ns of `threads` threads that each read a buffer of 256 MiB. */
static double limits_stream(size_t threads) {
  static struct limits_reader readers[BENCH_MAX_THREADS];
  size_t bytes = (size_t)256 << 20;
  memset(readers, 0, sizeof readers);
  for (size_t t = 0; t < threads; t++) {
    readers[t].words = (const limits_words *)(const void *)limits_map(bytes, true);
    readers[t].n = bytes / sizeof(limits_words);
  }
  double start = bench_now();
  for (size_t t = 0; t < threads; t++)
    if (pthread_create(&readers[t].thread, NULL, limits_read, &readers[t]) != 0)
      exit(1);
  for (size_t t = 0; t < threads; t++)
    pthread_join(readers[t].thread, NULL);
  double ns = (bench_now() - start) * 1e9;
  for (size_t t = 0; t < threads; t++)
    limits_unmap((uint8_t *)(uintptr_t)readers[t].words, bytes);
  return 3.0 * (double)bytes * (double)threads / ns;
}

static void limits_machine(struct limits *m) {
  for (size_t i = 0; i < LIMITS_SIZES; i++)
    for (int huge = 0; huge < 2; huge++) {
      size_t bytes = limits_kib[i] << 10, n = bytes / LIMITS_LINE;
      uint8_t *at = limits_map(bytes, huge);
      limits_cycle(at, n);
      m->latency[i][huge] = limits_walk(at, n);
      if (!huge)
        m->line[i] = limits_rows(at, n, 1);
      limits_unmap(at, bytes);
    }
  m->stream_one = limits_stream(1);
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  m->stream_all = limits_stream(cores > BENCH_MAX_THREADS ? BENCH_MAX_THREADS : (size_t)cores);
}

static void limits_print(const struct limits *m) {
  printf("{\"kernels\": \"%s\", \"latency\": [", vecdb_kernels());
  for (size_t i = 0; i < LIMITS_SIZES; i++)
    printf("%s{\"mib\": %g, \"ns_4k\": %.1f, \"ns_2m\": %.1f, \"ns_line\": %.2f}", i ? ", " : "",
           (double)limits_kib[i] / 1024, m->latency[i][0], m->latency[i][1], m->line[i]);
  printf("], \"stream_gb_s\": %.1f, \"stream_all_gb_s\": %.1f}\n", m->stream_one, m->stream_all);
  fflush(stdout);
}

struct limits_index {
  struct npy base, query, truth;
  int32_t metric;
  vecdb_index_params params;
  const char *name;
  size_t code_bytes;
  double code_ns, row_ns; /* per random line of a code among the index's, of a row among the rows */
  struct bench_run run;
};

static double limits_whole_lines(double bytes) {
  return (double)(((size_t)bytes + LIMITS_LINE - 1) / LIMITS_LINE * LIMITS_LINE);
}

/* Bytes of a code by the index's name, where --code-bytes said nothing; of a graph among long 4-bit
   codes those of a sketch, which is all that most rows are compared by. */
static size_t limits_code(const struct limits_index *x) {
  size_t dim = x->base.columns;
  if (strcmp(x->name, "FLAT") == 0 || strcmp(x->name, "IVF_FLAT") == 0)
    return dim * sizeof(float);
  if (strcmp(x->name, "IVF_SQ8") == 0)
    return dim;
  if (strcmp(x->name, "IVF_RABITQ") == 0)
    return dim / 8;
  size_t bits = x->params.nbits ? x->params.nbits : 4;
  if (strcmp(x->name, "IVF_PQ") == 0)
    return (x->params.pq_m ? x->params.pq_m : dim / 2) * bits / 8;
  size_t code = dim * bits / 8;
  return bits == 4 && code >= LIMITS_SKETCHED ? dim / 8 + 2 * sizeof(float) : code;
}

/* Nanoseconds of a query when it has just run: all queries in turn, each several times. */
static double limits_warm(struct limits_index *x, const struct bench_setting *setting) {
  double sum = 0;
  for (size_t q = 0; q < x->run.n_queries; q++) {
    struct bench_run one = x->run;
    one.queries += q * one.query_bytes;
    one.n_queries = 1;
    double best = 1e9;
    for (int i = 0; i < LIMITS_REPEATS; i++) {
      double seconds = bench_pass(&one, setting, NULL);
      best = seconds < best ? seconds : best;
    }
    sum += best;
  }
  return sum * 1e9 / (double)x->run.n_queries;
}

static void limits_point(const struct limits *m, struct limits_index *x, uint32_t value) {
  bool graph = strstr(x->name, "IVF") == NULL && strcmp(x->name, "FLAT") != 0;
  struct bench_setting setting = {.ef = graph ? value : 0, .nprobe = graph ? 0 : value};
  vecdb_search_info info;
  const struct bench_run *r = &x->run;
  double n = (double)r->n_queries, recall = 0;
  double ns = bench_best(&x->run, &setting, &info) * 1e9 / n;
  for (size_t q = 0; q < r->n_queries; q++)
    recall += bench_recall(&x->truth, q, r->hits + q * r->k, r->counts[q], r->k) / n;
  double compared = (double)info.distances / n;
  double rows = x->run.k * limits_whole_lines((double)x->base.columns * sizeof(float));
  double links = 0, codes = compared * (double)x->code_bytes, memory;
  if (graph) {
    double m2 = 2.0 * (x->params.m ? x->params.m : 16);
    links = compared / m2 * limits_whole_lines(m2 * sizeof(uint32_t));
    codes = compared * limits_whole_lines((double)x->code_bytes);
    memory = (codes + links) / LIMITS_LINE * x->code_ns + rows / LIMITS_LINE * x->row_ns;
  } else {
    memory = codes / m->stream_one + rows / LIMITS_LINE * x->row_ns;
  }
  double warm = limits_warm(x, &setting);
  printf("{\"index\": \"%s\", \"%s\": %u, \"recall\": %.4f, \"ns\": %.0f, \"compared\": %.0f, "
         "\"bytes\": %.0f, \"memory_ns\": %.0f, \"warm_ns\": %.0f, \"of_memory\": %.2f, "
         "\"of_compute\": %.2f}\n",
         x->name, graph ? "ef" : "nprobe", value, recall, ns, compared, codes + links + rows,
         memory, warm, memory / ns, warm / ns);
  fflush(stdout);
}

static void limits_of_index(const struct limits *m, struct limits_index *x, const char *dir) {
  static const uint32_t values[] = {10, 16, 24, 32, 48, 64, 96, 128, 256};
  char *path = bench_path(dir);
  bench_build(path, &x->base, x->metric, &x->params, 0);
  vecdb *db = bench_open(path, x->base.rows, 0);
  vecdb_error error;
  bench_check(vecdb_collection_get(db, "bench", &x->run.collection, &error), "get", &error);
  vecdb_stats stats = VECDB_STATS_INIT;
  bench_check(vecdb_collection_stats(x->run.collection, &stats, &error), "stats", &error);
  double row_bytes = (double)(x->base.columns * sizeof(float));
  x->code_ns = limits_row_ns((double)stats.bytes_index, (double)x->code_bytes);
  x->row_ns = limits_row_ns(row_bytes * (double)x->base.rows, row_bytes);
  for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
    limits_point(m, x, values[i]);
  vecdb_collection_release(x->run.collection);
  bench_check(vecdb_close(db, &error), "close", &error);
  bench_remove(path);
  free(path);
}

static void limits_usage(void) {
  fprintf(stderr, "usage: limits [BASE.npy QUERY.npy GT.npy l2|ip K [--index TEXT]"
                  " [--code-bytes N] [--dir DIR]]\n");
  exit(2);
}

int main(int argc, char **argv) {
  static struct limits machine;
  static struct limits_index x;
  if (argc > 1 && (argc < 6 || argc % 2 != 0))
    limits_usage();
  limits_machine(&machine);
  limits_print(&machine);
  if (argc == 1)
    return 0;
  const char *index = "AUTO", *dir = NULL;
  for (int i = 6; i + 1 < argc; i += 2) {
    if (strcmp(argv[i], "--index") == 0)
      index = argv[i + 1];
    else if (strcmp(argv[i], "--code-bytes") == 0)
      x.code_bytes = strtoull(argv[i + 1], NULL, 10);
    else if (strcmp(argv[i], "--dir") == 0)
      dir = argv[i + 1];
    else
      limits_usage();
  }
  x.base = npy_open(argv[1]);
  x.query = npy_open(argv[2]);
  x.truth = npy_open(argv[3]);
  x.metric = bench_metric(argv[4]);
  vecdb_error error;
  bench_check(vecdb_index_params_parse(index, &x.params, &error), "index", &error);
  x.name = vecdb_index_type_name(x.params.type);
  x.code_bytes = x.code_bytes ? x.code_bytes : limits_code(&x);
  x.run.threads = 1;
  bench_run_init(&x.run, &x.query, x.metric,
                 x.query.rows < BENCH_QUERIES ? x.query.rows : BENCH_QUERIES,
                 (uint32_t)strtoul(argv[5], NULL, 10));
  limits_of_index(&machine, &x, dir);
  bench_run_free(&x.run);
  return 0;
}
