/*
 * vecdb_client.h - a client of a vecdb cluster. It finds a collection's shards by itself and asks
 * them directly; no node stands between. Schemas, batches, filters and values are vecdb.h's.
 *
 * Conventions
 *   Errors     Calls return 0 or a code: a vecdb_status of vecdb.h, or a VECDB_CLIENT_* of this
 *              file. The last parameter may be NULL; otherwise it is filled on failure.
 *   Time       Every call ends by its deadline.
 *   Threads    Any thread may use a client at any time; a session and an answer belong to one
 *              thread at a time. After fork() the child may not use clients.
 *   Ownership  What a call is given is needed until it returns, and not after.
 *   Writes     are tried again after failures and applied once. Rows that belong to one shard and
 *              fit into 4 MiB are written all or not at all; a batch over several shards may be
 *              written in part when the call fails. After VECDB_CLIENT_UNKNOWN what was not
 *              acknowledged may or may not be there.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef VECDB_CLIENT_H
#define VECDB_CLIENT_H

#include "vecdb.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum vecdb_client_code {
  VECDB_CLIENT_NOT_PRIMARY = 200, /* the shard changed hands until time was up */
  VECDB_CLIENT_NO_REPLICA = 201,  /* likewise: the shard was not where it should be */
  VECDB_CLIENT_OVERLOADED = 202,  /* too much to do, there or here: later */
  VECDB_CLIENT_UNAVAILABLE = 203, /* a shard could not answer in time */
  VECDB_CLIENT_UNKNOWN = 204,     /* the write may have happened or not */
  VECDB_CLIENT_NOT_FRESH = 205,   /* no replica was as new as the read wanted */
  VECDB_CLIENT_LOST = 206,        /* session: a write that it saw was lost (ack ASYNC alone) */
  VECDB_CLIENT_OLD_OP = 207,      /* the write came too late to know whether it happened */
  VECDB_CLIENT_SCHEMA = 208,      /* the schema changed meanwhile */
  VECDB_CLIENT_PROTOCOL = 209,    /* a message that could not be read */
  VECDB_CLIENT_SOME_SHARDS = 210, /* some shards gave no answer */
  VECDB_CLIENT_NO_NODE = 211      /* no node could be reached; the message says what was tried */
} vecdb_client_code;

typedef struct vecdb_client vecdb_client;
typedef struct vecdb_client_session vecdb_client_session;
typedef struct vecdb_client_answer vecdb_client_answer;

typedef struct vecdb_client_options {
  uint32_t size;
  const char *nodes;     /* some nodes of the cluster: "1@10.0.0.1:7000,2@10.0.0.2:7000" */
  const char *cluster;   /* its id, 32 hex digits */
  const char *ca_file;   /* PEM; NULL: no TLS, which works on loopback alone */
  const char *cert_file; /* of this client: vdb://CLUSTER/node/ID */
  const char *key_file;
  uint32_t id;         /* that ID, of 2147483649 and above; 0: a random one, without TLS */
  uint32_t timeout_ms; /* of calls that say nothing else; 0: 10,000 */
  uint64_t writer;     /* not 0: who writes, over many processes; then each write has an `op` */
} vecdb_client_options;
#define VECDB_CLIENT_OPTIONS_INIT \
  { sizeof(vecdb_client_options), NULL, NULL, NULL, NULL, NULL, 0, 0, 0 }

typedef enum vecdb_client_level {
  VECDB_CLIENT_LOCAL = 0,   /* what a replica has that is not older than max_age_ms */
  VECDB_CLIENT_SESSION = 1, /* at least what the session wrote and read */
  VECDB_CLIENT_STRONG = 2   /* every write that was acknowledged before the call began */
} vecdb_client_level;

typedef enum vecdb_client_ack {
  VECDB_CLIENT_ACK_DEFAULT = 0, /* the collection's */
  VECDB_CLIENT_ACK_SYNC = 1,    /* on the disks of all replicas in sync */
  VECDB_CLIENT_ACK_CHAIN = 2,   /* the same, passed along a chain */
  VECDB_CLIENT_ACK_ASYNC = 3    /* on the primary's disk */
} vecdb_client_ack;

/* How one call is made; NULL: all zero. */
typedef struct vecdb_client_call {
  uint32_t size;
  uint32_t timeout_ms; /* 0: the client's */
  int32_t level;       /* reads: a vecdb_client_level */
  uint32_t max_age_ms; /* LOCAL; 0: the node's choice */
  int32_t ack;         /* writes: a vecdb_client_ack */
  uint32_t partial;    /* reads: 1: shards that gave no answer in time may be missing */
  float shard_recall;  /* searches: share of the neighbours that the shards asked must have, so that
                          not all need be asked; 0: all */
  vecdb_client_session *session; /* NULL: none */
  uint64_t op; /* writes of a client with a `writer`: which one it is, from 1 and ascending. Each
                  shard applies it once, by whatever process and however often it comes, as long as
                  it is one of the writer's last 64: the same number means the same rows. */
  uint32_t collection; /* not 0: an id (vecdb_client_about_id), and the call, which is one on rows,
                          is of that collection alone: CLOSED when its name is another's by now */
} vecdb_client_call;
#define VECDB_CLIENT_CALL_INIT \
  { sizeof(vecdb_client_call), 0, 0, 0, 0, 0, 0, NULL, 0, 0 }

/* Begins; connections are made when they are needed. Errors: ARGUMENT, OPTION, NO_MEMORY, IO
   (certificates). */
VECDB_API int vecdb_client_open(const vecdb_client_options *options, vecdb_client **out,
                                vecdb_error *error);
/* Calls that are under way on other threads must have ended. */
VECDB_API void vecdb_client_close(vecdb_client *client);
/* The name of a code, such as "VECDB_CLIENT_OVERLOADED"; "" for those of vecdb.h. */
VECDB_API const char *vecdb_client_code_name(int code);
/* The level of a name: "local", "session", "strong", and Milvus's "Eventually", "Bounded",
   "Session", "Strong"; -1: none. */
VECDB_API int vecdb_client_level_parse(const char *name);

/* A session is of one collection. NULL: no memory. */
VECDB_API vecdb_client_session *vecdb_client_session_new(void);
VECDB_API void vecdb_client_session_free(vecdb_client_session *session);

/* How a collection is spread. */
typedef struct vecdb_client_layout {
  uint32_t size;
  uint32_t shards;   /* 0: 1 */
  uint32_t replicas; /* 0: 1 */
  uint32_t min_isr;  /* replicas that a write needs; 0: half of them, rounded up */
  int32_t ack;       /* a vecdb_client_ack; DEFAULT: SYNC */
  /* Field of tenants, a BOOL, an integer or a VARCHAR, whose rows lie in few shards, so that a
     search with `field == value` asks these alone; NULL: by the hash of the key. And for about how
     many rows' hashes of 16,384 a tenant's may lie in, a power of two; 0: 1, which is one shard. */
  const char *tenant_field;
  uint32_t tenant_slots;
} vecdb_client_layout;
#define VECDB_CLIENT_LAYOUT_INIT \
  { sizeof(vecdb_client_layout), 0, 0, 0, 0, NULL, 0 }

/* layout may be NULL. Rows of AUTO_ID keys need the key's column, filled by vecdb_client_numbers.
   Defaults that are computed are so by who writes, with its clock, before anything is sent: they
   are the same on every replica, and in every try of a call. UNSUPPORTED: a node is of a version
   that does not know them, or may be. */
VECDB_API int vecdb_client_create(vecdb_client *client, const char *collection,
                                  const vecdb_schema *schema, const vecdb_client_layout *layout,
                                  const vecdb_client_call *call, vecdb_error *error);
VECDB_API int vecdb_client_drop(vecdb_client *client, const char *collection,
                                const vecdb_client_call *call, vecdb_error *error);
/* As vecdb_fields_add; UNSUPPORTED likewise, and for fields whose default is computed, which those
   who know the collection without them would not fill in. Every shard has the fields when it
   returns; a failure may come when the collection has them already, and shards get them soon. Other
   clients see them when they need them. */
VECDB_API int vecdb_client_fields_add(vecdb_client *client, const char *collection,
                                      const vecdb_schema *fields, const vecdb_client_call *call,
                                      vecdb_error *error);

/* As vecdb_field_drop, vecdb_field_rename, vecdb_json_index_create and vecdb_json_index_drop; when
   they return every shard has changed, as with fields that are added. UNSUPPORTED: a node is of a
   version that does not know them, or may be; the field is one that rows are placed by, or, to be
   renamed, the key. LIMIT: a schema changes at most 1,000 times. A write of who knew the collection
   with a field that has gone, or has another name, is refused: UNKNOWN_FIELD, or SCHEMA. */
VECDB_API int vecdb_client_field_drop(vecdb_client *client, const char *collection,
                                      const char *field, const vecdb_client_call *call,
                                      vecdb_error *error);
VECDB_API int vecdb_client_field_rename(vecdb_client *client, const char *collection,
                                        const char *field, const char *name,
                                        const vecdb_client_call *call, vecdb_error *error);
VECDB_API int vecdb_client_json_index_create(vecdb_client *client, const char *collection,
                                             const char *field, const vecdb_json_index *index,
                                             const vecdb_client_call *call, vecdb_error *error);
VECDB_API int vecdb_client_json_index_drop(vecdb_client *client, const char *collection,
                                           const char *field, const vecdb_json_index *index,
                                           const vecdb_client_call *call, vecdb_error *error);

/* As vecdb_expire: each shard's primary looks every second, by its clock, for rows whose time has
   come, and removes them on all replicas at once. So a row is read until then, and its key is
   taken, up to some seconds longer than it lives; while a shard has no primary its rows stay.
   UNSUPPORTED: a node is of a version that does not know this, or may be. */
VECDB_API int vecdb_client_expire(vecdb_client *client, const char *collection, const char *field,
                                  uint64_t ttl_ms, const vecdb_client_call *call,
                                  vecdb_error *error);

/* The names of all collections, ascending; and what one is like. Any node answers as of now: a
   collection that was created or dropped before the call began is there or is not. What is given
   out is freed by the caller. */
typedef struct vecdb_client_list vecdb_client_list;
VECDB_API int vecdb_client_list_collections(vecdb_client *client, const vecdb_client_call *call,
                                            vecdb_client_list **out, vecdb_error *error);
VECDB_API size_t vecdb_client_list_count(const vecdb_client_list *list);
/* NULL: there is none of that number. */
VECDB_API const char *vecdb_client_list_name(const vecdb_client_list *list, size_t i);
VECDB_API void vecdb_client_list_free(vecdb_client_list *list);

typedef struct vecdb_client_about vecdb_client_about;
VECDB_API int vecdb_client_describe(vecdb_client *client, const char *collection,
                                    const vecdb_client_call *call, vecdb_client_about **out,
                                    vecdb_error *error);
VECDB_API const vecdb_schema *vecdb_client_about_schema(const vecdb_client_about *about);
/* Never that of another collection, also when that has had the same name. */
VECDB_API uint32_t vecdb_client_about_id(const vecdb_client_about *about);
/* Of its schema: grows with each change. */
VECDB_API uint64_t vecdb_client_about_version(const vecdb_client_about *about);
/* As vecdb_expiry. */
VECDB_API const char *vecdb_client_about_expiry(const vecdb_client_about *about, uint64_t *ttl_ms);
VECDB_API int vecdb_client_about_layout(const vecdb_client_about *about, vecdb_client_layout *out);
VECDB_API void vecdb_client_about_free(vecdb_client_about *about);

/* A replica that is in sync with its shard's primary, or is that. */
typedef struct vecdb_client_replica {
  uint32_t size;
  uint32_t shard;
  uint32_t node;
  uint32_t primary;
  uint32_t reached; /* 0: its node gave no answer, and what follows is 0 */
  uint64_t rows;
  uint64_t bytes;
  uint64_t applied;   /* positions in the shard's log: up to where its rows are, */
  uint64_t committed; /* and up to where it knows them to be durable on all replicas */
  uint32_t age_ms;    /* what was committed so long ago is in its rows; UINT32_MAX: not known */
  uint64_t checked;   /* position as of which it has last compared its rows; 0: none */
  uint64_t digest;    /* of all its rows there: that of others, if theirs are the same */
  /* As vecdb_stats has them; 0 from nodes of before there were these. */
  uint64_t bytes_growing; /* of `bytes`: rows in memory, */
  uint64_t bytes_index;   /* and vector indexes */
  uint64_t segments_growing;
  uint64_t segments_sealed;
  uint64_t segments_indexed;
  uint64_t merge_bytes;
  uint64_t index_builds; /* since its node has opened it, and their time */
  uint64_t index_build_ns;
} vecdb_client_replica;
/* Asks the nodes of a collection one after the other, as it was when it was described, and calls
   visit with each replica, a shard's primary first; a non-zero return ends the walk. The call's
   time is that for each node. */
VECDB_API int vecdb_client_replicas(vecdb_client *client, const vecdb_client_about *about,
                                    const vecdb_client_call *call,
                                    int (*visit)(void *user, const vecdb_client_replica *replica),
                                    void *user, vecdb_error *error);

/* Has all replicas make a digest of their rows, each as of the same position of its shard's log;
   those that differ are replaced. Returns when the primaries have; vecdb_client_replicas tells of
   the others. */
VECDB_API int vecdb_client_check(vecdb_client *client, const char *collection,
                                 const vecdb_client_call *call, vecdb_error *error);

/* As vecdb_compact, of every replica in sync, as the collection was when it was described: all
   nodes are asked at once, and each does one after the other of its own. The first failure is told;
   replicas that did not fail are done then. UNSUPPORTED: a node is of a version that does not know
   this. */
VECDB_API int vecdb_client_compact(vecdb_client *client, const vecdb_client_about *about,
                                   const vecdb_client_call *call, vecdb_error *error);

/* n numbers from *first on, which nobody else ever gets from this cluster: keys for AUTO_ID. */
VECDB_API int vecdb_client_numbers(vecdb_client *client, uint32_t n, int64_t *first,
                                   const vecdb_client_call *call, vecdb_error *error);
VECDB_API int vecdb_client_insert(vecdb_client *client, const char *collection,
                                  const vecdb_batch *batch, const vecdb_client_call *call,
                                  vecdb_error *error);
VECDB_API int vecdb_client_upsert(vecdb_client *client, const char *collection,
                                  const vecdb_batch *batch, const vecdb_client_call *call,
                                  vecdb_error *error);
/* As vecdb_update, but an update that may make rows (VECDB_UPDATE_INSERT) needs columns for fields
   whose default is computed, or is UNSUPPORTED. An update that is tried again after a failure is
   applied once; `found` is then 0 for rows of which that is not known any more. */
VECDB_API int vecdb_client_update(vecdb_client *client, const char *collection,
                                  const vecdb_batch *batch, uint32_t flags, uint8_t *found,
                                  const vecdb_client_call *call, vecdb_error *error);
/* *deleted may be NULL. */
VECDB_API int vecdb_client_delete(vecdb_client *client, const char *collection,
                                  const vecdb_keys *keys, uint64_t *deleted,
                                  const vecdb_client_call *call, vecdb_error *error);
VECDB_API int vecdb_client_delete_where(vecdb_client *client, const char *collection,
                                        const vecdb_filter *filter, uint64_t *deleted,
                                        const vecdb_client_call *call, vecdb_error *error);

/* As vecdb_optimizer_set, vecdb_push and vecdb_pull. A push that is tried again after a failure is
   applied once. Each shard has its rows of a push, as long as they fit into 4 MiB, or none of them;
   so where `expected` does not hold of a row (VERSION), rows of other shards may have been pushed.
   UNSUPPORTED with `expected`: a node is of a version that does not know that, or may be. A pull is
   as of one moment of each shard. */
VECDB_API int vecdb_client_optimizer_set(vecdb_client *client, const char *collection,
                                         const char *field, const vecdb_optimizer *optimizer,
                                         const vecdb_client_call *call, vecdb_error *error);
VECDB_API int vecdb_client_push(vecdb_client *client, const char *collection,
                                const vecdb_push_params *params, const vecdb_client_call *call,
                                vecdb_error *error);
VECDB_API int vecdb_client_pull(vecdb_client *client, const char *collection, const char *field,
                                const vecdb_keys *keys, float *values, size_t stride,
                                uint64_t *versions, const vecdb_client_call *call,
                                vecdb_error *error);

/* Names of fields. */
typedef struct vecdb_client_fields {
  const char *const *names;
  size_t n;
} vecdb_client_fields;

/* As vecdb_search, vecdb_get, vecdb_query and vecdb_count; threads, beam, strides and control have
   no effect. Answers are freed by the caller; *out is NULL on failure. */
VECDB_API int vecdb_client_search(vecdb_client *client, const char *collection,
                                  const vecdb_search_params *params, const vecdb_client_call *call,
                                  vecdb_client_answer **out, vecdb_error *error);
/* As vecdb_sparse_counts; UNSUPPORTED: a node is of a version that does not know this. */
VECDB_API int vecdb_client_sparse_counts(vecdb_client *client, const char *collection,
                                         const char *field, const vecdb_filter *filter,
                                         const uint32_t *indices, size_t n, uint64_t *counts,
                                         uint64_t *rows, const vecdb_client_call *call,
                                         vecdb_error *error);
/* As vecdb_explain: shard by shard a line that names it and the node that would be asked, then what
   that says. UNSUPPORTED: a node is of a version that does not know this. */
VECDB_API int vecdb_client_explain(vecdb_client *client, const char *collection,
                                   const vecdb_search_params *params,
                                   const vecdb_client_call *call, char *text, size_t capacity,
                                   size_t *length, vecdb_error *error);
/* As vecdb_search_hybrid: the searches are made at once, each of every shard as of a moment of its
   own, and their hits put together here. */
VECDB_API int vecdb_client_search_hybrid(vecdb_client *client, const char *collection,
                                         const vecdb_hybrid_params *params,
                                         const vecdb_client_call *call, vecdb_client_answer **out,
                                         vecdb_error *error);
/* As vecdb_search_groups: group g of query q is query q * k + g of the answer. Groups of several
   rows are looked for once more, in all shards, when it is known which they are. */
VECDB_API int vecdb_client_search_groups(vecdb_client *client, const char *collection,
                                         const vecdb_search_params *params,
                                         const vecdb_group_by *by, const vecdb_client_call *call,
                                         vecdb_client_answer **out, vecdb_error *error);
/* fields NULL: all. */
VECDB_API int vecdb_client_get(vecdb_client *client, const char *collection, const vecdb_keys *keys,
                               const vecdb_client_fields *fields, const vecdb_client_call *call,
                               vecdb_client_answer **out, vecdb_error *error);
VECDB_API int vecdb_client_query(vecdb_client *client, const char *collection,
                                 const vecdb_query_params *params, const vecdb_client_call *call,
                                 vecdb_client_answer **out, vecdb_error *error);
VECDB_API int vecdb_client_count(vecdb_client *client, const char *collection,
                                 const vecdb_filter *filter, uint64_t *count,
                                 const vecdb_client_call *call, vecdb_error *error);

/* ---- What has changed ---- */

/* A place in the log of a shard. Equal ones mean equal logs up to there; all zero is the log's
   beginning. It may be kept for as long as one likes. */
typedef struct vecdb_client_position {
  uint64_t seq;
  uint64_t epoch;
  uint64_t chain;
} vecdb_client_position;

/* Which rows of a shard (0 and up) writes have touched behind `after`, in the order of the log: for
   who keeps a copy of rows, reads them again by their keys, and removes those that are gone. After
   NULL nothing is told but the position as of now. The level is that of the call: after STRONG the
   position has every write that was acknowledged before the call began. *out is freed by the
   caller; NULL on failure. Errors: NOT_FOUND (no such collection, or shard), and those of reads. */
typedef struct vecdb_client_changes vecdb_client_changes;
VECDB_API int vecdb_client_changes_after(vecdb_client *client, const char *collection,
                                         uint32_t shard, const vecdb_client_position *after,
                                         const vecdb_client_call *call, vecdb_client_changes **out,
                                         vecdb_error *error);
VECDB_API void vecdb_client_changes_free(vecdb_client_changes *changes);
/* Up to where they are told, or, where they are not known, the position as of now. */
VECDB_API vecdb_client_position vecdb_client_changes_position(const vecdb_client_changes *changes);
/* 1: what was touched is not known: `after` was NULL, the log does not go back so far, or it has
   never been there. All rows may have changed. */
VECDB_API int vecdb_client_changes_all(const vecdb_client_changes *changes);
/* 1: the log has more, behind that position: to be asked for at once. */
VECDB_API int vecdb_client_changes_more(const vecdb_client_changes *changes);
/* The version of the schema (vecdb_client_about_version) that the rows have there. */
VECDB_API uint64_t vecdb_client_changes_schema(const vecdb_client_changes *changes);
/* Keys of rows that were written or deleted, each once, borrowed. Rows that were deleted by a
   filter are told by the filter: those that it matched then, of which some may be there again.
   NULL: there is no filter of that number. */
VECDB_API vecdb_keys vecdb_client_changes_keys(const vecdb_client_changes *changes);
VECDB_API const vecdb_filter *vecdb_client_changes_filter(const vecdb_client_changes *changes,
                                                          size_t i);

/* ---- Answers; values are borrowed from them ---- */

VECDB_API void vecdb_client_answer_free(vecdb_client_answer *answer);
/* Rows of a query of a search; of other answers query 0 has them all. */
VECDB_API size_t vecdb_client_answer_rows(const vecdb_client_answer *answer, size_t query);
/* 0 outside the table, and where there are no scores. */
VECDB_API float vecdb_client_answer_score(const vecdb_client_answer *answer, size_t query,
                                          size_t row);
/* The key of a row, and the value of a field; a null value where there is none. */
VECDB_API vecdb_value vecdb_client_answer_key(const vecdb_client_answer *answer, size_t query,
                                              size_t row);
VECDB_API vecdb_value vecdb_client_answer_value(const vecdb_client_answer *answer, size_t query,
                                                size_t row, const char *field);
/* 1 where the i-th key of a get was there. */
VECDB_API int vecdb_client_answer_found(const vecdb_client_answer *answer, size_t i);
/* 1 when something is missing; how many shards answered of how many that were asked. */
VECDB_API int vecdb_client_answer_partial(const vecdb_client_answer *answer, uint32_t *ok,
                                          uint32_t *asked);

#ifdef __cplusplus
}
#endif

#endif
