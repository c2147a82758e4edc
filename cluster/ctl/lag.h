/* lag.h - how far each replica is behind its shard's primary, as the nodes themselves tell. */
#ifndef CLUSTER_CTL_LAG_H
#define CLUSTER_CTL_LAG_H

#include <stdio.h>

#include "client/vecdb_client.h"
#include "ctl/session.h"

/* A client of the cluster's nodes, without TLS. NULL with the reason in ctl->why. */
vecdb_client *ctl_client(struct ctl *ctl);

/* A line for each replica in sync of every collection, and one for each collection whose shards are
   not of a sensible size (place/advice.h). Without TLS, so on loopback alone. False,
   with the reason in ctl->why: the nodes cannot be asked. */
bool ctl_lag(struct ctl *ctl, FILE *out);

#endif
