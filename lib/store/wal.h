/*
 * wal.h - the write-ahead log: numbered files of checksummed records.
 *
 * File header, 64 bytes: "vecdbwal", u32 format version, u32 0, u64 file number, u64 base (the last
 * sequence number before this file), u64 salt (random per file), zeros, u64 XXH3 of the above.
 * Record, 8-byte aligned: u32 magic, u32 body length, u64 sequence number, u64 salt, u64 durable (the offset in this
 * file up to which everything was known to be synced when the record was written), u32 collection, u32 type, u64 XXH3 of
 * the header before and the body; body; zero padding to 8.
 * Sequence numbers count records, 1, 2, 3, ... across files, without gaps.
 *
 * The end of the log. A file is made, and its header and name synced, before its first record is written, and
 * after a crash or a failed write a new file is begun; none is ever continued. In any file but the last, the records up to the
 * next file's base must all be there, and what follows them is ignored: it was never acknowledged. In
 * the last file the log ends at the first bad record, unless a later valid record of this file (same salt) names a
 * durable offset beyond it: then acknowledged data is damaged, and that is CORRUPT, never the end. Closing
 * writes an END record that names all before it as durable, so after a clean close any damage is found. An invalid header is a file that
 * never was if nothing but zeros follows it and no later file exists; else CORRUPT.
 */
#ifndef VDB_WAL_H
#define VDB_WAL_H

#include "os/env.h"

struct vdb_wal_record {
  uint64_t seq;
  uint32_t collection;
  uint32_t type;      /* vdb_wal_type */
  const void *body;   /* 8-byte aligned, borrowed during the call */
  size_t n;
};

enum vdb_wal_type { VDB_WAL_END = 0, VDB_WAL_ROWS = 1, VDB_WAL_DELETE = 2 };

/* What is in the log. */
struct vdb_wal_scan {
  uint64_t last_seq;   /* of the last whole record; `base` when there is none */
  uint64_t next_file;  /* number that the next file may take */
  uint64_t bytes;      /* of all files */
};

/*
 * Reads the log files of `dir` numbered from `first_file` on and calls `apply` with each record in order, records with
 * seq <= after left out but checked; a non-zero return of apply ends the scan with that code. `base` is the sequence number
 * before first_file if the manifest knows no better (after a checkpoint: its floor). Reads only. Errors: CORRUPT with file and offset,
 * NEWER_FORMAT, IO, NO_MEMORY.
 */
VDB_INTERNAL int vdb_wal_scan(struct vdb_env *env, const char *dir, uint64_t first_file,
                              uint64_t after,
                              int (*apply)(void *arg, const struct vdb_wal_record *record,
                                           vecdb_error *err),
                              void *arg, struct vdb_wal_scan *out, vecdb_error *err);

/* The writing side. One thread at a time calls it, except vdb_wal_sync and _write as said. */
struct vdb_wal;
/* No file is touched until the first write. */
VDB_INTERNAL int vdb_wal_new(struct vdb_env *env, const char *dir, const struct vdb_wal_scan *scan,
                             struct vdb_wal **out, vecdb_error *err);
/* Frees; after a clean sync writes and syncs an END record if `end`. Returns that sync's error. */
VDB_INTERNAL int vdb_wal_close(struct vdb_wal *wal, bool end, vecdb_error *err);

/* Adds a record to a buffer in memory and gives its sequence number. `body` parts are copied and put one after the other. Caller's lock.
   Errors: NO_MEMORY, LIMIT; then nothing was added. */
struct vdb_wal_part {
  const void *data;
  size_t n;
};
VDB_INTERNAL int vdb_wal_add(struct vdb_wal *wal, uint32_t collection, enum vdb_wal_type type,
                             const struct vdb_wal_part *parts, size_t n_parts, uint64_t *seq,
                             vecdb_error *err);
/* Takes the buffered records out of the buffer for writing; *last_seq is the last of them. False when there are none. Caller's
   lock. At most one taken batch exists at a time. */
VDB_INTERNAL bool vdb_wal_take(struct vdb_wal *wal, uint64_t *last_seq);
/* Writes the taken records to the file, making one when there is none or when the last one failed, and syncs if
   `sync`. WITHOUT the caller's lock: vdb_wal_add may run meanwhile. On failure (IO, DISK_FULL, NO_MEMORY) the taken records are gone, the file is
   never written again, and the caller must call vdb_wal_rewind before the next add. */
VDB_INTERNAL int vdb_wal_write(struct vdb_wal *wal, bool sync, vecdb_error *err);
/* Syncs what was written without sync before. As vdb_wal_write. */
VDB_INTERNAL int vdb_wal_sync(struct vdb_wal *wal, vecdb_error *err);
/* Forgets buffered records and continues numbering after last_seq: the next write begins a new file with
   that base. Caller's lock. */
VDB_INTERNAL void vdb_wal_rewind(struct vdb_wal *wal, uint64_t last_seq);
/* Begins a new file at the next write, so that older ones can be trimmed. Caller's lock, nothing taken. */
VDB_INTERNAL void vdb_wal_rotate(struct vdb_wal *wal);
/* Number of the file that the next record goes to. */
VDB_INTERNAL uint64_t vdb_wal_next_file(const struct vdb_wal *wal);
/* Bytes in files now, and syncs so far. Any thread. */
VDB_INTERNAL uint64_t vdb_wal_bytes(const struct vdb_wal *wal);
VDB_INTERNAL uint64_t vdb_wal_syncs(const struct vdb_wal *wal);
/* Removes log files numbered below first_file (best effort: what stays is removed at the next open). */
VDB_INTERNAL void vdb_wal_trim(struct vdb_wal *wal, uint64_t first_file);
/* Name of log file `number` in `dir`. */
VDB_INTERNAL int vdb_wal_path(char *out, size_t n, const char *dir, uint64_t number,
                              vecdb_error *err);

#endif
