/* http_head.c - the text of a request's headers, and what it says of the body; see http_head.h. */
#include "server/http_head.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { HEAD_ROOM = 1024, HEAD_DIGITS = 18 /* of a length that fits a number */ };

void srv_http_head_free(struct http_head *h) {
  free(h->text);
  *h = (struct http_head){0};
}

/* Connections that wait keep no more than a small text. */
void srv_http_head_clear(struct http_head *h) {
  if (h->room > HEAD_ROOM)
    srv_http_head_free(h);
  *h = (struct http_head){.text = h->text, .room = h->room};
}

size_t srv_http_head_see(struct http_head *h, const char *bytes, size_t n) {
  size_t i = 0;
  for (; i < n && !h->ended; i++) {
    char c = bytes[i];
    if (h->ending) {
      h->odd = h->odd || c != '\n';
      h->ended = true;
    } else if (h->seen == '\n') {
      h->odd = h->odd || c == ' ' || c == '\t';
      h->ended = c == '\n';
      h->ending = c == '\r';
    }
    if (h->seen || (c != '\r' && c != '\n'))
      h->seen = c;
  }
  return i;
}

static bool head_append(struct http_head *h, const char *text, size_t n) {
  if (n > SRV_HTTP_HEAD_BYTES - h->n)
    return false;
  if (h->n + n > h->room) {
    size_t room = h->room ? h->room : HEAD_ROOM;
    while (room < h->n + n)
      room *= 2;
    char *grown = realloc(h->text, room);
    if (!grown)
      return false;
    h->text = grown;
    h->room = room;
  }
  memcpy(h->text + h->n, text, n);
  h->n += n;
  return true;
}

bool srv_http_head_add(struct http_head *h, enum http_part part, const char *text, size_t n) {
  if (part != h->part && !head_append(h, "", 1))
    return false;
  h->part = part;
  if (n && memchr(text, '\0', n)) {
    h->odd = true; /* it would end the part before its end */
    return true;
  }
  return head_append(h, text, n);
}

/* Steps from a header to the next, from NULL to the first; false after the last one. */
static bool head_next(const struct http_head *h, const char **name, const char **value) {
  const char *at = *name ? *value + strlen(*value) + 1 : h->text + h->first;
  if (at >= h->text + h->n)
    return false;
  *name = at;
  *value = at + strlen(at) + 1;
  return true;
}

static uint32_t head_letter(const char *name) {
  return 1u << (*name & 31);
}

bool srv_http_head_end(struct http_head *h) {
  if (!head_append(h, "", 1))
    return false;
  h->first = strlen(h->text) + 1;
  char *question = strchr(h->text, '?');
  if (question)
    *question = '\0'; /* nothing here is asked by a query string */
  const char *name = NULL, *value = NULL;
  while (head_next(h, &name, &value))
    h->letters |= head_letter(name);
  return true;
}

const char *srv_http_head_find(const struct http_head *h, const char *wanted) {
  const char *name = NULL, *value = NULL;
  while ((h->letters & head_letter(wanted)) && head_next(h, &name, &value))
    if (strcasecmp(name, wanted) == 0)
      return value;
  return NULL;
}

bool srv_http_head_twice(const struct http_head *h, const char *wanted) {
  const char *name = NULL, *value = NULL;
  unsigned n = 0;
  while ((h->letters & head_letter(wanted)) && head_next(h, &name, &value))
    n += strcasecmp(name, wanted) == 0;
  return n > 1;
}

static bool head_length(const char *text, uint64_t *length) {
  size_t n = strlen(text);
  if (n == 0 || strspn(text, "0123456789") != n || (n > 1 && *text == '0')) /* octal, to some */
    return false;
  *length = n > HEAD_DIGITS ? UINT64_MAX : strtoull(text, NULL, 10);
  return true;
}

struct http_framing srv_http_head_framing(const struct http_head *h, unsigned minor) {
  struct http_framing f = {!h->odd, false, 0};
  unsigned lengths = 0, codings = 0, hosts = 0;
  const char *name = NULL, *value = NULL;
  while (head_next(h, &name, &value)) {
    if (strcasecmp(name, "Content-Length") == 0) {
      lengths++;
      f.clear = f.clear && head_length(value, &f.length);
    } else if (strcasecmp(name, "Transfer-Encoding") == 0) {
      codings++;
      f.clear = f.clear && minor >= 1 && strcasecmp(value, "chunked") == 0;
    } else if (strcasecmp(name, "Host") == 0) {
      hosts++;
    } else {
      f.clear = f.clear && !strpbrk(name, " \t");
    }
  }
  f.chunked = codings > 0;
  f.clear = f.clear && lengths + codings <= 1 && hosts <= 1 && (hosts == 1 || minor == 0);
  return f;
}
