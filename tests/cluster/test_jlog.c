/*
 * test_jlog.c - a replica's log on files, on a simulated disk: random changes beside a naive model,
 * a crash at each operation of the disk, full disks, failing syncs, flipped bytes, orphans.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/jlog.h"
#include "tlib/simdisk.h"
#include "tlib/thorough.h"

enum { TJ_ENTRIES = 512, TJ_STATES = 400, TJ_SEGMENT = 40000 };

/* What a log holds: the naive model. An entry is its seed, from which its bytes follow. */
struct tj_image {
  struct rep_state state;
  struct rep_pos base;
  uint64_t last;
  uint64_t seeds[TJ_ENTRIES];
};

/* All images since the last sync that had finished; a crash leaves one of them. */
struct tj {
  struct simdisk *disk;
  struct jlog *log;
  struct rep_store store;
  struct tj_image *images;
  uint32_t n, syncing; /* images; those that the sync under way covers */
  bool in_sync;
  uint64_t random;
  uint64_t orphans; /* entries seen in orphan files */
};

static uint64_t tj_next(struct tj *t) {
  t->random = rep_mix(t->random, 0x9e3779b97f4a7c15u);
  return t->random;
}
static uint64_t tj_below(struct tj *t, uint64_t n) { return tj_next(t) % n; }
static struct tj_image *tj_now(struct tj *t) { return &t->images[t->n - 1]; }

static struct rep_entry tj_entry(uint64_t seq, uint64_t seed) {
  static uint8_t body[8192];
  struct rep_entry e = {.pos = {seq, seed % 7, rep_mix(seed, seq)},
                        .op = {seed, seq},
                        .kind = seed % 5 ? REP_DATA : REP_NOOP,
                        .n = (uint32_t)(seed % 3 ? seed % 300 : seed % 6000),
                        .body = body};
  for (uint32_t i = 0; i < e.n; i++)
    body[i] = (uint8_t)(seed >> i % 56);
  return e;
}

static bool tj_same_entry(const struct rep_entry *a, const struct rep_entry *b) {
  return memcmp(&a->pos, &b->pos, sizeof a->pos) == 0 &&
         memcmp(&a->op, &b->op, sizeof a->op) == 0 &&
         a->kind == b->kind && a->n == b->n && (!a->n || memcmp(a->body, b->body, a->n) == 0);
}

static void tj_open(struct tj *t, struct jlog_found *found) {
  char why[JLOG_WHY] = "";
  const struct jlog_options o = {.vfs = simdisk_vfs(t->disk),
                                 .from = {.shard = 5, .node = 2},
                                 .folder = "log",
                                 .id = 77,
                                 .segment_bytes = TJ_SEGMENT};
  t->log = jlog_open(&o, found, why);
  if (!t->log)
    fail_msg("%s", why);
  t->store = jlog_store(t->log);
}

static void tj_start(struct tj *t, uint64_t seed) {
  struct jlog_found found;
  memset(t, 0, sizeof *t);
  t->disk = simdisk_new();
  t->images = calloc(TJ_STATES, sizeof *t->images);
  assert_non_null(t->images);
  t->n = 1;
  t->random = seed;
  tj_open(t, &found);
}

static void tj_stop(struct tj *t) {
  jlog_close(t->log);
  simdisk_free(t->disk);
  free(t->images);
}

/* Whether the log is this image. */
static bool tj_is(struct tj *t, const struct tj_image *i, bool damaged) {
  struct rep_found found;
  t->store.load(t->store.arg, &found);
  if (memcmp(&found.base, &i->base, sizeof i->base) != 0 || found.last != i->last ||
      found.state.promised != i->state.promised || found.state.rev != i->state.rev ||
      found.state.heal != i->state.heal || found.state.broken != i->state.broken)
    return false;
  for (uint64_t seq = i->base.seq + 1; seq <= i->last; seq++) {
    struct rep_entry e, want = tj_entry(seq, i->seeds[seq % TJ_ENTRIES]);
    bool there = t->store.read(t->store.arg, seq, &e);
    if (there ? !tj_same_entry(&e, &want) : !damaged)
      return false;
  }
  struct rep_entry e;
  return !t->store.read(t->store.arg, i->base.seq, &e) &&
         !t->store.read(t->store.arg, i->last + 1, &e);
}

/* One random change of log and model; false: the disk has failed. */
static bool tj_change(struct tj *t) {
  struct tj_image next = *tj_now(t);
  uint64_t span = next.last - next.base.seq, seed = tj_next(t) >> 8;
  enum rep_status status;
  uint64_t what = span > 200 ? 90 : tj_below(t, 100);
  if (what < 70) {
    next.last++;
    next.seeds[next.last % TJ_ENTRIES] = seed;
    struct rep_entry e = tj_entry(next.last, seed);
    status = t->store.append(t->store.arg, &e);
  } else if (what < 78) {
    next.last -= tj_below(t, (span < 5 ? span : 5) + 1);
    status = t->store.cut(t->store.arg, next.last);
  } else if (what < 88) {
    next.state = (struct rep_state){seed, seed % 9, seed % 5, seed & 1};
    status = t->store.save(t->store.arg, &next.state);
  } else if (what < 97) {
    uint64_t to = next.base.seq + tj_below(t, span + 1);
    next.base = (struct rep_pos){to, seed % 7, seed};
    status = t->store.trim(t->store.arg, &next.base);
  } else {
    next.base = (struct rep_pos){next.base.seq + tj_below(t, 2 * span + 3), seed % 7, seed};
    next.last = next.base.seq;
    status = t->store.reset(t->store.arg, &next.base, next.base.seq);
  }
  t->images[t->n++] = next; /* a change that failed may be there all the same */
  return status == REP_OK;
}

/* The sync under way ends, or one begins. */
static bool tj_sync(struct tj *t) {
  if (!t->in_sync) {
    jlog_sync_begin(t->log);
    t->in_sync = true;
    t->syncing = t->n;
    return true;
  }
  t->in_sync = false;
  if (!jlog_sync_end(t->log, jlog_sync_run(t->log)))
    return false;
  uint32_t gone = t->syncing - 1;
  memmove(t->images, t->images + gone, (t->n - gone) * sizeof *t->images);
  t->n -= gone;
  return true;
}

static void tj_recover(struct tj *t, uint64_t seed, bool killed) {
  struct jlog_found found;
  jlog_close(t->log);
  if (killed)
    simdisk_stop_after(t->disk, UINT64_MAX);
  else
    simdisk_crash(t->disk, seed);
  t->in_sync = false;
  tj_open(t, &found);
  assert_int_equal(found.damaged, 0);
  uint32_t i = t->n;
  while (i && !tj_is(t, &t->images[i - 1], false))
    i--;
  if (!i)
    fail_msg("seed %llu: what is there was never, or is older than a sync",
             (unsigned long long)seed);
  t->images[0] = t->images[i - 1];
  t->n = 1;
}

/* Lives of random changes, each ended by a crash or a killed process after some operations. */
static void test_crashes(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= TEST_SIZE(400, 120); seed++) {
    struct tj t;
    tj_start(&t, seed);
    for (int life = 0; life < 6; life++) {
      simdisk_stop_after(t.disk, tj_below(&t, 120));
      bool alive = true;
      while (alive && t.n < TJ_STATES)
        alive = tj_below(&t, 6) ? tj_change(&t) : tj_sync(&t);
      if (alive)
        assert_true(tj_is(&t, tj_now(&t), false));
      tj_recover(&t, seed * 100 + (uint64_t)life, tj_below(&t, 3) == 0);
    }
    tj_stop(&t);
  }
}

/* Old segments go, and what is kept is small. */
static void test_trimmed(void **state) {
  (void)state;
  struct tj t;
  tj_start(&t, 5);
  for (uint64_t seq = 1; seq <= 2000; seq++) {
    struct rep_entry e = tj_entry(seq, seq * 977);
    assert_int_equal(t.store.append(t.store.arg, &e), REP_OK);
    struct rep_pos base = {seq - seq % 50, 1, seq};
    if (seq % 50 == 0)
      assert_int_equal(t.store.trim(t.store.arg, &base), REP_OK);
    if (seq % 10)
      continue;
    jlog_sync_begin(t.log);
    assert_true(jlog_sync_end(t.log, jlog_sync_run(t.log)));
  }
  assert_true(simdisk_used(t.disk) < 12 * TJ_SEGMENT);
  assert_true(jlog_bytes(t.log) < 12 * TJ_SEGMENT);
  tj_stop(&t);
}

/* A full disk refuses entries, changes nothing, and still takes what keeps promises. */
static void test_full(void **state) {
  (void)state;
  struct tj t;
  tj_start(&t, 6);
  simdisk_set_capacity(t.disk, 5 * TJ_SEGMENT / 2);
  enum rep_status status = REP_OK;
  uint64_t seq = 0;
  while (status == REP_OK) {
    struct rep_entry e = tj_entry(seq + 1, seq * 31 + 3);
    status = t.store.append(t.store.arg, &e);
    seq += status == REP_OK;
  }
  assert_int_equal(status, REP_FULL);
  struct rep_found found;
  t.store.load(t.store.arg, &found);
  assert_int_equal(found.last, seq);
  const struct rep_state promise = {9, 8, 0, false};
  assert_int_equal(t.store.save(t.store.arg, &promise), REP_OK);
  simdisk_set_capacity(t.disk, 0);
  struct rep_entry e = tj_entry(seq + 1, 4);
  assert_int_equal(t.store.append(t.store.arg, &e), REP_OK);
  jlog_close(t.log);
  struct jlog_found at;
  tj_open(&t, &at);
  t.store.load(t.store.arg, &found);
  assert_int_equal(found.last, seq + 1);
  assert_int_equal(found.state.promised, 9);
  tj_stop(&t);
}

/* After a failed write or sync nothing is written any more. */
static void test_failing(void **state) {
  (void)state;
  const uint32_t kinds[] = {SIMDISK_WRITE, SIMDISK_SYNC};
  for (int i = 0; i < 2; i++) {
    struct tj t;
    tj_start(&t, 7);
    struct rep_entry e = tj_entry(1, 10);
    assert_int_equal(t.store.append(t.store.arg, &e), REP_OK);
    const struct simdisk_fault fault = {kinds[i], 1, EIO, false, true};
    simdisk_set_fault(t.disk, &fault);
    struct rep_entry second = tj_entry(2, 20);
    enum rep_status status = t.store.append(t.store.arg, &second);
    assert_int_equal(status, i ? REP_OK : REP_FAILED);
    jlog_sync_begin(t.log);
    assert_false(jlog_sync_end(t.log, jlog_sync_run(t.log)));
    struct rep_entry third = tj_entry(3, 30);
    assert_int_equal(t.store.append(t.store.arg, &third), REP_FAILED);
    tj_stop(&t);
  }
}

struct tj_file {
  char path[128];
  uint64_t length;
};

static void tj_first(void *arg, const char *path, uint64_t length) {
  struct tj_file *f = arg;
  if (strstr(path, ".log") && (!*f->path || strcmp(path, f->path) < 0)) {
    snprintf(f->path, sizeof f->path, "%s", path);
    f->length = length;
  }
}

/* A flipped byte of what was synced takes its entry at most: it cannot be read, as is told. */
static void test_damage(void **state) {
  (void)state;
  struct tj t;
  struct tj_file f = {"", 0};
  struct jlog_found found;
  tj_start(&t, 8);
  for (int i = 0; i < 120; i++) {
    struct tj_image next = *tj_now(&t);
    next.seeds[++next.last % TJ_ENTRIES] = (uint64_t)i * 7919 + 1;
    struct rep_entry e = tj_entry(next.last, (uint64_t)i * 7919 + 1);
    assert_int_equal(t.store.append(t.store.arg, &e), REP_OK);
    t.images[0] = next;
    if (i % 20 == 19) {
      jlog_sync_begin(t.log);
      assert_true(jlog_sync_end(t.log, jlog_sync_run(t.log)));
    }
  }
  jlog_close(t.log);
  simdisk_settle(t.disk);
  simdisk_each(t.disk, tj_first, &f);
  assert_true(f.length > 1000);
  int lost = 0;
  for (uint64_t at = 0; at < f.length; at += TEST_SIZE(97, 911)) {
    struct simdisk *disk = t.disk;
    t.disk = simdisk_clone(disk);
    assert_int_equal(simdisk_flip(t.disk, f.path, at, 0x10), 0);
    tj_open(&t, &found);
    assert_true(tj_is(&t, &t.images[0], true));
    assert_true(at < 32 || found.damaged <= 1); /* in a segment's head: all of it */
    lost += (int)found.damaged;
    jlog_close(t.log);
    simdisk_free(t.disk);
    t.disk = disk;
  }
  assert_true(lost > 5);
  tj_open(&t, &found);
  assert_int_equal(found.damaged, 0);
  tj_stop(&t);
}

static void tj_orphan_file(void *arg, const char *path, uint64_t length) {
  struct tj *t = arg;
  const vecdb_vfs *vfs = simdisk_vfs(t->disk);
  struct orphan_file orphans;
  struct rep_entry e;
  vecdb_file *file;
  if (!strstr(path, ".orphans"))
    return;
  uint8_t *data = malloc(length);
  assert_int_equal(vfs->open(vfs, path, VECDB_OPEN_READ, &file), 0);
  assert_int_equal(vfs->read(file, data, length, 0), 0);
  vfs->close(file);
  orphan_open(&orphans, data, length);
  assert_true(orphans.has_head && orphans.head.shard == 5 && orphans.head.node == 2);
  for (uint64_t seq = orphans.head.after + 1; orphan_next(&orphans, &e); seq++) {
    struct rep_entry want = tj_entry(seq, e.op.client);
    assert_true(tj_same_entry(&e, &want));
    t->orphans++;
  }
  assert_int_equal(orphans.damaged, 0);
  free(data);
}

/* What is cut off, or lies behind a reset, is in files of orphans, whatever crash comes then. */
static void test_orphans(void **state) {
  (void)state;
  struct tj t;
  tj_start(&t, 9);
  for (uint64_t seq = 1; seq <= 30; seq++) {
    struct rep_entry e = tj_entry(seq, seq * 101);
    assert_int_equal(t.store.append(t.store.arg, &e), REP_OK);
  }
  assert_int_equal(t.store.cut(t.store.arg, 25), REP_OK);
  struct rep_pos base = {40, 3, 3};
  assert_int_equal(t.store.reset(t.store.arg, &base, 18), REP_OK);
  jlog_close(t.log);
  t.log = NULL;
  simdisk_crash(t.disk, 8); /* loses all that may be lost */
  simdisk_each(t.disk, tj_orphan_file, &t);
  assert_int_equal(t.orphans, 5 + 7);
  tj_stop(&t);
}

/* Entries of a message are read one after the other, and all used then. */
static void test_reads_stay(void **state) {
  (void)state;
  struct tj t;
  struct jlog_found found;
  struct rep_entry e[64];
  uint8_t *body = calloc(1, 200000);
  assert_non_null(body);
  tj_start(&t, 10);
  for (uint64_t seq = 1; seq <= 400; seq++) {
    memset(body, (int)seq, 200000);
    struct rep_entry one = {.pos = {seq, 1, seq}, .kind = REP_DATA, .n = 200000, .body = body};
    assert_int_equal(t.store.append(t.store.arg, &one), REP_OK);
  }
  jlog_close(t.log);
  tj_open(&t, &found);
  for (int round = 0; round < 6; round++) {
    for (uint64_t i = 0; i < 60; i++)
      assert_true(t.store.read(t.store.arg, 1 + (uint64_t)round * 60 + i, &e[i]));
    for (uint64_t i = 0; i < 60; i++)
      assert_int_equal(e[i].body[199999], (uint8_t)(1 + (uint64_t)round * 60 + i));
  }
  free(body);
  tj_stop(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_crashes), cmocka_unit_test(test_trimmed),
      cmocka_unit_test(test_full),    cmocka_unit_test(test_failing),
      cmocka_unit_test(test_damage),  cmocka_unit_test(test_orphans),
      cmocka_unit_test(test_reads_stay),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
