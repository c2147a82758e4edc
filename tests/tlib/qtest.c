/* qtest.c - the model database of tests of lib/query; see qtest.h. */
#include "qtest.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rng.h"

const char *const qt_words[QT_WORDS] = {"",   "alpha",     "alps",                 "beta",
                                        "be", "gamma 50%", "d\xc3\xa9j\xc3\xa0", "zz"};

enum { QT_A_VALUES = 20, QT_B_VALUES = 1000, QT_NUMBERS = 10, QT_BATCH = 300 };

static const char qt_dir[] = "db";

static void qt_ok(int rc, const vecdb_error *err) {
  if (rc != VECDB_OK)
    print_error("%s: %s\n", vecdb_status_name(rc), err->message);
  assert_int_equal(rc, VECDB_OK);
}

/* ---- Schema and rows ------------------------------------------------------------------------- */

static void qt_schema(struct qt_db *db) {
  const struct qt_config *c = &db->config;
  uint32_t bits = c->vector_type == VECDB_BINARY_VECTOR ? QT_DIM * 4 : QT_DIM;
  vecdb_field fields[] = {
      {.name = "a", .type = VECDB_INT32, .flags = VECDB_NULLABLE},
      {.name = "id", .type = c->text_keys ? VECDB_VARCHAR : VECDB_INT64, .flags = VECDB_PRIMARY_KEY,
       .max_length = c->text_keys ? 24 : 0},
      {.name = "b", .type = VECDB_INT64},
      {.name = "d", .type = VECDB_DOUBLE, .flags = VECDB_NULLABLE},
      {.name = "flag", .type = VECDB_BOOL},
      {.name = "s", .type = VECDB_VARCHAR, .max_length = 32},
      {.name = "tags", .type = VECDB_ARRAY, .element_type = VECDB_VARCHAR, .max_length = 32,
       .max_capacity = QT_TAGS},
      {.name = "numbers", .type = VECDB_ARRAY, .element_type = VECDB_INT32,
       .max_capacity = QT_TAGS},
      {.name = "v", .type = c->vector_type, .dim = bits, .metric = c->metric},
      {.name = "other", .type = VECDB_FLOAT_VECTOR, .dim = 2, .metric = VECDB_L2},
  };
  vecdb_schema schema = {.size = sizeof schema, .field_size = sizeof(vecdb_field),
                         .fields = fields, .n_fields = VDB_COUNT(fields)};
  vecdb_error err = {0};
  qt_ok(vdb_schema_new(&db->env.mem, &schema, &db->schema, &err), &err);
  db->field = 8;
}

static void qt_decode(const struct qt_db *db, const uint8_t *v, double *out) {
  for (uint32_t i = 0; i < QT_DIM; i++) {
    float f = 0;
    uint16_t half;
    switch (db->config.vector_type) {
    case VECDB_FLOAT_VECTOR:
      memcpy(&f, v + i * 4, 4);
      break;
    case VECDB_FLOAT16_VECTOR:
    case VECDB_BFLOAT16_VECTOR:
      memcpy(&half, v + i * 2, 2);
      (db->config.vector_type == VECDB_FLOAT16_VECTOR ? vdb_kern()->f16_to_f32
                                                      : vdb_kern()->bf16_to_f32)(&half, &f, 1);
      break;
    case VECDB_INT8_VECTOR:
      f = (float)(int8_t)v[i];
      break;
    default:
      for (uint32_t bit = 0; bit < 4; bit++)
        out[i * 4 + bit] = v[(i * 4 + bit) / 8] >> ((i * 4 + bit) % 8) & 1;
      continue;
    }
    out[i] = f;
  }
}

size_t qt_bytes(const struct qt_db *db) {
  const struct vdb_field *f = &db->schema->fields[db->field];
  return vdb_elem_row_bytes(vdb_elem_of(f->type), f->dim);
}

void qt_query(struct qt_db *db, void *out) {
  uint8_t *bytes = out;
  float values[QT_DIM];
  uint16_t half[QT_DIM];
  /* A few clusters, so that filters and neighbourhoods go together. */
  uint32_t cluster = vdb_rng_below(&db->rng, 5);
  for (uint32_t i = 0; i < QT_DIM; i++)
    values[i] = (float)(vdb_rng_unit(&db->rng) - 0.5 + ((i + cluster) % 5 == 0 ? 1.5 : 0));
  switch (db->config.vector_type) {
  case VECDB_FLOAT_VECTOR:
    memcpy(out, values, sizeof values);
    break;
  case VECDB_FLOAT16_VECTOR:
    vdb_kern()->f32_to_f16(values, half, QT_DIM);
    memcpy(out, half, sizeof half);
    break;
  case VECDB_BFLOAT16_VECTOR:
    vdb_kern()->f32_to_bf16(values, half, QT_DIM);
    memcpy(out, half, sizeof half);
    break;
  case VECDB_INT8_VECTOR:
    for (uint32_t i = 0; i < QT_DIM; i++)
      bytes[i] = (uint8_t)(int8_t)(values[i] * 40);
    break;
  default:
    for (uint32_t i = 0; i < QT_DIM * 4 / 8; i++)
      bytes[i] = (uint8_t)(vdb_rng_next(&db->rng) >> 11);
  }
}

static struct qt_row *qt_new_row(struct qt_db *db, int64_t id) {
  assert_true(db->n_rows < db->capacity);
  struct qt_row *r = &db->rows[db->n_rows++];
  struct vdb_rng *rng = &db->rng;
  r->id = id;
  db->newest[id] = db->n_rows;
  snprintf(r->key, sizeof r->key, "k%05lld", (long long)id);
  r->a = (int32_t)vdb_rng_below(rng, QT_A_VALUES);
  r->a_null = vdb_rng_below(rng, 10) == 0;
  r->b = vdb_rng_below(rng, QT_B_VALUES);
  r->d = vdb_rng_unit(rng);
  r->d_null = vdb_rng_below(rng, 10) == 0;
  r->flag = vdb_rng_below(rng, 2);
  r->s = vdb_rng_below(rng, QT_WORDS);
  r->n_tags = vdb_rng_below(rng, QT_TAGS + 1);
  for (uint32_t i = 0; i < r->n_tags; i++) {
    r->tags[i] = vdb_rng_below(rng, QT_WORDS);
    r->numbers[i] = (int32_t)vdb_rng_below(rng, QT_NUMBERS);
  }
  r->live = true;
  qt_query(db, r->vector);
  if (db->config.far && r->flag)
    for (uint32_t i = 0; i < QT_DIM; i++) {
      float element;
      memcpy(&element, r->vector + i * 4, 4);
      element += 8;
      memcpy(r->vector + i * 4, &element, 4);
    }
  qt_decode(db, r->vector, r->decoded);
  return r;
}

/* ---- Writing --------------------------------------------------------------------------------- */

/* The columns of some rows, as a caller would bring them. */
struct qt_columns {
  const char *keys[QT_BATCH];
  uint8_t a_valid[QT_BATCH];
  uint8_t d_valid[QT_BATCH];
  const char *s[QT_BATCH];
  vecdb_string tag_text[QT_BATCH][QT_TAGS];
  const void *tags[QT_BATCH];
  const void *numbers[QT_BATCH];
  uint32_t n_tags[QT_BATCH];
  float other[QT_BATCH][2];
};

static void qt_fill_columns(struct qt_columns *c, const struct qt_row *rows, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) {
    const struct qt_row *r = &rows[i];
    c->keys[i] = r->key;
    c->a_valid[i] = !r->a_null;
    c->d_valid[i] = !r->d_null;
    c->s[i] = qt_words[r->s];
    for (uint32_t t = 0; t < r->n_tags; t++)
      c->tag_text[i][t] = (vecdb_string){qt_words[r->tags[t]], strlen(qt_words[r->tags[t]])};
    c->tags[i] = c->tag_text[i];
    c->numbers[i] = r->numbers;
    c->n_tags[i] = r->n_tags;
    c->other[i][0] = (float)r->b;
    c->other[i][1] = 1;
  }
}

static void qt_append(struct qt_db *db, struct vdb_seg *seg, const struct qt_row *rows,
                      uint32_t n) {
  struct qt_columns *c = calloc(1, sizeof *c);
  qt_fill_columns(c, rows, n);
  size_t stride = sizeof *rows;
  vecdb_column columns[] = {
      {.field = "v", .data = rows->vector, .stride = stride},
      {.field = "id", .data = c->keys},
      {.field = "a", .data = &rows->a, .stride = stride, .valid = c->a_valid},
      {.field = "b", .data = &rows->b, .stride = stride},
      {.field = "d", .data = &rows->d, .stride = stride, .valid = c->d_valid},
      {.field = "flag", .data = &rows->flag, .stride = stride},
      {.field = "s", .data = c->s},
      {.field = "tags", .data = c->tags, .lengths = c->n_tags},
      {.field = "numbers", .data = c->numbers, .lengths = c->n_tags},
      {.field = "other", .data = c->other},
  };
  if (!db->config.text_keys)
    columns[1] = (vecdb_column){.field = "id", .data = &rows->id, .stride = stride};
  vecdb_batch batch = {.size = sizeof batch, .column_size = sizeof *columns, .columns = columns,
                       .n_columns = VDB_COUNT(columns), .n_rows = n};
  struct vdb_writer record = VDB_WRITER(&db->env.mem);
  uint32_t encoded, source[QT_BATCH];
  vecdb_error err = {0};
  qt_ok(vdb_batch_encode(&db->env.mem, db->schema, &batch, 1, &record, &encoded, source, &err),
        &err);
  assert_int_equal(encoded, n);
  struct vdb_batch decoded;
  qt_ok(vdb_batch_decode(&db->env.mem, db->schema, record.data, record.n, &decoded, &err), &err);
  qt_ok(vdb_growing_reserve(seg, &decoded, &err), &err);
  vdb_growing_append(seg, &decoded, ++db->seq);
  vdb_batch_fini(&db->env.mem, &decoded);
  vdb_writer_free(&record);
  free(c);
}

static void qt_mark(struct qt_db *db, struct vdb_seg *seg, uint32_t row, uint64_t seq) {
  assert_true(vdb_tombs_reserve(&db->env.mem, seg->tombs, row));
  vdb_tombs_mark(seg->tombs, row, seq);
}

/* The file of a growing segment and, if wanted, a graph, in its place. */
static struct vdb_seg *qt_seal(struct qt_db *db, struct vdb_seg *growing, uint32_t n,
                               bool indexed) {
  struct vdb_env *env = &db->env;
  vecdb_error err = {0};
  struct vdb_sealed_source source = {{growing, n}, NULL, n};
  struct vdb_sealed_write w = {.env = env,
                               .dir = qt_dir,
                               .name = "c",
                               .schema = db->schema,
                               .number = db->next_file++,
                               .sources = &source,
                               .n_sources = 1};
  struct vdb_blob_id id;
  qt_ok(vdb_sealed_write(&w, &id, &err), &err);
  struct vdb_sealed_open o = {env, qt_dir, db->schema, id, n, true, NULL, NULL};
  struct vdb_sealed *sealed;
  qt_ok(vdb_sealed_open(&o, &sealed, &err), &err);
  struct vdb_seg *seg;
  qt_ok(vdb_seg_of_sealed(sealed, db->schema, growing->id, growing->tombs, &seg, &err), &err);
  vdb_sealed_unref(sealed);
  vdb_seg_unref(growing);
  if (!indexed)
    return seg;
  struct vdb_par par = vdb_par_serial();
  struct vdb_seg_index_build b = {.seg = seg, .dir = qt_dir, .number = db->next_file++,
                                  .field = db->field, .params = db->index[db->field], .par = &par,
                                  .seed = db->config.seed + 1};
  b.params.type = VECDB_INDEX_HNSW;
  struct vdb_seg_index_open open = {seg, qt_dir, {0}, db->field, b.params, NULL, true, NULL};
  qt_ok(vdb_seg_index_build(&b, &open.blob, &err), &err);
  qt_ok(vdb_seg_index_open(&open, &seg->indexes[db->field], &err), &err);
  qt_ok(vdb_seg_index_measure(seg->indexes[db->field], &par, 1, NULL, &err), &err);
  return seg;
}

/* Rows of one segment: new ones, and new versions of some that older segments hold. */
static void qt_fill_segment(struct qt_db *db, uint32_t number) {
  const struct qt_config *c = &db->config;
  uint32_t n = c->rows - vdb_rng_below(&db->rng, c->rows / 4 + 1);
  uint32_t first = db->n_rows;
  struct vdb_seg *seg;
  vecdb_error err = {0};
  qt_ok(vdb_growing_new(&db->env, db->schema, number + 1, n, &seg, &err), &err);
  struct vdb_seg_view *views = db->snapshot->segs;
  for (uint32_t i = 0; i < n; i++) {
    int64_t id = (int64_t)first + i + 1;
    if (first > 0 && vdb_rng_below(&db->rng, 50) == 0) {
      uint32_t old = vdb_rng_below(&db->rng, first);
      if (db->rows[old].live) {
        id = db->rows[old].id;
        db->rows[old].live = false;
        uint32_t s = 0;
        while (old >= views[s].n)
          old -= views[s++].n;
        qt_mark(db, views[s].seg, old, db->seq + 1);
      }
    }
    qt_new_row(db, id);
  }
  for (uint32_t i = 0; i < n; i += QT_BATCH)
    qt_append(db, seg, &db->rows[first + i], vdb_min_u32(QT_BATCH, n - i));
  bool sealed = number < c->sealed + c->indexed;
  if (sealed)
    seg = qt_seal(db, seg, n, number < c->indexed);
  views[number].seg = seg;
  views[number].n = n;
  db->snapshot->n_segs = number + 1;
}

/* Deletes rows; one in four of them after the snapshot, which must still see it. */
static void qt_delete(struct qt_db *db) {
  uint32_t row = 0;
  db->snapshot->seq = db->seq + 1;
  for (uint32_t s = 0; s < db->snapshot->n_segs; s++)
    for (uint32_t i = 0; i < db->snapshot->segs[s].n; i++, row++) {
      if (!db->rows[row].live || vdb_rng_below(&db->rng, 100) >= db->config.deleted)
        continue;
      bool later = vdb_rng_below(&db->rng, 4) == 0;
      qt_mark(db, db->snapshot->segs[s].seg, i, db->seq + (later ? 2 : 1));
      db->rows[row].live = later;
    }
  db->seq += 2;
}

void qt_open(struct qt_db *db, const struct qt_config *config) {
  memset(db, 0, sizeof *db);
  db->config = *config;
  db->rng.state = config->seed;
  db->next_file = 1;
  vecdb_error err = {0};
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.allocator = config->allocator;
  qt_ok(vdb_env_init(&db->env, &options, true, &err), &err);
  assert_int_equal(db->env.vfs->make_dir(db->env.vfs, qt_dir), 0);
  qt_schema(db);
  for (uint32_t i = 0; i < db->schema->n_fields; i++)
    if (vdb_type_is_vector(db->schema->fields[i].type)) {
      struct vdb_index_field field = vdb_seg_index_field(&db->schema->fields[i]);
      qt_ok(vdb_index_params_fill(&db->index[i], &field, &err), &err);
    }
  uint32_t n_segs = config->growing + config->sealed + config->indexed;
  db->capacity = n_segs * config->rows;
  db->rows = calloc(db->capacity + 1, sizeof *db->rows);
  db->newest = calloc(db->capacity + 1, sizeof *db->newest);
  db->snapshot = vdb_alloc_zero(&db->env.mem, sizeof *db->snapshot +
                                                  n_segs * sizeof(struct vdb_seg_view));
  db->snapshot->env = &db->env;
  db->snapshot->schema = db->schema;
  db->snapshot->segs = (struct vdb_seg_view *)(db->snapshot + 1);
  db->snapshot->index = db->index;
  db->snapshot->index_rows = config->index_rows;
  for (uint32_t i = 0; i < n_segs; i++)
    qt_fill_segment(db, i);
  qt_delete(db);
}

void qt_close(struct qt_db *db) {
  vdb_snapshot_release(db->snapshot);
  vdb_schema_free(&db->env.mem, db->schema);
  vdb_env_fini(&db->env);
  assert_int_equal(db->env.mem.used, 0);
  free(db->rows);
  free(db->newest);
}

/* ---- Filters --------------------------------------------------------------------------------- */

static void qt_leaf_text(const struct qt_node *node, char *out, size_t n) {
  long long x = node->x, y = node->y;
  switch (node->kind) {
  case QT_A_LESS:
    snprintf(out, n, "a < %lld", x);
    break;
  case QT_A_IS:
    snprintf(out, n, "a == %lld", x);
    break;
  case QT_A_IN:
    snprintf(out, n, "a in [%lld, %lld, 19]", x, y);
    break;
  case QT_A_NULL:
    snprintf(out, n, "a is null");
    break;
  case QT_A_CHAIN:
    snprintf(out, n, "%lld < a <= %lld", x, y);
    break;
  case QT_B_MOD:
    snprintf(out, n, "b %% 7 == %lld", x % 7);
    break;
  case QT_B_BELOW:
    snprintf(out, n, "b < %lld", x * x * 3);
    break;
  case QT_D_OVER:
    snprintf(out, n, "d > %lld.5 / 20", x);
    break;
  case QT_FLAG:
    snprintf(out, n, "flag == true");
    break;
  case QT_S_LIKE:
    snprintf(out, n, "s like \"al%%\"");
    break;
  case QT_S_IS:
    snprintf(out, n, "s == \"%s\"", qt_words[x % QT_WORDS]);
    break;
  case QT_NUMBER:
    snprintf(out, n, "array_contains(numbers, %lld)", x % QT_NUMBERS);
    break;
  default:
    snprintf(out, n, "array_contains_any(tags, [\"%s\", \"none\"])", qt_words[x % QT_WORDS]);
  }
}

static int qt_filter_node(struct qt_filter *f, struct vdb_rng *rng, int depth, char *out,
                          size_t size) {
  struct qt_node node = {.left = -1, .right = -1};
  char left[512] = "", right[512] = "";
  bool inner = depth > 0 && f->n < QT_FILTER_NODES - 4 && vdb_rng_below(rng, 3) > 0;
  if (!inner) {
    node.kind = QT_A_LESS + (int)vdb_rng_below(rng, QT_KINDS - QT_A_LESS);
    node.x = vdb_rng_below(rng, QT_A_VALUES);
    node.y = vdb_rng_below(rng, QT_A_VALUES);
    qt_leaf_text(&node, out, size);
  } else {
    node.kind = QT_AND + (int)vdb_rng_below(rng, 3);
    node.left = qt_filter_node(f, rng, depth - 1, left, sizeof left / 2 - 16);
    if (node.kind == QT_NOT) {
      snprintf(out, size, "not (%s)", left);
    } else {
      node.right = qt_filter_node(f, rng, depth - 1, right, sizeof right / 2 - 16);
      snprintf(out, size, "(%s) %s (%s)", left, node.kind == QT_AND ? "and" : "or", right);
    }
  }
  f->nodes[f->n] = node;
  return f->n++;
}

void qt_filter_make(struct qt_filter *filter, struct vdb_rng *rng, int depth) {
  filter->n = 0;
  filter->root = qt_filter_node(filter, rng, depth, filter->text, sizeof filter->text);
}

vecdb_filter qt_filter_text(const struct qt_filter *filter) {
  vecdb_filter f = {filter ? filter->text : NULL, 0, NULL, 0};
  return f;
}

static bool qt_has(const struct qt_row *row, bool tag, int64_t wanted) {
  for (uint32_t i = 0; i < row->n_tags; i++)
    if ((tag ? (int64_t)row->tags[i] : row->numbers[i]) == wanted)
      return true;
  return false;
}

/* 1 true, 0 false, -1 unknown. */
static int qt_leaf(const struct qt_node *node, const struct qt_row *row) {
  int64_t x = node->x, y = node->y;
  bool on_a = node->kind == QT_A_LESS || node->kind == QT_A_IS || node->kind == QT_A_IN ||
              node->kind == QT_A_CHAIN;
  if ((on_a && row->a_null) || (node->kind == QT_D_OVER && row->d_null))
    return -1;
  switch (node->kind) {
  case QT_A_LESS:
    return row->a < x;
  case QT_A_IS:
    return row->a == x;
  case QT_A_IN:
    return row->a == x || row->a == y || row->a == 19;
  case QT_A_NULL:
    return row->a_null;
  case QT_A_CHAIN:
    return x < row->a && row->a <= y;
  case QT_B_MOD:
    return row->b % 7 == x % 7;
  case QT_B_BELOW:
    return row->b < x * x * 3;
  case QT_D_OVER:
    return row->d > ((double)x + 0.5) / 20;
  case QT_FLAG:
    return row->flag;
  case QT_S_LIKE:
    return strncmp(qt_words[row->s], "al", 2) == 0;
  case QT_S_IS:
    return (int64_t)row->s == x % QT_WORDS;
  case QT_NUMBER:
    return qt_has(row, false, x % QT_NUMBERS);
  default:
    return qt_has(row, true, x % QT_WORDS);
  }
}

static int qt_eval(const struct qt_filter *f, int i, const struct qt_row *row) {
  const struct qt_node *node = &f->nodes[i];
  if (node->kind > QT_NOT)
    return qt_leaf(node, row);
  int left = qt_eval(f, node->left, row);
  if (node->kind == QT_NOT)
    return left < 0 ? -1 : !left;
  int right = qt_eval(f, node->right, row);
  int decides = node->kind == QT_OR;
  if (left == decides || right == decides)
    return decides;
  return left < 0 || right < 0 ? -1 : !decides;
}

bool qt_passes(const struct qt_filter *filter, const struct qt_row *row) {
  return !filter || qt_eval(filter, filter->root, row) == 1;
}

bool qt_allowed(const struct qt_filter *filter, const struct qt_row *row) {
  return row->live && qt_passes(filter, row);
}

/* ---- Answers --------------------------------------------------------------------------------- */

bool qt_smaller(const struct qt_db *db) {
  return db->config.metric != VECDB_IP && db->config.metric != VECDB_COSINE;
}

double qt_slack(double score) { return 2e-4 * (1 + fabs(score)); }

/* Of a query that is decoded. */
static double qt_score_of(const struct qt_db *db, const double *q, const struct qt_row *row) {
  double dot = 0, l2 = 0, qq = 0, rr = 0, either = 0;
  uint32_t n = db->schema->fields[db->field].dim;
  for (uint32_t i = 0; i < n; i++) {
    double r = row->decoded[i];
    dot += q[i] * r;
    l2 += (q[i] - r) * (q[i] - r);
    qq += q[i] * q[i];
    rr += r * r;
    either += q[i] != 0 || r != 0;
  }
  switch (db->config.metric) {
  case VECDB_IP:
    return dot;
  case VECDB_COSINE:
    return qq > 0 && rr > 0 ? dot / sqrt(qq * rr) : 0;
  case VECDB_JACCARD:
    return either > 0 ? 1 - dot / either : 0;
  default:
    return l2; /* HAMMING too */
  }
}

double qt_score(const struct qt_db *db, const void *query, const struct qt_row *row) {
  double q[QT_DIM * 4];
  qt_decode(db, query, q);
  return qt_score_of(db, q, row);
}

struct qt_scored {
  const struct qt_row *row;
  double order; /* score, negated where larger is nearer */
};

static int qt_compare(const void *a, const void *b) {
  const struct qt_scored *x = a, *y = b;
  if (x->order != y->order)
    return x->order < y->order ? -1 : 1;
  return x->row->id < y->row->id ? -1 : x->row->id > y->row->id;
}

void qt_answer_make(struct qt_answer *answer, const struct qt_db *db, const void *query,
                    const struct qt_filter *filter) {
  struct qt_scored *scored = calloc(db->n_rows + 1, sizeof *scored);
  uint32_t n = 0;
  double sign = qt_smaller(db) ? 1 : -1, q[QT_DIM * 4];
  qt_decode(db, query, q);
  for (uint32_t i = 0; i < db->n_rows; i++)
    if (qt_allowed(filter, &db->rows[i])) {
      scored[n].row = &db->rows[i];
      scored[n++].order = sign * qt_score_of(db, q, &db->rows[i]);
    }
  qsort(scored, n, sizeof *scored, qt_compare);
  answer->rows = calloc(n + 1, sizeof *answer->rows);
  answer->scores = calloc(n + 1, sizeof *answer->scores);
  answer->n = n;
  for (uint32_t i = 0; i < n; i++) {
    answer->rows[i] = scored[i].row;
    answer->scores[i] = sign * scored[i].order;
  }
  free(scored);
}

void qt_answer_free(struct qt_answer *answer) {
  free(answer->rows);
  free(answer->scores);
}

const struct qt_row *qt_find(const struct qt_db *db, int64_t id) {
  if (id < 0 || id > db->capacity || db->newest[id] == 0)
    return NULL;
  const struct qt_row *row = &db->rows[db->newest[id] - 1];
  return row->live ? row : NULL;
}

int64_t qt_key_number(const vecdb_value *key) {
  if (key->type == VECDB_INT64)
    return key->as.integer;
  assert_int_equal(key->type, VECDB_VARCHAR);
  char text[24] = "";
  assert_in_range(key->length, 2, sizeof text - 1);
  memcpy(text, key->as.data, key->length);
  return atoll(text + 1);
}

/* ---- Rows ------------------------------------------------------------------------------------ */

static void qt_check_text(const vecdb_value *v, const char *expected) {
  assert_int_equal(v->type, VECDB_VARCHAR);
  assert_int_equal(v->length, strlen(expected));
  assert_memory_equal(v->as.data, expected, v->length);
}

static void qt_check_value(const struct qt_db *db, const char *name, const vecdb_value *v,
                           const struct qt_row *row) {
  if (strcmp(name, "id") == 0) {
    assert_int_equal(qt_key_number(v), row->id);
  } else if (strcmp(name, "a") == 0) {
    assert_int_equal(v->type, row->a_null ? 0 : VECDB_INT32);
    assert_int_equal(v->as.integer, row->a_null ? v->as.integer : row->a);
  } else if (strcmp(name, "b") == 0) {
    assert_int_equal(v->as.integer, row->b);
  } else if (strcmp(name, "d") == 0) {
    assert_int_equal(v->type, row->d_null ? 0 : VECDB_DOUBLE);
    assert_true(row->d_null || v->as.number == row->d);
  } else if (strcmp(name, "flag") == 0) {
    assert_int_equal(v->as.boolean, row->flag);
  } else if (strcmp(name, "s") == 0) {
    qt_check_text(v, qt_words[row->s]);
  } else if (strcmp(name, "tags") == 0) {
    assert_int_equal(v->type, VECDB_ARRAY);
    assert_int_equal(v->length, row->n_tags);
    const vecdb_string *tags = v->as.data;
    for (uint32_t i = 0; i < row->n_tags; i++) {
      assert_int_equal(tags[i].length, strlen(qt_words[row->tags[i]]));
      assert_memory_equal(tags[i].data, qt_words[row->tags[i]], tags[i].length);
    }
  } else if (strcmp(name, "numbers") == 0) {
    assert_int_equal(v->element_type, VECDB_INT32);
    assert_int_equal(v->length, row->n_tags);
    assert_memory_equal(v->as.data, row->numbers, row->n_tags * sizeof *row->numbers);
  } else if (strcmp(name, "v") == 0) {
    assert_int_equal(v->type, db->config.vector_type);
    assert_int_equal(v->length, db->schema->fields[db->field].dim);
    assert_memory_equal(v->as.data, row->vector, qt_bytes(db));
  } else {
    assert_string_equal(name, "other");
    assert_true(((const float *)v->as.data)[0] == (float)row->b);
  }
}

void qt_check_row(const struct qt_db *db, const vecdb_rows *rows, size_t i,
                  const struct qt_row *row) {
  assert_non_null(row);
  assert_string_equal(vecdb_rows_field(rows, 0), "id");
  for (size_t c = 0; c < vecdb_rows_n_fields(rows); c++) {
    const char *name = vecdb_rows_field(rows, c);
    assert_int_equal(vecdb_rows_find(rows, name), c);
    vecdb_value v = vecdb_rows_value(rows, i, c);
    qt_check_value(db, name, &v, row);
  }
}
