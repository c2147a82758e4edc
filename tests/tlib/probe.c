/* probe.c - questions to a database and the model's answers; see probe.h. */
#include "tlib/probe.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PROBE_MAX_K = 40, PROBE_PAGE = 16384 };

/* ---- filters --------------------------------------------------------------------------------- */

static const char *const probe_filters[] = {
    "",
    "n < {x}",
    "s == 's3'",
    "n is null or w % 3 == 0",
    "not (n >= {x}) and d < 0.5",
    "s like 's1%'",
    "n in [1, 4, 7] or flag == true",
    "array_contains(tags, {x})",
    "d >= 0.25 and d < 0.75 and not flag",
    "s is not null and n + 1 > {x} * 2",
    "w < 0",
};

void probe_filter_make(struct probe_filter *f, struct vdb_rng *rng) {
  memset(f, 0, sizeof *f);
  f->kind = vdb_rng_below(rng, (uint32_t)(sizeof probe_filters / sizeof *probe_filters));
  f->x = f->kind == 7 ? (int64_t)vdb_rng_below(rng, 6) : (int64_t)vdb_rng_below(rng, 16) - 4;
  f->param.name = "x";
  f->param.value.type = VECDB_INT64;
  f->param.value.as.integer = f->x;
  snprintf(f->text, sizeof f->text, "%s", probe_filters[f->kind]);
  if (f->kind == 0)
    return;
  f->filter.text = f->text;
  if (strstr(f->text, "{x}")) {
    f->filter.params = &f->param;
    f->filter.n_params = 1;
  }
}

enum { PROBE_EXTRA_NUMBER = 100, PROBE_EXTRA_TEXT, PROBE_EXTRA_JSON };

/* A filter over the extra field. */
static void probe_filter_extra(struct probe_filter *f, const struct model_coll *coll) {
  const char *name = model_extra_name(coll);
  memset(f, 0, sizeof *f);
  int32_t type = model_extra_type(coll->extra);
  f->kind = type == VECDB_JSON      ? PROBE_EXTRA_JSON
            : type == VECDB_VARCHAR ? PROBE_EXTRA_TEXT
                                    : PROBE_EXTRA_NUMBER;
  if (f->kind == PROBE_EXTRA_JSON)
    snprintf(f->text, sizeof f->text, "%s['e'] > 4 or not exists %s['e']", name, name);
  else if (f->kind == PROBE_EXTRA_TEXT)
    snprintf(f->text, sizeof f->text, "%s == 'e3' or %s is null", name, name);
  else
    snprintf(f->text, sizeof f->text, "%s > 4 and n is not null", name);
  f->filter.text = f->text;
}

static bool probe_has_tag(const struct model_row *row, int64_t x) {
  for (uint32_t i = 0; i < row->n_tags; i++)
    if (row->tags[i] == x)
      return true;
  return false;
}

bool probe_passes(const struct probe_filter *f, const struct model_row *row) {
  bool n = !row->n_null, s = !row->s_null;
  switch (f->kind) {
    case 0: return true;
    case 1: return n && row->n < f->x;
    case 2: return s && strcmp(row->s, "s3") == 0;
    case 3: return !n || row->w % 3 == 0;
    case 4: return n && row->n < f->x && row->d < 0.5;
    case 5: return s && strncmp(row->s, "s1", 2) == 0;
    case 6: return (n && (row->n == 1 || row->n == 4 || row->n == 7)) || row->flag;
    case 7: return !row->tags_null && probe_has_tag(row, f->x);
    case 8: return row->d >= 0.25 && row->d < 0.75 && !row->flag;
    case PROBE_EXTRA_NUMBER: return row->e > 4 && n;
    case PROBE_EXTRA_JSON: return row->e_null || row->e > 4;
    case PROBE_EXTRA_TEXT: return row->e_null || strcmp(row->e_text, "e3") == 0;
    case 9: return s && n && row->n + 1 > f->x * 2;
    default: return false;
  }
}

/* ---- the model's answers --------------------------------------------------------------------- */

struct probe_hit {
  double score;
  uint32_t key;
  uint64_t stamp;
};

struct probe_task {
  struct probe *p;
  const struct model *m;
  const struct model_coll *mc;
  vecdb_collection *coll;
  struct probe_filter filter;
  bool second;  /* field u */
  int32_t metric;
  struct model_row query; /* its v and u are the query vectors */
  struct probe_hit *truth; /* rows that pass, nearest first */
  uint32_t n;
};

static double probe_number2(uint32_t variant, const uint8_t *u, uint32_t i) {
  if (model_type2(variant) == VECDB_INT8_VECTOR)
    return (int8_t)u[i];
  if (model_type2(variant) == VECDB_BINARY_VECTOR)
    return u[i / 8] >> i % 8 & 1;
  float out;
  vecdb_from_float16((const uint16_t *)(const void *)u + i, &out, 1);
  return out;
}

static double probe_score(const struct probe_task *t, const struct model_row *row) {
  double dot = 0, square = 0, a2 = 0, b2 = 0;
  uint32_t dim = t->second ? MODEL_DIM2 : MODEL_DIM;
  for (uint32_t i = 0; i < dim; i++) {
    double a = t->second ? probe_number2(t->mc->variant, t->query.u, i) : (double)t->query.v[i];
    double b = t->second ? probe_number2(t->mc->variant, row->u, i) : (double)row->v[i];
    dot += a * b;
    a2 += a * a;
    b2 += b * b;
    square += (a - b) * (a - b);
  }
  if (t->metric == VECDB_COSINE)
    return dot / sqrt(a2 * b2);
  return t->metric == VECDB_IP ? dot : square; /* of bits, the square counts those that differ */
}

static bool probe_larger(const struct probe_task *t) {
  return t->metric == VECDB_IP || t->metric == VECDB_COSINE;
}

static int probe_compare(const void *a, const void *b) {
  const struct probe_hit *x = a, *y = b;
  if (x->score != y->score)
    return x->score < y->score ? -1 : 1;
  return (x->key > y->key) - (x->key < y->key);
}

static void probe_begin(struct probe_task *t, struct probe *p, const struct model *m, uint32_t c,
                        vecdb_collection *coll) {
  memset(t, 0, sizeof *t);
  t->p = p;
  t->m = m;
  t->mc = &m->colls[c];
  t->coll = coll;
  probe_filter_make(&t->filter, &p->rng);
  if (t->mc->extra && vdb_rng_below(&p->rng, 4) == 0)
    probe_filter_extra(&t->filter, t->mc);
  t->second = model_type2(t->mc->variant) && vdb_rng_below(&p->rng, 2);
  t->metric = !t->second                                             ? model_metric(t->mc->variant)
              : model_type2(t->mc->variant) == VECDB_BINARY_VECTOR ? VECDB_HAMMING
                                                                   : VECDB_L2;
  model_values(t->mc->variant, vdb_rng_next(&p->rng) | 1, &t->query);
  t->truth = calloc(m->n_keys, sizeof *t->truth);
  if (!t->truth)
    abort();
  for (uint32_t k = 0; k < m->n_keys; k++) {
    struct model_row row;
    if (t->mc->stamps[k] == 0)
      continue;
    model_row_of(t->mc, t->mc->stamps[k], &row);
    if (!probe_passes(&t->filter, &row))
      continue;
    double score = probe_score(t, &row);
    struct probe_hit hit = {probe_larger(t) ? -score : score, k, t->mc->stamps[k]};
    t->truth[t->n++] = hit;
  }
  qsort(t->truth, t->n, sizeof *t->truth, probe_compare);
  for (uint32_t i = 0; probe_larger(t) && i < t->n; i++)
    t->truth[i].score = -t->truth[i].score;
}

static vecdb_search_params probe_params(struct probe_task *t) {
  static const char *const fields[] = {"w"};
  vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
  params.field = t->second ? "u" : "v";
  params.queries = t->second ? (const void *)t->query.u : (const void *)t->query.v;
  params.filter = t->filter.filter;
  params.k = 1 + vdb_rng_below(&t->p->rng, PROBE_MAX_K);
  params.fields = fields;
  params.n_fields = 1;
  return params;
}

/* ---- checks ---------------------------------------------------------------------------------- */

static bool probe_near(const struct probe_task *t, double a, double b) {
  return t->metric == VECDB_COSINE ? fabs(a - b) <= 1e-5 : a == b;
}

/* Position in the truth of the row that hit i stands for, or -1. */
static int64_t probe_place(struct probe_task *t, const vecdb_hit *hit, const vecdb_rows *rows) {
  vecdb_value key = vecdb_rows_value(rows, hit->row, 0);
  vecdb_value stamp = vecdb_rows_value(rows, hit->row, 1);
  int64_t k = model_key_number(t->mc->variant, &key);
  bool text = model_text_keys(t->mc->variant);
  if (hit->id != (text ? -1 : key.as.integer))
    return -1;
  for (uint32_t i = 0; i < t->n; i++)
    if (t->truth[i].key == k)
      return (uint64_t)stamp.as.integer == t->truth[i].stamp ? (int64_t)i : -1;
  return -1;
}

/* Checks that hits are rows that may be found, each once, with the right score. */
static bool probe_check_hits(struct probe_task *t, const vecdb_hit *hits, uint32_t n,
                             const vecdb_rows *rows, uint8_t *seen, const char *what) {
  for (uint32_t i = 0; i < n; i++) {
    int64_t place = probe_place(t, &hits[i], rows);
    if (place < 0)
      return model_differs("%s, filter '%s': hit %u is no row that passes", what, t->filter.text,
                           i);
    if (seen[place]++)
      return model_differs("%s, filter '%s': hit %u came before", what, t->filter.text, i);
    if (!probe_near(t, t->truth[place].score, (double)hits[i].score))
      return model_differs("%s: hit %u scores %g, not %g", what, i, (double)hits[i].score,
                           t->truth[place].score);
  }
  return true;
}

static bool probe_check_sorted(const struct probe_task *t, const vecdb_hit *hits, uint32_t n,
                               const char *what) {
  for (uint32_t i = 1; i < n; i++) {
    double a = (double)hits[i - 1].score, b = (double)hits[i].score;
    if (probe_larger(t) ? a < b : a > b)
      return model_differs("%s: hit %u is nearer than the one before", what, i);
  }
  return true;
}

/* The answer must be the first `n` of the truth; equal scores come in key order. Which of the rows
   that score like the last hit are taken is open. */
static bool probe_check_exact(struct probe_task *t, const vecdb_hit *hits, uint32_t n,
                              const vecdb_rows *rows, const char *what) {
  for (uint32_t i = 0; i < n; i++) {
    if (!probe_near(t, t->truth[i].score, (double)hits[i].score))
      return model_differs("%s, filter '%s': hit %u scores %g, the true one %g", what,
                           t->filter.text, i, (double)hits[i].score, t->truth[i].score);
    if (i > 0 && hits[i].score == hits[i - 1].score) {
      int64_t a = probe_place(t, &hits[i - 1], rows), b = probe_place(t, &hits[i], rows);
      if (t->metric != VECDB_COSINE && a >= b)
        return model_differs("%s: hit %u is out of key order", what, i);
    }
  }
  return true;
}

static bool probe_search(struct probe_task *t, int32_t plan) {
  vecdb_search_params params = probe_params(t);
  vecdb_hit hits[PROBE_MAX_K];
  vecdb_search_info info = VECDB_SEARCH_INFO_INIT;
  vecdb_rows *rows = NULL;
  vecdb_error err;
  uint32_t count = 0, expected = vdb_min_u32(params.k, t->n);
  params.plan = plan;
  if (vecdb_search(t->coll, &params, hits, &count, &info, &rows, &err))
    return model_differs("search with filter '%s': %s", t->filter.text, err.message);
  char what[48];
  snprintf(what, sizeof what, "search with plan %d, k %u, field %s", plan, params.k, params.field);
  uint8_t *seen = calloc(t->n + 1, 1);
  bool ok = count == expected;
  if (!ok)
    model_differs("%s, filter '%s': %u hits instead of %u", what, t->filter.text, count, expected);
  ok = ok && probe_check_sorted(t, hits, count, what) &&
       probe_check_hits(t, hits, count, rows, seen, what);
  if (ok && plan == VECDB_PLAN_EXACT)
    ok = probe_check_exact(t, hits, count, rows, what);
  for (uint32_t i = 0; ok && plan != VECDB_PLAN_EXACT && i < count; i++) {
    double last = t->truth[count - 1].score, score = (double)hits[i].score;
    bool nearer = probe_larger(t) ? score > last : score < last;
    t->p->near_hits += nearer || probe_near(t, score, last);
    t->p->near_all++;
  }
  free(seen);
  vecdb_rows_free(rows);
  return ok;
}

static bool probe_range(struct probe_task *t) {
  if (t->n < 2)
    return true;
  uint32_t at = vdb_rng_below(&t->p->rng, t->n - 1);
  double a = t->truth[at].score, b = t->truth[at + 1].score;
  if (fabs(a - b) < 1e-3)
    return true;
  vecdb_search_params params = probe_params(t);
  vecdb_hit hits[PROBE_MAX_K];
  vecdb_rows *rows = NULL;
  vecdb_error err;
  uint32_t count = 0, expected = vdb_min_u32(params.k, at + 1);
  if (vecdb_search_range(t->coll, &params, (float)((a + b) / 2), hits, &count, NULL, &rows, &err))
    return model_differs("range search: %s", err.message);
  bool ok = count == expected;
  if (!ok)
    model_differs("range search, filter '%s': %u hits instead of %u", t->filter.text, count,
                  expected);
  ok = ok && probe_check_exact(t, hits, count, rows, "range search");
  vecdb_rows_free(rows);
  return ok;
}

/* ---- groups ---- */

enum { PROBE_MAX_GROUPS = 8, PROBE_MAX_GROUP = 5 };

struct probe_groups {
  const char *field;
  uint32_t k, size;
  bool exact;
  uint32_t n;       /* groups among the rows that pass */
  uint32_t *group;  /* of each row of the truth, numbered by their nearest rows */
  uint32_t *first;  /* the nearest row of each group, as a place in the truth */
  uint32_t *rows;   /* rows of each group */
  uint8_t *came;    /* groups */
  uint8_t *seen;    /* rows */
};

/* The value of the field as a text. */
static void probe_label(const struct probe_task *t, const char *field, uint64_t stamp,
                        char out[MODEL_TEXT]) {
  struct model_row row;
  model_row_of(t->mc, stamp, &row);
  bool text_extra = field[0] == 'e' && t->mc->extra % 2;
  bool null = field[0] == 's' ? row.s_null
              : text_extra    ? row.e_null
                              : field[0] == 'n' && row.n_null;
  if (null)
    snprintf(out, MODEL_TEXT, "null");
  else if (field[0] == 's')
    snprintf(out, MODEL_TEXT, "%s", row.s);
  else
    snprintf(out, MODEL_TEXT, "%d",
             field[0] == 'n' ? row.n : field[0] == 'e' ? row.e : row.flag);
}

/* Numbers the groups of the truth. */
static void probe_number(const struct probe_task *t, struct probe_groups *g) {
  for (uint32_t i = 0; i < t->n; i++) {
    char label[MODEL_TEXT], other[MODEL_TEXT];
    probe_label(t, g->field, t->truth[i].stamp, label);
    uint32_t at = 0;
    for (; at < g->n; at++) {
      probe_label(t, g->field, t->truth[g->first[at]].stamp, other);
      if (strcmp(label, other) == 0)
        break;
    }
    if (at == g->n)
      g->first[g->n++] = i;
    g->group[i] = at;
    g->rows[at]++;
  }
}

/* The score of the j-th nearest row of a group. */
static double probe_nth(const struct probe_task *t, const struct probe_groups *g, uint32_t group,
                        uint32_t j) {
  uint32_t i = g->first[group];
  for (;; i++)
    if (g->group[i] == group && j-- == 0)
      return t->truth[i].score;
}

/* One group of an answer, the one in that place. */
static bool probe_check_group(struct probe_task *t, struct probe_groups *g, uint32_t place,
                              const vecdb_hit *hits, uint32_t n, const vecdb_rows *rows) {
  int64_t at = probe_place(t, &hits[0], rows);
  uint32_t group = at < 0 ? 0 : g->group[at];
  if (at < 0 || g->came[group]++)
    return model_differs("groups by %s, filter '%s': group %u is none, or came before", g->field,
                         t->filter.text, place);
  if (n != vdb_min_u32(g->size, g->rows[group]))
    return model_differs("groups by %s: group %u has %u hits of %u rows", g->field, place, n,
                         g->rows[group]);
  if (!probe_check_hits(t, hits, n, rows, g->seen, "groups") ||
      !probe_check_sorted(t, hits, n, "groups"))
    return false;
  for (uint32_t i = 0; i < n; i++) {
    if (g->group[probe_place(t, &hits[i], rows)] != group)
      return model_differs("groups by %s: hit %u of group %u is of another", g->field, i, place);
    if (g->exact && !probe_near(t, probe_nth(t, g, group, i), (double)hits[i].score))
      return model_differs("groups by %s: hit %u of group %u is not the nearest", g->field, i,
                           place);
  }
  return !g->exact || probe_near(t, t->truth[g->first[place]].score, (double)hits[0].score) ||
         model_differs("groups by %s: group %u is not the nearest", g->field, place);
}

static bool probe_ask_groups(struct probe_task *t, struct probe_groups *g) {
  vecdb_search_params params = probe_params(t);
  vecdb_group_by by = VECDB_GROUP_BY_INIT;
  vecdb_hit hits[PROBE_MAX_GROUPS * PROBE_MAX_GROUP];
  uint32_t counts[PROBE_MAX_GROUPS];
  vecdb_rows *rows = NULL;
  vecdb_error err;
  params.k = g->k;
  params.plan = g->exact ? VECDB_PLAN_EXACT : VECDB_PLAN_AUTO;
  by.field = g->field;
  by.hits = g->size;
  if (vecdb_search_groups(t->coll, &params, &by, hits, counts, NULL, &rows, &err))
    return model_differs("groups by %s: %s", g->field, err.message);
  bool ok = true;
  for (uint32_t i = 0; ok && i < g->k; i++) {
    if ((counts[i] > 0) != (i < g->n))
      ok = model_differs("groups by %s, filter '%s': group %u of %u has %u hits", g->field,
                         t->filter.text, i, g->n, counts[i]);
    if (ok && counts[i] > 0)
      ok = probe_check_group(t, g, i, &hits[i * g->size], counts[i], rows);
  }
  vecdb_rows_free(rows);
  return ok;
}

static bool probe_groups(struct probe_task *t) {
  static const char *const fields[] = {"s", "n", "flag"};
  struct probe_groups g = {.field = fields[vdb_rng_below(&t->p->rng, 3)],
                           .k = 1 + vdb_rng_below(&t->p->rng, PROBE_MAX_GROUPS),
                           .size = 1 + vdb_rng_below(&t->p->rng, PROBE_MAX_GROUP),
                           .exact = vdb_rng_below(&t->p->rng, 2)};
  bool groups = t->mc->extra && model_extra_type(t->mc->extra) != VECDB_JSON;
  if (groups && vdb_rng_below(&t->p->rng, 4) == 0)
    g.field = model_extra_name(t->mc);
  uint32_t *numbers = calloc(3 * (t->n + 1), sizeof *numbers);
  uint8_t *marks = calloc(2, t->n + 1);
  g.group = numbers;
  g.first = numbers + t->n + 1;
  g.rows = numbers + 2 * (t->n + 1);
  g.came = marks;
  g.seen = marks + t->n + 1;
  probe_number(t, &g);
  bool ok = probe_ask_groups(t, &g);
  free(marks);
  free(numbers);
  return ok;
}

static bool probe_iterator(struct probe_task *t) {
  vecdb_search_params params = probe_params(t);
  vecdb_iterator *it;
  vecdb_error err;
  if (vecdb_iterator_open(t->coll, &params, &it, &err))
    return model_differs("iterator: %s", err.message);
  uint8_t *seen = calloc(t->n + 1, 1);
  uint32_t all = 0, count = 1;
  bool ok = true;
  while (ok && count > 0) {
    vecdb_hit hits[PROBE_MAX_K];
    vecdb_rows *rows = NULL;
    uint32_t capacity = 1 + vdb_rng_below(&t->p->rng, PROBE_MAX_K);
    if (vecdb_iterator_next(it, capacity, hits, &count, &rows, &err))
      ok = model_differs("iterator: %s", err.message);
    else
      ok = probe_check_hits(t, hits, count, rows, seen, "iterator");
    all += count;
    vecdb_rows_free(rows);
  }
  if (ok && all != t->n)
    ok = model_differs("iterator, filter '%s': %u rows instead of %u", t->filter.text, all, t->n);
  free(seen);
  vecdb_iterator_close(it);
  return ok;
}

static bool probe_count(struct probe_task *t) {
  uint64_t count;
  vecdb_error err;
  if (vecdb_count(t->coll, &t->filter.filter, &count, &err))
    return model_differs("count with filter '%s': %s", t->filter.text, err.message);
  return count == t->n || model_differs("count with filter '%s': %llu instead of %u",
                                        t->filter.text, (unsigned long long)count, t->n);
}

static bool probe_get(struct probe_task *t) {
  uint32_t keys[MODEL_BATCH], n = 1 + vdb_rng_below(&t->p->rng, 20);
  struct model_batch *batch = malloc(sizeof *batch);
  uint8_t found[MODEL_BATCH];
  vecdb_rows *rows = NULL;
  vecdb_error err;
  for (uint32_t i = 0; i < n; i++)
    keys[i] = vdb_rng_below(&t->p->rng, t->m->n_keys);
  model_batch_make(batch, t->mc, keys, NULL, n);
  bool ok = true;
  size_t at = 0;
  if (vecdb_get(t->coll, &batch->keys, NULL, 0, found, &rows, &err))
    ok = model_differs("get: %s", err.message);
  for (uint32_t i = 0; ok && i < n; i++) {
    uint64_t stamp = t->mc->stamps[keys[i]];
    if ((found[i] != 0) != (stamp != 0))
      ok = model_differs("get: key %u is %s", keys[i], stamp ? "missing" : "there");
    else if (stamp)
      ok = model_check_row(t->mc, rows, at++, stamp);
  }
  if (ok && at != vecdb_rows_count(rows))
    ok = model_differs("get: %zu rows instead of %zu", vecdb_rows_count(rows), at);
  vecdb_rows_free(rows);
  free(batch);
  return ok;
}

static int probe_by_key(const void *a, const void *b) {
  const struct probe_hit *x = a, *y = b;
  return (x->key > y->key) - (x->key < y->key);
}

/* Page by page, by the last key or by offset. */
static bool probe_query(struct probe_task *t) {
  bool by_offset = vdb_rng_below(&t->p->rng, 2);
  uint32_t page = 1 + vdb_rng_below(&t->p->rng, 40);
  struct model_batch *batch = malloc(sizeof *batch);
  bool ok = true;
  qsort(t->truth, t->n, sizeof *t->truth, probe_by_key);
  for (uint32_t at = 0; ok && at <= t->n; at += page) {
    vecdb_query_params params = VECDB_QUERY_PARAMS_INIT;
    vecdb_rows *rows = NULL;
    vecdb_error err;
    params.filter = t->filter.filter;
    params.limit = page;
    if (by_offset) {
      params.offset = at;
    } else if (at > 0) {
      model_batch_make(batch, t->mc, &t->truth[at - 1].key, NULL, 1);
      params.after = batch->keys;
    }
    if (vecdb_query(t->coll, &params, &rows, &err))
      ok = model_differs("query: %s", err.message);
    uint32_t expected = vdb_min_u32(page, t->n - at);
    if (ok && vecdb_rows_count(rows) != expected)
      ok = model_differs("query, filter '%s': page of %zu rows instead of %u", t->filter.text,
                         vecdb_rows_count(rows), expected);
    for (uint32_t i = 0; ok && i < expected; i++) {
      vecdb_value key = vecdb_rows_value(rows, i, 0);
      if (model_key_number(t->mc->variant, &key) != t->truth[at + i].key)
        ok = model_differs("query, filter '%s': wrong key", t->filter.text);
      ok = ok && model_check_row(t->mc, rows, i, t->truth[at + i].stamp);
    }
    vecdb_rows_free(rows);
  }
  free(batch);
  return ok;
}

/* ---- asking ---------------------------------------------------------------------------------- */

static bool probe_one(struct probe_task *t, uint32_t kind) {
  static const int32_t plans[] = {VECDB_PLAN_AUTO, VECDB_PLAN_AUTO, VECDB_PLAN_GRAPH,
                                  VECDB_PLAN_FILTER_LATE, VECDB_PLAN_CODES};
  switch (kind) {
    case PROBE_EXACT: return probe_search(t, VECDB_PLAN_EXACT);
    case PROBE_PLANNED: return probe_search(t, plans[vdb_rng_below(&t->p->rng, 5)]);
    case PROBE_RANGE: return probe_range(t);
    case PROBE_ITERATOR: return probe_iterator(t);
    case PROBE_GET: return probe_get(t);
    case PROBE_QUERY: return probe_query(t);
    case PROBE_GROUPS: return probe_groups(t);
    default: return probe_count(t);
  }
}

bool probe_coll(struct probe *p, const struct model *m, uint32_t c, vecdb_collection *coll,
                uint32_t kinds, uint32_t n) {
  bool ok = true;
  while (ok && n > 0) {
    uint32_t kind = 1u << vdb_rng_below(&p->rng, 8);
    if (!(kinds & kind))
      continue;
    struct probe_task t;
    probe_begin(&t, p, m, c, coll);
    ok = probe_one(&t, kind);
    free(t.truth);
    p->questions++;
    n--;
  }
  return ok;
}

bool probe_ask(struct probe *p, const struct model *m, vecdb *db, uint32_t kinds, uint32_t n) {
  uint32_t there[MODEL_COLLS], n_there = 0;
  for (uint32_t c = 0; c < MODEL_COLLS; c++)
    if (m->colls[c].exists)
      there[n_there++] = c;
  if (n_there == 0)
    return true;
  uint32_t c = there[vdb_rng_below(&p->rng, n_there)];
  vecdb_collection *coll;
  vecdb_error err;
  if (vecdb_collection_get(db, model_name(c), &coll, &err))
    return model_differs("%s: %s", model_name(c), err.message);
  bool ok = probe_coll(p, m, c, coll, kinds, n);
  vecdb_collection_release(coll);
  return ok;
}
