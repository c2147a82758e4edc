/* embed.h - text into a vector, by a service with OpenAI's interface. */
#ifndef SHELL_EMBED_H
#define SHELL_EMBED_H

#include "shell.h"

/* Asks POST <embed_url>/v1/embeddings. *out receives *dim floats, to be freed. Errors: NOT_FOUND
   when nobody answers, IO, CANCELLED, TYPE for an answer that makes no sense. */
int embed_text(const struct shell *shell, const char *text, float **out, size_t *dim,
               vecdb_error *error);

#endif
