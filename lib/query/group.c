/*
 * group.c - the nearest groups of rows, by the value of a scalar field; see vecdb_search_groups. A
 * group is found by its nearest row. Where too few groups are among the nearest rows, the search is
 * repeated without the groups that are known, until there are k or no row is left; each round
 * brings a new group at least. Groups that have too few hits by then are each searched by their
 * value. So the contract of filters carries over to groups.
 */
#include <stdio.h>

#include "base/check.h"
#include "base/sum.h"
#include "query/exec.h"
#include "query/query.h"
#include "seg/keymap.h"

enum {
  GROUP_SPARE = 2,  /* times as many rows as are wanted are looked for, */
  GROUP_LEAST = 32, /* and some more */
  GROUP_TEXT = 2 * VECDB_MAX_NAME + 64
};

struct group_call {
  struct vdb_request request; /* its filter is the caller's */
  uint32_t n_queries;
  uint32_t k;
  uint32_t size; /* hits of a group, at most */
  uint32_t field_no;
  const struct vdb_field *field;
  struct vdb_par par;
  /* of the query at hand */
  struct vdb_qhit *hits; /* `size` of each group, nearest first */
  uint32_t *counts;      /* of each group */
  uint32_t *order;       /* the groups, nearest first */
  uint32_t n_groups;
  uint32_t n_open; /* groups before this one may have more rows than were seen */
  struct vdb_keymap map;
  uint64_t slots;
  struct vdb_qhit *merged; /* `size` */
  bool partial;
  vecdb_search_info info;
};

static struct vdb_bytes group_value(const struct group_call *c, struct vdb_qhit hit, bool *null) {
  const struct vdb_seg_view *view = &c->request.snapshot->segs[hit.seg];
  struct vdb_seg_part part = vdb_seg_part_of(view, hit.row);
  const struct vdb_column *column = &part.columns[c->field_no];
  *null = vdb_column_is_null(column, hit.row - part.first);
  return vdb_column_bytes(column, hit.row - part.first);
}

/* The value of a group. */
static struct vdb_bytes group_value_of(const struct group_call *c, uint32_t group, bool *null) {
  return group_value(c, c->hits[(size_t)group * c->size], null);
}

/* The group of a hit, begun if there is room for it; UINT32_MAX: none. */
static uint32_t group_of(struct group_call *c, struct vdb_qhit hit) {
  bool null, other_null;
  struct vdb_bytes value = group_value(c, hit, &null);
  uint64_t hash = null ? 0 : vdb_hash64(value.data, value.n);
  struct vdb_keymap_walk walk = vdb_keymap_walk(&c->map, hash);
  int64_t group;
  while ((group = vdb_keymap_next(&c->map, &walk)) >= 0) {
    struct vdb_bytes other = group_value_of(c, (uint32_t)group, &other_null);
    if (null ? other_null
             : !other_null && other.n == value.n && memcmp(other.data, value.data, value.n) == 0)
      return (uint32_t)group;
  }
  if (c->n_groups == c->k)
    return UINT32_MAX;
  vdb_keymap_insert(&c->map, hash, c->n_groups);
  c->counts[c->n_groups] = 0;
  return c->n_groups++;
}

/* Puts hits, nearest first, into their groups. */
static void group_take(struct group_call *c, const struct vdb_qhit *hits, size_t n) {
  for (size_t i = 0; i < n; i++) {
    uint32_t group = group_of(c, hits[i]);
    if (group != UINT32_MAX && c->counts[group] < c->size)
      c->hits[(size_t)group * c->size + c->counts[group]++] = hits[i];
  }
}

/* The values of groups first .. first + n - 1 as a list for a filter, which borrows them; *null
   tells whether null is among them. `block` is to be freed. */
static int group_list(const struct group_call *c, uint32_t first, uint32_t n, vecdb_value *list,
                      bool *null, void **block, vecdb_error *err) {
  bool text = c->field->type == VECDB_VARCHAR;
  uint32_t width = text ? sizeof(vecdb_string) : c->field->width;
  uint8_t *at = *block = vdb_alloc_array(c->request.mem, n, width);
  if (!at)
    return vdb_fail_memory(err);
  memset(list, 0, sizeof *list);
  *null = false;
  for (uint32_t i = first; i < first + n; i++) {
    bool none;
    struct vdb_bytes value = group_value_of(c, i, &none);
    vecdb_string string = {(const char *)value.data, value.n};
    *null = *null || none;
    if (none)
      continue;
    memcpy(at + (size_t)list->length * width, text ? (const void *)&string : value.data, width);
    list->length++;
  }
  list->type = VECDB_ARRAY;
  list->element_type = c->field->type;
  list->as.data = at;
  return VECDB_OK;
}

/* A filter that passes rows of none of the groups so far (`only` negative), or of one. */
static int group_condition(const struct group_call *c, int64_t only, struct vdb_filter **out,
                           vecdb_error *err) {
  char text[GROUP_TEXT];
  bool without = only < 0, null = false;
  void *block = NULL;
  vecdb_param param = {.name = "v"};
  vecdb_filter filter = {text, 0, &param, 1};
  VDB_TRY(group_list(c, without ? 0 : (uint32_t)only, without ? c->n_groups : 1, &param.value,
                     &null, &block, err));
  const char *name = c->field->name;
  if (param.value.length == 0) {
    filter.n_params = 0;
    snprintf(text, sizeof text, "%s is %snull", name, without ? "not " : "");
  } else if (without && !null && (c->field->flags & VECDB_NULLABLE)) {
    snprintf(text, sizeof text, "%s is null or %s not in {v}", name, name);
  } else {
    snprintf(text, sizeof text, "%s %sin {v}", name, without ? "not " : "");
  }
  int rc = vdb_filter_compile(c->request.mem, c->request.snapshot->schema, &filter, out, err);
  vdb_free(c->request.mem, block);
  return rc;
}

/* Finds the nearest `want` rows to query q that pass the caller's filter and the condition, which
   it takes over. They are the worker's, to be finished also after a failure. */
static int group_find(struct group_call *c, uint32_t q, struct vdb_filter *condition, uint32_t want,
                      struct vdb_exec_worker *worker, vecdb_error *err) {
  struct vdb_request *r = &c->request;
  struct vdb_plan *plan = NULL;
  r->filter = vdb_filter_push(condition, r->filter);
  r->k = want;
  int rc = vdb_exec_init(r, worker, err);
  if (!rc)
    rc = vdb_plan_make(r, false, &plan, err);
  if (!rc)
    rc = vdb_plan_prepare(r, plan, &c->par, err);
  if (!rc)
    rc = vdb_exec_query(r, plan, q, worker, err);
  if (!rc) {
    vdb_search_info_add(&c->info, &worker->info);
    c->partial = c->partial || plan->partial || vdb_request_stopped(r) != 0;
  }
  vdb_plan_free(r, plan);
  if (condition)
    r->filter = vdb_filter_pop(r->mem, r->filter);
  return rc;
}

/* Finds the groups of query q. */
static int group_gather(struct group_call *c, uint32_t q, vecdb_error *err) {
  bool last = false;
  c->n_groups = 0;
  memset((void *)c->map.slots, 0, c->slots * sizeof(uint64_t));
  while (!last && !c->partial && c->n_groups < c->k) {
    uint32_t before = c->n_groups;
    uint32_t want = vdb_min_u32((c->k - before) * c->size * GROUP_SPARE + GROUP_LEAST, VECDB_MAX_K);
    struct vdb_filter *condition = NULL;
    struct vdb_exec_worker worker = {0};
    if (before > 0)
      VDB_TRY(group_condition(c, -1, &condition, err));
    int rc = group_find(c, q, condition, want, &worker, err);
    if (!rc)
      group_take(c, worker.hits, worker.n_hits);
    last = worker.n_hits < want || c->n_groups == before; /* or there are no other rows */
    c->n_open = worker.n_hits < want ? before : c->n_groups;
    vdb_exec_fini(&c->request, &worker);
    VDB_TRY(rc);
  }
  return VECDB_OK;
}

/* Merges more hits of a group, nearest first, with those it has. */
static void group_merge(struct group_call *c, uint32_t group, const struct vdb_qhit *more,
                        size_t n) {
  struct vdb_qhit *has = &c->hits[(size_t)group * c->size];
  uint32_t i = 0, out = 0;
  for (size_t j = 0; out < c->size && (i < c->counts[group] || j < n);) {
    bool both = i < c->counts[group] && j < n;
    bool same = both && has[i].seg == more[j].seg && has[i].row == more[j].row;
    bool ours = j == n || (both && !vdb_qhit_before(c->request.snapshot, more[j], has[i]));
    c->merged[out++] = ours ? has[i] : more[j];
    i += ours || same;
    j += !ours || same;
  }
  memcpy(has, c->merged, out * sizeof *has);
  c->counts[group] = out;
}

/* Looks for more rows of the groups that have too few and may have others. */
static int group_fill(struct group_call *c, uint32_t q, vecdb_error *err) {
  for (uint32_t g = 0; g < c->n_open && !c->partial; g++) {
    struct vdb_filter *condition = NULL;
    struct vdb_exec_worker worker = {0};
    if (c->counts[g] == c->size)
      continue;
    VDB_TRY(group_condition(c, g, &condition, err));
    int rc = group_find(c, q, condition, c->size, &worker, err);
    if (!rc)
      group_merge(c, g, worker.hits, worker.n_hits);
    vdb_exec_fini(&c->request, &worker);
    VDB_TRY(rc);
  }
  return VECDB_OK;
}

/* Orders the groups by their first hits; mostly they come so. */
static void group_sort(struct group_call *c) {
  for (uint32_t g = 0; g < c->n_groups; g++) {
    struct vdb_qhit first = c->hits[(size_t)g * c->size];
    uint32_t at = g;
    for (; at > 0 && vdb_qhit_before(c->request.snapshot, first,
                                     c->hits[(size_t)c->order[at - 1] * c->size]);
         at--)
      c->order[at] = c->order[at - 1];
    c->order[at] = g;
  }
}

/* Hands out the groups of query q, and their rows if wanted. */
static int group_store(struct group_call *c, uint32_t q, const struct vdb_group_want *want,
                       vecdb_rows *rows, vecdb_error *err) {
  const struct vdb_request *r = &c->request;
  for (uint32_t place = 0; place < c->n_groups; place++) {
    uint32_t group = c->order[place];
    size_t at = (size_t)q * c->k + place;
    want->counts[at] = c->counts[group];
    for (uint32_t i = 0; i < c->counts[group]; i++) {
      struct vdb_qhit hit = c->hits[(size_t)group * c->size + i];
      vecdb_hit *out = &want->hits[at * c->size + i];
      out->score = vdb_score_of_key(hit.key, r->field->metric);
      out->id = vdb_qhit_id(r->snapshot, hit);
      out->row = rows ? (uint32_t)vecdb_rows_count(rows) : 0;
      if (rows)
        VDB_TRY(vdb_rows_add(rows, &r->snapshot->segs[hit.seg], hit.row, err));
    }
  }
  return VECDB_OK;
}

static int group_check(const struct vdb_group_want *want, vecdb_error *err) {
  const vecdb_group_by *by = want->by;
  if (!want->hits || !want->counts || !by)
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "%s is NULL",
                    !by ? "by" : want->hits ? "counts" : "hits");
  if (by->size != sizeof *by)
    return vdb_fail(err, VECDB_ERR_OPTION, "by.size is %u; this library knows %zu", by->size,
                    sizeof *by);
  if (want->info && want->info->size != sizeof *want->info)
    return vdb_fail(err, VECDB_ERR_OPTION, "info.size is %u; this library knows %zu",
                    want->info->size, sizeof *want->info);
  return VECDB_OK;
}

/* The field of the groups, their numbers, and memory for those of a query. */
static int group_begin(struct group_call *c, const vecdb_group_by *by, vecdb_error *err) {
  struct vdb_request *r = &c->request;
  VDB_TRY(vdb_fields_find(r->snapshot->schema, by->field, &c->field_no, err));
  c->field = &r->snapshot->schema->fields[c->field_no];
  bool able = c->field->type == VECDB_BOOL || vdb_type_is_integer(c->field->type) ||
              c->field->type == VECDB_VARCHAR;
  if (!able)
    return vdb_fail_at(err, VECDB_ERR_TYPE, -1, c->field->name,
                       "groups are by BOOL, integers or VARCHAR, which field '%s' is not",
                       c->field->name);
  c->k = r->k;
  c->size = by->hits ? by->hits : 1;
  if (c->size > VECDB_MAX_K / c->k)
    return vdb_fail(err, VECDB_ERR_K, "%u groups of %u hits are more than %d hits", c->k, c->size,
                    VECDB_MAX_K);
  c->n_queries = r->n_queries;
  r->n_queries = 1; /* at a time */
  c->par = vdb_par_serial();
  c->slots = vdb_keymap_slots(c->k);
  c->hits = vdb_alloc_array(r->mem, (size_t)c->k * c->size, sizeof *c->hits);
  c->merged = vdb_alloc_array(r->mem, c->size, sizeof *c->merged);
  c->counts = vdb_alloc_array(r->mem, c->k, sizeof *c->counts);
  c->order = vdb_alloc_array(r->mem, c->k, sizeof *c->order);
  c->map.slots = vdb_alloc_array(r->mem, c->slots, sizeof(uint64_t));
  c->map.mask = c->slots - 1;
  bool made = c->hits && c->merged && c->counts && c->order && c->map.slots;
  return made ? VECDB_OK : vdb_fail_memory(err);
}

static void group_end(struct group_call *c) {
  struct vdb_mem *mem = c->request.mem;
  vdb_free(mem, (void *)c->map.slots);
  vdb_free(mem, c->order);
  vdb_free(mem, c->counts);
  vdb_free(mem, c->merged);
  vdb_free(mem, c->hits);
  vdb_request_fini(&c->request);
}

/* Everything behind the checks of the request. */
static int group_run(struct group_call *c, const struct vdb_group_want *want, vecdb_rows **rows,
                     vecdb_error *err) {
  struct vdb_request *r = &c->request;
  VDB_TRY(group_begin(c, want->by, err));
  if (want->rows)
    VDB_TRY(vdb_rows_of(vdb_env_for(r->snapshot->env, VDB_FOR_RESULTS), r->snapshot->schema,
                        &r->pick, rows, err));
  memset(want->counts, 0, (size_t)c->n_queries * c->k * sizeof *want->counts);
  for (uint32_t q = 0; q < c->n_queries && !c->partial; q++) {
    VDB_TRY(group_gather(c, q, err));
    VDB_TRY(group_fill(c, q, err));
    group_sort(c);
    VDB_TRY(group_store(c, q, want, *rows, err));
  }
  if (c->partial && (!want->info || vdb_request_stopped(r) == VECDB_ERR_CANCELLED))
    return vdb_control_fail(&r->control, err);
  return VECDB_OK;
}

VDB_INTERNAL int vdb_query_groups(const struct vdb_snapshot *snapshot,
                                  const struct vdb_group_want *want, vecdb_error *err) {
  struct group_call call = {0};
  vecdb_rows *rows = NULL;
  VDB_TRY(group_check(want, err));
  uint64_t start = want->info ? vdb_now_ns(snapshot->env) : 0;
  VDB_TRY(vdb_request_init(&call.request, snapshot, want->params, VDB_REQUEST_SEARCH, err));
  int rc = group_run(&call, want, &rows, err);
  if (rc == VECDB_OK && want->info) {
    call.info.size = sizeof call.info;
    call.info.partial = call.partial;
    call.info.elapsed_ns = vdb_now_ns(snapshot->env) - start;
    *want->info = call.info;
  }
  group_end(&call);
  if (rc == VECDB_OK && want->rows)
    *want->rows = rows;
  else
    vecdb_rows_free(rows);
  return rc;
}
