/* bench_util.h - what the benchmark programs share: a clock, resident memory, failing, loading. */
#ifndef BENCH_UTIL_H
#define BENCH_UTIL_H

#include "npy.h"
#include "vecdb.h"

/* Seconds of a clock that never goes back. */
double bench_now(void);
/* Resident memory of this process in MiB. */
double bench_resident_mb(void);
/* Prints the error and exits with 1 when rc is not VECDB_OK. */
void bench_check(int rc, const char *what, const vecdb_error *error);
/* Removes a database folder and the files in it. */
void bench_remove(const char *path);
/* A fresh path for a database under `dir` (NULL: the system's folder for temporary files); to be
   freed. */
char *bench_path(const char *dir);
/* Inserts all rows of `base` in batches of 1,000 under keys 0, 1, ... into a collection of fields
   "id" and "v". */
void bench_load(vecdb_collection *collection, const struct npy *base);
/* Creates the collection "bench" with an INT64 key "id" and a FLOAT_VECTOR "v". */
vecdb_collection *bench_create(vecdb *db, uint32_t dim, int32_t metric, int32_t index);
/* The share of the first k entries of a ground-truth row that are among the hits. */
double bench_recall(const struct npy *truth, size_t query, const vecdb_hit *hits, uint32_t n,
                    uint32_t k);

#endif
