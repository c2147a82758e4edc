/* client.h - a client's thread, what it is asked and what it knows. For the files of this folder.
 */
#ifndef CLUSTER_CLIENT_H
#define CLUSTER_CLIENT_H

#include <pthread.h>

#include "client/links.h"
#include "client/vecdb_client.h"
#include "router/router.h"

/* A call of a user, who waits for it. */
struct job {
  struct job *next;
  const char *name; /* of the collection */
  int64_t deadline_us;
  /* Fills in `message` by the collection's map; a code. NULL: the message is whole and goes to any
     node (CREATE, DROP, LIST, or a MAP for the user). */
  int (*prepare)(struct job *job, const struct router_map *map, vecdb_error *error);
  /* Of messages that go to any node: takes what was answered; a code. NULL: nothing is needed. */
  int (*taken)(struct job *job, const struct wire_message *m, vecdb_error *error);
  bool reads; /* changes nothing, so it may be asked again */
  uint32_t only; /* not 0: the id that the collection must have */
  bool again;  /* its rows were made anew, for another schema than they were made for first */
  bool looked; /* its map was asked for once more, for a field that the former one lacked */
  void *out;  /* of `taken` */
  uint32_t node; /* that STATS and COMPACT ask */
  const void *params; /* what prepare makes the message of */
  struct wire_message message;
  struct wire_mem mem;
  struct router_ask ask;
  struct router_result *result;
  vecdb_error error;
  int code;
  pthread_cond_t cond; /* its own: a job that is done wakes nobody else */
  bool done;
};

/* A collection by its name. */
struct entry {
  struct entry *next;
  char name[VECDB_MAX_NAME + 1];
  uint32_t collection; /* 0: its map has not come yet */
  bool asking;
  bool wanted;
  bool surveyed; /* the summaries of its shards were asked for */
  uint64_t schema; /* version that its map must have at least */
  int64_t asked_us;
  struct job *waiting; /* for the map */
};

/* A request that any node answers, or that no router makes: MAP, CREATE, DROP, STATS, COMPACT. */
struct plain {
  struct plain *next;
  uint64_t id; /* 0: not sent at the moment */
  uint32_t node;
  uint32_t shard; /* STATS */
  int64_t due_us; /* another try, when it was not sent; else when patience ends */
  int64_t deadline_us;
  int64_t since_us;    /* when it was wanted first */
  struct entry *entry; /* MAP, STATS */
  struct job *job;     /* CREATE, DROP */
  struct wire_message message;
};

struct vecdb_client {
  pthread_t thread;
  pthread_mutex_t mutex; /* of the list of new jobs, `closing`, and each job's `done` */
  struct job *new_jobs;
  bool closing;
  int wake; /* eventfd */
  uint32_t timeout_ms;
  pthread_mutex_t numbers_mutex; /* of numbers for rows that were taken and not given yet: */
  int64_t number;
  uint64_t n_numbers;
  /* The thread's own. */
  struct links *links;
  struct router *router;
  struct entry *entries;
  struct plain *plains;
  uint64_t next_id;
  int64_t now_us;
};

/* thread.c: hands the job to the thread and waits until it is done. */
void client_do(vecdb_client *c, struct job *job);
/* The same in two steps, for several jobs at once. */
void client_start(vecdb_client *c, struct job *job);
void client_wait(vecdb_client *c, struct job *job);
void *client_thread(void *arg);
/* The router's host and what links tell. */
struct router_host client_host(vecdb_client *c);
struct links_handler client_links(vecdb_client *c);
void client_finish(vecdb_client *c, struct job *job);
/* The collection is known: the router takes over. */
void client_route(vecdb_client *c, struct entry *e, struct job *job);
void client_fail(vecdb_client *c, struct job *job, int code, const char *words);
int64_t client_clock(void);

/* The job goes on when the collection's map has come, which is asked for. */
void client_look(vecdb_client *c, struct entry *e, struct job *job);

/* plain.c: asks for the collection's map, unless that is under way. */
void plain_map(vecdb_client *c, struct entry *entry);
/* Asks the shards of a collection where their vectors are, once. */
void plain_survey(vecdb_client *c, struct entry *entry);
void plain_job(vecdb_client *c, struct job *job);
void plain_answer(vecdb_client *c, uint32_t node, uint64_t id, const void *data, size_t n);
void plain_down(vecdb_client *c, uint32_t node, bool sent);
void plain_tick(vecdb_client *c);
int64_t plain_due(const vecdb_client *c);
/* The entry of the name, made when it is new; NULL: no memory. */
struct entry *plain_entry(vecdb_client *c, const char *name);
struct entry *plain_entry_of(const vecdb_client *c, uint32_t collection);
void plain_close(vecdb_client *c);

#endif
