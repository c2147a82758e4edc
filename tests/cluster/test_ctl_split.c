/*
 * test_ctl_split.c - `vecdb cluster split`: which slots move, what stands in the way, giving it up.
 */
#include "cluster/ctltest.h"
#include "ctl/split.h"
#include "place/route.h"

static struct doc_split tc_split(struct tc *t, uint32_t shard) {
  const struct cache_view *view = ctl_view(&t->ctl);
  const struct doc_split *doc = cache_doc(view, DOC_PATH_SPLIT, 1, shard);
  struct doc_split split = doc ? *doc : (struct doc_split){0};
  cache_give(view);
  split.moved = NULL; /* the view's */
  return split;
}

/* What stands in the way of a split, and of a move meanwhile; which slots; giving it up. */
static void test_split(void **state) {
  static const char *const bad[] = {"--slots 0,999", "--slots 3-", "--slots x", "--slots 5-4"};
  static const char split[] = "split --collection rows --shard 0";
  struct tc t;
  char text[4096], line[128];
  (void)state;
  tc_begin(&t, model_new(7));
  struct doc_coll coll = tc_coll("rows", 2, 3);
  assert_int_equal(ctl_create(&t.ctl, &coll, NULL), CTL_OK);
  tc_settle(&t);
  for (uint32_t id = 1; id <= 6; id++)
    tc_live_as(&t, id, 1, id == 6 ? DOC_SPEAKS_FIELDS : DOC_SPEAKS_LAST);
  assert_int_equal(tc_type(&t, split, text, sizeof text), 1);
  assert_non_null(strstr(text, "node 6 runs a version that cannot do this"));
  tc_live(&t, 6, 1);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    snprintf(line, sizeof line, "%s %s", split, bad[i]);
    assert_int_equal(tc_type(&t, line, text, sizeof text), 1);
  }
  assert_int_equal(tc_type(&t, "split --collection rows --shard 2", text, sizeof text), 1);
  assert_int_equal(tc_type(&t, split, text, sizeof text), 0);
  struct doc_split doc = tc_split(&t, 0);
  assert_true(doc.id == 1 && doc.child == 2 && doc.step == DOC_SPLIT_PLANNED && doc.n == 256);
  assert_int_equal(tc_type(&t, "status", text, sizeof text), 0);
  assert_non_null(strstr(text, "slots -> shard 2, planned, 0 copies, 3 replicas in sync"));
  assert_int_equal(tc_type(&t, split, text, sizeof text), 1); /* once is enough */
  assert_int_equal(tc_type(&t, "split --collection rows --shard 1", text, sizeof text), 1);
  assert_non_null(strstr(text, "another shard of the collection"));
  struct doc_shard shard = tc_shard(&t);
  uint32_t other = 1;
  while (doc_has(shard.isr, shard.n_isr, other))
    other++;
  snprintf(line, sizeof line, "force --collection rows --shard 0 --target-node %u",
           shard.isr[1]);
  assert_int_equal(tc_type(&t, line, text, sizeof text), 1);
  assert_non_null(strstr(text, "is being split"));
  snprintf(line, sizeof line, "move --collection rows --shard 0 --target-node %u", other);
  assert_int_equal(tc_type(&t, line, text, sizeof text), 1);
  assert_non_null(strstr(text, "is being split"));
  assert_int_equal(tc_type(&t, "cancel --collection rows --shard 0", text, sizeof text), 0);
  assert_int_equal(tc_split(&t, 0).step, DOC_SPLIT_CANCELLED);
  assert_int_equal(tc_type(&t, "cancel --collection rows --shard 0", text, sizeof text), 1);
  assert_int_equal(tc_type(&t, line, text, sizeof text), 0);
  assert_int_equal(tc_type(&t, split, text, sizeof text), 1);
  assert_non_null(strstr(text, "is being moved"));
  assert_int_equal(tc_type(&t, "split --collection rows --shard 1", text, sizeof text), 0);
  assert_int_equal(tc_split(&t, 1).child, 2);
  shard = tc_shard(&t);
  shard.number = 2;
  struct doc_path path = doc_path(tc_cluster, DOC_PATH_SHARD, 1, 2);
  size_t n;
  bool held;
  char *document = doc_shard_write(&shard, &n);
  assert_int_equal(ctl_put(&t.nodes, path, document, n, 0, &held), CTL_OK);
  free(document);
  tc_settle(&t);
  snprintf(line, sizeof line, "move --collection rows --shard 2 --target-node %u", other);
  assert_int_equal(tc_type(&t, line, text, sizeof text), 1); /* it may go again */
  assert_non_null(strstr(text, "is being split"));
  tc_end(&t);
}

/* Who waits for a split that no node goes on with is told so. */
static void test_split_waits(void **state) {
  struct tc t;
  char text[4096];
  (void)state;
  tc_begin(&t, model_new(8));
  struct doc_coll coll = tc_coll("rows", 1, 3);
  assert_int_equal(ctl_create(&t.ctl, &coll, NULL), CTL_OK);
  for (uint32_t id = 1; id <= 6; id++)
    tc_live(&t, id, 1);
  assert_int_equal(tc_type(&t, "split --collection rows --shard 0 --wait", text, sizeof text), 1);
  assert_non_null(strstr(text, "nobody has gone on with it"));
  assert_int_equal(tc_split(&t, 0).step, DOC_SPLIT_PLANNED);
  tc_end(&t);
}

/* Of a shard with several ranges the upper ones move. */
static void test_split_ranges(void **state) {
  struct tc t;
  struct doc_key sample[] = {
      {DOC_KEY_INT, 10, 0, ""}, {DOC_KEY_INT, 20, 0, ""}, {DOC_KEY_INT, 30, 0, ""}};
  struct doc_splits ranges;
  struct ctl_split split;
  (void)state;
  tc_begin(&t, model_new(9));
  struct doc_coll coll = tc_coll("times", 1, 1);
  coll.policy = DOC_RANGE;
  strcpy(coll.field, "time");
  assert_true(place_splits(sample, 3, 3, 256, &ranges));
  assert_int_equal(ctl_create(&t.ctl, &coll, &ranges), CTL_OK);
  for (uint32_t id = 1; id <= 6; id++)
    tc_live(&t, id, 1);
  const struct cache_view *view = ctl_view(&t.ctl);
  assert_int_equal(ctl_plan_split(view, coll.id, 0, NULL, &split), CTL_OK);
  for (uint32_t i = 0; i < 256; i++)
    assert_int_equal(split.doc.moved[i], i >= ranges.ranges[1].first_slot);
  doc_split_free(&split.doc);
  cache_give(view);
  doc_splits_free(&ranges);
  tc_end(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_split),
                                     cmocka_unit_test(test_split_waits),
                                     cmocka_unit_test(test_split_ranges)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
