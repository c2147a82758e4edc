/* audit_walk.c - see audit_walk.h. */
#include "server/audit_walk.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct walk_files {
  uint64_t *firsts; /* the first record of each, ascending */
  size_t n, room;
};

static int walk_order(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

static bool walk_list(const char *folder, struct walk_files *out) {
  DIR *all = opendir(folder);
  uint64_t first;
  memset(out, 0, sizeof *out);
  if (!all)
    return false;
  for (const struct dirent *entry; (entry = readdir(all)) != NULL;) {
    if (!audit_file_seq(entry->d_name, &first))
      continue;
    if (out->n == out->room) {
      out->room = out->room ? 2 * out->room : 16;
      uint64_t *grown = realloc(out->firsts, out->room * sizeof *grown);
      if (!grown) {
        free(out->firsts);
        closedir(all);
        errno = ENOMEM;
        return false;
      }
      out->firsts = grown;
    }
    out->firsts[out->n++] = first;
  }
  closedir(all);
  if (out->n)
    qsort(out->firsts, out->n, sizeof *out->firsts, walk_order);
  return true;
}

/* Checks a line; false: it is wrong, and w->fault says how. */
static bool walk_line(struct audit_walk *w, uint64_t number, const char *line, size_t n) {
  const char *wrong = audit_check(w->key, &w->last, line, n);
  if (wrong) {
    snprintf(w->fault, sizeof w->fault, "%s, line %llu (record %llu is due): %s", w->file,
             (unsigned long long)number, (unsigned long long)w->last.seq + 1, wrong);
    return false;
  }
  if (w->last.seq != w->head.seq)
    return true;
  w->head_met = strcmp(w->last.hash, w->head.hash) == 0;
  return true;
}

static bool walk_file(struct audit_walk *w) {
  char path[4096], *line = NULL;
  size_t room = 0;
  uint64_t number = 0;
  snprintf(path, sizeof path, "%s/%s", w->folder, w->file);
  FILE *file = fopen(path, "rb");
  if (!file)
    return false;
  w->file_bytes = 0;
  w->torn = false;
  w->files++;
  for (ssize_t n; !*w->fault && (n = getline(&line, &room, file)) > 0;) {
    number++;
    w->torn = line[n - 1] != '\n';
    if (!w->torn && walk_line(w, number, line, (size_t)n - 1))
      w->file_bytes += (uint64_t)n;
  }
  bool good = !ferror(file);
  free(line);
  fclose(file);
  return good;
}

/* A file must begin where the one before it has ended. */
static void walk_begin_file(struct audit_walk *w, uint64_t first) {
  if (w->torn) {
    snprintf(w->fault, sizeof w->fault, "%s ends within a record", w->file);
    return;
  }
  audit_file_name(first, w->file);
  if (first != w->last.seq + 1)
    snprintf(w->fault, sizeof w->fault, "%s: record %llu is due, files are missing", w->file,
             (unsigned long long)w->last.seq + 1);
}

/* From one of the files on; what came before it is taken on trust. */
static bool walk_from(struct audit_walk *w, const struct walk_files *files, size_t from) {
  audit_link_first(&w->last);
  if (w->last_file_only && files->n && files->firsts[from] > 1) {
    w->last.seq = files->firsts[from] - 1;
    w->last.hash[0] = '\0';
  }
  w->torn = false;
  w->files = w->file_bytes = 0;
  bool good = true;
  for (size_t i = from; good && !*w->fault && i < files->n; i++) {
    walk_begin_file(w, files->firsts[i]);
    if (!*w->fault)
      good = walk_file(w);
  }
  return good;
}

bool audit_walk(struct audit_walk *w) {
  struct walk_files files;
  bool good = walk_list(w->folder, &files);
  w->head_met = w->head.seq == 0;
  w->file[0] = w->fault[0] = '\0';
  if (!good)
    return false;
  size_t from = w->last_file_only && files.n ? files.n - 1 : 0;
  good = walk_from(w, &files, from);
  while (good && !*w->fault && !*w->last.hash && from > 0) /* a file without a whole record */
    good = walk_from(w, &files, --from);
  free(files.firsts);
  return good;
}
