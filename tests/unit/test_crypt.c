/*
 * test_crypt.c - encryption from inside: a known answer, and forged files, whose checksums are
 * mended so that only the key can tell: pages, frames, records and headers, each an error with its
 * place.
 *
 * CRYPT: yes
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/blob.h"
#include "store/keys.h"
#include "store/store_format.h"
#include "store/wal.h"
#include "store/wal_crypt.h"
#include "tlib/memfault.h"
#include "tlib/simdisk.h"

enum { CT_TAG = VDB_TAG('T', 'E', 'S', 'T'), CT_BYTES = 3 * STORE_PAGE + 100 };

static vecdb_error err;

/* ---- the cipher ---- */

/* By Python's `cryptography`: HKDF-SHA-256, then AES-256-GCM, the nonce little-endian. */
static const uint8_t answer[] = {
    0x97, 0x54, 0x4e, 0x0d, 0x63, 0xfa, 0xf7, 0x0c, 0x1d, 0x71, 0x21, 0x4e,
    0x0b, 0x61, 0xef, 0x2c, 0x6d};
static const uint8_t answer_tag[] = {
    0xcc, 0x8d, 0x6c, 0x3c, 0xe2, 0xf1, 0x27, 0x73, 0x52, 0x14, 0x96, 0x2b,
    0x1c, 0xe2, 0x11, 0xab};
static const char question[] = "nine hundred bees";

static struct vdb_cipher *known_cipher(struct vdb_mem *mem) {
  uint8_t key[VDB_KEY_BYTES], salt[VDB_SALT_BYTES];
  for (size_t i = 0; i < sizeof key; i++)
    key[i] = (uint8_t)i;
  for (size_t i = 0; i < sizeof salt; i++)
    salt[i] = (uint8_t)(0xa0 + i);
  struct vdb_cipher_from from = {key, salt, "known answer", 12};
  struct vdb_cipher *cipher;
  assert_int_equal(vdb_cipher_new(mem, &from, &cipher, &err), VECDB_OK);
  return cipher;
}

static void known_answer(void **state) {
  (void)state;
  struct vdb_mem mem;
  struct vdb_crypt_part bound[] = {{"bound", 5}, {" to it", 6}};
  struct vdb_message m = {0x01020304, 0x1122334455667788, bound, 2, sizeof question - 1};
  uint8_t out[sizeof question], tag[VDB_TAG_BYTES];
  if (!vdb_crypt_works())
    return;
  vdb_mem_init(&mem, NULL, 0);
  struct vdb_cipher *first = known_cipher(&mem), *cipher;
  assert_int_equal(vdb_cipher_clone(first, &cipher, &err), VECDB_OK);
  vdb_cipher_free(first);
  for (int i = 0; i < 2; i++) { /* a message leaves nothing behind */
    assert_int_equal(vdb_cipher_seal(cipher, &m, question, out, tag), 0);
    assert_memory_equal(out, answer, sizeof answer);
    assert_memory_equal(tag, answer_tag, sizeof answer_tag);
    assert_int_equal(vdb_cipher_open(cipher, &m, out, out, tag), 0);
    assert_memory_equal(out, question, m.n);
  }
  for (size_t i = 0; i < m.n + sizeof tag; i++) {
    uint8_t bad[sizeof answer + sizeof answer_tag];
    memcpy(bad, answer, sizeof answer);
    memcpy(bad + sizeof answer, answer_tag, sizeof answer_tag);
    bad[i] ^= 1;
    assert_int_equal(vdb_cipher_open(cipher, &m, bad, out, bad + sizeof answer), EBADMSG);
    assert_true(out[0] == 0 && memcmp(out, out + 1, m.n - 1) == 0);
  }
  m.number++;
  assert_int_equal(vdb_cipher_open(cipher, &m, answer, out, answer_tag), EBADMSG);
  m.number--;
  m.space++;
  assert_int_equal(vdb_cipher_open(cipher, &m, answer, out, answer_tag), EBADMSG);
  m.space--;
  bound[1].n--;
  assert_int_equal(vdb_cipher_open(cipher, &m, answer, out, answer_tag), EBADMSG);
  vdb_cipher_free(cipher);
  assert_int_equal(atomic_load(&mem.used), 0);
}

/* ---- a folder of an encrypted database ---- */

struct ct {
  struct memfault memory;
  struct simdisk *disk;
  struct vdb_env env;
};

static int ct_key(void *user, const char *key_id, uint8_t key[VECDB_KEY_BYTES]) {
  (void)user;
  (void)key_id;
  memset(key, 5, VECDB_KEY_BYTES);
  return 0;
}

static struct ct *ct_new(void) {
  static const vecdb_encryption encryption = {
      .size = sizeof encryption, .key_id = "k", .get_key = ct_key};
  struct ct *t = calloc(1, sizeof *t);
  vecdb_options options = VECDB_OPTIONS_INIT;
  assert_non_null(t);
  t->disk = simdisk_new();
  memfault_init(&t->memory);
  options.vfs = simdisk_vfs(t->disk);
  options.allocator = &t->memory.table;
  assert_int_equal(vdb_env_init(&t->env, &options, false, &err), VECDB_OK);
  assert_int_equal(t->env.vfs->make_dir(t->env.vfs, "db"), 0);
  assert_int_equal(vdb_keys_new(&t->env, "db", &encryption, &t->env.keys, &err), VECDB_OK);
  assert_int_equal(vdb_keys_create(t->env.keys, &err), VECDB_OK);
  return t;
}

static void ct_free(struct ct *t) {
  vdb_keys_free(t->env.keys);
  assert_int_equal(memfault_live(&t->memory), 0);
  assert_int_equal(simdisk_handles(t->disk), 0);
  vdb_env_fini(&t->env);
  simdisk_free(t->disk);
  free(t);
}

/* The file's bytes, to be freed. */
static uint8_t *ct_read(struct ct *t, const char *path, uint64_t *n) {
  const vecdb_vfs *vfs = t->env.vfs;
  vecdb_file *file;
  assert_int_equal(vfs->open(vfs, path, VECDB_OPEN_READ, &file), 0);
  assert_int_equal(vfs->length(file, n), 0);
  uint8_t *data = malloc((size_t)*n);
  assert_non_null(data);
  assert_int_equal(vfs->read(file, data, (size_t)*n, 0), 0);
  vfs->close(file);
  return data;
}

static void ct_put(struct ct *t, const char *path, const void *data, uint64_t n) {
  const vecdb_vfs *vfs = t->env.vfs;
  vecdb_file *file;
  vfs->remove(vfs, path);
  assert_int_equal(vfs->open(vfs, path, VECDB_OPEN_CREATE, &file), 0);
  assert_int_equal(vfs->write(file, data, (size_t)n, 0), 0);
  vfs->close(file);
}

/* ---- section files ---- */

static struct vdb_blob_id ct_blob(struct ct *t, uint64_t number) {
  struct vdb_blob_writer *w;
  struct vdb_blob_id id;
  uint8_t data[CT_BYTES];
  assert_int_equal(vdb_blob_create(&t->env, "db", VDB_BLOB_INDEX, number, &w, &err), VECDB_OK);
  struct vdb_sect_writer *out = vdb_blob_sections(w);
  for (uint32_t i = 0; i < 2; i++) {
    memset(data, (int)i + 1, sizeof data);
    assert_int_equal(out->align(out, &err), VECDB_OK);
    assert_int_equal(out->begin(out, CT_TAG, i, &err), VECDB_OK);
    for (size_t at = 0; at < sizeof data; at += 1000)
      assert_int_equal(
          out->append(out, data + at, vdb_min_size(1000, sizeof data - at), &err), VECDB_OK);
    assert_int_equal(out->end(out, &err), VECDB_OK);
  }
  assert_int_equal(vdb_blob_finish(w, &id, &err), VECDB_OK);
  return id;
}

static struct {
  vecdb_vfs vfs;
  int (*write)(vecdb_file *file, const void *data, size_t n, uint64_t offset);
  uint64_t end;    /* of the file */
  uint64_t odd;    /* writes behind 2 MiB that begin elsewhere */
  uint64_t pieces; /* whole ones that were written there */
} watched;

static int watched_write(vecdb_file *file, const void *data, size_t n, uint64_t offset) {
  const uint64_t piece = 2 << 20;
  if (offset >= piece) {
    watched.odd += offset % piece != 0 || offset < watched.end;
    watched.pieces += n / piece;
  }
  watched.end = offset + n;
  return watched.write(file, data, n, offset);
}

/* From 2 MiB on each write begins at a multiple of that, in plain files and encrypted ones, though
   pages lie across the ends of pieces. */
static void aligned_pieces(void **state) {
  (void)state;
  enum { BYTES = 7 << 20, APPEND = 100003 };
  if (!vdb_crypt_works())
    return;
  struct ct *t = ct_new();
  struct vdb_keys *keys = t->env.keys;
  watched.vfs = *t->env.vfs;
  watched.write = watched.vfs.write;
  watched.vfs.write = watched_write;
  const vecdb_vfs *plain = t->env.vfs;
  t->env.vfs = &watched.vfs;
  static uint8_t data[BYTES];
  for (size_t i = 0; i < BYTES; i++)
    data[i] = (uint8_t)(i * 7 + i / 251);
  for (uint64_t encrypted = 0; encrypted < 2; encrypted++) {
    struct vdb_blob_writer *w;
    struct vdb_blob_id id;
    struct vdb_blob *blob;
    const void *found;
    size_t n;
    t->env.keys = encrypted ? keys : NULL;
    watched.odd = watched.pieces = watched.end = 0;
    assert_int_equal(vdb_blob_create(&t->env, "db", VDB_BLOB_INDEX, 7 + encrypted, &w, &err), 0);
    struct vdb_sect_writer *out = vdb_blob_sections(w);
    assert_int_equal(out->begin(out, CT_TAG, 0, &err), VECDB_OK);
    for (size_t at = 0; at < BYTES; at += APPEND)
      assert_int_equal(out->append(out, data + at, vdb_min_size(APPEND, BYTES - at), &err), 0);
    assert_int_equal(out->end(out, &err), VECDB_OK);
    assert_int_equal(vdb_blob_finish(w, &id, &err), VECDB_OK);
    assert_int_equal(watched.odd, 0);
    assert_int_equal(watched.pieces, 2);
    assert_int_equal(vdb_blob_open(&t->env, "db", VDB_BLOB_INDEX, &id, true, &blob, &err), 0);
    const struct vdb_sect_reader *in = vdb_blob_reader(blob);
    assert_int_equal(in->find(in, CT_TAG, 0, true, &found, &n, &err), VECDB_OK);
    assert_int_equal(n, BYTES);
    assert_memory_equal(found, data, BYTES);
    vdb_blob_close(blob);
  }
  t->env.vfs = plain;
  ct_free(t);
}

/* Opens the file and looks at both sections. */
static int ct_look(struct ct *t, const struct vdb_blob_id *id, bool full) {
  struct vdb_blob *blob;
  int rc = vdb_blob_open(&t->env, "db", VDB_BLOB_INDEX, id, full, &blob, &err);
  for (uint32_t i = 0; rc == VECDB_OK && i < 2; i++) {
    const struct vdb_sect_reader *in = vdb_blob_reader(blob);
    const void *data;
    size_t n;
    rc = in->find(in, CT_TAG, i, true, &data, &n, &err);
    if (rc == VECDB_OK) {
      const uint8_t *bytes = data;
      assert_int_equal(n, CT_BYTES);
      assert_true(bytes[0] == i + 1 && memcmp(bytes, bytes + 1, n - 1) == 0);
    }
  }
  if (blob)
    vdb_blob_close(blob);
  return rc;
}

/* Makes all checksums of a section file right again, whose sections are where those of the `good`
   one are, and says so in the id. */
static void ct_mend(uint8_t *data, const uint8_t *good, uint64_t n, struct vdb_blob_id *id) {
  struct store_blob_header h;
  struct store_blob_trailer t, was;
  memcpy(&was, good + n - sizeof was, sizeof was);
  for (uint32_t i = 0; i < was.sections; i++) {
    struct store_blob_entry e;
    uint64_t at = was.table + i * sizeof e;
    memcpy(&e, good + at, sizeof e);
    e.hash = vdb_hash64(data + e.offset, (size_t)e.length);
    memcpy(data + at + offsetof(struct store_blob_entry, hash), &e.hash, sizeof e.hash);
  }
  memcpy(&h, data, sizeof h);
  h.hash = vdb_store_hash(&h, sizeof h);
  memcpy(data, &h, sizeof h);
  memcpy(&t, data + n - sizeof t, sizeof t);
  t.table_hash = vdb_hash64(data + was.table, was.sections * sizeof(struct store_blob_entry));
  t.hash = vdb_store_hash(&t, sizeof t);
  memcpy(data + n - sizeof t, &t, sizeof t);
  id->hash = t.table_hash;
}

static uint64_t ct_offset(const uint8_t *data, uint64_t n, uint32_t section) {
  struct store_blob_trailer t;
  struct store_blob_entry e;
  memcpy(&t, data + n - sizeof t, sizeof t);
  memcpy(&e, data + t.table + section * sizeof e, sizeof e);
  return e.offset;
}

static void forged_pages(void **state) {
  (void)state;
  if (!vdb_crypt_works())
    return;
  static const char path[] = "db/0000000000000001.idx";
  struct ct *t = ct_new();
  struct vdb_blob_id id = ct_blob(t, 1), mended;
  uint64_t n;
  uint8_t *good = ct_read(t, path, &n), *bad = malloc((size_t)n), page[STORE_PAGE];
  assert_non_null(bad);
  assert_int_equal(ct_look(t, &id, true), VECDB_OK);
  uint64_t at = ct_offset(good, n, 1); /* behind a gap */
  memcpy(bad, good, (size_t)n);
  bad[at + STORE_PAGE + 7] ^= 16; /* without any mending: by the page's tag */
  ct_put(t, path, bad, n);
  assert_int_equal(ct_look(t, &id, false), VECDB_ERR_CORRUPT);
  assert_int_equal(err.position, at + STORE_PAGE);
  assert_int_equal(ct_look(t, &id, true), VECDB_ERR_CORRUPT);
  for (uint64_t i = 8; i < n; i += 61) { /* with mended checksums: everything, by the frame's tag */
    mended = id;
    memcpy(bad, good, (size_t)n);
    bad[i] ^= 4;
    ct_mend(bad, good, n, &mended);
    ct_put(t, path, bad, n);
    int rc = ct_look(t, &mended, true);
    if (memcmp(bad, good, (size_t)n) != 0)
      assert_true(rc == VECDB_ERR_CORRUPT || rc == VECDB_ERR_NEWER_FORMAT || rc == VECDB_ERR_KEY);
  }
  memcpy(bad, good, (size_t)n); /* pages in each other's place, as the hash of a table may allow */
  memcpy(page, bad + at, sizeof page);
  memcpy(bad + at, bad + at + STORE_PAGE, sizeof page);
  memcpy(bad + at + STORE_PAGE, page, sizeof page);
  ct_put(t, path, bad, n);
  assert_int_equal(ct_look(t, &id, false), VECDB_ERR_CORRUPT);
  assert_int_equal(err.position, at);
  free(good);
  free(bad);
  ct_free(t);
}

/* A file under another number, and a plain one. */
static void other_files(void **state) {
  (void)state;
  if (!vdb_crypt_works())
    return;
  struct ct *t = ct_new();
  struct vdb_blob_id id = ct_blob(t, 1);
  struct store_blob_header h;
  struct store_blob_trailer end;
  uint64_t n;
  uint8_t *data = ct_read(t, "db/0000000000000001.idx", &n);
  memcpy(&h, data, sizeof h);
  memcpy(&end, data + n - sizeof end, sizeof end);
  h.number = end.number = id.file = 2;
  memcpy(data, &h, sizeof h);
  memcpy(data + n - sizeof end, &end, sizeof end);
  ct_mend(data, data, n, &id);
  ct_put(t, "db/0000000000000002.idx", data, n);
  assert_int_equal(ct_look(t, &id, false), VECDB_ERR_CORRUPT);
  free(data);
  struct vdb_keys *keys = t->env.keys;
  t->env.keys = NULL;
  struct vdb_blob_id plain = ct_blob(t, 3);
  assert_int_equal(ct_look(t, &plain, true), VECDB_OK);
  id.file = 1;
  t->env.keys = keys;
  assert_int_equal(ct_look(t, &plain, true), VECDB_ERR_KEY);
  ct_free(t);
}

/* Pages as they are read by a queue. */
static void read_pages(void **state) {
  (void)state;
  if (!vdb_crypt_works())
    return;
  struct ct *t = ct_new();
  struct vdb_blob_id id = ct_blob(t, 1);
  struct vdb_blob *blob;
  struct vdb_sect_source *source;
  vecdb_read_queue *queue;
  static _Alignas(VECDB_BLOCK) uint8_t pages[3][STORE_PAGE];
  vecdb_read reads[3];
  for (uint64_t flip = 0; flip < 2; flip++) {
    assert_int_equal(vdb_blob_open(&t->env, "db", VDB_BLOB_INDEX, &id, false, &blob, &err), 0);
    const struct vdb_sect_reader *in = vdb_blob_reader(blob);
    assert_int_equal(in->source(in, CT_TAG, 1, &source, &err), VECDB_OK);
    assert_int_equal(source->queue(source, 4, &queue), 0);
    if (flip)
      assert_int_equal(simdisk_flip(t->disk, "db/0000000000000001.idx",
                                    source->offset + STORE_PAGE + 9, 1), 0);
    for (size_t i = 0; i < 3; i++) {
      reads[i] = (vecdb_read){.buf = pages[i], .n = STORE_PAGE};
      reads[i].offset = source->offset + i * STORE_PAGE;
      queue->start(queue, &reads[i]);
    }
    for (size_t i = 3; i-- > 0;) {
      queue->wait(queue, &reads[i]);
      queue->wait(queue, &reads[i]); /* once more changes nothing */
      assert_int_equal(reads[i].error, flip && i == 1 ? EBADMSG : 0);
      if (!reads[i].error)
        assert_true(pages[i][0] == 2 && memcmp(pages[i], pages[i] + 1, STORE_PAGE - 1) == 0);
    }
    queue->close(queue);
    source->close(source);
    vdb_blob_close(blob);
  }
  ct_free(t);
}

/* ---- the log ---- */

static const char log_path[] = "db/0000000000000001.wal";

static int ct_apply(void *arg, const struct vdb_wal_record *record, vecdb_error *e) {
  (void)e;
  size_t *n = arg;
  assert_int_equal(record->n, 50 + *n);
  for (size_t i = 0; i < record->n; i++)
    assert_int_equal(((const uint8_t *)record->body)[i], 0x30 + *n);
  ++*n;
  return VECDB_OK;
}

static int ct_scan(struct ct *t, size_t *n) {
  struct vdb_wal_scan scan;
  *n = 0;
  return vdb_wal_scan(&t->env, "db", 1, 0, ct_apply, n, &scan, &err);
}

/* A log of three records, each synced. */
static void ct_log(struct ct *t) {
  struct vdb_wal_scan scan;
  struct vdb_wal *wal;
  uint64_t seq;
  size_t none = 0;
  assert_int_equal(vdb_wal_scan(&t->env, "db", 1, 0, ct_apply, &none, &scan, &err), VECDB_OK);
  assert_int_equal(vdb_wal_new(&t->env, "db", &scan, &wal, &err), VECDB_OK);
  for (size_t i = 0; i < 3; i++) {
    char body[64];
    memset(body, 0x30 + (int)i, sizeof body);
    struct vdb_wal_part part = {body, 50 + i};
    assert_int_equal(vdb_wal_add(wal, 1, VDB_WAL_ROWS, &part, 1, &seq, &err), VECDB_OK);
    assert_true(vdb_wal_take(wal, &seq));
    assert_int_equal(vdb_wal_write(wal, true, &err), VECDB_OK);
  }
  assert_int_equal(vdb_wal_close(wal, false, &err), VECDB_OK);
}

/* The offset of record i. */
static size_t ct_record(const uint8_t *data, size_t i) {
  size_t at = WAL_BEGIN_MAX;
  struct store_wal_record h;
  for (; i > 0; i--) {
    memcpy(&h, data + at, sizeof h);
    at += (size_t)vdb_store_record_bytes(h.length);
  }
  return at;
}

static void ct_mend_record(uint8_t *data, size_t at) {
  struct store_wal_record h;
  memcpy(&h, data + at, sizeof h);
  h.body_hash = vdb_hash64(data + at + sizeof h,
                           (size_t)vdb_store_record_bytes(h.length) - sizeof h);
  h.hash = vdb_store_hash(&h, sizeof h);
  memcpy(data + at, &h, sizeof h);
}

/* What was torn ends the log; what was forged is damage, also in the last record. */
static void forged_records(void **state) {
  (void)state;
  if (!vdb_crypt_works())
    return;
  struct ct *t = ct_new();
  uint64_t length;
  size_t n;
  ct_log(t);
  uint8_t *good = ct_read(t, log_path, &length), *bad = malloc((size_t)length);
  assert_non_null(bad);
  assert_int_equal(ct_scan(t, &n), VECDB_OK);
  assert_int_equal(n, 3);
  for (size_t i = 0; i < 3; i++) {
    size_t at = ct_record(good, i);
    memcpy(bad, good, (size_t)length);
    bad[at + STORE_RECORD_BYTES + 11] ^= 32;
    ct_put(t, log_path, bad, length);
    assert_int_equal(ct_scan(t, &n), i < 2 ? VECDB_ERR_CORRUPT : VECDB_OK);
    assert_int_equal(n, i);
    ct_mend_record(bad, at);
    ct_put(t, log_path, bad, length);
    assert_int_equal(ct_scan(t, &n), VECDB_ERR_CORRUPT);
    assert_int_equal(err.position, at);
    memcpy(bad, good, (size_t)length);
    bad[at + offsetof(struct store_wal_record, collection)] ^= 1; /* to another collection */
    ct_mend_record(bad, at);
    ct_put(t, log_path, bad, length);
    assert_int_equal(ct_scan(t, &n), VECDB_ERR_CORRUPT);
  }
  struct store_wal_header h; /* a header that says that nothing in the file counts */
  memcpy(bad, good, (size_t)length);
  memcpy(&h, bad, sizeof h);
  h.base = 0;
  h.salt ^= 1;
  h.hash = vdb_store_hash(&h, sizeof h);
  memcpy(bad, &h, sizeof h);
  ct_put(t, log_path, bad, length);
  assert_int_equal(ct_scan(t, &n), VECDB_ERR_CORRUPT);
  ct_put(t, log_path, good, STORE_HEADER_BYTES); /* cut before the header's tag */
  assert_int_equal(ct_scan(t, &n), VECDB_ERR_CORRUPT);
  free(good);
  free(bad);
  ct_free(t);
}

/* Each allocation of the library failing in turn, as sections and records are written and read. */
static void no_memory(void **state) {
  (void)state;
  if (!vdb_crypt_works())
    return;
  struct ct *t = ct_new();
  struct vdb_blob_id id = ct_blob(t, 1);
  size_t n;
  ct_log(t);
  for (uint64_t i = 1;; i++) {
    memfault_fail(&t->memory, i, false);
    int rc = ct_look(t, &id, true);
    if (!rc)
      rc = ct_scan(t, &n);
    bool hit = memfault_failed(&t->memory) > 0;
    memfault_fail(&t->memory, 0, false);
    if (!hit)
      break;
    assert_int_equal(rc, VECDB_ERR_NO_MEMORY);
  }
  assert_int_equal(n, 3);
  ct_free(t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(known_answer), cmocka_unit_test(forged_pages),
      cmocka_unit_test(other_files),  cmocka_unit_test(read_pages),
      cmocka_unit_test(aligned_pieces),
      cmocka_unit_test(forged_records), cmocka_unit_test(no_memory),
  };
  return cmocka_run_group_tests_name("crypt", tests, NULL, NULL);
}
