/*
 * blob.h - a file of named sections, written once, then only mapped and read.
 *
 *   header, 64 bytes:  "vecdbblb", u32 format version, u32 kind, u64 file number, u32 data key (0:
 *                      plain), u32 0, 16 bytes of salt, zeros, u64 XXH3 of the above
 *   sections, each 64-byte aligned, zero-padded, without gaps
 *   table: per section u32 tag, u32 number, u64 offset, u64 length, u64 XXH3 of the bytes;
 *                      zero-padded
 *   trailer, 64 bytes: u64 table offset, u32 sections, u32 kind, u64 file number, u64 file length,
 *                      16 bytes of tag, u64 XXH3 of the table, u64 XXH3 of the trailer
 *
 * The manifest keeps the length and the table's hash of every file (vdb_blob_id), so a stale,
 * swapped or cut file is found at open. Padding is checked to be zero by verify.
 */
#ifndef VDB_BLOB_H
#define VDB_BLOB_H

#include "base/sect.h"
#include "os/env.h"

/* What binds a file to the manifest that names it. */
struct vdb_blob_id {
  uint64_t file;   /* its number */
  uint64_t length;
  uint64_t hash;   /* of its table */
};

enum vdb_blob_kind { VDB_BLOB_ROWS = 1, VDB_BLOB_INDEX = 2, VDB_BLOB_TOMBS = 3 };

/* Name of file `number` in folder `dir`: "dir/0000000000000001.rows", ".idx" or ".del" by kind, the
   number in hexadecimal. `out` has room for `n`; LIMIT when the path is too long. */
VDB_INTERNAL int vdb_blob_path(char *out, size_t n, const char *dir, enum vdb_blob_kind kind,
                               uint64_t number, vecdb_error *err);
/* Kind and number of a file name without folder; false when it is not the name of a section
   file. */
VDB_INTERNAL bool vdb_blob_parse(const char *name, enum vdb_blob_kind *kind, uint64_t *number);

struct vdb_blob_writer;
/* Makes the file; section bytes go through the sect writer (vdb_blob_sections). Large appends are
   not copied. At most 4,096 sections, no (tag, number) twice. One thread at a time. */
VDB_INTERNAL int vdb_blob_create(struct vdb_env *env, const char *dir, enum vdb_blob_kind kind,
                                 uint64_t number, struct vdb_blob_writer **out, vecdb_error *err);
/* Borrowed from the writer. After a failure each call gives that failure again. */
VDB_INTERNAL struct vdb_sect_writer *vdb_blob_sections(struct vdb_blob_writer *w);
/* Writes table and trailer and syncs the file (not the folder). Frees the writer either way; on
   failure, also one of the sections, the file is removed. */
VDB_INTERNAL int vdb_blob_finish(struct vdb_blob_writer *w, struct vdb_blob_id *id,
                                 vecdb_error *err);
/* Gives the file up: removes it and frees the writer. NULL is fine. */
VDB_INTERNAL void vdb_blob_abort(struct vdb_blob_writer *w);

struct vdb_blob;
/* Maps the file and checks header, trailer, table and `id`; sections are checked when first found
   (vdb_sect_reader.find, any thread), or all of them now when `full`. In a database that is
   encrypted (env->keys) they are decrypted then, and stay in memory. Errors: CORRUPT naming the
   file (with os_code ENOENT when it is missing), NEWER_FORMAT, IO, NO_MEMORY, KEY, UNSUPPORTED. */
VDB_INTERNAL int vdb_blob_open(struct vdb_env *env, const char *dir, enum vdb_blob_kind kind,
                               const struct vdb_blob_id *id, bool full, struct vdb_blob **out,
                               vecdb_error *err);
/* As vdb_blob_open, of the file at `path`, whatever its name; which file it is it says itself
   (*id), so who is given one file for another is told nothing. NOT_A_DATABASE for what is none of
   that kind. */
VDB_INTERNAL int vdb_blob_open_alone(struct vdb_env *env, const char *path,
                                     enum vdb_blob_kind kind, bool full, struct vdb_blob_id *id,
                                     struct vdb_blob **out, vecdb_error *err);
/* Ends all borrowings. NULL is fine. */
VDB_INTERNAL void vdb_blob_close(struct vdb_blob *blob);
VDB_INTERNAL const struct vdb_sect_reader *vdb_blob_reader(const struct vdb_blob *blob);
/* Checks every byte, padding too. `stop` may be NULL; polled per some megabytes; CANCELLED when it
   says true. Any thread. */
VDB_INTERNAL int vdb_blob_verify(const struct vdb_blob *blob, bool (*stop)(void *), void *stop_arg,
                                 vecdb_error *err);
/* Id of the data key that the file is encrypted by; 0: plain. */
VDB_INTERNAL uint32_t vdb_blob_key(const struct vdb_blob *blob);
/* The mapping of the file as it is, for warm-up and copies. */
VDB_INTERNAL const void *vdb_blob_bytes(const struct vdb_blob *blob, size_t *n);

#endif
