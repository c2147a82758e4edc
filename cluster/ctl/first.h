/* first.h - the commands that begin a cluster: init, add-node, create, drop. */
#ifndef CLUSTER_CTL_FIRST_H
#define CLUSTER_CTL_FIRST_H

#include "ctl/ctl.h"

/* Whether it is one of them; and what it must be given besides, NULL: it has all. */
bool ctl_first_is(const char *command);
const char *ctl_first_missing(const struct ctl_args *args);
/* The text of a file with a schema, to be given back by free(); NULL: it cannot be read, or is too
   large. */
char *ctl_first_file(const char *path);
/* Does it, as ctl_run. */
int ctl_first(struct ctl *ctl, const struct ctl_args *args, FILE *out, FILE *err);

#endif
