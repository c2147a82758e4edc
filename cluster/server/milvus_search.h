/*
 * milvus_search.h - a search of the Milvus dialect in its steps: what Search does, and HybridSearch
 * with each of its parts.
 */
#ifndef SRV_MILVUS_SEARCH_H
#define SRV_MILVUS_SEARCH_H

#include "server/milvus.h"

struct milvus_search_request {
  const char *db, *name, *expr;
  struct pb_bytes placeholders;
  struct pb_list partitions, fields, params, values, sub_requests;
  int64_t level, default_level; /* of consistency; default_level: the collection's */
};
/* A search or query between its request and the library. */
struct milvus_search_run {
  struct milvus *m;
  struct milvus_search_request r;
  struct milvus_open open;
  struct milvus_pairs pairs;
  struct milvus_fields fields;
  const vecdb_field *field; /* that is searched */
  vecdb_search_params params;
  vecdb_control control;
  uint32_t limit, offset;
  vecdb_group_by group; /* field NULL: hits are not grouped */
  bool ranged;          /* only hits between radius and inner are wanted */
  double radius, inner; /* NAN: no bound */
};

/* Hits of n_queries, params.k for each, whose rows are in `rows`. */
struct milvus_hits {
  vecdb_hit *hits;
  uint32_t *counts;
  struct engine_rows *rows; /* to be freed */
};

/* Each returns false after failing. The SearchRequest, and what it means for the open collection;
   the hits, as many as it asks for and its offset more; the answer, which leaves the offset out. */
bool milvus_search_take(struct milvus_search_run *s, struct pb_bytes in);
bool milvus_search_read(struct milvus_search_run *s);
bool milvus_search_hits(struct milvus_search_run *s, struct milvus_hits *out);
void milvus_search_answer(struct milvus_search_run *s, const struct milvus_hits *hits);
/* Of a search that groups its hits (milvus_group.c): what is asked for, once params.k is known; the
   hits without the offset, in s->params.k places; the values of the groups, in the answer. */
bool milvus_group_read(struct milvus_search_run *s);
bool milvus_group_hits(struct milvus_search_run *s, struct milvus_hits *out);
void milvus_group_write(struct milvus_search_run *s, const struct engine_rows *rows,
                        const uint32_t *pick, size_t n);
/* What the reads of the collection must see: the request's level, or the one that the collection
   was made with. */
void milvus_level(struct milvus_open *open, int64_t level, bool by_default);
/* A whole number among the request's pairs; unchanged where there is none. */
bool milvus_search_number(struct milvus_search_run *s, const char *key, uint32_t *out);
/* Fails for what no ranking of several searches serves. */
bool milvus_search_unserved(struct milvus_search_run *s);

#endif
