/*
 * machinetest.h - a shard's data on a simulated disk, beside a naive model of its rows: entries at
 * random, applied with or without faults, shipped to another machine.
 */
#ifndef MACHINETEST_H
#define MACHINETEST_H

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

static inline uint64_t tm_below(struct tm *t, uint64_t n) {
  t->random = rep_mix(t->random, 0x9e3779b97f4a7c15u);
  return t->random % n;
}

static inline void tm_applied(void *arg, const struct machine_outcome *o) {
  struct tm *t = arg;
  assert_int_equal(o->seq, t->told + 1);
  t->told = o->seq;
  t->codes[o->seq] = o->code;
}

static inline void tm_failed(void *arg) { ((struct tm *)arg)->failed++; }

static inline void tm_wait(struct tm *t) {
  while (!machine_idle(t->machine)) {
    struct pollfd p = {.fd = work_fd(t->work), .events = POLLIN};
    poll(&p, 1, -1);
    work_run(t->work);
  }
}

static inline void tm_open(struct tm *t) {
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

static inline void tm_start(struct tm *t, uint64_t seed) {
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

static inline void tm_stop(struct tm *t) {
  machine_close(t->machine);
  work_close(t->work);
  simdisk_free(t->disk);
  for (uint64_t i = 1; i <= t->last; i++)
    wire_out_free(&t->bodies[i]);
}

/* Whether it is refused. */
static inline bool tm_insert(struct tm_rows *r, const int64_t *ids, int64_t value, bool replace) {
  bool there = r->a[ids[0]] >= 0 || r->a[ids[1]] >= 0;
  for (int i = 0; i < 2 && (replace || !there); i++) {
    r->a[ids[i]] = value;
    r->b[ids[i]] = value;
  }
  return there && !replace;
}

/* The code of its outcome. */
static inline int tm_change(struct tm_rows *r, uint8_t kind, const int64_t *ids, int64_t value) {
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

static inline void tm_message(struct wire_out *out, uint8_t kind, const int64_t *ids,
                              int64_t value) {
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
static inline void tm_entry(struct tm *t) {
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

static inline bool tm_is(struct tm *t, const struct tm_rows *want) {
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

/* Applies all entries behind the machine's position; false: the disk has failed. */
static inline bool tm_apply(struct tm *t) {
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

/* As replication does it; false: the disk has failed. Writes go on at the sender. */
static inline bool tm_ship(struct tm *from, struct tm *to) {
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

static inline void tm_told(void *arg, const struct machine_outcome *o) {
  ((struct tm *)arg)->told = o->seq;
}

/* Another machine on the same disk, which takes the entries from `t` where it applies any. */
static inline void tm_open_other(struct tm *u, const struct tm *t) {
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

#endif
