/* jlog_cache.c - reading entries: from memory while they are among those used last, else from the
   file, checked. */
#include <stdlib.h>
#include <string.h>

#include "node/jlog_int.h"

static void cache_link(struct jlog *j, struct jlog_kept *k) {
  k->before = j->kept.before;
  k->after = &j->kept;
  k->before->after = k->after->before = k;
}

static void cache_unlink(struct jlog_kept *k) {
  k->before->after = k->after;
  k->after->before = k->before;
}

void jlog_forget(struct jlog *j, struct jlog_slot *slot) {
  if (!slot->kept)
    return;
  cache_unlink(slot->kept);
  j->kept_bytes -= slot->kept->n;
  free(slot->kept);
  slot->kept = NULL;
}

static void cache_shrink(struct jlog *j) {
  while (j->kept_bytes > j->o.cache_bytes && j->kept.after != &j->kept) {
    uint64_t seq = j->kept.after->seq;
    jlog_forget(j, &j->slots[seq - j->base.seq - 1]);
  }
}

static struct jlog_kept *cache_add(struct jlog *j, struct jlog_slot *slot, uint64_t seq,
                                   size_t n) {
  struct jlog_kept *k = malloc(sizeof *k + n);
  if (!k)
    return NULL;
  k->seq = seq;
  k->n = n;
  k->bytes = (uint8_t *)(k + 1);
  slot->kept = k;
  j->kept_bytes += n;
  cache_link(j, k);
  return k;
}

/* What is kept is a whole record, so that it is read as from the file. */
void jlog_keep(struct jlog *j, struct jlog_slot *slot, uint64_t seq, const uint8_t *record) {
  size_t n = jlog_size(slot->n);
  struct jlog_kept *k = cache_add(j, slot, seq, n);
  if (k)
    memcpy(k->bytes, record, n);
  cache_shrink(j);
}

/* The record from its file into memory; false: it is damaged, or there is no memory. */
static bool cache_load(struct jlog *j, struct jlog_slot *slot, uint64_t seq) {
  struct jlog_segment *s = jlog_segment_of(j, slot->segment);
  struct jlog_kept *k = s ? cache_add(j, slot, seq, jlog_size(slot->n)) : NULL;
  struct jlog_record r;
  if (k && !j->o.vfs->read(s->file, k->bytes, k->n, slot->at) &&
      jlog_record_read(k->bytes, k->n, jlog_seed(j->o.id, slot->segment), &r) == k->n &&
      r.has_entry && r.last == seq) {
    cache_shrink(j);
    return true;
  }
  jlog_forget(j, slot);
  return false;
}

bool jlog_read(void *arg, uint64_t seq, struct rep_entry *out) {
  struct jlog *j = arg;
  struct jlog_record r;
  if (seq <= j->base.seq || seq > j->last)
    return false;
  struct jlog_slot *slot = &j->slots[seq - j->base.seq - 1];
  if (!slot->segment || (!slot->kept && !cache_load(j, slot, seq)))
    return false;
  struct jlog_kept *k = slot->kept;
  cache_unlink(k);
  cache_link(j, k);
  if (!jlog_record_read(k->bytes, k->n, jlog_seed(j->o.id, slot->segment), &r))
    return false;
  *out = r.entry;
  return true;
}
