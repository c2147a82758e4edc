/*
 * backup.c - copies an open database to a new folder, restores it from there to another, and checks
 * what came back. It works in a new folder under build/.
 */
#include "check.h"

static int progress(void *user, const char *phase, uint64_t done, uint64_t total) {
  (void)user;
  printf("  %s: %llu of %llu\n", phase, (unsigned long long)done, (unsigned long long)total);
  return 0; /* anything else cancels */
}

static void fill(vecdb *db, uint32_t n, vecdb_error *error) {
  const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY | VECDB_AUTO_ID},
      {.name = "embedding", .type = VECDB_FLOAT_VECTOR, .dim = 1, .metric = VECDB_L2},
  };
  vecdb_schema schema = {sizeof schema, sizeof *fields, NULL, fields, 2};
  vecdb_collection *coll;
  check(vecdb_collection_create(db, "numbers", &schema, &coll, error), error);
  for (uint32_t i = 0; i < n; i++) {
    float value = (float)i;
    vecdb_column column = {.field = "embedding", .data = &value};
    vecdb_batch batch = {sizeof batch, sizeof column, &column, 1, 1};
    check(vecdb_insert(coll, &batch, NULL, error), error);
  }
  vecdb_collection_release(coll);
}

/* Opens a database, checks every byte of it, and counts its rows. */
static void inspect(const char *folder, vecdb_error *error) {
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.flags = VECDB_READ_ONLY | VECDB_MUST_EXIST;
  vecdb *db;
  vecdb_collection *coll;
  uint64_t rows;
  check(vecdb_open(folder, &options, &db, error), error);
  check(vecdb_check(db, NULL, NULL, NULL, error), error);
  check(vecdb_collection_get(db, "numbers", &coll, error), error);
  check(vecdb_count(coll, NULL, &rows, error), error);
  printf("%s is sound: %llu rows\n", folder, (unsigned long long)rows);
  vecdb_collection_release(coll);
  check(vecdb_close(db, error), error);
}

int main(void) {
  char parent[] = "build/backup-XXXXXX", live[64], copy[64], restored[64];
  if (!mkdtemp(parent)) {
    perror(parent);
    return EXIT_FAILURE;
  }
  snprintf(live, sizeof live, "%s/live", parent);
  snprintf(copy, sizeof copy, "%s/copy", parent);
  snprintf(restored, sizeof restored, "%s/restored", parent);

  vecdb_error error;
  vecdb *db;
  check(vecdb_open(live, NULL, &db, &error), &error);
  fill(db, 100, &error);
  vecdb_control control = VECDB_CONTROL_INIT;
  control.progress = progress;
  check(vecdb_backup(db, copy, &control, &error), &error); /* the database stays open and in use */
  check(vecdb_close(db, &error), &error);

  check(vecdb_restore(copy, restored, NULL, &error), &error);
  inspect(restored, &error);
  return 0;
}
