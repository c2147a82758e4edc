/* links.c - connections to the nodes of a cluster; see links.h. */
#include "client/links.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  LINKS_FIRST_US = 50000, /* before a broken connection is made anew; then twice as long, up to */
  LINKS_LAST_US = 1000000,
  LINKS_WAITING = 1024 /* messages for a connection that is being made */
};

struct links_waiting {
  struct links_waiting *next;
  struct frame frame;
  uint8_t payload[];
};

struct links_node {
  uint32_t id;
  char address[DOC_TEXT_MAX];
  struct net_conn *conn; /* NULL: none */
  bool up;
  int64_t not_before_us;
  int64_t backoff_us;
  struct links_waiting *first;
  struct links_waiting **end;
  uint32_t waiting;
};

struct links {
  struct net *net;
  struct links_handler handler;
  struct links_node **nodes; /* each stays where it is: connections point to it */
  uint32_t n;
  uint32_t turn;
  int64_t now_us;
  char why[HELLO_WHY + 64];
};

static struct links_node *links_find(const struct links *l, uint32_t id) {
  for (uint32_t i = 0; i < l->n; i++)
    if (l->nodes[i]->id == id)
      return l->nodes[i];
  return NULL;
}

static void links_forget(struct links_node *node) {
  for (struct links_waiting *w = node->first, *next; w; w = next) {
    next = w->next;
    free(w);
  }
  node->first = NULL;
  node->end = &node->first;
  node->waiting = 0;
}

/* ---- What connections tell ---- */

static bool links_known(void *arg, const struct hello *hello, const char *fingerprint) {
  (void)arg;
  (void)fingerprint;
  return hello->node > 0; /* that it is the node that was called net has seen to */
}

static void links_up(void *arg, struct net_conn *conn, const struct hello *hello) {
  struct links *l = arg;
  struct links_node *node = net_user(conn);
  (void)hello;
  node->up = true;
  node->backoff_us = 0;
  for (struct links_waiting *w = node->first; w; w = w->next)
    net_send(conn, &w->frame, w->payload, false); /* one that does not fit is as if it were lost */
  links_forget(node);
  l->handler.up(l->handler.arg, node->id);
}

static void links_frame(void *arg, struct net_conn *conn, struct frame *frame) {
  struct links *l = arg;
  const struct links_node *node = net_user(conn);
  if (frame->type == FRAME_ANSWER)
    l->handler.answer(l->handler.arg, node->id, frame);
}

static void links_room(void *arg, struct net_conn *conn) {
  (void)arg;
  (void)conn;
}

static void links_down(void *arg, struct net_conn *conn, enum net_reason reason, const char *why) {
  struct links *l = arg;
  struct links_node *node = net_user(conn);
  if (!node)
    return;
  snprintf(l->why, sizeof l->why, "node %u: %s", node->id, *why ? why : net_reason_name(reason));
  node->conn = NULL;
  node->up = false;
  node->backoff_us = node->backoff_us ? 2 * node->backoff_us : LINKS_FIRST_US;
  if (node->backoff_us > LINKS_LAST_US)
    node->backoff_us = LINKS_LAST_US;
  node->not_before_us = l->now_us + node->backoff_us;
  links_forget(node);
  if (reason != NET_CLOSED)
    l->handler.down(l->handler.arg, node->id);
}

/* ---- Opening ---- */

struct links *links_open(struct net_config *config, const struct links_handler *handler,
                         char *why) {
  struct links *l = calloc(1, sizeof *l);
  if (!l) {
    snprintf(why, HELLO_WHY, "out of memory");
    return NULL;
  }
  config->handler =
      (struct net_handler){links_known, links_up, links_frame, links_room, links_down, l};
  l->handler = *handler;
  snprintf(l->why, sizeof l->why, "nothing was tried yet");
  l->net = net_open(config, why);
  if (l->net)
    return l;
  free(l);
  return NULL;
}

void links_close(struct links *l) {
  if (!l)
    return;
  net_close(l->net);
  for (uint32_t i = 0; i < l->n; i++) {
    links_forget(l->nodes[i]);
    free(l->nodes[i]);
  }
  free(l->nodes);
  free(l);
}

bool links_add(struct links *l, uint32_t id, const char *address) {
  struct links_node *node = links_find(l, id);
  if (!node) {
    struct links_node **nodes = realloc(l->nodes, (l->n + 1) * sizeof *nodes);
    if (!nodes)
      return false;
    l->nodes = nodes;
    node = calloc(1, sizeof *node);
    if (!node)
      return false;
    node->id = id;
    node->end = &node->first;
    l->nodes[l->n++] = node;
  }
  if (strcmp(node->address, address) != 0)
    node->not_before_us = 0;
  snprintf(node->address, sizeof node->address, "%s", address);
  return true;
}

/* ---- Sending ---- */

static bool links_dial(struct links *l, struct links_node *node) {
  char why[HELLO_WHY];
  if (node->conn)
    return true;
  if (l->now_us < node->not_before_us)
    return false;
  node->conn = net_connect(l->net, node->id, node->address, NET_QUERY, why);
  if (!node->conn) {
    snprintf(l->why, sizeof l->why, "node %u: %s", node->id, why);
    node->not_before_us = l->now_us + LINKS_LAST_US;
    return false;
  }
  net_set_user(node->conn, node);
  return true;
}

static bool links_wait(struct links_node *node, const struct frame *frame, const void *payload) {
  struct links_waiting *w = NULL;
  if (node->waiting < LINKS_WAITING)
    w = malloc(sizeof *w + frame->n);
  if (!w)
    return false;
  *w = (struct links_waiting){NULL, *frame};
  memcpy(w->payload, payload, frame->n);
  *node->end = w;
  node->end = &w->next;
  node->waiting++;
  return true;
}

bool links_send(struct links *l, uint32_t id, const struct frame *frame, const void *payload) {
  struct links_node *node = links_find(l, id);
  if (!node || !links_dial(l, node))
    return false;
  return node->up ? net_send(node->conn, frame, payload, false) == NET_SENT
                  : links_wait(node, frame, payload);
}

uint32_t links_any(struct links *l, uint32_t but) {
  uint32_t other = 0;
  l->turn++;
  for (uint32_t i = 0; i < l->n; i++) {
    const struct links_node *node = l->nodes[(l->turn + i) % l->n];
    if (node->id == but)
      continue;
    if (node->up)
      return node->id;
    if (!other && (node->conn || l->now_us >= node->not_before_us))
      other = node->id;
  }
  return other ? other : l->n == 1 ? l->nodes[0]->id : 0;
}

const char *links_why(const struct links *l) { return l->why; }
int links_fd(const struct links *l) { return net_fd(l->net); }
int64_t links_due(const struct links *l) { return net_due(l->net); }

void links_run(struct links *l, int64_t now_us) {
  l->now_us = now_us;
  net_run(l->net, now_us);
}
