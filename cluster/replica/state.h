/* state.h - the state of a replica and what its files offer each other. Private to this folder. */
#ifndef CLUSTER_REPLICA_STATE_H
#define CLUSTER_REPLICA_STATE_H

#include "replica/plant.h"
#include "replica/replica.h"

enum { REP_READS = 256, REP_DIGESTS = 8 };

/* Of the data as of a position; seq 0: none. */
struct rep_digest {
  uint64_t seq, value;
};

enum rep_peer_state { PEER_PROBE, PEER_STREAM, PEER_SNAPSHOT };

/* What a primary knows of another replica. */
struct rep_peer {
  uint32_t node; /* 0: no peer */
  enum rep_peer_state state;
  struct rep_uuid store;
  bool broken;           /* says so itself, or differs by digest */
  bool differs;          /* by digest, which it cannot know itself */
  struct rep_digest digest; /* of its data, by its last ACK */
  uint64_t unlike;       /* since when that is not the primary's; 0: it is */
  uint64_t term;         /* what it acknowledges counts if it has heard of this one: it begins anew
                            when what the peer had before does not count any more */
  uint64_t known;        /* logs agree up to here */
  uint64_t match;        /* and durably up to here, in this epoch */
  uint64_t next;         /* to be sent */
  uint64_t heard;        /* when it last answered */
  uint64_t progress;     /* when match last grew, or nothing was owed */
  uint64_t sent;         /* when something was last sent that wants an answer */
  uint64_t direct_until; /* not by the chain: it had to be sent again */
  uint64_t round;        /* the last that it answered */
  uint64_t life, time;   /* its clock in its last ACK */
  uint64_t round_life, round_time; /* ... before the present round began */
  uint64_t fresh_life, fresh_time; /* ... before the last complete round began */
  struct rep_snapshot snapshot;
  uint32_t piece;  /* of the snapshot: before this one all have come */
  uint32_t behind; /* the next to be sent, up to REP_PIECES further */
  uint32_t wanted; /* by its last answer: less, if that is late or it has begun anew */
};

struct rep_wait {
  uint64_t seq; /* 0: none */
  uint64_t ticket;
  enum rep_ack_mode ack;
  bool answered; /* before the commit */
};

struct rep_read {
  uint64_t ticket;
  enum rep_level level;
  uint64_t round; /* REP_STRONG: to be complete */
  struct rep_pos token;
  uint64_t until;
};

struct rep_install {
  uint64_t id; /* 0: none */
  struct rep_snapshot snapshot;
  uint32_t next;
  uint64_t last; /* the end of the primary's log */
  uint64_t done; /* the id of the last that was taken whole */
};

struct rep {
  struct rep_options o;
  struct rep_alloc alloc;
  struct rep_host host;
  struct rep_store store;
  struct rep_machine machine;
  uint64_t now, ticked;
  enum rep_role role;
  enum rep_reason why;

  /* The journal (journal.c). */
  struct rep_state state;
  struct rep_pos base, tail;
  struct rep_epoch epochs[REP_EPOCHS];
  uint32_t n_epochs;
  uint64_t records, synced;     /* journal records made; durable */
  uint64_t promise_record;
  uint64_t durable;             /* entries up to here */
  bool syncing, full;
  uint64_t sync_records, sync_last;
  uint64_t commit;
  struct {
    uint64_t promised, rev, commit;
  } was; /* when it was last looked at (invariant.c) */
  uint64_t parted; /* the entry at which the log differs from what is committed; 0: not known */
  struct rep_digest digests[REP_DIGESTS]; /* the newest first */

  /* The record and the transaction under way (config.c). */
  struct rep_config config;
  bool have_config, have_txn;
  struct rep_txn txn;
  uint64_t txn_sent;
  uint64_t incarnation;
  uint64_t refreshed;

  /* As follower (follower.c, snapshot.c). */
  uint32_t leader;
  uint64_t epoch;   /* of the leader, or that is led */
  uint64_t heard;
  uint64_t match;
  uint64_t seen_round, seen_term;
  bool owes_ack, owes_probed;
  uint64_t fresh_at;
  uint64_t later_commit, later_time; /* fresh as of later_time once later_commit is applied */
  struct rep_install install;

  /* As primary (primary.c, peers.c, reads.c, writes.c). */
  uint64_t noop;    /* served once this is committed; 0: not appended yet */
  bool serving;
  struct rep_peer peers[REP_MEMBERS];
  uint64_t round, confirmed, round_began, beat;
  uint64_t terms; /* given to peers */
  uint32_t handoff; /* 0: none */
  uint64_t handoff_began;
  uint32_t leaving; /* is to leave the ISR; 0: none */
  uint64_t leaving_round, leaving_said;
  uint64_t async_acked;
  uint32_t uncommitted_acks;
  struct rep_wait *waits; /* o.window of them, by seq */
  struct rep_read reads[REP_READS];
  uint32_t n_reads;
  uint8_t *piece; /* REP_CHUNK bytes */
  struct rep_msg out;
};

/* replica.c */
void rep_stop(struct rep *r, enum rep_reason why);
/* A message with its header filled, in r->out. */
struct rep_msg *rep_message(struct rep *r, enum rep_type type, uint32_t to);
void rep_send(struct rep *r);
/* The newest digest of the machine, to be held against those of others. */
void rep_digest_look(struct rep *r);
/* Applies what is committed, answers whom it may. */
void rep_advance(struct rep *r);

/* invariant.c: stop the replica when it does not keep the rules. The first before peers are sent
   anything, which may begin a snapshot and forget what the peer had. */
void rep_check_commit(struct rep *r);
void rep_check_state(struct rep *r);

/* journal.c: false after rep_stop; append: false when full, too. */
bool rep_journal_open(struct rep *r);
bool rep_journal_append(struct rep *r, const struct rep_entry *e);
bool rep_journal_cut(struct rep *r, uint64_t after);
bool rep_journal_save(struct rep *r);
bool rep_journal_reset(struct rep *r, const struct rep_pos *pos);
void rep_journal_trim(struct rep *r);
/* The position of an entry; false: not in the log. */
bool rep_journal_pos(struct rep *r, uint64_t seq, struct rep_pos *pos);
void rep_journal_sync(struct rep *r);
void rep_journal_synced(struct rep *r);
/* The largest position that this log and one with that table have in common; false: none. */
bool rep_journal_common(const struct rep *r, const struct rep_msg *m, uint64_t *seq);

/* config.c */
void rep_config_adopt(struct rep *r, const struct rep_config *c);
void rep_config_outcome(struct rep *r, const struct rep_event *ev);
void rep_config_tick(struct rep *r);
void rep_config_refresh(struct rep *r);
/* As primary, when acknowledgements have come: grow, hand over. */
void rep_config_progress(struct rep *r);
/* As primary: another is to lead, once it has all. */
void rep_config_hand_over(struct rep *r, uint32_t node);
/* As primary: a member is to leave the ISR, once all others are known to be there. */
void rep_config_leave(struct rep *r, uint32_t node);
/* Whether this node is a member of the ISR with its present store. */
bool rep_config_member(const struct rep *r, const struct rep_config *c);

/* follower.c */
void rep_follow_message(struct rep *r, const struct rep_msg *m);
void rep_follow_synced(struct rep *r);
void rep_follow_fresh(struct rep *r);
/* The epoch is promised and its sender followed. False: refused, or stopped. */
bool rep_follow(struct rep *r, const struct rep_msg *m, uint32_t primary);
void rep_mark_broken(struct rep *r, uint64_t seq);

/* primary.c */
void rep_lead(struct rep *r);
void rep_lead_synced(struct rep *r);
void rep_lead_end(struct rep *r);
void rep_lead_commit(struct rep *r);
void rep_lead_tick(struct rep *r);
/* What a member of the ISR has on disk, as far as it counts. */
uint64_t rep_lead_durable(struct rep *r, const struct rep_member *m);
void rep_lead_message(struct rep *r, const struct rep_msg *m);
void rep_round_begin(struct rep *r);

/* peers.c */
struct rep_peer *rep_peer_of(struct rep *r, uint32_t node);
void rep_peers_update(struct rep *r);
void rep_peer_probe(struct rep *r, struct rep_peer *p);
/* What it has acknowledged does not count any more, nor what of that is still to come. */
void rep_peer_forget(struct rep *r, struct rep_peer *p);
/* What is new to each peer; along the chain where that is asked for. */
void rep_peers_feed(struct rep *r);
/* A heartbeat to all. */
void rep_peers_beat(struct rep *r);
void rep_peers_tick(struct rep *r);
void rep_peer_stream(struct rep *r, struct rep_peer *p, uint64_t known);

/* snapshot.c */
void rep_snapshot_start(struct rep *r, struct rep_peer *p);
void rep_snapshot_end(struct rep *r, struct rep_peer *p);
void rep_snapshot_tick(struct rep *r, struct rep_peer *p);
void rep_snapshot_answer(struct rep *r, struct rep_peer *p, const struct rep_msg *m);
void rep_snapshot_receive(struct rep *r, const struct rep_msg *m);

/* writes.c */
void rep_write(struct rep *r, const struct rep_event *ev);
void rep_writes_applied(struct rep *r, uint64_t seq, enum rep_applied how);
void rep_writes_local(struct rep *r);
void rep_writes_end(struct rep *r);
void rep_answer(struct rep *r, uint64_t ticket, enum rep_result result);

/* reads.c */
void rep_read(struct rep *r, const struct rep_event *ev);
/* Answers those that can be, or have waited too long. */
void rep_reads_serve(struct rep *r);

#endif
