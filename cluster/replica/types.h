/* types.h - what all of the replication speaks of: positions, entries, the shard's record. */
#ifndef CLUSTER_REPLICA_TYPES_H
#define CLUSTER_REPLICA_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  REP_MEMBERS = 8,      /* of one shard: primary, ISR and learners */
  REP_EPOCHS = 32,      /* newest epochs of a log that are compared */
  REP_BATCH = 64,       /* entries of one message */
  REP_BATCH_BYTES = 8 << 20,
  REP_BODY_MAX = 4 << 20, /* bytes of one entry */
  REP_CHUNK = 256 << 10,  /* bytes of one piece of a snapshot */
  REP_PIECES = 8          /* of them under way to one replica */
};

/* Of a node's directory, made at random with it. All zero: none. */
struct rep_uuid {
  uint64_t hi, lo;
};

/* One operation of one client; the counter begins at 1 and grows. client 0: no op id. */
struct rep_op {
  uint64_t client, count;
};

/* A place in a log. Equal (seq, chain) means that the logs are equal up to there. */
struct rep_pos {
  uint64_t seq; /* 0: before the first entry */
  uint64_t epoch;
  uint64_t chain;
};

enum rep_kind { REP_NOOP = 0, REP_DATA = 1 };

struct rep_entry {
  struct rep_pos pos;
  struct rep_op op;
  uint32_t kind;
  uint32_t n;
  const uint8_t *body;
};

struct rep_member {
  uint32_t node; /* from 1 */
  struct rep_uuid store;
};

/* The shard's record; isr[0] is the primary, and the order is that of the chain. */
struct rep_config {
  uint64_t rev; /* C: not part of the stored bytes */
  uint64_t epoch;
  uint64_t unclean; /* the last epoch that an operator began with what was left; 0: none */
  uint32_t min_isr;
  uint32_t n_isr, n_learners;
  struct rep_member isr[REP_MEMBERS];
  uint32_t learners[REP_MEMBERS];
};

static inline bool rep_same_store(struct rep_uuid a, struct rep_uuid b) {
  return a.hi == b.hi && a.lo == b.lo;
}

static inline uint64_t rep_min(uint64_t a, uint64_t b) { return a < b ? a : b; }
static inline uint64_t rep_max(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* Mixes v into the hash h. It finds accidents, not attackers. */
static inline uint64_t rep_mix(uint64_t h, uint64_t v) {
  h = (h ^ v) * 0x9fb21c651e98df25u;
  h ^= h >> 32;
  h *= 0xd6e8feb86659fd93u;
  return h ^ h >> 29;
}

/* The chain value of an entry that follows `prev`. */
uint64_t rep_chain(uint64_t prev, const struct rep_entry *e);

/* The member's place in the ISR, or -1. */
int rep_isr_at(const struct rep_config *c, uint32_t node);
int rep_learner_at(const struct rep_config *c, uint32_t node);
/* I8 and the limits; what a record must keep to be believed. */
bool rep_config_valid(const struct rep_config *c);
/* The node from the ISR to the learners; false when there is no room. */
bool rep_config_demote(struct rep_config *c, uint32_t node);
/* The ISR with this member first. */
void rep_config_lead(struct rep_config *c, uint32_t node);

#endif
