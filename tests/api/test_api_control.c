/*
 * test_api_control.c - what a host can hook into or hold against a call: progress, cancelling and
 * deadlines (a clock of the test's own makes them certain), allocator, log, clock, files, limits on
 * memory, and background work driven by vecdb_step.
 *
 * TSAN: yes
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "tlib/apitest.h"
#include "tlib/apivfs.h"
#include "tlib/thorough.h"

/* Rows in files with a graph, and all. */
enum { OLD_ROWS = TEST_SIZE(2000, 600), ROWS = OLD_ROWS + TEST_SIZE(1000, 300) };

/* ---- A clock that only moves when told ------------------------------------------------------- */

struct test_clock {
  _Atomic uint64_t now;
  _Atomic uint64_t step; /* added at each look */
  _Atomic unsigned looks;
};

static uint64_t clock_look(void *user) {
  struct test_clock *c = user;
  atomic_fetch_add(&c->looks, 1);
  return atomic_fetch_add(&c->now, atomic_load(&c->step));
}

static vecdb_clock clock_hook(struct test_clock *c) {
  vecdb_clock clock = {clock_look, clock_look, c};
  return clock;
}

/* A database in memory with ROWS rows, in files with a graph and in memory, on this clock. */
static vecdb *timed_open(struct test_clock *c, vecdb_collection **coll) {
  vecdb_clock clock = clock_hook(c);
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.clock = &clock;
  options.flags = VECDB_HOST_DRIVEN;
  options.index_rows = 100;
  vecdb *db = at_open(":memory:", &options);
  *coll = at_small(db, "c");
  at_put(*coll, 0, OLD_ROWS);
  at_ok(vecdb_compact(*coll, NULL, &at_err));
  at_put(*coll, OLD_ROWS, ROWS - OLD_ROWS);
  return db;
}

static void test_deadlines(void **state) {
  (void)state;
  struct test_clock c = {1000, 0, 0};
  vecdb_collection *coll;
  vecdb *db = timed_open(&c, &coll);
  vecdb_control control = VECDB_CONTROL_INIT;
  control.timeout_ms = 5;
  const float query[] = {ROWS - 500, 3, 0, 1};
  vecdb_search_params params = at_search(query, 10, "n < 90");
  vecdb_search_info info = VECDB_SEARCH_INFO_INIT;
  vecdb_hit hits[10];
  uint32_t n;
  params.control = &control;
  at_ok(vecdb_search(coll, &params, hits, &n, &info, NULL, &at_err)); /* the clock stands still */
  assert_int_equal(info.partial, 0);
  assert_int_equal(n, 10);
  atomic_store(&c.step, 10000000); /* 10 ms at each look: past the deadline at the next one */
  at_ok(vecdb_search(coll, &params, hits, &n, &info, NULL, &at_err));
  assert_int_equal(info.partial, 1);
  assert_true(n <= 10);
  for (uint32_t i = 0; i < n; i++)
    assert_true(hits[i].id % 100 < 90);
  vecdb_rows *rows = (vecdb_rows *)&c;
  at_fails(VECDB_ERR_TIMEOUT, vecdb_search(coll, &params, hits, &n, NULL, &rows, &at_err));
  assert_null(rows);
  at_fails(VECDB_ERR_TIMEOUT,
           vecdb_search_range(coll, &params, 1e9f, hits, &n, NULL, NULL, &at_err));
  vecdb_query_params scan = VECDB_QUERY_PARAMS_INIT;
  scan.control = &control;
  at_fails(VECDB_ERR_TIMEOUT, vecdb_query(coll, &scan, &rows, &at_err));
  assert_null(rows);
  vecdb_filter filter = {.text = "n == 1"};
  at_fails(VECDB_ERR_TIMEOUT, vecdb_delete_where(coll, &filter, NULL, &control, &at_err));
  at_put(coll, 5000, 10);
  at_fails(VECDB_ERR_TIMEOUT, vecdb_compact(coll, &control, &at_err));
  at_fails(VECDB_ERR_TIMEOUT, vecdb_check(db, NULL, NULL, &control, &at_err));
  atomic_store(&c.step, 0);
  at_ok(vecdb_search(coll, &params, hits, &n, &info, NULL, &at_err)); /* as good as before */
  assert_int_equal(info.partial, 0);
  assert_int_equal(n, 10);
  assert_int_equal(at_count(coll, NULL), ROWS + 10);
  at_ok(vecdb_compact(coll, NULL, &at_err));
  at_ok(vecdb_check(db, NULL, NULL, NULL, &at_err));
  vecdb_collection_release(coll);
  at_close(db);
}

/* An iterator that runs out of time goes on where it was. */
static void test_iterator_deadline(void **state) {
  (void)state;
  struct test_clock c = {1000, 0, 0};
  vecdb_collection *coll;
  vecdb *db = timed_open(&c, &coll);
  vecdb_control control = VECDB_CONTROL_INIT;
  control.timeout_ms = 5;
  const float query[] = {0, 0, 0, 1};
  vecdb_search_params params = at_search(query, 0, "n < 50");
  params.control = &control;
  vecdb_iterator *it;
  at_ok(vecdb_iterator_open(coll, &params, &it, &at_err));
  bool seen[ROWS] = {false};
  uint32_t total = 0, n = 1;
  for (unsigned call = 0; n > 0; call++) {
    vecdb_hit hits[200];
    if (call % 3 == 1) {
      atomic_store(&c.step, 10000000);
      int rc = vecdb_iterator_next(it, 200, hits, &n, NULL, &at_err);
      atomic_store(&c.step, 0);
      if (rc != VECDB_OK) {
        at_expect(VECDB_ERR_TIMEOUT, rc, "vecdb_iterator_next", __FILE__, __LINE__);
        n = 1;
        continue;
      }
    } else {
      at_ok(vecdb_iterator_next(it, 200, hits, &n, NULL, &at_err));
    }
    for (uint32_t i = 0; i < n; i++) {
      assert_false(seen[hits[i].id]);
      seen[hits[i].id] = true;
    }
    total += n;
  }
  assert_int_equal(total, ROWS / 2);
  vecdb_iterator_close(it);
  vecdb_collection_release(coll);
  at_close(db);
}

/* ---- Progress and cancelling ----------------------------------------------------------------- */

struct progress {
  unsigned calls;
  unsigned cancel_at; /* 0: never */
  bool past_end;      /* done > total somewhere */
  char phases[200];
};

static int note_progress(void *user, const char *phase, uint64_t done, uint64_t total) {
  struct progress *p = user;
  p->calls++;
  p->past_end = p->past_end || done > total;
  if (!strstr(p->phases, phase))
    snprintf(p->phases + strlen(p->phases), sizeof p->phases - strlen(p->phases), "%s;", phase);
  return p->calls == p->cancel_at;
}

static void test_progress(void **state) {
  (void)state;
  struct test_clock c = {1000, 0, 0};
  vecdb_collection *coll;
  vecdb *db = timed_open(&c, &coll);
  struct progress p = {0};
  vecdb_control control = VECDB_CONTROL_INIT;
  control.progress = note_progress;
  control.user = &p;
  at_ok(vecdb_compact(coll, &control, &at_err));
  assert_non_null(strstr(p.phases, "build"));
  assert_non_null(strstr(p.phases, "write"));
  at_ok(vecdb_check(db, NULL, NULL, &control, &at_err));
  assert_non_null(strstr(p.phases, "check"));
  char *folder = at_folder();
  at_ok(vecdb_backup(db, at_path(folder, "copy"), &control, &at_err));
  at_remove(folder);
  assert_non_null(strstr(p.phases, "copy"));
  assert_false(p.past_end);
  assert_true(p.calls > 10);
  vecdb_collection_release(coll);
  at_close(db);
}

/* Cancels a call at its first, second, third, ... and, in growing steps, later reports until it
   comes through; whatever was done by then, the rows are the same and the call can be repeated. */
static unsigned cancel_everywhere(vecdb *db, vecdb_collection *coll, struct at_content before,
                                  int (*call)(vecdb *, vecdb_collection *, const vecdb_control *)) {
  vecdb_control control = VECDB_CONTROL_INIT;
  control.progress = note_progress;
  unsigned at = 0;
  int rc = VECDB_ERR_CANCELLED;
  while (rc != VECDB_OK) {
    at += 1 + at / 4;
    struct progress p = {.cancel_at = at};
    control.user = &p;
    rc = call(db, coll, &control);
    if (rc != VECDB_OK)
      at_expect(VECDB_ERR_CANCELLED, rc, "a call that was cancelled", __FILE__, __LINE__);
    if (at < 5 || rc == VECDB_OK)
      at_same(before, at_content(coll));
  }
  return at;
}

static int call_compact(vecdb *db, vecdb_collection *coll, const vecdb_control *control) {
  (void)db;
  return vecdb_compact(coll, control, &at_err);
}

static int call_check(vecdb *db, vecdb_collection *coll, const vecdb_control *control) {
  (void)coll;
  return vecdb_check(db, NULL, NULL, control, &at_err);
}

static int call_flush(vecdb *db, vecdb_collection *coll, const vecdb_control *control) {
  (void)db;
  return vecdb_flush(coll, control, &at_err);
}

static void test_cancel(void **state) {
  (void)state;
  struct test_clock c = {1000, 0, 0};
  vecdb_collection *coll;
  vecdb *db = timed_open(&c, &coll);
  at_delete(coll, 700, 100);
  struct at_content before = at_content(coll);
  assert_true(cancel_everywhere(db, coll, before, call_check) > 1);
  assert_true(cancel_everywhere(db, coll, before, call_flush) > 1);
  assert_true(cancel_everywhere(db, coll, before, call_compact) > 1);
  at_ok(vecdb_check(db, NULL, NULL, NULL, &at_err));

  int32_t flag = 1; /* set beforehand */
  vecdb_control control = VECDB_CONTROL_INIT;
  control.cancel = &flag;
  at_put(coll, 4000, 10);
  before = at_content(coll);
  const float query[] = {0, 0, 0, 1};
  vecdb_search_params params = at_search(query, 5, "n != 3");
  vecdb_search_info info = VECDB_SEARCH_INFO_INIT;
  vecdb_hit hits[5];
  uint32_t n;
  params.control = &control;
  const int code = VECDB_ERR_CANCELLED;
  at_fails(code, vecdb_search(coll, &params, hits, &n, &info, NULL, &at_err));
  at_fails(code, vecdb_compact(coll, &control, &at_err));
  at_fails(code, vecdb_backup(db, "copy", &control, &at_err));
  at_fails(code, vecdb_check(db, NULL, NULL, &control, &at_err));
  flag = 0;
  at_ok(vecdb_search(coll, &params, hits, &n, &info, NULL, &at_err));
  at_same(before, at_content(coll));
  vecdb_collection_release(coll);
  at_close(db);
}

/* Opening a database with a log can be cancelled; then nothing was done. */
static void test_cancel_open(void **state) {
  (void)state;
  struct av_disk *disk = av_new();
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.vfs = av_vfs(disk);
  vecdb *db = at_open("db", &options);
  vecdb_collection *coll = at_small(db, "c");
  for (int i = 0; i < 20; i++)
    at_put(coll, i * 10, 10);
  vecdb_collection_release(coll);
  at_close(db);
  int32_t flag = 1;
  vecdb_control control = VECDB_CONTROL_INIT;
  control.cancel = &flag;
  options.control = &control;
  vecdb *none = db;
  at_fails(VECDB_ERR_CANCELLED, vecdb_open("db", &options, &none, &at_err));
  assert_null(none);
  assert_int_equal(av_open_files(disk), 0);
  assert_int_equal(av_mappings(disk), 0);
  flag = 0;
  db = at_open("db", &options);
  at_ok(vecdb_collection_get(db, "c", &coll, &at_err));
  assert_int_equal(at_count(coll, NULL), 200);
  vecdb_collection_release(coll);
  at_close(db);
  av_free(disk);
}

/* ---- Hooks ----------------------------------------------------------------------------------- */

struct heap {
  _Atomic unsigned long blocks, calls;
  _Atomic long fail_at; /* this call from now and all later ones; < 0: none */
};

static bool heap_fails(struct heap *h) {
  atomic_fetch_add(&h->calls, 1);
  return atomic_load(&h->fail_at) >= 0 && atomic_fetch_sub(&h->fail_at, 1) <= 0 &&
         (atomic_store(&h->fail_at, 0), true);
}

static void *heap_alloc(void *user, size_t size) {
  struct heap *h = user;
  if (heap_fails(h))
    return NULL;
  void *block = malloc(size);
  atomic_fetch_add(&h->blocks, block != NULL);
  return block;
}

static void *heap_resize(void *user, void *block, size_t size) {
  struct heap *h = user;
  if (heap_fails(h))
    return NULL;
  atomic_fetch_add(&h->blocks, block == NULL);
  return realloc(block, size);
}

static void heap_release(void *user, void *block) {
  struct heap *h = user;
  atomic_fetch_sub(&h->blocks, block != NULL);
  free(block);
}

static void test_allocator_hook(void **state) {
  (void)state;
  struct heap heap = {0, 0, -1};
  const vecdb_allocator allocator = {heap_alloc, heap_resize, heap_release, &heap};
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.allocator = &allocator;
  options.index_rows = 100;
  vecdb *db = at_open(":memory:", &options);
  vecdb_collection *coll = at_small(db, "c");
  at_put(coll, 0, 500);
  at_ok(vecdb_compact(coll, NULL, &at_err));
  assert_true(heap.calls > 20);
  struct at_content before = at_content(coll);
  vecdb_query_params params = VECDB_QUERY_PARAMS_INIT;
  vecdb_rows *rows = (vecdb_rows *)&heap;
  int32_t numbers[] = {1};
  const float v[] = {0, 0, 0, 1};
  const vecdb_column columns[] = {{.field = "id", .data = (int64_t[]){777777}},
                                  {.field = "n", .data = numbers}, {.field = "v", .data = v}};
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 3, 1};
  atomic_store(&heap.fail_at, 0);
  at_fails(VECDB_ERR_NO_MEMORY, vecdb_query(coll, &params, &rows, &at_err));
  assert_null(rows);
  at_fails(VECDB_ERR_NO_MEMORY, vecdb_insert(coll, &batch, NULL, &at_err));
  vecdb *none = db;
  at_fails(VECDB_ERR_NO_MEMORY, vecdb_open(":memory:", &options, &none, &at_err));
  assert_null(none);
  atomic_store(&heap.fail_at, -1);
  at_same(before, at_content(coll));
  vecdb_collection_release(coll);
  at_close(db);
  assert_int_equal(heap.blocks, 0); /* all of it came back */
}

static void test_memory_limit(void **state) {
  (void)state;
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.memory_limit = 4u << 20;
  vecdb *db = at_open(":memory:", &options);
  vecdb_collection *coll = at_small(db, "c");
  const float v[64][4] = {{0}};
  int64_t ids[64] = {0};
  int32_t n[64] = {0};
  const vecdb_column columns[] = {
      {.field = "id", .data = ids}, {.field = "n", .data = n}, {.field = "v", .data = v}};
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 3, 64};
  int rc = VECDB_OK;
  uint64_t rows = 0;
  for (int64_t next = 0; rc == VECDB_OK; rows += rc == VECDB_OK ? 64 : 0) {
    for (int i = 0; i < 64; i++)
      ids[i] = next++;
    rc = vecdb_insert(coll, &batch, NULL, &at_err);
    assert_true(next < 1000000);
  }
  at_expect(VECDB_ERR_NO_MEMORY, rc, "vecdb_insert over the limit", __FILE__, __LINE__);
  vecdb_stats stats = VECDB_STATS_INIT;
  at_ok(vecdb_collection_stats(coll, &stats, &at_err));
  assert_int_equal(stats.rows, rows);
  assert_true(stats.bytes_allocated <= options.memory_limit);
  assert_int_equal(at_count(coll, NULL), rows);
  vecdb_collection_release(coll);
  at_close(db);
}

struct log {
  unsigned lines;
  bool newline, level;
  char text[2000];
};

static void note_line(void *user, int level, const char *line) {
  struct log *log = user;
  log->lines++;
  log->newline = log->newline || strchr(line, '\n');
  log->level = log->level || level < VECDB_LOG_ERROR || level > VECDB_LOG_DEBUG;
  snprintf(log->text + strlen(log->text), sizeof log->text - strlen(log->text), "%.150s;", line);
}

static void test_vfs_and_log_hooks(void **state) {
  (void)state;
  struct av_disk *disk = av_new();
  struct log log = {0};
  struct test_clock c = {1000, 1000, 0};
  vecdb_clock clock = clock_hook(&c);
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.vfs = av_vfs(disk);
  options.log = note_line;
  options.log_user = &log;
  options.clock = &clock;
  options.index_rows = 100;
  vecdb *db = at_open("folder", &options), *second = db;
  at_fails(VECDB_ERR_BUSY, vecdb_open("folder", &options, &second, &at_err));
  assert_null(second);
  vecdb_collection *coll = at_small(db, "c");
  at_put(coll, 0, 400);
  at_ok(vecdb_compact(coll, NULL, &at_err));
  at_put(coll, 400, 100);
  struct at_content before = at_content(coll);
  vecdb_collection_release(coll);
  at_close(db);
  assert_int_equal(av_open_files(disk), 0);
  assert_int_equal(av_mappings(disk), 0);
  assert_true(av_calls(disk) > 20);
  assert_false(at_exists("folder"));
  db = at_open("folder", &options);
  at_ok(vecdb_collection_get(db, "c", &coll, &at_err));
  at_same(before, at_content(coll));
  assert_non_null(strstr(log.text, "replayed")); /* the log records of the last 100 rows */
  assert_false(log.newline || log.level);

  av_fail_writes(disk, ENOSPC); /* the disk is full: an error, reads go on, and then writes again */
  const vecdb_column columns[] = {{.field = "id", .data = (int64_t[]){9999}},
                                  {.field = "n", .data = (int32_t[]){1}},
                                  {.field = "v", .data = (float[]){0, 0, 0, 1}}};
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 3, 1};
  at_fails(VECDB_ERR_DISK_FULL, vecdb_insert(coll, &batch, NULL, &at_err));
  assert_int_equal(at_err.os_code, ENOSPC);
  at_same(before, at_content(coll));
  av_fail_writes(disk, EIO);
  at_fails(VECDB_ERR_IO, vecdb_insert(coll, &batch, NULL, &at_err));
  av_fail_writes(disk, 0);
  at_ok(vecdb_insert(coll, &batch, NULL, &at_err));
  assert_int_equal(at_count(coll, NULL), before.rows + 1);
  vecdb_collection_release(coll);
  at_close(db);
  assert_true(c.looks > 0);
  av_free(disk);
}

/* ---- Background work ------------------------------------------------------------------------- */

static void test_host_driven(void **state) {
  (void)state;
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.flags = VECDB_HOST_DRIVEN;
  options.seal_rows = 100;
  options.index_rows = 100;
  vecdb *db = at_open(":memory:", &options);
  vecdb_collection *coll = at_small(db, "c");
  vecdb_stats s = VECDB_STATS_INIT;
  bool more = true;
  at_ok(vecdb_step(db, 0, 0, &more, &at_err));
  assert_false(more); /* nothing to do yet */
  for (int i = 0; i < 4; i++)
    at_put(coll, i * 100, 100);
  at_put(coll, 400, 1); /* begins a new segment */
  struct at_content before = at_content(coll);
  at_ok(vecdb_collection_stats(coll, &s, &at_err));
  assert_int_equal(s.segments_sealed, 0); /* nobody works but the host */
  assert_true(s.jobs_pending > 0);
  at_ok(vecdb_step(db, 0, 1, &more, &at_err)); /* one piece of work */
  assert_true(more);
  at_ok(vecdb_collection_stats(coll, &s, &at_err));
  assert_int_equal(s.segments_sealed, 1);
  unsigned steps = 0;
  for (more = true; more; steps++) {
    at_ok(vecdb_step(db, 0, 1, &more, &at_err));
    at_same(before, at_content(coll));
    assert_true(steps < 100);
  }
  at_ok(vecdb_collection_stats(coll, &s, &at_err));
  assert_int_equal(s.jobs_pending, 0);
  assert_true(s.segments_sealed >= 1);
  assert_int_equal(s.segments_indexed, s.segments_sealed);
  at_put(coll, 1000, 250);
  at_ok(vecdb_step(db, 0, 0, NULL, &at_err)); /* no limit: until all is done */
  at_ok(vecdb_step(db, 1, 0, &more, &at_err));
  assert_false(more);
  at_ok(vecdb_check(db, NULL, NULL, NULL, &at_err));
  vecdb_collection_release(coll);
  at_close(db);
}

/* Sealing and merging by themselves: a flood of small segments ends in few. */
static void test_background_work(void **state) {
  (void)state;
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.seal_rows = 64;
  options.index_rows = 256;
  vecdb *db = at_open(":memory:", &options);
  vecdb_collection *coll = at_small(db, "c");
  for (int i = 0; i < 60; i++)
    at_put(coll, i * 32 % 1600, 64); /* half of each batch replaces rows of the one before */
  struct at_content before = at_content(coll);
  at_ok(vecdb_wait(coll, NULL, &at_err));
  vecdb_stats s = VECDB_STATS_INIT;
  at_ok(vecdb_collection_stats(coll, &s, &at_err));
  assert_int_equal(s.jobs_pending, 0);
  assert_true(s.segments_sealed <= 20);
  at_same(before, at_content(coll));
  at_ok(vecdb_check(db, NULL, NULL, NULL, &at_err));
  vecdb_collection_release(coll);
  at_close(db);
}

/* ---- Threads --------------------------------------------------------------------------------- */

struct shared {
  vecdb *db;
  vecdb_collection *coll;
  _Atomic bool stop;
  _Atomic unsigned torn, failed;
};

/* Batches are seen whole or not at all, whatever the writer and the background do. */
static void *search_again_and_again(void *arg) {
  struct shared *s = arg;
  const float query[] = {0, 0, 0, 1};
  vecdb_hit *hits = calloc(4096, sizeof *hits);
  while (!atomic_load(&s->stop)) {
    vecdb_error error;
    uint32_t n = 0;
    uint64_t count = 0;
    vecdb_search_params params = at_search(query, 4096, NULL);
    int rc = vecdb_search(s->coll, &params, hits, &n, NULL, NULL, &error);
    if (!rc)
      rc = vecdb_count(s->coll, NULL, &count, &error);
    atomic_fetch_add(&s->failed, rc != VECDB_OK);
    atomic_fetch_add(&s->torn, n % 64 != 0 || count % 64 != 0 || count < n);
  }
  free(hits);
  return NULL;
}

static void test_searches_beside_a_writer(void **state) {
  (void)state;
  enum { BATCHES = TEST_SIZES(40, 16, 8) };
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.seal_rows = 256;
  options.index_rows = 512;
  struct shared s = {0};
  s.db = at_open(":memory:", &options);
  s.coll = at_small(s.db, "c");
  pthread_t threads[3];
  for (int i = 0; i < 3; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, search_again_and_again, &s), 0);
  for (int i = 0; i < BATCHES; i++)
    at_put(s.coll, i * 64, 64);
  at_ok(vecdb_compact(s.coll, NULL, &at_err));
  atomic_store(&s.stop, true);
  for (int i = 0; i < 3; i++)
    pthread_join(threads[i], NULL);
  assert_int_equal(s.failed, 0);
  assert_int_equal(s.torn, 0);
  assert_int_equal(at_count(s.coll, NULL), BATCHES * 64);
  vecdb_collection_release(s.coll);
  at_close(s.db);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST_ALONE(cmocka_unit_test(test_deadlines)),
      TEST_ALONE(cmocka_unit_test(test_iterator_deadline)),
      cmocka_unit_test(test_progress),
      TEST_ALONE(cmocka_unit_test(test_cancel)),
      TEST_ALONE(cmocka_unit_test(test_cancel_open)),
      cmocka_unit_test(test_allocator_hook),
      cmocka_unit_test(test_memory_limit),
      TEST_ALONE(cmocka_unit_test(test_vfs_and_log_hooks)),
      TEST_ALONE(cmocka_unit_test(test_host_driven)),
      cmocka_unit_test(test_background_work),
      cmocka_unit_test(test_searches_beside_a_writer),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
