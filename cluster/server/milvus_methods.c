/*
 * milvus_methods.c - the one table of what is served of Milvus's service, and what all methods
 * share: reading the request, and the status that opens every answer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/vecdb_client.h"
#include "server/milvus.h"

/* What the answer is: the status alone, or a message whose first field it is. */
enum milvus_shape { MILVUS_STATUS, MILVUS_MESSAGE };

struct milvus_method {
  struct srv_route route; /* first: a call's route is found here */
  milvus_work *work;
  enum milvus_shape shape;
};

static srv_handler milvus_answer;

#define METHOD(name, permission, is_inline, shape, work) \
  { {SRV_METHOD_GRPC, name, permission, SRV_BODY_TEXT, is_inline, milvus_answer}, work, shape }

static const struct milvus_method milvus_methods[] = {
    METHOD("Connect", SRV_KNOWN, true, MILVUS_MESSAGE, milvus_connect),
    METHOD("GetVersion", SRV_KNOWN, true, MILVUS_MESSAGE, milvus_version),
    METHOD("CheckHealth", SRV_KNOWN, true, MILVUS_MESSAGE, milvus_health),
    METHOD("CreateCollection", SRV_ADMIN, false, MILVUS_STATUS, milvus_collection_create),
    METHOD("DropCollection", SRV_ADMIN, false, MILVUS_STATUS, milvus_collection_drop),
    METHOD("DescribeCollection", SRV_READ, false, MILVUS_MESSAGE, milvus_collection_describe),
    METHOD("HasCollection", SRV_READ, false, MILVUS_MESSAGE, milvus_collection_has),
    METHOD("ShowCollections", SRV_READ, false, MILVUS_MESSAGE, milvus_collection_list),
    METHOD("GetCollectionStatistics", SRV_READ, false, MILVUS_MESSAGE, milvus_collection_stats),
    METHOD("AlterCollection", SRV_ADMIN, false, MILVUS_STATUS, milvus_collection_alter),
    METHOD("AddCollectionField", SRV_ADMIN, false, MILVUS_STATUS, milvus_collection_add_field),
    METHOD("TruncateCollection", SRV_ADMIN, false, MILVUS_MESSAGE, milvus_collection_truncate),
    METHOD("RenameCollection", SRV_ADMIN, false, MILVUS_STATUS, milvus_rename),
    METHOD("CreateAlias", SRV_ADMIN, false, MILVUS_STATUS, milvus_alias_create),
    METHOD("AlterAlias", SRV_ADMIN, false, MILVUS_STATUS, milvus_alias_alter),
    METHOD("DropAlias", SRV_ADMIN, false, MILVUS_STATUS, milvus_alias_drop),
    METHOD("DescribeAlias", SRV_READ, false, MILVUS_MESSAGE, milvus_alias_describe),
    METHOD("ListAliases", SRV_READ, false, MILVUS_MESSAGE, milvus_alias_list),
    METHOD("ListDatabases", SRV_READ, false, MILVUS_MESSAGE, milvus_databases),
    METHOD("CreateDatabase", SRV_OPERATE, false, MILVUS_STATUS, milvus_database_create),
    METHOD("DropDatabase", SRV_OPERATE, false, MILVUS_STATUS, milvus_database_drop),
    METHOD("DescribeDatabase", SRV_READ, false, MILVUS_MESSAGE, milvus_database_describe),
    METHOD("AlterDatabase", SRV_OPERATE, false, MILVUS_STATUS, milvus_database_alter),
    METHOD("CreatePartition", SRV_ADMIN, false, MILVUS_STATUS, milvus_partition_create),
    METHOD("DropPartition", SRV_ADMIN, false, MILVUS_STATUS, milvus_partition_drop),
    METHOD("CreateIndex", SRV_ADMIN, false, MILVUS_STATUS, milvus_index_create),
    METHOD("DescribeIndex", SRV_READ, false, MILVUS_MESSAGE, milvus_index_describe),
    METHOD("DropIndex", SRV_ADMIN, false, MILVUS_STATUS, milvus_index_drop),
    METHOD("GetIndexState", SRV_READ, false, MILVUS_MESSAGE, milvus_index_state),
    METHOD("GetIndexBuildProgress", SRV_READ, false, MILVUS_MESSAGE, milvus_index_progress),
    METHOD("LoadCollection", SRV_WRITE, false, MILVUS_STATUS, milvus_load),
    METHOD("ReleaseCollection", SRV_ADMIN, false, MILVUS_STATUS, milvus_release),
    METHOD("GetLoadingProgress", SRV_READ, false, MILVUS_MESSAGE, milvus_load_progress),
    METHOD("GetLoadState", SRV_READ, false, MILVUS_MESSAGE, milvus_load_state),
    METHOD("HasPartition", SRV_READ, false, MILVUS_MESSAGE, milvus_partition_has),
    METHOD("ShowPartitions", SRV_READ, false, MILVUS_MESSAGE, milvus_partition_list),
    METHOD("GetPartitionStatistics", SRV_READ, false, MILVUS_MESSAGE, milvus_partition_stats),
    METHOD("Insert", SRV_WRITE, false, MILVUS_MESSAGE, milvus_insert),
    METHOD("Upsert", SRV_WRITE, false, MILVUS_MESSAGE, milvus_upsert),
    METHOD("Delete", SRV_WRITE, false, MILVUS_MESSAGE, milvus_delete),
    METHOD("Search", SRV_READ, false, MILVUS_MESSAGE, milvus_search),
    METHOD("HybridSearch", SRV_READ, false, MILVUS_MESSAGE, milvus_hybrid),
    METHOD("Query", SRV_READ, false, MILVUS_MESSAGE, milvus_query),
    METHOD("Flush", SRV_WRITE, false, MILVUS_MESSAGE, milvus_flush),
    METHOD("GetFlushState", SRV_READ, true, MILVUS_MESSAGE, milvus_flush_state),
    METHOD("ManualCompaction", SRV_ADMIN, false, MILVUS_MESSAGE, milvus_compact),
    METHOD("GetCompactionState", SRV_READ, true, MILVUS_MESSAGE, milvus_compact_state),
    METHOD("GetCompactionStateWithPlans", SRV_READ, true, MILVUS_MESSAGE, milvus_compact_plans),
    METHOD("GetPersistentSegmentInfo", SRV_READ, false, MILVUS_MESSAGE, milvus_segments),
};

/* Methods that clients call and that have a reason of their own not to be here. */
static const struct {
  const char *name;
  const char *why;
} milvus_unserved[] = {
    {"LoadPartitions", "not implemented: load the collection, which has all of its partitions"},
    {"ReleasePartitions", "not implemented: release the collection with all of its partitions"},
    {"AllocTimestamp", "there are no timestamps: a search sees every write before it"},
};

const struct srv_route *srv_milvus_route(const char *path, char *reason, size_t reason_bytes) {
  static const char service[] = "/milvus.proto.milvus.MilvusService/";
  if (strncmp(path, service, sizeof service - 1) != 0) {
    snprintf(reason, reason_bytes, "%.100s is no method of the Milvus service", path);
    return NULL;
  }
  const char *name = path + sizeof service - 1;
  for (size_t i = 0; i < sizeof milvus_methods / sizeof milvus_methods[0]; i++)
    if (strcmp(milvus_methods[i].route.path, name) == 0)
      return &milvus_methods[i].route;
  const char *why = "vecdbd does not serve this method";
  for (size_t i = 0; i < sizeof milvus_unserved / sizeof milvus_unserved[0]; i++)
    if (strcmp(milvus_unserved[i].name, name) == 0)
      why = milvus_unserved[i].why;
  snprintf(reason, reason_bytes, "%.60s: %s", name, why);
  return NULL;
}

const struct srv_route *srv_milvus_route_at(size_t i) {
  return i < sizeof milvus_methods / sizeof milvus_methods[0] ? &milvus_methods[i].route : NULL;
}

size_t srv_milvus_route_number(const struct srv_route *route) {
  return (size_t)((const struct milvus_method *)(const void *)route - milvus_methods);
}

/* ---- Failing --------------------------------------------------------------------------------- */

bool milvus_fail(struct milvus *m, int code, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(m->reason, sizeof m->reason, format, args);
  va_end(args);
  m->code = code;
  return false;
}

/* Too much to do is what gRPC itself has a word for. */
bool milvus_error(struct milvus *m, const vecdb_error *error) {
  if (error->code == VECDB_CLIENT_OVERLOADED)
    m->call->status = 429;
  return milvus_fail(m, srv_milvus_code_of(error->code), "%s", srv_call_said(m->call, error));
}

bool milvus_no_memory(struct milvus *m) {
  return milvus_fail(m, SRV_MILVUS_NO_MEMORY, "the server is out of memory");
}

/* ---- Requests -------------------------------------------------------------------------------- */

bool milvus_take(struct milvus *m, struct pb_bytes in, const struct pb_field *fields,
                 size_t n_fields, void *out, size_t out_bytes) {
  if (srv_pb_read(&m->call->arena, in, fields, n_fields, out, out_bytes))
    return true;
  m->call->status = 400;
  return milvus_fail(m, SRV_MILVUS_ARGUMENT, "the message is malformed, or too large");
}

bool milvus_pairs_read(struct milvus *m, const struct pb_list *list, struct milvus_pairs *out) {
  struct pair {
    const char *key, *value;
  };
  static const struct pb_field fields[] = {{1, PB_TEXT, offsetof(struct pair, key)},
                                           {2, PB_TEXT, offsetof(struct pair, value)}};
  out->n = list->n;
  out->keys = srv_arena_array(&m->call->arena, list->n, sizeof *out->keys);
  out->values = srv_arena_array(&m->call->arena, list->n, sizeof *out->values);
  if (!out->keys || !out->values)
    return milvus_no_memory(m);
  for (size_t i = 0; i < list->n; i++) {
    struct pair pair;
    if (!MILVUS_PART(m, list->items[i], fields, &pair))
      return false;
    out->keys[i] = pair.key;
    out->values[i] = pair.value;
  }
  return true;
}

const char *milvus_pair(const struct milvus_pairs *pairs, const char *key) {
  for (size_t i = 0; i < pairs->n; i++)
    if (strcmp(pairs->keys[i], key) == 0)
      return pairs->values[i];
  return NULL;
}

void milvus_pair_put(struct pb_out *out, uint32_t field, const char *key, const char *value) {
  size_t mark = srv_pb_open(out, field);
  srv_pb_text(out, 1, key);
  srv_pb_text(out, 2, value);
  srv_pb_close(out, mark);
}

bool milvus_u32(struct milvus *m, const char *what, const char *text, uint32_t *out) {
  size_t digits = strspn(text, "0123456789");
  unsigned long long value = digits && digits <= 10 ? strtoull(text, NULL, 10) : UINT64_MAX;
  if (text[digits] || value > UINT32_MAX)
    return milvus_fail(m, SRV_MILVUS_ARGUMENT, "%.60s is \"%.60s\", not a number from 0 to %u",
                       what, text, UINT32_MAX);
  *out = (uint32_t)value;
  return true;
}

const char **milvus_texts(struct milvus *m, const struct pb_list *list) {
  const char **out = srv_arena_array(&m->call->arena, list->n + 1, sizeof *out);
  for (size_t i = 0; out && i < list->n; i++) {
    const struct pb_bytes *b = &list->items[i];
    out[i] = srv_arena_text(&m->call->arena, (const char *)b->data, b->n);
    if (!out[i])
      out = NULL;
  }
  if (!out)
    milvus_no_memory(m);
  return out;
}

/* ---- Answers --------------------------------------------------------------------------------- */

static void milvus_status(struct pb_out *out, const struct milvus *m) {
  if (m->code == 0)
    return;
  srv_pb_number(out, 1, srv_milvus_old_code(m->code));
  srv_pb_text(out, 2, m->reason);
  srv_pb_number(out, 3, m->code);
}

/* What gRPC itself says: the request or the answer could not be handled as a message. */
static void milvus_refuse(struct milvus *m, int status) {
  m->call->text = srv_arena_text(&m->call->arena, m->reason, strlen(m->reason));
  m->call->status = m->call->text ? status : 503;
}

static void milvus_answer(struct srv_call *call) {
  const struct milvus_method *method = (const struct milvus_method *)(const void *)call->route;
  struct milvus m = {.call = call, .out = {.arena = &call->arena}};
  method->work(&m);
  call->failed = m.code ? srv_milvus_code_name(m.code) : NULL;
  if (call->status == 400 || call->status == 429) {
    milvus_refuse(&m, call->status);
    return;
  }
  if (m.code) /* what was written before the failure does not count */
    m.out.n = 0;
  struct pb_out status = {.arena = &call->arena};
  size_t mark = method->shape == MILVUS_MESSAGE ? srv_pb_open(&status, 1) : 0;
  milvus_status(&status, &m);
  if (method->shape == MILVUS_MESSAGE)
    srv_pb_close(&status, mark);
  srv_pb_raw(&m.out, status.data, status.n); /* the order of fields is free */
  if (m.out.failed || status.failed) {
    call->status = 503;
    return;
  }
  call->text = (const char *)m.out.data;
  call->text_bytes = m.out.n;
  call->status = 200;
}
