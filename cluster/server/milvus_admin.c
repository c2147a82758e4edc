/* milvus_admin.c - methods about the server and whole collections: create, describe, list, drop. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "server/guard.h"
#include "server/milvus.h"
#include "server/milvus_rebuild.h"
#include "server/observe.h"

/* A request that names a collection, as most do. */
struct admin_named {
  const char *db, *name;
  struct pb_bytes schema;
  struct pb_list properties, deleted;
  int64_t level, partitions;
};
static const struct pb_field admin_named_table[] = {
    {2, PB_TEXT, offsetof(struct admin_named, db)},
    {3, PB_TEXT, offsetof(struct admin_named, name)},
    {4, PB_BYTES, offsetof(struct admin_named, schema)},
    {6, PB_NUMBER, offsetof(struct admin_named, level)},
    {7, PB_LIST, offsetof(struct admin_named, properties)},
    {8, PB_NUMBER, offsetof(struct admin_named, partitions)},
};
enum { ADMIN_NAMED = 2, ADMIN_CREATE = 6 }; /* how many of the fields a request has */
enum { ADMIN_BUCKETS = 16 }; /* of a partition key, as Milvus has it */

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

/* ---- Collections ----------------------------------------------------------------------------- */

static json_t *admin_record(const char *physical, const struct admin_named *r,
                            const struct milvus_schema *schema) {
  json_t *out = json_pack("{s:s, s:b, s:b, s:{}, s:I, s:s*}", "physical", physical, "auto_id",
                          (int)schema->auto_id, "loaded", 1, "indexes", "level",
                          (json_int_t)r->level, "partition_key", schema->partition_key);
  if (out && schema->partition_key)
    json_object_set_new(out, "num_partitions",
                        json_integer(r->partitions > 1 ? r->partitions : ADMIN_BUCKETS));
  return out;
}

/* The record comes first: one without its collection is the record of nothing. */
static bool admin_create(struct milvus *m, const struct admin_named *r,
                         const struct milvus_schema *schema) {
  struct srv_server *server = m->call->server;
  struct milvus_open open;
  vecdb_error error;
  char physical[MILVUS_PHYSICAL];
  if (milvus_open(m, r->db, r->name, &open)) {
    milvus_close(&open);
    return milvus_fail(m, SRV_MILVUS_ARGUMENT, "collection already exists[collection=%.255s]",
                       r->name);
  }
  if (m->code != SRV_MILVUS_NO_COLLECTION)
    return false;
  m->code = 0;
  memset(&open, 0, sizeof open);
  open.label = milvus_label(m, milvus_database_name(m, r->db), r->name);
  if (!open.label || !milvus_physical_free(m, r->name, physical))
    return false;
  srv_call_about(m->call, physical);
  open.record = admin_record(physical, r, schema);
  bool good = (open.record || milvus_no_memory(m)) &&
              milvus_properties_set(m, open.record, &r->properties, &r->deleted) &&
              milvus_record_keep(m, &open);
  if (good &&
      srv_guard_create(m->call, physical, &schema->schema, NULL, &error) != VECDB_OK) {
    srv_milvus_record_put(server->milvus, open.label, NULL);
    good = milvus_error(m, &error);
  }
  if (good && srv_guard_get_collection(m->call, physical, &open.collection, &error) == VECDB_OK) {
    milvus_opened(&open);
    good = milvus_ttl(m, &open);
  }
  milvus_close(&open);
  return good;
}

void milvus_collection_create(struct milvus *m) {
  struct srv_milvus_state *state = m->call->server->milvus;
  struct admin_named r;
  struct milvus_schema schema;
  if (!admin_read(m, ADMIN_CREATE, &r) || !milvus_database(m, r.db))
    return;
  srv_call_about(m->call, r.name);
  if (milvus_schema_read(m, r.schema, &schema)) {
    pthread_mutex_lock(&state->change);
    admin_create(m, &r, &schema);
    pthread_mutex_unlock(&state->change);
  }
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
    if (milvus_alias(m, open.db, r.name))
      milvus_fail(m, SRV_MILVUS_ARGUMENT, "%.255s is an alias: drop the collection by its name",
                  r.name);
    else if (json_array_size(json_object_get(open.record, "aliases")))
      milvus_fail(m, SRV_MILVUS_ARGUMENT, "collection %.255s has aliases: drop them first", r.name);
    else if (srv_guard_drop(m->call, open.physical, &error) != VECDB_OK)
      milvus_error(m, &error);
    else if (open.record)
      srv_milvus_record_put(server->milvus, open.label, NULL);
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
  srv_pb_number(&m->out, 3, milvus_id(open.name));
  srv_pb_number(&m->out, 8, 1);
  milvus_aliases_write(&m->out, 9, open.record);
  json_t *level = json_object_get(open.record, "level");
  srv_pb_number(&m->out, 11, level ? json_integer_value(level) : srv_milvus_consistency("Strong"));
  srv_pb_text(&m->out, 12, open.name);
  milvus_properties_write(&m->out, 13, open.record);
  srv_pb_text(&m->out, 14, open.db);
  srv_pb_number(&m->out, 15, milvus_partition_count(&open));
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
    milvus_each(m, r.db, admin_list_one, m);
}

void milvus_collection_stats(struct milvus *m) {
  struct admin_named r;
  struct milvus_open open;
  vecdb_stats stats = VECDB_STATS_INIT;
  vecdb_error error;
  char text[32];
  if (!admin_read(m, ADMIN_NAMED, &r) || !milvus_open(m, r.db, r.name, &open))
    return;
  if (srv_guard_stats(m->call, open.collection, &stats, &error) == VECDB_OK) {
    snprintf(text, sizeof text, "%llu", (unsigned long long)stats.rows);
    milvus_pair_put(&m->out, 2, "row_count", text);
  } else {
    milvus_error(m, &error);
  }
  milvus_close(&open);
}

/* An empty collection takes the place of the old one, with its schema, indexes and aliases. */
void milvus_collection_truncate(struct milvus *m) {
  struct srv_milvus_state *state = m->call->server->milvus;
  struct milvus_rebuild change = {.empty = true};
  struct admin_named r;
  struct milvus_open open;
  if (!admin_read(m, ADMIN_NAMED, &r))
    return;
  pthread_mutex_lock(&state->change);
  if (milvus_open(m, r.db, r.name, &open)) {
    milvus_rebuild(m, &open, &change);
    milvus_close(&open);
  }
  pthread_mutex_unlock(&state->change);
}
