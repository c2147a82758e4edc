/*
 * blob_write.c - writing a section file: header, sections one after the other, table, trailer.
 * Bytes are hashed as they come, and gather in a buffer. Large files are written in whole aligned
 * pieces of a huge page's size: the system then keeps them so, and maps them by huge pages, which
 * searches are faster in. In an encrypted file bytes become pages first, and the hashes are of what
 * is in the file.
 */
#include "base/check.h"
#include "store/blob.h"
#include "store/blob_pages.h"
#include "store/keys.h"
#include "store/store_format.h"

enum {
  BLOBW_BUFFER = 1 << 18, /* gathered at first, */
  BLOBW_PIECE = 2 << 20,  /* and from so many bytes of a file on: a huge page */
  BLOBW_SECTIONS_FIRST = 64
};

struct vdb_blob_writer {
  struct vdb_sect_writer sections; /* first: the callbacks get this */
  struct vdb_hash_state hash;      /* of the open section */
  struct vdb_env *env;
  vecdb_file *file;
  uint8_t *buffer;
  size_t room; /* of it: BLOBW_BUFFER or BLOBW_PIECE */
  size_t buffered;
  uint64_t end; /* file offset behind the buffered bytes */
  struct store_blob_entry *table;
  size_t n;
  size_t capacity;
  bool open;         /* a section is open: the last of the table */
  int failed;        /* the first failure, and its message */
  vecdb_error error;
  enum vdb_blob_kind kind;
  uint64_t number;
  struct store_blob_header header;
  struct vdb_cipher *cipher; /* NULL: the file is plain */
  uint8_t *page;             /* the open section's last bytes, of which no page is full */
  size_t in_page;
  uint64_t pages;  /* of the open section so far */
  uint8_t *tags;   /* of all pages, VDB_TAG_BYTES each */
  size_t n_tags;   /* bytes of them */
  size_t tags_capacity;
  char path[STORE_PATH_MAX];
};

static const char *const blobw_suffixes[] = {
    [VDB_BLOB_ROWS] = ".rows", [VDB_BLOB_INDEX] = ".idx", [VDB_BLOB_TOMBS] = ".del"};

VDB_INTERNAL int vdb_blob_path(char *out, size_t n, const char *dir, enum vdb_blob_kind kind,
                               uint64_t number, vecdb_error *err) {
  vdb_assert(kind >= VDB_BLOB_ROWS && kind <= VDB_BLOB_TOMBS);
  return vdb_store_path(out, n, dir, number, blobw_suffixes[kind], err);
}

VDB_INTERNAL bool vdb_blob_parse(const char *name, enum vdb_blob_kind *kind, uint64_t *number) {
  for (size_t i = VDB_BLOB_ROWS; i < VDB_COUNT(blobw_suffixes); i++)
    if (vdb_store_parse(name, blobw_suffixes[i], number)) {
      *kind = (enum vdb_blob_kind)i;
      return true;
    }
  return false;
}

/* ---- bytes to the file ---- */

static int blobw_write(struct vdb_blob_writer *w, const void *data, size_t n, uint64_t offset,
                       vecdb_error *err) {
  int os = w->env->vfs->write(w->file, data, n, offset);
  return os ? vdb_fail_os(err, os, "cannot write", w->path) : VECDB_OK;
}

/* Takes a larger buffer once it is worth it and there is memory; it is empty. */
static void blobw_widen(struct vdb_blob_writer *w) {
  struct vdb_mem *mem = vdb_env_for(w->env, VDB_FOR_BUILD);
  bool worth = w->room < BLOBW_PIECE && w->end >= BLOBW_PIECE;
  uint8_t *wide = worth ? vdb_alloc(mem, BLOBW_PIECE) : NULL;
  if (!wide)
    return;
  vdb_free(mem, w->buffer);
  w->buffer = wide;
  w->room = BLOBW_PIECE;
}

static int blobw_flush(struct vdb_blob_writer *w, vecdb_error *err) {
  size_t n = w->buffered;
  w->buffered = 0;
  if (n > 0)
    VDB_TRY(blobw_write(w, w->buffer, n, w->end - n, err));
  blobw_widen(w);
  return VECDB_OK;
}

/* Bytes that may be put into the buffer before it has to be written. */
static size_t blobw_left(const struct vdb_blob_writer *w) {
  return vdb_min_size(w->room - (size_t)(w->end % w->room), w->room - w->buffered);
}

/* Adds bytes to the buffer, at most up to where the file has a multiple of its size, or writes
   pieces that begin there as they are; *n says how many there are, and then how many it took. */
static int blobw_gather(struct vdb_blob_writer *w, const uint8_t *data, size_t *n,
                        vecdb_error *err) {
  if (w->buffered == 0 && w->end % w->room == 0 && *n >= w->room) {
    *n -= *n % w->room;
    VDB_TRY(blobw_write(w, data, *n, w->end, err));
  } else {
    *n = vdb_min_size(*n, blobw_left(w));
    memcpy(w->buffer + w->buffered, data, *n);
    w->buffered += *n;
  }
  w->end += *n;
  return VECDB_OK;
}

static int blobw_put(struct vdb_blob_writer *w, const void *data, size_t n, vecdb_error *err) {
  const uint8_t *at = data;
  while (n > 0) {
    size_t part = n;
    VDB_TRY(blobw_gather(w, at, &part, err));
    at += part;
    n -= part;
    if (w->buffered == w->room || w->end % w->room == 0)
      VDB_TRY(blobw_flush(w, err));
  }
  return VECDB_OK;
}

static int blobw_pad(struct vdb_blob_writer *w, vecdb_error *err) {
  static const uint8_t zeros[STORE_BLOB_ALIGN];
  return blobw_put(w, zeros, (size_t)(vdb_round_up(w->end, STORE_BLOB_ALIGN) - w->end), err);
}

/* ---- pages of an encrypted file ---- */

/* Encrypts a page: into the buffer, or beside it where the page lies across the end of a piece. */
static int blobw_seal_page(struct vdb_blob_writer *w, const void *data, size_t n,
                           vecdb_error *err) {
  uint8_t across[STORE_PAGE];
  bool inside = n < blobw_left(w);
  uint8_t *out = inside ? w->buffer + w->buffered : across;
  if (!VDB_GROW(vdb_env_for(w->env, VDB_FOR_BUILD), w->tags, w->tags_capacity,
                w->n_tags + VDB_TAG_BYTES))
    return vdb_fail_memory(err);
  struct vdb_message m = {.space = (uint32_t)(w->n - 1), .number = w->pages, .n = n};
  if (vdb_cipher_seal(w->cipher, &m, data, out, w->tags + w->n_tags) != 0)
    return vdb_fail_memory(err);
  vdb_hash_add(&w->hash, out, n);
  w->n_tags += VDB_TAG_BYTES;
  w->pages++;
  if (!inside)
    return blobw_put(w, across, n, err);
  w->buffered += n;
  w->end += n;
  return VECDB_OK;
}

static int blobw_seal_rest(struct vdb_blob_writer *w, vecdb_error *err) {
  size_t n = w->in_page;
  w->in_page = 0;
  return n > 0 ? blobw_seal_page(w, w->page, n, err) : VECDB_OK;
}

static int blobw_put_sealed(struct vdb_blob_writer *w, const uint8_t *data, size_t n,
                            vecdb_error *err) {
  while (n > 0) {
    size_t take = vdb_min_size(n, STORE_PAGE - w->in_page);
    if (take == STORE_PAGE) {
      VDB_TRY(blobw_seal_page(w, data, take, err));
    } else {
      memcpy(w->page + w->in_page, data, take);
      w->in_page += take;
      if (w->in_page == STORE_PAGE)
        VDB_TRY(blobw_seal_rest(w, err));
    }
    data += take;
    n -= take;
  }
  return VECDB_OK;
}

/* ---- sections ---- */

/* Remembers the first failure. */
static int blobw_stick(struct vdb_blob_writer *w, int rc, const vecdb_error *err) {
  if (rc && !w->failed) {
    w->failed = rc;
    w->error = *err;
  }
  return rc;
}

static int blobw_again(const struct vdb_blob_writer *w, vecdb_error *err) {
  if (w->failed)
    *err = w->error;
  return w->failed;
}

static int blobw_start(struct vdb_blob_writer *w, uint32_t tag, uint32_t number,
                       vecdb_error *err) {
  if (w->open)
    return vdb_fail(err, VECDB_ERR_INTERNAL, "a section is begun inside another");
  if (w->n == STORE_BLOB_SECTIONS_MAX)
    return vdb_fail(err, VECDB_ERR_LIMIT, "a file of over %d sections", STORE_BLOB_SECTIONS_MAX);
  for (size_t i = 0; i < w->n; i++)
    if (w->table[i].tag == tag && w->table[i].number == number)
      return vdb_fail(err, VECDB_ERR_INTERNAL, "a section is written twice");
  if (!VDB_GROW(vdb_env_for(w->env, VDB_FOR_BUILD), w->table, w->capacity, w->n + 1))
    return vdb_fail_memory(err);
  struct store_blob_entry entry = {tag, number, w->end, 0, 0};
  w->table[w->n++] = entry;
  w->open = true;
  w->pages = 0;
  vdb_hash_begin(&w->hash);
  return VECDB_OK;
}

static int blobw_begin(struct vdb_sect_writer *sections, uint32_t tag, uint32_t number,
                       vecdb_error *err) {
  struct vdb_blob_writer *w = (struct vdb_blob_writer *)sections;
  VDB_TRY(blobw_again(w, err));
  return blobw_stick(w, blobw_start(w, tag, number, err), err);
}

static int blobw_append(struct vdb_sect_writer *sections, const void *data, size_t n,
                        vecdb_error *err) {
  struct vdb_blob_writer *w = (struct vdb_blob_writer *)sections;
  VDB_TRY(blobw_again(w, err));
  if (!w->open)
    return blobw_stick(w, vdb_fail(err, VECDB_ERR_INTERNAL, "an append outside a section"), err);
  if (n == 0)
    return VECDB_OK;
  if (w->cipher)
    return blobw_stick(w, blobw_put_sealed(w, data, n, err), err);
  vdb_hash_add(&w->hash, data, n);
  return blobw_stick(w, blobw_put(w, data, n, err), err);
}

static int blobw_end(struct vdb_sect_writer *sections, vecdb_error *err) {
  struct vdb_blob_writer *w = (struct vdb_blob_writer *)sections;
  VDB_TRY(blobw_again(w, err));
  if (!w->open)
    return blobw_stick(w, vdb_fail(err, VECDB_ERR_INTERNAL, "no section is open"), err);
  VDB_TRY(blobw_stick(w, blobw_seal_rest(w, err), err));
  w->open = false;
  struct store_blob_entry *entry = &w->table[w->n - 1];
  entry->length = w->end - entry->offset;
  entry->hash = vdb_hash_end(&w->hash);
  return blobw_stick(w, blobw_pad(w, err), err);
}

/* Fills the gap with a section of zeros, as there are no gaps between sections. */
static int blobw_align(struct vdb_sect_writer *sections, vecdb_error *err) {
  static const uint8_t zeros[VECDB_BLOCK];
  struct vdb_blob_writer *w = (struct vdb_blob_writer *)sections;
  VDB_TRY(blobw_again(w, err));
  size_t gap = (size_t)(vdb_round_up(w->end, VECDB_BLOCK) - w->end);
  if (gap == 0)
    return VECDB_OK;
  VDB_TRY(blobw_begin(sections, STORE_BLOB_GAP, (uint32_t)w->n, err));
  VDB_TRY(blobw_append(sections, zeros, gap, err));
  return blobw_end(sections, err);
}

VDB_INTERNAL struct vdb_sect_writer *vdb_blob_sections(struct vdb_blob_writer *w) {
  return &w->sections;
}

/* ---- the file ---- */

static void blobw_free(struct vdb_blob_writer *w) {
  struct vdb_mem *mem = vdb_env_for(w->env, VDB_FOR_BUILD);
  if (w->file)
    w->env->vfs->close(w->file);
  vdb_cipher_free(w->cipher);
  if (w->page)
    vdb_wipe(w->page, STORE_PAGE);
  vdb_free(mem, w->page);
  vdb_free(mem, w->tags);
  vdb_free(mem, w->buffer);
  vdb_free(mem, w->table);
  vdb_free(mem, w);
}

VDB_INTERNAL void vdb_blob_abort(struct vdb_blob_writer *w) {
  if (!w)
    return;
  const vecdb_vfs *vfs = w->env->vfs;
  if (w->file) {
    vfs->close(w->file);
    w->file = NULL;
    vfs->remove(vfs, w->path);
  }
  blobw_free(w);
}

/* Begins to encrypt, if the database is encrypted. */
static int blobw_key(struct vdb_blob_writer *w, vecdb_error *err) {
  struct vdb_file_key key = {.kind = (uint32_t)w->kind, .number = w->number};
  VDB_TRY(vdb_keys_write(w->env, &key, &w->cipher, err));
  if (!w->cipher)
    return VECDB_OK;
  w->header.key = key.id;
  memcpy(w->header.key_salt, key.salt, sizeof key.salt);
  w->page = vdb_alloc(vdb_env_for(w->env, VDB_FOR_BUILD), STORE_PAGE);
  return w->page ? VECDB_OK : vdb_fail_memory(err);
}

static int blobw_prepare(struct vdb_blob_writer *w, const char *dir, vecdb_error *err) {
  const vecdb_vfs *vfs = w->env->vfs;
  w->capacity = 0;
  w->room = BLOBW_BUFFER;
  w->buffer = vdb_alloc(vdb_env_for(w->env, VDB_FOR_BUILD), w->room);
  if (!w->buffer || !VDB_GROW(vdb_env_for(w->env, VDB_FOR_BUILD), w->table, w->capacity,
                              BLOBW_SECTIONS_FIRST))
    return vdb_fail_memory(err);
  VDB_TRY(vdb_blob_path(w->path, sizeof w->path, dir, w->kind, w->number, err));
  int os = vfs->open(vfs, w->path, VECDB_OPEN_CREATE, &w->file);
  if (os) {
    w->file = NULL;
    return vdb_fail_os(err, os, "cannot create", w->path);
  }
  struct store_blob_header *h = &w->header;
  memcpy(h->magic, STORE_BLOB_MAGIC, sizeof h->magic);
  h->version = VECDB_FORMAT_VERSION;
  h->kind = (uint32_t)w->kind;
  h->number = w->number;
  VDB_TRY(blobw_key(w, err));
  h->hash = vdb_store_hash(h, sizeof *h);
  return blobw_put(w, h, sizeof *h, err);
}

VDB_INTERNAL int vdb_blob_create(struct vdb_env *env, const char *dir, enum vdb_blob_kind kind,
                                 uint64_t number, struct vdb_blob_writer **out, vecdb_error *err) {
  *out = NULL;
  struct vdb_blob_writer *w = vdb_alloc_wide(vdb_env_for(env, VDB_FOR_BUILD), sizeof *w);
  if (!w)
    return vdb_fail_memory(err);
  memset(w, 0, sizeof *w);
  w->sections.begin = blobw_begin;
  w->sections.append = blobw_append;
  w->sections.end = blobw_end;
  w->sections.align = blobw_align;
  w->env = env;
  w->kind = kind;
  w->number = number;
  int rc = blobw_prepare(w, dir, err);
  if (rc)
    vdb_blob_abort(w);
  else
    *out = w;
  return rc;
}

/* The tags, as the last section. They are no secret. */
static int blobw_put_tags(struct vdb_blob_writer *w, vecdb_error *err) {
  VDB_TRY(blobw_start(w, STORE_BLOB_TAGS, 0, err));
  w->open = false;
  vdb_hash_add(&w->hash, w->tags, w->n_tags);
  VDB_TRY(blobw_put(w, w->tags, w->n_tags, err));
  w->table[w->n - 1].length = w->n_tags;
  w->table[w->n - 1].hash = vdb_hash_end(&w->hash);
  return blobw_pad(w, err);
}

static int blobw_close_file(struct vdb_blob_writer *w, struct vdb_blob_id *id, vecdb_error *err) {
  VDB_TRY(blobw_again(w, err));
  if (w->open)
    return vdb_fail(err, VECDB_ERR_INTERNAL, "a section was not ended");
  if (w->cipher)
    VDB_TRY(blobw_put_tags(w, err));
  struct store_blob_trailer t;
  memset(&t, 0, sizeof t);
  t.table = w->end;
  t.sections = (uint32_t)w->n;
  t.kind = (uint32_t)w->kind;
  t.number = w->number;
  t.table_hash = vdb_hash64(w->table, w->n * sizeof *w->table);
  VDB_TRY(blobw_put(w, w->table, w->n * sizeof *w->table, err));
  VDB_TRY(blobw_pad(w, err));
  t.length = w->end + sizeof t;
  struct vdb_blob_frame frame = {&w->header, w->table, w->tags, w->n_tags, &t};
  if (w->cipher && vdb_blob_frame_seal(w->cipher, &frame, t.tag) != 0)
    return vdb_fail_memory(err);
  t.hash = vdb_store_hash(&t, sizeof t);
  VDB_TRY(blobw_put(w, &t, sizeof t, err));
  VDB_TRY(blobw_flush(w, err));
  int os = w->env->vfs->sync(w->file);
  if (os)
    return vdb_fail_os(err, os, "cannot sync", w->path);
  id->file = w->number;
  id->length = w->end;
  id->hash = t.table_hash;
  return VECDB_OK;
}

VDB_INTERNAL int vdb_blob_finish(struct vdb_blob_writer *w, struct vdb_blob_id *id,
                                 vecdb_error *err) {
  int rc = blobw_close_file(w, id, err);
  if (rc)
    vdb_blob_abort(w);
  else
    blobw_free(w);
  return rc;
}
