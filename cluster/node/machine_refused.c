/*
 * machine_refused.c - the writes that a shard has refused, beside its rows: a row for each that is
 * still in its client's window (replica/dedup.h), so that whoever sends it again hears the same, at
 * any replica, also after a restart and from a copy of the data.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "node/machine_int.h"

/* A client's numbers use its 64 places in turn, as the window goes: who comes to a place finds in
   it what has left the window. A later version may have more fields, and reads rows without them.
   */
enum { REFUSED_PLACES = 64, REFUSED_KEY = 24, REFUSED_FIELDS = 8 };
enum { REFUSED_OP, REFUSED_COUNT, REFUSED_CODE, REFUSED_ROW, REFUSED_POSITION, REFUSED_FIELD,
       REFUSED_WORDS, REFUSED_NONE };

#define REFUSED_NUMBER(text) {.name = (text), .type = VECDB_INT64, \
                              .scalar_index = VECDB_SCALAR_INDEX_NONE}
/* Words are bytes: one that is cut within a letter is no VARCHAR. A collection has a vector. */
static const vecdb_field refused_fields[REFUSED_FIELDS] = {
    {.name = "op", .type = VECDB_VARCHAR, .max_length = REFUSED_KEY, .flags = VECDB_PRIMARY_KEY},
    REFUSED_NUMBER("count"),
    REFUSED_NUMBER("code"),
    REFUSED_NUMBER("row"),
    REFUSED_NUMBER("position"),
    {.name = "field", .type = VECDB_ARRAY, .element_type = VECDB_INT8,
     .max_capacity = sizeof ((vecdb_error *)0)->field, .scalar_index = VECDB_SCALAR_INDEX_NONE},
    {.name = "words", .type = VECDB_ARRAY, .element_type = VECDB_INT8,
     .max_capacity = sizeof ((vecdb_error *)0)->message, .scalar_index = VECDB_SCALAR_INDEX_NONE},
    {.name = "none", .type = VECDB_BINARY_VECTOR, .dim = 8}};

int machine_refused_open(struct machine_db *d, vecdb_error *e) {
  vecdb_schema schema = VECDB_SCHEMA_INIT;
  schema.fields = refused_fields;
  schema.n_fields = REFUSED_FIELDS;
  return machine_db_collection(d->db, "refused", &schema, &d->refused, e);
}

static vecdb_string refused_key(uint64_t client, uint64_t place, char out[REFUSED_KEY]) {
  int n = snprintf(out, REFUSED_KEY, "%016" PRIx64 ".%02" PRIu64, client, place);
  return (vecdb_string){out, (size_t)n};
}

static bool refused_keep(struct machine_db *d, vecdb_string key, uint64_t count,
                         const struct machine_outcome *o) {
  const int64_t numbers[] = {(int64_t)count, o->code, o->error.row, o->error.position};
  const char *const texts[] = {key.data, o->error.field, o->error.message};
  const uint32_t lengths[] = {(uint32_t)key.length, (uint32_t)strlen(o->error.field),
                              (uint32_t)strlen(o->error.message)};
  const uint8_t none = 0;
  vecdb_column columns[REFUSED_FIELDS] = {{0}};
  vecdb_batch batch = VECDB_BATCH_INIT;
  for (int i = 0; i < REFUSED_FIELDS; i++)
    columns[i].field = refused_fields[i].name;
  for (int i = REFUSED_COUNT; i <= REFUSED_POSITION; i++)
    columns[i].data = &numbers[i - REFUSED_COUNT];
  columns[REFUSED_OP].data = &texts[0];
  columns[REFUSED_OP].lengths = &lengths[0];
  for (int i = REFUSED_FIELD; i <= REFUSED_WORDS; i++) {
    columns[i].data = &texts[1 + i - REFUSED_FIELD];
    columns[i].lengths = &lengths[1 + i - REFUSED_FIELD];
  }
  columns[REFUSED_NONE].data = &none;
  batch.columns = columns;
  batch.n_columns = REFUSED_FIELDS;
  batch.n_rows = 1;
  return !vecdb_upsert(d->refused, &batch, NULL, NULL);
}

/* Not what one replica alone has met, as a check that cannot read its rows. */
static bool refused_by_all(int code) {
  return code && (code < VECDB_ERR_BUSY || code == VECDB_ERR_UNSUPPORTED ||
                  code == VECDB_ERR_VERSION || code == WIRE_PROTOCOL);
}

bool machine_refused_settle(struct machine_db *d, struct rep_op op,
                            const struct machine_outcome *o) {
  char text[REFUSED_KEY];
  const vecdb_string key = refused_key(op.client, op.count % REFUSED_PLACES, text);
  const vecdb_keys keys = {NULL, &key, 1};
  if (refused_by_all(o->code))
    return refused_keep(d, key, op.count, o);
  return !vecdb_delete(d->refused, &keys, NULL, NULL);
}

bool machine_refused_forget(struct machine_db *d, uint64_t client) {
  char texts[REFUSED_PLACES][REFUSED_KEY];
  vecdb_string strings[REFUSED_PLACES];
  const vecdb_keys keys = {NULL, strings, REFUSED_PLACES};
  for (uint64_t i = 0; i < REFUSED_PLACES; i++)
    strings[i] = refused_key(client, i, texts[i]);
  return !vecdb_delete(d->refused, &keys, NULL, NULL);
}

/* Rows have their key first, then the fields that were asked for. */
static void refused_take(const vecdb_rows *rows, struct machine_outcome *out) {
  vecdb_value field = vecdb_rows_value(rows, 0, REFUSED_FIELD);
  vecdb_value words = vecdb_rows_value(rows, 0, REFUSED_WORDS);
  out->code = (int32_t)vecdb_rows_value(rows, 0, REFUSED_CODE).as.integer;
  out->error.row = vecdb_rows_value(rows, 0, REFUSED_ROW).as.integer;
  out->error.position = vecdb_rows_value(rows, 0, REFUSED_POSITION).as.integer;
  memcpy(out->error.field, field.as.data, field.length);
  memcpy(out->error.message, words.as.data, words.length);
}

int machine_refused(struct machine_data *d, struct rep_op op, struct machine_outcome *out) {
  char text[REFUSED_KEY];
  const char *names[REFUSED_NONE - REFUSED_COUNT];
  const vecdb_string key = refused_key(op.client, op.count % REFUSED_PLACES, text);
  const vecdb_keys keys = {NULL, &key, 1};
  vecdb_rows *rows = NULL;
  *out = (struct machine_outcome){.error = {.row = -1, .position = -1}};
  for (int i = REFUSED_COUNT; i < REFUSED_NONE; i++)
    names[i - REFUSED_COUNT] = refused_fields[i].name;
  int code = vecdb_get(d->db.refused, &keys, names, REFUSED_NONE - REFUSED_COUNT, NULL, &rows,
                       NULL);
  if (!code && vecdb_rows_count(rows) &&
      (uint64_t)vecdb_rows_value(rows, 0, REFUSED_COUNT).as.integer == op.count)
    refused_take(rows, out);
  vecdb_rows_free(rows);
  return code;
}
