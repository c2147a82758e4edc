/* follow.h - one collection that is followed: what is known of it, and a look at what has changed.
   For the edge's thread alone, but where it says so. */
#ifndef CLUSTER_EDGE_FOLLOW_H
#define CLUSTER_EDGE_FOLLOW_H

#include <pthread.h>
#include <stdatomic.h>

#include "edge/state.h"
#include "wire/message.h"

/* What all that are followed have in common. */
struct follow_of {
  vecdb *db;
  vecdb_client *client;
  vecdb_collection *state;
  const char *tenant_field; /* NULL: all rows are followed */
  vecdb_string *tenants;
  uint32_t n_tenants;
  uint64_t filter; /* a hash of the two */
  pthread_mutex_t *mutex;     /* of `info` and fresh_us */
  const atomic_bool *stopped; /* what takes long ends */
};

struct follow {
  struct follow *next;
  const struct follow_of *of;
  struct edge_saved saved;
  vecdb_client_about *about;   /* NULL: not asked for yet */
  vecdb_collection *rows;      /* NULL: there are none */
  const vecdb_field *key;      /* of the rows' schema */
  vecdb_client_call call;      /* strong, of this collection alone */
  uint32_t chunk;              /* rows that are asked for at once */
  int64_t *numbers;            /* of the tenants, where their field is no text */
  int64_t described_us;
  int64_t saved_us;
  bool changed;                /* positions are not saved yet */
  int64_t fresh_us;            /* own clock: what was acknowledged then is here */
  struct follow_part *part;    /* of a copy that was broken off; NULL: of none */
  struct edge_info info;
};

/* What is kept of it is read: it can be looked at before the cluster answers. NULL: no memory, or a
   database that fails. */
struct follow *follow_open(const struct follow_of *of, const char *name, vecdb_error *error);
void follow_close(struct follow *f);
/* Asks what has changed, and writes it; a code. */
int follow_step(struct follow *f, vecdb_error *error);
int64_t follow_now_us(void);

/* Whose rows: `extra`, unless NULL, and the tenants' field; `param` has room for two. */
bool follow_filter(const struct follow *f, const char *extra, char *text, size_t n,
                   vecdb_param *params, size_t *n_params);

/* The names of all fields but the key, which rows have anyway; room for VECDB_MAX_FIELDS. */
extern const char *const follow_only_key[]; /* as fields of a query, none of them */
uint32_t follow_fields(const struct follow *f, const char **names);

/* fetch.c: reads the rows with these keys, which ascend, again, writes those that are there and
   removes those that are not. */
int follow_fetch(struct follow *f, const vecdb_keys *keys, vecdb_error *error);
/* The same with the rows here that pass a filter; FILTER: it cannot be understood here. */
int follow_fetch_where(struct follow *f, const vecdb_filter *filter, vecdb_error *error);
/* Writes the rows of an answer. */
int follow_write(struct follow *f, const vecdb_client_answer *answer, vecdb_error *error);
int follow_delete(struct follow *f, const vecdb_keys *keys, vecdb_error *error);
/* Of two keys: negative, 0, positive, as vecdb_query orders them. */
int follow_key_order(vecdb_value a, vecdb_value b);
vecdb_value follow_key_at(const vecdb_keys *keys, size_t i);
int follow_fail(vecdb_error *error, int code, const char *words);

/* Whether there are no more shards than are followed; CLOSED: there are. Asked when all of them
   have answered. */
int follow_all_told(struct follow *f, vecdb_error *error);

/* copy.c: all rows, and the positions that they are at least of. One that was broken off goes on
   where it was, unless it was forgotten, as what has another schema or other shards must be. */
int follow_copy(struct follow *f, vecdb_error *error);
void follow_copy_forget(struct follow *f);

#endif
