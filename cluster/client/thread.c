/* thread.c - the client's own thread: it alone touches connections and the router. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "client/client.h"

int64_t client_clock(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* ---- Jobs ---- */

static void client_wake(vecdb_client *c) {
  eventfd_write(c->wake, 1); /* when it is full the thread is awake already */
}

void client_do(vecdb_client *c, struct job *job) {
  client_start(c, job);
  client_wait(c, job);
}

void client_start(vecdb_client *c, struct job *job) {
  pthread_cond_init(&job->cond, NULL);
  pthread_mutex_lock(&c->mutex);
  bool first = !c->new_jobs;
  job->next = c->new_jobs;
  c->new_jobs = job;
  pthread_mutex_unlock(&c->mutex);
  if (first)
    client_wake(c);
}

void client_wait(vecdb_client *c, struct job *job) {
  pthread_mutex_lock(&c->mutex);
  while (!job->done)
    pthread_cond_wait(&job->cond, &c->mutex);
  pthread_mutex_unlock(&c->mutex);
  pthread_cond_destroy(&job->cond);
}

void client_finish(vecdb_client *c, struct job *job) {
  pthread_mutex_lock(&c->mutex);
  job->done = true;
  pthread_cond_signal(&job->cond);
  pthread_mutex_unlock(&c->mutex);
}

void client_fail(vecdb_client *c, struct job *job, int code, const char *words) {
  job->code = code;
  job->error.code = code;
  job->error.row = job->error.position = -1;
  snprintf(job->error.message, sizeof job->error.message, "%.380s", words);
  client_finish(c, job);
}

void client_look(vecdb_client *c, struct entry *e, struct job *job) {
  job->next = e->waiting;
  e->waiting = job;
  plain_map(c, e);
}

void client_route(vecdb_client *c, struct entry *e, struct job *job) {
  const struct router_map *map = router_get_map(c->router, e->collection);
  if (map && map->coll.schema_version < e->schema) {
    client_look(c, e, job);
    return;
  }
  if (job->only && job->only != e->collection) {
    client_fail(c, job, map ? VECDB_ERR_CLOSED : VECDB_ERR_NOT_FOUND,
                "the collection was dropped, and another one may have its name");
    return;
  }
  int code = map ? job->prepare(job, map, &job->error) : VECDB_ERR_NOT_FOUND;
  if (code == VECDB_ERR_UNKNOWN_FIELD && !job->looked) {
    job->looked = true;
    client_look(c, e, job);
    return;
  }
  if (code) {
    job->code = code;
    client_finish(c, job);
    return;
  }
  if (job->ask.shard_recall > 0)
    plain_survey(c, e);
  job->ask.collection = e->collection;
  job->ask.message = &job->message;
  job->ask.deadline_us = job->deadline_us;
  job->ask.user = job;
  router_submit(c->router, c->now_us, &job->ask);
}

static void client_begin(vecdb_client *c, struct job *job) {
  if (!job->prepare) {
    plain_job(c, job);
    return;
  }
  struct entry *e = plain_entry(c, job->name);
  if (!e) {
    client_fail(c, job, VECDB_ERR_NO_MEMORY, "out of memory");
  } else if (e->collection) {
    client_route(c, e, job);
  } else {
    client_look(c, e, job);
  }
}

static void client_take(vecdb_client *c) {
  pthread_mutex_lock(&c->mutex);
  struct job *jobs = c->new_jobs, *in_order = NULL;
  c->new_jobs = NULL;
  pthread_mutex_unlock(&c->mutex);
  for (struct job *next; jobs; jobs = next) {
    next = jobs->next;
    jobs->next = in_order;
    in_order = jobs;
  }
  for (struct job *next; in_order; in_order = next) {
    next = in_order->next;
    client_begin(c, in_order);
  }
}

/* ---- The router's host ---- */

static bool client_send(void *arg, uint32_t node, uint64_t request, uint32_t deadline_ms,
                        const void *payload, size_t n) {
  const vecdb_client *c = arg;
  const struct frame frame = {
      .type = FRAME_QUERY, .request = request, .deadline_ms = deadline_ms, .n = (uint32_t)n};
  return links_send(c->links, node, &frame, payload);
}

static void client_cancel(void *arg, uint32_t node, uint64_t request) {
  static const struct wire_message message = {.kind = WIRE_CANCEL};
  const vecdb_client *c = arg;
  struct wire_out out;
  wire_out_init(&out, WIRE_MESSAGE);
  wire_message_write(&message, &out);
  const struct frame frame = {.type = FRAME_QUERY, .request = request, .n = (uint32_t)out.n};
  if (!out.status)
    links_send(c->links, node, &frame, out.data);
  wire_out_free(&out);
}

/* The collection was dropped, and its name is being looked up: another one may have it now. */
static bool client_looks(vecdb_client *c, struct job *job, const struct router_result *result) {
  struct entry *e = plain_entry_of(c, job->ask.collection);
  if (!result || result->result.code != VECDB_ERR_CLOSED || !e || !e->asking)
    return false;
  job->next = e->waiting;
  e->waiting = job;
  return true;
}

/* A write of which nothing was done: the schema is another one now, so its rows are made anew. */
static bool client_again(vecdb_client *c, struct job *job, const struct router_result *result) {
  struct entry *e = plain_entry_of(c, job->ask.collection);
  const struct wire_result *told = result ? &result->result : NULL;
  if (!told || told->code != WIRE_SCHEMA || told->shards_ok || job->again || !e)
    return false;
  job->again = true;
  job->next = e->waiting;
  e->waiting = job;
  e->wanted = true;
  return true;
}

static void client_done(void *arg, void *user, struct router_result *result) {
  vecdb_client *c = arg;
  struct job *job = user;
  if (client_looks(c, job, result) || client_again(c, job, result)) {
    router_result_free(result);
    return;
  }
  if (!result) {
    client_fail(c, job, VECDB_ERR_NO_MEMORY, "out of memory");
    return;
  }
  const struct wire_result *r = &result->result;
  job->result = result;
  job->code = r->code;
  job->error = (vecdb_error){.code = r->code, .row = r->row, .position = r->position};
  snprintf(job->error.field, sizeof job->error.field, "%.63s", r->field);
  snprintf(job->error.message, sizeof job->error.message, "%.380s",
           *r->message ? r->message : wire_code_text(r->code));
  client_finish(c, job);
}

static void client_refresh(void *arg, uint32_t collection) {
  vecdb_client *c = arg;
  struct entry *e = plain_entry_of(c, collection);
  if (e)
    e->wanted = true; /* asked for when the router has returned */
}

struct router_host client_host(vecdb_client *c) {
  return (struct router_host){c, client_send, client_cancel, client_done, client_refresh};
}

/* ---- What links tell ---- */

static void client_up(void *arg, uint32_t node) {
  vecdb_client *c = arg;
  router_up(c->router, c->now_us, node);
}

static void client_down(void *arg, uint32_t node, bool sent) {
  vecdb_client *c = arg;
  router_down(c->router, c->now_us, node);
  plain_down(c, node, sent);
}

static void client_answer(void *arg, uint32_t node, struct frame *frame) {
  vecdb_client *c = arg;
  if (frame->request >> 63) {
    plain_answer(c, node, frame->request, frame->payload, frame->n);
    return;
  }
  router_answer(c->router, c->now_us, node, frame->request, frame->payload, frame->n);
  frame->payload = NULL;
}

struct links_handler client_links(vecdb_client *c) {
  return (struct links_handler){client_up, client_down, client_answer, c};
}

/* ---- The thread ---- */

static int client_wait_ms(const vecdb_client *c) {
  int64_t due_us = router_due(c->router), now_us = client_clock();
  due_us = links_due(c->links) < due_us ? links_due(c->links) : due_us;
  due_us = plain_due(c) < due_us ? plain_due(c) : due_us;
  if (due_us <= now_us)
    return 0;
  return due_us - now_us > 10000000 ? 10000 : (int)((due_us - now_us + 999) / 1000);
}

static void client_maps(vecdb_client *c) {
  for (struct entry *e = c->entries; e; e = e->next)
    if (e->wanted && !e->asking && e->collection)
      plain_map(c, e);
}

static bool client_closing(vecdb_client *c) {
  pthread_mutex_lock(&c->mutex);
  bool closing = c->closing;
  pthread_mutex_unlock(&c->mutex);
  return closing;
}

void *client_thread(void *arg) {
  vecdb_client *c = arg;
  while (!client_closing(c)) {
    struct pollfd fds[2] = {{links_fd(c->links), POLLIN, 0}, {c->wake, POLLIN, 0}};
    eventfd_t woken;
    poll(fds, 2, client_wait_ms(c));
    c->now_us = client_clock();
    if (fds[1].revents)
      eventfd_read(c->wake, &woken);
    links_run(c->links, c->now_us);
    client_take(c);
    router_tick(c->router, c->now_us);
    plain_tick(c);
    client_maps(c);
  }
  return NULL;
}
