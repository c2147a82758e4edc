/*
 * bench_scan.c - how fast the fast scans are: nanoseconds per block of 32 rows, for blocks in the
 * second-level cache and for blocks that come from memory in order, best of several runs.
 *
 *   bench_scan [table]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "bench_util.h"
#include "kern/fastscan.h"

enum { RUNS = 7, MEMORY = 256 << 20, CACHE = 256 << 10 };

static const struct scan_case {
  const char *what;
  bool bytes, rescaled;
  uint32_t m, depth;
} cases[] = {
    {"1 bit, dim 128", false, true, 32, 8},   {"1 bit, dim 384", false, true, 96, 8},
    {"1 bit, dim 384", false, true, 96, 4},   {"1 bit, dim 384", false, true, 96, 1},
    {"1 bit, dim 1024", false, true, 256, 8}, {"pq 64 x 4", false, false, 64, 4},
    {"pq 192 x 4", false, false, 192, 8},     {"pq 192 x 4", false, false, 192, 4},
    {"pq 192 x 4", false, false, 192, 1},     {"pq 16 x 8", true, false, 16, 1},
    {"pq 48 x 8", true, false, 48, 1},        {"pq 96 x 8", true, false, 96, 1},
};

static uint64_t kept; /* so that nothing is left out */

static double time_blocks(vdb_scan_fn scan, const struct vdb_scan_table *table,
                          const uint8_t *blocks, size_t size, size_t n, size_t repeat) {
  double best = 1e30;
  float keys[VDB_SCAN_ROWS];
  for (int run = 0; run < RUNS; run++) {
    double start = bench_now();
    for (size_t r = 0; r < repeat; r++)
      for (size_t i = 0; i < n; i++)
        kept += scan(table, blocks + i * size, 1, 0, keys);
    double spent = (bench_now() - start) * 1e9 / (double)(n * repeat);
    best = spent < best ? spent : best;
  }
  return best;
}

static void bench(const struct vdb_fastscan *scan, const struct scan_case *c, const uint8_t *lut,
                  const uint8_t *blocks) {
  uint32_t m = (uint32_t)vdb_round_up(c->m, c->bytes ? 2 : 4);
  size_t codes = c->bytes ? vdb_scan_bytes_bytes(m) : vdb_scan_nibbles_bytes(m);
  size_t size = codes + (c->rescaled ? 128 : 64);
  struct vdb_scan_table table = {lut, m, c->depth, c->rescaled, 1, 0};
  vdb_scan_fn fn = c->bytes ? scan->bytes : scan->nibbles;
  size_t n = CACHE / size;
  printf("%-11s %-16s %u %8.1f %8.1f\n", scan->name, c->what, c->depth,
         time_blocks(fn, &table, blocks, size, n, 40),
         time_blocks(fn, &table, blocks, size, MEMORY / size, 1));
}

int main(int argc, char **argv) {
  uint8_t *blocks = aligned_alloc(64, MEMORY), *lut = aligned_alloc(64, 256 * 256);
  struct vdb_rng rng = {1};
  if (!blocks || !lut)
    return 1;
  for (size_t i = 0; i < MEMORY / 8; i++)
    ((uint64_t *)(void *)blocks)[i] = vdb_rng_next(&rng) & 0x3bff3bff3bff3bff; /* f16 above 0 */
  for (size_t i = 0; i < 256 * 256; i++)
    lut[i] = (uint8_t)(vdb_rng_next(&rng) % 32);
  printf("%-11s %-16s %s %8s %8s   ns per block of 32 rows\n", "table", "codes", "d", "cache",
         "memory");
  for (size_t t = 0; vdb_fastscan_available(t); t++)
    for (size_t i = 0; i < VDB_COUNT(cases); i++)
      if (argc < 2 || strcmp(argv[1], vdb_fastscan_available(t)->name) == 0)
        bench(vdb_fastscan_available(t), &cases[i], lut, blocks);
  free(blocks);
  free(lut);
  return kept == 1;
}
