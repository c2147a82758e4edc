/*
 * push.c - vectors changed by gradients, deltas and values of many threads. What is pushed is
 * checked without a lock. Under the lock vectors and states are read as they stand, changed push by
 * push, and the whole rows are written as an upsert of them is: so no push is lost, and the log has
 * what came out, which needs no arithmetic to be replayed to the bit. What a failed push read may
 * have been taken back since; then it looks again, as any write that finds nothing does.
 */
#include "db/db.h"

#include <math.h>

#include "attr/optimizer.h"
#include "query/fields.h"

enum { PUSH_KEY, PUSH_VALUE, PUSH_VERSION, PUSH_STATE, PUSH_COLUMNS }; /* of the given batch */

struct push {
  struct vecdb_collection *coll;
  const struct vdb_schema *schema; /* the pushes were checked for */
  const vecdb_push_params *params;
  uint64_t *out; /* the caller's versions; NULL: not wanted */
  const struct vdb_field *field;
  uint32_t place;    /* of the field */
  uint32_t n;        /* pushes */
  uint32_t n_rows;   /* distinct keys */
  uint32_t n_floats; /* of a state */
  float *given;      /* one vector */
  uint32_t *row;     /* per push: the row it is for; before that, the order of their keys */
  /* per row */
  uint32_t *first;   /* one of its pushes */
  int64_t *numbers;  /* its key, */
  struct vdb_bytes *keys; /* as bytes */
  float *values;
  float *states;     /* an ARRAY: the place of the count, then the floats */
  struct vdb_bytes *held; /* what of it counts: all, or a count of 0 */
  uint64_t *versions;
  struct vdb_batch_patch *patches;
  struct vdb_computed *computed;
};

static int push_check_params(struct push *p, vecdb_error *err) {
  const vecdb_push_params *q = p->params;
  const struct vdb_field *key = &p->schema->fields[p->schema->key];
  if (q->size != sizeof *q)
    return vdb_fail(err, VECDB_ERR_OPTION, "vecdb_push_params has size %zu here, not %u", sizeof *q,
                    q->size);
  if (q->kind < VECDB_PUSH_GRADIENT || q->kind > VECDB_PUSH_VALUE)
    return vdb_fail(err, VECDB_ERR_OPTION, "push kind %d is unknown", q->kind);
  if (q->flags & ~(uint32_t)VECDB_PUSH_INSERT)
    return vdb_fail(err, VECDB_ERR_OPTION, "flags is %#x; VECDB_PUSH_INSERT is known", q->flags);
  VDB_TRY(vdb_fields_learned(p->schema, q->field, &p->place, err));
  p->field = &p->schema->fields[p->place];
  if (!q->keys || q->keys->n == 0 || !q->values)
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "a push has keys and values, at least one");
  if (q->dim && q->dim != p->field->dim)
    return vdb_fail_at(err, VECDB_ERR_DIMENSION, -1, q->field,
                       "the values have dimension %u, and field '%s' %u", q->dim, q->field,
                       p->field->dim);
  if (q->stride && q->stride < p->field->width)
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "the stride is %zu, and a vector takes %u bytes",
                    q->stride, p->field->width);
  if ((q->flags & VECDB_PUSH_INSERT) && (key->flags & VECDB_AUTO_ID))
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "the keys of field '%s' are the database's to give",
                    key->name);
  VDB_TRY(vdb_keys_check(p->schema, q->keys, err));
  p->n = (uint32_t)q->keys->n;
  if ((uint64_t)p->n * p->field->width > VECDB_MAX_BATCH_BYTES)
    return vdb_fail(err, VECDB_ERR_LIMIT, "the values take more than %u bytes; push fewer",
                    VECDB_MAX_BATCH_BYTES);
  return VECDB_OK;
}

static const char *push_value(const struct push *p, uint32_t i) {
  size_t stride = p->params->stride ? p->params->stride : p->field->width;
  return (const char *)p->params->values + i * stride;
}

/* Zeros say nothing as gradients, and no less under COSINE. */
static int push_check_values(const struct push *p, vecdb_error *err) {
  struct vdb_field step = *p->field;
  step.metric = VECDB_L2;
  for (uint32_t i = 0; i < p->n; i++)
    VDB_TRY(vdb_vector_check(&step, push_value(p, i), i, err));
  return VECDB_OK;
}

/* Finds which pushes are for the same row. `order` has their numbers by key. */
static void push_rows(struct push *p, const uint32_t *order) {
  const vecdb_keys *keys = p->params->keys;
  for (uint32_t i = 0; i < p->n; i++) {
    if (i == 0 || vdb_write_key_compare(keys, order[i - 1], order[i]) != 0) {
      uint32_t row = p->n_rows++;
      p->first[row] = order[i];
      p->keys[row] = vdb_key_at(keys, order[i]);
      if (keys->integers)
        p->numbers[row] = keys->integers[order[i]];
    }
    p->row[order[i]] = p->n_rows - 1;
  }
}

/* What can be done without a lock. */
static int push_prepare(struct push *p, vecdb_error *err) {
  struct vdb_mem *mem = vdb_env_for(&p->coll->db->env, VDB_FOR_WRITES);
  VDB_TRY(push_check_params(p, err));
  VDB_TRY(push_check_values(p, err));
  size_t n = p->n;
  p->n_floats = vdb_optimizer_floats(&p->field->learn.rule, p->field->dim);
  uint32_t *order = vdb_alloc_array(mem, n, sizeof *order);
  p->given = vdb_alloc(mem, p->field->width);
  p->row = vdb_alloc_array(mem, n, sizeof *p->row);
  p->first = vdb_alloc_array(mem, n, sizeof *p->first);
  p->numbers = vdb_alloc_array(mem, n, sizeof *p->numbers);
  p->keys = vdb_alloc_array(mem, n, sizeof *p->keys);
  if (order && p->given && p->row && p->first && p->numbers && p->keys) {
    for (uint32_t i = 0; i < p->n; i++)
      order[i] = i;
    vdb_write_keys_sort(p->params->keys, order, n);
    push_rows(p, order);
    n = p->n_rows;
    p->values = vdb_alloc_array(mem, n, p->field->width);
    p->states = vdb_alloc_array(mem, n, (p->n_floats + 1) * sizeof *p->states);
    p->held = vdb_alloc_array(mem, n, sizeof *p->held);
    p->versions = vdb_alloc_array(mem, n, sizeof *p->versions);
    p->patches = vdb_alloc_array(mem, n, sizeof *p->patches);
  }
  vdb_free(mem, order);
  VDB_TRY(vdb_computed_new(p->coll, p->schema, p->n_rows, &p->computed, err));
  return p->values && p->states && p->held && p->versions && p->patches ? VECDB_OK
                                                                         : vdb_fail_memory(err);
}

/* The state of a row as it is kept: `n` floats. */
static float *push_hold(struct push *p, uint32_t row, uint32_t n) {
  float *state = p->states + (size_t)row * (p->n_floats + 1);
  struct vdb_bytes held = {(const uint8_t *)state, (n + 1) * sizeof *state};
  memcpy(state, &n, sizeof n);
  p->held[row] = held;
  return state + 1;
}

/* The state of a row, for a gradient: zeros where there was none. */
static float *push_state(struct push *p, uint32_t row) {
  bool none = vdb_array_count(p->held[row]) != p->n_floats;
  float *state = push_hold(p, row, p->n_floats);
  if (none)
    memset(state, 0, p->n_floats * sizeof *state);
  return state;
}

/* Reads the rows as they stand; write_mu held. */
static void push_read(struct push *p) {
  int64_t now = vdb_apply_now(p->coll);
  for (uint32_t row = 0; row < p->n_rows; row++) {
    float *value = p->values + (size_t)row * p->field->dim;
    struct vdb_batch_patch patch = {.given = row};
    bool stands = vdb_apply_stands(p->coll, p->keys[row], now, &patch);
    p->patches[row] = patch;
    push_hold(p, row, 0);
    p->versions[row] = 0;
    if (!stands) {
      memset(value, 0, p->field->width);
      continue;
    }
    memcpy(value, vdb_column_bytes(&patch.stands[p->place], patch.row).data, p->field->width);
    p->versions[row] = vdb_version_of(&patch.stands[p->field->version], patch.row);
    struct vdb_bytes state = vdb_column_bytes(&patch.stands[p->field->state], patch.row);
    if (vdb_array_count(state) == p->n_floats)
      memcpy(push_hold(p, row, p->n_floats), state.data + sizeof(uint32_t),
             p->n_floats * sizeof(float));
  }
}

/* Whether push i may be made. */
static int push_allowed(const struct push *p, uint32_t i, vecdb_error *err) {
  uint64_t version = p->versions[p->row[i]];
  const uint64_t *expected = p->params->expected;
  if (expected && expected[i] != version)
    return vdb_fail_at(err, VECDB_ERR_VERSION, i, p->field->name,
                       "row %u: its vector in field '%s' has version %llu, not %llu", i,
                       p->field->name, (unsigned long long)version,
                       (unsigned long long)expected[i]);
  if (version == 0 && !(p->params->flags & VECDB_PUSH_INSERT))
    return vdb_fail_at(err, VECDB_ERR_NOT_FOUND, i, p->field->name,
                       "row %u: there is no row with this key to push to", i);
  return VECDB_OK;
}

/* Scales a vector to length 1. A zero vector stays, and what is not finite is found afterwards. */
static void push_unit(float *value, uint32_t dim) {
  double sum = 0;
  for (uint32_t d = 0; d < dim; d++)
    sum += (double)value[d] * (double)value[d];
  double scale = sum > 0 ? 1 / sqrt(sum) : 1;
  for (uint32_t d = 0; d < dim; d++)
    value[d] = (float)((double)value[d] * scale);
}

/* Makes push i. */
static int push_one(struct push *p, uint32_t i, vecdb_error *err) {
  uint32_t row = p->row[i], dim = p->field->dim;
  float *value = p->values + (size_t)row * dim;
  const vecdb_optimizer *rule = &p->field->learn.rule;
  VDB_TRY(push_allowed(p, i, err));
  memcpy(p->given, push_value(p, i), p->field->width);
  if (p->params->kind == VECDB_PUSH_VALUE) {
    memcpy(value, p->given, p->field->width);
    push_hold(p, row, 0);
  } else if (p->params->kind == VECDB_PUSH_DELTA) {
    for (uint32_t d = 0; d < dim; d++)
      value[d] += p->given[d];
  } else {
    vdb_optimizer_step(rule, dim, p->given, value, push_state(p, row));
  }
  if (rule->unit)
    push_unit(value, dim);
  int rc = vdb_vector_check(p->field, value, i, err);
  if (rc == VECDB_ERR_NOT_FINITE) /* what was pushed is finite */
    rc = vdb_fail_at(err, VECDB_ERR_OVERFLOW, i, p->field->name,
                     "row %u: its vector in field '%s' would not be finite any more", i,
                     p->field->name);
  p->versions[row]++;
  if (p->out)
    p->out[i] = p->versions[row];
  return rc;
}

static int push_check_states(const struct push *p, vecdb_error *err) {
  for (uint32_t row = 0; row < p->n_rows; row++) {
    const float *state = p->states + (size_t)row * (p->n_floats + 1) + 1;
    for (uint32_t i = 0, n = vdb_array_count(p->held[row]); i < n; i++)
      if (!__builtin_isfinite(state[i]))
        return vdb_fail_at(err, VECDB_ERR_OVERFLOW, p->first[row], p->field->name,
                           "row %u: the optimizer of field '%s' cannot hold so large a gradient",
                           p->first[row], p->field->name);
  }
  return VECDB_OK;
}

/* Makes all pushes, in memory of their own; write_mu held. */
static int push_make(struct push *p, vecdb_error *err) {
  push_read(p);
  for (uint32_t i = 0; i < p->n; i++)
    VDB_TRY(push_one(p, i, err));
  return push_check_states(p, err);
}

/* Puts the rows together and writes them; write_mu held, given up meanwhile. */
static int push_write(struct push *p, struct vdb_pending *pending, vecdb_error *err) {
  struct vdb_mem *mem = vdb_env_for(&p->coll->db->env, VDB_FOR_WRITES);
  struct vdb_column columns[PUSH_COLUMNS] = {
      [PUSH_KEY] = {.refs = p->keys},
      [PUSH_VALUE] = {.data = (const uint8_t *)p->values, .width = p->field->width},
      [PUSH_VERSION] = {.data = (const uint8_t *)p->versions, .width = sizeof *p->versions},
      [PUSH_STATE] = {.refs = p->held}};
  if (p->params->keys->integers)
    columns[PUSH_KEY] = (struct vdb_column){.data = (const uint8_t *)p->numbers,
                                            .width = sizeof *p->numbers};
  const struct vdb_batch given = {p->n_rows, PUSH_COLUMNS, columns};
  int at[VECDB_MAX_FIELDS];
  memset(at, -1, sizeof at);
  at[p->schema->key] = PUSH_KEY;
  at[p->place] = PUSH_VALUE;
  at[p->field->version] = PUSH_VERSION;
  at[p->field->state] = PUSH_STATE;
  const struct vdb_batch_merge merge = {p->schema, &given, at, p->patches, p->n_rows,
                                        vdb_computed_fills(p->computed)};
  struct vdb_writer record = VDB_WRITER(mem);
  struct vdb_batch whole = {0};
  int rc = vdb_batch_merge(&merge, &record, err);
  if (rc == VECDB_ERR_MISSING_FIELD) /* it names a row of `given` */
    err->row = p->first[err->row];
  if (!rc)
    rc = vdb_batch_view(mem, p->schema, record.data, record.n, &whole, err);
  if (!rc)
    rc = vdb_write_record(p->coll, &record, &whole, true, NULL, pending, err);
  vdb_batch_fini(mem, &whole);
  vdb_writer_free(&record);
  return rc;
}

/* After pushes that failed with `rc`: tells in *again that they may not, as what they read was
   taken back. write_mu held, given up meanwhile. */
static int push_failed(const struct push *p, int rc, bool *again, vecdb_error *err) {
  vecdb_error why = *err;
  VDB_TRY(vdb_write_settle(p->coll->db, again, err));
  *err = why;
  return *again ? VECDB_OK : rc;
}

/* *again: the schema has changed since the pushes were checked, or they are to be made anew. */
static int push_locked(struct push *p, bool *again, vecdb_error *err) {
  struct vdb_pending pending = {0};
  VDB_TRY(vdb_write_enter(p->coll, err));
  int rc = vdb_collection_alive(p->coll, err);
  *again = p->coll->schema != p->schema;
  if (!rc && !*again) {
    rc = push_make(p, err);
    rc = rc ? push_failed(p, rc, again, err) : push_write(p, &pending, err);
  }
  vdb_write_leave(p->coll, &pending);
  return rc;
}

static void push_end(struct push *p) {
  void *blocks[] = {p->given, p->row, p->first, p->numbers, p->keys, p->values,
                    p->states, p->held, p->versions, p->patches};
  for (size_t i = 0; i < VDB_COUNT(blocks); i++)
    vdb_free(vdb_env_for(&p->coll->db->env, VDB_FOR_WRITES), blocks[i]);
  vdb_computed_free(p->computed);
}

VDB_INTERNAL int vdb_write_push(struct vecdb_collection *coll, const vecdb_push_params *params,
                                uint64_t *versions, vecdb_error *err) {
  VDB_TRY(vdb_write_allowed(coll, err));
  int rc = VECDB_OK;
  for (bool again = true; !rc && again;) {
    struct push p = {.coll = coll, .schema = coll->schema, .params = params, .out = versions};
    rc = push_prepare(&p, err);
    if (!rc)
      rc = push_locked(&p, &again, err);
    push_end(&p);
  }
  if (!rc)
    vdb_write_help(coll);
  return rc;
}
