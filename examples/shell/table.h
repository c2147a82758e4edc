/* table.h - rows for people: aligned columns that fit the terminal, or a line per field. */
#ifndef SHELL_TABLE_H
#define SHELL_TABLE_H

#include "shell.h"

struct table {
  size_t n_columns;
  char **cells; /* the names first, then row by row */
  size_t n_cells;
  bool *right; /* columns of numbers */
};

void table_begin(struct table *table, size_t n_columns);
/* Adds the next cell: first the names of all columns, then the rows. What a terminal would take as
   more than text is replaced. */
void table_cell(struct table *table, const char *text, size_t length);
void table_puts(struct table *table, const char *text);
void table_right(struct table *table, size_t column);
/* Prints and empties it. Cells are cut so that lines fit into `width` columns; 0: no limit. */
void table_print(struct table *table, size_t width);
/* The same as "name  value" lines; wide values go on in further lines. */
void table_print_blocks(struct table *table, size_t width);

/* Empties it unprinted. */
void table_free(struct table *table);

/* The columns that a table may take now. */
size_t table_width(const struct shell *shell);

#endif
