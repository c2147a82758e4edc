/*
 * metrics_page.c - GET /metrics: what was counted, what the collections are made of, and what the
 * process uses. Names are of vecdb_, and process_* as everywhere; `search_latency_seconds` is
 * vecdb_search_latency_seconds of all dialects together, under the name that alerts ask for.
 */
#include <stdio.h>
#include <string.h>

#include "server/audit.h"
#include "server/gpus.h"
#include "server/handlers.h"
#include "server/metrics_cluster.h"
#include "server/metrics_edge.h"
#include "server/observe.h"
#include "server/page.h"
#include "server/process.h"
#include "server/server.h"

enum {
  PAGE_COLLECTIONS = 1000, /* that the page tells of: it must stay readable */
  PAGE_MS = 1000,          /* that the nodes of a cluster have for a number */
  PAGE_ALL_MS = 3000,      /* after which the page asks them for no other collection's */
  PAGE_DIGITS = 16         /* of a number's text */
};

/* ---- Requests -------------------------------------------------------------------------------- */

static bool page_route(const struct srv_metrics *m, size_t i, struct srv_metrics_route *out,
                       srv_page_labels labels) {
  srv_metrics_sum_route(m, i, out);
  labels[0] = "api";
  labels[1] = out->api;
  labels[2] = "method";
  labels[3] = out->route ? out->route->method : "";
  labels[4] = "route";
  labels[5] = out->route ? out->route->path : "";
  labels[6] = NULL;
  uint64_t any = 0;
  for (size_t c = 0; c < SRV_METRICS_CODES; c++)
    any |= out->codes[c];
  return any != 0; /* routes that nobody has asked for would only make the page long */
}

static void page_requests(struct srv_page *p, const struct srv_metrics *m) {
  struct srv_metrics_route r;
  srv_page_labels labels = {NULL};
  srv_page_family(p, "vecdb_requests_total", "counter", "",
                  "Requests answered, by route and status; gRPC's statuses as HTTP's.");
  for (size_t i = 0; i < srv_metrics_routes(m); i++) {
    if (!page_route(m, i, &r, labels))
      continue;
    for (size_t c = 0; c < SRV_METRICS_CODES; c++) {
      char code[16] = "other";
      if (srv_metrics_codes[c])
        snprintf(code, sizeof code, "%d", srv_metrics_codes[c]);
      labels[6] = "code";
      labels[7] = code;
      if (r.codes[c])
        srv_page_number(p, labels, r.codes[c]);
    }
  }
  srv_page_family(p, "vecdb_request_duration_seconds", "histogram", "seconds",
                  "From when a request had come whole until its answer was made.");
  for (size_t i = 0; i < srv_metrics_routes(m); i++)
    if (page_route(m, i, &r, labels))
      srv_page_histogram(p, labels, &r.duration);
}

static void page_add(struct srv_metrics_histogram *to, const struct srv_metrics_histogram *h) {
  for (size_t i = 0; i <= SRV_METRICS_BUCKETS; i++)
    to->buckets[i] += h->buckets[i];
  to->ns += h->ns;
}

static void page_searches(struct srv_page *p, const struct srv_metrics *m) {
  struct srv_metrics_histogram all = {{0}, 0};
  struct srv_metrics_api api;
  srv_page_family(p, "vecdb_search_latency_seconds", "histogram", "seconds",
                  "Requests that searched, waiting, embedding and writing the answer included.");
  for (size_t i = 0; i < SRV_METRICS_APIS; i++) {
    srv_metrics_sum_api(m, i, &api);
    page_add(&all, &api.search);
    if (api.name && api.search.ns)
      srv_page_histogram(p, (srv_page_labels){"api", api.name}, &api.search);
  }
  srv_page_family(p, "search_latency_seconds", "histogram", "seconds",
                  "vecdb_search_latency_seconds of all dialects together.");
  srv_page_histogram(p, NULL, &all);
}

static void page_bytes(struct srv_page *p, const struct srv_metrics *m, bool in) {
  struct srv_metrics_api api;
  for (size_t i = 0; i < SRV_METRICS_APIS; i++) {
    srv_metrics_sum_api(m, i, &api);
    if (api.name)
      srv_page_number(p, (srv_page_labels){"api", api.name}, in ? api.bytes_in : api.bytes_out);
  }
}

static void page_errors(struct srv_page *p, const struct srv_metrics *m) {
  struct srv_metrics_api api;
  srv_page_family(p, "vecdb_errors_total", "counter", "",
                  "Requests that failed, by the name of the error.");
  for (size_t i = 0; i < SRV_METRICS_APIS; i++) {
    srv_metrics_sum_api(m, i, &api);
    for (size_t e = 0; api.name && e < SRV_METRICS_ERRORS; e++)
      if (api.errors[e])
        srv_page_number(p, (srv_page_labels){"api", api.name, "error", srv_metrics_error(m, e)},
                        api.errors[e]);
  }
}

static void page_server(struct srv_page *p, struct srv_server *s) {
  struct srv_metrics_histogram embedding;
  srv_page_family(p, "vecdb_build_info", "gauge", "", "The build, in labels.");
  srv_page_number(
      p, (srv_page_labels){"version", vecdb_version(), "kernels", vecdb_kernels()}, 1);
  page_requests(p, s->metrics);
  page_searches(p, s->metrics);
  page_errors(p, s->metrics);
  srv_page_family(p, "vecdb_request_bytes_total", "counter", "bytes", "Bodies of requests.");
  page_bytes(p, s->metrics, true);
  srv_page_family(p, "vecdb_response_bytes_total", "counter", "bytes",
                  "Answers, over HTTP with their headers.");
  page_bytes(p, s->metrics, false);
  srv_metrics_sum_embedding(s->metrics, &embedding);
  srv_page_family(p, "vecdb_embedding_duration_seconds", "histogram", "seconds",
                  "What the embedding service took, when it was asked.");
  srv_page_histogram(p, NULL, &embedding);
  srv_page_family(p, "vecdb_requests_in_flight", "gauge", "",
                  "Requests between their headers and their answer.");
  srv_page_number(p, NULL, atomic_load(&s->in_flight));
  srv_page_family(p, "vecdb_ready", "gauge", "", "1: requests are taken; 0: stopping.");
  srv_page_number(p, NULL, !atomic_load(&s->draining));
}

static void page_audit(struct srv_page *p, struct srv_audit *audit) {
  struct srv_audit_stats s;
  if (!audit)
    return;
  srv_audit_count(audit, &s);
  srv_page_family(p, "vecdb_audit_records_total", "counter", "",
                  "Records in the audit log since it was begun, which can never be fewer later.");
  srv_page_number(p, NULL, s.records);
  srv_page_family(p, "vecdb_audit_lost_records_total", "counter", "",
                  "Records that could not be kept until the audit log could be written.");
  srv_page_number(p, NULL, s.lost);
  srv_page_family(p, "vecdb_audit_writable", "gauge", "",
                  "0: the audit log cannot be written, and requests are refused.");
  srv_page_number(p, NULL, srv_audit_works(audit));
}

/* ---- Collections ----------------------------------------------------------------------------- */

struct page_collection {
  char name[VECDB_MAX_NAME + 1];
  vecdb_stats stats;
};

struct page_collections {
  struct page_collection *all;
  size_t n;
  size_t total;
  bool elsewhere; /* on the nodes of a cluster, which tell less of them */
  struct srv_replicas replicas;
};

static int page_name(void *user, const char *name) {
  struct page_collections *c = user;
  if (c->n < PAGE_COLLECTIONS)
    snprintf(c->all[c->n++].name, sizeof c->all[0].name, "%s", name);
  c->total++;
  return 0;
}

/* Those that are dropped meanwhile, or do not answer, are left out; in a cluster also those that
   the time did not suffice for, as nodes that hang take it for each collection. */
static void page_learn(struct srv_server *s, struct srv_arena *arena, struct page_collections *c) {
  struct engine_collection *collection;
  vecdb_error error;
  const uint64_t until_ns = srv_now_ns() + (uint64_t)PAGE_ALL_MS * 1000000;
  size_t n = 0;
  if (engine_collection_list(s->engine, page_name, c, &error) != VECDB_OK)
    c->n = 0;
  for (size_t i = 0; i < c->n && (!c->elsewhere || srv_now_ns() < until_ns); i++) {
    c->all[n] = c->all[i];
    if (engine_collection_get(s->engine, c->all[n].name, &collection, &error) != VECDB_OK)
      continue;
    c->all[n].stats = (vecdb_stats)VECDB_STATS_INIT;
    collection->how = (struct engine_how){.level = ENGINE_EVENTUAL, .timeout_ms = PAGE_MS};
    srv_replicas_learn(arena, collection, c->all[n].name, &c->replicas);
    n += engine_collection_stats(collection, &c->all[n].stats, &error) == VECDB_OK;
    engine_collection_release(collection);
  }
  c->n = n;
}

/* A number of vecdb_stats; consecutive ones of one name are one family. */
struct page_number {
  const char *name, *type, *unit, *help;
  const char *label, *value; /* beside the collection; NULL: none */
  size_t offset;
};

#define OF(member) offsetof(vecdb_stats, member)

/* Of a collection on the nodes of a cluster the first is known. */
static const struct page_number page_numbers[] = {
    {"vecdb_collection_rows", "gauge", "", "Rows: live ones, and deleted ones still in files.",
     "state", "live", OF(rows)},
    {"vecdb_collection_rows", "", "", "", "state", "deleted", OF(rows_deleted)},
    {"vecdb_collection_commits_total", "counter", "", "Writes since the start.", NULL, NULL,
     OF(commits)},
    {"vecdb_collection_searches_total", "counter", "", "Queries answered since the start.", NULL,
     NULL, OF(searches)},
    {"vecdb_background_jobs", "gauge", "", "Background work not done yet.", NULL, NULL,
     OF(jobs_pending)},
    {"vecdb_recall_checks_total", "counter", "",
     "Queries that were answered exactly, too, in the background.", NULL, NULL, OF(recall_checks)},
};

static uint64_t page_field(const struct page_collection *c, size_t offset) {
  uint64_t value;
  memcpy(&value, (const char *)&c->stats + offset, sizeof value);
  return value;
}

static void page_collection_numbers(struct srv_page *p, const struct page_collections *c) {
  size_t n_numbers = c->elsewhere ? 1 : sizeof page_numbers / sizeof page_numbers[0];
  for (size_t i = 0; i < n_numbers; i++) {
    const struct page_number *n = &page_numbers[i];
    if (*n->type)
      srv_page_family(p, n->name, n->type, n->unit, n->help);
    for (size_t k = 0; k < c->n; k++)
      srv_page_number(p, (srv_page_labels){"collection", c->all[k].name, n->label, n->value},
                      page_field(&c->all[k], n->offset));
  }
}

static void page_merges_and_recall(struct srv_page *p, const struct page_collections *c) {
  srv_page_family(p, "vecdb_merge_duration_seconds", "summary", "seconds",
                  "Merging segments, indexes included.");
  for (size_t i = 0; i < c->n; i++)
    srv_page_summary(p, (srv_page_labels){"collection", c->all[i].name}, c->all[i].stats.merges,
                     c->all[i].stats.merge_ns);
  srv_page_family(p, "vecdb_recall_ratio", "gauge", "ratio",
                  "Share of the true neighbours that checked queries found, of the last ones.");
  for (size_t i = 0; i < c->n; i++)
    if (c->all[i].stats.recall_checks)
      srv_page_value(p, "", (srv_page_labels){"collection", c->all[i].name},
                     c->all[i].stats.recall);
}

/* What the database has once, and tells with each collection. */
static void page_database(struct srv_page *p, const struct page_collections *c) {
  static const vecdb_stats none;
  const vecdb_stats *s = c->n ? &c->all[0].stats : &none;
  srv_page_family(p, "vecdb_wal_bytes", "gauge", "bytes", "The write-ahead log.");
  srv_page_number(p, NULL, s->bytes_wal);
  srv_page_family(p, "vecdb_wal_fsync_duration_seconds", "summary", "seconds",
                  "Syncs of the write-ahead log.");
  srv_page_summary(p, NULL, s->syncs, s->sync_ns);
}

/* ---- Parts ----------------------------------------------------------------------------------- */

/* What has segments: a collection, or in a cluster each replica of its shards that answers. */
struct page_part {
  const char *collection;
  char shard[PAGE_DIGITS], node[PAGE_DIGITS]; /* "": it is the collection */
  const vecdb_stats *stats;
};

struct page_parts {
  struct page_part *all;
  size_t n;
};

static bool page_find_parts(struct srv_arena *arena, const struct page_collections *c,
                            struct page_parts *parts) {
  parts->all = srv_arena_array(arena, c->n + c->replicas.n + 1, sizeof *parts->all);
  if (!parts->all)
    return false;
  for (size_t i = 0; !c->elsewhere && i < c->n; i++)
    parts->all[parts->n++] = (struct page_part){c->all[i].name, "", "", &c->all[i].stats};
  for (size_t i = 0; i < c->replicas.n; i++) {
    const struct srv_replica *r = &c->replicas.list[i];
    struct page_part *part = &parts->all[parts->n];
    if (!r->replica.reached)
      continue;
    part->collection = r->collection;
    snprintf(part->shard, sizeof part->shard, "%u", r->replica.shard);
    snprintf(part->node, sizeof part->node, "%u", r->replica.node);
    part->stats = &r->replica.stats;
    parts->n++;
  }
  return true;
}

/* Its labels, and one more. */
static void page_part_labels(const struct page_part *part, const char *label, const char *value,
                             srv_page_labels out) {
  const char *const all[] = {"collection", part->collection, "shard", part->shard,
                             "node",       part->node,       label,   value};
  size_t n = 0;
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i += 2) {
    if (!all[i] || !*all[i + 1])
      continue;
    out[n++] = all[i];
    out[n++] = all[i + 1];
  }
  out[n] = NULL;
}

static void page_part_number(struct srv_page *p, const struct page_part *part, const char *label,
                             const char *value, uint64_t number) {
  srv_page_labels labels;
  page_part_labels(part, label, value, labels);
  srv_page_number(p, labels, number);
}

static void page_memory(struct srv_page *p, const struct page_parts *parts) {
  srv_page_family(p, "vecdb_memory_bytes", "gauge", "bytes",
                  "Rows not sealed yet, in memory; and mapped files, of rows and of indexes, which "
                  "the system keeps in memory as far as they are used and it has room.");
  for (size_t i = 0; i < parts->n; i++) {
    const struct page_part *part = &parts->all[i];
    const vecdb_stats *s = part->stats;
    page_part_number(p, part, "purpose", "growing", s->bytes_memory);
    page_part_number(p, part, "purpose", "index", s->bytes_index);
    page_part_number(p, part, "purpose", "rows", s->bytes_files - s->bytes_index);
  }
}

static void page_segments(struct srv_page *p, const struct page_parts *parts) {
  srv_page_family(p, "vecdb_collection_segments", "gauge", "",
                  "Segments: growing in memory, sealed in files with all indexes they should "
                  "have, and sealed without.");
  for (size_t i = 0; i < parts->n; i++) {
    const struct page_part *part = &parts->all[i];
    const vecdb_stats *s = part->stats;
    page_part_number(p, part, "state", "growing", s->segments_growing);
    page_part_number(p, part, "state", "indexed", s->segments_indexed);
    page_part_number(p, part, "state", "unindexed", s->segments_sealed - s->segments_indexed);
  }
}

static void page_work(struct srv_page *p, const struct page_parts *parts) {
  srv_page_labels labels;
  srv_page_family(p, "vecdb_compaction_debt_bytes", "gauge", "bytes",
                  "Segments that background merging is to write anew.");
  for (size_t i = 0; i < parts->n; i++)
    page_part_number(p, &parts->all[i], NULL, NULL, parts->all[i].stats->merge_bytes);
  srv_page_family(p, "vecdb_index_build_duration_seconds", "summary", "seconds",
                  "Building the indexes of segments.");
  for (size_t i = 0; i < parts->n; i++) {
    const vecdb_stats *s = parts->all[i].stats;
    page_part_labels(&parts->all[i], NULL, NULL, labels);
    srv_page_summary(p, labels, s->index_builds, s->index_build_ns);
  }
}

/* Collections of a cluster have their rows counted once, each replica its own. */
static void page_replica_rows(struct srv_page *p, const struct page_parts *parts) {
  srv_page_family(p, "vecdb_replica_rows", "gauge", "", "Live rows of a replica of a shard.");
  for (size_t i = 0; i < parts->n; i++)
    page_part_number(p, &parts->all[i], NULL, NULL, parts->all[i].stats->rows);
}

/* ---- Memory of the database ------------------------------------------------------------------ */

struct page_purpose {
  const char *name;
  size_t offset;
};

static void page_of_caches(struct srv_page *p, uint64_t results, uint64_t vectors) {
  srv_page_number(p, (srv_page_labels){"purpose", "results"}, results);
  srv_page_number(p, (srv_page_labels){"purpose", "vectors"}, vectors);
}

/* What the caches of results and of vectors are good for. */
static void page_caches(struct srv_page *p, const vecdb_memory *m) {
  srv_page_family(p, "vecdb_cache_hits_total", "counter", "",
                  "What a cache had, by what it holds: results of searches, or blocks of vectors.");
  page_of_caches(p, m->cache_hits, m->vector_hits);
  srv_page_family(p, "vecdb_cache_misses_total", "counter", "", "What a cache had not.");
  page_of_caches(p, m->cache_misses, m->vector_misses);
  srv_page_family(p, "vecdb_cache_entries", "gauge", "", "What a cache holds now.");
  page_of_caches(p, m->cache_entries, m->vector_entries);
}

/* Every byte of the database, by what it is for, and its caches. */
static void page_purposes(struct srv_page *p, struct engine *engine) {
  static const struct page_purpose purposes[] = {
      {"rows", offsetof(vecdb_memory, rows)},
      {"writes", offsetof(vecdb_memory, writes)},
      {"files", offsetof(vecdb_memory, files)},
      {"indexes", offsetof(vecdb_memory, indexes)},
      {"builds", offsetof(vecdb_memory, builds)},
      {"searches", offsetof(vecdb_memory, searches)},
      {"results", offsetof(vecdb_memory, results)},
      {"cache", offsetof(vecdb_memory, cache)},
      {"vectors", offsetof(vecdb_memory, vectors)},
      {"other", offsetof(vecdb_memory, other)},
  };
  vecdb_memory m = VECDB_MEMORY_INIT;
  vecdb_error ignored;
  if (engine_memory_stats(engine, &m, &ignored) != VECDB_OK)
    return; /* the memory of a cluster is its nodes' */
  srv_page_family(p, "vecdb_allocated_bytes", "gauge", "bytes",
                  "Memory that the database has allocated, mapped files aside, by what it is for.");
  for (size_t i = 0; i < sizeof purposes / sizeof purposes[0]; i++) {
    uint64_t bytes;
    memcpy(&bytes, (const char *)&m + purposes[i].offset, sizeof bytes);
    srv_page_number(p, (srv_page_labels){"purpose", purposes[i].name}, bytes);
  }
  srv_page_family(p, "vecdb_memory_limit_bytes", "gauge", "bytes",
                  "What it may allocate (storage.memory); 0: no limit.");
  srv_page_number(p, NULL, m.limit);
  srv_page_family(p, "vecdb_memory_refused_total", "counter", "",
                  "Requests for memory that the limit did not allow.");
  srv_page_number(p, NULL, m.refused);
  page_caches(p, &m);
}

/* What the nodes of a cluster do not tell is not there: a 0 would be a lie. */
static void page_of_collections(struct srv_page *p, const struct page_collections *c,
                             const struct page_parts *parts) {
  srv_page_family(p, "vecdb_collections", "gauge", "", "Collections.");
  srv_page_number(p, NULL, c->total);
  page_collection_numbers(p, c);
  page_memory(p, parts);
  page_segments(p, parts);
  page_work(p, parts);
  if (c->elsewhere) {
    page_replica_rows(p, parts);
  } else {
    page_database(p, c);
    page_merges_and_recall(p, c);
  }
}

void srv_metrics_page(struct srv_call *call) {
  const char *accept = call->header ? call->header(call, "Accept") : NULL;
  struct srv_page page = {.arena = &call->arena};
  struct page_collections c = {
      srv_arena_array(&call->arena, PAGE_COLLECTIONS, sizeof *c.all), 0, 0,
      *call->server->config.nodes != '\0', {NULL, 0}};
  struct page_parts parts = {NULL, 0};
  if (c.all)
    page_learn(call->server, &call->arena, &c);
  if (!c.all || !page_find_parts(&call->arena, &c, &parts)) {
    srv_call_no_memory(call);
    return;
  }
  page.open_metrics = accept && strstr(accept, "application/openmetrics-text");
  page_server(&page, call->server);
  page_audit(&page, call->server->audit);
  page_of_collections(&page, &c, &parts);
  page_purposes(&page, call->server->engine);
  srv_replicas_page(&page, &c.replicas);
  srv_edge_page(&page, call->server->engine);
  srv_process_page(&page);
  srv_gpus_page(call->server->gpus, &page);
  srv_page_end(&page);
  if (page.failed) {
    srv_call_no_memory(call);
    return;
  }
  call->status = 200;
  call->text = page.text;
  call->text_bytes = page.n;
  call->content_type = page.open_metrics
                           ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                           : "text/plain; version=0.0.4; charset=utf-8";
}
