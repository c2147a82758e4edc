/*
 * search_answer.h - what a search has found, as the text of the answer. Straight from the hits: a
 * tree of JSON values would be an allocation for each name and number of them, and take longer than
 * many a search.
 */
#ifndef SRV_SEARCH_ANSWER_H
#define SRV_SEARCH_ANSWER_H

#include "server/call.h"
#include "server/dynamic.h"

struct srv_search_answer {
  const char *key;  /* the name of a hit's key, */
  const char *rest; /* and of the object with its other fields; NULL: it has none */
  uint32_t n_queries, k;
  uint32_t group;    /* hits that each of k groups may have; 0: hits are not grouped */
  bool batch;        /* a list with the hits of each query; else the hits of one */
  const char *query; /* the text that was searched for, to be repeated; NULL: none */
  const vecdb_hit *hits;
  const uint32_t *counts; /* of each query, or of each group of it */
  const struct engine_rows *rows;
  const struct srv_dynamic *dynamic;
  const vecdb_search_info *info;
};

/* Answers with {"hits", "groups" or "results", "info"}. */
void srv_search_answer(struct srv_call *call, const struct srv_search_answer *answer);

#endif
