/* search_answer.c - see search_answer.h. */
#include "server/search_answer.h"

#include <stdlib.h>
#include <string.h>

#include "server/json_rows.h"
#include "server/json_write.h"
#include "server/staleness.h"

/* The text so far; what is added once memory was short is lost. */
struct answer_out {
  struct srv_text text;
  bool failed;
};

static void out_put(struct answer_out *o, const char *text) {
  o->failed = o->failed || !srv_text_add(&o->text, text, strlen(text));
}

/* A name, which needs no escapes, of a member that is not the first. */
static void out_name(struct answer_out *o, const char *before, const char *name) {
  out_put(o, before);
  out_put(o, name);
  out_put(o, "\":");
}

/* Takes the reference; NULL: memory was short. */
static void out_value(struct answer_out *o, json_t *value) {
  o->failed = o->failed || !value || !srv_json_write(value, &o->text);
  json_decref(value);
}

static void out_key(struct answer_out *o, vecdb_value key) {
  if (key.type == VECDB_INT64)
    o->failed = o->failed || !srv_json_write_integer(key.as.integer, &o->text);
  else
    out_value(o, srv_value_write(key));
}

static void out_hits(struct answer_out *o, const struct srv_search_answer *a, const vecdb_hit *hits,
                     uint32_t n) {
  out_put(o, "[");
  for (uint32_t i = 0; i < n; i++) {
    size_t row = hits[i].row;
    out_name(o, i ? ",{\"" : "{\"", a->key);
    out_key(o, engine_rows_value(a->rows, row, 0));
    out_name(o, ",\"", "score");
    o->failed = o->failed || !srv_json_write_float(hits[i].score, &o->text);
    if (a->rest) {
      out_name(o, ",\"", a->rest);
      out_value(o, srv_dynamic_row(a->dynamic, a->rows, row, 0));
    }
    out_put(o, "}");
  }
  out_put(o, "]");
}

/* The hits of query q; or its groups, each the list of its hits. */
static void out_query(struct answer_out *o, const struct srv_search_answer *a, uint32_t q) {
  size_t first = (size_t)q * a->k;
  if (!a->group) {
    out_hits(o, a, a->hits + first, a->counts[q]);
    return;
  }
  out_put(o, "[");
  for (size_t g = first; g < first + a->k && a->counts[g] > 0; g++) {
    if (g > first)
      out_put(o, ",");
    out_hits(o, a, a->hits + g * a->group, a->counts[g]);
  }
  out_put(o, "]");
}

static void out_count(struct answer_out *o, const char *before, const char *name, uint64_t count) {
  out_name(o, before, name);
  o->failed = o->failed || !srv_json_write_integer((int64_t)count, &o->text);
}

static void out_info(struct answer_out *o, const vecdb_search_info *info) {
  out_name(o, "{\"", "partial");
  out_put(o, info->partial ? "true" : "false");
  out_count(o, ",\"", "segments", info->segments);
  out_count(o, ",\"", "segments_exact", info->segments_exact);
  out_count(o, ",\"", "segments_graph", info->segments_graph);
  out_count(o, ",\"", "fallbacks", info->fallbacks);
  out_count(o, ",\"", "rows", info->rows);
  out_count(o, ",\"", "rows_allowed", info->rows_allowed);
  out_count(o, ",\"", "distances", info->distances);
  out_count(o, ",\"", "elapsed_us", info->elapsed_ns / 1000);
  out_put(o, "}");
}

/* Of what was read, where it is a copy. */
static void out_staleness(struct answer_out *o, const struct srv_call *call) {
  char text[SRV_STALENESS_TEXT];
  if (!srv_staleness_text(call, text))
    return;
  out_name(o, ",\"", "staleness_ms");
  out_put(o, call->fresh_ns ? text : "null");
}

void srv_search_answer(struct srv_call *call, const struct srv_search_answer *a) {
  struct answer_out o = {0};
  out_name(&o, "{\"", a->batch ? "results" : a->group ? "groups" : "hits");
  for (uint32_t q = 0; q < a->n_queries; q++) {
    out_put(&o, q ? "," : a->batch ? "[" : "");
    out_query(&o, a, q);
  }
  out_name(&o, a->batch ? "],\"" : ",\"", "info");
  out_info(&o, a->info);
  out_staleness(&o, call);
  if (a->query) {
    out_name(&o, ",\"", "query");
    out_value(&o, json_string(a->query));
  }
  out_put(&o, "}");
  const char *text = o.failed ? NULL : srv_arena_text(&call->arena, o.text.data, o.text.n);
  if (text)
    srv_call_text(call, 200, text, o.text.n);
  else
    srv_call_no_memory(call);
  free(o.text.data);
}
