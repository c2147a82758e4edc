/* value.h - values of the database as JSON and for people. */
#ifndef SHELL_VALUE_H
#define SHELL_VALUE_H

#include <stdint.h>

#include "text.h"
#include "vecdb.h"

/* Adds a JSON string. Text that is not UTF-8 has U+FFFD for each wrong byte. */
void put_string(struct text *out, const char *s, size_t n);
/* Adds the shortest number that reads back as the same float or double. */
void put_float(struct text *out, float x);
void put_double(struct text *out, double x);
/*
 * Adds a value. Vectors are arrays of numbers, binary ones of bytes, sparse ones an object from
 * index to value: what `import` reads.
 */
void put_value(struct text *out, const vecdb_value *value);

/* Adds a value for a cell of a table: long vectors and arrays cut, strings as they are. */
void put_cell(struct text *out, const vecdb_value *value);

bool type_is_vector(int32_t type);
bool type_is_text(int32_t type); /* VARCHAR or JSON */
/* "int64", "float16" and so on: the word of schema lines. */
const char *type_word(int32_t type);
/* Bytes of a vector, or of a scalar of fixed size; 0 for other types. */
size_t type_bytes(int32_t type, uint32_t dim);

/* A key from a word; the string is borrowed from it. TYPE when it is no number and must be. */
int key_parse(const char *word, bool is_string, int64_t *integer, vecdb_string *string,
              vecdb_error *error);
bool key_is_string(const vecdb_schema *schema);

#endif
