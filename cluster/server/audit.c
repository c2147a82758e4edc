/* audit.c - writing the audit log; see audit.h. */
#include "server/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "server/audit_walk.h"
#include "server/observe.h"
#include "server/routes.h"

enum {
  AUDIT_WAITING = 16 << 20, /* bytes of records that may wait to be written */
  AUDIT_BATCH = 1 << 20,    /* written at a time */
  AUDIT_INTERVAL_MS = 100,
  AUDIT_RETRY_MS = 1000
};

enum audit_sync { AUDIT_COMMIT, AUDIT_INTERVAL, AUDIT_OFF };

/* Bodies of records, each with its length in front. */
struct audit_buffer {
  char *data;
  size_t n, room;
};

struct srv_audit {
  char folder[SRV_CONFIG_TEXT];
  enum audit_sync sync;
  uint64_t file_bytes;
  struct audit_key key;
  srv_audit_report *report;
  void *user;

  /* Of the thread that writes. */
  struct audit_link link; /* the last record in `out` or in a file */
  struct audit_link kept; /* the last that is in a file */
  struct audit_buffer taken;
  uint64_t taking; /* the last of `taken`, of those added since the start */
  char *out; /* records that are not in a file yet */
  size_t n_out;
  int head, file, dir;
  unsigned sector;
  uint64_t end; /* of the file */
  bool unsynced;

  pthread_mutex_t mutex; /* of the rest */
  pthread_cond_t come, done;
  struct audit_buffer waiting;
  uint64_t added, synced; /* records since the start */
  uint64_t lost;          /* since the last that could be added */
  bool stopping;
  _Atomic bool broken; /* the last write has failed */
  _Atomic uint64_t n_records, n_bytes, n_lost;
  bool threaded;
  pthread_t thread;
};

/* ---- Files ----------------------------------------------------------------------------------- */

static int audit_open_file(struct srv_audit *a, uint64_t first) {
  char name[AUDIT_NAME];
  audit_file_name(first, name);
  int fd = openat(a->dir, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0)
    return errno;
  if (fsync(a->dir) != 0) {
    int os = errno;
    close(fd);
    return os;
  }
  if (a->file >= 0)
    close(a->file);
  a->file = fd;
  a->end = 0;
  return 0;
}

/* Makes what is in files safe, and says in the head how far that is. */
static int audit_settle(struct srv_audit *a) {
  if (a->file >= 0 && fdatasync(a->file) != 0)
    return errno;
  int os = audit_head_write(a->head, a->sector % 2, &a->key, &a->kept);
  if (os)
    return os;
  a->sector++;
  a->unsynced = false;
  return 0;
}

/* Writes `out`. It stays there if that fails, and is written to the same place the next time. */
static int audit_write(struct srv_audit *a) {
  if (a->n_out == 0)
    return 0;
  if (a->file < 0 || a->end >= a->file_bytes) {
    int os = a->file < 0 ? 0 : audit_settle(a);
    if (!os)
      os = audit_open_file(a, a->kept.seq + 1);
    if (os)
      return os;
  }
  for (size_t at = 0; at < a->n_out;) {
    ssize_t n = pwrite(a->file, a->out + at, a->n_out - at, (off_t)(a->end + at));
    if (n < 0 && errno != EINTR)
      return errno;
    at += n > 0 ? (size_t)n : 0;
  }
  a->end += a->n_out;
  a->n_out = 0;
  a->kept = a->link;
  a->unsynced = true;
  atomic_store(&a->n_records, a->kept.seq);
  atomic_store(&a->n_bytes, a->end);
  return 0;
}

/* ---- The thread ------------------------------------------------------------------------------ */

/* Turns taken bodies into records, as many as fit a batch, from `at` on; where it stopped. */
static size_t audit_form(struct srv_audit *a, size_t at) {
  while (at < a->taken.n) {
    uint32_t n;
    memcpy(&n, a->taken.data + at, sizeof n);
    if (n + AUDIT_MORE > AUDIT_BATCH - a->n_out)
      break;
    const char *body = a->taken.data + at + sizeof n;
    size_t size = audit_seal(&a->key, &a->link, body, n, a->out + a->n_out);
    if (size == 0)
      break; /* out of memory: with the next turn */
    a->n_out += size;
    at += sizeof n + n;
  }
  return at;
}

static int audit_write_all(struct srv_audit *a) {
  size_t at = 0;
  int os = audit_write(a); /* what a failure has left */
  while (!os && at < a->taken.n) {
    size_t next = audit_form(a, at);
    os = next == at ? ENOMEM : audit_write(a);
    at = next;
  }
  a->taken.n -= at;
  if (a->taken.n && at)
    memmove(a->taken.data, a->taken.data + at, a->taken.n);
  return os;
}

static void audit_tell(struct srv_audit *a, int os) {
  char line[SRV_CONFIG_ERROR];
  if (atomic_exchange(&a->broken, os != 0) == (os != 0))
    return;
  snprintf(line, sizeof line, "the audit log in %.400s %s%s", a->folder,
           os ? "cannot be written: " : "is written again", os ? strerror(os) : "");
  a->report(a->user, line);
}

/* Until there is something to write, or the end; and where many are to share a sync, or the last
   write has failed, some time more. Mutex held. */
static void audit_rest(struct srv_audit *a) {
  struct timespec until;
  bool broken = atomic_load(&a->broken);
  while (!a->stopping && a->waiting.n == 0 && !broken)
    pthread_cond_wait(&a->come, &a->mutex);
  if (!broken && a->sync != AUDIT_INTERVAL)
    return;
  long ms = broken ? AUDIT_RETRY_MS : AUDIT_INTERVAL_MS;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_nsec += ms % 1000 * 1000000;
  until.tv_sec += ms / 1000 + until.tv_nsec / 1000000000;
  until.tv_nsec %= 1000000000;
  int rc = 0;
  while (rc == 0 && !a->stopping)
    rc = pthread_cond_timedwait(&a->come, &a->mutex, &until);
}

/* Writes what had been added by now, or what is left of the turn before. Mutex held, but for the
   writing. */
static void audit_turn(struct srv_audit *a) {
  bool last = a->stopping;
  if (a->taken.n == 0 && a->n_out == 0) {
    struct audit_buffer empty = a->taken;
    a->taken = a->waiting;
    a->waiting = empty;
    a->taking = a->added;
  }
  pthread_mutex_unlock(&a->mutex);
  int os = audit_write_all(a);
  if (!os && a->unsynced && (a->sync != AUDIT_OFF || last))
    os = audit_settle(a);
  audit_tell(a, os);
  pthread_mutex_lock(&a->mutex);
  if (!os)
    a->synced = a->taking;
  pthread_cond_broadcast(&a->done);
}

static void *audit_run(void *user) {
  struct srv_audit *a = user;
  pthread_mutex_lock(&a->mutex);
  for (bool last = false; !last;) {
    audit_rest(a);
    last = a->stopping && (a->waiting.n == 0 || atomic_load(&a->broken));
    audit_turn(a);
  }
  if (!atomic_load(&a->broken))
    audit_settle(a); /* to the other sector, too */
  pthread_mutex_unlock(&a->mutex);
  return NULL;
}

/* ---- Adding ---------------------------------------------------------------------------------- */

static bool audit_keep(struct audit_buffer *b, const char *body, size_t n) {
  uint32_t length = (uint32_t)n;
  size_t needed = b->n + sizeof length + n;
  if (needed > AUDIT_WAITING)
    return false;
  if (needed > b->room) {
    size_t room = needed > 2 * b->room ? needed : 2 * b->room;
    char *grown = realloc(b->data, room);
    if (!grown)
      return false;
    b->data = grown;
    b->room = room;
  }
  memcpy(b->data + b->n, &length, sizeof length);
  memcpy(b->data + b->n + sizeof length, body, n);
  b->n = needed;
  return true;
}

/* Says in the log how many records could not be kept. Mutex held. */
static void audit_confess(struct srv_audit *a) {
  struct srv_line line;
  if (a->lost == 0)
    return;
  srv_line_begin(&line, true);
  srv_line_time(&line);
  srv_line_text(&line, "event", "lost");
  srv_line_number(&line, "records", a->lost);
  if (!audit_keep(&a->waiting, line.text + 1, line.n - 1))
    return;
  a->added++;
  a->lost = 0;
}

/* The members of the line, which has been begun but not ended. */
static uint64_t audit_add(struct srv_audit *a, const struct srv_line *line) {
  pthread_mutex_lock(&a->mutex);
  audit_confess(a);
  if (audit_keep(&a->waiting, line->text + 1, line->n - 1)) {
    a->added++;
  } else {
    a->lost++;
    atomic_fetch_add(&a->n_lost, 1);
  }
  uint64_t number = a->added;
  pthread_cond_signal(&a->come);
  pthread_mutex_unlock(&a->mutex);
  return number;
}

uint64_t srv_audit_request(struct srv_audit *a, const struct srv_call *call, uint64_t ns) {
  struct srv_line line;
  srv_line_begin(&line, true);
  srv_line_time(&line);
  srv_line_text(&line, "event", "request");
  srv_line_call(&line, call);
  srv_line_number(&line, "status", (uint64_t)call->status);
  srv_line_text(&line, "error", call->failed);
  srv_line_ms(&line, "duration_ms", ns);
  return audit_add(a, &line);
}

void srv_audit_wait(struct srv_audit *a, uint64_t number) {
  if (a->sync != AUDIT_COMMIT)
    return;
  pthread_mutex_lock(&a->mutex);
  while (a->synced < number && !atomic_load(&a->broken))
    pthread_cond_wait(&a->done, &a->mutex);
  pthread_mutex_unlock(&a->mutex);
}

bool srv_audit_works(const struct srv_audit *a) {
  return !atomic_load_explicit(&a->broken, memory_order_relaxed);
}

void srv_audit_count(struct srv_audit *a, struct srv_audit_stats *out) {
  out->records = atomic_load(&a->n_records);
  out->bytes = atomic_load(&a->n_bytes);
  out->lost = atomic_load(&a->n_lost);
}

/* ---- Starting and stopping ------------------------------------------------------------------- */

static bool audit_refuse(const struct srv_audit *a, char *error, const char *why) {
  snprintf(error, SRV_CONFIG_ERROR, "the audit log in %.200s: %.300s", a->folder, why);
  return false;
}

/* The first record that this server writes says how it has found the log. */
static void audit_begin(struct srv_audit *a, const struct audit_walk *w) {
  struct srv_line line;
  srv_line_begin(&line, true);
  srv_line_time(&line);
  srv_line_text(&line, "event", "start");
  srv_line_number(&line, "after_head", a->link.seq - w->head.seq);
  srv_line_number(&line, "torn", w->torn);
  audit_add(a, &line);
}

/* Finds the end of the log that is there. What a crash has torn is cut off; more may not be
   missing. */
static bool audit_resume(struct srv_audit *a, char *error) {
  struct audit_walk w = {.folder = a->folder, .key = &a->key, .last_file_only = true};
  bool damaged, head = audit_head_read(a->head, &a->key, &w.head, &damaged);
  struct stat there;
  if (fstat(a->head, &there) != 0 || !audit_walk(&w))
    return audit_refuse(a, error, strerror(errno));
  if (*w.fault)
    return audit_refuse(a, error, w.fault);
  if (!head && (there.st_size > 0 || *w.file))
    return audit_refuse(a, error, "audit.head is damaged, or was written with another key");
  if (w.last.seq < w.head.seq)
    return audit_refuse(a, error, "its end was cut off; see vecdbd --verify-audit");
  a->link = a->kept = w.last;
  if (*w.file) {
    a->file = openat(a->dir, w.file, O_RDWR | O_CLOEXEC);
    if (a->file < 0 || ftruncate(a->file, (off_t)w.file_bytes) != 0)
      return audit_refuse(a, error, strerror(errno));
    a->end = w.file_bytes;
  }
  audit_begin(a, &w);
  return true;
}

static bool audit_open(struct srv_audit *a, const struct srv_config *config, char *error) {
  static const char *const modes[] = {"commit", "interval", "off"};
  unsigned mode = 0;
  while (mode < 3 && strcmp(config->audit_sync, modes[mode]) != 0)
    mode++;
  if (mode == 3) {
    snprintf(error, SRV_CONFIG_ERROR, "audit.sync is \"%.60s\", not commit, interval or off",
             config->audit_sync);
    return false;
  }
  a->sync = (enum audit_sync)mode;
  a->file_bytes = config->audit_file_bytes;
  if (!audit_key_read(config->audit_key, &a->key, error))
    return false;
  if (mkdir(a->folder, 0700) != 0 && errno != EEXIST)
    return audit_refuse(a, error, strerror(errno));
  a->dir = open(a->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (a->dir >= 0)
    a->head = openat(a->dir, "audit.head", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (a->head < 0)
    return audit_refuse(a, error, strerror(errno));
  return audit_resume(a, error);
}

/* Both sectors, and the first record: a log is whole from its beginning. */
static bool audit_first(struct srv_audit *a, char *error) {
  a->taken = a->waiting;
  a->waiting = (struct audit_buffer){NULL, 0, 0};
  int os = audit_write_all(a);
  for (int i = 0; !os && i < 2; i++)
    os = audit_settle(a);
  a->synced = a->added;
  return os == 0 || audit_refuse(a, error, strerror(os));
}

struct srv_audit *srv_audit_start(const struct srv_config *config, srv_audit_report *report,
                                  void *user, char *error) {
  struct srv_audit *a = calloc(1, sizeof *a);
  snprintf(error, SRV_CONFIG_ERROR, "out of memory");
  if (!a)
    return NULL;
  a->head = a->file = a->dir = -1;
  a->report = report;
  a->user = user;
  snprintf(a->folder, sizeof a->folder, "%s", config->audit_path);
  pthread_mutex_init(&a->mutex, NULL);
  pthread_cond_init(&a->come, NULL);
  pthread_cond_init(&a->done, NULL);
  a->out = malloc(AUDIT_BATCH);
  if (a->out && audit_open(a, config, error) && audit_first(a, error)) {
    a->threaded = pthread_create(&a->thread, NULL, audit_run, a) == 0;
    if (a->threaded)
      return a;
    audit_refuse(a, error, "no thread can be made");
  }
  srv_audit_stop(a);
  return NULL;
}

void srv_audit_stop(struct srv_audit *a) {
  if (!a)
    return;
  if (a->threaded) {
    pthread_mutex_lock(&a->mutex);
    a->stopping = true;
    pthread_cond_signal(&a->come);
    pthread_mutex_unlock(&a->mutex);
    pthread_join(a->thread, NULL);
  }
  const int all[] = {a->head, a->file, a->dir};
  for (int i = 0; i < 3; i++)
    if (all[i] >= 0)
      close(all[i]);
  pthread_cond_destroy(&a->come);
  pthread_cond_destroy(&a->done);
  pthread_mutex_destroy(&a->mutex);
  free(a->waiting.data);
  free(a->taken.data);
  free(a->out);
  free(a);
}
