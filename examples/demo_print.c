/* demo_print.c - terminal output of the demo; see demo_print.h. */
#include "demo_print.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BAR_WIDTH = 30 };

double demo_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

struct demo_text demo_count(uint64_t n) {
  char digits[24];
  struct demo_text out;
  int length = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n), at = 0;
  for (int i = 0; i < length; i++) {
    if (i > 0 && (length - i) % 3 == 0)
      out.s[at++] = ',';
    out.s[at++] = digits[i];
  }
  out.s[at] = '\0';
  return out;
}

struct demo_text demo_seconds(double seconds) {
  struct demo_text out;
  if (seconds >= 1)
    snprintf(out.s, sizeof out.s, "%.2f s", seconds);
  else if (seconds >= 1e-3)
    snprintf(out.s, sizeof out.s, "%.2f ms", seconds * 1e3);
  else
    snprintf(out.s, sizeof out.s, "%.0f us", seconds * 1e6);
  return out;
}

struct demo_text demo_bytes(uint64_t bytes) {
  struct demo_text out;
  snprintf(out.s, sizeof out.s, "%.1f MB", (double)bytes / 1e6);
  return out;
}

/* Bytes of text that fit `width` columns, cut at a word; a character is taken for one column. */
static size_t print_fit(const char *text, size_t length, int width) {
  size_t at = 0, word = 0;
  for (int columns = 0; at < length; columns++) {
    if (text[at] == ' ')
      word = at;
    if (columns == width)
      return word ? word : at;
    at++;
    while (at < length && ((unsigned char)text[at] & 0xC0) == 0x80)
      at++;
  }
  return length;
}

void demo_wrap(const char *text, size_t length, int indent, int width, int lines) {
  for (int line = 1; line <= lines && length > 0; line++) {
    bool last = line == lines;
    size_t n = print_fit(text, length, width - indent);
    if (last && n < length)
      n = print_fit(text, length, width - indent - 4);
    printf("%*s%.*s%s\n", indent, "", (int)n, text, last && n < length ? " ..." : "");
    while (n < length && text[n] == ' ')
      n++;
    text += n;
    length -= n;
  }
}

void demo_bar_start(struct demo_bar *bar, const char *name) {
  bar->name = name;
  bar->start = demo_now();
  bar->drawn = 0;
  bar->terminal = isatty(STDOUT_FILENO) == 1;
}

void demo_bar_draw(struct demo_bar *bar, uint64_t done, uint64_t total) {
  double now = demo_now();
  if (!bar->terminal || total == 0 || now - bar->drawn < 0.05)
    return;
  bar->drawn = now;
  char line[BAR_WIDTH + 1];
  int full = (int)(done * BAR_WIDTH / total);
  memset(line, '.', BAR_WIDTH);
  memset(line, '#', (size_t)(full > BAR_WIDTH ? BAR_WIDTH : full));
  line[BAR_WIDTH] = '\0';
  printf("\r  %-8s [%s] %3d %%  %s/s ", bar->name, line, (int)(done * 100 / total),
         demo_count((uint64_t)((double)done / (now - bar->start))).s);
  fflush(stdout);
}

void demo_bar_end(struct demo_bar *bar, const char *note) {
  if (bar->terminal)
    printf("\r\033[K");
  printf("  %-8s %10s   %s\n", bar->name, demo_seconds(demo_now() - bar->start).s, note);
  fflush(stdout);
}
