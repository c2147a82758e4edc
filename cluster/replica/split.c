/* split.c - the decisions of a split; see split.h. */
#include "replica/split.h"

#include "replica/plant.h"

bool rep_split_apply(struct rep_split *s, enum rep_split_entry entry, uint64_t id) {
  if (entry == REP_SPLIT_FENCE) {
    if (s->fenced || id <= s->id)
      return false;
    s->id = id;
    s->fenced = true;
    s->cancelled = false;
    return true;
  }
  if (!s->fenced || id != s->id)
    return false;
  s->fenced = false;
  s->cancelled = entry == REP_SPLIT_CANCEL;
  s->generation += entry == REP_SPLIT_RELEASE;
  return true;
}

enum rep_result rep_split_read(const struct rep_split *s, uint64_t generation) {
  if (PLANT(SPLIT_ANY_MAP, generation == s->generation, true))
    return REP_DONE;
  return generation < s->generation ? REP_STALE_MAP : REP_UNAVAILABLE;
}

enum rep_result rep_split_write(const struct rep_split *s, bool pending, uint64_t generation) {
  if (PLANT(SPLIT_NO_FENCE, s->fenced || pending, false))
    return REP_UNAVAILABLE;
  return rep_split_read(s, generation);
}

static bool split_has(const struct rep_split_plan *plan, const struct rep_member *m) {
  for (uint32_t i = 0; i < plan->n_forks; i++)
    if (plan->forks[i].node == m->node && rep_same_store(plan->forks[i].store, m->store))
      return true;
  return false;
}

/* Every member of the ISR has its copy, so that the child begins with as many as the parent has. */
static bool split_all_forked(const struct rep_split_plan *plan, const struct rep_config *c) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < c->n_isr; i++)
    n += split_has(plan, &c->isr[i]);
  return PLANT(SPLIT_FEW_FORKS, n == c->n_isr && n >= c->min_isr, n > 0);
}

static enum rep_split_do split_planned(const struct rep_split_plan *plan,
                                       const struct rep_split *s, const struct rep_config *c) {
  if (s->id < plan->id)
    return s->fenced ? REP_SPLIT_APPEND_CANCEL : REP_SPLIT_APPEND_FENCE;
  if (s->cancelled)
    return REP_SPLIT_GIVE_UP;
  if (s->id != plan->id || !s->fenced || !split_all_forked(plan, c))
    return REP_SPLIT_NOTHING;
  return PLANT(SPLIT_MAP_EARLY, REP_SPLIT_CLOSE, REP_SPLIT_MAP);
}

bool rep_split_released(const struct rep_split_plan *plan, const struct rep_split *s) {
  return plan->step == REP_SPLIT_RELEASING && s->id == plan->id && !s->cancelled &&
         PLANT(SPLIT_TOLD_EARLY, !s->fenced, true);
}

/* The log of who leads has the fence by now, but for one that was made to lead with less. The lost
   log may have had the release, and the child what was written since: it goes on, with no copies to
   be made. */
static enum rep_split_do split_releasing(const struct rep_split_plan *plan,
                                         const struct rep_split *s) {
  if (s->id < plan->id)
    return s->fenced ? REP_SPLIT_APPEND_CANCEL : REP_SPLIT_APPEND_FENCE;
  if (s->fenced)
    return REP_SPLIT_APPEND_RELEASE;
  return PLANT(SPLIT_MAP_ENDED, s->cancelled, false) ? REP_SPLIT_GIVE_UP : REP_SPLIT_MAP;
}

enum rep_split_do rep_split_next(const struct rep_split_plan *plan, const struct rep_split *s,
                                 bool pending, const struct rep_config *c) {
  if (pending || !plan->id || plan->id < s->id)
    return REP_SPLIT_NOTHING;
  switch (plan->step) {
    case REP_SPLIT_PLANNED:
      return split_planned(plan, s, c);
    case REP_SPLIT_RELEASING:
      return split_releasing(plan, s);
    case REP_SPLIT_CANCELLED:
      return s->fenced ? REP_SPLIT_APPEND_CANCEL : REP_SPLIT_NOTHING;
    case REP_SPLIT_DONE:
      break;
  }
  return REP_SPLIT_NOTHING;
}

bool rep_split_may_end(enum rep_split_do next, const struct rep_split *s, bool pending) {
  return s->fenced && !pending && (next == REP_SPLIT_NOTHING || next == REP_SPLIT_CLOSE);
}

bool rep_split_may_cancel(const struct rep_split_plan *plan) {
  return plan->step == REP_SPLIT_PLANNED ||
         PLANT(SPLIT_CANCEL_LATE, false, plan->step == REP_SPLIT_RELEASING);
}

bool rep_split_forks(const struct rep_split_plan *plan, const struct rep_split *s,
                     struct rep_member self) {
  return plan->step == REP_SPLIT_PLANNED && s->fenced && s->id == plan->id &&
         !split_has(plan, &self);
}
