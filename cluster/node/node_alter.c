/*
 * node_alter.c - schemas that have changed: the document has the new one first, and each shard's
 * primary puts what leads to it into its log, version by version. So every replica changes at the
 * same entry, and what was written for a version comes behind it. The op id is the schema's
 * version, so it is applied once; the next one comes when the data has it.
 */
#include <string.h>

#include "node/node_int.h"
#include "wire/reshape.h"

static const int64_t alter_again_us = 1000000;

/* What comes after the schema that the replica's rows have. */
static bool alter_step(struct node_replica *r, const struct doc_coll *coll, struct wire_mem *mem,
                       struct wire_step *out) {
  *out = (struct wire_step){coll->schema_version, true, coll->schema ? coll->schema : "{}"};
  int code = coll->history
                 ? wire_history_step(coll->history, machine_schema(r->machine), mem, out)
                 : VECDB_OK;
  if (code && code != VECDB_ERR_NO_MEMORY && r->alter_bad != coll->schema_version) {
    r->alter_bad = coll->schema_version;
    node_log(r->node, "shard %u/%u: the collection's document does not say how the schema became "
                      "that of version %llu: its rows keep the one that they have",
             r->collection, r->number, (unsigned long long)coll->schema_version);
  }
  return !code;
}

static bool alter_body(const struct doc_coll *coll, const struct rep_op *op,
                       const struct wire_step *step, struct wire_out *out) {
  struct wire_message m = {.kind = WIRE_WRITE,
                           .has = WIRE_HAS(WIRE_TARGET) | WIRE_HAS(WIRE_OP) | WIRE_HAS(WIRE_NAME),
                           .target = {.collection = coll->id, .schema = op->count},
                           .write = {op->client, op->count,
                                     step->add ? WIRE_FIELDS_ADD : WIRE_RESHAPED, 0, 0},
                           .name = {"", step->text}};
  wire_out_init(out, WIRE_BODY_MAX);
  wire_message_write(&m, out);
  return !out->status;
}

void node_alter_tick(struct node_replica *r, const struct cache_view *view) {
  const struct doc_coll *coll = cache_doc(view, DOC_PATH_COLL, r->collection, 0);
  struct rep_info info = {0};
  struct wire_mem mem = {0};
  struct wire_step step;
  struct wire_out body;
  if (!coll || !r->rep || !r->machine || coll->schema_version <= machine_schema(r->machine) ||
      node_split_still(r))
    return;
  rep_info(r->rep, &info);
  bool due = info.serving && alter_step(r, coll, &mem, &step) &&
             (r->node->now_us >= r->alter_us || step.version > r->alter_version);
  if (!due) {
    wire_mem_free(&mem);
    return;
  }
  const struct rep_op op = {MACHINE_SCHEMA, step.version};
  r->alter_us = r->node->now_us + alter_again_us;
  r->alter_version = step.version;
  if (alter_body(coll, &op, &step, &body)) {
    /* Nobody waits for an answer: what was not taken is offered again. */
    struct rep_event ev = {.type = REP_EV_WRITE,
                           .op = op,
                           .ack = REP_ACK_SYNC,
                           .data = body.data,
                           .n = (uint32_t)body.n};
    node_step(r, &ev);
  }
  wire_out_free(&body);
  wire_mem_free(&mem);
}

/* A history is long, and each write of an older version asks. */
static uint64_t alter_broke(struct node_replica *r, const struct doc_coll *coll) {
  const uint64_t version = machine_schema(r->machine);
  if (!coll || !coll->history)
    return 0;
  if (r->alter_broke.from != version || r->alter_broke.to != coll->schema_version) {
    r->alter_broke.from = version;
    r->alter_broke.to = coll->schema_version;
    r->alter_broke.broke = wire_history_broke(coll->history, version);
  }
  return r->alter_broke.broke;
}

bool node_alter_refuses(struct node_replica *r, const struct wire_message *m) {
  const uint64_t version = machine_schema(r->machine);
  if (m->kind != WIRE_WRITE || !m->target.schema || m->target.schema >= version)
    return false;
  const struct cache_view *view = cache_take(r->node->cache);
  const struct doc_coll *coll = view ? cache_doc(view, DOC_PATH_COLL, r->collection, 0) : NULL;
  bool broke = alter_broke(r, coll) > m->target.schema;
  if (view)
    cache_give(view);
  return broke;
}
