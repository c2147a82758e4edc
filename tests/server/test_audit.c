/*
 * test_audit.c - the audit log: whatever is altered, removed, reordered, forged or cut in it is
 * found; a log goes on after a stop and after a crash; many threads share it.
 * TSAN: yes
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/audit.h"
#include "server/audit_walk.h"
#include "server/call.h"
#include "server/routes.h"
#include "tlib/thorough.h"

enum { FILES = 16, RECORDS = 24, ROOM = 64 * 1024 };

struct file {
  char name[AUDIT_NAME];
  char *data; /* ROOM bytes */
  size_t n;
  bool changed; /* on the disk */
};

struct fixture {
  char folder[64], key[80];
  struct srv_config config;
  struct file files[FILES]; /* the log's in order, and the head */
  size_t n_files;
  uint64_t random;
};

static char said[1024];

static void say(const char *text) {
  snprintf(said, sizeof said, "%s", text);
}

static void no_report(void *user, const char *line) {
  (void)user;
  fail_msg("%s", line);
}

static uint64_t draw(struct fixture *f, uint64_t below) {
  f->random = f->random * 6364136223846793005u + 1442695040888963407u;
  return (f->random >> 33) % below;
}

static int order(const void *a, const void *b) {
  return strcmp(((const struct file *)a)->name, ((const struct file *)b)->name);
}

/* ---- A log ----------------------------------------------------------------------------------- */

static int setup(void **state) {
  struct fixture *f = calloc(1, sizeof *f);
  bool memory = access("/dev/shm", W_OK) == 0; /* files are written tens of thousands of times */
  snprintf(f->folder, sizeof f->folder, "%s/vecdb-audit-XXXXXX", memory ? "/dev/shm" : "/tmp");
  assert_non_null(mkdtemp(f->folder));
  snprintf(f->key, sizeof f->key, "%s.key", f->folder);
  FILE *key = fopen(f->key, "wb");
  fputs("a key for tests, of 32 bytes or more", key);
  fclose(key);
  srv_config_init(&f->config);
  snprintf(f->config.audit_path, sizeof f->config.audit_path, "%s", f->folder);
  snprintf(f->config.audit_key, sizeof f->config.audit_key, "%s", f->key);
  f->config.audit_file_bytes = 4096;
  for (size_t i = 0; i < FILES; i++)
    f->files[i].data = malloc(ROOM);
  *state = f;
  return 0;
}

static int teardown(void **state) {
  struct fixture *f = *state;
  char command[256];
  snprintf(command, sizeof command, "rm -rf '%s' '%s'", f->folder, f->key);
  assert_int_equal(system(command), 0);
  for (size_t i = 0; i < FILES; i++)
    free(f->files[i].data);
  free(f);
  return 0;
}

static struct srv_audit *begin(struct fixture *f) {
  char error[SRV_CONFIG_ERROR];
  struct srv_audit *audit = srv_audit_start(&f->config, no_report, NULL, error);
  if (!audit)
    fail_msg("%s", error);
  return audit;
}

static void add(struct srv_audit *audit, unsigned i) {
  struct srv_call call = {.status = 200, .failed = i % 7 == 0 ? "NOT_FOUND" : NULL};
  call.route = srv_route_at(i % 9);
  srv_trace_begin(&call.trace, NULL, NULL);
  snprintf(call.collection, sizeof call.collection, "collection \"%u\"", i);
  srv_audit_wait(audit, srv_audit_request(audit, &call, i * 1000));
}

/* A log of several files: each record is synced alone, so files end when they are full. */
static void make_log(struct fixture *f) {
  snprintf(f->config.audit_sync, sizeof f->config.audit_sync, "commit");
  struct srv_audit *audit = begin(f);
  for (unsigned i = 1; i < RECORDS; i++) /* and the one of the start */
    add(audit, i);
  srv_audit_stop(audit);
}

static void read_log(struct fixture *f) {
  DIR *all = opendir(f->folder);
  f->n_files = 0;
  for (const struct dirent *entry; (entry = readdir(all)) != NULL;) {
    char path[512];
    if (entry->d_name[0] == '.')
      continue;
    struct file *file = &f->files[f->n_files++];
    file->changed = false;
    snprintf(file->name, sizeof file->name, "%.31s", entry->d_name);
    snprintf(path, sizeof path, "%s/%s", f->folder, file->name);
    FILE *in = fopen(path, "rb");
    file->n = fread(file->data, 1, ROOM, in);
    fclose(in);
  }
  closedir(all);
  qsort(f->files, f->n_files, sizeof f->files[0], order);
}

static void note_change(struct fixture *f, const char *name) {
  for (size_t i = 0; i < f->n_files; i++)
    f->files[i].changed = f->files[i].changed || strcmp(f->files[i].name, name) == 0;
}

static void put_file(struct fixture *f, const char *name, const char *data, size_t n) {
  char path[512];
  note_change(f, name);
  snprintf(path, sizeof path, "%s/%s", f->folder, name);
  FILE *out = fopen(path, "wb");
  assert_int_equal(fwrite(data, 1, n, out), n);
  fclose(out);
}

static void remove_file(struct fixture *f, const char *name) {
  char path[512];
  note_change(f, name);
  snprintf(path, sizeof path, "%s/%s", f->folder, name);
  remove(path);
}

static void restore(struct fixture *f) {
  for (size_t i = 0; i < f->n_files; i++) {
    if (f->files[i].changed)
      put_file(f, f->files[i].name, f->files[i].data, f->files[i].n);
    f->files[i].changed = false;
  }
}

static int verify(const struct fixture *f) {
  return srv_audit_verify(f->folder, f->config.audit_key, say);
}

/* ---- Mutations ------------------------------------------------------------------------------- */

/* Where the lines of a file begin; how many there are. The end stands behind the last. */
static size_t lines_of(const struct file *file, size_t *starts) {
  size_t n = 0, at = 0;
  while (at < file->n) {
    starts[n++] = at;
    at = (size_t)((char *)memchr(file->data + at, '\n', file->n - at) - file->data) + 1;
  }
  starts[n] = file->n;
  return n;
}

static struct file *any_log(struct fixture *f) {
  return &f->files[draw(f, f->n_files - 1)];
}

static const char *alter_byte(struct fixture *f) {
  const struct file *file = &f->files[draw(f, f->n_files)]; /* or the head */
  char copy[ROOM];
  memcpy(copy, file->data, file->n);
  copy[draw(f, file->n)] ^= (char)(1 + draw(f, 255));
  put_file(f, file->name, copy, file->n);
  return "a byte altered";
}

static const char *remove_record(struct fixture *f) {
  const struct file *file = any_log(f);
  size_t starts[256], n = lines_of(file, starts), i = draw(f, n);
  char copy[ROOM];
  memcpy(copy, file->data, starts[i]);
  memcpy(copy + starts[i], file->data + starts[i + 1], file->n - starts[i + 1]);
  put_file(f, file->name, copy, file->n - (starts[i + 1] - starts[i]));
  return "a record removed";
}

static const char *repeat_record(struct fixture *f) {
  const struct file *file = any_log(f);
  size_t starts[256], n = lines_of(file, starts), i = draw(f, n);
  char copy[2 * ROOM];
  memcpy(copy, file->data, starts[i + 1]);
  memcpy(copy + starts[i + 1], file->data + starts[i], file->n - starts[i]);
  put_file(f, file->name, copy, file->n + starts[i + 1] - starts[i]);
  return "a record repeated";
}

static const char *swap_records(struct fixture *f) {
  const struct file *file = any_log(f);
  size_t starts[256], n = lines_of(file, starts);
  if (n < 2)
    return alter_byte(f);
  size_t i = draw(f, n - 1);
  size_t first = starts[i + 1] - starts[i], second = starts[i + 2] - starts[i + 1];
  char copy[ROOM];
  memcpy(copy, file->data, file->n);
  memcpy(copy + starts[i], file->data + starts[i + 1], second);
  memcpy(copy + starts[i] + second, file->data + starts[i], first);
  put_file(f, file->name, copy, file->n);
  return "two records in another order";
}

static const char *cut_tail(struct fixture *f) {
  size_t which = draw(f, f->n_files - 1);
  const struct file *file = &f->files[which];
  size_t starts[256], n = lines_of(file, starts);
  size_t keep = draw(f, 2) ? starts[draw(f, n)] : draw(f, file->n);
  for (size_t i = which + 1; i + 1 < f->n_files; i++)
    remove_file(f, f->files[i].name);
  put_file(f, file->name, file->data, keep);
  if (keep == 0 && draw(f, 2))
    remove_file(f, file->name);
  return "the tail cut off";
}

static const char *remove_one_file(struct fixture *f) {
  remove_file(f, f->files[draw(f, f->n_files)].name);
  return "a file removed";
}

static const char *swap_files(struct fixture *f) {
  size_t i = draw(f, f->n_files - 2);
  const struct file *a = &f->files[i], *b = &f->files[i + 1];
  put_file(f, a->name, b->data, b->n);
  put_file(f, b->name, a->data, a->n);
  return "two files exchanged";
}

/* Who has read this code, but not the key: writes the log anew from some record on, with hashes
   that follow one another, and a head to it. */
static const char *forge(struct fixture *f) {
  static const char body[] = "\"event\":\"forged\"";
  struct audit_key wrong = {.n = draw(f, 2) ? AUDIT_KEY_LEAST : 0};
  struct audit_link link, other;
  char copy[ROOM + AUDIT_MORE];
  size_t which = f->n_files - 2;
  const struct file *file = &f->files[which];
  size_t starts[256], n = lines_of(file, starts), keep = draw(f, n + 1);
  unsigned long long first;
  sscanf(file->name, "audit-%llu", &first);
  link.seq = first - 1 + keep;
  const char *before = keep ? file->data + starts[keep] - AUDIT_HASH - 2 : NULL;
  snprintf(link.hash, sizeof link.hash, "%s", before ? before : file->data + starts[0]);
  if (!before)
    sscanf(file->data, "{\"seq\":%*u,\"prev\":\"%64[0-9a-f]", link.hash);
  memcpy(copy, file->data, starts[keep]);
  size_t size = starts[keep];
  for (size_t i = keep; i < n || i == keep; i++)
    size += audit_seal(&wrong, &link, body, sizeof body - 1, copy + size);
  put_file(f, file->name, copy, size);
  other = link;
  if (draw(f, 2)) {
    char path[512];
    note_change(f, "audit.head");
    snprintf(path, sizeof path, "%s/audit.head", f->folder);
    FILE *head = fopen(path, "r+b");
    for (unsigned sector = 0; sector < 2; sector++)
      assert_int_equal(audit_head_write(fileno(head), sector, &wrong, &other), 0);
    fclose(head);
  }
  return "records forged without the key";
}

static void test_mutations(void **state) {
  static const char *(*const mutate[])(struct fixture *) = {
      alter_byte, remove_record, repeat_record, swap_records,
      cut_tail,   swap_files,    remove_one_file, forge};
  struct fixture *f = *state;
  unsigned n = TEST_SIZES(10000, 10000, 200), found = 0;
  make_log(f);
  read_log(f);
  assert_in_range(f->n_files, 4, FILES);
  assert_int_equal(verify(f), 0);
  for (unsigned i = 0; i < n; i++) {
    const char *what = mutate[i % (sizeof mutate / sizeof mutate[0])](f);
    int got = verify(f);
    if (got != 1)
      fail_msg("%s, mutation %u: not found (%d): %s", what, i, got, said);
    found++;
    restore(f);
  }
  assert_int_equal(verify(f), 0);
  print_message("%u of %u mutations found\n", found, n);
}

/* ---- The life of a log ----------------------------------------------------------------------- */

static void expect_whole(const struct fixture *f, unsigned records) {
  char wanted[64];
  assert_int_equal(verify(f), 0);
  snprintf(wanted, sizeof wanted, "whole: %u records ", records);
  if (strncmp(said, wanted, strlen(wanted)) != 0)
    fail_msg("%s, not %s", said, wanted);
}

static void test_goes_on(void **state) {
  struct fixture *f = *state;
  make_log(f);
  expect_whole(f, RECORDS);
  make_log(f);
  expect_whole(f, 2 * RECORDS);
  /* A crash within a record, and before the head was written: that record is lost, no other. */
  read_log(f);
  const struct file *last = &f->files[f->n_files - 2];
  char copy[ROOM];
  memcpy(copy, last->data, last->n);
  memcpy(copy + last->n, "{\"seq\":", 7);
  put_file(f, last->name, copy, last->n + 7);
  assert_int_equal(verify(f), 1);
  srv_audit_stop(begin(f));
  expect_whole(f, 2 * RECORDS + 1);
  /* A crash when a new file had no record yet. */
  char name[AUDIT_NAME];
  audit_file_name(2 * RECORDS + 2, name);
  put_file(f, name, "{", 1);
  srv_audit_stop(begin(f));
  expect_whole(f, 2 * RECORDS + 2);
}

/* A server does not go on with a log that was cut, and says so. */
static void test_refuses(void **state) {
  struct fixture *f = *state;
  char error[SRV_CONFIG_ERROR];
  make_log(f);
  read_log(f);
  remove_file(f, f->files[f->n_files - 2].name);
  assert_null(srv_audit_start(&f->config, no_report, NULL, error));
  assert_non_null(strstr(error, "cut off"));
  restore(f);
  snprintf(f->config.audit_key, sizeof f->config.audit_key, "%s/audit.head", f->folder);
  assert_null(srv_audit_start(&f->config, no_report, NULL, error));
  assert_non_null(strstr(error, "another key"));
  snprintf(f->config.audit_sync, sizeof f->config.audit_sync, "sometimes");
  assert_null(srv_audit_start(&f->config, no_report, NULL, error));
  assert_non_null(strstr(error, "not commit, interval or off"));
  f->config.audit_key[0] = '\0';
  assert_int_equal(verify(f), 1); /* the chain has a key */
}

struct adder {
  struct srv_audit *audit;
  unsigned n;
};

static void *add_many(void *user) {
  struct adder *a = user;
  for (unsigned i = 0; i < a->n; i++)
    add(a->audit, i);
  return NULL;
}

static void test_threads(void **state) {
  static const char *const modes[] = {"commit", "interval", "off"};
  struct fixture *f = *state;
  unsigned records = 0;
  for (int m = 0; m < 3; m++) {
    pthread_t threads[4];
    snprintf(f->config.audit_sync, sizeof f->config.audit_sync, "%s", modes[m]);
    struct adder adder = {begin(f), 50};
    for (int i = 0; i < 4; i++)
      assert_int_equal(pthread_create(&threads[i], NULL, add_many, &adder), 0);
    for (int i = 0; i < 4; i++)
      pthread_join(threads[i], NULL);
    srv_audit_stop(adder.audit);
    records += 4 * 50 + 1;
    expect_whole(f, records);
  }
}

static char reported[512];

static void keep_report(void *user, const char *line) {
  (void)user; /* called by the log's thread: to be read after its end */
  strncat(reported, line, sizeof reported - 1 - strlen(reported));
}

/* While files may not grow nothing is lost: waiters are let go, the log says that it does not work,
   and when it does again all records are there. */
static void test_full_disk(void **state) {
  struct fixture *f = *state;
  char error[SRV_CONFIG_ERROR];
  struct rlimit before, now;
  snprintf(f->config.audit_sync, sizeof f->config.audit_sync, "commit");
  struct srv_audit *audit = srv_audit_start(&f->config, keep_report, NULL, error);
  assert_non_null(audit);
  add(audit, 1);
  assert_true(srv_audit_works(audit));
  signal(SIGXFSZ, SIG_IGN);
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
  now = before;
  now.rlim_cur = 1024; /* room for the head alone */
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &now), 0);
  for (unsigned i = 2; i < 10; i++)
    add(audit, i);
  bool works = srv_audit_works(audit);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
  assert_false(works);
  for (int ms = 0; !srv_audit_works(audit); ms++) { /* it tries again each second */
    assert_true(ms < 60000);
    usleep(1000);
  }
  srv_audit_stop(audit);
  assert_non_null(strstr(reported, "cannot be written: File too large"));
  assert_non_null(strstr(reported, "is written again"));
  expect_whole(f, 10);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_mutations, setup, teardown),
      cmocka_unit_test_setup_teardown(test_goes_on, setup, teardown),
      cmocka_unit_test_setup_teardown(test_refuses, setup, teardown),
      cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
      cmocka_unit_test_setup_teardown(test_full_disk, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
