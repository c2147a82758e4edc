/*
 * waltest.h - what the tests of the log share: a log on a simulated disk, records that tell who
 * they are and what was before them, and what must be in the log.
 */
#ifndef WALTEST_H
#define WALTEST_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "store/store_format.h"
#include "store/wal.h"
#include "tlib/memfault.h"
#include "tlib/simdisk.h"

enum { WT_BODY_MAX = 1 << 16 };

/* A log on a simulated disk, and what must be in it. */
struct wt {
  struct memfault memory;
  struct simdisk *disk;
  struct vdb_env env;
  struct vdb_wal *wal;
  uint64_t first; /* what a manifest would keep */
  uint64_t floor;
  uint64_t *ids;  /* of the records by sequence number, ids[0] = 0 */
  size_t capacity;
  uint64_t written; /* the last record whose write succeeded */
  uint64_t acked;   /* the last record that must survive */
  uint64_t next_id;
  struct vdb_rng rng;
};

/* Time stands still, so that nothing leans on it for difference. */
static inline uint64_t wt_clock(void *user) {
  (void)user;
  return 1000;
}

static inline void wt_env(struct wt *w) {
  static const vecdb_clock clock = {wt_clock, wt_clock, NULL};
  vecdb_options options = VECDB_OPTIONS_INIT;
  vecdb_error err;
  memfault_init(&w->memory);
  options.vfs = simdisk_vfs(w->disk);
  options.allocator = &w->memory.table;
  options.clock = &clock;
  assert_int_equal(vdb_env_init(&w->env, &options, false, &err), VECDB_OK);
}

static inline struct wt *wt_on(struct simdisk *disk) {
  struct wt *w = calloc(1, sizeof *w);
  assert_non_null(w);
  w->disk = disk;
  w->first = 1;
  w->capacity = 64;
  w->ids = calloc(w->capacity, sizeof *w->ids);
  assert_non_null(w->ids);
  wt_env(w);
  return w;
}

static inline struct wt *wt_new(void) {
  struct wt *w = wt_on(simdisk_new());
  assert_int_equal(w->env.vfs->make_dir(w->env.vfs, "db"), 0);
  assert_int_equal(w->env.vfs->sync_dir(w->env.vfs, ""), 0);
  return w;
}

/* The same disk and expectations once more, without a log. */
static inline struct wt *wt_clone(const struct wt *from) {
  struct wt *w = wt_on(simdisk_clone(from->disk));
  w->first = from->first;
  w->floor = from->floor;
  w->capacity = from->capacity;
  w->ids = realloc(w->ids, w->capacity * sizeof *w->ids);
  assert_non_null(w->ids);
  memcpy(w->ids, from->ids, w->capacity * sizeof *w->ids);
  w->written = from->written;
  w->acked = from->acked;
  w->next_id = from->next_id + 1000000;
  w->rng = from->rng;
  return w;
}

static inline void wt_free(struct wt *w) {
  vecdb_error err;
  vdb_wal_close(w->wal, false, &err);
  assert_int_equal(memfault_live(&w->memory), 0);
  assert_int_equal(simdisk_handles(w->disk), 0);
  vdb_env_fini(&w->env);
  simdisk_free(w->disk);
  free(w->ids);
  free(w);
}

/* ---- records that tell who they are ---- */

/* A record's body: its id, the id of the record before it, and bytes that follow from the id. */
static inline size_t wt_body(uint8_t *out, uint64_t id, uint64_t parent) {
  size_t n = 16 + vdb_mix64(id) % 100;
  if (vdb_mix64(id) >> 40 & 1)
    n += vdb_mix64(id) >> 20 & 2047;
  for (size_t i = 16; i < n; i++)
    out[i] = (uint8_t)vdb_mix64(id + i);
  memcpy(out, &id, 8);
  memcpy(out + 8, &parent, 8);
  return n;
}

static inline void wt_set_id(struct wt *w, uint64_t seq, uint64_t id) {
  if (seq >= w->capacity) {
    w->capacity = seq * 2;
    w->ids = realloc(w->ids, w->capacity * sizeof *w->ids);
    assert_non_null(w->ids);
  }
  w->ids[seq] = id;
}

static inline int wt_add(struct wt *w, uint64_t expect, vecdb_error *err) {
  uint8_t body[WT_BODY_MAX];
  uint64_t id = ++w->next_id;
  size_t n = wt_body(body, id, w->ids[expect - 1]);
  struct vdb_wal_part parts[3] = {{body, 5}, {body + 5, 0}, {body + 5, n - 5}};
  uint64_t seq;
  int rc = vdb_wal_add(w->wal, (uint32_t)(id % 7), VDB_WAL_ROWS, parts, 3, &seq, err);
  if (rc)
    return rc;
  assert_int_equal(seq, expect);
  wt_set_id(w, seq, id);
  return VECDB_OK;
}

/* Writes k records; rewinds after a failure. */
static inline int wt_write(struct wt *w, size_t k, bool sync, vecdb_error *err) {
  uint64_t last = w->written;
  int rc = VECDB_OK;
  for (size_t i = 0; i < k && rc == VECDB_OK; i++)
    rc = wt_add(w, ++last, err);
  if (rc == VECDB_OK) {
    uint64_t taken;
    assert_true(vdb_wal_take(w->wal, &taken));
    assert_int_equal(taken, last);
    rc = vdb_wal_write(w->wal, sync, err);
  }
  if (rc) {
    vdb_wal_rewind(w->wal, w->written);
    return rc;
  }
  w->written = last;
  if (sync)
    w->acked = last;
  return VECDB_OK;
}

/* ---- reading back ---- */

struct wt_seen {
  struct wt *w;
  uint64_t seq;
  uint64_t id;
  uint64_t fail_at;
};

static inline int wt_apply(void *arg, const struct vdb_wal_record *record, vecdb_error *err) {
  struct wt_seen *seen = arg;
  uint8_t body[WT_BODY_MAX];
  uint64_t id;
  assert_int_equal(record->seq, seen->seq + 1);
  assert_int_equal(record->type, VDB_WAL_ROWS);
  assert_true(record->n >= 16);
  assert_int_equal((uintptr_t)record->body % 8, 0);
  memcpy(&id, record->body, 8);
  assert_int_equal(wt_body(body, id, seen->id), record->n);
  assert_memory_equal(body, record->body, record->n);
  assert_int_equal(record->collection, id % 7);
  seen->seq = record->seq;
  seen->id = id;
  if (record->seq <= seen->w->acked)
    assert_int_equal(id, seen->w->ids[record->seq]);
  if (record->seq == seen->fail_at)
    return vdb_fail(err, VECDB_ERR_CANCELLED, "enough");
  return VECDB_OK;
}

/* Scans. On success: all that must be there was, in order, and *last is where the log ends. */
static inline int wt_scan(struct wt *w, struct vdb_wal_scan *scan, vecdb_error *err) {
  struct wt_seen seen = {w, w->floor, w->ids[w->floor], 0};
  int rc = vdb_wal_scan(&w->env, "db", w->first, w->floor, wt_apply, &seen, scan, err);
  if (rc == VECDB_OK)
    assert_int_equal(scan->last_seq, seen.seq);
  return rc;
}

static inline int wt_learn(void *arg, const struct vdb_wal_record *record, vecdb_error *err) {
  struct wt_seen *seen = arg;
  int rc = wt_apply(arg, record, err);
  wt_set_id(seen->w, record->seq, seen->id);
  return rc;
}

/* Opens the log; what it holds is from now on what it should hold. */
static inline int wt_try_open(struct wt *w, vecdb_error *err) {
  struct vdb_wal_scan scan;
  struct wt_seen seen = {w, w->floor, w->ids[w->floor], 0};
  assert_null(w->wal);
  VDB_TRY(vdb_wal_scan(&w->env, "db", w->first, w->floor, wt_learn, &seen, &scan, err));
  if (scan.last_seq < w->acked)
    fail_msg("the log ends at %d, before %d", (int)scan.last_seq, (int)w->acked);
  w->written = scan.last_seq;
  return vdb_wal_new(&w->env, "db", &scan, &w->wal, err);
}

static inline void wt_open(struct wt *w) {
  vecdb_error err;
  if (wt_try_open(w, &err) != VECDB_OK)
    fail_msg("%s", err.message);
}

static inline void wt_close(struct wt *w, bool end) {
  vecdb_error err;
  assert_int_equal(vdb_wal_close(w->wal, end, &err), VECDB_OK);
  w->wal = NULL;
  w->acked = w->written;
}

/* The process dies: nothing more goes to the disk, but the system goes on. */
static inline void wt_kill(struct wt *w) {
  vecdb_error err;
  simdisk_stop_after(w->disk, 0);
  vdb_wal_close(w->wal, false, &err);
  w->wal = NULL;
  simdisk_stop_after(w->disk, UINT64_MAX);
}

static inline void wt_power(struct wt *w, uint64_t seed) {
  wt_kill(w);
  simdisk_crash(w->disk, seed);
}

/* A checkpoint: as if all records were in other files. */
static inline void wt_checkpoint(struct wt *w) {
  vdb_wal_rotate(w->wal);
  w->first = vdb_wal_next_file(w->wal);
  w->floor = w->acked = w->written;
  vdb_wal_trim(w->wal, w->first);
}

static inline void wt_path(struct wt *w, char out[64], uint64_t number) {
  vecdb_error err;
  (void)w;
  assert_int_equal(vdb_wal_path(out, 64, "db", number, &err), VECDB_OK);
}

/* Three records, a rotation, three more; closed or not. Returns the second file's length. */
static inline uint64_t wt_small(struct wt *w, bool end) {
  vecdb_error err;
  uint64_t length;
  char path[64];
  wt_open(w);
  for (int i = 0; i < 6; i++) {
    assert_int_equal(wt_write(w, 1, true, &err), VECDB_OK);
    if (i == 2)
      vdb_wal_rotate(w->wal);
  }
  if (end)
    wt_close(w, true);
  else
    wt_kill(w);
  simdisk_settle(w->disk);
  wt_path(w, path, 2);
  assert_int_equal(simdisk_length(w->disk, path, &length), 0);
  return length;
}

static inline int wt_ignore(void *arg, const struct vdb_wal_record *record, vecdb_error *err) {
  (void)record;
  (void)err;
  ++*(uint64_t *)arg;
  return VECDB_OK;
}

static inline int wt_scan_code(struct wt *w, uint64_t *last) {
  struct vdb_wal_scan scan;
  vecdb_error err;
  uint64_t n = 0;
  int rc = vdb_wal_scan(&w->env, "db", w->first, w->floor, wt_ignore, &n, &scan, &err);
  *last = scan.last_seq;
  return rc;
}

static inline void wt_make(struct wt *w, uint64_t number, const void *data, size_t n) {
  char path[64];
  vecdb_file *file;
  wt_path(w, path, number);
  assert_int_equal(w->env.vfs->open(w->env.vfs, path, VECDB_OPEN_CREATE, &file), 0);
  assert_int_equal(w->env.vfs->write(file, data, n, 0), 0);
  w->env.vfs->close(file);
  simdisk_settle(w->disk);
}

static inline void wt_fault(struct wt *w, uint32_t kinds, uint64_t nth, int error, bool on) {
  struct simdisk_fault fault = {kinds, nth, error, on, error == ENOSPC};
  simdisk_set_fault(w->disk, &fault);
}

#endif
