/* rekey.c - other keys for an encrypted database that is open; see vecdb_rekey. What no file in the
   folder names is removed from KEYS, so a file that is made meanwhile has the current key. */
#include "db/db.h"
#include "store/store_format.h"

/* The data keys that files of the folder are encrypted by. */
struct rekey_used {
  struct vecdb *db;
  uint32_t *ids;
  size_t n, capacity;
  bool unknown; /* a file could not be read: all keys are kept */
};

static void rekey_note(struct rekey_used *used, uint32_t id) {
  for (size_t i = 0; i < used->n; i++)
    if (used->ids[i] == id)
      return;
  if (VDB_GROW(&used->db->env.mem, used->ids, used->capacity, used->n + 1))
    used->ids[used->n++] = id;
  else
    used->unknown = true;
}

/* Reads the id out of a file's header: where it stands says the name. */
static void rekey_visit(void *arg, const char *name) {
  struct rekey_used *used = arg;
  const vecdb_vfs *vfs = used->db->env.vfs;
  enum vdb_blob_kind kind;
  uint64_t number;
  size_t at;
  if (vdb_blob_parse(name, &kind, &number))
    at = offsetof(struct store_blob_header, key);
  else if (vdb_wal_parse(name, &number))
    at = offsetof(struct store_wal_header, key);
  else
    return;
  struct vdb_writer path = VDB_WRITER(&used->db->env.mem);
  vdb_write_bytes(&path, used->db->dir, strlen(used->db->dir));
  vdb_write_u8(&path, '/');
  vdb_write_bytes(&path, name, strlen(name) + 1);
  vecdb_file *file = NULL;
  uint32_t id = 0;
  if (path.failed || vfs->open(vfs, (const char *)path.data, VECDB_OPEN_READ, &file) != 0) {
    used->unknown = true;
  } else {
    if (vfs->read(file, &id, sizeof id, at) != 0)
      used->unknown = true;
    vfs->close(file);
    rekey_note(used, id);
  }
  vdb_writer_free(&path);
}

static bool rekey_in_use(void *arg, uint32_t id) {
  const struct rekey_used *used = arg;
  for (size_t i = 0; i < used->n; i++)
    if (used->ids[i] == id)
      return true;
  return used->unknown;
}

/* Begins a new log file and a new manifest, so that both get the new data key, and waits for a log
   file that is being made with the former one: the next call finds it in the folder. manifest_mu
   held. */
static int rekey_go_on(struct vecdb *db, vecdb_error *err) {
  struct vdb_change nothing = {0};
  bool keep;
  vdb_mutex_lock(&db->write_mu);
  vdb_commit_hold(db);
  vdb_commit_rotate(db);
  vdb_commit_release(db);
  vdb_mutex_unlock(&db->write_mu);
  return vdb_change_commit(db, &nothing, &keep, err);
}

VDB_INTERNAL int vdb_rekey(struct vecdb *db, const char *key_id, bool new_data_key,
                           vecdb_error *err) {
  struct rekey_used used = {.db = db};
  struct vdb_keys_change change = {key_id, new_data_key, rekey_in_use, &used};
  const vecdb_vfs *vfs = db->env.vfs;
  vdb_mutex_lock(&db->manifest_mu);
  used.unknown = db->copies > 0; /* they copy files whose names may be gone */
  if (vfs->list(vfs, db->dir, rekey_visit, &used) != 0)
    used.unknown = true;
  int rc = vdb_keys_change(db->keys, &change, err);
  if (!rc && new_data_key)
    rc = rekey_go_on(db, err);
  vdb_mutex_unlock(&db->manifest_mu);
  vdb_free(&db->env.mem, used.ids);
  return rc;
}
