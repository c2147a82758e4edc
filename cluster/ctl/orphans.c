/* orphans.c - files of orphans, listed and as lines of JSON; see orphans.h. */
#include "ctl/orphans.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "meta/base64.h"
#include "replica/orphan.h"

static const char orphans_usage[] =
    "usage: vecdb cluster orphans FILE...\n"
    "       vecdb cluster orphans --replay FILE...    the writes, as lines of JSON\n";

/* The whole file; NULL with errno. */
static uint8_t *orphans_load(const char *path, size_t *n) {
  FILE *f = fopen(path, "rb");
  uint8_t *data = NULL;
  size_t room = 0;
  *n = 0;
  while (f) {
    if (*n == room) {
      room = room ? 2 * room : 1 << 16;
      uint8_t *more = realloc(data, room);
      if (!more)
        break;
      data = more;
    }
    *n += fread(data + *n, 1, room - *n, f);
    if (*n == room)
      continue;
    if (ferror(f))
      break;
    fclose(f);
    return data;
  }
  int error = errno;
  if (f)
    fclose(f);
  free(data);
  errno = error;
  return NULL;
}

/* Entries of one epoch that follow one another. */
struct orphans_run {
  uint64_t epoch, first, last; /* first 0: none */
  uint64_t writes, bytes;
};

static void orphans_end(struct orphans_run *run, FILE *out) {
  if (run->first)
    fprintf(out, "  %" PRIu64 " to %" PRIu64 " of epoch %" PRIu64 ": %" PRIu64 " writes, %" PRIu64
            " bytes\n", run->first, run->last, run->epoch, run->writes, run->bytes);
  run->first = 0;
}

static void orphans_add(struct orphans_run *run, const struct rep_entry *e, FILE *out) {
  if (run->first && (e->pos.epoch != run->epoch || e->pos.seq != run->last + 1))
    orphans_end(run, out);
  if (!run->first)
    *run = (struct orphans_run){.epoch = e->pos.epoch, .first = e->pos.seq};
  run->last = e->pos.seq;
  run->writes += e->kind == REP_DATA;
  run->bytes += e->n;
}

static void orphans_head(const struct orphan_file *f, const char *path, FILE *out) {
  char when[40] = "at a time that is not known";
  time_t seconds = (time_t)(f->head.time_ms / 1000);
  struct tm t;
  if (!f->has_head) {
    fprintf(out, "%s: damaged, it does not say where it is from\n", path);
    return;
  }
  if (f->head.time_ms && gmtime_r(&seconds, &t))
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &t);
  fprintf(out, "%s: shard %" PRIu64 " of node %" PRIu32 ", cut behind %" PRIu64
          " in epoch %" PRIu64 ", %s\n", path, f->head.shard, f->head.node, f->head.after,
          f->head.promised, when);
}

static void orphans_list(struct orphan_file *f, const char *path, FILE *out) {
  struct orphans_run run = {0};
  struct rep_entry e;
  orphans_head(f, path, out);
  while (orphan_next(f, &e))
    orphans_add(&run, &e, out);
  orphans_end(&run, out);
}

/* One write; 64-bit numbers are strings, for readers that have doubles only. False: no memory. */
static bool orphans_line(const struct orphan_file *f, const struct rep_entry *e, FILE *out) {
  size_t n = base64_length(e->n);
  char *body = malloc(n + 1);
  if (!body)
    return false;
  base64_write(e->body, e->n, body);
  if (f->has_head)
    fprintf(out, "{\"shard\":\"%" PRIu64 "\",", f->head.shard);
  else
    fputc('{', out);
  fprintf(out, "\"client\":\"%" PRIu64 "\",\"count\":\"%" PRIu64 "\",\"seq\":\"%" PRIu64
          "\",\"epoch\":\"%" PRIu64 "\",\"body\":\"%.*s\"}\n", e->op.client, e->op.count,
          e->pos.seq, e->pos.epoch, (int)n, body);
  free(body);
  return true;
}

static bool orphans_replay(struct orphan_file *f, FILE *out) {
  struct rep_entry e;
  while (orphan_next(f, &e))
    if (e.kind == REP_DATA && !orphans_line(f, &e, out))
      return false;
  return true;
}

/* False: something of it could not be read. */
static bool orphans_file(const char *path, bool replay, FILE *out, FILE *err) {
  struct orphan_file f;
  size_t n;
  uint8_t *data = orphans_load(path, &n);
  if (!data) {
    fprintf(err, "%s: %s\n", path, strerror(errno));
    return false;
  }
  orphan_open(&f, data, n);
  bool whole = true;
  if (replay)
    whole = orphans_replay(&f, out);
  else
    orphans_list(&f, path, out);
  free(data);
  if (!whole)
    fprintf(err, "%s: out of memory\n", path);
  if (f.damaged)
    fprintf(err, "%s: %zu bytes are damaged; what is before and behind them was read\n", path,
            f.damaged);
  return whole && f.has_head && !f.damaged;
}

int ctl_orphans(int argc, char **argv, FILE *out, FILE *err) {
  bool replay = argc > 0 && strcmp(argv[0], "--replay") == 0;
  int code = 0;
  if (argc - replay < 1 || *argv[replay] == '-') {
    fputs(orphans_usage, err);
    return 2;
  }
  for (int i = replay; i < argc; i++)
    code |= !orphans_file(argv[i], replay, out, err);
  return code;
}
