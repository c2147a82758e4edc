/*
 * faults.c - what clients see of a node's fault: three nodes and three etcd members as processes
 * (tests/cluster/faultrig.h), one of which is killed or stopped again and again. Usage: faults
 * MODE N, where MODE is
 *   crash | hang   N times who leads: the gap between the last write acknowledged before and the
 *                  first one after
 *   search         searches without faults, then during N faults of one node each
 *   lag            N writes: until every read of any replica in sync has them
 *   overload       searches of more and more callers, then of three times as many as gave most
 *   away           writes, strong reads and searches, of which none may fail, while etcd has no
 *                  quorum for N seconds: once a shard was split, and once while it is
 */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>

#include "cluster/faultrig.h"
#include "ctl/session.h"

enum { FAULTS_KEYS = 2000, FAULTS_BATCH = 500, FAULTS_SAMPLES = 1 << 18, FAULTS_CALLERS = 768 };

struct faults {
  struct rig rig;
  struct ctl ctl;
  atomic_bool stop;
  atomic_uint writes, refused; /* acknowledged, and not */
  atomic_uint reads, unread;
  double write_every_s;
  _Atomic double last_write; /* when it was acknowledged */
  _Atomic double worst_gap;  /* between two of them, since it was set to 0 */
};

static double faults_clock(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void faults_sleep(double s) {
  const struct timespec t = {(time_t)s, (long)(1e9 * (s - floor(s)))};
  nanosleep(&t, NULL);
}

static int faults_order(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double faults_at(const double *sorted, size_t n, double part) {
  return n ? sorted[(size_t)((double)(n - 1) * part)] : 0;
}

static void faults_print(const char *what, double *ms, size_t n) {
  qsort(ms, n, sizeof *ms, faults_order);
  printf("%s: %zu, ms: p50 %.1f, p99 %.1f, max %.1f\n", what, n, faults_at(ms, n, .5),
         faults_at(ms, n, .99), faults_at(ms, n, 1));
}

/* ---- Writing ---- */

static bool faults_write(struct faults *f, int64_t first, int64_t n, int64_t version) {
  int64_t ids[FAULTS_BATCH], versions[FAULTS_BATCH];
  float vectors[RIG_DIM * FAULTS_BATCH];
  vecdb_batch batch = VECDB_BATCH_INIT;
  const vecdb_column columns[] = {{.field = "id", .data = ids},
                                  {.field = "version", .data = versions},
                                  {.field = "v", .data = vectors, .dim = RIG_DIM}};
  for (int64_t i = 0; i < n; i++) {
    ids[i] = first + i;
    versions[i] = version;
    for (int d = 0; d < RIG_DIM; d++)
      vectors[RIG_DIM * i + d] = sinf((float)(first + i) * (float)(d + 1));
  }
  batch.columns = columns;
  batch.n_columns = 3;
  batch.n_rows = (uint32_t)n;
  return !vecdb_client_upsert(f->rig.client, "rows", &batch, NULL, NULL);
}

static void *faults_writer(void *arg) {
  struct faults *f = arg;
  for (int64_t version = 1; !f->stop; version++) {
    if (!faults_write(f, version % FAULTS_KEYS, 1, version)) {
      f->refused++;
      continue;
    }
    double now = faults_clock(), gap = now - f->last_write;
    if (gap > f->worst_gap)
      f->worst_gap = gap;
    f->last_write = now;
    f->writes++;
    faults_sleep(f->write_every_s);
  }
  return NULL;
}

static void faults_await(struct faults *f, unsigned more) {
  for (unsigned until = f->writes + more; f->writes < until;)
    ctl_turn(&f->ctl, ctl_now(&f->ctl) + 2000);
}

static void faults_open(struct faults *f, uint32_t shards) {
  const struct rig_config config = {3, shards, 3, 2, false};
  memset(f, 0, sizeof *f);
  rig_start(&f->rig, &config);
  rig_ctl_open(&f->rig, &f->ctl);
  for (int64_t at = 0; at < FAULTS_KEYS;)
    if (faults_write(f, at, FAULTS_BATCH, 0))
      at += FAULTS_BATCH;
}

static void faults_close(struct faults *f) {
  ctl_close(&f->ctl);
  rig_end(&f->rig);
}

static int faults_leader(struct faults *f) {
  struct rig_shard s;
  rig_shard(&f->ctl, 0, &s);
  return (int)s.primary;
}

static void faults_begin(struct faults *f, int node, bool hang) {
  if (hang)
    rig_node_signal(&f->rig, node, SIGSTOP);
  else
    rig_node_kill(&f->rig, node);
}

static void faults_end(struct faults *f, int node, bool hang) {
  if (hang)
    rig_node_signal(&f->rig, node, SIGCONT);
  else
    rig_node_start(&f->rig, node);
}

static void faults_gaps(struct faults *f, size_t n, bool hang) {
  double *ms = calloc(n, sizeof *ms);
  pthread_t writer;
  f->last_write = faults_clock();
  assert_int_equal(pthread_create(&writer, NULL, faults_writer, f), 0);
  for (size_t i = 0; i < n; i++) {
    rig_whole(&f->rig, &f->ctl);
    faults_await(f, 50);
    int node = faults_leader(f);
    f->worst_gap = 0;
    faults_begin(f, node, hang);
    faults_await(f, 50);
    ms[i] = 1000 * f->worst_gap;
    faults_end(f, node, hang);
  }
  f->stop = true;
  pthread_join(writer, NULL);
  faults_print(hang ? "gap of writes, leader stopped" : "gap of writes, leader killed", ms, n);
  free(ms);
}

/* ---- Searching ---- */

struct faults_caller {
  struct faults *f;
  pthread_t thread;
  double every_s; /* between two searches; 0: none */
  uint32_t timeout_ms;
  double *ms; /* of those answered */
  size_t n, failed;
};

static void *faults_searcher(void *arg) {
  struct faults_caller *c = arg;
  double due = faults_clock();
  for (int64_t i = 0; !c->f->stop && c->n < FAULTS_SAMPLES; i++) {
    const float query[RIG_DIM] = {sinf((float)i), sinf(2 * (float)i), sinf(3 * (float)i), 0};
    vecdb_search_params p = VECDB_SEARCH_PARAMS_INIT;
    vecdb_client_call call = VECDB_CLIENT_CALL_INIT;
    vecdb_client_answer *answer = NULL;
    p.k = 10;
    p.queries = query;
    p.n_queries = 1;
    call.timeout_ms = c->timeout_ms;
    double began = faults_clock();
    if (began < due)
      faults_sleep(due - began);
    due += c->every_s;
    began = faults_clock();
    int code = vecdb_client_search(c->f->rig.client, "rows", &p, &call, &answer, NULL);
    if (code || vecdb_client_answer_rows(answer, 0) != 10)
      c->failed++;
    else
      c->ms[c->n++] = 1000 * (faults_clock() - began);
    vecdb_client_answer_free(answer);
  }
  return NULL;
}

/* Searches of some callers, until `during` returns; the first caller has all their times. */
static void faults_searches(struct faults *f, struct faults_caller *callers, int n,
                            void (*during)(struct faults *f, size_t n), size_t arg) {
  f->stop = false;
  for (int i = 0; i < n; i++) {
    callers[i].f = f;
    callers[i].n = callers[i].failed = 0;
    callers[i].ms = calloc(FAULTS_SAMPLES, sizeof(double));
    assert_int_equal(pthread_create(&callers[i].thread, NULL, faults_searcher, &callers[i]), 0);
  }
  during(f, arg);
  f->stop = true;
  for (int i = 0; i < n; i++)
    pthread_join(callers[i].thread, NULL);
  for (int i = 1; i < n; i++) {
    for (size_t k = 0; k < callers[i].n && callers->n < FAULTS_SAMPLES; k++)
      callers->ms[callers->n++] = callers[i].ms[k];
    callers->failed += callers[i].failed;
    free(callers[i].ms);
  }
}

static void faults_quiet(struct faults *f, size_t seconds) {
  (void)f;
  faults_sleep((double)seconds);
}

/* By turns killed and stopped, two seconds each, and two without a fault after it. */
static void faults_some(struct faults *f, size_t n) {
  for (size_t i = 0; i < n; i++) {
    int node = 1 + (int)(i / 2) % 3;
    faults_begin(f, node, i % 2);
    faults_sleep(2);
    faults_end(f, node, i % 2);
    faults_sleep(2);
    rig_whole(&f->rig, &f->ctl);
  }
}

static void faults_search(struct faults *f, size_t n) {
  static struct faults_caller callers[4];
  for (int faulty = 0; faulty < 2; faulty++) {
    for (int i = 0; i < 4; i++)
      callers[i] = (struct faults_caller){.every_s = .02, .timeout_ms = 10000};
    faults_searches(f, callers, 4, faulty ? faults_some : faults_quiet, faulty ? n : 8);
    faults_print(faulty ? "searches during faults" : "searches without faults", callers->ms,
                 callers->n);
    printf("  failed: %zu\n", callers->failed);
    free(callers->ms);
  }
}

static double faults_rate(struct faults *f, int callers, double *failed) {
  static struct faults_caller all[FAULTS_CALLERS];
  for (int i = 0; i < callers; i++)
    all[i] = (struct faults_caller){.timeout_ms = 1000};
  faults_searches(f, all, callers, faults_quiet, 3);
  qsort(all->ms, all->n, sizeof *all->ms, faults_order);
  double rate = (double)all->n / 3;
  *failed = (double)all->failed / 3;
  printf("%3d callers: %.0f answered a second, %.0f not; p50 %.1f ms, p99 %.1f ms\n", callers, rate,
         *failed, faults_at(all->ms, all->n, .5), faults_at(all->ms, all->n, .99));
  free(all->ms);
  return rate;
}

static void faults_overload(struct faults *f) {
  double peak = 0, failed;
  int best = 1;
  for (int callers = 1; callers <= FAULTS_CALLERS / 3; callers *= 2) {
    double rate = faults_rate(f, callers, &failed);
    best = rate > peak ? callers : best;
    peak = rate > peak ? rate : peak;
  }
  double rate = faults_rate(f, 3 * best, &failed);
  printf("three times the callers of the peak: %.0f %% of it\n", 100 * rate / peak);
}

/* ---- Lag ---- */

static int64_t faults_local(struct faults *f, int64_t id) {
  static const char *const names[] = {"version"};
  const vecdb_client_fields fields = {names, 1};
  const vecdb_keys keys = {&id, NULL, 1};
  vecdb_client_answer *answer = NULL;
  int64_t version = -1;
  if (vecdb_client_get(f->rig.client, "rows", &keys, &fields, NULL, &answer, NULL))
    return version;
  if (vecdb_client_answer_found(answer, 0))
    version = vecdb_client_answer_value(answer, 0, 0, "version").as.integer;
  vecdb_client_answer_free(answer);
  return version;
}

/* For 300 ms after a write reads at level local go to any replica; the last that missed it tells.
 */
static void faults_lag(struct faults *f, size_t n) {
  double *ms = calloc(n, sizeof *ms);
  for (size_t i = 0; i < n; i++) {
    int64_t version = (int64_t)i + 1;
    while (!faults_write(f, 7, 1, version))
      continue;
    double acked = faults_clock();
    for (double began = acked; began < acked + .3; began = faults_clock())
      if (faults_local(f, 7) < version)
        ms[i] = 1000 * (faults_clock() - acked);
  }
  faults_print("until no replica misses an acknowledged write", ms, n);
  free(ms);
}

/* ---- Without the metadata store ---- */

static void *faults_reader(void *arg) {
  static const char *const names[] = {"version"};
  const vecdb_client_fields fields = {names, 1};
  struct faults *f = arg;
  for (int64_t id = 0; !f->stop; id = (id + 7) % FAULTS_KEYS) {
    const vecdb_keys keys = {&id, NULL, 1};
    vecdb_client_call call = VECDB_CLIENT_CALL_INIT;
    vecdb_client_answer *answer = NULL;
    call.level = VECDB_CLIENT_STRONG;
    int code = vecdb_client_get(f->rig.client, "rows", &keys, &fields, &call, &answer, NULL);
    bool there = !code && vecdb_client_answer_found(answer, 0);
    f->reads += there;
    f->unread += !there;
    vecdb_client_answer_free(answer);
    faults_sleep(.01);
  }
  return NULL;
}

/* How far the last split of a shard is. */
static enum doc_split_step faults_split_step(struct faults *f, uint32_t shard) {
  const struct cache_view *view = ctl_view(&f->ctl);
  const struct doc_split *split = cache_doc(view, DOC_PATH_SPLIT, RIG_COLLECTION, shard);
  enum doc_split_step step = split ? split->step : DOC_SPLIT_PLANNED;
  cache_give(view);
  return step;
}

static void faults_quorum(struct faults *f, bool there) {
  for (int i = 0; i < 2; i++)
    kill(f->rig.etcd.pid[i], there ? SIGCONT : SIGSTOP);
}

/* A shard's rows are about to change hands, and then those of another have just done so. */
static void faults_outages(struct faults *f, size_t seconds) {
  static const enum doc_split_step steps[] = {DOC_SPLIT_RELEASING, DOC_SPLIT_DONE};
  for (uint32_t shard = 0; shard < 2; shard++) {
    while (!rig_split(&f->ctl, shard))
      ctl_turn(&f->ctl, ctl_now(&f->ctl) + 20000);
    while (faults_split_step(f, shard) < steps[shard])
      ctl_turn(&f->ctl, ctl_now(&f->ctl) + 1000);
    printf("etcd goes when a split is %s\n", doc_split_step_name(faults_split_step(f, shard)));
    faults_quorum(f, false);
    faults_sleep((double)seconds);
    faults_quorum(f, true);
    rig_whole(&f->rig, &f->ctl);
    printf("and it is %s when all is well again\n",
           doc_split_step_name(faults_split_step(f, shard)));
  }
}

static void faults_away(struct faults *f, size_t seconds) {
  static struct faults_caller caller;
  pthread_t writer, reader;
  rig_whole(&f->rig, &f->ctl);
  f->write_every_s = .005;
  caller = (struct faults_caller){.every_s = .01, .timeout_ms = 10000};
  f->last_write = faults_clock();
  assert_int_equal(pthread_create(&writer, NULL, faults_writer, f), 0);
  assert_int_equal(pthread_create(&reader, NULL, faults_reader, f), 0);
  faults_searches(f, &caller, 1, faults_outages, seconds);
  pthread_join(writer, NULL);
  pthread_join(reader, NULL);
  printf("etcd without quorum, twice for %zu s: %u writes, %u failed, longest gap %.0f ms; "
         "%u strong reads, %u failed; %zu searches, %zu failed\n",
         seconds, f->writes, f->refused, 1000 * f->worst_gap, f->reads, f->unread, caller.n,
         caller.failed);
  faults_print("searches", caller.ms, caller.n);
  free(caller.ms);
}

int main(int argc, char **argv) {
  static struct faults f;
  fault_node_main(argc, argv);
  const char *mode = argc == 3 ? argv[1] : "";
  size_t n = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
  bool gaps = !strcmp(mode, "crash") || !strcmp(mode, "hang");
  if (!n || (!gaps && strcmp(mode, "search") != 0 && strcmp(mode, "lag") != 0 &&
             strcmp(mode, "overload") != 0 && strcmp(mode, "away") != 0)) {
    fprintf(stderr, "usage: faults crash|hang|search|lag|overload|away N\n");
    return 2;
  }
  faults_open(&f, *mode == 'a' ? 3 : 1);
  if (gaps)
    faults_gaps(&f, n, *mode == 'h');
  else if (*mode == 's')
    faults_search(&f, n);
  else if (*mode == 'l')
    faults_lag(&f, n);
  else if (*mode == 'a')
    faults_away(&f, n);
  else
    faults_overload(&f);
  faults_close(&f);
  return 0;
}
