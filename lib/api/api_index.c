/* api_index.c - names of index types, and index parameters as text; contracts in vecdb.h. */
#include "api/api.h"

VECDB_API const char *vecdb_index_type_name(int32_t type) {
  const struct vdb_index_kind *kind = vdb_index_kind(type);
  return kind ? kind->name : NULL;
}

static char api_upper(char c) { return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c; }

static bool api_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

static bool api_word_char(char c) {
  char u = api_upper(c);
  return (u >= 'A' && u <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
}

/* A word of the text; it ends before the first character that no word has. */
struct api_word {
  const char *at;
  size_t n;
};

static bool api_word_is(struct api_word word, const char *name) {
  size_t i = 0;
  while (i < word.n && name[i] && api_upper(word.at[i]) == api_upper(name[i]))
    i++;
  return i == word.n && !name[i];
}

/* A type by its own name; -1 for an unknown one. */
static int32_t api_index_type(struct api_word word) {
  for (int32_t type = 0; type < VDB_INDEX_TYPES; type++)
    if (api_word_is(word, vecdb_index_type_name(type)))
      return type;
  return -1;
}

VECDB_API int vecdb_index_type_parse(const char *name, int32_t *type, vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  VDB_TRY(vdb_api_need(name, "name", err));
  VDB_TRY(vdb_api_need(type, "type", err));
  int32_t found = api_index_type((struct api_word){name, strlen(name)});
  if (found < 0)
    return vdb_fail(err, VECDB_ERR_OPTION, "'%.64s' is no index type", name);
  *type = found;
  return VECDB_OK;
}

/* A text in the making of params. */
struct api_parse {
  const char *text;
  const char *at;
  vecdb_index_params *params;
  vecdb_error *err;
};

static int api_parse_fail(const struct api_parse *p, const char *at, const char *what) {
  int rc = vdb_fail(p->err, VECDB_ERR_OPTION, "index parameters: %s at '%.32s'", what, at);
  p->err->position = at - p->text;
  return rc;
}

static void api_skip(struct api_parse *p) {
  while (api_space(*p->at))
    p->at++;
}

static struct api_word api_take_word(struct api_parse *p) {
  api_skip(p);
  struct api_word word = {p->at, 0};
  while (api_word_char(p->at[0]))
    p->at++;
  word.n = (size_t)(p->at - word.at);
  api_skip(p);
  return word;
}

/* Types by names of their own or common for one with parameters. */
static int api_parse_type(struct api_parse *p) {
  static const struct {
    const char *name;
    vecdb_index_params params;
  } other[] = {
      {"OPQ", {.type = VECDB_INDEX_IVF_PQ, .rotation = VECDB_ROTATION_OPQ}},
      {"IVF_OPQ", {.type = VECDB_INDEX_IVF_PQ, .rotation = VECDB_ROTATION_OPQ}},
      {"IVF_PQFS", {.type = VECDB_INDEX_IVF_PQ, .nbits = 4}},
      {"HNSW_SQ8", {.type = VECDB_INDEX_HNSW_SQ, .nbits = 8}},
      {"HNSW_SQ4", {.type = VECDB_INDEX_HNSW_SQ, .nbits = 4}},
      {"DISKANN", {.type = VECDB_INDEX_DISK}},
  };
  struct api_word word = api_take_word(p);
  int32_t type = api_index_type(word);
  p->params->type = type;
  for (size_t i = 0; type < 0 && i < VDB_COUNT(other); i++)
    if (api_word_is(word, other[i].name)) {
      *p->params = other[i].params;
      type = p->params->type;
    }
  p->params->size = sizeof *p->params;
  return type >= 0 ? VECDB_OK : api_parse_fail(p, word.at, "no index type");
}

/* A decimal number of the whole word. */
static int api_parse_count(const struct api_parse *p, struct api_word word, uint64_t most,
                           uint64_t *out) {
  uint64_t value = 0;
  for (size_t i = 0; i < word.n; i++) {
    unsigned digit = (unsigned)(word.at[i] - '0');
    if (digit > 9 || value > (most - digit) / 10)
      return api_parse_fail(p, word.at, digit > 9 ? "no whole number" : "too large a number");
    value = value * 10 + digit;
  }
  *out = value;
  return word.n ? VECDB_OK : api_parse_fail(p, word.at, "a number is missing");
}

static int api_parse_enum(const struct api_parse *p, struct api_word word,
                          const char *const *names, int32_t n, int32_t *out) {
  for (int32_t i = 0; i < n; i++)
    if (api_word_is(word, names[i])) {
      *out = i;
      return VECDB_OK;
    }
  return api_parse_fail(p, word.at, "unknown value");
}

/* "0.95": digits and a point, whatever the locale. */
static int api_parse_share(const struct api_parse *p, struct api_word word, float *out) {
  double value = 0, unit = 1;
  bool point = false;
  for (size_t i = 0; i < word.n; i++) {
    unsigned digit = (unsigned)(word.at[i] - '0');
    if (word.at[i] == '.' && !point) {
      point = true;
      continue;
    }
    if (digit > 9)
      return api_parse_fail(p, word.at, "no number");
    unit = point ? unit / 10 : unit;
    value = point ? value + digit * unit : value * 10 + digit;
  }
  *out = (float)value;
  return word.n ? VECDB_OK : api_parse_fail(p, word.at, "a number is missing");
}

static int api_parse_value(struct api_parse *p, struct api_word key) {
  static const char *const refines[] = {"auto", "none", "f32", "f16", "i8"};
  static const char *const rotations[] = {"auto", "none", "random", "opq"};
  vecdb_index_params *out = p->params;
  uint32_t *m = vdb_index_kind(out->type)->coarse == VDB_COARSE_LISTS ? &out->pq_m : &out->m;
  const struct {
    const char *name;
    uint32_t *value;
  } counts[] = {{"m", m},
                {"ef_construction", &out->ef_construction},
                {"ef", &out->ef},
                {"nlist", &out->nlist},
                {"nprobe", &out->nprobe},
                {"pq_m", &out->pq_m},
                {"nbits", &out->nbits}};
  struct api_word word = api_take_word(p);
  for (size_t i = 0; i < VDB_COUNT(counts); i++)
    if (api_word_is(key, counts[i].name)) {
      uint64_t value;
      VDB_TRY(api_parse_count(p, word, UINT32_MAX, &value));
      *counts[i].value = (uint32_t)value;
      return VECDB_OK;
    }
  if (api_word_is(key, "memory"))
    return api_parse_count(p, word, UINT64_MAX, &out->memory_bytes);
  if (api_word_is(key, "recall"))
    return api_parse_share(p, word, &out->recall);
  if (api_word_is(key, "refine"))
    return api_parse_enum(p, word, refines, VDB_COUNT(refines), &out->refine);
  if (api_word_is(key, "rotation"))
    return api_parse_enum(p, word, rotations, VDB_COUNT(rotations), &out->rotation);
  return api_parse_fail(p, key.at, "unknown parameter");
}

/* "key=value, ..." to the closing parenthesis. */
static int api_parse_list(struct api_parse *p) {
  do {
    p->at++; /* the parenthesis or the comma */
    struct api_word key = api_take_word(p);
    if (*p->at != '=')
      return api_parse_fail(p, p->at, "expected =");
    p->at++;
    VDB_TRY(api_parse_value(p, key));
  } while (*p->at == ',');
  if (*p->at != ')')
    return api_parse_fail(p, p->at, "expected , or )");
  p->at++;
  api_skip(p);
  return VECDB_OK;
}

VECDB_API int vecdb_index_params_parse(const char *text, vecdb_index_params *params,
                                       vecdb_error *error) {
  vecdb_error own, *err = vdb_api_error(error, &own);
  VDB_TRY(vdb_api_need(text, "text", err));
  VDB_TRY(vdb_api_need(params, "params", err));
  vecdb_index_params parsed = VECDB_INDEX_PARAMS_INIT;
  struct api_parse p = {text, text, &parsed, err};
  VDB_TRY(api_parse_type(&p));
  if (*p.at == '(')
    VDB_TRY(api_parse_list(&p));
  if (*p.at)
    return api_parse_fail(&p, p.at, "unexpected text");
  *params = parsed;
  return VECDB_OK;
}
