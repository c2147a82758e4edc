/*
 * wal.h - the write-ahead log: numbered files of checksummed records. README.md draws the bytes and
 * argues why the rules below are right.
 *
 * File header, 64 bytes: "vecdbwal", u32 format version, u32 data key (0: plain), u64 file number,
 * u64 base (the last sequence number before this file), u64 salt (new for each file), 16 bytes of
 * salt for the key, u64 XXH3 of the above; in an encrypted file 16 bytes of tag follow
 * (wal_crypt.h).
 * Record, 8-byte aligned: header of 56 bytes: u32 magic, u32 body length, u64 sequence number, u64
 * salt, u64 durable (the offset in this file up to which everything was known to be synced when the
 * record was written), u32 collection, u32 type, u64 XXH3 of the body and its padding, u64 XXH3 of
 * the header before; then the body and zeros to a multiple of 8.
 * Sequence numbers count records, 1, 2, 3, ... across files, without gaps. File numbers only grow;
 * some may be missing.
 *
 * The end of the log. A file is made under the name wal.tmp and synced, and gets its own name,
 * synced too, before it is used; all records up to its base are durable by then. After a crash or
 * a failed write or sync a new file is begun; none is ever continued. Records before it that are
 * not known to be durable are copied to the new file while that still has the other name. In any
 * file but the last, the records up to the next file's base must all be there (unless all of them
 * are at or below `after`), and what follows them is ignored: it was never acknowledged, or is
 * repeated in the next file. In the last file the log ends at the first bad record, unless a later
 * record header of this file (same salt) names a durable offset beyond it: then acknowledged data
 * is damaged, and that is CORRUPT, never the end. Closing writes an END record that names all
 * before it as durable, so after a clean close any damage to a record is found. A file whose
 * header is invalid is one that never was if nothing but zeros follows; else CORRUPT.
 */
#ifndef VDB_WAL_H
#define VDB_WAL_H

#include "os/env.h"

struct vdb_wal_record {
  uint64_t seq;
  uint32_t collection;
  uint32_t type;      /* a vdb_wal_type; others may come from hostile files */
  const void *body;   /* 8-byte aligned, borrowed during the call */
  size_t n;
};

enum vdb_wal_type { VDB_WAL_END = 0, VDB_WAL_ROWS = 1, VDB_WAL_DELETE = 2 };

/* Where a reader that goes on reading stands. */
struct vdb_wal_tail {
  uint64_t seq;     /* of the last record that was read */
  uint64_t highest; /* number of the highest file that there was; 0: none */
  uint64_t file;    /* the file that was read last; 0: none */
  uint64_t salt;    /* of its records */
  uint64_t offset;  /* behind the last of them */
  uint64_t durable; /* up to there they are known to have been synced */
};

/* What is in the log; what the writing side needs to continue it. */
struct vdb_wal_scan {
  uint64_t last_seq;   /* of the last whole record; at least `after` */
  uint64_t first_file; /* as given */
  uint64_t doubt_file; /* the file whose last records are not known to be synced; 0: none is */
  uint64_t doubt_from; /* these records, as offsets in it */
  uint64_t doubt_to;
  uint64_t next_file;  /* number that the next file may take */
  uint64_t bytes;      /* of all files from first_file on */
  uint64_t salt;       /* mixed from the salts of all files, so that new ones differ */
  struct vdb_wal_tail tail;
};

/*
 * Reads the log files of `dir` numbered from `first_file` on and calls `apply` with each record in
 * order; records with seq <= after are checked but left out. A non-zero return of apply ends the
 * scan with that code. `after` is what the manifest knows to be in files (its wal_floor); it must
 * be at least the base of the first file that is there, and records at or below it may be missing
 * from the log. No file at all is an empty log that ends at `after`. Reads only, and may run while
 * the log is written: files may go between the listing of the folder and their reading. One that a
 * writer left without records is passed over; whether others went because a newer manifest needs
 * them no more, the caller finds out from that manifest: CORRUPT, or a log that ends too early,
 * then mean nothing. Memory: about the biggest record. Errors: CORRUPT with file and offset,
 * NEWER_FORMAT, IO, NO_MEMORY, LIMIT; records applied before are then to be thrown away.
 */
VDB_INTERNAL int vdb_wal_scan(struct vdb_env *env, const char *dir, uint64_t first_file,
                              uint64_t after,
                              int (*apply)(void *arg, const struct vdb_wal_record *record,
                                           vecdb_error *err),
                              void *arg, struct vdb_wal_scan *out, vecdb_error *err);

/*
 * Reads on behind a scan, or where the last call ended, in the file that was the last one then.
 * *moved: there is another file by now, or that one is gone. Then nothing was read, and what was
 * read before may be more than what counts (see "the end of the log"), so the reader begins again
 * with a scan. A record that is still being written is left for the next call. Errors as for the
 * scan, except that damage is found only when a later record shows it; records applied before have
 * been read.
 */
VDB_INTERNAL int vdb_wal_read_on(struct vdb_env *env, const char *dir, struct vdb_wal_tail *tail,
                                 int (*apply)(void *arg, const struct vdb_wal_record *record,
                                              vecdb_error *err),
                                 void *arg, bool *moved, vecdb_error *err);

/*
 * The writing side. "Caller's lock": the calls so marked exclude one another. vdb_wal_write,
 * vdb_wal_sync and vdb_wal_close exclude one another too, but may run beside the former. bytes,
 * syncs, sync_ns, next_file and trim may be called by any thread at any time.
 */
struct vdb_wal;
/* Continues the log that was scanned. No file is touched until the first write. */
VDB_INTERNAL int vdb_wal_new(struct vdb_env *env, const char *dir, const struct vdb_wal_scan *scan,
                             struct vdb_wal **out, vecdb_error *err);
/* Syncs what was written, and then, if `end`, writes and syncs an END record. Records added but not
   written are dropped. Frees the log in any case; returns the error of the syncs. NULL is fine. */
VDB_INTERNAL int vdb_wal_close(struct vdb_wal *wal, bool end, vecdb_error *err);

/* Adds a record to a buffer in memory and gives its sequence number. The body is the parts one
   after the other; they are copied. Caller's lock. Errors: NO_MEMORY, LIMIT (a body over 1 GiB);
   then nothing was added. */
struct vdb_wal_part {
  const void *data;
  size_t n;
};
VDB_INTERNAL int vdb_wal_add(struct vdb_wal *wal, uint32_t collection, enum vdb_wal_type type,
                             const struct vdb_wal_part *parts, size_t n_parts, uint64_t *seq,
                             vecdb_error *err);
/* Takes the buffered records out of the buffer for writing; *last_seq is the last of them. False
   when there are none. Caller's lock. At most one taken batch exists at a time. */
VDB_INTERNAL bool vdb_wal_take(struct vdb_wal *wal, uint64_t *last_seq);
/*
 * Writes the taken records to the file, beginning a new one where needed, and syncs if `sync`. Not
 * under the caller's lock: vdb_wal_add may run meanwhile. Without `sync` the records are also kept
 * in memory until the next sync; when these come to 64 MiB, the call syncs all the same. On failure
 * (IO, DISK_FULL, NO_MEMORY) the taken records are gone, the file is never written or synced again,
 * and the caller must call vdb_wal_rewind before the next take. A new file is begun at once if that
 * is possible, so that the records do not come back after a crash either; when it is not, a crash
 * before the next successful write may bring them back.
 */
VDB_INTERNAL int vdb_wal_write(struct vdb_wal *wal, bool sync, vecdb_error *err);
/* Makes durable what was written without sync, also by the process before, if that was killed. On
   failure those records stay in memory, and the next write or sync puts them into a new file:
   nothing is lost while the process lives, and no rewind is needed. Not under the caller's lock. */
VDB_INTERNAL int vdb_wal_sync(struct vdb_wal *wal, vecdb_error *err);
/* Forgets the buffered records, and written ones after last_seq, and continues numbering after
   last_seq: the last record whose write succeeded. Where needed the next write begins a new file.
   Caller's lock, no write or sync running. */
VDB_INTERNAL void vdb_wal_rewind(struct vdb_wal *wal, uint64_t last_seq);
/* Begins a new file at the next write, so that older ones can be trimmed. Caller's lock, nothing
   taken, no write or sync running. */
VDB_INTERNAL void vdb_wal_rotate(struct vdb_wal *wal);
/* Number of the file that the next record goes to, or a lower one that will never be. */
VDB_INTERNAL uint64_t vdb_wal_next_file(const struct vdb_wal *wal);
/* Bytes in files now, syncs so far, and what they took. */
VDB_INTERNAL uint64_t vdb_wal_bytes(const struct vdb_wal *wal);
VDB_INTERNAL uint64_t vdb_wal_syncs(const struct vdb_wal *wal);
VDB_INTERNAL uint64_t vdb_wal_sync_ns(const struct vdb_wal *wal);
/* Removes log files numbered below first_file, never the one in use (best effort: what stays is
   removed by a later trim). Only after a manifest that needs none of them is durable. */
VDB_INTERNAL void vdb_wal_trim(struct vdb_wal *wal, uint64_t first_file);
/* Name of log file `number` in `dir`; and the number in a file name, false when it is no log
   file. */
VDB_INTERNAL int vdb_wal_path(char *out, size_t n, const char *dir, uint64_t number,
                              vecdb_error *err);
VDB_INTERNAL bool vdb_wal_parse(const char *name, uint64_t *number);

#endif
