/*
 * conform.h - what every metadata store must do, as a table of cases; run against the model and
 * against a real etcd by test_meta_conform.c.
 */
#ifndef CONFORM_H
#define CONFORM_H

#include "metatest.h"

/* Forgets revisions before this one, by whatever means the store has. */
typedef void conform_compact(struct mt *t, int64_t revision);

static conform_compact *conform_compaction;

static void conform_put_get(struct mt *t) {
  struct mt_result *r = mt_do1(t, mt_get(t, "a"));
  assert_int_equal(r->r.status, META_OK);
  assert_true(r->r.succeeded);
  assert_int_equal(r->answers[0].n, 0);
  assert_int_equal(r->answers[0].count, 0);
  int64_t before = r->r.revision;
  assert_true(before >= 1);
  r = mt_do1(t, mt_put(t, "a", "one"));
  assert_int_equal(r->r.revision, before + 1);
  r = mt_do1(t, mt_put(t, "a", "two"));
  assert_int_equal(r->r.revision, before + 2);
  r = mt_do1(t, mt_get(t, "a"));
  assert_int_equal(r->n_kvs, 1);
  assert_string_equal(r->kvs[0].value, "two");
  assert_int_equal(r->kvs[0].kv.create_revision, before + 1);
  assert_int_equal(r->kvs[0].kv.mod_revision, before + 2);
  assert_int_equal(r->kvs[0].kv.version, 2);
  assert_int_equal(r->kvs[0].kv.lease, 0);
  assert_int_equal(r->r.revision, before + 2);
  r = mt_do1(t, mt_delete(t, "a"));
  assert_int_equal(r->answers[0].count, 1);
  assert_int_equal(r->r.revision, before + 3);
  r = mt_do1(t, mt_delete(t, "a"));
  assert_int_equal(r->answers[0].count, 0);
  assert_int_equal(r->r.revision, before + 3); /* nothing was written */
  mt_do1(t, mt_put(t, "a", "anew"));
  r = mt_do1(t, mt_get(t, "a"));
  assert_int_equal(r->kvs[0].kv.version, 1);
  assert_int_equal(r->kvs[0].kv.create_revision, before + 4);
}

static void conform_range(struct mt *t) {
  const char *const names[] = {"r/b", "r/a", "r/c", "r/aa", "s"};
  for (size_t i = 0; i < 5; i++)
    mt_do1(t, mt_put(t, names[i], names[i]));
  struct meta_op op = mt_get(t, "r/");
  op.end = mt_key(t, "r0"); /* '0' follows '/' */
  struct mt_result *r = mt_do1(t, op);
  const char *const ascending[] = {"r/a", "r/aa", "r/b", "r/c"};
  assert_int_equal(r->answers[0].n, 4);
  assert_int_equal(r->answers[0].count, 4);
  assert_false(r->answers[0].more);
  for (size_t i = 0; i < 4; i++)
    assert_string_equal(r->kvs[i].value, ascending[i]);
  op.limit = 2;
  op.keys_only = true;
  r = mt_do1(t, op);
  assert_int_equal(r->answers[0].n, 2);
  assert_int_equal(r->answers[0].count, 4);
  assert_true(r->answers[0].more);
  assert_int_equal(r->kvs[0].n_value, 0);
  op.key = mt_key(t, "r/aa");
  op.end = mt_key(t, "r/c"); /* the end is not included */
  r = mt_do1(t, op);
  assert_int_equal(r->answers[0].n, 2);
  assert_false(r->answers[0].more);
  op = mt_delete(t, "r/");
  op.end = mt_key(t, "r0");
  r = mt_do1(t, op);
  assert_int_equal(r->answers[0].count, 4);
  r = mt_do1(t, mt_get(t, "s"));
  assert_int_equal(r->answers[0].n, 1);
}

static bool conform_holds(struct mt *t, const char *name, enum meta_target target,
                          enum meta_relation relation, int64_t number, const char *value) {
  const struct meta_compare c = {mt_key(t, name), target, relation, number, meta_text(value)};
  const struct meta_op get = mt_get(t, name);
  const struct meta_txn txn = {&c, &get, &get, 1, 1, 1};
  struct mt_result *r = mt_txn(t, &txn);
  assert_int_equal(r->r.status, META_OK);
  assert_int_equal(r->r.n_answers, 1);
  return r->r.succeeded;
}

static void conform_compares(struct mt *t) {
  mt_do1(t, mt_put(t, "k", "m"));
  struct mt_result *r = mt_do1(t, mt_put(t, "k", "n"));
  int64_t mod = r->r.revision;
  r = mt_do1(t, mt_get(t, "k"));
  const struct {
    enum meta_target target;
    int64_t is;
  } targets[] = {{META_CREATE, r->kvs[0].kv.create_revision},
                 {META_MOD, mod},
                 {META_VERSION, 2},
                 {META_LEASE, 0}};
  for (size_t i = 0; i < 4; i++)
    for (int64_t by = -1; by <= 1; by++) {
      int64_t given = targets[i].is + by;
      enum meta_target target = targets[i].target;
      assert_int_equal(conform_holds(t, "k", target, META_EQUAL, given, ""), by == 0);
      assert_int_equal(conform_holds(t, "k", target, META_NOT_EQUAL, given, ""), by != 0);
      assert_int_equal(conform_holds(t, "k", target, META_LESS, given, ""), by > 0);
      assert_int_equal(conform_holds(t, "k", target, META_GREATER, given, ""), by < 0);
      assert_int_equal(conform_holds(t, "absent", target, META_EQUAL, by, ""), by == 0);
      assert_int_equal(conform_holds(t, "absent", target, META_LESS, by, ""), by > 0);
    }
  const char *const values[] = {"m", "n", "na", "o", ""};
  for (size_t i = 0; i < 5; i++) {
    int c = strcmp("n", values[i]);
    assert_int_equal(conform_holds(t, "k", META_VALUE, META_EQUAL, 0, values[i]), c == 0);
    assert_int_equal(conform_holds(t, "k", META_VALUE, META_NOT_EQUAL, 0, values[i]), c != 0);
    assert_int_equal(conform_holds(t, "k", META_VALUE, META_LESS, 0, values[i]), c < 0);
    assert_int_equal(conform_holds(t, "k", META_VALUE, META_GREATER, 0, values[i]), c > 0);
    for (int rel = META_EQUAL; rel <= META_GREATER; rel++)
      assert_false(conform_holds(t, "absent", META_VALUE, (enum meta_relation)rel, 0, values[i]));
  }
}

static void conform_branches(struct mt *t) {
  const struct meta_compare c = {mt_key(t, "x"), META_CREATE, META_EQUAL, 0, {NULL, 0}};
  const struct meta_op then[] = {mt_put(t, "x", "1"), mt_get(t, "x"), mt_put(t, "y", "2"),
                                 mt_delete(t, "z")};
  const struct meta_op otherwise[] = {mt_get(t, "y"), mt_delete(t, "x"), mt_get(t, "x")};
  const struct meta_txn txn = {&c, then, otherwise, 1, 4, 3};
  mt_do1(t, mt_put(t, "z", "0"));
  struct mt_result *r = mt_txn(t, &txn);
  assert_true(r->r.succeeded);
  assert_int_equal(r->r.n_answers, 4);
  assert_int_equal(r->answers[1].n, 1); /* it sees the put before it */
  assert_int_equal(r->kvs[0].kv.mod_revision, r->r.revision);
  assert_int_equal(r->answers[3].count, 1);
  int64_t at = r->r.revision;
  r = mt_txn(t, &txn);
  assert_false(r->r.succeeded);
  assert_int_equal(r->r.n_answers, 3);
  assert_string_equal(r->kvs[0].value, "2");
  assert_int_equal(r->kvs[0].kv.mod_revision, at); /* all puts of one transaction share it */
  assert_int_equal(r->answers[1].count, 1);
  assert_int_equal(r->answers[2].n, 0);
  assert_int_equal(r->r.revision, at + 1);
  const struct meta_txn nothing = {&c, then, NULL, 1, 4, 0};
  mt_do1(t, mt_put(t, "x", "there"));
  r = mt_txn(t, &nothing);
  assert_int_equal(r->r.status, META_OK);
  assert_false(r->r.succeeded);
  assert_int_equal(r->r.n_answers, 0);
}

static void conform_overlapping_deletes(struct mt *t) {
  const char *const names[] = {"d/1", "d/2", "d/3"};
  for (size_t i = 0; i < 3; i++)
    mt_do1(t, mt_put(t, names[i], ""));
  struct meta_op ops[2] = {mt_delete(t, "d/1"), mt_delete(t, "d/2")};
  ops[0].end = mt_key(t, "d/3");
  ops[1].end = mt_key(t, "d/9");
  struct mt_result *r = mt_do(t, ops, 2);
  assert_int_equal(r->answers[0].count, 2);
  assert_int_equal(r->answers[1].count, 1);
}

static void conform_bytes(struct mt *t) {
  struct meta_op put = mt_put(t, "bytes", "");
  char key[64];
  memcpy(key, put.key.data, put.key.n);
  memcpy(key + put.key.n, "\0\xff\n\"\\", 5);
  put.key = (struct meta_bytes){key, put.key.n + 5};
  char value[300];
  for (size_t i = 0; i < sizeof value; i++)
    value[i] = (char)i;
  for (size_t n = 0; n < sizeof value; n += n < 5 ? 1 : 59) {
    put.value = (struct meta_bytes){value, n};
    mt_do1(t, put);
    struct meta_op get = put;
    get.kind = META_GET;
    struct mt_result *r = mt_do1(t, get);
    assert_int_equal(r->n_kvs, 1);
    assert_int_equal(r->kvs[0].n_key, put.key.n);
    assert_memory_equal(r->kvs[0].key, key, put.key.n);
    assert_int_equal(r->kvs[0].n_value, n);
    assert_memory_equal(r->kvs[0].value, value, n);
  }
}

static void conform_limits(struct mt *t) {
  static char big[META_VALUE_MAX + 1];
  struct meta_op ops[META_TXN_MAX + 1];
  struct meta_txn txn = {.then = ops, .n_then = 1};
  struct mt_result none = {0};
  ops[0] = mt_put(t, "big", "");
  ops[0].value = (struct meta_bytes){big, META_VALUE_MAX};
  struct mt_result *r = mt_txn(t, &txn);
  assert_int_equal(r->r.status, META_OK);
  ops[0].value.n++;
  assert_int_equal(meta_txn(t->store, &txn, 0, mt_done, &none), META_LIMIT);
  ops[0] = mt_put(t, "big", "");
  ops[0].key = (struct meta_bytes){big, META_KEY_MAX + 1};
  assert_int_equal(meta_txn(t->store, &txn, 0, mt_done, &none), META_LIMIT);
  ops[0].key.n = 0;
  assert_int_equal(meta_txn(t->store, &txn, 0, mt_done, &none), META_INVALID);
  for (size_t i = 0; i <= META_TXN_MAX; i++)
    ops[i] = mt_get(t, "big");
  for (size_t i = 0; i <= META_TXN_MAX; i++)
    ops[i].keys_only = true;
  txn.n_then = META_TXN_MAX;
  r = mt_txn(t, &txn);
  assert_int_equal(r->r.status, META_OK);
  assert_int_equal(r->r.n_answers, META_TXN_MAX);
  txn.n_then++;
  assert_int_equal(meta_txn(t->store, &txn, 0, mt_done, &none), META_LIMIT);
  ops[0] = ops[1] = mt_put(t, "twice", "");
  txn.n_then = 2;
  assert_int_equal(meta_txn(t->store, &txn, 0, mt_done, &none), META_INVALID);
  ops[1] = mt_delete(t, "t");
  ops[1].end = mt_key(t, "u");
  assert_int_equal(meta_txn(t->store, &txn, 0, mt_done, &none), META_INVALID);
  txn.n_then = 0;
  assert_int_equal(meta_txn(t->store, &txn, 0, mt_done, &none), META_INVALID);
  assert_int_equal(meta_grant(t->store, 0, 0, mt_done, &none), META_INVALID);
  assert_int_equal(meta_keep(t->store, 0, 0, mt_done, &none), META_INVALID);
}

static void conform_history(struct mt *t) {
  int64_t revisions[3];
  for (int i = 0; i < 3; i++)
    revisions[i] = mt_do1(t, mt_put(t, "h", (const char *[]){"0", "1", "2"}[i]))->r.revision;
  struct meta_op get = mt_get(t, "h");
  for (int i = 0; i < 3; i++) {
    get.revision = revisions[i];
    struct mt_result *r = mt_do1(t, get);
    assert_int_equal(r->r.status, META_OK);
    assert_int_equal(r->kvs[0].value[0], '0' + i);
  }
  get.revision = revisions[0] - 1;
  assert_int_equal(mt_do1(t, get)->answers[0].n, 0);
  get.revision = revisions[2] + 1000;
  assert_int_equal(mt_do1(t, get)->r.status, META_INVALID);
  conform_compaction(t, revisions[1]);
  get.revision = revisions[0];
  assert_int_equal(mt_do1(t, get)->r.status, META_COMPACTED);
  get.revision = revisions[1];
  struct mt_result *r = mt_do1(t, get);
  assert_int_equal(r->r.status, META_OK);
  assert_string_equal(r->kvs[0].value, "1");
}

static void conform_watch(struct mt *t) {
  struct mt_watch past = {0}, one = {0}, cancelled = {0};
  struct meta_bytes key = mt_key(t, "w/"), end = mt_key(t, "w0");
  int64_t first = mt_do1(t, mt_put(t, "w/a", "1"))->r.revision;
  mt_do1(t, mt_put(t, "outside", "1"));
  assert_int_equal(meta_watch(t->store, key, end, first, mt_watched, &past, &past.id), META_OK);
  mt_told(t, &past, 1);
  assert_string_equal(past.events[0].value, "1");
  assert_int_equal(past.events[0].kv.mod_revision, first);
  assert_int_equal(past.events[0].kv.version, 1);
  assert_int_equal(meta_watch(t->store, mt_key(t, "w/b"), (struct meta_bytes){NULL, 0}, first,
                              mt_watched, &one, &one.id),
                   META_OK);
  assert_int_equal(meta_watch(t->store, key, end, first, mt_watched, &cancelled, &cancelled.id),
                   META_OK);
  meta_cancel(t->store, cancelled.id);
  const struct meta_op both[] = {mt_put(t, "w/b", "2"), mt_delete(t, "w/a"), mt_put(t, "v", "")};
  int64_t second = mt_do(t, both, 3)->r.revision;
  mt_told(t, &past, 3);
  mt_told(t, &one, 1);
  assert_int_equal(past.n, 3);
  assert_int_equal(past.n_batches, 2); /* one revision, one batch */
  bool order = past.events[1].deleted;
  assert_true(past.events[1].deleted != past.events[2].deleted);
  const struct mt_kv *gone = &past.events[order ? 1 : 2];
  assert_int_equal(gone->kv.mod_revision, second);
  assert_string_equal(gone->key, mt_key(t, "w/a").data);
  assert_true(past.revision >= second);
  assert_int_equal(one.n, 1);
  assert_string_equal(one.events[0].value, "2");
  assert_int_equal(cancelled.n + cancelled.n_batches, 0);
  meta_cancel(t->store, past.id);
  meta_cancel(t->store, one.id);
  mt_drop(past.events, past.n);
  mt_drop(one.events, one.n);
}

static void conform_watch_now(struct mt *t) {
  struct mt_watch now = {0};
  mt_do1(t, mt_put(t, "n", "before"));
  int64_t revision = mt_do1(t, mt_get(t, "n"))->r.revision;
  assert_int_equal(meta_watch(t->store, mt_key(t, "n"), (struct meta_bytes){NULL, 0}, revision + 1,
                              mt_watched, &now, &now.id),
                   META_OK);
  for (int i = 0; i < 20; i++)
    mt_do1(t, mt_put(t, "n", "after"));
  mt_told(t, &now, 20);
  assert_int_equal(now.n, 20);
  for (size_t i = 1; i < 20; i++)
    assert_int_equal(now.events[i].kv.mod_revision, now.events[i - 1].kv.mod_revision + 1);
  assert_string_equal(now.events[0].value, "after");
  meta_cancel(t->store, now.id);
  mt_drop(now.events, now.n);
}

static void conform_watch_compacted(struct mt *t) {
  struct mt_watch w = {0};
  int64_t first = mt_do1(t, mt_put(t, "c", "1"))->r.revision;
  mt_do1(t, mt_put(t, "c", "2"));
  int64_t last = mt_do1(t, mt_put(t, "c", "3"))->r.revision;
  conform_compaction(t, last);
  assert_int_equal(meta_watch(t->store, mt_key(t, "c"), (struct meta_bytes){NULL, 0}, first,
                              mt_watched, &w, &w.id),
                   META_OK);
  mt_told(t, &w, 1);
  assert_int_equal(w.ended, META_COMPACTED);
  assert_int_equal(w.n, 0);
  assert_int_equal(w.revision, last);
}

static int64_t conform_lease(struct mt *t, int64_t ttl_s) {
  struct mt_result r = {0};
  assert_int_equal(meta_grant(t->store, ttl_s, 0, mt_done, &r), META_OK);
  mt_wait(t, &r);
  assert_int_equal(r.r.status, META_OK);
  assert_true(r.r.lease > 0);
  assert_true(r.r.ttl_us >= ttl_s * 1000000);
  return r.r.lease;
}

static enum meta_status conform_keep(struct mt *t, int64_t lease) {
  struct mt_result r = {0};
  assert_int_equal(meta_keep(t->store, lease, 0, mt_done, &r), META_OK);
  mt_wait(t, &r);
  assert_true(r.r.status || (r.r.lease == lease && r.r.ttl_us > 0));
  return r.r.status;
}

static enum meta_status conform_revoke(struct mt *t, int64_t lease) {
  struct mt_result r = {0};
  assert_int_equal(meta_revoke(t->store, lease, 0, mt_done, &r), META_OK);
  mt_wait(t, &r);
  return r.r.status;
}

static void conform_leases(struct mt *t) {
  int64_t lease = conform_lease(t, 30);
  struct meta_op puts[] = {mt_put(t, "l1", ""), mt_put(t, "l2", ""), mt_put(t, "l3", "")};
  puts[0].lease = puts[1].lease = puts[2].lease = lease;
  mt_do(t, puts, 3);
  assert_true(conform_holds(t, "l1", META_LEASE, META_EQUAL, lease, ""));
  assert_int_equal(mt_do1(t, mt_get(t, "l1"))->kvs[0].kv.lease, lease);
  int64_t before = mt_do1(t, mt_put(t, "l3", "kept"))->r.revision; /* no longer on the lease */
  assert_int_equal(conform_keep(t, lease), META_OK);
  assert_int_equal(conform_revoke(t, lease), META_OK);
  struct mt_result *r = mt_do1(t, mt_get(t, "l1"));
  assert_int_equal(r->answers[0].n, 0);
  assert_int_equal(r->r.revision, before + 1); /* all keys of a lease go at one revision */
  assert_int_equal(mt_do1(t, mt_get(t, "l3"))->answers[0].n, 1);
  assert_int_equal(conform_keep(t, lease), META_NO_LEASE);
  assert_int_equal(conform_revoke(t, lease), META_NO_LEASE);
  r = mt_do(t, puts, 2);
  assert_int_equal(r->r.status, META_NO_LEASE);
  assert_int_equal(mt_do1(t, mt_get(t, "l1"))->answers[0].n, 0);
}

static void conform_lease_expires(struct mt *t) {
  struct mt_watch w = {0};
  int64_t lease = conform_lease(t, 1);
  struct meta_op put = mt_put(t, "e", "");
  put.lease = lease;
  int64_t revision = mt_do1(t, put)->r.revision;
  assert_int_equal(meta_watch(t->store, mt_key(t, "e"), (struct meta_bytes){NULL, 0}, revision + 1,
                              mt_watched, &w, &w.id),
                   META_OK);
  mt_told(t, &w, 1);
  assert_int_equal(w.n, 1);
  assert_true(w.events[0].deleted);
  meta_cancel(t->store, w.id);
  mt_drop(w.events, w.n);
  assert_int_equal(conform_keep(t, lease), META_NO_LEASE);
}

/* Twenty transactions at once, all of which compare the same revision: one wins. */
static void conform_race(struct mt *t) {
  struct mt_result results[20] = {{0}};
  int64_t seen = mt_do1(t, mt_put(t, "race", "0"))->r.revision;
  const struct meta_compare c = {mt_key(t, "race"), META_MOD, META_EQUAL, seen, {NULL, 0}};
  const struct meta_op put = mt_put(t, "race", "1"), get = mt_get(t, "race");
  const struct meta_txn txn = {&c, &put, &get, 1, 1, 1};
  for (size_t i = 0; i < 20; i++)
    assert_int_equal(meta_txn(t->store, &txn, 0, mt_done, &results[i]), META_OK);
  int won = 0;
  for (size_t i = 0; i < 20; i++) {
    mt_wait(t, &results[i]);
    assert_int_equal(results[i].r.status, META_OK);
    won += results[i].r.succeeded;
    mt_free(&results[i]);
  }
  assert_int_equal(won, 1);
  assert_int_equal(mt_do1(t, mt_get(t, "race"))->kvs[0].kv.version, 2);
}

static const struct conform_case {
  const char *name;
  void (*run)(struct mt *t);
} conform_cases[] = {
    {"put, get, delete", conform_put_get},
    {"ranges", conform_range},
    {"every compare", conform_compares},
    {"branches", conform_branches},
    {"deletes that overlap", conform_overlapping_deletes},
    {"any bytes", conform_bytes},
    {"limits", conform_limits},
    {"old revisions, compaction", conform_history},
    {"watches", conform_watch},
    {"a watch from now", conform_watch_now},
    {"a watch of what was compacted", conform_watch_compacted},
    {"leases", conform_leases},
    {"a lease expires", conform_lease_expires},
    {"a race", conform_race},
};
enum { CONFORM_CASES = sizeof conform_cases / sizeof *conform_cases };

#endif
