/* world.h - the parts of the simulated cluster. Private to this folder. */
#ifndef CLUSTER_SIM_WORLD_H
#define CLUSTER_SIM_WORLD_H

#include "meta/cache.h"
#include "meta/model.h"
#include "replica/dedup.h"
#include "replica/link.h"
#include "replica/plant.h"
#include "replica/replica.h"
#include "sim/sim.h"

enum {
  SIM_NODES = 7,
  SIM_CLIENTS = 6,
  SIM_KEYS = 24,
  SIM_COLLECTION = 1,
  SIM_SHARD = 77,
  SIM_RECORDS = 4096,
  SIM_ASKED = 32
};

/* ---- base.c: random numbers, memory of one run, the queue of events ---- */

enum sim_kind {
  SIM_TICK,        /* node, life */
  SIM_MESSAGE,     /* node, data */
  SIM_SYNCED,      /* node, life, a: number of the sync */
  SIM_META,        /* node, life: the metadata store has something for it */
  SIM_START,       /* node: is started again */
  SIM_CLIENT,      /* a: client: its timer */
  SIM_ASK,         /* node, data: struct sim_ask reaches it */
  SIM_REPLY,       /* data: struct sim_reply reaches its client */
  SIM_FAULT,       /* the next fault */
  SIM_MOVES,       /* the controller of moves looks */
  SIM_HEAL
};

struct sim_event {
  uint64_t at, order;
  uint32_t kind, node;
  uint64_t life, a;
  void *data;
  uint32_t n;
};

struct sim_block {
  struct sim_block *next;
  size_t used, size;
};

/* ---- disk.c ---- */

struct sim_image {
  struct rep_state state;
  struct rep_pos base;
  const struct rep_entry **entries; /* from base.seq + 1 on */
  uint32_t n, room;
};

struct sim_change {
  enum { SIM_APPEND, SIM_CUT, SIM_SAVE, SIM_RESET, SIM_TRIM } kind;
  const struct rep_entry *entry;
  struct rep_state state;
  struct rep_pos pos;
};

struct sim_disk {
  struct sim_image now, durable;
  struct sim_change *changes; /* not yet durable */
  uint32_t n_changes, room;
  uint32_t syncing;  /* changes that the running sync covers */
  uint64_t sync;     /* its number */
  bool full;
};

/* ---- map.c: the machine ---- */

struct sim_data {
  struct rep_pos pos;
  uint64_t values[SIM_KEYS];
  struct rep_client clients[SIM_CLIENTS + 2];
  uint32_t n_clients;
};

struct sim_map {
  struct sim_data now, durable;
  uint64_t checked, digest; /* by the last check; 0: none */
  bool unreadable;          /* so the checks find, until other data takes its place */
  struct sim_data coming; /* a snapshot that is being received */
  uint32_t pieces;
  uint32_t node;
  uint64_t snapshots;
};

struct sim_node {
  uint32_t id;
  struct rep_uuid uuid; /* of its disk */
  uint64_t life;
  bool up;
  uint64_t paused_until;
  int64_t clock_offset_us;
  double clock_rate;
  struct rep *rep;
  struct sim_disk disk;
  struct sim_map map;
  /* Its line to the metadata store (meta.c). */
  struct meta_store *line;
  struct rep_link *link;
  enum { SIM_LEASE, SIM_DELETE, SIM_PUT, SIM_JOINED } join;
  bool joining, in_meta;
  int64_t lease, incarnation;
  uint64_t kept, meta_at;
  uint64_t sync_us, slow_until, full_until;
  uint64_t meta_cut_until; /* from the metadata store */
  uint64_t rotten;         /* an entry that cannot be read; 0: none */
  bool has_rotted;
  bool crashes_soon;
  bool newer; /* sends messages of a later version, which say more */
  bool stopped;
  /* What is remembered of it across its lives, for the checks. */
  uint64_t answered_epoch;
  uint64_t seen_commit, seen_rev, seen_applied;
  struct sim_world *world;
};

/* ---- clients ---- */

enum sim_op_kind { SIM_WRITE, SIM_READ };

/* What a write does, in its body. */
enum sim_does { SIM_PUT_KEY, SIM_DELETE_KEY, SIM_CHECK };

/* A write that a client has begun; its number in the world's list names it. */
struct sim_write {
  uint32_t client, key;
  uint64_t count;
  uint32_t does; /* a sim_does */
  bool done, local, excused;
  uint64_t floor; /* largest seq known to have been acknowledged before it began */
  uint64_t seq;   /* that it was applied at; 0: not committed */
  uint64_t orphan_on; /* bit per node */
};

struct sim_ask {
  uint32_t client, attempt;
  bool write;
  enum rep_level level;
  enum rep_ack_mode ack;
  uint64_t index; /* of the write */
  uint32_t key;
  uint64_t max_age;
  struct rep_pos token;
};

struct sim_reply {
  uint32_t client, attempt;
  struct rep_answer answer;
  uint64_t value;
  uint64_t at;
};

struct sim_client {
  uint32_t id;
  bool busy;
  uint64_t count;
  struct sim_ask ask;
  uint32_t node, tries;
  uint32_t attempt;
  uint64_t floor, deadline;
  struct rep_pos token;
  struct sim_ask *sent; /* the last request, to be repeated late */
};

/* ---- what is committed, by the checks ---- */

struct sim_commit {
  struct rep_pos pos;
  uint64_t digest; /* of the data after it */
  uint64_t at;
  uint32_t key;
  uint64_t value;
};

struct sim_leader {
  uint64_t epoch;
  uint32_t node;
};

struct sim_world {
  struct sim_options o;
  struct sim_result *result;
  uint64_t now, rng, order;
  struct sim_block *blocks;
  struct sim_event *heap;
  size_t n_events, heap_room;

  struct sim_node nodes[SIM_NODES + 1]; /* from 1 */
  uint32_t n_nodes;
  struct rep_options rep;
  struct sim_client clients[SIM_CLIENTS];

  struct rep_config *records; /* of all times */
  uint32_t n_records;
  struct rep_config asked[SIM_ASKED]; /* that transactions under way may make of the last */
  uint32_t n_asked;
  struct model_server *meta;
  struct meta_store *controller;
  struct doc_shard doc;
  uint64_t writes_seen;
  bool moving; /* the shard is moved about (moves.c) */
  struct {
    struct meta_store *line;
    struct cache *cache;
  } mover;
  bool meta_down;
  uint64_t meta_down_until, meta_slow_until, meta_lossy_until, watch_lag_until;

  bool blocked[SIM_NODES + 1][SIM_NODES + 1];
  double drop, twice, late;
  bool healing, ending;
  bool story;  /* nothing goes wrong but what a test does */
  bool forced; /* an operator has given up what was committed: only copies are compared now */
  uint64_t lives, syncs, snapshots;
  double async_share;
  bool upgrading; /* nodes come back as a later version, or as an older one again */
  uint64_t fault_gap_us, longest_us;
  uint32_t fault_kinds; /* of this run, one bit each */
  uint32_t armed;       /* the next node that sends a message of this type crashes; 0: none */
  uint32_t left_out;    /* this node does not come back at the end; 0: none */

  struct sim_write *writes;
  size_t n_writes, writes_room;
  struct sim_commit *ledger; /* [seq - 1] */
  size_t n_ledger, ledger_room;
  struct sim_data oracle;
  uint64_t client_max[SIM_CLIENTS + 1];
  struct sim_leader leaders[SIM_RECORDS];
  uint32_t n_leaders;
  uint64_t acked; /* largest seq that somebody outside has been told of */
  uint64_t healed_writes;
  uint8_t scratch[16384]; /* a message is written here first */
};

uint64_t sim_random(struct sim_world *w);
uint64_t sim_below(struct sim_world *w, uint64_t n);
bool sim_chance(struct sim_world *w, double p);
void *sim_memory(struct sim_world *w, size_t n); /* zeroed, until the run ends */
void sim_memory_free(struct sim_world *w);
/* Room for one more item of a growing array. */
void sim_room(struct sim_world *w, void *items, size_t *room, size_t n, size_t size);
void sim_push(struct sim_world *w, uint64_t at, struct sim_event ev);
bool sim_pop(struct sim_world *w, struct sim_event *ev);
void sim_fail(struct sim_world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_trace(struct sim_world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* disk.c */
struct rep_store sim_disk_store(struct sim_node *n);
void sim_disk_sync(struct sim_node *n);
/* True: that sync was still under way, and is done. */
bool sim_disk_synced(struct sim_node *n, uint64_t number);
void sim_disk_crash(struct sim_node *n);
void sim_disk_wipe(struct sim_node *n);
/* Whether what it has acknowledged can still be had from it. */
bool sim_disk_sound(const struct sim_node *n);
/* NULL: not in the image. */
const struct rep_entry *sim_image_at(const struct sim_image *i, uint64_t seq);

/* map.c */
struct rep_machine sim_map_machine(struct sim_node *n);
uint64_t sim_data_digest(const struct sim_data *d);
enum rep_applied sim_data_apply(struct sim_data *d, const struct rep_entry *e);
void sim_map_crash(struct sim_node *n);

/* moves.c */
void sim_moves_start(struct sim_world *w);
void sim_moves_event(struct sim_world *w, const struct sim_event *ev);
void sim_moves_end(struct sim_world *w);

/* meta.c */
extern const struct doc_uuid sim_meta_cluster;
void sim_meta_start(struct sim_world *w);
/* What the store is like now, for all lines. */
void sim_meta_weather(struct sim_world *w);
/* A transaction under way may make this of the record. */
void sim_meta_asked(struct sim_world *w, const struct rep_config *c);
const struct rep_config *sim_meta_record(const struct sim_world *w);
void sim_meta_txn(struct sim_node *n, const struct rep_txn *txn);
void sim_meta_refresh(struct sim_node *n);
void sim_meta_end(struct sim_world *w);
void sim_meta_join(struct sim_node *n);
void sim_meta_leave(struct sim_node *n);
void sim_meta_tick(struct sim_node *n);
void sim_meta_event(struct sim_node *n);
/* Sees to it that sim_meta_record is what is stored; the record as changed by the controller. */
void sim_meta_look(struct sim_world *w);
void sim_meta_put(struct sim_world *w, const struct rep_config *c);
/* As an operator by `vecdb cluster force`: the node leads with what it has. */
void sim_meta_force(struct sim_world *w, uint32_t node);
/* The node's lease runs out, which it does not know. */
void sim_meta_expire(struct sim_node *n);
/* The node's registration is away. */
void sim_meta_forget(struct sim_node *n);

/* node.c */
void sim_node_start(struct sim_node *n);
void sim_node_crash(struct sim_node *n, uint64_t back_us);
void sim_node_close(struct sim_node *n);
void sim_node_step(struct sim_node *n, const struct rep_event *ev);
void sim_node_event(struct sim_world *w, const struct sim_event *ev);
struct sim_node *sim_node_leading(struct sim_world *w);

/* client.c */
void sim_clients_start(struct sim_world *w);
void sim_client_event(struct sim_world *w, const struct sim_event *ev);
void sim_client_answer(struct sim_node *n, const struct rep_answer *a);
void sim_ask_arrives(struct sim_node *n, struct sim_ask *ask);

/* check.c */
void sim_check_node(struct sim_node *n);
void sim_check_open(struct sim_node *n);
void sim_check_send(struct sim_node *n, const struct rep_msg *m);
void sim_check_read(struct sim_node *n, const struct sim_ask *ask, const struct sim_reply *r);
void sim_check_reply(struct sim_world *w, const struct sim_client *c, const struct sim_reply *r);
void sim_check_record(struct sim_world *w, const struct rep_config *c);
void sim_check_wipe(struct sim_node *n);
void sim_check_end(struct sim_world *w);

/* run.c: for a test that tells one story. Clients write and read; min_isr is 2, acks are sync. */
struct sim_world *sim_story(const struct sim_options *o, uint32_t nodes,
                            struct sim_result *result);
void sim_story_for(struct sim_world *w, uint64_t us);
/* Lets everybody catch up, checks what a run's end is checked for, and frees the world. */
void sim_story_end(struct sim_world *w);

/* faults.c */
void sim_fault(struct sim_world *w);
void sim_heal(struct sim_world *w);
/* Whether the data outlives the loss of this node's disk, by what is promised. */
bool sim_can_spare(struct sim_node *n);
/* The node's disk is replaced; the node is back after that long. */
void sim_wipe(struct sim_node *n, uint64_t back_us);

#endif
