/*
 * http_chunks.h - where the lines of a chunked body end. http_parser, as systems build it, takes
 * any byte for the end of a chunk and any line feed for a part of its extensions; another reader of
 * the same bytes would see another body, and so another request behind it.
 */
#ifndef SRV_HTTP_CHUNKS_H
#define SRV_HTTP_CHUNKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum http_chunks_state {
  CHUNKS_SIZE, /* before the first digit */
  CHUNKS_DIGITS,
  CHUNKS_EXTENSION,
  CHUNKS_SIZE_END, /* before the line feed; the same below */
  CHUNKS_DATA,
  CHUNKS_DATA_RETURN,
  CHUNKS_DATA_END,
  CHUNKS_TRAILERS, /* at the start of a line after the last chunk */
  CHUNKS_TRAILER,
  CHUNKS_TRAILER_END,
  CHUNKS_LAST_END,
  CHUNKS_DONE,
  CHUNKS_WRONG
};

/* All zero at first. */
struct http_chunks {
  enum http_chunks_state state;
  uint64_t left; /* bytes of the chunk */
};

/* Looks at bytes of the body as they come; how many are right: the others come after its end, or,
   in CHUNKS_WRONG, are wrong from the first on. */
size_t srv_http_chunks_see(struct http_chunks *chunks, const char *bytes, size_t n);

#endif
