/* table.c - filling the table of slots; see table.h. */
#include "place/table.h"

#include <stdlib.h>
#include <string.h>

/* ---- Quotas ---- */

struct table_share {
  uint64_t rest; /* of the division */
  uint32_t member;
  uint32_t over; /* slots that it has beyond the whole part */
  uint32_t id;
};

static int table_order(const void *x, const void *y) {
  const struct table_share *a = x, *b = y;
  bool a_over = a->over > 0, b_over = b->over > 0;
  if (a_over != b_over)
    return a_over ? -1 : 1;
  if (a->rest != b->rest)
    return a->rest > b->rest ? -1 : 1;
  return (a->id > b->id) - (a->id < b->id);
}

bool place_quotas(const struct place_member *members, size_t n, uint32_t slots,
                  const uint32_t *have, uint32_t *quota) {
  uint64_t weight = 0;
  uint32_t given = 0;
  size_t takers = 0;
  for (size_t i = 0; i < n; i++)
    weight += members[i].weight;
  struct table_share *shares = weight ? calloc(n, sizeof *shares) : NULL;
  if (!shares)
    return false;
  for (size_t i = 0; i < n; i++) {
    uint64_t exact = (uint64_t)slots * members[i].weight;
    quota[i] = (uint32_t)(exact / weight);
    given += quota[i];
    if (exact % weight)
      shares[takers++] = (struct table_share){
          exact % weight, (uint32_t)i, have[i] > quota[i] ? have[i] - quota[i] : 0, members[i].id};
  }
  if (takers)
    qsort(shares, takers, sizeof *shares, table_order);
  for (size_t i = 0; given < slots; i++, given++) /* fewer are left than there are takers */
    quota[shares[i].member]++;
  free(shares);
  return true;
}

/* ---- Filling ---- */

struct table {
  const struct place_member *members;
  size_t n;
  uint32_t slots;
  uint32_t *owner; /* where the slot's owner is in the list of members, or PLACE_NONE */
  uint32_t *have;
  uint32_t *quota;
  struct place_ring ring;
};

struct table_id {
  uint32_t id;
  uint32_t member;
};

static int table_id_order(const void *x, const void *y) {
  const struct table_id *a = x, *b = y;
  return (a->id > b->id) - (a->id < b->id);
}

/* From ids to places in the list. */
static bool table_find(struct table *t, const uint32_t *owner) {
  struct table_id *ids = malloc((t->n + 1) * sizeof *ids);
  if (!ids)
    return false;
  for (size_t i = 0; i < t->n; i++)
    ids[i] = (struct table_id){t->members[i].id, (uint32_t)i};
  qsort(ids, t->n, sizeof *ids, table_id_order);
  for (uint32_t s = 0; s < t->slots; s++) {
    const struct table_id key = {owner[s], 0};
    const struct table_id *found = bsearch(&key, ids, t->n, sizeof *ids, table_id_order);
    t->owner[s] = found ? found->member : PLACE_NONE;
    if (found)
      t->have[found->member]++;
  }
  free(ids);
  return true;
}

/* Takes slots from members that are over their quotas: first (not `any`) those that the ring would
   not give them either. */
static void table_release(struct table *t, bool any) {
  for (uint32_t s = 0; s < t->slots; s++) {
    uint32_t m = t->owner[s];
    if (m == PLACE_NONE || t->have[m] <= t->quota[m])
      continue;
    if (!any && place_ring_owner(&t->ring, place_mark(s)) == m)
      continue;
    t->owner[s] = PLACE_NONE;
    t->have[m]--;
  }
}

/* Gives every free slot to the first member on the ring that has room. The quotas add up, so there
   is one. */
static void table_give(struct table *t) {
  for (uint32_t s = 0; s < t->slots; s++) {
    if (t->owner[s] != PLACE_NONE)
      continue;
    size_t at = place_ring_find(&t->ring, place_mark(s));
    while (t->have[t->ring.points[at].member] >= t->quota[t->ring.points[at].member])
      at = at + 1 == t->ring.n ? 0 : at + 1;
    t->owner[s] = t->ring.points[at].member;
    t->have[t->owner[s]]++;
  }
}

bool place_fill(const struct place_member *members, size_t n, uint32_t slots, uint32_t *owner,
                uint32_t *moved) {
  struct table t = {.members = members, .n = n, .slots = slots};
  t.owner = malloc(((size_t)slots + 1) * sizeof *t.owner);
  t.have = calloc(n + 1, sizeof *t.have);
  t.quota = calloc(n + 1, sizeof *t.quota);
  bool ok = t.owner && t.have && t.quota && place_ring_make(&t.ring, members, n) &&
            table_find(&t, owner) && place_quotas(members, n, slots, t.have, t.quota);
  if (ok) {
    table_release(&t, false);
    table_release(&t, true);
    table_give(&t);
    *moved = 0;
    for (uint32_t s = 0; s < slots; s++) {
      uint32_t id = members[t.owner[s]].id;
      *moved += owner[s] != PLACE_NONE && owner[s] != id;
      owner[s] = id;
    }
  }
  place_ring_free(&t.ring);
  free(t.owner);
  free(t.have);
  free(t.quota);
  return ok;
}
