/* state.h - what a router holds. For the files of this folder only. */
#ifndef CLUSTER_ROUTER_STATE_H
#define CLUSTER_ROUTER_STATE_H

#include "router/health.h"
#include "router/router.h"
#include "router/smart.h"
#include "router/split.h"
#include "router/timers.h"

enum {
  STATE_HOPS = 3,        /* redirects that are followed at once */
  STATE_WINDOW = 48,     /* writes of one shard between the oldest open and the newest: less than
                            replica/dedup.h remembers */
  STATE_PAGE = 16384,    /* as vecdb_query */
  STATE_POLL_US = 1000,  /* before looking again for room */
  STATE_LOOK_US = 50000, /* between two looks for another primary than the silent one */
  STATE_BACKOFF_US = 10000,
  STATE_BACKOFF_MAX_US = 250000
};

/* What is known of a shard beyond its map. */
struct shard_state {
  uint64_t epoch; /* a fence that an answer told, and who led then */
  uint64_t rev;
  uint32_t primary;
  uint64_t next; /* number of the next write, from 1 */
  uint64_t open; /* bit i: write next - 1 - i is under way */
};

struct coll_state {
  struct coll_state *next;
  struct router_map *map;
  uint32_t n_shards;
  struct shard_state *shards;
  struct smart smart;
};

enum part_state { PART_WAITING, PART_SENT, PART_DONE, PART_FAILED };

/* A message that was sent. */
struct try {
  uint64_t id; /* 0: none */
  uint32_t node;
  int64_t sent_us;
  size_t bytes;
};

/* What one shard is asked. */
struct part {
  struct timer timer;
  struct request *request;
  enum part_state state;
  struct router_share share;
  struct part *before; /* of the same shard, must be done first */
  struct try tries[2]; /* the second is the hedge */
  uint32_t attempts;
  int64_t again_us; /* not tried again before */
  uint32_t hops;
  uint32_t avoid;  /* node that failed it last */
  bool to_primary; /* a replica was not fresh enough */
  bool paid;       /* the next try is free: the first one, or a redirect */
  bool sent_once;
  bool doubt; /* a write's try ended without a word: it may have happened */
  bool hedged;
  uint64_t count; /* of its op id; 0: none yet */
  uint64_t epoch; /* fence that the payload was written for */
  uint64_t rev;
  uint64_t schema;
  uint64_t generation;
  struct wire_out payload;
  /* Its answer, or why it failed. */
  int32_t code;
  uint32_t retry_ms;
  struct wire_message answer;
  struct wire_mem mem;
  void *data;
  int64_t row;
  int64_t position;
  char field[64];
  char words[WIRE_MESSAGE];
};

struct request {
  struct timer timer; /* of its deadline */
  struct request *next;
  struct request **link;
  struct router_ask ask;
  struct coll_state *coll;
  uint32_t n_parts;
  uint32_t open; /* parts that are neither done nor failed */
  struct part **parts;
  uint32_t held; /* somebody up the stack still looks at it */
  bool over;
  struct router_map *began; /* a write of rows: the map that they were made for; else NULL */
  bool all_shards;
  uint32_t timers; /* that it may set */
  size_t bytes;
  struct wire_mem mem;
};

struct slot {
  struct part *part; /* NULL: free */
  uint32_t which;
  uint32_t generation;
  uint32_t next_free;
};

struct router {
  struct router_options options;
  struct router_host host;
  struct coll_state *colls;
  struct request *requests;
  struct timers timers;
  struct node_health *nodes;
  uint32_t n_nodes;
  struct slot *slots;
  uint32_t n_slots;
  uint32_t free_slot; /* n_slots: none */
  struct budget hedges;
  struct budget retries;
  uint64_t random;
  struct router_stats stats;
};

uint32_t state_random(struct router *r, uint32_t n);
struct coll_state *state_coll(const struct router *r, uint32_t collection);
/* The node's health, made when it is first met; NULL: no memory. */
struct node_health *state_node(struct router *r, uint32_t node);
/* Whether the request only reads. */
bool state_reads(const struct request *q);
/* Rows that a query gives at most. */
static inline uint32_t state_page(const struct wire_page *page) {
  return page->limit ? page->limit : STATE_PAGE;
}
/* The shard with what answers have told since. */
struct router_shard state_shard(const struct coll_state *coll, uint32_t number);

/* ask.c: the parts of a request; a code of vecdb.h or WIRE_*, with words in `error`. */
int ask_parts(struct router *r, struct request *q, vecdb_error *error);
/* Which shards the request concerns, by the map of now; one part more of it, NULL: no memory. */
int ask_shares(struct router *r, struct request *q, struct router_shares *out, vecdb_error *error);
struct part *ask_part(struct request *q, struct router_share share, struct part *before);
/* The part's message for this fence; false: no memory, or too large. */
bool ask_write(struct router *r, struct part *p, const struct router_shard *shard);

/* Whether the rows of a write have values that were computed, for a field that is another one by
   now, or none: then they are not what the schema says. */
bool ask_outdated(const struct request *q);

/* router.c: one part has ended. */
/* What it keeps in memory is counted; it ends without an answer; it waits no more. */
void request_account(struct router *r, struct request *q);
void request_give_up(struct router *r, struct request *q, const vecdb_error *error);
void request_expire(struct router *r, struct request *q, int32_t code, const char *why);
void request_part_ended(struct router *r, struct request *q, const struct part *p, int64_t now_us);

/* part.c: goes on with a part whose time has come. */
void part_step(struct router *r, struct part *p, int64_t now_us);
/* It is over; the request goes on or ends. */
void part_end(struct router *r, struct part *p, enum part_state state, int64_t now_us);
/* Nobody waits for its tries any more, and its number is free. */
void part_cancel(struct router *r, struct part *p);
/* A try came to nothing. */
void part_lost(struct router *r, struct part *p, uint32_t which, int64_t now_us);

/* divide.c: whether a shard's slots differ; the numbers of new shards, which go on where those of
   their slots' former shards are; and a request under way. */
int divide_order(const struct router_map *old, const struct router_map *now);
void divide_numbers(struct coll_state *coll, const struct router_map *old);
void divide_request(struct router *r, struct request *q, const struct router_map *old);

/* choose.c: a node for the part, which is not `but`; 0: none at the moment. */
uint32_t choose_node(struct router *r, const struct part *p, uint32_t but, int64_t now_us);

#endif
