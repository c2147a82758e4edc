/* line.c - see line.h. */
#include "server/line.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { LINE_ROOM = SRV_LINE - 32 }; /* what srv_line_end adds always fits */

static void line_put(struct srv_line *l, const char *text, size_t n) {
  if (l->cut || n > LINE_ROOM - l->n) {
    l->cut = true;
    return;
  }
  memcpy(l->text + l->n, text, n);
  l->n += n;
}

/* Bytes of the UTF-8 character at `text`; 0: it is none. */
static size_t line_utf8(const unsigned char *text) {
  static const struct {
    unsigned char mask, lead;
    uint32_t least;
  } forms[] = {{0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
  for (size_t more = 0; more < 4; more++) {
    if ((text[0] & forms[more].mask) != forms[more].lead)
      continue;
    uint32_t code = text[0] & (unsigned char)~forms[more].mask;
    for (size_t i = 1; i <= more; i++) {
      if ((text[i] & 0xc0) != 0x80)
        return 0;
      code = code << 6 | (text[i] & 0x3f);
    }
    bool good = code >= forms[more].least && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
    return good ? more + 1 : 0;
  }
  return 0;
}

static void line_quote(struct srv_line *l, const char *value) {
  const unsigned char *at = (const unsigned char *)value;
  line_put(l, "\"", 1);
  while (*at) {
    size_t n = line_utf8(at);
    char escape[8];
    if (n == 0) {
      line_put(l, "\xef\xbf\xbd", 3);
      n = 1;
    } else if (*at < ' ' || *at == 0x7f) {
      line_put(l, escape, (size_t)snprintf(escape, sizeof escape, "\\u%04x", *at));
    } else {
      if (*at == '"' || *at == '\\')
        line_put(l, "\\", 1);
      line_put(l, (const char *)at, n);
    }
    at += n;
  }
  line_put(l, "\"", 1);
}

/* The name and what stands around it. */
static void line_name(struct srv_line *l, const char *name) {
  if (l->n > l->json)
    line_put(l, l->json ? "," : " ", 1);
  if (l->json)
    line_quote(l, name);
  else
    line_put(l, name, strlen(name));
  line_put(l, l->json ? ":" : "=", 1);
}

/* Leaves a field out that did not fit; others, shorter, may. */
static void line_settle(struct srv_line *l, size_t before, bool cut) {
  if (l->cut)
    l->n = before;
  l->cut = l->cut || cut;
}

void srv_line_begin(struct srv_line *l, bool json) {
  l->json = json;
  l->cut = false;
  l->n = 0;
  if (json)
    l->text[l->n++] = '{';
}

static bool line_plain(const char *value) {
  for (; *value; value++)
    if (*value <= ' ' || *value > '~' || *value == '"' || *value == '\\' || *value == '=')
      return false;
  return true;
}

void srv_line_text(struct srv_line *l, const char *name, const char *value) {
  if (!value || !*value)
    return;
  size_t before = l->n;
  bool cut = l->cut;
  l->cut = false;
  line_name(l, name);
  if (!l->json && line_plain(value))
    line_put(l, value, strlen(value));
  else
    line_quote(l, value);
  line_settle(l, before, cut);
}

void srv_line_bare(struct srv_line *l, const char *name, const char *value) {
  if (l->json) {
    srv_line_text(l, name, value);
    return;
  }
  if (l->n)
    line_put(l, " ", 1);
  for (; *value; value++)
    line_put(l, *value < ' ' ? " " : value, 1);
}

void srv_line_number(struct srv_line *l, const char *name, uint64_t value) {
  char text[24];
  size_t before = l->n;
  bool cut = l->cut;
  l->cut = false;
  line_name(l, name);
  line_put(l, text, (size_t)snprintf(text, sizeof text, "%llu", (unsigned long long)value));
  line_settle(l, before, cut);
}

void srv_line_ms(struct srv_line *l, const char *name, uint64_t ns) {
  char text[32];
  size_t before = l->n;
  bool cut = l->cut;
  l->cut = false;
  line_name(l, name);
  line_put(l, text, (size_t)snprintf(text, sizeof text, "%.3f", (double)ns / 1e6));
  line_settle(l, before, cut);
}

void srv_line_time(struct srv_line *l) {
  struct timespec now;
  struct tm utc;
  char day[24], stamp[40];
  clock_gettime(CLOCK_REALTIME, &now);
  gmtime_r(&now.tv_sec, &utc);
  strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &utc);
  snprintf(stamp, sizeof stamp, "%s.%03ldZ", day, now.tv_nsec / 1000000);
  srv_line_bare(l, "time", stamp);
}

const char *srv_line_end(struct srv_line *l) {
  static const char *const cuts[] = {" cut=true", ",\"cut\":true"};
  const char *cut = l->cut ? cuts[l->json] : "";
  l->n += (size_t)snprintf(l->text + l->n, SRV_LINE - l->n, "%s%s", cut, l->json ? "}" : "");
  return l->text;
}
