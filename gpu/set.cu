/* set.cu - rows to a device and away; see set.cuh. They pass in chunks through a lane's memory. */
#include "set.cuh"

#include <stdlib.h>

#include "lane.cuh"
#include "select.cuh"
#include "set_host.cuh"

enum { SET_CHUNK = 16 << 20, SET_PACK = 16 /* half floats a row is padded to */ };

static size_t set_row_bytes(const struct vdb_accel_rows *rows) {
  switch (rows->elem) {
  case VDB_ACCEL_F32:
    return (size_t)rows->dim * 4;
  case VDB_ACCEL_F16:
  case VDB_ACCEL_BF16:
    return (size_t)rows->dim * 2;
  case VDB_ACCEL_I8:
    return rows->dim;
  default:
    return rows->dim / 8;
  }
}

/* Rows of a chunk. */
static uint32_t set_at_once(const struct vdb_accel_rows *rows) {
  return (uint32_t)(SET_CHUNK / set_row_bytes(rows));
}

static struct vdb_accel_set set_shape(const struct vdb_accel_rows *rows) {
  struct vdb_accel_set s = {};
  s.elem = rows->elem;
  s.key = rows->key;
  s.n = rows->n;
  s.dim = rows->dim;
  s.n_padded = (rows->n + GPU_TILE - 1) / GPU_TILE * GPU_TILE;
  s.padded = (rows->dim + SET_PACK - 1) / SET_PACK * SET_PACK;
  s.n_words = rows->elem == VDB_ACCEL_BITS ? (rows->dim + 31) / 32 : 0;
  s.width = rows->links ? rows->width : 0;
  s.n_starts = rows->links ? rows->n_starts : 0;
  return s;
}

/* Bytes of each part. */
static size_t set_halves(const struct vdb_accel_set *s) {
  return s->n_words ? 0 : (size_t)s->n_padded * s->padded * sizeof(__half);
}
static size_t set_facts(const struct vdb_accel_set *s) {
  return s->n_words ? 0 : (size_t)s->n_padded * sizeof(struct gpu_row_facts);
}
static size_t set_words(const struct vdb_accel_set *s) {
  return (size_t)s->n_padded * s->n_words * sizeof(uint32_t);
}
static size_t set_links(const struct vdb_accel_set *s) {
  return (size_t)s->n * s->width * sizeof(uint32_t);
}

uint64_t gpu_set_need(const struct vdb_accel_rows *rows) {
  if (rows->lists)
    return gpu_lists_need(rows->lists);
  struct vdb_accel_set s = set_shape(rows);
  return set_halves(&s) + set_facts(&s) + set_words(&s) + set_links(&s) +
         s.n_starts * sizeof(uint32_t);
}

static int set_check(const struct vdb_accel_rows *rows, struct vdb_accel_why *why) {
  if (rows->lists)
    return gpu_lists_check(rows->lists, why);
  bool bits = rows->elem == VDB_ACCEL_BITS;
  if (rows->n == 0 || rows->n > UINT32_MAX / 2 || rows->dim == 0 ||
      rows->dim > VDB_ACCEL_MAX_DIM * (bits ? 8u : 1u))
    return gpu_fail(why, VDB_ACCEL_UNFIT, "%u rows of %u elements are not for a device", rows->n,
                    rows->dim);
  if (bits != (rows->key == VDB_ACCEL_HAMMING) || (bits && rows->links))
    return gpu_fail(why, VDB_ACCEL_UNFIT, "such rows are not compared so on a device");
  if (rows->links && (rows->width == 0 || rows->width > VDB_ACCEL_MAX_LINKS || rows->n_starts == 0))
    return gpu_fail(why, VDB_ACCEL_UNFIT, "a graph of %u links and %u starts is not for a device",
                    rows->width, rows->n_starts);
  return VDB_ACCEL_OK;
}

static int set_part(void *out, size_t bytes, struct vdb_accel_why *why) {
  return bytes ? gpu_check(why, cudaMalloc((void **)out, bytes), "memory for rows") : VDB_ACCEL_OK;
}

static int set_alloc(struct vdb_accel_set *s, struct vdb_accel_why *why) {
  GPU_TRY(set_part(&s->halves, set_halves(s), why));
  GPU_TRY(set_part(&s->facts, set_facts(s), why));
  GPU_TRY(set_part(&s->words, set_words(s), why));
  GPU_TRY(set_part(&s->links, set_links(s), why));
  return set_part(&s->starts, s->n_starts * sizeof(uint32_t), why);
}

/* Rows behind the last are zero. */
static int set_clear(struct vdb_accel_set *s, cudaStream_t stream, struct vdb_accel_why *why) {
  if (s->halves)
    GPU_TRY(gpu_check(why, cudaMemsetAsync(s->halves, 0, set_halves(s), stream), "clearing rows"));
  if (s->words)
    GPU_TRY(gpu_check(why, cudaMemsetAsync(s->words, 0, set_words(s), stream), "clearing rows"));
  return VDB_ACCEL_OK;
}

/* Rows first to first + n - 1, through the lane: raw bytes, then inverse norms. */
static int set_chunk(struct vdb_accel_set *s, const struct vdb_accel_rows *rows, uint32_t first,
                     uint32_t n, struct gpu_lane *lane, struct vdb_accel_why *why) {
  size_t bytes = set_row_bytes(rows);
  for (uint32_t i = 0; i < n; i++)
    memcpy(lane->host + i * bytes,
           (const unsigned char *)rows->data + (size_t)(first + i) * rows->stride, bytes);
  GPU_TRY(gpu_check(why, cudaMemcpyAsync(lane->memory, lane->host, n * bytes,
                                         cudaMemcpyHostToDevice, lane->stream), "copying rows"));
  float *norms = NULL;
  if (rows->key == VDB_ACCEL_COSINE) {
    norms = (float *)(lane->memory + SET_CHUNK);
    memcpy(lane->host + SET_CHUNK, rows->inv_norms + first, n * sizeof *norms);
    GPU_TRY(gpu_check(why, cudaMemcpyAsync(norms, lane->host + SET_CHUNK, n * sizeof *norms,
                                           cudaMemcpyHostToDevice, lane->stream),
                      "copying norms"));
  }
  if (rows->elem == VDB_ACCEL_BITS)
    gpu_pack_bits(lane->stream, lane->memory, n, (uint32_t)bytes, first, s->n_padded, s->words);
  else
    gpu_pack(lane->stream, lane->memory, rows->elem, norms, n, s->dim, s->padded,
             s->halves + (size_t)first * s->padded, s->facts + first);
  GPU_TRY(gpu_check(why, cudaGetLastError(), "packing rows"));
  return gpu_check(why, cudaStreamSynchronize(lane->stream), "packing rows");
}

static int set_links_copy(struct vdb_accel_set *s, const struct vdb_accel_rows *rows,
                          struct gpu_lane *lane, struct vdb_accel_why *why) {
  if (!rows->links)
    return VDB_ACCEL_OK;
  GPU_TRY(gpu_check(why, cudaMemcpyAsync(s->links, rows->links, set_links(s),
                                         cudaMemcpyHostToDevice, lane->stream), "copying links"));
  GPU_TRY(gpu_check(why, cudaMemcpyAsync(s->starts, rows->starts, s->n_starts * sizeof *s->starts,
                                         cudaMemcpyHostToDevice, lane->stream), "copying starts"));
  return gpu_check(why, cudaStreamSynchronize(lane->stream), "copying links");
}

static int set_fill(struct vdb_accel_set *s, const struct vdb_accel_rows *rows,
                    struct gpu_lane *lane, struct vdb_accel_why *why) {
  if (rows->lists)
    return gpu_lists_fill(&s->lists, rows->lists, lane->stream, why);
  GPU_TRY(set_alloc(s, why));
  GPU_TRY(set_clear(s, lane->stream, why));
  for (uint32_t first = 0, n; first < rows->n; first += n) {
    n = rows->n - first < set_at_once(rows) ? rows->n - first : set_at_once(rows);
    GPU_TRY(set_chunk(s, rows, first, n, lane, why));
  }
  return set_links_copy(s, rows, lane, why);
}

int gpu_set_load(uint32_t device, const struct vdb_accel_rows *rows, struct vdb_accel_set **out,
                 struct vdb_accel_why *why) {
  GPU_TRY(set_check(rows, why));
  struct gpu_lane *lane;
  /* Norms follow their rows; lists need no room on the way. */
  size_t bytes = rows->lists ? 0 : SET_CHUNK + set_at_once(rows) * sizeof(float);
  GPU_TRY(gpu_lane_take((int)device, bytes, bytes, &lane, why));
  struct vdb_accel_set *s = (struct vdb_accel_set *)malloc(sizeof *s);
  int status = VDB_ACCEL_NO_MEMORY;
  if (s) {
    *s = rows->lists ? vdb_accel_set{} : set_shape(rows);
    s->device = (int)device;
    s->processors = lane->processors;
    status = set_fill(s, rows, lane, why);
  } else {
    gpu_fail(why, status, "out of memory");
  }
  gpu_lane_give(lane, status != VDB_ACCEL_OK);
  if (status != VDB_ACCEL_OK && s)
    gpu_set_drop(s);
  else
    *out = s;
  return status;
}

void gpu_set_drop(struct vdb_accel_set *s) {
  cudaSetDevice(s->device);
  cudaFree(s->halves);
  cudaFree(s->facts);
  cudaFree(s->words);
  cudaFree(s->links);
  cudaFree(s->starts);
  gpu_lists_drop(&s->lists);
  free(s);
}
