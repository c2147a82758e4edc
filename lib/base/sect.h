/*
 * sect.h - named sections: how an index or a column writes bytes without knowing files. A section
 * is known by a tag (what it is) and a number (which field it belongs to). lib/store/blob supplies
 * both sides; tests supply sides in memory.
 */
#ifndef VDB_SECT_H
#define VDB_SECT_H

#include "base.h"

struct vdb_hot;

/* A tag of four characters, as in VDB_TAG('H','N','S','W'). */
#define VDB_TAG(a, b, c, d) \
  ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)

struct vdb_sect_writer {
  /* begin, any number of appends, end: one section after the other. Errors are sticky: they may be
     left unread until the writer's owner finishes the file. The data starts 64-byte aligned. */
  int (*begin)(struct vdb_sect_writer *w, uint32_t tag, uint32_t number, vecdb_error *err);
  int (*append)(struct vdb_sect_writer *w, const void *data, size_t n, vecdb_error *err);
  int (*end)(struct vdb_sect_writer *w, vecdb_error *err);
  /* Between sections: the data of the next one starts at a multiple of VECDB_BLOCK in the file. */
  int (*align)(struct vdb_sect_writer *w, vecdb_error *err);
};

/* Bytes of a section to be read when they are needed, many pieces at a time, and not mapped. Of its
   own: it is closed before the reader's file is. */
struct vdb_sect_source {
  uint64_t offset; /* where the section starts for reads of a queue */
  uint64_t length;
  /* A queue of reads, by offsets that count from the start of the file, of whole aligned blocks. To
     be closed before the source. 0 or an errno value. Any thread. */
  int (*queue)(struct vdb_sect_source *source, uint32_t depth, vecdb_read_queue **out);
  void (*close)(struct vdb_sect_source *source);
  /* Where blocks that were read may be kept (base/hot.h), and as whose; NULL: nowhere. What is kept
     goes when the source is closed. */
  struct vdb_hot *hot;
  uint32_t owner;
};

struct vdb_sect_reader {
  /* The bytes of a section, 64-byte aligned, borrowed until the reader's owner closes the file;
     their checksum has held unless `bulk` was asked for. *data is NULL when there is none. */
  int (*find)(const struct vdb_sect_reader *r, uint32_t tag, uint32_t number, bool bulk,
              const void **data, size_t *n, vecdb_error *err);
  /* Opens a section for reading in pieces, which are not verified. *out is NULL when there is none.
     Errors: IO, NO_MEMORY, CORRUPT when it does not start at a block. */
  int (*source)(const struct vdb_sect_reader *r, uint32_t tag, uint32_t number,
                struct vdb_sect_source **out, vecdb_error *err);
};

#endif
