/* first.c - init, add-node, create, drop: see first.h. */
#include "ctl/first.h"

#include <stdlib.h>
#include <string.h>

#include "ctl/create.h"
#include "place/table.h"

static bool first_named(const struct ctl_args *a, const char *command) {
  return strcmp(a->command, command) == 0;
}

bool ctl_first_is(const char *command) {
  return strcmp(command, "init") == 0 || strcmp(command, "add-node") == 0 ||
         strcmp(command, "create") == 0 || strcmp(command, "drop") == 0;
}

const char *ctl_first_missing(const struct ctl_args *a) {
  if (first_named(a, "add-node") && (!a->node || !a->address))
    return "it needs a node's number and --address";
  if (first_named(a, "create") && (!a->collection || !a->schema))
    return "it needs --collection and --schema";
  if (first_named(a, "drop") && !a->collection)
    return "it needs --collection";
  return NULL;
}

static enum ctl_status first_init(struct ctl *ctl, const struct ctl_args *a, FILE *out) {
  char id[33];
  enum ctl_status status = ctl_init(ctl, a->name ? a->name : "vecdb");
  doc_uuid_text(ctl->cluster, id);
  if (!status)
    fprintf(out, "%s\n", id);
  return status;
}

static enum ctl_status first_add(struct ctl *ctl, const struct ctl_args *a) {
  struct doc_node doc = {.id = a->node, .weight = PLACE_WEIGHT};
  snprintf(doc.name, sizeof doc.name, "%s", a->name ? a->name : "");
  if (!a->name)
    snprintf(doc.name, sizeof doc.name, "node%u", a->node);
  snprintf(doc.address, sizeof doc.address, "%s", a->address);
  snprintf(doc.zone, sizeof doc.zone, "%s", a->zone ? a->zone : "");
  return ctl_add_node(ctl, &doc);
}

char *ctl_first_file(const char *path) {
  FILE *f = fopen(path, "rb");
  char *text = f ? calloc(1, DOC_SCHEMA_MAX + 1) : NULL;
  size_t n = text ? fread(text, 1, DOC_SCHEMA_MAX + 1, f) : 0;
  if (f)
    fclose(f);
  if (n && n <= DOC_SCHEMA_MAX)
    return text;
  free(text);
  return NULL;
}

static enum ctl_status first_create(struct ctl *ctl, const struct ctl_args *a) {
  struct doc_coll coll = {.policy = DOC_HASH,
                          .slots = PLACE_SLOTS,
                          .window = 1,
                          .shards = a->shards ? a->shards : 1,
                          .replicas = a->replicas ? a->replicas : 1,
                          .schema_version = 1,
                          .index_version = 1};
  const char *ack = a->ack ? a->ack : "sync";
  coll.min_isr = a->min_isr ? a->min_isr : coll.replicas / 2 + 1;
  coll.ack = strcmp(ack, "async") == 0   ? DOC_ACK_ASYNC
             : strcmp(ack, "chain") == 0 ? DOC_ACK_CHAIN
                                         : DOC_ACK_SYNC;
  coll.schema = ctl_first_file(a->schema);
  snprintf(coll.name, sizeof coll.name, "%s", a->collection);
  if (!coll.schema || (!coll.ack && strcmp(ack, "sync") != 0)) {
    snprintf(ctl->why, sizeof ctl->why, "%s",
             coll.schema ? "--ack is sync, chain or async" : "the schema's file cannot be read");
    doc_coll_free(&coll);
    return CTL_USAGE;
  }
  enum ctl_status status = ctl_create(ctl, &coll, NULL);
  doc_coll_free(&coll);
  return status;
}

int ctl_first(struct ctl *ctl, const struct ctl_args *a, FILE *out, FILE *err) {
  enum ctl_status status = first_named(a, "init")       ? first_init(ctl, a, out)
                           : first_named(a, "add-node") ? first_add(ctl, a)
                           : first_named(a, "drop")     ? ctl_drop(ctl, a->collection)
                                                        : first_create(ctl, a);
  if (!status)
    return 0;
  fprintf(err, "%s\n", *ctl->why ? ctl->why : "it could not be done");
  return status == CTL_USAGE ? 2 : 1;
}
