/*
 * alone.c - one segment file, opened by itself as a database of one collection; see db.h. The file
 * is as it was written: it has the schema of its time, the rows that were deleted before are so,
 * and what became of its rows later stands in files that are not looked for.
 */
#include <errno.h>

#include "base/check.h"
#include "db/db.h"

enum {
  ALONE_PATH_MAX = 4096,
  ALONE_SEQ = 1 /* all that is in the file was written by then */
};

static void alone_ignore_name(void *arg, const char *name) {
  (void)arg;
  (void)name;
}

/* Something that is no folder stands there, and does not open. */
static int alone_closed(const struct vecdb *db, int os, vecdb_error *err) {
  if (os == EINVAL || os == ELOOP || os == ENOTDIR) /* see vfs_posix.c */
    return vdb_fail(err, VECDB_ERR_NOT_A_DATABASE, "%s is neither a folder nor a plain file",
                    db->dir);
  return vdb_fail_os(err, os, "cannot open", db->dir);
}

VDB_INTERNAL int vdb_alone_look(struct vecdb *db, vecdb_error *err) {
  const vecdb_vfs *vfs = db->env.vfs;
  char parent[ALONE_PATH_MAX];
  vecdb_file *file;
  if (!(db->flags & VECDB_READ_ONLY))
    return VECDB_OK;
  int listed = vfs->list(vfs, db->dir, alone_ignore_name, NULL);
  if (listed == 0)
    return VECDB_OK;
  int opened = vfs->open(vfs, db->dir, VECDB_OPEN_READ, &file);
  if (opened)
    return listed == ENOTDIR ? alone_closed(db, opened, err) : VECDB_OK;
  vfs->close(file);
  if (db->flags & VECDB_FOLLOW)
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "%s is a file, which has no writer to follow",
                    db->dir);
  vdb_db_parent(db->dir, parent, sizeof parent);
  db->alone = db->dir;
  db->dir = vdb_strndup(&db->env.mem, parent, strlen(parent));
  return db->dir ? VECDB_OK : vdb_fail_memory(err);
}

static int alone_segment(struct vecdb *db, const struct vdb_schema *schema,
                         struct vdb_sealed_alone *file, struct vdb_seg **out, vecdb_error *err) {
  struct vdb_sealed_open open = {&db->env,   db->dir,         schema,     file->id,
                                 file->rows, db->verify_full, file->blob, NULL};
  struct vdb_sealed *sealed;
  file->blob = NULL; /* is taken over */
  *out = NULL;
  VDB_TRY(vdb_sealed_open(&open, &sealed, err));
  int rc = vdb_seg_of_sealed(sealed, schema, 1, NULL, out, err);
  vdb_sealed_unref(sealed);
  return rc ? rc : vdb_seg_tombs_alone(*out, err);
}

/* A copy of the database (vecdb_backup) may be written to, and numbers its rows on. */
static void alone_auto_id(struct vecdb_collection *coll, const struct vdb_seg *seg) {
  const struct vdb_schema *schema = coll->schema;
  int64_t next = 1;
  if (!(schema->fields[schema->key].flags & VECDB_AUTO_ID))
    return;
  for (uint32_t row = 0; row < seg->sealed->n_rows; row++) {
    int64_t id;
    memcpy(&id, vdb_column_bytes(&seg->sealed->columns[schema->key], row).data, sizeof id);
    if (id >= next && id < INT64_MAX)
      next = id + 1;
  }
  atomic_store(&coll->next_auto_id, next);
}

static int alone_fill(struct vecdb *db, struct vecdb_collection *coll,
                      struct vdb_sealed_alone *file, vecdb_error *err) {
  struct vdb_version *version = vdb_version_new(&db->env.mem, 1);
  if (!version)
    return vdb_fail_memory(err);
  int rc = alone_segment(db, coll->schema, file, &version->segs[0], err);
  version->n = version->segs[0] != NULL;
  if (rc) {
    vdb_version_unref(&db->env.mem, version);
    return rc;
  }
  alone_auto_id(coll, version->segs[0]);
  vdb_version_set(coll, version);
  coll->files_seq = coll->last_seq = coll->visible_seq = ALONE_SEQ;
  if (!VDB_GROW(&db->env.mem, db->colls, db->colls_capacity, 1))
    return vdb_fail_memory(err);
  return VECDB_OK;
}

static int alone_collection(struct vecdb *db, struct vdb_sealed_alone *file, vecdb_error *err) {
  struct vecdb_collection *coll;
  if (file->id.file == 0 || file->id.file >= UINT64_MAX / 4) /* numbers only grow, from 1 on */
    return vdb_fail(err, VECDB_ERR_CORRUPT, "%s has a number that cannot be", db->alone);
  VDB_TRY(vdb_collection_new(db, 1, file->name, file->schema, &coll, err));
  file->schema = NULL; /* is the collection's */
  int rc = alone_fill(db, coll, file, err);
  if (rc) {
    vdb_collection_unref(coll);
    return rc;
  }
  db->colls[db->n_colls++] = coll;
  db->next_segment = 2;
  db->next_collection = 2;
  atomic_store(&db->next_file, file->id.file + 1);
  db->published_seq = ALONE_SEQ;
  return VECDB_OK;
}

VDB_INTERNAL int vdb_alone_open(struct vecdb *db, vecdb_error *err) {
  struct vdb_sealed_alone file;
  VDB_TRY(vdb_sealed_alone_open(&db->env, db->alone, db->verify_full, &file, err));
  int rc = alone_collection(db, &file, err);
  vdb_sealed_alone_close(&db->env, &file);
  return rc;
}
