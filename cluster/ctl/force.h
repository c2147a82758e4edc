/*
 * force.h - an unclean start: when all who were in sync are gone or damaged, an operator makes
 * another replica go on with what it has. The record keeps the epoch in which that was done.
 */
#ifndef CLUSTER_CTL_FORCE_H
#define CLUSTER_CTL_FORCE_H

#include <stdio.h>

#include "ctl/session.h"

/* The shard's record as it would be, and what it was decided from. False with the reason in `why`
   (CTL_WHY bytes): no such shard, or the node is no replica of it, or does not run. */
bool ctl_force(const struct cache_view *view, uint32_t collection, uint32_t shard, uint32_t node,
               struct doc_shard *out, int64_t *mod, char *why);
/* What would be lost by it, as far as the metadata tells. */
void ctl_print_force(const struct cache_view *view, const struct doc_shard *forced, FILE *out);

#endif
