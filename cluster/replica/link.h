/*
 * link.h - a replica's line to the metadata store: its transactions as those of meta/meta.h, and
 * the shard's record, watched and read, as events. Whoever owns the store drives it by meta_run;
 * events come from within that.
 */
#ifndef CLUSTER_REPLICA_LINK_H
#define CLUSTER_REPLICA_LINK_H

#include "meta/key.h"
#include "replica/replica.h"

struct rep_link_options {
  struct meta_store *store; /* outlives the link's requests: meta_close answers them */
  struct doc_uuid cluster;
  uint32_t collection, number;
  uint32_t node;
  struct rep_alloc alloc;
  void *arg;
  /* REP_EV_CONFIG and REP_EV_TXN, for rep_step. */
  void (*event)(void *arg, const struct rep_event *ev);
  /* The record is not there: the shard was dropped. */
  void (*gone)(void *arg);
  /* A transaction was refused though the record is as it was: the node's registration is not what
     it was told, and is to be looked at. */
  void (*doubt)(void *arg);
};

struct rep_link;

/* NULL: no memory. Nothing is watched until the first record was read: see rep_link_refresh. */
struct rep_link *rep_link_open(const struct rep_link_options *o);
/* No event comes after this. */
void rep_link_close(struct rep_link *l);
/* For rep_host.txn and rep_host.refresh. deadline_us: when no answer is unknown. */
void rep_link_txn(struct rep_link *l, const struct rep_txn *t, int64_t deadline_us);
void rep_link_refresh(struct rep_link *l, int64_t deadline_us);

/* The record as the replica knows it; false: the shard has no primary, or is not valid. */
bool rep_link_config(const struct doc_shard *doc, int64_t revision, struct rep_config *out);
/* What a record becomes by a replica's transaction. */
void rep_link_doc(const struct rep_config *c, struct doc_shard *doc);

#endif
