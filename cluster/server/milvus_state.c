/* milvus_state.c - the records and their file; see milvus_state.h. */
#include "server/milvus_state.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "server/config.h"

enum { STATE_ID_SHIFT = 18 }; /* as in Milvus's timestamps */

static bool state_load(struct srv_milvus_state *s, char *error) {
  json_error_t why;
  if (s->path && access(s->path, F_OK) == 0)
    s->records = json_load_file(s->path, 0, &why);
  else
    s->records = json_object();
  if (json_is_object(s->records))
    return true;
  snprintf(error, SRV_CONFIG_ERROR, "%.400s is no JSON object", s->path ? s->path : "");
  return false;
}

struct srv_milvus_state *srv_milvus_state_start(const char *data, char *error) {
  struct srv_milvus_state *s = calloc(1, sizeof *s);
  size_t n = strlen(data) + sizeof ".milvus.json";
  snprintf(error, SRV_CONFIG_ERROR, "out of memory");
  if (!s)
    return NULL;
  pthread_mutex_init(&s->mutex, NULL);
  pthread_mutex_init(&s->change, NULL);
  pthread_rwlock_init(&s->writes, NULL);
  bool kept = strcmp(data, ":memory:") != 0;
  s->path = kept ? malloc(n) : NULL;
  if (s->path)
    snprintf(s->path, n, "%s.milvus.json", data);
  if ((s->path || !kept) && state_load(s, error))
    return s;
  srv_milvus_state_stop(s);
  return NULL;
}

void srv_milvus_state_stop(struct srv_milvus_state *s) {
  if (!s)
    return;
  json_decref(s->records);
  free(s->path);
  pthread_rwlock_destroy(&s->writes);
  pthread_mutex_destroy(&s->change);
  pthread_mutex_destroy(&s->mutex);
  free(s);
}

static bool state_sync_folder(const char *path) {
  char *copy = strdup(path);
  int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
  bool good = fd >= 0 && fsync(fd) == 0;
  if (fd >= 0)
    close(fd);
  free(copy);
  return good;
}

static bool state_write(const json_t *records, const char *path) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0)
    return false;
  bool good = json_dumpfd(records, fd, JSON_INDENT(1) | JSON_SORT_KEYS) == 0 && fsync(fd) == 0;
  return close(fd) == 0 && good;
}

/* A new file takes the old one's place at once. */
static bool state_save(const struct srv_milvus_state *s) {
  if (!s->path)
    return true;
  size_t n = strlen(s->path) + sizeof ".new";
  char *path = malloc(n);
  if (!path)
    return false;
  snprintf(path, n, "%s.new", s->path);
  bool good =
      state_write(s->records, path) && rename(path, s->path) == 0 && state_sync_folder(s->path);
  free(path);
  return good;
}

json_t *srv_milvus_record(struct srv_milvus_state *s, const char *name) {
  pthread_mutex_lock(&s->mutex);
  json_t *out = json_deep_copy(json_object_get(s->records, name));
  pthread_mutex_unlock(&s->mutex);
  return out;
}

bool srv_milvus_record_put(struct srv_milvus_state *s, const char *name, json_t *record) {
  pthread_mutex_lock(&s->mutex);
  json_t *before = json_incref(json_object_get(s->records, name));
  if (record)
    json_object_set_new(s->records, name, record);
  else
    json_object_del(s->records, name);
  bool good = state_save(s);
  if (!good && before)
    json_object_set(s->records, name, before);
  else if (!good)
    json_object_del(s->records, name);
  json_decref(before);
  pthread_mutex_unlock(&s->mutex);
  return good;
}

void srv_milvus_records(struct srv_milvus_state *s,
                        int (*visit)(void *user, const char *label, const json_t *record),
                        void *user) {
  const char *label;
  json_t *record;
  pthread_mutex_lock(&s->mutex);
  json_object_foreach(s->records, label, record) {
    if (visit(user, label, record))
      break;
  }
  pthread_mutex_unlock(&s->mutex);
}

struct state_search {
  const char *physical;
  char *label;
};

static int state_match(void *user, const char *label, const json_t *record) {
  struct state_search *s = user;
  const char *is = json_string_value(json_object_get(record, "physical"));
  if (!is || strcmp(is, s->physical) != 0)
    return 0;
  s->label = strdup(label);
  return 1;
}

char *srv_milvus_record_of(struct srv_milvus_state *s, const char *physical) {
  struct state_search search = {physical, NULL};
  srv_milvus_records(s, state_match, &search);
  return search.label;
}

int64_t srv_milvus_ids(struct srv_milvus_state *s, uint64_t n) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  uint64_t now = ((uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000) << STATE_ID_SHIFT;
  pthread_mutex_lock(&s->mutex);
  uint64_t first = now > s->last_id ? now : s->last_id + 1;
  s->last_id = first + n - 1;
  pthread_mutex_unlock(&s->mutex);
  return (int64_t)first;
}
