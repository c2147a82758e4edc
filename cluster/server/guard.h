/*
 * guard.h - the one place where requests become calls of the engine on collections and rows. Each
 * function is the engine's of that name, within what call->who may: on collections that a role
 * grants, and, for who is bound to a tenant, on its rows alone. `make tidy` sees to it that no
 * handler calls the library past it. What is not permitted is VECDB_ERR_READ_ONLY, with the reason
 * in call->denied. Searches and queries are told to observe.h.
 */
#ifndef SRV_GUARD_H
#define SRV_GUARD_H

#include "server/call.h"

struct srv_guard;

/* NULL: no memory. */
struct srv_guard *srv_guard_new(void);
void srv_guard_free(struct srv_guard *guard);

/* ---- Collections: by the permission of the call's route -------------------------------------- */

int srv_guard_get_collection(struct srv_call *call, const char *name,
                             struct engine_collection **out, vecdb_error *error);
int srv_guard_create(struct srv_call *call, const char *name, const vecdb_schema *schema,
                     struct engine_collection **out, vecdb_error *error);
int srv_guard_drop(struct srv_call *call, const char *name, vecdb_error *error);
bool srv_guard_may_read(const struct srv_call *call, const char *collection);
/* Those that who asks may read. */
int srv_guard_list(struct srv_call *call, int (*visit)(void *user, const char *name), void *user,
                   vecdb_error *error);
/* For a tenant: how many rows it has, and nothing else. */
int srv_guard_stats(struct srv_call *call, struct engine_collection *collection, vecdb_stats *out,
                    vecdb_error *error);

/* ---- Reading --------------------------------------------------------------------------------- */

/* For a tenant, `info` has the time and whether hits are partial, and nothing else. */
int srv_guard_search(struct srv_call *call, struct engine_collection *collection,
                     const vecdb_search_params *params, vecdb_hit *hits, uint32_t *counts,
                     vecdb_search_info *info, struct engine_rows **rows, vecdb_error *error);
int srv_guard_search_range(struct srv_call *call, struct engine_collection *collection,
                           const vecdb_search_params *params, float radius, vecdb_hit *hits,
                           uint32_t *count, struct engine_rows **rows, vecdb_error *error);
int srv_guard_search_groups(struct srv_call *call, struct engine_collection *collection,
                            const vecdb_search_params *params, const vecdb_group_by *by,
                            vecdb_hit *hits, uint32_t *counts, vecdb_search_info *info,
                            struct engine_rows **rows, vecdb_error *error);
int srv_guard_search_hybrid(struct srv_call *call, struct engine_collection *collection,
                            const vecdb_hybrid_params *params, vecdb_hit *hits, uint32_t *counts,
                            struct engine_rows **rows, vecdb_error *error);
/* For a tenant, whether the search is good, and no plan. */
int srv_guard_explain(struct srv_call *call, struct engine_collection *collection,
                      const vecdb_search_params *params, char *text, size_t capacity,
                      size_t *length, vecdb_error *error);
/* The plan, whoever asks: for logs alone. */
int srv_guard_explain_all(struct srv_call *call, struct engine_collection *collection,
                          const vecdb_search_params *params, char *text, size_t capacity,
                          size_t *length, vecdb_error *error);
int srv_guard_query(struct srv_call *call, struct engine_collection *collection,
                    const vecdb_query_params *params, struct engine_rows **out, vecdb_error *error);
int srv_guard_count(struct srv_call *call, struct engine_collection *collection,
                    const vecdb_filter *filter, uint64_t *count, vecdb_error *error);
/* For a tenant, of its rows. */
int srv_guard_sparse_counts(struct srv_call *call, struct engine_collection *collection,
                            const char *field, const uint32_t *indices, size_t n, uint64_t *counts,
                            uint64_t *rows, vecdb_error *error);
/* For a tenant, the rows have the field that says whose they are besides those asked for. */
struct srv_guard_fields {
  const char *const *names;
  size_t n;
};
int srv_guard_get(struct srv_call *call, struct engine_collection *collection,
                  const vecdb_keys *keys, struct srv_guard_fields fields, uint8_t *found,
                  struct engine_rows **out, vecdb_error *error);

/* Vectors of `dim` elements and their versions, one of each per key. For a tenant, rows of others
   are not there. */
struct srv_guard_pull {
  const char *field;
  const vecdb_keys *keys;
  uint32_t dim;
  float *values;
  uint64_t *versions;
};
int srv_guard_pull(struct srv_call *call, struct engine_collection *collection,
                   const struct srv_guard_pull *pull, vecdb_error *error);

/* ---- Writing --------------------------------------------------------------------------------- */

/* For a tenant: every row says that it is the tenant's, and replaces no row of another. */
int srv_guard_insert(struct srv_call *call, struct engine_collection *collection,
                     const vecdb_batch *batch, int64_t *ids, vecdb_error *error);
int srv_guard_upsert(struct srv_call *call, struct engine_collection *collection,
                     const vecdb_batch *batch, int64_t *ids, vecdb_error *error);
/* For a tenant: the rows that are there are the tenant's; those that are not there, and all if the
   batch says whose they are, say that they are. */
int srv_guard_update(struct srv_call *call, struct engine_collection *collection,
                     const vecdb_batch *batch, uint32_t flags, uint8_t *found, vecdb_error *error);
/* For a tenant: the rows that are there are the tenant's, and none is made. */
int srv_guard_push(struct srv_call *call, struct engine_collection *collection,
                   const vecdb_push_params *params, uint64_t *versions, vecdb_error *error);
int srv_guard_delete(struct srv_call *call, struct engine_collection *collection,
                     const vecdb_keys *keys, uint64_t *deleted, vecdb_error *error);
int srv_guard_delete_where(struct srv_call *call, struct engine_collection *collection,
                           const vecdb_filter *filter, uint64_t *deleted, vecdb_error *error);

#endif
