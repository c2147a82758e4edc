/* ingest.c - batches from a source to a target, once each; see README.md. */
#include "ingest/ingest.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ingest/dead.h"

enum { RUN_WAIT_MS = 200, RUN_AGAIN_MS = 50, RUN_AGAIN_MOST_MS = 2000 };

/* A message of the batch, kept until the batch is written: to be written without its neighbour, or
   into the file of what cannot be written. */
struct run_row {
  char *data;
  size_t n;
  uint64_t position;
};

struct run {
  const struct ingest_options *o;
  struct ingest_source *source;
  struct ingest_target *target;
  struct ingest_state *state;
  struct dead dead;
  struct run_row *rows;
  uint32_t n;
  struct ingest_message held; /* came, but belongs to the next batch */
  uint64_t last;              /* position of the last message of the batch */
  int64_t begun_ms;           /* when its first message came; 0: there is none */
  bool end;
  /* Metrics. */
  int64_t started_ms;
  int64_t reported_ms;
  uint64_t done;
  uint64_t batches;
  uint64_t redone;
  uint64_t retries;
};

int ingest_fail(vecdb_error *error, int code, const char *format, ...) {
  va_list args;
  *error = (vecdb_error){.code = code, .row = -1, .position = -1};
  va_start(args, format);
  vsnprintf(error->message, sizeof error->message, format, args);
  va_end(args);
  return code;
}

int ingest_fail_os(vecdb_error *error, const char *what) {
  int os = errno, code = os == ENOENT   ? VECDB_ERR_NOT_FOUND
                         : os == ENOSPC ? VECDB_ERR_DISK_FULL
                                        : VECDB_ERR_IO;
  return ingest_fail(error, code, "%.300s: %s", what, strerror(os));
}

static int64_t run_clock(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static bool run_stopped(const struct run *r) { return atomic_load(r->o->stop); }

/* ---- Metrics ---- */

static void run_report(struct run *r, bool now) {
  int64_t ms = run_clock();
  if (!now && (!r->o->report_ms || ms - r->reported_ms < r->o->report_ms))
    return;
  double seconds = (double)(ms - r->started_ms) / 1000;
  r->reported_ms = ms;
  fprintf(r->o->report,
          "ingest: rows=%" PRIu64 " batches=%" PRIu64 " redone=%" PRIu64 " retries=%" PRIu64
          " dead=%" PRIu64 " position=%" PRIu64 " rows_per_second=%.0f\n",
          r->done, r->batches, r->redone, r->retries, r->dead.n, r->state->acked,
          seconds > 0 ? (double)r->done / seconds : 0);
  fflush(r->o->report);
}

/* ---- The batch ---- */

static void run_clear(struct run *r) {
  for (uint32_t i = 0; i < r->n; i++)
    free(r->rows[i].data);
  r->n = 0;
  r->begun_ms = 0;
  r->target->ops->clear(r->target);
}

static int run_dead(struct run *r, const struct ingest_message *m, const vecdb_error *why,
                    vecdb_error *error) {
  if (r->o->dead)
    return dead_add(&r->dead, m, why, error);
  return ingest_fail(error, why->code, "the message at position %" PRIu64 ": %.300s", m->position,
                     why->message);
}

/* The message that was held into the batch, or to the dead ones; INGEST_FULL: it is held on. */
static int run_take(struct run *r, vecdb_error *error) {
  const struct ingest_message *m = &r->held;
  vecdb_error why = {.row = -1};
  if (r->n == r->o->rows) /* only one that is redone goes on: by its positions */
    return ingest_fail(error, VECDB_ERR_ARGUMENT,
                       "write %" PRIu64 " was begun with more than %" PRIu32
                       " rows: it must be done with as many",
                       r->state->op, r->o->rows);
  int status = r->target->ops->add(r->target, m->data, m->n, &why);
  if (status == INGEST_FULL)
    return status;
  char *copy = status ? NULL : malloc(m->n + 1);
  if (status)
    status = run_dead(r, m, &why, error);
  else if (!copy)
    status = ingest_fail(error, VECDB_ERR_NO_MEMORY, "out of memory");
  if (copy) {
    memcpy(copy, m->data, m->n);
    r->rows[r->n++] = (struct run_row){copy, m->n, m->position};
  }
  r->last = m->position;
  r->begun_ms = r->begun_ms ? r->begun_ms : run_clock();
  r->held.data = NULL;
  return status;
}

/* Whether the batch is whole. One that is redone ends where it ended. */
static bool run_whole(const struct run *r) {
  if (r->state->upto)
    return r->begun_ms && r->last >= r->state->upto;
  return r->n == r->o->rows ||
         (r->begun_ms && run_clock() - r->begun_ms >= (int64_t)r->o->linger_ms);
}

static uint32_t run_wait(const struct run *r) {
  int64_t left = RUN_WAIT_MS;
  if (r->begun_ms && !r->state->upto)
    left = r->begun_ms + r->o->linger_ms - run_clock();
  return left < 0 ? 0 : left < RUN_WAIT_MS ? (uint32_t)left : RUN_WAIT_MS;
}

/* Messages until the batch is whole, the source ends or it is time to stop. */
static int run_collect(struct run *r, vecdb_error *error) {
  while (!run_whole(r) && !r->end && !run_stopped(r)) {
    enum ingest_next next = INGEST_MESSAGE;
    if (!r->held.data)
      next = r->source->ops->next(r->source, run_wait(r), &r->held, error);
    if (next == INGEST_FAILED)
      return error->code;
    r->end = next == INGEST_END;
    run_report(r, false);
    if (next != INGEST_MESSAGE)
      continue;
    if (r->state->upto && r->held.position > r->state->upto)
      return VECDB_OK;
    int status = run_take(r, error);
    if (status)
      return status == INGEST_FULL ? VECDB_OK : status;
  }
  return VECDB_OK;
}

/* ---- Writing ---- */

/* Without a row that cannot be written, as another write: what became of this one's number is not
   known on every shard. */
static int run_without(struct run *r, const vecdb_error *why, vecdb_error *error) {
  struct run_row row = r->rows[why->row];
  const struct ingest_message m = {row.data, row.n, row.position};
  int status = run_dead(r, &m, why, error);
  if (status)
    return status;
  free(row.data);
  r->n--;
  memmove(r->rows + why->row, r->rows + why->row + 1,
          (r->n - (size_t)why->row) * sizeof *r->rows);
  r->target->ops->clear(r->target);
  for (uint32_t i = 0; i < r->n && !status; i++)
    status = r->target->ops->add(r->target, r->rows[i].data, r->rows[i].n, error);
  if (status)
    return status;
  r->state->op++;
  status = dead_sync(&r->dead, error);
  return status ? status : ingest_state_save(r->state, error);
}

static void run_pause(uint32_t attempt) {
  long ms = RUN_AGAIN_MS << (attempt < 6 ? attempt : 6);
  ms = ms < RUN_AGAIN_MOST_MS ? ms : RUN_AGAIN_MOST_MS;
  nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

/* *written: false only when it was stopped before. */
static int run_write(struct run *r, bool *written, vecdb_error *error) {
  uint32_t attempt = 0;
  *written = !r->n;
  while (r->n && !*written) {
    vecdb_error why = {.row = -1};
    bool again = false;
    int status = r->target->ops->write(r->target, r->state->op, &again, &why);
    *written = !status;
    if (!status || (again && run_stopped(r)))
      break;
    if (again) {
      r->retries++;
      run_report(r, false);
      run_pause(attempt++);
    } else if (why.row >= 0 && why.row < (int64_t)r->n) {
      status = run_without(r, &why, error);
      *written = !r->n;
      if (status)
        return status;
    } else {
      *error = why;
      return status;
    }
  }
  return VECDB_OK;
}

/* What is done: the source may forget it, and this must not. What did not find room any more when
   the batch was redone is not: it comes in the next one. */
static int run_acknowledge(struct run *r, bool redone, vecdb_error *error) {
  const bool all = !r->held.data || r->held.position > r->state->upto;
  r->state->acked = all ? r->state->upto : r->last;
  r->source->ops->ack(r->source, r->state->acked);
  r->state->upto = 0;
  r->batches++;
  r->redone += redone;
  r->done += r->n;
  return ingest_state_save(r->state, error);
}

/* Whether there is something to write, and all of it if it was begun in another life. */
static bool run_ready(const struct run *r) {
  return r->state->upto ? run_whole(r) || r->held.data : r->begun_ms != 0;
}

static int run_batch(struct run *r, vecdb_error *error) {
  bool redone = r->state->upto != 0, written = false;
  int status = run_collect(r, error);
  if (status || !run_ready(r))
    return status;
  if (!redone) {
    r->state->op++;
    r->state->upto = r->last;
    status = ingest_state_save(r->state, error);
  }
  if (!status)
    status = run_write(r, &written, error);
  if (!status && written)
    status = dead_sync(&r->dead, error);
  return status || !written ? status : run_acknowledge(r, redone, error);
}

int ingest_run(const struct ingest_options *o, struct ingest_source *source,
               struct ingest_target *target, struct ingest_state *state, vecdb_error *error) {
  struct run r = {.o = o, .source = source, .target = target, .state = state};
  r.started_ms = r.reported_ms = run_clock();
  r.rows = calloc(o->rows, sizeof *r.rows);
  int status = r.rows ? dead_open(&r.dead, o->dead, error)
                      : ingest_fail(error, VECDB_ERR_NO_MEMORY, "out of memory");
  while (!status && !run_stopped(&r) && (!r.end || r.held.data)) {
    status = run_batch(&r, error);
    run_clear(&r);
  }
  if (!status && state->upto && !run_stopped(&r))
    status = ingest_fail(error, VECDB_ERR_NOT_FOUND,
                         "the source ends before position %" PRIu64
                         ", up to which write %" PRIu64 " was begun",
                         state->upto, state->op);
  run_report(&r, true);
  dead_close(&r.dead);
  free(r.rows);
  return status;
}
