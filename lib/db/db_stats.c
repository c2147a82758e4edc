/* db_stats.c - the numbers of vecdb_stats. */
#include "base/hot.h"
#include "db/db.h"
#include "query/cache.h"

static void stats_segment(const struct vdb_snapshot *snapshot, const struct vdb_seg_view *view,
                          const struct vecdb *db, vecdb_stats *out) {
  const struct vdb_seg *seg = view->seg;
  uint64_t dead = 0;
  for (uint32_t row = 0; vdb_seg_has_dead(view) && row < view->n; row++)
    dead += vdb_seg_row_dead(view, row, snapshot->seq);
  out->rows += view->n - dead;
  out->rows_deleted += dead;
  if (!seg->sealed) {
    out->segments_growing++;
    return;
  }
  out->segments_sealed++;
  out->bytes_files += seg->sealed->blob_id.length;
  bool indexed = false, lacks = false;
  for (uint32_t f = 0; f < snapshot->schema->n_fields; f++) {
    if (seg->indexes[f]) {
      indexed = true;
      out->bytes_index += seg->indexes[f]->blob_id.length;
      out->bytes_files += seg->indexes[f]->blob_id.length;
    } else if (vdb_type_is_dense(snapshot->schema->fields[f].type)) {
      const struct vdb_field *field = &snapshot->schema->fields[f];
      lacks = lacks || vdb_index_wanted(db, field, &snapshot->index[f], view->n);
    }
  }
  out->segments_indexed += indexed && !lacks;
}

VDB_INTERNAL void vdb_stats_collect(struct vecdb_collection *coll, vecdb_stats *out) {
  struct vecdb *db = coll->db;
  vecdb_error err;
  struct vdb_snapshot *snapshot;
  memset(out, 0, sizeof *out);
  out->size = sizeof *out;
  if (vdb_snapshot_take(coll, &snapshot, &err) == VECDB_OK) {
    for (uint32_t i = 0; i < snapshot->n_segs; i++)
      stats_segment(snapshot, &snapshot->segs[i], db, out);
    vdb_snapshot_release(snapshot);
  }
  struct vecdb_collection *now = vdb_collection_current(coll);
  vdb_mutex_lock(&db->write_mu);
  for (uint32_t i = 0; now && i < now->version->n; i++)
    if (now->version->segs[i]->growing)
      out->bytes_memory += now->version->segs[i]->growing->bytes;
  vdb_mutex_unlock(&db->write_mu);
  vdb_collection_unref(now);
  if (db->wal) {
    out->bytes_wal = vdb_wal_bytes(db->wal);
    out->syncs = vdb_wal_syncs(db->wal);
    out->sync_ns = vdb_wal_sync_ns(db->wal);
  }
  out->bytes_allocated = atomic_load(&db->env.mem.used);
  out->commits = atomic_load(&coll->commits);
  out->searches = atomic_load(&coll->searches);
  vdb_mutex_lock(&coll->live.mu);
  out->recall_checks = coll->live.checks;
  out->recall = coll->live.recall;
  vdb_mutex_unlock(&coll->live.mu);
  out->jobs_pending = vdb_jobs_pending(db, coll);
  out->merge_bytes = vdb_jobs_merge_bytes(coll);
  out->merges = atomic_load(&coll->merges_done);
  out->merge_ns = atomic_load(&coll->merge_ns);
  out->index_builds = atomic_load(&coll->index_builds);
  out->index_build_ns = atomic_load(&coll->index_build_ns);
}

VDB_INTERNAL void vdb_stats_memory(struct vecdb *db, vecdb_memory *out) {
  const struct vdb_mem *mem = &db->env.mem;
  uint64_t by[VDB_PURPOSES];
  *out = (vecdb_memory){.size = sizeof *out, .limit = mem->limit};
  for (int i = 0; i < VDB_PURPOSES; i++)
    out->total += by[i] = atomic_load(&mem->by[i]);
  out->rows = by[VDB_FOR_ROWS];
  out->writes = by[VDB_FOR_WRITES];
  out->files = by[VDB_FOR_FILES];
  out->indexes = by[VDB_FOR_INDEX];
  out->builds = by[VDB_FOR_BUILD];
  out->searches = by[VDB_FOR_SEARCH];
  out->results = by[VDB_FOR_RESULTS];
  out->cache = by[VDB_FOR_CACHE];
  out->other = by[VDB_FOR_OTHER];
  struct vdb_cache_counts counts;
  vdb_cache_count(db->cache, &counts);
  out->cache_hits = counts.hits;
  out->cache_misses = counts.misses;
  out->cache_entries = counts.entries;
  out->vectors = by[VDB_FOR_VECTORS];
  struct vdb_hot_counts kept;
  vdb_hot_count(db->env.hot, &kept);
  out->vector_hits = kept.hits;
  out->vector_misses = kept.misses;
  out->vector_entries = kept.entries;
  out->refused = atomic_load(&mem->refused);
}
