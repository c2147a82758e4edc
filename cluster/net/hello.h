/*
 * hello.h - the first frame of both sides: who they are. Its form never changes but by bytes that
 * are added at the end, and its frame has the least version that its sender speaks, so that any two
 * nodes understand each other well enough to refuse.
 */
#ifndef CLUSTER_NET_HELLO_H
#define CLUSTER_NET_HELLO_H

#include "meta/doc.h"
#include "net/frame.h"

enum { HELLO_BYTES = 56, HELLO_WHY = 256 };

/* What a connection is for, so that bulk data never delays heartbeats. */
enum net_class { NET_CONTROL, NET_QUERY, NET_APPEND, NET_BULK, NET_CLASSES };

struct hello {
  uint8_t version_min;
  uint8_t version_max;
  uint8_t class;
  struct doc_uuid cluster;
  uint32_t node;
  struct doc_uuid store;
  uint64_t incarnation;
  uint64_t features;
};

/* Why a connection was refused or ended. */
enum net_reason {
  NET_OK,
  NET_REFUSED_VERSION, /* no version that both speak */
  NET_REFUSED_CLUSTER,
  NET_REFUSED_NODE, /* a node that does not belong to the cluster, or not the one that was meant */
  NET_REFUSED_CERTIFICATE,
  NET_REFUSED_BUSY, /* too many connections */
  NET_BAD_FRAME,
  NET_BAD_TLS,
  NET_NO_CONNECTION, /* nobody there, or it went away */
  NET_SILENT,        /* no sign of life, or no hello in time */
  NET_SLOW,          /* it did not take what was sent */
  NET_CLOSED,        /* by this side */
  NET_NO_MEMORY
};
const char *net_reason_name(enum net_reason reason);

void hello_write(const struct hello *hello, uint8_t out[HELLO_BYTES]);
bool hello_read(const void *data, size_t n, struct hello *out);

/* What a side knows of the other when its hello has come. */
struct hello_check {
  const struct hello *own;
  uint32_t expected; /* node that was called; 0: any */
  bool certified;    /* the certificate names a node */
  struct doc_uuid certificate_cluster;
  uint32_t certificate_node;
};
/* NET_OK and the version to speak; or what is wrong, with words for both sides' logs. Whether the
   cluster knows the node is the caller's to see. */
enum net_reason hello_judge(const struct hello *theirs, const struct hello_check *check,
                            uint8_t *version, char *why);

/* "vdb://CLUSTER/node/ID", as certificates have it. */
bool hello_uri_read(const char *uri, struct doc_uuid *cluster, uint32_t *node);
void hello_uri_write(struct doc_uuid cluster, uint32_t node, char out[96]);

#endif
