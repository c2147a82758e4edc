/* hits.c - ordering and merging of hits; see hits.h. */
#include "query/hits.h"

static int32_t hits_key_type(const struct vdb_snapshot *snapshot) {
  return snapshot->schema->fields[snapshot->schema->key].type;
}

static struct vdb_bytes hits_key(const struct vdb_snapshot *snapshot, struct vdb_qhit hit) {
  return vdb_seg_key(&snapshot->segs[hit.seg], hit.row);
}

VDB_INTERNAL bool vdb_qhit_before(const struct vdb_snapshot *snapshot, struct vdb_qhit a,
                                  struct vdb_qhit b) {
  if (a.key < b.key)
    return true;
  if (a.key > b.key)
    return false;
  return vdb_key_compare(hits_key(snapshot, a), hits_key(snapshot, b), hits_key_type(snapshot)) < 0;
}

/* Lets hits[i] sink until no child comes after it; `n` hits in the heap, the last on top. */
static void hits_sink(const struct vdb_snapshot *snapshot, struct vdb_qhit *hits, size_t n,
                      size_t i) {
  struct vdb_qhit moving = hits[i];
  for (;;) {
    size_t child = 2 * i + 1;
    if (child >= n)
      break;
    if (child + 1 < n && vdb_qhit_before(snapshot, hits[child], hits[child + 1]))
      child++;
    if (!vdb_qhit_before(snapshot, moving, hits[child]))
      break;
    hits[i] = hits[child];
    i = child;
  }
  hits[i] = moving;
}

VDB_INTERNAL void vdb_qhits_sort(const struct vdb_snapshot *snapshot, struct vdb_qhit *hits,
                                 size_t n) {
  size_t ordered = 1;
  while (ordered < n && !vdb_qhit_before(snapshot, hits[ordered], hits[ordered - 1]))
    ordered++;
  if (ordered >= n)
    return;
  for (size_t i = n / 2; i-- > 0;)
    hits_sink(snapshot, hits, n, i);
  while (n > 1) {
    struct vdb_qhit last = hits[--n];
    hits[n] = hits[0];
    hits[0] = last;
    hits_sink(snapshot, hits, n, 0);
  }
}

VDB_INTERNAL void vdb_qhits_of(const struct vdb_snapshot *snapshot, uint32_t seg,
                               const struct vdb_near *near, size_t n, struct vdb_qhit *out) {
  for (size_t i = 0; i < n; i++) {
    out[i].key = near[i].key;
    out[i].seg = seg;
    out[i].row = near[i].row;
  }
  for (size_t first = 0; first < n;) {
    size_t end = first + 1;
    while (end < n && out[end].key == out[first].key)
      end++;
    vdb_qhits_sort(snapshot, out + first, end - first);
    first = end;
  }
}

VDB_INTERNAL size_t vdb_qhits_merge(const struct vdb_snapshot *snapshot, struct vdb_qhit_list a,
                                    struct vdb_qhit_list b, size_t k, struct vdb_qhit *out) {
  size_t i = 0, j = 0, n = 0;
  while (n < k && (i < a.n || j < b.n)) {
    bool from_b =
        i == a.n || (j < b.n && vdb_qhit_before(snapshot, b.items[j], a.items[i]));
    out[n++] = from_b ? b.items[j++] : a.items[i++];
  }
  return n;
}

VDB_INTERNAL int64_t vdb_qhit_id(const struct vdb_snapshot *snapshot, struct vdb_qhit hit) {
  if (hits_key_type(snapshot) != VECDB_INT64)
    return -1;
  int64_t id;
  memcpy(&id, hits_key(snapshot, hit).data, sizeof id);
  return id;
}
