/*
 * bytes.h - what messages are made of: a buffer that grows to a limit, a cursor that never leaves
 * its bytes, sections, and memory for what is read. Little-endian; positions that are aligned are
 * so from the start of the message, which is itself aligned as payloads of frames are.
 */
#ifndef CLUSTER_WIRE_BYTES_H
#define CLUSTER_WIRE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WIRE_ALIGN = 64 }; /* of a message, and of vectors in it */

enum wire_status {
  WIRE_OK,
  WIRE_BAD,       /* not a message of this protocol */
  WIRE_NEWER,     /* of a later version, which says that this one cannot understand it */
  WIRE_TOO_LARGE, /* over the buffer's limit */
  WIRE_NO_MEMORY
};
const char *wire_status_name(enum wire_status status);

/* ---- Writing. After a fault everything is ignored, and the fault stays. ---- */

struct wire_out {
  uint8_t *data; /* free() gives it back; aligned to WIRE_ALIGN */
  size_t n;
  size_t room;
  size_t limit;
  enum wire_status status;
};

void wire_out_init(struct wire_out *out, size_t limit);
void wire_out_free(struct wire_out *out);
/* Room for n further bytes, which count as written; NULL after a fault. */
void *wire_space(struct wire_out *out, size_t n);
void wire_put(struct wire_out *out, const void *data, size_t n);
void wire_put8(struct wire_out *out, uint8_t v);
void wire_put16(struct wire_out *out, uint16_t v);
void wire_put32(struct wire_out *out, uint32_t v);
void wire_put64(struct wire_out *out, uint64_t v);
void wire_put_float(struct wire_out *out, float v);
/* Its length, its bytes and a NUL. */
void wire_put_text(struct wire_out *out, const char *text, size_t n);
/* Zeros up to a multiple of `align`, a power of two up to WIRE_ALIGN. */
void wire_pad(struct wire_out *out, size_t align);
/* A section: what lies between the two calls. Who does not know a critical one refuses the message;
   the others are skipped. */
size_t wire_begin(struct wire_out *out, uint16_t tag, bool critical);
void wire_end(struct wire_out *out, size_t section);

/* ---- Reading. After a fault everything is 0 or NULL, and `bad` stays. ---- */

struct wire_in {
  const uint8_t *base;
  const uint8_t *at;
  const uint8_t *end;
  bool bad;
};

/* n bytes where they lie; NULL: there are not so many. */
const void *wire_take(struct wire_in *in, size_t n);
/* n items of `size` bytes, at a multiple of `align`. */
const void *wire_take_items(struct wire_in *in, size_t n, size_t size, size_t align);
uint8_t wire_take8(struct wire_in *in);
uint16_t wire_take16(struct wire_in *in);
uint32_t wire_take32(struct wire_in *in);
uint64_t wire_take64(struct wire_in *in);
float wire_take_float(struct wire_in *in);
/* A count; over `max` it is bad. */
uint32_t wire_take_count(struct wire_in *in, uint32_t max);
/* A text of up to `max` bytes, with its NUL and without others; *n may be NULL. */
const char *wire_take_text(struct wire_in *in, size_t max, size_t *n);
/* The next section; false: there is none, or it is bad. */
bool wire_next(struct wire_in *in, uint16_t *tag, bool *critical, struct wire_in *section);
/* The first `pad` bytes, by which a position is behind a multiple of `align`, are left out. */
void wire_skip_pad(struct wire_in *in, size_t align);

/* ---- Memory for what is read: given back all at once. ---- */

struct wire_mem {
  struct wire_block *blocks;
  bool failed; /* a wire_mem_get found no memory */
};

void wire_mem_free(struct wire_mem *mem);
/* n zeroed items of `size` bytes, aligned to WIRE_ALIGN; NULL: no memory. */
void *wire_mem_get(struct wire_mem *mem, size_t n, size_t size);

#endif
