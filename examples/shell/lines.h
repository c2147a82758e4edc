/* lines.h - a file line by line, with a limit on the length of a line. */
#ifndef SHELL_LINES_H
#define SHELL_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vecdb.h"

struct lines {
  int fd;
  const char *path; /* borrowed */
  uint64_t size;    /* of the file; 0 when it is no plain file */
  uint64_t offset;  /* bytes of the lines so far */
  uint64_t line;    /* number of the last line, from 1 */
  char *buffer;
  size_t begin; /* of what is left in it */
  size_t end;
  size_t capacity;
};

/* "-" is standard input. NOT_FOUND, IO; UNSUPPORTED for a folder. */
int lines_open(struct lines *lines, const char *path, vecdb_error *error);
void lines_close(struct lines *lines);
/* The next line without its newline, borrowed until the next call; *line NULL at the end. LIMIT for
   one of more than 64 MiB. */
int lines_next(struct lines *lines, const char **line, size_t *length, vecdb_error *error);

#endif
