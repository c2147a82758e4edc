/* page.c - see page.h. */
#include "server/page.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { PAGE_FIRST = 64 * 1024 };

static bool page_room(struct srv_page *p, size_t n) {
  if (p->failed || n <= p->room - p->n)
    return !p->failed;
  size_t room = p->room ? p->room : PAGE_FIRST;
  while (n > room - p->n)
    room *= 2;
  char *grown = srv_arena_array(p->arena, room, 1);
  if (!grown) {
    p->failed = true;
    return false;
  }
  if (p->n)
    memcpy(grown, p->text, p->n);
  p->text = grown;
  p->room = room;
  return true;
}

static void page_put(struct srv_page *p, const char *text, size_t n) {
  if (!page_room(p, n))
    return;
  memcpy(p->text + p->n, text, n);
  p->n += n;
}

static void page_print(struct srv_page *p, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void page_print(struct srv_page *p, const char *format, ...) {
  char text[1024];
  va_list args;
  va_start(args, format);
  int n = vsnprintf(text, sizeof text, format, args);
  va_end(args);
  page_put(p, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

void srv_page_family(struct srv_page *p, const char *name, const char *type, const char *unit,
                     const char *help) {
  int n = (int)strlen(name);
  if (p->open_metrics && strcmp(type, "counter") == 0)
    n -= (int)sizeof "_total" - 1;
  p->family = name;
  page_print(p, "# HELP %.*s %s\n# TYPE %.*s %s\n", n, name, help, n, name, type);
  if (p->open_metrics && *unit)
    page_print(p, "# UNIT %.*s %s\n", n, name, unit);
}

/* A value between quotes. */
static void page_label(struct srv_page *p, const char *value) {
  page_put(p, "\"", 1);
  for (; *value; value++) {
    if (*value == '\n') {
      page_put(p, "\\n", 2);
      continue;
    }
    if (*value == '"' || *value == '\\')
      page_put(p, "\\", 1);
    page_put(p, value, 1);
  }
  page_put(p, "\"", 1);
}

/* The name of a sample and its labels, with one more if `le` is given. */
static void page_begin(struct srv_page *p, const char *suffix, srv_page_labels labels,
                       const char *le) {
  char before = '{';
  page_print(p, "%s%s", p->family, suffix);
  for (size_t i = 0; labels && labels[i]; i += 2, before = ',') {
    page_print(p, "%c%s=", before, labels[i]);
    page_label(p, labels[i + 1]);
  }
  if (le) {
    page_print(p, "%cle=\"%s\"", before, le);
    before = ',';
  }
  page_print(p, "%s ", before == ',' ? "}" : "");
}

void srv_page_value(struct srv_page *p, const char *suffix, srv_page_labels labels, double value) {
  page_begin(p, suffix, labels, NULL);
  page_print(p, "%.15g\n", value);
}

static void page_integer(struct srv_page *p, const char *suffix, srv_page_labels labels,
                         uint64_t value) {
  page_begin(p, suffix, labels, NULL);
  page_print(p, "%llu\n", (unsigned long long)value);
}

void srv_page_number(struct srv_page *p, srv_page_labels labels, uint64_t value) {
  page_integer(p, "", labels, value);
}

void srv_page_histogram(struct srv_page *p, srv_page_labels labels,
                        const struct srv_metrics_histogram *h) {
  uint64_t sum = 0;
  for (size_t i = 0; i <= SRV_METRICS_BUCKETS; i++) {
    sum += h->buckets[i];
    page_begin(p, "_bucket", labels, i < SRV_METRICS_BUCKETS ? srv_metrics_bounds[i].le : "+Inf");
    page_print(p, "%llu\n", (unsigned long long)sum);
  }
  srv_page_summary(p, labels, sum, h->ns);
}

void srv_page_summary(struct srv_page *p, srv_page_labels labels, uint64_t count, uint64_t ns) {
  srv_page_value(p, "_sum", labels, (double)ns / 1e9);
  page_integer(p, "_count", labels, count);
}

void srv_page_end(struct srv_page *p) {
  if (p->open_metrics)
    page_print(p, "# EOF\n");
}
