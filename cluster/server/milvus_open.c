/* milvus_open.c - from the names of Milvus's users to collections; see milvus.h. */
#include <stdlib.h>
#include <string.h>

#include "server/guard.h"
#include "server/json_schema.h"
#include "server/milvus.h"
#include "server/observe.h"

/* ---- Names ----------------------------------------------------------------------------------- */

const char *milvus_database_name(const struct milvus *m, const char *db) {
  if (!*db && m->call->database)
    db = m->call->database;
  return *db ? db : MILVUS_DEFAULT;
}

const char *milvus_label(struct milvus *m, const char *db, const char *name) {
  if (strcmp(db, MILVUS_DEFAULT) == 0)
    return name;
  size_t n = strlen(db), more = strlen(name);
  char *out = srv_arena_array(&m->call->arena, n + more + 2, 1);
  if (!out) {
    milvus_no_memory(m);
    return NULL;
  }
  memcpy(out, db, n);
  out[n] = '/';
  memcpy(out + n + 1, name, more);
  return out;
}

const char *milvus_label_name(const char *label, const char *db) {
  const char *slash = strchr(label, '/');
  if (strcmp(db, MILVUS_DEFAULT) == 0)
    return slash ? NULL : label;
  size_t n = strlen(db);
  bool inside = slash && (size_t)(slash - label) == n && strncmp(label, db, n) == 0 && slash[1];
  return inside ? slash + 1 : NULL;
}

bool milvus_database(struct milvus *m, const char *db) {
  db = milvus_database_name(m, db);
  if (strcmp(db, MILVUS_DEFAULT) == 0)
    return true;
  const char *label = milvus_label(m, db, "");
  json_t *record = label ? srv_milvus_record(m->call->server->milvus, label) : NULL;
  bool there = record != NULL;
  json_decref(record);
  return there || milvus_fail(m, SRV_MILVUS_NO_DATABASE, "database not found[database=%.100s]", db);
}

bool milvus_name(struct milvus *m, const char *what, const char *name) {
  static const char letters[] = "_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
  size_t n = strlen(name);
  return (n > 0 && n <= VECDB_MAX_NAME && strspn(name, letters) == n &&
          !strchr("0123456789", *name)) ||
         milvus_fail(m, SRV_MILVUS_ARGUMENT,
                     "invalid %s name: %.100s; up to %d letters, digits and _, no digit first",
                     what, name, VECDB_MAX_NAME);
}

/* ---- Collections ----------------------------------------------------------------------------- */

static bool milvus_no_collection(struct milvus *m, const char *db, const char *name) {
  return milvus_fail(m, SRV_MILVUS_NO_COLLECTION,
                     "collection not found[database=%.100s][collection=%.255s]: it does not exist",
                     db, name);
}

struct open_alias {
  struct milvus *m;
  const char *db, *alias;
  char *label;
};

static int open_alias_match(void *user, const char *label, const json_t *record) {
  struct open_alias *a = user;
  json_t *aliases = json_object_get(record, "aliases");
  for (size_t i = 0; milvus_label_name(label, a->db) && i < json_array_size(aliases); i++)
    if (strcmp(json_string_value(json_array_get(aliases, i)), a->alias) == 0)
      a->label = srv_arena_text(&a->m->call->arena, label, strlen(label));
  return a->label != NULL;
}

const char *milvus_alias(struct milvus *m, const char *db, const char *alias) {
  struct open_alias a = {m, db, alias, NULL};
  srv_milvus_records(m->call->server->milvus, open_alias_match, &a);
  return a.label;
}

/* Without a record a name is that of a collection made by other means, unless that collection is
   another's behind its record. */
static bool open_claimed(struct milvus *m, const char *physical) {
  char *label = srv_milvus_record_of(m->call->server->milvus, physical);
  bool claimed = label != NULL;
  free(label);
  return claimed;
}

/* The record behind a name or an alias, and the name of its collection; false: there is none. */
static bool open_find(struct milvus *m, const char *name, struct milvus_open *out) {
  struct srv_milvus_state *state = m->call->server->milvus;
  out->name = name;
  out->label = milvus_label(m, out->db, name);
  if (!out->label)
    return false;
  out->record = srv_milvus_record(state, out->label);
  const char *label = out->record ? NULL : milvus_alias(m, out->db, name);
  if (label) {
    out->label = label;
    out->name = milvus_label_name(label, out->db);
    out->record = srv_milvus_record(state, label);
  }
  out->physical = json_string_value(json_object_get(out->record, "physical"));
  if (!out->physical && out->label == name && !open_claimed(m, name))
    out->physical = name;
  return out->physical != NULL;
}

bool milvus_open(struct milvus *m, const char *db, const char *name, struct milvus_open *out) {
  vecdb_error error;
  memset(out, 0, sizeof *out);
  if (!milvus_database(m, db))
    return false;
  out->db = milvus_database_name(m, db);
  int rc = VECDB_ERR_NOT_FOUND;
  bool found = open_find(m, name, out);
  srv_call_about(m->call, found ? out->physical : name);
  if (found)
    rc = srv_guard_get_collection(m->call, out->physical, &out->collection, &error);
  if (rc != VECDB_OK) {
    const char *asked = out->db;
    milvus_close(out);
    /* A name that vecdb refuses is the name of nothing. */
    return rc == VECDB_ERR_NOT_FOUND || rc == VECDB_ERR_NAME ? milvus_no_collection(m, asked, name)
                                                             : milvus_error(m, &error);
  }
  milvus_opened(out);
  return true;
}

void milvus_opened(struct milvus_open *open) {
  open->physical = engine_collection_name(open->collection);
  open->schema = engine_collection_schema(open->collection);
  open->key = srv_schema_key(open->schema);
  open->dynamic = srv_milvus_is_dynamic(open->schema);
  open->auto_id = json_is_true(json_object_get(open->record, "auto_id"));
  open->loaded = !open->record || json_is_true(json_object_get(open->record, "loaded"));
}

void milvus_close(struct milvus_open *open) {
  engine_collection_release(open->collection);
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

json_t *milvus_record(struct milvus_open *open) {
  if (!open->record)
    open->record = json_pack("{s:s, s:b, s:b, s:{}}", "physical", open->physical, "auto_id", 0,
                             "loaded", 1, "indexes");
  return open->record;
}

bool milvus_record_keep(struct milvus *m, struct milvus_open *open) {
  return (milvus_record(open) && srv_milvus_record_put(m->call->server->milvus, open->label,
                                                       json_deep_copy(open->record))) ||
         milvus_fail(m, SRV_MILVUS_UNEXPECTED, "the collection's record cannot be written");
}

int64_t milvus_id(const char *name) {
  uint64_t hash = 14695981039346656037u; /* FNV-1a */
  for (; *name; name++)
    hash = (hash ^ (unsigned char)*name) * 1099511628211u;
  return (int64_t)(hash >> 2); /* JavaScript's and Go's clients want it positive */
}

struct open_walk {
  struct milvus *m;
  const char *db;
  void (*visit)(void *user, const char *name);
  void *user;
};

/* A physical name is shown as its record's. */
static int open_walked(void *user, const char *physical) {
  struct open_walk *walk = user;
  char *label = srv_milvus_record_of(walk->m->call->server->milvus, physical);
  const char *name = milvus_label_name(label ? label : physical, walk->db);
  if (name)
    walk->visit(walk->user, name);
  free(label);
  return 0;
}

bool milvus_each(struct milvus *m, const char *db, void (*visit)(void *user, const char *name),
                 void *user) {
  struct open_walk walk = {m, milvus_database_name(m, db), visit, user};
  vecdb_error error;
  return srv_guard_list(m->call, open_walked, &walk, &error) == VECDB_OK ||
         milvus_error(m, &error);
}
