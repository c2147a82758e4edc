/*
 * fuzz_milvus.c - any bytes as a message of a method of the Milvus dialect, through the handlers,
 * on a database in memory. The first byte chooses the method. Every answer must be one that the
 * transport can send.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/milvus.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const fuzz_milvus_methods[] = {
    "Search",        "Query",           "Insert",           "Upsert",
    "Delete",        "CreateIndex",     "DescribeIndex",    "DropIndex",
    "LoadCollection", "ReleaseCollection", "GetLoadState",  "DescribeCollection",
    "Flush",         "ManualCompaction", "ShowPartitions",  "CreateCollection",
    "DropCollection",
};
enum { FUZZ_MILVUS_METHODS = sizeof fuzz_milvus_methods / sizeof fuzz_milvus_methods[0] };

static struct srv_server fuzz_milvus_server;

static void fuzz_milvus_check(bool good, const char *what) {
  if (good)
    return;
  fprintf(stderr, "fuzz_milvus: %s\n", what);
  abort();
}

/* A collection of a few types, as another dialect would make it: loaded, and with three rows. */
static void fuzz_milvus_fill(void) {
  static const int64_t keys[] = {1, 2, 3};
  static const float vectors[3][4] = {{1, 0, 0, 0}, {0, 1, 0, 0}, {1, 1, 1, 1}};
  static const char *const texts[] = {"a", "b", "c"};
  const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = 4, .metric = VECDB_L2},
      {.name = "t", .type = VECDB_VARCHAR, .max_length = 16, .flags = VECDB_NULLABLE},
      {.name = "n", .type = VECDB_INT8, .flags = VECDB_NULLABLE},
      {.name = MILVUS_DYNAMIC, .type = VECDB_VARCHAR, .max_length = 99, .flags = VECDB_NULLABLE},
  };
  vecdb_schema schema = VECDB_SCHEMA_INIT;
  schema.fields = fields;
  schema.n_fields = 5;
  const vecdb_column columns[] = {{.field = "id", .data = keys},
                                  {.field = "v", .data = vectors},
                                  {.field = "t", .data = texts}};
  vecdb_batch batch = VECDB_BATCH_INIT;
  batch.columns = columns;
  batch.n_columns = 3;
  batch.n_rows = 3;
  struct engine_collection *c = NULL;
  fuzz_milvus_check(
      engine_collection_create(fuzz_milvus_server.engine, "c", &schema, &c, NULL) == VECDB_OK &&
          engine_insert(c, &batch, NULL, NULL) == VECDB_OK,
      "the collection cannot be made");
  engine_collection_release(c);
}

/* Each input finds the same database. */
static void fuzz_milvus_open(void) {
  vecdb_options options = VECDB_OPTIONS_INIT;
  char error[SRV_CONFIG_ERROR];
  options.flags = VECDB_HOST_DRIVEN;
  srv_config_init(&fuzz_milvus_server.config);
  fuzz_milvus_server.milvus = srv_milvus_state_start(":memory:", error);
  fuzz_milvus_server.engine = engine_local_open(":memory:", &options, NULL);
  fuzz_milvus_check(fuzz_milvus_server.milvus && fuzz_milvus_server.engine,
                    "the database cannot be opened");
  fuzz_milvus_fill();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char path[128], reason[64];
  if (size == 0)
    return 0;
  fuzz_milvus_open();
  snprintf(path, sizeof path, "/milvus.proto.milvus.MilvusService/%s",
           fuzz_milvus_methods[data[0] % FUZZ_MILVUS_METHODS]);
  struct srv_call call = {.server = &fuzz_milvus_server, .arena.limit = 64u << 20};
  call.route = srv_milvus_route(path, reason, sizeof reason);
  fuzz_milvus_check(call.route != NULL, path);
  call.body_bytes = size - 1;
  call.body = malloc(size);
  fuzz_milvus_check(call.body != NULL, "no memory");
  memcpy(call.body, data + 1, size - 1);
  call.body[size - 1] = '\0';
  call.route->handler(&call);
  fuzz_milvus_check(call.status == 200 || call.status == 400 || call.status == 503, "no status");
  fuzz_milvus_check(call.status != 200 || call.text_bytes == 0 || call.text, "no answer");
  free(call.body);
  srv_call_free(&call);
  fuzz_milvus_check(engine_close(fuzz_milvus_server.engine, NULL) == VECDB_OK, "the close failed");
  srv_milvus_state_stop(fuzz_milvus_server.milvus);
  return 0;
}
