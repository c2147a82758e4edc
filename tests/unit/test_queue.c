/* test_queue.c - reads of which many are under way at a time, over the system's files, files in
   memory and the simulated disk; and sections read that way. TSAN: yes. URING: yes */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/rng.h"
#include "os/env.h"
#include "os/queue.h"
#include "store/blob.h"
#include "tlib/memfault.h"
#include "tlib/simdisk.h"

enum { QT_BLOCKS = 97, QT_READS = 64, QT_TAIL = 1000, QT_PATH = 200 };
enum { QT_LENGTH = QT_BLOCKS * (int)VECDB_BLOCK + QT_TAIL };

struct fixture {
  struct vdb_mem mem;
  const vecdb_vfs *vfs;
  vecdb_vfs *owned;
  struct simdisk *disk;
  char folder[QT_PATH];
  char path[QT_PATH + 8];
  uint8_t *bytes;  /* of the file */
  uint8_t *memory; /* aligned, a block for each read */
};

static void fill(struct fixture *f) {
  struct vdb_rng rng = {5};
  vecdb_file *file;
  snprintf(f->path, sizeof f->path, "%s/file", f->folder);
  f->bytes = malloc(QT_LENGTH);
  f->memory = aligned_alloc(VECDB_BLOCK, (size_t)QT_READS * VECDB_BLOCK);
  for (size_t i = 0; i < QT_LENGTH; i++)
    f->bytes[i] = (uint8_t)vdb_rng_next(&rng);
  assert_int_equal(f->vfs->open(f->vfs, f->path, VECDB_OPEN_CREATE, &file), 0);
  assert_int_equal(f->vfs->write(file, f->bytes, QT_LENGTH, 0), 0);
  assert_int_equal(f->vfs->sync(file), 0);
  f->vfs->close(file);
}

static struct fixture *fixture_new(void) {
  struct fixture *f = calloc(1, sizeof *f);
  vdb_mem_init(&f->mem, NULL, 0);
  return f;
}

static int setup_posix(void **state) {
  struct fixture *f = *state = fixture_new();
  const char *base = getenv("TMPDIR");
  f->vfs = vdb_vfs_posix();
  snprintf(f->folder, sizeof f->folder, "%s/vecdb-test-XXXXXX", base ? base : "/tmp");
  if (!mkdtemp(f->folder))
    return 1;
  fill(f);
  return 0;
}

static int setup_mem(void **state) {
  struct fixture *f = *state = fixture_new();
  f->vfs = f->owned = vdb_vfs_mem_new(&f->mem);
  snprintf(f->folder, sizeof f->folder, ":memory:");
  f->vfs->make_dir(f->vfs, f->folder);
  fill(f);
  return 0;
}

static int setup_sim(void **state) {
  struct fixture *f = *state = fixture_new();
  f->disk = simdisk_new();
  f->vfs = simdisk_vfs(f->disk);
  snprintf(f->folder, sizeof f->folder, "/db");
  f->vfs->make_dir(f->vfs, f->folder);
  fill(f);
  return 0;
}

static int teardown(void **state) {
  struct fixture *f = *state;
  int rc = f->vfs->remove(f->vfs, f->path);
  if (f->owned)
    vdb_vfs_mem_free(&f->mem, f->owned);
  else if (f->disk)
    simdisk_free(f->disk);
  else
    rc |= rmdir(f->folder);
  rc |= atomic_load(&f->mem.used) != 0;
  free(f->bytes);
  free(f->memory);
  free(f);
  return rc;
}

static vecdb_file *open_file(struct fixture *f, int mode) {
  vecdb_file *file = NULL;
  assert_int_equal(f->vfs->open(f->vfs, f->path, mode, &file), 0);
  return file;
}

static vecdb_read_queue *open_queue(struct fixture *f, vecdb_file *file, uint32_t depth) {
  vecdb_read_queue *queue = NULL;
  assert_int_equal(vdb_queue_open(&f->mem, file, depth, &queue), 0);
  assert_non_null(queue);
  return queue;
}

static uint8_t *slot(struct fixture *f, size_t i) { return f->memory + i * VECDB_BLOCK; }

/* Rounds of reads of random pieces, waited for in another order, some twice. */
static void random_reads(struct fixture *f, vecdb_read_queue *queue, bool direct, uint64_t seed) {
  struct vdb_rng rng = {seed};
  vecdb_read reads[QT_READS];
  for (int round = 0; round < 20; round++) {
    uint32_t n = 1 + vdb_rng_below(&rng, QT_READS);
    for (uint32_t i = 0; i < n; i++) {
      uint64_t at = (uint64_t)vdb_rng_below(&rng, QT_BLOCKS) * VECDB_BLOCK;
      size_t size = VECDB_BLOCK;
      if (!direct) {
        at += vdb_rng_below(&rng, QT_TAIL);
        size = vdb_rng_below(&rng, VECDB_BLOCK);
      }
      memset(slot(f, i), 0xee, VECDB_BLOCK);
      vdb_read_set(&reads[i], slot(f, i), size, at);
      queue->start(queue, &reads[i]);
    }
    uint32_t first = vdb_rng_below(&rng, n);
    for (uint32_t k = 0; k < n + n / 4; k++)
      queue->wait(queue, &reads[(first + k * 7) % n]);
    for (uint32_t i = 0; i < n; i++) {
      queue->wait(queue, &reads[i]);
      assert_true(reads[i].done);
      assert_int_equal(reads[i].error, 0);
      assert_memory_equal(slot(f, i), f->bytes + reads[i].offset, reads[i].n);
      if (reads[i].n < VECDB_BLOCK)
        assert_int_equal(slot(f, i)[reads[i].n], 0xee);
    }
  }
}

static void test_reads(void **state) {
  struct fixture *f = *state;
  static const uint32_t depths[] = {0, 1, 3, 16, 100000};
  for (int direct = 0; direct < 2; direct++)
    for (size_t i = 0; i < VDB_COUNT(depths); i++) {
      vecdb_file *file = open_file(f, direct ? VECDB_OPEN_DIRECT : VECDB_OPEN_READ);
      vecdb_read_queue *queue = open_queue(f, file, depths[i]);
      random_reads(f, queue, direct, i);
      queue->close(queue);
      f->vfs->close(file);
    }
}

static void test_past_the_end(void **state) {
  struct fixture *f = *state;
  for (int direct = 0; direct < 2; direct++) {
    static const uint64_t at[] = {QT_BLOCKS, QT_BLOCKS + 1, QT_BLOCKS + 100, UINT64_MAX / 4096, 5};
    vecdb_file *file = open_file(f, direct ? VECDB_OPEN_DIRECT : VECDB_OPEN_READ);
    vecdb_read_queue *queue = open_queue(f, file, 8);
    vecdb_read reads[VDB_COUNT(at)];
    for (size_t i = 0; i < VDB_COUNT(at); i++) {
      vdb_read_set(&reads[i], slot(f, i), VECDB_BLOCK, at[i] * VECDB_BLOCK);
      queue->start(queue, &reads[i]);
    }
    for (size_t i = VDB_COUNT(at); i-- > 0;) {
      queue->wait(queue, &reads[i]);
      if (at[i] == 5)
        assert_int_equal(reads[i].error, 0);
      else
        assert_int_not_equal(reads[i].error, 0);
    }
    assert_memory_equal(slot(f, 4), f->bytes + 5 * VECDB_BLOCK, VECDB_BLOCK);
    queue->close(queue);
    f->vfs->close(file);
  }
}

struct handed {
  struct fixture *f;
  vecdb_read_queue *queue;
  uint64_t seed;
};

static void *use_elsewhere(void *arg) {
  struct handed *h = arg;
  random_reads(h->f, h->queue, true, h->seed);
  return NULL;
}

static void test_other_threads(void **state) {
  struct fixture *f = *state;
  vecdb_file *file = open_file(f, VECDB_OPEN_DIRECT);
  vecdb_read_queue *queue = open_queue(f, file, 32);
  for (uint64_t i = 0; i < 4; i++) {
    struct handed h = {f, queue, i};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, use_elsewhere, &h), 0);
    pthread_join(thread, NULL);
    random_reads(f, queue, true, 9);
  }
  queue->close(queue);
  f->vfs->close(file);
}

/* Descriptors are used up: queues are made all the same, and read. */
static void test_no_descriptor(void **state) {
  struct fixture *f = *state;
  vecdb_file *file = open_file(f, VECDB_OPEN_DIRECT);
  struct rlimit old, none;
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
  none = old;
  none.rlim_cur = 0;
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
  vecdb_read_queue *queue = NULL;
  int rc = vdb_queue_open(&f->mem, file, 8, &queue);
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
  assert_int_equal(rc, 0);
  random_reads(f, queue, true, 3);
  queue->close(queue);
  f->vfs->close(file);
}

/* One read of many fails; the others do not. */
static void test_fault(void **state) {
  struct fixture *f = *state;
  vecdb_file *file = open_file(f, VECDB_OPEN_DIRECT);
  vecdb_read_queue *queue = open_queue(f, file, 8);
  for (uint64_t nth = 1; nth <= 8; nth++) {
    struct simdisk_fault fault = {.kinds = SIMDISK_READ, .nth = nth, .error = ENOMEDIUM};
    vecdb_read reads[8];
    simdisk_set_fault(f->disk, &fault);
    for (size_t i = 0; i < 8; i++) {
      vdb_read_set(&reads[i], slot(f, i), VECDB_BLOCK, i * VECDB_BLOCK);
      queue->start(queue, &reads[i]);
    }
    unsigned failed = 0;
    for (size_t i = 0; i < 8; i++) {
      queue->wait(queue, &reads[i]);
      assert_true(reads[i].error == 0 || reads[i].error == ENOMEDIUM);
      failed += reads[i].error != 0;
    }
    assert_int_equal(failed, 1);
  }
  simdisk_set_fault(f->disk, NULL);
  vecdb_read uneven = {.buf = slot(f, 0), .n = 100};
  queue->start(queue, &uneven);
  queue->wait(queue, &uneven);
  assert_int_equal(uneven.error, EINVAL); /* the simulated disk holds callers to whole blocks */
  queue->close(queue);
  f->vfs->close(file);
}

/* A table without queues, out of memory for the plain one. */
static void test_no_memory(void **state) {
  struct fixture *f = *state;
  vecdb_file *file = open_file(f, VECDB_OPEN_READ);
  struct memfault memory;
  struct vdb_mem mem;
  vecdb_read_queue *queue = (vecdb_read_queue *)&memory;
  memfault_init(&memory);
  vdb_mem_init(&mem, &memory.table, 0);
  memfault_fail(&memory, 1, true);
  assert_int_equal(vdb_queue_open(&mem, file, 8, &queue), ENOMEM);
  assert_null(queue);
  f->vfs->close(file);
}

/* What the kernel may answer. */
static void test_advance(void **state) {
  (void)state;
  uint8_t buf[8192];
  vecdb_read r;
  vdb_read_set(&r, buf, 8192, 0);
  assert_true(vdb_read_advance(&r, 8192, 1));
  assert_int_equal(r.error, 0);
  vdb_read_set(&r, buf, 8192, 0);
  assert_false(vdb_read_advance(&r, 5000, 1)); /* short: the rest is asked for */
  assert_int_equal(r.got, 5000);
  assert_false(vdb_read_advance(&r, -EINTR, 1));
  assert_false(vdb_read_advance(&r, -EAGAIN, 1));
  assert_true(vdb_read_advance(&r, 3192, 1));
  assert_int_equal(r.error, 0);
  vdb_read_set(&r, buf, 8192, 0);
  assert_false(vdb_read_advance(&r, 5000, 4096)); /* a direct rest starts at a block */
  assert_int_equal(r.got, 4096);
  assert_true(vdb_read_advance(&r, 904, 4096)); /* and again no whole block: the end */
  assert_int_equal(r.error, EIO);
  vdb_read_set(&r, buf, 8192, 0);
  assert_true(vdb_read_advance(&r, 0, 1));
  assert_int_equal(r.error, EIO);
  vdb_read_set(&r, buf, 8192, 0);
  assert_false(vdb_read_advance(&r, 4096, 1));
  assert_true(vdb_read_advance(&r, -ENOMEM, 1));
  assert_int_equal(r.error, ENOMEM);
  vdb_read_set(&r, buf, 8192, 0);
  unsigned tries = 0; /* not for ever */
  while (!vdb_read_advance(&r, tries % 2 ? -EINTR : -EAGAIN, 1))
    tries++;
  assert_in_range(tries, 10, 100000);
  assert_int_not_equal(r.error, 0);
  vdb_read_set(&r, buf, 0, 0);
  assert_true(vdb_read_advance(&r, 0, 1));
  assert_int_equal(r.error, 0);
}

/* A file with sections that start at blocks, read in pieces. */
static void test_sections(void **state) {
  struct fixture *f = *state;
  enum { TAG = VDB_TAG('T', 'E', 'S', 'T'), BYTES = 8 * 4096 };
  struct vdb_env env;
  vecdb_error err;
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.vfs = f->vfs;
  assert_int_equal(vdb_env_init(&env, &options, false, &err), VECDB_OK);
  struct vdb_blob_writer *w;
  struct vdb_blob_id id;
  struct vdb_blob *blob;
  assert_int_equal(vdb_blob_create(&env, f->folder, VDB_BLOB_INDEX, 3, &w, &err), VECDB_OK);
  struct vdb_sect_writer *out = vdb_blob_sections(w);
  for (uint32_t number = 0; number < 4; number++) {
    if (number != 2)
      assert_int_equal(out->align(out, &err), VECDB_OK);
    assert_int_equal(out->begin(out, TAG, number, &err), VECDB_OK);
    size_t n = number == 1 ? 100 : BYTES; /* so that 2, not aligned, starts off a block */
    assert_int_equal(out->append(out, f->bytes + number * BYTES, n, &err), VECDB_OK);
    assert_int_equal(out->end(out, &err), VECDB_OK);
  }
  assert_int_equal(vdb_blob_finish(w, &id, &err), VECDB_OK);
  assert_int_equal(vdb_blob_open(&env, f->folder, VDB_BLOB_INDEX, &id, true, &blob, &err), 0);
  const struct vdb_sect_reader *in = vdb_blob_reader(blob);
  struct vdb_sect_source *source;
  assert_int_equal(in->source(in, TAG, 9, &source, &err), VECDB_OK);
  assert_null(source);
  assert_int_equal(in->source(in, TAG, 2, &source, &err), VECDB_ERR_CORRUPT);
  assert_null(source);
  assert_int_equal(in->source(in, TAG, 3, &source, &err), VECDB_OK);
  assert_int_equal(source->length, BYTES);
  vecdb_read_queue *queue;
  vecdb_read reads[8];
  assert_int_equal(source->queue(source, 4, &queue), 0);
  for (size_t i = 0; i < 8; i++) {
    vdb_read_set(&reads[i], slot(f, i), VECDB_BLOCK, source->offset + i * VECDB_BLOCK);
    queue->start(queue, &reads[i]);
  }
  for (size_t i = 0; i < 8; i++) {
    queue->wait(queue, &reads[i]);
    assert_int_equal(reads[i].error, 0);
  }
  assert_memory_equal(f->memory, f->bytes + 3 * BYTES, BYTES);
  queue->close(queue);
  source->close(source);
  vdb_blob_close(blob);
  char path[300];
  assert_int_equal(vdb_blob_path(path, sizeof path, f->folder, VDB_BLOB_INDEX, 3, &err), 0);
  assert_int_equal(f->vfs->remove(f->vfs, path), 0);
  assert_int_equal(atomic_load(&env.mem.used), 0);
  vdb_env_fini(&env);
}

#define CONTRACT(setup)                                                     \
  cmocka_unit_test_setup_teardown(test_reads, setup, teardown),             \
      cmocka_unit_test_setup_teardown(test_past_the_end, setup, teardown),  \
      cmocka_unit_test_setup_teardown(test_other_threads, setup, teardown), \
      cmocka_unit_test_setup_teardown(test_sections, setup, teardown)

int main(int argc, char **argv) {
  const struct CMUnitTest posix[] = {
      CONTRACT(setup_posix),
      cmocka_unit_test_setup_teardown(test_no_descriptor, setup_posix, teardown),
  };
  const struct CMUnitTest mem[] = {
      CONTRACT(setup_mem),
      cmocka_unit_test_setup_teardown(test_no_memory, setup_mem, teardown),
  };
  const struct CMUnitTest sim[] = {
      CONTRACT(setup_sim),
      cmocka_unit_test_setup_teardown(test_fault, setup_sim, teardown),
      cmocka_unit_test(test_advance),
  };
  if (argc > 0 && strstr(argv[0], "uring/") && !vdb_uring_works())
    printf("skipped: the kernel gives no io_uring\n"); /* what stands in for it is tested then */
  int failed = cmocka_run_group_tests_name("queue_posix", posix, NULL, NULL);
  failed += cmocka_run_group_tests_name("queue_mem", mem, NULL, NULL);
  return failed + cmocka_run_group_tests_name("queue_simdisk", sim, NULL, NULL);
}
