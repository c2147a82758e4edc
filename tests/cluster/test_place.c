/*
 * test_place.c - placement: the ring against a linear scan, tables of slots against what they must
 * cost at least, routes, replicas over zones; over many random clusters.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "place/advice.h"
#include "place/route.h"
#include "place/spread.h"
#include "place/table.h"
#include "tlib/thorough.h"

static uint64_t tp_state;
static uint32_t tp_below(uint32_t n) {
  tp_state = tp_state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)((tp_state >> 32) * n >> 32);
}

enum { TP_MEMBERS = 24, TP_SLOTS = 2048 };

/* Distinct ids in no order; some of no weight. */
static size_t tp_members(struct place_member *members) {
  size_t n = 1 + tp_below(TP_MEMBERS - 2);
  for (size_t i = 0; i < n; i++) {
    members[i].id = (uint32_t)i * 7919 % 1009 + tp_below(2) * 5000;
    members[i].weight = tp_below(8) ? 50 + tp_below(200) : tp_below(2) * 1000;
  }
  members[0].weight = 100;
  return n;
}

/* ---- The ring ---- */

/* The first point clockwise, by looking at all of them. */
static uint32_t tp_naive_owner(const struct place_ring *ring, uint64_t at) {
  uint64_t nearest = 0;
  uint32_t owner = PLACE_NONE;
  for (size_t i = 0; i < ring->n; i++) {
    uint64_t way = ring->points[i].at - at;
    if (owner == PLACE_NONE || way < nearest) {
      nearest = way;
      owner = ring->points[i].member;
    }
  }
  return owner;
}

static uint32_t tp_owner_id(const struct place_ring *ring, const struct place_member *members,
                            uint64_t at) {
  uint32_t m = place_ring_owner(ring, at);
  return m == PLACE_NONE ? PLACE_NONE : members[m].id;
}

static void test_ring(void **state) {
  struct place_member members[TP_MEMBERS];
  (void)state;
  tp_state = 1;
  for (int round = 0; round < 60; round++) {
    struct place_ring with, without;
    size_t n = tp_members(members);
    assert_true(place_ring_make(&with, members, n));
    for (int i = 0; i < 50; i++) {
      uint64_t at = place_mark((uint64_t)round << 32 | tp_below(1000));
      assert_int_equal(place_ring_owner(&with, at), tp_naive_owner(&with, at));
    }
    assert_true(place_ring_make(&without, members, n - 1));
    uint32_t last = members[n - 1].id;
    for (uint64_t i = 0; i < 2000; i++) {
      uint32_t before = tp_owner_id(&without, members, place_mark(i));
      uint32_t after = tp_owner_id(&with, members, place_mark(i));
      assert_true(after == before || after == last); /* whoever comes takes, nobody else does */
    }
    place_ring_free(&with);
    place_ring_free(&without);
  }
}

/* ---- Tables of slots ---- */

/* Each member is within one slot of its exact share. */
static void tp_even(const struct place_member *members, size_t n, const uint32_t *owner) {
  double weights = 0;
  for (size_t i = 0; i < n; i++)
    weights += members[i].weight;
  for (size_t i = 0; i < n; i++) {
    double share = TP_SLOTS * members[i].weight / weights;
    uint32_t have = 0;
    for (uint32_t s = 0; s < TP_SLOTS; s++)
      have += owner[s] == members[i].id;
    assert_true(have > share - 1 && have < share + 1);
  }
}

/* The least that must move: what members have beyond the most that they may have, and what nobody
   that stays has. As rounding leaves a choice, the least over all choices: a member keeps as many
   as its share rounded up while such roundings are left. */
static uint32_t tp_least(const struct place_member *members, size_t n, const uint32_t *owner) {
  double weights = 0;
  uint32_t whole = 0, kept = 0, could_keep_one_more = 0;
  for (size_t i = 0; i < n; i++)
    weights += members[i].weight;
  for (size_t i = 0; i < n; i++) {
    uint64_t exact = (uint64_t)TP_SLOTS * members[i].weight, all = (uint64_t)weights;
    uint32_t low = (uint32_t)(exact / all), have = 0;
    for (uint32_t s = 0; s < TP_SLOTS; s++)
      have += owner[s] == members[i].id;
    whole += low;
    kept += have < low ? have : low;
    could_keep_one_more += exact % all && have > low;
  }
  uint32_t roundings = TP_SLOTS - whole, owned = 0;
  kept += could_keep_one_more < roundings ? could_keep_one_more : roundings;
  for (uint32_t s = 0; s < TP_SLOTS; s++)
    owned += owner[s] != PLACE_NONE;
  return owned - kept;
}

static void test_table(void **state) {
  (void)state;
  tp_state = 2;
  double share_sum = 0, least_sum = 0;
  int joins = 0;
  for (int round = 0; round < TEST_SIZE(300, 120); round++) {
    struct place_member members[TP_MEMBERS];
    uint32_t owner[TP_SLOTS], before[TP_SLOTS], moved, again;
    size_t n = tp_members(members);
    for (uint32_t s = 0; s < TP_SLOTS; s++)
      owner[s] = PLACE_NONE;
    assert_true(place_fill(members, n, TP_SLOTS, owner, &moved));
    assert_int_equal(moved, 0);
    tp_even(members, n, owner);
    for (int change = 0; change < 4; change++) {
      memcpy(before, owner, sizeof owner);
      uint32_t what = tp_below(3);
      if (what == 0 && n < TP_MEMBERS)
        members[n++] = (struct place_member){20000 + (uint32_t)(round * 4 + change), 100};
      else if (what == 1 && n > 2)
        members[1 + tp_below((uint32_t)n - 1)] = members[n - 1], n--;
      else
        members[tp_below((uint32_t)n)].weight = 1 + tp_below(300);
      uint32_t least = tp_least(members, n, before);
      assert_true(place_fill(members, n, TP_SLOTS, owner, &moved));
      tp_even(members, n, owner);
      assert_int_equal(moved, least);
      joins += what == 0;
      share_sum += what == 0 ? (double)moved / TP_SLOTS : 0;
      least_sum += what == 0 ? (double)least / TP_SLOTS : 0;
      assert_true(place_fill(members, n, TP_SLOTS, owner, &again));
      assert_int_equal(again, 0);
    }
  }
  print_message(
      "a member joined %d times: %.2f %% of the slots moved, the least possible %.2f %%\n", joins,
      100 * share_sum / joins, 100 * least_sum / joins);
}

/* The whole table at its full size; what a fifth node takes, and the ring without quotas beside it.
 */
static void test_join(void **state) {
  struct place_member members[5];
  uint32_t *owner = malloc(PLACE_SLOTS * sizeof *owner), moved, ring_moved = 0;
  struct place_ring four, five;
  (void)state;
  for (uint32_t i = 0; i < 5; i++)
    members[i] = (struct place_member){i + 1, 100};
  for (uint32_t s = 0; s < PLACE_SLOTS; s++)
    owner[s] = PLACE_NONE;
  assert_true(place_fill(members, 4, PLACE_SLOTS, owner, &moved));
  uint32_t *before = malloc(PLACE_SLOTS * sizeof *before);
  memcpy(before, owner, PLACE_SLOTS * sizeof *owner);
  assert_true(place_fill(members, 5, PLACE_SLOTS, owner, &moved));
  for (uint32_t s = 0; s < PLACE_SLOTS; s++)
    assert_true(owner[s] == before[s] || owner[s] == 5);
  assert_true(place_ring_make(&four, members, 4) && place_ring_make(&five, members, 5));
  for (uint32_t s = 0; s < PLACE_SLOTS; s++)
    ring_moved += place_ring_owner(&four, place_mark(s)) != place_ring_owner(&five, place_mark(s));
  assert_true(moved == PLACE_SLOTS / 5 || moved == PLACE_SLOTS / 5 + 1);
  print_message(
      "a fifth node takes %.2f %% of %d slots (its share: 20 %%); a ring alone: %.2f %%\n",
      100.0 * moved / PLACE_SLOTS, PLACE_SLOTS, 100.0 * ring_moved / PLACE_SLOTS);
  place_ring_free(&four);
  place_ring_free(&five);
  free(owner);
  free(before);
}

static void test_table_refuses(void **state) {
  const struct place_member none[] = {{1, 0}, {2, 0}};
  uint32_t owner[4] = {1, 2, 3, PLACE_NONE}, moved = 0;
  (void)state;
  assert_false(place_fill(none, 2, 4, owner, &moved));
  assert_false(place_fill(none, 0, 4, owner, &moved));
  assert_int_equal(owner[2], 3);
}

/* ---- Routes ---- */

static void test_routes(void **state) {
  const struct place_route hash = {DOC_HASH, PLACE_SLOTS, 1, NULL};
  const struct place_route tenant = {DOC_TENANT, PLACE_SLOTS, 64, NULL};
  uint32_t used[PLACE_SLOTS / 64] = {0}, slots[64] = {0};
  (void)state;
  /* The bytes of a number, whichever way it comes: nodes and clients must agree for ever. */
  assert_true(place_hash_number(1) == place_hash("\1\0\0\0\0\0\0\0", 8));
  assert_true(place_hash("", 0) == 0x2d06800538d394c2u);
  for (int64_t id = 0; id < 100000; id++) {
    uint32_t s = place_slot(place_window(&hash, 0, NULL), place_hash_number(id));
    assert_true(s < PLACE_SLOTS);
    used[s / 64]++;
  }
  for (size_t i = 0; i < PLACE_SLOTS / 64; i++) /* 390.6 each, deviation 20: six of them */
    assert_true(used[i] > 270 && used[i] < 510);
  struct place_window w = place_window(&tenant, place_hash("acme", 4), NULL);
  assert_int_equal(w.n, 64);
  assert_int_equal(w.first % 64, 0);
  for (int64_t id = 0; id < 6400; id++) {
    uint32_t s = place_slot(w, place_hash_number(id));
    assert_true(s >= w.first && s < w.first + 64);
    slots[s - w.first]++;
  }
  for (size_t i = 0; i < 64; i++)
    assert_true(slots[i] > 40 && slots[i] < 170);
}

static struct doc_key tp_number(int64_t n) { return (struct doc_key){DOC_KEY_INT, n, 0, ""}; }

/* The range by looking at each from the end. */
static uint32_t tp_naive_range(const struct doc_splits *splits, int64_t n) {
  for (uint32_t i = splits->n; i-- > 1;)
    if (splits->ranges[i].from.number <= n)
      return i;
  return 0;
}

static void test_ranges(void **state) {
  (void)state;
  tp_state = 3;
  for (int round = 0; round < 200; round++) {
    struct doc_key sample[64];
    struct doc_splits splits;
    uint32_t owner[TP_SLOTS];
    size_t n = 1 + tp_below(64), text;
    for (size_t i = 0; i < n; i++)
      sample[i] = tp_number((int64_t)tp_below(40) - 20);
    assert_true(place_splits(sample, n, 1 + tp_below(12), TP_SLOTS, &splits));
    for (int more = 0; more < 6; more++) {
      struct doc_key at = tp_number((int64_t)tp_below(60) - 30);
      place_split(&splits, &at);
    }
    char *written = doc_splits_write(&splits, &text); /* whatever was split, its rules hold */
    assert_non_null(written);
    free(written);
    const struct place_route route = {DOC_RANGE, TP_SLOTS, 1, &splits};
    for (int64_t v = -40; v <= 40; v++) {
      struct doc_key key = tp_number(v);
      uint32_t range = tp_naive_range(&splits, v), first, last;
      struct place_window w = place_window(&route, 0, &key);
      assert_int_equal(w.first, splits.ranges[range].first_slot);
      assert_int_equal(w.n, splits.ranges[range].n_slots);
      place_ranges(&splits, &key, NULL, &first, &last);
      assert_int_equal(first, range);
      assert_int_equal(last, splits.n - 1);
    }
    uint32_t shards = 1 + tp_below(20);
    place_ranges_fill(&splits, shards, TP_SLOTS, owner);
    for (uint32_t i = 0; i < splits.n; i++)
      for (uint32_t s = 0; s < splits.ranges[i].n_slots; s++) {
        uint32_t shard = owner[splits.ranges[i].first_slot + s];
        assert_true(shard < shards);
        for (uint32_t j = 0; j < splits.n && shards >= splits.n; j++)
          assert_true(j == i || shard != owner[splits.ranges[j].first_slot]);
      }
    doc_splits_free(&splits);
  }
}

static void test_splits_refuse(void **state) {
  struct doc_key one[] = {{DOC_KEY_TEXT, 0, 0, "m"}}, again = one[0],
                 next = {DOC_KEY_TEXT, 0, 0, "n"};
  struct doc_splits splits;
  (void)state;
  assert_false(place_splits(one, 0, 1, 16, &splits));
  assert_false(place_splits(one, 1, 17, 16, &splits));
  assert_true(place_splits(one, 1, 4, 2, &splits) == false);
  assert_true(place_splits(one, 1, 2, 2, &splits)); /* equal values stay together */
  assert_int_equal(splits.n, 1);
  assert_false(place_split(&splits, &again)); /* the range begins there */
  assert_true(place_split(&splits, &next));
  strcpy(next.text, "o");
  assert_false(place_split(&splits, &next)); /* one slot is left */
  doc_splits_free(&splits);
}

/* ---- Replicas ---- */

enum { TP_NODES = 20, TP_SHARDS = 64 };

struct tp_cluster {
  struct spread_node nodes[TP_NODES];
  struct spread_shard shards[TP_SHARDS];
  struct spread spread;
};

static void tp_cluster(struct tp_cluster *c) {
  uint32_t zones = 1 + tp_below(6);
  memset(c, 0, sizeof *c);
  c->spread = (struct spread){c->nodes, 1 + tp_below(TP_NODES - 2), c->shards,
                              1 + tp_below(TP_SHARDS), 1 + tp_below(4)};
  for (size_t i = 0; i < c->spread.n_nodes; i++)
    c->nodes[i] =
        (struct spread_node){(uint32_t)i + 1, zones == 6 ? 0 : 1 + tp_below(zones),
                             tp_below(4) ? 100 : 50 + tp_below(200), false, tp_below(10) != 0};
  c->nodes[0].fits = true;
}

static const struct spread_node *tp_node(const struct tp_cluster *c, uint32_t id) {
  for (size_t i = 0; i < c->spread.n_nodes; i++)
    if (c->nodes[i].id == id)
      return &c->nodes[i];
  return NULL;
}

/* What must hold of any placement. */
static void tp_legal(const struct tp_cluster *c, enum spread_status status) {
  uint32_t takers = 0;
  for (size_t i = 0; i < c->spread.n_nodes; i++)
    takers += c->nodes[i].fits && !c->nodes[i].leaves && c->nodes[i].weight;
  bool apart = spread_zones_suffice(&c->spread);
  assert_int_equal(status, takers < c->spread.replicas ? SPREAD_TOO_FEW : SPREAD_OK);
  for (size_t i = 0; i < c->spread.n_shards; i++) {
    const struct spread_shard *s = &c->shards[i];
    assert_int_equal(s->n, takers < c->spread.replicas ? takers : c->spread.replicas);
    for (uint32_t a = 0; a < s->n; a++) {
      const struct spread_node *x = tp_node(c, s->node[a]);
      assert_true(x && x->fits && !x->leaves);
      for (uint32_t b = 0; b < a; b++) {
        const struct spread_node *y = tp_node(c, s->node[b]);
        assert_true(x != y);
        assert_true(!apart || !x->zone || x->zone != y->zone);
      }
    }
  }
}

/* How far the worst node is from its share. */
static double tp_uneven(const struct tp_cluster *c) {
  double share[TP_NODES], worst = 0;
  assert_true(spread_shares(&c->spread, share));
  for (size_t i = 0; i < c->spread.n_nodes; i++) {
    uint32_t held = 0;
    for (size_t s = 0; s < c->spread.n_shards; s++)
      for (uint32_t r = 0; r < c->shards[s].n; r++)
        held += c->shards[s].node[r] == c->nodes[i].id;
    worst = fmax(worst, fabs(held - share[i]));
  }
  return worst;
}

/* Replicas that are in `now` and not in `old`. */
static size_t tp_changes(const struct spread_shard *old, const struct spread_shard *now, size_t n) {
  size_t changes = 0;
  for (size_t i = 0; i < n; i++)
    for (uint32_t r = 0; r < now[i].n; r++) {
      bool there = false;
      for (uint32_t k = 0; k < old[i].n; k++)
        there = there || old[i].node[k] == now[i].node[r];
      changes += !there;
    }
  return changes;
}

/* The moves lead from one to the other, and are as few as can be. */
static void tp_plan(const struct tp_cluster *c, const struct spread_shard *old) {
  struct spread_move moves[TP_SHARDS * SPREAD_REPLICAS_MAX];
  struct spread_shard at[TP_SHARDS];
  size_t n = c->spread.n_shards, count = spread_moves(old, c->shards, n, moves), targets = 0;
  memcpy(at, old, sizeof at);
  for (size_t i = 0; i < count; i++) {
    struct spread_shard *s = &at[moves[i].shard];
    targets += moves[i].target != 0;
    if (!moves[i].source) {
      s->node[s->n++] = moves[i].target;
      continue;
    }
    uint32_t r = 0;
    while (s->node[r] != moves[i].source)
      assert_true(++r < s->n);
    s->node[r] = moves[i].target ? moves[i].target : s->node[--s->n];
  }
  assert_int_equal(tp_changes(at, c->shards, n), 0);
  assert_int_equal(tp_changes(c->shards, at, n), 0);
  assert_int_equal(targets, tp_changes(old, c->shards, n));
}

static void test_spread(void **state) {
  double moved = 0, shares = 0;
  int uneven = 0, rounds = TEST_SIZE(600, 200);
  (void)state;
  tp_state = 4;
  for (int round = 0; round < rounds; round++) {
    struct tp_cluster c;
    struct spread_shard old[TP_SHARDS];
    tp_cluster(&c);
    memcpy(old, c.shards, sizeof old);
    tp_legal(&c, spread_place(&c.spread, true));
    tp_plan(&c, old);
    uneven += tp_uneven(&c) > 1.0 + 1e-9;
    memcpy(old, c.shards, sizeof old); /* again changes nothing */
    tp_legal(&c, spread_place(&c.spread, true));
    assert_int_equal(tp_changes(old, c.shards, c.spread.n_shards), 0);

    double share[TP_NODES]; /* a node comes */
    c.nodes[c.spread.n_nodes] = (struct spread_node){1000, c.nodes[0].zone, 100, false, true};
    c.spread.n_nodes++;
    tp_legal(&c, spread_place(&c.spread, true));
    tp_plan(&c, old);
    assert_true(spread_shares(&c.spread, share));
    moved += (double)tp_changes(old, c.shards, c.spread.n_shards);
    shares += share[c.spread.n_nodes - 1];

    memcpy(old, c.shards, sizeof old); /* a node is drained: what others hold stays */
    uint32_t gone = c.nodes[0].id;
    c.nodes[0].leaves = true;
    bool suffice = spread_zones_suffice(&c.spread);
    enum spread_status status = spread_place(&c.spread, false);
    tp_legal(&c, status);
    tp_plan(&c, old);
    for (size_t i = 0; i < c.spread.n_shards && suffice && status == SPREAD_OK; i++)
      for (uint32_t r = 0; r < old[i].n; r++) {
        bool there = false;
        for (uint32_t k = 0; k < c.shards[i].n; k++)
          there = there || c.shards[i].node[k] == old[i].node[r];
        assert_true(there || old[i].node[r] == gone);
      }
  }
  print_message("%d of %d clusters have a node more than one replica off its share\n", uneven,
                rounds);
  assert_int_equal(uneven, 0);
  print_message("a node joined %d times: its shares were %.0f replicas, %.0f were moved\n", rounds,
                shares, moved);
}

/* Three zones, three replicas: one in each; two zones: both are used. */
static void test_zones(void **state) {
  struct tp_cluster c = {.nodes = {{1, 1, 100, false, true},
                                   {2, 1, 100, false, true},
                                   {3, 2, 100, false, true},
                                   {4, 3, 100, false, true}}};
  (void)state;
  c.spread = (struct spread){c.nodes, 4, c.shards, 10, 3};
  assert_int_equal(spread_place(&c.spread, true), SPREAD_OK);
  uint32_t on[5] = {0};
  for (size_t i = 0; i < 10; i++)
    for (uint32_t r = 0; r < 3; r++)
      on[c.shards[i].node[r]]++;
  assert_int_equal(on[1], 5);
  assert_int_equal(on[2], 5);
  assert_int_equal(on[3], 10);
  assert_int_equal(on[4], 10);
  c.nodes[3].leaves = true;
  assert_int_equal(spread_place(&c.spread, true), SPREAD_OK);
  for (size_t i = 0; i < 10; i++) {
    bool third = false;
    for (uint32_t r = 0; r < 3; r++)
      third = third || c.shards[i].node[r] == 3;
    assert_true(third);
  }
  for (size_t i = 0; i < 3; i++)
    c.nodes[i].fits = false;
  assert_int_equal(spread_place(&c.spread, true), SPREAD_NO_NODE);
}

static void test_lead(void **state) {
  (void)state;
  tp_state = 5;
  for (int round = 0; round < 200; round++) {
    struct tp_cluster c;
    uint32_t primary[TP_SHARDS], leads[TP_NODES] = {0};
    tp_cluster(&c);
    for (size_t i = 0; i < c.spread.n_nodes; i++)
      c.nodes[i] = (struct spread_node){(uint32_t)i + 1, 0, 100, false, true};
    spread_place(&c.spread, true);
    for (size_t i = 0; i < c.spread.n_shards; i++)
      primary[i] = tp_below(2) ? c.shards[i].node[tp_below(c.shards[i].n)] : 0;
    struct spread_shard before[TP_SHARDS];
    memcpy(before, c.shards, sizeof before);
    assert_true(spread_lead(&c.spread, primary));
    assert_int_equal(tp_changes(before, c.shards, c.spread.n_shards), 0);
    for (size_t i = 0; i < c.spread.n_shards; i++)
      leads[c.shards[i].node[0] - 1]++;
    /* Handing any one shard over could not help. */
    for (size_t i = 0; i < c.spread.n_shards; i++)
      for (uint32_t r = 1; r < c.shards[i].n; r++)
        assert_true(leads[c.shards[i].node[r] - 1] + 1 >= leads[c.shards[i].node[0] - 1]);
  }
}

static void test_advice(void **state) {
  static const struct {
    uint64_t rows[3];
    uint32_t n;
    enum place_size size;
    uint32_t shards;
  } cases[] = {
      {{50000, 50000, 50000}, 3, PLACE_SIZE_GOOD, 3},
      {{10000, 10000, 10000}, 3, PLACE_SIZE_GOOD, 3},
      {{100000, 100000, 100000}, 3, PLACE_SIZE_GOOD, 3},
      {{9000, 9000, 9000}, 3, PLACE_SIZE_SMALL, 1},
      {{100}, 1, PLACE_SIZE_GOOD, 1},
      {{400000, 400000, 400000}, 3, PLACE_SIZE_LARGE, 24},
      {{90000, 10000, 10000}, 3, PLACE_SIZE_UNEVEN, 3},
      {{0, 0, 0}, 3, PLACE_SIZE_SMALL, 1},
      {{0}, 0, PLACE_SIZE_GOOD, 0},
  };
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct place_advice a = place_advise(cases[i].rows, cases[i].n, 4096);
    assert_int_equal(a.size, cases[i].size);
    assert_int_equal(a.shards, cases[i].shards);
    assert_int_equal(*a.text == 0, a.size == PLACE_SIZE_GOOD);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_ring),          cmocka_unit_test(test_table),
      cmocka_unit_test(test_join),          cmocka_unit_test(test_table_refuses),
      cmocka_unit_test(test_routes),        cmocka_unit_test(test_ranges),
      cmocka_unit_test(test_splits_refuse), cmocka_unit_test(test_spread),
      cmocka_unit_test(test_zones),         cmocka_unit_test(test_lead),
      cmocka_unit_test(test_advice),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
