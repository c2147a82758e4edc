/*
 * blob_pages.h - encrypted section files: the pages of their sections, and the frame around them.
 * A page is STORE_PAGE bytes of a section, the last one fewer, at the same place as the plain bytes
 * would be; its tag is in the section TAGS. README.md draws the bytes.
 */
#ifndef VDB_BLOB_PAGES_H
#define VDB_BLOB_PAGES_H

#include "os/queue.h"
#include "store/store_format.h"

/* What the tag in the trailer is over. */
struct vdb_blob_frame {
  const struct store_blob_header *header;
  const struct store_blob_entry *table;
  const uint8_t *tags;
  size_t n_tags; /* bytes of them */
  const struct store_blob_trailer *trailer; /* up to its tag; it has the number of sections */
};
VDB_INTERNAL int vdb_blob_frame_seal(struct vdb_cipher *cipher, const struct vdb_blob_frame *frame,
                                     uint8_t *tag);

/* The reading side: tags, and the sections that are decrypted. */
struct vdb_pages;
struct vdb_pages_open {
  struct vdb_mem *mem;
  vecdb_file *file; /* for the tags; not kept */
  const char *path; /* borrowed */
  const struct store_blob_header *header;
  const struct store_blob_entry *table; /* borrowed, checked */
  size_t n;                             /* sections */
  const struct store_blob_trailer *trailer;
};
/* Takes over the cipher, also when it fails. CORRUPT when the frame is not what was sealed; IO,
   NO_MEMORY. */
VDB_INTERNAL int vdb_pages_new(const struct vdb_pages_open *open, struct vdb_cipher *cipher,
                               struct vdb_pages **out, vecdb_error *err);
/* Ends all borrowings. NULL is fine. */
VDB_INTERNAL void vdb_pages_free(struct vdb_pages *pages);
/* The bytes of section i of the file that is mapped at `map`: decrypted when first asked for, by
   any thread. CORRUPT with the place of the page, NO_MEMORY. */
VDB_INTERNAL int vdb_pages_find(struct vdb_pages *pages, size_t i, const uint8_t *map,
                                const void **data, vecdb_error *err);
/* Decrypts all of section i, and keeps nothing. `stop` as for vdb_blob_verify. */
VDB_INTERNAL int vdb_pages_check(const struct vdb_pages *pages, size_t i, const uint8_t *map,
                                 bool (*stop)(void *), void *stop_arg, vecdb_error *err);
/* Puts a queue that decrypts what is read of section i before the queue *inout, which it takes
   over, also when it fails. A read is of whole pages; EBADMSG is one that was changed. 0 or
   ENOMEM. */
VDB_INTERNAL int vdb_pages_queue(const struct vdb_pages *pages, size_t i,
                                 vecdb_read_queue **inout);

#endif
