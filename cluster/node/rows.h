/* rows.h - what the library found as columns of a message. */
#ifndef CLUSTER_NODE_ROWS_H
#define CLUSTER_NODE_ROWS_H

#include "wire/columns.h"

/* They borrow from `rows`. False: no memory. */
bool rows_columns(const vecdb_rows *rows, struct wire_mem *mem, struct wire_columns *out);

#endif
