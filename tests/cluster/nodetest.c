/* nodetest.c - three nodes for tests of clients; see nodetest.h. */
#include "cluster/nodetest.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "meta/key.h"
#include "net/cert.h"
#include "node/reshape.h"
#include "wire/touched.h"

const char nt_cluster[] = "000102030405060708090a0b0c0d0e0f";

/* Failing memory is not what this is about. */
static void *nt_must(void *p) {
  if (!p)
    abort();
  return p;
}

static void nt_true(bool good) {
  if (!good)
    abort();
}

static int64_t nt_clock(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* ---- Documents ---- */

static void nt_document(struct wire_message *m, uint32_t kind, uint32_t a, uint32_t b, int64_t mod,
                        char *text) {
  struct wire_document *documents = (struct wire_document *)(uintptr_t)m->documents;
  documents[m->n_documents++] =
      (struct wire_document){kind, a, b, mod, nt_must(text), strlen(text)};
}

static char *nt_shard_text(const struct nt *nt, uint32_t i) {
  struct doc_shard doc = {.collection = nt->id,
                          .number = i,
                          .epoch = nt->epoch[i],
                          .primary = nt->primary[i],
                          .min_isr = 1};
  size_t n;
  for (uint32_t node = 1; node <= NT_NODES; node++) {
    doc.replicas[doc.n_replicas++] = (struct doc_replica){node, {{1}}};
    doc.isr[doc.n_isr++] = node;
  }
  return doc_shard_write(&doc, &n);
}

static char *nt_coll_text(const struct nt *nt) {
  struct doc_coll doc;
  char why[DOC_TEXT_MAX];
  size_t n;
  nt_true(doc_coll_read(meta_text(nt->document), &doc, why) == DOC_OK);
  doc.shards = nt->shards;
  char *text = doc_coll_write(&doc, &n);
  doc_coll_free(&doc);
  return text;
}

static void nt_map(struct nt *nt, const struct wire_message *ask, struct wire_message *m) {
  if (!nt->document || strcmp(ask->name.name, nt->name) != 0) {
    m->result.code = VECDB_ERR_NOT_FOUND;
    m->result.message = "no such collection";
    return;
  }
  struct doc_slots slots = {.n = 16384, .shard = nt_must(calloc(16384, sizeof *slots.shard))};
  size_t n;
  for (uint32_t i = 0; i < 16384; i++)
    slots.shard[i] = (uint16_t)(i % nt->shards);
  for (uint32_t i = 0; nt->generation && i < nt->shards; i++)
    nt_true(doc_slots_set_generation(&slots, i, nt->generation));
  m->documents = nt_must(calloc(2 + NT_SHARDS + NT_NODES, sizeof *m->documents));
  nt_document(m, DOC_PATH_COLL, nt->id, 0, nt->revision, nt_coll_text(nt));
  nt_document(m, DOC_PATH_SLOTS, nt->id, 0, nt->revision, doc_slots_write(&slots, &n));
  for (uint32_t i = 0; i < nt->shards; i++)
    nt_document(m, DOC_PATH_SHARD, nt->id, i, nt->revision, nt_shard_text(nt, i));
  for (uint32_t i = 1; i <= NT_NODES; i++) {
    struct doc_node doc = {.id = i, .weight = 100};
    snprintf(doc.name, sizeof doc.name, "n%u", i);
    snprintf(doc.address, sizeof doc.address, "127.0.0.1:%d", nt->nodes[i].port);
    nt_document(m, DOC_PATH_NODE, i, 0, 1, doc_node_write(&doc, &n));
  }
  m->has |= WIRE_HAS(WIRE_DOCUMENTS_OF);
  doc_slots_free(&slots);
}

static void nt_list(struct nt *nt, struct wire_message *m) {
  m->documents = nt_must(calloc(1, sizeof *m->documents));
  if (nt->document)
    nt_document(m, WIRE_COLLECTION, nt->id, 0, nt->revision, strdup(nt->name));
  m->has |= WIRE_HAS(WIRE_DOCUMENTS_OF);
}

/* ---- What is asked of a shard ---- */

struct nt_reply {
  struct wire_message m;
  struct wire_mem mem;
  vecdb_error error;
  vecdb_rows *rows;
  vecdb_hit *hits;
  struct wire_touched touched;
  const char *names[VECDB_MAX_FIELDS];
};

static vecdb_collection *nt_shard(struct nt *nt, uint32_t shard) {
  char name[16];
  vecdb_collection *collection;
  snprintf(name, sizeof name, "s%u", shard);
  return vecdb_collection_get(nt->db, name, &collection, NULL) ? NULL : collection;
}

static void nt_create(struct nt *nt, const struct wire_message *ask, struct nt_reply *r) {
  struct doc_coll doc;
  vecdb_schema schema;
  char why[DOC_TEXT_MAX], name[16];
  if (nt->document) {
    r->m.result.code = VECDB_ERR_EXISTS;
    return;
  }
  nt_true(doc_coll_read((struct meta_bytes){ask->name.text, strlen(ask->name.text)}, &doc, why) ==
          DOC_OK);
  nt_true(doc.shards == NT_SHARDS && doc.slots == 16384);
  nt_true(!wire_schema_read(doc.schema, strlen(doc.schema), &r->mem, &schema, why));
  vecdb_field *fields = nt_must(wire_mem_get(&r->mem, schema.n_fields, sizeof *fields));
  for (uint32_t i = 0; i < schema.n_fields; i++) {
    fields[i] = schema.fields[i];
    fields[i].flags &= ~(uint32_t)WIRE_SCHEMA_GIVEN; /* as nodes do */
  }
  schema.fields = fields;
  for (uint32_t i = 0; i < NT_SHARDS && !r->m.result.code; i++) {
    snprintf(name, sizeof name, "s%u", i);
    r->m.result.code = vecdb_collection_create(nt->db, name, &schema, NULL, &r->error);
  }
  size_t n;
  doc.id = ++nt->id;
  nt->version = doc.schema_version;
  nt->document = doc_coll_write(&doc, &n);
  snprintf(nt->name, sizeof nt->name, "%s", ask->name.name);
  nt->revision++;
  doc_coll_free(&doc);
}

/* Of all shards at once: these nodes have no logs. */
static void nt_alter(struct nt *nt, const struct wire_message *ask, struct nt_reply *r) {
  struct doc_coll doc;
  vecdb_schema more, all;
  vecdb_field fields[VECDB_MAX_FIELDS];
  char why[DOC_TEXT_MAX];
  if (!nt->document || strcmp(ask->name.name, nt->name) != 0) {
    r->m.result.code = VECDB_ERR_NOT_FOUND;
    return;
  }
  nt_true(doc_coll_read(meta_text(nt->document), &doc, why) == DOC_OK);
  nt_true(!wire_schema_read(ask->name.text, strlen(ask->name.text), &r->mem, &more, why));
  nt_true(!wire_schema_read(doc.schema, strlen(doc.schema), &r->mem, &all, why));
  for (uint32_t i = 0; i < NT_SHARDS && !r->m.result.code; i++) {
    vecdb_collection *c = nt_must(nt_shard(nt, i));
    r->m.result.code = vecdb_fields_add(c, &more, NULL, &r->error);
    vecdb_collection_release(c);
  }
  if (!r->m.result.code) {
    size_t n;
    memcpy(fields, all.fields, all.n_fields * sizeof *fields);
    memcpy(fields + all.n_fields, more.fields, more.n_fields * sizeof *fields);
    all.fields = fields;
    all.n_fields += more.n_fields;
    free(doc.schema);
    doc.schema = nt_must(wire_schema_write(&all));
    doc.schema_version++;
    free(nt->document);
    nt->document = doc_coll_write(&doc, &n);
    nt->revision++;
    r->m.number = nt->version = doc.schema_version;
    r->m.has |= WIRE_HAS(WIRE_NUMBER);
  }
  doc_coll_free(&doc);
}

/* Likewise. Fields keep the flags that shards do not have. */
static void nt_reshape(struct nt *nt, const struct wire_message *ask, struct nt_reply *r) {
  struct doc_coll doc;
  struct wire_reshape reshape;
  vecdb_schema all;
  vecdb_field fields[VECDB_MAX_FIELDS];
  char why[DOC_TEXT_MAX], *history = NULL;
  size_t n;
  nt_true(nt->document && !strcmp(ask->name.name, nt->name));
  nt_true(doc_coll_read(meta_text(nt->document), &doc, why) == DOC_OK);
  nt_true(!wire_reshape_read(ask->name.text, strlen(ask->name.text), &r->mem, &reshape, why));
  nt_true(!wire_schema_read(doc.schema, strlen(doc.schema), &r->mem, &all, why));
  for (uint32_t i = 0; i < NT_SHARDS && !r->m.result.code; i++) {
    vecdb_collection *c = nt_must(nt_shard(nt, i));
    r->m.result.code = node_reshape(c, &reshape, &r->error);
    const vecdb_schema *then = vecdb_collection_schema(c);
    for (uint32_t k = 0; k < then->n_fields; k++) {
      const vecdb_field *was = wire_schema_field(&all, then->fields[k].name);
      was = was ? was : wire_schema_field(&all, reshape.field);
      fields[k] = then->fields[k];
      fields[k].flags |= was->flags & WIRE_SCHEMA_GIVEN;
    }
    n = then->n_fields;
    vecdb_collection_release(c);
  }
  if (!r->m.result.code) {
    const vecdb_schema then = {sizeof then, sizeof *fields, all.description, fields, (uint32_t)n};
    nt_true(!wire_history_add(doc.history, doc.schema_version, doc.schema, ask->name.text,
                              &history, why));
    free(doc.history);
    free(doc.schema);
    doc.history = history;
    doc.schema = nt_must(wire_schema_write(&then));
    doc.schema_version++;
    free(nt->document);
    nt->document = doc_coll_write(&doc, &n);
    nt->revision++;
    r->m.number = nt->version = doc.schema_version;
    r->m.has |= WIRE_HAS(WIRE_NUMBER);
  }
  doc_coll_free(&doc);
}

static void nt_numbers(struct nt *nt, const struct wire_message *ask, struct nt_reply *r) {
  r->m.number = nt->numbers + 1;
  r->m.has |= WIRE_HAS(WIRE_NUMBER);
  nt->numbers += ask->number;
}

static void nt_forget(struct nt *nt, uint32_t shard) {
  struct nt_log *log = &nt->logs[shard];
  for (uint64_t i = log->base; i < log->last; i++)
    wire_out_free(&log->entries[i]);
  free(log->entries);
  *log = (struct nt_log){.history = log->history + 1};
}

static void nt_drop(struct nt *nt, struct nt_reply *r) {
  char name[16];
  r->m.result.code = nt->document ? VECDB_OK : VECDB_ERR_NOT_FOUND;
  for (uint32_t i = 0; i < NT_SHARDS && nt->document; i++) {
    snprintf(name, sizeof name, "s%u", i);
    vecdb_collection_drop(nt->db, name, NULL);
    nt->n_counts[i] = 0;
    nt_forget(nt, i);
  }
  free(nt->document);
  nt->document = NULL;
}

static int nt_push(vecdb_collection *c, const struct wire_message *ask, const vecdb_batch *batch,
                   struct nt_reply *r) {
  const vecdb_keys keys = {batch->columns[0].data, NULL, batch->n_rows};
  vecdb_push_params p = VECDB_PUSH_PARAMS_INIT;
  p.kind = (int32_t)(ask->write.flags / WIRE_PUSH_KIND);
  p.flags = ask->write.flags % WIRE_PUSH_KIND;
  p.field = batch->columns[1].field;
  p.dim = batch->columns[1].dim;
  p.keys = &keys;
  p.values = batch->columns[1].data;
  p.stride = batch->columns[1].stride;
  return vecdb_push(c, &p, NULL, &r->error);
}

static int nt_write(vecdb_collection *c, const struct wire_message *ask, struct nt_reply *r) {
  const vecdb_schema *schema = vecdb_collection_schema(c);
  vecdb_batch batch;
  r->m.has |= WIRE_HAS(WIRE_NUMBER);
  if (ask->write.kind == WIRE_DELETE)
    return vecdb_delete(c, &ask->keys, &r->m.number, &r->error);
  if (ask->write.kind == WIRE_DELETE_WHERE)
    return vecdb_delete_where(c, &ask->filter, &r->m.number, NULL, &r->error);
  if (ask->write.kind == WIRE_OPTIMIZE)
    return vecdb_optimizer_set(c, ask->optimizer.field,
                               ask->optimizer.none ? NULL : &ask->optimizer.optimizer, NULL,
                               &r->error);
  int code = wire_batch_of_columns(schema, &ask->rows, &r->mem, &batch, &r->error);
  if (code)
    return code;
  if (ask->write.kind == WIRE_PUSH)
    return nt_push(c, ask, &batch, r);
  if (ask->write.kind == WIRE_UPDATE) {
    uint8_t *found = nt_must(wire_mem_get(&r->mem, batch.n_rows, 1));
    r->m.found = found;
    r->m.n_found = batch.n_rows;
    r->m.has |= WIRE_HAS(WIRE_FOUND);
    return vecdb_update(c, &batch, ask->write.flags, found, &r->error);
  }
  return ask->write.kind == WIRE_INSERT ? vecdb_insert(c, &batch, NULL, &r->error)
                                        : vecdb_upsert(c, &batch, NULL, &r->error);
}

static void nt_log_add(struct nt_log *log, const struct wire_message *write) {
  log->entries = nt_must(realloc(log->entries, (log->last + 1) * sizeof *log->entries));
  struct wire_out *out = &log->entries[log->last++];
  wire_out_init(out, WIRE_LIMIT);
  wire_message_write(write, out);
  nt_true(!out->status);
}

/* A write whose number was seen is done already. */
static int nt_write_once(struct nt *nt, uint32_t shard, vecdb_collection *c,
                         const struct wire_message *ask, struct nt_reply *r) {
  uint64_t op = ask->write.client * 1000003 + ask->write.count;
  for (uint32_t i = 0; i < nt->n_counts[shard]; i++)
    if (nt->counts[shard][i] == op)
      return VECDB_OK;
  nt_true(nt->n_counts[shard] < 4096);
  nt->counts[shard][nt->n_counts[shard]++] = op;
  nt_log_add(&nt->logs[shard], ask);
  return nt_write(c, ask, r);
}

static struct wire_position nt_position(const struct nt_log *log, uint64_t seq) {
  return (struct wire_position){seq, 1, seq * 1000003 + log->history};
}

static int nt_changes(struct nt *nt, vecdb_collection *c, const struct wire_message *ask,
                      struct nt_reply *r) {
  enum { NT_CHANGES = 7 }; /* entries of an answer: more are behind it often */
  const struct nt_log *log = &nt->logs[ask->target.shard];
  const struct wire_position *after = &ask->since.after;
  const vecdb_field *key = wire_schema_key(vecdb_collection_schema(c));
  struct wire_changed *changed = &r->m.changed;
  uint64_t to = after->seq + NT_CHANGES < log->last ? after->seq + NT_CHANGES : log->last;
  changed->all = ask->since.now || after->seq < log->base || after->seq > log->last ||
                 after->chain != nt_position(log, after->seq).chain;
  changed->position = nt_position(log, changed->all ? log->last : to);
  changed->more = !changed->all && to < log->last;
  changed->schema = nt->version;
  r->touched.key = key->name;
  r->touched.type = key->type;
  for (uint64_t i = after->seq; !changed->all && i < to; i++)
    nt_true(wire_touched_add(&r->touched, log->entries[i].data, log->entries[i].n));
  changed->filters = r->touched.filters;
  changed->n_filters = r->touched.n_filters;
  r->m.keys = wire_touched_keys(&r->touched);
  r->m.has |= WIRE_HAS(WIRE_CHANGED) | WIRE_HAS(WIRE_KEYS);
  return VECDB_OK;
}

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

static int nt_search(vecdb_collection *c, const struct wire_message *ask, struct nt_reply *r) {
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

static int nt_get(vecdb_collection *c, const struct wire_message *ask, struct nt_reply *r) {
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

static int nt_query(vecdb_collection *c, const struct wire_message *ask, struct nt_reply *r) {
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
static int nt_stats(uint32_t node, struct nt_reply *r) {
  r->m.stats = (struct wire_stats){.rows = 40 + node,
                                   .bytes = 1000,
                                   .applied = node == 3 ? 5 : 12,
                                   .commit = 12,
                                   .bytes_growing = 100,
                                   .bytes_index = 300,
                                   .segments_growing = 1,
                                   .segments_sealed = 5,
                                   .segments_indexed = 3,
                                   .merge_bytes = 700,
                                   .index_builds = 3,
                                   .index_build_ns = 2500000000};
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

static void nt_do(struct nt *nt, uint32_t node, const struct wire_message *ask,
                  struct nt_reply *r) {
  uint32_t shard = ask->target.shard;
  struct wire_result *result = &r->m.result;
  nt_true(shard < NT_SHARDS);
  nt->done++;
  *result = (struct wire_result){.shard = shard,
                                 .epoch = nt->epoch[shard],
                                 .rev = (uint64_t)nt->revision,
                                 .copies = 1,
                                 .row = -1,
                                 .position = -1};
  if (nt->loaded & 1u << shard) {
    result->code = WIRE_OVERLOADED;
    result->retry_ms = 10;
    return;
  }
  if (ask->kind == WIRE_WRITE && nt->primary[shard] != node) {
    result->code = WIRE_NOT_PRIMARY;
    result->node = nt->primary[shard];
    return;
  }
  if (ask->target.generation < nt->generation && ask->kind != WIRE_STATS) {
    result->code = WIRE_STALE_MAP;
    return;
  }
  bool here = nt->document && ask->target.collection == nt->id;
  vecdb_collection *c = here ? nt_shard(nt, shard) : NULL;
  if (!c) {
    result->code = WIRE_NO_REPLICA;
    return;
  }
  if (ask->kind == WIRE_WRITE)
    result->code = nt_write_once(nt, shard, c, ask, r);
  else if (ask->kind == WIRE_SEARCH)
    result->code = nt_search(c, ask, r);
  else if (ask->kind == WIRE_GET)
    result->code = nt_get(c, ask, r);
  else if (ask->kind == WIRE_QUERY)
    result->code = nt_query(c, ask, r);
  else if (ask->kind == WIRE_STATS)
    result->code = nt_stats(node, r);
  else if (ask->kind == WIRE_CHANGES)
    result->code = nt_changes(nt, c, ask, r);
  else {
    result->code = vecdb_count(c, &ask->filter, &r->m.number, &r->error);
    r->m.has |= WIRE_HAS(WIRE_NUMBER);
  }
  vecdb_collection_release(c);
}

/* ---- Frames ---- */

static void nt_reply(struct net_conn *conn, uint64_t request, struct nt_reply *r) {
  struct wire_out out;
  if (r->error.code) {
    r->m.result.row = r->error.row;
    r->m.result.position = r->error.position;
    r->m.result.field = r->error.field;
    r->m.result.message = r->error.message;
  }
  wire_out_init(&out, WIRE_LIMIT);
  wire_message_write(&r->m, &out);
  nt_true(!out.status);
  const struct frame frame = {.type = FRAME_ANSWER, .request = request, .n = (uint32_t)out.n};
  net_send(conn, &frame, out.data, false);
  wire_out_free(&out);
}

static void nt_free(struct nt_reply *r) {
  for (uint32_t i = 0; i < r->m.n_documents; i++)
    free((void *)(uintptr_t)r->m.documents[i].text);
  free((void *)(uintptr_t)r->m.documents);
  vecdb_rows_free(r->rows);
  wire_touched_free(&r->touched);
  wire_mem_free(&r->mem);
}

static void nt_frame(void *arg, struct net_conn *conn, struct frame *frame) {
  struct nt_node *node = arg;
  struct nt *nt = node->nt;
  struct nt_reply *r = nt_must(calloc(1, sizeof *r));
  struct wire_mem mem = {0};
  struct wire_message ask;
  nt_true(frame->type == FRAME_QUERY &&
          wire_message_read(frame->payload, frame->n, &mem, &ask) == WIRE_OK);
  r->m.kind = WIRE_ANSWER;
  r->m.has = WIRE_HAS(WIRE_RESULT);
  node->asked++;
  nt->silent |= ask.kind == WIRE_QUERY && nt->queries_most && nt->queries >= nt->queries_most;
  bool mute = ask.has & WIRE_HAS(WIRE_TARGET) && nt->mute & 1u << ask.target.shard;
  if (!nt->silent && !mute && ask.kind != WIRE_CANCEL) {
    nt->queries += ask.kind == WIRE_QUERY;
    if (ask.kind == WIRE_MAP)
      nt_map(nt, &ask, &r->m);
    else if (ask.kind == WIRE_LIST)
      nt_list(nt, &r->m);
    else if (ask.kind == WIRE_CREATE)
      nt_create(nt, &ask, r);
    else if (ask.kind == WIRE_DROP)
      nt_drop(nt, r);
    else if (ask.kind == WIRE_RESHAPE)
      nt_reshape(nt, &ask, r);
    else if (ask.kind == WIRE_ALTER)
      nt_alter(nt, &ask, r);
    else if (ask.kind == WIRE_NUMBERS)
      nt_numbers(nt, &ask, r);
    else
      nt_do(nt, node->id, &ask, r);
    if (ask.kind == WIRE_WRITE && nt->lose && !r->m.result.code)
      nt->lose--;
    else
      nt_reply(conn, frame->request, r);
  }
  nt_free(r);
  free(r);
  wire_mem_free(&mem);
}

static bool nt_known(void *arg, const struct hello *hello, const char *fingerprint) {
  const struct nt_node *node = arg;
  return hello->node & WIRE_CLIENT && (!node->nt->folder || *fingerprint);
}

static void nt_up(void *arg, struct net_conn *conn, const struct hello *hello) {
  (void)arg;
  (void)conn;
  (void)hello;
}

static void nt_room(void *arg, struct net_conn *conn) {
  (void)arg;
  (void)conn;
}

static void nt_down(void *arg, struct net_conn *conn, enum net_reason reason, const char *why) {
  (void)arg;
  (void)conn;
  (void)reason;
  (void)why;
}

/* ---- Opening ---- */

static void *nt_thread(void *arg) {
  struct nt *nt = arg;
  pthread_mutex_lock(&nt->mutex);
  while (!nt->closing) {
    struct pollfd fds[NT_NODES];
    nfds_t n = 0;
    for (uint32_t i = 1; i <= NT_NODES; i++)
      if (nt->nodes[i].net)
        fds[n++] = (struct pollfd){net_fd(nt->nodes[i].net), POLLIN, 0};
    pthread_mutex_unlock(&nt->mutex);
    poll(fds, n, 5);
    pthread_mutex_lock(&nt->mutex);
    for (uint32_t i = 1; i <= NT_NODES; i++)
      if (nt->nodes[i].net)
        net_run(nt->nodes[i].net, nt_clock());
  }
  pthread_mutex_unlock(&nt->mutex);
  return NULL;
}

static void nt_node_open(struct nt *nt, uint32_t id) {
  struct nt_node *node = &nt->nodes[id];
  char why[HELLO_WHY], path[3][256];
  struct net_config config = {.self = {.node = id, .store = {{1}}, .incarnation = 1}};
  config.handler = (struct net_handler){nt_known, nt_up, nt_frame, nt_room, nt_down, node};
  nt_true(doc_uuid_parse(nt_cluster, &config.self.cluster));
  if (nt->folder) {
    snprintf(path[0], 256, "%s/ca.pem", nt->folder);
    snprintf(path[1], 256, "%s/n%u.pem", nt->folder, id);
    snprintf(path[2], 256, "%s/n%u.key", nt->folder, id);
    config.ca_file = path[0];
    config.cert_file = path[1];
    config.key_file = path[2];
  }
  node->nt = nt;
  node->id = id;
  node->net = net_open(&config, why);
  nt_true(node->net && net_listen(node->net, "127.0.0.1:0", &node->port, why));
}

void nt_open(struct nt *nt, const char *folder) {
  memset(nt, 0, sizeof *nt);
  pthread_mutex_init(&nt->mutex, NULL);
  nt->folder = folder;
  nt->revision = 1;
  nt->shards = NT_SHARDS;
  nt_true(!vecdb_open(":memory:", NULL, &nt->db, NULL));
  for (uint32_t i = 0; i < NT_SHARDS; i++) {
    nt->primary[i] = 1 + i % NT_NODES;
    nt->epoch[i] = 1;
  }
  for (uint32_t i = 1; i <= NT_NODES; i++)
    nt_node_open(nt, i);
  nt_true(!pthread_create(&nt->thread, NULL, nt_thread, nt));
}

void nt_close(struct nt *nt) {
  pthread_mutex_lock(&nt->mutex);
  nt->closing = true;
  pthread_mutex_unlock(&nt->mutex);
  pthread_join(nt->thread, NULL);
  for (uint32_t i = 1; i <= NT_NODES; i++)
    if (nt->nodes[i].net)
      net_close(nt->nodes[i].net);
  vecdb_close(nt->db, NULL);
  free(nt->document);
  for (uint32_t i = 0; i < NT_SHARDS; i++)
    nt_forget(nt, i);
  pthread_mutex_destroy(&nt->mutex);
}

void nt_lead(struct nt *nt, uint32_t shard, uint32_t node) {
  pthread_mutex_lock(&nt->mutex);
  nt->primary[shard] = node;
  nt->epoch[shard]++;
  nt->revision++;
  pthread_mutex_unlock(&nt->mutex);
}

void nt_shards(struct nt *nt, uint32_t n) {
  pthread_mutex_lock(&nt->mutex);
  nt->shards = n;
  nt->generation++;
  nt->revision++;
  pthread_mutex_unlock(&nt->mutex);
}

void nt_trim(struct nt *nt, uint32_t shard, bool history) {
  struct nt_log *log = &nt->logs[shard];
  pthread_mutex_lock(&nt->mutex);
  for (; log->base < log->last; log->base++)
    wire_out_free(&log->entries[log->base]);
  log->history += history;
  pthread_mutex_unlock(&nt->mutex);
}

void nt_kill(struct nt *nt, uint32_t node) {
  pthread_mutex_lock(&nt->mutex);
  net_close(nt->nodes[node].net);
  nt->nodes[node].net = NULL;
  pthread_mutex_unlock(&nt->mutex);
  for (uint32_t i = 0; i < NT_SHARDS; i++)
    if (nt->primary[i] == node)
      nt_lead(nt, i, 1 + node % NT_NODES);
}

void nt_nodes(struct nt *nt, char *out, size_t n) {
  size_t at = 0;
  for (uint32_t i = 1; i <= NT_NODES; i++)
    at += (size_t)snprintf(out + at, n - at, "%s%u@127.0.0.1:%d", at ? "," : "", i,
                           nt->nodes[i].port);
}

void nt_certify(const char *folder, uint32_t client) {
  char path[4][256], why[HELLO_WHY];
  struct doc_uuid cluster;
  nt_true(doc_uuid_parse(nt_cluster, &cluster));
  snprintf(path[0], 256, "%s/ca.pem", folder);
  snprintf(path[1], 256, "%s/ca.key", folder);
  struct cert_files files = {path[0], path[1], path[2], path[3], NULL};
  nt_true(cert_authority(&files, 1, why));
  for (uint32_t i = 0; i <= NT_NODES; i++) {
    snprintf(path[2], 256, "%s/n%u.pem", folder, i);
    snprintf(path[3], 256, "%s/n%u.key", folder, i);
    nt_true(cert_node(&files, cluster, i ? i : client, 1, why));
  }
}
