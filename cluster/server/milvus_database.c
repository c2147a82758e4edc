/* milvus_database.c - databases: names before those of collections, each with its properties. */
#include <stddef.h>
#include <string.h>

#include "server/milvus.h"

struct database_request {
  const char *db;
  struct pb_list properties, deleted;
};
static const struct pb_field database_create_table[] = {
    {2, PB_TEXT, offsetof(struct database_request, db)},
    {3, PB_LIST, offsetof(struct database_request, properties)},
};
static const struct pb_field database_alter_table[] = {
    {2, PB_TEXT, offsetof(struct database_request, db)},
    {4, PB_LIST, offsetof(struct database_request, properties)},
    {5, PB_LIST, offsetof(struct database_request, deleted)},
};

bool milvus_properties_set(struct milvus *m, json_t *record, const struct pb_list *set,
                           const struct pb_list *deleted) {
  struct milvus_pairs pairs;
  const char **gone = milvus_texts(m, deleted);
  if (!gone || !milvus_pairs_read(m, set, &pairs))
    return false;
  json_t *properties = json_object_get(record, "properties");
  if (!properties) {
    properties = json_object();
    json_object_set_new(record, "properties", properties);
  }
  for (size_t i = 0; i < pairs.n; i++)
    json_object_set_new(properties, pairs.keys[i], json_string(pairs.values[i]));
  for (size_t i = 0; i < deleted->n; i++)
    json_object_del(properties, gone[i]);
  return properties != NULL || milvus_no_memory(m);
}

void milvus_properties_write(struct pb_out *out, uint32_t field, const json_t *record) {
  const char *key;
  json_t *value;
  json_object_foreach(json_object_get(record, "properties"), key, value) {
    milvus_pair_put(out, field, key, json_is_string(value) ? json_string_value(value) : "");
  }
}

/* ---- Listing --------------------------------------------------------------------------------- */

static int database_one(void *user, const char *label, const json_t *record) {
  struct milvus *m = user;
  size_t n = strlen(label);
  (void)record;
  if (n && label[n - 1] == '/')
    srv_pb_bytes(&m->out, 2, label, n - 1);
  return 0;
}

void milvus_databases(struct milvus *m) {
  srv_pb_text(&m->out, 2, MILVUS_DEFAULT);
  srv_milvus_records(m->call->server->milvus, database_one, m);
}

void milvus_database_describe(struct milvus *m) {
  struct database_request r;
  if (!MILVUS_REQUEST(m, database_create_table, &r) || !milvus_database(m, r.db))
    return;
  const char *db = milvus_database_name(m, r.db), *label = milvus_label(m, db, "");
  json_t *record = label ? srv_milvus_record(m->call->server->milvus, label) : NULL;
  srv_pb_text(&m->out, 2, db);
  srv_pb_number(&m->out, 3, milvus_id(db));
  milvus_properties_write(&m->out, 5, record);
  json_decref(record);
}

/* ---- Changing -------------------------------------------------------------------------------- */

static bool database_keep(struct milvus *m, const char *label, json_t *record) {
  return srv_milvus_record_put(m->call->server->milvus, label, record) ||
         milvus_fail(m, SRV_MILVUS_UNEXPECTED, "the database's record cannot be written");
}

static void database_create(struct milvus *m, const struct database_request *r) {
  const char *label = milvus_label(m, r->db, "");
  json_t *record = NULL;
  if (strcmp(r->db, MILVUS_DEFAULT) == 0 || milvus_database(m, r->db)) {
    milvus_fail(m, SRV_MILVUS_ARGUMENT, "database already exists[database=%.255s]", r->db);
    return;
  }
  if (m->code != SRV_MILVUS_NO_DATABASE || !label)
    return;
  m->code = 0;
  record = json_object();
  if (!milvus_properties_set(m, record, &r->properties, &r->deleted))
    json_decref(record);
  else
    database_keep(m, label, record);
}

void milvus_database_create(struct milvus *m) {
  struct srv_milvus_state *state = m->call->server->milvus;
  struct database_request r;
  if (!MILVUS_REQUEST(m, database_create_table, &r) || !milvus_name(m, "database", r.db))
    return;
  pthread_mutex_lock(&state->change);
  database_create(m, &r);
  pthread_mutex_unlock(&state->change);
}

static void database_count(void *user, const char *name) {
  (void)name;
  ++*(size_t *)user;
}

static void database_drop(struct milvus *m, const char *db) {
  const char *label = milvus_label(m, db, "");
  size_t n = 0;
  if (!label || !milvus_database(m, db) || !milvus_each(m, db, database_count, &n))
    return;
  if (n || strcmp(db, MILVUS_DEFAULT) == 0)
    milvus_fail(m, SRV_MILVUS_ARGUMENT, "%s[database=%.255s]",
                n ? "database not empty" : "can not drop the default database", db);
  else
    database_keep(m, label, NULL);
}

void milvus_database_drop(struct milvus *m) {
  struct srv_milvus_state *state = m->call->server->milvus;
  struct database_request r;
  if (!MILVUS_REQUEST(m, database_create_table, &r) || !milvus_name(m, "database", r.db))
    return;
  pthread_mutex_lock(&state->change);
  database_drop(m, r.db);
  pthread_mutex_unlock(&state->change);
}

void milvus_database_alter(struct milvus *m) {
  struct srv_milvus_state *state = m->call->server->milvus;
  struct database_request r;
  if (!MILVUS_REQUEST(m, database_alter_table, &r) || !milvus_name(m, "database", r.db))
    return;
  if (strcmp(r.db, MILVUS_DEFAULT) == 0) {
    milvus_fail(m, SRV_MILVUS_ARGUMENT, "the default database has no properties");
    return;
  }
  pthread_mutex_lock(&state->change);
  const char *label = milvus_label(m, r.db, "");
  if (label && milvus_database(m, r.db)) {
    json_t *record = srv_milvus_record(state, label);
    if (record && milvus_properties_set(m, record, &r.properties, &r.deleted))
      database_keep(m, label, json_incref(record));
    json_decref(record);
  }
  pthread_mutex_unlock(&state->change);
}
