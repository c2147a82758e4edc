/* sealed_alone.c - what a rows file says of itself, where no manifest does; see sealed.h. */
#include "seg/sealed.h"
#include "seg/sealed_format.h"

/* The sections that say it; the reader stands at the version in SCHM. */
static int sealed_alone_find(const struct vdb_sealed_alone *a, const char *path,
                             struct sealed_meta *meta, struct vdb_reader *schema,
                             vecdb_error *err) {
  const struct vdb_sect_reader *in = vdb_blob_reader(a->blob);
  const void *data;
  size_t n;
  VDB_TRY(in->find(in, SEALED_META, 0, false, &data, &n, err));
  if (!data || n < sizeof *meta)
    return vdb_fail(err, VECDB_ERR_CORRUPT, "%s does not say how many rows it has", path);
  memcpy(meta, data, sizeof *meta);
  VDB_TRY(in->find(in, SEALED_SCHM, 0, false, &data, &n, err));
  if (!data)
    return vdb_fail(err, VECDB_ERR_NOT_A_DATABASE,
                    "%s has no schema in it: it is older than format 7, and opens only in the "
                    "folder of its database", path);
  *schema = vdb_reader_of(data, n);
  return VECDB_OK;
}

static int sealed_alone_read(struct vdb_env *env, const char *path, struct vdb_sealed_alone *a,
                             vecdb_error *err) {
  struct vdb_reader in = {0};
  struct sealed_meta meta = {0};
  VDB_TRY(sealed_alone_find(a, path, &meta, &in, err));
  uint32_t version = vdb_read_u32(&in);
  if (!in.bad && version > SEALED_SCHM_VERSION)
    return vdb_fail(err, VECDB_ERR_NEWER_FORMAT, "%s has a schema of version %u, newer than %u",
                    path, version, SEALED_SCHM_VERSION);
  uint32_t n = vdb_read_u32(&in);
  const char *name = vdb_read_bytes(&in, n);
  if (in.bad || version == 0 || n > VECDB_MAX_NAME || memchr(name, '\0', n))
    return vdb_fail(err, VECDB_ERR_CORRUPT, "%s is damaged: its schema makes no sense", path);
  a->rows = meta.n_rows;
  a->name = vdb_strndup(&env->mem, name, n);
  if (!a->name)
    return vdb_fail_memory(err);
  vecdb_error why;
  if (vdb_name_check(a->name, true, "a collection", &why))
    return vdb_fail(err, VECDB_ERR_CORRUPT, "%s is damaged: %s", path, why.message);
  return vdb_schema_decode(&env->mem, in.at, vdb_reader_left(&in), &a->schema, err);
}

VDB_INTERNAL int vdb_sealed_alone_open(struct vdb_env *env, const char *path, bool full,
                                       struct vdb_sealed_alone *out, vecdb_error *err) {
  memset(out, 0, sizeof *out);
  VDB_TRY(vdb_blob_open_alone(env, path, VDB_BLOB_ROWS, full, &out->id, &out->blob, err));
  int rc = sealed_alone_read(env, path, out, err);
  if (rc)
    vdb_sealed_alone_close(env, out);
  return rc;
}

VDB_INTERNAL void vdb_sealed_alone_close(struct vdb_env *env, struct vdb_sealed_alone *alone) {
  vdb_schema_free(&env->mem, alone->schema);
  vdb_free(&env->mem, alone->name);
  vdb_blob_close(alone->blob);
  memset(alone, 0, sizeof *alone);
}
