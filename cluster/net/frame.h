/*
 * frame.h - frames on a connection between nodes: 40 bytes of header, then the payload. Without
 * sockets: a reader says where the next bytes belong and what they make.
 *
 *   0 magic u32 | 4 version u8 | 5 type u8 | 6 flags u16 | 8 payload bytes u32 | 12 stream u32
 *   16 request u64 | 24 XXH3-64 of the payload u64 | 32 deadline in ms u32 | 36 XXH32 of 0..35
 *
 * Little-endian. A header is looked at in this order, and nothing is allocated before the end of
 * it: magic, version, its own hash, type, size by type.
 */
#ifndef CLUSTER_NET_FRAME_H
#define CLUSTER_NET_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  FRAME_HEADER = 40,
  FRAME_ALIGN = 64, /* of payloads in memory, so that vectors in them can be used in place */
  FRAME_MAGIC = 0x42445646, /* "FVDB" */
  FRAME_VERSION_MIN = 1,
  FRAME_VERSION_MAX = 1,    /* peers of this version and of the one before it speak */
  FRAME_BEFORE_HELLO = 4096 /* largest payload until the peer is known */
};

enum frame_type {
  FRAME_HELLO = 1,
  FRAME_REFUSE = 2, /* why the connection is about to be closed */
  FRAME_PING = 3,
  FRAME_PONG = 4,
  FRAME_CONTROL = 16,
  FRAME_QUERY = 17,
  FRAME_ANSWER = 18,
  FRAME_APPEND = 19,
  FRAME_ACK = 20,
  FRAME_BULK = 21
};

struct frame {
  uint8_t version;
  uint8_t type;
  uint16_t flags;
  uint32_t stream;
  uint64_t request;
  uint32_t deadline_ms; /* what is left of it when sent; 0: none */
  uint32_t n;
  void *payload; /* from frame_alloc; NULL when n is 0 */
};

enum frame_status {
  FRAME_MORE, /* bytes are missing */
  FRAME_WHOLE,
  FRAME_MAGIC_BAD, /* not this protocol, or out of step */
  FRAME_TOO_NEW,
  FRAME_TOO_OLD,
  FRAME_HEADER_BAD,
  FRAME_TYPE_BAD,
  FRAME_TOO_LARGE,
  FRAME_PAYLOAD_BAD,
  FRAME_NO_MEMORY
};
const char *frame_status_name(enum frame_status status);

/* The largest payload of a type; 0 also where there is no such type. */
uint32_t frame_limit(uint8_t type, bool known);
bool frame_type_known(uint8_t type);
/* n bytes, aligned; free() gives them back. NULL: no memory. */
void *frame_alloc(size_t n);
/* The header of the frame with its payload's hash. */
void frame_write(const struct frame *frame, uint8_t *header);

struct frame_reader {
  uint8_t version_min; /* what is taken */
  uint8_t version_max;
  bool known; /* the peer said hello: every type is taken */
  uint8_t header[FRAME_HEADER];
  size_t got; /* of the header, then of the payload besides */
  uint64_t hash;
  struct frame frame;
};
void frame_reader_init(struct frame_reader *reader);
void frame_reader_free(struct frame_reader *reader);
/* Where to put the next bytes, and how many at most: never more than the present frame's. */
void *frame_reader_space(struct frame_reader *reader, size_t *n);
/* That n bytes are there. FRAME_WHOLE: `frame` is the caller's, and with it the payload; the
   reader begins anew. Any other but FRAME_MORE: the connection is of no more use. */
enum frame_status frame_reader_got(struct frame_reader *reader, size_t n, struct frame *frame);

#endif
