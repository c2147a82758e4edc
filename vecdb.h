/*
 * vecdb.h - an embeddable vector database.
 *
 * A database is a directory. It holds collections; a collection holds rows of typed fields, one of
 * them the primary key and one or more of them vectors. Rows are durable once a write call has
 * returned VECDB_OK (see vecdb_durability), and a search finds them from that moment on.
 *
 * Conventions
 *   Names      Every symbol, macro and enumerator starts with vecdb_ or VECDB_.
 *   Errors     Calls that can fail return a vecdb_status: VECDB_OK (0) or a stable positive code.
 *              The last parameter, `error`, may be NULL; otherwise it is filled on failure and left
 *              alone on success. The library never prints, exits or aborts.
 *   Structs    Structs that a caller fills start with `size`; set it to sizeof(the struct) and zero
 *              the rest, as the VECDB_*_INIT macros do. Zero means the default everywhere. A size
 *              the library does not know is VECDB_ERR_OPTION.
 *   Strings    UTF-8. Where a length stands beside a pointer, NUL bytes are not needed.
 *   Ownership  The library copies what it is given before a call returns. Results go to buffers of
 *              the caller, or to a vecdb_rows that the caller frees. Freeing NULL does nothing.
 *              When an open or create call fails, its out pointer is NULL; nothing is to be freed.
 *   Threads    Any thread may use a database or a collection handle at any time; searches never
 *              wait for writers. Iterators and vecdb_rows belong to one thread at a time. Close a
 *              handle only when no other thread is using it. After fork() the child may not use
 *              handles.
 *   Units      Times are milliseconds where a name ends in _ms, nanoseconds in _ns; sizes bytes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef VECDB_H
#define VECDB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VECDB_VERSION_MAJOR 0
#define VECDB_VERSION_MINOR 1
#define VECDB_VERSION_PATCH 0
#define VECDB_VERSION_STRING "0.1.0"
/* Format of the files. A library opens its own format and older ones, and refuses newer ones. */
#define VECDB_FORMAT_VERSION 8

#if defined(VECDB_STATIC)
#define VECDB_API
#elif defined(__GNUC__)
#define VECDB_API __attribute__((visibility("default")))
#else
#define VECDB_API
#endif

/* Limits. Exceeding one is VECDB_ERR_LIMIT, found before anything is allocated. */
#define VECDB_MAX_DIM 65535           /* of a vector; binary vectors: bits, a multiple of 8 */
#define VECDB_MAX_FIELDS 128          /* of a collection */
#define VECDB_MAX_VECTOR_FIELDS 16
#define VECDB_MAX_NAME 255            /* bytes of a collection or field name */
#define VECDB_MAX_DESCRIPTION 1024
#define VECDB_MAX_COLLECTIONS 65536
#define VECDB_MAX_VARCHAR 65535       /* bytes of a VARCHAR value */
#define VECDB_MAX_JSON 65535          /* bytes of a JSON value */
#define VECDB_MAX_JSON_DEPTH 128      /* levels of arrays and objects in one */
#define VECDB_MAX_JSON_INDEXES 64     /* of a collection */
#define VECDB_MAX_JSON_PATH 1024      /* bytes of the path of one */
#define VECDB_MAX_ARRAY 4096          /* elements of an ARRAY value */
#define VECDB_MAX_SPARSE 65536        /* pairs of a sparse vector */
#define VECDB_MAX_BATCH_ROWS 1048576
#define VECDB_MAX_BATCH_BYTES (512u << 20)
#define VECDB_MAX_K 16384             /* hits per query */
#define VECDB_MAX_QUERIES 16384       /* queries per call */
#define VECDB_MAX_FILTER_BYTES (4u << 20)
#define VECDB_MAX_FILTER_DEPTH 64
#define VECDB_MAX_FILTER_NODES 10000  /* elements of an `in` list count one each to 1,000,000 */

/* ---- Errors ---------------------------------------------------------------------------------- */

/* What calls return. */
typedef enum vecdb_status {
  VECDB_OK = 0,
  /* the caller's mistakes */
  VECDB_ERR_ARGUMENT = 1,        /* NULL where none is allowed, contradictory arguments */
  VECDB_ERR_OPTION = 2,          /* unknown struct size, flag or enumerator */
  VECDB_ERR_LIMIT = 3,           /* over a limit of this header or of the schema's shape */
  VECDB_ERR_NAME = 4,            /* a name that is empty, too long or has forbidden characters */
  VECDB_ERR_SCHEMA = 5,          /* a schema that makes no sense */
  VECDB_ERR_NOT_FOUND = 6,       /* no such collection, index or backup; a push to an absent key */
  VECDB_ERR_EXISTS = 7,          /* collection or database already there; insert of a present key */
  VECDB_ERR_UNKNOWN_FIELD = 8,   /* no such field */
  VECDB_ERR_MISSING_FIELD = 9,   /* a batch lacks a field without default */
  VECDB_ERR_TYPE = 10,           /* a value or operand of the wrong type */
  VECDB_ERR_DIMENSION = 11,      /* a vector of the wrong dimension */
  VECDB_ERR_NOT_FINITE = 12,     /* NaN or infinity in a vector or floating-point value */
  VECDB_ERR_ZERO_VECTOR = 13,    /* a zero vector under COSINE */
  VECDB_ERR_OVERFLOW = 14,       /* a vector whose norm is not finite */
  VECDB_ERR_NULL_VALUE = 15,     /* null for a field that is not nullable */
  VECDB_ERR_TOO_LONG = 16,       /* a VARCHAR, JSON or ARRAY value over its field's maximum, or a
                                    sparse vector of more than VECDB_MAX_SPARSE pairs */
  VECDB_ERR_UTF8 = 17,           /* text that is not valid UTF-8 */
  VECDB_ERR_FILTER = 18,         /* a filter that does not parse; `position` says where */
  VECDB_ERR_FILTER_PARAM = 19,   /* a template parameter missing, unknown or of the wrong type */
  VECDB_ERR_K = 20,              /* k of 0 or over VECDB_MAX_K */
  VECDB_ERR_INDEX_PARAM = 21,    /* an index parameter out of range or without meaning */
  VECDB_ERR_READ_ONLY = 22,      /* a write on a database opened for reading */
  VECDB_ERR_RANGE = 23,          /* a number that does not fit its field */
  VECDB_ERR_SPARSE = 24,         /* a sparse vector whose indices do not ascend */
  VECDB_ERR_JSON = 25,           /* a text for a JSON field that is no JSON */
  /* the state of the world */
  VECDB_ERR_BUSY = 40,           /* another process has the database open for writing */
  VECDB_ERR_CLOSED = 41,         /* the collection was dropped */
  VECDB_ERR_CANCELLED = 42,      /* cancelled by the caller */
  VECDB_ERR_TIMEOUT = 43,        /* the deadline passed and there is nothing to give */
  VECDB_ERR_BUFFER = 44,         /* the caller's buffer is too small; the needed size was stored */
  VECDB_ERR_UNSUPPORTED = 45,    /* not in this build or not on this platform */
  VECDB_ERR_VERSION = 46,        /* a push that expected another version of a row's vector */
  /* the machine */
  VECDB_ERR_NO_MEMORY = 60,
  VECDB_ERR_IO = 61,
  VECDB_ERR_DISK_FULL = 62,
  VECDB_ERR_CORRUPT = 63,        /* a checksum or structure check failed */
  VECDB_ERR_NEWER_FORMAT = 64,   /* written by a newer library */
  VECDB_ERR_NOT_A_DATABASE = 65, /* the directory holds something else */
  VECDB_ERR_KEY = 66,            /* encrypted and no key given, or the wrong one; or a key given for
                                    what is not encrypted */
  VECDB_ERR_INTERNAL = 99        /* a bug in vecdb; please report it */
} vecdb_status;

/* What went wrong, for people and for programs. Owned by the caller; no field needs freeing. */
typedef struct vecdb_error {
  int32_t code;      /* a vecdb_status */
  int32_t os_code;   /* errno of the system call, or 0 */
  int64_t row;       /* row of the batch, or query of the request; -1: none */
  int64_t position;  /* byte offset in the filter or file; -1: none */
  char field[64];    /* name of the field, cut to fit; "": none */
  char message[384]; /* one sentence, always NUL-terminated */
} vecdb_error;

/* The name of a code, such as "VECDB_ERR_IO". Never NULL. Any thread. */
VECDB_API const char *vecdb_status_name(int code);
/* A sentence about a code. Never NULL. Any thread. */
VECDB_API const char *vecdb_status_text(int code);
/* The version of the library in use, such as "0.1.0". */
VECDB_API const char *vecdb_version(void);
/* MAJOR * 10000 + MINOR * 100 + PATCH of the library in use. */
VECDB_API uint32_t vecdb_version_number(void);
/* The kernels in use: "scalar", "avx2", "avx512", "avx512vnni", "avx512vpop" or "neon". VECDB_KERN
   in the environment forces one, if the processor has it. */
VECDB_API const char *vecdb_kernels(void);

/* ---- Hooks ---------------------------------------------------------------------------------- */

/* Memory. All three or none. Blocks are aligned to at least 16 bytes. Called from any thread. */
typedef struct vecdb_allocator {
  void *(*alloc)(void *user, size_t size);                /* NULL when there is no memory */
  void *(*resize)(void *user, void *block, size_t size);  /* as realloc; size > 0 */
  void (*release)(void *user, void *block);               /* block may be NULL */
  void *user;
} vecdb_allocator;

/* How much a line of the log matters. */
typedef enum vecdb_log_level {
  VECDB_LOG_ERROR = 1,
  VECDB_LOG_WARN = 2,
  VECDB_LOG_INFO = 3,
  VECDB_LOG_DEBUG = 4
} vecdb_log_level;

/* One finished line without newline. Called from any thread, one call at a time per database. */
typedef void (*vecdb_log_fn)(void *user, int level, const char *line);

/* An open file of a VFS; a VFS embeds it as the first member of its own struct. */
typedef struct vecdb_file {
  const struct vecdb_vfs *vfs;
} vecdb_file;

enum {
  VECDB_OPEN_READ = 0,   /* an existing file, for reading */
  VECDB_OPEN_WRITE = 1,  /* an existing file, for reading and writing */
  VECDB_OPEN_CREATE = 2, /* a new file, for reading and writing; an old one is emptied */
  /* As READ, for blocks here and there: past the system's cache where the VFS can do that well.
     Each read is then of whole aligned blocks of VECDB_BLOCK bytes, into memory so aligned. */
  VECDB_OPEN_DIRECT = 3
};
#define VECDB_BLOCK 4096u

/* A read that need not be waited for at once. Until it is done, the buffer and the struct stay
   where they are and are left alone. */
typedef struct vecdb_read {
  void *buf; /* n bytes at offset are wanted here */
  size_t n;
  uint64_t offset;
  int32_t done;   /* 0 until wait has said that it is done */
  int32_t error;  /* then: 0, or an errno value; EIO past the end of the file */
  size_t got;     /* the queue's own: bytes so far, and tries without any */
  uint32_t tries;
} vecdb_read;

/* Reads of one file, many under way at a time. A VFS embeds it as the first member of its own
   struct. One thread at a time may use a queue; which thread may change. */
typedef struct vecdb_read_queue {
  /* Starts a read (buf, n and offset are set). Cannot fail: errors are told in the read. */
  void (*start)(struct vecdb_read_queue *, vecdb_read *);
  /* Returns when that read is done. Reads may be waited for in any order. */
  void (*wait)(struct vecdb_read_queue *, vecdb_read *);
  /* All reads must be done. The queue must be closed before its file. */
  void (*close)(struct vecdb_read_queue *);
} vecdb_read_queue;

/*
 * Files. Every system call on files goes through this table, so a host can supply its own storage
 * and tests can simulate disks. Functions return 0 or a positive errno value, and may be called
 * from any thread. Paths are those given to vecdb_open, joined with '/'. What must hold: written
 * data and file sizes may be lost until sync; names made or removed in a folder may be lost until
 * sync_dir; rename replaces its target atomically.
 */
typedef struct vecdb_vfs {
  uint32_t size; /* sizeof(vecdb_vfs) */
  void *user;
  int (*open)(const struct vecdb_vfs *, const char *path, int mode, vecdb_file **out);
  void (*close)(vecdb_file *);
  /* Reads exactly n bytes at offset; past the end of the file is EIO. */
  int (*read)(vecdb_file *, void *buf, size_t n, uint64_t offset);
  /* Writes exactly n bytes at offset or fails; a failed write may have written a part. */
  int (*write)(vecdb_file *, const void *buf, size_t n, uint64_t offset);
  int (*sync)(vecdb_file *);
  int (*truncate)(vecdb_file *, uint64_t length);
  int (*length)(vecdb_file *, uint64_t *out);
  /* Reserves space so that writes below `length` need not grow the file; may do nothing. */
  int (*reserve)(vecdb_file *, uint64_t length);
  /* Maps [0, length) for reading; valid until unmap, also after close. */
  int (*map)(vecdb_file *, size_t length, const void **out);
  void (*unmap)(const struct vecdb_vfs *, const void *address, size_t length);
  int (*remove)(const struct vecdb_vfs *, const char *path); /* a file, or an empty folder */
  int (*rename)(const struct vecdb_vfs *, const char *from, const char *to);
  int (*make_dir)(const struct vecdb_vfs *, const char *path); /* EEXIST when it is there */
  int (*sync_dir)(const struct vecdb_vfs *, const char *path);
  /* Calls visit with each plain file name in the folder; ENOENT when there is no folder. */
  int (*list)(const struct vecdb_vfs *, const char *path,
              void (*visit)(void *arg, const char *name), void *arg);
  /* Takes an exclusive lock on the file at `path`, made if missing; EBUSY when another open
     database, of this process or another, holds it. close() releases it. */
  int (*lock)(const struct vecdb_vfs *, const char *path, vecdb_file **out);
  /* Makes a queue that keeps up to `depth` reads of the file under way. May be NULL, or fail: then
     reads are done one after the other with `read`. */
  int (*queue)(vecdb_file *, uint32_t depth, vecdb_read_queue **out);
} vecdb_vfs;

/* Time. Both may be called from any thread; monotonic never goes back. */
typedef struct vecdb_clock {
  uint64_t (*monotonic_ns)(void *user);
  uint64_t (*wall_ns)(void *user); /* since 1970-01-01 UTC */
  void *user;
} vecdb_clock;

/* ---- Long calls ----------------------------------------------------------------------------- */

/* What a long call listens to. May be NULL wherever it is taken. */
typedef struct vecdb_control {
  uint32_t size;
  uint32_t timeout_ms; /* from the start of the call; 0: none */
  /* Set non-zero by any thread (a plain aligned store will do) to cancel; NULL: none. */
  const volatile int32_t *cancel;
  /* Called now and then from threads working on the call, one at a time; a non-zero return
     cancels. `phase` is a static word ("write", "build", "copy", "check", "warm", "search"). */
  int (*progress)(void *user, const char *phase, uint64_t done, uint64_t total);
  void *user;
} vecdb_control;
#define VECDB_CONTROL_INIT {sizeof(vecdb_control), 0, NULL, NULL, NULL}

/* ---- Databases ------------------------------------------------------------------------------ */

typedef struct vecdb vecdb;                       /* an open database */
typedef struct vecdb_collection vecdb_collection; /* a collection of an open database */

/* What a write call waits for. */
typedef enum vecdb_durability {
  VECDB_DURABLE_COMMIT = 0,   /* a write returns when it is on the disk (the default) */
  VECDB_DURABLE_INTERVAL = 1, /* a write returns when the system has it; synced every interval_ms */
  VECDB_DURABLE_OFF = 2       /* synced only by flush, compact and close */
} vecdb_durability;

/* What opening reads of the files to check it. */
typedef enum vecdb_verify {
  VECDB_VERIFY_META = 0, /* what is interpreted: headers, tables, keys, graphs (the default) */
  VECDB_VERIFY_FULL = 1  /* every byte, vectors too */
} vecdb_verify;

enum {
  VECDB_READ_ONLY = 1u << 0,        /* never writes; takes no lock */
  VECDB_MUST_EXIST = 1u << 1,       /* VECDB_ERR_NOT_FOUND instead of making a database */
  VECDB_HOST_DRIVEN = 1u << 2,      /* no background threads: the host calls vecdb_step */
  VECDB_FOLLOW = 1u << 3            /* with READ_ONLY: follows a writer in another process, whose
                                       work a thread of the library looks for every interval_ms;
                                       HOST_DRIVEN: vecdb_refresh alone does */
};

#define VECDB_KEY_BYTES 32          /* of a key */
#define VECDB_MAX_WRAPPED 1024      /* bytes of a wrapped data key */
#define VECDB_MAX_DATA_KEYS 1024    /* of a database */

/*
 * Encryption of all files of a database, in builds with OpenSSL (make OPENSSL=1); elsewhere a
 * database with it, or an encrypted one, is VECDB_ERR_UNSUPPORTED. Files are encrypted by data
 * keys, which the library makes; these are in the file KEYS of the folder, wrapped by a key of the
 * host's, which has a name. Either get_key gives that key, or wrap and unwrap do with it what they
 * must, so that it need never leave a device or a service. A new database is encrypted from its
 * first byte on; a plain one cannot become encrypted, except through a new one.
 * A byte that was changed is VECDB_ERR_CORRUPT wherever it is read, also without VERIFY_FULL. Files
 * of segments are not read in place: they are decrypted into memory when they are opened, which
 * memory_limit and vecdb_stats.bytes_allocated count; of a DISK index only what it has in memory
 * anyway. Names of files, their sizes, the numbers of writes and collections, and the names of keys
 * can be read by anyone.
 * Callbacks return 0, or anything else for no, which is VECDB_ERR_KEY. They are called when a
 * database is opened, copied or re-keyed, and when a reader meets a new data key: by the thread
 * that does it, which may be one of the library's, one at a time per database. They may not call
 * the library.
 */
typedef struct vecdb_encryption {
  uint32_t size;
  const char *key_id; /* name of the key for a new database, 1 to 255 bytes; it stands in KEYS in
                         plain. An existing database names its own. Copied */
  /* Stores the key of that name. It is wiped after use. */
  int (*get_key)(void *user, const char *key_id, uint8_t key[VECDB_KEY_BYTES]);
  /* Both, or neither: then get_key is used. wrap stores at most VECDB_MAX_WRAPPED bytes, and how
     many. unwrap must find out what was not wrapped by that key. */
  int (*wrap)(void *user, const char *key_id, const uint8_t data_key[VECDB_KEY_BYTES],
              uint8_t *wrapped, size_t *n);
  int (*unwrap)(void *user, const char *key_id, const uint8_t *wrapped, size_t n,
                uint8_t data_key[VECDB_KEY_BYTES]);
  void *user;
} vecdb_encryption;
#define VECDB_ENCRYPTION_INIT {sizeof(vecdb_encryption), NULL, NULL, NULL, NULL, NULL}

/* How a database is opened. */
typedef struct vecdb_options {
  uint32_t size;
  uint32_t flags;              /* VECDB_READ_ONLY and the like */
  int32_t durability;          /* a vecdb_durability */
  uint32_t interval_ms;        /* of VECDB_DURABLE_INTERVAL and VECDB_FOLLOW; 0: 100 */
  int32_t verify;              /* a vecdb_verify */
  uint32_t threads;            /* of background work and parallel builds; 0: one per processor */
  uint32_t seal_rows;          /* rows of a growing segment before it is sealed; 0: 65,536 */
  uint32_t index_rows;         /* smallest sealed segment that gets a vector index; 0: 4,096 */
  uint32_t recall_every;       /* of so many queries one is answered exactly too, in the background,
                                  for vecdb_stats.recall. That reads all vectors, and those mapped
                                  stay in memory as long as it has room. 0: none is */
  uint64_t seal_bytes;         /* bytes of a growing segment before it is sealed; 0: 128 MiB */
  uint64_t wal_bytes;          /* log size after which growing segments are sealed; 0: 256 MiB */
  uint64_t memory_limit;       /* bytes the database may allocate: its budget, for all that
                                  vecdb_memory lists. A call that would need more is
                                  VECDB_ERR_NO_MEMORY, and changes nothing. Indexes whose build may
                                  need more (vecdb_index_estimate) are not built in the background,
                                  segments not merged beyond it; AUTO takes a type that fits. What
                                  would fit but for what is in use now waits. 0: none */
  uint64_t seed;               /* of everything random; 0: a fixed seed */
  const vecdb_allocator *allocator; /* NULL: malloc. Copied; `user` must outlive the database */
  const vecdb_vfs *vfs;             /* NULL: the system's. Must outlive the database */
  const vecdb_clock *clock;         /* NULL: the system's. Copied */
  vecdb_log_fn log;                 /* NULL: none */
  void *log_user;
  const vecdb_control *control;     /* of the opening itself (recovery) */
  const vecdb_encryption *encryption; /* NULL: files are plain. Copied; `user` must outlive the
                                         database */
  uint64_t cache_bytes; /* of memory_limit, for results of searches for the nearest rows of one
                           query: the same one over the same data is answered from there, with the
                           same hits. Not in collections whose rows expire. While it is full a
                           result is kept from the second time on that it is asked for, in place of
                           what was not asked for longest. 0: none; at least 65,536 */
  const char *device;        /* that searches may use: "gpu" or "gpu:N", VECDB_ERR_UNSUPPORTED if
                                there is none; "auto": one, if there is; NULL or "cpu": none. Exact
                                scans give the same hits and scores with one: what it finds is
                                scored by the processor, which also answers what a device cannot.
                                A thread copies rows there when they are first searched for; with
                                VECDB_HOST_DRIVEN that search does, whatever its timeout */
  const char *device_module; /* the library that drives it (gpu/README.md); NULL:
                                libvecdb_gpu.so */
  uint64_t device_memory;    /* bytes of the device for rows; 0: nine tenths of what is free */
  uint64_t vector_cache_bytes; /* of memory_limit, for blocks of DISK indexes, vectors and links:
                                  those that searches ask for most are not read again. One that is
                                  asked for rarely displaces none. 0: none; at least 1,048,576 */
} vecdb_options;
#define VECDB_OPTIONS_INIT {sizeof(vecdb_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, \
                            NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, 0, 0}

/*
 * Opens the database in folder `path`, making it if there is none, and recovers what was
 * acknowledged before a crash. ":memory:" is a database that lives and dies with the handle.
 * One writer at a time: VECDB_ERR_BUSY when the database is already open, here or elsewhere.
 * A database opened twice with VECDB_READ_ONLY is fine, also beside a writer; readers see the state
 * at their opening or, with VECDB_FOLLOW or by vecdb_refresh, later ones. They write nothing and
 * take no lock, so the folder may be a copy or on a file system that cannot be written, and a
 * reader that is killed is missed by nobody.
 * With VECDB_READ_ONLY `path` may also be one file of a segment, 16 hexadecimal digits and ".rows"
 * in a database's folder, or a copy of it under any name: a database of one collection, its
 * segment's, which can be searched, read and checked at once, and becomes one that can be written
 * to by vecdb_backup. It is as the file was written: with the schema of that time, without the rows
 * that were deleted or replaced by then, and with those that were later; vector indexes are files
 * of their own, so searches are exact. Of an encrypted database KEYS must stand beside it. Files of
 * before format 7 are VECDB_ERR_NOT_A_DATABASE, VECDB_FOLLOW is VECDB_ERR_ARGUMENT.
 * options may be NULL. Errors: ARGUMENT, OPTION, BUSY, IO, NO_MEMORY, CORRUPT, NEWER_FORMAT,
 * NOT_A_DATABASE, NOT_FOUND, CANCELLED, TIMEOUT, KEY, UNSUPPORTED. Release with vecdb_close.
 */
VECDB_API int vecdb_open(const char *path, const vecdb_options *options, vecdb **out,
                         vecdb_error *error);
/*
 * Stops background work, syncs the log and frees the handle, also when it returns an error (which
 * says that the last sync failed). Collection handles, iterators and rows of this database must be
 * released before. NULL is fine. In-memory rows are not sealed: the next open replays them from the
 * log; call vecdb_flush_all first for the fastest next open.
 */
VECDB_API int vecdb_close(vecdb *db, vecdb_error *error);

/* What a reader knows of the state of the files. */
typedef struct vecdb_refresh_info {
  uint32_t size;
  uint32_t reloaded;  /* 1: the call exchanged segments; 0: at most the log has gone on */
  uint64_t records;   /* writes that the call brought, about */
  uint64_t sequence;  /* number of the last write that is seen: a writer counts them all, from 1 */
  uint64_t age_ms;    /* before the call, since it was known that this is the last one */
  uint64_t reloads;   /* times that segments were exchanged since opening */
} vecdb_refresh_info;
#define VECDB_REFRESH_INFO_INIT {sizeof(vecdb_refresh_info), 0, 0, 0, 0, 0}

/*
 * Brings a database opened with VECDB_READ_ONLY up to the state of its files, unless that was done
 * less than max_age_ms ago (0: in any case; UINT32_MAX: never, only info is filled). Searches go on
 * meanwhile, each over the state at its beginning. A write that had returned to its caller, in any
 * process, before this call began is seen after it; one that fails later for its caller may be seen
 * for a while. Handles to collections stay valid, also when segments are exchanged, and keep the
 * schema that they had when they were got. After an error the state is an earlier one, and the call
 * may be repeated. Errors: ARGUMENT for a writer's database, BUSY when the files change faster than
 * they can be read, IO, CORRUPT, NO_MEMORY, NOT_FOUND when the database is gone. info may be NULL.
 */
VECDB_API int vecdb_refresh(vecdb *db, uint32_t max_age_ms, vecdb_refresh_info *info,
                            vecdb_error *error);

/*
 * With VECDB_HOST_DRIVEN: does background work (seal, index, merge) until nothing is left or about
 * `ms` milliseconds or `bytes` bytes of input have been worked on (0: no limit); *more tells
 * whether work is left. A single index build is one unit and can overrun. Any thread; one at a
 * time works, others return at once with *more true. Errors: ARGUMENT, and those of the work.
 */
VECDB_API int vecdb_step(vecdb *db, uint32_t ms, uint64_t bytes, bool *more, vecdb_error *error);

/* Seals all in-memory rows of all collections into segment files and trims the log. */
VECDB_API int vecdb_flush_all(vecdb *db, const vecdb_control *control, vecdb_error *error);

/* ---- Schemas -------------------------------------------------------------------------------- */

/* What a field holds. */
typedef enum vecdb_type {
  VECDB_BOOL = 1,    /* bool, one byte 0 or 1 */
  VECDB_INT8 = 2,
  VECDB_INT16 = 3,
  VECDB_INT32 = 4,
  VECDB_INT64 = 5,
  VECDB_FLOAT = 6,
  VECDB_DOUBLE = 7,
  VECDB_VARCHAR = 8, /* UTF-8, at most max_length bytes */
  VECDB_ARRAY = 9,   /* at most max_capacity elements of element_type, one of the above */
  VECDB_JSON = 10,   /* any JSON value, as text; see below */
  VECDB_FLOAT_VECTOR = 32,    /* dim float */
  VECDB_FLOAT16_VECTOR = 33,  /* dim IEEE binary16 */
  VECDB_BFLOAT16_VECTOR = 34, /* dim bfloat16 */
  VECDB_INT8_VECTOR = 35,     /* dim int8_t */
  VECDB_BINARY_VECTOR = 36,   /* dim bits in dim / 8 bytes, bit i in byte i / 8, lowest first */
  VECDB_SPARSE_VECTOR = 37    /* a vecdb_sparse; no dim, any index may come */
} vecdb_type;

/*
 * A JSON value is given and read as its text (RFC 8259), in UTF-8, of at most max_length bytes and
 * VECDB_MAX_JSON_DEPTH levels; columns, default values and vecdb_values are as those of VARCHAR.
 * What is no JSON is VECDB_ERR_JSON, with the byte in the message. It is kept compact: without
 * white space, with few escapes, and of keys that come twice in an object only the last; keys else
 * keep their order and numbers their digits. Half a surrogate pair is refused. Filters look into
 * it.
 */

/* An element of a sparse vector that is there. */
typedef struct vecdb_sparse_pair {
  uint32_t index;
  float value;
} vecdb_sparse_pair;

/*
 * A sparse vector: up to VECDB_MAX_SPARSE pairs, their indices strictly ascending (else
 * VECDB_ERR_SPARSE), or none. All other elements are absent. Rows and queries are given so; a
 * vecdb_value of a row points to the pairs. Only IP is a metric of sparse vectors, and only rows
 * that have an index in common with the query are found, however many that are. Answers are always
 * exact: a segment's file has an inverted index of each sparse field, with no parameters.
 */
typedef struct vecdb_sparse {
  const vecdb_sparse_pair *pairs; /* may be NULL when n is 0 */
  size_t n;
} vecdb_sparse;

/*
 * Scores. L2: the squared Euclidean distance, smaller is nearer. IP: the inner product, larger is
 * nearer. COSINE: the cosine, -1 to 1, larger is nearer; vectors need not be normalised. HAMMING:
 * differing bits. JACCARD: 1 - |a and b| / |a or b|, and 0 for two empty sets; smaller is nearer.
 */
typedef enum vecdb_metric {
  VECDB_L2 = 1,
  VECDB_IP = 2,
  VECDB_COSINE = 3,
  VECDB_HAMMING = 4, /* HAMMING and JACCARD: binary vectors, and only these */
  VECDB_JACCARD = 5
} vecdb_metric;

/*
 * Vector indexes, built per sealed segment. What is not said to be exact finds most of the nearest
 * rows; its default or a search's `recall`, `ef` or `nprobe` say how hard it looks.
 * FLAT, HNSW and AUTO take any vectors; the other names without BIN take all but binary ones, and
 * DISK only floats, of 32 or 16 bits. BIN_* over binary vectors compare these as they are; over
 * other vectors they compare the signs of the elements, after a rotation, and score the best
 * again: BIN_FLAT the best `ef`, BIN_HNSW, as HNSW_PQ does, all that a walk of width `ef` keeps.
 * BIN_IVF is then IVF_RABITQ.
 * IVF_PQ and HNSW_PQ take 8 bits an element where there are too few rows to learn from, and IVF_PQ
 * and IVF_RABITQ do where inner products of rows of very unequal lengths are compared.
 */
typedef enum vecdb_index_type {
  VECDB_INDEX_AUTO = 0,       /* the library's choice per segment; exact below index_rows rows */
  VECDB_INDEX_FLAT = 1,       /* exact scan, always */
  VECDB_INDEX_HNSW = 2,       /* hierarchical navigable small world graph */
  VECDB_INDEX_HNSW_SQ = 3,    /* the graph over rows in 4 or 8 bits an element */
  VECDB_INDEX_HNSW_PQ = 4,    /* the graph over product-quantized rows */
  VECDB_INDEX_IVF_FLAT = 5,   /* lists of rows around k-means centroids */
  VECDB_INDEX_IVF_SQ8 = 6,    /* lists of rows in 8 bits an element */
  VECDB_INDEX_IVF_PQ = 7,     /* lists of product-quantized rows; nbits 4: fast scan */
  VECDB_INDEX_IVF_RABITQ = 8, /* lists of rotated rows in 1 bit an element, with error bounds */
  VECDB_INDEX_IVF_HNSW = 9,   /* centroids found by a graph, rows among the lists' by another */
  VECDB_INDEX_BIN_FLAT = 10,  /* scan of bits; exact over binary vectors */
  VECDB_INDEX_BIN_IVF = 11,   /* lists of bits */
  VECDB_INDEX_BIN_HNSW = 12,  /* the graph over bits */
  VECDB_INDEX_DISK = 13       /* rows and graph read from the file, small codes in memory */
} vecdb_index_type;

/* From what the best rows that an index found among its codes are scored again. */
typedef enum vecdb_refine {
  VECDB_REFINE_AUTO = 0,
  VECDB_REFINE_NONE = 1, /* not at all: scores are those of the codes */
  VECDB_REFINE_F32 = 2,  /* the rows themselves */
  VECDB_REFINE_F16 = 3,  /* a copy of float rows in binary16 */
  VECDB_REFINE_I8 = 4    /* a copy in 8 bits an element */
} vecdb_refine;

/* What is done to rows before they are quantized. */
typedef enum vecdb_rotation {
  VECDB_ROTATION_AUTO = 0,
  VECDB_ROTATION_NONE = 1,
  VECDB_ROTATION_RANDOM = 2, /* a seeded random rotation */
  VECDB_ROTATION_OPQ = 3     /* a rotation learned from the rows (Ge et al. 2013) */
} vecdb_rotation;

/*
 * A vector index. Zero: the default. A parameter that the type has no use for must be zero:
 *   m, ef_construction, ef   HNSW, HNSW_SQ, HNSW_PQ, IVF_HNSW, BIN_HNSW, DISK, AUTO (for a graph)
 *   ef                       BIN_FLAT over other than binary vectors: rows scored again
 *   nlist, nprobe            IVF_*, BIN_IVF
 *   pq_m                     HNSW_PQ, IVF_PQ, DISK
 *   nbits                    HNSW_SQ, HNSW_PQ, IVF_PQ, IVF_RABITQ, DISK
 *   refine                   all but FLAT, IVF_FLAT, DISK and BIN_* over binary vectors; NONE: not
 *                            HNSW; F16, I8: not BIN_FLAT
 *   rotation                 HNSW_PQ, IVF_PQ, IVF_RABITQ, DISK, BIN_* over other vectors (not OPQ)
 *   recall, memory_bytes     all; memory_bytes: AUTO
 */
typedef struct vecdb_index_params {
  uint32_t size;
  int32_t type;             /* a vecdb_index_type */
  uint32_t m;               /* graphs: links per node, 4 to 128; 0: 16 */
  uint32_t ef_construction; /* graphs: width of the search when building, 8 to 4,096; 0: 200 */
  uint32_t ef;              /* graphs: default width of searches, 1 to 16,384; 0: by recall */
  uint32_t nlist;           /* IVF: lists, 1 to 1,048,576; 0: by rows. A segment gets no more lists
                               than a list per 8 of its rows */
  uint32_t nprobe;          /* IVF: lists that a search looks through on average, 1 to nlist,
                              as vecdb_search_params says; 0: by recall */
  uint32_t pq_m;            /* PQ: sub-vectors, a divisor of the dimension; 0: half the dimension */
  uint32_t nbits;           /* PQ and IVF_RABITQ: bits a code, 1 to 8; HNSW_SQ: bits an element, 4
                               or 8; 0: PQ 4, the others the engine's choice */
  int32_t refine;           /* a vecdb_refine */
  int32_t rotation;         /* a vecdb_rotation */
  float recall;             /* share of the true neighbours that searches find by default, 0.5 to
                               0.999; 0: 0.95 */
  uint64_t memory_bytes;    /* AUTO: what a segment's index may keep in memory, the rows not
                               counted; 0: no limit. The fastest type that surely stays below is
                               taken, or no index. With few bytes a row these are HNSW that scores
                               hits by the rows, HNSW_SQ of 4 bits, IVF_RABITQ, DISK */
} vecdb_index_params;
#define VECDB_INDEX_PARAMS_INIT {sizeof(vecdb_index_params), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

/* The name of a type, such as "IVF_PQ", static; NULL for a number that is none. */
VECDB_API const char *vecdb_index_type_name(int32_t type);
/* The type of a name, whatever its case; OPTION for an unknown one. */
VECDB_API int vecdb_index_type_parse(const char *name, int32_t *type, vecdb_error *error);
/*
 * Index parameters of a text: the name of a type, and in parentheses what differs from zero, such
 * as "HNSW" or "IVF_PQ(nlist=1024, pq_m=48, nbits=8, rotation=opq)". Keys are the names above, with
 * `memory` for memory_bytes, and `m` for pq_m where the type has no graph; values of refine and
 * rotation are the ends of the enumerators' names. Other names: OPQ and IVF_OPQ are IVF_PQ with
 * rotation=opq, HNSW_SQ8 and HNSW_SQ4 are HNSW_SQ with nbits=8 and 4, IVF_PQFS is IVF_PQ with
 * nbits=4, DISKANN is DISK. Case does not matter. Ranges are checked when an index is created.
 * Errors: OPTION, with the position in the text.
 */
VECDB_API int vecdb_index_params_parse(const char *text, vecdb_index_params *params,
                                       vecdb_error *error);

/* How rows are found by the value of a scalar field. */
typedef enum vecdb_scalar_index {
  VECDB_SCALAR_INDEX_AUTO = 0,   /* chosen per segment by the number of distinct values */
  VECDB_SCALAR_INDEX_NONE = 1,   /* filters scan the column */
  VECDB_SCALAR_INDEX_HASH = 2,   /* a row set per value: equality, `in` */
  VECDB_SCALAR_INDEX_SORTED = 3  /* rows in value order: comparisons, prefixes and equality */
} vecdb_scalar_index;

enum {
  VECDB_PRIMARY_KEY = 1u << 0, /* INT64 or VARCHAR; exactly one field */
  VECDB_AUTO_ID = 1u << 1,     /* INT64 primary key, numbered by the database from 1 */
  VECDB_NULLABLE = 1u << 2,    /* scalar fields only */
  VECDB_HAS_DEFAULT = 1u << 3, /* `default_value` is used where a batch leaves the field out */
  VECDB_ALLOW_ZERO = 1u << 4,  /* COSINE: zero vectors are allowed, and their cosine is 0 */
  /*
   * Defaults that are computed when rows are written, where these leave the field out, and where
   * they are null and the field is not nullable; not for a key, nor with HAS_DEFAULT. What came out
   * is what is logged: readers, copies and the database after a crash have the same values. An
   * update leaves the field alone unless it has a column for it (data NULL: a new value) or makes
   * a new row. Such a field that is added later must be nullable: rows that are there have null.
   */
  VECDB_DEFAULT_NOW = 1u << 5, /* INT64: milliseconds since 1970 UTC by the clock of the database,
                                  the same for all rows of a call */
  VECDB_DEFAULT_UUID = 1u << 6 /* VARCHAR of 36 bytes or more: a UUID of version 7 (RFC 9562), of
                                  that clock and of random bits, which are no secret; in lower
                                  case */
};

/* One value. Strings and arrays are borrowed; who lends them says until when. */
typedef struct vecdb_value {
  int32_t type;    /* a vecdb_type; 0: null */
  uint32_t length; /* VARCHAR, JSON: bytes; ARRAY: elements; vectors: dimensions (bits if binary),
                      or pairs if sparse */
  union {
    bool boolean;
    int64_t integer;   /* INT8 to INT64 */
    double number;     /* FLOAT and DOUBLE */
    const void *data;  /* VARCHAR, JSON: bytes, not NUL-terminated; ARRAY: packed elements, or
                          vecdb_string for VARCHAR elements; vectors: the elements; sparse
                          vectors: packed vecdb_sparse_pair */
  } as;
  int32_t element_type; /* ARRAY */
} vecdb_value;

/* A text or other bytes, with their number. */
typedef struct vecdb_string {
  const char *data;
  size_t length;
} vecdb_string;

/*
 * An index of what stands at a path of a JSON field: rows are found by it as by a SORTED index of a
 * field. `path` is written as behind the field's name in a filter, `["price"]` or `["a"]["b"][0]`,
 * of constant keys and places; the name may stand before it. `type` says which values are kept:
 * DOUBLE numbers, VARCHAR texts, BOOL truth values. Filters that compare the place with constants
 * of the type (== != < <= > >=, `in`, `like "prefix%"`, a truth value by itself) find rows by it,
 * and those that ask whether something stands there (`is null`, `exists`) by an index of any type;
 * the others, such as arithmetic and the functions on arrays, read the texts, and what passes is
 * the same with an index and without one. A path may have an index of each type.
 */
typedef struct vecdb_json_index {
  const char *path; /* a schema that the library gives has it as `["key"]` and `[0]`; in its keys
                       backslash, quote and control characters alone are escaped */
  int32_t type;     /* VECDB_BOOL, VECDB_DOUBLE or VECDB_VARCHAR */
} vecdb_json_index;

/* A field of a schema. */
typedef struct vecdb_field {
  const char *name;        /* 1 to 255 bytes: a letter or _, then letters, digits and _; no word of
                              filters: and, or, not, in, like, is, null, true, false */
  const char *description; /* NULL: none */
  int32_t type;            /* a vecdb_type */
  int32_t element_type;    /* ARRAY: BOOL to VARCHAR */
  uint32_t flags;          /* VECDB_PRIMARY_KEY and the like */
  uint32_t dim;            /* vectors: 1 to 65,535; sparse vectors: 0 */
  uint32_t max_length;     /* VARCHAR, or VARCHAR elements: bytes, 1 to 65,535; JSON: the same, and
                              0 is 65,535 */
  uint32_t max_capacity;   /* ARRAY: elements, 1 to 4,096 */
  int32_t metric;          /* vectors: a vecdb_metric; 0: COSINE, HAMMING of binary, IP of sparse */
  int32_t scalar_index;    /* scalar fields: a vecdb_scalar_index */
  vecdb_index_params index;  /* vectors; all zero: AUTO, and so for sparse ones */
  vecdb_value default_value; /* with VECDB_HAS_DEFAULT */
  const vecdb_json_index *json_indexes; /* JSON */
  uint32_t n_json_indexes;
} vecdb_field;

/* The fields of a collection. */
typedef struct vecdb_schema {
  uint32_t size;
  uint32_t field_size;       /* sizeof(vecdb_field) */
  const char *description;   /* NULL: none */
  const vecdb_field *fields; /* a batch may bring its columns in any order */
  uint32_t n_fields;
} vecdb_schema;
#define VECDB_SCHEMA_INIT {sizeof(vecdb_schema), sizeof(vecdb_field), NULL, NULL, 0}

/*
 * Creates a collection; durable when it returns. `name` is 1 to 255 bytes: a letter or _, then
 * letters, digits, _ and -. Names never become paths. out may be NULL; otherwise release the handle
 * with vecdb_collection_release. Errors: NAME, SCHEMA, LIMIT, EXISTS, INDEX_PARAM, READ_ONLY, IO,
 * DISK_FULL, NO_MEMORY.
 */
VECDB_API int vecdb_collection_create(vecdb *db, const char *name, const vecdb_schema *schema,
                                      vecdb_collection **out, vecdb_error *error);
/* A handle to a collection, to be released; NOT_FOUND when there is none of that name. */
VECDB_API int vecdb_collection_get(vecdb *db, const char *name, vecdb_collection **out,
                                   vecdb_error *error);
VECDB_API void vecdb_collection_release(vecdb_collection *collection);
/* Drops a collection and its rows. Handles stay valid; calls on them answer VECDB_ERR_CLOSED. */
VECDB_API int vecdb_collection_drop(vecdb *db, const char *name, vecdb_error *error);
/* Calls `visit` with each collection's name, in name order; a non-zero return ends the walk. The
   names are those at the moment of the call. */
VECDB_API int vecdb_collection_list(vecdb *db, int (*visit)(void *user, const char *name),
                                    void *user, vecdb_error *error);
/* The name and schema of a collection, borrowed until the handle is released. */
VECDB_API const char *vecdb_collection_name(const vecdb_collection *collection);
VECDB_API const vecdb_schema *vecdb_collection_schema(const vecdb_collection *collection);

/*
 * Changes of the fields of a collection that is in use. Each is durable when it returns, all or
 * nothing of it, and writes no row anew: rows that lack a new field have its default, or null,
 * until they are replaced; values of a dropped field go from the files when their segments are
 * merged (vecdb_compact merges them all). Rows in memory are flushed on the way, the last of them
 * while writers wait. Searches do not wait; those under way, iterators and rows go on with the
 * fields of their beginning. vecdb_collection_schema gives the new schema from then on; those it
 * gave before stay until the handle is released. control: as for flush. Errors: UNKNOWN_FIELD,
 * SCHEMA, READ_ONLY, CLOSED, those of flush, and of fields as for vecdb_collection_create.
 *
 * fields_add adds the fields of a schema (its description is ignored): scalars that are nullable or
 * have a default; EXISTS for a name that is there. field_drop drops a scalar field; not the key,
 * nor the one rows expire by. field_rename gives any field a new name; EXISTS for one that is
 * there.
 */
VECDB_API int vecdb_fields_add(vecdb_collection *collection, const vecdb_schema *fields,
                               const vecdb_control *control, vecdb_error *error);
VECDB_API int vecdb_field_drop(vecdb_collection *collection, const char *field,
                               const vecdb_control *control, vecdb_error *error);
VECDB_API int vecdb_field_rename(vecdb_collection *collection, const char *field, const char *name,
                                 const vecdb_control *control, vecdb_error *error);

/*
 * Gives a JSON field an index (vecdb_json_index), or takes it away: type 0 all of that path. Rows
 * that come into files from then on are in it; those in files are when these are merged, and
 * vecdb_compact merges or writes anew all that lack it: until then filters read their texts. As
 * durable, and with errors, as a change of fields; EXISTS, NOT_FOUND: the index; SCHEMA: no JSON
 * field, another type, or no path; LIMIT.
 */
VECDB_API int vecdb_json_index_create(vecdb_collection *collection, const char *field,
                                      const vecdb_json_index *index, const vecdb_control *control,
                                      vecdb_error *error);
VECDB_API int vecdb_json_index_drop(vecdb_collection *collection, const char *field,
                                    const vecdb_json_index *index, const vecdb_control *control,
                                    vecdb_error *error);

/*
 * Makes rows expire: they are gone `ttl_ms` after the time in an INT64 field, in milliseconds since
 * 1970 UTC by the clock of the database; rows where it is null stay. With ttl_ms 0 the field says
 * when each row goes. field NULL: rows expire no longer. No call finds an expired row, and its key
 * is free; merges remove it from the files (vecdb_compact does at once, background work where a
 * fifth of a segment has gone; until then vecdb_stats.rows counts it), and what was not removed yet
 * is back when a new expiry lets it live. As durable and with errors as a change of fields; SCHEMA:
 * no INT64 field; LIMIT.
 */
VECDB_API int vecdb_expire(vecdb_collection *collection, const char *field, uint64_t ttl_ms,
                           const vecdb_control *control, vecdb_error *error);
/* The field by which rows expire, borrowed until the handle is released, and *ttl_ms unless NULL;
   NULL when rows do not. */
VECDB_API const char *vecdb_expiry(const vecdb_collection *collection, uint64_t *ttl_ms);

/* How gradients that are pushed change a vector. Per element: x the value, g the gradient. */
typedef enum vecdb_optimizer_kind {
  VECDB_OPTIMIZER_AVERAGE = 0, /* x -= rate * the mean of `window` gradients, once they have come */
  VECDB_OPTIMIZER_ADAGRAD = 1, /* s += g * g; x -= rate * g / (sqrt(s) + epsilon) (Duchi et al.
                                  2011) */
  VECDB_OPTIMIZER_ADAM = 2     /* x -= rate * m / (sqrt(v) + epsilon), m and v being the moving
                                  averages of g and g * g by beta1 and beta2, without their bias
                                  (Kingma and Ba 2015) */
} vecdb_optimizer_kind;

/* Zero: the default. What the kind has no use for must be zero. */
typedef struct vecdb_optimizer {
  uint32_t size;
  int32_t kind;     /* a vecdb_optimizer_kind */
  uint32_t window;  /* AVERAGE: gradients, 1 to 1,048,576; 0: 1, plain gradient descent */
  uint32_t unit;    /* 1: a vector is scaled to length 1 (L2) after each push */
  float rate;       /* learning rate, over 0; 0: 0.01, of ADAM 0.001 */
  float beta1;      /* ADAM: over 0, below 1; 0: 0.9 */
  float beta2;      /* ADAM: over 0, below 1; 0: 0.999 */
  float epsilon;    /* ADAGRAD, ADAM: over 0; 0: 1e-8 */
} vecdb_optimizer;
#define VECDB_OPTIMIZER_INIT {sizeof(vecdb_optimizer), 0, 0, 0, 0, 0, 0, 0}

/*
 * Lets a FLOAT_VECTOR field take pushes (vecdb_push), with this optimizer; NULL: no longer. Its
 * state is kept beside each vector, out of sight, and takes room only in rows that gradients were
 * pushed to: four bytes an element, of ADAM eight. Another kind or window begins without state;
 * another rate goes on with what there is. As durable, and with errors, as a change of fields; TYPE
 * for a field of another type; OPTION, RANGE and ARGUMENT for the optimizer. The field counts for
 * two more against VECDB_MAX_FIELDS.
 */
VECDB_API int vecdb_optimizer_set(vecdb_collection *collection, const char *field,
                                  const vecdb_optimizer *optimizer, const vecdb_control *control,
                                  vecdb_error *error);
/* The optimizer of a field, nothing left zero that has a default; NOT_FOUND when it has none,
   UNKNOWN_FIELD. */
VECDB_API int vecdb_optimizer_get(const vecdb_collection *collection, const char *field,
                                  vecdb_optimizer *out, vecdb_error *error);

/* ---- Writes --------------------------------------------------------------------------------- */

/*
 * One column of a batch: row i's value is at (const char *)data + i * stride.
 *   BOOL to DOUBLE   the value in its C type
 *   VARCHAR          a const char *; its length in lengths[i], or up to NUL when lengths is NULL
 *   ARRAY            a const void * to lengths[i] packed elements (vecdb_string for VARCHAR)
 *   vectors          the elements themselves; of SPARSE_VECTOR a vecdb_sparse
 * data NULL: all rows null or default.
 */
typedef struct vecdb_column {
  const char *field;
  const void *data;
  size_t stride;           /* bytes from row to row; 0: packed */
  const uint32_t *lengths; /* VARCHAR, ARRAY; NULL for NUL-terminated strings */
  const uint8_t *valid;    /* one byte per row, 0: null; NULL: all valid */
  uint32_t dim; /* vectors: dimension of the data, checked against the field; 0: unchecked */
} vecdb_column;

/* Rows to be written, column by column. */
typedef struct vecdb_batch {
  uint32_t size;
  uint32_t column_size; /* sizeof(vecdb_column) */
  const vecdb_column *columns;
  uint32_t n_columns;
  uint32_t n_rows; /* 1 to VECDB_MAX_BATCH_ROWS */
} vecdb_batch;
#define VECDB_BATCH_INIT {sizeof(vecdb_batch), sizeof(vecdb_column), NULL, 0, 0}

/*
 * Writes all rows of a batch, or none. insert fails with VECDB_ERR_EXISTS, naming the row, when a
 * key is already present; upsert replaces such rows. When a key comes twice in one batch the last
 * row wins. ids, unless NULL, receives n_rows INT64 keys (of auto_id too). Fields with
 * a default may be left out, and are null where nullable without one. Returns when the rows are as
 * durable as the database's mode says; searches that start later see them.
 * Errors: every ARGUMENT to RANGE above that applies, CLOSED, READ_ONLY, IO, DISK_FULL, NO_MEMORY;
 * after IO or DISK_FULL the rows are not there and the call may be repeated.
 */
VECDB_API int vecdb_insert(vecdb_collection *collection, const vecdb_batch *batch, int64_t *ids,
                           vecdb_error *error);
VECDB_API int vecdb_upsert(vecdb_collection *collection, const vecdb_batch *batch, int64_t *ids,
                           vecdb_error *error);

enum {
  /* Rows whose key is absent are inserted; without it they are left out. Not with AUTO_ID. */
  VECDB_UPDATE_INSERT = 1u << 0
};
/*
 * Changes some fields of rows that are there, all of them or none: the batch has the key's column
 * (that of an AUTO_ID key, too) and columns of any other fields, vectors also; fields that it
 * leaves out keep their values, whatever is written meanwhile. A column with data NULL sets null or
 * the default. When a key comes twice the last row wins. found, unless NULL, receives one byte per
 * row of the batch: 1 where its key was there; 0 also for rows that a later one of the same key
 * stands for. A new row takes defaults and nulls for what the batch lacks, and is
 * VECDB_ERR_MISSING_FIELD where it cannot. It is as durable as an upsert, and costs as much as one
 * of the whole rows.
 * Errors: as for upsert; OPTION for unknown flags; LIMIT when the whole rows take more than
 * VECDB_MAX_BATCH_BYTES.
 */
VECDB_API int vecdb_update(vecdb_collection *collection, const vecdb_batch *batch, uint32_t flags,
                           uint8_t *found, vecdb_error *error);

/* Keys: n INT64, or n strings; the other pointer is NULL. */
typedef struct vecdb_keys {
  const int64_t *integers;
  const vecdb_string *strings;
  size_t n;
} vecdb_keys;

/* Deletes the rows with these keys, atomically; absent keys are no error. *deleted may be NULL. */
VECDB_API int vecdb_delete(vecdb_collection *collection, const vecdb_keys *keys, uint64_t *deleted,
                           vecdb_error *error);

/*
 * Vectors as parameters that many learn at once. A field that takes pushes (vecdb_optimizer_set)
 * counts the versions of each row's vector: 1 when the row comes, and one more with every push and
 * every other write of the vector (an upsert of the row, an update that gives the vector; the state
 * of the optimizer begins anew with these). Versions stay through restarts and merges; a row that
 * was deleted or has expired begins at 1 when it comes again.
 */
typedef enum vecdb_push_kind {
  VECDB_PUSH_GRADIENT = 0, /* through the optimizer of the field */
  VECDB_PUSH_DELTA = 1,    /* is added; the state of the optimizer stays */
  VECDB_PUSH_VALUE = 2     /* is the vector from now on; the state begins anew */
} vecdb_push_kind;

enum {
  /* Absent rows are made: their vector begins at zeros and the version at 0, other fields are as in
     an update that inserts. Not with AUTO_ID. */
  VECDB_PUSH_INSERT = 1u << 0
};

/* What is pushed to some rows. */
typedef struct vecdb_push_params {
  uint32_t size;
  int32_t kind;             /* a vecdb_push_kind */
  uint32_t flags;           /* VECDB_PUSH_INSERT */
  uint32_t dim;             /* of the data, checked against the field; 0: unchecked */
  const char *field;
  const vecdb_keys *keys;   /* 1 to VECDB_MAX_BATCH_ROWS */
  const float *values;      /* one vector per key */
  size_t stride;            /* bytes from one to the next; 0: packed */
  const uint64_t *expected; /* the version that each row must have before; NULL: any */
} vecdb_push_params;
#define VECDB_PUSH_PARAMS_INIT {sizeof(vecdb_push_params), 0, 0, 0, NULL, NULL, NULL, 0, NULL}

/*
 * Changes the vectors of rows by what is pushed: all of them or none. Pushes are one after the
 * other, those of one call in its order, also when a key comes twice, so none is lost however many
 * threads push. Each reads the vector as it is then, however lately it was written. Searches find
 * rows at their new place when it returns. It costs about as much as an upsert of the whole rows,
 * and is as durable: vectors and states are logged as they are after the push. versions, unless
 * NULL, receives the version after each push.
 * Errors, naming the row of the call: NOT_FOUND for an absent row without INSERT; VERSION where
 * `expected` does not hold; NOT_FINITE for a value; OVERFLOW and ZERO_VECTOR for what becomes of a
 * vector, OVERFLOW also of the state; SCHEMA for a field that takes no pushes; DIMENSION,
 * MISSING_FIELD, LIMIT, and those of an update.
 */
VECDB_API int vecdb_push(vecdb_collection *collection, const vecdb_push_params *params,
                         uint64_t *versions, vecdb_error *error);
/*
 * Copies the vectors of rows as of one moment, one after the other (`stride` bytes from one to the
 * next; 0: packed), and their versions: 0 where there is no such row; its place is left alone then.
 * versions or values may be NULL. Errors: SCHEMA, UNKNOWN_FIELD, ARGUMENT, LIMIT, CLOSED.
 */
VECDB_API int vecdb_pull(vecdb_collection *collection, const char *field, const vecdb_keys *keys,
                         float *values, size_t stride, uint64_t *versions, vecdb_error *error);

/* A bound parameter of a filter: `{name}` in the text stands for the value. A list (for `in`) is an
   ARRAY value. One that the text does not name is VECDB_ERR_FILTER_PARAM. */
typedef struct vecdb_param {
  const char *name;
  vecdb_value value;
} vecdb_param;

/*
 * A filter, such as `tenant_id == {t} and not (category in ["news", "sport"])`. Operators, by
 * falling precedence: function calls and parentheses; unary - and +; ** ; * / %; + -; comparisons
 * (== != < <= > >=), `in`, `not in`, `like`, `is null`, `is not null`; not !; and &&; or ||.
 * Chains such as 1 < x <= 5 mean both. `like` takes % (any run) and _ (one character), \ escapes.
 * Functions: array_contains(f, v), array_contains_all(f, [..]), array_contains_any(f, [..]),
 * array_length(f). In a JSON field, or a VARCHAR field that holds JSON, `f["key"][0]` is the value
 * there, for operators and functions; with nothing there, JSON's null, or another type than is
 * asked for, it is as null. `exists f["key"]` is `f["key"] is not null`; json_contains,
 * json_contains_all and json_contains_any are other names of array_contains and so on. Such
 * filters read the texts, but where the place has an index (vecdb_json_index). Comparison with null
 * is unknown, and only true rows pass, as in SQL. An integer division by zero or an overflow makes
 * the row's result unknown.
 * text NULL: every row passes. length 0 with a non-NULL text: up to NUL.
 */
typedef struct vecdb_filter {
  const char *text;
  size_t length;
  const vecdb_param *params;
  size_t n_params;
} vecdb_filter;

/* Deletes all rows that pass the filter, atomically: those that pass at the moment when the call
   commits, whatever is written while the filter runs. *deleted may be NULL. A blank filter is
   VECDB_ERR_FILTER: "true" passes every row. */
VECDB_API int vecdb_delete_where(vecdb_collection *collection, const vecdb_filter *filter,
                                 uint64_t *deleted, const vecdb_control *control,
                                 vecdb_error *error);

/* ---- Rows as results ------------------------------------------------------------------------ */

/* Rows with the wanted fields. Values are borrowed until vecdb_rows_free. One thread at a time. */
typedef struct vecdb_rows vecdb_rows;
/* Gives them back; NULL is fine. */
VECDB_API void vecdb_rows_free(vecdb_rows *rows);
VECDB_API size_t vecdb_rows_count(const vecdb_rows *rows);
VECDB_API size_t vecdb_rows_n_fields(const vecdb_rows *rows);
/* The name of column i, or NULL; the primary key is always column 0. */
VECDB_API const char *vecdb_rows_field(const vecdb_rows *rows, size_t i);
/* The column of that name, or -1. */
VECDB_API int vecdb_rows_find(const vecdb_rows *rows, const char *field);
/* The value at (row, column); a null value outside the table. */
VECDB_API vecdb_value vecdb_rows_value(const vecdb_rows *rows, size_t row, size_t column);

/*
 * Gets rows by key, in the order of the keys. Keys without a row are left out; found, unless NULL,
 * receives one byte per key. fields NULL: all of them; n_fields 0 with fields non-NULL: only the
 * key.
 */
VECDB_API int vecdb_get(vecdb_collection *collection, const vecdb_keys *keys,
                        const char *const *fields, size_t n_fields, uint8_t *found,
                        vecdb_rows **out, vecdb_error *error);

/* Which rows a query wants, and what of them. */
typedef struct vecdb_query_params {
  uint32_t size;
  uint32_t limit;          /* rows; 0: 16,384 */
  uint64_t offset;         /* rows to leave out first */
  vecdb_filter filter;
  vecdb_keys after;        /* one key: only rows with larger keys follow; n 0: from the start */
  const char *const *fields;
  size_t n_fields;
  const vecdb_control *control;
} vecdb_query_params;
#define VECDB_QUERY_PARAMS_INIT {sizeof(vecdb_query_params), 0, 0, {NULL, 0, NULL, 0}, \
                                 {NULL, NULL, 0}, NULL, 0, NULL}

/* The rows that pass a filter, in ascending order of their keys (strings bytewise). */
VECDB_API int vecdb_query(vecdb_collection *collection, const vecdb_query_params *params,
                          vecdb_rows **out, vecdb_error *error);
/* How many rows pass the filter (NULL: all rows). */
VECDB_API int vecdb_count(vecdb_collection *collection, const vecdb_filter *filter,
                          uint64_t *count, vecdb_error *error);

/* In how many of the rows that pass the filter (NULL: of all) a sparse field has each of n indices,
   at most VECDB_MAX_SPARSE: for weights such as IDF. *rows, unless NULL, receives the number of the
   rows that pass. */
VECDB_API int vecdb_sparse_counts(vecdb_collection *collection, const char *field,
                                  const vecdb_filter *filter, const uint32_t *indices, size_t n,
                                  uint64_t *counts, uint64_t *rows, vecdb_error *error);

/* ---- Search --------------------------------------------------------------------------------- */

/* A row that a search found. */
typedef struct vecdb_hit {
  int64_t id;     /* an INT64 key; for VARCHAR keys -1: take column 0 of the rows */
  float score;    /* as the metric says */
  uint32_t row;   /* row of the vecdb_rows, when asked for */
} vecdb_hit;

/* How a segment is searched. */
typedef enum vecdb_plan {
  VECDB_PLAN_AUTO = 0,         /* chosen per segment from estimates */
  VECDB_PLAN_EXACT = 1,        /* every allowed row is compared */
  VECDB_PLAN_GRAPH = 2,        /* graph search among a computed set of allowed rows */
  VECDB_PLAN_FILTER_LATE = 3,  /* graph search, candidates filtered one by one */
  VECDB_PLAN_CODES = 4         /* every allowed row is compared by the index's short codes, and the
                                  best again; EXACT where an index has none */
} vecdb_plan;

/* vecdb_search_params.flags: do not use vecdb_options.device. */
#define VECDB_SEARCH_CPU 1u

/* What a search looks for, and how. */
typedef struct vecdb_search_params {
  uint32_t size;
  uint32_t k;              /* hits per query, 1 to VECDB_MAX_K */
  const char *field;       /* NULL: the only vector field */
  const void *queries;     /* n_queries vectors of the field's type; sparse ones: vecdb_sparse */
  size_t query_stride;     /* bytes from query to query; 0: packed */
  uint32_t n_queries;      /* 0: 1 */
  uint32_t dim;            /* of the queries, checked against the field; 0: unchecked */
  vecdb_filter filter;
  uint32_t ef;             /* graphs: width of the search, at least k; 0: by recall. HNSW among
                              scalar codes: on average; up to four times that, but not above
                              1,024, for hard queries */
  uint32_t nprobe;         /* IVF: lists looked through on average, twice that at most; 0: by
                              recall */
  float recall;            /* share of the true neighbours to find, 0.5 to 0.999, from which each
                              segment takes its ef or nprobe; 0: as the index was set */
  int32_t plan;            /* a vecdb_plan: AUTO, or EXACT for true neighbours */
  uint32_t threads;        /* for the queries of one call; 0: 1, the caller's */
  uint32_t flags;          /* 0, or VECDB_SEARCH_CPU */
  uint32_t beam;           /* DISK: blocks that a search keeps under way, 1 to 32; 0: 8. More hide
                              the disk's latency better, and are more often read in vain */
  const char *const *fields; /* fields of the rows */
  size_t n_fields;
  const vecdb_control *control;
} vecdb_search_params;
#define VECDB_SEARCH_PARAMS_INIT {sizeof(vecdb_search_params), 0, NULL, NULL, 0, 0, 0, \
                                  {NULL, 0, NULL, 0}, 0, 0, 0, 0, 0, 0, 0, NULL, 0, NULL}

/* How a search went; sums over its queries and segments. */
typedef struct vecdb_search_info {
  uint32_t size;
  uint32_t partial;            /* 1: the deadline came first, and hits are the best found so far */
  uint32_t segments;           /* segments looked at */
  uint32_t segments_exact;     /* of these, by exact scan */
  uint32_t segments_graph;     /* by graph among allowed rows */
  uint32_t segments_late;      /* by graph with late filter */
  uint32_t segments_codes;     /* by scan of codes */
  uint32_t fallbacks;          /* graph searches given up for a scan: too few allowed rows came */
  uint64_t rows;               /* rows in those segments */
  uint64_t rows_allowed;       /* of these, rows that pass the filter, counted or estimated */
  uint64_t distances;          /* vectors compared */
  uint64_t elapsed_ns;
  uint64_t reads;              /* DISK: blocks read, from the disk or a cache of the system; not
                                  those found by vecdb_options.vector_cache_bytes */
  uint64_t cached;             /* 1: hits came from the cache of results: no search was made */
  uint64_t segments_device;    /* of segments, those that vecdb_options.device searched */
} vecdb_search_info;
#define VECDB_SEARCH_INFO_INIT {sizeof(vecdb_search_info), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

/*
 * Finds the k nearest rows to each query, nearest first; equal scores in key order (as far as the
 * index found them). hits has room for n_queries * k; those of query q start at hits[q * k] and
 * counts[q] says how many there are: k, unless fewer rows pass the filter (and, of a sparse field,
 * have an index in common with the query). info and rows may be NULL; rows come with the hits of
 * all queries one after the other (see vecdb_hit.row).
 * When the deadline passes the call returns VECDB_OK with what it found and info->partial set, or
 * VECDB_ERR_TIMEOUT when info is NULL. The snapshot is that of the call's start.
 */
VECDB_API int vecdb_search(vecdb_collection *collection, const vecdb_search_params *params,
                           vecdb_hit *hits, uint32_t *counts, vecdb_search_info *info,
                           vecdb_rows **rows, vecdb_error *error);

/* How hits are put into groups. */
typedef struct vecdb_group_by {
  uint32_t size;
  uint32_t hits;     /* of a group at most; 0: 1. k * hits is at most VECDB_MAX_K */
  const char *field; /* rows of a group have the same value here: BOOL, an integer or VARCHAR. Rows
                        where it is null are a group, too */
} vecdb_group_by;
#define VECDB_GROUP_BY_INIT {sizeof(vecdb_group_by), 0, NULL}

/*
 * Finds the k groups of rows whose nearest row is nearest to each query, nearest first, and of each
 * the nearest rows: by->hits, or all that pass the filter where there are fewer. k groups come
 * whenever so many have a row that passes: what hides others is left out and the search repeated.
 * hits has room for n_queries * k * by->hits, counts for n_queries * k: the hits of group g of
 * query q start at hits[(q * k + g) * by->hits], and counts[q * k + g] says how many there are; 0:
 * there is no such group. The rest is as for vecdb_search; `threads` has no effect, and info sums
 * up all searches that were made.
 */
VECDB_API int vecdb_search_groups(vecdb_collection *collection, const vecdb_search_params *params,
                                  const vecdb_group_by *by, vecdb_hit *hits, uint32_t *counts,
                                  vecdb_search_info *info, vecdb_rows **rows, vecdb_error *error);

/* What the hits of several searches count, to be added up row by row. */
typedef enum vecdb_fusion {
  VECDB_FUSION_RRF = 0,      /* places: weight / (rrf_k + place), from place 0 on (Cormack et al.
                                2009) */
  VECDB_FUSION_WEIGHTED = 1, /* weight times the score brought to 0 to 1: of COSINE (1 + s) / 2, of
                                IP 1/2 + atan(s) / pi, of the others 1 - 2 atan(s) / pi */
  VECDB_FUSION_SCORES = 2    /* weight times the score as it is */
} vecdb_fusion;

/* One of the searches of a ranking. */
typedef struct vecdb_hybrid_search {
  vecdb_search_params search; /* k: how many of its hits count. Its fields and control have no
                                 effect */
  float weight;               /* 0: 1 */
  uint32_t bounded;           /* 1: only hits within the radius count, as vecdb_search_range says */
  float radius;
} vecdb_hybrid_search;

/* Several searches whose hits become one ranking. */
typedef struct vecdb_hybrid_params {
  uint32_t size;
  uint32_t search_size; /* sizeof(vecdb_hybrid_search) */
  const vecdb_hybrid_search *searches; /* of any vector fields, with equal numbers of queries */
  uint32_t n_searches;  /* 1 to 64 */
  uint32_t k;           /* hits per query, 1 to VECDB_MAX_K */
  int32_t fusion;       /* a vecdb_fusion */
  float rrf_k;          /* RRF; 0: 61, which is 60 for places that count from 1 */
  const char *const *fields; /* fields of the rows */
  size_t n_fields;
  const vecdb_control *control;
} vecdb_hybrid_params;
#define VECDB_HYBRID_PARAMS_INIT {sizeof(vecdb_hybrid_params), sizeof(vecdb_hybrid_search), NULL, \
                                  0, 0, 0, 0, NULL, 0, NULL}

/*
 * One ranking out of several searches of one snapshot, per query: those that find a row say what it
 * counts, and the k rows that count most are given, the best first, equal ones in key order; score
 * is the sum. hits, counts, info and rows as for vecdb_search; info sums up the searches.
 */
VECDB_API int vecdb_search_hybrid(vecdb_collection *collection, const vecdb_hybrid_params *params,
                                  vecdb_hit *hits, uint32_t *counts, vecdb_search_info *info,
                                  vecdb_rows **rows, vecdb_error *error);

/*
 * Finds rows within `radius` of one query: score <= radius for L2, HAMMING and JACCARD, score >=
 * radius for IP and COSINE. The nearest `k` (the size of hits) are given, nearest first, and
 * *count says how many. The answer is exact: every allowed row is compared. params as for search,
 * with one query.
 */
VECDB_API int vecdb_search_range(vecdb_collection *collection, const vecdb_search_params *params,
                                 float radius, vecdb_hit *hits, uint32_t *count,
                                 vecdb_search_info *info, vecdb_rows **rows, vecdb_error *error);

/* Walks outward from one query, batch by batch, over one snapshot; no row comes twice, and the walk
   ends only when every allowed row has come (of a sparse field: that has an index in common with
   the query). One thread at a time. */
typedef struct vecdb_iterator vecdb_iterator;
/* params as for search, with one query; k is ignored. The filter and query are copied; the control
   applies to each step, and what it points to must outlive the iterator. */
VECDB_API int vecdb_iterator_open(vecdb_collection *collection, const vecdb_search_params *params,
                                  vecdb_iterator **out, vecdb_error *error);
/* Up to `capacity` further hits, 16,384 at most; *count 0 means the end. rows may be NULL. After
   TIMEOUT or NO_MEMORY nothing is lost: the next call goes on. */
VECDB_API int vecdb_iterator_next(vecdb_iterator *iterator, uint32_t capacity, vecdb_hit *hits,
                                  uint32_t *count, vecdb_rows **rows, vecdb_error *error);
VECDB_API void vecdb_iterator_close(vecdb_iterator *iterator);

/*
 * Says in words how a search would be run: the bound filter and, per segment, rows, estimate, plan
 * and cost. Writes at most `capacity` bytes with NUL to `text` and the full length without NUL to
 * *length; VECDB_ERR_BUFFER when it was cut.
 */
VECDB_API int vecdb_explain(vecdb_collection *collection, const vecdb_search_params *params,
                            char *text, size_t capacity, size_t *length, vecdb_error *error);

/* ---- Maintenance ---------------------------------------------------------------------------- */

/* Seals the collection's in-memory rows into a segment file; returns when it is durable. Indexes
   are built later in the background. */
VECDB_API int vecdb_flush(vecdb_collection *collection, const vecdb_control *control,
                          vecdb_error *error);
/* Flushes, merges all segments into as few as possible without deleted rows, and builds their
   indexes; returns when all of it is durable. Searches and writes go on meanwhile. */
VECDB_API int vecdb_compact(vecdb_collection *collection, const vecdb_control *control,
                            vecdb_error *error);
/* Sets the index of a vector field, and builds it for all sealed segments before it returns. TYPE
   for a sparse field: it always has its own. */
VECDB_API int vecdb_index_create(vecdb_collection *collection, const char *field,
                                 const vecdb_index_params *params, const vecdb_control *control,
                                 vecdb_error *error);
/* Drops the index of a vector field: its searches are exact from now on. */
VECDB_API int vecdb_index_drop(vecdb_collection *collection, const char *field, vecdb_error *error);

/* What searches of one effort found when the index was built: shares of the true 1, 10 and 100
   nearest rows. Queries were mixes of rows, somewhat harder than most real ones. */
typedef struct vecdb_recall_point {
  uint32_t effort;  /* ef or nprobe */
  float distances;  /* vectors compared per query */
  float recall_1;
  float recall_10;
  float recall_100;
} vecdb_recall_point;

/* The index of a vector field in one sealed segment. */
typedef struct vecdb_segment_index {
  uint32_t size;
  uint32_t n_points;
  uint64_t segment;
  uint64_t rows;
  uint64_t bytes_file;
  uint64_t bytes_memory;     /* what searches read at random, the rows not counted */
  vecdb_index_params params; /* it was built with; never AUTO */
  uint32_t probes;           /* 1: efforts are nprobe; 0: ef */
  uint32_t reserved;
  const vecdb_recall_point *points; /* by rising effort; none in small segments */
} vecdb_segment_index;

/* Calls visit with the index of each segment that has one, oldest first, borrowed until it returns;
   a non-zero return ends the walk. */
VECDB_API int vecdb_index_list(vecdb_collection *collection, const char *field,
                               int (*visit)(void *user, const vecdb_segment_index *index),
                               void *user, vecdb_error *error);
/* Waits until background work on the collection is done (HOST_DRIVEN: does it). */
VECDB_API int vecdb_wait(vecdb_collection *collection, const vecdb_control *control,
                         vecdb_error *error);
/* Brings the collection's files into memory. */
VECDB_API int vecdb_warm(vecdb_collection *collection, const vecdb_control *control,
                         vecdb_error *error);

/*
 * Brings into memory what reads and searches of the rows that pass `filter` touch, a tenant's say:
 * their values and vectors, and their part of each vector index: codes, links, blocks of lists, and
 * the upper layers of graphs. Blocks of a DISK index go to the cache of vectors
 * (vector_cache_bytes), as far as it has room for what was not asked for yet. A search among few
 * rows by a graph passes by others, which are not brought. filter NULL: all rows. *rows (may be
 * NULL): how many pass, in the segments looked at. Cancelled or late, it has brought some. Errors:
 * those of the filter, CANCELLED, TIMEOUT, NO_MEMORY, CLOSED; of a DISK index IO and CORRUPT.
 */
VECDB_API int vecdb_warm_rows(vecdb_collection *collection, const vecdb_filter *filter,
                              uint64_t *rows, const vecdb_control *control, vecdb_error *error);

/* The state of a collection or database. */
typedef struct vecdb_stats {
  uint32_t size;
  uint32_t segments_growing;
  uint32_t segments_sealed;
  uint32_t segments_indexed;   /* sealed segments with every vector index they should have */
  uint64_t rows;               /* live rows */
  uint64_t rows_deleted;       /* rows still held in files though deleted */
  uint64_t bytes_memory;       /* growing segments */
  uint64_t bytes_files;        /* segment and index files */
  uint64_t bytes_index;        /* of these, vector indexes */
  uint64_t bytes_wal;          /* log of the database */
  uint64_t bytes_allocated;    /* by the whole database, through its allocator */
  uint64_t syncs;              /* of the log since opening */
  uint64_t sync_ns;            /* what they took */
  uint64_t commits;            /* writes since opening; more than syncs where grouped */
  uint64_t searches;           /* queries answered since opening */
  uint64_t jobs_pending;       /* background work not done yet */
  uint64_t merges;             /* of segments, since opening, and their time with indexes */
  uint64_t merge_ns;
  uint64_t merge_bytes;        /* of the segments that are to be merged now */
  uint64_t index_builds;       /* of vector indexes, since opening, and their time */
  uint64_t index_build_ns;
  /* What real queries find: some (vecdb_options.recall_every) are asked again in the background,
     and answered by index and exactly. Those without a filter under plan AUTO, of k up to 1,024;
     few enough to cost no more than a hundredth of a processor, and given up after a second each.
     Of all vector fields together. */
  uint64_t recall_checks;      /* queries checked since opening */
  double recall;               /* the share of the true neighbours that they found, a mean over
                                  about the last 64; 0 before any was checked */
} vecdb_stats;
#define VECDB_STATS_INIT \
  {sizeof(vecdb_stats), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

/* Numbers about a collection; a snapshot, cheap. */
VECDB_API int vecdb_collection_stats(vecdb_collection *collection, vecdb_stats *out,
                                     vecdb_error *error);

/*
 * Every byte that a database has from its allocator now, by what it is for: `total` is the sum of
 * the lines below it up to `other`, and of `vectors`. What files map does not count, nor what the
 * VFS has for itself.
 */
typedef struct vecdb_memory {
  uint32_t size;
  uint32_t reserved;
  uint64_t limit;       /* vecdb_options.memory_limit */
  uint64_t total;
  uint64_t rows;        /* growing segments, and marks of deleted rows */
  uint64_t writes;      /* batches on their way, and buffers of the log */
  uint64_t files;       /* files of ":memory:", files decrypted, tables of files */
  uint64_t indexes;     /* what is open of segments and indexes, scratch that they keep included */
  uint64_t builds;      /* seals, merges and index builds under way */
  uint64_t searches;    /* searches under way, their snapshots, and iterators */
  uint64_t results;     /* vecdb_rows that were not freed yet */
  uint64_t cache;       /* results that searches may find again */
  uint64_t other;       /* the handle, threads, schemas, names, lists */
  uint64_t refused;     /* times since opening that the limit did not allow a request */
  uint64_t cache_hits;  /* searches since opening that were answered from the cache */
  uint64_t cache_misses; /* and those that looked there in vain */
  uint64_t cache_entries;
  uint64_t vectors;     /* blocks of DISK indexes that are kept (vector_cache_bytes) */
  uint64_t vector_hits; /* blocks since opening that searches found there */
  uint64_t vector_misses; /* and those that they had to read */
  uint64_t vector_entries;
} vecdb_memory;
#define VECDB_MEMORY_INIT \
  {sizeof(vecdb_memory), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

/* Numbers about the memory of a database, of one moment as a whole where nothing else runs. Any
   thread. Errors: ARGUMENT, OPTION. */
VECDB_API int vecdb_memory_stats(vecdb *db, vecdb_memory *out, vecdb_error *error);

/* What vecdb_options.device is, holds and has done since opening. */
typedef struct vecdb_device {
  uint32_t size;
  uint32_t present;   /* 0: the database has none, and the rest is zero */
  char name[128];
  uint64_t limit;     /* bytes of it that rows may take */
  uint64_t bytes;     /* and take now */
  uint64_t sets;      /* vectors of a segment and field that it holds */
  uint64_t evicted;   /* of these, those that others have pushed out */
  uint64_t queries;   /* answered by it, once for each segment */
  uint64_t failures;  /* calls of its driver that failed: the processor answered */
  uint64_t busy_ns;   /* in such calls, summed over threads */
} vecdb_device;
#define VECDB_DEVICE_INIT {sizeof(vecdb_device), 0, "", 0, 0, 0, 0, 0, 0, 0}

/* Any thread. Errors: ARGUMENT, OPTION. */
VECDB_API int vecdb_device_stats(vecdb *db, vecdb_device *out, vecdb_error *error);

/* What building an index takes, at most, from the allocator at one time. */
typedef struct vecdb_index_need {
  uint32_t size;
  int32_t type;     /* as asked for, or what AUTO takes */
  uint64_t build;   /* the sum of these: */
  uint64_t codes;   /* rows as they are searched, and what quantizers learn from */
  uint64_t graph;
  uint64_t lists;   /* and what centroids are learnt from */
  uint64_t scratch; /* of threads, of the file that is written */
} vecdb_index_need;
#define VECDB_INDEX_NEED_INIT {sizeof(vecdb_index_need), 0, 0, 0, 0, 0, 0}

/*
 * Estimates the memory of a build over `rows` rows of a segment by so many threads (0: one per
 * processor; HOST_DRIVEN builds with 1), before there is a row: an upper bound. Of the field its
 * type, dim and metric count. What the index keeps after the build is far less, as its file is
 * mapped. Errors: TYPE, LIMIT, INDEX_PARAM, UNSUPPORTED, OPTION, ARGUMENT.
 */
VECDB_API int vecdb_index_estimate(const vecdb_field *field, const vecdb_index_params *params,
                                   uint64_t rows, uint32_t threads, vecdb_index_need *out,
                                   vecdb_error *error);

/*
 * Reads and checks every byte of every file: checksums, structure, that each graph link and row set
 * is in range, that each key has one live row. `report` gets a line for each fault, and may be
 * NULL.
 * VECDB_OK: no fault; VECDB_ERR_CORRUPT: some.
 */
VECDB_API int vecdb_check(vecdb *db, void (*report)(void *user, const char *line), void *user,
                          const vecdb_control *control, vecdb_error *error);

/*
 * Copies the database, as of the moment of the call, into the new folder `path`
 * (VECDB_ERR_EXISTS when it is there), which is then a database of its own. Writes, searches and
 * background work go on meanwhile. The copy of a ":memory:" database is on disk; a database opened
 * with VECDB_READ_ONLY can be copied too. When it fails or is cancelled the folder is removed;
 * after a crash it may stay, and is no database: remove it. Errors: EXISTS, IO, DISK_FULL,
 * NO_MEMORY, CANCELLED, TIMEOUT.
 */
VECDB_API int vecdb_backup(vecdb *db, const char *path, const vecdb_control *control,
                           vecdb_error *error);
/* Checks the backup in folder `from` and copies it to the new folder `to`, which goes again when
   that fails. options: as for open; their control is of the whole call. */
VECDB_API int vecdb_restore(const char *from, const char *to, const vecdb_options *options,
                            vecdb_error *error);

/* Flags of vecdb_rekey. */
enum {
  VECDB_REKEY_NEW_DATA_KEY = 1u << 0 /* what is written from now on gets a new data key */
};
/*
 * Wraps the data keys of an encrypted database anew, by the host's key of the name key_id (NULL: of
 * the name that it has). That takes no longer than the callbacks; afterwards the former key opens
 * the database no more, but copies of the folder from before it still. With NEW_DATA_KEY what is
 * written later is encrypted by a new data key; older files keep theirs until a merge, or
 * vecdb_compact of their collection, writes them anew. Data keys that no file uses any more go with
 * the next call. After a crash the former key opens the database, or the new one. Any thread, also
 * beside writes and searches; readers in other processes go on. Errors: ARGUMENT for a database
 * that is not encrypted, OPTION, LIMIT, READ_ONLY, KEY, IO, DISK_FULL, NO_MEMORY.
 */
VECDB_API int vecdb_rekey(vecdb *db, const char *key_id, uint32_t flags, vecdb_error *error);

/* ---- Helpers -------------------------------------------------------------------------------- */

/* Scales n packed float vectors of `dim` elements to length 1 (L2), in place; zero vectors stay.
   ARGUMENT for NULL, NOT_FINITE or OVERFLOW naming the row (those rows and later ones stay). */
VECDB_API int vecdb_normalize(float *vectors, size_t n, size_t dim, vecdb_error *error);
/* Conversions between float and the 16-bit types, to nearest even. */
VECDB_API void vecdb_to_float16(const float *in, uint16_t *out, size_t n);
VECDB_API void vecdb_from_float16(const uint16_t *in, float *out, size_t n);
VECDB_API void vecdb_to_bfloat16(const float *in, uint16_t *out, size_t n);
VECDB_API void vecdb_from_bfloat16(const uint16_t *in, float *out, size_t n);

#ifdef __cplusplus
}
#endif

#endif /* VECDB_H */
