/*
 * bench_kern.c - how fast the distance kernels are: nanoseconds per row and gigabytes of rows per
 * second, for rows that stay in the second-level cache and for rows that come from memory, one
 * after the other (many) and at random places in calls of 32 (gather). Each figure is the best of
 * several runs, so that what else the machine does matters less.
 *
 *   bench_kern [table [elem]]     such as: bench_kern avx2 f16
 *   bench_kern tile               all products of 256 queries and 4,096 rows, in multiplications of
 *                                 floats, beside the most that two units could do at this clock;
 *                                 "chosen" is what the library does, with BLAS=1 OpenBLAS
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/rng.h"
#include "kern/tile.h"

enum { RUNS = 7, CALL = 32, BLOCK = 64, IDS = 1 << 15 };
static const size_t cache_bytes = (size_t)512 << 10;
static const size_t memory_bytes = (size_t)512 << 20;

static const char *const elem_names[] = {"f32", "f16", "bf16", "i8", "bits"};
static const char *const op_names[] = {"l2", "dot", "hamming", "jaccard"};

struct bench {
  const struct vdb_kern *kern;
  const uint8_t *query;
  const uint8_t *rows;
  size_t stride, dim;
  size_t n; /* rows */
  uint32_t *ids;
  float *out;
  struct vdb_rng rng;
};

static double now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* The best time per row of `many`, over `n` rows a time, each run at another place. */
static double time_many(struct bench *b, size_t n, size_t repeat) {
  double best = 1e30;
  for (size_t run = 0; run < RUNS; run++) {
    size_t first = b->n > n ? run * n % (b->n - n) : 0;
    const uint8_t *rows = b->rows + first * b->stride;
    double start = now_ns();
    for (size_t r = 0; r < repeat; r++)
      for (size_t i = 0; i + BLOCK <= n; i += BLOCK)
        b->kern->many(b->query, rows + i * b->stride, b->stride, BLOCK, b->dim, b->out);
    double spent = (now_ns() - start) / (double)(repeat * (n / BLOCK * BLOCK));
    best = spent < best ? spent : best;
  }
  return best;
}

static double time_gather(struct bench *b, size_t repeat) {
  double best = 1e30;
  for (size_t run = 0; run < RUNS; run++) {
    for (size_t i = 0; i < IDS; i++)
      b->ids[i] = vdb_rng_below(&b->rng, (uint32_t)b->n);
    double start = now_ns();
    for (size_t r = 0; r < repeat; r++)
      for (size_t i = 0; i < IDS; i += CALL)
        b->kern->gather(b->query, b->rows, b->stride, b->ids + i, CALL, b->dim, b->out);
    double spent = (now_ns() - start) / (double)(repeat * IDS);
    best = spent < best ? spent : best;
  }
  return best;
}

static void print_time(const struct bench *b, double ns) {
  printf(" %8.2f %6.1f", ns, (double)b->stride / ns);
}

static void bench_dim(struct bench *b, enum vdb_elem elem, size_t dim) {
  b->dim = dim;
  b->stride = vdb_elem_row_bytes(elem, dim);
  b->n = cache_bytes / b->stride;
  print_time(b, time_many(b, b->n, 32));
  print_time(b, time_gather(b, 2));
  b->n = memory_bytes / b->stride;
  print_time(b, time_many(b, b->n / 8, 1));
  print_time(b, time_gather(b, 1));
  printf("\n");
}

static void bench_table(struct bench *b, const struct vdb_kern_table *table, const char *elem) {
  static const size_t dims[] = {128, 384, 768};
  for (int e = 0; e < VDB_ELEM_COUNT; e++) {
    if (elem && strcmp(elem, elem_names[e]) != 0)
      continue;
    for (int op = 0; op < VDB_OP_COUNT; op++)
      for (size_t d = 0; d < VDB_COUNT(dims) && table->kern[e][op].one; d++) {
        b->kern = &table->kern[e][op];
        printf("%-11s %-4s %-8s %4zu", table->name, elem_names[e], op_names[op], dims[d]);
        bench_dim(b, (enum vdb_elem)e, dims[d]);
      }
  }
}

/* ---- Tiles ----------------------------------------------------------------------------------- */

/* Clock ticks in a nanosecond: additions that wait for each other take one each. */
static double clock_ghz(void) {
  enum { ADDS = 20000000 };
  double best = 0;
  for (size_t run = 0; run < RUNS; run++) {
    double start = now_ns();
    for (size_t x = 0; x < ADDS; x++)
      __asm__ volatile("" : "+r"(x));
    double ghz = ADDS / (now_ns() - start);
    best = ghz > best ? ghz : best;
  }
  return best;
}

enum { TILE_QUERIES = 256, TILE_ROWS_OF_CALL = 512, TILE_ROWS_ALL = 4096 };

struct tile_bench {
  const struct vdb_kern_table *table; /* NULL: vdb_tile_dot */
  struct vdb_tile_rows queries;
  const float *packed; /* the queries, or NULL */
  float *out;
};

/* Multiplications in a nanosecond. */
static double time_tile(const struct tile_bench *b, const float *rows, size_t dim) {
  double best = 1e30;
  for (size_t run = 0; run < RUNS; run++) {
    double start = now_ns();
    for (size_t i = 0; i < TILE_ROWS_ALL; i += TILE_ROWS_OF_CALL) {
      struct vdb_tile_rows part = {rows + i * dim, dim, TILE_ROWS_OF_CALL};
      if (b->packed)
        vdb_tile_dot_packed(&part, b->packed, TILE_QUERIES, dim, b->out);
      else if (b->table)
        vdb_tile_dot_by(b->table, &part, &b->queries, dim, b->out);
      else
        vdb_tile_dot(&part, &b->queries, dim, b->out);
    }
    double spent = now_ns() - start;
    best = spent < best ? spent : best;
  }
  return (double)TILE_QUERIES * TILE_ROWS_ALL * (double)dim / best;
}

static void bench_tile(const uint8_t *memory) {
  static const size_t dims[] = {96, 128, 384, 768, 1024, 1536};
  const float *queries = (const float *)memory, *rows = queries + TILE_QUERIES * 1536;
  float *out = malloc(TILE_QUERIES * TILE_ROWS_OF_CALL * sizeof *out);
  float *packed = aligned_alloc(64, vdb_tile_packed_floats(TILE_QUERIES, 1536) * sizeof *packed);
  if (!out || !packed)
    exit(1);
  double ghz = clock_ghz();
  printf("%.2f GHz: 2 units of 8 floats %.1f, of 16 floats %.1f multiplications a ns\n", ghz,
         ghz * 16, ghz * 32);
  for (size_t d = 0; d < VDB_COUNT(dims); d++) {
    struct tile_bench b = {.queries = {queries, dims[d], TILE_QUERIES}, .out = out};
    printf("dim %4zu:", dims[d]);
    for (size_t t = 1; vdb_kern_available(t); t++) {
      b.table = vdb_kern_available(t);
      printf("  %s %.1f", b.table->name, time_tile(&b, rows, dims[d]));
    }
    b.table = NULL;
    printf("  %s %.1f", vdb_tile_by_blas() ? "OpenBLAS" : "chosen", time_tile(&b, rows, dims[d]));
    vdb_tile_pack(&b.queries, dims[d], packed);
    b.packed = packed;
    printf("  packed before %.1f\n", time_tile(&b, rows, dims[d]));
  }
  free(packed);
  free(out);
}

int main(int argc, char **argv) {
  uint8_t *rows = malloc(memory_bytes);
  uint8_t *query = malloc(4096);
  struct bench b = {.query = query, .rows = rows, .rng = {1}};
  b.ids = malloc(IDS * sizeof *b.ids);
  b.out = malloc(BLOCK * sizeof *b.out);
  if (!rows || !query || !b.ids || !b.out) {
    fprintf(stderr, "bench_kern: no memory\n");
    return 1;
  }
  memset(rows, 0x3c, memory_bytes); /* about 0.01 as float and bf16, about 1 as f16 */
  memset(query, 0x3b, 4096);
  if (argc == 2 && strcmp(argv[1], "tile") == 0) {
    bench_tile(rows);
    return 0;
  }
  printf("%-11s %-4s %-8s %4s %15s %15s %15s %15s\n", "", "", "", "", "cache, many",
         "cache, gather", "memory, many", "memory, gather");
  printf("%-11s %-4s %-8s %4s", "table", "elem", "op", "dim");
  for (size_t i = 0; i < 4; i++)
    printf(" %8s %6s", "ns/row", "GB/s");
  printf("\n");
  for (size_t t = 0; vdb_kern_available(t); t++)
    if (argc < 2 || strcmp(argv[1], vdb_kern_available(t)->name) == 0)
      bench_table(&b, vdb_kern_available(t), argc > 2 ? argv[2] : NULL);
  free(rows);
  free(query);
  free(b.ids);
  free(b.out);
  return 0;
}
