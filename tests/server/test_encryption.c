/*
 * test_encryption.c - a server whose database is encrypted: nothing of the rows stands in its
 * files, it starts with the right key alone, from a file or a program, and keys are exchanged while
 * it serves.
 */
#include "server/webtest.h"

#include <dirent.h>
#include <sys/stat.h>

#define SECRET "a text that nobody may find in a file"

static const char key_one[] = "1111111111111111111111111111111111111111111111111111111111111111";
static const char key_two[] = "2222222222222222222222222222222222222222222222222222222222222222";

/* Writes a file beside the database, and gives its path. */
static const char *file_write(const struct web *w, const char *name, const char *text,
                              mode_t mode) {
  static char path[128];
  snprintf(path, sizeof path, "%s/%s", w->folder, name);
  FILE *f = fopen(path, "w");
  assert_non_null(f);
  fputs(text, f);
  assert_int_equal(fclose(f), 0);
  assert_int_equal(chmod(path, mode), 0);
  return path;
}

static void keys_write(const struct web *w, const char *one, const char *two) {
  char text[512] = "# keys\n";
  size_t n = strlen(text);
  if (one)
    n += (size_t)snprintf(text + n, sizeof text - n, "one = %s\n", one);
  if (two)
    snprintf(text + n, sizeof text - n, "  two=%s  \n", two);
  file_write(w, "keys", text, 0600);
}

static void sealed_init(struct web *w) {
  web_init(w);
  keys_write(w, key_one, NULL);
  snprintf(w->config.key_name, sizeof w->config.key_name, "one");
  snprintf(w->config.key_file, sizeof w->config.key_file, "%s/keys", w->folder);
}

/* The server does not start, and says this. */
static void start_fails(struct web *w, const char *why) {
  char error[SRV_CONFIG_ERROR] = "";
  assert_null(srv_server_start(&w->config, NULL, error));
  if (!strstr(error, why))
    fail_msg("\"%s\" says nothing of %s", error, why);
}

static void fill(const struct web *w) {
  web_do(w, 201, "POST", "/v1/collections",
         "{\"name\": \"docs\", \"fields\": [{\"name\": \"k\", \"type\": \"INT64\","
         " \"primary_key\": true}, {\"name\": \"v\", \"type\": \"FLOAT_VECTOR\", \"dim\": 1},"
         " {\"name\": \"t\", \"type\": \"VARCHAR\", \"max_length\": 99}]}");
  web_do(w, 200, "POST", "/v1/collections/docs/rows",
         "{\"rows\": [{\"k\": 1, \"v\": [1], \"t\": \"" SECRET "\"}]}");
}

static void has_row(const struct web *w) {
  json_t *row = web_expect(w, 200, "GET", "/v1/collections/docs/rows/1", NULL);
  assert_string_equal(json_string_value(json_object_get(row, "t")), SECRET);
  json_decref(row);
}

/* Whether any file of the folder and those in it has the text; *n counts the files. */
static bool files_tell(const char *folder, unsigned *n) {
  bool found = false;
  DIR *dir = opendir(folder);
  assert_non_null(dir);
  for (struct dirent *e; (e = readdir(dir)) != NULL;) {
    char path[600];
    snprintf(path, sizeof path, "%s/%.255s", folder, e->d_name);
    if (e->d_type == DT_DIR && e->d_name[0] != '.')
      found = files_tell(path, n) || found;
    if (e->d_type != DT_REG)
      continue;
    static char bytes[1 << 22];
    FILE *f = fopen(path, "r");
    size_t got = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    found = found || memmem(bytes, got, SECRET, 16);
    ++*n;
  }
  closedir(dir);
  return found;
}

static void test_files(void **state) {
  (void)state;
  struct web w;
  unsigned files = 0;
  sealed_init(&w);
  web_start(&w);
  fill(&w);
  assert_false(files_tell(w.folder, &files)); /* the log has the row */
  web_do(&w, 200, "POST", "/v1/collections/docs/flush", "{}");
  web_do(&w, 201, "POST", "/v1/snapshots", "{\"name\": \"copy\"}");
  web_stop(&w);
  assert_false(files_tell(w.folder, &files));
  assert_true(files > 6);
  web_start(&w);
  has_row(&w);
  web_stop(&w);
  snprintf(w.config.data, sizeof w.config.data, "%s/db.snapshots/copy", w.folder);
  web_start(&w);
  has_row(&w);
  web_end(&w);
}

static void test_wrong_keys(void **state) {
  (void)state;
  struct web w;
  sealed_init(&w);
  web_start(&w);
  fill(&w);
  web_stop(&w);
  keys_write(&w, key_two, NULL);
  start_fails(&w, "cannot open");
  keys_write(&w, NULL, key_two);
  start_fails(&w, "cannot open");
  keys_write(&w, "1234", key_two);
  start_fails(&w, "cannot open");
  keys_write(&w, key_one, NULL);
  chmod(w.config.key_file, 0644);
  start_fails(&w, "cannot open");
  *w.config.key_file = '\0';
  start_fails(&w, "storage.key_file");
  *w.config.key_name = '\0';
  start_fails(&w, "cannot open"); /* without any */
  snprintf(w.config.key_file, sizeof w.config.key_file, "%s/keys", w.folder);
  start_fails(&w, "storage.key");
  snprintf(w.config.key_name, sizeof w.config.key_name, "one");
  keys_write(&w, key_one, NULL);
  web_start(&w);
  has_row(&w);
  web_end(&w);
}

/* From then on the new key opens the database, and the former one does not. */
static void test_rotation(void **state) {
  (void)state;
  struct web w;
  sealed_init(&w);
  web_start(&w);
  fill(&w);
  web_fails(&w, 500, "KEY", "POST", "/v1/encryption/rotate", "{\"key\": \"two\"}");
  keys_write(&w, key_one, key_two);
  web_do(&w, 200, "POST", "/v1/encryption/rotate", "{\"key\": \"two\", \"new_data_key\": true}");
  has_row(&w);
  web_fails(&w, 400, "ARGUMENT", "POST", "/v1/encryption/rotate", "{\"name\": \"two\"}");
  web_stop(&w);
  keys_write(&w, key_one, NULL);
  start_fails(&w, "cannot open");
  keys_write(&w, NULL, key_two);
  web_start(&w);
  has_row(&w);
  web_end(&w);
  web_init(&w); /* one that is not encrypted */
  web_start(&w);
  web_fails(&w, 400, "ARGUMENT", "POST", "/v1/encryption/rotate", "{\"key\": \"two\"}");
  web_end(&w);
}

static void test_command(void **state) {
  (void)state;
  struct web w;
  char text[512];
  sealed_init(&w);
  *w.config.key_file = '\0';
  snprintf(text, sizeof text, "#!/bin/sh\n[ \"$1\" = one ] && echo %s\n", key_one);
  snprintf(w.config.key_command, sizeof w.config.key_command, "%s",
           file_write(&w, "fetch", text, 0700));
  web_start(&w);
  fill(&w);
  web_stop(&w);
  web_start(&w);
  has_row(&w);
  web_stop(&w);
  static const char *const wrong[] = {"#!/bin/sh\nexit 1\n", "#!/bin/sh\necho nothing\n",
                                      "#!/bin/sh\nyes 2>/dev/null\n", "no program\n"};
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    file_write(&w, "fetch", wrong[i], 0700);
    start_fails(&w, "cannot open");
  }
  file_write(&w, "fetch", text, 0722);
  start_fails(&w, "cannot open");
  file_write(&w, "fetch", text, 0700);
  web_start(&w);
  has_row(&w);
  web_end(&w);
}

int main(void) {
  signal(SIGPIPE, SIG_IGN);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_files), cmocka_unit_test(test_wrong_keys),
      cmocka_unit_test(test_rotation), cmocka_unit_test(test_command)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
