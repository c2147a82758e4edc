/* session.c - a command's way to the metadata; see session.h. */
#include "ctl/session.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const int64_t session_limit_us = 30000000;

/* ---- Time ---- */

int64_t ctl_now(const struct ctl *ctl) {
  struct timespec t;
  if (meta_fd(ctl->store) < 0)
    return ctl->now_us;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

void ctl_turn(struct ctl *ctl, int64_t until_us) {
  int64_t due = meta_due(ctl->store), cache = cache_due(ctl->cache);
  due = cache < due ? cache : due;
  due = until_us < due ? until_us : due;
  struct pollfd p = {.fd = meta_fd(ctl->store), .events = POLLIN};
  if (p.fd < 0) {
    ctl->now_us = due > ctl->now_us ? due : ctl->now_us;
  } else {
    int64_t wait = due - ctl_now(ctl);
    poll(&p, 1, wait > 0 ? (int)(wait < 60000000 ? wait / 1000 + 1 : 60000) : 0);
  }
  meta_run(ctl->store, ctl_now(ctl));
  cache_run(ctl->cache, ctl_now(ctl));
}

/* ---- Opening ---- */

static enum ctl_status session_say(struct ctl *ctl, enum ctl_status status, const char *text) {
  snprintf(ctl->why, sizeof ctl->why, "%s", text);
  return status;
}

enum ctl_status ctl_open(struct ctl *ctl, struct meta_store *store, struct doc_uuid cluster) {
  const struct cache_config config = {.cluster = cluster};
  int64_t limit = ctl->limit_us ? ctl->limit_us : session_limit_us;
  *ctl = (struct ctl){.store = store, .cluster = cluster, .limit_us = limit};
  ctl->cache = cache_open(store, &config);
  if (!ctl->cache) {
    ctl_close(ctl);
    return session_say(ctl, CTL_NO_MEMORY, "out of memory");
  }
  int64_t until = ctl_now(ctl) + limit;
  while (!cache_state(ctl->cache).loaded && ctl_now(ctl) < until)
    ctl_turn(ctl, until);
  if (cache_state(ctl->cache).loaded)
    return CTL_OK;
  ctl_close(ctl);
  return session_say(ctl, CTL_STORE, "the metadata store does not answer");
}

void ctl_close(struct ctl *ctl) {
  meta_close(ctl->store);
  cache_close(ctl->cache);
  ctl->store = NULL;
  ctl->cache = NULL;
}

const struct cache_view *ctl_view(struct ctl *ctl) { return cache_take(ctl->cache); }

/* ---- Changes ---- */

struct session_answer {
  bool done;
  bool held;
  enum meta_status status;
  int64_t revision;
};

static void session_done(void *arg, const struct meta_result *result) {
  struct session_answer *a = arg;
  *a = (struct session_answer){true, result->succeeded, result->status, result->revision};
}

enum ctl_status ctl_commit(struct ctl *ctl, const struct meta_txn *txn, bool *held) {
  struct session_answer a = {0};
  int64_t until = ctl_now(ctl) + ctl->limit_us;
  a.status = meta_txn(ctl->store, txn, until, session_done, &a);
  bool asked = a.status == META_OK;
  while (asked && !a.done)
    ctl_turn(ctl, until);
  *held = a.held;
  if (a.status)
    return session_say(ctl, CTL_STORE, meta_status_name(a.status));
  while (cache_state(ctl->cache).revision < a.revision && ctl_now(ctl) < until)
    ctl_turn(ctl, until);
  return CTL_OK;
}

enum ctl_status ctl_put(struct ctl *ctl, struct doc_path path, const char *text, size_t n,
                        int64_t mod, bool *held) {
  const struct meta_compare c = {meta_text(path.text), META_MOD, META_EQUAL, mod, {NULL, 0}};
  const struct meta_op put = {.kind = META_PUT, .key = meta_text(path.text), .value = {text, n}};
  const struct meta_op look = {.kind = META_GET, .key = meta_text(path.text)};
  const struct meta_txn txn = {&c, &put, &look, 1, 1, 1};
  if (!text)
    return session_say(ctl, CTL_NO_MEMORY, "a document that breaks its rules, or no memory");
  return ctl_commit(ctl, &txn, held);
}

/* Unless the shard's move or split has changed: one of the two is open at a time. */
static enum ctl_status session_put_move(struct ctl *ctl, const struct doc_move *move,
                                        const int64_t *mods, bool *held) {
  const struct doc_path paths[] = {
      doc_path(ctl->cluster, DOC_PATH_MOVE, move->collection, move->shard),
      doc_path(ctl->cluster, DOC_PATH_SPLIT, move->collection, move->shard)};
  const struct meta_compare compares[] = {
      {.key = meta_text(paths[0].text), .target = META_MOD, .number = mods[0]},
      {.key = meta_text(paths[1].text), .target = META_MOD, .number = mods[1]}};
  size_t n;
  char *text = doc_move_write(move, &n);
  const struct meta_op put = {.kind = META_PUT, .key = compares[0].key, .value = {text, n}};
  const struct meta_op look = {.kind = META_GET, .key = compares[0].key};
  const struct meta_txn txn = {compares, &put, &look, 2, 1, 1};
  enum ctl_status status =
      text ? ctl_commit(ctl, &txn, held)
           : session_say(ctl, CTL_NO_MEMORY, "a document that breaks its rules, or no memory");
  free(text);
  return status;
}

enum ctl_status ctl_write_plan(struct ctl *ctl, const struct ctl_plan *plan, size_t *written) {
  enum ctl_status status = CTL_OK;
  *written = 0;
  for (size_t i = 0; i < plan->n && !status; i++) {
    const struct doc_move *move = &plan->moves[i];
    const struct cache_view *view = ctl_view(ctl);
    const struct cache_entry *old = cache_find(view, DOC_PATH_MOVE, move->collection, move->shard);
    const struct doc_move *was = old ? old->doc : NULL;
    bool same = !old ? move->id == 1 : was && was->id + 1 == move->id;
    const struct cache_entry *split =
        cache_find(view, DOC_PATH_SPLIT, move->collection, move->shard);
    int64_t mods[] = {old ? old->mod : 0, split ? split->mod : 0};
    same = same && !(split && doc_split_open(split->doc));
    cache_give(view);
    if (!same)
      continue; /* somebody else planned one meanwhile */
    bool held;
    status = session_put_move(ctl, move, mods, &held);
    *written += !status && held;
  }
  return status;
}

enum ctl_status ctl_apply(struct ctl *ctl, const struct ctl_step *step, bool *held) {
  struct ctl_change change;
  enum ctl_status status = CTL_NO_MEMORY;
  *held = false;
  if (ctl_change_make(ctl->cluster, step, &change))
    status = ctl_commit(ctl, &change.txn, held);
  else
    session_say(ctl, status, "a document that breaks its rules, or no memory");
  ctl_change_free(&change);
  return status;
}

/* The first move that can go on; how many are open. */
static bool session_next(struct ctl *ctl, struct ctl_step *step, size_t *open) {
  const struct cache_view *view = ctl_view(ctl);
  size_t n;
  bool found = false;
  const struct cache_entry *const *all = cache_all(view, DOC_PATH_MOVE, 0, &n);
  *open = 0;
  for (size_t i = 0; i < n; i++) {
    struct ctl_step s;
    if (!ctl_step(view, all[i]->a, all[i]->b, &s) || s.next == CTL_NEXT_OVER)
      continue;
    ++*open;
    if (!found && s.next == CTL_NEXT_STEP) {
      *step = s;
      found = true;
    }
  }
  cache_give(view);
  return found;
}

enum ctl_status ctl_drive(struct ctl *ctl, size_t *steps, size_t *open) {
  struct ctl_step step;
  enum ctl_status status = CTL_OK;
  *steps = 0;
  while (!status && session_next(ctl, &step, open)) {
    bool held;
    status = ctl_apply(ctl, &step, &held);
    *steps += !status && held;
  }
  return status;
}

enum ctl_status ctl_set_state(struct ctl *ctl, uint32_t node, enum doc_node_state state) {
  enum ctl_status status;
  bool held = false;
  do {
    const struct cache_view *view = ctl_view(ctl);
    const struct cache_entry *entry = cache_find(view, DOC_PATH_NODE, node, 0);
    struct doc_node doc = {0};
    int64_t mod = entry ? entry->mod : 0;
    bool there = entry && entry->doc;
    if (there)
      doc = *(const struct doc_node *)entry->doc;
    cache_give(view);
    if (!there)
      return session_say(ctl, CTL_NO_SUCH, "no such node");
    if (doc.state == state)
      return CTL_OK;
    size_t n;
    doc.state = state;
    char *text = doc_node_write(&doc, &n);
    status = ctl_put(ctl, doc_path(ctl->cluster, DOC_PATH_NODE, node, 0), text, n, mod, &held);
    free(text);
  } while (!status && !held); /* another changed it: look again */
  return status;
}
