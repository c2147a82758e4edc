/* lists.cu - lists and centroids to a device and away; see set.cuh. */
#include "lane.cuh"
#include "probe.cuh"
#include "set_host.cuh"

static struct gpu_list_set lists_shape(const struct vdb_accel_lists *lists) {
  struct gpu_list_set s = {};
  s.stride = (uint32_t)lists->stride;
  s.n = lists->n;
  s.n_rows = lists->n_rows;
  s.n_blocks = lists->starts[lists->n];
  s.m = lists->m;
  s.block_bytes = lists->block_bytes;
  s.code = lists->code;
  s.rescaled = lists->rescaled;
  return s;
}

/* Bytes of a block that the kernels read. */
static size_t lists_block(const struct vdb_accel_lists *lists) {
  switch (lists->code) {
  case VDB_ACCEL_NIBBLES:
    return (size_t)lists->m * 16 + (lists->rescaled ? 4 : 2) * VDB_ACCEL_SLOTS;
  case VDB_ACCEL_BYTES:
    return (size_t)lists->m * 32 + (lists->rescaled ? 4 : 2) * VDB_ACCEL_SLOTS;
  default:
    return ((size_t)lists->m + 8) * VDB_ACCEL_SLOTS;
  }
}

int gpu_lists_check(const struct vdb_accel_lists *lists, struct vdb_accel_why *why) {
  if (lists->n == 0 || lists->stride == 0 || lists->stride > GPU_PROBE_STRIDE ||
      lists->stride % 16 != 0)
    return gpu_fail(why, VDB_ACCEL_UNFIT, "%u lists of %zu bytes are not for a device", lists->n,
                    lists->stride);
  uint32_t whole = lists->code == VDB_ACCEL_INTS ? 16 : lists->code == VDB_ACCEL_NIBBLES ? 4 : 1;
  struct gpu_list_set shape = lists_shape(lists);
  if (lists->code < VDB_ACCEL_NIBBLES || lists->code > VDB_ACCEL_INTS || lists->m == 0 ||
      lists->m % whole != 0 || lists->m > GPU_PROBE_TABLE ||
      gpu_probe_table(&shape) > GPU_PROBE_TABLE || lists->block_bytes % 16 != 0 ||
      lists->block_bytes < lists_block(lists) || shape.n_blocks == 0)
    return gpu_fail(why, VDB_ACCEL_UNFIT, "such codes are not compared on a device");
  return VDB_ACCEL_OK;
}

/* The parts, and whether they are only counted. */
struct lists_copy {
  cudaStream_t stream;
  struct vdb_accel_why *why;
  uint64_t bytes;
  bool counts;
};

static int lists_part(struct lists_copy *c, void *out, const void *from, size_t bytes) {
  c->bytes += bytes;
  if (c->counts || bytes == 0)
    return VDB_ACCEL_OK;
  void **at = (void **)out;
  GPU_TRY(gpu_check(c->why, cudaMalloc(at, bytes), "memory for lists"));
  return gpu_check(c->why, cudaMemcpyAsync(*at, from, bytes, cudaMemcpyHostToDevice, c->stream),
                   "copying lists");
}

static int lists_parts(struct lists_copy *c, struct gpu_list_set *s,
                       const struct vdb_accel_lists *from) {
  size_t floats = s->n * sizeof(float);
  GPU_TRY(lists_part(c, &s->centroids, from->centroids, (size_t)s->n * s->stride));
  GPU_TRY(lists_part(c, &s->scales, from->scales, floats));
  GPU_TRY(lists_part(c, &s->biases, from->biases, floats));
  GPU_TRY(lists_part(c, &s->spreads, from->spreads, from->spreads ? floats : 0));
  GPU_TRY(lists_part(c, &s->starts, from->starts, (s->n + (size_t)1) * sizeof(uint32_t)));
  GPU_TRY(lists_part(c, &s->rows, from->rows,
                     (size_t)s->n_blocks * VDB_ACCEL_SLOTS * sizeof(uint32_t)));
  return lists_part(c, &s->blocks, from->blocks, s->n_blocks * s->block_bytes);
}

uint64_t gpu_lists_need(const struct vdb_accel_lists *lists) {
  struct gpu_list_set s = lists_shape(lists);
  struct lists_copy count = {};
  count.counts = true;
  lists_parts(&count, &s, lists);
  return count.bytes;
}

int gpu_lists_fill(struct gpu_list_set *s, const struct vdb_accel_lists *lists, cudaStream_t stream,
                   struct vdb_accel_why *why) {
  struct lists_copy copy = {};
  copy.stream = stream;
  copy.why = why;
  *s = lists_shape(lists);
  GPU_TRY(lists_parts(&copy, s, lists));
  return gpu_check(why, cudaStreamSynchronize(stream), "copying lists");
}

void gpu_lists_drop(struct gpu_list_set *s) {
  cudaFree(s->centroids);
  cudaFree(s->scales);
  cudaFree(s->biases);
  cudaFree(s->spreads);
  cudaFree(s->starts);
  cudaFree(s->rows);
  cudaFree(s->blocks);
}
