/*
 * pb.h - protobuf's wire format: messages into structs by a table of their fields, and fields into
 * a growing answer. Bytes are borrowed from the message, so vectors are not copied.
 */
#ifndef SRV_PB_H
#define SRV_PB_H

#include <stdbool.h>
#include <stdint.h>

#include "server/arena.h"

struct pb_bytes {
  const uint8_t *data;
  size_t n;
};
struct pb_list {
  struct pb_bytes *items;
  size_t n;
};
struct pb_numbers {
  int64_t *items;
  size_t n;
};

/* How a field comes, and what stands for it in the struct. Unset: zero, and "" for a text. */
enum pb_kind {
  PB_NUMBER,  /* int64_t: any varint */
  PB_FLOAT,   /* double */
  PB_DOUBLE,  /* double */
  PB_TEXT,    /* const char *: NUL-terminated; a NUL inside is an error */
  PB_BYTES,   /* struct pb_bytes: bytes, a message, or packed fixed-size numbers (all in one) */
  PB_LIST,    /* struct pb_list: of texts, bytes or messages */
  PB_NUMBERS  /* struct pb_numbers: varints, packed or not */
};

struct pb_field {
  uint32_t number;
  enum pb_kind kind;
  size_t offset;
};

/* Reads a message into the struct `out`, which is zeroed. Fields that the table does not name are
   passed over. False: malformed, or no memory. */
bool srv_pb_read(struct srv_arena *arena, struct pb_bytes in, const struct pb_field *fields,
                 size_t n_fields, void *out, size_t out_bytes);
#define SRV_PB_READ(arena, in, table, out) \
  srv_pb_read(arena, in, table, sizeof(table) / sizeof((table)[0]), out, sizeof *(out))

/* An answer in the arena; `failed` once there was no memory, and then it stays so. */
struct pb_out {
  struct srv_arena *arena;
  uint8_t *data;
  size_t n;
  size_t capacity;
  bool failed;
};

void srv_pb_raw(struct pb_out *out, const void *data, size_t n);
void srv_pb_varint(struct pb_out *out, uint64_t value);
void srv_pb_number(struct pb_out *out, uint32_t field, int64_t value);
void srv_pb_float(struct pb_out *out, uint32_t field, float value);
void srv_pb_double(struct pb_out *out, uint32_t field, double value);
void srv_pb_bytes(struct pb_out *out, uint32_t field, const void *data, size_t n);
void srv_pb_text(struct pb_out *out, uint32_t field, const char *text);
/* What is written until close is the contents of the field: a message or packed numbers. */
size_t srv_pb_open(struct pb_out *out, uint32_t field);
void srv_pb_close(struct pb_out *out, size_t mark);

#endif
