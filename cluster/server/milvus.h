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

/* The i-th method; NULL: there are not so many. */
const struct srv_route *srv_milvus_route_at(size_t i);
/* The other way. */
size_t srv_milvus_route_number(const struct srv_route *route);

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

#define MILVUS_DEFAULT "default"

/* A collection as Milvus's users see it. Texts lie in the call's arena or in the record. */
struct milvus_open {
  const char *db;
  const char *name;     /* the collection's own, where an alias was asked for */
  const char *label;    /* of its record */
  const char *physical; /* its name in vecdb */
  json_t *record;       /* a copy, see milvus_state.h; NULL: none */
  struct engine_collection *collection;
  const vecdb_schema *schema;
  const vecdb_field *key;
  bool auto_id;
  bool dynamic;
  bool loaded;
};

/* The database and the collection, or an alias of it, must be there. Close with milvus_close. */
bool milvus_open(struct milvus *m, const char *db, const char *name, struct milvus_open *out);
void milvus_close(struct milvus_open *open);
/* As milvus_open; fails also when the collection is not loaded. */
bool milvus_open_loaded(struct milvus *m, const char *db, const char *name,
                        struct milvus_open *out);
/* Fails for a name that is empty, longer than 255 bytes or of other than letters, digits and _, or
   that starts with a digit; `what` it is the name of. */
bool milvus_name(struct milvus *m, const char *what, const char *name);
/* Sets what follows from open->collection and open->record. */
void milvus_opened(struct milvus_open *open);
/* The record, made where there is none; NULL: no memory. */
json_t *milvus_record(struct milvus_open *open);
/* Keeps the record as it is now. */
bool milvus_record_keep(struct milvus *m, struct milvus_open *open);
/* The database that a request means: by its field, by its metadata, or the default one. */
const char *milvus_database_name(const struct milvus *m, const char *db);
/* Fails where there is no such database. */
bool milvus_database(struct milvus *m, const char *db);
/* The label of a name's record, in the arena (NULL after failing); and the name of a label of that
   database, NULL for those of others. */
const char *milvus_label(struct milvus *m, const char *db, const char *name);
const char *milvus_label_name(const char *label, const char *db);
/* The label of the collection that has this alias; NULL: none. */
const char *milvus_alias(struct milvus *m, const char *db, const char *alias);
/* A number that stands for the name. */
int64_t milvus_id(const char *name);
/* Calls visit with each name of a collection in the database. */
bool milvus_each(struct milvus *m, const char *db, void (*visit)(void *user, const char *name),
                 void *user);

/* ---- Partitions (milvus_partition.c) --------------------------------------------------------- */

/* The field that says in which partition a row is; only in collections that have been given
   partitions. */
#define MILVUS_PARTITION "_partition"
#define MILVUS_PARTITION_DEFAULT "_default"

/* Fails where there is no such partition; "" is the default one. */
bool milvus_partition(struct milvus *m, const struct milvus_open *open, const char *name);
/* Narrows the filter to rows in one of the partitions; none: all of them. */
bool milvus_partitions(struct milvus *m, const struct milvus_open *open,
                       const struct pb_list *names, vecdb_filter *filter);
/* Adds the column that puts a batch's rows into the partition; *n_columns grows by 0 or 1. */
bool milvus_partition_column(struct milvus *m, const struct milvus_open *open, const char *name,
                             uint32_t n_rows, vecdb_column *columns, uint32_t *n_columns);

/* ---- Changes (milvus_alter.c) ---------------------------------------------------------------- */

/* The field with the times at which rows were written; only in collections that had a time to live.
   It is in milliseconds. */
#define MILVUS_WRITTEN "_written"
/* The property that says it, in seconds; 0 and less: for ever. */
#define MILVUS_TTL "collection.ttl.seconds"

/* Adds a field to the collection. */
bool milvus_field_add(struct milvus *m, struct milvus_open *open, const vecdb_field *field);
/* Puts the time to live among the record's properties in force. */
bool milvus_ttl(struct milvus *m, struct milvus_open *open);
/* The same of a collection and its record, as a call of the library. */
int milvus_expire(struct engine_collection *collection, const json_t *record, vecdb_error *error);
/* The present time for each row, in the arena; NULL: no memory. */
int64_t *milvus_written(struct srv_arena *arena, uint32_t n_rows);
/* Adds the column with the time of a batch's rows, where they have one; *n_columns grows by 0 or
   1. */
bool milvus_ttl_column(struct milvus *m, const struct milvus_open *open, uint32_t n_rows,
                       vecdb_column *columns, uint32_t *n_columns);

/* How many partitions there are, or places that a partition key spreads rows over. */
int64_t milvus_partition_count(const struct milvus_open *open);

/* ---- Records (milvus_database.c, milvus_alias.c) --------------------------------------------- */

/* Sets KeyValuePairs in the record's properties and takes out keys; and writes them. */
bool milvus_properties_set(struct milvus *m, json_t *record, const struct pb_list *set,
                           const struct pb_list *deleted);
void milvus_properties_write(struct pb_out *out, uint32_t field, const json_t *record);
void milvus_aliases_write(struct pb_out *out, uint32_t field, const json_t *record);

/* ---- Schemas (milvus_schema.c) --------------------------------------------------------------- */

/* The field that holds what a schema does not name, as JSON. */
#define MILVUS_DYNAMIC "_dynamic"
#define MILVUS_DYNAMIC_NAME "$meta"
enum { MILVUS_JSON = 23 }; /* Milvus's data type of JSON */

/* Whether clients are not to see the field as one of the schema. */
bool milvus_hidden(const char *field);
/* Whether the field holds JSON: by its type, or, in a collection from before there was this type,
   as VARCHAR: the dynamic one, and those that the record names. */
bool milvus_is_json(const struct milvus_open *open, const char *field);

struct milvus_schema {
  vecdb_schema schema;
  bool auto_id;
  bool dynamic;
  const char *partition_key; /* NULL: none */
};
bool milvus_schema_read(struct milvus *m, struct pb_bytes in, struct milvus_schema *out);
void milvus_schema_dynamic(vecdb_field *out);
/* One field, a FieldSchema, to be added. */
bool milvus_field_read(struct milvus *m, struct pb_bytes in, vecdb_field *out);
void milvus_schema_write(struct milvus *m, uint32_t field, const struct milvus_open *open);

/* ---- Indexes of JSON paths (milvus_json.c) --------------------------------------------------- */

/* What a client asks for; NULL where it says nothing. */
struct srv_milvus_path {
  const char *field, *path, *cast;
};
/* The JSON field that an index on `name` is of: the field, or the dynamic one. NULL: none. */
const vecdb_field *srv_milvus_json_field(const vecdb_schema *schema, const char *name);
/* Fills the index, in the arena; what is wrong with it, else NULL. */
const char *srv_milvus_json_index(struct srv_arena *arena, const vecdb_field *field,
                                  const struct srv_milvus_path *asked, vecdb_json_index *out);

/* ---- Rows and filters (milvus_rows.c, milvus_filter.c) --------------------------------------- */

/* Columns of FieldData messages into a batch of rows of the partition; makes keys where the
   collection numbers them. */
bool milvus_rows_read(struct milvus *m, const struct milvus_open *open, const char *partition,
                      const struct pb_list *data, uint32_t n_rows, vecdb_batch *out);
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
/* FieldData of the fields: of `n` rows, those in `pick`, or the first. */
void milvus_columns_write(struct milvus *m, uint32_t number, const struct milvus_open *open,
                          const struct milvus_fields *fields, const struct engine_rows *rows,
                          const uint32_t *pick, size_t n);

/* A filter over the collection's fields; names that the schema lacks are keys of the dynamic field,
   where there is one. A blank text: every row passes. */
bool milvus_filter_read(struct milvus *m, const struct milvus_open *open, const char *text,
                        const struct pb_list *values, vecdb_filter *out);

/* Whether a collection takes what its schema does not name (milvus_dynamic.c). */
bool srv_milvus_is_dynamic(const vecdb_schema *schema);
/* A filter in the library's words, in the arena; NULL: out of memory, after failing. *rewritten: so
   many parts of it that are not as they were; NULL: nobody wants them. */
const char *srv_milvus_dynamic_text(struct srv_arena *arena, const vecdb_schema *schema,
                                    const char *text, const struct srv_rewritten **rewritten,
                                    size_t *n);
const char *milvus_dynamic(struct milvus *m, const struct milvus_open *open, const char *text);

/* Builds the record's indexes anew, over a rebuilt collection (milvus_index.c). */
bool milvus_index_again(struct milvus *m, const struct milvus_open *open);

/* ---- Methods --------------------------------------------------------------------------------- */

/* milvus_admin.c */
milvus_work milvus_connect, milvus_version, milvus_health, milvus_collection_create,
    milvus_collection_drop, milvus_collection_describe, milvus_collection_has,
    milvus_collection_list, milvus_collection_stats, milvus_collection_truncate;
/* milvus_alter.c */
milvus_work milvus_collection_alter, milvus_collection_add_field;
/* milvus_database.c */
milvus_work milvus_databases, milvus_database_create, milvus_database_drop,
    milvus_database_describe, milvus_database_alter;
/* milvus_alias.c */
milvus_work milvus_alias_create, milvus_alias_alter, milvus_alias_drop, milvus_alias_describe,
    milvus_alias_list, milvus_rename;
/* milvus_partition.c */
milvus_work milvus_partition_create, milvus_partition_drop, milvus_partition_has,
    milvus_partition_list, milvus_partition_stats;
/* milvus_load.c */
milvus_work milvus_load, milvus_release, milvus_load_progress, milvus_load_state,
    milvus_flush, milvus_flush_state, milvus_compact, milvus_compact_state, milvus_compact_plans,
    milvus_segments;
/* milvus_index.c */
milvus_work milvus_index_create, milvus_index_describe, milvus_index_drop, milvus_index_state,
    milvus_index_progress;
/* milvus_write.c */
milvus_work milvus_insert, milvus_upsert, milvus_delete;
/* milvus_search.c and milvus_hybrid.c */
milvus_work milvus_search, milvus_query, milvus_hybrid;

#endif
