/*
 * node_alter.c - schemas that have changed: the document has the new one first, and each shard's
 * primary puts it into its log. So every replica gets new fields at the same entry, and what was
 * written for them comes behind it. The op id is the schema's version, so it is applied once.
 */
#include <string.h>

#include "node/node_int.h"

static const int64_t alter_again_us = 1000000;

static bool alter_body(const struct doc_coll *coll, const struct rep_op *op, struct wire_out *out) {
  struct wire_message m = {.kind = WIRE_WRITE,
                           .has = WIRE_HAS(WIRE_TARGET) | WIRE_HAS(WIRE_OP) | WIRE_HAS(WIRE_NAME),
                           .target = {.collection = coll->id, .schema = op->count},
                           .write = {op->client, op->count, WIRE_FIELDS_ADD, 0, 0},
                           .name = {"", coll->schema ? coll->schema : "{}"}};
  wire_out_init(out, WIRE_BODY_MAX);
  wire_message_write(&m, out);
  return !out->status;
}

void node_alter_tick(struct node_replica *r, const struct cache_view *view) {
  const struct doc_coll *coll = cache_doc(view, DOC_PATH_COLL, r->collection, 0);
  struct rep_info info = {0};
  struct wire_out body;
  if (!coll || !r->rep || !r->machine || coll->schema_version <= machine_schema(r->machine) ||
      r->node->now_us < r->alter_us || node_split_still(r))
    return;
  rep_info(r->rep, &info);
  if (!info.serving)
    return;
  const struct rep_op op = {MACHINE_SCHEMA, coll->schema_version};
  r->alter_us = r->node->now_us + alter_again_us;
  if (alter_body(coll, &op, &body)) {
    /* Nobody waits for an answer: what was not taken is offered again. */
    struct rep_event ev = {.type = REP_EV_WRITE,
                           .op = op,
                           .ack = REP_ACK_SYNC,
                           .data = body.data,
                           .n = (uint32_t)body.n};
    node_step(r, &ev);
  }
  wire_out_free(&body);
}
