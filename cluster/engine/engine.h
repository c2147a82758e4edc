/*
 * engine.h - where the collections are that the server serves: in a database of this process
 * (local.c), or on the nodes of a cluster (remote.c). Each function is the one of vecdb.h whose
 * name it has, with its arguments, errors and ownership; what differs is said here. What an engine
 * cannot do is VECDB_ERR_UNSUPPORTED, with a sentence. Codes are those of vecdb.h, or those of
 * client/vecdb_client.h. Any thread; a handle of a collection and rows belong to one at a time.
 */
#ifndef CLUSTER_ENGINE_H
#define CLUSTER_ENGINE_H

#include "vecdb.h"

struct engine_ops;
struct engine_rows_ops;

struct engine {
  const struct engine_ops *ops;
};

/* What a read must see. A database of this process meets each of them. */
enum engine_level {
  ENGINE_STRONG,  /* every write that was answered before */
  ENGINE_SESSION, /* what went through this server */
  ENGINE_BOUNDED, /* what is not much older */
  ENGINE_EVENTUAL
};

/* How a request wants its calls made; zero: strong, whole, in the engine's time. */
struct engine_how {
  enum engine_level level;
  uint32_t timeout_ms; /* of calls that have no vecdb_control of their own; 0: the engine's */
  bool partial;        /* reads: what gave no answer in time may be missing, and is said to be */
};

/* A collection as one request holds it. */
struct engine_collection {
  const struct engine_ops *ops;
  struct engine_how how; /* may be changed between calls */
};

struct engine_rows {
  const struct engine_rows_ops *ops;
};

/* ---- Opening ---- */

/* As vecdb_open. NULL with `error` filled. */
struct engine *engine_local_open(const char *path, const vecdb_options *options,
                                 vecdb_error *error);

/* A cluster, as vecdb_client_options says; and how collections that are created are spread. */
struct engine_cluster {
  const char *nodes;
  const char *id;
  const char *ca_file; /* NULL: no TLS, likewise the next two */
  const char *cert_file;
  const char *key_file;
  uint32_t client;
  uint32_t timeout_ms; /* of calls that say nothing else */
  uint32_t shards;
  uint32_t replicas;
  /* Collections that have such a field lay the rows of each of its values together, as
     vecdb_client_layout says; it is needed as long as the engine. NULL: none. */
  const char *tenant_field;
};
/* Connections are made when they are needed: it opens also while no node can be reached. NULL with
   `error` filled. */
struct engine *engine_remote_open(const struct engine_cluster *cluster, vecdb_error *error);

/* A copy of chosen collections of that cluster, in a database of this process, which follows them:
   cluster/edge. It is read only: writes are READ_ONLY. */
struct engine_edge {
  struct engine_cluster cluster;
  const char *collections;  /* names with commas; "*": all */
  const char *tenant_field; /* with tenants */
  const char *tenants;      /* with commas; "": all rows */
  uint32_t poll_ms;
  void (*log)(void *arg, const char *line);
  void *arg;
};
struct engine *engine_edge_open(const char *path, const vecdb_options *options,
                                const struct engine_edge *edge, vecdb_error *error);

/* The name of a code, such as "NOT_FOUND" and "OVERLOADED". */
const char *engine_code_name(int code);

/* Rows in memory are sealed first. The engine is gone also when it returns an error, which says
   that something could not be written. */
int engine_close(struct engine *engine, vecdb_error *error);
int engine_backup(struct engine *engine, const char *path, vecdb_error *error);
int engine_rekey(struct engine *engine, const char *key_id, uint32_t flags, vecdb_error *error);
int engine_memory_stats(struct engine *engine, vecdb_memory *out, vecdb_error *error);

/* ---- Collections ---- */

int engine_collection_create(struct engine *engine, const char *name, const vecdb_schema *schema,
                             struct engine_collection **out, vecdb_error *error);
int engine_collection_get(struct engine *engine, const char *name, struct engine_collection **out,
                          vecdb_error *error);
int engine_collection_drop(struct engine *engine, const char *name, vecdb_error *error);
int engine_collection_list(struct engine *engine, int (*visit)(void *user, const char *name),
                           void *user, vecdb_error *error);
void engine_collection_release(struct engine_collection *collection);
const char *engine_collection_name(const struct engine_collection *collection);
const vecdb_schema *engine_collection_schema(const struct engine_collection *collection);
const char *engine_expiry(const struct engine_collection *collection, uint64_t *ttl_ms);
/* Of a cluster: its rows, and nothing else. */
int engine_collection_stats(struct engine_collection *collection, vecdb_stats *out,
                            vecdb_error *error);

/* A replica of a shard of a collection in a cluster. */
struct engine_replica {
  uint32_t shard;
  uint32_t node;
  uint32_t wanted; /* replicas that the shard should have */
  bool primary;
  bool reached; /* its node has answered */
  bool known;   /* and the primary's, so that is known what follows */
  uint64_t behind; /* entries of the shard's log that are committed and not in its rows yet */
  /* If its node has answered, of its rows: how many, their segments and bytes, what is to be merged
     and the indexes that were built; the rest is zero. */
  vecdb_stats stats;
};
/* Calls visit with each replica that is in sync, shard by shard. A database has none. */
int engine_replicas(struct engine_collection *collection,
                    void (*visit)(void *user, const struct engine_replica *replica), void *user,
                    vecdb_error *error);

/* Of a copy: how old the collection may be, in ms: all that was acknowledged so long ago is in it.
   UINT64_MAX: not known. False: it is no copy, and always as of now. */
bool engine_age(const struct engine_collection *collection, uint64_t *age_ms);

/* Calls visit with each collection that is followed, also one that is not here; false: the engine
   is no copy. *up: the cluster has answered when it was asked last. */
struct engine_copy {
  char name[VECDB_MAX_NAME + 1];
  bool whole; /* it can be read */
  uint64_t age_ms;
  uint64_t upserts, deletes, copies; /* rows since the start, and whole copies */
};
bool engine_copies(const struct engine *engine, bool *up,
                   void (*visit)(void *user, const struct engine_copy *copy), void *user);

int engine_fields_add(struct engine_collection *collection, const vecdb_schema *fields,
                      const vecdb_control *control, vecdb_error *error);
int engine_field_drop(struct engine_collection *collection, const char *field,
                      const vecdb_control *control, vecdb_error *error);
int engine_field_rename(struct engine_collection *collection, const char *field, const char *name,
                        const vecdb_control *control, vecdb_error *error);
int engine_json_index_create(struct engine_collection *collection, const char *field,
                             const vecdb_json_index *index, const vecdb_control *control,
                             vecdb_error *error);
int engine_json_index_drop(struct engine_collection *collection, const char *field,
                           const vecdb_json_index *index, const vecdb_control *control,
                           vecdb_error *error);
int engine_expire(struct engine_collection *collection, const char *field, uint64_t ttl_ms,
                  const vecdb_control *control, vecdb_error *error);
int engine_optimizer_set(struct engine_collection *collection, const char *field,
                         const vecdb_optimizer *optimizer, const vecdb_control *control,
                         vecdb_error *error);
int engine_optimizer_get(struct engine_collection *collection, const char *field,
                         vecdb_optimizer *optimizer, vecdb_error *error);
int engine_flush(struct engine_collection *collection, const vecdb_control *control,
                 vecdb_error *error);
int engine_compact(struct engine_collection *collection, const vecdb_control *control,
                   vecdb_error *error);
int engine_index_create(struct engine_collection *collection, const char *field,
                        const vecdb_index_params *params, const vecdb_control *control,
                        vecdb_error *error);
/* Whether engine_explain costs no more than making a plan, since nobody else is asked. */
bool engine_plans_here(const struct engine_collection *collection);
/* Whether engine_index_create is offered; else the engine chooses indexes itself. */
bool engine_takes_index(const struct engine_collection *collection);
int engine_index_drop(struct engine_collection *collection, const char *field, vecdb_error *error);

/* ---- Writes ---- */

/* Whether the engine has numbers for rows that no other server gets; and n of them. */
bool engine_has_numbers(const struct engine *engine);
int engine_numbers(struct engine *engine, uint32_t n, int64_t *first, vecdb_error *error);

int engine_insert(struct engine_collection *collection, const vecdb_batch *batch, int64_t *ids,
                  vecdb_error *error);
int engine_upsert(struct engine_collection *collection, const vecdb_batch *batch, int64_t *ids,
                  vecdb_error *error);
int engine_update(struct engine_collection *collection, const vecdb_batch *batch, uint32_t flags,
                  uint8_t *found, vecdb_error *error);
int engine_push(struct engine_collection *collection, const vecdb_push_params *params,
                uint64_t *versions, vecdb_error *error);
int engine_delete(struct engine_collection *collection, const vecdb_keys *keys, uint64_t *deleted,
                  vecdb_error *error);
int engine_delete_where(struct engine_collection *collection, const vecdb_filter *filter,
                        uint64_t *deleted, const vecdb_control *control, vecdb_error *error);

/* ---- Reads ---- */

int engine_search(struct engine_collection *collection, const vecdb_search_params *params,
                  vecdb_hit *hits, uint32_t *counts, vecdb_search_info *info,
                  struct engine_rows **rows, vecdb_error *error);
int engine_search_range(struct engine_collection *collection, const vecdb_search_params *params,
                        float radius, vecdb_hit *hits, uint32_t *count, vecdb_search_info *info,
                        struct engine_rows **rows, vecdb_error *error);
int engine_search_groups(struct engine_collection *collection, const vecdb_search_params *params,
                         const vecdb_group_by *by, vecdb_hit *hits, uint32_t *counts,
                         vecdb_search_info *info, struct engine_rows **rows, vecdb_error *error);
int engine_search_hybrid(struct engine_collection *collection, const vecdb_hybrid_params *params,
                         vecdb_hit *hits, uint32_t *counts, vecdb_search_info *info,
                         struct engine_rows **rows, vecdb_error *error);
int engine_explain(struct engine_collection *collection, const vecdb_search_params *params,
                   char *text, size_t capacity, size_t *length, vecdb_error *error);
int engine_query(struct engine_collection *collection, const vecdb_query_params *params,
                 struct engine_rows **out, vecdb_error *error);
int engine_count(struct engine_collection *collection, const vecdb_filter *filter, uint64_t *count,
                 vecdb_error *error);
int engine_sparse_counts(struct engine_collection *collection, const char *field,
                         const vecdb_filter *filter, const uint32_t *indices, size_t n,
                         uint64_t *counts, uint64_t *rows, vecdb_error *error);
int engine_get(struct engine_collection *collection, const vecdb_keys *keys,
               const char *const *fields, size_t n_fields, uint8_t *found,
               struct engine_rows **out, vecdb_error *error);
int engine_pull(struct engine_collection *collection, const char *field, const vecdb_keys *keys,
                float *values, size_t stride, uint64_t *versions, vecdb_error *error);

/* ---- Rows ---- */

void engine_rows_free(struct engine_rows *rows);
size_t engine_rows_count(const struct engine_rows *rows);
size_t engine_rows_n_fields(const struct engine_rows *rows);
const char *engine_rows_field(const struct engine_rows *rows, size_t i);
int engine_rows_find(const struct engine_rows *rows, const char *field);
vecdb_value engine_rows_value(const struct engine_rows *rows, size_t row, size_t column);

#endif
