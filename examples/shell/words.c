/* words.c - a line into commands, and a command into words. */
#include "words.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

/* Where in quotes and brackets a scan is. */
struct place {
  char quote;
  size_t depth;
};

/* Moves over the character at s[i]; returns the index behind it. */
static size_t place_step(struct place *place, const char *s, size_t n, size_t i) {
  char c = s[i];
  if (place->quote) {
    if (c == '\\' && (place->quote == '"' || place->depth) && i + 1 < n)
      return i + 2;
    if (c == place->quote)
      place->quote = 0;
  } else if (c == '"' || c == '\'') {
    place->quote = c;
  } else if (strchr("([{", c)) {
    place->depth++;
  } else if (strchr(")]}", c) && place->depth) {
    place->depth--;
  }
  return i + 1;
}

static bool place_outside(const struct place *place) { return !place->quote && !place->depth; }

static size_t words_comment(const char *s, size_t n, size_t i) {
  while (i < n && s[i] != '\n')
    i++;
  return i;
}

size_t words_command(const char *text, bool *open) {
  size_t n = strlen(text);
  struct place place = {0, 0};
  size_t i = 0;
  bool begins = true; /* a word could */
  while (i < n) {
    char c = text[i];
    bool outside = place_outside(&place);
    if (outside && (c == ';' || c == '\n'))
      break;
    if (outside && begins && c == '#') {
      i = words_comment(text, n, i);
      continue;
    }
    begins = isspace((unsigned char)c) != 0;
    i = place_step(&place, text, n, i);
  }
  *open = !place_outside(&place);
  return i;
}

bool words_open(const char *text) {
  bool open;
  for (size_t n = words_command(text, &open); text[n]; n = words_command(text, &open))
    text += n + 1;
  return open;
}

/* Reads the word at s[i]; returns the index behind it. */
static size_t words_read(const char *s, size_t n, size_t i, struct word *out) {
  struct text text = {0};
  struct place place = {0, 0};
  out->start = i;
  out->quoted = s[i] == '"' || s[i] == '\'';
  while (i < n && !(place_outside(&place) && isspace((unsigned char)s[i]))) {
    char before = place.quote;
    bool bare = place.depth == 0;
    size_t next = place_step(&place, s, n, i);
    bool is_quote = bare && before != place.quote;
    bool escape = bare && before == '"' && next == i + 2 && strchr("\"\\", s[i + 1]);
    if (escape)
      text_add(&text, s + i + 1, 1);
    else if (!is_quote)
      text_add(&text, s + i, next - i);
    i = next;
  }
  out->end = i;
  out->text = mem_copy(text_string(&text), text.length);
  text_free(&text);
  return i;
}

void words_split(const char *command, size_t length, struct words *out) {
  out->word = NULL;
  out->n = 0;
  size_t i = 0;
  for (;;) {
    while (i < length && isspace((unsigned char)command[i]))
      i++;
    if (i < length && command[i] == '#') {
      i = words_comment(command, length, i);
      continue;
    }
    if (i >= length)
      return;
    out->word = mem_resize(out->word, out->n + 1, sizeof *out->word);
    i = words_read(command, length, i, &out->word[out->n++]);
  }
}

void words_free(struct words *words) {
  for (size_t i = 0; i < words->n; i++)
    free(words->word[i].text);
  free(words->word);
  words->word = NULL;
  words->n = 0;
}
