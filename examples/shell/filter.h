/* filter.h - the filter of a command: where=TEXT, with bound parameters :NAME=VALUE. */
#ifndef SHELL_FILTER_H
#define SHELL_FILTER_H

#include "shell.h"

struct filter {
  vecdb_filter filter; /* text NULL: none was given */
  struct param_memory *memory;
};

/* A parameter's value is JSON: a number, a string, true, false, or a list of one kind of these;
   what is no JSON is taken as a string. FILTER_PARAM for other JSON. To be freed also after an
   error. */
int filter_read(const struct call *call, struct filter *out, vecdb_error *error);
void filter_free(struct filter *filter);

#endif
