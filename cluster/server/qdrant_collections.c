/* qdrant_collections.c - collections in Qdrant's dialect; see qdrant.h. */
#include <string.h>

#include "server/guard.h"
#include "server/json_schema.h"
#include "server/qdrant.h"
#include "server/server.h"

/* The version of Qdrant whose interface this is; its clients compare it with their own. */
#define QDRANT_VERSION "1.19.0"

/* ---- Metrics --------------------------------------------------------------------------------- */

static const struct {
  const char *name;
  int32_t metric;
} distances[] = {{"Cosine", VECDB_COSINE}, {"Dot", VECDB_IP}, {"Euclid", VECDB_L2}};

enum { N_DISTANCES = sizeof distances / sizeof distances[0] };

static bool distance_read(struct srv_call *call, const char *name, int32_t *metric) {
  for (size_t i = 0; name && i < N_DISTANCES; i++)
    if (strcmp(distances[i].name, name) == 0) {
      *metric = distances[i].metric;
      return true;
    }
  srv_call_fail(call, 400, "OPTION", "\"distance\" must be Cosine, Dot or Euclid");
  return false;
}

static const char *distance_name(int32_t metric) {
  for (size_t i = 0; i < N_DISTANCES; i++)
    if (distances[i].metric == metric)
      return distances[i].name;
  return "Cosine";
}

/* ---- Creating -------------------------------------------------------------------------------- */

/* The graph's parameters, where the library takes them: others are left to it. */
static bool graph_read(struct srv_call *call, json_t *config, vecdb_index_params *index) {
  if (!config || json_is_null(config))
    return true;
  if (!json_is_object(config)) {
    srv_call_fail(call, 400, "TYPE", "\"hnsw_config\" must be an object");
    return false;
  }
  uint32_t m = 0, ef = 0;
  if (!srv_take_u32(call, config, "m", &m) || !srv_take_u32(call, config, "ef_construct", &ef))
    return false;
  if (m >= 4 && m <= 128)
    index->m = m;
  if (ef >= 8 && ef <= 4096)
    index->ef_construction = ef;
  return true;
}

static bool vector_read(struct srv_call *call, const char *name, json_t *config, json_t *graph,
                        vecdb_field *field) {
  static const char *const keys[] = {
      "size",    "distance", "hnsw_config",        "quantization_config",
      "on_disk", "datatype", "multivector_config", NULL};
  static const char *const refused[] = {"multivector_config", NULL};
  const char *distance = NULL;
  *field = (vecdb_field){.type = VECDB_FLOAT_VECTOR, .flags = VECDB_ALLOW_ZERO};
  field->index = (vecdb_index_params)VECDB_INDEX_PARAMS_INIT;
  if (!json_is_object(config)) {
    srv_call_fail(call, 400, "TYPE",
                  "the vector \"%.100s\" must have a \"size\" and a \"distance\"", name);
    return false;
  }
  field->name = srv_qdrant_vector_name(call, name);
  if (!field->name || !srv_only_keys(call, config, keys) ||
      !srv_qdrant_refuse(call, config, refused) ||
      !srv_take_u32(call, config, "size", &field->dim) ||
      !srv_take_text(call, config, "distance", &distance) ||
      !distance_read(call, distance, &field->metric) || !graph_read(call, graph, &field->index) ||
      !graph_read(call, json_object_get(config, "hnsw_config"), &field->index))
    return false;
  /* The flag is for cosines alone: other metrics take zero vectors as they are. */
  if (field->metric != VECDB_COSINE)
    field->flags = 0;
  if (field->dim)
    return true;
  srv_call_fail(call, 400, "SCHEMA", "the vector \"%.100s\" lacks its \"size\"", name);
  return false;
}

/* The fields of a collection with these vectors. */
static bool create_fields(struct srv_call *call, json_t *vectors, json_t *sparse, json_t *graph,
                          vecdb_schema *schema) {
  bool one = json_is_object(vectors) && json_is_integer(json_object_get(vectors, "size"));
  size_t n = (one ? 1 : json_object_size(vectors)) + json_object_size(sparse);
  vecdb_field *fields = srv_arena_array(&call->arena, 3 + n, sizeof *fields);
  if (!fields) {
    srv_call_no_memory(call);
    return false;
  }
  if (n == 0 || n > VECDB_MAX_VECTOR_FIELDS) {
    srv_call_fail(call, 400, "SCHEMA",
                  "\"vectors\" and \"sparse_vectors\" must describe 1 to %d vectors",
                  VECDB_MAX_VECTOR_FIELDS);
    return false;
  }
  fields[0] = (vecdb_field){
      .name = QDRANT_KEY, .type = VECDB_VARCHAR, .max_length = 64, .flags = VECDB_PRIMARY_KEY};
  fields[1] = (vecdb_field){.name = QDRANT_PAYLOAD,
                            .type = VECDB_ARRAY,
                            .element_type = VECDB_VARCHAR,
                            .max_length = QDRANT_PIECE,
                            .max_capacity = QDRANT_PIECES};
  fields[2] = (vecdb_field){.name = QDRANT_TERMS,
                            .type = VECDB_ARRAY,
                            .element_type = VECDB_VARCHAR,
                            .max_length = 4096,
                            .max_capacity = VECDB_MAX_ARRAY};
  schema->fields = fields;
  schema->n_fields = 3;
  const char *name;
  json_t *config;
  json_object_foreach(sparse, name, config) {
    if (!srv_qdrant_sparse_field(call, name, config, &fields[schema->n_fields++]))
      return false;
  }
  if (one)
    return vector_read(call, "", vectors, graph, &fields[schema->n_fields++]);
  json_object_foreach(vectors, name, config) {
    if (!vector_read(call, name, config, graph, &fields[schema->n_fields++]))
      return false;
  }
  return true;
}

void srv_qdrant_create(struct srv_call *call) {
  static const char *const keys[] = {"vectors",
                                     "sparse_vectors",
                                     "hnsw_config",
                                     "optimizers_config",
                                     "wal_config",
                                     "quantization_config",
                                     "on_disk_payload",
                                     "shard_number",
                                     "replication_factor",
                                     "write_consistency_factor",
                                     "sharding_method",
                                     "strict_mode_config",
                                     "metadata",
                                     "init_from",
                                     "timeout",
                                     NULL};
  static const char *const refused[] = {"init_from", "sharding_method", NULL};
  vecdb_schema schema = VECDB_SCHEMA_INIT;
  vecdb_error error;
  const char *name = srv_qdrant_collection_name(call, call->args[0]);
  if (!name || !srv_only_keys(call, call->json, keys) ||
      !srv_qdrant_refuse(call, call->json, refused))
    return;
  if (!create_fields(call, json_object_get(call->json, "vectors"),
                     json_object_get(call->json, "sparse_vectors"),
                     json_object_get(call->json, "hnsw_config"), &schema))
    return;
  int rc = srv_guard_create(call, name, &schema, NULL, &error);
  if (rc == VECDB_ERR_EXISTS)
    srv_call_fail(call, 409, "EXISTS", "Wrong input: Collection `%.200s` already exists!",
                  call->args[0]);
  else if (rc != VECDB_OK)
    srv_call_error(call, &error);
  else
    srv_qdrant_answer(call, json_true());
}

/* ---- Telling --------------------------------------------------------------------------------- */

/* Programs know a server by this title, so it is given to the letter. */
void srv_qdrant_root(struct srv_call *call) {
  srv_call_answer(call, 200,
                  json_pack("{s:s, s:s, s:s}", "title", "qdrant - vector search engine", "version",
                            QDRANT_VERSION, "vecdb", vecdb_version()));
}

static int list_add(void *user, const char *name) {
  char told[VECDB_MAX_NAME + 1];
  if (!srv_qdrant_collection_of(name, told))
    return 0;
  return json_array_append_new(user, json_pack("{s:s}", "name", told));
}

void srv_qdrant_list(struct srv_call *call) {
  json_t *names = json_array();
  vecdb_error error;
  if (names && srv_guard_list(call, list_add, names, &error) != VECDB_OK) {
    json_decref(names);
    srv_call_error(call, &error);
    return;
  }
  srv_qdrant_answer(call, names ? json_pack("{s:o}", "collections", names) : NULL);
}

void srv_qdrant_exists(struct srv_call *call) {
  struct engine_collection *collection = srv_qdrant_collection(call);
  if (!collection && call->status != 404)
    return;
  srv_qdrant_answer(call, json_pack("{s:b}", "exists", collection != NULL));
  engine_collection_release(collection);
}

static json_t *describe_vectors(const vecdb_schema *schema) {
  json_t *out = json_object();
  for (uint32_t i = 0; i < schema->n_fields; i++) {
    const vecdb_field *f = &schema->fields[i];
    char name[VECDB_MAX_NAME + 1];
    if (!srv_type_is_dense(f->type) || !srv_qdrant_vector_of(f->name, name))
      continue;
    json_t *one =
        json_pack("{s:I, s:s}", "size", (json_int_t)f->dim, "distance", distance_name(f->metric));
    if (!*name) {
      json_decref(out);
      return one;
    }
    json_object_set_new(out, name, one);
  }
  return out;
}

/* Members that the clients' models want: of them only the graph's mean something here. */
static json_t *describe_config(const vecdb_schema *schema) {
  const vecdb_index_params *index = &srv_schema_vector(schema)->index;
  json_t *out = json_pack(
      "{s:{s:o, s:i, s:i, s:i, s:b}, s:{s:I, s:I, s:i, s:i, s:b},"
      " s:{s:f, s:i, s:i, s:n, s:n, s:i, s:i, s:n}, s:{s:i, s:i}, s:n}",
      "params", "vectors", describe_vectors(schema), "shard_number", 1, "replication_factor", 1,
      "write_consistency_factor", 1, "on_disk_payload", 1, "hnsw_config", "m",
      (json_int_t)(index->m ? index->m : 16), "ef_construct",
      (json_int_t)(index->ef_construction ? index->ef_construction : 200), "full_scan_threshold",
      10000, "max_indexing_threads", 0, "on_disk", 0, "optimizer_config", "deleted_threshold", 0.2,
      "vacuum_min_vector_number", 1000, "default_segment_number", 0, "max_segment_size",
      "memmap_threshold", "indexing_threshold", 20000, "flush_interval_sec", 5,
      "max_optimization_threads", "wal_config", "wal_capacity_mb", 32, "wal_segments_ahead", 0,
      "quantization_config");
  json_t *sparse = srv_qdrant_sparse_describe(schema);
  if (sparse)
    json_object_set_new(json_object_get(out, "params"), "sparse_vectors", sparse);
  return out;
}

void srv_qdrant_describe(struct srv_call *call) {
  struct engine_collection *collection = srv_qdrant_collection(call);
  if (!collection)
    return;
  vecdb_stats s = VECDB_STATS_INIT;
  vecdb_error error;
  const vecdb_schema *schema = engine_collection_schema(collection);
  if (srv_guard_stats(call, collection, &s, &error) != VECDB_OK) {
    srv_call_error(call, &error);
  } else {
    bool busy = s.jobs_pending > 0;
    srv_qdrant_answer(
        call, json_pack("{s:s, s:s, s:I, s:I, s:I, s:o, s:{}}", "status", busy ? "yellow" : "green",
                        "optimizer_status", "ok", "indexed_vectors_count", (json_int_t)s.rows,
                        "points_count", (json_int_t)s.rows, "segments_count",
                        (json_int_t)s.segments_growing + s.segments_sealed, "config",
                        describe_config(schema), "payload_schema"));
  }
  engine_collection_release(collection);
}

/* ---- Changing -------------------------------------------------------------------------------- */

void srv_qdrant_drop(struct srv_call *call) {
  vecdb_error error;
  struct engine_collection *collection = srv_qdrant_collection(call);
  if (!collection) {
    if (call->status == 404)
      srv_qdrant_answer(call, json_false());
    return;
  }
  engine_collection_release(collection);
  const char *name = srv_qdrant_collection_name(call, call->args[0]);
  int rc = name ? srv_guard_drop(call, name, &error) : VECDB_OK;
  if (name && rc != VECDB_OK)
    srv_call_error(call, &error);
  else if (name)
    srv_qdrant_answer(call, json_true());
}

/* What clients may tune has no counterpart here: it is accepted, as long as the collection is. */
void srv_qdrant_update(struct srv_call *call) {
  struct engine_collection *collection = srv_qdrant_collection(call);
  if (!collection)
    return;
  srv_qdrant_answer(call, json_true());
  engine_collection_release(collection);
}

/* Every payload field can be filtered by from the start, so an index is there already. */
void srv_qdrant_index(struct srv_call *call) {
  const char *field = NULL;
  if (!srv_take_text(call, call->json, "field_name", &field))
    return;
  if (!field) {
    srv_call_fail(call, 400, "ARGUMENT", "\"field_name\" is missing");
    return;
  }
  struct engine_collection *collection = srv_qdrant_collection(call);
  if (!collection)
    return;
  srv_qdrant_written(call);
  engine_collection_release(collection);
}

void srv_qdrant_index_drop(struct srv_call *call) {
  struct engine_collection *collection = srv_qdrant_collection(call);
  if (!collection)
    return;
  srv_qdrant_written(call);
  engine_collection_release(collection);
}
