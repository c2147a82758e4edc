/* orphan.c - the bytes of files of orphans; see orphan.h. */
#include "replica/orphan.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static const uint64_t orphan_magic = 0x316e617068726f76;      /* "vorphan1" */
static const uint32_t orphan_entry_magic = 0x6e68706f;        /* "ophn", beside the body's length */

enum { ORPHAN_WORDS = 8, ORPHAN_FIXED = ORPHAN_WORDS * 8 };

static void orphan_put(uint8_t *out, const uint64_t *words, size_t n) {
  for (size_t i = 0; i < n; i++)
    for (int b = 0; b < 8; b++)
      out[i * 8 + (size_t)b] = (uint8_t)(words[i] >> 8 * b);
}

static void orphan_get(const uint8_t *in, uint64_t *words, size_t n) {
  for (size_t i = 0; i < n; i++) {
    words[i] = 0;
    for (int b = 7; b >= 0; b--)
      words[i] = words[i] << 8 | in[i * 8 + (size_t)b];
  }
}

void orphan_head_write(const struct orphan_head *h, uint8_t out[ORPHAN_HEAD]) {
  const uint64_t words[] = {orphan_magic, h->shard,    h->node,  h->store.hi,
                            h->store.lo,  h->promised, h->after, h->time_ms};
  orphan_put(out, words, 8);
  uint64_t hash = XXH3_64bits(out, ORPHAN_HEAD - 8);
  orphan_put(out + ORPHAN_HEAD - 8, &hash, 1);
}

size_t orphan_bytes(uint32_t n) { return ORPHAN_FIXED + ((size_t)n + 7) / 8 * 8; }

/* Of an entry: its words but the last, which holds this, and its body. */
static uint64_t orphan_hash(const uint8_t *at, uint32_t n) {
  return XXH3_64bits_withSeed(at + ORPHAN_FIXED, n, XXH3_64bits(at, ORPHAN_FIXED - 8));
}

void orphan_write(const struct rep_entry *e, uint8_t *out) {
  const uint64_t words[] = {orphan_entry_magic | (uint64_t)e->n << 32, e->kind,
                            e->pos.seq, e->pos.epoch, e->pos.chain, e->op.client, e->op.count};
  orphan_put(out, words, ORPHAN_WORDS - 1);
  if (e->n)
    memcpy(out + ORPHAN_FIXED, e->body, e->n);
  memset(out + ORPHAN_FIXED + e->n, 0, orphan_bytes(e->n) - ORPHAN_FIXED - e->n);
  uint64_t hash = orphan_hash(out, e->n);
  orphan_put(out + ORPHAN_FIXED - 8, &hash, 1);
}

void orphan_open(struct orphan_file *f, const uint8_t *data, size_t n) {
  *f = (struct orphan_file){.data = data, .n = n};
  uint8_t head[ORPHAN_HEAD];
  uint64_t w[8];
  if (n < ORPHAN_HEAD)
    return;
  orphan_get(data, w, 8);
  f->head = (struct orphan_head){w[1], (uint32_t)w[2], {w[3], w[4]}, w[5], w[6], w[7]};
  orphan_head_write(&f->head, head);
  f->has_head = memcmp(head, data, ORPHAN_HEAD) == 0;
  f->at = f->has_head ? ORPHAN_HEAD : 0;
}

/* An entry at the beginning of n bytes; how many bytes it is, or 0: there is none. */
static size_t orphan_read(const uint8_t *at, size_t n, struct rep_entry *out) {
  uint64_t w[ORPHAN_WORDS];
  if (n < ORPHAN_FIXED)
    return 0;
  orphan_get(at, w, ORPHAN_WORDS);
  uint32_t body = (uint32_t)(w[0] >> 32);
  if ((uint32_t)w[0] != orphan_entry_magic || body > REP_BODY_MAX || orphan_bytes(body) > n ||
      w[1] > UINT32_MAX || orphan_hash(at, body) != w[7])
    return 0;
  *out = (struct rep_entry){.pos = {w[2], w[3], w[4]},
                            .op = {w[5], w[6]},
                            .kind = (uint32_t)w[1],
                            .n = body,
                            .body = at + ORPHAN_FIXED};
  return orphan_bytes(body);
}

bool orphan_next(struct orphan_file *f, struct rep_entry *out) {
  while (f->at < f->n) {
    size_t size = orphan_read(f->data + f->at, f->n - f->at, out);
    if (size) {
      f->at += size;
      return true;
    }
    size_t step = f->n - f->at < 8 ? f->n - f->at : 8;
    f->at += step;
    f->damaged += step;
  }
  return false;
}
