/*
 * split.h - some slots of a shard become a shard of their own: what its replicas and its primary
 * decide. README.md has the protocol, and says why each of this is safe.
 */
#ifndef CLUSTER_REPLICA_SPLIT_H
#define CLUSTER_REPLICA_SPLIT_H

#include "replica/replica.h"

/* What an entry of the parent's log says of a split. */
enum rep_split_entry {
  REP_SPLIT_FENCE = 1, /* no write is taken from here on; the moved rows may be copied */
  REP_SPLIT_RELEASE,   /* the moved rows are the child's: they go, and the generation grows */
  REP_SPLIT_CANCEL     /* nothing came of it */
};

/* Kept with the data of a replica, of the position that the data has. */
struct rep_split {
  uint64_t generation; /* how often the shard's slots have changed */
  uint64_t id;         /* of the last split that there was; 0: none */
  bool fenced;         /* it is under way, and nothing is written */
  bool cancelled;      /* nothing came of it: the log has had CANCEL before RELEASE */
};

/* Applies an entry. False: it has no effect, since it was there before. */
bool rep_split_apply(struct rep_split *s, enum rep_split_entry entry, uint64_t id);
/* For a request of who knows the shard's slots as of a generation. REP_STALE_MAP: it knows too
   little, and has to read the map; REP_UNAVAILABLE: it knows more than this replica has applied. */
enum rep_result rep_split_read(const struct rep_split *s, uint64_t generation);
/* `pending`: the primary's log has an entry of a split that is not applied yet. */
enum rep_result rep_split_write(const struct rep_split *s, bool pending, uint64_t generation);

enum rep_split_step {
  REP_SPLIT_PLANNED,   /* may be cancelled */
  REP_SPLIT_RELEASING, /* may not, but by the parent's log, which has the release or will not */
  REP_SPLIT_DONE,      /* the map says so */
  REP_SPLIT_CANCELLED
};

/* The split as its document has it. */
struct rep_split_plan {
  uint64_t id; /* 0: there is none */
  enum rep_split_step step;
  uint32_t n_forks; /* who has a durable copy of the moved rows and of the op ids */
  struct rep_member forks[REP_MEMBERS];
};

/* What a serving primary of the parent is to do next. */
enum rep_split_do {
  REP_SPLIT_NOTHING,       /* or wait, for replicas to make their copies */
  REP_SPLIT_APPEND_FENCE,
  REP_SPLIT_APPEND_CANCEL,
  REP_SPLIT_CLOSE,         /* planned -> releasing, with the child's record: its replicas open */
  REP_SPLIT_APPEND_RELEASE,
  REP_SPLIT_MAP,           /* releasing -> done, with the map */
  REP_SPLIT_GIVE_UP        /* planned, releasing -> cancelled, and the child's record goes: by the
                              log nothing comes of it */
};

enum rep_split_do rep_split_next(const struct rep_split_plan *plan, const struct rep_split *s,
                                 bool pending, const struct rep_config *c);
/* Whether that waits for others, or for the documents: then a primary that has not heard of these
   for long may append CANCEL, so that writes go on. Whichever of CANCEL and RELEASE is in the log
   first decides, whatever the document says by then. */
bool rep_split_may_end(enum rep_split_do next, const struct rep_split *s, bool pending);
/* Whether the moved rows are the child's, though the documents do not have the map yet: whoever
   knows tells it, so that nobody waits for the metadata store. */
bool rep_split_released(const struct rep_split_plan *plan, const struct rep_split *s);
/* Whether an operator may give it up. */
bool rep_split_may_cancel(const struct rep_split_plan *plan);
/* Whether a replica is to make its copy now: its data is that of the fence, and stays so. */
bool rep_split_forks(const struct rep_split_plan *plan, const struct rep_split *s,
                     struct rep_member self);

#endif
