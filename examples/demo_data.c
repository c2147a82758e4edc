/* demo_data.c - reads the files of examples/data; see demo_data.h. */
#include "demo_data.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DATA_COLUMNS = 7 };

static bool data_fail(const char *name, const char *what) {
  fprintf(stderr, "demo: %s: %s\n", name, what);
  return false;
}

/* The whole file and a NUL, to be freed; NULL after a message. */
static char *data_file(const char *folder, const char *name, size_t *length) {
  char path[1024];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *file = fopen(path, "rb");
  if (!file) {
    data_fail(path, strerror(errno));
    return NULL;
  }
  char *text = NULL;
  long end = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
  if (end >= 0 && fseek(file, 0, SEEK_SET) == 0)
    text = malloc((size_t)end + 1);
  if (text && fread(text, 1, (size_t)end, file) != (size_t)end) {
    free(text);
    text = NULL;
  }
  fclose(file);
  if (!text) {
    data_fail(path, "cannot be read");
    return NULL;
  }
  *length = (size_t)end;
  text[end] = '\0';
  return text;
}

static uint32_t data_u32(const char *at) {
  const unsigned char *b = (const unsigned char *)at;
  return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static float data_float(const char *at) {
  uint32_t bits = data_u32(at);
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static uint32_t data_lines(const char *text) {
  uint32_t n = 0;
  while ((text = strchr(text, '\n')) != NULL) {
    text++;
    n++;
  }
  return n;
}

/* Ends the string at the next `separator` and returns what comes after it, or NULL. */
static char *data_cut(char *text, char separator) {
  char *end = strchr(text, separator);
  if (!end)
    return NULL;
  *end = '\0';
  return end + 1;
}

/* Notes the tags of passage i, which are separated by commas; returns where the next ones go. */
static vecdb_string *data_tags(struct demo_passages *p, uint32_t i, char *tags,
                               vecdb_string *next) {
  p->tags[i] = next;
  while (tags && *tags) {
    char *after = data_cut(tags, ',');
    vecdb_string tag = {tags, strlen(tags)};
    *next++ = tag;
    p->n_tags[i]++;
    tags = after;
  }
  return next;
}

static bool data_rows(struct demo_passages *p) {
  char *line = p->file;
  vecdb_string *next_tag = p->all_tags;
  for (uint32_t i = 0; i < p->n; i++) {
    char *after = data_cut(line, '\n');
    char *column[DATA_COLUMNS] = {line};
    for (int c = 1; c < DATA_COLUMNS; c++)
      if (!(column[c] = data_cut(column[c - 1], '\t')))
        return data_fail("passages.tsv", "a line has too few columns");
    p->package[i] = column[0];
    p->section[i] = column[1];
    p->has_section[i] = column[1][0] != '\0';
    p->priority[i] = column[2];
    p->installed_kb[i] = strtoll(column[3], NULL, 10);
    p->download_bytes[i] = strtoll(column[4], NULL, 10);
    next_tag = data_tags(p, i, column[5], next_tag);
    p->text[i] = column[6];
    line = after;
  }
  return true;
}

static bool data_vectors(const char *folder, struct demo_passages *p) {
  size_t length;
  char *file = data_file(folder, "vectors.bin", &length);
  if (!file)
    return false;
  uint32_t n = length >= 8 ? data_u32(file) : 0;
  p->dim = length >= 8 ? data_u32(file + 4) : 0;
  bool ok = n == p->n && length == 8 + (size_t)n * 4 + (size_t)n * p->dim;
  p->vectors = ok ? malloc((size_t)n * p->dim * sizeof(float)) : NULL;
  ok = p->vectors || data_fail("vectors.bin", "does not fit passages.tsv");
  const signed char *bytes = (const signed char *)file + 8 + (size_t)p->n * 4;
  for (uint32_t i = 0; ok && i < n; i++) {
    float scale = data_float(file + 8 + (size_t)i * 4);
    for (size_t k = (size_t)i * p->dim; k < (size_t)(i + 1) * p->dim; k++)
      p->vectors[k] = scale * (float)bytes[k];
  }
  free(file);
  return ok;
}

bool demo_passages_read(const char *folder, struct demo_passages *out) {
  memset(out, 0, sizeof *out);
  size_t length;
  out->file = data_file(folder, "passages.tsv", &length);
  if (!out->file)
    return false;
  size_t n = out->n = data_lines(out->file), tags = n;
  for (const char *c = out->file; *c; c++)
    tags += *c == ',';
  out->package = calloc(n, sizeof *out->package);
  out->section = calloc(n, sizeof *out->section);
  out->priority = calloc(n, sizeof *out->priority);
  out->text = calloc(n, sizeof *out->text);
  out->installed_kb = calloc(n, sizeof *out->installed_kb);
  out->download_bytes = calloc(n, sizeof *out->download_bytes);
  out->tags = calloc(n, sizeof *out->tags);
  out->n_tags = calloc(n, sizeof *out->n_tags);
  out->has_section = calloc(n, sizeof *out->has_section);
  out->all_tags = calloc(tags, sizeof *out->all_tags);
  if (!out->package || !out->section || !out->priority || !out->text || !out->installed_kb ||
      !out->download_bytes || !out->tags || !out->n_tags || !out->has_section || !out->all_tags)
    return data_fail("passages.tsv", "is empty, or there is no memory for it");
  return data_rows(out) && data_vectors(folder, out);
}

void demo_passages_free(struct demo_passages *p) {
  free(p->package);
  free(p->section);
  free(p->priority);
  free(p->text);
  free(p->installed_kb);
  free(p->download_bytes);
  free(p->tags);
  free(p->n_tags);
  free(p->has_section);
  free(p->all_tags);
  free(p->vectors);
  free(p->file);
}

bool demo_questions_read(const char *folder, struct demo_questions *out) {
  memset(out, 0, sizeof *out);
  size_t length;
  out->file = data_file(folder, "questions.txt", &length);
  char *bin = out->file ? data_file(folder, "questions.bin", &length) : NULL;
  if (!bin)
    return false;
  uint32_t n = out->n = data_lines(out->file);
  out->dim = length >= 8 ? data_u32(bin + 4) : 0;
  size_t elements = (size_t)n * out->dim;
  bool ok = n > 0 && length == 8 + elements * 4 && data_u32(bin) == n;
  out->text = calloc(n ? n : 1, sizeof *out->text);
  out->vectors = ok ? malloc(elements * sizeof(float)) : NULL;
  ok = (out->text && out->vectors) || data_fail("questions.bin", "does not fit questions.txt");
  char *line = out->file;
  for (uint32_t i = 0; ok && i < n; i++) {
    out->text[i] = line;
    line = data_cut(line, '\n');
  }
  for (size_t k = 0; ok && k < elements; k++)
    out->vectors[k] = data_float(bin + 8 + k * 4);
  free(bin);
  return ok;
}

void demo_questions_free(struct demo_questions *q) {
  free(q->text);
  free(q->vectors);
  free(q->file);
}
