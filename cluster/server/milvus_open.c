/* milvus_open.c - from the names of Milvus's users to collections; see milvus.h. */
#include <stdlib.h>
#include <string.h>

#include "server/json_schema.h"
#include "server/milvus.h"

bool milvus_database(struct milvus *m, const char *db) {
  if (!*db || strcmp(db, "default") == 0)
    return true;
  return milvus_fail(m, SRV_MILVUS_NO_DATABASE, "database not found[database=%.100s]", db);
}

static bool milvus_no_collection(struct milvus *m, const char *name) {
  return milvus_fail(m, SRV_MILVUS_NO_COLLECTION,
                     "collection not found[database=default][collection=%.255s]", name);
}

bool milvus_open(struct milvus *m, const char *db, const char *name, struct milvus_open *out) {
  vecdb_error error;
  memset(out, 0, sizeof *out);
  if (!milvus_database(m, db))
    return false;
  out->name = name;
  out->record = srv_milvus_record(m->call->server->milvus, name);
  const char *physical = json_string_value(json_object_get(out->record, "physical"));
  int rc = vecdb_collection_get(m->call->server->db, physical ? physical : name, &out->collection,
                                &error);
  if (rc != VECDB_OK) {
    milvus_close(out);
    /* A name that vecdb refuses is the name of nothing. */
    return rc == VECDB_ERR_NOT_FOUND || rc == VECDB_ERR_NAME ? milvus_no_collection(m, name)
                                                             : milvus_error(m, &error);
  }
  out->schema = vecdb_collection_schema(out->collection);
  out->key = srv_schema_key(out->schema);
  out->dynamic = srv_schema_field(out->schema, MILVUS_DYNAMIC) != NULL;
  out->auto_id = json_is_true(json_object_get(out->record, "auto_id"));
  out->loaded = !out->record || json_is_true(json_object_get(out->record, "loaded"));
  return true;
}

void milvus_close(struct milvus_open *open) {
  vecdb_collection_release(open->collection);
  json_decref(open->record);
  memset(open, 0, sizeof *open);
}

bool milvus_open_loaded(struct milvus *m, const char *db, const char *name,
                        struct milvus_open *out) {
  if (!milvus_open(m, db, name, out))
    return false;
  if (out->loaded)
    return true;
  milvus_close(out);
  return milvus_fail(m, SRV_MILVUS_NOT_LOADED, "collection not loaded[collection=%.255s]", name);
}

bool milvus_partition(struct milvus *m, const char *name) {
  if (!*name || strcmp(name, "_default") == 0)
    return true;
  return milvus_fail(m, SRV_MILVUS_NO_PARTITION, "partition not found[partition=%.255s]", name);
}

bool milvus_partitions(struct milvus *m, const struct pb_list *names) {
  const char **texts = milvus_texts(m, names);
  if (!texts)
    return false;
  for (size_t i = 0; i < names->n; i++)
    if (!milvus_partition(m, texts[i]))
      return false;
  return true;
}

int64_t milvus_id(const char *name) {
  uint64_t hash = 14695981039346656037u; /* FNV-1a */
  for (; *name; name++)
    hash = (hash ^ (unsigned char)*name) * 1099511628211u;
  return (int64_t)(hash >> 2); /* JavaScript's and Go's clients want it positive */
}

struct open_walk {
  struct milvus *m;
  void (*visit)(void *user, const char *name);
  void *user;
};

/* A physical name is shown as its record's. */
static int open_walked(void *user, const char *physical) {
  struct open_walk *walk = user;
  char *name = srv_milvus_record_of(walk->m->call->server->milvus, physical);
  walk->visit(walk->user, name ? name : physical);
  free(name);
  return 0;
}

bool milvus_each(struct milvus *m, void (*visit)(void *user, const char *name), void *user) {
  struct open_walk walk = {m, visit, user};
  vecdb_error error;
  return vecdb_collection_list(m->call->server->db, open_walked, &walk, &error) == VECDB_OK ||
         milvus_error(m, &error);
}
