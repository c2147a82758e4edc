/* scan.cuh - all rows of a set compared with some queries. */
#ifndef GPU_SCAN_CUH
#define GPU_SCAN_CUH

#include "select.cuh"
#include "set.cuh"

enum { GPU_SCAN_MOST = 128 }; /* queries of a launch */

/* What one launch needs, all of it on the device. */
struct gpu_scan {
  const __half *queries; /* packed; rounded up to gpu_scan_group(n) of them */
  const struct gpu_row_facts *facts;
  const uint32_t *words; /* of BITS, in place of these: query q's at q * n_words */
  const uint32_t *allow; /* bits of rows, or NULL */
  uint32_t n;            /* queries, at most GPU_SCAN_MOST */
  uint32_t k;
  uint32_t blocks;       /* that share the rows */
  gpu_item *lists;       /* blocks * group * capacity */
  uint32_t *counts;      /* blocks * group */
  uint32_t *rows;        /* the answer, as in vdb_accel_ask */
  float *keys;
  uint32_t *found;
};

/* Queries are compared in groups of so many: 16, 32, 64 or 128. */
uint32_t gpu_scan_group(uint32_t n);
/* Blocks that are best for a device of so many multiprocessors. */
uint32_t gpu_scan_blocks(const struct vdb_accel_set *set, uint32_t processors);
/* Sets what kernels may take of a block's memory; once a device. */
cudaError_t gpu_scan_prepare(void);
void gpu_scan_launch(cudaStream_t stream, const struct vdb_accel_set *set,
                     const struct gpu_scan *scan);

#endif
