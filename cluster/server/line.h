/*
 * line.h - one line of a log: fields by name, as a JSON object or as text for people. A field that
 * does not fit is left out, and the line says so; what is there is always whole.
 */
#ifndef SRV_LINE_H
#define SRV_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SRV_LINE = 8192 };

struct srv_line {
  bool json;
  bool cut; /* a field did not fit */
  size_t n;
  char text[SRV_LINE];
};

/* In JSON every line is an object; as text fields are name=value, quoted where they must be. */
void srv_line_begin(struct srv_line *line, bool json);
/* An empty value, or NULL, makes no field. Bytes that are no UTF-8 are replaced. */
void srv_line_text(struct srv_line *line, const char *name, const char *value);
/* As text: the value alone, without a name. In JSON: as above. */
void srv_line_bare(struct srv_line *line, const char *name, const char *value);
void srv_line_number(struct srv_line *line, const char *name, uint64_t value);
/* Nanoseconds, written as milliseconds. */
void srv_line_ms(struct srv_line *line, const char *name, uint64_t ns);
/* The wall clock's time, as 2026-01-31T23:59:59.123Z. */
void srv_line_time(struct srv_line *line);
/* Ends the line; its text, without a newline. */
const char *srv_line_end(struct srv_line *line);

#endif
