/* dedup.c - the windows of op ids; see dedup.h. */
#include "replica/dedup.h"

#include <string.h>

#include "replica/plant.h"

/* Where the client is, or would be. */
static uint32_t dedup_place(const struct rep_dedup *d, uint64_t client) {
  uint32_t low = 0, high = d->n;
  while (low < high) {
    uint32_t mid = low + (high - low) / 2;
    if (d->clients[mid].client < client)
      low = mid + 1;
    else
      high = mid;
  }
  return low;
}

enum rep_known rep_dedup_look(const struct rep_dedup *d, struct rep_op op) {
  uint32_t at = dedup_place(d, op.client);
  if (at == d->n || d->clients[at].client != op.client || op.count > d->clients[at].max)
    return REP_NEW;
  uint64_t back = d->clients[at].max - op.count;
  if (back >= 64)
    return REP_BEFORE;
  bool known = d->clients[at].bits >> back & 1;
  return PLANT(NO_DEDUP, known, false) ? REP_KNOWN : REP_NEW;
}

uint32_t rep_dedup_oldest(const struct rep_dedup *d) {
  uint32_t oldest = 0;
  for (uint32_t i = 1; i < d->n; i++)
    if (d->clients[i].client < REP_CLIENT_KEPT && d->clients[i].seq < d->clients[oldest].seq)
      oldest = i;
  return oldest;
}

static void dedup_evict(struct rep_dedup *d) {
  uint32_t oldest = rep_dedup_oldest(d);
  d->n--;
  memmove(d->clients + oldest, d->clients + oldest + 1, (d->n - oldest) * sizeof *d->clients);
}

void rep_dedup_add(struct rep_dedup *d, struct rep_op op, uint64_t seq) {
  uint32_t at = dedup_place(d, op.client);
  if (at == d->n || d->clients[at].client != op.client) {
    if (d->n == d->capacity) {
      dedup_evict(d);
      at = dedup_place(d, op.client);
    }
    memmove(d->clients + at + 1, d->clients + at, (d->n - at) * sizeof *d->clients);
    d->n++;
    struct rep_client fresh = {op.client, op.count, 1, seq};
    d->clients[at] = fresh;
    return;
  }
  struct rep_client *c = &d->clients[at];
  if (op.count > c->max) {
    uint64_t by = op.count - c->max;
    c->bits = by >= 64 ? 1 : c->bits << by | 1;
    c->max = op.count;
  } else {
    c->bits |= (uint64_t)1 << (c->max - op.count);
  }
  c->seq = seq;
}
