/*
 * test_bad_files.c - folders and files that are not as a database left them: something else in the
 * folder, files cut, damaged, missing or of a newer format, a folder without permission, a second
 * writer. Damage is reported or harmless: wrong rows never come out.
 */
#include <errno.h>
#include <math.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tlib/apitest.h"
#include "tlib/apivfs.h"

/* ---- Folders --------------------------------------------------------------------------------- */

static void count_file(void *arg, const char *path) {
  (void)path;
  ++*(int *)arg;
}

static void test_foreign_folders(void **state) {
  (void)state;
  char *folder = at_folder();
  const char *letter = at_path(folder, "letter.txt");
  at_write(letter, "Dear database,", 14);
  const uint32_t flags[] = {0, VECDB_MUST_EXIST, VECDB_READ_ONLY};
  for (size_t i = 0; i < AT_COUNT(flags); i++) {
    vecdb_options options = VECDB_OPTIONS_INIT;
    options.flags = flags[i];
    vecdb *db = (vecdb *)folder;
    at_fails(VECDB_ERR_NOT_A_DATABASE, vecdb_open(folder, &options, &db, &at_err));
    assert_null(db);
    at_fails(VECDB_ERR_NOT_A_DATABASE, vecdb_open(letter, &options, &db, &at_err)); /* a file */
    assert_null(db);
    at_fails(VECDB_ERR_NOT_A_DATABASE,
             vecdb_restore(folder, at_path(folder, "copy"), NULL, &at_err));
  }
  int files = 0;
  at_each_file(folder, count_file, &files);
  assert_int_equal(files, 1); /* nothing was left behind */
  size_t n;
  unsigned char *text = at_read(letter, &n);
  assert_int_equal(n, 14);
  assert_memory_equal(text, "Dear database,", n);
  free(text);
  at_write(at_path(folder, "MANIFEST"), "manifest of a ship", 18);
  vecdb *db;
  at_fails(VECDB_ERR_NOT_A_DATABASE, vecdb_open(folder, NULL, &db, &at_err));
  at_remove(folder);
}

/* A database with rows in every kind of file: sealed and indexed, deleted, and in the log. */
static struct at_content make_database_on(const vecdb_vfs *vfs, const char *path) {
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.flags = VECDB_HOST_DRIVEN;
  options.index_rows = 100;
  options.vfs = vfs;
  vecdb *db = at_open(path, &options);
  vecdb_collection *coll = at_small(db, "c");
  at_put(coll, 0, 300);
  at_ok(vecdb_compact(coll, NULL, &at_err));
  at_delete(coll, 100, 20);
  at_put(coll, 300, 60);
  at_ok(vecdb_flush(coll, NULL, &at_err));
  at_put(coll, 400, 30);
  at_put(coll, 430, 30);
  struct at_content content = at_content(coll);
  vecdb_collection_release(coll);
  at_close(db);
  return content;
}

static struct at_content make_database(const char *path) { return make_database_on(NULL, path); }

/* Opens in a child process; returns the status that vecdb_open gave there. */
static int open_in_child(const char *path, uint32_t flags, bool as_nobody, bool close) {
  fflush(NULL);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    vecdb_options options = VECDB_OPTIONS_INIT;
    options.flags = flags;
    vecdb_error error;
    vecdb *db = NULL;
    if (as_nobody && setuid(65534) != 0)
      _exit(200);
    int rc = vecdb_open(path, &options, &db, &error);
    if (close)
      vecdb_close(db, NULL);
    _exit(rc); /* or the process ends with the database open */
  }
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status));
  return WEXITSTATUS(status);
}

static void test_two_writers(void **state) {
  (void)state;
  char *folder = at_folder();
  struct at_content before = make_database(folder);
  /* No threads of the library: one might hold the allocator's lock while the child forks. */
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.flags = VECDB_HOST_DRIVEN;
  vecdb *db = at_open(folder, &options), *second = db;
  at_fails(VECDB_ERR_BUSY, vecdb_open(folder, NULL, &second, &at_err));
  assert_null(second);
  assert_non_null(strstr(at_err.message, folder));
  at_fails(VECDB_ERR_BUSY, vecdb_open(at_path(folder, "."), NULL, &second, &at_err));
  assert_int_equal(open_in_child(folder, 0, false, true), VECDB_ERR_BUSY);
  assert_int_equal(open_in_child(folder, VECDB_READ_ONLY, false, true), VECDB_OK);
  vecdb_collection *coll;
  at_ok(vecdb_collection_get(db, "c", &coll, &at_err));
  at_same(before, at_content(coll));
  at_put(coll, 1000, 10); /* the first writer is not disturbed */
  vecdb_collection_release(coll);
  at_close(db);
  assert_int_equal(open_in_child(folder, 0, false, false), VECDB_OK); /* ends without closing */
  at_close(at_open(folder, NULL));
  at_remove(folder);
}

/* A process that ends without closing loses nothing that a write call has returned for, in any
   mode: the system has it. */
static void test_process_ends(void **state) {
  (void)state;
  for (int32_t mode = VECDB_DURABLE_COMMIT; mode <= VECDB_DURABLE_OFF; mode++) {
    char *folder = at_folder();
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
      vecdb_options options = VECDB_OPTIONS_INIT;
      options.durability = mode;
      vecdb_collection *coll = at_small(at_open(folder, &options), "c");
      for (int i = 0; i < 10; i++)
        at_put(coll, i * 20, 30);
      at_delete(coll, 0, 5);
      _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    vecdb *db = at_open(folder, NULL);
    vecdb_collection *coll;
    at_ok(vecdb_collection_get(db, "c", &coll, &at_err));
    assert_int_equal(at_count(coll, NULL), 205);
    vecdb_collection_release(coll);
    at_close(db);
    at_remove(folder);
  }
}

static void test_without_permission(void **state) {
  (void)state;
  char *folder = at_folder();
  char database[400];
  snprintf(database, sizeof database, "%s/database", folder);
  make_database(database);
  bool root = geteuid() == 0;
  assert_int_equal(chmod(folder, 0555), 0);
  assert_int_equal(chmod(database, 0555), 0);
  assert_int_equal(open_in_child(at_path(folder, "new"), 0, root, true), VECDB_ERR_IO);
  assert_int_equal(open_in_child(database, VECDB_READ_ONLY, root, true), VECDB_OK);
  assert_int_equal(chmod(database, 0), 0);
  assert_int_equal(open_in_child(database, 0, root, true), VECDB_ERR_IO);
  assert_int_equal(open_in_child(database, VECDB_READ_ONLY, root, true), VECDB_ERR_IO);
  assert_int_equal(chmod(database, 0755), 0);
  assert_int_equal(chmod(folder, 0755), 0);
  at_remove(folder);
  struct av_disk *disk = av_new(); /* a file system that is mounted for reading only */
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.vfs = av_vfs(disk);
  vecdb *db;
  av_fail_writes(disk, EROFS);
  at_fails(VECDB_ERR_IO, vecdb_open("db", &options, &db, &at_err));
  assert_int_equal(at_err.os_code, EROFS);
  assert_null(db);
  assert_int_equal(av_open_files(disk), 0);
  av_free(disk);
}

/* A folder on a file system that is mounted for reading only is served: all rows, those of the log
   as well, searches and the full check; writes are refused. */
static void test_read_only_media(void **state) {
  (void)state;
  struct av_disk *disk = av_new();
  struct at_content before = make_database_on(av_vfs(disk), "db");
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.vfs = av_vfs(disk);
  options.flags = VECDB_READ_ONLY;
  av_fail_writes(disk, EROFS);
  vecdb *db = at_open("db", &options);
  vecdb_collection *coll;
  at_ok(vecdb_collection_get(db, "c", &coll, &at_err));
  at_same(before, at_content(coll));
  const float query[] = {250, 3, 0, 1};
  vecdb_search_params search = at_search(query, 10, "n == 5");
  vecdb_hit hits[10];
  uint32_t n;
  at_ok(vecdb_search(coll, &search, hits, &n, NULL, NULL, &at_err));
  const int64_t nearest[] = {205, 305, 405, 5}; /* 105 was deleted */
  assert_int_equal(n, AT_COUNT(nearest));
  for (uint32_t i = 0; i < n; i++) {
    double x = (double)nearest[i] - 250, y = (double)(nearest[i] % 7) - 3;
    assert_int_equal(hits[i].id, nearest[i]);
    assert_true(fabs((double)hits[i].score - (x * x + y * y)) < 0.01);
  }
  at_ok(vecdb_check(db, NULL, NULL, NULL, &at_err));
  const vecdb_keys keys = {.integers = nearest, .n = 1};
  at_fails(VECDB_ERR_READ_ONLY, vecdb_delete(coll, &keys, NULL, &at_err));
  vecdb_collection_release(coll);
  at_close(db);
  assert_int_equal(av_open_files(disk), 0);
  av_free(disk);
}

/* ---- Files ----------------------------------------------------------------------------------- */

enum { MAX_FILES = 16 };

struct files {
  char path[MAX_FILES][400];
  int n;
};

static void note_file(void *arg, const char *path) {
  struct files *files = arg;
  assert_true(files->n < MAX_FILES);
  if (!strstr(path, "/LOCK"))
    snprintf(files->path[files->n++], sizeof files->path[0], "%s", path);
}

static bool is_damage(int rc) {
  return rc == VECDB_ERR_CORRUPT || rc == VECDB_ERR_NEWER_FORMAT || rc == VECDB_ERR_NOT_A_DATABASE;
}

/*
 * Opens the damaged database for reading: what is found must be an error that says so, or all rows
 * as they were. With `tail`, the last batches may be missing as after a crash. A full check must
 * find what opening did not, where it is not harmless.
 */
static bool look(const char *path, int32_t verify, struct at_content before, bool tail) {
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.flags = VECDB_READ_ONLY;
  options.verify = verify;
  vecdb *db;
  int rc = vecdb_open(path, &options, &db, &at_err);
  if (rc != VECDB_OK) {
    assert_true(is_damage(rc));
    assert_null(db);
    assert_true(strlen(at_err.message) > 0);
    return true;
  }
  rc = vecdb_check(db, NULL, NULL, NULL, &at_err);
  assert_true(rc == VECDB_OK || is_damage(rc));
  vecdb_collection *coll = NULL;
  struct at_content after = {0, 0};
  if (rc == VECDB_OK) {
    at_ok(vecdb_collection_get(db, "c", &coll, &at_err));
    after = at_content(coll);
    if (!tail || after.rows == before.rows)
      at_same(before, after);
    else
      assert_true(after.rows == before.rows - 30 || after.rows == before.rows - 60);
  }
  vecdb_collection_release(coll);
  at_close(db);
  return rc != VECDB_OK;
}

static bool is_log(const char *path) { return strstr(path, ".wal") || strstr(path, ".log"); }

static void test_damaged_files(void **state) {
  (void)state;
  char *folder = at_folder();
  struct at_content before = make_database(folder);
  struct files files = {.n = 0};
  at_each_file(folder, note_file, &files);
  assert_true(files.n >= 5); /* manifest, log, rows twice, index, deletes */
  uint32_t seed = 1;
  for (int i = 0; i < files.n; i++) {
    const char *path = files.path[i];
    size_t n;
    unsigned char *bytes = at_read(path, &n), flip;
    unsigned found = 0, flips = 60;
    for (unsigned k = 0; k < flips; k++) { /* a byte flipped: near the ends, and anywhere */
      size_t at = k < 16 ? k : k < 32 ? n - 1 - (k - 16) : at_random(&seed) % n;
      flip = (unsigned char)(1u << at_random(&seed) % 8);
      bytes[at] ^= flip;
      at_write(path, bytes, n);
      found += look(folder, k % 2 ? VECDB_VERIFY_FULL : VECDB_VERIFY_META, before, is_log(path));
      bytes[at] ^= flip;
    }
    assert_true(found > flips / 4); /* the rest was padding, or reserved space */
    const size_t cuts[] = {0, 1, 7, 8, 63, 64, 65, n / 2, n - 64, n - 8, n - 1};
    for (size_t k = 0; k < AT_COUNT(cuts); k++) {
      if (cuts[k] >= n)
        continue;
      at_write(path, bytes, cuts[k]);
      look(folder, VECDB_VERIFY_META, before, is_log(path));
    }
    at_write(path, bytes, n);
    unsigned char *longer = calloc(1, n + 100);
    memcpy(longer, bytes, n);
    at_write(path, longer, n + 100); /* zeros behind the end */
    look(folder, VECDB_VERIFY_META, before, is_log(path));
    free(longer);
    assert_int_equal(remove(path), 0);
    if (strstr(path, "MANIFEST") || !is_log(path))
      assert_true(look(folder, VECDB_VERIFY_META, before, false));
    else
      look(folder, VECDB_VERIFY_META, before, true);
    at_write(path, bytes, n);
    free(bytes);
  }
  assert_false(look(folder, VECDB_VERIFY_FULL, before, false)); /* all is well again */
  at_remove(folder);
}

/* What the header of a file says about a newer format, or about damage, ends the opening. */
static void test_newer_format(void **state) {
  (void)state;
  char *folder = at_folder();
  struct at_content before = make_database(folder);
  struct files files = {.n = 0};
  at_each_file(folder, note_file, &files);
  for (int i = 0; i < files.n; i++) {
    size_t n;
    unsigned char *bytes = at_read(files.path[i], &n);
    bytes[8] = VECDB_FORMAT_VERSION + 1; /* behind the magic; the checksum does not know of it */
    at_write(files.path[i], bytes, n);
    vecdb *db = (vecdb *)folder;
    int rc = vecdb_open(folder, NULL, &db, &at_err);
    assert_true(rc == VECDB_ERR_NEWER_FORMAT || rc == VECDB_ERR_CORRUPT);
    assert_null(db);
    bytes[8] = VECDB_FORMAT_VERSION;
    at_write(files.path[i], bytes, n);
    free(bytes);
  }
  assert_false(look(folder, VECDB_VERIFY_FULL, before, false));
  at_remove(folder);
}

/* Damage that a check finds is told fault by fault. */
static void note_fault(void *user, const char *line) {
  assert_true(strlen(line) > 0);
  ++*(int *)user;
}

static void test_check_reports(void **state) {
  (void)state;
  char *folder = at_folder();
  make_database(folder);
  struct files files = {.n = 0};
  at_each_file(folder, note_file, &files);
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.flags = VECDB_HOST_DRIVEN; /* nobody else merges the files away */
  vecdb *db = at_open(folder, &options);
  int faults = 0;
  at_ok(vecdb_check(db, note_fault, &faults, NULL, &at_err));
  assert_int_equal(faults, 0);
  for (int i = 0; i < files.n; i++) { /* a file of rows changes under the open database */
    size_t n;
    unsigned char *bytes = at_read(files.path[i], &n);
    if (is_log(files.path[i]) || strstr(files.path[i], "MANIFEST") || n < 3000) {
      free(bytes);
      continue;
    }
    FILE *file = fopen(files.path[i], "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, (long)n / 2, SEEK_SET), 0);
    fputc(bytes[n / 2] ^ 0x10, file);
    fclose(file);
    free(bytes);
  }
  at_fails(VECDB_ERR_CORRUPT, vecdb_check(db, note_fault, &faults, NULL, &at_err));
  assert_true(faults >= 1);
  at_fails(VECDB_ERR_CORRUPT, vecdb_check(db, NULL, NULL, NULL, &at_err));
  at_close(db);
  at_remove(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_foreign_folders),    cmocka_unit_test(test_two_writers),
      cmocka_unit_test(test_without_permission), cmocka_unit_test(test_read_only_media),
      cmocka_unit_test(test_damaged_files),
      cmocka_unit_test(test_newer_format),       cmocka_unit_test(test_check_reports),
      cmocka_unit_test(test_process_ends),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
