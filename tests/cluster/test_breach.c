/*
 * test_breach.c - the invariants of replication, each broken once, as a bug, a wrong disk or a bug
 * of another node would: the replica stops, says which one it was, and says nothing else any more.
 * `make breach-test` builds it once more as a release is built, with NDEBUG, without assertions.
 */
#include <stdio.h>

#include "rephost.h"

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
