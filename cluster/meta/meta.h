/*
 * meta.h - the metadata store as the cluster sees it: etcd v3's model. Keys and values with
 * revisions, transactions that compare and then write, watches from a revision, leases. Behind it
 * stand a real etcd (etcd.h) and a deterministic one in memory with faults (model.h).
 *
 * How it is driven   Nothing blocks and nothing has a thread or a clock. Calls queue a request;
 *     the answer comes to a function from within meta_run, never from within the call itself.
 *     Whoever owns the store calls meta_run with the present time when its descriptor is readable
 *     or writable or meta_due has come: an epoll loop or a simulation. Not thread-safe: one thread.
 * What is safe to rely on   Transactions only. Reads outside of them, watches and kept leases are
 *     hints: a store may answer old things there, and Debian's etcd 3.4 at times does.
 * Memory   What is passed in is copied before the call returns. What an answer points to is valid
 *     until the function that got it returns.
 * Time   Microseconds of one monotonic clock, the caller's.
 */
#ifndef CLUSTER_META_H
#define CLUSTER_META_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Limits: over them a call answers META_LIMIT before anything is sent. They are below etcd's own
   defaults (128 operations, 1.5 MiB). */
enum {
  META_KEY_MAX = 512,
  META_VALUE_MAX = 256 * 1024,
  META_TXN_MAX = 128,          /* compares; operations of either branch */
  META_TXN_BYTES = 768 * 1024, /* keys and values of one transaction */
  META_GET_MAX = 1024,         /* keys that one META_GET gives; the rest is told by `more` */
  META_PENDING_MAX = 1024,     /* requests that wait for their answers */
  META_WATCHES_MAX = 64
};

enum meta_status {
  META_OK = 0,
  META_UNAVAILABLE, /* surely not applied: nobody there, no leader, refused; try again */
  META_UNKNOWN,     /* a write whose answer was lost or late: it may be applied now or yet to be */
  META_COMPACTED,   /* that revision is no longer kept: read anew and watch from there */
  META_NO_LEASE,    /* no such lease (any more) */
  META_LIMIT,       /* a size over the limits above */
  META_INVALID,     /* a request that makes no sense */
  META_DENIED,      /* credentials or certificate refused */
  META_FULL,        /* the store is out of space: writes are refused until someone makes room */
  META_NO_MEMORY,
  META_CLOSED /* the store was closed, or the watch cancelled */
};

struct meta_bytes {
  const void *data;
  size_t n;
};

struct meta_kv {
  struct meta_bytes key;
  struct meta_bytes value;
  int64_t create_revision;
  int64_t mod_revision;
  int64_t version; /* 1 when created, one more with each put */
  int64_t lease;   /* 0: none */
};

/* A key that is absent compares as create, mod, version and lease 0, and fails every compare of
   its value. */
enum meta_target { META_CREATE, META_MOD, META_VERSION, META_LEASE, META_VALUE };
enum meta_relation { META_EQUAL, META_NOT_EQUAL, META_LESS, META_GREATER };

struct meta_compare {
  struct meta_bytes key;
  enum meta_target target;
  enum meta_relation relation; /* "what is stored RELATION what is given here" */
  int64_t number;              /* for all targets but META_VALUE */
  struct meta_bytes value;
};

enum meta_op_kind { META_PUT, META_DELETE, META_GET };

struct meta_op {
  enum meta_op_kind kind;
  struct meta_bytes key;
  struct meta_bytes end;   /* META_DELETE, META_GET: all keys in [key, end); n = 0: `key` alone */
  struct meta_bytes value; /* META_PUT */
  int64_t lease;           /* META_PUT; 0: none */
  int64_t revision;        /* META_GET: as of then; 0: now */
  uint32_t limit;          /* META_GET: at most so many keys; 0: META_GET_MAX */
  bool keys_only;          /* META_GET */
};

/* All compares hold: `then` is done, else `otherwise`; either of them whole and at one revision.
   A key may be put once in a branch. */
struct meta_txn {
  const struct meta_compare *compares;
  const struct meta_op *then;
  const struct meta_op *otherwise;
  size_t n_compares;
  size_t n_then;
  size_t n_otherwise;
};

/* What one operation of the branch that was taken gave. */
struct meta_answer {
  const struct meta_kv *kvs; /* META_GET: ascending by key */
  size_t n;
  int64_t count; /* META_GET: keys in the range; META_DELETE: keys deleted */
  bool more;     /* META_GET: the limit cut it off */
};

struct meta_result {
  enum meta_status status;
  const char *message; /* never NULL; for people */
  int64_t revision;    /* of the store when it answered; with META_COMPACTED the oldest one kept */
  bool succeeded;      /* which branch */
  const struct meta_answer *answers;
  size_t n_answers;
  int64_t lease;  /* of grant and keep */
  int64_t ttl_us; /* how long it lives from when it was granted or kept */
};

typedef void meta_done(void *arg, const struct meta_result *result);

struct meta_event {
  bool deleted; /* then kv has only the key and the mod_revision of the deletion */
  struct meta_kv kv;
};

/* Events ascend by revision. A watch that broke off goes on by itself where it stopped; while it
   cannot, nothing comes. All events of one revision come in one batch. */
struct meta_batch {
  enum meta_status status; /* not META_OK: the watch has ended, this was its last call */
  const char *message;
  int64_t revision; /* everything up to it has been told; META_COMPACTED: the oldest kept */
  const struct meta_event *events;
  size_t n; /* may be 0: only `revision` is news */
};

typedef void meta_watched(void *arg, const struct meta_batch *batch);

struct meta_store;

/* What a kind of store has; called through the functions below, which check the limits. */
struct meta_ops {
  enum meta_status (*txn)(struct meta_store *store, const struct meta_txn *txn, int64_t deadline_us,
                          meta_done *done, void *arg);
  enum meta_status (*grant)(struct meta_store *store, int64_t ttl_s, int64_t deadline_us,
                            meta_done *done, void *arg);
  enum meta_status (*keep)(struct meta_store *store, int64_t lease, int64_t deadline_us,
                           meta_done *done, void *arg);
  enum meta_status (*revoke)(struct meta_store *store, int64_t lease, int64_t deadline_us,
                             meta_done *done, void *arg);
  enum meta_status (*watch)(struct meta_store *store, struct meta_bytes key, struct meta_bytes end,
                            int64_t revision, meta_watched *watched, void *arg, uint64_t *id);
  void (*cancel)(struct meta_store *store, uint64_t id);
  int (*fd)(const struct meta_store *store);
  int64_t (*due)(const struct meta_store *store);
  void (*run)(struct meta_store *store, int64_t now_us);
  void (*close)(struct meta_store *store);
};

/* The first member of every kind of store. */
struct meta_store {
  const struct meta_ops *ops;
};

/*
 * Requests. META_OK: queued, and `done` will be called exactly once, at the latest at the deadline
 * or in meta_close; anything else: refused at once, and `done` is never called. deadline_us 0:
 * the store's own time limit.
 */
enum meta_status meta_txn(struct meta_store *store, const struct meta_txn *txn, int64_t deadline_us,
                          meta_done *done, void *arg);
/* A transaction that only reads: one key, or all keys in [key, end) when end.n is not 0. */
enum meta_status meta_get(struct meta_store *store, struct meta_bytes key, struct meta_bytes end,
                          int64_t deadline_us, meta_done *done, void *arg);
/* Leases are in whole seconds; a store may grant longer. Keys put with one go with it. */
enum meta_status meta_grant(struct meta_store *store, int64_t ttl_s, int64_t deadline_us,
                            meta_done *done, void *arg);
enum meta_status meta_keep(struct meta_store *store, int64_t lease, int64_t deadline_us,
                           meta_done *done, void *arg);
enum meta_status meta_revoke(struct meta_store *store, int64_t lease, int64_t deadline_us,
                             meta_done *done, void *arg);
/* Tells every change of [key, end) (or of one key) from `revision` on, which is included; 0: from
   now. `id` is for meta_cancel. */
enum meta_status meta_watch(struct meta_store *store, struct meta_bytes key, struct meta_bytes end,
                            int64_t revision, meta_watched *watched, void *arg, uint64_t *id);
/* Nothing is told any more, not even META_CLOSED. Allowed within `watched`. */
void meta_cancel(struct meta_store *store, uint64_t id);

/* To be watched for reading by epoll; -1: there is none, only times. */
int meta_fd(const struct meta_store *store);
/* When meta_run is to be called at the latest; INT64_MAX: nothing waits for time. */
int64_t meta_due(const struct meta_store *store);
/* Does what can be done without waiting, and calls back. Callbacks may make requests and cancel
   watches, not close the store. */
void meta_run(struct meta_store *store, int64_t now_us);
/* Requests that wait are answered META_UNKNOWN or META_CLOSED, watches end with META_CLOSED. */
void meta_close(struct meta_store *store);

/* A text as bytes, without its NUL. */
struct meta_bytes meta_text(const char *text);
/* The key after all keys that begin with `prefix`, written to `out` (META_KEY_MAX bytes); n = 0
   when there is none. */
struct meta_bytes meta_prefix_end(struct meta_bytes prefix, char *out);
/* "unavailable", for messages. */
const char *meta_status_name(enum meta_status status);

#endif
