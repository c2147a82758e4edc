/*
 * client.c - a collection of a cluster, from a program: makes it, unless it is there or nodes leave
 * that to `vecdb-cluster create`, writes rows, searches them and drops what it made. Usage:
 * cluster-client NODES CLUSTER [CA CERT KEY ID], where NODES is like
 * "1@127.0.0.1:7001,2@127.0.0.1:7002" and CLUSTER the cluster's id.
 */
#include <stdio.h>
#include <stdlib.h>

#include "client/vecdb_client.h"

enum { DIM = 4, ROWS = 100 };

static int failed(const char *what, const vecdb_error *error) {
  fprintf(stderr, "%s: %s (%d %s)\n", what, error->message, error->code,
          vecdb_client_code_name(error->code));
  return 1;
}

static int create(vecdb_client *client, vecdb_error *error) {
  const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = "place", .type = VECDB_FLOAT_VECTOR, .dim = DIM, .metric = VECDB_L2},
  };
  vecdb_schema schema = VECDB_SCHEMA_INIT;
  vecdb_client_layout layout = VECDB_CLIENT_LAYOUT_INIT;
  schema.fields = fields;
  schema.n_fields = 2;
  layout.shards = 4;
  layout.replicas = 3;
  return vecdb_client_create(client, "example", &schema, &layout, NULL, error);
}

static int fill(vecdb_client *client, vecdb_error *error) {
  static int64_t ids[ROWS];
  static float places[ROWS][DIM];
  for (int i = 0; i < ROWS; i++) {
    ids[i] = i;
    for (int d = 0; d < DIM; d++)
      places[i][d] = (float)(i * (d + 1) % 17);
  }
  const vecdb_column columns[] = {{.field = "id", .data = ids},
                                  {.field = "place", .data = places, .dim = DIM}};
  vecdb_batch batch = VECDB_BATCH_INIT;
  batch.columns = columns;
  batch.n_columns = 2;
  batch.n_rows = ROWS;
  return vecdb_client_upsert(client, "example", &batch, NULL, error);
}

static int find(vecdb_client *client, vecdb_error *error) {
  const float query[DIM] = {3, 6, 9, 12};
  vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
  vecdb_client_call call = VECDB_CLIENT_CALL_INIT;
  vecdb_client_answer *answer;
  params.queries = query;
  params.k = 3;
  call.level = VECDB_CLIENT_STRONG;
  int code = vecdb_client_search(client, "example", &params, &call, &answer, error);
  if (code)
    return code;
  for (size_t i = 0; i < vecdb_client_answer_rows(answer, 0); i++)
    printf("%lld at %g\n", (long long)vecdb_client_answer_key(answer, 0, i).as.integer,
           (double)vecdb_client_answer_score(answer, 0, i));
  vecdb_client_answer_free(answer);
  return VECDB_OK;
}

int main(int argc, char **argv) {
  vecdb_client_options options = VECDB_CLIENT_OPTIONS_INIT;
  vecdb_client *client;
  vecdb_error error;
  if (argc != 3 && argc != 7) {
    fprintf(stderr, "usage: %s NODES CLUSTER [CA CERT KEY ID]\n", argv[0]);
    return 2;
  }
  options.nodes = argv[1];
  options.cluster = argv[2];
  if (argc == 7) {
    options.ca_file = argv[3];
    options.cert_file = argv[4];
    options.key_file = argv[5];
    options.id = (uint32_t)strtoul(argv[6], NULL, 10);
  }
  if (vecdb_client_open(&options, &client, &error))
    return failed("open", &error);
  int status = 0, code = create(client, &error);
  bool made = !code;
  if (code && code != VECDB_ERR_EXISTS && code != VECDB_ERR_UNSUPPORTED)
    status = failed("create", &error);
  else if (fill(client, &error))
    status = failed("upsert", &error);
  else if (find(client, &error))
    status = failed("search", &error);
  else if (made && vecdb_client_drop(client, "example", NULL, &error))
    status = failed("drop", &error);
  vecdb_client_close(client);
  return status;
}
