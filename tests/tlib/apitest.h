/*
 * apitest.h - what the tests of the public interface share: expecting outcomes, temporary folders,
 * a small collection, and a hash of everything that a collection holds. Only vecdb.h and libc are
 * used, so that these tests also run against the single file.
 */
#ifndef APITEST_H
#define APITEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vecdb.h"

#define AT_COUNT(array) (sizeof(array) / sizeof *(array))

/* The error record that tests pass to calls. */
extern vecdb_error at_err;

/* The call must answer VECDB_OK; or this code, also in at_err, with a message. */
#define at_ok(call) at_expect(VECDB_OK, (call), #call, __FILE__, __LINE__)
#define at_fails(code, call) at_expect((code), (call), #call, __FILE__, __LINE__)
void at_expect(int code, int rc, const char *call, const char *file, int line);

/* A new empty folder, to be removed with at_remove, which also frees the path. */
char *at_folder(void);
void at_remove(char *path);
/* "folder/name" in a static buffer; the last four stay valid. */
const char *at_path(const char *folder, const char *name);
/* Calls visit for each file of the folder. */
void at_each_file(const char *folder, void (*visit)(void *arg, const char *path), void *arg);
/* A file's bytes, to be freed; the test fails when it cannot be read. */
unsigned char *at_read(const char *path, size_t *n);
void at_write(const char *path, const void *data, size_t n);
bool at_exists(const char *path);

/* Numbers that look random. */
uint32_t at_random(uint32_t *state);
/* 0 to 1, without 1. */
double at_unit(uint32_t *state);

float at_nan(void);
float at_infinity(void);

/* Opens with options, which may be NULL. */
vecdb *at_open(const char *path, const vecdb_options *options);
void at_close(vecdb *db);

/*
 * The small collection: id INT64 key, n INT32, s VARCHAR(20) nullable, t ARRAY of INT32 (4) with
 * default [], v FLOAT_VECTOR(4) L2. Row i of at_put: id = first + i, n = id % 100, s = "s<id % 10>"
 * or null where id % 5 is 4, v = (id, id % 7, 0, 1).
 */
vecdb_collection *at_small(vecdb *db, const char *name);
/* Upserts n rows. */
void at_put(vecdb_collection *coll, int64_t first, uint32_t n);
/* Deletes the keys from `first` on. */
void at_delete(vecdb_collection *coll, int64_t first, uint32_t n);
uint64_t at_count(vecdb_collection *coll, const char *filter);
/* The ids of all rows that pass, in key order, to be freed. */
int64_t *at_ids(vecdb_collection *coll, const char *filter, size_t *n);

/* A hash over every field of every row in key order, and their number. */
struct at_content {
  uint64_t rows;
  uint64_t hash;
};
struct at_content at_content(vecdb_collection *coll);
void at_same(struct at_content before, struct at_content after);

/* The k nearest to the query at (x, 0, 0, 1) in the small collection. */
vecdb_search_params at_search(const float *query, uint32_t k, const char *filter);

#endif
