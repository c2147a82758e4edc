/* view.c - versions of a collection's segment list, and snapshots of them for readers. */
#include "base/check.h"
#include "db/db.h"

VDB_INTERNAL struct vdb_version *vdb_version_new(struct vdb_mem *mem, uint32_t capacity) {
  struct vdb_version *version =
      vdb_alloc_zero(mem, sizeof *version + capacity * sizeof(struct vdb_seg *));
  if (version) {
    atomic_init(&version->refs, 1);
    version->capacity = capacity;
  }
  return version;
}

VDB_INTERNAL struct vdb_version *vdb_version_ref(struct vdb_version *version) {
  atomic_fetch_add_explicit(&version->refs, 1, memory_order_relaxed);
  return version;
}

VDB_INTERNAL void vdb_version_unref(struct vdb_mem *mem, struct vdb_version *version) {
  if (!version || atomic_fetch_sub_explicit(&version->refs, 1, memory_order_acq_rel) != 1)
    return;
  for (uint32_t i = 0; i < version->n; i++)
    vdb_seg_unref(version->segs[i]);
  vdb_free(mem, version);
}

VDB_INTERNAL struct vdb_version *vdb_version_get(struct vecdb_collection *coll) {
  vdb_mutex_lock(&coll->view_mu);
  struct vdb_version *version = vdb_version_ref(coll->version);
  vdb_mutex_unlock(&coll->view_mu);
  return version;
}

VDB_INTERNAL void vdb_version_set(struct vecdb_collection *coll, struct vdb_version *version) {
  vdb_mutex_lock(&coll->view_mu);
  struct vdb_version *old = coll->version;
  coll->version = version;
  vdb_mutex_unlock(&coll->view_mu);
  vdb_version_unref(&coll->db->env.mem, old);
}

static void view_release_collection(void *owner) { vdb_collection_unref(owner); }

/* Memory for a snapshot of n segments, with everything but the segments filled in. */
static struct vdb_snapshot *view_snapshot_new(struct vecdb_collection *coll, uint32_t n) {
  const struct vdb_schema *schema = coll->schema;
  uint32_t n_fields = schema->n_fields;
  size_t segs_at = vdb_round_up(sizeof(struct vdb_snapshot), 16);
  size_t index_at = segs_at + n * sizeof(struct vdb_seg_view);
  size_t size = index_at + n_fields * sizeof(vecdb_index_params);
  struct vdb_snapshot *snapshot = vdb_alloc(vdb_env_for(&coll->db->env, VDB_FOR_SEARCH), size);
  if (!snapshot)
    return NULL;
  char *base = (char *)snapshot;
  memset(snapshot, 0, sizeof *snapshot);
  snapshot->env = &coll->db->env;
  snapshot->schema = schema;
  if (schema->expiry > 0)
    snapshot->now_ms = vdb_wall_ms(&coll->db->env);
  snapshot->segs = (struct vdb_seg_view *)(void *)(base + segs_at);
  snapshot->index = (vecdb_index_params *)(void *)(base + index_at);
  snapshot->index_rows = coll->db->index_rows;
  return snapshot;
}

/* Fills in the segments of the current version; view_mu or write_mu held. */
static void view_snapshot_fill(struct vecdb_collection *coll, struct vdb_snapshot *snapshot,
                               bool latest) {
  for (uint32_t i = 0; i < coll->version->n; i++) {
    struct vdb_seg *seg = coll->version->segs[i];
    uint32_t n;
    if (seg->sealed)
      n = seg->sealed->n_rows;
    else if (latest)
      n = seg->growing->n_rows;
    else
      n = atomic_load_explicit(&seg->growing->visible, memory_order_acquire);
    if (n == 0)
      continue;
    struct vdb_seg_view view = {vdb_seg_ref(seg), n};
    snapshot->segs[snapshot->n_segs++] = view;
  }
  memcpy((vecdb_index_params *)(uintptr_t)snapshot->index, coll->index,
         coll->schema->n_fields * sizeof *coll->index);
  snapshot->owner = vdb_collection_ref(coll);
  snapshot->release_owner = view_release_collection;
}

/* *replaced: this object stands for the collection no more. */
static int view_take(struct vecdb_collection *coll, struct vdb_snapshot **out, bool *replaced,
                     vecdb_error *err) {
  *out = NULL;
  VDB_TRY(vdb_collection_alive(coll, err));
  /* Memory is taken without the lock; the list may grow meanwhile or the schema change, so look
     again. */
  uint32_t room = 8;
  for (;;) {
    struct vdb_snapshot *snapshot = view_snapshot_new(coll, room);
    if (!snapshot)
      return vdb_fail_memory(err);
    vdb_mutex_lock(&coll->view_mu);
    uint32_t n = coll->version->n;
    *replaced = atomic_load(&coll->replaced);
    if (n <= room && snapshot->schema == coll->schema && !*replaced) {
      snapshot->seq = coll->visible_seq;
      snapshot->serial = coll->serial;
      snapshot->cache = coll->db->cache;
      view_snapshot_fill(coll, snapshot, false);
      vdb_mutex_unlock(&coll->view_mu);
      *out = snapshot;
      return VECDB_OK;
    }
    vdb_mutex_unlock(&coll->view_mu);
    vdb_free(&coll->db->env.mem, snapshot);
    if (*replaced)
      return VECDB_OK;
    room = n + 4;
  }
}

VDB_INTERNAL int vdb_snapshot_take(struct vecdb_collection *coll, struct vdb_snapshot **out,
                                   vecdb_error *err) {
  bool replaced = atomic_load(&coll->replaced);
  *out = NULL;
  if (!replaced)
    VDB_TRY(view_take(coll, out, &replaced, err));
  while (replaced) {
    struct vecdb_collection *now = vdb_collection_current(coll);
    if (!now)
      return vdb_fail(err, VECDB_ERR_CLOSED, "collection '%s' was dropped", coll->name);
    int rc = view_take(now, out, &replaced, err);
    vdb_collection_unref(now);
    VDB_TRY(rc);
  }
  return VECDB_OK;
}

VDB_INTERNAL int vdb_snapshot_latest(struct vecdb_collection *coll, struct vdb_snapshot **out,
                                     vecdb_error *err) {
  struct vdb_snapshot *snapshot = view_snapshot_new(coll, coll->version->n);
  *out = snapshot;
  if (!snapshot)
    return vdb_fail_memory(err);
  snapshot->seq = UINT64_MAX;
  view_snapshot_fill(coll, snapshot, true);
  return VECDB_OK;
}
