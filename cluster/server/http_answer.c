/* http_answer.c - from a call's answer to bytes; see http_answer.h. */
#include "server/http_answer.h"

#include <http_parser.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ANSWER_HEAD = 512, ANSWER_ROOM = 2048, ANSWER_DATE = 32 };

void srv_http_answer_free(struct http_answer *a) {
  free(a->data);
  *a = (struct http_answer){0};
}

/* Adds to the body, as Jansson wants it. */
static int answer_add(const char *text, size_t n, void *user) {
  struct http_answer *a = user;
  if (n > a->room - a->n) {
    size_t room = a->room;
    while (n > room - a->n)
      room *= 2;
    char *grown = realloc(a->data, room);
    if (!grown)
      return -1;
    a->data = grown;
    a->room = room;
  }
  memcpy(a->data + a->n, text, n);
  a->n += n;
  return 0;
}

/* The body, after room for what stands before it. */
static bool answer_body(struct http_answer *a, const struct srv_call *call) {
  a->n = ANSWER_HEAD;
  if (call->answer)
    return json_dump_callback(call->answer, answer_add, a,
                              JSON_COMPACT | JSON_REAL_PRECISION(9)) == 0;
  return answer_add(call->text, call->text_bytes, a) == 0;
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
                  "%s%s%s%s%s%s\r\n",
                  call->status, http_status_str((enum http_status)call->status), answer_date(),
                  type, bytes, *how->allow ? "Allow: " : "", how->allow,
                  *how->allow ? "\r\n" : "", wait, challenge, stays);
}

bool srv_http_answer_make(struct http_answer *a, struct srv_call *call,
                          const struct http_answer_how *how) {
  char head[ANSWER_HEAD];
  a->room = ANSWER_ROOM;
  a->data = malloc(a->room);
  if (!a->data)
    return false;
  if (!answer_body(a, call)) {
    srv_call_no_memory(call);
    if (!answer_body(a, call))
      return false;
  }
  size_t n = (size_t)answer_head(head, call, a->n - ANSWER_HEAD, how);
  a->at = ANSWER_HEAD - n;
  memcpy(a->data + a->at, head, n);
  if (how->head_only)
    a->n = ANSWER_HEAD;
  return true;
}
