/* remote_push.c - vectors that learn, through the client; see remote.h. */
#include <string.h>

#include "engine/remote.h"

int remote_optimizer_set(struct engine_collection *c, const char *field,
                         const vecdb_optimizer *optimizer, const vecdb_control *control,
                         vecdb_error *error) {
  struct remote_collection *rc = (struct remote_collection *)c;
  vecdb_client_call call = remote_call_of(c, control);
  return remote_call_end(c, vecdb_client_optimizer_set(rc->remote->client, rc->known->name, field,
                                                       optimizer, &call, error));
}

int remote_pull(struct engine_collection *c, const char *field, const vecdb_keys *keys,
                float *values, size_t stride, uint64_t *versions, vecdb_error *error) {
  struct remote_collection *rc = (struct remote_collection *)c;
  vecdb_client_call call = remote_call_of(c, NULL);
  return remote_call_end(c, vecdb_client_pull(rc->remote->client, rc->known->name, field, keys,
                                              values, stride, versions, &call, error));
}

/* The versions are those that are found behind it, which other pushes may have raised; what cannot
   be found then is 0, for the push is done. Where versions were expected they are the next ones. */
int remote_push(struct engine_collection *c, const vecdb_push_params *params, uint64_t *versions,
                vecdb_error *error) {
  struct remote_collection *rc = (struct remote_collection *)c;
  vecdb_client_call call = remote_call_of(c, NULL);
  int code = remote_call_end(
      c, vecdb_client_push(rc->remote->client, rc->known->name, params, &call, error));
  if (code || !versions)
    return code;
  for (size_t i = 0; params->expected && i < params->keys->n; i++)
    versions[i] = params->expected[i] + 1;
  if (params->expected)
    return VECDB_OK;
  call.level = VECDB_CLIENT_SESSION;
  if (vecdb_client_pull(rc->remote->client, rc->known->name, params->field, params->keys, NULL, 0,
                        versions, &call, NULL))
    memset(versions, 0, params->keys->n * sizeof *versions);
  return VECDB_OK;
}
