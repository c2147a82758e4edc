/* milvus_alter.c - changes of a collection that is there: fields that are added, properties, and of
   these the time to live, for which a hidden field keeps when each row was written. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/json_schema.h"
#include "server/milvus.h"

struct alter_request {
  const char *db, *name;
  struct pb_bytes schema;
  struct pb_list properties, deleted;
};
static const struct pb_field alter_field_table[] = {
    {2, PB_TEXT, offsetof(struct alter_request, db)},
    {3, PB_TEXT, offsetof(struct alter_request, name)},
    {5, PB_BYTES, offsetof(struct alter_request, schema)},
};
static const struct pb_field alter_table[] = {
    {2, PB_TEXT, offsetof(struct alter_request, db)},
    {3, PB_TEXT, offsetof(struct alter_request, name)},
    {5, PB_LIST, offsetof(struct alter_request, properties)},
    {6, PB_LIST, offsetof(struct alter_request, deleted)},
};

static int64_t alter_now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

bool milvus_field_add(struct milvus *m, struct milvus_open *open, const vecdb_field *field) {
  vecdb_schema schema = {sizeof schema, sizeof *field, NULL, field, 1};
  vecdb_error error;
  if (engine_fields_add(open->collection, &schema, NULL, &error) != VECDB_OK)
    return milvus_error(m, &error);
  milvus_opened(open);
  return true;
}

/* ---- Times to live --------------------------------------------------------------------------- */

/* Rows from before count from now on. */
static int alter_ttl_field(struct engine_collection *collection, vecdb_error *error) {
  vecdb_field field = {.name = MILVUS_WRITTEN, .type = VECDB_INT64, .flags = VECDB_HAS_DEFAULT,
                       .default_value = {.type = VECDB_INT64, .as.integer = alter_now_ms()}};
  vecdb_schema schema = {sizeof schema, sizeof field, NULL, &field, 1};
  return srv_schema_field(engine_collection_schema(collection), MILVUS_WRITTEN)
             ? VECDB_OK
             : engine_fields_add(collection, &schema, NULL, error);
}

int milvus_expire(struct engine_collection *collection, const json_t *record, vecdb_error *error) {
  const char *text =
      json_string_value(json_object_get(json_object_get(record, "properties"), MILVUS_TTL));
  long long seconds = text ? strtoll(text, NULL, 10) : 0;
  if (seconds <= 0 && !engine_expiry(collection, NULL))
    return VECDB_OK;
  int rc = seconds > 0 ? alter_ttl_field(collection, error) : VECDB_OK;
  return rc != VECDB_OK ? rc
                        : engine_expire(collection, seconds > 0 ? MILVUS_WRITTEN : NULL,
                                       (uint64_t)seconds * 1000, NULL, error);
}

bool milvus_ttl(struct milvus *m, struct milvus_open *open) {
  vecdb_error error;
  if (milvus_expire(open->collection, open->record, &error) != VECDB_OK)
    return milvus_error(m, &error);
  milvus_opened(open);
  return true;
}

int64_t *milvus_written(struct srv_arena *arena, uint32_t n_rows) {
  int64_t now = alter_now_ms(), *times = srv_arena_array(arena, n_rows, sizeof *times);
  for (uint32_t i = 0; times && i < n_rows; i++)
    times[i] = now;
  return times;
}

bool milvus_ttl_column(struct milvus *m, const struct milvus_open *open, uint32_t n_rows,
                       vecdb_column *columns, uint32_t *n_columns) {
  const vecdb_field *field = srv_schema_field(open->schema, MILVUS_WRITTEN);
  if (!field || field->type != VECDB_INT64) /* another one was made by other means */
    return true;
  const int64_t *times = milvus_written(&m->call->arena, n_rows);
  if (!times)
    return milvus_no_memory(m);
  columns[(*n_columns)++] = (vecdb_column){.field = MILVUS_WRITTEN, .data = times};
  return true;
}

/* ---- Methods --------------------------------------------------------------------------------- */

static void alter_field(struct milvus *m, struct milvus_open *open, struct pb_bytes in) {
  vecdb_field field = {0};
  if (milvus_field_read(m, in, &field))
    milvus_field_add(m, open, &field);
}

void milvus_collection_add_field(struct milvus *m) {
  struct srv_milvus_state *state = m->call->server->milvus;
  struct alter_request r;
  struct milvus_open open;
  if (!MILVUS_REQUEST(m, alter_field_table, &r))
    return;
  pthread_mutex_lock(&state->change);
  if (milvus_open(m, r.db, r.name, &open)) {
    alter_field(m, &open, r.schema);
    milvus_close(&open);
  }
  pthread_mutex_unlock(&state->change);
}

void milvus_collection_alter(struct milvus *m) {
  struct srv_milvus_state *state = m->call->server->milvus;
  struct alter_request r;
  struct milvus_open open;
  if (!MILVUS_REQUEST(m, alter_table, &r))
    return;
  pthread_mutex_lock(&state->change);
  if (milvus_open(m, r.db, r.name, &open)) {
    if (milvus_record(&open) && milvus_properties_set(m, open.record, &r.properties, &r.deleted) &&
        milvus_ttl(m, &open))
      milvus_record_keep(m, &open); /* what is refused is not in it */
    milvus_close(&open);
  }
  pthread_mutex_unlock(&state->change);
}
