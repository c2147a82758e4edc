/*
 * ctl.h - `vecdb cluster ...`: what the command understands, and what it does with a store. All of
 * its planning works on the metadata alone; moves are written as documents that the nodes then act
 * upon.
 */
#ifndef CLUSTER_CTL_CTL_H
#define CLUSTER_CTL_CTL_H

#include <stdio.h>

#include "ctl/session.h"

struct ctl_args {
  const char *command; /* status, check, balance, move, split, drain, cancel, force, init, add-node,
                          create, drop, fields, expire */
  const char *endpoints;
  const char *cluster; /* 32 hex digits; NULL: the only one that there is */
  const char *ca_file;
  const char *cert_file;
  const char *key_file;
  const char *collection;
  uint32_t shard;
  bool has_shard;
  uint32_t source;
  uint32_t target;
  uint32_t node; /* of drain, add-node */
  bool dry_run;  /* only prints */
  bool accept_loss; /* of force */
  const char *name; /* init, add-node */
  const char *address, *zone;       /* add-node */
  const char *schema, *ack;         /* create; a file */
  uint32_t shards, replicas, min_isr;
  const char *slots, *at; /* split */
  const char *add, *drop, *rename, *to; /* fields; add: a file */
  const char *field;                    /* expire */
  uint32_t ttl_s;
  bool lag;      /* of status: the nodes are asked, too */
  bool wait;     /* until nothing is open any more, taking steps that need nobody else */
};

/* False with the reason on `err`. */
bool ctl_parse(int argc, char **argv, struct ctl_args *out, FILE *err);
/* Does it; gives the exit status: 0 done or nothing to do, 1 refused or failed. */
int ctl_run(struct ctl *ctl, const struct ctl_args *args, FILE *out, FILE *err);
/* argv[0] is the word before the command. */
int cluster_ctl_main(int argc, char **argv);

#endif
