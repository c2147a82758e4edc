/*
 * embed.h - text to vectors, by a service that speaks OpenAI's POST /v1/embeddings. Connections are
 * kept and shared by the threads that ask.
 */
#ifndef SRV_EMBED_H
#define SRV_EMBED_H

#include "server/call.h"
#include "server/config.h"

struct srv_embed;

/* NULL when there is no memory. */
struct srv_embed *srv_embed_start(const struct srv_config *config);
void srv_embed_stop(struct srv_embed *embed);

/* The vector of a text as an array of numbers, to be released; NULL after answering the call (502
   or 504 when the service fails, 501 when none is configured). Any thread. */
json_t *srv_embed_text(struct srv_call *call, const char *text);

#endif
