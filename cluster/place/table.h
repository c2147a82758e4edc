/*
 * table.h - fills a table of slots from a ring. The ring proposes, quotas decide: every member gets
 * its share to within one slot, and no more slots change hands than that takes.
 */
#ifndef CLUSTER_PLACE_TABLE_H
#define CLUSTER_PLACE_TABLE_H

#include "place/ring.h"

/*
 * How many slots a collection has. A slot is the least that can move, so it bounds how even shards
 * can be: 1,000 shards of 16,384 slots have 16 or 17 each, and differ by 6 %; of 4,096 slots they
 * would have 4 or 5, and differ by 25 %. The table is 32 KiB, and is read once by each node.
 */
enum { PLACE_SLOTS = 16384 };

/* Shares in whole slots, within one of what the weights say. Where rounding leaves a choice, those
   that have more keep it. `have` and `quota` are of n members. False: no memory, or nobody to own.
 */
bool place_quotas(const struct place_member *members, size_t n, uint32_t slots,
                  const uint32_t *have, uint32_t *quota);

/*
 * Fills the table: owner[slot] is a member's id, or PLACE_NONE. Slots whose owner is no member (any
 * more) are given away, and so are those above a quota; everything else stays. `moved`: how many
 * slots that had an owner got another one. False: as above; the table is unchanged.
 */
bool place_fill(const struct place_member *members, size_t n, uint32_t slots, uint32_t *owner,
                uint32_t *moved);

#endif
