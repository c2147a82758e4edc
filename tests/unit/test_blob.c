/* test_blob.c - section files: round trips, damage to every byte, hostile tables, failures of every
   operation and allocation. TSAN: yes */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "store/blob.h"
#include "store/store_format.h"
#include "tlib/memfault.h"
#include "tlib/simdisk.h"
#include "tlib/thorough.h"

enum {
  BT_TAG = VDB_TAG('T', 'E', 'S', 'T'),
  BT_LARGE = 700001,
  BT_LARGER = 5 << 20 /* more than two huge pages, which such files are written in */
};

struct bt {
  struct memfault memory;
  struct simdisk *disk;
  struct vdb_env env;
};

static struct bt *bt_new(void) {
  struct bt *t = calloc(1, sizeof *t);
  vecdb_options options = VECDB_OPTIONS_INIT;
  vecdb_error err;
  assert_non_null(t);
  t->disk = simdisk_new();
  memfault_init(&t->memory);
  options.vfs = simdisk_vfs(t->disk);
  options.allocator = &t->memory.table;
  assert_int_equal(vdb_env_init(&t->env, &options, false, &err), VECDB_OK);
  assert_int_equal(t->env.vfs->make_dir(t->env.vfs, "db"), 0);
  assert_int_equal(t->env.vfs->sync_dir(t->env.vfs, ""), 0);
  return t;
}

static void bt_free(struct bt *t) {
  assert_int_equal(memfault_live(&t->memory), 0);
  assert_int_equal(simdisk_handles(t->disk), 0);
  vdb_env_fini(&t->env);
  simdisk_free(t->disk);
  free(t);
}

static uint8_t bt_byte(uint32_t section, size_t i) {
  return (uint8_t)(vdb_mix64(section * 1000003u + i / 64) >> (i % 64 / 8 * 8));
}

/* Writes a section of n bytes in pieces of up to `piece`. */
static int bt_section(struct vdb_sect_writer *w, uint32_t number, size_t n, size_t piece,
                      vecdb_error *err) {
  uint8_t *data = malloc(n + 1);
  assert_non_null(data);
  for (size_t i = 0; i < n; i++)
    data[i] = bt_byte(number, i);
  int rc = w->begin(w, BT_TAG, number, err);
  for (size_t at = 0; at < n && rc == VECDB_OK; at += piece)
    rc = w->append(w, data + at, n - at < piece ? n - at : piece, err);
  if (rc == VECDB_OK)
    rc = w->end(w, err);
  free(data);
  return rc;
}

static const size_t bt_sizes[] = {0, 1, 63, 64, 65, 1000};

/* A file with sections of bt_sizes, and one of `large` bytes if that is not 0. */
static int bt_write(struct bt *t, uint64_t number, size_t large, struct vdb_blob_id *id,
                    vecdb_error *err) {
  struct vdb_blob_writer *w;
  VDB_TRY(vdb_blob_create(&t->env, "db", VDB_BLOB_INDEX, number, &w, err));
  struct vdb_sect_writer *sections = vdb_blob_sections(w);
  vecdb_error ignored; /* errors stick */
  for (uint32_t i = 0; i < VDB_COUNT(bt_sizes); i++)
    bt_section(sections, i, bt_sizes[i], 40, &ignored);
  if (large)
    bt_section(sections, 99, large, large / 2 + 7, &ignored);
  return vdb_blob_finish(w, id, err);
}

static int bt_open(struct bt *t, const struct vdb_blob_id *id, bool full, struct vdb_blob **out,
                   vecdb_error *err) {
  return vdb_blob_open(&t->env, "db", VDB_BLOB_INDEX, id, full, out, err);
}

static int bt_find(const struct vdb_blob *blob, uint32_t number, bool bulk, const uint8_t **data,
                   size_t *n, vecdb_error *err) {
  const struct vdb_sect_reader *r = vdb_blob_reader(blob);
  const void *found;
  int rc = r->find(r, BT_TAG, number, bulk, &found, n, err);
  *data = found;
  return rc;
}

static void bt_expect(const struct vdb_blob *blob, uint32_t number, size_t size) {
  const uint8_t *data;
  size_t n;
  vecdb_error err;
  assert_int_equal(bt_find(blob, number, number % 2, &data, &n, &err), VECDB_OK);
  assert_non_null(data);
  assert_int_equal(n, size);
  assert_int_equal((uintptr_t)data % 64, 0);
  for (size_t i = 0; i < n; i++)
    if (data[i] != bt_byte(number, i))
      fail();
}

static void test_names(void **state) {
  (void)state;
  static const char *const suffixes[] = {"", ".rows", ".idx", ".del"};
  vecdb_error err;
  for (int k = VDB_BLOB_ROWS; k <= VDB_BLOB_TOMBS; k++) {
    char path[64], expect[64];
    enum vdb_blob_kind kind = VDB_BLOB_ROWS;
    uint64_t number = 0;
    snprintf(expect, sizeof expect, "d/fedcba9876543210%s", suffixes[k]);
    assert_int_equal(vdb_blob_path(path, sizeof path, "d", (enum vdb_blob_kind)k,
                                   0xfedcba9876543210u, &err), VECDB_OK);
    assert_string_equal(path, expect);
    assert_true(vdb_blob_parse(path + 2, &kind, &number));
    assert_int_equal(kind, k);
    assert_true(number == 0xfedcba9876543210u);
    assert_int_equal(vdb_blob_path(path, 20, "d", (enum vdb_blob_kind)k, 1, &err),
                     VECDB_ERR_LIMIT);
  }
  enum vdb_blob_kind kind;
  uint64_t number;
  assert_false(vdb_blob_parse("0000000000000001.wal", &kind, &number));
  assert_false(vdb_blob_parse("MANIFEST", &kind, &number));
}

static void test_round_trip(void **state) {
  (void)state;
  struct bt *t = bt_new();
  struct vdb_blob_id id;
  struct vdb_blob *blob;
  vecdb_error err;
  assert_int_equal(bt_write(t, 5, BT_LARGE, &id, &err), VECDB_OK);
  assert_int_equal(id.file, 5);
  for (int full = 0; full < 2; full++) {
    assert_int_equal(bt_open(t, &id, full, &blob, &err), VECDB_OK);
    for (uint32_t i = 0; i < VDB_COUNT(bt_sizes); i++)
      bt_expect(blob, i, bt_sizes[i]);
    bt_expect(blob, 99, BT_LARGE);
    const uint8_t *data;
    size_t n;
    assert_int_equal(bt_find(blob, 55, false, &data, &n, &err), VECDB_OK);
    assert_null(data);
    assert_int_equal(vdb_blob_verify(blob, NULL, NULL, &err), VECDB_OK);
    assert_non_null(vdb_blob_bytes(blob, &n));
    assert_int_equal(n, id.length);
    vdb_blob_close(blob);
  }
  vdb_blob_close(NULL);
  vdb_blob_abort(NULL);
  bt_free(t);
}

static void test_empty(void **state) {
  (void)state;
  struct bt *t = bt_new();
  struct vdb_blob_writer *w;
  struct vdb_blob_id id;
  struct vdb_blob *blob;
  vecdb_error err;
  assert_int_equal(vdb_blob_create(&t->env, "db", VDB_BLOB_INDEX, 1, &w, &err), VECDB_OK);
  assert_int_equal(vdb_blob_finish(w, &id, &err), VECDB_OK);
  assert_int_equal(id.length, 2 * STORE_HEADER_BYTES);
  assert_int_equal(bt_open(t, &id, true, &blob, &err), VECDB_OK);
  vdb_blob_close(blob);
  bt_free(t);
}

/* The same bytes give the same file, whatever the pieces they come in. */
static void test_pieces(void **state) {
  (void)state;
  struct bt *t = bt_new();
  struct vdb_blob_id ids[3];
  static const size_t pieces[] = {BT_LARGE, 999, 300000};
  vecdb_error err;
  for (uint64_t i = 0; i < 3; i++) {
    struct vdb_blob_writer *w;
    assert_int_equal(vdb_blob_create(&t->env, "db", VDB_BLOB_ROWS, i, &w, &err), VECDB_OK);
    bt_section(vdb_blob_sections(w), 1, BT_LARGE, pieces[i], &err);
    bt_section(vdb_blob_sections(w), 2, 10, pieces[i], &err);
    assert_int_equal(vdb_blob_finish(w, &ids[i], &err), VECDB_OK);
    assert_int_equal(ids[i].length, ids[0].length);
    assert_true(ids[i].hash == ids[0].hash);
  }
  bt_free(t);
}

/* Files of more than a huge page, from appends that lie across where its pieces end. */
static void test_larger(void **state) {
  (void)state;
  static const size_t pieces[] = {BT_LARGER, 300007, (2 << 20) + 1, 4 << 20};
  struct bt *t = bt_new();
  vecdb_error err;
  for (uint64_t i = 0; i < VDB_COUNT(pieces); i++) {
    struct vdb_blob_writer *w;
    struct vdb_blob_id id;
    struct vdb_blob *blob;
    assert_int_equal(vdb_blob_create(&t->env, "db", VDB_BLOB_INDEX, i, &w, &err), VECDB_OK);
    bt_section(vdb_blob_sections(w), 1, BT_LARGER, pieces[i], &err);
    bt_section(vdb_blob_sections(w), 2, 999, 7, &err);
    assert_int_equal(vdb_blob_finish(w, &id, &err), VECDB_OK);
    assert_int_equal(bt_open(t, &id, true, &blob, &err), VECDB_OK);
    bt_expect(blob, 1, BT_LARGER);
    bt_expect(blob, 2, 999);
    vdb_blob_close(blob);
  }
  bt_free(t);
}

/* Misuse is an error that sticks, and no file is left. */
static void test_misuse(void **state) {
  (void)state;
  struct bt *t = bt_new();
  for (int what = 0; what < 6; what++) {
    struct vdb_blob_writer *w;
    struct vdb_blob_id id;
    vecdb_error err;
    uint64_t length;
    assert_int_equal(vdb_blob_create(&t->env, "db", VDB_BLOB_INDEX, 3, &w, &err), VECDB_OK);
    struct vdb_sect_writer *s = vdb_blob_sections(w);
    int expect = VECDB_ERR_INTERNAL;
    if (what == 0) {
      s->append(s, "x", 1, &err);
    } else if (what == 1) {
      s->end(s, &err);
    } else if (what == 5) {
      for (uint32_t i = 0; i <= STORE_BLOB_SECTIONS_MAX; i++)
        bt_section(s, i, 1, 1, &err);
      expect = VECDB_ERR_LIMIT;
    } else {
      s->begin(s, 1, 1, &err);
      if (what == 3 || what == 4)
        s->begin(s, 1, 2, &err);
      if (what == 4)
        s->end(s, &err);
    }
    if (what == 2) {
      s->end(s, &err);
      assert_int_equal(s->begin(s, 1, 1, &err), VECDB_ERR_INTERNAL);
      assert_int_equal(s->append(s, "x", 1, &err), VECDB_ERR_INTERNAL);
    }
    assert_int_equal(vdb_blob_finish(w, &id, &err), expect);
    assert_int_equal(simdisk_length(t->disk, "db/0000000000000003.idx", &length), ENOENT);
  }
  bt_free(t);
}

/* ---- damage ---- */

/* Every flipped byte is found by a full check, and by open or find where it is interpreted. */
static void test_flips(void **state) {
  enum { EACH = TEST_SIZES(1, 1, 8) /* of the bits of a byte */ };
  (void)state;
  struct bt *t = bt_new();
  struct vdb_blob_id id;
  vecdb_error err;
  const char *path = "db/0000000000000005.idx";
  assert_int_equal(bt_write(t, 5, 0, &id, &err), VECDB_OK);
  simdisk_settle(t->disk);
  for (uint64_t i = 0; i < id.length; i++)
    for (unsigned bit = (unsigned)(i % EACH); bit < 8; bit += EACH) {
      struct vdb_blob *blob;
      assert_int_equal(simdisk_flip(t->disk, path, i, (uint8_t)(1u << bit)), 0);
      assert_int_equal(bt_open(t, &id, true, &blob, &err), VECDB_ERR_CORRUPT);
      assert_null(blob);
      assert_non_null(strstr(err.message, path));
      if (bt_open(t, &id, false, &blob, &err) == VECDB_OK) {
        uint32_t bad = 0;
        for (uint32_t k = 0; k < VDB_COUNT(bt_sizes); k++) {
          const uint8_t *data;
          size_t n;
          for (int twice = 0; twice < 2; twice++)
            if (bt_find(blob, k, false, &data, &n, &err) == VECDB_ERR_CORRUPT)
              bad++;
          assert_int_equal(bt_find(blob, k, true, &data, &n, &err), VECDB_OK);
        }
        assert_true(bad == 0 || bad == 2); /* 0: padding */
        assert_int_equal(vdb_blob_verify(blob, NULL, NULL, &err), VECDB_ERR_CORRUPT);
        vdb_blob_close(blob);
      }
      assert_int_equal(simdisk_flip(t->disk, path, i, (uint8_t)(1u << bit)), 0);
    }
  bt_free(t);
}

static void test_cut_swapped_stale(void **state) {
  (void)state;
  struct bt *t = bt_new();
  struct vdb_blob_id five, six, other;
  struct vdb_blob *blob;
  vecdb_error err;
  const char *path = "db/0000000000000005.idx";
  assert_int_equal(bt_write(t, 5, 0, &five, &err), VECDB_OK);
  assert_int_equal(bt_write(t, 6, 0, &six, &err), VECDB_OK);
  assert_true(five.hash == six.hash);
  /* the wrong kind, or one file in the place of another with the same sections */
  assert_int_equal(vdb_blob_open(&t->env, "db", VDB_BLOB_ROWS, &five, true, &blob, &err),
                   VECDB_ERR_CORRUPT);
  assert_int_equal(err.os_code, ENOENT);
  assert_int_equal(t->env.vfs->rename(t->env.vfs, "db/0000000000000006.idx", path), 0);
  assert_int_equal(bt_open(t, &five, false, &blob, &err), VECDB_ERR_CORRUPT);
  /* an older file of this number, of the same length */
  struct vdb_blob_writer *w;
  assert_int_equal(vdb_blob_create(&t->env, "db", VDB_BLOB_INDEX, 5, &w, &err), VECDB_OK);
  for (uint32_t i = 0; i < VDB_COUNT(bt_sizes); i++)
    bt_section(vdb_blob_sections(w), i + 20, bt_sizes[i], 64, &err);
  assert_int_equal(vdb_blob_finish(w, &other, &err), VECDB_OK);
  assert_int_equal(other.length, five.length);
  assert_int_equal(bt_open(t, &five, false, &blob, &err), VECDB_ERR_CORRUPT);
  assert_int_equal(bt_open(t, &other, true, &blob, &err), VECDB_OK);
  vdb_blob_close(blob);
  simdisk_settle(t->disk);
  for (uint64_t n = 0; n < other.length; n++) {
    assert_int_equal(bt_write(t, 5, 0, &five, &err), VECDB_OK);
    simdisk_settle(t->disk);
    assert_int_equal(simdisk_cut(t->disk, path, n), 0);
    assert_int_equal(bt_open(t, &five, false, &blob, &err), VECDB_ERR_CORRUPT);
    five.length = n; /* not even when the manifest says so */
    assert_int_equal(bt_open(t, &five, false, &blob, &err), VECDB_ERR_CORRUPT);
  }
  bt_free(t);
}

/* Replaces header, table and trailer by the given ones with fitting hashes, and opens. */
struct bt_forge {
  struct store_blob_header header;
  struct store_blob_entry table[4];
  struct store_blob_trailer trailer;
};

static int bt_try_forged(struct bt *t, struct bt_forge *f, struct vdb_blob_id id) {
  uint8_t data[64 * 6] = {0};
  vecdb_file *file;
  vecdb_error err;
  struct vdb_blob *blob;
  f->header.hash = vdb_store_hash(&f->header, sizeof f->header);
  memcpy(data, &f->header, 64);
  memcpy(data + 192, f->table, 128);
  f->trailer.table_hash = vdb_hash64(f->table, 32 * (f->trailer.sections & 3));
  f->trailer.hash = vdb_store_hash(&f->trailer, sizeof f->trailer);
  id.hash = f->trailer.table_hash;
  memcpy(data + 320, &f->trailer, 64);
  assert_int_equal(t->env.vfs->open(t->env.vfs, "db/0000000000000001.idx", VECDB_OPEN_CREATE,
                                    &file), 0);
  assert_int_equal(t->env.vfs->write(file, data, sizeof data, 0), 0);
  t->env.vfs->close(file);
  int rc = bt_open(t, &id, false, &blob, &err);
  vdb_blob_close(blob);
  return rc;
}

/* Tables whose checksums hold and whose contents make no sense. */
static void test_hostile(void **state) {
  (void)state;
  struct bt *t = bt_new();
  struct bt_forge good = {.header = {.version = 1, .kind = VDB_BLOB_INDEX, .number = 1},
                          .table = {{1, 1, 64, 64, 0}, {1, 2, 128, 10, 0}, {1, 3, 192, 0, 0}},
                          .trailer = {.table = 192, .sections = 3, .kind = VDB_BLOB_INDEX,
                                      .number = 1, .length = 384}};
  memcpy(good.header.magic, STORE_BLOB_MAGIC, 8);
  struct vdb_blob_id id = {1, 384, 0};
  struct bt_forge f = good;
  assert_int_equal(bt_try_forged(t, &f, id), VECDB_OK);
  static const uint64_t odd[] = {0, 63, 65, 100, 127, 129, 256, 320, 1u << 20, UINT64_MAX,
                                 UINT64_MAX - 63, (uint64_t)1 << 63};
  for (size_t i = 0; i < VDB_COUNT(odd); i++) {
    f = good;
    f.table[1].offset = odd[i];
    assert_int_equal(bt_try_forged(t, &f, id), VECDB_ERR_CORRUPT);
    f = good;
    f.table[0].length = odd[i];
    assert_int_equal(bt_try_forged(t, &f, id), odd[i] == 63 ? VECDB_OK : VECDB_ERR_CORRUPT);
    f = good;
    f.table[2].length = odd[i];
    assert_int_equal(bt_try_forged(t, &f, id), odd[i] == 0 ? VECDB_OK : VECDB_ERR_CORRUPT);
    f = good;
    f.trailer.table = odd[i];
    assert_int_equal(bt_try_forged(t, &f, id), VECDB_ERR_CORRUPT);
    f = good;
    f.trailer.length = odd[i];
    assert_int_equal(bt_try_forged(t, &f, id), VECDB_ERR_CORRUPT);
    f = good;
    f.trailer.sections = (uint32_t)odd[i];
    assert_int_equal(bt_try_forged(t, &f, id), VECDB_ERR_CORRUPT);
  }
  f = good;
  f.table[1].number = 1; /* twice */
  assert_int_equal(bt_try_forged(t, &f, id), VECDB_ERR_CORRUPT);
  f = good;
  f.trailer.sections = 2; /* a gap, as it were */
  f.table[1].length = 0;
  f.table[1].offset = 64;
  assert_int_equal(bt_try_forged(t, &f, id), VECDB_ERR_CORRUPT);
  f = good;
  f.header.version = VECDB_FORMAT_VERSION + 1;
  assert_int_equal(bt_try_forged(t, &f, id), VECDB_ERR_NEWER_FORMAT);
  f = good;
  f.trailer.kind = VDB_BLOB_ROWS;
  assert_int_equal(bt_try_forged(t, &f, id), VECDB_ERR_CORRUPT);
  bt_free(t);
}

/* ---- failures ---- */

static bool bt_stop(void *arg) { return ++*(int *)arg == 2; }

static void test_stop(void **state) {
  (void)state;
  struct bt *t = bt_new();
  struct vdb_blob_id id;
  struct vdb_blob *blob;
  vecdb_error err;
  int polls = 0;
  assert_int_equal(bt_write(t, 5, 9 << 20, &id, &err), VECDB_OK);
  assert_int_equal(bt_open(t, &id, false, &blob, &err), VECDB_OK);
  assert_int_equal(vdb_blob_verify(blob, bt_stop, &polls, &err), VECDB_ERR_CANCELLED);
  polls = 10;
  assert_int_equal(vdb_blob_verify(blob, bt_stop, &polls, &err), VECDB_OK);
  vdb_blob_close(blob);
  bt_free(t);
}

/* Every operation fails: the error comes out, and no file is left. */
static void test_faults(void **state) {
  (void)state;
  for (int writing = 0; writing < 2; writing++)
    for (uint64_t nth = 1;; nth++) {
      struct bt *t = bt_new();
      struct vdb_blob_id id;
      struct vdb_blob *blob = NULL;
      vecdb_error err;
      uint64_t length;
      struct simdisk_fault fault = {SIMDISK_CHANGES, nth, ENOSPC, false, true};
      if (!writing) {
        assert_int_equal(bt_write(t, 5, BT_LARGE, &id, &err), VECDB_OK);
        fault.kinds = SIMDISK_READ | SIMDISK_OPEN | SIMDISK_MAP;
        fault.error = EIO;
      }
      simdisk_set_fault(t->disk, &fault);
      int rc = writing ? bt_write(t, 5, BT_LARGE, &id, &err) : bt_open(t, &id, true, &blob, &err);
      bool hit = simdisk_faults_hit(t->disk) > 0;
      vdb_blob_close(blob);
      assert_int_equal(rc, !hit ? VECDB_OK : writing ? VECDB_ERR_DISK_FULL : VECDB_ERR_IO);
      simdisk_settle(t->disk);
      assert_int_equal(simdisk_length(t->disk, "db/0000000000000005.idx", &length),
                       hit && writing ? ENOENT : 0);
      bt_free(t);
      if (!hit)
        break;
    }
}

static void test_memory(void **state) {
  (void)state;
  for (int on = 0; on < 2; on++)
    for (uint64_t nth = 1;; nth++) {
      struct bt *t = bt_new();
      struct vdb_blob_id id;
      struct vdb_blob *blob = NULL;
      vecdb_error err;
      memfault_fail(&t->memory, nth, on);
      int rc = bt_write(t, 5, 100, &id, &err);
      if (rc == VECDB_OK)
        rc = bt_open(t, &id, true, &blob, &err);
      bool hit = memfault_failed(&t->memory) > 0;
      vdb_blob_close(blob);
      assert_int_equal(rc, hit ? VECDB_ERR_NO_MEMORY : VECDB_OK);
      bt_free(t);
      if (!hit)
        break;
    }
}

/* Once finished, a file survives: its name after a sync of the folder, its bytes at once. */
static void test_power_cut(void **state) {
  (void)state;
  for (uint64_t seed = 0; seed < 32; seed++) {
    struct bt *t = bt_new();
    struct vdb_blob_id id;
    struct vdb_blob *blob;
    vecdb_error err;
    assert_int_equal(bt_write(t, 5, BT_LARGE, &id, &err), VECDB_OK);
    assert_int_equal(t->env.vfs->sync_dir(t->env.vfs, "db"), 0);
    simdisk_crash(t->disk, seed);
    assert_int_equal(bt_open(t, &id, true, &blob, &err), VECDB_OK);
    vdb_blob_close(blob);
    bt_free(t);
  }
}

static void *bt_finder(void *arg) {
  const struct vdb_blob *blob = arg;
  for (int round = 0; round < 20; round++)
    for (uint32_t i = 0; i < VDB_COUNT(bt_sizes); i++)
      bt_expect(blob, i, bt_sizes[i]);
  return NULL;
}

static void test_threads(void **state) {
  (void)state;
  struct bt *t = bt_new();
  struct vdb_blob_id id;
  struct vdb_blob *blob;
  vecdb_error err;
  pthread_t threads[4];
  assert_int_equal(bt_write(t, 5, BT_LARGE, &id, &err), VECDB_OK);
  assert_int_equal(bt_open(t, &id, false, &blob, &err), VECDB_OK);
  for (size_t i = 0; i < 4; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, bt_finder, blob), 0);
  assert_int_equal(vdb_blob_verify(blob, NULL, NULL, &err), VECDB_OK);
  for (size_t i = 0; i < 4; i++)
    pthread_join(threads[i], NULL);
  vdb_blob_close(blob);
  bt_free(t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST_ALONE(cmocka_unit_test(test_names)),
      TEST_ALONE(cmocka_unit_test(test_round_trip)),
      TEST_ALONE(cmocka_unit_test(test_empty)),
      TEST_ALONE(cmocka_unit_test(test_pieces)),
      TEST_ALONE(cmocka_unit_test(test_larger)),
      TEST_ALONE(cmocka_unit_test(test_misuse)),
      TEST_ALONE(cmocka_unit_test(test_flips)),
      TEST_ALONE(cmocka_unit_test(test_cut_swapped_stale)),
      TEST_ALONE(cmocka_unit_test(test_hostile)),
      TEST_ALONE(cmocka_unit_test(test_stop)),
      TEST_ALONE(cmocka_unit_test(test_faults)),
      TEST_ALONE(cmocka_unit_test(test_memory)),
      TEST_ALONE(cmocka_unit_test(test_power_cut)),
      cmocka_unit_test(test_threads),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
