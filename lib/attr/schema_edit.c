/* schema_edit.c - schemas with fields added, dropped, renamed, another expiry, another optimizer or
   other indexes of JSON paths; see schema.h. */
#include "attr/json_path.h"
#include "attr/optimizer.h"
#include "attr/schema.h"

struct schema_edit {
  vecdb_field fields[2 * VECDB_MAX_FIELDS];
  uint32_t ids[2 * VECDB_MAX_FIELDS];
  struct vdb_learn learn[2 * VECDB_MAX_FIELDS];
  uint32_t n;
  uint32_t next_id;
  int64_t expiry; /* id of the field; -1: none */
  vecdb_json_index paths[VECDB_MAX_JSON_INDEXES + 1]; /* of the field whose indexes change */
  struct vdb_json_path_forms forms;
};

static int schema_edit_find(const struct vdb_schema *schema, const char *name, uint32_t *out,
                            vecdb_error *err) {
  int f = vdb_schema_find(schema, name, strlen(name));
  if (f < 0)
    return vdb_fail_at(err, VECDB_ERR_UNKNOWN_FIELD, -1, name,
                       "the collection has no field '%.255s'", name);
  *out = (uint32_t)f;
  return VECDB_OK;
}

static int schema_edit_free_name(const struct vdb_schema *schema, const char *name,
                                 vecdb_error *err) {
  if (name && vdb_schema_find(schema, name, strlen(name)) >= 0)
    return vdb_fail_at(err, VECDB_ERR_EXISTS, -1, name, "the collection has a field '%.255s'",
                       name);
  return VECDB_OK;
}

static int schema_edit_fail(const char *name, const char *what, vecdb_error *err) {
  return vdb_fail_at(err, VECDB_ERR_SCHEMA, -1, name ? name : "", "field '%.255s': %s",
                     name ? name : "", what);
}

/* An id that no field has had. */
static int schema_edit_id(struct schema_edit *e, uint32_t *out, vecdb_error *err) {
  if (e->next_id == UINT32_MAX)
    return vdb_fail(err, VECDB_ERR_LIMIT, "the collection has had too many fields");
  *out = e->next_id++;
  return VECDB_OK;
}

static int schema_edit_add(struct schema_edit *e, const struct vdb_schema *from,
                           const vecdb_schema *add, vecdb_error *err) {
  if (add->size != sizeof *add || add->field_size != sizeof(vecdb_field))
    return vdb_fail(err, VECDB_ERR_OPTION, "the size of the schema or field struct is unknown");
  if (add->n_fields > VECDB_MAX_FIELDS)
    return vdb_fail(err, VECDB_ERR_LIMIT, "%u fields, at most %d", add->n_fields, VECDB_MAX_FIELDS);
  if (add->n_fields && !add->fields)
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "the fields are NULL");
  for (uint32_t i = 0; i < add->n_fields; i++) {
    const vecdb_field *f = &add->fields[i];
    VDB_TRY(schema_edit_free_name(from, f->name, err));
    if (vdb_type_is_vector(f->type) || (f->flags & VECDB_PRIMARY_KEY))
      return schema_edit_fail(f->name, "only scalar fields can be added", err);
    if (!(f->flags & (VECDB_NULLABLE | VECDB_HAS_DEFAULT)))
      return schema_edit_fail(f->name, "rows lack it, so it must be nullable or have a default",
                              err);
    e->fields[e->n] = *f;
    VDB_TRY(schema_edit_id(e, &e->ids[e->n], err));
    e->n++;
  }
  return VECDB_OK;
}

static int schema_edit_drop(struct schema_edit *e, const struct vdb_schema *from, const char *name,
                            vecdb_error *err) {
  uint32_t at = 0;
  VDB_TRY(schema_edit_find(from, name, &at, err));
  const struct vdb_field *f = &from->fields[at];
  if (at == from->key)
    return schema_edit_fail(name, "the primary key cannot be dropped", err);
  if (vdb_type_is_vector(f->type))
    return schema_edit_fail(name, "a vector cannot be dropped", err);
  if (at + 1 == from->expiry)
    return schema_edit_fail(name, "rows expire by it", err);
  e->n--;
  memmove(&e->fields[at], &e->fields[at + 1], (e->n - at) * sizeof *e->fields);
  memmove(&e->ids[at], &e->ids[at + 1], (e->n - at) * sizeof *e->ids);
  memmove(&e->learn[at], &e->learn[at + 1], (e->n - at) * sizeof *e->learn);
  return VECDB_OK;
}

static int schema_edit_rename(struct schema_edit *e, const struct vdb_schema *from,
                              const char *name, const char *to, vecdb_error *err) {
  uint32_t at = 0;
  VDB_TRY(schema_edit_find(from, name, &at, err));
  if (!to)
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "the new name is NULL");
  if (strcmp(name, to) != 0)
    VDB_TRY(schema_edit_free_name(from, to, err));
  e->fields[at].name = to;
  return VECDB_OK;
}

static int schema_edit_expire(struct schema_edit *e, const struct vdb_schema *from,
                              const char *name, uint64_t ttl_ms, vecdb_error *err) {
  uint32_t at = 0;
  e->expiry = -1;
  if (ttl_ms > VDB_MAX_TTL_MS)
    return vdb_fail(err, VECDB_ERR_LIMIT, "a time to live of %llu ms is too long",
                    (unsigned long long)ttl_ms);
  if (!name)
    return VECDB_OK;
  VDB_TRY(schema_edit_find(from, name, &at, err));
  if (from->fields[at].type != VECDB_INT64)
    return schema_edit_fail(name, "rows expire by an INT64 field, of milliseconds", err);
  e->expiry = from->fields[at].id;
  return VECDB_OK;
}

/* A state is of use to the optimizer that made it only, so another one gets another field. */
static int schema_edit_learn(struct schema_edit *e, const struct vdb_schema *from,
                             const char *name, const vecdb_optimizer *optimizer,
                             vecdb_error *err) {
  uint32_t at = 0;
  VDB_TRY(schema_edit_find(from, name, &at, err));
  if (from->fields[at].type != VECDB_FLOAT_VECTOR)
    return vdb_fail_at(err, VECDB_ERR_TYPE, -1, name,
                       "field '%.255s' cannot take pushes: only a FLOAT_VECTOR has room for small "
                       "steps", name);
  struct vdb_learn *learn = &e->learn[at], was = *learn;
  memset(learn, 0, sizeof *learn);
  if (!optimizer)
    return VECDB_OK;
  VDB_TRY(vdb_optimizer_fill(optimizer, &learn->rule, err));
  bool same = was.rule.size && was.rule.kind == learn->rule.kind &&
              was.rule.window == learn->rule.window;
  learn->version_id = was.version_id;
  learn->state_id = was.state_id;
  if (was.rule.size == 0)
    VDB_TRY(schema_edit_id(e, &learn->version_id, err));
  return same ? VECDB_OK : schema_edit_id(e, &learn->state_id, err);
}

/* The paths of a field and one more, or without those that are meant; a type of 0 means all. */
static int schema_edit_json(struct schema_edit *e, const struct vdb_schema *from,
                            const struct vdb_schema_edit *edit, vecdb_error *err) {
  uint32_t at = 0, n = 0;
  const vecdb_json_index *index = edit->json_index;
  VDB_TRY(schema_edit_find(from, edit->json, &at, err));
  vecdb_field *f = &e->fields[at];
  if (f->type != VECDB_JSON)
    return schema_edit_fail(edit->json, "only JSON has indexes of paths", err);
  VDB_TRY(vdb_json_path_parse(f->name, index->path, &e->forms, err));
  bool there = false;
  for (uint32_t i = 0; i < f->n_json_indexes; i++) {
    const vecdb_json_index *own = &f->json_indexes[i];
    bool meant = strcmp(own->path, e->forms.text) == 0 &&
                 (own->type == index->type || (edit->json_drop && index->type == 0));
    there = there || meant;
    if (!meant || !edit->json_drop)
      e->paths[n++] = *own;
  }
  if (there != edit->json_drop)
    return vdb_fail_at(err, there ? VECDB_ERR_EXISTS : VECDB_ERR_NOT_FOUND, -1, f->name,
                       "field '%s' has %s index of %.255s", f->name, there ? "an" : "no such",
                       e->forms.text);
  if (!edit->json_drop)
    e->paths[n++] = (vecdb_json_index){e->forms.text, index->type};
  f->json_indexes = e->paths;
  f->n_json_indexes = n;
  return VECDB_OK;
}

/* Indexes that stay keep their ids, which files name them by; the others get new ones. */
static int schema_edit_path_ids(struct schema_edit *e, const struct vdb_schema *from,
                                struct vdb_schema *made, vecdb_error *err) {
  for (uint32_t i = 0; i < made->n_paths; i++) {
    struct vdb_json_path *path = &made->paths[i];
    int was = vdb_schema_by_id(from, made->fields[path->field].id), same = -1;
    for (uint32_t k = 0; was >= 0 && k < from->n_paths; k++) {
      struct vdb_json_path old = from->paths[k];
      if (old.field != (uint32_t)was)
        continue;
      old.field = path->field;
      same = vdb_json_path_same(&old, path) ? (int)k : same;
    }
    if (same >= 0)
      path->id = from->paths[same].id;
    else
      VDB_TRY(schema_edit_id(e, &path->id, err));
  }
  made->next_id = e->next_id;
  return VECDB_OK;
}

/* Turns the edited fields into a schema. */
static int schema_edit_make(struct vdb_mem *mem, const struct vdb_schema *from,
                            const struct vdb_schema_edit *edit, struct schema_edit *e,
                            struct vdb_schema **out, vecdb_error *err) {
  if (edit->add)
    VDB_TRY(schema_edit_add(e, from, edit->add, err));
  if (edit->drop)
    VDB_TRY(schema_edit_drop(e, from, edit->drop, err));
  if (edit->rename)
    VDB_TRY(schema_edit_rename(e, from, edit->rename, edit->to, err));
  if (edit->expire)
    VDB_TRY(schema_edit_expire(e, from, edit->expiry, edit->ttl_ms, err));
  if (edit->learn)
    VDB_TRY(schema_edit_learn(e, from, edit->learn, edit->optimizer, err));
  if (edit->json)
    VDB_TRY(schema_edit_json(e, from, edit, err));
  vecdb_schema whole = {sizeof whole, sizeof(vecdb_field), from->description, e->fields, e->n};
  VDB_TRY(vdb_schema_make(mem, &whole, e->learn, out, err));
  struct vdb_schema *made = *out;
  made->ttl_ms = edit->expire ? edit->ttl_ms : from->ttl_ms;
  for (uint32_t f = 0; f < e->n; f++) {
    made->fields[f].id = e->ids[f];
    if (e->expiry == (int64_t)e->ids[f])
      made->expiry = f + 1;
  }
  return schema_edit_path_ids(e, from, made, err);
}

VDB_INTERNAL int vdb_schema_edited(struct vdb_mem *mem, const struct vdb_schema *from,
                                   const struct vdb_schema_edit *edit, struct vdb_schema **out,
                                   vecdb_error *err) {
  *out = NULL;
  struct schema_edit *e = vdb_alloc_zero(mem, sizeof *e);
  if (!e)
    return vdb_fail_memory(err);
  vdb_schema_public(from, e->fields);
  e->n = from->n_public;
  e->next_id = from->next_id;
  e->expiry = from->expiry == 0 ? -1 : (int64_t)from->fields[from->expiry - 1].id;
  for (uint32_t f = 0; f < from->n_public; f++) {
    e->ids[f] = from->fields[f].id;
    e->learn[f] = from->fields[f].learn;
  }
  int rc = schema_edit_make(mem, from, edit, e, out, err);
  if (rc) {
    vdb_schema_free(mem, *out);
    *out = NULL;
  }
  vdb_free(mem, e);
  return rc;
}

VDB_INTERNAL int vdb_schema_by_id(const struct vdb_schema *schema, uint32_t id) {
  for (uint32_t f = 0; f < schema->n_fields; f++)
    if (schema->fields[f].id == id)
      return (int)f;
  return -1;
}
