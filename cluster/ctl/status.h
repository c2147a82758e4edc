/* status.h - what the cluster looks like, as text for people. */
#ifndef CLUSTER_CTL_STATUS_H
#define CLUSTER_CTL_STATUS_H

#include <stdio.h>

#include "ctl/plan.h"

/* Nodes, collections, shards that are not whole, open moves with their progress. */
void ctl_print_status(const struct cache_view *view, FILE *out);
void ctl_print_moves(const struct cache_view *view, const struct doc_move *moves, size_t n,
                     FILE *out);

/* A split and how far it is, likewise. */
void ctl_print_split(const struct cache_view *view, const struct doc_split *split, FILE *out);

#endif
