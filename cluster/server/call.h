/*
 * call.h - one request while it is answered: what came, what it is about, and the answer. Handlers
 * see this and nothing of HTTP, so that other protocols can bring requests to them.
 */
#ifndef SRV_CALL_H
#define SRV_CALL_H

#include <jansson.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/engine.h"
#include "server/arena.h"
#include "server/peer.h"
#include "server/trace.h"
#include "vecdb.h"

struct srv_identity;
struct srv_quota_user;
struct srv_server;
struct srv_route;

enum { SRV_CALL_ARGS = 2 };

/* An error in the words of a dialect: the body of the answer, whose status it may change. NULL when
   out of memory. The message is valid UTF-8. */
typedef json_t *srv_error_shape(int *status, const char *code, const char *message);

/* A part of a filter that stands for another in the text that the client gave. */
struct srv_rewritten {
  size_t at, n;   /* in the filter */
  size_t from, m; /* in the client's text */
};

struct srv_call {
  struct srv_server *server;
  const struct srv_route *route; /* by which it came */
  struct srv_identity *who; /* auth.h; NULL: nobody has to say, or the route is public */
  struct srv_quota_user *quota; /* whom it counts for; NULL: nobody */
  struct srv_peer peer;     /* where it came from */
  bool numbered;            /* the keys of rows to write were made here, by nobody's wish */
  const char *denied;       /* why who asks may not, a static text for logs alone; NULL: may */
  unsigned retry_seconds;   /* of an answer 429 or 503; 0: 1 */
  struct srv_arena arena;
  char *args[SRV_CALL_ARGS]; /* what stood for {name} parts of the route's path, decoded */
  const char *(*header)(const struct srv_call *call, const char *name); /* NULL: not HTTP */
  char *body;                /* NUL-terminated */
  size_t body_bytes;
  const char *database; /* that a client over gRPC names beside its message; NULL: none */
  const char *max_staleness; /* header over gRPC, as staleness.h has it; NULL: none */
  bool aged;           /* it reads a copy, and ... */
  uint64_t fresh_ns;   /* all that was acknowledged by then (srv_now_ns) is there; 0: not known */
  uint32_t timeout_ms; /* as the client asked with its protocol's means; 0: it did not */
  json_t *json; /* the body as an object, when the route wants one */
  unsigned filters; /* that were rewritten; of one it is known where, */
  const struct srv_rewritten *rewritten; /* in order, so many: */
  size_t n_rewritten;
  srv_error_shape *errors; /* of the route's dialect; NULL: {"error": {"code", "message", ...}} */

  const char *client_id;    /* by which its client's own log names it; NULL: it told none */
  struct srv_trace trace;   /* this and the rest is for what is kept of requests (observe.h) */
  uint64_t began_ns;
  bool searched;
  const char *failed; /* the name of the error, which stays; NULL: none */
  char collection[VECDB_MAX_NAME + 1]; /* that it is about; "": not known */

  int status;       /* HTTP status of the answer */
  json_t *answer;   /* owned; or ... */
  const char *text; /* a text that outlives the call or lies in the arena */
  size_t text_bytes;
  const char *content_type; /* of the text */
  const char *headers; /* more of the answer over HTTP, each with its end; NULL: none */
};

typedef void srv_handler(struct srv_call *call);

/* Gives the answer: takes the reference. */
void srv_call_answer(struct srv_call *call, int status, json_t *answer);
/* Gives an answer of JSON that is text already: in the arena, or outliving the call. */
void srv_call_text(struct srv_call *call, int status, const char *text, size_t n);
/* Answers with {"error": {"code", "message", ...}}; code is a word such as "NOT_FOUND". */
void srv_call_fail(struct srv_call *call, int status, const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* What a client is told of an error of the library: its message, but for errors that are the
   server's own affair, whose messages name its files; these go to the log. */
const char *srv_call_said(struct srv_call *call, const vecdb_error *error);
/* Answers with an error of the library. */
void srv_call_error(struct srv_call *call, const vecdb_error *error);
void srv_call_no_memory(struct srv_call *call);
/* Gives back all that the call holds. */
void srv_call_free(struct srv_call *call);

/* The collection that a path names, to be released; answers 404 and gives NULL when there is
   none. */
struct engine_collection *srv_call_collection(struct srv_call *call, const char *name);

/*
 * Members of a JSON object by what they must be. Each returns false after answering 400 when the
 * member is there but wrong; an absent or null member leaves *out as it is.
 */
bool srv_take_text(struct srv_call *call, json_t *object, const char *key, const char **out);
bool srv_take_number(struct srv_call *call, json_t *object, const char *key, uint64_t high,
                     uint64_t *out);
bool srv_take_u32(struct srv_call *call, json_t *object, const char *key, uint32_t *out);
bool srv_take_float(struct srv_call *call, json_t *object, const char *key, float *out);
bool srv_take_flag(struct srv_call *call, json_t *object, const char *key, bool *out);
bool srv_take_array(struct srv_call *call, json_t *object, const char *key, json_t **out);
/* An array of strings, in the arena; *out stays NULL when absent. */
bool srv_take_names(struct srv_call *call, json_t *object, const char *key, const char *const **out,
                    size_t *n);
/* 400 when the object has members other than those named; the list ends with NULL. */
bool srv_only_keys(struct srv_call *call, json_t *object, const char *const *keys);

#endif
