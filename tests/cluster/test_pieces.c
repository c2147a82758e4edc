/*
 * test_pieces.c - a snapshot on its way to another replica: how many pieces are under way, and
 * which are sent again.
 */
#include <stdio.h>

#include "rephost.h"

/* Node 3, a learner that needs all, says which piece it wants next. */
static void test_wants(uint32_t index) {
  struct rep_msg *m = test_from(3, REP_PIECED);
  m->snapshot = 7;
  m->index = index;
  test.n_pieces = 0;
  test_message(m);
}

static void test_sent(uint32_t first, uint32_t n) {
  assert_int_equal(test.n_pieces, n);
  for (uint32_t i = 0; i < n; i++)
    assert_int_equal(test.pieces[i], first + i);
}

static void test_begin(void) {
  test_lead();
  struct rep_msg *m = test_from(3, REP_PROBED);
  m->flags = REP_FLAG_BROKEN;
  test.n_pieces = 0;
  test_message(m);
  test_sent(0, REP_PIECES);
}

static void test_window(void **state) {
  (void)state;
  test_begin();
  test_wants(1);
  test_sent(8, 1);
  test_wants(4);
  test_sent(9, 3);
  test_wants(4); /* it had one of them already, or one was lost */
  test_sent(0, 0);
  test_wants(2); /* late */
  test_sent(0, 0);
  test_wants(11);
  test_sent(12, 7);
  test_wants(19);
  test_sent(19, 1);
  test_wants(TEST_PIECES);
  test_sent(0, 0);
  const struct rep_peer *p = rep_peer_of(test.rep, 3);
  assert_true(p->state == PEER_STREAM && p->known == 1 && !p->broken);
  rep_close(test.rep);
}

/* What was not answered for a while is sent again, from what is wanted on. */
static void test_lost(void **state) {
  (void)state;
  test_begin();
  test_wants(3);
  test.n_pieces = 0;
  test_tick();
  test_sent(0, 0);
  test.rep->now += test.rep->o.retry_ms;
  test_tick();
  test_sent(3, REP_PIECES);
  test_wants(11);
  test_sent(11, REP_PIECES);
  rep_close(test.rep);
}

/* Who has begun anew, after a crash and by a late first piece, is given all of it again. */
static void test_anew(void **state) {
  (void)state;
  test_begin();
  test_wants(7);
  test_wants(1);
  test_sent(0, 0);
  test.rep->now += test.rep->o.retry_ms;
  test_tick();
  test_sent(1, REP_PIECES);
  rep_close(test.rep);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_window), cmocka_unit_test(test_lost),
                                     cmocka_unit_test(test_anew)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
