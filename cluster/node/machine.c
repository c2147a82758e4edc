/*
 * machine.c - the data of a shard, as replication sees it: positions and op ids in memory, entries
 * in a queue, and the job that applies them; see machine.h.
 */
#include "node/machine.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/files.h"
#include "node/machine_db.h"

/* After so much the data is flushed, and the log can be trimmed. */
static const uint64_t machine_flush_bytes = 64u << 20;
enum { MACHINE_FLUSH_ENTRIES = 1024, MACHINE_PATH = 4096 };

struct machine_item {
  struct machine_item *next;
  struct machine_mark mark;
  struct machine_outcome outcome;
  struct rep_op op;
  bool writes;
  uint32_t n;
  uint8_t *body; /* aligned as messages are */
};

struct machine {
  struct machine_options o;
  struct machine_db db;
  /* Of the owner's thread. */
  struct rep_pos pos;
  struct rep_dedup dedup;
  struct machine_item *first, *last; /* not given to the job yet */
  uint64_t waiting;
  uint64_t seen;
  bool busy, stopped;
  /* The job's, while it is under way; then the owner's. */
  struct work_job job;
  struct machine_item *todo;
  uint64_t did; /* the last of them that was applied */
  uint64_t unflushed_bytes, unflushed;
  _Atomic uint64_t durable;
  _Atomic bool failed;
};

/* ---- The job ---- */

static void machine_flush(struct machine *m, uint64_t seq) {
  if (m->unflushed < MACHINE_FLUSH_ENTRIES && m->unflushed_bytes < machine_flush_bytes)
    return;
  if (!machine_db_flush(&m->db))
    return; /* tried again after the next entries; until then the log keeps them */
  m->unflushed = m->unflushed_bytes = 0;
  m->durable = seq;
}

static void machine_run(struct work_job *job) {
  struct machine *m = (struct machine *)((char *)job - offsetof(struct machine, job));
  for (struct machine_item *i = m->todo; i; i = i->next) {
    m->failed = (i->writes && !machine_db_write(&m->db, i->body, i->n, &i->outcome)) ||
                !machine_db_mark(&m->db, &i->mark);
    m->unflushed++;
    m->unflushed_bytes += i->n;
    if (m->failed)
      break;
    m->did = i->mark.pos.seq;
    machine_flush(m, m->did);
  }
}

static void machine_begin(struct machine *m) {
  if (m->busy || m->stopped || m->failed || !m->first)
    return;
  m->todo = m->first;
  m->first = m->last = NULL;
  m->busy = true;
  work_add(m->o.work, &m->job);
}

static void machine_item_free(struct machine_item *i) {
  free(i->body);
  free(i);
}

static void machine_done(struct work_job *job) {
  struct machine *m = (struct machine *)((char *)job - offsetof(struct machine, job));
  struct machine_item *i = m->todo;
  uint64_t did = m->did;
  m->todo = NULL;
  m->busy = false;
  machine_begin(m);
  while (i) {
    struct machine_item *next = i->next;
    m->waiting -= i->n;
    if (i->mark.pos.seq <= did) {
      m->seen = i->mark.pos.seq;
      m->o.applied(m->o.arg, &i->outcome);
    }
    machine_item_free(i);
    i = next;
  }
}

/* ---- What the replica calls ---- */

static struct rep_pos machine_pos(void *arg) { return ((struct machine *)arg)->pos; }

static uint64_t machine_durable(void *arg) { return ((struct machine *)arg)->durable; }

/* Who makes room for a new client: as rep_dedup_add finds it. */
static uint64_t machine_evicts(const struct machine *m, uint64_t client) {
  const struct rep_dedup *d = &m->dedup;
  uint32_t oldest = 0;
  for (uint32_t i = 0; i < d->n; i++)
    if (d->clients[i].client == client)
      return 0;
  for (uint32_t i = 1; i < d->n; i++)
    if (d->clients[i].seq < d->clients[oldest].seq)
      oldest = i;
  return d->n == d->capacity ? d->clients[oldest].client : 0;
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

static uint64_t machine_digest(void *arg) {
  const struct machine *m = arg;
  return rep_mix(m->pos.chain, m->dedup.n);
}

/* Data as a whole is not shipped yet: a replica that the log cannot help waits. */
static bool machine_snapshot(void *arg, struct rep_snapshot *out) {
  (void)arg;
  (void)out;
  return false;
}

static bool machine_read(void *arg, const struct rep_snapshot *s, uint32_t i, uint8_t *out,
                         uint32_t *n) {
  (void)arg, (void)s, (void)i, (void)out, (void)n;
  return false;
}

static void machine_snapshot_end(void *arg, struct rep_snapshot *s) {
  (void)arg;
  s->handle = NULL;
}

static enum rep_status machine_install(void *arg, const struct rep_snapshot *s) {
  (void)arg;
  (void)s;
  return REP_FAILED;
}

static enum rep_status machine_piece(void *arg, uint32_t i, const uint8_t *data, uint32_t n) {
  (void)arg, (void)i, (void)data, (void)n;
  return REP_FAILED;
}

static enum rep_status machine_finish(void *arg) {
  (void)arg;
  return REP_FAILED;
}

struct rep_machine machine_of(struct machine *m) {
  return (struct rep_machine){m,
                              machine_pos,
                              machine_durable,
                              machine_apply,
                              machine_seen_op,
                              machine_digest,
                              machine_snapshot,
                              machine_read,
                              machine_snapshot_end,
                              machine_install,
                              machine_piece,
                              machine_finish};
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

uint64_t machine_seen(const struct machine *m) { return m->seen; }
uint64_t machine_waiting(const struct machine *m) { return m->waiting; }
vecdb_collection *machine_rows(struct machine *m) { return m->db.rows; }
bool machine_idle(const struct machine *m) { return !m->busy; }
void machine_stop(struct machine *m) { m->stopped = true; }

struct machine *machine_open(const struct machine_options *o, char *why) {
  char path[MACHINE_PATH];
  struct machine *m = calloc(1, sizeof *m);
  struct rep_client *clients = calloc(MACHINE_CLIENTS + 2, sizeof *clients);
  if (!m || !clients || !files_join(path, sizeof path, o->folder, "data")) {
    snprintf(why, MACHINE_WHY, "out of memory");
    free(m);
    free(clients);
    return NULL;
  }
  m->o = *o;
  m->dedup = (struct rep_dedup){clients, 0, MACHINE_CLIENTS};
  m->job = (struct work_job){NULL, machine_run, machine_done};
  const vecdb_vfs *vfs = o->vfs ? o->vfs : files_system();
  int error = files_make_dir(vfs, o->folder);
  if (error)
    snprintf(why, MACHINE_WHY, "%.200s: %s", o->folder, strerror(error));
  else if (machine_db_open(&m->db, path, o, why) &&
           machine_db_load(&m->db, &m->pos, clients, &m->dedup.n, why) &&
           machine_db_flush(&m->db)) {
    m->seen = m->pos.seq;
    m->durable = m->pos.seq;
    return m;
  }
  machine_close(m);
  return NULL;
}

void machine_close(struct machine *m) {
  if (!m)
    return;
  while (m->first) {
    struct machine_item *next = m->first->next;
    machine_item_free(m->first);
    m->first = next;
  }
  machine_db_close(&m->db);
  free(m->dedup.clients);
  free(m);
}
