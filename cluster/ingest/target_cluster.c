/* target_cluster.c - rows into a collection of a cluster, by the client library; see target.h. */
#include <stdlib.h>
#include <string.h>

#include "examples/shell/rows.h"
#include "examples/shell/value.h"
#include "ingest/ingest.h"

/* Of a batch: what one message takes, should all of it belong to one shard. */
enum { CLUSTER_BYTES = (4 << 20) - (128 << 10) };

struct cluster {
  struct ingest_target base;
  vecdb_client *client;
  vecdb_client_about *about;
  char *collection;
  struct rows rows;
  size_t width; /* of a row's values of fixed size */
  size_t bytes; /* of the batch, at most */
};

/* An element of an array or sparse vector has 8 bytes, and a text its own. */
static size_t cluster_value_bytes(const json_t *value) {
  size_t i, bytes = json_string_length(value);
  const json_t *element;
  json_array_foreach(value, i, element)
    bytes += 8 + json_string_length(element);
  return bytes + json_object_size(value) * 8;
}

/* At most so many bytes in a message. */
static size_t cluster_bytes(const struct cluster *t, const json_t *object) {
  const vecdb_schema *schema = t->rows.schema;
  size_t bytes = t->width;
  for (uint32_t i = 0; i < schema->n_fields; i++) {
    const vecdb_field *f = &schema->fields[i];
    const json_t *value = json_object_get(object, f->name);
    if (!value && f->flags & VECDB_HAS_DEFAULT)
      bytes += f->default_value.length;
    else if (f->type == VECDB_JSON)
      bytes += json_dumpb(value, NULL, 0, JSON_ENCODE_ANY);
    else if (!type_bytes(f->type, f->dim))
      bytes += cluster_value_bytes(value);
  }
  return bytes;
}

/* Rows of the collection as `about`, which is taken over, describes it. */
static void cluster_begin(struct cluster *t, vecdb_client_about *about, size_t rows) {
  const vecdb_schema *schema = vecdb_client_about_schema(about);
  t->about = about;
  t->width = 0;
  for (uint32_t i = 0; i < schema->n_fields; i++)
    t->width += type_bytes(schema->fields[i].type, schema->fields[i].dim) + sizeof(uint64_t);
  rows_begin(&t->rows, schema, rows);
}

/* A row with a field that is not known here: one that was added since? Rows that wait are of the
   schema as it was, so they are written first. */
static int cluster_add_newer(struct cluster *t, json_t *object, vecdb_error *error) {
  const size_t rows = t->rows.capacity;
  vecdb_client_about *about = NULL;
  if (vecdb_client_describe(t->client, t->collection, NULL, &about, NULL) ||
      vecdb_client_about_schema(about)->n_fields <= t->rows.schema->n_fields) {
    vecdb_client_about_free(about);
    return error->code;
  }
  if (t->rows.n) {
    vecdb_client_about_free(about);
    return INGEST_FULL;
  }
  rows_end(&t->rows);
  vecdb_client_about_free(t->about);
  cluster_begin(t, about, rows);
  return rows_add(&t->rows, json_incref(object), error);
}

static int cluster_add(struct ingest_target *target, const char *data, size_t n,
                       vecdb_error *error) {
  struct cluster *t = (struct cluster *)target;
  json_error_t why;
  json_t *object = json_loadb(data, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
  if (!object)
    return ingest_fail(error, VECDB_ERR_JSON, "no JSON object: %.200s", why.text);
  size_t bytes = cluster_bytes(t, object);
  if (t->rows.n && t->bytes + bytes > CLUSTER_BYTES) {
    json_decref(object);
    return INGEST_FULL;
  }
  int status = rows_add(&t->rows, json_incref(object), error);
  if (status == VECDB_ERR_UNKNOWN_FIELD) {
    status = cluster_add_newer(t, object, error);
    bytes = cluster_bytes(t, object);
  }
  json_decref(object);
  t->bytes += status ? 0 : bytes;
  return status;
}

/* What time, or another node, may mend. */
static bool cluster_again(int code) {
  switch (code) {
    case VECDB_CLIENT_NOT_PRIMARY:
    case VECDB_CLIENT_NO_REPLICA:
    case VECDB_CLIENT_OVERLOADED:
    case VECDB_CLIENT_UNAVAILABLE:
    case VECDB_CLIENT_UNKNOWN:
    case VECDB_CLIENT_SOME_SHARDS:
    case VECDB_CLIENT_NO_NODE:
    case VECDB_ERR_TIMEOUT:
    case VECDB_ERR_NO_MEMORY:
    case VECDB_ERR_DISK_FULL:
      return true;
    default:
      return false;
  }
}

static int cluster_write(struct ingest_target *target, uint64_t op, bool *again,
                         vecdb_error *error) {
  struct cluster *t = (struct cluster *)target;
  vecdb_column columns[VECDB_MAX_FIELDS];
  vecdb_batch batch = rows_batch(&t->rows, columns);
  vecdb_client_call call = VECDB_CLIENT_CALL_INIT;
  call.op = op;
  int status = vecdb_client_upsert(t->client, t->collection, &batch, &call, error);
  *again = cluster_again(status);
  return status;
}

static void cluster_clear(struct ingest_target *target) {
  struct cluster *t = (struct cluster *)target;
  rows_clear(&t->rows);
  t->bytes = 0;
}

static void cluster_close(struct ingest_target *target) {
  struct cluster *t = (struct cluster *)target;
  if (t->about)
    rows_end(&t->rows);
  vecdb_client_about_free(t->about);
  vecdb_client_close(t->client);
  free(t->collection);
  free(t);
}

static const struct ingest_target_ops cluster_ops = {cluster_add, cluster_write, cluster_clear,
                                                     cluster_close};

static int cluster_prepare(struct cluster *t, const vecdb_client_options *options, uint32_t rows,
                           vecdb_error *error) {
  if (!t->collection)
    return ingest_fail(error, VECDB_ERR_NO_MEMORY, "out of memory");
  vecdb_client_about *about;
  int status = vecdb_client_open(options, &t->client, error);
  if (!status)
    status = vecdb_client_describe(t->client, t->collection, NULL, &about, error);
  if (!status)
    cluster_begin(t, about, rows);
  return status;
}

struct ingest_target *ingest_cluster_open(const vecdb_client_options *options,
                                          const char *collection, uint32_t rows,
                                          vecdb_error *error) {
  struct cluster *t = calloc(1, sizeof *t);
  if (!t) {
    ingest_fail(error, VECDB_ERR_NO_MEMORY, "out of memory");
    return NULL;
  }
  t->base.ops = &cluster_ops;
  t->collection = strdup(collection);
  if (cluster_prepare(t, options, rows, error)) {
    cluster_close(&t->base);
    return NULL;
  }
  return &t->base;
}
