/* machine_db.c - the database of a shard; see machine_db.h. */
#include "node/machine_db.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/shape.h"

static const char *const db_clients_fields[] = {"client", "max", "bits", "seq", "epoch", "chain"};

/* Beside the clients, in `max` the version that the first row of a push had before, in `bits` the
   position of the push or insert. */
static const uint64_t db_intent = UINT64_MAX;

enum { DB_FIELDS = 6 };

static bool db_say(char *why, const char *what, const vecdb_error *e) {
  snprintf(why, MACHINE_WHY, "%s: %s", what, e->message);
  return false;
}

/* ---- Opening ---- */

int machine_db_collection(vecdb *db, const char *name, const vecdb_schema *schema,
                          vecdb_collection **out, vecdb_error *e) {
  int code = vecdb_collection_get(db, name, out, e);
  return code == VECDB_ERR_NOT_FOUND ? vecdb_collection_create(db, name, schema, out, e) : code;
}

/* One row a client, and one of client 0 for entries without an op id. A collection has a vector. */
static int db_clients(struct machine_db *d, vecdb_error *e) {
  vecdb_field fields[DB_FIELDS + 1] = {{0}};
  vecdb_schema schema = VECDB_SCHEMA_INIT;
  for (int i = 0; i < DB_FIELDS; i++) {
    fields[i].name = db_clients_fields[i];
    fields[i].type = VECDB_INT64;
    fields[i].scalar_index = VECDB_SCALAR_INDEX_NONE;
  }
  fields[0].flags = VECDB_PRIMARY_KEY;
  fields[DB_FIELDS].name = "none";
  fields[DB_FIELDS].type = VECDB_BINARY_VECTOR;
  fields[DB_FIELDS].dim = 8;
  schema.fields = fields;
  schema.n_fields = DB_FIELDS + 1;
  return machine_db_collection(d->db, "clients", &schema, &d->clients, e);
}

bool machine_db_open(struct machine_db *d, const char *path, const struct machine_options *of,
                     bool whole, char *why) {
  vecdb_options o = VECDB_OPTIONS_INIT;
  vecdb_error e = {0};
  *d = (struct machine_db){0};
  o.durability = VECDB_DURABLE_OFF; /* the replica's log has every entry that is not flushed */
  o.threads = 1;
  o.vfs = of->vfs;
  o.verify = whole ? VECDB_VERIFY_FULL : o.verify;
  if (vecdb_open(path, &o, &d->db, &e))
    return db_say(why, "the shard's database", &e);
  if (db_clients(d, &e))
    return db_say(why, "the shard's op ids", &e);
  if (machine_refused_open(d, &e))
    return db_say(why, "the shard's refusals", &e);
  if (machine_db_collection(d->db, "rows", of->schema, &d->rows, &e))
    return db_say(why, "the shard's collection", &e);
  return true;
}

void machine_db_close(struct machine_db *d) {
  vecdb_collection_release(d->rows);
  vecdb_collection_release(d->clients);
  vecdb_collection_release(d->refused);
  (void)vecdb_close(d->db, NULL); /* what was not synced is in the replica's log */
  *d = (struct machine_db){0};
}

static int db_client_order(const void *a, const void *b) {
  uint64_t x = ((const struct rep_client *)a)->client, y = ((const struct rep_client *)b)->client;
  return x < y ? -1 : x > y;
}

static uint64_t db_number(const vecdb_rows *rows, size_t row, size_t column) {
  return (uint64_t)vecdb_rows_value(rows, row, column).as.integer;
}

/* A crash between a client's mark and the removal of the one that made room for it leaves one too
   many: the same is removed now. */
static bool db_make_room(struct machine_db *d, struct rep_client *clients, uint32_t *n) {
  struct rep_dedup all = {clients, *n, MACHINE_CLIENTS};
  while (all.n > MACHINE_CLIENTS) {
    uint32_t oldest = rep_dedup_oldest(&all);
    if (!machine_db_forget(d, clients[oldest].client))
      return false;
    all.n--;
    memmove(clients + oldest, clients + oldest + 1, (all.n - oldest) * sizeof *clients);
  }
  *n = all.n;
  return true;
}

bool machine_db_load(struct machine_db *d, struct rep_pos *pos, struct rep_client *clients,
                     uint32_t *n, char *why) {
  vecdb_query_params q = VECDB_QUERY_PARAMS_INIT;
  vecdb_rows *rows = NULL;
  vecdb_error e = {0};
  q.fields = db_clients_fields + 1;
  q.n_fields = DB_FIELDS - 1;
  *n = 0;
  *pos = (struct rep_pos){0};
  if (vecdb_query(d->clients, &q, &rows, &e))
    return db_say(why, "the shard's op ids", &e);
  size_t count = vecdb_rows_count(rows);
  bool fits = count <= MACHINE_CLIENTS + 4;
  for (size_t i = 0; fits && i < count; i++) {
    struct rep_client c = {db_number(rows, i, 0), db_number(rows, i, 1), db_number(rows, i, 2),
                           db_number(rows, i, 3)};
    if (c.seq > pos->seq)
      *pos = (struct rep_pos){c.seq, db_number(rows, i, 4), db_number(rows, i, 5)};
    if (c.client == db_intent)
      d->intent = (struct machine_intent){c.bits, c.max};
    else if (c.client == MACHINE_RELEASED)
      d->released = c.max;
    else if (c.client && (fits = *n < MACHINE_CLIENTS + 2))
      clients[(*n)++] = c;
  }
  vecdb_rows_free(rows);
  qsort(clients, *n, sizeof *clients, db_client_order);
  if (fits && !db_make_room(d, clients, n)) {
    snprintf(why, MACHINE_WHY, "an op id that made room cannot be removed");
    return false;
  }
  if (!fits)
    snprintf(why, MACHINE_WHY, "the shard's database has %zu rows of op ids", count);
  return fits;
}

/* ---- Writing ---- */

/* What another replica, or this one at another time, would not have met. */
static bool db_not_its_fault(int code) {
  return code >= VECDB_ERR_BUSY && code != VECDB_ERR_VERSION;
}

/* ---- Intents ---- */

/* The keys of a message's rows, which are of type INT64 or VARCHAR and not null; they borrow. */
static int db_keys(const struct wire_columns *rows, uint32_t column, struct wire_mem *mem,
                   vecdb_keys *out) {
  const struct wire_column *key = &rows->columns[column];
  vecdb_string *strings = NULL;
  if (key->type == VECDB_VARCHAR && !(strings = wire_mem_get(mem, rows->n_rows, sizeof *strings)))
    return VECDB_ERR_NO_MEMORY;
  for (uint32_t i = 0; strings && i < rows->n_rows; i++) {
    vecdb_value v = wire_columns_value(rows, i, column);
    strings[i] = (vecdb_string){v.as.data, v.length};
  }
  *out = (vecdb_keys){strings ? NULL : key->data, strings, rows->n_rows};
  return VECDB_OK;
}

/* Before the write itself: whoever finds this knows that it was decided on what was there then. */
static int db_intend(struct machine_db *d, uint64_t seq, uint64_t version, vecdb_error *e) {
  struct machine_mark mark = {.client = {db_intent, version, seq, 0}};
  d->intent = (struct machine_intent){seq, version};
  if (machine_db_mark(d, &mark))
    return VECDB_OK;
  snprintf(e->message, sizeof e->message, "the write could not be noted");
  return VECDB_ERR_IO;
}

/* ---- Rows ---- */

/* Whether one of the keys is there. False also for a batch without keys: it is refused anyhow. */
static int db_there(struct machine_db *d, const struct wire_columns *columns, struct wire_mem *mem,
                    bool *there, vecdb_error *e) {
  const vecdb_field *key = wire_schema_key(vecdb_collection_schema(d->rows));
  static const char *const none[] = {NULL};
  vecdb_rows *rows = NULL;
  vecdb_keys keys;
  uint32_t at = 0;
  *there = false;
  while (at < columns->n_columns && strcmp(columns->columns[at].name, key->name) != 0)
    at++;
  const struct wire_column *column = at < columns->n_columns ? &columns->columns[at] : NULL;
  if (!column || !column->data || column->valid || column->type != key->type)
    return VECDB_OK;
  int code = db_keys(columns, at, mem, &keys);
  code = code ? code : vecdb_get(d->rows, &keys, none, 0, NULL, &rows, e);
  *there = !code && vecdb_rows_count(rows);
  vecdb_rows_free(rows);
  return code;
}

/* An insert that a crash has left done, and without its mark, meets its own rows: that is told from
   one that met others, and was refused, by the intent. */
static int db_insert(struct machine_db *d, const struct wire_message *m, const vecdb_batch *batch,
                     struct wire_mem *mem, const struct machine_outcome *out, vecdb_error *e) {
  bool there = false, intended = d->intent.seq == out->seq;
  int code = intended ? VECDB_OK : db_there(d, &m->rows, mem, &there, e);
  if (!code && !intended && !there)
    code = db_intend(d, out->seq, 0, e);
  code = code ? code : vecdb_insert(d->rows, batch, NULL, e);
  return intended && code == VECDB_ERR_EXISTS ? VECDB_OK : code;
}

static int db_batch(struct machine_db *d, const struct wire_message *m, struct wire_mem *mem,
                    struct machine_outcome *out) {
  vecdb_batch batch;
  vecdb_error *e = &out->error;
  int code = wire_batch_of_columns(vecdb_collection_schema(d->rows), &m->rows, mem, &batch, e);
  if (code)
    return code;
  out->number = batch.n_rows;
  if (m->write.kind == WIRE_INSERT)
    return db_insert(d, m, &batch, mem, out, e);
  if (m->write.kind == WIRE_UPSERT)
    return vecdb_upsert(d->rows, &batch, NULL, e);
  out->found = calloc(batch.n_rows, 1);
  return out->found ? vecdb_update(d->rows, &batch, m->write.flags, out->found, e)
                    : VECDB_ERR_NO_MEMORY;
}

/* ---- Pushes ---- */

/* The keys of a push, and its vectors as they lie. */
static int db_push_params(const struct wire_message *m, struct wire_mem *mem, vecdb_keys *keys,
                          vecdb_push_params *p, vecdb_error *e) {
  const struct wire_column *key = &m->rows.columns[0], *vectors = &m->rows.columns[1];
  if (!key->data || !vectors->data || vectors->type != VECDB_FLOAT_VECTOR || key->valid ||
      vectors->valid || (key->type != VECDB_VARCHAR && key->type != VECDB_INT64)) {
    snprintf(e->message, sizeof e->message, "a push has keys and float vectors");
    return VECDB_ERR_TYPE;
  }
  int code = db_keys(&m->rows, 0, mem, keys);
  if (code)
    return code;
  *p = (vecdb_push_params)VECDB_PUSH_PARAMS_INIT;
  p->kind = (int32_t)(m->write.flags / WIRE_PUSH_KIND);
  p->flags = m->write.flags % WIRE_PUSH_KIND;
  p->dim = vectors->dim;
  p->field = vectors->name;
  p->keys = keys;
  p->values = vectors->data;
  p->expected = wire_push_expected(m);
  return VECDB_OK;
}

static int db_push(struct machine_db *d, const struct wire_message *m, struct wire_mem *mem,
                   struct machine_outcome *out) {
  vecdb_push_params p;
  vecdb_keys keys, first;
  uint64_t version = 0;
  int code = db_push_params(m, mem, &keys, &p, &out->error);
  if (code)
    return code;
  first = (vecdb_keys){keys.integers, keys.strings, 1};
  code = vecdb_pull(d->rows, p.field, &first, NULL, 0, &version, &out->error);
  if (code)
    return code;
  out->number = keys.n;
  if (d->intent.seq == out->seq)
    return d->intent.version == version ? vecdb_push(d->rows, &p, NULL, &out->error) : VECDB_OK;
  code = db_intend(d, out->seq, version, &out->error);
  return code ? code : vecdb_push(d->rows, &p, NULL, &out->error);
}

/* What is durable has everything before it: an entry that failed for the want of an optimizer must
   not find one when it is applied again. */
static int db_optimize(struct machine_db *d, const struct wire_message *m, vecdb_error *e) {
  const struct wire_optimizer *o = &m->optimizer;
  if (!machine_db_flush(d))
    return VECDB_ERR_IO;
  return vecdb_optimizer_set(d->rows, o->field, o->none ? NULL : &o->optimizer, NULL, e);
}

/* Those that are not there yet: applied again, it does nothing more. */
static int db_fields_add(struct machine_db *d, const struct wire_message *m, struct wire_mem *mem,
                         vecdb_error *e) {
  char why[WIRE_WHY];
  const vecdb_schema *own = vecdb_collection_schema(d->rows);
  vecdb_schema wanted, add = VECDB_SCHEMA_INIT;
  int code = wire_schema_read(m->name.text, strlen(m->name.text), mem, &wanted, why);
  vecdb_field *fields = code ? NULL : wire_mem_get(mem, wanted.n_fields, sizeof *fields);
  if (!code && !fields)
    code = VECDB_ERR_NO_MEMORY;
  for (uint32_t i = 0; !code && i < wanted.n_fields; i++)
    if (!wire_schema_field(own, wanted.fields[i].name))
      fields[add.n_fields++] = wanted.fields[i];
  add.fields = fields;
  if (code || !add.n_fields)
    return code;
  /* It is durable at once, as an optimizer is. */
  return machine_db_flush(d) ? vecdb_fields_add(d->rows, &add, NULL, e) : VECDB_ERR_IO;
}

/* One change of the schema, which likewise is durable at once. */
static int db_reshape(struct machine_db *d, const struct wire_message *m, struct wire_mem *mem,
                      vecdb_error *e) {
  char why[WIRE_WHY] = "";
  struct wire_reshape reshape;
  int code = wire_reshape_read(m->name.text, strlen(m->name.text), mem, &reshape, why);
  if (code) {
    snprintf(e->message, sizeof e->message, "%s", why);
    return code;
  }
  return machine_db_flush(d) ? shape_rows_again(d->rows, &reshape, e) : VECDB_ERR_IO;
}

bool machine_db_write(struct machine_db *d, const uint8_t *body, uint32_t n,
                      struct machine_outcome *out) {
  struct wire_mem mem = {0};
  struct wire_message m;
  enum wire_status status = wire_message_read(body, n, &mem, &m);
  bool check = !status && m.kind == WIRE_WRITE && m.write.kind == WIRE_CHECK;
  out->number = 0;
  out->error = (vecdb_error){.row = -1, .position = -1};
  if (status == WIRE_NO_MEMORY)
    out->code = VECDB_ERR_NO_MEMORY;
  else if (status || m.kind != WIRE_WRITE)
    out->code = WIRE_PROTOCOL;
  else if (check)
    out->code = machine_db_check(d, out);
  else if (m.write.kind == WIRE_PUSH)
    out->code = db_push(d, &m, &mem, out);
  else if (m.write.kind == WIRE_OPTIMIZE)
    out->code = db_optimize(d, &m, &out->error);
  else if (m.write.kind == WIRE_FIELDS_ADD)
    out->code = db_fields_add(d, &m, &mem, &out->error);
  else if (m.write.kind == WIRE_RESHAPED)
    out->code = db_reshape(d, &m, &mem, &out->error);
  else if (m.write.kind == WIRE_SPLIT)
    out->code = machine_db_split(d, &m, &out->error);
  else if (m.write.kind == WIRE_DELETE)
    out->code = vecdb_delete(d->rows, &m.keys, &out->number, &out->error);
  else if (m.write.kind == WIRE_DELETE_WHERE)
    out->code = vecdb_delete_where(d->rows, &m.filter, &out->number, NULL, &out->error);
  else
    out->code = db_batch(d, &m, &mem, out);
  wire_mem_free(&mem);
  return check || out->code == WIRE_PROTOCOL || !db_not_its_fault(out->code);
}

bool machine_db_mark(struct machine_db *d, const struct machine_mark *mark) {
  const struct rep_client *c = &mark->client;
  const int64_t values[DB_FIELDS] = {(int64_t)c->client,       (int64_t)c->max,
                                     (int64_t)c->bits,         (int64_t)mark->pos.seq,
                                     (int64_t)mark->pos.epoch, (int64_t)mark->pos.chain};
  const uint8_t none = 0;
  vecdb_column columns[DB_FIELDS + 1] = {{0}};
  vecdb_batch batch = VECDB_BATCH_INIT;
  for (int i = 0; i < DB_FIELDS; i++)
    columns[i] = (vecdb_column){.field = db_clients_fields[i], .data = &values[i]};
  columns[DB_FIELDS] = (vecdb_column){.field = "none", .data = &none};
  batch.columns = columns;
  batch.n_columns = DB_FIELDS + 1;
  batch.n_rows = 1;
  if (vecdb_upsert(d->clients, &batch, NULL, NULL))
    return false;
  return !mark->evicts || machine_db_forget(d, mark->evicts);
}

bool machine_db_where(struct machine_db *d, uint64_t client, struct rep_pos *pos) {
  const int64_t key = (int64_t)client;
  const vecdb_keys keys = {&key, NULL, 1};
  uint8_t found = 0;
  vecdb_rows *rows = NULL;
  if (vecdb_get(d->clients, &keys, db_clients_fields + 1, DB_FIELDS - 1, &found, &rows, NULL))
    return false;
  if (found)
    *pos = (struct rep_pos){db_number(rows, 0, 3), db_number(rows, 0, 4), db_number(rows, 0, 5)};
  vecdb_rows_free(rows);
  return found;
}

bool machine_db_forget(struct machine_db *d, uint64_t client) {
  const int64_t key = (int64_t)client;
  const vecdb_keys keys = {&key, NULL, 1};
  return !vecdb_delete(d->clients, &keys, NULL, NULL);
}

bool machine_db_flush(struct machine_db *d) { return !vecdb_flush_all(d->db, NULL, NULL); }
