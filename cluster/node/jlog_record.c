/* jlog_record.c - the bytes of records and of a segment's head. Little-endian; README.md. */
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "node/jlog_int.h"

static const uint64_t record_magic = 0x676c6472; /* "rdlg", beside the body's length */
static const uint64_t record_head = 0x31676c6a626476; /* "vdbjlg1" */

enum { RECORD_BROKEN = 1, RECORD_ENTRY = 2, RECORD_KIND = 8 };

static void record_put(uint8_t *out, uint64_t v) {
  for (int i = 0; i < 8; i++)
    out[i] = (uint8_t)(v >> 8 * i);
}

static uint64_t record_get(const uint8_t *in) {
  uint64_t v = 0;
  for (int i = 7; i >= 0; i--)
    v = v << 8 | in[i];
  return v;
}

uint64_t jlog_seed(uint64_t id, uint64_t number) { return rep_mix(rep_mix(0, id), number); }

size_t jlog_size(uint32_t n) { return JLOG_RECORD + ((size_t)n + 7) / 8 * 8; }

static uint64_t record_hash(const uint8_t *data, uint32_t n, uint64_t seed) {
  uint64_t words = XXH3_64bits_withSeed(data, JLOG_RECORD - 8, seed);
  return XXH3_64bits_withSeed(data + JLOG_RECORD, n, words);
}

void jlog_record_write(const struct jlog_record *r, uint64_t seed, uint8_t *out) {
  const struct rep_entry *e = &r->entry;
  uint32_t n = r->has_entry ? e->n : 0;
  uint64_t flags = (r->state.broken ? RECORD_BROKEN : 0) | (r->has_entry ? RECORD_ENTRY : 0) |
                   (uint64_t)e->kind << RECORD_KIND;
  const uint64_t words[JLOG_WORDS - 1] = {record_magic | (uint64_t)n << 32,
                                          r->ordinal,
                                          r->synced,
                                          r->state.promised,
                                          r->state.rev,
                                          r->state.heal,
                                          flags,
                                          r->base.seq,
                                          r->base.epoch,
                                          r->base.chain,
                                          r->last,
                                          e->pos.epoch,
                                          e->pos.chain,
                                          e->op.client,
                                          e->op.count};
  for (int i = 0; i < JLOG_WORDS - 1; i++)
    record_put(out + 8 * i, words[i]);
  if (n)
    memcpy(out + JLOG_RECORD, e->body, n);
  memset(out + JLOG_RECORD + n, 0, jlog_size(n) - JLOG_RECORD - n);
  record_put(out + JLOG_RECORD - 8, record_hash(out, n, seed));
}

size_t jlog_record_read(const uint8_t *data, size_t n, uint64_t seed, struct jlog_record *out) {
  uint64_t w[JLOG_WORDS];
  if (n < JLOG_RECORD || (uint32_t)record_get(data) != record_magic)
    return 0;
  for (int i = 0; i < JLOG_WORDS; i++)
    w[i] = record_get(data + 8 * i);
  uint32_t body = (uint32_t)(w[0] >> 32);
  if (body > REP_BODY_MAX || jlog_size(body) > n || record_hash(data, body, seed) != w[15])
    return 0;
  *out = (struct jlog_record){
      .ordinal = w[1],
      .synced = w[2],
      .state = {w[3], w[4], w[5], (w[6] & RECORD_BROKEN) != 0},
      .base = {w[7], w[8], w[9]},
      .last = w[10],
      .has_entry = (w[6] & RECORD_ENTRY) != 0,
      .entry = {.pos = {w[10], w[11], w[12]},
                .op = {w[13], w[14]},
                .kind = (uint32_t)(w[6] >> RECORD_KIND),
                .n = body,
                .body = data + JLOG_RECORD},
  };
  return jlog_size(body);
}

void jlog_head_write(uint64_t id, uint64_t number, uint8_t out[JLOG_HEAD]) {
  record_put(out, record_head);
  record_put(out + 8, number);
  record_put(out + 16, id);
  record_put(out + 24, XXH3_64bits(out, 24));
}

bool jlog_head_read(const uint8_t *data, size_t n, uint64_t id, uint64_t number) {
  uint8_t head[JLOG_HEAD];
  jlog_head_write(id, number, head);
  return n >= JLOG_HEAD && memcmp(head, data, JLOG_HEAD) == 0;
}
