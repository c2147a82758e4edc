/*
 * message.h - what replicas of a shard send to each other, and its bytes. Decoding believes
 * nothing: every length and count is checked before it is used; the decoded message points into the
 * bytes.
 *
 * A version adds fields behind those that were there; older ones skip them, and what an older one
 * did not send is zero. New types are sent only to whom has said, by its messages, that it knows
 * them. So N and N - 1 understand each other, in both directions.
 */
#ifndef CLUSTER_REPLICA_MESSAGE_H
#define CLUSTER_REPLICA_MESSAGE_H

#include "replica/types.h"

enum rep_type {
  REP_PROBE = 1, /* primary: the epoch is mine; promise, and say where your log is */
  REP_PROBED,
  REP_APPEND,
  REP_ACK,
  REP_STALE,     /* your epoch is over; `epoch` is the one promised here */
  REP_PIECE,     /* of a snapshot */
  REP_PIECED,
  REP_TYPES
};

enum {
  REP_VERSION = 2, /* of the messages that this code writes; raised also when machines make their
                      digests in another way */
  REP_ADDED = 8    /* bytes at the end that versions since the first have added; their number
                      stands before them */
};

enum {
  REP_FLAG_GAP = 1,      /* ACK: entries before these are missing */
  REP_FLAG_CONFLICT = 2, /* ACK: prev is not what is here: probe again */
  REP_FLAG_BROKEN = 4,   /* ACK, PROBED: this replica needs a snapshot */
  REP_FLAG_DIFFERS = 8   /* PIECE: your data is not what your log says: take this in its place */
};

struct rep_epoch {
  uint64_t epoch;
  uint64_t first; /* seq of its first entry */
};

struct rep_msg {
  uint32_t type;
  uint32_t version; /* of the sender; rep_msg_write puts this code's */
  uint32_t from, to;
  uint64_t shard, epoch, rev;
  struct rep_uuid store; /* of the sender */
  uint64_t round;        /* PROBE, APPEND: of the primary; ACK: the last seen */
  uint64_t term;         /* PROBE, APPEND, PIECE: the primary's for this peer, told back in answers;
                            0: none. Since version 2 */
  uint64_t life, time;   /* ACK: the receiver's clock; APPEND: given back (life 0: none) */

  /* APPEND: entries follow prev. ACK: prev.seq is what matches and is durable. PROBED: the base. */
  struct rep_pos prev;
  uint64_t commit;
  uint32_t flags;
  uint32_t primary; /* APPEND: who acknowledgements go to */
  uint32_t n_route;
  uint32_t route[REP_MEMBERS]; /* APPEND: to be passed on to the first of them, and so on */

  uint64_t last;                          /* PROBED, PIECE: the end of the sender's log */
  uint64_t digest_seq, digest;            /* ACK: of the machine; seq 0: none */
  uint32_t n_epochs;
  struct rep_epoch epochs[REP_EPOCHS];    /* PROBED: ascending */

  uint64_t snapshot;    /* PIECE, PIECED: its id */
  uint32_t index, count; /* PIECE; PIECED: index is the next one wanted */
  uint32_t n_data;
  const uint8_t *data;

  uint32_t n_entries;
  struct rep_entry entries[REP_BATCH];
};

/* Bytes that rep_msg_write may need. */
size_t rep_msg_bytes(const struct rep_msg *m);
/* Writes to `out` (rep_msg_bytes of room) and returns how many bytes. */
size_t rep_msg_write(const struct rep_msg *m, uint8_t *out);
/* False: not a message. */
bool rep_msg_read(const uint8_t *data, size_t n, struct rep_msg *out);

#endif
