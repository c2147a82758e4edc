/* table.c - rows for people: aligned columns that fit the terminal, or a line per field. */
#include "table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define COLUMN_LEAST 8 /* a column is not cut below that */
#define GAP          2 /* between columns */

void table_begin(struct table *table, size_t n_columns) {
  memset(table, 0, sizeof *table);
  table->n_columns = n_columns;
  table->right = mem_new(n_columns, sizeof *table->right);
}

void table_cell(struct table *table, const char *text, size_t length) {
  struct text clean = {0};
  for (size_t i = 0; i < length;) {
    int width;
    size_t used = text_character(text + i, length - i, &width);
    if (width >= 0)
      text_add(&clean, text + i, used);
    else
      text_puts(&clean, strchr("\n\r\t", text[i]) && text[i] ? " " : "?");
    i += used;
  }
  table->cells = mem_resize(table->cells, table->n_cells + 1, sizeof *table->cells);
  table->cells[table->n_cells++] = mem_copy(text_string(&clean), clean.length);
  text_free(&clean);
}

void table_puts(struct table *table, const char *text) { table_cell(table, text, strlen(text)); }

void table_right(struct table *table, size_t column) { table->right[column] = true; }

void table_free(struct table *table) {
  for (size_t i = 0; i < table->n_cells; i++)
    free(table->cells[i]);
  free(table->cells);
  free(table->right);
  memset(table, 0, sizeof *table);
}

/* Bytes of s that fit into `columns`. */
static size_t table_fit(const char *s, size_t columns) {
  size_t i = 0, n = strlen(s), used = 0;
  while (i < n) {
    int width;
    size_t bytes = text_character(s + i, n - i, &width);
    if (used + (width > 0 ? (size_t)width : 0) > columns)
      break;
    used += width > 0 ? (size_t)width : 0;
    i += bytes;
  }
  return i;
}

static void table_pad(size_t n) { printf("%*s", (int)n, ""); }

/* One cell, cut to its column; nothing is padded behind the last one. */
static void table_one(const char *cell, size_t width, bool right, bool last) {
  size_t columns = text_width(cell, strlen(cell));
  if (columns > width) {
    size_t bytes = table_fit(cell, width - 1);
    size_t used = text_width(cell, bytes);
    printf("%.*s\xe2\x80\xa6", (int)bytes, cell); /* an ellipsis */
    columns = used + 1;
  } else {
    if (right)
      table_pad(width - columns);
    fputs(cell, stdout);
  }
  if (last)
    return;
  if (!right || columns > width)
    table_pad(width - columns);
  table_pad(GAP);
}

/* Takes columns from the widest one until the lines fit. */
static void table_shrink(size_t *widths, size_t n, size_t limit) {
  for (;;) {
    size_t sum = GAP * (n - 1), widest = 0;
    for (size_t c = 0; c < n; c++) {
      sum += widths[c];
      if (widths[c] > widths[widest])
        widest = c;
    }
    if (sum <= limit || widths[widest] <= COLUMN_LEAST)
      return;
    widths[widest]--;
  }
}

void table_print(struct table *table, size_t width) {
  size_t n = table->n_columns;
  size_t *widths = mem_new(n, sizeof *widths);
  for (size_t i = 0; i < table->n_cells; i++) {
    size_t columns = text_width(table->cells[i], strlen(table->cells[i]));
    if (columns > widths[i % n])
      widths[i % n] = columns;
  }
  if (width)
    table_shrink(widths, n, width);
  for (size_t i = 0; i < table->n_cells; i++) {
    size_t c = i % n;
    table_one(table->cells[i], widths[c], table->right[c], c == n - 1);
    if (c == n - 1)
      putchar('\n');
    if (i == n - 1) { /* a rule below the names */
      for (size_t j = 0; j < n; j++) {
        for (size_t k = 0; k < widths[j]; k++)
          putchar('-');
        if (j < n - 1)
          table_pad(GAP);
      }
      putchar('\n');
    }
  }
  free(widths);
  table_free(table);
}

/* A value in lines of at most `room` columns, broken at spaces where there are some. */
static void table_wrap(const char *s, size_t indent, size_t room) {
  for (bool first = true; *s || first; first = false) {
    size_t bytes = room ? table_fit(s, room) : strlen(s);
    if (s[bytes]) {
      size_t cut = bytes;
      while (cut && s[cut] != ' ')
        cut--;
      bytes = cut ? cut : bytes;
    }
    if (!first)
      table_pad(indent);
    printf("%.*s\n", (int)bytes, s);
    s += bytes;
    while (*s == ' ')
      s++;
  }
}

void table_print_blocks(struct table *table, size_t width) {
  size_t n = table->n_columns, names = 0;
  for (size_t c = 0; c < n; c++) {
    size_t columns = text_width(table->cells[c], strlen(table->cells[c]));
    names = columns > names ? columns : names;
  }
  size_t indent = names + GAP;
  size_t room = width > indent + COLUMN_LEAST ? width - indent : 0;
  for (size_t i = n; i < table->n_cells; i++) {
    const char *name = table->cells[i % n];
    fputs(name, stdout);
    table_pad(indent - text_width(name, strlen(name)));
    table_wrap(table->cells[i], indent, room);
    if (i % n == n - 1 && i + 1 < table->n_cells)
      putchar('\n');
  }
  table_free(table);
}

size_t table_width(const struct shell *shell) {
  struct winsize size;
  if (shell->width)
    return shell->width;
  if (!isatty(STDOUT_FILENO))
    return 0;
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col)
    return size.ws_col;
  return 80;
}
