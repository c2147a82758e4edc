/* model_kv.c - the model's keys, versions and transactions; see model_kv.h. */
#include "meta/model_kv.h"

#include <stdlib.h>
#include <string.h>

void model_kv_init(struct model_kv *kv) { *kv = (struct model_kv){.revision = 1, .compacted = 1}; }

static void model_version_free(struct model_version *v) {
  if (v)
    free(v->value);
  free(v);
}

void model_kv_free(struct model_kv *kv) {
  for (size_t i = 0; i < kv->n_log; i++)
    model_version_free(kv->log[i]);
  for (size_t i = 0; i < kv->n_keys; i++) {
    free(kv->keys[i]->versions);
    free(kv->keys[i]->data);
    free(kv->keys[i]);
  }
  free(kv->keys);
  free(kv->log);
  free(kv->leases);
}

void model_reply_free(struct model_reply *reply) {
  for (size_t i = 0; i < reply->n_answers; i++)
    free((void *)reply->answers[i].kvs);
  free(reply->answers);
  reply->answers = NULL;
  reply->n_answers = 0;
}

/* Room for `more` items behind n. */
static bool model_room(void *array, size_t size, size_t n, size_t more, size_t *capacity) {
  if (n + more <= *capacity)
    return true;
  void *grown = realloc(*(void **)array, (n + more) * 2 * size);
  if (!grown)
    return false;
  *(void **)array = grown;
  *capacity = (n + more) * 2;
  return true;
}
#define MODEL_ROOM(array, n, more, capacity) \
  model_room(&(array), sizeof *(array), n, more, &(capacity))

static int model_order(const struct model_key *key, struct meta_bytes b) {
  size_t n = key->n < b.n ? key->n : b.n;
  int c = memcmp(key->data, b.data, n);
  return c ? c : (key->n > b.n) - (key->n < b.n);
}

/* The first key that is not below. */
static size_t model_lower(const struct model_kv *kv, struct meta_bytes key) {
  size_t low = 0, high = kv->n_keys;
  while (low < high) {
    size_t mid = low + (high - low) / 2;
    if (model_order(kv->keys[mid], key) < 0)
      low = mid + 1;
    else
      high = mid;
  }
  return low;
}

static bool model_is(const struct model_kv *kv, size_t at, struct meta_bytes key) {
  return at < kv->n_keys && model_order(kv->keys[at], key) == 0;
}

/* Whether the key at `at` is one of [key, end), or `key` itself. */
static bool model_within(const struct model_kv *kv, size_t at, const struct meta_op *op) {
  if (at >= kv->n_keys)
    return false;
  return op->end.n ? model_order(kv->keys[at], op->end) < 0 : model_is(kv, at, op->key);
}

/* The key's version as of the revision; NULL when it was not there. */
static const struct model_version *model_at(const struct model_key *key, int64_t revision) {
  for (size_t i = key->n_versions; i; i--)
    if (key->versions[i - 1]->mod <= revision)
      return key->versions[i - 1]->deleted ? NULL : key->versions[i - 1];
  return NULL;
}

static struct model_key *model_key_make(struct model_kv *kv, struct meta_bytes key) {
  size_t at = model_lower(kv, key);
  if (model_is(kv, at, key))
    return kv->keys[at];
  struct model_key *made = calloc(1, sizeof *made);
  char *data = malloc(key.n);
  if (!made || !data || !MODEL_ROOM(kv->keys, kv->n_keys, 1, kv->cap_keys)) {
    free(made);
    free(data);
    return NULL;
  }
  memcpy(data, key.data, key.n);
  made->data = data;
  made->n = key.n;
  memmove(&kv->keys[at + 1], &kv->keys[at], (kv->n_keys - at) * sizeof *kv->keys);
  kv->keys[at] = made;
  kv->n_keys++;
  return made;
}

/* Writes that were allocated and are yet to be done, in the order of their operations. */
struct model_plan {
  struct model_write {
    struct model_version *version;
    struct model_key *key;
    size_t op;
  } * items;
  size_t n;
  size_t done; /* of n; these versions are no longer the plan's */
  size_t capacity;
};

static void model_plan_free(struct model_plan *plan) {
  for (size_t i = plan->done; i < plan->n; i++)
    model_version_free(plan->items[i].version);
  free(plan->items);
}

/* A put, or without `op` a deletion. */
static bool model_plan_add(struct model_plan *plan, size_t number, struct model_key *key,
                           const struct meta_op *op) {
  struct model_version *v = calloc(1, sizeof *v);
  if (!v)
    return false;
  v->key = key;
  v->deleted = !op;
  if (op) {
    v->lease = op->lease;
    v->n = op->value.n;
    v->value = malloc(op->value.n + 1);
    if (v->value && op->value.n)
      memcpy(v->value, op->value.data, op->value.n);
  }
  if ((op && !v->value) || !MODEL_ROOM(plan->items, plan->n, 1, plan->capacity) ||
      !MODEL_ROOM(key->versions, key->n_versions, 1, key->capacity)) {
    model_version_free(v);
    return false;
  }
  plan->items[plan->n++] = (struct model_write){v, key, number};
  return true;
}

/* Adds what the operation writes to the plan. A key that is only named here has no version yet. */
static bool model_plan_op(struct model_kv *kv, struct model_plan *plan, size_t number,
                          const struct meta_op *op) {
  if (op->kind == META_GET)
    return true;
  if (op->kind == META_PUT) {
    struct model_key *key = model_key_make(kv, op->key);
    return key && model_plan_add(plan, number, key, op);
  }
  for (size_t i = model_lower(kv, op->key); model_within(kv, i, op); i++)
    if (model_at(kv->keys[i], kv->revision) && !model_plan_add(plan, number, kv->keys[i], NULL))
      return false;
  return true;
}

/* Makes the version its key's newest, at this revision. False: a key that is gone already. */
static bool model_commit(struct model_kv *kv, struct model_plan *plan, int64_t revision) {
  const struct model_write *write = &plan->items[plan->done++];
  struct model_version *v = write->version;
  const struct model_version *old = model_at(write->key, revision);
  if (v->deleted && !old) {
    model_version_free(v);
    return false;
  }
  v->mod = revision;
  v->create = old ? old->create : revision;
  v->version = v->deleted ? 0 : old ? old->version + 1 : 1;
  write->key->versions[write->key->n_versions++] = v;
  kv->log[kv->n_log++] = v;
  return true;
}

struct meta_kv model_kv_view(const struct model_version *v) {
  return (struct meta_kv){.key = {v->key->data, v->key->n},
                          .value = {v->value, v->n},
                          .create_revision = v->create,
                          .mod_revision = v->mod,
                          .version = v->version,
                          .lease = v->lease};
}

static bool model_get(const struct model_kv *kv, const struct meta_op *op, int64_t revision,
                      struct meta_answer *out) {
  size_t limit = op->limit ? op->limit : META_GET_MAX, first = model_lower(kv, op->key), live = 0;
  for (size_t i = first; model_within(kv, i, op); i++)
    live += model_at(kv->keys[i], revision) != NULL;
  out->count = (int64_t)live;
  out->more = live > limit;
  size_t n = live < limit ? live : limit;
  struct meta_kv *kvs = malloc((n + 1) * sizeof *kvs);
  if (!kvs)
    return false;
  for (size_t i = first; out->n < n; i++) {
    const struct model_version *v = model_at(kv->keys[i], revision);
    if (!v)
      continue;
    kvs[out->n] = model_kv_view(v);
    if (op->keys_only)
      kvs[out->n].value = (struct meta_bytes){NULL, 0};
    out->n++;
  }
  out->kvs = kvs;
  return true;
}

static bool model_relates(enum meta_relation relation, int c) {
  switch (relation) {
    case META_EQUAL:
      return c == 0;
    case META_NOT_EQUAL:
      return c != 0;
    case META_LESS:
      return c < 0;
    case META_GREATER:
      return c > 0;
  }
  return false;
}

static bool model_holds(const struct model_kv *kv, const struct meta_compare *c) {
  size_t at = model_lower(kv, c->key);
  const struct model_version *v =
      model_is(kv, at, c->key) ? model_at(kv->keys[at], kv->revision) : NULL;
  if (c->target == META_VALUE) {
    if (!v)
      return false;
    size_t n = v->n < c->value.n ? v->n : c->value.n;
    int order = n ? memcmp(v->value, c->value.data, n) : 0;
    return model_relates(c->relation, order ? order : (v->n > c->value.n) - (v->n < c->value.n));
  }
  int64_t is = 0;
  if (v)
    is = c->target == META_CREATE    ? v->create
         : c->target == META_MOD     ? v->mod
         : c->target == META_VERSION ? v->version
                                     : v->lease;
  return model_relates(c->relation, (is > c->number) - (is < c->number));
}

struct model_lease *model_lease(const struct model_kv *kv, int64_t id) {
  for (size_t i = 0; i < kv->n_leases; i++)
    if (kv->leases[i].id == id)
      return &kv->leases[i];
  return NULL;
}

struct model_lease *model_lease_add(struct model_kv *kv, int64_t id) {
  if (!MODEL_ROOM(kv->leases, kv->n_leases, 1, kv->cap_leases))
    return NULL;
  kv->leases[kv->n_leases] = (struct model_lease){.id = id};
  return &kv->leases[kv->n_leases++];
}

static enum meta_status model_check(const struct model_kv *kv, const struct meta_op *ops,
                                    size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (ops[i].kind == META_PUT && ops[i].lease && !model_lease(kv, ops[i].lease))
      return META_NO_LEASE;
    if (ops[i].kind == META_GET && ops[i].revision > kv->revision)
      return META_INVALID;
    if (ops[i].kind == META_GET && ops[i].revision && ops[i].revision < kv->compacted)
      return META_COMPACTED;
  }
  return META_OK;
}

/* Does the operations one after the other; a get sees what stands before it. */
static bool model_do(struct model_kv *kv, const struct meta_op *ops, size_t n,
                     struct model_plan *plan, int64_t as_of, struct meta_answer *answers) {
  int64_t next = kv->revision + 1, now = as_of ? as_of : kv->revision;
  bool whole = true;
  for (size_t i = 0; i < n; i++) {
    while (plan->done < plan->n && plan->items[plan->done].op == i)
      if (model_commit(kv, plan, next)) {
        answers[i].count += ops[i].kind == META_DELETE;
        now = next;
      }
    if (ops[i].kind == META_GET)
      whole = model_get(kv, &ops[i], ops[i].revision ? ops[i].revision : now, &answers[i]) && whole;
  }
  if (now > kv->revision)
    kv->revision = now;
  return whole;
}

void model_kv_txn(struct model_kv *kv, const struct meta_txn *txn, int64_t as_of,
                  struct model_reply *reply) {
  bool hold = true;
  for (size_t i = 0; i < txn->n_compares && hold; i++)
    hold = model_holds(kv, &txn->compares[i]);
  const struct meta_op *ops = hold ? txn->then : txn->otherwise;
  size_t n = hold ? txn->n_then : txn->n_otherwise;
  *reply = (struct model_reply){.status = model_check(kv, ops, n), .succeeded = hold};
  reply->revision = reply->status == META_COMPACTED ? kv->compacted : kv->revision;
  if (reply->status)
    return;
  struct model_plan plan = {0};
  bool planned = true;
  for (size_t i = 0; i < n && planned; i++)
    planned = model_plan_op(kv, &plan, i, &ops[i]);
  reply->answers = calloc(n + 1, sizeof *reply->answers);
  if (!planned || !reply->answers || !MODEL_ROOM(kv->log, kv->n_log, plan.n, kv->cap_log)) {
    reply->status = META_NO_MEMORY;
    model_plan_free(&plan);
    return;
  }
  reply->n_answers = n;
  if (!model_do(kv, ops, n, &plan, as_of, reply->answers))
    reply->status = META_UNKNOWN;
  reply->revision = as_of ? as_of : kv->revision;
  model_plan_free(&plan);
}

static void model_commit_all(struct model_kv *kv, struct model_plan *plan) {
  int64_t next = kv->revision + 1;
  while (plan->done < plan->n)
    model_commit(kv, plan, next);
  if (plan->n)
    kv->revision = next;
}

bool model_lease_drop(struct model_kv *kv, int64_t id) {
  struct model_lease *lease = model_lease(kv, id);
  struct model_plan plan = {0};
  bool ok = lease != NULL;
  for (size_t i = 0; i < kv->n_keys && ok; i++) {
    const struct model_version *v = model_at(kv->keys[i], kv->revision);
    if (v && v->lease == id)
      ok = model_plan_add(&plan, 0, kv->keys[i], NULL);
  }
  ok = ok && MODEL_ROOM(kv->log, kv->n_log, plan.n, kv->cap_log);
  if (ok) {
    model_commit_all(kv, &plan);
    *lease = kv->leases[--kv->n_leases];
  }
  model_plan_free(&plan);
  return ok;
}

void model_kv_compact(struct model_kv *kv, int64_t revision) {
  if (revision > kv->revision)
    revision = kv->revision;
  if (revision > kv->compacted)
    kv->compacted = revision;
}

size_t model_kv_find(const struct model_kv *kv, int64_t revision) {
  size_t low = 0, high = kv->n_log;
  while (low < high) {
    size_t mid = low + (high - low) / 2;
    if (kv->log[mid]->mod < revision)
      low = mid + 1;
    else
      high = mid;
  }
  return low;
}

static bool model_branch_writes(const struct meta_op *ops, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (ops[i].kind != META_GET)
      return true;
  return false;
}

bool model_txn_writes(const struct meta_txn *txn) {
  return model_branch_writes(txn->then, txn->n_then) ||
         model_branch_writes(txn->otherwise, txn->n_otherwise);
}

static size_t model_copy_bytes(const struct meta_op *ops, size_t n) {
  size_t bytes = n * sizeof *ops;
  for (size_t i = 0; i < n; i++)
    bytes += ops[i].key.n + ops[i].end.n + ops[i].value.n;
  return bytes;
}

static struct meta_bytes model_keep(char **at, struct meta_bytes in) {
  struct meta_bytes out = {*at, in.n};
  if (in.n)
    memcpy(*at, in.data, in.n);
  *at += in.n;
  return out;
}

static void model_keep_ops(char **at, struct meta_op *out, const struct meta_op *ops, size_t n) {
  for (size_t i = 0; i < n; i++) {
    out[i] = ops[i];
    out[i].key = model_keep(at, ops[i].key);
    out[i].end = model_keep(at, ops[i].end);
    out[i].value = model_keep(at, ops[i].value);
  }
}

struct meta_txn *model_txn_copy(const struct meta_txn *txn) {
  size_t bytes = sizeof *txn + txn->n_compares * sizeof *txn->compares +
                 model_copy_bytes(txn->then, txn->n_then) +
                 model_copy_bytes(txn->otherwise, txn->n_otherwise);
  for (size_t i = 0; i < txn->n_compares; i++)
    bytes += txn->compares[i].key.n + txn->compares[i].value.n;
  struct meta_txn *copy = malloc(bytes);
  if (!copy)
    return NULL;
  struct meta_compare *compares = (struct meta_compare *)(copy + 1);
  struct meta_op *then = (struct meta_op *)(compares + txn->n_compares);
  struct meta_op *otherwise = then + txn->n_then;
  char *at = (char *)(otherwise + txn->n_otherwise);
  *copy = *txn;
  copy->compares = compares;
  copy->then = then;
  copy->otherwise = otherwise;
  for (size_t i = 0; i < txn->n_compares; i++) {
    compares[i] = txn->compares[i];
    compares[i].key = model_keep(&at, txn->compares[i].key);
    compares[i].value = model_keep(&at, txn->compares[i].value);
  }
  model_keep_ops(&at, then, txn->then, txn->n_then);
  model_keep_ops(&at, otherwise, txn->otherwise, txn->n_otherwise);
  return copy;
}
