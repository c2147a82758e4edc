/* state.c - the file that an ingestion goes on from; see state.h. */
#include "ingest/state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include "ingest/ingest.h"

enum { STATE_TEXT = 256 };

static int state_lock(struct ingest_state *s, vecdb_error *error) {
  char path[PATH_MAX];
  if ((size_t)snprintf(path, sizeof path, "%s.lock", s->path) >= sizeof path - 8)
    return ingest_fail(error, VECDB_ERR_ARGUMENT, "the name of the state's file is too long");
  s->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (s->lock < 0)
    return ingest_fail_os(error, path);
  if (flock(s->lock, LOCK_EX | LOCK_NB) == 0)
    return VECDB_OK;
  return errno == EWOULDBLOCK
             ? ingest_fail(error, VECDB_ERR_BUSY, "another process uses %.300s", s->path)
             : ingest_fail_os(error, path);
}

/* Numbers up to 2^64 - 1, which JSON's readers do not have: as text. */
static bool state_number(const char *text, uint64_t *out) {
  char *end;
  errno = 0;
  *out = strtoull(text, &end, 10);
  return *text >= '0' && *text <= '9' && !*end && !errno;
}

static int state_read(struct ingest_state *s, vecdb_error *error) {
  json_error_t why;
  const char *writer, *op, *acked, *upto;
  json_t *json = json_load_file(s->path, JSON_REJECT_DUPLICATES, &why);
  bool good = json &&
              json_unpack_ex(json, &why, JSON_STRICT, "{s:s, s:s, s:s, s:s}", "writer", &writer,
                             "op", &op, "acked", &acked, "upto", &upto) == 0 &&
              state_number(writer, &s->writer) && s->writer && state_number(op, &s->op) &&
              state_number(acked, &s->acked) && state_number(upto, &s->upto) &&
              (!s->upto || (s->upto > s->acked && s->op));
  json_decref(json);
  return good ? VECDB_OK
              : ingest_fail(error, VECDB_ERR_CORRUPT, "%.300s is no state of an ingestion",
                            s->path);
}

int ingest_state_open(struct ingest_state *s, const char *path, vecdb_error *error) {
  *s = (struct ingest_state){.path = path, .lock = -1};
  int status = state_lock(s, error);
  if (!status && access(path, F_OK) == 0)
    status = state_read(s, error);
  else if (!status && errno != ENOENT)
    status = ingest_fail_os(error, path);
  else if (!status && getrandom(&s->writer, sizeof s->writer, 0) != sizeof s->writer)
    status = ingest_fail(error, VECDB_ERR_IO, "no random numbers");
  s->writer |= 1; /* never 0 */
  if (status)
    ingest_state_close(s);
  return status;
}

void ingest_state_close(struct ingest_state *s) {
  if (s->lock >= 0)
    close(s->lock);
  s->lock = -1;
}

/* The folder, so that the new name of the file is durable, too. */
static bool state_sync_folder(const char *path) {
  char copy[PATH_MAX];
  snprintf(copy, sizeof copy, "%s", path);
  int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  bool good = fd >= 0 && fsync(fd) == 0;
  if (fd >= 0)
    close(fd);
  return good;
}

int ingest_state_save(const struct ingest_state *s, vecdb_error *error) {
  char text[STATE_TEXT], path[PATH_MAX];
  int n = snprintf(text, sizeof text,
                   "{\"writer\": \"%" PRIu64 "\", \"op\": \"%" PRIu64 "\", \"acked\": \"%" PRIu64
                   "\", \"upto\": \"%" PRIu64 "\"}\n",
                   s->writer, s->op, s->acked, s->upto);
  snprintf(path, sizeof path, "%s.new", s->path);
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  bool good = fd >= 0 && write(fd, text, (size_t)n) == n && fsync(fd) == 0;
  if (fd >= 0)
    good &= close(fd) == 0;
  good = good && rename(path, s->path) == 0 && state_sync_folder(s->path);
  return good ? VECDB_OK : ingest_fail_os(error, path);
}
