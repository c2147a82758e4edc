/*
 * qdrant_sparse.c - sparse vectors in Qdrant's dialect: their settings, and the weights that the
 * modifier "idf" gives the indices of a query. The modifier is kept as the field's description.
 */
#include <math.h>
#include <string.h>

#include "server/guard.h"
#include "server/json_schema.h"
#include "server/json_sparse.h"
#include "server/qdrant.h"

#define SPARSE_IDF "idf"

bool srv_qdrant_sparse_field(struct srv_call *call, const char *name, json_t *config,
                             vecdb_field *field) {
  static const char *const keys[] = {"index", "modifier", NULL};
  const char *modifier = NULL;
  *field = (vecdb_field){.type = VECDB_SPARSE_VECTOR};
  if (!json_is_object(config)) {
    srv_call_fail(call, 400, "TYPE",
                  "the settings of the sparse vector \"%.100s\" must be an object", name);
    return false;
  }
  field->name = srv_qdrant_vector_name(call, name);
  if (!field->name || !srv_only_keys(call, config, keys) ||
      !srv_take_text(call, config, "modifier", &modifier))
    return false;
  if (modifier && strcmp(modifier, SPARSE_IDF) == 0)
    field->description = SPARSE_IDF;
  if (!modifier || field->description || strcmp(modifier, "none") == 0)
    return true;
  srv_call_fail(call, 400, "OPTION", "\"modifier\" must be \"idf\" or \"none\"");
  return false;
}

static bool sparse_idf(const vecdb_field *field) {
  return field->description && strcmp(field->description, SPARSE_IDF) == 0;
}

json_t *srv_qdrant_sparse_describe(const vecdb_schema *schema) {
  json_t *out = NULL;
  for (uint32_t i = 0; i < schema->n_fields; i++) {
    const vecdb_field *f = &schema->fields[i];
    char name[VECDB_MAX_NAME + 1];
    if (f->type != VECDB_SPARSE_VECTOR || !srv_qdrant_vector_of(f->name, name))
      continue;
    out = out ? out : json_object();
    json_object_set_new(out, name, sparse_idf(f) ? json_pack("{s:s}", "modifier", SPARSE_IDF)
                                                 : json_object());
  }
  return out;
}

/* Multiplies each value by log((N - n + 0.5) / (n + 0.5) + 1), where n of N points have the
   index. */
static bool sparse_weigh(struct srv_call *call, struct engine_collection *collection,
                         const vecdb_field *field, vecdb_sparse *query) {
  vecdb_sparse_pair *pairs = srv_arena_array(&call->arena, query->n + 1, sizeof *pairs);
  uint32_t *indices = srv_arena_array(&call->arena, query->n + 1, sizeof *indices);
  uint64_t *counts = srv_arena_array(&call->arena, query->n + 1, sizeof *counts), all;
  vecdb_error error;
  if (!pairs || !indices || !counts) {
    srv_call_no_memory(call);
    return false;
  }
  for (size_t i = 0; i < query->n; i++)
    indices[i] = query->pairs[i].index;
  if (srv_guard_sparse_counts(call, collection, field->name, indices, query->n, counts, &all,
                              &error) != VECDB_OK) {
    srv_call_error(call, &error);
    return false;
  }
  for (size_t i = 0; i < query->n; i++) {
    double n = (double)counts[i];
    double idf = log(((double)all - n + 0.5) / (n + 0.5) + 1);
    pairs[i] = (vecdb_sparse_pair){indices[i], (float)((double)query->pairs[i].value * idf)};
  }
  query->pairs = pairs;
  return true;
}

bool srv_qdrant_sparse_query(struct srv_call *call, struct engine_collection *collection,
                             const vecdb_field *field, json_t *vector, vecdb_sparse *out) {
  if (srv_sparse_read(call, vector, out))
    return !sparse_idf(field) || sparse_weigh(call, collection, field, out);
  srv_call_fail(call, 400, "TYPE",
                "Wrong input: a sparse vector must have as many \"values\" as \"indices\", each of "
                "these once");
  return false;
}
