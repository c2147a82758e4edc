/* look.cuh - questions about lists: see look of accel.h. */
#ifndef GPU_LOOK_CUH
#define GPU_LOOK_CUH

#include "accel/accel.h"

int gpu_look(struct vdb_accel_set *set, const struct vdb_accel_look *look,
             struct vdb_accel_why *why);

#endif
