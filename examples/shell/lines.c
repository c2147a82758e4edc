/* lines.c - a file line by line, with a limit on the length of a line. */
#include "lines.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shell.h"

#define LINE_MOST    ((size_t)64 << 20)
#define LINES_BUFFER ((size_t)256 << 10) /* at first; doubled for longer lines */

int lines_open(struct lines *lines, const char *path, vecdb_error *error) {
  memset(lines, 0, sizeof *lines);
  lines->path = path;
  struct stat info;
  bool input = strcmp(path, "-") == 0;
  lines->fd = input ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
  if (lines->fd < 0)
    return fail_os(error, "%s", path);
  if (fstat(lines->fd, &info) != 0)
    return fail_os(error, "%s", path);
  if (S_ISDIR(info.st_mode))
    return fail(error, VECDB_ERR_UNSUPPORTED, "%s is a folder", path);
  lines->size = S_ISREG(info.st_mode) ? (uint64_t)info.st_size : 0;
  lines->capacity = LINES_BUFFER;
  lines->buffer = mem_new(lines->capacity, 1);
  return VECDB_OK;
}

void lines_close(struct lines *lines) {
  if (lines->path && lines->fd >= 0)
    close(lines->fd);
  free(lines->buffer);
  memset(lines, 0, sizeof *lines);
}

/* Reads more behind what is there. *got 0 at the end of the file. */
static int lines_fill(struct lines *lines, size_t *got, vecdb_error *error) {
  size_t left = lines->end - lines->begin;
  if (left > LINE_MOST)
    return fail(error, VECDB_ERR_LIMIT, "%s line %" PRIu64 " is longer than 64 MiB", lines->path,
                lines->line + 1);
  if (lines->begin)
    memmove(lines->buffer, lines->buffer + lines->begin, left);
  lines->begin = 0;
  lines->end = left;
  if (lines->end == lines->capacity) {
    lines->capacity *= 2;
    lines->buffer = mem_resize(lines->buffer, lines->capacity, 1);
  }
  ssize_t n;
  do
    n = read(lines->fd, lines->buffer + lines->end, lines->capacity - lines->end);
  while (n < 0 && errno == EINTR && !control_cancelled());
  if (n < 0)
    return control_cancelled() ? fail(error, VECDB_ERR_CANCELLED, "cancelled")
                               : fail_os(error, "%s", lines->path);
  lines->end += (size_t)n;
  *got = (size_t)n;
  return VECDB_OK;
}

int lines_next(struct lines *lines, const char **line, size_t *length, vecdb_error *error) {
  size_t looked = 0; /* bytes without a newline */
  for (;;) {
    char *from = lines->buffer + lines->begin;
    size_t left = lines->end - lines->begin, got = 0;
    char *newline = left > looked ? memchr(from + looked, '\n', left - looked) : NULL;
    looked = left;
    int status = newline ? VECDB_OK : lines_fill(lines, &got, error);
    if (status)
      return status;
    if (!newline && got)
      continue;
    from = lines->buffer + lines->begin; /* it may have moved */
    *length = newline ? (size_t)(newline - from) : left;
    *line = newline || left ? from : NULL;
    lines->begin += *length + (newline != NULL);
    lines->offset += *length + (newline != NULL);
    lines->line += *line != NULL;
    return VECDB_OK;
  }
}
