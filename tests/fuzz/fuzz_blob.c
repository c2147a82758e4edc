/*
 * fuzz_blob.c - section files from hostile bytes: opened, all sections found and read, verified.
 * Input: a byte of flags (1: make the checksums fit; 2: full check at opening), the bytes.
 */
#include <stdint.h>
#include <stdlib.h>

#include "store/blob.h"
#include "store/store_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Makes header, sections, table and trailer fit each other, as far as they lie in the file. */
static void fuzz_mend(uint8_t *data, size_t n) {
  struct store_blob_header h;
  struct store_blob_trailer t;
  if (n < sizeof h + sizeof t)
    return;
  memcpy(&h, data, sizeof h);
  memcpy(h.magic, STORE_BLOB_MAGIC, sizeof h.magic);
  h.kind = VDB_BLOB_INDEX;
  h.number = 1;
  h.hash = vdb_store_hash(&h, sizeof h);
  memcpy(data, &h, sizeof h);
  memcpy(&t, data + n - sizeof t, sizeof t);
  t.kind = h.kind;
  t.number = h.number;
  t.length = n;
  uint64_t table = (uint64_t)t.sections * sizeof(struct store_blob_entry);
  if (t.table <= n && table <= n - t.table) {
    for (uint64_t at = t.table; at < t.table + table; at += sizeof(struct store_blob_entry)) {
      struct store_blob_entry e;
      memcpy(&e, data + at, sizeof e);
      if (e.offset <= n && e.length <= n - e.offset)
        e.hash = vdb_hash64(data + e.offset, (size_t)e.length);
      memcpy(data + at, &e, sizeof e);
    }
    t.table_hash = vdb_hash64(data + t.table, (size_t)table);
  }
  t.hash = vdb_store_hash(&t, sizeof t);
  memcpy(data + n - sizeof t, &t, sizeof t);
}

static void fuzz_use(const struct vdb_blob *blob, const struct store_blob_trailer *t,
                     const uint8_t *data) {
  const struct vdb_sect_reader *r = vdb_blob_reader(blob);
  vecdb_error err;
  size_t length;
  vdb_blob_bytes(blob, &length);
  for (uint32_t i = 0; i < t->sections; i++) {
    struct store_blob_entry e;
    const void *bytes;
    size_t n;
    memcpy(&e, data + t->table + i * sizeof e, sizeof e);
    if (r->find(r, e.tag, e.number, i % 2, &bytes, &n, &err) == VECDB_OK &&
        (!bytes || n > length || vdb_hash64(bytes, n) == 1))
      abort();
  }
  vdb_blob_verify(blob, NULL, NULL, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct vdb_env env;
  vecdb_error err;
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.memory_limit = 64 << 20;
  if (size < 1 || size > 1 << 20)
    return 0;
  if (vdb_env_init(&env, &options, true, &err) != VECDB_OK ||
      env.vfs->make_dir(env.vfs, "db") != 0)
    abort();
  size_t n = size - 1;
  uint8_t *copy = malloc(n + 1);
  vecdb_file *file;
  if (!copy)
    abort();
  memcpy(copy, data + 1, n);
  if (data[0] & 1)
    fuzz_mend(copy, n);
  if (env.vfs->open(env.vfs, "db/0000000000000001.idx", VECDB_OPEN_CREATE, &file) != 0 ||
      env.vfs->write(file, copy, n, 0) != 0)
    abort();
  env.vfs->close(file);
  struct vdb_blob_id id = {1, n, 0};
  struct store_blob_trailer t;
  if (n >= sizeof t) {
    memcpy(&t, copy + n - sizeof t, sizeof t);
    id.hash = t.table_hash;
  }
  struct vdb_blob *blob;
  if (vdb_blob_open(&env, "db", VDB_BLOB_INDEX, &id, data[0] & 2, &blob, &err) == VECDB_OK)
    fuzz_use(blob, &t, copy);
  vdb_blob_close(blob);
  free(copy);
  vdb_env_fini(&env);
  return 0;
}
