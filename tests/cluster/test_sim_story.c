/*
 * test_sim_story.c - single stories in the simulated cluster: what a random run has shown, told
 * once more with nothing else going wrong. PLAIN: yes
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sim/split.h"
#include "sim/world.h"
#include "tlib/thorough.h"

static struct sim_result test_result;

static struct sim_world *test_begin(uint32_t nodes) {
  struct sim_options o = {.seed = 1, .trace = getenv("VDB_TRACE") != NULL};
  struct sim_world *w = sim_story(&o, nodes, &test_result);
  sim_story_for(w, 3000000);
  assert_ptr_equal(sim_node_leading(w), &w->nodes[1]);
  return w;
}

static void test_end(struct sim_world *w) {
  sim_story_end(w);
  if (test_result.failed)
    fail_msg("%s", test_result.why);
}

static struct rep_info test_info(struct sim_world *w, uint32_t node) {
  struct rep_info info;
  rep_info(w->nodes[node].rep, &info);
  return info;
}

static void test_rot(struct sim_node *n, uint64_t entry) {
  n->rotten = entry;
  n->has_rotted = true;
}

/* An entry that the primary's data has cannot be read any more when a new disk wants it: the disk
   gets a snapshot, and the primary goes on. */
static void test_old_entry_rots(void **state) {
  (void)state;
  struct sim_world *w = test_begin(3);
  assert_true(test_info(w, 1).applied > 20 && test_info(w, 1).base == 0);
  test_rot(&w->nodes[1], 5);
  sim_wipe(&w->nodes[3], 100000);
  sim_story_for(w, 5000000);
  assert_ptr_equal(sim_node_leading(w), &w->nodes[1]);
  assert_false(test_info(w, 1).broken);
  assert_int_equal(sim_meta_record(w)->epoch, 1);
  assert_true(test_result.snapshots > 0);
  test_end(w);
}

/* The same of the entry that was applied last, when there is more that waits to be committed: the
   others go on from behind it. */
static void test_last_entry_rots(void **state) {
  (void)state;
  struct sim_world *w = test_begin(3);
  for (uint32_t i = 2; i <= 3; i++)
    w->blocked[1][i] = w->blocked[i][1] = true;
  sim_story_for(w, 300000);
  uint64_t applied = test_info(w, 1).applied;
  assert_true(applied < test_info(w, 1).last);
  test_rot(&w->nodes[1], applied);
  memset(w->blocked, 0, sizeof w->blocked);
  sim_story_for(w, 5000000);
  assert_ptr_equal(sim_node_leading(w), &w->nodes[1]);
  assert_int_equal(sim_meta_record(w)->epoch, 1);
  assert_true(test_info(w, 1).applied > applied + 20);
  assert_int_equal(test_result.snapshots, 0);
  test_end(w);
}

/* A primary that is told again and again to hand over to a node that cannot lead goes on. */
static void test_hand_over_to_nobody(void **state) {
  (void)state;
  struct sim_world *w = test_begin(3);
  struct rep_event ev = {.type = REP_EV_HANDOFF, .node = 3};
  sim_node_crash(&w->nodes[3], 60000000);
  sim_story_for(w, 3000000);
  uint64_t applied = test_info(w, 1).applied;
  for (int i = 0; i < 30; i++) {
    sim_node_step(&w->nodes[1], &ev);
    sim_story_for(w, 100000);
  }
  assert_true(test_info(w, 1).applied > applied + 10);
  sim_node_start(&w->nodes[3]);
  sim_story_for(w, 3000000);
  sim_node_step(&w->nodes[1], &ev);
  sim_story_for(w, 1000000);
  assert_ptr_equal(sim_node_leading(w), &w->nodes[3]);
  test_end(w);
}

static void test_leave(struct sim_world *w, uint32_t node, int times) {
  struct rep_event ev = {.type = REP_EV_LEAVE, .node = node};
  for (int i = 0; i < times; i++) {
    sim_node_step(sim_node_leading(w), &ev);
    sim_story_for(w, 100000);
  }
}

/* A member leaves the ISR only when all others are known to be there: not while the record has one
   whose disk is gone. */
static void test_leaves_late(void **state) {
  (void)state;
  struct sim_world *w = test_begin(3);
  sim_wipe(&w->nodes[3], 600000000);
  test_leave(w, 2, 30);
  assert_true(rep_isr_at(sim_meta_record(w), 2) > 0);
  sim_node_start(&w->nodes[3]);
  test_leave(w, 2, 30);
  const struct rep_config *c = sim_meta_record(w);
  int at = rep_isr_at(c, 3);
  assert_true(rep_isr_at(c, 2) < 0 && at > 0);
  assert_true(rep_same_store(c->isr[at].store, w->nodes[3].uuid));
  for (uint32_t i = 0; i + 1 < w->n_records; i++) /* that was the last that happened */
    assert_true(rep_isr_at(&w->records[i], 2) >= 0);
  sim_story_for(w, 12000000); /* nobody says it any more */
  test_end(w);
}

/* A member that is to leave, but cannot, for it would be one too few, counts with its new disk. */
static void test_cannot_leave(void **state) {
  (void)state;
  struct sim_world *w = test_begin(2);
  sim_wipe(&w->nodes[2], 100000);
  test_leave(w, 2, 50);
  const struct rep_config *c = sim_meta_record(w);
  assert_true(c->n_isr == 2 && rep_same_store(c->isr[1].store, w->nodes[2].uuid));
  test_end(w);
}

/* What a transaction under way may make of the record counts when a disk is to be lost: node 2 has
   asked for an ISR of 2 and 1 alone, and 1 has lost its disk, so 2 must not lose its own although 3
   is a sound member still. */
static void test_asked_counts(void **state) {
  (void)state;
  struct sim_world *w = test_begin(3);
  sim_wipe(&w->nodes[1], 60000000);
  assert_true(sim_can_spare(&w->nodes[2]) && sim_can_spare(&w->nodes[3]));
  struct rep_txn txn = {.kind = REP_PROMOTE, .config = *sim_meta_record(w)};
  txn.rev = txn.config.rev;
  rep_config_lead(&txn.config, 2);
  rep_config_demote(&txn.config, 3);
  w->nodes[2].meta_cut_until = UINT64_MAX; /* it does not come about, but might */
  sim_meta_txn(&w->nodes[2], &txn);
  assert_false(sim_can_spare(&w->nodes[2]));
  assert_true(sim_can_spare(&w->nodes[3]));
  w->nodes[2].meta_cut_until = 0;
  sim_story_for(w, 4000000); /* the record has changed since */
  assert_int_equal(w->n_asked, 0);
  sim_node_start(&w->nodes[1]);
  sim_story_for(w, 5000000);
  test_end(w);
}

/* A learner with rot that nobody has seen may grow into the ISR and be the last one there. */
static void test_hidden_rot_counts(void **state) {
  (void)state;
  struct sim_world *w = test_begin(4);
  struct sim_node *n = &w->nodes[4];
  struct rep_config c = *sim_meta_record(w);
  assert_true(rep_config_demote(&c, 4));
  sim_meta_put(w, &c);
  assert_true(sim_can_spare(&w->nodes[1]));
  test_rot(n, test_info(w, 4).applied);
  n->map.durable = (struct sim_data){0};
  assert_false(sim_can_spare(&w->nodes[1]));
  n->map.durable = n->map.now; /* the data has the entry: it is not needed any more */
  assert_true(sim_can_spare(&w->nodes[1]));
  test_end(w);
}

/* A node's data changes by itself, in a way that no log tells. */
static void test_alter(struct sim_world *w, uint32_t node) {
  w->forced = true; /* the ledger would see it at once */
  for (uint32_t i = 0; i < SIM_KEYS; i++)
    w->nodes[node].map.now.values[i]++;
  w->nodes[node].map.durable = w->nodes[node].map.now;
}

/* Of a follower: the digests differ soon, and it is replaced. */
static void test_data_differs(void **state) {
  (void)state;
  struct sim_world *w = test_begin(3);
  test_alter(w, 2);
  sim_story_for(w, 3000000);
  assert_int_equal(test_result.snapshots, 1);
  assert_int_equal(sim_meta_record(w)->epoch, 1);
  test_end(w); /* all are equal again */
}

/* Of the primary: two others who agree know better, and it is replaced, not they. */
static void test_primary_differs(void **state) {
  (void)state;
  struct sim_world *w = test_begin(3);
  test_alter(w, 1);
  sim_story_for(w, 5000000);
  assert_int_equal(test_result.snapshots, 1);
  assert_false(test_info(w, 1).broken);
  assert_ptr_not_equal(sim_node_leading(w), &w->nodes[1]);
  test_end(w);
}

/* Of two, the primary cannot read its data: the other one's is good, and leads. */
static void test_primary_unreadable(void **state) {
  (void)state;
  struct sim_world *w = test_begin(2);
  w->forced = true; /* that it is found is no fault of the protocol */
  w->nodes[1].map.unreadable = true;
  sim_story_for(w, 5000000);
  assert_int_equal(test_result.snapshots, 1);
  assert_false(w->nodes[1].map.unreadable || test_info(w, 1).broken);
  assert_ptr_equal(sim_node_leading(w), &w->nodes[2]);
  test_end(w);
}

/* A member that was repaired and has had all since then may lead, also after a restart, before it
   has heard of a primary again. */
static void test_repaired_leads(void **state) {
  (void)state;
  struct sim_world *w = test_begin(3);
  struct sim_node *n = &w->nodes[3];
  n->map.durable = (struct sim_data){0};
  test_rot(n, test_info(w, 3).last - 3);
  sim_node_crash(n, 100000);
  sim_story_for(w, 4000000);
  assert_true(test_result.snapshots == 1 && rep_isr_at(sim_meta_record(w), 3) > 0);
  sim_node_crash(&w->nodes[1], 600000000);
  sim_node_crash(&w->nodes[2], 600000000);
  sim_node_crash(n, 100000);
  sim_story_for(w, 4000000);
  assert_int_equal(sim_meta_record(w)->isr[0].node, 3);
  sim_node_start(&w->nodes[1]);
  sim_node_start(&w->nodes[2]);
  sim_story_for(w, 4000000);
  test_end(w);
}

/* ---- Messages that are lost, or come late ---- */

enum { TEST_STEP_US = 100 }; /* less than any message takes: each is seen on its way */

/* A message on its way to the node, from event i of the queue on; false: there is none. */
static bool test_on_its_way(struct sim_world *w, uint32_t node, size_t *i, struct rep_msg *m) {
  for (; *i < w->n_events; ++*i) {
    const struct sim_event *ev = &w->heap[*i];
    if (ev->kind == SIM_MESSAGE && ev->node == node && rep_msg_read(ev->data, ev->n, m))
      return true;
  }
  return false;
}

/* Loses what is on its way to the nodes (one bit each) and brings entries; heartbeats arrive. */
static void test_lose_entries(struct sim_world *w, uint32_t nodes) {
  struct rep_msg m;
  for (uint32_t node = 1; node <= w->n_nodes; node++)
    for (size_t i = 0; nodes >> node & 1 && test_on_its_way(w, node, &i, &m); i++)
      if (m.type == REP_APPEND && m.n_entries)
        w->heap[i].life = UINT64_MAX; /* of a process that will never be */
}

static void test_without_entries(struct sim_world *w, uint32_t nodes, uint64_t us) {
  for (uint64_t end = w->now + us; w->now < end; sim_story_for(w, TEST_STEP_US))
    test_lose_entries(w, nodes);
}

enum { TEST_PIECES = 64 };

/* The pieces of the snapshot that is being sent to a node, as they came by. */
struct test_pieces {
  uint64_t snapshot, seq;
  uint32_t count, n;
  struct sim_event pieces[TEST_PIECES];
};

static void test_watch_pieces(struct sim_world *w, uint32_t node, struct test_pieces *p) {
  struct rep_msg m;
  for (size_t i = 0; test_on_its_way(w, node, &i, &m); i++) {
    if (m.type != REP_PIECE)
      continue;
    assert_true(m.count <= TEST_PIECES);
    if (m.snapshot != p->snapshot)
      *p = (struct test_pieces){.snapshot = m.snapshot, .seq = m.prev.seq, .count = m.count};
    p->n += !p->pieces[m.index].data;
    p->pieces[m.index] = w->heap[i];
  }
}

/* A new disk, which the log cannot help: an old entry of it is not to be read. */
static void test_new_disk(struct sim_world *w, struct sim_node *n) {
  test_rot(&w->nodes[1], 5);
  sim_wipe(n, 100000);
  while (!n->up)
    sim_story_for(w, TEST_STEP_US);
}

static void test_piece_again(struct sim_world *w, const struct test_pieces *p, uint32_t index) {
  struct rep_msg m;
  const struct sim_event *ev = &p->pieces[index];
  assert_true(rep_msg_read(ev->data, ev->n, &m));
  struct rep_event again = {.type = REP_EV_MESSAGE, .msg = &m};
  sim_node_step(&w->nodes[ev->node], &again);
}

/* A new disk has its snapshot and has acknowledged what came behind it, but does not know yet that
   this is committed. Now all pieces come once more: its log stays. */
static void test_late_snapshot(void **state) {
  (void)state;
  struct sim_world *w = test_begin(2); /* which cannot do without it meanwhile */
  struct test_pieces p = {0};
  test_new_disk(w, &w->nodes[2]);
  while (p.n < p.count || !p.n || test_info(w, 2).durable <= p.seq) {
    test_watch_pieces(w, 2, &p);
    sim_story_for(w, TEST_STEP_US);
  }
  struct rep_info before = test_info(w, 2);
  assert_true(before.commit == p.seq && before.match > p.seq);
  for (uint32_t i = 0; i < p.count; i++)
    test_piece_again(w, &p, i);
  assert_int_equal(test_info(w, 2).last, before.last);
  sim_story_for(w, 3000000);
  test_end(w);
}

/* A node that takes a snapshot is restarted in the middle, and begins anew by a first piece that
   comes late: it is sent what it wants now. */
static void test_takes_anew(void **state) {
  (void)state;
  struct sim_world *w = test_begin(3);
  struct sim_node *n = &w->nodes[3];
  struct test_pieces p = {0};
  test_new_disk(w, n);
  while (p.n < REP_PIECES + 2) { /* then answers to the first two have come */
    test_watch_pieces(w, 3, &p);
    sim_story_for(w, TEST_STEP_US);
  }
  assert_true(n->map.pieces < p.count);
  sim_node_crash(n, 20000);
  sim_story_for(w, 30000);
  assert_true(n->up && p.pieces[0].data);
  test_piece_again(w, &p, 0);
  sim_story_for(w, 5000000);
  assert_true(rep_isr_at(sim_meta_record(w), 3) > 0);
  test_end(w);
}

/* What node 1 has committed when nobody else knows it, and node 4, a learner, does not have it. */
static uint64_t test_known_to_one(struct sim_world *w) {
  struct rep_config c = *sim_meta_record(w);
  w->blocked[4][1] = true; /* its answers, so that it does not grow */
  assert_true(rep_config_demote(&c, 4));
  sim_meta_put(w, &c);
  sim_story_for(w, 100000);
  assert_int_equal(test_info(w, 1).rev, sim_meta_record(w)->rev);
  uint64_t has = test_info(w, 4).last;
  for (; test_info(w, 2).last <= has || test_info(w, 3).last <= has; has = test_info(w, 4).last) {
    test_lose_entries(w, 1u << 4);
    sim_story_for(w, TEST_STEP_US);
  }
  w->blocked[1][2] = w->blocked[1][3] = true;
  test_without_entries(w, 1u << 4, 20000);
  for (uint32_t i = 2; i <= 4; i++)
    assert_true(test_info(w, i).commit <= has);
  assert_true(test_info(w, 1).commit > has && test_info(w, 4).last == has);
  return test_info(w, 1).commit;
}

/* A new primary does not know all that was committed before it, so a learner that has what it knows
   of does not count yet. */
static void test_grows_late(void **state) {
  (void)state;
  struct sim_world *w = test_begin(4);
  uint64_t committed = test_known_to_one(w);
  sim_node_crash(&w->nodes[1], 600000000);
  memset(w->blocked, 0, sizeof w->blocked);
  for (int i = 0; i < 25; i++) {
    test_without_entries(w, 1u << 3 | 1u << 4, 100000);
    assert_true(rep_isr_at(sim_meta_record(w), 4) < 0 || test_info(w, 4).last >= committed);
  }
  assert_true(sim_meta_record(w)->isr[0].node != 1);
  sim_story_for(w, 3000000);
  assert_true(rep_isr_at(sim_meta_record(w), 4) > 0);
  sim_node_start(&w->nodes[1]);
  sim_story_for(w, 3000000);
  test_end(w);
}

/* Two members, whose data on disk is older than what is committed; where it ends. */
static uint64_t test_old_data(struct sim_world *w) {
  struct sim_data old = w->nodes[1].map.now;
  sim_story_for(w, 1000000);
  assert_true(w->n_ledger > old.pos.seq + 5);
  w->nodes[1].map.durable = w->nodes[2].map.durable = old;
  return old.pos.seq;
}

/* Node 2 comes back, finds its log damaged, and gets what the primary's data has, which ends there.
   */
static void test_gets_old_data(struct sim_world *w, uint64_t old) {
  test_rot(&w->nodes[2], old + 2);
  sim_node_crash(&w->nodes[2], 100000);
  for (sim_story_for(w, 110000); !test_result.snapshots; sim_story_for(w, TEST_STEP_US))
    ;
  assert_true(!test_info(w, 2).broken && test_info(w, 2).last == old);
}

/* Both of two members are restarted. The primary's data is older than what is committed, and that
   is what the other one, whose log is damaged, gets: it may not lead before it has the rest. */
static void test_repaired_waits(void **state) {
  (void)state;
  struct sim_world *w = test_begin(2);
  uint64_t old = test_old_data(w);
  sim_node_crash(&w->nodes[1], 100000);
  test_gets_old_data(w, old);
  uint64_t epoch = sim_meta_record(w)->epoch;
  sim_node_crash(&w->nodes[1], 600000000);
  test_without_entries(w, 1u << 2, 4000000);
  assert_int_equal(sim_meta_record(w)->epoch, epoch);
  sim_node_start(&w->nodes[1]);
  sim_story_for(w, 4000000);
  test_end(w);
}

/* The answer of node 2 to all that the primary, node 1, has; it is lost, to come again later. */
static struct sim_event test_lost_answer(struct sim_world *w) {
  struct rep_msg m;
  for (;; sim_story_for(w, TEST_STEP_US))
    for (size_t i = 0; test_on_its_way(w, 1, &i, &m); i++)
      if (m.type == REP_ACK && m.epoch == test_info(w, 1).epoch && m.prev.seq > w->n_ledger) {
        struct sim_event lost = w->heap[i];
        w->heap[i].life = UINT64_MAX;
        return lost;
      }
}

/* What node 2 has acknowledged comes late: its log was damaged meanwhile, and ends earlier now. */
static void test_late_answer(void **state) {
  (void)state;
  struct sim_world *w = test_begin(2);
  uint64_t old = test_old_data(w);
  sim_node_crash(&w->nodes[1], 100000);
  sim_story_for(w, 110000);
  struct sim_event answer = test_lost_answer(w);
  w->blocked[2][1] = true;
  sim_story_for(w, 1000);
  memset(w->blocked, 0, sizeof w->blocked);
  test_gets_old_data(w, old);
  assert_int_equal(test_info(w, 1).commit, old);
  test_without_entries(w, 1u << 2, 10000);
  sim_push(w, w->now, answer);
  test_without_entries(w, 1u << 2, 10000);
  assert_int_equal(test_info(w, 1).commit, old);
  sim_story_for(w, 4000000);
  test_end(w);
}

/* ---- Unclean starts ---- */

/* Node 3 is behind, and is back when the two others, which are in sync, are away. */
static void test_behind(struct sim_world *w) {
  sim_node_crash(&w->nodes[3], 600000000);
  sim_story_for(w, 3000000);
}

/* What node 3 has when nobody leads it. */
static uint64_t test_alone(struct sim_world *w) {
  sim_node_start(&w->nodes[3]);
  sim_story_for(w, 5000000);
  assert_true(test_info(w, 3).role == REP_FOLLOWER && test_info(w, 3).last < w->n_ledger);
  return test_info(w, 3).last;
}

/* Of the writes behind `last` which were committed then, each is an orphan of nodes 1 and 2. */
static void test_kept(struct sim_world *w, uint64_t last) {
  uint32_t lost = 0;
  for (size_t i = 0; i < w->n_writes; i++)
    if (w->writes[i].seq > last) {
      assert_int_equal(w->writes[i].orphan_on & 6, 6);
      lost++;
    }
  assert_true(lost > 3);
}

/* The disks of all who were in sync are gone: an operator makes node 3 go on with what it has. */
static void test_disks_gone(void **state) {
  (void)state;
  struct sim_world *w = test_begin(3);
  test_behind(w);
  sim_wipe(&w->nodes[1], 600000000);
  sim_wipe(&w->nodes[2], 600000000);
  uint64_t last = test_alone(w);
  sim_meta_force(w, 3);
  sim_node_start(&w->nodes[1]);
  sim_node_start(&w->nodes[2]);
  sim_story_for(w, 5000000);
  assert_ptr_equal(sim_node_leading(w), &w->nodes[3]);
  assert_int_equal(sim_meta_record(w)->n_isr, 3);
  assert_true(test_info(w, 3).applied > last + 20);
  test_end(w);
}

/* They were not gone: when they are back they follow node 3, and what only they had is in their
   files of orphans. */
static void test_disks_back(void **state) {
  (void)state;
  struct sim_world *w = test_begin(3);
  test_behind(w);
  sim_node_crash(&w->nodes[1], 600000000);
  sim_node_crash(&w->nodes[2], 600000000);
  uint64_t last = test_alone(w);
  sim_meta_force(w, 3);
  sim_story_for(w, 2000000);
  assert_null(sim_node_leading(w)); /* alone it is less than min_isr, and serves nobody */
  sim_node_start(&w->nodes[2]);
  sim_story_for(w, 1500000);
  sim_node_start(&w->nodes[1]);
  sim_story_for(w, 5000000);
  assert_ptr_equal(sim_node_leading(w), &w->nodes[3]);
  test_kept(w, last);
  test_end(w);
}

/* They were not even down, but cut off, and went on: they have committed more, and have it in their
   data. Now they are given a snapshot, and what they had is kept nevertheless. */
static void test_cut_off_goes_on(void **state) {
  (void)state;
  struct sim_world *w = test_begin(3);
  test_behind(w);
  for (uint32_t i = 1; i <= 2; i++) {
    w->blocked[3][i] = w->blocked[i][3] = true;
    w->nodes[i].meta_cut_until = UINT64_MAX;
  }
  uint64_t last = test_alone(w), committed = test_info(w, 1).commit;
  sim_meta_force(w, 3);
  sim_story_for(w, 2000000);
  assert_true(test_info(w, 1).commit > committed && test_info(w, 1).applied > last);
  memset(w->blocked, 0, sizeof w->blocked);
  w->nodes[1].meta_cut_until = w->nodes[2].meta_cut_until = 0;
  sim_story_for(w, 8000000);
  assert_ptr_equal(sim_node_leading(w), &w->nodes[3]);
  assert_int_equal(test_result.snapshots, 2);
  test_kept(w, last);
  test_end(w);
}

/* Even one whose log is damaged can be made to go on, with what is before the damage. */
static void test_only_damaged(void **state) {
  (void)state;
  struct sim_world *w = test_begin(3);
  struct sim_node *n = &w->nodes[3];
  for (uint32_t i = 1; i <= 2; i++)
    sim_wipe(&w->nodes[i], 600000000);
  n->map.durable = (struct sim_data){0};
  test_rot(n, test_info(w, 3).last - 3);
  sim_node_crash(n, 100000);
  sim_story_for(w, 3000000);
  assert_true(test_info(w, 3).broken && !sim_node_leading(w));
  sim_meta_force(w, 3);
  sim_node_start(&w->nodes[1]);
  sim_node_start(&w->nodes[2]);
  sim_story_for(w, 5000000);
  assert_ptr_equal(sim_node_leading(w), n);
  assert_false(test_info(w, 3).broken);
  assert_int_equal(sim_meta_record(w)->n_isr, 3);
  test_end(w);
}

/* ---- Splits ---- */

/* A shard is split while clients write and search, and everything fails (sim/split.h): make
   split-sim SEEDS=, FROM= the first. */
static void test_splits(void **state) {
  (void)state;
  const char *many = getenv("VDB_SPLITS"), *first = getenv("VDB_FROM");
  uint64_t n = many ? strtoull(many, NULL, 10) : TEST_SIZES(60, 30, 10);
  uint64_t from = many && first ? strtoull(first, NULL, 10) : 1;
  struct sim_split_result r = {0};
  for (uint64_t seed = from; seed < from + n; seed++) {
    sim_split(seed, &r);
    if (r.failed)
      fail_msg("split %llu: %s", (unsigned long long)seed, r.why);
  }
  if (many)
    printf("| %llu splits | %llu cancelled before, %llu ended by the log, %llu crashes, "
           "%llu disks lost, %llu writes, %llu searches, %llu maps that were too old |\n",
           (unsigned long long)r.splits, (unsigned long long)r.cancelled,
           (unsigned long long)r.ended, (unsigned long long)r.crashes,
           (unsigned long long)r.wipes, (unsigned long long)r.writes,
           (unsigned long long)r.searches, (unsigned long long)r.stale_maps);
  assert_int_equal(r.splits, n);
  assert_true(r.cancelled > n / 2 && r.ended > n / 4 && r.crashes > 10 * n && r.wipes > n &&
              r.writes > 10 * n && r.searches > 5 * n && r.stale_maps > n);
}

/* With mistakes planted test_planted.c runs them, too: some of the mistakes take more coincidence
   than random runs have. */
#ifdef REP_PLANT
int test_stories(void);
int test_stories(void) {
#else
int main(void) {
#endif

  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_old_entry_rots),
      cmocka_unit_test(test_last_entry_rots),
      cmocka_unit_test(test_hand_over_to_nobody),
      cmocka_unit_test(test_leaves_late),
      cmocka_unit_test(test_cannot_leave),
      cmocka_unit_test(test_asked_counts),
      cmocka_unit_test(test_hidden_rot_counts),
      cmocka_unit_test(test_data_differs),
      cmocka_unit_test(test_primary_differs),
      cmocka_unit_test(test_primary_unreadable),
      cmocka_unit_test(test_repaired_leads),
      cmocka_unit_test(test_late_snapshot),
      cmocka_unit_test(test_takes_anew),
      cmocka_unit_test(test_grows_late),
      cmocka_unit_test(test_repaired_waits),
      cmocka_unit_test(test_late_answer),
      cmocka_unit_test(test_disks_gone),
      cmocka_unit_test(test_disks_back),
      cmocka_unit_test(test_cut_off_goes_on),
      cmocka_unit_test(test_only_damaged),
      cmocka_unit_test(test_splits),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
