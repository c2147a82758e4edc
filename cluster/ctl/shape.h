/* shape.h - one change of a schema (wire/reshape.h), done to a collection of the library. */
#ifndef CLUSTER_CTL_SHAPE_H
#define CLUSTER_CTL_SHAPE_H

#include "wire/reshape.h"

/* As the function of the library that it stands for. It is durable at once. */
int shape_rows(vecdb_collection *rows, const struct wire_reshape *reshape, vecdb_error *error);
/* Likewise, but what is done already is done again. */
int shape_rows_again(vecdb_collection *rows, const struct wire_reshape *reshape,
                     vecdb_error *error);

#endif
