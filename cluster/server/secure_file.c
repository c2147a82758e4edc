/* secure_file.c - see secure_file.h. */
#include "server/secure_file.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/config.h"

/* What is wrong with a file before it is read; NULL: nothing. */
static const char *file_fault(int fd, bool secret, struct stat *st) {
  if (fstat(fd, st) != 0)
    return strerror(errno);
  if (!S_ISREG(st->st_mode))
    return "it is no file";
  if (st->st_uid != geteuid() && st->st_uid != 0)
    return "it belongs to another user";
  if (secret && (st->st_mode & (S_IRWXG | S_IRWXO)))
    return "others may read it: it must have mode 0600";
  if (st->st_mode & (S_IWGRP | S_IWOTH))
    return "others may write it";
  return st->st_size > SRV_SECURE_FILE ? "it is larger than 1 MiB" : NULL;
}

/* Up to `room` bytes of a file; -1: it cannot be read. */
static ssize_t file_fill(int fd, char *out, size_t room) {
  size_t got = 0;
  while (got < room) {
    ssize_t n = read(fd, out + got, room - got);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return -1;
    if (n == 0)
      break;
    got += (size_t)n;
  }
  return (ssize_t)got;
}

char *srv_secure_file(const char *path, bool secret, size_t *n, char *error) {
  struct stat st;
  char *text = NULL;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  const char *fault = fd < 0 ? strerror(errno) : file_fault(fd, secret, &st);
  if (!fault) {
    text = malloc(SRV_SECURE_FILE + 1);
    ssize_t got = text ? file_fill(fd, text, SRV_SECURE_FILE) : -1;
    if (got < 0)
      fault = "it cannot be read";
    else if (memchr(text, '\0', (size_t)got))
      fault = "it is no text";
    else
      text[*n = (size_t)got] = '\0';
  }
  if (fd >= 0)
    close(fd);
  if (!fault)
    return text;
  free(text);
  snprintf(error, SRV_CONFIG_ERROR, "%.200s: %s", path, fault);
  return NULL;
}

void srv_file_stamp(const char *path, struct srv_file_stamp *out) {
  struct stat st;
  *out = (struct srv_file_stamp){0};
  if (stat(path, &st) == 0)
    *out = (struct srv_file_stamp){st.st_ino, st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec};
}

/* ---- Sections -------------------------------------------------------------------------------- */

/* The text between two places without the blanks around it, cut off in place. */
static char *ini_trim(char *from, char *to) {
  while (from < to && isspace((unsigned char)*from))
    from++;
  while (to > from && isspace((unsigned char)to[-1]))
    to--;
  *to = '\0';
  return from;
}

/* Takes a line that is neither blank nor a comment. */
static bool ini_line(char *line, char **section, srv_ini_take *take, void *user, char *error) {
  size_t n = strlen(line);
  if (line[0] == '[' && line[n - 1] == ']') {
    *section = ini_trim(line + 1, line + n - 1);
    return true;
  }
  char *equals = strchr(line, '=');
  if (equals && equals > line && *section) {
    char *value = ini_trim(equals + 1, line + n);
    return take(user, *section, ini_trim(line, equals), value, error);
  }
  snprintf(error, SRV_CONFIG_ERROR, "neither [section] nor key = value of a section");
  return false;
}

/* The reader of the settings file cuts lines and names that are long, which must not happen to
   grants; so these files have a reader of their own. */
bool srv_ini_read(const char *path, const char *text, srv_ini_take *take, void *user, char *error) {
  char why[SRV_CONFIG_ERROR] = "out of memory";
  char *copy = strdup(text), *section = NULL, *next = copy;
  bool good = copy != NULL;
  unsigned number = 0;
  while (good && next) {
    char *line = next, *end = strchr(line, '\n');
    next = end ? end + 1 : NULL;
    line = ini_trim(line, end ? end : line + strlen(line));
    number++;
    good = !*line || *line == ';' || *line == '#' || ini_line(line, &section, take, user, why);
  }
  free(copy);
  if (!good)
    snprintf(error, SRV_CONFIG_ERROR, "%.200s, line %u: %.400s", path, number, why);
  return good;
}
