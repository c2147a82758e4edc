/* sealed_open.c - mapping a rows file and checking its shape before anything relies on it; see
   sealed.h. */
#include "accel/device.h"
#include "base/check.h"
#include "seg/sealed.h"
#include "seg/sealed_format.h"

/* A section that must be there and hold exactly `n` bytes. `bulk`: vectors, all of which only
   verification reads. */
static int sealed_find(const struct vdb_sealed *s, uint32_t tag, uint32_t number, bool bulk,
                       size_t n, const void **data, vecdb_error *err) {
  const struct vdb_sect_reader *in = vdb_blob_reader(s->blob);
  size_t length;
  VDB_TRY(in->find(in, tag, number, bulk, data, &length, err));
  if (!*data || length != n)
    return vdb_fail(err, VECDB_ERR_CORRUPT,
                    "rows file %llu: section %u of field %u is missing or has a wrong size",
                    (unsigned long long)s->blob_id.file, tag, number);
  return VECDB_OK;
}

static int sealed_open_variable(struct vdb_sealed *s, uint32_t id, struct vdb_column *c,
                                vecdb_error *err) {
  const struct vdb_sect_reader *in = vdb_blob_reader(s->blob);
  const void *offsets, *data;
  size_t bytes;
  VDB_TRY(sealed_find(s, SEALED_OFFS, id, false, ((size_t)s->n_rows + 1) * 8, &offsets, err));
  VDB_TRY(in->find(in, SEALED_DATA, id, false, &data, &bytes, err));
  c->offsets = offsets;
  c->data = data;
  bool ok = data && c->offsets[0] == 0 && c->offsets[s->n_rows] == bytes;
  for (uint32_t row = 0; ok && row < s->n_rows; row++)
    ok = c->offsets[row] <= c->offsets[row + 1];
  for (uint32_t row = 0; ok && c->type == VECDB_ARRAY && row < s->n_rows; row++) {
    struct vdb_bytes value = vdb_column_bytes(c, row);
    ok = (value.n == 0 && vdb_column_is_null(c, row)) || vdb_array_valid(value, c->element_type);
  }
  if (!ok)
    return vdb_fail(err, VECDB_ERR_CORRUPT, "rows file %llu: values of field %u are not in order",
                    (unsigned long long)s->blob_id.file, id);
  return VECDB_OK;
}

/* A sparse column, whose offsets and bytes are there, and its inverted index. */
static int sealed_open_sparse(struct vdb_sealed *s, const struct vdb_field *field, uint32_t f,
                              vecdb_error *err) {
  const struct vdb_column *c = &s->columns[f];
  vecdb_error why;
  for (uint32_t row = 0; row < s->n_rows; row++)
    if (vdb_sparse_check_stored(field, vdb_column_bytes(c, row), row, &why))
      return vdb_fail_at(err, VECDB_ERR_CORRUPT, row, field->name, "rows file %llu: %s",
                         (unsigned long long)s->blob_id.file, why.message);
  uint64_t pairs = c->offsets[s->n_rows] / sizeof(vecdb_sparse_pair);
  return vdb_inverted_open(vdb_blob_reader(s->blob), field->id, s->n_rows, pairs, &s->inverted[f],
                           err);
}

static int sealed_open_column(struct vdb_sealed *s, const struct vdb_field *field, uint32_t f,
                              vecdb_error *err) {
  struct vdb_column *c = &s->columns[f];
  struct vdb_vecs *v = &s->vecs[f];
  c->type = field->type;
  c->element_type = field->element_type;
  c->width = field->width;
  const void *data;
  if (field->flags & VECDB_NULLABLE) {
    VDB_TRY(sealed_find(s, SEALED_NULL, field->id, false, s->n_rows, &data, err));
    c->nulls = data;
  }
  if (!field->width)
    VDB_TRY(sealed_open_variable(s, field->id, c, err));
  if (field->type == VECDB_SPARSE_VECTOR)
    VDB_TRY(sealed_open_sparse(s, field, f, err));
  if (!field->width)
    return VECDB_OK;
  if (vdb_type_is_vector(field->type))
    v->n = s->n_rows;
  VDB_TRY(sealed_find(s, SEALED_DATA, field->id, v->n > 0, (size_t)s->n_rows * field->width, &data,
                      err));
  c->data = data;
  if (!v->n)
    return VECDB_OK;
  v->data = data;
  v->stride = field->width;
  v->dim = field->dim;
  v->elem = vdb_elem_of(field->type);
  v->metric = field->metric;
  v->kern = vdb_kern_for(v->elem, v->metric);
  if (v->metric == VECDB_COSINE) {
    VDB_TRY(sealed_find(s, SEALED_NORM, field->id, false, s->n_rows * sizeof(float), &data, err));
    v->inv_norms = data;
  }
  return VECDB_OK;
}

static int sealed_open_keys(struct vdb_sealed *s, vecdb_error *err) {
  uint64_t slots = vdb_keymap_slots(s->n_rows);
  const void *data;
  VDB_TRY(sealed_find(s, SEALED_KEYM, 0, false, slots * sizeof(uint64_t), &data, err));
  const uint64_t *words = data;
  for (uint64_t i = 0; i < slots; i++)
    if ((uint32_t)words[i] > s->n_rows)
      return vdb_fail(err, VECDB_ERR_CORRUPT, "rows file %llu: the key map names row %u of %u",
                      (unsigned long long)s->blob_id.file, (uint32_t)words[i], s->n_rows);
  s->keys.slots = (_Atomic uint64_t *)(uintptr_t)data;
  s->keys.mask = slots - 1;
  return VECDB_OK;
}

static int sealed_open_misfit(const struct vdb_sealed *s, vecdb_error *err) {
  return vdb_fail(err, VECDB_ERR_CORRUPT, "rows file %llu does not fit its collection",
                  (unsigned long long)s->blob_id.file);
}

/* Which fields of the schema the file has. */
static int sealed_open_meta(struct vdb_sealed *s, const struct vdb_schema *schema,
                            bool there[VECDB_MAX_FIELDS], vecdb_error *err) {
  const struct vdb_sect_reader *in = vdb_blob_reader(s->blob);
  const void *data;
  size_t length;
  struct sealed_meta meta = {0};
  VDB_TRY(in->find(in, SEALED_META, 0, false, &data, &length, err));
  if (!data || length < sizeof meta)
    return sealed_open_misfit(s, err);
  memcpy(&meta, data, sizeof meta);
  if (meta.version > SEALED_VERSION)
    return vdb_fail(err, VECDB_ERR_NEWER_FORMAT, "rows file %llu has version %u, newer than %u",
                    (unsigned long long)s->blob_id.file, meta.version, SEALED_VERSION);
  size_t ids = meta.version >= 2 ? meta.n_fields * sizeof(uint32_t) : 0;
  if (meta.version == 0 || meta.n_fields > VECDB_MAX_FIELDS || length != sizeof meta + ids ||
      meta.n_rows != s->n_rows)
    return sealed_open_misfit(s, err);
  for (uint32_t i = 0; i < meta.n_fields; i++) {
    uint32_t id = i;
    if (ids)
      memcpy(&id, (const uint8_t *)data + sizeof meta + i * sizeof id, sizeof id);
    int f = vdb_schema_by_id(schema, id);
    if (id >= schema->next_id || (f >= 0 && there[f]))
      return sealed_open_misfit(s, err);
    if (f >= 0)
      there[f] = true;
    else
      s->stale = true;
  }
  return VECDB_OK;
}

/* The indexes of JSON paths, where the file has them: it may be older than they are. */
static int sealed_open_paths(struct vdb_sealed *s, const struct vdb_schema *schema,
                             const bool there[VECDB_MAX_FIELDS], vecdb_error *err) {
  for (uint32_t i = 0; i < schema->n_paths; i++) {
    const struct vdb_json_path *path = &schema->paths[i];
    struct vdb_field values = {.name = schema->fields[path->field].name, .type = path->type};
    if (there[path->field])
      VDB_TRY(vdb_attr_index_open(vdb_env_for(s->env, VDB_FOR_INDEX), vdb_blob_reader(s->blob),
                                  path->id, &values, s->n_rows, &s->attr[schema->n_fields + i],
                                  err));
    s->stale = s->stale || (there[path->field] && !s->attr[schema->n_fields + i]);
  }
  return VECDB_OK;
}

static int sealed_open_sections(struct vdb_sealed *s, const struct vdb_schema *schema,
                                vecdb_error *err) {
  const struct vdb_sect_reader *in = vdb_blob_reader(s->blob);
  bool there[VECDB_MAX_FIELDS] = {false};
  VDB_TRY(sealed_open_meta(s, schema, there, err));
  for (uint32_t f = 0; f < schema->n_fields; f++) {
    const struct vdb_field *field = &schema->fields[f];
    if (!there[f]) {
      if (vdb_type_is_vector(field->type) || f == schema->key)
        return sealed_open_misfit(s, err);
      s->columns[f] = vdb_column_fill(field);
      continue;
    }
    VDB_TRY(sealed_open_column(s, field, f, err));
    if (vdb_type_is_plain(field->type))
      VDB_TRY(vdb_attr_index_open(vdb_env_for(s->env, VDB_FOR_INDEX), in, field->id, field,
                                  s->n_rows, &s->attr[f], err));
  }
  VDB_TRY(sealed_open_paths(s, schema, there, err));
  return sealed_open_keys(s, err);
}

/* An object without columns, one reference; NULL: no memory. */
static struct vdb_sealed *sealed_new(struct vdb_env *env, const struct vdb_schema *schema) {
  uint32_t n_fields = schema->n_fields;
  struct vdb_mem *mem = vdb_env_for(env, VDB_FOR_INDEX);
  struct vdb_sealed *s = vdb_alloc_zero(mem, sizeof *s);
  if (!s)
    return NULL;
  atomic_init(&s->refs, 1);
  s->env = env;
  s->n_fields = n_fields;
  s->n_attr = n_fields + schema->n_paths;
  s->columns = vdb_alloc_zero(mem, n_fields * sizeof *s->columns);
  s->vecs = vdb_alloc_zero(mem, n_fields * sizeof *s->vecs);
  s->attr = vdb_alloc_zero(mem, s->n_attr * sizeof(struct vdb_attr_index *));
  s->inverted = vdb_alloc_zero(mem, n_fields * sizeof *s->inverted);
  if (s->columns && s->vecs && s->attr && s->inverted)
    return s;
  vdb_sealed_unref(s);
  return NULL;
}

VDB_INTERNAL int vdb_sealed_open(const struct vdb_sealed_open *o, struct vdb_sealed **out,
                                 vecdb_error *err) {
  *out = NULL;
  bool possible = o->rows > 0 && o->rows <= VDB_SEG_MAX_ROWS;
  struct vdb_sealed *s = possible ? sealed_new(o->env, o->schema) : NULL;
  if (!s)
    vdb_blob_close(o->opened);
  if (!possible)
    return vdb_fail(err, VECDB_ERR_CORRUPT, "rows file %llu: %llu rows cannot be",
                    (unsigned long long)o->blob.file, (unsigned long long)o->rows);
  if (!s)
    return vdb_fail_memory(err);
  s->dir = o->dir;
  s->blob_id = o->blob;
  s->n_rows = (uint32_t)o->rows;
  s->blob = o->opened;
  int rc = s->blob ? VECDB_OK
                   : vdb_blob_open(o->env, o->dir, VDB_BLOB_ROWS, &o->blob, false, &s->blob, err);
  if (!rc && o->full && !o->opened)
    rc = vdb_seg_verify(s->blob, o->control, err);
  if (!rc)
    rc = sealed_open_sections(s, o->schema, err);
  if (rc) {
    vdb_sealed_unref(s);
    return rc;
  }
  *out = s;
  return VECDB_OK;
}

/* Paths that stay have their indexes; a file that lacks a new one, or has one that was dropped, is
   to be written anew. */
static void sealed_view_paths(struct vdb_sealed *s, const struct vdb_sealed *sealed,
                              const struct vdb_schema *from, const struct vdb_schema *to) {
  for (uint32_t k = 0; k < from->n_paths; k++) {
    struct vdb_attr_index *index = sealed->attr[from->n_fields + k];
    bool stays = false;
    for (uint32_t i = 0; i < to->n_paths; i++)
      if (to->paths[i].id == from->paths[k].id) {
        s->attr[to->n_fields + i] = index;
        stays = true;
      }
    s->stale = s->stale || (index && !stays);
  }
  for (uint32_t i = 0; i < to->n_paths; i++)
    s->stale = s->stale || (!s->columns[to->paths[i].field].constant &&
                            !s->attr[to->n_fields + i]);
}

VDB_INTERNAL int vdb_sealed_view(struct vdb_sealed *sealed, const struct vdb_schema *from,
                                 const struct vdb_schema *to, struct vdb_sealed **out,
                                 vecdb_error *err) {
  struct vdb_sealed *s = *out = sealed_new(sealed->env, to);
  if (!s)
    return vdb_fail_memory(err);
  s->base = vdb_sealed_ref(sealed->base ? sealed->base : sealed);
  s->dir = sealed->dir;
  s->blob_id = sealed->blob_id;
  s->blob = sealed->blob;
  s->keys = sealed->keys;
  s->n_rows = sealed->n_rows;
  s->stale = sealed->stale;
  for (uint32_t f = 0; f < to->n_fields; f++) {
    int was = vdb_schema_by_id(from, to->fields[f].id);
    if (was < 0) {
      s->columns[f] = vdb_column_fill(&to->fields[f]);
      continue;
    }
    s->columns[f] = sealed->columns[was];
    s->vecs[f] = sealed->vecs[was];
    s->attr[f] = sealed->attr[was];
    s->inverted[f] = sealed->inverted[was];
  }
  for (uint32_t f = 0; f < from->n_fields; f++)
    s->stale = s->stale || (!sealed->columns[f].constant &&
                            vdb_schema_by_id(to, from->fields[f].id) < 0);
  sealed_view_paths(s, sealed, from, to);
  return VECDB_OK;
}

VDB_INTERNAL struct vdb_sealed *vdb_sealed_ref(struct vdb_sealed *sealed) {
  atomic_fetch_add_explicit(&sealed->refs, 1, memory_order_relaxed);
  return sealed;
}

/* Removes a file that no manifest names any more. When that fails the next open removes it. */
static void sealed_remove_file(struct vdb_env *env, const char *dir, enum vdb_blob_kind kind,
                               uint64_t number) {
  char path[4096];
  vecdb_error ignored;
  if (vdb_blob_path(path, sizeof path, dir, kind, number, &ignored) == VECDB_OK)
    env->vfs->remove(env->vfs, path);
}

VDB_INTERNAL void vdb_sealed_unref(struct vdb_sealed *s) {
  if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
    return;
  struct vdb_mem *mem = vdb_env_for(s->env, VDB_FOR_INDEX);
  bool obsolete = atomic_load(&s->obsolete);
  for (uint32_t f = 0; !s->base && s->attr && f < s->n_attr; f++)
    vdb_attr_index_close(mem, s->attr[f]);
  for (uint32_t f = 0; !s->base && s->vecs && f < s->n_fields; f++)
    if (s->vecs[f].data)
      vdb_device_forget(s->env->device, s->vecs[f].data);
  if (s->base && obsolete)
    atomic_store(&s->base->obsolete, true);
  else if (!s->base && s->blob)
    vdb_blob_close(s->blob);
  if (!s->base && obsolete)
    sealed_remove_file(s->env, s->dir, VDB_BLOB_ROWS, s->blob_id.file);
  vdb_sealed_unref(s->base);
  vdb_free(mem, s->inverted);
  vdb_free(mem, s->attr);
  vdb_free(mem, s->vecs);
  vdb_free(mem, s->columns);
  vdb_free(mem, s);
}

VDB_INTERNAL int vdb_seg_of_sealed(struct vdb_sealed *sealed, const struct vdb_schema *schema,
                                   uint64_t id, struct vdb_tombs *tombs, struct vdb_seg **out,
                                   vecdb_error *err) {
  struct vdb_mem *mem = vdb_env_for(sealed->env, VDB_FOR_INDEX);
  *out = NULL;
  struct vdb_seg *seg = vdb_alloc_zero(mem, sizeof *seg);
  if (!seg)
    return vdb_fail_memory(err);
  atomic_init(&seg->refs, 1);
  seg->env = sealed->env;
  seg->schema = schema;
  seg->id = id;
  seg->indexes = vdb_alloc_zero(mem, schema->n_fields * sizeof(struct vdb_seg_index *));
  seg->tombs = tombs ? vdb_tombs_ref(tombs) : vdb_tombs_new(mem, sealed->n_rows);
  if (!seg->indexes || !seg->tombs) {
    vdb_seg_unref(seg);
    return vdb_fail_memory(err);
  }
  seg->sealed = vdb_sealed_ref(sealed);
  *out = seg;
  return VECDB_OK;
}

/* The segment over `sealed`, which is its own, or that under another schema. */
static int seg_copy_as(const struct vdb_seg *seg, struct vdb_sealed *sealed,
                       const struct vdb_schema *schema, struct vdb_seg **out, vecdb_error *err) {
  VDB_TRY(vdb_seg_of_sealed(sealed, schema, seg->id, seg->tombs, out, err));
  (*out)->tombs_blob = seg->tombs_blob;
  (*out)->tombs_saved = seg->tombs_saved;
  for (uint32_t f = 0; f < schema->n_fields; f++) {
    int was = vdb_schema_by_id(seg->schema, schema->fields[f].id);
    if (was >= 0 && seg->indexes[was])
      (*out)->indexes[f] = vdb_seg_index_ref(seg->indexes[was]);
  }
  return VECDB_OK;
}

VDB_INTERNAL int vdb_seg_copy(const struct vdb_seg *seg, struct vdb_seg **out, vecdb_error *err) {
  return seg_copy_as(seg, seg->sealed, seg->schema, out, err);
}

VDB_INTERNAL int vdb_seg_view_as(const struct vdb_seg *seg, const struct vdb_schema *schema,
                                 struct vdb_seg **out, vecdb_error *err) {
  struct vdb_sealed *sealed;
  *out = NULL;
  VDB_TRY(vdb_sealed_view(seg->sealed, seg->schema, schema, &sealed, err));
  int rc = seg_copy_as(seg, sealed, schema, out, err);
  vdb_sealed_unref(sealed);
  return rc;
}

VDB_INTERNAL struct vdb_seg_index *vdb_seg_index_ref(struct vdb_seg_index *index) {
  atomic_fetch_add_explicit(&index->refs, 1, memory_order_relaxed);
  return index;
}

VDB_INTERNAL void vdb_seg_index_unref(struct vdb_seg_index *index) {
  if (!index || atomic_fetch_sub_explicit(&index->refs, 1, memory_order_acq_rel) != 1)
    return;
  struct vdb_mem *mem = vdb_env_for(index->env, VDB_FOR_INDEX);
  vdb_device_forget(index->env->device, index);
  if (index->index)
    index->index->ops->close(mem, index->index);
  if (index->blob)
    vdb_blob_close(index->blob);
  if (atomic_load(&index->obsolete))
    sealed_remove_file(index->env, index->dir, VDB_BLOB_INDEX, index->blob_id.file);
  vdb_free(mem, index);
}
