/*
 * reader.c - one writer and a reader of the same folder, each a process. The reader takes no lock
 * and sees a write once it has looked again; it could as well serve a copy of the folder.
 */
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

static const char folder[] = "build/reader.vecdb";

static void write_row(vecdb_collection *coll, int64_t id, vecdb_error *error) {
  const float place[] = {(float)id, 1};
  const vecdb_column columns[] = {{.field = "id", .data = &id},
                                  {.field = "place", .data = place}};
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 2, 1};
  check(vecdb_upsert(coll, &batch, NULL, error), error);
}

/* The writing process: a row for each byte that it is sent, which it sends back then. */
static void write_rows(int in, int out) {
  const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = "place", .type = VECDB_FLOAT_VECTOR, .dim = 2, .metric = VECDB_L2}};
  vecdb_schema schema = {sizeof schema, sizeof *fields, NULL, fields, 2};
  vecdb_error error;
  vecdb *db;
  vecdb_collection *coll;
  char id;
  check(vecdb_open(folder, NULL, &db, &error), &error);
  vecdb_collection_drop(db, "places", NULL); /* of an earlier run */
  check(vecdb_collection_create(db, "places", &schema, &coll, &error), &error);
  while (read(in, &id, 1) == 1) {
    write_row(coll, id, &error);
    if (write(out, &id, 1) != 1)
      break;
  }
  vecdb_collection_release(coll);
  check(vecdb_close(db, &error), &error);
}

static void read_rows(int in, int out) {
  vecdb_options options = VECDB_OPTIONS_INIT;
  vecdb_error error;
  vecdb *db = NULL;
  vecdb_collection *coll = NULL;
  uint64_t rows = 0;
  options.flags = VECDB_READ_ONLY; /* with VECDB_FOLLOW a thread looks again by itself */
  for (char id = 1; id <= 3; id++) {
    if (write(out, &id, 1) != 1 || read(in, &id, 1) != 1)
      exit(EXIT_FAILURE);
    if (!db) {
      check(vecdb_open(folder, &options, &db, &error), &error);
      check(vecdb_collection_get(db, "places", &coll, &error), &error);
    }
    check(vecdb_refresh(db, 0, NULL, &error), &error);
    check(vecdb_count(coll, NULL, &rows, &error), &error);
    printf("row %d is written: the reader sees %llu\n", id, (unsigned long long)rows);
  }
  vecdb_collection_release(coll);
  check(vecdb_close(db, &error), &error);
}

int main(void) {
  int questions[2], answers[2];
  if (pipe(questions) != 0 || pipe(answers) != 0)
    return EXIT_FAILURE;
  pid_t writer = fork(); /* before anything is opened: a child may not use handles */
  if (writer < 0)
    return EXIT_FAILURE;
  close(questions[writer == 0]);
  close(answers[writer != 0]);
  if (writer == 0) {
    write_rows(questions[0], answers[1]);
    return 0;
  }
  read_rows(answers[0], questions[1]);
  close(questions[1]);
  return waitpid(writer, NULL, 0) == writer ? 0 : EXIT_FAILURE;
}
