/*
 * trace.h - which request this is, in the words of W3C's Trace Context: an identity that a client
 * may bring in the header traceparent, and that goes on to whom this server asks.
 */
#ifndef SRV_TRACE_H
#define SRV_TRACE_H

#include <stdbool.h>

enum { SRV_TRACEPARENT = 56, SRV_TRACESTATE = 512 };

struct srv_trace {
  char id[33];     /* of the whole trace: 32 hexadecimal digits */
  char span[17];   /* of this request in it: 16 of them, which also serve as the request's id */
  char parent[17]; /* of the client's; "": the trace begins here */
  char flags[3];
  const char *state; /* the client's tracestate, not to be looked into; NULL: none */
};

/* Goes on with the client's trace, or begins one where the header is absent (NULL) or malformed.
   `state` is kept, not copied. */
void srv_trace_begin(struct srv_trace *trace, const char *traceparent, const char *state);
/* The header for those that are asked on behalf of this request; `out` has room for
   SRV_TRACEPARENT bytes. */
void srv_trace_header(const struct srv_trace *trace, char *out);

#endif
