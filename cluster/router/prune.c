/*
 * prune.c - shards that a filter leaves out; see prune.h. This reads only what it is sure about: a
 * sequence of conditions at the outermost level with `and` between them. A word or sign there that
 * could make a condition count for less (or, not) ends it, and parentheses are skipped as a whole.
 */
#include "router/prune.h"

#include <string.h>
#include <strings.h>

#include "router/split.h"

enum prune_kind { PRUNE_END, PRUNE_WORD, PRUNE_NUMBER, PRUNE_TEXT, PRUNE_PARAM, PRUNE_SIGN };

struct prune_token {
  enum prune_kind kind;
  const char *at;
  size_t n;
};

struct prune_in {
  const char *at;
  const char *end;
};

/* What one condition of three tokens says. */
enum prune_op { PRUNE_EQ, PRUNE_LOW, PRUNE_HIGH, PRUNE_NONE };

/* ---- Tokens ---- */

static bool prune_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static bool prune_number(const char *at, const char *end) {
  if (*at == '-')
    at++;
  return at < end && *at >= '0' && *at <= '9';
}

static size_t prune_length(const struct prune_in *in, enum prune_kind kind) {
  const char *at = in->at + 1;
  if (kind == PRUNE_WORD || kind == PRUNE_NUMBER)
    while (at < in->end && (prune_letter(*at) || (kind == PRUNE_NUMBER && *at == '.')))
      at++;
  else if (kind == PRUNE_TEXT || kind == PRUNE_PARAM) {
    const char last = *in->at == '{' ? '}' : *in->at;
    while (at < in->end && *at != last)
      at++;
    at += at < in->end;
  } else if (at < in->end && (*at == '=' || (*at == *in->at && (*at == '|' || *at == '&')))) {
    at++;
  }
  return (size_t)(at - in->at);
}

static struct prune_token prune_next(struct prune_in *in) {
  while (in->at < in->end && (*in->at == ' ' || (*in->at >= '\t' && *in->at <= '\r')))
    in->at++;
  struct prune_token t = {PRUNE_END, in->at, 0};
  if (in->at == in->end)
    return t;
  const char c = *in->at;
  t.kind = prune_number(in->at, in->end) ? PRUNE_NUMBER
           : prune_letter(c)             ? PRUNE_WORD
           : c == '\'' || c == '"'       ? PRUNE_TEXT
           : c == '{'                    ? PRUNE_PARAM
                                         : PRUNE_SIGN;
  t.n = prune_length(in, t.kind);
  in->at += t.n;
  return t;
}

static bool prune_is(const struct prune_token *t, const char *word) {
  return t->n == strlen(word) && strncasecmp(t->at, word, t->n) == 0;
}

/* ---- A condition's value ---- */

/* Whole, since digits behind a point or a letter would make it another number. */
static bool prune_integer(const struct prune_token *t, int64_t *out) {
  const bool negative = *t->at == '-';
  *out = 0;
  if (t->n - negative > 18)
    return false;
  for (size_t i = negative; i < t->n; i++) {
    if (t->at[i] < '0' || t->at[i] > '9')
      return false;
    *out = *out * 10 + (t->at[i] - '0');
  }
  *out = negative ? -*out : *out;
  return true;
}

static bool prune_param(const vecdb_filter *filter, const struct prune_token *t, vecdb_value *out) {
  for (size_t i = 0; i < filter->n_params; i++) {
    const char *name = filter->params[i].name;
    if (t->n == strlen(name) + 2 && memcmp(t->at + 1, name, t->n - 2) == 0) {
      *out = filter->params[i].value;
      return true;
    }
  }
  return false;
}

/* A value that rows of the field are compared with as they are placed: an integer of an integer
   field, a text of a text. */
static bool prune_value(const struct router_map *map, const vecdb_filter *filter,
                        const struct prune_token *t, vecdb_value *out) {
  *out = (vecdb_value){0};
  if (t->kind == PRUNE_PARAM) {
    if (!prune_param(filter, t, out))
      return false;
  } else if (t->kind == PRUNE_NUMBER) {
    out->type = VECDB_INT64;
    if (!prune_integer(t, &out->as.integer))
      return false;
  } else if (t->kind == PRUNE_TEXT && t->n >= 2 && t->at[t->n - 1] == *t->at) {
    *out = (vecdb_value){.type = VECDB_VARCHAR, .length = (uint32_t)t->n - 2,
                         .as.data = t->at + 1};
  }
  const bool whole = out->type >= VECDB_INT8 && out->type <= VECDB_INT64;
  const bool field = map->by->type >= VECDB_INT8 && map->by->type <= VECDB_INT64;
  return (whole && field) || (out->type == VECDB_VARCHAR && map->by->type == VECDB_VARCHAR);
}

/* ---- What it leaves ---- */

static void prune_keep(const struct router_map *map, uint32_t first, uint32_t n, bool *out) {
  for (uint32_t i = 0; i < n; i++)
    out[map->slots.shard[first + i]] = true;
}

static void prune_apply(const struct router_map *map, enum prune_op op, const vecdb_value *value,
                        bool *needed) {
  bool kept[DOC_SHARDS_MAX] = {false};
  if (map->coll.policy == DOC_TENANT || op == PRUNE_EQ) {
    const struct place_window w = router_split_window(map, value);
    prune_keep(map, w.first, w.n, kept);
  } else {
    const struct doc_key key = router_split_key(map, value);
    uint32_t first, last;
    place_ranges(&map->splits, op == PRUNE_LOW ? &key : NULL, op == PRUNE_HIGH ? &key : NULL,
                 &first, &last);
    for (uint32_t i = first; i <= last; i++)
      prune_keep(map, map->splits.ranges[i].first_slot, map->splits.ranges[i].n_slots, kept);
  }
  for (uint32_t i = 0; i < map->n_shards; i++)
    needed[i] &= kept[i];
}

static enum prune_op prune_op(const struct prune_token *t) {
  if (prune_is(t, "=="))
    return PRUNE_EQ;
  if (prune_is(t, ">") || prune_is(t, ">="))
    return PRUNE_LOW;
  return prune_is(t, "<") || prune_is(t, "<=") ? PRUNE_HIGH : PRUNE_NONE;
}

/* The tokens of one condition, `n` of them; more than three are not told apart. */
static void prune_condition(const struct router_map *map, const vecdb_filter *filter,
                            const struct prune_token *tokens, uint32_t n, bool *needed) {
  vecdb_value value;
  const enum prune_op op = n == 3 ? prune_op(&tokens[1]) : PRUNE_NONE;
  if (op == PRUNE_NONE || tokens[0].kind != PRUNE_WORD ||
      tokens[0].n != strlen(map->by->name) ||
      memcmp(tokens[0].at, map->by->name, tokens[0].n) != 0 ||
      !prune_value(map, filter, &tokens[2], &value))
    return;
  if (op == PRUNE_EQ || map->coll.policy == DOC_RANGE)
    prune_apply(map, op, &value, needed);
}

/* Behind the sign that closes what this one has opened; false: nothing does. */
static bool prune_skip(struct prune_in *in) {
  for (uint32_t depth = 1; depth;) {
    const struct prune_token t = prune_next(in);
    if (t.kind == PRUNE_END)
      return false;
    depth += prune_is(&t, "(") || prune_is(&t, "[");
    depth -= prune_is(&t, ")") || prune_is(&t, "]");
  }
  return true;
}

/* Walks over the conditions; with `needed` NULL only to see whether all is understood. */
static bool prune_walk(const struct router_map *map, const vecdb_filter *filter, bool *needed) {
  const size_t length = filter->length ? filter->length : strlen(filter->text);
  struct prune_in in = {filter->text, filter->text + length};
  struct prune_token tokens[3];
  uint32_t n = 0;
  for (;;) {
    const struct prune_token t = prune_next(&in);
    if (t.kind == PRUNE_END || prune_is(&t, "and") || prune_is(&t, "&&")) {
      if (needed)
        prune_condition(map, filter, tokens, n, needed);
      n = 0;
      if (t.kind == PRUNE_END)
        return true;
      continue;
    }
    bool open = prune_is(&t, "(") || prune_is(&t, "[");
    if (prune_is(&t, "or") || prune_is(&t, "||") || prune_is(&t, "not") || prune_is(&t, "!") ||
        prune_is(&t, ")") || prune_is(&t, "]") || (open && !prune_skip(&in)))
      return false;
    if (n < 3)
      tokens[n] = t;
    n += n < 4;
  }
}

void prune_shards(const struct router_map *map, const vecdb_filter *filter, bool *needed) {
  if (!map->by || !filter->text || map->n_shards > DOC_SHARDS_MAX)
    return;
  /* An escaped quote would end a text elsewhere. */
  const size_t length = filter->length ? filter->length : strlen(filter->text);
  if (!memchr(filter->text, '\\', length) && prune_walk(map, filter, NULL))
    prune_walk(map, filter, needed);
}
