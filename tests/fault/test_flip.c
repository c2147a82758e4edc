/*
 * test_flip.c - damage to a small database with sealed segments, indexes, tombstones and rows in
 * the log: every byte of every file flipped, files cut short, swapped and removed. Opened with full
 * verification the database either says that it is damaged or answers exactly as before. Opened
 * with the default verification it may answer wrongly, but must not crash, which the sanitizers
 * watch.
 *
 * Two things cannot be told from a power cut. A log without its END record, of a process that was
 * killed, may lack its last record; damage to any record before that is found. And a log that was
 * cut short or is gone may end anywhere.
 *
 * VDB_SEED: the first database. VDB_N: how many. VDB_STRIDE: 1 in so many flips and cuts.
 * VDB_ENCRYPT: encrypted, when the default verification finds all, too.
 *
 * CRYPT: yes
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tlib/probe.h"
#include "tlib/simdisk.h"
#include "tlib/thorough.h"
#include "tlib/workload.h"

enum {
  FLIP_STRIDE = TEST_SIZE(1, 61),
  FLIP_AGAIN = 5,
  FLIP_BASES = 1,
  FLIP_FILES = 64,
  FLIP_HEAD = 64
};

struct flip_base {
  struct simdisk *disk;
  struct workload w;
  char paths[FLIP_FILES][64];
  uint64_t lengths[FLIP_FILES];
  uint32_t n;
  struct model found;
  uint64_t trials, found_out, harmless, earlier, failures;
};

static uint64_t flip_number(const char *name, uint64_t standard) {
  const char *text = getenv(name);
  return text && *text ? strtoull(text, NULL, 10) : standard;
}

static void flip_visit(void *arg, const char *path, uint64_t length) {
  struct flip_base *base = arg;
  if (strncmp(path, "/db/", 4) != 0 && strncmp(path, "db/", 3) != 0)
    return; /* of a backup */
  assert_true(base->n < FLIP_FILES);
  snprintf(base->paths[base->n], sizeof base->paths[0], "%s", path);
  base->lengths[base->n++] = length;
}

static bool flip_is_log(const char *path) { return strstr(path, ".wal") != NULL; }

/* A database with everything in it. `closed`: its log has an end. */
static void flip_make(struct flip_base *base, uint64_t seed, bool closed) {
  static const enum workload_op ops[] = {
      WORKLOAD_CREATE, WORKLOAD_UPSERT, WORKLOAD_UPSERT, WORKLOAD_UPSERT, WORKLOAD_UPSERT,
      WORKLOAD_FLUSH,  WORKLOAD_UPSERT, WORKLOAD_UPSERT, WORKLOAD_COMPACT, WORKLOAD_UPSERT,
      WORKLOAD_DELETE, WORKLOAD_CREATE, WORKLOAD_UPSERT, WORKLOAD_UPSERT, WORKLOAD_FLUSH_ALL,
      WORKLOAD_UPSERT, WORKLOAD_DELETE, WORKLOAD_UPSERT, WORKLOAD_DELETE, WORKLOAD_FLUSH_ALL,
      WORKLOAD_UPSERT, WORKLOAD_DELETE, WORKLOAD_UPSERT, WORKLOAD_DELETE, WORKLOAD_UPSERT};
  memset(base, 0, sizeof *base);
  base->disk = simdisk_new();
  struct workload_config config = {.seed = seed, .vfs = simdisk_vfs(base->disk), .dir = "db",
                                   .flags = VECDB_HOST_DRIVEN, .n_keys = 40, .seal_rows = 64,
                                   .index_rows = 16, .wal_bytes = 1 << 20, .batch_rows = 14};
  workload_init(&base->w, &config);
  model_init(&base->found, config.n_keys);
  int rc = workload_open(&base->w);
  uint32_t flushed = 0;
  for (size_t i = 0; !rc && i < sizeof ops / sizeof *ops; i++) {
    rc = workload_do(&base->w, ops[i]);
    if (ops[i] == WORKLOAD_FLUSH_ALL)
      flushed = base->w.n_history - 1;
  }
  if (!rc && closed)
    rc = workload_close(&base->w);
  assert_int_equal(rc, VECDB_OK);
  if (!closed) {
    struct simdisk *copy = simdisk_clone(base->disk);
    workload_abandon(&base->w);
    simdisk_free(base->disk);
    base->disk = copy;
  }
  simdisk_settle(base->disk);
  base->w.durable = base->w.shape = flushed; /* states since then are in the log */
  simdisk_each(base->disk, flip_visit, base);
  static const char *const kinds[] = {".rows", ".idx", ".del", ".wal", "MANIFEST", "KEYS"};
  size_t n_kinds = sizeof kinds / sizeof *kinds - !workload_encrypted();
  for (size_t k = 0; k < n_kinds; k++) {
    bool there = false;
    for (uint32_t f = 0; f < base->n; f++)
      there = there || strstr(base->paths[f], kinds[k]);
    if (!there)
      print_error("no %s\n", kinds[k]);
    assert_true(there);
  }
}

static void flip_free(struct flip_base *base) {
  workload_fini(&base->w);
  model_fini(&base->found);
  simdisk_free(base->disk);
}

/* Opens what is damaged and looks at all of it. */
static bool flip_look(struct flip_base *base, struct simdisk *disk, bool full, bool may_be_earlier,
                      uint64_t where) {
  vecdb_options o = VECDB_OPTIONS_INIT;
  o.vfs = simdisk_vfs(disk);
  o.encryption = workload_options(&base->w).encryption;
  o.flags = VECDB_READ_ONLY | VECDB_HOST_DRIVEN;
  o.threads = 1;
  o.seal_rows = workload_options(&base->w).seal_rows;
  o.verify = full ? VECDB_VERIFY_FULL : VECDB_VERIFY_META;
  vecdb_error err;
  vecdb *db;
  base->trials++;
  int rc = vecdb_open("db", &o, &db, &err);
  if (rc == VECDB_ERR_CORRUPT || rc == VECDB_ERR_NEWER_FORMAT || rc == VECDB_ERR_NOT_A_DATABASE ||
      rc == VECDB_ERR_NOT_FOUND || (rc == VECDB_ERR_KEY && o.encryption)) {
    base->found_out++;
    return true;
  }
  if (rc)
    return model_differs("open: %s: %s", vecdb_status_name(rc), err.message);
  struct probe probe = {.rng = {where}};
  bool sound = vecdb_check(db, NULL, NULL, NULL, &err) == VECDB_OK;
  bool ok = model_load(db, &base->found);
  bool same = ok && model_same(&base->w.now, &base->found);
  if (ok && !same && may_be_earlier) {
    ok = workload_accepts(&base->w, &base->found, false);
    base->earlier += ok;
  } else {
    ok = same;
    base->harmless += same;
  }
  ok = ok && probe_ask(&probe, &base->found, db, PROBE_ALL, 3);
  if (ok && full && !sound)
    ok = model_differs("the check finds a fault that full verification has not: %s", err.message);
  vecdb_close(db, NULL);
  return ok || !(full || o.encryption); /* by default plain vectors are not verified */
}

static void flip_report(struct flip_base *base, const char *path, const char *what,
                        uint64_t where) {
  if (base->failures++ < 10)
    fprintf(stderr, "VDB_SEED=%llu %s, %s at %llu: %s\n",
            (unsigned long long)base->w.config.seed, path, what, (unsigned long long)where,
            model_trouble());
}

/* Every byte; all bits of headers and of the manifest. An end of the log that is missing makes no
   difference to other files: every few bytes of these are tried again. */
static void flip_bytes(struct flip_base *base, uint32_t f, bool closed) {
  const char *path = base->paths[f];
  bool all = strstr(path, "MANIFEST") != NULL;
  uint64_t stride = FLIP_STRIDE * flip_number("VDB_STRIDE", 1);
  if (!closed && !all && !flip_is_log(path))
    stride *= FLIP_AGAIN;
  uint32_t durable = base->w.durable;
  base->w.durable = base->w.n_history - 2; /* at most the last write may be missing */
  for (uint64_t at = base->w.config.seed % stride; at < base->lengths[f]; at += stride) {
    uint32_t first = (uint32_t)(at * 5 % 8), n = all || at < FLIP_HEAD ? 8 : 1;
    for (uint32_t bit = 0; bit < n; bit++) {
      uint8_t mask = (uint8_t)(1u << (first + bit) % 8);
      assert_int_equal(simdisk_flip(base->disk, path, at, mask), 0);
      bool earlier = !closed && flip_is_log(path);
      if (!flip_look(base, base->disk, true, earlier, at))
        flip_report(base, path, "flip", at);
      if (!flip_look(base, base->disk, false, earlier, at))
        flip_report(base, path, "flip, verify meta,", at);
      assert_int_equal(simdisk_flip(base->disk, path, at, mask), 0);
    }
  }
  base->w.durable = durable;
}

static void flip_cuts(struct flip_base *base, uint32_t f) {
  uint64_t stride = flip_number("VDB_STRIDE", 1);
  for (uint64_t length = 0; length < base->lengths[f];
       length += stride * (1 + length % TEST_SIZE(13, 61))) {
    struct simdisk *copy = simdisk_clone(base->disk);
    assert_int_equal(simdisk_cut(copy, base->paths[f], length), 0);
    bool earlier = flip_is_log(base->paths[f]);
    if (!flip_look(base, copy, true, earlier, length))
      flip_report(base, base->paths[f], "cut", length);
    if (!flip_look(base, copy, false, earlier, length))
      flip_report(base, base->paths[f], "cut, verify meta,", length);
    simdisk_free(copy);
  }
}

static void flip_files(struct flip_base *base, uint32_t f) {
  for (uint32_t g = f; g < base->n; g++) {
    struct simdisk *copy = simdisk_clone(base->disk);
    const vecdb_vfs *vfs = simdisk_vfs(copy);
    if (g == f) {
      assert_int_equal(vfs->remove(vfs, base->paths[f]), 0);
    } else {
      assert_int_equal(vfs->rename(vfs, base->paths[f], "db/x"), 0);
      assert_int_equal(vfs->rename(vfs, base->paths[g], base->paths[f]), 0);
      assert_int_equal(vfs->rename(vfs, "db/x", base->paths[g]), 0);
    }
    if (!flip_look(base, copy, true, flip_is_log(base->paths[f]), g))
      flip_report(base, base->paths[f], g == f ? "removed" : "swapped", g);
    simdisk_free(copy);
  }
}

static void flip_run(bool closed) {
  uint64_t first = flip_number("VDB_SEED", 1), n = flip_number("VDB_N", FLIP_BASES);
  for (uint64_t seed = first; seed < first + n; seed++) {
    struct flip_base base;
    flip_make(&base, seed, closed);
    for (uint32_t f = 0; f < base.n; f++) {
      flip_bytes(&base, f, closed);
      flip_cuts(&base, f);
      flip_files(&base, f);
    }
    printf("flips: seed=%llu %s files=%u trials=%llu found_out=%llu harmless=%llu earlier=%llu "
           "failures=%llu\n",
           (unsigned long long)seed, closed ? "closed" : "killed", base.n,
           (unsigned long long)base.trials, (unsigned long long)base.found_out,
           (unsigned long long)base.harmless, (unsigned long long)base.earlier,
           (unsigned long long)base.failures);
    assert_int_equal(base.failures, 0);
    flip_free(&base);
  }
}

static void test_closed(void **state) {
  (void)state;
  flip_run(true);
}

static void test_killed(void **state) {
  (void)state;
  flip_run(false);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_closed),
      cmocka_unit_test(test_killed),
  };
  return cmocka_run_group_tests_name("damage", tests, NULL, NULL);
}
