/* key.c - the keys of the documents; see key.h. */
#include "meta/key.h"

#include <stdio.h>
#include <string.h>

static const struct key_form {
  const char *word;
  int numbers; /* behind the word */
} key_forms[] = {
    [DOC_PATH_CLUSTER] = {"fmt", 0}, [DOC_PATH_CONTROL] = {"ctl", 0},
    [DOC_PATH_IDS] = {"ids", 0},     [DOC_PATH_NUMBERS] = {"numbers", 0},
    [DOC_PATH_NODE] = {"node", 1},
    [DOC_PATH_LIVE] = {"live", 1},   [DOC_PATH_COLL] = {"coll", 1},
    [DOC_PATH_SLOTS] = {"slots", 1}, [DOC_PATH_SPLITS] = {"splits", 1},
    [DOC_PATH_SHARD] = {"shard", 2}, [DOC_PATH_MOVE] = {"move", 2},
    [DOC_PATH_SPLIT] = {"split", 2},
};
enum { KEY_DIGITS = 10 }; /* of the largest uint32_t */

void doc_uuid_text(struct doc_uuid id, char *out) {
  for (size_t i = 0; i < sizeof id.bytes; i++)
    snprintf(out + 2 * i, 3, "%02x", id.bytes[i]);
}

static int key_hex(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool doc_uuid_parse(const char *text, struct doc_uuid *out) {
  for (size_t i = 0; i < sizeof out->bytes; i++) {
    int high = key_hex(text[2 * i]);
    int low = high < 0 ? -1 : key_hex(text[2 * i + 1]);
    if (low < 0)
      return false;
    out->bytes[i] = (uint8_t)(high * 16 + low);
  }
  return text[2 * sizeof out->bytes] == 0;
}

struct doc_path doc_root(struct doc_uuid cluster) {
  struct doc_path path;
  char id[33];
  doc_uuid_text(cluster, id);
  snprintf(path.text, sizeof path.text, "/vdb/%s/", id);
  return path;
}

struct doc_path doc_path(struct doc_uuid cluster, enum doc_kind kind, uint32_t a, uint32_t b) {
  struct doc_path path = doc_root(cluster);
  const struct key_form *form = &key_forms[kind];
  size_t n = strlen(path.text);
  if (form->numbers == 0)
    snprintf(path.text + n, sizeof path.text - n, "%s", form->word);
  else if (form->numbers == 1)
    snprintf(path.text + n, sizeof path.text - n, "%s/%010u", form->word, a);
  else
    snprintf(path.text + n, sizeof path.text - n, "%s/%010u/%010u", form->word, a, b);
  return path;
}

struct doc_path doc_path_all(struct doc_uuid cluster, enum doc_kind kind, uint32_t a) {
  struct doc_path path = doc_root(cluster);
  const struct key_form *form = &key_forms[kind];
  size_t n = strlen(path.text);
  if (form->numbers == 2 && a)
    snprintf(path.text + n, sizeof path.text - n, "%s/%010u/", form->word, a);
  else
    snprintf(path.text + n, sizeof path.text - n, "%s/", form->word);
  return path;
}

struct doc_path doc_path_name(struct doc_uuid cluster, const char *name) {
  struct doc_path path = doc_root(cluster);
  size_t n = strlen(path.text);
  snprintf(path.text + n, sizeof path.text - n, "name/%.*s", DOC_NAME_MAX, name);
  return path;
}

/* "/" and ten digits at the text, which is moved behind them. */
static bool key_number(const char **text, const char *end, uint32_t *out) {
  uint64_t value = 0;
  if (end - *text < KEY_DIGITS + 1 || **text != '/')
    return false;
  for (int i = 1; i <= KEY_DIGITS; i++) {
    char c = (*text)[i];
    if (c < '0' || c > '9')
      return false;
    value = value * 10 + (uint64_t)(c - '0');
  }
  *text += KEY_DIGITS + 1;
  *out = (uint32_t)value;
  return value <= UINT32_MAX;
}

enum doc_kind doc_path_parse(struct doc_uuid cluster, struct meta_bytes key, uint32_t *a,
                             uint32_t *b) {
  struct doc_path root = doc_root(cluster);
  size_t n = strlen(root.text);
  *a = *b = 0;
  if (key.n < n || memcmp(key.data, root.text, n) != 0)
    return DOC_PATH_OTHER;
  const char *text = (const char *)key.data + n, *end = (const char *)key.data + key.n;
  for (enum doc_kind kind = 0; kind < DOC_PATH_OTHER; kind++) {
    const struct key_form *form = &key_forms[kind];
    size_t word = strlen(form->word);
    if ((size_t)(end - text) < word || memcmp(text, form->word, word) != 0)
      continue;
    const char *at = text + word;
    if (form->numbers > 0 && !key_number(&at, end, a))
      continue;
    if (form->numbers > 1 && !key_number(&at, end, b))
      continue;
    if (at == end)
      return kind;
  }
  return DOC_PATH_OTHER;
}
