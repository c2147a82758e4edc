/*
 * model_kv.h - the model's keys with all their versions, and what a transaction does to them. No
 * faults, no time.
 */
#ifndef CLUSTER_META_MODEL_KV_H
#define CLUSTER_META_MODEL_KV_H

#include "meta/meta.h"

struct model_key;

struct model_version {
  const struct model_key *key;
  void *value;
  size_t n;
  int64_t create;
  int64_t mod;
  int64_t version;
  int64_t lease;
  bool deleted;
};

/* A key stays, with its versions ascending, also after it was deleted. */
struct model_key {
  char *data;
  size_t n;
  struct model_version **versions;
  size_t n_versions;
  size_t capacity;
};

struct model_lease {
  int64_t id;
  int64_t ttl_us;
  int64_t expires_us;
};

struct model_kv {
  struct model_key **keys; /* ascending */
  size_t n_keys;
  size_t cap_keys;
  struct model_version **log; /* every version, by revision */
  size_t n_log;
  size_t cap_log;
  struct model_lease *leases;
  size_t n_leases;
  size_t cap_leases;
  int64_t revision;  /* 1 before the first write, as etcd's */
  int64_t compacted; /* the oldest revision kept */
};

/* What an answer needs; the values are the versions' own. */
struct model_reply {
  enum meta_status status;
  bool succeeded;
  int64_t revision;
  int64_t lease;
  int64_t ttl_us;
  struct meta_answer *answers;
  size_t n_answers;
};

void model_kv_init(struct model_kv *kv);
void model_kv_free(struct model_kv *kv);
void model_reply_free(struct model_reply *reply);

/* Applies the transaction as of now, or, when it only reads and `as_of` is not 0, as of then. */
void model_kv_txn(struct model_kv *kv, const struct meta_txn *txn, int64_t as_of,
                  struct model_reply *reply);
/* NULL: none such. Valid until leases are added or dropped. */
struct model_lease *model_lease(const struct model_kv *kv, int64_t id);
/* NULL: no memory. */
struct model_lease *model_lease_add(struct model_kv *kv, int64_t id);
/* Ends the lease and deletes its keys, at one revision. False: none such or no memory. */
bool model_lease_drop(struct model_kv *kv, int64_t id);
/* What is before this revision can no longer be asked for. */
void model_kv_compact(struct model_kv *kv, int64_t revision);
/* Where in the log the revision begins. */
size_t model_kv_find(const struct model_kv *kv, int64_t revision);
struct meta_kv model_kv_view(const struct model_version *version);

bool model_txn_writes(const struct meta_txn *txn);
/* A copy in one block, to be freed; NULL: no memory. */
struct meta_txn *model_txn_copy(const struct meta_txn *txn);

#endif
