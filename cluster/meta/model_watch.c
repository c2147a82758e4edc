/* model_watch.c - watches of the model: lag, repeated and lost batches, compaction. */
#include <stdlib.h>
#include <string.h>

#include "meta/model_int.h"

static char *watch_copy(struct meta_bytes in) {
  char *out = malloc(in.n + 1);
  if (out && in.n)
    memcpy(out, in.data, in.n);
  return out;
}

static void watch_free(struct model_watch *w) {
  free(w->key);
  free(w->end);
  free(w);
}

enum meta_status model_watch_add(struct meta_store *store, struct meta_bytes key,
                                 struct meta_bytes end, int64_t revision, meta_watched *watched,
                                 void *arg, uint64_t *id) {
  struct model_client *client = (struct model_client *)store;
  struct model_server *server = client->server;
  if (client->n_watches >= META_WATCHES_MAX)
    return META_LIMIT;
  struct model_watch *w = calloc(1, sizeof *w);
  if (!w)
    return META_NO_MEMORY;
  w->key = watch_copy(key);
  w->end = watch_copy(end);
  if (!w->key || !w->end) {
    watch_free(w);
    return META_NO_MEMORY;
  }
  w->client = client;
  w->n_key = key.n;
  w->n_end = end.n;
  w->from = w->told = revision ? revision : server->kv.revision + 1;
  w->ready_us = -1;
  w->watched = watched;
  w->arg = arg;
  w->id = *id = ++server->last_watch;
  struct model_watch **at = &client->watches;
  while (*at)
    at = &(*at)->next;
  *at = w;
  client->n_watches++;
  return META_OK;
}

static void watch_sweep(struct model_client *client) {
  for (struct model_watch **at = &client->watches; *at && !client->running;) {
    struct model_watch *w = *at;
    if (!w->cancelled) {
      at = &w->next;
      continue;
    }
    *at = w->next;
    client->n_watches--;
    watch_free(w);
  }
}

void model_watch_cancel(struct meta_store *store, uint64_t id) {
  struct model_client *client = (struct model_client *)store;
  for (struct model_watch *w = client->watches; w; w = w->next)
    if (w->id == id)
      w->cancelled = true;
  watch_sweep(client);
}

/* When the next batch of the watch is told; drawn once there is something to tell. */
static int64_t watch_ready(struct model_watch *w) {
  struct model_server *server = w->client->server;
  if (w->cancelled || w->client->cut || server->down || w->from > server->kv.revision)
    return INT64_MAX;
  if (w->ready_us < 0)
    w->ready_us = server->now_us + model_between(server, 0, server->faults.watch_lag_us);
  return w->ready_us;
}

int64_t model_watch_due(const struct model_client *client) {
  int64_t due = INT64_MAX;
  for (struct model_watch *w = client->watches; w; w = w->next) {
    int64_t ready = watch_ready(w);
    if (ready < due)
      due = ready;
  }
  return due;
}

static bool watch_wants(const struct model_watch *w, const struct model_key *key) {
  size_t n = key->n < w->n_key ? key->n : w->n_key;
  int low = memcmp(key->data, w->key, n);
  low = low ? low : (key->n > w->n_key) - (key->n < w->n_key);
  if (!w->n_end || low < 0)
    return low == 0;
  n = key->n < w->n_end ? key->n : w->n_end;
  int high = memcmp(key->data, w->end, n);
  return high < 0 || (high == 0 && key->n < w->n_end);
}

static void watch_end(struct model_watch *w, enum meta_status status, int64_t revision) {
  const struct meta_batch batch = {
      .status = status, .message = meta_status_name(status), .revision = revision};
  w->cancelled = true;
  w->watched(w->arg, &batch);
}

/* Tells everything from `first` on. */
static void watch_tell(struct model_watch *w, int64_t first) {
  const struct model_kv *kv = &w->client->server->kv;
  size_t at = model_kv_find(kv, first), n = 0;
  struct meta_event *events = calloc(kv->n_log - at + 1, sizeof *events);
  if (!events)
    return; /* at the next run */
  for (; at < kv->n_log; at++) {
    const struct model_version *v = kv->log[at];
    if (!watch_wants(w, v->key))
      continue;
    events[n].deleted = v->deleted;
    events[n++].kv =
        v->deleted ? (struct meta_kv){.key = {v->key->data, v->key->n}, .mod_revision = v->mod}
                   : model_kv_view(v);
  }
  const struct meta_batch batch = {
      .message = "ok", .revision = kv->revision, .events = events, .n = n};
  w->told = w->from;
  w->from = kv->revision + 1;
  w->ready_us = -1;
  if (n)
    w->watched(w->arg, &batch);
  free(events);
}

static void watch_step(struct model_watch *w) {
  struct model_server *server = w->client->server;
  if (watch_ready(w) > server->now_us)
    return;
  if (w->from < server->kv.compacted) {
    watch_end(w, META_COMPACTED, server->kv.compacted);
    return;
  }
  if (model_happens(server, server->faults.watch_loses)) {
    w->from = server->kv.revision + 1;
    w->ready_us = -1;
    return;
  }
  bool again = model_happens(server, server->faults.watch_repeats);
  watch_tell(w, again && w->told >= server->kv.compacted ? w->told : w->from);
}

void model_watch_run(struct model_client *client) {
  client->running = true;
  for (struct model_watch *w = client->watches; w; w = w->next)
    watch_step(w);
  client->running = false;
  watch_sweep(client);
}

void model_watch_close(struct model_client *client) {
  client->running = true;
  for (struct model_watch *w = client->watches; w; w = w->next)
    if (!w->cancelled)
      watch_end(w, META_CLOSED, 0);
  client->running = false;
  for (struct model_watch *w = client->watches; w; w = w->next)
    w->cancelled = true;
  watch_sweep(client);
}
