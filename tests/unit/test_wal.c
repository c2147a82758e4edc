/* test_wal.c - the log: round trips, damage to every byte, files made up by hand, and threads.
   TSAN: yes */
#include <pthread.h>

#include "tlib/thorough.h"
#include "tlib/waltest.h"

/* ---- round trips ---- */

static void test_names(void **state) {
  (void)state;
  vecdb_error err;
  char path[64];
  uint64_t number = 0;
  assert_int_equal(vdb_wal_path(path, sizeof path, "a/b", 0xabcdef, &err), VECDB_OK);
  assert_string_equal(path, "a/b/0000000000abcdef.wal");
  assert_true(vdb_wal_parse(path + 4, &number));
  assert_int_equal(number, 0xabcdef);
  assert_int_equal(vdb_wal_path(path, 10, "a/b", 1, &err), VECDB_ERR_LIMIT);
  static const char *const bad[] = {"", "1.wal", "0000000000ABCDEF.wal", "0000000000abcdef.wal2",
                                    "0000000000abcdef", "00000000000abcdef.wal"};
  for (size_t i = 0; i < VDB_COUNT(bad); i++)
    assert_false(vdb_wal_parse(bad[i], &number));
}

static void test_round_trip(void **state) {
  (void)state;
  struct wt *w = wt_new();
  vecdb_error err;
  for (int life = 0; life < 4; life++) {
    wt_open(w);
    assert_int_equal(w->written, life * 30);
    for (int i = 0; i < 10; i++) {
      assert_int_equal(wt_write(w, 3, i % 3 == 0, &err), VECDB_OK);
      if (i % 4 == 1)
        vdb_wal_rotate(w->wal);
      if (i == 7)
        assert_int_equal(vdb_wal_sync(w->wal, &err), VECDB_OK);
    }
    assert_true(vdb_wal_bytes(w->wal) > 0);
    assert_true(vdb_wal_syncs(w->wal) > 0);
    wt_close(w, life != 2);
  }
  wt_open(w);
  assert_int_equal(w->written, 120);
  wt_free(w);
}

static int wt_apply_sizes(void *arg, const struct vdb_wal_record *record, vecdb_error *err) {
  size_t *at = arg;
  (void)err;
  assert_int_equal(record->n, at[*at + 1]);
  for (size_t i = 0; i < record->n; i += 4096)
    assert_int_equal(((const uint8_t *)record->body)[i], 7);
  ++*at;
  return VECDB_OK;
}

/* Bodies of all sizes around the alignment and the window of the reader. */
static void test_sizes(void **state) {
  (void)state;
  struct wt *w = wt_new();
  vecdb_error err;
  size_t sizes[] = {0, 0, 1, 7, 8, 9, 4096, (1 << 20) - 56, (1 << 20) - 57, 1 << 20, 9 << 20, 3, 5};
  uint8_t *body = malloc(9 << 20);
  assert_non_null(body);
  memset(body, 7, 9 << 20);
  wt_open(w);
  for (size_t i = 1; i < VDB_COUNT(sizes); i++) {
    struct vdb_wal_part part = {body, sizes[i]};
    uint64_t seq;
    assert_int_equal(vdb_wal_add(w->wal, 0, VDB_WAL_DELETE, &part, 1, &seq, &err), VECDB_OK);
    if (i % 3 == 1)
      continue;
    assert_true(vdb_wal_take(w->wal, &seq));
    assert_int_equal(vdb_wal_write(w->wal, true, &err), VECDB_OK);
  }
  struct vdb_wal_part huge[2] = {{body, SIZE_MAX - 5}, {body, 10}};
  uint64_t seq;
  assert_int_equal(vdb_wal_add(w->wal, 0, VDB_WAL_ROWS, huge, 2, &seq, &err), VECDB_ERR_LIMIT);
  assert_int_equal(vdb_wal_add(w->wal, 0, VDB_WAL_ROWS, huge, 1, &seq, &err), VECDB_ERR_LIMIT);
  wt_close(w, true);
  struct vdb_wal_scan scan;
  assert_int_equal(vdb_wal_scan(&w->env, "db", 1, 0, wt_apply_sizes, sizes, &scan, &err), VECDB_OK);
  assert_int_equal(sizes[0], VDB_COUNT(sizes) - 1);
  assert_true(memfault_peak(&w->memory) < 40u << 20);
  free(body);
  wt_free(w);
}

/* Records at or below `after` are checked and left out; apply's refusal ends the scan. */
static void test_after(void **state) {
  (void)state;
  struct wt *w = wt_new();
  vecdb_error err;
  struct vdb_wal_scan scan;
  wt_open(w);
  assert_int_equal(wt_write(w, 9, true, &err), VECDB_OK);
  wt_close(w, true);
  w->floor = 4;
  assert_int_equal(wt_scan(w, &scan, &err), VECDB_OK);
  assert_int_equal(scan.last_seq, 9);
  struct wt_seen seen = {w, w->floor, w->ids[w->floor], 6};
  assert_int_equal(vdb_wal_scan(&w->env, "db", 1, 4, wt_apply, &seen, &scan, &err),
                   VECDB_ERR_CANCELLED);
  assert_int_equal(seen.seq, 6);
  /* a floor beyond the log's end: the next file starts there */
  w->floor = w->written = w->acked = 12;
  for (uint64_t seq = 10; seq <= 12; seq++)
    wt_set_id(w, seq, 900 + seq);
  wt_open(w);
  assert_int_equal(w->written, 12);
  assert_int_equal(wt_write(w, 2, true, &err), VECDB_OK);
  wt_close(w, true);
  wt_open(w);
  assert_int_equal(w->written, 14);
  wt_close(w, true);
  w->floor = 11; /* but then 12 is missing, and needed */
  assert_int_equal(wt_try_open(w, &err), VECDB_ERR_CORRUPT);
  wt_free(w);
}

static void test_trim(void **state) {
  (void)state;
  struct wt *w = wt_new();
  vecdb_error err;
  wt_open(w);
  for (int i = 0; i < 4; i++) {
    assert_int_equal(wt_write(w, 2, true, &err), VECDB_OK);
    vdb_wal_rotate(w->wal);
  }
  assert_int_equal(vdb_wal_next_file(w->wal), 5);
  uint64_t bytes = vdb_wal_bytes(w->wal);
  vdb_wal_trim(w->wal, 3);
  assert_true(vdb_wal_bytes(w->wal) < bytes);
  w->first = 3;
  w->floor = 4;
  wt_close(w, true); /* an empty file 5 shows that 3 and 4 are whole */
  wt_open(w);
  assert_int_equal(w->written, 8);
  assert_int_equal(vdb_wal_next_file(w->wal), 6);
  wt_checkpoint(w);
  assert_int_equal(vdb_wal_bytes(w->wal), 0);
  vdb_wal_rotate(w->wal);
  assert_int_equal(vdb_wal_next_file(w->wal), 6);
  wt_close(w, true);
  struct vdb_wal_scan scan;
  assert_int_equal(wt_scan(w, &scan, &err), VECDB_OK);
  assert_int_equal(scan.bytes, 0);
  assert_int_equal(scan.last_seq, 8);
  /* the file in use stays, though a manifest does not need it */
  wt_open(w);
  assert_int_equal(wt_write(w, 1, false, &err), VECDB_OK);
  wt_checkpoint(w);
  assert_true(vdb_wal_bytes(w->wal) > 0);
  assert_int_equal(wt_write(w, 1, true, &err), VECDB_OK);
  wt_checkpoint(w);
  assert_int_equal(vdb_wal_bytes(w->wal), 0);
  wt_free(w);
}

/* ---- damage ---- */

static void test_flips_closed(void **state) {
  (void)state;
  enum { BITS = TEST_SIZES(1, 4, 8) /* each byte, but not each of its bits */ };
  struct wt *w = wt_new();
  vecdb_error err;
  struct vdb_wal_scan scan;
  uint64_t last = wt_small(w, true);
  for (uint64_t file = 1; file <= 2; file++) {
    char path[64];
    uint64_t length;
    wt_path(w, path, file);
    assert_int_equal(simdisk_length(w->disk, path, &length), 0);
    for (uint64_t i = 0; i < length; i++)
      for (int bit = (int)(i % BITS); bit < 8; bit += BITS) {
        assert_int_equal(simdisk_flip(w->disk, path, i, (uint8_t)(1 << bit)), 0);
        int rc = wt_scan(w, &scan, &err);
        if (rc == VECDB_OK) { /* the END record itself: nothing is lost with it */
          assert_int_equal(file, 2);
          assert_true(i >= last - STORE_RECORD_BYTES);
          assert_int_equal(scan.last_seq, 6);
        } else {
          assert_int_equal(rc, VECDB_ERR_CORRUPT);
          assert_non_null(strstr(err.message, path));
        }
        assert_int_equal(simdisk_flip(w->disk, path, i, (uint8_t)(1 << bit)), 0);
      }
  }
  assert_int_equal(wt_scan(w, &scan, &err), VECDB_OK);
  wt_free(w);
}

/* Without END, damage in all but the last record is still found. */
static void test_flips_open(void **state) {
  (void)state;
  struct wt *w = wt_new();
  vecdb_error err;
  struct vdb_wal_scan scan;
  uint8_t body[WT_BODY_MAX];
  char path[64];
  uint64_t length = wt_small(w, false);
  uint64_t tail = length - vdb_store_record_bytes(wt_body(body, w->ids[6], w->ids[5]));
  wt_path(w, path, 2);
  w->acked = 5;
  for (uint64_t i = 0; i < length; i++) {
    assert_int_equal(simdisk_flip(w->disk, path, i, 0x10), 0);
    int rc = wt_scan(w, &scan, &err);
    assert_int_equal(rc, i < tail ? VECDB_ERR_CORRUPT : VECDB_OK);
    if (rc == VECDB_OK)
      assert_int_equal(scan.last_seq, 5);
    else if (i >= STORE_HEADER_BYTES)
      assert_in_range(err.position, STORE_HEADER_BYTES, i);
    assert_int_equal(simdisk_flip(w->disk, path, i, 0x10), 0);
  }
  wt_free(w);
}

static void test_cuts(void **state) {
  (void)state;
  struct wt *w = wt_new();
  vecdb_error err;
  struct vdb_wal_scan scan;
  uint64_t length = wt_small(w, true);
  for (uint64_t file = 1; file <= 2; file++)
    for (uint64_t n = 0; n < length; n++) {
      struct wt *cut = wt_clone(w);
      char path[64];
      uint64_t before;
      wt_path(cut, path, file);
      assert_int_equal(simdisk_length(cut->disk, path, &before), 0);
      assert_int_equal(simdisk_cut(cut->disk, path, n < before ? n : before), 0);
      cut->acked = file == 1 ? 6 : 3;
      int rc = wt_scan(cut, &scan, &err);
      if (file == 1 && n < before)
        assert_int_equal(rc, VECDB_ERR_CORRUPT);
      else
        assert_int_equal(rc, VECDB_OK); /* a prefix: as after a crash before the last syncs */
      wt_free(cut);
    }
  wt_free(w);
}

/* ---- made-up files ---- */

struct wt_forge {
  uint8_t data[8192];
  size_t n;
  uint64_t salt;
};

static void wt_forge_header(struct wt_forge *f, uint64_t number, uint64_t base) {
  struct store_wal_header h;
  memset(&h, 0, sizeof h);
  memset(f->data, 0, sizeof f->data);
  memcpy(h.magic, STORE_WAL_MAGIC, sizeof h.magic);
  h.version = VECDB_FORMAT_VERSION;
  h.number = number;
  h.base = base;
  h.salt = f->salt = 77 + number;
  h.hash = vdb_store_hash(&h, sizeof h);
  memcpy(f->data, &h, sizeof h);
  f->n = sizeof h;
}

/* Adds a record; `length` is what its header says. Returns where it starts. */
static size_t wt_forge_record(struct wt_forge *f, uint64_t seq, uint64_t durable, uint32_t type,
                              uint32_t length) {
  struct store_wal_record h;
  size_t at = f->n;
  memset(&h, 0, sizeof h);
  h.magic = STORE_RECORD_MAGIC;
  h.length = length;
  h.seq = seq;
  h.salt = f->salt;
  h.durable = durable;
  h.type = type;
  h.body_hash = vdb_hash64(f->data + at + sizeof h, length <= 64 ? (length + 7u) & ~7u : 0);
  h.hash = vdb_store_hash(&h, sizeof h);
  memcpy(f->data + at, &h, sizeof h);
  f->n += sizeof h + (length <= 64 ? (length + 7u) & ~7u : 0);
  return at;
}

/* Scans file 1 as forged; gives the code, and the last sequence number where that is OK. */
static int wt_try_forged(struct wt *w, const struct wt_forge *f, uint64_t *last) {
  struct vdb_wal_scan scan;
  vecdb_error err;
  uint64_t n = 0;
  wt_make(w, 1, f->data, f->n);
  int rc = vdb_wal_scan(&w->env, "db", 1, 0, wt_ignore, &n, &scan, &err);
  *last = scan.last_seq;
  if (rc == VECDB_OK)
    assert_int_equal(n, *last);
  return rc;
}

/* Records whose checksums hold and whose contents make no sense. */
static void test_forged(void **state) {
  (void)state;
  struct wt *w = wt_new();
  struct wt_forge f;
  uint64_t last;
  wt_forge_header(&f, 1, 0);
  assert_int_equal(wt_try_forged(w, &f, &last), VECDB_OK);
  wt_forge_record(&f, 1, 64, 1, 5);
  assert_int_equal(wt_try_forged(w, &f, &last), VECDB_OK);
  assert_int_equal(last, 1);
  struct wt_forge good = f;
  wt_forge_record(&f, 3, 64, 1, 0); /* a gap */
  assert_int_equal(wt_try_forged(w, &f, &last), VECDB_ERR_CORRUPT);
  f = good;
  wt_forge_record(&f, 1, 64, 1, 0); /* twice */
  assert_int_equal(wt_try_forged(w, &f, &last), VECDB_ERR_CORRUPT);
  f = good;
  wt_forge_record(&f, 2, 0, 1, 0); /* durable inside the header */
  assert_int_equal(wt_try_forged(w, &f, &last), VECDB_ERR_CORRUPT);
  f = good;
  wt_forge_record(&f, 2, f.n + 8, 1, 0); /* durable before it was written */
  assert_int_equal(wt_try_forged(w, &f, &last), VECDB_ERR_CORRUPT);
  static const uint32_t lengths[] = {65, 4096, 1 << 20, (1u << 30) + 1, UINT32_MAX, UINT32_MAX - 7};
  for (size_t i = 0; i < VDB_COUNT(lengths); i++) { /* longer than the file */
    f = good;
    wt_forge_record(&f, 2, 64, 1, lengths[i]);
    assert_int_equal(wt_try_forged(w, &f, &last), VECDB_OK);
    assert_int_equal(last, 1);
  }
  assert_true(memfault_peak(&w->memory) < 4u << 20);
  f = good;
  wt_forge_record(&f, 0, f.n, VDB_WAL_END, 0); /* an end that is not at the end */
  assert_int_equal(wt_try_forged(w, &f, &last), VECDB_ERR_CORRUPT);
  f = good;
  wt_forge_record(&f, 1, f.n, VDB_WAL_END, 0);
  wt_forge_record(&f, 2, 64, 1, 0); /* after the end: ignored */
  assert_int_equal(wt_try_forged(w, &f, &last), VECDB_OK);
  assert_int_equal(last, 1);
  wt_free(w);
}

/* A torn record before good ones is the end, unless one of these says that it was durable. */
static void test_torn_or_damaged(void **state) {
  (void)state;
  struct wt *w = wt_new();
  struct wt_forge f;
  uint64_t last;
  for (int durable = 0; durable < 2; durable++)
    for (int torn_too = 0; torn_too < 2; torn_too++) {
      wt_forge_header(&f, 1, 0);
      wt_forge_record(&f, 1, 64, 1, 40);
      size_t second = wt_forge_record(&f, 2, 64, 1, 40);
      size_t third = wt_forge_record(&f, 3, durable ? f.n : second, 1, 40);
      f.data[second + 60] ^= 1;
      if (torn_too) /* its header alone is proof enough */
        f.data[third + 60] ^= 1;
      assert_int_equal(wt_try_forged(w, &f, &last), durable ? VECDB_ERR_CORRUPT : VECDB_OK);
      assert_int_equal(last, durable ? 1 : 1);
    }
  wt_forge_header(&f, 1, 0);
  size_t first = wt_forge_record(&f, 1, 64, 1, 40);
  f.salt++; /* a header of another file proves nothing */
  wt_forge_record(&f, 2, f.n, 1, 40);
  f.data[first] ^= 1;
  assert_int_equal(wt_try_forged(w, &f, &last), VECDB_OK);
  assert_int_equal(last, 0);
  wt_free(w);
}

static void test_headers(void **state) {
  (void)state;
  struct wt *w = wt_new();
  struct wt_forge f;
  uint64_t last;
  uint8_t zeros[100] = {0};
  wt_forge_header(&f, 1, 0);
  wt_forge_record(&f, 1, 64, 1, 8);
  wt_make(w, 1, f.data, f.n);
  wt_make(w, 2, zeros, 0); /* files that never were, also in the middle */
  wt_make(w, 3, zeros, sizeof zeros);
  wt_make(w, 4, "vecdbwal with something torn behind", 30);
  assert_int_equal(wt_scan_code(w, &last), VECDB_OK);
  assert_int_equal(last, 1);
  wt_forge_header(&f, 5, 1);
  wt_forge_record(&f, 2, 64, 1, 8);
  wt_make(w, 5, f.data, f.n);
  assert_int_equal(wt_scan_code(w, &last), VECDB_OK);
  assert_int_equal(last, 2);
  f.data[9] ^= 1; /* a header is gone, and records are there */
  wt_make(w, 5, f.data, f.n);
  assert_int_equal(wt_scan_code(w, &last), VECDB_ERR_CORRUPT);
  wt_forge_header(&f, 6, 1); /* a renamed file */
  wt_make(w, 5, f.data, f.n);
  assert_int_equal(wt_scan_code(w, &last), VECDB_ERR_CORRUPT);
  wt_forge_header(&f, 5, 2); /* a file is missing before it */
  wt_make(w, 5, f.data, f.n);
  assert_int_equal(wt_scan_code(w, &last), VECDB_ERR_CORRUPT);
  wt_forge_header(&f, 5, 0); /* goes back: what follows in file 1 was never acknowledged */
  wt_forge_record(&f, 1, 64, 1, 8);
  wt_make(w, 5, f.data, f.n);
  assert_int_equal(wt_scan_code(w, &last), VECDB_OK);
  assert_int_equal(last, 1);
  wt_forge_header(&f, 1, 1); /* the first file starts too late, or not */
  wt_make(w, 1, f.data, f.n);
  assert_int_equal(wt_scan_code(w, &last), VECDB_ERR_CORRUPT);
  w->floor = 1;
  assert_int_equal(wt_scan_code(w, &last), VECDB_ERR_CORRUPT); /* file 5 starts before it */
  wt_free(w);
}

static void test_newer(void **state) {
  (void)state;
  struct wt *w = wt_new();
  struct wt_forge f;
  struct store_wal_header h;
  uint64_t last;
  wt_forge_header(&f, 1, 0);
  memcpy(&h, f.data, sizeof h);
  h.version++;
  h.hash = vdb_store_hash(&h, sizeof h);
  memcpy(f.data, &h, sizeof h);
  assert_int_equal(wt_try_forged(w, &f, &last), VECDB_ERR_NEWER_FORMAT);
  wt_forge_header(&f, UINT64_MAX, 0);
  wt_make(w, UINT64_MAX, f.data, f.n);
  w->first = 2;
  assert_int_equal(wt_scan_code(w, &last), VECDB_ERR_CORRUPT);
  w->first = 1;
  struct vdb_wal_scan scan;
  vecdb_error err;
  assert_int_equal(vdb_wal_scan(&w->env, "nowhere", 1, 0, wt_ignore, &last, &scan, &err),
                   VECDB_ERR_IO);
  wt_free(w);
}

/* ---- threads ---- */

struct wt_shared {
  struct wt *w;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  uint64_t written;
  bool leading;
  _Atomic bool done;
};

static void *wt_writer(void *arg) {
  struct wt_shared *s = arg;
  vecdb_error err;
  for (int i = 0; i < 60; i++) {
    uint64_t body[40] = {0};
    struct vdb_wal_part part = {body, sizeof body};
    uint64_t seq, last;
    pthread_mutex_lock(&s->lock);
    assert_int_equal(vdb_wal_add(s->w->wal, 1, VDB_WAL_ROWS, &part, 1, &seq, &err), VECDB_OK);
    while (s->written < seq) {
      if (s->leading) {
        pthread_cond_wait(&s->changed, &s->lock);
        continue;
      }
      if (i % 16 == 3)
        vdb_wal_rotate(s->w->wal);
      assert_true(vdb_wal_take(s->w->wal, &last));
      s->leading = true;
      pthread_mutex_unlock(&s->lock);
      assert_int_equal(vdb_wal_write(s->w->wal, i % 2, &err), VECDB_OK);
      assert_true(vdb_wal_bytes(s->w->wal) > 0);
      pthread_mutex_lock(&s->lock);
      s->leading = false;
      s->written = last;
      pthread_cond_broadcast(&s->changed);
    }
    pthread_mutex_unlock(&s->lock);
  }
  return NULL;
}

/* Reads the log while it is written, as another process may. */
static void *wt_watcher(void *arg) {
  struct wt_shared *s = arg;
  uint64_t before = 0;
  while (!atomic_load(&s->done)) {
    struct vdb_wal_scan scan;
    vecdb_error err;
    uint64_t n = 0;
    int rc = vdb_wal_scan(&s->w->env, "db", 1, 0, wt_ignore, &n, &scan, &err);
    if (rc)
      fail_msg("%s", err.message);
    assert_true(scan.last_seq >= before);
    before = scan.last_seq;
  }
  return NULL;
}

static void test_threads(void **state) {
  (void)state;
  struct wt_shared s = {.w = wt_new()};
  pthread_t writers[4], watcher;
  pthread_mutex_init(&s.lock, NULL);
  pthread_cond_init(&s.changed, NULL);
  wt_open(s.w);
  assert_int_equal(pthread_create(&watcher, NULL, wt_watcher, &s), 0);
  for (size_t i = 0; i < 4; i++)
    assert_int_equal(pthread_create(&writers[i], NULL, wt_writer, &s), 0);
  for (size_t i = 0; i < 4; i++)
    pthread_join(writers[i], NULL);
  atomic_store(&s.done, true);
  pthread_join(watcher, NULL);
  uint64_t last;
  assert_int_equal(wt_scan_code(s.w, &last), VECDB_OK);
  assert_int_equal(last, 240);
  wt_free(s.w);
  pthread_cond_destroy(&s.changed);
  pthread_mutex_destroy(&s.lock);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST_ALONE(cmocka_unit_test(test_names)),
      TEST_ALONE(cmocka_unit_test(test_round_trip)),
      TEST_ALONE(cmocka_unit_test(test_sizes)),
      TEST_ALONE(cmocka_unit_test(test_after)),
      TEST_ALONE(cmocka_unit_test(test_trim)),
      TEST_ALONE(cmocka_unit_test(test_flips_closed)),
      TEST_ALONE(cmocka_unit_test(test_flips_open)),
      TEST_ALONE(cmocka_unit_test(test_cuts)),
      TEST_ALONE(cmocka_unit_test(test_forged)),
      TEST_ALONE(cmocka_unit_test(test_torn_or_damaged)),
      TEST_ALONE(cmocka_unit_test(test_headers)),
      TEST_ALONE(cmocka_unit_test(test_newer)),
      cmocka_unit_test(test_threads),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
