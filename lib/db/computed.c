/*
 * computed.c - default values that are computed when rows are written: the time, and UUIDs. That is
 * done before the record of the rows is made, so the log has what came out, and a replay, a reader
 * and whoever else reads the log see the same values.
 */
#include "base/rng.h"
#include "db/db.h"

enum { COMPUTED_UUID = 36 }; /* characters of one */

/* Of a field, a value per row. */
struct computed_field {
  uint32_t field;
  int64_t *times;          /* the same one; or NULL, and */
  struct vdb_bytes *texts; /* with a NUL behind each */
  char *uuids;             /* what they point to */
  uint32_t *lengths;
};

struct vdb_computed {
  struct vdb_mem *mem;
  uint32_t n_rows;
  uint32_t n; /* fields */
  struct computed_field *fields;
  struct vdb_column *fills; /* per field of the schema */
  vecdb_column *columns;    /* of */
  vecdb_batch batch;
};

/* A UUID of version 7 (RFC 9562): the time, and 74 bits that look random. */
static void computed_uuid(struct vdb_rng *rng, uint64_t ms, char *out) {
  static const char digits[] = "0123456789abcdef";
  uint64_t high = ms << 16 | 0x7000 | (vdb_rng_next(rng) >> 52);
  uint64_t low = (uint64_t)1 << 63 | vdb_rng_next(rng) >> 2;
  for (unsigned i = 0; i < 32; i++) {
    if (i == 8 || i == 12 || i == 16 || i == 20)
      *out++ = '-';
    uint64_t half = i < 16 ? high : low;
    *out++ = digits[half >> (60 - i % 16 * 4) & 15];
  }
  *out = '\0';
}

/* Two processes that begin at one moment of both clocks with one seed would give the same. */
static struct vdb_rng computed_rng(struct vecdb *db, uint64_t wall_ns, uint32_t n) {
  uint64_t before = atomic_fetch_add(&db->computed, n);
  uint64_t begin = vdb_mix64(db->env.seed ^ vdb_mix64(wall_ns)) ^ vdb_now_ns(&db->env);
  struct vdb_rng rng = {vdb_mix64(begin) + vdb_mix64(before)};
  return rng;
}

static bool computed_times(struct vdb_computed *c, struct computed_field *f, uint64_t ms) {
  f->times = vdb_alloc_array(c->mem, c->n_rows, sizeof *f->times);
  for (uint32_t i = 0; f->times && i < c->n_rows; i++)
    f->times[i] = (int64_t)ms;
  return f->times != NULL;
}

static bool computed_texts(struct vdb_computed *c, struct computed_field *f, struct vdb_rng *rng,
                           uint64_t ms) {
  f->texts = vdb_alloc_array(c->mem, c->n_rows, sizeof *f->texts);
  f->uuids = vdb_alloc_array(c->mem, c->n_rows, COMPUTED_UUID + 1);
  f->lengths = vdb_alloc_array(c->mem, c->n_rows, sizeof *f->lengths);
  if (!f->texts || !f->uuids || !f->lengths)
    return false;
  for (uint32_t i = 0; i < c->n_rows; i++) {
    char *text = f->uuids + (size_t)i * (COMPUTED_UUID + 1);
    computed_uuid(rng, ms, text);
    struct vdb_bytes bytes = {(const uint8_t *)text, COMPUTED_UUID};
    f->texts[i] = bytes;
    f->lengths[i] = COMPUTED_UUID;
  }
  return true;
}

static bool computed_fill(struct vdb_computed *c, struct vecdb *db,
                          const struct vdb_schema *schema) {
  uint64_t wall = vdb_wall_ns(&db->env);
  struct vdb_rng rng = computed_rng(db, wall, c->n_rows);
  for (uint32_t i = 0; i < schema->n_public; i++) {
    const struct vdb_field *field = &schema->fields[i];
    if (!(field->flags & VDB_COMPUTED))
      continue;
    struct computed_field *f = &c->fields[c->n++];
    struct vdb_column *fill = &c->fills[i];
    f->field = i;
    fill->type = field->type;
    fill->width = field->width;
    if (field->flags & VECDB_DEFAULT_NOW ? !computed_times(c, f, wall / 1000000)
                                         : !computed_texts(c, f, &rng, wall / 1000000))
      return false;
    fill->data = (const uint8_t *)f->times;
    fill->refs = f->texts;
  }
  return true;
}

VDB_INTERNAL int vdb_computed_new(struct vecdb_collection *coll, const struct vdb_schema *schema,
                                  uint32_t n_rows, struct vdb_computed **out, vecdb_error *err) {
  struct vdb_mem *mem = vdb_env_for(&coll->db->env, VDB_FOR_WRITES);
  uint32_t n = 0;
  *out = NULL;
  for (uint32_t f = 0; f < schema->n_public; f++)
    n += (schema->fields[f].flags & VDB_COMPUTED) != 0;
  if (n == 0)
    return VECDB_OK;
  struct vdb_computed *c = vdb_alloc_zero(mem, sizeof *c);
  if (!c)
    return vdb_fail_memory(err);
  c->mem = mem;
  c->n_rows = n_rows;
  c->fields = vdb_alloc_zero(mem, n * sizeof *c->fields);
  c->fills = vdb_alloc_zero(mem, schema->n_fields * sizeof *c->fills);
  if (c->fields && c->fills && computed_fill(c, coll->db, schema)) {
    *out = c;
    return VECDB_OK;
  }
  vdb_computed_free(c);
  return vdb_fail_memory(err);
}

VDB_INTERNAL void vdb_computed_free(struct vdb_computed *c) {
  if (!c)
    return;
  for (uint32_t i = 0; i < c->n; i++) {
    vdb_free(c->mem, c->fields[i].times);
    vdb_free(c->mem, c->fields[i].texts);
    vdb_free(c->mem, c->fields[i].uuids);
    vdb_free(c->mem, c->fields[i].lengths);
  }
  vdb_free(c->mem, c->columns);
  vdb_free(c->mem, c->fills);
  vdb_free(c->mem, c->fields);
  vdb_free(c->mem, c);
}

VDB_INTERNAL const struct vdb_column *vdb_computed_fills(const struct vdb_computed *c) {
  return c ? c->fills : NULL;
}

/* Takes over what the caller gives of a column that says null here and there, which stands for the
   computed value where null cannot be. */
static void computed_mix(const struct vdb_computed *c, struct computed_field *f,
                         const vecdb_column *from) {
  size_t stride = from->stride ? from->stride : sizeof(int64_t);
  for (uint32_t i = 0; i < c->n_rows; i++) {
    const char *at = (const char *)from->data + i * stride;
    if (!from->valid[i])
      continue;
    if (f->times) {
      memcpy(&f->times[i], at, sizeof f->times[i]);
      continue;
    }
    memcpy(&f->texts[i].data, at, sizeof f->texts[i].data);
    const char *text = (const char *)f->texts[i].data;
    f->lengths[i] = from->lengths ? from->lengths[i]
                                  : (uint32_t)(text ? strnlen(text, VECDB_MAX_VARCHAR + 1) : 1);
  }
}

static vecdb_column computed_column(const struct vdb_schema *schema, struct computed_field *f) {
  vecdb_column column = {.field = schema->fields[f->field].name, .data = f->times};
  if (f->times)
    return column;
  column.data = &f->texts[0].data;
  column.stride = sizeof *f->texts;
  column.lengths = f->lengths;
  return column;
}

/* Whether the batch says what the field is, once its column `at` (or NULL) has been settled. */
static bool computed_said(const struct vdb_computed *c, const struct vdb_field *field,
                          struct computed_field *f, const vecdb_column *at) {
  size_t least = field->width ? field->width : sizeof(const char *);
  if (!at || !at->data)
    return false;
  if (!at->valid || (field->flags & VECDB_NULLABLE) || (at->stride && at->stride < least))
    return true;
  computed_mix(c, f, at);
  return false;
}

VDB_INTERNAL int vdb_computed_batch(struct vdb_computed *c, const struct vdb_schema *schema,
                                    const vecdb_batch *batch, bool whole, const vecdb_batch **out,
                                    vecdb_error *err) {
  *out = batch;
  if (!c)
    return VECDB_OK;
  VDB_TRY(vdb_batch_check(batch, err));
  uint32_t n = batch->n_columns;
  c->columns = vdb_alloc_array(c->mem, n + c->n, sizeof *c->columns);
  if (!c->columns)
    return vdb_fail_memory(err);
  if (n)
    memcpy(c->columns, batch->columns, n * sizeof *c->columns);
  for (uint32_t i = 0; i < c->n; i++) {
    struct computed_field *f = &c->fields[i];
    const struct vdb_field *field = &schema->fields[f->field];
    vecdb_column *at = NULL;
    for (uint32_t k = 0; !at && k < batch->n_columns; k++)
      if (c->columns[k].field && strcmp(c->columns[k].field, field->name) == 0)
        at = &c->columns[k];
    if ((!at && !whole) || computed_said(c, field, f, at))
      continue;
    if (!at)
      at = &c->columns[n++];
    *at = computed_column(schema, f);
  }
  c->batch = *batch;
  c->batch.columns = c->columns;
  c->batch.n_columns = n;
  *out = &c->batch;
  return VECDB_OK;
}
