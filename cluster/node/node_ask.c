/*
 * node_ask.c - requests of clients: to the replica that says when they may be done, to the thread
 * that does them, and back. Each is answered once, unless who asked is gone.
 */
#include <stdlib.h>
#include <string.h>

#include "node/node_int.h"

static const uint64_t ask_waiting_max = 64u << 20; /* bytes that the machine has yet to apply */
static const int64_t ask_us = 30000000;            /* of a request without a deadline */
enum { ASK_RETRY_MS = 50, ASK_MAX_AGE_MS = 5000 };

/* ---- Answers ---- */

static void ask_free(struct node_ask *a) {
  wire_mem_free(&a->mem);
  wire_out_free(&a->out);
  free(a->payload);
  node_conn_drop(a->from);
  free(a);
}

/* Instead of an answer that could not be written, so that nobody waits for it. */
static void ask_refuse(struct node_ask *a) {
  int code = a->out.status == WIRE_TOO_LARGE ? VECDB_ERR_LIMIT : VECDB_ERR_NO_MEMORY;
  wire_out_free(&a->out);
  a->result.message = code == VECDB_ERR_LIMIT ? "the answer is larger than a message may be" : NULL;
  node_ask_fail(a, code);
}

void node_ask_send(struct node_ask *a) {
  if (a->out.status && !a->result.code) {
    ask_refuse(a);
    return;
  }
  struct frame f = {.type = FRAME_ANSWER, .request = a->request, .n = (uint32_t)a->out.n};
  if (a->from->conn && !a->out.status &&
      net_send(a->from->conn, &f, a->out.data, true) == NET_SENT)
    a->out.data = NULL;
  ask_free(a);
}

void node_ask_message(struct node_ask *a, struct wire_message *out) {
  out->kind = WIRE_ANSWER;
  out->has |= WIRE_HAS(WIRE_RESULT);
  out->result = a->result;
  if (!out->result.message)
    out->result.message = out->result.code ? wire_code_text(out->result.code) : "";
  wire_out_init(&a->out, WIRE_LIMIT);
  wire_message_write(out, &a->out);
  node_ask_send(a);
}

void node_ask_fail(struct node_ask *a, int code) {
  struct wire_message out = {0};
  a->result.code = code;
  a->result.retry_ms = code == WIRE_OVERLOADED ? ASK_RETRY_MS : 0;
  node_ask_message(a, &out);
}

/* The replica's view of the shard, for every answer. */
static void ask_fence(struct node_ask *a) {
  const struct rep_config *c = a->replica->rep ? rep_config_of(a->replica->rep) : NULL;
  a->result.shard = a->replica->number;
  if (c) {
    a->result.epoch = c->epoch;
    a->result.rev = c->rev;
  }
}

/* ---- Those that wait ---- */

static void ask_wait(struct node_replica *r, struct node_ask *a) {
  a->ticket = ++r->node->tickets;
  a->next = r->asks;
  r->asks = a;
}

static struct node_ask *ask_take(struct node_replica *r, struct node_ask **at) {
  struct node_ask *a = *at;
  *at = a->next;
  a->next = NULL;
  a->replica = r;
  return a;
}

static struct node_ask **ask_find(struct node_replica *r, uint64_t ticket) {
  struct node_ask **at = &r->asks;
  while (*at && (*at)->ticket != ticket)
    at = &(*at)->next;
  return *at ? at : NULL;
}

void node_asks_end(struct node_replica *r, int code) {
  while (r->asks) {
    struct node_ask *a = ask_take(r, &r->asks);
    node_ask_fail(a, a->write ? WIRE_UNKNOWN : code);
  }
  for (struct node_ask *a = r->reads; a; a = a->next)
    if (a->message.kind == WIRE_COMPACT)
      a->halt = 1;
}

void node_asks_tick(struct node_replica *r) {
  for (struct node_ask **at = &r->asks; *at;) {
    if ((*at)->until_us > r->node->now_us) {
      at = &(*at)->next;
      continue;
    }
    struct node_ask *a = ask_take(r, at);
    node_ask_fail(a, a->write ? WIRE_UNKNOWN : VECDB_ERR_TIMEOUT);
  }
}

static int ask_code(enum rep_result result) {
  switch (result) {
    case REP_DONE:
    case REP_DONE_LOCAL: return VECDB_OK;
    case REP_NOT_PRIMARY: return WIRE_NOT_PRIMARY;
    case REP_OVERLOADED: return WIRE_OVERLOADED;
    case REP_NO_SPACE: return VECDB_ERR_DISK_FULL;
    case REP_UNKNOWN: return WIRE_UNKNOWN;
    case REP_LOST: return WIRE_LOST;
    case REP_OLD_OP: return WIRE_OLD_OP;
    case REP_STALE_MAP: return WIRE_STALE_MAP;
    case REP_INVALID: return WIRE_PROTOCOL;
    default: return WIRE_UNAVAILABLE;
  }
}

/* A code, if the request was divided by another map than that of the shard's data. */
static int ask_split(const struct node_replica *r, const struct node_ask *a) {
  const struct rep_split s = machine_split(r->machine);
  struct rep_info info = {0};
  if (a->message.kind == WIRE_STATS || a->message.kind == WIRE_COMPACT)
    return VECDB_OK;
  if (a->message.kind == WIRE_WRITE)
    return ask_code(rep_split_write(&s, r->split_pending || r->split_behind,
                                    a->message.target.generation));
  if (r->rep)
    rep_info(r->rep, &info);
  int code = machine_split_torn(r->machine)
                 ? WIRE_UNAVAILABLE
                 : ask_code(rep_split_read(&s, a->message.target.generation));
  return code == WIRE_UNAVAILABLE && !info.serving ? WIRE_NOT_FRESH : code;
}

static void ask_read_done(struct work_job *job) {
  struct node_ask *a = (struct node_ask *)((char *)job - offsetof(struct node_ask, job));
  struct node_ask **at = &a->replica->reads;
  while (*at != a)
    at = &(*at)->next;
  *at = a->next;
  machine_drop(a->data);
  a->replica->reading--;
  int code = a->write ? VECDB_OK : ask_split(a->replica, a);
  if (a->cancelled) {
    ask_free(a);
  } else if (code) { /* rows may have gone while it looked at them */
    wire_out_free(&a->out);
    node_ask_fail(a, code);
  } else {
    node_ask_send(a);
  }
}

/* A thread does it now: a read, merging files, or finding out how a write went that was applied
   before. */
static void ask_read_begin(struct node_replica *r, struct node_ask *a) {
  int code = a->message.kind == WIRE_CHANGES ? node_changes_take(r, a) : VECDB_OK;
  if (code) {
    node_ask_fail(a, code);
    return;
  }
  int64_t left = (a->until_us - r->node->now_us) / 1000;
  a->left_ms = left > 1 ? (uint32_t)left : 1;
  a->job = (struct work_job){NULL, node_read_run, ask_read_done};
  a->data = machine_hold(r->machine);
  a->next = r->reads;
  r->reads = a;
  r->reading++;
  work_add(a->message.kind == WIRE_COMPACT ? r->node->tidy : r->node->work, &a->job);
}

/* ---- What the replica says ---- */

/* The entry of a write was applied: this is what came of it. */
static void ask_outcome(struct node_ask *a, const struct machine_outcome *o) {
  struct wire_message out = {.has = WIRE_HAS(WIRE_NUMBER), .number = o->number};
  a->result.code = o->code;
  if (o->found) {
    out.has |= WIRE_HAS(WIRE_FOUND);
    out.found = o->found;
    out.n_found = (uint32_t)o->number;
  }
  if (o->code) {
    out.has = 0;
    a->result.row = o->error.row;
    a->result.position = o->error.position;
    a->result.field = o->error.field;
    a->result.message = *o->error.message ? o->error.message : wire_code_text(o->code);
  }
  node_ask_message(a, &out);
}

void node_ask_answer(struct node_replica *r, const struct rep_answer *answer) {
  struct node_ask **at = ask_find(r, answer->ticket);
  if (node_split_answer(r, answer) || !at)
    return;
  struct node_ask *a = *at;
  ask_fence(a);
  a->result.seq = answer->pos.seq;
  a->result.seq_epoch = answer->pos.epoch;
  a->position = answer->pos;
  a->result.copies = answer->copies;
  a->result.node = answer->hint;
  int code = ask_code(answer->result);
  if (!code && !a->write && machine_seen(r->machine) < answer->pos.seq) {
    a->waits = true;
    a->seq = answer->pos.seq;
  } else if (!code && !a->write) {
    ask_read_begin(r, ask_take(r, at));
  } else if (answer->result == REP_DONE && machine_seen(r->machine) < answer->pos.seq) {
    /* How it went is known when it is applied. A retry of what was taken before waits, too. */
    struct rep_op op = {a->message.write.client, a->message.write.count};
    machine_ticket(r->machine, answer->pos.seq, op, a->ticket);
    a->waits = true;
    a->seq = answer->pos.seq;
  } else if (answer->result == REP_DONE) {
    ask_read_begin(r, ask_take(r, at));
  } else {
    node_ask_fail(ask_take(r, at), code);
  }
}

void node_ask_applied(struct node_replica *r, const struct machine_outcome *o) {
  for (struct node_ask **at = &r->asks; *at;) {
    if (!(*at)->waits || (*at)->seq > o->seq) {
      at = &(*at)->next;
      continue;
    }
    struct node_ask *a = ask_take(r, at);
    if (!a->write)
      ask_read_begin(r, a);
    else if (o->replaced)
      node_ask_fail(a, WIRE_UNKNOWN);
    else if (a->ticket == o->ticket)
      ask_outcome(a, o);
    else
      ask_read_begin(r, a); /* again, by what the data says of the first try */
  }
}

/* ---- What comes ---- */

/* Whether the whole cluster is of this version: then none is there that would do otherwise. */
static bool ask_speaks(const struct node *n, uint32_t version) {
  const struct cache_view *view = cache_take(n->cache);
  const struct doc_cluster *doc = view ? cache_doc(view, DOC_PATH_CLUSTER, 0, 0) : NULL;
  bool speaks = doc && doc->protocol_min >= version;
  if (view)
    cache_give(view);
  return speaks;
}

/* One push at a time has the cluster's version raised: others come again, as it does itself. */
static void ask_raise(struct node *n, struct node_ask *a) {
  if (n->raising) {
    node_ask_fail(a, WIRE_UNAVAILABLE);
    return;
  }
  n->raising = true;
  node_admin(n, a);
}

static void ask_write(struct node_replica *r, struct node_ask *a) {
  const struct wire_message *m = &a->message;
  uint32_t ack = m->write.ack ? m->write.ack - 1u : (uint32_t)r->ack;
  struct rep_event ev = {.type = REP_EV_WRITE,
                         .op = {m->write.client, m->write.count},
                         .data = a->payload,
                         .n = a->bytes};
  /* Never weaker than the collection's. */
  ev.ack = r->ack == DOC_ACK_ASYNC && ack == DOC_ACK_ASYNC ? REP_ACK_ASYNC
           : ack == DOC_ACK_CHAIN                           ? REP_ACK_CHAIN
                                                            : REP_ACK_SYNC;
  a->write = true;
  if (m->write.kind == WIRE_FIELDS_ADD || m->write.kind == WIRE_SPLIT ||
      m->write.kind == WIRE_RESHAPED || m->write.client >= REP_CLIENT_KEPT) {
    node_ask_fail(a, WIRE_PROTOCOL);
    return;
  }
  if (ev.n > WIRE_BODY_MAX) {
    node_ask_fail(a, VECDB_ERR_LIMIT);
    return;
  }
  if (wire_push_expected(m) && !ask_speaks(r->node, DOC_SPEAKS_EXPECTED)) {
    ask_raise(r->node, a);
    return;
  }
  if (machine_waiting(r->machine) > ask_waiting_max) {
    node_ask_fail(a, WIRE_OVERLOADED);
    return;
  }
  ask_wait(r, a);
  ev.ticket = a->ticket;
  node_step(r, &ev);
}

static void ask_read(struct node_replica *r, struct node_ask *a) {
  const struct wire_read *read = &a->message.read;
  struct rep_event ev = {.type = REP_EV_READ,
                         .level = (enum rep_level)read->level,
                         .token = {.seq = read->seq, .epoch = read->epoch},
                         .number = read->max_age_ms ? read->max_age_ms : ASK_MAX_AGE_MS};
  ask_wait(r, a);
  ev.ticket = a->ticket;
  node_step(r, &ev);
}

static uint32_t ask_age(const struct node_replica *r, const struct rep_info *info) {
  uint64_t now = node_ms(r->node);
  if (info->serving)
    return 0;
  return info->fresh_at && now - info->fresh_at < UINT32_MAX ? (uint32_t)(now - info->fresh_at)
                                                            : UINT32_MAX;
}

static void ask_stats(struct node_replica *r, struct node_ask *a) {
  struct wire_message out = {.has = WIRE_HAS(WIRE_STATE)};
  vecdb_stats stats = VECDB_STATS_INIT;
  struct rep_info info = {0};
  (void)vecdb_collection_stats(machine_rows(r->machine), &stats, NULL);
  rep_info(r->rep, &info);
  out.stats = (struct wire_stats){.rows = stats.rows,
                                  .bytes = stats.bytes_files + stats.bytes_memory,
                                  .applied = machine_seen(r->machine),
                                  .commit = info.commit,
                                  .queue_bytes = machine_waiting(r->machine),
                                  .queue = r->reading,
                                  .role = info.serving,
                                  .age_ms = ask_age(r, &info),
                                  .bytes_growing = stats.bytes_memory,
                                  .bytes_index = stats.bytes_index,
                                  .segments_growing = stats.segments_growing,
                                  .segments_sealed = stats.segments_sealed,
                                  .segments_indexed = stats.segments_indexed,
                                  .merge_bytes = stats.merge_bytes,
                                  .index_builds = stats.index_builds,
                                  .index_build_ns = stats.index_build_ns};
  (void)machine_checked(r->machine, &out.stats.checked, &out.stats.digest);
  ask_fence(a);
  node_ask_message(a, &out);
}

/* Rows that do not have the fields yet that the sender knows of. The primary will have them soon.
   Who knows fewer fields than the rows have is served: new ones have a value by themselves. */
static int ask_older(const struct node_replica *r, const struct node_ask *a) {
  struct rep_info info = {0};
  rep_info(r->rep, &info);
  return a->message.kind == WIRE_WRITE || info.serving ? WIRE_UNAVAILABLE : WIRE_NOT_FRESH;
}

static void ask_shard(struct node *n, struct node_ask *a) {
  const struct wire_target *t = &a->message.target;
  struct node_replica *r = node_replica_of(n, t->collection, t->shard);
  if (!r || !r->rep) {
    node_ask_fail(a, WIRE_NO_REPLICA);
    return;
  }
  a->replica = r;
  if (t->schema > machine_schema(r->machine)) {
    ask_fence(a);
    node_ask_fail(a, ask_older(r, a));
    return;
  }
  int code = node_alter_refuses(r, &a->message) ? WIRE_SCHEMA : ask_split(r, a);
  if (code) {
    ask_fence(a);
    node_ask_fail(a, code);
    return;
  }
  switch (a->message.kind) {
    case WIRE_WRITE: ask_write(r, a); break;
    case WIRE_STATS: ask_stats(r, a); break;
    case WIRE_COMPACT:
      ask_fence(a);
      ask_read_begin(r, a);
      break;
    default: ask_read(r, a); break;
  }
}

/* Nobody waits for the answer any more. A write goes on all the same; it is in the log. */
static bool ask_cancel_of(struct node_replica *r, const struct node_ask *cancel) {
  for (struct node_ask **at = &r->asks; *at; at = &(*at)->next)
    if ((*at)->from == cancel->from && (*at)->request == cancel->request) {
      ask_free(ask_take(r, at));
      return true;
    }
  for (struct node_ask *a = r->reads; a; a = a->next)
    if (a->from == cancel->from && a->request == cancel->request) {
      a->cancelled = true;
      a->halt = 1;
      return true;
    }
  return false;
}

static void ask_cancel(struct node *n, struct node_ask *cancel) {
  struct node_replica *r = n->replicas;
  while (r && !ask_cancel_of(r, cancel))
    r = r->next;
  ask_free(cancel);
}

void node_ask(struct node *n, struct node_conn *c, struct frame *frame) {
  struct node_ask *a = calloc(1, sizeof *a);
  if (!a)
    return; /* its deadline ends it */
  c->uses++;
  a->node = n;
  a->from = c;
  a->request = frame->request;
  a->payload = frame->payload;
  a->bytes = frame->n;
  a->until_us = n->now_us + (frame->deadline_ms ? frame->deadline_ms * INT64_C(1000) : ask_us);
  a->result = (struct wire_result){.row = -1, .position = -1, .field = "", .message = NULL};
  frame->payload = NULL;
  enum wire_status status = wire_message_read(a->payload, a->bytes, &a->mem, &a->message);
  if (status) {
    node_ask_fail(a, status == WIRE_NO_MEMORY ? VECDB_ERR_NO_MEMORY : WIRE_PROTOCOL);
    return;
  }
  switch (a->message.kind) {
    case WIRE_MAP:
    case WIRE_CREATE:
    case WIRE_DROP:
    case WIRE_ALTER:
    case WIRE_RESHAPE:
    case WIRE_EXPIRE:
    case WIRE_NUMBERS:
    case WIRE_LIST: node_admin(n, a); break;
    case WIRE_WRITE:
    case WIRE_SEARCH:
    case WIRE_GET:
    case WIRE_QUERY:
    case WIRE_COUNT:
    case WIRE_CHANGES:
    case WIRE_EXPLAIN:
    case WIRE_SPARSE:
    case WIRE_COMPACT:
    case WIRE_STATS: ask_shard(n, a); break;
    case WIRE_CANCEL: ask_cancel(n, a); break;
    default: node_ask_fail(a, VECDB_ERR_UNSUPPORTED); break;
  }
}
