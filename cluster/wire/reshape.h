/*
 * reshape.h - changes of a collection's schema that are more than new fields, as JSON: one, which
 * entries of logs have; and the list of all since the first, the `history` of the collection's
 * document, by which each shard is brought through them one by one.
 */
#ifndef CLUSTER_WIRE_RESHAPE_H
#define CLUSTER_WIRE_RESHAPE_H

#include "wire/schema.h"

enum { WIRE_RESHAPES = 1000 }; /* that one collection ever gets */

enum wire_reshape_kind {
  WIRE_RESHAPE_ADD,     /* fields */
  WIRE_RESHAPE_DROP,    /* field */
  WIRE_RESHAPE_RENAME,  /* field, to */
  WIRE_RESHAPE_INDEX,   /* index of a JSON field: its path and type */
  WIRE_RESHAPE_UNINDEX, /* likewise; type 0: all of the path */
  WIRE_RESHAPE_KINDS
};

struct wire_reshape {
  enum wire_reshape_kind kind;
  const char *field;
  const char *to;
  vecdb_json_index index;
  vecdb_schema fields;
};

/* As wire_schema_read and wire_schema_write. */
int wire_reshape_read(const char *text, size_t n, struct wire_mem *mem, struct wire_reshape *out,
                      char *why);
char *wire_reshape_write(const struct wire_reshape *reshape);

/*
 * A history: the schema of the version `from`, with which data begins that has no rows, and the
 * changes after it, each of which makes the next version. NULL where a collection has none.
 */
/* One with another change (its text) at the end; NULL begins one with the schema and version that
   there are. To be given back by free(). Errors, with the reason in `why`: LIMIT, SCHEMA,
   NO_MEMORY. */
int wire_history_add(const char *history, uint64_t version, const char *schema, const char *change,
                     char **out, char *why);

/* What brings a shard to the next version. */
struct wire_step {
  uint64_t version;
  bool add;         /* `text` is a schema, of which the shard adds what it lacks */
  const char *text; /* else a change; in `mem` */
};
/* The step for a shard whose rows are of `version`. NOT_FOUND: they are as the history ends. */
int wire_history_step(const char *history, uint64_t version, struct wire_mem *mem,
                      struct wire_step *out);
/* The last version, up to `version`, in which a name ceased to mean what it meant; 0: none. */
uint64_t wire_history_broke(const char *history, uint64_t version);
/* Its first schema, as text in `mem`; NULL: it cannot be read. */
const char *wire_history_base(const char *history, struct wire_mem *mem);

#endif
