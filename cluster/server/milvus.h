/*
 * milvus.h - the Milvus gRPC dialect between its methods' files: the one table of methods, what a
 * method works with, and how collections, rows and filters go from Milvus's messages to vecdb.h.
 */
#ifndef SRV_MILVUS_H
#define SRV_MILVUS_H

#include "server/milvus_names.h"
#include "server/milvus_state.h"
#include "server/pb.h"
#include "server/routes.h"
#include "server/server.h"

/* The route of "/milvus.proto.milvus.MilvusService/NAME"; NULL with the reason that it is not
   served. */
const struct srv_route *srv_milvus_route(const char *path, char *reason, size_t reason_bytes);

enum { MILVUS_REASON = 512 };

/* A method at work: the call, and the fields of its answer but the status, which is field 1. */
struct milvus {
  struct srv_call *call;
  struct pb_out out;
  int code; /* 0, or an srv_milvus_code that the status will say with the reason */
  char reason[MILVUS_REASON];
};
typedef void milvus_work(struct milvus *m);

/* Each fails the method, and returns false. */
bool milvus_fail(struct milvus *m, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool milvus_error(struct milvus *m, const vecdb_error *error);
bool milvus_no_memory(struct milvus *m);
/* Reads the request. A malformed one fails the call itself. */
bool milvus_take(struct milvus *m, struct pb_bytes in, const struct pb_field *fields,
                 size_t n_fields, void *out, size_t out_bytes);
#define MILVUS_REQUEST(m, table, out)                                                         \
  milvus_take(m, (struct pb_bytes){(const uint8_t *)(m)->call->body, (m)->call->body_bytes}, \
              table, sizeof(table) / sizeof((table)[0]), out, sizeof *(out))
#define MILVUS_PART(m, in, table, out) \
  milvus_take(m, in, table, sizeof(table) / sizeof((table)[0]), out, sizeof *(out))

/* KeyValuePairs. */
struct milvus_pairs {
  const char **keys;
  const char **values;
  size_t n;
};
bool milvus_pairs_read(struct milvus *m, const struct pb_list *list, struct milvus_pairs *out);
const char *milvus_pair(const struct milvus_pairs *pairs, const char *key); /* NULL: not there */
void milvus_pair_put(struct pb_out *out, uint32_t field, const char *key, const char *value);
/* A whole number of a text; false after failing. */
bool milvus_u32(struct milvus *m, const char *what, const char *text, uint32_t *out);
/* Texts of a list, in the arena; NULL after failing. */
const char **milvus_texts(struct milvus *m, const struct pb_list *list);

/* ---- Collections (milvus_open.c) ------------------------------------------------------------- */

/* A collection as Milvus's users see it. */
struct milvus_open {
  const char *name;
  json_t *record; /* a copy, see milvus_state.h */
  vecdb_collection *collection;
  const vecdb_schema *schema;
  const vecdb_field *key;
  bool auto_id;
  bool dynamic;
  bool loaded;
};

/* The database must be the default one, and the collection there. Close with milvus_close. */
bool milvus_open(struct milvus *m, const char *db, const char *name, struct milvus_open *out);
void milvus_close(struct milvus_open *open);
/* As milvus_open; fails also when the collection is not loaded. */
bool milvus_open_loaded(struct milvus *m, const char *db, const char *name,
                        struct milvus_open *out);
bool milvus_database(struct milvus *m, const char *db);
/* Partitions: there is one. */
bool milvus_partition(struct milvus *m, const char *name);
bool milvus_partitions(struct milvus *m, const struct pb_list *names);
/* A number that stands for the name. */
int64_t milvus_id(const char *name);
/* Calls visit with each collection's name. */
bool milvus_each(struct milvus *m, void (*visit)(void *user, const char *name), void *user);

/* ---- Schemas (milvus_schema.c) --------------------------------------------------------------- */

/* The field that holds what a schema does not name, as JSON text. */
#define MILVUS_DYNAMIC "_dynamic"
#define MILVUS_DYNAMIC_NAME "$meta"

struct milvus_schema {
  vecdb_schema schema;
  bool auto_id;
  bool dynamic;
};
bool milvus_schema_read(struct milvus *m, struct pb_bytes in, struct milvus_schema *out);
void milvus_schema_write(struct milvus *m, uint32_t field, const struct milvus_open *open);

/* ---- Rows and filters (milvus_rows.c, milvus_filter.c) --------------------------------------- */

/* Columns of FieldData messages into a batch; makes keys where the collection numbers them. */
bool milvus_rows_read(struct milvus *m, const struct milvus_open *open, const struct pb_list *data,
                      uint32_t n_rows, vecdb_batch *out);
/* The IDs message of a batch's keys. */
void milvus_keys_write(struct milvus *m, uint32_t field, const struct milvus_open *open,
                       const vecdb_batch *batch);

/* Sparse vectors (milvus_sparse.c): one, a column of n rows from a SparseFloatArray, one into the
   open VectorField of an answer, and the check of an index on them, which they have anyway. */
bool milvus_sparse_one(struct milvus *m, const char *field, struct pb_bytes in, vecdb_sparse *out);
bool milvus_sparse_read(struct milvus *m, const vecdb_field *field, struct pb_bytes in, size_t n,
                        vecdb_column *out);
void milvus_sparse_write(struct pb_out *out, const vecdb_value *values, size_t n);
bool milvus_sparse_index(struct milvus *m, const struct milvus_pairs *pairs);

/* What a search or query is asked to give of its rows. */
struct milvus_fields {
  const char **names; /* for vecdb.h */
  size_t n;
  const char **asked; /* as the answer names them */
  size_t n_asked;
};
bool milvus_fields_read(struct milvus *m, const struct milvus_open *open,
                        const struct pb_list *wanted, struct milvus_fields *out);
/* FieldData of a column: of `n` rows, those in `pick`, or the first. */
void milvus_column_write(struct milvus *m, uint32_t number, const vecdb_field *field,
                         const vecdb_rows *rows, const uint32_t *pick, size_t n);
void milvus_columns_write(struct milvus *m, uint32_t number, const struct milvus_open *open,
                          const struct milvus_fields *fields, const vecdb_rows *rows,
                          const uint32_t *pick, size_t n);

bool milvus_filter_read(struct milvus *m, const char *text, const struct pb_list *values,
                        vecdb_filter *out);

/* ---- Methods --------------------------------------------------------------------------------- */

/* milvus_admin.c */
milvus_work milvus_connect, milvus_version, milvus_health, milvus_collection_create,
    milvus_collection_drop, milvus_collection_describe, milvus_collection_has,
    milvus_collection_list, milvus_collection_stats, milvus_databases;
/* milvus_load.c */
milvus_work milvus_load, milvus_release, milvus_load_progress, milvus_load_state,
    milvus_partition_has, milvus_partition_list, milvus_partition_stats, milvus_flush,
    milvus_flush_state, milvus_compact, milvus_compact_state, milvus_compact_plans,
    milvus_segments;
/* milvus_index.c */
milvus_work milvus_index_create, milvus_index_describe, milvus_index_drop, milvus_index_state,
    milvus_index_progress;
/* milvus_write.c */
milvus_work milvus_insert, milvus_upsert, milvus_delete;
/* milvus_search.c and milvus_hybrid.c */
milvus_work milvus_search, milvus_query, milvus_hybrid;

#endif
