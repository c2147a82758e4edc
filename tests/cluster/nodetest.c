/* nodetest.c - three nodes for tests of clients; see nodetest.h. */
#include "cluster/nodetest_int.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "meta/key.h"
#include "net/cert.h"
#include "ctl/shape.h"
#include "wire/expiry.h"
#include "wire/touched.h"

const char nt_cluster[] = "000102030405060708090a0b0c0d0e0f";

static int64_t nt_clock(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* ---- Documents ---- */

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
  nt->broke = 0;
  nt->document = doc_coll_write(&doc, &n);
  snprintf(nt->name, sizeof nt->name, "%s", ask->name.name);
  nt->revision++;
  doc_coll_free(&doc);
}

/* The collection's document, and another one in its place; `version`: its schema is another. */
static void nt_doc(const struct nt *nt, const struct wire_message *ask, struct doc_coll *doc) {
  char why[DOC_TEXT_MAX];
  nt_true(nt->document && !strcmp(ask->name.name, nt->name));
  nt_true(doc_coll_read(meta_text(nt->document), doc, why) == DOC_OK);
}

static void nt_becomes(struct nt *nt, struct doc_coll *doc, bool version, struct nt_reply *r) {
  size_t n;
  doc->schema_version += version;
  free(nt->document);
  nt->document = doc_coll_write(doc, &n);
  nt->revision++;
  nt->version = doc->schema_version;
  r->m.number = version ? nt->version : (uint64_t)nt->revision;
  r->m.has |= WIRE_HAS(WIRE_NUMBER);
}

/* Of all shards at once: these nodes have no logs. */
static void nt_alter(struct nt *nt, const struct wire_message *ask, struct nt_reply *r) {
  struct doc_coll doc;
  vecdb_schema more, all;
  vecdb_field fields[VECDB_MAX_FIELDS];
  char why[DOC_TEXT_MAX];
  nt_doc(nt, ask, &doc);
  nt_true(!wire_schema_read(ask->name.text, strlen(ask->name.text), &r->mem, &more, why));
  nt_true(!wire_schema_read(doc.schema, strlen(doc.schema), &r->mem, &all, why));
  for (uint32_t i = 0; i < NT_SHARDS && !r->m.result.code; i++) {
    vecdb_collection *c = nt_must(nt_shard(nt, i));
    r->m.result.code = vecdb_fields_add(c, &more, NULL, &r->error);
    vecdb_collection_release(c);
  }
  if (!r->m.result.code) {
    memcpy(fields, all.fields, all.n_fields * sizeof *fields);
    memcpy(fields + all.n_fields, more.fields, more.n_fields * sizeof *fields);
    all.fields = fields;
    all.n_fields += more.n_fields;
    free(doc.schema);
    doc.schema = nt_must(wire_schema_write(&all));
    nt_becomes(nt, &doc, true, r);
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
  size_t n = 0;
  nt_doc(nt, ask, &doc);
  nt_true(!wire_reshape_read(ask->name.text, strlen(ask->name.text), &r->mem, &reshape, why));
  nt_true(!wire_schema_read(doc.schema, strlen(doc.schema), &r->mem, &all, why));
  for (uint32_t i = 0; i < NT_SHARDS && !r->m.result.code; i++) {
    vecdb_collection *c = nt_must(nt_shard(nt, i));
    r->m.result.code = shape_rows(c, &reshape, &r->error);
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
    nt_becomes(nt, &doc, true, r);
    if (reshape.kind == WIRE_RESHAPE_DROP || reshape.kind == WIRE_RESHAPE_RENAME)
      nt->broke = nt->version;
  }
  doc_coll_free(&doc);
}

/* The document alone: no rows go here. */
static void nt_expire(struct nt *nt, const struct wire_message *ask, struct nt_reply *r) {
  struct doc_coll doc;
  struct wire_expiry expiry;
  nt_doc(nt, ask, &doc);
  nt_true(wire_expiry_read(ask->name.text, &r->mem, &expiry));
  vecdb_collection *c = nt_must(nt_shard(nt, 0));
  r->m.result.code = vecdb_expire(c, expiry.field, expiry.ttl_ms, NULL, &r->error);
  vecdb_expire(c, NULL, 0, NULL, NULL);
  vecdb_collection_release(c);
  if (!r->m.result.code) {
    free(doc.expiry);
    doc.expiry = expiry.field ? nt_must(wire_expiry_write(&expiry)) : NULL;
    nt_becomes(nt, &doc, false, r);
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

static int nt_push(vecdb_collection *c, const struct wire_message *ask, struct nt_reply *r) {
  const struct wire_columns two = {ask->rows.n_rows, 2, ask->rows.columns, NULL};
  vecdb_batch batch;
  int code = wire_batch_of_columns(vecdb_collection_schema(c), &two, &r->mem, &batch, &r->error);
  if (code)
    return code;
  const vecdb_keys keys = {batch.columns[0].data, NULL, batch.n_rows};
  vecdb_push_params p = VECDB_PUSH_PARAMS_INIT;
  p.kind = (int32_t)(ask->write.flags / WIRE_PUSH_KIND);
  p.flags = ask->write.flags % WIRE_PUSH_KIND;
  p.field = batch.columns[1].field;
  p.dim = batch.columns[1].dim;
  p.keys = &keys;
  p.values = batch.columns[1].data;
  p.stride = batch.columns[1].stride;
  p.expected = wire_push_expected(ask);
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
  if (ask->write.kind == WIRE_PUSH)
    return nt_push(c, ask, r);
  int code = wire_batch_of_columns(schema, &ask->rows, &r->mem, &batch, &r->error);
  if (code)
    return code;
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
  if (ask->kind == WIRE_WRITE && ask->target.schema < nt->broke) {
    result->code = WIRE_SCHEMA;
    return;
  }
  if (ask->target.generation < nt->generation && ask->kind != WIRE_STATS &&
      ask->kind != WIRE_COMPACT) {
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
  else if (ask->kind == WIRE_EXPLAIN)
    result->code = nt_explain(c, node, ask, r);
  else if (ask->kind == WIRE_SPARSE)
    result->code = nt_sparse(c, ask, r);
  else if (ask->kind == WIRE_COMPACT)
    nt->compacted[node] |= 1u << shard;
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
    else if (ask.kind == WIRE_EXPIRE)
      nt_expire(nt, &ask, r);
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
