/* record.c - the shard's record: its rules and its changes; and the hash that chains entries. */
#include <string.h>

#include "replica/types.h"

uint64_t rep_chain(uint64_t prev, const struct rep_entry *e) {
  uint64_t h = rep_mix(rep_mix(prev, e->pos.seq), e->pos.epoch);
  h = rep_mix(rep_mix(h, e->op.client), e->op.count);
  h = rep_mix(h, (uint64_t)e->kind << 32 | e->n);
  uint32_t i = 0;
  for (; i + 8 <= e->n; i += 8) {
    uint64_t word;
    memcpy(&word, e->body + i, 8);
    h = rep_mix(h, word);
  }
  uint64_t rest = 0;
  if (i < e->n)
    memcpy(&rest, e->body + i, e->n - i);
  return rep_mix(h, rest);
}

int rep_isr_at(const struct rep_config *c, uint32_t node) {
  for (uint32_t i = 0; i < c->n_isr; i++)
    if (c->isr[i].node == node)
      return (int)i;
  return -1;
}

int rep_learner_at(const struct rep_config *c, uint32_t node) {
  for (uint32_t i = 0; i < c->n_learners; i++)
    if (c->learners[i] == node)
      return (int)i;
  return -1;
}

bool rep_config_valid(const struct rep_config *c) {
  if (!c->n_isr || c->n_isr > REP_MEMBERS || c->n_learners > REP_MEMBERS || !c->epoch ||
      c->n_isr + c->n_learners > REP_MEMBERS || !c->min_isr || c->min_isr > REP_MEMBERS ||
      c->unclean > c->epoch)
    return false;
  for (uint32_t i = 0; i < c->n_isr; i++)
    if (!c->isr[i].node || rep_isr_at(c, c->isr[i].node) != (int)i)
      return false;
  for (uint32_t i = 0; i < c->n_learners; i++)
    if (!c->learners[i] || rep_isr_at(c, c->learners[i]) >= 0 ||
        rep_learner_at(c, c->learners[i]) != (int)i)
      return false;
  return true;
}

bool rep_config_demote(struct rep_config *c, uint32_t node) {
  int at = rep_isr_at(c, node);
  if (at < 0 || c->n_isr == 1 || c->n_learners == REP_MEMBERS)
    return false;
  c->n_isr--;
  memmove(c->isr + at, c->isr + at + 1, (c->n_isr - (uint32_t)at) * sizeof *c->isr);
  c->learners[c->n_learners++] = node;
  return true;
}

void rep_config_lead(struct rep_config *c, uint32_t node) {
  int at = rep_isr_at(c, node);
  if (at <= 0)
    return;
  struct rep_member first = c->isr[at];
  memmove(c->isr + 1, c->isr, (size_t)at * sizeof *c->isr);
  c->isr[0] = first;
}
