/*
 * fuzz_inverted.c - sections of inverted indexes: whatever they hold, one that opens keeps to its
 * rows, offers each at most once, and ends. Input: u8 rows; per section, in the order below, u16
 * length (65535: no such section) and bytes; the rest are the pairs of a query, which are sorted.
 */
#include "base/bitmap.h"
#include "base/bytes.h"
#include "sparse/inverted.h"
#include "sparse/inverted_format.h"
#include "unit/attr_gen.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FUZZ_SECTIONS = 3, FUZZ_PAIRS = 64 };

static const uint32_t fuzz_tags[FUZZ_SECTIONS] = {VDB_INVERTED_INDICES, VDB_INVERTED_BEGINS,
                                                  VDB_INVERTED_POSTINGS};

struct fuzz_reader {
  struct vdb_sect_reader reader;
  uint8_t *data[FUZZ_SECTIONS];
  size_t n[FUZZ_SECTIONS];
};

static int fuzz_find(const struct vdb_sect_reader *r, uint32_t tag, uint32_t number, bool bulk,
                     const void **data, size_t *n, vecdb_error *err) {
  const struct fuzz_reader *f = (const struct fuzz_reader *)r;
  (void)number;
  (void)bulk;
  (void)err;
  *data = NULL;
  for (size_t i = 0; i < FUZZ_SECTIONS; i++)
    if (fuzz_tags[i] == tag && f->data[i]) {
      *data = f->data[i];
      *n = f->n[i];
    }
  return VECDB_OK;
}

/* Pairs with ascending indices. */
static size_t fuzz_query(struct vdb_reader *in, vecdb_sparse_pair *pairs) {
  size_t n = 0;
  uint32_t last = 0;
  while (n < FUZZ_PAIRS && vdb_reader_left(in) >= 2) {
    uint32_t step = vdb_read_u8(in);
    float value = (float)(int8_t)vdb_read_u8(in);
    last += step + (n > 0);
    pairs[n++] = (vecdb_sparse_pair){last, value};
  }
  return n;
}

static void fuzz_search(const struct vdb_inverted *x, uint32_t rows, struct vdb_reader *in) {
  vecdb_sparse_pair pairs[FUZZ_PAIRS];
  vecdb_sparse query = {pairs, fuzz_query(in, pairs)};
  uint64_t offsets[257] = {0};
  struct vdb_column empty = {.data = (const uint8_t *)offsets, .offsets = offsets,
                             .type = VECDB_SPARSE_VECTOR};
  struct vdb_near found[256];
  uint64_t seen[4] = {0}, allow[4] = {0x5555555555555555, ~(uint64_t)0, 0, 7};
  struct vdb_mem mem;
  vecdb_error err;
  vdb_mem_init(&mem, NULL, 0);
  for (int filtered = 0; filtered < 2; filtered++) {
    struct vdb_search s = {.mem = &mem, .sparse = &query, .top = {found, 256, 0}};
    s.allow = filtered ? allow : NULL;
    if (vdb_inverted_search(x, &empty, &s, &err) != VECDB_OK || s.top.n > rows)
      abort();
    memset(seen, 0, sizeof seen);
    for (size_t i = 0; i < s.top.n; i++) {
      if (found[i].row >= rows || vdb_bit_get(seen, found[i].row))
        abort();
      vdb_bit_set(seen, found[i].row);
    }
  }
  if (vdb_inverted_matches(x, &empty, NULL, NULL) && x->n_indices)
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct vdb_reader in = vdb_reader_of(data, size);
  struct fuzz_reader f = {.reader = {.find = fuzz_find}};
  uint32_t rows = vdb_read_u8(&in) + 1u;
  for (size_t i = 0; i < FUZZ_SECTIONS; i++) {
    f.n[i] = vdb_read_u16(&in);
    const void *bytes = f.n[i] == UINT16_MAX ? NULL : vdb_read_bytes(&in, f.n[i]);
    if (bytes)
      f.data[i] = gen_exact(bytes, f.n[i]);
  }
  struct vdb_inverted x;
  vecdb_error err;
  int rc = vdb_inverted_open(&f.reader, 0, rows, f.n[2] / 8, &x, &err);
  if (rc == VECDB_OK)
    fuzz_search(&x, rows, &in);
  else if (rc != VECDB_ERR_CORRUPT)
    abort();
  for (size_t i = 0; i < FUZZ_SECTIONS; i++)
    free(f.data[i]);
  return 0;
}
