/*
 * jlog_open.c - finding a log as a crash, or a disk that forgets, has left it. All segments are
 * read; a record that is not the next one is either behind the end of what was synced, and then the
 * log ends before it, or somewhere in the middle, and then entries are lost and the rest is kept.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/files.h"
#include "node/jlog_int.h"

/* The most entries that a record may be ahead of the one before it. */
static const uint64_t open_gap_max = 1u << 24;

struct open_names {
  uint64_t *numbers;
  size_t n, room;
  bool no_memory;
};

/* A record that was found, without its body. */
struct open_record {
  struct jlog_record r;
  size_t segment; /* its place in the list */
  uint64_t at, end;
};

struct open_scan {
  struct open_record *records;
  size_t n, room;
};

static void open_name(void *arg, const char *name) {
  struct open_names *names = arg;
  uint64_t number;
  int n = 0;
  if (sscanf(name, "%" SCNu64 ".log%n", &number, &n) != 1 || !n || name[n])
    return;
  if (jlog_room(&names->numbers, &names->room, names->n, sizeof number))
    names->numbers[names->n++] = number;
  else
    names->no_memory = true;
}

static int open_order(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

/* Whether a record can follow what is known; one of ours always can. */
static bool open_sound(const struct jlog_record *r) {
  return r->ordinal && r->last >= r->base.seq + r->has_entry &&
         r->last - r->base.seq < open_gap_max && r->synced < r->ordinal;
}

/* The records of one segment, damaged stretches passed over. False: no memory. */
static bool open_parse(struct open_scan *scan, const uint8_t *data, size_t n, size_t segment,
                       uint64_t seed) {
  size_t at = JLOG_HEAD;
  uint64_t next = scan->n ? scan->records[scan->n - 1].r.ordinal + 1 : 1;
  while (at + JLOG_RECORD <= n) {
    struct open_record f = {.segment = segment, .at = at};
    size_t size = jlog_record_read(data + at, n - at, seed, &f.r);
    if (!size || !open_sound(&f.r) || f.r.ordinal < next) {
      at += 8;
      continue;
    }
    f.r.entry.body = NULL;
    f.end = at + size;
    if (!jlog_room(&scan->records, &scan->room, scan->n, sizeof f))
      return false;
    scan->records[scan->n++] = f;
    next = f.r.ordinal + 1;
    at += size;
  }
  return true;
}

/* Opens a segment and reads its records. 0, or an errno value. */
static int open_segment(struct jlog *j, struct open_scan *scan, uint64_t number) {
  struct jlog_segment s = {.number = number, .end = JLOG_HEAD, .named = true};
  char path[JLOG_PATH];
  if (!jlog_room(&j->segments, &j->room_segments, j->n_segments, sizeof s) ||
      !jlog_segment_path(j, number, path))
    return ENOMEM;
  int error = j->o.vfs->open(j->o.vfs, path, VECDB_OPEN_WRITE, &s.file);
  if (error)
    return error;
  j->segments[j->n_segments++] = s;
  j->next_number = number + 1;
  error = j->o.vfs->length(s.file, &s.limit);
  uint8_t *data = error ? NULL : malloc(s.limit + 1);
  if (!error && !data)
    error = ENOMEM;
  error = error ? error : j->o.vfs->read(s.file, data, s.limit, 0);
  if (!error && jlog_head_read(data, s.limit, j->o.id, number) &&
      !open_parse(scan, data, s.limit, j->n_segments - 1, jlog_seed(j->o.id, number)))
    error = ENOMEM;
  j->segments[j->n_segments - 1].limit = s.limit;
  free(data);
  return error;
}

/* How many of the records count: up to the first that is missing and was not surely durable. */
static size_t open_end(const struct open_scan *scan) {
  uint64_t synced = 0;
  for (size_t i = 0; i < scan->n; i++)
    synced = scan->records[i].r.synced > synced ? scan->records[i].r.synced : synced;
  uint64_t before = 0;
  for (size_t i = 0; i < scan->n; i++) {
    uint64_t ordinal = scan->records[i].r.ordinal;
    if (ordinal != before + 1 && before >= synced)
      return i;
    before = ordinal;
  }
  return scan->n;
}

/* Everything behind the end goes for good, so that it never comes up beside later records. */
static int open_cut(struct jlog *j, const struct open_record *end, struct jlog_found *found) {
  const vecdb_vfs *vfs = j->o.vfs;
  char path[JLOG_PATH];
  size_t keep = end ? end->segment + 1 : 0;
  int error = 0;
  while (!error && j->n_segments > keep) {
    struct jlog_segment *s = &j->segments[--j->n_segments];
    found->torn += s->end > JLOG_HEAD ? s->end - JLOG_HEAD : 0;
    vfs->close(s->file);
    error = jlog_segment_path(j, s->number, path) ? vfs->remove(vfs, path) : ENAMETOOLONG;
  }
  error = error ? error : vfs->sync_dir(vfs, j->folder);
  struct jlog_segment *s = keep && !error ? &j->segments[keep - 1] : NULL;
  if (!s || s->limit == end->end)
    return error;
  found->torn += s->end > end->end ? s->end - end->end : 0;
  s->end = s->limit = end->end;
  error = vfs->truncate(s->file, s->limit);
  return error ? error : vfs->sync(s->file);
}

static bool open_apply(struct jlog *j, const struct open_scan *scan, size_t n) {
  for (size_t i = 0; i < n; i++) {
    const struct open_record *f = &scan->records[i];
    struct jlog_segment *s = &j->segments[f->segment];
    if (!jlog_take(j, &f->r, s->number, f->at))
      return false;
    s->end = f->end;
    s->ordinal = f->r.ordinal;
    if (f->r.has_entry && f->r.last > s->top)
      s->top = f->r.last;
  }
  return true;
}

static int open_all(struct jlog *j, struct open_scan *scan, struct jlog_found *found) {
  struct open_names names = {0};
  const vecdb_vfs *vfs = j->o.vfs;
  int error = files_make_dir(vfs, j->folder);
  error = error ? error : vfs->list(vfs, j->folder, open_name, &names);
  error = error || !names.no_memory ? error : ENOMEM;
  if (!error && names.n)
    qsort(names.numbers, names.n, sizeof *names.numbers, open_order);
  for (size_t i = 0; i < names.n && !error; i++)
    error = open_segment(j, scan, names.numbers[i]);
  free(names.numbers);
  if (error)
    return error;
  /* What the scan has seen beyond the end counts as torn, too. */
  size_t n = open_end(scan);
  for (size_t i = n; i < scan->n; i++)
    j->segments[scan->records[i].segment].end = scan->records[i].end;
  for (size_t i = 0; i < n; i++) {
    struct jlog_segment *s = &j->segments[scan->records[i].segment];
    s->end = s->end > scan->records[i].end ? s->end : scan->records[i].end;
  }
  error = open_cut(j, n ? &scan->records[n - 1] : NULL, found);
  /* A killed process may have left what the system has and the disk has not. */
  for (size_t i = 0; i < j->n_segments && !error; i++)
    error = vfs->sync(j->segments[i].file);
  return error ? error : open_apply(j, scan, n) ? 0 : ENOMEM;
}

bool jlog_recover(struct jlog *j, struct jlog_found *found, char *why) {
  struct open_scan scan = {0};
  int error = open_all(j, &scan, found);
  free(scan.records);
  for (size_t i = 0; i < j->n_slots; i++)
    found->damaged += !j->slots[i].segment;
  j->synced = j->ordinal;
  if (error)
    snprintf(why, JLOG_WHY, "the log in %.150s cannot be read: %s", j->folder, strerror(error));
  return !error;
}
