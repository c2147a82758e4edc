/*
 * http_head.h - what stands before the body of an HTTP/1.1 request: its target and its headers, in
 * one text, put together as they come.
 */
#ifndef SRV_HTTP_HEAD_H
#define SRV_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SRV_HTTP_HEAD_BYTES = 32 * 1024 };

/* Whose the bytes are. */
enum http_part { HTTP_TARGET, HTTP_NAME, HTTP_VALUE };

struct http_head {
  char *text; /* the target, then name and value of each header, all with a NUL at the end */
  size_t n, room;
  size_t first; /* where the headers begin, once all has come, */
  uint32_t letters; /* and with what letters, in any case, as bits: most asked for are not there */
  enum http_part part; /* of the newest bytes */
  char seen;   /* the newest byte of srv_http_head_see; 0: none but blank lines */
  bool ending; /* it has seen all of the head but the last line feed, */
  bool ended;  /* and that, too */
  bool odd;    /* a header goes on in another line or has a NUL, or a line feed is missing at the
                  end: not all readers see the same */
};

/* Forgets all, to be used for the next request. */
void srv_http_head_clear(struct http_head *head);
void srv_http_head_free(struct http_head *head);
/* Looks at bytes as they come, before they are taken apart; how many are the head's. */
size_t srv_http_head_see(struct http_head *head, const char *bytes, size_t n);
/* Adds bytes to a part; false when they are too many, or memory is short. */
bool srv_http_head_add(struct http_head *head, enum http_part part, const char *text, size_t n);
/* After the last part, before what follows here. Leaves the path alone in `text`, up to its NUL. */
bool srv_http_head_end(struct http_head *head);
/* The value of the first header of that name, in any case; NULL: there is none. */
const char *srv_http_head_find(const struct http_head *head, const char *name);
/* Whether there are several of that name. */
bool srv_http_head_twice(const struct http_head *head, const char *name);

/* What the headers say of where the body ends, as two readers of one request must agree upon. */
struct http_framing {
  bool clear;      /* it can be told, and in one way only */
  bool chunked;
  uint64_t length; /* when not chunked; 0: no body. UINT64_MAX: too long for a number */
};

/* For a request of HTTP/1.minor. */
struct http_framing srv_http_head_framing(const struct http_head *head, unsigned minor);

#endif
