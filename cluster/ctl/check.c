/*
 * check.c - the rows of replicas compared; see check.h. Each shard gets a check as a write, which
 * all its replicas come to at the same place of the log; then they are asked what they have made
 * of it. What differs is replaced by replication itself.
 */
#include "ctl/check.h"

#include <inttypes.h>
#include <string.h>

#include "ctl/lag.h"

enum { CHECK_MS = 60000, CHECK_ASK_MS = 2000, CHECK_TRIES = 200, CHECK_PAUSE_US = 50000 };

/* What the replicas of a collection have said, shard by shard: the primary comes first. */
struct check {
  FILE *out;
  const char *name;
  uint32_t shard; /* that is being looked at */
  uint64_t seq, digest, rows; /* of its primary */
  uint32_t want, same, waits, differ; /* replicas; those that are not in sync are not asked */
  bool print, good;
};

/* The shard is over: a line for it. */
static void check_shard(struct check *c) {
  c->good = c->good && c->same >= c->want && !c->waits && !c->differ;
  if (!c->print)
    return;
  if (!c->seq)
    fprintf(c->out, "%s/%u: its primary does not answer\n", c->name, c->shard);
  else
    fprintf(c->out,
            "%s/%u: %u of %u replicas have the primary's %" PRIu64 " rows, as of %" PRIu64 "\n",
            c->name, c->shard, c->same, c->want, c->rows, c->seq);
}

static int check_visit(void *user, const vecdb_client_replica *r) {
  struct check *c = user;
  if (r->shard != c->shard) {
    check_shard(c);
    c->shard = r->shard;
    c->same = c->waits = c->differ = 0;
    c->seq = 0;
  }
  if (r->primary) {
    c->seq = r->checked;
    c->digest = r->digest;
    c->rows = r->rows;
  }
  bool known = r->reached && c->seq && r->checked == c->seq;
  c->same += known && r->digest == c->digest;
  c->differ += known && r->digest != c->digest;
  c->waits += !known;
  if (c->print && !known)
    fprintf(c->out, "%s/%u: node %u has not compared its rows\n", c->name, r->shard, r->node);
  if (c->print && known && r->digest != c->digest)
    fprintf(c->out, "%s/%u: node %u has other rows than the primary\n", c->name, r->shard, r->node);
  return 0;
}

/* One walk through all replicas that are in sync now. */
static int check_walk(struct check *c, vecdb_client *client, bool print, vecdb_error *error) {
  vecdb_client_call call = VECDB_CLIENT_CALL_INIT;
  vecdb_client_layout layout = VECDB_CLIENT_LAYOUT_INIT;
  vecdb_client_about *about = NULL;
  call.timeout_ms = CHECK_ASK_MS;
  int code = vecdb_client_describe(client, c->name, &call, &about, error);
  if (code)
    return code;
  (void)vecdb_client_about_layout(about, &layout);
  *c = (struct check){
      .out = c->out, .name = c->name, .want = layout.replicas, .print = print, .good = true};
  code = vecdb_client_replicas(client, about, &call, check_visit, c, error);
  check_shard(c);
  vecdb_client_about_free(about);
  return code;
}

static bool check_collection(struct ctl *ctl, vecdb_client *client, const char *name, FILE *out) {
  struct check c = {.out = out, .name = name};
  vecdb_client_call call = VECDB_CLIENT_CALL_INIT;
  vecdb_error error = {0};
  call.timeout_ms = CHECK_MS;
  int code = vecdb_client_check(client, name, &call, &error);
  for (int i = 0; !code && !c.good && i < CHECK_TRIES; i++) {
    if (i)
      ctl_turn(ctl, ctl_now(ctl) + CHECK_PAUSE_US);
    code = check_walk(&c, client, false, &error);
  }
  if (!code)
    code = check_walk(&c, client, true, &error);
  if (code)
    snprintf(ctl->why, sizeof ctl->why, "%.60s: %.180s", name, error.message);
  return !code && c.good;
}

bool ctl_check(struct ctl *ctl, const char *collection, FILE *out) {
  vecdb_client *client = ctl_client(ctl);
  vecdb_client_call call = VECDB_CLIENT_CALL_INIT;
  vecdb_client_list *list = NULL;
  vecdb_error error = {0};
  bool good = client != NULL;
  call.timeout_ms = CHECK_ASK_MS;
  if (client && !collection && vecdb_client_list_collections(client, &call, &list, &error)) {
    snprintf(ctl->why, sizeof ctl->why, "%.200s", error.message);
    good = false;
  }
  if (client && collection)
    good = check_collection(ctl, client, collection, out);
  for (size_t i = 0; list && i < vecdb_client_list_count(list); i++)
    good &= check_collection(ctl, client, vecdb_client_list_name(list, i), out);
  vecdb_client_list_free(list);
  vecdb_client_close(client);
  return good;
}
