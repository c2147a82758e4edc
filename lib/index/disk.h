/*
 * disk.h - what the files of the DISK index share: rows and links of level 0 of an HNSW graph in
 * blocks of a file, which searches read many at a time; short codes, the upper layers and the place
 * of each row in memory. README.md has the design.
 *
 *   disk.c         the table, opening and closing, a scan of codes
 *   disk_build.c   which nodes share a block; writing
 *   disk_io.c      sections: layout, checks
 *   disk_read.c    scratch memory, and blocks under way
 *   disk_search.c  a search
 */
#ifndef VDB_DISK_H
#define VDB_DISK_H

#include "index/hnsw.h"
#include "index/stock.h"

enum {
  VDB_DISK_DEPTH = 32,  /* reads that a search keeps under way, at most */
  VDB_DISK_MAX_CAP = 64 /* nodes of a block */
};

VDB_INTERNAL const struct vdb_index_ops *vdb_disk_ops(void);

/*
 * A block, `unit` bytes at a multiple of VECDB_BLOCK: u64 checksum of what follows, seeded with the
 * block's number; u32 nodes; u32 0; then for `cap` nodes u32 rows, f32 inverse norms (COSINE), u32
 * links[width] in rows; from a multiple of 64, the vectors. What no node fills is zero.
 */
struct vdb_disk_shape {
  uint32_t unit;
  uint32_t cap;
  uint32_t n_blocks;
  uint32_t width;     /* links of a node */
  uint32_t row_bytes; /* of a vector */
  uint32_t at_norms;
  uint32_t at_links;
  uint32_t at_vectors;
};

struct vdb_disk_head {
  uint64_t sum;
  uint32_t n;
  uint32_t zero;
};

/* As many nodes to a block as it holds, and for long vectors one to several times VECDB_BLOCK. */
VDB_INTERNAL struct vdb_disk_shape vdb_disk_shape(const struct vdb_vecs *vecs, uint32_t width,
                                                  uint32_t n_nodes);

VDB_INLINE const uint32_t *vdb_disk_rows(const uint8_t *block) {
  return (const uint32_t *)(const void *)(block + sizeof(struct vdb_disk_head));
}

VDB_INLINE const uint32_t *vdb_disk_links(const struct vdb_disk_shape *shape, const uint8_t *block,
                                          uint32_t i) {
  return (const uint32_t *)(const void *)(block + shape->at_links) + (size_t)i * shape->width;
}

/* An opened index. */
struct vdb_disk {
  struct vdb_index base;
  struct vdb_mem *mem;
  struct vdb_hnsw_graph graph; /* level 0 has no links */
  struct vdb_codes codes;
  struct vdb_disk_shape shape;
  const uint32_t *where;       /* block of each row; of copies, that of the first */
  struct vdb_sect_source *source;
  struct vdb_stock stock;      /* of struct vdb_disk_scratch */
};

/* Memory of a search. */
struct vdb_disk_scratch {
  struct vdb_hnsw_scratch *walk;
  struct vdb_visited blocks; /* those asked for */
  void *query;               /* among the codes */
  vecdb_read_queue *queue;
  uint8_t *memory;           /* holds the buffers */
  uint8_t *buffers;          /* VDB_DISK_DEPTH blocks, aligned for direct reads */
  vecdb_read reads[VDB_DISK_DEPTH];
  uint32_t numbers[VDB_DISK_DEPTH]; /* of the blocks */
  bool kept[VDB_DISK_DEPTH];        /* there without a read, and checked before */
  uint32_t first;                   /* the oldest read under way */
  uint32_t under_way;
};

/* ---- disk_build.c, disk_io.c ----------------------------------------------------------------- */

VDB_INTERNAL int vdb_disk_build(const struct vdb_index_build *b, vecdb_error *err);

/* What is written of an index besides its graph: blocks come from `seq`, `cap` nodes each. */
struct vdb_disk_parts {
  const struct vdb_hnsw_builder *h;
  struct vdb_disk_shape shape;
  const uint32_t *seq;   /* rows of the nodes in the order of their blocks */
  const uint32_t *where;
  const struct vdb_codes *codes;
};
VDB_INTERNAL int vdb_disk_write(const struct vdb_disk_parts *p, vecdb_error *err);
/* Opens and checks the sections, but for the blocks, which are checked as they are read. What was
   opened before an error is left for vdb_disk_ops.close. */
VDB_INTERNAL int vdb_disk_open_parts(struct vdb_disk *disk, const struct vdb_sect_reader *in,
                                     uint32_t number, vecdb_error *err);
VDB_INTERNAL int vdb_disk_corrupt(vecdb_error *err, const char *what);

/* ---- disk_read.c, disk_search.c -------------------------------------------------------------- */

/* Scratch memory from the stock, or new. Errors: NO_MEMORY. */
VDB_INTERNAL int vdb_disk_take(const struct vdb_disk *disk, struct vdb_disk_scratch **out,
                               vecdb_error *err);
/* Waits for reads under way, and gives it back. */
VDB_INTERNAL void vdb_disk_give(const struct vdb_disk *disk, struct vdb_disk_scratch *scratch);
VDB_INTERNAL void vdb_disk_scratch_free(struct vdb_mem *mem, struct vdb_disk_scratch *scratch);

/* Starts to read a block; fewer than VDB_DISK_DEPTH are under way. Whether it must be read: false
   where it was kept. */
VDB_INTERNAL bool vdb_disk_start(const struct vdb_disk *disk, struct vdb_disk_scratch *scratch,
                                 uint32_t number);
/* Waits for the read that was started first and checks the block: its checksum, its rows and that
   they belong there. It stays until the next start. Errors: IO, CORRUPT. */
VDB_INTERNAL int vdb_disk_finish(const struct vdb_disk *disk, struct vdb_disk_scratch *scratch,
                                 const uint8_t **block, vecdb_error *err);

VDB_INTERNAL int vdb_disk_search(const struct vdb_index *index, struct vdb_search *s,
                                 vecdb_error *err);
VDB_INTERNAL int vdb_disk_scan(const struct vdb_index *index, struct vdb_search *s,
                               vecdb_error *err);

#endif
