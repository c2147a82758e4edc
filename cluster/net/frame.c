/* frame.c - frames on a connection between nodes; see frame.h. */
#include "net/frame.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static const struct frame_kind {
  uint32_t limit;
  bool early; /* also before hello */
} frame_kinds[] = {
    [FRAME_HELLO] = {FRAME_BEFORE_HELLO, true},
    [FRAME_REFUSE] = {FRAME_BEFORE_HELLO, true},
    [FRAME_PING] = {0, true},
    [FRAME_PONG] = {0, true},
    [FRAME_CONTROL] = {64 * 1024, false},
    [FRAME_QUERY] = {16 * 1024 * 1024, false},
    [FRAME_ANSWER] = {16 * 1024 * 1024, false},
    [FRAME_APPEND] = {16 * 1024 * 1024, false},
    [FRAME_ACK] = {64 * 1024, false},
    [FRAME_BULK] = {4 * 1024 * 1024, false},
};
enum { FRAME_KINDS = sizeof frame_kinds / sizeof *frame_kinds };

static bool frame_taken(uint8_t type, bool known) {
  if (type >= FRAME_KINDS)
    return false;
  bool early = frame_kinds[type].early;
  return early || (known && frame_kinds[type].limit > 0);
}

bool frame_type_known(uint8_t type) { return frame_taken(type, true); }

uint32_t frame_limit(uint8_t type, bool known) {
  return frame_taken(type, known) ? frame_kinds[type].limit : 0;
}

void *frame_alloc(size_t n) {
  return aligned_alloc(FRAME_ALIGN, (n + FRAME_ALIGN - 1) / FRAME_ALIGN * FRAME_ALIGN);
}

static void frame_put(uint8_t *at, uint64_t value, size_t bytes) {
  for (size_t i = 0; i < bytes; i++)
    at[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t frame_take(const uint8_t *at, size_t bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < bytes; i++)
    value |= (uint64_t)at[i] << 8 * i;
  return value;
}

void frame_write(const struct frame *frame, uint8_t *header) {
  frame_put(header, FRAME_MAGIC, 4);
  header[4] = frame->version;
  header[5] = frame->type;
  frame_put(header + 6, frame->flags, 2);
  frame_put(header + 8, frame->n, 4);
  frame_put(header + 12, frame->stream, 4);
  frame_put(header + 16, frame->request, 8);
  frame_put(header + 24, XXH3_64bits(frame->payload, frame->n), 8);
  frame_put(header + 32, frame->deadline_ms, 4);
  frame_put(header + 36, XXH32(header, 36, 0), 4);
}

void frame_reader_init(struct frame_reader *reader) {
  *reader =
      (struct frame_reader){.version_min = FRAME_VERSION_MIN, .version_max = FRAME_VERSION_MAX};
}

void frame_reader_free(struct frame_reader *reader) {
  free(reader->frame.payload);
  reader->frame.payload = NULL;
}

void *frame_reader_space(struct frame_reader *reader, size_t *n) {
  if (reader->got < FRAME_HEADER) {
    *n = FRAME_HEADER - reader->got;
    return reader->header + reader->got;
  }
  size_t done = reader->got - FRAME_HEADER;
  *n = reader->frame.n - done;
  return (char *)reader->frame.payload + done;
}

static enum frame_status frame_check(struct frame_reader *reader) {
  const uint8_t *h = reader->header;
  struct frame *f = &reader->frame;
  if (frame_take(h, 4) != FRAME_MAGIC)
    return FRAME_MAGIC_BAD;
  if (h[4] < reader->version_min)
    return FRAME_TOO_OLD;
  if (h[4] > reader->version_max)
    return FRAME_TOO_NEW;
  if (frame_take(h + 36, 4) != XXH32(h, 36, 0))
    return FRAME_HEADER_BAD;
  *f = (struct frame){.version = h[4],
                      .type = h[5],
                      .flags = (uint16_t)frame_take(h + 6, 2),
                      .n = (uint32_t)frame_take(h + 8, 4),
                      .stream = (uint32_t)frame_take(h + 12, 4),
                      .request = frame_take(h + 16, 8),
                      .deadline_ms = (uint32_t)frame_take(h + 32, 4)};
  reader->hash = frame_take(h + 24, 8);
  if (!frame_taken(f->type, reader->known))
    return FRAME_TYPE_BAD;
  if (f->n > frame_limit(f->type, reader->known))
    return FRAME_TOO_LARGE;
  if (f->n && !(f->payload = frame_alloc(f->n)))
    return FRAME_NO_MEMORY;
  return FRAME_MORE;
}

enum frame_status frame_reader_got(struct frame_reader *reader, size_t n, struct frame *frame) {
  bool header = reader->got < FRAME_HEADER;
  reader->got += n;
  if (reader->got < FRAME_HEADER)
    return FRAME_MORE;
  if (header) {
    enum frame_status status = frame_check(reader);
    if (status != FRAME_MORE)
      return status;
  }
  if (reader->got < FRAME_HEADER + (size_t)reader->frame.n)
    return FRAME_MORE;
  if (XXH3_64bits(reader->frame.payload, reader->frame.n) != reader->hash)
    return FRAME_PAYLOAD_BAD;
  *frame = reader->frame;
  reader->frame.payload = NULL;
  reader->got = 0;
  return FRAME_WHOLE;
}

const char *frame_status_name(enum frame_status status) {
  static const char *const names[] = {
      [FRAME_MORE] = "more bytes are needed",
      [FRAME_WHOLE] = "whole",
      [FRAME_MAGIC_BAD] = "not a frame of this protocol",
      [FRAME_TOO_NEW] = "the peer's protocol is too new",
      [FRAME_TOO_OLD] = "the peer's protocol is too old",
      [FRAME_HEADER_BAD] = "a frame's header is damaged",
      [FRAME_TYPE_BAD] = "a type of frame that is not expected here",
      [FRAME_TOO_LARGE] = "a frame over its type's limit",
      [FRAME_PAYLOAD_BAD] = "a frame's payload is damaged",
      [FRAME_NO_MEMORY] = "out of memory",
  };
  return names[status];
}
