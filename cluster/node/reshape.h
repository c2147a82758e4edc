/* reshape.h - one change of a schema (wire/reshape.h), done to a collection of the library. */
#ifndef CLUSTER_NODE_RESHAPE_H
#define CLUSTER_NODE_RESHAPE_H

#include "wire/reshape.h"

/* As the function of the library that it stands for. It is durable at once. */
int node_reshape(vecdb_collection *rows, const struct wire_reshape *reshape, vecdb_error *error);
/* Likewise, but what is done already is done again. */
int node_reshape_again(vecdb_collection *rows, const struct wire_reshape *reshape,
                       vecdb_error *error);

#endif
