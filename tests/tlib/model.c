/* model.c - states, schemas and rows of the naive model; see model.h. */
#include "tlib/model.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local char model_text[1024];

const char *model_trouble(void) { return model_text; }

bool model_differs(const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(model_text, sizeof model_text, format, args);
  va_end(args);
  return false;
}

/* ---- states ---------------------------------------------------------------------------------- */

void model_init(struct model *m, uint32_t n_keys) {
  memset(m, 0, sizeof *m);
  m->n_keys = n_keys;
  for (uint32_t c = 0; c < MODEL_COLLS; c++) {
    m->colls[c].stamps = calloc(n_keys, sizeof(uint64_t));
    if (!m->colls[c].stamps)
      abort();
  }
}

void model_fini(struct model *m) {
  for (uint32_t c = 0; c < MODEL_COLLS; c++)
    free(m->colls[c].stamps);
  memset(m, 0, sizeof *m);
}

void model_copy(struct model *to, const struct model *from) {
  for (uint32_t c = 0; c < MODEL_COLLS; c++) {
    uint64_t *stamps = to->colls[c].stamps;
    memcpy(stamps, from->colls[c].stamps, from->n_keys * sizeof *stamps);
    to->colls[c] = from->colls[c];
    to->colls[c].stamps = stamps;
  }
}

bool model_same_coll(const struct model *a, const struct model *b, uint32_t coll) {
  const struct model_coll *x = &a->colls[coll], *y = &b->colls[coll];
  if (x->exists != y->exists)
    return model_differs("collection %s is %s", model_name(coll), x->exists ? "missing" : "there");
  if (!x->exists)
    return true;
  if (x->variant != y->variant || x->extra != y->extra || x->renamed != y->renamed ||
      x->expires != y->expires)
    return model_differs("%s has schema %u, extra field %u%s%s, not %u, %u%s%s", model_name(coll),
                         y->variant, y->extra, y->renamed ? " renamed" : "",
                         y->expires ? " expiring" : "", x->variant, x->extra,
                         x->renamed ? " renamed" : "", x->expires ? " expiring" : "");
  for (uint32_t k = 0; k < a->n_keys; k++)
    if (x->stamps[k] != y->stamps[k])
      return model_differs("%s key %u: stamp %llu instead of %llu", model_name(coll), k,
                           (unsigned long long)y->stamps[k], (unsigned long long)x->stamps[k]);
  return true;
}

bool model_same(const struct model *a, const struct model *b) {
  for (uint32_t c = 0; c < MODEL_COLLS; c++)
    if (!model_same_coll(a, b, c))
      return false;
  return true;
}

uint64_t model_count(const struct model *m, uint32_t coll) {
  uint64_t n = 0;
  for (uint32_t k = 0; k < m->n_keys; k++)
    n += m->colls[coll].stamps[k] != 0;
  return n;
}

const char *model_name(uint32_t coll) {
  static const char *const names[MODEL_COLLS] = {"c0", "c1", "c2"};
  return names[coll];
}

/* ---- schemas --------------------------------------------------------------------------------- */

bool model_text_keys(uint32_t variant) { return variant % 2 == 1; }

int32_t model_metric(uint32_t variant) {
  static const int32_t metrics[] = {VECDB_L2, VECDB_IP, VECDB_COSINE};
  return metrics[variant / 2 % 3];
}

int32_t model_type2(uint32_t variant) {
  static const int32_t types[] = {0, VECDB_INT8_VECTOR, VECDB_BINARY_VECTOR, VECDB_FLOAT16_VECTOR};
  return types[variant / 6 % 4];
}

void model_schema_make(struct model_schema *s, uint32_t variant) {
  memset(s, 0, sizeof *s);
  bool text = model_text_keys(variant);
  const vecdb_field fields[MODEL_FIELDS] = {
      {.name = "id", .type = text ? VECDB_VARCHAR : VECDB_INT64, .flags = VECDB_PRIMARY_KEY,
       .max_length = text ? MODEL_TEXT : 0},
      {.name = "w", .type = VECDB_INT64, .scalar_index = VECDB_SCALAR_INDEX_NONE},
      {.name = "n", .type = VECDB_INT32, .flags = VECDB_NULLABLE,
       .scalar_index = VECDB_SCALAR_INDEX_SORTED},
      {.name = "s", .type = VECDB_VARCHAR, .flags = VECDB_NULLABLE, .max_length = MODEL_TEXT,
       .scalar_index = VECDB_SCALAR_INDEX_HASH},
      {.name = "d", .type = VECDB_DOUBLE},
      {.name = "flag", .type = VECDB_BOOL},
      {.name = "tags", .type = VECDB_ARRAY, .element_type = VECDB_INT32, .flags = VECDB_NULLABLE,
       .max_capacity = 4},
      {.name = "x", .type = VECDB_INT64, .flags = VECDB_NULLABLE},
      {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = MODEL_DIM, .metric = model_metric(variant)},
      {.name = "u", .type = model_type2(variant), .dim = MODEL_DIM2,
       .metric = model_type2(variant) == VECDB_BINARY_VECTOR ? VECDB_HAMMING : VECDB_L2},
  };
  memcpy(s->fields, fields, sizeof fields);
  snprintf(s->text, sizeof s->text, "variant %u", variant);
  vecdb_schema schema = VECDB_SCHEMA_INIT;
  schema.description = s->text;
  schema.fields = s->fields;
  schema.n_fields = model_type2(variant) ? MODEL_FIELDS : MODEL_FIELDS - 1;
  s->schema = schema;
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* Multiples of 1/4, so that sums of products are exact and equal scores are common. */
static float model_number(struct vdb_rng *rng) {
  return (float)((int)vdb_rng_below(rng, 17) - 8) / 4;
}

static void model_values2(uint32_t variant, struct vdb_rng *rng, uint8_t *out) {
  for (uint32_t i = 0; i < MODEL_DIM2; i++) {
    float number = model_number(rng);
    if (model_type2(variant) == VECDB_INT8_VECTOR)
      out[i] = (uint8_t)(int8_t)(number * 4);
    else if (model_type2(variant) == VECDB_FLOAT16_VECTOR)
      vecdb_to_float16(&number, (uint16_t *)(void *)out + i, 1);
    else if (number > 0)
      out[i / 8] |= (uint8_t)(1 << i % 8);
  }
}

/* The fields that updates change. */
static void model_values_light(struct vdb_rng *rng, struct model_row *out) {
  out->n_null = vdb_rng_below(rng, 6) == 0;
  out->n = (int32_t)vdb_rng_below(rng, 20) - 5;
  out->s_null = vdb_rng_below(rng, 8) == 0;
  uint32_t word = vdb_rng_below(rng, 12);
  size_t tail = vdb_rng_below(rng, 20);
  char *at = out->s;
  *at++ = 's';
  if (word >= 10)
    *at++ = '1';
  *at++ = (char)('0' + word % 10);
  memcpy(at, "-a-rather-long-tail", word < 6 ? 0 : tail); /* the row is zero before */
  out->d = vdb_rng_below(rng, 64) / 64.0;
  out->tags_null = vdb_rng_below(rng, 5) == 0;
  out->n_tags = vdb_rng_below(rng, 5);
  for (uint32_t i = 0; i < out->n_tags; i++)
    out->tags[i] = (int32_t)vdb_rng_below(rng, 6);
}

/* A stamp: when the row was made, when it was updated last, and with which extra field. */
enum { MODEL_STAMP_BITS = 28 };

static uint64_t model_made(uint64_t stamp) { return stamp & ((1u << MODEL_STAMP_BITS) - 1); }

static uint64_t model_changed(uint64_t stamp) {
  uint64_t by = model_made(stamp >> MODEL_STAMP_BITS);
  return by ? by : model_made(stamp);
}

uint64_t model_stamp(const struct model_coll *coll, uint64_t stamp) {
  return stamp | (uint64_t)coll->extra << 2 * MODEL_STAMP_BITS;
}

uint64_t model_updated(uint64_t stamp, uint64_t by) {
  uint64_t extra = stamp >> 2 * MODEL_STAMP_BITS;
  return model_made(stamp) | by << MODEL_STAMP_BITS | extra << 2 * MODEL_STAMP_BITS;
}

static uint64_t model_ticks(uint64_t stamp) { return model_made(stamp) / MODEL_BATCH; }

/* When a row expires, out of the generator of the fields that updates change. */
static void model_expiry(struct vdb_rng *light, uint64_t updated, struct model_row *out) {
  out->x_null = vdb_rng_below(light, 2) == 0;
  out->x = (int64_t)(model_ticks(updated) + vdb_rng_below(light, 12)) * MODEL_TICK_MS +
           MODEL_TICK_MS / 2;
}

static struct vdb_rng model_light(uint32_t variant, uint64_t updated) {
  return (struct vdb_rng){updated * 0x9e3779 + variant};
}

bool model_expired(const struct model_coll *coll, uint64_t stamp, uint64_t tick) {
  struct model_row row;
  uint64_t updated = model_changed(stamp);
  struct vdb_rng light = model_light(coll->variant, updated);
  if (!coll->expires || !stamp)
    return false;
  model_expiry(&light, updated, &row);
  return !row.x_null && row.x <= (int64_t)tick * MODEL_TICK_MS;
}

void model_expire(struct model *m, uint64_t tick) {
  for (uint32_t c = 0; c < MODEL_COLLS; c++)
    for (uint32_t k = 0; m->colls[c].expires && k < m->n_keys; k++)
      if (model_expired(&m->colls[c], m->colls[c].stamps[k], tick))
        m->colls[c].stamps[k] = 0;
}

const char *model_extra_name(const struct model_coll *coll) { return coll->renamed ? "e2" : "e"; }

int32_t model_extra_type(uint32_t extra) {
  return extra % 2 == 0 ? VECDB_INT32 : extra % 4 == 1 ? VECDB_VARCHAR : VECDB_JSON;
}

vecdb_field model_extra_field(uint32_t extra) {
  static char text[32];
  static const vecdb_json_index indexes[] = {{"[\"e\"]", VECDB_DOUBLE}};
  vecdb_field json = {.name = "e", .description = text, .type = VECDB_JSON,
                      .flags = VECDB_NULLABLE, .json_indexes = indexes, .n_json_indexes = 1};
  vecdb_field text_field = {.name = "e", .description = text, .type = VECDB_VARCHAR,
                            .max_length = 8, .flags = VECDB_NULLABLE};
  vecdb_field number = {.name = "e", .description = text, .type = VECDB_INT32,
                        .flags = VECDB_HAS_DEFAULT,
                        .default_value = {.type = VECDB_INT32, .as.integer = 7}};
  snprintf(text, sizeof text, "extra %u", extra);
  if (model_extra_type(extra) == VECDB_JSON)
    return json;
  return model_extra_type(extra) == VECDB_VARCHAR ? text_field : number;
}

void model_row_of(const struct model_coll *coll, uint64_t stamp, struct model_row *out) {
  model_values(coll->variant, stamp, out);
  out->e_null = true; /* what rows from before the field have */
  out->e = 7;
  if (stamp >> 2 * MODEL_STAMP_BITS != coll->extra)
    return;
  struct vdb_rng rng = {model_made(stamp) * 977 + coll->extra};
  out->e = (int32_t)vdb_rng_below(&rng, 10);
  out->e_null = vdb_rng_below(&rng, 4) == 0;
  if (model_extra_type(coll->extra) == VECDB_JSON)
    snprintf(out->e_text, sizeof out->e_text, "{\"e\":%d}", out->e);
  else
    snprintf(out->e_text, sizeof out->e_text, "e%d", out->e);
}

void model_values(uint32_t variant, uint64_t stamp, struct model_row *out) {
  uint64_t made = model_made(stamp), updated = model_changed(stamp);
  struct vdb_rng rng = {made * 0x51ed27 + variant}, light = model_light(variant, updated);
  memset(out, 0, sizeof *out);
  out->w = (int64_t)stamp;
  model_expiry(&light, updated, out);
  model_values_light(&light, out);
  out->flag = vdb_rng_below(&rng, 3) == 0;
  for (uint32_t i = 0; i < MODEL_DIM; i++)
    out->v[i] = model_number(&rng);
  if (model_metric(variant) == VECDB_COSINE && out->v[0] == 0)
    out->v[0] = 0.25f; /* not the zero vector */
  model_values2(variant, &rng, out->u);
}

int64_t model_key(uint32_t k) { return ((int64_t)k - 16) * 1000003; }

size_t model_key_text(uint32_t k, char out[MODEL_TEXT]) {
  return (size_t)snprintf(out, MODEL_TEXT, "%05u%.*s", k, (int)(k * 7 % 20), "-long-key-of-a-row");
}

int64_t model_key_number(uint32_t variant, const vecdb_value *key) {
  if (!model_text_keys(variant))
    return key->type == VECDB_INT64 && key->as.integer % 1000003 == 0
               ? key->as.integer / 1000003 + 16
               : -1;
  char digits[6] = "", text[MODEL_TEXT];
  if (key->type != VECDB_VARCHAR || key->length < 5 || key->length >= MODEL_TEXT)
    return -1;
  memcpy(digits, key->as.data, 5);
  uint32_t k = (uint32_t)strtoul(digits, NULL, 10);
  size_t n = model_key_text(k, text);
  return n == key->length && memcmp(text, key->as.data, n) == 0 ? (int64_t)k : -1;
}

static void model_batch_columns(struct model_batch *b, const struct model_coll *coll) {
  uint32_t variant = coll->variant;
  size_t stride = sizeof(struct model_row);
  const vecdb_column columns[MODEL_FIELDS] = {
      {.field = "id", .data = model_text_keys(variant) ? (void *)b->key_at : (void *)b->ids},
      {.field = "u", .data = b->rows[0].u, .stride = stride, .dim = MODEL_DIM2},
      {.field = "w", .data = &b->rows[0].w, .stride = stride},
      {.field = "n", .data = &b->rows[0].n, .stride = stride, .valid = b->n_valid},
      {.field = "s", .data = b->s_at, .valid = b->s_valid},
      {.field = "d", .data = &b->rows[0].d, .stride = stride},
      {.field = "flag", .data = &b->rows[0].flag, .stride = stride},
      {.field = "tags", .data = b->tags_at, .lengths = b->tags_n, .valid = b->tags_valid},
      {.field = "x", .data = &b->rows[0].x, .stride = stride, .valid = b->x_valid},
      {.field = "v", .data = b->rows[0].v, .stride = stride, .dim = MODEL_DIM},
  };
  const vecdb_column number = {.field = model_extra_name(coll), .data = &b->rows[0].e,
                               .stride = stride};
  const vecdb_column text = {.field = model_extra_name(coll), .data = b->e_at,
                             .valid = b->e_valid};
  uint32_t n = 0;
  for (uint32_t i = 0; i < MODEL_FIELDS; i++)
    if (i != 1 || model_type2(variant))
      b->columns[n++] = columns[i];
  if (coll->extra)
    b->columns[n++] = coll->extra % 2 ? text : number;
  vecdb_batch batch = VECDB_BATCH_INIT;
  batch.columns = b->columns;
  batch.n_columns = n;
  batch.n_rows = b->n;
  b->batch = batch;
}

void model_batch_make(struct model_batch *b, const struct model_coll *coll, const uint32_t *keys,
                      const uint64_t *stamps, uint32_t n) {
  b->n = n;
  memset(&b->keys, 0, sizeof b->keys);
  b->keys.n = n;
  for (uint32_t i = 0; i < n; i++) {
    struct model_row *row = &b->rows[i];
    b->ids[i] = model_key(keys[i]);
    b->strings[i].length = model_key_text(keys[i], b->key_text[i]);
    b->strings[i].data = b->key_at[i] = b->key_text[i];
    if (!stamps)
      continue;
    model_row_of(coll, stamps[i], row);
    b->n_valid[i] = !row->n_null;
    b->s_valid[i] = !row->s_null;
    b->tags_valid[i] = !row->tags_null;
    b->x_valid[i] = !row->x_null;
    b->e_valid[i] = !row->e_null;
    b->e_at[i] = row->e_text;
    snprintf(b->e_json[i], sizeof b->e_json[i], " {\"e\": -1, \"\\u0065\":%d }", row->e);
    if (model_extra_type(coll->extra) == VECDB_JSON)
      b->e_at[i] = b->e_json[i];
    b->s_at[i] = row->s;
    b->tags_at[i] = row->tags;
    b->tags_n[i] = row->n_tags;
  }
  if (model_text_keys(coll->variant))
    b->keys.strings = b->strings;
  else
    b->keys.integers = b->ids;
  model_batch_columns(b, coll);
}

void model_batch_light(struct model_batch *b) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < b->batch.n_columns; i++)
    if (!strchr("fvue", b->columns[i].field[0]))
      b->columns[n++] = b->columns[i];
  b->batch.n_columns = n;
}

/* ---- comparing ------------------------------------------------------------------------------- */

static bool model_check_null(const vecdb_value *value, bool null, bool equal) {
  return null ? value->type == 0 : value->type != 0 && equal;
}

static bool model_same_bytes(const vecdb_value *value, const void *data, size_t n) {
  return n == 0 || memcmp(value->as.data, data, n) == 0;
}

static bool model_check_extra(const struct model_coll *coll, const vecdb_value *value,
                              const struct model_row *row) {
  int32_t type = model_extra_type(coll->extra);
  if (type == VECDB_INT32)
    return value->type == VECDB_INT32 && value->as.integer == row->e;
  return row->e_null ? value->type == 0
                     : value->type == type && value->length == strlen(row->e_text) &&
                           model_same_bytes(value, row->e_text, strlen(row->e_text));
}

static bool model_check_field(const struct model_coll *coll, const char *name,
                              const vecdb_value *value, const struct model_row *row) {
  uint32_t variant = coll->variant;
  size_t bytes2 = model_type2(variant) == VECDB_BINARY_VECTOR    ? MODEL_DIM2 / 8
                  : model_type2(variant) == VECDB_FLOAT16_VECTOR ? MODEL_DIM2 * 2
                                                                 : MODEL_DIM2;
  switch (name[0]) {
    case 'w': return value->type == VECDB_INT64 && value->as.integer == row->w;
    case 'n': return model_check_null(value, row->n_null, value->as.integer == row->n);
    case 'd': return value->type == VECDB_DOUBLE && value->as.number == row->d;
    case 'f': return value->type == VECDB_BOOL && value->as.boolean == row->flag;
    case 's':
      return row->s_null ? value->type == 0
                         : value->type == VECDB_VARCHAR && value->length == strlen(row->s) &&
                               model_same_bytes(value, row->s, strlen(row->s));
    case 't':
      return row->tags_null ? value->type == 0
                            : value->type == VECDB_ARRAY && value->length == row->n_tags &&
                                  model_same_bytes(value, row->tags, row->n_tags * sizeof(int32_t));
    case 'x': return model_check_null(value, row->x_null, value->as.integer == row->x);
    case 'e': return coll->extra && model_check_extra(coll, value, row);
    case 'v': return value->length == MODEL_DIM && model_same_bytes(value, row->v, sizeof row->v);
    case 'u': return value->length == MODEL_DIM2 && model_same_bytes(value, row->u, bytes2);
    default: return true; /* the key */
  }
}

bool model_check_row(const struct model_coll *coll, const vecdb_rows *rows, size_t i,
                     uint64_t stamp) {
  struct model_row row;
  model_row_of(coll, stamp, &row);
  for (size_t f = 1; f < vecdb_rows_n_fields(rows); f++) {
    const char *name = vecdb_rows_field(rows, f);
    vecdb_value value = vecdb_rows_value(rows, i, f);
    if (!model_check_field(coll, name, &value, &row))
      return model_differs("wrong value in field %s of the row with stamp %llu", name,
                           (unsigned long long)stamp);
  }
  return true;
}

struct model_names {
  uint32_t seen;
  bool odd;
};

static int model_visit(void *user, const char *name) {
  struct model_names *names = user;
  if (name[0] == 'c' && name[1] >= '0' && name[1] < '0' + MODEL_COLLS && !name[2])
    names->seen |= 1u << (name[1] - '0');
  else
    names->odd = true;
  return 0;
}

static bool model_load_rows(struct model *out, uint32_t c, const vecdb_rows *rows) {
  struct model_coll *coll = &out->colls[c];
  int64_t before = -1;
  int w = vecdb_rows_find(rows, "w");
  for (size_t i = 0; i < vecdb_rows_count(rows); i++) {
    vecdb_value key = vecdb_rows_value(rows, i, 0);
    int64_t k = model_key_number(coll->variant, &key);
    if (k < 0 || k >= (int64_t)out->n_keys)
      return model_differs("%s holds a key that was never written", model_name(c));
    if (k <= before)
      return model_differs("%s: key %lld comes after key %lld", model_name(c), (long long)k,
                           (long long)before);
    before = k;
    vecdb_value stamp = vecdb_rows_value(rows, i, (size_t)w);
    coll->stamps[k] = (uint64_t)stamp.as.integer;
    if (stamp.as.integer <= 0 ||
        !model_check_row(coll, rows, i, (uint64_t)stamp.as.integer))
      return false;
  }
  return true;
}

/* What the schema says beyond the variant. */
static void model_load_shape(const vecdb_collection *from, struct model_coll *coll) {
  const vecdb_schema *schema = vecdb_collection_schema(from);
  coll->extra = 0;
  coll->renamed = false;
  for (uint32_t f = 0; f < schema->n_fields; f++)
    if (schema->fields[f].name[0] == 'e') {
      sscanf(schema->fields[f].description, "extra %u", &coll->extra);
      coll->renamed = schema->fields[f].name[1] != '\0';
    }
  coll->expires = vecdb_expiry(from, NULL) != NULL;
}

static bool model_load_coll(vecdb *db, struct model *out, uint32_t c) {
  vecdb_error err;
  vecdb_collection *coll;
  if (vecdb_collection_get(db, model_name(c), &coll, &err))
    return model_differs("%s: %s", model_name(c), err.message);
  const vecdb_schema *schema = vecdb_collection_schema(coll);
  unsigned variant = 0;
  bool ok = schema->description && sscanf(schema->description, "variant %u", &variant) == 1;
  if (!ok)
    model_differs("%s has no description", model_name(c));
  out->colls[c].exists = true;
  out->colls[c].variant = variant;
  model_load_shape(coll, &out->colls[c]);
  vecdb_query_params params = VECDB_QUERY_PARAMS_INIT;
  vecdb_rows *rows = NULL;
  if (ok && vecdb_query(coll, &params, &rows, &err))
    ok = model_differs("query of %s: %s", model_name(c), err.message);
  ok = ok && model_load_rows(out, c, rows);
  vecdb_rows_free(rows);
  uint64_t count = 0;
  if (ok && vecdb_count(coll, NULL, &count, &err))
    ok = model_differs("count of %s: %s", model_name(c), err.message);
  if (ok && count != model_count(out, c))
    ok = model_differs("%s counts %llu rows, its query gives %llu", model_name(c),
                       (unsigned long long)count, (unsigned long long)model_count(out, c));
  vecdb_collection_release(coll);
  return ok;
}

bool model_load(vecdb *db, struct model *out) {
  struct model_names names = {0, false};
  vecdb_error err;
  if (vecdb_collection_list(db, model_visit, &names, &err))
    return model_differs("list: %s", err.message);
  if (names.odd)
    return model_differs("there is a collection that was never made");
  for (uint32_t c = 0; c < MODEL_COLLS; c++) {
    out->colls[c].exists = false;
    memset(out->colls[c].stamps, 0, out->n_keys * sizeof(uint64_t));
    if ((names.seen >> c & 1) && !model_load_coll(db, out, c))
      return false;
  }
  return true;
}
