/*
 * test_edge.c - an edge beside nodes that answer on real connections (nodetest.h): after any
 * writes, trimmed logs, crashes, dropped collections and new fields it has the rows that it
 * follows, as a model has them, and while the nodes are away those that it had. TSAN: yes.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/nodetest.h"
#include "edge/edge.h"
#include "tlib/simdisk.h"
#include "tlib/thorough.h"

enum { TE_KEYS = 40, TE_POLL = 600000 };

static const vecdb_field te_fields[] = {
    {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
    {.name = "owner", .type = VECDB_VARCHAR, .max_length = 16},
    {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = 2, .metric = VECDB_L2},
    {.name = "n",
     .type = VECDB_INT32,
     .flags = VECDB_NULLABLE | VECDB_HAS_DEFAULT,
     .default_value = {.type = VECDB_INT32, .as = {.integer = 77}}},
};
static const vecdb_schema te_schema = {sizeof(vecdb_schema), sizeof(vecdb_field), NULL, te_fields,
                                       4};
static const char *const te_owners[] = {"a", "b", "c", "d"};

/* A row of the model. */
struct te_row {
  bool there;
  int owner;
  bool null;
  int32_t n;
  float v;
};

struct te {
  struct nt nt;
  vecdb_client *client;
  struct simdisk *disk;
  vecdb *db;
  struct edge *edge;
  struct te_row rows[TE_KEYS];
  uint64_t random;
  const char *tenants; /* "": all */
};

static uint32_t te_below(struct te *t, uint32_t n) {
  t->random = t->random * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)((t->random >> 33) % n);
}

/* ---- Opening ---- */

static void te_nodes(struct te *t, vecdb_client_options *o, char *nodes, size_t n) {
  *o = (vecdb_client_options)VECDB_CLIENT_OPTIONS_INIT;
  nt_nodes(&t->nt, nodes, n);
  o->nodes = nodes;
  o->cluster = nt_cluster;
  o->timeout_ms = 60000; /* what fails does so for another reason */
}

static void te_create(struct te *t, const vecdb_schema *schema) {
  vecdb_client_layout layout = VECDB_CLIENT_LAYOUT_INIT;
  layout.shards = NT_SHARDS;
  layout.replicas = NT_NODES;
  assert_int_equal(vecdb_client_create(t->client, "docs", schema, &layout, NULL, NULL), VECDB_OK);
}

static struct te *te_open(uint64_t seed, const char *tenants) {
  struct te *t = calloc(1, sizeof *t);
  char nodes[256];
  vecdb_client_options o;
  t->random = seed;
  t->tenants = tenants;
  t->disk = simdisk_new();
  nt_open(&t->nt, NULL);
  te_nodes(t, &o, nodes, sizeof nodes);
  assert_int_equal(vecdb_client_open(&o, &t->client, NULL), VECDB_OK);
  te_create(t, &te_schema);
  return t;
}

/* The edge on what the disk has; a code. */
static int te_begin(struct te *t, uint32_t timeout_ms) {
  char nodes[256];
  vecdb_options options = VECDB_OPTIONS_INIT;
  vecdb_error error = {0};
  struct edge_config config = {.collections = "docs",
                               .tenant_field = "owner",
                               .tenants = t->tenants,
                               .poll_ms = TE_POLL};
  options.vfs = simdisk_vfs(t->disk);
  options.threads = 1;
  te_nodes(t, &config.origin, nodes, sizeof nodes);
  if (timeout_ms)
    config.origin.timeout_ms = timeout_ms;
  int code = vecdb_open("edge", &options, &t->db, &error);
  if (code)
    return code;
  config.db = t->db;
  t->edge = edge_open(&config, &error);
  if (t->edge)
    return VECDB_OK;
  vecdb_close(t->db, NULL);
  t->db = NULL;
  return error.code;
}

static void te_end(struct te *t) {
  edge_close(t->edge);
  t->edge = NULL;
  if (t->db)
    vecdb_close(t->db, NULL);
  t->db = NULL;
}

static void te_close(struct te *t) {
  te_end(t);
  vecdb_client_close(t->client);
  nt_close(&t->nt);
  simdisk_free(t->disk);
  free(t);
}

/* ---- Writes, there and in the model ---- */

static void te_put(struct te *t, bool insert) {
  enum { MOST = 6 };
  static const uint8_t all[MOST] = {1, 1, 1, 1, 1, 1}; /* as the server's JSON has it */
  int64_t ids[MOST];
  const char *owners[MOST];
  float v[2 * MOST];
  int32_t numbers[MOST];
  uint8_t valid[MOST];
  struct te_row rows[MOST];
  uint32_t n = 1 + te_below(t, MOST), first = te_below(t, TE_KEYS - MOST);
  bool nulls = te_below(t, 4) == 0; /* in all rows */
  for (uint32_t i = 0; i < n; i++) {
    ids[i] = first + i;
    rows[i] = (struct te_row){true, (int)te_below(t, 4), nulls || te_below(t, 3) == 0,
                              (int32_t)te_below(t, 100), (float)te_below(t, 1000)};
    owners[i] = te_owners[rows[i].owner];
    numbers[i] = rows[i].n;
    valid[i] = !rows[i].null;
    v[2 * i] = v[2 * i + 1] = rows[i].v;
  }
  const uint8_t *mask = te_below(t, 2) ? all : NULL;
  const vecdb_column columns[] = {{.field = "id", .data = ids, .valid = mask},
                                  {.field = "owner", .data = owners},
                                  {.field = "v", .data = v, .dim = 2},
                                  {.field = "n", .data = numbers, .valid = valid}};
  const vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 4, n};
  for (uint32_t i = 0; i < n && insert; i++)
    if (t->rows[first + i].there)
      return; /* shards that have none of them would have taken their part */
  int code = insert ? vecdb_client_insert(t->client, "docs", &batch, NULL, NULL)
                    : vecdb_client_upsert(t->client, "docs", &batch, NULL, NULL);
  assert_int_equal(code, VECDB_OK);
  memcpy(&t->rows[first], rows, n * sizeof *rows);
}

static void te_update(struct te *t) {
  const int64_t id = te_below(t, TE_KEYS);
  const int owner = (int)te_below(t, 4);
  const char *text = te_owners[owner];
  const vecdb_column columns[] = {{.field = "id", .data = &id}, {.field = "owner", .data = &text}};
  const vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 2, 1};
  assert_int_equal(vecdb_client_update(t->client, "docs", &batch, 0, NULL, NULL, NULL), VECDB_OK);
  if (t->rows[id].there)
    t->rows[id].owner = owner;
}

static void te_delete(struct te *t) {
  const int64_t ids[] = {te_below(t, TE_KEYS), te_below(t, TE_KEYS)};
  const vecdb_keys keys = {ids, NULL, 2};
  assert_int_equal(vecdb_client_delete(t->client, "docs", &keys, NULL, NULL, NULL), VECDB_OK);
  t->rows[ids[0]].there = t->rows[ids[1]].there = false;
}

static void te_delete_where(struct te *t) {
  char text[32];
  const int32_t from = (int32_t)te_below(t, 90);
  snprintf(text, sizeof text, "n >= %d and n < %d", from, from + 10);
  const vecdb_filter filter = {text, 0, NULL, 0};
  assert_int_equal(vecdb_client_delete_where(t->client, "docs", &filter, NULL, NULL, NULL),
                   VECDB_OK);
  for (int i = 0; i < TE_KEYS; i++)
    t->rows[i].there &= t->rows[i].null || t->rows[i].n < from || t->rows[i].n >= from + 10;
}

static void te_write(struct te *t) {
  switch (te_below(t, 8)) {
    case 0: te_delete(t); break;
    case 1: te_delete_where(t); break;
    case 2:
    case 3: te_update(t); break;
    case 4: te_put(t, true); break;
    default: te_put(t, false); break;
  }
}

/* ---- What is there ---- */

static bool te_followed(const struct te *t, const struct te_row *row) {
  return row->there && (!*t->tenants || strchr(t->tenants, *te_owners[row->owner]));
}

static void te_same(struct te *t) {
  vecdb_collection *rows;
  vecdb_query_params q = VECDB_QUERY_PARAMS_INIT;
  vecdb_rows *all;
  size_t at = 0;
  assert_int_equal(vecdb_collection_get(t->db, "docs", &rows, NULL), VECDB_OK);
  assert_int_equal(vecdb_query(rows, &q, &all, NULL), VECDB_OK);
  for (int64_t id = 0; id < TE_KEYS; id++) {
    const struct te_row *row = &t->rows[id];
    if (!te_followed(t, row))
      continue;
    assert_int_equal(vecdb_rows_value(all, at, 0).as.integer, id);
    vecdb_value owner = vecdb_rows_value(all, at, (size_t)vecdb_rows_find(all, "owner"));
    vecdb_value n = vecdb_rows_value(all, at, (size_t)vecdb_rows_find(all, "n"));
    vecdb_value v = vecdb_rows_value(all, at, (size_t)vecdb_rows_find(all, "v"));
    assert_true(owner.length == 1 && !memcmp(owner.as.data, te_owners[row->owner], 1));
    assert_int_equal(n.type, row->null ? 0 : VECDB_INT32);
    assert_true(row->null || n.as.integer == row->n);
    assert_true(((const float *)v.as.data)[1] == row->v);
    at++;
  }
  assert_int_equal(vecdb_rows_count(all), at);
  vecdb_rows_free(all);
  vecdb_collection_release(rows);
}

static void te_sync(struct te *t) {
  vecdb_error error = {0};
  if (edge_sync(t->edge, &error))
    fail_msg("%d %s", error.code, error.message);
}

static struct edge_info te_info(struct te *t) {
  struct edge_info info;
  assert_true(edge_look(t->edge, "docs", &info));
  return info;
}

/* ---- Tests ---- */

static void te_random(uint64_t seed, const char *tenants) {
  struct te *t = te_open(seed, tenants);
  uint64_t copies = 1;
  for (int i = 0; i < 5; i++)
    te_write(t);
  assert_int_equal(te_begin(t, 0), VECDB_OK);
  for (int round = 0; round < 15; round++) {
    te_sync(t);
    te_same(t);
    for (uint32_t n = te_below(t, 12); n; n--)
      te_write(t);
    if (te_below(t, 5) == 0) {
      nt_trim(&t->nt, te_below(t, NT_SHARDS), true);
      copies++;
    }
  }
  te_sync(t);
  te_same(t);
  assert_int_equal(te_info(t).copies, copies);
  te_close(t);
}

/* Whatever is written is here after the next look, and only a log that has lost its beginning has
   everything copied. */
static void test_follows(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= TEST_SIZES(20, 2, 1); seed++)
    te_random(seed, "");
}

/* Rows of some tenants alone: also those that come to them, and go. */
static void test_tenants(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= TEST_SIZES(20, 2, 1); seed++)
    te_random(seed * 77, "a,c");
}

/* A log that has forgotten what the edge has not seen; and one that has not. */
static void test_trimmed(void **state) {
  (void)state;
  struct te *t = te_open(5, "");
  assert_int_equal(te_begin(t, 0), VECDB_OK);
  te_sync(t);
  for (uint32_t i = 0; i < NT_SHARDS; i++)
    nt_trim(&t->nt, i, false);
  te_sync(t);
  assert_int_equal(te_info(t).copies, 1);
  for (int i = 0; i < 30; i++)
    te_write(t);
  for (uint32_t i = 0; i < NT_SHARDS; i++)
    nt_trim(&t->nt, i, false);
  te_sync(t);
  te_same(t);
  te_close(t);
}

/* The nodes say nothing: what is here stays and grows old, also over a restart. */
static void test_away(void **state) {
  (void)state;
  struct te *t = te_open(9, "");
  for (int i = 0; i < 20; i++)
    te_write(t);
  assert_int_equal(te_begin(t, 0), VECDB_OK);
  te_sync(t);
  assert_true(edge_up(t->edge));
  te_end(t);
  pthread_mutex_lock(&t->nt.mutex);
  t->nt.silent = true;
  pthread_mutex_unlock(&t->nt.mutex);
  assert_int_equal(te_begin(t, 50), VECDB_OK);
  struct edge_info before = te_info(t);
  assert_true(before.whole && !before.gone && before.age_ms != EDGE_UNKNOWN);
  assert_int_not_equal(edge_sync(t->edge, NULL), VECDB_OK);
  struct edge_info after = te_info(t);
  assert_true(after.whole && after.age_ms >= before.age_ms + 50 && after.code);
  assert_false(edge_up(t->edge));
  te_same(t);
  pthread_mutex_lock(&t->nt.mutex);
  t->nt.silent = false;
  pthread_mutex_unlock(&t->nt.mutex);
  te_end(t);
  te_write(t);
  assert_int_equal(te_begin(t, 0), VECDB_OK);
  te_sync(t);
  te_same(t);
  assert_int_equal(te_info(t).copies, 0);
  te_close(t);
}

/* The nodes fall silent while all is copied: then it goes on where it was, and what has
   gone meanwhile of the rows that it had by then goes here, too. */
static void test_resumed(void **state) {
  enum { ROWS = 2000, PAGES = 4 };
  static int64_t ids[ROWS];
  static const char *owners[ROWS];
  static float v[2 * ROWS];
  (void)state;
  struct te *t = te_open(3, "");
  vecdb_collection *rows;
  uint64_t n = 0;
  for (int64_t i = 0; i < ROWS; i++) {
    ids[i] = TE_KEYS + i;
    owners[i] = te_owners[0];
    v[2 * i] = 1;
  }
  const vecdb_column columns[] = {{.field = "id", .data = ids},
                                  {.field = "owner", .data = owners},
                                  {.field = "v", .data = v, .dim = 2}};
  const vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 3, ROWS};
  assert_int_equal(vecdb_client_upsert(t->client, "docs", &batch, NULL, NULL), VECDB_OK);
  pthread_mutex_lock(&t->nt.mutex);
  t->nt.queries_most = PAGES / 2 * NT_SHARDS;
  pthread_mutex_unlock(&t->nt.mutex);
  assert_int_equal(te_begin(t, 3000), VECDB_OK);
  assert_int_not_equal(edge_sync(t->edge, NULL), VECDB_OK);
  assert_false(te_info(t).whole);
  pthread_mutex_lock(&t->nt.mutex);
  t->nt.silent = false;
  t->nt.queries_most = 0;
  pthread_mutex_unlock(&t->nt.mutex);
  const vecdb_keys gone = {ids, NULL, 1};
  assert_int_equal(vecdb_client_delete(t->client, "docs", &gone, NULL, NULL, NULL), VECDB_OK);
  te_sync(t);
  assert_int_equal(vecdb_collection_get(t->db, "docs", &rows, NULL), VECDB_OK);
  assert_int_equal(vecdb_count(rows, NULL, &n, NULL), VECDB_OK);
  vecdb_collection_release(rows);
  assert_int_equal(n, ROWS - 1);
  assert_int_equal(te_info(t).copies, 1);
  assert_true(t->nt.queries < (PAGES + PAGES / 2) * NT_SHARDS); /* what a second copy would take */
  te_close(t);
}

/* Before the first copy there is nothing to read. */
static void test_never(void **state) {
  (void)state;
  struct te *t = te_open(2, "");
  pthread_mutex_lock(&t->nt.mutex);
  t->nt.silent = true;
  pthread_mutex_unlock(&t->nt.mutex);
  assert_int_equal(te_begin(t, 50), VECDB_OK);
  assert_int_not_equal(edge_sync(t->edge, NULL), VECDB_OK);
  assert_true(!te_info(t).whole && te_info(t).age_ms == EDGE_UNKNOWN);
  te_close(t);
}

/* The power goes at any moment, or the process: behind it the rows are those of the cluster, and no
   position says that it has what is lost. */
static void test_crashes(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= TEST_SIZES(30, 2, 1); seed++) {
    struct te *t = te_open(seed * 3, seed % 3 ? "" : "b,d");
    for (int life = 0; life < 6; life++) {
      for (uint32_t n = te_below(t, 10); n; n--)
        te_write(t);
      simdisk_stop_after(t->disk, te_below(t, life ? 40 : 150));
      if (te_begin(t, 0) == VECDB_OK)
        for (int k = 0; k < 3 && edge_sync(t->edge, NULL) == VECDB_OK; k++) {
          te_same(t);
          te_write(t);
        }
      te_end(t);
      if (te_below(t, 2))
        simdisk_stop_after(t->disk, UINT64_MAX);
      else
        simdisk_crash(t->disk, seed * 100 + (uint64_t)life);
    }
    assert_int_equal(te_begin(t, 0), VECDB_OK);
    te_sync(t);
    te_same(t);
    te_close(t);
  }
}

/* Dropped it is gone here; made again it is another one with other fields; then one is added. */
static void test_anew(void **state) {
  static const vecdb_field texts[] = {
      {.name = "k", .type = VECDB_VARCHAR, .max_length = 9, .flags = VECDB_PRIMARY_KEY},
      {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = 2}};
  static const vecdb_field more[] = {
      {.name = "x", .type = VECDB_VARCHAR, .max_length = 9, .flags = VECDB_NULLABLE}};
  static const vecdb_schema other = {sizeof other, sizeof *texts, NULL, texts, 2};
  static const vecdb_schema added = {sizeof added, sizeof *more, NULL, more, 1};
  static const char *const keys[] = {"", "kk", "k"};
  static const char *const xs[] = {"one", "two"};
  static const float v[] = {1, 2, 3, 4, 5, 6};
  (void)state;
  struct te *t = te_open(4, "");
  vecdb_collection *rows;
  vecdb_rows *all;
  vecdb_query_params q = VECDB_QUERY_PARAMS_INIT;
  for (int i = 0; i < 20; i++)
    te_write(t);
  assert_int_equal(te_begin(t, 0), VECDB_OK);
  te_sync(t);
  assert_int_equal(vecdb_client_drop(t->client, "docs", NULL, NULL), VECDB_OK);
  te_sync(t);
  assert_true(te_info(t).gone && !te_info(t).whole);
  assert_int_equal(vecdb_collection_get(t->db, "docs", &rows, NULL), VECDB_ERR_NOT_FOUND);
  te_create(t, &other);
  te_end(t);
  assert_int_equal(te_begin(t, 0), VECDB_OK);
  te_sync(t);
  vecdb_column columns[] = {{.field = "k", .data = keys}, {.field = "v", .data = v, .dim = 2},
                            {.field = "x", .data = xs}};
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 2, 3};
  assert_int_equal(vecdb_client_upsert(t->client, "docs", &batch, NULL, NULL), VECDB_OK);
  te_sync(t);
  assert_int_equal(vecdb_client_fields_add(t->client, "docs", &added, NULL, NULL), VECDB_OK);
  batch.n_columns = 3;
  batch.n_rows = 2;
  assert_int_equal(vecdb_client_upsert(t->client, "docs", &batch, NULL, NULL), VECDB_OK);
  te_sync(t);
  assert_int_equal(vecdb_collection_get(t->db, "docs", &rows, NULL), VECDB_OK);
  assert_int_equal(vecdb_query(rows, &q, &all, NULL), VECDB_OK);
  assert_int_equal(vecdb_rows_count(all), 3);
  size_t x = (size_t)vecdb_rows_find(all, "x");
  assert_int_equal(vecdb_rows_value(all, 0, x).length, 3);
  assert_int_equal(vecdb_rows_value(all, 1, x).type, 0);
  assert_memory_equal(vecdb_rows_value(all, 2, x).as.data, "two", 3);
  assert_int_equal(te_info(t).copies, 1);
  vecdb_rows_free(all);
  vecdb_collection_release(rows);
  te_close(t);
}

/* What is here under the collection's name, and is taken for its copy, made anew with one field
   changed. */
static void te_replace(struct te *t, uint32_t which, const vecdb_field *field) {
  vecdb_field fields[4];
  vecdb_schema schema = te_schema;
  vecdb_options options = VECDB_OPTIONS_INIT;
  vecdb *db;
  options.vfs = simdisk_vfs(t->disk);
  options.threads = 1;
  memcpy(fields, te_fields, sizeof fields);
  fields[which] = *field;
  schema.fields = fields;
  assert_int_equal(vecdb_open("edge", &options, &db, NULL), VECDB_OK);
  assert_int_equal(vecdb_collection_drop(db, "docs", NULL), VECDB_OK);
  assert_int_equal(vecdb_collection_create(db, "docs", &schema, NULL, NULL), VECDB_OK);
  assert_int_equal(vecdb_close(db, NULL), VECDB_OK);
}

/* A copy whose fields are not quite those of the cluster is none: all is copied anew, also when the
   power goes meanwhile. */
static void test_other_form(void **state) {
  (void)state;
  static const struct {
    uint32_t place;
    vecdb_field field;
  } others[] = {
      {1, {.name = "owner", .type = VECDB_VARCHAR, .max_length = 15}},
      {1, {.name = "owner", .type = VECDB_VARCHAR, .max_length = 16, .flags = VECDB_NULLABLE}},
      {3, {.name = "n", .type = VECDB_INT32, .flags = VECDB_NULLABLE}},
      {3, {.name = "n", .type = VECDB_INT32, .flags = VECDB_NULLABLE | VECDB_HAS_DEFAULT,
           .default_value = {.type = VECDB_INT32, .as = {.integer = 78}}}},
  };
  struct te *t = te_open(6, "");
  for (int i = 0; i < 10; i++)
    te_write(t);
  te_put(t, false);
  for (uint64_t i = 0; i < TEST_SIZES(40, 20, 4); i++) {
    assert_int_equal(te_begin(t, 0), VECDB_OK);
    te_sync(t);
    te_same(t);
    te_end(t);
    te_replace(t, others[i % 4].place, &others[i % 4].field);
    if (i < 4)
      continue;
    simdisk_stop_after(t->disk, te_below(t, 60));
    if (te_begin(t, 0) == VECDB_OK)
      (void)edge_sync(t->edge, NULL);
    te_end(t);
    simdisk_crash(t->disk, i);
  }
  assert_int_equal(te_begin(t, 0), VECDB_OK);
  te_sync(t);
  te_same(t);
  te_close(t);
}

/* There is one more shard, of which no log that is read says anything, since it was split before
   the positions here: its rows come, too, with the first look. */
static void test_split(void **state) {
  (void)state;
  struct te *t = te_open(6, "");
  nt_shards(&t->nt, NT_SHARDS - 1);
  assert_int_equal(te_begin(t, 0), VECDB_OK);
  te_sync(t);
  nt_shards(&t->nt, NT_SHARDS);
  for (int i = 0; i < 20; i++)
    te_write(t);
  te_sync(t);
  te_same(t);
  te_write(t);
  te_sync(t);
  te_same(t);
  te_close(t);
}

/* Fields of all kinds, as the library and the cluster write them: the copy is known again. */
static void test_known_again(void **state) {
  (void)state;
  static const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY | VECDB_AUTO_ID},
      {.name = "owner", .type = VECDB_VARCHAR, .max_length = 9, .flags = VECDB_HAS_DEFAULT,
       .default_value = {.type = VECDB_VARCHAR, .length = 2, .as = {.data = "\xc3\xa9"}}},
      {.name = "b", .type = VECDB_BOOL, .flags = VECDB_HAS_DEFAULT | VECDB_NULLABLE,
       .default_value = {.type = VECDB_BOOL, .as = {.boolean = 1}}},
      {.name = "f", .type = VECDB_FLOAT, .flags = VECDB_HAS_DEFAULT,
       .default_value = {.type = VECDB_FLOAT, .as = {.number = 0.1}}},
      {.name = "d", .type = VECDB_DOUBLE, .flags = VECDB_HAS_DEFAULT,
       .default_value = {.type = VECDB_DOUBLE, .as = {.number = -0.1}}},
      {.name = "j", .type = VECDB_JSON, .flags = VECDB_HAS_DEFAULT,
       .default_value = {.type = VECDB_JSON, .length = 9, .as = {.data = "{\"a\" : 1}"}}},
      {.name = "a", .type = VECDB_ARRAY, .element_type = VECDB_VARCHAR, .max_length = 5,
       .max_capacity = 3, .flags = VECDB_NULLABLE},
      {.name = "s", .type = VECDB_SPARSE_VECTOR},
      {.name = "v", .type = VECDB_INT8_VECTOR, .dim = 3, .flags = VECDB_ALLOW_ZERO}};
  static const vecdb_schema all = {sizeof all, sizeof *fields, NULL, fields, 9};
  struct te *t = te_open(8, "");
  assert_int_equal(vecdb_client_drop(t->client, "docs", NULL, NULL), VECDB_OK);
  te_create(t, &all);
  for (uint64_t life = 0; life < 2; life++) {
    assert_int_equal(te_begin(t, 0), VECDB_OK);
    te_sync(t);
    assert_true(te_info(t).whole);
    assert_int_equal(te_info(t).copies, life ? 0 : 1);
    te_end(t);
  }
  te_close(t);
}

/* Who was no edge stays as it is; and what makes no sense is said. */
static void test_refused(void **state) {
  (void)state;
  struct te *t = te_open(1, "");
  vecdb_error error = {0};
  char nodes[256];
  struct edge_config config = {.collections = "docs", .poll_ms = TE_POLL};
  te_nodes(t, &config.origin, nodes, sizeof nodes);
  assert_int_equal(vecdb_open(":memory:", NULL, &config.db, NULL), VECDB_OK);
  config.collections = " , ";
  assert_null(edge_open(&config, &error));
  assert_int_equal(error.code, VECDB_ERR_ARGUMENT);
  config.collections = "a," EDGE_STATE;
  assert_null(edge_open(&config, &error));
  assert_int_equal(error.code, VECDB_ERR_NAME);
  config.collections = "docs";
  config.tenants = "a";
  assert_null(edge_open(&config, &error));
  assert_int_equal(error.code, VECDB_ERR_ARGUMENT);
  vecdb_close(config.db, NULL);
  config.tenants = NULL;
  assert_int_equal(vecdb_open(":memory:", NULL, &config.db, NULL), VECDB_OK);
  assert_int_equal(vecdb_collection_create(config.db, "mine", &te_schema, NULL, NULL), VECDB_OK);
  assert_null(edge_open(&config, &error));
  assert_int_equal(error.code, VECDB_ERR_NOT_A_DATABASE);
  vecdb_close(config.db, NULL);
  te_close(t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_follows), cmocka_unit_test(test_tenants),
      cmocka_unit_test(test_trimmed), cmocka_unit_test(test_away),
      cmocka_unit_test(test_never),   cmocka_unit_test(test_crashes),
      cmocka_unit_test(test_anew),    cmocka_unit_test(test_other_form),
      cmocka_unit_test(test_known_again), cmocka_unit_test(test_split),
      cmocka_unit_test(test_refused), cmocka_unit_test(test_resumed),
  };
  signal(SIGPIPE, SIG_IGN);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
