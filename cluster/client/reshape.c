/* reshape.c - changes of a collection's schema but for new fields; see vecdb_client.h. */
#include "wire/reshape.h"

#include <stdlib.h>
#include <string.h>

#include "client/calls.h"

static bool reshape_name(const char *name) {
  return name && *name && strlen(name) <= VECDB_MAX_NAME;
}

static int reshape_call(vecdb_client *c, const char *name, const struct wire_reshape *reshape,
                        const vecdb_client_call *call, vecdb_error *error) {
  struct job job = {.prepare = NULL};
  int code = calls_begin(c, name, call, &job, error);
  if (code)
    return code;
  if (!reshape_name(reshape->field))
    return calls_fail(error, VECDB_ERR_ARGUMENT, "", "a field must be given");
  char *text = wire_reshape_write(reshape);
  if (!text)
    return calls_fail(error, VECDB_ERR_SCHEMA, reshape->field,
                      "the change of the schema cannot be written down");
  job.message.kind = WIRE_RESHAPE;
  job.message.has = WIRE_HAS(WIRE_NAME);
  job.message.name = (struct wire_name){name, text};
  code = calls_older(calls_run(c, &job, error), reshape->field, error);
  calls_free(&job);
  free(text);
  return code ? code : collections_altered(c, name, call, error);
}

int vecdb_client_field_drop(vecdb_client *c, const char *name, const char *field,
                            const vecdb_client_call *call, vecdb_error *error) {
  const struct wire_reshape reshape = {.kind = WIRE_RESHAPE_DROP, .field = field};
  return reshape_call(c, name, &reshape, call, error);
}

int vecdb_client_field_rename(vecdb_client *c, const char *name, const char *field,
                              const char *to, const vecdb_client_call *call, vecdb_error *error) {
  const struct wire_reshape reshape = {.kind = WIRE_RESHAPE_RENAME, .field = field, .to = to};
  if (!reshape_name(to))
    return calls_fail(error, VECDB_ERR_NAME, field ? field : "", "a name has 1 to 255 bytes");
  return reshape_call(c, name, &reshape, call, error);
}

static int reshape_index(vecdb_client *c, const char *name, enum wire_reshape_kind kind,
                         const char *field, const vecdb_json_index *index,
                         const vecdb_client_call *call, vecdb_error *error) {
  struct wire_reshape reshape = {.kind = kind, .field = field};
  if (!index || !index->path || !*index->path)
    return calls_fail(error, index ? VECDB_ERR_SCHEMA : VECDB_ERR_ARGUMENT, field ? field : "",
                      "an index of JSON needs a path");
  reshape.index = *index;
  return reshape_call(c, name, &reshape, call, error);
}

int vecdb_client_json_index_create(vecdb_client *c, const char *name, const char *field,
                                   const vecdb_json_index *index, const vecdb_client_call *call,
                                   vecdb_error *error) {
  return reshape_index(c, name, WIRE_RESHAPE_INDEX, field, index, call, error);
}

int vecdb_client_json_index_drop(vecdb_client *c, const char *name, const char *field,
                                 const vecdb_json_index *index, const vecdb_client_call *call,
                                 vecdb_error *error) {
  return reshape_index(c, name, WIRE_RESHAPE_UNINDEX, field, index, call, error);
}
