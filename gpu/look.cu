/*
 * look.cu - see look.cuh: a question is cut into launches of LOOK_MOST queries, for each of which
 * the forms of its queries go to the device in one copy and the answers come back in one.
 */
#include "look.cuh"

#include "lane.cuh"
#include "probe.cuh"

enum { LOOK_MOST = 128 };

/* Where the parts of one launch are in a lane's memory of the device; those that are copied have
   the same places in that of the host, with the answers behind the forms. */
struct look_parts {
  size_t codes, tables, facts, allow, forms; /* up to `forms` from the host */
  size_t list_keys, near, ends, chosen, lists, counts;
  size_t rows, keys, found, blocks, bytes; /* from `rows` on back to it */
};

struct look_job {
  struct vdb_accel_set *set;
  const struct vdb_accel_look *look;
  struct vdb_accel_why *why;
  struct gpu_lane *lane;
  struct look_parts parts;
  size_t allow_bytes;
  uint32_t table;
  uint32_t probes;
  uint32_t splits; /* at most */
};

static uint32_t look_splits(const struct look_job *j, uint32_t n) {
  return gpu_probe_splits(&j->set->lists, n, j->probes, j->set->processors);
}

static void look_lay_out(struct look_job *j) {
  const struct gpu_list_set *s = &j->set->lists;
  struct look_parts *p = &j->parts;
  struct gpu_layout at = {0};
  size_t n = j->look->n < LOOK_MOST ? j->look->n : (uint32_t)LOOK_MOST, k = j->look->k;
  uint32_t last = (uint32_t)(j->look->n % n);
  size_t shares = look_splits(j, (uint32_t)n) * n;
  if (last > 0 && (size_t)look_splits(j, last) * last > shares)
    shares = (size_t)look_splits(j, last) * last;
  p->allow = gpu_part(&at, 1, j->allow_bytes);
  p->codes = gpu_part(&at, n, s->stride);
  p->tables = gpu_part(&at, n, j->table);
  p->facts = gpu_part(&at, n, sizeof(struct gpu_probe_facts));
  p->forms = at.at;
  p->list_keys = gpu_part(&at, n * s->n, sizeof(float));
  p->near = gpu_part(&at, n * gpu_capacity(j->probes), sizeof(gpu_item));
  p->ends = gpu_part(&at, n * j->probes, sizeof(uint32_t));
  p->chosen = gpu_part(&at, n, sizeof(uint32_t));
  p->lists = gpu_part(&at, shares * gpu_capacity(j->look->k), sizeof(gpu_item));
  p->counts = gpu_part(&at, shares, sizeof(uint32_t));
  p->rows = gpu_part(&at, n * k, sizeof(uint32_t));
  p->keys = gpu_part(&at, n * k, sizeof(float));
  p->found = gpu_part(&at, n, sizeof(uint32_t));
  p->blocks = gpu_part(&at, n, sizeof(uint32_t));
  p->bytes = at.at;
}

static unsigned char *look_host(const struct look_job *j, size_t device) {
  const struct look_parts *p = &j->parts;
  return j->lane->host + (device < p->rows ? device : device - p->rows + p->forms);
}

static int look_copy(struct look_job *j, bool to_device, size_t from, size_t bytes) {
  unsigned char *there = j->lane->memory + from, *here = look_host(j, from);
  cudaError_t error = cudaMemcpyAsync(to_device ? there : here, to_device ? here : there, bytes,
                                      to_device ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToHost,
                                      j->lane->stream);
  return gpu_check(j->why, error, to_device ? "copying queries" : "copying hits");
}

/* Queries first to first + n - 1, and with the first of them the bitmap. */
static int look_forms(struct look_job *j, uint32_t first, uint32_t n) {
  const struct look_parts *p = &j->parts;
  size_t stride = j->set->lists.stride;
  if (first == 0 && j->allow_bytes)
    memcpy(look_host(j, p->allow), j->look->allow, j->allow_bytes);
  for (uint32_t i = 0; i < n; i++) {
    const struct vdb_accel_form *form = &j->look->queries[first + i];
    struct gpu_probe_facts facts = {form->by, form->scale, form->offset};
    memcpy(look_host(j, p->codes) + i * stride, form->code, stride);
    memcpy(look_host(j, p->tables) + (size_t)i * j->table, form->table, j->table);
    memcpy(look_host(j, p->facts) + i * sizeof facts, &facts, sizeof facts);
  }
  size_t from = first == 0 ? 0 : p->codes;
  return look_copy(j, true, from, p->forms - from);
}

static int look_launch(struct look_job *j, uint32_t n) {
  const struct look_parts *p = &j->parts;
  unsigned char *m = j->lane->memory;
  struct gpu_probe probe = {};
  probe.codes = (const int8_t *)(m + p->codes);
  probe.tables = m + p->tables;
  probe.facts = (const struct gpu_probe_facts *)(m + p->facts);
  probe.allow = j->allow_bytes ? (const uint32_t *)(m + p->allow) : NULL;
  probe.n = n;
  probe.k = j->look->k;
  probe.probes = j->probes;
  probe.reach = j->look->reach;
  probe.splits = look_splits(j, n);
  probe.list_keys = (float *)(m + p->list_keys);
  probe.near = (gpu_item *)(m + p->near);
  probe.ends = (uint32_t *)(m + p->ends);
  probe.chosen = (uint32_t *)(m + p->chosen);
  probe.lists = (gpu_item *)(m + p->lists);
  probe.counts = (uint32_t *)(m + p->counts);
  probe.rows = (uint32_t *)(m + p->rows);
  probe.keys = (float *)(m + p->keys);
  probe.found = (uint32_t *)(m + p->found);
  probe.blocks = (uint32_t *)(m + p->blocks);
  gpu_probe_launch(j->lane->stream, &j->set->lists, &probe);
  return gpu_check(j->why, cudaGetLastError(), "looking through lists");
}

static int look_answer(struct look_job *j, uint32_t first, uint32_t n) {
  const struct look_parts *p = &j->parts;
  const struct vdb_accel_look *look = j->look;
  size_t k = look->k;
  GPU_TRY(look_copy(j, false, p->rows, p->bytes - p->rows));
  GPU_TRY(gpu_check(j->why, cudaStreamSynchronize(j->lane->stream), "waiting for hits"));
  memcpy(look->rows + first * k, look_host(j, p->rows), n * k * sizeof(uint32_t));
  memcpy(look->keys + first * k, look_host(j, p->keys), n * k * sizeof(float));
  memcpy(look->counts + first, look_host(j, p->found), n * sizeof(uint32_t));
  memcpy(look->blocks + first, look_host(j, p->blocks), n * sizeof(uint32_t));
  return VDB_ACCEL_OK;
}

static int look_launches(struct look_job *j) {
  for (uint32_t first = 0, n; first < j->look->n; first += n) {
    n = j->look->n - first < LOOK_MOST ? j->look->n - first : (uint32_t)LOOK_MOST;
    GPU_TRY(look_forms(j, first, n));
    GPU_TRY(look_launch(j, n));
    GPU_TRY(look_answer(j, first, n));
  }
  return VDB_ACCEL_OK;
}

int gpu_look(struct vdb_accel_set *set, const struct vdb_accel_look *look,
             struct vdb_accel_why *why) {
  struct look_job j = {};
  const struct gpu_list_set *lists = &set->lists;
  j.set = set;
  j.look = look;
  j.why = why;
  if (lists->n == 0 || look->k == 0 || look->k > VDB_ACCEL_MAX_K || look->probes == 0 ||
      look->probes > VDB_ACCEL_MAX_K)
    return gpu_fail(why, VDB_ACCEL_UNFIT, "%u candidates of %u lists are not for a device", look->k,
                    look->probes);
  j.probes = look->probes < lists->n ? look->probes : lists->n;
  j.table = gpu_probe_table(lists);
  j.allow_bytes = look->allow ? ((size_t)lists->n_rows + 63) / 64 * 8 : 0;
  look_lay_out(&j);
  size_t host = j.parts.forms + j.parts.bytes - j.parts.rows;
  GPU_TRY(gpu_lane_take(set->device, j.parts.bytes, host, &j.lane, why));
  int status = look_launches(&j);
  gpu_lane_give(j.lane, status != VDB_ACCEL_OK);
  return status;
}
