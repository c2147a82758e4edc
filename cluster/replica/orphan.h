/*
 * orphan.h - files of orphans: what a log had behind the place where it was cut, kept in case
 * somebody was told that it is safe (async), or that it may be. These are the bytes alone: the host
 * writes them, durably and before the log is cut, and `vecdb-cluster orphans` reads them.
 *
 * A file is a head and then entries, each with a hash of its own, so that damage takes no more than
 * what it touches. Little-endian; everything begins at a multiple of 8.
 */
#ifndef CLUSTER_REPLICA_ORPHAN_H
#define CLUSTER_REPLICA_ORPHAN_H

#include "replica/types.h"

enum { ORPHAN_HEAD = 72 };

/* Where the entries are from. */
struct orphan_head {
  uint64_t shard;
  uint32_t node;
  struct rep_uuid store; /* of the node's directory */
  uint64_t promised;     /* the epoch promised when the log was cut */
  uint64_t after;        /* the log was cut behind this position */
  uint64_t time_ms;      /* since 1970; 0: not known */
};

void orphan_head_write(const struct orphan_head *h, uint8_t out[ORPHAN_HEAD]);
/* Bytes of an entry with a body of n. */
size_t orphan_bytes(uint32_t n);
/* Writes orphan_bytes(e->n) bytes. */
void orphan_write(const struct rep_entry *e, uint8_t *out);

/* A file that is being read. */
struct orphan_file {
  const uint8_t *data; /* the caller's, of any alignment */
  size_t n, at;
  bool has_head;
  struct orphan_head head; /* if it has one */
  size_t damaged;          /* bytes that are no part of it, so far */
};

void orphan_open(struct orphan_file *f, const uint8_t *data, size_t n);
/* The next sound entry, whose body points into the file; false: there is none. */
bool orphan_next(struct orphan_file *f, struct rep_entry *out);

#endif
