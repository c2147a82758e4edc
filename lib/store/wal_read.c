/*
 * wal_read.c - reading the log: which files there are, which of their records count, and where the
 * log ends; see wal.h for the rules. Everything read is taken for hostile.
 */
#include <errno.h>

#include "store/store_format.h"
#include "store/wal.h"
#include "store/wal_crypt.h"

#define WALR_SUFFIX ".wal"

enum {
  WALR_WINDOW = 1 << 20,     /* bytes read at once */
  WALR_WINDOW_KEEP = 8 << 20 /* a window grown beyond this by one record is given back */
};

VDB_INTERNAL int vdb_wal_path(char *out, size_t n, const char *dir, uint64_t number,
                              vecdb_error *err) {
  return vdb_store_path(out, n, dir, number, WALR_SUFFIX, err);
}

VDB_INTERNAL bool vdb_wal_parse(const char *name, uint64_t *number) {
  return vdb_store_parse(name, WALR_SUFFIX, number);
}

/* ---- the folder ---- */

struct walr_list {
  struct vdb_mem *mem;
  uint64_t *numbers; /* from first on */
  size_t n;
  size_t capacity;
  uint64_t first;
  uint64_t highest; /* of all in the folder; 0: none */
  bool failed;      /* out of memory */
};

static void walr_visit(void *arg, const char *name) {
  struct walr_list *list = arg;
  uint64_t number;
  if (!vdb_wal_parse(name, &number))
    return;
  if (number > list->highest)
    list->highest = number;
  if (number < list->first)
    return;
  if (list->failed || !VDB_GROW(list->mem, list->numbers, list->capacity, list->n + 1)) {
    list->failed = true;
    return;
  }
  list->numbers[list->n++] = number;
}

/* Ascending (Shell's sort: a folder holds few files). */
static void walr_sort(uint64_t *items, size_t n) {
  for (size_t gap = n / 2; gap > 0; gap /= 2)
    for (size_t i = gap; i < n; i++) {
      uint64_t moving = items[i];
      size_t j = i;
      for (; j >= gap && items[j - gap] > moving; j -= gap)
        items[j] = items[j - gap];
      items[j] = moving;
    }
}

/* ---- one open file, seen through a window ---- */

struct walr_file {
  struct vdb_env *env;
  vecdb_file *file;
  uint64_t length;
  uint64_t salt; /* of its records */
  struct vdb_cipher *cipher; /* NULL: plain */
  uint8_t *body;             /* of a record, decrypted */
  size_t body_capacity;
  uint8_t *window;
  size_t capacity;
  uint64_t start; /* file offset of the window */
  size_t n;       /* bytes in it */
  char path[STORE_PATH_MAX];
};

/* *gone: the file was removed since the folder was listed, by a writer that goes on meanwhile. */
static int walr_open(struct walr_file *f, const char *dir, uint64_t number, bool *gone,
                     vecdb_error *err) {
  const vecdb_vfs *vfs = f->env->vfs;
  f->n = 0;
  f->start = 0;
  VDB_TRY(vdb_wal_path(f->path, sizeof f->path, dir, number, err));
  int os = vfs->open(vfs, f->path, VECDB_OPEN_READ, &f->file);
  *gone = os == ENOENT;
  if (*gone)
    return VECDB_OK;
  if (os)
    return vdb_fail_os(err, os, "cannot open", f->path);
  os = vfs->length(f->file, &f->length);
  if (os) {
    vfs->close(f->file);
    f->file = NULL;
    return vdb_fail_os(err, os, "cannot read", f->path);
  }
  return VECDB_OK;
}

static void walr_close(struct walr_file *f) {
  if (f->file)
    f->env->vfs->close(f->file);
  f->file = NULL;
  vdb_cipher_free(f->cipher);
  f->cipher = NULL;
}

/* Frees what was used for reading. */
static void walr_fini(struct walr_file *f) {
  vdb_free(vdb_env_for(f->env, VDB_FOR_WRITES), f->window);
  vdb_free(vdb_env_for(f->env, VDB_FOR_WRITES), f->body);
}

static void walr_forget(struct walr_file *f) { f->n = 0; }

/* Points *out at n bytes at `offset`, which the caller knows to be inside the file. */
static int walr_need(struct walr_file *f, uint64_t offset, size_t n, const uint8_t **out,
                     vecdb_error *err) {
  if (offset < f->start || offset + n > f->start + f->n) {
    size_t want = (size_t)(f->length - offset);
    want = vdb_min_size(want, vdb_max_size(n, WALR_WINDOW));
    if (want > f->capacity || (f->capacity > WALR_WINDOW_KEEP && want <= WALR_WINDOW)) {
      f->n = 0;
      vdb_free(vdb_env_for(f->env, VDB_FOR_WRITES), f->window);
      f->capacity = vdb_max_size(want, vdb_min_size((size_t)f->length, WALR_WINDOW));
      f->window = vdb_alloc(vdb_env_for(f->env, VDB_FOR_WRITES), f->capacity);
      if (!f->window) {
        f->capacity = 0;
        return vdb_fail_memory(err);
      }
    }
    f->n = 0;
    int os = f->env->vfs->read(f->file, f->window, want, offset);
    if (os)
      return vdb_fail_os(err, os, "cannot read", f->path);
    f->start = offset;
    f->n = want;
  }
  *out = f->window + (offset - f->start);
  return VECDB_OK;
}

static int walr_corrupt(const struct walr_file *f, uint64_t offset, const char *what,
                        vecdb_error *err) {
  return vdb_fail_pos(err, VECDB_ERR_CORRUPT, (int64_t)offset, "%s is damaged: %s", f->path, what);
}

/* ---- headers ---- */

struct walr_head {
  uint64_t number;
  uint64_t base;
  uint64_t salt;
};

static int walr_all_zero(struct walr_file *f, uint64_t offset, bool *zero, vecdb_error *err) {
  *zero = true;
  while (offset < f->length && *zero) {
    size_t n = vdb_min_size((size_t)(f->length - offset), WALR_WINDOW);
    const uint8_t *p;
    VDB_TRY(walr_need(f, offset, n, &p, err));
    *zero = vdb_store_zero(p, n);
    offset += n;
  }
  return VECDB_OK;
}

/* Reads the header of the open file, and makes its records readable. *valid false: the file never
   was. */
static int walr_read_head(struct walr_file *f, uint64_t number, struct walr_head *out, bool *valid,
                          vecdb_error *err) {
  struct store_wal_header h;
  uint8_t begin[WAL_BEGIN_MAX];
  size_t n = vdb_min_size((size_t)f->length, sizeof begin);
  int os = n > 0 ? f->env->vfs->read(f->file, begin, n, 0) : 0;
  if (os)
    return vdb_fail_os(err, os, "cannot read", f->path);
  memset(&h, 0, sizeof h);
  memcpy(&h, begin, vdb_min_size(n, sizeof h));
  *valid = n >= sizeof h && memcmp(h.magic, STORE_WAL_MAGIC, STORE_MAGIC_BYTES) == 0 &&
           h.version != 0 && h.hash == vdb_store_hash(&h, sizeof h);
  if (!*valid) {
    bool zero;
    VDB_TRY(walr_all_zero(f, STORE_HEADER_BYTES, &zero, err));
    return zero ? VECDB_OK : walr_corrupt(f, 0, "its header is not valid", err);
  }
  if (h.version > VECDB_FORMAT_VERSION)
    return vdb_fail(err, VECDB_ERR_NEWER_FORMAT, "%s has format %u, newer than %u", f->path,
                    (unsigned)h.version, (unsigned)VECDB_FORMAT_VERSION);
  if (h.number != number)
    return walr_corrupt(f, 0, "it holds another file", err);
  out->number = number;
  out->base = h.base;
  out->salt = f->salt = h.salt;
  const uint8_t *tag = n == sizeof begin ? begin + sizeof h : NULL;
  return vdb_walc_of(f->env, &h, tag, f->path, &f->cipher, err);
}

/* ---- records ---- */

struct walr_scan {
  struct walr_file f;
  uint64_t after;
  int (*apply)(void *arg, const struct vdb_wal_record *record, vecdb_error *err);
  void *arg;
  uint64_t reached; /* sequence number of the last good record */
  /* of the open file: */
  uint64_t durable; /* offset up to which its records are known to have been synced */
  uint64_t end;     /* offset behind its last good record */
  bool ended;       /* it has an END record */
  struct walr_head *heads; /* of the files that count */
  size_t n_heads;
};

/* Whether the bytes at p are a record header of this file. */
static bool walr_is_header(const uint8_t *p, uint64_t salt, struct store_wal_record *out) {
  memcpy(out, p, sizeof *out);
  return out->magic == STORE_RECORD_MAGIC && out->salt == salt &&
         out->hash == vdb_store_hash(out, sizeof *out);
}

/* Reads the record at `offset`. *good false: there is no whole record. */
static int walr_read_record(struct walr_file *f, uint64_t offset, struct store_wal_record *h,
                            const uint8_t **body, bool *good, vecdb_error *err) {
  *good = false;
  if (f->length - offset < sizeof *h)
    return VECDB_OK;
  const uint8_t *p;
  VDB_TRY(walr_need(f, offset, sizeof *h, &p, err));
  if (!walr_is_header(p, f->salt, h) || h->length > STORE_RECORD_BODY_MAX + VDB_TAG_BYTES)
    return VECDB_OK;
  uint64_t size = vdb_store_record_bytes(h->length);
  if (size > f->length - offset)
    return VECDB_OK;
  VDB_TRY(walr_need(f, offset, (size_t)size, &p, err));
  /* read anew, perhaps: another process may be writing the file */
  if (!walr_is_header(p, f->salt, h) || vdb_store_record_bytes(h->length) != size)
    return VECDB_OK;
  *body = p + sizeof *h;
  *good = h->body_hash == vdb_hash64(*body, (size_t)size - sizeof *h);
  return VECDB_OK;
}

/* Whether a record header after `offset` names a durable offset beyond it: then what stands at
   `offset` was once good. */
static int walr_was_durable(struct walr_file *f, uint64_t offset, bool *found, vecdb_error *err) {
  *found = false;
  uint64_t at = offset + STORE_RECORD_ALIGN;
  while (!*found && at <= f->length && f->length - at >= STORE_RECORD_BYTES) {
    size_t n = vdb_min_size((size_t)(f->length - at), WALR_WINDOW);
    const uint8_t *p;
    VDB_TRY(walr_need(f, at, n, &p, err));
    size_t i = 0;
    for (; i + STORE_RECORD_BYTES <= n && !*found; i += STORE_RECORD_ALIGN) {
      struct store_wal_record h;
      uint32_t magic;
      memcpy(&magic, p + i, sizeof magic);
      if (magic == STORE_RECORD_MAGIC && walr_is_header(p + i, f->salt, &h))
        *found = h.durable > offset;
    }
    at += i;
  }
  return VECDB_OK;
}

/* Decrypts the body of a good record, which is torn no more: what fails here was forged. */
static int walr_open_body(struct walr_file *f, uint64_t offset, const struct store_wal_record *h,
                          const uint8_t **body, size_t *n, vecdb_error *err) {
  *n = h->length;
  if (!f->cipher)
    return VECDB_OK;
  if (!VDB_GROW(vdb_env_for(f->env, VDB_FOR_WRITES), f->body, f->body_capacity,
                vdb_max_size(h->length, 1)))
    return vdb_fail_memory(err);
  int os = vdb_walc_open(f->cipher, offset, h, *body, f->body);
  if (os == EBADMSG)
    return walr_corrupt(f, offset, "a record was not written with the database's key", err);
  if (os)
    return vdb_fail_memory(err);
  *body = f->body;
  *n = h->length - VDB_TAG_BYTES;
  return VECDB_OK;
}

/* Checks and applies the good record h at `offset`. */
static int walr_take(struct walr_scan *s, uint64_t offset, const struct store_wal_record *h,
                     const uint8_t *body, vecdb_error *err) {
  size_t n;
  VDB_TRY(walr_open_body(&s->f, offset, h, &body, &n, err));
  if (h->durable > offset || h->durable < s->durable || h->durable % STORE_RECORD_ALIGN)
    return walr_corrupt(&s->f, offset, "a record names an impossible offset", err);
  s->durable = h->durable;
  if (h->type == VDB_WAL_END) {
    if (h->seq != s->reached || h->durable != offset)
      return walr_corrupt(&s->f, offset, "the log's end is out of order", err);
    s->ended = true;
    return VECDB_OK;
  }
  if (h->seq != s->reached + 1)
    return walr_corrupt(&s->f, offset, "a record is out of order", err);
  if (h->seq > s->after) {
    struct vdb_wal_record record = {h->seq, h->collection, h->type, body, n};
    VDB_TRY(s->apply(s->arg, &record, err));
  }
  s->reached = h->seq;
  return VECDB_OK;
}

/* Whether nothing has been written at `offset` yet: space there is reserved, and zero. */
static int walr_unwritten(struct walr_file *f, uint64_t offset, bool *unwritten,
                          vecdb_error *err) {
  size_t n = (size_t)vdb_min_size((size_t)(f->length - offset), STORE_RECORD_BYTES);
  const uint8_t *p;
  *unwritten = true;
  if (n > 0) {
    VDB_TRY(walr_need(f, offset, n, &p, err));
    *unwritten = vdb_store_zero(p, n);
  }
  return VECDB_OK;
}

/* Reads the records of the open file behind s->end, up to number `limit`. `torn`: they may end
   before it. */
static int walr_read_file(struct walr_scan *s, uint64_t limit, bool torn, vecdb_error *err) {
  uint64_t offset = s->end;
  bool again = false;
  s->ended = false;
  while (s->reached < limit && !s->ended) {
    struct store_wal_record h;
    const uint8_t *body = NULL;
    bool good;
    VDB_TRY(walr_read_record(&s->f, offset, &h, &body, &good, err));
    if (good) {
      VDB_TRY(walr_take(s, offset, &h, body, err));
      if (!s->ended)
        s->end = offset += vdb_store_record_bytes(h.length);
      again = false;
      continue;
    }
    if (!torn)
      return walr_corrupt(&s->f, offset, "a record is missing or damaged", err);
    if (again)
      return walr_corrupt(&s->f, offset, "a record that was durable is damaged", err);
    bool found;
    VDB_TRY(walr_was_durable(&s->f, offset, &found, err));
    if (!found)
      return VECDB_OK;
    /* A writer in another process may have completed the record since it was read: look again. */
    again = true;
    walr_forget(&s->f);
  }
  if (!torn && s->reached < limit)
    return walr_corrupt(&s->f, offset, "records are missing at its end", err);
  return VECDB_OK;
}

/* ---- all files ---- */

/* Reads the headers of the listed files; those that never were are left out of s->heads. */
static int walr_read_heads(struct walr_scan *s, const char *dir, const struct walr_list *list,
                           struct vdb_wal_scan *out, vecdb_error *err) {
  for (size_t i = 0; i < list->n; i++) {
    struct walr_head *head = &s->heads[s->n_heads];
    bool valid, gone;
    VDB_TRY(walr_open(&s->f, dir, list->numbers[i], &gone, err));
    if (gone)
      continue;
    int rc = walr_read_head(&s->f, list->numbers[i], head, &valid, err);
    out->bytes += s->f.length;
    walr_close(&s->f);
    VDB_TRY(rc);
    if (!valid)
      continue;
    if (s->n_heads > 0 ? head->base < head[-1].base : head->base > s->after)
      return walr_corrupt(&s->f, 0, "the log files do not follow one another", err);
    out->salt = vdb_mix64(out->salt ^ head->salt);
    out->doubt_file = head->number;
    s->n_heads++;
  }
  return VECDB_OK;
}

/* Reads the open file, whose head was read before, up to number `limit`; closes it. */
static int walr_read_whole(struct walr_scan *s, const struct walr_head *head, uint64_t limit,
                           bool torn, vecdb_error *err) {
  struct walr_head again;
  bool valid;
  int rc = walr_read_head(&s->f, head->number, &again, &valid, err);
  if (!rc && (!valid || again.salt != head->salt))
    rc = walr_corrupt(&s->f, 0, "it has changed while it was read", err);
  if (!rc) {
    s->durable = s->end = vdb_walc_begin(s->f.cipher != NULL);
    rc = walr_read_file(s, limit, torn, err);
  }
  walr_close(&s->f);
  return rc;
}

static int walr_read_all(struct walr_scan *s, const char *dir, const struct walr_list *list,
                         struct vdb_wal_scan *out, vecdb_error *err) {
  s->heads = vdb_alloc_array(vdb_env_for(s->f.env, VDB_FOR_WRITES), list->n, sizeof *s->heads);
  if (!s->heads)
    return vdb_fail_memory(err);
  VDB_TRY(walr_read_heads(s, dir, list, out, err));
  for (size_t i = 0; i < s->n_heads; i++) {
    bool last = i + 1 == s->n_heads;
    uint64_t limit = last ? UINT64_MAX : s->heads[i + 1].base;
    if (i == 0 || s->reached < s->heads[i].base) /* a gap: below `after` */
      s->reached = s->heads[i].base;
    bool gone;
    VDB_TRY(walr_open(&s->f, dir, s->heads[i].number, &gone, err));
    if (gone && !last && limit > s->reached && limit > s->after)
      return walr_corrupt(&s->f, 0, "it was removed while the log was read", err);
    if (gone) /* it held nothing that is needed: a writer left it, or made it needless since */
      continue;
    VDB_TRY(walr_read_whole(s, &s->heads[i], limit, last || limit <= s->after, err));
  }
  if (s->n_heads > 0) {
    out->tail.file = s->heads[s->n_heads - 1].number;
    out->tail.salt = s->heads[s->n_heads - 1].salt;
    out->tail.offset = s->end;
    out->tail.durable = s->durable;
  }
  if (s->reached > s->after && s->durable < s->end) {
    out->doubt_from = s->durable;
    out->doubt_to = s->end;
  } else {
    out->doubt_file = 0;
  }
  return VECDB_OK;
}

VDB_INTERNAL int vdb_wal_scan(struct vdb_env *env, const char *dir, uint64_t first_file,
                              uint64_t after,
                              int (*apply)(void *arg, const struct vdb_wal_record *record,
                                           vecdb_error *err),
                              void *arg, struct vdb_wal_scan *out, vecdb_error *err) {
  struct walr_list list = {vdb_env_for(env, VDB_FOR_WRITES), NULL, 0, 0, first_file, 0, false};
  int os = env->vfs->list(env->vfs, dir, walr_visit, &list);
  if (os || list.failed) {
    vdb_free(vdb_env_for(env, VDB_FOR_WRITES), list.numbers);
    return os ? vdb_fail_os(err, os, "cannot list", dir) : vdb_fail_memory(err);
  }
  struct walr_scan *s = vdb_alloc_zero(vdb_env_for(env, VDB_FOR_WRITES), sizeof *s);
  if (!s) {
    vdb_free(vdb_env_for(env, VDB_FOR_WRITES), list.numbers);
    return vdb_fail_memory(err);
  }
  s->f.env = env;
  s->after = after;
  s->apply = apply;
  s->arg = arg;
  memset(out, 0, sizeof *out);
  out->first_file = first_file;
  walr_sort(list.numbers, list.n);
  int rc = list.n ? walr_read_all(s, dir, &list, out, err) : VECDB_OK;
  if (rc == VECDB_OK && list.highest == UINT64_MAX)
    rc = vdb_fail(err, VECDB_ERR_CORRUPT, "%s holds a log file of an impossible number", dir);
  out->last_seq = s->reached > after ? s->reached : after;
  out->tail.seq = out->last_seq;
  out->tail.highest = list.highest;
  out->next_file = list.highest < first_file ? first_file : list.highest + 1;
  walr_fini(&s->f);
  vdb_free(vdb_env_for(env, VDB_FOR_WRITES), s->heads);
  vdb_free(vdb_env_for(env, VDB_FOR_WRITES), s);
  vdb_free(vdb_env_for(env, VDB_FOR_WRITES), list.numbers);
  return rc;
}

/* ---- reading on ---- */

/* Reads the records behind the tail of the open file. */
static int walr_read_tail(struct walr_scan *s, struct vdb_wal_tail *tail, vecdb_error *err) {
  bool unwritten;
  if (s->f.length < tail->offset)
    return walr_corrupt(&s->f, s->f.length, "it has become shorter", err);
  /* Most often there is nothing: then nobody needs to look whether there was. */
  VDB_TRY(walr_unwritten(&s->f, tail->offset, &unwritten, err));
  if (unwritten)
    return VECDB_OK;
  struct walr_head head;
  bool valid;
  VDB_TRY(walr_read_head(&s->f, tail->file, &head, &valid, err));
  if (!valid || head.salt != tail->salt)
    return walr_corrupt(&s->f, 0, "it has changed since it was read", err);
  s->end = tail->offset;
  s->durable = tail->durable;
  s->after = s->reached = tail->seq;
  int rc = walr_read_file(s, UINT64_MAX, true, err);
  tail->offset = s->end; /* also when a record was refused: those before it have been applied */
  tail->durable = s->durable;
  tail->seq = s->reached;
  return rc;
}

VDB_INTERNAL int vdb_wal_read_on(struct vdb_env *env, const char *dir, struct vdb_wal_tail *tail,
                                 int (*apply)(void *arg, const struct vdb_wal_record *record,
                                              vecdb_error *err),
                                 void *arg, bool *moved, vecdb_error *err) {
  struct walr_list list = {vdb_env_for(env, VDB_FOR_WRITES), NULL, 0, 0, UINT64_MAX, 0, false};
  int os = env->vfs->list(env->vfs, dir, walr_visit, &list);
  vdb_free(vdb_env_for(env, VDB_FOR_WRITES), list.numbers);
  if (os)
    return vdb_fail_os(err, os, "cannot list", dir);
  *moved = list.highest != tail->highest;
  if (*moved || tail->file == 0)
    return VECDB_OK;
  struct walr_scan *s = vdb_alloc_zero(vdb_env_for(env, VDB_FOR_WRITES), sizeof *s);
  if (!s)
    return vdb_fail_memory(err);
  s->f.env = env;
  s->apply = apply;
  s->arg = arg;
  int rc = walr_open(&s->f, dir, tail->file, moved, err);
  if (!rc && !*moved)
    rc = walr_read_tail(s, tail, err);
  walr_close(&s->f);
  walr_fini(&s->f);
  vdb_free(vdb_env_for(env, VDB_FOR_WRITES), s);
  return rc;
}
