/* nodeuse.c - what clients do with collections of nodes; see nodeuse.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "nodeuse.h"

const vecdb_field use_fields[2] = {
    {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
    {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = 2, .metric = VECDB_L2}};

int use_create(vecdb_client *c, const char *name, const vecdb_field *fields, uint32_t n) {
  vecdb_schema schema = VECDB_SCHEMA_INIT;
  vecdb_client_layout layout = VECDB_CLIENT_LAYOUT_INIT;
  schema.fields = fields;
  schema.n_fields = n;
  layout.shards = 2;
  layout.replicas = 2;
  layout.min_isr = 1;
  return vecdb_client_create(c, name, &schema, &layout, NULL, NULL);
}

int use_put(vecdb_client *c, const char *name, int64_t id) {
  const float v[] = {1, 2};
  const vecdb_column columns[] = {{.field = "id", .data = &id},
                                  {.field = "v", .data = v, .dim = 2}};
  const vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 2, 1};
  return vecdb_client_upsert(c, name, &batch, NULL, NULL);
}

/* Rows that the filter (NULL: none) allows, as of now. */
uint64_t use_count(vecdb_client *c, const char *name, const char *text) {
  const vecdb_filter filter = {text, 0, NULL, 0};
  vecdb_client_call call = VECDB_CLIENT_CALL_INIT;
  uint64_t n = UINT64_MAX;
  call.level = VECDB_CLIENT_STRONG;
  assert_int_equal(vecdb_client_count(c, name, &filter, &n, &call, NULL), VECDB_OK);
  return n;
}

/* Values of two rows, in different shards perhaps: set to learn, changed, read with versions. */
void use_learn(vecdb_client *c, const char *name) {
  const int64_t ids[] = {1, 99, 2};
  const vecdb_keys keys = {ids, NULL, 3}, some = {ids + 2, NULL, 1};
  const float values[] = {0.5f, -1};
  float got[6] = {0};
  uint64_t versions[3];
  vecdb_optimizer o = VECDB_OPTIMIZER_INIT;
  vecdb_push_params p = VECDB_PUSH_PARAMS_INIT;
  vecdb_client_call strong = VECDB_CLIENT_CALL_INIT;
  strong.level = VECDB_CLIENT_STRONG;
  o.rate = 1;
  p.field = "v";
  p.keys = &some;
  p.values = values;
  assert_int_equal(vecdb_client_push(c, name, &p, NULL, NULL), VECDB_ERR_SCHEMA);
  assert_int_equal(vecdb_client_optimizer_set(c, name, "v", &o, NULL, NULL), VECDB_OK);
  assert_int_equal(vecdb_client_push(c, name, &p, NULL, NULL), VECDB_OK);
  p.kind = VECDB_PUSH_DELTA;
  assert_int_equal(vecdb_client_push(c, name, &p, NULL, NULL), VECDB_OK);
  assert_int_equal(vecdb_client_push(c, name, &p, NULL, NULL), VECDB_OK);
  const uint64_t expected[] = {4, 3};
  for (int i = 0; i < 2; i++) { /* the version by now, and that of before */
    p.expected = &expected[i];
    assert_int_equal(vecdb_client_push(c, name, &p, NULL, NULL), i ? VECDB_ERR_VERSION : VECDB_OK);
  }
  assert_int_equal(vecdb_client_pull(c, name, "v", &keys, got, 0, versions, &strong, NULL),
                   VECDB_OK);
  const float want[] = {1, 2, 0, 0, 2, 0};
  const uint64_t want_versions[] = {1, 0, 5};
  assert_memory_equal(got, want, sizeof want);
  assert_memory_equal(versions, want_versions, sizeof versions);
}

/* Indices of a sparse field, counted in both shards. */
static void use_sparse(vecdb_client *c) {
  static const uint32_t indices[] = {5, 3, 1000000};
  const vecdb_field fields[] = {use_fields[0], {.name = "s", .type = VECDB_SPARSE_VECTOR}};
  const vecdb_filter filter = {"id > 1", 0, NULL, 0};
  vecdb_client_call strong = VECDB_CLIENT_CALL_INIT;
  uint64_t counts[3], rows = 0;
  strong.level = VECDB_CLIENT_STRONG;
  assert_int_equal(use_create(c, "sparse", fields, 2), VECDB_OK);
  for (int64_t id = 0; id < 8; id++) {
    const vecdb_sparse_pair pairs[] = {{3, 1}, {5, 2}};
    const vecdb_sparse sparse = {pairs, id % 2 ? 1 : 2};
    const vecdb_column columns[] = {{.field = "id", .data = &id}, {.field = "s", .data = &sparse}};
    const vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 2, 1};
    assert_int_equal(vecdb_client_insert(c, "sparse", &batch, NULL, NULL), VECDB_OK);
  }
  assert_int_equal(vecdb_client_sparse_counts(c, "sparse", "s", &filter, indices, 3, counts, &rows,
                                              &strong, NULL), VECDB_OK);
  assert_true(counts[0] == 3 && counts[1] == 6 && counts[2] == 0 && rows == 6);
  assert_int_equal(vecdb_client_sparse_counts(c, "sparse", "id", NULL, indices, 3, counts, NULL,
                                              NULL, NULL), VECDB_ERR_TYPE);
  assert_int_equal(vecdb_client_drop(c, "sparse", NULL, NULL), VECDB_OK);
}

static int use_merged(void *user, const vecdb_client_replica *r) {
  *(uint32_t *)user += r->reached && r->segments_sealed == 1 && !r->merge_bytes;
  return 0;
}

void use_upkeep(vecdb_client *c, const char *name) {
  static const float query[] = {1, 2};
  char text[4096];
  size_t length = 0;
  uint32_t merged = 0;
  vecdb_client_about *about = NULL;
  vecdb_search_params p = VECDB_SEARCH_PARAMS_INIT;
  p.queries = query;
  p.k = 3;
  assert_int_equal(vecdb_client_explain(c, name, &p, NULL, text, sizeof text, &length, NULL),
                   VECDB_OK);
  assert_int_equal(length, strlen(text));
  assert_true(strstr(text, "shard 0, by node ") && strstr(text, "shard 1, by node "));
  assert_int_equal(vecdb_client_explain(c, name, &p, NULL, text, 9, &length, NULL),
                   VECDB_ERR_BUFFER);
  assert_int_equal(strlen(text), 8);
  assert_int_equal(vecdb_client_describe(c, name, NULL, &about, NULL), VECDB_OK);
  assert_int_equal(vecdb_client_compact(c, about, NULL, NULL), VECDB_OK);
  assert_int_equal(vecdb_client_replicas(c, about, NULL, use_merged, &merged, NULL), VECDB_OK);
  assert_int_equal(merged, 4);
  vecdb_client_about_free(about);
  use_sparse(c);
}

/* The field of use_fields_add, by a client that may have known the collection without it, in all
   rows, whose keys are 0 to n - 1. */
void use_fields_fill(vecdb_client *other, const char *name, int64_t n) {
  for (int64_t id = 0; id < n; id++) {
    static const int64_t seven = 7;
    const vecdb_column columns[] = {{.field = "id", .data = &id},
                                    {.field = "extra", .data = &seven}};
    const vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 2, 1};
    assert_int_equal(vecdb_client_update(other, name, &batch, 0, NULL, NULL, NULL), VECDB_OK);
  }
  assert_int_equal(use_count(other, name, "extra == 7"), n);
}

void use_fields_add(vecdb_client *c, const char *name) {
  static const vecdb_field field = {
      .name = "extra", .type = VECDB_INT64, .flags = VECDB_NULLABLE};
  static const vecdb_schema more = {sizeof more, sizeof field, NULL, &field, 1};
  vecdb_client_call call = VECDB_CLIENT_CALL_INIT;
  call.timeout_ms = 60000;
  assert_int_equal(vecdb_client_fields_add(c, name, &more, &call, NULL), VECDB_OK);
  assert_int_equal(vecdb_client_fields_add(c, name, &more, &call, NULL), VECDB_ERR_EXISTS);
}

struct use_digests {
  uint32_t replicas;
  uint64_t checked, digest; /* of the shard's primary */
  bool differ;
};

static int use_digest(void *user, const vecdb_client_replica *r) {
  struct use_digests *d = user;
  d->checked = r->primary ? r->checked : d->checked;
  d->digest = r->primary ? r->digest : d->digest;
  d->differ |= d->checked == r->checked && d->digest != r->digest;
  d->replicas += r->checked && d->checked == r->checked;
  return 0;
}

void use_alike(vecdb_client *c, const char *name) {
  struct use_digests d = {0};
  assert_int_equal(vecdb_client_check(c, name, NULL, NULL), VECDB_OK);
  while (d.replicas != 4) { /* followers come to it later, or are not in sync yet */
    vecdb_client_about *about = NULL;
    d = (struct use_digests){0};
    assert_int_equal(vecdb_client_describe(c, name, NULL, &about, NULL), VECDB_OK);
    assert_int_equal(vecdb_client_replicas(c, about, NULL, use_digest, &d, NULL), VECDB_OK);
    vecdb_client_about_free(about);
    assert_false(d.differ); /* who differs is replaced, and is no different any more */
  }
}

void use_reshape(vecdb_client *c, vecdb_client *other, const char *name, int64_t n) {
  static const int64_t id = 0, seven = 8;
  const vecdb_column columns[] = {{.field = "id", .data = &id}, {.field = "extra", .data = &seven}};
  const vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 2, 1};
  assert_int_equal(vecdb_client_field_rename(c, name, "id", "key", NULL, NULL),
                   VECDB_ERR_UNSUPPORTED);
  assert_int_equal(vecdb_client_field_rename(c, name, "extra", "more", NULL, NULL), VECDB_OK);
  assert_int_equal(vecdb_client_update(other, name, &batch, 0, NULL, NULL, NULL),
                   VECDB_ERR_UNKNOWN_FIELD);
  assert_int_equal(use_count(other, name, "more == 7"), n);
  use_fields_add(c, name);
  assert_int_equal(vecdb_client_field_drop(other, name, "extra", NULL, NULL), VECDB_OK);
  assert_int_equal(vecdb_client_field_drop(c, name, "extra", NULL, NULL), VECDB_ERR_UNKNOWN_FIELD);
  assert_int_equal(vecdb_client_field_drop(c, name, "v", NULL, NULL), VECDB_ERR_SCHEMA);
  use_fields_add(c, name);
  assert_int_equal(use_count(c, name, "more == 7 and extra is null"), n);
  use_alike(c, name);
}

void use_expire(vecdb_client *c, const char *name, int64_t left) {
  static const int64_t ids[] = {1, 2, 5}, times[] = {77, 78, INT64_MAX};
  const vecdb_column columns[] = {{.field = "id", .data = ids}, {.field = "extra", .data = times}};
  const vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 2, 3};
  const struct timespec pause = {0, 50000000};
  vecdb_client_about *about = NULL;
  uint64_t ttl_ms = 0;
  assert_int_equal(vecdb_client_expire(c, name, "v", 9, NULL, NULL), VECDB_ERR_SCHEMA);
  assert_int_equal(vecdb_client_expire(c, "none", "extra", 9, NULL, NULL), VECDB_ERR_NOT_FOUND);
  assert_int_equal(vecdb_client_expire(c, name, "extra", 9, NULL, NULL), VECDB_OK);
  assert_int_equal(vecdb_client_update(c, name, &batch, 0, NULL, NULL, NULL), VECDB_OK);
  while (use_count(c, name, NULL) > (uint64_t)left)
    nanosleep(&pause, NULL);
  assert_int_equal(use_count(c, name, "id == 1 or id == 2"), 0);
  use_alike(c, name);
  assert_int_equal(vecdb_client_field_drop(c, name, "extra", NULL, NULL), VECDB_ERR_SCHEMA);
  assert_int_equal(vecdb_client_field_rename(c, name, "extra", "until", NULL, NULL), VECDB_OK);
  assert_int_equal(vecdb_client_describe(c, name, NULL, &about, NULL), VECDB_OK);
  assert_string_equal(vecdb_client_about_expiry(about, &ttl_ms), "until");
  assert_int_equal(ttl_ms, 9);
  vecdb_client_about_free(about);
  assert_int_equal(vecdb_client_expire(c, name, NULL, 0, NULL, NULL), VECDB_OK);
  assert_int_equal(vecdb_client_describe(c, name, NULL, &about, NULL), VECDB_OK);
  assert_null(vecdb_client_about_expiry(about, NULL));
  vecdb_client_about_free(about);
  assert_int_equal(use_count(c, name, NULL), left);
}

/* Rows that say nothing of a field have the time in it, on all replicas the same one. */
void use_computed(vecdb_client *c) {
  const vecdb_field fields[] = {
      use_fields[0],
      use_fields[1],
      {.name = "at", .type = VECDB_INT64, .flags = VECDB_DEFAULT_NOW}};
  assert_int_equal(use_create(c, "computed", fields, 3), VECDB_OK);
  for (int64_t id = 0; id < 10; id++)
    assert_int_equal(use_put(c, "computed", id), VECDB_OK);
  assert_int_equal(use_count(c, "computed", "at > 1600000000000"), 10);
  use_alike(c, "computed");
  assert_int_equal(vecdb_client_drop(c, "computed", NULL, NULL), VECDB_OK);
}

/* Numbers for rows, of different nodes: none comes twice. */
void use_numbers(vecdb_client *const *clients, int n) {
  int64_t first[8];
  for (int i = 0; i < n; i++) {
    assert_int_equal(vecdb_client_numbers(clients[i], 100, &first[i], NULL, NULL), VECDB_OK);
    assert_true(first[i] > 0);
    for (int k = 0; k < i; k++)
      assert_true(first[k] + 100 <= first[i]);
  }
}

/* The keys below 64 that writes have touched behind the positions, which go on: a bit for each. */
static uint64_t use_changed(vecdb_client *c, const char *name, vecdb_client_position *at,
                           size_t *filters) {
  uint64_t touched = 0;
  vecdb_client_call strong = VECDB_CLIENT_CALL_INIT;
  strong.level = VECDB_CLIENT_STRONG;
  *filters = 0;
  for (uint32_t shard = 0; shard < 2; shard++) {
    vecdb_client_changes *changes = NULL;
    assert_int_equal(
        vecdb_client_changes_after(c, name, shard, &at[shard], &strong, &changes, NULL), VECDB_OK);
    assert_false(vecdb_client_changes_all(changes) || vecdb_client_changes_more(changes));
    const vecdb_keys keys = vecdb_client_changes_keys(changes);
    for (size_t i = 0; i < keys.n; i++)
      touched |= UINT64_C(1) << keys.integers[i];
    for (size_t i = 0; vecdb_client_changes_filter(changes, i); i++)
      ++*filters;
    at[shard] = vecdb_client_changes_position(changes);
    vecdb_client_changes_free(changes);
  }
  return touched;
}

void use_changes(vecdb_client *c, const char *name) {
  static const int64_t gone[] = {3, 50};
  const vecdb_keys keys = {gone, NULL, 2};
  const vecdb_filter filter = {"id == 4", 0, NULL, 0};
  vecdb_client_position at[2] = {{0, 0, 0}, {0, 0, 0}};
  vecdb_client_changes *changes = NULL;
  size_t filters;
  assert_int_equal(use_changed(c, name, at, &filters), (UINT64_C(1) << 20) - 1);
  assert_true(at[0].seq && at[1].seq && !filters);
  assert_int_equal(use_changed(c, name, at, &filters), 0);
  assert_int_equal(vecdb_client_delete(c, name, &keys, NULL, NULL, NULL), VECDB_OK);
  assert_int_equal(vecdb_client_delete_where(c, name, &filter, NULL, NULL, NULL), VECDB_OK);
  assert_int_equal(use_put(c, name, 3), VECDB_OK);
  assert_int_equal(use_changed(c, name, at, &filters), UINT64_C(1) << 3 | UINT64_C(1) << 50);
  assert_int_equal(filters, 2); /* one in each shard */
  assert_int_equal(use_put(c, name, 4), VECDB_OK);
  /* Positions that the logs have never had; and no such shard. */
  const vecdb_client_position now = at[0], other[] = {{now.seq, now.epoch, now.chain + 1},
                                                      {now.seq, now.epoch + 1, now.chain},
                                                      {now.seq + 1000, now.epoch, now.chain}};
  for (int i = 0; i < 3; i++) {
    assert_int_equal(vecdb_client_changes_after(c, name, 0, &other[i], NULL, &changes, NULL),
                     VECDB_OK);
    assert_true(vecdb_client_changes_all(changes));
    assert_int_equal(vecdb_client_changes_keys(changes).n, 0);
    vecdb_client_changes_free(changes);
  }
  assert_int_equal(vecdb_client_changes_after(c, name, 2, NULL, NULL, &changes, NULL),
                   VECDB_ERR_NOT_FOUND);
}
