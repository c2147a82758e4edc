/*
 * step.h - one move, step by step: planned -> copying -> catching-up -> switching -> done. What the
 * next step is follows from the documents alone, so whoever looks at them, after whatever crash,
 * goes on in the same place. Each step is one transaction that compares what was looked at.
 *
 *   planned      the controller makes the target a learner
 *   copying      the primary sends segments; who copies writes bytes_done and bytes_total
 *   catching-up  the target follows the log; the primary takes it into the ISR (Grow)
 *   switching    a primary that is the source hands over; the primary lets the source leave the ISR
 *                (REP_EV_LEAVE); then the controller takes it out
 */
#ifndef CLUSTER_CTL_STEP_H
#define CLUSTER_CTL_STEP_H

#include "ctl/plan.h"

enum { CTL_MOVES_OF_NODE = 2 }; /* that copy or catch up at once */

enum ctl_next {
  CTL_NEXT_WAIT, /* for nodes to do their part */
  CTL_NEXT_STEP, /* `move` and, if `shard_changes`, `shard` are to be put */
  CTL_NEXT_OVER  /* done or cancelled */
};

struct ctl_step {
  enum ctl_next next;
  struct doc_move move;
  struct doc_shard shard;
  bool shard_changes;
  int64_t move_mod; /* for the compares */
  int64_t shard_mod;
  char waits[CTL_WHY]; /* for what */
};

/* The next step of the shard's move. False: there is no move. */
bool ctl_step(const struct cache_view *view, uint32_t collection, uint32_t shard,
              struct ctl_step *out);
/* Giving it up, which is possible until the source is leaving. False: it is not, or there is none.
 */
bool ctl_cancel(const struct cache_view *view, uint32_t collection, uint32_t shard, const char *why,
                struct ctl_step *out);
/* A step as the transaction that makes it; the pointers are into it, so it stays where it is. */
struct ctl_change {
  struct doc_path keys[2]; /* of the move, of the shard */
  char *texts[2];
  struct meta_compare compares[2];
  struct meta_op puts[2], look;
  struct meta_txn txn; /* the else-branch reads the move */
};

/* False: a document breaks its rules, or there is no memory. */
bool ctl_change_make(struct doc_uuid cluster, const struct ctl_step *step, struct ctl_change *out);
void ctl_change_free(struct ctl_change *change);

/* How many moves copy or catch up from or to the node. */
uint32_t ctl_moves_of(const struct cache_view *view, uint32_t node);

#endif
