/* pb.c - reading and writing protobuf's wire format; see pb.h. */
#include "server/pb.h"

#include <string.h>

enum { WIRE_VARINT = 0, WIRE_8 = 1, WIRE_BYTES = 2, WIRE_4 = 5, PB_FIRST = 256 };

/* ---- Reading --------------------------------------------------------------------------------- */

struct pb_in {
  struct srv_arena *arena;
  const uint8_t *at;
  const uint8_t *end;
};

/* One field as it stands in the message. */
struct pb_wire {
  unsigned type;
  uint32_t number;
  uint64_t value;        /* varints and fixed-size numbers */
  struct pb_bytes bytes; /* the others */
};

static bool pb_varint(struct pb_in *in, uint64_t *out) {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 70 && in->at < in->end; shift += 7) {
    uint8_t byte = *in->at++;
    if (shift == 63 && byte > 1)
      return false;
    value |= (uint64_t)(byte & 0x7f) << shift;
    if (byte < 0x80) {
      *out = value;
      return true;
    }
  }
  return false;
}

static bool pb_fixed(struct pb_in *in, size_t n, uint64_t *out) {
  if ((size_t)(in->end - in->at) < n)
    return false;
  *out = 0;
  for (size_t i = 0; i < n; i++)
    *out |= (uint64_t)in->at[i] << (8 * i);
  in->at += n;
  return true;
}

static bool pb_next(struct pb_in *in, struct pb_wire *w) {
  uint64_t tag, n;
  if (!pb_varint(in, &tag) || tag > UINT32_MAX || tag >> 3 == 0)
    return false;
  w->type = tag & 7;
  w->number = (uint32_t)(tag >> 3);
  switch (w->type) {
  case WIRE_VARINT:
    return pb_varint(in, &w->value);
  case WIRE_8:
    return pb_fixed(in, 8, &w->value);
  case WIRE_4:
    return pb_fixed(in, 4, &w->value);
  case WIRE_BYTES:
    if (!pb_varint(in, &n) || n > (size_t)(in->end - in->at))
      return false;
    w->bytes = (struct pb_bytes){in->at, (size_t)n};
    in->at += n;
    return true;
  default: /* groups, which no message here has */
    return false;
  }
}

/* Room for one more element: lists grow at powers of two. */
static bool pb_room(struct srv_arena *arena, void **items, size_t n, size_t size) {
  if (n & (n - 1) || n == 1)
    return true;
  void *grown = srv_arena_array(arena, n ? 2 * n : 2, size);
  if (grown && n)
    memcpy(grown, *items, n * size);
  if (grown)
    *items = grown;
  return grown != NULL;
}

static bool pb_add_number(struct srv_arena *arena, struct pb_numbers *list, uint64_t value) {
  void *items = list->items;
  if (!pb_room(arena, &items, list->n, sizeof *list->items))
    return false;
  list->items = items;
  list->items[list->n++] = (int64_t)value;
  return true;
}

static bool pb_add_numbers(struct pb_in *in, const struct pb_wire *w, struct pb_numbers *list) {
  if (w->type == WIRE_VARINT)
    return pb_add_number(in->arena, list, w->value);
  struct pb_in packed = {in->arena, w->bytes.data, w->bytes.data + w->bytes.n};
  uint64_t value;
  while (packed.at < packed.end)
    if (!pb_varint(&packed, &value) || !pb_add_number(in->arena, list, value))
      return false;
  return true;
}

static bool pb_add_item(struct srv_arena *arena, const struct pb_wire *w, struct pb_list *list) {
  void *items = list->items;
  if (!pb_room(arena, &items, list->n, sizeof *list->items))
    return false;
  list->items = items;
  list->items[list->n++] = w->bytes;
  return true;
}

static bool pb_take_text(struct srv_arena *arena, const struct pb_wire *w, const char **out) {
  if (w->bytes.n && memchr(w->bytes.data, 0, w->bytes.n))
    return false;
  *out = srv_arena_text(arena, (const char *)w->bytes.data, w->bytes.n);
  return *out != NULL;
}

/* Puts one field where it belongs; false when its form is not that of the kind. */
static bool pb_store(struct pb_in *in, const struct pb_wire *w, enum pb_kind kind, void *to) {
  float narrow;
  uint32_t bits = (uint32_t)w->value;
  switch (kind) {
  case PB_NUMBER:
    *(int64_t *)to = (int64_t)w->value;
    return w->type == WIRE_VARINT;
  case PB_FLOAT:
    memcpy(&narrow, &bits, sizeof narrow);
    *(double *)to = (double)narrow;
    return w->type == WIRE_4;
  case PB_DOUBLE:
    memcpy(to, &w->value, sizeof(double));
    return w->type == WIRE_8;
  case PB_TEXT:
    return w->type == WIRE_BYTES && pb_take_text(in->arena, w, to);
  case PB_BYTES:
    *(struct pb_bytes *)to = w->bytes;
    return w->type == WIRE_BYTES;
  case PB_LIST:
    return w->type == WIRE_BYTES && pb_add_item(in->arena, w, to);
  case PB_NUMBERS:
    return (w->type == WIRE_BYTES || w->type == WIRE_VARINT) && pb_add_numbers(in, w, to);
  }
  return false;
}

bool srv_pb_read(struct srv_arena *arena, struct pb_bytes bytes, const struct pb_field *fields,
                 size_t n_fields, void *out, size_t out_bytes) {
  memset(out, 0, out_bytes);
  for (size_t i = 0; i < n_fields; i++)
    if (fields[i].kind == PB_TEXT)
      *(const char **)(void *)((char *)out + fields[i].offset) = "";
  if (bytes.n == 0)
    return true; /* there may be no bytes to point at */
  struct pb_in in = {arena, bytes.data, bytes.data + bytes.n};
  while (in.at < in.end) {
    struct pb_wire w = {0};
    size_t i = 0;
    if (!pb_next(&in, &w))
      return false;
    while (i < n_fields && fields[i].number != w.number)
      i++;
    if (i < n_fields && !pb_store(&in, &w, fields[i].kind, (char *)out + fields[i].offset))
      return false;
  }
  return true;
}

/* ---- Writing --------------------------------------------------------------------------------- */

static bool pb_reserve(struct pb_out *out, size_t n) {
  if (out->failed || n <= out->capacity - out->n)
    return !out->failed;
  size_t capacity = out->capacity ? out->capacity : PB_FIRST;
  while (capacity - out->n < n && capacity <= SIZE_MAX / 2)
    capacity *= 2;
  uint8_t *grown = srv_arena_array(out->arena, capacity, 1);
  if (!grown || capacity - out->n < n) {
    out->failed = true;
    return false;
  }
  if (out->n)
    memcpy(grown, out->data, out->n);
  out->data = grown;
  out->capacity = capacity;
  return true;
}

void srv_pb_raw(struct pb_out *out, const void *data, size_t n) {
  if (n == 0 || !pb_reserve(out, n))
    return;
  memcpy(out->data + out->n, data, n);
  out->n += n;
}

static size_t pb_encode(uint8_t *to, uint64_t value) {
  size_t n = 0;
  while (value >= 0x80) {
    to[n++] = (uint8_t)(value | 0x80);
    value >>= 7;
  }
  to[n++] = (uint8_t)value;
  return n;
}

void srv_pb_varint(struct pb_out *out, uint64_t value) {
  uint8_t bytes[10];
  srv_pb_raw(out, bytes, pb_encode(bytes, value));
}

static void pb_tag(struct pb_out *out, uint32_t field, unsigned type) {
  srv_pb_varint(out, (uint64_t)field << 3 | type);
}

void srv_pb_number(struct pb_out *out, uint32_t field, int64_t value) {
  pb_tag(out, field, WIRE_VARINT);
  srv_pb_varint(out, (uint64_t)value);
}

/* Little-endian, as the wire is and every machine this runs on. */
void srv_pb_float(struct pb_out *out, uint32_t field, float value) {
  pb_tag(out, field, WIRE_4);
  srv_pb_raw(out, &value, sizeof value);
}

void srv_pb_double(struct pb_out *out, uint32_t field, double value) {
  pb_tag(out, field, WIRE_8);
  srv_pb_raw(out, &value, sizeof value);
}

void srv_pb_bytes(struct pb_out *out, uint32_t field, const void *data, size_t n) {
  pb_tag(out, field, WIRE_BYTES);
  srv_pb_varint(out, n);
  srv_pb_raw(out, data, n);
}

void srv_pb_text(struct pb_out *out, uint32_t field, const char *text) {
  srv_pb_bytes(out, field, text, strlen(text));
}

size_t srv_pb_open(struct pb_out *out, uint32_t field) {
  pb_tag(out, field, WIRE_BYTES);
  return out->n;
}

/* The length stands before the contents, and is known only now: these move up. */
void srv_pb_close(struct pb_out *out, size_t mark) {
  uint8_t length[10];
  if (out->failed)
    return;
  size_t contents = out->n - mark, n = pb_encode(length, contents);
  if (!pb_reserve(out, n))
    return;
  memmove(out->data + mark + n, out->data + mark, contents);
  memcpy(out->data + mark, length, n);
  out->n += n;
}
