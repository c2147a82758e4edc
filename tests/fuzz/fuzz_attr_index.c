/*
 * fuzz_attr_index.c - sections of scalar indexes: whatever they hold, an index that opens keeps to
 * its rows and counts what it marks. Input: u8 type, u8 rows; then per section, in the order below,
 * u16 length (65535: no such section) and bytes; the rest is used for bounds.
 */
#include "attr/attr_index_format.h"
#include "base/bitmap.h"
#include "unit/attr_gen.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FUZZ_SECTIONS = 8, FUZZ_BOUNDS = 8 };

static const uint32_t fuzz_tags[FUZZ_SECTIONS] = {VDB_AIX_HEADER,  VDB_AIX_VALUES,
                                                  VDB_AIX_OFFSETS, VDB_AIX_STARTS,
                                                  VDB_AIX_ROWS,    VDB_AIX_BITMAPS,
                                                  VDB_AIX_APART,   VDB_AIX_ELSE};

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

/* Asks for one range; bounds of 16 bytes serve every type. */
static void fuzz_ask(const struct vdb_attr_index *x, size_t n, const uint8_t *bounds,
                     int32_t type) {
  size_t width = vdb_type_width(type);
  struct vdb_bytes low = {bounds, width ? width : bounds[0] % 8u};
  struct vdb_bytes high = {bounds + 8, width ? width : bounds[8] % 8u};
  uint64_t bits[4];
  for (unsigned form = 0; form < 16; form++) {
    struct vdb_attr_range range = {form & 4 ? &low : NULL, form & 8 ? &high : NULL, form & 1,
                                   form & 2};
    memset(bits, 0, sizeof bits);
    vdb_attr_index_mark(x, range, bits);
    size_t marked = vdb_bits_count(bits, 256);
    if (marked > n || marked != vdb_bits_count(bits, n) || vdb_attr_index_count(x, range) > n)
      abort();
  }
}

/* Where nothing stands: as many rows as it says, but for rows that are listed twice. */
static void fuzz_nothing(const struct vdb_attr_index *x, size_t n) {
  uint64_t bits[4] = {0};
  size_t said;
  if (!vdb_attr_index_nothing(x, &said))
    return;
  vdb_attr_index_mark_nothing(x, bits);
  size_t marked = vdb_bits_count(bits, 256);
  if (said > n || marked < said || marked != vdb_bits_count(bits, n))
    abort();
}

static void fuzz_use(const struct vdb_attr_index *x, size_t n, struct vdb_reader in, int32_t type) {
  uint8_t bounds[16] = {0};
  size_t n_apart;
  const uint32_t *apart = vdb_attr_index_apart(x, &n_apart);
  if (vdb_attr_index_nulls(x) > n || n_apart > vdb_attr_index_nulls(x))
    abort();
  for (size_t i = 0; i < n_apart; i++)
    if (apart[i] >= n || (i > 0 && apart[i - 1] >= apart[i]))
      abort();
  fuzz_nothing(x, n);
  for (int i = 0; i < FUZZ_BOUNDS; i++) {
    const void *p = vdb_read_bytes(&in, sizeof bounds);
    if (p)
      memcpy(bounds, p, sizeof bounds);
    fuzz_ask(x, n, bounds, type);
    if (!p)
      return;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct vdb_reader in = vdb_reader_of(data, size);
  struct vdb_field field = {.name = "x"};
  struct fuzz_reader f = {.reader = {.find = fuzz_find}};
  field.type = vdb_read_u8(&in) % 8 + VECDB_BOOL;
  size_t n = vdb_read_u8(&in);
  for (size_t i = 0; i < FUZZ_SECTIONS; i++) {
    f.n[i] = vdb_read_u16(&in);
    const void *bytes = f.n[i] == UINT16_MAX ? NULL : vdb_read_bytes(&in, f.n[i]);
    if (bytes)
      f.data[i] = gen_exact(bytes, f.n[i]);
  }
  struct vdb_mem mem;
  struct vdb_attr_index *x;
  vecdb_error err = {0};
  vdb_mem_init(&mem, NULL, 0);
  int rc = vdb_attr_index_open(&mem, &f.reader, 0, &field, n, &x, &err);
  if (rc == VECDB_OK && x)
    fuzz_use(x, n, in, field.type);
  else if (x || (rc != VECDB_OK && rc != VECDB_ERR_CORRUPT))
    abort();
  vdb_attr_index_close(&mem, x);
  if (mem.used != 0)
    abort();
  for (size_t i = 0; i < FUZZ_SECTIONS; i++)
    free(f.data[i]);
  return 0;
}
