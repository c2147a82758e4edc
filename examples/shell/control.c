/* control.c - long calls: Ctrl-C cancels the command that runs, and a bar says how far it is.
   Errors are made and told here, too. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shell.h"
#include "value.h"

#define BAR_COLUMNS 28
#define BAR_EVERY   0.1 /* seconds between drawings */
#define BAR_AFTER   0.3 /* calls that are over sooner have none */

/* What the signal handler sees. The database reads `cancel` through its controls. */
static volatile int32_t control_cancel;
static volatile sig_atomic_t control_running;
static volatile sig_atomic_t control_interactive;

/* The bar of the call that runs. */
static struct {
  vecdb_control control;
  const char *what;
  bool shown; /* on a terminal */
  bool drawn;
  double start;
  double last;
} bar;

/* ---- Ctrl-C ---- */

static void control_signal(int number) {
  /* A script has no prompt to go back to when Ctrl-C comes between commands, or again. */
  if (!control_interactive && (!control_running || control_cancel))
    _exit(128 + number);
  control_cancel = 1;
}

void control_install(bool interactive) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = control_signal;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, NULL);
  control_interactive = interactive;
  action.sa_handler = SIG_IGN; /* a closed pipe is an error of writing */
  sigaction(SIGPIPE, &action, NULL);
}

void control_command(bool running) {
  control_cancel = 0;
  control_running = running;
}

bool control_cancelled(void) { return control_cancel != 0; }

double control_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* ---- The bar ---- */

static void bar_draw(uint64_t done, uint64_t total, const char *unit) {
  double now = control_seconds();
  if (!bar.shown || now - bar.start < BAR_AFTER || now - bar.last < BAR_EVERY)
    return;
  bar.last = now;
  bar.drawn = true;
  double rate = (double)done / (now - bar.start);
  fprintf(stderr, "\r%-10s ", bar.what);
  if (total) {
    double part = done < total ? (double)done / (double)total : 1;
    int full = (int)(part * BAR_COLUMNS);
    fputc('[', stderr);
    for (int i = 0; i < BAR_COLUMNS; i++)
      fputc(i < full ? '#' : '.', stderr);
    fprintf(stderr, "] %3.0f %%", part * 100);
    if (part > 0.01)
      fprintf(stderr, "  %.0f s left", (now - bar.start) * (1 - part) / part);
  }
  if (unit)
    fprintf(stderr, "  %llu %s, %.0f/s", (unsigned long long)done, unit, rate);
  fputs("\033[K", stderr);
}

static int bar_progress(void *user, const char *phase, uint64_t done, uint64_t total) {
  (void)user;
  (void)phase;
  bar_draw(done, total, NULL);
  return 0;
}

const vecdb_control *control_begin(const char *what) {
  bar.control = (vecdb_control)VECDB_CONTROL_INIT;
  bar.control.cancel = &control_cancel;
  bar.control.progress = bar_progress;
  bar.what = what;
  bar.shown = isatty(STDERR_FILENO) != 0;
  bar.drawn = false;
  bar.start = bar.last = control_seconds();
  return &bar.control;
}

void control_end(void) {
  if (bar.drawn)
    fputs("\r\033[K", stderr);
  bar.drawn = false;
}

void control_show(void) {
  if (!bar.shown)
    return;
  fprintf(stderr, "\r%s ...\033[K", bar.what);
  bar.drawn = true;
}

int control_step(uint64_t done, uint64_t total, const char *unit, vecdb_error *error) {
  if (control_cancelled())
    return fail(error, VECDB_ERR_CANCELLED, "cancelled");
  bar_draw(done, total, unit);
  return VECDB_OK;
}

/* ---- Errors ---- */

static int fail_list(vecdb_error *error, int code, const char *format, va_list args) {
  memset(error, 0, sizeof *error);
  error->code = code;
  error->row = error->position = -1;
  vsnprintf(error->message, sizeof error->message, format, args);
  return code;
}

int fail(vecdb_error *error, int code, const char *format, ...) {
  va_list args;
  va_start(args, format);
  fail_list(error, code, format, args);
  va_end(args);
  return code;
}

int fail_os(vecdb_error *error, const char *format, ...) {
  int os = errno;
  int code = os == ENOENT || os == ENOTDIR ? VECDB_ERR_NOT_FOUND
             : os == ENOSPC                ? VECDB_ERR_DISK_FULL
                                           : VECDB_ERR_IO;
  va_list args;
  va_start(args, format);
  fail_list(error, code, format, args);
  va_end(args);
  size_t used = strlen(error->message);
  snprintf(error->message + used, sizeof error->message - used, ": %s", strerror(os));
  error->os_code = os;
  return code;
}

void report(const struct shell *shell, const vecdb_error *error) {
  control_end();
  fflush(stdout);
  if (!shell->json) {
    fprintf(stderr, "error %d (%s): %s\n", error->code, vecdb_status_name(error->code),
            error->message);
    return;
  }
  struct text out = {0};
  text_printf(&out,
              "{\"error\": \"%s\", \"code\": %d, \"message\": ", vecdb_status_name(error->code),
              error->code);
  put_string(&out, error->message, strlen(error->message));
  if (error->field[0]) {
    text_puts(&out, ", \"field\": ");
    put_string(&out, error->field, strlen(error->field));
  }
  if (error->row >= 0)
    text_printf(&out, ", \"row\": %lld", (long long)error->row);
  if (error->position >= 0)
    text_printf(&out, ", \"position\": %lld", (long long)error->position);
  fprintf(stderr, "%s}\n", text_string(&out));
  text_free(&out);
}
