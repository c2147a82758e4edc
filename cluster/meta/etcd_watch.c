/* etcd_watch.c - watches on etcd: one stream each, asked for again from where it stopped. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "meta/etcd_int.h"

static void watch_free(struct etcd_watch *w) {
  http_free(&w->body);
  http_free(&w->call.in);
  free((void *)w->key.data);
  free((void *)w->end.data);
  free(w);
}

static bool watch_copy(struct meta_bytes in, struct meta_bytes *out) {
  char *copy = malloc(in.n + 1);
  if (copy && in.n)
    memcpy(copy, in.data, in.n);
  *out = (struct meta_bytes){copy, in.n};
  return copy != NULL;
}

enum meta_status etcd_watch_add(struct meta_store *store, struct meta_bytes key,
                                struct meta_bytes end, int64_t revision, meta_watched *watched,
                                void *arg, uint64_t *id) {
  struct etcd_store *etcd = (struct etcd_store *)store;
  if (etcd->n_watches >= META_WATCHES_MAX)
    return META_LIMIT;
  struct etcd_watch *w = calloc(1, sizeof *w);
  if (!w)
    return META_NO_MEMORY;
  if (!watch_copy(key, &w->key) || !watch_copy(end, &w->end)) {
    watch_free(w);
    return META_NO_MEMORY;
  }
  w->body.limit = ETCD_REQUEST_MAX;
  w->call.in.limit = ETCD_LINE_MAX;
  w->from = revision;
  w->watched = watched;
  w->arg = arg;
  w->id = *id = ++etcd->last_watch;
  struct etcd_watch **at = &etcd->watches;
  while (*at)
    at = &(*at)->next;
  *at = w;
  etcd->n_watches++;
  return META_OK;
}

static void watch_sweep(struct etcd_store *etcd) {
  for (struct etcd_watch **at = &etcd->watches; *at && !etcd->running;) {
    struct etcd_watch *w = *at;
    if (!w->cancelled) {
      at = &w->next;
      continue;
    }
    *at = w->next;
    etcd->n_watches--;
    http_stop(&etcd->http, &w->call);
    watch_free(w);
  }
}

void etcd_watch_cancel(struct meta_store *store, uint64_t id) {
  struct etcd_store *etcd = (struct etcd_store *)store;
  for (struct etcd_watch *w = etcd->watches; w; w = w->next)
    if (w->id == id)
      w->cancelled = true;
  watch_sweep(etcd);
}

static void watch_end(struct etcd_watch *w, enum meta_status status, const char *message,
                      int64_t revision) {
  const struct meta_batch batch = {.status = status, .message = message, .revision = revision};
  w->cancelled = true;
  w->watched(w->arg, &batch);
}

/* The stream broke off: it is asked for again, of the next endpoint. */
static void watch_again(struct etcd_store *etcd, struct etcd_watch *w) {
  http_stop(&etcd->http, &w->call);
  http_blame(&etcd->http, w->call.endpoint);
  w->call.ended = false;
  w->call.in.n = 0;
  w->start_us = etcd->now_us + etcd_backoff(etcd, ++w->failures);
  etcd->counts.watch_restarts++;
}

/*
 * What a line says. The header's revision is the store's: while a watch catches up it is ahead of
 * the events, so only the last event tells how far they go. False: the stream is of no more use.
 */
static bool watch_line(struct etcd_watch *w, const struct etcd_line *line) {
  if (line->broken)
    return false;
  if (line->status == META_COMPACTED || line->status == META_DENIED) {
    watch_end(w, line->status, line->message, line->compacted);
    return true;
  }
  if (line->cancelled)
    return false;
  w->failures = 0;
  if (!w->from)
    w->from = line->revision + 1;
  int64_t told = line->n ? line->events[line->n - 1].kv.mod_revision : line->revision;
  if (line->created || told < w->from)
    return true;
  w->from = told + 1;
  const struct meta_batch batch = {
      .message = "ok", .revision = told, .events = line->events, .n = line->n};
  w->watched(w->arg, &batch);
  return true;
}

static void watch_lines(struct etcd_store *etcd, struct etcd_watch *w) {
  size_t done = 0;
  bool good = true;
  while (good && !w->cancelled) {
    const char *from = w->call.in.data + done;
    const char *end = w->call.in.n > done ? memchr(from, '\n', w->call.in.n - done) : NULL;
    if (!end)
      break;
    struct etcd_line line;
    etcd_read_line(from, (size_t)(end - from), &line);
    good = watch_line(w, &line);
    etcd_line_free(&line);
    done += (size_t)(end - from) + 1;
  }
  if (done)
    http_drop(&w->call.in, done);
  if (!good)
    watch_again(etcd, w);
}

static void watch_step(struct etcd_store *etcd, struct etcd_watch *w) {
  if (w->call.in.n)
    watch_lines(etcd, w);
  if (w->cancelled)
    return;
  if (w->call.in.failed)
    watch_end(w, META_LIMIT, "more at once than a watch takes: read anew", 0);
  else if (w->call.ended)
    watch_again(etcd, w);
  if (w->cancelled || w->call.curl || w->start_us > etcd->now_us)
    return;
  w->body.n = 0;
  etcd_write_watch(&w->body, w->key, w->end, w->from);
  if (w->body.failed || !http_start(&etcd->http, &w->call, "/v3/watch", &w->body))
    w->start_us = etcd->now_us + 100000; /* no memory: later */
}

void etcd_watch_run(struct etcd_store *etcd) {
  etcd->running = true;
  for (struct etcd_watch *w = etcd->watches; w; w = w->next)
    if (!w->cancelled)
      watch_step(etcd, w);
  etcd->running = false;
  watch_sweep(etcd);
}

int64_t etcd_watch_due(const struct etcd_store *etcd) {
  int64_t due = INT64_MAX;
  for (const struct etcd_watch *w = etcd->watches; w; w = w->next) {
    if (w->call.ended)
      due = etcd->now_us;
    else if (!w->call.curl && w->start_us < due)
      due = w->start_us;
  }
  return due;
}

void etcd_watch_close(struct etcd_store *etcd) {
  etcd->running = true;
  for (struct etcd_watch *w = etcd->watches; w; w = w->next)
    if (!w->cancelled)
      watch_end(w, META_CLOSED, "the store was closed", 0);
  etcd->running = false;
  watch_sweep(etcd);
}
