/*
 * metatest.h - what the tests of the metadata store share: waiting for an answer of the model
 * (whose time jumps to what is due) or of a real etcd (in real time), and keeping what it said.
 */
#ifndef METATEST_H
#define METATEST_H

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "meta/meta.h"
#include "meta/model.h"

/* Where the calls go: a client of the model, or of a real one (server NULL). */
struct mt {
  struct meta_store *store;
  struct model_server *server;
  int64_t now_us;  /* the model's */
  char prefix[32]; /* of this case's keys */
};

static inline int64_t mt_clock(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static inline int64_t mt_now(const struct mt *t) { return t->server ? t->now_us : mt_clock(); }

/* Lets one thing happen: waits until the store is due or readable, up to `until`. */
static inline void mt_step(struct mt *t, int64_t until) {
  int64_t due = meta_due(t->store);
  due = due < until ? due : until;
  if (t->server) {
    t->now_us = due > t->now_us ? due : t->now_us;
  } else {
    struct pollfd p = {.fd = meta_fd(t->store), .events = POLLIN};
    int64_t wait = due - mt_clock();
    poll(&p, 1, wait > 0 ? (int)(wait / 1000 + 1) : 0);
  }
  meta_run(t->store, mt_now(t));
}

enum { MT_ANSWERS = 128, MT_KVS = 64, MT_LIMIT_US = 60000000 };

/* An answer that outlives the callback. Keys and values are copied and NUL-terminated. */
struct mt_kv {
  char *key;
  char *value;
  size_t n_key;
  size_t n_value;
  struct meta_kv kv;
  bool deleted;
};
struct mt_result {
  bool done;
  struct meta_result r;
  struct meta_answer answers[MT_ANSWERS];
  struct mt_kv kvs[MT_KVS]; /* of all answers */
  size_t n_kvs;
};

static inline char *mt_copy(struct meta_bytes in) {
  char *out = malloc(in.n + 1);
  assert_non_null(out);
  if (in.n)
    memcpy(out, in.data, in.n);
  out[in.n] = 0;
  return out;
}

static inline void mt_keep(struct mt_kv *to, const struct meta_kv *kv, bool deleted) {
  *to = (struct mt_kv){mt_copy(kv->key), mt_copy(kv->value), kv->key.n, kv->value.n, *kv, deleted};
}

static inline void mt_drop(struct mt_kv *kvs, size_t n) {
  for (size_t i = 0; i < n; i++) {
    free(kvs[i].key);
    free(kvs[i].value);
  }
}

static inline void mt_done(void *arg, const struct meta_result *r) {
  struct mt_result *out = arg;
  assert_false(out->done);
  assert_non_null(r->message);
  out->done = true;
  out->r = *r;
  assert_true(r->n_answers <= MT_ANSWERS);
  for (size_t i = 0; i < r->n_answers; i++) {
    out->answers[i] = r->answers[i];
    for (size_t j = 0; j < r->answers[i].n && out->n_kvs < MT_KVS; j++)
      mt_keep(&out->kvs[out->n_kvs++], &r->answers[i].kvs[j], false);
  }
}

static inline void mt_wait(struct mt *t, struct mt_result *out) {
  int64_t until = mt_now(t) + MT_LIMIT_US;
  while (!out->done) {
    assert_true(mt_now(t) < until);
    mt_step(t, until);
  }
}

static inline void mt_free(struct mt_result *r) { mt_drop(r->kvs, r->n_kvs); }

/* The answer to a transaction; to be freed by mt_free. */
static inline struct mt_result *mt_txn(struct mt *t, const struct meta_txn *txn) {
  static struct mt_result results[8];
  static size_t next;
  struct mt_result *out = &results[next++ % 8];
  mt_free(out);
  memset(out, 0, sizeof *out);
  assert_int_equal(meta_txn(t->store, txn, 0, mt_done, out), META_OK);
  assert_false(out->done);
  mt_wait(t, out);
  return out;
}

/* PREFIX/NAME in one of some static buffers. */
static inline struct meta_bytes mt_key(const struct mt *t, const char *name) {
  static char buffers[32][64];
  static size_t next;
  char *out = buffers[next++ % 32];
  snprintf(out, 64, "%s/%s", t->prefix, name);
  return meta_text(out);
}

static inline struct meta_op mt_put(const struct mt *t, const char *name, const char *value) {
  return (struct meta_op){.kind = META_PUT, .key = mt_key(t, name), .value = meta_text(value)};
}
static inline struct meta_op mt_delete(const struct mt *t, const char *name) {
  return (struct meta_op){.kind = META_DELETE, .key = mt_key(t, name)};
}
static inline struct meta_op mt_get(const struct mt *t, const char *name) {
  return (struct meta_op){.kind = META_GET, .key = mt_key(t, name)};
}

/* The operations, without a compare. */
static inline struct mt_result *mt_do(struct mt *t, const struct meta_op *ops, size_t n) {
  const struct meta_txn txn = {.then = ops, .n_then = n};
  struct mt_result *r = mt_txn(t, &txn);
  return r;
}
static inline struct mt_result *mt_do1(struct mt *t, struct meta_op op) { return mt_do(t, &op, 1); }

/* What a watch told. */
struct mt_watch {
  uint64_t id;
  enum meta_status ended;
  int64_t revision;
  size_t n_batches;
  struct mt_kv events[MT_KVS];
  size_t n;
};

static inline void mt_watched(void *arg, const struct meta_batch *batch) {
  struct mt_watch *w = arg;
  assert_int_equal(w->ended, META_OK);
  w->ended = batch->status;
  w->revision = batch->revision;
  w->n_batches++;
  for (size_t i = 0; i < batch->n && w->n < MT_KVS; i++)
    mt_keep(&w->events[w->n++], &batch->events[i].kv, batch->events[i].deleted);
}

/* Waits until the watch has told n events or ended. */
static inline void mt_told(struct mt *t, struct mt_watch *w, size_t n) {
  int64_t until = mt_now(t) + MT_LIMIT_US;
  while (w->n < n && !w->ended) {
    assert_true(mt_now(t) < until);
    mt_step(t, until);
  }
}

#endif
