/* edge.c - the thread that follows, and what others are told of it; see edge.h. */
#include "edge/edge.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "edge/follow.h"

static const int64_t edge_list_us = 2000000;
enum { EDGE_LINE = 512, EDGE_TENANTS = 1024 };

struct edge {
  struct edge_config config;
  struct follow_of of;
  char *collections, *field, *tenants; /* own copies */
  bool star;                           /* all collections are followed */
  pthread_t thread;
  pthread_mutex_t mutex; /* of `closing`, the list and what follow.h says */
  pthread_cond_t cond;
  bool running, closing, up;
  atomic_bool stopped;
  struct follow *first; /* changed by the thread alone */
  size_t n;
  int64_t listed_us;
  uint64_t wanted, done; /* looks that somebody waits for */
  int code;              /* of the last one: the first of its failures */
  vecdb_error error;
};

__attribute__((format(printf, 2, 3))) static void edge_log(struct edge *e, const char *format,
                                                           ...) {
  char line[EDGE_LINE];
  va_list args;
  if (!e->config.log)
    return;
  va_start(args, format);
  vsnprintf(line, sizeof line, format, args);
  va_end(args);
  e->config.log(e->config.arg, line);
}

/* ---- Which are followed ---- */

static struct follow *edge_find(const struct edge *e, const char *name) {
  struct follow *f = e->first;
  while (f && strcmp(f->info.name, name) != 0)
    f = f->next;
  return f;
}

static int edge_add(struct edge *e, const char *name, vecdb_error *error) {
  if (edge_find(e, name))
    return VECDB_OK;
  if (strcmp(name, EDGE_STATE) == 0)
    return follow_fail(error, VECDB_ERR_NAME, "an edge keeps its own state under this name");
  if (!*name || strlen(name) > VECDB_MAX_NAME)
    return follow_fail(error, VECDB_ERR_NAME, "a collection's name has 1 to 255 bytes");
  if (e->n == EDGE_COLLECTIONS)
    return follow_fail(error, VECDB_ERR_LIMIT, "more collections than an edge follows");
  struct follow *f = follow_open(&e->of, name, error);
  if (!f)
    return error->code;
  pthread_mutex_lock(&e->mutex);
  struct follow **at = &e->first;
  while (*at)
    at = &(*at)->next;
  *at = f;
  e->n++;
  pthread_mutex_unlock(&e->mutex);
  return VECDB_OK;
}

/* The parts of a list with commas, which it cuts. */
static char *edge_part(char **list) {
  char *part;
  do {
    part = strsep(list, ",");
    while (part && *part == ' ')
      part++;
    for (size_t n = part ? strlen(part) : 0; n && part[n - 1] == ' ';)
      part[--n] = 0;
  } while (part && !*part);
  return part;
}

/* All there are, when that is wanted. One that is gone stays, as its name may come again. */
static int edge_list(struct edge *e, vecdb_error *error) {
  vecdb_client_list *list = NULL;
  const int64_t now_us = follow_now_us();
  if (!e->star || (e->listed_us && now_us - e->listed_us < edge_list_us))
    return VECDB_OK;
  int code = vecdb_client_list_collections(e->of.client, NULL, &list, error);
  if (code)
    return code;
  e->listed_us = now_us;
  for (size_t i = 0; i < vecdb_client_list_count(list) && !code; i++)
    code = edge_add(e, vecdb_client_list_name(list, i), error);
  vecdb_client_list_free(list);
  return code;
}

/* ---- The thread ---- */

static void edge_told(struct edge *e, struct follow *f, int code, const vecdb_error *error) {
  if (code != f->info.code && code)
    edge_log(e, "edge: collection %.64s: %.380s", f->info.name, error->message);
  else if (code != f->info.code)
    edge_log(e, "edge: collection %.64s is followed again", f->info.name);
  pthread_mutex_lock(&e->mutex);
  f->info.code = code;
  pthread_mutex_unlock(&e->mutex);
}

/* The code of a cluster that cannot be asked, not of what it answers. */
static bool edge_away(int code) {
  return code == VECDB_CLIENT_NO_NODE || code == VECDB_CLIENT_UNAVAILABLE ||
         code == VECDB_ERR_TIMEOUT || code == VECDB_CLIENT_SOME_SHARDS;
}

/* Of all collections those that are gone are forgotten; one that is named may come again. */
static void edge_forget(struct edge *e, struct follow **at) {
  struct follow *f = *at;
  pthread_mutex_lock(&e->mutex);
  *at = f->next;
  e->n--;
  pthread_mutex_unlock(&e->mutex);
  follow_close(f);
}

static void edge_round(struct edge *e) {
  vecdb_error error = {0}, first = {0};
  pthread_mutex_lock(&e->mutex);
  const uint64_t wanted = e->wanted;
  pthread_mutex_unlock(&e->mutex);
  int code = edge_list(e, &error), failed = code;
  bool up = !edge_away(code);
  first = error;
  for (struct follow **at = &e->first; *at && !e->stopped;) {
    error = (vecdb_error){0};
    code = follow_step(*at, &error);
    up = up && !edge_away(code);
    edge_told(e, *at, code, &error);
    if (!failed && code) {
      failed = code;
      first = error;
    }
    if (e->star && (*at)->info.gone)
      edge_forget(e, at);
    else
      at = &(*at)->next;
  }
  pthread_mutex_lock(&e->mutex);
  e->up = up;
  e->code = failed;
  e->error = first;
  e->done = wanted;
  pthread_cond_broadcast(&e->cond);
  pthread_mutex_unlock(&e->mutex);
}

static void *edge_thread(void *arg) {
  struct edge *e = arg;
  bool closing = false;
  while (!closing) {
    struct timespec until;
    edge_round(e);
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += e->config.poll_ms / 1000;
    until.tv_nsec += e->config.poll_ms % 1000 * 1000000l;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&e->mutex);
    while (!e->closing && e->wanted == e->done &&
           pthread_cond_timedwait(&e->cond, &e->mutex, &until) != ETIMEDOUT)
      continue;
    closing = e->closing;
    pthread_mutex_unlock(&e->mutex);
  }
  return NULL;
}

/* ---- Opening ---- */

static uint64_t edge_hash(uint64_t h, const char *text) {
  for (const char *c = text; *c; c++)
    h = (h ^ (uint8_t)*c) * 0x100000001b3u;
  return (h ^ 0x100) * 0x100000001b3u;
}

static int edge_tenants(struct edge *e, vecdb_error *error) {
  const struct edge_config *c = &e->config;
  if (!c->tenants || !*c->tenants)
    return VECDB_OK;
  if (!c->tenant_field || !*c->tenant_field || strlen(c->tenant_field) > VECDB_MAX_NAME)
    return follow_fail(error, VECDB_ERR_ARGUMENT, "tenants need the name of their field");
  e->of.filter = edge_hash(edge_hash(0xcbf29ce484222325u, c->tenant_field), c->tenants);
  e->tenants = strdup(c->tenants);
  e->of.tenant_field = e->field = strdup(c->tenant_field);
  e->of.tenants = calloc(EDGE_TENANTS, sizeof *e->of.tenants);
  if (!e->tenants || !e->field || !e->of.tenants)
    return follow_fail(error, VECDB_ERR_NO_MEMORY, "out of memory");
  char *list = e->tenants, *part;
  while ((part = edge_part(&list))) {
    if (e->of.n_tenants == EDGE_TENANTS)
      return follow_fail(error, VECDB_ERR_LIMIT, "more tenants than an edge follows");
    e->of.tenants[e->of.n_tenants++] = (vecdb_string){part, strlen(part)};
  }
  return e->of.n_tenants ? VECDB_OK
                         : follow_fail(error, VECDB_ERR_ARGUMENT, "no tenant is named");
}

/* Those that are here and followed no more go; of all that are followed, those that are here are
   known at once. */
struct edge_names {
  char (*names)[VECDB_MAX_NAME + 1];
  size_t n;
};

static int edge_name(void *user, const char *name) {
  struct edge_names *all = user;
  char(*names)[VECDB_MAX_NAME + 1] = realloc(all->names, (all->n + 1) * sizeof *names);
  if (!names)
    return 1;
  all->names = names;
  snprintf(names[all->n++], sizeof *names, "%s", name);
  return 0;
}

static int edge_here(struct edge *e, vecdb_error *error) {
  struct edge_names all = {0};
  int code = vecdb_collection_list(e->of.db, edge_name, &all, error);
  for (size_t i = 0; i < all.n && !code; i++) {
    const char *name = all.names[i];
    if (strcmp(name, EDGE_STATE) == 0 || edge_find(e, name))
      continue;
    if (e->star) {
      code = edge_add(e, name, error);
      continue;
    }
    edge_log(e, "edge: collection %.64s is not followed any more, and removed", name);
    code = edge_state_remove(e->of.state, name, error);
    code = code ? code : vecdb_flush_all(e->of.db, NULL, error);
    code = code ? code : vecdb_collection_drop(e->of.db, name, error);
  }
  free(all.names);
  return code;
}

static int edge_begin(struct edge *e, vecdb_error *error) {
  const struct edge_config *c = &e->config;
  if (!c->db || !c->collections || !c->poll_ms)
    return follow_fail(error, VECDB_ERR_ARGUMENT, "an edge needs a database, names and a pause");
  int code = edge_tenants(e, error);
  code = code ? code : edge_state_open(c->db, &e->of.state, error);
  code = code ? code : vecdb_client_open(&c->origin, &e->of.client, error);
  if (code)
    return code;
  e->collections = strdup(c->collections);
  if (!e->collections)
    return follow_fail(error, VECDB_ERR_NO_MEMORY, "out of memory");
  char *list = e->collections, *part;
  while (!code && (part = edge_part(&list))) {
    if (strcmp(part, "*") == 0)
      e->star = true;
    else
      code = edge_add(e, part, error);
  }
  if (!code && !e->star && !e->n)
    code = follow_fail(error, VECDB_ERR_ARGUMENT, "no collection is named");
  code = code ? code : edge_here(e, error);
  if (!code && pthread_create(&e->thread, NULL, edge_thread, e))
    code = follow_fail(error, VECDB_ERR_NO_MEMORY, "no thread can be made");
  e->running = !code;
  return code;
}

struct edge *edge_open(const struct edge_config *config, vecdb_error *error) {
  vecdb_error own = {0};
  pthread_condattr_t clock;
  struct edge *e = calloc(1, sizeof *e);
  if (!e) {
    follow_fail(error, VECDB_ERR_NO_MEMORY, "out of memory");
    return NULL;
  }
  e->config = *config;
  e->of.db = config->db;
  e->of.mutex = &e->mutex;
  e->of.stopped = &e->stopped;
  pthread_mutex_init(&e->mutex, NULL);
  pthread_condattr_init(&clock);
  pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
  pthread_cond_init(&e->cond, &clock);
  pthread_condattr_destroy(&clock);
  if (edge_begin(e, &own) == VECDB_OK)
    return e;
  if (error)
    *error = own;
  edge_close(e);
  return NULL;
}

void edge_close(struct edge *e) {
  if (!e)
    return;
  e->stopped = true;
  pthread_mutex_lock(&e->mutex);
  e->closing = true;
  pthread_cond_broadcast(&e->cond);
  pthread_mutex_unlock(&e->mutex);
  if (e->running)
    pthread_join(e->thread, NULL);
  for (struct follow *f = e->first, *next; f; f = next) {
    next = f->next;
    follow_close(f);
  }
  if (e->of.client)
    vecdb_client_close(e->of.client);
  vecdb_collection_release(e->of.state);
  pthread_cond_destroy(&e->cond);
  pthread_mutex_destroy(&e->mutex);
  free(e->of.tenants);
  free(e->tenants);
  free(e->field);
  free(e->collections);
  free(e);
}

/* ---- What others are told ---- */

/* The caller holds the mutex. */
static void edge_tell(const struct follow *f, struct edge_info *out) {
  const int64_t now_us = follow_now_us();
  *out = f->info;
  out->age_ms = !f->info.whole || f->fresh_us == INT64_MIN
                    ? EDGE_UNKNOWN
                    : (uint64_t)(now_us - f->fresh_us) / 1000 + 1;
}

int edge_sync(struct edge *e, vecdb_error *error) {
  pthread_mutex_lock(&e->mutex);
  const uint64_t wanted = ++e->wanted;
  pthread_cond_broadcast(&e->cond);
  while (e->done < wanted && !e->closing)
    pthread_cond_wait(&e->cond, &e->mutex);
  int code = e->done < wanted ? VECDB_ERR_CANCELLED : e->code;
  if (error && code)
    *error = e->error;
  pthread_mutex_unlock(&e->mutex);
  return code;
}

bool edge_look(struct edge *e, const char *collection, struct edge_info *out) {
  pthread_mutex_lock(&e->mutex);
  const struct follow *f = edge_find(e, collection);
  if (f)
    edge_tell(f, out);
  pthread_mutex_unlock(&e->mutex);
  return f != NULL;
}

bool edge_at(struct edge *e, size_t i, struct edge_info *out) {
  pthread_mutex_lock(&e->mutex);
  const struct follow *f = e->first;
  while (f && i--)
    f = f->next;
  if (f)
    edge_tell(f, out);
  pthread_mutex_unlock(&e->mutex);
  return f != NULL;
}

bool edge_up(struct edge *e) {
  pthread_mutex_lock(&e->mutex);
  bool up = e->up;
  pthread_mutex_unlock(&e->mutex);
  return up;
}
