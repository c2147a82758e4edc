/* ctl.c - the commands; see ctl.h. */
#include "ctl/ctl.h"

#include <stdlib.h>
#include <string.h>

#include "ctl/check.h"
#include "ctl/fields.h"
#include "ctl/first.h"
#include "ctl/force.h"
#include "ctl/lag.h"
#include "ctl/split.h"
#include "ctl/status.h"

static const char ctl_usage[] =
    "usage: vecdb cluster COMMAND [--etcd URLS] [--cluster ID] [--ca F --cert F --key F]\n"
    "  init [--name NAME]                 a new cluster in an etcd; prints its id\n"
    "  add-node N --address HOST:PORT [--zone Z] [--name NAME]\n"
    "  create --collection C --schema FILE [--shards S] [--replicas R] [--min-isr M] [--ack A]\n"
    "                                     A is sync, chain or async\n"
    "  drop --collection C                removes it with its data\n"
    "  fields --collection C --add FILE|--drop FIELD|--rename FIELD --to NAME\n"
    "                                     changes its schema; rows stay as they are\n"
    "  expire --collection C [--field FIELD --ttl-seconds N]\n"
    "                                     its rows go N seconds after the time in a field, in\n"
    "                                     milliseconds since 1970; without one they stay\n"
    "  status [--lag]                     --lag asks the nodes how far each replica is behind,\n"
    "                                     and says where shards are too large or too small\n"
    "  check [--collection C]             compares the rows of the replicas of each shard\n"
    "  balance [--collection C] [--dry-run] [--wait]\n"
    "  move --collection C --shard S --target-node N [--source-node N] [--dry-run] [--wait]\n"
    "  drain N [--dry-run] [--wait]       moves every replica away from node N\n"
    "  split --collection C --shard S [--slots LIST|--at half] [--dry-run] [--wait]\n"
    "                                     half of its slots, or those like 17,20-31, become a new\n"
    "                                     shard on the same nodes; clients of an earlier version\n"
    "                                     cannot use the collection from then on\n"
    "  cancel --collection C --shard S    gives up a move, while its source is still there, or a\n"
    "                                     split, before its rows have changed hands\n"
    "  force --collection C --shard S --target-node N [--accept-loss]\n"
    "                                     N leads with what it has, when none in sync is left\n"
    "  orphans [--replay] FILE...         writes that a log was cut of; needs no etcd\n"
    "  certify FOLDER CLUSTER N...        an authority, and certificates of nodes and clients\n"
    "--etcd is http://127.0.0.1:2379 unless given; --cluster the only one that etcd holds.\n";

static const int64_t ctl_split_wait_us = 180000000;

static bool ctl_number(const char *text, uint32_t *out) {
  char *end;
  unsigned long long n = text && *text >= '0' && *text <= '9' ? strtoull(text, &end, 10) : 0;
  if (!text || *text < '0' || *text > '9' || *end || n > UINT32_MAX)
    return false;
  *out = (uint32_t)n;
  return true;
}

/* Takes one option and its value; gives how many words it was, 0: not understood. */
static int ctl_option(const char *name, const char *value, struct ctl_args *out) {
  const struct {
    const char *name;
    const char **text;
    uint32_t *number;
    bool *flag;
  } options[] = {{"--etcd", &out->endpoints, NULL, NULL},
                 {"--cluster", &out->cluster, NULL, NULL},
                 {"--ca", &out->ca_file, NULL, NULL},
                 {"--cert", &out->cert_file, NULL, NULL},
                 {"--key", &out->key_file, NULL, NULL},
                 {"--collection", &out->collection, NULL, NULL},
                 {"--shard", NULL, &out->shard, &out->has_shard},
                 {"--source-node", NULL, &out->source, NULL},
                 {"--target-node", NULL, &out->target, NULL},
                 {"--slots", &out->slots, NULL, NULL},
                 {"--at", &out->at, NULL, NULL},
                 {"--dry-run", NULL, NULL, &out->dry_run},
                 {"--wait", NULL, NULL, &out->wait},
                 {"--lag", NULL, NULL, &out->lag},
                 {"--accept-loss", NULL, NULL, &out->accept_loss},
                 {"--name", &out->name, NULL, NULL},
                 {"--address", &out->address, NULL, NULL},
                 {"--zone", &out->zone, NULL, NULL},
                 {"--schema", &out->schema, NULL, NULL},
                 {"--add", &out->add, NULL, NULL},
                 {"--drop", &out->drop, NULL, NULL},
                 {"--rename", &out->rename, NULL, NULL},
                 {"--to", &out->to, NULL, NULL},
                 {"--field", &out->field, NULL, NULL},
                 {"--ttl-seconds", NULL, &out->ttl_s, NULL},
                 {"--ack", &out->ack, NULL, NULL},
                 {"--shards", NULL, &out->shards, NULL},
                 {"--replicas", NULL, &out->replicas, NULL},
                 {"--min-isr", NULL, &out->min_isr, NULL}};
  for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
    if (strcmp(name, options[i].name) != 0)
      continue;
    if (options[i].flag)
      *options[i].flag = true;
    if (options[i].number)
      return ctl_number(value, options[i].number) ? 2 : 0;
    if (options[i].text)
      *options[i].text = value;
    return options[i].text ? (value ? 2 : 0) : 1;
  }
  return 0;
}

/* What a command must be given besides. */
static const char *ctl_missing(const struct ctl_args *a) {
  if (ctl_first_is(a->command))
    return ctl_first_missing(a);
  if (ctl_fields_is(a->command))
    return ctl_fields_missing(a);
  bool target = strcmp(a->command, "move") == 0 || strcmp(a->command, "force") == 0;
  bool split = strcmp(a->command, "split") == 0;
  bool one = target || split || strcmp(a->command, "cancel") == 0;
  if (one && (!a->collection || !a->has_shard))
    return "it needs --collection and --shard";
  if (split && a->at && (a->slots || strcmp(a->at, "half") != 0))
    return "it takes --slots, or --at half";
  if (target && !a->target)
    return "it needs --target-node";
  if (strcmp(a->command, "drain") == 0 && !a->node)
    return "it needs a node's number";
  if (!one && strcmp(a->command, "drain") != 0 && strcmp(a->command, "status") != 0 &&
      strcmp(a->command, "balance") != 0 && strcmp(a->command, "check") != 0)
    return "no such command";
  return NULL;
}

bool ctl_parse(int argc, char **argv, struct ctl_args *out, FILE *err) {
  *out = (struct ctl_args){.endpoints = "http://127.0.0.1:2379"};
  const char *fault = NULL, *at = NULL;
  for (int i = 1; i < argc && !fault;) {
    int words = ctl_option(argv[i], i + 1 < argc ? argv[i + 1] : NULL, out);
    at = argv[i];
    if (words) {
      i += words;
      continue;
    }
    bool plain = *argv[i] != '-';
    bool takes = out->command && (strcmp(out->command, "drain") == 0 ||
                                  strcmp(out->command, "add-node") == 0);
    bool node = plain && takes && !out->node;
    if (plain && !out->command)
      out->command = argv[i];
    else if (!node || !ctl_number(argv[i], &out->node))
      fault = "not understood, or without its value";
    i++;
  }
  if (!fault && out->command) {
    at = out->command;
    fault = ctl_missing(out);
  }
  if (fault)
    fprintf(err, "%s: %s\n", at, fault);
  if (fault || !out->command)
    fputs(ctl_usage, err);
  return !fault && out->command;
}

/* ---- Commands ---- */

static int ctl_failed(FILE *err, const char *why) {
  fprintf(err, "%s\n", *why ? why : "it could not be done: out of memory");
  return 1;
}

/* Takes steps until no move is open, printing what has changed. */
static int ctl_wait(struct ctl *ctl, FILE *out, FILE *err) {
  size_t steps, open = 1;
  int64_t printed = -1;
  while (open) {
    enum ctl_status status = ctl_drive(ctl, &steps, &open);
    if (status)
      return ctl_failed(err, ctl->why);
    const struct cache_view *view = ctl_view(ctl);
    size_t n;
    const struct cache_entry *const *all = cache_all(view, DOC_PATH_MOVE, 0, &n);
    for (size_t i = 0; i < n && view->revision != printed; i++)
      if (all[i]->mod > printed && all[i]->doc)
        ctl_print_moves(view, all[i]->doc, 1, out);
    printed = view->revision;
    cache_give(view);
    if (open)
      ctl_turn(ctl, ctl_now(ctl) + 1000000);
  }
  return 0;
}

static int ctl_do_plan(struct ctl *ctl, const struct ctl_args *args, const struct ctl_plan *plan,
                       FILE *out, FILE *err) {
  const struct cache_view *view = ctl_view(ctl);
  size_t written = 0;
  ctl_print_moves(view, plan->moves, plan->n, out);
  cache_give(view);
  if (plan->replicas)
    fprintf(out, "%zu moves for %zu replicas (%.1f %%)\n", plan->n, plan->replicas,
            100.0 * (double)plan->n / (double)plan->replicas);
  if (args->dry_run)
    return 0;
  if (ctl_write_plan(ctl, plan, &written))
    return ctl_failed(err, ctl->why);
  if (written < plan->n)
    fprintf(out, "%zu of them were left out: their shards were changed meanwhile\n",
            plan->n - written);
  return args->wait ? ctl_wait(ctl, out, err) : 0;
}

static int ctl_plan(struct ctl *ctl, const struct ctl_args *args, FILE *out, FILE *err) {
  struct ctl_plan plan = {0};
  const struct cache_view *view = ctl_view(ctl);
  uint32_t collection = args->collection ? ctl_collection(view, args->collection) : 0;
  enum ctl_status status = CTL_NO_SUCH;
  if (args->collection && !collection)
    snprintf(plan.why, sizeof plan.why, "no such collection");
  else if (strcmp(args->command, "move") == 0)
    status = ctl_plan_move(view, collection, args->shard, args->source, args->target, &plan);
  else
    status = ctl_plan_balance(view, collection, args->node, &plan);
  cache_give(view);
  int code = 0;
  if (status == CTL_NOTHING) {
    fprintf(out, "nothing is to be moved\n");
    code = args->wait ? ctl_wait(ctl, out, err) : 0;
  } else {
    code = status ? ctl_failed(err, plan.why) : ctl_do_plan(ctl, args, &plan, out, err);
  }
  ctl_plan_free(&plan);
  return code;
}

/* Plans before the node's state changes, so that what cannot be drained stays as it is. */
static int ctl_drain(struct ctl *ctl, const struct ctl_args *args, FILE *out, FILE *err) {
  struct ctl_plan plan;
  const struct cache_view *view = ctl_view(ctl);
  enum ctl_status status = ctl_plan_balance(view, 0, args->node, &plan);
  cache_give(view);
  ctl_plan_free(&plan);
  if (status && status != CTL_NOTHING)
    return ctl_failed(err, plan.why);
  if (!args->dry_run && ctl_set_state(ctl, args->node, DOC_NODE_DRAINING))
    return ctl_failed(err, ctl->why);
  return ctl_plan(ctl, args, out, err);
}

/* Until the split has come to its end, which the nodes bring about; or nobody goes on with it for
   longer than they wait for copies. */
static int ctl_wait_split(struct ctl *ctl, const struct doc_split *doc, FILE *out, FILE *err) {
  int64_t until = ctl_now(ctl) + ctl_split_wait_us;
  for (int64_t printed = 0;;) {
    const struct cache_view *view = ctl_view(ctl);
    const struct cache_entry *e = cache_find(view, DOC_PATH_SPLIT, doc->collection, doc->shard);
    const struct doc_split *now = e ? e->doc : NULL;
    bool ours = now && now->id == doc->id, open = ours && doc_split_open(now);
    bool done = ours && now->step == DOC_SPLIT_DONE;
    if (ours && e->mod != printed) {
      ctl_print_split(view, now, out);
      until = ctl_now(ctl) + ctl_split_wait_us;
    }
    printed = e ? e->mod : 0;
    cache_give(view);
    if (!open)
      return done ? 0 : ctl_failed(err, "the split was given up");
    if (ctl_now(ctl) >= until)
      return ctl_failed(err, "the split is under way, but nobody has gone on with it for three "
                             "minutes: see `status`, or `cancel` it");
    ctl_turn(ctl, ctl_now(ctl) + 1000000);
  }
}

static int ctl_split_shard(struct ctl *ctl, const struct ctl_args *args, FILE *out, FILE *err) {
  struct ctl_split split = {0};
  const struct cache_view *view = ctl_view(ctl);
  enum ctl_status status = ctl_plan_split(view, ctl_collection(view, args->collection), args->shard,
                                          args->slots, &split);
  bool held = false;
  int code = 0;
  if (!status)
    fprintf(out, "%u of %u slots of %s/%u become shard %u\n", split.moved, split.had,
            args->collection, args->shard, split.doc.child);
  cache_give(view);
  if (status)
    code = ctl_failed(err, split.why);
  else if (!args->dry_run && ctl_write_split(ctl, &split, &held))
    code = ctl_failed(err, ctl->why);
  else if (!args->dry_run && !held)
    code = ctl_failed(err, "nothing was done: the shard was changed meanwhile");
  else if (!args->dry_run && args->wait)
    code = ctl_wait_split(ctl, &split.doc, out, err);
  doc_split_free(&split.doc);
  return code;
}

/* A split, if one is open; CTL_NO_SUCH: none is. */
static enum ctl_status ctl_unsplit(struct ctl *ctl, const struct ctl_args *args) {
  const struct cache_view *view = ctl_view(ctl);
  uint32_t collection = ctl_collection(view, args->collection);
  cache_give(view);
  return ctl_cancel_split(ctl, collection, args->shard);
}

static int ctl_give_up(struct ctl *ctl, const struct ctl_args *args, FILE *out, FILE *err) {
  bool held = false;
  enum ctl_status split = ctl_unsplit(ctl, args);
  if (split == CTL_NOT_ALLOWED)
    return ctl_failed(err, "the split has gone too far to be given up");
  if (split && split != CTL_NO_SUCH)
    return ctl_failed(err, ctl->why);
  if (!split) {
    fprintf(out, "the split is cancelled\n");
    return 0;
  }
  while (!held) {
    struct ctl_step step;
    const struct cache_view *view = ctl_view(ctl);
    bool can = ctl_cancel(view, ctl_collection(view, args->collection), args->shard,
                          "by an operator", &step);
    cache_give(view);
    if (!can)
      return ctl_failed(err, "there is no move or split that could still be given up");
    if (ctl_apply(ctl, &step, &held))
      return ctl_failed(err, ctl->why);
  }
  fprintf(out, "the move is cancelled\n");
  return 0;
}

static int ctl_start(struct ctl *ctl, const struct ctl_args *args, FILE *out, FILE *err) {
  struct doc_shard forced;
  int64_t mod;
  const struct cache_view *view = ctl_view(ctl);
  bool can = ctl_force(view, ctl_collection(view, args->collection), args->shard, args->target,
                       &forced, &mod, ctl->why);
  if (can)
    ctl_print_force(view, &forced, out);
  cache_give(view);
  if (!can)
    return ctl_failed(err, ctl->why);
  if (!args->accept_loss)
    return ctl_failed(err, "nothing was done: it takes --accept-loss");
  size_t n;
  bool held = false;
  char *text = doc_shard_write(&forced, &n);
  struct doc_path path = doc_path(ctl->cluster, DOC_PATH_SHARD, forced.collection, forced.number);
  enum ctl_status status = text ? ctl_put(ctl, path, text, n, mod, &held) : CTL_NO_MEMORY;
  free(text);
  if (!status && !held)
    return ctl_failed(err, "nothing was done: the shard's record changed meanwhile");
  return status ? ctl_failed(err, ctl->why) : 0;
}

int ctl_run(struct ctl *ctl, const struct ctl_args *args, FILE *out, FILE *err) {
  if (ctl_first_is(args->command))
    return ctl_first(ctl, args, out, err);
  if (ctl_fields_is(args->command))
    return ctl_fields(ctl, args, out, err);
  if (strcmp(args->command, "status") == 0) {
    const struct cache_view *view = ctl_view(ctl);
    ctl_print_status(view, out);
    cache_give(view);
    return args->lag && !ctl_lag(ctl, out) ? ctl_failed(err, ctl->why) : 0;
  }
  if (strcmp(args->command, "check") == 0)
    return ctl_check(ctl, args->collection, out)
               ? 0
               : ctl_failed(err, *ctl->why ? ctl->why : "replicas differ, or were not compared");
  if (strcmp(args->command, "drain") == 0)
    return ctl_drain(ctl, args, out, err);
  if (strcmp(args->command, "force") == 0)
    return ctl_start(ctl, args, out, err);
  if (strcmp(args->command, "split") == 0)
    return ctl_split_shard(ctl, args, out, err);
  if (strcmp(args->command, "cancel") == 0)
    return ctl_give_up(ctl, args, out, err);
  return ctl_plan(ctl, args, out, err);
}
