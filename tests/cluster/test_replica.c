/*
 * test_replica.c - the parts of the replication that need no cluster: messages and their damage, op
 * ids beside a naive set, the record's rules.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "replica/dedup.h"
#include "replica/message.h"
#include "tlib/thorough.h"

static uint64_t test_random(uint64_t *state) {
  uint64_t z = *state += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  return z ^ z >> 31;
}

/* ---- messages ---- */

static void test_fill(uint64_t *rng, struct rep_msg *m, uint8_t *bytes) {
  memset(m, 0, sizeof *m);
  m->type = 1 + (uint32_t)(test_random(rng) % (REP_TYPES - 1));
  m->from = 1 + (uint32_t)(test_random(rng) % 9);
  m->to = 1 + (uint32_t)(test_random(rng) % 9);
  m->shard = test_random(rng);
  m->epoch = test_random(rng);
  m->rev = test_random(rng);
  m->store = (struct rep_uuid){test_random(rng), test_random(rng)};
  m->round = test_random(rng);
  m->term = test_random(rng);
  if (m->type == REP_APPEND) {
    m->prev = (struct rep_pos){test_random(rng) >> 1, test_random(rng), test_random(rng)};
    m->commit = test_random(rng);
    m->primary = 3;
    m->n_route = (uint32_t)(test_random(rng) % (REP_MEMBERS + 1));
    for (uint32_t i = 0; i < m->n_route; i++)
      m->route[i] = (uint32_t)test_random(rng);
    m->n_entries = (uint32_t)(test_random(rng) % 5);
    for (uint32_t i = 0; i < m->n_entries; i++) {
      struct rep_entry *e = &m->entries[i];
      e->pos = (struct rep_pos){m->prev.seq + 1 + i, test_random(rng), test_random(rng)};
      e->op = (struct rep_op){test_random(rng), test_random(rng)};
      e->kind = REP_DATA;
      e->n = (uint32_t)(test_random(rng) % 50);
      e->body = bytes;
    }
  } else if (m->type == REP_PROBED) {
    m->n_epochs = (uint32_t)(test_random(rng) % (REP_EPOCHS + 1));
    for (uint32_t i = 0; i < m->n_epochs; i++)
      m->epochs[i] = (struct rep_epoch){5 + i, 100 * (uint64_t)i};
  } else if (m->type == REP_PIECE) {
    m->index = (uint32_t)(test_random(rng) % 10);
    m->count = 10;
    m->flags = REP_FLAG_DIFFERS;
    m->n_data = (uint32_t)(test_random(rng) % 100);
    m->data = bytes;
  } else if (m->type == REP_ACK) {
    m->prev.seq = test_random(rng);
    m->flags = REP_FLAG_GAP;
    m->digest = test_random(rng);
  }
}

static void test_equal(const struct rep_msg *a, const struct rep_msg *b) {
  assert_true(a->type == b->type && a->from == b->from && a->to == b->to);
  assert_true(a->epoch == b->epoch && a->rev == b->rev && a->round == b->round);
  assert_int_equal(a->term, b->term);
  assert_true(a->prev.seq == b->prev.seq && a->commit == b->commit && a->flags == b->flags);
  assert_true(a->n_entries == b->n_entries && a->n_route == b->n_route);
  assert_true(a->n_epochs == b->n_epochs && a->n_data == b->n_data && a->index == b->index);
  assert_memory_equal(a->route, b->route, sizeof a->route);
  assert_memory_equal(a->epochs, b->epochs, sizeof a->epochs);
  for (uint32_t i = 0; i < a->n_entries; i++) {
    assert_memory_equal(&a->entries[i].pos, &b->entries[i].pos, sizeof a->entries[i].pos);
    assert_memory_equal(&a->entries[i].op, &b->entries[i].op, sizeof a->entries[i].op);
    assert_int_equal(a->entries[i].n, b->entries[i].n);
    if (a->entries[i].n)
      assert_memory_equal(a->entries[i].body, b->entries[i].body, a->entries[i].n);
  }
  if (a->n_data)
    assert_memory_equal(a->data, b->data, a->n_data);
}

/* Cut off or changed anywhere: refused, or some other message, but nothing is read outside of it.
   */
static void test_damage(uint64_t *rng, const uint8_t *data, size_t n) {
  static struct rep_msg m;
  for (size_t cut = 0; cut < n; cut++) {
    uint8_t *copy = malloc(cut + 1);
    memcpy(copy, data, cut);
    assert_false(rep_msg_read(copy, cut, &m));
    free(copy);
  }
  uint8_t *copy = malloc(n);
  for (int i = 0; i < 50; i++) {
    memcpy(copy, data, n);
    copy[test_random(rng) % n] = (uint8_t)test_random(rng);
    copy[test_random(rng) % n] = 0xff;
    if (!rep_msg_read(copy, n, &m))
      continue;
    assert_true(m.n_entries <= REP_BATCH && m.n_route <= REP_MEMBERS && m.n_epochs <= REP_EPOCHS);
    for (uint32_t k = 0; k < m.n_entries; k++)
      assert_true(!m.entries[k].n || (m.entries[k].body >= copy &&
                                      m.entries[k].body + m.entries[k].n <= copy + n));
  }
  free(copy);
}

/* The same from a later version, which says more: what is known is read, the rest is skipped. */
static void test_later(const struct rep_msg *m, const uint8_t *data, size_t n) {
  static struct rep_msg back;
  enum { MORE = 13 };
  uint32_t added = REP_ADDED + MORE;
  uint8_t *later = calloc(1, n + MORE);
  memcpy(later, data, n);
  later[2]++;
  memcpy(later + n - REP_ADDED - sizeof added, &added, sizeof added);
  memset(later + n, 0xee, MORE);
  assert_true(rep_msg_read(later, n + MORE, &back));
  test_equal(m, &back);
  assert_int_equal(back.version, REP_VERSION + 1);
  assert_false(rep_msg_read(later, n + MORE - 1, &back));
  later[2] = later[3] = 0; /* no version has that number */
  assert_false(rep_msg_read(later, n + MORE, &back));
  free(later);
}

static void test_messages(void **state) {
  (void)state;
  static struct rep_msg m, back;
  uint8_t bytes[128];
  uint64_t rng = 1;
  for (size_t i = 0; i < sizeof bytes; i++)
    bytes[i] = (uint8_t)i;
  for (int i = 0; i < TEST_SIZE(600, 300); i++) {
    test_fill(&rng, &m, bytes);
    uint8_t *data = malloc(rep_msg_bytes(&m));
    size_t n = rep_msg_write(&m, data);
    assert_true(n <= rep_msg_bytes(&m));
    assert_true(rep_msg_read(data, n, &back));
    test_equal(&m, &back);
    test_damage(&rng, data, n);
    test_later(&m, data, n);
    free(data);
  }
}

/* ---- op ids ---- */

enum { TEST_CLIENTS = 5, TEST_COUNTS = 400 };

static void test_dedup(void **state) {
  (void)state;
  struct rep_client clients[TEST_CLIENTS];
  struct rep_dedup d = {clients, 0, TEST_CLIENTS};
  static bool applied[TEST_CLIENTS][TEST_COUNTS];
  uint64_t max[TEST_CLIENTS] = {0}, rng = 2;
  memset(applied, 0, sizeof applied);
  for (uint64_t seq = 1; seq < 20000; seq++) {
    uint64_t c = test_random(&rng) % TEST_CLIENTS;
    uint64_t count = 1 + test_random(&rng) % rep_min(max[c] + 10, TEST_COUNTS - 1);
    struct rep_op op = {1000 - c, count};
    enum rep_known known = rep_dedup_look(&d, op);
    if (max[c] >= count && max[c] - count >= 64) {
      assert_int_equal(known, REP_BEFORE);
      continue;
    }
    assert_int_equal(known, applied[c][count] ? REP_KNOWN : REP_NEW);
    if (known == REP_KNOWN)
      continue;
    applied[c][count] = true;
    max[c] = rep_max(max[c], count);
    rep_dedup_add(&d, op, seq);
  }
  assert_int_equal(d.n, TEST_CLIENTS);
}

static void test_eviction(void **state) {
  (void)state;
  struct rep_client clients[4];
  struct rep_dedup d = {clients, 0, 4};
  rep_dedup_add(&d, (struct rep_op){REP_CLIENT_KEPT, 2}, 0); /* which is no client */
  for (uint64_t client = 1; client <= 3; client++)
    rep_dedup_add(&d, (struct rep_op){client, 1}, client);
  rep_dedup_add(&d, (struct rep_op){1, 2}, 4);
  rep_dedup_add(&d, (struct rep_op){9, 1}, 5);
  assert_int_equal(rep_dedup_look(&d, (struct rep_op){2, 1}), REP_NEW); /* silent longest */
  assert_int_equal(rep_dedup_look(&d, (struct rep_op){1, 1}), REP_KNOWN);
  assert_int_equal(rep_dedup_look(&d, (struct rep_op){3, 1}), REP_KNOWN);
  assert_int_equal(rep_dedup_look(&d, (struct rep_op){9, 1}), REP_KNOWN);
  assert_int_equal(rep_dedup_look(&d, (struct rep_op){REP_CLIENT_KEPT, 2}), REP_KNOWN);
}

/* ---- the record ---- */

static struct rep_config test_config(void) {
  return (struct rep_config){.epoch = 3,
                             .min_isr = 2,
                             .n_isr = 3,
                             .n_learners = 1,
                             .isr = {{1, {1, 1}}, {2, {2, 2}}, {3, {3, 3}}},
                             .learners = {4}};
}

static void test_record(void **state) {
  (void)state;
  struct rep_config c = test_config();
  assert_true(rep_config_valid(&c));
  c.isr[2].node = 2;
  assert_false(rep_config_valid(&c)); /* twice */
  c = test_config();
  c.learners[0] = 3;
  assert_false(rep_config_valid(&c)); /* member and learner */
  c = test_config();
  c.n_isr = 0;
  assert_false(rep_config_valid(&c));
  c = test_config();
  c.n_learners = REP_MEMBERS;
  assert_false(rep_config_valid(&c));
  c = test_config();
  rep_config_lead(&c, 3);
  assert_true(c.isr[0].node == 3 && c.isr[1].node == 1 && c.isr[2].node == 2);
  assert_true(rep_config_demote(&c, 1));
  assert_true(c.n_isr == 2 && c.isr[1].node == 2 && c.n_learners == 2 && c.learners[1] == 1);
  assert_false(rep_config_demote(&c, 1));
  assert_true(rep_config_demote(&c, 2));
  assert_false(rep_config_demote(&c, 3)); /* the last one */
  assert_true(rep_config_valid(&c));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_messages),
      cmocka_unit_test(test_dedup),
      cmocka_unit_test(test_eviction),
      cmocka_unit_test(test_record),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
