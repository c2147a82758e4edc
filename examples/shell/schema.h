/* schema.h - a schema line into a schema, and back. */
#ifndef SHELL_SCHEMA_H
#define SHELL_SCHEMA_H

#include "text.h"
#include "vecdb.h"

/* A schema with what it points to. */
struct schema {
  vecdb_schema schema;
  vecdb_field *fields;
  char **strings; /* all names, descriptions and default texts */
  size_t n_strings;
};

/*
 * Reads "NAME TYPE WORD..., NAME TYPE WORD..., ...":
 *   types    bool int8 int16 int32 int64 float double varchar(N) json array(TYPE, N)
 *            vector(N) vector(N, float16 | bfloat16 | int8 | binary) sparse
 *   words    key auto nullable default=VALUE none|hash|sorted (scalar index)
 *            l2|ip|cosine|hamming|jaccard zero (allowed), or an index as HNSW(m=24)
 *            about="description"; json: double["price"], varchar["a"]["b"], bool[0]: an index
 *            of that type of a place
 * SCHEMA, LIMIT, RANGE and so on; what only the database can judge it does when it creates.
 * To be freed also after an error.
 */
int schema_parse(const char *line, struct schema *out, vecdb_error *error);
void schema_free(struct schema *schema);
/* Whether a word is an index of a place in JSON, such as double["price"]; its path is borrowed from
   the word. */
bool schema_json_index(const char *word, vecdb_json_index *out);

/* Adds the line that would make the same schema. */
void schema_line(struct text *out, const vecdb_schema *schema);

#endif
