/* meta.c - the calls of meta.h: limits and sense are checked here, for every kind of store. */
#include "meta/meta.h"

#include <string.h>

static int meta_order(struct meta_bytes a, struct meta_bytes b) {
  size_t n = a.n < b.n ? a.n : b.n;
  int c = n ? memcmp(a.data, b.data, n) : 0;
  return c ? c : (a.n > b.n) - (a.n < b.n);
}

/* Whether the operation writes the key. */
static bool meta_touches(const struct meta_op *op, struct meta_bytes key) {
  if (op->kind == META_GET)
    return false;
  if (op->kind == META_PUT || !op->end.n)
    return meta_order(op->key, key) == 0;
  return meta_order(op->key, key) <= 0 && meta_order(key, op->end) < 0;
}

static enum meta_status meta_check_key(struct meta_bytes key, size_t *bytes) {
  if (!key.n)
    return META_INVALID;
  *bytes += key.n;
  return key.n > META_KEY_MAX ? META_LIMIT : META_OK;
}

static enum meta_status meta_check_op(const struct meta_op *op, size_t *bytes) {
  enum meta_status status = meta_check_key(op->key, bytes);
  if (status)
    return status;
  if (op->end.n > META_KEY_MAX || op->value.n > META_VALUE_MAX || op->limit > META_GET_MAX)
    return META_LIMIT;
  *bytes += op->end.n + (op->kind == META_PUT ? op->value.n : 0);
  if (op->kind == META_PUT && op->lease < 0)
    return META_INVALID;
  if (op->kind == META_GET && op->revision < 0)
    return META_INVALID;
  return META_OK;
}

static enum meta_status meta_check_branch(const struct meta_op *ops, size_t n, size_t *bytes) {
  if (n > META_TXN_MAX)
    return META_LIMIT;
  for (size_t i = 0; i < n; i++) {
    enum meta_status status = meta_check_op(&ops[i], bytes);
    if (status)
      return status;
    if (ops[i].kind != META_PUT)
      continue;
    for (size_t j = 0; j < n; j++)
      if (j != i && meta_touches(&ops[j], ops[i].key))
        return META_INVALID;
  }
  return META_OK;
}

static enum meta_status meta_check_txn(const struct meta_txn *txn) {
  size_t bytes = 0;
  enum meta_status status;
  if (txn->n_compares > META_TXN_MAX)
    return META_LIMIT;
  if (!txn->n_then && !txn->n_otherwise)
    return META_INVALID;
  for (size_t i = 0; i < txn->n_compares; i++) {
    if ((status = meta_check_key(txn->compares[i].key, &bytes)))
      return status;
    if (txn->compares[i].value.n > META_VALUE_MAX)
      return META_LIMIT;
    bytes += txn->compares[i].value.n;
  }
  if ((status = meta_check_branch(txn->then, txn->n_then, &bytes)) ||
      (status = meta_check_branch(txn->otherwise, txn->n_otherwise, &bytes)))
    return status;
  return bytes > META_TXN_BYTES ? META_LIMIT : META_OK;
}

enum meta_status meta_txn(struct meta_store *store, const struct meta_txn *txn, int64_t deadline_us,
                          meta_done *done, void *arg) {
  enum meta_status status = meta_check_txn(txn);
  return status ? status : store->ops->txn(store, txn, deadline_us, done, arg);
}

enum meta_status meta_get(struct meta_store *store, struct meta_bytes key, struct meta_bytes end,
                          int64_t deadline_us, meta_done *done, void *arg) {
  const struct meta_op op = {.kind = META_GET, .key = key, .end = end};
  const struct meta_txn txn = {.then = &op, .n_then = 1};
  return meta_txn(store, &txn, deadline_us, done, arg);
}

enum meta_status meta_grant(struct meta_store *store, int64_t ttl_s, int64_t deadline_us,
                            meta_done *done, void *arg) {
  if (ttl_s < 1 || ttl_s > 86400)
    return META_INVALID;
  return store->ops->grant(store, ttl_s, deadline_us, done, arg);
}

enum meta_status meta_keep(struct meta_store *store, int64_t lease, int64_t deadline_us,
                           meta_done *done, void *arg) {
  return lease <= 0 ? META_INVALID : store->ops->keep(store, lease, deadline_us, done, arg);
}

enum meta_status meta_revoke(struct meta_store *store, int64_t lease, int64_t deadline_us,
                             meta_done *done, void *arg) {
  return lease <= 0 ? META_INVALID : store->ops->revoke(store, lease, deadline_us, done, arg);
}

enum meta_status meta_watch(struct meta_store *store, struct meta_bytes key, struct meta_bytes end,
                            int64_t revision, meta_watched *watched, void *arg, uint64_t *id) {
  size_t bytes = 0;
  enum meta_status status = meta_check_key(key, &bytes);
  if (status)
    return status;
  if (end.n > META_KEY_MAX)
    return META_LIMIT;
  if (revision < 0)
    return META_INVALID;
  return store->ops->watch(store, key, end, revision, watched, arg, id);
}

void meta_cancel(struct meta_store *store, uint64_t id) { store->ops->cancel(store, id); }
int meta_fd(const struct meta_store *store) { return store->ops->fd(store); }
int64_t meta_due(const struct meta_store *store) { return store->ops->due(store); }
void meta_run(struct meta_store *store, int64_t now_us) { store->ops->run(store, now_us); }

void meta_close(struct meta_store *store) {
  if (store)
    store->ops->close(store);
}

struct meta_bytes meta_text(const char *text) {
  return (struct meta_bytes){text, strlen(text)};
}

struct meta_bytes meta_prefix_end(struct meta_bytes prefix, char *out) {
  memcpy(out, prefix.data, prefix.n);
  for (size_t n = prefix.n; n; n--)
    if ((unsigned char)out[n - 1] != 255) {
      out[n - 1] = (char)(out[n - 1] + 1);
      return (struct meta_bytes){out, n};
    }
  return (struct meta_bytes){NULL, 0};
}

const char *meta_status_name(enum meta_status status) {
  static const char *const names[] = {
      [META_OK] = "ok",
      [META_UNAVAILABLE] = "the metadata store is not available",
      [META_UNKNOWN] = "the outcome is not known",
      [META_COMPACTED] = "the revision is no longer kept",
      [META_NO_LEASE] = "no such lease",
      [META_LIMIT] = "over a limit",
      [META_INVALID] = "not a valid request",
      [META_DENIED] = "refused by the metadata store",
      [META_FULL] = "the metadata store is full",
      [META_NO_MEMORY] = "out of memory",
      [META_CLOSED] = "closed",
  };
  return names[status];
}
