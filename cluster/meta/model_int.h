/* model_int.h - what the files of the model share: the server, its clients, what is under way. */
#ifndef CLUSTER_META_MODEL_INT_H
#define CLUSTER_META_MODEL_INT_H

#include "meta/model.h"
#include "meta/model_kv.h"

enum model_kind { MODEL_TXN, MODEL_GRANT, MODEL_KEEP, MODEL_REVOKE };

/* Under way: to the server until it is applied, then back. `never`: it is lost on that way. */
struct model_request {
  struct model_request *next;
  struct model_client *client; /* NULL: nobody waits for the answer any more */
  enum model_kind kind;
  struct meta_txn *txn;
  int64_t number; /* a lease, or the seconds of one */
  int64_t apply_us;
  int64_t answer_us;
  int64_t deadline_us;
  uint64_t order;
  bool applied;
  bool writes;
  bool reset; /* the client learns at answer_us that it does not know */
  bool stale;
  struct model_reply reply;
  meta_done *done;
  void *arg;
};

struct model_watch {
  struct model_watch *next;
  struct model_client *client;
  uint64_t id;
  char *key;
  char *end;
  size_t n_key;
  size_t n_end;
  int64_t from;     /* the next revision to tell */
  int64_t told;     /* the first revision of the last batch, for repeating it */
  int64_t ready_us; /* when the next batch may be told; -1: not drawn yet */
  bool cancelled;
  meta_watched *watched;
  void *arg;
};

struct model_client {
  struct meta_store store;
  struct model_client *next;
  struct model_server *server;
  struct model_watch *watches;
  size_t n_pending;
  size_t n_watches;
  bool cut;
  bool running; /* callbacks are being called: watches are freed after them */
};

struct model_server {
  struct model_kv kv;
  struct model_faults faults;
  struct model_client *clients;
  struct model_request *requests; /* in the order they came */
  uint64_t random;
  uint64_t orders;
  uint64_t writes;
  int64_t last_lease;
  int64_t now_us;
  uint64_t last_watch;
  bool down;
};

uint64_t model_random(struct model_server *server);
/* Whether the thing of this chance in 10,000 happens now. */
bool model_happens(struct model_server *server, uint32_t chance);
/* Uniform in [low, high]. */
int64_t model_between(struct model_server *server, int64_t low, int64_t high);

/* Watches of model_watch.c. */
enum meta_status model_watch_add(struct meta_store *store, struct meta_bytes key,
                                 struct meta_bytes end, int64_t revision, meta_watched *watched,
                                 void *arg, uint64_t *id);
void model_watch_cancel(struct meta_store *store, uint64_t id);
int64_t model_watch_due(const struct model_client *client);
void model_watch_run(struct model_client *client);
void model_watch_close(struct model_client *client);

#endif
