/*
 * node_gone.c - the data of collections that were dropped, and copies for splits that were given
 * up. Ids are given in ascending order and
 * never again, each with its collection in one transaction: an id that was given and has no
 * collection is of a dropped one, whatever this node missed meanwhile.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/node_int.h"

struct gone {
  struct work_job job;
  struct node *node;
  char path[NODE_PATH];
};

static void gone_run(struct work_job *job) { files_remove_tree(((struct gone *)job)->path); }

static void gone_done(struct work_job *job) {
  struct gone *g = (struct gone *)job;
  g->node->removing = false;
  g->node->look = true; /* there may be more */
  free(g);
}

static void gone_begin(struct node *n, const char *name) {
  struct gone *g = calloc(1, sizeof *g);
  if (!g || snprintf(g->path, NODE_PATH, "%s/shards/%s", n->config.data, name) >= NODE_PATH) {
    free(g);
    return;
  }
  g->job = (struct work_job){NULL, gone_run, gone_done};
  g->node = n;
  n->removing = true;
  node_log(n, "shard %s: it is there no more, the data is removed", name);
  work_add(n->admin, &g->job);
}

/* The split that the folder's data was copied for; false: it is no such copy. */
static bool gone_mark(const struct node *n, uint32_t collection, uint32_t number, char *path,
                      unsigned *parent, unsigned long long *id) {
  char folder[NODE_PATH];
  long long create = 0;
  if (!node_folder(n, collection, number, folder) ||
      !files_join(path, NODE_PATH, folder, "forked"))
    return false;
  FILE *file = fopen(path, "r");
  if (!file)
    return false;
  bool read = fscanf(file, "%u %llu %lld", parent, id, &create) == 3;
  fclose(file);
  return read;
}

/* Whether the folder holds what was copied for a split that has come to nothing: there is no such
   shard, and the split is another one by now, or was given up. A view from before the split was
   planned says nothing; it lacks the document, or has an earlier one. */
static bool gone_fork(const struct node *n, const struct cache_view *view, uint32_t collection,
                      uint32_t number) {
  char path[NODE_PATH];
  unsigned parent = 0;
  unsigned long long id = 0;
  if (cache_find(view, DOC_PATH_SHARD, collection, number) ||
      !gone_mark(n, collection, number, path, &parent, &id))
    return false;
  const struct doc_split *split = cache_doc(view, DOC_PATH_SPLIT, collection, parent);
  return split && (split->id > id || (split->id == id && split->step == DOC_SPLIT_CANCELLED));
}

/* Whether the folder is of a dropped collection or such a copy, and nobody uses it any more. */
static bool gone_is(const struct node *n, const struct cache_view *view, const char *name,
                    uint32_t given) {
  unsigned collection, number;
  int end = 0;
  if (sscanf(name, "%u-%u%n", &collection, &number, &end) != 2 || name[end] || !collection ||
      collection > given)
    return false;
  for (const struct node_replica *r = n->replicas; r; r = r->next)
    if (r->collection == collection &&
        (r->number == number || (r->machine && machine_forks(r->machine))))
      return false;
  return !cache_find(view, DOC_PATH_COLL, collection, 0) || gone_fork(n, view, collection, number);
}

static void gone_shard(struct node *n, uint32_t collection, uint32_t number) {
  char name[32];
  snprintf(name, sizeof name, "%u-%u", collection, number);
  gone_begin(n, name);
}

/* What a replica without a copy learns of a shard that may go again has the mark, too. False: it
   cannot be written. */
static bool gone_note(const struct node *n, const struct cache_view *view,
                      const struct doc_shard *doc) {
  char folder[NODE_PATH], text[64];
  size_t count;
  const struct cache_entry *const *splits =
      cache_all(view, DOC_PATH_SPLIT, doc->collection, &count);
  for (size_t i = 0; i < count; i++) {
    const struct doc_split *split = splits[i]->doc;
    if (!doc_split_open(split) || split->child != doc->number)
      continue;
    snprintf(text, sizeof text, "%u %llu %lld", split->shard, (unsigned long long)split->id,
             (long long)splits[i]->create);
    return node_folder(n, doc->collection, doc->number, folder) &&
           !files_make_dir(files_system(), folder) &&
           !files_replace(files_system(), folder, "forked", text, strlen(text));
  }
  return true;
}

/* A copy for a split carries its mark until the shard has been opened here as the record has it,
   with this node's store, and the split is over: until then the shard may go again. Where the
   record lacks the store, the copy is another split's, which came to nothing while this node was
   away, and would be taken for the shard's own past. */
bool node_gone_stale(struct node *n, const struct cache_view *view, const struct doc_shard *doc) {
  char mark[NODE_PATH];
  unsigned parent = 0;
  unsigned long long id = 0;
  if (!gone_mark(n, doc->collection, doc->number, mark, &parent, &id))
    return !gone_note(n, view, doc);
  const struct doc_split *split = cache_doc(view, DOC_PATH_SPLIT, doc->collection, parent);
  bool open = split && split->id == id && doc_split_open(split);
  for (uint32_t i = 0; i < doc->n_replicas; i++)
    if (doc->replicas[i].node == n->config.id && doc_uuid_same(doc->replicas[i].store, n->store)) {
      if (!open)
        remove(mark);
      return false;
    }
  gone_shard(n, doc->collection, doc->number);
  return true;
}

/* A shard of that number may have been opened for a split that the log gave up then: it has a log,
   which a new copy must not be found beside. */
bool node_gone_before(struct node *n, const struct cache_view *view, const struct doc_split *doc) {
  for (const struct node_replica *r = n->replicas; r; r = r->next)
    if (r->collection == doc->collection && r->number == doc->child)
      return true;
  if (!n->removing && gone_fork(n, view, doc->collection, doc->child))
    gone_shard(n, doc->collection, doc->child);
  return n->removing;
}

void node_gone_look(struct node *n, const struct cache_view *view) {
  char path[NODE_PATH];
  const struct cache_entry *ids = cache_find(view, DOC_PATH_IDS, 0, 0);
  uint32_t given = ids ? (uint32_t)strtoul(ids->text.data, NULL, 10) : 0;
  if (n->removing || !given || !files_join(path, sizeof path, n->config.data, "shards"))
    return;
  DIR *folder = opendir(path);
  for (struct dirent *e; folder && (e = readdir(folder));)
    if (gone_is(n, view, e->d_name, given)) {
      gone_begin(n, e->d_name);
      break;
    }
  if (folder)
    closedir(folder);
}
