/* nodetest_int.h - what the files of nodetest know of each other. For them alone. */
#ifndef NODETEST_INT_H
#define NODETEST_INT_H

#include <stdlib.h>
#include <string.h>

#include "cluster/nodetest.h"
#include "wire/touched.h"

/* An answer that is being made. */
struct nt_reply {
  struct wire_message m;
  struct wire_mem mem;
  vecdb_error error;
  vecdb_rows *rows;
  vecdb_hit *hits;
  struct wire_touched touched;
  const char *names[VECDB_MAX_FIELDS];
};

/* Failing memory is not what this is about. */
static inline void *nt_must(void *p) {
  if (!p)
    abort();
  return p;
}

static inline void nt_true(bool good) {
  if (!good)
    abort();
}

static inline void nt_document(struct wire_message *m, uint32_t kind, uint32_t a, uint32_t b,
                               int64_t mod, char *text) {
  struct wire_document *documents = (struct wire_document *)(uintptr_t)m->documents;
  documents[m->n_documents++] =
      (struct wire_document){kind, a, b, mod, nt_must(text), strlen(text)};
}

/* nodetest_read.c: reads of a shard; codes. */
int nt_search(vecdb_collection *c, const struct wire_message *ask, struct nt_reply *r);
int nt_explain(vecdb_collection *c, uint32_t node, const struct wire_message *ask,
               struct nt_reply *r);
int nt_sparse(vecdb_collection *c, const struct wire_message *ask, struct nt_reply *r);
int nt_get(vecdb_collection *c, const struct wire_message *ask, struct nt_reply *r);
int nt_query(vecdb_collection *c, const struct wire_message *ask, struct nt_reply *r);
int nt_stats(uint32_t node, struct nt_reply *r);

#endif
