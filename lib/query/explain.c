/* explain.c - a search plan in words; see query.h. Nothing is searched and no set is computed. */
#include <stdarg.h>
#include <stdio.h>

#include "accel/device.h"
#include "index/need.h"
#include "query/cache.h"
#include "query/exec_device.h"
#include "query/plan.h"
#include "query/query.h"

static const char *const explain_plans[] = {"AUTO", "EXACT", "GRAPH", "FILTER_LATE", "CODES"};
static const char *const explain_reasons[] = {"no index", "by the inverted index",
                                              "small segment", "as asked",
                                              "the index cannot reach the recall", "cheapest"};
static const char *const explain_metrics[] = {"", "L2", "IP", "COSINE", "HAMMING", "JACCARD"};
static const char *const explain_types[] = {"FLOAT_VECTOR", "FLOAT16_VECTOR", "BFLOAT16_VECTOR",
                                            "INT8_VECTOR", "BINARY_VECTOR", "SPARSE_VECTOR"};

/* Appends formatted text; pieces longer than the buffer are cut. */
static void explain_add(struct vdb_writer *out, const char *format, ...) VDB_PRINTF(2, 3);

static void explain_add(struct vdb_writer *out, const char *format, ...) {
  char line[512];
  va_list args;
  va_start(args, format);
  int n = vsnprintf(line, sizeof line, format, args);
  va_end(args);
  if (n > 0)
    vdb_write_bytes(out, line, vdb_min_size((size_t)n, sizeof line - 1));
}

static void explain_request(const struct vdb_request *r, struct vdb_writer *out) {
  explain_add(out, "search: field \"%s\" (%s, dim %u, %s), k %u, queries %u, plan %s\n",
              r->field->name, explain_types[r->field->type - VECDB_FLOAT_VECTOR], r->field->dim,
              explain_metrics[r->field->metric], r->k, r->n_queries,
              explain_plans[r->plan]);
  explain_add(out, "filter: ");
  if (r->filter)
    vdb_filter_describe(r->filter, r->snapshot->schema, out);
  else
    explain_add(out, "none, every row passes");
  explain_add(out, "\n");
}

/* How hard the index is searched, why, and its curve for k 10. */
static void explain_effort(const struct vdb_request *r, const struct vdb_plan_seg *p,
                           struct vdb_writer *out) {
  bool lists = p->index->index->ops->effort == VDB_EFFORT_NPROBE;
  const struct vdb_curve *curve = &p->index->curve;
  uint32_t given = lists ? r->nprobe : r->ef;
  explain_add(out, "  effort: %s %u", lists ? "nprobe" : "ef", p->effort);
  if (given == 0 && curve->n > 0)
    explain_add(out, " for recall %.3g", (double)vdb_plan_recall(r));
  explain_add(out, curve->n ? "; measured recall@10" : "; not measured");
  for (uint32_t i = 0; i < curve->n; i++)
    explain_add(out, " %u:%.3f", curve->points[i].effort, (double)curve->points[i].recall[1]);
  explain_add(out, "\n");
}

/* How AUTO's choice was made, where there was a bake-off. */
static void explain_bakeoff(const struct vdb_bakeoff *b, struct vdb_writer *out) {
  const struct vdb_index_kind *graph = vdb_index_kind(b->graph), *lists = vdb_index_kind(b->lists);
  if (b->sample == 0)
    return;
  explain_add(out, "  bake-off: recall %.3g is expected of %s in %.0f us, of %s in %.0f us",
              (double)b->recall, graph->name, (double)b->graph_us, lists->name,
              (double)b->lists_us);
  explain_add(out, ", by %u rows; taken: %s\n", b->sample,
              b->lists_taken ? lists->name : graph->name);
}

/* Why a sealed segment has no index: its build may need more than memory_limit. */
static void explain_limit(const struct vdb_request *r, const struct vdb_plan_seg *p,
                          struct vdb_writer *out) {
  struct vdb_env *env = r->snapshot->env;
  vecdb_index_params params = r->snapshot->index[r->field_no];
  struct vdb_index_field over = vdb_seg_index_field(r->field);
  struct vdb_room room = {0, env->threads};
  struct vdb_need need;
  if (env->mem.limit == 0 || p->index || r->sparse || vdb_index_is_scan(params.type, over.elem))
    return;
  vdb_index_need_of(&params, &over, p->view->n, &room, &need);
  if (vdb_need_all(&need) > env->mem.limit)
    explain_add(out, "  no index: building %s takes up to %llu bytes, memory_limit is %llu\n",
                vdb_index_kind(params.type)->name, (unsigned long long)vdb_need_all(&need),
                (unsigned long long)env->mem.limit);
}

/* What AUTO made of a sealed segment. */
static void explain_auto(const struct vdb_request *r, const struct vdb_plan_seg *p,
                         struct vdb_writer *out) {
  uint64_t budget = r->snapshot->index[r->field_no].memory_bytes;
  struct vdb_index_traits traits;
  if (!p->index) {
    explain_add(out, "  AUTO: %s\n", p->view->n < r->snapshot->index_rows
                                         ? "too few rows for an index"
                                         : "no index fits memory_bytes, or it is not built yet");
    return;
  }
  p->index->index->ops->traits(p->index->index, &traits);
  explain_add(out, "  AUTO: the fastest index that fits, %llu bytes",
              (unsigned long long)traits.memory);
  if (budget > 0)
    explain_add(out, " of memory_bytes %llu", (unsigned long long)budget);
  if (r->snapshot->env->mem.limit > 0)
    explain_add(out, ", built within memory_limit %llu",
                (unsigned long long)r->snapshot->env->mem.limit);
  explain_add(out, "\n");
  explain_bakeoff(&p->index->bakeoff, out);
}

static void explain_cost(const struct vdb_request *r, const struct vdb_plan_seg *p,
                         struct vdb_writer *out) {
  explain_add(out, "  cost: exact %.1f us", p->cost.exact / 1e3);
  if (p->index)
    explain_add(out, ", graph %.1f us", p->cost.graph / 1e3);
  if (p->index && r->filter)
    explain_add(out, ", late filter %.1f us", p->cost.late / 1e3);
  if (p->cost.codes > 0)
    explain_add(out, ", codes %.1f us", p->cost.codes / 1e3);
  if (p->cost.bitmap > 0)
    explain_add(out, "; computing the set is %.1f us of all%s", p->cost.bitmap / 1e3,
                p->index ? " but late filter" : "");
  explain_add(out, "\n");
}

/* Which JSON paths the filter finds by an index of the segment, and of which it reads the texts. */
static void explain_paths(const struct vdb_request *r, const struct vdb_plan_seg *p,
                          struct vdb_writer *out) {
  static const char *const types[] = {"", "BOOL", "", "", "", "", "", "DOUBLE", "VARCHAR"};
  const struct vdb_schema *schema = r->snapshot->schema;
  struct vdb_seg_part part = vdb_seg_part(p->view, 0);
  for (uint32_t i = 0; i < schema->n_paths; i++) {
    const struct vdb_json_path *path = &schema->paths[i];
    if (!vdb_filter_asks(r->filter, schema, i))
      continue;
    bool there = part.indexes && part.indexes[schema->n_fields + i];
    explain_add(out, "  filter: %s%s by %s (%s)\n", schema->fields[path->field].name, path->text,
                there ? "its index" : "the texts: the segment has no index of it",
                types[path->type]);
  }
}

static void explain_seg(const struct vdb_request *r, const struct vdb_plan_seg *p,
                        struct vdb_writer *out) {
  const struct vdb_seg *seg = p->view->seg;
  const char *inverted = p->reason == VDB_PLAN_INVERTED ? "inverted" : "none";
  explain_add(out, "segment %llu: %s, %u rows, %u deleted, index %s\n", (unsigned long long)seg->id,
              seg->sealed ? "sealed" : "growing", p->view->n, p->dead,
              p->index ? vdb_index_kind(p->index->params.type)->name : inverted);
  if (r->snapshot->index[r->field_no].type == VECDB_INDEX_AUTO && seg->sealed && !r->sparse)
    explain_auto(r, p, out);
  if (seg->sealed && !r->sparse)
    explain_limit(r, p, out);
  explain_add(out, "  allowed: %s%u rows (%.3g %%)\n", p->counted ? "" : "about ", p->allowed,
              100.0 * p->allowed / p->view->n);
  explain_paths(r, p, out);
  explain_add(out, "  plan: %s (%s)%s\n", explain_plans[p->plan], explain_reasons[p->reason],
              p->bitmap ? ", by a set of allowed rows"
                        : (p->dead > 0 || r->filter ? ", rows checked one by one" : ""));
  if (p->index)
    explain_effort(r, p, out);
  if (!r->sparse)
    explain_cost(r, p, out);
}

/* Which segments the device would search. */
static void explain_device(const struct vdb_request *r, const struct vdb_plan_seg *p,
                           struct vdb_writer *out) {
  struct vdb_device_state state;
  if (vdb_exec_device_wants(r, p, r->n_queries) && vdb_device_look(r->device, &state))
    explain_add(out, "  device: %s\n", state.name);
}

static void explain_all(const struct vdb_request *r, const struct vdb_plan *plan,
                        struct vdb_writer *out) {
  uint64_t rows = 0, allowed = 0;
  for (uint32_t i = 0; i < plan->n_segs; i++) {
    rows += plan->segs[i].view->n;
    allowed += plan->segs[i].allowed;
  }
  explain_request(r, out);
  explain_add(out, "snapshot: sequence number %llu, %u segments, %llu rows, about %llu allowed\n",
              (unsigned long long)r->snapshot->seq, plan->n_segs, (unsigned long long)rows,
              (unsigned long long)allowed);
  for (uint32_t i = 0; i < plan->n_segs; i++) {
    explain_seg(r, &plan->segs[i], out);
    explain_device(r, &plan->segs[i], out);
  }
}

/* Whether a search would be answered from the cache. */
static void explain_cache(const struct vdb_request *r, const vecdb_search_params *params,
                          struct vdb_writer *out) {
  struct vdb_cache *cache = r->snapshot->cache;
  struct vdb_writer bytes = VDB_WRITER(r->mem);
  struct vdb_cache_key key;
  if (!cache || !r->queries)
    return;
  bool kept = vdb_cache_key_make(r, params, &bytes, &key);
  bool there = kept && vdb_cache_has(cache, &key);
  vdb_writer_free(&bytes);
  explain_add(out, "cache: %s\n", there  ? "the result is there"
                                 : kept ? "the result is not there"
                                        : "such a result is not kept");
}

VDB_INTERNAL int vdb_query_explain(const struct vdb_snapshot *snapshot,
                                   const vecdb_search_params *params, char *text, size_t capacity,
                                   size_t *length, vecdb_error *err) {
  if (!text && capacity)
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "text is NULL, but capacity is %zu", capacity);
  struct vdb_request request;
  VDB_TRY(vdb_request_init(&request, snapshot, params, VDB_REQUEST_EXPLAIN, err));
  struct vdb_plan *plan;
  int rc = vdb_plan_make(&request, true, &plan, err);
  struct vdb_writer out = VDB_WRITER(request.mem);
  if (rc != VECDB_OK)
    goto done;
  explain_all(&request, plan, &out);
  explain_cache(&request, params, &out);
  if (out.failed) {
    rc = vdb_fail_memory(err);
    goto done;
  }
  if (length)
    *length = out.n;
  if (capacity) {
    size_t n = vdb_min_size(out.n, capacity - 1);
    memcpy(text, out.data, n);
    text[n] = '\0';
  }
  if (out.n >= capacity)
    rc = vdb_fail(err, VECDB_ERR_BUFFER, "the text has %zu bytes, the buffer %zu", out.n, capacity);
done:
  vdb_writer_free(&out);
  vdb_plan_free(&request, plan);
  vdb_request_fini(&request);
  return rc;
}
