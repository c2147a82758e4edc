/* qdrant_points.c - points between JSON and rows; see qdrant.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/guard.h"
#include "server/json_numbers.h"
#include "server/json_rows.h"
#include "server/json_schema.h"
#include "server/json_sparse.h"
#include "server/qdrant.h"

/* ---- Points in ------------------------------------------------------------------------------- */

/* The columns of a batch of points while they are filled. */
struct points {
  struct srv_call *call;
  const vecdb_schema *schema;
  json_t *json;
  size_t n;
  const char **ids;
  const void **payloads, **terms; /* arrays of vecdb_string */
  uint32_t *id_lengths, *payload_lengths, *term_lengths;
};

static bool points_memory(struct srv_call *call, const void *memory) {
  if (!memory)
    srv_call_no_memory(call);
  return memory != NULL;
}

/* Cuts the payload's text to pieces that the field takes, between characters. */
static bool points_payload(struct points *p, size_t row, json_t *payload) {
  char *text = json_dumps(payload, JSON_COMPACT);
  size_t n = text ? strlen(text) : 0;
  char *copy = text ? srv_arena_text(&p->call->arena, text, n) : NULL;
  free(text);
  /* A piece is at most three bytes short of its limit. */
  vecdb_string *pieces =
      srv_arena_array(&p->call->arena, n / (QDRANT_PIECE - 3) + 1, sizeof *pieces);
  if (!points_memory(p->call, copy) || !points_memory(p->call, pieces))
    return false;
  uint32_t count = 0;
  for (size_t at = 0; at < n && count <= QDRANT_PIECES; count++) {
    size_t piece = n - at < QDRANT_PIECE ? n - at : QDRANT_PIECE;
    while (at + piece < n && ((unsigned char)copy[at + piece] & 0xc0) == 0x80)
      piece--;
    pieces[count] = (vecdb_string){copy + at, piece};
    at += piece;
  }
  p->payloads[row] = pieces;
  p->payload_lengths[row] = count;
  if (count <= QDRANT_PIECES)
    return true;
  srv_call_fail(p->call, 400, "LIMIT", "point %zu: the payload is too large", row);
  return false;
}

static bool points_is_array(const json_t *vector) {
  return json_is_array(vector) || srv_is_numbers(vector);
}

/* The vector of that name in a point; NULL when it has none. */
static json_t *points_vector(json_t *point, const char *name) {
  json_t *vector = json_object_get(point, "vector");
  if (points_is_array(vector))
    return *name ? NULL : vector;
  vector = json_object_get(vector, name);
  return json_is_null(vector) ? NULL : vector;
}

/* A point's vectors must be vectors of the collection, and the unnamed one must be there. */
static bool points_check_vectors(struct points *p, size_t row, json_t *point,
                                 struct srv_qdrant_terms *terms) {
  json_t *vector = json_object_get(point, "vector"), *value;
  const char *name;
  bool unnamed = srv_schema_field(p->schema, QDRANT_VECTOR) != NULL;
  if (unnamed ? !points_vector(point, "") : !json_is_object(vector)) {
    srv_call_fail(p->call, 400, "TYPE", "point %zu: \"vector\" must be %s", row,
                  unnamed ? "an array of numbers" : "an object of vectors by name");
    return false;
  }
  if (unnamed && points_is_array(vector))
    return true;
  json_object_foreach(vector, name, value) {
    if (!srv_qdrant_vector(p->call, p->schema, name))
      return false;
    if (!json_is_null(value) && !srv_qdrant_term(terms, QDRANT_HAS_VECTOR, name, strlen(name), ""))
      return false;
  }
  return true;
}

static bool points_row(struct points *p, size_t row) {
  static const char *const keys[] = {"id", "vector", "payload", NULL};
  struct srv_qdrant_terms terms = {.call = p->call};
  vecdb_string id;
  json_t *point = json_array_get(p->json, row);
  if (!json_is_object(point)) {
    srv_call_fail(p->call, 400, "TYPE", "point %zu must be an object", row);
    return false;
  }
  json_t *payload = json_object_get(point, "payload");
  if (json_is_null(payload))
    payload = NULL;
  if (payload && !json_is_object(payload)) {
    srv_call_fail(p->call, 400, "TYPE", "point %zu: \"payload\" must be an object", row);
    return false;
  }
  if (!srv_only_keys(p->call, point, keys) ||
      !srv_qdrant_key(p->call, json_object_get(point, "id"), &id) ||
      !points_check_vectors(p, row, point, &terms))
    return false;
  p->ids[row] = id.data;
  p->id_lengths[row] = (uint32_t)id.length;
  if (payload && (!points_payload(p, row, payload) || !srv_qdrant_terms_of(&terms, payload)))
    return false;
  p->terms[row] = terms.list;
  p->term_lengths[row] = (uint32_t)terms.n;
  return true;
}

/* The column of a sparse vector: where a point has none it is empty. */
static bool points_sparse(struct points *p, const vecdb_field *field, vecdb_column *column) {
  char name[VECDB_MAX_NAME + 1];
  vecdb_sparse *data = srv_arena_array(&p->call->arena, p->n, sizeof *data);
  if (!points_memory(p->call, data) || !srv_qdrant_vector_of(field->name, name))
    return false;
  for (size_t i = 0; i < p->n; i++) {
    json_t *vector = points_vector(json_array_get(p->json, i), name);
    data[i] = (vecdb_sparse){NULL, 0};
    if (!vector || srv_sparse_read(p->call, vector, &data[i]))
      continue;
    srv_call_fail(p->call, 400, "TYPE",
                  "Wrong input: point %zu: the sparse vector \"%.100s\" must have as many "
                  "\"values\" as \"indices\", each of these once",
                  i, name);
    return false;
  }
  *column = (vecdb_column){.field = field->name, .data = data};
  return true;
}

/* The column of a vector: cosines are of vectors of length 1, as Qdrant's clients expect to get
   them back; where a point has none it is zero. */
static bool points_column(struct points *p, const vecdb_field *field, vecdb_column *column) {
  if (field->type == VECDB_SPARSE_VECTOR)
    return points_sparse(p, field, column);
  char name[VECDB_MAX_NAME + 1];
  float *data = srv_arena_array(&p->call->arena, p->n, field->dim * sizeof *data);
  if (!points_memory(p->call, data) || !srv_qdrant_vector_of(field->name, name))
    return false;
  for (size_t i = 0; i < p->n; i++) {
    uint32_t unused;
    json_t *vector = points_vector(json_array_get(p->json, i), name);
    if (!vector || srv_value_read(p->call, field, vector, data + i * field->dim, &unused))
      continue;
    srv_call_fail(p->call, 400, "DIMENSION",
                  "Wrong input: Vector dimension error: expected dim: %u, got %zu", field->dim,
                  srv_numbers_count(vector));
    return false;
  }
  vecdb_error error;
  if (field->metric == VECDB_COSINE &&
      vecdb_normalize(data, p->n, field->dim, &error) != VECDB_OK) {
    srv_call_error(p->call, &error);
    return false;
  }
  *column = (vecdb_column){.field = field->name, .data = data};
  return true;
}

static bool points_reserve(struct points *p) {
  struct srv_arena *a = &p->call->arena;
  p->ids = srv_arena_array(a, p->n, sizeof *p->ids);
  p->payloads = srv_arena_array(a, p->n, sizeof *p->payloads);
  p->terms = srv_arena_array(a, p->n, sizeof *p->terms);
  p->id_lengths = srv_arena_array(a, p->n, sizeof *p->id_lengths);
  p->payload_lengths = srv_arena_array(a, p->n, sizeof *p->payload_lengths);
  p->term_lengths = srv_arena_array(a, p->n, sizeof *p->term_lengths);
  bool good =
      p->ids && p->payloads && p->terms && p->id_lengths && p->payload_lengths && p->term_lengths;
  if (!good)
    srv_call_no_memory(p->call);
  return good;
}

bool srv_qdrant_put(struct srv_call *call, struct engine_collection *collection, json_t *points) {
  struct points p = {.call = call, .json = points, .n = json_array_size(points)};
  p.schema = engine_collection_schema(collection);
  if (p.n == 0)
    return true;
  if (p.n > VECDB_MAX_BATCH_ROWS) {
    srv_call_fail(call, 400, "LIMIT", "at most %d points at a time", VECDB_MAX_BATCH_ROWS);
    return false;
  }
  vecdb_column *columns = srv_arena_array(&call->arena, p.schema->n_fields, sizeof *columns);
  if (!points_memory(call, columns) || !points_reserve(&p))
    return false;
  for (size_t i = 0; i < p.n; i++)
    if (!points_row(&p, i))
      return false;
  columns[0] = (vecdb_column){.field = QDRANT_KEY, .data = p.ids, .lengths = p.id_lengths};
  columns[1] =
      (vecdb_column){.field = QDRANT_PAYLOAD, .data = p.payloads, .lengths = p.payload_lengths};
  columns[2] = (vecdb_column){.field = QDRANT_TERMS, .data = p.terms, .lengths = p.term_lengths};
  uint32_t n = 3;
  for (uint32_t i = 0; i < p.schema->n_fields; i++)
    if (srv_type_is_vector(p.schema->fields[i].type) &&
        !points_column(&p, &p.schema->fields[i], &columns[n++]))
      return false;
  vecdb_batch batch = VECDB_BATCH_INIT;
  vecdb_error error;
  batch.columns = columns;
  batch.n_columns = n;
  batch.n_rows = (uint32_t)p.n;
  if (srv_guard_upsert(call, collection, &batch, NULL, &error) == VECDB_OK)
    return true;
  srv_call_error(call, &error);
  return false;
}

/* ---- Points out ------------------------------------------------------------------------------ */

static bool want_flag_or_names(struct srv_call *call, json_t *value, const char *key) {
  bool good = !value || json_is_null(value) || json_is_boolean(value) || json_is_array(value) ||
              json_is_object(value);
  if (!good)
    srv_call_fail(call, 400, "TYPE", "\"%s\" must be true, false or a choice of names", key);
  return good;
}

/* Whether an array of names, or of anything, has this one. */
static bool want_named(json_t *names, const char *name) {
  for (size_t i = 0; i < json_array_size(names); i++) {
    const char *one = json_string_value(json_array_get(names, i));
    if (one && strcmp(one, name) == 0)
      return true;
  }
  return false;
}

bool srv_qdrant_want_read(struct srv_call *call, json_t *object, const vecdb_schema *schema,
                          struct srv_qdrant_want *want) {
  want->payload = json_object_get(object, "with_payload");
  want->vectors = json_object_get(object, "with_vector");
  if (!want->vectors)
    want->vectors = json_object_get(object, "with_vectors");
  const char **fields = srv_arena_array(&call->arena, schema->n_fields, sizeof *fields);
  if (!points_memory(call, fields) || !want_flag_or_names(call, want->payload, "with_payload") ||
      !want_flag_or_names(call, want->vectors, "with_vector"))
    return false;
  if (json_is_null(want->payload))
    want->payload = NULL;
  size_t n = 0, without;
  if (want->payload ? !json_is_false(want->payload) : want->by_default)
    fields[n++] = QDRANT_PAYLOAD;
  without = n;
  bool named = json_is_array(want->vectors);
  if (named || json_is_true(want->vectors))
    for (uint32_t i = 0; i < schema->n_fields; i++) {
      const vecdb_field *f = &schema->fields[i];
      char name[VECDB_MAX_NAME + 1];
      if (srv_type_is_vector(f->type) && srv_qdrant_vector_of(f->name, name) &&
          (!named || want_named(want->vectors, name)))
        fields[n++] = f->name;
    }
  if (n > without)
    fields[n++] = QDRANT_TERMS; /* it says which vectors the point has */
  want->fields = fields;
  want->n_fields = n;
  return true;
}

/* Puts the pieces together again. */
static json_t *point_payload(vecdb_value pieces) {
  const vecdb_string *list = pieces.as.data;
  size_t n = 0, at = 0;
  for (uint32_t i = 0; i < pieces.length; i++)
    n += list[i].length;
  if (n == 0)
    return json_object();
  char *text = malloc(n);
  for (uint32_t i = 0; text && i < pieces.length; i++) {
    memcpy(text + at, list[i].data, list[i].length);
    at += list[i].length;
  }
  json_t *out = text ? json_loadb(text, n, 0, NULL) : NULL;
  free(text);
  return out;
}

/* The members whose keys are named, or all but them. Paths into objects are followed. */
static json_t *point_keep(json_t *payload, json_t *names, const char *above, bool keep) {
  json_t *out = json_object(), *value;
  const char *key;
  json_object_foreach(payload, key, value) {
    json_t *path = *above ? json_sprintf("%s.%s", above, key) : json_string(key);
    const char *name = path ? json_string_value(path) : "";
    json_t *part = want_named(names, name) == keep ? json_incref(value) : NULL;
    if (json_is_object(value) && !want_named(names, name)) {
      json_decref(part);
      part = point_keep(value, names, name, keep);
      if (keep && json_object_size(part) == 0) {
        json_decref(part);
        part = NULL;
      }
    }
    if (part)
      json_object_set_new(out, key, part);
    json_decref(path);
  }
  return out;
}

json_t *srv_qdrant_choose(json_t *payload, json_t *choice) {
  json_t *include = json_is_array(choice) ? choice : json_object_get(choice, "include");
  json_t *exclude = json_object_get(choice, "exclude");
  if (!json_is_array(include) && !json_is_array(exclude))
    return payload;
  json_t *out = json_is_array(include) ? point_keep(payload, include, "", true)
                                       : point_keep(payload, exclude, "", false);
  json_decref(payload);
  return out;
}

/* Whether the terms say that the point has the vector. */
static bool point_has(vecdb_value terms, const char *name) {
  const vecdb_string *list = terms.as.data;
  char wanted[VECDB_MAX_NAME + 16];
  int n = snprintf(wanted, sizeof wanted, "%c%zu:%s", QDRANT_HAS_VECTOR, strlen(name), name);
  for (uint32_t i = 0; i < terms.length; i++)
    if (list[i].length == (size_t)n && memcmp(list[i].data, wanted, (size_t)n) == 0)
      return true;
  return false;
}

static json_t *point_vectors(const struct srv_qdrant_want *want, const struct engine_rows *rows,
                             size_t row, vecdb_value terms) {
  json_t *out = json_object();
  for (size_t i = 0; i < want->n_fields; i++) {
    char name[VECDB_MAX_NAME + 1];
    int column = engine_rows_find(rows, want->fields[i]);
    vecdb_value value = engine_rows_value(rows, row, (size_t)column);
    if (!srv_type_is_vector(value.type) || !srv_qdrant_vector_of(want->fields[i], name))
      continue;
    if (!*name || point_has(terms, name))
      json_object_set_new(out, name, srv_value_write(value));
  }
  json_t *alone = json_object_size(out) == 1 ? json_incref(json_object_get(out, "")) : NULL;
  if (alone)
    json_decref(out);
  return alone ? alone : out;
}

json_t *srv_qdrant_point(const struct srv_qdrant_want *want, const struct engine_rows *rows,
                         size_t row) {
  json_t *out = json_pack("{s:o}", "id", srv_qdrant_id(engine_rows_value(rows, row, 0)));
  int payload = engine_rows_find(rows, QDRANT_PAYLOAD),
      terms = engine_rows_find(rows, QDRANT_TERMS);
  if (payload >= 0)
    json_object_set_new(
        out, "payload",
        srv_qdrant_choose(point_payload(engine_rows_value(rows, row, (size_t)payload)),
                          want->payload));
  if (terms >= 0)
    json_object_set_new(
        out, "vector", point_vectors(want, rows, row, engine_rows_value(rows, row, (size_t)terms)));
  return out;
}
