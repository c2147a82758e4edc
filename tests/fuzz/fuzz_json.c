/*
 * fuzz_json.c - any bytes as the text of a JSON field: what is refused has a byte in its message or
 * is no UTF-8; what is taken becomes compact, which is JSON again and stays as it is. The first
 * byte chooses a filter that looks into both, as JSON and as a VARCHAR, whatever they are.
 */
#include "attr/json.h"
#include "unit/filter_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct vdb_field fuzz_json_field = {.name = "j", .type = VECDB_JSON,
                                                 .max_length = VECDB_MAX_JSON};
static const char *const fuzz_json_filters[] = {
    "j['a'] == 1 or s['a'] > 0.5",
    "j['a']['b'] like 'a%' or s['a'][0] in ['a', 'b']",
    "exists j[0][1] or s[2]['']",
    "json_contains_all(j, [1, 2, 3]) or json_contains_any(s['a'], ['x', 'y'])",
    "array_length(j) > 2 or j % 3 == 1 or j in [9007199254740993, 0.5]",
};

static void fuzz_json_filter(struct vdb_mem *mem, const char *text, struct vdb_bytes bytes) {
  vecdb_filter source = {text, strlen(text), NULL, 0};
  struct vdb_filter *filter;
  struct vdb_column columns[FX_FIELDS] = {0};
  vecdb_error err;
  columns[FX_S] = (struct vdb_column){.refs = &bytes, .type = VECDB_VARCHAR};
  columns[FX_J] = (struct vdb_column){.refs = &bytes, .type = VECDB_JSON};
  FX_CHECK(vdb_filter_compile(mem, &fx_schema, &source, &filter, &err) == VECDB_OK);
  vdb_filter_row(filter, columns, 0);
  vdb_filter_free(mem, filter);
}

/* A copy of exactly this size, for the address sanitizer. */
static uint8_t *fuzz_json_copy(const uint8_t *data, size_t size) {
  uint8_t *copy = malloc(size + !size);
  FX_CHECK(copy);
  memcpy(copy, data, size);
  return copy;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct vdb_mem mem;
  vecdb_error err = {0};
  if (size < 1 || size > VECDB_MAX_JSON)
    return 0;
  vdb_mem_init(&mem, NULL, 0);
  struct vdb_json_keys keys = {&mem, NULL, 0};
  const char *filter = fuzz_json_filters[data[0] % VDB_COUNT(fuzz_json_filters)];
  uint8_t *text = fuzz_json_copy(data + 1, size - 1);
  size_t n = size - 1;
  fuzz_json_filter(&mem, filter, (struct vdb_bytes){text, n});
  int rc = vdb_json_compact(&keys, &fuzz_json_field, text, &n, 0, &err);
  if (rc) {
    FX_CHECK(rc == VECDB_ERR_UTF8 || rc == VECDB_ERR_JSON || rc == VECDB_ERR_LIMIT);
    FX_CHECK(rc == VECDB_ERR_UTF8 || strstr(err.message, " at byte "));
  } else {
    uint8_t *again = fuzz_json_copy(text, n);
    size_t n_again = n;
    fuzz_json_filter(&mem, filter, (struct vdb_bytes){again, n});
    FX_CHECK(vdb_json_check(&fuzz_json_field, text, n, 0, &err) == VECDB_OK);
    FX_CHECK(vdb_json_compact(&keys, &fuzz_json_field, again, &n_again, 0, &err) == VECDB_OK);
    FX_CHECK(n == n_again && memcmp(text, again, n) == 0);
    free(again);
  }
  free(text);
  vdb_json_keys_fini(&keys);
  FX_CHECK(mem.used == 0);
  return 0;
}
