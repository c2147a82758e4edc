/* fields.h - the commands that change what rows are like: fields, expire. */
#ifndef CLUSTER_CTL_FIELDS_H
#define CLUSTER_CTL_FIELDS_H

#include "ctl/ctl.h"

/* As those of first.h. */
bool ctl_fields_is(const char *command);
const char *ctl_fields_missing(const struct ctl_args *args);
int ctl_fields(struct ctl *ctl, const struct ctl_args *args, FILE *out, FILE *err);

#endif
