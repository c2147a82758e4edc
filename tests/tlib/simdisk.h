/*
 * simdisk.h - a simulated disk behind a vecdb_vfs, with power cuts, faults and limits. It holds two
 * states of everything: what the running program sees, and what is on the disk.
 *
 *   struct simdisk *disk = simdisk_new();
 *   options.vfs = simdisk_vfs(disk);
 *   simdisk_stop_after(disk, n);          // the power goes n operations from now
 *   ... open the database, write, close; calls fail with EIO from some point ...
 *   simdisk_crash(disk, seed);            // one of the states the disk may be found in
 *   ... open again, and check that what was acknowledged is there ...
 *   simdisk_free(disk);
 *
 * What survives a power cut:
 * - A file's bytes and length as of its last successful sync always do. Of what was written,
 *   truncated or grown since, anything may: each seed keeps, drops or tears the writes at sectors
 *   of 512 bytes, later ones with earlier ones missing; the length may have changed without the
 *   bytes, which then read as zeros or as garbage.
 * - A file's name does not become durable by syncing the file, only by sync_dir of its folder. Of
 *   the names made, removed and renamed since, each seed keeps the first few, or any subset. One
 *   such operation is atomic: after a rename the target is the old or the new file. A folder's
 *   own name is in its parent's hands. The root ("", ".", "/") is always there.
 * - Seeds that are 0 modulo 8 lose everything that may be lost, those that are 1 modulo 8 lose
 *   nothing; the others mix, file by file. The same seed on the same state gives the same outcome.
 *
 * A failed sync (simdisk_set_fault) leaves the file's unsynced bytes readable but no longer waiting
 * to be written, as systems do: later syncs succeed without making them durable, unless they are
 * written again. Whether they reached the disk is told only by a crash.
 *
 * Otherwise it behaves like the system's files; renames across folders are EXDEV, renames of
 * folders EISDIR, and ".." is no special name. One mutex guards all; any thread may call anything,
 * except simdisk_free. The tool aborts when there is no memory.
 */
#ifndef SIMDISK_H
#define SIMDISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vecdb.h"

struct simdisk;

/* Kinds of operations, for counting and failing; masks. */
enum {
  SIMDISK_WRITE = 1 << 0,
  SIMDISK_SYNC = 1 << 1,
  SIMDISK_TRUNCATE = 1 << 2,
  SIMDISK_RENAME = 1 << 3,
  SIMDISK_REMOVE = 1 << 4,
  SIMDISK_CREATE = 1 << 5,   /* open with VECDB_OPEN_CREATE, and lock where it makes the file */
  SIMDISK_MAKE_DIR = 1 << 6,
  SIMDISK_SYNC_DIR = 1 << 7,
  SIMDISK_RESERVE = 1 << 8,
  SIMDISK_CHANGES = (1 << 9) - 1, /* all of the above: what counts as an operation of the disk */
  SIMDISK_READ = 1 << 9,
  SIMDISK_MAP = 1 << 10,
  SIMDISK_OPEN = 1 << 11,    /* open of an existing file */
  SIMDISK_LIST = 1 << 12,
  SIMDISK_LOCK = 1 << 13     /* lock of an existing file */
};

/* An empty disk. */
struct simdisk *simdisk_new(void);
/* All handles must be closed and mappings undone. NULL is fine. */
void simdisk_free(struct simdisk *disk);
/* The files of the disk; valid until simdisk_free. */
const vecdb_vfs *simdisk_vfs(struct simdisk *disk);
/* A second disk in the same state, of the running program and on the disk, without handles, locks,
   faults, stop and counts; so that many crashes can be tried from one point. */
struct simdisk *simdisk_clone(struct simdisk *disk);

/*
 * The power goes and comes back: the disk now holds one of the states it may be left in, all
 * handles are dead (EIO; close them), locks are gone, and stop and fault are cleared. Mappings keep
 * the bytes they had. Close the old database before, or its threads would work on the new state by
 * path.
 */
void simdisk_crash(struct simdisk *disk, uint64_t seed);
/* Makes everything durable as the program sees it. */
void simdisk_settle(struct simdisk *disk);

/* After n more operations (SIMDISK_CHANGES) every further one fails with EIO and has no effect;
   reading goes on. UINT64_MAX: never. */
void simdisk_stop_after(struct simdisk *disk, uint64_t n);
/* Whether an operation has met the stop. */
bool simdisk_stopped(struct simdisk *disk);
/* Operations of these kinds since the disk was made, failed ones among them. */
uint64_t simdisk_ops(struct simdisk *disk, uint32_t kinds);

/* Operations to fail. */
struct simdisk_fault {
  uint32_t kinds;     /* mask */
  uint64_t nth;       /* of these kinds, from now; 1: the next; 0: no fault */
  int error;          /* errno value to give */
  bool from_then_on;  /* all later ones of these kinds too */
  bool partial;       /* a failing write writes the first half of its bytes */
};
/* Sets the one fault, in place of an older one. NULL: none. */
void simdisk_set_fault(struct simdisk *disk, const struct simdisk_fault *fault);
/* How often the fault has struck. */
uint64_t simdisk_faults_hit(struct simdisk *disk);

/* The disk holds this many bytes (lengths and reservations of files): what would grow it further is
   ENOSPC, a write after its first part. 0: no limit. May be raised or lowered at any time. */
void simdisk_set_capacity(struct simdisk *disk, uint64_t bytes);
/* Bytes in use, as counted for the capacity. */
uint64_t simdisk_used(struct simdisk *disk);
/* Handles and mappings out now. */
size_t simdisk_handles(struct simdisk *disk);

/* ---- Looking at and damaging what is on the disk --------------------------------------------- */

/* All of these return 0 or an errno value: ENOENT, EISDIR, EIO past the end. They take no part in
   faults and counts. */

/* The durable length of the file. */
int simdisk_length(struct simdisk *disk, const char *path, uint64_t *out);
/* Durable bytes of the file. */
int simdisk_peek(struct simdisk *disk, const char *path, void *buf, size_t n, uint64_t offset);
/* Changes durable bytes, and with them what the program sees there. */
int simdisk_poke(struct simdisk *disk, const char *path, const void *buf, size_t n,
                 uint64_t offset);
/* Inverts the bits of `mask` in one durable byte; the same again undoes it. */
int simdisk_flip(struct simdisk *disk, const char *path, uint64_t offset, uint8_t mask);
/* Cuts or lengthens (by zeros) the durable file, and what the program sees. */
int simdisk_cut(struct simdisk *disk, const char *path, uint64_t length);
/* Calls visit with each file that the program sees, in all folders. visit may call anything. */
void simdisk_each(struct simdisk *disk, void (*visit)(void *arg, const char *path, uint64_t length),
                  void *arg);

#endif
