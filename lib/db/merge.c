/* merge.c - several sealed segments into one without dead rows, and vector indexes for segments. */
#include "base/check.h"
#include "db/db.h"

/* Most rows and bytes of a merged segment. */
#define MERGE_MAX_ROWS (4u << 20)
#define MERGE_MAX_BYTES ((uint64_t)16 << 30)

enum { MERGE_SAMPLE = 1024 }; /* rows looked at for expired ones */

/* From rows of the sources to rows of the merged segment, for deletes that come while merging. */
struct merge_map {
  struct vdb_mem *mem;
  struct vdb_seg *const *segs;
  uint64_t **bits; /* rows taken, per source */
  uint32_t n;
  struct vdb_seg *merged;
  uint64_t until; /* marks above this are left for later */
};

/* An index of a source for that of the merged segment to begin with: the one that most rows come
   from, of those of the same kind. False: there is none. */
static bool merge_origin(const struct merge_map *map, uint32_t field,
                         const vecdb_index_params *params, uint32_t *source) {
  uint64_t most = 0;
  for (uint32_t i = 0; map && i < map->n; i++) {
    const struct vdb_seg_index *index = map->segs[i]->indexes[field];
    uint64_t rows = vdb_bits_count(map->bits[i], map->segs[i]->sealed->n_rows);
    if (!index || rows <= most || index->params.type != params->type ||
        index->params.m != params->m || index->params.ef_construction != params->ef_construction)
      continue;
    most = rows;
    *source = i;
  }
  return most > 0;
}

/* What the rows of a source are in the merged segment, to be freed; NULL when out of memory. */
static uint32_t *merge_rows(const struct merge_map *map, uint32_t source) {
  uint32_t n_rows = map->segs[source]->sealed->n_rows;
  uint32_t *rows = vdb_alloc_array(map->mem, n_rows, sizeof *rows);
  uint32_t at = 0;
  for (uint32_t i = 0; i < source; i++)
    at += (uint32_t)vdb_bits_count(map->bits[i], map->segs[i]->sealed->n_rows);
  for (uint32_t row = 0; rows && row < n_rows; row++)
    rows[row] = vdb_bit_get(map->bits[source], row) ? at++ : VDB_INDEX_GONE;
  return rows;
}

/* Writes an index, upon that of a source of the merge if there is one that it can begin with. */
static int merge_write_index(const struct merge_map *map, struct vdb_seg_index_build *build,
                             struct vdb_blob_id *id, vecdb_error *err) {
  uint32_t source;
  if (!merge_origin(map, build->field, &build->params, &source))
    return vdb_seg_index_build(build, id, err);
  uint32_t *rows = merge_rows(map, source);
  if (!rows)
    return vdb_fail_memory(err);
  struct vdb_index_from from = {map->segs[source]->indexes[build->field]->index, rows};
  build->from = &from;
  int rc = vdb_seg_index_build(build, id, err);
  vdb_free(map->mem, rows);
  return rc;
}

/* What AUTO stands for in a segment: by its size, and of a large one by a bake-off, whose result
   stays in `bakeoff`. */
static int merge_auto(struct vecdb *db, struct vdb_seg_index_build *build,
                      const struct vdb_index_field *over, struct vdb_bakeoff *bakeoff,
                      vecdb_error *err) {
  const struct vdb_vecs *vecs = &build->seg->sealed->vecs[build->field];
  vecdb_index_params settings = build->params, lists;
  vdb_budget_auto(db, &settings, over, vecs->n, &build->params);
  build->params.size = sizeof build->params;
  bool graph = vdb_index_kind(build->params.type)->coarse == VDB_COARSE_GRAPH;
  if (!graph || !vdb_bakeoff_wanted(vecs) ||
      !vdb_index_auto_lists(&settings, over, vecs->n, &lists) ||
      !vdb_budget_fits(db, &lists, over, vecs->n))
    return VECDB_OK;
  lists.size = sizeof lists;
  VDB_TRY(vdb_index_params_fill(&build->params, over, err));
  VDB_TRY(vdb_index_params_fill(&lists, over, err));
  struct vdb_bakeoff_case c = {.mem = vdb_env_for(build->seg->env, VDB_FOR_BUILD),
                               .vecs = vecs,
                               .par = build->par,
                               .graph = &build->params,
                               .lists = &lists,
                               .recall = settings.recall > 0 ? settings.recall : VDB_DEFAULT_RECALL,
                               .seed = build->seed,
                               .stop = build->control ? vdb_control_stop : NULL,
                               .stop_arg = build->control};
  int rc = vdb_bakeoff_hold(&c, bakeoff, err);
  if (rc == VECDB_ERR_CANCELLED && build->control)
    return vdb_control_fail(build->control, err);
  VDB_TRY(rc);
  build->bakeoff = bakeoff;
  if (bakeoff->lists_taken)
    build->params = lists;
  return VECDB_OK;
}

/* Builds and opens one index of a sealed segment that is not published yet, or is a private
   copy; `map` says what it was merged from, or is NULL. */
static int merge_build_index(struct vecdb_collection *coll, const struct merge_map *map,
                             struct vdb_seg *seg, uint32_t f, const vecdb_index_params *settings,
                             struct vdb_control *control, vecdb_error *err) {
  struct vecdb *db = coll->db;
  const struct vdb_field *field = &coll->schema->fields[f];
  struct vdb_par par = vdb_pool_par(db->pool, 0);
  struct vdb_seg_index_build build = {seg,  db->dir, vdb_change_file(db), f,       *settings,
                                      &par, NULL,    db->env.seed,        control, NULL};
  struct vdb_index_field over = vdb_seg_index_field(field);
  struct vdb_bakeoff bakeoff;
  if (build.params.type == VECDB_INDEX_AUTO)
    VDB_TRY(merge_auto(db, &build, &over, &bakeoff, err));
  build.params.size = sizeof build.params;
  VDB_TRY(vdb_index_params_fill(&build.params, &over, err));
  vdb_index_params_settle(&build.params, seg->sealed->n_rows);
  VDB_TRY(vdb_budget_check(db, &build.params, &over, seg->sealed->n_rows, err));
  struct vdb_seg_index_open open = {seg, db->dir, {0}, f, build.params, NULL, false, NULL};
  uint64_t began = vdb_now_ns(&db->env);
  VDB_TRY(merge_write_index(map, &build, &open.blob, err));
  struct vdb_seg_index *index;
  int rc = vdb_seg_index_open(&open, &index, err);
  if (!rc)
    rc = vdb_seg_index_measure(index, &par, db->env.seed, control, err);
  if (rc) {
    vdb_seg_index_unref(index);
    vdb_change_remove(db, VDB_BLOB_INDEX, open.blob.file);
    return rc;
  }
  seg->indexes[f] = index;
  atomic_fetch_add(&coll->index_builds, 1);
  atomic_fetch_add(&coll->index_build_ns, vdb_now_ns(&db->env) - began);
  return VECDB_OK;
}

/* The current index settings. */
static void merge_settings(struct vecdb_collection *coll, uint32_t field, vecdb_index_params *out) {
  vdb_mutex_lock(&coll->view_mu);
  *out = coll->index[field];
  vdb_mutex_unlock(&coll->view_mu);
}

/* What an index must be built, or go, for a field of a segment. */
enum merge_need { MERGE_NEED_NOTHING, MERGE_NEED_BUILD, MERGE_NEED_DROP };

static enum merge_need merge_index_need(struct vecdb_collection *coll, const struct vdb_seg *seg,
                                        uint32_t field, vecdb_index_params *settings) {
  const struct vdb_field *f = &coll->schema->fields[field];
  if (!vdb_type_is_dense(f->type))
    return MERGE_NEED_NOTHING;
  merge_settings(coll, field, settings);
  uint32_t n_rows = seg->sealed->n_rows;
  if (seg->indexes[field]) /* a smaller memory_limit than when it was built is no reason to go */
    return vdb_index_asked(coll->db, f, settings, n_rows) ? MERGE_NEED_NOTHING : MERGE_NEED_DROP;
  return vdb_index_wanted(coll->db, f, settings, n_rows) ? MERGE_NEED_BUILD : MERGE_NEED_NOTHING;
}

static int merge_build_all(struct vecdb_collection *coll, const struct merge_map *map,
                           struct vdb_control *control, vecdb_error *err) {
  struct vdb_seg *seg = map->merged;
  for (uint32_t f = 0; f < coll->schema->n_fields; f++) {
    vecdb_index_params settings;
    if (merge_index_need(coll, seg, f, &settings) == MERGE_NEED_BUILD)
      VDB_TRY(merge_build_index(coll, map, seg, f, &settings, control, err));
  }
  return VECDB_OK;
}

/* Files of a segment that was not published, or is no longer, go with their last user. */
static void merge_abandon(struct vdb_seg *seg, const struct vdb_seg *keep) {
  if (!seg)
    return;
  if (!keep)
    atomic_store(&seg->sealed->obsolete, true);
  for (uint32_t f = 0; f < seg->schema->n_fields; f++)
    if (seg->indexes[f] && (!keep || keep->indexes[f] != seg->indexes[f]))
      atomic_store(&seg->indexes[f]->obsolete, true);
}

/* Copies delete marks that the merged segment lacks. Its pages are reserved: nothing can fail. */
static void merge_carry(void *arg) {
  struct merge_map *map = arg;
  uint32_t at = 0;
  for (uint32_t i = 0; i < map->n; i++) {
    const struct vdb_seg *seg = map->segs[i];
    uint32_t n_rows = seg->sealed->n_rows;
    for (size_t row = vdb_bits_next(map->bits[i], n_rows, 0); row < n_rows;
         row = vdb_bits_next(map->bits[i], n_rows, row + 1), at++) {
      uint64_t seq = vdb_tombs_at(seg->tombs, (uint32_t)row);
      if (seq != 0 && seq <= map->until && vdb_tombs_at(map->merged->tombs, at) == 0)
        vdb_tombs_mark(map->merged->tombs, at, seq);
    }
  }
}

/* The last marks, in the moment of the exchange. Rows that live need no memory for theirs any
   more. */
static void merge_finish_marks(void *arg) {
  struct merge_map *map = arg;
  merge_carry(map);
  vdb_tombs_trim(map->mem, map->merged->tombs);
}

/* Clears the bits of rows that have expired. */
static void merge_drop_expired(const struct vdb_seg *seg, uint64_t *bits) {
  int64_t now = vdb_wall_ms(seg->env);
  for (uint32_t row = 0; row < seg->sealed->n_rows; row++)
    if (vdb_row_expired(seg->schema, seg->sealed->columns, row, now))
      vdb_bit_clear(bits, row);
}

VDB_INTERNAL bool vdb_merge_rotten(const struct vdb_seg *seg) {
  uint32_t n_rows = seg->sealed->n_rows, expired = 0;
  uint64_t dead = vdb_tombs_count(seg->tombs);
  if (seg->schema->expiry > 0) {
    int64_t now = vdb_wall_ms(seg->env);
    uint32_t n = vdb_min_u32(n_rows, MERGE_SAMPLE);
    for (uint32_t i = 0; i < n; i++) {
      uint32_t row = (uint32_t)((uint64_t)i * n_rows / n);
      expired += vdb_tombs_at(seg->tombs, row) == 0 &&
                 vdb_row_expired(seg->schema, seg->sealed->columns, row, now);
    }
    dead += (uint64_t)expired * n_rows / n;
  }
  return dead * 5 > n_rows;
}

/* Which rows of each source live at `seq`, and have not expired. */
static int merge_choose(struct merge_map *map, uint64_t seq, struct vdb_sealed_source *sources,
                        uint64_t *total, vecdb_error *err) {
  *total = 0;
  for (uint32_t i = 0; i < map->n; i++) {
    uint32_t n_rows = map->segs[i]->sealed->n_rows;
    map->bits[i] = vdb_alloc_zero(map->mem, vdb_bits_words(n_rows) * sizeof(uint64_t));
    if (!map->bits[i])
      return vdb_fail_memory(err);
    vdb_bits_fill(map->bits[i], n_rows);
    vdb_tombs_clear_dead(map->segs[i]->tombs, 0, n_rows, seq, map->bits[i]);
    if (map->segs[i]->schema->expiry > 0)
      merge_drop_expired(map->segs[i], map->bits[i]);
    struct vdb_sealed_source source = {{map->segs[i], n_rows}, map->bits[i],
                                       (uint32_t)vdb_bits_count(map->bits[i], n_rows)};
    sources[i] = source;
    *total += source.n;
  }
  return VECDB_OK;
}

/* Writes, opens and indexes the merged segment. */
static int merge_write(struct vecdb_collection *coll, struct merge_map *map,
                       const struct vdb_sealed_source *sources, uint64_t total,
                       struct vdb_control *control, vecdb_error *err) {
  VDB_TRY(vdb_seal_rows(coll, sources, map->n, NULL, control, &map->merged, err));
  for (uint32_t row = 0; row < total; row += 64)
    if (!vdb_tombs_reserve(vdb_env_for(&coll->db->env, VDB_FOR_ROWS), map->merged->tombs, row))
      return vdb_fail_memory(err);
  return merge_build_all(coll, map, control, err);
}

/* Puts the merged segment (or nothing, when no row lives) in the place of its sources. */
static int merge_commit(struct vecdb_collection *coll, struct merge_map *map, bool *keep,
                        vecdb_error *err) {
  struct vecdb *db = coll->db;
  struct vdb_change change = {.coll = coll, .removed = map->segs, .n_removed = map->n,
                              .added = map->merged};
  vdb_mutex_lock(&db->manifest_mu);
  int rc = vdb_collection_alive(coll, err);
  if (!rc && map->merged) {
    /* Deletes that earlier tombstone files hold must be in the merged segment's first one. */
    vdb_mutex_lock(&db->write_mu);
    map->until = coll->files_seq;
    vdb_mutex_unlock(&db->write_mu);
    merge_carry(map);
    map->until = UINT64_MAX;
    change.before_swap = merge_finish_marks;
    change.arg = map;
  }
  if (!rc)
    rc = vdb_change_commit(db, &change, keep, err);
  if (!rc) {
    for (uint32_t i = 0; i < map->n; i++) {
      merge_abandon(map->segs[i], NULL);
      vdb_change_remove(db, VDB_BLOB_TOMBS, map->segs[i]->tombs_blob.file);
    }
  }
  vdb_mutex_unlock(&db->manifest_mu);
  return rc;
}

/* The moment as of which a merge drops deleted rows. The deletes up to there must not be lost with
   an unsynced log, when the rows are gone for good. */
static int merge_moment(struct vecdb_collection *coll, uint64_t *seq, vecdb_error *err) {
  struct vecdb *db = coll->db;
  vdb_mutex_lock(&coll->view_mu);
  *seq = coll->visible_seq;
  vdb_mutex_unlock(&coll->view_mu);
  vdb_mutex_lock(&db->write_mu);
  int rc = vdb_commit_sync(db, *seq, err);
  vdb_mutex_unlock(&db->write_mu);
  return rc;
}

VDB_INTERNAL int vdb_merge(struct vecdb_collection *coll, struct vdb_seg *const *segs, uint32_t n,
                           struct vdb_control *control, vecdb_error *err) {
  struct vecdb *db = coll->db;
  struct merge_map map = {.mem = vdb_env_for(&db->env, VDB_FOR_BUILD), .segs = segs, .n = n};
  struct vdb_sealed_source *sources = vdb_alloc_array(map.mem, n, sizeof *sources);
  map.bits = vdb_alloc_zero(map.mem, n * sizeof(uint64_t *));
  uint64_t total = 0;
  bool keep = false;
  uint64_t seq, began = vdb_now_ns(&db->env);
  int rc = sources && map.bits ? VECDB_OK : vdb_fail_memory(err);
  if (!rc)
    rc = merge_moment(coll, &seq, err);
  if (!rc)
    rc = merge_choose(&map, seq, sources, &total, err);
  if (!rc && total > 0)
    rc = vdb_budget_check_merge(coll, total, err);
  if (!rc && total > 0)
    rc = merge_write(coll, &map, sources, total, control, err);
  if (!rc)
    rc = merge_commit(coll, &map, &keep, err);
  if (rc && !keep)
    merge_abandon(map.merged, NULL);
  if (!rc) {
    atomic_fetch_add(&coll->merges_done, 1);
    atomic_fetch_add(&coll->merge_ns, vdb_now_ns(&db->env) - began);
  }
  vdb_seg_unref(map.merged);
  for (uint32_t i = 0; map.bits && i < n; i++)
    vdb_free(map.mem, map.bits[i]);
  vdb_free(map.mem, map.bits);
  vdb_free(map.mem, sources);
  return rc;
}

/* Changes the indexes of a private copy as the settings say; *did tells whether any. */
static int merge_reindex(struct vecdb_collection *coll, struct vdb_seg *copy,
                         struct vdb_control *control, bool *did, vecdb_error *err) {
  for (uint32_t f = 0; f < coll->schema->n_fields; f++) {
    vecdb_index_params settings;
    enum merge_need need = merge_index_need(coll, copy, f, &settings);
    if (need == MERGE_NEED_NOTHING)
      continue;
    *did = true;
    if (need == MERGE_NEED_BUILD) {
      VDB_TRY(merge_build_index(coll, NULL, copy, f, &settings, control, err));
    } else {
      vdb_seg_index_unref(copy->indexes[f]);
      copy->indexes[f] = NULL;
    }
  }
  return VECDB_OK;
}

/* A copy of the segment as it is now in the version may have newer tombstone files than `copy`. */
static int merge_publish_copy(struct vecdb_collection *coll, struct vdb_seg *seg,
                              struct vdb_seg *copy, bool *keep, vecdb_error *err) {
  struct vecdb *db = coll->db;
  vdb_mutex_lock(&db->manifest_mu);
  copy->tombs_blob = seg->tombs_blob;
  copy->tombs_saved = seg->tombs_saved;
  struct vdb_change change = {.coll = coll, .removed = &seg, .n_removed = 1, .added = copy};
  int rc = vdb_collection_alive(coll, err);
  if (!rc)
    rc = vdb_change_commit(db, &change, keep, err);
  if (!rc)
    merge_abandon(seg, copy);
  vdb_mutex_unlock(&db->manifest_mu);
  return rc;
}

VDB_INTERNAL int vdb_index_segment(struct vecdb_collection *coll, struct vdb_seg *seg,
                                   struct vdb_control *control, bool *did, vecdb_error *err) {
  *did = false;
  bool needed = false;
  for (uint32_t f = 0; f < coll->schema->n_fields; f++) {
    vecdb_index_params settings;
    needed = needed || merge_index_need(coll, seg, f, &settings) != MERGE_NEED_NOTHING;
  }
  if (!needed)
    return VECDB_OK;
  struct vdb_seg *copy;
  bool keep = false;
  vdb_mutex_lock(&coll->db->manifest_mu);
  int rc = vdb_seg_copy(seg, &copy, err);
  vdb_mutex_unlock(&coll->db->manifest_mu);
  VDB_TRY(rc);
  rc = merge_reindex(coll, copy, control, did, err);
  if (!rc && *did)
    rc = merge_publish_copy(coll, seg, copy, &keep, err);
  if (rc && !keep)
    merge_abandon(copy, seg);
  vdb_seg_unref(copy);
  return rc;
}

/* References to the sealed segments of a collection; *n of them, in an array to be freed. */
static int merge_sealed_list(struct vecdb_collection *coll, struct vdb_version **version,
                             struct vdb_seg ***segs, uint32_t *n, vecdb_error *err) {
  *version = vdb_version_get(coll);
  *n = 0;
  *segs = vdb_alloc_array(&coll->db->env.mem, (*version)->n + 1u, sizeof(struct vdb_seg *));
  if (!*segs) {
    vdb_version_unref(&coll->db->env.mem, *version);
    return vdb_fail_memory(err);
  }
  for (uint32_t i = 0; i < (*version)->n; i++)
    if ((*version)->segs[i]->sealed)
      (*segs)[(*n)++] = (*version)->segs[i];
  return VECDB_OK;
}

/* Whether the segment's files are encrypted by a data key that new files do not get. */
static bool merge_of_old_key(const struct vdb_seg *seg) {
  uint32_t current = vdb_keys_current(seg->env);
  bool old = vdb_blob_key(seg->sealed->blob) != current;
  for (uint32_t f = 0; !old && f < seg->schema->n_fields; f++)
    old = seg->indexes[f] && vdb_blob_key(seg->indexes[f]->blob) != current;
  return old;
}

/* Whether writing a segment anew frees anything, or puts it under the current data key. */
static bool merge_pays(const struct vdb_seg *seg) {
  bool pays = vdb_tombs_count(seg->tombs) > 0 || seg->sealed->stale || merge_of_old_key(seg);
  int64_t now = seg->schema->expiry == 0 ? 0 : vdb_wall_ms(seg->env);
  for (uint32_t row = 0; !pays && seg->schema->expiry > 0 && row < seg->sealed->n_rows; row++)
    pays = vdb_row_expired(seg->schema, seg->sealed->columns, row, now);
  return pays;
}

/* Merges runs of neighbours up to the size limits; then indexes what has none. */
static int merge_compact_list(struct vecdb_collection *coll, struct vdb_seg *const *segs,
                              uint32_t n, struct vdb_control *control, vecdb_error *err) {
  for (uint32_t i = 0, end; i < n; i = end) {
    uint64_t rows = 0, bytes = 0;
    for (end = i; end < n; end++) {
      rows += segs[end]->sealed->n_rows;
      bytes += segs[end]->sealed->blob_id.length;
      if (end > i && (rows > MERGE_MAX_ROWS || bytes > MERGE_MAX_BYTES ||
                      !vdb_budget_merges(coll, rows)))
        break;
    }
    bool did;
    if (end - i > 1 || merge_pays(segs[i]))
      VDB_TRY(vdb_merge(coll, segs + i, end - i, control, err));
    else
      VDB_TRY(vdb_index_segment(coll, segs[i], control, &did, err));
  }
  return VECDB_OK;
}

VDB_INTERNAL int vdb_merge_lock(struct vecdb_collection *coll, struct vdb_control *control,
                                vecdb_error *err) {
  atomic_fetch_add(&coll->preempt, 1);
  int rc = vdb_control_lock(control, &coll->merge_mu, err);
  atomic_fetch_sub(&coll->preempt, 1);
  return rc;
}

VDB_INTERNAL int vdb_compact(struct vecdb_collection *coll, struct vdb_control *control,
                             vecdb_error *err) {
  VDB_TRY(vdb_flush(coll, control, err));
  VDB_TRY(vdb_merge_lock(coll, control, err));
  struct vdb_version *version;
  struct vdb_seg **segs;
  uint32_t n;
  int rc = merge_sealed_list(coll, &version, &segs, &n, err);
  if (!rc) {
    rc = merge_compact_list(coll, segs, n, control, err);
    vdb_free(&coll->db->env.mem, segs);
    vdb_version_unref(&coll->db->env.mem, version);
  }
  vdb_mutex_unlock(&coll->merge_mu);
  vdb_jobs_kick(coll->db); /* what gave way */
  return rc;
}

/* Makes new settings durable and drops the files that the old ones asked for. */
static int merge_set(struct vecdb_collection *coll, uint32_t field,
                     const vecdb_index_params *params, vecdb_error *err) {
  struct vecdb *db = coll->db;
  size_t bytes = coll->schema->n_fields * sizeof(vecdb_index_params);
  vecdb_index_params *settings = vdb_alloc(&db->env.mem, bytes);
  if (!settings)
    return vdb_fail_memory(err);
  vdb_mutex_lock(&db->manifest_mu);
  memcpy(settings, coll->index, bytes);
  settings[field] = *params;
  struct vdb_change change = {.coll = coll, .index = settings};
  bool keep;
  int rc = vdb_collection_alive(coll, err);
  if (!rc)
    rc = vdb_change_commit(db, &change, &keep, err);
  vdb_mutex_unlock(&db->manifest_mu);
  vdb_free(&db->env.mem, settings);
  return rc;
}

/* Whether an index was built with the build parameters that the settings ask for cannot be seen
   from the file, so a change of settings drops the old index first. */
static int merge_drop_indexes(struct vecdb_collection *coll, uint32_t field, vecdb_error *err) {
  vecdb_index_params flat = {.size = sizeof flat, .type = VECDB_INDEX_FLAT};
  VDB_TRY(merge_set(coll, field, &flat, err));
  struct vdb_version *version;
  struct vdb_seg **segs;
  uint32_t n;
  VDB_TRY(merge_sealed_list(coll, &version, &segs, &n, err));
  int rc = VECDB_OK;
  for (uint32_t i = 0; !rc && i < n; i++) {
    bool did;
    if (segs[i]->indexes[field])
      rc = vdb_index_segment(coll, segs[i], NULL, &did, err);
  }
  vdb_free(&coll->db->env.mem, segs);
  vdb_version_unref(&coll->db->env.mem, version);
  return rc;
}

static int merge_build_indexes(struct vecdb_collection *coll, struct vdb_control *control,
                               vecdb_error *err) {
  struct vdb_version *version;
  struct vdb_seg **segs;
  uint32_t n;
  VDB_TRY(merge_sealed_list(coll, &version, &segs, &n, err));
  int rc = VECDB_OK;
  for (uint32_t i = 0; !rc && i < n; i++) {
    bool did;
    rc = vdb_index_segment(coll, segs[i], control, &did, err);
  }
  vdb_free(&coll->db->env.mem, segs);
  vdb_version_unref(&coll->db->env.mem, version);
  return rc;
}

/* Whether memory_limit allows the index of each segment, before the old ones are dropped. */
static int merge_check_budget(struct vecdb_collection *coll, uint32_t field,
                              const vecdb_index_params *params, vecdb_error *err) {
  struct vdb_version *version = vdb_version_get(coll);
  struct vdb_index_field over = vdb_seg_index_field(&coll->schema->fields[field]);
  int rc = VECDB_OK;
  for (uint32_t i = 0; !rc && i < version->n; i++)
    if (version->segs[i]->sealed)
      rc = vdb_budget_check(coll->db, params, &over, version->segs[i]->sealed->n_rows, err);
  vdb_version_unref(&coll->db->env.mem, version);
  return rc;
}

VDB_INTERNAL int vdb_index_set(struct vecdb_collection *coll, uint32_t id,
                               const vecdb_index_params *params, struct vdb_control *control,
                               vecdb_error *err) {
  if (!coll->db->wal)
    return vdb_fail(err, VECDB_ERR_READ_ONLY, "the database is open for reading only");
  VDB_TRY(vdb_collection_alive(coll, err));
  VDB_TRY(vdb_merge_lock(coll, control, err));
  uint32_t field = (uint32_t)vdb_schema_by_id(coll->schema, id); /* vectors are never dropped */
  int rc = merge_check_budget(coll, field, params, err);
  rc = rc ? rc : merge_drop_indexes(coll, field, err);
  if (!rc && params->type != VECDB_INDEX_FLAT) {
    rc = merge_set(coll, field, params, err);
    if (!rc)
      rc = merge_build_indexes(coll, control, err);
  }
  vdb_mutex_unlock(&coll->merge_mu);
  vdb_jobs_kick(coll->db); /* what gave way */
  return rc;
}
