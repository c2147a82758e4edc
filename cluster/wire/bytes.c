/* bytes.c - what messages are made of; see bytes.h. */
#include "wire/bytes.h"

#include <stdlib.h>
#include <string.h>

enum { BYTES_FIRST = 512, BYTES_SECTION = 8, BYTES_CRITICAL = 1 };

const char *wire_status_name(enum wire_status status) {
  static const char *const names[] = {
      [WIRE_OK] = "whole",
      [WIRE_BAD] = "not a message of this protocol",
      [WIRE_NEWER] = "a message of a later version",
      [WIRE_TOO_LARGE] = "a message over its limit",
      [WIRE_NO_MEMORY] = "out of memory",
  };
  return names[status];
}

void wire_out_init(struct wire_out *out, size_t limit) { *out = (struct wire_out){.limit = limit}; }

void wire_out_free(struct wire_out *out) {
  free(out->data);
  *out = (struct wire_out){.limit = out->limit};
}

static bool bytes_grow(struct wire_out *out, size_t wanted) {
  size_t room = out->room ? out->room : BYTES_FIRST;
  while (room < wanted)
    room *= 2;
  uint8_t *data = aligned_alloc(WIRE_ALIGN, room);
  if (!data) {
    out->status = WIRE_NO_MEMORY;
    return false;
  }
  if (out->n)
    memcpy(data, out->data, out->n);
  free(out->data);
  out->data = data;
  out->room = room;
  return true;
}

void *wire_space(struct wire_out *out, size_t n) {
  if (out->status)
    return NULL;
  if (n > out->limit - out->n) {
    out->status = WIRE_TOO_LARGE;
    return NULL;
  }
  if (out->n + n > out->room && !bytes_grow(out, out->n + n))
    return NULL;
  void *at = out->data + out->n;
  out->n += n;
  return at;
}

void wire_put(struct wire_out *out, const void *data, size_t n) {
  void *to = n ? wire_space(out, n) : NULL;
  if (to)
    memcpy(to, data, n);
}

void wire_put8(struct wire_out *out, uint8_t v) { wire_put(out, &v, sizeof v); }
void wire_put16(struct wire_out *out, uint16_t v) { wire_put(out, &v, sizeof v); }
void wire_put32(struct wire_out *out, uint32_t v) { wire_put(out, &v, sizeof v); }
void wire_put64(struct wire_out *out, uint64_t v) { wire_put(out, &v, sizeof v); }
void wire_put_float(struct wire_out *out, float v) { wire_put(out, &v, sizeof v); }

void wire_put_text(struct wire_out *out, const char *text, size_t n) {
  wire_put32(out, n > UINT32_MAX ? UINT32_MAX : (uint32_t)n);
  wire_put(out, text, n);
  wire_put8(out, 0);
}

void wire_pad(struct wire_out *out, size_t align) {
  size_t n = -out->n & (align - 1);
  void *to = n ? wire_space(out, n) : NULL;
  if (to)
    memset(to, 0, n);
}

size_t wire_begin(struct wire_out *out, uint16_t tag, bool critical) {
  wire_put16(out, tag);
  wire_put16(out, critical ? BYTES_CRITICAL : 0);
  wire_put32(out, 0);
  return out->n;
}

void wire_end(struct wire_out *out, size_t section) {
  if (out->status)
    return;
  uint32_t n = (uint32_t)(out->n - section);
  memcpy(out->data + section - sizeof n, &n, sizeof n);
  wire_pad(out, BYTES_SECTION);
}

const void *wire_take(struct wire_in *in, size_t n) {
  if (in->bad || n > (size_t)(in->end - in->at)) {
    in->bad = true;
    return NULL;
  }
  in->at += n;
  return in->at - n;
}

void wire_skip_pad(struct wire_in *in, size_t align) {
  wire_take(in, -(size_t)(in->at - in->base) & (align - 1));
}

const void *wire_take_items(struct wire_in *in, size_t n, size_t size, size_t align) {
  wire_skip_pad(in, align);
  if (size && n > SIZE_MAX / size) {
    in->bad = true;
    return NULL;
  }
  return wire_take(in, n * size);
}

static void bytes_copy(struct wire_in *in, void *to, size_t n) {
  const void *from = wire_take(in, n);
  if (from)
    memcpy(to, from, n);
  else
    memset(to, 0, n);
}

uint8_t wire_take8(struct wire_in *in) {
  uint8_t v;
  bytes_copy(in, &v, sizeof v);
  return v;
}

uint16_t wire_take16(struct wire_in *in) {
  uint16_t v;
  bytes_copy(in, &v, sizeof v);
  return v;
}

uint32_t wire_take32(struct wire_in *in) {
  uint32_t v;
  bytes_copy(in, &v, sizeof v);
  return v;
}

uint64_t wire_take64(struct wire_in *in) {
  uint64_t v;
  bytes_copy(in, &v, sizeof v);
  return v;
}

float wire_take_float(struct wire_in *in) {
  float v;
  bytes_copy(in, &v, sizeof v);
  return v;
}

uint32_t wire_take_count(struct wire_in *in, uint32_t max) {
  uint32_t n = wire_take32(in);
  if (n <= max)
    return n;
  in->bad = true;
  return 0;
}

const char *wire_take_text(struct wire_in *in, size_t max, size_t *n) {
  size_t length = wire_take32(in);
  const char *text = length <= max ? wire_take(in, length + 1) : NULL;
  if (!text || text[length] || memchr(text, 0, length)) {
    in->bad = true;
    text = NULL;
    length = 0;
  }
  if (n)
    *n = length;
  return text;
}

bool wire_next(struct wire_in *in, uint16_t *tag, bool *critical, struct wire_in *section) {
  if (in->bad || in->at == in->end)
    return false;
  *tag = wire_take16(in);
  uint16_t flags = wire_take16(in);
  size_t n = wire_take32(in);
  const uint8_t *at = wire_take(in, n);
  wire_skip_pad(in, BYTES_SECTION);
  if (in->bad)
    return false;
  *critical = flags & BYTES_CRITICAL;
  *section = (struct wire_in){in->base, at, at + n, false};
  return true;
}

struct wire_block {
  struct wire_block *next;
};

void *wire_mem_get(struct wire_mem *mem, size_t n, size_t size) {
  struct wire_block *block = NULL;
  if (size <= (SIZE_MAX - 2 * WIRE_ALIGN) / (n ? n : 1)) {
    size_t bytes = (n * size + 2 * WIRE_ALIGN - 1) / WIRE_ALIGN * WIRE_ALIGN;
    block = aligned_alloc(WIRE_ALIGN, bytes);
    if (block)
      memset(block, 0, bytes);
  }
  if (!block) {
    mem->failed = true;
    return NULL;
  }
  block->next = mem->blocks;
  mem->blocks = block;
  return (char *)block + WIRE_ALIGN;
}

void wire_mem_free(struct wire_mem *mem) {
  for (struct wire_block *block = mem->blocks, *next; block; block = next) {
    next = block->next;
    free(block);
  }
  *mem = (struct wire_mem){NULL, false};
}
