/* bench_util.h - what the benchmark programs share: a clock, resident memory, failing, loading. */
#ifndef BENCH_UTIL_H
#define BENCH_UTIL_H

#include "npy.h"
#include "vecdb.h"

/* Seconds of a clock that never goes back. */
double bench_now(void);
/* Memory of this process in MiB: resident in all, and the part of it that belongs to no file. */
double bench_resident_mb(void);
double bench_anonymous_mb(void);
/* Prints the error and exits with 1 when rc is not VECDB_OK. */
void bench_check(int rc, const char *what, const vecdb_error *error);
/* malloc that exits with 1 instead of failing. */
void *bench_alloc(size_t bytes);
/* Removes a database folder and the files in it. */
void bench_remove(const char *path);
/* A fresh path for a database under `dir` (NULL: the system's folder for temporary files); to be
   freed. */
char *bench_path(const char *dir);
/* The name of the folder that a file is in, to be freed: "a" of "b/a/c". */
char *bench_folder(const char *file);
/* The metric called l2, ip or hamming; exits with 2 on another name. */
int32_t bench_metric(const char *name);
/* A database for `rows` rows in one segment, so that no index is built twice; writes are not synced
   one by one, and builds take `threads` threads (0: one per processor). */
vecdb *bench_open(const char *path, size_t rows, uint32_t threads);

/* A vector field for arrays of one kind: FLOAT_VECTOR, or BINARY_VECTOR for rows of packed bits
   under HAMMING. */
vecdb_field bench_vector_field(const struct npy *base, int32_t metric,
                               const vecdb_index_params *index);
/* Bytes of a row of that field, and the row itself. */
size_t bench_row_bytes(const struct npy *array, int32_t metric);
void bench_row(const struct npy *array, size_t row, int32_t metric, void *out);

/* Creates the collection "bench" with an INT64 key "id", the vector field and n further fields. */
vecdb_collection *bench_create(vecdb *db, const vecdb_field *vector, const vecdb_field *more,
                               size_t n);
/* Inserts all rows of `base` in batches of 1,000 under keys 0, 1, ...; more[i] is the column of a
   further field over all rows, with its stride. */
void bench_load(vecdb_collection *collection, const struct npy *base, int32_t metric,
                const vecdb_column *more, size_t n);
/* Makes a database of all rows, inserted, compacted and closed; seconds. */
double bench_build(const char *path, const struct npy *base, int32_t metric,
                   const vecdb_index_params *index, uint32_t threads);
/* The share of the first k entries of a ground-truth row that are among the hits. */
double bench_recall(const struct npy *truth, size_t query, const vecdb_hit *hits, uint32_t n,
                    uint32_t k);

#endif
