/* trace.c - see trace.h. */
#include "server/trace.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum { TRACE_ID = 3, TRACE_SPAN = 36, TRACE_FLAGS = 53, TRACE_END = 55 };

/* Whether n lower-case hexadecimal digits stand there; *zero: all of them are 0. */
static bool trace_hex(const char *text, size_t n, bool *zero) {
  *zero = strspn(text, "0") >= n;
  return strspn(text, "0123456789abcdef") >= n;
}

/* Version 00 has these four parts; later ones may have more behind them. */
static bool trace_valid(const char *header) {
  bool zero_id, zero_span, ignored;
  size_t n = strlen(header);
  if (n < TRACE_END || strncmp(header, "ff", 2) == 0)
    return false;
  if (n > TRACE_END && (strncmp(header, "00", 2) == 0 || header[TRACE_END] != '-'))
    return false;
  return trace_hex(header, 2, &ignored) && header[2] == '-' &&
         trace_hex(header + TRACE_ID, 32, &zero_id) && !zero_id && header[35] == '-' &&
         trace_hex(header + TRACE_SPAN, 16, &zero_span) && !zero_span && header[52] == '-' &&
         trace_hex(header + TRACE_FLAGS, 2, &ignored);
}

/* Names must not collide; nothing rests on their being secret. Each thread has a sequence. */
static uint64_t trace_random(void) {
  static _Thread_local uint64_t state;
  if (state == 0 && getrandom(&state, sizeof state, GRND_NONBLOCK) != (ssize_t)sizeof state)
    state = (uint64_t)time(NULL) ^ (uint64_t)(uintptr_t)&state;
  uint64_t x = state += 0x9e3779b97f4a7c15u;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return (x ^ x >> 31) | 1; /* an id of zeros is none */
}

static void trace_digits(char *out, uint64_t value) {
  for (int i = 0; i < 16; i++)
    out[i] = "0123456789abcdef"[value >> (60 - 4 * i) & 15];
  out[16] = '\0';
}

void srv_trace_begin(struct srv_trace *t, const char *traceparent, const char *state) {
  trace_digits(t->span, trace_random());
  if (traceparent && trace_valid(traceparent)) {
    memcpy(t->id, traceparent + TRACE_ID, 32);
    memcpy(t->parent, traceparent + TRACE_SPAN, 16);
    memcpy(t->flags, traceparent + TRACE_FLAGS, 2);
    t->id[32] = t->parent[16] = t->flags[2] = '\0';
    t->state = state && strlen(state) < SRV_TRACESTATE ? state : NULL;
    return;
  }
  trace_digits(t->id, trace_random());
  trace_digits(t->id + 16, trace_random());
  t->parent[0] = '\0';
  strcpy(t->flags, "00");
  t->state = NULL;
}

void srv_trace_header(const struct srv_trace *t, char *out) {
  snprintf(out, SRV_TRACEPARENT, "00-%s-%s-%s", t->id, t->span, t->flags);
}
