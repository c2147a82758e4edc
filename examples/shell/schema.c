/* schema.c - a schema line into a schema, and back. */
#include "schema.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "shell.h"
#include "value.h"
#include "words.h"

struct named {
  const char *word;
  int32_t value;
};

static const struct named scalar_types[] = {{"bool", VECDB_BOOL},     {"int8", VECDB_INT8},
                                            {"int16", VECDB_INT16},   {"int32", VECDB_INT32},
                                            {"int64", VECDB_INT64},   {"float", VECDB_FLOAT},
                                            {"double", VECDB_DOUBLE}, {NULL, 0}};
static const struct named element_types[] = {
    {"float", VECDB_FLOAT_VECTOR},       {"float16", VECDB_FLOAT16_VECTOR},
    {"bfloat16", VECDB_BFLOAT16_VECTOR}, {"int8", VECDB_INT8_VECTOR},
    {"binary", VECDB_BINARY_VECTOR},     {NULL, 0}};
static const struct named metrics[] = {{"l2", VECDB_L2},           {"ip", VECDB_IP},
                                       {"cosine", VECDB_COSINE},   {"hamming", VECDB_HAMMING},
                                       {"jaccard", VECDB_JACCARD}, {NULL, 0}};
static const struct named scalar_indexes[] = {{"none", VECDB_SCALAR_INDEX_NONE},
                                              {"hash", VECDB_SCALAR_INDEX_HASH},
                                              {"sorted", VECDB_SCALAR_INDEX_SORTED},
                                              {NULL, 0}};
static const struct named field_flags[] = {{"key", VECDB_PRIMARY_KEY},
                                           {"auto", VECDB_AUTO_ID},
                                           {"nullable", VECDB_NULLABLE},
                                           {"zero", VECDB_ALLOW_ZERO},
                                           {"now", VECDB_DEFAULT_NOW},
                                           {"uuid", VECDB_DEFAULT_UUID},
                                           {NULL, 0}};

/* The value of a word whatever its case, or 0. */
static int32_t named_value(const struct named *table, const char *word) {
  for (; table->word; table++)
    if (strcasecmp(table->word, word) == 0)
      return table->value;
  return 0;
}

static const char *named_word(const struct named *table, int32_t value) {
  for (; table->word; table++)
    if (table->value == value)
      return table->word;
  return "?";
}

/* ---- To a schema ---- */

/* Keeps a string as long as the schema. */
static char *schema_keep(struct schema *schema, const char *s, size_t n) {
  schema->strings = mem_resize(schema->strings, schema->n_strings + 1, sizeof *schema->strings);
  return schema->strings[schema->n_strings++] = mem_copy(s, n);
}

static int schema_number(const char *text, uint32_t *out, const char *what, vecdb_error *error) {
  char *end;
  errno = 0;
  unsigned long long n = strtoull(text, &end, 10);
  while (isspace((unsigned char)*end))
    end++;
  if (!isdigit((unsigned char)*text) || *end)
    return fail(error, VECDB_ERR_SCHEMA, "'%s' is no number: %s", text, what);
  if (errno || n > UINT32_MAX)
    return fail(error, VECDB_ERR_RANGE, "%s is too large: %s", text, what);
  *out = (uint32_t)n;
  return VECDB_OK;
}

/* "name(a, b)": cuts the text at the brackets. Returns how many arguments there are, up to 2. */
static size_t schema_arguments(char *text, char *argument[2]) {
  char *open = strchr(text, '(');
  size_t n = strlen(text);
  if (!open || text[n - 1] != ')')
    return 0;
  *open = text[n - 1] = '\0';
  argument[0] = open + 1;
  /* The last comma: the first argument may have brackets of its own. */
  char *comma = strrchr(open + 1, ',');
  if (!comma)
    return 1;
  *comma = '\0';
  argument[1] = comma + 1 + strspn(comma + 1, " \t");
  return 2;
}

static int schema_type(char *text, vecdb_field *out, vecdb_error *error);

static int schema_array(char **argument, size_t n, vecdb_field *out, vecdb_error *error) {
  if (n != 2)
    return fail(error, VECDB_ERR_SCHEMA, "an array is array(TYPE, N), N the most elements");
  vecdb_field element = {0};
  int status = schema_type(argument[0], &element, error);
  if (status)
    return status;
  out->type = VECDB_ARRAY;
  out->element_type = element.type;
  out->max_length = element.max_length;
  return schema_number(argument[1], &out->max_capacity, "the most elements of an array", error);
}

static int schema_type(char *text, vecdb_field *out, vecdb_error *error) {
  char *argument[2] = {text, text};
  size_t n = schema_arguments(text, argument);
  if (strcasecmp(text, "varchar") == 0 && n == 1) {
    out->type = VECDB_VARCHAR;
    return schema_number(argument[0], &out->max_length, "the most bytes of a varchar", error);
  }
  if (strcasecmp(text, "json") == 0 && n <= 1) {
    out->type = VECDB_JSON;
    return n ? schema_number(argument[0], &out->max_length, "the most bytes of a json", error)
             : VECDB_OK;
  }
  if (strcasecmp(text, "array") == 0)
    return schema_array(argument, n, out, error);
  if (strcasecmp(text, "vector") == 0 && n) {
    out->type = n == 2 ? named_value(element_types, argument[1]) : VECDB_FLOAT_VECTOR;
    if (!out->type)
      return fail(error, VECDB_ERR_SCHEMA, "'%s' is no element of vectors", argument[1]);
    return schema_number(argument[0], &out->dim, "the dimension of a vector", error);
  }
  if (strcasecmp(text, "sparse") == 0 && !n) {
    out->type = VECDB_SPARSE_VECTOR;
    return VECDB_OK;
  }
  out->type = n ? 0 : named_value(scalar_types, text);
  if (!out->type)
    return fail(error, VECDB_ERR_SCHEMA,
                "'%s' is no type; there are: bool int8 int16 int32 int64 float double "
                "varchar(N) json array(TYPE, N) vector(N) vector(N, float16) sparse",
                text);
  return VECDB_OK;
}

static int schema_default(struct schema *schema, const char *text, vecdb_field *out,
                          vecdb_error *error) {
  vecdb_value *v = &out->default_value;
  char *end = NULL;
  v->type = out->type;
  errno = 0;
  if (type_is_text(out->type)) {
    v->length = (uint32_t)strlen(text);
    v->as.data = schema_keep(schema, text, v->length);
  } else if (out->type == VECDB_BOOL) {
    if (parse_switch(text, &v->as.boolean, error))
      return error->code;
  } else if (out->type == VECDB_FLOAT || out->type == VECDB_DOUBLE) {
    v->as.number = strtod(text, &end);
  } else if (out->type >= VECDB_INT8 && out->type <= VECDB_INT64) {
    v->as.integer = strtoll(text, &end, 10);
  } else {
    return fail(error, VECDB_ERR_SCHEMA, "only scalars have a default");
  }
  if (end && (end == text || *end))
    return fail(error, VECDB_ERR_TYPE, "the default '%s' is no number", text);
  if (end && errno)
    return fail(error, VECDB_ERR_RANGE, "the default %s is too large", text);
  out->flags |= VECDB_HAS_DEFAULT;
  return VECDB_OK;
}

bool schema_json_index(const char *word, vecdb_json_index *out) {
  static const struct named types[] = {{"bool", VECDB_BOOL}, {"double", VECDB_DOUBLE},
                                       {"varchar", VECDB_VARCHAR}, {NULL, 0}};
  for (const struct named *type = types; type->word; type++) {
    size_t n = strlen(type->word);
    if (strncasecmp(word, type->word, n) == 0 && word[n] == '[') {
      *out = (vecdb_json_index){word + n, type->value};
      return true;
    }
  }
  return false;
}

/* Adds an index to a JSON field; the last one of an array that is full counts too many. */
static void schema_add_json_index(struct schema *schema, vecdb_field *out,
                                  const vecdb_json_index *index) {
  vecdb_json_index *indexes = (vecdb_json_index *)(uintptr_t)out->json_indexes;
  if (!indexes) {
    indexes = mem_resize(NULL, VECDB_MAX_JSON_INDEXES + 1, sizeof *indexes);
    schema->strings = mem_resize(schema->strings, schema->n_strings + 1, sizeof *schema->strings);
    schema->strings[schema->n_strings++] = (char *)indexes;
    out->json_indexes = indexes;
  }
  if (out->n_json_indexes > VECDB_MAX_JSON_INDEXES)
    return;
  indexes[out->n_json_indexes++] = (vecdb_json_index){
      schema_keep(schema, index->path, strlen(index->path)), index->type};
}

/* One word behind the type. */
static int schema_word(struct schema *schema, const char *word, vecdb_field *out,
                       vecdb_error *error) {
  int32_t value;
  if (strncasecmp(word, "default=", 8) == 0)
    return schema_default(schema, word + 8, out, error);
  if (strncasecmp(word, "about=", 6) == 0) {
    out->description = schema_keep(schema, word + 6, strlen(word + 6));
    return VECDB_OK;
  }
  if ((value = named_value(field_flags, word)) != 0) {
    out->flags |= (uint32_t)value;
    return VECDB_OK;
  }
  vecdb_json_index index;
  if (out->type == VECDB_JSON && schema_json_index(word, &index)) {
    schema_add_json_index(schema, out, &index);
    return VECDB_OK;
  }
  if (type_is_vector(out->type) && (value = named_value(metrics, word)) != 0) {
    out->metric = value;
    return VECDB_OK;
  }
  if (!type_is_vector(out->type) && (value = named_value(scalar_indexes, word)) != 0) {
    out->scalar_index = value;
    return VECDB_OK;
  }
  if (type_is_vector(out->type))
    return vecdb_index_params_parse(word, &out->index, error);
  return fail(error, VECDB_ERR_SCHEMA, "'%s' says nothing about a field of type %s", word,
              type_word(out->type));
}

static int schema_field(struct schema *schema, const char *text, size_t length,
                        vecdb_error *error) {
  struct words words;
  words_split(text, length, &words);
  vecdb_field *field = &schema->fields[schema->schema.n_fields];
  int status = VECDB_OK;
  if (words.n < 2)
    status = fail(error, VECDB_ERR_SCHEMA, "a field is a name and a type, not '%.*s'",
                  (int)(length < 60 ? length : 60), text);
  if (!status) {
    field->name = schema_keep(schema, words.word[0].text, strlen(words.word[0].text));
    field->index = (vecdb_index_params)VECDB_INDEX_PARAMS_INIT;
    status = schema_type(words.word[1].text, field, error);
  }
  for (size_t i = 2; i < words.n && !status; i++)
    status = schema_word(schema, words.word[i].text, field, error);
  if (!status && !type_is_vector(field->type))
    memset(&field->index, 0, sizeof field->index);
  if (!status)
    schema->schema.n_fields++;
  else if (field->name && !error->field[0])
    strncpy(error->field, field->name, sizeof error->field - 1);
  words_free(&words);
  return status;
}

/* Bytes up to the comma that ends a field. */
static size_t schema_field_length(const char *s) {
  char quote = 0;
  int depth = 0;
  size_t i = 0;
  for (; s[i]; i++) {
    if (quote)
      quote = s[i] == quote ? 0 : quote;
    else if (s[i] == '"' || s[i] == '\'')
      quote = s[i];
    else if (strchr("([{", s[i]))
      depth++;
    else if (strchr(")]}", s[i]))
      depth--;
    else if (s[i] == ',' && depth <= 0)
      break;
  }
  return i;
}

int schema_parse(const char *line, struct schema *out, vecdb_error *error) {
  memset(out, 0, sizeof *out);
  out->schema = (vecdb_schema)VECDB_SCHEMA_INIT;
  for (;;) {
    size_t n = schema_field_length(line);
    size_t have = out->schema.n_fields;
    if (have == VECDB_MAX_FIELDS)
      return fail(error, VECDB_ERR_LIMIT, "more than %d fields", VECDB_MAX_FIELDS);
    out->fields = mem_resize(out->fields, have + 1, sizeof *out->fields);
    out->schema.fields = out->fields;
    memset(&out->fields[have], 0, sizeof *out->fields);
    int status = schema_field(out, line, n, error);
    if (status || !line[n])
      return status;
    line += n + 1;
  }
}

void schema_free(struct schema *schema) {
  for (size_t i = 0; i < schema->n_strings; i++)
    free(schema->strings[i]);
  free(schema->strings);
  free(schema->fields);
  memset(schema, 0, sizeof *schema);
}

/* ---- To a line ---- */

static void line_type(struct text *out, const vecdb_field *f, int32_t type) {
  if (type == VECDB_VARCHAR) {
    text_printf(out, "varchar(%" PRIu32 ")", f->max_length);
  } else if (type == VECDB_JSON && f->max_length < VECDB_MAX_JSON) {
    text_printf(out, "json(%" PRIu32 ")", f->max_length);
  } else if (type == VECDB_ARRAY) {
    text_puts(out, "array(");
    line_type(out, f, f->element_type);
    text_printf(out, ", %" PRIu32 ")", f->max_capacity);
  } else if (type == VECDB_FLOAT_VECTOR) {
    text_printf(out, "vector(%" PRIu32 ")", f->dim);
  } else if (type_is_vector(type) && type != VECDB_SPARSE_VECTOR) {
    text_printf(out, "vector(%" PRIu32 ", %s)", f->dim, type_word(type));
  } else {
    text_puts(out, type_word(type));
  }
}

/* The words of an index, such as " HNSW(m=24)"; nothing for AUTO without parameters. */
static void line_index(struct text *out, const vecdb_index_params *p) {
  static const char *const refine[] = {"auto", "none", "f32", "f16", "i8"};
  static const char *const rotation[] = {"auto", "none", "random", "opq"};
  const struct {
    const char *name;
    uint64_t value;
  } numbers[] = {{"m", p->m},           {"ef_construction", p->ef_construction},
                 {"ef", p->ef},         {"nlist", p->nlist},
                 {"nprobe", p->nprobe}, {"pq_m", p->pq_m},
                 {"nbits", p->nbits},   {"memory", p->memory_bytes}};
  struct text inside = {0};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
    if (numbers[i].value)
      text_printf(&inside, ", %s=%" PRIu64, numbers[i].name, numbers[i].value);
  if (p->refine > 0 && (size_t)p->refine < sizeof refine / sizeof *refine)
    text_printf(&inside, ", refine=%s", refine[p->refine]);
  if (p->rotation > 0 && (size_t)p->rotation < sizeof rotation / sizeof *rotation)
    text_printf(&inside, ", rotation=%s", rotation[p->rotation]);
  if (p->recall > 0) {
    text_puts(&inside, ", recall=");
    put_float(&inside, p->recall);
  }
  const char *name = vecdb_index_type_name(p->type);
  if (p->type != VECDB_INDEX_AUTO || inside.length)
    text_printf(out, " %s", name ? name : "?");
  if (inside.length)
    text_printf(out, "(%s)", inside.data + 2);
  text_free(&inside);
}

static void line_field(struct text *out, const vecdb_field *f) {
  text_printf(out, "%s ", f->name);
  line_type(out, f, f->type);
  for (const struct named *flag = field_flags; flag->word; flag++)
    if (f->flags & (uint32_t)flag->value)
      text_printf(out, " %s", flag->word);
  if (f->flags & VECDB_HAS_DEFAULT) {
    text_puts(out, " default=");
    if (f->type == VECDB_JSON)
      put_string(out, f->default_value.as.data, f->default_value.length);
    else
      put_value(out, &f->default_value);
  }
  if (type_is_vector(f->type)) {
    if (f->type != VECDB_SPARSE_VECTOR)
      text_printf(out, " %s", named_word(metrics, f->metric));
    line_index(out, &f->index);
  } else if (f->scalar_index) {
    text_printf(out, " %s", named_word(scalar_indexes, f->scalar_index));
  }
  for (uint32_t i = 0; i < f->n_json_indexes; i++)
    text_printf(out, " %s%s", type_word(f->json_indexes[i].type), f->json_indexes[i].path);
  if (f->description && f->description[0]) {
    text_puts(out, " about=");
    put_string(out, f->description, strlen(f->description));
  }
}

void schema_line(struct text *out, const vecdb_schema *schema) {
  for (uint32_t i = 0; i < schema->n_fields; i++) {
    text_puts(out, i ? ", " : "");
    line_field(out, &schema->fields[i]);
  }
}
