/*
 * session.h - a command's way to the metadata: everything loaded, and changes that wait for their
 * answers. Whatever a change was decided from is compared in its transaction; when that changed
 * meanwhile, nothing is done and the caller looks again.
 */
#ifndef CLUSTER_CTL_SESSION_H
#define CLUSTER_CTL_SESSION_H

#include "ctl/step.h"

struct ctl {
  struct meta_store *store; /* owned from ctl_open on */
  struct cache *cache;
  struct doc_uuid cluster;
  int64_t now_us;   /* of stores that have no descriptor and so no real time: it jumps */
  int64_t limit_us; /* how long an answer is waited for */
  char why[CTL_WHY];
};

/* Loads everything. Closes the store when it fails, and with ctl_close. */
enum ctl_status ctl_open(struct ctl *ctl, struct meta_store *store, struct doc_uuid cluster);
void ctl_close(struct ctl *ctl);
/* The time as this session has it. */
int64_t ctl_now(const struct ctl *ctl);
/* Lets one thing happen, until the time at the latest. */
void ctl_turn(struct ctl *ctl, int64_t until_us);
/* The documents as of now; to be given back by cache_give. */
const struct cache_view *ctl_view(struct ctl *ctl);

/* One transaction, and the cache at least as new as it. CTL_OK also when a compare failed: then
   `held` is false. */
enum ctl_status ctl_commit(struct ctl *ctl, const struct meta_txn *txn, bool *held);
/* Puts one document, if its key is still as of mod (0: if it is not there). */
enum ctl_status ctl_put(struct ctl *ctl, struct doc_path path, const char *text, size_t n,
                        int64_t mod, bool *held);
/* Writes the planned moves; `written` tells how many were: another may have come before. */
enum ctl_status ctl_write_plan(struct ctl *ctl, const struct ctl_plan *plan, size_t *written);
/* Does the step if nothing changed meanwhile. */
enum ctl_status ctl_apply(struct ctl *ctl, const struct ctl_step *step, bool *held);
/* Takes every open move as far as it goes without its nodes; `steps` were made, `open` are left. */
enum ctl_status ctl_drive(struct ctl *ctl, size_t *steps, size_t *open);
/* The node's state in its document. */
enum ctl_status ctl_set_state(struct ctl *ctl, uint32_t node, enum doc_node_state state);

#endif
