/* sealed_write.c - the rows of some segments into one new file; see sealed.h. */
#include "attr/path_index.h"
#include "base/check.h"
#include "base/sum.h"
#include "seg/sealed.h"
#include "seg/sealed_format.h"

enum { SEALED_POLL = 1 << 16 /* rows between two looks whether to stop */ };

/* Work in progress: the request, the section writer and a buffer of gathered values. */
struct sealed_writer {
  const struct vdb_sealed_write *w;
  struct vdb_sect_writer *out;
  vecdb_error *err;
  uint32_t n_rows;
  uint32_t done; /* fields */
};

/* Tells how far it is, by which background work learns that it is to give way; true: stop. */
static bool sealed_stop(void *arg) {
  const struct sealed_writer *s = arg;
  struct vdb_control *control = s->w->control;
  return control && vdb_control_progress(control, "write", s->done, s->w->schema->n_fields) != 0;
}

/* A run of consecutive rows of one part that are all to be written. */
typedef int (*sealed_visit)(void *arg, const struct vdb_seg_part *part, uint32_t first, uint32_t n);

/* Calls visit with runs that together are the wanted rows of a part from `row` to `end`, counted as
   the segment's, in order. */
static int sealed_part_runs(const struct vdb_sealed_source *source, const struct vdb_seg_part *part,
                            uint32_t row, uint32_t end, sealed_visit visit, void *arg) {
  if (!source->bits)
    return visit(arg, part, row - part->first, end - row);
  row = (uint32_t)vdb_bits_next(source->bits, end, row);
  while (row < end) {
    uint32_t stop = row + 1;
    while (stop < end && vdb_bit_get(source->bits, stop))
      stop++;
    VDB_TRY(visit(arg, part, row - part->first, stop - row));
    row = (uint32_t)vdb_bits_next(source->bits, end, stop);
  }
  return VECDB_OK;
}

static int sealed_runs(struct sealed_writer *s, sealed_visit visit, void *arg) {
  for (uint32_t i = 0; i < s->w->n_sources; i++) {
    const struct vdb_sealed_source *source = &s->w->sources[i];
    for (uint32_t p = 0; p < vdb_seg_parts(&source->view); p++) {
      struct vdb_seg_part part = vdb_seg_part(&source->view, p);
      uint32_t end = part.first + part.n, stop;
      for (uint32_t row = part.first; row < end; row = stop) {
        struct vdb_control *control = s->w->control;
        if (row > part.first ? sealed_stop(s) : control && vdb_control_poll(control))
          return vdb_control_fail(control, s->err);
        stop = row + vdb_min_u32(end - row, SEALED_POLL);
        VDB_TRY(sealed_part_runs(source, &part, row, stop, visit, arg));
      }
    }
  }
  return VECDB_OK;
}

/* One field's values as they are written and, but for dense vectors, gathered for its index. */
struct sealed_column {
  struct sealed_writer *s;
  uint32_t field;
  uint8_t *data;      /* gathered values, or NULL: written straight through */
  uint64_t *offsets;  /* variable */
  uint8_t *nulls;     /* nullable */
  uint64_t bytes;     /* so far */
  uint32_t row;       /* so far */
};

static int sealed_count_run(void *arg, const struct vdb_seg_part *part, uint32_t first,
                            uint32_t n) {
  struct sealed_column *c = arg;
  const struct vdb_column *column = &part->columns[c->field];
  for (uint32_t i = first; i < first + n; i++) {
    c->offsets[c->row++] = c->bytes;
    c->bytes += vdb_column_bytes(column, i).n;
  }
  return VECDB_OK;
}

static int sealed_nulls_run(void *arg, const struct vdb_seg_part *part, uint32_t first,
                            uint32_t n) {
  struct sealed_column *c = arg;
  for (uint32_t i = first; i < first + n; i++)
    c->nulls[c->row++] = vdb_column_is_null(&part->columns[c->field], i);
  return VECDB_OK;
}

static int sealed_fixed_run(void *arg, const struct vdb_seg_part *part, uint32_t first,
                            uint32_t n) {
  struct sealed_column *c = arg;
  const struct vdb_column *column = &part->columns[c->field];
  const uint8_t *values = column->data + (size_t)first * column->width;
  size_t bytes = (size_t)n * column->width;
  if (column->constant) {
    for (uint32_t i = 0; i < n; i++, c->bytes += column->width)
      memcpy(c->data + c->bytes, column->data, column->width);
    return VECDB_OK;
  }
  if (!c->data)
    return c->s->out->append(c->s->out, values, bytes, c->s->err);
  memcpy(c->data + c->bytes, values, bytes);
  c->bytes += bytes;
  return VECDB_OK;
}

static int sealed_variable_run(void *arg, const struct vdb_seg_part *part, uint32_t first,
                               uint32_t n) {
  struct sealed_column *c = arg;
  for (uint32_t i = first; i < first + n; i++) {
    struct vdb_bytes value = vdb_column_bytes(&part->columns[c->field], i);
    if (value.n)
      memcpy(c->data + c->bytes, value.data, value.n);
    c->bytes += value.n;
  }
  return VECDB_OK;
}

static int sealed_norms_run(void *arg, const struct vdb_seg_part *part, uint32_t first,
                            uint32_t n) {
  struct sealed_column *c = arg;
  const float *norms = part->vecs[c->field].inv_norms + first;
  return c->s->out->append(c->s->out, norms, n * sizeof *norms, c->s->err);
}

static int sealed_section(struct sealed_writer *s, uint32_t tag, uint32_t number, const void *data,
                          size_t n) {
  VDB_TRY(s->out->begin(s->out, tag, number, s->err));
  VDB_TRY(s->out->append(s->out, data, n, s->err));
  return s->out->end(s->out, s->err);
}

static int sealed_vectors(struct sealed_writer *s, uint32_t f) {
  struct sealed_column c = {.s = s, .field = f};
  uint32_t id = s->w->schema->fields[f].id;
  VDB_TRY(s->out->begin(s->out, SEALED_DATA, id, s->err));
  VDB_TRY(sealed_runs(s, sealed_fixed_run, &c));
  VDB_TRY(s->out->end(s->out, s->err));
  if (s->w->schema->fields[f].metric != VECDB_COSINE)
    return VECDB_OK;
  VDB_TRY(s->out->begin(s->out, SEALED_NORM, id, s->err));
  VDB_TRY(sealed_runs(s, sealed_norms_run, &c));
  return s->out->end(s->out, s->err);
}

/* Gathers a scalar or sparse column into memory: data, and offsets and nulls where the field has
   them. */
static int sealed_gather(struct sealed_column *c, const struct vdb_field *field) {
  struct sealed_writer *s = c->s;
  struct vdb_mem *mem = vdb_env_for(s->w->env, VDB_FOR_BUILD);
  size_t n = s->n_rows;
  size_t bytes = n * field->width;
  if (!field->width) {
    c->offsets = vdb_alloc_array(mem, n + 1, sizeof *c->offsets);
    if (!c->offsets)
      return vdb_fail_memory(s->err);
    VDB_TRY(sealed_runs(s, sealed_count_run, c));
    c->offsets[n] = c->bytes;
    bytes = c->bytes;
    c->bytes = c->row = 0;
  }
  c->data = vdb_alloc(mem, bytes);
  if (!c->data)
    return vdb_fail_memory(s->err);
  VDB_TRY(sealed_runs(s, field->width ? sealed_fixed_run : sealed_variable_run, c));
  vdb_assert(c->bytes == bytes);
  if (!(field->flags & VECDB_NULLABLE))
    return VECDB_OK;
  c->nulls = vdb_alloc(mem, n);
  if (!c->nulls)
    return vdb_fail_memory(s->err);
  return sealed_runs(s, sealed_nulls_run, c);
}

/* The indexes of places in the texts of a JSON field. */
static int sealed_path_sections(struct sealed_column *c, const struct vdb_column *texts) {
  struct sealed_writer *s = c->s;
  const struct vdb_schema *schema = s->w->schema;
  struct vdb_path_index_build build = {.mem = vdb_env_for(s->w->env, VDB_FOR_BUILD),
                                       .texts = texts,
                                       .n = s->n_rows,
                                       .out = s->out,
                                       .stop = sealed_stop,
                                       .stop_arg = s};
  int rc = VECDB_OK;
  for (uint32_t i = 0; !rc && i < schema->n_paths; i++) {
    build.path = &schema->paths[i];
    if (build.path->field != c->field)
      continue;
    bool stopped = s->w->control && vdb_control_poll(s->w->control);
    rc = stopped ? VECDB_ERR_CANCELLED : vdb_path_index_build(&build, s->err);
  }
  return rc;
}

static int sealed_inverted(struct sealed_column *c, const struct vdb_column *column,
                           const struct vdb_field *field) {
  struct sealed_writer *s = c->s;
  struct vdb_inverted_build build = {.mem = vdb_env_for(s->w->env, VDB_FOR_BUILD),
                                     .column = column,
                                     .n = s->n_rows,
                                     .out = s->out,
                                     .number = field->id,
                                     .stop = sealed_stop,
                                     .stop_arg = s};
  return vdb_inverted_build(&build, s->err);
}

static int sealed_attr_index(struct sealed_column *c, const struct vdb_column *column,
                             const struct vdb_field *field) {
  struct sealed_writer *s = c->s;
  struct vdb_attr_index_build build = {.mem = vdb_env_for(s->w->env, VDB_FOR_BUILD),
                                       .column = column,
                                       .n = s->n_rows,
                                       .kind = field->scalar_index,
                                       .out = s->out,
                                       .number = field->id,
                                       .stop = sealed_stop,
                                       .stop_arg = s};
  return vdb_attr_index_build(&build, s->err);
}

/* The indexes of a column that is written. */
static int sealed_column_indexes(struct sealed_column *c, const struct vdb_field *field) {
  struct sealed_writer *s = c->s;
  struct vdb_column column = {.data = c->data, .offsets = c->offsets, .nulls = c->nulls,
                              .width = field->width, .type = field->type};
  int rc = VECDB_OK;
  if (field->type == VECDB_JSON)
    rc = sealed_path_sections(c, &column);
  else if (field->type == VECDB_SPARSE_VECTOR)
    rc = sealed_inverted(c, &column, field);
  else if (vdb_type_is_plain(field->type))
    rc = sealed_attr_index(c, &column, field);
  return rc == VECDB_ERR_CANCELLED ? vdb_control_fail(s->w->control, s->err) : rc;
}

static int sealed_scalar_sections(struct sealed_column *c, const struct vdb_field *field) {
  struct sealed_writer *s = c->s;
  VDB_TRY(sealed_section(s, SEALED_DATA, field->id, c->data, c->bytes));
  if (c->offsets)
    VDB_TRY(sealed_section(s, SEALED_OFFS, field->id, c->offsets,
                           ((size_t)s->n_rows + 1) * sizeof *c->offsets));
  if (c->nulls)
    VDB_TRY(sealed_section(s, SEALED_NULL, field->id, c->nulls, s->n_rows));
  return sealed_column_indexes(c, field);
}

static int sealed_key_map(struct sealed_column *c, const struct vdb_field *field) {
  struct sealed_writer *s = c->s;
  struct vdb_mem *mem = vdb_env_for(s->w->env, VDB_FOR_BUILD);
  uint64_t slots = vdb_keymap_slots(s->n_rows);
  struct vdb_keymap map = {vdb_alloc_array(mem, slots, sizeof(uint64_t)), slots - 1};
  if (!map.slots)
    return vdb_fail_memory(s->err);
  memset((void *)map.slots, 0, slots * sizeof(uint64_t));
  struct vdb_column keys = {.data = c->data, .offsets = c->offsets, .width = field->width};
  for (uint32_t row = 0; row < s->n_rows; row++)
    vdb_keymap_insert(&map, vdb_seg_key_hash(vdb_column_bytes(&keys, row)), row);
  int rc = sealed_section(s, SEALED_KEYM, 0, (const void *)map.slots, slots * sizeof(uint64_t));
  vdb_free(mem, (void *)map.slots);
  return rc;
}

static int sealed_scalar(struct sealed_writer *s, uint32_t f) {
  struct vdb_mem *mem = vdb_env_for(s->w->env, VDB_FOR_BUILD);
  const struct vdb_field *field = &s->w->schema->fields[f];
  struct sealed_column c = {.s = s, .field = f};
  int rc = sealed_gather(&c, field);
  if (!rc)
    rc = sealed_scalar_sections(&c, field);
  if (!rc && f == s->w->schema->key)
    rc = sealed_key_map(&c, field);
  vdb_free(mem, c.data);
  vdb_free(mem, c.offsets);
  vdb_free(mem, c.nulls);
  return rc;
}

/* Name and schema, for who opens the file without a manifest. */
static int sealed_schema(struct sealed_writer *s) {
  struct vdb_writer bytes = VDB_WRITER(vdb_env_for(s->w->env, VDB_FOR_BUILD));
  size_t n = strlen(s->w->name);
  vdb_write_u32(&bytes, SEALED_SCHM_VERSION);
  vdb_write_u32(&bytes, (uint32_t)n);
  vdb_write_bytes(&bytes, s->w->name, n);
  vdb_schema_encode(s->w->schema, &bytes);
  int rc = bytes.failed ? vdb_fail_memory(s->err)
                        : sealed_section(s, SEALED_SCHM, 0, bytes.data, bytes.n);
  vdb_writer_free(&bytes);
  return rc;
}

/* The rows that are deleted, where there are some: of two rows of one key all but the last are. */
static int sealed_tombs(struct sealed_writer *s) {
  if (!s->w->tombs || vdb_tombs_count(s->w->tombs) == 0)
    return VECDB_OK;
  struct vdb_mem *mem = vdb_env_for(s->w->env, VDB_FOR_BUILD);
  size_t words = vdb_bits_words(s->n_rows);
  uint64_t *bits = vdb_alloc_array(mem, words, sizeof *bits);
  if (!bits)
    return vdb_fail_memory(s->err);
  vdb_bits_fill(bits, s->n_rows);
  vdb_tombs_clear_dead(s->w->tombs, 0, s->n_rows, s->w->until, bits);
  for (size_t i = 0; i < words; i++)
    bits[i] = ~bits[i];
  if (s->n_rows % 64 != 0)
    bits[words - 1] &= (UINT64_C(1) << (s->n_rows % 64)) - 1;
  int rc = vdb_bits_count(bits, s->n_rows) == 0
               ? VECDB_OK
               : sealed_section(s, SEALED_TOMB, 0, bits, words * sizeof *bits);
  vdb_free(mem, bits);
  return rc;
}

static int sealed_sections(struct sealed_writer *s) {
  struct sealed_meta meta = {SEALED_VERSION, s->w->schema->n_fields, s->n_rows};
  uint32_t ids[VECDB_MAX_FIELDS];
  for (uint32_t f = 0; f < meta.n_fields; f++)
    ids[f] = s->w->schema->fields[f].id;
  VDB_TRY(s->out->begin(s->out, SEALED_META, 0, s->err));
  VDB_TRY(s->out->append(s->out, &meta, sizeof meta, s->err));
  VDB_TRY(s->out->append(s->out, ids, meta.n_fields * sizeof *ids, s->err));
  VDB_TRY(s->out->end(s->out, s->err));
  VDB_TRY(sealed_schema(s));
  VDB_TRY(sealed_tombs(s));
  for (uint32_t f = 0; f < s->w->schema->n_fields; f++) {
    bool dense = vdb_type_is_dense(s->w->schema->fields[f].type);
    VDB_TRY(dense ? sealed_vectors(s, f) : sealed_scalar(s, f));
    s->done++;
    if (sealed_stop(s))
      return vdb_control_fail(s->w->control, s->err);
  }
  return VECDB_OK;
}

VDB_INTERNAL int vdb_sealed_write(const struct vdb_sealed_write *w, struct vdb_blob_id *id,
                                  vecdb_error *err) {
  struct vdb_blob_writer *blob;
  VDB_TRY(vdb_blob_create(w->env, w->dir, VDB_BLOB_ROWS, w->number, &blob, err));
  struct sealed_writer s = {.w = w, .out = vdb_blob_sections(blob), .err = err};
  for (uint32_t i = 0; i < w->n_sources; i++)
    s.n_rows += w->sources[i].n;
  vdb_assert(s.n_rows > 0 && s.n_rows <= VDB_SEG_MAX_ROWS);
  int rc = sealed_sections(&s);
  if (rc) {
    vdb_blob_abort(blob);
    return rc;
  }
  return vdb_blob_finish(blob, id, err);
}
