/* cmd_ranking.c - the nearest groups of rows, and one ranking out of several searches. */
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "rows.h"
#include "search.h"
#include "usage.h"
#include "words.h"

enum { RANKING_K = 100 /* hits of a search that is part of a ranking */ };

/* ---- groups ---- */

/* The hits of groups, which lie apart, one after the other; says how many there are. */
static uint32_t groups_close_up(vecdb_hit *hits, const uint32_t *counts, uint32_t k,
                                uint32_t size) {
  uint32_t n = 0;
  for (uint32_t g = 0; g < k; g++) {
    memmove(hits + n, hits + (size_t)g * size, counts[g] * sizeof *hits);
    n += counts[g];
  }
  return n;
}

/* The field of the groups is shown, also where fields= leaves it out. */
static void groups_show(struct search *s, const char *by) {
  for (size_t i = 0; i < s->params.n_fields; i++)
    if (strcmp(s->fields[i], by) == 0)
      return;
  s->fields[s->params.n_fields++] = by;
}

static int groups_options(struct search *s, const struct call *call, vecdb_group_by *by,
                          vecdb_error *error) {
  uint64_t size;
  by->field = call_option(call, "by");
  if (!by->field)
    return fail(error, VECDB_ERR_ARGUMENT, "say by=FIELD: rows with the same value are a group");
  if (schema_find(vecdb_collection_schema(s->collection), by->field) < 0)
    return fail(error, VECDB_ERR_UNKNOWN_FIELD, "no field '%.80s'", by->field);
  int status = call_number(call, "size", 1, VECDB_MAX_K, 1, &size, error);
  if (status)
    return status;
  if (size * s->params.k > VECDB_MAX_K)
    return fail(error, VECDB_ERR_K, "k times size is at most %d", VECDB_MAX_K);
  by->hits = (uint32_t)size;
  groups_show(s, by->field);
  return VECDB_OK;
}

int cmd_groups(struct shell *shell, const struct call *call, vecdb_error *error) {
  struct search s;
  vecdb_group_by by = VECDB_GROUP_BY_INIT;
  vecdb_search_info info = VECDB_SEARCH_INFO_INIT;
  vecdb_hit *hits = NULL;
  uint32_t *counts = NULL;
  vecdb_rows *rows = NULL;
  int status = search_begin(shell, call, &s, error);
  if (!status)
    status = groups_options(&s, call, &by, error);
  if (!status) {
    hits = mem_new((size_t)s.params.k * by.hits, sizeof *hits);
    counts = mem_new(s.params.k, sizeof *counts);
    s.params.control = control_begin("searching");
    status = vecdb_search_groups(s.collection, &s.params, &by, hits, counts, &info, &rows, error);
    control_end();
  }
  if (!status) {
    uint32_t n = groups_close_up(hits, counts, s.params.k, by.hits);
    rows_print(shell, rows, hits, n, false);
    search_footer(shell, &s, n, &info);
  }
  vecdb_rows_free(rows);
  free(counts);
  free(hits);
  search_end(&s);
  return status;
}

/* ---- hybrid ---- */

/* A ranking with its searches. */
struct ranking {
  vecdb_collection *collection;
  struct search *part;
  struct words *words; /* of each part, which borrows from them */
  vecdb_hybrid_search *searches;
  size_t n_parts; /* that are to be freed */
  vecdb_hybrid_params params;
  const char *fields[VECDB_MAX_FIELDS + 1];
  char *memory;
};

/* The options of a search, which are behind its first word, as those of a command. */
static int ranking_part(const struct shell *shell, struct ranking *r, const struct call *call,
                        vecdb_error *error) {
  struct search *part = &r->part[r->n_parts];
  vecdb_hybrid_search *out = &r->searches[r->n_parts++];
  double weight = 1, radius = 0;
  int status = usage_check(call, error);
  if (!status)
    status = search_read(shell, call, r->collection, RANKING_K, part, error);
  if (!status)
    status = call_real(call, "weight", &weight, error);
  if (!status)
    status = call_real(call, "radius", &radius, error);
  if (!status && weight == 0)
    status = fail(error, VECDB_ERR_RANGE, "weight=0: leave the search out");
  out->search = part->params;
  out->weight = (float)weight;
  out->bounded = call_option(call, "radius") != NULL;
  out->radius = (float)radius;
  return status;
}

/* One search: (row=KEY field=FIELD ...). */
static int ranking_word(const struct shell *shell, struct ranking *r, const char *word,
                        vecdb_error *error) {
  static const struct command part = {"(SEARCH)", RANKING_PART_ARGS, NULL, NULL, NULL};
  size_t n = strlen(word);
  if (n < 2 || word[0] != '(' || word[n - 1] != ')')
    return fail(error, VECDB_ERR_ARGUMENT, "'%.80s' is no search in brackets; see `help hybrid`",
                word);
  struct words *words = &r->words[r->n_parts];
  struct call call = {.command = &part};
  words_split(word + 1, n - 2, words);
  call_read(&call, words, 0, word + 1);
  int status = ranking_part(shell, r, &call, error);
  free(call.place);
  free(call.options);
  return status;
}

static int ranking_options(struct ranking *r, const struct call *call, vecdb_error *error) {
  static const char *const fusions[] = {"rrf", "weighted", "scores"};
  uint64_t k;
  double rrf_k = 0;
  int status = call_number(call, "k", 1, VECDB_MAX_K, SEARCH_K, &k, error);
  if (status == VECDB_ERR_RANGE)
    return error->code = VECDB_ERR_K;
  if (!status)
    status = call_choice(call, "fusion", fusions, 3, &r->params.fusion, error);
  if (!status)
    status = call_real(call, "rrf_k", &rrf_k, error);
  if (!status)
    status = fields_read(call, vecdb_collection_schema(r->collection), r->fields,
                         &r->params.n_fields, &r->memory, error);
  if (status)
    return status;
  r->params.k = (uint32_t)k;
  r->params.rrf_k = (float)rrf_k;
  r->params.fields = r->fields;
  r->params.searches = r->searches;
  r->params.n_searches = (uint32_t)r->n_parts;
  return VECDB_OK;
}

static int ranking_begin(const struct shell *shell, const struct call *call, struct ranking *r,
                         vecdb_error *error) {
  memset(r, 0, sizeof *r);
  r->params = (vecdb_hybrid_params)VECDB_HYBRID_PARAMS_INIT;
  int status = call_collection(shell, call, &r->collection, error);
  if (status)
    return status;
  r->part = mem_new(call->n_places, sizeof *r->part);
  r->words = mem_new(call->n_places, sizeof *r->words);
  r->searches = mem_new(call->n_places, sizeof *r->searches);
  for (size_t i = 1; i < call->n_places && !status; i++)
    status = ranking_word(shell, r, call->place[i], error);
  return status ? status : ranking_options(r, call, error);
}

static void ranking_end(struct ranking *r) {
  for (size_t i = 0; i < r->n_parts; i++) {
    search_free(&r->part[i]);
    words_free(&r->words[i]);
  }
  free(r->part);
  free(r->words);
  free(r->searches);
  free(r->memory);
  vecdb_collection_release(r->collection);
}

int cmd_hybrid(struct shell *shell, const struct call *call, vecdb_error *error) {
  struct ranking r;
  vecdb_search_info info = VECDB_SEARCH_INFO_INIT;
  vecdb_hit *hits = NULL;
  uint32_t count = 0;
  vecdb_rows *rows = NULL;
  int status = ranking_begin(shell, call, &r, error);
  if (!status) {
    hits = mem_new(r.params.k, sizeof *hits);
    r.params.control = control_begin("searching");
    status = vecdb_search_hybrid(r.collection, &r.params, hits, &count, &info, &rows, error);
    control_end();
  }
  if (!status) {
    rows_print(shell, rows, hits, count, false);
    search_footer(shell, &r.part[0], count, &info);
  }
  vecdb_rows_free(rows);
  free(hits);
  ranking_end(&r);
  return status;
}
