/*
 * machine_take.c - a shard's data that comes from another node, as machine_ship.c sends it. Pieces
 * go to one file; when the last is there a thread makes the files of them, opens the database,
 * which reads and checks every byte, and looks at its position. Only then the last piece is taken,
 * and one file's replacement makes the new data the one that counts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/machine_int.h"
#include "wire/bytes.h"

enum { TAKE_BUFFER = 256 << 10, TAKE_HEAD = 8 };

static struct machine *take_machine(struct work_job *job) {
  return (struct machine *)((char *)job - offsetof(struct machine, take.job));
}

/* ---- From the stream to files ---- */

struct take_in {
  struct machine *m;
  uint64_t at; /* of the stream */
  char folder[MACHINE_PATH];
  uint8_t *buffer; /* TAKE_BUFFER */
};

static bool take_read(struct take_in *in, void *out, size_t n) {
  bool good = in->at + n <= in->m->take.bytes &&
              !in->m->vfs->read(in->m->take.file, out, n, in->at);
  in->at += n;
  return good;
}

/* A name of the head makes a file of the folder, and nothing elsewhere. */
static bool take_name_good(const char *name, uint32_t n) {
  return n && *name != '.' && strlen(name) == n && !strchr(name, '/');
}

static bool take_file(struct take_in *in, const char *name, uint64_t bytes) {
  char path[MACHINE_PATH];
  vecdb_file *file;
  const vecdb_vfs *vfs = in->m->vfs;
  if (!files_join(path, sizeof path, in->folder, name) ||
      vfs->open(vfs, path, VECDB_OPEN_CREATE, &file))
    return false;
  bool good = true;
  for (uint64_t at = 0; at < bytes && good;) {
    size_t n = (size_t)rep_min(bytes - at, TAKE_BUFFER);
    good = take_read(in, in->buffer, n) && !vfs->write(file, in->buffer, n, at);
    at += n;
  }
  good = good && !vfs->sync(file);
  vfs->close(file);
  return good;
}

/* The head's entries one by one, each with its file; `data` is where the files' bytes begin. */
static bool take_files(struct take_in *in, const uint8_t *head, uint32_t n_head) {
  struct wire_in at = {head, head, head + n_head, false};
  in->at = wire_take32(&at);
  for (uint32_t n = wire_take32(&at); n && !at.bad; n--) {
    char name[256] = "";
    uint64_t bytes = wire_take64(&at);
    uint32_t length = wire_take32(&at);
    const void *text = length < sizeof name ? wire_take(&at, length) : NULL;
    if (!text || at.bad)
      return false;
    memcpy(name, text, length);
    if (!take_name_good(name, length) || bytes > in->m->take.bytes || !take_file(in, name, bytes))
      return false;
  }
  return !at.bad && in->at == in->m->take.bytes;
}

static bool take_unpack(struct machine *m, uint32_t number) {
  struct take_in in = {.m = m};
  uint32_t n_head = 0;
  char name[24];
  uint8_t *head = NULL;
  machine_data_name(number, name);
  bool good = machine_path(m, name, in.folder);
  if (good)
    files_clear(m->vfs, in.folder);
  good = good && !files_make_dir(m->vfs, in.folder) && take_read(&in, &n_head, sizeof n_head) &&
         n_head >= TAKE_HEAD && n_head <= WIRE_LIMIT && n_head <= m->take.bytes;
  in.at = 0;
  in.buffer = good ? malloc(TAKE_BUFFER) : NULL;
  head = in.buffer ? malloc(n_head) : NULL;
  good = head && take_read(&in, head, n_head) && take_files(&in, head, n_head) &&
         !m->vfs->sync_dir(m->vfs, in.folder);
  free(head);
  free(in.buffer);
  return good;
}

/* ---- The job ---- */

static void take_run(struct work_job *job) {
  struct machine *m = take_machine(job);
  struct machine_take *t = &m->take;
  const struct rep_pos *want = &t->snapshot.pos;
  uint32_t number = m->data->number + 1;
  snprintf(t->why, sizeof t->why, "the copy's files cannot be written, or are not whole");
  t->data = take_unpack(m, number) ? machine_data_open(m, number, true, t->why) : NULL;
  t->ready = t->data && machine_db_load(&t->data->db, &t->pos, t->clients, &t->n_clients, t->why) &&
             t->pos.seq == want->seq && t->pos.chain == want->chain &&
             machine_db_flush(&t->data->db);
}

/* Nothing of it is wanted any more. */
static void take_clear(struct machine *m) {
  struct machine_take *t = &m->take;
  char path[MACHINE_PATH];
  if (t->file)
    m->vfs->close(t->file);
  if (t->begun && machine_path(m, "incoming", path))
    m->vfs->remove(m->vfs, path);
  machine_data_close(t->data); /* its folder goes before the next, or when the shard is opened */
  free(t->clients);
  *t = (struct machine_take){0};
}

static void take_done(struct work_job *job) {
  struct machine *m = take_machine(job);
  m->take.busy = false;
  if (!m->take.ready || m->take.dropped)
    take_clear(m);
}

void machine_take_free(struct machine *m) { take_clear(m); }

/* ---- What replication asks ---- */

enum rep_status machine_take_begin(void *arg, const struct rep_snapshot *s) {
  struct machine *m = arg;
  struct machine_take *t = &m->take;
  char path[MACHINE_PATH];
  if (t->busy) {
    t->dropped = true;
    return REP_FULL; /* the former one has to end first */
  }
  take_clear(m);
  if (m->retiring || !machine_path(m, "incoming", path))
    return REP_FULL;
  m->vfs->remove(m->vfs, path);
  t->clients = calloc(MACHINE_CLIENTS + 2, sizeof *t->clients);
  t->begun = true;
  if (!t->clients || m->vfs->open(m->vfs, path, VECDB_OPEN_CREATE, &t->file)) {
    t->file = NULL;
    take_clear(m);
    return REP_FAILED;
  }
  t->snapshot = *s;
  return REP_OK;
}

enum rep_status machine_take_piece(void *arg, uint32_t i, const uint8_t *data, uint32_t n) {
  struct machine *m = arg;
  struct machine_take *t = &m->take;
  uint64_t at = (uint64_t)i * REP_CHUNK;
  bool last = i + 1 == t->snapshot.count;
  if (t->busy)
    return REP_FULL;
  if (t->ready)
    return m->busy || m->ship.busy || m->fork.busy ? REP_FULL : REP_OK;
  if (!t->begun || !t->file || at != t->bytes || (!last && n != REP_CHUNK))
    return REP_FAILED;
  if (m->vfs->write(t->file, data, n, at))
    return REP_FAILED;
  if (!last) {
    t->bytes = at + n;
    return REP_OK;
  }
  t->bytes = at + n;
  t->busy = true;
  t->job = (struct work_job){NULL, take_run, take_done};
  work_add(m->o.work, &t->job);
  return REP_FULL;
}

enum rep_status machine_take_finish(void *arg) {
  struct machine *m = arg;
  struct machine_take *t = &m->take;
  char text[16];
  if (!t->ready || t->busy || m->busy)
    return REP_FAILED;
  int n = snprintf(text, sizeof text, "%u\n", t->data->number);
  if (files_replace(m->vfs, m->o.folder, "current", text, (size_t)n))
    return REP_FAILED;
  machine_data_retire(m->data);
  m->data = t->data;
  m->pos = m->applied = t->pos;
  m->durable = t->pos.seq;
  m->check.seq = 0;
  memcpy(m->dedup.clients, t->clients, t->n_clients * sizeof *t->clients);
  m->dedup.n = t->n_clients;
  machine_known_find(m);
  m->ship.spent = true; /* a copy of what was before */
  t->data = NULL;
  take_clear(m);
  machine_replaced(m);
  return REP_OK;
}
