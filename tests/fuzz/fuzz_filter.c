/*
 * fuzz_filter.c - any bytes as a filter, over a schema with a field of every type and a few rows.
 * What compiles must give the same rows by row and by block, and must describe itself; what does
 * not must say where. The first byte chooses the number of rows.
 */
#include <stdio.h>
#include <stdlib.h>

#include "unit/filter_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const int64_t fuzz_filter_ints[] = {1, -2, 3};
static const vecdb_string fuzz_filter_texts[] = {{"a", 1}, {"ab", 2}};
static const vecdb_param fuzz_filter_params[] = {
    {"i", {VECDB_INT64, 0, {.integer = 3}, 0}},
    {"d", {VECDB_DOUBLE, 0, {.number = 0.1}, 0}},
    {"b", {VECDB_BOOL, 0, {.boolean = true}, 0}},
    {"s", {VECDB_VARCHAR, 2, {.data = "a%"}, 0}},
    {"l", {VECDB_ARRAY, 3, {.data = fuzz_filter_ints}, VECDB_INT64}},
    {"t", {VECDB_ARRAY, 2, {.data = fuzz_filter_texts}, VECDB_VARCHAR}},
    {"n", {0, 0, {.integer = 0}, 0}},
};

enum { FUZZ_FILTER_ROWS = 130 };
static struct fx_rows fuzz_filter_rows;
static struct fx_store fuzz_filter_store;
static struct vdb_mem fuzz_filter_mem;

static void fuzz_filter_bitmap(const struct vdb_filter *filter, size_t n, bool indexed) {
  uint64_t bits[FUZZ_FILTER_ROWS / 64 + 1];
  struct vdb_filter_rows rows = {fuzz_filter_rows.columns, NULL, n};
  if (indexed)
    rows.indexes = (const struct vdb_attr_index *const *)fuzz_filter_store.indexes;
  bool stopped = false, exact = false;
  vecdb_error err;
  FX_CHECK(vdb_filter_bitmap(&fuzz_filter_mem, filter, &rows, NULL, NULL, bits, &stopped, &err) ==
           VECDB_OK);
  size_t count = 0;
  for (size_t i = 0; i < n; i++) {
    FX_CHECK(vdb_bit_get(bits, i) == vdb_filter_row(filter, rows.columns, i));
    count += vdb_bit_get(bits, i);
  }
  double share = vdb_filter_estimate(filter, &rows, &exact);
  FX_CHECK(share >= 0 && share <= 1);
  FX_CHECK(!exact || n == 0 || (size_t)(share * (double)n + 0.5) == count);
}

/* What it says of itself compiles again, unless it is cut, to something that says the same. */
static void fuzz_filter_describe(const struct vdb_filter *filter) {
  struct vdb_writer first = VDB_WRITER(&fuzz_filter_mem);
  vdb_filter_describe(filter, &fx_schema, &first);
  vdb_write_u8(&first, 0);
  const char *text = (const char *)first.data;
  if (!strstr(text, "...") && !strstr(text, "unknown")) {
    vecdb_filter source = {text, first.n - 1, NULL, 0};
    struct vdb_filter *again = NULL;
    vecdb_error err;
    int rc = vdb_filter_compile(&fuzz_filter_mem, &fx_schema, &source, &again, &err);
    FX_CHECK(rc == VECDB_OK || rc == VECDB_ERR_LIMIT);
    if (rc == VECDB_OK)
      for (size_t i = 0; i < FUZZ_FILTER_ROWS; i++)
        FX_CHECK(vdb_filter_row(again, fuzz_filter_rows.columns, i) ==
                 vdb_filter_row(filter, fuzz_filter_rows.columns, i));
    vdb_filter_free(&fuzz_filter_mem, again);
  }
  vdb_writer_free(&first);
}

/* The parameters that the text seems to name: others would be refused. How many. */
static size_t fuzz_filter_named(const char *text, size_t n, vecdb_param *out) {
  size_t n_out = 0;
  for (size_t i = 0; i < VDB_COUNT(fuzz_filter_params); i++) {
    char braced[64];
    int length = snprintf(braced, sizeof braced, "{%s}", fuzz_filter_params[i].name);
    if (memmem(text, n, braced, (size_t)length))
      out[n_out++] = fuzz_filter_params[i];
  }
  return n_out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (!fuzz_filter_rows.values) {
    vdb_mem_init(&fuzz_filter_mem, NULL, 0);
    fx_rows_init(&fuzz_filter_rows, FUZZ_FILTER_ROWS, 7);
    fx_store_init(&fuzz_filter_store, &fuzz_filter_mem, &fuzz_filter_rows, 9);
  }
  if (size < 2)
    return 0;
  uint64_t before = fuzz_filter_mem.used;
  size_t n = data[0] % (FUZZ_FILTER_ROWS + 1u);
  const char *text = (const char *)data + 1;
  vecdb_param params[VDB_COUNT(fuzz_filter_params)];
  vecdb_filter source = {text, size - 1, params, fuzz_filter_named(text, size - 1, params)};
  struct vdb_filter *filter = NULL;
  vecdb_error err;
  int rc = vdb_filter_compile(&fuzz_filter_mem, &fx_schema, &source, &filter, &err);
  if (rc) {
    /* A parameter that is not used has no place in the text. */
    FX_CHECK(!filter && err.code == rc && err.position < (int64_t)size);
    FX_CHECK(err.position >= 0 || rc == VECDB_ERR_FILTER_PARAM);
    FX_CHECK(vdb_utf8_valid(err.message, strlen(err.message)));
  } else {
    fuzz_filter_bitmap(filter, FUZZ_FILTER_ROWS, true);
    fuzz_filter_bitmap(filter, n, false);
    if (filter)
      fuzz_filter_describe(filter);
  }
  vdb_filter_free(&fuzz_filter_mem, filter);
  FX_CHECK(fuzz_filter_mem.used == before);
  return 0;
}
