/* changes.c - what writes have touched since a position of a shard; see vecdb_client.h. */
#include <stdlib.h>

#include "client/calls.h"

struct vecdb_client_changes {
  struct router_result *result;
};

static const struct wire_message *changes_message(const vecdb_client_changes *changes) {
  return changes->result->parts[0];
}

int vecdb_client_changes_after(vecdb_client *c, const char *name, uint32_t shard,
                               const vecdb_client_position *after, const vecdb_client_call *call,
                               vecdb_client_changes **out, vecdb_error *error) {
  struct job job = {.prepare = calls_nothing, .reads = true};
  if (!out)
    return calls_fail(error, VECDB_ERR_ARGUMENT, "", "out must be given");
  *out = NULL;
  int code = calls_begin(c, name, call, &job, error);
  if (code)
    return code;
  vecdb_client_changes *changes = calloc(1, sizeof *changes);
  if (!changes)
    return calls_fail(error, VECDB_ERR_NO_MEMORY, "", "out of memory");
  job.ask.partial = false;
  job.message.kind = WIRE_CHANGES;
  job.message.has = WIRE_HAS(WIRE_TARGET) | WIRE_HAS(WIRE_READ) | WIRE_HAS(WIRE_SINCE);
  job.message.target.shard = shard;
  job.message.since.now = !after;
  if (after)
    job.message.since.after = (struct wire_position){after->seq, after->epoch, after->chain};
  code = calls_run(c, &job, error);
  if (code) {
    free(changes);
  } else {
    changes->result = job.result;
    job.result = NULL;
    *out = changes;
  }
  calls_free(&job);
  return code;
}

void vecdb_client_changes_free(vecdb_client_changes *changes) {
  if (changes)
    router_result_free(changes->result);
  free(changes);
}

vecdb_client_position vecdb_client_changes_position(const vecdb_client_changes *changes) {
  const struct wire_position *p = &changes_message(changes)->changed.position;
  return (vecdb_client_position){p->seq, p->epoch, p->chain};
}

int vecdb_client_changes_all(const vecdb_client_changes *changes) {
  return changes_message(changes)->changed.all;
}

int vecdb_client_changes_more(const vecdb_client_changes *changes) {
  return changes_message(changes)->changed.more;
}

uint64_t vecdb_client_changes_schema(const vecdb_client_changes *changes) {
  return changes_message(changes)->changed.schema;
}

vecdb_keys vecdb_client_changes_keys(const vecdb_client_changes *changes) {
  return changes_message(changes)->keys;
}

const vecdb_filter *vecdb_client_changes_filter(const vecdb_client_changes *changes, size_t i) {
  const struct wire_changed *c = &changes_message(changes)->changed;
  return i < c->n_filters ? &c->filters[i] : NULL;
}
