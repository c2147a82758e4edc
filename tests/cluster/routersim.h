/*
 * routersim.h - a cluster for routers, in one thread from one seed: nodes with replicas of shards
 * that lag behind, messages that take their time or are lost, nodes that die, hang and come back,
 * leaders that change, maps that are old. What it holds is simple enough to be looked through.
 */
#ifndef ROUTERSIM_H
#define ROUTERSIM_H

#include "router/router.h"

enum {
  RS_NODES = 5,
  RS_SHARDS = 6, /* to begin with */
  RS_MOST = 12,  /* when they have been split */
  RS_SLOTS = 64,
  RS_REPLICAS = 3,
  RS_DIM = 4,
  RS_LOG = 20000,
  RS_EVENTS = 4096,
  RS_COLL = 7
};

struct rs_row {
  int64_t key;
  int64_t stamp; /* of the write that wrote it */
  float v[RS_DIM];
  bool gone;
};

struct rs_shard {
  struct rs_row log[RS_LOG / RS_SHARDS];
  uint32_t n;
  uint64_t epoch;
  uint64_t rev;
  uint32_t primary; /* a node */
  uint32_t nodes[RS_REPLICAS];
  uint32_t applied[RS_REPLICAS];
  uint64_t ops[4096]; /* counts of the client that were applied */
  uint32_t n_ops;
  uint64_t generation;
  int64_t fenced_us; /* takes no writes until then, and is split; 0: not under way */
};

struct rs_event {
  int64_t at_us;
  enum { RS_NONE, RS_ASK, RS_ANSWER, RS_DOWN, RS_MAP } kind;
  uint32_t node;
  uint64_t request;
  uint32_t deadline_ms;
  void *data;
  size_t n;
};

struct rs_faults {
  uint32_t loss;    /* of 1,000 messages */
  uint32_t slow;    /* of 1,000 messages: 50 times as late */
  uint32_t refused; /* of 1,000 requests: overloaded or unavailable */
  uint32_t deaths;  /* of 1,000 steps of 10 ms */
  uint32_t moves;   /* likewise: a leader changes though all are well */
  uint32_t splits;  /* likewise: a shard begins to be split */
  bool lag;         /* replicas are behind the primary */
};

struct rs {
  uint64_t random;
  int64_t now_us;
  struct rs_faults faults;
  struct router *router;
  struct rs_shard shards[RS_MOST];
  uint32_t n_shards;
  uint16_t of[RS_SLOTS]; /* whose each slot is */
  struct {               /* what the documents say, which is later */
    uint16_t of[RS_SLOTS];
    uint64_t generation[RS_MOST];
    uint32_t n_shards;
  } told;
  struct {
    bool dead;       /* takes and says nothing; the router is told */
    bool hung;       /* the same, but it is not told */
    uint32_t slower; /* times; 0: as others */
    uint32_t asked;
    int64_t until_us;
  } nodes[RS_NODES + 1];
  struct rs_event events[RS_EVENTS];
  uint32_t n_events;
  bool map_wanted;
  int64_t map_rev;
  /* What the router did. */
  uint64_t sent;
  uint64_t cancelled;
  size_t most_bytes; /* under way to one node */
  size_t node_bytes[RS_NODES + 1];
  void (*done)(struct rs *s, void *user, struct router_result *result);
  void *arg;
};

uint32_t rs_random(struct rs *s, uint32_t n);
/* A cluster of `shards` of the policy by hash of the key, and a router for it. */
void rs_open(struct rs *s, uint64_t seed, const struct router_options *options);
void rs_close(struct rs *s);
/* Until nothing is left to do before then. */
void rs_run(struct rs *s, int64_t until_us);
/* The newest state of a key; NULL: it is not there. Of a shard, up to `n` entries of its log. */
const struct rs_row *rs_find(const struct rs_shard *shard, uint32_t n, int64_t key);
/* The shard that the key belongs to. */
uint32_t rs_shard_of(const struct rs *s, int64_t key);
/* Puts a row in its shard, on all replicas, without a router. */
void rs_put(struct rs *s, const struct rs_row *row);
void rs_kill(struct rs *s, uint32_t node, bool hang, int64_t for_us);
void rs_lead(struct rs *s, uint32_t shard, uint32_t node);
/* The present documents as a map for the router. */
struct router_map *rs_map(const struct rs *s);

#endif
