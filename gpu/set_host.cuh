/* set_host.cuh - sets as the host sees them: see need, load and drop of accel.h. */
#ifndef GPU_SET_HOST_CUH
#define GPU_SET_HOST_CUH

#include "set.cuh"

uint64_t gpu_set_need(const struct vdb_accel_rows *rows);
int gpu_set_load(uint32_t device, const struct vdb_accel_rows *rows, struct vdb_accel_set **out,
                 struct vdb_accel_why *why);
void gpu_set_drop(struct vdb_accel_set *set);

/* The same of lists, in a set that is zero otherwise: its caller drops it, also after a failure. */
uint64_t gpu_lists_need(const struct vdb_accel_lists *lists);
int gpu_lists_check(const struct vdb_accel_lists *lists, struct vdb_accel_why *why);
int gpu_lists_fill(struct gpu_list_set *set, const struct vdb_accel_lists *lists,
                   cudaStream_t stream, struct vdb_accel_why *why);
void gpu_lists_drop(struct gpu_list_set *set);

#endif
