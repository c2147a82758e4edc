/*
 * journal.c - the log: appending and cutting through the host's store, which entries are durable,
 * and the table of epochs that finds where two logs part.
 */
#include <string.h>

#include "replica/state.h"

/* A follower that is behind holds the log up to so many times its usual length. */
enum { JOURNAL_PATIENCE = 16, JOURNAL_PATIENCE_MIN = 4096 };

static bool journal_ok(struct rep *r, enum rep_status status) {
  if (status == REP_FAILED)
    rep_stop(r, REP_WHY_STORE);
  return status == REP_OK;
}

/* Notes the epoch of an entry at the end of the log. */
static void journal_note_epoch(struct rep *r, const struct rep_pos *pos) {
  if (r->n_epochs && r->epochs[r->n_epochs - 1].epoch == pos->epoch)
    return;
  if (r->n_epochs == REP_EPOCHS)
    memmove(r->epochs, r->epochs + 1, --r->n_epochs * sizeof *r->epochs);
  struct rep_epoch e = {pos->epoch, pos->seq};
  r->epochs[r->n_epochs++] = e;
}

static void journal_restart(struct rep *r, const struct rep_pos *base) {
  r->base = r->tail = *base;
  r->n_epochs = 0;
  journal_note_epoch(r, base);
}

/* Reads the log through. A damaged entry that the data has is not needed, nor what is before it;
   at another one the log ends. */
static bool journal_scan(struct rep *r, uint64_t last, const struct rep_pos *applied) {
  struct rep_entry e;
  while (r->tail.seq < last) {
    uint64_t seq = r->tail.seq + 1;
    bool sound = r->store.read(r->store.arg, seq, &e) && e.pos.seq == seq &&
                 e.pos.chain == rep_chain(r->tail.chain, &e);
    if (sound) {
      r->tail = e.pos;
      journal_note_epoch(r, &e.pos);
    } else if (seq <= applied->seq && applied->seq <= last) {
      if (!journal_ok(r, r->store.trim(r->store.arg, applied)))
        return false;
      journal_restart(r, applied);
    } else {
      r->state.broken = true; /* first: a crash may come between the two */
      return journal_ok(r, r->store.save(r->store.arg, &r->state)) &&
             journal_ok(r, r->store.cut(r->store.arg, seq - 1));
    }
  }
  return true;
}

bool rep_journal_open(struct rep *r) {
  struct rep_found found;
  r->store.load(r->store.arg, &found);
  r->state = found.state;
  journal_restart(r, &found.base);
  struct rep_pos pos = r->machine.pos(r->machine.arg), here;
  if (!journal_scan(r, found.last, &pos))
    return false;
  if (pos.seq < r->base.seq) {
    /* The data is older than the log: it was not trimmed by us. */
    r->state.broken = true;
    if (!rep_journal_save(r))
      return false;
  } else if (!rep_journal_pos(r, pos.seq, &here) || here.chain != pos.chain) {
    if (!rep_journal_reset(r, &pos))
      return false;
  }
  r->commit = PLANT(COMMIT_AT_OPEN, pos.seq, r->tail.seq);
  r->durable = r->tail.seq;
  return true;
}

bool rep_journal_append(struct rep *r, const struct rep_entry *e) {
  enum rep_status status = r->store.append(r->store.arg, e);
  r->full = status == REP_FULL;
  if (!journal_ok(r, status))
    return false;
  r->tail = e->pos;
  journal_note_epoch(r, &e->pos);
  r->records++;
  return true;
}

bool rep_journal_pos(struct rep *r, uint64_t seq, struct rep_pos *pos) {
  if (seq == r->base.seq || seq == r->tail.seq) {
    *pos = seq == r->base.seq ? r->base : r->tail;
    return true;
  }
  struct rep_entry e;
  if (seq < r->base.seq || seq > r->tail.seq)
    return false;
  bool sound = r->store.read(r->store.arg, seq, &e);
  /* The data knows the position that it is at, whatever became of the entry. */
  *pos = sound ? e.pos : r->machine.pos(r->machine.arg);
  return sound || PLANT(LAST_ROT, pos->seq == seq, false);
}

bool rep_journal_cut(struct rep *r, uint64_t after) {
  if (after < r->commit || after < r->base.seq) {
    rep_stop(r, REP_WHY_I5);
    return false;
  }
  struct rep_pos end;
  if (!rep_journal_pos(r, after, &end)) {
    rep_stop(r, REP_WHY_STORE);
    return false;
  }
  if (!journal_ok(r, r->store.cut(r->store.arg, after)))
    return false;
  r->tail = end;
  r->records++;
  r->durable = PLANT(DURABLE_AFTER_CUT, rep_min(r->durable, after), r->durable);
  r->sync_last = PLANT(DURABLE_AFTER_CUT, rep_min(r->sync_last, after), r->sync_last);
  while (r->n_epochs > 1 && r->epochs[r->n_epochs - 1].first > after)
    r->n_epochs--;
  return true;
}

bool rep_journal_save(struct rep *r) {
  r->records++;
  return journal_ok(r, r->store.save(r->store.arg, &r->state));
}

/* Behind what entry a log that is given up holds what others may not have. After an unclean start
   that may be committed entries: all from where it parted from the others, or, when that was not
   seen in this life, all that there is. */
static uint64_t journal_orphans(const struct rep *r) {
  if (r->parted)
    return r->parted - 1;
  if (r->state.broken && r->have_config && r->config.unclean)
    return r->base.seq;
  return r->commit;
}

bool rep_journal_reset(struct rep *r, const struct rep_pos *pos) {
  uint64_t after = PLANT(ORPHANS_LOST, journal_orphans(r), pos->seq);
  if (!journal_ok(r, r->store.reset(r->store.arg, pos, after)))
    return false;
  r->parted = 0;
  r->records++;
  journal_restart(r, pos);
  r->durable = 0;
  r->sync_last = 0;
  return true;
}

/* The log behind this position is still of use to somebody who was given a snapshot, or who follows
   and is not hopelessly behind. */
static uint64_t journal_needed(const struct rep *r) {
  uint64_t most = rep_max(r->o.keep * JOURNAL_PATIENCE, JOURNAL_PATIENCE_MIN);
  uint64_t far = r->tail.seq > most ? r->tail.seq - most : 0;
  uint64_t least = r->machine.keeps ? r->machine.keeps(r->machine.arg) : 0;
  least = least ? least : UINT64_MAX;
  for (uint32_t i = 0; i < REP_MEMBERS && r->role == REP_LEADING; i++) {
    const struct rep_peer *p = &r->peers[i];
    uint64_t have = rep_max(p->known, p->match);
    if (p->node && p->state == PEER_STREAM && have >= r->base.seq &&
        r->now - p->heard <= r->o.slow_ms)
      least = rep_min(least, rep_max(have, far));
  }
  return least;
}

void rep_journal_trim(struct rep *r) {
  uint64_t safe = PLANT(TRIM_UNSAFE, r->machine.durable(r->machine.arg), r->commit);
  uint64_t to = r->tail.seq > r->o.keep ? rep_min(safe, r->tail.seq - r->o.keep) : 0;
  to = rep_min(to, journal_needed(r));
  struct rep_pos pos;
  if (to <= r->base.seq + r->o.keep / 4 || !rep_journal_pos(r, to, &pos))
    return;
  if (!journal_ok(r, r->store.trim(r->store.arg, &pos)))
    return;
  r->records++;
  r->base = pos;
  while (r->n_epochs > 1 && r->epochs[1].first <= pos.seq)
    memmove(r->epochs, r->epochs + 1, --r->n_epochs * sizeof *r->epochs);
}

void rep_journal_sync(struct rep *r) {
  if (r->syncing || r->records == r->synced || r->role == REP_STOPPED)
    return;
  r->syncing = true;
  r->sync_records = r->records;
  r->sync_last = r->tail.seq;
  r->host.sync(r->host.arg);
}

void rep_journal_synced(struct rep *r) {
  r->syncing = false;
  r->synced = r->sync_records;
  r->durable = rep_max(r->durable, r->sync_last);
}

/* The last entry of an epoch in a table whose log ends at `last`. */
static uint64_t journal_epoch_end(const struct rep_epoch *table, uint32_t n, uint32_t i,
                                  uint64_t last) {
  return i + 1 < n ? table[i + 1].first - 1 : last;
}

bool rep_journal_common(const struct rep *r, const struct rep_msg *m, uint64_t *seq) {
  uint32_t i = r->n_epochs, k = m->n_epochs;
  while (i && k) {
    const struct rep_epoch *a = &r->epochs[i - 1], *b = &m->epochs[k - 1];
    if (a->epoch == b->epoch) {
      *seq = rep_min(journal_epoch_end(r->epochs, r->n_epochs, i - 1, r->tail.seq),
                     journal_epoch_end(m->epochs, m->n_epochs, k - 1, m->last));
      return *seq >= r->base.seq;
    }
    if (a->epoch > b->epoch)
      i--;
    else
      k--;
  }
  return false;
}
