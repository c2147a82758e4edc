/* cmd_admin.c - commands about the database as a whole, and the upkeep of collections. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "filter.h"
#include "table.h"
#include "value.h"

/* Pairs of a name and a value: lines for people, or one JSON object. */
struct pairs {
  const struct shell *shell;
  struct text json;
  size_t names; /* columns of the longest name */
};

static void pairs_text(struct pairs *p, const char *name, const char *value) {
  if (!p->shell->json) {
    printf("%-18s %s\n", name, value);
    return;
  }
  text_printf(&p->json, "%s\"%s\": ", p->json.length ? ", " : "{", name);
  put_string(&p->json, value, strlen(value));
}

static void pairs_number(struct pairs *p, const char *name, uint64_t n, bool bytes) {
  char text[32];
  if (p->shell->json)
    text_printf(&p->json, "%s\"%s\": %" PRIu64, p->json.length ? ", " : "{", name, n);
  else
    printf("%-18s %s\n", name, bytes ? bytes_text(n, text) : number_text(n, text));
}

static void pairs_end(struct pairs *p) {
  if (p->shell->json)
    printf("%s}\n", text_string(&p->json));
  text_free(&p->json);
}

/* ---- info, stats ---- */

struct info_sum {
  const struct shell *shell;
  uint64_t collections, rows, bytes, wal, jobs;
  int status;
  vecdb_error *error;
};

static int info_visit(void *user, const char *name) {
  struct info_sum *sum = user;
  vecdb_collection *collection;
  vecdb_stats stats = VECDB_STATS_INIT;
  int status = vecdb_collection_get(sum->shell->db, name, &collection, sum->error);
  if (status == VECDB_ERR_NOT_FOUND) /* dropped meanwhile */
    return 0;
  if (!status) {
    status = vecdb_collection_stats(collection, &stats, sum->error);
    vecdb_collection_release(collection);
  }
  sum->collections++;
  sum->rows += stats.rows;
  sum->bytes += stats.bytes_files + stats.bytes_memory;
  sum->wal = stats.bytes_wal;
  sum->jobs += stats.jobs_pending;
  sum->status = status;
  return status;
}

/* Bytes from the allocator, and what they are for. */
static int info_memory(const struct shell *shell, struct pairs *pairs, vecdb_error *error) {
  vecdb_memory m = VECDB_MEMORY_INIT;
  int status = shell->db ? vecdb_memory_stats(shell->db, &m, error) : VECDB_OK;
  const struct {
    const char *name;
    uint64_t bytes;
  } parts[] = {{"memory", m.total},           {"memory_rows", m.rows},
               {"memory_writes", m.writes},   {"memory_files", m.files},
               {"memory_indexes", m.indexes}, {"memory_builds", m.builds},
               {"memory_searches", m.searches}, {"memory_results", m.results},
               {"memory_other", m.other}};
  for (size_t i = 0; !status && i < sizeof parts / sizeof *parts; i++)
    pairs_number(pairs, parts[i].name, parts[i].bytes, true);
  return status;
}

int cmd_info(struct shell *shell, const struct call *call, vecdb_error *error) {
  (void)call;
  struct info_sum sum = {.shell = shell, .error = error};
  if (shell->db) {
    int status = vecdb_collection_list(shell->db, info_visit, &sum, error);
    if (status || sum.status)
      return status ? status : sum.status;
  }
  struct pairs pairs = {.shell = shell};
  pairs_text(&pairs, "database", shell->path ? shell->path : "none");
  pairs_text(&pairs, "state",
             !shell->db                       ? "not made yet"
             : shell->flags & VECDB_READ_ONLY ? "open for reading"
                                              : "open");
  pairs_text(&pairs, "version", vecdb_version());
  pairs_number(&pairs, "format", VECDB_FORMAT_VERSION, false);
  pairs_text(&pairs, "kernels", vecdb_kernels());
  pairs_number(&pairs, "collections", sum.collections, false);
  pairs_number(&pairs, "rows", sum.rows, false);
  pairs_number(&pairs, "bytes", sum.bytes, true);
  pairs_number(&pairs, "log_bytes", sum.wal, true);
  pairs_number(&pairs, "jobs", sum.jobs, false);
  int status = info_memory(shell, &pairs, error);
  pairs_end(&pairs);
  return status;
}

int cmd_stats(struct shell *shell, const struct call *call, vecdb_error *error) {
  vecdb_collection *collection;
  vecdb_stats s = VECDB_STATS_INIT;
  int status = call_collection(shell, call, &collection, error);
  if (status)
    return status;
  status = vecdb_collection_stats(collection, &s, error);
  vecdb_collection_release(collection);
  if (status)
    return status;
  struct pairs pairs = {.shell = shell};
  pairs_text(&pairs, "collection", call->place[0]);
  pairs_number(&pairs, "rows", s.rows, false);
  pairs_number(&pairs, "rows_deleted", s.rows_deleted, false);
  pairs_number(&pairs, "segments_growing", s.segments_growing, false);
  pairs_number(&pairs, "segments_sealed", s.segments_sealed, false);
  pairs_number(&pairs, "segments_indexed", s.segments_indexed, false);
  pairs_number(&pairs, "bytes_files", s.bytes_files, true);
  pairs_number(&pairs, "bytes_index", s.bytes_index, true);
  pairs_number(&pairs, "bytes_growing", s.bytes_memory, true);
  pairs_number(&pairs, "bytes_log", s.bytes_wal, true);
  pairs_number(&pairs, "bytes_allocated", s.bytes_allocated, true);
  pairs_number(&pairs, "searches", s.searches, false);
  pairs_number(&pairs, "jobs_pending", s.jobs_pending, false);
  pairs_end(&pairs);
  return VECDB_OK;
}

/* ---- check, backup, restore ---- */

static void check_line(void *user, const char *line) {
  const struct shell *shell = user;
  control_end();
  if (!shell->json) {
    printf("%s\n", line);
    return;
  }
  struct text out = {0};
  text_puts(&out, "{\"fault\": ");
  put_string(&out, line, strlen(line));
  printf("%s}\n", text_string(&out));
  text_free(&out);
}

int cmd_check(struct shell *shell, const struct call *call, vecdb_error *error) {
  (void)call;
  int status = need_database(shell, error);
  if (status)
    return status;
  status = vecdb_check(shell->db, check_line, shell, control_begin("checking"), error);
  control_end();
  if (!status)
    printf(shell->json ? "{\"check\": \"ok\"}\n" : "Every byte checked, no fault.\n");
  return status;
}

int cmd_backup(struct shell *shell, const struct call *call, vecdb_error *error) {
  int status = need_database(shell, error);
  if (status)
    return status;
  status = vecdb_backup(shell->db, call->place[0], control_begin("copying"), error);
  control_end();
  return status;
}

int cmd_restore(struct shell *shell, const struct call *call, vecdb_error *error) {
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.encryption = shell->encryption;
  options.control = control_begin("restoring");
  int status = vecdb_restore(call->place[0], call->place[1], &options, error);
  control_end();
  return status;
}

int cmd_rekey(struct shell *shell, const struct call *call, vecdb_error *error) {
  const char *fresh = call_option(call, "new");
  bool new_data_key = false;
  int status = need_database(shell, error);
  if (!status && fresh)
    status = parse_switch(fresh, &new_data_key, error);
  if (status)
    return status;
  return vecdb_rekey(shell->db, call->n_places ? call->place[0] : NULL,
                     new_data_key ? VECDB_REKEY_NEW_DATA_KEY : 0, error);
}

/* ---- Upkeep ---- */

/* A long call upon the collection in the first place. */
static int collection_call(struct shell *shell, const struct call *call, const char *what,
                           int (*run)(vecdb_collection *, const vecdb_control *, vecdb_error *),
                           vecdb_error *error) {
  vecdb_collection *collection;
  int status = call_collection(shell, call, &collection, error);
  if (status)
    return status;
  status = run(collection, control_begin(what), error);
  control_end();
  vecdb_collection_release(collection);
  return status;
}

int cmd_compact(struct shell *shell, const struct call *call, vecdb_error *error) {
  return collection_call(shell, call, "compacting", vecdb_compact, error);
}

int cmd_flush(struct shell *shell, const struct call *call, vecdb_error *error) {
  return collection_call(shell, call, "sealing", vecdb_flush, error);
}

int cmd_wait(struct shell *shell, const struct call *call, vecdb_error *error) {
  return collection_call(shell, call, "waiting", vecdb_wait, error);
}

int cmd_warm(struct shell *shell, const struct call *call, vecdb_error *error) {
  if (!call_option(call, "where"))
    return collection_call(shell, call, "reading", vecdb_warm, error);
  vecdb_collection *collection;
  struct filter filter;
  uint64_t rows = 0;
  int status = call_collection(shell, call, &collection, error);
  if (status)
    return status;
  status = filter_read(call, &filter, error);
  if (!status) {
    status = vecdb_warm_rows(collection, &filter.filter, &rows, control_begin("reading"), error);
    control_end();
  }
  if (!status && shell->json)
    printf("{\"warm\": %" PRIu64 "}\n", rows);
  else if (!status)
    printf("%" PRIu64 " rows\n", rows);
  filter_free(&filter);
  vecdb_collection_release(collection);
  return status;
}
