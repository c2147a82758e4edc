/*
 * milvus_load.c - methods about the state of a collection: loaded or not, flushing and compacting.
 * Loading is a word that searches wait for: rows are always at hand, so a new collection is loaded
 * until it is released.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "server/milvus.h"

enum { LOAD_NOT_EXIST = 0, LOAD_NOT_LOADED = 1, LOAD_LOADED = 3, LOAD_COMPACTED = 2 };

struct load_named {
  const char *db, *name, *partition;
};
static const struct pb_field load_named_table[] = {
    {2, PB_TEXT, offsetof(struct load_named, db)},
    {3, PB_TEXT, offsetof(struct load_named, name)},
    {4, PB_TEXT, offsetof(struct load_named, partition)},
};
enum { LOAD_NAMED = 2, LOAD_PARTITION = 3 }; /* how many of the fields a request has */

/* Questions about loading have the fields in another order. */
static const struct pb_field load_asked_table[] = {
    {2, PB_TEXT, offsetof(struct load_named, name)},
    {4, PB_TEXT, offsetof(struct load_named, db)},
};

static bool load_read(struct milvus *m, size_t n_fields, struct load_named *out) {
  struct pb_bytes in = {(const uint8_t *)m->call->body, m->call->body_bytes};
  return milvus_take(m, in, load_named_table, n_fields, out, sizeof *out);
}

/* ---- Loading --------------------------------------------------------------------------------- */

static bool load_indexed(const struct milvus_open *open) {
  return !open->record || json_object_size(json_object_get(open->record, "indexes")) > 0;
}

static void load_set(struct milvus *m, bool loaded) {
  struct srv_milvus_state *state = m->call->server->milvus;
  struct load_named r;
  struct milvus_open open;
  if (!load_read(m, LOAD_NAMED, &r))
    return;
  pthread_mutex_lock(&state->change);
  if (milvus_open(m, r.db, r.name, &open)) {
    if (loaded && !open.loaded && !load_indexed(&open)) {
      milvus_fail(m, SRV_MILVUS_NO_INDEX, "index not found[collection=%.255s]", r.name);
    } else if (open.loaded != loaded && milvus_record(&open)) {
      json_object_set_new(open.record, "loaded", json_boolean(loaded));
      milvus_record_keep(m, &open);
    }
    milvus_close(&open);
  }
  pthread_mutex_unlock(&state->change);
}

void milvus_load(struct milvus *m) {
  load_set(m, true);
}

void milvus_release(struct milvus *m) {
  load_set(m, false);
}

void milvus_load_progress(struct milvus *m) {
  struct load_named r;
  struct milvus_open open;
  if (!MILVUS_REQUEST(m, load_asked_table, &r) || !milvus_open_loaded(m, r.db, r.name, &open))
    return;
  srv_pb_number(&m->out, 2, 100);
  srv_pb_number(&m->out, 3, 100); /* refresh_load polls this one */
  milvus_close(&open);
}

void milvus_load_state(struct milvus *m) {
  struct load_named r;
  struct milvus_open open;
  if (!MILVUS_REQUEST(m, load_asked_table, &r))
    return;
  int state = LOAD_NOT_EXIST;
  if (milvus_open(m, r.db, r.name, &open)) {
    state = open.loaded ? LOAD_LOADED : LOAD_NOT_LOADED;
    milvus_close(&open);
  } else if (m->code == SRV_MILVUS_NO_COLLECTION) {
    m->code = 0;
  }
  srv_pb_number(&m->out, 2, state);
}

/* ---- Flush and compact ----------------------------------------------------------------------- */

struct load_flush {
  const char *db;
  struct pb_list names;
};
static const struct pb_field load_flush_table[] = {
    {2, PB_TEXT, offsetof(struct load_flush, db)},
    {3, PB_LIST, offsetof(struct load_flush, names)},
};

static bool load_flush_one(struct milvus *m, const char *db, const char *name) {
  struct milvus_open open;
  vecdb_error error;
  if (!milvus_open(m, db, name, &open))
    return false;
  bool good = engine_flush(open.collection, NULL, &error) == VECDB_OK || milvus_error(m, &error);
  milvus_close(&open);
  return good;
}

/* pymilvus looks up each collection's segments and flush time in the answer's maps. */
static void load_flush_answer(struct milvus *m, const char *name) {
  static const uint32_t maps[] = {3, 4}; /* of segment ids, which are none */
  for (size_t i = 0; i < 2; i++) {
    size_t mark = srv_pb_open(&m->out, maps[i]);
    srv_pb_text(&m->out, 1, name);
    srv_pb_bytes(&m->out, 2, NULL, 0);
    srv_pb_close(&m->out, mark);
  }
  static const uint32_t times[] = {5, 6};
  for (size_t i = 0; i < 2; i++) {
    size_t mark = srv_pb_open(&m->out, times[i]);
    srv_pb_text(&m->out, 1, name);
    srv_pb_number(&m->out, 2, 1);
    srv_pb_close(&m->out, mark);
  }
}

void milvus_flush(struct milvus *m) {
  struct load_flush r;
  if (!MILVUS_REQUEST(m, load_flush_table, &r))
    return;
  const char **names = milvus_texts(m, &r.names);
  for (size_t i = 0; names && i < r.names.n; i++) {
    if (!load_flush_one(m, r.db, names[i]))
      return;
    load_flush_answer(m, names[i]);
  }
}

/* A flush has happened when its call returns. */
void milvus_flush_state(struct milvus *m) {
  srv_pb_number(&m->out, 2, 1);
}

struct load_compact {
  int64_t id;
  const char *db, *name;
};
static const struct pb_field load_compact_table[] = {
    {1, PB_NUMBER, offsetof(struct load_compact, id)},
    {4, PB_TEXT, offsetof(struct load_compact, name)},
    {5, PB_TEXT, offsetof(struct load_compact, db)},
};

struct load_search {
  struct milvus *m;
  int64_t id;
  const char *name;
};

static void load_match(void *user, const char *name) {
  struct load_search *s = user;
  if (!s->name && milvus_id(name) == s->id)
    s->name = srv_arena_text(&s->m->call->arena, name, strlen(name));
}

/* Older clients name the collection by its number only. */
void milvus_compact(struct milvus *m) {
  struct load_compact r;
  struct milvus_open open;
  vecdb_error error;
  if (!MILVUS_REQUEST(m, load_compact_table, &r))
    return;
  struct load_search search = {m, r.id, *r.name ? r.name : NULL};
  if (!search.name && !milvus_each(m, r.db, load_match, &search))
    return;
  if (!milvus_open(m, r.db, search.name ? search.name : "", &open))
    return;
  int rc = engine_compact(open.collection, NULL, &error);
  if (rc != VECDB_OK && rc != VECDB_ERR_UNSUPPORTED) /* nodes of a cluster merge by themselves */
    milvus_error(m, &error);
  milvus_close(&open);
  srv_pb_number(&m->out, 2, milvus_id(search.name ? search.name : ""));
  srv_pb_number(&m->out, 3, 1);
}

/* A compaction is over when its call returns. */
void milvus_compact_state(struct milvus *m) {
  srv_pb_number(&m->out, 2, LOAD_COMPACTED);
  srv_pb_number(&m->out, 5, 1);
}

void milvus_compact_plans(struct milvus *m) {
  srv_pb_number(&m->out, 2, LOAD_COMPACTED);
}

/* Nothing that Milvus calls a segment: the list is empty. */
void milvus_segments(struct milvus *m) {
  struct load_named r;
  struct milvus_open open;
  if (load_read(m, LOAD_NAMED, &r) && milvus_open(m, r.db, r.name, &open))
    milvus_close(&open);
}
