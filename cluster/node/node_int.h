/* node_int.h - a node's parts, for its own files. */
#ifndef CLUSTER_NODE_NODE_INT_H
#define CLUSTER_NODE_NODE_INT_H

#include "meta/cache.h"
#include "meta/etcd.h"
#include "node/files.h"
#include "node/jlog.h"
#include "node/machine.h"
#include "node/node.h"
#include "replica/link.h"
#include "wire/touched.h"

enum { NODE_PATH = 4096, NODE_TICK_US = 50000, NODE_TTL_S = 5, NODE_FLUSH = 1024 };

/* A connection. It lives as long as it is up or an answer for it is being made. */
struct node_conn {
  struct net_conn *conn; /* NULL: it is gone */
  uint32_t node;         /* at the other end */
  uint32_t uses;
};

/* The way to another node, for what replicas say: two connections that this side has made. */
enum node_way { NODE_MESSAGES, NODE_PIECES, NODE_WAYS };
struct node_peer {
  uint32_t node;
  struct net_conn *conn[NODE_WAYS];
  bool up[NODE_WAYS];
  int64_t again_us[NODE_WAYS]; /* not called before */
};

enum node_live_step { LIVE_GRANT, LIVE_CLEAR, LIVE_PUT, LIVE_KEEP, LIVE_LOOK };
struct node_live {
  enum node_live_step step; /* the next one, or the one under way */
  bool asked;
  int64_t due_us;
  int64_t lease;
  int64_t incarnation; /* 0: not registered */
};

/* The steps of moves, which one node of the cluster takes. */
struct node_control {
  bool asked;    /* a transaction is under way */
  bool standing; /* it is that for the key */
  int64_t key;   /* the revision at which this process has made it; 0: never */
  int64_t due_us;
};

/* A replica of a shard. */
struct node_replica {
  struct node_replica *next;
  struct node *node;
  uint32_t collection, number;
  struct rep *rep;
  struct rep_link *link;
  struct jlog *log;
  struct machine *machine;
  struct wire_mem mem; /* of the schema */
  vecdb_schema schema;
  int64_t alter_us;       /* its schema's next version is not offered again before */
  uint64_t alter_version; /* that was offered last */
  uint64_t alter_bad;     /* the document's version whose history was said to be of no use */
  struct {
    uint64_t from, to; /* versions of the rows and of the document; 0: nothing is known */
    uint64_t broke;    /* wire_history_broke of them */
  } alter_broke;
  enum doc_ack ack;
  struct work_job sync;
  bool syncing, sync_ok;
  bool stopped;        /* it is to be closed, and opened again */
  bool closing;
  int64_t check_us;    /* when its replicas are to be compared again; 0: not known yet */
  bool expiring;       /* a thread looks for rows that have expired */
  int64_t expire_us;   /* which is not done again before */
  int64_t move_us;     /* a move's step is not said again before */
  bool split_pending;  /* the log has an entry of a split that is not applied yet */
  uint64_t split_ticket; /* that entry's */
  bool splitting;      /* a step of its split is being written */
  int64_t split_us;    /* which is not tried again before */
  const char *split_why; /* why the last one was not written; NULL: it was */
  int64_t split_sure;  /* the store has said that the split's document has this mod */
  uint32_t fork_tries; /* that have failed, of this process and split */
  int64_t fenced_us;   /* since when copies are waited for, as far as this primary knows; 0: not */
  int64_t away_us;     /* since when the metadata store is missed there; 0: it is not */
  bool split_behind;   /* rows may be another shard's by now, and its log knows nothing of that */
  int64_t held_us;     /* since when it waits for the new shard to lead itself; 0: it does not */
  bool claiming;       /* its store is being written into the record */
  uint32_t reading;    /* jobs that use its rows */
  struct node_ask *asks;  /* that wait */
  struct node_ask *reads; /* that threads are at */
};

/* A request that is not answered yet. */
struct node_ask {
  struct node_ask *next; /* of the replica */
  struct node *node;
  struct node_replica *replica;
  struct node_conn *from;
  uint64_t request;
  uint64_t ticket;
  int64_t until_us;
  uint32_t left_ms; /* when a thread begins with it */
  bool write;
  bool cancelled;        /* nobody waits for it */
  volatile int32_t halt; /* a thread that is at it may stop */
  bool waits; /* a read, until the machine has seen `seq` */
  uint64_t seq;
  void *payload;
  uint32_t bytes;
  struct wire_mem mem;
  struct wire_message message;
  struct wire_result result;
  struct rep_pos position;      /* a read: what it may see */
  struct node_changes *changes; /* CHANGES: what the log had */
  struct machine_data *data; /* that a thread reads */
  struct work_job job;
  struct wire_out out;
};

struct node {
  struct node_config config;
  struct doc_uuid store;
  int lock;
  int epoll, stop;
  int64_t now_us;
  int64_t tick_us; /* the next tick */
  struct meta_store *meta;
  struct cache *cache;
  struct net *net;
  struct work *work, *syncs;
  struct work *admin;     /* one thread that waits for the metadata store, and removes folders */
  bool raising;           /* which raises the cluster's version, for a push */
  struct work *tidy;      /* one thread that merges files when asked to, which may take long */
  struct node_ask *named; /* that wait for the cache to be as new as `seq` */
  bool removing;          /* a folder */
  struct node_live live;
  struct node_control control;
  struct node_peer *peers;
  size_t n_peers, room_peers;
  struct node_replica *replicas;
  bool look; /* documents have changed: which replicas should be here? */
  int64_t look_us; /* not looked before: one that cannot be opened is not tried all the time */
  uint64_t lives, tickets;
  uint64_t born; /* random: tells this process from others */
};

__attribute__((format(printf, 2, 3))) void node_log(struct node *n, const char *format, ...);
static inline uint64_t node_ms(const struct node *n) { return (uint64_t)n->now_us / 1000; }

/* node_dir.c: the folder, its lock and what it is of. */
bool node_dir_open(struct node *n, char *why);

/* node_live.c: the registration. */
void node_live_tick(struct node *n);
void node_live_doubt(struct node *n);

/* node_control.c: the steps of moves, when it is this node that takes them. */
void node_control_tick(struct node *n);

/* node_net.c: connections. */
bool node_net_open(struct node *n, char *why);
void node_net_tick(struct node *n);
/* A node that something may have to be said to: the way there is kept open, so that the first
   message of a takeover is not lost on one that is only being made. */
void node_net_know(struct node *n, uint32_t node);
void node_send(struct node *n, const struct rep_msg *m);
void node_conn_drop(struct node_conn *c);

/* node_replica.c: which replicas are here; node_host.c: what they are told and want. */
void node_replicas_look(struct node *n);
void node_replicas_tick(struct node *n);
void node_replicas_close(struct node *n);
struct node_replica *node_replica_of(struct node *n, uint32_t collection, uint32_t number);
void node_step(struct node_replica *r, const struct rep_event *ev);
void node_step_all(struct node *n, const struct rep_event *ev);
struct rep_host node_host(struct node_replica *r);
void node_applied(void *arg, const struct machine_outcome *o);
void node_link_event(void *arg, const struct rep_event *ev);

/* node_ask.c: requests; node_read.c: the reads of them, on a thread. */
void node_ask(struct node *n, struct node_conn *c, struct frame *frame);
void node_ask_answer(struct node_replica *r, const struct rep_answer *a);
void node_ask_applied(struct node_replica *r, const struct machine_outcome *o);
/* Sends what lies in a->out, or this code, or this message; each forgets the request. */
void node_ask_send(struct node_ask *a);
void node_ask_fail(struct node_ask *a, int code);
void node_ask_message(struct node_ask *a, struct wire_message *out);
/* All that no thread works on are answered with this code; merging files stops, and says so. */
void node_asks_end(struct node_replica *r, int code);
void node_asks_tick(struct node_replica *r);
void node_read_run(struct work_job *job);
/* The folder of a shard's replica; false: the name is too long. */
bool node_folder(const struct node *n, uint32_t collection, uint32_t number, char out[NODE_PATH]);

/* node_changes.c: takes from the log what was asked for, in the node's thread; a code. Makes the
   answer of it, on a thread; `touched` is zeroed, and freed when the message is written. */
int node_changes_take(struct node_replica *r, struct node_ask *a);
int node_changes_answer(const struct node_ask *a, vecdb_collection *rows, struct wire_message *out,
                        struct wire_touched *touched);

/* node_check.c: has the replicas compared, when it is time. */
void node_check_tick(struct node_replica *r);

/* node_admin.c: requests about collections, not about their rows; and a write that only nodes of
   DOC_SPEAKS_EXPECTED know, for which it has the cluster be of that version, or says who is not. */
void node_admin(struct node *n, struct node_ask *a);
void node_admin_run(struct node *n);
void node_admin_end(struct node *n);

/* node_alter.c: schemas that have changed, into the logs of the shards. */
void node_alter_tick(struct node_replica *r, const struct cache_view *view);
/* Whether it is a write whose sender knows the rows with a name that has another meaning, or none,
   in them by now. */
bool node_alter_refuses(struct node_replica *r, const struct wire_message *m);

/* node_expire.c: has rows removed whose time has come. */
void node_expire_tick(struct node_replica *r, const struct cache_view *view);

/* node_map.c: the documents of a collection that a router needs. False: none is of that name. */
bool node_map(struct node *n, const struct cache_view *view, const char *name, struct wire_mem *mem,
              struct wire_message *out);

/* node_split.c: what the replica does for a split of its shard. */
void node_split_tick(struct node_replica *r, const struct cache_view *view);
/* Whether an answer is to an entry of a split, which nobody else waits for. */
bool node_split_answer(struct node_replica *r, const struct rep_answer *a);
/* The data stands still, or will soon: nothing may be written but what ends that. */
bool node_split_still(const struct node_replica *r);

/* Whether the moved rows are the new shard's by the replica's data, before the documents say so;
   the collection's documents then: texts from malloc, NULL: no memory. */
bool node_split_released(const struct node_replica *r, const struct doc_split *split);
char *node_split_slots(const struct node_replica *r, const struct doc_slots *now,
                       const struct doc_split *split, size_t *n);
char *node_split_coll(const struct doc_coll *now, size_t *n);

/* node_gone.c: removes the data of collections that were dropped. */
void node_gone_look(struct node *n, const struct cache_view *view);
/* Whether the shard's folder has the copy for a split that came to nothing; it is removed. */
bool node_gone_stale(struct node *n, const struct cache_view *view, const struct doc_shard *doc);
/* Whether a copy for a split must wait for what is left of an earlier one's shard. */
bool node_gone_before(struct node *n, const struct cache_view *view, const struct doc_split *doc);

#endif
