/*
 * milvus_dynamic.c - filters in Milvus's words into the library's: a name that the schema lacks is
 * a key of the dynamic field, and `$meta` is that field.
 */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "server/json_schema.h"
#include "server/milvus.h"

/* The text being read, and the one being written. */
struct dynamic_rewrite {
  const vecdb_schema *schema;
  bool dynamic; /* it has such a field */
  const char *text, *at;
  struct pb_out out;
  struct pb_out rewritten; /* of srv_rewritten */
};

static bool dynamic_is(const char *name, size_t n, const char *word) {
  return strlen(word) == n && strncasecmp(name, word, n) == 0;
}

static bool dynamic_word(const char *name, size_t n) {
  static const char *const words[] = {"and", "or",   "not",  "in",    "like",
                                      "is",  "null", "true", "false", "exists"};
  for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
    if (dynamic_is(name, n, words[i]))
      return true;
  return false;
}

static void dynamic_put(struct dynamic_rewrite *w, const char *text) {
  srv_pb_raw(&w->out, text, strlen(text));
}

static bool dynamic_field(const vecdb_schema *schema, const char *name, size_t n) {
  for (uint32_t i = 0; i < schema->n_fields; i++)
    if (strlen(schema->fields[i].name) == n && memcmp(schema->fields[i].name, name, n) == 0)
      return true;
  return false;
}

static void dynamic_name(struct dynamic_rewrite *w) {
  const char *name = w->at, *after;
  const size_t at = w->out.n;
  size_t n = strspn(name, "$_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");
  w->at += n;
  after = w->at + strspn(w->at, " \t\r\n");
  if (w->dynamic && dynamic_is(name, n, MILVUS_DYNAMIC_NAME)) {
    dynamic_put(w, MILVUS_DYNAMIC);
  } else if (!w->dynamic || *after == '(' || dynamic_word(name, n) ||
             dynamic_field(w->schema, name, n)) {
    srv_pb_raw(&w->out, name, n);
  } else {
    dynamic_put(w, MILVUS_DYNAMIC "[\"");
    srv_pb_raw(&w->out, name, n);
    dynamic_put(w, "\"]");
  }
  const struct srv_rewritten r = {at, w->out.n - at, (size_t)(name - w->text), n};
  if (r.n != n)
    srv_pb_raw(&w->rewritten, &r, sizeof r);
}

/* A string in quotes, or a parameter in braces, stays as it is. */
static void dynamic_quoted(struct dynamic_rewrite *w, char end) {
  const char *from = w->at++;
  while (*w->at && *w->at != end)
    w->at += *w->at == '\\' && w->at[1] ? 2 : 1;
  w->at += *w->at == end;
  srv_pb_raw(&w->out, from, (size_t)(w->at - from));
}

/* Digits and what may follow them: 1e5 and 0xff are no names. Other bytes stand for themselves. */
static void dynamic_other(struct dynamic_rewrite *w) {
  size_t n = isdigit((unsigned char)*w->at) ? strspn(w->at, ".abcdefxABCDEFX0123456789") : 1;
  srv_pb_raw(&w->out, w->at, n);
  w->at += n;
}

bool srv_milvus_is_dynamic(const vecdb_schema *schema) {
  return srv_schema_field(schema, MILVUS_DYNAMIC) != NULL;
}

const char *srv_milvus_dynamic_text(struct srv_arena *arena, const vecdb_schema *schema,
                                    const char *text, const struct srv_rewritten **rewritten,
                                    size_t *n) {
  struct dynamic_rewrite w = {.schema = schema,
                              .dynamic = srv_milvus_is_dynamic(schema),
                              .text = text,
                              .at = text,
                              .out = {.arena = arena},
                              .rewritten = {.arena = arena}};
  while (*w.at) {
    unsigned char c = (unsigned char)*w.at;
    if (c == '"' || c == '\'')
      dynamic_quoted(&w, (char)c);
    else if (c == '{')
      dynamic_quoted(&w, '}');
    else if (isalpha(c) || c == '_' || c == '$')
      dynamic_name(&w);
    else
      dynamic_other(&w);
  }
  srv_pb_raw(&w.out, "", 1);
  if (rewritten) {
    *rewritten = (const void *)w.rewritten.data;
    *n = w.rewritten.n / sizeof **rewritten;
  }
  return w.out.failed || w.rewritten.failed ? NULL : (const char *)w.out.data;
}

const char *milvus_dynamic(struct milvus *m, const struct milvus_open *open, const char *text) {
  const char *out = srv_milvus_dynamic_text(&m->call->arena, open->schema, text, NULL, NULL);
  if (!out)
    milvus_no_memory(m);
  return out;
}
