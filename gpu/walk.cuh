/* walk.cuh - the graph of a set walked for some queries, a block each. */
#ifndef GPU_WALK_CUH
#define GPU_WALK_CUH

#include "select.cuh"
#include "set.cuh"

/* What one launch needs, all of it on the device. */
struct gpu_walk {
  const __half *queries; /* packed */
  const struct gpu_row_facts *facts;
  const uint32_t *allow; /* bits of rows, or NULL */
  uint32_t n;
  uint32_t k;
  uint32_t width;        /* of the pool, at least k */
  uint32_t *seen;        /* gpu_walk_seen words a query, zero */
  uint32_t *rows;        /* the answer, as in vdb_accel_ask */
  float *keys;
  uint32_t *found;
};

/* Words of the bitmap of rows that a walk has met. */
uint32_t gpu_walk_seen(const struct vdb_accel_set *set);
/* Sets what the kernel may take of a block's memory; once a device. */
cudaError_t gpu_walk_prepare(void);
void gpu_walk_launch(cudaStream_t stream, const struct vdb_accel_set *set,
                     const struct gpu_walk *walk);

#endif
