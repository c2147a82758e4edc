/*
 * machine.c - the data of a shard, as replication sees it: positions and op ids in memory, entries
 * in a queue, and the job that applies them; see machine.h.
 */
#include "node/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/machine_int.h"

/* After so much the data is flushed, and the log can be trimmed. */
static const uint64_t machine_flush_bytes = 64u << 20;
enum { MACHINE_FLUSH_ENTRIES = 1024 };

struct machine_item {
  struct machine_item *next;
  struct machine_mark mark;
  struct machine_outcome outcome;
  struct rep_op op;
  bool writes;
  uint32_t n;
  uint8_t *body; /* aligned as messages are */
};

/* ---- The job ---- */

static void machine_flush(struct machine *m, uint64_t seq) {
  uint64_t most = m->o.flush ? m->o.flush : MACHINE_FLUSH_ENTRIES;
  if (m->unflushed < most && m->unflushed_bytes < machine_flush_bytes)
    return;
  if (!machine_db_flush(&m->data->db))
    return; /* tried again after the next entries; until then the log keeps them */
  m->unflushed = m->unflushed_bytes = 0;
  m->durable = seq;
}

/* The write, what came of it if it was refused, and the mark, in this order: what a crash cuts off
   is done again, and gives the same. */
static bool machine_do(struct machine_db *d, struct machine_item *i) {
  return (!i->writes || (machine_db_write(d, i->body, i->n, &i->outcome) &&
                         machine_refused_settle(d, i->op, &i->outcome))) &&
         (!i->mark.evicts || machine_refused_forget(d, i->mark.evicts)) &&
         machine_db_mark(d, &i->mark);
}

static void machine_run(struct work_job *job) {
  struct machine *m = (struct machine *)((char *)job - offsetof(struct machine, job));
  for (struct machine_item *i = m->todo; i; i = i->next) {
    m->failed = !machine_do(&m->data->db, i);
    m->unflushed++;
    m->unflushed_bytes += i->n;
    if (m->failed)
      break;
    m->did = i->mark.pos.seq;
    machine_flush(m, m->did);
  }
}

void machine_begin(struct machine *m) {
  machine_ship_begin(m);
  machine_fork_begin(m);
  if (m->busy || m->stopped || m->failed || !m->first || !machine_ship_lets(m) ||
      !machine_fork_lets(m))
    return;
  m->todo = m->first;
  m->first = m->last = NULL;
  m->busy = true;
  work_add(m->o.work, &m->job);
}

static void machine_item_free(struct machine_item *i) {
  free(i->outcome.found);
  free(i->body);
  free(i);
}

static void machine_done(struct work_job *job) {
  struct machine *m = (struct machine *)((char *)job - offsetof(struct machine, job));
  struct machine_item *i = m->todo;
  uint64_t did = m->did;
  m->todo = NULL;
  m->busy = false;
  for (const struct machine_item *k = i; k && k->mark.pos.seq <= did; k = k->next) {
    m->applied = k->mark.pos;
    if (k->outcome.checked) {
      m->check.seq = k->outcome.seq;
      m->check.digest = k->outcome.digest;
    }
    if (k->op.client == MACHINE_SCHEMA && k->op.count > m->schema)
      m->schema = k->op.count;
  }
  machine_begin(m);
  while (i) {
    struct machine_item *next = i->next;
    m->waiting -= i->n;
    if (i->mark.pos.seq <= did)
      m->o.applied(m->o.arg, &i->outcome);
    machine_item_free(i);
    i = next;
  }
  if (m->failed && m->o.failed)
    m->o.failed(m->o.arg); /* the next entry may be one that nobody sends before this one's end */
}

/* ---- What the replica calls ---- */

static struct rep_pos machine_pos(void *arg) { return ((struct machine *)arg)->pos; }

static uint64_t machine_durable(void *arg) { return ((struct machine *)arg)->durable; }

/* Who makes room for a new client: as rep_dedup_add finds it. */
static uint64_t machine_evicts(const struct machine *m, uint64_t client) {
  const struct rep_dedup *d = &m->dedup;
  for (uint32_t i = 0; i < d->n; i++)
    if (d->clients[i].client == client)
      return 0;
  return d->n == d->capacity ? d->clients[rep_dedup_oldest(d)].client : 0;
}

static struct rep_client machine_client(const struct machine *m, uint64_t client) {
  for (uint32_t i = 0; i < m->dedup.n; i++)
    if (m->dedup.clients[i].client == client)
      return m->dedup.clients[i];
  return (struct rep_client){0};
}

static struct machine_item *machine_item(const struct rep_entry *e, bool writes) {
  struct machine_item *i = calloc(1, sizeof *i);
  if (i && writes)
    i->body = aligned_alloc(WIRE_ALIGN, (e->n + WIRE_ALIGN) / WIRE_ALIGN * (size_t)WIRE_ALIGN);
  if (!i || (writes && !i->body)) {
    free(i);
    return NULL;
  }
  i->writes = writes;
  i->n = writes ? e->n : 0;
  if (writes)
    memcpy(i->body, e->body, e->n);
  i->mark.pos = e->pos;
  i->outcome.seq = e->pos.seq;
  i->op = e->op;
  return i;
}

static enum rep_applied machine_apply(void *arg, const struct rep_entry *e) {
  struct machine *m = arg;
  enum rep_known known = e->kind == REP_DATA ? rep_dedup_look(&m->dedup, e->op) : REP_KNOWN;
  enum rep_split_entry entry;
  uint64_t id;
  if (known == REP_NEW && machine_split_entry(&m->split, e->op, &entry, &id) &&
      !rep_split_apply(&m->split, entry, id))
    known = REP_KNOWN; /* without effect, and so not there when the data is opened again */
  bool writes = e->kind == REP_DATA && known == REP_NEW;
  struct machine_item *i = m->failed || m->stopped ? NULL : machine_item(e, writes);
  if (!i)
    return REP_APPLY_FAILED;
  if (writes) {
    i->mark.evicts = machine_evicts(m, e->op.client);
    rep_dedup_add(&m->dedup, e->op, e->pos.seq);
    i->mark.client = machine_client(m, e->op.client);
  }
  m->pos = e->pos;
  m->waiting += i->n;
  if (m->last)
    m->last->next = i;
  else
    m->first = i;
  m->last = i;
  machine_begin(m);
  if (e->kind != REP_DATA || known == REP_NEW)
    return REP_APPLIED;
  return known == REP_KNOWN ? REP_DUPLICATE : REP_TOO_OLD;
}

static bool machine_seen_op(void *arg, struct rep_op op) {
  const struct machine *m = arg;
  return rep_dedup_look(&m->dedup, op) == REP_KNOWN;
}

static bool machine_digest(void *arg, uint64_t *seq, uint64_t *digest) {
  return machine_checked(arg, seq, digest);
}

struct rep_machine machine_of(struct machine *m) {
  return (struct rep_machine){m,
                              machine_pos,
                              machine_durable,
                              machine_apply,
                              machine_seen_op,
                              machine_digest,
                              machine_ship_open,
                              machine_ship_read,
                              machine_ship_close,
                              machine_take_begin,
                              machine_take_piece,
                              machine_take_finish,
                              machine_ship_keeps};
}

/* ---- The owner's ---- */

void machine_ticket(struct machine *m, uint64_t seq, struct rep_op op, uint64_t ticket) {
  struct machine_item *lists[] = {m->last, m->todo};
  for (int k = 0; k < 2; k++)
    for (struct machine_item *i = lists[k]; i; i = i->next)
      if (i->outcome.seq == seq && i->op.client == op.client && i->op.count == op.count &&
          !i->outcome.ticket)
        i->outcome.ticket = ticket; /* which the job does not look at */
}

uint64_t machine_schema(const struct machine *m) { return m->schema; }
struct rep_split machine_split(const struct machine *m) { return m->split; }
uint64_t machine_seen(const struct machine *m) { return m->applied.seq; }
struct rep_pos machine_at(const struct machine *m) { return m->applied; }
bool machine_checked(const struct machine *m, uint64_t *seq, uint64_t *digest) {
  *seq = m->check.seq;
  *digest = m->check.digest;
  return m->check.seq != 0;
}

uint64_t machine_waiting(const struct machine *m) { return m->waiting; }
vecdb_collection *machine_rows(struct machine *m) { return m->data->db.rows; }
bool machine_idle(const struct machine *m) {
  return !m->busy && !m->ship.busy && !m->take.busy && !m->fork.busy && !m->retiring;
}

void machine_stop(struct machine *m) { m->stopped = true; }

static void machine_forget(struct machine *m) {
  while (m->first) {
    struct machine_item *next = m->first->next;
    m->waiting -= m->first->n;
    machine_item_free(m->first);
    m->first = next;
  }
  m->last = NULL;
}

void machine_replaced(struct machine *m) {
  const struct machine_outcome o = {.seq = m->pos.seq, .replaced = true};
  machine_forget(m);
  m->o.applied(m->o.arg, &o);
}

void machine_known_find(struct machine *m) {
  const struct rep_client schema = machine_client(m, MACHINE_SCHEMA);
  const struct rep_client split = machine_client(m, MACHINE_SPLIT);
  const struct rep_client generation = machine_client(m, MACHINE_GENERATION);
  m->schema = schema.max ? schema.max : 1;
  m->split = (struct rep_split){.generation = generation.max,
                                .id = split.max / 2,
                                .fenced = split.max && split.max % 2 == 0 &&
                                          generation.seq < split.seq,
                                .cancelled = split.max % 2};
}

static bool machine_load(struct machine *m, char *why) {
  uint32_t number;
  int error = files_make_dir(m->vfs, m->o.folder);
  if (error)
    snprintf(why, MACHINE_WHY, "%.200s: %s", m->o.folder, strerror(error));
  if (error || !machine_data_current(m, &number, why))
    return false;
  m->data = machine_data_open(m, number, false, why);
  if (!m->data ||
      !machine_db_load(&m->data->db, &m->pos, m->dedup.clients, &m->dedup.n, why) ||
      !machine_db_flush(&m->data->db))
    return false;
  m->applied = m->pos;
  m->durable = m->pos.seq;
  machine_known_find(m);
  return true;
}

struct machine *machine_open(const struct machine_options *o, char *why) {
  struct machine *m = calloc(1, sizeof *m);
  struct rep_client *clients = calloc(MACHINE_CLIENTS + 2, sizeof *clients);
  if (!m || !clients) {
    snprintf(why, MACHINE_WHY, "out of memory");
    free(m);
    free(clients);
    return NULL;
  }
  m->o = *o;
  snprintf(m->folder, sizeof m->folder, "%s", o->folder);
  m->o.folder = m->folder;
  m->vfs = o->vfs ? o->vfs : files_system();
  m->dedup = (struct rep_dedup){clients, 0, MACHINE_CLIENTS};
  m->job = (struct work_job){NULL, machine_run, machine_done};
  if (machine_load(m, why))
    return m;
  machine_close(m);
  return NULL;
}

void machine_close(struct machine *m) {
  if (!m)
    return;
  machine_forget(m);
  machine_ship_free(m);
  machine_take_free(m);
  free(m->fork.body);
  machine_data_close(m->data);
  free(m->dedup.clients);
  free(m);
}
