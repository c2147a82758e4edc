/*
 * copy.c - all rows of a collection, page by page in the order of their keys. Rows that are here
 * and not in the page that would have them are removed, so a copy also mends one that has missed
 * something, and is read meanwhile.
 */
#include <stdlib.h>
#include <string.h>

#include "edge/follow.h"

enum { COPY_TEXT = VECDB_MAX_NAME + 32, COPY_OLD = 4096 };

/* The last key of a page, which the next one begins behind. */
struct copy_place {
  bool there;
  int64_t integer;
  vecdb_string string; /* owned */
};

static vecdb_keys copy_after(const struct copy_place *p, bool texts) {
  if (!p->there)
    return (vecdb_keys){NULL, NULL, 0};
  return texts ? (vecdb_keys){NULL, &p->string, 1} : (vecdb_keys){&p->integer, NULL, 1};
}

static bool copy_keep(struct copy_place *p, vecdb_value key) {
  p->there = true;
  p->integer = key.as.integer;
  if (key.type != VECDB_VARCHAR)
    return true;
  char *text = malloc(key.length + 1u);
  if (text && key.length)
    memcpy(text, key.as.data, key.length);
  free((void *)(uintptr_t)p->string.data);
  p->string = (vecdb_string){text, key.length};
  return text != NULL;
}

/* ---- What is here and should not be ---- */

/* Of these rows, which are here, those up to `last` (NULL: all) that the answer lacks. True: rows
   up to there may be left. */
static bool copy_foreign(const vecdb_rows *old, const vecdb_client_answer *answer, size_t *row,
                         const vecdb_value *last, vecdb_string *strings, int64_t *integers,
                         vecdb_keys *out) {
  size_t n = vecdb_rows_count(old), rows = vecdb_client_answer_rows(answer, 0), i = 0;
  for (; i < n; i++) {
    const vecdb_value key = vecdb_rows_value(old, i, 0);
    if (last && follow_key_order(key, *last) > 0)
      break;
    while (*row < rows && follow_key_order(vecdb_client_answer_key(answer, 0, *row), key) < 0)
      ++*row;
    if (*row < rows && !follow_key_order(vecdb_client_answer_key(answer, 0, *row), key))
      continue;
    if (key.type == VECDB_VARCHAR)
      strings[out->n++] = (vecdb_string){key.as.data, key.length};
    else
      integers[out->n++] = key.as.integer;
  }
  *out = (vecdb_keys){integers, strings, out->n};
  return i == n && n == COPY_OLD;
}

static int copy_remove(struct follow *f, const struct copy_place *from,
                       const vecdb_client_answer *answer, const vecdb_value *last,
                       vecdb_error *error) {
  const bool texts = f->key->type == VECDB_VARCHAR;
  vecdb_string *strings = texts ? malloc(COPY_OLD * sizeof *strings) : NULL;
  int64_t *integers = texts ? NULL : malloc(COPY_OLD * sizeof *integers);
  vecdb_query_params q = VECDB_QUERY_PARAMS_INIT;
  struct copy_place at = {0};
  bool more = true;
  size_t row = 0;
  int code = strings || integers ? VECDB_OK
                                 : follow_fail(error, VECDB_ERR_NO_MEMORY, "out of memory");
  q.limit = COPY_OLD;
  q.fields = follow_only_key;
  q.after = copy_after(from, texts);
  while (more && !code) {
    vecdb_rows *old = NULL;
    vecdb_keys foreign = {NULL, NULL, 0};
    code = vecdb_query(f->rows, &q, &old, error);
    if (code)
      break;
    more = copy_foreign(old, answer, &row, last, strings, integers, &foreign);
    code = follow_delete(f, &foreign, error);
    if (more && !code && !copy_keep(&at, vecdb_rows_value(old, COPY_OLD - 1, 0)))
      code = follow_fail(error, VECDB_ERR_NO_MEMORY, "out of memory");
    q.after = copy_after(&at, texts);
    vecdb_rows_free(old);
  }
  free((void *)(uintptr_t)at.string.data);
  free(strings);
  free(integers);
  return code;
}

/* ---- Pages ---- */

/* Whether the rows of a page ascend and lie behind the place. */
static bool copy_sound(const struct follow *f, const vecdb_client_answer *answer,
                       const struct copy_place *from) {
  const vecdb_keys after = copy_after(from, f->key->type == VECDB_VARCHAR);
  size_t n = vecdb_client_answer_rows(answer, 0);
  vecdb_value before = {0};
  if (after.n)
    before = follow_key_at(&after, 0);
  for (size_t i = 0; i < n; i++) {
    const vecdb_value key = vecdb_client_answer_key(answer, 0, i);
    if (key.type != f->key->type || (before.type && follow_key_order(before, key) >= 0))
      return false;
    before = key;
  }
  return true;
}

static int copy_ask(struct follow *f, const struct copy_place *from, vecdb_client_answer **out,
                    vecdb_error *error) {
  const char *names[VECDB_MAX_FIELDS];
  char text[COPY_TEXT];
  vecdb_param params[2];
  vecdb_query_params q = VECDB_QUERY_PARAMS_INIT;
  q.limit = f->chunk;
  q.fields = names;
  q.n_fields = follow_fields(f, names);
  q.after = copy_after(from, f->key->type == VECDB_VARCHAR);
  if (f->of->n_tenants) {
    if (!follow_filter(f, NULL, text, sizeof text, params, &q.filter.n_params))
      return follow_fail(error, VECDB_ERR_UNKNOWN_FIELD, "no field says whose a row is");
    q.filter.text = text;
    q.filter.params = params;
  }
  return vecdb_client_query(f->of->client, f->info.name, &q, &f->call, out, error);
}

/* One page; *end: it was the last. */
static int copy_page(struct follow *f, struct copy_place *place, bool *end, vecdb_error *error) {
  vecdb_client_answer *answer = NULL;
  const uint32_t limit = f->chunk;
  int code = copy_ask(f, place, &answer, error);
  if (code == VECDB_ERR_LIMIT && limit > 1) {
    f->chunk = limit / 2;
    return VECDB_OK;
  }
  if (code)
    return code;
  const size_t n = vecdb_client_answer_rows(answer, 0);
  *end = n < limit;
  if (n > limit || !copy_sound(f, answer, place))
    code = follow_fail(error, VECDB_CLIENT_PROTOCOL, "a page of rows that nobody asked for");
  const vecdb_value last = n ? vecdb_client_answer_key(answer, 0, n - 1) : (vecdb_value){0};
  if (!code)
    code = copy_remove(f, place, answer, *end ? NULL : &last, error);
  if (!code)
    code = follow_write(f, answer, error);
  if (!code && n && !copy_keep(place, last))
    code = follow_fail(error, VECDB_ERR_NO_MEMORY, "out of memory");
  vecdb_client_answer_free(answer);
  return code;
}

/* The positions as of now: what is read later is at least as new. */
static int copy_positions(struct follow *f, vecdb_client_position *at, vecdb_error *error) {
  int code = VECDB_OK;
  for (uint32_t i = 0; i < f->saved.n && !code; i++) {
    vecdb_client_changes *changes;
    code = vecdb_client_changes_after(f->of->client, f->info.name, i, NULL, &f->call, &changes,
                                      error);
    if (!code)
      at[i] = vecdb_client_changes_position(changes);
    vecdb_client_changes_free(changes);
  }
  return code ? code : follow_all_told(f, error);
}

/* What a copy that was broken off has. Its rows are at least of these positions, so what was
   written since, also to rows that it has, is told by the changes behind them. */
struct follow_part {
  struct copy_place place;
  vecdb_client_position *at;
  int64_t began_us;
  uint64_t version; /* of the schema */
};

void follow_copy_forget(struct follow *f) {
  if (!f->part)
    return;
  free((void *)(uintptr_t)f->part->place.string.data);
  free(f->part->at);
  free(f->part);
  f->part = NULL;
}

static int copy_begin(struct follow *f, vecdb_error *error) {
  struct follow_part *part = calloc(1, sizeof *part);
  vecdb_client_position *at = calloc(f->saved.n, sizeof *at);
  int code = part && at ? VECDB_OK : follow_fail(error, VECDB_ERR_NO_MEMORY, "out of memory");
  if (!code) {
    *part = (struct follow_part){.at = at,
                                 .began_us = follow_now_us(),
                                 .version = vecdb_client_about_version(f->about)};
    code = copy_positions(f, at, error);
  }
  if (code) {
    free(at);
    free(part);
    return code;
  }
  f->part = part;
  return VECDB_OK;
}

int follow_copy(struct follow *f, vecdb_error *error) {
  bool end = false;
  if (f->part && f->part->version != vecdb_client_about_version(f->about))
    follow_copy_forget(f);
  int code = f->part ? VECDB_OK : copy_begin(f, error);
  while (!code && !end)
    code = *f->of->stopped ? follow_fail(error, VECDB_ERR_CANCELLED, "the edge is being closed")
                           : copy_page(f, &f->part->place, &end, error);
  if (code)
    return code;
  free(f->saved.at);
  f->saved.at = f->part->at;
  f->part->at = NULL;
  f->saved.whole = true;
  f->changed = true;
  pthread_mutex_lock(f->of->mutex);
  f->info.copies++;
  f->fresh_us = f->part->began_us;
  pthread_mutex_unlock(f->of->mutex);
  follow_copy_forget(f);
  return VECDB_OK;
}
