/* answer.c - what answers hold; see vecdb_client.h. */
#include <stdlib.h>

#include "client/client.h"
#include "client/session.h"

void vecdb_client_answer_free(vecdb_client_answer *answer) {
  if (answer)
    router_result_free(answer->result);
  free(answer);
}

size_t vecdb_client_answer_rows(const vecdb_client_answer *answer, size_t query) {
  const struct router_result *r = answer->result;
  if (r->kind == WIRE_SEARCH)
    return query < r->n_queries ? r->counts[query] : 0;
  return query ? 0 : r->n;
}

/* Where a row is in the result; SIZE_MAX: there is none. */
static size_t answer_place(const vecdb_client_answer *answer, size_t query, size_t row) {
  if (row >= vecdb_client_answer_rows(answer, query))
    return SIZE_MAX;
  return query * answer->result->k + row;
}

float vecdb_client_answer_score(const vecdb_client_answer *answer, size_t query, size_t row) {
  size_t at = answer_place(answer, query, row);
  return at != SIZE_MAX && answer->result->scores ? answer->result->scores[at] : 0;
}

static vecdb_value answer_value(const vecdb_client_answer *answer, size_t at, const char *field) {
  const struct router_ref ref = answer->result->refs[at];
  const struct wire_columns *rows = router_result_rows(answer->result, ref);
  int column = field ? wire_columns_find(rows, field) : 0;
  return column < 0 ? (vecdb_value){0} : wire_columns_value(rows, ref.row, (size_t)column);
}

vecdb_value vecdb_client_answer_key(const vecdb_client_answer *answer, size_t query, size_t row) {
  size_t at = answer_place(answer, query, row);
  return at == SIZE_MAX ? (vecdb_value){0} : answer_value(answer, at, NULL);
}

vecdb_value vecdb_client_answer_value(const vecdb_client_answer *answer, size_t query, size_t row,
                                      const char *field) {
  size_t at = answer_place(answer, query, row);
  return at == SIZE_MAX || !field ? (vecdb_value){0} : answer_value(answer, at, field);
}

int vecdb_client_answer_found(const vecdb_client_answer *answer, size_t i) {
  return i < answer->result->n_found && answer->result->found[i];
}

int vecdb_client_answer_partial(const vecdb_client_answer *answer, uint32_t *ok, uint32_t *asked) {
  const struct wire_result *r = &answer->result->result;
  if (ok)
    *ok = r->shards_ok;
  if (asked)
    *asked = r->shards_all;
  return r->partial;
}
