/*
 * test_machine.c - a shard's data over the library, on a simulated disk: random writes beside a
 * naive model, a crash or a killed process somewhere in each life. What is found then is of one
 * position, and the entries behind it lead to what the model has.
 *
 * TSAN: yes
 */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/machine.h"
#include "tlib/simdisk.h"
#include "tlib/thorough.h"

enum { TM_KEYS = 10, TM_ENTRIES = 160, TM_CHECKS = 8, TM_CLIENTS = 3 };

/* Rows by their keys; a key that is not there has a = -1. */
struct tm_rows {
  int64_t a[TM_KEYS], b[TM_KEYS];
};

struct tm {
  struct simdisk *disk;
  struct work *work;
  const char *folder;
  struct machine *machine;
  struct rep_machine m;
  vecdb_field fields[4];
  vecdb_schema schema;
  struct wire_out bodies[TM_ENTRIES + TM_CHECKS + 1];
  struct rep_entry entries[TM_ENTRIES + TM_CHECKS + 1];
  struct tm_rows rows[TM_ENTRIES + TM_CHECKS + 1]; /* after each entry */
  int codes[TM_ENTRIES + TM_CHECKS + 1];
  int wanted[TM_ENTRIES + TM_CHECKS + 1]; /* of the write whose op id has this count */
  uint64_t last, told; /* entries that there are; whose outcome was told */
  uint64_t random;
  unsigned failed; /* times that the data was said to have failed */
};

static uint64_t tm_below(struct tm *t, uint64_t n) {
  t->random = rep_mix(t->random, 0x9e3779b97f4a7c15u);
  return t->random % n;
}

static void tm_applied(void *arg, const struct machine_outcome *o) {
  struct tm *t = arg;
  assert_int_equal(o->seq, t->told + 1);
  t->told = o->seq;
  t->codes[o->seq] = o->code;
}

static void tm_failed(void *arg) { ((struct tm *)arg)->failed++; }

static void tm_wait(struct tm *t) {
  while (!machine_idle(t->machine)) {
    struct pollfd p = {.fd = work_fd(t->work), .events = POLLIN};
    poll(&p, 1, -1);
    work_run(t->work);
  }
}

static void tm_open(struct tm *t) {
  char why[MACHINE_WHY] = "";
  const struct machine_options o = {.folder = t->folder,
                                    .schema = &t->schema,
                                    .work = t->work,
                                    .vfs = simdisk_vfs(t->disk),
                                    .arg = t,
                                    .applied = tm_applied,
                                    .failed = tm_failed};
  t->machine = machine_open(&o, why);
  if (!t->machine)
    fail_msg("%s", why);
  t->m = machine_of(t->machine);
}

static void tm_start(struct tm *t, uint64_t seed) {
  memset(t, 0, sizeof *t);
  t->random = seed;
  t->disk = simdisk_new();
  t->work = work_open(1);
  t->folder = "m";
  t->schema = (vecdb_schema)VECDB_SCHEMA_INIT;
  t->fields[0] = (vecdb_field){.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY};
  t->fields[1] = (vecdb_field){.name = "a", .type = VECDB_INT64};
  t->fields[2] = (vecdb_field){.name = "b", .type = VECDB_INT64, .flags = VECDB_NULLABLE};
  t->fields[3] = (vecdb_field){.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = 2};
  t->fields[3].metric = VECDB_L2;
  t->schema.fields = t->fields;
  t->schema.n_fields = 4;
  memset(&t->rows[0], 0xff, sizeof t->rows[0]);
  tm_open(t);
}

static void tm_stop(struct tm *t) {
  machine_close(t->machine);
  work_close(t->work);
  simdisk_free(t->disk);
  for (uint64_t i = 1; i <= t->last; i++)
    wire_out_free(&t->bodies[i]);
}

/* ---- The model ---- */

/* Whether it is refused. */
static bool tm_insert(struct tm_rows *r, const int64_t *ids, int64_t value, bool replace) {
  bool there = r->a[ids[0]] >= 0 || r->a[ids[1]] >= 0;
  for (int i = 0; i < 2 && (replace || !there); i++) {
    r->a[ids[i]] = value;
    r->b[ids[i]] = value;
  }
  return there && !replace;
}

/* The code of its outcome. */
static int tm_change(struct tm_rows *r, uint8_t kind, const int64_t *ids, int64_t value) {
  for (int64_t i = 0; i < TM_KEYS; i++) {
    bool named = i == ids[0] || i == ids[1], there = r->a[i] >= 0;
    if (kind == WIRE_UPDATE && named && there)
      r->b[i] = value;
    if ((kind == WIRE_DELETE && named) || (kind == WIRE_DELETE_WHERE && there && r->b[i] < value))
      r->a[i] = r->b[i] = -1;
  }
  if ((kind == WIRE_INSERT || kind == WIRE_UPSERT) &&
      tm_insert(r, ids, value, kind == WIRE_UPSERT))
    return VECDB_ERR_EXISTS;
  return VECDB_OK;
}

/* ---- Entries ---- */

static void tm_message(struct wire_out *out, uint8_t kind, const int64_t *ids, int64_t value) {
  const int64_t values[2] = {value, value};
  const float vectors[4] = {1, 2, 3, 4};
  char text[64];
  const struct wire_column whole[] = {
      {.name = "id", .type = VECDB_INT64, .data = ids},
      {.name = "a", .type = VECDB_INT64, .data = values},
      {.name = "b", .type = VECDB_INT64, .data = values},
      {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = 2, .data = vectors}};
  const struct wire_column some[] = {whole[0], whole[2]};
  struct wire_message m = {.kind = WIRE_WRITE,
                           .has = WIRE_HAS(WIRE_TARGET) | WIRE_HAS(WIRE_OP),
                           .write = {.client = 1, .count = 1, .kind = kind}};
  snprintf(text, sizeof text, "b < %lld", (long long)value);
  if (kind == WIRE_DELETE) {
    m.has |= WIRE_HAS(WIRE_KEYS);
    m.keys = (vecdb_keys){ids, NULL, 2};
  } else if (kind == WIRE_DELETE_WHERE) {
    m.has |= WIRE_HAS(WIRE_FILTER);
    m.filter.text = text;
    m.filter.length = strlen(text);
  } else {
    m.has |= WIRE_HAS(WIRE_BATCH);
    m.rows = kind == WIRE_UPDATE ? (struct wire_columns){2, 2, some, NULL}
                                 : (struct wire_columns){2, 4, whole, NULL};
  }
  wire_out_init(out, WIRE_LIMIT);
  wire_message_write(&m, out);
  assert_int_equal(out->status, WIRE_OK);
}

/* One entry more: a write, at times one that was there already, or none. */
static void tm_entry(struct tm *t) {
  uint64_t seq = ++t->last;
  struct rep_entry *e = &t->entries[seq];
  t->rows[seq] = t->rows[seq - 1];
  int64_t first = (int64_t)tm_below(t, TM_KEYS);
  const int64_t ids[2] = {first, (first + 1 + (int64_t)tm_below(t, TM_KEYS - 1)) % TM_KEYS};
  const uint8_t kind = (uint8_t)(WIRE_INSERT + tm_below(t, 5));
  int64_t value = kind == WIRE_DELETE_WHERE ? (int64_t)(seq - seq / 4) : (int64_t)seq;
  tm_message(&t->bodies[seq], kind, ids, value);
  *e = (struct rep_entry){.pos = {seq, 1, rep_mix(seq, 7)},
                          .op = {tm_below(t, TM_CLIENTS) + (UINT64_C(1) << 63), seq},
                          .kind = tm_below(t, 10) ? REP_DATA : REP_NOOP,
                          .n = (uint32_t)t->bodies[seq].n,
                          .body = t->bodies[seq].data};
  bool again = seq > 20 && e->kind == REP_DATA && tm_below(t, 8) == 0;
  if (again && t->entries[seq - 9].kind == REP_DATA)
    e->op = t->entries[seq - 9].op;
  else if (e->kind == REP_DATA)
    t->wanted[seq] = tm_change(&t->rows[seq], kind, ids, value);
}

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

static bool tm_is(struct tm *t, const struct tm_rows *want) {
  vecdb_query_params q = VECDB_QUERY_PARAMS_INIT;
  vecdb_rows *rows;
  vecdb_error e = {0};
  struct tm_rows have;
  if (vecdb_query(machine_rows(t->machine), &q, &rows, &e))
    fail_msg("%s", e.message);
  memset(&have, 0xff, sizeof have);
  int a = vecdb_rows_find(rows, "a"), b = vecdb_rows_find(rows, "b");
  for (size_t i = 0; i < vecdb_rows_count(rows); i++) {
    int64_t id = vecdb_rows_value(rows, i, 0).as.integer;
    have.a[id] = vecdb_rows_value(rows, i, (size_t)a).as.integer;
    have.b[id] = vecdb_rows_value(rows, i, (size_t)b).as.integer;
  }
  vecdb_rows_free(rows);
  return memcmp(&have, want, sizeof have) == 0;
}

static void tm_refused(struct tm *t, struct rep_op op, int code) {
  struct machine_data *data = machine_hold(t->machine);
  struct machine_outcome o;
  assert_int_equal(machine_refused(data, op, &o), VECDB_OK);
  machine_drop(data);
  assert_int_equal(o.code, code);
  assert_int_equal(*o.error.message != 0, code != VECDB_OK);
  assert_int_equal(o.error.row >= 0, code == VECDB_ERR_EXISTS);
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

/* Applies all entries behind the machine's position; false: the disk has failed. */
static bool tm_apply(struct tm *t) {
  uint64_t seq = t->m.pos(t->m.arg).seq;
  bool ok = true;
  t->told = seq;
  while (ok && seq < t->last) {
    ok = t->m.apply(t->m.arg, &t->entries[++seq]) != REP_APPLY_FAILED;
    if (tm_below(t, 4) == 0)
      tm_wait(t);
  }
  tm_wait(t);
  return ok && machine_seen(t->machine) == t->last;
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

/* The last entry: 1 is added to the first element of two rows' vectors; or, as entry 2, the field
   is made to take pushes. */
static void tm_push(struct tm *t) {
  static const int64_t ids[2] = {1, 2};
  static const float ones[4] = {1, 0, 1, 0};
  const struct wire_column columns[] = {
      {.name = "id", .type = VECDB_INT64, .data = ids},
      {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = 2, .data = ones}};
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
    m.rows = (struct wire_columns){2, 2, columns, NULL};
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

/* Each push is applied once, wherever a crash comes and however often an entry is applied. */
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
      tm_pushed(&t, t.last - 2);
      assert_int_equal(t.codes[t.last], VECDB_OK);
    }
    tm_stop(&t);
  }
}

/* ---- The data as a whole, to another machine ---- */

/* As replication does it; false: the disk has failed. Writes go on at the sender. */
static bool tm_ship(struct tm *from, struct tm *to) {
  static uint8_t piece[REP_CHUNK];
  struct rep_snapshot s;
  int tries = 0;
  while (!from->m.open(from->m.arg, &s)) {
    if (++tries > 4)
      return false;
    tm_wait(from);
  }
  assert_true(s.pos.seq <= from->last && s.pos.chain == from->entries[s.pos.seq].pos.chain);
  bool ok = to->m.begin(to->m.arg, &s) == REP_OK;
  for (uint32_t i = 0, n; ok && i < s.count; i++) {
    enum rep_status status = REP_FULL;
    ok = from->m.read(from->m.arg, &s, i, piece, &n);
    if (tm_below(from, 2) && from->last < TM_ENTRIES) {
      tm_entry(from);
      (void)tm_apply(from);
    }
    for (int k = 0; ok && k < 3 && status == REP_FULL; k++) {
      status = to->m.piece(to->m.arg, i, piece, n);
      tm_wait(to);
    }
    ok = ok && status == REP_OK;
  }
  ok = ok && to->m.finish(to->m.arg) == REP_OK;
  from->m.close(from->m.arg, &s);
  tm_wait(to);
  assert_true(!ok || (to->m.pos(to->m.arg).seq == s.pos.seq && to->told == s.pos.seq &&
                      tm_is(to, &from->rows[s.pos.seq])));
  return ok;
}

static void tm_told(void *arg, const struct machine_outcome *o) {
  ((struct tm *)arg)->told = o->seq;
}

/* Another machine on the same disk, which takes the entries from `t` where it applies any. */
static void tm_open_other(struct tm *u, const struct tm *t) {
  char why[MACHINE_WHY] = "";
  u->disk = t->disk;
  u->work = t->work;
  u->schema = t->schema;
  const struct machine_options o = {.folder = "n",
                                    .schema = &u->schema,
                                    .work = u->work,
                                    .vfs = simdisk_vfs(u->disk),
                                    .arg = u,
                                    .applied = tm_told};
  u->machine = machine_open(&o, why);
  if (!u->machine)
    fail_msg("%s", why);
  u->m = machine_of(u->machine);
}

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

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_crashes),
                                     cmocka_unit_test(test_pushes),
                                     cmocka_unit_test(test_shipped),
                                     cmocka_unit_test(test_altered),
                                     cmocka_unit_test(test_changed),
                                     cmocka_unit_test(test_outcomes),
                                     cmocka_unit_test(test_failure)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
