/*
 * qdrant_write.c - writing and deleting points and changing their payloads; see qdrant.h.
 *
 * A payload is changed by reading points and upserting them whole, which nothing must come between:
 * such changes have the writes of points to themselves.
 */
#include <pthread.h>
#include <string.h>

#include "server/guard.h"
#include "server/handlers.h"
#include "server/qdrant.h"

enum { WRITE_PAGE = 1000 };

static pthread_rwlock_t write_lock = PTHREAD_RWLOCK_INITIALIZER;

/* ---- Upserts --------------------------------------------------------------------------------- */

/* {"ids", "vectors", "payloads"} as an array of points; NULL after answering. */
static json_t *write_batch(struct srv_call *call, json_t *batch) {
  static const char *const keys[] = {"ids", "vectors", "payloads", NULL};
  json_t *ids = NULL, *payloads = NULL, *vectors = json_object_get(batch, "vectors");
  if (!json_is_object(batch)) {
    srv_call_fail(call, 400, "TYPE", "\"batch\" must be an object");
    return NULL;
  }
  if (!srv_only_keys(call, batch, keys) || !srv_take_array(call, batch, "ids", &ids) ||
      !srv_take_array(call, batch, "payloads", &payloads))
    return NULL;
  size_t n = json_array_size(ids);
  bool good = json_is_array(vectors) ? json_array_size(vectors) == n : json_is_object(vectors);
  const char *name;
  json_t *list;
  json_object_foreach(vectors, name, list) {
    good = good && json_array_size(list) == n;
  }
  if (!good || (payloads && json_array_size(payloads) != n)) {
    srv_call_fail(call, 400, "ARGUMENT", "\"ids\", \"vectors\" and \"payloads\" must be as many");
    return NULL;
  }
  json_t *out = json_array();
  for (size_t i = 0; i < n; i++) {
    json_t *vector =
        json_is_array(vectors) ? json_incref(json_array_get(vectors, i)) : json_object();
    if (json_is_object(vectors))
      json_object_foreach(vectors, name, list) {
        json_object_set(vector, name, json_array_get(list, i));
      }
    json_array_append_new(out, json_pack("{s:O, s:o, s:O*}", "id", json_array_get(ids, i), "vector",
                                         vector, "payload", json_array_get(payloads, i)));
  }
  if (!out)
    srv_call_no_memory(call);
  return out;
}

void srv_qdrant_upsert(struct srv_call *call) {
  static const char *const keys[] = {"points",        "batch",       "shard_key",
                                     "update_filter", "update_mode", NULL};
  static const char *const refused[] = {"shard_key", "update_filter", "update_mode", NULL};
  json_t *points = NULL, *batch = json_object_get(call->json, "batch");
  if (!srv_only_keys(call, call->json, keys) || !srv_qdrant_refuse(call, call->json, refused) ||
      !srv_take_array(call, call->json, "points", &points))
    return;
  if (!points == !batch) {
    srv_call_fail(call, 400, "ARGUMENT", "an upsert takes either \"points\" or \"batch\"");
    return;
  }
  json_t *list = batch ? write_batch(call, batch) : json_incref(points);
  struct engine_collection *collection = list ? srv_qdrant_collection(call) : NULL;
  if (collection) {
    pthread_rwlock_rdlock(&write_lock);
    bool good = srv_qdrant_put(call, collection, list);
    pthread_rwlock_unlock(&write_lock);
    if (good)
      srv_qdrant_written(call);
    engine_collection_release(collection);
  }
  json_decref(list);
}

/* ---- Deletes --------------------------------------------------------------------------------- */

/* Which points a write is about: ids or a filter. */
struct write_target {
  json_t *ids;
  vecdb_keys keys;
  vecdb_filter filter;
};

static bool write_target_read(struct srv_call *call, struct write_target *target) {
  static const char *const refused[] = {"shard_key", "key", NULL};
  json_t *filter = json_object_get(call->json, "filter");
  if (json_is_null(filter))
    filter = NULL;
  target->ids = NULL;
  if (!srv_qdrant_refuse(call, call->json, refused) ||
      !srv_take_array(call, call->json, "points", &target->ids))
    return false;
  if (!target->ids == !filter) {
    srv_call_fail(call, 400, "ARGUMENT", "points are chosen either by \"points\" or by \"filter\"");
    return false;
  }
  return target->ids
             ? srv_qdrant_keys(call, target->ids, &target->keys)
             : srv_qdrant_filter(call, filter, NULL, (vecdb_string){NULL, 0}, &target->filter);
}

void srv_qdrant_delete(struct srv_call *call) {
  static const char *const keys[] = {"points", "filter", "shard_key", NULL};
  struct write_target target;
  vecdb_error error;
  if (!srv_only_keys(call, call->json, keys) || !write_target_read(call, &target))
    return;
  struct engine_collection *collection = srv_qdrant_collection(call);
  if (!collection)
    return;
  pthread_rwlock_rdlock(&write_lock);
  int rc = target.ids ? srv_guard_delete(call, collection, &target.keys, NULL, &error)
                      : srv_guard_delete_where(call, collection, &target.filter, NULL, &error);
  pthread_rwlock_unlock(&write_lock);
  if (rc != VECDB_OK)
    srv_call_error(call, &error);
  else
    srv_qdrant_written(call);
  engine_collection_release(collection);
}

/* ---- Payloads -------------------------------------------------------------------------------- */

/* Gives a point its new payload from the old one: a new reference. */
typedef json_t *write_change(json_t *payload, json_t *with);

static json_t *write_merge(json_t *payload, json_t *with) {
  json_object_update(payload, with);
  return json_incref(payload);
}

static json_t *write_replace(json_t *payload, json_t *with) {
  (void)payload;
  return json_incref(with);
}

static json_t *write_remove(json_t *payload, json_t *with) {
  for (size_t i = 0; i < json_array_size(with); i++)
    json_object_del(payload, json_string_value(json_array_get(with, i)));
  return json_incref(payload);
}

static json_t *write_clear(json_t *payload, json_t *with) {
  (void)payload;
  (void)with;
  return json_object();
}

/* Upserts the rows with changed payloads; false after answering. */
static bool write_rows(struct srv_call *call, struct engine_collection *collection,
                       const struct engine_rows *rows, const struct srv_qdrant_want *want,
                       write_change *change, json_t *with) {
  json_t *points = json_array();
  for (size_t i = 0; i < engine_rows_count(rows); i++) {
    json_t *point = srv_qdrant_point(want, rows, i);
    json_t *payload = json_object_get(point, "payload");
    if (payload)
      json_object_set_new(point, "payload", change(payload, with));
    json_array_append_new(points, point);
  }
  bool whole = json_array_size(points) == engine_rows_count(rows);
  if (!whole)
    srv_call_no_memory(call);
  struct srv_arena outer = call->arena; /* each page has memory of its own */
  call->arena = (struct srv_arena){.limit = outer.limit};
  bool good = whole && srv_qdrant_put(call, collection, points);
  srv_arena_free(&call->arena);
  call->arena = outer;
  json_decref(points);
  return good;
}

/* Changes the payloads of the target, page by page. */
static bool write_pages(struct srv_call *call, struct engine_collection *collection,
                        struct write_target *target, write_change *change, json_t *with) {
  vecdb_query_params params = VECDB_QUERY_PARAMS_INIT;
  struct srv_qdrant_want want = {.by_default = true};
  json_t *all = json_pack("{s:b}", "with_vector", 1);
  bool good = all && srv_qdrant_want_read(call, all, engine_collection_schema(collection), &want);
  vecdb_string last;
  for (size_t n = WRITE_PAGE; good && n == WRITE_PAGE;) {
    struct engine_rows *rows;
    vecdb_error error;
    params.limit = WRITE_PAGE;
    params.filter = target->filter;
    params.fields = want.fields;
    params.n_fields = want.n_fields;
    struct srv_guard_fields fields = {want.fields, want.n_fields};
    int rc = target->ids ? srv_guard_get(call, collection, &target->keys, fields, NULL, &rows,
                                         &error)
                         : srv_guard_query(call, collection, &params, &rows, &error);
    if (rc != VECDB_OK) {
      srv_call_error(call, &error);
      break;
    }
    n = engine_rows_count(rows);
    good = write_rows(call, collection, rows, &want, change, with);
    if (good && n) {
      vecdb_value key = engine_rows_value(rows, n - 1, 0);
      last = (vecdb_string){srv_arena_text(&call->arena, key.as.data, key.length), key.length};
      params.after = (vecdb_keys){NULL, &last, 1};
    }
    good = good && (!n || last.data);
    engine_rows_free(rows);
    if (target->ids)
      break;
  }
  json_decref(all);
  return good && call->status == 0;
}

static void write_payload(struct srv_call *call, const char *member, int type,
                          write_change *change) {
  const char *const keys[] = {"points", "filter", "shard_key", "key", member, NULL};
  struct write_target target = {.ids = NULL};
  json_t *with = member ? json_object_get(call->json, member) : NULL;
  if (!srv_only_keys(call, call->json, keys))
    return;
  if (member && (!with || json_typeof(with) != (json_type)type)) {
    srv_call_fail(call, 400, "TYPE", "\"%s\" must be an %s", member,
                  type == JSON_OBJECT ? "object" : "array of names");
    return;
  }
  for (size_t i = 0; json_is_array(with) && i < json_array_size(with); i++)
    if (!json_is_string(json_array_get(with, i))) {
      srv_call_fail(call, 400, "TYPE", "\"%s\" must be an array of names", member);
      return;
    }
  struct engine_collection *collection =
      write_target_read(call, &target) ? srv_qdrant_collection(call) : NULL;
  if (!collection)
    return;
  pthread_rwlock_wrlock(&write_lock);
  bool good = write_pages(call, collection, &target, change, with);
  pthread_rwlock_unlock(&write_lock);
  if (good)
    srv_qdrant_written(call);
  engine_collection_release(collection);
}

void srv_qdrant_payload_set(struct srv_call *call) {
  write_payload(call, "payload", JSON_OBJECT, write_merge);
}

void srv_qdrant_payload_replace(struct srv_call *call) {
  write_payload(call, "payload", JSON_OBJECT, write_replace);
}

void srv_qdrant_payload_delete(struct srv_call *call) {
  write_payload(call, "keys", JSON_ARRAY, write_remove);
}

void srv_qdrant_payload_clear(struct srv_call *call) {
  write_payload(call, NULL, 0, write_clear);
}
