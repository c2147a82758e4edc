/* seg_files.c - the files beside a segment's rows: vector indexes and tombstones; see sealed.h. */
#include "base/check.h"
#include "seg/sealed.h"
#include "seg/sealed_format.h"

struct seg_progress {
  struct vdb_control *control;
};

static bool seg_build_progress(void *arg, uint64_t done, uint64_t total) {
  struct seg_progress *p = arg;
  return p->control && vdb_control_progress(p->control, "build", done, total) != 0;
}

VDB_INTERNAL int vdb_seg_index_build(const struct vdb_seg_index_build *b, struct vdb_blob_id *id,
                                     vecdb_error *err) {
  const struct vdb_vecs *vecs = &b->seg->sealed->vecs[b->field];
  const struct vdb_index_ops *ops = vdb_index_ops_of(b->params.type, vecs->elem);
  vdb_assert(ops && b->seg->sealed);
  struct vdb_env *env = b->seg->env;
  struct vdb_blob_writer *blob;
  VDB_TRY(vdb_blob_create(env, b->dir, VDB_BLOB_INDEX, b->number, &blob, err));
  struct seg_progress progress = {b->control};
  struct vdb_index_build build = {
      .mem = vdb_env_for(env, VDB_FOR_BUILD),
      .vecs = vecs,
      .par = b->par,
      .params = b->params,
      .kind = vdb_index_kind(b->params.type),
      .from = b->from,
      .seed = b->seed,
      .progress = seg_build_progress,
      .progress_arg = &progress,
      .out = vdb_blob_sections(blob),
      .number = b->field,
  };
  int rc = ops->build(&build, err);
  if (!rc && b->bakeoff)
    rc = vdb_bakeoff_write(b->bakeoff, build.out, b->field, err);
  if (rc) {
    vdb_blob_abort(blob);
    if (rc == VECDB_ERR_CANCELLED && b->control)
      return vdb_control_fail(b->control, err);
    return rc;
  }
  return vdb_blob_finish(blob, id, err);
}

VDB_INTERNAL int vdb_seg_index_open(const struct vdb_seg_index_open *o, struct vdb_seg_index **out,
                                    vecdb_error *err) {
  *out = NULL;
  struct vdb_env *env = o->seg->env;
  const struct vdb_vecs *vecs = &o->seg->sealed->vecs[o->field];
  const struct vdb_index_ops *ops = vdb_index_ops_of(o->params.type, vecs->elem);
  if (!ops)
    return vdb_fail(err, VECDB_ERR_CORRUPT, "index file %llu is of unknown type %d",
                    (unsigned long long)o->blob.file, (int)o->params.type);
  struct vdb_seg_index *index = vdb_alloc_zero(vdb_env_for(env, VDB_FOR_INDEX), sizeof *index);
  if (!index)
    return vdb_fail_memory(err);
  atomic_init(&index->refs, 1);
  index->env = env;
  index->dir = o->dir;
  index->blob_id = o->blob;
  index->field = o->field;
  index->params = o->params;
  if (o->curve)
    index->curve = *o->curve;
  int rc = vdb_blob_open(env, o->dir, VDB_BLOB_INDEX, &o->blob, false, &index->blob, err);
  if (!rc && o->full)
    rc = vdb_seg_verify(index->blob, o->control, err);
  if (!rc)
    rc = ops->open(vdb_env_for(env, VDB_FOR_INDEX), vdb_blob_reader(index->blob), o->field, vecs,
                   &index->index, err);
  if (rc) {
    vdb_seg_index_unref(index);
    return rc;
  }
  vdb_bakeoff_read(vdb_blob_reader(index->blob), o->field, &index->bakeoff);
  *out = index;
  return VECDB_OK;
}

VDB_INTERNAL int vdb_seg_index_measure(struct vdb_seg_index *index, const struct vdb_par *par,
                                       uint64_t seed, struct vdb_control *control,
                                       vecdb_error *err) {
  struct vdb_curve_measure m = {.mem = vdb_env_for(index->env, VDB_FOR_BUILD),
                                .index = index->index, .par = par,
                                .seed = seed};
  m.stop = control ? vdb_control_stop : NULL;
  m.stop_arg = control;
  int rc = vdb_curve_measure(&m, &index->curve, err);
  return rc == VECDB_ERR_CANCELLED && control ? vdb_control_fail(control, err) : rc;
}

VDB_INTERNAL uint64_t vdb_seg_tombs_until(const struct vdb_seg *seg, uint64_t seq) {
  uint64_t n = 0;
  if (vdb_tombs_count(seg->tombs) == 0)
    return 0;
  for (uint32_t row = 0; row < seg->sealed->n_rows; row++) {
    uint64_t at = vdb_tombs_at(seg->tombs, row);
    n += at != 0 && at <= seq;
  }
  return n;
}

static int seg_tombs_section(struct vdb_sect_writer *out, const uint64_t *bits, size_t n_words,
                             vecdb_error *err) {
  VDB_TRY(out->begin(out, SEALED_TOMB, 0, err));
  VDB_TRY(out->append(out, bits, n_words * sizeof *bits, err));
  return out->end(out, err);
}

VDB_INTERNAL int vdb_seg_tombs_write(const struct vdb_seg *seg, struct vdb_env *env,
                                     const char *dir, uint64_t number, uint64_t seq,
                                     struct vdb_blob_id *id, uint64_t *n, vecdb_error *err) {
  uint32_t n_rows = seg->sealed->n_rows;
  size_t n_words = vdb_bits_words(n_rows);
  uint64_t *bits = vdb_alloc_zero(vdb_env_for(env, VDB_FOR_BUILD), n_words * sizeof *bits);
  if (!bits)
    return vdb_fail_memory(err);
  for (uint32_t row = 0; row < n_rows; row++) {
    uint64_t at = vdb_tombs_at(seg->tombs, row);
    if (at != 0 && at <= seq)
      vdb_bit_set(bits, row);
  }
  *n = vdb_bits_count(bits, n_rows);
  struct vdb_blob_writer *blob;
  int rc = vdb_blob_create(env, dir, VDB_BLOB_TOMBS, number, &blob, err);
  if (!rc) {
    rc = seg_tombs_section(vdb_blob_sections(blob), bits, n_words, err);
    if (rc)
      vdb_blob_abort(blob);
    else
      rc = vdb_blob_finish(blob, id, err);
  }
  vdb_free(&env->mem, bits);
  return rc;
}

/* Marks the rows whose bits stand in a file of that number; *n of them. */
static int seg_tombs_apply(struct vdb_seg *seg, uint64_t file, const struct vdb_blob *blob,
                           uint64_t *n, vecdb_error *err) {
  const struct vdb_sect_reader *in = vdb_blob_reader(blob);
  uint32_t n_rows = seg->sealed->n_rows;
  const void *data;
  size_t length;
  VDB_TRY(in->find(in, SEALED_TOMB, 0, false, &data, &length, err));
  const uint64_t *bits = data;
  *n = 0;
  if (!bits)
    return VECDB_OK;
  if (length != vdb_bits_words(n_rows) * sizeof *bits ||
      (n_rows % 64 != 0 && bits[n_rows / 64] >> (n_rows % 64) != 0))
    return vdb_fail(err, VECDB_ERR_CORRUPT, "the tombstones in file %llu do not fit the segment",
                    (unsigned long long)file);
  *n = vdb_bits_count(bits, n_rows);
  for (size_t row = vdb_bits_next(bits, n_rows, 0); row < n_rows;
       row = vdb_bits_next(bits, n_rows, row + 1)) {
    if (!vdb_tombs_reserve(vdb_env_for(seg->env, VDB_FOR_ROWS), seg->tombs, (uint32_t)row))
      return vdb_fail_memory(err);
    vdb_tombs_mark(seg->tombs, (uint32_t)row, 1);
  }
  return VECDB_OK;
}

VDB_INTERNAL int vdb_seg_tombs_read(struct vdb_seg *seg, const char *dir,
                                    const struct vdb_blob_id *id, uint64_t n, vecdb_error *err) {
  struct vdb_blob *blob;
  uint64_t found;
  VDB_TRY(vdb_blob_open(seg->env, dir, VDB_BLOB_TOMBS, id, true, &blob, err));
  int rc = seg_tombs_apply(seg, id->file, blob, &found, err);
  vdb_blob_close(blob);
  if (!rc && found != n)
    rc = vdb_fail(err, VECDB_ERR_CORRUPT, "tombstone file %llu does not fit its segment",
                  (unsigned long long)id->file);
  seg->tombs_blob = *id;
  seg->tombs_saved = n;
  return rc;
}

VDB_INTERNAL int vdb_seg_tombs_alone(struct vdb_seg *seg, vecdb_error *err) {
  uint64_t n;
  return seg_tombs_apply(seg, seg->sealed->blob_id.file, seg->sealed->blob, &n, err);
}

/* Each row must be found under its own key: else a delete or get would miss it. */
static int seg_check_keys(const struct vdb_seg *seg, struct vdb_control *control,
                          vecdb_error *err) {
  struct vdb_seg_view view = {(struct vdb_seg *)(uintptr_t)seg, seg->sealed->n_rows};
  for (uint32_t row = 0; row < view.n; row++) {
    if (control && row % 4096 == 0 && vdb_control_poll(control))
      return vdb_control_fail(control, err);
    uint64_t hash = vdb_seg_key_hash(vdb_seg_key(&view, row));
    struct vdb_keymap_walk walk = vdb_keymap_walk(&seg->sealed->keys, hash);
    int64_t found;
    do
      found = vdb_keymap_next(&seg->sealed->keys, &walk);
    while (found >= 0 && found != (int64_t)row);
    if (found < 0)
      return vdb_fail(err, VECDB_ERR_CORRUPT, "rows file %llu: row %u is not in the key map",
                      (unsigned long long)seg->sealed->blob_id.file, row);
  }
  return VECDB_OK;
}

/* Each posting must be a pair of its row: else searches would score what rows do not hold. */
static int seg_check_inverted(const struct vdb_seg *seg, struct vdb_control *control,
                              vecdb_error *err) {
  const struct vdb_sealed *s = seg->sealed;
  bool (*stop)(void *) = control ? vdb_control_stop : NULL;
  for (uint32_t f = 0; f < s->n_fields; f++) {
    if (seg->schema->fields[f].type != VECDB_SPARSE_VECTOR ||
        vdb_inverted_matches(&s->inverted[f], &s->columns[f], stop, control))
      continue;
    if (control && vdb_control_poll(control))
      return vdb_control_fail(control, err);
    return vdb_fail(err, VECDB_ERR_CORRUPT,
                    "rows file %llu: the inverted index of field %u is not that of its rows",
                    (unsigned long long)s->blob_id.file, f);
  }
  return VECDB_OK;
}

VDB_INTERNAL int vdb_seg_verify(const struct vdb_blob *blob, struct vdb_control *control,
                                vecdb_error *err) {
  int rc = vdb_blob_verify(blob, control ? vdb_control_stop : NULL, control, err);
  return rc == VECDB_ERR_CANCELLED ? vdb_control_fail(control, err) : rc;
}

VDB_INTERNAL int vdb_seg_check(const struct vdb_seg *seg, struct vdb_control *control,
                               vecdb_error *err) {
  VDB_TRY(vdb_seg_verify(seg->sealed->blob, control, err));
  for (uint32_t f = 0; f < seg->schema->n_fields; f++)
    if (seg->indexes[f])
      VDB_TRY(vdb_seg_verify(seg->indexes[f]->blob, control, err));
  VDB_TRY(seg_check_inverted(seg, control, err));
  return seg_check_keys(seg, control, err);
}
