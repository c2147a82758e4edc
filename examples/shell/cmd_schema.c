/* cmd_schema.c - commands about collections and their indexes. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "schema.h"
#include "table.h"
#include "value.h"

static int open_database(struct shell *shell, vecdb_error *error) {
  if (shell->db)
    return VECDB_OK;
  if (!shell->path)
    return need_database(shell, error);
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.flags = shell->flags;
  options.encryption = shell->encryption;
  return vecdb_open(shell->path, &options, &shell->db, error);
}

int cmd_create(struct shell *shell, const struct call *call, vecdb_error *error) {
  struct schema schema;
  int status = schema_parse(call->rest, &schema, error);
  if (!status)
    status = open_database(shell, error);
  if (!status)
    status = vecdb_collection_create(shell->db, call->place[0], &schema.schema, NULL, error);
  schema_free(&schema);
  return status;
}

int cmd_drop(struct shell *shell, const struct call *call, vecdb_error *error) {
  int status = need_database(shell, error);
  return status ? status : vecdb_collection_drop(shell->db, call->place[0], error);
}

/* ---- list ---- */

struct list {
  char **names;
  size_t n;
};

static int list_name(void *user, const char *name) {
  struct list *list = user;
  list->names = mem_resize(list->names, list->n + 1, sizeof *list->names);
  list->names[list->n++] = mem_copy(name, strlen(name));
  return 0;
}

/* The row of one collection; one that has just been dropped has none. */
static int list_one(const struct shell *shell, const char *name, struct table *table,
                    vecdb_error *error) {
  vecdb_collection *collection;
  vecdb_stats stats = VECDB_STATS_INIT;
  int status = vecdb_collection_get(shell->db, name, &collection, error);
  if (status)
    return status == VECDB_ERR_NOT_FOUND ? VECDB_OK : status;
  status = vecdb_collection_stats(collection, &stats, error);
  const vecdb_schema *schema = vecdb_collection_schema(collection);
  char text[32];
  if (!status && shell->json) {
    printf("{\"collection\": \"%s\", \"rows\": %" PRIu64 ", \"bytes\": %" PRIu64
           ", \"fields\": %" PRIu32 "}\n",
           name, stats.rows, stats.bytes_files + stats.bytes_memory, schema->n_fields);
  } else if (!status) {
    table_puts(table, name);
    table_puts(table, number_text(stats.rows, text));
    table_puts(table, bytes_text(stats.bytes_files + stats.bytes_memory, text));
    struct text fields = {0};
    for (uint32_t i = 0; i < schema->n_fields; i++)
      text_printf(&fields, "%s%s", i ? ", " : "", schema->fields[i].name);
    table_puts(table, text_string(&fields));
    text_free(&fields);
  }
  vecdb_collection_release(collection);
  return status;
}

int cmd_list(struct shell *shell, const struct call *call, vecdb_error *error) {
  (void)call;
  struct list list = {NULL, 0};
  int status = need_database(shell, error);
  if (!status)
    status = vecdb_collection_list(shell->db, list_name, &list, error);
  struct table table;
  table_begin(&table, 4);
  table_puts(&table, "collection");
  table_puts(&table, "rows");
  table_puts(&table, "size");
  table_puts(&table, "fields");
  table_right(&table, 1);
  table_right(&table, 2);
  for (size_t i = 0; i < list.n; i++) {
    status = status ? status : list_one(shell, list.names[i], &table, error);
    free(list.names[i]);
  }
  free(list.names);
  if (!status && !shell->json && !list.n)
    printf("No collections yet; `help create` says how to make one.\n");
  if (!status && !shell->json && list.n)
    table_print(&table, table_width(shell));
  table_free(&table);
  return status;
}

int cmd_schema(struct shell *shell, const struct call *call, vecdb_error *error) {
  vecdb_collection *collection;
  int status = call_collection(shell, call, &collection, error);
  if (status)
    return status;
  const vecdb_schema *schema = vecdb_collection_schema(collection);
  struct text line = {0};
  schema_line(&line, schema);
  if (shell->json) {
    struct text out = {0};
    text_puts(&out, "{\"collection\": ");
    put_string(&out, call->place[0], strlen(call->place[0]));
    text_puts(&out, ", \"schema\": ");
    put_string(&out, text_string(&line), line.length);
    printf("%s}\n", text_string(&out));
    text_free(&out);
  } else {
    printf("create %s %s\n", call->place[0], text_string(&line));
  }
  text_free(&line);
  vecdb_collection_release(collection);
  return VECDB_OK;
}

/* ---- Indexes ---- */

int cmd_index_create(struct shell *shell, const struct call *call, vecdb_error *error) {
  vecdb_collection *collection;
  vecdb_index_params params = VECDB_INDEX_PARAMS_INIT;
  vecdb_json_index json;
  int status = call_collection(shell, call, &collection, error);
  if (status)
    return status;
  bool path = call->n_places > 2 && schema_json_index(call->place[2], &json);
  if (path)
    status = vecdb_json_index_create(collection, call->place[1], &json,
                                     control_begin("indexing"), error);
  else if (call->n_places > 2)
    status = vecdb_index_params_parse(call->place[2], &params, error);
  if (!status && !path)
    status =
        vecdb_index_create(collection, call->place[1], &params, control_begin("indexing"), error);
  control_end();
  vecdb_collection_release(collection);
  return status;
}

int cmd_index_drop(struct shell *shell, const struct call *call, vecdb_error *error) {
  vecdb_collection *collection;
  int status = call_collection(shell, call, &collection, error);
  if (status)
    return status;
  vecdb_json_index json;
  if (call->n_places < 3) {
    status = vecdb_index_drop(collection, call->place[1], error);
  } else {
    if (!schema_json_index(call->place[2], &json))
      json = (vecdb_json_index){call->place[2], 0};
    status = vecdb_json_index_drop(collection, call->place[1], &json, control_begin("dropping"),
                                   error);
    control_end();
  }
  vecdb_collection_release(collection);
  return status;
}

struct index_list {
  const struct shell *shell;
  const char *field;
  struct table table;
};

static int index_visit(void *user, const vecdb_segment_index *index) {
  struct index_list *list = user;
  const char *name = vecdb_index_type_name(index->params.type);
  char text[32];
  /* Of the widest search that was measured. */
  const vecdb_recall_point *last = index->n_points ? &index->points[index->n_points - 1] : NULL;
  if (list->shell->json) {
    printf("{\"field\": \"%s\", \"segment\": %" PRIu64 ", \"type\": \"%s\", \"rows\": %" PRIu64
           ", \"bytes_file\": %" PRIu64 ", \"bytes_memory\": %" PRIu64 ", \"points\": [",
           list->field, index->segment, name ? name : "?", index->rows, index->bytes_file,
           index->bytes_memory);
    for (uint32_t i = 0; i < index->n_points; i++)
      printf("%s{\"%s\": %" PRIu32 ", \"distances\": %g, \"recall_10\": %g}", i ? ", " : "",
             index->probes ? "nprobe" : "ef", index->points[i].effort,
             (double)index->points[i].distances, (double)index->points[i].recall_10);
    printf("]}\n");
    return 0;
  }
  table_puts(&list->table, list->field);
  snprintf(text, sizeof text, "%" PRIu64, index->segment);
  table_puts(&list->table, text);
  table_puts(&list->table, name ? name : "?");
  table_puts(&list->table, number_text(index->rows, text));
  table_puts(&list->table, bytes_text(index->bytes_file, text));
  table_puts(&list->table, bytes_text(index->bytes_memory, text));
  snprintf(text, sizeof text, "%.3f", last ? (double)last->recall_10 : 1.0);
  table_puts(&list->table, last ? text : "exact");
  return 0;
}

int cmd_index_list(struct shell *shell, const struct call *call, vecdb_error *error) {
  static const char *const columns[] = {"field", "segment", "type",          "rows",
                                        "file",  "memory",  "best recall@10"};
  vecdb_collection *collection;
  int status = call_collection(shell, call, &collection, error);
  if (status)
    return status;
  const vecdb_schema *schema = vecdb_collection_schema(collection);
  struct index_list list = {.shell = shell};
  table_begin(&list.table, 7);
  for (size_t i = 0; i < 7; i++)
    table_puts(&list.table, columns[i]);
  for (size_t i = 3; i < 7; i++)
    table_right(&list.table, i);
  if (call->n_places > 1) {
    list.field = call->place[1];
    status = vecdb_index_list(collection, list.field, index_visit, &list, error);
  }
  for (uint32_t i = 0; i < schema->n_fields && call->n_places < 2 && !status; i++) {
    list.field = schema->fields[i].name;
    int32_t type = schema->fields[i].type;
    if (type_is_vector(type) && type != VECDB_SPARSE_VECTOR)
      status = vecdb_index_list(collection, list.field, index_visit, &list, error);
  }
  bool none = list.table.n_cells == list.table.n_columns;
  if (!status && none && !shell->json)
    printf("No segment has an index: searches compare every row. `compact` makes segments.\n");
  if (!status && !none)
    table_print(&list.table, table_width(shell));
  table_free(&list.table);
  vecdb_collection_release(collection);
  return status;
}
