/* print.c - rows and numbers, for people or as JSON. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "rows.h"
#include "table.h"
#include "value.h"

int fields_read(const struct call *call, const vecdb_schema *schema, const char **names, size_t *n,
                char **memory, vecdb_error *error) {
  const char *wanted = call_option(call, "fields");
  *n = 0;
  *memory = NULL;
  if (!wanted || strcmp(wanted, "*") == 0) {
    for (uint32_t i = 0; i < schema->n_fields; i++)
      if (wanted || !type_is_vector(schema->fields[i].type))
        names[(*n)++] = schema->fields[i].name;
    return VECDB_OK;
  }
  *memory = mem_copy(wanted, strlen(wanted));
  char *rest = NULL;
  for (char *name = strtok_r(*memory, ", ", &rest); name; name = strtok_r(NULL, ", ", &rest)) {
    if (schema_find(schema, name) < 0)
      return fail(error, VECDB_ERR_UNKNOWN_FIELD, "no field '%.80s'", name);
    if (*n == VECDB_MAX_FIELDS)
      return fail(error, VECDB_ERR_LIMIT, "more than %d fields", VECDB_MAX_FIELDS);
    names[(*n)++] = name;
  }
  return VECDB_OK;
}

static bool value_is_number(const vecdb_value *v) {
  return v->type >= VECDB_INT8 && v->type <= VECDB_DOUBLE;
}

static void rows_print_table(const struct shell *shell, const vecdb_rows *rows,
                             const vecdb_hit *hits, size_t n, bool blocks) {
  struct table table;
  struct text cell = {0};
  size_t fields = vecdb_rows_n_fields(rows), before = hits ? 1 : 0;
  table_begin(&table, fields + before);
  if (hits) {
    table_puts(&table, "score");
    table_right(&table, 0);
  }
  for (size_t c = 0; c < fields; c++)
    table_puts(&table, vecdb_rows_field(rows, c));
  for (size_t i = 0; i < n; i++) {
    if (hits) {
      char score[32];
      snprintf(score, sizeof score, "%.4f", (double)hits[i].score);
      table_puts(&table, score);
    }
    for (size_t c = 0; c < fields; c++) {
      vecdb_value v = vecdb_rows_value(rows, hits ? hits[i].row : i, c);
      if (value_is_number(&v))
        table_right(&table, c + before);
      text_clear(&cell);
      put_cell(&cell, &v);
      table_cell(&table, text_string(&cell), cell.length);
    }
  }
  text_free(&cell);
  if (blocks)
    table_print_blocks(&table, table_width(shell));
  else
    table_print(&table, table_width(shell));
}

void rows_print(const struct shell *shell, const vecdb_rows *rows, const vecdb_hit *hits, size_t n,
                bool blocks) {
  if (!shell->json) {
    if (n)
      rows_print_table(shell, rows, hits, n, blocks);
    return;
  }
  struct text line = {0};
  for (size_t i = 0; i < n; i++) {
    text_clear(&line);
    if (hits) {
      text_puts(&line, "{\"score\": ");
      put_float(&line, hits[i].score);
      text_puts(&line, ", \"row\": ");
    }
    for (size_t c = 0; c < vecdb_rows_n_fields(rows); c++) {
      const char *name = vecdb_rows_field(rows, c);
      vecdb_value v = vecdb_rows_value(rows, hits ? hits[i].row : i, c);
      text_puts(&line, c ? ", " : "{");
      put_string(&line, name, strlen(name));
      text_puts(&line, ": ");
      put_value(&line, &v);
    }
    text_puts(&line, hits ? "}}\n" : "}\n");
    fwrite(line.data, 1, line.length, stdout);
  }
  text_free(&line);
}

const char *number_text(uint64_t n, char out[32]) {
  char digits[24];
  size_t length = (size_t)snprintf(digits, sizeof digits, "%" PRIu64, n), at = 0;
  for (size_t i = 0; i < length; i++) {
    if (i && (length - i) % 3 == 0)
      out[at++] = ',';
    out[at++] = digits[i];
  }
  out[at] = '\0';
  return out;
}

const char *bytes_text(uint64_t n, char out[32]) {
  static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double x = (double)n;
  size_t unit = 0;
  while (x >= 1024 && unit < 4) {
    x /= 1024;
    unit++;
  }
  snprintf(out, 32, unit ? "%.1f %s" : "%.0f %s", x, units[unit]);
  return out;
}
