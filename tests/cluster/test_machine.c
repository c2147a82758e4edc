/*
 * test_machine.c - a shard's data over the library, on a simulated disk: random writes beside a
 * naive model, a crash or a killed process somewhere in each life. What is found then is of one
 * position, and the entries behind it lead to what the model has.
 *
 * TSAN: yes
 */
#include "cluster/machinetest.h"
#include "node/machine_db.h"
#include "wire/schema.h"
#include "wire/touched.h"

/* ---- The model ---- */

/* ---- Entries ---- */

/* One more, which has the rows compared. */
static void tm_check(struct tm *t) {
  uint64_t seq = ++t->last;
  struct wire_out *out = &t->bodies[seq];
  const struct wire_message m = {.kind = WIRE_WRITE,
                                 .has = WIRE_HAS(WIRE_TARGET) | WIRE_HAS(WIRE_OP),
                                 .write = {.client = 1, .count = 1, .kind = WIRE_CHECK}};
  wire_out_init(out, WIRE_LIMIT);
  wire_message_write(&m, out);
  assert_int_equal(out->status, WIRE_OK);
  t->entries[seq] = (struct rep_entry){.pos = {seq, 1, rep_mix(seq, 7)},
                                       .op = {9, seq},
                                       .kind = REP_DATA,
                                       .n = (uint32_t)out->n,
                                       .body = out->data};
  t->rows[seq] = t->rows[seq - 1];
}

/* What the last entry, a check, has given. */
static uint64_t tm_digest(const struct tm *t, uint64_t last) {
  uint64_t seq = 0, digest = 0;
  assert_true(t->m.digest(t->m.arg, &seq, &digest));
  assert_int_equal(seq, last);
  return digest;
}

static void tm_refused(struct tm *t, struct rep_op op, int code) {
  struct machine_data *data = machine_hold(t->machine);
  struct machine_outcome o;
  assert_int_equal(machine_refused(data, op, &o), VECDB_OK);
  machine_drop(data);
  assert_int_equal(o.code, code);
  assert_int_equal(*o.error.message != 0, code != VECDB_OK);
  assert_int_equal(o.error.row >= 0, code == VECDB_ERR_EXISTS || code == VECDB_ERR_VERSION);
}

/* Each write that is still in its client's window is known to be refused or not, as the model has
   it, whatever has happened to the machine since. */
static void tm_outcomes(struct tm *t, const struct tm *model) {
  uint64_t max[TM_CLIENTS] = {0};
  for (uint64_t seq = 1; seq <= model->last; seq++) {
    const struct rep_entry *e = &model->entries[seq];
    if (e->kind == REP_DATA && e->op.count > max[e->op.client % TM_CLIENTS])
      max[e->op.client % TM_CLIENTS] = e->op.count;
  }
  for (uint64_t seq = 1; seq <= model->last; seq++) {
    const struct rep_entry *e = &model->entries[seq];
    if (e->kind == REP_DATA && max[e->op.client % TM_CLIENTS] - e->op.count < 64)
      tm_refused(t, e->op, model->wanted[e->op.count]);
  }
}

static void tm_life(struct tm *t, uint64_t seed) {
  for (uint64_t n = 1 + tm_below(t, 40); n && t->last < TM_ENTRIES; n--)
    tm_entry(t);
  if (tm_below(t, 3))
    simdisk_stop_after(t->disk, tm_below(t, 40));
  bool alive = tm_apply(t);
  if (alive)
    assert_true(tm_is(t, &t->rows[t->last]));
  uint64_t seen = machine_seen(t->machine), durable = t->m.durable(t->m.arg);
  bool killed = tm_below(t, 2);
  machine_close(t->machine);
  if (killed)
    simdisk_stop_after(t->disk, UINT64_MAX);
  else
    simdisk_crash(t->disk, seed);
  tm_open(t);
  struct rep_pos pos = t->m.pos(t->m.arg);
  assert_true(pos.seq >= durable && pos.seq <= seen + 1 && pos.seq <= t->last);
  assert_true(!pos.seq || pos.chain == t->entries[pos.seq].pos.chain);
  assert_true(tm_is(t, &t->rows[pos.seq]) ||
              (pos.seq < t->last && tm_is(t, &t->rows[pos.seq + 1])));
  assert_true(tm_apply(t));
  assert_true(tm_is(t, &t->rows[t->last]));
}

static void test_crashes(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= TEST_SIZES(150, 40, 4); seed++) {
    struct tm t;
    tm_start(&t, seed);
    for (uint64_t life = 0; life < 5; life++)
      tm_life(&t, seed * 10 + life);
    tm_outcomes(&t, &t);
    tm_stop(&t);
  }
}

/* What came of each write is told, and the op ids of those applied are known after a restart. */
static void test_outcomes(void **state) {
  (void)state;
  struct tm t;
  const int64_t ids[2] = {1, 2}, others[2] = {2, 3};
  tm_start(&t, 1);
  for (uint64_t seq = 1; seq <= 3; seq++) {
    tm_message(&t.bodies[seq], WIRE_INSERT, seq == 2 ? others : ids, 5);
    t.entries[seq] = (struct rep_entry){.pos = {seq, 1, seq},
                                        .op = {7, seq == 3 ? 1 : seq},
                                        .kind = REP_DATA,
                                        .n = (uint32_t)t.bodies[seq].n,
                                        .body = t.bodies[seq].data};
    assert_int_equal(t.m.apply(t.m.arg, &t.entries[seq]),
                     seq == 3 ? REP_DUPLICATE : REP_APPLIED);
  }
  t.last = 3;
  tm_wait(&t);
  assert_int_equal(t.told, 3);
  assert_int_equal(t.codes[1], VECDB_OK);
  assert_int_equal(t.codes[2], VECDB_ERR_EXISTS);
  assert_int_equal(t.codes[3], VECDB_OK);
  machine_close(t.machine);
  tm_open(&t);
  assert_int_equal(t.m.pos(t.m.arg).seq, 3);
  assert_true(t.m.seen(t.m.arg, (struct rep_op){7, 2}));
  assert_false(t.m.seen(t.m.arg, (struct rep_op){7, 3}));
  tm_refused(&t, (struct rep_op){7, 1}, VECDB_OK);
  tm_refused(&t, (struct rep_op){7, 2}, VECDB_ERR_EXISTS);
  tm_refused(&t, (struct rep_op){7, 66}, VECDB_OK); /* which comes to its place */
  tm_stop(&t);
}

/* Data that fails says so, also when no further entry comes. */
static void test_failure(void **state) {
  (void)state;
  struct tm t;
  tm_start(&t, 1);
  tm_entry(&t);
  assert_true(tm_apply(&t));
  assert_int_equal(t.failed, 0);
  simdisk_stop_after(t.disk, 0);
  tm_entry(&t);
  assert_int_equal(t.m.apply(t.m.arg, &t.entries[2]), REP_APPLIED);
  tm_wait(&t);
  assert_int_equal(t.told, 1);
  assert_int_equal(t.failed, 1);
  tm_stop(&t);
}

/* ---- Pushes ---- */

/* Pushes up to an entry: from the third one on, but for each fourth, which expects versions that
   the rows do not have. */
static uint64_t tm_pushes(uint64_t seq) { return seq - 2 - (seq / 4); }

static int tm_push_code(uint64_t seq) { return seq % 4 ? VECDB_OK : VECDB_ERR_VERSION; }

/* The last entry: 1 is added to the first element of two rows' vectors; or, as entry 2, the field
   is made to take pushes. Each second one expects versions. */
static void tm_push(struct tm *t) {
  static const int64_t ids[2] = {1, 2};
  static const float ones[4] = {1, 0, 1, 0};
  const uint64_t version = 1 + tm_pushes(t->last - 1) + (tm_push_code(t->last) ? 1 : 0);
  const uint64_t versions[2] = {version, version};
  const struct wire_column columns[] = {
      {.name = "id", .type = VECDB_INT64, .data = ids},
      {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = 2, .data = ones},
      {.name = WIRE_VERSION_COLUMN, .type = VECDB_INT64, .data = versions}};
  struct wire_out *out = &t->bodies[t->last];
  struct wire_message m = {.kind = WIRE_WRITE,
                           .has = WIRE_HAS(WIRE_TARGET) | WIRE_HAS(WIRE_OP),
                           .write = {.client = 1, .count = 1, .kind = WIRE_OPTIMIZE}};
  if (t->last == 2) {
    m.has |= WIRE_HAS(WIRE_OPTIMIZER);
    m.optimizer.field = "v";
  } else {
    m.has |= WIRE_HAS(WIRE_BATCH);
    m.write.kind = WIRE_PUSH;
    m.write.flags = VECDB_PUSH_DELTA * WIRE_PUSH_KIND;
    m.rows = (struct wire_columns){2, t->last % 2 ? 2 : 3, columns, NULL};
  }
  wire_out_init(out, WIRE_LIMIT);
  wire_message_write(&m, out);
  assert_int_equal(out->status, WIRE_OK);
}

/* Rows, then the optimizer, then pushes. */
static void tm_push_entry(struct tm *t) {
  const int64_t ids[2] = {1, 2};
  uint64_t seq = ++t->last;
  if (seq == 1)
    tm_message(&t->bodies[seq], WIRE_UPSERT, ids, 1);
  else
    tm_push(t);
  t->entries[seq] = (struct rep_entry){.pos = {seq, 1, rep_mix(seq, 7)},
                                       .op = {5, seq},
                                       .kind = REP_DATA,
                                       .n = (uint32_t)t->bodies[seq].n,
                                       .body = t->bodies[seq].data};
}

/* The first elements, which begin as 1 and 3, by how often they were pushed. */
static void tm_pushed(struct tm *t, uint64_t times) {
  static const int64_t ids[2] = {1, 2};
  const vecdb_keys keys = {ids, NULL, 2};
  float v[4];
  uint64_t versions[2];
  assert_int_equal(vecdb_pull(machine_rows(t->machine), "v", &keys, v, 0, versions, NULL), 0);
  assert_true(v[0] == 1 + (float)times && v[2] == 3 + (float)times);
  assert_int_equal(versions[0], 1 + times);
}

/* Each push is applied once, wherever a crash comes and however often an entry is applied; and one
   that expected other versions never. */
static void test_pushes(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= TEST_SIZES(60, 20, 3); seed++) {
    struct tm t;
    tm_start(&t, seed);
    for (uint64_t life = 0; life < 6; life++) {
      for (uint64_t n = 3 + tm_below(&t, 20); n; n--)
        tm_push_entry(&t);
      simdisk_stop_after(t.disk, tm_below(&t, 60));
      (void)tm_apply(&t);
      machine_close(t.machine);
      if (tm_below(&t, 2))
        simdisk_stop_after(t.disk, UINT64_MAX);
      else
        simdisk_crash(t.disk, seed * 10 + life);
      tm_open(&t);
      assert_true(tm_apply(&t));
      tm_pushed(&t, tm_pushes(t.last));
      assert_int_equal(t.codes[t.last], tm_push_code(t.last));
      for (uint64_t seq = t.last - 7; seq <= t.last; seq++)
        if (seq > 2)
          tm_refused(&t, t.entries[seq].op, tm_push_code(seq));
    }
    tm_stop(&t);
  }
}

/* ---- Changes of the schema ---- */

/* What follows rows with "b": it becomes "c", another one takes its name, and goes. */
static const struct tm_reshape {
  uint8_t kind;
  const char *text;
  const char *has, *lacks;
} tm_reshapes[] = {
    {WIRE_RESHAPED, "{\"rename\": \"b\", \"to\": \"c\"}", "c", "b"},
    {WIRE_FIELDS_ADD, "{\"fields\": [{\"name\": \"b\", \"type\": \"VARCHAR\", \"max_length\": 9, "
                      "\"default\": \"new\"}]}", "b", "d"},
    {WIRE_RESHAPED, "{\"rename\": \"b\", \"to\": \"d\"}", "d", "b"},
    {WIRE_RESHAPED, "{\"rename\": \"c\", \"to\": \"b\"}", "b", "c"},
    {WIRE_RESHAPED, "{\"drop\": \"d\"}", "b", "d"}};
enum { TM_RESHAPES = sizeof tm_reshapes / sizeof *tm_reshapes };

/* Entry 1 has rows; those behind it a change each. */
static void tm_reshape_entries(struct tm *t) {
  const int64_t ids[2] = {1, 2};
  tm_message(&t->bodies[1], WIRE_UPSERT, ids, 7);
  for (uint64_t seq = 1; seq <= 1 + TM_RESHAPES; seq++) {
    const struct tm_reshape *r = &tm_reshapes[seq > 1 ? seq - 2 : 0];
    struct wire_message m = {
        .kind = WIRE_WRITE,
        .has = WIRE_HAS(WIRE_TARGET) | WIRE_HAS(WIRE_OP) | WIRE_HAS(WIRE_NAME),
        .write = {.client = MACHINE_SCHEMA, .count = seq, .kind = r->kind},
        .name = {"", r->text}};
    if (seq > 1) {
      wire_out_init(&t->bodies[seq], WIRE_LIMIT);
      wire_message_write(&m, &t->bodies[seq]);
      assert_int_equal(t->bodies[seq].status, WIRE_OK);
    }
    t->entries[seq] = (struct rep_entry){
        .pos = {seq, 1, rep_mix(seq, 7)},
        .op = {seq > 1 ? MACHINE_SCHEMA : 5, seq},
        .kind = REP_DATA,
        .n = (uint32_t)t->bodies[seq].n,
        .body = t->bodies[seq].data};
  }
}

/* The rows are as of t->last, whose schema is that of its version, with the value that "b" had. */
static void tm_reshaped(struct tm *t) {
  const struct tm_reshape *r = &tm_reshapes[t->last - 2];
  const vecdb_schema *schema = vecdb_collection_schema(machine_rows(t->machine));
  const char *first = t->last == 5 || t->last == 6 ? "b" : "c";
  vecdb_filter filter = {first[0] == 'b' ? "b == 7" : "c == 7", 0, NULL, 0};
  uint64_t n = 0;
  assert_int_equal(machine_schema(t->machine), t->last);
  assert_non_null(wire_schema_field(schema, r->has));
  assert_null(wire_schema_field(schema, r->lacks));
  assert_int_equal(vecdb_count(machine_rows(t->machine), &filter, &n, NULL), VECDB_OK);
  assert_int_equal(n, 2);
  assert_int_equal(t->codes[t->last], VECDB_OK);
}

/* Who keeps a copy reads all rows again when a name has another meaning. */
static void tm_reshape_touched(const struct tm *t) {
  for (uint64_t seq = 1; seq <= 1 + TM_RESHAPES; seq++) {
    struct wire_touched touched = {.key = "id", .type = VECDB_INT64};
    assert_true(wire_touched_add(&touched, t->bodies[seq].data, t->bodies[seq].n));
    assert_true(touched.reshaped == (seq > 1 && tm_reshapes[seq - 2].kind == WIRE_RESHAPED));
    wire_touched_free(&touched);
  }
}

/* Wherever a crash comes, each change is there once, and data without rows that gets all entries
   comes to the same. */
static void test_reshapes(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= TEST_SIZES(200, 60, 25); seed++) {
    struct tm t;
    tm_start(&t, seed);
    tm_reshape_entries(&t);
    tm_reshape_touched(&t);
    for (t.last = 1; t.last <= TM_RESHAPES;) {
      t.last++;
      simdisk_stop_after(t.disk, tm_below(&t, 60));
      (void)tm_apply(&t);
      machine_close(t.machine);
      if (tm_below(&t, 2))
        simdisk_stop_after(t.disk, UINT64_MAX);
      else
        simdisk_crash(t.disk, seed * 10 + t.last);
      tm_open(&t);
      assert_true(tm_apply(&t));
      tm_reshaped(&t);
    }
    tm_stop(&t);
  }
}

/* ---- The data as a whole, to another machine ---- */

/* The other one is of one of the positions that it has had, or was just given. */
static void tm_whole(struct tm *u, const struct tm *t, uint64_t least) {
  uint64_t seq = u->m.pos(u->m.arg).seq;
  assert_true(seq >= least && seq <= t->last);
  assert_true(tm_is(u, &t->rows[seq]) || (seq < t->last && tm_is(u, &t->rows[seq + 1])));
}

/* Gives whether the first try, with a disk that fails somewhere, went through. */
static bool tm_ship_life(struct tm *t, struct tm *u, uint64_t seed) {
  for (uint64_t n = 1 + tm_below(t, 20); n && t->last < TM_ENTRIES; n--)
    tm_entry(t);
  assert_true(tm_apply(t));
  uint64_t had = u->m.durable(u->m.arg);
  simdisk_stop_after(t->disk, tm_below(t, 120));
  bool whole = tm_ship(t, u);
  if (whole)
    had = u->m.durable(u->m.arg);
  tm_wait(t);
  machine_close(t->machine);
  machine_close(u->machine);
  if (tm_below(t, 2))
    simdisk_stop_after(t->disk, UINT64_MAX);
  else
    simdisk_crash(t->disk, seed);
  tm_open(t);
  tm_open_other(u, t);
  tm_whole(u, t, had);
  assert_true(tm_apply(t));
  assert_true(tm_ship(t, u));
  /* It goes on with the log from there. */
  tm_check(t);
  assert_true(tm_apply(t));
  for (uint64_t seq = u->m.pos(u->m.arg).seq; seq < t->last;)
    assert_true(u->m.apply(u->m.arg, &t->entries[++seq]) != REP_APPLY_FAILED);
  tm_wait(u);
  tm_whole(u, t, t->last);
  assert_int_equal(tm_digest(u, t->last), tm_digest(t, t->last));
  return whole;
}

static void test_shipped(void **state) {
  (void)state;
  unsigned whole = 0, failed = 0;
  for (uint64_t seed = 1; seed <= TEST_SIZES(100, 25, 3); seed++) {
    struct tm t, u = {0};
    tm_start(&t, seed);
    tm_open_other(&u, &t);
    for (uint64_t life = 0; life < 5; life++)
      *(tm_ship_life(&t, &u, seed * 10 + life) ? &whole : &failed) += 1;
    tm_outcomes(&u, &t);
    machine_close(u.machine);
    tm_stop(&t);
  }
  assert_true(whole && failed);
}

/* The other one has what is still missing of the log, whose last entry is a check. Whether both
   give the same digest. */
static bool tm_follow(struct tm *t, struct tm *u) {
  tm_check(t);
  assert_true(tm_apply(t));
  for (uint64_t seq = u->m.pos(u->m.arg).seq; seq < t->last;)
    assert_int_not_equal(u->m.apply(u->m.arg, &t->entries[++seq]), REP_APPLY_FAILED);
  tm_wait(u);
  return tm_digest(u, t->last) == tm_digest(t, t->last);
}

/* The next entry, which the other one takes for a different one. */
static void tm_alter(struct tm *t, struct tm *u, uint8_t kind, const int64_t *ids, int64_t value) {
  struct wire_out other;
  tm_message(&other, kind, ids, value);
  tm_entry(t);
  struct rep_entry e = t->entries[t->last];
  e.kind = REP_DATA;
  e.op = (struct rep_op){8, t->last};
  e.body = other.data;
  e.n = (uint32_t)other.n;
  assert_int_equal(u->m.apply(u->m.arg, &e), REP_APPLIED);
  tm_wait(u);
  wire_out_free(&other);
}

/* Digests tell a value, a vector alone, a row less and rows more from what there should be, and are
   equal again once the data has been replaced. */
static void test_altered(void **state) {
  (void)state;
  static const struct {
    uint8_t kind;
    int64_t ids[2], value;
  } others[] = {{WIRE_UPSERT, {1, 2}, 4711},
                {WIRE_UPSERT, {2, 1}, 4711},
                {WIRE_DELETE, {2, 1}, 0},
                {WIRE_UPSERT, {8, 9}, 4712}};
  struct tm t, u = {0};
  uint64_t seq, digest;
  tm_start(&t, 3);
  tm_open_other(&u, &t);
  while (t.last < 40)
    tm_entry(&t);
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    assert_true(tm_apply(&t) && tm_ship(&t, &u));
    assert_false(u.m.digest(u.m.arg, &seq, &digest)); /* none of the former data */
    assert_true(tm_follow(&t, &u));
    tm_alter(&t, &u, others[i].kind, others[i].ids, others[i].value);
    assert_false(tm_follow(&t, &u));
  }
  machine_close(u.machine);
  tm_stop(&t);
}

/* A stream that was changed is not taken, wherever the change is; what was there stays. */
static void test_changed(void **state) {
  (void)state;
  static uint8_t piece[REP_CHUNK];
  struct tm t, u = {0};
  struct rep_snapshot s;
  uint32_t n;
  tm_start(&t, 1);
  tm_open_other(&u, &t);
  while (t.last < 30)
    tm_entry(&t);
  assert_true(tm_apply(&t));
  while (!t.m.open(t.m.arg, &s))
    tm_wait(&t);
  assert_int_equal(s.count, 1);
  assert_true(t.m.read(t.m.arg, &s, 0, piece, &n));
  for (uint32_t at = 0; at < n; at += n / TEST_SIZES(200, 40, 10) + 1) {
    piece[at] ^= 0x10;
    assert_int_equal(u.m.begin(u.m.arg, &s), REP_OK);
    enum rep_status status = REP_FULL;
    for (int k = 0; k < 3 && status == REP_FULL; k++) {
      status = u.m.piece(u.m.arg, 0, piece, n);
      tm_wait(&u);
    }
    /* What nothing depends on may differ: names of files, and padding. */
    assert_true(status == REP_FAILED || (status == REP_OK && !u.m.pos(u.m.arg).seq));
    piece[at] ^= 0x10;
  }
  tm_whole(&u, &t, 0);
  assert_int_equal(u.m.pos(u.m.arg).seq, 0);
  t.m.close(t.m.arg, &s);
  machine_close(u.machine);
  tm_stop(&t);
}

/* A crash between the mark of a new client and the removal of the one that made room for it leaves
   one more than are remembered: that one goes then, and there is room for those to come. */
static void test_room(void **state) {
  static const int64_t ids[] = {1, 2};
  struct tm t, u = {0};
  struct machine_db db;
  struct wire_out body;
  char why[MACHINE_WHY];
  uint64_t seq = 0;
  (void)state;
  tm_start(&t, 7);
  tm_open_other(&u, &t);
  machine_close(u.machine);
  const struct machine_options o = {.schema = &t.schema, .vfs = simdisk_vfs(t.disk)};
  assert_true(machine_db_open(&db, "n/data", &o, false, why));
  while (seq++ <= MACHINE_CLIENTS) {
    const struct machine_mark mark = {.pos = {seq, 1, rep_mix(seq, 7)},
                                      .client = {seq > 1 ? seq : MACHINE_SPLIT, 2, 1, seq}};
    assert_true(machine_db_mark(&db, &mark));
  }
  assert_true(machine_db_flush(&db));
  machine_db_close(&db);
  tm_message(&body, WIRE_UPSERT, ids, 5);
  for (uint64_t forgotten = 2; forgotten <= 5; forgotten += 3) {
    tm_open_other(&u, &t);
    assert_false(u.m.seen(u.m.arg, (struct rep_op){forgotten, 2}));
    assert_true(u.m.seen(u.m.arg, (struct rep_op){forgotten + 1, 2}));
    assert_true(machine_split(u.machine).fenced); /* which makes no room */
    for (int i = 0; i < 3; i++, seq++) {
      const struct rep_entry e = {.pos = {seq, 1, rep_mix(seq, 7)},
                                  .op = {2 * seq, 1},
                                  .kind = REP_DATA,
                                  .n = (uint32_t)body.n,
                                  .body = body.data};
      assert_int_equal(u.m.apply(u.m.arg, &e), REP_APPLIED);
    }
    tm_wait(&u);
    machine_close(u.machine);
  }
  wire_out_free(&body);
  tm_stop(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_crashes),
                                     cmocka_unit_test(test_pushes),
                                     cmocka_unit_test(test_reshapes),
                                     cmocka_unit_test(test_shipped),
                                     cmocka_unit_test(test_altered),
                                     cmocka_unit_test(test_changed),
                                     cmocka_unit_test(test_outcomes),
                                     TEST_ALONE(cmocka_unit_test(test_room)),
                                     cmocka_unit_test(test_failure)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
