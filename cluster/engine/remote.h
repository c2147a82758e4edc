/* remote.h - the engine that is a cluster: what its files share. */
#ifndef CLUSTER_ENGINE_REMOTE_H
#define CLUSTER_ENGINE_REMOTE_H

#include <pthread.h>

#include "client/vecdb_client.h"
#include "engine/ops.h"

/* What is known of a collection: its schema, and what went through this server. Kept while handles
   have it, and beyond that until it is asked for anew. */
struct remote_known {
  struct remote_known *next;
  char name[VECDB_MAX_NAME + 1];
  unsigned references; /* the list's is one */
  int64_t asked_us;    /* when it was as this says */
  vecdb_client_about *about;
  const vecdb_schema *schema; /* that of `about` */
  const vecdb_field *key;
  vecdb_client_session *session; /* of all who use it: only the client's thread touches it */
  struct remote_known *before;   /* as it was with an older schema, and has the session; or NULL */
};

struct remote {
  struct engine engine;
  vecdb_client *client;
  vecdb_client_layout layout; /* of collections that are created, */
  const char *tenant_field;   /* and the field that lays their rows together, if they have it */
  uint32_t timeout_ms;
  pthread_mutex_t mutex; /* of the list and all references */
  struct remote_known *known;
};

struct remote_collection {
  struct engine_collection base;
  struct remote *remote;
  struct remote_known *known;
  struct remote_former {
    struct remote_former *next;
    struct remote_known *known;
  } * former; /* whose schemas were given to who has the handle */
};

/* remote.c: forgets what is known of the name, when it may be no more so. */
void remote_forget(struct remote *remote, const char *name);

/* Asks a node what the collection is like; NULL with `error` filled. */
struct remote_known *remote_ask(struct remote *remote, const char *name, vecdb_error *error);

/* remote_alter.c */
int remote_fields_add(struct engine_collection *c, const vecdb_schema *fields,
                      const vecdb_control *control, vecdb_error *error);
int remote_field_drop(struct engine_collection *c, const char *field, const vecdb_control *control,
                      vecdb_error *error);
int remote_field_rename(struct engine_collection *c, const char *field, const char *name,
                        const vecdb_control *control, vecdb_error *error);
int remote_json_index_create(struct engine_collection *c, const char *field,
                             const vecdb_json_index *index, const vecdb_control *control,
                             vecdb_error *error);
int remote_expire(struct engine_collection *c, const char *field, uint64_t ttl_ms,
                  const vecdb_control *control, vecdb_error *error);
int remote_json_index_drop(struct engine_collection *c, const char *field,
                           const vecdb_json_index *index, const vecdb_control *control,
                           vecdb_error *error);

/* remote_rows.c: rows of an answer, which they take over. `fields`: as they were asked for; NULL:
   all. NULL: no memory, and the answer is freed. */
struct engine_rows *remote_rows(const struct remote_known *known, vecdb_client_answer *answer,
                                const char *const *fields, size_t n_fields, uint32_t n_queries);

/* remote_calls.c: how a call on the collection is made, and what its code tells of it. */
vecdb_client_call remote_call_of(struct engine_collection *c, const vecdb_control *control);
int remote_call_end(struct engine_collection *c, int code);

/* remote_push.c */
int remote_optimizer_set(struct engine_collection *c, const char *field,
                         const vecdb_optimizer *optimizer, const vecdb_control *control,
                         vecdb_error *error);
int remote_push(struct engine_collection *c, const vecdb_push_params *params, uint64_t *versions,
                vecdb_error *error);
int remote_pull(struct engine_collection *c, const char *field, const vecdb_keys *keys,
                float *values, size_t stride, uint64_t *versions, vecdb_error *error);

/* remote_calls.c: the functions on rows. */
int remote_insert(struct engine_collection *c, const vecdb_batch *batch, int64_t *ids,
                  vecdb_error *error);
int remote_upsert(struct engine_collection *c, const vecdb_batch *batch, int64_t *ids,
                  vecdb_error *error);
int remote_update(struct engine_collection *c, const vecdb_batch *batch, uint32_t flags,
                  uint8_t *found, vecdb_error *error);
int remote_delete(struct engine_collection *c, const vecdb_keys *keys, uint64_t *deleted,
                  vecdb_error *error);
int remote_delete_where(struct engine_collection *c, const vecdb_filter *filter, uint64_t *deleted,
                        const vecdb_control *control, vecdb_error *error);
int remote_search(struct engine_collection *c, const vecdb_search_params *params, vecdb_hit *hits,
                  uint32_t *counts, vecdb_search_info *info, struct engine_rows **rows,
                  vecdb_error *error);
int remote_search_groups(struct engine_collection *c, const vecdb_search_params *params,
                         const vecdb_group_by *by, vecdb_hit *hits, uint32_t *counts,
                         vecdb_search_info *info, struct engine_rows **rows, vecdb_error *error);
int remote_search_hybrid(struct engine_collection *c, const vecdb_hybrid_params *params,
                         vecdb_hit *hits, uint32_t *counts, vecdb_search_info *info,
                         struct engine_rows **rows, vecdb_error *error);
int remote_search_range(struct engine_collection *c, const vecdb_search_params *params,
                        float radius, vecdb_hit *hits, uint32_t *count, vecdb_search_info *info,
                        struct engine_rows **rows, vecdb_error *error);
int remote_query(struct engine_collection *c, const vecdb_query_params *params,
                 struct engine_rows **out, vecdb_error *error);
int remote_count(struct engine_collection *c, const vecdb_filter *filter, uint64_t *count,
                 vecdb_error *error);
int remote_sparse_counts(struct engine_collection *c, const char *field, const vecdb_filter *filter,
                         const uint32_t *indices, size_t n, uint64_t *counts, uint64_t *rows,
                         vecdb_error *error);
int remote_get(struct engine_collection *c, const vecdb_keys *keys, const char *const *fields,
               size_t n_fields, uint8_t *found, struct engine_rows **out, vecdb_error *error);
int remote_explain(struct engine_collection *c, const vecdb_search_params *params, char *text,
                   size_t capacity, size_t *length, vecdb_error *error);
int remote_compact(struct engine_collection *c, const vecdb_control *control, vecdb_error *error);
int remote_replicas(struct engine_collection *c,
                    void (*visit)(void *user, const struct engine_replica *replica), void *user,
                    vecdb_error *error);
int remote_stats(struct engine_collection *c, vecdb_stats *out, vecdb_error *error);

#endif
