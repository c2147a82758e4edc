/* server.c - starting and stopping; see server.h. */
#include "server/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "server/audit.h"
#include "server/auth.h"
#include "server/crowd.h"
#include "server/embed.h"
#include "server/front.h"
#include "server/gpus.h"
#include "server/grpc.h"
#include "server/guard.h"
#include "server/http.h"
#include "server/keyring.h"
#include "server/metrics.h"
#include "server/milvus_state.h"
#include "server/observe.h"
#include "server/tls.h"

enum { SERVER_PAUSE_NS = 2000000 };

static void server_log_line(void *user, int level, const char *line) {
  srv_log(user, level, line);
}

static void server_audit_line(void *user, const char *line) {
  srv_log(user, VECDB_LOG_ERROR, line);
}

static struct engine_cluster server_cluster(const struct srv_config *c) {
  return (struct engine_cluster){
      .nodes = c->nodes,
      .id = c->cluster_id,
      .ca_file = *c->cluster_ca ? c->cluster_ca : NULL,
      .cert_file = *c->cluster_certificate ? c->cluster_certificate : NULL,
      .key_file = *c->cluster_key ? c->cluster_key : NULL,
      .client = (uint32_t)c->cluster_client,
      .timeout_ms = (uint32_t)c->timeout_ms,
      .shards = (uint32_t)c->cluster_shards,
      .replicas = (uint32_t)c->cluster_replicas,
      .tenant_field = *c->cluster_tenant_field ? c->cluster_tenant_field : NULL};
}

static void server_edge_line(void *arg, const char *line) {
  srv_log(arg, VECDB_LOG_WARN, line);
}

static struct engine *server_open_edge(struct srv_server *s, const vecdb_options *options,
                                       vecdb_error *why) {
  struct engine_edge edge = {.cluster = server_cluster(&s->config),
                             .collections = s->config.edge_collections,
                             .tenants = s->config.edge_tenants,
                             .tenant_field = s->config.tenant_field,
                             .poll_ms = (uint32_t)s->config.edge_poll_ms,
                             .log = server_edge_line,
                             .arg = s};
  edge.cluster.timeout_ms = (uint32_t)s->config.edge_call_ms;
  return engine_edge_open(s->config.data, options, &edge, why);
}

static bool server_open_database(struct srv_server *s, char *error) {
  static const char *const modes[] = {"commit", "interval", "off"};
  vecdb_options options = VECDB_OPTIONS_INIT;
  vecdb_encryption encryption;
  vecdb_error why;
  options.log = server_log_line;
  options.log_user = s;
  options.durability = -1;
  options.memory_limit = s->config.memory;
  options.cache_bytes = s->config.cache_bytes;
  options.vector_cache_bytes = s->config.cache_vectors;
  options.device = s->config.device;
  options.device_module = s->config.device_module[0] ? s->config.device_module : NULL;
  options.recall_every = (uint32_t)s->config.recall_every;
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
  if (srv_keyring_is_wanted(&s->config)) {
    if (!srv_keyring_open(s, &encryption, error))
      return false;
    options.encryption = &encryption;
  }
  s->engine = *s->config.edge_collections ? server_open_edge(s, &options, &why)
                                          : engine_local_open(s->config.data, &options, &why);
  if (s->engine)
    return true;
  snprintf(error, SRV_CONFIG_ERROR, "cannot open %.200s: %s", s->config.data, why.message);
  return false;
}

static bool server_open_cluster(struct srv_server *s, char *error) {
  const struct engine_cluster cluster = server_cluster(&s->config);
  vecdb_error why;
  s->engine = engine_remote_open(&cluster, &why);
  if (!s->engine)
    snprintf(error, SRV_CONFIG_ERROR, "cannot use the cluster of %.200s: %s", cluster.nodes,
             why.message);
  return s->engine != NULL;
}

static bool server_open(struct srv_server *s, char *error) {
  if (*s->config.edge_collections && !*s->config.nodes) {
    snprintf(error, SRV_CONFIG_ERROR, "edge.collections needs cluster.nodes, which they are of");
    return false;
  }
  return *s->config.nodes && !*s->config.edge_collections ? server_open_cluster(s, error)
                                                          : server_open_database(s, error);
}

/* All that stands between the network and the database. */
static bool server_serve(struct srv_server *s, char *error) {
  s->auth = srv_auth_start(s, error);
  if (!s->auth)
    return false;
  s->tls = srv_tls_is_wanted(s) ? srv_tls_start(s, error) : NULL;
  if (!s->tls && srv_tls_is_wanted(s))
    return false;
  snprintf(error, SRV_CONFIG_ERROR, "out of memory");
  s->guard = srv_guard_new();
  s->crowd = srv_crowd_new();
  s->pool = srv_pool_new((unsigned)s->config.workers, (unsigned)s->config.network_threads,
                         (size_t)s->config.queue, (unsigned)s->config.poll_us);
  s->gpus = srv_gpus_open(SRV_GPUS_LIBRARY);
  s->metrics = srv_metrics_new((unsigned)(s->config.workers + s->config.network_threads));
  s->embed = *s->config.embed_url ? srv_embed_start(&s->config) : NULL;
  if (!s->guard || !s->crowd || !s->pool || !s->metrics || (!s->embed && *s->config.embed_url))
    return false;
  if (*s->config.audit_path) {
    s->audit = srv_audit_start(&s->config, server_audit_line, s, error);
    if (!s->audit)
      return false;
  }
  s->milvus = srv_milvus_state_start(s->config.data, error);
  s->http = s->milvus ? srv_http_start(s, error) : NULL;
  s->grpc = s->http ? srv_grpc_start(s, error) : NULL;
  s->front = s->grpc ? srv_front_start(s, error) : NULL;
  return s->front && srv_pool_start(s->pool);
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
  if (server_serve(s, error))
    return s;
  char ignored[SRV_CONFIG_ERROR];
  srv_server_stop(s, ignored);
  return NULL;
}

unsigned srv_server_port(const struct srv_server *s, unsigned i) {
  return srv_front_port(s->front, SRV_FRONT_ALL, i);
}

unsigned srv_server_milvus_port(const struct srv_server *s, unsigned i) {
  return srv_front_port(s->front, SRV_FRONT_MILVUS, i);
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
  if (s->front) {
    srv_front_quiesce(s->front);
    srv_grpc_quiesce(s->grpc);
  }
  server_drain(s);
  srv_pool_stop(s->pool); /* before all that its threads look at */
  srv_front_stop(s->front);
  srv_http_stop(s->http);
  srv_grpc_stop(s->grpc);
  srv_pool_free(s->pool);
  srv_embed_stop(s->embed);
  srv_milvus_state_stop(s->milvus);
  srv_auth_stop(s->auth);
  srv_tls_stop(s->tls);
  srv_audit_stop(s->audit);
  srv_metrics_free(s->metrics);
  srv_gpus_close(s->gpus);
  srv_guard_free(s->guard);
  srv_crowd_free(s->crowd);
  bool sealed = engine_close(s->engine, &why) == VECDB_OK;
  if (!sealed)
    snprintf(error, SRV_CONFIG_ERROR, "closing the database: %s", why.message);
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
  return engine_backup(s->engine, path, error);
}
