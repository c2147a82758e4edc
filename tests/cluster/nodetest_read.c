/* nodetest_read.c - what nodes for tests of clients answer to reads; see nodetest.h. */
#include "cluster/nodetest_int.h"
#include "wire/schema.h"

static const char *nt_row_name(const void *arg, size_t column) {
  return vecdb_rows_field(arg, column);
}

static vecdb_value nt_row_value(const void *arg, size_t row, size_t column) {
  return vecdb_rows_value(arg, row, column);
}

/* Rows of a search come in the order of its hits. */
static vecdb_value nt_hit_value(const void *arg, size_t row, size_t column) {
  const struct nt_reply *r = arg;
  return vecdb_rows_value(r->rows, r->hits[row].row, column);
}

static const char *nt_hit_name(const void *arg, size_t column) {
  return vecdb_rows_field(((const struct nt_reply *)arg)->rows, column);
}

static void nt_rows(struct nt_reply *r, bool hits) {
  const struct wire_table table = {
      hits ? (const void *)r : r->rows,
      hits ? r->m.hits.n : (uint32_t)vecdb_rows_count(r->rows),
      (uint32_t)vecdb_rows_n_fields(r->rows),
      hits ? nt_hit_name : nt_row_name,
      hits ? nt_hit_value : nt_row_value,
  };
  nt_true(wire_columns_of_table(&table, &r->mem, &r->m.rows));
  r->m.has |= WIRE_HAS(WIRE_BATCH);
}

int nt_search(vecdb_collection *c, const struct wire_message *ask, struct nt_reply *r) {
  const struct wire_search *s = &ask->search;
  vecdb_search_params p = VECDB_SEARCH_PARAMS_INIT;
  bool groups = ask->has & WIRE_HAS(WIRE_GROUP);
  uint32_t each = groups ? ask->group.hits : s->k, lists = groups ? s->k : 1, n = 0;
  size_t n_lists = (size_t)s->n_queries * lists;
  uint32_t *counts = nt_must(wire_mem_get(&r->mem, s->n_queries, sizeof *counts));
  uint32_t *found = nt_must(wire_mem_get(&r->mem, n_lists, sizeof *found));
  float *scores = nt_must(wire_mem_get(&r->mem, n_lists * each, sizeof *scores));
  vecdb_group_by by = {sizeof by, each, ask->group.field};
  r->hits = nt_must(wire_mem_get(&r->mem, n_lists * each, sizeof *r->hits));
  p.k = s->k;
  p.field = *s->field ? s->field : NULL;
  p.queries = s->queries;
  p.n_queries = s->n_queries;
  p.filter = ask->filter;
  p.plan = VECDB_PLAN_EXACT;
  p.fields = ask->has & WIRE_HAS(WIRE_FIELDS) ? ask->fields.names : r->names;
  p.n_fields = ask->fields.n;
  int code = groups ? vecdb_search_groups(c, &p, &by, r->hits, found, NULL, &r->rows, &r->error)
                    : vecdb_search(c, &p, r->hits, found, NULL, &r->rows, &r->error);
  for (size_t list = 0; !code && list < n_lists; list++) {
    counts[list / lists] += found[list];
    for (uint32_t i = 0; i < found[list]; i++) {
      scores[n] = r->hits[list * each + i].score;
      r->hits[n++] = r->hits[list * each + i];
    }
  }
  r->m.hits = (struct wire_hits){s->n_queries, n, counts, scores};
  if (code)
    return code;
  r->m.has |= WIRE_HAS(WIRE_HITS);
  nt_rows(r, true);
  return VECDB_OK;
}

/* Of INT64 keys: those that are there, with vectors and versions. */
static int nt_pull(vecdb_collection *c, const struct wire_message *ask, struct nt_reply *r) {
  const char *field = ask->fields.names[0];
  const vecdb_schema *schema = vecdb_collection_schema(c);
  const vecdb_field *f = nt_must((void *)(uintptr_t)wire_schema_field(schema, field));
  const size_t n = ask->keys.n, dim = f->dim;
  uint8_t *found = nt_must(wire_mem_get(&r->mem, n, 1));
  int64_t *keys = nt_must(wire_mem_get(&r->mem, n, sizeof *keys));
  int64_t *counts = nt_must(wire_mem_get(&r->mem, n, sizeof *counts));
  float *values = nt_must(wire_mem_get(&r->mem, n * dim, sizeof *values));
  struct wire_column *columns = nt_must(wire_mem_get(&r->mem, 3, sizeof *columns));
  uint32_t rows = 0;
  for (size_t i = 0; i < n; i++) {
    const vecdb_keys one = {&ask->keys.integers[i], NULL, 1};
    uint64_t version = 0;
    int code = vecdb_pull(c, field, &one, values + rows * dim, 0, &version, &r->error);
    if (code)
      return code;
    found[i] = version != 0;
    counts[rows] = (int64_t)version;
    keys[rows] = one.integers[0];
    rows += found[i];
  }
  const char *key = wire_schema_key(schema)->name;
  columns[0] = (struct wire_column){.name = key, .type = VECDB_INT64, .data = keys};
  columns[1] = (struct wire_column){
      .name = field, .type = VECDB_FLOAT_VECTOR, .dim = f->dim, .data = values};
  columns[2] =
      (struct wire_column){.name = WIRE_VERSION_COLUMN, .type = VECDB_INT64, .data = counts};
  r->m.rows = (struct wire_columns){rows, 3, columns, NULL};
  r->m.found = found;
  r->m.n_found = (uint32_t)n;
  r->m.has |= WIRE_HAS(WIRE_FOUND) | WIRE_HAS(WIRE_BATCH);
  return VECDB_OK;
}

int nt_explain(vecdb_collection *c, uint32_t node, const struct wire_message *ask,
               struct nt_reply *r) {
  vecdb_search_params p = VECDB_SEARCH_PARAMS_INIT;
  char *text = nt_must(calloc(1, 4096));
  p.k = ask->search.k;
  p.queries = ask->search.queries;
  p.filter = ask->filter;
  int code = vecdb_explain(c, &p, text, 4096, NULL, &r->error);
  r->m.documents = nt_must(calloc(1, sizeof *r->m.documents));
  nt_document(&r->m, WIRE_PLAN, ask->target.shard, node, 0, text);
  r->m.has |= code ? 0 : WIRE_HAS(WIRE_DOCUMENTS_OF);
  return code;
}

int nt_sparse(vecdb_collection *c, const struct wire_message *ask, struct nt_reply *r) {
  const size_t n = ask->keys.n;
  struct wire_column *column = nt_must(wire_mem_get(&r->mem, 1, sizeof *column));
  uint32_t *indices = nt_must(wire_mem_get(&r->mem, n, sizeof *indices));
  uint64_t *counts = nt_must(wire_mem_get(&r->mem, n, sizeof *counts));
  for (size_t i = 0; i < n; i++)
    indices[i] = (uint32_t)ask->keys.integers[i];
  *column = (struct wire_column){.name = "n", .type = VECDB_INT64, .data = counts};
  r->m.rows = (struct wire_columns){(uint32_t)n, 1, column, NULL};
  r->m.has |= WIRE_HAS(WIRE_BATCH) | WIRE_HAS(WIRE_NUMBER);
  return vecdb_sparse_counts(c, ask->fields.names[0], &ask->filter, indices, n, counts,
                             &r->m.number, &r->error);
}

int nt_get(vecdb_collection *c, const struct wire_message *ask, struct nt_reply *r) {
  uint8_t *found = nt_must(wire_mem_get(&r->mem, ask->keys.n, 1));
  bool some = ask->has & WIRE_HAS(WIRE_FIELDS);
  if (some && ask->fields.n == 2 && !strcmp(ask->fields.names[1], WIRE_VERSION_COLUMN))
    return nt_pull(c, ask, r);
  int code = vecdb_get(c, &ask->keys, some ? ask->fields.names : NULL, ask->fields.n, found,
                       &r->rows, &r->error);
  r->m.found = found;
  r->m.n_found = (uint32_t)ask->keys.n;
  if (code)
    return code;
  r->m.has |= WIRE_HAS(WIRE_FOUND);
  nt_rows(r, false);
  return VECDB_OK;
}

int nt_query(vecdb_collection *c, const struct wire_message *ask, struct nt_reply *r) {
  vecdb_query_params p = VECDB_QUERY_PARAMS_INIT;
  p.limit = ask->page.limit;
  p.filter = ask->filter;
  p.after = ask->keys;
  p.fields = ask->has & WIRE_HAS(WIRE_FIELDS) ? ask->fields.names : NULL;
  p.n_fields = ask->fields.n;
  int code = vecdb_query(c, &p, &r->rows, &r->error);
  if (!code)
    nt_rows(r, false);
  return code;
}

/* Where the shard's vectors are: a centroid that says that they are near zero. And how each node
   is: the third one is behind. */
int nt_stats(uint32_t node, struct nt_reply *r) {
  r->m.stats = (struct wire_stats){.rows = 40 + node, .bytes = 1000,
                                   .applied = node == 3 ? 5 : 12, .commit = 12,
                                   .bytes_growing = 100, .bytes_index = 300,
                                   .segments_growing = 1, .segments_sealed = 5,
                                   .segments_indexed = 3, .merge_bytes = 700,
                                   .index_builds = 3, .index_build_ns = 2500000000};
  float *centroid = nt_must(wire_mem_get(&r->mem, 8, sizeof *centroid));
  r->m.summary = (struct wire_summary){.field = "v",
                                       .dim = 8,
                                       .n = 1,
                                       .version = 1,
                                       .centroids = centroid,
                                       .radii = centroid,
                                       .rows = (const uint64_t *)(const void *)centroid};
  r->m.has |= WIRE_HAS(WIRE_SUMMARY) | WIRE_HAS(WIRE_STATE);
  return VECDB_OK;
}
