/* http_answer.c - from a call's answer to bytes; see http_answer.h. */
#include "server/http_answer.h"

#include <http_parser.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

static int answer_head(char *to, const struct srv_call *call, size_t bytes,
                       const struct http_answer_how *how) {
  bool again = call->status == 429 || call->status == 503;
  const char *stays = how->last ? "Connection: close\r\n"
                      : how->old ? "Connection: keep-alive\r\n" : "";
  char wait[32] = "";
  if (again)
    snprintf(wait, sizeof wait, "Retry-After: %u\r\n",
             call->retry_seconds ? call->retry_seconds : 1);
  const char *challenge = call->status == 401 ? "WWW-Authenticate: Bearer\r\n" : "";
  const char *type = call->content_type ? call->content_type : "application/json";
  return snprintf(to, ANSWER_HEAD,
                  "HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: %.100s\r\nContent-Length: %zu\r\n"
                  "%s%s%s%s%s%s%s\r\n",
                  call->status, http_status_str((enum http_status)call->status), answer_date(),
                  type, bytes, *how->allow ? "Allow: " : "", how->allow,
                  *how->allow ? "\r\n" : "", wait, challenge, call->headers ? call->headers : "",
                  stays);
}

bool srv_http_answer_make(struct http_answer *a, struct srv_call *call,
                          const struct http_answer_how *how) {
  char head[ANSWER_HEAD];
  struct srv_text *t = &a->text;
  if (!answer_body(t, call)) {
    srv_call_no_memory(call);
    if (!answer_body(t, call))
      return false;
  }
  size_t n = (size_t)answer_head(head, call, t->n - ANSWER_HEAD, how);
  a->at = ANSWER_HEAD - n;
  memcpy(t->data + a->at, head, n);
  if (how->head_only)
    t->n = ANSWER_HEAD;
  return true;
}
