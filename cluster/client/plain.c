/* plain.c - maps of collections, and requests that any node answers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/client.h"

enum {
  PLAIN_AGAIN_US = 50000,      /* before another try, at another node */
  PLAIN_PATIENCE_US = 2000000, /* with one node */
  PLAIN_PROMPT_US = 500000,    /* the same for a map, which each node has in memory */
  PLAIN_MAP_US = 10000000,     /* to get a map */
  PLAIN_PAUSE_US = 20000       /* between two maps of a collection */
};
#define PLAIN_ID (1ull << 63) /* numbers that are no router's */

/* ---- Names ---- */

struct entry *plain_entry(vecdb_client *c, const char *name) {
  for (struct entry *e = c->entries; e; e = e->next)
    if (!strcmp(e->name, name))
      return e;
  struct entry *e = calloc(1, sizeof *e);
  if (!e)
    return NULL;
  snprintf(e->name, sizeof e->name, "%s", name);
  e->next = c->entries;
  c->entries = e;
  return e;
}

struct entry *plain_entry_of(const vecdb_client *c, uint32_t collection) {
  struct entry *e = c->entries;
  while (e && e->collection != collection)
    e = e->next;
  return e;
}

/* ---- Sending ---- */

static struct plain *plain_add(vecdb_client *c, uint16_t kind, int64_t deadline_us) {
  struct plain *p = calloc(1, sizeof *p);
  if (!p)
    return NULL;
  p->message.kind = kind;
  p->deadline_us = deadline_us;
  p->since_us = c->now_us;
  p->next = c->plains;
  c->plains = p;
  return p;
}

static void plain_drop(vecdb_client *c, struct plain *p) {
  struct plain **at = &c->plains;
  while (*at != p)
    at = &(*at)->next;
  *at = p->next;
  free(p);
}

/* Of one node's replica, and so not for another one. */
static bool plain_bound(const struct plain *p) {
  return p->message.kind == WIRE_STATS || p->message.kind == WIRE_COMPACT;
}

static void plain_send(vecdb_client *c, struct plain *p) {
  struct wire_out out;
  struct frame frame = {.type = FRAME_QUERY, .request = PLAIN_ID | ++c->next_id};
  int64_t left_ms = (p->deadline_us - c->now_us) / 1000;
  uint32_t node = plain_bound(p) ? p->node : links_any(c->links, p->node);
  wire_out_init(&out, frame_limit(FRAME_QUERY, true));
  wire_message_write(&p->message, &out);
  frame.n = (uint32_t)out.n;
  frame.deadline_ms = left_ms < 1 ? 1 : left_ms > INT32_MAX ? INT32_MAX : (uint32_t)left_ms;
  p->id = 0;
  p->due_us = c->now_us + PLAIN_AGAIN_US;
  if (!out.status && node && links_send(c->links, node, &frame, out.data)) {
    p->id = frame.request;
    p->node = node;
    int64_t patience = p->message.kind == WIRE_MAP ? PLAIN_PROMPT_US : PLAIN_PATIENCE_US;
    p->due_us = p->job && !p->job->reads ? p->deadline_us : c->now_us + patience;
  }
  wire_out_free(&out);
}

/* ---- What each is for ---- */

void plain_map(vecdb_client *c, struct entry *entry) {
  if (entry->asking) {
    entry->wanted = true;
    return;
  }
  struct plain *p = plain_add(c, WIRE_MAP, c->now_us + PLAIN_MAP_US);
  if (!p)
    return; /* the calls that wait end by their deadlines */
  bool pause = c->now_us < entry->asked_us + PLAIN_PAUSE_US;
  p->entry = entry;
  p->message.has = WIRE_HAS(WIRE_NAME);
  p->message.name.name = entry->name;
  entry->asking = true;
  entry->wanted = false;
  if (pause)
    p->due_us = entry->asked_us + PLAIN_PAUSE_US;
  else
    plain_send(c, p);
}

void plain_survey(vecdb_client *c, struct entry *entry) {
  const struct router_map *map = router_get_map(c->router, entry->collection);
  if (entry->surveyed || !map)
    return;
  entry->surveyed = true;
  for (uint32_t i = 0; i < map->n_shards; i++) {
    const struct router_shard *shard = router_map_shard(map, i);
    struct plain *p =
        shard && shard->primary ? plain_add(c, WIRE_STATS, c->now_us + PLAIN_MAP_US) : NULL;
    if (!p)
      continue;
    p->entry = entry;
    p->shard = i;
    p->node = shard->primary;
    p->message.has = WIRE_HAS(WIRE_TARGET);
    p->message.target = (struct wire_target){entry->collection, i, map->coll.schema_version,
                                             shard->epoch, shard->rev,
                                             doc_slots_generation(&map->slots, i)};
    plain_send(c, p);
  }
}

void plain_job(vecdb_client *c, struct job *job) {
  struct plain *p = plain_add(c, job->message.kind, job->deadline_us);
  if (!p) {
    client_fail(c, job, VECDB_ERR_NO_MEMORY, "out of memory");
    return;
  }
  p->job = job;
  p->node = job->node;
  p->message = job->message;
  plain_send(c, p);
}

/* ---- Answers ---- */

/* The collection's calls that waited for its map: on they go, or they fail. */
static void plain_waiting(vecdb_client *c, struct entry *e, int code, const char *words) {
  struct job *jobs = e->waiting;
  e->waiting = NULL;
  for (struct job *next; jobs; jobs = next) {
    next = jobs->next;
    if (code)
      client_fail(c, jobs, code, words);
    else
      client_route(c, e, jobs);
  }
}

/* The collection is no more; its name may be that of another one. */
static void plain_gone(vecdb_client *c, struct entry *e) {
  if (e->collection)
    router_drop_map(c->router, e->collection, c->now_us);
  e->collection = 0;
  e->schema = 0;
}

static int plain_map_taken(vecdb_client *c, struct entry *e, const struct wire_message *m,
                           char *why) {
  struct router_map *map = router_map_make(m->documents, m->n_documents, why);
  if (!map)
    return WIRE_PROTOCOL;
  const struct router_map *old = router_get_map(c->router, map->coll.id);
  e->surveyed = e->surveyed && old && old->n_shards == map->n_shards;
  bool good = router_set_map(c->router, map);
  for (uint32_t i = 0; i < map->n_nodes && good; i++)
    good = links_add(c->links, map->nodes[i].id, map->nodes[i].address);
  if (e->collection && e->collection != map->coll.id)
    plain_gone(c, e); /* dropped, and made again */
  e->collection = map->coll.id;
  router_map_drop(map);
  snprintf(why, DOC_TEXT_MAX, "out of memory");
  return good ? VECDB_OK : VECDB_ERR_NO_MEMORY;
}

static void plain_map_answer(vecdb_client *c, struct entry *e, const struct wire_message *m) {
  char why[DOC_TEXT_MAX];
  int code = m->result.code;
  snprintf(why, sizeof why, "%.200s",
           *m->result.message ? m->result.message : wire_code_text(code));
  if (!code)
    code = plain_map_taken(c, e, m, why);
  if (code == VECDB_ERR_NOT_FOUND)
    plain_gone(c, e);
  e->asking = false;
  e->asked_us = c->now_us;
  plain_waiting(c, e, code, why);
  if (e->wanted)
    plain_map(c, e);
}

static void plain_job_answer(vecdb_client *c, struct job *job, const struct wire_message *m) {
  const struct wire_result *r = &m->result;
  if (r->code) {
    snprintf(job->error.field, sizeof job->error.field, "%.63s", r->field ? r->field : "");
    client_fail(c, job, r->code, *r->message ? r->message : wire_code_text(r->code));
    return;
  }
  job->code = job->taken ? job->taken(job, m, &job->error) : VECDB_OK;
  client_finish(c, job);
}

/* It is gone, or another one now has its name. */
static void plain_forget(vecdb_client *c, const char *name) {
  struct entry *e = plain_entry(c, name);
  if (e)
    plain_gone(c, e);
}

/* The map of a collection whose schema has changed: older ones do not count any more. */
static void plain_altered(vecdb_client *c, const char *name, const struct wire_message *m) {
  struct entry *e = m->result.code ? NULL : plain_entry(c, name);
  if (!e || m->number <= e->schema)
    return;
  e->schema = m->number;
  plain_map(c, e);
}

/* Whether a map that a caller asked for is from before a change that is known here. */
static bool plain_is_old(vecdb_client *c, const struct plain *p, const struct wire_message *m) {
  char why[DOC_TEXT_MAX];
  const struct entry *e = p->job && p->message.kind == WIRE_MAP ? plain_entry(c, p->job->name)
                                                                : NULL;
  if (!e || !e->schema || m->result.code)
    return false;
  struct router_map *map = router_map_make(m->documents, m->n_documents, why);
  bool old = map && map->coll.id == e->collection && map->coll.schema_version < e->schema;
  router_map_drop(map);
  return old;
}

static void plain_over(vecdb_client *c, struct plain *p, const struct wire_message *m) {
  struct entry *entry = p->entry;
  struct job *job = p->job;
  uint16_t kind = p->message.kind;
  uint32_t shard = p->shard;
  plain_drop(c, p);
  if (kind == WIRE_DROP || (kind == WIRE_MAP && job && m->result.code == VECDB_ERR_NOT_FOUND))
    plain_forget(c, job->name);
  else if (kind == WIRE_ALTER || kind == WIRE_RESHAPE)
    plain_altered(c, job->name, m);
  if (job)
    plain_job_answer(c, job, m);
  else if (kind == WIRE_MAP)
    plain_map_answer(c, entry, m);
  else if (m->has & WIRE_HAS(WIRE_SUMMARY))
    router_set_summary(c->router, entry->collection, shard, &m->summary);
}

void plain_answer(vecdb_client *c, uint32_t node, uint64_t id, const void *data, size_t n) {
  struct plain *p = c->plains;
  struct wire_mem mem = {0};
  struct wire_message m;
  while (p && (p->id != id || p->node != node))
    p = p->next;
  if (!p)
    return;
  enum wire_status status = wire_message_read(data, n, &mem, &m);
  if (status || m.kind != WIRE_ANSWER) {
    m = (struct wire_message){.kind = WIRE_ANSWER};
    m.result = (struct wire_result){.code = WIRE_PROTOCOL, .message = wire_status_name(status)};
  }
  bool maybe = m.result.code == WIRE_UNKNOWN && p->job && !p->job->reads;
  bool again = wire_code_again(m.result.code) && !plain_bound(p) && !maybe;
  if (again || plain_is_old(c, p, &m)) {
    p->id = 0;
    p->due_us = c->now_us + PLAIN_AGAIN_US;
  } else {
    plain_over(c, p, &m);
  }
  wire_mem_free(&mem);
}

/* ---- What goes wrong ---- */

static void plain_end(vecdb_client *c, struct plain *p, int code, const char *words) {
  struct wire_message m = {.kind = WIRE_ANSWER};
  m.result = (struct wire_result){.code = code, .message = words};
  plain_over(c, p, &m);
}

/* The node will not answer any more. What may have been done is not done again. */
static void plain_lost(vecdb_client *c, struct plain *p, bool sent) {
  if (p->job && !p->job->reads && sent) {
    plain_end(c, p, WIRE_UNKNOWN, "a node went away before it answered: it may have happened");
    return;
  }
  p->id = 0;
  p->due_us = c->now_us + PLAIN_AGAIN_US;
}

/* Whether there was one to be looked at, after which the list may be another. */
static bool plain_down_one(vecdb_client *c, uint32_t node, bool sent) {
  for (struct plain *p = c->plains; p; p = p->next)
    if (p->id && p->node == node) {
      plain_lost(c, p, sent);
      return true;
    }
  return false;
}

void plain_down(vecdb_client *c, uint32_t node, bool sent) {
  while (plain_down_one(c, node, sent))
    continue;
}

static void plain_late(vecdb_client *c, struct plain *p) {
  char words[WIRE_MESSAGE];
  if (c->now_us >= p->deadline_us) {
    snprintf(words, sizeof words, "no node answered in time; last: %.300s", links_why(c->links));
    plain_end(c, p, p->job && !p->job->reads && p->id ? WIRE_UNKNOWN : WIRE_NO_NODE, words);
  } else if (p->id) {
    plain_lost(c, p, true);
  } else if (p->message.kind == WIRE_COMPACT && c->now_us >= p->since_us + PLAIN_PATIENCE_US) {
    snprintf(words, sizeof words, "node %u cannot be reached; last: %.300s", p->node,
             links_why(c->links));
    plain_end(c, p, WIRE_NO_NODE, words); /* its deadline may be far away */
  } else {
    plain_send(c, p);
  }
}

static int64_t plain_due_of(const struct plain *p) {
  return p->due_us < p->deadline_us ? p->due_us : p->deadline_us;
}

static bool plain_tick_one(vecdb_client *c) {
  for (struct plain *p = c->plains; p; p = p->next)
    if (plain_due_of(p) <= c->now_us) {
      plain_late(c, p);
      return true;
    }
  return false;
}

/* Calls that wait for a map no longer. */
static void plain_expire(vecdb_client *c, struct entry *e) {
  struct job *jobs = e->waiting;
  e->waiting = NULL;
  for (struct job *next; jobs; jobs = next) {
    char words[WIRE_MESSAGE];
    next = jobs->next;
    jobs->next = e->waiting;
    if (c->now_us < jobs->deadline_us) {
      e->waiting = jobs;
      continue;
    }
    snprintf(words, sizeof words, "no node told where the collection is; last: %.300s",
             links_why(c->links));
    client_fail(c, jobs, WIRE_NO_NODE, words);
  }
}

void plain_tick(vecdb_client *c) {
  while (plain_tick_one(c))
    continue;
  for (struct entry *e = c->entries; e; e = e->next)
    plain_expire(c, e);
}

int64_t plain_due(const vecdb_client *c) {
  int64_t due_us = INT64_MAX;
  for (const struct plain *p = c->plains; p; p = p->next)
    due_us = plain_due_of(p) < due_us ? plain_due_of(p) : due_us;
  for (const struct entry *e = c->entries; e; e = e->next)
    for (const struct job *job = e->waiting; job; job = job->next)
      due_us = job->deadline_us < due_us ? job->deadline_us : due_us;
  return due_us;
}

void plain_close(vecdb_client *c) {
  while (c->plains)
    plain_drop(c, c->plains);
  for (struct entry *e = c->entries, *next; e; e = next) {
    next = e->next;
    free(e);
  }
}
