/*
 * qdrant.h - Qdrant's REST dialect, between its handlers: names, point ids, payloads and filters as
 * the library keeps them. cluster/README.md says why they are kept so.
 *
 * A collection of points is a collection with the fields
 *   id          VARCHAR key: "i" and 20 digits, or "u" and a UUID, so that keys sort as ids do
 *   payload     ARRAY of VARCHAR: the payload's JSON text, cut to pieces that fit
 *   terms       ARRAY of VARCHAR: what filters can ask of the payload (qdrant_terms.c)
 *   vector_N    per vector, dense or sparse: N is its escaped name, empty for the unnamed one
 */
#ifndef SRV_QDRANT_H
#define SRV_QDRANT_H

#include "server/call.h"

#define QDRANT_KEY     "id"
#define QDRANT_PAYLOAD "payload"
#define QDRANT_TERMS   "terms"
#define QDRANT_VECTOR  "vector_"

enum { QDRANT_PIECE = 65535, QDRANT_PIECES = VECDB_MAX_ARRAY, QDRANT_DEPTH = 32 };

/* ---- qdrant_names.c -------------------------------------------------------------------------- */

/* Answers {"result", "status": "ok"}: takes the reference. */
void srv_qdrant_answer(struct srv_call *call, json_t *result);
/* The answer of a write. */
void srv_qdrant_written(struct srv_call *call);
/* An error as Qdrant's clients read it; a srv_error_shape. */
json_t *srv_qdrant_error(int *status, const char *code, const char *message);
/* False after answering 400 when the object has one of the members (the list ends with NULL),
   other than null. */
bool srv_qdrant_refuse(struct srv_call *call, json_t *object, const char *const *keys);

/* Names in the library; in the arena, NULL after answering. */
char *srv_qdrant_collection_name(struct srv_call *call, const char *name);
char *srv_qdrant_vector_name(struct srv_call *call, const char *name);
/* The other way, into `out` (room for VECDB_MAX_NAME + 1); false for names of other things. */
bool srv_qdrant_collection_of(const char *name, char *out);
bool srv_qdrant_vector_of(const char *name, char *out);
/* The collection that the path names, to be released; NULL after answering. */
struct engine_collection *srv_qdrant_collection(struct srv_call *call);
/* The field of a vector by the name that clients know, NULL after answering. */
const vecdb_field *srv_qdrant_vector(struct srv_call *call, const vecdb_schema *schema,
                                     const char *name);

/* A point's id as a key, and back. False after answering; NULL when out of memory. */
bool srv_qdrant_key(struct srv_call *call, json_t *id, vecdb_string *out);
bool srv_qdrant_keys(struct srv_call *call, json_t *ids, vecdb_keys *out);
json_t *srv_qdrant_id(vecdb_value key);

/* ---- qdrant_terms.c -------------------------------------------------------------------------- */

/* A growing list of strings in a call's arena. */
struct srv_qdrant_terms {
  struct srv_call *call;
  vecdb_string *list;
  size_t n, room;
};

/* Kinds of terms: what is said about the value at a path. */
enum { QDRANT_IS_NULL = '0', QDRANT_IS_THERE = '!', QDRANT_HAS_VECTOR = 'v' };

/* Each returns false after answering. */
bool srv_qdrant_term(struct srv_qdrant_terms *terms, char kind, const char *path, size_t n_path,
                     const char *value);
/* All terms of a payload. */
bool srv_qdrant_terms_of(struct srv_qdrant_terms *terms, json_t *payload);
/* The term of a value that is matched: a string, integer or boolean. */
bool srv_qdrant_term_match(struct srv_qdrant_terms *terms, const char *path, json_t *value);
/* The terms of which a number in low..high has one. */
bool srv_qdrant_term_range(struct srv_qdrant_terms *terms, const char *path, uint64_t low,
                           uint64_t high);
/* A number such that larger doubles give larger ones. */
uint64_t srv_qdrant_order(double number);

/* ---- qdrant_filter.c ------------------------------------------------------------------------- */

/* The library's filter for Qdrant's (NULL: none), in the arena; false after answering. `also` is
   NULL or a comparison of the key that must hold as well, such as "id >= ", with its operand. */
bool srv_qdrant_filter(struct srv_call *call, json_t *filter, const char *also, vecdb_string key,
                       vecdb_filter *out);
/* Adds that the points must have the vector of that name. */
bool srv_qdrant_filter_vector(struct srv_call *call, const char *name, vecdb_filter *filter);

/* ---- qdrant_sparse.c ------------------------------------------------------------------------- */

/* The field of a sparse vector with these settings; false after answering. */
bool srv_qdrant_sparse_field(struct srv_call *call, const char *name, json_t *config,
                             vecdb_field *field);
/* The settings by name; NULL: there are no sparse vectors. */
json_t *srv_qdrant_sparse_describe(const vecdb_schema *schema);
/* A query, in the arena, weighted as the field says; false after answering. */
bool srv_qdrant_sparse_query(struct srv_call *call, struct engine_collection *collection,
                             const vecdb_field *field, json_t *vector, vecdb_sparse *out);

/* ---- qdrant_points.c ------------------------------------------------------------------------- */

/* Which parts of points an answer has. */
struct srv_qdrant_want {
  json_t *payload; /* true, false, names, or {"include", "exclude"} */
  json_t *vectors; /* true, false or names */
  bool by_default; /* whether the payload comes when nothing is said */
  const char *const *fields;
  size_t n_fields;
};

/* Reads "with_payload" and "with_vector"; false after answering. */
bool srv_qdrant_want_read(struct srv_call *call, json_t *object, const vecdb_schema *schema,
                          struct srv_qdrant_want *want);
/* The parts of a payload that are wanted, as `payload` above says: takes the reference. */
json_t *srv_qdrant_choose(json_t *payload, json_t *wanted);
/* {"id", "payload", "vector"} of a row; NULL when out of memory. */
json_t *srv_qdrant_point(const struct srv_qdrant_want *want, const struct engine_rows *rows,
                         size_t row);

/* Upserts an array of {"id", "vector", "payload"}; false after answering. */
bool srv_qdrant_put(struct srv_call *call, struct engine_collection *collection, json_t *points);

/* ---- qdrant_mmr.c ---------------------------------------------------------------------------- */

/* Hits of a search among which some are chosen. */
struct srv_qdrant_candidates {
  const float *const *vectors;
  const double *relevance; /* larger is nearer to the query */
  uint32_t n, dim;
  int32_t metric;
};

/* Chooses n_order (at most n) of them for nearness and, by `diversity` from 0 to 1, for being
   unlike each other; false after answering. */
bool srv_qdrant_mmr(struct srv_call *call, const struct srv_qdrant_candidates *candidates,
                    double diversity, uint32_t *order, uint32_t n_order);

/* ---- qdrant_search.c and qdrant_fusion.c ----------------------------------------------------- */

/* Each gives {"points": hits in order}, or NULL after answering: the nearest to the "query" of one
   search, and the fusion of the searches in "prefetch". */
json_t *srv_qdrant_nearest(struct srv_call *call, struct engine_collection *collection,
                           json_t *json);
json_t *srv_qdrant_fusion(struct srv_call *call, struct engine_collection *collection,
                          json_t *json);

/* A form of search: the list of hits, alone or as "points"; NULL after answering. */
typedef json_t *srv_qdrant_form(struct srv_call *call, struct engine_collection *collection,
                                json_t *json);

/* ---- qdrant_groups.c ------------------------------------------------------------------------- */

enum { QDRANT_GROUP_BYTES = 1024 }; /* of a value to group by; points with longer ones have none */
/* {"groups"}, found by searches of that form; NULL after answering. */
json_t *srv_qdrant_groups(struct srv_call *call, struct engine_collection *collection, json_t *json,
                          srv_qdrant_form *form);

/* ---- Handlers -------------------------------------------------------------------------------- */

/* qdrant_collections.c */
srv_handler srv_qdrant_root, srv_qdrant_list, srv_qdrant_create, srv_qdrant_describe,
    srv_qdrant_exists, srv_qdrant_drop, srv_qdrant_update, srv_qdrant_index, srv_qdrant_index_drop;
/* qdrant_write.c */
srv_handler srv_qdrant_upsert, srv_qdrant_delete, srv_qdrant_payload_set,
    srv_qdrant_payload_replace, srv_qdrant_payload_delete, srv_qdrant_payload_clear;
/* qdrant_read.c */
srv_handler srv_qdrant_retrieve, srv_qdrant_retrieve_one, srv_qdrant_scroll, srv_qdrant_count;
/* qdrant_search.c */
srv_handler srv_qdrant_query, srv_qdrant_query_batch, srv_qdrant_search, srv_qdrant_search_batch,
    srv_qdrant_query_groups, srv_qdrant_search_groups;

#endif
