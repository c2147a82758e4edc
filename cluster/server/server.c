/* server.c - starting and stopping; see server.h. */
#include "server/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "server/embed.h"
#include "server/grpc.h"
#include "server/http.h"
#include "server/milvus_state.h"

enum { SERVER_ADDRESSES = 16, SERVER_PAUSE_NS = 2000000 };

static void server_log_line(void *user, int level, const char *line) {
  struct srv_server *server = user;
  if (server->log)
    server->log(level, line);
}

static bool server_open(struct srv_server *s, char *error) {
  static const char *const modes[] = {"commit", "interval", "off"};
  vecdb_options options = VECDB_OPTIONS_INIT;
  vecdb_error why;
  options.log = server_log_line;
  options.log_user = s;
  options.durability = -1;
  for (int i = 0; i < 3; i++)
    if (strcmp(modes[i], s->config.durability) == 0)
      options.durability = i;
  if (options.durability < 0) {
    snprintf(error, SRV_CONFIG_ERROR,
             "database.durability is \"%.60s\", not commit, interval or"
             " off",
             s->config.durability);
    return false;
  }
  if (vecdb_open(s->config.data, &options, &s->db, &why) == VECDB_OK)
    return true;
  snprintf(error, SRV_CONFIG_ERROR, "cannot open %.200s: %s", s->config.data, why.message);
  return false;
}

static bool server_listen(struct srv_server *s, char *error) {
  char list[SRV_CONFIG_TEXT];
  char *rest = NULL;
  snprintf(list, sizeof list, "%s", s->config.listen);
  s->http = calloc(SERVER_ADDRESSES, sizeof *s->http);
  snprintf(error, SRV_CONFIG_ERROR, "server.listen names no address, or more than %d",
           SERVER_ADDRESSES);
  for (char *a = strtok_r(list, ", ", &rest); a && s->http; a = strtok_r(NULL, ", ", &rest)) {
    if (s->n_http == SERVER_ADDRESSES)
      return false;
    s->http[s->n_http] = srv_http_start(s, a, error);
    if (!s->http[s->n_http])
      return false;
    s->n_http++;
  }
  return s->n_http > 0;
}

static bool server_listen_milvus(struct srv_server *s, char *error) {
  char list[SRV_CONFIG_TEXT];
  char *rest = NULL;
  snprintf(list, sizeof list, "%s", s->config.milvus);
  s->grpc = calloc(SERVER_ADDRESSES, sizeof *s->grpc);
  snprintf(error, SRV_CONFIG_ERROR, "server.milvus names more than %d addresses",
           SERVER_ADDRESSES);
  for (char *a = strtok_r(list, ", ", &rest); a && s->grpc; a = strtok_r(NULL, ", ", &rest)) {
    if (s->n_grpc == SERVER_ADDRESSES)
      return false;
    s->grpc[s->n_grpc] = srv_grpc_start(s, a, error);
    if (!s->grpc[s->n_grpc])
      return false;
    s->n_grpc++;
  }
  return s->grpc != NULL;
}

struct srv_server *srv_server_start(const struct srv_config *config,
                                    void (*log)(int level, const char *line), char *error) {
  struct srv_server *s = calloc(1, sizeof *s);
  snprintf(error, SRV_CONFIG_ERROR, "out of memory");
  if (!s)
    return NULL;
  s->config = *config;
  s->log = log;
  if (!server_open(s, error)) {
    free(s);
    return NULL;
  }
  s->queue = srv_queue_start((unsigned)config->workers, (size_t)config->queue);
  s->embed = *config->embed_url ? srv_embed_start(&s->config) : NULL;
  s->milvus = srv_milvus_state_start(config->data, error);
  bool good = s->queue && s->milvus && (s->embed || !*config->embed_url) &&
              server_listen(s, error) && server_listen_milvus(s, error);
  if (good)
    return s;
  char ignored[SRV_CONFIG_ERROR];
  srv_server_stop(s, ignored);
  return NULL;
}

unsigned srv_server_port(const struct srv_server *s, unsigned i) {
  return i < s->n_http ? srv_http_port(s->http[i]) : 0;
}

unsigned srv_server_milvus_port(const struct srv_server *s, unsigned i) {
  return i < s->n_grpc ? srv_grpc_port(s->grpc[i]) : 0;
}

/* Waits until nothing is in flight, or drain_seconds are over. */
static void server_drain(struct srv_server *s) {
  struct timespec pause = {0, SERVER_PAUSE_NS};
  uint64_t left = s->config.drain_seconds * (1000000000 / SERVER_PAUSE_NS);
  while (atomic_load(&s->in_flight) && left-- > 0)
    nanosleep(&pause, NULL);
}

bool srv_server_stop(struct srv_server *s, char *error) {
  vecdb_error why;
  atomic_store(&s->draining, true);
  for (unsigned i = 0; i < s->n_http; i++)
    srv_http_quiesce(s->http[i]);
  for (unsigned i = 0; i < s->n_grpc; i++)
    srv_grpc_quiesce(s->grpc[i]);
  server_drain(s);
  srv_queue_stop(s->queue); /* first: workers wake connections, which must still be there */
  for (unsigned i = 0; i < s->n_http; i++)
    srv_http_stop(s->http[i]);
  for (unsigned i = 0; i < s->n_grpc; i++)
    srv_grpc_stop(s->grpc[i]);
  srv_embed_stop(s->embed);
  srv_milvus_state_stop(s->milvus);
  bool sealed = vecdb_flush_all(s->db, NULL, &why) == VECDB_OK;
  vecdb_error closing;
  if (vecdb_close(s->db, &closing) != VECDB_OK) {
    sealed = false;
    why = closing;
  }
  if (!sealed)
    snprintf(error, SRV_CONFIG_ERROR, "closing the database: %s", why.message);
  free(s->http);
  free(s->grpc);
  free(s);
  return sealed;
}

int srv_server_snapshot(struct srv_server *s, const char *name, vecdb_error *error) {
  char path[2 * SRV_CONFIG_TEXT];
  snprintf(path, sizeof path, "%s.snapshots", s->config.data);
  if (mkdir(path, 0777) != 0 && errno != EEXIST) {
    memset(error, 0, sizeof *error);
    error->code = VECDB_ERR_IO;
    error->os_code = errno;
    error->row = error->position = -1;
    snprintf(error->message, sizeof error->message, "cannot make the folder of snapshots: %s",
             strerror(errno));
    return error->code;
  }
  snprintf(path, sizeof path, "%s.snapshots/%s", s->config.data, name);
  return vecdb_backup(s->db, path, NULL, error);
}
