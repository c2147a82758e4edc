/*
 * test_db_files.c - files that come and go while calls are at work: backups and checks that hold no
 * lock and leave nothing behind, readers that a writer overtakes, logs that are cut or forged.
 */
#include "tlib/apitest.h"

#include <errno.h>
#include <unistd.h>

#include "db/db.h"
#include "store/store_format.h"
#include "tlib/apivfs.h"
#include "tlib/thorough.h"

static vecdb *files_open(const char *path, uint32_t flags, const vecdb_vfs *vfs) {
  vecdb_options o = VECDB_OPTIONS_INIT;
  o.flags = flags;
  o.vfs = vfs;
  return at_open(path, &o);
}

static struct at_content content_in(vecdb *db, const char *name) {
  vecdb_collection *coll;
  at_ok(vecdb_collection_get(db, name, &coll, &at_err));
  struct at_content content = at_content(coll);
  vecdb_collection_release(coll);
  return content;
}

static struct at_content content_of(const char *path) {
  vecdb *db = files_open(path, VECDB_READ_ONLY, NULL);
  at_ok(vecdb_check(db, NULL, NULL, NULL, &at_err));
  struct at_content content = content_in(db, "c");
  at_close(db);
  return content;
}

/* Sealed segments with an index, deletes in files and out of them, growing rows, some dead. */
static vecdb_collection *fill(vecdb *db) {
  vecdb_collection *coll = at_small(db, "c");
  vecdb_index_params params = VECDB_INDEX_PARAMS_INIT;
  params.type = VECDB_INDEX_HNSW;
  for (int i = 0; i < 3; i++) {
    at_put(coll, i * 100, 100);
    at_ok(vecdb_flush(coll, NULL, &at_err));
  }
  at_ok(vecdb_index_create(coll, "v", &params, NULL, &at_err));
  at_delete(coll, 20, 30);
  at_put(coll, 300, 5);
  at_ok(vecdb_flush(coll, NULL, &at_err));
  at_delete(coll, 150, 10);
  at_put(coll, 190, 40);
  at_delete(coll, 200, 5);
  return coll;
}

/* ---- one file ---- */

/* The rows file of `n` bytes as that of another number. */
static void forge_number(unsigned char *bytes, size_t n, uint64_t number) {
  struct store_blob_header h;
  struct store_blob_trailer t;
  memcpy(&h, bytes, sizeof h);
  memcpy(&t, bytes + n - sizeof t, sizeof t);
  h.number = t.number = number;
  h.hash = vdb_store_hash(&h, sizeof h);
  t.hash = vdb_store_hash(&t, sizeof t);
  memcpy(bytes, &h, sizeof h);
  memcpy(bytes + n - sizeof t, &t, sizeof t);
}

/* A file that is opened by itself has a number that a database can have given it. */
static void alone_has_a_likely_number(void **state) {
  (void)state;
  static const struct {
    uint64_t number;
    int rc;
  } forged[] = {{7, VECDB_OK}, {0, VECDB_ERR_CORRUPT}, {UINT64_MAX / 4, VECDB_ERR_CORRUPT}};
  char *folder = at_folder();
  vecdb *db = files_open(at_path(folder, "db"), 0, NULL);
  vecdb_collection *coll = at_small(db, "c");
  at_put(coll, 0, 10);
  at_ok(vecdb_flush(coll, NULL, &at_err));
  vecdb_collection_release(coll);
  at_close(db);
  size_t n;
  unsigned char *bytes = at_read(at_path(folder, "db/0000000000000001.rows"), &n);
  for (size_t i = 0; i < AT_COUNT(forged); i++) {
    vecdb_options options = VECDB_OPTIONS_INIT;
    options.flags = VECDB_READ_ONLY;
    forge_number(bytes, n, forged[i].number);
    at_write(at_path(folder, "alone"), bytes, n);
    at_expect(forged[i].rc, vecdb_open(at_path(folder, "alone"), &options, &db, &at_err), "open",
              __FILE__, __LINE__);
    if (db)
      at_close(db);
  }
  free(bytes);
  at_remove(folder);
}

/* ---- backups ---- */

struct busy {
  vecdb *db;
  vecdb_collection *coll;
  unsigned calls;
  bool locked;
  bool works; /* writes, flushes, merges and drops go on */
};

static bool free_now(struct vdb_mutex *mutex) {
  if (!vdb_mutex_try(mutex))
    return false;
  vdb_mutex_unlock(mutex);
  return true;
}

static int be_busy(void *user, const char *phase, uint64_t done, uint64_t total) {
  struct busy *busy = user;
  (void)phase;
  assert_true(done <= total);
  if (!free_now(&busy->coll->merge_mu) || !free_now(&busy->coll->seal_mu) ||
      !free_now(&busy->db->manifest_mu) || !free_now(&busy->db->write_mu))
    busy->locked = true;
  if (busy->calls++ > 0 || busy->locked || !busy->works)
    return 0;
  at_put(busy->coll, 0, 60);
  at_delete(busy->coll, 90, 30);
  at_ok(vecdb_flush(busy->coll, NULL, &at_err));
  at_ok(vecdb_compact(busy->coll, NULL, &at_err));
  at_ok(vecdb_collection_drop(busy->db, "gone", &at_err));
  at_put(busy->coll, 1000, 60);
  return 0;
}

static void backup_is_as_of_its_beginning(void **state) {
  (void)state;
  char *folder = at_folder();
  vecdb *db = files_open(at_path(folder, "db"), VECDB_HOST_DRIVEN, NULL);
  struct busy busy = {.db = db, .coll = fill(db), .works = true};
  vecdb_collection *gone = at_small(db, "gone");
  at_put(gone, 0, 10);
  at_ok(vecdb_flush(gone, NULL, &at_err));
  struct at_content before = at_content(busy.coll), brief = at_content(gone);
  vecdb_collection_release(gone);
  vecdb_control control = VECDB_CONTROL_INIT;
  control.progress = be_busy;
  control.user = &busy;
  at_ok(vecdb_backup(db, at_path(folder, "copy"), &control, &at_err));
  assert_true(busy.calls > 3);
  assert_false(busy.locked);
  at_same(before, content_of(at_path(folder, "copy")));
  vecdb *copy = files_open(at_path(folder, "copy"), 0, NULL);
  at_same(brief, content_in(copy, "gone"));
  vecdb_collection *coll;
  at_ok(vecdb_collection_get(copy, "c", &coll, &at_err));
  at_put(coll, 5000, 10); /* it goes on */
  at_ok(vecdb_compact(coll, NULL, &at_err));
  assert_int_equal(at_content(coll).rows, before.rows + 10);
  vecdb_collection_release(coll);
  at_close(copy);
  vecdb_collection_release(busy.coll);
  at_close(db);
  at_remove(folder);
}

static int cancel_at(void *user, const char *phase, uint64_t done, uint64_t total) {
  unsigned *left = user;
  (void)phase;
  (void)done;
  (void)total;
  return (*left)-- == 0;
}

static void cancelled_copies_leave_nothing(void **state) {
  (void)state;
  char *folder = at_folder();
  const char *copy = at_path(folder, "copy"), *back = at_path(folder, "back");
  vecdb *db = files_open(at_path(folder, "db"), VECDB_HOST_DRIVEN, NULL);
  vecdb_collection *coll = fill(db);
  vecdb_control control = VECDB_CONTROL_INIT;
  vecdb_options o = VECDB_OPTIONS_INIT;
  unsigned left, calls = 0;
  control.progress = cancel_at;
  control.user = &left;
  o.control = &control;
  for (left = calls; vecdb_backup(db, copy, &control, &at_err); left = ++calls) {
    assert_int_equal(at_err.code, VECDB_ERR_CANCELLED);
    assert_int_equal(access(copy, F_OK), -1);
  }
  assert_true(calls > 5);
  calls = 0;
  for (left = calls; vecdb_restore(copy, back, &o, &at_err); left = ++calls) {
    assert_int_equal(at_err.code, VECDB_ERR_CANCELLED);
    assert_int_equal(access(back, F_OK), -1);
  }
  assert_true(calls > 5);
  at_same(at_content(coll), content_of(back));
  vecdb_collection_release(coll);
  at_close(db);
  at_remove(folder);
}

/* The line of explain on how hard an index is searched. */
static void effort_of(vecdb_collection *coll, char line[512]) {
  const float query[4] = {3, 1, 0, 1};
  char text[4096];
  vecdb_search_params p = at_search(query, 10, NULL);
  p.plan = VECDB_PLAN_GRAPH;
  at_ok(vecdb_explain(coll, &p, text, sizeof text, NULL, &at_err));
  const char *at = strstr(text, "effort:");
  assert_non_null(at);
  snprintf(line, 512, "%.*s", (int)strcspn(at, "\n"), at);
}

/* What indexes were measured to find goes along: a copy is searched as hard as what it is of. */
static void copies_know_what_indexes_find(void **state) {
  (void)state;
  char *folder = at_folder();
  char before[512], after[512];
  vecdb *db = files_open(at_path(folder, "db"), VECDB_HOST_DRIVEN, NULL);
  vecdb_collection *coll = at_small(db, "c");
  vecdb_index_params hnsw = VECDB_INDEX_PARAMS_INIT;
  hnsw.type = VECDB_INDEX_HNSW;
  at_put(coll, 0, 2000);
  at_ok(vecdb_flush(coll, NULL, &at_err));
  at_ok(vecdb_index_create(coll, "v", &hnsw, NULL, &at_err));
  effort_of(coll, before);
  at_ok(vecdb_backup(db, at_path(folder, "copy"), NULL, &at_err));
  vecdb_collection_release(coll);
  at_close(db);
  db = files_open(at_path(folder, "copy"), VECDB_HOST_DRIVEN, NULL);
  at_ok(vecdb_collection_get(db, "c", &coll, &at_err));
  effort_of(coll, after);
  assert_non_null(strstr(before, "measured recall@10 "));
  assert_string_equal(after, before);
  vecdb_collection_release(coll);
  at_close(db);
  at_remove(folder);
}

/* The disk of the copy fails at its nth change. */
static struct {
  vecdb_vfs vfs;
  unsigned left;
} failing;

static bool fails_now(const char *path) {
  return strstr(path, "/copy") && failing.left-- == 0;
}

static int failing_open(const vecdb_vfs *vfs, const char *path, int mode, vecdb_file **out) {
  if (mode == VECDB_OPEN_CREATE && fails_now(path))
    return ENOSPC;
  return vdb_vfs_posix()->open(vfs, path, mode, out);
}

static int failing_sync_dir(const vecdb_vfs *vfs, const char *path) {
  return fails_now(path) ? EIO : vdb_vfs_posix()->sync_dir(vfs, path);
}

static int failing_rename(const vecdb_vfs *vfs, const char *from, const char *to) {
  return fails_now(to) ? EIO : vdb_vfs_posix()->rename(vfs, from, to);
}

static void failed_backups_leave_nothing(void **state) {
  (void)state;
  char *folder = at_folder();
  failing.vfs = *vdb_vfs_posix();
  failing.vfs.open = failing_open;
  failing.vfs.sync_dir = failing_sync_dir;
  failing.vfs.rename = failing_rename;
  vecdb *db = files_open(at_path(folder, "db"), VECDB_HOST_DRIVEN, &failing.vfs);
  vecdb_collection *coll = fill(db);
  unsigned tries = 0;
  for (failing.left = tries; vecdb_backup(db, at_path(folder, "copy"), NULL, &at_err);
       failing.left = ++tries)
    assert_int_equal(access(at_path(folder, "copy"), F_OK), -1);
  assert_true(tries > 10);
  at_same(at_content(coll), content_of(at_path(folder, "copy")));
  vecdb_collection_release(coll);
  at_close(db);
  at_remove(folder);
}

/* An opening is cancelled while it opens its first segment. */
static struct {
  vecdb_vfs vfs;
  int32_t cancel;
  unsigned opened;
} halted;

static int halted_open(const vecdb_vfs *vfs, const char *path, int mode, vecdb_file **out) {
  bool rows = strstr(path, ".rows") != NULL;
  halted.opened += rows;
  if (rows)
    halted.cancel = 1;
  return vdb_vfs_posix()->open(vfs, path, mode, out);
}

/* It opens no other one then, nor looks at all bytes of that one where it should. */
static void opening_listens(void **state) {
  (void)state;
  char *folder = at_folder();
  const char *path = at_path(folder, "db");
  vecdb *db = files_open(path, VECDB_HOST_DRIVEN, NULL);
  vecdb_collection *coll = fill(db);
  at_ok(vecdb_flush(coll, NULL, &at_err));
  struct at_content before = at_content(coll);
  vecdb_collection_release(coll);
  at_close(db);
  halted.vfs = *vdb_vfs_posix();
  halted.vfs.open = halted_open;
  for (int full = 0; full < 2; full++) {
    vecdb_options o = VECDB_OPTIONS_INIT;
    vecdb_control control = VECDB_CONTROL_INIT;
    control.cancel = &halted.cancel;
    o.flags = VECDB_HOST_DRIVEN;
    o.vfs = &halted.vfs;
    o.control = &control;
    o.verify = full ? VECDB_VERIFY_FULL : VECDB_VERIFY_META;
    halted.cancel = 0;
    halted.opened = 0;
    at_fails(VECDB_ERR_CANCELLED, vecdb_open(path, &o, &db, &at_err));
    assert_int_equal(halted.opened, 1);
  }
  at_same(before, content_of(path));
  at_remove(folder);
}

/* The time of a restore runs from its beginning, not from the end of the opening. */
static struct {
  vecdb_vfs vfs;
  uint64_t now;
} timed;

static uint64_t timed_now(void *user) {
  (void)user;
  return timed.now;
}

static int timed_open(const vecdb_vfs *vfs, const char *path, int mode, vecdb_file **out) {
  if (timed.now == 0 && strstr(path, ".rows"))
    timed.now = 700000000;
  return vdb_vfs_posix()->open(vfs, path, mode, out);
}

static int timed_progress(void *user, const char *phase, uint64_t done, uint64_t total) {
  (void)user;
  (void)done;
  (void)total;
  if (timed.now < 1200000000 && strcmp(phase, "check") == 0)
    timed.now = 1200000000;
  return 0;
}

static void restore_has_one_deadline(void **state) {
  (void)state;
  char *folder = at_folder();
  vecdb *db = files_open(at_path(folder, "db"), VECDB_HOST_DRIVEN, NULL);
  vecdb_collection_release(fill(db));
  at_ok(vecdb_backup(db, at_path(folder, "copy"), NULL, &at_err));
  at_close(db);
  vecdb_options o = VECDB_OPTIONS_INIT;
  vecdb_control control = VECDB_CONTROL_INIT;
  const vecdb_clock clock = {timed_now, timed_now, NULL};
  timed.vfs = *vdb_vfs_posix();
  timed.vfs.open = timed_open;
  timed.now = 0;
  o.vfs = &timed.vfs;
  o.clock = &clock;
  o.control = &control;
  control.timeout_ms = 1000;
  control.progress = timed_progress;
  at_fails(VECDB_ERR_TIMEOUT, vecdb_restore(at_path(folder, "copy"), at_path(folder, "back"), &o,
                                            &at_err));
  assert_int_equal(access(at_path(folder, "back"), F_OK), -1);
  at_remove(folder);
}

static void check_lets_others_work(void **state) {
  (void)state;
  char *folder = at_folder();
  vecdb *db = files_open(at_path(folder, "db"), VECDB_HOST_DRIVEN, NULL);
  struct busy busy = {.db = db, .coll = fill(db), .works = true};
  vecdb_collection_release(at_small(db, "gone"));
  vecdb_control control = VECDB_CONTROL_INIT;
  control.progress = be_busy;
  control.user = &busy;
  at_ok(vecdb_check(db, NULL, NULL, &control, &at_err));
  assert_true(busy.calls > 3);
  assert_false(busy.locked);
  vecdb_collection_release(busy.coll);
  at_close(db);
  at_remove(folder);
}

/* ---- readers and the log ---- */

/* The folder's list names a log file that is gone when it is opened: a writer left it hollow. */
static struct {
  vecdb_vfs vfs;
  const char *name; /* told after the others, or NULL */
  vecdb_collection *flushed; /* before the list is made, or NULL; */
  unsigned looks;            /* after that many lists */
} listing;

static int listing_list(const vecdb_vfs *vfs, const char *path,
                        void (*visit)(void *arg, const char *name), void *arg) {
  if (listing.flushed && listing.looks-- == 0) {
    at_ok(vecdb_flush(listing.flushed, NULL, &at_err));
    listing.flushed = NULL;
  }
  int os = vdb_vfs_posix()->list(vfs, path, visit, arg);
  if (!os && listing.name)
    visit(arg, listing.name);
  return os;
}

static void vanished_logs_are_passed_over(void **state) {
  (void)state;
  static const char *const names[] = {"0000000000000002.wal", "0000000000000001.wal",
                                      "00000000000000ff.wal"};
  char *folder = at_folder();
  listing.vfs = *vdb_vfs_posix();
  listing.vfs.list = listing_list;
  vecdb *db = files_open(at_path(folder, "db"), VECDB_HOST_DRIVEN, &listing.vfs);
  vecdb_collection *other = at_small(db, "other"), *coll = at_small(db, "c");
  at_put(other, 0, 10); /* keeps the log from being trimmed */
  for (int i = 0; i < 3; i++) {
    at_put(coll, i * 10, 10);
    at_ok(vecdb_flush(coll, NULL, &at_err));
  }
  at_put(coll, 50, 10);
  for (size_t i = 0; i < AT_COUNT(names); i++) {
    if (at_exists(at_path(at_path(folder, "db"), names[i])))
      continue;
    listing.name = names[i];
    at_ok(vecdb_check(db, NULL, NULL, NULL, &at_err));
    vecdb *reader = files_open(at_path(folder, "db"), VECDB_READ_ONLY, &listing.vfs);
    at_same(at_content(coll), content_in(reader, "c"));
    at_same(at_content(other), content_in(reader, "other"));
    at_close(reader);
  }
  listing.name = NULL;
  vecdb_collection_release(other);
  vecdb_collection_release(coll);
  at_close(db);
  at_remove(folder);
}

/* The log is flushed and trimmed between the reading of the manifest and that of the log: a reader
   that took the empty log for the whole would lack acknowledged rows. */
static void reader_is_overtaken_by_a_flush(void **state) {
  (void)state;
  char *folder = at_folder();
  listing.vfs = *vdb_vfs_posix();
  listing.vfs.list = listing_list;
  vecdb *db = files_open(at_path(folder, "db"), VECDB_HOST_DRIVEN, NULL);
  vecdb_collection *coll = at_small(db, "c");
  at_put(coll, 0, 100);
  listing.flushed = coll;
  listing.looks = 1; /* the first is before the manifest is read */
  vecdb *reader = files_open(at_path(folder, "db"), VECDB_READ_ONLY, &listing.vfs);
  assert_null(listing.flushed);
  at_same(at_content(coll), content_in(reader, "c"));
  at_close(reader);
  vecdb_collection_release(coll);
  at_close(db);
  at_remove(folder);
}

/* ---- a manifest that cannot be written ---- */

static struct {
  vecdb_vfs vfs;
  bool refuses;
} refusing;

static int refusing_rename(const vecdb_vfs *vfs, const char *from, const char *to) {
  if (refusing.refuses && strstr(to, "MANIFEST"))
    return EIO;
  return vdb_vfs_posix()->rename(vfs, from, to);
}

/* The log is all there is of the rows until a manifest names their files. */
static void log_stays_without_a_manifest(void **state) {
  (void)state;
  char *folder = at_folder();
  refusing.vfs = *vdb_vfs_posix();
  refusing.vfs.rename = refusing_rename;
  vecdb *db = files_open(at_path(folder, "db"), VECDB_HOST_DRIVEN, &refusing.vfs);
  vecdb_collection *coll = at_small(db, "c");
  at_put(coll, 0, 100);
  refusing.refuses = true;
  at_fails(VECDB_ERR_IO, vecdb_flush(coll, NULL, &at_err));
  at_same(at_content(coll), content_of(at_path(folder, "db")));
  refusing.refuses = false;
  at_ok(vecdb_flush(coll, NULL, &at_err));
  at_same(at_content(coll), content_of(at_path(folder, "db")));
  vecdb_collection_release(coll);
  at_close(db);
  at_remove(folder);
}

/* ---- logs that are cut ---- */

static struct {
  struct at_content whole;
  const char *db;
  unsigned cuts, found;
} cutting;

/* Each length near both ends, some in the middle, and last the whole. */
static size_t cut_next(size_t at, size_t length) {
  bool end = at < 400 || length - at < 400;
  size_t step = end ? TEST_SIZE(1, 5) : TEST_SIZE(37, 149);
  return at < length && length - at < step ? length : at + step;
}

/* Without its end, a log of a database that was closed is either reported, or holds all rows. */
static void cut_log(void *arg, const char *path) {
  (void)arg;
  size_t n = strlen(path);
  if (n < 4 || strcmp(path + n - 4, ".wal") != 0)
    return;
  size_t length;
  unsigned char *bytes = at_read(path, &length);
  for (size_t at = 0; at <= length; at = cut_next(at, length)) {
    if (at == length)
      unlink(path);
    else
      at_write(path, bytes, at);
    vecdb_options o = VECDB_OPTIONS_INIT;
    vecdb *db;
    o.flags = VECDB_READ_ONLY;
    int rc = vecdb_open(cutting.db, &o, &db, &at_err);
    cutting.cuts++;
    if (rc == VECDB_OK) {
      at_same(cutting.whole, content_in(db, "c"));
      at_close(db);
    } else {
      assert_int_equal(rc, VECDB_ERR_CORRUPT);
      cutting.found++;
    }
  }
  at_write(path, bytes, length);
  free(bytes);
}

static void cut_logs_are_reported(void **state) {
  (void)state;
  char *folder = at_folder();
  cutting.db = at_path(folder, "db");
  for (int32_t durability = VECDB_DURABLE_COMMIT; durability <= VECDB_DURABLE_OFF; durability++) {
    vecdb_options o = VECDB_OPTIONS_INIT;
    o.flags = VECDB_HOST_DRIVEN;
    o.durability = durability;
    vecdb *db = at_open(cutting.db, &o);
    vecdb_collection *coll = at_small(db, "c"), *other = at_small(db, "other");
    for (int i = 0; i < 4; i++)
      at_put(coll, i, 1);
    at_ok(vecdb_flush(other, NULL, &at_err));
    at_put(other, 0, 1);
    at_ok(vecdb_flush(other, NULL, &at_err)); /* a new file */
    at_put(coll, 4, 1);
    at_delete(coll, 2, 1);
    cutting.whole = at_content(coll);
    cutting.cuts = cutting.found = 0;
    vecdb_collection_release(other);
    vecdb_collection_release(coll);
    at_close(db);
    at_each_file(cutting.db, cut_log, NULL);
    assert_true(cutting.cuts > TEST_SIZE(500, 100));
    assert_true(cutting.found > cutting.cuts / 2);
    at_same(cutting.whole, content_of(cutting.db));
    db = at_open(cutting.db, &o); /* opened and closed without a write it stays so */
    at_close(db);
    cutting.found = 0;
    at_each_file(cutting.db, cut_log, NULL);
    assert_true(cutting.found > 0);
    at_remove(folder);
    folder = at_folder();
    cutting.db = at_path(folder, "db");
  }
  at_remove(folder);
}

/* ---- a forged record ---- */

/* A record with good checksums and the keys `first` and `second`. */
static void forge(const char *path, uint64_t after, int64_t first, int64_t second) {
  vecdb_options o = VECDB_OPTIONS_INIT;
  struct vdb_env env;
  struct vdb_wal_scan scan = {.last_seq = after, .first_file = 1, .next_file = 100};
  struct vdb_wal *wal;
  at_ok(vdb_env_init(&env, &o, false, &at_err));
  at_ok(vdb_wal_new(&env, path, &scan, &wal, &at_err));
  vecdb *plain = at_open(":memory:", NULL);
  vecdb_collection *coll = at_small(plain, "c");
  const int64_t ids[] = {first, INT64_C(0x1234567812345678)};
  const int32_t numbers[] = {1, 2};
  const float vectors[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  const vecdb_column columns[] = {
      {.field = "id", .data = ids},
      {.field = "n", .data = numbers},
      {.field = "v", .data = vectors},
  };
  vecdb_batch batch = VECDB_BATCH_INIT;
  batch.columns = columns;
  batch.n_columns = 3;
  batch.n_rows = 2;
  struct vdb_writer body = VDB_WRITER(&env.mem);
  uint32_t n, source[2];
  at_ok(vdb_batch_encode(&env.mem, coll->schema, &batch, 1, &body, &n, source, &at_err));
  unsigned forged = 0;
  for (size_t i = 0; i + sizeof second <= body.n; i++)
    if (memcmp(body.data + i, &ids[1], sizeof second) == 0) {
      memcpy(body.data + i, &second, sizeof second);
      forged++;
    }
  assert_int_equal(forged, 1);
  struct vdb_wal_part part = {body.data, body.n};
  uint64_t seq;
  at_ok(vdb_wal_add(wal, 1, VDB_WAL_ROWS, &part, 1, &seq, &at_err));
  assert_true(vdb_wal_take(wal, &seq));
  at_ok(vdb_wal_write(wal, true, &at_err));
  at_ok(vdb_wal_close(wal, true, &at_err));
  vdb_writer_free(&body);
  vecdb_collection_release(coll);
  at_close(plain);
  vdb_env_fini(&env);
}

static void forged_records_are_refused(void **state) {
  (void)state;
  for (int twice = 0; twice < 2; twice++) {
    char *folder = at_folder();
    vecdb *db = files_open(at_path(folder, "db"), VECDB_HOST_DRIVEN, NULL);
    vecdb_collection *coll = at_small(db, "c");
    at_put(coll, 0, 10);
    vecdb_collection_release(coll);
    uint64_t seq = db->published_seq;
    at_close(db);
    forge(at_path(folder, "db"), seq, 777, twice ? 777 : 778);
    if (twice) {
      at_fails(VECDB_ERR_CORRUPT, vecdb_open(at_path(folder, "db"), NULL, &db, &at_err));
    } else {
      assert_int_equal(content_of(at_path(folder, "db")).rows, 12);
    }
    at_remove(folder);
  }
}

/* ---- many collections ---- */

struct names {
  char last[64];
  size_t n, most;
};

static int next_name(void *user, const char *name) {
  struct names *names = user;
  assert_true(names->n == 0 || strcmp(name, names->last) > 0);
  snprintf(names->last, sizeof names->last, "%s", name);
  return ++names->n == names->most;
}

/* Adds collections like the first one to the manifest of a closed database. */
static void multiply(const char *path, uint32_t n) {
  vecdb_options o = VECDB_OPTIONS_INIT;
  struct vdb_env env;
  struct vdb_manifest one;
  bool unknown;
  at_ok(vdb_env_init(&env, &o, false, &at_err));
  at_ok(vdb_manifest_read(&env, path, &one, &at_err));
  struct vdb_manifest many = one;
  char (*texts)[16] = calloc(n, sizeof *texts);
  many.collections = calloc(n, sizeof *many.collections);
  for (uint32_t i = 0; i < n; i++) {
    many.collections[i] = one.collections[0];
    many.collections[i].id = one.next_collection + i;
    snprintf(texts[i], sizeof texts[i], "c%u", (i * 40503u) & 0xffff); /* each number once */
    many.collections[i].name = texts[i];
  }
  many.n_collections = n;
  many.next_collection = one.next_collection + n;
  at_ok(vdb_manifest_write(&env, path, &many, &unknown, &at_err));
  free(many.collections);
  free(texts);
  vdb_manifest_fini(&env.mem, &one);
  vdb_env_fini(&env);
}

static void collections_have_a_limit(void **state) {
  (void)state;
  static const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = "v", .type = VECDB_INT8_VECTOR, .dim = 1, .metric = VECDB_L2}};
  vecdb_schema schema = VECDB_SCHEMA_INIT;
  schema.fields = fields;
  schema.n_fields = 2;
  char *folder = at_folder();
  vecdb *db = files_open(at_path(folder, "db"), VECDB_HOST_DRIVEN, NULL);
  at_ok(vecdb_collection_create(db, "c", &schema, NULL, &at_err));
  at_close(db);
  multiply(at_path(folder, "db"), VECDB_MAX_COLLECTIONS);
  db = files_open(at_path(folder, "db"), VECDB_HOST_DRIVEN, NULL);
  struct names all = {.n = 0}, some = {.most = 3};
  at_ok(vecdb_collection_list(db, next_name, &all, &at_err));
  assert_int_equal(all.n, VECDB_MAX_COLLECTIONS);
  at_ok(vecdb_collection_list(db, next_name, &some, &at_err));
  assert_int_equal(some.n, 3);
  at_fails(VECDB_ERR_LIMIT, vecdb_collection_create(db, "new", &schema, NULL, &at_err));
  at_ok(vecdb_collection_drop(db, "c77", &at_err));
  at_ok(vecdb_collection_create(db, "new", &schema, NULL, &at_err));
  at_fails(VECDB_ERR_LIMIT, vecdb_collection_create(db, "new2", &schema, NULL, &at_err));
  at_close(db);
  at_remove(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(alone_has_a_likely_number),
      cmocka_unit_test(backup_is_as_of_its_beginning),
      cmocka_unit_test(cancelled_copies_leave_nothing),
      cmocka_unit_test(copies_know_what_indexes_find),
      cmocka_unit_test(failed_backups_leave_nothing),
      cmocka_unit_test(restore_has_one_deadline),
      cmocka_unit_test(opening_listens),
      cmocka_unit_test(check_lets_others_work),
      cmocka_unit_test(vanished_logs_are_passed_over),
      cmocka_unit_test(reader_is_overtaken_by_a_flush),
      cmocka_unit_test(log_stays_without_a_manifest),
      cmocka_unit_test(cut_logs_are_reported),
      cmocka_unit_test(forged_records_are_refused),
      cmocka_unit_test(collections_have_a_limit),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
