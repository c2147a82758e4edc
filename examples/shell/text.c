/* text.c - memory, and text that grows. */
#include "text.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "vecdb.h"

static _Noreturn void mem_none(void) {
  fputs("vecdb: no memory\n", stderr);
  exit(VECDB_ERR_NO_MEMORY);
}

void *mem_new(size_t count, size_t size) {
  void *block = calloc(count ? count : 1, size ? size : 1);
  if (!block)
    mem_none();
  return block;
}

void *mem_resize(void *block, size_t count, size_t size) {
  if (size && count > SIZE_MAX / size)
    mem_none();
  size_t bytes = count * size;
  block = realloc(block, bytes ? bytes : 1);
  if (!block)
    mem_none();
  return block;
}

char *mem_copy(const char *from, size_t length) {
  char *copy = mem_new(length + 1, 1);
  if (length)
    memcpy(copy, from, length);
  return copy;
}

static void text_reserve(struct text *text, size_t more) {
  if (text->capacity - text->length > more)
    return;
  text->capacity = (text->length + more + 1) * 2;
  text->data = mem_resize(text->data, text->capacity, 1);
}

void text_add(struct text *text, const char *from, size_t length) {
  text_reserve(text, length);
  if (length)
    memcpy(text->data + text->length, from, length);
  text->length += length;
  text->data[text->length] = '\0';
}

void text_puts(struct text *text, const char *from) { text_add(text, from, strlen(from)); }

void text_printf(struct text *text, const char *format, ...) {
  va_list args;
  va_start(args, format);
  int n = vsnprintf(NULL, 0, format, args);
  va_end(args);
  if (n < 0)
    return;
  text_reserve(text, (size_t)n);
  va_start(args, format);
  vsnprintf(text->data + text->length, (size_t)n + 1, format, args);
  va_end(args);
  text->length += (size_t)n;
}

void text_clear(struct text *text) {
  text->length = 0;
  if (text->data)
    text->data[0] = '\0';
}

void text_free(struct text *text) {
  free(text->data);
  memset(text, 0, sizeof *text);
}

const char *text_string(const struct text *text) { return text->data ? text->data : ""; }

size_t text_character(const char *s, size_t n, int *width) {
  mbstate_t state;
  memset(&state, 0, sizeof state);
  wchar_t c;
  size_t used = mbrtowc(&c, s, n, &state);
  if (used == (size_t)-1 || used == (size_t)-2) {
    *width = -1;
    return 1;
  }
  *width = used ? wcwidth(c) : -1;
  return used ? used : 1;
}

size_t text_width(const char *s, size_t n) {
  size_t columns = 0;
  for (size_t i = 0; i < n;) {
    int width;
    i += text_character(s + i, n - i, &width);
    columns += width > 0 ? (size_t)width : 0;
  }
  return columns;
}
