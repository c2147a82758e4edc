/*
 * milvus_index.c - CreateIndex, DescribeIndex and their like. Milvus names a metric with the index;
 * in vecdb it belongs to the field: another metric moves the rows (milvus_rebuild.c).
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "server/guard.h"
#include "server/json_schema.h"
#include "server/milvus.h"
#include "server/milvus_rebuild.h"

struct index_request {
  const char *db, *name, *field, *index;
  struct pb_list params;
};
static const struct pb_field index_create_table[] = {
    {2, PB_TEXT, offsetof(struct index_request, db)},
    {3, PB_TEXT, offsetof(struct index_request, name)},
    {4, PB_TEXT, offsetof(struct index_request, field)},
    {5, PB_LIST, offsetof(struct index_request, params)},
    {6, PB_TEXT, offsetof(struct index_request, index)},
};
static const struct pb_field index_named_table[] = {
    {2, PB_TEXT, offsetof(struct index_request, db)},
    {3, PB_TEXT, offsetof(struct index_request, name)},
    {4, PB_TEXT, offsetof(struct index_request, field)},
    {5, PB_TEXT, offsetof(struct index_request, index)},
};

enum { INDEX_FINISHED = 3 };

/* ---- Creating -------------------------------------------------------------------------------- */

/* {"M": 16, ...}: numbers, or texts of them; others mean nothing to an index. */
static bool index_json(struct milvus *m, const char *text, vecdb_index_params *out,
                       const char **metric) {
  json_t *params = json_loads(text, 0, NULL), *value;
  const char *key;
  if (!json_is_object(params)) {
    json_decref(params);
    return milvus_fail(m, SRV_MILVUS_ARGUMENT, "params is no JSON object");
  }
  bool good = true;
  json_object_foreach(params, key, value) {
    uint32_t number = 0;
    if (strcmp(key, "metric_type") == 0 && json_is_string(value)) {
      *metric = srv_arena_text(&m->call->arena, json_string_value(value),
                               json_string_length(value));
    } else if (json_is_integer(value)) {
      json_int_t n = json_integer_value(value);
      good = good && ((n >= 0 && n <= UINT32_MAX) ||
                      milvus_fail(m, SRV_MILVUS_ARGUMENT, "%.60s is out of range", key));
      srv_milvus_index_param(out, key, (uint32_t)n);
    } else if (json_is_string(value) &&
               strspn(json_string_value(value), "0123456789") == json_string_length(value)) {
      good = good && milvus_u32(m, key, json_string_value(value), &number);
      srv_milvus_index_param(out, key, number);
    }
  }
  json_decref(params);
  return good;
}

/* The type, the parameters and the metric (0: as it is) of an index on a vector field. */
static bool index_read(struct milvus *m, const struct milvus_pairs *pairs, vecdb_index_params *out,
                       int32_t *metric) {
  const char *type = milvus_pair(pairs, "index_type"), *named = milvus_pair(pairs, "metric_type");
  if (!srv_milvus_index(type ? type : "", out))
    return milvus_fail(m, SRV_MILVUS_ARGUMENT, "invalid index type: %.60s", type);
  for (size_t i = 0; i < pairs->n; i++) {
    uint32_t number = 0;
    const char *value = pairs->values[i];
    if (strcmp(pairs->keys[i], "params") == 0) {
      if (!index_json(m, value, out, &named))
        return false;
    } else if (*value && strspn(value, "0123456789") == strlen(value)) {
      if (!milvus_u32(m, pairs->keys[i], value, &number))
        return false;
      srv_milvus_index_param(out, pairs->keys[i], number);
    }
  }
  *metric = named && *named ? srv_milvus_metric(named) : 0;
  if (named && *named && !*metric)
    return milvus_fail(m, SRV_MILVUS_ARGUMENT, "invalid metric type: %.60s", named);
  return true;
}

/* The pairs of a record's index; they borrow from it. */
static bool index_pairs(struct milvus *m, const json_t *params, struct milvus_pairs *out) {
  size_t n = json_object_size(params);
  const char *key;
  json_t *value;
  out->n = 0;
  out->keys = srv_arena_array(&m->call->arena, n, sizeof *out->keys);
  out->values = srv_arena_array(&m->call->arena, n, sizeof *out->values);
  if (!out->keys || !out->values)
    return milvus_no_memory(m);
  json_object_foreach((json_t *)params, key, value) {
    out->keys[out->n] = key;
    out->values[out->n++] = json_is_string(value) ? json_string_value(value) : "";
  }
  return true;
}

/* The nodes of a cluster choose their indexes: there, what was asked for stands in the record
   alone. */
static bool index_set(struct milvus *m, const struct milvus_open *open, const char *field,
                      const vecdb_index_params *params) {
  vecdb_error error;
  int rc = engine_index_create(open->collection, field, params, NULL, &error);
  return rc == VECDB_OK || rc == VECDB_ERR_UNSUPPORTED || milvus_error(m, &error);
}

bool milvus_index_again(struct milvus *m, const struct milvus_open *open) {
  const char *name;
  json_t *index;
  json_object_foreach(json_object_get(open->record, "indexes"), name, index) {
    const vecdb_field *field = srv_schema_field(open->schema, name);
    struct milvus_pairs pairs;
    vecdb_index_params params;
    int32_t metric;
    if (!field || !srv_type_is_dense(field->type))
      continue;
    if (!index_pairs(m, json_object_get(index, "params"), &pairs) ||
        !index_read(m, &pairs, &params, &metric))
      return false;
    if (!index_set(m, open, name, &params))
      return false;
  }
  return true;
}

/* Adds an index to the record under `key`: the field, or of a path in JSON the field and the path.
   `path` is NULL or what describes it. */
static bool index_record(struct milvus *m, struct milvus_open *open, const char *key,
                         const struct index_request *r, const struct milvus_pairs *pairs,
                         json_t *path) {
  json_t *params = json_object();
  for (size_t i = 0; i < pairs->n; i++)
    json_object_set_new(params, pairs->keys[i], json_string(pairs->values[i]));
  if (!milvus_pair(pairs, "index_type"))
    json_object_set_new(params, "index_type", json_string("AUTOINDEX"));
  const char *name = *r->index ? r->index : key;
  json_t *index = json_pack("{s:s, s:o, s:o*}", "name", name, "params", params, "path", path);
  json_t *indexes = json_object_get(milvus_record(open), "indexes");
  return (json_object_set_new(indexes, key, index) == 0 || milvus_no_memory(m)) &&
         milvus_record_keep(m, open);
}

static bool index_vector(struct milvus *m, struct milvus_open *open, const vecdb_field *field,
                         const struct milvus_pairs *pairs) {
  vecdb_index_params params;
  int32_t metric;
  if (!index_read(m, pairs, &params, &metric))
    return false;
  const char *name = field->name; /* of a schema that a rebuild replaces */
  char *kept = srv_arena_text(&m->call->arena, name, strlen(name));
  if (!kept)
    return milvus_no_memory(m);
  struct milvus_rebuild change = {.field = kept, .metric = metric};
  if (metric && metric != field->metric && !milvus_rebuild(m, open, &change))
    return false;
  return index_set(m, open, kept, &params);
}

/* A parameter of an index, by itself or in "params"; NULL: it is not there. */
static const char *index_param(struct milvus *m, const struct milvus_pairs *pairs,
                               const char *name) {
  const char *own = milvus_pair(pairs, name), *text = milvus_pair(pairs, "params");
  json_t *params = own || !text ? NULL : json_loads(text, 0, NULL);
  const json_t *value = json_object_get(params, name);
  if (json_is_string(value))
    own = srv_arena_text(&m->call->arena, json_string_value(value), json_string_length(value));
  json_decref(params);
  return own;
}

/* The key of an index of a path in the record. */
static const char *index_path_key(struct milvus *m, const char *field,
                                  const vecdb_json_index *index) {
  struct pb_out out = {.arena = &m->call->arena};
  srv_pb_raw(&out, field, strlen(field));
  srv_pb_raw(&out, index->path, strlen(index->path) + 1);
  return out.failed ? NULL : (const char *)out.data;
}

/* What an index of a path is, for the record: the field as clients name it, and the library's. */
static json_t *index_path_json(const char *field, const char *of, const vecdb_json_index *index) {
  return json_pack("{s:s, s:s, s:s, s:i}", "field", field, "of", of, "path", index->path, "type",
                   (int)index->type);
}

/* One that is there already is no error, as in Milvus. */
static bool index_path(struct milvus *m, struct milvus_open *open, const vecdb_field *field,
                       const struct srv_milvus_path *asked, const struct index_request *r,
                       const struct milvus_pairs *pairs) {
  vecdb_json_index index;
  vecdb_error error;
  const char *type = milvus_pair(pairs, "index_type");
  const char *fault = srv_milvus_json_index(&m->call->arena, field, asked, &index);
  if (!fault && !srv_milvus_scalar_index(type ? type : ""))
    fault = "the index type is none of a scalar";
  if (fault)
    return milvus_fail(m, SRV_MILVUS_ARGUMENT, "index on %.255s: %s", r->field, fault);
  const char *of = srv_arena_text(&m->call->arena, field->name, strlen(field->name));
  const char *key = of ? index_path_key(m, of, &index) : NULL;
  if (!key)
    return milvus_no_memory(m);
  int rc = engine_json_index_create(open->collection, of, &index, NULL, &error);
  if (rc != VECDB_OK && rc != VECDB_ERR_EXISTS)
    return milvus_error(m, &error);
  return index_record(m, open, key, r, pairs, index_path_json(r->field, of, &index));
}

static bool index_make(struct milvus *m, struct milvus_open *open, const struct index_request *r,
                       const struct milvus_pairs *pairs) {
  const vecdb_field *field = srv_schema_field(open->schema, r->field);
  const char *type = milvus_pair(pairs, "index_type");
  const vecdb_field *json = srv_milvus_json_field(open->schema, r->field);
  const struct srv_milvus_path asked = {r->field, index_param(m, pairs, "json_path"),
                                        index_param(m, pairs, "json_cast_type")};
  if (json && (!field || field == json) && (asked.path || asked.cast))
    return index_path(m, open, json, &asked, r, pairs);
  if (!field)
    return milvus_fail(m, SRV_MILVUS_ARGUMENT, "cannot create index on non-exist field: %.255s",
                       r->field);
  if (srv_type_is_vector(field->type)) {
    bool sparse = field->type == VECDB_SPARSE_VECTOR;
    if (!(sparse ? milvus_sparse_index(m, pairs) : index_vector(m, open, field, pairs)))
      return false;
  } else if (!srv_milvus_scalar_index(type ? type : "")) { /* columns index themselves */
    return milvus_fail(m, SRV_MILVUS_ARGUMENT, "invalid index type: %.60s for a scalar", type);
  }
  return index_record(m, open, r->field, r, pairs, NULL);
}

void milvus_index_create(struct milvus *m) {
  struct srv_milvus_state *state = m->call->server->milvus;
  struct index_request r;
  struct milvus_pairs pairs;
  struct milvus_open open;
  if (!MILVUS_REQUEST(m, index_create_table, &r) || !milvus_pairs_read(m, &r.params, &pairs))
    return;
  pthread_mutex_lock(&state->change);
  if (milvus_open(m, r.db, r.name, &open)) {
    index_make(m, &open, &r, &pairs);
    milvus_close(&open);
  }
  pthread_mutex_unlock(&state->change);
}

/* ---- Describing ------------------------------------------------------------------------------ */

/* The index of a path, as clients of Milvus describe one. */
static json_t *index_own_path(struct milvus *m, const vecdb_field *f, const vecdb_json_index *index,
                              const char **key) {
  *key = index_path_key(m, f->name, index);
  return json_pack("{s:s*, s:o, s:{s:s, s:s*, s:s}}", "name", *key, "path",
                   index_path_json(f->name, f->name, index), "params", "index_type", "INVERTED",
                   "json_path", *key, "json_cast_type", srv_type_name(index->type));
}

/* The indexes of a collection that was made by other means: those of its vector fields and of
   paths in JSON. */
static json_t *index_own(struct milvus *m, const vecdb_schema *schema) {
  json_t *out = json_object();
  for (uint32_t i = 0; i < schema->n_fields; i++) {
    const vecdb_field *f = &schema->fields[i];
    for (uint32_t k = 0; k < f->n_json_indexes; k++) {
      const char *key;
      json_t *index = index_own_path(m, f, &f->json_indexes[k], &key);
      if (key)
        json_object_set_new(out, key, index);
      else
        json_decref(index);
    }
    if (!srv_type_is_vector(f->type))
      continue;
    const char *type = f->index.type ? vecdb_index_type_name(f->index.type) : "AUTOINDEX";
    json_object_set_new(out, f->name,
                        json_pack("{s:s, s:{s:s, s:s, s:s}}", "name", f->name, "params",
                                  "index_type", type, "metric_type",
                                  srv_milvus_metric_name(f->metric), "params", "{}"));
  }
  return out;
}

/* The field that an index is of, as clients name it. */
static const char *index_field(const char *key, const json_t *index) {
  const char *field = json_string_value(json_object_get(json_object_get(index, "path"), "field"));
  return field ? field : key;
}

/* The indexes that the request means, by field; to be released. NULL after failing: none. */
static json_t *index_meant(struct milvus *m, const struct milvus_open *open,
                           const struct index_request *r) {
  json_t *all = open->record ? json_incref(json_object_get(open->record, "indexes"))
                             : index_own(m, open->schema);
  json_t *out = json_object(), *index;
  const char *field;
  json_object_foreach(all, field, index) {
    const char *name = json_string_value(json_object_get(index, "name"));
    bool named = !*r->index || (name && strcmp(name, r->index) == 0);
    if (named && (!*r->field || strcmp(index_field(field, index), r->field) == 0))
      json_object_set(out, field, index);
  }
  json_decref(all);
  if (json_object_size(out))
    return out;
  json_decref(out);
  milvus_fail(m, SRV_MILVUS_NO_INDEX, "index not found[collection=%.255s][indexName=%.100s]",
              r->name, r->index);
  return NULL;
}

static bool index_rows(struct milvus *m, const struct milvus_open *open, int64_t *rows) {
  vecdb_stats stats = VECDB_STATS_INIT;
  vecdb_error error;
  if (srv_guard_stats(m->call, open->collection, &stats, &error) != VECDB_OK)
    return milvus_error(m, &error);
  *rows = (int64_t)stats.rows;
  return true;
}

static void index_write(struct pb_out *out, const char *field, json_t *index, int64_t rows) {
  json_t *params = json_object_get(index, "params"), *value;
  const char *key, *name = json_string_value(json_object_get(index, "name"));
  size_t mark = srv_pb_open(out, 2);
  srv_pb_text(out, 1, name ? name : field);
  srv_pb_number(out, 2, milvus_id(field));
  json_object_foreach(params, key, value) {
    milvus_pair_put(out, 3, key, json_is_string(value) ? json_string_value(value) : "");
  }
  srv_pb_text(out, 4, field);
  srv_pb_number(out, 5, rows);
  srv_pb_number(out, 6, rows);
  srv_pb_number(out, 7, INDEX_FINISHED);
  srv_pb_close(out, mark);
}

/* Reads the request and gives what it means, with its collection open; NULL after failing. */
static json_t *index_look(struct milvus *m, struct milvus_open *open, int64_t *rows) {
  struct index_request r;
  if (!MILVUS_REQUEST(m, index_named_table, &r) || !milvus_open(m, r.db, r.name, open))
    return NULL;
  json_t *out = index_rows(m, open, rows) ? index_meant(m, open, &r) : NULL;
  if (!out)
    milvus_close(open);
  return out;
}

void milvus_index_describe(struct milvus *m) {
  struct milvus_open open;
  int64_t rows;
  const char *field;
  json_t *index, *meant = index_look(m, &open, &rows);
  if (!meant)
    return;
  json_object_foreach(meant, field, index) {
    index_write(&m->out, index_field(field, index), index, rows);
  }
  json_decref(meant);
  milvus_close(&open);
}

void milvus_index_state(struct milvus *m) {
  struct milvus_open open;
  int64_t rows;
  json_t *meant = index_look(m, &open, &rows);
  if (!meant)
    return;
  srv_pb_number(&m->out, 2, INDEX_FINISHED);
  json_decref(meant);
  milvus_close(&open);
}

void milvus_index_progress(struct milvus *m) {
  struct milvus_open open;
  int64_t rows;
  json_t *meant = index_look(m, &open, &rows);
  if (!meant)
    return;
  srv_pb_number(&m->out, 2, rows);
  srv_pb_number(&m->out, 3, rows);
  json_decref(meant);
  milvus_close(&open);
}

/* ---- Dropping -------------------------------------------------------------------------------- */

static bool index_drop_one(struct milvus *m, const struct milvus_open *open, const char *field,
                           const json_t *index) {
  const vecdb_field *f = srv_schema_field(open->schema, field);
  const json_t *path = json_object_get(index, "path");
  const vecdb_json_index json = {json_string_value(json_object_get(path, "path")),
                                 (int32_t)json_integer_value(json_object_get(path, "type"))};
  vecdb_error error;
  int rc = VECDB_OK;
  if (path)
    rc = engine_json_index_drop(open->collection, json_string_value(json_object_get(path, "of")),
                                &json, NULL, &error);
  else if (f && srv_type_is_dense(f->type))
    rc = engine_index_drop(open->collection, field, &error);
  if (rc != VECDB_OK && rc != VECDB_ERR_UNSUPPORTED && rc != VECDB_ERR_NOT_FOUND)
    return milvus_error(m, &error);
  json_object_del(json_object_get(open->record, "indexes"), field);
  return true;
}

void milvus_index_drop(struct milvus *m) {
  struct srv_milvus_state *state = m->call->server->milvus;
  struct index_request r;
  struct milvus_open open;
  const char *field;
  json_t *index;
  if (!MILVUS_REQUEST(m, index_named_table, &r))
    return;
  pthread_mutex_lock(&state->change);
  if (milvus_open(m, r.db, r.name, &open)) {
    json_t *meant = index_meant(m, &open, &r);
    if (!meant)
      m->code = 0; /* dropping what is not there is no error, as in Milvus */
    bool good = true;
    json_object_foreach(meant, field, index) {
      good = good && index_drop_one(m, &open, field, index);
    }
    if (good && meant)
      milvus_record_keep(m, &open);
    json_decref(meant);
    milvus_close(&open);
  }
  pthread_mutex_unlock(&state->change);
}
