/* split.c - a shard that becomes two; see split.h. */
#include "ctl/split.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/create.h"

static enum ctl_status split_say(struct ctl_split *s, enum ctl_status status, const char *text) {
  snprintf(s->why, sizeof s->why, "%s", text);
  return status;
}

/* ---- Which slots ---- */

/* Where the upper half of the shard's ranges begins; UINT32_MAX: it has one at most. */
static uint32_t split_range(const struct doc_splits *ranges, const struct doc_slots *slots,
                            uint32_t shard) {
  uint32_t n = 0, seen = 0;
  for (int round = 0; round < 2; round++)
    for (uint32_t i = 0; i < ranges->n; i++) {
      bool has = false;
      for (uint32_t k = 0; k < ranges->ranges[i].n_slots; k++)
        has |= slots->shard[ranges->ranges[i].first_slot + k] == shard;
      n += has && !round;
      if (round && has && n > 1 && seen++ == n / 2)
        return i;
    }
  return UINT32_MAX;
}

/* Half of the shard's slots: of several ranges the upper ones, else every other slot. */
static void split_half(const struct doc_splits *ranges, const struct doc_slots *slots,
                       struct doc_split *doc) {
  uint32_t from = ranges ? split_range(ranges, slots, doc->shard) : UINT32_MAX, n = 0;
  for (uint32_t i = 0; from == UINT32_MAX && i < slots->n; i++)
    if (slots->shard[i] == doc->shard)
      doc->moved[i] = n++ % 2 != 0;
  for (uint32_t i = from; ranges && i < ranges->n; i++)
    for (uint32_t k = 0; k < ranges->ranges[i].n_slots; k++) {
      uint32_t slot = ranges->ranges[i].first_slot + k;
      doc->moved[slot] = slots->shard[slot] == doc->shard;
    }
}

/* "17,20-31": false, when it is no such list or names slots of others. */
static bool split_list(const char *text, const struct doc_slots *slots, struct doc_split *doc) {
  while (*text) {
    char *end;
    unsigned long from = strtoul(text, &end, 10), to = from;
    if (*text < '0' || *text > '9')
      return false;
    if (*end == '-' && end[1] >= '0' && end[1] <= '9')
      to = strtoul(end + 1, &end, 10);
    if (from > to || to >= slots->n || (*end && (*end != ',' || !end[1])))
      return false;
    for (; from <= to; from++) {
      if (slots->shard[from] != doc->shard)
        return false;
      doc->moved[from] = 1;
    }
    text = *end ? end + 1 : end;
  }
  return true;
}

/* ---- Whether it may be ---- */

/* The next number; false: another split of the collection may still take it. */
static bool split_number(const struct cache_view *view, uint32_t collection, uint32_t *next) {
  size_t n;
  const struct cache_entry *const *all = cache_all(view, DOC_PATH_SPLIT, collection, &n);
  for (size_t i = 0; i < n; i++)
    if (!all[i]->doc || doc_split_open(all[i]->doc))
      return false;
  *next = 0;
  all = cache_all(view, DOC_PATH_SHARD, collection, &n);
  for (size_t i = 0; i < n; i++)
    *next = all[i]->b >= *next ? all[i]->b + 1 : *next;
  return true;
}

static enum ctl_status split_allowed(const struct cache_view *view, uint32_t collection,
                                     uint32_t shard, struct ctl_split *s) {
  const struct cache_entry *split = cache_find(view, DOC_PATH_SPLIT, collection, shard);
  const struct cache_entry *move = cache_find(view, DOC_PATH_MOVE, collection, shard);
  const struct doc_move *moving = move ? move->doc : NULL;
  s->split_mod = split ? split->mod : 0;
  s->move_mod = move ? move->mod : 0;
  if ((split && !split->doc) || (move && !move->doc))
    return split_say(s, CTL_NOT_ALLOWED, "a document of the shard cannot be read");
  if (split && doc_split_open(split->doc))
    return split_say(s, CTL_NOT_ALLOWED, "the shard is being split already");
  if (moving && moving->step != DOC_MOVE_DONE && moving->step != DOC_MOVE_CANCELLED)
    return split_say(s, CTL_NOT_ALLOWED, "the shard is being moved");
  s->doc.id = split ? ((const struct doc_split *)split->doc)->id + 1 : 1;
  return CTL_OK;
}

enum ctl_status ctl_plan_split(const struct cache_view *view, uint32_t collection, uint32_t shard,
                               const char *list, struct ctl_split *out) {
  const struct doc_coll *coll = cache_doc(view, DOC_PATH_COLL, collection, 0);
  const struct cache_entry *slots = cache_find(view, DOC_PATH_SLOTS, collection, 0);
  const struct cache_entry *entry = cache_find(view, DOC_PATH_SHARD, collection, shard);
  const struct doc_slots *table = slots ? slots->doc : NULL;
  *out = (struct ctl_split){.doc = {.collection = collection, .shard = shard}};
  if (!coll || !table || !entry || !entry->doc)
    return split_say(out, CTL_NO_SUCH, "no such collection or shard");
  enum ctl_status status = split_allowed(view, collection, shard, out);
  if (status)
    return status;
  out->slots_mod = slots->mod;
  out->shard_mod = entry->mod;
  if (!split_number(view, collection, &out->doc.child))
    return split_say(out, CTL_NOT_ALLOWED, "another shard of the collection is being split");
  out->doc.n = table->n;
  out->doc.moved = calloc(table->n, 1);
  if (!out->doc.moved)
    return CTL_NO_MEMORY;
  if (out->doc.child >= DOC_SHARDS_MAX)
    return split_say(out, CTL_NOT_ALLOWED, "the collection's numbers of shards are used up");
  if (!list)
    split_half(cache_doc(view, DOC_PATH_SPLITS, collection, 0), table, &out->doc);
  else if (!split_list(list, table, &out->doc))
    return split_say(out, CTL_USAGE, "--slots takes numbers of the shard's slots: 17,20-31");
  for (uint32_t i = 0; i < table->n; i++) {
    out->had += table->shard[i] == shard;
    out->moved += out->doc.moved[i];
  }
  if (!out->moved || out->moved == out->had)
    return split_say(out, CTL_NOT_ALLOWED,
                     out->had < 2 ? "the shard has one slot, which is the least there is"
                                  : "some of the shard's slots must move, and some stay");
  return CTL_OK;
}

/* ---- The document ---- */

enum ctl_status ctl_write_split(struct ctl *ctl, const struct ctl_split *s, bool *held) {
  const struct doc_split *doc = &s->doc;
  const struct cache_view *view = ctl_view(ctl);
  const struct cache_entry *slots = cache_find(view, DOC_PATH_SLOTS, doc->collection, 0);
  const struct doc_path paths[] = {
      doc_path(ctl->cluster, DOC_PATH_SPLIT, doc->collection, doc->shard),
      doc_path(ctl->cluster, DOC_PATH_SLOTS, doc->collection, 0),
      doc_path(ctl->cluster, DOC_PATH_MOVE, doc->collection, doc->shard),
      doc_path(ctl->cluster, DOC_PATH_SHARD, doc->collection, doc->shard)};
  const int64_t mods[] = {s->split_mod, s->slots_mod, s->move_mod, s->shard_mod};
  struct meta_compare compares[4];
  for (int i = 0; i < 4; i++)
    compares[i] = (struct meta_compare){
        .key = meta_text(paths[i].text), .target = META_MOD, .number = mods[i]};
  size_t n;
  char *text = slots ? doc_split_write(doc, &n) : NULL;
  enum ctl_status status = ctl_speaks(ctl, 0, DOC_SPEAKS_HEIRS);
  *held = false;
  if (!status && !text)
    status = CTL_NO_MEMORY;
  if (!status) {
    /* The table of slots is written as it is, so that of two who split two shards at once one
       fails: they would take the same number. */
    const struct meta_op puts[] = {
        {.kind = META_PUT, .key = compares[0].key, .value = {text, n}},
        {.kind = META_PUT, .key = compares[1].key, .value = slots->text}};
    const struct meta_op look = {.kind = META_GET, .key = compares[0].key};
    const struct meta_txn txn = {compares, puts, &look, 4, 2, 1};
    status = ctl_commit(ctl, &txn, held);
  }
  free(text);
  cache_give(view);
  return status;
}

enum ctl_status ctl_cancel_split(struct ctl *ctl, uint32_t collection, uint32_t shard) {
  enum ctl_status status = CTL_OK;
  for (bool held = false; !status && !held;) {
    const struct cache_view *view = ctl_view(ctl);
    const struct cache_entry *entry = cache_find(view, DOC_PATH_SPLIT, collection, shard);
    struct doc_split doc = {0};
    char *text = NULL;
    size_t n = 0;
    if (!entry || !doc_split_open(entry->doc)) {
      status = CTL_NO_SUCH;
    } else {
      doc = *(const struct doc_split *)entry->doc;
      status = doc.step == DOC_SPLIT_PLANNED ? CTL_OK : CTL_NOT_ALLOWED;
      doc.step = DOC_SPLIT_CANCELLED;
      text = status ? NULL : doc_split_write(&doc, &n);
    }
    int64_t mod = entry ? entry->mod : 0;
    if (!status)
      status = ctl_put(ctl, doc_path(ctl->cluster, DOC_PATH_SPLIT, collection, shard), text, n, mod,
                       &held);
    cache_give(view);
    free(text);
  }
  return status;
}
