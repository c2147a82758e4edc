/* calls.h - what every call of a user begins and ends with. For the files of this folder. */
#ifndef CLUSTER_CLIENT_CALLS_H
#define CLUSTER_CLIENT_CALLS_H

#include "client/client.h"

/* Fills in the error, unless it is NULL; gives the code. */
int calls_fail(vecdb_error *error, int code, const char *field, const char *words);
/* Of an answer that a node gives to what it does not know: UNSUPPORTED. Other codes stay. */
int calls_older(int code, const char *field, vecdb_error *error);
/* Checks what all calls have, and puts it into the job. */
int calls_begin(vecdb_client *c, const char *name, const vecdb_client_call *call, struct job *job,
                vecdb_error *error);
/* UNSUPPORTED when the job's rows lack a field whose default is computed. */
int calls_computed(const struct job *job, const struct router_map *map, vecdb_error *error);
/* collections.c: waits until every shard has the schema that is known here. */
int collections_altered(vecdb_client *c, const char *name, const vecdb_client_call *call,
                        vecdb_error *error);
/* For jobs whose message needs no map. */
int calls_nothing(struct job *job, const struct router_map *map, vecdb_error *error);
/* Waits for it; what it says of failures goes to `error`. */
int calls_run(vecdb_client *c, struct job *job, vecdb_error *error);
/* All of them at the same time; the first failure is told. Results stay in the jobs. */
int calls_run_all(vecdb_client *c, struct job *jobs, size_t n, vecdb_error *error);
void calls_free(struct job *job);
/* Puts a filter, if there is one, into the job's message. */
void calls_filter(struct job *job, const vecdb_filter *filter);
/* A search as vecdb_client_search makes it, checked and not begun. */
int calls_begin_search(vecdb_client *c, const char *name, const vecdb_search_params *params,
                       const vecdb_client_call *call, struct job *job, vecdb_error *error);
/* The results, which it takes over and which stay where they are, as one whose hits are to be
   filled in (router_result_join); NULL: no memory, and nothing was taken. */
struct vecdb_client_answer *calls_join(struct router_result *const *results, uint32_t n,
                                       uint32_t n_queries, uint32_t k, struct router_hits *hits);

#endif
