/* node_net.c - connections: whom this node knows, the ways to its peers, frames that come. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/node_int.h"

static const int64_t net_again_us = 200000;

/* ---- Whom it is ---- */

static bool net_known(void *arg, const struct hello *hello, const char *fingerprint) {
  struct node *n = arg;
  if (hello->node & WIRE_CLIENT)
    return true; /* what it may do is asked elsewhere; here it has shown a certificate of ours */
  const struct cache_view *view = cache_take(n->cache);
  const struct doc_node *doc = view ? cache_doc(view, DOC_PATH_NODE, hello->node, 0) : NULL;
  bool known = doc && doc->state != DOC_NODE_REMOVED &&
               (!*doc->fingerprint || strcmp(doc->fingerprint, fingerprint) == 0);
  if (view)
    cache_give(view);
  return known;
}

/* ---- Ways to peers ---- */

static struct node_peer *net_peer(struct node *n, uint32_t node) {
  for (size_t i = 0; i < n->n_peers; i++)
    if (n->peers[i].node == node)
      return &n->peers[i];
  if (n->n_peers == n->room_peers) {
    size_t room = n->room_peers ? 2 * n->room_peers : 16;
    struct node_peer *grown = realloc(n->peers, room * sizeof *grown);
    if (!grown)
      return NULL;
    n->peers = grown;
    n->room_peers = room;
  }
  n->peers[n->n_peers] = (struct node_peer){.node = node};
  return &n->peers[n->n_peers++];
}

static void net_call(struct node *n, struct node_peer *p, enum node_way way) {
  char why[HELLO_WHY], address[DOC_TEXT_MAX] = "";
  if (p->conn[way] || n->now_us < p->again_us[way])
    return;
  p->again_us[way] = n->now_us + net_again_us;
  const struct cache_view *view = cache_take(n->cache);
  const struct doc_node *doc = view ? cache_doc(view, DOC_PATH_NODE, p->node, 0) : NULL;
  if (doc)
    snprintf(address, sizeof address, "%s", doc->address);
  if (view)
    cache_give(view);
  if (*address)
    p->conn[way] =
        net_connect(n->net, p->node, address, way == NODE_MESSAGES ? NET_APPEND : NET_BULK, why);
}

/* The way that the connection is; false: it came from the other side. */
static bool net_way(struct node *n, const struct net_conn *conn, struct node_peer **p,
                    enum node_way *way) {
  for (size_t i = 0; i < NODE_WAYS * n->n_peers; i++) {
    *p = &n->peers[i / NODE_WAYS];
    *way = (enum node_way)(i % NODE_WAYS);
    if ((*p)->conn[*way] == conn)
      return true;
  }
  return false;
}

void node_net_know(struct node *n, uint32_t node) {
  if (node != n->config.id)
    (void)net_peer(n, node); /* without memory it is called when something is said */
}

void node_send(struct node *n, const struct rep_msg *m) {
  enum node_way way = m->type == REP_PIECE ? NODE_PIECES : NODE_MESSAGES;
  struct node_peer *p = net_peer(n, m->to);
  if (!p)
    return; /* lost, as any message may be */
  if (!p->up[way]) {
    net_call(n, p, way);
    return;
  }
  uint8_t *bytes = malloc(rep_msg_bytes(m));
  if (!bytes)
    return;
  struct frame f = {.type = way == NODE_MESSAGES ? FRAME_APPEND : FRAME_BULK};
  f.n = (uint32_t)rep_msg_write(m, bytes);
  if (net_send(p->conn[way], &f, bytes, true) != NET_SENT)
    free(bytes);
}

/* ---- What connections tell ---- */

void node_conn_drop(struct node_conn *c) {
  if (--c->uses == 0)
    free(c);
}

static void net_up(void *arg, struct net_conn *conn, const struct hello *hello) {
  struct node *n = arg;
  struct node_peer *p;
  enum node_way way;
  if (net_way(n, conn, &p, &way)) {
    p->up[way] = true;
    return;
  }
  struct node_conn *c = calloc(1, sizeof *c);
  if (!c) {
    net_end(conn, false);
    return;
  }
  *c = (struct node_conn){conn, hello->node, 1};
  net_set_user(conn, c);
}

static void net_down(void *arg, struct net_conn *conn, enum net_reason reason, const char *why) {
  struct node *n = arg;
  struct node_peer *p;
  enum node_way way;
  struct node_conn *c = net_user(conn);
  if (c) {
    c->conn = NULL;
    node_conn_drop(c);
  }
  if (!net_way(n, conn, &p, &way))
    return;
  bool was_up = p->up[way];
  p->conn[way] = NULL;
  p->up[way] = false;
  if (was_up) {
    node_log(n, "the connection to node %u is gone: %s", p->node, why);
    p->again_us[way] = 0; /* called again at once: whether it refuses tells whether it runs */
  } else if (reason == NET_NO_CONNECTION) {
    struct rep_event ev = {.type = REP_EV_DOWN, .node = p->node};
    node_step_all(n, &ev);
  }
}

static void net_message(struct node *n, const struct node_conn *c, const struct frame *f) {
  static struct rep_msg m; /* large, and used by one thread */
  if (!rep_msg_read(f->payload, f->n, &m) || m.from != c->node)
    return;
  struct node_replica *r = node_replica_of(n, (uint32_t)(m.shard >> 32), (uint32_t)m.shard);
  struct rep_event ev = {.type = REP_EV_MESSAGE, .msg = &m};
  if (r)
    node_step(r, &ev);
}

static void net_frame(void *arg, struct net_conn *conn, struct frame *frame) {
  struct node *n = arg;
  struct node_conn *c = net_user(conn);
  if (!c)
    return;
  bool client = (c->node & WIRE_CLIENT) != 0;
  if (frame->type == FRAME_QUERY)
    node_ask(n, c, frame);
  else if (!client && (frame->type == FRAME_APPEND || frame->type == FRAME_BULK))
    net_message(n, c, frame);
}

static void net_room(void *arg, struct net_conn *conn) {
  (void)arg;
  (void)conn;
}

/* ---- Opening ---- */

bool node_net_open(struct node *n, char *why) {
  struct net_config config = {
      .self = {.cluster = n->config.cluster, .node = n->config.id, .store = n->store},
      .ca_file = n->config.ca,
      .cert_file = n->config.cert,
      .key_file = n->config.key,
      .handler = {net_known, net_up, net_frame, net_room, net_down, n}};
  n->net = net_open(&config, why);
  return n->net && net_listen(n->net, n->config.listen, NULL, why);
}

/* Calls peers that replicas may have something to say to; a dead one is noticed by it, too. */
void node_net_tick(struct node *n) {
  for (size_t i = 0; i < n->n_peers; i++)
    net_call(n, &n->peers[i], NODE_MESSAGES);
}
