/* blob_pages.c - decrypting the pages of section files: a section at a time into memory, or some
   pages as they are read by a queue; see blob_pages.h. */
#include "store/blob_pages.h"

#include <errno.h>
#include <stdatomic.h>

enum { PAGES_RUN = 1 << 18 }; /* bytes decrypted between two polls */

struct vdb_pages {
  struct vdb_mem *mem;
  struct vdb_cipher *cipher; /* only cloned: many threads may read */
  const char *path;
  const struct store_blob_entry *table;
  size_t n;         /* sections that are encrypted: all but the last */
  uint8_t *tags;
  uint64_t *first;  /* per section: the place of its first tag */
  void *_Atomic *plain; /* per section: its bytes, once decrypted */
};

static uint64_t pages_of(uint64_t length) { return (length + STORE_PAGE - 1) / STORE_PAGE; }

static int pages_corrupt(const struct vdb_pages *p, uint64_t offset, const char *what,
                         vecdb_error *err) {
  return vdb_fail_pos(err, VECDB_ERR_CORRUPT, (int64_t)offset, "%s is damaged: %s", p->path, what);
}

/* ---- the frame ---- */

static void pages_frame_parts(const struct vdb_blob_frame *f, struct vdb_crypt_part parts[4]) {
  parts[0] = (struct vdb_crypt_part){f->header, sizeof *f->header};
  parts[1] = (struct vdb_crypt_part){f->table, f->trailer->sections * sizeof *f->table};
  parts[2] = (struct vdb_crypt_part){f->tags, f->n_tags};
  parts[3] = (struct vdb_crypt_part){f->trailer, offsetof(struct store_blob_trailer, tag)};
}

VDB_INTERNAL int vdb_blob_frame_seal(struct vdb_cipher *cipher, const struct vdb_blob_frame *frame,
                                     uint8_t *tag) {
  struct vdb_crypt_part parts[4];
  pages_frame_parts(frame, parts);
  struct vdb_message m = {.space = STORE_SPACE_FRAME, .bound = parts, .n_bound = 4};
  return vdb_cipher_seal(cipher, &m, NULL, NULL, tag);
}

static int pages_check_frame(const struct vdb_pages *p, const struct vdb_blob_frame *frame,
                             vecdb_error *err) {
  struct vdb_crypt_part parts[4];
  pages_frame_parts(frame, parts);
  struct vdb_message m = {.space = STORE_SPACE_FRAME, .bound = parts, .n_bound = 4};
  int os = vdb_cipher_open(p->cipher, &m, NULL, NULL, frame->trailer->tag);
  if (os == EBADMSG)
    return pages_corrupt(p, 0, "it was not written with the database's key", err);
  return os ? vdb_fail_memory(err) : VECDB_OK;
}

/* ---- opening ---- */

static int pages_load(struct vdb_pages *p, const struct vdb_pages_open *o, vecdb_error *err) {
  const struct store_blob_entry *tags = p->n < o->n ? &o->table[p->n] : NULL;
  uint64_t total = 0;
  if (!tags || tags->tag != STORE_BLOB_TAGS)
    return pages_corrupt(p, o->trailer->table, "it has no tags", err);
  p->first = vdb_alloc_array(p->mem, o->n, sizeof *p->first);
  p->plain = vdb_alloc_zero(p->mem, o->n * sizeof *p->plain);
  if (!p->first || !p->plain)
    return vdb_fail_memory(err);
  for (size_t i = 0; i < p->n; i++) {
    p->first[i] = total;
    total += pages_of(p->table[i].length);
  }
  if (tags->length != total * VDB_TAG_BYTES)
    return pages_corrupt(p, tags->offset, "it has tags of other pages", err);
  p->tags = vdb_alloc(p->mem, (size_t)tags->length);
  if (!p->tags)
    return vdb_fail_memory(err);
  int os = tags->length
               ? o->file->vfs->read(o->file, p->tags, (size_t)tags->length, tags->offset)
               : 0;
  if (os)
    return vdb_fail_os(err, os, "cannot read", p->path);
  struct vdb_blob_frame frame = {o->header, o->table, p->tags, (size_t)tags->length, o->trailer};
  return pages_check_frame(p, &frame, err);
}

VDB_INTERNAL int vdb_pages_new(const struct vdb_pages_open *open, struct vdb_cipher *cipher,
                               struct vdb_pages **out, vecdb_error *err) {
  *out = NULL;
  struct vdb_pages *p = vdb_alloc_zero(open->mem, sizeof *p);
  if (!p) {
    vdb_cipher_free(cipher);
    return vdb_fail_memory(err);
  }
  p->mem = open->mem;
  p->cipher = cipher;
  p->path = open->path;
  p->table = open->table;
  p->n = open->n > 0 ? open->n - 1 : 0;
  int rc = pages_load(p, open, err);
  if (rc)
    vdb_pages_free(p);
  else
    *out = p;
  return rc;
}

VDB_INTERNAL void vdb_pages_free(struct vdb_pages *p) {
  if (!p)
    return;
  for (size_t i = 0; p->plain && i < p->n; i++)
    vdb_free(p->mem, atomic_load(&p->plain[i]));
  vdb_free(p->mem, (void *)p->plain);
  vdb_free(p->mem, p->first);
  vdb_free(p->mem, p->tags);
  vdb_cipher_free(p->cipher);
  vdb_free(p->mem, p);
}

/* ---- sections ---- */

/* Decrypts n bytes of section i from its page `page` on. 0, EBADMSG (*page is then the one) or
   ENOMEM. */
static int pages_open_run(const struct vdb_pages *p, struct vdb_cipher *cipher, size_t i,
                          uint64_t *page, const uint8_t *sealed, uint8_t *out, size_t n) {
  struct vdb_message m = {.space = (uint32_t)i};
  for (size_t done = 0; done < n; done += m.n) {
    m.number = *page;
    m.n = vdb_min_size(n - done, STORE_PAGE);
    const uint8_t *tag = p->tags + (size_t)(p->first[i] + *page) * VDB_TAG_BYTES;
    int os = vdb_cipher_open(cipher, &m, sealed + done, out + done, tag);
    if (os)
      return os;
    ++*page;
  }
  return 0;
}

static int pages_failed(const struct vdb_pages *p, size_t i, uint64_t page, int os,
                        vecdb_error *err) {
  if (os == EBADMSG)
    return pages_corrupt(p, p->table[i].offset + page * STORE_PAGE,
                         "a page is not what was written", err);
  return vdb_fail_memory(err);
}

VDB_INTERNAL int vdb_pages_find(struct vdb_pages *p, size_t i, const uint8_t *map,
                                const void **data, vecdb_error *err) {
  const struct store_blob_entry *e = &p->table[i];
  *data = NULL;
  if (i >= p->n)
    return pages_corrupt(p, e->offset, "its tags are asked for as data", err);
  void *known = atomic_load_explicit(&p->plain[i], memory_order_acquire);
  if (known) {
    *data = known;
    return VECDB_OK;
  }
  struct vdb_cipher *cipher;
  VDB_TRY(vdb_cipher_clone(p->cipher, &cipher, err));
  void *plain = vdb_alloc_wide(p->mem, (size_t)e->length);
  uint64_t page = 0;
  int os = ENOMEM;
  if (plain)
    os = pages_open_run(p, cipher, i, &page, map + e->offset, plain, (size_t)e->length);
  vdb_cipher_free(cipher);
  if (os) {
    vdb_free(p->mem, plain);
    return pages_failed(p, i, page, os, err);
  }
  if (!atomic_compare_exchange_strong(&p->plain[i], &known, plain)) {
    vdb_free(p->mem, plain); /* another thread was faster */
    plain = known;
  }
  *data = plain;
  return VECDB_OK;
}

VDB_INTERNAL int vdb_pages_check(const struct vdb_pages *p, size_t i, const uint8_t *map,
                                 bool (*stop)(void *), void *stop_arg, vecdb_error *err) {
  if (i >= p->n)
    return VECDB_OK; /* the tags: checked with the frame */
  const struct store_blob_entry *e = &p->table[i];
  struct vdb_cipher *cipher;
  uint8_t *scratch = vdb_alloc(p->mem, PAGES_RUN);
  if (!scratch)
    return vdb_fail_memory(err);
  int rc = vdb_cipher_clone(p->cipher, &cipher, err);
  uint64_t page = 0;
  for (uint64_t done = 0; !rc && done < e->length; done += PAGES_RUN) {
    size_t n = vdb_min_size((size_t)(e->length - done), PAGES_RUN);
    int os = pages_open_run(p, cipher, i, &page, map + e->offset + done, scratch, n);
    if (os)
      rc = pages_failed(p, i, page, os, err);
    else if (stop && stop(stop_arg))
      rc = vdb_fail(err, VECDB_ERR_CANCELLED, "the check was stopped");
  }
  vdb_cipher_free(cipher);
  vdb_free(p->mem, scratch);
  return rc;
}

/* ---- pages as they are read ---- */

struct pages_queue {
  vecdb_read_queue base;
  vecdb_read_queue *inner;
  const struct vdb_pages *pages;
  struct vdb_cipher *cipher;
  size_t section;
};

static void pages_queue_start(vecdb_read_queue *queue, vecdb_read *read) {
  struct pages_queue *q = (struct pages_queue *)queue;
  q->inner->start(q->inner, read);
}

/* Decrypts what was read, in place. A read outside the section, or not of whole pages, would be a
   mistake of the caller. */
static int pages_queue_open(struct pages_queue *q, vecdb_read *read) {
  const struct store_blob_entry *e = &q->pages->table[q->section];
  uint64_t at = read->offset - e->offset;
  if (read->offset < e->offset || at % STORE_PAGE || at > e->length || read->n > e->length - at ||
      (read->n % STORE_PAGE && read->n != e->length - at))
    return EINVAL;
  uint64_t page = at / STORE_PAGE;
  return pages_open_run(q->pages, q->cipher, q->section, &page, read->buf, read->buf, read->n);
}

static void pages_queue_wait(vecdb_read_queue *queue, vecdb_read *read) {
  struct pages_queue *q = (struct pages_queue *)queue;
  const uint32_t opened = UINT32_MAX; /* in `tries`, which the inner queue is done with */
  q->inner->wait(q->inner, read);
  if (read->tries == opened)
    return;
  read->tries = opened;
  if (read->error == 0)
    read->error = pages_queue_open(q, read);
}

static void pages_queue_close(vecdb_read_queue *queue) {
  struct pages_queue *q = (struct pages_queue *)queue;
  struct vdb_mem *mem = q->pages->mem;
  q->inner->close(q->inner);
  vdb_cipher_free(q->cipher);
  vdb_free(mem, q);
}

VDB_INTERNAL int vdb_pages_queue(const struct vdb_pages *p, size_t i, vecdb_read_queue **inout) {
  vecdb_read_queue *inner = *inout;
  vecdb_error ignored;
  *inout = NULL;
  struct pages_queue *q = vdb_alloc_zero(p->mem, sizeof *q);
  if (!q || vdb_cipher_clone(p->cipher, &q->cipher, &ignored) != VECDB_OK) {
    vdb_free(p->mem, q);
    inner->close(inner);
    return ENOMEM;
  }
  q->base = (vecdb_read_queue){pages_queue_start, pages_queue_wait, pages_queue_close};
  q->inner = inner;
  q->pages = p;
  q->section = i;
  *inout = &q->base;
  return 0;
}
