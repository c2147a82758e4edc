/*
 * machine_split.c - a shard that is split: which rows are whose, by the documents that its log has;
 * the rows that go when they are the child's, and the child's data, made beside the shard's own at
 * the fence; see ../replica/README.md.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/machine_int.h"
#include "router/split.h"

struct rep_op machine_split_op(enum rep_split_entry entry, uint64_t id, uint64_t generation) {
  if (entry == REP_SPLIT_RELEASE)
    return (struct rep_op){MACHINE_GENERATION, generation};
  return (struct rep_op){MACHINE_SPLIT, 2 * id + (entry == REP_SPLIT_CANCEL)};
}

bool machine_split_entry(const struct rep_split *s, struct rep_op op, enum rep_split_entry *entry,
                         uint64_t *id) {
  *entry = op.client == MACHINE_GENERATION ? REP_SPLIT_RELEASE
           : op.count % 2                  ? REP_SPLIT_CANCEL
                                           : REP_SPLIT_FENCE;
  *id = *entry == REP_SPLIT_RELEASE ? s->id : op.count / 2;
  return op.client == MACHINE_SPLIT || op.client == MACHINE_GENERATION;
}

/* ---- Whose a row is ---- */

struct cut {
  struct doc_coll coll;
  struct doc_split split;
  struct doc_splits ranges;
  struct place_route route;
};

static void cut_free(struct cut *c) {
  doc_coll_free(&c->coll);
  doc_split_free(&c->split);
  doc_splits_free(&c->ranges);
}

/* What the documents of a split's entry say; cut_free in any case. */
static bool cut_read(const struct wire_message *m, struct cut *c, vecdb_error *e) {
  char why[DOC_TEXT_MAX] = "documents are missing";
  bool good = true;
  *c = (struct cut){0};
  for (uint32_t i = 0; good && i < m->n_documents; i++) {
    const struct meta_bytes text = {m->documents[i].text, m->documents[i].n};
    if (m->documents[i].kind == DOC_PATH_COLL && !c->coll.id)
      good = !doc_coll_read(text, &c->coll, why);
    else if (m->documents[i].kind == DOC_PATH_SPLIT && !c->split.n)
      good = !doc_split_read(text, &c->split, why);
    else if (m->documents[i].kind == DOC_PATH_SPLITS && !c->ranges.n)
      good = !doc_splits_read(text, &c->ranges, why);
  }
  bool ranges = c->coll.policy != DOC_RANGE || c->ranges.n;
  for (uint32_t i = 0; i < c->ranges.n; i++)
    ranges &= c->ranges.ranges[i].first_slot + c->ranges.ranges[i].n_slots <= c->split.n;
  c->route = (struct place_route){c->coll.policy, c->coll.slots, c->coll.window, &c->ranges};
  good = good && c->coll.id && c->split.n == c->coll.slots && ranges;
  if (!good)
    snprintf(e->message, sizeof e->message, "the split's documents: %s", why);
  return good;
}

bool machine_split_good(const uint8_t *body, size_t n, uint64_t id, char *why) {
  struct wire_mem mem = {0};
  struct wire_message m;
  struct cut c = {0};
  vecdb_error e = {.message = "it cannot be read"};
  bool good = wire_message_read(body, n, &mem, &m) == WIRE_OK && cut_read(&m, &c, &e) &&
              c.split.id == id;
  if (!good)
    snprintf(why, MACHINE_WHY, "%.400s", e.message);
  cut_free(&c);
  wire_mem_free(&mem);
  return good;
}

/* The next rows, behind the last of those before, which are freed; fields: what they are placed by.
 */
static int cut_page(vecdb_collection *rows, const struct cut *c, vecdb_rows **page,
                    vecdb_error *e) {
  const char *const fields[] = {c->coll.field};
  vecdb_query_params q = VECDB_QUERY_PARAMS_INIT;
  vecdb_rows *before = *page;
  vecdb_value last = {0};
  vecdb_string text;
  q.fields = fields;
  q.n_fields = c->coll.policy == DOC_HASH ? 0 : 1;
  if (before) {
    last = vecdb_rows_value(before, vecdb_rows_count(before) - 1, 0);
    text = (vecdb_string){last.as.data, last.length};
    q.after = last.type == VECDB_VARCHAR ? (vecdb_keys){NULL, &text, 1}
                                         : (vecdb_keys){&last.as.integer, NULL, 1};
  }
  *page = NULL;
  int code = vecdb_query(rows, &q, page, e);
  vecdb_rows_free(before);
  return code;
}

/* Those of the page that are the child's (`child`), or that are not, go. */
static int cut_rows(vecdb_collection *rows, const struct cut *c, bool child, const vecdb_rows *page,
                    vecdb_error *e) {
  size_t count = vecdb_rows_count(page), n = 0;
  int by = c->coll.policy == DOC_HASH ? 0 : vecdb_rows_find(page, c->coll.field);
  int64_t *integers = malloc(count * sizeof *integers);
  vecdb_string *strings = malloc(count * sizeof *strings);
  int code = integers && strings ? VECDB_OK : VECDB_ERR_NO_MEMORY;
  bool texts = false;
  for (size_t i = 0; !code && by >= 0 && i < count; i++) {
    const vecdb_value key = vecdb_rows_value(page, i, 0);
    const vecdb_value field = vecdb_rows_value(page, i, (size_t)by);
    if ((c->split.moved[router_split_slot(&c->route, &key, &field)] != 0) != child)
      continue;
    texts = key.type == VECDB_VARCHAR;
    if (texts)
      strings[n++] = (vecdb_string){key.as.data, key.length};
    else
      integers[n++] = key.as.integer;
  }
  const vecdb_keys keys = {texts ? NULL : integers, texts ? strings : NULL, n};
  if (!code && n)
    code = vecdb_delete(rows, &keys, NULL, e);
  free(integers);
  free(strings);
  return by < 0 ? VECDB_ERR_CORRUPT : code;
}

/* Doing it again does nothing more. */
static int cut_all(vecdb_collection *rows, const struct cut *c, bool child, vecdb_error *e) {
  vecdb_rows *page = NULL;
  size_t n = 0;
  int code = VECDB_OK;
  do {
    code = cut_page(rows, c, &page, e);
    n = code ? 0 : vecdb_rows_count(page);
    if (n)
      code = cut_rows(rows, c, child, page, e);
  } while (!code && n);
  vecdb_rows_free(page);
  return code;
}

/* ---- Entries ---- */

/* Before the first row goes it is noted that they do: what a crash leaves of them is not copied. */
static bool split_begins(struct machine_db *d, uint64_t id) {
  const struct machine_mark mark = {.client = {MACHINE_RELEASED, id, 0, 0}};
  if (d->released != id && !machine_db_mark(d, &mark))
    return false;
  d->released = id;
  return true;
}

int machine_db_split(struct machine_db *d, const struct wire_message *m, vecdb_error *e) {
  struct cut c;
  int code = VECDB_OK;
  if (m->write.flags != REP_SPLIT_RELEASE)
    return VECDB_OK;
  if (!cut_read(m, &c, e)) /* the primary has read them: this is not what it has written */
    code = VECDB_ERR_CORRUPT;
  else if (!split_begins(d, c.split.id))
    code = VECDB_ERR_IO;
  else
    code = cut_all(d->rows, &c, true, e);
  cut_free(&c);
  return code;
}

/* ---- The child's data ---- */

/* The position is that of the fence on every node, whatever entries without an effect came behind
   it; op ids are the shard's, but that it has been split. */
static bool adopt_clients(struct machine_db *d) {
  struct rep_pos fence;
  if (!machine_db_where(d, MACHINE_SPLIT, &fence))
    return false;
  const struct machine_mark marks[] = {
      {.pos = fence},
      {.pos = fence, .client = {MACHINE_GENERATION, 1, 1, fence.seq}}};
  return machine_db_mark(d, &marks[0]) && machine_db_mark(d, &marks[1]) &&
         machine_db_forget(d, MACHINE_SPLIT) && machine_db_forget(d, MACHINE_RELEASED);
}

bool machine_db_adopt(struct machine_db *d, const struct wire_message *m, vecdb_error *e) {
  struct cut c;
  snprintf(e->message, sizeof e->message, "op ids cannot be written");
  bool good = cut_read(m, &c, e) && !cut_all(d->rows, &c, false, e) && adopt_clients(d) &&
              machine_db_flush(d);
  cut_free(&c);
  return good;
}

static struct machine *fork_machine(struct work_job *job) {
  return (struct machine *)((char *)job - offsetof(struct machine, fork.job));
}

static int fork_progress(void *user, const char *phase, uint64_t done, uint64_t total) {
  (void)phase, (void)done, (void)total;
  ((struct machine *)user)->fork.captured = true;
  return 0;
}

/* Whether what is in the folder is of this split: its number may have been another one's before. */
static bool fork_marked(const struct machine *m) {
  const struct machine_fork *f = &m->fork;
  char path[MACHINE_PATH], text[sizeof f->mark] = "";
  vecdb_file *file;
  uint64_t bytes = 0;
  if (!files_join(path, sizeof path, f->folder, "forked") ||
      m->vfs->open(m->vfs, path, VECDB_OPEN_READ, &file))
    return false;
  bool good = !m->vfs->length(file, &bytes) && bytes == strlen(f->mark) &&
              !m->vfs->read(file, text, (size_t)bytes, 0) && strcmp(text, f->mark) == 0;
  m->vfs->close(file);
  return good;
}

/* An earlier life may have made all of it: only then `current` is there, which that life may not
   have made durable. */
static bool fork_there(const struct machine *m, bool *durable) {
  char path[MACHINE_PATH];
  vecdb_file *file;
  *durable = false;
  if (!fork_marked(m) || !files_join(path, sizeof path, m->fork.folder, "current") ||
      m->vfs->open(m->vfs, path, VECDB_OPEN_WRITE, &file))
    return false;
  *durable = !m->vfs->sync(file) && !m->vfs->sync_dir(m->vfs, m->fork.folder);
  m->vfs->close(file);
  return true;
}

static bool fork_copy(struct machine *m, const char *path) {
  struct machine_fork *f = &m->fork;
  vecdb_control control = VECDB_CONTROL_INIT;
  vecdb_error e = {0};
  control.progress = fork_progress;
  control.user = m;
  char current[MACHINE_PATH];
  int error = files_make_dir(m->vfs, f->folder);
  if (files_join(current, sizeof current, f->folder, "current"))
    m->vfs->remove(m->vfs, current); /* gone before its data and another mark are: see there */
  error = error ? error : m->vfs->sync_dir(m->vfs, f->folder);
  error = error ? error : files_replace(m->vfs, f->folder, "forked", f->mark, strlen(f->mark));
  files_clear(m->vfs, path);
  if (error)
    snprintf(e.message, sizeof e.message, "its folder cannot be made: %s", strerror(error));
  bool good = !error && !vecdb_backup(f->data->db.db, path, &control, &e);
  if (!good)
    snprintf(f->why, sizeof f->why, "%.400s", e.message);
  return good;
}

static bool fork_cut(struct machine *m, const char *path) {
  struct machine_fork *f = &m->fork;
  struct machine_db child;
  struct wire_mem mem = {0};
  struct wire_message message;
  vecdb_error e = {0};
  bool open = machine_db_open(&child, path, &m->o, false, f->why);
  bool good = open && wire_message_read(f->body, f->n, &mem, &message) == WIRE_OK &&
              machine_db_adopt(&child, &message, &e);
  if (open && !good)
    snprintf(f->why, sizeof f->why, "%.400s", e.message);
  machine_db_close(&child);
  wire_mem_free(&mem);
  return good;
}

static void fork_run(struct work_job *job) {
  struct machine *m = fork_machine(job);
  struct machine_fork *f = &m->fork;
  char path[MACHINE_PATH];
  *f->why = 0;
  bool good = files_join(path, sizeof path, f->folder, "data-1") && f->data->db.released != f->id;
  bool durable = false;
  if (good && fork_there(m, &durable))
    good = durable;
  else if (good)
    good = fork_copy(m, path) && fork_cut(m, path) &&
           !files_replace(m->vfs, f->folder, "current", "1\n", 2);
  f->captured = true;
  if (good)
    f->made = f->id;
  else if (!*f->why)
    snprintf(f->why, sizeof f->why, "it cannot be written, or its rows have begun to go");
}

static void fork_done(struct work_job *job) {
  struct machine *m = fork_machine(job);
  machine_drop(m->fork.data);
  m->fork.data = NULL;
  m->fork.busy = false;
  machine_begin(m);
}

/* The data has to be that of the fence: everything up to it is applied, and nothing that would
   change it is begun before the copy has its moment. */
void machine_fork_begin(struct machine *m) {
  struct machine_fork *f = &m->fork;
  if (!f->wanted || f->busy || m->busy || m->first || m->ship.busy || m->stopped || m->failed)
    return;
  f->wanted = false;
  if (!m->split.fenced || m->split.id != f->id)
    return;
  f->data = machine_hold(m);
  f->captured = false;
  f->busy = true;
  f->job = (struct work_job){NULL, fork_run, fork_done};
  work_add(m->o.work, &f->job);
}

bool machine_fork_lets(const struct machine *m) { return !m->fork.busy || m->fork.captured; }

void machine_fork(struct machine *m, const char *folder, const uint8_t *body, size_t n,
                  const char *mark) {
  struct machine_fork *f = &m->fork;
  if (f->busy || f->wanted || !m->split.fenced || f->made == m->split.id ||
      strlen(folder) >= sizeof f->folder || strlen(mark) >= sizeof f->mark)
    return;
  uint8_t *copy = aligned_alloc(WIRE_ALIGN, (n + WIRE_ALIGN) / WIRE_ALIGN * (size_t)WIRE_ALIGN);
  if (!copy)
    return;
  memcpy(copy, body, n);
  free(f->body);
  f->body = copy;
  f->n = (uint32_t)n;
  f->id = m->split.id;
  snprintf(f->mark, sizeof f->mark, "%s", mark);
  snprintf(f->folder, sizeof f->folder, "%s", folder);
  f->wanted = true;
  machine_begin(m);
}

bool machine_split_torn(const struct machine *m) {
  return m->split.fenced && m->data->db.released == m->split.id;
}

bool machine_forked(const struct machine *m, uint64_t id) {
  return !m->fork.busy && m->fork.made == id && id;
}

bool machine_forks(const struct machine *m) { return m->fork.busy || m->fork.wanted; }

const char *machine_fork_why(const struct machine *m) {
  return m->fork.busy || m->fork.id != m->split.id ? "" : m->fork.why;
}
