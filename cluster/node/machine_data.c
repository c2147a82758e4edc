/* machine_data.c - which folder has the data of a shard, and when a former one goes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/machine_int.h"

bool machine_path(const struct machine *m, const char *name, char *out) {
  return files_join(out, MACHINE_PATH, m->o.folder, name);
}

void machine_data_name(uint32_t number, char out[24]) {
  if (number)
    snprintf(out, 24, "data-%u", number);
  else
    strcpy(out, "data");
}

static void data_remove(struct machine *m, const char *name) {
  char path[MACHINE_PATH];
  if (machine_path(m, name, path))
    files_clear(m->vfs, path);
}

/* Beside data of this number there can only be what came before it, and what was to come next. */
static void data_leftovers(struct machine *m, uint32_t number) {
  char name[24];
  machine_data_name(number + 1, name);
  data_remove(m, name);
  if (number) {
    machine_data_name(number - 1, name);
    data_remove(m, name);
  }
  data_remove(m, "ship");
  data_remove(m, "incoming");
}

bool machine_data_current(struct machine *m, uint32_t *number, char *why) {
  char path[MACHINE_PATH], text[16] = "";
  vecdb_file *file;
  uint64_t bytes = 0;
  *number = 0;
  if (!machine_path(m, "current", path)) {
    snprintf(why, MACHINE_WHY, "the folder's name is too long");
    return false;
  }
  int error = m->vfs->open(m->vfs, path, VECDB_OPEN_READ, &file);
  if (!error) {
    error = m->vfs->length(file, &bytes);
    if (!error && bytes < sizeof text)
      error = m->vfs->read(file, text, (size_t)bytes, 0);
    m->vfs->close(file);
    if (!error && sscanf(text, "%u", number) != 1)
      error = EINVAL;
  } else if (error == ENOENT) {
    error = 0;
  }
  if (error)
    snprintf(why, MACHINE_WHY, "%.200s: %s", path, strerror(error));
  else
    data_leftovers(m, *number);
  return !error;
}

struct machine_data *machine_data_open(struct machine *m, uint32_t number, bool whole, char *why) {
  char name[24], path[MACHINE_PATH];
  struct machine_data *d = calloc(1, sizeof *d);
  machine_data_name(number, name);
  snprintf(why, MACHINE_WHY, "out of memory");
  if (!d || !machine_path(m, name, path)) {
    free(d);
    return NULL;
  }
  d->machine = m;
  d->number = number;
  d->uses = 1;
  if (machine_db_open(&d->db, path, &m->o, whole, why))
    return d;
  machine_data_close(d);
  return NULL;
}

void machine_data_close(struct machine_data *d) {
  if (d)
    machine_db_close(&d->db);
  free(d);
}

/* ---- Who uses it ---- */

static struct machine_data *data_of(struct work_job *job) {
  return (struct machine_data *)((char *)job - offsetof(struct machine_data, job));
}

static void data_retire_run(struct work_job *job) {
  struct machine_data *d = data_of(job);
  char name[24];
  machine_db_close(&d->db);
  machine_data_name(d->number, name);
  data_remove(d->machine, name);
}

static void data_retire_done(struct work_job *job) {
  struct machine_data *d = data_of(job);
  d->machine->retiring--;
  free(d);
}

struct machine_data *machine_hold(struct machine *m) {
  m->data->uses++;
  return m->data;
}

void machine_drop(struct machine_data *d) {
  if (--d->uses)
    return;
  d->job = (struct work_job){NULL, data_retire_run, data_retire_done};
  work_add(d->machine->o.work, &d->job);
}

void machine_data_retire(struct machine_data *d) {
  d->machine->retiring++;
  machine_drop(d);
}

vecdb_collection *machine_data_rows(struct machine_data *d) { return d->db.rows; }
