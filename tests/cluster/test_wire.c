/* test_wire.c - messages are read as written; none that is cut or flipped is; later ones are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tlib/thorough.h"
#include "wire/message.h"
#include "wire/schema.h"

static uint64_t tw_state;

static uint32_t tw_random(uint32_t n) {
  tw_state = tw_state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)((tw_state >> 33) % n);
}

/* The message's bytes in a block of exactly their size, so that a read behind them is found. */
static uint8_t *tw_write(const struct wire_message *m, size_t *n) {
  struct wire_out out;
  wire_out_init(&out, WIRE_LIMIT);
  wire_message_write(m, &out);
  assert_int_equal(out.status, WIRE_OK);
  uint8_t *bytes = malloc(out.n);
  memcpy(bytes, out.data, out.n);
  *n = out.n;
  wire_out_free(&out);
  return bytes;
}

static enum wire_status tw_read(const uint8_t *bytes, size_t n) {
  struct wire_mem mem = {0};
  struct wire_message m;
  uint8_t *copy = malloc(n ? n : 1);
  memcpy(copy, bytes, n);
  enum wire_status status = wire_message_read(copy, n, &mem, &m);
  wire_mem_free(&mem);
  free(copy);
  return status;
}

/* ---- One message of each kind, with all that it may have ---- */

static const int64_t tw_ids[] = {7, -1, INT64_MAX};
static const vecdb_string tw_strings[] = {{"a", 1}, {"", 0}, {"key three", 9}};
static const char *const tw_texts[] = {"one", "two two", ""};
static const float tw_vectors[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
static const uint8_t tw_valid[] = {1, 0, 1};
static const bool tw_flags[] = {true, false, true};
static const int16_t tw_shorts[] = {-5, 6, -7};
static const vecdb_sparse_pair tw_pairs[] = {{3, 0.5f}, {9, -1}};
static const vecdb_sparse tw_sparse[] = {{tw_pairs, 2}, {NULL, 0}, {tw_pairs, 1}};
static const uint32_t tw_lengths[] = {2, 0, 3};
static const void *const tw_arrays[] = {tw_shorts, NULL, tw_shorts};
static const void *const tw_tags[] = {tw_strings, NULL, tw_strings};
static const struct wire_column tw_columns[] = {
    {"id", VECDB_INT64, 0, 0, tw_ids, 0, NULL, NULL},
    {"text", VECDB_VARCHAR, 0, 0, tw_texts, 0, NULL, NULL},
    {"v", VECDB_FLOAT_VECTOR, 0, 3, tw_vectors, 0, NULL, NULL},
    {"flag", VECDB_BOOL, 0, 0, tw_flags, 0, NULL, tw_valid},
    {"sparse", VECDB_SPARSE_VECTOR, 0, 0, tw_sparse, 0, NULL, NULL},
    {"nothing", VECDB_DOUBLE, 0, 0, NULL, 0, NULL, NULL},
    {"unknown", 0, 0, 0, NULL, 0, NULL, NULL},
    {"shorts", VECDB_ARRAY, VECDB_INT16, 0, tw_arrays, 0, tw_lengths, tw_valid},
    {"tags", VECDB_ARRAY, VECDB_VARCHAR, 0, tw_tags, 0, tw_lengths, tw_valid},
    {"json", VECDB_JSON, 0, 0, tw_texts, 0, NULL, tw_valid},
};
static const vecdb_param tw_params[] = {
    {"n", {VECDB_INT64, 0, {.integer = -3}, 0}}, {"x", {VECDB_DOUBLE, 0, {.number = 0.25}, 0}},
    {"b", {VECDB_BOOL, 0, {.boolean = true}, 0}}, {"s", {VECDB_VARCHAR, 3, {.data = "abc"}, 0}},
    {"l", {VECDB_ARRAY, 3, {.data = tw_ids}, VECDB_INT64}},
    {"t", {VECDB_ARRAY, 3, {.data = tw_strings}, VECDB_VARCHAR}},
};
static const char *const tw_names[] = {"text", "flag"};
static const uint32_t tw_counts[] = {2, 1};
static const float tw_scores[] = {0.5f, 0.25f, -1};
static const uint64_t tw_rows[] = {10, 20, 30};
static const vecdb_filter tw_filters[] = {{"n == {n}", 0, tw_params, 6}, {"n > 3", 5, NULL, 0}};
static const struct wire_document tw_documents[] = {{5, 1, 0, 77, "{}", 2}, {8, 1, 3, 78, "", 0}};

static struct wire_message tw_message(uint16_t kind, uint32_t has) {
  struct wire_message m = {.kind = kind, .has = has};
  m.target = (struct wire_target){3, 4, 5, 6, 7, 8};
  m.write = (struct wire_write){UINT64_MAX, 9, WIRE_UPSERT, 2, 1};
  m.rows = (struct wire_columns){3, sizeof tw_columns / sizeof *tw_columns, tw_columns, NULL};
  m.keys = (vecdb_keys){tw_ids, NULL, 3};
  m.filter = (vecdb_filter){"n == {n}", 0, tw_params, 6};
  m.fields = (struct wire_names){tw_names, 2};
  m.search = (struct wire_search){"v", VECDB_FLOAT_VECTOR, 3, 3, 10, 64, 8, 0.9f, 1, tw_vectors};
  m.group = (struct wire_group){"kind", 3};
  m.read = (struct wire_read){WIRE_SESSION, true, 250, 11, 12};
  m.page = (struct wire_page){100, 1000};
  m.optimizer = (struct wire_optimizer){
      "v", false, {sizeof(vecdb_optimizer), VECDB_OPTIMIZER_ADAM, 0, 1, 0.5f, 0.75f, 0.25f, 1}};
  m.name = (struct wire_name){"docs", "{\"fields\": []}"};
  m.result = (struct wire_result){
      WIRE_NOT_PRIMARY, 4, 6, 7, 8, 9, 2, 30, 3, true, 1, 2, -1, 17, "text", "it is node 2"};
  m.hits = (struct wire_hits){2, 3, tw_counts, tw_scores};
  m.found = tw_valid;
  m.n_found = 3;
  m.number = 1234567890123;
  m.stats = (struct wire_stats){1, 2, 3, 4, 5, 6, 1, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17};
  m.summary = (struct wire_summary){"v", 3, 3, 42, tw_vectors, tw_scores, tw_rows, 0.5f, 2};
  m.documents = tw_documents;
  m.n_documents = 2;
  m.since = (struct wire_since){{21, 22, 23}, 24, true};
  m.changed = (struct wire_changed){{31, 32, 33}, 34, true, true, 2, tw_filters};
  return m;
}

#define P(part) WIRE_HAS(WIRE_##part)
static const struct tw_kind {
  uint16_t kind;
  uint8_t write;
  uint32_t has;
} tw_kinds[] = {
    {WIRE_WRITE, WIRE_UPSERT, P(TARGET) | P(OP) | P(BATCH)},
    {WIRE_WRITE, WIRE_DELETE, P(TARGET) | P(OP) | P(KEYS)},
    {WIRE_WRITE, WIRE_DELETE_WHERE, P(TARGET) | P(OP) | P(FILTER)},
    {WIRE_SEARCH, 0, P(TARGET) | P(VECTORS) | P(READ) | P(FILTER) | P(FIELDS)},
    {WIRE_GET, 0, P(TARGET) | P(KEYS) | P(READ) | P(FIELDS)},
    {WIRE_QUERY, 0, P(TARGET) | P(PAGE) | P(READ) | P(FILTER) | P(FIELDS) | P(KEYS)},
    {WIRE_MAP, 0, P(NAME)}, {WIRE_CREATE, 0, P(NAME)}, {WIRE_NUMBERS, 0, P(NUMBER)},
    {WIRE_DROP, 0, P(NAME)}, {WIRE_ALTER, 0, P(NAME)}, {WIRE_RESHAPE, 0, P(NAME)},
    {WIRE_COUNT, 0, P(TARGET) | P(READ) | P(FILTER)}, {WIRE_STATS, 0, P(TARGET)},
    {WIRE_CHANGES, 0, P(TARGET) | P(READ) | P(SINCE)}, {WIRE_CANCEL, 0, 0},
    {WIRE_ANSWER, 0, P(RESULT)}, {WIRE_WRITE, WIRE_CHECK, P(TARGET) | P(OP)}, {WIRE_ANSWER, 0,
     P(RESULT) | P(HITS) | P(BATCH) | P(FOUND) | P(NUMBER) | P(STATE) | P(SUMMARY) |
         P(DOCUMENTS_OF) | P(CHANGED) | P(KEYS)},
    {WIRE_WRITE, WIRE_OPTIMIZE, P(TARGET) | P(OP) | P(OPTIMIZER)}, {WIRE_EXPIRE, 0, P(NAME)},
    {WIRE_SPARSE, 0, P(TARGET) | P(KEYS) | P(FIELDS) | P(READ) | P(FILTER)},
    {WIRE_WRITE, WIRE_FIELDS_ADD, P(TARGET) | P(OP) | P(NAME)},
    {WIRE_WRITE, WIRE_RESHAPED, P(TARGET) | P(OP) | P(NAME)}, {WIRE_LIST, 0, 0},
    {WIRE_WRITE, WIRE_SPLIT, P(TARGET) | P(OP) | P(DOCUMENTS_OF)},
    {WIRE_SEARCH, 0, P(TARGET) | P(VECTORS) | P(READ) | P(GROUP)},
    {WIRE_EXPLAIN, 0, P(TARGET) | P(VECTORS) | P(READ)}, {WIRE_COMPACT, 0, P(TARGET)},
};
#undef P
enum { TW_KINDS = sizeof tw_kinds / sizeof *tw_kinds };

static struct wire_message tw_of(size_t i) {
  struct wire_message m = tw_message(tw_kinds[i].kind, tw_kinds[i].has);
  m.write.kind = tw_kinds[i].write;
  return m;
}

/* ---- Read as written ---- */

static void tw_same_value(vecdb_value a, vecdb_value b) {
  assert_int_equal(a.type, b.type);
  if (!a.type)
    return;
  assert_int_equal(a.length, b.length);
  assert_int_equal(a.element_type, b.element_type);
  if (a.type == VECDB_ARRAY && a.element_type == VECDB_VARCHAR) {
    const vecdb_string *x = a.as.data, *y = b.as.data;
    for (uint32_t i = 0; i < a.length; i++) {
      assert_int_equal(x[i].length, y[i].length);
      assert_memory_equal(x[i].data, y[i].data, x[i].length);
    }
  } else if (a.type == VECDB_ARRAY) {
    assert_memory_equal(a.as.data, b.as.data, a.length * wire_type_bytes(a.element_type, 0));
  } else if (a.type == VECDB_SPARSE_VECTOR) {
    if (a.length)
      assert_memory_equal(a.as.data, b.as.data, a.length * sizeof(vecdb_sparse_pair));
  } else if (wire_type_text(a.type)) {
    assert_memory_equal(a.as.data, b.as.data, a.length);
  } else if (wire_type_dense(a.type)) {
    assert_memory_equal(a.as.data, b.as.data, wire_type_bytes(a.type, a.length));
  } else {
    assert_memory_equal(&a.as, &b.as, a.type == VECDB_BOOL ? 1 : 8);
  }
}

static void tw_same_columns(const struct wire_columns *wrote, const struct wire_columns *read) {
  assert_int_equal(read->n_rows, wrote->n_rows);
  assert_int_equal(read->n_columns, wrote->n_columns);
  for (uint32_t c = 0; c < read->n_columns; c++) {
    assert_string_equal(read->columns[c].name, wrote->columns[c].name);
    assert_int_equal(read->columns[c].type, wrote->columns[c].type);
    assert_int_equal(wire_columns_find(read, wrote->columns[c].name), c);
    for (uint32_t i = 0; i < read->n_rows; i++) {
      struct wire_columns all = *wrote;
      all.n_rows = UINT32_MAX;
      tw_same_value(wire_columns_value(read, i, c),
                    wire_columns_value(&all, wrote->pick ? wrote->pick[i] : i, c));
    }
  }
}

static void tw_same_filter(const vecdb_filter *f) {
  assert_string_equal(f->text, "n == {n}");
  assert_int_equal(f->length, 8);
  assert_int_equal(f->n_params, 6);
  for (size_t i = 0; i < 6; i++) {
    assert_string_equal(f->params[i].name, tw_params[i].name);
    tw_same_value(f->params[i].value, tw_params[i].value);
  }
}

static void tw_same_ask(const struct wire_message *a, const struct wire_message *b) {
  assert_memory_equal(&a->target, &b->target, sizeof a->target);
  if (a->has & WIRE_HAS(WIRE_OP))
    assert_true(b->write.client == UINT64_MAX && b->write.count == 9 && b->write.ack == 2 &&
                b->write.flags == 1 && b->write.kind == a->write.kind);
  if (a->has & WIRE_HAS(WIRE_KEYS)) {
    assert_int_equal(b->keys.n, 3);
    assert_null(b->keys.strings);
    assert_memory_equal(b->keys.integers, tw_ids, sizeof tw_ids);
  }
  if (a->has & WIRE_HAS(WIRE_FILTER))
    tw_same_filter(&b->filter);
  if (a->has & WIRE_HAS(WIRE_FIELDS)) {
    assert_int_equal(b->fields.n, 2);
    assert_string_equal(b->fields.names[1], "flag");
  }
  if (a->has & WIRE_HAS(WIRE_VECTORS)) {
    const struct wire_search *s = &b->search;
    assert_string_equal(s->field, "v");
    assert_true(s->type == VECDB_FLOAT_VECTOR && s->dim == 3 && s->n_queries == 3 && s->k == 10);
    assert_true(s->ef == 64 && s->nprobe == 8 && s->plan == 1);
    assert_memory_equal(&s->recall, &a->search.recall, sizeof s->recall);
    assert_memory_equal(s->queries, tw_vectors, sizeof tw_vectors);
    assert_int_equal((uintptr_t)s->queries % WIRE_ALIGN, 0);
  }
}

static void tw_same_answer(const struct wire_message *a, const struct wire_message *b) {
  const struct wire_result *r = &b->result;
  assert_true(r->code == WIRE_NOT_PRIMARY && r->shard == 4 && r->epoch == 6 && r->rev == 7 &&
              r->seq == 8 && r->seq_epoch == 9 && r->node == 2 && r->retry_ms == 30 &&
              r->copies == 3 && r->partial && r->shards_ok == 1 && r->shards_all == 2 &&
              r->row == -1 && r->position == 17);
  assert_string_equal(r->field, "text");
  assert_string_equal(r->message, "it is node 2");
  if (!(a->has & WIRE_HAS(WIRE_HITS)))
    return;
  assert_true(b->hits.n_queries == 2 && b->hits.n == 3 && b->number == a->number);
  assert_memory_equal(b->hits.counts, tw_counts, sizeof tw_counts);
  assert_memory_equal(b->hits.scores, tw_scores, sizeof tw_scores);
  assert_memory_equal(b->found, tw_valid, 3);
  assert_memory_equal(&b->stats, &a->stats, sizeof a->stats);
  const struct wire_summary *s = &b->summary;
  assert_true(s->dim == 3 && s->n == 3 && s->version == 42 && s->norm_max == 2);
  assert_memory_equal(s->centroids, tw_vectors, sizeof tw_vectors);
  assert_memory_equal(s->radii, tw_scores, sizeof tw_scores);
  assert_memory_equal(s->rows, tw_rows, sizeof tw_rows);
  assert_int_equal(b->n_documents, 2);
  assert_true(b->documents[0].kind == 5 && b->documents[0].mod == 77 && b->documents[1].b == 3);
  assert_memory_equal(b->documents[0].text, "{}", 2);
  const struct wire_changed *c = &b->changed;
  assert_true(c->position.seq == 31 && c->position.epoch == 32 && c->position.chain == 33);
  assert_true(c->schema == 34 && c->all && c->more && c->n_filters == 2);
  tw_same_filter(&c->filters[0]);
  assert_string_equal(c->filters[1].text, "n > 3");
  assert_true(b->keys.n == 3 && b->keys.integers[1] == tw_ids[1]);
}

static void tw_round(const uint8_t *bytes, size_t n, const struct wire_message *m) {
  struct wire_mem mem = {0};
  struct wire_message back;
  assert_int_equal(wire_message_read(bytes, n, &mem, &back), WIRE_OK);
  assert_int_equal(back.kind, m->kind);
  assert_int_equal(back.version, WIRE_VERSION);
  assert_int_equal(back.has, m->has);
  if (m->has & WIRE_HAS(WIRE_TARGET))
    tw_same_ask(m, &back);
  if (m->has & WIRE_HAS(WIRE_READ))
    assert_true(back.read.level == WIRE_SESSION && back.read.partial &&
                back.read.max_age_ms == 250 && back.read.seq == 11 && back.read.epoch == 12);
  if (m->has & WIRE_HAS(WIRE_PAGE))
    assert_true(back.page.limit == 100 && back.page.offset == 1000);
  if (m->has & WIRE_HAS(WIRE_GROUP))
    assert_true(!strcmp(back.group.field, "kind") && back.group.hits == 3);
  if (m->has & WIRE_HAS(WIRE_SINCE))
    assert_memory_equal(&back.since, &m->since, sizeof back.since);
  if (m->has & WIRE_HAS(WIRE_OPTIMIZER))
    assert_memory_equal(&back.optimizer.optimizer, &m->optimizer.optimizer, 32);
  if (m->has & WIRE_HAS(WIRE_NAME))
    assert_true(!strcmp(back.name.name, m->name.name) && !strcmp(back.name.text, m->name.text));
  if (m->has & WIRE_HAS(WIRE_BATCH))
    tw_same_columns(&m->rows, &back.rows);
  if (m->kind == WIRE_ANSWER)
    tw_same_answer(m, &back);
  wire_mem_free(&mem);
}

static void test_round_trip(void **state) {
  (void)state;
  for (size_t i = 0; i < TW_KINDS; i++) {
    struct wire_message m = tw_of(i);
    size_t n;
    uint8_t *bytes = tw_write(&m, &n);
    tw_round(bytes, n, &m);
    uint8_t *moved = malloc(n + 64); /* from anywhere in memory */
    for (size_t at = 0; at < 64; at += 3) {
      memcpy(moved + at, bytes, n);
      tw_round(moved + at, n, &m);
    }
    free(moved);
    free(bytes);
  }
}

static void test_string_keys(void **state) {
  (void)state;
  struct wire_message m = tw_message(WIRE_GET, tw_kinds[4].has), back;
  m.keys = (vecdb_keys){NULL, tw_strings, 3};
  struct wire_mem mem = {0};
  size_t n;
  uint8_t *bytes = tw_write(&m, &n);
  assert_int_equal(wire_message_read(bytes, n, &mem, &back), WIRE_OK);
  assert_null(back.keys.integers);
  for (size_t i = 0; i < 3; i++) {
    assert_int_equal(back.keys.strings[i].length, tw_strings[i].length);
    assert_memory_equal(back.keys.strings[i].data, tw_strings[i].data, tw_strings[i].length);
  }
  wire_mem_free(&mem);
  free(bytes);
}

/* ---- Columns of random shapes ---- */

struct tw_made {
  struct wire_mem mem;
  struct wire_columns columns;
};

static void *tw_bytes(struct wire_mem *mem, size_t n) {
  uint8_t *bytes = wire_mem_get(mem, n + 1, 1);
  for (size_t i = 0; i < n; i++)
    bytes[i] = (uint8_t)(1 + tw_random(250));
  return bytes;
}

static void tw_make_lists(struct tw_made *made, struct wire_column *c, uint32_t rows) {
  size_t size = wire_type_text(c->type) ? 1 : wire_type_bytes(c->element_type, 0);
  uint32_t *lengths = wire_mem_get(&made->mem, rows, sizeof *lengths);
  const void **data = wire_mem_get(&made->mem, rows, sizeof *data);
  for (uint32_t i = 0; i < rows; i++) {
    lengths[i] = tw_random(9);
    if (c->element_type == VECDB_VARCHAR) {
      vecdb_string *strings = wire_mem_get(&made->mem, lengths[i], sizeof *strings);
      for (uint32_t j = 0; j < lengths[i]; j++)
        strings[j] = (vecdb_string){tw_bytes(&made->mem, j), j};
      data[i] = strings;
    } else {
      uint8_t *bytes = tw_bytes(&made->mem, lengths[i] * size);
      for (uint32_t j = 0; c->element_type == VECDB_BOOL && j < lengths[i]; j++)
        bytes[j] &= 1;
      data[i] = bytes;
    }
  }
  c->data = data;
  c->lengths = lengths;
}

static void tw_make_sparse(struct tw_made *made, struct wire_column *c, uint32_t rows) {
  vecdb_sparse *sparse = wire_mem_get(&made->mem, rows, sizeof *sparse);
  for (uint32_t i = 0; i < rows; i++) {
    sparse[i].n = tw_random(5);
    sparse[i].pairs = tw_bytes(&made->mem, sparse[i].n * sizeof *sparse[i].pairs);
  }
  c->data = sparse;
}

static void tw_make_fixed(struct tw_made *made, struct wire_column *c, uint32_t rows) {
  size_t size = wire_type_bytes(c->type, c->dim), stride = size + 8 * tw_random(3);
  if (size > 1)
    c->stride = stride;
  uint8_t *data = tw_bytes(&made->mem, rows * stride);
  for (uint32_t i = 0; c->type == VECDB_BOOL && i < rows; i++)
    data[i] &= 1;
  c->data = data;
}

static void tw_make_column(struct tw_made *made, struct wire_column *c, uint32_t rows) {
  static const int32_t types[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 32, 33, 34, 35, 36, 37};
  char *name = tw_bytes(&made->mem, 6);
  for (int i = 0; i < 6; i++)
    name[i] = (char)('a' + name[i] % 26);
  c->name = name;
  c->type = types[tw_random(16)];
  c->element_type = c->type == VECDB_ARRAY ? 1 + (int32_t)tw_random(8) : 0;
  c->dim = wire_type_dense(c->type) ? 8 * (1 + tw_random(5)) : 0;
  if (!tw_random(3)) {
    uint8_t *valid = tw_bytes(&made->mem, rows);
    for (uint32_t i = 0; i < rows; i++)
      valid[i] &= 1;
    c->valid = valid;
  }
  if (!tw_random(9))
    return;
  if (wire_type_text(c->type) || c->type == VECDB_ARRAY)
    tw_make_lists(made, c, rows);
  else if (c->type == VECDB_SPARSE_VECTOR)
    tw_make_sparse(made, c, rows);
  else
    tw_make_fixed(made, c, rows);
}

static void tw_make(struct tw_made *made) {
  uint32_t rows = tw_random(30), n = 1 + tw_random(6);
  struct wire_column *columns = wire_mem_get(&made->mem, n, sizeof *columns);
  for (uint32_t i = 0; i < n; i++)
    tw_make_column(made, &columns[i], rows);
  made->columns = (struct wire_columns){rows, n, columns, NULL};
  if (rows && tw_random(2)) {
    uint32_t picked = tw_random(rows + 5), *pick = wire_mem_get(&made->mem, picked, sizeof *pick);
    for (uint32_t i = 0; i < picked; i++)
      pick[i] = tw_random(rows);
    made->columns.pick = pick;
    made->columns.n_rows = picked;
  }
}

static vecdb_value tw_cell(const void *arg, size_t row, size_t column) {
  return wire_columns_value(arg, row, column);
}

static const char *tw_cell_name(const void *arg, size_t column) {
  return ((const struct wire_columns *)arg)->columns[column].name;
}

/* A table of the cells has columns with the same values. */
static void tw_same_table(const struct wire_columns *columns) {
  struct wire_mem mem = {0};
  struct wire_columns made;
  const struct wire_table table = {columns, columns->n_rows, columns->n_columns, tw_cell_name,
                                   tw_cell};
  assert_true(wire_columns_of_table(&table, &mem, &made));
  for (uint32_t c = 0; c < columns->n_columns; c++)
    for (uint32_t i = 0; i < columns->n_rows; i++)
      tw_same_value(wire_columns_value(columns, i, c), wire_columns_value(&made, i, c));
  wire_mem_free(&mem);
}

static void test_columns(void **state) {
  (void)state;
  for (uint32_t seed = 0; seed < TEST_SIZE(500, 200); seed++) {
    struct tw_made made = {0};
    struct wire_mem mem = {0};
    struct wire_message m = tw_message(WIRE_WRITE, tw_kinds[0].has), back;
    size_t n;
    tw_state = seed;
    tw_make(&made);
    m.rows = made.columns;
    uint8_t *bytes = tw_write(&m, &n);
    assert_int_equal(wire_message_read(bytes, n, &mem, &back), WIRE_OK);
    tw_same_columns(&made.columns, &back.rows);
    tw_same_table(&back.rows);
    wire_mem_free(&mem);
    wire_mem_free(&made.mem);
    free(bytes);
  }
}

static const vecdb_field tw_schema_fields[] = {
    {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
    {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = 3},
    {.name = "shorts", .type = VECDB_ARRAY, .element_type = VECDB_INT16, .max_capacity = 9},
};
static const vecdb_schema tw_schema = {sizeof(vecdb_schema), sizeof(vecdb_field), NULL,
                                       tw_schema_fields, 3};

static void test_batches(void **state) {
  (void)state;
  struct wire_mem mem = {0};
  struct wire_columns columns;
  vecdb_error error;
  vecdb_batch back;
  vecdb_column c[] = {{"id", tw_ids, 0, NULL, NULL, 0},
                      {"v", tw_vectors, 0, NULL, NULL, 3},
                      {"shorts", tw_arrays, 0, tw_lengths, tw_valid, 0}};
  const vecdb_batch batch = {sizeof batch, sizeof *c, c, 3, 3};
  assert_int_equal(wire_columns_of_batch(&tw_schema, &batch, &mem, &columns, &error), 0);
  assert_int_equal(columns.columns[1].dim, 3);
  assert_int_equal(columns.columns[2].element_type, VECDB_INT16);
  assert_int_equal(wire_batch_of_columns(&tw_schema, &columns, &mem, &back, &error), 0);
  for (uint32_t i = 0; i < 3; i++)
    assert_memory_equal(&back.columns[i], &c[i], offsetof(vecdb_column, dim));
  c[1].dim = 4;
  assert_int_equal(wire_columns_of_batch(&tw_schema, &batch, &mem, &columns, &error),
                   VECDB_ERR_DIMENSION);
  assert_string_equal(error.field, "v");
  c[1] = (vecdb_column){"w", tw_vectors, 0, NULL, NULL, 3};
  assert_int_equal(wire_columns_of_batch(&tw_schema, &batch, &mem, &columns, &error),
                   VECDB_ERR_UNKNOWN_FIELD);
  struct wire_column wrong = {"v", VECDB_FLOAT16_VECTOR, 0, 3, tw_vectors, 0, NULL, NULL};
  columns = (struct wire_columns){3, 1, &wrong, NULL};
  assert_int_equal(wire_batch_of_columns(&tw_schema, &columns, &mem, &back, &error),
                   VECDB_ERR_TYPE);
  wire_mem_free(&mem);
}

/* ---- Damage ---- */

static void tw_size(uint8_t *bytes, size_t n) {
  uint32_t size = (uint32_t)n;
  memcpy(bytes + 4, &size, sizeof size);
}

static void test_cut(void **state) {
  (void)state;
  for (size_t i = 0; i < TW_KINDS; i++) {
    struct wire_message m = tw_of(i);
    size_t n;
    uint8_t *bytes = tw_write(&m, &n);
    for (size_t at = 0; at < n; at++)
      assert_int_not_equal(tw_read(bytes, at), WIRE_OK);
    /* And where the head says that this is all: then at the end of a section at most. */
    for (size_t at = 16; at < n; at++) {
      tw_size(bytes, at);
      assert_true(tw_read(bytes, at) != WIRE_OK || at % 8 == 0);
    }
    free(bytes);
  }
}

static void test_flipped(void **state) {
  (void)state;
  for (size_t i = 0; i < TW_KINDS; i++) {
    struct wire_message m = tw_of(i);
    size_t n, read = 0;
    uint8_t *bytes = tw_write(&m, &n);
    for (size_t bit = 0; bit < n * 8; bit++) {
      bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
      read += tw_read(bytes, n) == WIRE_OK;
      bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    /* A frame's hash finds flips; here it is enough that nothing bad happens. */
    assert_true(read < n * 8);
    free(bytes);
  }
}

/* ---- Other versions ---- */

/* The message with `extra` further bytes at the end of each section and a section of its own. */
static uint8_t *tw_later(const uint8_t *bytes, size_t n, bool critical, size_t *out_n) {
  enum { EXTRA = WIRE_ALIGN };
  uint8_t *out = calloc(1, n + EXTRA * 32);
  size_t at = 16, to = 16;
  memcpy(out, bytes, 16);
  while (at < n) {
    uint32_t size, grown;
    memcpy(&size, bytes + at + 4, 4);
    size_t padded = (size + 7) / 8 * 8;
    memcpy(out + to, bytes + at, 8 + size);
    grown = (uint32_t)padded + EXTRA;
    memcpy(out + to + 4, &grown, 4);
    memset(out + to + 8 + size, 0xee, padded - size + EXTRA);
    at += 8 + padded;
    to += 8 + grown;
  }
  out[to] = 200;
  out[to + 2] = critical;
  out[to + 4] = 16;
  to += 24;
  out[2] = WIRE_VERSION + 1;
  tw_size(out, to);
  *out_n = to;
  return out;
}

static void test_later_version(void **state) {
  (void)state;
  for (size_t i = 0; i < TW_KINDS; i++) {
    struct wire_message m = tw_of(i), back;
    struct wire_mem mem = {0};
    size_t n, n_later;
    uint8_t *bytes = tw_write(&m, &n);
    uint8_t *later = tw_later(bytes, n, false, &n_later);
    assert_int_equal(wire_message_read(later, n_later, &mem, &back), WIRE_OK);
    assert_int_equal(back.version, WIRE_VERSION + 1);
    assert_int_equal(back.has, m.has);
    if (m.has & WIRE_HAS(WIRE_TARGET))
      tw_same_ask(&m, &back);
    if (m.kind == WIRE_ANSWER)
      tw_same_answer(&m, &back);
    wire_mem_free(&mem);
    later[3] = WIRE_VERSION + 1; /* which says that it cannot be understood by this one */
    assert_int_equal(tw_read(later, n_later), WIRE_NEWER);
    free(later);
    later = tw_later(bytes, n, true, &n_later);
    assert_int_equal(tw_read(later, n_later), WIRE_NEWER);
    free(later);
    bytes[0] = 99;
    assert_int_equal(tw_read(bytes, n), WIRE_BAD);
    bytes[2] = WIRE_VERSION + 1;
    assert_int_equal(tw_read(bytes, n), WIRE_NEWER);
    free(bytes);
  }
}

static bool tw_optional(unsigned kind, unsigned part) {
  if (part == WIRE_FILTER)
    return kind == WIRE_SEARCH || kind == WIRE_QUERY || kind == WIRE_COUNT ||
           kind == WIRE_EXPLAIN || kind == WIRE_SPARSE;
  if (part == WIRE_FIELDS)
    return kind == WIRE_SEARCH || kind == WIRE_QUERY || kind == WIRE_GET || kind == WIRE_EXPLAIN;
  return (part == WIRE_KEYS && kind == WIRE_QUERY) || (part == WIRE_GROUP && kind == WIRE_SEARCH);
}

/* A message has the parts of its kind and no others. */
static void test_parts(void **state) {
  (void)state;
  for (size_t i = 0; i < TW_KINDS; i++)
    for (uint32_t part = 1; part < WIRE_PARTS; part++) {
      struct wire_message m = tw_of(i);
      size_t n;
      bool answer = m.kind == WIRE_ANSWER && part >= WIRE_HITS && part < WIRE_OPTIMIZER;
      m.has ^= WIRE_HAS(part);
      uint8_t *bytes = tw_write(&m, &n);
      bool good = tw_read(bytes, n) == WIRE_OK;
      free(bytes);
      if (m.kind == WIRE_ANSWER && (part == WIRE_BATCH || part == WIRE_HITS))
        continue; /* hits want rows */
      assert_int_equal(good, answer || tw_optional(m.kind, part));
    }
}

static void test_limits(void **state) {
  (void)state;
  struct wire_message m = tw_of(0);
  struct wire_out out;
  size_t n;
  uint8_t *bytes = tw_write(&m, &n);
  free(bytes);
  wire_out_init(&out, n - 1);
  wire_message_write(&m, &out);
  assert_int_equal(out.status, WIRE_TOO_LARGE);
  wire_out_free(&out);
}

static void test_words(void **state) {
  (void)state;
  for (int code = WIRE_NOT_PRIMARY; code <= WIRE_NO_NODE; code++)
    assert_string_not_equal(wire_code_text(code), wire_code_text(-1));
  assert_true(wire_code_again(WIRE_UNKNOWN) && wire_code_again(WIRE_NOT_PRIMARY));
  assert_false(wire_code_again(VECDB_ERR_EXISTS) || wire_code_again(WIRE_OLD_OP));
  assert_int_equal(wire_level_parse("Bounded"), WIRE_LOCAL);
  assert_int_equal(wire_level_parse("Eventually"), WIRE_LOCAL);
  assert_int_equal(wire_level_parse("Session"), WIRE_SESSION);
  assert_int_equal(wire_level_parse("STRONG"), WIRE_STRONG);
  assert_int_equal(wire_level_parse("linear"), -1);
}

/* ---- Schemas ---- */

static void tw_same_schema(const vecdb_schema *a, const vecdb_schema *b) {
  assert_int_equal(a->n_fields, b->n_fields);
  for (uint32_t i = 0; i < a->n_fields; i++) {
    const vecdb_field *x = &a->fields[i], *y = &b->fields[i];
    assert_string_equal(x->name, y->name);
    assert_memory_equal(&x->type, &y->type,
                        offsetof(vecdb_field, index) - offsetof(vecdb_field, type));
    vecdb_index_params index = x->index;
    index.size = y->index.size;
    assert_memory_equal(&index, &y->index, sizeof index);
    tw_same_value(x->default_value, y->default_value);
    assert_int_equal(x->n_json_indexes, y->n_json_indexes);
    for (uint32_t k = 0; k < x->n_json_indexes; k++)
      assert_true(x->json_indexes[k].type == y->json_indexes[k].type &&
                  !strcmp(x->json_indexes[k].path, y->json_indexes[k].path));
  }
}

static void test_schema(void **state) {
  (void)state;
  const vecdb_json_index indexes[] = {{"[\"a\"]", VECDB_DOUBLE}, {"[\"b\"][0]", VECDB_VARCHAR}};
  const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_VARCHAR, .flags = VECDB_PRIMARY_KEY, .max_length = 64},
      {.name = "v",
       .type = VECDB_FLOAT_VECTOR,
       .dim = 384,
       .metric = VECDB_COSINE,
       .index = {.type = VECDB_INDEX_HNSW_SQ,
                 .m = 32, .nbits = 8,
                 .recall = 0.9f, .refine = VECDB_REFINE_F16,
                 .memory_bytes = 1ull << 40}},
      {.name = "tags",
       .type = VECDB_ARRAY, .element_type = VECDB_VARCHAR,
       .max_length = 9, .max_capacity = 5,
       .flags = VECDB_NULLABLE},
      {.name = "n", .type = VECDB_INT16, .flags = VECDB_HAS_DEFAULT,
       .scalar_index = VECDB_SCALAR_INDEX_SORTED,
       .default_value = {VECDB_INT16, 0, {.integer = -7}, 0}},
      {.name = "x", .type = VECDB_FLOAT, .flags = VECDB_HAS_DEFAULT,
       .default_value = {VECDB_FLOAT, 0, {.number = 2}, 0}},
      {.name = "s", .type = VECDB_VARCHAR, .max_length = 5,
       .flags = VECDB_HAS_DEFAULT,
       .default_value = {VECDB_VARCHAR, 3, {.data = "a\"b"}, 0}},
      {.name = "j", .type = VECDB_JSON, .max_length = 90, .flags = VECDB_HAS_DEFAULT,
       .default_value = {VECDB_JSON, 7, {.data = "{\"a\":1}"}, 0}, .json_indexes = indexes,
       .n_json_indexes = 2},
  };
  const vecdb_schema schema = {sizeof schema, sizeof *fields, "what is in it", fields, 7};
  struct wire_mem mem = {0};
  vecdb_schema back;
  char why[WIRE_WHY];
  char *text = wire_schema_write(&schema);
  assert_non_null(text);
  assert_int_equal(wire_schema_read(text, strlen(text), &mem, &back, why), VECDB_OK);
  assert_string_equal(back.description, "what is in it");
  tw_same_schema(&schema, &back);
  assert_string_equal(wire_schema_key(&back)->name, "id");
  assert_ptr_equal(wire_schema_field(&back, "x"), &back.fields[4]);
  assert_null(wire_schema_field(&back, "y"));
  free(text);
  wire_mem_free(&mem);
}

/* The library makes a collection of what was read, and sees no other metrics in it than routers,
   which merge hits by them. */
static void test_schema_used(void **state) {
  (void)state;
  static const char text[] =
      "{\"fields\": [{\"name\": \"id\", \"type\": \"INT64\", \"primary_key\": true},"
      "{\"name\": \"v\", \"type\": \"FLOAT_VECTOR\", \"dim\": 8, \"metric\": \"IP\","
      " \"index\": {\"type\": \"IVF_RABITQ\", \"nlist\": 16}},"
      "{\"name\": \"x\", \"type\": \"DOUBLE\", \"default\": 3},"
      "{\"name\": \"w\", \"type\": \"FLOAT_VECTOR\", \"dim\": 8},"
      "{\"name\": \"b\", \"type\": \"BINARY_VECTOR\", \"dim\": 8},"
      "{\"name\": \"s\", \"type\": \"SPARSE_VECTOR\"}]}";
  struct wire_mem mem = {0};
  vecdb_schema schema;
  vecdb *db;
  vecdb_collection *collection;
  char why[WIRE_WHY];
  assert_int_equal(wire_schema_read(text, strlen(text), &mem, &schema, why), VECDB_OK);
  assert_int_equal(vecdb_open(":memory:", NULL, &db, NULL), VECDB_OK);
  assert_int_equal(vecdb_collection_create(db, "c", &schema, &collection, NULL), VECDB_OK);
  const vecdb_field *f = vecdb_collection_schema(collection)->fields;
  assert_int_equal(f[1].index.type, VECDB_INDEX_IVF_RABITQ);
  assert_true(f[1].index.nlist == 16 && f[1].metric == VECDB_IP);
  assert_true(f[2].default_value.as.number == 3);
  for (uint32_t i = 0; i < schema.n_fields; i++)
    assert_int_equal(schema.fields[i].metric, f[i].metric);
  vecdb_collection_release(collection);
  vecdb_close(db, NULL);
  wire_mem_free(&mem);
}

/* Every index has the library's name, and those behind the last have none. */
static void test_schema_words(void **state) {
  (void)state;
  for (int32_t type = 0; vecdb_index_type_name(type); type++) {
    const vecdb_field field = {.name = "v", .type = VECDB_FLOAT_VECTOR, .index = {.type = type}};
    const vecdb_schema schema = {sizeof schema, sizeof field, NULL, &field, 1};
    char *text = wire_schema_write(&schema), wanted[64];
    snprintf(wanted, sizeof wanted, "\"type\":\"%s\"}}]", vecdb_index_type_name(type));
    assert_true(!type || strstr(text, wanted));
    free(text);
  }
}

static void test_schema_bad(void **state) {
  (void)state;
  static const char *const bad[] = {
      "", "[]",
      "{}", "{\"fields\": {}}",
      "{\"fields\": []}", "{\"fields\": [3]}",
      "{\"fields\": [{\"name\": \"a\"}]}",
      "{\"fields\": [{\"type\": \"INT8\"}]}",
      "{\"fields\": [{\"name\": \"a\", \"type\": \"INT9\"}]}",
      "{\"fields\": [{\"name\": \"a\", \"type\": \"\"}]}",
      "{\"fields\": [{\"name\": \"a\", \"type\": \"INT8\", \"dim\": -1}]}",
      "{\"fields\": [{\"name\": \"a\", \"type\": \"INT8\", \"dim\": 4294967296}]}",
      "{\"fields\": [{\"name\": \"a\", \"type\": \"INT8\", \"nullable\": 1}]}",
      "{\"fields\": [{\"name\": \"a\", \"type\": \"INT8\", \"default\": \"x\"}]}",
      "{\"fields\": [{\"name\": \"a\", \"type\": \"INT8\", \"what\": 1}]}",
      "{\"fields\": [{\"name\": \"a\", \"type\": \"INT8\", \"index\": {\"z\": 1}}]}",
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct wire_mem mem = {0};
    vecdb_schema schema;
    char why[WIRE_WHY] = "";
    assert_int_not_equal(wire_schema_read(bad[i], strlen(bad[i]), &mem, &schema, why), VECDB_OK);
    assert_true(*why);
    wire_mem_free(&mem);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_round_trip),    cmocka_unit_test(test_string_keys),
      cmocka_unit_test(test_columns),       cmocka_unit_test(test_batches),
      cmocka_unit_test(test_cut),           cmocka_unit_test(test_flipped),
      cmocka_unit_test(test_later_version), cmocka_unit_test(test_parts),
      cmocka_unit_test(test_limits),        cmocka_unit_test(test_words),
      cmocka_unit_test(test_schema),        cmocka_unit_test(test_schema_used),
      cmocka_unit_test(test_schema_words),  cmocka_unit_test(test_schema_bad)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
