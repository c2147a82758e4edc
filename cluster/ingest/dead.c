/* dead.c - the file of what could not be written; see dead.h. */
#include "ingest/dead.h"

#include <fcntl.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ingest/ingest.h"

int dead_open(struct dead *d, const char *path, vecdb_error *error) {
  *d = (struct dead){.fd = -1};
  if (!path)
    return VECDB_OK;
  d->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  return d->fd < 0 ? ingest_fail_os(error, path) : VECDB_OK;
}

/* What was sent, so that it can be sent again: JSON has no place for other bytes than text. */
static json_t *dead_message(const struct ingest_message *m, const char **name) {
  json_t *text = json_stringn(m->data, m->n);
  *name = "message";
  if (text)
    return text;
  *name = "base64";
  unsigned char *to = malloc(m->n / 3 * 4 + 5);
  int n = to ? EVP_EncodeBlock(to, (const unsigned char *)m->data, (int)m->n) : 0;
  text = to ? json_stringn((const char *)to, (size_t)n) : NULL;
  free(to);
  return text;
}

/* The reason, which may have been cut inside a character; as a last resort the code's name. */
static json_t *dead_reason(const vecdb_error *why) {
  enum { CHARACTER = 4 };
  const size_t n = strlen(why->message);
  json_t *text = NULL;
  for (size_t cut = 0; !text && cut < CHARACTER && cut < n; cut++)
    text = json_stringn(why->message, n - cut);
  return text ? text : json_string(vecdb_status_name(why->code));
}

int dead_add(struct dead *d, const struct ingest_message *m, const vecdb_error *why,
             vecdb_error *error) {
  const char *name, *code = vecdb_status_name(why->code);
  json_t *message = dead_message(m, &name);
  json_t *json = json_pack("{s:I, s:s, s:o, s:o}", "position", (json_int_t)m->position, "code",
                           code, "reason", dead_reason(why), name, message);
  char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
  json_decref(json);
  if (!text)
    return ingest_fail(error, VECDB_ERR_NO_MEMORY, "out of memory");
  size_t n = strlen(text);
  text[n] = '\n'; /* in the place of the NUL: one write, one line */
  bool good = write(d->fd, text, n + 1) == (ssize_t)(n + 1);
  free(text);
  d->n++;
  d->dirty = true;
  return good ? VECDB_OK : ingest_fail_os(error, "the file of what could not be written");
}

int dead_sync(struct dead *d, vecdb_error *error) {
  if (d->dirty && fdatasync(d->fd) != 0)
    return ingest_fail_os(error, "the file of what could not be written");
  d->dirty = false;
  return VECDB_OK;
}

void dead_close(struct dead *d) {
  if (d->fd >= 0)
    close(d->fd);
}
