/* routes.c - the table and the matching of paths; see routes.h. */
#include "server/routes.h"

#include <string.h>

#include "server/handlers.h"
#include "server/milvus.h"
#include "server/milvus_rest.h"
#include "server/qdrant.h"

#define COLLECTION "/v1/collections/{collection}"

static const struct srv_route routes[] = {
    {"GET", "/healthz", SRV_PUBLIC, SRV_BODY_NONE, true, srv_health},
    {"GET", "/livez", SRV_PUBLIC, SRV_BODY_NONE, true, srv_health},
    {"GET", "/readyz", SRV_PUBLIC, SRV_BODY_NONE, true, srv_ready},
    {"GET", "/openapi.json", SRV_KNOWN, SRV_BODY_NONE, true, srv_openapi},
    {"GET", "/v1/version", SRV_KNOWN, SRV_BODY_NONE, true, srv_version},
    {"GET", "/v1/memory", SRV_MONITOR, SRV_BODY_NONE, false, srv_memory},
    {"GET", "/console", SRV_PUBLIC, SRV_BODY_NONE, true, srv_console_html},
    {"GET", "/console/console.css", SRV_PUBLIC, SRV_BODY_NONE, true, srv_console_css},
    {"GET", "/console/console.js", SRV_PUBLIC, SRV_BODY_NONE, true, srv_console_js},
    {"GET", "/metrics", SRV_MONITOR, SRV_BODY_NONE, true, srv_metrics_page},
    {"POST", "/search", SRV_READ, SRV_BODY_JSON, false, srv_front_search},
    {"GET", "/v1/collections", SRV_READ, SRV_BODY_NONE, false, srv_collections_list},
    {"POST", "/v1/collections", SRV_ADMIN, SRV_BODY_JSON, false, srv_collection_create},
    {"GET", COLLECTION, SRV_READ, SRV_BODY_NONE, false, srv_collection_describe},
    {"DELETE", COLLECTION, SRV_ADMIN, SRV_BODY_NONE, false, srv_collection_drop},
    {"GET", COLLECTION "/stats", SRV_READ, SRV_BODY_NONE, false, srv_collection_stats},
    {"POST", COLLECTION "/flush", SRV_WRITE, SRV_BODY_JSON, false, srv_collection_flush},
    {"POST", COLLECTION "/compact", SRV_ADMIN, SRV_BODY_JSON, false, srv_collection_compact},
    {"PUT", COLLECTION "/indexes/{field}", SRV_ADMIN, SRV_BODY_JSON, false, srv_index_create},
    {"DELETE", COLLECTION "/indexes/{field}", SRV_ADMIN, SRV_BODY_NONE, false, srv_index_drop},
    {"PUT", COLLECTION "/expiry", SRV_ADMIN, SRV_BODY_JSON, false, srv_collection_expire},
    {"POST", COLLECTION "/fields", SRV_ADMIN, SRV_BODY_JSON, false, srv_fields_add},
    {"PATCH", COLLECTION "/fields/{field}", SRV_ADMIN, SRV_BODY_JSON, false, srv_field_rename},
    {"DELETE", COLLECTION "/fields/{field}", SRV_ADMIN, SRV_BODY_NONE, false, srv_field_drop},
    {"POST", COLLECTION "/json_indexes/{field}", SRV_ADMIN, SRV_BODY_JSON, false,
     srv_json_index_create},
    {"POST", COLLECTION "/json_indexes/{field}/delete", SRV_ADMIN, SRV_BODY_JSON, false,
     srv_json_index_drop},
    {"PUT", COLLECTION "/optimizers/{field}", SRV_ADMIN, SRV_BODY_JSON, false, srv_optimizer_set},
    {"DELETE", COLLECTION "/optimizers/{field}", SRV_ADMIN, SRV_BODY_NONE, false,
     srv_optimizer_drop},
    {"POST", COLLECTION "/push", SRV_WRITE, SRV_BODY_JSON, false, srv_rows_push},
    {"POST", COLLECTION "/pull", SRV_READ, SRV_BODY_JSON, false, srv_rows_pull},
    {"POST", COLLECTION "/rows", SRV_WRITE, SRV_BODY_ROWS, false, srv_rows_insert},
    {"PUT", COLLECTION "/rows", SRV_WRITE, SRV_BODY_ROWS, false, srv_rows_upsert},
    {"PATCH", COLLECTION "/rows", SRV_WRITE, SRV_BODY_JSON, false, srv_rows_update},
    {"POST", COLLECTION "/rows/stream", SRV_WRITE, SRV_BODY_TEXT, false, srv_rows_stream},
    {"POST", COLLECTION "/rows/get", SRV_READ, SRV_BODY_JSON, false, srv_rows_get},
    {"POST", COLLECTION "/rows/delete", SRV_WRITE, SRV_BODY_JSON, false, srv_rows_delete},
    {"GET", COLLECTION "/rows/{key}", SRV_READ, SRV_BODY_NONE, false, srv_row_get},
    {"POST", COLLECTION "/query", SRV_READ, SRV_BODY_JSON, false, srv_rows_query},
    {"POST", COLLECTION "/count", SRV_READ, SRV_BODY_JSON, false, srv_rows_count},
    {"POST", COLLECTION "/search", SRV_READ, SRV_BODY_QUERY, false, srv_search},
    {"POST", COLLECTION "/explain", SRV_READ, SRV_BODY_QUERY, false, srv_explain},
    {"POST", "/v1/encryption/rotate", SRV_OPERATE, SRV_BODY_JSON, false, srv_encryption_rotate},
    {"POST", "/v1/snapshots", SRV_OPERATE, SRV_BODY_JSON, false, srv_snapshot_create},
};

#define POINTS "/collections/{collection}/points"

/* Qdrant's REST interface; openapi.json does not describe it. */
static const struct srv_route qdrant_routes[] = {
    {"GET", "/", SRV_KNOWN, SRV_BODY_NONE, true, srv_qdrant_root},
    {"GET", "/collections", SRV_READ, SRV_BODY_NONE, false, srv_qdrant_list},
    {"GET", "/collections/{collection}", SRV_READ, SRV_BODY_NONE, false, srv_qdrant_describe},
    {"PUT", "/collections/{collection}", SRV_ADMIN, SRV_BODY_JSON, false, srv_qdrant_create},
    {"PATCH", "/collections/{collection}", SRV_ADMIN, SRV_BODY_JSON, false, srv_qdrant_update},
    {"DELETE", "/collections/{collection}", SRV_ADMIN, SRV_BODY_NONE, false, srv_qdrant_drop},
    {"GET", "/collections/{collection}/exists", SRV_READ, SRV_BODY_NONE, false, srv_qdrant_exists},
    {"PUT", "/collections/{collection}/index", SRV_ADMIN, SRV_BODY_JSON, false, srv_qdrant_index},
    {"DELETE", "/collections/{collection}/index/{field}", SRV_ADMIN, SRV_BODY_NONE, false,
     srv_qdrant_index_drop},
    {"PUT", POINTS, SRV_WRITE, SRV_BODY_POINTS, false, srv_qdrant_upsert},
    {"POST", POINTS, SRV_READ, SRV_BODY_JSON, false, srv_qdrant_retrieve},
    {"GET", POINTS "/{id}", SRV_READ, SRV_BODY_NONE, false, srv_qdrant_retrieve_one},
    {"POST", POINTS "/delete", SRV_WRITE, SRV_BODY_JSON, false, srv_qdrant_delete},
    {"POST", POINTS "/payload", SRV_WRITE, SRV_BODY_JSON, false, srv_qdrant_payload_set},
    {"PUT", POINTS "/payload", SRV_WRITE, SRV_BODY_JSON, false, srv_qdrant_payload_replace},
    {"POST", POINTS "/payload/delete", SRV_WRITE, SRV_BODY_JSON, false, srv_qdrant_payload_delete},
    {"POST", POINTS "/payload/clear", SRV_WRITE, SRV_BODY_JSON, false, srv_qdrant_payload_clear},
    {"POST", POINTS "/scroll", SRV_READ, SRV_BODY_JSON, false, srv_qdrant_scroll},
    {"POST", POINTS "/count", SRV_READ, SRV_BODY_JSON, false, srv_qdrant_count},
    {"POST", POINTS "/query", SRV_READ, SRV_BODY_NEAREST, false, srv_qdrant_query},
    {"POST", POINTS "/query/batch", SRV_READ, SRV_BODY_NEAREST, false, srv_qdrant_query_batch},
    {"POST", POINTS "/query/groups", SRV_READ, SRV_BODY_NEAREST, false, srv_qdrant_query_groups},
    {"POST", POINTS "/search", SRV_READ, SRV_BODY_NEAREST, false, srv_qdrant_search},
    {"POST", POINTS "/search/batch", SRV_READ, SRV_BODY_NEAREST, false, srv_qdrant_search_batch},
    {"POST", POINTS "/search/groups", SRV_READ, SRV_BODY_NEAREST, false, srv_qdrant_search_groups},
};

#define MILVUS_COLLECTIONS "/v2/vectordb/collections"
#define MILVUS_ROWS "/v2/vectordb/entities"

/* Milvus's REST interface, version 2. */
static const struct srv_route milvus_routes[] = {
    {"POST", MILVUS_COLLECTIONS "/create", SRV_ADMIN, SRV_BODY_JSON, false, srv_milvus_create},
    {"POST", MILVUS_COLLECTIONS "/list", SRV_READ, SRV_BODY_JSON, false, srv_milvus_list},
    {"POST", MILVUS_COLLECTIONS "/describe", SRV_READ, SRV_BODY_JSON, false, srv_milvus_describe},
    {"POST", MILVUS_COLLECTIONS "/has", SRV_READ, SRV_BODY_JSON, false, srv_milvus_has},
    {"POST", MILVUS_COLLECTIONS "/drop", SRV_ADMIN, SRV_BODY_JSON, false, srv_milvus_drop},
    {"POST", MILVUS_COLLECTIONS "/fields/add", SRV_ADMIN, SRV_BODY_JSON, false,
     srv_milvus_field_add},
    {"POST", MILVUS_COLLECTIONS "/alter_properties", SRV_ADMIN, SRV_BODY_JSON, false,
     srv_milvus_alter},
    {"POST", MILVUS_COLLECTIONS "/drop_properties", SRV_ADMIN, SRV_BODY_JSON, false,
     srv_milvus_alter_drop},
    {"POST", MILVUS_COLLECTIONS "/load", SRV_READ, SRV_BODY_JSON, false, srv_milvus_load},
    {"POST", MILVUS_COLLECTIONS "/release", SRV_READ, SRV_BODY_JSON, false, srv_milvus_load},
    {"POST", MILVUS_COLLECTIONS "/get_load_state", SRV_READ, SRV_BODY_JSON, false,
     srv_milvus_load_state},
    {"POST", MILVUS_COLLECTIONS "/get_stats", SRV_READ, SRV_BODY_JSON, false, srv_milvus_stats},
    {"POST", MILVUS_ROWS "/insert", SRV_WRITE, SRV_BODY_DATA, false, srv_milvus_insert},
    {"POST", MILVUS_ROWS "/upsert", SRV_WRITE, SRV_BODY_DATA, false, srv_milvus_upsert},
    {"POST", MILVUS_ROWS "/delete", SRV_WRITE, SRV_BODY_JSON, false, srv_milvus_delete},
    {"POST", MILVUS_ROWS "/query", SRV_READ, SRV_BODY_JSON, false, srv_milvus_query},
    {"POST", MILVUS_ROWS "/get", SRV_READ, SRV_BODY_JSON, false, srv_milvus_get},
    {"POST", MILVUS_ROWS "/search", SRV_READ, SRV_BODY_DATA, false, srv_milvus_search},
};

#define ROUTES_OF(table) table, sizeof table / sizeof table[0]

static const struct {
  const char *api;
  const struct srv_route *routes;
  size_t n;
  srv_error_shape *errors;
} dialects[] = {
    {"vecdb", ROUTES_OF(routes), NULL},
    {"qdrant", ROUTES_OF(qdrant_routes), srv_qdrant_error},
    {"milvus_rest", ROUTES_OF(milvus_routes), srv_milvus_error},
};

enum { N_DIALECTS = sizeof dialects / sizeof dialects[0] };
enum { ROUTE_RECENT = 16, ROUTE_RECENT_PATH = 112 };

const struct srv_route *srv_route_numbered(size_t i, const char **api) {
  for (size_t d = 0; d < N_DIALECTS; d++) {
    *api = dialects[d].api;
    if (i < dialects[d].n)
      return &dialects[d].routes[i];
    i -= dialects[d].n;
  }
  *api = "milvus";
  return srv_milvus_route_at(i);
}

size_t srv_route_number(const struct srv_route *route) {
  size_t before = 0;
  for (size_t d = 0; d < N_DIALECTS; d++) {
    if (route >= dialects[d].routes && route < dialects[d].routes + dialects[d].n)
      return before + (size_t)(route - dialects[d].routes);
    before += dialects[d].n;
  }
  return before + srv_milvus_route_number(route);
}

const struct srv_route *srv_routes(size_t *n) {
  *n = sizeof routes / sizeof routes[0];
  return routes;
}

const struct srv_route *srv_route_at(size_t i) {
  const char *api;
  const struct srv_route *route = srv_route_numbered(i, &api);
  return route && strcmp(route->method, SRV_METHOD_GRPC) != 0 ? route : NULL;
}

const char *srv_route_collection(struct srv_call *call) {
  if (!strstr(call->route->path, "{collection}"))
    return NULL;
  return call->errors == srv_qdrant_error ? srv_qdrant_collection_name(call, call->args[0])
                                          : call->args[0];
}

static int route_hex(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  c = (char)(c | 0x20);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A segment with its %XX decoded; NULL when they are malformed or hide a NUL. */
static char *route_decode(struct srv_arena *arena, const char *text, size_t n) {
  char *out = srv_arena_text(arena, text, n);
  if (!out)
    return NULL;
  char *to = out;
  for (size_t i = 0; i < n; i++) {
    if (text[i] != '%') {
      *to++ = text[i];
      continue;
    }
    int high = i + 2 < n ? route_hex(text[i + 1]) : -1;
    int low = i + 2 < n ? route_hex(text[i + 2]) : -1;
    if (high < 0 || low < 0 || (high == 0 && low == 0))
      return NULL;
    *to++ = (char)(high * 16 + low);
    i += 2;
  }
  *to = '\0';
  return out;
}

/* Whether the path fits the pattern; sets call->args, unless call is NULL. */
static bool route_fits(struct srv_call *call, const char *pattern, const char *path) {
  unsigned n_args = 0;
  while (*pattern) {
    if (*pattern != '{') {
      if (*pattern++ != *path++)
        return false;
      continue;
    }
    size_t n = strcspn(path, "/");
    if (n == 0 || n_args == SRV_CALL_ARGS)
      return false;
    if (call && !(call->args[n_args] = route_decode(&call->arena, path, n)))
      return false;
    n_args++;
    path += n;
    pattern += strcspn(pattern, "}") + 1;
  }
  return *path == '\0';
}

/* Adds a method to the list of those that a path knows, unless it is there. */
static void route_allow(char *allow, const char *method) {
  if (strstr(allow, method) || strlen(allow) + strlen(method) + 3 >= SRV_ALLOW)
    return;
  strcat(allow, *allow ? ", " : "");
  strcat(allow, method);
}

const struct srv_json_place *srv_route_numbers(const struct srv_route *route) {
#define ROUTE_NOWHERE {NULL, 0, -1, NULL}
  static const char *const vector[] = {"vector", NULL}, *const vectors[] = {"vectors", NULL},
                    *const nearest[] = {"nearest", "values", NULL},
                    *const asked[] = {"query", "vector", NULL};
  static const struct srv_json_place places[][5] = {
      [SRV_BODY_NONE] = {ROUTE_NOWHERE},
      [SRV_BODY_JSON] = {ROUTE_NOWHERE},
      [SRV_BODY_ROWS] = {{"rows", 2, 2, NULL}, ROUTE_NOWHERE},
      [SRV_BODY_QUERY] = {{"vector", 0, 0, NULL}, {"vectors", 1, 1, NULL}, ROUTE_NOWHERE},
      [SRV_BODY_POINTS] = {{"points", 2, 3, vector}, {"batch", 2, 3, vectors}, ROUTE_NOWHERE},
      [SRV_BODY_NEAREST] = {{"query", 0, 2, nearest}, {"vector", 0, 1, vector},
                            {"searches", 2, 3, asked}, {"prefetch", 1, 3, asked}, ROUTE_NOWHERE},
      [SRV_BODY_DATA] = {{"data", 1, 2, NULL}, ROUTE_NOWHERE},
      [SRV_BODY_TEXT] = {ROUTE_NOWHERE},
  };
#undef ROUTE_NOWHERE
  return places[route->body];
}

static const struct srv_route *route_search(struct srv_call *call, const char *method,
                                            const char *path, char *allow) {
  for (size_t d = 0; d < N_DIALECTS; d++) {
    const struct srv_route *all = dialects[d].routes;
    for (size_t i = 0; i < dialects[d].n; i++) {
      if (!route_fits(NULL, all[i].path, path) || !route_fits(call, all[i].path, path))
        continue; /* looked at first: most do not, and to decode takes longer */
      call->errors = dialects[d].errors;
      if (strcmp(all[i].method, method) == 0)
        return &all[i];
      route_allow(allow, all[i].method);
    }
  }
  return NULL;
}

/* What a thread has found lately. Most requests are like one before it, and the tables are long and
   seldom in a cache after a search. */
struct route_recent {
  const struct srv_route *route; /* NULL: nothing yet */
  srv_error_shape *errors;
  char path[ROUTE_RECENT_PATH];
};

static struct route_recent *route_recent_at(const char *path, size_t n) {
  static _Thread_local struct route_recent recent[ROUTE_RECENT];
  uint32_t hash = 2166136261u;
  for (size_t i = 0; i < n; i++)
    hash = (hash ^ (unsigned char)path[i]) * 16777619u;
  return &recent[hash % ROUTE_RECENT];
}

const struct srv_route *srv_route_find(struct srv_call *call, const char *method, const char *path,
                                       char *allow) {
  size_t n = strlen(path);
  struct route_recent *recent = n < ROUTE_RECENT_PATH ? route_recent_at(path, n) : NULL;
  const struct srv_route *last = recent ? recent->route : NULL;
  *allow = '\0';
  if (last && strcmp(recent->path, path) == 0 && strcmp(last->method, method) == 0 &&
      route_fits(call, last->path, path)) {
    call->errors = recent->errors;
    return last;
  }
  const struct srv_route *found = route_search(call, method, path, allow);
  if (found && recent) {
    *recent = (struct route_recent){.route = found, .errors = call->errors};
    memcpy(recent->path, path, n);
  }
  return found;
}
