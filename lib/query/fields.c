/* fields.c - field names of requests; see fields.h. */
#include "query/fields.h"

enum {
  FIELDS_NAME_MAX = 64, /* longer names are compared by this many bytes */
  FIELDS_LIST_BYTES = 200
};

static int fields_lower(char c) { return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c; }

/* Edits (insert, delete, replace) from a to b, letter case aside. */
static unsigned fields_edits(const char *a, const char *b) {
  size_t n = strnlen(a, FIELDS_NAME_MAX), m = strnlen(b, FIELDS_NAME_MAX);
  unsigned row[FIELDS_NAME_MAX + 1];
  for (size_t j = 0; j <= m; j++)
    row[j] = (unsigned)j;
  for (size_t i = 1; i <= n; i++) {
    unsigned diagonal = row[0];
    row[0] = (unsigned)i;
    for (size_t j = 1; j <= m; j++) {
      unsigned best = diagonal + (fields_lower(a[i - 1]) != fields_lower(b[j - 1]));
      diagonal = row[j];
      if (row[j] + 1 < best)
        best = row[j] + 1;
      if (row[j - 1] + 1 < best)
        best = row[j - 1] + 1;
      row[j] = best;
    }
  }
  return row[m];
}

/* The field whose name is close enough to be a slip of `name`, or NULL. */
static const char *fields_suggestion(const struct vdb_schema *schema, const char *name) {
  const char *best = NULL;
  unsigned best_edits = (unsigned)strnlen(name, FIELDS_NAME_MAX) / 3 + 1;
  for (uint32_t i = 0; i < schema->n_public; i++) {
    unsigned edits = fields_edits(name, schema->fields[i].name);
    if (edits < best_edits || (edits == best_edits && !best)) {
      best = schema->fields[i].name;
      best_edits = edits;
    }
  }
  return best;
}

/* "a, b, c", cut with "..." where it gets long. */
static void fields_list(const struct vdb_schema *schema, bool vectors, char *out) {
  size_t at = 0;
  out[0] = '\0';
  for (uint32_t i = 0; i < schema->n_public; i++) {
    const struct vdb_field *f = &schema->fields[i];
    if (vectors && !vdb_type_is_vector(f->type))
      continue;
    size_t n = strlen(f->name);
    bool fits = at + n + 2 + sizeof "..." < FIELDS_LIST_BYTES;
    const char *word = fits ? f->name : "...";
    if (at) {
      memcpy(out + at, ", ", 2);
      at += 2;
    }
    memcpy(out + at, word, strlen(word) + 1);
    at += strlen(word);
    if (!fits)
      return;
  }
}

VDB_INTERNAL int vdb_fields_find(const struct vdb_schema *schema, const char *name, uint32_t *out,
                                 vecdb_error *err) {
  if (!name)
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "a field name is NULL");
  int found = vdb_schema_find(schema, name, strlen(name));
  if (found >= 0) {
    *out = (uint32_t)found;
    return VECDB_OK;
  }
  const char *near = fields_suggestion(schema, name);
  if (near)
    return vdb_fail_at(err, VECDB_ERR_UNKNOWN_FIELD, -1, name,
                       "there is no field \"%.64s\"; did you mean \"%.64s\"?", name, near);
  char list[FIELDS_LIST_BYTES];
  fields_list(schema, false, list);
  return vdb_fail_at(err, VECDB_ERR_UNKNOWN_FIELD, -1, name,
                     "there is no field \"%.64s\"; the fields are: %s", name, list);
}

VDB_INTERNAL int vdb_fields_vector(const struct vdb_schema *schema, const char *name, uint32_t *out,
                                   vecdb_error *err) {
  char list[FIELDS_LIST_BYTES];
  if (name) {
    VDB_TRY(vdb_fields_find(schema, name, out, err));
    if (vdb_type_is_vector(schema->fields[*out].type))
      return VECDB_OK;
    fields_list(schema, true, list);
    return vdb_fail_at(err, VECDB_ERR_TYPE, -1, name,
                       "field \"%.64s\" is not a vector; vector fields are: %s", name, list);
  }
  uint32_t n = 0;
  for (uint32_t i = 0; i < schema->n_public; i++) {
    if (!vdb_type_is_vector(schema->fields[i].type))
      continue;
    *out = i;
    n++;
  }
  if (n == 1)
    return VECDB_OK;
  fields_list(schema, true, list);
  return vdb_fail(err, VECDB_ERR_ARGUMENT,
                  "field is NULL, but there are %u vector fields to choose from: %s", n, list);
}

VDB_INTERNAL int vdb_fields_learned(const struct vdb_schema *schema, const char *name,
                                    uint32_t *out, vecdb_error *err) {
  VDB_TRY(vdb_fields_find(schema, name, out, err));
  if (schema->fields[*out].learn.rule.size)
    return VECDB_OK;
  return vdb_fail_at(err, VECDB_ERR_SCHEMA, -1, name,
                     "field \"%.64s\" takes no pushes until vecdb_optimizer_set lets it", name);
}

/* Adds a field unless it is there. */
static void fields_add(struct vdb_pick *pick, uint32_t field) {
  for (uint32_t i = 0; i < pick->n; i++)
    if (pick->fields[i] == field)
      return;
  pick->fields[pick->n++] = field;
}

VDB_INTERNAL int vdb_fields_pick(const struct vdb_schema *schema, const char *const *fields,
                                 size_t n_fields, struct vdb_pick *out, vecdb_error *err) {
  out->n = 0;
  fields_add(out, schema->key);
  if (!fields) {
    if (n_fields)
      return vdb_fail(err, VECDB_ERR_ARGUMENT, "fields is NULL, but n_fields is %zu", n_fields);
    for (uint32_t i = 0; i < schema->n_public; i++)
      fields_add(out, i);
    return VECDB_OK;
  }
  if (n_fields > VECDB_MAX_FIELDS)
    return vdb_fail(err, VECDB_ERR_LIMIT, "n_fields is %zu; the most is %d", n_fields,
                    VECDB_MAX_FIELDS);
  for (size_t i = 0; i < n_fields; i++) {
    uint32_t field;
    VDB_TRY(vdb_fields_find(schema, fields[i], &field, err));
    fields_add(out, field);
  }
  return VECDB_OK;
}
