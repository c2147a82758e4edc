/*
 * test_chaos.c - four nodes and three etcd members as processes, with TLS, and a client that writes
 * and reads while they are killed, stopped, cut off, slowed down and moved about: no acknowledged
 * write is lost, no strong read is older than what was acknowledged or read before it, and in the
 * end all replicas hold the same rows. VDB_N faults, 20 unless given, VDB_SEED their order. Some
 * go together. Skipped where etcd is not installed.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "cluster/faultrig.h"
#include "ctl/session.h"
#include "replica/types.h"
#include "tlib/thorough.h"

enum { CHAOS_KEYS = 60, CHAOS_BATCH = 4, CHAOS_SHORT = TEST_SIZES(20, 8, 4), CHAOS_LIMIT_S = 300 };

struct chaos {
  struct rig rig;
  struct ctl ctl;
  uint64_t random;
  _Atomic int64_t tried[CHAOS_KEYS], acked[CHAOS_KEYS];
  int64_t seen[CHAOS_KEYS]; /* by strong reads, of one thread */
  atomic_uint writes, failed, reads, unread, stale;
  atomic_bool stop;
};

/* ---- Writing and reading ---- */

static bool chaos_write(struct chaos *c, int64_t first) {
  int64_t ids[CHAOS_BATCH], versions[CHAOS_BATCH];
  float vectors[RIG_DIM * CHAOS_BATCH] = {0};
  vecdb_batch batch = VECDB_BATCH_INIT;
  vecdb_error err = {0};
  const vecdb_column columns[] = {{.field = "id", .data = ids},
                                  {.field = "version", .data = versions},
                                  {.field = "v", .data = vectors, .dim = RIG_DIM}};
  for (int64_t i = 0; i < CHAOS_BATCH; i++) {
    ids[i] = (first + i) % CHAOS_KEYS;
    versions[i] = ++c->tried[ids[i]];
    vectors[RIG_DIM * i] = (float)versions[i];
  }
  batch.columns = columns;
  batch.n_columns = 3;
  batch.n_rows = CHAOS_BATCH;
  if (vecdb_client_upsert(c->rig.client, "rows", &batch, NULL, &err)) {
    fault_node_say("no answer to the write of %lld: %s", (long long)first, err.message);
    return false;
  }
  for (int i = 0; i < CHAOS_BATCH; i++)
    c->acked[ids[i]] = versions[i];
  return true;
}

static void *chaos_writer(void *arg) {
  struct chaos *c = arg;
  for (int64_t at = 0; !c->stop; at = (at + CHAOS_BATCH) % CHAOS_KEYS) {
    bool ok = chaos_write(c, at);
    c->writes += ok;
    c->failed += !ok;
  }
  return NULL;
}

/*
 * A strong read of one key; false: no answer. A key is written by one thread, each time with the
 * next version, so histories are linearizable if each read has at least what was acknowledged or
 * read before it began, and nothing that was not written before it ended.
 */
static bool chaos_read(struct chaos *c, int64_t id) {
  static const char *const names[] = {"version"};
  const vecdb_client_fields fields = {names, 1};
  const vecdb_keys keys = {&id, NULL, 1};
  vecdb_client_call call = VECDB_CLIENT_CALL_INIT;
  vecdb_client_answer *answer = NULL;
  vecdb_error err = {0};
  int64_t acked = c->acked[id], least = acked > c->seen[id] ? acked : c->seen[id], version = 0;
  call.level = VECDB_CLIENT_STRONG;
  if (vecdb_client_get(c->rig.client, "rows", &keys, &fields, &call, &answer, &err)) {
    fault_node_say("no answer to the read of %lld: %s", (long long)id, err.message);
    return false;
  }
  if (vecdb_client_answer_found(answer, 0))
    version = vecdb_client_answer_value(answer, 0, 0, "version").as.integer;
  vecdb_client_answer_free(answer);
  c->stale += version < least || version > c->tried[id];
  c->seen[id] = version;
  return true;
}

static void *chaos_reader(void *arg) {
  const struct timespec pace = {0, 5000000};
  struct chaos *c = arg;
  for (int64_t id = 0; !c->stop; id = (id + 7) % CHAOS_KEYS) {
    bool ok = chaos_read(c, id);
    c->reads += ok;
    c->unread += !ok;
    nanosleep(&pace, NULL); /* a load, not all that the machine could bear */
  }
  return NULL;
}

/* ---- Faults: begun, or (on false) ended ---- */

static int chaos_below(struct chaos *c, int n) {
  c->random = rep_mix(c->random, 1);
  return (int)(c->random % (unsigned)n);
}

static void chaos_kill(struct chaos *c, int node, bool on) {
  if (on)
    rig_node_kill(&c->rig, node);
  else
    rig_node_start(&c->rig, node);
}

static void chaos_stop(struct chaos *c, int node, bool on) {
  rig_node_signal(&c->rig, node, on ? SIGSTOP : SIGCONT);
}

static void chaos_kill_all(struct chaos *c, int node, bool on) {
  (void)node;
  for (int i = 1; on && i <= c->rig.config.nodes; i++)
    rig_node_kill(&c->rig, i);
  for (int i = 1; on && i <= c->rig.config.nodes; i++)
    rig_node_start(&c->rig, i);
}

/* What the node says to the ends from `first` to `last`, and what they say to it. */
static void chaos_cut(struct chaos *c, int node, int first, int last, bool out, bool in, bool on) {
  for (int end = first; end <= last; end++) {
    if (out)
      rig_hold(&c->rig, node, end, on);
    if (in)
      rig_hold(&c->rig, end, node, on);
  }
}

static void chaos_cut_off(struct chaos *c, int node, bool on) {
  chaos_cut(c, node, 0, FAULT_ENDS - 1, true, true, on);
}

/* Clients and etcd reach it, so that it could still believe that it leads. */
static void chaos_cut_peers(struct chaos *c, int node, bool on) {
  chaos_cut(c, node, 1, RIG_NODES, true, true, on);
}

static void chaos_cut_etcd(struct chaos *c, int node, bool on) {
  chaos_cut(c, node, RIG_ETCD_END, FAULT_ENDS - 1, true, true, on);
}

static void chaos_mute(struct chaos *c, int node, bool on) {
  chaos_cut(c, node, 1, FAULT_ENDS - 1, true, false, on);
}

static void chaos_deaf(struct chaos *c, int node, bool on) {
  chaos_cut(c, node, 1, FAULT_ENDS - 1, false, true, on);
}

/* Two nodes do not see each other; all others see both. */
static void chaos_bridge(struct chaos *c, int node, bool on) {
  int other = node % c->rig.config.nodes + 1;
  chaos_cut(c, node, other, other, true, true, on);
}

static void chaos_full(struct chaos *c, int node, bool on) { c->rig.switches[node]->full = on; }

static void chaos_slow_disk(struct chaos *c, int node, bool on) {
  c->rig.switches[node]->sync_ms = on ? 50 : 0;
}

static void chaos_slow_link(struct chaos *c, int node, bool on) {
  for (int end = 1; end < FAULT_ENDS; end++) {
    fault_proxy_delay(c->rig.proxy, node, end, on ? 20 : 0);
    fault_proxy_delay(c->rig.proxy, end, node, on ? 20 : 0);
  }
}

static void chaos_clock(struct chaos *c, int node, bool on) {
  c->rig.switches[node]->clock_s = !on ? 0 : chaos_below(c, 2) ? 3600 : -3600;
}

static void chaos_etcd_member(struct chaos *c, int node, bool on) {
  int member = node % ET_MEMBERS;
  if (on)
    rig_etcd_kill(&c->rig, member);
  else
    rig_etcd_start(&c->rig, member);
}

static void chaos_etcd_quorum(struct chaos *c, int node, bool on) {
  for (int i = 0; i < 2; i++)
    kill(c->rig.etcd.pid[(node + i) % ET_MEMBERS], on ? SIGSTOP : SIGCONT);
}

/* A replica is begun to be moved to the node that has none; nobody waits for it. */
static void chaos_move(struct chaos *c, int node, bool on) {
  if (on)
    rig_move(&c->ctl, &c->rig, (uint32_t)node % c->rig.config.shards);
}

/* A shard is begun to be split, if all nodes are there; it is over before the next one begins. */
static void chaos_split(struct chaos *c, int node, bool on) {
  if (on)
    rig_split(&c->ctl, (uint32_t)node % c->rig.config.shards);
  while (!on && !rig_shards(&c->ctl))
    ctl_turn(&c->ctl, ctl_now(&c->ctl) + 20000);
}

struct chaos_fault {
  const char *name;
  void (*set)(struct chaos *c, int node, bool on);
};

/* One of these at a time, until writes go on: each takes a node away, or what a failover needs. */
static const struct chaos_fault chaos_hard[] = {
    {"kill", chaos_kill},
    {"stop", chaos_stop},
    {"cut off", chaos_cut_off},
    {"cut from nodes", chaos_cut_peers},
    {"mute", chaos_mute},
    {"deaf", chaos_deaf},
    {"bridge", chaos_bridge},
    {"disk full", chaos_full},
    {"etcd without quorum", chaos_etcd_quorum},
    {"all killed", chaos_kill_all},
    {"cut from etcd", chaos_cut_etcd},
};
/* And one of these beside it, left behind for the next. */
static const struct chaos_fault chaos_mild[] = {
    {"shard moves", chaos_move},
    {"shard splits", chaos_split},
    {"slow links", chaos_slow_link},
    {"slow disk", chaos_slow_disk},
    {"clock leaps", chaos_clock},
    {"etcd member killed", chaos_etcd_member},
};
enum {
  CHAOS_HARD = sizeof chaos_hard / sizeof *chaos_hard,
  CHAOS_MILD = sizeof chaos_mild / sizeof *chaos_mild
};

/* Until so many writes more were acknowledged; moves go on meanwhile. */
static void chaos_await(struct chaos *c, unsigned more) {
  unsigned until = c->writes + more;
  size_t steps, open;
  while (c->writes < until) {
    ctl_turn(&c->ctl, ctl_now(&c->ctl) + 20000);
    (void)ctl_drive(&c->ctl, &steps, &open); /* without etcd it is tried again */
  }
}

/* Half of the time who leads something, as far as is known. */
static int chaos_victim(struct chaos *c) {
  struct rig_shard s;
  rig_shard(&c->ctl, (uint32_t)chaos_below(c, (int)c->rig.config.shards), &s);
  return chaos_below(c, 2) ? (int)s.primary : 1 + chaos_below(c, c->rig.config.nodes);
}

/* All kinds of a table by turns; where they begin, and at whom, is random. */
static void chaos_faults(struct chaos *c, int faults, unsigned step) {
  int first = chaos_below(c, CHAOS_HARD * CHAOS_MILD), last_node = 1;
  const struct chaos_fault *last = NULL;
  for (int i = 0; i < faults / 2; i++) {
    const struct chaos_fault *hard = &chaos_hard[(first + i) % CHAOS_HARD];
    int node = chaos_victim(c);
    if (last)
      last->set(c, last_node, false);
    last = &chaos_mild[(first + i) % CHAOS_MILD];
    last_node = chaos_victim(c);
    if (hard->set == chaos_etcd_quorum && last->set == chaos_etcd_member)
      last = chaos_mild; /* the third member is the last one */
    fault_node_say("%s, node %d, %u writes so far", last->name, last_node, c->writes);
    last->set(c, last_node, true);
    chaos_await(c, step);
    fault_node_say("%s, node %d, %u writes so far", hard->name, node, c->writes);
    hard->set(c, node, true);
    chaos_await(c, step);
    hard->set(c, node, false);
  }
  if (last)
    last->set(c, last_node, false);
}

/* ---- All of it ---- */

static void chaos_check(struct chaos *c) {
  for (int64_t id = 0; id < CHAOS_KEYS; id++)
    while (!chaos_read(c, id))
      continue;
  rig_whole(&c->rig, &c->ctl);
  for (uint32_t i = 0; i < c->rig.config.shards; i++)
    assert_true(rig_same(&c->rig, &c->ctl, i));
}

static void test_faults(void **state) {
  (void)state;
  static struct chaos c;
  static const struct rig_config config = {4, 2, 3, 2, true};
  pthread_t writer, reader;
  int faults = getenv("VDB_N") ? atoi(getenv("VDB_N")) : CHAOS_SHORT;
  unsigned step = faults > CHAOS_SHORT ? 40 : 8;
  alarm(CHAOS_LIMIT_S + 20 * (unsigned)faults);
  c.random = getenv("VDB_SEED") ? strtoull(getenv("VDB_SEED"), NULL, 10) : 1;
  rig_start(&c.rig, &config);
  rig_ctl_open(&c.rig, &c.ctl);
  assert_int_equal(pthread_create(&writer, NULL, chaos_writer, &c), 0);
  assert_int_equal(pthread_create(&reader, NULL, chaos_reader, &c), 0);
  chaos_await(&c, step);
  chaos_faults(&c, faults, step);
  chaos_await(&c, step);
  c.stop = true;
  pthread_join(writer, NULL);
  pthread_join(reader, NULL);
  chaos_check(&c);
  printf("%d faults, %u batches acknowledged, %u not, %u strong reads, %u without an answer\n",
         faults, c.writes, c.failed, c.reads, c.unread);
  ctl_close(&c.ctl);
  rig_end(&c.rig);
  assert_int_equal(c.stale, 0);
}

int main(int argc, char **argv) {
  fault_node_main(argc, argv);
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_faults)};
  if (!et_installed()) {
    printf("skipped: etcd is not installed\n");
    return 0;
  }
  return cmocka_run_group_tests(tests, NULL, NULL);
}
