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
/* Searches a segment as its plan says, for n searches as exec.c begins them. Where rows are
   restricted there is the set of those that may be found, or the searches' accept tells of each.
   Tops are not sorted. False: nothing was done, the searches are as they came. */
VDB_INTERNAL bool vdb_exec_device(struct vdb_request *request, const struct vdb_plan_seg *seg,
                                  const struct vdb_allow_set *set, struct vdb_search *searches,
                                  uint32_t n);

#endif
