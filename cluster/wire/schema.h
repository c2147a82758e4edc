/*
 * schema.h - the schema of a collection as its document has it (`schema` of meta/doc.h's doc_coll):
 * JSON in the words of the HTTP interface, {"fields": [{"name", "type", ...}]}.
 */
#ifndef CLUSTER_WIRE_SCHEMA_H
#define CLUSTER_WIRE_SCHEMA_H

#include "vecdb.h"
#include "wire/bytes.h"

enum { WIRE_WHY = 256 };

/* Whatever the schema points to lies in `mem`. What a word or a type must be is looked at here,
   what makes a good schema when the collection is made from it. Errors, with the reason in `why`
   (WIRE_WHY bytes): SCHEMA, LIMIT, NO_MEMORY. */
int wire_schema_read(const char *text, size_t n, struct wire_mem *mem, vecdb_schema *out,
                     char *why);
/* Its JSON, to be given back by free(); NULL: no memory, or a default that is an array. */
char *wire_schema_write(const vecdb_schema *schema);

/* Flags of fields whose values come with the rows: whoever writes has numbered and computed them.
   Shards, of which each would give others, do not. */
#define WIRE_SCHEMA_GIVEN (VECDB_AUTO_ID | VECDB_DEFAULT_NOW | VECDB_DEFAULT_UUID)

/* The field of that name; the primary key; NULL: there is none. */
const vecdb_field *wire_schema_field(const vecdb_schema *schema, const char *name);
const vecdb_field *wire_schema_key(const vecdb_schema *schema);
/* The first field whose default is computed; NULL: none. */
const vecdb_field *wire_schema_computed(const vecdb_schema *schema);
/* Whether the field's values can say whose a row is: BOOL, integers and VARCHAR. NULL: no. */
bool wire_schema_tenants(const vecdb_field *field);

#endif
