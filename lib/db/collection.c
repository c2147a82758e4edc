/* collection.c - collection objects and the list of them; see db.h. */
#include "base/check.h"
#include "db/db.h"

VDB_INTERNAL void vdb_shape_free(struct vdb_mem *mem, struct vdb_shape *shape) {
  while (shape) {
    struct vdb_shape *older = shape->older;
    vdb_writer_free(&shape->bytes);
    vdb_free(mem, shape->public_fields);
    vdb_schema_free(mem, shape->schema);
    vdb_free(mem, shape);
    shape = older;
  }
}

VDB_INTERNAL int vdb_shape_new(struct vdb_mem *mem, struct vdb_schema *schema,
                               struct vdb_shape **out, vecdb_error *err) {
  struct vdb_shape *shape = *out = vdb_alloc_zero(mem, sizeof *shape);
  if (!shape)
    return vdb_fail_memory(err);
  uint32_t n = schema->n_public;
  shape->bytes.mem = mem;
  vdb_schema_encode(schema, &shape->bytes);
  shape->public_fields = vdb_alloc_array(mem, n, sizeof *shape->public_fields);
  if (shape->bytes.failed || !shape->public_fields) {
    vdb_shape_free(mem, shape);
    *out = NULL;
    return vdb_fail_memory(err);
  }
  vdb_schema_public(schema, shape->public_fields);
  vecdb_schema public_schema = {sizeof public_schema, sizeof(vecdb_field), schema->description,
                                shape->public_fields, n};
  shape->public_schema = public_schema;
  shape->schema = schema;
  return VECDB_OK;
}

VDB_INTERNAL void vdb_collection_reshape(struct vecdb_collection *coll, struct vdb_shape *shape,
                                         vecdb_index_params *index, struct vdb_version *version) {
  struct vdb_mem *mem = &coll->db->env.mem;
  struct vdb_version *old = coll->version;
  vdb_mutex_lock(&coll->view_mu);
  vecdb_index_params *old_index = coll->index;
  shape->older = coll->shape;
  coll->shape = shape;
  coll->schema = shape->schema;
  coll->index = index;
  coll->version = version;
  vdb_mutex_unlock(&coll->view_mu);
  vdb_free(mem, old_index);
  vdb_version_unref(mem, old);
}

/* The first shape, and the index settings that it comes with. */
static int collection_first_shape(struct vecdb_collection *coll, struct vdb_schema *schema,
                                  vecdb_error *err) {
  struct vdb_mem *mem = &coll->db->env.mem;
  coll->index = vdb_alloc_array(mem, schema->n_fields, sizeof *coll->index);
  if (!coll->index)
    return vdb_fail_memory(err);
  for (uint32_t f = 0; f < schema->n_fields; f++)
    coll->index[f] = schema->fields[f].index;
  struct vdb_shape *shape;
  VDB_TRY(vdb_shape_new(mem, schema, &shape, err));
  coll->shape = shape;
  coll->schema = schema;
  return VECDB_OK;
}

/* All locks or none. */
static int collection_init_locks(struct vecdb_collection *coll, vecdb_error *err) {
  struct vdb_mutex *mutexes[] = {&coll->merge_mu, &coll->seal_mu, &coll->view_mu, &coll->live.mu};
  for (size_t i = 0; i < VDB_COUNT(mutexes); i++) {
    int os = vdb_mutex_init(mutexes[i]);
    if (!os)
      continue;
    while (i > 0)
      vdb_mutex_destroy(mutexes[--i]);
    return vdb_fail_os(err, os, "making a mutex for", coll->name);
  }
  return VECDB_OK;
}

static void collection_fini_locks(struct vecdb_collection *coll) {
  vdb_mutex_destroy(&coll->live.mu);
  vdb_mutex_destroy(&coll->view_mu);
  vdb_mutex_destroy(&coll->seal_mu);
  vdb_mutex_destroy(&coll->merge_mu);
}

static void collection_free_parts(struct vecdb_collection *coll) {
  struct vdb_mem *mem = &coll->db->env.mem;
  vdb_live_free(coll);
  vdb_version_unref(mem, coll->version);
  vdb_free(mem, coll->index);
  vdb_free(mem, coll->name);
  vdb_shape_free(mem, coll->shape);
}

VDB_INTERNAL int vdb_collection_new(struct vecdb *db, uint32_t id, const char *name,
                                    struct vdb_schema *schema, struct vecdb_collection **out,
                                    vecdb_error *err) {
  struct vdb_mem *mem = &db->env.mem;
  *out = NULL;
  struct vecdb_collection *coll = vdb_alloc_zero(mem, sizeof *coll);
  if (!coll)
    return vdb_fail_memory(err);
  atomic_init(&coll->refs, 1);
  coll->db = db;
  coll->id = id;
  coll->serial = atomic_fetch_add(&db->serials, 1) + 1;
  atomic_init(&coll->next_auto_id, 1);
  coll->name = vdb_strndup(mem, name, strlen(name));
  coll->version = vdb_version_new(mem, 0);
  int rc = coll->name && coll->version ? VECDB_OK : vdb_fail_memory(err);
  if (!rc)
    rc = collection_init_locks(coll, err);
  bool locks = rc == VECDB_OK;
  if (!rc)
    rc = collection_first_shape(coll, schema, err);
  if (rc) {
    if (locks)
      collection_fini_locks(coll);
    collection_free_parts(coll);
    vdb_free(mem, coll);
    return rc;
  }
  *out = coll;
  return VECDB_OK;
}

VDB_INTERNAL struct vecdb_collection *vdb_collection_ref(struct vecdb_collection *coll) {
  atomic_fetch_add_explicit(&coll->refs, 1, memory_order_relaxed);
  return coll;
}

VDB_INTERNAL void vdb_collection_unref(struct vecdb_collection *coll) {
  if (!coll || atomic_fetch_sub_explicit(&coll->refs, 1, memory_order_acq_rel) != 1)
    return;
  struct vdb_mem *mem = &coll->db->env.mem;
  struct vecdb_collection *lender = coll->lender; /* which has none itself */
  collection_free_parts(coll);
  collection_fini_locks(coll);
  vdb_free(mem, coll);
  vdb_collection_unref(lender);
}

VDB_INTERNAL struct vecdb_collection *vdb_collection_find(struct vecdb *db, const char *name) {
  struct vecdb_collection *found = NULL;
  vdb_mutex_lock(&db->colls_mu);
  for (size_t i = 0; !found && i < db->n_colls; i++)
    if (strcmp(db->colls[i]->name, name) == 0)
      found = vdb_collection_ref(db->colls[i]);
  vdb_mutex_unlock(&db->colls_mu);
  return found;
}

VDB_INTERNAL struct vecdb_collection *vdb_collection_from(struct vecdb *db, uint64_t id) {
  vdb_mutex_lock(&db->colls_mu);
  size_t low = 0, high = db->n_colls;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (db->colls[middle]->id < id)
      low = middle + 1;
    else
      high = middle;
  }
  struct vecdb_collection *coll = low < db->n_colls ? vdb_collection_ref(db->colls[low]) : NULL;
  vdb_mutex_unlock(&db->colls_mu);
  return coll;
}

VDB_INTERNAL struct vecdb_collection *vdb_collection_current(struct vecdb_collection *coll) {
  if (!atomic_load_explicit(&coll->replaced, memory_order_acquire))
    return vdb_collection_ref(coll);
  struct vecdb_collection *now = vdb_collection_from(coll->db, coll->id);
  if (!now || now->id == coll->id)
    return now;
  vdb_collection_unref(now);
  return NULL;
}

VDB_INTERNAL int vdb_collection_all(struct vecdb *db, struct vecdb_collection ***out, size_t *n,
                                    vecdb_error *err) {
  vdb_mutex_lock(&db->colls_mu);
  *n = db->n_colls;
  *out = vdb_alloc_array(&db->env.mem, *n, sizeof(struct vecdb_collection *));
  for (size_t i = 0; *out && i < *n; i++)
    (*out)[i] = vdb_collection_ref(db->colls[i]);
  vdb_mutex_unlock(&db->colls_mu);
  return *out ? VECDB_OK : vdb_fail_memory(err);
}

VDB_INTERNAL void vdb_collection_free_all(struct vecdb *db, struct vecdb_collection **colls,
                                          size_t n) {
  for (size_t i = 0; i < n; i++)
    vdb_collection_unref(colls[i]);
  vdb_free(&db->env.mem, colls);
}

VDB_INTERNAL int vdb_collection_reserve(struct vecdb *db, vecdb_error *err) {
  vdb_mutex_lock(&db->colls_mu);
  bool ok = VDB_GROW(&db->env.mem, db->colls, db->colls_capacity, db->n_colls + 1);
  vdb_mutex_unlock(&db->colls_mu);
  return ok ? VECDB_OK : vdb_fail_memory(err);
}

VDB_INTERNAL void vdb_collection_add(struct vecdb *db, struct vecdb_collection *coll) {
  vdb_mutex_lock(&db->colls_mu);
  vdb_assert(db->n_colls < db->colls_capacity);
  db->colls[db->n_colls++] = vdb_collection_ref(coll);
  vdb_mutex_unlock(&db->colls_mu);
}

VDB_INTERNAL void vdb_collection_remove(struct vecdb *db, struct vecdb_collection *coll) {
  bool removed = false;
  vdb_mutex_lock(&db->colls_mu);
  for (size_t i = 0; i < db->n_colls; i++) {
    if (db->colls[i] == coll) {
      memmove(&db->colls[i], &db->colls[i + 1], (db->n_colls - i - 1) * sizeof *db->colls);
      db->n_colls--;
      removed = true;
      break;
    }
  }
  vdb_mutex_unlock(&db->colls_mu);
  if (removed)
    vdb_collection_unref(coll);
}

VDB_INTERNAL int vdb_collection_alive(const struct vecdb_collection *coll, vecdb_error *err) {
  if (atomic_load_explicit(&coll->dropped, memory_order_acquire))
    return vdb_fail(err, VECDB_ERR_CLOSED, "collection '%s' was dropped", coll->name);
  return VECDB_OK;
}
