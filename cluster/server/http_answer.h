/*
 * http_answer.h - the answer to a request of HTTP/1.1 as bytes: status line, headers and body in
 * one piece, which leaves with one system call.
 */
#ifndef SRV_HTTP_ANSWER_H
#define SRV_HTTP_ANSWER_H

#include "server/call.h"
#include "server/json_write.h"

struct http_answer {
  struct srv_text text;
  size_t at; /* bytes from here on are still to be sent */
};

struct http_answer_how {
  bool last;         /* the connection is closed after it */
  bool old;          /* the client speaks HTTP/1.0, where staying must be said */
  bool head_only;    /* it asked for the headers alone */
  const char *allow; /* methods that the path knows; "": it is not about them */
};

/* Writes what the call says; false when memory is short. */
bool srv_http_answer_make(struct http_answer *answer, struct srv_call *call,
                          const struct http_answer_how *how);
void srv_http_answer_free(struct http_answer *answer);

#endif
