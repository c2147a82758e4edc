/*
 * replica.h - one replica of one shard: events go in through rep_step, actions come out through the
 * functions of rep_host before it returns. Those must not call back into the replica. Time is the
 * host's monotonic clock in milliseconds. README.md has the protocol.
 */
#ifndef CLUSTER_REPLICA_H
#define CLUSTER_REPLICA_H

#include "replica/machine.h"
#include "replica/message.h"
#include "replica/store.h"

enum rep_role { REP_FOLLOWER, REP_PROMISING, REP_LEADING, REP_STOPPED };
enum rep_ack_mode { REP_ACK_SYNC, REP_ACK_CHAIN, REP_ACK_ASYNC };
enum rep_level { REP_LOCAL, REP_SESSION, REP_STRONG };

enum rep_result {
  REP_DONE = 0,
  REP_DONE_LOCAL,  /* async: on the primary's disk; `copies` says where else */
  REP_NOT_PRIMARY, /* `hint` is, or 0 */
  REP_UNAVAILABLE, /* not now: try again, here or elsewhere */
  REP_OVERLOADED,
  REP_NO_SPACE,
  REP_UNKNOWN,     /* the write may still happen: retry with the same op id */
  REP_LOST,        /* session: the write that the token is of was cut off (async only) */
  REP_OLD_OP,      /* an op id from before the client's window */
  REP_STALE_MAP,   /* who asks does not know the shard's slots as they are: read the map */
  REP_INVALID
};

struct rep_answer {
  uint64_t ticket;
  enum rep_result result;
  struct rep_pos pos; /* of the write; of the state that a read may look at now */
  uint32_t copies;    /* durable ones, this one included */
  uint32_t hint;
};

enum rep_txn_kind { REP_SHRINK, REP_GROW, REP_PROMOTE, REP_RESUME, REP_HANDOFF };

/* Compare: record.mod = rev, node(self).create = incarnation. Then put `config`. The else-branch
   reads the record. */
struct rep_txn {
  enum rep_txn_kind kind;
  uint64_t rev;
  uint64_t incarnation;
  struct rep_config config;
};

enum rep_reason {
  REP_WHY_NONE = 0,
  REP_WHY_STORE,   /* the log failed */
  REP_WHY_MACHINE, /* the data failed, or could not apply */
  REP_WHY_I1, REP_WHY_I2, REP_WHY_I3, REP_WHY_I4, REP_WHY_I5, /* README.md: the invariants */
  REP_WHY_I6, REP_WHY_I7, REP_WHY_I8, REP_WHY_I9, REP_WHY_I10
};

/* "I5: a cut of what is committed" */
const char *rep_reason_text(enum rep_reason why);

struct rep_host {
  void *arg;
  /* May be lost, late, twice, out of order. */
  void (*send)(void *arg, const struct rep_msg *m);
  /* Make the journal of now durable, then REP_EV_SYNCED. */
  void (*sync)(void *arg);
  /* Then REP_EV_TXN; not at once. */
  void (*txn)(void *arg, const struct rep_txn *t);
  /* Read the record anew, then REP_EV_CONFIG. */
  void (*refresh)(void *arg);
  /* A read with REP_DONE is to look at the machine before this returns. */
  void (*answer)(void *arg, const struct rep_answer *a);
  /* A node's copy differs from the primary's and will be replaced. */
  void (*diverged)(void *arg, uint32_t node, uint64_t seq);
  /* The replica has stopped for good: close it and open it again. */
  void (*stopped)(void *arg, enum rep_reason why);
};

struct rep_options {
  uint64_t shard;
  uint32_t node;
  struct rep_uuid store;
  uint64_t life; /* differs at every opening; not 0 */
  uint64_t heartbeat_ms, retry_ms;
  uint64_t suspect_ms; /* silence of the primary; and stagger_ms more for each place between in
                          the ISR */
  uint64_t stagger_ms;
  uint64_t slow_ms;    /* silence or standstill of an ISR member */
  uint64_t read_ms;    /* how long a read may wait */
  uint64_t keep;       /* entries kept in the log for learners */
  uint32_t window;     /* writes in flight, a power of two */
  uint32_t async_window;
  uint32_t grow_lag;   /* entries that a learner may be behind when it grows */
  bool chain;          /* data goes along the chain */
};

void rep_options_default(struct rep_options *o);

struct rep_alloc {
  void *arg;
  void *(*get)(void *arg, size_t n); /* zeroed */
  void (*put)(void *arg, void *block);
};

enum rep_event_type {
  REP_EV_TICK,       /* every heartbeat_ms / 4 or so */
  REP_EV_MESSAGE,    /* msg */
  REP_EV_SYNCED,     /* ok */
  REP_EV_CONFIG,     /* config: from a watch or a read */
  REP_EV_TXN,        /* txn: its outcome, and config unless unknown */
  REP_EV_REGISTERED, /* number: the node's incarnation */
  REP_EV_DOWN,       /* node: refuses connections */
  REP_EV_WRITE,      /* ticket, op, ack, data */
  REP_EV_READ,       /* ticket, level, token, number: max_age in ms (REP_LOCAL) */
  REP_EV_HANDOFF,    /* node: is to be the primary */
  REP_EV_LEAVE       /* node: is to leave the ISR; to be said again until it has */
};

enum rep_outcome { REP_TXN_DONE, REP_TXN_FAILED, REP_TXN_UNKNOWN };

struct rep_event {
  enum rep_event_type type;
  bool ok;
  enum rep_outcome outcome;
  const struct rep_msg *msg;
  const struct rep_config *config;
  uint32_t node;
  uint64_t number;
  uint64_t ticket;
  struct rep_op op;
  enum rep_ack_mode ack;
  enum rep_level level;
  struct rep_pos token; /* seq and epoch */
  const uint8_t *data;
  uint32_t n;
};

struct rep_info {
  enum rep_role role;
  enum rep_reason why;
  bool serving, broken, full;
  uint64_t promised, rev, epoch; /* epoch: that it leads, or of its last primary */
  uint32_t primary;              /* by the record */
  uint64_t base, last, durable, commit, applied;
  uint64_t match;                /* follower: agreed with the primary of `epoch` */
  uint32_t uncommitted_acks;     /* async: acknowledged, not yet committed */
  uint64_t fresh_at;             /* own clock: what was committed then is applied; 0: not known */
};

struct rep;

/* NULL: no memory, or options that make no sense. The three tables are copied. */
struct rep *rep_open(const struct rep_options *o, const struct rep_alloc *alloc,
                     const struct rep_host *host, const struct rep_store *store,
                     const struct rep_machine *machine, uint64_t now);
void rep_close(struct rep *r);
void rep_step(struct rep *r, uint64_t now, const struct rep_event *ev);
void rep_info(const struct rep *r, struct rep_info *out);
const struct rep_config *rep_config_of(const struct rep *r);

#endif
