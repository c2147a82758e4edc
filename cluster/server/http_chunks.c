/* http_chunks.c - see http_chunks.h. */
#include "server/http_chunks.h"

static int chunks_hex(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  c = (char)(c | 0x20);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum http_chunks_state chunks_size(struct http_chunks *k, char c) {
  int digit = chunks_hex(c);
  if (digit >= 0 && k->left <= UINT64_MAX >> 4) {
    k->left = k->left << 4 | (uint64_t)digit;
    return CHUNKS_DIGITS;
  }
  if (digit >= 0 || k->state == CHUNKS_SIZE)
    return CHUNKS_WRONG;
  return c == '\r' ? CHUNKS_SIZE_END : c == ';' || c == ' ' ? CHUNKS_EXTENSION : CHUNKS_WRONG;
}

/* Within a line: until its carriage return. */
static enum http_chunks_state chunks_line(enum http_chunks_state in, enum http_chunks_state end,
                                          char c) {
  return c == '\r' ? end : c == '\n' || c == '\0' ? CHUNKS_WRONG : in;
}

/* The state after a byte that is none of a chunk's own. */
static enum http_chunks_state chunks_step(struct http_chunks *k, char c) {
  switch (k->state) {
  case CHUNKS_SIZE:
  case CHUNKS_DIGITS:
    return chunks_size(k, c);
  case CHUNKS_EXTENSION:
    return chunks_line(CHUNKS_EXTENSION, CHUNKS_SIZE_END, c);
  case CHUNKS_SIZE_END:
    return c != '\n' ? CHUNKS_WRONG : k->left ? CHUNKS_DATA : CHUNKS_TRAILERS;
  case CHUNKS_DATA_RETURN:
    return c == '\r' ? CHUNKS_DATA_END : CHUNKS_WRONG;
  case CHUNKS_DATA_END:
    return c == '\n' ? CHUNKS_SIZE : CHUNKS_WRONG;
  case CHUNKS_TRAILERS:
    return c == ' ' || c == '\t' ? CHUNKS_WRONG : chunks_line(CHUNKS_TRAILER, CHUNKS_LAST_END, c);
  case CHUNKS_TRAILER:
    return chunks_line(CHUNKS_TRAILER, CHUNKS_TRAILER_END, c);
  case CHUNKS_TRAILER_END:
    return c == '\n' ? CHUNKS_TRAILERS : CHUNKS_WRONG;
  case CHUNKS_LAST_END:
    return c == '\n' ? CHUNKS_DONE : CHUNKS_WRONG;
  default:
    return CHUNKS_WRONG;
  }
}

size_t srv_http_chunks_see(struct http_chunks *k, const char *bytes, size_t n) {
  size_t i = 0;
  while (i < n && k->state != CHUNKS_DONE) {
    if (k->state == CHUNKS_DATA) {
      size_t part = n - i < k->left ? n - i : (size_t)k->left;
      i += part;
      k->left -= part;
      k->state = k->left ? CHUNKS_DATA : CHUNKS_DATA_RETURN;
      continue;
    }
    k->state = chunks_step(k, bytes[i]);
    if (k->state == CHUNKS_WRONG)
      break;
    i++;
  }
  return i;
}
