/*
 * ingest.c - durable ingest: rows per second of vecdb, every commit on disk, beside the raw rate of
 * appending the same bytes with fdatasync in the same folder.
 *
 *   ingest BASE.npy [--rows N] [--batch N] [--dir DIR] [--runs N]
 *
 * Prints one line per run and the medians. vecdb: INT64 key and FLOAT_VECTOR, batches through
 * vecdb_insert (VECDB_DURABLE_COMMIT), then vecdb_flush; "insert" counts up to the last insert's
 * return, "insert+flush" up to the flush's. Index building stays off: flush does not wait for it.
 * bench/ingest.sh adds zvec.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench_util.h"

enum { INGEST_MAX_RUNS = 99 };

struct ingest {
  struct npy base;
  size_t rows;
  size_t batch;
  const char *dir;
  int runs;
  float *vectors; /* all rows, as floats */
  int64_t *ids;
};

static int ingest_compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double ingest_median(double *values, int n) {
  qsort(values, (size_t)n, sizeof *values, ingest_compare);
  return values[n / 2];
}

/* Rows per second of plain appends of the same batches. */
static double ingest_raw(const struct ingest *in, const char *path) {
  size_t row_bytes = in->base.columns * sizeof(float);
  int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0)
    exit(1);
  double start = bench_now();
  for (size_t row = 0; row < in->rows; row += in->batch) {
    size_t n = in->rows - row < in->batch ? in->rows - row : in->batch;
    const char *data = (const char *)(in->vectors + row * in->base.columns);
    for (size_t done = 0; done < n * row_bytes;) {
      ssize_t written = write(fd, data + done, n * row_bytes - done);
      if (written <= 0)
        exit(1);
      done += (size_t)written;
    }
    if (fdatasync(fd) != 0)
      exit(1);
  }
  double seconds = bench_now() - start;
  close(fd);
  unlink(path);
  return (double)in->rows / seconds;
}

static void ingest_vecdb(const struct ingest *in, const char *path, double *insert,
                         double *insert_flush) {
  vecdb *db;
  vecdb_error error;
  bench_check(vecdb_open(path, NULL, &db, &error), "open", &error);
  vecdb_index_params flat = VECDB_INDEX_PARAMS_INIT;
  flat.type = VECDB_INDEX_FLAT;
  vecdb_field vector = bench_vector_field(&in->base, VECDB_IP, &flat);
  vecdb_collection *collection = bench_create(db, &vector, NULL, 0);
  double start = bench_now();
  for (size_t row = 0; row < in->rows; row += in->batch) {
    size_t n = in->rows - row < in->batch ? in->rows - row : in->batch;
    vecdb_column columns[] = {
        {.field = "id", .data = in->ids + row},
        {.field = "v", .data = in->vectors + row * in->base.columns},
    };
    vecdb_batch batch = VECDB_BATCH_INIT;
    batch.columns = columns;
    batch.n_columns = 2;
    batch.n_rows = (uint32_t)n;
    bench_check(vecdb_insert(collection, &batch, NULL, &error), "insert", &error);
  }
  double inserted = bench_now();
  bench_check(vecdb_flush(collection, NULL, &error), "flush", &error);
  double flushed = bench_now();
  *insert = (double)in->rows / (inserted - start);
  *insert_flush = (double)in->rows / (flushed - start);
  vecdb_collection_release(collection);
  bench_check(vecdb_close(db, &error), "close", &error);
  bench_remove(path);
}

static void ingest_usage(void) {
  fprintf(stderr, "usage: ingest BASE.npy [--rows N] [--batch N] [--dir DIR] [--runs N]\n");
  exit(2);
}

static void ingest_arguments(struct ingest *in, int argc, char **argv) {
  if (argc < 2 || argc % 2 != 0)
    ingest_usage();
  in->base = npy_open(argv[1]);
  in->rows = in->base.rows;
  in->batch = 1000;
  in->runs = 3;
  for (int i = 2; i + 1 < argc; i += 2) {
    size_t n = strtoull(argv[i + 1], NULL, 10);
    if (strcmp(argv[i], "--rows") == 0 && n > 0 && n <= in->base.rows)
      in->rows = n;
    else if (strcmp(argv[i], "--batch") == 0 && n > 0)
      in->batch = n;
    else if (strcmp(argv[i], "--runs") == 0 && n > 0 && n <= INGEST_MAX_RUNS)
      in->runs = (int)n;
    else if (strcmp(argv[i], "--dir") == 0)
      in->dir = argv[i + 1];
    else
      ingest_usage();
  }
}

int main(int argc, char **argv) {
  static struct ingest in;
  ingest_arguments(&in, argc, argv);
  in.vectors = malloc(in.rows * in.base.columns * sizeof *in.vectors);
  in.ids = malloc(in.rows * sizeof *in.ids);
  if (!in.vectors || !in.ids)
    return 1;
  for (size_t i = 0; i < in.rows; i++) {
    in.ids[i] = (int64_t)i;
    npy_floats(&in.base, i, in.vectors + i * in.base.columns);
  }
  char *path = bench_path(in.dir);
  static double raw[INGEST_MAX_RUNS], insert[INGEST_MAX_RUNS], flush[INGEST_MAX_RUNS];
  for (int run = 0; run < in.runs; run++) {
    raw[run] = ingest_raw(&in, path);
    ingest_vecdb(&in, path, &insert[run], &flush[run]);
    printf("run %d: raw append+fdatasync %.0f rows/s, vecdb insert %.0f, insert+flush %.0f\n", run,
           raw[run], insert[run], flush[run]);
    fflush(stdout);
  }
  double r = ingest_median(raw, in.runs), i = ingest_median(insert, in.runs);
  double f = ingest_median(flush, in.runs);
  printf("{\"raw_rows_s\": %.0f, \"vecdb_insert_rows_s\": %.0f, "
         "\"vecdb_insert_flush_rows_s\": %.0f, "
         "\"insert_of_raw\": %.3f, \"insert_flush_of_raw\": %.3f}\n",
         r, i, f, i / r, f / r);
  free(path);
  free(in.ids);
  free(in.vectors);
  return 0;
}
