/* cmd_alter.c - fields that come, go and are renamed, and when rows expire. */
#include <inttypes.h>
#include <stdio.h>

#include "cmd.h"
#include "schema.h"
#include "value.h"

int cmd_field_add(struct shell *shell, const struct call *call, vecdb_error *error) {
  vecdb_collection *collection;
  struct schema schema;
  int status = call_collection(shell, call, &collection, error);
  if (status)
    return status;
  status = schema_parse(call->rest, &schema, error);
  if (!status)
    status = vecdb_fields_add(collection, &schema.schema, control_begin("adding"), error);
  control_end();
  schema_free(&schema);
  vecdb_collection_release(collection);
  return status;
}

int cmd_field_drop(struct shell *shell, const struct call *call, vecdb_error *error) {
  vecdb_collection *collection;
  int status = call_collection(shell, call, &collection, error);
  if (status)
    return status;
  status = vecdb_field_drop(collection, call->place[1], control_begin("dropping"), error);
  control_end();
  vecdb_collection_release(collection);
  return status;
}

int cmd_field_rename(struct shell *shell, const struct call *call, vecdb_error *error) {
  vecdb_collection *collection;
  int status = call_collection(shell, call, &collection, error);
  if (status)
    return status;
  status = vecdb_field_rename(collection, call->place[1], call->place[2],
                              control_begin("renaming"), error);
  control_end();
  vecdb_collection_release(collection);
  return status;
}

/* ---- Expiry ---- */

static int expire(struct shell *shell, const struct call *call, const char *field, uint64_t ttl_ms,
                  vecdb_error *error) {
  vecdb_collection *collection;
  int status = call_collection(shell, call, &collection, error);
  if (status)
    return status;
  status = vecdb_expire(collection, field, ttl_ms, control_begin("changing"), error);
  control_end();
  vecdb_collection_release(collection);
  return status;
}

int cmd_expire_set(struct shell *shell, const struct call *call, vecdb_error *error) {
  uint64_t ttl_ms;
  int status = call_number(call, "ttl_ms", 0, UINT64_MAX, 0, &ttl_ms, error);
  return status ? status : expire(shell, call, call->place[1], ttl_ms, error);
}

int cmd_expire_drop(struct shell *shell, const struct call *call, vecdb_error *error) {
  return expire(shell, call, NULL, 0, error);
}

int cmd_expire_show(struct shell *shell, const struct call *call, vecdb_error *error) {
  vecdb_collection *collection;
  int status = call_collection(shell, call, &collection, error);
  if (status)
    return status;
  uint64_t ttl_ms = 0;
  const char *field = vecdb_expiry(collection, &ttl_ms);
  if (shell->json && field)
    printf("{\"field\": \"%s\", \"ttl_ms\": %" PRIu64 "}\n", field, ttl_ms);
  else if (shell->json)
    printf("{\"field\": null, \"ttl_ms\": null}\n");
  else if (field)
    printf("Rows expire %" PRIu64 " ms after the time in %s.\n", ttl_ms, field);
  else
    printf("Rows do not expire.\n");
  vecdb_collection_release(collection);
  return VECDB_OK;
}
