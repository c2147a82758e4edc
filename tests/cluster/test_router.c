/*
 * test_router.c - a router in a simulated cluster (routersim.h): what it answers against everything
 * that is there, what it promises of deadlines, budgets and bytes, what becomes of writes.
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

#include "cluster/routersim.h"
#include "tlib/thorough.h"

static const struct router_options tr_options = {.client = 77, .seed = 5};

/* A request that is under way, and what it is about. */
struct tr_call {
  struct wire_message m;
  struct router_ask ask;
  struct router_result *result;
  int64_t began_us;
  int64_t ended_us;
  int done;
  float queries[3 * RS_DIM];
  int64_t keys[40];
  int64_t stamps[40];
  float vectors[40 * RS_DIM];
  struct wire_column columns[3];
};

static void tr_done(struct rs *s, void *user, struct router_result *result) {
  struct tr_call *c = user;
  assert_int_equal(c->done++, 0);
  assert_non_null(result);
  c->result = result;
  c->ended_us = s->now_us;
  assert_true(s->now_us <= c->ask.deadline_us);
}

static struct rs *tr_open(uint64_t seed, const struct router_options *options) {
  struct rs *s = malloc(sizeof *s);
  rs_open(s, seed, options);
  s->done = tr_done;
  return s;
}

static void tr_close(struct rs *s) {
  rs_close(s);
  free(s);
}

static void tr_free(struct tr_call *c) {
  router_result_free(c->result);
  memset(c, 0, sizeof *c);
}

/* Numbers so small that sums of squares are exact and many distances are equal. */
static void tr_vector(struct rs *s, float *v) {
  for (int i = 0; i < RS_DIM; i++)
    v[i] = (float)rs_random(s, 7) - 3;
}

static void tr_fill(struct rs *s, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) {
    struct rs_row row = {.key = (int64_t)rs_random(s, 4 * n) - n, .stamp = -(int64_t)i};
    tr_vector(s, row.v);
    rs_put(s, &row);
  }
}

static struct tr_call tr_read(uint16_t kind, uint8_t level) {
  struct tr_call c = {.m = {.kind = kind, .has = WIRE_HAS(WIRE_TARGET) | WIRE_HAS(WIRE_READ)}};
  c.m.read.level = level;
  return c;
}

static void tr_submit(struct rs *s, struct tr_call *c, int64_t timeout_us) {
  c->ask.collection = RS_COLL;
  c->ask.message = &c->m;
  c->ask.user = c;
  c->ask.deadline_us = s->now_us + timeout_us;
  c->began_us = s->now_us;
  router_submit(s->router, s->now_us, &c->ask);
}

/* Runs it to its end. */
static void tr_call(struct rs *s, struct tr_call *c, int64_t timeout_us) {
  tr_submit(s, c, timeout_us);
  while (!c->done)
    rs_run(s, s->now_us + 1000);
}

static void tr_search(struct rs *s, struct tr_call *c, uint32_t n, uint32_t k) {
  for (uint32_t i = 0; i < n; i++)
    tr_vector(s, c->queries + i * RS_DIM);
  c->m.search = (struct wire_search){"v", VECDB_FLOAT_VECTOR, RS_DIM, n, k, 0, 0, 0, 0, c->queries};
  c->m.has |= WIRE_HAS(WIRE_VECTORS);
}

/* ---- Everything that is there, in double ---- */

struct tr_true {
  int64_t key;
  double score;
};

static int tr_true_order(const void *x, const void *y) {
  const struct tr_true *a = x, *b = y;
  if (a->score < b->score || a->score > b->score)
    return a->score < b->score ? -1 : 1;
  return (a->key > b->key) - (a->key < b->key);
}

static uint32_t tr_truth(const struct rs *s, const float *query, struct tr_true *out) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < s->n_shards; i++)
    for (uint32_t j = 0; j < s->shards[i].n; j++) {
      const struct rs_row *row = &s->shards[i].log[j];
      if (rs_find(&s->shards[i], s->shards[i].n, row->key) != row)
        continue;
      double sum = 0;
      for (int d = 0; query && d < RS_DIM; d++)
        sum += ((double)query[d] - (double)row->v[d]) * ((double)query[d] - (double)row->v[d]);
      out[n++] = (struct tr_true){row->key, query ? sum : (double)row->key};
    }
  qsort(out, n, sizeof *out, tr_true_order);
  return n;
}

static int64_t tr_key(const struct router_result *r, uint32_t i) {
  return wire_columns_value(router_result_rows(r, r->refs[i]), r->refs[i].row, 0).as.integer;
}

static void tr_check_hits(const struct rs *s, const struct tr_call *c) {
  static struct tr_true truth[RS_LOG];
  const struct router_result *r = c->result;
  assert_int_equal(r->n_queries, c->m.search.n_queries);
  for (uint32_t q = 0; q < r->n_queries; q++) {
    uint32_t n = tr_truth(s, c->queries + q * RS_DIM, truth), k = c->m.search.k;
    assert_int_equal(r->counts[q], n < k ? n : k);
    for (uint32_t i = 0; i < r->counts[q]; i++) {
      assert_int_equal(tr_key(r, q * k + i), truth[i].key);
      assert_true(fabs((double)r->scores[q * k + i] - truth[i].score) < 1e-9);
    }
  }
}

static void test_search(void **state) {
  (void)state;
  struct rs *s = tr_open(1, &tr_options);
  tr_fill(s, 300);
  for (uint32_t k = 1; k < 400; k = k * 2 + 1) {
    struct tr_call c = tr_read(WIRE_SEARCH, (uint8_t)(k % 3));
    tr_search(s, &c, 1 + k % 3, k);
    tr_call(s, &c, 1000000);
    assert_int_equal(c.result->result.code, VECDB_OK);
    assert_int_equal(c.result->result.shards_all, RS_SHARDS);
    tr_check_hits(s, &c);
    tr_free(&c);
  }
  tr_close(s);
}

static void test_query(void **state) {
  (void)state;
  static struct tr_true truth[RS_LOG];
  struct rs *s = tr_open(2, &tr_options);
  tr_fill(s, 200);
  uint32_t n = tr_truth(s, NULL, truth);
  for (uint32_t offset = 0; offset < n + 10; offset += 13)
    for (uint32_t limit = 0; limit < 60; limit += 29) {
      struct tr_call c = tr_read(WIRE_QUERY, WIRE_LOCAL);
      c.m.page = (struct wire_page){limit, offset};
      c.m.has |= WIRE_HAS(WIRE_PAGE);
      tr_call(s, &c, 1000000);
      uint32_t left = n > offset ? n - offset : 0;
      assert_int_equal(c.result->result.code, VECDB_OK);
      assert_int_equal(c.result->n, limit && limit < left ? limit : left);
      for (uint32_t i = 0; i < c.result->n; i++)
        assert_int_equal(tr_key(c.result, i), truth[offset + i].key);
      tr_free(&c);
    }
  struct tr_call c = tr_read(WIRE_COUNT, WIRE_STRONG);
  tr_call(s, &c, 1000000);
  assert_int_equal(c.result->number, n);
  tr_free(&c);
  tr_close(s);
}

static void tr_keys(struct tr_call *c, uint32_t n) {
  c->m.keys = (vecdb_keys){c->keys, NULL, n};
  c->m.has |= WIRE_HAS(WIRE_KEYS);
}

static void test_get(void **state) {
  (void)state;
  struct rs *s = tr_open(3, &tr_options);
  tr_fill(s, 200);
  for (int round = 0; round < 20; round++) {
    struct tr_call c = tr_read(WIRE_GET, WIRE_LOCAL);
    for (uint32_t i = 0; i < 40; i++)
      c.keys[i] = (int64_t)rs_random(s, 800) - 200;
    tr_keys(&c, 40);
    tr_call(s, &c, 1000000);
    assert_int_equal(c.result->result.code, VECDB_OK);
    assert_int_equal(c.result->n_found, 40);
    for (uint32_t i = 0, row = 0; i < 40; i++) {
      const struct rs_shard *sh = &s->shards[rs_shard_of(s, c.keys[i])];
      const struct rs_row *there = rs_find(sh, sh->n, c.keys[i]);
      assert_int_equal(c.result->found[i], there != NULL);
      if (there)
        assert_int_equal(tr_key(c.result, row++), c.keys[i]);
    }
    tr_free(&c);
  }
  tr_close(s);
}

/* ---- Writes ---- */

static struct tr_call tr_upsert(struct rs *s, uint32_t n, int64_t stamp) {
  struct tr_call c = {
      .m = {.kind = WIRE_WRITE,
            .has = WIRE_HAS(WIRE_TARGET) | WIRE_HAS(WIRE_OP) | WIRE_HAS(WIRE_BATCH)}};
  for (uint32_t i = 0; i < n; i++) {
    c.keys[i] = rs_random(s, 300);
    c.stamps[i] = stamp;
    tr_vector(s, c.vectors + i * RS_DIM);
  }
  c.m.write.kind = WIRE_UPSERT;
  c.m.rows = (struct wire_columns){n, 3, NULL, NULL};
  return c;
}

/* Its columns point into it, so they are made where it stays. */
static void tr_place(struct tr_call *c) {
  c->columns[0] = (struct wire_column){"id", VECDB_INT64, 0, 0, c->keys, 0, NULL, NULL};
  c->columns[1] = (struct wire_column){"stamp", VECDB_INT64, 0, 0, c->stamps, 0, NULL, NULL};
  c->columns[2] =
      (struct wire_column){"v", VECDB_FLOAT_VECTOR, 0, RS_DIM, c->vectors, 0, NULL, NULL};
  c->m.rows.columns = c->columns;
}

/* How many entries of the logs are of this write. */
static uint32_t tr_written(const struct rs *s, int64_t stamp) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < s->n_shards; i++)
    for (uint32_t j = 0; j < s->shards[i].n; j++)
      n += s->shards[i].log[j].stamp == stamp && !s->shards[i].log[j].gone &&
           rs_shard_of(s, s->shards[i].log[j].key) == i;
  return n;
}

static void test_delete(void **state) {
  (void)state;
  struct rs *s = tr_open(4, &tr_options);
  tr_fill(s, 200);
  struct tr_call c = {.m = {.kind = WIRE_WRITE, .has = WIRE_HAS(WIRE_TARGET) | WIRE_HAS(WIRE_OP)}};
  uint64_t there = 0;
  for (uint32_t i = 0; i < 40; i++) {
    c.keys[i] = (int64_t)(i * 15) - 200;
    const struct rs_shard *sh = &s->shards[rs_shard_of(s, c.keys[i])];
    there += rs_find(sh, sh->n, c.keys[i]) != NULL;
  }
  c.m.write.kind = WIRE_DELETE;
  tr_keys(&c, 40);
  tr_call(s, &c, 1000000);
  assert_int_equal(c.result->result.code, VECDB_OK);
  assert_int_equal(c.result->number, there);
  for (uint32_t i = 0; i < 40; i++) {
    const struct rs_shard *sh = &s->shards[rs_shard_of(s, c.keys[i])];
    assert_null(rs_find(sh, sh->n, c.keys[i]));
  }
  tr_free(&c);
  tr_close(s);
}

/* ---- Everything at once ---- */

enum { TR_CALLS = 24 };

struct tr_chaos {
  struct rs *s;
  struct tr_call calls[TR_CALLS];
  struct router_session session; /* of one request at a time */
  bool session_busy;
  int64_t stamp;
  int64_t seen[300]; /* the last stamp of a key that the session wrote */
  uint32_t ok;
  uint32_t failed;
  bool writes;
  bool partial;
};

static void tr_begin(struct tr_chaos *t, struct tr_call *c) {
  struct rs *s = t->s;
  static const uint16_t kinds[] = {WIRE_SEARCH, WIRE_SEARCH, WIRE_GET, WIRE_COUNT, WIRE_WRITE};
  uint16_t kind = kinds[rs_random(s, t->writes ? 5 : 4)];
  bool session = t->writes && !t->session_busy && (kind == WIRE_GET || kind == WIRE_WRITE);
  if (kind == WIRE_WRITE) {
    *c = tr_upsert(s, 1 + rs_random(s, 12), ++t->stamp);
    tr_place(c);
  } else {
    *c = tr_read(kind, session ? WIRE_SESSION : rs_random(s, 2) ? WIRE_LOCAL : WIRE_STRONG);
  }
  if (kind == WIRE_SEARCH)
    tr_search(s, c, 1 + rs_random(s, 2), 1 + rs_random(s, 20));
  for (uint32_t i = 0; kind == WIRE_GET && i < 10; i++)
    c->keys[i] = rs_random(s, 300);
  if (kind == WIRE_GET)
    tr_keys(c, 10);
  c->ask.partial = t->partial && rs_random(s, 2);
  if (session) {
    c->ask.session = &t->session;
    t->session_busy = true;
  }
  tr_submit(s, c, 20000 + rs_random(s, 4000000));
}

/* What the session wrote it reads, or what was written after. */
static void tr_end_session(struct tr_chaos *t, struct tr_call *c) {
  const struct router_result *r = c->result;
  t->session_busy = false;
  if (r->result.code)
    return;
  if (c->m.kind == WIRE_WRITE)
    for (uint32_t i = 0; i < c->m.rows.n_rows; i++)
      t->seen[c->keys[i]] = c->stamps[i];
  for (uint32_t i = 0, row = 0; c->m.kind == WIRE_GET && !r->result.partial && i < 10; i++) {
    assert_true(r->found[i] || !t->seen[c->keys[i]]);
    if (!r->found[i])
      continue;
    const struct rs_shard *sh = &t->s->shards[rs_shard_of(t->s, c->keys[i])];
    int64_t stamp =
        wire_columns_value(router_result_rows(r, r->refs[row]), r->refs[row].row, 1).as.integer;
    uint32_t at = 0, own = 0;
    for (uint32_t j = 0; j < sh->n; j++) {
      at = sh->log[j].key == c->keys[i] && sh->log[j].stamp == stamp ? j : at;
      own = sh->log[j].key == c->keys[i] && sh->log[j].stamp == t->seen[c->keys[i]] ? j : own;
    }
    assert_true(at >= own);
    row++;
  }
}

static void tr_end(struct tr_chaos *t, struct tr_call *c) {
  const struct router_result *r = c->result;
  bool ok = !r->result.code;
  t->ok += ok;
  t->failed += !ok;
  assert_true(ok || (*r->result.message && r->result.shards_ok < r->result.shards_all));
  assert_true(c->ask.partial || !r->result.partial);
  assert_true(!ok || r->result.partial == (r->result.shards_ok < r->result.shards_all));
  if (c->m.kind == WIRE_WRITE) {
    uint32_t n = tr_written(t->s, c->stamps[0]);
    assert_true(ok ? n == c->m.rows.n_rows : n <= c->m.rows.n_rows);
  } else if (c->m.kind == WIRE_SEARCH && ok && !r->result.partial && !t->writes) {
    tr_check_hits(t->s, c);
  }
  if (c->ask.session)
    tr_end_session(t, c);
  tr_free(c);
}

static void tr_chaos(struct tr_chaos *t, uint64_t seed, struct rs_faults faults, int64_t for_us) {
  struct rs *s = t->s = tr_open(seed, &tr_options);
  tr_fill(s, 150);
  s->faults = faults;
  for (int64_t end_us = s->now_us + for_us; s->now_us < end_us;) {
    struct tr_call *c = &t->calls[rs_random(s, TR_CALLS)];
    if (!c->ask.user)
      tr_begin(t, c);
    rs_run(s, s->now_us + 1000 + rs_random(s, 20000));
    for (uint32_t i = 0; i < TR_CALLS; i++)
      if (t->calls[i].done)
        tr_end(t, &t->calls[i]);
  }
  s->faults = (struct rs_faults){0};
  rs_run(s, s->now_us + 5000000);
  for (uint32_t i = 0; i < TR_CALLS; i++) {
    assert_true(!t->calls[i].ask.user || t->calls[i].done);
    if (t->calls[i].done)
      tr_end(t, &t->calls[i]);
  }
  struct router_stats st = router_stats(s->router);
  assert_true(st.hedges * 20 <= st.messages);
  assert_true(st.retries <= st.messages / 10 + 20 + 10 * (uint64_t)(s->now_us / 1000000));
  assert_int_equal(st.under_way, 0);
  assert_int_equal(st.bytes, 0);
  router_session_free(&t->session);
  tr_close(s);
}

/* VDB_N and VDB_FROM in the environment. */
static uint32_t tr_seeds = TEST_SIZES(120, 36, 2);
static uint32_t tr_first = 1;

static void test_chaos(void **state) {
  (void)state;
  static struct tr_chaos t;
  uint32_t ok = 0, failed = 0;
  for (uint32_t seed = tr_first; seed < tr_first + tr_seeds; seed++) {
    struct rs_faults faults = {.loss = seed % 4 * 3,
                               .slow = seed % 3 * 10,
                               .refused = seed % 5 * 10,
                               .deaths = seed % 7 * 3,
                               .moves = seed % 2 * 5,
                               .lag = seed % 3 == 0,
                               .splits = seed % 5 < 3 ? 20 : 0};
    memset(&t, 0, sizeof t);
    t.writes = seed % 2 || seed % 3 == 0;
    t.partial = seed % 3 == 1;
    tr_chaos(&t, seed, faults, 3000000);
    ok += t.ok;
    failed += t.failed;
  }
  assert_true(ok > 4 * failed);
  print_message("%u seeds from %u: %u requests answered, %u not\n", tr_seeds, tr_first, ok, failed);
}

/* Nodes die and come back, nothing else: whoever has time gets an answer. */
static void test_nothing_fails(void **state) {
  (void)state;
  struct rs *s = tr_open(11, &tr_options);
  tr_fill(s, 150);
  for (uint32_t round = 0; round < TEST_SIZE(60, 15); round++) {
    struct tr_call c = tr_read(WIRE_SEARCH, WIRE_LOCAL), w = tr_upsert(s, 12, 1000 + round);
    if (round % 10 == 3)
      rs_kill(s, 1 + round / 10 % RS_NODES, round % 20 == 3, 2500000);
    tr_place(&w);
    tr_search(s, &c, 1, 10);
    tr_submit(s, &w, 10000000);
    tr_call(s, &c, 10000000);
    while (!w.done)
      rs_run(s, s->now_us + 1000);
    assert_int_equal(c.result->result.code, VECDB_OK);
    assert_int_equal(w.result->result.code, VECDB_OK);
    assert_int_equal(tr_written(s, 1000 + round), 12);
    rs_run(s, s->now_us + 100000);
    tr_free(&c);
    tr_free(&w);
  }
  tr_close(s);
}

/* ---- Single promises ---- */

/* A leader is gone or hangs, and another takes over after a while: a write goes to the second as
   soon as that is known, however long the first would still be waited for. */
static void tr_succeed(bool hangs) {
  struct rs *s = tr_open(12, &tr_options);
  uint32_t gone = s->shards[0].primary;
  rs_run(s, s->now_us + 100000);
  s->nodes[gone].dead = !hangs;
  s->nodes[gone].hung = hangs;
  s->nodes[gone].until_us = INT64_MAX;
  struct tr_call w = tr_upsert(s, 12, 1000);
  tr_place(&w);
  tr_submit(s, &w, 9000000);
  int64_t over_us = 0;
  for (bool led = true; led;) {
    over_us = s->now_us;
    rs_run(s, s->now_us + 1000);
    led = false;
    for (uint32_t i = 0; i < RS_SHARDS; i++)
      led |= s->shards[i].primary == gone;
  }
  while (!w.done)
    rs_run(s, s->now_us + 1000);
  assert_int_equal(w.result->result.code, VECDB_OK);
  assert_int_equal(tr_written(s, 1000), 12);
  assert_true(w.ended_us - over_us < 120000);
  tr_free(&w);
  tr_close(s);
}

static void test_successor(void **state) {
  (void)state;
  tr_succeed(false);
  tr_succeed(true);
}

/* A shard whose nodes say nothing: nothing partial comes without a wish, and words say why. */
static void test_partial(void **state) {
  (void)state;
  struct rs *s = tr_open(5, &tr_options);
  tr_fill(s, 100);
  for (uint32_t j = 0; j < RS_REPLICAS; j++)
    rs_kill(s, s->shards[0].nodes[j], true, 10000000);
  for (int wish = 0; wish < 2; wish++) {
    struct tr_call c = tr_read(WIRE_SEARCH, WIRE_STRONG);
    tr_search(s, &c, 1, 10);
    c.ask.partial = wish;
    tr_call(s, &c, 300000);
    const struct wire_result *r = &c.result->result;
    assert_int_equal(r->code, wish ? VECDB_OK : VECDB_ERR_TIMEOUT);
    assert_int_equal(r->partial, wish);
    assert_true(r->shards_ok < RS_SHARDS && r->shards_all == RS_SHARDS);
    assert_int_equal(c.ended_us - c.began_us, 300000);
    tr_free(&c);
  }
  tr_close(s);
}

static int tr_time_order(const void *x, const void *y) {
  const int64_t *a = x, *b = y;
  return (*a > *b) - (*a < *b);
}

/* Messages that are late delay few searches, and the second copies are few. */
static void test_hedging(void **state) {
  (void)state;
  static int64_t took_us[2][400];
  for (int hedging = 0; hedging < 2; hedging++) {
    struct router_options options = tr_options;
    options.no_hedging = !hedging;
    struct rs *s = tr_open(6, &options);
    tr_fill(s, 60);
    s->faults.slow = 5;
    for (int i = 0; i < 400; i++) {
      struct tr_call c = tr_read(WIRE_SEARCH, WIRE_LOCAL);
      tr_search(s, &c, 1, 5);
      tr_call(s, &c, 1000000);
      assert_int_equal(c.result->result.code, VECDB_OK);
      took_us[hedging][i] = c.ended_us - c.began_us;
      tr_free(&c);
    }
    struct router_stats st = router_stats(s->router);
    assert_true(hedging ? st.hedges && st.hedges * 20 <= st.messages : !st.hedges);
    qsort(took_us[hedging], 400, sizeof **took_us, tr_time_order);
    tr_close(s);
  }
  /* Of 100 searches some six have a late message; what the budget allows makes that two. */
  assert_true(took_us[1][388] * 2 < took_us[0][388]);
}

/* Where all nodes need longer than a try is given at first, a later one is given more. */
static void test_slow(void **state) {
  (void)state;
  static const uint8_t levels[] = {WIRE_LOCAL, WIRE_STRONG};
  for (size_t i = 0; i < 2; i++) {
    struct rs *s = tr_open(8, &tr_options);
    tr_fill(s, 60);
    for (uint32_t node = 0; node < RS_NODES + 1; node++)
      s->nodes[node].slower = 10000; /* seconds, each way */
    struct tr_call c = tr_read(WIRE_SEARCH, levels[i]);
    tr_search(s, &c, 1, 5);
    tr_call(s, &c, 200000000);
    assert_int_equal(c.result->result.code, VECDB_OK);
    tr_check_hits(s, &c);
    tr_free(&c);
    tr_close(s);
  }
}

/* Nodes that are gone are asked now and then, not always: also when they are most of them. */
static void tr_spares(uint32_t gone) {
  struct rs *s = tr_open(7, &tr_options);
  tr_fill(s, 60);
  for (uint32_t node = 2; node < 2 + gone; node++)
    rs_kill(s, node, false, 100000000);
  for (uint32_t i = 0; i < RS_SHARDS; i++)
    for (uint32_t j = 0; j < RS_REPLICAS; j++)
      if (!s->nodes[s->shards[i].nodes[j]].dead)
        rs_lead(s, i, s->shards[i].nodes[j]);
  for (int i = 0; i < 200; i++) {
    struct tr_call c = tr_read(WIRE_SEARCH, WIRE_LOCAL);
    tr_search(s, &c, 1, 5);
    tr_call(s, &c, 1000000);
    assert_int_equal(c.result->result.code, VECDB_OK);
    tr_check_hits(s, &c);
    tr_free(&c);
  }
  assert_true(router_stats(s->router).retries < 40); /* of 1,200 messages, gone * 240 to those */
  tr_close(s);
}

static void test_breaker_spares(void **state) {
  (void)state;
  tr_spares(1);
  tr_spares(2);
}

static void test_bytes(void **state) {
  (void)state;
  struct router_options options = tr_options;
  options.bytes = 100000;
  static struct tr_call calls[40];
  struct rs *s = tr_open(8, &options);
  uint32_t refused = 0;
  for (uint32_t i = 0; i < 40; i++) {
    calls[i] = tr_read(WIRE_SEARCH, WIRE_LOCAL);
    tr_search(s, &calls[i], 3, 5);
    tr_submit(s, &calls[i], 1000000);
    assert_true(router_stats(s->router).bytes <= 100000);
  }
  rs_run(s, s->now_us + 1000000);
  for (uint32_t i = 0; i < 40; i++) {
    int code = calls[i].result->result.code;
    assert_true(!code || (code == WIRE_OVERLOADED && calls[i].result->result.retry_ms));
    refused += code != 0;
    tr_free(&calls[i]);
  }
  assert_true(refused > 5 && refused < 35);
  assert_int_equal(router_stats(s->router).refused, refused);
  assert_int_equal(router_stats(s->router).bytes, 0);
  tr_close(s);
}

static void test_bad_asks(void **state) {
  (void)state;
  struct rs *s = tr_open(9, &tr_options);
  struct tr_call c = tr_upsert(s, 5, 1);
  tr_place(&c);
  c.columns[0].name = "no";
  tr_submit(s, &c, 1000);
  assert_int_equal(c.result->result.code, VECDB_ERR_MISSING_FIELD);
  assert_string_equal(c.result->result.field, "id");
  tr_free(&c);
  c = tr_upsert(s, 5, 1);
  tr_place(&c);
  static const uint8_t valid[] = {1, 1, 0, 1, 1};
  c.columns[0].valid = valid;
  tr_submit(s, &c, 1000);
  assert_int_equal(c.result->result.code, VECDB_ERR_NULL_VALUE);
  assert_int_equal(c.result->result.row, 2);
  tr_free(&c);
  c = tr_read(WIRE_SEARCH, WIRE_LOCAL);
  tr_search(s, &c, 3, 5);
  c.m.search.n_queries = 1024;
  c.m.search.k = 1025;
  tr_submit(s, &c, 1000);
  assert_int_equal(c.result->result.code, VECDB_ERR_LIMIT);
  tr_free(&c);
  c = tr_read(WIRE_COUNT, WIRE_LOCAL);
  tr_submit(s, &c, 0);
  assert_int_equal(c.result->result.code, VECDB_ERR_TIMEOUT);
  tr_free(&c);
  c = tr_read(WIRE_COUNT, WIRE_LOCAL);
  tr_submit(s, &c, 1000);
  router_cancel(s->router, s->now_us, &c);
  assert_int_equal(c.result->result.code, VECDB_ERR_CANCELLED);
  tr_free(&c);
  c = tr_read(WIRE_COUNT, WIRE_LOCAL);
  tr_submit(s, &c, 1000);
  router_drop_map(s->router, RS_COLL, s->now_us);
  assert_int_equal(c.result->result.code, VECDB_ERR_CLOSED);
  tr_free(&c);
  tr_submit(s, &c, 1000);
  assert_int_equal(c.result->result.code, VECDB_ERR_NOT_FOUND);
  tr_free(&c);
  tr_close(s);
}

/* ---- Large writes: in pieces, one after the other ---- */

struct tr_taken {
  uint64_t requests[64];
  uint32_t nodes[64];
  uint32_t n;
  uint32_t rows;
  uint32_t open[RS_SHARDS]; /* pieces under way to a shard */
  uint64_t count[RS_SHARDS];
  uint8_t *seen;
  int done;
};

static bool tr_take(void *arg, uint32_t node, uint64_t request, uint32_t deadline_ms,
                    const void *payload, size_t n) {
  struct tr_taken *t = arg;
  struct wire_mem mem = {0};
  struct wire_message m;
  assert_true(n <= WIRE_BODY_MAX && deadline_ms);
  assert_int_equal(wire_message_read(payload, n, &mem, &m), WIRE_OK);
  assert_int_equal(t->open[m.target.shard]++, 0);
  assert_int_equal(m.write.count, ++t->count[m.target.shard]);
  for (uint32_t i = 0; i < m.rows.n_rows; i++) {
    int64_t key = wire_columns_value(&m.rows, i, 0).as.integer;
    assert_int_equal(t->seen[key]++, 0);
  }
  t->rows += m.rows.n_rows;
  t->nodes[t->n] = node;
  t->requests[t->n++] = request;
  wire_mem_free(&mem);
  return true;
}

static void tr_taken_done(void *arg, void *user, struct router_result *result) {
  struct tr_taken *t = arg;
  (void)user;
  assert_int_equal(result->result.code, VECDB_OK);
  t->done++;
  router_result_free(result);
}

static void tr_no_refresh(void *arg, uint32_t collection) {
  (void)arg;
  (void)collection;
}

static void tr_no_cancel(void *arg, uint32_t node, uint64_t request) {
  (void)arg;
  (void)node;
  (void)request;
}

/* Answers the oldest message, to whichever shard it was. */
static void tr_reply(struct router *router, struct tr_taken *t, uint32_t i) {
  struct wire_message m = {.kind = WIRE_ANSWER, .has = WIRE_HAS(WIRE_RESULT)};
  struct wire_out out;
  wire_out_init(&out, WIRE_LIMIT);
  wire_message_write(&m, &out);
  memset(t->open, 0, sizeof t->open);
  router_answer(router, 2, t->nodes[i], t->requests[i], out.data, out.n);
}

static void test_pieces(void **state) {
  (void)state;
  enum { ROWS = 900000 };
  struct tr_taken t = {.seen = calloc(1, ROWS)};
  const struct router_host host = {&t, tr_take, tr_no_cancel, tr_taken_done, tr_no_refresh};
  struct rs *s = tr_open(12, &tr_options);
  struct router_map *map = rs_map(s);
  struct router *router = router_open(&tr_options, &host);
  int64_t *keys = malloc(ROWS * sizeof *keys);
  float *vectors = calloc(ROWS, RS_DIM * sizeof *vectors);
  for (int64_t i = 0; i < ROWS; i++)
    keys[i] = i;
  struct tr_call c = tr_upsert(s, 1, 1);
  tr_place(&c);
  c.columns[0].data = c.columns[1].data = keys;
  c.columns[2].data = vectors;
  c.m.rows.n_rows = ROWS;
  c.ask = (struct router_ask){.collection = RS_COLL, .message = &c.m, .deadline_us = 1000000};
  assert_true(router_set_map(router, map));
  router_submit(router, 1, &c.ask);
  for (uint32_t i = 0; i < t.n; i++)
    tr_reply(router, &t, i);
  assert_int_equal(t.done, 1);
  assert_int_equal(t.rows, ROWS);
  assert_true(t.n >= 2 * RS_SHARDS);
  router_map_drop(map);
  router_close(router);
  tr_close(s);
  free(keys);
  free(vectors);
  free(t.seen);
}

/* Nodes tell the map of a shard that was split before the metadata store does, and others meanwhile
   a later revision of it as it was before: that does not come back. */
static void test_map_order(void **state) {
  static const struct {
    uint32_t generation;
    int64_t revision;
    bool taken;
  } told[] = {{0, 5, true},  {0, 4, false}, {1, 3, true}, {0, 9, false},
              {1, 2, false}, {1, 8, true},  {2, 1, true}, {1, 99, false}};
  (void)state;
  struct rs *s = tr_open(13, &tr_options);
  struct tr_taken t = {0};
  const struct router_host host = {&t, tr_take, tr_no_cancel, tr_taken_done, tr_no_refresh};
  struct router *router = router_open(&tr_options, &host);
  for (size_t i = 0; i < sizeof told / sizeof *told; i++) {
    struct router_map *map = rs_map(s);
    assert_true(doc_slots_set_generation(&map->slots, 0, told[i].generation));
    map->revision = told[i].revision;
    assert_true(router_set_map(router, map));
    assert_int_equal(router_get_map(router, RS_COLL) == map, told[i].taken);
    router_map_drop(map);
  }
  router_close(router);
  tr_close(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_search),    cmocka_unit_test(test_query),
      cmocka_unit_test(test_get),       cmocka_unit_test(test_delete),
      cmocka_unit_test(test_chaos),     cmocka_unit_test(test_nothing_fails),
      cmocka_unit_test(test_successor), cmocka_unit_test(test_partial),
      cmocka_unit_test(test_hedging),   cmocka_unit_test(test_breaker_spares),
      cmocka_unit_test(test_bytes),     cmocka_unit_test(test_bad_asks),
      cmocka_unit_test(test_pieces),    cmocka_unit_test(test_slow),
      cmocka_unit_test(test_map_order),
  };
  const char *n = getenv("VDB_N"), *from = getenv("VDB_FROM");
  if (n)
    tr_seeds = (uint32_t)strtoul(n, NULL, 10);
  if (from)
    tr_first = (uint32_t)strtoul(from, NULL, 10);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
