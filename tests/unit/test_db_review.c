/*
 * test_db_review.c - corners of lib/db that are hard to reach by chance: copies of memory, whose
 * turn it is to shorten the log, memory of writes that fail, steps that meet, caches in want of it.
 */
#include "tlib/apitest.h"

#include <time.h>

#include "base/hot.h"
#include "db/db.h"
#include "tlib/apivfs.h"

static vecdb *host_driven(const char *path, vecdb_options *o) {
  o->flags |= VECDB_HOST_DRIVEN;
  return at_open(path, o);
}

static vecdb_stats stats_of(vecdb_collection *coll) {
  vecdb_stats stats = VECDB_STATS_INIT;
  at_ok(vecdb_collection_stats(coll, &stats, &at_err));
  return stats;
}

static void backup_of_memory_is_on_disk(void **state) {
  (void)state;
  char *folder = at_folder();
  vecdb *db = at_open(":memory:", NULL);
  vecdb_collection *coll = at_small(db, "c");
  at_put(coll, 0, 100);
  struct at_content before = at_content(coll);
  at_ok(vecdb_backup(db, at_path(folder, "copy"), NULL, &at_err));
  vecdb_collection_release(coll);
  at_close(db);
  db = at_open(at_path(folder, "copy"), NULL);
  at_ok(vecdb_collection_get(db, "c", &coll, &at_err));
  at_same(before, at_content(coll));
  vecdb_collection_release(coll);
  at_close(db);
  at_remove(folder);
}

/* One collection is written all the time, another holds the log back: it must get its turn. */
static void log_is_shortened_where_it_is_held(void **state) {
  (void)state;
  char *folder = at_folder();
  vecdb_options o = VECDB_OPTIONS_INIT;
  o.wal_bytes = 4096;
  vecdb *db = host_driven(at_path(folder, "db"), &o);
  vecdb_collection *busy = at_small(db, "busy");
  vecdb_collection *idle = at_small(db, "idle");
  at_put(idle, 0, 1);
  for (unsigned i = 0; i < 4; i++) {
    struct vdb_control control;
    vecdb_error err;
    uint64_t bytes = 0;
    bool did;
    at_put(busy, 0, 200);
    vdb_control_init(&control, &db->env, NULL);
    at_ok(vdb_jobs_run_one(db, NULL, &did, &bytes, &control, &err));
    assert_true(did);
  }
  assert_int_equal(stats_of(idle).segments_sealed, 1);
  vecdb_collection_release(busy);
  vecdb_collection_release(idle);
  at_close(db);
  at_remove(folder);
}

/* Writes that fail over and over must not hold on to memory. */
static void failed_writes_give_memory_back(void **state) {
  (void)state;
  struct av_disk *disk = av_new();
  vecdb_options o = VECDB_OPTIONS_INIT;
  o.vfs = av_vfs(disk);
  vecdb *db = host_driven("db", &o);
  vecdb_collection *coll = at_small(db, "c");
  at_put(coll, 0, 10);
  static int64_t ids[1000];
  static const char *strings[1000];
  static float vectors[1000][4];
  static int32_t numbers[1000];
  for (int i = 0; i < 1000; i++) {
    ids[i] = 100 + i;
    strings[i] = "twenty bytes of text";
  }
  vecdb_column columns[4] = {{.field = "id", .data = ids},
                             {.field = "n", .data = numbers},
                             {.field = "s", .data = strings},
                             {.field = "v", .data = vectors}};
  vecdb_batch batch = VECDB_BATCH_INIT;
  batch.columns = columns;
  batch.n_columns = 4;
  batch.n_rows = 1000;
  uint64_t early = 0;
  av_fail_writes(disk, 28);
  for (int i = 0; i < 60; i++) {
    assert_int_not_equal(vecdb_insert(coll, &batch, NULL, &at_err), VECDB_OK);
    if (i == 9)
      early = stats_of(coll).bytes_allocated;
  }
  assert_true(stats_of(coll).bytes_allocated <= early + 65536);
  av_fail_writes(disk, 0);
  at_ok(vecdb_insert(coll, &batch, NULL, &at_err));
  assert_int_equal(at_count(coll, "s == \"twenty bytes of text\""), 1000);
  vecdb_collection_release(coll);
  at_close(db);
  av_free(disk);
}

static void second_step_says_more(void **state) {
  (void)state;
  vecdb_options o = VECDB_OPTIONS_INIT;
  vecdb *db = host_driven(":memory:", &o);
  bool more = false;
  vdb_mutex_lock(&db->step_mu); /* as another thread in vecdb_step does */
  at_ok(vecdb_step(db, 0, 0, &more, &at_err));
  vdb_mutex_unlock(&db->step_mu);
  assert_true(more);
  at_ok(vecdb_step(db, 0, 0, &more, &at_err));
  assert_false(more);
  at_close(db);
}

static void step_syncs_in_time(void **state) {
  (void)state;
  vecdb_options o = VECDB_OPTIONS_INIT;
  o.durability = VECDB_DURABLE_INTERVAL;
  o.interval_ms = 20;
  vecdb *db = host_driven(":memory:", &o);
  vecdb_collection *coll = at_small(db, "c");
  at_put(coll, 0, 1);
  at_put(coll, 1, 1);
  struct timespec pause = {0, 30000000};
  nanosleep(&pause, NULL);
  bool more;
  at_ok(vecdb_step(db, 0, 0, &more, &at_err));
  assert_int_equal(db->synced_seq, db->published_seq);
  vecdb_collection_release(coll);
  at_close(db);
}

/* A reader that opens files finds that a writer has merged and removed them meanwhile. */
static struct {
  vecdb_vfs vfs;
  vecdb_collection *coll;
  unsigned opened;
} overtaking;

static int open_overtaken(const vecdb_vfs *vfs, const char *path, int mode, vecdb_file **out) {
  (void)vfs;
  if (strstr(path, ".rows") && overtaking.opened++ < 2) {
    at_put(overtaking.coll, 500, 10);
    at_ok(vecdb_compact(overtaking.coll, NULL, &at_err));
  }
  return vdb_vfs_posix()->open(vdb_vfs_posix(), path, mode, out);
}

static void overtaken_reader_begins_again(void **state) {
  (void)state;
  char *folder = at_folder();
  vecdb_options o = VECDB_OPTIONS_INIT;
  vecdb *db = host_driven(at_path(folder, "db"), &o);
  vecdb_collection *coll = at_small(db, "c");
  for (int i = 0; i < 3; i++) {
    at_put(coll, i * 100, 100);
    at_ok(vecdb_flush(coll, NULL, &at_err));
  }
  overtaking.vfs = *vdb_vfs_posix();
  overtaking.vfs.open = open_overtaken;
  overtaking.coll = coll;
  overtaking.opened = 0;
  vecdb_options reading = VECDB_OPTIONS_INIT;
  reading.flags = VECDB_READ_ONLY;
  reading.vfs = &overtaking.vfs;
  vecdb *reader = at_open(at_path(folder, "db"), &reading);
  assert_true(overtaking.opened > 2);
  vecdb_collection *read;
  at_ok(vecdb_collection_get(reader, "c", &read, &at_err));
  at_same(at_content(coll), at_content(read));
  vecdb_collection_release(read);
  at_close(reader);
  vecdb_collection_release(coll);
  at_close(db);
  at_remove(folder);
}

/* Marks of rows that live take no memory after a merge. */
static void merged_segments_keep_no_marks(void **state) {
  (void)state;
  char *folder = at_folder();
  vecdb_options o = VECDB_OPTIONS_INIT;
  vecdb *db = host_driven(at_path(folder, "db"), &o);
  vecdb_collection *coll = at_small(db, "c");
  for (int i = 0; i < 2; i++) {
    at_put(coll, i * 20000, 20000);
    at_ok(vecdb_flush(coll, NULL, &at_err));
  }
  vecdb_index_params flat = VECDB_INDEX_PARAMS_INIT;
  flat.type = VECDB_INDEX_FLAT;
  at_ok(vecdb_index_create(coll, "v", &flat, NULL, &at_err));
  uint64_t before = stats_of(coll).bytes_allocated;
  at_ok(vecdb_compact(coll, NULL, &at_err));
  assert_int_equal(stats_of(coll).segments_sealed, 1);
  assert_true(stats_of(coll).bytes_allocated < before + 8 * 40000 / 2);
  at_delete(coll, 5, 10);
  assert_int_equal(at_count(coll, NULL), 39990);
  vecdb_collection_release(coll);
  at_close(db);
  at_remove(folder);
}

/* What memory_limit refuses anyway costs no cache anything; what fits beside less of it does. */
static void caches_give_way_where_it_helps(void **state) {
  (void)state;
  static const uint8_t block[VECDB_BLOCK];
  vecdb_options o = VECDB_OPTIONS_INIT;
  o.vector_cache_bytes = 4 << 20;
  o.memory_limit = 32 << 20;
  vecdb *db = host_driven(":memory:", &o);
  struct vdb_hot *hot = db->env.hot;
  uint32_t owner = vdb_hot_owner(hot);
  for (uint32_t i = 0; i < 400; i++)
    vdb_hot_put(hot, owner, i, block, sizeof block);
  uint64_t before = vdb_hot_bytes(hot);
  assert_true(before > 100 * sizeof block);
  assert_null(vdb_alloc(&db->env.mem, o.memory_limit));
  assert_int_equal(vdb_hot_bytes(hot), before);
  void *some = vdb_alloc(&db->env.mem, vdb_mem_left(&db->env.mem) + 10 * sizeof block);
  assert_non_null(some);
  assert_true(vdb_hot_bytes(hot) < before);
  vdb_free(&db->env.mem, some);
  at_close(db);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(backup_of_memory_is_on_disk),
      cmocka_unit_test(log_is_shortened_where_it_is_held),
      cmocka_unit_test(failed_writes_give_memory_back),
      cmocka_unit_test(second_step_says_more),
      cmocka_unit_test(step_syncs_in_time),
      cmocka_unit_test(overtaken_reader_begins_again),
      cmocka_unit_test(merged_segments_keep_no_marks),
      cmocka_unit_test(caches_give_way_where_it_helps),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
