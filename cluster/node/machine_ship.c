/*
 * machine_ship.c - a shard's data on its way to another node: a copy that the library makes beside
 * everything else, as one stream of bytes: a head that names the files and their sizes, then the
 * files. Entries wait until the copy has its moment, and no longer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "node/machine_int.h"
#include "wire/bytes.h"

static const int64_t ship_idle_us = 60000000; /* that a copy waits for somebody to go on with it */

static struct machine *ship_machine(struct work_job *job) {
  return (struct machine *)((char *)job - offsetof(struct machine, ship.job));
}

/* ---- The copy ---- */

static void ship_forget(struct machine_ship *s) {
  for (uint32_t i = 0; i < s->n_files; i++)
    free(s->files[i].name);
  free(s->files);
  free(s->head);
  s->files = NULL;
  s->head = NULL;
  s->n_files = s->n_head = 0;
  s->ready = false;
}

static int ship_progress(void *user, const char *phase, uint64_t done, uint64_t total) {
  (void)phase, (void)done, (void)total;
  ((struct machine *)user)->ship.captured = true;
  return 0;
}

struct ship_list {
  struct machine_ship *ship;
  bool failed;
};

static void ship_name(void *arg, const char *name) {
  struct ship_list *list = arg;
  struct machine_ship *s = list->ship;
  struct ship_file *files = realloc(s->files, (s->n_files + 1) * sizeof *files);
  if (files) {
    s->files = files;
    files[s->n_files] = (struct ship_file){strdup(name), 0, 0};
  }
  if (files && files[s->n_files].name)
    s->n_files++;
  else
    list->failed = true;
}

static bool ship_size(struct machine *m, const char *name, uint64_t *bytes) {
  char path[MACHINE_PATH], folder[MACHINE_PATH];
  vecdb_file *file;
  if (!machine_path(m, "ship", folder) || !files_join(path, sizeof path, folder, name) ||
      m->vfs->open(m->vfs, path, VECDB_OPEN_READ, &file))
    return false;
  int error = m->vfs->length(file, bytes);
  m->vfs->close(file);
  return !error;
}

/* The head: its length, the number of files, and the name and size of each. */
static bool ship_head(struct machine *m) {
  struct machine_ship *s = &m->ship;
  struct wire_out out;
  wire_out_init(&out, WIRE_LIMIT);
  wire_put32(&out, 0);
  wire_put32(&out, s->n_files);
  for (uint32_t i = 0; i < s->n_files; i++) {
    if (!ship_size(m, s->files[i].name, &s->files[i].bytes)) {
      wire_out_free(&out);
      return false;
    }
    wire_put64(&out, s->files[i].bytes);
    wire_put32(&out, (uint32_t)strlen(s->files[i].name));
    wire_put(&out, s->files[i].name, strlen(s->files[i].name));
  }
  s->n_head = (uint32_t)out.n;
  s->head = out.status ? NULL : malloc(out.n);
  if (s->head) {
    memcpy(out.data, &s->n_head, sizeof s->n_head);
    memcpy(s->head, out.data, out.n);
  }
  wire_out_free(&out);
  s->bytes = s->n_head;
  for (uint32_t i = 0; i < s->n_files; i++) {
    s->files[i].at = s->bytes;
    s->bytes += s->files[i].bytes;
  }
  return s->head && s->bytes / REP_CHUNK < UINT32_MAX;
}

static void ship_run(struct work_job *job) {
  struct machine *m = ship_machine(job);
  struct machine_ship *s = &m->ship;
  char path[MACHINE_PATH];
  vecdb_control control = VECDB_CONTROL_INIT;
  struct ship_list list = {s, false};
  bool good = machine_path(m, "ship", path);
  control.progress = ship_progress;
  control.user = m;
  if (good)
    files_clear(m->vfs, path);
  good = good && s->data && !vecdb_backup(s->data->db.db, path, &control, NULL) &&
         !m->vfs->list(m->vfs, path, ship_name, &list) && !list.failed && ship_head(m);
  s->captured = true;
  if (!good)
    ship_forget(s);
  s->ready = good;
}

static void ship_done(struct work_job *job) {
  struct machine *m = ship_machine(job);
  struct machine_ship *s = &m->ship;
  if (s->data)
    machine_drop(s->data);
  s->data = NULL;
  s->busy = false;
  machine_begin(m);
}

/* Makes one of what the data has now; `data` NULL: only removes the former one. */
static void ship_start(struct machine *m, struct machine_data *data) {
  struct machine_ship *s = &m->ship;
  ship_forget(s);
  if (s->file)
    m->vfs->close(s->file);
  s->file = NULL;
  s->data = data;
  s->captured = !data;
  s->busy = true;
  s->spent = false;
  s->idle_us = 0;
  s->pos = m->applied;
  s->job = (struct work_job){NULL, ship_run, ship_done};
  work_add(m->o.work, &s->job);
}

bool machine_ship_lets(const struct machine *m) { return !m->ship.busy || m->ship.captured; }

void machine_ship_begin(struct machine *m) {
  struct machine_ship *s = &m->ship;
  if (!s->wanted || s->busy || s->refs || m->busy || m->fork.busy || m->stopped || m->failed)
    return;
  s->wanted = false;
  if (getrandom(&s->id, sizeof s->id, 0) == sizeof s->id)
    ship_start(m, machine_hold(m));
}

void machine_tick(struct machine *m, int64_t now_us) {
  struct machine_ship *s = &m->ship;
  machine_begin(m); /* the copy may have had its moment */
  if (s->busy || !s->ready || s->refs || m->stopped)
    return;
  s->idle_us = s->idle_us ? s->idle_us : now_us;
  if (s->spent || now_us - s->idle_us > ship_idle_us)
    ship_start(m, NULL);
}

void machine_ship_free(struct machine *m) {
  if (m->ship.file)
    m->vfs->close(m->ship.file);
  ship_forget(&m->ship);
}

/* ---- What replication asks ---- */

bool machine_ship_open(void *arg, struct rep_snapshot *out) {
  struct machine *m = arg;
  struct machine_ship *s = &m->ship;
  if (s->busy || !s->ready || s->spent) {
    s->wanted = true;
    machine_ship_begin(m);
    return false; /* asked again in a moment */
  }
  s->refs++;
  s->idle_us = 0;
  *out = (struct rep_snapshot){.id = s->id,
                               .pos = s->pos,
                               .count = (uint32_t)((s->bytes + REP_CHUNK - 1) / REP_CHUNK)};
  return true;
}

void machine_ship_close(void *arg, struct rep_snapshot *snapshot) {
  struct machine *m = arg;
  (void)snapshot;
  m->ship.refs--;
  machine_ship_begin(m);
}

uint64_t machine_ship_keeps(void *arg) {
  const struct machine_ship *s = &((struct machine *)arg)->ship;
  bool making = s->busy && s->data;
  return making || (!s->busy && s->ready && (!s->spent || s->refs)) ? s->pos.seq : 0;
}

/* Bytes of one file, from `at` of the stream on. */
static bool ship_read_file(struct machine *m, uint32_t i, uint64_t at, uint8_t *out, size_t n) {
  struct machine_ship *s = &m->ship;
  char path[MACHINE_PATH], folder[MACHINE_PATH];
  if (s->file && s->file_at != i) {
    m->vfs->close(s->file);
    s->file = NULL;
  }
  if (!s->file && (!machine_path(m, "ship", folder) ||
                   !files_join(path, sizeof path, folder, s->files[i].name) ||
                   m->vfs->open(m->vfs, path, VECDB_OPEN_READ, &s->file)))
    return false;
  s->file_at = i;
  return !m->vfs->read(s->file, out, n, at - s->files[i].at);
}

bool machine_ship_read(void *arg, const struct rep_snapshot *snapshot, uint32_t piece, uint8_t *out,
                       uint32_t *n) {
  struct machine *m = arg;
  struct machine_ship *s = &m->ship;
  uint64_t at = (uint64_t)piece * REP_CHUNK, end = rep_min(at + REP_CHUNK, s->bytes);
  *n = 0;
  if (snapshot->id != s->id || !s->ready || at >= end)
    return false;
  if (at < s->n_head) {
    *n = (uint32_t)rep_min(s->n_head, end) - (uint32_t)at;
    memcpy(out, s->head + at, *n);
    at += *n;
  }
  for (uint32_t i = 0; i < s->n_files && at < end; i++) {
    const struct ship_file *f = &s->files[i];
    if (at < f->at || at >= f->at + f->bytes)
      continue;
    size_t part = (size_t)(rep_min(f->at + f->bytes, end) - at);
    if (!ship_read_file(m, i, at, out + *n, part))
      return false;
    *n += (uint32_t)part;
    at += part;
  }
  s->spent |= end == s->bytes;
  return at == end;
}
