/*
 * manifest.h - the one file that says what the database is: collections, their segment files, and
 * where the log begins. Replaced as a whole: written to MANIFEST.tmp, synced, renamed to MANIFEST,
 * folder synced. A file that no manifest names does not exist, whatever the folder holds.
 *
 *   "vecdbman", u32 format version, u32 0, u64 generation, u64 body length, body, u64 XXH3 of all
 *   before
 *
 * The body is drawn in README.md.
 */
#ifndef VDB_MANIFEST_H
#define VDB_MANIFEST_H

#include "base/curve.h"
#include "store/blob.h"

/* One vector index file of a segment. */
struct vdb_manifest_index {
  uint32_t field;
  vecdb_index_params params; /* it was built with; the type is never AUTO */
  struct vdb_curve curve;
  struct vdb_blob_id blob;
};

struct vdb_manifest_segment {
  uint64_t id;
  uint64_t rows;
  struct vdb_blob_id blob;
  struct vdb_blob_id tombs; /* file 0: none */
  uint64_t deleted;         /* rows in tombs */
  struct vdb_manifest_index *indexes;
  uint32_t n_indexes;
};

struct vdb_manifest_collection {
  uint32_t id;
  char *name;
  uint8_t *schema; /* encoded */
  uint32_t schema_bytes;
  uint64_t flushed_seq;  /* log records of this collection up to here are in its files */
  int64_t next_auto_id;
  vecdb_index_params *indexes; /* current settings, one per field (zeros for scalars) */
  uint32_t n_fields;
  struct vdb_manifest_segment *segments;
  uint32_t n_segments;
};

struct vdb_manifest {
  uint64_t generation;
  uint64_t next_file;       /* unused blob number */
  uint64_t next_segment;
  uint32_t next_collection;
  uint64_t wal_first;       /* number of the first log file that is needed */
  uint64_t wal_floor;       /* every record up to here is in the files of its collection */
  uint64_t wal_synced;      /* every record up to here was synced: a log without them is damaged */
  struct vdb_manifest_collection *collections;
  uint32_t n_collections;
};

/* Reads and checks dir/MANIFEST. NOT_FOUND: no such file. CORRUPT, NEWER_FORMAT, NOT_A_DATABASE
   (other magic), IO, NO_MEMORY, KEY, UNSUPPORTED. Release the contents with vdb_manifest_fini; on
   failure there is nothing to be released. */
VDB_INTERNAL int vdb_manifest_read(struct vdb_env *env, const char *dir, struct vdb_manifest *out,
                                   vecdb_error *err);
/*
 * Replaces dir/MANIFEST, with generation + 1. When it fails the state on disk is the old or the new
 * one; *unknown then says whether the rename may have happened. If so, files that either state
 * names must be kept until a later write succeeds. On success, and when it is unknown, the
 * generation in `manifest` is the new one: no two states on disk have the same. Errors: IO,
 * DISK_FULL, NO_MEMORY, LIMIT.
 */
VDB_INTERNAL int vdb_manifest_write(struct vdb_env *env, const char *dir,
                                    struct vdb_manifest *manifest, bool *unknown, vecdb_error *err);
/* Releases the contents and zeroes the struct. */
VDB_INTERNAL void vdb_manifest_fini(struct vdb_mem *mem, struct vdb_manifest *manifest);
/* Bytes to manifest and back; for tests and fuzzing too. encode appends to `out`, whose failed flag
   says that there was no memory. */
VDB_INTERNAL void vdb_manifest_encode(const struct vdb_manifest *manifest, struct vdb_writer *out);
/*
 * Decode: CORRUPT on anything odd, all counts checked before allocation. What has then held:
 * collection ids are unique and below next_collection, names unique and 1 to VECDB_MAX_NAME bytes
 * without NUL; segment ids unique in the database and below next_segment; file numbers unique, not
 * 0 and below next_file; n_fields at most VECDB_MAX_FIELDS; each index of a segment is of another
 * field below n_fields; curves rise; deleted <= rows, and 0 without tombs. Schemas, index types and
 * parameters are kept as they are. On failure there is nothing to be released.
 */
VDB_INTERNAL int vdb_manifest_decode(struct vdb_mem *mem, const void *data, size_t n,
                                     struct vdb_manifest *out, vecdb_error *err);

#endif
