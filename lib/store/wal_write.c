/*
 * wal_write.c - writing the log: records gather in one buffer while another is written. What was
 * written without a sync is kept in memory until it is synced, so that a file that fails can be
 * left for good and its records written again, into a new one. See wal.h.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/check.h"
#include "store/store_format.h"
#include "store/wal.h"
#include "store/wal_crypt.h"

enum {
  WALW_KEEP = 64 << 20,        /* a buffer grown beyond this is given back after its write */
  WALW_UNSYNCED_MAX = 64 << 20,
  WALW_RESERVE_FIRST = 1 << 18, /* space reserved ahead, doubling to ... */
  WALW_RESERVE_MAX = 16 << 20
};

/* Whole records, one after the other, as they go to the file. */
struct walw_buffer {
  uint8_t *data;
  size_t n;
  size_t capacity;
  size_t hashed;     /* the bodies of the records below this offset are hashed */
  uint64_t last_seq; /* of the last record; anything when n is 0 */
};

/* A log file and its size, for trimming. */
struct walw_file {
  uint64_t number;
  uint64_t bytes;
};

struct vdb_wal {
  struct vdb_env *env;
  char *dir;

  /* Guarded by the caller's lock. */
  struct walw_buffer fill;
  uint64_t last_seq; /* the last number given out */
  bool rotate;       /* set while no write runs */

  /* Used by the one write, sync or close that runs; by rewind and rotate while none does. */
  struct walw_buffer taken;
  struct walw_buffer unsynced; /* written or to be written to `file`, but not synced */
  vecdb_file *file;            /* NULL: the next write begins one */
  uint64_t number;             /* of file */
  uint64_t base;               /* of file */
  uint64_t salt;
  struct vdb_cipher *cipher;  /* of file; NULL: plain */
  struct walw_buffer sealed;  /* records of an encrypted file on their way to it */
  uint64_t end;      /* where the next record goes */
  uint64_t synced;   /* file offset up to which all is known to be synced */
  uint64_t reserved; /* file offset up to which space is reserved */
  uint64_t ahead;    /* unit of the next reservation, a power of two */
  uint64_t written_seq; /* the last record in file or, without one, in the files before */
  uint64_t durable_seq; /* the last that is synced, apart from those in doubt */
  uint64_t hollow;   /* a left file that holds nothing needed; 0: none */
  bool left;         /* the last file was left, and its records have nothing behind them */
  uint64_t entropy;  /* of salts */

  _Atomic uint64_t next_file;
  _Atomic uint64_t syncs;
  _Atomic uint64_t sync_ns; /* what they and those that failed took */

  struct vdb_mutex mutex;  /* of the fields below */
  struct walw_file *files; /* ascending */
  size_t n_files;
  size_t files_capacity;
  uint64_t in_use;    /* number of `file`; 0: none */
  uint64_t doubt_file; /* as in vdb_wal_scan, until the records are in a new file or trimmed */
  uint64_t doubt_from;
  uint64_t doubt_to;
};

/* ---- buffers ---- */

static void walw_buffer_clear(struct vdb_mem *mem, struct walw_buffer *b) {
  b->n = b->hashed = 0;
  if (b->capacity > WALW_KEEP) {
    vdb_free(mem, b->data);
    b->data = NULL;
    b->capacity = 0;
  }
}

static size_t walw_record_at(const struct walw_buffer *b, size_t at, struct store_wal_record *h) {
  memcpy(h, b->data + at, sizeof *h);
  return (size_t)vdb_store_record_bytes(h->length);
}

/* Completes the records for the file they are about to be written to. */
static void walw_stamp(struct walw_buffer *b, uint64_t salt, uint64_t durable) {
  for (size_t at = 0; at < b->n;) {
    struct store_wal_record h;
    size_t size = walw_record_at(b, at, &h);
    if (at >= b->hashed)
      h.body_hash = vdb_hash64(b->data + at + sizeof h, size - sizeof h);
    h.salt = salt;
    h.durable = durable;
    h.hash = vdb_store_hash(&h, sizeof h);
    memcpy(b->data + at, &h, sizeof h);
    at += size;
  }
  b->hashed = b->n;
}

/* Drops the records numbered above last_seq. */
static void walw_buffer_cut(struct walw_buffer *b, uint64_t last_seq) {
  size_t at = 0;
  while (at < b->n) {
    struct store_wal_record h;
    size_t size = walw_record_at(b, at, &h);
    if (h.seq > last_seq)
      break;
    b->last_seq = h.seq;
    at += size;
  }
  b->n = at;
  b->hashed = vdb_min_size(b->hashed, at);
}

/* ---- making and freeing ---- */

static void walw_free(struct vdb_wal *wal) {
  struct vdb_mem *mem = vdb_env_for(wal->env, VDB_FOR_WRITES);
  if (wal->file)
    wal->env->vfs->close(wal->file);
  vdb_cipher_free(wal->cipher);
  vdb_mutex_destroy(&wal->mutex);
  vdb_free(mem, wal->sealed.data);
  vdb_free(mem, wal->fill.data);
  vdb_free(mem, wal->taken.data);
  vdb_free(mem, wal->unsynced.data);
  vdb_free(mem, wal->files);
  vdb_free(mem, wal->dir);
  vdb_free(mem, wal);
}

VDB_INTERNAL int vdb_wal_new(struct vdb_env *env, const char *dir, const struct vdb_wal_scan *scan,
                             struct vdb_wal **out, vecdb_error *err) {
  *out = NULL;
  struct vdb_wal *wal = vdb_alloc_zero(vdb_env_for(env, VDB_FOR_WRITES), sizeof *wal);
  if (!wal)
    return vdb_fail_memory(err);
  int os = vdb_mutex_init(&wal->mutex);
  if (os) {
    vdb_free(vdb_env_for(env, VDB_FOR_WRITES), wal);
    return vdb_fail_os(err, os, "cannot make a mutex for", dir);
  }
  wal->env = env;
  wal->dir = vdb_strndup(vdb_env_for(env, VDB_FOR_WRITES), dir, strlen(dir));
  if (!wal->dir || !VDB_GROW(vdb_env_for(env, VDB_FOR_WRITES), wal->files, wal->files_capacity,
                             1)) {
    walw_free(wal);
    return vdb_fail_memory(err);
  }
  /* the files of before count as one, gone when the last of them goes */
  if (scan->bytes > 0) {
    wal->files[0].number = scan->next_file - 1;
    wal->files[0].bytes = scan->bytes;
    wal->n_files = 1;
  }
  wal->last_seq = wal->written_seq = wal->durable_seq = scan->last_seq;
  wal->doubt_file = scan->doubt_file;
  wal->doubt_from = scan->doubt_from;
  wal->doubt_to = scan->doubt_to;
  wal->entropy = vdb_mix64(env->seed ^ scan->salt);
  atomic_init(&wal->next_file, scan->next_file);
  atomic_init(&wal->syncs, 0);
  atomic_init(&wal->sync_ns, 0);
  *out = wal;
  return VECDB_OK;
}

/* ---- files ---- */

/* Never writes or syncs the current file again. */
static void walw_leave(struct vdb_wal *wal) {
  wal->env->vfs->close(wal->file);
  vdb_cipher_free(wal->cipher);
  wal->cipher = NULL;
  wal->file = NULL;
  wal->rotate = false;
  wal->left = true;
  vdb_mutex_lock(&wal->mutex);
  wal->in_use = 0;
  vdb_mutex_unlock(&wal->mutex);
  if (wal->base == wal->durable_seq)
    wal->hollow = wal->number;
  atomic_store(&wal->next_file, wal->number + 1);
}

/* Syncs, and keeps account of the time. */
static int walw_sync_timed(struct vdb_wal *wal, vecdb_file *file) {
  uint64_t began = vdb_now_ns(wal->env);
  int os = wal->env->vfs->sync(file);
  atomic_fetch_add(&wal->sync_ns, vdb_now_ns(wal->env) - began);
  return os;
}

static int walw_sync_file(struct vdb_wal *wal, vecdb_error *err) {
  int os = walw_sync_timed(wal, wal->file);
  if (os)
    return vdb_fail_os(err, os, "cannot sync the log in", wal->dir);
  atomic_fetch_add(&wal->syncs, 1);
  wal->synced = wal->end;
  wal->durable_seq = wal->written_seq;
  walw_buffer_clear(vdb_env_for(wal->env, VDB_FOR_WRITES), &wal->unsynced);
  return VECDB_OK;
}

/* Checks what walw_read_doubt has read: whole records of one file, up to the log's end. */
static bool walw_check_doubt(struct vdb_wal *wal, size_t n) {
  struct walw_buffer *b = &wal->unsynced;
  struct store_wal_record h;
  for (size_t at = 0; at < n;) {
    if (n - at < sizeof h)
      return false;
    size_t size = walw_record_at(b, at, &h);
    if (h.magic != STORE_RECORD_MAGIC || h.hash != vdb_store_hash(&h, sizeof h) || size > n - at ||
        h.body_hash != vdb_hash64(b->data + at + sizeof h, size - sizeof h))
      return false;
    if (at > 0 ? h.seq != b->last_seq + 1 : h.seq > wal->durable_seq)
      return false;
    if (at == 0)
      wal->written_seq = h.seq - 1;
    b->last_seq = h.seq;
    at += size;
  }
  return n > 0 && b->last_seq == wal->durable_seq;
}

/* Decrypts the n bytes of whole records in `unsynced`, which stood at `from` in an encrypted file
   that begins with `begin`. */
static int walw_open_doubt(struct vdb_wal *wal, const char *path, const uint8_t *begin,
                           uint64_t from, size_t n, vecdb_error *err) {
  struct store_wal_header head;
  struct store_wal_record h;
  struct vdb_cipher *cipher;
  uint8_t *data = wal->unsynced.data;
  int os = 0;
  memcpy(&head, begin, sizeof head);
  VDB_TRY(vdb_walc_of(wal->env, &head, begin + sizeof head, path, &cipher, err));
  for (size_t at = 0; cipher && !os && at < n; at += (size_t)vdb_store_record_bytes(h.length)) {
    memcpy(&h, data + at, sizeof h);
    uint8_t *body = data + at + sizeof h;
    os = vdb_walc_open(cipher, from + at, &h, body, body);
  }
  vdb_cipher_free(cipher);
  return os ? vdb_fail_os(err, os, "cannot decrypt", path) : VECDB_OK;
}

/* Reads records [from, to) of the file `path` to the empty `unsynced`. */
static int walw_read_doubt(struct vdb_wal *wal, const char *path, uint64_t from, uint64_t to,
                           vecdb_error *err) {
  const vecdb_vfs *vfs = wal->env->vfs;
  struct walw_buffer *b = &wal->unsynced;
  size_t n = (size_t)(to - from);
  uint8_t begin[WAL_BEGIN_MAX];
  if (!VDB_GROW(vdb_env_for(wal->env, VDB_FOR_WRITES), b->data, b->capacity, n))
    return vdb_fail_memory(err);
  vecdb_file *file;
  int os = vfs->open(vfs, path, VECDB_OPEN_READ, &file);
  if (os)
    return vdb_fail_os(err, os, "cannot open", path);
  os = vfs->read(file, b->data, n, from);
  if (!os && wal->env->keys)
    os = vfs->read(file, begin, sizeof begin, 0);
  vfs->close(file);
  if (os)
    return vdb_fail_os(err, os, "cannot read", path);
  if (!walw_check_doubt(wal, n))
    return vdb_fail(err, VECDB_ERR_CORRUPT, "%s has changed since it was read", path);
  if (wal->env->keys)
    VDB_TRY(walw_open_doubt(wal, path, begin, from, n, err));
  b->n = b->hashed = n;
  return VECDB_OK;
}

/* Takes records of the process before into `unsynced` that the scan has seen but the disk may not
   have: the system may hold them in memory, and a sync says nothing if one has failed before. */
static int walw_take_doubt(struct vdb_wal *wal, vecdb_error *err) {
  vdb_mutex_lock(&wal->mutex);
  uint64_t number = wal->doubt_file;
  uint64_t from = wal->doubt_from;
  uint64_t to = wal->doubt_to;
  vdb_mutex_unlock(&wal->mutex);
  if (!number)
    return VECDB_OK;
  char path[STORE_PATH_MAX];
  VDB_TRY(vdb_wal_path(path, sizeof path, wal->dir, number, err));
  int rc = walw_read_doubt(wal, path, from, to, err);
  vdb_mutex_lock(&wal->mutex);
  bool trimmed = wal->doubt_file == 0; /* meanwhile: they are in other files now */
  if (rc == VECDB_OK)
    wal->doubt_file = 0;
  vdb_mutex_unlock(&wal->mutex);
  if (rc == VECDB_OK && !trimmed)
    wal->durable_seq = wal->written_seq;
  else
    wal->written_seq = wal->durable_seq;
  if (trimmed)
    walw_buffer_clear(vdb_env_for(wal->env, VDB_FOR_WRITES), &wal->unsynced);
  return trimmed ? VECDB_OK : rc;
}

/* The salt of a file of that name, which may be another's; 0 if there is none. */
static uint64_t walw_stale_salt(struct vdb_wal *wal, const char *path) {
  const vecdb_vfs *vfs = wal->env->vfs;
  struct store_wal_header h;
  vecdb_file *file;
  if (vfs->open(vfs, path, VECDB_OPEN_READ, &file) != 0)
    return 0;
  if (vfs->read(file, &h, sizeof h, 0) != 0)
    h.salt = 0;
  vfs->close(file);
  return h.salt;
}

static int walw_temp_path(char out[STORE_PATH_MAX], const char *dir, vecdb_error *err) {
  int n = snprintf(out, STORE_PATH_MAX, "%s/wal.tmp", dir);
  if (n < 0 || n >= STORE_PATH_MAX)
    return vdb_fail(err, VECDB_ERR_LIMIT, "the path of the database is too long");
  return VECDB_OK;
}

/* A salt that no file of this number ever had: neither of this process, nor of another. */
static uint64_t walw_new_salt(struct vdb_wal *wal, uint64_t number, uint64_t stale) {
  uint64_t salt = vdb_mix64(wal->entropy + vdb_wall_ns(wal->env));
  salt = vdb_mix64(salt ^ vdb_now_ns(wal->env));
  salt = vdb_mix64(salt + number);
  if (salt == 0 || salt == stale)
    salt = ~stale | 1;
  wal->entropy = vdb_mix64(wal->entropy + salt);
  return salt;
}

/* A file that is written to, and the place for what comes next. */
struct walw_target {
  vecdb_file *file;
  struct vdb_cipher *cipher; /* NULL: plain */
  uint64_t salt;
  uint64_t offset;
  uint64_t durable; /* for the records' headers */
};

/* Encrypts the records of a buffer, into `sealed`. */
static int walw_seal(struct vdb_wal *wal, const struct walw_target *t,
                     const struct walw_buffer *b) {
  struct walw_buffer *out = &wal->sealed;
  if (!VDB_GROW(vdb_env_for(wal->env, VDB_FOR_WRITES), out->data, out->capacity, b->n))
    return ENOMEM;
  for (size_t at = 0; at < b->n;) {
    struct store_wal_record h;
    size_t size = walw_record_at(b, at, &h);
    h.salt = t->salt;
    h.durable = t->durable;
    memcpy(b->data + at, &h, sizeof h);
    int os = vdb_walc_seal(t->cipher, t->offset + at, b->data + at, out->data + at);
    if (os)
      return os;
    at += size;
  }
  return 0;
}

/* Writes the records of a buffer. */
static int walw_put(struct vdb_wal *wal, const struct walw_target *t, struct walw_buffer *b) {
  const vecdb_vfs *vfs = wal->env->vfs;
  if (b->n == 0)
    return 0;
  if (!t->cipher) {
    walw_stamp(b, t->salt, t->durable);
    return vfs->write(t->file, b->data, b->n, t->offset);
  }
  int os = walw_seal(wal, t, b);
  if (!os)
    os = vfs->write(t->file, wal->sealed.data, b->n, t->offset);
  walw_buffer_clear(vdb_env_for(wal->env, VDB_FOR_WRITES), &wal->sealed);
  return os;
}

/* Writes what the file begins with and the unsynced records to it, and syncs it. */
static int walw_fill(struct vdb_wal *wal, const struct walw_target *t, const uint8_t *begin) {
  int os = wal->env->vfs->write(t->file, begin, (size_t)t->offset, 0);
  if (!os)
    os = walw_put(wal, t, &wal->unsynced);
  return os ? os : walw_sync_timed(wal, t->file);
}

/* Makes the file of `t`, which begins with `begin`, and gives it its name, all synced. When it
   fails the file is gone. */
static int walw_make(struct vdb_wal *wal, const char *path, struct walw_target *t,
                     const uint8_t *begin, vecdb_error *err) {
  const vecdb_vfs *vfs = wal->env->vfs;
  char temp[STORE_PATH_MAX];
  VDB_TRY(walw_temp_path(temp, wal->dir, err));
  vfs->remove(vfs, temp); /* one that a crash or a failure has left: never written again */
  int os = vfs->open(vfs, temp, VECDB_OPEN_CREATE, &t->file);
  if (os)
    return vdb_fail_os(err, os, "cannot create", temp);
  os = walw_fill(wal, t, begin);
  if (!os)
    os = vfs->rename(vfs, temp, path);
  if (!os)
    os = vfs->sync_dir(vfs, wal->dir);
  if (!os)
    return VECDB_OK;
  vfs->close(t->file);
  vfs->remove(vfs, temp);
  vfs->remove(vfs, path);
  return vdb_fail_os(err, os, "cannot create", path);
}

/* Makes file `number`, with all that is unsynced in it, and syncs it and its name. */
static int walw_create(struct vdb_wal *wal, const char *path, uint64_t number, vecdb_error *err) {
  struct store_wal_header h;
  uint8_t begin[WAL_BEGIN_MAX];
  memset(&h, 0, sizeof h);
  memcpy(h.magic, STORE_WAL_MAGIC, sizeof h.magic);
  h.version = VECDB_FORMAT_VERSION;
  h.number = number;
  h.base = wal->durable_seq;
  h.salt = walw_new_salt(wal, number, walw_stale_salt(wal, path));
  struct walw_target t = {.salt = h.salt};
  VDB_TRY(vdb_walc_new(wal->env, &h, &t.cipher, begin, err));
  t.offset = t.durable = vdb_walc_begin(t.cipher != NULL);
  int rc = walw_make(wal, path, &t, begin, err);
  if (rc) {
    vdb_cipher_free(t.cipher);
    return rc;
  }
  wal->file = t.file;
  wal->cipher = t.cipher;
  wal->number = number;
  wal->base = h.base;
  wal->salt = h.salt;
  wal->end = wal->synced = wal->reserved = t.offset + wal->unsynced.n;
  wal->ahead = WALW_RESERVE_FIRST;
  wal->written_seq = wal->unsynced.n > 0 ? wal->unsynced.last_seq : h.base;
  wal->durable_seq = wal->written_seq;
  wal->left = false;
  atomic_fetch_add(&wal->syncs, 1);
  walw_buffer_clear(vdb_env_for(wal->env, VDB_FOR_WRITES), &wal->unsynced);
  return VECDB_OK;
}

/* Takes entry i out of the table; under wal->mutex. */
static void walw_drop(struct vdb_wal *wal, size_t i) {
  memmove(&wal->files[i], &wal->files[i + 1], (wal->n_files - i - 1) * sizeof *wal->files);
  wal->n_files--;
}

/* Enters the new file, and removes one that was left without holding anything needed. */
static void walw_enter(struct vdb_wal *wal) {
  uint64_t hollow = wal->hollow;
  wal->hollow = 0;
  vdb_mutex_lock(&wal->mutex);
  for (size_t i = wal->n_files; i-- > 0;)
    if (wal->files[i].number == hollow)
      walw_drop(wal, i);
  wal->files[wal->n_files].number = wal->in_use = wal->number;
  wal->files[wal->n_files++].bytes = wal->end;
  vdb_mutex_unlock(&wal->mutex);
  char path[STORE_PATH_MAX];
  vecdb_error ignored;
  if (hollow && vdb_wal_path(path, sizeof path, wal->dir, hollow, &ignored) == VECDB_OK)
    wal->env->vfs->remove(wal->env->vfs, path);
}

/* Writes a buffer's records behind the others. On failure the file must be left. */
static int walw_append(struct vdb_wal *wal, struct walw_buffer *b, vecdb_error *err) {
  const vecdb_vfs *vfs = wal->env->vfs;
  uint64_t end = wal->end + b->n;
  if (end > wal->reserved) {
    wal->reserved = vdb_round_up(end, wal->ahead);
    wal->ahead = wal->ahead < WALW_RESERVE_MAX ? wal->ahead * 2 : wal->ahead;
    /* a failure here is no fault: the write itself finds out whether there is space */
    vfs->reserve(wal->file, wal->reserved);
  }
  struct walw_target t = {wal->file, wal->cipher, wal->salt, wal->end, wal->synced};
  int os = walw_put(wal, &t, b);
  if (os)
    return vdb_fail_os(err, os, "cannot write the log in", wal->dir);
  wal->end = end;
  wal->written_seq = b->last_seq;
  vdb_mutex_lock(&wal->mutex);
  wal->files[wal->n_files - 1].bytes += b->n;
  vdb_mutex_unlock(&wal->mutex);
  return VECDB_OK;
}

/* Begins a new file, with what was not synced in the one before. */
static int walw_begin(struct vdb_wal *wal, vecdb_error *err) {
  VDB_TRY(walw_take_doubt(wal, err));
  uint64_t number = atomic_load(&wal->next_file);
  char path[STORE_PATH_MAX];
  VDB_TRY(vdb_wal_path(path, sizeof path, wal->dir, number, err));
  vdb_mutex_lock(&wal->mutex);
  bool room = VDB_GROW(vdb_env_for(wal->env, VDB_FOR_WRITES), wal->files, wal->files_capacity,
                       wal->n_files + 1);
  vdb_mutex_unlock(&wal->mutex);
  if (!room)
    return vdb_fail_memory(err);
  int rc = walw_create(wal, path, number, err);
  if (rc)
    atomic_store(&wal->next_file, number + 1);
  else
    walw_enter(wal);
  return rc;
}

/* Makes sure that there is a file for the next record. */
static int walw_ready(struct vdb_wal *wal, vecdb_error *err) {
  if (wal->file && wal->rotate) {
    /* All of it must be durable before a file with a higher base is. If that fails, the next file
       starts lower and gets the records that are in doubt. */
    vecdb_error why;
    if (wal->unsynced.n > 0 && walw_sync_file(wal, &why) != VECDB_OK)
      vdb_log(wal->env, VECDB_LOG_WARN, "%s; going on with a new log file", why.message);
    else
      wal->env->vfs->truncate(wal->file, wal->end); /* gives reserved space back */
    walw_leave(wal);
  }
  return wal->file ? VECDB_OK : walw_begin(wal, err);
}

/* After a failure in the file: leaves it, and begins the next one so that what has failed does not
   come back. If that fails too, the next write tries again. */
static void walw_fence(struct vdb_wal *wal) {
  vecdb_error ignored;
  walw_leave(wal);
  if (walw_begin(wal, &ignored) != VECDB_OK)
    vdb_log(wal->env, VECDB_LOG_WARN, "no new log file: %s", ignored.message);
}

/* ---- records ---- */

VDB_INTERNAL int vdb_wal_add(struct vdb_wal *wal, uint32_t collection, enum vdb_wal_type type,
                             const struct vdb_wal_part *parts, size_t n_parts, uint64_t *seq,
                             vecdb_error *err) {
  size_t n = 0;
  for (size_t i = 0; i < n_parts; i++)
    if (__builtin_add_overflow(n, parts[i].n, &n) || n > STORE_RECORD_BODY_MAX)
      return vdb_fail(err, VECDB_ERR_LIMIT, "a write of over %d bytes", STORE_RECORD_BODY_MAX);
  struct walw_buffer *b = &wal->fill;
  size_t length = n + (wal->env->keys ? VDB_TAG_BYTES : 0);
  size_t size = (size_t)vdb_store_record_bytes(length);
  if (!VDB_GROW(vdb_env_for(wal->env, VDB_FOR_WRITES), b->data, b->capacity, b->n + size))
    return vdb_fail_memory(err);
  struct store_wal_record h;
  memset(&h, 0, sizeof h);
  h.magic = STORE_RECORD_MAGIC;
  h.length = (uint32_t)length;
  h.seq = ++wal->last_seq;
  h.collection = collection;
  h.type = (uint32_t)type;
  uint8_t *p = b->data + b->n;
  memcpy(p, &h, sizeof h);
  p += sizeof h;
  for (size_t i = 0; i < n_parts; i++) {
    if (parts[i].n)
      memcpy(p, parts[i].data, parts[i].n);
    p += parts[i].n;
  }
  memset(p, 0, size - sizeof h - n);
  b->n += size;
  b->last_seq = *seq = h.seq;
  return VECDB_OK;
}

VDB_INTERNAL bool vdb_wal_take(struct vdb_wal *wal, uint64_t *last_seq) {
  vdb_assert(wal->taken.n == 0);
  if (wal->fill.n == 0)
    return false;
  struct walw_buffer swap = wal->taken;
  wal->taken = wal->fill;
  wal->fill = swap;
  *last_seq = wal->taken.last_seq;
  return true;
}

/* Keeps the taken records until they are synced; false when they are too much for that. */
static bool walw_retain(struct vdb_wal *wal) {
  struct walw_buffer *kept = &wal->unsynced;
  struct walw_buffer *taken = &wal->taken;
  if (taken->n > WALW_UNSYNCED_MAX - vdb_min_size(kept->n, WALW_UNSYNCED_MAX))
    return false;
  if (kept->n == 0) {
    struct walw_buffer swap = *kept;
    *kept = *taken;
    *taken = swap;
    return true;
  }
  if (!VDB_GROW(vdb_env_for(wal->env, VDB_FOR_WRITES), kept->data, kept->capacity,
                kept->n + taken->n))
    return false;
  memcpy(kept->data + kept->n, taken->data, taken->n);
  kept->n += taken->n;
  kept->hashed = kept->n;
  kept->last_seq = taken->last_seq;
  return true;
}

VDB_INTERNAL int vdb_wal_write(struct vdb_wal *wal, bool sync, vecdb_error *err) {
  if (wal->taken.n == 0)
    return sync ? vdb_wal_sync(wal, err) : VECDB_OK;
  int rc = walw_ready(wal, err);
  if (rc == VECDB_OK) {
    rc = walw_append(wal, &wal->taken, err);
    if (rc == VECDB_OK && (sync || !walw_retain(wal)))
      rc = walw_sync_file(wal, err);
    if (rc)
      walw_fence(wal);
  }
  walw_buffer_clear(vdb_env_for(wal->env, VDB_FOR_WRITES), &wal->taken);
  return rc;
}

static bool walw_in_doubt(struct vdb_wal *wal) {
  vdb_mutex_lock(&wal->mutex);
  bool doubt = wal->doubt_file != 0;
  vdb_mutex_unlock(&wal->mutex);
  return doubt;
}

VDB_INTERNAL int vdb_wal_sync(struct vdb_wal *wal, vecdb_error *err) {
  if (!wal->file && (wal->unsynced.n > 0 || walw_in_doubt(wal)))
    return walw_begin(wal, err); /* the file before failed, or is of the process before */
  if (wal->unsynced.n == 0)
    return VECDB_OK;
  int rc = walw_sync_file(wal, err);
  if (rc)
    walw_fence(wal);
  return rc;
}

VDB_INTERNAL void vdb_wal_rewind(struct vdb_wal *wal, uint64_t last_seq) {
  vdb_assert(last_seq >= wal->durable_seq);
  walw_buffer_clear(vdb_env_for(wal->env, VDB_FOR_WRITES), &wal->fill);
  walw_buffer_clear(vdb_env_for(wal->env, VDB_FOR_WRITES), &wal->taken);
  walw_buffer_cut(&wal->unsynced, last_seq);
  wal->last_seq = last_seq;
  if (wal->file && wal->written_seq > last_seq)
    walw_leave(wal); /* it holds records that are no more */
}

VDB_INTERNAL void vdb_wal_rotate(struct vdb_wal *wal) {
  if (!wal->file || wal->end == vdb_walc_begin(wal->cipher != NULL))
    return;
  wal->rotate = true;
  atomic_store(&wal->next_file, wal->number + 1);
  if (wal->unsynced.n == 0)
    walw_leave(wal);
}

VDB_INTERNAL uint64_t vdb_wal_next_file(const struct vdb_wal *wal) {
  return atomic_load(&wal->next_file);
}

VDB_INTERNAL uint64_t vdb_wal_syncs(const struct vdb_wal *wal) {
  return atomic_load(&wal->syncs);
}

VDB_INTERNAL uint64_t vdb_wal_sync_ns(const struct vdb_wal *wal) {
  return atomic_load(&wal->sync_ns);
}

VDB_INTERNAL uint64_t vdb_wal_bytes(const struct vdb_wal *wal) {
  struct vdb_mutex *mutex = (struct vdb_mutex *)(uintptr_t)&wal->mutex;
  uint64_t total = 0;
  vdb_mutex_lock(mutex);
  for (size_t i = 0; i < wal->n_files; i++)
    total += wal->files[i].bytes;
  vdb_mutex_unlock(mutex);
  return total;
}

/* ---- trimming and closing ---- */

struct walw_old {
  struct vdb_mem *mem;
  uint64_t *numbers;
  size_t n;
  size_t capacity;
  uint64_t limit;
};

static void walw_visit_old(void *arg, const char *name) {
  struct walw_old *old = arg;
  uint64_t number;
  if (vdb_wal_parse(name, &number) && number < old->limit &&
      VDB_GROW(old->mem, old->numbers, old->capacity, old->n + 1))
    old->numbers[old->n++] = number;
}

VDB_INTERNAL void vdb_wal_trim(struct vdb_wal *wal, uint64_t first_file) {
  const vecdb_vfs *vfs = wal->env->vfs;
  uint64_t next = atomic_load(&wal->next_file);
  struct walw_old old = {vdb_env_for(wal->env, VDB_FOR_WRITES), NULL, 0, 0,
                         first_file < next ? first_file : next};
  vfs->list(vfs, wal->dir, walw_visit_old, &old);
  vdb_mutex_lock(&wal->mutex);
  uint64_t in_use = wal->in_use;
  for (size_t i = wal->n_files; i-- > 0;)
    if (wal->files[i].number < old.limit && wal->files[i].number != in_use)
      walw_drop(wal, i);
  if (wal->doubt_file < first_file)
    wal->doubt_file = 0;
  vdb_mutex_unlock(&wal->mutex);
  for (size_t i = 0; i < old.n; i++) {
    char path[STORE_PATH_MAX];
    vecdb_error ignored;
    if (old.numbers[i] != in_use &&
        vdb_wal_path(path, sizeof path, wal->dir, old.numbers[i], &ignored) == VECDB_OK)
      vfs->remove(vfs, path);
  }
  vdb_free(vdb_env_for(wal->env, VDB_FOR_WRITES), old.numbers);
}

/* Writes the END record. It may say that all before it is durable: it is synced already. */
static int walw_end(struct vdb_wal *wal, vecdb_error *err) {
  /* What was left and is not trimmed has its end shown by the file after it. */
  if (!wal->file && wal->left && vdb_wal_bytes(wal) > 0)
    VDB_TRY(walw_begin(wal, err));
  if (!wal->file)
    return VECDB_OK;
  uint8_t bytes[STORE_RECORD_BYTES + VDB_TAG_BYTES] = {0};
  struct store_wal_record h;
  memset(&h, 0, sizeof h);
  h.magic = STORE_RECORD_MAGIC;
  h.length = wal->cipher ? VDB_TAG_BYTES : 0;
  h.seq = wal->written_seq;
  h.type = VDB_WAL_END;
  memcpy(bytes, &h, sizeof h);
  struct walw_buffer end = {bytes, sizeof h + h.length, sizeof bytes, 0, h.seq};
  struct walw_target t = {wal->file, wal->cipher, wal->salt, wal->end, wal->end};
  const vecdb_vfs *vfs = wal->env->vfs;
  int os = walw_put(wal, &t, &end);
  if (!os) {
    vfs->truncate(wal->file, wal->end + end.n); /* gives reserved space back */
    os = vfs->sync(wal->file);
  }
  return os ? vdb_fail_os(err, os, "cannot end the log in", wal->dir) : VECDB_OK;
}

VDB_INTERNAL int vdb_wal_close(struct vdb_wal *wal, bool end, vecdb_error *err) {
  if (!wal)
    return VECDB_OK;
  bool sync = end || wal->unsynced.n > 0;
  int rc = sync ? vdb_wal_sync(wal, err) : VECDB_OK;
  if (rc) /* once more, into a new file */
    rc = vdb_wal_sync(wal, err);
  if (rc == VECDB_OK && end)
    rc = walw_end(wal, err);
  walw_free(wal);
  return rc;
}
