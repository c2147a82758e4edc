/*
 * json.c - what filters over paths of a JSON field cost a row, beside one over a field of its own,
 * and how fast such rows are written.
 *
 *   json [--rows N] [--dir DIR]
 *
 * A text has ten keys and about 320 bytes. Rows lie in one sealed segment, the scalar field has no
 * index. The best of five counts; one JSON line per filter. Then one line with a filter that one
 * row in a hundred passes, read from the texts and by an index of the path.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_util.h"

enum { JSON_TEXT = 512, JSON_BATCH = 1000, JSON_ROUNDS = 5 };

static const char *const json_filters[] = {
    "n > 1000",
    "j['title'] like 'document number 7%'",
    "j['author']['age'] == 42",
    "j['score'] < 10.5",
    "j['year'] == 2001",
    "j['views'] > 50000",
    "json_contains(j['tags'], 'tag3')",
    "exists j['none']",
};

static void json_text(char out[JSON_TEXT], uint32_t i) {
  snprintf(out, JSON_TEXT,
           "{\"title\": \"document number %u of the collection\", \"author\": {\"name\": "
           "\"Author %u\", \"age\": %u}, \"tags\": [\"tag%u\", \"tag%u\", \"common\"], "
           "\"score\": %u.%u, \"year\": %u, \"published\": %s, \"description\": \"Some longer "
           "text that says what the document is about, in two or three lines of words.\", "
           "\"lang\": \"en\", \"views\": %u}",
           i, i % 1000, 20 + i % 60, i % 10, i % 7, i / 1000, i % 1000, 1950 + i % 75,
           i % 2 ? "true" : "false", i * 37 % 100000);
}

static vecdb_collection *json_create(vecdb *db) {
  const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = "n", .type = VECDB_INT64, .scalar_index = VECDB_SCALAR_INDEX_NONE},
      {.name = "j", .type = VECDB_JSON},
      {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = 1}};
  vecdb_schema schema = {sizeof schema, sizeof *fields, NULL, fields, 4};
  vecdb_collection *coll;
  vecdb_error error;
  bench_check(vecdb_collection_create(db, "bench", &schema, &coll, &error), "create", &error);
  return coll;
}

/* Writes the rows; bytes of their texts. */
static double json_load(vecdb_collection *coll, uint32_t rows) {
  char(*texts)[JSON_TEXT] = bench_alloc(JSON_BATCH * sizeof *texts);
  const char *at[JSON_BATCH];
  int64_t ids[JSON_BATCH];
  float v[JSON_BATCH];
  double bytes = 0;
  for (uint32_t first = 0; first < rows; first += JSON_BATCH) {
    uint32_t n = rows - first < JSON_BATCH ? rows - first : JSON_BATCH;
    for (uint32_t i = 0; i < n; i++) {
      json_text(texts[i], first + i);
      at[i] = texts[i];
      ids[i] = first + i;
      v[i] = 1;
      bytes += (double)strlen(texts[i]);
    }
    const vecdb_column columns[] = {{.field = "id", .data = ids},
                                    {.field = "n", .data = ids},
                                    {.field = "j", .data = at},
                                    {.field = "v", .data = v}};
    vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 4, n};
    vecdb_error error;
    bench_check(vecdb_insert(coll, &batch, NULL, &error), "insert", &error);
  }
  free(texts);
  return bytes;
}

/* The seconds of the best count. */
static double json_best(vecdb_collection *coll, const char *text, uint64_t *count) {
  vecdb_filter filter = {.text = text};
  double best = 0;
  for (int round = 0; round < JSON_ROUNDS; round++) {
    vecdb_error error;
    double start = bench_now();
    bench_check(vecdb_count(coll, &filter, count, &error), "count", &error);
    double seconds = bench_now() - start;
    best = round == 0 || seconds < best ? seconds : best;
  }
  return best;
}

static void json_ask(vecdb_collection *coll, const char *text, uint32_t rows) {
  uint64_t count = 0;
  double best = json_best(coll, text, &count);
  printf("{\"filter\": \"%s\", \"rows\": %u, \"pass\": %llu, \"ns_per_row\": %.1f}\n", text, rows,
         (unsigned long long)count, best / rows * 1e9);
}

static void json_index(vecdb_collection *coll, uint32_t rows) {
  static const char filter[] = "j['views'] >= 99000";
  const vecdb_json_index index = {"['views']", VECDB_DOUBLE};
  uint64_t count = 0, indexed = 0;
  vecdb_error error;
  double texts = json_best(coll, filter, &count), start = bench_now();
  bench_check(vecdb_json_index_create(coll, "j", &index, NULL, &error), "index", &error);
  bench_check(vecdb_compact(coll, NULL, &error), "compact", &error);
  double built = bench_now() - start, found = json_best(coll, filter, &indexed);
  printf("{\"filter\": \"%s\", \"rows\": %u, \"pass\": %llu, \"pass_indexed\": %llu, "
         "\"ms\": %.3f, \"ms_indexed\": %.3f, \"rows_per_second\": %.3g, "
         "\"rows_per_second_indexed\": %.3g, \"index_and_compact_seconds\": %.3f}\n",
         filter, rows, (unsigned long long)count, (unsigned long long)indexed, texts * 1e3,
         found * 1e3, rows / texts, rows / found, built);
}

int main(int argc, char **argv) {
  uint32_t rows = 100000;
  const char *dir = NULL;
  for (int i = 1; i < argc; i += 2) {
    if (i + 1 < argc && strcmp(argv[i], "--rows") == 0)
      rows = (uint32_t)strtoul(argv[i + 1], NULL, 10);
    else if (i + 1 < argc && strcmp(argv[i], "--dir") == 0)
      dir = argv[i + 1];
    else
      rows = 0;
  }
  if (rows == 0) {
    fprintf(stderr, "usage: json [--rows N] [--dir DIR]\n");
    return 2;
  }
  char *path = bench_path(dir);
  vecdb_error error;
  vecdb *db = bench_open(path, rows, 0);
  vecdb_collection *coll = json_create(db);
  double start = bench_now(), bytes = json_load(coll, rows), seconds = bench_now() - start;
  printf("{\"load_rows_per_second\": %.0f, \"bytes_per_text\": %.0f}\n", rows / seconds,
         bytes / rows);
  bench_check(vecdb_compact(coll, NULL, &error), "compact", &error);
  for (size_t i = 0; i < sizeof json_filters / sizeof *json_filters; i++)
    json_ask(coll, json_filters[i], rows);
  json_index(coll, rows);
  vecdb_collection_release(coll);
  bench_check(vecdb_close(db, &error), "close", &error);
  bench_remove(path);
  free(path);
  return 0;
}
