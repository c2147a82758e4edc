/*
 * json_write.h - JSON values as text, as Jansson writes them compactly, in a part of its time: an
 * answer with distances is mostly numbers. Reals have 9 digits, or as many as they need to be read
 * as what they are; but floats that would need many have those that tell them from other floats.
 */
#ifndef SRV_JSON_WRITE_H
#define SRV_JSON_WRITE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* A text that grows; `data` is malloc's. */
struct srv_text {
  char *data;
  size_t n, room;
};

/* Room for `more` bytes after the n that are there; false when memory is short. */
bool srv_text_reserve(struct srv_text *text, size_t more);
/* Adds the value; false when memory is short, and `text` then has a part of it. */
bool srv_json_write(const json_t *json, struct srv_text *text);
/* The same of numbers; what is no finite one is null. */
bool srv_json_write_integer(int64_t value, struct srv_text *text);
bool srv_json_write_real(double value, struct srv_text *text);
/* With as few digits as tell it from other floats. */
bool srv_json_write_float(float value, struct srv_text *text);
/* Adds bytes as they are. */
bool srv_text_add(struct srv_text *text, const char *bytes, size_t n);

#endif
