/* test_simdisk.c - the simulated disk keeps its promises: what is durable survives every crash,
   what is not meets every fate. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "tlib/simdisk.h"

enum { SEEDS = 400 };

struct fixture {
  struct simdisk *disk;
  const vecdb_vfs *vfs;
};

/* A disk with the durable, empty folder "/db". */
static int setup(void **state) {
  struct fixture *f = calloc(1, sizeof *f);
  f->disk = simdisk_new();
  f->vfs = simdisk_vfs(f->disk);
  *state = f;
  int rc = f->vfs->make_dir(f->vfs, "/db");
  simdisk_settle(f->disk);
  return rc;
}

static int teardown(void **state) {
  struct fixture *f = *state;
  int rc = simdisk_handles(f->disk) != 0;
  simdisk_free(f->disk);
  free(f);
  return rc;
}

static vecdb_file *open_ok(struct simdisk *disk, const char *path, int mode) {
  const vecdb_vfs *vfs = simdisk_vfs(disk);
  vecdb_file *file = NULL;
  assert_int_equal(vfs->open(vfs, path, mode, &file), 0);
  return file;
}

/* A file of n bytes of one value; the name and bytes are seen, not durable. */
static void put(struct simdisk *disk, const char *path, int value, size_t n) {
  vecdb_file *file = open_ok(disk, path, VECDB_OPEN_CREATE);
  uint8_t *data = malloc(n + 1);
  memset(data, value, n);
  assert_int_equal(file->vfs->write(file, data, n, 0), 0);
  file->vfs->close(file);
  free(data);
}

static void put_durable(struct simdisk *disk, const char *path, int value, size_t n) {
  put(disk, path, value, n);
  simdisk_settle(disk);
}

static bool exists(struct simdisk *disk, const char *path) {
  uint64_t length;
  return simdisk_length(disk, path, &length) == 0;
}

/* The value all n bytes of the file have; -1: another length, -2: no such file, -3: mixed. */
static int value_of(struct simdisk *disk, const char *path, size_t n) {
  uint64_t length;
  if (simdisk_length(disk, path, &length) != 0)
    return -2;
  if (length != n)
    return -1;
  uint8_t *data = malloc(n + 1);
  assert_int_equal(simdisk_peek(disk, path, data, n, 0), 0);
  int value = data[0];
  for (size_t i = 0; i < n; i++)
    value = data[i] == data[0] ? value : -3;
  free(data);
  return value;
}

/* A clone after a crash. */
static struct simdisk *crashed(struct simdisk *disk, uint64_t seed) {
  struct simdisk *clone = simdisk_clone(disk);
  simdisk_crash(clone, seed);
  return clone;
}

static void test_synced_survives(void **state) {
  struct fixture *f = *state;
  const vecdb_vfs *v = f->vfs;
  vecdb_file *file = open_ok(f->disk, "/db/a", VECDB_OPEN_CREATE);
  uint8_t data[3000];
  memset(data, 1, sizeof data);
  assert_int_equal(v->write(file, data, sizeof data, 0), 0);
  assert_int_equal(v->truncate(file, 2000), 0);
  assert_int_equal(v->write(file, data, 10, 2990), 0);
  assert_int_equal(v->sync(file), 0);
  assert_int_equal(v->sync_dir(v, "/db"), 0);
  assert_int_equal(v->write(file, data, 0, 9000), 0); /* nothing written, nothing grown */
  v->close(file);
  memset(data + 2000, 0, 990);
  for (uint64_t seed = 0; seed < SEEDS; seed++) {
    struct simdisk *d = crashed(f->disk, seed);
    uint8_t got[3000];
    uint64_t length;
    assert_int_equal(simdisk_length(d, "/db/a", &length), 0);
    assert_int_equal(length, sizeof data);
    assert_int_equal(simdisk_peek(d, "/db/a", got, sizeof got, 0), 0);
    assert_memory_equal(got, data, sizeof data);
    simdisk_free(d);
  }
}

static void test_unsynced_append(void **state) {
  struct fixture *f = *state;
  put_durable(f->disk, "/db/a", 1, 1000);
  vecdb_file *file = open_ok(f->disk, "/db/a", VECDB_OPEN_WRITE);
  uint8_t data[4000];
  memset(data, 2, sizeof data);
  assert_int_equal(f->vfs->write(file, data, 4000, 1000), 0);
  f->vfs->close(file);
  unsigned none = 0, all = 0, zeros = 0, garbage = 0, torn = 0, between = 0;
  for (uint64_t seed = 0; seed < SEEDS; seed++) {
    struct simdisk *d = crashed(f->disk, seed);
    uint8_t got[5000];
    uint64_t n;
    assert_int_equal(simdisk_length(d, "/db/a", &n), 0);
    assert_true(n >= 1000 && n <= 5000);
    assert_int_equal(simdisk_peek(d, "/db/a", got, (size_t)n, 0), 0);
    for (size_t i = 0; i < 1000; i++)
      assert_int_equal(got[i], 1); /* the synced part is whole, also in the shared sector */
    size_t twos = 0, other = 0;
    for (size_t i = 1000; i < n; i++) {
      twos += got[i] == 2;
      other += got[i] != 2 && got[i] != 0;
    }
    none += n == 1000;
    between += n > 1000 && n < 5000;
    all += n == 5000 && twos == 4000;
    torn += twos > 0 && n - 1000 - twos > SEEDS;
    zeros += n > 2000 && twos == 0 && other == 0;
    garbage += other > 200;
    assert_true(seed % 8 != 0 || n == 1000);
    assert_true(seed % 8 != 1 || twos == 4000);
    simdisk_free(d);
  }
  assert_true(none > 0 && all > 0 && between > 0 && torn > 0 && zeros > 0 && garbage > 0);
}

static void test_unsynced_overwrite_tears_at_sectors(void **state) {
  struct fixture *f = *state;
  put_durable(f->disk, "/db/a", 1, 4096);
  vecdb_file *file = open_ok(f->disk, "/db/a", VECDB_OPEN_WRITE);
  uint8_t data[4096];
  memset(data, 2, sizeof data);
  assert_int_equal(f->vfs->write(file, data, sizeof data, 0), 0);
  f->vfs->close(file);
  unsigned old = 0, new = 0, mixed = 0, holes = 0;
  for (uint64_t seed = 0; seed < SEEDS; seed++) {
    struct simdisk *d = crashed(f->disk, seed);
    int value = value_of(d, "/db/a", sizeof data);
    assert_true(value == 1 || value == 2 || value == -3);
    assert_int_equal(simdisk_peek(d, "/db/a", data, sizeof data, 0), 0);
    for (size_t i = 0; i < sizeof data; i++)
      assert_int_equal(data[i], data[i / 512 * 512]); /* a sector is old or new */
    old += value == 1;
    new += value == 2;
    mixed += value == -3;
    holes += data[0] == 1 && data[4095] == 2; /* later bytes without earlier ones */
    simdisk_free(d);
  }
  assert_true(old > 0 && new > 0 && mixed > 0 && holes > 0);
}

static void test_writes_are_reordered(void **state) {
  struct fixture *f = *state;
  put_durable(f->disk, "/db/a", 1, 1024);
  vecdb_file *file = open_ok(f->disk, "/db/a", VECDB_OPEN_WRITE);
  assert_int_equal(f->vfs->write(file, "x", 1, 0), 0);
  assert_int_equal(f->vfs->write(file, "y", 1, 600), 0);
  f->vfs->close(file);
  unsigned seen[4] = {0};
  for (uint64_t seed = 0; seed < SEEDS; seed++) {
    struct simdisk *d = crashed(f->disk, seed);
    uint8_t x, y;
    assert_int_equal(simdisk_peek(d, "/db/a", &x, 1, 0), 0);
    assert_int_equal(simdisk_peek(d, "/db/a", &y, 1, 600), 0);
    seen[(x == 'x') + 2 * (y == 'y')]++;
    simdisk_free(d);
  }
  for (unsigned i = 0; i < 4; i++)
    assert_true(seen[i] > 0);
}

static void test_unsynced_truncate(void **state) {
  struct fixture *f = *state;
  put_durable(f->disk, "/db/a", 1, 3000);
  vecdb_file *file = open_ok(f->disk, "/db/a", VECDB_OPEN_WRITE);
  assert_int_equal(f->vfs->truncate(file, 100), 0);
  unsigned old = 0, new = 0;
  for (uint64_t seed = 0; seed < SEEDS; seed++) {
    struct simdisk *d = crashed(f->disk, seed);
    uint64_t n;
    assert_int_equal(simdisk_length(d, "/db/a", &n), 0);
    assert_int_equal(value_of(d, "/db/a", (size_t)n), 1);
    assert_true(n >= 100 && n <= 3000);
    old += n == 3000;
    new += n == 100;
    simdisk_free(d);
  }
  assert_true(old > 0 && new > 0);
  assert_int_equal(f->vfs->sync(file), 0);
  f->vfs->close(file);
  for (uint64_t seed = 0; seed < SEEDS; seed++) {
    struct simdisk *d = crashed(f->disk, seed);
    assert_int_equal(value_of(d, "/db/a", 100), 1);
    simdisk_free(d);
  }
}

/* Random changes and syncs of one file against a shadow of what each byte may be. */
static void test_random_history(void **state) {
  struct fixture *f = *state;
  enum { SIZE = 6000 };
  struct vdb_rng rng = {7};
  for (unsigned round = 0; round < 60; round++) {
    uint8_t now[SIZE] = {0}, durable[SIZE] = {0};
    bool touched[SIZE] = {false}; /* since the last sync */
    size_t length = 0, durable_length = 0, low = 0, high = 0;
    vecdb_file *file = open_ok(f->disk, "/db/r", VECDB_OPEN_CREATE);
    assert_int_equal(f->vfs->sync(file), 0);
    assert_int_equal(f->vfs->sync_dir(f->vfs, "/db"), 0);
    unsigned steps = 1 + vdb_rng_below(&rng, 30);
    for (unsigned step = 0; step < steps; step++) {
      uint8_t chunk[1500];
      size_t n = vdb_rng_below(&rng, sizeof chunk), at = vdb_rng_below(&rng, SIZE - sizeof chunk);
      uint32_t what = vdb_rng_below(&rng, 10);
      if (what < 2) {
        assert_int_equal(f->vfs->sync(file), 0);
        memcpy(durable, now, SIZE);
        memset(touched, 0, sizeof touched);
        durable_length = low = high = length;
        continue;
      }
      size_t from = at, to = at + n;
      if (what == 2) {
        assert_int_equal(f->vfs->truncate(file, at), 0);
        from = at < length ? at : length;
        to = SIZE;
        memset(now + at, 0, SIZE - at);
        length = at;
      } else {
        memset(chunk, 1 + (int)step, n);
        assert_int_equal(f->vfs->write(file, chunk, n, at), 0);
        memcpy(now + at, chunk, n);
        from = n > 0 && at > length ? length : at; /* the gap is new too */
        length = n > 0 && at + n > length ? at + n : length;
      }
      for (size_t i = from; i < to; i++)
        touched[i] = true;
      low = length < low ? length : low;
      high = length > high ? length : high;
    }
    f->vfs->close(file);
    for (uint64_t seed = 0; seed < 40; seed++) {
      struct simdisk *d = crashed(f->disk, seed);
      uint8_t got[SIZE];
      uint64_t n;
      assert_int_equal(simdisk_length(d, "/db/r", &n), 0);
      assert_true(n >= low && n <= high);
      assert_true(seed % 8 != 0 || n == durable_length);
      assert_true(seed % 8 != 1 || n == length);
      assert_int_equal(simdisk_peek(d, "/db/r", got, (size_t)n, 0), 0);
      for (size_t i = 0; i < n; i++) {
        if (!touched[i] && i < durable_length)
          assert_int_equal(got[i], durable[i]);
        if (seed % 8 <= 1)
          assert_int_equal(got[i], seed % 8 ? now[i] : durable[i]);
      }
      simdisk_free(d);
    }
    simdisk_crash(f->disk, round);
  }
}

static void test_names(void **state) {
  struct fixture *f = *state;
  const vecdb_vfs *v = f->vfs;
  vecdb_file *file = open_ok(f->disk, "/db/a", VECDB_OPEN_CREATE);
  assert_int_equal(v->write(file, "abc", 3, 0), 0);
  assert_int_equal(v->sync(file), 0); /* the file, not its name */
  v->close(file);
  put(f->disk, "/db/b", 1, 10);
  put(f->disk, "/db/c", 1, 10);
  unsigned seen[8] = {0};
  for (uint64_t seed = 0; seed < SEEDS; seed++) {
    struct simdisk *d = crashed(f->disk, seed);
    seen[exists(d, "/db/a") + 2 * exists(d, "/db/b") + 4 * exists(d, "/db/c")]++;
    char got[3];
    if (exists(d, "/db/a")) {
      assert_int_equal(simdisk_peek(d, "/db/a", got, 3, 0), 0);
      assert_memory_equal(got, "abc", 3);
    }
    simdisk_free(d);
  }
  for (unsigned i = 0; i < 8; i++)
    assert_true(seen[i] > 0); /* every subset ... */
  assert_true(seen[1] + seen[3] > seen[2] + seen[4] + seen[5] + seen[6]); /* ... mostly prefixes */
  assert_int_equal(v->sync_dir(v, "/db"), 0);
  assert_int_equal(v->remove(v, "/db/a"), 0);
  unsigned gone = 0;
  for (uint64_t seed = 0; seed < SEEDS; seed++) {
    struct simdisk *d = crashed(f->disk, seed);
    assert_true(exists(d, "/db/b") && exists(d, "/db/c"));
    gone += !exists(d, "/db/a");
    simdisk_free(d);
  }
  assert_true(gone > 0 && gone < SEEDS); /* a removal may be lost too */
}

static void test_rename_is_atomic(void **state) {
  struct fixture *f = *state;
  const vecdb_vfs *v = f->vfs;
  put_durable(f->disk, "/db/main", 1, 700);
  vecdb_file *file = open_ok(f->disk, "/db/tmp", VECDB_OPEN_CREATE);
  uint8_t data[900];
  memset(data, 2, sizeof data);
  assert_int_equal(v->write(file, data, sizeof data, 0), 0);
  assert_int_equal(v->sync(file), 0);
  v->close(file);
  assert_int_equal(v->rename(v, "/db/tmp", "/db/main"), 0);
  unsigned old = 0, new = 0, left = 0;
  for (uint64_t seed = 0; seed < SEEDS; seed++) {
    struct simdisk *d = crashed(f->disk, seed);
    bool is_old = value_of(d, "/db/main", 700) == 1, is_new = value_of(d, "/db/main", 900) == 2;
    assert_true(is_old || is_new);
    assert_true(!is_new || !exists(d, "/db/tmp"));
    old += is_old;
    new += is_new;
    left += is_old && exists(d, "/db/tmp");
    simdisk_free(d);
  }
  assert_true(old > 0 && new > 0 && left > 0);
  assert_int_equal(v->sync_dir(v, "/db"), 0);
  for (uint64_t seed = 0; seed < SEEDS; seed++) {
    struct simdisk *d = crashed(f->disk, seed);
    assert_int_equal(value_of(d, "/db/main", 900), 2);
    simdisk_free(d);
  }
}

static void test_rename_of_unsynced_bytes(void **state) {
  struct fixture *f = *state;
  const vecdb_vfs *v = f->vfs;
  put_durable(f->disk, "/db/main", 1, 700);
  put(f->disk, "/db/tmp", 2, 700); /* the mistake: no sync before rename */
  assert_int_equal(v->rename(v, "/db/tmp", "/db/main"), 0);
  assert_int_equal(v->sync_dir(v, "/db"), 0);
  unsigned broken = 0;
  for (uint64_t seed = 0; seed < SEEDS; seed++) {
    struct simdisk *d = crashed(f->disk, seed);
    broken += value_of(d, "/db/main", 700) != 2;
    simdisk_free(d);
  }
  assert_true(broken > 0);
}

static void test_folders(void **state) {
  struct fixture *f = *state;
  const vecdb_vfs *v = f->vfs;
  assert_int_equal(v->make_dir(v, "/db/sub"), 0);
  put(f->disk, "/db/sub/a", 1, 10);
  vecdb_file *file = open_ok(f->disk, "/db/sub/a", VECDB_OPEN_WRITE);
  assert_int_equal(v->sync(file), 0);
  v->close(file);
  assert_int_equal(v->sync_dir(v, "/db/sub"), 0); /* but not the folder's own name */
  unsigned gone = 0;
  for (uint64_t seed = 0; seed < SEEDS; seed++) {
    struct simdisk *d = crashed(f->disk, seed);
    if (exists(d, "/db/sub/a"))
      assert_int_equal(value_of(d, "/db/sub/a", 10), 1);
    gone += simdisk_vfs(d)->make_dir(simdisk_vfs(d), "/db/sub") == 0;
    simdisk_free(d);
  }
  assert_true(gone > 0 && gone < SEEDS);
  assert_int_equal(v->sync_dir(v, "/db"), 0);
  for (uint64_t seed = 0; seed < SEEDS; seed++) {
    struct simdisk *d = crashed(f->disk, seed);
    assert_int_equal(value_of(d, "/db/sub/a", 10), 1);
    simdisk_free(d);
  }
}

static void test_after_the_crash(void **state) {
  struct fixture *f = *state;
  const vecdb_vfs *v = f->vfs;
  put_durable(f->disk, "/db/a", 1, 100);
  vecdb_file *file = open_ok(f->disk, "/db/a", VECDB_OPEN_WRITE), *lock;
  assert_int_equal(v->lock(v, "/db/lock", &lock), 0);
  const void *map;
  assert_int_equal(v->map(file, 100, &map), 0);
  uint8_t data[100];
  memset(data, 2, sizeof data);
  assert_int_equal(v->write(file, data, 100, 0), 0);
  assert_memory_equal(map, data, 100);
  assert_int_equal(simdisk_handles(f->disk), 3);
  simdisk_crash(f->disk, 0);
  assert_memory_equal(map, data, 100); /* a mapping stays as it was */
  v->unmap(v, map, 100);
  uint64_t n;
  assert_int_equal(v->read(file, data, 1, 0), EIO);
  assert_int_equal(v->write(file, data, 1, 0), EIO);
  assert_int_equal(v->sync(file), EIO);
  assert_int_equal(v->truncate(file, 0), EIO);
  assert_int_equal(v->length(file, &n), EIO);
  assert_int_equal(v->reserve(file, 10), EIO);
  assert_int_equal(v->map(file, 1, &map), EIO);
  vecdb_file *again;
  assert_int_equal(v->lock(v, "/db/lock", &again), 0);
  v->close(lock); /* the old handle does not drop the new lock */
  assert_int_equal(v->lock(v, "/db/lock", &lock), EBUSY);
  v->close(again);
  v->close(file);
  assert_int_equal(value_of(f->disk, "/db/a", 100), 1);
  file = open_ok(f->disk, "/db/a", VECDB_OPEN_READ); /* seen and durable are the same now */
  assert_int_equal(v->read(file, data, 100, 0), 0);
  assert_int_equal(data[99], 1);
  v->close(file);
  simdisk_crash(f->disk, 5);
  assert_int_equal(value_of(f->disk, "/db/a", 100), 1);
}

static void add_to_sum(void *arg, const char *path, uint64_t length) {
  void **args = arg;
  uint64_t *sum = args[1];
  for (const char *c = path; *c; c++)
    *sum = vdb_mix64(*sum + (uint8_t)*c);
  for (uint64_t i = 0; i < length; i++) {
    uint8_t byte;
    assert_int_equal(simdisk_peek(args[0], path, &byte, 1, i), 0);
    *sum = vdb_mix64(*sum + byte);
  }
}

/* One number for all names and bytes that the program sees. */
static uint64_t sum_of(struct simdisk *disk) {
  struct simdisk *settled = simdisk_clone(disk);
  simdisk_settle(settled);
  uint64_t sum = 0;
  void *args[] = {settled, &sum};
  simdisk_each(settled, add_to_sum, args);
  simdisk_free(settled);
  return sum;
}

static void test_clone_and_seeds(void **state) {
  struct fixture *f = *state;
  for (int i = 0; i < 4; i++) {
    char path[32];
    snprintf(path, sizeof path, "/db/%d", i);
    put(f->disk, path, i, 2000);
    if (i % 2)
      assert_int_equal(f->vfs->sync_dir(f->vfs, "/db"), 0);
  }
  uint64_t different = 0, first = 0;
  for (uint64_t seed = 0; seed < 50; seed++) {
    struct simdisk *one = crashed(f->disk, seed), *clone = simdisk_clone(f->disk);
    struct simdisk *two = crashed(clone, seed);
    uint64_t sum = sum_of(one);
    assert_true(sum == sum_of(two));
    first = seed == 0 ? sum : first;
    different += sum != first;
    put(one, "/db/only-here", 1, 1);
    assert_false(exists(f->disk, "/db/only-here"));
    simdisk_free(one);
    simdisk_free(two);
    simdisk_free(clone);
  }
  assert_true(different > 20);
}

/* ---- Stop, faults and space ------------------------------------------------------------------ */

/* Nine operations: what a careful program does. 0 or the first error. */
static int replace_file(struct simdisk *disk, int value) {
  const vecdb_vfs *v = simdisk_vfs(disk);
  uint8_t data[600];
  memset(data, value, sizeof data);
  vecdb_file *file;
  int rc = v->open(v, "/db/tmp", VECDB_OPEN_CREATE, &file);
  if (rc != 0)
    return rc;
  for (unsigned i = 0; rc == 0 && i < 5; i++)
    rc = v->write(file, data, sizeof data, i * sizeof data);
  if (rc == 0)
    rc = v->sync(file);
  v->close(file);
  if (rc == 0)
    rc = v->rename(v, "/db/tmp", "/db/main");
  return rc == 0 ? v->sync_dir(v, "/db") : rc;
}

static void test_every_stop(void **state) {
  struct fixture *f = *state;
  put_durable(f->disk, "/db/main", 1, 3000);
  uint64_t before = simdisk_ops(f->disk, SIMDISK_CHANGES);
  struct simdisk *whole = simdisk_clone(f->disk);
  assert_int_equal(simdisk_ops(whole, SIMDISK_CHANGES), 0);
  assert_int_equal(replace_file(whole, 2), 0);
  uint64_t ops = simdisk_ops(whole, SIMDISK_CHANGES);
  assert_int_equal(ops, 9);
  assert_int_equal(simdisk_ops(whole, SIMDISK_WRITE), 5);
  assert_int_equal(simdisk_ops(whole, SIMDISK_SYNC | SIMDISK_SYNC_DIR), 2);
  simdisk_free(whole);
  for (uint64_t n = 0; n <= ops; n++) {
    struct simdisk *cut = simdisk_clone(f->disk);
    simdisk_stop_after(cut, n);
    assert_int_equal(replace_file(cut, 2), n < ops ? EIO : 0);
    assert_int_equal(simdisk_stopped(cut), n < ops);
    uint64_t sum = sum_of(cut);
    if (n < ops) /* dead, but readable */
      assert_int_equal(replace_file(cut, 3), EIO);
    assert_true(sum == sum_of(cut));
    assert_true(exists(cut, "/db/main"));
    for (uint64_t seed = 0; seed < 40; seed++) {
      struct simdisk *d = crashed(cut, seed);
      int value = value_of(d, "/db/main", 3000);
      assert_true(value == 2 || (value == 1 && n < ops));
      assert_int_equal(replace_file(d, 4), 0);
      simdisk_crash(d, seed);
      assert_int_equal(value_of(d, "/db/main", 3000), 4);
      simdisk_free(d);
    }
    simdisk_free(cut);
  }
  assert_int_equal(simdisk_ops(f->disk, SIMDISK_CHANGES), before);
}

static void test_faults(void **state) {
  struct fixture *f = *state;
  struct simdisk_fault fault = {.kinds = SIMDISK_WRITE, .nth = 3, .error = EDQUOT};
  simdisk_set_fault(f->disk, &fault);
  assert_int_equal(replace_file(f->disk, 1), EDQUOT);
  assert_int_equal(simdisk_faults_hit(f->disk), 1);
  assert_int_equal(replace_file(f->disk, 1), 0); /* once */
  fault.from_then_on = true;
  fault.kinds = SIMDISK_RENAME | SIMDISK_REMOVE;
  fault.nth = 2;
  simdisk_set_fault(f->disk, &fault);
  assert_int_equal(replace_file(f->disk, 2), 0);
  assert_int_equal(replace_file(f->disk, 2), EDQUOT);
  assert_int_equal(f->vfs->remove(f->vfs, "/db/main"), EDQUOT);
  assert_int_equal(simdisk_faults_hit(f->disk), 2);
  simdisk_set_fault(f->disk, NULL);
  assert_int_equal(f->vfs->remove(f->vfs, "/db/tmp"), 0);
  fault.kinds = SIMDISK_READ | SIMDISK_MAP | SIMDISK_LIST | SIMDISK_OPEN | SIMDISK_LOCK;
  fault.nth = 1;
  vecdb_file *file = open_ok(f->disk, "/db/main", VECDB_OPEN_READ), *other;
  simdisk_set_fault(f->disk, &fault);
  char byte;
  const void *map;
  assert_int_equal(f->vfs->read(file, &byte, 1, 0), EDQUOT);
  assert_int_equal(f->vfs->map(file, 1, &map), EDQUOT);
  assert_int_equal(f->vfs->list(f->vfs, "/db", NULL, NULL), EDQUOT);
  assert_int_equal(f->vfs->open(f->vfs, "/db/main", VECDB_OPEN_READ, &other), EDQUOT);
  assert_int_equal(f->vfs->lock(f->vfs, "/db/main", &other), EDQUOT);
  f->vfs->close(file);
}

static void test_partial_write(void **state) {
  struct fixture *f = *state;
  struct simdisk_fault fault = {.kinds = SIMDISK_WRITE, .nth = 1, .error = EIO, .partial = true};
  vecdb_file *file = open_ok(f->disk, "/db/a", VECDB_OPEN_CREATE);
  simdisk_set_fault(f->disk, &fault);
  assert_int_equal(f->vfs->write(file, "abcdef", 6, 0), EIO);
  uint64_t n;
  assert_int_equal(f->vfs->length(file, &n), 0);
  assert_int_equal(n, 3);
  f->vfs->close(file);
}

static void test_failed_sync(void **state) {
  struct fixture *f = *state;
  const vecdb_vfs *v = f->vfs;
  put_durable(f->disk, "/db/a", 1, 2000);
  vecdb_file *file = open_ok(f->disk, "/db/a", VECDB_OPEN_WRITE);
  uint8_t twos[2000], threes[2000], got[2000];
  memset(twos, 2, sizeof twos);
  memset(threes, 3, sizeof threes);
  assert_int_equal(v->write(file, twos, 2000, 0), 0);
  struct simdisk_fault fault = {.kinds = SIMDISK_SYNC, .nth = 1, .error = EIO};
  simdisk_set_fault(f->disk, &fault);
  assert_int_equal(v->sync(file), EIO);
  assert_int_equal(v->sync(file), 0); /* the lie */
  assert_int_equal(v->read(file, got, 2000, 0), 0);
  assert_memory_equal(got, twos, 2000);
  unsigned old = 0, new = 0;
  for (uint64_t seed = 0; seed < SEEDS; seed++) {
    struct simdisk *d = crashed(f->disk, seed);
    old += value_of(d, "/db/a", 2000) == 1;
    new += value_of(d, "/db/a", 2000) == 2;
    simdisk_free(d);
  }
  assert_true(old > 0 && new > 0);
  /* Written again, and more, and synced: that lasts; what was not written again is still open. */
  assert_int_equal(v->write(file, threes, 1000, 0), 0);
  assert_int_equal(v->write(file, threes, 1000, 3000), 0);
  assert_int_equal(v->sync(file), 0);
  v->close(file);
  old = new = 0;
  for (uint64_t seed = 0; seed < SEEDS; seed++) {
    struct simdisk *d = crashed(f->disk, seed);
    uint64_t n;
    assert_int_equal(simdisk_length(d, "/db/a", &n), 0);
    assert_int_equal(n, 4000);
    assert_int_equal(simdisk_peek(d, "/db/a", got, 1000, 0), 0);
    assert_memory_equal(got, threes, 1000);
    assert_int_equal(simdisk_peek(d, "/db/a", got, 1000, 3000), 0);
    assert_memory_equal(got, threes, 1000);
    assert_int_equal(simdisk_peek(d, "/db/a", got, 1000, 1000), 0);
    old += got[500] == 1;
    new += got[500] == 2;
    assert_int_equal(simdisk_peek(d, "/db/a", got, 1000, 2000), 0);
    for (unsigned i = 0; i < 1000; i++)
      assert_int_equal(got[i], 0); /* the gap was synced as such */
    simdisk_free(d);
  }
  assert_int_equal(old + new, SEEDS);
  assert_true(old > 0 && new > 0);
}

static void test_capacity(void **state) {
  struct fixture *f = *state;
  const vecdb_vfs *v = f->vfs;
  uint8_t data[1000] = {0};
  uint64_t n;
  put(f->disk, "/db/a", 1, 1000);
  assert_int_equal(simdisk_used(f->disk), 1000);
  simdisk_set_capacity(f->disk, 2500);
  vecdb_file *file = open_ok(f->disk, "/db/b", VECDB_OPEN_CREATE);
  assert_int_equal(v->write(file, data, 1000, 0), 0);
  assert_int_equal(v->write(file, data, 1000, 1000), ENOSPC);
  assert_int_equal(v->length(file, &n), 0);
  assert_int_equal(n, 1500); /* the first part went in */
  assert_int_equal(v->write(file, data, 1000, 0), 0); /* in place is fine */
  assert_int_equal(v->write(file, data, 1, 1500), ENOSPC);
  assert_int_equal(v->truncate(file, 1501), ENOSPC);
  assert_int_equal(v->reserve(file, 1501), ENOSPC);
  assert_int_equal(v->reserve(file, 1500), 0);
  simdisk_set_capacity(f->disk, 4000);
  assert_int_equal(v->reserve(file, 3000), 0);
  vecdb_file *other = open_ok(f->disk, "/db/c", VECDB_OPEN_CREATE);
  assert_int_equal(v->write(other, data, 1, 0), ENOSPC); /* reserved by the other file */
  assert_int_equal(v->write(file, data, 1000, 2000), 0);
  assert_int_equal(v->write(file, data, 1, 3000), ENOSPC);
  assert_int_equal(v->remove(v, "/db/a"), 0);
  assert_int_equal(v->write(other, data, 1000, 0), 0);
  assert_int_equal(v->remove(v, "/db/b"), 0);
  assert_int_equal(simdisk_used(f->disk), 4000); /* an open file takes space without a name */
  v->close(file);
  assert_int_equal(simdisk_used(f->disk), 1000);
  v->close(other);
}

/* ---- Looking and damaging -------------------------------------------------------------------- */

static void note_path(void *arg, const char *path, uint64_t length) {
  char *all = arg;
  snprintf(all + strlen(all), 200 - strlen(all), "%s=%u ", path, (unsigned)length);
}

static void test_damage(void **state) {
  struct fixture *f = *state;
  assert_int_equal(f->vfs->make_dir(f->vfs, "/db/sub"), 0);
  put(f->disk, "/db/sub/b", 1, 5);
  put_durable(f->disk, "/db/a", 1, 4);
  char all[200] = "";
  simdisk_each(f->disk, note_path, all);
  assert_string_equal(all, "/db/a=4 /db/sub/b=5 ");
  vecdb_file *file = open_ok(f->disk, "/db/a", VECDB_OPEN_READ);
  uint8_t got[4];
  assert_int_equal(simdisk_flip(f->disk, "/db/a", 3, 0x80), 0);
  assert_int_equal(f->vfs->read(file, got, 4, 0), 0);
  assert_memory_equal(got, "\1\1\1\x81", 4);
  simdisk_crash(f->disk, 3);
  f->vfs->close(file);
  assert_int_equal(simdisk_peek(f->disk, "/db/a", got, 4, 0), 0);
  assert_memory_equal(got, "\1\1\1\x81", 4);
  assert_int_equal(simdisk_flip(f->disk, "/db/a", 3, 0x80), 0);
  assert_int_equal(value_of(f->disk, "/db/a", 4), 1);
  assert_int_equal(simdisk_poke(f->disk, "/db/a", "xy", 2, 1), 0);
  assert_int_equal(simdisk_cut(f->disk, "/db/a", 2), 0);
  assert_int_equal(simdisk_cut(f->disk, "/db/a", 3), 0);
  assert_int_equal(simdisk_peek(f->disk, "/db/a", got, 3, 0), 0);
  assert_memory_equal(got, "\1x\0", 3);
  assert_int_equal(simdisk_flip(f->disk, "/db/a", 3, 1), EIO);
  assert_int_equal(simdisk_peek(f->disk, "/db/a", got, 4, 0), EIO);
  assert_int_equal(simdisk_poke(f->disk, "/db/none", "x", 1, 0), ENOENT);
  assert_int_equal(simdisk_cut(f->disk, "/db", 0), EISDIR);
  assert_int_equal(f->vfs->rename(f->vfs, "/db/a", "/db/sub/a"), EXDEV);
  assert_int_equal(f->vfs->rename(f->vfs, "/db/sub", "/db/other"), EISDIR);
}

enum { THREADS = 4 };

struct worker {
  pthread_t thread;
  struct simdisk *disk;
  unsigned number;
  bool ok;
};

static void *worker_main(void *arg) {
  struct worker *w = arg;
  const vecdb_vfs *v = simdisk_vfs(w->disk);
  char path[32], moved[32];
  snprintf(path, sizeof path, "/db/w%u", w->number);
  snprintf(moved, sizeof moved, "/db/m%u", w->number);
  w->ok = true;
  for (unsigned i = 0; i < 100; i++) {
    vecdb_file *file = NULL;
    const void *map = NULL;
    w->ok = w->ok && v->open(v, path, VECDB_OPEN_CREATE, &file) == 0 &&
            v->write(file, path, sizeof path, 0) == 0 && v->map(file, sizeof path, &map) == 0;
    if (!w->ok)
      break;
    w->ok = memcmp(map, path, sizeof path) == 0 && v->sync(file) == 0;
    v->unmap(v, map, sizeof path);
    v->close(file);
    w->ok = w->ok && v->rename(v, path, moved) == 0 && v->sync_dir(v, "/db") == 0;
  }
  return NULL;
}

static void test_threads(void **state) {
  struct fixture *f = *state;
  struct worker workers[THREADS];
  for (unsigned i = 0; i < THREADS; i++) {
    workers[i].disk = f->disk;
    workers[i].number = i;
    assert_int_equal(pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]), 0);
  }
  for (uint64_t seed = 0; seed < 20; seed++)
    simdisk_free(crashed(f->disk, seed));
  for (unsigned i = 0; i < THREADS; i++) {
    pthread_join(workers[i].thread, NULL);
    assert_true(workers[i].ok);
  }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_synced_survives),
      TEST(test_unsynced_append),
      TEST(test_unsynced_overwrite_tears_at_sectors),
      TEST(test_writes_are_reordered),
      TEST(test_unsynced_truncate),
      TEST(test_random_history),
      TEST(test_names),
      TEST(test_rename_is_atomic),
      TEST(test_rename_of_unsynced_bytes),
      TEST(test_folders),
      TEST(test_after_the_crash),
      TEST(test_clone_and_seeds),
      TEST(test_every_stop),
      TEST(test_faults),
      TEST(test_partial_write),
      TEST(test_failed_sync),
      TEST(test_capacity),
      TEST(test_damage),
      TEST(test_threads),
  };
  return cmocka_run_group_tests_name("simdisk", tests, NULL, NULL);
}
