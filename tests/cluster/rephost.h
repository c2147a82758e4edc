/*
 * rephost.h - a host for one replica whose log and data are arrays, for tests that step it by hand:
 * what it sends is counted and the last of it kept, its disk syncs at once.
 */
#ifndef TESTS_CLUSTER_REPHOST_H
#define TESTS_CLUSTER_REPHOST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "replica/state.h"

enum { TEST_LOG = 16, TEST_PIECES = 20 /* of a snapshot */ };

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
  uint32_t pieces[64], n_pieces; /* indexes of those sent since it was set to 0 */
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

static bool test_digest(void *arg, uint64_t *seq, uint64_t *digest) {
  (void)arg;
  *seq = *digest = 0;
  return false;
}

static bool test_open(void *arg, struct rep_snapshot *out) {
  (void)arg;
  *out = (struct rep_snapshot){.id = 7, .pos = test.applied, .count = TEST_PIECES};
  return true;
}

static bool test_piece(void *arg, const struct rep_snapshot *s, uint32_t i, uint8_t *out,
                       uint32_t *n) {
  (void)arg;
  assert_true(i < s->count);
  *out = (uint8_t)i;
  *n = 1;
  return true;
}

static void test_close(void *arg, struct rep_snapshot *s) {
  (void)arg;
  (void)s;
}

/* ---- host ---- */

static void test_send(void *arg, const struct rep_msg *m) {
  (void)arg;
  test.sent++;
  if (m->type == REP_PIECE && test.n_pieces < 64)
    test.pieces[test.n_pieces++] = m->index;
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
                                      .open = test_open,
                                      .read = test_piece,
                                      .close = test_close};
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

#endif
