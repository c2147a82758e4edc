/*
 * test_breach.c - the invariants of replication, each broken once, as a bug, a wrong disk or a bug
 * of another node would: the replica stops, says which one it was, and says nothing else any more.
 * `make breach-test` builds it once more as a release is built, with NDEBUG, without assertions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "replica/state.h"

enum { TEST_LOG = 16 };

/* A host whose log and data are arrays, and whose disk does as it is told. */
static struct test_host {
  struct rep *rep;
  struct rep_entry log[TEST_LOG]; /* [seq] */
  uint8_t bodies[TEST_LOG][8];
  uint64_t last;
  struct rep_pos applied;
  uint64_t durable; /* of the data */
  uint64_t lie;     /* added to what the data says it has applied */
  bool wants_sync;
  uint32_t sent, stops, answers;
  enum rep_result result;
  enum rep_reason why;
} test;

/* ---- store ---- */

static void test_load(void *arg, struct rep_found *found) {
  (void)arg;
  memset(found, 0, sizeof *found);
}

static enum rep_status test_append(void *arg, const struct rep_entry *e) {
  (void)arg;
  assert_true(e->pos.seq == test.last + 1 && e->pos.seq < TEST_LOG && e->n <= 8);
  test.log[++test.last] = *e;
  if (e->n)
    memcpy(test.bodies[test.last], e->body, e->n);
  test.log[test.last].body = test.bodies[test.last];
  return REP_OK;
}

static enum rep_status test_cut(void *arg, uint64_t after) {
  (void)arg;
  test.last = after;
  return REP_OK;
}

static enum rep_status test_save(void *arg, const struct rep_state *state) {
  (void)arg;
  (void)state;
  return REP_OK;
}

static enum rep_status test_reset(void *arg, const struct rep_pos *base, uint64_t after) {
  (void)arg;
  (void)base;
  (void)after;
  return REP_FAILED;
}

static enum rep_status test_trim(void *arg, const struct rep_pos *base) {
  (void)arg;
  (void)base;
  return REP_FAILED;
}

static bool test_read(void *arg, uint64_t seq, struct rep_entry *out) {
  (void)arg;
  if (!seq || seq > test.last)
    return false;
  *out = test.log[seq];
  return true;
}

/* ---- machine ---- */

static struct rep_pos test_pos(void *arg) {
  (void)arg;
  struct rep_pos pos = test.applied;
  pos.seq += test.lie;
  return pos;
}

static uint64_t test_durable(void *arg) {
  (void)arg;
  return test.durable;
}

static enum rep_applied test_apply(void *arg, const struct rep_entry *e) {
  (void)arg;
  test.applied = e->pos;
  return REP_APPLIED;
}

static bool test_seen(void *arg, struct rep_op op) {
  (void)arg;
  (void)op;
  return false;
}

static uint64_t test_digest(void *arg) {
  (void)arg;
  return 1;
}

static bool test_open(void *arg, struct rep_snapshot *out) {
  (void)arg;
  (void)out;
  return false;
}

/* ---- host ---- */

static void test_send(void *arg, const struct rep_msg *m) {
  (void)arg;
  (void)m;
  test.sent++;
}

static void test_sync(void *arg) {
  (void)arg;
  test.wants_sync = true;
}

static void test_txn(void *arg, const struct rep_txn *t) {
  (void)arg;
  (void)t;
}

static void test_refresh(void *arg) { (void)arg; }

static void test_answer(void *arg, const struct rep_answer *a) {
  (void)arg;
  test.answers++;
  test.result = a->result;
}

static void test_diverged(void *arg, uint32_t node, uint64_t seq) {
  (void)arg;
  (void)node;
  (void)seq;
}

static void test_stopped(void *arg, enum rep_reason why) {
  (void)arg;
  test.stops++;
  test.why = why;
}

static void *test_get(void *arg, size_t n) {
  (void)arg;
  return calloc(1, n);
}

static void test_put(void *arg, void *block) {
  (void)arg;
  free(block);
}

/* ---- driving ---- */

static void test_step(struct rep_event ev) {
  rep_step(test.rep, test.rep->now + 1, &ev);
  while (test.wants_sync) {
    struct rep_event synced = {.type = REP_EV_SYNCED, .ok = true};
    test.wants_sync = false;
    rep_step(test.rep, test.rep->now + 1, &synced);
  }
}

static void test_tick(void) { test_step((struct rep_event){.type = REP_EV_TICK}); }

static void test_message(struct rep_msg *m) {
  m->shard = 1;
  m->to = test.rep->o.node;
  test_step((struct rep_event){.type = REP_EV_MESSAGE, .msg = m});
}

static struct rep_config test_config(uint64_t rev, uint64_t epoch) {
  return (struct rep_config){.rev = rev,
                             .epoch = epoch,
                             .min_isr = 2,
                             .n_isr = 2,
                             .n_learners = 1,
                             .isr = {{1, {1, 1}}, {2, {2, 2}}},
                             .learners = {3}};
}

static void test_tell(struct rep_config c) {
  test_step((struct rep_event){.type = REP_EV_CONFIG, .config = &c});
}

static void test_start(uint32_t node) {
  struct rep_options o;
  rep_options_default(&o);
  o.shard = 1;
  o.node = node;
  o.store = (struct rep_uuid){node, node};
  o.life = 1;
  const struct rep_alloc alloc = {NULL, test_get, test_put};
  const struct rep_host host = {NULL,         test_send,   test_sync,     test_txn,
                                test_refresh, test_answer, test_diverged, test_stopped};
  const struct rep_store store = {NULL,      test_load,  test_append, test_cut,
                                  test_save, test_reset, test_trim,   test_read};
  const struct rep_machine machine = {.pos = test_pos,
                                      .durable = test_durable,
                                      .apply = test_apply,
                                      .seen = test_seen,
                                      .digest = test_digest,
                                      .open = test_open};
  memset(&test, 0, sizeof test);
  test.rep = rep_open(&o, &alloc, &host, &store, &machine, 1000);
  assert_non_null(test.rep);
  test_tell(test_config(10, 1));
}

static struct rep_msg *test_from(uint32_t node, enum rep_type type) {
  static struct rep_msg m;
  memset(&m, 0, sizeof m);
  m.type = type;
  m.from = node;
  m.epoch = 1;
  m.rev = 10;
  m.store = (struct rep_uuid){node, node};
  return &m;
}

/* Node 1 leads; its first entry is committed. */
static void test_lead(void) {
  test_start(1);
  struct rep_msg *m = test_from(2, REP_PROBED);
  m->n_epochs = 1;
  test_message(m);
  m = test_from(2, REP_ACK);
  m->prev.seq = 1;
  test_message(m);
  assert_true(test.rep->serving && test.rep->commit == 1 && !test.stops);
}

/* Node 2 follows, and has an entry of node 1 that is not committed. */
static void test_follow(void) {
  test_start(2);
  struct rep_msg *m = test_from(1, REP_APPEND);
  m->primary = 1;
  m->n_entries = 1;
  m->entries[0] = (struct rep_entry){.pos = {1, 1, 0}};
  m->entries[0].pos.chain = rep_chain(0, &m->entries[0]);
  test_message(m);
  assert_true(test.last == 1 && !test.stops);
}

/* It has stopped for this reason, and that was the last that it said. */
static void test_over(enum rep_reason why, const char *begins) {
  struct rep_info info;
  rep_info(test.rep, &info);
  assert_int_equal(test.stops, 1);
  assert_int_equal(test.why, why);
  assert_true(info.role == REP_STOPPED && info.why == why && !info.serving);
  const char *text = rep_reason_text(why);
  assert_true(strncmp(text, begins, strlen(begins)) == 0 && text[strlen(begins)] == ':');
  uint32_t sent = test.sent, answers = test.answers;
  uint8_t body[8] = {0};
  test_tick();
  test_tell(test_config(20, 2));
  test_message(test_from(2, REP_ACK));
  test_step((struct rep_event){.type = REP_EV_WRITE, .op = {1, 1}, .data = body, .n = 8});
  assert_true(test.sent == sent && test.stops == 1);
  assert_true(test.answers == answers + 1 && test.result == REP_UNAVAILABLE);
  rep_close(test.rep);
}

/* ---- the breaches ---- */

static void test_promise(void **state) {
  (void)state;
  test_follow();
  test.rep->state.promised--;
  test_tick();
  test_over(REP_WHY_I1, "I1");
}

static void test_two_primaries(void **state) {
  (void)state;
  test_lead();
  test_message(test_from(2, REP_PROBE)); /* of the epoch that node 1 leads */
  test_over(REP_WHY_I2, "I2");
}

static void test_leads_another(void **state) {
  (void)state;
  test_lead();
  test.rep->epoch++;
  test_tick();
  test_over(REP_WHY_I2, "I2");
}

static void test_not_everywhere(void **state) {
  (void)state;
  test_lead();
  uint8_t body[8] = {0};
  test_step((struct rep_event){.type = REP_EV_WRITE, .op = {1, 1}, .data = body, .n = 8});
  assert_true(test.rep->commit == 1 && test.answers == 0);
  test.rep->commit = 2; /* node 2 has not acknowledged it */
  test_tick();
  assert_int_equal(test.answers, 1); /* the write is not known to have happened */
  assert_int_equal(test.result, REP_UNKNOWN);
  test_over(REP_WHY_I3, "I3");
}

static void test_other_entry(void **state) {
  (void)state;
  test_follow();
  struct rep_msg *m = test_from(1, REP_APPEND);
  m->primary = 1;
  m->n_entries = 1;
  m->entries[0] = (struct rep_entry){.pos = {1, 1, 0}, .kind = REP_DATA};
  m->entries[0].pos.chain = rep_chain(0, &m->entries[0]);
  test_message(m);
  assert_int_equal(test.last, 1);
  test_over(REP_WHY_I4, "I4");
}

static void test_cut_committed(void **state) {
  (void)state;
  test_lead();
  assert_false(rep_journal_cut(test.rep, 0));
  assert_int_equal(test.last, 1);
  test_over(REP_WHY_I5, "I5");
}

static void test_applied_early(void **state) {
  (void)state;
  test_follow();
  test.lie = 1;
  test_tick();
  test_over(REP_WHY_I6, "I6");
}

static void test_durable_early(void **state) {
  (void)state;
  test_follow();
  test.durable = 1;
  test_tick();
  test_over(REP_WHY_I7, "I7");
}

static void test_bad_record(void **state) {
  (void)state;
  test_lead();
  struct rep_config c = test_config(11, 1);
  c.isr[1].node = 1;
  test_tell(c);
  test_over(REP_WHY_I8, "I8");
}

static void test_old_record(void **state) {
  (void)state;
  test_follow();
  test.rep->config.rev--;
  test_tick();
  test_over(REP_WHY_I9, "I9");
}

static void test_growing(void **state) {
  (void)state;
  test_lead();
  uint8_t body[8] = {0};
  test_step((struct rep_event){.type = REP_EV_WRITE, .op = {1, 1}, .data = body, .n = 8});
  struct rep_config c = test_config(10, 1);
  c.isr[c.n_isr++] = (struct rep_member){3, {3, 3}};
  c.n_learners = 0;
  test.rep->have_txn = true;
  test.rep->txn = (struct rep_txn){.kind = REP_GROW, .rev = 10, .config = c};
  test.rep->txn_sent = test.rep->now;
  rep_peer_of(test.rep, 2)->match = 2; /* as of an ACK; node 3, which grows, has nothing */
  test.rep->commit = 2;
  test_tick();
  test_over(REP_WHY_I10, "I10");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_promise),        cmocka_unit_test(test_two_primaries),
      cmocka_unit_test(test_leads_another),  cmocka_unit_test(test_not_everywhere),
      cmocka_unit_test(test_other_entry),    cmocka_unit_test(test_cut_committed),
      cmocka_unit_test(test_applied_early),  cmocka_unit_test(test_durable_early),
      cmocka_unit_test(test_bad_record),     cmocka_unit_test(test_old_record),
      cmocka_unit_test(test_growing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
