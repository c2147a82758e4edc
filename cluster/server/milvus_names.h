/*
 * milvus_names.h - what Milvus calls things, and what vecdb calls them: data types, metrics, index
 * types and their parameters, consistency levels, error codes. For the gRPC dialect and the REST
 * one.
 */
#ifndef SRV_MILVUS_NAMES_H
#define SRV_MILVUS_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "vecdb.h"

/* Data types, by Milvus's number and by its name in REST ("FloatVector"). 0: vecdb has no such
   type, or there is no such name. */
int32_t srv_milvus_type(int64_t number);
int32_t srv_milvus_type_parse(const char *name);
int64_t srv_milvus_type_number(int32_t type);
const char *srv_milvus_type_name(int32_t type);

/* A vecdb_metric, by "L2", "IP", "COSINE", "HAMMING" or "JACCARD" in any case; 0: unknown. */
int32_t srv_milvus_metric(const char *name);
const char *srv_milvus_metric_name(int32_t metric);

/* Whether the name is that of an index on a scalar field ("INVERTED", "STL_SORT", "Trie", ...). */
bool srv_milvus_scalar_index(const char *name);
/* Sets *out to the index type of that name, its parameters zero; "" is AUTOINDEX. False: there is
   none. */
bool srv_milvus_index(const char *name, vecdb_index_params *out);
/* Sets the parameter that Milvus calls `key` ("M", "efConstruction", "nlist", "m", "nbits", ...).
   One that the index type has no use for is left out, as in Milvus. */
void srv_milvus_index_param(vecdb_index_params *params, const char *key, uint32_t value);

/* The number of "Strong", "Session", "Bounded", "Eventually" or "Customized"; -1: unknown. */
int srv_milvus_consistency(const char *name);
const char *srv_milvus_consistency_name(int level);

/* Codes of the `code` field, and the older ones of `error_code`. */
enum srv_milvus_code {
  SRV_MILVUS_UNEXPECTED = 1,
  SRV_MILVUS_NO_MEMORY = 3,
  SRV_MILVUS_NO_COLLECTION = 100,
  SRV_MILVUS_NOT_LOADED = 101,
  SRV_MILVUS_NO_PARTITION = 200,
  SRV_MILVUS_NO_INDEX = 700,
  SRV_MILVUS_NO_DATABASE = 800,
  SRV_MILVUS_ARGUMENT = 1100,
  SRV_MILVUS_NO_ALIAS = 1600
};
/* The code of a vecdb_status other than VECDB_OK. */
int srv_milvus_code_of(int status);
/* What older clients look at, for a code; 1 where there is none of its own. */
int srv_milvus_old_code(int code);
/* A word for it, in the manner of the other interfaces. */
const char *srv_milvus_code_name(int code);

#endif
