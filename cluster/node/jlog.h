/*
 * jlog.h - a replica's log (replica/store.h) as a journal on files: segments of records, each of
 * which says all of the log's state but the bodies of its entries, so that a damaged one takes
 * nothing else with it. README.md has the format.
 *
 * One thread uses a log; only jlog_sync_run may be called by another, between begin and end.
 */
#ifndef CLUSTER_NODE_JLOG_H
#define CLUSTER_NODE_JLOG_H

#include "replica/orphan.h"
#include "replica/store.h"
#include "vecdb.h"

enum { JLOG_WHY = 256 };

struct jlog;

struct jlog_options {
  const vecdb_vfs *vfs; /* outlives the log */
  const char *folder;   /* made when it is not there; its parent is */
  uint64_t id;          /* of this log: files of another are not taken for its own */
  struct orphan_head from; /* shard, node and store, for the heads of files of orphans */
  uint64_t segment_bytes; /* 0: 16 MiB */
  uint64_t cache_bytes;   /* of entries kept in memory; 0: 32 MiB, the least that serves */
};

/* What opening has found. */
struct jlog_found {
  uint64_t torn;    /* bytes at the end that no finished sync had covered, cut off */
  uint64_t damaged; /* entries that are lost, though there once: they cannot be read */
};

/* NULL with the reason in `why` (JLOG_WHY bytes). */
struct jlog *jlog_open(const struct jlog_options *o, struct jlog_found *found, char *why);
void jlog_close(struct jlog *j);

/* For rep_open. Bodies that were read stay valid until entries of 16 MiB more were read or
   appended. */
struct rep_store jlog_store(struct jlog *j);

/* One sync at a time: begin notes what is to be durable, run does it, end is told what came of it
   and tells whether it is durable; files that nobody needs go then. */
void jlog_sync_begin(struct jlog *j);
bool jlog_sync_run(struct jlog *j);
bool jlog_sync_end(struct jlog *j, bool ok);

/* Bytes of the log's files. */
uint64_t jlog_bytes(const struct jlog *j);

#endif
