/*
 * exec_device.h - one sealed segment searched on the database's device (accel/device.h) for some
 * queries. The device brings candidates, the kernels of the library score them: a scan's hits and
 * scores are those of the same scan without it.
 */
#ifndef VDB_EXEC_DEVICE_H
#define VDB_EXEC_DEVICE_H

#include "query/plan.h"

/* Whether n queries of a segment are worth the way to the device, as far as can be told before they
   are prepared. */
VDB_INTERNAL bool vdb_exec_device_wants(const struct vdb_request *request,
                                        const struct vdb_plan_seg *seg, uint32_t n);
/* Scans the rows of `bits` (NULL: all) for n searches, each with query, top and, where rows are
   deleted, accept set. Tops are not sorted. False: nothing was done. */
VDB_INTERNAL bool vdb_exec_device_scan(struct vdb_request *request, const struct vdb_plan_seg *seg,
                                       const uint64_t *bits, struct vdb_search *searches,
                                       uint32_t n);
/* Walks the graph of a segment whose rows all pass, likewise. */
VDB_INTERNAL bool vdb_exec_device_walk(struct vdb_request *request, const struct vdb_plan_seg *seg,
                                       struct vdb_search *searches, uint32_t n);

#endif
