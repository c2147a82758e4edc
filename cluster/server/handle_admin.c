/* handle_admin.c - health, version, memory, the API's own description, snapshots, keys. */
#include <stddef.h>
#include <string.h>

#include "server/handlers.h"
#include "server/server.h"

void srv_health(struct srv_call *call) {
  srv_call_answer(call, 200, json_pack("{s:s}", "status", "ok"));
}

void srv_ready(struct srv_call *call) {
  bool draining = atomic_load(&call->server->draining);
  srv_call_answer(call, draining ? 503 : 200,
                  json_pack("{s:s}", "status", draining ? "stopping" : "ready"));
}

void srv_version(struct srv_call *call) {
  srv_call_answer(call, 200,
                  json_pack("{s:s, s:s}", "version", vecdb_version(), "kernels", vecdb_kernels()));
}

/* The numbers of vecdb_memory by their names there. */
void srv_memory(struct srv_call *call) {
#define MEMORY_FIGURE(name) {#name, offsetof(vecdb_memory, name)}
  static const struct {
    const char *name;
    size_t offset;
  } figures[] = {MEMORY_FIGURE(limit),         MEMORY_FIGURE(total),
                 MEMORY_FIGURE(rows),          MEMORY_FIGURE(writes),
                 MEMORY_FIGURE(files),         MEMORY_FIGURE(indexes),
                 MEMORY_FIGURE(builds),        MEMORY_FIGURE(searches),
                 MEMORY_FIGURE(results),       MEMORY_FIGURE(cache),
                 MEMORY_FIGURE(vectors),       MEMORY_FIGURE(other),
                 MEMORY_FIGURE(refused),       MEMORY_FIGURE(cache_hits),
                 MEMORY_FIGURE(cache_misses),  MEMORY_FIGURE(cache_entries),
                 MEMORY_FIGURE(vector_hits),   MEMORY_FIGURE(vector_misses),
                 MEMORY_FIGURE(vector_entries)};
#undef MEMORY_FIGURE
  vecdb_memory m = VECDB_MEMORY_INIT;
  vecdb_error error;
  if (engine_memory_stats(call->server->engine, &m, &error) != VECDB_OK) {
    srv_call_error(call, &error);
    return;
  }
  json_t *answer = json_object();
  for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++) {
    uint64_t value;
    memcpy(&value, (const char *)&m + figures[i].offset, sizeof value);
    json_object_set_new(answer, figures[i].name, json_integer((json_int_t)value));
  }
  srv_call_answer(call, 200, answer);
}

extern const char srv_openapi_text[];
extern const unsigned srv_openapi_bytes;

void srv_openapi(struct srv_call *call) {
  call->status = 200;
  call->text = srv_openapi_text;
  call->text_bytes = srv_openapi_bytes;
  call->content_type = "application/json";
}

/* A snapshot is a database of its own beside the served one: DATA.snapshots/NAME. Only names come
   in, never paths. */
void srv_snapshot_create(struct srv_call *call) {
  static const char *const keys[] = {"name", NULL};
  const char *name = NULL;
  if (!srv_only_keys(call, call->json, keys) || !srv_take_text(call, call->json, "name", &name))
    return;
  size_t n = name ? strlen(name) : 0;
  static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
  if (n == 0 || n > 64 || strspn(name, allowed) != n) {
    srv_call_fail(call, 400, "NAME", "\"name\" must be 1 to 64 letters, digits, _ and -");
    return;
  }
  vecdb_error error;
  if (srv_server_snapshot(call->server, name, &error) != VECDB_OK)
    srv_call_error(call, &error);
  else
    srv_call_answer(call, 201, json_pack("{s:s}", "name", name));
}

/* The keys are taken from where the settings say, which may have got a new one meanwhile. */
void srv_encryption_rotate(struct srv_call *call) {
  static const char *const keys[] = {"key", "new_data_key", NULL};
  const char *name = NULL;
  bool fresh = false;
  vecdb_error error;
  if (!srv_only_keys(call, call->json, keys) || !srv_take_text(call, call->json, "key", &name) ||
      !srv_take_flag(call, call->json, "new_data_key", &fresh))
    return;
  uint32_t flags = fresh ? VECDB_REKEY_NEW_DATA_KEY : 0;
  if (engine_rekey(call->server->engine, name, flags, &error) != VECDB_OK)
    srv_call_error(call, &error);
  else
    srv_call_answer(call, 200, json_pack("{s:s}", "status", "ok"));
}
