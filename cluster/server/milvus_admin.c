/* milvus_admin.c - methods about the server and whole collections: create, describe, list, drop. */
#include <stddef.h>
#include <stdio.h>

#include "server/milvus.h"

/* A request that names a collection, as most do. */
struct admin_named {
  const char *db, *name;
  struct pb_bytes schema;
};
static const struct pb_field admin_named_table[] = {
    {2, PB_TEXT, offsetof(struct admin_named, db)},
    {3, PB_TEXT, offsetof(struct admin_named, name)},
    {4, PB_BYTES, offsetof(struct admin_named, schema)},
};
enum { ADMIN_NAMED = 2, ADMIN_CREATE = 3 }; /* how many of the fields a request has */

static bool admin_read(struct milvus *m, size_t n_fields, struct admin_named *out) {
  struct pb_bytes in = {(const uint8_t *)m->call->body, m->call->body_bytes};
  return milvus_take(m, in, admin_named_table, n_fields, out, sizeof *out);
}

/* ---- The server ------------------------------------------------------------------------------ */

void milvus_connect(struct milvus *m) {
  size_t mark = srv_pb_open(&m->out, 2);
  srv_pb_text(&m->out, 1, vecdb_version());
  srv_pb_close(&m->out, mark);
  srv_pb_number(&m->out, 3, 1);
}

void milvus_version(struct milvus *m) {
  char text[64];
  snprintf(text, sizeof text, "vecdb-%s", vecdb_version());
  srv_pb_text(&m->out, 2, text);
}

void milvus_health(struct milvus *m) {
  srv_pb_number(&m->out, 2, !atomic_load(&m->call->server->draining));
}

void milvus_databases(struct milvus *m) {
  srv_pb_text(&m->out, 2, "default");
}

/* ---- Collections ----------------------------------------------------------------------------- */

static json_t *admin_record(const char *name, const struct milvus_schema *schema) {
  return json_pack("{s:s, s:b, s:b, s:{}}", "physical", name, "auto_id", (int)schema->auto_id,
                   "loaded", 0, "indexes");
}

/* The record comes first: one without its collection is the record of nothing. */
static bool admin_create(struct milvus *m, const char *name, const struct milvus_schema *schema) {
  struct srv_server *server = m->call->server;
  struct milvus_open there;
  vecdb_error error;
  if (milvus_open(m, "", name, &there)) {
    milvus_close(&there);
    return milvus_fail(m, SRV_MILVUS_ARGUMENT, "collection already exists[collection=%.255s]",
                       name);
  }
  if (m->code != SRV_MILVUS_NO_COLLECTION)
    return false;
  m->code = 0;
  json_t *record = admin_record(name, schema);
  if (!record || !srv_milvus_record_put(server->milvus, name, record))
    return milvus_fail(m, SRV_MILVUS_UNEXPECTED, "the collection's record cannot be written");
  if (vecdb_collection_create(server->db, name, &schema->schema, NULL, &error) == VECDB_OK)
    return true;
  srv_milvus_record_put(server->milvus, name, NULL);
  return milvus_error(m, &error);
}

void milvus_collection_create(struct milvus *m) {
  struct srv_milvus_state *state = m->call->server->milvus;
  struct admin_named r;
  struct milvus_schema schema;
  if (!admin_read(m, ADMIN_CREATE, &r) || !milvus_database(m, r.db) ||
      !milvus_schema_read(m, r.schema, &schema))
    return;
  pthread_mutex_lock(&state->change);
  admin_create(m, r.name, &schema);
  pthread_mutex_unlock(&state->change);
}

/* Dropping what is not there is no error, as in Milvus. */
void milvus_collection_drop(struct milvus *m) {
  struct srv_server *server = m->call->server;
  struct admin_named r;
  struct milvus_open open;
  vecdb_error error;
  if (!admin_read(m, ADMIN_NAMED, &r))
    return;
  pthread_mutex_lock(&server->milvus->change);
  if (milvus_open(m, r.db, r.name, &open)) {
    const char *physical = vecdb_collection_name(open.collection);
    if (vecdb_collection_drop(server->db, physical, &error) != VECDB_OK)
      milvus_error(m, &error);
    else if (open.record)
      srv_milvus_record_put(server->milvus, r.name, NULL);
    milvus_close(&open);
  } else if (m->code == SRV_MILVUS_NO_COLLECTION) {
    m->code = 0;
  }
  pthread_mutex_unlock(&server->milvus->change);
}

void milvus_collection_describe(struct milvus *m) {
  struct admin_named r;
  struct milvus_open open;
  if (!admin_read(m, ADMIN_NAMED, &r) || !milvus_open(m, r.db, r.name, &open))
    return;
  milvus_schema_write(m, 2, &open);
  srv_pb_number(&m->out, 3, milvus_id(r.name));
  srv_pb_number(&m->out, 8, 1);
  srv_pb_number(&m->out, 11, srv_milvus_consistency("Strong"));
  srv_pb_text(&m->out, 12, r.name);
  srv_pb_text(&m->out, 14, "default");
  srv_pb_number(&m->out, 15, 1);
  milvus_close(&open);
}

void milvus_collection_has(struct milvus *m) {
  struct admin_named r;
  struct milvus_open open;
  if (!admin_read(m, ADMIN_NAMED, &r))
    return;
  bool there = milvus_open(m, r.db, r.name, &open);
  if (there)
    milvus_close(&open);
  else if (m->code == SRV_MILVUS_NO_COLLECTION)
    m->code = 0;
  srv_pb_number(&m->out, 2, there);
}

static void admin_list_one(void *user, const char *name) {
  struct milvus *m = user;
  srv_pb_text(&m->out, 2, name);
  srv_pb_number(&m->out, 3, milvus_id(name));
}

void milvus_collection_list(struct milvus *m) {
  struct admin_named r;
  if (admin_read(m, 1, &r) && milvus_database(m, r.db))
    milvus_each(m, admin_list_one, m);
}

void milvus_collection_stats(struct milvus *m) {
  struct admin_named r;
  struct milvus_open open;
  vecdb_stats stats = VECDB_STATS_INIT;
  vecdb_error error;
  char text[32];
  if (!admin_read(m, ADMIN_NAMED, &r) || !milvus_open(m, r.db, r.name, &open))
    return;
  if (vecdb_collection_stats(open.collection, &stats, &error) == VECDB_OK) {
    snprintf(text, sizeof text, "%llu", (unsigned long long)stats.rows);
    milvus_pair_put(&m->out, 2, "row_count", text);
  } else {
    milvus_error(m, &error);
  }
  milvus_close(&open);
}
