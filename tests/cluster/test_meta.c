/*
 * test_meta.c - what stands on the metadata store: documents and their rules, keys, base64, the
 * cache under the faults of the model, and read by other threads.
 * TSAN: yes
 */
#include <pthread.h>
#include <stdatomic.h>

#include "meta/base64.h"
#include "meta/cache.h"
#include "metatest.h"

static const struct doc_uuid tm_cluster = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};

/* ---- Documents ---- */

static struct doc_shard tm_shard(void) {
  return (struct doc_shard){.collection = 7,
                            .number = 3,
                            .epoch = 12,
                            .primary = 2,
                            .min_isr = 2,
                            .replicas = {{1, {{1}}}, {2, {{2}}}, {3, {{0}}}, {4, {{4}}}},
                            .isr = {2, 1},
                            .learners = {3},
                            .n_replicas = 4,
                            .n_isr = 2,
                            .n_learners = 1};
}

static void test_shard(void **state) {
  char why[DOC_TEXT_MAX];
  size_t n;
  struct doc_shard doc = tm_shard(), back;
  (void)state;
  char *text = doc_shard_write(&doc, &n);
  assert_non_null(text);
  assert_int_equal(doc_shard_read((struct meta_bytes){text, n}, &back, why), DOC_OK);
  assert_memory_equal(&doc, &back, sizeof doc);
  for (size_t cut = 0; cut < n; cut++)
    assert_int_not_equal(doc_shard_read((struct meta_bytes){text, cut}, &back, why), DOC_OK);
  free(text);
  /* Each of these breaks one rule. */
  const struct {
    size_t offset;
    uint32_t value;
  } broken[] = {{offsetof(struct doc_shard, primary), 3}, /* a learner */
                {offsetof(struct doc_shard, primary), 0},
                {offsetof(struct doc_shard, collection), 0},
                {offsetof(struct doc_shard, min_isr), 0},
                {offsetof(struct doc_shard, isr[1]), 2},
                {offsetof(struct doc_shard, isr[1]), 9},
                {offsetof(struct doc_shard, isr[1]), 3},
                {offsetof(struct doc_shard, learners[0]), 9},
                {offsetof(struct doc_shard, replicas[3].node), 1},
                {offsetof(struct doc_shard, n_replicas), 9},
                {offsetof(struct doc_shard, state), DOC_SHARD_OFFLINE},
                {offsetof(struct doc_shard, number), DOC_SHARDS_MAX}};
  for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
    doc = tm_shard();
    *(uint32_t *)(void *)((char *)&doc + broken[i].offset) = broken[i].value;
    assert_false(doc_shard_valid(&doc, why));
    assert_null(doc_shard_write(&doc, &n));
  }
  doc = tm_shard();
  doc.epoch = 0;
  assert_null(doc_shard_write(&doc, &n));
}

/* Documents as another version or a broken writer might leave them. */
static void test_malformed(void **state) {
  static const struct {
    const char *text;
    enum doc_status status;
  } cases[] = {
      {"", DOC_MALFORMED},
      {"{", DOC_MALFORMED},
      {"[]", DOC_MALFORMED},
      {"{\"v\":0}", DOC_MALFORMED},
      {"{\"v\":\"1\"}", DOC_MALFORMED},
      {"{\"v\":2,\"anything\":true}", DOC_NEWER},
      {"{\"v\":1}", DOC_MALFORMED},
      {"{\"v\":1,\"collection\":1,\"shard\":2,\"id\":1,\"source\":1,\"target\":2,"
       "\"step\":\"planned\",\"bytes_done\":0,\"bytes_total\":0,\"why\":\"\"}",
       DOC_OK},
      {"{\"v\":1,\"collection\":1,\"shard\":2,\"id\":1,\"source\":1,\"target\":2,"
       "\"step\":\"planned\",\"bytes_done\":0,\"bytes_total\":0,\"why\":\"\",\"more\":1}",
       DOC_MALFORMED},
      {"{\"v\":1,\"collection\":1,\"collection\":1,\"shard\":2,\"id\":1,\"source\":1,\"target\":2,"
       "\"step\":\"planned\",\"bytes_done\":0,\"bytes_total\":0,\"why\":\"\"}",
       DOC_MALFORMED},
      {"{\"v\":1,\"collection\":1,\"shard\":2,\"id\":1,\"source\":1,\"target\":2,"
       "\"step\":\"flying\",\"bytes_done\":0,\"bytes_total\":0,\"why\":\"\"}",
       DOC_MALFORMED},
      {"{\"v\":1,\"collection\":1,\"shard\":-2,\"id\":1,\"source\":1,\"target\":2,"
       "\"step\":\"planned\",\"bytes_done\":0,\"bytes_total\":0,\"why\":\"\"}",
       DOC_MALFORMED},
      {"{\"v\":1,\"collection\":4294967296,\"shard\":2,\"id\":1,\"source\":1,\"target\":2,"
       "\"step\":\"planned\",\"bytes_done\":0,\"bytes_total\":0,\"why\":\"\"}",
       DOC_MALFORMED},
      {"{\"v\":1,\"collection\":1,\"shard\":2,\"id\":1,\"source\":1,\"target\":2.5,"
       "\"step\":\"planned\",\"bytes_done\":0,\"bytes_total\":0,\"why\":\"\"}",
       DOC_MALFORMED},
      {"{\"v\":1,\"collection\":1,\"shard\":2,\"id\":1,\"source\":1,\"target\":2,"
       "\"step\":\"planned\",\"bytes_done\":0,\"bytes_total\":0,\"why\":\"a\\nb\"}",
       DOC_MALFORMED},
      {"{\"v\":1,\"collection\":1,\"shard\":2,\"id\":1,\"source\":2,\"target\":2,"
       "\"step\":\"planned\",\"bytes_done\":0,\"bytes_total\":0,\"why\":\"\"}",
       DOC_RULE},
  };
  char why[DOC_TEXT_MAX];
  struct doc_move move;
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    *why = 0;
    assert_int_equal(doc_move_read(meta_text(cases[i].text), &move, why), cases[i].status);
    assert_true(cases[i].status == DOC_OK || *why);
  }
}

/* Nor one whose rows expire. */
static void tm_coll_expires(struct doc_coll coll) {
  struct doc_coll back;
  char why[DOC_TEXT_MAX];
  size_t n;
  coll.expiry = "{\"field\":\"n\",\"ttl_ms\":5}";
  char *text = doc_coll_write(&coll, &n);
  assert_non_null(strstr(text, "\"v\":3"));
  assert_int_equal(doc_coll_read((struct meta_bytes){text, n}, &back, why), DOC_OK);
  assert_string_equal(back.expiry, coll.expiry);
  assert_string_equal(back.history, coll.history);
  doc_coll_free(&back);
  free(text);
}

static void test_node_coll(void **state) {
  char why[DOC_TEXT_MAX];
  size_t n;
  struct doc_node node = {.id = 4294967295u,
                          .name = "n\xc3\xa9",
                          .address = "[::1]:7000",
                          .region = "eu",
                          .zone = "a",
                          .labels = {{"gpu", "h100"}, {"x", ""}},
                          .n_labels = 2,
                          .weight = 250,
                          .state = DOC_NODE_DRAINING},
                  node_back;
  (void)state;
  memset(node.fingerprint, 'a', 64);
  char *text = doc_node_write(&node, &n);
  assert_non_null(text);
  assert_int_equal(doc_node_read((struct meta_bytes){text, n}, &node_back, why), DOC_OK);
  assert_memory_equal(&node, &node_back, sizeof node);
  free(text);
  node.fingerprint[5] = 'A';
  assert_null(doc_node_write(&node, &n));
  struct doc_coll coll = {.id = 1,
                          .name = "c",
                          .policy = DOC_TENANT,
                          .field = "tenant",
                          .need = "gpu",
                          .slots = 16384,
                          .window = 64,
                          .shards = 12,
                          .replicas = 3,
                          .min_isr = 2,
                          .ack = DOC_ACK_CHAIN,
                          .schema_version = 5,
                          .index_version = 6,
                          .schema = "{\"fields\":[{\"name\":\"id\"}]}"},
                  coll_back;
  text = doc_coll_write(&coll, &n);
  assert_non_null(text);
  assert_int_equal(doc_coll_read((struct meta_bytes){text, n}, &coll_back, why), DOC_OK);
  assert_string_equal(coll_back.schema, coll.schema);
  assert_string_equal(coll_back.field, "tenant");
  assert_int_equal(coll_back.window, 64);
  assert_null(coll_back.history);
  assert_non_null(strstr(text, "\"v\":1"));
  doc_coll_free(&coll_back);
  free(text);
  coll.history = "{\"from\":4}";
  text = doc_coll_write(&coll, &n);
  assert_non_null(strstr(text, "\"v\":2")); /* an older version must not serve it */
  assert_int_equal(doc_coll_read((struct meta_bytes){text, n}, &coll_back, why), DOC_OK);
  assert_string_equal(coll_back.history, coll.history);
  doc_coll_free(&coll_back);
  free(text);
  tm_coll_expires(coll);
  coll.history = "[]";
  assert_null(doc_coll_write(&coll, &n));
  coll.history = NULL;
  coll.slots = 12345;
  assert_null(doc_coll_write(&coll, &n));
  coll.slots = 16384;
  coll.schema = "[]";
  assert_null(doc_coll_write(&coll, &n));
  coll.schema = NULL;
  coll.policy = DOC_HASH;
  assert_null(doc_coll_write(&coll, &n)); /* with a field */
}

static void test_tables(void **state) {
  char why[DOC_TEXT_MAX];
  size_t n;
  (void)state;
  struct doc_slots slots = {.n = 16384, .shard = calloc(16384, 2)}, back;
  for (uint32_t i = 0; i < slots.n; i++)
    slots.shard[i] = (uint16_t)(i * 7 % DOC_SHARDS_MAX);
  char *text = doc_slots_write(&slots, &n);
  assert_non_null(text);
  assert_true(n < META_VALUE_MAX);
  assert_int_equal(doc_slots_read((struct meta_bytes){text, n}, &back, why), DOC_OK);
  assert_int_equal(back.n, slots.n);
  assert_memory_equal(back.shard, slots.shard, 2 * slots.n);
  free(text);
  doc_slots_free(&back);
  slots.shard[9] = DOC_SHARDS_MAX;
  assert_null(doc_slots_write(&slots, &n));
  doc_slots_free(&slots);
  assert_int_equal(doc_slots_read(meta_text("{\"v\":1,\"shard\":\"AAA\"}"), &back, why),
                   DOC_MALFORMED);
  assert_int_equal(doc_slots_read(meta_text("{\"v\":1,\"shard\":\"AAAAAAAA\"}"), &back, why),
                   DOC_RULE); /* three slots */
  struct doc_range ranges[] = {{{DOC_KEY_FLOAT, 0, -1e300, ""}, 0, 4},
                               {{DOC_KEY_FLOAT, 0, 0.1, ""}, 8, 8},
                               {{DOC_KEY_FLOAT, 0, 2.0, ""}, 4, 4}};
  struct doc_splits splits = {3, ranges}, again;
  text = doc_splits_write(&splits, &n);
  assert_non_null(text);
  assert_int_equal(doc_splits_read((struct meta_bytes){text, n}, &again, why), DOC_OK);
  assert_int_equal(again.n, 3);
  for (int i = 0; i < 3; i++) {
    assert_true(again.ranges[i].from.real == ranges[i].from.real);
    assert_int_equal(again.ranges[i].first_slot, ranges[i].first_slot);
  }
  free(text);
  doc_splits_free(&again);
  ranges[1].from.real = 3;
  assert_null(doc_splits_write(&splits, &n)); /* does not ascend */
  ranges[1].from.real = 0.1;
  ranges[2].first_slot = 5;
  ranges[2].n_slots = 4;
  assert_null(doc_splits_write(&splits, &n)); /* shares slot 8 */
}

/* Generations are there once a shard was split, and only then is the table one of a later version.
 */
static void test_generations(void **state) {
  char why[DOC_TEXT_MAX];
  uint16_t shard[8] = {0, 1, 2, 3, 0, 1, 2, 3};
  struct doc_slots slots = {.n = 8, .shard = shard}, back;
  size_t n;
  (void)state;
  char *text = doc_slots_write(&slots, &n);
  assert_non_null(strstr(text, "\"v\":1"));
  free(text);
  assert_true(doc_slots_set_generation(&slots, 2, 70000));
  assert_true(doc_slots_set_generation(&slots, 0, 1));
  text = doc_slots_write(&slots, &n);
  assert_non_null(strstr(text, "\"v\":2"));
  assert_int_equal(doc_slots_read((struct meta_bytes){text, n}, &back, why), DOC_OK);
  static const uint32_t wanted[] = {1, 0, 70000, 0, 0};
  for (uint32_t i = 0; i < 5; i++)
    assert_int_equal(doc_slots_generation(&back, i), wanted[i]);
  assert_memory_equal(back.shard, shard, sizeof shard);
  free(text);
  doc_slots_free(&back);
  assert_true(doc_slots_set_generation(&slots, 2, 0));
  assert_int_equal(slots.n_generations, 1);
  free(slots.generation);
  assert_int_equal(doc_slots_read(meta_text("{\"v\":3,\"shard\":\"AAAAAA==\"}"), &back, why),
                   DOC_NEWER);
  assert_int_equal(
      doc_slots_read(meta_text("{\"v\":2,\"shard\":\"AAAAAA==\",\"generation\":\"AAA=\"}"),
                     &back, why),
      DOC_MALFORMED);
}

static void test_split(void **state) {
  char why[DOC_TEXT_MAX];
  uint8_t moved[16] = {[3] = 1, [8] = 1, [15] = 1};
  size_t n;
  struct doc_split doc = {.collection = 7, .shard = 2, .id = 3, .child = 9, .n = 16}, back;
  (void)state;
  doc.moved = moved;
  doc.step = DOC_SPLIT_RELEASING;
  doc.n_forks = 2;
  doc.forks[0] = (struct doc_replica){4, {{1}}};
  doc.forks[1] = (struct doc_replica){2, {{2}}};
  char *text = doc_split_write(&doc, &n);
  assert_non_null(text);
  assert_int_equal(doc_split_read((struct meta_bytes){text, n}, &back, why), DOC_OK);
  assert_true(back.collection == 7 && back.shard == 2 && back.id == 3 && back.child == 9 &&
              back.step == DOC_SPLIT_RELEASING && back.n_forks == 2 && back.forks[1].node == 2);
  assert_int_equal(back.n, 16);
  assert_memory_equal(back.moved, moved, sizeof moved);
  assert_true(doc_split_open(&back));
  doc_split_free(&back);
  for (size_t cut = 1; cut < n; cut++)
    assert_int_equal(doc_split_read((struct meta_bytes){text, cut}, &back, why), DOC_MALFORMED);
  free(text);
  doc.forks[1].node = 4; /* twice */
  assert_null(doc_split_write(&doc, &n));
  doc.n_forks = 1;
  doc.child = 2; /* itself */
  assert_null(doc_split_write(&doc, &n));
  doc.child = 9;
  memset(moved, 1, sizeof moved); /* all of it */
  assert_null(doc_split_write(&doc, &n));
  memset(moved, 0, sizeof moved);
  assert_null(doc_split_write(&doc, &n));
}

static void test_keys(void **state) {
  static const struct {
    enum doc_kind kind;
    uint32_t a, b;
  } cases[] = {{DOC_PATH_CLUSTER, 0, 0}, {DOC_PATH_CONTROL, 0, 0}, {DOC_PATH_IDS, 0, 0},
               {DOC_PATH_NUMBERS, 0, 0},
               {DOC_PATH_NODE, 1, 0},    {DOC_PATH_LIVE, UINT32_MAX, 0}, {DOC_PATH_COLL, 20, 0},
               {DOC_PATH_SLOTS, 3, 0},   {DOC_PATH_SPLITS, 3, 0},        {DOC_PATH_SHARD, 4, 4095},
               {DOC_PATH_MOVE, 4, 0},    {DOC_PATH_SPLIT, 5, 17}};
  uint32_t a, b;
  char uuid[33];
  struct doc_uuid parsed;
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct doc_path p = doc_path(tm_cluster, cases[i].kind, cases[i].a, cases[i].b);
    assert_int_equal(doc_path_parse(tm_cluster, meta_text(p.text), &a, &b), cases[i].kind);
    assert_int_equal(a, cases[i].a);
    assert_int_equal(b, cases[i].b);
    const struct meta_bytes cut = {p.text, strlen(p.text) - 1};
    assert_int_equal(doc_path_parse(tm_cluster, cut, &a, &b), DOC_PATH_OTHER);
    strcat(p.text, "0");
    assert_int_equal(doc_path_parse(tm_cluster, meta_text(p.text), &a, &b), DOC_PATH_OTHER);
  }
  struct doc_path p = doc_path(tm_cluster, DOC_PATH_NODE, 7, 0);
  struct doc_uuid other = tm_cluster;
  other.bytes[15] ^= 1;
  assert_int_equal(doc_path_parse(other, meta_text(p.text), &a, &b), DOC_PATH_OTHER);
  doc_uuid_text(tm_cluster, uuid);
  assert_true(doc_uuid_parse(uuid, &parsed) && doc_uuid_same(parsed, tm_cluster));
  uuid[31] = 'G';
  assert_false(doc_uuid_parse(uuid, &parsed));
}

static void test_base64(void **state) {
  static const char *const known[][2] = {
      {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}};
  static const char *const bad[] = {
      "Z", "Zg=", "Zh==", "Zm9=", "Z===", "====", "Zg==Zg==", "Zm9\n", "-m8="};
  char out[16];
  size_t n;
  (void)state;
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    size_t length = base64_length(strlen(known[i][0]));
    assert_int_equal(length, strlen(known[i][1]));
    base64_write(known[i][0], strlen(known[i][0]), out);
    assert_memory_equal(out, known[i][1], length);
    assert_true(base64_read(known[i][1], length, out, &n));
    assert_int_equal(n, strlen(known[i][0]));
    assert_memory_equal(out, known[i][0], n);
  }
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_false(base64_read(bad[i], strlen(bad[i]), out, &n));
}

/* ---- The cache ---- */

/* A writer and a cache, each with its own client of one model. */
struct tm_pair {
  struct mt writer;
  struct mt reader;
  struct cache *cache;
  size_t told; /* calls of `changed` */
};

static void tm_changed(void *arg, const struct cache_entry *old, const struct cache_entry *now) {
  struct tm_pair *t = arg;
  assert_true(old || now);
  assert_true(!old || !now || old->mod != now->mod);
  t->told++;
}

static void tm_open(struct tm_pair *t, uint64_t seed) {
  memset(t, 0, sizeof *t);
  t->writer.server = t->reader.server = model_new(seed);
  t->writer.store = model_connect(t->writer.server);
  t->reader.store = model_connect(t->writer.server);
  const struct cache_config config = {.cluster = tm_cluster, .changed = tm_changed, .arg = t};
  t->cache = cache_open(t->reader.store, &config);
  assert_non_null(t->cache);
}

static void tm_close(struct tm_pair *t) {
  meta_close(t->writer.store);
  meta_close(t->reader.store);
  cache_close(t->cache);
  model_free(t->writer.server);
}

/* The reader's time goes on to `until`. */
static void tm_run(struct tm_pair *t, int64_t until) {
  while (t->reader.now_us < until) {
    int64_t due = cache_due(t->cache);
    mt_step(&t->reader, due < until ? due : until);
    cache_run(t->cache, t->reader.now_us);
  }
  t->writer.now_us = t->reader.now_us;
}

static void tm_put_shard(struct tm_pair *t, uint32_t number, uint64_t epoch) {
  struct doc_shard doc = tm_shard();
  size_t n;
  doc.number = number;
  doc.epoch = epoch;
  struct doc_path path = doc_path(tm_cluster, DOC_PATH_SHARD, doc.collection, number);
  char *text = doc_shard_write(&doc, &n);
  const struct meta_op op = {.kind = META_PUT, .key = meta_text(path.text), .value = {text, n}};
  mt_do1(&t->writer, op);
  free(text);
}

static void tm_delete_shard(struct tm_pair *t, uint32_t number) {
  struct doc_path path = doc_path(tm_cluster, DOC_PATH_SHARD, 7, number);
  mt_do1(&t->writer, (struct meta_op){.kind = META_DELETE, .key = meta_text(path.text)});
}

/* What the view must be: the epoch of each shard, 0 where there is none. */
static bool tm_same(struct tm_pair *t, const uint64_t *epochs, uint32_t n) {
  const struct cache_view *view = cache_take(t->cache);
  size_t there = 0, listed;
  bool same = view != NULL;
  for (uint32_t i = 0; view && i < n; i++) {
    const struct doc_shard *doc = cache_doc(view, DOC_PATH_SHARD, 7, i);
    same = same && (doc ? doc->epoch : 0) == epochs[i];
    there += epochs[i] != 0;
  }
  if (view) {
    const struct cache_entry *const *all = cache_all(view, DOC_PATH_SHARD, 7, &listed);
    same = same && listed == there;
    for (size_t i = 1; i < listed; i++)
      same = same && all[i - 1]->b < all[i]->b;
  }
  cache_give(view);
  return same;
}

static void test_cache(void **state) {
  struct tm_pair t;
  uint64_t epochs[200] = {0};
  (void)state;
  tm_open(&t, 1);
  assert_null(cache_take(t.cache));
  for (uint32_t i = 0; i < 200; i++) /* more than a page */
    tm_put_shard(&t, i, epochs[i] = i + 1);
  tm_run(&t, 1000000);
  assert_true(tm_same(&t, epochs, 200));
  assert_int_equal(t.told, 200);
  const struct cache_view *old = cache_take(t.cache);
  tm_put_shard(&t, 5, epochs[5] = 77);
  tm_delete_shard(&t, 6);
  epochs[6] = 0;
  tm_run(&t, 2000000);
  assert_true(tm_same(&t, epochs, 200));
  assert_int_equal(t.told, 202);
  const struct doc_shard *before = cache_doc(old, DOC_PATH_SHARD, 7, 5);
  assert_int_equal(before->epoch, 6); /* a view does not change */
  cache_give(old);
  struct doc_path bad = doc_path(tm_cluster, DOC_PATH_SHARD, 7, 8);
  mt_do1(&t.writer,
         (struct meta_op){
             .kind = META_PUT, .key = meta_text(bad.text), .value = meta_text("{\"v\":9}")});
  tm_run(&t, 3000000);
  const struct cache_view *view = cache_take(t.cache);
  const struct cache_entry *entry = cache_find(view, DOC_PATH_SHARD, 7, 8);
  assert_int_equal(entry->status, DOC_NEWER);
  assert_null(entry->doc);
  cache_give(view);
  assert_int_equal(cache_state(t.cache).repairs, 0);
  tm_close(&t);
}

/* The store is away for a minute: the view stays, and is right again soon after. */
static void test_cache_outage(void **state) {
  struct tm_pair t;
  uint64_t epochs[4] = {1, 2, 3, 4};
  (void)state;
  tm_open(&t, 2);
  for (uint32_t i = 0; i < 4; i++)
    tm_put_shard(&t, i, epochs[i]);
  tm_run(&t, 1000000);
  model_set_down(t.writer.server, true);
  tm_run(&t, 61000000);
  assert_true(tm_same(&t, epochs, 4));
  assert_true(cache_state(t.cache).heard_us <= 1000000);
  model_set_down(t.writer.server, false);
  model_set_cut(t.reader.store, true); /* then the reader alone is cut off, and revisions go */
  tm_put_shard(&t, 0, epochs[0] = 50);
  model_compact(t.writer.server, model_revision(t.writer.server));
  tm_put_shard(&t, 1, epochs[1] = 51);
  tm_run(&t, 90000000);
  assert_false(tm_same(&t, epochs, 4));
  model_set_cut(t.reader.store, false);
  tm_run(&t, 110000000);
  assert_true(tm_same(&t, epochs, 4));
  tm_close(&t);
}

/* Whatever the watch loses, repeats or delays and however old reads are: in the end it is right,
   and a document's revision never falls meanwhile. */
static void tm_faulty(uint64_t seed) {
  struct tm_pair t;
  uint64_t epochs[12] = {0}, random = seed;
  const struct model_faults faults = {.latency_max_us = 50000,
                                      .slow = 100,
                                      .slow_us = 3000000,
                                      .stale = 3000,
                                      .watch_repeats = 2000,
                                      .watch_loses = 2000,
                                      .watch_lag_us = 2000000};
  tm_open(&t, seed);
  model_set_faults(t.writer.server, &faults);
  int64_t revision = 0;
  for (uint64_t step = 1; step <= 60; step++) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    uint32_t shard = (uint32_t)(random >> 33) % 12;
    if (random >> 62) {
      tm_put_shard(&t, shard, epochs[shard] = step);
    } else {
      tm_delete_shard(&t, shard);
      epochs[shard] = 0;
    }
    if (step % 10 == 0)
      model_compact(t.writer.server, model_revision(t.writer.server));
    t.reader.now_us = t.writer.now_us;
    tm_run(&t, t.reader.now_us + (int64_t)(random >> 40) % 1000000);
    assert_true(cache_state(t.cache).revision >= revision);
    revision = cache_state(t.cache).revision;
  }
  model_set_faults(t.writer.server, &(struct model_faults){0});
  tm_run(&t, t.reader.now_us + 40000000);
  assert_true(tm_same(&t, epochs, 12));
  tm_close(&t);
}

static void test_cache_faults(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 60; seed++)
    tm_faulty(seed);
}

/* Readers on threads of their own: every view is of one moment, whatever comes meanwhile. */
struct tm_reader {
  struct cache *cache;
  atomic_bool stop;
  atomic_uint wrong;
  atomic_uint views;
};

static void *tm_read(void *arg) {
  struct tm_reader *r = arg;
  int64_t revision = 0;
  while (!atomic_load(&r->stop)) {
    const struct cache_view *view = cache_take(r->cache);
    const struct doc_shard *one = cache_doc(view, DOC_PATH_SHARD, 7, 1);
    const struct doc_shard *two = cache_doc(view, DOC_PATH_SHARD, 7, 2);
    bool good = one && two && view->revision >= revision;
    good = good && one->epoch >= two->epoch && one->epoch <= two->epoch + 1; /* put in turn */
    revision = view->revision;
    atomic_fetch_add(&r->wrong, !good);
    atomic_fetch_add(&r->views, 1);
    cache_give(view);
  }
  return NULL;
}

static void test_cache_threads(void **state) {
  struct tm_pair t;
  struct tm_reader reader = {0};
  pthread_t threads[2];
  (void)state;
  tm_open(&t, 9);
  tm_put_shard(&t, 1, 1);
  tm_put_shard(&t, 2, 1);
  tm_run(&t, 1000);
  reader.cache = t.cache;
  for (size_t i = 0; i < 2; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, tm_read, &reader), 0);
  for (uint64_t epoch = 2; epoch < 200 || atomic_load(&reader.views) < 200; epoch++)
    for (uint32_t shard = 1; shard <= 2; shard++) {
      tm_put_shard(&t, shard, epoch);
      tm_run(&t, t.reader.now_us + 1000);
    }
  atomic_store(&reader.stop, true);
  for (size_t i = 0; i < 2; i++)
    pthread_join(threads[i], NULL);
  assert_int_equal(atomic_load(&reader.wrong), 0);
  tm_close(&t);
}

/* ---- The model's faults, as a client sees them ---- */

static void test_model_faults(void **state) {
  static const struct {
    struct model_faults faults;
    enum meta_status write, read;
    bool applied;
  } cases[] = {
      {{.refused = 10000}, META_UNAVAILABLE, META_UNAVAILABLE, false},
      {{.request_lost = 10000}, META_UNKNOWN, META_UNAVAILABLE, false},
      {{.answer_lost = 10000}, META_UNKNOWN, META_UNAVAILABLE, true},
      {{.late = 10000}, META_UNKNOWN, META_UNAVAILABLE, true},
      {{.latency_min_us = 4000000, .latency_max_us = 4000000}, META_OK, META_OK, true},
      {{.latency_min_us = 6000000, .latency_max_us = 6000000},
       META_UNKNOWN,
       META_UNAVAILABLE,
       true},
  };
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct mt t = {.server = model_new(i), .prefix = "f"};
    t.store = model_connect(t.server);
    model_set_faults(t.server, &cases[i].faults);
    assert_int_equal(mt_do1(&t, mt_put(&t, "k", "v"))->r.status, cases[i].write);
    assert_int_equal(mt_do1(&t, mt_get(&t, "k"))->r.status, cases[i].read);
    model_set_faults(t.server, &(struct model_faults){0});
    model_advance(t.server, t.now_us + 20000000);
    struct mt_result *r = mt_do1(&t, mt_get(&t, "k"));
    assert_int_equal(r->answers[0].n, cases[i].applied);
    meta_close(t.store);
    model_free(t.server);
  }
}

/* A store that is closed answers what is under way, once. */
static void test_close(void **state) {
  struct mt t = {.server = model_new(1), .prefix = "c"};
  struct mt_result read = {0}, write = {0};
  struct mt_watch w = {0};
  (void)state;
  t.store = model_connect(t.server);
  const struct meta_op get = mt_get(&t, "k"), put = mt_put(&t, "k", "v");
  const struct meta_txn reads = {.then = &get, .n_then = 1}, writes = {.then = &put, .n_then = 1};
  model_set_faults(t.server, &(struct model_faults){.latency_min_us = 9, .latency_max_us = 9});
  assert_int_equal(meta_txn(t.store, &reads, 0, mt_done, &read), META_OK);
  assert_int_equal(meta_txn(t.store, &writes, 0, mt_done, &write), META_OK);
  assert_int_equal(
      meta_watch(t.store, get.key, (struct meta_bytes){NULL, 0}, 1, mt_watched, &w, &w.id),
      META_OK);
  meta_close(t.store);
  assert_true(read.done && write.done);
  assert_int_equal(write.r.status, META_UNKNOWN);
  assert_int_equal(w.ended, META_CLOSED);
  model_free(t.server);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_shard),        cmocka_unit_test(test_malformed),
      cmocka_unit_test(test_node_coll),    cmocka_unit_test(test_tables),
                                     cmocka_unit_test(test_generations),
                                     cmocka_unit_test(test_split),
      cmocka_unit_test(test_keys),         cmocka_unit_test(test_base64),
      cmocka_unit_test(test_cache),        cmocka_unit_test(test_cache_outage),
      cmocka_unit_test(test_cache_faults), cmocka_unit_test(test_model_faults),
      cmocka_unit_test(test_close),        cmocka_unit_test(test_cache_threads),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
