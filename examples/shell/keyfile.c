/* keyfile.c - reading keys from a file; see keyfile.h. */
#include "keyfile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEYFILE_LINE = 512, KEYFILE_MOST = 1024 };

static int keyfile_key(void *user, const char *key_id, uint8_t key[VECDB_KEY_BYTES]) {
  const struct keyfile *file = user;
  for (size_t i = 0; i < file->n; i++)
    if (strcmp(file->keys[i].name, key_id) == 0) {
      memcpy(key, file->keys[i].key, VECDB_KEY_BYTES);
      return 0;
    }
  return 1;
}

static int hex_value(char c) {
  static const char digits[] = "0123456789abcdefABCDEF";
  const char *at = c ? strchr(digits, c) : NULL;
  if (!at)
    return -1;
  return at - digits < 16 ? (int)(at - digits) : (int)(at - digits) - 6;
}

static bool hex_key(const char *text, uint8_t key[VECDB_KEY_BYTES]) {
  for (size_t i = 0; i < VECDB_KEY_BYTES; i++) {
    int high = hex_value(text[2 * i]), low = high < 0 ? -1 : hex_value(text[2 * i + 1]);
    if (low < 0)
      return false;
    key[i] = (uint8_t)(high * 16 + low);
  }
  return text[2 * (size_t)VECDB_KEY_BYTES] == '\0';
}

/* Takes in a line; false when it is neither a key nor empty. */
static bool keyfile_line(struct keyfile *file, char *line) {
  line[strcspn(line, "#\r\n")] = '\0';
  const char *rest = NULL;
  char *mark = NULL;
  char *name = strtok_r(line, " \t", &mark);
  char *hex = name ? strtok_r(NULL, " \t", &mark) : NULL;
  if (!name)
    return true;
  rest = strtok_r(NULL, " \t", &mark);
  if (!hex || rest || strlen(name) > VECDB_MAX_NAME || file->n == KEYFILE_MOST)
    return false;
  struct keyfile_key *key = &file->keys[file->n];
  memcpy(key->name, name, strlen(name) + 1);
  if (!hex_key(hex, key->key))
    return false;
  file->n++;
  return true;
}

static int keyfile_read(struct keyfile *file, FILE *in, const char *path, vecdb_error *error) {
  char line[KEYFILE_LINE];
  int status = VECDB_OK;
  for (int number = 1; !status && fgets(line, sizeof line, in); number++)
    if (!keyfile_line(file, line))
      status = fail(error, VECDB_ERR_KEY, "%.200s, line %d: no name and 64 hexadecimal digits",
                    path, number);
  explicit_bzero(line, sizeof line);
  if (!status && ferror(in))
    status = fail_os(error, "cannot read %.200s", path);
  if (!status && file->n == 0)
    status = fail(error, VECDB_ERR_KEY, "%.200s has no key in it", path);
  return status;
}

int keyfile_open(struct keyfile *out, const char *path, vecdb_error *error) {
  memset(out, 0, sizeof *out);
  FILE *in = fopen(path, "re");
  if (!in)
    return fail_os(error, "cannot open %.200s", path);
  setvbuf(in, NULL, _IONBF, 0); /* no copy of the keys in a buffer that nobody wipes */
  out->keys = mem_resize(NULL, KEYFILE_MOST, sizeof *out->keys);
  int status = keyfile_read(out, in, path, error);
  fclose(in);
  out->encryption = (vecdb_encryption)VECDB_ENCRYPTION_INIT;
  out->encryption.key_id = out->n ? out->keys[0].name : NULL;
  out->encryption.get_key = keyfile_key;
  out->encryption.user = out;
  return status;
}

void keyfile_close(struct keyfile *file) {
  if (file->keys)
    explicit_bzero(file->keys, KEYFILE_MOST * sizeof *file->keys);
  free(file->keys);
  memset(file, 0, sizeof *file);
}
