/*
 * node.h - a node of the cluster: one thread that drives the metadata's cache, the connections and
 * the replicas of the shards that are here, and a few others for what may block. README.md.
 */
#ifndef CLUSTER_NODE_NODE_H
#define CLUSTER_NODE_NODE_H

#include "net/net.h"

enum { NODE_WHY = 512 };

struct node;

struct node_config {
  uint32_t id;
  struct doc_uuid cluster;
  const char *data;      /* folder, made when it is not there */
  const char *listen;    /* "address:port" of the transport */
  const char *endpoints; /* of etcd */
  const char *etcd_ca;   /* PEM files of the way to etcd; NULL: none */
  const char *etcd_cert;
  const char *etcd_key;
  const char *ca; /* of the transport; NULL: no TLS, on loopback alone */
  const char *cert;
  const char *key;
  uint32_t threads; /* for searches and writes; 0: 2 */
  uint32_t keep;    /* entries of a log that are kept for other nodes; 0: 100,000 */
  /* Milliseconds since 1970; NULL: by the system's clock. */
  int64_t (*wall_ms)(void);
  /* A line for people; NULL: none are wanted. */
  void (*log)(void *arg, const char *line);
  void *log_arg;
};

/* NULL with the reason in `why` (NODE_WHY bytes). The texts of config outlive the node. */
struct node *node_open(const struct node_config *config, char *why);
/* Until node_stop. */
void node_run(struct node *n);
/* Any thread, and signal handlers. */
void node_stop(struct node *n);
void node_close(struct node *n);

#endif
