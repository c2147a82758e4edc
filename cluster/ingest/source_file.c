/* source_file.c - lines of a file or of standard input as messages; see source.h. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ingest/ingest.h"

#define FILE_LINE_MOST ((size_t)64 << 20)
#define FILE_BUFFER    ((size_t)256 << 10) /* at first */

enum { FILE_LOOK_MS = 50 }; /* between looks at a file that is followed: it cannot be polled */

struct file {
  struct ingest_source base;
  int fd;
  bool follow;
  bool plain; /* a file that has an end; else a pipe or the like */
  uint64_t after;
  char *buffer;
  size_t begin, end, capacity;
  uint64_t offset; /* of buffer[begin] */
};

/* More behind what is there: -1 failed, 0 the end, or there is nothing yet. */
static ssize_t file_fill(struct file *f, vecdb_error *error) {
  size_t left = f->end - f->begin;
  memmove(f->buffer, f->buffer + f->begin, left);
  f->begin = 0;
  f->end = left;
  if (left == f->capacity) {
    char *larger = left < FILE_LINE_MOST ? realloc(f->buffer, 2 * left) : NULL;
    if (!larger) {
      ingest_fail(error, left < FILE_LINE_MOST ? VECDB_ERR_NO_MEMORY : VECDB_ERR_LIMIT,
                  "the line at %" PRIu64 " is longer than 64 MiB, or than there is memory",
                  f->offset);
      return -1;
    }
    f->buffer = larger;
    f->capacity = 2 * left;
  }
  ssize_t n = read(f->fd, f->buffer + f->end, f->capacity - f->end);
  if (n < 0 && errno != EINTR)
    ingest_fail_os(error, "reading the source");
  f->end += n > 0 ? (size_t)n : 0;
  return n < 0 && errno == EINTR ? 0 : n;
}

/* A line that is in the buffer; at the end of a source that does not grow also without newline. */
static bool file_line(struct file *f, bool end, struct ingest_message *out) {
  char *from = f->buffer + f->begin;
  size_t left = f->end - f->begin;
  char *newline = left ? memchr(from, '\n', left) : NULL;
  if (!newline && !(end && left))
    return false;
  size_t n = newline ? (size_t)(newline - from) : left, all = n + (newline != NULL);
  f->begin += all;
  f->offset += all;
  if (n && from[n - 1] == '\r')
    n--;
  *out = (struct ingest_message){from, n, f->offset};
  return true;
}

/* Waits for bytes; false: there are none in that time. */
static bool file_wait(const struct file *f, uint32_t ms) {
  if (f->plain)
    return poll(NULL, 0, (int)(ms < FILE_LOOK_MS ? ms : FILE_LOOK_MS)), false;
  struct pollfd p = {.fd = f->fd, .events = POLLIN};
  return poll(&p, 1, (int)ms) > 0;
}

static enum ingest_next file_next(struct ingest_source *source, uint32_t wait_ms,
                                  struct ingest_message *out, vecdb_error *error) {
  struct file *f = (struct file *)source;
  struct ingest_message line;
  bool end = false;
  for (;;) {
    while (file_line(f, end, &line))
      if (line.n && line.position > f->after) {
        *out = line;
        return INGEST_MESSAGE;
      }
    if (end)
      return INGEST_END;
    if (!f->plain && !file_wait(f, wait_ms))
      return INGEST_NOTHING;
    ssize_t n = file_fill(f, error);
    if (n < 0)
      return INGEST_FAILED;
    if (!n && f->plain && f->follow) {
      file_wait(f, wait_ms);
      return INGEST_NOTHING;
    }
    end = !n;
  }
}

/* The position is the caller's to keep. */
static void file_ack(struct ingest_source *source, uint64_t position) {
  (void)source;
  (void)position;
}

static void file_close(struct ingest_source *source) {
  struct file *f = (struct file *)source;
  if (f->fd >= 0)
    close(f->fd);
  free(f->buffer);
  free(f);
}

static const struct ingest_source_ops file_ops = {file_next, file_ack, file_close};

/* Goes to where the last life has come. A pipe starts anew, and what was done is passed over. */
static int file_seek(struct file *f, const char *path, vecdb_error *error) {
  struct stat info;
  if (f->fd < 0 || fstat(f->fd, &info))
    return ingest_fail_os(error, path);
  f->plain = S_ISREG(info.st_mode);
  if (!f->plain)
    return VECDB_OK;
  if ((uint64_t)info.st_size < f->after)
    return ingest_fail(error, VECDB_ERR_ARGUMENT,
                       "%.200s has %" PRIu64 " bytes, but was read up to %" PRIu64
                       " before: another file?",
                       path, (uint64_t)info.st_size, f->after);
  if (lseek(f->fd, (off_t)f->after, SEEK_SET) < 0)
    return ingest_fail_os(error, path);
  f->offset = f->after;
  return VECDB_OK;
}

struct ingest_source *ingest_file_open(const char *path, bool follow, uint64_t after,
                                       vecdb_error *error) {
  struct file *f = calloc(1, sizeof *f);
  char *buffer = malloc(FILE_BUFFER);
  if (!f || !buffer) {
    free(f);
    free(buffer);
    ingest_fail(error, VECDB_ERR_NO_MEMORY, "out of memory");
    return NULL;
  }
  *f = (struct file){.base = {&file_ops},
                     .follow = follow,
                     .after = after,
                     .buffer = buffer,
                     .capacity = FILE_BUFFER};
  f->fd = strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
  if (file_seek(f, path, error)) {
    file_close(&f->base);
    return NULL;
  }
  return &f->base;
}
