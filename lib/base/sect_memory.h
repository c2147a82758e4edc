/* sect_memory.h - sections (sect.h) in memory, for an index that is built to be looked at and
 * thrown away. */
#ifndef VDB_SECT_MEMORY_H
#define VDB_SECT_MEMORY_H

#include "base/mem.h"
#include "base/sect.h"

struct vdb_sect_memory_item;

struct vdb_sect_memory {
  struct vdb_sect_writer writer; /* first */
  struct vdb_sect_reader reader;
  struct vdb_mem *mem;
  struct vdb_sect_memory_item *items;
  size_t n, capacity;
};

/* Release with free. Writing fails with NO_MEMORY; no section can be read in pieces (`source`). */
VDB_INTERNAL void vdb_sect_memory_init(struct vdb_sect_memory *s, struct vdb_mem *mem);
VDB_INTERNAL void vdb_sect_memory_free(struct vdb_sect_memory *s);

#endif
