/*
 * ops.h - what an engine is made of: its functions, with the arguments of those in engine.h. NULL:
 * the engine has no such function. For the files of this folder.
 */
#ifndef CLUSTER_ENGINE_OPS_H
#define CLUSTER_ENGINE_OPS_H

#include "engine/engine.h"

struct engine_ops {
  int (*close)(struct engine *, vecdb_error *);
  int (*backup)(struct engine *, const char *, vecdb_error *);
  int (*rekey)(struct engine *, const char *, uint32_t, vecdb_error *);
  int (*numbers)(struct engine *, uint32_t, int64_t *, vecdb_error *);
  int (*memory_stats)(struct engine *, vecdb_memory *, vecdb_error *);

  int (*collection_create)(struct engine *, const char *, const vecdb_schema *,
                           struct engine_collection **, vecdb_error *);
  int (*collection_get)(struct engine *, const char *, struct engine_collection **, vecdb_error *);
  int (*collection_drop)(struct engine *, const char *, vecdb_error *);
  int (*collection_list)(struct engine *, int (*)(void *, const char *), void *, vecdb_error *);
  void (*collection_release)(struct engine_collection *);
  const char *(*collection_name)(const struct engine_collection *);
  const vecdb_schema *(*collection_schema)(const struct engine_collection *);
  const char *(*expiry)(const struct engine_collection *, uint64_t *); /* NULL: none expire */
  int (*collection_stats)(struct engine_collection *, vecdb_stats *, vecdb_error *);
  int (*replicas)(struct engine_collection *, void (*)(void *, const struct engine_replica *),
                  void *, vecdb_error *); /* NULL: there are none */

  bool (*age)(const struct engine_collection *, uint64_t *); /* NULL: always as of now */
  bool (*copies)(const struct engine *, bool *, void (*)(void *, const struct engine_copy *),
                 void *); /* NULL: it has none */

  int (*fields_add)(struct engine_collection *, const vecdb_schema *, const vecdb_control *,
                    vecdb_error *);
  int (*field_drop)(struct engine_collection *, const char *, const vecdb_control *,
                    vecdb_error *);
  int (*field_rename)(struct engine_collection *, const char *, const char *,
                      const vecdb_control *, vecdb_error *);
  int (*json_index_create)(struct engine_collection *, const char *, const vecdb_json_index *,
                           const vecdb_control *, vecdb_error *);
  int (*json_index_drop)(struct engine_collection *, const char *, const vecdb_json_index *,
                         const vecdb_control *, vecdb_error *);
  int (*expire)(struct engine_collection *, const char *, uint64_t, const vecdb_control *,
                vecdb_error *);
  int (*optimizer_set)(struct engine_collection *, const char *, const vecdb_optimizer *,
                       const vecdb_control *, vecdb_error *);
  int (*optimizer_get)(struct engine_collection *, const char *, vecdb_optimizer *,
                       vecdb_error *);
  int (*flush)(struct engine_collection *, const vecdb_control *, vecdb_error *);
  int (*compact)(struct engine_collection *, const vecdb_control *, vecdb_error *);
  int (*index_create)(struct engine_collection *, const char *, const vecdb_index_params *,
                      const vecdb_control *, vecdb_error *);
  int (*index_drop)(struct engine_collection *, const char *, vecdb_error *);

  int (*insert)(struct engine_collection *, const vecdb_batch *, int64_t *, vecdb_error *);
  int (*upsert)(struct engine_collection *, const vecdb_batch *, int64_t *, vecdb_error *);
  int (*update)(struct engine_collection *, const vecdb_batch *, uint32_t, uint8_t *,
                vecdb_error *);
  int (*push)(struct engine_collection *, const vecdb_push_params *, uint64_t *, vecdb_error *);
  int (*delete)(struct engine_collection *, const vecdb_keys *, uint64_t *, vecdb_error *);
  int (*delete_where)(struct engine_collection *, const vecdb_filter *, uint64_t *,
                      const vecdb_control *, vecdb_error *);

  int (*search)(struct engine_collection *, const vecdb_search_params *, vecdb_hit *, uint32_t *,
                vecdb_search_info *, struct engine_rows **, vecdb_error *);
  int (*search_range)(struct engine_collection *, const vecdb_search_params *, float, vecdb_hit *,
                      uint32_t *, vecdb_search_info *, struct engine_rows **, vecdb_error *);
  int (*search_groups)(struct engine_collection *, const vecdb_search_params *,
                       const vecdb_group_by *, vecdb_hit *, uint32_t *, vecdb_search_info *,
                       struct engine_rows **, vecdb_error *);
  int (*search_hybrid)(struct engine_collection *, const vecdb_hybrid_params *, vecdb_hit *,
                       uint32_t *, vecdb_search_info *, struct engine_rows **, vecdb_error *);
  int (*explain)(struct engine_collection *, const vecdb_search_params *, char *, size_t, size_t *,
                 vecdb_error *);
  int (*query)(struct engine_collection *, const vecdb_query_params *, struct engine_rows **,
               vecdb_error *);
  int (*count)(struct engine_collection *, const vecdb_filter *, uint64_t *, vecdb_error *);
  int (*sparse_counts)(struct engine_collection *, const char *, const vecdb_filter *,
                       const uint32_t *, size_t, uint64_t *, uint64_t *, vecdb_error *);
  int (*get)(struct engine_collection *, const vecdb_keys *, const char *const *, size_t,
             uint8_t *, struct engine_rows **, vecdb_error *);
  int (*pull)(struct engine_collection *, const char *, const vecdb_keys *, float *, size_t,
              uint64_t *, vecdb_error *);
};

struct engine_rows_ops {
  void (*free)(struct engine_rows *);
  size_t (*count)(const struct engine_rows *);
  size_t (*n_fields)(const struct engine_rows *);
  const char *(*field)(const struct engine_rows *, size_t);
  int (*find)(const struct engine_rows *, const char *);
  vecdb_value (*value)(const struct engine_rows *, size_t, size_t);
};

/* local.c: the database of an engine that engine_local_open has opened. */
vecdb *engine_local_db(struct engine *engine);

/* Fills in `error`, unless it is NULL, and gives the code. */
int engine_fail(vecdb_error *error, int code, const char *words);

#endif
