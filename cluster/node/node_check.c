/*
 * node_check.c - replicas are compared now and then: the primary puts a check into the log, as a
 * client would by vecdb_client_check, and replication holds the digests against each other.
 */
#include <stdlib.h>

#include "node/node_int.h"

static const int64_t check_every_us = INT64_C(3600) * 1000000;
/* A digest looks for the rows of each page anew, so its time grows with the square of the rows, and
   the log waits for it: larger shards are compared only when somebody asks for it. */
static const uint64_t check_rows_max = 250000;

static void check_write(struct node_replica *r) {
  struct node *n = r->node;
  struct wire_out out;
  struct wire_message m = {.kind = WIRE_WRITE,
                           .has = WIRE_HAS(WIRE_TARGET) | WIRE_HAS(WIRE_OP),
                           .target = {.collection = r->collection, .shard = r->number},
                           .write = {.kind = WIRE_CHECK}};
  m.write.client = n->born;
  m.write.count = ++n->tickets;
  wire_out_init(&out, WIRE_BODY_MAX);
  wire_message_write(&m, &out);
  struct rep_event ev = {.type = REP_EV_WRITE,
                         .op = {m.write.client, m.write.count},
                         .ticket = n->tickets, /* nobody waits for it */
                         .data = out.data,
                         .n = (uint32_t)out.n};
  if (!out.status)
    node_step(r, &ev);
  wire_out_free(&out);
}

static bool check_affordable(const struct node_replica *r) {
  vecdb_stats stats = VECDB_STATS_INIT;
  return !vecdb_collection_stats(machine_rows(r->machine), &stats, NULL) &&
         stats.rows <= check_rows_max;
}

/* Shards of a node not all at once: the first time is anywhere within the period. */
void node_check_tick(struct node_replica *r) {
  struct rep_info info = {0};
  int64_t now = r->node->now_us;
  if (!r->check_us)
    r->check_us = now + (int64_t)(rep_mix(r->node->born, r->number) % (uint64_t)check_every_us);
  if (!r->rep || now < r->check_us)
    return;
  r->check_us = now + check_every_us;
  rep_info(r->rep, &info);
  if (info.serving && !node_split_still(r) && check_affordable(r))
    check_write(r);
}
