/* check.h - whether the replicas of shards have equal rows, by digests that they make of them. */
#ifndef CLUSTER_CTL_CHECK_H
#define CLUSTER_CTL_CHECK_H

#include <stdio.h>

#include "ctl/session.h"

/* A line for each shard of the collection, or of all (NULL). False: some differ, with the reason ""
   in ctl->why, or could not be compared. Without TLS, so on loopback alone. */
bool ctl_check(struct ctl *ctl, const char *collection, FILE *out);

#endif
