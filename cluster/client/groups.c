/*
 * groups.c - the nearest groups of rows of all shards; see vecdb_client.h. Each shard tells its own
 * nearest k groups, and the nearest k of all are among these. But a shard that has other groups
 * nearer says nothing of these, and may have rows that belong to them: groups of several rows are
 * therefore asked for once more, by their values.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/calls.h"
#include "client/session.h"

#define GROUPS_PARAM "groups_of_all_shards"
enum { GROUPS_TEXT = 2 * VECDB_MAX_NAME + 128 };

struct groups_call {
  vecdb_client *client;
  const char *name;
  vecdb_search_params params; /* with the field of the groups among those of the rows */
  const vecdb_group_by *by;
  const vecdb_client_call *call;
  uint32_t hits;       /* of a group at most */
  vecdb_value *values; /* of the groups of the query at hand; they lie in its answer */
  uint32_t *slots;     /* a table of groups by value: their numbers and 1 more */
  uint32_t mask;
  struct wire_mem mem; /* of all these, and of filters */
};

/* ---- Hits into groups ---- */

static vecdb_value groups_value(const struct groups_call *g, const struct router_result *r,
                                struct router_ref ref) {
  const struct wire_columns *rows = router_result_rows(r, ref);
  int column = wire_columns_find(rows, g->by->field);
  return column < 0 ? (vecdb_value){0} : wire_columns_value(rows, ref.row, (size_t)column);
}

static int64_t groups_number(const vecdb_value *v) {
  return v->type == VECDB_BOOL ? v->as.boolean : v->as.integer;
}

static bool groups_same(const vecdb_value *a, const vecdb_value *b) {
  if (a->type != b->type || !a->type)
    return a->type == b->type;
  if (a->type == VECDB_VARCHAR)
    return a->length == b->length && (!a->length || !memcmp(a->as.data, b->as.data, a->length));
  return groups_number(a) == groups_number(b);
}

/* The place in the table of the group with the value, or where it would be. */
static uint32_t *groups_slot(const struct groups_call *g, const vecdb_value *v) {
  uint64_t hash = !v->type                   ? 0
                  : v->type == VECDB_VARCHAR ? place_hash(v->as.data, v->length)
                                             : place_hash_number(groups_number(v));
  uint32_t at = (uint32_t)hash & g->mask;
  while (g->slots[at] && !groups_same(&g->values[g->slots[at] - 1], v))
    at = (at + 1) & g->mask;
  return &g->slots[at];
}

/* Finds the groups of a query among its hits, which come nearest first; how many. The hits go to
   `out`, unless it is NULL: k lists of `hits`. Lists of refs begin at `before` there. */
static uint32_t groups_find(struct groups_call *g, const struct router_result *r, uint32_t query,
                            const struct router_hits *out, uint32_t before) {
  uint32_t n = 0;
  memset(g->slots, 0, ((size_t)g->mask + 1) * sizeof *g->slots);
  for (uint32_t i = 0; i < r->counts[query]; i++) {
    const size_t at = (size_t)query * r->k + i;
    const vecdb_value value = groups_value(g, r, r->refs[at]);
    uint32_t *slot = groups_slot(g, &value);
    if (!*slot && n < g->params.k) {
      g->values[n] = value;
      *slot = ++n;
    }
    uint32_t group = *slot - 1;
    if (!*slot || !out || out->counts[group] == g->hits)
      continue;
    const size_t to = (size_t)group * g->hits + out->counts[group]++;
    out->refs[to] = (struct router_ref){r->refs[at].list + before, r->refs[at].row};
    out->scores[to] = r->scores[at];
  }
  return n;
}

/* ---- Asking ---- */

static int groups_ask(const struct groups_call *g, const vecdb_search_params *params,
                      struct job *job, vecdb_error *error) {
  int code = calls_begin_search(g->client, g->name, params, g->call, job, error);
  job->message.group = (struct wire_group){g->by->field, g->hits};
  job->message.has |= WIRE_HAS(WIRE_GROUP);
  return code;
}

/* The values of n groups as a list, without null. False: no memory. */
static bool groups_list(struct groups_call *g, uint32_t n, vecdb_value *list, bool *null) {
  int32_t type = 0;
  *null = false;
  for (uint32_t i = 0; i < n; i++) {
    type = g->values[i].type ? g->values[i].type : type;
    *null |= !g->values[i].type;
  }
  const bool text = type == VECDB_VARCHAR;
  const size_t width = text ? sizeof(vecdb_string) : wire_type_bytes(type, 0);
  char *at = wire_mem_get(&g->mem, n, width);
  *list = (vecdb_value){.type = VECDB_ARRAY, .element_type = type, .as.data = at};
  for (uint32_t i = 0; at && i < n; i++) {
    const vecdb_value *v = &g->values[i];
    const vecdb_string string = {v->as.data, v->length};
    const int64_t number = groups_number(v);
    if (v->type)
      memcpy(at + width * list->length++, text ? (const void *)&string : &number, width);
  }
  return at != NULL;
}

/* The caller's filter, and that rows are of one of n groups. */
static bool groups_filter(struct groups_call *g, uint32_t n, vecdb_filter *out) {
  const vecdb_filter *own = &g->params.filter;
  const size_t length = !own->text ? 0 : own->length ? own->length : strlen(own->text);
  const char *field = g->by->field;
  char *text = wire_mem_get(&g->mem, length + GROUPS_TEXT, 1);
  vecdb_param *params = wire_mem_get(&g->mem, own->n_params + 1, sizeof *params);
  bool null;
  if (!text || !params || !groups_list(g, n, &params[own->n_params].value, &null))
    return false;
  if (own->n_params)
    memcpy(params, own->params, own->n_params * sizeof *params);
  params[own->n_params].name = GROUPS_PARAM;
  const bool some = params[own->n_params].value.length > 0;
  const size_t room = length + GROUPS_TEXT;
  size_t at = 0;
  if (length)
    at = (size_t)snprintf(text, room, "(%.*s) and ", (int)length, own->text);
  if (null && some)
    snprintf(text + at, room - at, "(%s is null or %s in {" GROUPS_PARAM "})", field, field);
  else if (null)
    snprintf(text + at, room - at, "%s is null", field);
  else
    snprintf(text + at, room - at, "%s in {" GROUPS_PARAM "}", field);
  *out = (vecdb_filter){text, 0, params, own->n_params + some};
  return true;
}

/* ---- The answer ---- */

/* The groups of results, each of which has some queries. The results are taken over. */
static int groups_answer(struct groups_call *g, struct router_result *const *results, uint32_t n,
                         vecdb_client_answer **out, vecdb_error *error) {
  const uint32_t k = g->params.k, n_queries = n > 1 ? n : results[0]->n_queries;
  struct router_hits all;
  uint32_t before = 0, at = 0;
  *out = calls_join(results, n, n_queries * k, g->hits, &all);
  for (uint32_t i = 0; i < n && !*out; i++)
    router_result_free(results[i]);
  for (uint32_t i = 0; i < n && *out; i++) {
    for (uint32_t q = 0; q < results[i]->n_queries; q++, at++) {
      const size_t first = (size_t)at * k;
      const struct router_hits one = {all.refs + first * g->hits, all.scores + first * g->hits,
                                      all.counts + first};
      groups_find(g, results[i], q, &one, before);
    }
    before += results[i]->n_parts;
  }
  return *out ? VECDB_OK : calls_fail(error, VECDB_ERR_NO_MEMORY, "", "out of memory");
}

/* One search for each query, of the groups that the first search has found for it. */
static int groups_again(struct groups_call *g, const struct job *first, struct job *jobs,
                        vecdb_search_params *searches, vecdb_error *error) {
  const struct wire_search *s = &first->message.search;
  const size_t bytes = wire_type_bytes(s->type, s->dim);
  int code = VECDB_OK;
  for (uint32_t q = 0; q < s->n_queries && !code; q++) {
    vecdb_search_params *p = &searches[q];
    *p = g->params;
    p->queries = (const char *)g->params.queries + q * bytes;
    p->n_queries = 1;
    uint32_t n = groups_find(g, first->result, q, NULL, 0);
    if (n && !groups_filter(g, n, &p->filter))
      return calls_fail(error, VECDB_ERR_NO_MEMORY, "", "out of memory");
    code = groups_ask(g, p, &jobs[q], error);
  }
  return code ? code : calls_run_all(g->client, jobs, s->n_queries, error);
}

static int groups_run(struct groups_call *g, vecdb_client_answer **out, vecdb_error *error) {
  struct job first = {0};
  int code = groups_ask(g, &g->params, &first, error);
  code = code ? code : calls_run(g->client, &first, error);
  const uint32_t n = code ? 0 : first.result->n_queries;
  struct job *jobs = calloc(n + 1, sizeof *jobs);
  vecdb_search_params *searches = calloc(n + 1, sizeof *searches);
  struct router_result **results = calloc(n + 1, sizeof(struct router_result *));
  if (!code && (!jobs || !searches || !results))
    code = calls_fail(error, VECDB_ERR_NO_MEMORY, "", "out of memory");
  const bool once = g->hits == 1 || n == 0 || first.result->n_parts < 2;
  if (!code && once) {
    results[0] = first.result;
    first.result = NULL;
    code = groups_answer(g, results, 1, out, error);
  } else if (!code) {
    code = groups_again(g, &first, jobs, searches, error);
    for (uint32_t q = 0; q < n && !code; q++) {
      results[q] = jobs[q].result;
      jobs[q].result = NULL;
    }
    code = code ? code : groups_answer(g, results, n, out, error);
  }
  for (uint32_t q = 0; jobs && q < n; q++)
    calls_free(&jobs[q]);
  calls_free(&first);
  free(jobs);
  free(searches);
  free(results);
  return code;
}

/* ---- The call ---- */

static int groups_check(const vecdb_search_params *params, const vecdb_group_by *by,
                        vecdb_error *error) {
  if (!params || !by || !by->field)
    return calls_fail(error, VECDB_ERR_ARGUMENT, "", "params and the groups' field must be given");
  if (by->size != sizeof *by || params->size != sizeof *params)
    return calls_fail(error, VECDB_ERR_OPTION, "", "vecdb_group_by is not understood");
  if (strlen(by->field) > VECDB_MAX_NAME || params->n_fields >= VECDB_MAX_FIELDS)
    return calls_fail(error, VECDB_ERR_LIMIT, by->field, "too many fields, or no such field");
  if (!params->k || (by->hits ? by->hits : 1) > VECDB_MAX_K / params->k)
    return calls_fail(error, VECDB_ERR_K, "", "k is 1 to 16,384, and so is k times hits");
  return VECDB_OK;
}

int vecdb_client_search_groups(vecdb_client *c, const char *name,
                               const vecdb_search_params *params, const vecdb_group_by *by,
                               const vecdb_client_call *call, vecdb_client_answer **out,
                               vecdb_error *error) {
  const char *fields[VECDB_MAX_FIELDS];
  if (!out)
    return calls_fail(error, VECDB_ERR_ARGUMENT, "", "out must be given");
  *out = NULL;
  int code = groups_check(params, by, error);
  if (code)
    return code;
  struct groups_call g = {.client = c, .name = name, .params = *params, .by = by, .call = call};
  for (size_t i = 0; i < params->n_fields; i++)
    fields[i] = params->fields[i];
  fields[params->n_fields] = by->field;
  g.params.fields = fields;
  g.params.n_fields++;
  g.hits = by->hits ? by->hits : 1;
  g.mask = 1;
  while (g.mask < 2 * params->k)
    g.mask = 2 * g.mask + 1;
  g.values = wire_mem_get(&g.mem, params->k, sizeof *g.values);
  g.slots = wire_mem_get(&g.mem, (size_t)g.mask + 1, sizeof *g.slots);
  code = g.mem.failed ? calls_fail(error, VECDB_ERR_NO_MEMORY, "", "out of memory")
                      : groups_run(&g, out, error);
  wire_mem_free(&g.mem);
  return code;
}
