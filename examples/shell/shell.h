/*
 * shell.h - what the parts of the shell share: its state, a parsed command, errors, and the control
 * of long calls. The parts, from the bottom up:
 *   text      memory and text            words    a line into commands, a command into words
 *   value     values as text and JSON    usage    what a command takes, read from its help line
 *   table     rows for people            schema   a schema line into a schema, and back
 *   vecfile   files of vectors           rows     JSON and files of vectors into batches
 *   embed     text into a vector         cmd_*    the commands, by subject
 *   keyfile   keys of databases
 *   command   the table of commands      edit     the prompt: history and completion
 */
#ifndef SHELL_H
#define SHELL_H

#include <stdbool.h>
#include <stdint.h>

#include "text.h"
#include "vecdb.h"

struct shell {
  vecdb *db; /* NULL: there is none yet; `create` makes it */
  const char *path;
  uint32_t flags;   /* of opening */
  bool interactive; /* a person at a prompt */
  bool json;        /* one JSON value per line instead of tables */
  bool keep_going;  /* after a command that failed */
  bool quit;
  bool timing;
  uint32_t width; /* columns of a table; 0: the terminal's */
  char *embed_url;
  char *model;
  const vecdb_encryption *encryption; /* of --key-file; NULL: none */
};

/* ---- Errors ---- */

/* Fills *error and returns the code. */
int fail(vecdb_error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* As fail, with the text of errno behind the message and IO, NOT_FOUND or DISK_FULL as its code. */
int fail_os(vecdb_error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Says on stderr what is wrong, as the shell's output is set. */
void report(const struct shell *shell, const vecdb_error *error);

/* ---- Long calls ---- */

/* The control of a long call that is called `what` in its progress bar. Ctrl-C cancels it. One call
   at a time; it is over with control_end, which takes the bar away. */
const vecdb_control *control_begin(const char *what);
void control_end(void);
/* Shows the name of the call at once: for one that lasts and does not tell how far it is. */
void control_show(void);
/* Draws the bar of work that the shell does itself: `done` of `total` (0: unknown), in `unit`.
   CANCELLED when Ctrl-C was pressed. */
int control_step(uint64_t done, uint64_t total, const char *unit, vecdb_error *error);
/* Installs the handler of Ctrl-C, and makes it cancel the command that runs from here on. */
void control_install(bool interactive);
void control_command(bool running);
bool control_cancelled(void);
double control_seconds(void); /* a clock that never goes back */

/* ---- Commands ---- */

struct argument {
  char *name; /* with the colon of bound parameters */
  char *value;
};

/* A command's words. Options are NAME=VALUE and :NAME=VALUE; all other words have a place. */
struct call {
  const struct command *command;
  char **place;
  size_t n_places;
  struct argument *options;
  size_t n_options;
  const char *rest; /* the text behind the first place, as it was written */
};

struct command {
  const char *name; /* one or two words */
  const char *args; /* in help; also says what is accepted and completed: usage.h */
  const char *line; /* what it does */
  int (*run)(struct shell *shell, const struct call *call, vecdb_error *error);
  const char *more; /* further lines of `help NAME`; may be NULL */
};

/* All commands, in the order of `help`; the last has no name. */
extern const struct command commands[];

/* Runs the commands of a text. Returns the code of the first that failed, whose error has been
   reported, and stops there unless it is to keep going. */
int command_run(struct shell *shell, const char *text);

/* The value of an option, or NULL. */
const char *call_option(const struct call *call, const char *name);
/* A whole number from `least` to `most`; RANGE otherwise, and `otherwise` when it was not given. */
int call_number(const struct call *call, const char *name, uint64_t least, uint64_t most,
                uint64_t otherwise, uint64_t *out, vecdb_error *error);
/* A number; *out stays as it is when it was not given. */
int call_real(const struct call *call, const char *name, double *out, vecdb_error *error);
/* Which of n words the option is; *out stays as it is when it was not given. OPTION otherwise. */
int call_choice(const struct call *call, const char *name, const char *const *words, int32_t n,
                int32_t *out, vecdb_error *error);
/* yes, no, on, off, true, false, 1, 0. */
int parse_switch(const char *text, bool *out, vecdb_error *error);

/* The collection in the first place, to be released. */
int call_collection(const struct shell *shell, const struct call *call, vecdb_collection **out,
                    vecdb_error *error);
/* NOT_FOUND as long as there is no database. */
int need_database(const struct shell *shell, vecdb_error *error);

/* ---- The prompt ---- */

/* Reads commands at a terminal until its end. */
void edit_run(struct shell *shell);
/* Candidates for the word that ends a line; the caller's `add` gets each, whole. *start receives
   where in the line the word begins that they would replace. */
void complete(const struct shell *shell, const char *line, size_t length, size_t *start,
              void (*add)(void *user, const char *candidate), void *user);

#endif
