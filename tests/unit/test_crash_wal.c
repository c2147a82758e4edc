/* test_crash_wal.c - the log after power cuts and kills, and with every operation and allocation
   failing. VDB_N: crash states to try. */
#include "tlib/waltest.h"
#include "tlib/thorough.h"

/* ---- failures ---- */

/* A write that has failed stays away, though the disk may have kept all of it. */
static void test_failed_stays_away(void **state) {
  (void)state;
  static const uint32_t kinds[] = {SIMDISK_SYNC, SIMDISK_WRITE};
  for (size_t k = 0; k < 2; k++)
    for (uint64_t seed = 0; seed < 16; seed++) {
      struct wt *w = wt_new();
      vecdb_error err;
      wt_open(w);
      assert_int_equal(wt_write(w, 2, true, &err), VECDB_OK);
      wt_fault(w, kinds[k], 1, k ? ENOSPC : EIO, false);
      assert_int_equal(wt_write(w, 3, true, &err), k ? VECDB_ERR_DISK_FULL : VECDB_ERR_IO);
      if (seed & 1)
        assert_int_equal(wt_write(w, 1, true, &err), VECDB_OK);
      uint64_t written = w->written;
      wt_power(w, seed);
      wt_open(w);
      assert_int_equal(w->written, written);
      assert_int_equal(wt_write(w, 1, true, &err), VECDB_OK);
      wt_close(w, true);
      wt_open(w);
      assert_int_equal(w->written, written + 1);
      wt_free(w);
    }
}

/* A write that came to half of the disk: its first records are whole there, and stay away only if
   the call that failed began another file at once. */
static void test_short_write(void **state) {
  (void)state;
  for (uint64_t seed = 0; seed < 16; seed++) {
    struct wt *w = wt_new();
    vecdb_error err;
    wt_open(w);
    assert_int_equal(wt_write(w, 2, true, &err), VECDB_OK);
    struct simdisk_fault fault = {.kinds = SIMDISK_WRITE, .nth = 1, .error = EIO, .partial = true};
    simdisk_set_fault(w->disk, &fault);
    uint64_t files = simdisk_ops(w->disk, SIMDISK_CREATE);
    assert_int_equal(wt_write(w, 8, seed & 1, &err), VECDB_ERR_IO);
    assert_int_equal(simdisk_ops(w->disk, SIMDISK_CREATE), files + 1);
    if (seed & 2)
      assert_int_equal(wt_write(w, 1, true, &err), VECDB_OK);
    uint64_t written = w->written;
    wt_power(w, seed);
    wt_open(w);
    assert_int_equal(w->written, written);
    wt_close(w, true);
    wt_free(w);
  }
}

/* With a sync per interval a failure loses nothing while the process lives, and a later sync makes
   all durable. */
static void test_failed_interval(void **state) {
  (void)state;
  static const uint32_t kinds[] = {SIMDISK_SYNC, SIMDISK_WRITE, SIMDISK_CREATE};
  for (uint64_t seed = 0; seed < 48; seed++) {
    struct wt *w = wt_new();
    vecdb_error err;
    wt_open(w);
    assert_int_equal(wt_write(w, 2, true, &err), VECDB_OK);
    assert_int_equal(wt_write(w, 2, false, &err), VECDB_OK);
    assert_int_equal(wt_write(w, 1, false, &err), VECDB_OK);
    if (seed & 8)
      vdb_wal_rotate(w->wal);
    wt_fault(w, kinds[seed % 3], 1 + seed / 16, EIO, false);
    int rc = wt_write(w, 2, seed & 1, &err);
    if (rc && (seed & 2))
      wt_write(w, 1, false, &err);
    simdisk_set_fault(w->disk, NULL);
    assert_int_equal(vdb_wal_sync(w->wal, &err), VECDB_OK);
    w->acked = w->written;
    assert_true(w->acked >= 5);
    wt_power(w, seed);
    wt_open(w);
    assert_int_equal(w->written, w->acked);
    wt_free(w);
  }
}

/* What a killed process has left in the system's memory is synced before the log goes on. */
static void test_kill_then_power(void **state) {
  (void)state;
  for (uint64_t seed = 0; seed < 16; seed++) {
    struct wt *w = wt_new();
    vecdb_error err;
    wt_open(w);
    assert_int_equal(wt_write(w, 1, true, &err), VECDB_OK);
    assert_int_equal(wt_write(w, 3, false, &err), VECDB_OK);
    wt_kill(w);
    wt_open(w);
    assert_int_equal(w->written, 4);
    assert_int_equal(wt_write(w, 1, true, &err), VECDB_OK);
    wt_power(w, seed);
    wt_open(w);
    assert_int_equal(w->written, 5);
    wt_free(w);
  }
}

/* A sync that failed before the process was killed: the next process sees the records, and would be
   told that they are synced, but they are not on the disk. */
static void test_failed_kill_power(void **state) {
  (void)state;
  for (uint64_t seed = 0; seed < 16; seed++) {
    struct wt *w = wt_new();
    vecdb_error err;
    wt_open(w);
    assert_int_equal(wt_write(w, 1, true, &err), VECDB_OK);
    assert_int_equal(wt_write(w, 3, false, &err), VECDB_OK);
    wt_fault(w, SIMDISK_SYNC | SIMDISK_CREATE, 1, EIO, true);
    assert_int_equal(vdb_wal_sync(w->wal, &err), VECDB_ERR_IO);
    wt_kill(w);
    simdisk_set_fault(w->disk, NULL);
    for (int i = 0; i < 2; i++) {
      wt_open(w);
      assert_int_equal(w->written, 4);
      if (i == 0) { /* first the new file cannot be made */
        wt_fault(w, 1u << (seed % 8), 1, EIO, false);
        vdb_wal_sync(w->wal, &err);
        wt_kill(w);
        simdisk_set_fault(w->disk, NULL);
      }
    }
    assert_int_equal(seed & 1 ? wt_write(w, 1, true, &err) : vdb_wal_sync(w->wal, &err), VECDB_OK);
    w->acked = w->written;
    wt_power(w, seed);
    wt_open(w);
    assert_int_equal(w->written, 4 + (seed & 1));
    wt_free(w);
  }
}

/* A checkpoint makes what was in doubt unneeded, also while it is taken over. */
static void test_doubt_trimmed(void **state) {
  (void)state;
  struct wt *w = wt_new();
  vecdb_error err;
  wt_open(w);
  assert_int_equal(wt_write(w, 4, false, &err), VECDB_OK);
  wt_kill(w);
  wt_open(w);
  wt_fault(w, SIMDISK_OPEN, 1, EIO, false);
  assert_int_equal(wt_write(w, 1, true, &err), VECDB_ERR_IO);
  wt_checkpoint(w);
  assert_int_equal(wt_write(w, 1, true, &err), VECDB_OK);
  wt_power(w, 0);
  wt_open(w);
  assert_int_equal(w->written, 5);
  wt_free(w);
}

static void test_disk_full(void **state) {
  (void)state;
  struct wt *w = wt_new();
  vecdb_error err;
  wt_open(w);
  assert_int_equal(wt_write(w, 2, true, &err), VECDB_OK);
  int full = 0;
  for (int round = 0; round < 400; round++) {
    if (round % 80 == 0) /* full, apart from some bytes; later there is room again */
      simdisk_set_capacity(w->disk, simdisk_used(w->disk) + 100 * (uint64_t)round);
    if (round % 80 == 40)
      simdisk_set_capacity(w->disk, 0);
    int rc = wt_write(w, 30, round % 3 > 0, &err);
    assert_true(rc == VECDB_OK || rc == VECDB_ERR_DISK_FULL);
    full += rc != VECDB_OK;
    if (round % 80 == 79)
      wt_checkpoint(w);
    assert_true(vdb_wal_bytes(w->wal) < 16u << 20);
  }
  assert_in_range(full, 10, 200);
  simdisk_set_capacity(w->disk, 0);
  assert_int_equal(wt_write(w, 1, true, &err), VECDB_OK);
  wt_power(w, 2);
  wt_open(w);
  assert_int_equal(w->written, w->acked);
  wt_free(w);
}

/* Two lives write the same file number with the same seed and clock: their salts differ. */
static void test_salts(void **state) {
  (void)state;
  uint64_t salts[6];
  size_t n = 0;
  struct wt *w = wt_new();
  vecdb_error err;
  for (int life = 0; life < 3; life++)
    for (int twin = 0; twin < 2; twin++) {
      struct wt *v = wt_clone(w);
      char path[64];
      struct store_wal_header h;
      if (twin) /* of another process, which the scan has not seen */
        wt_try_open(v, &err);
      wt_path(v, path, (uint64_t)life + 1);
      if (twin)
        wt_make(v, (uint64_t)life + 1, "", 0);
      else
        wt_open(v);
      if (twin && n) {
        memset(&h, 0, sizeof h);
        h.salt = salts[n - 1];
        wt_make(v, (uint64_t)life + 1, &h, sizeof h);
      }
      assert_int_equal(wt_write(v, 1, true, &err), VECDB_OK);
      wt_close(v, false);
      simdisk_settle(v->disk);
      assert_int_equal(simdisk_peek(v->disk, path, &h, sizeof h, 0), 0);
      for (size_t i = 0; i < n; i++)
        assert_true(salts[i] != h.salt);
      salts[n++] = h.salt;
      if (twin) {
        wt_free(w);
        w = v;
      } else {
        wt_free(v);
      }
    }
  wt_free(w);
}

/* ---- random lives ---- */

/* One random step; failures of the disk are fine, wrong contents are not. */
static void wt_step(struct wt *w, bool faults) {
  vecdb_error err;
  uint32_t r = vdb_rng_below(&w->rng, 100);
  if (r < 65) {
    wt_write(w, 1 + vdb_rng_below(&w->rng, 3), vdb_rng_below(&w->rng, 2), &err);
  } else if (r < 75) {
    if (vdb_wal_sync(w->wal, &err) == VECDB_OK)
      w->acked = w->written;
  } else if (r < 80) {
    vdb_wal_rotate(w->wal);
  } else if (r < 87) {
    wt_checkpoint(w);
  } else if (r < 94) {
    if (vdb_wal_close(w->wal, true, &err) == VECDB_OK)
      w->acked = w->written;
    w->wal = NULL;
  } else if (!simdisk_stopped(w->disk)) {
    uint64_t written = w->written;
    wt_kill(w);
    wt_open(w);
    if (!faults) /* the system has what it was given */
      assert_int_equal(w->written, written);
  }
  if (!w->wal)
    wt_open(w);
}

/* Steps until the disk stops after `ops` operations, or `steps` are done. */
static void wt_live(struct wt *w, uint64_t ops, int steps, bool faults) {
  uint64_t start = simdisk_ops(w->disk, SIMDISK_CHANGES);
  for (int i = 0; i < steps; i++) {
    uint64_t done = simdisk_ops(w->disk, SIMDISK_CHANGES) - start;
    if (simdisk_stopped(w->disk) || done >= ops)
      break;
    simdisk_stop_after(w->disk, ops - done);
    wt_step(w, faults);
  }
  wt_kill(w);
}

static uint64_t wt_states;

/* A disk that stopped, the power gone: opens, checks, and goes on, up to `deeper` more times. */
static void wt_after_crash(const struct wt *stopped, uint64_t seed, int deeper) {
  struct wt *w = wt_clone(stopped);
  wt_states++;
  simdisk_crash(w->disk, seed);
  w->rng.state ^= seed * 977;
  wt_open(w);
  w->acked = w->written; /* the disk has just shown it */
  wt_live(w, deeper ? 1 + vdb_rng_below(&w->rng, 30) : UINT64_MAX, 8, false);
  if (deeper)
    for (uint64_t again = 0; again < 3; again++)
      wt_after_crash(w, seed * 31 + again, deeper - 1);
  wt_open(w);
  wt_close(w, true);
  wt_open(w);
  assert_int_equal(w->written, w->acked);
  wt_free(w);
}

/* How many crash states to try. */
static uint64_t wt_wanted(void) {
  const char *n = getenv("VDB_N");
  return n && atoll(n) > 0 ? (uint64_t)atoll(n) : TEST_SIZE(15000, 4000);
}

/* The power goes after every operation of random lives, and again in what follows. */
static void test_power_cuts(void **state) {
  (void)state;
  for (uint64_t seed = 1; wt_states < wt_wanted(); seed++)
    for (uint64_t ops = 0; ops < 70; ops++) {
      struct wt *w = wt_new();
      w->rng.state = seed;
      wt_open(w);
      wt_live(w, ops, 60, false);
      for (uint64_t crash = 0; crash < 6; crash++)
        wt_after_crash(w, ops * 1000 + seed * 7 + crash, crash < 2 ? 2 : crash < 4 ? 1 : 0);
      wt_free(w);
    }
  print_message("%llu crash states\n", (unsigned long long)wt_states);
}

/* Every operation of random lives fails, once or from then on, and later the power goes. */
static void test_faults(void **state) {
  (void)state;
  static const int errors[] = {EIO, ENOSPC};
  for (uint64_t seed = 1; seed <= 6; seed++)
    for (uint64_t nth = 1; nth < 70; nth++)
      for (int on = 0; on < 2; on++) {
        struct wt *w = wt_new();
        vecdb_error err;
        w->rng.state = seed;
        wt_open(w);
        wt_fault(w, SIMDISK_CHANGES, nth, errors[nth % 2], on);
        for (int i = 0; i < 30 && w->wal; i++)
          wt_step(w, true);
        if (seed % 2) { /* the disk is well again */
          simdisk_set_fault(w->disk, NULL);
          wt_live(w, UINT64_MAX, 5, true);
        }
        wt_power(w, nth);
        wt_open(w);
        assert_int_equal(wt_write(w, 2, true, &err), VECDB_OK);
        wt_close(w, true);
        wt_open(w);
        assert_int_equal(w->written, w->acked);
        wt_free(w);
      }
}

/* Every reading operation fails: an error, never a wrong answer. */
static void test_read_faults(void **state) {
  (void)state;
  struct wt *w = wt_new();
  struct vdb_wal_scan scan;
  vecdb_error err;
  wt_small(w, true);
  for (uint64_t nth = 1;; nth++) {
    wt_fault(w, SIMDISK_READ | SIMDISK_OPEN | SIMDISK_LIST, nth, EIO, false);
    int rc = wt_scan(w, &scan, &err);
    if (simdisk_faults_hit(w->disk) == 0) {
      assert_int_equal(rc, VECDB_OK);
      break;
    }
    assert_int_equal(rc, VECDB_ERR_IO);
  }
  wt_free(w);
}

/* Every allocation fails, once or from then on. */
static void test_memory(void **state) {
  (void)state;
  for (int on = 0; on < 2; on++)
    for (uint64_t nth = 1;; nth++) {
      struct wt *w = wt_new();
      vecdb_error err;
      memfault_fail(&w->memory, nth, on);
      if (wt_try_open(w, &err) == VECDB_OK)
        for (int i = 0; i < 12; i++) {
          int rc = wt_write(w, 3, i % 4 == 0, &err);
          assert_true(rc == VECDB_OK || rc == VECDB_ERR_NO_MEMORY);
          if (i == 5)
            vdb_wal_rotate(w->wal);
          if (i == 8)
            wt_checkpoint(w);
        }
      bool reached = memfault_failed(&w->memory) > 0;
      memfault_fail(&w->memory, 0, false);
      wt_power(w, 0);
      wt_open(w);
      assert_int_equal(wt_write(w, 1, true, &err), VECDB_OK);
      wt_free(w);
      if (!reached)
        break;
    }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_failed_stays_away),
      cmocka_unit_test(test_short_write),
      cmocka_unit_test(test_failed_interval),
      cmocka_unit_test(test_kill_then_power),
      cmocka_unit_test(test_failed_kill_power),
      cmocka_unit_test(test_doubt_trimmed),
      cmocka_unit_test(test_disk_full),
      cmocka_unit_test(test_salts),
      cmocka_unit_test(test_power_cuts),
      cmocka_unit_test(test_faults),
      cmocka_unit_test(test_read_faults),
      cmocka_unit_test(test_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
