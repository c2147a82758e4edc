/* milvus_alias.c - other names of collections, kept in their records, and new names for them. */
#include <stddef.h>
#include <string.h>

#include "server/guard.h"
#include "server/milvus.h"

struct alias_request {
  const char *db, *name, *alias, *new_db;
};
static const struct pb_field alias_named_table[] = {
    {2, PB_TEXT, offsetof(struct alias_request, db)},
    {3, PB_TEXT, offsetof(struct alias_request, name)},
    {4, PB_TEXT, offsetof(struct alias_request, alias)},
    {5, PB_TEXT, offsetof(struct alias_request, new_db)}, /* of a renaming, whose alias is new */
};
static const struct pb_field alias_asked_table[] = {
    {2, PB_TEXT, offsetof(struct alias_request, db)},
    {3, PB_TEXT, offsetof(struct alias_request, alias)},
};

/* Whether the name means a collection, or an alias, already. */
static bool alias_taken(struct milvus *m, const char *db, const char *name) {
  struct milvus_open there;
  bool taken = milvus_open(m, db, name, &there);
  if (taken)
    milvus_close(&there);
  else if (m->code == SRV_MILVUS_NO_COLLECTION)
    m->code = 0;
  return taken;
}

static bool alias_missing(struct milvus *m, const char *db, const char *alias) {
  return milvus_fail(m, SRV_MILVUS_NO_ALIAS, "alias not found[database=%.100s][alias=%.255s]", db,
                     alias);
}

/* Takes the alias from the collection that has it. */
static bool alias_remove(struct milvus *m, const char *db, const char *alias) {
  struct milvus_open open;
  const char *label = milvus_alias(m, db, alias);
  if (!label)
    return alias_missing(m, db, alias);
  if (!milvus_open(m, db, alias, &open))
    return false;
  json_t *aliases = json_object_get(open.record, "aliases");
  for (size_t i = json_array_size(aliases); i-- > 0;)
    if (strcmp(json_string_value(json_array_get(aliases, i)), alias) == 0)
      json_array_remove(aliases, i);
  bool good = milvus_record_keep(m, &open);
  milvus_close(&open);
  return good;
}

static bool alias_add(struct milvus *m, struct milvus_open *open, const char *alias) {
  json_t *record = milvus_record(open);
  if (!json_object_get(record, "aliases"))
    json_object_set_new(record, "aliases", json_array());
  return (json_array_append_new(json_object_get(record, "aliases"), json_string(alias)) == 0 ||
          milvus_no_memory(m)) &&
         milvus_record_keep(m, open);
}

static bool alias_set(struct milvus *m, const struct alias_request *r, bool anew) {
  struct milvus_open open;
  if (!milvus_name(m, "alias", r->alias) || !milvus_open(m, r->db, r->name, &open))
    return false;
  bool good = false;
  if (anew && alias_taken(m, r->db, r->alias))
    milvus_fail(m, SRV_MILVUS_ARGUMENT, "%.255s is the name of another collection or alias",
                r->alias);
  else if (m->code == 0)
    good = anew || alias_remove(m, open.db, r->alias);
  milvus_close(&open);
  if (!good || !milvus_open(m, r->db, r->name, &open)) /* whose record may have changed */
    return false;
  good = alias_add(m, &open, r->alias);
  milvus_close(&open);
  return good;
}

static void alias_change(struct milvus *m, bool anew) {
  struct srv_milvus_state *state = m->call->server->milvus;
  struct alias_request r;
  if (!MILVUS_REQUEST(m, alias_named_table, &r))
    return;
  pthread_mutex_lock(&state->change);
  alias_set(m, &r, anew);
  pthread_mutex_unlock(&state->change);
}

void milvus_alias_create(struct milvus *m) {
  alias_change(m, true);
}

void milvus_alias_alter(struct milvus *m) {
  alias_change(m, false);
}

/* Dropping what is not there is no error, as in Milvus. */
void milvus_alias_drop(struct milvus *m) {
  struct srv_milvus_state *state = m->call->server->milvus;
  struct alias_request r;
  if (!MILVUS_REQUEST(m, alias_asked_table, &r) || !milvus_database(m, r.db))
    return;
  pthread_mutex_lock(&state->change);
  if (!alias_remove(m, milvus_database_name(m, r.db), r.alias) && m->code == SRV_MILVUS_NO_ALIAS)
    m->code = 0;
  pthread_mutex_unlock(&state->change);
}

/* Whether who asks may know the aliases of the record's collection. */
static bool alias_shown(const struct milvus *m, const json_t *record) {
  const char *physical = json_string_value(json_object_get(record, "physical"));
  return physical && srv_guard_may_read(m->call, physical);
}

void milvus_alias_describe(struct milvus *m) {
  struct alias_request r;
  if (!MILVUS_REQUEST(m, alias_asked_table, &r) || !milvus_database(m, r.db))
    return;
  const char *db = milvus_database_name(m, r.db), *label = milvus_alias(m, db, r.alias);
  json_t *record = label ? srv_milvus_record(m->call->server->milvus, label) : NULL;
  bool shown = record && alias_shown(m, record);
  json_decref(record);
  if (!shown) {
    alias_missing(m, db, r.alias);
    return;
  }
  srv_pb_text(&m->out, 2, db);
  srv_pb_text(&m->out, 3, r.alias);
  srv_pb_text(&m->out, 4, milvus_label_name(label, db));
}

struct alias_walk {
  struct milvus *m;
  const char *db;
};

static int alias_one(void *user, const char *label, const json_t *record) {
  struct alias_walk *walk = user;
  if (milvus_label_name(label, walk->db) && alias_shown(walk->m, record))
    milvus_aliases_write(&walk->m->out, 4, record);
  return 0;
}

void milvus_aliases_write(struct pb_out *out, uint32_t field, const json_t *record) {
  json_t *aliases = json_object_get(record, "aliases");
  for (size_t i = 0; i < json_array_size(aliases); i++)
    srv_pb_text(out, field, json_string_value(json_array_get(aliases, i)));
}

void milvus_alias_list(struct milvus *m) {
  struct alias_request r;
  struct milvus_open open;
  if (!MILVUS_REQUEST(m, alias_named_table, &r) || !milvus_database(m, r.db))
    return;
  struct alias_walk walk = {m, milvus_database_name(m, r.db)};
  srv_pb_text(&m->out, 2, walk.db);
  if (!*r.name) {
    srv_milvus_records(m->call->server->milvus, alias_one, &walk);
  } else if (milvus_open(m, r.db, r.name, &open)) {
    srv_pb_text(&m->out, 3, open.name);
    milvus_aliases_write(&m->out, 4, open.record);
    milvus_close(&open);
  }
}

/* ---- Renaming -------------------------------------------------------------------------------- */

/* The record moves; the collection keeps its physical name. */
static bool rename_record(struct milvus *m, struct milvus_open *open, const char *db,
                          const char *name) {
  struct srv_milvus_state *state = m->call->server->milvus;
  const char *old = open->label;
  open->label = milvus_label(m, milvus_database_name(m, db), name);
  return open->label && milvus_record_keep(m, open) &&
         (srv_milvus_record_put(state, old, NULL) ||
          milvus_fail(m, SRV_MILVUS_UNEXPECTED, "the old record cannot be removed"));
}

void milvus_rename(struct milvus *m) {
  struct srv_milvus_state *state = m->call->server->milvus;
  struct alias_request r;
  struct milvus_open open;
  if (!MILVUS_REQUEST(m, alias_named_table, &r))
    return;
  const char *db = *r.new_db ? r.new_db : r.db;
  pthread_mutex_lock(&state->change);
  pthread_rwlock_wrlock(&state->writes);
  if (milvus_open(m, r.db, r.name, &open)) {
    if (alias_taken(m, db, r.alias))
      milvus_fail(m, SRV_MILVUS_ARGUMENT, "duplicated new collection name: %.255s already exists",
                  r.alias);
    else if (m->code == 0 && milvus_name(m, "collection", r.alias))
      rename_record(m, &open, db, r.alias);
    milvus_close(&open);
  }
  pthread_rwlock_unlock(&state->writes);
  pthread_mutex_unlock(&state->change);
}
