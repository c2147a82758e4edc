/*
 * demo.c - the main job on real data: 20,000 passages with metadata go into a database, get an
 * index, and 60 questions in natural language are answered, with and without filters.
 *
 * Usage: demo [DATA [DATABASE [FILTER]]]   (examples/data, build/demo-db, none)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "demo_data.h"
#include "demo_print.h"
#include "vecdb.h"

enum { K = 10, SHOWN = 3, BATCH = 1000, WIDTH = 88, MAX_QUESTIONS = 1000 };

struct demo {
  const char *folder; /* of the database */
  struct demo_passages passages;
  struct demo_questions questions;
  vecdb *db;
  vecdb_collection *coll;
  vecdb_error error;
};

/* A question to show in full. */
struct demo_case {
  const char *question;
  const char *filter;
  const vecdb_param *params;
  size_t n_params;
};

/* How one question was answered, and how well. */
struct demo_answer {
  vecdb_hit hits[K];
  uint32_t n;
  vecdb_search_info info;
  double exact_ns;
  uint32_t expected; /* hits of the exact search */
  uint32_t found;    /* of these, in hits */
};

/* Prints what went wrong; with a filter, the place in it. Always false. */
static bool demo_fail(const struct demo *d, const char *what, const char *filter) {
  const vecdb_error *e = &d->error;
  fprintf(stderr, "demo: %s: %s (%s)\n", what, e->message, vecdb_status_name(e->code));
  if (filter && e->position >= 0)
    fprintf(stderr, "  %s\n  %*s^\n", filter, (int)e->position, "");
  if (e->code == VECDB_ERR_CORRUPT || e->code == VECDB_ERR_NEWER_FORMAT)
    fprintf(stderr, "demo: remove the folder %s and run again\n", d->folder);
  return false;
}

static bool demo_create(struct demo *d) {
  static const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY | VECDB_AUTO_ID},
      {.name = "package", .type = VECDB_VARCHAR, .max_length = 128},
      {.name = "section", .type = VECDB_VARCHAR, .max_length = 64, .flags = VECDB_NULLABLE},
      {.name = "priority", .type = VECDB_VARCHAR, .max_length = 16},
      {.name = "installed_kb", .type = VECDB_INT64},
      {.name = "download_bytes", .type = VECDB_INT64},
      {.name = "tags", .type = VECDB_ARRAY, .element_type = VECDB_VARCHAR, .max_length = 64,
       .max_capacity = 16},
      {.name = "text", .type = VECDB_VARCHAR, .max_length = 1024},
      {.name = "embedding", .type = VECDB_FLOAT_VECTOR, .dim = 384, .metric = VECDB_COSINE},
  };
  vecdb_schema schema = VECDB_SCHEMA_INIT;
  schema.fields = fields;
  schema.n_fields = sizeof fields / sizeof *fields;
  int rc = vecdb_collection_drop(d->db, "passages", &d->error); /* of an earlier run */
  if (rc && rc != VECDB_ERR_NOT_FOUND)
    return demo_fail(d, "dropping the old collection", NULL);
  if (vecdb_collection_create(d->db, "passages", &schema, &d->coll, &d->error))
    return demo_fail(d, "creating the collection", NULL);
  return true;
}

/* Inserts n passages from `first` on: the columns of the batch point into the data as it is. */
static int demo_insert(struct demo *d, uint32_t first, uint32_t n) {
  const struct demo_passages *p = &d->passages;
  const vecdb_column columns[] = {
      {.field = "package", .data = &p->package[first]},
      {.field = "section", .data = &p->section[first], .valid = &p->has_section[first]},
      {.field = "priority", .data = &p->priority[first]},
      {.field = "installed_kb", .data = &p->installed_kb[first]},
      {.field = "download_bytes", .data = &p->download_bytes[first]},
      {.field = "tags", .data = &p->tags[first], .lengths = &p->n_tags[first]},
      {.field = "text", .data = &p->text[first]},
      {.field = "embedding", .data = &p->vectors[(size_t)first * p->dim], .dim = p->dim},
  };
  vecdb_batch batch = VECDB_BATCH_INIT;
  batch.columns = columns;
  batch.n_columns = sizeof columns / sizeof *columns;
  batch.n_rows = n;
  return vecdb_insert(d->coll, &batch, NULL, &d->error);
}

static bool demo_ingest(struct demo *d) {
  struct demo_bar bar;
  uint32_t n = d->passages.n;
  demo_bar_start(&bar, "ingest");
  for (uint32_t first = 0; first < n; first += BATCH) {
    if (demo_insert(d, first, n - first < BATCH ? n - first : BATCH))
      return demo_fail(d, "inserting", NULL);
    demo_bar_draw(&bar, first, n);
  }
  char note[240];
  snprintf(note, sizeof note, "%s rows, %s rows/s; batches of %s, each durable",
           demo_count(n).s, demo_count((uint64_t)(n / (demo_now() - bar.start))).s,
           demo_count(BATCH).s);
  demo_bar_end(&bar, note);
  return true;
}

static int demo_progress(void *user, const char *phase, uint64_t done, uint64_t total) {
  if (strcmp(phase, "build") == 0)
    demo_bar_draw(user, done, total);
  return 0;
}

/* Seals the rows into one segment and builds its index. In a long-lived program the database does
   this by itself in the background; the demo wants it now, and shown. */
static bool demo_index(struct demo *d) {
  struct demo_bar bar;
  demo_bar_start(&bar, "index");
  vecdb_control control = VECDB_CONTROL_INIT;
  control.progress = demo_progress;
  control.user = &bar;
  vecdb_stats stats = VECDB_STATS_INIT;
  if (vecdb_compact(d->coll, &control, &d->error) ||
      vecdb_collection_stats(d->coll, &stats, &d->error))
    return demo_fail(d, "building the index", NULL);
  char note[240];
  snprintf(note, sizeof note, "%u segment, HNSW; files %s, of these the index %s",
           stats.segments_sealed, demo_bytes(stats.bytes_files).s, demo_bytes(stats.bytes_index).s);
  demo_bar_end(&bar, note);
  return true;
}

static bool demo_close(struct demo *d) {
  vecdb_collection_release(d->coll);
  d->coll = NULL;
  vecdb *db = d->db;
  d->db = NULL;
  return vecdb_close(db, &d->error) == VECDB_OK || demo_fail(d, "closing", NULL);
}

/* Hits of the exact answer that are in the other one. */
static uint32_t demo_common(const vecdb_hit *exact, uint32_t n_exact, const vecdb_hit *hits,
                            uint32_t n) {
  uint32_t common = 0;
  for (uint32_t i = 0; i < n_exact; i++)
    for (uint32_t j = 0; j < n; j++)
      common += exact[i].id == hits[j].id;
  return common;
}

/* Answers question q as the database likes best, and once more exactly. rows may be NULL. */
static bool demo_ask(struct demo *d, uint32_t q, const vecdb_filter *filter,
                     struct demo_answer *answer, vecdb_rows **rows) {
  static const char *const fields[] = {"package", "section", "installed_kb", "tags", "text"};
  vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
  params.k = K;
  params.queries = d->questions.vectors + (size_t)q * d->questions.dim;
  params.dim = d->questions.dim;
  params.filter = *filter;
  params.fields = fields;
  params.n_fields = sizeof fields / sizeof *fields;
  vecdb_search_info exact_info = VECDB_SEARCH_INFO_INIT, info = VECDB_SEARCH_INFO_INIT;
  vecdb_hit exact[K];
  answer->info = info;
  int rc = vecdb_search(d->coll, &params, answer->hits, &answer->n, &answer->info, rows, &d->error);
  params.plan = VECDB_PLAN_EXACT;
  if (!rc)
    rc = vecdb_search(d->coll, &params, exact, &answer->expected, &exact_info, NULL, &d->error);
  if (rc)
    return demo_fail(d, "searching", filter->text);
  answer->exact_ns = (double)exact_info.elapsed_ns;
  answer->found = demo_common(exact, answer->expected, answer->hits, answer->n);
  return true;
}

/* Opens the database again, as the next program would, and times the way to the first answer. */
static bool demo_reopen(struct demo *d) {
  double start = demo_now();
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.flags = VECDB_MUST_EXIST;
  if (vecdb_open(d->folder, &options, &d->db, &d->error) ||
      vecdb_collection_get(d->db, "passages", &d->coll, &d->error))
    return demo_fail(d, "opening again", NULL);
  double opened = demo_now() - start;
  struct demo_answer answer;
  vecdb_filter all = {NULL, 0, NULL, 0};
  if (!demo_ask(d, 0, &all, &answer, NULL))
    return false;
  double first = opened + (double)answer.info.elapsed_ns / 1e9;
  printf("  %-8s %10s   after closing; the first answer came at %s\n", "reopen",
         demo_seconds(opened).s, demo_seconds(first).s);
  return true;
}

static const char *demo_plan(const vecdb_search_info *info) {
  const uint32_t counts[] = {info->segments_exact, info->segments_graph, info->segments_late,
                             info->segments_codes};
  static const char *const names[] = {"exact scan", "graph", "late filter", "scan of codes"};
  const char *plan = "no rows";
  for (int i = 0, kinds = 0; i < 4; i++)
    if (counts[i] > 0)
      plan = kinds++ ? "mixed" : names[i];
  return plan;
}

static void demo_print_tags(const vecdb_value *tags) {
  const vecdb_string *tag = tags->as.data;
  for (uint32_t i = 0; i < tags->length; i++)
    printf("%s%.*s", i ? ", " : "  |  ", (int)tag[i].length, tag[i].data);
}

static void demo_print_hit(const vecdb_rows *rows, const vecdb_hit *hit, unsigned rank) {
  vecdb_value value[5]; /* in the order of `fields` in demo_ask, after the key */
  for (size_t c = 0; c < 5; c++)
    value[c] = vecdb_rows_value(rows, hit->row, c + 1);
  printf("  %2u. %.3f  %.*s  |  %.*s  |  %s KiB", rank, (double)hit->score, (int)value[0].length,
         (const char *)value[0].as.data, value[1].type ? (int)value[1].length : 4,
         value[1].type ? (const char *)value[1].as.data : "none",
         demo_count((uint64_t)value[2].as.integer).s);
  demo_print_tags(&value[3]);
  printf("\n");
  demo_wrap(value[4].as.data, value[4].length, 13, WIDTH, 2);
}

static bool demo_show(struct demo *d, const struct demo_case *c) {
  uint32_t q = 0;
  while (q + 1 < d->questions.n && strcmp(d->questions.text[q], c->question) != 0)
    q++;
  vecdb_filter filter = {c->filter, 0, c->params, c->n_params};
  struct demo_answer answer;
  vecdb_rows *rows = NULL;
  uint64_t passing;
  if (vecdb_count(d->coll, &filter, &passing, &d->error))
    return demo_fail(d, "counting", c->filter);
  if (!demo_ask(d, q, &filter, &answer, &rows))
    return false;
  printf("\n? %s\n", d->questions.text[q]);
  if (c->filter) {
    printf("  filter: %s", c->filter);
    for (size_t i = 0; i < c->n_params; i++)
      printf("%s{%s} = %lld", i ? ", " : "   with ", c->params[i].name,
             (long long)c->params[i].value.as.integer);
    printf("\n");
  }
  printf("  %s by %s; %s rows pass, %s vectors compared; recall %u of %u\n",
         demo_seconds((double)answer.info.elapsed_ns / 1e9).s, demo_plan(&answer.info),
         demo_count(passing).s, demo_count(answer.info.distances).s, answer.found,
         answer.expected);
  for (uint32_t i = 0; i < answer.n && i < SHOWN; i++)
    demo_print_hit(rows, &answer.hits[i], i + 1);
  vecdb_rows_free(rows);
  return true;
}

static bool demo_show_all(struct demo *d) {
  static const vecdb_param limit = {"limit", {.type = VECDB_INT64, .as.integer = 2000}};
  static const struct demo_case cases[] = {
      {"tool to watch network traffic and capture packets", NULL, NULL, 0},
      {"play chess against the computer", "section == \"games\"", NULL, 0},
      {"convert video files between formats", "installed_kb < 1000", NULL, 0},
      {"library for reading pdf files", "array_contains(tags, \"python\")", NULL, 0},
      {"fonts for asian languages", "package like \"fonts-%\" and installed_kb < {limit}", &limit,
       1},
      {"a lisp interpreter", "not (section in [\"lisp\", \"doc\"]) and installed_kb > 10000", NULL,
       0},
  };
  printf("\nQuestions, the best %d of %d hits each (score: cosine)\n", SHOWN, K);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    if (!demo_show(d, &cases[i]))
      return false;
  return true;
}

static int demo_compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* One line of the table: all questions under one filter. */
static bool demo_table_row(struct demo *d, const char *text) {
  vecdb_filter filter = {text, 0, NULL, 0};
  double ns[MAX_QUESTIONS], exact_ns[MAX_QUESTIONS];
  uint64_t expected = 0, found = 0, passing;
  const char *plan = NULL;
  if (vecdb_count(d->coll, &filter, &passing, &d->error))
    return demo_fail(d, "counting", text);
  uint32_t n = d->questions.n < MAX_QUESTIONS ? d->questions.n : MAX_QUESTIONS;
  for (uint32_t q = 0; q < n; q++) {
    struct demo_answer answer;
    if (!demo_ask(d, q, &filter, &answer, NULL))
      return false;
    ns[q] = (double)answer.info.elapsed_ns;
    exact_ns[q] = answer.exact_ns;
    expected += answer.expected;
    found += answer.found;
    const char *this_plan = demo_plan(&answer.info);
    plan = !plan || strcmp(plan, this_plan) == 0 ? this_plan : "varies";
  }
  qsort(ns, n, sizeof *ns, demo_compare);
  qsort(exact_ns, n, sizeof *exact_ns, demo_compare);
  printf("  %-34s %8s  %-11s %10s %10s   %.4f\n", text ? text : "(none)", demo_count(passing).s,
         plan, demo_seconds(ns[n / 2] / 1e9).s, demo_seconds(exact_ns[n / 2] / 1e9).s,
         expected ? (double)found / (double)expected : 1.0);
  return true;
}

static bool demo_table(struct demo *d, const char *own) {
  static const char *const filters[] = {NULL,
                                        "installed_kb < 1000",
                                        "section in [\"perl\", \"python\"]",
                                        "section == \"games\"",
                                        "array_contains(tags, \"python\")",
                                        "installed_kb > 200000"};
  printf("\nAll %u questions, the %d best hits, one thread; median times\n\n", d->questions.n, K);
  printf("  %-34s %8s  %-11s %10s %10s   %s\n", "filter", "rows", "plan", "time", "exact",
         "recall");
  for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
    if (!demo_table_row(d, filters[i]))
      return false;
  return !own || demo_table_row(d, own);
}

/* What the library says about a search before it runs it. */
static bool demo_explain(struct demo *d, const char *filter) {
  char text[4096];
  vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
  params.k = K;
  params.queries = d->questions.vectors;
  params.filter.text = filter;
  if (vecdb_explain(d->coll, &params, text, sizeof text, NULL, &d->error))
    return demo_fail(d, "explaining", filter);
  printf("\nWhat vecdb_explain says about %s\n\n", filter);
  for (const char *line = text; *line;) {
    size_t n = strcspn(line, "\n"), indent = strspn(line, " ");
    demo_wrap(line + indent, n - indent, 2 + (int)indent, WIDTH, 4);
    line += n + (line[n] == '\n');
  }
  return true;
}

static bool demo_run(struct demo *d, const char *data, const char *own) {
  if (!demo_passages_read(data, &d->passages) || !demo_questions_read(data, &d->questions))
    return false;
  printf("vecdb %s (%s kernels), database in %s\n", vecdb_version(), vecdb_kernels(), d->folder);
  printf("%s passages of Debian package descriptions, embedded in %u dimensions\n\n",
         demo_count(d->passages.n).s, d->passages.dim);
  if (vecdb_open(d->folder, NULL, &d->db, &d->error))
    return demo_fail(d, "opening", NULL);
  if (!demo_create(d))
    return false;
  uint64_t ignored;
  vecdb_filter filter = {own, 0, NULL, 0};
  if (vecdb_count(d->coll, &filter, &ignored, &d->error)) /* a mistaken filter is told at once */
    return demo_fail(d, "your filter", own);
  if (!demo_ingest(d) || !demo_index(d) || !demo_close(d) || !demo_reopen(d))
    return false;
  if (!demo_show_all(d) || !demo_table(d, own) || !demo_explain(d, "section == \"games\""))
    return false;
  printf("\nNext\n"
         "  your own filter    build/examples/demo examples/data %s 'section == \"math\"'\n"
         "  short programs     examples/README.md; `make examples` builds them\n"
         "  the interface      vecdb.h, and README.md for how to link\n",
         d->folder);
  return demo_close(d);
}

int main(int argc, char **argv) {
  struct demo d = {.folder = argc > 2 ? argv[2] : "build/demo-db"};
  bool ok = demo_run(&d, argc > 1 ? argv[1] : "examples/data", argc > 3 ? argv[3] : NULL);
  vecdb_collection_release(d.coll);
  vecdb_close(d.db, NULL);
  demo_passages_free(&d.passages);
  demo_questions_free(&d.questions);
  return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
