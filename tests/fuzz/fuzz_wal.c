/*
 * fuzz_wal.c - log files from hostile bytes: scanned, and when the scan accepts them, continued and
 * scanned again. Input: a byte of flags (1: make the checksums fit; 2: two files), two bytes of the
 * first file's length, the bytes.
 */
#include <stdint.h>
#include <stdlib.h>

#include "store/store_format.h"
#include "store/wal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Makes the header and every record fit: magics of both must be in the input. */
static void fuzz_mend(uint8_t *data, size_t n, uint64_t number) {
  struct store_wal_header h;
  if (n < sizeof h)
    return;
  memcpy(&h, data, sizeof h);
  memcpy(h.magic, STORE_WAL_MAGIC, sizeof h.magic);
  h.version %= VECDB_FORMAT_VERSION + 2;
  h.number = number;
  h.hash = vdb_store_hash(&h, sizeof h);
  memcpy(data, &h, sizeof h);
  struct store_wal_record r;
  for (size_t at = sizeof h; at + sizeof r <= n; at += STORE_RECORD_ALIGN) {
    memcpy(&r, data + at, sizeof r);
    if (r.magic != STORE_RECORD_MAGIC)
      continue;
    uint64_t body = vdb_store_record_bytes(r.length) - sizeof r;
    r.salt = h.salt;
    if (body <= n - at - sizeof r)
      r.body_hash = vdb_hash64(data + at + sizeof r, (size_t)body);
    r.hash = vdb_store_hash(&r, sizeof r);
    memcpy(data + at, &r, sizeof r);
  }
}

static void fuzz_put(struct vdb_env *env, uint64_t number, const uint8_t *data, size_t n,
                     bool mend) {
  uint8_t *copy = malloc(n + 1);
  char path[64];
  vecdb_error err;
  vecdb_file *file;
  if (!copy || vdb_wal_path(path, sizeof path, "db", number, &err) != VECDB_OK)
    abort();
  if (n)
    memcpy(copy, data, n);
  if (mend)
    fuzz_mend(copy, n, number);
  if (env->vfs->open(env->vfs, path, VECDB_OPEN_CREATE, &file) != 0 ||
      env->vfs->write(file, copy, n, 0) != 0)
    abort();
  env->vfs->close(file);
  free(copy);
}

struct fuzz_seen {
  uint64_t last;
  uint64_t sum;
};

static int fuzz_apply(void *arg, const struct vdb_wal_record *record, vecdb_error *err) {
  struct fuzz_seen *seen = arg;
  (void)err;
  if (record->seq != seen->last + 1)
    abort();
  seen->last = record->seq;
  seen->sum += vdb_hash64(record->body, record->n);
  return VECDB_OK;
}

static int fuzz_scan(struct vdb_env *env, struct vdb_wal_scan *scan, struct fuzz_seen *seen) {
  vecdb_error err;
  memset(seen, 0, sizeof *seen);
  return vdb_wal_scan(env, "db", 1, 0, fuzz_apply, seen, scan, &err);
}

/* Opening and closing cleanly, with one more record, must keep what was there. */
static void fuzz_continue(struct vdb_env *env, const struct vdb_wal_scan *scan,
                          const struct fuzz_seen *before) {
  struct vdb_wal *wal;
  struct vdb_wal_scan scan_again;
  struct fuzz_seen seen;
  vecdb_error err;
  uint64_t seq;
  struct vdb_wal_part part = {"more", 4};
  if (vdb_wal_new(env, "db", scan, &wal, &err) != VECDB_OK)
    abort();
  if (vdb_wal_add(wal, 1, VDB_WAL_ROWS, &part, 1, &seq, &err) != VECDB_OK ||
      seq != before->last + 1 || !vdb_wal_take(wal, &seq) ||
      vdb_wal_write(wal, true, &err) != VECDB_OK || vdb_wal_close(wal, true, &err) != VECDB_OK)
    abort();
  if (fuzz_scan(env, &scan_again, &seen) != VECDB_OK || seen.last != seq || scan_again.doubt_file)
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct vdb_env env;
  vecdb_error err;
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.memory_limit = 64 << 20;
  if (size < 3 || size > 1 << 20)
    return 0;
  if (vdb_env_init(&env, &options, true, &err) != VECDB_OK ||
      env.vfs->make_dir(env.vfs, "db") != 0)
    abort();
  size_t first = (size_t)(data[1] | data[2] << 8);
  first = data[0] & 2 ? vdb_min_size(first, size - 3) : size - 3;
  fuzz_put(&env, 1, data + 3, first, data[0] & 1);
  if (data[0] & 2)
    fuzz_put(&env, 2, data + 3 + first, size - 3 - first, data[0] & 1);
  struct vdb_wal_scan scan;
  struct fuzz_seen seen;
  if (fuzz_scan(&env, &scan, &seen) == VECDB_OK)
    fuzz_continue(&env, &scan, &seen);
  vdb_env_fini(&env);
  return 0;
}
