/*
 * links.h - connections to the nodes of a cluster: made when something is to be sent, made anew
 * after a while when they break. What is sent while one is being made waits for it.
 */
#ifndef CLUSTER_CLIENT_LINKS_H
#define CLUSTER_CLIENT_LINKS_H

#include "net/net.h"

struct links;

struct links_handler {
  void (*up)(void *arg, uint32_t node);
  /* What was sent and not answered is lost. */
  void (*down)(void *arg, uint32_t node);
  /* The payload is freed after the call unless it is taken over, as net_handler.frame says. */
  void (*answer)(void *arg, uint32_t node, struct frame *frame);
  void *arg;
};

/* NULL with the reason in `why` (HELLO_WHY bytes). The config's handler is set here. */
struct links *links_open(struct net_config *config, const struct links_handler *handler, char *why);
void links_close(struct links *links);
/* A node and its address, or its new address; false: no memory. */
bool links_add(struct links *links, uint32_t node, const char *address);
/* False: it cannot be reached now. */
bool links_send(struct links *links, uint32_t node, const struct frame *frame, const void *payload);
/* A node that is connected, or else one that may be; in turn. 0: there is none. */
uint32_t links_any(struct links *links, uint32_t but);
/* Why a connection broke last. */
const char *links_why(const struct links *links);

int links_fd(const struct links *links);
int64_t links_due(const struct links *links);
void links_run(struct links *links, int64_t now_us);

#endif
