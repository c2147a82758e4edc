/*
 * orphans.h - `vecdb cluster orphans [--replay] FILE...`: what files of orphans
 * (replica/orphan.h) hold, as a summary or as the writes themselves. It needs no cluster.
 */
#ifndef CLUSTER_CTL_ORPHANS_H
#define CLUSTER_CTL_ORPHANS_H

#include <stdint.h>
#include <stdio.h>

/* Lists them; or, with --replay, prints each write as a line of JSON, in the order of the log and
   under its op id, by which the shard knows what it has after all. Gives the exit status: 0, 1 when
   something could not be read, 2 for words that make no sense. */
int ctl_orphans(int argc, char **argv, FILE *out, FILE *err);

#endif
