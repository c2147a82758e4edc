/* rows.c - rows as columns; see rows.h. */
#include "node/rows.h"

static const char *rows_name(const void *arg, size_t column) {
  return vecdb_rows_field(arg, column);
}

static vecdb_value rows_value(const void *arg, size_t row, size_t column) {
  return vecdb_rows_value(arg, row, column);
}

bool rows_columns(const vecdb_rows *rows, struct wire_mem *mem, struct wire_columns *out) {
  const struct wire_table table = {rows, (uint32_t)vecdb_rows_count(rows),
                                   (uint32_t)vecdb_rows_n_fields(rows), rows_name, rows_value};
  return wire_columns_of_table(&table, mem, out);
}
