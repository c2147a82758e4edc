/* search.h - a search as the words of a command ask for it, for the commands that make some. */
#ifndef SHELL_SEARCH_H
#define SHELL_SEARCH_H

#include "filter.h"
#include "shell.h"

enum { SEARCH_K = 10 /* hits, unless the command says */ };

/* A search with what its parameters point to. */
struct search {
  vecdb_collection *collection;
  const vecdb_field *field;
  vecdb_search_params params;
  struct filter filter;
  void *query; /* sparse: a vecdb_sparse */
  const char *fields[VECDB_MAX_FIELDS + 1];
  char *memory;
  double embedding_seconds;
};

/* Reads the options of a search in a collection, which is borrowed; k: hits unless they say. To be
   freed also after an error. */
int search_read(const struct shell *shell, const struct call *call, vecdb_collection *collection,
                uint32_t k, struct search *s, vecdb_error *error);
void search_free(struct search *s);

/* The same in the collection of the first place; to be ended also after an error. */
int search_begin(const struct shell *shell, const struct call *call, struct search *s,
                 vecdb_error *error);
void search_end(struct search *s);

/* Says below n hits, to people, what the search took. */
void search_footer(const struct shell *shell, const struct search *s, uint32_t n,
                   const vecdb_search_info *info);

#endif
