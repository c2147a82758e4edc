/* test_manifest.c - the manifest: round trips, damage to every byte, contents that make no sense,
   and its replacement under power cuts and failures. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "base/sum.h"
#include "store/manifest.h"
#include "tlib/memfault.h"
#include "tlib/simdisk.h"

enum { MT_HEAD = 32 };

struct mt {
  struct memfault memory;
  struct simdisk *disk;
  struct vdb_env env;
};

static void mt_env(struct mt *t) {
  vecdb_options options = VECDB_OPTIONS_INIT;
  vecdb_error err;
  memfault_init(&t->memory);
  options.vfs = simdisk_vfs(t->disk);
  options.allocator = &t->memory.table;
  assert_int_equal(vdb_env_init(&t->env, &options, false, &err), VECDB_OK);
}

static struct mt *mt_new(void) {
  struct mt *t = calloc(1, sizeof *t);
  assert_non_null(t);
  t->disk = simdisk_new();
  mt_env(t);
  assert_int_equal(t->env.vfs->make_dir(t->env.vfs, "db"), 0);
  assert_int_equal(t->env.vfs->sync_dir(t->env.vfs, ""), 0);
  return t;
}

static void mt_free(struct mt *t) {
  assert_int_equal(memfault_live(&t->memory), 0);
  assert_int_equal(simdisk_handles(t->disk), 0);
  vdb_env_fini(&t->env);
  simdisk_free(t->disk);
  free(t);
}

/* A manifest on static memory, for writing only. */
struct mt_sample {
  struct vdb_manifest m;
  struct vdb_manifest_collection collections[3];
  struct vdb_manifest_segment segments[4];
  struct vdb_manifest_index indexes[3];
  vecdb_index_params params[4];
};

static struct vdb_blob_id mt_blob(uint64_t file) {
  struct vdb_blob_id id = {file, file * 1000, vdb_mix64(file)};
  return id;
}

static void mt_fill(struct mt_sample *s) {
  static char names[3][8] = {"first", "f", "third"};
  static uint8_t schema[] = {1, 2, 3, 0, 255};
  memset(s, 0, sizeof *s);
  s->m.generation = 7;
  s->m.next_file = 20;
  s->m.next_segment = 9;
  s->m.next_collection = 5;
  s->m.wal_first = 3;
  s->m.wal_floor = 44;
  s->m.collections = s->collections;
  s->m.n_collections = 3;
  for (uint32_t i = 0; i < 3; i++) {
    s->collections[i].id = i + 2;
    s->collections[i].name = names[i];
    s->collections[i].schema = schema;
    s->collections[i].schema_bytes = i ? sizeof schema : 0;
    s->collections[i].flushed_seq = 40 + i;
    s->collections[i].next_auto_id = (int64_t)i - 5;
  }
  for (uint32_t i = 0; i < 4; i++) {
    s->segments[i].id = 8 - i;
    s->segments[i].rows = 100;
    s->segments[i].blob = mt_blob(1 + i);
    s->params[i].size = i % 2 ? sizeof s->params[i] : 0;
    s->params[i].type = (int32_t)i - 2; /* opaque: nonsense is kept */
    s->params[i].m = 16 + i;
    s->params[i].ef_construction = 1u << 31;
    s->params[i].ef = i;
    s->params[i].nlist = i * 7;
    s->params[i].rotation = -(int32_t)i;
    s->params[i].recall = 0.25f * (float)i;
    s->params[i].memory_bytes = UINT64_MAX - i;
  }
  s->segments[1].tombs = mt_blob(11);
  s->segments[1].deleted = 100;
  for (uint32_t i = 0; i < 3; i++) {
    s->indexes[i].field = 3 - i;
    s->indexes[i].params.size = sizeof s->indexes[i].params;
    s->indexes[i].params.type = -1;
    s->indexes[i].blob = mt_blob(15 + i);
  }
  s->segments[2].indexes = s->indexes;
  s->segments[2].n_indexes = 3;
  s->collections[1].indexes = s->params;
  s->collections[1].n_fields = 4;
  s->collections[1].segments = s->segments;
  s->collections[1].n_segments = 3;
  s->collections[2].segments = s->segments + 3;
  s->collections[2].n_segments = 1;
}

static void mt_encode(struct mt *t, const struct vdb_manifest *m, struct vdb_writer *w) {
  struct vdb_writer empty = VDB_WRITER(&t->env.mem);
  *w = empty;
  vdb_manifest_encode(m, w);
  assert_false(w->failed);
}

/* Decodes; on success encoding again must give the same bytes. */
static int mt_decode(struct mt *t, const void *data, size_t n) {
  struct vdb_manifest m;
  vecdb_error err;
  uint8_t *exact = malloc(n ? n : 1); /* so that reading beyond the end is seen */
  assert_non_null(exact);
  memcpy(exact, data, n);
  int rc = vdb_manifest_decode(&t->env.mem, exact, n, &m, &err);
  if (rc == VECDB_OK) {
    struct vdb_writer w;
    mt_encode(t, &m, &w);
    assert_int_equal(w.n, n);
    assert_memory_equal(w.data, data, n);
    vdb_writer_free(&w);
    vdb_manifest_fini(&t->env.mem, &m);
  } else {
    assert_null(m.collections);
  }
  free(exact);
  return rc;
}

static int mt_recode(struct mt *t, const struct mt_sample *s) {
  struct vdb_writer w;
  mt_encode(t, &s->m, &w);
  int rc = mt_decode(t, w.data, w.n);
  vdb_writer_free(&w);
  return rc;
}

static void test_round_trip(void **state) {
  (void)state;
  struct mt *t = mt_new();
  struct mt_sample s;
  struct vdb_manifest m;
  vecdb_error err;
  bool unknown = true;
  assert_int_equal(vdb_manifest_read(&t->env, "db", &m, &err), VECDB_ERR_NOT_FOUND);
  mt_fill(&s);
  assert_int_equal(mt_recode(t, &s), VECDB_OK);
  assert_int_equal(vdb_manifest_write(&t->env, "db", &s.m, &unknown, &err), VECDB_OK);
  assert_false(unknown);
  assert_int_equal(s.m.generation, 8);
  assert_int_equal(vdb_manifest_read(&t->env, "db", &m, &err), VECDB_OK);
  assert_int_equal(m.generation, 8);
  assert_int_equal(m.wal_floor, 44);
  assert_string_equal(m.collections[2].name, "third");
  assert_int_equal(m.collections[0].next_auto_id, -5);
  assert_int_equal(m.collections[1].indexes[0].size, 0);
  assert_int_equal(m.collections[1].indexes[1].size, sizeof(vecdb_index_params));
  assert_int_equal(m.collections[1].indexes[1].type, -1);
  assert_int_equal(m.collections[1].segments[1].tombs.length, 11000);
  assert_int_equal(m.collections[1].segments[2].indexes[1].blob.file, 16);
  vdb_manifest_fini(&t->env.mem, &m);
  memset(&m, 0, sizeof m); /* an empty one */
  assert_int_equal(vdb_manifest_write(&t->env, "db", &m, &unknown, &err), VECDB_OK);
  assert_int_equal(vdb_manifest_read(&t->env, "db", &m, &err), VECDB_OK);
  assert_int_equal(m.n_collections, 0);
  mt_free(t);
}

static void test_many(void **state) {
  (void)state;
  enum { MANY = 3000 };
  struct mt *t = mt_new();
  struct vdb_manifest m = {.next_collection = MANY, .next_file = MANY + 2, .next_segment = MANY};
  char(*names)[16] = calloc(MANY, sizeof *names);
  struct vdb_manifest_segment *segments = calloc(MANY, sizeof *segments);
  m.collections = calloc(MANY, sizeof *m.collections);
  m.n_collections = MANY;
  for (uint32_t i = 0; i < MANY; i++) {
    snprintf(names[i], sizeof names[i], "name_%u", i);
    m.collections[i].id = MANY - 1 - i;
    m.collections[i].name = names[i];
    segments[i].id = i;
    segments[i].blob.file = i + 2;
    m.collections[i].segments = &segments[i];
    m.collections[i].n_segments = 1;
  }
  struct mt_sample s = {.m = m};
  assert_int_equal(mt_recode(t, &s), VECDB_OK);
  strcpy(names[17], names[2900]);
  assert_int_equal(mt_recode(t, &s), VECDB_ERR_CORRUPT);
  free(m.collections);
  free(segments);
  free(names);
  mt_free(t);
}

/* ---- damage ---- */

static void test_flips_and_cuts(void **state) {
  (void)state;
  struct mt *t = mt_new();
  struct mt_sample s;
  struct vdb_writer w;
  mt_fill(&s);
  mt_encode(t, &s.m, &w);
  for (size_t i = 0; i < w.n; i++)
    for (unsigned bit = 0; bit < 8; bit++) {
      w.data[i] ^= (uint8_t)(1u << bit);
      assert_int_equal(mt_decode(t, w.data, w.n),
                       i < 8 ? VECDB_ERR_NOT_A_DATABASE : VECDB_ERR_CORRUPT);
      w.data[i] ^= (uint8_t)(1u << bit);
    }
  for (size_t n = 0; n < w.n; n++)
    assert_int_equal(mt_decode(t, w.data, n), VECDB_ERR_CORRUPT);
  vdb_write_u8(&w, 0);
  assert_int_equal(mt_decode(t, w.data, w.n), VECDB_ERR_CORRUPT);
  vdb_writer_free(&w);
  mt_free(t);
}

/* Makes length and hash fit the bytes. */
static void mt_seal(struct vdb_writer *w, size_t n) {
  uint64_t body = n - MT_HEAD - 8;
  memcpy(w->data + 24, &body, 8);
  uint64_t hash = vdb_hash64(w->data, n - 8);
  memcpy(w->data + n - 8, &hash, 8);
}

/* With fitting hashes: each 32-bit word of the body made large or odd, and the body cut. What is
   accepted must encode to the same bytes. */
static void test_hostile_words(void **state) {
  (void)state;
  static const uint32_t odd[] = {0, 1, 2, 3, 0x7fffffff, 0xffffffff, 0x10000, 300};
  struct mt *t = mt_new();
  struct mt_sample s;
  struct vdb_writer w;
  mt_fill(&s);
  mt_encode(t, &s.m, &w);
  for (size_t at = MT_HEAD; at + 12 <= w.n; at++)
    for (size_t k = 0; k < VDB_COUNT(odd); k++) {
      uint32_t before;
      memcpy(&before, w.data + at, 4);
      memcpy(w.data + at, &odd[k], 4);
      mt_seal(&w, w.n);
      int rc = mt_decode(t, w.data, w.n);
      assert_true(rc == VECDB_OK || rc == VECDB_ERR_CORRUPT);
      memcpy(w.data + at, &before, 4);
    }
  assert_true(memfault_peak(&t->memory) < 1u << 20);
  for (size_t n = MT_HEAD + 8; n < w.n; n++) {
    struct vdb_writer cut;
    mt_encode(t, &s.m, &cut);
    mt_seal(&cut, n);
    assert_int_equal(mt_decode(t, cut.data, n), VECDB_ERR_CORRUPT);
    vdb_writer_free(&cut);
  }
  vdb_writer_free(&w);
  mt_free(t);
}

static void test_newer(void **state) {
  (void)state;
  struct mt *t = mt_new();
  struct mt_sample s;
  struct vdb_writer w;
  mt_fill(&s);
  mt_encode(t, &s.m, &w);
  w.data[8]++;
  assert_int_equal(mt_decode(t, w.data, w.n), VECDB_ERR_CORRUPT);
  mt_seal(&w, w.n);
  assert_int_equal(mt_decode(t, w.data, w.n), VECDB_ERR_NEWER_FORMAT);
  w.data[8] = 0;
  mt_seal(&w, w.n);
  assert_int_equal(mt_decode(t, w.data, w.n), VECDB_ERR_CORRUPT);
  w.data[8] = 1;
  w.data[12] = 1; /* a zero that is none */
  mt_seal(&w, w.n);
  assert_int_equal(mt_decode(t, w.data, w.n), VECDB_ERR_CORRUPT);
  vdb_writer_free(&w);
  mt_free(t);
}

/* Each thing that must hold, broken in turn. */
static void test_nonsense(void **state) {
  (void)state;
  struct mt *t = mt_new();
  char long_name[300];
  memset(long_name, 'n', 299);
  long_name[299] = '\0';
  for (int what = 0; what < 18; what++) {
    struct mt_sample s;
    mt_fill(&s);
    switch (what) {
    case 0: s.collections[1].id = 2; break;
    case 1: s.collections[1].id = 5; break;
    case 2: s.collections[1].name = s.collections[2].name; break;
    case 3: s.collections[1].name = long_name; break;
    case 4: s.collections[1].name = long_name + 299; break;
    case 5: s.segments[0].id = s.segments[3].id; break;
    case 6: s.segments[0].id = 9; break;
    case 7: s.segments[0].blob.file = 0; break;
    case 8: s.segments[0].blob.file = 20; break;
    case 9: s.segments[0].blob.file = 4; break;
    case 10: s.segments[0].blob.file = 11; break;
    case 11: s.indexes[0].blob.file = 11; break;
    case 12: s.indexes[0].field = 2; break;
    case 13: s.indexes[0].field = 4; break;
    case 14: s.segments[1].deleted = 101; break;
    case 15: s.segments[0].deleted = 1; break;
    case 16: s.segments[0].tombs.length = 1; break;
    default: s.collections[1].n_fields = 0; break; /* and so no field for the indexes */
    }
    assert_int_equal(mt_recode(t, &s), VECDB_ERR_CORRUPT);
  }
  mt_free(t);
}

/* ---- replacing ---- */

static int mt_read_generation(struct mt *t, uint64_t *generation) {
  struct vdb_manifest m;
  vecdb_error err;
  int rc = vdb_manifest_read(&t->env, "db", &m, &err);
  if (rc == VECDB_OK) {
    *generation = m.generation;
    assert_int_equal(m.wal_floor, m.generation * 3);
    vdb_manifest_fini(&t->env.mem, &m);
  }
  return rc;
}

static int mt_write_next(struct mt *t, struct mt_sample *s, bool *unknown) {
  vecdb_error err;
  s->m.wal_floor = (s->m.generation + 1) * 3;
  return vdb_manifest_write(&t->env, "db", &s->m, unknown, &err);
}

/* The power goes at every operation: the old manifest or the new one is there, never neither. */
static void test_power_cuts(void **state) {
  (void)state;
  for (uint64_t ops = 0; ops < 24; ops++)
    for (uint64_t seed = 0; seed < 48; seed++) {
      struct mt *t = mt_new();
      struct mt_sample s;
      bool unknown = false;
      mt_fill(&s);
      s.m.generation = 0;
      assert_int_equal(mt_write_next(t, &s, &unknown), VECDB_OK);
      simdisk_stop_after(t->disk, ops);
      uint64_t sure = 1;
      for (int i = 0; i < 4 && mt_write_next(t, &s, &unknown) == VECDB_OK; i++)
        sure = s.m.generation;
      simdisk_crash(t->disk, seed);
      uint64_t found = 0;
      assert_int_equal(mt_read_generation(t, &found), VECDB_OK);
      assert_in_range(found, sure, unknown ? sure + 1 : sure);
      s.m.generation = found; /* and it goes on */
      assert_int_equal(mt_write_next(t, &s, &unknown), VECDB_OK);
      simdisk_crash(t->disk, seed + 1);
      assert_int_equal(mt_read_generation(t, &sure), VECDB_OK);
      assert_int_equal(sure, found + 1);
      mt_free(t);
    }
}

/* Every operation fails: the old one stays, or it is said to be unknown. */
static void test_faults(void **state) {
  (void)state;
  for (uint64_t seed = 0; seed < 8; seed++)
    for (uint64_t nth = 1;; nth++) {
      struct mt *t = mt_new();
      struct mt_sample s;
      bool unknown = false;
      uint64_t found = 0;
      mt_fill(&s);
      s.m.generation = 0;
      assert_int_equal(mt_write_next(t, &s, &unknown), VECDB_OK);
      struct simdisk_fault fault = {SIMDISK_CHANGES, nth, ENOSPC, seed & 1, true};
      simdisk_set_fault(t->disk, &fault);
      int rc = mt_write_next(t, &s, &unknown);
      bool hit = simdisk_faults_hit(t->disk) > 0;
      simdisk_set_fault(t->disk, NULL);
      assert_true(rc == VECDB_OK || rc == VECDB_ERR_DISK_FULL);
      assert_int_equal(s.m.generation, rc == VECDB_OK || unknown ? 2 : 1);
      struct mt after = {.disk = simdisk_clone(t->disk)};
      mt_env(&after);
      simdisk_crash(after.disk, seed);
      assert_int_equal(mt_read_generation(&after, &found), VECDB_OK);
      assert_in_range(found, rc == VECDB_OK ? 2 : 1, rc == VECDB_OK || unknown ? 2 : 1);
      vdb_env_fini(&after.env);
      simdisk_free(after.disk);
      /* and a later write succeeds */
      assert_int_equal(mt_write_next(t, &s, &unknown), VECDB_OK);
      simdisk_crash(t->disk, seed);
      assert_int_equal(mt_read_generation(t, &found), VECDB_OK);
      assert_int_equal(found, s.m.generation);
      mt_free(t);
      if (!hit)
        break;
    }
}

static void test_read_faults(void **state) {
  (void)state;
  struct mt *t = mt_new();
  struct mt_sample s;
  bool unknown;
  uint64_t found;
  mt_fill(&s);
  assert_int_equal(mt_write_next(t, &s, &unknown), VECDB_OK);
  for (uint64_t nth = 1;; nth++) {
    struct simdisk_fault fault = {SIMDISK_READ | SIMDISK_OPEN, nth, EIO, false, false};
    simdisk_set_fault(t->disk, &fault);
    int rc = mt_read_generation(t, &found);
    bool hit = simdisk_faults_hit(t->disk) > 0;
    assert_int_equal(rc, hit ? VECDB_ERR_IO : VECDB_OK);
    if (!hit)
      break;
  }
  mt_free(t);
}

static void test_memory(void **state) {
  (void)state;
  for (int on = 0; on < 2; on++)
    for (uint64_t nth = 1;; nth++) {
      struct mt *t = mt_new();
      struct mt_sample s;
      bool unknown;
      uint64_t found;
      mt_fill(&s);
      s.m.generation = 4;
      memfault_fail(&t->memory, nth, on);
      int rc = mt_write_next(t, &s, &unknown);
      if (rc == VECDB_OK)
        rc = mt_read_generation(t, &found);
      bool hit = memfault_failed(&t->memory) > 0;
      assert_int_equal(rc, hit ? VECDB_ERR_NO_MEMORY : VECDB_OK);
      mt_free(t);
      if (!hit)
        break;
    }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_round_trip),
      cmocka_unit_test(test_many),
      cmocka_unit_test(test_flips_and_cuts),
      cmocka_unit_test(test_hostile_words),
      cmocka_unit_test(test_newer),
      cmocka_unit_test(test_nonsense),
      cmocka_unit_test(test_power_cuts),
      cmocka_unit_test(test_faults),
      cmocka_unit_test(test_read_faults),
      cmocka_unit_test(test_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
