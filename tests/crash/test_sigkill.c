/*
 * test_sigkill.c - real files and real kills: a child process with several writing threads and
 * background work reports each batch before it writes it and after it was acknowledged, over a
 * pipe; the parent kills it at a random moment, opens the database, and holds it against the
 * reports. Each batch gives all rows of one key group the same stamp, or deletes them; a group
 * belongs to one thread. So the group must be as its last acknowledged batch made it, or as the one
 * after it did. The database lives on from cycle to cycle.
 *
 * VDB_N: cycles. VDB_SEED: random moments.
 */
#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/rng.h"
#include "tlib/thorough.h"
#include "vecdb.h"

enum {
  KILL_CYCLES = TEST_SIZE(50, 10),
  KILL_THREADS = 3,
  KILL_GROUPS = 12,
  KILL_ROWS = 20,
  KILL_DIM = 8
};

/* One line of the child's; written to the pipe in one piece. */
struct kill_report {
  uint32_t done; /* 0: about to be written */
  uint32_t group;
  int64_t stamp; /* 0: deleted */
};

struct kill_state {
  char dir[128];
  int64_t acked[KILL_GROUPS];  /* stamp of the last acknowledged batch; 0: no rows */
  int64_t begun[KILL_GROUPS];  /* of the last one begun */
  uint64_t batches;
};

static uint64_t kill_number(const char *name, uint64_t standard) {
  const char *text = getenv(name);
  return text && *text ? strtoull(text, NULL, 10) : standard;
}

/* ---- the child ------------------------------------------------------------------------------- */

struct kill_writer {
  vecdb *db;
  vecdb_collection *coll;
  int pipe;
  uint32_t number;
  uint64_t seed;
  int64_t stamp; /* the first one */
};

static void kill_say(const struct kill_writer *w, uint32_t done, uint32_t group, int64_t stamp) {
  struct kill_report report = {done, group, stamp};
  if (write(w->pipe, &report, sizeof report) != (ssize_t)sizeof report)
    _exit(3);
}

static int kill_write(const struct kill_writer *w, uint32_t group, int64_t stamp) {
  int64_t ids[KILL_ROWS], stamps[KILL_ROWS];
  float vectors[KILL_ROWS * KILL_DIM];
  for (uint32_t i = 0; i < KILL_ROWS; i++) {
    ids[i] = (int64_t)(group * KILL_ROWS + i);
    stamps[i] = stamp;
    for (uint32_t k = 0; k < KILL_DIM; k++)
      vectors[i * KILL_DIM + k] = (float)((stamp + i * 7 + k * 3) % 31) - 15;
  }
  const vecdb_column columns[] = {
      {.field = "id", .data = ids},
      {.field = "stamp", .data = stamps},
      {.field = "v", .data = vectors, .dim = KILL_DIM},
  };
  vecdb_keys keys = {ids, NULL, KILL_ROWS};
  vecdb_batch batch = VECDB_BATCH_INIT;
  batch.columns = columns;
  batch.n_columns = 3;
  batch.n_rows = KILL_ROWS;
  return stamp ? vecdb_upsert(w->coll, &batch, NULL, NULL)
               : vecdb_delete(w->coll, &keys, NULL, NULL);
}

static void *kill_thread(void *arg) {
  const struct kill_writer *w = arg;
  struct vdb_rng rng = {w->seed};
  int64_t stamp = w->stamp;
  for (;;) {
    uint32_t group = w->number + KILL_THREADS * vdb_rng_below(&rng, KILL_GROUPS / KILL_THREADS);
    int64_t mine = vdb_rng_below(&rng, 5) ? ++stamp : 0;
    kill_say(w, 0, group, mine);
    if (kill_write(w, group, mine))
      _exit(4);
    kill_say(w, 1, group, mine);
    uint32_t what = vdb_rng_below(&rng, 40);
    if (what == 0 && vecdb_flush(w->coll, NULL, NULL))
      _exit(5);
    if (what == 1 && vecdb_compact(w->coll, NULL, NULL))
      _exit(6);
  }
  return NULL;
}

static vecdb_options kill_options(int32_t durability) {
  vecdb_options o = VECDB_OPTIONS_INIT;
  o.durability = durability;
  o.seal_rows = 100;
  o.index_rows = 64;
  o.wal_bytes = 64 << 10;
  o.threads = 2;
  return o;
}

static int kill_open(const char *dir, const vecdb_options *o, vecdb **db, vecdb_collection **coll,
                     vecdb_error *err) {
  static const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = "stamp", .type = VECDB_INT64},
      {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = KILL_DIM, .metric = VECDB_L2},
  };
  int rc = vecdb_open(dir, o, db, err);
  if (rc)
    return rc;
  rc = vecdb_collection_get(*db, "kept", coll, err);
  if (rc != VECDB_ERR_NOT_FOUND)
    return rc;
  vecdb_schema schema = VECDB_SCHEMA_INIT;
  schema.fields = fields;
  schema.n_fields = 3;
  return vecdb_collection_create(*db, "kept", &schema, coll, err);
}

/* What the system has survives a kill, so the mode of durability does not matter. */
static void kill_child(const char *dir, int out, uint64_t seed, int64_t stamp) {
  vecdb *db;
  vecdb_collection *coll;
  vecdb_error err;
  vecdb_options o = kill_options((int32_t)(seed % 3));
  if (kill_open(dir, &o, &db, &coll, &err)) {
    fprintf(stderr, "the child cannot open: %s\n", err.message);
    _exit(2);
  }
  pthread_t threads[KILL_THREADS];
  static struct kill_writer writers[KILL_THREADS];
  for (uint32_t i = 0; i < KILL_THREADS; i++) {
    struct kill_writer w = {db, coll, out, i, seed * 100 + i, stamp + i * 10000000};
    writers[i] = w;
    if (pthread_create(&threads[i], NULL, kill_thread, &writers[i]))
      _exit(2);
  }
  for (;;)
    pause();
}

/* ---- the parent ------------------------------------------------------------------------------ */

static void kill_read(struct kill_state *state, int in) {
  struct kill_report report;
  while (read(in, &report, sizeof report) == (ssize_t)sizeof report) {
    if (report.done) {
      state->acked[report.group] = report.stamp;
      state->batches++;
    }
    state->begun[report.group] = report.stamp;
  }
}

/* Lets the child work for a while, kills it, and takes in what it reported. */
static void kill_cycle(struct kill_state *state, struct vdb_rng *rng, uint64_t cycle) {
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  uint64_t seed = vdb_rng_next(rng);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    close(ends[0]);
    kill_child(state->dir, ends[1], seed, (int64_t)cycle * 100000000 + 1);
  }
  close(ends[1]);
  uint32_t us = 1000 + vdb_rng_below(rng, vdb_rng_below(rng, 4) ? 200000 : 20000);
  struct timespec pause_for = {0, (long)us * 1000};
  nanosleep(&pause_for, NULL); /* the moment of the kill; nothing waits for anything here */
  kill(child, SIGKILL);
  kill_read(state, ends[0]); /* to the end, which comes with the child's */
  close(ends[0]);
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void kill_check_group(struct kill_state *state, vecdb_collection *coll, uint32_t group,
                             uint64_t seed) {
  int64_t ids[KILL_ROWS], stamp = 0;
  static const char *const fields[] = {"stamp"};
  vecdb_rows *rows;
  for (uint32_t i = 0; i < KILL_ROWS; i++)
    ids[i] = (int64_t)(group * KILL_ROWS + i);
  vecdb_keys keys = {ids, NULL, KILL_ROWS};
  assert_int_equal(vecdb_get(coll, &keys, fields, 1, NULL, &rows, NULL), VECDB_OK);
  size_t n = vecdb_rows_count(rows);
  bool whole = n == 0 || n == KILL_ROWS;
  for (size_t i = 0; i < n; i++) {
    int64_t found = vecdb_rows_value(rows, i, 1).as.integer;
    whole = whole && (i == 0 || found == stamp);
    stamp = found;
  }
  vecdb_rows_free(rows);
  if (!whole || (stamp != state->acked[group] && stamp != state->begun[group])) {
    print_error("VDB_SEED=%llu: group %u has %zu rows with stamp %lld; acknowledged %lld, begun "
                "%lld\n",
                (unsigned long long)seed, group, n, (long long)stamp,
                (long long)state->acked[group], (long long)state->begun[group]);
    fail();
  }
  state->acked[group] = state->begun[group] = stamp;
}

static void kill_check(struct kill_state *state, uint64_t seed) {
  vecdb *db;
  vecdb_collection *coll;
  vecdb_error err;
  uint64_t count, expected = 0;
  vecdb_options o = kill_options(VECDB_DURABLE_COMMIT);
  o.verify = VECDB_VERIFY_FULL;
  if (kill_open(state->dir, &o, &db, &coll, &err) ||
      vecdb_check(db, NULL, NULL, NULL, &err)) {
    print_error("VDB_SEED=%llu: %s\n", (unsigned long long)seed, err.message);
    fail();
  }
  for (uint32_t g = 0; g < KILL_GROUPS; g++) {
    kill_check_group(state, coll, g, seed);
    expected += state->acked[g] ? KILL_ROWS : 0;
  }
  assert_int_equal(vecdb_count(coll, NULL, &count, NULL), VECDB_OK);
  assert_int_equal(count, expected);
  vecdb_collection_release(coll);
  assert_int_equal(vecdb_close(db, NULL), VECDB_OK);
}

static void kill_remove(const char *dir) {
  DIR *folder = opendir(dir);
  struct dirent *entry;
  while (folder && (entry = readdir(folder)) != NULL) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
    if (entry->d_name[0] != '.')
      unlink(path);
  }
  if (folder)
    closedir(folder);
  rmdir(dir);
}

static void test_kills(void **unused) {
  (void)unused;
  const char *base = getenv("TMPDIR");
  struct kill_state state;
  memset(&state, 0, sizeof state);
  snprintf(state.dir, sizeof state.dir, "%.80s/vecdb-kill-XXXXXX", base ? base : "/tmp");
  assert_non_null(mkdtemp(state.dir));
  uint64_t cycles = kill_number("VDB_N", KILL_CYCLES), seed = kill_number("VDB_SEED", 1);
  struct vdb_rng rng = {seed};
  for (uint64_t i = 1; i <= cycles; i++) {
    kill_cycle(&state, &rng, i);
    kill_check(&state, seed);
  }
  printf("sigkill: cycles=%llu batches=%llu lost=0\n", (unsigned long long)cycles,
         (unsigned long long)state.batches);
  kill_remove(state.dir);
  assert_true(state.batches > 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_kills),
  };
  return cmocka_run_group_tests_name("sigkill", tests, NULL, NULL);
}
