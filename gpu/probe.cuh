/* probe.cuh - the lists nearest to some queries, and the nearest rows in them by their codes. */
#ifndef GPU_PROBE_CUH
#define GPU_PROBE_CUH

#include "merge.cuh"
#include "set.cuh"

enum {
  GPU_PROBE_STRIDE = 4096,      /* bytes of a centroid at most, */
  GPU_PROBE_TABLE = 64 * 1024   /* and of a query's table */
};

/* Of a query, beside its code and table. */
struct gpu_probe_facts {
  float by;
  float scale;
  float offset;
};

/* What one launch needs, all of it on the device. */
struct gpu_probe {
  const int8_t *codes;   /* n * stride */
  const uint8_t *tables; /* n * gpu_probe_table(set) */
  const struct gpu_probe_facts *facts;
  const uint32_t *allow; /* bits of rows, or NULL */
  uint32_t n;            /* queries */
  uint32_t k;
  uint32_t probes;       /* at most the lists there are */
  float reach;
  uint32_t splits;       /* blocks that share the lists of a query */
  float *list_keys;      /* n * lists */
  gpu_item *near;        /* n * gpu_capacity(probes) */
  uint32_t *ends;        /* n * probes: blocks in the lists up to each */
  uint32_t *chosen;      /* n: lists to look through */
  gpu_item *lists;       /* splits * n * gpu_capacity(k) */
  uint32_t *counts;      /* splits * n */
  uint32_t *rows;        /* the answer, as in vdb_accel_look */
  float *keys;
  uint32_t *found;
  uint32_t *blocks;
};

/* Bytes of a query's table, whole reads of the kernel. */
uint32_t gpu_probe_table(const struct gpu_list_set *lists);
/* Splits that are best for a device of so many multiprocessors. */
uint32_t gpu_probe_splits(const struct gpu_list_set *lists, uint32_t n, uint32_t probes,
                          uint32_t processors);
/* Sets what kernels may take of a block's memory; once a device. */
cudaError_t gpu_probe_prepare(void);
void gpu_probe_launch(cudaStream_t stream, const struct gpu_list_set *lists,
                      const struct gpu_probe *probe);

#endif
