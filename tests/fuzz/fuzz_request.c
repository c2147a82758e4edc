/*
 * fuzz_request.c - any bytes as a request in any dialect, from the route on: the first line is the
 * method and the path, the rest the body. It meets a fresh database with a collection of each
 * dialect, and must get an answer that is not the server's fault.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/json_read.h"
#include "server/metrics.h"
#include "server/milvus_state.h"
#include "server/routes.h"
#include "server/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { REQUEST_ARENA = 64 << 20, REQUEST_LINE = 512 };

/* The body as the server reads it, which must be as Jansson would. */
static json_t *request_json(const struct srv_route *route, const char *body, size_t n) {
  json_error_t why;
  json_t *json = srv_json_read(body, n, &why);
  json_t *wanted = json_loadb(body, n, JSON_REJECT_DUPLICATES, NULL);
  if (!json != !wanted || (json && !json_equal(json, wanted)))
    abort();
  json_decref(json);
  json_decref(wanted);
  return srv_json_read_at(body, n, srv_route_numbers(route), &why);
}

/* One request; gives its status. */
static int request_run(struct srv_server *server, const char *line, const char *body, size_t n) {
  struct srv_call call = {.server = server};
  char method[16], path[REQUEST_LINE], allow[SRV_ALLOW];
  call.arena.limit = REQUEST_ARENA;
  if (sscanf(line, "%15s %511s", method, path) != 2)
    return 0;
  const struct srv_route *route = call.route = srv_route_find(&call, method, path, allow);
  if (route) {
    call.body = calloc(n + 1, 1);
    memcpy(call.body, body, n);
    call.body_bytes = n;
    bool json = route->body != SRV_BODY_NONE && route->body != SRV_BODY_TEXT;
    if (json)
      call.json = n ? request_json(route, call.body, n) : json_object();
    if (!json || json_is_object(call.json))
      route->handler(&call);
    else
      srv_call_fail(&call, 400, "JSON", "no object");
    if (!call.answer && !call.text)
      abort();
  }
  free(call.body);
  int status = call.status;
  srv_call_free(&call);
  return status;
}

static void request_must(struct srv_server *server, const char *line, const char *body) {
  int status = request_run(server, line, body, strlen(body));
  if (status != 200 && status != 201)
    abort();
}

static void request_prepare(struct srv_server *server) {
  request_must(server, "POST /v1/collections",
               "{\"name\": \"c\", \"fields\": [{\"name\": \"id\", \"type\": \"INT64\","
               " \"primary_key\": true}, {\"name\": \"v\", \"type\": \"FLOAT_VECTOR\", \"dim\": 2,"
               " \"metric\": \"L2\"}, {\"name\": \"t\", \"type\": \"VARCHAR\", \"max_length\": 8,"
               " \"nullable\": true}]}");
  request_must(
      server, "PUT /v1/collections/c/rows",
      "{\"rows\": [{\"id\": 1, \"v\": [1, 2], \"t\": \"x\"}, {\"id\": 2, \"v\": [0, 0]}]}");
  request_must(server, "PUT /collections/c",
               "{\"vectors\": {\"\": {\"size\": 2, \"distance\": \"Cosine\"},"
               " \"b\": {\"size\": 1, \"distance\": \"Euclid\"}}}");
  request_must(
      server, "PUT /collections/c/points",
      "{\"points\": [{\"id\": 1, \"vector\": [1, 2], \"payload\": {\"a\": {\"b\": [1, \"x\","
      " null]}}}, {\"id\": 2, \"vector\": {\"\": [0, 1], \"b\": [3]}}]}");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static struct srv_server server; /* large */
  vecdb_options options = VECDB_OPTIONS_INIT;
  char line[REQUEST_LINE] = "", names[64 + sizeof server.config.data], error[SRV_CONFIG_ERROR];
  const uint8_t *end = memchr(data, '\n', size);
  size_t n = end ? (size_t)(end - data) : size;
  if (n >= sizeof line)
    return 0;
  memcpy(line, data, n);
  options.flags = VECDB_HOST_DRIVEN;
  memset(&server, 0, sizeof server);
  srv_config_init(&server.config);
  snprintf(server.config.data, sizeof server.config.data, "/tmp/fuzz-%d", (int)getpid());
  snprintf(names, sizeof names, "%s.milvus.json", server.config.data);
  server.metrics = srv_metrics_new(1);
  server.engine = engine_local_open(":memory:", &options, NULL);
  server.milvus = srv_milvus_state_start(server.config.data, error);
  if (!server.metrics || !server.engine || !server.milvus)
    abort();
  request_prepare(&server);
  const char *body = end ? (const char *)end + 1 : "";
  int status = request_run(&server, line, body, end ? size - n - 1 : 0);
  if (status >= 500 && status != 503 && status != 504 && status != 501 &&
      !strstr(line, "snapshots")) /* which has no folder here */
    abort();
  srv_milvus_state_stop(server.milvus);
  unlink(names);
  engine_close(server.engine, NULL);
  srv_metrics_free(server.metrics);
  return 0;
}
