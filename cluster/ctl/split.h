/*
 * split.h - a shard that becomes two: which slots move, whether it may be, and the document that
 * the nodes then act upon (replica/README.md). Giving it up, as long as that is possible.
 */
#ifndef CLUSTER_CTL_SPLIT_H
#define CLUSTER_CTL_SPLIT_H

#include "ctl/session.h"

struct ctl_split {
  struct doc_split doc; /* owned: doc_split_free */
  uint32_t had, moved;  /* slots */
  int64_t split_mod, move_mod, slots_mod, shard_mod; /* for the compares; 0: not there */
  char why[CTL_WHY];
};

/* Every other slot of the shard, or those of the upper ranges where it has several; or `slots`,
   "17,20-31", which must be the shard's, and not all of it. */
enum ctl_status ctl_plan_split(const struct cache_view *view, uint32_t collection, uint32_t shard,
                               const char *slots, struct ctl_split *out);
/* Writes it, unless what it follows from has changed. CTL_OLDER: as ctl_speaks, of every node. */
enum ctl_status ctl_write_split(struct ctl *ctl, const struct ctl_split *split, bool *held);
/* CTL_NO_SUCH: none that is under way; CTL_NOT_ALLOWED: the rows may be the child's already. */
enum ctl_status ctl_cancel_split(struct ctl *ctl, uint32_t collection, uint32_t shard);

#endif
