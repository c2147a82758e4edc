/* together.c - see together.h. */
#include "accel/together.h"

#include "base/check.h"

enum {
  TOGETHER_UNDER_WAY = 2, /* one is copied while the other is compared */
  TOGETHER_QUERIES = 128, /* of a group: what a module does at a time */
  TOGETHER_SMALL = 64     /* queries of a question that gains by company */
};

enum together_state { TOGETHER_WAITS, TOGETHER_TAKEN, TOGETHER_DONE };

/* On the stack of the one who asks. */
struct vdb_together_asker {
  struct vdb_together_asker *next; /* who waits, or is in the same group */
  const struct vdb_accel_ask *ask;
  enum together_state state;
  bool walk;
  bool answered;
};

static bool together_alike(const struct vdb_together_asker *a, const struct vdb_together_asker *b) {
  return a->walk == b->walk && a->ask->k == b->ask->k && a->ask->width == b->ask->width;
}

/* With the mutex. */
static void together_leave(const struct vdb_together_how *how, struct vdb_together_asker **at) {
  struct vdb_together_asker *a = *at;
  *at = a->next;
  a->next = NULL;
  a->state = TOGETHER_TAKEN;
  --*how->waiting;
}

/* Takes from those who wait one of them, who leads the list of all who can come along. With the
   mutex. */
static void together_take(struct vdb_together *g, const struct vdb_together_how *how,
                       struct vdb_together_asker *leader) {
  struct vdb_together_asker **at = &g->waiting, **last = &leader->next;
  uint32_t n = leader->ask->n;
  while (*at != leader)
    at = &(*at)->next;
  together_leave(how, at);
  for (at = &g->waiting; *at;) {
    struct vdb_together_asker *a = *at;
    if (!together_alike(a, leader) || n + a->ask->n > TOGETHER_QUERIES) {
      at = &a->next;
      continue;
    }
    together_leave(how, at);
    n += a->ask->n;
    *last = a;
    last = &a->next;
  }
}

/* One question of several. */
struct together_whole {
  struct vdb_accel_ask ask;
  uint8_t *block; /* queries and answers */
};

static bool together_begin(const struct vdb_together_how *how, const struct vdb_together_asker *all,
                        struct together_whole *w) {
  w->ask = *all->ask;
  w->ask.n = 0;
  for (const struct vdb_together_asker *a = all; a; a = a->next)
    w->ask.n += a->ask->n;
  size_t n = w->ask.n, hits = n * w->ask.k, queries = n * how->query_bytes;
  w->block = vdb_alloc(how->mem, queries + hits * (sizeof(uint32_t) + sizeof(float)) +
                                     n * sizeof(uint32_t));
  if (!w->block)
    return false;
  w->ask.queries = w->block;
  w->ask.rows = (uint32_t *)(void *)(w->block + queries);
  w->ask.keys = (float *)(void *)(w->ask.rows + hits);
  w->ask.counts = (uint32_t *)(void *)(w->ask.keys + hits);
  uint8_t *to = w->block;
  for (const struct vdb_together_asker *a = all; a; a = a->next) {
    memcpy(to, a->ask->queries, a->ask->n * how->query_bytes);
    to += a->ask->n * how->query_bytes;
  }
  return true;
}

/* Gives each his part of the answer. */
static void together_end(const struct together_whole *w, struct vdb_together_asker *all) {
  size_t at = 0, k = w->ask.k;
  for (struct vdb_together_asker *a = all; a; a = a->next) {
    size_t n = a->ask->n;
    memcpy(a->ask->rows, w->ask.rows + at * k, n * k * sizeof *a->ask->rows);
    memcpy(a->ask->keys, w->ask.keys + at * k, n * k * sizeof *a->ask->keys);
    memcpy(a->ask->counts, w->ask.counts + at, n * sizeof *a->ask->counts);
    a->answered = true;
    at += n;
  }
}

/* Without the mutex. */
static void together_answer(const struct vdb_together_how *how, struct vdb_together_asker *all) {
  struct together_whole w;
  if (all->next && together_begin(how, all, &w)) {
    if (how->call(how->arg, all->walk, &w.ask))
      together_end(&w, all);
    vdb_free(how->mem, w.block);
    return;
  }
  for (struct vdb_together_asker *a = all; a; a = a->next) /* alone, or out of memory */
    a->answered = how->call(how->arg, a->walk, a->ask);
}

/* With the mutex, which is given up meanwhile. */
static void together_lead(struct vdb_together *g, const struct vdb_together_how *how,
                       struct vdb_together_asker *leader) {
  uint64_t n = 0;
  together_take(g, how, leader);
  g->under_way++;
  vdb_mutex_unlock(how->mutex);
  together_answer(how, leader);
  vdb_mutex_lock(how->mutex);
  g->under_way--;
  for (struct vdb_together_asker *a = leader; a; a = a->next, n++)
    a->state = TOGETHER_DONE;
  *how->together += n > 1 ? n : 0;
  vdb_cond_broadcast(how->answered);
}

VDB_INTERNAL bool vdb_together_ask(struct vdb_together *g, const struct vdb_together_how *how,
                                const struct vdb_accel_ask *ask) {
  struct vdb_together_asker me = {.ask = ask, .walk = how->walk}, **last = &g->waiting;
  if (ask->allow || ask->n > TOGETHER_SMALL) /* bitmaps are each question's own */
    return how->call(how->arg, how->walk, ask);
  vdb_mutex_lock(how->mutex);
  while (*last)
    last = &(*last)->next;
  *last = &me;
  ++*how->waiting;
  while (me.state != TOGETHER_DONE) {
    if (me.state == TOGETHER_WAITS && g->under_way < TOGETHER_UNDER_WAY)
      together_lead(g, how, &me);
    else
      vdb_cond_wait(how->answered, how->mutex);
  }
  vdb_mutex_unlock(how->mutex);
  return me.answered;
}
