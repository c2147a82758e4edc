/* http_answer.c - from a call's answer to bytes; see http_answer.h. */
#include "server/http_answer.h"

#include <http_parser.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/staleness.h"

enum { ANSWER_HEAD = 1024, ANSWER_DATE = 32 };

void srv_http_answer_free(struct http_answer *a) {
  free(a->text.data);
  *a = (struct http_answer){0};
}

/* The body, after room for what stands before it. */
static bool answer_body(struct srv_text *t, const struct srv_call *call) {
  t->n = 0;
  if (!srv_text_reserve(t, ANSWER_HEAD))
    return false;
  t->n = ANSWER_HEAD;
  if (call->answer)
    return srv_json_write(call->answer, t);
  if (!srv_text_reserve(t, call->text_bytes))
    return false;
  if (call->text_bytes)
    memcpy(t->data + t->n, call->text, call->text_bytes);
  t->n += call->text_bytes;
  return true;
}

/* Made anew each second. */
static const char *answer_date(void) {
  static _Thread_local time_t made;
  static _Thread_local char text[ANSWER_DATE];
  time_t now = time(NULL);
  if (now != made) {
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &utc);
    made = now;
  }
  return text;
}

/* Adds to what has room for it. */
static char *answer_add(char *to, const char *text) {
  size_t n = strlen(text);
  memcpy(to, text, n);
  return to + n;
}

static char *answer_number(char *to, size_t number) {
  char digits[20];
  size_t n = 0;
  do
    digits[n++] = (char)('0' + number % 10);
  while ((number /= 10) > 0);
  while (n > 0)
    *to++ = digits[--n];
  return to;
}

/* Piece by piece: snprintf takes longer, and a refusal is little else. The type is no longer than a
   hundred bytes. */
static char *answer_head(char *to, const struct srv_call *call, size_t bytes,
                         const struct http_answer_how *how) {
  to = answer_add(to, "HTTP/1.1 ");
  to = answer_number(to, (size_t)call->status);
  to = answer_add(to, " ");
  to = answer_add(to, http_status_str((enum http_status)call->status));
  to = answer_add(to, "\r\nDate: ");
  to = answer_add(to, answer_date());
  to = answer_add(to, "\r\nContent-Type: ");
  to = answer_add(to, call->content_type ? call->content_type : "application/json");
  to = answer_add(to, "\r\nContent-Length: ");
  to = answer_number(to, bytes);
  if (*how->allow)
    to = answer_add(answer_add(to, "\r\nAllow: "), how->allow);
  if (call->status == 429 || call->status == 503) {
    to = answer_add(to, "\r\nRetry-After: ");
    to = answer_number(to, call->retry_seconds ? call->retry_seconds : 1);
  }
  if (call->status == 401)
    to = answer_add(to, "\r\nWWW-Authenticate: Bearer");
  to = answer_add(to, "\r\n");
  if (call->headers)
    to = answer_add(to, call->headers);
  char aged[SRV_STALENESS_TEXT];
  if (srv_staleness_text(call, aged))
    to = answer_add(answer_add(answer_add(to, SRV_STALENESS ": "), aged), "\r\n");
  if (how->last)
    to = answer_add(to, "Connection: close\r\n");
  else if (how->old)
    to = answer_add(to, "Connection: keep-alive\r\n");
  return answer_add(to, "\r\n");
}

bool srv_http_answer_make(struct http_answer *a, struct srv_call *call,
                          const struct http_answer_how *how) {
  char head[ANSWER_HEAD];
  struct srv_text *t = &a->text;
  srv_staleness_answer(call);
  if (!answer_body(t, call)) {
    srv_call_no_memory(call);
    if (!answer_body(t, call))
      return false;
  }
  size_t n = (size_t)(answer_head(head, call, t->n - ANSWER_HEAD, how) - head);
  a->at = ANSWER_HEAD - n;
  memcpy(t->data + a->at, head, n);
  if (how->head_only)
    t->n = ANSWER_HEAD;
  return true;
}
