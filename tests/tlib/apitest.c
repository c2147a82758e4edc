/* apitest.c - helpers of the tests of the public interface; see apitest.h. */
#include "tlib/apitest.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

vecdb_error at_err;

void at_expect(int code, int rc, const char *call, const char *file, int line) {
  if (rc != code) {
    print_error("%s\n  answered %s", call, vecdb_status_name(rc));
    if (code != VECDB_OK)
      print_error(", not %s", vecdb_status_name(code));
    print_error("%s%s\n", rc ? ": " : "", rc ? at_err.message : "");
    _fail(file, line);
  }
  if (rc == VECDB_OK)
    return;
  if (at_err.code != rc || at_err.message[0] == '\0' ||
      !memchr(at_err.message, '\0', sizeof at_err.message)) {
    print_error("%s\n  answered %s with record %d '%.100s'\n", call, vecdb_status_name(rc),
                at_err.code, at_err.message);
    _fail(file, line);
  }
}

char *at_folder(void) {
  const char *base = getenv("TMPDIR");
  char *path = malloc(300);
  assert_non_null(path);
  snprintf(path, 300, "%.250s/vecdb-test-XXXXXX", base && *base ? base : "/tmp");
  assert_non_null(mkdtemp(path));
  return path;
}

static void at_remove_tree(const char *path) {
  DIR *dir = opendir(path);
  struct dirent *entry;
  while (dir && (entry = readdir(dir)) != NULL) {
    char inner[1024];
    struct stat st;
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
      continue;
    snprintf(inner, sizeof inner, "%.700s/%.300s", path, entry->d_name);
    if (lstat(inner, &st) == 0 && S_ISDIR(st.st_mode))
      at_remove_tree(inner);
    else
      unlink(inner);
  }
  if (dir)
    closedir(dir);
  rmdir(path);
}

void at_remove(char *path) {
  at_remove_tree(path);
  free(path);
}

const char *at_path(const char *folder, const char *name) {
  static char paths[4][1024];
  static unsigned next;
  char *path = paths[next++ % 4];
  snprintf(path, sizeof paths[0], "%.600s/%.300s", folder, name);
  return path;
}

void at_each_file(const char *folder, void (*visit)(void *arg, const char *path), void *arg) {
  DIR *dir = opendir(folder);
  struct dirent *entry;
  assert_non_null(dir);
  while ((entry = readdir(dir)) != NULL) {
    char path[1024];
    struct stat st;
    snprintf(path, sizeof path, "%.700s/%.300s", folder, entry->d_name);
    if (stat(path, &st) == 0 && S_ISREG(st.st_mode))
      visit(arg, path);
  }
  closedir(dir);
}

unsigned char *at_read(const char *path, size_t *n) {
  FILE *file = fopen(path, "rb");
  assert_non_null(file);
  assert_int_equal(fseek(file, 0, SEEK_END), 0);
  long end = ftell(file);
  assert_true(end >= 0);
  rewind(file);
  unsigned char *data = malloc((size_t)end + 1);
  assert_non_null(data);
  *n = (size_t)end;
  assert_int_equal(fread(data, 1, *n, file), *n);
  fclose(file);
  return data;
}

void at_write(const char *path, const void *data, size_t n) {
  FILE *file = fopen(path, "wb");
  assert_non_null(file);
  assert_int_equal(fwrite(data, 1, n, file), n);
  assert_int_equal(fclose(file), 0);
}

bool at_exists(const char *path) {
  struct stat st;
  return stat(path, &st) == 0;
}

uint32_t at_random(uint32_t *state) {
  uint32_t x = *state += 0x9e3779b9u;
  x = (x ^ (x >> 16)) * 0x85ebca6bu;
  x = (x ^ (x >> 13)) * 0xc2b2ae35u;
  return x ^ (x >> 16);
}

double at_unit(uint32_t *state) { return at_random(state) / 4294967296.0; }

static float at_float(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

float at_nan(void) { return at_float(0x7fc00000); }
float at_infinity(void) { return at_float(0x7f800000); }

vecdb *at_open(const char *path, const vecdb_options *options) {
  vecdb *db;
  at_ok(vecdb_open(path, options, &db, &at_err));
  assert_non_null(db);
  return db;
}

void at_close(vecdb *db) { at_ok(vecdb_close(db, &at_err)); }

vecdb_collection *at_small(vecdb *db, const char *name) {
  const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = "n", .type = VECDB_INT32},
      {.name = "s", .type = VECDB_VARCHAR, .max_length = 20, .flags = VECDB_NULLABLE},
      {.name = "t", .type = VECDB_ARRAY, .element_type = VECDB_INT32, .max_capacity = 4,
       .flags = VECDB_HAS_DEFAULT,
       .default_value = {.type = VECDB_ARRAY, .element_type = VECDB_INT32}},
      {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = 4, .metric = VECDB_L2},
  };
  vecdb_schema schema = VECDB_SCHEMA_INIT;
  schema.fields = fields;
  schema.n_fields = AT_COUNT(fields);
  vecdb_collection *coll;
  at_ok(vecdb_collection_create(db, name, &schema, &coll, &at_err));
  assert_non_null(coll);
  return coll;
}

void at_put(vecdb_collection *coll, int64_t first, uint32_t n) {
  int64_t *ids = calloc(n, sizeof *ids);
  int32_t *numbers = calloc(n, sizeof *numbers);
  static const char *const texts[] = {"s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9"};
  const char **s = calloc(n, sizeof *s);
  uint8_t *valid = calloc(n, 1);
  float(*v)[4] = calloc(n, sizeof *v);
  for (uint32_t i = 0; i < n; i++) {
    ids[i] = first + i;
    uint64_t id = (uint64_t)ids[i];
    numbers[i] = (int32_t)(id % 100);
    s[i] = texts[id % 10];
    valid[i] = id % 5 != 4;
    v[i][0] = (float)ids[i];
    v[i][1] = (float)(id % 7);
    v[i][3] = 1;
  }
  const vecdb_column columns[] = {
      {.field = "id", .data = ids},
      {.field = "n", .data = numbers},
      {.field = "s", .data = s, .valid = valid},
      {.field = "v", .data = v, .dim = 4},
  };
  vecdb_batch batch = VECDB_BATCH_INIT;
  batch.columns = columns;
  batch.n_columns = AT_COUNT(columns);
  batch.n_rows = n;
  at_ok(vecdb_upsert(coll, &batch, NULL, &at_err));
  free(ids);
  free(numbers);
  free(s);
  free(valid);
  free(v);
}

void at_delete(vecdb_collection *coll, int64_t first, uint32_t n) {
  int64_t *ids = calloc(n, sizeof *ids);
  for (uint32_t i = 0; i < n; i++)
    ids[i] = first + i;
  vecdb_keys keys = {.integers = ids, .n = n};
  at_ok(vecdb_delete(coll, &keys, NULL, &at_err));
  free(ids);
}

uint64_t at_count(vecdb_collection *coll, const char *filter) {
  vecdb_filter f = {.text = filter};
  uint64_t n = UINT64_MAX;
  at_ok(vecdb_count(coll, &f, &n, &at_err));
  return n;
}

int64_t *at_ids(vecdb_collection *coll, const char *filter, size_t *n) {
  static const char *const none[] = {NULL};
  vecdb_query_params params = VECDB_QUERY_PARAMS_INIT;
  params.filter.text = filter;
  params.limit = UINT32_MAX;
  params.fields = none;
  vecdb_rows *rows;
  at_ok(vecdb_query(coll, &params, &rows, &at_err));
  *n = vecdb_rows_count(rows);
  int64_t *ids = calloc(*n + 1, sizeof *ids);
  for (size_t i = 0; i < *n; i++)
    ids[i] = vecdb_rows_value(rows, i, 0).as.integer;
  vecdb_rows_free(rows);
  return ids;
}

static void at_hash(uint64_t *hash, const void *data, size_t n) {
  const unsigned char *bytes = data;
  for (size_t i = 0; i < n; i++)
    *hash = (*hash ^ bytes[i]) * 0x100000001b3u;
}

/* Bytes of one element of a scalar type or, for vectors, of the whole. */
static size_t at_bytes(int32_t type, uint32_t dim) {
  switch (type) {
  case VECDB_INT16:
    return 2;
  case VECDB_INT32:
  case VECDB_FLOAT:
    return 4;
  case VECDB_INT64:
  case VECDB_DOUBLE:
    return 8;
  case VECDB_FLOAT_VECTOR:
    return 4 * (size_t)dim;
  case VECDB_FLOAT16_VECTOR:
  case VECDB_BFLOAT16_VECTOR:
    return 2 * (size_t)dim;
  case VECDB_INT8_VECTOR:
    return dim;
  case VECDB_BINARY_VECTOR:
    return dim / 8;
  default:
    return 1;
  }
}

static void at_hash_value(uint64_t *hash, const vecdb_value *v) {
  at_hash(hash, &v->type, sizeof v->type);
  at_hash(hash, &v->length, sizeof v->length);
  if (v->type == VECDB_BOOL)
    at_hash(hash, &v->as.boolean, 1);
  else if (v->type != 0 && v->type < VECDB_VARCHAR)
    at_hash(hash, &v->as, sizeof v->as);
  else if (v->type == VECDB_ARRAY && v->element_type == VECDB_VARCHAR)
    for (uint32_t i = 0; i < v->length; i++) {
      const vecdb_string *s = (const vecdb_string *)v->as.data + i;
      at_hash(hash, &s->length, sizeof s->length);
      at_hash(hash, s->data, s->length);
    }
  else if (v->type == VECDB_ARRAY)
    at_hash(hash, v->as.data, v->length * at_bytes(v->element_type, 0));
  else if (v->type == VECDB_VARCHAR)
    at_hash(hash, v->as.data, v->length);
  else if (v->type)
    at_hash(hash, v->as.data, at_bytes(v->type, v->length));
}

struct at_content at_content(vecdb_collection *coll) {
  struct at_content content = {0, 0xcbf29ce484222325u};
  vecdb_query_params params = VECDB_QUERY_PARAMS_INIT;
  params.limit = UINT32_MAX;
  vecdb_rows *rows;
  at_ok(vecdb_query(coll, &params, &rows, &at_err));
  content.rows = vecdb_rows_count(rows);
  for (size_t row = 0; row < content.rows; row++)
    for (size_t c = 0; c < vecdb_rows_n_fields(rows); c++) {
      vecdb_value v = vecdb_rows_value(rows, row, c);
      at_hash_value(&content.hash, &v);
    }
  vecdb_rows_free(rows);
  return content;
}

void at_same(struct at_content before, struct at_content after) {
  assert_int_equal(after.rows, before.rows);
  assert_true(after.hash == before.hash);
}

vecdb_search_params at_search(const float *query, uint32_t k, const char *filter) {
  vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
  params.k = k;
  params.queries = query;
  params.filter.text = filter;
  return params;
}
