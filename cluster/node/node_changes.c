/*
 * node_changes.c - what writes have touched since a position of a shard's log, for who keeps a copy
 * of its rows: the entries are taken from the log in the node's thread, and looked at on another.
 */
#include <string.h>

#include "node/node_int.h"
#include "wire/schema.h"

/* Of one answer. The bytes are those of a large entry, which is there whole in any case. */
enum { CHANGES_ENTRIES = 4096, CHANGES_BYTES = REP_BODY_MAX };

struct node_changes {
  struct wire_position from; /* the last one that is not told of */
  uint64_t schema;
  bool all;  /* the log does not have the position that was asked for */
  bool more; /* entries are left */
  uint32_t n;
  struct changes_entry {
    struct wire_position position;
    void *body; /* NULL: no write */
    uint32_t n;
  } *entries;
};

static struct wire_position changes_position(const struct rep_pos *p) {
  return (struct wire_position){p->seq, p->epoch, p->chain};
}

/* Whether the log has gone through this position. */
static bool changes_has(const struct rep_store *log, const struct rep_pos *base,
                        const struct wire_position *p) {
  struct rep_entry e;
  if (p->seq == base->seq)
    return p->chain == base->chain && p->epoch == base->epoch;
  return p->seq > base->seq && log->read(log->arg, p->seq, &e) && e.pos.chain == p->chain &&
         e.pos.epoch == p->epoch;
}

static bool changes_copy(struct node_ask *a, struct changes_entry *to, const struct rep_entry *e) {
  to->position = changes_position(&e->pos);
  if (e->kind != REP_DATA)
    return true;
  to->n = e->n;
  to->body = wire_mem_get(&a->mem, e->n, 1);
  if (to->body)
    memcpy(to->body, e->body, e->n);
  return to->body != NULL;
}

int node_changes_take(struct node_replica *r, struct node_ask *a) {
  const struct rep_store log = jlog_store(r->log);
  const struct wire_since *since = &a->message.since;
  const uint64_t last = a->position.seq;
  uint64_t most = since->entries && since->entries < CHANGES_ENTRIES ? since->entries
                                                                     : CHANGES_ENTRIES;
  struct rep_found found;
  struct node_changes *c = a->changes = wire_mem_get(&a->mem, 1, sizeof *c);
  if (!c)
    return VECDB_ERR_NO_MEMORY;
  log.load(log.arg, &found);
  c->schema = machine_schema(r->machine);
  c->from = changes_position(&a->position);
  c->all = since->now || since->after.seq > last || !changes_has(&log, &found.base, &since->after);
  if (c->all)
    return VECDB_OK;
  c->from = since->after;
  most = last - since->after.seq < most ? last - since->after.seq : most;
  c->entries = wire_mem_get(&a->mem, most, sizeof *c->entries);
  if (!c->entries)
    return VECDB_ERR_NO_MEMORY;
  uint64_t bytes = 0;
  struct rep_entry e;
  for (uint64_t seq = since->after.seq + 1; c->n < most; seq++) {
    if (!log.read(log.arg, seq, &e)) { /* damaged: what it touched nobody knows here */
      *c = (struct node_changes){
          .from = changes_position(&a->position), .schema = c->schema, .all = true};
      return VECDB_OK;
    }
    bytes += e.n;
    if (c->n && bytes > CHANGES_BYTES)
      break;
    if (!changes_copy(a, &c->entries[c->n++], &e))
      return VECDB_ERR_NO_MEMORY;
  }
  c->more = since->after.seq + c->n < last;
  return VECDB_OK;
}

int node_changes_answer(const struct node_ask *a, vecdb_collection *rows, struct wire_message *out,
                        struct wire_touched *touched) {
  const struct node_changes *c = a->changes;
  const vecdb_field *key = wire_schema_key(vecdb_collection_schema(rows));
  struct wire_changed *changed = &out->changed;
  uint32_t done = 0;
  touched->key = key->name;
  touched->type = key->type;
  *changed = (struct wire_changed){c->from, c->schema, c->all, c->more, 0, NULL};
  for (; done < c->n; done++) {
    const struct changes_entry *e = &c->entries[done];
    if (e->body && !wire_touched_add(touched, e->body, e->n))
      break;
    changed->position = e->position;
  }
  if (touched->mem.failed || (c->n && !done))
    return VECDB_ERR_NO_MEMORY;
  changed->more |= done < c->n;
  /* What the other shard has written is not here; and fields that are alike to who looks now may
     not be the same ones. */
  changed->all |= touched->split || touched->reshaped;
  if (changed->all) { /* and then nothing else is told */
    touched->n = touched->n_filters = 0;
    changed->more = false;
  }
  changed->filters = touched->filters;
  changed->n_filters = touched->n_filters;
  out->keys = wire_touched_keys(touched);
  out->has |= WIRE_HAS(WIRE_CHANGED) | WIRE_HAS(WIRE_KEYS);
  return VECDB_OK;
}
