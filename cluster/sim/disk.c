/*
 * disk.c - a node's log on a disk that keeps, at a crash, what was synced and any number of the
 * changes behind it, in order (the contract of replica/store.h).
 */
#include <string.h>

#include "sim/world.h"

const struct rep_entry *sim_image_at(const struct sim_image *i, uint64_t seq) {
  return seq > i->base.seq && seq <= i->base.seq + i->n ? i->entries[seq - i->base.seq - 1] : NULL;
}

static void disk_push(struct sim_world *w, struct sim_image *i, const struct rep_entry *e) {
  size_t room = i->room;
  sim_room(w, &i->entries, &room, i->n, sizeof *i->entries);
  i->room = (uint32_t)room;
  i->entries[i->n++] = e;
}

/* Does one change to an image. */
static void disk_change(struct sim_world *w, struct sim_image *i, const struct sim_change *c) {
  switch (c->kind) {
    case SIM_APPEND: disk_push(w, i, c->entry); break;
    case SIM_CUT: i->n = (uint32_t)rep_min(i->n, c->pos.seq - i->base.seq); break;
    case SIM_SAVE: i->state = c->state; break;
    case SIM_RESET:
      i->base = c->pos;
      i->n = 0;
      break;
    case SIM_TRIM: {
      uint32_t gone = (uint32_t)(c->pos.seq - i->base.seq);
      if (i->n > gone)
        memmove(i->entries, i->entries + gone, (i->n - gone) * sizeof *i->entries);
      i->n -= (uint32_t)rep_min(gone, i->n);
      i->base = c->pos;
      break;
    }
  }
}

static void disk_do(struct sim_node *n, struct sim_change c) {
  struct sim_disk *d = &n->disk;
  disk_change(n->world, &d->now, &c);
  size_t room = d->room;
  sim_room(n->world, &d->changes, &room, d->n_changes, sizeof *d->changes);
  d->room = (uint32_t)room;
  d->changes[d->n_changes++] = c;
}

/* The first changes become durable. */
static void disk_settle(struct sim_node *n, uint32_t count) {
  struct sim_disk *d = &n->disk;
  for (uint32_t i = 0; i < count; i++)
    disk_change(n->world, &d->durable, &d->changes[i]);
  d->n_changes -= count;
  if (d->n_changes)
    memmove(d->changes, d->changes + count, d->n_changes * sizeof *d->changes);
}

static void disk_load(void *arg, struct rep_found *found) {
  const struct sim_node *n = arg;
  found->state = n->disk.now.state;
  found->base = n->disk.now.base;
  found->last = n->disk.now.base.seq + n->disk.now.n;
}

static enum rep_status disk_append(void *arg, const struct rep_entry *e) {
  struct sim_node *n = arg;
  if (n->world->now < n->full_until)
    return REP_FULL;
  struct rep_entry *copy = sim_memory(n->world, sizeof *copy + e->n);
  *copy = *e;
  if (e->n)
    copy->body = memcpy(copy + 1, e->body, e->n);
  disk_do(n, (struct sim_change){.kind = SIM_APPEND, .entry = copy});
  return REP_OK;
}

/* Notes which writes are in the orphans of this node. */
static void disk_orphans(struct sim_node *n, uint64_t after) {
  struct sim_world *w = n->world;
  const struct rep_entry *e;
  for (uint64_t seq = after + 1; (e = sim_image_at(&n->disk.now, seq)); seq++) {
    uint64_t index;
    if (e->kind != REP_DATA)
      continue;
    memcpy(&index, e->body + 8, 8);
    w->writes[index].orphan_on |= (uint64_t)1 << n->id;
    w->result->orphans++;
  }
}

static enum rep_status disk_cut(void *arg, uint64_t after) {
  struct sim_node *n = arg;
  disk_orphans(n, after);
  if (n->rotten > after)
    n->rotten = 0;
  disk_do(n, (struct sim_change){.kind = SIM_CUT, .pos.seq = after});
  return REP_OK;
}

static enum rep_status disk_save(void *arg, const struct rep_state *state) {
  disk_do(arg, (struct sim_change){.kind = SIM_SAVE, .state = *state});
  return REP_OK;
}

static enum rep_status disk_reset(void *arg, const struct rep_pos *base, uint64_t after) {
  struct sim_node *n = arg;
  n->rotten = 0;
  disk_orphans(n, rep_max(after, n->disk.now.base.seq));
  disk_do(n, (struct sim_change){.kind = SIM_RESET, .pos = *base});
  return REP_OK;
}

static enum rep_status disk_trim(void *arg, const struct rep_pos *base) {
  struct sim_node *n = arg;
  if (n->rotten <= base->seq)
    n->rotten = 0;
  disk_do(arg, (struct sim_change){.kind = SIM_TRIM, .pos = *base});
  return REP_OK;
}

static bool disk_read(void *arg, uint64_t seq, struct rep_entry *out) {
  const struct sim_node *n = arg;
  const struct rep_entry *e = sim_image_at(&n->disk.now, seq);
  if (!e || seq == n->rotten)
    return false;
  *out = *e;
  return true;
}

struct rep_store sim_disk_store(struct sim_node *n) {
  struct rep_store s = {n,          disk_load, disk_append, disk_cut, disk_save,
                        disk_reset, disk_trim, disk_read};
  return s;
}

void sim_disk_sync(struct sim_node *n) {
  struct sim_world *w = n->world;
  n->disk.syncing = n->disk.n_changes;
  n->disk.sync = ++w->syncs;
  uint64_t us = n->sync_us / 2 + sim_below(w, n->sync_us);
  if (w->now < n->slow_until)
    us = 20000 + sim_below(w, 400000);
  sim_push(w, w->now + us,
           (struct sim_event){.kind = SIM_SYNCED, .node = n->id, .life = n->life, .a = w->syncs});
}

bool sim_disk_synced(struct sim_node *n, uint64_t number) {
  if (number != n->disk.sync)
    return false;
  disk_settle(n, n->disk.syncing);
  n->disk.syncing = 0;
  return true;
}

void sim_disk_crash(struct sim_node *n) {
  struct sim_disk *d = &n->disk;
  uint32_t kept[3] = {0, d->n_changes, (uint32_t)sim_below(n->world, d->n_changes + 1)};
  disk_settle(n, kept[sim_below(n->world, 3)]);
  d->n_changes = d->syncing = 0;
  d->sync = 0;
  d->now.n = 0;
  d->now.state = d->durable.state;
  d->now.base = d->durable.base;
  for (uint32_t i = 0; i < d->durable.n; i++)
    disk_push(n->world, &d->now, d->durable.entries[i]);
}

void sim_disk_wipe(struct sim_node *n) {
  memset(&n->disk, 0, sizeof n->disk);
  n->rotten = 0;
}

bool sim_disk_sound(const struct sim_node *n) {
  const struct rep_state *now = &n->disk.now.state, *durable = &n->disk.durable.state;
  return n->rotten <= n->map.durable.pos.seq && !now->broken && !durable->broken && !now->heal &&
         !durable->heal;
}
