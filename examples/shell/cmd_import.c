/* cmd_import.c - many rows from files: JSON objects line by line, and vectors beside them. */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "lines.h"
#include "rows.h"
#include "usage.h"
#include "value.h"

#define BATCH_BYTES (32u << 20) /* of vectors in a batch, about */
#define BATCH_ROWS  8192

/* A vector field that is filled from a file. */
struct source {
  size_t field;
  struct vecfile file;
};

struct import {
  struct shell *shell;
  vecdb_collection *collection;
  const vecdb_schema *schema;
  struct rows rows;
  struct source sources[VECDB_MAX_VECTOR_FIELDS];
  size_t n_sources;
  struct lines lines;
  bool has_lines;   /* else: only files of vectors */
  uint64_t at;      /* the next row of the files */
  uint64_t end;     /* the row behind the last one that is wanted */
  uint64_t done;    /* rows written */
  int number_field; /* a key that is counted, or -1 */
  bool insert;
  bool no_wait;
};

/* ---- Opening ---- */

static int import_source(struct import *im, const struct argument *option, vecdb_error *error) {
  int field = schema_find(im->schema, option->name);
  if (field < 0)
    return fail(error, VECDB_ERR_OPTION, "'%s=' is neither an option nor a field of '%s'",
                option->name, vecdb_collection_name(im->collection));
  struct source *source = &im->sources[im->n_sources];
  int status = vecfile_open(option->value, &source->file, error);
  if (status)
    return status;
  im->n_sources++;
  source->field = (size_t)field;
  rows_elsewhere(&im->rows, source->field);
  return vecfile_suits(&source->file, &im->schema->fields[field], error);
}

/* Whether an option names a field, and is no option of the command itself. */
static bool import_is_field(const struct call *call, const char *name) {
  struct usage_item item;
  return usage_option(call->command, name, strlen(name), &item) &&
         isupper((unsigned char)*item.name);
}

static int import_word(const struct call *call, const char *name, const char *usual,
                       const char *other, bool *is_other, vecdb_error *error) {
  const char *value = call_option(call, name);
  *is_other = value && strcmp(value, other) == 0;
  if (value && !*is_other && strcmp(value, usual) != 0)
    return fail(error, VECDB_ERR_OPTION, "%s=%s: it is %s or %s", name, value, usual, other);
  return VECDB_OK;
}

static int import_options(struct import *im, const struct call *call, uint64_t *batch,
                          vecdb_error *error) {
  size_t width = 0;
  for (uint32_t i = 0; i < im->schema->n_fields; i++)
    width += type_bytes(im->schema->fields[i].type, im->schema->fields[i].dim);
  bool skip_unknown = false;
  uint64_t usual = width > BATCH_BYTES / BATCH_ROWS ? BATCH_BYTES / width : BATCH_ROWS;
  int status = call_number(call, "batch", 1, VECDB_MAX_BATCH_ROWS, usual ? usual : 1, batch, error);
  if (!status)
    status = call_number(call, "skip", 0, UINT64_MAX, 0, &im->at, error);
  if (!status)
    status = call_number(call, "limit", 0, UINT64_MAX, UINT64_MAX, &im->end, error);
  if (!status)
    status = import_word(call, "mode", "upsert", "insert", &im->insert, error);
  if (!status)
    status = import_word(call, "wait", "yes", "no", &im->no_wait, error);
  if (!status)
    status = import_word(call, "extra", "error", "skip", &skip_unknown, error);
  im->end = im->end > UINT64_MAX - im->at ? UINT64_MAX : im->at + im->end;
  rows_begin(&im->rows, im->schema, (size_t)*batch);
  im->rows.skip_unknown = skip_unknown;
  return status;
}

/* Without lines, an INT64 key that the database does not number is counted from 0. */
static void import_key(struct import *im) {
  im->number_field = -1;
  for (uint32_t i = 0; i < im->schema->n_fields && !im->has_lines; i++) {
    const vecdb_field *f = &im->schema->fields[i];
    if (f->flags & VECDB_PRIMARY_KEY && f->type == VECDB_INT64 && !(f->flags & VECDB_AUTO_ID))
      im->number_field = (int)i;
  }
}

static int import_open(struct import *im, const struct call *call, vecdb_error *error) {
  uint64_t batch = 1;
  int status = import_options(im, call, &batch, error);
  for (size_t i = 0; i < call->n_options && !status; i++)
    if (import_is_field(call, call->options[i].name))
      status = im->n_sources == VECDB_MAX_VECTOR_FIELDS
                   ? fail(error, VECDB_ERR_LIMIT, "too many files")
                   : import_source(im, &call->options[i], error);
  im->has_lines = call->n_places > 1;
  if (!status && im->has_lines)
    status = lines_open(&im->lines, call->place[1], error);
  if (!status && !im->has_lines && !im->n_sources)
    status = fail(error, VECDB_ERR_ARGUMENT, "nothing to import: name a .jsonl file or FIELD=FILE");
  for (size_t i = 1; i < im->n_sources && !status; i++)
    if (im->sources[i].file.rows != im->sources[0].file.rows)
      status = fail(error, VECDB_ERR_ARGUMENT, "%s has %" PRIu64 " rows, %s %" PRIu64,
                    im->sources[i].file.path, im->sources[i].file.rows, im->sources[0].file.path,
                    im->sources[0].file.rows);
  import_key(im);
  return status;
}

static void import_close(struct import *im) {
  for (size_t i = 0; i < im->n_sources; i++)
    vecfile_close(&im->sources[i].file);
  if (im->has_lines)
    lines_close(&im->lines);
  rows_end(&im->rows);
}

/* ---- Rows ---- */

/* Says where in the file a row is that was refused. */
static int import_refused(const struct import *im, vecdb_error *error) {
  char message[sizeof error->message];
  memcpy(message, error->message, sizeof message);
  snprintf(error->message, sizeof error->message, "%s line %" PRIu64 ": %.300s", im->lines.path,
           im->lines.line, message);
  return error->code;
}

/* One line into the batch, unless it is blank or before the first that is wanted. */
static int import_row(struct import *im, const char *line, size_t length, vecdb_error *error) {
  json_error_t wrong;
  json_t *object = json_loadb(line, length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &wrong);
  int status = object ? rows_add(&im->rows, object, error)
                      : fail(error, VECDB_ERR_TYPE, "no JSON object: %.200s", wrong.text);
  return status ? import_refused(im, error) : VECDB_OK;
}

static bool import_blank(const char *line, size_t length) {
  for (size_t i = 0; i < length; i++)
    if (!strchr(" \t\r", line[i]) || !line[i])
      return false;
  return true;
}

/* Fills the batch with lines. *more is false at the end of the file or of what is wanted. */
static int import_read_lines(struct import *im, uint64_t *seen, bool *more, vecdb_error *error) {
  while (im->rows.n < im->rows.capacity) {
    const char *line;
    size_t length;
    if (*seen == im->end) {
      *more = false;
      return VECDB_OK;
    }
    int status = lines_next(&im->lines, &line, &length, error);
    if (status)
      return status;
    *more = line != NULL;
    if (!line)
      return VECDB_OK;
    if (import_blank(line, length))
      continue;
    if ((*seen)++ < im->at)
      continue;
    status = import_row(im, line, length, error);
    if (status)
      return status;
  }
  return VECDB_OK;
}

/* The vectors of the batch, whose first row is row im->at of the files. */
static int import_fill(struct import *im, bool more, vecdb_error *error) {
  for (size_t i = 0; i < im->n_sources; i++) {
    struct vecfile *file = &im->sources[i].file;
    bool short_file = im->at > file->rows || im->rows.n > file->rows - im->at;
    if (short_file || (!more && im->end == UINT64_MAX && im->at + im->rows.n != file->rows))
      return fail(error, VECDB_ERR_ARGUMENT, "%s has %" PRIu64 " rows, %s %s", file->path,
                  file->rows, im->lines.path, short_file ? "more" : "fewer");
    int status = rows_fill(&im->rows, im->sources[i].field, file, im->at, error);
    if (status)
      return status;
  }
  return VECDB_OK;
}

/* The next batch. *more says whether others follow. */
static int import_batch(struct import *im, uint64_t *seen, bool *more, vecdb_error *error) {
  int status = VECDB_OK;
  rows_clear(&im->rows);
  if (im->has_lines) {
    status = import_read_lines(im, seen, more, error);
  } else {
    uint64_t end = im->sources[0].file.rows < im->end ? im->sources[0].file.rows : im->end;
    uint64_t left = im->at < end ? end - im->at : 0;
    rows_add_empty(&im->rows, left < im->rows.capacity ? (size_t)left : im->rows.capacity);
    *more = left > im->rows.n;
  }
  if (!status && (im->rows.n || !*more))
    status = import_fill(im, *more || !im->has_lines, error);
  if (status || !im->rows.n)
    return status;
  if (im->number_field >= 0)
    rows_number(&im->rows, (size_t)im->number_field, (int64_t)im->at);
  status = rows_write(&im->rows, im->collection, im->insert, error);
  if (status)
    return status;
  im->at += im->rows.n;
  im->done += im->rows.n;
  return VECDB_OK;
}

/* The part that is done, in rows or, where rows are not counted beforehand, in bytes. */
static int import_progress(const struct import *im, uint64_t first, vecdb_error *error) {
  uint64_t total = 0;
  if (im->n_sources)
    total = (im->sources[0].file.rows < im->end ? im->sources[0].file.rows : im->end) - first;
  else if (im->lines.offset)
    total = (uint64_t)((double)im->done * ((double)im->lines.size / (double)im->lines.offset));
  return control_step(im->done, total, "rows", error);
}

static int import_run(struct import *im, vecdb_error *error) {
  uint64_t seen = 0, first = im->at;
  bool more = true;
  int status = VECDB_OK;
  control_begin("importing");
  while (more && !status) {
    status = import_batch(im, &seen, &more, error);
    if (!status)
      status = import_progress(im, first, error);
  }
  control_end();
  return status;
}

/* Seals the rows and waits for their indexes, so that searches are fast from now on. */
static int import_finish(struct import *im, vecdb_error *error) {
  int status = vecdb_flush(im->collection, control_begin("sealing"), error);
  control_end();
  if (!status) {
    const vecdb_control *control = control_begin("indexing");
    control_show();
    status = vecdb_wait(im->collection, control, error);
    control_end();
  }
  return status;
}

static void import_report(const struct import *im, double seconds, double waited) {
  char rows[32], rate[32];
  double per_second = seconds > 0 ? (double)im->done / seconds : 0;
  if (im->shell->json) {
    printf("{\"imported\": %" PRIu64 ", \"seconds\": %.3f, \"indexing_seconds\": %.3f}\n", im->done,
           seconds, waited);
    return;
  }
  printf("%s rows in %.1f s (%s/s)", number_text(im->done, rows), seconds,
         number_text((uint64_t)per_second, rate));
  if (waited > 0.1)
    printf(", indexed in %.1f s", waited);
  putchar('\n');
}

int cmd_import(struct shell *shell, const struct call *call, vecdb_error *error) {
  struct import im = {.shell = shell};
  int status = call_collection(shell, call, &im.collection, error);
  if (status)
    return status;
  im.schema = vecdb_collection_schema(im.collection);
  double start = control_seconds();
  status = import_open(&im, call, error);
  if (!status)
    status = import_run(&im, error);
  double imported = control_seconds();
  bool wait = !status && !im.no_wait;
  if (wait)
    status = import_finish(&im, error);
  if (!status || im.done)
    import_report(&im, imported - start, wait ? control_seconds() - imported : 0);
  import_close(&im);
  vecdb_collection_release(im.collection);
  return status;
}
