/* set_host.cuh - sets as the host sees them: see need, load and drop of accel.h. */
#ifndef GPU_SET_HOST_CUH
#define GPU_SET_HOST_CUH

#include "accel/accel.h"

uint64_t gpu_set_need(const struct vdb_accel_rows *rows);
int gpu_set_load(uint32_t device, const struct vdb_accel_rows *rows, struct vdb_accel_set **out,
                 struct vdb_accel_why *why);
void gpu_set_drop(struct vdb_accel_set *set);

#endif
