/* usage.h - what a command takes, read from the line that help shows, so that there is one truth.
 */
#ifndef SHELL_USAGE_H
#define SHELL_USAGE_H

#include "shell.h"

/*
 * An item of `args`. Items stand apart by spaces, or by | where one of several is wanted. In
 * brackets they may be left out; with ... behind they repeat. COLLECTION   a word with that place;
 * its name says how it is completed name=VALUE   an option FIELD=FILE   an option named as any
 * field :NAME=VALUE  any bound parameters
 */
struct usage_item {
  const char *name; /* up to = */
  size_t name_length;
  const char *value; /* behind =, or NULL */
  size_t value_length;
  bool optional;
  bool repeats;
  bool rest; /* SCHEMA: all further text, as it was written */
};

/* The next item of *args, which is advanced; false at the end. */
bool usage_next(const char **args, struct usage_item *out);
/* Whether the option of that name, n bytes, is taken; the item goes to *out. */
bool usage_option(const struct command *command, const char *name, size_t n,
                  struct usage_item *out);
/* The item in place i; the last one if it repeats. */
bool usage_place(const struct command *command, size_t i, struct usage_item *out);
/* ARGUMENT or OPTION when the words do not suit. */
int usage_check(const struct call *call, vecdb_error *error);

#endif
