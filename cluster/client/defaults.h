/* defaults.h - defaults that are computed, as values of the rows that are about to be written. */
#ifndef CLUSTER_CLIENT_DEFAULTS_H
#define CLUSTER_CLIENT_DEFAULTS_H

#include "wire/columns.h"

/*
 * What vecdb.h says of VECDB_DEFAULT_NOW and VECDB_DEFAULT_UUID, done before anything is sent: all
 * replicas have the same values, and so have later tries. `whole`: the rows are new or replace
 * others; otherwise fields without a column stay as they are. Columns that change lie in `mem`, and
 * borrow nothing from the schema.
 */
int defaults_fill(const vecdb_schema *schema, bool whole, struct wire_mem *mem,
                  struct wire_columns *rows, vecdb_error *error);
/* A field of those that has no column; NULL: none. */
const char *defaults_missing(const vecdb_schema *schema, const struct wire_columns *rows);

#endif
