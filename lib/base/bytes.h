/*
 * bytes.h - reading and writing little-endian bytes. The reader checks every length against what is
 * left and has a sticky error: after one failure everything reads as zero and `bad` stays set, so a
 * decoder checks once, at its end or before it trusts a count.
 */
#ifndef VDB_BYTES_H
#define VDB_BYTES_H

#include "mem.h"

struct vdb_reader {
  const uint8_t *at;
  const uint8_t *end;
  bool bad;
};

VDB_INLINE struct vdb_reader vdb_reader_of(const void *data, size_t n) {
  struct vdb_reader r = {data, (const uint8_t *)data + n, false};
  return r;
}

VDB_INLINE size_t vdb_reader_left(const struct vdb_reader *r) { return (size_t)(r->end - r->at); }

/* The next n bytes, or NULL. */
VDB_INLINE const void *vdb_read_bytes(struct vdb_reader *r, size_t n) {
  if (r->bad || n > vdb_reader_left(r)) {
    r->bad = true;
    return NULL;
  }
  const uint8_t *p = r->at;
  r->at += n;
  return p;
}

VDB_INLINE uint8_t vdb_read_u8(struct vdb_reader *r) {
  const uint8_t *p = vdb_read_bytes(r, 1);
  return p ? *p : 0;
}

#define VDB_BYTES_READ(name, type)                  \
  VDB_INLINE type name(struct vdb_reader *r) {      \
    type v = 0;                                     \
    const void *p = vdb_read_bytes(r, sizeof v);    \
    if (p)                                          \
      memcpy(&v, p, sizeof v);                      \
    return v;                                       \
  }
VDB_BYTES_READ(vdb_read_u16, uint16_t)
VDB_BYTES_READ(vdb_read_u32, uint32_t)
VDB_BYTES_READ(vdb_read_u64, uint64_t)
VDB_BYTES_READ(vdb_read_f64, double)
#undef VDB_BYTES_READ

/* A count that is followed by at least `unit` bytes per item; 0 and bad when it cannot be true. */
VDB_INLINE uint32_t vdb_read_count(struct vdb_reader *r, size_t unit) {
  uint32_t n = vdb_read_u32(r);
  if (unit && n > vdb_reader_left(r) / unit) {
    r->bad = true;
    return 0;
  }
  return n;
}

/* A growing byte buffer with a sticky out-of-memory flag. Start with VDB_WRITER(mem). */
struct vdb_writer {
  struct vdb_mem *mem;
  uint8_t *data;
  size_t n;
  size_t capacity;
  bool failed;
};
#define VDB_WRITER(memory) {(memory), NULL, 0, 0, false}

/* Room for n more bytes, counted as written; NULL (and failed) when there is no memory. */
VDB_INLINE void *vdb_write_space(struct vdb_writer *w, size_t n) {
  if (w->failed || n > SIZE_MAX / 2 - w->n || !VDB_GROW(w->mem, w->data, w->capacity, w->n + n)) {
    w->failed = true;
    return NULL;
  }
  void *p = w->data + w->n;
  w->n += n;
  return p;
}

VDB_INLINE void vdb_write_bytes(struct vdb_writer *w, const void *data, size_t n) {
  void *p = vdb_write_space(w, n);
  if (p && n)
    memcpy(p, data, n);
}

#define VDB_BYTES_WRITE(name, type) \
  VDB_INLINE void name(struct vdb_writer *w, type v) { vdb_write_bytes(w, &v, sizeof v); }
VDB_BYTES_WRITE(vdb_write_u8, uint8_t)
VDB_BYTES_WRITE(vdb_write_u16, uint16_t)
VDB_BYTES_WRITE(vdb_write_u32, uint32_t)
VDB_BYTES_WRITE(vdb_write_u64, uint64_t)
VDB_BYTES_WRITE(vdb_write_f64, double)
#undef VDB_BYTES_WRITE

/* Zero bytes up to a multiple of `unit` (a power of two) from the buffer's start. */
VDB_INLINE void vdb_write_pad(struct vdb_writer *w, size_t unit) {
  size_t n = (size_t)vdb_round_up(w->n, unit) - w->n;
  void *p = vdb_write_space(w, n);
  if (p)
    memset(p, 0, n);
}

VDB_INLINE void vdb_writer_free(struct vdb_writer *w) {
  vdb_free(w->mem, w->data);
  w->data = NULL;
  w->n = w->capacity = 0;
}

#endif
