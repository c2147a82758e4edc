/* words.h - a line into commands, and a command into words. */
#ifndef SHELL_WORDS_H
#define SHELL_WORDS_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes of the command that begins the text, up to a `;` or a newline outside of quotes and
   brackets, or the end. `#` where a word could begin starts a comment up to the end of the line.
   *open says whether a quote or bracket is open at the end, which wants further lines. */
size_t words_command(const char *text, bool *open);

/* Whether the last command of a text has an open quote or bracket. */
bool words_open(const char *text);

struct word {
  char *text;   /* without its quotes */
  size_t start; /* where it was written */
  size_t end;
  bool quoted; /* it began with a quote: never an option */
};

struct words {
  struct word *word;
  size_t n;
};

/*
 * Splits a command at white space. Quotes of both kinds hold words together and are taken away; in
 * double ones \" and \\ stand for " and \. Brackets of all kinds also hold words together, and what
 * is within is left as it is, quotes too: so JSON and filters need no quotes around them.
 */
void words_split(const char *command, size_t length, struct words *out);
void words_free(struct words *words);

#endif
