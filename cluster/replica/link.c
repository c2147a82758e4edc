/* link.c - replication's transactions and record in the words of the metadata store; see link.h. */
#include "replica/link.h"

#include <stdlib.h>
#include <string.h>

#include "replica/plant.h"

struct rep_link {
  struct rep_link_options o;
  struct doc_path shard, live;
  struct doc_shard doc; /* the newest one told to the replica, at `revision` */
  int64_t revision;     /* 0: none yet */
  uint32_t pending;     /* requests that will call back */
  bool closed, watching;
  uint64_t watch;
};

/* A request under way: which transaction it is. */
struct link_request {
  struct rep_link *link;
  bool read;
  struct doc_shard doc; /* that was put */
  int64_t revision;     /* of the record that it is to replace */
};

static struct rep_uuid link_store(struct doc_uuid id) {
  struct rep_uuid out;
  memcpy(&out.hi, id.bytes, 8);
  memcpy(&out.lo, id.bytes + 8, 8);
  return out;
}

static struct doc_replica *link_replica(struct doc_shard *doc, uint32_t node) {
  for (uint32_t i = 0; i < doc->n_replicas; i++)
    if (doc->replicas[i].node == node)
      return &doc->replicas[i];
  return NULL;
}

static struct rep_member link_member(const struct doc_shard *doc, uint32_t node) {
  struct rep_member m = {.node = node};
  for (uint32_t i = 0; i < doc->n_replicas; i++)
    if (doc->replicas[i].node == node)
      m.store = link_store(doc->replicas[i].store);
  return m;
}

bool rep_link_config(const struct doc_shard *doc, int64_t revision, struct rep_config *out) {
  memset(out, 0, sizeof *out);
  if (doc->state != DOC_SHARD_ACTIVE || doc->n_isr > REP_MEMBERS || doc->n_learners > REP_MEMBERS)
    return false;
  out->rev = (uint64_t)revision;
  out->epoch = doc->epoch;
  out->unclean = doc->unclean;
  out->min_isr = doc->min_isr;
  out->n_isr = doc->n_isr;
  out->n_learners = doc->n_learners;
  for (uint32_t i = 0; i < doc->n_isr; i++)
    out->isr[i] = link_member(doc, doc->isr[i]);
  memcpy(out->learners, doc->learners, doc->n_learners * sizeof *doc->learners);
  rep_config_lead(out, doc->primary);
  return rep_config_valid(out) && out->isr[0].node == doc->primary;
}

void rep_link_doc(const struct rep_config *c, struct doc_shard *doc) {
  doc->epoch = c->epoch;
  doc->unclean = c->unclean;
  doc->primary = c->isr[0].node;
  doc->n_isr = c->n_isr;
  doc->n_learners = c->n_learners;
  for (uint32_t i = 0; i < c->n_isr; i++) {
    doc->isr[i] = c->isr[i].node;
    struct doc_replica *replica = link_replica(doc, c->isr[i].node);
    if (!replica)
      continue;
    memcpy(replica->store.bytes, &c->isr[i].store.hi, 8);
    memcpy(replica->store.bytes + 8, &c->isr[i].store.lo, 8);
  }
  memcpy(doc->learners, c->learners, c->n_learners * sizeof *c->learners);
}

static struct meta_bytes link_key(const struct doc_path *path) { return meta_text(path->text); }

/* ---- What the store tells ---- */

/* A record of a revision; false: it is of no use. */
static bool link_read(struct rep_link *l, const struct meta_kv *kv, struct rep_config *c) {
  struct doc_shard doc;
  char why[DOC_TEXT_MAX];
  if (doc_shard_read(kv->value, &doc, why) != DOC_OK ||
      !rep_link_config(&doc, kv->mod_revision, c))
    return false;
  if (kv->mod_revision > l->revision) {
    l->doc = doc;
    l->revision = kv->mod_revision;
  }
  return true;
}

/* The key is not there; what was seen at an older revision than the record says nothing. */
static void link_gone(struct rep_link *l, int64_t revision) {
  if (l->revision && revision > l->revision)
    l->o.gone(l->o.arg);
}

static void link_changed(void *arg, const struct meta_batch *batch);

/* Watches from behind the newest record that is known. */
static void link_watch(struct rep_link *l) {
  struct meta_bytes none = {NULL, 0};
  if (l->watching || !l->revision)
    return;
  l->watching = meta_watch(l->o.store, link_key(&l->shard), none, l->revision + 1, link_changed, l,
                           &l->watch) == META_OK;
}

static void link_told(struct rep_link *l, const struct meta_kv *kv) {
  struct rep_config c;
  struct rep_event ev = {.type = REP_EV_CONFIG, .config = &c};
  if (!link_read(l, kv, &c))
    return;
  link_watch(l);
  l->o.event(l->o.arg, &ev);
}

static void link_changed(void *arg, const struct meta_batch *batch) {
  struct rep_link *l = arg;
  if (batch->status != META_OK) {
    l->watching = false; /* until the next read */
    return;
  }
  for (size_t i = 0; i < batch->n && !l->closed; i++)
    if (batch->events[i].deleted)
      link_gone(l, batch->events[i].kv.mod_revision);
    else
      link_told(l, &batch->events[i].kv);
}

/* ---- Requests ---- */

static struct link_request *link_begin(struct rep_link *l) {
  struct link_request *q = l->o.alloc.get(l->o.alloc.arg, sizeof *q);
  if (!q)
    return NULL;
  q->link = l;
  l->pending++;
  return q;
}

static void link_free(struct rep_link *l) {
  if (l->closed && !l->pending)
    l->o.alloc.put(l->o.alloc.arg, l);
}

static void link_end(struct link_request *q) {
  struct rep_link *l = q->link;
  l->pending--;
  l->o.alloc.put(l->o.alloc.arg, q);
  link_free(l);
}

/* The record that a read, or the else-branch of a transaction, gave; NULL: the key is not there. */
static const struct meta_kv *link_record(const struct meta_result *r) {
  return r->n_answers && r->answers[0].n ? &r->answers[0].kvs[0] : NULL;
}

static void link_outcome(struct link_request *q, const struct meta_result *r) {
  struct rep_link *l = q->link;
  struct rep_config c;
  struct rep_event ev = {.type = REP_EV_TXN, .outcome = REP_TXN_UNKNOWN, .config = &c};
  const struct meta_kv *kv = r->status == META_OK && !r->succeeded ? link_record(r) : NULL;
  if (r->status == META_OK && r->succeeded && rep_link_config(&q->doc, r->revision, &c)) {
    ev.outcome = REP_TXN_DONE;
    if (r->revision > l->revision) {
      l->doc = q->doc;
      l->revision = r->revision;
    }
  } else if (kv && link_read(l, kv, &c)) {
    ev.outcome = REP_TXN_FAILED;
    if (kv->mod_revision == q->revision)
      l->o.doubt(l->o.arg);
  } else if (r->status == META_OK && !r->succeeded && !kv) {
    link_gone(l, r->revision);
  }
  l->o.event(l->o.arg, &ev);
}

static void link_done(void *arg, const struct meta_result *r) {
  struct link_request *q = arg;
  struct rep_link *l = q->link;
  if (!l->closed && !q->read) {
    link_outcome(q, r);
  } else if (!l->closed && r->status == META_OK) {
    const struct meta_kv *kv = link_record(r);
    if (kv)
      link_told(l, kv);
    else
      link_gone(l, r->revision);
  }
  link_end(q);
}

void rep_link_refresh(struct rep_link *l, int64_t deadline_us) {
  struct link_request *q = link_begin(l);
  struct meta_bytes none = {NULL, 0};
  if (!q)
    return;
  q->read = true;
  if (meta_get(l->o.store, link_key(&l->shard), none, deadline_us, link_done, q) != META_OK)
    link_end(q);
}

void rep_link_txn(struct rep_link *l, const struct rep_txn *t, int64_t deadline_us) {
  struct link_request *q = link_begin(l);
  if (!q)
    return; /* the replica sends it again */
  q->doc = l->doc;
  q->revision = (int64_t)t->rev;
  rep_link_doc(&t->config, &q->doc);
  size_t n;
  char *text = doc_shard_write(&q->doc, &n);
  const struct meta_compare compares[] = {
      {.key = link_key(&l->live), .target = META_CREATE, .number = (int64_t)t->incarnation},
      {.key = link_key(&l->shard), .target = META_MOD, .number = (int64_t)t->rev}};
  const struct meta_op put = {.kind = META_PUT, .key = link_key(&l->shard), .value = {text, n}};
  const struct meta_op get = {.kind = META_GET, .key = link_key(&l->shard)};
  struct meta_txn txn = {compares, &put, &get, PLANT(NO_COMPARE, 2, 1), 1, 1};
  /* Another record than the one that the replica meant: it would be refused anyhow. */
  bool mine = text && l->revision == (int64_t)t->rev;
  if (!mine || meta_txn(l->o.store, &txn, deadline_us, link_done, q) != META_OK)
    link_end(q);
  free(text);
}

struct rep_link *rep_link_open(const struct rep_link_options *o) {
  struct rep_link *l = o->alloc.get(o->alloc.arg, sizeof *l);
  if (!l)
    return NULL;
  l->o = *o;
  l->shard = doc_path(o->cluster, DOC_PATH_SHARD, o->collection, o->number);
  l->live = doc_path(o->cluster, DOC_PATH_LIVE, o->node, 0);
  return l;
}

void rep_link_close(struct rep_link *l) {
  if (!l)
    return;
  if (l->watching)
    meta_cancel(l->o.store, l->watch);
  l->closed = true;
  link_free(l);
}
