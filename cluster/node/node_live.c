/*
 * node_live.c - the node's registration: a key on a lease, whose create_revision is the node's
 * incarnation. What an earlier process of this node has left is removed first: the folder's lock
 * says that it is no more.
 */
#include <stdlib.h>

#include "node/node_int.h"

static const int64_t live_limit_us = 2000000, live_again_us = 2000000;
static const int64_t live_keep_us = NODE_TTL_S * 1000000 / 3;

/* What is to be done next, and when. */
static void live_next(struct node *n, enum node_live_step step, int64_t in_us) {
  n->live.step = step;
  n->live.due_us = n->now_us + in_us;
}

static void live_lost(struct node *n) {
  if (n->live.incarnation)
    node_log(n, "the registration is lost, and made anew");
  n->live.incarnation = 0;
  live_next(n, LIVE_GRANT, 0);
}

static void live_registered(struct node *n, int64_t incarnation) {
  struct rep_event ev = {.type = REP_EV_REGISTERED, .number = (uint64_t)incarnation};
  n->live.incarnation = incarnation;
  node_log(n, "registered, incarnation %lld", (long long)incarnation);
  node_step_all(n, &ev);
  n->look = true;
  live_next(n, LIVE_KEEP, live_keep_us);
}

static void live_done(void *arg, const struct meta_result *r) {
  struct node *n = arg;
  n->live.asked = false;
  bool ok = r->status == META_OK;
  switch (n->live.step) {
    case LIVE_GRANT:
      n->live.lease = r->lease;
      live_next(n, ok ? LIVE_CLEAR : LIVE_GRANT, ok ? 0 : live_limit_us / 4);
      break;
    case LIVE_CLEAR:
      live_next(n, ok ? LIVE_PUT : LIVE_CLEAR, ok ? 0 : live_limit_us / 4);
      break;
    case LIVE_PUT:
      if (ok && r->succeeded)
        live_registered(n, r->revision);
      else
        live_next(n, LIVE_GRANT, live_limit_us / 4);
      break;
    case LIVE_KEEP:
      if (r->status == META_NO_LEASE)
        live_lost(n);
      else
        live_next(n, LIVE_LOOK, ok ? live_keep_us : live_limit_us / 4);
      break;
    case LIVE_LOOK:
      if (ok && (!r->answers[0].n || r->answers[0].kvs[0].create_revision != n->live.incarnation))
        live_lost(n);
      else
        live_next(n, LIVE_KEEP, 0);
      break;
  }
}

static enum meta_status live_put(struct node *n, struct doc_path path) {
  struct doc_live doc = {.id = n->config.id,
                         .store = n->store,
                         .protocol_min = DOC_SPEAKS_FIRST,
                         .protocol_max = DOC_SPEAKS_LAST,
                         .build = VECDB_VERSION_STRING};
  size_t bytes;
  char *text = doc_live_write(&doc, &bytes);
  const struct meta_compare c = {.key = meta_text(path.text), .target = META_CREATE};
  const struct meta_op put = {.kind = META_PUT,
                              .key = meta_text(path.text),
                              .value = {text, bytes},
                              .lease = n->live.lease};
  const struct meta_op get = {.kind = META_GET, .key = meta_text(path.text)};
  const struct meta_txn txn = {&c, &put, &get, 1, 1, 1};
  enum meta_status status =
      text ? meta_txn(n->meta, &txn, n->now_us + live_limit_us, live_done, n) : META_NO_MEMORY;
  free(text);
  return status;
}

static enum meta_status live_ask(struct node *n) {
  struct doc_path path = doc_path(n->config.cluster, DOC_PATH_LIVE, n->config.id, 0);
  int64_t until = n->now_us + live_limit_us;
  const struct meta_op gone = {.kind = META_DELETE, .key = meta_text(path.text)};
  const struct meta_txn clear = {.then = &gone, .n_then = 1};
  switch (n->live.step) {
    case LIVE_GRANT: return meta_grant(n->meta, NODE_TTL_S, until, live_done, n);
    case LIVE_CLEAR: return meta_txn(n->meta, &clear, until, live_done, n);
    case LIVE_PUT: return live_put(n, path);
    case LIVE_KEEP: return meta_keep(n->meta, n->live.lease, until, live_done, n);
    default: break;
  }
  return meta_get(n->meta, meta_text(path.text), (struct meta_bytes){NULL, 0}, until, live_done, n);
}

/* Whether the cluster is beyond this version. Without a registration nothing is done here. */
static bool live_too_old(struct node *n) {
  const struct cache_view *view = cache_take(n->cache);
  const struct doc_cluster *doc = view ? cache_doc(view, DOC_PATH_CLUSTER, 0, 0) : NULL;
  uint32_t asked = doc ? doc->protocol_min : 0;
  if (asked > DOC_SPEAKS_LAST)
    node_log(n, "the cluster's nodes must speak protocol %u, and this one speaks %d: it takes no "
                "part until it is upgraded", asked, DOC_SPEAKS_LAST);
  if (view)
    cache_give(view);
  return asked > DOC_SPEAKS_LAST;
}

void node_live_tick(struct node *n) {
  if (n->live.asked || n->now_us < n->live.due_us)
    return;
  if (n->live.step == LIVE_GRANT && live_too_old(n)) {
    live_next(n, LIVE_GRANT, live_again_us);
    return;
  }
  n->live.asked = live_ask(n) == META_OK;
  if (!n->live.asked)
    live_next(n, n->live.step, live_limit_us / 4);
}

void node_live_doubt(struct node *n) {
  if (n->live.incarnation && !n->live.asked)
    live_next(n, LIVE_LOOK, 0);
}
