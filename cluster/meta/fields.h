/*
 * fields.h - structs to JSON objects and back by a table of their fields. Strict: every name of the
 * table must be there, none other may be, and every value must fit.
 */
#ifndef CLUSTER_META_FIELDS_H
#define CLUSTER_META_FIELDS_H

#include <jansson.h>

#include "meta/doc.h"

enum field_kind {
  FIELD_U32, /* uint32_t, up to `max` */
  FIELD_U64, /* uint64_t, up to 2^63 - 1 */
  FIELD_BOOL,
  FIELD_CHOICE,  /* an enum from 0, by `names` */
  FIELD_TEXT,    /* char[max] with a NUL; no control characters */
  FIELD_UUID,    /* struct doc_uuid; as 32 hex digits, or "" for none */
  FIELD_NUMBERS, /* uint32_t[max], their number at `count` */
  FIELD_LIST     /* struct[max] of `size` bytes by the table `items`, their number at `count` */
};

struct field {
  const char *name;
  enum field_kind kind;
  size_t offset;
  uint32_t max;
  size_t count;
  const char *const *names;  /* ended by NULL */
  const struct field *items; /* ended by a NULL name */
  size_t size;
};

/* The struct as an object; NULL: no memory, or a value that could not be read back. */
json_t *fields_write(const struct field *table, const void *in);
/* The object into the struct, which is zeroed first. `extra` names in the object are not the
   table's: the caller reads them. The reason of a failure is in `why` (DOC_TEXT_MAX bytes). */
enum doc_status fields_read(const struct field *table, json_t *object, size_t extra, size_t size,
                            void *out, char *why);
/* Puts a reason in `why` and gives the status. */
enum doc_status fields_fail(enum doc_status status, char *why, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A document's text with its version, from an object that is given away (NULL: gives NULL). */
char *fields_finish(json_t *object, size_t *n);
char *fields_finish_as(json_t *object, int version, size_t *n);
/* A document's object, its version checked; to be given back by json_decref. */
enum doc_status fields_begin(struct meta_bytes text, json_t **object, char *why);
/* Likewise, of a kind whose newest version that can be read is another one. */
enum doc_status fields_begin_as(struct meta_bytes text, int newest, json_t **object, char *why);

#endif
