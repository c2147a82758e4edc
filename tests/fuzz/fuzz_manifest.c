/*
 * fuzz_manifest.c - manifests from hostile bytes. What is accepted must encode to the same bytes.
 * Input: a byte of flags (1: make magic, length and checksum fit), the bytes.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/sum.h"
#include "store/manifest.h"
#include "store/store_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_mend(uint8_t *data, size_t n) {
  if (n < STORE_MANIFEST_HEAD + 8)
    return;
  uint64_t body = n - STORE_MANIFEST_HEAD - 8;
  uint32_t frame[2] = {VECDB_FORMAT_VERSION, 0};
  memcpy(data, STORE_MANIFEST_MAGIC, STORE_MAGIC_BYTES);
  memcpy(data + STORE_MAGIC_BYTES, frame, sizeof frame);
  memcpy(data + STORE_MANIFEST_HEAD - 8, &body, 8);
  uint64_t hash = vdb_hash64(data, n - 8);
  memcpy(data + n - 8, &hash, 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct vdb_mem mem;
  struct vdb_manifest manifest;
  vecdb_error err;
  if (size < 1)
    return 0;
  vdb_mem_init(&mem, NULL, 256 << 20);
  size_t n = size - 1;
  uint8_t *copy = malloc(n ? n : 1); /* exactly as long, so that reading beyond it is seen */
  if (!copy)
    abort();
  memcpy(copy, data + 1, n);
  if (data[0] & 1)
    fuzz_mend(copy, n);
  if (vdb_manifest_decode(&mem, copy, n, &manifest, &err) == VECDB_OK) {
    struct vdb_writer again = VDB_WRITER(&mem);
    vdb_manifest_encode(&manifest, &again);
    if (again.failed || again.n != n || memcmp(again.data, copy, n) != 0)
      abort();
    vdb_writer_free(&again);
    vdb_manifest_fini(&mem, &manifest);
  }
  free(copy);
  if (atomic_load(&mem.used) != 0)
    abort();
  return 0;
}
