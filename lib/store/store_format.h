/*
 * store_format.h - the bytes of the log and of section files as C structs, with their magics, sizes
 * and limits; and the names of files. Files are little-endian, as the platform is (base.h), so the
 * structs are copied as they stand. README.md draws them.
 */
#ifndef VDB_STORE_FORMAT_H
#define VDB_STORE_FORMAT_H

#include "base/err.h"
#include "base/sect.h"
#include "base/sum.h"
#include "os/crypt.h"

#define STORE_WAL_MAGIC "vecdbwal"
#define STORE_BLOB_MAGIC "vecdbblb"
#define STORE_MANIFEST_MAGIC "vecdbman"
#define STORE_KEYS_MAGIC "vecdbkey"
#define STORE_RECORD_MAGIC 0x4365526cu /* "lReC" */

enum {
  STORE_PATH_MAX = 4096,           /* of a path, with its NUL */
  STORE_MAGIC_BYTES = 8,
  STORE_HEADER_BYTES = 64,         /* of log and section files */
  STORE_RECORD_BYTES = 56,         /* header of a log record */
  STORE_RECORD_ALIGN = 8,
  STORE_BLOB_ALIGN = 64,
  STORE_BLOB_SECTIONS_MAX = 4096,
  STORE_MANIFEST_HEAD = 32,        /* bytes before the body */
  STORE_MANIFEST_MAX = 1 << 30,
  STORE_RECORD_BODY_MAX = 1 << 30, /* before it is encrypted */
  STORE_PAGE = 4096                /* bytes of a section that are encrypted as one message */
};

/* Messages of a file's cipher, beside the sections' pages, whose spaces are the sections' places in
   the table: what is only authenticated. */
#define STORE_SPACE_FRAME UINT32_MAX

struct store_wal_header {
  char magic[STORE_MAGIC_BYTES];
  uint32_t version;
  uint32_t key;    /* id of the data key; 0: plain */
  uint64_t number; /* of the file, as in its name */
  uint64_t base;   /* the last sequence number before this file */
  uint64_t salt;   /* repeated in every record */
  uint8_t key_salt[VDB_SALT_BYTES];
  uint64_t hash;   /* of the bytes before */
};

struct store_wal_record {
  uint32_t magic;
  uint32_t length;    /* of the body, without its padding */
  uint64_t seq;
  uint64_t salt;      /* of the file */
  uint64_t durable;   /* all bytes of the file below this were synced before this was written */
  uint32_t collection;
  uint32_t type;      /* a vdb_wal_type */
  uint64_t body_hash; /* of the body and its padding */
  uint64_t hash;      /* of the bytes before */
};

struct store_blob_header {
  char magic[STORE_MAGIC_BYTES];
  uint32_t version;
  uint32_t kind; /* a vdb_blob_kind */
  uint64_t number;
  uint32_t key; /* id of the data key; 0: plain */
  uint32_t zero;
  uint8_t key_salt[VDB_SALT_BYTES];
  uint64_t zeros;
  uint64_t hash; /* of the bytes before */
};

/* Zeros before a section that starts at a block; by its place in the table. */
#define STORE_BLOB_GAP VDB_TAG('G', 'A', 'P', '.')
/* Of an encrypted file, the last section: the tags of all pages of the others, in their order. */
#define STORE_BLOB_TAGS VDB_TAG('T', 'A', 'G', 'S')

struct store_blob_entry {
  uint32_t tag;
  uint32_t number;
  uint64_t offset;
  uint64_t length;
  uint64_t hash; /* of the section's bytes */
};

struct store_blob_trailer {
  uint64_t table;    /* offset of the table */
  uint32_t sections; /* entries in it */
  uint32_t kind;
  uint64_t number;
  uint64_t length;   /* of the file */
  uint8_t tag[VDB_TAG_BYTES]; /* of header, table, tags and the bytes before; zeros when plain */
  uint64_t table_hash;
  uint64_t hash;     /* of the bytes before */
};

_Static_assert(sizeof(struct store_wal_header) == STORE_HEADER_BYTES, "no hidden padding");
_Static_assert(offsetof(struct store_wal_header, hash) == STORE_HEADER_BYTES - 8, "hash is last");
_Static_assert(sizeof(struct store_wal_record) == STORE_RECORD_BYTES, "no hidden padding");
_Static_assert(offsetof(struct store_wal_record, hash) == STORE_RECORD_BYTES - 8, "hash is last");
_Static_assert(STORE_RECORD_BYTES % STORE_RECORD_ALIGN == 0, "bodies are aligned");
_Static_assert(sizeof(struct store_blob_header) == STORE_HEADER_BYTES, "no hidden padding");
_Static_assert(offsetof(struct store_blob_header, hash) == STORE_HEADER_BYTES - 8, "hash is last");
_Static_assert(sizeof(struct store_blob_entry) == 32, "no hidden padding");
_Static_assert(sizeof(struct store_blob_trailer) == STORE_HEADER_BYTES, "no hidden padding");
_Static_assert(offsetof(struct store_blob_trailer, hash) == STORE_HEADER_BYTES - 8, "hash is last");

/* The hash that stands in the last 8 of the n bytes of a header, computed. */
VDB_INLINE uint64_t vdb_store_hash(const void *header, size_t n) {
  return vdb_hash64(header, n - sizeof(uint64_t));
}

/* Bytes that a record with a body of n takes in the file. */
VDB_INLINE uint64_t vdb_store_record_bytes(uint64_t n) {
  return STORE_RECORD_BYTES + vdb_round_up(n, STORE_RECORD_ALIGN);
}

/* Whether n bytes are all zero. */
VDB_INTERNAL bool vdb_store_zero(const void *data, size_t n);
/* "dir/<number in 16 hexadecimal digits><suffix>"; LIMIT when it does not fit n bytes. */
VDB_INTERNAL int vdb_store_path(char *out, size_t n, const char *dir, uint64_t number,
                                const char *suffix, vecdb_error *err);
/* The number in a file name that vdb_store_path could have made with this suffix, else false. */
VDB_INTERNAL bool vdb_store_parse(const char *name, const char *suffix, uint64_t *number);

#endif
