/*
 * qdrant_groups.c - hits grouped by a value of the payload. As the library does for its fields
 * (vecdb_search_groups), but payloads are no fields: a search finds some groups; while there are
 * too few, it is repeated among the points that have none of their values; then groups that lack
 * hits are each searched by their value. A point with several values is in several groups.
 */
#include <stdio.h>
#include <string.h>

#include "server/qdrant.h"

enum { GROUPS_LIMIT = 3, GROUPS_SIZE = 3, GROUPS_MOST = 1000, GROUPS_SPARE = 2, GROUPS_LEAST = 32 };

struct groups {
  struct srv_call *call;
  struct engine_collection *collection;
  srv_qdrant_form *form;
  json_t *request; /* without what is said of groups */
  const char *path;
  uint32_t limit, size;
  json_t *list;   /* of {"id": the value, "hits"} */
  json_t *places; /* in the list, by the values' texts */
  bool room;      /* for new groups */
};

/* Calls visit with each value at the path in an object; arrays hold several. */
static void groups_values(struct groups *g, json_t *at, const char *path, json_t *point,
                          void (*visit)(struct groups *g, json_t *value, json_t *point)) {
  size_t i;
  json_t *one;
  if (json_is_array(at)) {
    json_array_foreach(at, i, one)
        groups_values(g, one, path, point, visit);
    return;
  }
  if (!path) {
    visit(g, at, point);
    return;
  }
  size_t n = strcspn(path, ".");
  size_t name = n > 2 && path[n - 2] == '[' && path[n - 1] == ']' ? n - 2 : n;
  one = json_object_getn(at, path, name);
  if (one)
    groups_values(g, one, path[n] ? path + n + 1 : NULL, point, visit);
}

static bool groups_text(json_t *value, char *out, size_t room) {
  if (json_is_integer(value))
    snprintf(out, room, "i%lld", (long long)json_integer_value(value));
  else if (json_is_string(value) && json_string_length(value) + 2 <= room)
    snprintf(out, room, "s%s", json_string_value(value));
  else
    return false;
  return true;
}

/* Puts a point into the group of a value, unless it is there or the group is full. */
static void groups_put(struct groups *g, json_t *value, json_t *point) {
  char text[QDRANT_GROUP_BYTES];
  if (!groups_text(value, text, sizeof text))
    return;
  json_t *place = json_object_get(g->places, text), *group;
  if (!place) {
    if (!g->room || json_array_size(g->list) == g->limit)
      return;
    place = json_integer((json_int_t)json_array_size(g->list));
    json_object_set_new(g->places, text, place);
    json_array_append_new(g->list, json_pack("{s:O, s:[]}", "id", value, "hits"));
  }
  group = json_array_get(g->list, (size_t)json_integer_value(place));
  json_t *hits = json_object_get(group, "hits"), *hit, *id = json_object_get(point, "id");
  size_t i;
  json_array_foreach(hits, i, hit) {
    if (json_equal(json_object_get(hit, "id"), id))
      return;
  }
  if (json_array_size(hits) < g->size)
    json_array_append(hits, point);
}

/* One search with a condition besides the request's; *found says how many points. False after
   answering. */
static bool groups_search(struct groups *g, json_t *filter, uint32_t want, size_t *found) {
  json_t *leaf = json_copy(g->request), *own = json_object_get(leaf, "filter");
  if (!json_object_get(filter, "must"))
    json_object_set_new(filter, "must", json_array());
  if (own && !json_is_null(own))
    json_array_append(json_object_get(filter, "must"), own);
  json_object_set_new(leaf, "filter", filter);
  json_object_set_new(leaf, "limit", json_integer(want));
  json_object_set_new(leaf, "with_payload", json_true());
  json_t *answer = g->form(g->call, g->collection, leaf), *point;
  json_t *points = json_is_array(answer) ? answer : json_object_get(answer, "points");
  size_t i;
  *found = json_array_size(points);
  json_array_foreach(points, i, point)
      groups_values(g, json_object_get(point, "payload"), g->path, point, groups_put);
  bool good = answer != NULL;
  json_decref(answer);
  json_decref(leaf);
  return good;
}

static json_t *groups_match(const struct groups *g, const char *how, json_t *value) {
  return json_pack("{s:s, s:{s:O}}", "key", g->path, "match", how, value);
}

/* A filter for points that have a value and none of those that are known. */
static json_t *groups_others(const struct groups *g) {
  json_t *integers = json_array(), *texts = json_array(), *group;
  size_t i;
  json_array_foreach(g->list, i, group) {
    json_t *id = json_object_get(group, "id");
    json_array_append(json_is_integer(id) ? integers : texts, id);
  }
  json_t *out = json_pack("{s:[{s:{s:s}}]}", "must_not", "is_empty", "key", g->path);
  json_t *not = json_object_get(out, "must_not");
  if (json_array_size(integers))
    json_array_append_new(not, groups_match(g, "any", integers));
  if (json_array_size(texts))
    json_array_append_new(not, groups_match(g, "any", texts));
  json_decref(integers);
  json_decref(texts);
  return out;
}

static bool groups_gather(struct groups *g) {
  for (;;) {
    size_t before = json_array_size(g->list), found;
    uint32_t left = g->limit - (uint32_t)before;
    uint32_t want = left * g->size * GROUPS_SPARE + GROUPS_LEAST;
    want = want < VECDB_MAX_K ? want : VECDB_MAX_K;
    g->room = true;
    if (!groups_search(g, groups_others(g), want, &found))
      return false;
    size_t now = json_array_size(g->list);
    if (now == g->limit || now == before || found < want)
      return true;
  }
}

static bool groups_fill(struct groups *g) {
  json_t *group;
  size_t i, found;
  g->room = false;
  json_array_foreach(g->list, i, group) {
    if (json_array_size(json_object_get(group, "hits")) == g->size)
      continue;
    json_t *filter =
        json_pack("{s:[o]}", "must", groups_match(g, "value", json_object_get(group, "id")));
    if (!groups_search(g, filter, g->size, &found))
      return false;
  }
  return true;
}

/* The payloads were wanted whole for the grouping: leaves of them what was asked for. */
static void groups_trim(struct groups *g) {
  json_t *wanted = json_object_get(g->request, "with_payload"), *group, *hit;
  size_t i, j;
  json_array_foreach(g->list, i, group)
      json_array_foreach(json_object_get(group, "hits"), j, hit) {
    if (!wanted || json_is_false(wanted) || json_is_null(wanted))
      json_object_del(hit, "payload");
    else if (!json_is_true(wanted))
      json_object_set_new(hit, "payload",
                          srv_qdrant_choose(json_incref(json_object_get(hit, "payload")), wanted));
  }
}

static bool groups_read(struct groups *g, json_t *json) {
  static const char *const own[] = {"group_by", "group_size", "limit"};
  g->limit = GROUPS_LIMIT;
  g->size = GROUPS_SIZE;
  if (!srv_take_text(g->call, json, own[0], &g->path) ||
      !srv_take_u32(g->call, json, own[1], &g->size) ||
      !srv_take_u32(g->call, json, own[2], &g->limit))
    return false;
  bool good = g->path && *g->path && g->limit > 0 && g->size > 0 && g->limit <= GROUPS_MOST &&
              g->size <= VECDB_MAX_K / g->limit;
  if (!good) {
    srv_call_fail(g->call, 400, "LIMIT",
                  "groups need a \"group_by\", and \"limit\" and \"group_size\" from 1 on, which "
                  "together ask for at most %d hits in %d groups", VECDB_MAX_K, GROUPS_MOST);
    return false;
  }
  g->request = json_copy(json);
  for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
    json_object_del(g->request, own[i]);
  return true;
}

json_t *srv_qdrant_groups(struct srv_call *call, struct engine_collection *collection, json_t *json,
                          srv_qdrant_form *form) {
  static const char *const refused[] = {"with_lookup", "offset", "prefetch", NULL};
  struct groups g = {.call = call, .collection = collection, .form = form, .list = json_array(),
                     .places = json_object()};
  json_t *out = NULL;
  if (srv_qdrant_refuse(call, json, refused) && groups_read(&g, json) && groups_gather(&g) &&
      groups_fill(&g)) {
    groups_trim(&g);
    out = json_pack("{s:O}", "groups", g.list);
    if (!out)
      srv_call_no_memory(call);
  }
  json_decref(g.request);
  json_decref(g.places);
  json_decref(g.list);
  return out;
}
