/*
 * db.h - the open database and its collections, as the files of lib/db share them. The design is in
 * db/README.md; here stand the structures and which lock guards what.
 *
 * Locks, always taken in this order; none is held while a reader waits for anything but memory:
 *   merge_mu (collection)  one merge or index job per collection at a time
 *   seal_mu (collection)   one seal per collection at a time
 *   manifest_mu (db)       what the manifest says; held during its writing
 *   write_mu (db)          the write path: growing segments, log buffer, version lists; never held
 *                          during input or output
 *   view_mu (collection)   the pointer to the current version, and what of it is visible
 *   colls_mu (db)          the list of collections
 */
#ifndef VDB_DB_H
#define VDB_DB_H

#include "os/control.h"
#include "os/pool.h"
#include "seg/growing.h"
#include "seg/sealed.h"
#include "store/keys.h"
#include "store/manifest.h"
#include "store/wal.h"

/* A list of segments, never changed once published. */
struct vdb_version {
  _Atomic uint32_t refs;
  uint32_t n;
  uint32_t capacity;
  struct vdb_seg *segs[];
};

/* A write between its application in memory and its being durable; on the stack of the writer. */
struct vdb_pending {
  struct vdb_pending *next;
  struct vdb_pending *prev;
  struct vecdb_collection *coll;
  uint64_t seq;
  struct vdb_seg *seg;            /* where rows were appended, or NULL */
  struct vdb_growing_mark before; /* its end before */
  uint32_t n_rows;                /* appended */
  struct vdb_undo *undo;          /* rows deleted by this write */
  size_t n_undo;
  size_t n_expired; /* of a delete: rows among these that nobody saw any more */
  uint64_t last_seq_before; /* of the collection */
  bool done;
  int rc;
  vecdb_error err;
};

struct vdb_undo {
  struct vdb_tombs *tombs; /* the pending write holds a reference */
  uint32_t row;
};

/* The live estimate of recall (live.c). */
struct vdb_live {
  struct vdb_mutex mu;
  struct vdb_live_query *kept; /* mu; waits to be checked; NULL: none */
  uint64_t rest_until_ns;      /* mu; no query is kept before */
  uint64_t checks;             /* mu */
  double recall;               /* mu */
};

/* A schema as a collection keeps it: neither changed nor freed before the collection is. */
struct vdb_shape {
  struct vdb_shape *older;
  struct vdb_schema *schema;
  struct vdb_writer bytes; /* encoded, for the manifest */
  vecdb_schema public_schema;
  vecdb_field *public_fields;
};

struct vecdb_collection {
  struct vecdb *db;
  _Atomic uint32_t refs;
  uint32_t id;
  uint64_t serial; /* no other object of the database has or had it */
  char *name;
  /* Changed under all five locks of the collection and the database at once, so whoever holds one
     of them reads what holds for as long. Others read what may be replaced, and is never freed. */
  struct vdb_shape *_Atomic shape;
  struct vdb_schema *_Atomic schema; /* of `shape` */
  _Atomic bool dropped;
  struct vecdb_collection *lender; /* of a reader: an older object, kept for its schema, which the
                                      files that both have open borrow; NULL: itself */
  _Atomic bool replaced; /* of a reader: another object has its name and id; set under view_mu */
  _Atomic int64_t next_auto_id;

  struct vdb_mutex merge_mu;
  struct vdb_mutex seal_mu;
  struct vdb_mutex view_mu;
  struct vdb_version *version;   /* changed under write_mu and view_mu, so read under either */
  uint64_t visible_seq;          /* view_mu */
  vecdb_index_params *index;     /* as version; one per field of the schema */
  struct vdb_seg *active;        /* write_mu; the growing segment that takes rows, or NULL */
  uint64_t last_seq;             /* write_mu; of the last write */
  uint64_t merges;               /* write_mu; times that rows have moved to other segments */
  uint64_t files_seq;            /* write_mu; writes of this collection up to here are in files */

  _Atomic uint64_t searches;
  _Atomic uint64_t merges_done, merge_ns; /* since opening, and what they took */
  _Atomic uint64_t index_builds, index_build_ns;
  struct vdb_live live;
  _Atomic uint64_t commits;
  _Atomic uint32_t preempt; /* > 0: background merges and builds give way */
};

struct vdb_wal_mark {
  uint64_t file; /* records above `base` are in this log file or later ones */
  uint64_t base;
};

/* What was read from the files, before anybody sees it. */
struct vdb_recovered {
  struct vecdb_collection **colls; /* each with a reference */
  size_t n_colls, colls_capacity;
  uint64_t generation;
  uint64_t next_segment;
  uint64_t next_file;
  uint64_t wal_first;
  uint64_t last_seq; /* of the log */
  struct vdb_wal_tail tail;
  uint32_t next_collection;
};

struct vecdb {
  struct vdb_env env;
  struct vdb_keys *keys; /* of env; NULL: files are plain */
  char *dir;
  char *alone; /* path of the one segment file that is open, which stands in `dir`; NULL: it is a
                  database's folder */
  uint32_t flags;
  int32_t durability;
  uint64_t interval_ns;
  uint32_t seal_rows;
  uint32_t index_rows;
  uint32_t recall_every; /* queries per one that is checked; 0: none is */
  uint64_t seal_bytes;
  uint64_t wal_bytes;
  bool verify_full;
  vecdb_file *lock;
  struct vdb_pool *pool;
  struct vdb_wal *wal; /* NULL: read only */
  struct vdb_cache *cache;  /* of results; NULL: none */
  _Atomic uint64_t serials; /* of collections' objects */
  _Atomic uint64_t computed; /* rows that values were computed for, since opening */

  struct vdb_mutex manifest_mu;
  uint64_t generation;      /* manifest_mu */
  uint32_t copies;          /* manifest_mu; backups that run */
  uint64_t next_segment;    /* manifest_mu */
  uint32_t next_collection; /* manifest_mu */
  _Atomic uint64_t next_file;
  _Atomic bool manifest_doubt; /* a change that failed may be on disk */

  struct vdb_mutex write_mu;
  struct vdb_cond write_cond;  /* a commit ended, a hold was lifted */
  struct vdb_pending *first;   /* write_mu; writes in flight, oldest first */
  struct vdb_pending *last;
  bool leading;                /* write_mu; a thread writes the log */
  bool rotate;                 /* write_mu; the next write of the log begins a new file */
  uint32_t holds;              /* write_mu; new writes wait while > 0 */
  uint64_t published_seq;      /* write_mu; last write in the log and visible */
  uint64_t synced_seq;         /* write_mu; last write known to be on disk */
  uint64_t noted_seq;          /* manifest_mu; as the manifest has it */
  uint64_t last_sync_ns;       /* write_mu */
  uint64_t failures;           /* write_mu; times that writes in flight were taken back */
  struct vdb_wal_mark *marks;  /* write_mu; ascending */
  size_t n_marks, marks_capacity;

  struct vdb_wal_tail tail;         /* manifest_mu; of a reader: where it reads on */
  uint64_t looked_ns;               /* manifest_mu; of a reader: when it last looked at the files */
  uint64_t reloads;                 /* manifest_mu; times that it exchanged the segments */

  struct vdb_mutex colls_mu;
  struct vecdb_collection **colls; /* by id ascending */
  size_t n_colls, colls_capacity;

  struct vdb_mutex jobs_mu;
  struct vdb_cond jobs_cond;
  struct vdb_thread jobs_thread;
  bool jobs_running;
  bool jobs_kicked;            /* jobs_mu */
  bool jobs_resting;           /* jobs_mu; after a failure: kicks do not wake the thread */
  struct vecdb_collection *_Atomic yielding; /* whose merge lock the background thread holds */
  _Atomic bool closing;
  int32_t stop_jobs;           /* set with it, for calls that only poll (vecdb_control.cancel) */
  struct vdb_mutex step_mu;    /* one vecdb_step at a time */
};

/* ---- db_open.c ---- */
VDB_INTERNAL int vdb_db_open(const char *path, const vecdb_options *options, struct vecdb **out,
                             vecdb_error *err);
VDB_INTERNAL int vdb_db_close(struct vecdb *db, vecdb_error *err);
/* OPTION, LIMIT or ARGUMENT for options that make no sense. */
VDB_INTERNAL int vdb_db_check_options(const vecdb_options *o, vecdb_error *err);
/* The folder that holds `path`, cut to n bytes. */
VDB_INTERNAL void vdb_db_parent(const char *path, char *out, size_t n);
/* Makes the name of the folder `path` durable. */
VDB_INTERNAL int vdb_db_sync_parent(struct vdb_env *env, const char *path, vecdb_error *err);

/* ---- alone.c ---- */
/* Of a reader: whether a file stands where the folder should be. Then db->alone and db->dir are set
   for it. Errors: NO_MEMORY; ARGUMENT when it is to follow a writer; NOT_A_DATABASE for a pipe, a
   device or a link; those of the system when it does not open. */
VDB_INTERNAL int vdb_alone_look(struct vecdb *db, vecdb_error *err);
/* The segment in that file as a database of one collection, in place of vdb_recover. */
VDB_INTERNAL int vdb_alone_open(struct vecdb *db, vecdb_error *err);

/* ---- computed.c ---- */
/* The values of this moment for fields with a computed default, of n_rows rows. NULL: the schema
   has no such field. */
struct vdb_computed;
VDB_INTERNAL int vdb_computed_new(struct vecdb_collection *coll, const struct vdb_schema *schema,
                                  uint32_t n_rows, struct vdb_computed **out, vecdb_error *err);
VDB_INTERNAL void vdb_computed_free(struct vdb_computed *c);
/* A caller's batch with these values for columns without data and for nulls of fields that have
   none; `whole`: also for columns that it lacks. Once per c, which the result borrows. Errors: of
   vdb_batch_check; NO_MEMORY. */
VDB_INTERNAL int vdb_computed_batch(struct vdb_computed *c, const struct vdb_schema *schema,
                                    const vecdb_batch *batch, bool whole, const vecdb_batch **out,
                                    vecdb_error *err);
/* For vdb_batch_merge; NULL without c. */
VDB_INTERNAL const struct vdb_column *vdb_computed_fills(const struct vdb_computed *c);

/* ---- rekey.c ---- */
/* See vecdb_rekey; the database is encrypted and open for writing. */
VDB_INTERNAL int vdb_rekey(struct vecdb *db, const char *key_id, bool new_data_key,
                           vecdb_error *err);

/* ---- recover.c ---- */
/* Loads collections and segments from the manifest, replays the log, removes files nobody names. */
VDB_INTERNAL int vdb_recover(struct vecdb *db, const vecdb_options *options, vecdb_error *err);
/* Reads what vdb_recover puts in force; again, for a reader, which then shares the files that it
   has open already. Released with vdb_recovered_free, or taken over. manifest_mu held. */
VDB_INTERNAL int vdb_recover_read(struct vecdb *db, const vecdb_options *options,
                                  struct vdb_recovered *out, vecdb_error *err);
VDB_INTERNAL void vdb_recovered_free(struct vecdb *db, struct vdb_recovered *r);
/* Applies a record to that of the collections it belongs to; write_mu held, unless nobody sees them
   yet. */
VDB_INTERNAL int vdb_recover_record(struct vecdb_collection *const *colls, size_t n,
                                    const struct vdb_wal_record *record, vecdb_error *err);
/* Reads the log that belongs to a manifest. CORRUPT also when it ends before records that the
   manifest knows to be synced. */
VDB_INTERNAL int vdb_recover_scan(struct vecdb *db, const struct vdb_manifest *manifest,
                                  int (*apply)(void *arg, const struct vdb_wal_record *record,
                                               vecdb_error *err),
                                  void *arg, struct vdb_wal_scan *scan, vecdb_error *err);
/* Whether a manifest has been written since that of this generation. */
VDB_INTERNAL bool vdb_recover_overtaken(struct vecdb *db, uint64_t generation);
/* Whether the folder is a database or may become one: else NOT_A_DATABASE, also for a file, or
   CORRUPT when there are files of a database without its manifest. A missing folder is fine. */
VDB_INTERNAL int vdb_recover_look(struct vecdb *db, vecdb_error *err);

/* ---- follow.c ---- */
/* Brings a reader up to the state of the files. Locks: manifest_mu and, for moments, the others. */
VDB_INTERNAL int vdb_follow(struct vecdb *db, uint32_t max_age_ms, vecdb_refresh_info *info,
                            vecdb_error *err);
/* Body of the thread that does so at intervals, until vdb_jobs_stop. */
VDB_INTERNAL void vdb_follow_thread(void *arg);

/* ---- collection.c ---- */
/* Makes a collection around `schema`, which it takes over on success; one reference. */
VDB_INTERNAL int vdb_collection_new(struct vecdb *db, uint32_t id, const char *name,
                                    struct vdb_schema *schema, struct vecdb_collection **out,
                                    vecdb_error *err);
/* A shape of a schema, which it takes over on success. */
VDB_INTERNAL int vdb_shape_new(struct vdb_mem *mem, struct vdb_schema *schema,
                               struct vdb_shape **out, vecdb_error *err);
VDB_INTERNAL void vdb_shape_free(struct vdb_mem *mem, struct vdb_shape *shape);
/* Puts another shape in force, with the settings and the segments that go with it; takes all three
   over. All locks but view_mu held. */
VDB_INTERNAL void vdb_collection_reshape(struct vecdb_collection *coll, struct vdb_shape *shape,
                                         vecdb_index_params *index, struct vdb_version *version);
VDB_INTERNAL struct vecdb_collection *vdb_collection_ref(struct vecdb_collection *coll);
VDB_INTERNAL void vdb_collection_unref(struct vecdb_collection *coll);
/* The collection of that name with a reference, or NULL. */
VDB_INTERNAL struct vecdb_collection *vdb_collection_find(struct vecdb *db, const char *name);
/* The first collection whose id is at least `id`, with a reference, or NULL. Walks go from id to
   id: collections may come and go meanwhile. */
VDB_INTERNAL struct vecdb_collection *vdb_collection_from(struct vecdb *db, uint64_t id);
/* All collections, each with a reference, in an array for vdb_collection_free_all. */
VDB_INTERNAL int vdb_collection_all(struct vecdb *db, struct vecdb_collection ***out, size_t *n,
                                    vecdb_error *err);
VDB_INTERNAL void vdb_collection_free_all(struct vecdb *db, struct vecdb_collection **colls,
                                          size_t n);
/* Room in the list for one more, then adding it; manifest_mu held from one to the other. */
VDB_INTERNAL int vdb_collection_reserve(struct vecdb *db, vecdb_error *err);
VDB_INTERNAL void vdb_collection_add(struct vecdb *db, struct vecdb_collection *coll);
VDB_INTERNAL void vdb_collection_remove(struct vecdb *db, struct vecdb_collection *coll);
/* The object that stands for a collection now, with a reference: itself, unless a reader has loaded
   it anew. NULL when there is none any more. */
VDB_INTERNAL struct vecdb_collection *vdb_collection_current(struct vecdb_collection *coll);
/* CLOSED once the collection was dropped. */
VDB_INTERNAL int vdb_collection_alive(const struct vecdb_collection *coll, vecdb_error *err);

/* ---- view.c ---- */
/* A snapshot of what is visible now; never waits for writers. */
VDB_INTERNAL int vdb_snapshot_take(struct vecdb_collection *coll, struct vdb_snapshot **out,
                                   vecdb_error *err);
/* A snapshot of all that was applied, durable or not; write_mu held. */
VDB_INTERNAL int vdb_snapshot_latest(struct vecdb_collection *coll, struct vdb_snapshot **out,
                                     vecdb_error *err);
VDB_INTERNAL struct vdb_version *vdb_version_new(struct vdb_mem *mem, uint32_t capacity);
VDB_INTERNAL struct vdb_version *vdb_version_ref(struct vdb_version *version);
VDB_INTERNAL void vdb_version_unref(struct vdb_mem *mem, struct vdb_version *version);
/* The current version with a reference. */
VDB_INTERNAL struct vdb_version *vdb_version_get(struct vecdb_collection *coll);
/* Makes `version` current, taking its reference; write_mu held. */
VDB_INTERNAL void vdb_version_set(struct vecdb_collection *coll, struct vdb_version *version);

/* ---- write.c ---- */
VDB_INTERNAL int vdb_write_rows(struct vecdb_collection *coll, const vecdb_batch *batch,
                                bool replace, int64_t *ids, vecdb_error *err);
VDB_INTERNAL int vdb_write_delete(struct vecdb_collection *coll, const vecdb_keys *keys,
                                  uint64_t *deleted, vecdb_error *err);
VDB_INTERNAL int vdb_write_delete_where(struct vecdb_collection *coll, const vecdb_filter *filter,
                                        uint64_t *deleted, struct vdb_control *control,
                                        vecdb_error *err);
/* CLOSED, READ_ONLY; also makes sure that no change of the manifest is in doubt. */
VDB_INTERNAL int vdb_write_allowed(struct vecdb_collection *coll, vecdb_error *err);
/* Takes write_mu when no writes are held and no change of the manifest is in doubt. On failure the
   lock is not held. */
VDB_INTERNAL int vdb_write_enter(struct vecdb_collection *coll, vecdb_error *err);
/* Applies a record of rows, whose columns are `batch`, and waits for the log; as vdb_apply_rows
   says. write_mu held, given up meanwhile; end with vdb_write_leave, also after a failure. */
VDB_INTERNAL int vdb_write_record(struct vecdb_collection *coll, const struct vdb_writer *record,
                                  const struct vdb_batch *batch, bool replace,
                                  const uint32_t *source, struct vdb_pending *pending,
                                  vecdb_error *err);
/* Gives write_mu and the pending write (zeroed if there is none) back, and tells the background. */
VDB_INTERNAL void vdb_write_leave(struct vecdb_collection *coll, struct vdb_pending *pending);
/* That a write found no row of its keys may be the work of others that are not durable yet: waits
   for them, and sets *again when some were taken back. write_mu held, given up meanwhile. */
VDB_INTERNAL int vdb_write_settle(struct vecdb *db, bool *again, vecdb_error *err);
/* Back-pressure, after a write: a writer that outruns the background seals a segment itself. */
VDB_INTERNAL void vdb_write_help(struct vecdb_collection *coll);
/* Compares two keys of a caller, and orders the numbers of keys so that repeated ones come
   together. */
VDB_INTERNAL int vdb_write_key_compare(const vecdb_keys *keys, size_t a, size_t b);
VDB_INTERNAL void vdb_write_keys_sort(const vecdb_keys *keys, uint32_t *order, size_t n);
/* ---- update.c ---- */
VDB_INTERNAL int vdb_write_update(struct vecdb_collection *coll, const vecdb_batch *batch,
                                  uint32_t flags, uint8_t *found, vecdb_error *err);
/* ---- push.c ---- */
VDB_INTERNAL int vdb_write_push(struct vecdb_collection *coll, const vecdb_push_params *params,
                                uint64_t *versions, vecdb_error *err);
/* ---- versions.c: write_mu held ---- */
/* Where the values of a live row stand that has not expired; false when there is none. */
VDB_INTERNAL bool vdb_apply_stands(struct vecdb_collection *coll, struct vdb_bytes key,
                                   int64_t now_ms, struct vdb_batch_patch *out);
/* Counts the versions in a record of whole rows, whose columns are `batch`, on from those of the
   rows that it replaces. */
VDB_INTERNAL void vdb_versions_count(struct vecdb_collection *coll, const struct vdb_writer *record,
                                     const struct vdb_batch *batch);
/* A version, which is any number in a forged file, and its exchange in a column that borrows from a
   record. */
VDB_INTERNAL uint64_t vdb_version_of(const struct vdb_column *version, size_t row);
VDB_INTERNAL void vdb_version_put(const struct vdb_writer *record, const struct vdb_column *version,
                                  size_t row, uint64_t value);
/* ---- apply.c: the part of writing that recovery shares; write_mu held ---- */
/* A live row: where a key stands now. */
struct vdb_place {
  struct vdb_seg *seg;
  uint32_t row;
};
/* Finds the newest row of a key, deletes and unpublished writes included; seg NULL when there is
   none. */
VDB_INTERNAL struct vdb_place vdb_apply_find(struct vecdb_collection *coll, struct vdb_bytes key);
/* The time to hold against expiries; of no use where nothing expires. */
VDB_INTERNAL int64_t vdb_apply_now(const struct vecdb_collection *coll);
VDB_INTERNAL bool vdb_apply_expired(struct vdb_place place, int64_t now_ms);
/* Finds what the batch replaces and reserves all memory, so that vdb_apply_commit cannot fail. With
   `replace` false a present key is EXISTS, its row named through `source` (NULL: as is). On failure
   nothing has changed; on success follow with commit or abandon. */
VDB_INTERNAL int vdb_apply_rows(struct vecdb_collection *coll, const struct vdb_batch *batch,
                                bool replace, const uint32_t *source, struct vdb_pending *pending,
                                vecdb_error *err);
/* A body of a DELETE record: keys that are absent are left out. */
VDB_INTERNAL int vdb_apply_delete(struct vecdb_collection *coll, const void *body, size_t n,
                                  struct vdb_pending *pending, vecdb_error *err);
/* Changes memory as reserved, under sequence number `seq`; batch NULL for deletes. */
VDB_INTERNAL void vdb_apply_commit(struct vdb_pending *pending, const struct vdb_batch *batch,
                                   uint64_t seq);
/* Takes a committed write back; only newest first. */
VDB_INTERNAL void vdb_apply_rollback(struct vdb_pending *pending);
/* Frees what a pending write holds, after commit and publication, rollback, or instead of
   commit. */
VDB_INTERNAL void vdb_apply_release(struct vdb_pending *pending);
/* Makes a committed write visible to new snapshots. */
VDB_INTERNAL void vdb_apply_publish(struct vdb_pending *pending);
/* Ends the active growing segment, if it has rows. */
VDB_INTERNAL void vdb_apply_freeze(struct vecdb_collection *coll);

/* ---- commit.c ---- */
/* Puts an applied write in the queue; write_mu held. */
VDB_INTERNAL void vdb_commit_enqueue(struct vecdb *db, struct vdb_pending *pending);
/* Waits until the write is as durable as the mode says and visible, writing the log for all that
   wait when nobody else does. write_mu held, given up meanwhile. Returns the write's outcome. */
VDB_INTERNAL int vdb_commit_wait(struct vecdb *db, struct vdb_pending *pending, vecdb_error *err);
/* Makes all writes up to `seq` durable whatever the mode. write_mu held, given up meanwhile. */
VDB_INTERNAL int vdb_commit_sync(struct vecdb *db, uint64_t seq, vecdb_error *err);
/* Keeps new writes out until vdb_commit_release, and waits for those in flight. write_mu held. */
VDB_INTERNAL void vdb_commit_hold(struct vecdb *db);
VDB_INTERNAL void vdb_commit_release(struct vecdb *db);
/* Waits while writes are held; write_mu held. */
VDB_INTERNAL void vdb_commit_enter(struct vecdb *db);
/* Begins a new log file so that older ones can go; write_mu held. */
VDB_INTERNAL void vdb_commit_rotate(struct vecdb *db);

/* ---- change.c ---- */
/* A change of what the files hold: first the manifest, then memory. */
struct vdb_change {
  struct vecdb_collection *coll;    /* whose segments change */
  struct vdb_seg *const *removed;   /* segments that go; */
  uint32_t n_removed;
  struct vdb_seg *added;            /* one that comes in their place, or NULL */
  uint64_t flushed_seq;             /* new value, or 0: unchanged */
  const vecdb_index_params *index;  /* new settings, or NULL: unchanged */
  struct vecdb_collection *created; /* collection to add */
  struct vecdb_collection *dropped; /* collection to leave out */
  struct vdb_shape *shape;          /* of coll, with `index`; or NULL: unchanged. Then */
  struct vdb_seg *const *reshaped;  /* all its segments under that shape, for those it has */
  uint32_t n_reshaped;
  /* Called with write_mu held and no write in flight, between manifest and memory; or NULL. */
  void (*before_swap)(void *arg);
  void *arg;
};
/* manifest_mu held. On success takes its own references. Errors: IO, DISK_FULL, NO_MEMORY; then
   nothing has changed, except that the files of `added` may be named on disk (*keep_files). */
VDB_INTERNAL int vdb_change_commit(struct vecdb *db, const struct vdb_change *change,
                                   bool *keep_files, vecdb_error *err);
/* After a change that failed, and yet may be on disk: makes sure that it is not, so that what is
   acknowledged from now on does not go with a collection that was to be dropped. No lock held. */
VDB_INTERNAL int vdb_change_settle(struct vecdb *db, vecdb_error *err);
/* A number for a new file. */
VDB_INTERNAL uint64_t vdb_change_file(struct vecdb *db);
/* Removes a file that no manifest names. */
VDB_INTERNAL void vdb_change_remove(struct vecdb *db, enum vdb_blob_kind kind, uint64_t number);

/* ---- flush.c ---- */
/* The marks of a growing segment, which go on; those of writes up to `until` stand in its file. */
struct vdb_seal_tombs {
  struct vdb_tombs *tombs;
  uint64_t until;
};
/* Writes rows of segments into a new file and makes a segment of it that no version knows yet, with
   `tombs` or (NULL) none marked. On failure no file is left. */
VDB_INTERNAL int vdb_seal_rows(struct vecdb_collection *coll,
                               const struct vdb_sealed_source *sources, uint32_t n_sources,
                               const struct vdb_seal_tombs *tombs, struct vdb_control *control,
                               struct vdb_seg **out, vecdb_error *err);
/* Seals the oldest frozen segment, if there is one; seal_mu held. *did tells. */
VDB_INTERNAL int vdb_seal_one(struct vecdb_collection *coll, struct vdb_control *control, bool *did,
                              vecdb_error *err);
/* Brings all writes made before the call into files. */
VDB_INTERNAL int vdb_flush(struct vecdb_collection *coll, struct vdb_control *control,
                           vecdb_error *err);
/* As vdb_flush; seal_mu held. */
VDB_INTERNAL int vdb_flush_locked(struct vecdb_collection *coll, struct vdb_control *control,
                                  vecdb_error *err);
VDB_INTERNAL uint32_t vdb_frozen_count(struct vecdb_collection *coll);

/* ---- merge.c ---- */
/* Takes the merge lock for a caller: background work that holds it gives way. */
VDB_INTERNAL int vdb_merge_lock(struct vecdb_collection *coll, struct vdb_control *control,
                                vecdb_error *err);
/* Whether a fifth of a segment's rows are dead or, by a sample, have expired, so that writing it
   anew pays. */
VDB_INTERNAL bool vdb_merge_rotten(const struct vdb_seg *seg);
/* Merges the given sealed segments into one without deleted rows, with indexes; merge_mu held. */
VDB_INTERNAL int vdb_merge(struct vecdb_collection *coll, struct vdb_seg *const *segs, uint32_t n,
                           struct vdb_control *control, vecdb_error *err);
/* Builds the indexes that a sealed segment lacks or drops those it should not have; merge_mu held.
   *did tells. */
VDB_INTERNAL int vdb_index_segment(struct vecdb_collection *coll, struct vdb_seg *seg,
                                   struct vdb_control *control, bool *did, vecdb_error *err);
VDB_INTERNAL int vdb_compact(struct vecdb_collection *coll, struct vdb_control *control,
                             vecdb_error *err);
/* The field is named by its id. */
VDB_INTERNAL int vdb_index_set(struct vecdb_collection *coll, uint32_t id,
                               const vecdb_index_params *params, struct vdb_control *control,
                               vecdb_error *err);
/* ---- alter.c ---- */
/* Changes the schema of a collection; durable when it returns. Writers wait for a short while,
   readers do not. */
VDB_INTERNAL int vdb_alter(struct vecdb_collection *coll, const struct vdb_schema_edit *edit,
                           struct vdb_control *control, vecdb_error *err);

/* ---- budget.c ---- */
/* Whether a sealed segment of n rows should get a vector index by these settings, and by what
   memory_limit allows. */
VDB_INTERNAL bool vdb_index_wanted(const struct vecdb *db, const struct vdb_field *field,
                                   const vecdb_index_params *params, uint64_t n);
/* By the settings alone. */
VDB_INTERNAL bool vdb_index_asked(const struct vecdb *db, const struct vdb_field *field,
                                  const vecdb_index_params *params, uint64_t n);
/* What AUTO takes within memory_limit. */
VDB_INTERNAL void vdb_budget_auto(const struct vecdb *db, const vecdb_index_params *settings,
                                  const struct vdb_index_field *over, uint64_t n,
                                  vecdb_index_params *out);
/* Whether memory_limit allows an index to be built, be it not now. */
VDB_INTERNAL bool vdb_budget_fits(const struct vecdb *db, const vecdb_index_params *params,
                                  const struct vdb_index_field *over, uint64_t n);
/* NO_MEMORY, naming need and budget, when a build would take more than is left. */
VDB_INTERNAL int vdb_budget_check(struct vecdb *db, const vecdb_index_params *params,
                                  const struct vdb_index_field *over, uint64_t n,
                                  vecdb_error *err);
/* Whether a segment of n rows could get the indexes that the settings ask for. */
VDB_INTERNAL bool vdb_budget_merges(struct vecdb_collection *coll, uint64_t n);
/* NO_MEMORY when its indexes would take more than is left. */
VDB_INTERNAL int vdb_budget_check_merge(struct vecdb_collection *coll, uint64_t n,
                                        vecdb_error *err);

/* ---- jobs.c ---- */
VDB_INTERNAL int vdb_jobs_start(struct vecdb *db, vecdb_error *err);
VDB_INTERNAL void vdb_jobs_stop(struct vecdb *db);
/* Tells the background thread that there may be work. Any lock. */
VDB_INTERNAL void vdb_jobs_kick(struct vecdb *db);
/* Does one piece of pending work; *did false: there was none. `bytes` gets the input worked on. */
VDB_INTERNAL int vdb_jobs_run_one(struct vecdb *db, struct vecdb_collection *only, bool *did,
                                  uint64_t *bytes, struct vdb_control *control, vecdb_error *err);
/* Syncs the log if the durability mode says that it is time. */
VDB_INTERNAL void vdb_jobs_sync(struct vecdb *db);
/* Pieces of work known now. */
VDB_INTERNAL uint64_t vdb_jobs_pending(struct vecdb *db, struct vecdb_collection *only);
/* Bytes of the sealed segments that background merging would write anew now. */
VDB_INTERNAL uint64_t vdb_jobs_merge_bytes(struct vecdb_collection *coll);

/* ---- live.c ---- */
/* After a search that gave an answer: keeps one of its queries if it is its turn, when `before`
   queries came before them. */
VDB_INTERNAL void vdb_live_offer(struct vecdb_collection *coll, const vecdb_search_params *params,
                                 uint64_t before);
/* Whether a query waits to be checked. */
VDB_INTERNAL bool vdb_live_waits(struct vecdb_collection *coll);
/* Checks it; false when there was none. */
VDB_INTERNAL bool vdb_live_check(struct vecdb_collection *coll, const struct vdb_control *control);
/* When nobody uses the collection any more. */
VDB_INTERNAL void vdb_live_free(struct vecdb_collection *coll);

/* ---- backup.c, db_check.c, db_stats.c ---- */
/* Holds no lock while it copies; for databases opened to read, too. */
VDB_INTERNAL int vdb_backup(struct vecdb *db, const char *path, struct vdb_control *control,
                            vecdb_error *err);
VDB_INTERNAL int vdb_restore(const char *from, const char *to, const vecdb_options *options,
                             vecdb_error *err);
VDB_INTERNAL int vdb_check_all(struct vecdb *db, void (*report)(void *user, const char *line),
                               void *user, struct vdb_control *control, vecdb_error *err);
VDB_INTERNAL void vdb_stats_memory(struct vecdb *db, vecdb_memory *out);
VDB_INTERNAL void vdb_stats_collect(struct vecdb_collection *coll, vecdb_stats *out);

#endif
