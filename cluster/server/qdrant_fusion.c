/*
 * qdrant_fusion.c - one ranking out of several searches' ("prefetch"): by ranks (RRF), or by scores
 * once each search's are brought to one scale (DBSF).
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/qdrant.h"

enum { FUSION_LIMIT = 10, FUSION_SEARCHES = 64, FUSION_RRF_K = 2 };

struct fusion_point {
  json_t *point; /* owned */
  double score;
  size_t first; /* when it was met first: the order of those with the same score */
};

struct fusion {
  struct srv_call *call;
  struct engine_collection *collection;
  json_t *query; /* the whole request */
  bool by_scores;
  uint32_t k; /* of RRF: ranks count as 1 / (k + rank), from rank 0 on */
  uint32_t limit, offset;
  float threshold;
  json_t *places; /* of points by their ids, in ... */
  struct fusion_point *points;
  size_t n, room;
};

/* ---- Reading --------------------------------------------------------------------------------- */

static bool fusion_unsupported(struct fusion *f, const char *what) {
  srv_call_fail(f->call, 400, "UNSUPPORTED", "%s", what);
  return false;
}

/* {"fusion": "rrf" or "dbsf"}, or {"rrf": {"k"}}. */
static bool fusion_method(struct fusion *f, json_t *query) {
  static const char *const keys[] = {"fusion", "rrf", NULL}, *const rrf_keys[] = {"k", NULL};
  const char *name = NULL;
  json_t *rrf = json_object_get(query, "rrf");
  f->k = FUSION_RRF_K;
  if (!json_object_get(query, "fusion") && !rrf)
    return fusion_unsupported(f, "of the queries over prefetches, only fusions are served");
  if (!srv_only_keys(f->call, query, keys) || !srv_take_text(f->call, query, "fusion", &name))
    return false;
  if (json_is_object(rrf) && !name) {
    if (!srv_only_keys(f->call, rrf, rrf_keys) || !srv_take_u32(f->call, rrf, "k", &f->k))
      return false;
    return f->k > 0 || fusion_unsupported(f, "\"k\" must be from 1 on");
  }
  f->by_scores = name && strcmp(name, "dbsf") == 0;
  return (name && !rrf && (f->by_scores || strcmp(name, "rrf") == 0)) ||
         fusion_unsupported(f, "\"fusion\" must be \"rrf\" or \"dbsf\"");
}

static bool fusion_read(struct fusion *f, json_t *json) {
  f->limit = FUSION_LIMIT;
  f->threshold = -INFINITY;
  f->query = json;
  if (!fusion_method(f, json_object_get(json, "query")) ||
      !srv_take_u32(f->call, json, "limit", &f->limit) ||
      !srv_take_u32(f->call, json, "offset", &f->offset) ||
      !srv_take_float(f->call, json, "score_threshold", &f->threshold))
    return false;
  if (f->limit > 0)
    return true;
  srv_call_fail(f->call, 400, "K", "\"limit\" must be from 1 on");
  return false;
}

/* A search of its own, which also keeps to the filter of the whole, and gives what it wants. */
static json_t *fusion_leaf(const struct fusion *f, json_t *prefetch) {
  static const char *const wants[] = {"with_payload", "with_vector", "with_vectors"};
  json_t *leaf = json_copy(prefetch);
  json_t *all = json_object_get(f->query, "filter"), *own = json_object_get(leaf, "filter");
  if (json_is_object(all) && json_is_object(own))
    json_object_set_new(leaf, "filter", json_pack("{s:[O,O]}", "must", all, own));
  else if (all && (!own || json_is_null(own)))
    json_object_set(leaf, "filter", all);
  for (size_t i = 0; i < sizeof wants / sizeof wants[0]; i++)
    if (json_object_get(f->query, wants[i]))
      json_object_set(leaf, wants[i], json_object_get(f->query, wants[i]));
  return leaf;
}

/* ---- Scores ---------------------------------------------------------------------------------- */

/* Where the mean less, and more, three deviations of the scores are 0 and 1. */
static void fusion_scale(const json_t *hits, double *low, double *width) {
  size_t n = json_array_size(hits);
  double mean = 0, squares = 0;
  for (size_t i = 0; i < n; i++)
    mean += json_number_value(json_object_get(json_array_get(hits, i), "score")) / (double)n;
  for (size_t i = 0; i < n; i++) {
    double d = json_number_value(json_object_get(json_array_get(hits, i), "score")) - mean;
    squares += d * d;
  }
  double deviation = n > 1 ? sqrt(squares / (double)(n - 1)) : 0;
  *low = mean - 3 * deviation;
  *width = 6 * deviation;
}

/* The place of a point; one that was not met before is added. NULL: no memory. */
static struct fusion_point *fusion_place(struct fusion *f, json_t *point) {
  json_t *id = json_object_get(point, "id");
  char key[64];
  if (json_is_integer(id))
    snprintf(key, sizeof key, "%lld", (long long)json_integer_value(id));
  else
    snprintf(key, sizeof key, "%s", json_string_value(id));
  json_t *place = json_object_get(f->places, key);
  if (place)
    return &f->points[json_integer_value(place)];
  if (f->n == f->room) {
    size_t room = f->room ? 2 * f->room : 64;
    struct fusion_point *grown = realloc(f->points, room * sizeof *grown);
    if (!grown)
      return NULL;
    f->points = grown;
    f->room = room;
  }
  if (json_object_set_new(f->places, key, json_integer((json_int_t)f->n)) != 0)
    return NULL;
  f->points[f->n] = (struct fusion_point){json_incref(point), 0, f->n};
  return &f->points[f->n++];
}

/* Adds the hits of one search; false after answering. */
static bool fusion_add(struct fusion *f, const json_t *hits) {
  double low, width;
  fusion_scale(hits, &low, &width);
  for (size_t i = 0; i < json_array_size(hits); i++) {
    json_t *hit = json_array_get(hits, i);
    struct fusion_point *p = fusion_place(f, hit);
    if (!p) {
      srv_call_no_memory(f->call);
      return false;
    }
    double score = json_number_value(json_object_get(hit, "score"));
    if (!f->by_scores)
      p->score += 1 / ((double)f->k + (double)i);
    else
      p->score += width > 0 ? (score - low) / width : 0.5;
  }
  return true;
}

/* Distances grow where the scores that are summed must not. */
static bool fusion_summable(struct fusion *f, json_t *prefetch) {
  const char *name = "";
  if (!f->by_scores)
    return true;
  if (!srv_take_text(f->call, prefetch, "using", &name))
    return false;
  const vecdb_field *field =
      srv_qdrant_vector(f->call, engine_collection_schema(f->collection), name);
  return field && (field->metric != VECDB_L2 ||
                   fusion_unsupported(f, "dbsf is not served over Euclid distances"));
}

static bool fusion_search(struct fusion *f, json_t *prefetch) {
  static const char *const keys[] = {
      "query", "using", "filter", "params", "score_threshold", "limit", "prefetch", "lookup_from",
      NULL};
  static const char *const refused[] = {"lookup_from", NULL};
  if (!json_is_object(prefetch)) {
    srv_call_fail(f->call, 400, "TYPE", "a prefetch must be an object");
    return false;
  }
  if (!srv_only_keys(f->call, prefetch, keys) || !srv_qdrant_refuse(f->call, prefetch, refused) ||
      !fusion_summable(f, prefetch))
    return false;
  json_t *leaf = fusion_leaf(f, prefetch);
  json_t *answer = srv_qdrant_nearest(f->call, f->collection, leaf);
  bool good = answer && fusion_add(f, json_object_get(answer, "points"));
  json_decref(answer);
  json_decref(leaf);
  return good;
}

/* ---- The ranking ----------------------------------------------------------------------------- */

static int fusion_compare(const void *a, const void *b) {
  const struct fusion_point *x = a, *y = b;
  if (x->score != y->score)
    return x->score < y->score ? 1 : -1;
  return (x->first > y->first) - (x->first < y->first);
}

static json_t *fusion_ranking(struct fusion *f) {
  json_t *out = json_array();
  if (f->n)
    qsort(f->points, f->n, sizeof *f->points, fusion_compare);
  for (size_t i = f->offset; i < f->n && i - f->offset < f->limit; i++) {
    if (f->points[i].score < (double)f->threshold)
      break;
    json_object_set_new(f->points[i].point, "score", json_real(f->points[i].score));
    json_array_append(out, f->points[i].point);
  }
  if (!out)
    srv_call_no_memory(f->call);
  return out ? json_pack("{s:o}", "points", out) : NULL;
}

json_t *srv_qdrant_fusion(struct srv_call *call, struct engine_collection *collection,
                          json_t *json) {
  struct fusion f = {.call = call, .collection = collection, .places = json_object()};
  json_t *list = json_object_get(json, "prefetch"), *out = NULL;
  size_t n = json_is_array(list) ? json_array_size(list) : 1;
  bool good = fusion_read(&f, json);
  if (good && (n == 0 || n > FUSION_SEARCHES)) {
    srv_call_fail(call, 400, "LIMIT", "\"prefetch\" must have 1 to %d searches", FUSION_SEARCHES);
    good = false;
  }
  for (size_t i = 0; good && i < n; i++)
    good = fusion_search(&f, json_is_array(list) ? json_array_get(list, i) : list);
  if (good)
    out = fusion_ranking(&f);
  for (size_t i = 0; i < f.n; i++)
    json_decref(f.points[i].point);
  free(f.points);
  json_decref(f.places);
  return out;
}
