/* keyfile.h - keys for encrypted databases, from a text file: a name and 64 hexadecimal digits a
   line, # begins a comment. New databases take the first. */
#ifndef SHELL_KEYFILE_H
#define SHELL_KEYFILE_H

#include "shell.h"

struct keyfile_key {
  char name[VECDB_MAX_NAME + 1];
  uint8_t key[VECDB_KEY_BYTES];
};

struct keyfile {
  struct keyfile_key *keys;
  size_t n;
  vecdb_encryption encryption; /* that gives these keys */
};

/* Reads the file; NOT_FOUND, IO, or KEY with the number of the line. `out` stays where it is, and
   is closed also after a failure. */
int keyfile_open(struct keyfile *out, const char *path, vecdb_error *error);
/* Wipes the keys. */
void keyfile_close(struct keyfile *file);

#endif
