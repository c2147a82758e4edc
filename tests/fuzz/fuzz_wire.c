/*
 * fuzz_wire.c - any bytes as they might come from a peer: in pieces to the reader of frames, and
 * as a hello, a URI of a certificate. The first byte says how: whether the peer is known, how the
 * bytes are cut up, and whether headers and payloads get their hashes right, so that what is behind
 * the hashes is reached, too.
 */
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "net/hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Gives every frame in the stream the hashes that it needs. */
static void wire_mend(uint8_t *data, size_t size) {
  for (size_t at = 0; size - at >= FRAME_HEADER;) {
    uint32_t n, hash;
    memcpy(&n, data + at + 8, 4);
    size_t left = size - at - FRAME_HEADER;
    uint64_t sum = XXH3_64bits(data + at + FRAME_HEADER, n < left ? n : left);
    memcpy(data + at + 24, &sum, 8);
    hash = XXH32(data + at, 36, 0);
    memcpy(data + at + 36, &hash, 4);
    at += FRAME_HEADER + (n < left ? n : left);
  }
}

static void wire_hello(const struct frame *frame) {
  struct hello hello;
  uint8_t again[HELLO_BYTES], version;
  char why[HELLO_WHY];
  const struct hello own = {.version_min = 1, .version_max = 1, .node = 1};
  const struct hello_check check = {.own = &own};
  if (!hello_read(frame->payload, frame->n, &hello))
    return;
  hello_write(&hello, again);
  again[3] = ((const uint8_t *)frame->payload)[3]; /* not looked at */
  if (memcmp(again, frame->payload, HELLO_BYTES) != 0)
    abort();
  hello_judge(&hello, &check, &version, why);
}

/* A whole frame is one that its writer would have written. */
static void wire_frame(const struct frame *frame) {
  uint8_t header[FRAME_HEADER];
  if (frame->n > frame_limit(frame->type, true))
    abort();
  frame_write(frame, header);
  if (frame->type == FRAME_HELLO)
    wire_hello(frame);
}

static void wire_read(const uint8_t *data, size_t size, bool known, size_t piece) {
  struct frame_reader reader;
  struct frame frame;
  frame_reader_init(&reader);
  reader.known = known;
  for (size_t at = 0; at < size;) {
    size_t n;
    void *space = frame_reader_space(&reader, &n);
    n = n < size - at ? n : size - at;
    n = n < piece ? n : piece;
    memcpy(space, data + at, n);
    at += n;
    enum frame_status status = frame_reader_got(&reader, n, &frame);
    if (status == FRAME_WHOLE) {
      wire_frame(&frame);
      free(frame.payload);
    } else if (status != FRAME_MORE) {
      break;
    }
  }
  frame_reader_free(&reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (!size)
    return 0;
  uint8_t *copy = malloc(size);
  char *uri = malloc(size);
  if (copy && uri) {
    struct doc_uuid cluster;
    uint32_t node;
    memcpy(copy, data + 1, size - 1);
    memcpy(uri, data + 1, size - 1);
    uri[size - 1] = 0;
    hello_uri_read(uri, &cluster, &node);
    if (*data & 2)
      wire_mend(copy, size - 1);
    wire_read(copy, size - 1, *data & 1, *data & 4 ? 1 + (*data >> 3) : SIZE_MAX);
  }
  free(copy);
  free(uri);
  return 0;
}
