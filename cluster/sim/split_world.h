/* split_world.h - the parts of split.h's simulation. Private to this folder. */
#ifndef CLUSTER_SIM_SPLIT_WORLD_H
#define CLUSTER_SIM_SPLIT_WORLD_H

#include "replica/dedup.h"
#include "replica/split.h"
#include "sim/split.h"

enum {
  SP_NODES = 3,
  SP_CLIENTS = 3,
  SP_KEYS = 8, /* from SP_MOVED on they are the child's */
  SP_MOVED = 4,
  SP_LOG = 4096,
  SP_FLIGHT = 64,
  SP_MIN_ISR = 2
};

enum sp_shard_name { SP_PARENT, SP_CHILD, SP_SHARDS };

/* A shard's rows: the number of the write that each key has, 0: none. */
struct sp_data {
  uint64_t seq; /* entries of the shard's log that are applied */
  uint32_t values[SP_KEYS];
  struct rep_client clients[SP_CLIENTS + 2];
  uint32_t n_clients;
  struct rep_split split;
  uint64_t released; /* the split whose rows have begun to go; 0: none */
};

struct sp_entry {
  enum rep_split_entry split; /* 0: a write */
  uint64_t id;
  struct rep_op op;
  uint32_t write; /* its number, from 1 */
  uint32_t client, attempt; /* who waits */
};

struct sp_shard {
  bool there;
  uint64_t of; /* the child: the split that its record is of; 0: it has none */
  struct sp_entry log[SP_LOG];
  uint64_t n, commit;
  uint32_t leader;      /* 0: none */
  struct sp_data truth; /* as of commit */
};

struct sp_docs {
  uint64_t mod;
  struct rep_split_plan plan;
  uint64_t child; /* the split that the child's record is of; 0: there is none */
  bool moved;     /* the map: the moved keys are the child's */
  uint64_t generation[SP_SHARDS];
};

struct sp_replica {
  bool has; /* data; false: its disk is new, or the child is not here yet */
  uint64_t of; /* the child: the split that it was opened for */
  struct sp_data now, durable;
};

struct sp_node {
  bool up;
  struct rep_uuid store;
  struct sp_replica replicas[SP_SHARDS];
  uint64_t forked; /* the split that it has a copy for; 0: none */
  struct sp_data fork;
  struct sp_docs view;
};

struct sp_write {
  uint32_t key, done; /* how often it was done */
  uint64_t order;     /* when, among all writes */
};

/* A request on its way to a shard's leader. */
struct sp_message {
  bool used, search;
  uint32_t client, attempt, write;
  enum sp_shard_name shard;
  uint64_t generation;
  struct rep_op op;
};

struct sp_client {
  bool busy, searches;
  uint32_t attempt, write;
  uint64_t count; /* of the write's op id */
  uint64_t next[SP_SHARDS];
  struct sp_docs map;
  enum sp_shard_name shard; /* that is being searched, or written */
  uint64_t floor[SP_KEYS];  /* what was acknowledged when the search began */
  uint32_t found[SP_SHARDS][SP_KEYS];
};

struct sp_world {
  uint64_t rng;
  struct sim_split_result *result;
  bool ending;
  struct sp_node nodes[SP_NODES + 1]; /* from 1 */
  struct sp_shard shards[SP_SHARDS];
  struct sp_docs docs, before; /* as of now; what a node may read that was away */
  struct sp_docs late; /* on their way; mod 0: none */
  struct sp_client clients[SP_CLIENTS + 1];
  struct sp_message flight[SP_FLIGHT];
  struct sp_write writes[SP_LOG + 1];
  uint32_t n_writes;
  uint64_t order, acked[SP_KEYS];
};

/* split.c */
uint64_t sp_below(struct sp_world *w, uint64_t n);
void sp_fail(struct sp_world *w, const char *why);
/* The leader's data; NULL: nobody leads. */
struct sp_data *sp_leading(struct sp_world *w, enum sp_shard_name shard);
/* Whether the log has an entry of a split that is not committed. */
bool sp_pending(const struct sp_shard *s);
void sp_append(struct sp_world *w, enum sp_shard_name shard, struct sp_entry e);

/* split_client.c */
void sp_client_turn(struct sp_world *w, uint32_t client);
/* A request arrives somewhere; others are lost, or come again. */
void sp_deliver(struct sp_world *w);
void sp_answer(struct sp_world *w, uint32_t client, uint32_t attempt, enum rep_result result);
/* Whether all have what they asked for. */
bool sp_clients_idle(const struct sp_world *w);

#endif
