/*
 * test_db_locks.c - who waits for whom: calls that listen to their control while others hold a
 * lock, long calls that leave writers and background work alone, and work that fails over and over.
 * TSAN: yes
 */
#include "tlib/apitest.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

#include "db/db.h"
#include "index/bakeoff.h"

static vecdb *host_driven(const char *path, const vecdb_vfs *vfs, uint32_t seal_rows) {
  vecdb_options o = VECDB_OPTIONS_INIT;
  o.flags = VECDB_HOST_DRIVEN;
  o.vfs = vfs;
  o.seal_rows = seal_rows;
  return at_open(path, &o);
}

static vecdb_stats stats_of(vecdb_collection *coll) {
  vecdb_stats stats = VECDB_STATS_INIT;
  at_ok(vecdb_collection_stats(coll, &stats, &at_err));
  return stats;
}

/* ---- walks over the collections ---- */

struct walk {
  vecdb *db;
  vecdb_collection *first;
  bool dropped;
};

static int drop_the_first(void *user, const char *phase, uint64_t done, uint64_t total) {
  struct walk *walk = user;
  (void)phase;
  (void)done;
  (void)total;
  if (!walk->dropped && stats_of(walk->first).segments_sealed == 1) {
    walk->dropped = true;
    at_ok(vecdb_collection_drop(walk->db, "a", &at_err));
  }
  return 0;
}

static void flush_all_skips_nobody(void **state) {
  (void)state;
  static const char *const names[] = {"a", "b", "c"};
  vecdb_collection *colls[3];
  vecdb *db = host_driven(":memory:", NULL, 0);
  for (int i = 0; i < 3; i++) {
    colls[i] = at_small(db, names[i]);
    at_put(colls[i], 0, 10);
  }
  struct walk walk = {db, colls[0], false};
  vecdb_control control = VECDB_CONTROL_INIT;
  control.progress = drop_the_first;
  control.user = &walk;
  at_ok(vecdb_flush_all(db, &control, &at_err));
  assert_true(walk.dropped);
  assert_int_equal(stats_of(colls[1]).segments_sealed, 1);
  assert_int_equal(stats_of(colls[2]).segments_sealed, 1);
  for (int i = 0; i < 3; i++)
    vecdb_collection_release(colls[i]);
  at_close(db);
}

/* ---- calls that wait for a lock ---- */

struct waiting {
  pthread_t thread;
  vecdb_collection *coll;
  vecdb_control control;
  int (*call)(vecdb_collection *coll, const vecdb_control *control, vecdb_error *error);
  int rc;
};

static int call_index(vecdb_collection *coll, const vecdb_control *control, vecdb_error *error) {
  return vecdb_index_create(coll, "v", NULL, control, error);
}

static void *wait_for_lock(void *arg) {
  struct waiting *waiting = arg;
  vecdb_error err;
  waiting->rc = waiting->call(waiting->coll, &waiting->control, &err);
  return NULL;
}

/* The call must come back while this thread holds the lock: by its deadline, or cancelled. */
static void expect_given_up(vecdb_collection *coll, struct vdb_mutex *mutex,
                            int (*call)(vecdb_collection *, const vecdb_control *, vecdb_error *)) {
  static int32_t cancel;
  for (int i = 0; i < 2; i++) {
    struct waiting waiting = {.coll = coll, .control = VECDB_CONTROL_INIT, .call = call};
    cancel = i;
    waiting.control.timeout_ms = i ? 0 : 20;
    waiting.control.cancel = &cancel;
    vdb_mutex_lock(mutex);
    assert_int_equal(pthread_create(&waiting.thread, NULL, wait_for_lock, &waiting), 0);
    assert_int_equal(pthread_join(waiting.thread, NULL), 0);
    vdb_mutex_unlock(mutex);
    assert_int_equal(waiting.rc, i ? VECDB_ERR_CANCELLED : VECDB_ERR_TIMEOUT);
  }
}

static void waiting_calls_keep_their_deadlines(void **state) {
  (void)state;
  vecdb *db = host_driven(":memory:", NULL, 0);
  vecdb_collection *coll = at_small(db, "c");
  for (int i = 0; i < 6; i++) { /* segments to be merged */
    at_put(coll, i * 10, 10);
    at_ok(vecdb_flush(coll, NULL, &at_err));
  }
  expect_given_up(coll, &coll->merge_mu, vecdb_wait);
  expect_given_up(coll, &coll->merge_mu, vecdb_compact);
  expect_given_up(coll, &coll->merge_mu, call_index);
  expect_given_up(coll, &coll->seal_mu, vecdb_wait);
  expect_given_up(coll, &coll->seal_mu, vecdb_flush);
  at_ok(vecdb_wait(coll, NULL, &at_err));
  assert_int_equal(stats_of(coll).jobs_pending, 0);
  vecdb_collection_release(coll);
  at_close(db);
}

/* Time runs out once the settings of an index are in the manifest, of which it is the second. */
static struct {
  vecdb_vfs vfs;
  vecdb_clock clock;
  bool armed;
  unsigned manifests;
} late;

static int late_rename(const vecdb_vfs *vfs, const char *from, const char *to) {
  late.manifests += late.armed && strstr(to, "MANIFEST") != NULL;
  return vdb_vfs_posix()->rename(vfs, from, to);
}

static uint64_t late_ns(void *user) {
  (void)user;
  return late.manifests >= 2 ? (uint64_t)10000000000 : 1;
}

/* The code says that it was the time, also where two types of index are tried first. */
static void choosing_an_index_keeps_its_deadline(void **state) {
  (void)state;
  char *folder = at_folder();
  vecdb_options o = VECDB_OPTIONS_INIT;
  vecdb_index_params params = VECDB_INDEX_PARAMS_INIT;
  vecdb_control control = VECDB_CONTROL_INIT;
  late.vfs = *vdb_vfs_posix();
  late.vfs.rename = late_rename;
  late.clock = (vecdb_clock){late_ns, late_ns, NULL};
  o.vfs = &late.vfs;
  o.clock = &late.clock;
  o.flags = VECDB_HOST_DRIVEN;
  o.durability = VECDB_DURABLE_OFF;
  o.seal_rows = 2 * VDB_BAKEOFF_LEAST;
  vecdb *db = at_open(at_path(folder, "db"), &o);
  vecdb_collection *coll = at_small(db, "c");
  at_put(coll, 0, VDB_BAKEOFF_LEAST);
  at_ok(vecdb_flush(coll, NULL, &at_err));
  control.timeout_ms = 1000;
  late.armed = true;
  at_fails(VECDB_ERR_TIMEOUT, vecdb_index_create(coll, "v", &params, &control, &at_err));
  vecdb_collection_release(coll);
  at_close(db);
  at_remove(folder);
}

/* ---- deletes by filter ---- */

/* What is done in the middle of a delete, from its own progress function. */
struct middle {
  vecdb *db;
  vecdb_collection *coll;
  int what;
  unsigned calls;
};

static int be_in_the_middle(void *user, const char *phase, uint64_t done, uint64_t total) {
  struct middle *m = user;
  (void)phase;
  (void)done;
  (void)total;
  if (m->calls++ > 0)
    return 0;
  if (m->what == 4)
    return 1;
  at_put(m->coll, 600, 20);   /* new rows, some pass */
  at_delete(m->coll, 0, 5);   /* rows that were found */
  at_delete(m->coll, 10, 90); /* as well; the keys come back with other values: n is id % 100 */
  at_put(m->coll, 10000, 50);
  if (m->what >= 1)
    at_ok(vecdb_flush(m->coll, NULL, &at_err));
  if (m->what >= 2)
    at_ok(vecdb_compact(m->coll, NULL, &at_err));
  if (m->what >= 3)
    at_ok(vecdb_collection_drop(m->db, "c", &at_err));
  return 0;
}

/* Row i has n = i % 100; its key is made to carry another n by a batch of its own. */
static void put_n(vecdb_collection *coll, int64_t id, int32_t n) {
  const float v[4] = {0, 0, 0, 1};
  const vecdb_column columns[] = {
      {.field = "id", .data = &id}, {.field = "n", .data = &n}, {.field = "v", .data = v}};
  vecdb_batch batch = VECDB_BATCH_INIT;
  batch.columns = columns;
  batch.n_columns = 3;
  batch.n_rows = 1;
  at_ok(vecdb_upsert(coll, &batch, NULL, &at_err));
}

static int replace_in_the_middle(void *user, const char *phase, uint64_t done, uint64_t total) {
  struct middle *m = user;
  (void)phase;
  (void)done;
  (void)total;
  if (m->calls++ == 0) {
    put_n(m->coll, 3, 99);   /* passed, does no more */
    put_n(m->coll, 203, 98); /* the same in another segment */
    put_n(m->coll, 55, 4);   /* did not pass, does now */
    if (m->what)
      at_ok(vecdb_compact(m->coll, NULL, &at_err));
  }
  return 0;
}

static vecdb_collection *middle_begin(struct middle *m, int what) {
  m->db = host_driven(":memory:", NULL, 0);
  m->coll = at_small(m->db, "c");
  m->what = what;
  m->calls = 0;
  for (int i = 0; i < 3; i++) {
    at_put(m->coll, i * 100, 100);
    if (i < 2)
      at_ok(vecdb_flush(m->coll, NULL, &at_err));
  }
  return m->coll;
}

static void deletes_by_filter_let_others_write(void **state) {
  (void)state;
  const vecdb_filter filter = {"n < 10", 0, NULL, 0};
  struct middle m;
  vecdb_control control = VECDB_CONTROL_INIT;
  control.user = &m;
  for (int what = 0; what < 5; what++) {
    uint64_t deleted = 7;
    vecdb_collection *coll = middle_begin(&m, what);
    control.progress = be_in_the_middle;
    int rc = vecdb_delete_where(coll, &filter, &deleted, &control, &at_err);
    assert_true(m.calls > 0);
    assert_int_equal(rc, what == 3 ? VECDB_ERR_CLOSED : what == 4 ? VECDB_ERR_CANCELLED : 0);
    if (what < 3) { /* 5 of rows 0 to 99 were left, 20 of the others, 10 of 600 to 619, 10 */
      assert_int_equal(deleted, 5 + 20 + 10 + 10);
      assert_int_equal(at_count(coll, "n < 10"), 0);
      assert_int_equal(at_count(coll, NULL), 300 - 95 + 20 + 50 - 45);
    } else {
      assert_int_equal(deleted, 0);
    }
    if (what == 4)
      assert_int_equal(at_count(coll, NULL), 300);
    vecdb_collection_release(coll);
    at_close(m.db);
  }
  for (int what = 0; what < 2; what++) {
    uint64_t deleted;
    vecdb_collection *coll = middle_begin(&m, what);
    control.progress = replace_in_the_middle;
    at_ok(vecdb_delete_where(coll, &filter, &deleted, &control, &at_err));
    assert_int_equal(deleted, 30 - 2 + 1);
    assert_int_equal(at_count(coll, "id in [3, 203]"), 2);
    assert_int_equal(at_count(coll, "id == 55"), 0);
    at_ok(vecdb_check(m.db, NULL, NULL, NULL, &at_err));
    vecdb_collection_release(coll);
    at_close(m.db);
  }
}

/* ---- segments that come while a manifest is written ---- */

enum { CROWD = 70 }; /* more than a version has slack for */

static struct {
  vecdb_vfs vfs;
  vecdb_collection *coll;
  bool armed;
  pthread_t threads[CROWD];
  _Atomic int next;
} crowd;

/* The row is there at once; the call may go on until sealing does, which it helps with. */
static void *crowd_write(void *arg) {
  (void)arg;
  at_put(crowd.coll, 1000 + atomic_fetch_add(&crowd.next, 1), 1);
  return NULL;
}

static uint32_t crowd_segments(void) {
  vdb_mutex_lock(&crowd.coll->db->write_mu);
  uint32_t n = crowd.coll->version->n;
  vdb_mutex_unlock(&crowd.coll->db->write_mu);
  return n;
}

static int crowd_rename(const vecdb_vfs *vfs, const char *from, const char *to) {
  if (crowd.armed) {
    crowd.armed = false;
    for (int i = 0; i < CROWD; i++)
      assert_int_equal(pthread_create(&crowd.threads[i], NULL, crowd_write, NULL), 0);
    while (crowd_segments() < CROWD)
      sched_yield();
  }
  return vdb_vfs_posix()->rename(vfs, from, to);
}

static void many_segments_may_come(void **state) {
  (void)state;
  char *folder = at_folder();
  crowd.vfs = *vdb_vfs_posix();
  crowd.vfs.rename = crowd_rename;
  vecdb *db = host_driven(at_path(folder, "db"), &crowd.vfs, 1);
  crowd.coll = at_small(db, "c");
  for (int i = 0; i < 2; i++)
    at_put(crowd.coll, i, 1);
  at_ok(vecdb_flush(crowd.coll, NULL, &at_err));
  vecdb_index_params flat = VECDB_INDEX_PARAMS_INIT;
  flat.type = VECDB_INDEX_FLAT;
  crowd.armed = true;
  at_ok(vecdb_index_create(crowd.coll, "v", &flat, NULL, &at_err));
  assert_false(crowd.armed);
  for (int i = 0; i < CROWD; i++)
    assert_int_equal(pthread_join(crowd.threads[i], NULL), 0);
  assert_int_equal(at_count(crowd.coll, NULL), 2 + CROWD);
  at_ok(vecdb_check(db, NULL, NULL, NULL, &at_err));
  vecdb_collection_release(crowd.coll);
  at_close(db);
  at_remove(folder);
}

/* ---- work that fails over and over ---- */

static struct {
  vecdb_vfs vfs;
  _Atomic bool full;
  _Atomic int failures;
} full;

static int full_open(const vecdb_vfs *vfs, const char *path, int mode, vecdb_file **out) {
  if (atomic_load(&full.full) && strstr(path, ".rows") && mode == VECDB_OPEN_CREATE)
    return ENOSPC;
  return vdb_vfs_posix()->open(vfs, path, mode, out);
}

static void full_log(void *user, int level, const char *line) {
  (void)user;
  (void)level;
  if (strstr(line, "background work failed"))
    atomic_fetch_add(&full.failures, 1);
}

static void kicks_do_not_hurry_what_failed(void **state) {
  (void)state;
  char *folder = at_folder();
  vecdb_options o = VECDB_OPTIONS_INIT;
  full.vfs = *vdb_vfs_posix();
  full.vfs.open = full_open;
  o.vfs = &full.vfs;
  o.log = full_log;
  o.seal_rows = 10;
  o.durability = VECDB_DURABLE_INTERVAL;
  vecdb *db = at_open(at_path(folder, "db"), &o);
  vecdb_collection *coll = at_small(db, "c");
  atomic_store(&full.full, true);
  for (int i = 0; i < 20; i++)
    at_put(coll, i * 10, 10);
  while (atomic_load(&full.failures) == 0)
    sched_yield();
  for (int i = 0; i < 500; i++) {
    struct timespec pause = {0, 200000};
    vdb_jobs_kick(db);
    nanosleep(&pause, NULL); /* else all kicks could come before the thread has looked */
  }
  assert_in_range(atomic_load(&full.failures), 1, 100);
  atomic_store(&full.full, false);
  at_ok(vecdb_wait(coll, NULL, &at_err));
  assert_true(stats_of(coll).segments_sealed > 0);
  vecdb_collection_release(coll);
  at_close(db);
  at_remove(folder);
}

/* ---- closing while background work is in a part that tells nobody how far it is ---- */

static struct {
  vecdb_vfs vfs;
  vecdb *_Atomic db;
  _Atomic bool met;
} closing;

/* An index that was just built is opened to be measured: not before the database is closed. */
static int closing_open(const vecdb_vfs *vfs, const char *path, int mode, vecdb_file **out) {
  if (strstr(path, ".idx") && mode != VECDB_OPEN_CREATE && atomic_load(&closing.db)) {
    atomic_store(&closing.met, true);
    while (!atomic_load(&atomic_load(&closing.db)->closing))
      sched_yield();
  }
  return vdb_vfs_posix()->open(vfs, path, mode, out);
}

static void closing_ends_what_only_polls(void **state) {
  (void)state;
  char *folder = at_folder();
  vecdb_options o = VECDB_OPTIONS_INIT;
  closing.vfs = *vdb_vfs_posix();
  closing.vfs.open = closing_open;
  o.vfs = &closing.vfs;
  o.seal_rows = 2000;
  o.index_rows = 100;
  vecdb *db = at_open(at_path(folder, "db"), &o);
  atomic_store(&closing.db, db);
  vecdb_collection *coll = at_small(db, "c");
  for (int i = 0; i < 3; i++)
    at_put(coll, i * 1000, 1000);
  while (!atomic_load(&closing.met))
    sched_yield();
  vecdb_collection_release(coll);
  at_close(db);
  atomic_store(&closing.db, NULL);
  o.flags = VECDB_HOST_DRIVEN;
  db = at_open(at_path(folder, "db"), &o);
  at_ok(vecdb_collection_get(db, "c", &coll, &at_err));
  assert_true(stats_of(coll).jobs_pending > 0); /* the index, which was not measured */
  at_ok(vecdb_wait(coll, NULL, &at_err));
  assert_int_equal(stats_of(coll).jobs_pending, 0);
  vecdb_collection_release(coll);
  at_close(db);
  at_remove(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(flush_all_skips_nobody),
      cmocka_unit_test(waiting_calls_keep_their_deadlines),
      cmocka_unit_test(choosing_an_index_keeps_its_deadline),
      cmocka_unit_test(deletes_by_filter_let_others_write),
      cmocka_unit_test(many_segments_may_come),
      cmocka_unit_test(kicks_do_not_hurry_what_failed),
      cmocka_unit_test(closing_ends_what_only_polls),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
