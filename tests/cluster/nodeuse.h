/*
 * nodeuse.h - what clients do with collections of real nodes, each held against what is known of
 * its rows. All by the client library alone.
 */
#ifndef NODEUSE_H
#define NODEUSE_H

#include "client/vecdb_client.h"

/* "id" and "v", of 2 dimensions. */
extern const vecdb_field use_fields[2];
/* Of two shards with two replicas; a code. */
int use_create(vecdb_client *c, const char *name, const vecdb_field *fields, uint32_t n);
/* A row with "id" and "v" alone; a code. */
int use_put(vecdb_client *c, const char *name, int64_t id);
/* Rows that the filter (NULL: none) allows, as of now. */
uint64_t use_count(vecdb_client *c, const char *name, const char *text);

/* On rows 0 to 19 as use_put has written them: values that learn; what has changed. */
void use_learn(vecdb_client *c, const char *name);
void use_changes(vecdb_client *c, const char *name);
/* Plans of its searches; its files are merged; and counts of another one's sparse indices. */
void use_upkeep(vecdb_client *c, const char *name);
/* Numbers of n clients, at most 8. */
void use_numbers(vecdb_client *const *clients, int n);
/* Adds the field "extra"; fills it in rows 0 to n - 1, also by one who knows the collection without
   it. */
void use_fields_add(vecdb_client *c, const char *name);
void use_fields_fill(vecdb_client *other, const char *name, int64_t n);
/* Renames the field behind use_fields_fill to "more", which keeps its values, and twice adds one of
   its name and form, which is dropped between; `other` knows the collection from before, and the
   replicas are the same then. */
void use_reshape(vecdb_client *c, vecdb_client *other, const char *name, int64_t n);
/* Behind use_reshape: rows whose "extra" says so go, and `left` are left then; and no more, when
   the field has another name and none expire by it. */
void use_expire(vecdb_client *c, const char *name, int64_t left);
/* Waits until all four replicas have compared their rows, which are the same. */
void use_alike(vecdb_client *c, const char *name);
/* Makes a collection whose rows have a default that is computed, and drops it. */
void use_computed(vecdb_client *c);

#endif
