/*
 * machine.h - the data of a shard, as replication sees it: operations are applied in order, the
 * whole can be shipped, two of them can be compared.
 */
#ifndef CLUSTER_REPLICA_MACHINE_H
#define CLUSTER_REPLICA_MACHINE_H

#include "replica/store.h"

enum rep_applied {
  REP_APPLIED = 0,
  REP_DUPLICATE,   /* this op id was applied before: nothing changed */
  REP_TOO_OLD,     /* an op id from before the client's window: nothing changed */
  REP_APPLY_FAILED /* nothing changed; the replica stops */
};

struct rep_snapshot {
  uint64_t id;        /* differs from all others, of other nodes too */
  struct rep_pos pos; /* the content is exactly that of this position */
  uint32_t count;     /* of pieces */
  void *handle;
};

/* The digest of content that cannot be read. */
#define REP_DIGEST_UNREADABLE UINT64_C(1)

struct rep_machine {
  void *arg;
  /* The position of what was applied last; kept with the data, so that it is right after a crash.
     */
  struct rep_pos (*pos)(void *arg);
  /* What a crash now would leave applied. */
  uint64_t (*durable)(void *arg);
  /* The entry behind pos; also no-ops, which only move the position. */
  enum rep_applied (*apply)(void *arg, const struct rep_entry *e);
  bool (*seen)(void *arg, struct rep_op op);
  /* Of the content as of position `seq`, that of the last operation that asked for it: equal
     content gives equal digests, on every node. False: nobody has asked since the data is here, or
     it is not done yet. */
  bool (*digest)(void *arg, uint64_t *seq, uint64_t *digest);

  /* A snapshot of now; stays as it is until closed. */
  bool (*open)(void *arg, struct rep_snapshot *out);
  /* Up to REP_CHUNK bytes of piece i; false: damaged. */
  bool (*read)(void *arg, const struct rep_snapshot *s, uint32_t i, uint8_t *out, uint32_t *n);
  void (*close)(void *arg, struct rep_snapshot *s);

  /* Receiving: pieces in order, aside from the data, which finish replaces as a whole; when it
     answers REP_OK a crash does not undo it. begin forgets an unfinished one. REP_FULL: not yet,
     it is sent again. */
  enum rep_status (*begin)(void *arg, const struct rep_snapshot *s);
  enum rep_status (*piece)(void *arg, uint32_t i, const uint8_t *data, uint32_t n);
  enum rep_status (*finish)(void *arg);
  /* The position of a snapshot that is there or being made: who gets it needs the log from there
     on. 0: none. NULL: never, open always gives one of now. */
  uint64_t (*keeps)(void *arg);
};

#endif
