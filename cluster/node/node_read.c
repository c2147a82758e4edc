/* node_read.c - searches and other reads of a shard's data, on a thread: message to message. */
#include <string.h>

#include "node/node_int.h"
#include "node/rows.h"
#include "wire/schema.h"

/* The rows as columns of the answer; they borrow from `rows`. */
static int read_columns(const vecdb_rows *rows, struct wire_mem *mem, struct wire_message *out) {
  out->has |= WIRE_HAS(WIRE_BATCH);
  return rows_columns(rows, mem, &out->rows) ? VECDB_OK : VECDB_ERR_NO_MEMORY;
}

struct read {
  vecdb_collection *rows;
  const struct wire_message *m;
  vecdb_control control;
  struct wire_mem *mem;
  struct wire_message *out;
  vecdb_rows *found;
  vecdb_error error;
};

/* Fields of the answer's rows; a message without them means all, or for searches only keys. */
static const char *const *read_fields(const struct read *q, size_t *n, bool all) {
  static const char *const none[] = {NULL};
  bool given = q->m->has & WIRE_HAS(WIRE_FIELDS);
  *n = given ? q->m->fields.n : 0;
  if (given)
    return *n ? q->m->fields.names : none;
  return all ? NULL : none;
}

static vecdb_search_params read_params(struct read *q) {
  const struct wire_search *s = &q->m->search;
  vecdb_search_params p = VECDB_SEARCH_PARAMS_INIT;
  p.field = *s->field ? s->field : NULL;
  p.k = s->k;
  p.queries = s->queries;
  p.n_queries = s->n_queries;
  p.dim = s->dim;
  p.ef = s->ef;
  p.nprobe = s->nprobe;
  p.recall = s->recall;
  p.plan = s->plan;
  p.filter = q->m->filter;
  p.fields = read_fields(q, &p.n_fields, false);
  p.control = &q->control;
  return p;
}

/* A search, or one for groups: then each query has k lists of hits, and they are answered one after
   the other. */
static int read_search(struct read *q) {
  const struct wire_search *s = &q->m->search;
  const bool groups = q->m->has & WIRE_HAS(WIRE_GROUP);
  const uint32_t each = groups ? q->m->group.hits : s->k, lists = groups ? s->k : 1;
  const size_t n_lists = (size_t)s->n_queries * lists;
  const vecdb_search_params p = read_params(q);
  vecdb_search_info info = VECDB_SEARCH_INFO_INIT, *told = q->m->read.partial ? &info : NULL;
  vecdb_hit *hits = wire_mem_get(q->mem, n_lists * each, sizeof *hits);
  float *scores = wire_mem_get(q->mem, n_lists * each, sizeof *scores);
  uint32_t *found = wire_mem_get(q->mem, n_lists, sizeof *found);
  uint32_t *counts = wire_mem_get(q->mem, s->n_queries, sizeof *counts), n = 0;
  if (q->mem->failed)
    return VECDB_ERR_NO_MEMORY;
  const vecdb_group_by by = {sizeof by, each, groups ? q->m->group.field : NULL};
  int code = groups ? vecdb_search_groups(q->rows, &p, &by, hits, found, told, &q->found, &q->error)
                    : vecdb_search(q->rows, &p, hits, found, told, &q->found, &q->error);
  if (code)
    return code;
  for (size_t i = 0; i < n_lists; i++) {
    for (uint32_t h = 0; h < found[i]; h++)
      scores[n++] = hits[i * each + h].score;
    counts[i / lists] += found[i];
  }
  q->out->hits = (struct wire_hits){s->n_queries, n, counts, scores};
  q->out->has |= WIRE_HAS(WIRE_HITS);
  q->out->result.partial = info.partial;
  return read_columns(q->found, q->mem, q->out);
}

/* The rows that are there of those that were asked for, as columns: key, vector, version. */
static int read_pulled(struct read *q, const vecdb_field *key, const vecdb_field *f,
                       const float *values, const uint64_t *versions) {
  const vecdb_keys *keys = &q->m->keys;
  uint32_t n = 0;
  struct wire_column *columns = wire_mem_get(q->mem, 3, sizeof *columns);
  int64_t *integers = wire_mem_get(q->mem, keys->n, sizeof *integers);
  const char **texts = wire_mem_get(q->mem, keys->n, sizeof *texts);
  uint32_t *lengths = wire_mem_get(q->mem, keys->n, sizeof *lengths);
  float *vectors = wire_mem_get(q->mem, keys->n, f->dim * sizeof *vectors);
  int64_t *counts = wire_mem_get(q->mem, keys->n, sizeof *counts);
  if (q->mem->failed)
    return VECDB_ERR_NO_MEMORY;
  for (size_t i = 0; i < keys->n; i++) {
    if (!versions[i])
      continue;
    memcpy(vectors + (size_t)n * f->dim, values + i * f->dim, f->dim * sizeof *vectors);
    counts[n] = (int64_t)versions[i];
    if (keys->strings) {
      texts[n] = keys->strings[i].data;
      lengths[n] = (uint32_t)keys->strings[i].length;
    } else {
      integers[n] = keys->integers[i];
    }
    n++;
  }
  columns[0] = (struct wire_column){.name = key->name, .type = key->type, .data = integers};
  if (keys->strings) {
    columns[0].data = texts;
    columns[0].lengths = lengths;
  }
  columns[1] = (struct wire_column){
      .name = f->name, .type = VECDB_FLOAT_VECTOR, .dim = f->dim, .data = vectors};
  columns[2] =
      (struct wire_column){.name = WIRE_VERSION_COLUMN, .type = VECDB_INT64, .data = counts};
  q->out->rows = (struct wire_columns){n, 3, columns, NULL};
  q->out->has |= WIRE_HAS(WIRE_BATCH);
  return VECDB_OK;
}

/* Vectors with their versions, both as of one moment. */
static int read_pull(struct read *q) {
  const vecdb_schema *schema = vecdb_collection_schema(q->rows);
  const vecdb_keys *keys = &q->m->keys;
  const char *name = q->m->fields.names[0];
  const vecdb_field *f = wire_schema_field(schema, name);
  bool vectors = f && f->type == VECDB_FLOAT_VECTOR;
  uint8_t *found = wire_mem_get(q->mem, keys->n + 1, 1);
  uint64_t *versions = wire_mem_get(q->mem, keys->n + 1, sizeof *versions);
  float *values = vectors ? wire_mem_get(q->mem, keys->n + 1, f->dim * sizeof *values) : NULL;
  if (q->mem->failed)
    return VECDB_ERR_NO_MEMORY;
  int code = vecdb_pull(q->rows, name, keys, values, 0, versions, &q->error);
  if (code)
    return code;
  for (size_t i = 0; i < keys->n; i++)
    found[i] = versions[i] != 0;
  q->out->found = found;
  q->out->n_found = (uint32_t)keys->n;
  q->out->has |= WIRE_HAS(WIRE_FOUND);
  return read_pulled(q, wire_schema_key(schema), f, values, versions);
}

static int read_get(struct read *q) {
  size_t n;
  if (q->m->has & WIRE_HAS(WIRE_FIELDS) && q->m->fields.n == 2 &&
      strcmp(q->m->fields.names[1], WIRE_VERSION_COLUMN) == 0)
    return read_pull(q);
  uint8_t *found = wire_mem_get(q->mem, q->m->keys.n + 1, 1);
  const char *const *fields = read_fields(q, &n, true);
  if (!found)
    return VECDB_ERR_NO_MEMORY;
  int code = vecdb_get(q->rows, &q->m->keys, fields, n, found, &q->found, &q->error);
  if (code)
    return code;
  q->out->found = found;
  q->out->n_found = (uint32_t)q->m->keys.n;
  q->out->has |= WIRE_HAS(WIRE_FOUND);
  return read_columns(q->found, q->mem, q->out);
}

static int read_query(struct read *q) {
  vecdb_query_params p = VECDB_QUERY_PARAMS_INIT;
  p.limit = q->m->page.limit;
  p.offset = q->m->page.offset;
  p.filter = q->m->filter;
  p.after = q->m->keys;
  p.fields = read_fields(q, &p.n_fields, true);
  p.control = &q->control;
  int code = vecdb_query(q->rows, &p, &q->found, &q->error);
  return code ? code : read_columns(q->found, q->mem, q->out);
}

static int read_count(struct read *q) {
  q->out->has |= WIRE_HAS(WIRE_NUMBER);
  return vecdb_count(q->rows, &q->m->filter, &q->out->number, &q->error);
}

static int read_sparse(struct read *q) {
  const vecdb_keys *keys = &q->m->keys;
  struct wire_column *column = wire_mem_get(q->mem, 1, sizeof *column);
  uint32_t *indices = wire_mem_get(q->mem, keys->n + 1, sizeof *indices);
  uint64_t *counts = wire_mem_get(q->mem, keys->n + 1, sizeof *counts);
  if (q->mem->failed)
    return VECDB_ERR_NO_MEMORY;
  if (keys->strings || q->m->fields.n != 1)
    return WIRE_PROTOCOL;
  for (size_t i = 0; i < keys->n; i++)
    indices[i] = (uint32_t)keys->integers[i];
  *column = (struct wire_column){.name = "count", .type = VECDB_INT64, .data = counts};
  q->out->rows = (struct wire_columns){(uint32_t)keys->n, 1, column, NULL};
  q->out->has |= WIRE_HAS(WIRE_BATCH) | WIRE_HAS(WIRE_NUMBER);
  return vecdb_sparse_counts(q->rows, q->m->fields.names[0], &q->m->filter, indices, keys->n,
                             counts, &q->out->number, &q->error);
}

/* The plan of this replica's rows as they are now. */
static int read_explain(struct read *q, uint32_t node) {
  const vecdb_search_params p = read_params(q);
  struct wire_document *plan = wire_mem_get(q->mem, 1, sizeof *plan);
  size_t length = 0;
  char *text = NULL;
  int code = vecdb_explain(q->rows, &p, NULL, 0, &length, &q->error);
  /* Rows may come between the two: then it is longer. */
  for (size_t room = 0; plan && code == VECDB_ERR_BUFFER && length >= room;) {
    room = length + 1;
    text = wire_mem_get(q->mem, room, 1);
    code = text ? vecdb_explain(q->rows, &p, text, room, &length, &q->error) : VECDB_ERR_NO_MEMORY;
  }
  if (code || !plan || !text)
    return code ? code : VECDB_ERR_NO_MEMORY;
  *plan = (struct wire_document){
      .kind = WIRE_PLAN, .a = q->m->target.shard, .b = node, .text = text, .n = length};
  q->out->documents = plan;
  q->out->n_documents = 1;
  q->out->has |= WIRE_HAS(WIRE_DOCUMENTS_OF);
  return VECDB_OK;
}

/* How a write went that was applied before; what the data cannot tell is asked for again. */
static int read_outcome(struct read *q, struct machine_data *data) {
  const struct rep_op op = {q->m->write.client, q->m->write.count};
  struct machine_outcome outcome;
  int code = machine_refused(data, op, &outcome);
  q->error = outcome.error;
  return code ? WIRE_UNKNOWN : outcome.code;
}

void node_read_run(struct work_job *job) {
  struct node_ask *a = (struct node_ask *)((char *)job - offsetof(struct node_ask, job));
  struct wire_message out = {.kind = WIRE_ANSWER, .has = WIRE_HAS(WIRE_RESULT)};
  struct wire_touched touched = {0};
  struct read q = {.rows = machine_data_rows(a->data), .m = &a->message};
  q.control = (vecdb_control)VECDB_CONTROL_INIT;
  q.control.timeout_ms = a->left_ms;
  q.control.cancel = &a->halt;
  q.mem = &a->mem;
  q.out = &out;
  q.error = (vecdb_error){.row = -1, .position = -1};
  out.result = a->result;
  out.result.message = "";
  switch (a->message.kind) {
    case WIRE_WRITE: out.result.code = read_outcome(&q, a->data); break;
    case WIRE_SEARCH: out.result.code = read_search(&q); break;
    case WIRE_GET: out.result.code = read_get(&q); break;
    case WIRE_QUERY: out.result.code = read_query(&q); break;
    case WIRE_SPARSE: out.result.code = read_sparse(&q); break;
    case WIRE_EXPLAIN: out.result.code = read_explain(&q, a->node->config.id); break;
    case WIRE_COMPACT:
      out.result.code = vecdb_compact(q.rows, &q.control, &q.error);
      break;
    case WIRE_CHANGES:
      out.result.code = node_changes_answer(a, q.rows, &out, &touched);
      break;
    default: out.result.code = read_count(&q); break;
  }
  if (out.result.code) {
    out.has = WIRE_HAS(WIRE_RESULT);
    out.result.row = q.error.row;
    out.result.position = q.error.position;
    out.result.field = q.error.field;
    out.result.message = *q.error.message ? q.error.message : wire_code_text(out.result.code);
  }
  wire_out_init(&a->out, WIRE_LIMIT);
  wire_message_write(&out, &a->out);
  wire_touched_free(&touched);
  vecdb_rows_free(q.found);
}
