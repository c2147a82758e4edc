/*
 * milvus_rebuild.h - a collection under another metric.
 */
#ifndef SRV_MILVUS_REBUILD_H
#define SRV_MILVUS_REBUILD_H

#include "server/milvus.h"

/* Moves the rows to a new collection in which the field has the metric, and makes that the one
   behind the name; *open is it afterwards. Writers wait meanwhile; a crash leaves the old one in
   its place. The caller holds the lock of changes. False after failing: nothing changed. */
bool milvus_rebuild(struct milvus *m, struct milvus_open *open, const char *field, int32_t metric);

#endif
