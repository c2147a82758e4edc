/*
 * test_follow.c - readers that follow a writer, held against the model of what was written:
 * a reader that looks at the files before each operation of the writer's disk, a writer that works
 * in the middle of each operation of a reader's, failing disks, and real processes that are
 * killed. What a reader sees must be all that was acknowledged before it looked, and at most the
 * call in flight besides.
 *
 * VDB_N: databases of the first two. VDB_SEED: the first of them. TSAN: yes
 * VDB_ENCRYPT: databases are encrypted. CRYPT: yes
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tlib/apitest.h"
#include "tlib/probe.h"
#include "tlib/simdisk.h"
#include "tlib/thorough.h"
#include "tlib/workload.h"

enum {
  FOLLOW_BASES = TEST_SIZE(6, 2),
  FOLLOW_OPS = 40,
  FOLLOW_KILLS = TEST_SIZE(12, 4),
  FOLLOW_GROUPS = 8,
  FOLLOW_ROWS = 6,
  FOLLOW_READERS = 3,
  FOLLOW_STATES = 4
};

static uint64_t follow_number(const char *name, uint64_t standard) {
  const char *text = getenv(name);
  return text && *text ? strtoull(text, NULL, 10) : standard;
}

/* ---- a file system that says when it is used ------------------------------------------------- */

static struct {
  const vecdb_vfs *inner;
  vecdb_vfs table;
  void (*before)(void *arg);
  void *arg;
  bool busy; /* `before` is running: what it does itself is not told */
} hook;

static const vecdb_vfs *hook_tell(void) {
  if (hook.before && !hook.busy) {
    hook.busy = true;
    hook.before(hook.arg);
    hook.busy = false;
  }
  return hook.inner;
}

static int hook_open(const vecdb_vfs *v, const char *path, int mode, vecdb_file **out) {
  (void)v;
  return hook_tell()->open(hook.inner, path, mode, out);
}
static int hook_read(vecdb_file *file, void *buf, size_t n, uint64_t offset) {
  return hook_tell()->read(file, buf, n, offset);
}
static int hook_write(vecdb_file *file, const void *buf, size_t n, uint64_t offset) {
  return hook_tell()->write(file, buf, n, offset);
}
static int hook_sync(vecdb_file *file) { return hook_tell()->sync(file); }
static int hook_length(vecdb_file *file, uint64_t *out) { return hook_tell()->length(file, out); }
static int hook_map(vecdb_file *file, size_t length, const void **out) {
  return hook_tell()->map(file, length, out);
}
static void hook_unmap(const vecdb_vfs *v, const void *address, size_t length) {
  (void)v;
  hook.inner->unmap(hook.inner, address, length);
}
static int hook_remove(const vecdb_vfs *v, const char *path) {
  (void)v;
  return hook_tell()->remove(hook.inner, path);
}
static int hook_rename(const vecdb_vfs *v, const char *from, const char *to) {
  (void)v;
  return hook_tell()->rename(hook.inner, from, to);
}
static int hook_make_dir(const vecdb_vfs *v, const char *path) {
  (void)v;
  return hook.inner->make_dir(hook.inner, path);
}
static int hook_sync_dir(const vecdb_vfs *v, const char *path) {
  (void)v;
  return hook_tell()->sync_dir(hook.inner, path);
}
static int hook_list(const vecdb_vfs *v, const char *path, void (*visit)(void *, const char *),
                     void *arg) {
  (void)v;
  return hook_tell()->list(hook.inner, path, visit, arg);
}
static int hook_lock(const vecdb_vfs *v, const char *path, vecdb_file **out) {
  (void)v;
  return hook.inner->lock(hook.inner, path, out);
}

static const vecdb_vfs *hook_over(struct simdisk *disk) {
  memset(&hook, 0, sizeof hook);
  hook.inner = simdisk_vfs(disk);
  hook.table = *hook.inner;
  hook.table.open = hook_open;
  hook.table.read = hook_read;
  hook.table.write = hook_write;
  hook.table.sync = hook_sync;
  hook.table.length = hook_length;
  hook.table.map = hook_map;
  hook.table.unmap = hook_unmap;
  hook.table.remove = hook_remove;
  hook.table.rename = hook_rename;
  hook.table.make_dir = hook_make_dir;
  hook.table.sync_dir = hook_sync_dir;
  hook.table.list = hook_list;
  hook.table.lock = hook_lock;
  hook.table.queue = NULL;
  return &hook.table;
}

/* ---- one writer, one reader, one thread ------------------------------------------------------ */

struct follow {
  struct simdisk *disk;
  struct workload w;
  vecdb *reader;
  struct model found;
  struct model states[FOLLOW_STATES]; /* that a disturbed look may find */
  uint32_t n_states;
  uint32_t every;       /* looks at each so many operations */
  uint32_t op;          /* operations so far */
  uint32_t when;        /* the operation at which the writer works */
  uint64_t looks;
  bool wrong;
  vecdb_error err;
};

/* With the clock of the writer: rows expire. */
static vecdb *follow_reader(struct follow *f, const vecdb_vfs *vfs) {
  vecdb_options options = workload_options(&f->w);
  vecdb *db;
  options.flags = VECDB_READ_ONLY | VECDB_FOLLOW | VECDB_HOST_DRIVEN;
  options.vfs = vfs;
  at_ok(vecdb_open("db", &options, &db, &at_err));
  return db;
}

static void follow_begin(struct follow *f, uint64_t seed, bool hooked) {
  memset(f, 0, sizeof *f);
  f->disk = simdisk_new();
  const vecdb_vfs *over = hook_over(f->disk);
  struct workload_config config = {.seed = seed, .vfs = hooked ? over : hook.inner, .dir = "db",
                                   .flags = VECDB_HOST_DRIVEN, .n_keys = 40, .seal_rows = 50,
                                   .durability = (int32_t)(seed % 3), .index_rows = 16,
                                   .wal_bytes = 1 << 15, .batch_rows = 10};
  workload_init(&f->w, &config);
  assert_int_equal(workload_open(&f->w), VECDB_OK);
  model_init(&f->found, config.n_keys);
  for (uint32_t i = 0; i < FOLLOW_STATES; i++)
    model_init(&f->states[i], config.n_keys);
}

static void follow_end(struct follow *f) {
  hook.before = NULL;
  if (f->reader)
    at_close(f->reader);
  workload_fini(&f->w);
  model_fini(&f->found);
  for (uint32_t i = 0; i < FOLLOW_STATES; i++)
    model_fini(&f->states[i]);
  simdisk_free(f->disk);
}

/* The reader looks, and finds the state before the writer's call or after it. */
static bool follow_look(struct follow *f) {
  f->looks++;
  int rc = vecdb_refresh(f->reader, 0, NULL, &f->err);
  if (rc)
    return model_differs("refresh: %s", f->err.message);
  if (!model_load(f->reader, &f->found))
    return false;
  return model_same(&f->w.now, &f->found) ||
         (f->w.in_flight && model_same(&f->w.next, &f->found)) ||
         false;
}

static void follow_before_write(void *arg) {
  struct follow *f = arg;
  if (f->wrong || ++f->op % f->every != 0)
    return;
  f->wrong = !follow_look(f);
}

/* A reader that looks in between all that the writer does to the disk. */
static void test_between(void **state) {
  (void)state;
  uint64_t first = follow_number("VDB_SEED", 1), n = follow_number("VDB_N", FOLLOW_BASES);
  uint64_t looks = 0, reloads = 0;
  for (uint64_t seed = first; seed < first + n; seed++) {
    struct follow f;
    follow_begin(&f, seed, true);
    f.reader = follow_reader(&f, hook.inner);
    f.every = (uint32_t)(1 + seed % 4);
    hook.before = follow_before_write;
    hook.arg = &f;
    for (uint32_t i = 0; i < FOLLOW_OPS && !f.wrong; i++) {
      int rc = workload_next(&f.w);
      f.wrong = f.wrong || (rc && !model_differs("writer: %d %s", rc, f.w.err.message));
      hook.busy = true;
      f.wrong = f.wrong || !follow_look(&f);
      struct probe probe = {.rng = {seed * 1000 + i}};
      f.wrong = f.wrong || !probe_ask(&probe, &f.w.now, f.reader, PROBE_ALL, 1);
      hook.busy = false;
    }
    if (f.wrong)
      fail_msg("VDB_SEED=%llu: %s", (unsigned long long)seed, model_trouble());
    vecdb_refresh_info info = VECDB_REFRESH_INFO_INIT;
    at_ok(vecdb_refresh(f.reader, UINT32_MAX, &info, &at_err));
    looks += f.looks;
    reloads += info.reloads;
    follow_end(&f);
  }
  printf("between: looks=%llu reloads=%llu\n", (unsigned long long)looks,
         (unsigned long long)reloads);
  assert_true(reloads > 0 && looks > reloads);
}

static void follow_before_read(void *arg) {
  static const enum workload_op ops[] = {WORKLOAD_UPSERT, WORKLOAD_FLUSH, WORKLOAD_DELETE,
                                         WORKLOAD_COMPACT, WORKLOAD_UPDATE, WORKLOAD_STEP};
  struct follow *f = arg;
  if (f->wrong || ++f->op != f->when)
    return;
  while (f->n_states < FOLLOW_STATES && !f->wrong) {
    int rc = workload_do(&f->w, ops[(f->when + f->n_states) % AT_COUNT(ops)]);
    f->wrong = rc && !model_differs("writer: %d %s", rc, f->w.err.message);
    model_copy(&f->states[f->n_states++], &f->w.now);
  }
}

/* A look that the writer may disturb: it finds one of the states since it began. */
static bool follow_disturbed(struct follow *f) {
  model_copy(&f->states[0], &f->w.now);
  f->n_states = 1;
  f->op = 0;
  f->looks++;
  hook.before = follow_before_read;
  int rc = vecdb_refresh(f->reader, 0, NULL, &f->err);
  hook.before = NULL;
  if (f->wrong || rc)
    return rc == VECDB_OK || model_differs("refresh: %s", f->err.message);
  if (!model_load(f->reader, &f->found))
    return false;
  for (uint32_t i = 0; i < f->n_states; i++)
    if (model_same(&f->states[i], &f->found))
      return true;
  return model_differs("none of %u states: %s", f->n_states, model_trouble());
}

/* A writer that works at some operation of the disk in the middle of a reader's look. */
static void test_overtaken(void **state) {
  (void)state;
  uint64_t first = follow_number("VDB_SEED", 1), n = follow_number("VDB_N", FOLLOW_BASES);
  uint64_t looks = 0;
  for (uint64_t seed = first; seed < first + n; seed++) {
    struct follow f;
    follow_begin(&f, seed, false);
    int rc = workload_do(&f.w, WORKLOAD_CREATE);
    for (uint32_t i = 0; i < 8 && !rc; i++)
      rc = workload_do(&f.w, i % 4 == 3 ? WORKLOAD_FLUSH : WORKLOAD_UPSERT);
    assert_int_equal(rc, VECDB_OK);
    f.reader = follow_reader(&f, &hook.table);
    hook.arg = &f;
    for (f.when = 1; !f.wrong; f.when += 1 + f.when / 8) {
      /* Something to read, by the log or as new segments. */
      rc = workload_do(&f.w, f.when % 3 ? WORKLOAD_UPSERT : WORKLOAD_COMPACT);
      assert_int_equal(rc, VECDB_OK);
      f.wrong = !follow_disturbed(&f) || f.wrong;
      bool met = f.op >= f.when;
      /* Once more, undisturbed: everything is there. */
      f.wrong = f.wrong || !follow_look(&f);
      if (!met)
        break;
    }
    looks += f.looks;
    if (f.wrong)
      fail_msg("VDB_SEED=%llu operation %u: %s", (unsigned long long)seed, f.when,
               model_trouble());
    follow_end(&f);
  }
  printf("overtaken: looks=%llu\n", (unsigned long long)looks);
  assert_true(looks > n * 10);
}

/* A write that fails is taken back by the writer; a reader that has seen it does so, too. */
static void test_taken_back(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 2 * FOLLOW_BASES; seed++) {
    struct follow f;
    follow_begin(&f, seed * 3, false); /* each commit is synced */
    assert_int_equal(workload_do(&f.w, WORKLOAD_CREATE), VECDB_OK);
    f.reader = follow_reader(&f, hook.inner);
    for (uint32_t i = 0; i < 12; i++) {
      struct simdisk_fault fault = {.kinds = i % 2 ? SIMDISK_SYNC : SIMDISK_WRITE, .nth = 1,
                                    .error = EIO, .partial = i % 4 == 0};
      assert_int_equal(workload_do(&f.w, WORKLOAD_UPSERT), VECDB_OK);
      assert_true(follow_look(&f));
      simdisk_set_fault(f.disk, &fault);
      int rc = workload_do(&f.w, i % 3 ? WORKLOAD_UPSERT : WORKLOAD_DELETE);
      simdisk_set_fault(f.disk, NULL);
      at_ok(vecdb_refresh(f.reader, 0, NULL, &at_err)); /* it may see it for a while */
      if (rc) {
        assert_true(model_load(f.w.db, &f.found));
        assert_true(workload_settle(&f.w, &f.found));
      }
      assert_int_equal(workload_do(&f.w, WORKLOAD_UPSERT), VECDB_OK);
      if (!follow_look(&f))
        fail_msg("seed %llu, write %u: %s", (unsigned long long)seed, i, model_trouble());
    }
    follow_end(&f);
  }
}

/* What a reader has begun to look at stays, whatever the writer removes. */
static void test_files_stay(void **state) {
  (void)state;
  char *folder = at_folder();
  const char *path = at_path(folder, "db");
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.flags = VECDB_HOST_DRIVEN;
  vecdb *writer = at_open(path, &options);
  vecdb_collection *coll = at_small(writer, "c");
  at_put(coll, 0, 3000);
  at_ok(vecdb_flush(coll, NULL, &at_err));
  options.flags = VECDB_READ_ONLY;
  vecdb *reader = at_open(path, &options);
  vecdb_collection *seen;
  at_ok(vecdb_collection_get(reader, "c", &seen, &at_err));
  const float query[] = {1500, 0, 0, 1};
  vecdb_search_params params = at_search(query, 10, NULL);
  vecdb_iterator *walk;
  at_ok(vecdb_iterator_open(seen, &params, &walk, &at_err));

  at_delete(coll, 0, 2999);
  at_ok(vecdb_compact(coll, NULL, &at_err));
  vecdb_refresh_info info = VECDB_REFRESH_INFO_INIT;
  at_ok(vecdb_refresh(reader, 0, &info, &at_err));
  assert_int_equal(info.reloaded, 1);
  assert_int_equal(at_count(seen, NULL), 1);
  at_same(at_content(coll), at_content(seen));

  static vecdb_hit hits[512];
  uint32_t n, all = 0;
  do {
    at_ok(vecdb_iterator_next(walk, 512, hits, &n, NULL, &at_err));
    all += n;
  } while (n > 0);
  assert_int_equal(all, 3000);
  vecdb_iterator_close(walk);

  at_ok(vecdb_collection_drop(writer, "c", &at_err));
  at_ok(vecdb_refresh(reader, 0, NULL, &at_err));
  uint64_t count;
  at_fails(VECDB_ERR_CLOSED, vecdb_count(seen, NULL, &count, &at_err));
  vecdb_collection_release(seen);
  vecdb_collection_release(coll);
  at_fails(VECDB_ERR_ARGUMENT, vecdb_refresh(writer, 0, NULL, &at_err));
  info.size--;
  at_fails(VECDB_ERR_OPTION, vecdb_refresh(reader, 0, &info, &at_err));
  at_close(reader);
  at_close(writer);
  options.flags = VECDB_FOLLOW;
  at_fails(VECDB_ERR_OPTION, vecdb_open(path, &options, &reader, &at_err));
  at_remove(folder);
}

/* A copy, and a folder that cannot be written, are served at once; nothing in them changes. */
static void test_cannot_write(void **state) {
  (void)state;
  char *folder = at_folder();
  const char *path = at_path(folder, "db");
  vecdb *writer = at_open(path, NULL);
  vecdb_collection *coll = at_small(writer, "c");
  at_put(coll, 0, 500);
  at_ok(vecdb_flush(coll, NULL, &at_err));
  at_put(coll, 500, 20); /* in the log */
  struct at_content content = at_content(coll);
  vecdb_collection_release(coll);
  at_close(writer);
  assert_int_equal(chmod(path, 0555), 0);
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.flags = VECDB_READ_ONLY | VECDB_FOLLOW;
  options.interval_ms = 1;
  vecdb *reader = at_open(path, &options);
  at_ok(vecdb_collection_get(reader, "c", &coll, &at_err));
  at_ok(vecdb_refresh(reader, 0, NULL, &at_err));
  at_same(content, at_content(coll));
  vecdb_collection_release(coll);
  at_close(reader);
  assert_int_equal(chmod(path, 0755), 0);
  at_remove(folder);
}

/* ---- threads --------------------------------------------------------------------------------- */

struct follow_threads {
  vecdb *reader;
  _Atomic int64_t acked; /* all rows below that key are there */
  _Atomic bool over;
  _Atomic uint64_t counts;
};

static uint64_t follow_count(vecdb_collection *coll) {
  uint64_t count;
  vecdb_error err;
  assert_int_equal(vecdb_count(coll, NULL, &count, &err), VECDB_OK);
  return count;
}

static void *follow_counting(void *arg) {
  struct follow_threads *t = arg;
  vecdb_collection *coll;
  vecdb_error err;
  assert_int_equal(vecdb_collection_get(t->reader, "c", &coll, &err), VECDB_OK);
  uint64_t last = 0;
  bool over = false;
  while (!over) {
    over = atomic_load(&t->over);
    uint64_t least = (uint64_t)atomic_load(&t->acked);
    if (over)
      assert_int_equal(vecdb_refresh(t->reader, 0, NULL, &err), VECDB_OK);
    uint64_t count = follow_count(coll);
    assert_true(count >= last && (!over || count >= least));
    last = count;
    atomic_fetch_add(&t->counts, 1);
  }
  vecdb_collection_release(coll);
  return NULL;
}

/* A thread of the library follows while others search. */
static void test_threads(void **state) {
  (void)state;
  char *folder = at_folder();
  const char *path = at_path(folder, "db");
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.seal_rows = 256;
  options.durability = VECDB_DURABLE_OFF;
  vecdb *writer = at_open(path, &options);
  vecdb_collection *coll = at_small(writer, "c");
  options.flags = VECDB_READ_ONLY | VECDB_FOLLOW;
  options.interval_ms = 1;
  struct follow_threads t = {.reader = at_open(path, &options)};
  pthread_t threads[2];
  for (size_t i = 0; i < AT_COUNT(threads); i++)
    assert_int_equal(pthread_create(&threads[i], NULL, follow_counting, &t), 0);
  vecdb_refresh_info info = VECDB_REFRESH_INFO_INIT;
  uint32_t n = 0;
  /* Until the follower has exchanged segments a few times by itself, under searches. */
  while (info.reloads < 3 || atomic_load(&t.counts) < 50) {
    at_put(coll, (int64_t)n, 64);
    n += 64;
    atomic_store(&t.acked, (int64_t)n);
    at_ok(vecdb_refresh(t.reader, UINT32_MAX, &info, &at_err));
  }
  atomic_store(&t.over, true);
  for (size_t i = 0; i < AT_COUNT(threads); i++)
    pthread_join(threads[i], NULL);
  vecdb_collection_release(coll);
  at_close(t.reader);
  at_close(writer);
  at_remove(folder);
}

/* ---- processes ------------------------------------------------------------------------------- */

/* In memory that all processes share. */
struct follow_shared {
  _Atomic int64_t acked[FOLLOW_GROUPS]; /* the stamp of a group's last acknowledged write */
  _Atomic int64_t begun[FOLLOW_GROUPS]; /* of the last one begun */
  _Atomic uint64_t writes;
  _Atomic uint64_t looks[FOLLOW_READERS];
  _Atomic uint64_t reloads;
};

/* Gives all rows of a group one stamp, again and again, until killed. */
static void follow_writer(const char *path, struct follow_shared *s, uint64_t seed) {
  vecdb_options options = VECDB_OPTIONS_INIT;
  vecdb *db;
  vecdb_collection *coll;
  options.seal_rows = 64;
  options.index_rows = 64;
  if (vecdb_open(path, &options, &db, NULL) || vecdb_collection_get(db, "c", &coll, NULL))
    _exit(2);
  uint32_t random = (uint32_t)seed * 2654435761u + 1;
  for (uint64_t i = 0;; i++) {
    uint32_t g = at_random(&random) % FOLLOW_GROUPS;
    int64_t stamp = atomic_load(&s->begun[g]) + 1;
    int64_t ids[FOLLOW_ROWS], stamps[FOLLOW_ROWS];
    float vectors[FOLLOW_ROWS][2];
    for (uint32_t r = 0; r < FOLLOW_ROWS; r++) {
      ids[r] = (int64_t)(g * FOLLOW_ROWS + r);
      stamps[r] = stamp;
      vectors[r][0] = (float)stamp;
      vectors[r][1] = (float)ids[r];
    }
    vecdb_column columns[] = {{.field = "id", .data = ids},
                              {.field = "w", .data = stamps},
                              {.field = "v", .data = vectors, .dim = 2}};
    vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 3, FOLLOW_ROWS};
    atomic_store(&s->begun[g], stamp);
    if (vecdb_upsert(coll, &batch, NULL, NULL))
      _exit(3);
    atomic_store(&s->acked[g], stamp);
    atomic_fetch_add(&s->writes, 1);
    if (i % 16 == 15 && vecdb_compact(coll, NULL, NULL))
      _exit(4);
  }
}

/* Whether each group is whole, and no older than what was acknowledged before the look. */
static bool follow_groups(vecdb_collection *coll, const int64_t *least, struct follow_shared *s) {
  static const char *const fields[] = {"w"};
  for (int64_t g = 0; g < FOLLOW_GROUPS; g++) {
    int64_t ids[FOLLOW_ROWS];
    for (int64_t r = 0; r < FOLLOW_ROWS; r++)
      ids[r] = g * FOLLOW_ROWS + r;
    vecdb_keys keys = {ids, NULL, FOLLOW_ROWS};
    vecdb_rows *rows;
    if (vecdb_get(coll, &keys, fields, 1, NULL, &rows, NULL))
      return false;
    size_t n = vecdb_rows_count(rows);
    int64_t stamp = n ? vecdb_rows_value(rows, 0, 1).as.integer : 0;
    bool good = n == FOLLOW_ROWS || (n == 0 && least[g] == 0);
    for (size_t i = 0; i < n; i++)
      good = good && vecdb_rows_value(rows, i, 1).as.integer == stamp;
    vecdb_rows_free(rows);
    if (!good || stamp < least[g] || stamp > atomic_load(&s->begun[g]))
      return false;
  }
  return true;
}

static void follow_reading(const char *path, struct follow_shared *s, uint32_t number) {
  vecdb_options options = VECDB_OPTIONS_INIT;
  vecdb *db;
  vecdb_collection *coll;
  options.flags = VECDB_READ_ONLY | VECDB_FOLLOW;
  options.interval_ms = number ? 1 : 1000;
  if (vecdb_open(path, &options, &db, NULL) || vecdb_collection_get(db, "c", &coll, NULL))
    _exit(2);
  for (;;) {
    int64_t least[FOLLOW_GROUPS];
    vecdb_refresh_info info = VECDB_REFRESH_INFO_INIT;
    for (uint32_t g = 0; g < FOLLOW_GROUPS; g++)
      least[g] = atomic_load(&s->acked[g]);
    int rc = vecdb_refresh(db, 0, &info, NULL);
    if (rc && rc != VECDB_ERR_BUSY)
      _exit(3);
    if (!rc && !follow_groups(coll, least, s))
      _exit(4);
    atomic_fetch_add(&s->looks[number], 1);
    atomic_fetch_add(&s->reloads, info.reloaded);
  }
}

static pid_t follow_start(const char *path, struct follow_shared *s, int reader, uint64_t seed) {
  pid_t parent = getpid(), pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nobody behind */
    if (getppid() != parent)
      _exit(5);
    if (reader < 0)
      follow_writer(path, s, seed);
    else
      follow_reading(path, s, (uint32_t)reader);
  }
  return pid;
}

/* Kills a process that has not ended by itself, which none may. */
static void follow_kill(pid_t pid) {
  int status;
  assert_int_equal(kill(pid, SIGKILL), 0);
  assert_int_equal(waitpid(pid, &status, 0), pid);
  if (!WIFSIGNALED(status))
    fail_msg("a process ended with status %d", WEXITSTATUS(status));
}

static void follow_await(_Atomic uint64_t *counter, uint64_t more, pid_t pid) {
  uint64_t until = atomic_load(counter) + more;
  while (atomic_load(counter) < until) {
    int status;
    if (waitpid(pid, &status, WNOHANG) == pid)
      fail_msg("process ended: %d", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    sched_yield();
  }
}

static void follow_make(const char *path) {
  const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = "w", .type = VECDB_INT64},
      {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = 2, .metric = VECDB_L2}};
  vecdb_schema schema = {sizeof schema, sizeof *fields, NULL, fields, 3};
  vecdb *db = at_open(path, NULL);
  at_ok(vecdb_collection_create(db, "c", &schema, NULL, &at_err));
  at_close(db);
}

/* Readers and the writer are killed at random moments and started again; the others go on. */
static void test_processes(void **state) {
  (void)state;
  char *folder = at_folder();
  const char *path = at_path(folder, "db");
  struct follow_shared *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  assert_true(s != MAP_FAILED);
  follow_make(path);
  pid_t writer = follow_start(path, s, -1, 0), readers[FOLLOW_READERS];
  for (int r = 0; r < FOLLOW_READERS; r++)
    readers[r] = follow_start(path, s, r, 0);
  uint32_t random = (uint32_t)follow_number("VDB_SEED", 1);
  uint64_t cycles = follow_number("VDB_N", FOLLOW_KILLS);
  for (uint64_t i = 0; i < cycles; i++) {
    int r = (int)(at_random(&random) % FOLLOW_READERS);
    follow_await(&s->writes, 3 + at_random(&random) % 30, writer);
    follow_await(&s->looks[r], 1 + at_random(&random) % 3, readers[r]);
    if (i % 3 == 2) {
      follow_kill(writer);
      writer = follow_start(path, s, -1, i);
    } else {
      follow_kill(readers[r]);
      readers[r] = follow_start(path, s, r, i);
    }
  }
  follow_await(&s->writes, 20, writer);
  for (int r = 0; r < FOLLOW_READERS; r++) {
    follow_await(&s->looks[r], 3, readers[r]);
    follow_kill(readers[r]);
  }
  follow_kill(writer);
  printf("processes: writes=%llu reloads=%llu\n", (unsigned long long)atomic_load(&s->writes),
         (unsigned long long)atomic_load(&s->reloads));
  assert_true(atomic_load(&s->reloads) > 0);
  munmap(s, sizeof *s);
  at_remove(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_processes), /* first: it forks, which threads would not survive */
      cmocka_unit_test(test_between),    cmocka_unit_test(test_overtaken),
      cmocka_unit_test(test_taken_back), cmocka_unit_test(test_files_stay),
      cmocka_unit_test(test_cannot_write), cmocka_unit_test(test_threads),
  };
  return cmocka_run_group_tests_name("follow", tests, NULL, NULL);
}
