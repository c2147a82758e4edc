/*
 * milvus_rebuild.h - a collection with another schema.
 */
#ifndef SRV_MILVUS_REBUILD_H
#define SRV_MILVUS_REBUILD_H

#include "server/milvus.h"

/* What is to be different. */
struct milvus_rebuild {
  const char *field; /* which has the metric; NULL: no metric changes */
  int32_t metric;
  bool empty; /* the rows are left behind */
};

/* Moves the rows to a new collection, and makes that the one behind the name; *open is it
   afterwards. Writers wait meanwhile; a crash leaves the old one in its place. The caller holds the
   lock of changes. Expiry and optimizers are kept; what optimizers have learned of rows begins
   anew, as after an upsert. False after failing: nothing changed, or an index was not built
   anew. */
bool milvus_rebuild(struct milvus *m, struct milvus_open *open,
                    const struct milvus_rebuild *change);

enum { MILVUS_PHYSICAL = VECDB_MAX_NAME + 16 };
/* The first free name of BASE, BASE-2, BASE-3...; Milvus's names have no dash. The caller holds the
   lock of changes. */
bool milvus_physical_free(struct milvus *m, const char *base, char out[MILVUS_PHYSICAL]);

#endif
