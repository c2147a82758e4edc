/* demo_print.h - how the demo writes to the terminal: numbers, wrapped text, a progress bar. */
#ifndef DEMO_PRINT_H
#define DEMO_PRINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Seconds on a clock that never goes back. */
double demo_now(void);

/* Room for one formatted number. */
struct demo_text {
  char s[40];
};
struct demo_text demo_count(uint64_t n);         /* 20,000 */
struct demo_text demo_seconds(double seconds);   /* 1.2 s, 3.4 ms, 56 us */
struct demo_text demo_bytes(uint64_t bytes);     /* 3.4 MB */

/* Writes text in lines of at most `width` columns, each indented; at most `lines` of them, the last
   ending in "..." when there is more. */
void demo_wrap(const char *text, size_t length, int indent, int width, int lines);

/* One step of the demo with its progress: a bar that is drawn again and again on a terminal, else
   one line at the end. */
struct demo_bar {
  const char *name;
  double start;
  double drawn;
  bool terminal;
};
void demo_bar_start(struct demo_bar *bar, const char *name);
void demo_bar_draw(struct demo_bar *bar, uint64_t done, uint64_t total);
/* The final line: "name  time  note". */
void demo_bar_end(struct demo_bar *bar, const char *note);

#endif
