/*
 * node_expire.c - rows whose time has come: the shard's primary looks by its clock, on a thread,
 * and puts their removal into the log, as a client would by a filter that has the time in it. So
 * they are gone at the same entry on every replica, whose own clock nobody asks; and who follows
 * the log is told.
 */
#include <stdlib.h>
#include <time.h>

#include "node/node_int.h"
#include "wire/expiry.h"

enum { EXPIRE_EVERY_US = 1000000, EXPIRE_SHARE = 100 }; /* and so often at the most */

struct expire {
  struct work_job job;
  struct node_replica *r;
  struct machine_data *data;
  uint64_t epoch; /* that the primary led, */
  uint64_t schema; /* and the version that the rows had */
  char text[WIRE_EXPIRY_TEXT];
  uint64_t found;
  int64_t began_us;
};

static int64_t expire_wall_ms(const struct node *n) {
  struct timespec t;
  if (n->config.wall_ms)
    return n->config.wall_ms();
  clock_gettime(CLOCK_REALTIME, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void expire_run(struct work_job *job) {
  struct expire *x = (struct expire *)job;
  const vecdb_filter filter = {x->text, 0, NULL, 0};
  if (vecdb_count(machine_data_rows(x->data), &filter, &x->found, NULL))
    x->found = 0; /* looked for again */
}

/* Nobody waits for the answer: what is not taken is found again. */
static void expire_write(const struct expire *x) {
  struct node_replica *r = x->r;
  struct node *n = r->node;
  struct wire_out out;
  struct wire_message m = {
      .kind = WIRE_WRITE,
      .has = WIRE_HAS(WIRE_TARGET) | WIRE_HAS(WIRE_OP) | WIRE_HAS(WIRE_FILTER),
      .target = {.collection = r->collection, .shard = r->number},
      .write = {.client = n->born, .count = ++n->tickets, .kind = WIRE_DELETE_WHERE},
      .filter = {x->text, 0, NULL, 0}};
  wire_out_init(&out, WIRE_BODY_MAX);
  wire_message_write(&m, &out);
  struct rep_event ev = {.type = REP_EV_WRITE,
                         .op = {m.write.client, m.write.count},
                         .ticket = n->tickets,
                         .data = out.data,
                         .n = (uint32_t)out.n};
  if (!out.status)
    node_step(r, &ev);
  wire_out_free(&out);
}

/* Whether the rows are those of this primary's own time: all that others have put into the log is
   in them, changes of fields among it, so the field is the one that the document means. */
static bool expire_leads(const struct node_replica *r, uint64_t *epoch) {
  struct rep_info info = {0};
  if (!r->rep || r->closing || node_split_still(r))
    return false;
  rep_info(r->rep, &info);
  *epoch = info.epoch;
  return info.serving && machine_at(r->machine).epoch == info.epoch;
}

static void expire_done(struct work_job *job) {
  struct expire *x = (struct expire *)job;
  struct node_replica *r = x->r;
  const int64_t took_us = r->node->now_us - x->began_us;
  uint64_t epoch;
  machine_drop(x->data);
  r->reading--;
  r->expiring = false;
  r->expire_us = r->node->now_us + EXPIRE_EVERY_US + EXPIRE_SHARE * took_us;
  /* No other schema is on its way either. */
  if (x->found && expire_leads(r, &epoch) && epoch == x->epoch &&
      machine_schema(r->machine) == x->schema && r->alter_version <= x->schema)
    expire_write(x);
  free(x);
}

static void expire_begin(struct node_replica *r, const struct wire_expiry *e, uint64_t epoch) {
  struct expire *x = calloc(1, sizeof *x);
  if (!x)
    return;
  x->job = (struct work_job){NULL, expire_run, expire_done};
  x->r = r;
  x->epoch = epoch;
  x->schema = machine_schema(r->machine);
  x->began_us = r->node->now_us;
  wire_expiry_filter(e, expire_wall_ms(r->node), x->text);
  x->data = machine_hold(r->machine);
  r->reading++;
  r->expiring = true;
  work_add(r->node->work, &x->job);
}

void node_expire_tick(struct node_replica *r, const struct cache_view *view) {
  const struct doc_coll *coll = cache_doc(view, DOC_PATH_COLL, r->collection, 0);
  struct wire_mem mem = {0};
  struct wire_expiry e;
  uint64_t epoch;
  if (!coll || !coll->expiry || r->expiring || r->node->now_us < r->expire_us ||
      !expire_leads(r, &epoch) || machine_schema(r->machine) != coll->schema_version)
    return;
  r->expire_us = r->node->now_us + EXPIRE_EVERY_US;
  if (wire_expiry_read(coll->expiry, &mem, &e) && e.field)
    expire_begin(r, &e, epoch);
  wire_mem_free(&mem);
}
