/* workload.c - random operations and what must come of them; see workload.h. */
#include "tlib/workload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const workload_names[WORKLOAD_OPS] = {
    "create", "drop",         "insert", "upsert",    "update",  "delete",
    "delete_where", "flush",  "flush_all", "compact", "index_create", "index_drop",
    "step",   "reopen",       "backup", "alter",     "expire",  "tick",
    "push",   "rekey"};
static const uint8_t workload_weights[WORKLOAD_OPS] = {5, 2, 16, 28, 10, 14, 6, 7,
                                                       2, 4, 4,  2,  10, 3, 1, 5, 1, 4, 5};

const char *workload_op_name(enum workload_op op) { return workload_names[op]; }

/* ---- life ------------------------------------------------------------------------------------ */

static void workload_push(struct workload *w) {
  if (w->n_history == w->capacity) {
    uint32_t capacity = w->capacity ? w->capacity * 2 : 16;
    struct model *grown = realloc(w->history, capacity * sizeof *grown);
    if (!grown)
      abort();
    w->history = grown;
    for (uint32_t i = w->capacity; i < capacity; i++)
      model_init(&w->history[i], w->config.n_keys);
    w->capacity = capacity;
  }
  model_copy(&w->history[w->n_history++], &w->now);
}

/* What came before the durable state will not be asked for again. */
static void workload_trim(struct workload *w) {
  if (w->durable < 64)
    return;
  for (uint32_t i = w->durable; i < w->n_history; i++)
    model_copy(&w->history[i - w->durable], &w->history[i]);
  w->n_history -= w->durable;
  w->shape = w->shape > w->durable ? w->shape - w->durable : 0;
  for (uint32_t c = 0; c < MODEL_COLLS; c++)
    w->changed[c] = w->changed[c] > w->durable ? w->changed[c] - w->durable : 0;
  w->durable = 0;
}

void workload_init(struct workload *w, const struct workload_config *config) {
  memset(w, 0, sizeof *w);
  w->config = *config;
  w->rng.state = config->seed;
  model_init(&w->now, config->n_keys);
  model_init(&w->next, config->n_keys);
  model_init(&w->backup, config->n_keys);
  w->stamp = 1;
  workload_push(w);
}

void workload_fini(struct workload *w) {
  workload_abandon(w);
  model_fini(&w->now);
  model_fini(&w->next);
  model_fini(&w->backup);
  for (uint32_t i = 0; i < w->capacity; i++)
    model_fini(&w->history[i]);
  free(w->history);
  memset(w, 0, sizeof *w);
}

void workload_fork(struct workload *out, const struct workload *w, const vecdb_vfs *vfs) {
  workload_init(out, &w->config);
  out->config.vfs = vfs;
  out->rng = w->rng;
  out->in_flight = w->in_flight;
  out->opened = w->opened;
  out->stamp = w->stamp;
  out->born = w->born;
  out->clock_ns = w->clock_ns;
  out->ticks = w->ticks;
  out->n_backups = w->n_backups;
  out->backup_number = w->backup_number;
  out->op = w->op;
  model_copy(&out->backup, &w->backup);
  out->n_history = 0;
  for (uint32_t i = w->durable; i < w->n_history; i++) {
    model_copy(&out->now, &w->history[i]);
    workload_push(out);
  }
  out->shape = w->shape > w->durable ? w->shape - w->durable : 0;
  for (uint32_t c = 0; c < MODEL_COLLS; c++)
    out->changed[c] = w->changed[c] > w->durable ? w->changed[c] - w->durable : 0;
  model_copy(&out->now, &w->now);
  model_copy(&out->next, &w->next);
}

static uint64_t workload_clock(void *user) {
  struct workload *w = user;
  return w->clock_ns += 50000;
}

static uint64_t workload_wall(void *user) {
  const struct workload *w = user;
  return w->ticks * MODEL_TICK_MS * 1000000;
}

static int workload_key(void *user, const char *key_id, uint8_t key[VECDB_KEY_BYTES]) {
  (void)user;
  memset(key, key_id[0], VECDB_KEY_BYTES);
  return strcmp(key_id, "workload") != 0 && strcmp(key_id, "second") != 0;
}

bool workload_encrypted(void) { return getenv("VDB_ENCRYPT") != NULL; }

vecdb_options workload_options(struct workload *w) {
  static const vecdb_encryption encryption = {
      .size = sizeof encryption, .key_id = "workload", .get_key = workload_key};
  static vecdb_clock clock;
  vecdb_options o = VECDB_OPTIONS_INIT;
  o.flags = w->config.flags;
  o.durability = w->config.durability;
  o.interval_ms = 1;
  o.seal_rows = w->config.seal_rows;
  o.index_rows = w->config.index_rows;
  o.wal_bytes = w->config.wal_bytes;
  o.threads = 1;
  o.vfs = w->config.vfs;
  o.allocator = w->config.allocator;
  o.vector_cache_bytes = 1 << 20;
  if (workload_encrypted())
    o.encryption = &encryption;
  if (w->config.flags & VECDB_HOST_DRIVEN) {
    clock.monotonic_ns = workload_clock;
    clock.wall_ns = workload_wall;
    clock.user = w;
    o.clock = &clock;
  }
  return o;
}

int workload_open(struct workload *w) {
  vecdb_options o = workload_options(w);
  if (w->opened)
    o.flags |= VECDB_MUST_EXIST;
  int rc = vecdb_open(w->config.dir, &o, &w->db, &w->err);
  w->opened = w->opened || rc == VECDB_OK;
  return rc;
}

static void workload_made_durable(struct workload *w, uint32_t index) {
  if (index > w->durable)
    w->durable = index;
  if (w->durable > w->shape)
    w->shape = w->durable;
  workload_trim(w);
}

int workload_close(struct workload *w) {
  int rc = vecdb_close(w->db, &w->err);
  w->db = NULL;
  if (!rc)
    workload_made_durable(w, w->n_history - 1);
  return rc;
}

void workload_abandon(struct workload *w) {
  vecdb_close(w->db, NULL);
  w->db = NULL;
}

void workload_backup_path(const struct workload *w, uint32_t n, char out[64]) {
  snprintf(out, 64, "%.40s-backup%u", w->config.dir, n);
}

/* ---- operations ------------------------------------------------------------------------------ */

/* The write in flight has been acknowledged. */
static void workload_ack(struct workload *w, uint32_t coll) {
  model_expire(&w->next, w->ticks);
  bool changed = !model_same_coll(&w->now, &w->next, coll); /* else nothing may have been logged */
  model_copy(&w->now, &w->next);
  w->in_flight = false;
  workload_push(w);
  if (changed)
    w->changed[coll] = w->n_history - 1;
  if (w->config.durability == VECDB_DURABLE_COMMIT)
    workload_made_durable(w, w->n_history - 1);
}

/* A collection has come or gone; that says nothing of rows. */
static void workload_reshaped(struct workload *w, uint32_t coll) {
  model_copy(&w->now, &w->next);
  w->in_flight = false;
  workload_push(w);
  w->changed[coll] = 0;
  w->shape = w->n_history - 1;
}

static uint32_t workload_existing(struct workload *w, bool exists) {
  uint32_t found[MODEL_COLLS], n = 0;
  for (uint32_t c = 0; c < MODEL_COLLS; c++)
    if (w->now.colls[c].exists == exists)
      found[n++] = c;
  return n ? found[vdb_rng_below(&w->rng, n)] : MODEL_COLLS;
}

static int workload_create(struct workload *w) {
  uint32_t c = workload_existing(w, false);
  if (c == MODEL_COLLS)
    return VECDB_OK;
  struct model_schema schema;
  struct model_coll *coll = &w->next.colls[c];
  coll->exists = true;
  coll->variant = vdb_rng_below(&w->rng, MODEL_VARIANTS);
  coll->extra = coll->extras = 0;
  coll->renamed = coll->expires = false;
  coll->born = ++w->born;
  memset(coll->stamps, 0, w->config.n_keys * sizeof *coll->stamps);
  w->in_flight = true;
  model_schema_make(&schema, coll->variant);
  int rc = vecdb_collection_create(w->db, model_name(c), &schema.schema, NULL, &w->err);
  if (!rc)
    workload_reshaped(w, c);
  return rc;
}

static int workload_drop(struct workload *w, uint32_t c) {
  w->next.colls[c].exists = false;
  w->next.colls[c].born = ++w->born;
  memset(w->next.colls[c].stamps, 0, w->config.n_keys * sizeof(uint64_t));
  w->in_flight = true;
  int rc = vecdb_collection_drop(w->db, model_name(c), &w->err);
  if (!rc)
    workload_reshaped(w, c);
  return rc;
}

static int workload_write(struct workload *w, uint32_t c, vecdb_collection *coll, bool replace) {
  struct model_batch *batch = malloc(sizeof *batch);
  uint32_t keys[MODEL_BATCH], n = 1 + vdb_rng_below(&w->rng, w->config.batch_rows);
  uint64_t stamps[MODEL_BATCH], *rows = w->next.colls[c].stamps;
  bool clash = false, blind = vdb_rng_below(&w->rng, 6) == 0; /* inserts that look at no key */
  uint32_t taken = 0;
  for (uint32_t i = 0; i < n; i++) {
    uint32_t k = vdb_rng_below(&w->rng, w->config.n_keys);
    if (!replace && !blind && w->now.colls[c].stamps[k])
      continue;
    clash = clash || (!replace && w->now.colls[c].stamps[k]);
    keys[taken] = k;
    stamps[taken++] = rows[k] = model_stamp(&w->now.colls[c], ++w->stamp);
  }
  int rc = VECDB_OK;
  if (taken > 0) {
    int64_t ids[MODEL_BATCH];
    model_batch_make(batch, &w->now.colls[c], keys, stamps, taken);
    int64_t *want = model_text_keys(w->now.colls[c].variant) ? NULL : ids;
    w->in_flight = true;
    rc = (replace ? vecdb_upsert : vecdb_insert)(coll, &batch->batch, want, &w->err);
    if (clash && rc == VECDB_OK)
      rc = model_differs("an insert of a present key succeeded") ? 0 : WORKLOAD_WRONG;
    if (clash && rc == VECDB_ERR_EXISTS) {
      w->in_flight = false;
      rc = VECDB_OK;
    } else if (rc == VECDB_OK) {
      workload_ack(w, c);
    }
    if (rc == VECDB_OK && want && !clash && memcmp(ids, batch->ids, taken * sizeof *ids) != 0)
      rc = model_differs("other ids came back") ? 0 : WORKLOAD_WRONG;
  }
  free(batch);
  return rc;
}

/* Says of each key whether it was there, and in what row of the batch it is the last. */
static bool workload_found(const struct workload *w, uint32_t c, const uint32_t *keys, uint32_t n,
                           const uint8_t *found) {
  for (uint32_t i = 0; i < n; i++) {
    bool last = true;
    for (uint32_t j = i + 1; j < n; j++)
      last = last && keys[j] != keys[i];
    if (found[i] != (last && w->now.colls[c].stamps[keys[i]] != 0))
      return model_differs("an update says of key %u that it was%s there", keys[i],
                           found[i] ? "" : " not");
  }
  return true;
}

static int workload_update(struct workload *w, uint32_t c, vecdb_collection *coll) {
  struct model_batch *batch = malloc(sizeof *batch);
  uint32_t keys[MODEL_BATCH], n = 1 + vdb_rng_below(&w->rng, w->config.batch_rows);
  uint64_t stamps[MODEL_BATCH], *rows = w->next.colls[c].stamps;
  uint8_t found[MODEL_BATCH];
  for (uint32_t i = 0; i < n; i++) {
    keys[i] = vdb_rng_below(&w->rng, w->config.n_keys);
    uint64_t by = ++w->stamp;
    stamps[i] = model_updated(w->now.colls[c].stamps[keys[i]], by);
    if (rows[keys[i]])
      rows[keys[i]] = stamps[i];
  }
  model_batch_make(batch, &w->now.colls[c], keys, stamps, n);
  model_batch_light(batch);
  w->in_flight = true;
  int rc = vecdb_update(coll, &batch->batch, 0, found, &w->err);
  free(batch);
  if (!rc && !workload_found(w, c, keys, n, found))
    return WORKLOAD_WRONG;
  if (!rc)
    workload_ack(w, c);
  return rc;
}

/* The schema has changed, and on the way all rows of the collection were flushed. */
static void workload_altered(struct workload *w, uint32_t c) {
  workload_made_durable(w, w->changed[c]);
  model_expire(&w->next, w->ticks);
  workload_reshaped(w, c);
}

/* The first time lets the vectors take pushes. */
static int workload_learn(struct workload *w, uint32_t c, vecdb_collection *coll) {
  vecdb_optimizer rule = VECDB_OPTIMIZER_INIT;
  rule.kind = (int32_t)vdb_rng_below(&w->rng, 3);
  rule.window = rule.kind == VECDB_OPTIMIZER_AVERAGE ? 2 : 0;
  w->in_flight = true;
  if (vecdb_optimizer_get(coll, "v", &rule, &w->err)) {
    int rc = vecdb_optimizer_set(coll, "v", &rule, NULL, &w->err);
    if (!rc)
      workload_altered(w, c);
    return rc;
  }
  struct model_batch *batch = malloc(sizeof *batch);
  uint32_t keys[MODEL_BATCH], n = 0;
  static const float zeros[MODEL_BATCH][MODEL_DIM];
  for (uint32_t i = 0; i < w->config.batch_rows; i++) {
    uint32_t k = vdb_rng_below(&w->rng, w->config.n_keys);
    if (w->now.colls[c].stamps[k])
      keys[n++] = k;
  }
  model_batch_make(batch, &w->now.colls[c], keys, NULL, n);
  vecdb_push_params params = VECDB_PUSH_PARAMS_INIT;
  params.field = "v";
  params.keys = &batch->keys;
  params.values = zeros[0];
  int rc = n ? vecdb_push(coll, &params, NULL, &w->err) : VECDB_OK;
  free(batch);
  if (!rc && n)
    workload_ack(w, c);
  return rc;
}

static int workload_deleted(struct workload *w, uint32_t c, uint64_t deleted, uint64_t expected) {
  if (deleted != expected) {
    model_differs("a delete took %llu rows instead of %llu", (unsigned long long)deleted,
                  (unsigned long long)expected);
    return WORKLOAD_WRONG;
  }
  workload_ack(w, c);
  return VECDB_OK;
}

static int workload_delete(struct workload *w, uint32_t c, vecdb_collection *coll) {
  struct model_batch *batch = malloc(sizeof *batch);
  uint32_t keys[MODEL_BATCH], n = 1 + vdb_rng_below(&w->rng, w->config.batch_rows);
  uint64_t *rows = w->next.colls[c].stamps, expected = 0, deleted;
  for (uint32_t i = 0; i < n; i++) {
    keys[i] = vdb_rng_below(&w->rng, w->config.n_keys);
    expected += rows[keys[i]] != 0;
    rows[keys[i]] = 0;
  }
  model_batch_make(batch, &w->now.colls[c], keys, NULL, n);
  w->in_flight = true;
  int rc = vecdb_delete(coll, &batch->keys, &deleted, &w->err);
  free(batch);
  return rc ? rc : workload_deleted(w, c, deleted, expected);
}

static int workload_delete_where(struct workload *w, uint32_t c, vecdb_collection *coll) {
  struct probe_filter filter;
  do
    probe_filter_make(&filter, &w->rng);
  while (filter.kind == 0); /* all rows: too often, there would be nothing left */
  uint64_t *rows = w->next.colls[c].stamps, expected = 0, deleted;
  for (uint32_t k = 0; k < w->config.n_keys; k++) {
    struct model_row row;
    if (!rows[k])
      continue;
    model_row_of(&w->now.colls[c], rows[k], &row);
    if (!probe_passes(&filter, &row))
      continue;
    rows[k] = 0;
    expected++;
  }
  w->in_flight = true;
  int rc = vecdb_delete_where(coll, &filter.filter, &deleted, NULL, &w->err);
  return rc ? rc : workload_deleted(w, c, deleted, expected);
}

static int workload_alter(struct workload *w, uint32_t c, vecdb_collection *coll) {
  struct model_coll *next = &w->next.colls[c];
  const struct model_coll *now = &w->now.colls[c];
  vecdb_schema added = VECDB_SCHEMA_INIT;
  int rc;
  w->in_flight = true;
  if (!now->extra && next->extras == MODEL_EXTRAS) {
    rc = VECDB_OK;
  } else if (!now->extra) {
    next->extra = ++next->extras;
    vecdb_field field = model_extra_field(next->extra);
    added.fields = &field;
    added.n_fields = 1;
    rc = vecdb_fields_add(coll, &added, NULL, &w->err);
  } else if (vdb_rng_below(&w->rng, 2)) {
    next->renamed = !now->renamed;
    rc = vecdb_field_rename(coll, model_extra_name(now), model_extra_name(next), NULL, &w->err);
  } else {
    next->extra = 0;
    next->renamed = false;
    rc = vecdb_field_drop(coll, model_extra_name(now), NULL, &w->err);
  }
  if (!rc)
    workload_altered(w, c);
  return rc;
}

static int workload_expire(struct workload *w, uint32_t c, vecdb_collection *coll) {
  if (!(w->config.flags & VECDB_HOST_DRIVEN) || w->now.colls[c].expires)
    return VECDB_OK; /* the clock must be ours; what has expired would come back */
  w->in_flight = true;
  w->next.colls[c].expires = true;
  model_expire(&w->next, w->ticks); /* a reader may see it before the call returns */
  int rc = vecdb_expire(coll, "x", 0, NULL, &w->err);
  if (!rc)
    workload_altered(w, c);
  return rc;
}

static void workload_tick(struct workload *w) {
  w->ticks = w->ticks + 1 > w->stamp / MODEL_BATCH ? w->ticks + 1 : w->stamp / MODEL_BATCH;
  model_expire(&w->now, w->ticks);
  model_expire(&w->next, w->ticks);
  model_expire(&w->backup, w->ticks);
}

static int workload_index(struct workload *w, uint32_t c, vecdb_collection *coll, bool drop) {
  vecdb_index_params params = VECDB_INDEX_PARAMS_INIT;
  bool second = model_type2(w->now.colls[c].variant) && vdb_rng_below(&w->rng, 2);
  params.type = (int32_t)vdb_rng_below(&w->rng, 3);
  uint32_t m = 4 + vdb_rng_below(&w->rng, 8);
  if (params.type != VECDB_INDEX_FLAT) {
    params.m = m;
    params.ef_construction = 16;
    params.ef = 24;
  }
  const char *field = second ? "u" : "v";
  return drop ? vecdb_index_drop(coll, field, &w->err)
              : vecdb_index_create(coll, field, &params, NULL, &w->err);
}

static int workload_step(struct workload *w) {
  bool more;
  uint64_t bytes = vdb_rng_below(&w->rng, 3) ? 0 : 1;
  return vecdb_step(w->db, 0, bytes, &more, &w->err);
}

static int workload_reopen(struct workload *w) {
  int rc = workload_close(w);
  return rc ? rc : workload_open(w);
}

static int workload_backup(struct workload *w) {
  char path[64];
  uint32_t number = ++w->n_backups;
  workload_backup_path(w, number, path);
  int rc = vecdb_backup(w->db, path, NULL, &w->err);
  if (!rc) {
    w->backup_number = number;
    model_copy(&w->backup, &w->now);
  }
  return rc;
}

static int workload_rekey(struct workload *w) {
  const char *name = vdb_rng_below(&w->rng, 2) ? "second" : "workload";
  uint32_t flags = vdb_rng_below(&w->rng, 2) ? VECDB_REKEY_NEW_DATA_KEY : 0;
  return vecdb_rekey(w->db, vdb_rng_below(&w->rng, 3) ? name : NULL, flags, &w->err);
}

static int workload_on_coll(struct workload *w, enum workload_op op, uint32_t c) {
  vecdb_collection *coll;
  int rc = vecdb_collection_get(w->db, model_name(c), &coll, &w->err);
  if (rc)
    return rc;
  switch (op) {
    case WORKLOAD_INSERT: rc = workload_write(w, c, coll, false); break;
    case WORKLOAD_UPSERT: rc = workload_write(w, c, coll, true); break;
    case WORKLOAD_UPDATE: rc = workload_update(w, c, coll); break;
    case WORKLOAD_DELETE: rc = workload_delete(w, c, coll); break;
    case WORKLOAD_DELETE_WHERE: rc = workload_delete_where(w, c, coll); break;
    case WORKLOAD_FLUSH: rc = vecdb_flush(coll, NULL, &w->err); break;
    case WORKLOAD_ALTER: rc = workload_alter(w, c, coll); break;
    case WORKLOAD_EXPIRE: rc = workload_expire(w, c, coll); break;
    case WORKLOAD_PUSH: rc = workload_learn(w, c, coll); break;
    case WORKLOAD_COMPACT: rc = vecdb_compact(coll, NULL, &w->err); break;
    default: rc = workload_index(w, c, coll, op == WORKLOAD_INDEX_DROP); break;
  }
  vecdb_collection_release(coll);
  if (!rc && (op == WORKLOAD_FLUSH || op == WORKLOAD_COMPACT))
    workload_made_durable(w, w->changed[c]);
  return rc;
}

int workload_do(struct workload *w, enum workload_op op) {
  uint32_t c = workload_existing(w, true);
  bool on_db = op == WORKLOAD_CREATE || op == WORKLOAD_FLUSH_ALL || op == WORKLOAD_STEP ||
               op == WORKLOAD_REOPEN || op == WORKLOAD_BACKUP || op == WORKLOAD_TICK ||
               op == WORKLOAD_REKEY;
  if (c == MODEL_COLLS && !on_db)
    op = WORKLOAD_CREATE;
  w->op = op;
  w->in_flight = false;
  model_copy(&w->next, &w->now);
  int rc;
  switch (op) {
    case WORKLOAD_CREATE: rc = workload_create(w); break;
    case WORKLOAD_DROP: rc = workload_drop(w, c); break;
    case WORKLOAD_FLUSH_ALL:
      rc = vecdb_flush_all(w->db, NULL, &w->err);
      if (!rc)
        workload_made_durable(w, w->n_history - 1);
      break;
    case WORKLOAD_STEP: rc = workload_step(w); break;
    case WORKLOAD_REOPEN: rc = workload_reopen(w); break;
    case WORKLOAD_BACKUP: rc = workload_backup(w); break;
    case WORKLOAD_REKEY: rc = workload_rekey(w); break;
    case WORKLOAD_TICK:
      workload_tick(w);
      rc = VECDB_OK;
      break;
    default: rc = workload_on_coll(w, op, c); break;
  }
  w->n_done[op] += rc == VECDB_OK;
  if (w->config.trace)
    fprintf(stderr, "    %s %s: %d\n", workload_names[op], on_db ? "" : model_name(c), rc);
  return rc;
}

int workload_next(struct workload *w) {
  uint8_t weights[WORKLOAD_OPS];
  uint32_t total = 0, op = 0;
  memcpy(weights, w->config.weights ? w->config.weights : workload_weights, sizeof weights);
  weights[WORKLOAD_REKEY] = workload_encrypted() ? 6 : 0;
  for (uint32_t i = 0; i < WORKLOAD_OPS; i++)
    total += weights[i];
  uint32_t at = vdb_rng_below(&w->rng, total);
  while (at >= weights[op])
    at -= weights[op++];
  return workload_do(w, (enum workload_op)op);
}

/* ---- what may be found ----------------------------------------------------------------------- */

/* Whether `found` has the collections of `base` with the rows they had in `rows`. */
static bool workload_is(const struct workload *w, const struct model *base,
                        const struct model *rows, const struct model *found) {
  for (uint32_t c = 0; c < MODEL_COLLS; c++) {
    const struct model_coll *b = &base->colls[c], *r = &rows->colls[c], *f = &found->colls[c];
    if (b->exists != f->exists)
      return false;
    if (!b->exists)
      continue;
    if (b->variant != f->variant || b->extra != f->extra || b->renamed != f->renamed ||
        b->expires != f->expires)
      return false;
    bool same = r->exists && r->born == b->born;
    for (uint32_t k = 0; k < base->n_keys; k++)
      if (f->stamps[k] != (same && !model_expired(b, r->stamps[k], w->ticks) ? r->stamps[k] : 0))
        return false;
  }
  return true;
}

/* Whether `found` has the collections of `base` with rows that they may have. */
static bool workload_fits(const struct workload *w, const struct model *base,
                          const struct model *found, bool kill) {
  if (workload_is(w, base, base, found))
    return true;
  for (uint32_t j = w->durable; !kill && j < w->n_history; j++)
    if (workload_is(w, base, &w->history[j], found))
      return true;
  return false;
}

/* The state among those that may be found whose collections `found` has, or NULL. */
static const struct model *workload_match(const struct workload *w, const struct model *found,
                                          bool kill) {
  if (workload_fits(w, &w->now, found, kill))
    return &w->now;
  if (w->in_flight && workload_fits(w, &w->next, found, kill))
    return &w->next;
  for (uint32_t i = w->shape; !kill && i < w->n_history; i++)
    if (workload_fits(w, &w->history[i], found, kill))
      return &w->history[i];
  return NULL;
}

bool workload_accepts(struct workload *w, const struct model *found, bool kill) {
  if (workload_match(w, found, kill))
    return true;
  char text[256];
  model_same(&w->now, found);
  snprintf(text, sizeof text, "%s", model_trouble());
  bool has_next = w->in_flight && !model_same(&w->next, found);
  char after[256];
  snprintf(after, sizeof after, "%s", has_next ? model_trouble() : "nothing in flight");
  return model_differs("lost or wrong after %s; from the last state: %s; from the next: %s",
                       workload_op_name(w->op), text, after);
}

/* Gives the collections of `found` the identities they have in `base`. */
static void workload_adopt(struct workload *w, const struct model *found,
                           const struct model *base) {
  uint64_t born[MODEL_COLLS];
  uint32_t extras[MODEL_COLLS];
  for (uint32_t c = 0; c < MODEL_COLLS; c++) {
    born[c] = base->colls[c].born;
    extras[c] = base->colls[c].extras;
  }
  model_copy(&w->now, found);
  for (uint32_t c = 0; c < MODEL_COLLS; c++) {
    w->now.colls[c].born = born[c];
    w->now.colls[c].extras = extras[c];
  }
}

void workload_rebase(struct workload *w, const struct model *found, bool kill) {
  const struct model *base = workload_match(w, found, kill);
  bool news = base == &w->next, changed[MODEL_COLLS];
  for (uint32_t c = 0; c < MODEL_COLLS; c++)
    changed[c] = w->now.colls[c].exists && !model_same_coll(&w->now, found, c);
  workload_adopt(w, found, base ? base : &w->now);
  w->in_flight = false;
  if (kill) {
    if (news)
      workload_push(w);
    for (uint32_t c = 0; c < MODEL_COLLS; c++)
      if (news && changed[c])
        w->changed[c] = w->n_history - 1;
    w->shape = w->n_history - 1; /* opening makes sure of it */
    return;
  }
  w->n_history = 0;
  w->durable = w->shape = 0;
  memset(w->changed, 0, sizeof w->changed);
  workload_push(w);
}

bool workload_settle(struct workload *w, const struct model *found) {
  if (!workload_accepts(w, found, true))
    return false;
  workload_rebase(w, found, true);
  return true;
}
