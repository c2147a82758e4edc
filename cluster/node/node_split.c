/*
 * node_split.c - a shard that is split, as a replica of it carries it out: its copy of what moves,
 * the entries in the log, the steps of the document. What is done next follows from document and
 * applied data alone (replica/split.h), so after any crash whoever leads goes on in the same place.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/node_int.h"

static const int64_t split_limit_us = 2000000, split_again_us = 200000;
static const int64_t split_failed_us = 1000000; /* before what has failed here is tried again */
static const int64_t split_fenced_us = 60000000; /* that copies are waited for */
static const int64_t split_held_us = 10000000;   /* that the new shard is, to lead itself */
/* After so much silence the metadata store is asked, and waited for, while nothing is written. */
static const int64_t split_silent_us = 1000000, split_away_us = 5000000;

_Static_assert((int)WIRE_SPLIT_RELEASE == (int)REP_SPLIT_RELEASE, "the entry's flags");

enum { SPLIT_COMPARES = 5, SPLIT_PUTS = 4, SPLIT_TRIES = 3 };

static const char *const split_entries[] = {
    [REP_SPLIT_FENCE] = "writes wait", [REP_SPLIT_RELEASE] = "the moved rows go",
    [REP_SPLIT_CANCEL] = "it is given up"};

bool node_split_still(const struct node_replica *r) {
  return r->split_pending || r->split_behind ||
         (r->machine && machine_split(r->machine).fenced);
}

static struct rep_member split_self(const struct node *n) {
  struct rep_member m = {.node = n->config.id};
  memcpy(&m.store.hi, n->store.bytes, 8);
  memcpy(&m.store.lo, n->store.bytes + 8, 8);
  return m;
}

static struct rep_split_plan split_plan(const struct doc_split *doc) {
  struct rep_split_plan plan = {
      .id = doc->id, .step = (enum rep_split_step)doc->step, .n_forks = doc->n_forks};
  for (uint32_t i = 0; i < doc->n_forks; i++) {
    plan.forks[i].node = doc->forks[i].node;
    memcpy(&plan.forks[i].store.hi, doc->forks[i].store.bytes, 8);
    memcpy(&plan.forks[i].store.lo, doc->forks[i].store.bytes + 8, 8);
  }
  return plan;
}

/* ---- The entries ---- */

/* All that a replica must know of the split, so that each does the same. */
static bool split_body(const struct node_replica *r, const struct cache_view *view,
                       enum rep_split_entry entry, struct rep_op op, struct wire_out *out) {
  static const enum doc_kind kinds[] = {DOC_PATH_COLL, DOC_PATH_SPLIT, DOC_PATH_SPLITS};
  struct wire_document documents[3];
  struct wire_message m = {
      .kind = WIRE_WRITE,
      .has = WIRE_HAS(WIRE_TARGET) | WIRE_HAS(WIRE_OP) | WIRE_HAS(WIRE_DOCUMENTS_OF),
      .target = {.collection = r->collection, .shard = r->number},
      .write = {op.client, op.count, WIRE_SPLIT, 0, (uint32_t)entry},
      .documents = documents};
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    const struct cache_entry *e = cache_find(view, kinds[i], r->collection,
                                             kinds[i] == DOC_PATH_SPLIT ? r->number : 0);
    if (e && e->doc)
      documents[m.n_documents++] =
          (struct wire_document){e->kind, e->a, e->b, e->mod, e->text.data, e->text.n};
  }
  wire_out_init(out, WIRE_BODY_MAX);
  wire_message_write(&m, out);
  return !out->status;
}

/* An entry is for ever, and replicas that cannot do what it says fail: it is looked at before.
   False with the reason in `why` (MACHINE_WHY bytes). */
static bool split_append(struct node_replica *r, const struct cache_view *view,
                         enum rep_split_entry entry, uint64_t id, char *why) {
  struct wire_out body;
  const struct rep_op op =
      machine_split_op(entry, id, machine_split(r->machine).generation + 1);
  snprintf(why, MACHINE_WHY, "its documents are too large, or there is no memory");
  bool good =
      split_body(r, view, entry, op, &body) &&
      (entry == REP_SPLIT_CANCEL || machine_split_good(body.data, body.n, id, why));
  r->split_us = r->node->now_us + (good ? 0 : split_failed_us);
  if (good) {
    struct rep_event ev = {.type = REP_EV_WRITE,
                           .op = op,
                           .ack = REP_ACK_SYNC,
                           .ticket = ++r->node->tickets,
                           .data = body.data,
                           .n = (uint32_t)body.n};
    node_log(r->node, "shard %u/%u: split %llu, %s", r->collection, r->number,
             (unsigned long long)id, split_entries[entry]);
    r->split_ticket = ev.ticket;
    r->split_pending = true;
    node_step(r, &ev);
  }
  wire_out_free(&body);
  return good;
}

/* Applied, or it will not be by this one: what is to be done then is seen by the data. */
bool node_split_answer(struct node_replica *r, const struct rep_answer *a) {
  if (!r->split_pending || a->ticket != r->split_ticket)
    return false;
  r->split_pending = false;
  if (a->result != REP_DONE)
    r->split_us = r->node->now_us + split_again_us;
  return true;
}

/* ---- The document ---- */

/* Steps are tried again and again: why one is not written (a static text, NULL: it was) is said
   once. */
static void split_said(struct node_replica *r, const char *why) {
  if (why && why != r->split_why)
    node_log(r->node, "shard %u/%u: a step of its split is not written: %s", r->collection,
             r->number, why);
  r->split_why = why;
}

static const char split_bad[] = "a document cannot be read, or not be made";

struct split_asked {
  struct node *node;
  uint32_t collection, number;
  int64_t sure; /* a question: the document's mod; else 0 */
};

static void split_done(void *arg, const struct meta_result *result) {
  struct split_asked *asked = arg;
  struct node_replica *r = node_replica_of(asked->node, asked->collection, asked->number);
  if (r) { /* what it came to, the documents tell */
    r->splitting = false;
    split_said(r, result->status ? meta_status_name(result->status) : NULL);
    if (asked->sure && !result->status && result->succeeded) {
      r->split_sure = asked->sure;
      r->split_us = 0;
    }
  }
  free(asked);
}

/* A transaction that is being put together. */
struct split_step {
  struct node_replica *r;
  struct doc_path paths[SPLIT_COMPARES];
  struct meta_compare compares[SPLIT_COMPARES];
  struct meta_op puts[SPLIT_PUTS];
  size_t n_compares, n_puts;
  int64_t sure;
  bool bad;
};

static struct meta_bytes split_compare(struct split_step *s, enum doc_kind kind, uint32_t a,
                                       uint32_t b, enum meta_target target, int64_t number) {
  size_t i = s->n_compares++;
  s->paths[i] = doc_path(s->r->node->config.cluster, kind, a, b);
  s->compares[i] = (struct meta_compare){
      .key = meta_text(s->paths[i].text), .target = target, .number = number};
  return s->compares[i].key;
}

/* Takes over the text. */
static void split_put(struct split_step *s, struct meta_bytes key, char *text, size_t n) {
  s->bad |= !text;
  s->puts[s->n_puts++] = (struct meta_op){.kind = META_PUT, .key = key, .value = {text, n}};
}

/* The document as it is to be, if it and this node's registration are as they were. */
static void split_begin(struct split_step *s, struct node_replica *r,
                        const struct cache_entry *entry, const struct doc_split *doc) {
  size_t n;
  *s = (struct split_step){.r = r};
  split_compare(s, DOC_PATH_LIVE, r->node->config.id, 0, META_CREATE, r->node->live.incarnation);
  struct meta_bytes key =
      split_compare(s, DOC_PATH_SPLIT, r->collection, r->number, META_MOD, entry->mod);
  char *text = doc_split_write(doc, &n);
  split_put(s, key, text, n);
}

static void split_commit(struct split_step *s) {
  struct node *n = s->r->node;
  struct split_asked *asked = s->bad ? NULL : malloc(sizeof *asked);
  const struct meta_op look = {.kind = META_GET, .key = s->compares[1].key};
  const struct meta_txn txn = {s->compares, s->puts, &look, s->n_compares, s->n_puts, 1};
  enum meta_status status = META_NO_MEMORY;
  if (asked) {
    *asked = (struct split_asked){n, s->r->collection, s->r->number, s->sure};
    status = meta_txn(n->meta, &txn, n->now_us + split_limit_us, split_done, asked);
  }
  s->r->splitting = !status;
  s->r->split_us = n->now_us + (s->bad ? split_failed_us : split_again_us);
  if (status) {
    split_said(s->r, s->bad ? split_bad : meta_status_name(status));
    free(asked);
  }
  for (size_t i = 0; i < s->n_puts; i++)
    free((void *)s->puts[i].value.data);
}

/* ---- Its steps ---- */

/* Nothing is written while copies are made: as long as that is possible it is given up. Behind the
   document's `planned` only the log can: it has CANCEL. */
static void split_give_up(struct node_replica *r, const struct cache_view *view,
                          const struct cache_entry *entry, const char *why) {
  struct doc_split doc = *(const struct doc_split *)entry->doc;
  const struct cache_entry *child = cache_find(view, DOC_PATH_SHARD, r->collection, doc.child);
  struct split_step step;
  if (!r->split_why) /* or it was said */
    node_log(r->node, "shard %u/%u: split %llu is given up: %s", r->collection, r->number,
             (unsigned long long)doc.id, why);
  doc.step = DOC_SPLIT_CANCELLED;
  split_begin(&step, r, entry, &doc);
  struct meta_bytes key = split_compare(&step, DOC_PATH_SHARD, r->collection, doc.child,
                                        META_CREATE, child ? child->create : 0);
  if (child)
    step.puts[step.n_puts++] = (struct meta_op){.kind = META_DELETE, .key = key};
  split_commit(&step);
}

/* A copy that failed is tried again; a member without which it cannot go on gives it up then. */
static bool split_failed(struct node_replica *r, const struct cache_view *view,
                         const struct cache_entry *entry) {
  const char *why = machine_fork_why(r->machine);
  if (!*why) {
    r->fork_tries = 0;
    return false;
  }
  node_log(r->node, "shard %u/%u: no copy for its split: %s", r->collection, r->number, why);
  bool over = ++r->fork_tries >= SPLIT_TRIES &&
              rep_isr_at(rep_config_of(r->rep), r->node->config.id) >= 0;
  if (over)
    split_give_up(r, view, entry, why);
  return over;
}

/* Whether the document is as it is seen here, which it may not have been for long: a copy for a
   later split would be replaced by one for an earlier. */
static void split_ask(struct node_replica *r, const struct cache_entry *entry) {
  struct split_step step = {.r = r, .sure = entry->mod, .n_puts = 1};
  split_compare(&step, DOC_PATH_LIVE, r->node->config.id, 0, META_CREATE,
                r->node->live.incarnation);
  step.puts[0] = (struct meta_op){
      .kind = META_GET,
      .key = split_compare(&step, DOC_PATH_SPLIT, r->collection, r->number, META_MOD, entry->mod)};
  split_commit(&step);
}

/* This node's copy, and then that it has one; another store of it was another disk's. */
static void split_fork(struct node_replica *r, const struct cache_view *view,
                       const struct cache_entry *entry) {
  struct doc_split doc = *(const struct doc_split *)entry->doc;
  char folder[NODE_PATH], mark[64];
  struct wire_out body;
  struct split_step step;
  if (r->node->removing) /* the folder, perhaps: its number may have been another split's before */
    return;
  if (!machine_forked(r->machine, doc.id) && node_gone_before(r->node, view, &doc))
    return;
  snprintf(mark, sizeof mark, "%u %llu %lld", r->number, (unsigned long long)doc.id,
           (long long)entry->create);
  if (!machine_forked(r->machine, doc.id)) {
    if (machine_forks(r->machine) || split_failed(r, view, entry))
      return;
    if (r->split_sure != entry->mod) {
      split_ask(r, entry);
      return;
    }
    r->split_us = r->node->now_us + (r->fork_tries ? split_failed_us : split_again_us / 4);
    if (split_body(r, view, REP_SPLIT_FENCE, (struct rep_op){MACHINE_SPLIT, 1}, &body) &&
        node_folder(r->node, r->collection, doc.child, folder))
      machine_fork(r->machine, folder, body.data, body.n, mark);
    wire_out_free(&body);
    return;
  }
  uint32_t k = 0;
  while (k < doc.n_forks && doc.forks[k].node != r->node->config.id)
    k++;
  if (k == DOC_REPLICAS_MAX)
    return;
  doc.forks[k] = (struct doc_replica){r->node->config.id, r->node->store};
  doc.n_forks = k < doc.n_forks ? doc.n_forks : k + 1;
  split_begin(&step, r, entry, &doc);
  split_commit(&step);
}

/* Those who have copies are in sync, and this node, which is here, leads first; the parent's other
   replicas learn. Epochs ascend in the child's log, too, which begins in one of the parent's. */
static char *split_child(const struct node_replica *r, const struct cache_view *view,
                         const struct doc_split *split, size_t *n) {
  const struct doc_shard *parent = cache_doc(view, DOC_PATH_SHARD, r->collection, r->number);
  const struct rep_config *c = rep_config_of(r->rep);
  struct doc_shard doc = {.collection = r->collection,
                          .number = split->child,
                          .epoch = c->epoch + 1,
                          .min_isr = c->min_isr,
                          .n_replicas = split->n_forks,
                          .n_isr = split->n_forks};
  for (uint32_t i = 0; i < split->n_forks; i++) {
    doc.replicas[i] = split->forks[i];
    doc.isr[i] = split->forks[i].node;
  }
  for (uint32_t i = 0; parent && i < parent->n_replicas; i++) {
    uint32_t node = parent->replicas[i].node;
    if (doc_has(doc.isr, doc.n_isr, node) || doc.n_replicas == DOC_REPLICAS_MAX)
      continue;
    doc.replicas[doc.n_replicas++].node = node;
    doc.learners[doc.n_learners++] = node;
  }
  doc.primary = doc_has(doc.isr, doc.n_isr, r->node->config.id) ? r->node->config.id : doc.isr[0];
  return doc_shard_write(&doc, n);
}

static void split_put_child(struct split_step *s, const struct cache_view *view,
                            const struct doc_split *doc) {
  size_t n;
  struct meta_bytes key =
      split_compare(s, DOC_PATH_SHARD, s->r->collection, doc->child, META_CREATE, 0);
  char *text = split_child(s->r, view, doc, &n);
  split_put(s, key, text, n);
}

/* No operator can give it up any more, and who is in sync now has a copy: the child's replicas open
   these, so that it can be written once the rows are its own. */
static void split_close(struct node_replica *r, const struct cache_view *view,
                        const struct cache_entry *entry) {
  struct doc_split doc = *(const struct doc_split *)entry->doc;
  struct split_step step;
  doc.step = DOC_SPLIT_RELEASING;
  split_begin(&step, r, entry, &doc);
  split_compare(&step, DOC_PATH_SHARD, r->collection, r->number, META_MOD,
                (int64_t)rep_config_of(r->rep)->rev);
  split_put_child(&step, view, &doc);
  split_commit(&step);
}

/* Whether the child leads itself, as far as its replica here knows. It is not waited for for ever.
 */
static bool split_child_leads(struct node_replica *r, const struct cache_view *view,
                              uint32_t child) {
  struct node_replica *c = node_replica_of(r->node, r->collection, child);
  struct rep_info info = {0};
  if (c && c->rep)
    rep_info(c->rep, &info);
  if (info.serving || info.fresh_at || !cache_find(view, DOC_PATH_SHARD, r->collection, child))
    return true;
  if (!r->held_us)
    r->held_us = r->node->now_us;
  return r->node->now_us - r->held_us >= split_held_us;
}

bool node_split_released(const struct node_replica *r, const struct doc_split *split) {
  const struct rep_split_plan plan = split_plan(split);
  const struct rep_split s = machine_split(r->machine);
  return rep_split_released(&plan, &s);
}

char *node_split_coll(const struct doc_coll *now, size_t *n) {
  struct doc_coll more = *now;
  more.shards++;
  return doc_coll_write(&more, n);
}

char *node_split_slots(const struct node_replica *r, const struct doc_slots *now,
                       const struct doc_split *split, size_t *n) {
  const uint64_t generation = machine_split(r->machine).generation;
  struct doc_slots slots = {.n = now->n, .shard = malloc(now->n * sizeof *now->shard)};
  bool good = slots.shard && now->n == split->n && generation <= UINT32_MAX;
  for (uint32_t i = 0; good && i < now->n_generations; i++)
    good = doc_slots_set_generation(&slots, i, now->generation[i]);
  good = good && doc_slots_set_generation(&slots, r->number, (uint32_t)generation) &&
         doc_slots_set_generation(&slots, split->child, 1);
  for (uint32_t i = 0; good && i < now->n; i++)
    slots.shard[i] = split->moved[i] ? (uint16_t)split->child : now->shard[i];
  char *text = good ? doc_slots_write(&slots, n) : NULL;
  doc_slots_free(&slots);
  return text;
}

/* The map says it: from now on requests find the child. */
static void split_map(struct node_replica *r, const struct cache_view *view,
                      const struct cache_entry *entry) {
  const struct cache_entry *slots = cache_find(view, DOC_PATH_SLOTS, r->collection, 0);
  const struct cache_entry *coll = cache_find(view, DOC_PATH_COLL, r->collection, 0);
  struct doc_split doc = *(const struct doc_split *)entry->doc;
  struct split_step step;
  size_t n[2] = {0, 0};
  if (!slots || !slots->doc || !coll || !coll->doc) {
    r->split_us = r->node->now_us + split_failed_us;
    split_said(r, split_bad);
    return;
  }
  doc.step = DOC_SPLIT_DONE;
  split_begin(&step, r, entry, &doc);
  struct meta_bytes key =
      split_compare(&step, DOC_PATH_SLOTS, r->collection, 0, META_MOD, slots->mod);
  char *text = node_split_slots(r, slots->doc, &doc, &n[0]);
  split_put(&step, key, text, n[0]);
  key = split_compare(&step, DOC_PATH_COLL, r->collection, 0, META_MOD, coll->mod);
  text = node_split_coll(coll->doc, &n[1]);
  split_put(&step, key, text, n[1]);
  if (!cache_find(view, DOC_PATH_SHARD, r->collection, doc.child))
    split_put_child(&step, view, &doc); /* a node of before has closed it */
  if (!r->split_why) /* or it was said */
    node_log(r->node, "shard %u/%u: split %llu, shard %u is put on the map", r->collection,
             r->number, (unsigned long long)doc.id, doc.child);
  split_commit(&step);
}

/* The primary waits for copies: not for ever. */
static void split_wait(struct node_replica *r, const struct cache_view *view,
                       const struct cache_entry *entry, bool fenced) {
  const struct doc_split *doc = entry->doc;
  const int64_t now_us = r->node->now_us;
  bool waits = fenced && doc->step == DOC_SPLIT_PLANNED;
  if (!waits || !r->fenced_us)
    r->fenced_us = waits ? now_us : 0;
  else if (now_us - r->fenced_us >= split_fenced_us)
    split_give_up(r, view, entry, "some have made no copy");
}

/* Whether the metadata store, without which no copy counts, is away while nothing is written. Then
   the log gives the split up, and the document follows when it can. */
static bool split_cut_off(struct node_replica *r, enum rep_split_do next,
                          const struct rep_split *s) {
  struct node *n = r->node;
  if (!rep_split_may_end(next, s, r->split_pending) ||
      n->now_us - cache_state(n->cache).heard_us < split_silent_us) {
    r->away_us = 0;
    return false;
  }
  if (!r->away_us) {
    r->away_us = n->now_us;
    cache_refresh(n->cache);
  }
  return n->now_us - r->away_us >= split_away_us;
}

static void split_stuck(const struct node_replica *r, uint64_t id, const char *why) {
  node_log(r->node, "shard %u/%u: split %llu cannot go on: %s", r->collection, r->number,
           (unsigned long long)id, why);
}

/* What comes next, by whoever leads. */
static void split_lead(struct node_replica *r, const struct cache_view *view,
                       const struct cache_entry *entry, enum rep_split_do next, uint64_t id) {
  const struct doc_split *doc = entry->doc;
  char why[MACHINE_WHY];
  switch (next) {
    case REP_SPLIT_APPEND_FENCE:
      if (split_append(r, view, REP_SPLIT_FENCE, id, why))
        break;
      if (doc->step == DOC_SPLIT_PLANNED)
        split_give_up(r, view, entry, why);
      else /* the new shard may have been written by now */
        split_stuck(r, id, why);
      break;
    case REP_SPLIT_APPEND_RELEASE:
      if (!split_append(r, view, REP_SPLIT_RELEASE, id, why))
        split_stuck(r, id, why);
      break;
    case REP_SPLIT_APPEND_CANCEL:
      split_append(r, view, REP_SPLIT_CANCEL, machine_split(r->machine).id, why);
      break;
    case REP_SPLIT_CLOSE: split_close(r, view, entry); break;
    case REP_SPLIT_MAP: split_map(r, view, entry); break;
    case REP_SPLIT_GIVE_UP: split_give_up(r, view, entry, "its log says so"); break;
    case REP_SPLIT_NOTHING: break;
  }
}

/* One that was made to lead with less than all of the log: the lost part may have had the release,
   and what was written here to rows that have moved would be deleted. */
static bool split_behind(const struct node_replica *r, const struct doc_split *doc) {
  return doc && doc->step == DOC_SPLIT_RELEASING && r->machine &&
         machine_split(r->machine).id < doc->id;
}

void node_split_tick(struct node_replica *r, const struct cache_view *view) {
  const struct cache_entry *entry =
      cache_find(view, DOC_PATH_SPLIT, r->collection, r->number);
  struct rep_info info = {0};
  enum rep_split_do next = REP_SPLIT_NOTHING;
  r->split_behind = split_behind(r, entry ? entry->doc : NULL);
  if (!entry || !entry->doc || !r->rep || r->closing || r->splitting ||
      r->node->now_us < r->split_us || !r->node->live.incarnation)
    return;
  const struct rep_split_plan plan = split_plan(entry->doc);
  const struct rep_split s = machine_split(r->machine);
  rep_info(r->rep, &info);
  if (info.serving)
    next = rep_split_next(&plan, &s, r->split_pending, rep_config_of(r->rep));
  if (next != REP_SPLIT_APPEND_RELEASE)
    r->held_us = 0;
  else if (!split_child_leads(r, view, ((const struct doc_split *)entry->doc)->child))
    next = REP_SPLIT_NOTHING;
  split_wait(r, view, entry, info.serving && s.fenced);
  if (r->splitting)
    return;
  if (info.serving && split_cut_off(r, next, &s))
    split_lead(r, view, entry, REP_SPLIT_APPEND_CANCEL, plan.id);
  else if (rep_split_forks(&plan, &s, split_self(r->node)))
    split_fork(r, view, entry);
  else
    split_lead(r, view, entry, next, plan.id);
}
