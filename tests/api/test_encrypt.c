/*
 * test_encrypt.c - encrypted databases through the public interface: nothing readable in any file
 * at any moment, also when the process is killed; wrong, missing and unwanted keys; other keys
 * while the database is used; readers, copies, DISK indexes, accounts of memory. In a build
 * without encryption: that it says so.
 *
 * CRYPT: yes
 */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tlib/apitest.h"

enum { DIM = 24, ROWS = 800 };

/* What must not be readable, and must be in the files of a plain database. */
static const char secret_text[] = "the marmot sleeps under seven stones";
static const char secret_field[] = "field_of_the_marmot";
static const char secret_coll[] = "collection_of_the_marmot";
static const int64_t secret_key = 0x5a4b3c2d1e0f6978;
static const float secret_vector[] = {3.25e7f, -1.75e-9f, 8.5e11f, -4.125e-3f};

/* ---- keys ---- */

struct host {
  char refused[32]; /* a name that it does not know */
  unsigned asked;
};

static int host_key(void *user, const char *key_id, uint8_t key[VECDB_KEY_BYTES]) {
  struct host *host = user;
  host->asked++;
  for (size_t i = 0; i < VECDB_KEY_BYTES; i++)
    key[i] = (uint8_t)((unsigned)key_id[0] * 7 + i);
  return strcmp(key_id, host->refused) == 0;
}

/* Wrapping as a device might do it, which the library knows nothing of. */
static int host_wrap(void *user, const char *key_id, const uint8_t data_key[VECDB_KEY_BYTES],
                     uint8_t *wrapped, size_t *n) {
  struct host *host = user;
  host->asked++;
  assert_true(*n >= VECDB_KEY_BYTES + 1);
  wrapped[0] = (uint8_t)key_id[0];
  for (size_t i = 0; i < VECDB_KEY_BYTES; i++)
    wrapped[i + 1] = data_key[i] ^ (uint8_t)(key_id[0] + 3);
  *n = VECDB_KEY_BYTES + 1;
  return strcmp(key_id, host->refused) == 0;
}

static int host_unwrap(void *user, const char *key_id, const uint8_t *wrapped, size_t n,
                       uint8_t data_key[VECDB_KEY_BYTES]) {
  struct host *host = user;
  host->asked++;
  if (n != VECDB_KEY_BYTES + 1 || wrapped[0] != (uint8_t)key_id[0])
    return 1;
  for (size_t i = 0; i < VECDB_KEY_BYTES; i++)
    data_key[i] = wrapped[i + 1] ^ (uint8_t)(key_id[0] + 3);
  return strcmp(key_id, host->refused) == 0;
}

static struct host host;

static const vecdb_encryption *keys_of(const char *name) {
  static vecdb_encryption e[4];
  static unsigned next;
  vecdb_encryption *out = &e[next++ % 4];
  *out = (vecdb_encryption){
      .size = sizeof *out, .key_id = name, .get_key = host_key, .user = &host};
  return out;
}

static vecdb_options options_of(const vecdb_encryption *e) {
  vecdb_options o = VECDB_OPTIONS_INIT;
  o.encryption = e;
  o.index_rows = 200;
  o.threads = 1;
  return o;
}

static bool can_encrypt(void) {
  vecdb_options o = options_of(keys_of("a"));
  vecdb *db;
  int rc = vecdb_open(":memory:", &o, &db, &at_err);
  if (rc == VECDB_OK)
    at_close(db);
  return rc == VECDB_OK;
}

/* ---- a database with secrets in it ---- */

static vecdb_collection *secret_create(vecdb *db, int32_t index) {
  vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = secret_field, .type = VECDB_VARCHAR, .max_length = 60},
      {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = DIM, .metric = VECDB_L2},
  };
  fields[2].index = (vecdb_index_params)VECDB_INDEX_PARAMS_INIT;
  fields[2].index.type = index;
  vecdb_schema schema = VECDB_SCHEMA_INIT;
  schema.fields = fields;
  schema.n_fields = AT_COUNT(fields);
  vecdb_collection *coll;
  at_ok(vecdb_collection_create(db, secret_coll, &schema, &coll, &at_err));
  return coll;
}

/* n rows: made ones, and the secret one among them. */
static int secret_put(vecdb_collection *coll, int64_t first, uint32_t n) {
  int64_t *ids = calloc(n, sizeof *ids);
  const char **texts = calloc(n, sizeof *texts);
  float(*v)[DIM] = calloc(n, sizeof *v);
  uint32_t seed = (uint32_t)first + 1;
  for (uint32_t i = 0; i < n; i++) {
    bool secret = i == n / 2;
    ids[i] = secret ? secret_key : first + i;
    texts[i] = secret ? secret_text : "nothing";
    for (int k = 0; k < DIM; k++)
      v[i][k] = secret ? secret_vector[k % 4] : (float)at_unit(&seed);
  }
  const vecdb_column columns[] = {{.field = "id", .data = ids},
                                  {.field = secret_field, .data = texts},
                                  {.field = "v", .data = v, .dim = DIM}};
  vecdb_batch batch = VECDB_BATCH_INIT;
  batch.columns = columns;
  batch.n_columns = AT_COUNT(columns);
  batch.n_rows = n;
  int rc = vecdb_upsert(coll, &batch, NULL, &at_err);
  free(ids);
  free(texts);
  free(v);
  return rc;
}

/* What of the secrets can be read, bit by bit in the order of `what`; and how many files. */
struct readable {
  unsigned found;
  unsigned files;
};

static void read_file(void *arg, const char *path) {
  const struct {
    const void *data;
    size_t n;
  } what[] = {{secret_text, sizeof secret_text - 1},
              {secret_field, sizeof secret_field - 1},
              {secret_coll, sizeof secret_coll - 1},
              {&secret_key, sizeof secret_key},
              {secret_vector, sizeof secret_vector}};
  struct readable *r = arg;
  size_t n;
  unsigned char *data = at_read(path, &n);
  for (size_t i = 0; i < AT_COUNT(what); i++)
    if (memmem(data, n, what[i].data, what[i].n))
      r->found |= 1u << i;
  r->files++;
  free(data);
}

static unsigned readable(const char *folder) {
  struct readable r = {0, 0};
  at_each_file(folder, read_file, &r);
  assert_true(r.files > 0);
  return r.found;
}

/* Everything that a database does with files; `look` is told the folder at each stand. */
static void live(const char *folder, const vecdb_encryption *e, void (*look)(const char *)) {
  vecdb_options o = options_of(e);
  vecdb *db = at_open(folder, &o);
  vecdb_collection *coll = secret_create(db, VECDB_INDEX_HNSW_SQ);
  at_ok(secret_put(coll, 0, ROWS));
  look(folder); /* in the log */
  at_ok(vecdb_flush_all(db, NULL, &at_err));
  at_ok(vecdb_compact(coll, NULL, &at_err));
  look(folder); /* in segments and indexes */
  at_delete(coll, 5, 30);
  at_ok(secret_put(coll, 10000, ROWS / 2));
  at_ok(vecdb_flush_all(db, NULL, &at_err));
  look(folder); /* deletes, too */
  vecdb_collection_release(coll);
  at_close(db);
  look(folder);
}

static unsigned plain_found;

static void look_plain(const char *folder) { plain_found |= readable(folder); }

static void look_secret(const char *folder) { assert_int_equal(readable(folder), 0); }

static void nothing_is_readable(void **state) {
  (void)state;
  char *plain = at_folder();
  live(plain, NULL, look_plain);
  assert_int_equal(plain_found, 31); /* the eyes are good */
  at_remove(plain);
  if (!can_encrypt())
    return;
  char *folder = at_folder();
  live(at_path(folder, "db"), keys_of("a"), look_secret);
  vecdb_options o = options_of(keys_of("a"));
  vecdb *db = at_open(at_path(folder, "db"), &o);
  at_ok(vecdb_backup(db, at_path(folder, "copy"), NULL, &at_err));
  at_close(db);
  look_secret(at_path(folder, "copy"));
  at_remove(folder);
}

/* ---- killed ---- */

/* Writes without an end, telling after each batch. */
static void kill_child(const char *path, int out) {
  vecdb_options o = options_of(keys_of("a"));
  o.seal_rows = 300;
  vecdb *db;
  vecdb_collection *coll;
  if (vecdb_open(path, &o, &db, &at_err) ||
      vecdb_collection_get(db, secret_coll, &coll, &at_err))
    _exit(2);
  for (int64_t i = 0;; i++) {
    char done = 1;
    if (secret_put(coll, i * 100, 100) || write(out, &done, 1) != 1)
      _exit(3);
    if (i % 5 == 4 && vecdb_rekey(db, NULL, VECDB_REKEY_NEW_DATA_KEY, &at_err))
      _exit(4);
  }
}

static void killed(void **state) {
  (void)state;
  if (!can_encrypt())
    return;
  char *folder = at_folder();
  char path[512];
  snprintf(path, sizeof path, "%s", at_path(folder, "db"));
  vecdb_options o = options_of(keys_of("a"));
  vecdb *db = at_open(path, &o);
  vecdb_collection_release(secret_create(db, VECDB_INDEX_AUTO));
  at_close(db);
  for (int round = 0; round < 4; round++) {
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
      kill_child(path, ends[1]);
    close(ends[1]);
    char done;
    int batches = 0;
    while (batches < 3 + 7 * round && read(ends[0], &done, 1) == 1)
      batches++;
    kill(child, SIGKILL);
    while (read(ends[0], &done, 1) == 1)
      batches++;
    close(ends[0]);
    waitpid(child, NULL, 0);
    look_secret(path);
    db = at_open(path, &o);
    vecdb_collection *coll;
    at_ok(vecdb_collection_get(db, secret_coll, &coll, &at_err));
    assert_true(at_count(coll, NULL) >= (uint64_t)batches * 99);
    at_ok(vecdb_check(db, NULL, NULL, NULL, &at_err));
    vecdb_collection_release(coll);
    at_close(db);
  }
  at_remove(folder);
}

/* ---- keys that do not fit ---- */

static void wrong_keys(void **state) {
  (void)state;
  if (!can_encrypt())
    return;
  char *folder = at_folder();
  vecdb_options right = options_of(keys_of("a")), wrong = right, none = options_of(NULL);
  vecdb *db = at_open(folder, &right);
  vecdb_collection *coll = at_small(db, "c");
  at_put(coll, 0, 500);
  struct at_content content = at_content(coll);
  vecdb_collection_release(coll);
  at_close(db);
  at_fails(VECDB_ERR_KEY, vecdb_open(folder, &none, &db, &at_err));
  assert_null(db);
  snprintf(host.refused, sizeof host.refused, "a");
  at_fails(VECDB_ERR_KEY, vecdb_open(folder, &right, &db, &at_err));
  host.refused[0] = '\0';
  vecdb_encryption other = *keys_of("a");
  other.get_key = NULL; /* another way of wrapping is another key */
  other.wrap = host_wrap;
  other.unwrap = host_unwrap;
  wrong.encryption = &other;
  at_fails(VECDB_ERR_KEY, vecdb_open(folder, &wrong, &db, &at_err));
  right.encryption = keys_of("z"); /* only new databases take the name */
  db = at_open(folder, &right);
  at_ok(vecdb_collection_get(db, "c", &coll, &at_err));
  at_same(content, at_content(coll));
  vecdb_collection_release(coll);
  at_close(db);
  size_t n;
  unsigned char *kept = at_read(at_path(folder, "KEYS"), &n);
  assert_int_equal(unlink(at_path(folder, "KEYS")), 0);
  at_fails(VECDB_ERR_KEY, vecdb_open(folder, &right, &db, &at_err));
  at_write(at_path(folder, "KEYS"), kept, n);
  db = at_open(folder, &right);
  at_close(db);
  free(kept);
  at_remove(folder);
  folder = at_folder(); /* a plain database does not become encrypted, nor is taken for one */
  db = at_open(folder, &none);
  at_close(db);
  at_fails(VECDB_ERR_KEY, vecdb_open(folder, &right, &db, &at_err));
  at_fails(VECDB_ERR_ARGUMENT, vecdb_rekey(NULL, NULL, 0, &at_err));
  db = at_open(folder, &none);
  at_fails(VECDB_ERR_ARGUMENT, vecdb_rekey(db, NULL, 0, &at_err));
  at_close(db);
  at_remove(folder);
}

static void bad_options(void **state) {
  (void)state;
  vecdb_encryption e = *keys_of("a");
  vecdb_options o = options_of(&e);
  vecdb *db;
  e.size--;
  at_fails(VECDB_ERR_OPTION, vecdb_open(":memory:", &o, &db, &at_err));
  e = *keys_of("a");
  if (!can_encrypt()) {
    at_fails(VECDB_ERR_UNSUPPORTED, vecdb_open(":memory:", &o, &db, &at_err));
    return;
  }
  e.get_key = NULL;
  at_fails(VECDB_ERR_ARGUMENT, vecdb_open(":memory:", &o, &db, &at_err));
  e.wrap = host_wrap;
  at_fails(VECDB_ERR_ARGUMENT, vecdb_open(":memory:", &o, &db, &at_err));
  e = *keys_of("a");
  e.wrap = host_wrap;
  at_fails(VECDB_ERR_ARGUMENT, vecdb_open(":memory:", &o, &db, &at_err));
  char longest[VECDB_MAX_NAME + 2];
  memset(longest, 'x', sizeof longest);
  longest[VECDB_MAX_NAME + 1] = '\0';
  const char *const names[] = {NULL, "", longest};
  for (size_t i = 0; i < AT_COUNT(names); i++) {
    e = *keys_of(names[i]);
    at_fails(VECDB_ERR_ARGUMENT, vecdb_open(":memory:", &o, &db, &at_err));
  }
  e = *keys_of(longest + 1);
  db = at_open(":memory:", &o);
  at_fails(VECDB_ERR_OPTION, vecdb_rekey(db, NULL, 2, &at_err));
  at_fails(VECDB_ERR_ARGUMENT, vecdb_rekey(db, "", 0, &at_err));
  at_fails(VECDB_ERR_ARGUMENT, vecdb_rekey(db, longest, 0, &at_err));
  at_close(db);
}

/* ---- other keys ---- */

static size_t keys_bytes(const char *folder) {
  size_t n;
  free(at_read(at_path(folder, "KEYS"), &n));
  return n;
}

static void rekey_with(const vecdb_encryption *first) {
  char *folder = at_folder();
  vecdb_options o = options_of(first);
  o.flags = VECDB_HOST_DRIVEN;
  vecdb *db = at_open(folder, &o), *reader;
  vecdb_collection *coll = at_small(db, "c");
  at_put(coll, 0, 700);
  at_ok(vecdb_flush_all(db, NULL, &at_err));
  size_t one = keys_bytes(folder);
  vecdb_options reading = o;
  reading.flags = VECDB_READ_ONLY | VECDB_FOLLOW | VECDB_HOST_DRIVEN;
  reader = at_open(folder, &reading);

  at_ok(vecdb_rekey(db, "b", 0, &at_err)); /* another key of the host's */
  assert_int_equal(keys_bytes(folder), one);
  snprintf(host.refused, sizeof host.refused, "a"); /* the old one is needed no more */
  at_ok(vecdb_rekey(db, NULL, VECDB_REKEY_NEW_DATA_KEY, &at_err));
  assert_true(keys_bytes(folder) > one);
  at_put(coll, 700, 500);
  struct at_content content = at_content(coll);
  at_ok(vecdb_refresh(reader, 0, NULL, &at_err)); /* it learns of the new data key */
  vecdb_collection *seen;
  at_ok(vecdb_collection_get(reader, "c", &seen, &at_err));
  at_same(content, at_content(seen));
  at_fails(VECDB_ERR_READ_ONLY, vecdb_rekey(reader, NULL, 0, &at_err));
  vecdb_collection_release(seen);
  at_close(reader);

  at_ok(vecdb_rekey(db, NULL, 0, &at_err)); /* the first data key has files still */
  assert_true(keys_bytes(folder) > one);
  at_ok(vecdb_compact(coll, NULL, &at_err));
  at_ok(vecdb_rekey(db, NULL, 0, &at_err));
  assert_int_equal(keys_bytes(folder), one); /* and now it has none */
  at_same(content, at_content(coll));
  snprintf(host.refused, sizeof host.refused, "c");
  at_fails(VECDB_ERR_KEY, vecdb_rekey(db, "c", VECDB_REKEY_NEW_DATA_KEY, &at_err));
  at_put(coll, 5000, 10);
  content = at_content(coll);
  vecdb_collection_release(coll);
  at_close(db);

  snprintf(host.refused, sizeof host.refused, "b");
  at_fails(VECDB_ERR_KEY, vecdb_open(folder, &o, &db, &at_err));
  host.refused[0] = '\0';
  o.verify = VECDB_VERIFY_FULL;
  db = at_open(folder, &o);
  at_ok(vecdb_collection_get(db, "c", &coll, &at_err));
  at_same(content, at_content(coll));
  at_ok(vecdb_check(db, NULL, NULL, NULL, &at_err));
  vecdb_collection_release(coll);
  at_close(db);
  at_remove(folder);
}

static void other_keys(void **state) {
  (void)state;
  if (!can_encrypt())
    return;
  rekey_with(keys_of("a"));
  vecdb_encryption e = *keys_of("a");
  e.get_key = NULL;
  e.wrap = host_wrap;
  e.unwrap = host_unwrap;
  rekey_with(&e);
}

/* ---- copies ---- */

static void copy_file(void *arg, const char *path) {
  size_t n;
  unsigned char *data = at_read(path, &n);
  at_write(at_path(arg, strrchr(path, '/') + 1), data, n);
  free(data);
}

static void backup_and_restore(void **state) {
  (void)state;
  if (!can_encrypt())
    return;
  char *folder = at_folder();
  vecdb_options o = options_of(keys_of("a"));
  vecdb *db = at_open(at_path(folder, "db"), &o);
  vecdb_collection *coll = at_small(db, "c");
  at_put(coll, 0, 900);
  at_ok(vecdb_flush_all(db, NULL, &at_err));
  at_ok(vecdb_rekey(db, NULL, VECDB_REKEY_NEW_DATA_KEY, &at_err));
  at_put(coll, 900, 100); /* in memory, of the second data key */
  at_delete(coll, 3, 40);
  struct at_content content = at_content(coll);
  at_ok(vecdb_backup(db, at_path(folder, "copy"), NULL, &at_err));
  at_ok(vecdb_rekey(db, "b", 0, &at_err)); /* the copy stays with the key that it was made by */
  vecdb_collection_release(coll);
  at_close(db);
  snprintf(host.refused, sizeof host.refused, "b");
  at_ok(vecdb_restore(at_path(folder, "copy"), at_path(folder, "back"), &o, &at_err));
  vecdb_options none = options_of(NULL);
  at_fails(VECDB_ERR_KEY,
           vecdb_restore(at_path(folder, "copy"), at_path(folder, "no"), &none, &at_err));
  db = at_open(at_path(folder, "back"), &o);
  at_ok(vecdb_collection_get(db, "c", &coll, &at_err));
  at_same(content, at_content(coll));
  vecdb_collection_release(coll);
  at_close(db);
  host.refused[0] = '\0';
  at_remove(folder);
}

/* Two copies of a folder go on by themselves and write the same. *same of *blocks of their files,
   of 16 bytes that are not zero, are alike. */
static void write_alike(const vecdb_encryption *e, size_t *same, size_t *blocks) {
  static const char *const names[] = {"MANIFEST", "0000000000000001.rows", "0000000000000002.wal"};
  char *folders[] = {at_folder(), at_folder()};
  vecdb_options o = options_of(e);
  at_close(at_open(folders[0], &o));
  at_each_file(folders[0], copy_file, folders[1]);
  for (int i = 0; i < 2; i++) {
    vecdb *db = at_open(folders[i], &o);
    vecdb_collection *coll = at_small(db, "c");
    at_put(coll, 0, 400);
    at_ok(vecdb_flush(coll, NULL, &at_err));
    at_put(coll, 400, 100);
    vecdb_collection_release(coll);
    at_close(db);
  }
  *same = *blocks = 0;
  for (size_t i = 0; i < AT_COUNT(names); i++) {
    size_t n, m;
    unsigned char *a = at_read(at_path(folders[0], names[i]), &n);
    unsigned char *b = at_read(at_path(folders[1], names[i]), &m);
    static const unsigned char zeros[16];
    for (size_t at = 0; at + 16 <= n && at + 16 <= m; at += 16)
      if (memcmp(a + at, zeros, 16) != 0) {
        ++*blocks;
        *same += memcmp(a + at, b + at, 16) == 0;
      }
    free(a);
    free(b);
  }
  at_remove(folders[0]);
  at_remove(folders[1]);
}

/* No key stream is used twice: frames of files are alike at most, and these are few. */
static void copies_differ(void **state) {
  (void)state;
  size_t same, blocks;
  write_alike(NULL, &same, &blocks);
  assert_true(same * 10 > blocks * 9);
  if (!can_encrypt())
    return;
  write_alike(keys_of("a"), &same, &blocks);
  assert_true(blocks > 500 && same * 20 < blocks);
}

/* ---- searches, and what they cost in memory ---- */

static uint64_t search_all(vecdb_collection *coll, int64_t hits_out[10]) {
  float query[DIM] = {0.5f};
  vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
  vecdb_hit hits[10];
  uint32_t n;
  params.queries = query;
  params.k = 10;
  at_ok(vecdb_search(coll, &params, hits, &n, NULL, NULL, &at_err));
  for (uint32_t i = 0; i < n; i++)
    hits_out[i] = hits[i].id;
  vecdb_stats stats = VECDB_STATS_INIT;
  at_ok(vecdb_collection_stats(coll, &stats, &at_err));
  assert_int_equal(n, 10);
  return stats.bytes_allocated;
}

static void search_alike(int32_t index) {
  char *folder = at_folder();
  int64_t hits[2][10];
  uint64_t bytes[2];
  for (int i = 0; i < 2; i++) {
    vecdb_options o = options_of(i ? keys_of("a") : NULL);
    vecdb *db = at_open(at_path(folder, i ? "1" : "0"), &o);
    vecdb_collection *coll = secret_create(db, index);
    at_ok(secret_put(coll, 0, ROWS));
    at_ok(vecdb_compact(coll, NULL, &at_err));
    vecdb_collection_release(coll);
    at_close(db);
    db = at_open(at_path(folder, i ? "1" : "0"), &o);
    at_ok(vecdb_collection_get(db, secret_coll, &coll, &at_err));
    bytes[i] = search_all(coll, hits[i]);
    vecdb_collection_release(coll);
    at_close(db);
  }
  assert_memory_equal(hits[0], hits[1], sizeof hits[0]);
  assert_true(bytes[1] >= bytes[0] + ROWS * DIM * sizeof(float)); /* decrypted rows count */
  vecdb_options o = options_of(keys_of("a"));
  vecdb *db;
  o.memory_limit = bytes[1] / 2;
  at_fails(VECDB_ERR_NO_MEMORY, vecdb_open(at_path(folder, "1"), &o, &db, &at_err));
  at_remove(folder);
}

static void searches(void **state) {
  (void)state;
  static const int32_t kinds[] = {VECDB_INDEX_FLAT, VECDB_INDEX_HNSW, VECDB_INDEX_IVF_PQ,
                                  VECDB_INDEX_DISK};
  for (size_t i = 0; can_encrypt() && i < AT_COUNT(kinds); i++)
    search_alike(kinds[i]);
}

/* ---- JSON, and one file by itself ---- */

static vecdb_collection *json_create(vecdb *db) {
  const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = secret_field, .type = VECDB_JSON, .flags = VECDB_NULLABLE},
      {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = 4, .metric = VECDB_L2}};
  const vecdb_schema schema = {sizeof schema, sizeof *fields, NULL, fields, AT_COUNT(fields)};
  vecdb_collection *coll;
  at_ok(vecdb_collection_create(db, secret_coll, &schema, &coll, &at_err));
  return coll;
}

/* Rows whose JSON is {"n": id, "text": the secret}. */
static void json_put(vecdb_collection *coll) {
  for (int64_t id = 0; id < 50; id++) {
    char json[100];
    const char *text = json;
    snprintf(json, sizeof json, "{ \"n\": %d, \"text\": \"%s\" }", (int)id, secret_text);
    const vecdb_column columns[] = {{.field = "id", .data = &id},
                                    {.field = secret_field, .data = &text},
                                    {.field = "v", .data = secret_vector}};
    const vecdb_batch batch = {sizeof batch, sizeof *columns, columns, AT_COUNT(columns), 1};
    at_ok(vecdb_upsert(coll, &batch, NULL, &at_err));
  }
}

static void json_check(vecdb *db) {
  vecdb_collection *coll;
  char filter[200];
  snprintf(filter, sizeof filter, "%s[\"n\"] < 10 and %s[\"text\"] == \"%s\"", secret_field,
           secret_field, secret_text);
  at_ok(vecdb_collection_get(db, secret_coll, &coll, &at_err));
  assert_int_equal(at_count(coll, filter), 10);
  vecdb_collection_release(coll);
}

static void json_is_encrypted(void **state) {
  (void)state;
  if (!can_encrypt())
    return;
  char *folder = at_folder();
  vecdb_options o = options_of(keys_of("a"));
  vecdb *db = at_open(folder, &o);
  vecdb_collection *coll = json_create(db);
  json_put(coll);
  json_check(db);
  look_secret(folder); /* in the log */
  at_ok(vecdb_compact(coll, NULL, &at_err));
  json_put(coll);
  look_secret(folder); /* and in files */
  json_check(db);
  vecdb_collection_release(coll);
  at_close(db);
  db = at_open(folder, &o);
  json_check(db);
  at_close(db);
  at_remove(folder);
}

static void rows_file(void *arg, const char *path) {
  size_t n = strlen(path);
  if (n > 5 && strcmp(path + n - 5, ".rows") == 0)
    snprintf(arg, 400, "%s", path);
}

/* KEYS must stand beside the file, and the host's key fit. */
static void one_file_alone(void **state) {
  (void)state;
  if (!can_encrypt())
    return;
  char *folder = at_folder(), *other = at_folder(), rows[400] = "";
  vecdb_options o = options_of(keys_of("a"));
  vecdb *db = at_open(folder, &o), *none;
  vecdb_collection *coll = json_create(db);
  json_put(coll);
  at_ok(vecdb_compact(coll, NULL, &at_err));
  vecdb_collection_release(coll);
  at_close(db);
  at_each_file(folder, rows_file, rows);
  o.flags = VECDB_READ_ONLY;
  db = at_open(rows, &o);
  json_check(db);
  at_ok(vecdb_check(db, NULL, NULL, NULL, &at_err));
  at_close(db);
  copy_file(other, rows);
  const char *copy = at_path(other, strrchr(rows, '/') + 1);
  at_fails(VECDB_ERR_KEY, vecdb_open(copy, &o, &none, &at_err));
  assert_non_null(strstr(at_err.message, "KEYS"));
  copy_file(other, at_path(folder, "KEYS"));
  db = at_open(copy, &o);
  json_check(db);
  at_close(db);
  look_secret(other);
  o.encryption = NULL;
  at_fails(VECDB_ERR_KEY, vecdb_open(copy, &o, &none, &at_err));
  size_t n;
  unsigned char *bytes = at_read(copy, &n);
  o.encryption = keys_of("a");
  for (size_t at = 0; at < n; at += 97) {
    bytes[at] ^= 4;
    at_write(copy, bytes, n);
    int rc = vecdb_open(copy, &o, &none, &at_err);
    if (rc == VECDB_OK) { /* in vectors, which a check reads */
      rc = vecdb_check(none, NULL, NULL, NULL, &at_err);
      at_close(none);
    }
    assert_true(rc == VECDB_ERR_CORRUPT || rc == VECDB_ERR_NOT_A_DATABASE || rc == VECDB_ERR_KEY ||
                rc == VECDB_ERR_NEWER_FORMAT);
    bytes[at] ^= 4;
  }
  free(bytes);
  at_remove(other);
  at_remove(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(nothing_is_readable), cmocka_unit_test(killed),
      cmocka_unit_test(wrong_keys),          cmocka_unit_test(bad_options),
      cmocka_unit_test(other_keys),          cmocka_unit_test(backup_and_restore),
      cmocka_unit_test(copies_differ),       cmocka_unit_test(searches),
      cmocka_unit_test(json_is_encrypted),   cmocka_unit_test(one_file_alone),
  };
  return cmocka_run_group_tests_name("encryption", tests, NULL, NULL);
}
