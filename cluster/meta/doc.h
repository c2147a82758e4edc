/*
 * doc.h - the documents that the cluster keeps in its metadata store: what they hold, what makes
 * one valid, and their text form (JSON, strict: unknown, missing and repeated names are errors).
 * Every one of them is changed only by a transaction that compares what was read.
 */
#ifndef CLUSTER_META_DOC_H
#define CLUSTER_META_DOC_H

#include "meta/meta.h"

enum {
  DOC_VERSION = 1,    /* of the text form; a document of a later one is DOC_NEWER */
  DOC_VERSION_SLOTS = 2, /* of tables of slots with generations, which an older node cannot serve */
  DOC_NAME_MAX = 64,  /* bytes of names, with the NUL */
  DOC_TEXT_MAX = 256, /* of addresses and messages, likewise */
  DOC_VERSION_HISTORY = 2, /* of collections with a history, likewise */
  DOC_VERSION_EXPIRY = 3,  /* of collections whose rows expire: an older primary removes none */
  DOC_SCHEMA_MAX = 65536,
  DOC_HISTORY_MAX = 131072,
  DOC_EXPIRY_MAX = 1024,
  DOC_LABELS_MAX = 8,
  DOC_REPLICAS_MAX = 8,
  DOC_NODES_MAX = 1024,
  DOC_SHARDS_MAX = 4096, /* of a collection; their numbers are below it */
  DOC_SLOTS_MAX = 65536, /* a power of two */
  DOC_SPLITS_MAX = 1024  /* ranges of a collection */
};

enum doc_status {
  DOC_OK = 0,
  DOC_MALFORMED, /* not JSON, or not of this shape */
  DOC_NEWER,     /* written by a later version */
  DOC_RULE,      /* well-formed, but breaks a rule of its struct below */
  DOC_NO_MEMORY
};

/* 16 bytes that name a cluster or what is on a disk; all zero: none. */
struct doc_uuid {
  uint8_t bytes[16];
};

/* What nodes understand of documents and of the entries of logs, by number: each has what is before
   it. Nodes say the last one that they have, and nothing is done that a replica does not know. */
enum doc_speaks {
  DOC_SPEAKS_FIRST = 1,
  DOC_SPEAKS_FIELDS = 2, /* fields that are added; defaults that are computed */
  DOC_SPEAKS_SPLITS = 4, /* shards that are split, and their generations; 3: all but that the log
                            may give a split up */
  DOC_SPEAKS_RESHAPES = 5, /* fields that are dropped or renamed, and the history of that */
  DOC_SPEAKS_EXPECTED = 6, /* pushes that expect versions */
  DOC_SPEAKS_EXPIRY = 7,   /* rows that expire */
  DOC_SPEAKS_HEIRS = 8,    /* the new shard of a split stands before the rows change hands */
  DOC_SPEAKS_LAST = DOC_SPEAKS_HEIRS
};

/* PREFIX/fmt. */
struct doc_cluster {
  struct doc_uuid id;
  uint32_t protocol_min; /* a doc_speaks that every node must have: others do not take part */
  char name[DOC_NAME_MAX];
};

enum doc_node_state { DOC_NODE_ACTIVE, DOC_NODE_DRAINING, DOC_NODE_REMOVED };

struct doc_label {
  char name[DOC_NAME_MAX];
  char value[DOC_NAME_MAX];
};

/* PREFIX/node/ID: that the node belongs to the cluster. It stays while the node is down. */
struct doc_node {
  uint32_t id; /* from 1 */
  char name[DOC_NAME_MAX];
  char address[DOC_TEXT_MAX]; /* host:port of the transport */
  char region[DOC_NAME_MAX];  /* "": none */
  char zone[DOC_NAME_MAX];    /* "": none */
  struct doc_label labels[DOC_LABELS_MAX];
  uint32_t n_labels;
  uint32_t weight; /* share of shards, 0 to 10,000; usual 100 */
  enum doc_node_state state;
  char fingerprint[65]; /* SHA-256 of its certificate in hex; "": any that the CA signed */
};

/* PREFIX/live/ID, on the node's lease: that the node runs. Its create_revision is the node's
   incarnation. */
struct doc_live {
  uint32_t id;
  struct doc_uuid store; /* of its data; another one: the disk was replaced */
  uint32_t protocol_min; /* of doc_speaks, likewise the next */
  uint32_t protocol_max;
  char build[DOC_NAME_MAX];
};

enum doc_coll_state { DOC_COLL_CREATING, DOC_COLL_ACTIVE, DOC_COLL_DROPPING };
enum doc_policy {
  DOC_HASH,   /* the id picks a slot */
  DOC_TENANT, /* a field picks a window of slots, the id a slot in it */
  DOC_RANGE   /* a field's ranges are windows of slots, the id picks within */
};
enum doc_ack { DOC_ACK_SYNC, DOC_ACK_CHAIN, DOC_ACK_ASYNC };

/* PREFIX/coll/ID; PREFIX/name/NAME holds the id. */
struct doc_coll {
  uint32_t id; /* from 1, never used again */
  char name[DOC_NAME_MAX];
  enum doc_coll_state state;
  enum doc_policy policy;
  char field[DOC_NAME_MAX]; /* that the policy looks at; "" for DOC_HASH */
  char need[DOC_NAME_MAX];  /* label that nodes must have ("gpu"); "": none */
  uint32_t slots;
  uint32_t window; /* slots of a tenant, a power of two; 1 otherwise */
  uint32_t shards;
  uint32_t replicas; /* wanted of each shard */
  uint32_t min_isr;
  enum doc_ack ack;
  uint64_t schema_version;
  uint64_t index_version;
  char *schema; /* JSON text of an object, owned; NULL reads as {} */
  char *history; /* likewise, of wire/reshape.h: how it came to be so; NULL: by new fields alone */
  char *expiry;  /* likewise, of wire/expiry.h: when its rows go; NULL: they stay */
};

/* PREFIX/slots/ID: which shard a slot belongs to, and how often each shard's slots have changed. */
struct doc_slots {
  uint32_t n;
  uint16_t *shard;       /* owned */
  uint32_t n_generations; /* of the shards below it; the last one's is not 0 */
  uint32_t *generation;   /* owned */
};

enum doc_key_kind { DOC_KEY_INT, DOC_KEY_FLOAT, DOC_KEY_TEXT };
struct doc_key {
  enum doc_key_kind kind;
  int64_t number;
  double real; /* finite */
  char text[DOC_NAME_MAX];
};

/* A range of DOC_RANGE begins at `from`, which it includes, and ends where the next begins; the
   first begins below everything, whatever its `from` says. */
struct doc_range {
  struct doc_key from;
  uint32_t first_slot;
  uint32_t n_slots;
};

/* PREFIX/splits/ID: ascending; all of one kind; no slot in two ranges. */
struct doc_splits {
  uint32_t n;
  struct doc_range *ranges; /* owned */
};

enum doc_shard_state { DOC_SHARD_ACTIVE, DOC_SHARD_OFFLINE };

struct doc_replica {
  uint32_t node;
  struct doc_uuid store; /* none: it has not reported yet */
};

/*
 * PREFIX/shard/COLLECTION/NUMBER. With its mod_revision C, (epoch, C) is the fence: both only grow.
 * Every ISR member and every learner is a replica; no node is both; a replica that is neither is
 * out of sync. The primary is in the ISR; without one (0) the shard is OFFLINE.
 */
struct doc_shard {
  uint32_t collection;
  uint32_t number;
  enum doc_shard_state state;
  uint64_t epoch;
  uint32_t primary;
  uint32_t min_isr;
  struct doc_replica replicas[DOC_REPLICAS_MAX];
  uint32_t isr[DOC_REPLICAS_MAX]; /* in the order of the chain */
  uint32_t learners[DOC_REPLICAS_MAX];
  uint32_t n_replicas;
  uint32_t n_isr;
  uint32_t n_learners;
  uint64_t unclean; /* the last epoch that an operator began with what was left; 0: none */
};

enum doc_step {
  DOC_MOVE_PLANNED,
  DOC_MOVE_COPYING,     /* the target is a learner */
  DOC_MOVE_CATCHING_UP, /* it has the segments, and follows the log */
  DOC_MOVE_SWITCHING,   /* it is in the ISR; the source is leaving */
  DOC_MOVE_DONE,
  DOC_MOVE_CANCELLED
};

/* PREFIX/move/COLLECTION/NUMBER: so a shard has at most one open move. */
struct doc_move {
  uint32_t collection;
  uint32_t shard;
  uint64_t id; /* counts the moves of this shard */
  uint32_t source;
  uint32_t target;
  enum doc_step step;
  uint64_t bytes_done;
  uint64_t bytes_total; /* 0: not known yet */
  char why[DOC_TEXT_MAX];
};

enum doc_split_step {
  DOC_SPLIT_PLANNED,   /* may be given up */
  DOC_SPLIT_RELEASING, /* may not: the parent's log may say that the rows are the child's */
  DOC_SPLIT_DONE,
  DOC_SPLIT_CANCELLED
};

/*
 * PREFIX/split/COLLECTION/NUMBER: some slots of the shard NUMBER become the shard `child`. A
 * collection has at most one open split, so that its shards' numbers have no gaps.
 */
struct doc_split {
  uint32_t collection;
  uint32_t shard;
  uint64_t id; /* counts the splits of this shard */
  uint32_t child;
  enum doc_split_step step;
  struct doc_replica forks[DOC_REPLICAS_MAX]; /* who has a durable copy of what moves */
  uint32_t n_forks;
  uint32_t n;     /* of the collection's slots */
  uint8_t *moved; /* owned: by slot, 1 where it becomes the child's */
};

/*
 * To text and back. doc_X_write gives a text from malloc, or NULL when the document breaks a rule
 * or there is no memory. doc_X_read fills `out` (with memory of its own where the struct says
 * owned: doc_X_free) and puts the reason of a failure in `why` (DOC_TEXT_MAX bytes).
 */
#define DOC_CODEC(type)                                              \
  char *doc_##type##_write(const struct doc_##type *doc, size_t *n); \
  enum doc_status doc_##type##_read(struct meta_bytes text, struct doc_##type *out, char *why)
DOC_CODEC(cluster);
DOC_CODEC(node);
DOC_CODEC(live);
DOC_CODEC(coll);
DOC_CODEC(slots);
DOC_CODEC(splits);
DOC_CODEC(shard);
DOC_CODEC(move);
DOC_CODEC(split);
#undef DOC_CODEC
void doc_coll_free(struct doc_coll *doc);
void doc_slots_free(struct doc_slots *doc);
void doc_splits_free(struct doc_splits *doc);
void doc_split_free(struct doc_split *doc);

/* How often the shard's slots have changed. */
uint32_t doc_slots_generation(const struct doc_slots *doc, uint32_t shard);
/* Sets it; false: no memory. */
bool doc_slots_set_generation(struct doc_slots *doc, uint32_t shard, uint32_t generation);
/* Whether the split is under way. */
bool doc_split_open(const struct doc_split *doc);

/* Whether the shard's own rules hold; the reason otherwise. Write and read check it, too. */
bool doc_shard_valid(const struct doc_shard *doc, char *why);
/* Whether the node is in the list. */
bool doc_has(const uint32_t *nodes, uint32_t n, uint32_t node);
bool doc_uuid_same(struct doc_uuid a, struct doc_uuid b);
bool doc_uuid_none(struct doc_uuid a);

/* "catching-up" */
const char *doc_step_name(enum doc_step step);
const char *doc_split_step_name(enum doc_split_step step);

/* -1, 0, 1; the kinds are the same. */
int doc_key_compare(const struct doc_key *a, const struct doc_key *b);

#endif
