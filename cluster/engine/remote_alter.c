/* remote_alter.c - changes of a collection's schema, through the client; see remote.h. */
#include <stdlib.h>

#include "engine/remote.h"

static struct remote_collection *alter_of(struct engine_collection *c) {
  return (struct remote_collection *)c;
}

static vecdb_client_call alter_call(struct engine_collection *c, const vecdb_control *control) {
  vecdb_client_call call = VECDB_CLIENT_CALL_INIT;
  call.timeout_ms =
      control && control->timeout_ms ? control->timeout_ms : alter_of(c)->remote->timeout_ms;
  return call;
}

/* The handle is of the collection as it is now; what was given out of the former schema stays. */
static int alter_done(struct engine_collection *collection, int rc, vecdb_error *error) {
  struct remote_collection *c = alter_of(collection);
  if (rc)
    return remote_call_end(collection, rc);
  struct remote_former *former = malloc(sizeof *former);
  if (!former)
    return engine_fail(error, VECDB_ERR_NO_MEMORY, "out of memory");
  struct remote_known *fresh = remote_ask(c->remote, c->known->name, error);
  if (!fresh) {
    free(former);
    return VECDB_CLIENT_UNKNOWN;
  }
  *former = (struct remote_former){c->former, c->known};
  c->former = former;
  c->known = fresh;
  return VECDB_OK;
}

int remote_fields_add(struct engine_collection *c, const vecdb_schema *fields,
                      const vecdb_control *control, vecdb_error *error) {
  const struct remote_collection *rc = alter_of(c);
  const vecdb_client_call call = alter_call(c, control);
  return alter_done(
      c, vecdb_client_fields_add(rc->remote->client, rc->known->name, fields, &call, error), error);
}

int remote_field_drop(struct engine_collection *c, const char *field, const vecdb_control *control,
                      vecdb_error *error) {
  const struct remote_collection *rc = alter_of(c);
  const vecdb_client_call call = alter_call(c, control);
  return alter_done(
      c, vecdb_client_field_drop(rc->remote->client, rc->known->name, field, &call, error), error);
}

int remote_field_rename(struct engine_collection *c, const char *field, const char *name,
                        const vecdb_control *control, vecdb_error *error) {
  const struct remote_collection *rc = alter_of(c);
  const vecdb_client_call call = alter_call(c, control);
  return alter_done(
      c, vecdb_client_field_rename(rc->remote->client, rc->known->name, field, name, &call, error),
      error);
}

int remote_json_index_create(struct engine_collection *c, const char *field,
                             const vecdb_json_index *index, const vecdb_control *control,
                             vecdb_error *error) {
  const struct remote_collection *rc = alter_of(c);
  const vecdb_client_call call = alter_call(c, control);
  return alter_done(c,
                    vecdb_client_json_index_create(rc->remote->client, rc->known->name, field,
                                                   index, &call, error),
                    error);
}

int remote_json_index_drop(struct engine_collection *c, const char *field,
                           const vecdb_json_index *index, const vecdb_control *control,
                           vecdb_error *error) {
  const struct remote_collection *rc = alter_of(c);
  const vecdb_client_call call = alter_call(c, control);
  return alter_done(c,
                    vecdb_client_json_index_drop(rc->remote->client, rc->known->name, field, index,
                                                 &call, error),
                    error);
}

int remote_expire(struct engine_collection *c, const char *field, uint64_t ttl_ms,
                  const vecdb_control *control, vecdb_error *error) {
  const struct remote_collection *rc = alter_of(c);
  const vecdb_client_call call = alter_call(c, control);
  return alter_done(
      c, vecdb_client_expire(rc->remote->client, rc->known->name, field, ttl_ms, &call, error),
      error);
}
