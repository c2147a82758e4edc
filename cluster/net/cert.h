/*
 * cert.h - certificates for a cluster: an authority of its own, and one for each node that names
 * it. For clusters that have no other authority, and for tests.
 */
#ifndef CLUSTER_NET_CERT_H
#define CLUSTER_NET_CERT_H

#include "net/hello.h"

struct cert_files {
  const char *ca_cert; /* PEM */
  const char *ca_key;
  const char *cert;
  const char *key;
  const char *names; /* besides the node's: "IP:127.0.0.1,DNS:etcd1"; NULL: none */
};

/* A new authority: writes ca_cert and ca_key (for its owner's eyes alone). False with the reason in
   `why` (HELLO_WHY bytes). */
bool cert_authority(const struct cert_files *files, uint32_t days, char *why);
/* A certificate for a node, signed by the authority: writes cert and key. It names the node as
   vdb://CLUSTER/node/ID, and serves for both sides of a connection. */
bool cert_node(const struct cert_files *files, struct doc_uuid cluster, uint32_t node,
               uint32_t days, char *why);

#endif
