/*
 * test_db_flush.c - a flush beside a write that fails: the number of that write is given to another
 * one, which must not pass for flushed, or a crash would lose it.
 * TSAN: yes
 */
#include "tlib/apitest.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "db/db.h"
#include "tlib/simdisk.h"

/* Where one thread waits until another opens it. */
struct gate {
  _Atomic bool armed;
  _Atomic bool reached;
  _Atomic bool open;
};

static struct gate failing_sync, rows_file;

static bool gate_pass(struct gate *gate) {
  if (!atomic_exchange(&gate->armed, false))
    return false;
  atomic_store(&gate->reached, true);
  while (!atomic_load(&gate->open))
    sched_yield();
  return true;
}

static void gate_await(struct gate *gate) {
  while (!atomic_load(&gate->reached))
    sched_yield();
}

static int gated_sync(vecdb_file *file) {
  return gate_pass(&failing_sync) ? EIO : file->vfs->sync(file);
}

static const vecdb_vfs *plain;

static int gated_open(const vecdb_vfs *vfs, const char *path, int mode, vecdb_file **out) {
  if (strstr(path, ".rows"))
    gate_pass(&rows_file);
  return plain->open(vfs, path, mode, out);
}

static void *delete_row_0(void *arg) {
  const int64_t id = 0;
  vecdb_keys keys = {&id, NULL, 1};
  vecdb_error err;
  return vecdb_delete(arg, &keys, NULL, &err) == VECDB_ERR_IO ? NULL : arg;
}

static void *flush(void *arg) {
  vecdb_error err;
  return vecdb_flush(arg, NULL, &err) == VECDB_OK ? NULL : arg;
}

/* Whether a flush has begun: the rows so far take no more. */
static bool is_frozen(vecdb_collection *coll) {
  vdb_mutex_lock(&coll->db->write_mu);
  bool frozen = coll->active == NULL;
  vdb_mutex_unlock(&coll->db->write_mu);
  return frozen;
}

static vecdb *open_on(const vecdb_vfs *vfs) {
  vecdb_options o = VECDB_OPTIONS_INIT;
  o.flags = VECDB_HOST_DRIVEN;
  o.vfs = vfs;
  return at_open("db", &o);
}

/* A delete is on its way to the disk when the flush begins, and fails; the next write gets its
   number while the flush still writes. */
static void fail_and_write_meanwhile(vecdb_collection *coll) {
  pthread_t deleting, flushing;
  void *unexpected;
  atomic_store(&failing_sync.armed, true);
  assert_int_equal(pthread_create(&deleting, NULL, delete_row_0, coll), 0);
  gate_await(&failing_sync);
  atomic_store(&rows_file.armed, true);
  assert_int_equal(pthread_create(&flushing, NULL, flush, coll), 0);
  while (!is_frozen(coll))
    sched_yield();
  atomic_store(&failing_sync.open, true);
  assert_int_equal(pthread_join(deleting, &unexpected), 0);
  assert_null(unexpected);
  gate_await(&rows_file);
  at_put(coll, 200, 1);
  atomic_store(&rows_file.open, true);
  assert_int_equal(pthread_join(flushing, &unexpected), 0);
  assert_null(unexpected);
}

static void numbers_that_come_again_are_not_flushed(void **state) {
  (void)state;
  struct simdisk *disk = simdisk_new();
  plain = simdisk_vfs(disk);
  vecdb_vfs gated = *plain;
  gated.sync = gated_sync;
  gated.open = gated_open;
  vecdb *db = open_on(&gated);
  vecdb_collection *coll = at_small(db, "c");
  at_put(coll, 0, 10);
  fail_and_write_meanwhile(coll);
  assert_int_equal(at_count(coll, NULL), 11);
  struct simdisk *after = simdisk_clone(disk);
  vecdb_collection_release(coll);
  at_close(db);
  simdisk_crash(after, 0); /* the power went when the flush had returned */
  db = open_on(simdisk_vfs(after));
  at_ok(vecdb_collection_get(db, "c", &coll, &at_err));
  assert_int_equal(at_count(coll, "id == 200"), 1);
  assert_int_equal(at_count(coll, NULL), 11);
  vecdb_collection_release(coll);
  at_close(db);
  simdisk_free(after);
  simdisk_free(disk);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(numbers_that_come_again_are_not_flushed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
