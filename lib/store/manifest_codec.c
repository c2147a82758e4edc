/*
 * manifest_codec.c - the manifest as bytes; see manifest.h. Every field is written by itself, and
 * everything read is checked: this file decides which other files the database trusts.
 */
#include "base/check.h"
#include "base/params.h"
#include "base/sum.h"
#include "store/manifest.h"
#include "store/store_format.h"

enum {
  /* the least bytes that an item takes, to check counts before memory is allocated for them */
  MANC_COLLECTION_MIN = 4 + 4 + 1 + 4 + 8 + 8 + 4 + 4,
  MANC_PARAMS_BYTES = 4 + VDB_PARAMS_BYTES,
  MANC_BLOB_BYTES = 3 * 8,
  MANC_SEGMENT_MIN = 8 + 8 + 2 * MANC_BLOB_BYTES + 8 + 4,
  MANC_INDEX_BYTES = 4 + VDB_PARAMS_BYTES + 4 + MANC_BLOB_BYTES
};

/* ---- encoding ---- */

static void manc_write_blob(struct vdb_writer *w, const struct vdb_blob_id *blob) {
  vdb_write_u64(w, blob->file);
  vdb_write_u64(w, blob->length);
  vdb_write_u64(w, blob->hash);
}

static void manc_write_params(struct vdb_writer *w, const vecdb_index_params *p) {
  vdb_write_u32(w, p->size ? 1 : 0);
  vdb_params_write(w, p);
}

static void manc_write_segment(struct vdb_writer *w, const struct vdb_manifest_segment *s) {
  vdb_write_u64(w, s->id);
  vdb_write_u64(w, s->rows);
  manc_write_blob(w, &s->blob);
  manc_write_blob(w, &s->tombs);
  vdb_write_u64(w, s->deleted);
  vdb_write_u32(w, s->n_indexes);
  for (uint32_t i = 0; i < s->n_indexes; i++) {
    vdb_write_u32(w, s->indexes[i].field);
    vdb_params_write(w, &s->indexes[i].params);
    vdb_curve_write(w, &s->indexes[i].curve);
    manc_write_blob(w, &s->indexes[i].blob);
  }
}

static void manc_write_collection(struct vdb_writer *w, const struct vdb_manifest_collection *c) {
  size_t name = strlen(c->name);
  vdb_write_u32(w, c->id);
  vdb_write_u32(w, (uint32_t)name);
  vdb_write_bytes(w, c->name, name);
  vdb_write_u32(w, c->schema_bytes);
  vdb_write_bytes(w, c->schema, c->schema_bytes);
  vdb_write_u64(w, c->flushed_seq);
  vdb_write_u64(w, (uint64_t)c->next_auto_id);
  vdb_write_u32(w, c->n_fields);
  for (uint32_t i = 0; i < c->n_fields; i++)
    manc_write_params(w, &c->indexes[i]);
  vdb_write_u32(w, c->n_segments);
  for (uint32_t i = 0; i < c->n_segments; i++)
    manc_write_segment(w, &c->segments[i]);
}

VDB_INTERNAL void vdb_manifest_encode(const struct vdb_manifest *manifest,
                                      struct vdb_writer *out) {
  size_t start = out->n;
  vdb_write_bytes(out, STORE_MANIFEST_MAGIC, STORE_MAGIC_BYTES);
  vdb_write_u32(out, VECDB_FORMAT_VERSION);
  vdb_write_u32(out, 0);
  vdb_write_u64(out, manifest->generation);
  vdb_write_u64(out, 0); /* the body's length, known below */
  vdb_write_u64(out, manifest->next_file);
  vdb_write_u64(out, manifest->next_segment);
  vdb_write_u32(out, manifest->next_collection);
  vdb_write_u64(out, manifest->wal_first);
  vdb_write_u64(out, manifest->wal_floor);
  vdb_write_u64(out, manifest->wal_synced);
  vdb_write_u32(out, manifest->n_collections);
  for (uint32_t i = 0; i < manifest->n_collections; i++)
    manc_write_collection(out, &manifest->collections[i]);
  if (out->failed)
    return;
  uint64_t body = out->n - start - STORE_MANIFEST_HEAD;
  memcpy(out->data + start + STORE_MANIFEST_HEAD - sizeof body, &body, sizeof body);
  vdb_write_u64(out, vdb_hash64(out->data + start, out->n - start));
}

/* ---- sets, to find what comes twice ---- */

/* Numbers below UINT64_MAX, each stored plus one; sized before it is filled. */
struct manc_set {
  uint64_t *slots;
  size_t mask;
};

static bool manc_set_init(struct vdb_mem *mem, struct manc_set *set, size_t n) {
  size_t slots = 8;
  while (slots < 2 * n)
    slots *= 2;
  set->mask = slots - 1;
  set->slots = vdb_alloc_array(mem, slots, sizeof *set->slots);
  if (set->slots)
    memset(set->slots, 0, slots * sizeof *set->slots);
  return set->slots != NULL;
}

/* False when it is there already. */
static bool manc_set_add(struct manc_set *set, uint64_t number) {
  size_t i = (size_t)vdb_mix64(number) & set->mask;
  for (; set->slots[i]; i = (i + 1) & set->mask)
    if (set->slots[i] == number + 1)
      return false;
  set->slots[i] = number + 1;
  return true;
}

/* As manc_set_add for the name of collection k. */
static bool manc_set_add_name(struct manc_set *set, const struct vdb_manifest *m, uint32_t k) {
  const char *name = m->collections[k].name;
  size_t i = (size_t)vdb_hash64(name, strlen(name)) & set->mask;
  for (; set->slots[i]; i = (i + 1) & set->mask)
    if (strcmp(m->collections[set->slots[i] - 1].name, name) == 0)
      return false;
  set->slots[i] = (uint64_t)k + 1;
  return true;
}

/* ---- what must hold over the whole manifest ---- */

struct manc_check {
  struct manc_set files;
  struct manc_set segments;
  struct manc_set ids;
  struct manc_set names;
};

static bool manc_check_blob(struct manc_check *c, const struct vdb_manifest *m,
                            const struct vdb_blob_id *blob) {
  return blob->file != 0 && blob->file < m->next_file && manc_set_add(&c->files, blob->file);
}

/* NULL, or what is wrong. */
static const char *manc_check_segment(struct manc_check *c, const struct vdb_manifest *m,
                                      const struct vdb_manifest_segment *s, uint32_t n_fields) {
  uint64_t seen[VECDB_MAX_FIELDS / 64 + 1] = {0};
  if (s->id >= m->next_segment || !manc_set_add(&c->segments, s->id))
    return "a segment's number is out of range or taken";
  if (!manc_check_blob(c, m, &s->blob))
    return "a file number is out of range or taken";
  if (s->tombs.file ? !manc_check_blob(c, m, &s->tombs) : s->tombs.length || s->tombs.hash)
    return "a file number is out of range or taken";
  if (s->deleted > s->rows || (s->deleted && !s->tombs.file))
    return "a segment's counts contradict each other";
  for (uint32_t i = 0; i < s->n_indexes; i++) {
    uint32_t field = s->indexes[i].field;
    if (field >= n_fields || seen[field / 64] >> (field % 64) & 1)
      return "an index's field is out of range or taken";
    seen[field / 64] |= (uint64_t)1 << (field % 64);
    if (!manc_check_blob(c, m, &s->indexes[i].blob))
      return "a file number is out of range or taken";
  }
  return NULL;
}

static const char *manc_check_all(struct manc_check *c, const struct vdb_manifest *m) {
  for (uint32_t k = 0; k < m->n_collections; k++) {
    const struct vdb_manifest_collection *coll = &m->collections[k];
    if (coll->id >= m->next_collection || !manc_set_add(&c->ids, coll->id))
      return "a collection's number is out of range or taken";
    if (!manc_set_add_name(&c->names, m, k))
      return "two collections have one name";
    for (uint32_t i = 0; i < coll->n_segments; i++) {
      const char *what = manc_check_segment(c, m, &coll->segments[i], coll->n_fields);
      if (what)
        return what;
    }
  }
  return NULL;
}

static int manc_corrupt(vecdb_error *err, const char *what) {
  return vdb_fail(err, VECDB_ERR_CORRUPT, "the manifest is damaged: %s", what);
}

static int manc_check(struct vdb_mem *mem, const struct vdb_manifest *m, vecdb_error *err) {
  size_t files = 0;
  size_t segments = 0;
  for (uint32_t k = 0; k < m->n_collections; k++) {
    segments += m->collections[k].n_segments;
    for (uint32_t i = 0; i < m->collections[k].n_segments; i++)
      files += 2 + (size_t)m->collections[k].segments[i].n_indexes;
  }
  struct manc_check c;
  memset(&c, 0, sizeof c);
  int rc = VECDB_OK;
  if (manc_set_init(mem, &c.files, files) && manc_set_init(mem, &c.segments, segments) &&
      manc_set_init(mem, &c.ids, m->n_collections) &&
      manc_set_init(mem, &c.names, m->n_collections)) {
    const char *what = manc_check_all(&c, m);
    rc = what ? manc_corrupt(err, what) : VECDB_OK;
  } else {
    rc = vdb_fail_memory(err);
  }
  vdb_free(mem, c.files.slots);
  vdb_free(mem, c.segments.slots);
  vdb_free(mem, c.ids.slots);
  vdb_free(mem, c.names.slots);
  return rc;
}

/* ---- decoding ---- */

struct manc_decoder {
  struct vdb_reader r;
  struct vdb_mem *mem;
  bool no_memory;
  bool stretches; /* in recall curves: since format 2 */
};

/* Zeroed memory for n items; sets no_memory and bad when there is none. NULL for 0 items. */
static void *manc_items(struct manc_decoder *d, size_t n, size_t size) {
  if (d->r.bad || n == 0)
    return NULL;
  void *items = vdb_alloc_array(d->mem, n, size);
  if (items)
    memset(items, 0, n * size);
  else
    d->no_memory = d->r.bad = true;
  return items;
}

static void manc_read_blob(struct vdb_reader *r, struct vdb_blob_id *blob) {
  blob->file = vdb_read_u64(r);
  blob->length = vdb_read_u64(r);
  blob->hash = vdb_read_u64(r);
}

static void manc_read_params(struct vdb_reader *r, vecdb_index_params *p) {
  uint32_t present = vdb_read_u32(r);
  if (present > 1)
    r->bad = true;
  p->size = present ? sizeof *p : 0;
  vdb_params_read(r, p);
}

static void manc_read_segment(struct manc_decoder *d, struct vdb_manifest_segment *s) {
  s->id = vdb_read_u64(&d->r);
  s->rows = vdb_read_u64(&d->r);
  manc_read_blob(&d->r, &s->blob);
  manc_read_blob(&d->r, &s->tombs);
  s->deleted = vdb_read_u64(&d->r);
  uint32_t n = vdb_read_count(&d->r, MANC_INDEX_BYTES);
  s->indexes = manc_items(d, n, sizeof *s->indexes);
  if (d->r.bad)
    return;
  s->n_indexes = n;
  for (uint32_t i = 0; i < n; i++) {
    s->indexes[i].field = vdb_read_u32(&d->r);
    s->indexes[i].params.size = sizeof s->indexes[i].params;
    vdb_params_read(&d->r, &s->indexes[i].params);
    vdb_curve_read(&d->r, d->stretches, &s->indexes[i].curve);
    manc_read_blob(&d->r, &s->indexes[i].blob);
  }
}

/* n bytes of the input with a NUL behind. */
static void *manc_read_copy(struct manc_decoder *d, size_t n) {
  const void *bytes = vdb_read_bytes(&d->r, n);
  if (!bytes)
    return NULL;
  void *copy = vdb_strndup(d->mem, bytes, n);
  if (!copy)
    d->no_memory = d->r.bad = true;
  return copy;
}

static void manc_read_collection(struct manc_decoder *d, struct vdb_manifest_collection *c) {
  c->id = vdb_read_u32(&d->r);
  uint32_t name = vdb_read_u32(&d->r);
  if (name == 0 || name > VECDB_MAX_NAME)
    d->r.bad = true;
  c->name = manc_read_copy(d, name);
  if (c->name && strlen(c->name) != name)
    d->r.bad = true;
  c->schema_bytes = vdb_read_u32(&d->r);
  c->schema = manc_read_copy(d, c->schema_bytes);
  c->flushed_seq = vdb_read_u64(&d->r);
  c->next_auto_id = (int64_t)vdb_read_u64(&d->r);
  uint32_t n = vdb_read_count(&d->r, MANC_PARAMS_BYTES);
  if (n > VECDB_MAX_FIELDS)
    d->r.bad = true;
  c->indexes = manc_items(d, n, sizeof *c->indexes);
  if (d->r.bad)
    return;
  c->n_fields = n;
  for (uint32_t i = 0; i < n; i++)
    manc_read_params(&d->r, &c->indexes[i]);
  n = vdb_read_count(&d->r, MANC_SEGMENT_MIN);
  c->segments = manc_items(d, n, sizeof *c->segments);
  if (d->r.bad)
    return;
  c->n_segments = n;
  for (uint32_t i = 0; i < n && !d->r.bad; i++)
    manc_read_segment(d, &c->segments[i]);
}

static void manc_read_body(struct manc_decoder *d, struct vdb_manifest *m) {
  m->next_file = vdb_read_u64(&d->r);
  m->next_segment = vdb_read_u64(&d->r);
  m->next_collection = vdb_read_u32(&d->r);
  m->wal_first = vdb_read_u64(&d->r);
  m->wal_floor = vdb_read_u64(&d->r);
  m->wal_synced = vdb_read_u64(&d->r);
  uint32_t n = vdb_read_count(&d->r, MANC_COLLECTION_MIN);
  if (n > VECDB_MAX_COLLECTIONS)
    d->r.bad = true;
  m->collections = manc_items(d, n, sizeof *m->collections);
  if (d->r.bad)
    return;
  m->n_collections = n;
  for (uint32_t i = 0; i < n && !d->r.bad; i++)
    manc_read_collection(d, &m->collections[i]);
}

/* The frame around the body: magic, hash, version, which is given back, and length. */
static int manc_check_frame(const uint8_t *data, size_t n, uint32_t *out, vecdb_error *err) {
  uint64_t hash;
  uint64_t body;
  uint32_t version;
  uint32_t zero;
  if (n < STORE_MAGIC_BYTES)
    return manc_corrupt(err, "it is cut short");
  if (memcmp(data, STORE_MANIFEST_MAGIC, STORE_MAGIC_BYTES) != 0)
    return vdb_fail(err, VECDB_ERR_NOT_A_DATABASE, "the manifest is not one of this library");
  if (n < STORE_MANIFEST_HEAD + sizeof hash)
    return manc_corrupt(err, "it is cut short");
  memcpy(&hash, data + n - sizeof hash, sizeof hash);
  if (hash != vdb_hash64(data, n - sizeof hash))
    return manc_corrupt(err, "its checksum does not match");
  memcpy(&version, data + STORE_MAGIC_BYTES, sizeof version);
  memcpy(&zero, data + STORE_MAGIC_BYTES + sizeof version, sizeof zero);
  if (version > VECDB_FORMAT_VERSION)
    return vdb_fail(err, VECDB_ERR_NEWER_FORMAT, "the database has format %u, newer than %u",
                    (unsigned)version, (unsigned)VECDB_FORMAT_VERSION);
  memcpy(&body, data + STORE_MANIFEST_HEAD - sizeof body, sizeof body);
  if (version == 0 || zero != 0 || body != n - STORE_MANIFEST_HEAD - sizeof hash)
    return manc_corrupt(err, "its head makes no sense");
  *out = version;
  return VECDB_OK;
}

VDB_INTERNAL int vdb_manifest_decode(struct vdb_mem *mem, const void *data, size_t n,
                                     struct vdb_manifest *out, vecdb_error *err) {
  const uint8_t *bytes = data;
  memset(out, 0, sizeof *out);
  uint32_t version = 0;
  VDB_TRY(manc_check_frame(bytes, n, &version, err));
  memcpy(&out->generation, bytes + STORE_MAGIC_BYTES + 8, sizeof out->generation);
  size_t body = n - STORE_MANIFEST_HEAD - sizeof(uint64_t);
  struct manc_decoder d = {vdb_reader_of(bytes + STORE_MANIFEST_HEAD, body), mem, false,
                           version >= 2};
  manc_read_body(&d, out);
  int rc = VECDB_OK;
  if (d.no_memory)
    rc = vdb_fail_memory(err);
  else if (d.r.bad || vdb_reader_left(&d.r) > 0)
    rc = manc_corrupt(err, "its contents make no sense");
  else
    rc = manc_check(mem, out, err);
  if (rc)
    vdb_manifest_fini(mem, out);
  return rc;
}

VDB_INTERNAL void vdb_manifest_fini(struct vdb_mem *mem, struct vdb_manifest *manifest) {
  for (uint32_t k = 0; k < manifest->n_collections; k++) {
    struct vdb_manifest_collection *c = &manifest->collections[k];
    for (uint32_t i = 0; i < c->n_segments; i++)
      vdb_free(mem, c->segments[i].indexes);
    vdb_free(mem, c->segments);
    vdb_free(mem, c->indexes);
    vdb_free(mem, c->schema);
    vdb_free(mem, c->name);
  }
  vdb_free(mem, manifest->collections);
  memset(manifest, 0, sizeof *manifest);
}
