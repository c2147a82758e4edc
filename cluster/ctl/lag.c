/* lag.c - how far each replica is behind, and whether shards are of a sensible size; see lag.h. */
#include "ctl/lag.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "place/advice.h"

enum { LAG_MS = 1000, LAG_NODES = 64 * 1024 };

struct lag {
  FILE *out;
  const char *name;
  uint64_t committed; /* of its primary, which comes first */
  uint64_t rows[DOC_SHARDS_MAX]; /* of the shards whose primaries have answered */
  uint32_t n_shards;
  bool silent; /* some have not */
};

static int lag_visit(void *user, const vecdb_client_replica *r) {
  struct lag *lag = user;
  if (r->primary)
    lag->committed = r->reached ? r->committed : 0;
  lag->silent |= r->primary && !r->reached;
  if (r->primary && r->reached && lag->n_shards < DOC_SHARDS_MAX)
    lag->rows[lag->n_shards++] = r->rows;
  fprintf(lag->out, "%s/%u: node %u%s", lag->name, r->shard, r->node,
          r->primary ? ", primary" : "");
  if (!r->reached) {
    fprintf(lag->out, ", does not answer\n");
    return 0;
  }
  uint64_t behind = lag->committed > r->applied ? lag->committed - r->applied : 0;
  fprintf(lag->out, ", %" PRIu64 " rows, applied %" PRIu64 ", behind by %" PRIu64 " entries",
          r->rows, r->applied, behind);
  if (r->age_ms == UINT32_MAX)
    fprintf(lag->out, ", for an unknown time\n");
  else
    fprintf(lag->out, ", %u ms\n", r->age_ms);
  return 0;
}

/* "1@10.0.0.1:7000,2@..." */
static char *lag_nodes(struct ctl *ctl) {
  const struct cache_view *view = ctl_view(ctl);
  size_t n, used = 0;
  char *text = calloc(1, LAG_NODES);
  const struct cache_entry *const *all = cache_all(view, DOC_PATH_NODE, 0, &n);
  for (size_t i = 0; text && i < n; i++) {
    const struct doc_node *node = all[i]->doc;
    if (!node || node->state == DOC_NODE_REMOVED || used + DOC_TEXT_MAX + 16 > LAG_NODES)
      continue;
    used += (size_t)snprintf(text + used, LAG_NODES - used, "%s%u@%s", used ? "," : "", node->id,
                             node->address);
  }
  cache_give(view);
  return text;
}

/* Whether the shards are of a sensible size. */
static void lag_advice(const struct lag *lag) {
  if (lag->silent || !lag->n_shards)
    return;
  struct place_advice advice = place_advise(lag->rows, lag->n_shards, DOC_SHARDS_MAX);
  if (advice.size != PLACE_SIZE_GOOD)
    fprintf(lag->out, "%s: %s\n", lag->name, advice.text);
}

static bool lag_collection(vecdb_client *client, const char *name, const vecdb_client_call *call,
                           FILE *out, vecdb_error *error) {
  struct lag *lag = calloc(1, sizeof *lag);
  vecdb_client_about *about = NULL;
  int code = vecdb_client_describe(client, name, call, &about, error);
  if (!lag)
    snprintf(error->message, sizeof error->message, "out of memory");
  if (lag && !code) {
    *lag = (struct lag){.out = out, .name = name};
    code = vecdb_client_replicas(client, about, call, lag_visit, lag, error);
    lag_advice(lag);
  }
  vecdb_client_about_free(about);
  bool good = lag && !code;
  free(lag);
  return good;
}

static bool lag_collections(struct ctl *ctl, vecdb_client *client, FILE *out) {
  vecdb_error error = {0};
  vecdb_client_call call = VECDB_CLIENT_CALL_INIT;
  vecdb_client_list *list = NULL;
  call.timeout_ms = LAG_MS;
  bool good = !vecdb_client_list_collections(client, &call, &list, &error);
  for (size_t i = 0; good && i < vecdb_client_list_count(list); i++)
    good = lag_collection(client, vecdb_client_list_name(list, i), &call, out, &error);
  vecdb_client_list_free(list);
  if (!good)
    snprintf(ctl->why, sizeof ctl->why, "%.200s", error.message);
  return good;
}

vecdb_client *ctl_client(struct ctl *ctl) {
  char cluster[33], *nodes = lag_nodes(ctl);
  vecdb_client_options o = VECDB_CLIENT_OPTIONS_INIT;
  vecdb_client *client = NULL;
  vecdb_error error = {0};
  doc_uuid_text(ctl->cluster, cluster);
  o.nodes = nodes;
  o.cluster = cluster;
  if (!nodes || vecdb_client_open(&o, &client, &error))
    snprintf(ctl->why, sizeof ctl->why, "%.200s", nodes ? error.message : "out of memory");
  free(nodes);
  return client;
}

bool ctl_lag(struct ctl *ctl, FILE *out) {
  vecdb_client *client = ctl_client(ctl);
  bool good = client && lag_collections(ctl, client, out);
  vecdb_client_close(client);
  return good;
}
