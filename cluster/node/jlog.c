/* jlog.c - a replica's log on files: writing, syncing, segments that come and go; see jlog.h. */
#include "node/jlog.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "node/files.h"
#include "node/jlog_int.h"

static const uint64_t jlog_segment_bytes = 16u << 20, jlog_cache_bytes = 32u << 20;

bool jlog_room(void *array, size_t *room, size_t n, size_t size) {
  void **at = array;
  if (n < *room)
    return true;
  size_t more = *room ? 2 * *room : 16;
  void *grown = realloc(*at, more * size);
  if (!grown)
    return false;
  *at = grown;
  *room = more;
  return true;
}

bool jlog_segment_path(const struct jlog *j, uint64_t number, char *out) {
  char name[32];
  snprintf(name, sizeof name, "%012llu.log", (unsigned long long)number);
  return files_join(out, JLOG_PATH, j->folder, name);
}

struct jlog_segment *jlog_segment_of(struct jlog *j, uint64_t number) {
  for (size_t i = j->n_segments; i-- > 0;)
    if (j->segments[i].number == number)
      return &j->segments[i];
  return NULL;
}

/* ---- What records change in memory ---- */

/* Entries from the front on are no longer there. */
static void jlog_drop_front(struct jlog *j, size_t n) {
  n = n < j->n_slots ? n : j->n_slots;
  for (size_t i = 0; i < n; i++)
    jlog_forget(j, &j->slots[i]);
  j->n_slots -= n;
  if (n && j->n_slots)
    memmove(j->slots, j->slots + n, j->n_slots * sizeof *j->slots);
}

static void jlog_drop_back(struct jlog *j, size_t keep) {
  while (j->n_slots > keep)
    jlog_forget(j, &j->slots[--j->n_slots]);
}

/* Slots up to `last`, those that are new as lost ones. */
static bool jlog_extend(struct jlog *j, uint64_t last) {
  while (j->base.seq + j->n_slots < last) {
    if (!jlog_room(&j->slots, &j->room_slots, j->n_slots, sizeof *j->slots))
      return false;
    j->slots[j->n_slots++] = (struct jlog_slot){0};
  }
  return true;
}

static void jlog_set_base(struct jlog *j, const struct rep_pos *base, uint64_t last) {
  if (base->seq >= j->base.seq && base->seq < last)
    jlog_drop_front(j, (size_t)(base->seq - j->base.seq));
  else if (base->seq != j->base.seq || base->chain != j->base.chain)
    jlog_drop_back(j, 0);
  j->base = *base;
}

bool jlog_take(struct jlog *j, const struct jlog_record *r, uint64_t number, uint64_t at) {
  jlog_set_base(j, &r->base, r->last);
  jlog_drop_back(j, (size_t)(r->last - r->base.seq - r->has_entry));
  if (!jlog_extend(j, r->last))
    return false;
  if (r->has_entry)
    j->slots[j->n_slots - 1] = (struct jlog_slot){.segment = number, .at = at, .n = r->entry.n};
  j->last = r->last;
  j->state = r->state;
  j->ordinal = r->ordinal;
  j->told = r->synced;
  return true;
}

/* ---- Writing ---- */

/* A new segment with room for a record of n bytes. 0, or an errno value. */
static int jlog_begin_segment(struct jlog *j, size_t n) {
  uint8_t head[JLOG_HEAD];
  char path[JLOG_PATH];
  struct jlog_segment s = {.number = j->next_number, .end = JLOG_HEAD};
  const vecdb_vfs *vfs = j->o.vfs;
  s.limit = JLOG_HEAD + n + JLOG_SPARE;
  s.limit = s.limit > j->o.segment_bytes ? s.limit : j->o.segment_bytes;
  if (!jlog_room(&j->segments, &j->room_segments, j->n_segments, sizeof s) ||
      !jlog_segment_path(j, s.number, path))
    return ENOMEM;
  int error = vfs->open(vfs, path, VECDB_OPEN_CREATE, &s.file);
  if (error)
    return error;
  j->next_number++;
  jlog_head_write(j->o.id, s.number, head);
  error = vfs->reserve(s.file, s.limit);
  error = error ? error : vfs->write(s.file, head, sizeof head, 0);
  if (error) {
    vfs->close(s.file);
    (void)vfs->remove(vfs, path); /* without a head it is nothing to anybody */
    return error;
  }
  j->segments[j->n_segments++] = s;
  j->fresh = true;
  return 0;
}

static bool jlog_fits(const struct jlog *j, size_t n, bool entry) {
  if (!j->fresh)
    return false;
  const struct jlog_segment *s = &j->segments[j->n_segments - 1];
  return s->end + n + (entry ? JLOG_SPARE : 0) <= s->limit;
}

static bool jlog_scratch(struct jlog *j, size_t n) {
  while (j->scratch_room < n)
    if (!jlog_room(&j->scratch, &j->scratch_room, j->scratch_room, 1))
      return false;
  return true;
}

/* Writes one record of the state that `r` has, and takes it over. */
static enum rep_status jlog_write(struct jlog *j, struct jlog_record *r) {
  size_t n = jlog_size(r->has_entry ? r->entry.n : 0);
  int error = j->failed ? EIO : 0;
  if (!error && !jlog_fits(j, n, r->has_entry))
    error = jlog_begin_segment(j, n);
  if (!error && !jlog_scratch(j, n))
    error = ENOMEM;
  if (!error) {
    struct jlog_segment *s = &j->segments[j->n_segments - 1];
    r->ordinal = j->ordinal + 1;
    r->synced = j->synced;
    jlog_record_write(r, jlog_seed(j->o.id, s->number), j->scratch);
    error = j->o.vfs->write(s->file, j->scratch, n, s->end);
  }
  if (r->has_entry && error == ENOSPC)
    return REP_FULL;
  struct jlog_segment *s = error ? NULL : &j->segments[j->n_segments - 1];
  if (error || !jlog_take(j, r, s->number, s->end)) {
    j->failed = true;
    return REP_FAILED;
  }
  if (r->has_entry) {
    s->top = s->top > r->last ? s->top : r->last;
    jlog_keep(j, &j->slots[j->n_slots - 1], r->last, j->scratch);
  }
  s->end += n;
  s->ordinal = r->ordinal;
  return REP_OK;
}

static struct jlog_record jlog_now(const struct jlog *j) {
  return (struct jlog_record){.state = j->state, .base = j->base, .last = j->last};
}

/* ---- Orphans ---- */

/* A new file of orphans with its head, of entries from e on; 0, or an errno value. */
static int jlog_orphan_open(struct jlog *j, const struct rep_entry *e, char *folder,
                            vecdb_file **file) {
  char path[JLOG_PATH], name[64];
  const vecdb_vfs *vfs = j->o.vfs;
  snprintf(name, sizeof name, "%llu-%llu.orphans", (unsigned long long)e->pos.epoch,
           (unsigned long long)j->ordinal);
  if (!files_join(folder, JLOG_PATH, j->folder, "orphans") ||
      !files_join(path, sizeof path, folder, name))
    return ENAMETOOLONG;
  int error = vfs->make_dir(vfs, folder);
  error = error == EEXIST ? 0 : error;
  error = error ? error : vfs->sync_dir(vfs, j->folder);
  error = error ? error : vfs->open(vfs, path, VECDB_OPEN_CREATE, file);
  struct orphan_head head = j->o.from;
  uint8_t bytes[ORPHAN_HEAD];
  head.promised = j->state.promised;
  head.after = e->pos.seq - 1;
  head.time_ms = (uint64_t)time(NULL) * 1000;
  orphan_head_write(&head, bytes);
  return error ? error : vfs->write(*file, bytes, sizeof bytes, 0);
}

/* Entries behind `after`, durably, in a file of their own. */
static bool jlog_orphan(struct jlog *j, uint64_t after) {
  char folder[JLOG_PATH];
  const vecdb_vfs *vfs = j->o.vfs;
  vecdb_file *file = NULL;
  uint64_t at = ORPHAN_HEAD;
  int error = j->failed ? EIO : 0;
  struct rep_entry e;
  for (uint64_t seq = after + 1; seq <= j->last && !error; seq++) {
    if (!jlog_read(j, seq, &e))
      continue;
    if (!file)
      error = jlog_orphan_open(j, &e, folder, &file);
    size_t n = orphan_bytes(e.n);
    if (!error && !jlog_scratch(j, n))
      error = ENOMEM;
    if (!error) {
      orphan_write(&e, j->scratch);
      error = vfs->write(file, j->scratch, n, at);
      at += n;
    }
  }
  error = error || !file ? error : vfs->sync(file);
  error = error || !file ? error : vfs->sync_dir(vfs, folder);
  if (file)
    vfs->close(file);
  j->failed |= error != 0;
  return !error;
}

/* ---- What the replica calls ---- */

static void jlog_load(void *arg, struct rep_found *found) {
  const struct jlog *j = arg;
  *found = (struct rep_found){j->state, j->base, j->last};
}

static enum rep_status jlog_append(void *arg, const struct rep_entry *e) {
  struct jlog *j = arg;
  struct jlog_record r = jlog_now(j);
  r.last = e->pos.seq;
  r.has_entry = true;
  r.entry = *e;
  return e->pos.seq == j->last + 1 && e->n <= REP_BODY_MAX ? jlog_write(j, &r) : REP_FAILED;
}

static enum rep_status jlog_cut(void *arg, uint64_t after) {
  struct jlog *j = arg;
  struct jlog_record r = jlog_now(j);
  if (after < j->base.seq || !jlog_orphan(j, after))
    return REP_FAILED;
  r.last = after < r.last ? after : r.last;
  return jlog_write(j, &r);
}

static enum rep_status jlog_save(void *arg, const struct rep_state *state) {
  struct jlog *j = arg;
  struct jlog_record r = jlog_now(j);
  r.state = *state;
  return jlog_write(j, &r);
}

static enum rep_status jlog_reset(void *arg, const struct rep_pos *base, uint64_t after) {
  struct jlog *j = arg;
  struct jlog_record r = jlog_now(j);
  if (!jlog_orphan(j, after > j->base.seq ? after : j->base.seq))
    return REP_FAILED;
  r.base = *base;
  r.last = base->seq;
  return jlog_write(j, &r);
}

static enum rep_status jlog_trim(void *arg, const struct rep_pos *base) {
  struct jlog *j = arg;
  struct jlog_record r = jlog_now(j);
  if (base->seq < j->base.seq || base->seq > j->last)
    return REP_FAILED;
  r.base = *base;
  return jlog_write(j, &r);
}

struct rep_store jlog_store(struct jlog *j) {
  return (struct rep_store){j,         jlog_load,  jlog_append, jlog_cut,
                            jlog_save, jlog_reset, jlog_trim,   jlog_read};
}

/* ---- Syncing ---- */

void jlog_sync_begin(struct jlog *j) {
  j->n_sync = 0;
  j->sync_ordinal = j->ordinal;
  j->sync_base = j->base.seq;
  j->sync_told = j->told;
  j->sync_folder = false;
  j->sync_number = j->n_segments ? j->segments[j->n_segments - 1].number : 0;
  for (size_t i = 0; i < j->n_segments; i++) {
    struct jlog_segment *s = &j->segments[i];
    if (s->number < j->clean_number)
      continue;
    if (!jlog_room(&j->sync_files, &j->room_sync, j->n_sync, sizeof(vecdb_file *))) {
      j->failed = true;
      return;
    }
    j->sync_files[j->n_sync++] = s->file;
    j->sync_folder |= !s->named;
  }
}

bool jlog_sync_run(struct jlog *j) {
  for (size_t i = 0; i < j->n_sync; i++)
    if (j->o.vfs->sync(j->sync_files[i]))
      return false;
  return !j->sync_folder || j->o.vfs->sync_dir(j->o.vfs, j->folder) == 0;
}

/* Removes the oldest segments that hold nothing any more. A name may come back by a crash, and then
   others between are missing: durable records must say that those were durable. */
static void jlog_remove_old(struct jlog *j) {
  char path[JLOG_PATH];
  size_t n = 0;
  while (n + 1 < j->n_segments && j->segments[n].number < j->sync_number &&
         j->segments[n].top <= j->sync_base && j->segments[n].ordinal <= j->sync_told &&
         jlog_segment_path(j, j->segments[n].number, path)) {
    j->o.vfs->close(j->segments[n].file);
    (void)j->o.vfs->remove(j->o.vfs, path); /* what stays is removed by the next opening */
    n++;
  }
  if (!n)
    return;
  j->n_segments -= n;
  memmove(j->segments, j->segments + n, j->n_segments * sizeof *j->segments);
}

bool jlog_sync_end(struct jlog *j, bool ok) {
  if (!ok || j->failed) {
    j->failed = true;
    return false;
  }
  j->synced = j->sync_ordinal;
  j->clean_number = j->sync_number; /* that one is still written to */
  for (size_t i = 0; i < j->n_segments && j->segments[i].number <= j->sync_number; i++)
    j->segments[i].named = true;
  jlog_remove_old(j);
  return true;
}

uint64_t jlog_bytes(const struct jlog *j) {
  uint64_t n = 0;
  for (size_t i = 0; i < j->n_segments; i++)
    n += j->segments[i].end;
  return n;
}

/* ---- Opening ---- */

struct jlog *jlog_open(const struct jlog_options *o, struct jlog_found *found, char *why) {
  struct jlog *j = calloc(1, sizeof *j);
  *found = (struct jlog_found){0};
  if (!j || strlen(o->folder) > JLOG_PATH - 64) {
    snprintf(why, JLOG_WHY, "%s", j ? "the folder's name is too long" : "out of memory");
    free(j);
    return NULL;
  }
  j->o = *o;
  snprintf(j->folder, sizeof j->folder, "%s", o->folder);
  j->o.segment_bytes = o->segment_bytes ? o->segment_bytes : jlog_segment_bytes;
  j->o.cache_bytes = o->cache_bytes > jlog_cache_bytes ? o->cache_bytes : jlog_cache_bytes;
  j->kept.before = j->kept.after = &j->kept;
  j->next_number = 1;
  if (jlog_recover(j, found, why))
    return j;
  jlog_close(j);
  return NULL;
}

void jlog_close(struct jlog *j) {
  if (!j)
    return;
  jlog_drop_back(j, 0);
  for (size_t i = 0; i < j->n_segments; i++)
    j->o.vfs->close(j->segments[i].file);
  free(j->segments);
  free(j->slots);
  free(j->scratch);
  free(j->sync_files);
  free(j);
}
