/* text.h - memory for a program that ends when there is none, and text that grows. Sizes that come
   from files are checked before they get here. */
#ifndef SHELL_TEXT_H
#define SHELL_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* As calloc and realloc, but never NULL: without memory the program says so and ends. */
void *mem_new(size_t count, size_t size);
void *mem_resize(void *block, size_t count, size_t size);
char *mem_copy(const char *from, size_t length); /* with a NUL behind */

/* Bytes with a NUL behind them. All zero is the empty text, whose `data` is NULL. */
struct text {
  char *data;
  size_t length;
  size_t capacity;
};
void text_add(struct text *text, const char *from, size_t length);
void text_puts(struct text *text, const char *from);
void text_printf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_clear(struct text *text); /* keeps the memory */
void text_free(struct text *text);
const char *text_string(const struct text *text); /* never NULL */

/* Bytes of the character at s, at most n; invalid UTF-8 is one byte a character. *width receives
   the columns it takes on a terminal, -1 for what must not be sent there. */
size_t text_character(const char *s, size_t n, int *width);
/* Columns of printable text. */
size_t text_width(const char *s, size_t n);

#endif
