/* test_vfs.c - one list of contract tests, run over the system's files, over those in memory and
   over the simulated disk of the fault tests. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "os/env.h"
#include "tlib/simdisk.h"

enum { TEST_PATH = 256 };

struct fixture {
  struct vdb_mem mem;
  const vecdb_vfs *vfs;
  vecdb_vfs *owned;
  struct simdisk *disk;
  char folder[TEST_PATH - 64];
  char path[4][TEST_PATH];
};

static int setup_mem(void **state) {
  struct fixture *f = calloc(1, sizeof *f);
  vdb_mem_init(&f->mem, NULL, 0);
  f->owned = vdb_vfs_mem_new(&f->mem);
  f->vfs = f->owned;
  snprintf(f->folder, sizeof f->folder, ":memory:");
  *state = f;
  return !f->owned || f->vfs->make_dir(f->vfs, f->folder);
}

static int teardown_mem(void **state) {
  struct fixture *f = *state;
  vdb_vfs_mem_free(&f->mem, f->owned);
  int rc = atomic_load(&f->mem.used) != 0; /* a leak */
  free(f);
  return rc;
}

static int setup_sim(void **state) {
  struct fixture *f = calloc(1, sizeof *f);
  f->disk = simdisk_new();
  f->vfs = simdisk_vfs(f->disk);
  snprintf(f->folder, sizeof f->folder, "/db");
  *state = f;
  return f->vfs->make_dir(f->vfs, f->folder);
}

static int teardown_sim(void **state) {
  struct fixture *f = *state;
  int rc = simdisk_handles(f->disk) != 0;
  simdisk_free(f->disk);
  free(f);
  return rc;
}

static int setup_posix(void **state) {
  struct fixture *f = calloc(1, sizeof *f);
  f->vfs = vdb_vfs_posix();
  const char *base = getenv("TMPDIR");
  snprintf(f->folder, sizeof f->folder, "%s/vecdb-test-XXXXXX", base ? base : "/tmp");
  *state = f;
  return mkdtemp(f->folder) == NULL;
}

static int teardown_posix(void **state) {
  struct fixture *f = *state;
  char sub[TEST_PATH];
  snprintf(sub, sizeof sub, "%s/sub", f->folder);
  rmdir(sub);
  int rc = rmdir(f->folder); /* fails when a test has left files */
  free(f);
  return rc;
}

/* The path of `name` in the test's folder; valid until the fourth call after. */
static const char *at(struct fixture *f, const char *name) {
  static unsigned turn;
  char *path = f->path[turn++ % 4];
  snprintf(path, TEST_PATH, "%s/%s", f->folder, name);
  return path;
}

static vecdb_file *open_ok(struct fixture *f, const char *name, int mode) {
  vecdb_file *file = NULL;
  assert_int_equal(f->vfs->open(f->vfs, at(f, name), mode, &file), 0);
  assert_non_null(file);
  assert_ptr_equal(file->vfs, f->vfs);
  return file;
}

static void put(struct fixture *f, const char *name, const char *text) {
  vecdb_file *file = open_ok(f, name, VECDB_OPEN_CREATE);
  assert_int_equal(f->vfs->write(file, text, strlen(text), 0), 0);
  assert_int_equal(f->vfs->sync(file), 0);
  f->vfs->close(file);
}

static void expect(struct fixture *f, const char *name, const char *text) {
  vecdb_file *file = open_ok(f, name, VECDB_OPEN_READ);
  char buf[256];
  uint64_t n = 0;
  assert_int_equal(f->vfs->length(file, &n), 0);
  assert_int_equal(n, strlen(text));
  assert_int_equal(f->vfs->read(file, buf, (size_t)n, 0), 0);
  assert_memory_equal(buf, text, (size_t)n);
  f->vfs->close(file);
}

static void drop(struct fixture *f, const char *name) {
  assert_int_equal(f->vfs->remove(f->vfs, at(f, name)), 0);
}

static void test_create_write_read(void **state) {
  struct fixture *f = *state;
  vecdb_file *file = open_ok(f, "a", VECDB_OPEN_CREATE);
  uint64_t n = 1;
  assert_int_equal(f->vfs->length(file, &n), 0);
  assert_int_equal(n, 0);
  assert_int_equal(f->vfs->write(file, "hello", 5, 0), 0);
  assert_int_equal(f->vfs->write(file, "J", 1, 0), 0);
  assert_int_equal(f->vfs->write(file, "!", 1, 9), 0); /* a hole reads as zeros */
  char buf[10];
  assert_int_equal(f->vfs->read(file, buf, 10, 0), 0);
  assert_memory_equal(buf, "Jello\0\0\0\0!", 10);
  assert_int_equal(f->vfs->sync(file), 0);
  assert_int_equal(f->vfs->sync_dir(f->vfs, f->folder), 0);
  f->vfs->close(file);
  put(f, "a", "new"); /* CREATE empties an old file */
  expect(f, "a", "new");
  file = open_ok(f, "a", VECDB_OPEN_WRITE);
  assert_int_equal(f->vfs->write(file, "er", 2, 3), 0);
  f->vfs->close(file);
  expect(f, "a", "newer");
  drop(f, "a");
}

static void test_two_handles(void **state) {
  struct fixture *f = *state;
  vecdb_file *w = open_ok(f, "a", VECDB_OPEN_CREATE);
  vecdb_file *r = open_ok(f, "a", VECDB_OPEN_READ);
  char buf[3];
  assert_int_equal(f->vfs->write(w, "one", 3, 0), 0);
  assert_int_equal(f->vfs->read(r, buf, 3, 0), 0);
  assert_memory_equal(buf, "one", 3);
  f->vfs->close(w);
  f->vfs->close(r);
  drop(f, "a");
}

static void test_large_and_random(void **state) {
  struct fixture *f = *state;
  enum { SIZE = 300000 };
  uint8_t *shadow = calloc(1, SIZE), *got = malloc(SIZE);
  vecdb_file *file = open_ok(f, "a", VECDB_OPEN_CREATE);
  uint64_t length = 0;
  unsigned x = 12345;
  for (int step = 0; step < 400; step++) {
    uint8_t chunk[1500];
    x = x * 1664525u + 1013904223u;
    size_t offset = x % (SIZE - sizeof chunk);
    size_t n = (x >> 8) % sizeof chunk;
    if (step % 50 == 49) {
      assert_int_equal(f->vfs->truncate(file, offset), 0);
      if (offset < length)
        memset(shadow + offset, 0, SIZE - offset);
      length = offset;
      continue;
    }
    memset(chunk, (int)(x >> 16 & 255), sizeof chunk);
    assert_int_equal(f->vfs->write(file, chunk, n, offset), 0);
    memcpy(shadow + offset, chunk, n);
    if (n > 0 && offset + n > length)
      length = offset + n;
  }
  uint64_t n = 0;
  assert_int_equal(f->vfs->length(file, &n), 0);
  assert_int_equal(n, length);
  assert_int_equal(f->vfs->read(file, got, (size_t)n, 0), 0);
  assert_memory_equal(got, shadow, (size_t)n);
  f->vfs->close(file);
  drop(f, "a");
  free(shadow);
  free(got);
}

static void test_truncate(void **state) {
  struct fixture *f = *state;
  put(f, "a", "abcdef");
  vecdb_file *file = open_ok(f, "a", VECDB_OPEN_WRITE);
  assert_int_equal(f->vfs->truncate(file, 2), 0);
  expect(f, "a", "ab");
  assert_int_equal(f->vfs->truncate(file, 6), 0);
  char buf[6];
  assert_int_equal(f->vfs->read(file, buf, 6, 0), 0);
  assert_memory_equal(buf, "ab\0\0\0\0", 6); /* the old bytes do not come back */
  assert_int_equal(f->vfs->truncate(file, 0), 0);
  expect(f, "a", "");
  f->vfs->close(file);
  drop(f, "a");
}

static void test_past_the_end(void **state) {
  struct fixture *f = *state;
  put(f, "a", "abc");
  vecdb_file *file = open_ok(f, "a", VECDB_OPEN_READ);
  char buf[8];
  assert_int_equal(f->vfs->read(file, buf, 4, 0), EIO);
  assert_int_equal(f->vfs->read(file, buf, 1, 3), EIO);
  assert_int_equal(f->vfs->read(file, buf, 1, UINT64_MAX), EIO);
  assert_int_equal(f->vfs->read(file, buf, 8, UINT64_MAX - 3), EIO);
  assert_int_equal(f->vfs->read(file, buf, 0, 3), 0);
  const void *map = buf;
  assert_int_equal(f->vfs->map(file, 4, &map), EIO);
  assert_null(map);
  f->vfs->close(file);
  drop(f, "a");
}

static void test_read_only_handle(void **state) {
  struct fixture *f = *state;
  put(f, "a", "abc");
  vecdb_file *file = open_ok(f, "a", VECDB_OPEN_READ);
  assert_int_equal(f->vfs->write(file, "x", 1, 0), EBADF);
  assert_int_equal(f->vfs->truncate(file, 0), EINVAL);
  assert_int_equal(f->vfs->reserve(file, 100), EBADF);
  f->vfs->close(file);
  expect(f, "a", "abc");
  drop(f, "a");
}

static void test_errors(void **state) {
  struct fixture *f = *state;
  const vecdb_vfs *v = f->vfs;
  vecdb_file *file = (vecdb_file *)f;
  assert_int_equal(v->open(v, at(f, "none"), VECDB_OPEN_READ, &file), ENOENT);
  assert_null(file);
  assert_int_equal(v->open(v, at(f, "none"), VECDB_OPEN_WRITE, &file), ENOENT);
  assert_int_equal(v->open(v, at(f, "none/a"), VECDB_OPEN_CREATE, &file), ENOENT);
  assert_int_equal(v->open(v, at(f, "none"), 4, &file), EINVAL);
  assert_int_equal(v->open(v, at(f, "none"), -1, &file), EINVAL);
  assert_int_equal(v->open(v, f->folder, VECDB_OPEN_READ, &file), EISDIR);
  assert_int_equal(v->open(v, f->folder, VECDB_OPEN_CREATE, &file), EISDIR);
  assert_int_equal(v->lock(v, at(f, "none/lock"), &file), ENOENT);
  assert_null(file);
  assert_int_equal(v->remove(v, at(f, "none")), ENOENT);
  assert_int_equal(v->rename(v, at(f, "none"), at(f, "b")), ENOENT);
  assert_int_equal(v->sync_dir(v, at(f, "none")), ENOENT);
  assert_int_equal(v->make_dir(v, f->folder), EEXIST);
  assert_int_equal(v->make_dir(v, at(f, "none/sub")), ENOENT);
  put(f, "a", "abc");
  assert_int_equal(v->remove(v, f->folder), ENOTEMPTY);
  assert_int_equal(v->make_dir(v, at(f, "empty")), 0);
  assert_int_equal(v->remove(v, at(f, "empty")), 0);
  assert_int_equal(v->remove(v, at(f, "empty")), ENOENT);
  assert_int_equal(v->make_dir(v, at(f, "a")), EEXIST);
  assert_int_equal(v->open(v, at(f, "a/b"), VECDB_OPEN_CREATE, &file), ENOTDIR);
  assert_int_equal(v->rename(v, at(f, "a"), at(f, "none/a")), ENOENT);
  expect(f, "a", "abc");
  file = open_ok(f, "a", VECDB_OPEN_WRITE);
  assert_int_equal(v->write(file, "x", 1, UINT64_MAX - 1), EFBIG);
  assert_int_equal(v->truncate(file, UINT64_MAX), EFBIG);
  v->close(file);
  expect(f, "a", "abc");
  v->close(NULL);
  drop(f, "a");
}

static void test_rename(void **state) {
  struct fixture *f = *state;
  const vecdb_vfs *v = f->vfs;
  put(f, "a", "first");
  put(f, "b", "second");
  vecdb_file *old = open_ok(f, "b", VECDB_OPEN_READ);
  vecdb_file *moved = open_ok(f, "a", VECDB_OPEN_WRITE);
  assert_int_equal(v->rename(v, at(f, "a"), at(f, "b")), 0);
  expect(f, "b", "first");
  vecdb_file *file;
  assert_int_equal(v->open(v, at(f, "a"), VECDB_OPEN_READ, &file), ENOENT);
  char buf[6];
  assert_int_equal(v->read(old, buf, 6, 0), 0); /* the replaced file lives on in its handle */
  assert_memory_equal(buf, "second", 6);
  assert_int_equal(v->write(moved, "F", 1, 0), 0);
  expect(f, "b", "First");
  v->close(old);
  v->close(moved);
  assert_int_equal(v->rename(v, at(f, "b"), at(f, "b")), 0);
  expect(f, "b", "First");
  drop(f, "b");
}

static void test_remove_open(void **state) {
  struct fixture *f = *state;
  put(f, "a", "abc");
  vecdb_file *file = open_ok(f, "a", VECDB_OPEN_WRITE);
  drop(f, "a");
  put(f, "a", "other");
  char buf[4];
  assert_int_equal(f->vfs->write(file, "d", 1, 3), 0);
  assert_int_equal(f->vfs->read(file, buf, 4, 0), 0);
  assert_memory_equal(buf, "abcd", 4);
  f->vfs->close(file);
  expect(f, "a", "other");
  drop(f, "a");
}

struct names {
  struct fixture *f;
  char all[1024];
  unsigned n;
  bool remove;
};

static void note_name(void *arg, const char *name) {
  struct names *names = arg;
  snprintf(names->all + strlen(names->all), sizeof names->all - strlen(names->all), "<%s>", name);
  names->n++;
  if (names->remove)
    drop(names->f, name);
}

static void test_list(void **state) {
  struct fixture *f = *state;
  struct names names = {.f = f};
  assert_int_equal(f->vfs->list(f->vfs, f->folder, note_name, &names), 0);
  assert_int_equal(names.n, 0);
  put(f, "a", "");
  put(f, "b", "x");
  put(f, "c.tmp", "");
  assert_int_equal(f->vfs->make_dir(f->vfs, at(f, "sub")), 0);
  put(f, "sub/d", "");
  assert_int_equal(f->vfs->list(f->vfs, f->folder, note_name, &names), 0);
  assert_int_equal(names.n, 3);
  assert_non_null(strstr(names.all, "<a>"));
  assert_non_null(strstr(names.all, "<b>"));
  assert_non_null(strstr(names.all, "<c.tmp>"));
  struct names in_sub = {.f = f};
  assert_int_equal(f->vfs->list(f->vfs, at(f, "sub/"), note_name, &in_sub), 0);
  assert_string_equal(in_sub.all, "<d>");
  assert_int_equal(f->vfs->list(f->vfs, at(f, "none"), note_name, &names), ENOENT);
  assert_int_equal(f->vfs->list(f->vfs, at(f, "a"), note_name, &names), ENOTDIR);
  drop(f, "sub/d");
  names.remove = true; /* visit may remove what it is told of */
  assert_int_equal(f->vfs->list(f->vfs, f->folder, note_name, &names), 0);
  struct names left = {.f = f};
  assert_int_equal(f->vfs->list(f->vfs, f->folder, note_name, &left), 0);
  assert_int_equal(left.n, 0);
}

static void test_lock(void **state) {
  struct fixture *f = *state;
  const vecdb_vfs *v = f->vfs;
  vecdb_file *one = NULL, *two = NULL;
  assert_int_equal(v->lock(v, at(f, "lock"), &one), 0);
  assert_int_equal(v->lock(v, at(f, "lock"), &two), EBUSY);
  assert_null(two);
  vecdb_file *reader = open_ok(f, "lock", VECDB_OPEN_READ); /* only lock looks at locks */
  v->close(reader);
  assert_int_equal(v->lock(v, at(f, "lock"), &two), EBUSY); /* nor does close of another handle */
  assert_int_equal(v->write(one, "me", 2, 0), 0);
  v->close(one);
  assert_int_equal(v->lock(v, at(f, "lock"), &two), 0);
  v->close(two);
  expect(f, "lock", "me"); /* locking keeps the contents */
  drop(f, "lock");
}

static void test_map(void **state) {
  struct fixture *f = *state;
  const vecdb_vfs *v = f->vfs;
  put(f, "a", "mapped bytes");
  vecdb_file *file = open_ok(f, "a", VECDB_OPEN_WRITE);
  const void *part = NULL, *whole = NULL, *none = NULL;
  assert_int_equal(v->map(file, 6, &part), 0);
  assert_int_equal(v->map(file, 12, &whole), 0);
  assert_int_equal(v->map(file, 0, &none), 0);
  assert_non_null(none);
  assert_int_equal((uintptr_t)whole % 64, 0);
  assert_memory_equal(part, "mapped", 6);
  assert_int_equal(v->write(file, "M", 1, 0), 0);
  assert_memory_equal(whole, "Mapped bytes", 12); /* shared */
  char big[5000];
  memset(big, 'x', sizeof big);
  assert_int_equal(v->write(file, big, sizeof big, 12), 0); /* growing does not move it */
  assert_memory_equal(whole, "Mapped bytes", 12);
  v->close(file);
  assert_memory_equal(whole, "Mapped bytes", 12);
  drop(f, "a");
  assert_memory_equal(whole, "Mapped bytes", 12);
  v->unmap(v, part, 6);
  assert_memory_equal(whole, "Mapped bytes", 12);
  v->unmap(v, whole, 12);
  v->unmap(v, none, 0);
}

static void test_map_empty_file(void **state) {
  struct fixture *f = *state;
  put(f, "a", "");
  vecdb_file *file = open_ok(f, "a", VECDB_OPEN_READ);
  const void *map = NULL;
  assert_int_equal(f->vfs->map(file, 0, &map), 0);
  assert_non_null(map);
  f->vfs->unmap(f->vfs, map, 0);
  f->vfs->close(file);
  drop(f, "a");
}

static void test_reserve(void **state) {
  struct fixture *f = *state;
  vecdb_file *file = open_ok(f, "a", VECDB_OPEN_CREATE);
  uint64_t n = 1;
  assert_int_equal(f->vfs->reserve(file, 1 << 20), 0);
  assert_int_equal(f->vfs->reserve(file, 0), 0);
  assert_int_equal(f->vfs->length(file, &n), 0);
  assert_int_equal(n, 0);
  assert_int_equal(f->vfs->write(file, "abc", 3, 0), 0);
  assert_int_equal(f->vfs->reserve(file, 100), 0);
  f->vfs->close(file);
  expect(f, "a", "abc");
  drop(f, "a");
}

/* ---- Of one side only ------------------------------------------------------------------------ */

static void test_posix_links(void **state) {
  struct fixture *f = *state;
  const vecdb_vfs *v = f->vfs;
  put(f, "a", "abc");
  assert_int_equal(symlink("a", at(f, "link")), 0);
  assert_int_equal(mkfifo(at(f, "pipe"), 0600), 0);
  vecdb_file *file;
  assert_int_equal(v->open(v, at(f, "link"), VECDB_OPEN_READ, &file), ELOOP);
  assert_int_equal(v->open(v, at(f, "link"), VECDB_OPEN_CREATE, &file), ELOOP);
  assert_int_equal(v->lock(v, at(f, "link"), &file), ELOOP);
  assert_int_equal(v->open(v, at(f, "pipe"), VECDB_OPEN_READ, &file), EINVAL);
  struct names names = {.f = f};
  assert_int_equal(v->list(v, f->folder, note_name, &names), 0);
  assert_string_equal(names.all, "<a>"); /* plain files only */
  expect(f, "a", "abc");
  drop(f, "pipe");
  drop(f, "link");
  drop(f, "a");
}

/* The system writes a part when a limit is near: that is no whole write. */
static void test_posix_short_write(void **state) {
  struct fixture *f = *state;
  struct rlimit before, small;
  char bytes[3000] = {1};
  vecdb_file *file;
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
  small = before;
  small.rlim_cur = 1000;
  assert_int_equal(f->vfs->open(f->vfs, at(f, "a"), VECDB_OPEN_CREATE, &file), 0);
  void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
  int rc = f->vfs->write(file, bytes, sizeof bytes, 0);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
  signal(SIGXFSZ, handler);
  assert_int_equal(rc, EFBIG);
  assert_int_equal(f->vfs->write(file, bytes, sizeof bytes, 0), 0);
  f->vfs->close(file);
  assert_int_equal(f->vfs->remove(f->vfs, at(f, "a")), 0);
}

static void test_posix_modes(void **state) {
  struct fixture *f = *state;
  mode_t old = umask(022);
  put(f, "a", "abc");
  assert_int_equal(f->vfs->make_dir(f->vfs, at(f, "sub")), 0);
  umask(old);
  struct stat st;
  assert_int_equal(stat(at(f, "a"), &st), 0);
  assert_int_equal(st.st_mode & 0777, 0644);
  assert_int_equal(stat(at(f, "sub"), &st), 0);
  assert_int_equal(st.st_mode & 0777, 0755);
  drop(f, "a");
}

static void test_mem_paths(void **state) {
  struct fixture *f = *state;
  const vecdb_vfs *v = f->vfs;
  put(f, "a", "abc");
  vecdb_file *file;
  assert_int_equal(v->open(v, "/./:memory:/../:memory://a", VECDB_OPEN_READ, &file), 0);
  v->close(file);
  assert_int_equal(v->open(v, "", VECDB_OPEN_READ, &file), EISDIR);
  assert_int_equal(v->make_dir(v, "/"), EEXIST);
  drop(f, "a");
}

static void test_mem_limit(void **state) {
  struct fixture *f = *state;
  const vecdb_vfs *v = f->vfs;
  vecdb_file *file = open_ok(f, "a", VECDB_OPEN_CREATE);
  char block[4096];
  memset(block, 7, sizeof block);
  f->mem.limit = atomic_load(&f->mem.used) + 40000;
  uint64_t n = 0, length = 0;
  int rc = 0;
  while (rc == 0) {
    rc = v->write(file, block, sizeof block, n);
    n += rc == 0 ? sizeof block : 0;
  }
  assert_int_equal(rc, ENOMEM);
  assert_true(n >= 3 * sizeof block);
  assert_int_equal(v->length(file, &length), 0);
  assert_int_equal(length, n);
  assert_int_equal(v->read(file, block, sizeof block, n - sizeof block), 0);
  assert_int_equal(block[4095], 7);
  /* Each call fails cleanly at each of its allocations. */
  v->close(file);
  for (uint64_t room = 0;; room += 16) {
    f->mem.limit = atomic_load(&f->mem.used) + room;
    rc = v->open(v, at(f, "some-name"), VECDB_OPEN_CREATE, &file);
    if (rc == 0)
      break;
    assert_int_equal(rc, ENOMEM);
  }
  v->close(file);
  f->mem.limit = 0;
  drop(f, "some-name");
  drop(f, "a");
}

#define CONTRACT(setup, teardown)                                              \
  cmocka_unit_test_setup_teardown(test_create_write_read, setup, teardown),    \
      cmocka_unit_test_setup_teardown(test_two_handles, setup, teardown),      \
      cmocka_unit_test_setup_teardown(test_large_and_random, setup, teardown), \
      cmocka_unit_test_setup_teardown(test_truncate, setup, teardown),         \
      cmocka_unit_test_setup_teardown(test_past_the_end, setup, teardown),     \
      cmocka_unit_test_setup_teardown(test_read_only_handle, setup, teardown), \
      cmocka_unit_test_setup_teardown(test_errors, setup, teardown),           \
      cmocka_unit_test_setup_teardown(test_rename, setup, teardown),           \
      cmocka_unit_test_setup_teardown(test_remove_open, setup, teardown),      \
      cmocka_unit_test_setup_teardown(test_list, setup, teardown),             \
      cmocka_unit_test_setup_teardown(test_lock, setup, teardown),             \
      cmocka_unit_test_setup_teardown(test_map, setup, teardown),              \
      cmocka_unit_test_setup_teardown(test_map_empty_file, setup, teardown),   \
      cmocka_unit_test_setup_teardown(test_reserve, setup, teardown)

int main(void) {
  const struct CMUnitTest posix[] = {
      CONTRACT(setup_posix, teardown_posix),
      cmocka_unit_test_setup_teardown(test_posix_links, setup_posix, teardown_posix),
      cmocka_unit_test_setup_teardown(test_posix_modes, setup_posix, teardown_posix),
      cmocka_unit_test_setup_teardown(test_posix_short_write, setup_posix, teardown_posix),
  };
  const struct CMUnitTest mem[] = {
      CONTRACT(setup_mem, teardown_mem),
      cmocka_unit_test_setup_teardown(test_mem_paths, setup_mem, teardown_mem),
      cmocka_unit_test_setup_teardown(test_mem_limit, setup_mem, teardown_mem),
  };
  const struct CMUnitTest sim[] = {CONTRACT(setup_sim, teardown_sim)};
  int failed = cmocka_run_group_tests_name("vfs_posix", posix, NULL, NULL);
  failed += cmocka_run_group_tests_name("vfs_mem", mem, NULL, NULL);
  return failed + cmocka_run_group_tests_name("simdisk", sim, NULL, NULL);
}
