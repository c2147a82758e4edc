/*
 * module.cu - the table of accel.h, filled: questions are cut into launches, queries are copied to the
 * device and packed there, answers are copied back.
 */
#include <stdio.h>
#include <stdlib.h>

#include "lane.cuh"
#include "look.cuh"
#include "merge.cuh"
#include "scan.cuh"
#include "set_host.cuh"
#include "walk.cuh"

/* Where the parts of one launch are in a lane's memory of the device, and of the host. */
struct module_parts {
  size_t raw, halves, facts, allow, lists, counts, seen, rows, keys, found, bytes;
  size_t host_raw, host_allow, host_rows, host_keys, host_found, host_bytes;
};

/* What is the same for all launches of a question. */
struct module_job {
  struct vdb_accel_set *set;
  const struct vdb_accel_ask *ask;
  struct vdb_accel_why *why;
  struct gpu_lane *lane;
  struct module_parts parts;
  size_t query_bytes;
  size_t allow_bytes;
  uint32_t blocks;
  bool walks;
};

static uint32_t module_devices(void) {
  int n = 0;
  if (cudaGetDeviceCount(&n) != cudaSuccess) {
    cudaGetLastError();
    return 0;
  }
  return (uint32_t)n;
}

static int module_describe(uint32_t device, struct vdb_accel_device *out,
                           struct vdb_accel_why *why) {
  struct cudaDeviceProp about;
  size_t unused = 0, total = 0;
  if (device >= module_devices())
    return gpu_fail(why, VDB_ACCEL_NO_DEVICE, "there is no device %u", device);
  GPU_TRY(gpu_check(why, cudaSetDevice((int)device), "choosing the device"));
  GPU_TRY(gpu_check(why, cudaGetDeviceProperties(&about, (int)device), "looking at the device"));
  if (about.major < 8)
    return gpu_fail(why, VDB_ACCEL_NO_DEVICE, "%.100s is too old", about.name);
  GPU_TRY(gpu_check(why, cudaMemGetInfo(&unused, &total), "looking at the device's memory"));
  snprintf(out->name, sizeof out->name, "%.100s", about.name);
  out->memory = total;
  out->free = unused;
  return VDB_ACCEL_OK;
}

static void module_lay_out(struct module_job *j) {
  const struct vdb_accel_set *s = j->set;
  struct module_parts *p = &j->parts;
  struct gpu_layout device = {0}, host = {0};
  uint32_t most = j->ask->n < GPU_SCAN_MOST ? j->ask->n : (uint32_t)GPU_SCAN_MOST;
  size_t n = s->n_words ? (uint32_t)GPU_SCAN_MOST : gpu_scan_group(most), k = j->ask->k;
  j->blocks = gpu_scan_blocks(s, s->processors);
  p->raw = gpu_part(&device, n, j->query_bytes);
  p->halves = gpu_part(&device, n * s->padded, s->n_words ? 0 : sizeof(__half));
  p->facts = gpu_part(&device, n, sizeof(struct gpu_row_facts));
  p->allow = gpu_part(&device, 1, j->allow_bytes);
  if (j->walks) {
    p->seen = gpu_part(&device, n * gpu_walk_seen(s), sizeof(uint32_t));
  } else {
    p->lists = gpu_part(&device, j->blocks * n * gpu_capacity(j->ask->k), sizeof(gpu_item));
    p->counts = gpu_part(&device, j->blocks * n, sizeof(uint32_t));
  }
  p->rows = gpu_part(&device, n * k, sizeof(uint32_t));
  p->keys = gpu_part(&device, n * k, sizeof(float));
  p->found = gpu_part(&device, n, sizeof(uint32_t));
  p->bytes = device.at;
  p->host_raw = gpu_part(&host, n, j->query_bytes);
  p->host_allow = gpu_part(&host, 1, j->allow_bytes);
  p->host_rows = gpu_part(&host, n * k, sizeof(uint32_t));
  p->host_keys = gpu_part(&host, n * k, sizeof(float));
  p->host_found = gpu_part(&host, n, sizeof(uint32_t));
  p->host_bytes = host.at;
}

static int module_copy(struct module_job *j, bool to_device, size_t device, size_t host,
                       size_t bytes) {
  unsigned char *there = j->lane->memory + device, *here = j->lane->host + host;
  cudaError_t error = cudaMemcpyAsync(to_device ? there : here, to_device ? here : there, bytes,
                                      to_device ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToHost,
                                      j->lane->stream);
  return gpu_check(j->why, error, to_device ? "copying queries" : "copying hits");
}

/* The bitmap, once a question. */
static int module_allow(struct module_job *j) {
  if (!j->ask->allow)
    return VDB_ACCEL_OK;
  memcpy(j->lane->host + j->parts.host_allow, j->ask->allow, j->allow_bytes);
  return module_copy(j, true, j->parts.allow, j->parts.host_allow, j->allow_bytes);
}

/* Queries first to first + n - 1, to the device and packed. */
static int module_queries(struct module_job *j, uint32_t first, uint32_t n) {
  const struct module_parts *p = &j->parts;
  unsigned char *m = j->lane->memory;
  memcpy(j->lane->host + p->host_raw,
         (const unsigned char *)j->ask->queries + first * j->query_bytes, n * j->query_bytes);
  GPU_TRY(module_copy(j, true, p->raw, p->host_raw, n * j->query_bytes));
  if (j->set->n_words)
    return VDB_ACCEL_OK;
  size_t packed = (size_t)gpu_scan_group(n) * j->set->padded * sizeof(__half);
  GPU_TRY(gpu_check(j->why, cudaMemsetAsync(m + p->halves, 0, packed, j->lane->stream),
                    "clearing queries"));
  gpu_pack(j->lane->stream, m + p->raw, VDB_ACCEL_F32, NULL, n, j->set->dim, j->set->padded,
           (__half *)(m + p->halves), (struct gpu_row_facts *)(m + p->facts));
  return gpu_check(j->why, cudaGetLastError(), "packing queries");
}

static int module_scan_launch(struct module_job *j, uint32_t n) {
  const struct module_parts *p = &j->parts;
  unsigned char *m = j->lane->memory;
  struct gpu_scan scan = {};
  scan.queries = (const __half *)(m + p->halves);
  scan.facts = (const struct gpu_row_facts *)(m + p->facts);
  scan.words = (const uint32_t *)(m + p->raw);
  scan.allow = j->ask->allow ? (const uint32_t *)(m + p->allow) : NULL;
  scan.n = n;
  scan.k = j->ask->k;
  scan.blocks = j->blocks;
  scan.lists = (gpu_item *)(m + p->lists);
  scan.counts = (uint32_t *)(m + p->counts);
  scan.rows = (uint32_t *)(m + p->rows);
  scan.keys = (float *)(m + p->keys);
  scan.found = (uint32_t *)(m + p->found);
  gpu_scan_launch(j->lane->stream, j->set, &scan);
  return gpu_check(j->why, cudaGetLastError(), "scanning");
}

static int module_walk_launch(struct module_job *j, uint32_t n) {
  const struct module_parts *p = &j->parts;
  unsigned char *m = j->lane->memory;
  size_t seen = (size_t)n * gpu_walk_seen(j->set) * sizeof(uint32_t);
  GPU_TRY(gpu_check(j->why, cudaMemsetAsync(m + p->seen, 0, seen, j->lane->stream),
                    "clearing what walks have met"));
  struct gpu_walk walk = {};
  walk.allow = j->ask->allow ? (const uint32_t *)(m + p->allow) : NULL;
  walk.queries = (const __half *)(m + p->halves);
  walk.facts = (const struct gpu_row_facts *)(m + p->facts);
  walk.n = n;
  walk.k = j->ask->k;
  walk.width = j->ask->width;
  walk.seen = (uint32_t *)(m + p->seen);
  walk.rows = (uint32_t *)(m + p->rows);
  walk.keys = (float *)(m + p->keys);
  walk.found = (uint32_t *)(m + p->found);
  gpu_walk_launch(j->lane->stream, j->set, &walk);
  return gpu_check(j->why, cudaGetLastError(), "walking");
}

static int module_answer(struct module_job *j, uint32_t first, uint32_t n) {
  const struct module_parts *p = &j->parts;
  const struct vdb_accel_ask *ask = j->ask;
  size_t k = ask->k;
  GPU_TRY(module_copy(j, false, p->rows, p->host_rows, n * k * sizeof(uint32_t)));
  GPU_TRY(module_copy(j, false, p->keys, p->host_keys, n * k * sizeof(float)));
  GPU_TRY(module_copy(j, false, p->found, p->host_found, n * sizeof(uint32_t)));
  GPU_TRY(gpu_check(j->why, cudaStreamSynchronize(j->lane->stream), "waiting for hits"));
  const unsigned char *host = j->lane->host;
  memcpy(ask->rows + first * k, host + p->host_rows, n * k * sizeof(uint32_t));
  memcpy(ask->keys + first * k, host + p->host_keys, n * k * sizeof(float));
  memcpy(ask->counts + first, host + p->host_found, n * sizeof(uint32_t));
  return VDB_ACCEL_OK;
}

static int module_launches(struct module_job *j) {
  GPU_TRY(module_allow(j));
  for (uint32_t first = 0, n; first < j->ask->n; first += n) {
    n = j->ask->n - first;
    if (n > GPU_SCAN_MOST)
      n = GPU_SCAN_MOST;
    GPU_TRY(module_queries(j, first, n));
    GPU_TRY(j->walks ? module_walk_launch(j, n) : module_scan_launch(j, n));
    GPU_TRY(module_answer(j, first, n));
  }
  return VDB_ACCEL_OK;
}

static int module_ask(struct module_job *j) {
  const struct vdb_accel_set *s = j->set;
  if (s->n == 0 || j->ask->k == 0 || j->ask->k > VDB_ACCEL_MAX_K)
    return gpu_fail(j->why, VDB_ACCEL_UNFIT, "%u candidates are not for a device", j->ask->k);
  /* Words of bits are read as such. */
  j->query_bytes = s->n_words ? s->n_words * sizeof(uint32_t) : s->dim * sizeof(float);
  j->allow_bytes = j->ask->allow ? ((size_t)s->n + 63) / 64 * 8 : 0;
  module_lay_out(j);
  GPU_TRY(gpu_lane_take(s->device, j->parts.bytes, j->parts.host_bytes, &j->lane, j->why));
  int status = module_launches(j);
  gpu_lane_give(j->lane, status != VDB_ACCEL_OK);
  return status;
}

static int module_scan(struct vdb_accel_set *set, const struct vdb_accel_ask *ask,
                       struct vdb_accel_why *why) {
  struct module_job job = {};
  job.set = set;
  job.ask = ask;
  job.why = why;
  return module_ask(&job);
}

static int module_walk(struct vdb_accel_set *set, const struct vdb_accel_ask *ask,
                       struct vdb_accel_why *why) {
  struct module_job job = {};
  job.set = set;
  job.ask = ask;
  job.why = why;
  job.walks = true;
  if (set->width == 0 || ask->width < ask->k || ask->width > VDB_ACCEL_MAX_K)
    return gpu_fail(why, VDB_ACCEL_UNFIT, "such a walk is not for a device");
  return module_ask(&job);
}

extern "C" __attribute__((visibility("default"))) const struct vdb_accel_ops *
vdb_accel_table(void) {
  static const struct vdb_accel_ops ops = {
      VDB_ACCEL_VERSION, "cuda",      module_devices, module_describe, gpu_set_need,
      gpu_set_load,      gpu_set_drop, module_scan,    module_walk,     gpu_look};
  return &ops;
}
