/* replicas.c - how the replicas of a collection's shards are, and whether they are equal; see
   vecdb_client.h. */
#include <stdlib.h>

#include "client/calls.h"
#include "client/session.h"

enum { REPLICAS_LOST = 64 }; /* nodes that are remembered as silent, and not asked again */

struct replicas {
  vecdb_client *client;
  const vecdb_client_call *call;
  const char *name;
  uint32_t collection;
  uint32_t lost[REPLICAS_LOST];
  uint32_t n_lost;
};

static int replicas_taken(struct job *job, const struct wire_message *m, vecdb_error *error) {
  vecdb_client_replica *out = job->out;
  (void)error;
  out->reached = m->has & WIRE_HAS(WIRE_STATE) ? 1 : 0;
  out->rows = m->stats.rows;
  out->bytes = m->stats.bytes;
  out->applied = m->stats.applied;
  out->committed = m->stats.commit;
  out->age_ms = m->stats.age_ms;
  out->checked = m->stats.checked;
  out->digest = m->stats.digest;
  out->bytes_growing = m->stats.bytes_growing;
  out->bytes_index = m->stats.bytes_index;
  out->segments_growing = m->stats.segments_growing;
  out->segments_sealed = m->stats.segments_sealed;
  out->segments_indexed = m->stats.segments_indexed;
  out->merge_bytes = m->stats.merge_bytes;
  out->index_builds = m->stats.index_builds;
  out->index_build_ns = m->stats.index_build_ns;
  return VECDB_OK;
}

static bool replicas_lost(const struct replicas *r, uint32_t node) {
  uint32_t i = 0;
  while (i < r->n_lost && r->lost[i] != node)
    i++;
  return i < r->n_lost;
}

/* Asks one node for one shard; what cannot be had stays zero. */
static int replicas_ask(struct replicas *r, vecdb_client_replica *out, vecdb_error *error) {
  struct job job = {.taken = replicas_taken, .reads = true, .out = out, .node = out->node};
  if (replicas_lost(r, out->node))
    return VECDB_OK;
  int code = calls_begin(r->client, r->name, r->call, &job, error);
  if (code)
    return code;
  job.message = (struct wire_message){.kind = WIRE_STATS, .has = WIRE_HAS(WIRE_TARGET)};
  job.message.target = (struct wire_target){.collection = r->collection, .shard = out->shard};
  code = calls_run(r->client, &job, NULL);
  calls_free(&job);
  if (code && code != VECDB_CLIENT_NO_REPLICA && r->n_lost < REPLICAS_LOST)
    r->lost[r->n_lost++] = out->node;
  return VECDB_OK;
}

int vecdb_client_replicas(vecdb_client *c, const vecdb_client_about *about,
                          const vecdb_client_call *call,
                          int (*visit)(void *user, const vecdb_client_replica *replica),
                          void *user, vecdb_error *error) {
  if (!c || !about || !visit)
    return calls_fail(error, VECDB_ERR_ARGUMENT, "", "client, about and visit must be given");
  const struct router_map *map = about->map;
  struct replicas r = {c, call, map->coll.name, map->coll.id, {0}, 0};
  for (uint32_t i = 0; i < map->n_shards; i++) {
    const struct router_shard *shard = router_map_shard(map, i);
    for (uint32_t k = 0; shard && k < shard->n; k++) {
      vecdb_client_replica replica = {.size = sizeof replica,
                                      .shard = i,
                                      .node = shard->nodes[k],
                                      .primary = shard->nodes[k] == shard->primary};
      int code = replicas_ask(&r, &replica, error);
      if (code)
        return code;
      if (visit(user, &replica))
        return VECDB_OK;
    }
  }
  return VECDB_OK;
}

int vecdb_client_check(vecdb_client *c, const char *name, const vecdb_client_call *call,
                       vecdb_error *error) {
  struct job job = {.prepare = calls_nothing};
  int code = calls_begin(c, name, call, &job, error);
  if (code)
    return code;
  job.message.kind = WIRE_WRITE;
  job.message.write.kind = WIRE_CHECK;
  job.message.has = WIRE_HAS(WIRE_TARGET) | WIRE_HAS(WIRE_OP);
  code = calls_run(c, &job, error);
  calls_free(&job);
  return code;
}
