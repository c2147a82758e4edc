/*
 * faultrig.h - a cluster of processes for tests and benchmarks: three etcd members and up to five
 * nodes behind a proxy (faultproxy.h), with what can go wrong with them, and a collection `rows`
 * with a key `id`, an integer `version` and a vector `v`.
 */
#ifndef FAULTRIG_H
#define FAULTRIG_H

#include "client/vecdb_client.h"
#include "cluster/etcdtest.h"
#include "cluster/faultnode.h"
#include "cluster/faultproxy.h"
#include "ctl/session.h"

enum { RIG_NODES = 5, RIG_ETCD_END = RIG_NODES + 1, RIG_DIM = 4, RIG_COLLECTION = 1 };

struct rig_config {
  int nodes;
  uint32_t shards, replicas, min_isr;
  bool tls; /* between nodes, and to clients */
};

struct rig {
  struct rig_config config;
  struct et etcd;
  struct doc_uuid cluster;
  struct fault_proxy *proxy;
  int port[RIG_NODES + 1], shown[RIG_NODES + 1]; /* by node, from 1 */
  pid_t pid[RIG_NODES + 1];
  struct fault_switches *switches[RIG_NODES + 1];
  char endpoints[256]; /* of etcd, through the proxy */
  vecdb_client *client;
};

/* All of it runs; nodes have not been waited for. */
void rig_start(struct rig *r, const struct rig_config *config);
void rig_end(struct rig *r);

void rig_node_start(struct rig *r, int node);
void rig_node_kill(struct rig *r, int node);
void rig_node_signal(struct rig *r, int node, int signal);
void rig_etcd_kill(struct rig *r, int member);
void rig_etcd_start(struct rig *r, int member);
/* What ends say to each other, one way; end 0 is the client. */
void rig_hold(struct rig *r, int from, int to, bool held);

/* What the metadata says about a shard. */
struct rig_shard {
  uint32_t primary, replicas[8], n_replicas, n_isr;
};
void rig_ctl_open(struct rig *r, struct ctl *ctl);
void rig_shard(struct ctl *ctl, uint32_t shard, struct rig_shard *out);
/* Begins to move a replica of the shard to a node that has none; false: there is none. */
bool rig_move(struct ctl *ctl, const struct rig *r, uint32_t shard);
/* Begins to split the shard; false: it may not be now. */
bool rig_split(struct ctl *ctl, uint32_t shard);
/* How many shards there are; 0: one is being split. */
uint32_t rig_shards(struct ctl *ctl);
/* Waits until every shard has all its replicas in sync and no move or split is open; config.shards
   says how many there are then. */
void rig_whole(struct rig *r, struct ctl *ctl);
/* Waits until all replicas of a shard have applied as much as each other; whether they hold the
   same rows then. Nothing is being written. */
bool rig_same(struct rig *r, struct ctl *ctl, uint32_t shard);

#endif
