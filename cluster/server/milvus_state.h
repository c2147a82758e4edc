/*
 * milvus_state.h - what Milvus's users set and vecdb.h has no place for, in the file
 * DATA.milvus.json: by collection an object
 *   {"physical": name in the database, "auto_id", "loaded": booleans,
 *    "indexes": {FIELD: {"name": index name, "params": {KEY: VALUE as it was sent}}},
 *    "aliases": [NAME], "partitions": [NAME] but for _default, "properties": {KEY: VALUE},
 *    "json": [FIELD], "partition_key": FIELD, "num_partitions": number; where there are any}
 * A collection without a record was made by other means, and is loaded. Records have labels: NAME
 * in the database default, DB/NAME in others. DB/ is the record of a database: {"properties"}.
 */
#ifndef SRV_MILVUS_STATE_H
#define SRV_MILVUS_STATE_H

#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct srv_milvus_state {
  pthread_mutex_t mutex;   /* of the records and the file; held shortly */
  pthread_mutex_t change;  /* one change of collections and indexes at a time; taken first */
  pthread_rwlock_t writes; /* writers of rows share it; who moves rows has it alone */
  json_t *records;
  char *path; /* NULL: nothing is kept */
  uint64_t last_id;
};

/* Reads the file beside the database folder `data`; NULL with a sentence in `error`
   (SRV_CONFIG_ERROR bytes). */
struct srv_milvus_state *srv_milvus_state_start(const char *data, char *error);
void srv_milvus_state_stop(struct srv_milvus_state *state);

/* A copy of the record, to be released; NULL: none (or no memory). */
json_t *srv_milvus_record(struct srv_milvus_state *state, const char *name);
/* Sets the record, or removes it (NULL), durably; takes the reference. False: nothing changed. */
bool srv_milvus_record_put(struct srv_milvus_state *state, const char *name, json_t *record);
/* The label of the record with this physical name, as a text to be freed; NULL: none. */
char *srv_milvus_record_of(struct srv_milvus_state *state, const char *physical);
/* Calls visit with each label and its record, under the mutex: it takes no other lock and calls
   nothing here. A non-zero return ends the walk. */
void srv_milvus_records(struct srv_milvus_state *state,
                        int (*visit)(void *user, const char *label, const json_t *record),
                        void *user);
/* The first of n keys that were never given before: the time in milliseconds, and a counter. */
int64_t srv_milvus_ids(struct srv_milvus_state *state, uint64_t n);

#endif
