/*
 * test_machine_split.c - the data of a shard that is split, on a simulated disk: crashes around the
 * fence, the copy and the release, beside a naive model. TSAN: yes
 */
#include "cluster/machinetest.h"
#include "meta/key.h"
#include "node/machine_db.h"
#include "place/route.h"
#include "wire/touched.h"

enum { TM_SLOTS = 16 };

/* Odd slots move. */
static bool tm_moves(int64_t key) {
  return place_slot((struct place_window){0, TM_SLOTS}, place_hash_number(key)) % 2;
}

/* `ranges` NULL: rows are placed by their keys; else by the field `a`. */
static void tm_split_by(struct wire_out *out, enum rep_split_entry what, uint64_t id,
                        const uint8_t *moved, const struct doc_splits *ranges) {
  struct doc_coll coll = {.id = 1, .name = "c", .slots = TM_SLOTS, .window = 1, .shards = 1};
  const struct doc_split split = {
      .collection = 1, .id = id, .child = 1, .n = TM_SLOTS, .moved = (uint8_t *)(uintptr_t)moved};
  size_t n[3];
  coll.replicas = coll.min_isr = 1;
  coll.policy = ranges ? DOC_RANGE : DOC_HASH;
  strcpy(coll.field, ranges ? "a" : "");
  char *texts[] = {doc_coll_write(&coll, &n[0]), doc_split_write(&split, &n[1]),
                   ranges ? doc_splits_write(ranges, &n[2]) : NULL};
  assert_true(texts[0] && texts[1] && (texts[2] || !ranges));
  const struct wire_document documents[] = {{DOC_PATH_COLL, 1, 0, 1, texts[0], n[0]},
                                            {DOC_PATH_SPLIT, 1, 0, 1, texts[1], n[1]},
                                            {DOC_PATH_SPLITS, 1, 0, 1, texts[2], n[2]}};
  const struct wire_message m = {
      .kind = WIRE_WRITE,
      .has = WIRE_HAS(WIRE_TARGET) | WIRE_HAS(WIRE_OP) | WIRE_HAS(WIRE_DOCUMENTS_OF),
      .write = {.client = 1, .count = 1, .kind = WIRE_SPLIT, .flags = what},
      .documents = documents,
      .n_documents = ranges ? 3 : 2};
  wire_out_init(out, WIRE_LIMIT);
  wire_message_write(&m, out);
  assert_int_equal(out->status, WIRE_OK);
  for (int i = 0; i < 3; i++)
    free(texts[i]);
}

static void tm_split_body(struct wire_out *out, enum rep_split_entry what, uint64_t id) {
  uint8_t moved[TM_SLOTS];
  for (int i = 0; i < TM_SLOTS; i++)
    moved[i] = (uint8_t)(i % 2);
  tm_split_by(out, what, id, moved, NULL);
}

/* An entry of the split `id`, which is the generation that it makes, too. */
static void tm_split_entry(struct tm *t, enum rep_split_entry what, uint64_t id) {
  uint64_t seq = ++t->last;
  struct wire_out *out = &t->bodies[seq];
  tm_split_body(out, what, id);
  t->entries[seq] = (struct rep_entry){.pos = {seq, 1, rep_mix(seq, 7)},
                                       .op = machine_split_op(what, id, 1),
                                       .kind = REP_DATA,
                                       .n = (uint32_t)out->n,
                                       .body = out->data};
  t->rows[seq] = t->rows[seq - 1];
  for (int64_t i = 0; i < TM_KEYS && what == REP_SPLIT_RELEASE; i++)
    if (tm_moves(i))
      t->rows[seq].a[i] = t->rows[seq].b[i] = -1;
}

static void tm_noop(struct tm *t) {
  uint64_t seq = ++t->last;
  t->entries[seq] = (struct rep_entry){.pos = {seq, 1, rep_mix(seq, 7)}, .kind = REP_NOOP};
  t->rows[seq] = t->rows[seq - 1];
}

/* The child's data is that of the fence: moved rows alone, all op ids, its position. */
static void tm_child_is(const struct tm *t, const char *folder, uint64_t fence) {
  struct tm u = {.last = t->last};
  struct tm_rows want = t->rows[fence];
  u.folder = folder;
  u.disk = t->disk;
  u.work = t->work;
  u.schema = t->schema;
  tm_open(&u);
  for (int64_t i = 0; i < TM_KEYS; i++)
    if (!tm_moves(i))
      want.a[i] = want.b[i] = -1;
  assert_true(tm_is(&u, &want));
  const struct rep_pos pos = u.m.pos(u.m.arg);
  assert_true(pos.seq == fence && pos.chain == t->entries[fence].pos.chain && pos.epoch == 1);
  const struct rep_split s = machine_split(u.machine);
  assert_true(s.generation == 1 && !s.id && !s.fenced);
  for (uint64_t seq = fence > 20 ? fence - 20 : 1; seq < fence; seq++)
    if (t->entries[seq].kind == REP_DATA)
      assert_true(u.m.seen(u.m.arg, t->entries[seq].op));
  machine_close(u.machine);
}

static void tm_again(struct tm *t, uint64_t seed) {
  machine_close(t->machine);
  if (tm_below(t, 2))
    simdisk_stop_after(t->disk, UINT64_MAX);
  else
    simdisk_crash(t->disk, seed);
  tm_open(t);
}

/* Has a copy made, on a disk that may fail; whether there is one. */
static bool tm_fork_of(struct tm *t, const char *folder, uint64_t id) {
  struct wire_out body;
  char mark[32];
  snprintf(mark, sizeof mark, "0 %u 7", (unsigned)id);
  tm_split_body(&body, REP_SPLIT_FENCE, id);
  machine_fork(t->machine, folder, body.data, body.n, mark);
  wire_out_free(&body);
  tm_wait(t);
  return machine_forked(t->machine, id);
}

static bool tm_fork(struct tm *t, const char *folder) { return tm_fork_of(t, folder, 1); }

/* The disk fails within so many operations. */
static void tm_split_life(struct tm *t, uint64_t seed, uint64_t fence, const char *folder,
                          uint64_t within) {
  simdisk_stop_after(t->disk, tm_below(t, within));
  (void)tm_apply(t);
  bool forked = tm_fork(t, folder);
  tm_again(t, seed);
  if (forked)
    tm_child_is(t, folder, fence);
}

/* Crashes around the fence, the copy and the release: in the end each row is where it belongs, and
   no copy is of anything but the fence. */
static void tm_split(uint64_t seed) {
  static const char *const folders[] = {"c", "d", "e"};
  struct tm t;
  tm_start(&t, seed);
  for (uint64_t n = 5 + tm_below(&t, 40); n; n--)
    tm_entry(&t);
  tm_split_entry(&t, REP_SPLIT_FENCE, 1);
  const uint64_t fence = t.last;
  for (uint64_t n = tm_below(&t, 3); n; n--)
    tm_noop(&t);
  for (uint64_t life = 0; life < 3; life++)
    tm_split_life(&t, seed * 10 + life, fence, "c", 150);
  assert_true(tm_apply(&t));
  assert_true(machine_split(t.machine).fenced && machine_split(t.machine).id == 1);
  assert_true(tm_fork(&t, "c"));
  tm_child_is(&t, "c", fence);
  tm_again(&t, seed); /* this life has its copy */
  tm_split_entry(&t, REP_SPLIT_RELEASE, 1);
  for (uint64_t life = 0; life < 2; life++)
    tm_split_life(&t, seed * 10 + life, fence, folders[1 + life], 6);
  const bool fenced = machine_split(t.machine).fenced, forked = fenced && tm_fork(&t, "f");
  tm_entry(&t);
  assert_true(tm_apply(&t));
  assert_true(tm_is(&t, &t.rows[t.last]));
  const struct rep_split s = machine_split(t.machine);
  assert_true(s.generation == 1 && s.id == 1 && !s.fenced);
  assert_true(forked || !tm_fork(&t, "g"));
  tm_child_is(&t, forked ? "f" : "c", fence);
  tm_stop(&t);
}

static void test_split(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= TEST_SIZES(60, 20, 4); seed++)
    tm_split(seed);
}

/* Rows have begun to go when the process ended: what is left of them is copied by nobody. */
static void test_split_begun(void **state) {
  struct tm t;
  struct machine_db db;
  char why[MACHINE_WHY];
  const struct machine_mark mark = {.client = {MACHINE_RELEASED, 1, 0, 0}};
  (void)state;
  tm_start(&t, 6);
  const struct machine_options o = {.schema = &t.schema, .vfs = simdisk_vfs(t.disk)};
  while (t.last < 20)
    tm_entry(&t);
  tm_split_entry(&t, REP_SPLIT_FENCE, 1);
  assert_true(tm_apply(&t));
  assert_false(machine_split_torn(t.machine));
  machine_close(t.machine);
  assert_true(machine_db_open(&db, "m/data", &o, false, why));
  assert_true(machine_db_mark(&db, &mark) && machine_db_flush(&db));
  machine_db_close(&db);
  tm_open(&t);
  assert_true(machine_split(t.machine).fenced && machine_split_torn(t.machine));
  assert_false(tm_fork(&t, "c"));
  tm_split_entry(&t, REP_SPLIT_RELEASE, 1);
  assert_true(tm_apply(&t) && tm_is(&t, &t.rows[t.last]));
  assert_false(machine_split_torn(t.machine));
  tm_stop(&t);
}

/* Whoever asks while rows go, and the next split has its fence already, is told without a lock. */
static void test_split_torn(void **state) {
  struct tm t;
  (void)state;
  tm_start(&t, 8);
  while (t.last < 20)
    tm_entry(&t);
  tm_split_entry(&t, REP_SPLIT_FENCE, 1);
  tm_split_entry(&t, REP_SPLIT_RELEASE, 1);
  tm_split_entry(&t, REP_SPLIT_FENCE, 2);
  for (uint64_t seq = 1; seq <= t.last; seq++)
    assert_int_not_equal(t.m.apply(t.m.arg, &t.entries[seq]), REP_APPLY_FAILED);
  assert_true(machine_split(t.machine).fenced);
  while (machine_seen(t.machine) < t.last) {
    struct pollfd p = {.fd = work_fd(t.work), .events = POLLIN};
    assert_false(machine_split_torn(t.machine));
    poll(&p, 1, -1);
    work_run(t.work);
  }
  assert_true(tm_is(&t, &t.rows[t.last]));
  tm_stop(&t);
}

/* An entry is looked at before it is in the log: what says not all of it, or is of another split,
   would fail at every replica. */
static void test_split_good(void **state) {
  static const uint8_t moved[TM_SLOTS] = {0, 1};
  struct doc_range far[] = {{.n_slots = TM_SLOTS}, {{.number = 3}, TM_SLOTS, 1}};
  const struct doc_splits ranges = {1, far}, beyond = {2, far};
  struct wire_out out;
  char why[MACHINE_WHY] = "";
  (void)state;
  tm_split_body(&out, REP_SPLIT_RELEASE, 3);
  assert_true(machine_split_good(out.data, out.n, 3, why));
  assert_false(machine_split_good(out.data, out.n, 4, why));
  assert_false(machine_split_good(out.data, out.n - 8, 3, why));
  wire_out_free(&out);
  tm_split_by(&out, REP_SPLIT_RELEASE, 3, moved, &ranges);
  assert_true(machine_split_good(out.data, out.n, 3, why));
  wire_out_free(&out);
  tm_split_by(&out, REP_SPLIT_RELEASE, 3, moved, &beyond);
  assert_false(machine_split_good(out.data, out.n, 3, why));
  assert_non_null(strstr(why, "documents"));
  wire_out_free(&out);
}

/* A fence is there once; after a cancellation the data is as if there had been none, and a copy of
   the next split is one of that. Another machine that gets the data knows all of it. */
static void test_split_cancelled(void **state) {
  struct tm t, u = {0};
  (void)state;
  tm_start(&t, 5);
  tm_open_other(&u, &t);
  while (t.last < 20)
    tm_entry(&t);
  tm_split_entry(&t, REP_SPLIT_FENCE, 1);
  tm_split_entry(&t, REP_SPLIT_FENCE, 1);
  tm_split_entry(&t, REP_SPLIT_FENCE, 2); /* without effect: the first one is under way */
  assert_true(tm_apply(&t));
  assert_int_equal(machine_split(t.machine).id, 1);
  tm_again(&t, 0);
  assert_true(machine_split(t.machine).fenced && machine_split(t.machine).id == 1);
  assert_true(tm_fork(&t, "c"));
  tm_split_entry(&t, REP_SPLIT_CANCEL, 1);
  tm_split_entry(&t, REP_SPLIT_RELEASE, 1); /* without effect */
  t.rows[t.last] = t.rows[t.last - 1];
  while (t.last < 40)
    tm_noop(&t);
  while (t.last < 46) /* none of these is a split's entry once more */
    tm_entry(&t);
  tm_split_entry(&t, REP_SPLIT_FENCE, 3);
  assert_true(tm_apply(&t) && tm_is(&t, &t.rows[t.last]));
  assert_true(tm_fork_of(&t, "c", 3)); /* where that of the first one lies */
  tm_child_is(&t, "c", t.last);
  assert_true(tm_ship(&t, &u));
  const struct rep_split s = machine_split(u.machine);
  assert_true(s.fenced && s.id == 3 && !s.generation);
  machine_close(u.machine);
  tm_stop(&t);
}

/* A range that moves takes the rows with it whose field is in it. */
static void test_split_ranges(void **state) {
  enum { MID = 15 };
  struct tm t;
  uint8_t moved[TM_SLOTS] = {0};
  struct doc_range two[] = {{.n_slots = TM_SLOTS / 2},
                            {{.number = MID}, TM_SLOTS / 2, TM_SLOTS / 2}};
  const struct doc_splits ranges = {2, two};
  memset(moved + TM_SLOTS / 2, 1, TM_SLOTS / 2);
  (void)state;
  tm_start(&t, 9);
  while (t.last < 24)
    tm_entry(&t);
  tm_split_entry(&t, REP_SPLIT_FENCE, 1);
  tm_split_entry(&t, REP_SPLIT_RELEASE, 1);
  wire_out_free(&t.bodies[t.last]);
  tm_split_by(&t.bodies[t.last], REP_SPLIT_RELEASE, 1, moved, &ranges);
  t.entries[t.last].body = t.bodies[t.last].data;
  t.entries[t.last].n = (uint32_t)t.bodies[t.last].n;
  struct tm_rows want = t.rows[t.last - 1];
  uint32_t gone = 0, kept = 0;
  for (int i = 0; i < TM_KEYS; i++) {
    bool moves = want.a[i] >= MID;
    gone += moves;
    kept += want.a[i] >= 0 && !moves;
    want.a[i] = moves ? -1 : want.a[i];
    want.b[i] = moves ? -1 : want.b[i];
  }
  assert_true(gone && kept);
  assert_true(tm_apply(&t) && tm_is(&t, &want));
  tm_stop(&t);
}

/* Who follows the log hears that rows are another shard's, and of no row that was touched. */
static void test_split_touched(void **state) {
  (void)state;
  for (uint32_t what = REP_SPLIT_FENCE; what <= REP_SPLIT_CANCEL; what++) {
    struct wire_touched touched = {.key = "id", .type = VECDB_INT64};
    struct wire_out out;
    tm_split_body(&out, (enum rep_split_entry)what, 1);
    assert_true(wire_touched_add(&touched, out.data, out.n));
    assert_true(touched.split == (what == REP_SPLIT_RELEASE));
    assert_int_equal(wire_touched_keys(&touched).n, 0);
    wire_touched_free(&touched);
    wire_out_free(&out);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {TEST_ALONE(cmocka_unit_test(test_split)),
                                     TEST_ALONE(cmocka_unit_test(test_split_begun)),
                                     cmocka_unit_test(test_split_torn),
                                     TEST_ALONE(cmocka_unit_test(test_split_good)),
                                     TEST_ALONE(cmocka_unit_test(test_split_ranges)),
                                     TEST_ALONE(cmocka_unit_test(test_split_touched)),
                                     TEST_ALONE(cmocka_unit_test(test_split_cancelled))};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
